"""The other server: Exim with GnuTLS, STARTTLS and implicit TLS."""

from case import for_each


@for_each([(m, s) for s in ("exim-starttls", "exim-implicit")
           for m in ("plain", "login", "cram-md5")])
def test_mechanism(case, mechanism, server):
    box = case.box()
    text = "first line\n.\n..two dots\n\nM\u00fc\u00dfig\n"
    case.tenant("acme", server, auth=mechanism)
    case.serve()
    number = case.outbox().insert("acme", str(box), subject="Gr\u00fc\u00dfe",
                                  body_text=text)
    case.outbox().wait_state(number, "sent")
    message = box.wait(1)[0]
    assert message.return_path == "<app@acme.example>", message.trace
    assert b"\nTo: " in message.sent, message.sent
    row = case.outbox().deliveries(number)[str(box)]
    assert row["code"] == 250 and "TLS" in row["tls"], tuple(row)
    login = {"plain": "A=plain:", "login": "A=login:", "cram-md5": "A=cram:"}
    case.rig.exim.log.wait(login[mechanism] + "user@acme.example")


def test_complete_message_byte_for_byte(case):
    box = case.box()
    message = (b"From: a@acme.example\nTo: x@elsewhere.example\n"
               b"Date: Mon, 23 Nov 2026 10:00:00 +0000\n"
               b"Message-ID: <exim-1@acme.example>\nSubject: raw\n\n"
               b".\n..\n" + b"y" * 990 + b"\nend\n")
    case.tenant("acme", "exim-starttls")
    case.serve()
    number = case.outbox().insert("acme", str(box), message=message)
    case.outbox().wait_state(number, "sent")
    assert box.wait(1)[0].sent == message


def test_several_messages_one_connection(case):
    box = case.box()
    case.tenant("acme", "exim-starttls", max_connections=1)
    daemon = case.serve()
    for _ in range(5):
        case.outbox().insert("acme", str(box))
    case.outbox().wait_all()
    box.wait(5)
    assert daemon.stop() == 0
    closed = daemon.events("session.close", tenant="acme")
    assert sum(int(event["messages"]) for event in closed) == 5, closed
    assert len(closed) == 1, closed


def test_unknown_user(case):
    box = case.box()
    case.tenant("acme", "exim-starttls")
    case.serve()
    number = case.outbox().insert("acme", "nobody@box.example, %s" % box)
    status = case.outbox().wait_state(number, "failed")
    rows = case.outbox().deliveries(number)
    assert rows[str(box)]["state"] == "sent"
    refused = rows["nobody@box.example"]
    assert refused["state"] == "failed" and refused["code"] == 550
    assert "unknown user" in refused["response"], tuple(refused)
    assert status["result"], tuple(status)
    box.wait(1)
