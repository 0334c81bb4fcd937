"""Other proofs than a password: bearer tokens and client certificates."""

import os
import secrets

from case import for_each

USER = "user@acme.example"


def read(path):
    with open(path) as stream:
        return stream.read()


def serve(case):
    os.makedirs(case.path("secrets"), 0o700, exist_ok=True)
    return case.serve(settings=["secrets_dir=" + case.path("secrets")])


def show(case, pair, name="acme"):
    """The columns of a tenant that has this client certificate."""
    return {"tls_cert_file": case.secret(name + ".pem",
                                         read(pair.certificate)),
            "tls_key_file": case.secret(name + ".key", read(pair.key))}


def is_down(case, number, *words):
    """The tenant says why; the mail waits untried."""
    row = case.outbox().wait("last_error set", lambda: (
        lambda row: row and row["last_error"] and row)(
            case.outbox().tenant_status("acme")))
    for word in words:
        assert word in row["last_error"], row["last_error"]
    status = case.outbox().status(number)
    assert status["state"] == "queued" and status["attempts"] == 0, \
        tuple(status)
    return row


# --- tokens ------------------------------------------------------------------

@for_each([(m, s, p) for m in ("xoauth2", "oauthbearer")
           for s, p in (("required", 0), ("implicit", 0), ("required", 3000))])
def test_token(case, mechanism, service, pad):
    """A token of every length is taken, the long one after an empty 334."""
    box = case.box()
    token = case.rig.dovecot.token(USER, pad=pad)
    case.tenant("acme", service, auth=mechanism, password=token)
    daemon = serve(case)
    number = case.outbox().insert("acme", str(box))
    case.outbox().wait_state(number, "sent")
    assert box.wait(1)[0].account == USER
    opened = daemon.wait_event("session.open", tenant="acme")[0]
    assert opened["auth"] == mechanism.upper(), opened
    assert token not in daemon.log.text()


@for_each([(m, w) for m in ("xoauth2", "oauthbearer")
           for w in ("expired", "forged", "others", "nonsense")])
def test_token_refused(case, mechanism, wrong):
    """auth_failed, with what the server says of the token; a good one sends
    what waits."""
    dovecot = case.rig.dovecot
    token = {"expired": dovecot.token(USER, seconds=-30),
             "forged": dovecot.token(USER, key=secrets.token_bytes(32)),
             "others": dovecot.token("user@beta.example"),
             "nonsense": "nonsense"}[wrong]
    box = case.box()
    case.tenant("acme", "required", auth=mechanism, password=token)
    daemon = serve(case)
    number = case.outbox().insert("acme", str(box))
    row = case.outbox().wait_tenant("acme", "auth_failed")
    is_down(case, number, "status ")
    assert token not in row["last_error"] or wrong == "nonsense"
    down = daemon.wait_event("tenant.down", tenant="acme")[0]
    assert "status " in down["error"], down
    assert wrong == "nonsense" or token not in daemon.log.text()
    assert case.rig.postfix.failed_logins("required") == 1
    case.outbox().set_tenant("acme", password=dovecot.token(USER))
    case.outbox().wait_state(number, "sent", 5)
    box.wait(1)


def test_token_from_a_file(case):
    box = case.box()
    name = case.secret("acme.token", case.rig.dovecot.token(USER) + "\n")
    case.tenant("acme", "required", auth="xoauth2", password=None,
                password_file=name)
    serve(case)
    case.outbox().insert("acme", str(box))
    case.outbox().wait_all()
    box.wait(1)


# --- client certificates -------------------------------------------------------

def test_certificate_is_demanded(case):
    """Without one the tenant is down and says so; with one its mail goes
    within a second or so, without a reload."""
    box = case.box()
    case.tenant("acme", "certificate")
    serve(case)
    number = case.outbox().insert("acme", str(box))
    is_down(case, number, "No client certificate presented")
    case.outbox().set_tenant("acme", **show(case, case.rig.clients["acme"]))
    case.outbox().wait_state(number, "sent", 5)
    assert box.wait(1)[0].account == USER
    case.rig.postfix.log.wait("Trusted TLS connection established from")


def test_certificate_and_key_in_one_file(case):
    pair = case.rig.clients["acme"]
    name = case.secret("acme.pem", read(pair.key) + read(pair.certificate) +
                       read(case.rig.authority.file))
    box = case.box()
    case.tenant("acme", "certificate", tls_cert_file=name, tls_key_file=name)
    serve(case)
    case.outbox().insert("acme", str(box))
    case.outbox().wait_all()
    box.wait(1)


@for_each([("key", "is not that of the certificate"),
           ("missing", "cannot be read"), ("empty", "is empty"),
           ("no-certificate", "holds no certificate in PEM")])
def test_certificate_that_is_none(case, wrong, words):
    """Told before anybody is connected to."""
    good = show(case, case.rig.clients["acme"])
    other = read(case.rig.clients["beta"].key)
    bad = {"key": {"tls_key_file": case.secret("other.key", other)},
           "missing": {"tls_key_file": "missing.key"},
           "empty": {"tls_cert_file": case.secret("empty.pem", "\n")},
           "no-certificate": {"tls_cert_file": case.secret("odd.pem", other)},
           }[wrong]
    box = case.box()
    case.tenant("acme", "certificate", **dict(good, **bad))
    daemon = serve(case)
    number = case.outbox().insert("acme", str(box))
    is_down(case, number, words)
    case.outbox().set_tenant("acme", **good)
    case.outbox().wait_state(number, "sent", 5)
    box.wait(1)
    assert daemon.stop() == 0
    assert len(case.rig.postfix.sessions("certificate")) == 1


def test_expired_certificate_is_told(case):
    box = case.box()
    case.tenant("acme", "exim-starttls", auth="external",
                **show(case, case.rig.expired_client))
    serve(case)
    number = case.outbox().insert("acme", str(box))
    is_down(case, number, "does not offer EXTERNAL")


@for_each(["exim-starttls", "exim-implicit"])
def test_external(case, service):
    """The certificate logs in; there is no password anywhere."""
    box = case.box()
    case.tenant("acme", service, auth="external", password=None,
                **show(case, case.rig.clients["acme"]))
    daemon = serve(case)
    number = case.outbox().insert("acme", str(box))
    case.outbox().wait_state(number, "sent")
    box.wait(1)
    opened = daemon.wait_event("session.open", tenant="acme")[0]
    assert opened["auth"] == "EXTERNAL", opened
    case.rig.exim.log.wait("A=external:" + USER)


def test_external_as_somebody_else(case):
    """beta's certificate may not act as acme: auth_failed, and acme's own
    sends what waits."""
    box = case.box()
    case.tenant("acme", "exim-starttls", auth="external", password=None,
                **show(case, case.rig.clients["beta"]))
    serve(case)
    number = case.outbox().insert("acme", str(box))
    case.outbox().wait_tenant("acme", "auth_failed")
    is_down(case, number, "535")
    case.outbox().set_tenant("acme", **show(case, case.rig.clients["acme"],
                                            "acme2"))
    case.outbox().wait_state(number, "sent", 5)
    box.wait(1)


def test_external_without_a_certificate(case):
    box = case.box()
    case.tenant("acme", "exim-starttls", auth="external", password=None)
    serve(case)
    number = case.outbox().insert("acme", str(box))
    is_down(case, number, "EXTERNAL")
