"""What a server's refusals and troubles mean for its tenant and its mail."""

import signal
import time

from server import CLOSE, own_port


def test_4xx_to_one_recipient(case):
    """The others have it; later it goes to the deferred one alone."""
    server = case.server()
    busy = server.on("RCPT", lambda session, line:
                     "450 4.2.1 mailbox busy" if "bob@" in line else None)
    case.tenant("acme", server)
    case.start()
    box = case.outbox()
    number = box.insert("acme", "ann@example.net, bob@example.net, "
                        "cyd@example.net")
    box.wait_state(number, "deferred")
    found = box.deliveries(number)
    assert [found[who + "@example.net"]["state"] for who in
            ("ann", "bob", "cyd")] == ["sent", "deferred", "sent"]
    assert found["bob@example.net"]["code"] == 450
    assert found["bob@example.net"]["enhanced_code"] == "4.2.1"
    assert box.tenant_status("acme")["state"] in ("idle", "sending")
    server.off(busy)
    row = box.wait_state(number, "sent")
    assert row["attempts"] >= 2
    assert [mail.recipients for mail in server.mails] == [
        ["ann@example.net", "cyd@example.net"], ["bob@example.net"]]


def test_5xx_to_one_recipient(case):
    """Refused for good: failed, and the others are sent all the same."""
    server = case.server()
    server.on("RCPT", lambda session, line:
              "550 5.1.1 no such user" if "bob@" in line else None)
    case.tenant("acme", server)
    daemon = case.start()
    box = case.outbox()
    number = box.insert("acme", "ann@example.net, bob@example.net")
    box.wait_state(number, "failed")
    found = box.deliveries(number)
    assert found["ann@example.net"]["state"] == "sent"
    assert found["bob@example.net"]["state"] == "failed"
    event = daemon.wait_event("delivery.failed", id=number)[0]
    assert (event["code"], event["enhanced"]) == ("550", "5.1.1")
    # Queued anew by the application: only for who had it not.
    server.rules.clear()
    box.execute("UPDATE outbox_status SET state = 'queued' "
                "WHERE outbox_id = ?", number)
    box.wait_state(number, "sent")
    assert server.mails[1].recipients == ["bob@example.net"]


def test_too_many_recipients_next_transaction_at_once(case):
    """452 4.5.3 after some: no delay, no attempt more, the same connection."""
    server = case.server()
    server.on("RCPT", lambda session, line: "452 4.5.3 too many recipients"
              if len(session.mail.recipients) >= 2 else None)
    case.tenant("acme", server, retry_min=3600, retry_max=3600)
    case.start()
    box = case.outbox()
    people = ["u%d@example.net" % i for i in range(5)]
    number = box.insert("acme", ", ".join(people))
    row = box.wait_state(number, "sent")
    assert row["attempts"] == 1
    assert [mail.recipients for mail in server.mails] == [
        people[0:2], people[2:4], people[4:]]
    assert len(server.sessions) == 1
    assert all(row["attempts"] == 1 for row in
               box.deliveries(number).values())


def test_streak_guard(case):
    """Five refused alike: the trouble is the tenant's; four fail at most."""
    server = case.server()
    refuse = server.on("MAIL", "550 5.7.1 your address is blocked")
    case.tenant("acme", server, streak_guard=5)
    box = case.outbox()
    numbers = [box.insert("acme", "bob@example.net", subject="%d" % i)
               for i in range(9)]
    daemon = case.start()
    row = box.wait_tenant("acme", "backoff")
    assert "in a row" in row["last_error"] and \
        "your address is blocked" in row["last_error"], row["last_error"]
    daemon.wait_event("tenant.probe", count=2)
    failed = [number for number in numbers if box.state(number) == "failed"]
    assert len(failed) == 4, failed
    server.off(refuse)
    for number in numbers:
        if number not in failed:
            box.wait_state(number, "sent")
    daemon.wait_event("tenant.up", tenant="acme")
    assert len(server.mails) == 5


def test_streak_ends_with_an_acceptance(case):
    """Each of many is refused for itself: no backoff."""
    server = case.server()
    server.on("RCPT", lambda session, line:
              "550 5.1.1 no such user" if "bad@" in line else None)
    case.tenant("acme", server, streak_guard=3, max_connections=1)
    box = case.outbox()
    for i in range(5):
        box.insert("acme", "bad@example.net")
        box.insert("acme", "bad@example.net")
        box.insert("acme", "good@example.net")
    daemon = case.start()
    box.wait("all finished", lambda: box.count("sent") == 5 and
             box.count("failed") == 10)
    assert not daemon.events("tenant.down")


def test_streak_guard_off(case):
    server = case.server()
    server.on("MAIL", "550 5.7.1 no")
    case.tenant("acme", server, streak_guard=0)
    box = case.outbox()
    for i in range(8):
        box.insert("acme", "bob@example.net")
    daemon = case.start()
    box.wait_all("failed")
    assert not daemon.events("tenant.down")


def test_down_probe_up(case):
    """In words, once; then a probe at a time; and up again by itself."""
    server = case.server(listen=False)
    server.port = own_port()
    case.tenant("acme", server)
    box = case.outbox()
    for i in range(5):
        box.insert("acme", "bob@example.net")
    daemon = case.start()
    daemon.wait_event("tenant.probe", count=2, tenant="acme")
    row = box.wait_tenant("acme", "backoff")
    assert row["consecutive_failures"] >= 1 and row["retry_at"] > 0
    assert row["queued"] == 5, row["queued"]
    assert "refused" in row["last_error"], row["last_error"]
    assert row["last_error"] == daemon.wait_event("tenant.down")[0]["error"]
    assert all(float(event["retry_in"]) > 0 for event in
               daemon.events("tenant.probe"))
    assert box.one("SELECT max(attempts) FROM outbox_status")[0] == 0
    server.listen(server.port)
    box.wait_all()
    daemon.wait_event("tenant.up", tenant="acme")
    daemon.exactly(1, "tenant.down")
    row = box.wait_tenant("acme", "idle")
    assert row["last_error"] is None and row["retry_at"] is None
    assert row["consecutive_failures"] == 0


def test_slow_start_after_an_outage(case):
    """One, then 1, 2, 4 ... messages at a time, although the session could
    have 16 under way: told by SIGUSR1 while one is held."""
    server = case.server(listen=False, extensions=(
        "PIPELINING", "CHUNKING", "8BITMIME", "ENHANCEDSTATUSCODES"))
    server.port = own_port()
    gates = [server.hold("dot", lambda session, mail, n=n:
                         len(server.mails) == n) for n in range(6)]
    case.tenant("acme", server, max_connections=1, pipeline_depth=16)
    box = case.outbox()
    for i in range(60):
        box.insert("acme", "bob@example.net")
    daemon = case.start()
    daemon.wait_event("tenant.down", tenant="acme")
    server.listen(server.port)

    def in_hand(most):
        before = len(daemon.events("tenant.status"))
        daemon.signal(signal.SIGUSR1)
        event = daemon.wait_event("tenant.status", count=before + 1)[-1]
        assert int(event["in_hand"]) <= most, (most, event)
        return int(event["in_hand"]) == most
    for most, gate in zip((1, 1, 2, 4, 8, 16), gates):
        gate.reached(60)
        case.until("%d in hand" % most, lambda: in_hand(most), 60)
        gate.release()
    box.wait_all()
    assert len(server.mails) == 60


def test_421_on_a_reused_connection(case):
    """A farewell between two messages: a new connection at once."""
    server = case.server()
    server.on("MAIL", lambda session, line:
              ["421 4.3.2 that was enough", CLOSE]
              if session.mails == 2 else None)
    case.tenant("acme", server, max_connections=1, retry_min=3600,
                retry_max=3600)
    box = case.outbox()
    for i in range(6):
        box.insert("acme", "bob@example.net", subject="%d" % i)
    daemon = case.start()
    box.wait_all()
    assert server.subjects() == ["%d" % i for i in range(6)]
    assert len(server.sessions) == 3
    assert not daemon.events("tenant.down")
    assert box.one("SELECT max(attempts) FROM outbox_status")[0] == 1


def test_closed_reused_connection(case):
    """The same without a word, in the middle of the recipients."""
    server = case.server()
    server.on("RCPT", lambda session, line:
              CLOSE if session.mails == 1 else None)
    case.tenant("acme", server, max_connections=1, retry_min=3600,
                retry_max=3600)
    box = case.outbox()
    for i in range(4):
        box.insert("acme", "bob@example.net", subject="%d" % i)
    daemon = case.start()
    box.wait_all()
    assert server.subjects() == ["%d" % i for i in range(4)]
    assert not daemon.events("tenant.down")


def test_new_connection_without_8bitmime(case):
    """What was composed as 8bit is composed anew for a server that offers less."""
    server = case.server()
    server.on("MAIL", lambda session, line:
              ["421 4.3.2 that was enough", CLOSE]
              if session.mails == 1 else None)
    server.on("EHLO", lambda session, line:
              "250-other.example\r\n250 PIPELINING"
              if session is not server.sessions[0] else None)
    case.tenant("acme", server, max_connections=1, retry_min=3600,
                retry_max=3600)
    box = case.outbox()
    for i in range(2):
        box.insert("acme", "bob@example.net", subject="%d" % i,
                   body_text="Gr\u00fc\u00dfe")
    daemon = case.start()
    box.wait_all()
    assert [mail.subject for mail in server.mails] == ["0", "1"]
    encodings = ["Content-Transfer-Encoding: 8bit",
                 "Content-Transfer-Encoding: base64"]
    for mail, encoding in zip(server.mails, encodings):
        assert encoding in mail.lines, mail.lines
    assert [" BODY=8BITMIME" in line for line in server.commands("MAIL")] == \
        [True, True, False], server.commands("MAIL")
    assert not daemon.events("tenant.down")


def test_first_message_for_a_server_without_8bitmime(case):
    """It was composed before the server had said what it offers."""
    server = case.server()
    other = case.server(extensions=["PIPELINING"])
    case.tenant("warm", server)
    case.tenant("acme", other)
    case.start()
    box = case.outbox()
    # so that there is a connection to read the row by
    box.wait_state(box.insert("warm", "bob@example.net"), "sent", 60)
    number = box.insert("acme", "bob@example.net", body_text="Gr\u00fc\u00dfe")
    box.wait_state(number, "sent", 60)
    assert "Content-Transfer-Encoding: base64" in other.mails[0].lines
    assert "BODY=8BITMIME" not in other.commands("MAIL")[0]


def test_421_on_a_new_connection_is_the_tenants(case):
    server = case.server()
    server.on("MAIL", "421 4.3.2 no")
    case.tenant("acme", server, retry_max=3600)
    case.start()
    box = case.outbox()
    number = box.insert("acme", "bob@example.net")
    row = box.wait_tenant("acme", "backoff")
    assert "421" in row["last_error"], row["last_error"]
    assert box.status(number)["attempts"] == 0


def test_poison_does_not_block_others(case):
    """The server closes on one particular message, whoever comes first."""
    server = case.server()
    server.on("line", lambda session, mail:
              CLOSE if "poison" in mail.lines[-1] else None)
    case.tenant("acme", server, max_connections=1)
    box = case.outbox()
    poison = box.insert("acme", "bob@example.net", subject="poison",
                        priority=9)
    numbers = [box.insert("acme", "bob@example.net", subject="%d" % i)
               for i in range(4)]
    case.start()
    for number in numbers:
        box.wait_state(number, "sent")
    row = box.wait_state(poison, "deferred")
    assert row["attempts"] >= 1
    assert "poison" not in server.subjects()


def test_throttled(case):
    server = case.server()
    slow = server.on("MAIL", "452 4.3.1 slow down")
    case.tenant("acme", server)
    daemon = case.start()
    box = case.outbox()
    number = box.insert("acme", "bob@example.net")
    row = box.wait_tenant("acme", "throttled")
    assert "slow down" in row["last_error"]
    daemon.wait_event("tenant.throttled", tenant="acme")
    assert box.status(number)["attempts"] == 0
    server.off(slow)
    box.wait_state(number, "sent")
    daemon.wait_event("tenant.up", tenant="acme")


def test_rejected_login_is_tried_once(case):
    """auth_failed: 15 minutes, whatever mail comes meanwhile."""
    server = case.server(extensions=["PIPELINING", "AUTH PLAIN"])
    server.on("login", "535 5.7.8 authentication failed")
    case.tenant("acme", server, auth="plain", username="me@acme.example",
                password="wrong-one")
    daemon = case.start()
    box = case.outbox()
    box.insert("acme", "bob@example.net")
    row = box.wait_tenant("acme", "auth_failed")
    assert 11 * 60 < row["retry_at"] - time.time() < 19 * 60
    assert "me@acme.example" in row["last_error"], row["last_error"]
    for i in range(5):
        box.insert("acme", "bob@example.net")
    box.wait("counted", lambda: box.tenant_status("acme")["queued"] == 6)
    assert len(server.commands("AUTH")) == 1
    daemon.exactly(1, "tenant.down")
    assert box.one("SELECT max(attempts) FROM outbox_status")[0] == 0


def test_454_is_no_wrong_password(case):
    server = case.server(extensions=["AUTH PLAIN"])
    server.on("login", "454 4.7.0 temporary authentication failure")
    case.tenant("acme", server, auth="plain", username="me", password="it")
    case.start()
    box = case.outbox()
    box.insert("acme", "bob@example.net")
    row = box.wait_tenant("acme", "backoff")
    assert row["retry_at"] - time.time() < 10
    server.rules.clear()
    box.wait_all()


def test_hanging_server_is_given_up_in_time(case):
    """Silence at any command ends at its limit, and it is the tenant's."""
    server = case.server()
    server.hold("MAIL")
    case.tenant("acme", server, command_timeout=1)
    case.start()
    box = case.outbox()
    number = box.insert("acme", "bob@example.net")
    row = box.wait_tenant("acme", "backoff")
    assert "did not answer in time" in row["last_error"], \
        row["last_error"]
    assert box.status(number)["attempts"] == 0
