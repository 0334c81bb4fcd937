"""When results cannot be recorded: nothing is lost, and not too much is out."""

import os
import signal
import sqlite3
import time

import outbox


class Lock:
    """Another program that holds the write lock."""

    def __init__(self, path):
        self.db = sqlite3.connect(path, timeout=30, isolation_level=None,
                                  check_same_thread=False)
        self.db.execute("BEGIN IMMEDIATE")

    def release(self):
        self.db.execute("ROLLBACK")
        self.db.close()


def test_unsettled_max(case):
    """Accepted messages whose record waits are few; all are recorded when
    it can be done, and none is sent twice."""
    server = case.server()
    gate = server.hold("dot", lambda session, mail: mail.subject == "0")
    case.tenant("acme", server)
    box = case.outbox()
    for i in range(60):
        box.insert("acme", "bob@example.net", subject="%d" % i)
    daemon = case.start(settings=["unsettled_max=8"])
    daemon.allowed.add("storage.failed")
    gate.reached()
    lock = Lock(box.path)
    recorded = box.count("sent")
    gate.release()
    # As many as may, and however long it waits not one more.
    case.until("eight accepted", lambda: len(server.mails) >= recorded + 8)

    def told():
        daemon.signal(signal.SIGUSR1)
        event = daemon.wait_event("tenant.status")[-1]
        return (event["unsettled"], event["in_hand"]) == ("8", "0")
    case.until("all of them wait for their record", told)
    assert len(server.mails) == recorded + 8, (len(server.mails), recorded)
    lock.release()
    box.wait_all()
    assert sorted(server.subjects(), key=int) == ["%d" % i
                                                  for i in range(60)]


def test_write_lock_held_for_long(case):
    """Longer than a commit is tried: storage.failed, told once; then
    storage.recovered, and everything goes on."""
    server = case.server()
    case.tenant("acme", server)
    daemon = case.start()
    daemon.allowed.add("storage.failed")
    box = case.outbox()
    numbers = [box.insert("acme", "bob@example.net") for _ in range(3)]
    lock = Lock(box.path)
    event = daemon.wait_event("storage.failed", seconds=30)[0]
    assert "lock" in event["error"], event
    lock.release()
    daemon.wait_event("storage.recovered")
    numbers.append(box.insert("acme", "bob@example.net"))
    box.wait_all()
    assert len(server.mails) == 4
    daemon.exactly(1, "storage.failed")


def test_lock_of_one_outbox_leaves_the_other_alone(case):
    server = case.server()
    for name in ("one.db", "two.db"):
        case.tenant("acme", server, case.outbox(name))
    case.start("one.db", "two.db")
    lock = Lock(case.path("one.db"))
    two = case.outbox("two.db")
    for _ in range(5):
        two.wait_state(two.insert("acme", "bob@example.net"), "sent")
    lock.release()
    one = case.outbox("one.db")
    one.wait_state(one.insert("acme", "bob@example.net"), "sent")


def test_killed_while_records_wait(case):
    """Accepted, not recorded, kill -9: uncertain, all of them and no other."""
    server = case.server()
    gate = server.hold("dot", lambda session, mail: mail.subject == "0")
    case.tenant("acme", server, max_connections=1)
    box = case.outbox()
    for i in range(10):
        box.insert("acme", "bob@example.net", subject="%d" % i)
    daemon = case.start(settings=["unsettled_max=4"])
    daemon.allowed.add("storage.failed")
    gate.reached()
    lock = Lock(box.path)
    gate.release()
    case.until("four accepted", lambda: len(server.mails) == 4)
    daemon.kill()
    lock.release()
    daemon.start()
    box.wait("the rest sent", lambda: box.count("sent") == 6)
    assert box.count("deferred") == 4
    found = daemon.exactly(4, "delivery.uncertain")
    assert len({event["id"] for event in found}) == 4
    assert sorted(server.subjects(), key=int) == ["%d" % i for i in range(10)]


def test_killed_with_more_than_a_line_of_them(case):
    """All are remembered, though new mail pushes into the tenant's line."""
    server = case.server()
    gate = server.hold("dot", lambda session, mail: mail.subject == "0")
    case.tenant("acme", server, max_connections=1,
                max_messages_per_session=1000)
    box = case.outbox()
    box.begin()
    for i in range(250):
        box.insert("acme", "bob@example.net", subject="%d" % i)
    box.commit()
    daemon = case.start()
    daemon.allowed.add("storage.failed")
    gate.reached()
    lock = Lock(box.path)
    recorded = box.count("sent")
    gate.release()
    case.until("all accepted", lambda: len(server.mails) == 250, 60)
    daemon.kill()
    lock.release()
    # There is new mail at every moment until they are in line.
    box.execute("PRAGMA synchronous = OFF")
    daemon.start(ready=False)
    later = 0
    while not daemon.events("delivery.uncertain"):
        for _ in range(20):
            box.insert("acme", "bob@example.net", subject="later")
            later += 1
            time.sleep(0.003)
    box.wait("all are recorded", lambda: box.count("queued") == 0, 60)
    assert box.count("deferred") == 250 - recorded, box.count("deferred")
    found = daemon.wait_event("delivery.uncertain", 250 - recorded)
    assert len({event["id"] for event in found}) == 250 - recorded
    assert len(server.mails) == 250 + later, (len(server.mails), later)


def remove(path):
    for ending in ("", "-wal", "-shm"):
        try:
            os.unlink(path + ending)
        except FileNotFoundError:
            pass


def test_deleted_file(case):
    """In words; and a new one in its place is served, with its tenants."""
    server = case.server()
    case.tenant("acme", server)
    case.tenant("acme", server, case.outbox("other.db"))
    daemon = case.start("outbox.db", "other.db")
    daemon.allowed.add("storage.failed")
    box = case.outbox()
    box.wait_state(box.insert("acme", "bob@example.net"), "sent")
    box.close()
    del case.outboxes["outbox.db"]
    remove(case.path("outbox.db"))
    event = daemon.wait_event("storage.failed", db="outbox")[0]
    assert "No such file" in event["error"] or "deleted" in event["error"]
    other = case.outbox("other.db")
    other.wait_state(other.insert("acme", "bob@example.net"), "sent")
    daemon.wait_event("storage.recovered", db="outbox")
    case.tenant("acme", server)     # by outboxctl init
    box = case.outbox()
    box.wait_state(box.insert("acme", "bob@example.net", subject="new"),
                   "sent")
    assert "new" in server.subjects()


def test_replaced_file(case):
    """Another database moved into its place: that one is served then."""
    server = case.server()
    case.tenant("acme", server)
    case.tenant("acme", server, case.outbox("next.db"))
    following = case.outbox("next.db")
    number = following.insert("acme", "bob@example.net", subject="next")
    following.checkpoint()
    following.close()
    daemon = case.start()
    daemon.allowed.add("storage.failed")
    box = case.outbox()
    box.wait_state(box.insert("acme", "bob@example.net"), "sent")
    box.close()
    case.outboxes.clear()
    for ending in ("-wal", "-shm"):
        if os.path.exists(case.path("next.db") + ending):
            os.unlink(case.path("next.db") + ending)
    remove(case.path("outbox.db"))
    os.rename(case.path("next.db"), case.path("outbox.db"))
    daemon.wait_event("storage.failed")
    case.until("served", lambda: "next" in server.subjects())
    box = case.outbox(create=False)
    box.wait_state(number, "sent")
    daemon.wait_event("storage.recovered")


def test_left_wal_mode(case):
    """A file found outside WAL: words, and served again when mended."""
    server = case.server()
    case.tenant("acme", server)
    daemon = case.start()
    daemon.allowed.add("storage.failed")
    box = case.outbox()
    number = box.insert("acme", "bob@example.net")
    box.wait_state(number, "sent")
    assert daemon.stop() == 0
    box.execute("PRAGMA journal_mode = DELETE")
    daemon.start(ready=False)
    assert daemon.wait_end() == 78
    assert "WAL" in daemon.log.text()
    outbox.outboxctl("--database", box.path, "init", "--wal")
    daemon.start()
    box.wait_state(box.insert("acme", "bob@example.net"), "sent")


def test_refused_file_after_ready_waits(case):
    """After daemon.ready a refusal ends nothing: a service that is started
    again and finds one file refused serves the other."""
    server = case.server()
    for name in ("one.db", "two.db"):
        case.tenant("acme", server, case.outbox(name))
    daemon = case.start("one.db", "two.db")
    daemon.allowed |= {"storage.failed", "service.crashed"}
    one = case.outboxes.pop("one.db")
    one.checkpoint()
    one.close()
    os.rename(case.path("one.db"), case.path("away.db"))
    for ending in ("-wal", "-shm"):
        os.unlink(case.path("one.db") + ending)
    with open(case.path("one.db"), "w") as stream:
        stream.write("this is no database, but long enough to be read\n" * 99)
    os.kill(daemon.service_pid(), signal.SIGKILL)
    daemon.wait_event("service.crashed")
    daemon.wait_event("storage.failed", db="one")
    two = case.outbox("two.db")
    two.wait_state(two.insert("acme", "bob@example.net"), "sent")
    os.unlink(case.path("one.db"))
    os.rename(case.path("away.db"), case.path("one.db"))
    daemon.wait_event("storage.recovered", db="one")
    one = case.outbox("one.db", create=False)
    one.wait_state(one.insert("acme", "bob@example.net"), "sent")
