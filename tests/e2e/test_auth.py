"""Logging in: every mechanism, in every way TLS begins, and 'auto'."""

import os
import time

from case import for_each

MECHANISMS = ["plain", "login", "cram-md5", "scram-sha-1", "scram-sha-256"]
MODES = {"required": "starttls", "optional": "opportunistic",
         "implicit": "implicit"}
ODD = "odd@acme.example"


def used_mechanism(case, service):
    """What Postfix says that the client logged in with."""
    line = case.rig.postfix.log.wait(
        r"postfix/%s/smtpd.*sasl_method=" % service)[0]
    return line.split("sasl_method=")[1].split(",")[0].lower()


@for_each([(m, s) for s in ("required", "optional", "implicit")
           for m in MECHANISMS])
def test_mechanism(case, mechanism, service):
    """Named, it is the one that is used, and the mail arrives by it."""
    box = case.box()
    case.tenant("acme", service, tls=MODES[service], auth=mechanism)
    daemon = case.serve()
    number = case.outbox().insert("acme", str(box), subject="by name")
    case.outbox().wait_state(number, "sent")
    message = box.wait(1)[0]
    assert message.account == "user@acme.example", message.trace
    assert message.protocol == "ESMTPSA", message.trace
    assert used_mechanism(case, service) == mechanism
    row = case.outbox().deliveries(number)[str(box)]
    assert row["state"] == "sent" and row["code"] == 250, tuple(row)
    assert "TLS" in row["tls"], tuple(row)
    assert row["server"] == "127.0.0.1:%d" % case.port(service), tuple(row)
    opened = daemon.wait_event("session.open", tenant="acme")[0]
    assert opened["auth"].lower() == mechanism, opened


@for_each([("required", "scram-sha-256"), ("sha1", "scram-sha-1"),
           ("middle", "cram-md5"), ("weak", "plain"), ("login", "login")])
def test_auto_takes_the_strongest(case, service, expected):
    box = case.box()
    case.tenant("acme", service)
    case.serve()
    number = case.outbox().insert("acme", str(box))
    case.outbox().wait_state(number, "sent")
    box.wait(1)
    assert used_mechanism(case, service) == expected


@for_each([("clear", "none"), ("clear", "opportunistic"),
           ("optional", "opportunistic")])
def test_auto_shows_no_password(case, service, tls):
    """Where anybody may listen, only mechanisms that hide the password."""
    box = case.box()
    case.tenant("acme", service, tls=tls)
    case.serve()
    number = case.outbox().insert("acme", str(box))
    case.outbox().wait_state(number, "sent")
    expected = "ESMTPA" if service == "clear" else "ESMTPSA"
    assert box.wait(1)[0].protocol == expected
    assert used_mechanism(case, service) == "scram-sha-256"
    row = case.outbox().deliveries(number)[str(box)]
    assert (row["tls"] is None) == (service == "clear"), tuple(row)


@for_each(["none", "opportunistic"])
def test_auto_rather_waits_than_shows_the_password(case, tls):
    """The server takes PLAIN and LOGIN only: the tenant is down, with words;
    naming a mechanism is the operator's consent."""
    box = case.box()
    case.tenant("acme", "clear-weak", tls=tls)
    daemon = case.serve()
    number = case.outbox().insert("acme", str(box))
    daemon.wait_event("tenant.down", tenant="acme")
    status = case.outbox().wait(
        "last_error set", lambda: (case.outbox().tenant_status("acme") or
                                   {"last_error": None})["last_error"])
    assert case.outbox().status(number)["attempts"] == 0
    assert case.rig.postfix.log.count("sasl_method|authentication") == 0
    case.outbox().set_tenant("acme", auth="plain")
    case.outbox().wait_state(number, "sent", 5)
    box.wait(1)
    assert status


@for_each(MECHANISMS)
def test_odd_password(case, mechanism):
    """Letters beyond ASCII, quotes, percent and backslash in a password."""
    box = case.box()
    case.tenant("acme", "required", auth=mechanism, username=ODD,
                password=case.rig.accounts[ODD])
    case.serve()
    number = case.outbox().insert("acme", str(box))
    case.outbox().wait_state(number, "sent")
    assert box.wait(1)[0].account == ODD


@for_each(["plain", "cram-md5", "scram-sha-256"])
def test_wrong_password_is_tried_once(case, mechanism):
    """auth_failed: one AUTH, then silence; the mail waits untouched, and
    goes out when the password is mended."""
    box = case.box()
    case.tenant("acme", "required", auth=mechanism, password="wrong")
    daemon = case.serve()
    number = case.outbox().insert("acme", str(box))
    row = case.outbox().wait_tenant("acme", "auth_failed")
    assert "535" in row["last_error"] or "password" in row["last_error"], \
        row["last_error"]
    assert row["retry_at"] > time.time() + 600, tuple(row)
    down = daemon.wait_event("tenant.down", tenant="acme")
    # New mail is no reason to try again.
    second = case.outbox().insert("acme", str(box))
    limit = time.monotonic() + 3
    while time.monotonic() < limit:
        assert case.outbox().state(second) == "queued"
        time.sleep(0.1)
    assert case.rig.postfix.failed_logins("required") == 1
    assert len(daemon.events("tenant.down")) == len(down) == 1
    status = case.outbox().status(number)
    assert status["state"] == "queued" and status["attempts"] == 0, \
        tuple(status)
    case.outbox().set_tenant("acme",
                             password=case.rig.accounts["user@acme.example"])
    case.outbox().wait_state(number, "sent", 5)
    case.outbox().wait_state(second, "sent", 5)
    box.wait(2)
    daemon.wait_event("tenant.up", tenant="acme")
    assert case.rig.postfix.failed_logins("required") == 1


def test_no_login_where_none_is_wanted(case):
    """auth = none, and a tenant without a username under 'auto'."""
    box = case.box()
    case.tenant("acme", "open", auth="none")
    case.tenant("beta", "open", username=None, password=None)
    case.serve()
    case.outbox().insert("acme", str(box))
    case.outbox().insert("beta", str(box))
    case.outbox().wait_all()
    for message in box.wait(2):
        assert message.account is None and message.protocol == "ESMTPS"


def test_each_tenant_uses_its_own_account(case):
    """Same host, same port, five accounts: no mail leaves by another's."""
    boxes = {}
    for name in ("acme", "beta", "gamma", "delta", "omega"):
        case.tenant(name, "required")
        boxes[name] = case.box()
    case.serve()
    for _ in range(6):
        for name, box in boxes.items():
            case.outbox().insert(name, str(box), subject=name)
    case.outbox().wait_all()
    for name, box in boxes.items():
        for message in box.wait(6):
            assert message.account == "user@%s.example" % name
            assert message.return_path == "<app@%s.example>" % name


def test_password_from_a_file(case):
    """password_file is a name in secrets_dir."""
    os.mkdir(case.path("secrets"), 0o700)
    with open(case.path("secrets/acme.password"), "w") as stream:
        stream.write(case.rig.accounts["user@acme.example"] + "\n")
    os.chmod(case.path("secrets/acme.password"), 0o600)
    box = case.box()
    case.tenant("acme", "required", password=None,
                password_file="acme.password")
    case.serve(settings=["secrets_dir=" + case.path("secrets")])
    case.outbox().insert("acme", str(box))
    case.outbox().wait_all()
    box.wait(1)
