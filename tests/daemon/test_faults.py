"""What happens to the database's files under a running outboxd, and before it starts.

Full and broken disks, and clocks, are in tests/crash/faults.py: they need a
library that stands between outboxd and the system.
"""

import os
import signal
import sqlite3
import time

import outbox
import service

WAIT = 60
PAGE = 4096


def sent(case, box, count=1, **columns):
    """So many messages go through now."""
    for number in [box.insert("acme", "bob@example.net", **columns)
                   for _ in range(count)]:
        box.wait_state(number, "sent", WAIT)


def leave(case, name="outbox.db"):
    """The application's connection is closed; answers the file's path."""
    case.outboxes.pop(name).close()
    return case.path(name)


def start(case, **options):
    """A tenant, a server that takes everything, outboxd: (server, daemon, box)."""
    server = case.server()
    case.tenant("acme", server)
    daemon = case.start(**options)
    daemon.allowed.add("storage.failed")
    return server, daemon, case.outbox()


def told(daemon, *words):
    """storage.failed with all these words, and where."""
    def found():
        return [event for event in daemon.events("storage.failed")
                if all(word in event["error"] for word in words)]
    daemon.wait_event("storage.failed", seconds=WAIT)
    limit = time.monotonic() + WAIT
    while not found():
        assert time.monotonic() < limit, daemon.events("storage.failed")
        time.sleep(0.02)
    event = found()[0]
    assert event.get("database", "").endswith("outbox.db") or \
        event["tenant"] == "acme" and int(event["id"]) > 0, event
    return event


def overwrite(path, offset, octets):
    """Rubbish over a part of a file, as a disk that fails or a stray program."""
    with open(path, "r+b", buffering=0) as stream:
        stream.seek(offset)
        stream.write(octets)


def rubbish(length):
    return bytes((i * 7 + 13) % 251 for i in range(length))


def root_page(box, name):
    return box.value("SELECT rootpage FROM sqlite_master WHERE name = ?", name)


def frozen(case, daemon):
    """Both processes, stopped by the system until thawed(): each thread is."""
    for pid in (daemon.process.pid, daemon.service_pid()):
        os.kill(pid, signal.SIGSTOP)
        case.until("process %d stopped" % pid, lambda pid=pid: set(
            service.states(pid)) == {"T"}, WAIT)


def thawed(daemon):
    for pid in (daemon.service_pid(), daemon.process.pid):
        os.kill(pid, signal.SIGCONT)


def frozen_with(case, daemon, box, count):
    """Stopped, with messages that it has not seen and that stand in the file
    itself: not so where it was stopped while it read or wrote; then these are
    sent, and it is tried with others.  The ids of all."""
    numbers = []
    for _ in range(20):
        frozen(case, daemon)
        try:
            for _ in range(count):
                numbers.append(box.insert("acme", "bob@example.net"))
            if box.try_checkpoint():
                return numbers
        except sqlite3.OperationalError:
            pass        # locked: stopped while it wrote
        thawed(daemon)
        box.wait_all()
    raise AssertionError("always stopped inside of a transaction")


def corrupt_page(case, name):
    """Words; the page is put back: everything goes on, and nothing is lost."""
    server, daemon, box = start(case)
    sent(case, box, 3)
    page = root_page(box, name)
    numbers = frozen_with(case, daemon, box, 5)
    path = leave(case)
    with open(path, "rb") as stream:
        stream.seek((page - 1) * PAGE)
        good = stream.read(PAGE)
    overwrite(path, (page - 1) * PAGE, rubbish(PAGE))
    thawed(daemon)
    event = told(daemon, "malformed")
    assert "restore" in event["error"], event
    said = outbox.outboxctl("--database", path, "status", status=None)
    assert said.returncode == 0 or "malformed" in said.stderr, said.stderr
    overwrite(path, (page - 1) * PAGE, good)
    daemon.wait_event("storage.recovered", seconds=WAIT)
    box = case.outbox(create=False)
    for number in numbers:
        box.wait_state(number, "sent", WAIT)
    sent(case, box)
    assert len(server.mails) == 4 + len(numbers), len(server.mails)
    # By who reads and by who writes, at most: not once for each try.
    assert len(daemon.events("storage.failed")) <= 3


def test_corrupt_page_of_the_queue(case):
    corrupt_page(case, "outbox_status")


def test_corrupt_page_of_the_results(case):
    corrupt_page(case, "outbox_delivery")


def test_corrupt_page_before_the_start(case):
    """Refused with words before anything is sent; whole again, it is served."""
    server = case.server()
    case.tenant("acme", server)
    box = case.outbox()
    number = box.insert("acme", "bob@example.net")
    box.checkpoint()
    path = leave(case)
    with open(path, "rb") as stream:
        good = stream.read(PAGE)
    overwrite(path, 100, rubbish(PAGE - 100))
    daemon = case.daemon()
    daemon.allowed.add("storage.failed")
    daemon.start(ready=False)
    assert daemon.wait_end(WAIT) != 0
    assert "malformed" in daemon.wait_event("storage.failed")[0]["error"]
    overwrite(path, 0, good)
    daemon.start()
    case.outbox(create=False).wait_state(number, "sent", WAIT)
    assert len(server.mails) == 1


def test_file_that_is_no_database(case):
    path = case.path("outbox.db")
    with open(path, "wb") as stream:
        stream.write(rubbish(3 * PAGE))
    daemon = case.daemon()
    daemon.allowed.add("storage.failed")
    daemon.start(ready=False)
    assert daemon.wait_end(WAIT) == 78
    assert "not a database" in daemon.wait_event("storage.failed")[0]["error"]
    with open(path, "rb") as stream:
        assert stream.read() == rubbish(3 * PAGE), "it was written to"


def test_corrupt_log_of_writes_before_the_start(case):
    """SQLite takes of a -wal what has right checksums: the rest of the file is
    served, and what comes then is sent."""
    server, daemon, box = start(case)
    first = box.insert("acme", "bob@example.net", subject="first")
    box.wait_state(first, "sent", WAIT)
    box.checkpoint()
    daemon.kill()
    box.insert("acme", "bob@example.net", subject="lost with the -wal")
    with open(box.path, "rb") as stream:
        database = stream.read()
    length = os.path.getsize(box.path + "-wal")
    assert length > 0
    # Who closes last moves the -wal into the file: as it was before that.
    path = leave(case)
    with open(path, "r+b") as stream:
        stream.write(database)
        stream.truncate()
    with open(path + "-wal", "wb") as stream:
        stream.write(rubbish(length))
    daemon.start()
    box = case.outbox(create=False)
    assert box.state(first) == "sent"
    sent(case, box, subject="next")
    assert server.subjects() == ["first", "next"], server.subjects()


def test_deleted_companions(case):
    """-wal and -shm taken away: words, opened anew, and mail goes on."""
    server, daemon, box = start(case)
    sent(case, box, 3)
    box.checkpoint()
    path = leave(case)
    os.unlink(path + "-wal")
    os.unlink(path + "-shm")
    event = told(daemon, "was deleted or replaced while it was in use")
    assert "-wal" in event["error"], event
    daemon.wait_event("storage.recovered", seconds=WAIT)
    box = case.outbox(create=False)
    sent(case, box, 3)
    assert len(server.mails) == 6
    assert box.value("PRAGMA integrity_check") == "ok"


def test_modes_that_are_too_wide_or_differ(case):
    """A warning that names the file and the mode; served all the same."""
    server, daemon, box = start(case)
    for name, mode, words in (
            ("outbox.db", 0o666, "others than its owner and group may use it"),
            ("outbox.db-shm", 0o600, "does not follow its database")):
        before = os.stat(case.path(name)).st_mode & 0o7777
        os.chmod(case.path(name), mode)

        def warned(name=name, mode=mode, words=words):
            return [event for event in daemon.events("storage.warning")
                    if case.path(name) in event["error"] and
                    "%04o" % mode in event["error"] and
                    words in event["error"]]
        case.until("warned of %s" % name, warned, WAIT)
        sent(case, box)
        os.chmod(case.path(name), before)
    assert not daemon.events("storage.failed")
    assert len(server.mails) == 2


STRANGER = 65534


def taken_away(path):
    """The file is another user's from now on, and nobody else's; without
    root's rights, who cannot give files away, it is nobody's. What it was."""
    before = os.stat(path)
    if os.geteuid() == 0:
        os.chown(path, STRANGER, STRANGER)
    os.chmod(path, 0o600 if os.geteuid() == 0 else 0)
    return before


def given_back(path, before):
    os.chmod(path, before.st_mode & 0o7777)
    if os.geteuid() == 0:
        os.chown(path, before.st_uid, before.st_gid)


def heeding(case, **options):
    """An outboxd for which owners and modes count, not started."""
    daemon = case.daemon(**options)
    daemon.heeds_owners = True
    daemon.allowed |= {"storage.failed", "service.crashed"}
    return daemon


FILES = ("outbox.db", "outbox.db-wal", "outbox.db-shm", "outbox.db-inflight")


def test_another_user_s_file_before_the_start(case):
    """Refused with words that name it (77); mended, it is served."""
    server = case.server()
    case.tenant("acme", server)
    box = case.outbox()
    daemon = heeding(case).start()
    sent(case, box)
    assert daemon.stop() == 0
    for count, name in enumerate(FILES, 1):
        number = box.insert("acme", "bob@example.net", subject=name)
        before = taken_away(case.path(name))
        daemon.start(ready=False)
        assert daemon.wait_end(WAIT) == 77, name
        told = daemon.wait_event("storage.failed", count, WAIT)[-1]["error"]
        assert case.path(name) + " " in told or \
            case.path(name) + ":" in told, (name, told)
        assert "ermission" in told or "cannot be read" in told, told
        given_back(case.path(name), before)
        daemon.start()
        box.wait_state(number, "sent", WAIT)
        assert daemon.stop() == 0
    assert server.subjects() == ["test"] + list(FILES)


def test_another_user_s_file_while_it_runs(case):
    """A service that is started anew cannot open it: told, and served again
    without a restart of outboxd when the owner is mended. Nothing is lost."""
    server = case.server()
    case.tenant("acme", server)
    box = case.outbox()
    daemon = heeding(case, faults="restart-most-ms=100").start()
    sent(case, box)
    for count, name in enumerate(FILES, 1):
        before = taken_away(case.path(name))
        os.kill(daemon.service_pid(), signal.SIGKILL)
        told = daemon.wait_event("storage.failed", count, WAIT)[-1]["error"]
        assert case.path(name) + " " in told or \
            case.path(name) + ":" in told, (name, told)
        number = box.insert("acme", "bob@example.net", subject=name)
        given_back(case.path(name), before)
        daemon.wait_event("storage.recovered", count, WAIT)
        box.wait_state(number, "sent", WAIT)
    assert server.subjects() == ["test"] + list(FILES)
    daemon.exactly(len(FILES), "storage.failed")


def test_another_user_s_file_is_warned_of(case):
    """Who has it open goes on with it, and is told that nobody could open it."""
    server = case.server()
    case.tenant("acme", server)
    box = case.outbox()
    daemon = heeding(case).start()
    sent(case, box)
    before = taken_away(case.path("outbox.db"))
    case.until("warned", lambda: [
        event for event in daemon.events("storage.warning")
        if case.path("outbox.db") + " (owner " in event["error"] and
        "cannot be read and written by this user" in event["error"]], WAIT)
    sent(case, box)
    given_back(case.path("outbox.db"), before)
    assert len(server.mails) == 2


def test_journal_mode_under_us(case):
    """An application cannot change it while outboxd has the file open."""
    server, daemon, box = start(case)
    sent(case, box)
    try:
        mode = box.value("PRAGMA journal_mode = DELETE")
    except sqlite3.OperationalError as problem:
        assert "locked" in str(problem), problem
        mode = "wal"
    assert mode == "wal", mode
    sent(case, box)
    assert not daemon.events("storage.failed")


def test_table_dropped_under_us(case):
    """Words that name it; made again, what waited is recorded: no repeat."""
    server, daemon, box = start(case)
    sent(case, box)
    made = [row[0] for row in box.rows(
        "SELECT sql FROM sqlite_master WHERE tbl_name = 'outbox_delivery' "
        "AND sql IS NOT NULL ORDER BY type = 'table' DESC")]
    box.begin()
    number = box.insert("acme", "bob@example.net")
    box.execute("DROP TABLE outbox_delivery")
    box.commit()
    told(daemon, "outbox_delivery")
    taken = len(server.mails)
    box.begin()
    for sql in made:
        box.execute(sql)
    box.commit()
    box.wait_state(number, "sent", WAIT)
    daemon.wait_event("storage.recovered", seconds=WAIT)
    sent(case, box)
    assert taken <= 2 and len(server.mails) == 3, (taken, len(server.mails))
    assert len(daemon.events("storage.failed")) <= 4
