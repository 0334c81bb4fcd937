"""Shows that the rig itself works, with clients that are not ours.

Python's smtplib, gsasl and swaks log in and send through Postfix and Exim;
what arrives is compared with what was sent.  A rig that fails here must not
be used to judge outboxd.
"""

import smtplib
import ssl
import time

import dovecot
import exim
import postfix

_TEXT = ("From: a@acme.example\r\nTo: b@box.example\r\nSubject: rig\r\n"
         "Bcc: stays@here.example\r\n\r\n"
         "..two dots\r\n.\r\n\r\n%s\r\nM\u00fc\u00dfig \u20ac\r\n"
         % ("x" * 900)).encode()


def _connect(rig, port, implicit, name):
    context = ssl.create_default_context(cafile=rig.authority.file)
    if implicit:
        raw = smtplib.SMTP_SSL("127.0.0.1", port, timeout=20, context=context)
    else:
        raw = smtplib.SMTP("127.0.0.1", port, timeout=20)
        raw._host = name
        raw.starttls(context=context)
    raw.ehlo()
    return raw


def _login(client, mechanism, user, password):
    client.user, client.password = user, password
    method = {"plain": client.auth_plain, "login": client.auth_login,
              "cram-md5": client.auth_cram_md5}[mechanism]
    code, words = client.auth(mechanism.upper(), method)
    assert code == 235, "%s: %d %r" % (mechanism, code, words)


def _smtplib(rig, port, implicit, name, mechanism):
    box = rig.mailbox()
    client = _connect(rig, port, implicit, name)
    user = "user@acme.example"
    _login(client, mechanism, user, rig.accounts[user])
    client.sendmail("a@acme.example", [str(box)], _TEXT,
                    ["body=8bitmime"])
    client.quit()
    message = box.wait(1)[0]
    assert message.sent == _TEXT.replace(b"\r\n", b"\n"), message.raw
    assert message.return_path == "<a@acme.example>", message.trace


def _gsasl(rig, mechanism):
    """gsasl logs in only; its exit status tells whether it was let in."""
    status, text = rig.jail.run(
        ["gsasl", "--smtp", "--connect",
         "127.0.0.1:%d" % rig.postfix.port("required"),
         "--x509-ca-file", rig.authority.file, "--hostname",
         postfix.HOST_NAME, "--service", "smtp", "-m", mechanism.upper(),
         "--authentication-id", "user@acme.example",
         "--password", rig.accounts["user@acme.example"], "--no-cb"])
    assert status == 0 and "235 " in text, "gsasl %s: %r %s" % (
        mechanism, status, text)


def _swaks(rig, arguments, port, name):
    """swaks is told the server's name so that it can verify it."""
    box = rig.mailbox()
    status, text = rig.jail.run(
        ["swaks", "--server", "127.0.0.1", "--port", str(port), "--to",
         str(box), "--from", "a@acme.example", "--auth-user",
         "user@acme.example", "--auth-password",
         rig.accounts["user@acme.example"], "--tls-ca-path",
         rig.authority.file, "--tls-verify", "--header", "Subject: swaks",
         ] + arguments)
    assert status == 0, "swaks %s: %r %s" % (arguments, status, text)
    assert b"Subject: swaks\n" in box.wait(1)[0].sent


def _refuses_wrong_password(rig):
    rig.postfix.quiet()
    client = _connect(rig, rig.postfix.port("required"), False,
                      postfix.HOST_NAME)
    try:
        _login(client, "plain", "user@acme.example", "wrong")
        raise AssertionError("a wrong password was taken")
    except smtplib.SMTPAuthenticationError as problem:
        assert problem.smtp_code == 535, problem
    client.quit()
    assert rig.postfix.failed_logins("required") == 1
    assert rig.postfix.sessions("required")[0]["auth"] == 1


def _refuses_unknown_user(rig, port):
    client = _connect(rig, port, False, "localhost")
    user = "user@acme.example"
    _login(client, "plain", user, rig.accounts[user])
    client.mail("a@acme.example")
    code, words = client.rcpt("nobody@box.example")
    assert code == 550, (code, words)
    client.quit()


def _refuses_without_tls(rig):
    client = smtplib.SMTP("127.0.0.1", rig.postfix.port("required"),
                          timeout=20)
    client.ehlo()
    assert not client.has_extn("auth"), client.esmtp_features
    assert client.mail("a@acme.example")[0] == 530
    client.quit()


def _certificate_is_bad(rig, service, words):
    try:
        _connect(rig, rig.postfix.port(service), False, postfix.HOST_NAME)
    except ssl.SSLError as problem:
        assert words in str(problem), problem
        return
    raise AssertionError("the certificate of %s was taken" % service)


def _checks(rig):
    ports = {"required": False, "optional": False, "implicit": True}
    for name, implicit in ports.items():
        for mechanism in ("plain", "login", "cram-md5"):
            yield ("smtplib %s through Postfix, TLS %s" % (mechanism, name),
                   lambda n=name, i=implicit, m=mechanism: _smtplib(
                       rig, rig.postfix.port(n), i, postfix.HOST_NAME, m))
    for name, implicit in (("starttls", False), ("implicit", True)):
        for mechanism in exim.MECHANISMS:
            yield ("smtplib %s through Exim, TLS %s" % (mechanism, name),
                   lambda n=name, i=implicit, m=mechanism: _smtplib(
                       rig, rig.exim.port(n), i, "localhost", m))
    for mechanism in dovecot.MECHANISMS:
        yield ("gsasl %s logs in" % mechanism,
               lambda m=mechanism: _gsasl(rig, m))
    yield "swaks through Postfix", lambda: _swaks(
        rig, ["--tls", "--auth", "CRAM-MD5"], rig.postfix.port("required"),
        postfix.HOST_NAME)
    yield "swaks through Exim", lambda: _swaks(
        rig, ["--tls-on-connect", "--auth", "LOGIN"],
        rig.exim.port("implicit"), exim.HOST_NAME)
    yield "a wrong password is refused", lambda: _refuses_wrong_password(rig)
    yield "Postfix refuses an unknown user", lambda: _refuses_unknown_user(
        rig, rig.postfix.port("required"))
    yield "Exim refuses an unknown user", lambda: _refuses_unknown_user(
        rig, rig.exim.port("starttls"))
    yield "no AUTH and no MAIL before TLS", lambda: _refuses_without_tls(rig)
    for service, words in (("expired", "expired"),
                           ("wrong", "mismatch"),
                           ("unknown", "unable to get local issuer")):
        yield ("the certificate '%s' is bad" % service,
               lambda s=service, w=words: _certificate_is_bad(rig, s, w))


def run(rig):
    """Runs every check; prints a line for each; answers the exit status."""
    failed = count = 0
    for name, check in _checks(rig):
        count += 1
        started = time.monotonic()
        try:
            check()
            words = "ok"
        except (AssertionError, OSError, smtplib.SMTPException) as problem:
            failed += 1
            words = "not ok"
            print("# %s" % problem)
        print("%s - rig: %s (%.2f s)" % (words, name,
                                         time.monotonic() - started))
    print("%d passed, %d failed, 0 skipped" % (count - failed, failed))
    return 1 if failed else 0
