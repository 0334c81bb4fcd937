"""What MAIL and RCPT say for a row: notifications, UTF-8, size, 8-bit."""


BASIC = ("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES")


def serve(case, *more):
    server = case.server(extensions=BASIC + more)
    case.tenant("acme", server)
    return server, case.start(), case.outbox()


def test_notifications_are_asked_for(case):
    server, daemon, box = serve(case, "DSN")
    number = box.insert("acme", "bob+1@example.net", dsn_return="headers",
                        dsn_notify="success, failure", subject="first")
    box.wait_state(number, "sent")
    instance = box.one("SELECT value FROM outbox_meta "
                       "WHERE key = 'instance'")["value"]
    assert server.commands("MAIL") == [
        "MAIL FROM:<app@acme.example> RET=HDRS ENVID=%d.%s"
        % (number, instance)], server.commands("MAIL")
    assert server.commands("RCPT") == [
        "RCPT TO:<bob+1@example.net> NOTIFY=SUCCESS,FAILURE "
        "ORCPT=rfc822;bob+2B1@example.net"], server.commands("RCPT")
    event = daemon.wait_event("delivery.sent", id=number)[0]
    assert event["dsn"] == "asked"
    assert box.status(number)["result"] == "taken"
    # who asks for nothing is not spoken of
    other = box.insert("acme", "bob@example.net")
    event = daemon.wait_event("delivery.sent", id=other)[0]
    assert "dsn" not in event
    assert server.commands("RCPT")[1:] == ["RCPT TO:<bob@example.net>"]


def test_notifications_that_are_not_offered(case):
    """It goes without, and log and table say so."""
    server, daemon, box = serve(case)
    number = box.insert("acme", "bob@example.net", dsn_notify="never")
    box.wait_state(number, "sent")
    assert server.commands("RCPT") == ["RCPT TO:<bob@example.net>"]
    event = daemon.wait_event("delivery.sent", id=number)[0]
    assert event["dsn"] == "not_offered"
    assert box.status(number)["result"] == \
        "taken (no notifications: the server does not offer DSN)"


def test_a_hidden_recipient_that_needs_smtputf8(case):
    """It stands in no field of the header: the others have their message."""
    server, daemon, box = serve(case)
    number = box.insert("acme", "bob@example.net",
                        bcc_addresses="j\u00f6rg@example.net")
    box.wait_state(number, "failed")
    rows = box.deliveries(number)
    assert rows["bob@example.net"]["state"] == "sent"
    failed = rows["j\u00f6rg@example.net"]
    assert failed["state"] == "failed" and failed["code"] == 0
    assert failed["enhanced_code"] == "5.6.7"
    assert failed["response"] == "j\u00f6rg@example.net is not ASCII before " \
        "the @, and 127.0.0.1 does not offer SMTPUTF8"
    assert server.commands("RCPT") == ["RCPT TO:<bob@example.net>"]
    assert "SMTPUTF8" not in server.commands("MAIL")[0]


def test_a_header_that_needs_smtputf8(case):
    """An address cannot be encoded: nobody can have it, and MAIL is not
    said; a name can, and a domain."""
    server, daemon, box = serve(case)
    numbers = [box.insert("acme", "bob@example.net, j\u00f6rg@example.net"),
               box.insert("acme", "bob@example.net",
                          reply_to="j\u00f6rg@example.net"),
               box.insert("acme", "bob@example.net",
                          envelope_from="j\u00f6rg@acme.example"),
               box.insert("acme", None, message="From: a@acme.example\n"
                          "To: bob@example.net\nSubject: \u00e4\n\nx\n")]
    for number in numbers:
        box.wait_state(number, "failed")
        for row in box.deliveries(number).values():
            assert row["enhanced_code"] == "5.6.7", dict(row)
            assert "does not offer SMTPUTF8" in row["response"]
    assert server.commands("MAIL") == []
    number = box.insert("acme", "J\u00f6rg <bob@b\u00fccher.example>",
                        subject="\u00e4")
    box.wait_state(number, "sent")
    assert server.commands("RCPT") == ["RCPT TO:<bob@xn--bcher-kva.example>"]


def test_smtputf8_where_it_is_offered(case):
    server, daemon, box = serve(case, "SMTPUTF8", "DSN")
    number = box.insert("acme", "j\u00f6rg@b\u00fccher.example",
                        dsn_notify="failure")
    box.wait_state(number, "sent")
    mail, = server.commands("MAIL")
    assert mail.startswith("MAIL FROM:<app@acme.example> BODY=8BITMIME "
                           "SMTPUTF8 ENVID=%d." % number), mail
    assert server.commands("RCPT") == [
        "RCPT TO:<j\u00f6rg@xn--bcher-kva.example> NOTIFY=FAILURE "
        "ORCPT=utf-8;j\\x{F6}rg@xn--bcher-kva.example"]


def test_a_complete_message_of_8_bits(case):
    """It is not changed: where 8BITMIME is not offered it fails."""
    server = case.server(extensions=("PIPELINING",))
    case.tenant("acme", server)
    case.start()
    box = case.outbox()
    number = box.insert("acme", "bob@example.net",
                        message="From: a@acme.example\n\n\u00e4\n")
    box.wait_state(number, "failed")
    assert box.status(number)["result"] == \
        "the message is 8-bit and 127.0.0.1 does not offer 8BITMIME"
    assert server.commands("MAIL") == []


def test_a_message_that_is_too_large(case):
    server, daemon, box = serve(case, "SIZE 2000")
    number = box.insert("acme", "bob@example.net", body_text="x\n" * 2000)
    box.wait_state(number, "failed")
    assert box.deliveries(number)["bob@example.net"]["enhanced_code"] == \
        "5.3.4"
    assert "127.0.0.1 takes at most 2000" in box.status(number)["result"]
    number = box.insert("acme", "bob@example.net", body_text="x\n")
    box.wait_state(number, "sent")
    assert server.commands("MAIL")[0].startswith(
        "MAIL FROM:<app@acme.example> SIZE="), server.commands("MAIL")
