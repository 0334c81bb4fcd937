"""The end of the data was given and no reply came: what follows."""

import os
import signal
import sqlite3
import time

from case import need_faults
from server import CLOSE


def lose_reply(case, server):
    """The server takes the message and closes without a word."""
    def take(session, mail):
        server.took(mail)
        return CLOSE
    return server.on("dot", take)


def uncertain(case, **columns):
    """A message whose reply was lost: (server, daemon, id)."""
    server = case.server()
    rule = lose_reply(case, server)
    case.tenant("acme", server, **columns)
    daemon = case.start()
    number = case.outbox().insert("acme", "bob@example.net", reference="r1")
    daemon.wait_event("delivery.uncertain", id=number)
    server.off(rule)
    return server, daemon, number


def test_resend_after_ten_minutes(case):
    server, daemon, number = uncertain(case)
    box = case.outbox()
    row = box.status(number)
    assert row["state"] == "deferred" and row["attempts"] == 1
    assert 550 < row["due_at"] - time.time() < 650, row["due_at"]
    assert box.deliveries(number)["bob@example.net"]["state"] == "uncertain"
    event = daemon.wait_event("delivery.uncertain")[0]
    assert event["duplicate"] == "possible" and event["reference"] == "r1"
    # It was the tenant's trouble too, and others go on when it is over.
    box.wait_state(box.insert("acme", "bob@example.net"), "sent")
    assert box.state(number) == "deferred"


def test_queued_by_the_application_goes_at_once(case):
    """... and the log says that it may be the second."""
    server, daemon, number = uncertain(case)
    box = case.outbox()
    box.execute("UPDATE outbox_status SET state = 'queued' "
                "WHERE outbox_id = ?", number)
    box.wait_state(number, "sent")
    event = daemon.wait_event("delivery.sent", id=number)[0]
    assert event["duplicate"] == "possible"
    first, second = [mail.text for mail in server.mails]
    assert first == second, "a repeat is byte for byte the same"


def test_refused_for_now_and_then_sent(case):
    """An answer between does not make the first one certain."""
    server, daemon, number = uncertain(case)
    box = case.outbox()
    later = server.on("dot", "450 4.2.0 later")
    box.execute("UPDATE outbox_status SET state = 'queued' "
                "WHERE outbox_id = ?", number)
    daemon.wait_event("delivery.deferred", id=number)
    row = box.wait_state(number, "deferred")
    assert row["due_at"] - time.time() < 60
    server.off(later)
    box.wait_state(number, "sent")
    event = daemon.wait_event("delivery.sent", id=number)[0]
    assert event["duplicate"] == "possible"


def test_refused_queued_anew_and_then_sent(case):
    """Neither does a refusal: the application queues it again, and it may
    be the second."""
    server, daemon, number = uncertain(case)
    box = case.outbox()
    never = server.on("dot", "550 5.7.1 never")
    box.execute("UPDATE outbox_status SET state = 'queued' "
                "WHERE outbox_id = ?", number)
    daemon.wait_event("delivery.failed", id=number)
    box.wait_state(number, "failed")
    assert box.deliveries(number)["bob@example.net"]["uncertain"] == 1
    server.off(never)
    other = box.insert("acme", "bob@example.net")
    event = daemon.wait_event("delivery.sent", id=other)[0]
    assert "duplicate" not in event
    assert box.deliveries(other)["bob@example.net"]["uncertain"] == 0
    box.execute("UPDATE outbox_status SET state = 'queued' "
                "WHERE outbox_id = ?", number)
    box.wait_state(number, "sent")
    event = daemon.wait_event("delivery.sent", id=number)[0]
    assert event["duplicate"] == "possible"
    first, second = [mail.text for mail in server.mails
                     if "<%d." % number in mail.text]
    assert first == second, "a repeat is byte for byte the same"


def test_hold_leaves_no_doubt_where_an_answer_came(case):
    """What is committed before the end of the data is a doubt only if no
    answer follows."""
    server = case.server()
    case.tenant("acme", server, on_uncertain="hold")
    daemon = case.start()
    box = case.outbox()
    never = server.on("dot", "550 5.7.1 never")
    number = box.insert("acme", "bob@example.net")
    box.wait_state(number, "failed")
    assert box.deliveries(number)["bob@example.net"]["uncertain"] == 0
    server.off(never)
    box.execute("UPDATE outbox_status SET state = 'queued' "
                "WHERE outbox_id = ?", number)
    box.wait_state(number, "sent")
    assert box.deliveries(number)["bob@example.net"]["uncertain"] == 0
    event = daemon.wait_event("delivery.sent", id=number)[0]
    assert "duplicate" not in event


def test_held_sent_by_decision_stays_known(case):
    server, daemon, number = uncertain(case, on_uncertain="hold")
    box = case.outbox()
    box.wait_state(number, "uncertain")
    assert box.deliveries(number)["bob@example.net"]["uncertain"] == 1
    box.execute("UPDATE outbox_status SET state = 'sent' "
                "WHERE outbox_id = ?", number)
    row = box.deliveries(number)["bob@example.net"]
    assert row["state"] == "sent" and row["uncertain"] == 1


def test_reply_too_late(case):
    """Silence after the dot is the same as a close."""
    server = case.server()
    server.hold("dot")
    case.tenant("acme", server, data_timeout=1)
    daemon = case.start()
    number = case.outbox().insert("acme", "bob@example.net")
    daemon.wait_event("delivery.uncertain", id=number)
    case.outbox().wait_state(number, "deferred")


def test_hold_waits_for_a_decision(case):
    server, daemon, number = uncertain(case, on_uncertain="hold", max_age=60)
    box = case.outbox()
    assert box.wait_state(number, "uncertain")
    assert box.deliveries(number)["bob@example.net"]["state"] == "uncertain"
    box.wait_state(box.insert("acme", "ann@example.net"), "sent")
    assert box.state(number) == "uncertain"


def decide(case, state):
    server, daemon, number = uncertain(case, on_uncertain="hold")
    box = case.outbox()
    box.wait_state(number, "uncertain")
    box.execute("UPDATE outbox_status SET state = ? WHERE outbox_id = ?",
                state, number)
    return server, daemon, number, box


def test_hold_decided_sent(case):
    server, daemon, number, box = decide(case, "sent")
    box.wait_state(box.insert("acme", "ann@example.net"), "sent")
    assert box.state(number) == "sent" and len(server.mails) == 2
    assert box.deliveries(number)["bob@example.net"]["state"] == "sent"


def test_hold_decided_failed(case):
    server, daemon, number, box = decide(case, "failed")
    box.wait_state(box.insert("acme", "ann@example.net"), "sent")
    assert box.state(number) == "failed" and len(server.mails) == 2


def test_hold_decided_cancelled(case):
    server, daemon, number, box = decide(case, "cancelled")
    box.wait_state(box.insert("acme", "ann@example.net"), "sent")
    assert box.state(number) == "cancelled" and len(server.mails) == 2


def test_hold_decided_queued(case):
    server, daemon, number, box = decide(case, "queued")
    box.wait_state(number, "sent")
    assert len(server.mails) == 2
    event = daemon.wait_event("delivery.sent", id=number)[0]
    assert event["duplicate"] == "possible"


def test_hold_decided_queued_and_refused_for_now(case):
    """The decision stands: it is tried on until the next doubt."""
    server, daemon, number = uncertain(case, on_uncertain="hold")
    box = case.outbox()
    box.wait_state(number, "uncertain")
    later = server.on("dot", "450 4.2.0 later")
    box.execute("UPDATE outbox_status SET state = 'queued' "
                "WHERE outbox_id = ?", number)
    daemon.wait_event("delivery.deferred", id=number)
    server.off(later)
    box.wait_state(number, "sent")
    event = daemon.wait_event("delivery.sent", id=number)[0]
    assert event["duplicate"] == "possible"


def test_hold_is_committed_before_the_end(case):
    """When the server has the dot the table says already that it may."""
    server = case.server()
    seen = []

    def look(session, mail):
        db = sqlite3.connect(case.path("outbox.db"), timeout=5)
        seen.extend(db.execute("SELECT recipient, state FROM outbox_delivery "
                               "ORDER BY recipient").fetchall())
        db.close()
    server.on("dot", look)
    case.tenant("acme", server, on_uncertain="hold")
    case.start()
    box = case.outbox()
    number = box.insert("acme", "ann@example.net, bob@example.net")
    row = box.wait_state(number, "sent")
    assert seen == [("ann@example.net", "uncertain"),
                    ("bob@example.net", "uncertain")], seen
    assert row["attempts"] == 1
    assert {r["state"] for r in box.deliveries(number).values()} == {"sent"}


def test_hold_many(case):
    """The commit before the end costs each message one wait, and loses
    none of those that come meanwhile."""
    server = case.server()
    case.tenant("acme", server, on_uncertain="hold")
    box = case.outbox()
    for i in range(60):
        box.insert("acme", "bob@example.net", subject="%d" % i)
    case.start()
    box.wait_all()
    assert sorted(server.subjects(), key=int) == ["%d" % i
                                                  for i in range(60)]


def test_hold_then_refused(case):
    """Uncertain only until the answer: a 4xx is an answer."""
    server = case.server()
    later = server.on("dot", "450 4.2.0 later")
    case.tenant("acme", server, on_uncertain="hold")
    case.start()
    box = case.outbox()
    number = box.insert("acme", "bob@example.net")
    box.wait_state(number, "deferred")
    assert box.deliveries(number)["bob@example.net"]["state"] == "deferred"
    server.off(later)
    box.wait_state(number, "sent")
    assert len(server.mails) == 1


def killed_after_dot(case, cancel=False, **columns):
    """outboxd killed as a whole while the server holds its reply; cancelled
    before it is started again."""
    server = case.server()
    gate = server.hold("dot", lambda session, mail:
                       (server.took(mail), session.number == 1)[1])
    case.tenant("acme", server, **columns)
    daemon = case.start()
    number = case.outbox().insert("acme", "bob@example.net")
    gate.reached()
    daemon.kill()
    gate.release()
    if cancel:
        case.outbox().execute("UPDATE outbox_status SET state = 'cancelled' "
                              "WHERE outbox_id = ?", number)
    daemon.start()
    return server, daemon, number, case.outbox()


def test_killed_after_the_dot(case):
    """The journal knows: deferred, announced, and not sent again at once."""
    server, daemon, number, box = killed_after_dot(case)
    event = daemon.wait_event("delivery.uncertain", id=number)[0]
    assert event["duplicate"] == "possible"
    row = box.wait_state(number, "deferred")
    assert row["attempts"] == 1
    assert 550 < row["due_at"] - time.time() < 650, row["due_at"]
    other = box.insert("acme", "ann@example.net")
    box.wait_state(other, "sent")
    assert len(server.mails) == 2
    box.execute("UPDATE outbox_status SET state = 'queued' "
                "WHERE outbox_id = ?", number)
    box.wait_state(number, "sent")
    event = daemon.wait_event("delivery.sent", id=number)[0]
    assert event["duplicate"] == "possible"
    assert server.mails[0].text == server.mails[2].text


def test_killed_after_the_dot_with_hold(case):
    server, daemon, number, box = killed_after_dot(case, on_uncertain="hold")
    daemon.wait_event("delivery.uncertain", id=number)
    box.wait_state(number, "uncertain")
    assert len(server.mails) == 1


def test_killed_after_the_dot_and_cancelled_then(case):
    """It stays cancelled; that it may have arrived is told, once, and kept."""
    server, daemon, number, box = killed_after_dot(case, cancel=True)
    event = daemon.wait_event("delivery.uncertain", id=number)[0]
    assert event["duplicate"] == "possible", event
    assert box.state(number) == "cancelled"
    row = box.deliveries(number)["bob@example.net"]
    assert (row["state"], row["uncertain"]) == ("uncertain", 1), tuple(row)
    assert daemon.stop() == 0
    daemon.start()
    box.wait_state(box.insert("acme", "bob@example.net", subject="next"),
                   "sent")
    daemon.exactly(1, "delivery.uncertain")
    assert len(server.mails) == 2


def changed_before_it_is_read(case, state, refused=False):
    """Killed after the dot, like killed_after_dot; the next service has it in
    hand, and an application changes it before a worker has read it."""
    need_faults()
    token = case.path("token")
    os.environ["OUTBOXD_FAULT_TOKEN"] = token
    server = case.server()
    if refused:
        answers = ["450 4.2.0 later"]
        server.on("RCPT", lambda session, line: answers.pop() if answers
                  else None)
    gate = server.hold("dot", lambda session, mail:
                       (server.took(mail), len(server.mails) == 1)[1])
    case.tenant("acme", server)
    daemon = case.start(faults="deliver-taken:*:1:wait",
                        settings=["stall_grace=1h"])
    box = case.outbox()
    number = box.insert("acme", "bob@example.net")
    gate.reached()
    daemon.kill()
    gate.release()
    with open(token, "wb"):
        pass
    daemon.start()
    case.until("it is in hand", lambda: not os.path.exists(token), 60)
    box.execute("UPDATE outbox_status SET state = ? WHERE outbox_id = ?",
                state, number)
    with open(token, "wb"):
        pass
    event = daemon.wait_event("delivery.uncertain", seconds=60, id=number)[0]
    assert event["duplicate"] == "possible", event
    return server, daemon, number, box


def test_cancelled_after_the_next_start(case):
    """It stays cancelled, and that it may have arrived is told and kept."""
    server, daemon, number, box = changed_before_it_is_read(case, "cancelled")
    assert box.state(number) == "cancelled"
    row = box.deliveries(number)["bob@example.net"]
    assert (row["state"], row["uncertain"]) == ("uncertain", 1), tuple(row)
    assert len(server.mails) == 1


def test_queued_after_the_next_start(case):
    """An application wants it sent at once and does not know that it may have
    arrived: it is told so before."""
    server, daemon, number, box = changed_before_it_is_read(case, "queued",
                                                            True)
    box.execute("UPDATE outbox_status SET state = 'queued' WHERE outbox_id "
                "= ? AND state = 'deferred'", number)
    box.wait_state(number, "sent", 60)
    event = daemon.wait_event("delivery.sent", seconds=60, id=number)[0]
    assert event["duplicate"] == "possible", event
    assert len(server.mails) == 2


def test_killed_before_the_dot(case):
    """Nothing can have arrived: sent at the next start, once."""
    server = case.server()
    gate = server.hold("DATA", lambda session, line: session.number == 1)
    case.tenant("acme", server)
    daemon = case.start()
    box = case.outbox()
    number = box.insert("acme", "bob@example.net")
    gate.reached()
    daemon.kill()
    daemon.start()
    assert box.wait_state(number, "sent")["attempts"] == 1
    assert len(server.mails) == 1
    event = daemon.wait_event("delivery.sent", id=number)[0]
    assert "duplicate" not in event


def test_killed_twice(case):
    """What the first start left is not forgotten by the second."""
    server = case.server()
    gate = server.hold("dot", lambda session, mail:
                       (server.took(mail), session.number == 1)[1])
    case.tenant("acme", server)
    daemon = case.start()
    box = case.outbox()
    number = box.insert("acme", "bob@example.net")
    gate.reached()
    daemon.kill()
    writer = sqlite3.connect(case.path("outbox.db"), isolation_level=None)
    # The next service cannot record it: the lock is held until it is dead.
    daemon.start()
    writer.execute("BEGIN IMMEDIATE")
    state = box.state(number)
    daemon.kill()
    writer.execute("ROLLBACK")
    writer.close()
    assert state in ("queued", "deferred")
    daemon.start()
    if state == "queued":   # else the line went with the one that was killed
        daemon.wait_event("delivery.uncertain", id=number)
    box.wait_state(number, "deferred")
    assert len(server.mails) == 1


def test_machine_that_lost_power(case):
    """Another boot without a clean end: whatever was queued before may have
    been sent by what the disk forgot, and is announced so; what comes
    later is not."""
    server = case.server()
    gate = server.hold("DATA", lambda session, line: session.number == 1)
    case.tenant("acme", server)
    daemon = case.start()
    box = case.outbox()
    before = box.insert("acme", "bob@example.net")
    gate.reached()
    daemon.kill()
    with open("/proc/sys/kernel/random/boot_id", "rb") as stream:
        boot = stream.read().strip()
    with open(case.path("outbox.db-inflight"), "r+b") as stream:
        place = stream.read(4096).find(boot)
        assert place > 0
        stream.seek(place)
        stream.write(b"0" * 8)
    daemon.start()
    box.wait_state(before, "sent")
    event = daemon.wait_event("delivery.sent", id=before)[0]
    assert event["duplicate"] == "possible"
    after = box.insert("acme", "bob@example.net")
    event = daemon.wait_event("delivery.sent", id=after)[0]
    assert "duplicate" not in event
    assert daemon.stop() == 0
    # After a clean end another boot means nothing.
    queued = box.insert("acme", "bob@example.net")
    with open(case.path("outbox.db-inflight"), "r+b") as stream:
        stream.seek(place)
        stream.write(b"1" * 8)
    daemon.start()
    event = daemon.wait_event("delivery.sent", id=queued)[0]
    assert "duplicate" not in event


def test_service_killed_after_the_dot(case):
    """The monitor starts it again; nobody else's mail waits."""
    server = case.server()
    gate = server.hold("dot", lambda session, mail: mail.subject == "held")
    case.tenant("acme", server)
    case.tenant("other", server)
    daemon = case.start()
    daemon.allowed.add("service.crashed")
    box = case.outbox()
    number = box.insert("acme", "bob@example.net", subject="held")
    gate.reached()
    os.kill(daemon.service_pid(), signal.SIGKILL)
    daemon.wait_event("delivery.uncertain", id=number)
    assert "signal 9" in daemon.wait_event("service.crashed")[0]["error"]
    box.wait_state(box.insert("other", "bob@example.net"), "sent")
    assert box.state(number) == "deferred"
