"""TLS: whose certificate is taken, and a session of its own a connection."""


from case import for_each


def last_error(case, name="acme"):
    row = case.outbox().tenant_status(name)
    return row and row["last_error"]


def certificate_is_refused(case, service, *words):
    """The tenant is down and says why; the mail waits untried."""
    box = case.box()
    case.tenant("acme", service)
    daemon = case.serve()
    number = case.outbox().insert("acme", str(box))
    down = daemon.wait_event("tenant.down", tenant="acme")[0]
    text = case.outbox().wait("last_error set", lambda: last_error(case))
    for word in words:
        assert word in text.lower(), "%r not in %r" % (word, text)
        assert word in down["error"].lower(), down
    status = case.outbox().status(number)
    assert status["state"] == "queued" and status["attempts"] == 0, \
        tuple(status)
    assert case.rig.postfix.log.count(
        r"postfix/%s/smtpd.*(sasl_method|authentication)" % service) == 0
    return box, number, daemon


def mended(case, box, number, daemon, **settings):
    """Settings that fit deliver without a reload; that they do so at once is
    seen where the backoff is long: test_auth, a wrong password."""
    case.outbox().set_tenant("acme", **settings)
    case.outbox().wait_state(number, "sent")
    box.wait(1)
    daemon.wait_event("tenant.up", tenant="acme")


def test_expired_certificate(case):
    found = certificate_is_refused(case, "expired", "expired", "2021-03-01")
    mended(case, *found, tls_verify="fingerprint", tls_fingerprints="sha256:"
           + case.rig.expired.fingerprint())


def test_wrong_name(case):
    found = certificate_is_refused(case, "wrong", "mx.elsewhere.example")
    mended(case, *found, tls_name="mx.elsewhere.example")


def test_unknown_authority(case):
    found = certificate_is_refused(case, "unknown", "authorit")
    mended(case, *found, tls_ca_file=case.rig.stranger.file)


def test_mended_port(case):
    found = certificate_is_refused(case, "expired", "expired")
    mended(case, *found, port=case.port("required"))


@for_each(["sha256", "spki"])
def test_fingerprint(case, kind):
    """The right certificate of an unknown authority, and then another's."""
    pair = case.rig.unknown
    digits = pair.fingerprint() if kind == "sha256" \
        else pair.public_key_fingerprint()
    colons = ":".join(digits[i:i + 2] for i in range(0, 64, 2)).upper()
    box = case.box()
    case.tenant("acme", "unknown", tls_verify="fingerprint",
                tls_fingerprints="%s:%s" % (kind, colons))
    daemon = case.serve()
    number = case.outbox().insert("acme", str(box))
    case.outbox().wait_state(number, "sent")
    box.wait(1)
    case.outbox().set_tenant("acme", port=case.port("expired"))
    number = case.outbox().insert("acme", str(box))
    daemon.wait_event("tenant.down", tenant="acme")
    assert case.outbox().state(number) == "queued"
    box.wait(1)


@for_each(["expired", "wrong", "unknown"])
def test_verify_none_is_consent(case, service):
    box = case.box()
    case.tenant("acme", service, tls_verify="none")
    case.serve()
    case.outbox().insert("acme", str(box))
    case.outbox().wait_all()
    assert box.wait(1)[0].protocol == "ESMTPSA"


def test_opportunistic_verifies_nothing(case):
    box = case.box()
    case.tenant("acme", "expired", tls="opportunistic")
    case.serve()
    case.outbox().insert("acme", str(box))
    case.outbox().wait_all()
    assert box.wait(1)[0].protocol == "ESMTPSA"


def test_starttls_required_and_not_offered(case):
    """A server without STARTTLS gets neither password nor mail."""
    box = case.box()
    case.tenant("acme", "clear")
    daemon = case.serve()
    number = case.outbox().insert("acme", str(box))
    daemon.wait_event("tenant.down", tenant="acme")
    text = case.outbox().wait("last_error set", lambda: last_error(case))
    assert "STARTTLS" in text, text
    assert case.outbox().status(number)["attempts"] == 0
    session = case.rig.postfix.sessions("clear")[0]
    assert "auth" not in session and "mail" not in session, session


@for_each(["required", "optional", "implicit"])
def test_two_messages_one_handshake(case, service):
    """Two messages one right after another on one connection: one STARTTLS,
    one handshake, one login.  A new connection: all of it anew, with a full
    handshake and its own EHLO."""
    first, second = case.box(), case.box()
    tls = {"required": "starttls", "optional": "opportunistic",
           "implicit": "implicit"}[service]
    case.tenant("acme", service, tls=tls, max_connections=1)
    box = case.outbox()
    daemon = case.serve()
    box.begin()
    one = box.insert("acme", str(first), subject="one")
    two = box.insert("acme", str(first), subject="two")
    box.commit()
    box.wait_state(one, "sent")
    box.wait_state(two, "sent")
    first.wait(2)
    assert daemon.stop() == 0
    daemon.start()
    three = box.insert("acme", str(second), subject="three")
    box.wait_state(three, "sent")
    second.wait(1)
    assert daemon.stop() == 0
    sessions = case.rig.postfix.sessions(service, 2)
    assert len(sessions) == 2, sessions
    starttls = 0 if service == "implicit" else 1
    for session, messages in zip(sessions, (2, 1)):
        assert session["handshakes"] == 1, session
        assert session["resumed"] == 0, session
        assert session.get("starttls", 0) == starttls, session
        assert session["ehlo"] == 1 + starttls, session
        assert session["auth"] == 1, session
        assert session["mail"] == messages, session
        assert session["rcpt"] == messages, session
        assert session.get("data", 0) + session.get("bdat", 0) == messages
        assert session["quit"] == 1, session


@for_each(["required", "implicit"])
def test_new_connection_new_handshake_in_one_process(case, service):
    """The same process, another connection (each carries one message only):
    nothing of the first TLS session is used again."""
    box = case.box()
    case.tenant("acme", service, max_connections=1,
                max_messages_per_session=1)
    daemon = case.serve()
    for count in (1, 2, 3):
        number = case.outbox().insert("acme", str(box))
        case.outbox().wait_state(number, "sent")
        box.wait(count)
    assert daemon.stop() == 0
    sessions = case.rig.postfix.sessions(service, 3)
    assert len(sessions) == 3, sessions
    for session in sessions:
        assert session["handshakes"] == 1, session
        assert session["resumed"] == 0, session
        assert session["ehlo"] == (1 if service == "implicit" else 2), session
        assert session["auth"] == 1 and session["mail"] == 1, session


def test_parked_connection_is_used_again(case):
    """A second message some time later: no new connection within
    idle_timeout, and QUIT after it."""
    box = case.box()
    case.tenant("acme", "required", max_connections=1)
    daemon = case.serve(settings=["idle_timeout=5s"])
    one = case.outbox().insert("acme", str(box))
    case.outbox().wait_state(one, "sent")
    two = case.outbox().insert("acme", str(box))
    case.outbox().wait_state(two, "sent")
    session = case.rig.postfix.sessions("required")[0]
    assert session["mail"] == 2 and session["handshakes"] == 1, session
    assert session["quit"] == 1, session
    closed = daemon.wait_event("session.close", tenant="acme")[0]
    assert closed["messages"] == "2", closed
