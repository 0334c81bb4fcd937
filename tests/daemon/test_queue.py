"""What goes out, when, and in which order."""

import os
import time

# Where nothing goes before the answer to the message before it.
ONE_BY_ONE = ["8BITMIME", "ENHANCEDSTATUSCODES"]


def test_insert_at_idle_is_seen(case):
    """By an event, not by the look that comes every second anyway, and here
    only every hour."""
    server = case.server()
    case.tenant("acme", server)
    case.start_faulty("poll-ms=3600000", set())
    box = case.outbox()
    for i in range(10):
        number = box.insert("acme", "bob@example.net", subject="%d" % i)
        box.wait_state(number, "sent")
    assert server.subjects() == ["%d" % i for i in range(10)]


def test_queued_before_its_result_is_heard_of(case):
    """It was deferred, which is in the table, and an application queues it
    again while it is still in hand: the look that passes over it is followed
    by another one when it leaves.  The scan would find it, too; here it comes
    every hour."""
    os.environ["OUTBOXD_FAULT_TOKEN"] = token = case.path("token")
    servers = {name: case.server() for name in ("acme", "beta")}
    later = ["450 4.2.0 later"]
    servers["acme"].on("RCPT", lambda session, line:
                       later.pop() if later else None)
    for name, server in servers.items():
        case.tenant(name, server, retry_min=3600, retry_max=3600)
    with open(token, "wb"):
        pass
    case.start_faulty("scan-ms=3600000,settled:acme:1:wait", set())
    box = case.outbox()
    number = box.insert("acme", "bob@example.net")
    box.wait_state(number, "deferred", 60)
    case.until("nobody has heard of it", lambda: not os.path.exists(token), 60)
    box.execute("UPDATE outbox_status SET state = 'queued' WHERE outbox_id "
                "= ? AND state = 'deferred'", number)
    # Once beta's is seen, acme's was passed over.
    box.insert("beta", "bob@example.net")
    case.until("beta's arrived", lambda: servers["beta"].mails, 60)
    with open(token, "wb"):
        pass
    box.wait_state(number, "sent", 60)
    assert len(servers["acme"].mails) == 1


def test_cancelled_while_the_server_greets(case):
    """What was read while the greeting was awaited is not what is sent: the
    last read comes before MAIL. Nor are the settings of then the ones that
    count."""
    servers = {name: case.server() for name in ("acme", "beta", "warm")}
    for name, server in servers.items():
        case.tenant(name, server)
    gates = {name: servers[name].hold("EHLO") for name in ("acme", "beta")}
    case.start()
    box = case.outbox()
    # so that there is a connection to read it by
    box.wait_state(box.insert("warm", "bob@example.net"), "sent", 60)
    first = box.insert("acme", "bob@example.net", subject="first")
    gates["acme"].reached()
    box.execute("UPDATE outbox_status SET state = 'cancelled' WHERE outbox_id "
                "= ?", first)
    gates["acme"].release()
    second = box.insert("acme", "bob@example.net", subject="second")
    box.wait_state(second, "sent", 60)
    assert box.state(first) == "cancelled"
    assert servers["acme"].subjects() == ["second"]
    third = box.insert("beta", "bob@example.net", subject="third")
    gates["beta"].reached()
    box.execute("UPDATE outbox_tenant SET allowed_senders = '@else.example' "
                "WHERE name = 'beta'")
    gates["beta"].release()
    box.wait_state(third, "failed", 60)
    assert not servers["beta"].mails


def test_databases_are_separate(case):
    """The same tenant name in two files is two tenants."""
    servers = {name: case.server() for name in ("one.db", "two.db")}
    ids = {}
    for name, server in servers.items():
        box = case.outbox(name)
        case.tenant("acme", server, box)
        ids[name] = box.insert("acme", "bob@example.net", subject=name)
    daemon = case.start("one.db", "two.db")
    for name, server in servers.items():
        case.outbox(name).wait_state(ids[name], "sent")
        assert server.subjects() == [name]
        event = daemon.wait_event("delivery.sent", db=name[:3])
        assert len(event) == 1


def test_priority_first(case):
    """While one is under way and one in reserve, later and more urgent ones
    overtake."""
    server = case.server(extensions=ONE_BY_ONE)
    gate = server.hold("dot", lambda session, mail: mail.subject == "first")
    case.tenant("acme", server, max_connections=1)
    case.start()
    box = case.outbox()
    box.insert("acme", "bob@example.net", subject="first")
    gate.reached()
    box.begin()     # all of them are seen, or none is
    box.insert("acme", "bob@example.net", subject="second", priority=9)
    for priority in (-9, 3, 0, 8, 3, -2):
        box.insert("acme", "bob@example.net", subject="p%d" % priority,
                   priority=priority)
    box.commit()
    gate.release()
    box.wait_all()
    assert server.subjects()[:2] == ["first", "second"]
    assert server.subjects()[2:] == ["p8", "p3", "p3", "p0", "p-2", "p-9"]


def test_aged_competes_as_nine(case):
    server = case.server()
    case.tenant("acme", server, max_connections=1)
    box = case.outbox()
    old = box.insert("acme", "bob@example.net", subject="old", priority=-9)
    box.insert("acme", "bob@example.net", subject="new8", priority=8)
    box.insert("acme", "bob@example.net", subject="new9", priority=9)
    case.as_daemon("UPDATE outbox_status SET due_at = due_at - 700 "
                   "WHERE outbox_id = ?", old)
    case.start()
    box.wait_all()
    assert server.subjects() == ["old", "new9", "new8"]


def test_not_before(case):
    server = case.server()
    case.tenant("acme", server)
    case.start()
    box = case.outbox()
    box.begin()     # both are there at once
    moment = int(time.time()) + 3
    late = box.insert("acme", "bob@example.net", subject="late",
                      not_before=moment, priority=9)
    soon = box.insert("acme", "bob@example.net", subject="soon")
    box.commit()
    box.wait_state(soon, "sent")
    row = box.wait_state(late, "sent")
    assert row["finished_at_ms"] >= moment * 1000
    assert server.subjects() == ["soon", "late"]


def test_not_before_at_start(case):
    """Not due when outboxd starts: found at its time all the same."""
    server = case.server()
    case.tenant("acme", server)
    box = case.outbox()
    moment = int(time.time()) + 4
    late = box.insert("acme", "bob@example.net", not_before=moment)
    case.start()
    row = box.wait_state(late, "sent")
    assert row["finished_at_ms"] >= moment * 1000


def test_expires_while_down(case):
    """The server is never reached; the message ends with its reason."""
    case.tenant("acme", None, retry_max=3600, retry_min=60)
    daemon = case.start(settings=["expiry_check=1s"])
    box = case.outbox()
    moment = int(time.time()) + 2
    number = box.insert("acme", "bob@example.net", expires_at=moment)
    stays = box.insert("acme", "bob@example.net")
    box.wait_tenant("acme", "backoff")
    row = box.wait_state(number, "failed")
    assert row["finished_at_ms"] >= moment * 1000
    assert "expired" in row["result"], row["result"]
    assert box.deliveries(number)["bob@example.net"]["state"] == "failed"
    assert daemon.wait_event("delivery.failed", id=number)
    assert box.state(stays) == "queued"
    assert box.tenant_status("acme")["state"] == "backoff"


def test_max_age_while_down(case):
    """Deferred or queued: the age runs while the server is down."""
    case.tenant("acme", None, retry_max=3600, max_age=60)
    box = case.outbox()
    old = box.insert("acme", "bob@example.net")
    young = box.insert("acme", "bob@example.net")
    case.as_daemon("UPDATE outbox_status SET queued_at_ms = queued_at_ms - "
                   "57000 WHERE outbox_id = ?", old)
    case.start(settings=["expiry_check=1s"])
    row = box.wait_state(old, "failed")
    assert "expired" in row["result"], row["result"]
    assert box.state(young) == "queued"


def test_expires_where_settings_are_refused(case):
    """Settings that do not go together keep mail waiting, but not for ever."""
    case.tenant("acme", None, token_command="fetch")
    box = case.outbox()
    number = box.insert("acme", "bob@example.net",
                        expires_at=int(time.time()) + 2)
    case.start(settings=["expiry_check=1s"])
    assert "expired" in box.wait_state(number, "failed")["result"]


def test_suspended_while_down(case):
    """Nothing of it is looked at; the others and its own return are well."""
    server = case.server()
    case.tenant("acme", None)
    case.tenant("other", server)
    daemon = case.start(settings=["expiry_check=1s"])
    box = case.outbox()
    kept = box.insert("acme", "bob@example.net", subject="kept")
    box.wait_tenant("acme", "backoff")
    box.set_tenant("acme", enabled=0)
    box.wait_tenant("acme", "suspended")
    moment = int(time.time()) + 3
    box.wait_state(box.insert("other", "bob@example.net", subject="other",
                              not_before=moment), "sent")
    box.set_tenant("acme", enabled=1, port=server.port)
    box.wait_state(kept, "sent")
    daemon.wait_event("tenant.up", tenant="acme")


def test_expired_is_not_sent(case):
    """Too old when it is looked at: no attempt, whatever the server says."""
    server = case.server()
    case.tenant("acme", server, max_age=60)
    box = case.outbox()
    old = box.insert("acme", "bob@example.net", subject="old")
    young = box.insert("acme", "bob@example.net", subject="young")
    case.as_daemon("UPDATE outbox_status SET queued_at_ms = queued_at_ms - "
                   "70000 WHERE outbox_id = ?", old)
    case.start()
    box.wait_state(young, "sent")
    row = box.wait_state(old, "failed")
    assert "expired" in row["result"]
    assert server.subjects() == ["young"]


def test_cancel_before_mail_is_never_sent(case):
    """Queued behind a slow one, also in its worker's own inbox."""
    server = case.server(extensions=ONE_BY_ONE)
    gate = server.hold("dot", lambda session, mail: mail.subject == "slow")
    case.tenant("acme", server, max_connections=1)
    box = case.outbox()
    box.insert("acme", "bob@example.net", subject="slow", priority=9)
    behind = [box.insert("acme", "bob@example.net", subject="behind")
              for _ in range(5)]
    case.start()
    gate.reached()
    for number in behind[::2]:
        box.execute("UPDATE outbox_status SET state = 'cancelled' "
                    "WHERE outbox_id = ?", number)
    gate.release()
    for number in behind[1::2]:
        box.wait_state(number, "sent")
    assert server.subjects() == ["slow", "behind", "behind"]
    for number in behind[::2]:
        assert box.state(number) == "cancelled"
        assert not box.deliveries(number)
    assert "RSET" not in server.commands("RSET")


def test_cancelled_after_it_was_read_ahead(case):
    """A server that answers at once has the next message read while its answer
    is awaited; what counts is what the row says just before MAIL."""
    server = case.server(extensions=ONE_BY_ONE)
    gate = server.hold("dot", lambda session, mail: mail.subject == "slow")
    case.tenant("acme", server, max_connections=1)
    box = case.outbox()
    for _ in range(20):
        box.insert("acme", "bob@example.net", subject="quick", priority=9)
    box.insert("acme", "bob@example.net", subject="slow", priority=8)
    behind = [box.insert("acme", "bob@example.net", subject="behind",
                         from_address=address)
              for address in ("pbx@acme.example", "pbx@acme.example",
                              "pbx@else.example")]
    case.start_faulty("quick-us=1000000000", set())
    gate.reached()
    box.execute("UPDATE outbox_status SET state = 'cancelled' "
                "WHERE outbox_id = ?", behind[0])
    box.execute("UPDATE outbox_tenant SET allowed_senders = '@acme.example' "
                "WHERE name = 'acme'")
    gate.release()
    box.wait_state(behind[1], "sent")
    box.wait_state(behind[2], "failed")
    assert server.subjects() == ["quick"] * 20 + ["slow", "behind"]
    assert box.state(behind[0]) == "cancelled"
    assert not box.deliveries(behind[0])


def test_expires_behind_a_slow_one(case):
    """Already handed to a worker: the last read sees it, nothing is sent."""
    # With PIPELINING its MAIL would go with the end of the one before it.
    server = case.server(extensions=["8BITMIME"])
    gate = server.hold("dot", lambda session, mail: mail.subject == "slow")
    case.tenant("acme", server, max_connections=1)
    case.tenant("clock", server)
    case.start()
    box = case.outbox()
    for _ in range(3):
        box.wait_state(box.insert("acme", "bob@example.net",
                                  subject="quick"), "sent")
    moment = int(time.time()) + 3
    box.begin()
    box.insert("acme", "bob@example.net", subject="slow", priority=9)
    number = box.insert("acme", "bob@example.net", subject="late",
                        expires_at=moment)
    box.commit()
    gate.reached()
    box.wait_state(box.insert("clock", "bob@example.net", subject="clock",
                              not_before=moment + 1), "sent")
    gate.release()
    assert "expired" in box.wait_state(number, "failed")["result"]
    assert "late" not in server.subjects()


def test_cancel_too_late(case):
    """After the last read the server's answer wins, and the row says so."""
    server = case.server()
    gate = server.hold("dot")
    case.tenant("acme", server)
    case.start()
    box = case.outbox()
    number = box.insert("acme", "bob@example.net")
    gate.reached()
    box.execute("UPDATE outbox_status SET state = 'cancelled' "
                "WHERE outbox_id = ?", number)
    gate.release()
    row = box.wait_state(number, "sent")
    assert row["result"].startswith("cancel came too late"), row["result"]
    assert box.deliveries(number)["bob@example.net"]["state"] == "sent"


def test_cancel_then_4xx_stays_cancelled(case):
    server = case.server()
    gate = server.hold("dot")
    server.on("dot", lambda session, mail:
              (gate.wait(), "450 4.2.0 later")[1])
    case.tenant("acme", server)
    daemon = case.start()
    box = case.outbox()
    number = box.insert("acme", "bob@example.net")
    gate.reached()
    box.execute("UPDATE outbox_status SET state = 'cancelled' "
                "WHERE outbox_id = ?", number)
    gate.release()
    daemon.wait_event("delivery.cancelled", id=number)
    assert box.state(number) == "cancelled"
    assert len(server.commands("MAIL")) == 1


def test_cancel_then_queue_again_while_under_way(case):
    """Asked for anew while the first try is accepted: that answers both."""
    server = case.server()
    gate = server.hold("dot")
    case.tenant("acme", server)
    case.start()
    box = case.outbox()
    number = box.insert("acme", "bob@example.net")
    gate.reached()
    for state in ("cancelled", "queued"):
        box.execute("UPDATE outbox_status SET state = ? WHERE outbox_id = ?",
                    state, number)
    gate.release()
    box.wait_state(number, "sent")
    assert len(server.mails) == 1


def test_suspend_and_resume(case):
    """Suspended: kept and not sent; resumed: sent at once."""
    server = case.server()
    case.tenant("acme", server)
    case.tenant("other", server)
    daemon = case.start()
    box = case.outbox()
    box.set_tenant("acme", enabled=0)
    box.wait_tenant("acme", "suspended")
    kept = box.insert("acme", "bob@example.net", subject="kept")
    box.wait_state(box.insert("other", "bob@example.net"), "sent")
    box.wait("counted", lambda: box.tenant_status("acme")["queued"] == 1)
    assert box.state(kept) == "queued"
    assert "kept" not in server.subjects()
    box.set_tenant("acme", enabled=1)
    box.wait_state(kept, "sent")
    daemon.wait_event("tenant.suspended", tenant="acme")


def test_count_that_was_put_off_is_made_good(case):
    """A count of an empty queue that took long (a busy machine) leaves the
    next one to later, and not out."""
    case.tenant("acme", case.server(), enabled=0)
    case.start_faulty("count-us=30000", set())
    box = case.outbox()
    box.wait_tenant("acme", "suspended")
    assert box.tenant_status("acme")["queued"] == 0
    box.insert("acme", "bob@example.net")
    box.wait("counted", lambda: box.tenant_status("acme")["queued"] == 1)


def test_suspension_stops_the_line(case):
    """What waits behind the message under way is not sent any more."""
    server = case.server(extensions=ONE_BY_ONE)
    gate = server.hold("dot")
    case.tenant("acme", server, max_connections=1)
    box = case.outbox()
    numbers = [box.insert("acme", "bob@example.net", subject="%d" % i)
               for i in range(4)]
    case.start()
    gate.reached()
    box.set_tenant("acme", enabled=0)
    box.wait_tenant("acme", "suspended")
    gate.release()
    box.wait_state(numbers[0], "sent")
    box.wait("settled and told", lambda: box.tenant_status("acme")
             ["queued"] == 3)
    assert server.subjects() == ["0"]
    box.set_tenant("acme", enabled=1)
    box.wait_all()
    assert sorted(server.subjects()) == ["0", "1", "2", "3"]


def test_age_stands_still_while_suspended(case):
    server = case.server()
    case.tenant("acme", server, max_age=60)
    box = case.outbox()
    number = box.insert("acme", "bob@example.net")
    box.set_tenant("acme", enabled=0)
    case.as_daemon("UPDATE outbox_status SET queued_at_ms = queued_at_ms - "
                   "100000 WHERE outbox_id = ?", number)
    case.as_daemon("UPDATE outbox_suspension SET since_ms = since_ms - 90000")
    case.start()
    box.set_tenant("acme", enabled=1)
    box.wait_state(number, "sent")


def test_invalid_message_fails_with_words(case):
    """What SQL cannot see: nothing is sent, the row and the log say why."""
    server = case.server()
    case.tenant("acme", server, allowed_senders="@acme.example")
    daemon = case.start()
    box = case.outbox()
    rows = [("bob@", {}, "to_addresses"),
            ("bob@example.net", {"headers": "Bcc: eve@evil.example"},
             "headers, line 1: Bcc is not allowed here"),
            ("bob@example.net", {"from_address": "eve@evil.example"},
             "eve@evil.example"),
            (None, {"message": "Sender: eve@evil.example\nFrom: "
                    "a@acme.example\nTo: bob@example.net\n\n",
                    "subject": None, "body_text": None},
             "the tenant may not send as eve@evil.example")]
    for to, columns, words in rows:
        number = box.insert("acme", to, **columns)
        row = box.wait_state(number, "failed")
        assert words in row["result"], row["result"]
        daemon.wait_event("message.invalid", id=number)
    box.wait_state(box.insert("acme", "bob@example.net"), "sent")
    assert len(server.mails) == 1
