"""Servers of other makes: every mechanism that each has, in every way that it
does TLS; and what each says of a message, a user and a stranger.

Postfix and Exim have more tests of their own; here they stand in one row with
the others.  doc/SERVERS.md is the table of what is shown here.
"""

import dovecot
import exim
import aiosmtpd_server
import sendmail
from case import for_each

TENANTS = ["acme", "beta", "gamma", "delta", "omega"]

# name: (mechanisms, TLS modes, servers on the way to the mailbox)
SERVERS = {
    "exim": (exim.MECHANISMS, ["starttls", "opportunistic", "implicit"], 1),
    "opensmtpd": (["none"], ["none"], 1),
    "sendmail": (sendmail.MECHANISMS,
                 ["starttls", "opportunistic", "implicit", "none"], 1),
    "submission": (dovecot.MECHANISMS,
                   ["starttls", "opportunistic", "implicit", "none"], 2),
    "aiosmtpd": (aiosmtpd_server.MECHANISMS,
                 ["starttls", "opportunistic", "implicit", "none"], 1),
}
ALL = list(SERVERS)
OTHERS = [name for name in ALL if name != "exim"]
WITH_AUTH = [name for name in ALL if name != "opensmtpd"]

TEXT = ("first line\n.\n..two dots\n\nM\u00fc\u00dfig, \u65e5\u672c\u8a9e\n"
        + "x" * 900 + "\n")
COMPLETE = (b"From: a@acme.example\nTo: x@elsewhere.example\n"
            b"Date: Mon, 23 Nov 2026 10:00:00 +0000\n"
            b"Message-ID: <whole-1@acme.example>\nSubject: raw\n\n"
            b".\n..\n\n" + b"y" * 990 + b"\nFrom here to the\nend\n")


def port_of(server, tls):
    if server == "opensmtpd":
        return "opensmtpd-clear"
    return server + ("-implicit" if tls == "implicit" else "-starttls")


def tenant(case, server, tls=None, **columns):
    """acme, at that server; tls: how, or as the server can."""
    if server == "opensmtpd":
        tls, columns["auth"] = "none", "none"
    tls = tls or "starttls"
    case.tenant("acme", port_of(server, tls), tls=tls, **columns)


@for_each([(name, tls) for name in ALL for tls in SERVERS[name][1]])
def test_mechanisms(case, server, tls):
    """A tenant for each mechanism, all at once; the server says by its own
    words who it was."""
    mechanisms, _, hops = SERVERS[server]
    boxes = {}
    for tenant, mechanism in zip(TENANTS, mechanisms):
        case.tenant(tenant, port_of(server, tls), tls=tls, auth=mechanism)
        boxes[tenant] = (case.box(hops), mechanism)
    daemon = case.serve()
    numbers = {tenant: case.outbox().insert(
        tenant, str(box), subject="Gr\u00fc\u00dfe", body_text=TEXT)
        for tenant, (box, _) in boxes.items()}
    for tenant, (box, mechanism) in boxes.items():
        case.outbox().wait_state(numbers[tenant], "sent")
        message = box.wait(1)[0]
        assert message.return_path == "<app@%s.example>" % tenant, \
            message.trace
        row = case.outbox().deliveries(numbers[tenant])[str(box)]
        assert row["code"] == 250, tuple(row)
        assert (row["tls"] is None) == (tls == "none"), tuple(row)
        opened = daemon.wait_event("session.open", tenant=tenant)[0]
        assert opened["auth"].lower() == mechanism, opened
        if server == "aiosmtpd":
            assert "user@%s.example" % tenant in \
                message.trace_value("received"), message.trace
        if server == "sendmail":
            assert "authenticated %s " % mechanism.upper() in \
                message.trace_value("received"), message.trace


@for_each(WITH_AUTH)
def test_auto(case, server):
    """The strongest that both sides know."""
    box = case.box(SERVERS[server][2])
    tenant(case, server)
    daemon = case.serve()
    number = case.outbox().insert("acme", str(box))
    case.outbox().wait_state(number, "sent")
    box.wait(1)
    strongest = SERVERS[server][0][-1] if len(SERVERS[server][0]) > 2 \
        else "plain"
    opened = daemon.wait_event("session.open", tenant="acme")[0]
    assert opened["auth"].lower() == strongest, opened


@for_each(OTHERS)
def test_complete_message_byte_for_byte(case, server):
    box = case.box(SERVERS[server][2])
    tenant(case, server)
    case.serve()
    number = case.outbox().insert("acme", str(box), message=COMPLETE)
    case.outbox().wait_state(number, "sent")
    assert box.wait(1)[0].sent == COMPLETE


@for_each(OTHERS)
def test_several_messages_one_connection(case, server):
    box = case.box(SERVERS[server][2])
    tenant(case, server, "implicit", max_connections=1)
    daemon = case.serve()
    for _ in range(5):
        case.outbox().insert("acme", str(box))
    case.outbox().wait_all()
    box.wait(5)
    assert daemon.stop() == 0
    closed = daemon.events("session.close", tenant="acme")
    assert len(closed) == 1 and closed[0]["messages"] == "5", closed


@for_each(OTHERS)
def test_unknown_user(case, server):
    """One recipient is refused, the other has the mail."""
    box = case.box(SERVERS[server][2])
    tenant(case, server)
    case.serve()
    number = case.outbox().insert("acme", "nobody@box.example, %s" % box)
    case.outbox().wait_state(number, "failed")
    rows = case.outbox().deliveries(number)
    assert rows[str(box)]["state"] == "sent", tuple(rows[str(box)])
    refused = rows["nobody@box.example"]
    code = 524 if server == "opensmtpd" else 550
    assert refused["state"] == "failed" and refused["code"] == code, \
        tuple(refused)
    box.wait(1)


@for_each(WITH_AUTH)
def test_wrong_password(case, server):
    box = case.box()
    tenant(case, server, password="wrong")
    case.serve()
    number = case.outbox().insert("acme", str(box))
    row = case.outbox().wait_tenant("acme", "auth_failed")
    assert "535" in row["last_error"], row["last_error"]
    assert case.outbox().status(number)["attempts"] == 0
