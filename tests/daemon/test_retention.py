"""Finished messages go when their time is over; nothing else ever does."""

import signal

DAY_MS = 86400 * 1000


def make_old(case, number, days, state=None):
    """As if it had ended so many days ago."""
    if state == "cancelled":
        case.outbox().execute("UPDATE outbox_status SET state = ? WHERE "
                              "outbox_id = ?", state, number)
        state = None
    case.as_daemon(
        "UPDATE outbox_status SET state = coalesce(?, state), finished_at_ms "
        "= CAST(strftime('%s', 'now') AS INTEGER) * 1000 - ? "
        "WHERE outbox_id = ?", state, days * DAY_MS, number)


def wait_gone(case, numbers):
    box = case.outbox()
    wanted = ",".join(map(str, numbers))
    for table, column in (("outbox", "id"), ("outbox_status", "outbox_id"),
                          ("outbox_delivery", "outbox_id"),
                          ("outbox_attachment", "outbox_id")):
        case.until("gone from " + table, lambda: box.value(
            "SELECT count(*) FROM %s WHERE %s IN (%s)" % (
                table, column, wanted)) == 0)


def test_each_goes_after_its_time(case):
    case.tenant("acme", None, enabled=0)
    box = case.outbox()
    ages = [("sent", 31), ("failed", 91), ("cancelled", 91)]
    old = []
    for state, days in ages:
        number = box.insert("acme", "bob@example.net",
                            idempotency_key="key-" + state)
        case.as_daemon("INSERT INTO outbox_delivery (outbox_id, recipient, "
                       "state) VALUES (?, 'bob@example.net', 'failed')",
                       number)
        make_old(case, number, days, state)
        old.append(number)
    kept = []
    for state, days in (("sent", 29), ("failed", 89), ("cancelled", 89)):
        number = box.insert("acme", "bob@example.net")
        make_old(case, number, days, state)
        kept.append(number)
    for state in ("draft", "queued", "deferred", "uncertain"):
        number = box.insert("acme", "bob@example.net", draft=1)
        case.as_daemon("UPDATE outbox_status SET created_at_ms = 1, "
                       "queued_at_ms = 1, updated_at_ms = 1 WHERE "
                       "outbox_id = ?", number)
        if state != "draft":
            box.execute("UPDATE outbox_status SET state = 'queued' "
                        "WHERE outbox_id = ?", number)
            if state != "queued":
                case.as_daemon("UPDATE outbox_status SET state = ? "
                               "WHERE outbox_id = ?", state, number)
        kept.append(number)
    daemon = case.start()
    wait_gone(case, old)
    event = daemon.wait_event("retention.removed")[0]
    assert (event["sent"], event["failed"], event["cancelled"]) == \
        ("1", "1", "1"), event
    assert [row["id"] for row in box.rows("SELECT id FROM outbox ORDER BY id")
            ] == kept
    # An idempotency key is free again with its row.
    box.insert("acme", "bob@example.net", idempotency_key="key-sent")


def test_kept_for_ever_until_told_otherwise(case):
    """The setting is reread on SIGHUP."""
    case.tenant("acme", None, enabled=0)
    box = case.outbox()
    number = box.insert("acme", "bob@example.net", attachments=1)
    box.execute("INSERT INTO outbox_attachment (outbox_id, position, content)"
                " VALUES (?, 1, zeroblob(100))", number)
    make_old(case, number, 1000, "sent")
    failed = box.insert("acme", "bob@example.net")
    make_old(case, failed, 1000, "failed")
    config = case.path("outboxd.conf")
    with open(config, "w") as stream:
        stream.write("keep_sent = forever\nkeep_failed = 4s\n")
    daemon = case.start(config=config)
    wait_gone(case, [failed])
    assert box.state(number) == "sent"
    with open(config, "w") as stream:
        stream.write("keep_sent = 999d\nkeep_failed = 4s\n")
    daemon.signal(signal.SIGHUP)
    wait_gone(case, [number])


def test_sent_goes_while_outboxd_runs(case):
    """A message of this very run."""
    server = case.server()
    case.tenant("acme", server)
    case.start(settings=["keep_sent=1s"])
    box = case.outbox()
    number = box.insert("acme", "bob@example.net")
    case.until("sent and gone", lambda: server.mails and box.value(
        "SELECT count(*) FROM outbox WHERE id = ?", number) == 0)
    assert len(server.mails) == 1


def test_cancelled_stays_a_day(case):
    """Its cancel may have come too late: then the answer needs the row."""
    server = case.server()
    gate = server.hold("dot")
    case.tenant("acme", server)
    box = case.outbox()
    sent = box.insert("acme", "bob@example.net")
    case.start(settings=["keep_sent=0", "keep_failed=0"])
    gate.reached()
    box.execute("UPDATE outbox_status SET state = 'cancelled' "
                "WHERE outbox_id = ?", sent)
    case.tenant("old", None, enabled=0)
    for _ in range(2):      # two rounds, the second of which began later
        other = box.insert("old", "bob@example.net")
        make_old(case, other, 2, "failed")
        wait_gone(case, [other])
    assert box.state(sent) == "cancelled"
    gate.release()
    wait_gone(case, [sent])     # as a sent one


def test_applications_go_on_writing(case):
    """Many rows and large ones go; whoever inserts meanwhile is served, and
    what is due is sent."""
    server = case.server()
    case.tenant("acme", server)
    case.tenant("old", None, enabled=0)
    box = case.outbox()
    box.execute(
        "INSERT INTO outbox (tenant, from_address, to_addresses, body_text) "
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION SELECT i + 1 FROM n WHERE "
        "i < 600) SELECT 'old', 'a@b', 'bob@example.net', 'old' FROM n")
    box.execute("INSERT INTO outbox (tenant, to_addresses, message) SELECT "
                "'old', 'bob@example.net', zeroblob(20000000) FROM (SELECT 1 "
                "UNION SELECT 2 UNION SELECT 3)")
    case.as_daemon("UPDATE outbox_status SET state = 'sent', finished_at_ms "
                   "= 1000 + outbox_id")
    daemon = case.start()
    count = 0
    while box.value("SELECT count(*) FROM outbox WHERE tenant = 'old'"):
        box.wait_state(box.insert("acme", "bob@example.net"), "sent")
        count += 1
        assert count < 20000
    assert len(server.mails) == count
    daemon.stop()
    events = daemon.events("retention.removed")
    assert sum(int(event["sent"]) for event in events) == 603, events


def test_a_trigger_of_the_owner_is_told(case):
    case.tenant("acme", None, enabled=0)
    box = case.outbox()
    old = [box.insert("acme", "bob@example.net") for _ in range(3)]
    for number in old:
        make_old(case, number, 100, "failed")
    box.execute("CREATE TRIGGER mine BEFORE DELETE ON outbox WHEN OLD.id = %d "
                "BEGIN SELECT RAISE(ABORT, 'needed for the books'); END" %
                old[0])
    daemon = case.daemon()
    daemon.allowed |= {"retention.failed"}
    daemon.start()
    wait_gone(case, old[1:])
    event = daemon.wait_event("retention.failed")[0]
    assert "needed for the books" in event["error"], event
    assert box.state(old[0]) == "failed"
