"""messages_per_minute and recipients_per_day: a tenant that has used them up
waits, with words, and nobody else does."""

import re
import time


def recipients(count, word="r"):
    return ", ".join("%s%d@example.net" % (word, i) for i in range(count))


def accepted(server):
    """Addresses in the order in which they were accepted."""
    return [address for mail in server.mails for address in mail.recipients]


def usage(case, tenant="acme"):
    return case.outbox().value("SELECT coalesce(sum(recipients), 0) FROM "
                               "outbox_usage WHERE tenant = ?", tenant)


def a_day_later(case):
    case.as_daemon("UPDATE outbox_usage SET since = since - 100000")


def test_messages_per_minute(case):
    """So many start, the others wait, with words; another tenant does not; a
    larger limit lets more go at once, none all of them."""
    server, other = case.server(), case.server()
    case.tenant("acme", server, messages_per_minute=3)
    case.tenant("other", other)
    box = case.outbox()
    for i in range(8):
        box.insert("acme", "bob@example.net", subject="%d" % i)
    daemon = case.start()
    row = box.wait_tenant("acme", "limited")
    assert re.fullmatch(r"limited to 3 messages a minute; next at "
                        r"\d\d:\d\d:\d\d UTC", row["last_error"]), \
        row["last_error"]
    assert 0 < row["retry_at"] - time.time() <= 62
    assert row["consecutive_failures"] == 0
    box.wait("told", lambda: box.tenant_status("acme")["queued"] == 5)
    event = daemon.wait_event("tenant.limited", tenant="acme")
    assert len(event) == 1 and "3 messages" in event[0]["error"]
    assert not daemon.events("tenant.down")
    for i in range(5):
        box.wait_state(box.insert("other", "bob@example.net"), "sent")
    assert len(server.commands("MAIL")) == 3
    box.set_tenant("acme", messages_per_minute=5)
    box.wait("two more", lambda: box.count("sent") == 5 + 5)
    box.wait_tenant("acme", "limited")
    assert len(server.commands("MAIL")) == 5
    box.set_tenant("acme", messages_per_minute=None)
    box.wait_all()
    box.wait_tenant("acme", "idle")
    assert box.tenant_status("acme")["last_error"] is None
    assert sorted(server.subjects()) == ["%d" % i for i in range(8)]


def test_a_limit_comes_live(case):
    """Also on the session that is open already, and on both of them."""
    server = case.server()
    case.tenant("acme", server)
    case.start()
    box = case.outbox()
    box.wait_state(box.insert("acme", "bob@example.net"), "sent")
    box.set_tenant("acme", messages_per_minute=1)
    first = box.insert("acme", "bob@example.net")
    box.wait_state(first, "sent")
    later = box.insert("acme", "bob@example.net")
    box.wait_tenant("acme", "limited")
    assert box.state(later) == "queued"
    assert len(server.mails) == 2


def test_two_sessions_share_the_limit(case):
    """What is handed out counts, although no MAIL was said yet."""
    server = case.server()
    gate = server.hold("MAIL")
    case.tenant("acme", server, messages_per_minute=2, max_connections=2)
    box = case.outbox()
    for _ in range(6):
        box.insert("acme", "bob@example.net")
    case.start()
    gate.reached()
    gate.reached()      # the second one, after two seconds
    gate.release()
    box.wait_tenant("acme", "limited")
    assert len(server.sessions) == 2
    assert len(server.commands("MAIL")) == 2 and box.count("queued") == 4


def test_a_limited_tenant_holds_no_place(case):
    server, other = case.server(), case.server()
    case.tenant("acme", server, messages_per_minute=1)
    case.tenant("other", other)
    box = case.outbox()
    for _ in range(5):
        box.insert("acme", "bob@example.net")
    case.start(settings=["max_workers=1", "idle_timeout=1h"])
    box.wait_tenant("acme", "limited")
    box.wait_state(box.insert("other", "bob@example.net"), "sent")
    assert len(server.mails) == 1


def test_recipients_per_day(case):
    """As many as fit get it, the others when the day lets them; remembered
    over a kill; one that was accepted gets nothing again."""
    server = case.server()
    case.tenant("acme", server, recipients_per_day=5, max_connections=1)
    box = case.outbox()
    first = box.insert("acme", recipients(3, "a"))
    daemon = case.start()
    box.wait_state(first, "sent")
    second = box.insert("acme", recipients(4, "b"))
    row = box.wait_state(second, "deferred")
    assert "limit" in row["result"], row["result"]
    assert sorted(box.deliveries(second)) == ["b0@example.net",
                                              "b1@example.net"]
    row = box.wait_tenant("acme", "limited")
    assert re.fullmatch(r"limited to 5 recipients a day; next at \d{4}-\d\d-"
                        r"\d\d \d\d:\d\d:\d\d UTC", row["last_error"]), \
        row["last_error"]
    assert 86400 - 5 <= row["retry_at"] - time.time() <= 86400 + 900 + 5
    third = box.insert("acme", "c@example.net")
    assert usage(case) == 5
    daemon.wait_event("tenant.limited", tenant="acme")  # or it goes with it
    daemon.kill()
    daemon.start()
    # told by the new one: the row may be the old one's
    daemon.wait_event("tenant.limited", 2, 60, tenant="acme")
    box.wait_tenant("acme", "limited")
    assert len(accepted(server)) == 5
    daemon.stop()
    a_day_later(case)
    daemon.start()
    for number in (second, third):
        box.wait_state(number, "sent")
    assert sorted(accepted(server)) == sorted(
        (recipients(3, "a") + ", " + recipients(4, "b")).split(", ") +
        ["c@example.net"])
    # What is older than a day is gone from the table.
    assert usage(case) == 3
    assert box.value("SELECT min(since) FROM outbox_usage") > \
        time.time() - 7200


def test_untried_recipients_are_given_back(case):
    """A server that takes two at a time: four fit into a day of four, in two
    transactions, which are two messages of the minute."""
    server = case.server()
    server.on("RCPT", lambda session, line: "452 4.5.3 too many"
              if len(session.mail.recipients) >= 2 else None)
    case.tenant("acme", server, recipients_per_day=4, messages_per_minute=2)
    case.start()
    box = case.outbox()
    box.wait_state(box.insert("acme", recipients(4)), "sent")
    assert usage(case) == 4
    late = box.insert("acme", "late@example.net")
    box.wait_tenant("acme", "limited")
    box.set_tenant("acme", recipients_per_day=5)
    row = box.wait("the minute's", lambda: (
        lambda row: row if row["state"] == "limited" and
        "2 messages" in row["last_error"] else None)(
            box.tenant_status("acme")))
    assert box.state(late) == "queued"
    box.set_tenant("acme", messages_per_minute=3)
    box.wait_state(late, "sent")


def test_a_transaction_that_the_minute_does_not_let(case):
    """Half of the recipients are accepted, the others need a second MAIL:
    they get it later, and nobody gets it twice."""
    server = case.server()
    server.on("RCPT", lambda session, line: "452 4.5.3 too many"
              if len(session.mail.recipients) >= 2 else None)
    case.tenant("acme", server, messages_per_minute=1)
    case.start()
    box = case.outbox()
    number = box.insert("acme", recipients(4))
    box.wait_state(number, "deferred")
    box.wait_tenant("acme", "limited")
    assert len(accepted(server)) == 2
    box.set_tenant("acme", messages_per_minute=None)
    box.wait_state(number, "sent")
    assert sorted(accepted(server)) == recipients(4).split(", ")


def test_expires_while_the_day_is_used_up(case):
    server = case.server()
    case.tenant("acme", server, recipients_per_day=1)
    case.start(settings=["expiry_check=1s"])
    box = case.outbox()
    box.wait_state(box.insert("acme", "bob@example.net"), "sent")
    waits = box.insert("acme", "bob@example.net",
                       expires_at=int(time.time()) + 3)
    stays = box.insert("acme", "bob@example.net")
    box.wait_tenant("acme", "limited")
    row = box.wait_state(waits, "failed")
    assert "expired" in row["result"], row["result"]
    assert box.state(stays) == "queued" and len(server.mails) == 1


def test_killed_past_the_end_counts(case):
    """The server has them: the day knows it after the kill, too."""
    server = case.server()
    gate = server.hold("dot", lambda session, mail: mail.subject == "first")
    case.tenant("acme", server, recipients_per_day=4)
    box = case.outbox()
    first = box.insert("acme", recipients(3), subject="first")
    daemon = case.start()
    gate.reached()
    daemon.kill()
    gate.release()
    daemon.start()
    box.wait_state(first, "deferred")
    assert usage(case) == 3
    second = box.insert("acme", recipients(2, "s"), subject="second")
    box.wait_state(second, "deferred")
    box.wait_tenant("acme", "limited")
    assert len(box.deliveries(second)) == 1 and usage(case) == 4


def test_a_worker_that_ends_gives_back_what_it_had(case):
    """Its reserved starts are free again, what it may have named counts."""
    server = case.server()
    case.tenant("acme", server, messages_per_minute=4, recipients_per_day=50)
    box = case.outbox()
    number = box.insert("acme", recipients(3), subject="first")
    case.start_faulty("worker-end-in-data:acme:1",
                      {"worker.failed", "worker.restarted"})
    box.wait_state(number, "sent")
    assert usage(case) == 6
    for _ in range(2):
        box.wait_state(box.insert("acme", "bob@example.net"), "sent")
    box.insert("acme", "bob@example.net")
    box.wait_tenant("acme", "limited")


def test_what_was_not_sent_gives_its_start_back(case):
    """Invalid or cancelled, it said no MAIL: it takes none of the minute's."""
    server = case.server()
    gate = server.hold("dot", lambda session, mail: mail.subject == "slow")
    case.tenant("acme", server, messages_per_minute=3, max_connections=1)
    box = case.outbox()
    invalid = [box.insert("acme", "bob@") for _ in range(7)]
    case.start()
    for number in invalid:
        box.wait_state(number, "failed")
    slow = box.insert("acme", "bob@example.net", subject="slow")
    gate.reached()
    behind = [box.insert("acme", "bob@example.net") for _ in range(2)]
    for number in behind:
        box.execute("UPDATE outbox_status SET state = 'cancelled' "
                    "WHERE outbox_id = ?", number)
    gate.release()
    box.wait_state(slow, "sent")
    for _ in range(2):
        box.wait_state(box.insert("acme", "bob@example.net"), "sent")
    assert len(server.commands("MAIL")) == 3
