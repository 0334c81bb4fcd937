"""Triggers of the schema that somebody drops or replaces: noticed, told, made
again, and mail that was committed without them is taken up."""

import outbox

WAIT = 60


def start(case, **options):
    """A tenant, a server that takes everything, outboxd: (server, daemon, box)."""
    server = case.server()
    case.tenant("acme", server)
    return server, case.start(**options), case.outbox()


def made(box, name):
    """How the schema makes it."""
    return box.value("SELECT max(sql) FROM sqlite_master WHERE name = ?",
                     name)


def warned(daemon, *words):
    """One storage.warning with all these words."""
    found = [event["error"] for event in daemon.events("storage.warning")
             if all(word in event["error"] for word in words)]
    assert len(found) <= 1, found
    return found


def without(box, *names):
    """In a transaction in which these are dropped; it is not committed yet."""
    box.begin()
    for name in names:
        box.execute("DROP TRIGGER " + name)


def wait_sent(case, box, number):
    """Of a message that has no row in outbox_status yet."""
    case.until("message %d is sent" % number, lambda: box.value(
        "SELECT max(state) FROM outbox_status WHERE outbox_id = ?",
        number) == "sent", WAIT)


def status_of(box):
    return outbox.outboxctl("--database", box.path, "status").stderr


def test_dropped_before_the_start(case):
    """Nobody told outboxd: its mail goes all the same, and both are told."""
    server = case.server()
    case.tenant("acme", server)
    box = case.outbox()
    sql = made(box, "outbox_inserted")
    without(box, "outbox_inserted")
    box.commit()
    number = box.insert("acme", "bob@example.net", subject="astray")
    assert box.value("SELECT count(*) FROM outbox_status") == 0
    said = status_of(box)
    assert "trigger outbox_inserted was dropped" in said, said
    assert "without a row in outbox_status: 1" in said, said
    daemon = case.start()
    wait_sent(case, box, number)
    assert box.status(number)["attempts"] == 1
    case.until("told which", lambda: warned(
        daemon, "outbox_inserted was dropped", "made again"), WAIT)
    case.until("told of the message", lambda: warned(
        daemon, "are taken up now: 1"), WAIT)
    assert made(box, "outbox_inserted") == sql
    assert "warning" not in status_of(box)
    # As at the door again.
    box.wait_state(box.insert("acme", "bob@example.net"), "sent", WAIT)
    assert server.subjects() == ["astray", "test"]
    assert daemon.stop() == 0
    daemon.start()
    box.wait_state(box.insert("acme", "bob@example.net"), "sent", WAIT)
    daemon.exactly(2, "storage.warning")


def test_dropped_while_it_runs(case):
    """By an application that goes on inserting, and by one that puts it back."""
    server, daemon, box = start(case)
    box.wait_state(box.insert("acme", "bob@example.net"), "sent", WAIT)
    sql = made(box, "outbox_inserted")
    without(box, "outbox_inserted")
    numbers = [box.insert("acme", "bob@example.net") for _ in range(3)]
    box.commit()
    for number in numbers:
        wait_sent(case, box, number)
    assert made(box, "outbox_inserted") == sql
    without(box, "outbox_inserted")
    number = box.insert("acme", "bob@example.net")
    box.execute(sql)
    box.commit()
    wait_sent(case, box, number)
    case.until("told", lambda: warned(daemon, "taken up now: 3"), WAIT)
    case.until("told", lambda: warned(daemon, "taken up now: 1"), WAIT)
    daemon.exactly(3, "storage.warning")
    assert len(server.mails) == 5


def test_replaced_while_it_runs(case):
    """One that has our name and does nothing; one of somebody's own stays."""
    server, daemon, box = start(case)
    box.wait_state(box.insert("acme", "bob@example.net"), "sent", WAIT)
    sql = made(box, "outbox_inserted")
    box.begin()
    box.execute("DROP TRIGGER outbox_inserted")
    box.execute("CREATE TRIGGER outbox_inserted AFTER INSERT ON outbox BEGIN "
                "SELECT 1; END")
    box.execute("CREATE TRIGGER mine AFTER INSERT ON outbox BEGIN "
                "SELECT 1; END")
    number = box.insert("acme", "bob@example.net")
    box.commit()
    wait_sent(case, box, number)
    case.until("told which", lambda: warned(
        daemon, "trigger outbox_inserted was changed"), WAIT)
    assert made(box, "outbox_inserted") == sql
    assert made(box, "mine")
    assert len(server.mails) == 2


def test_what_they_would_have_told_is_read(case):
    """Of a change that no trigger noted down: outboxd reads all again."""
    server = case.server()
    case.tenant("acme", None, retry_min=3600, retry_max=3600)
    daemon = case.start()
    box = case.outbox()
    number = box.insert("acme", "bob@example.net")
    box.wait_tenant("acme", "backoff", WAIT)
    without(box, "outbox_tenant_updated")
    box.set_tenant("acme", port=server.port)
    box.commit()
    box.wait_state(number, "sent", WAIT)
    case.until("told which", lambda: warned(
        daemon, "outbox_tenant_updated was dropped"), WAIT)


def test_what_is_against_the_rules_fails(case):
    """Taken up by the rules of the door: sent, still a draft, or failed with
    the rule's sentence; none is left without an end."""
    server = case.server()
    case.tenant("acme", server)
    box = case.outbox()
    without(box, "outbox_insert", "outbox_inserted")
    plain = "INSERT INTO outbox (tenant, from_address, to_addresses, " \
            "subject%s) VALUES (%s)"
    for columns, values in (
            ("", "'acme', 'a@acme.example', 'bob@example.net', 'good'"),
            ("", "'nobody', 'a@acme.example', 'bob@example.net', 'whose'"),
            ("", "'acme', 'a@acme.example', 'bob@example.net', 'x' || "
                 "char(13, 10) || 'Bcc: eve@example.net'"),
            (", draft", "'acme', 'a@acme.example', 'b@example.net', 'd', 1"),
            (", draft, attachments, cc_addresses",
             "'acme', 'a@acme.example', 'bob@example.net', 'empty', '', "
             "NULL, ''")):
        box.execute(plain % (columns, values))
    box.commit()
    good, whose, lines, draft, empty = [
        row[0] for row in box.rows("SELECT id FROM outbox ORDER BY id")]
    daemon = case.start()
    wait_sent(case, box, good)
    wait_sent(case, box, empty)
    assert "no tenant has this name" in \
        box.wait_state(whose, "failed", WAIT)["result"]
    assert "subject must be one line" in \
        box.wait_state(lines, "failed", WAIT)["result"]
    assert box.state(draft) == "draft"
    case.until("told", lambda: warned(
        daemon, "taken up now: 5", "failed by its rules: 2",
        "message %d" % whose,
        "no tenant has this name"), WAIT)
    assert sorted(server.subjects()) == ["empty", "good"]
    assert box.value("SELECT cc_addresses IS NULL FROM outbox WHERE id = ?",
                     empty) == 1
    box.execute("UPDATE outbox_status SET state = 'queued' WHERE "
                "outbox_id = ?", draft)
    box.wait_state(draft, "sent", WAIT)


def test_attachments_without_their_triggers(case):
    """All that were announced are there, and no trigger saw the last one."""
    server, daemon, box = start(case)
    number = box.insert("acme", "bob@example.net", attachments=1)
    without(box, "outbox_attachment_inserted")
    box.execute("INSERT INTO outbox_attachment (outbox_id, position, "
                "filename, content_type, content) VALUES "
                "(?, 1, 'a.txt', 'text/plain', 'text')", number)
    box.commit()
    box.wait_state(number, "sent", WAIT)
    assert len(server.mails) == 1


def test_many_are_taken_up(case):
    """A few at a time: applications write between them."""
    server = case.server()
    case.tenant("acme", server)
    box = case.outbox()
    without(box, "outbox_inserted")
    for _ in range(150):
        box.insert("acme", "bob@example.net")
    box.commit()
    daemon = case.start()
    case.until("all are sent", lambda: box.value(
        "SELECT count(*) FROM outbox_status WHERE state = 'sent'") == 150,
        WAIT)
    case.until("told once", lambda: warned(daemon, "taken up now: 150"), WAIT)
    assert len(server.mails) == 150


def test_a_newer_schema_is_left_alone(case):
    """A newer outboxctl has migrated the file under us: its rules are not
    made as they were."""
    server, daemon, box = start(case)
    box.wait_state(box.insert("acme", "bob@example.net"), "sent", WAIT)
    box.begin()
    box.execute("UPDATE outbox_meta SET value = '99' WHERE key = "
                "'schema_version'")
    box.execute("DROP TRIGGER outbox_usage_gone")
    box.commit()
    case.until("told", lambda: warned(daemon, "schema version 99"), WAIT)
    box.wait_state(box.insert("acme", "bob@example.net"), "sent", WAIT)
    assert made(box, "outbox_usage_gone") is None
    daemon.exactly(1, "storage.warning")
