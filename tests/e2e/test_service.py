"""Files and the process: several databases, an application's own file,
starting and stopping."""

import os
import signal
import sqlite3
import subprocess

import outbox
import service


def test_creates_the_database(case):
    """`outboxd --database F` with no file there makes one, mode 0660; mail
    that comes in afterwards goes out."""
    box = case.box()
    daemon = case.serve("new.db")
    assert os.stat(case.path("new.db")).st_mode & 0o777 == 0o660
    database = case.outbox("new.db", create=False)
    case.tenant("acme", "required", database)
    number = database.insert("acme", str(box))
    database.wait_state(number, "sent")
    box.wait(1)
    assert daemon.stop() == 0
    for name in ("new.db-wal", "new.db-shm"):
        assert os.path.exists(case.path(name)), name


def test_several_databases(case):
    """Two files have a tenant of the same name with other accounts: each
    file's mail goes by its own; every log line says which file."""
    first, second = case.box(), case.box()
    one, two = case.outbox("one.db"), case.outbox("two.db")
    case.tenant("acme", "required", one)
    case.tenant("acme", "implicit", two, username="user@beta.example",
                password=case.rig.accounts["user@beta.example"])
    daemon = case.serve("one.db", "two.db")
    for _ in range(10):
        one.insert("acme", str(first))
        two.insert("acme", str(second))
    one.wait_all()
    two.wait_all()
    assert {m.account for m in first.wait(10)} == {"user@acme.example"}
    assert {m.account for m in second.wait(10)} == {"user@beta.example"}
    assert len(daemon.wait_event("delivery.sent", 10, db="one")) == 10
    assert len(daemon.wait_event("delivery.sent", 10, db="two")) == 10


def test_two_names_of_one_file(case):
    """The same file twice is refused before either is opened."""
    case.outbox("one.db")
    os.symlink("one.db", case.path("two.db"))
    daemon = case.serve("one.db", "two.db", start=False)
    daemon.start(ready=False)
    process, daemon.process = daemon.process, None
    assert process.wait(10) in (64, 78), process.returncode
    daemon.allowed = service.TROUBLE


def test_one_outboxd_a_database(case):
    """A second outboxd is refused with 75; the first goes on."""
    box = case.box()
    case.tenant("acme", "required")
    case.serve()
    second = service.Service([case.path("outbox.db")], case.path("second"))
    second.start(ready=False)
    process, second.process = second.process, None
    assert process.wait(10) == 75, process.returncode
    number = case.outbox().insert("acme", str(box))
    case.outbox().wait_state(number, "sent")
    box.wait(1)


def test_applications_own_file(case):
    """Mail inserted with the application's own row, in one transaction: both
    or neither.  Nothing else of the file is changed."""
    box = case.box()
    path = case.path("shop.db")
    shop = sqlite3.connect(path, isolation_level=None)
    shop.executescript("PRAGMA journal_mode = WAL; PRAGMA user_version = 41;"
                       "PRAGMA application_id = 777;"
                       "CREATE TABLE orders (id INTEGER PRIMARY KEY, t TEXT)")
    shop.close()
    os.chmod(path, 0o640)
    database = case.outbox("shop.db")
    for name, value in (("user_version", 41), ("application_id", 777)):
        assert database.one("PRAGMA %s" % name)[0] == value, name
    assert os.stat(path).st_mode & 0o777 == 0o640
    case.tenant("acme", "required", database)
    case.serve("shop.db")
    database.begin()
    database.execute("INSERT INTO orders (t) VALUES ('kept')")
    kept = database.insert("acme", str(box), subject="kept")
    database.commit()
    database.begin()
    database.execute("INSERT INTO orders (t) VALUES ('lost')")
    database.insert("acme", str(box), subject="lost")
    database.execute("ROLLBACK")
    database.wait_state(kept, "sent")
    last = database.insert("acme", str(box), subject="last")
    database.wait_state(last, "sent")
    subjects = [b"kept" in m.sent for m in box.wait(2)]
    assert sorted(subjects) == [False, True]
    assert not any(b"lost" in m.sent for m in box.messages())
    names = [row[0] for row in database.rows(
        "SELECT name FROM sqlite_master WHERE name NOT LIKE 'outbox%' AND "
        "name NOT LIKE 'sqlite_%'")]
    assert names == ["orders"], names
    assert database.one("SELECT count(*) FROM orders")[0] == 1


def test_file_that_is_not_ours(case):
    """Without our tables: 78 and "run outboxctl init".  Not in WAL: refused
    by init too, unless --wal is given."""
    path = case.path("other.db")
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE orders (id)")
    other.commit()
    other.close()
    before = open(path, "rb").read()
    done = subprocess.run([outbox.program("outboxd"), "--log-file", "-",
                           "--database", path], timeout=20, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 78, done.returncode
    assert "outboxctl init" in done.stdout, done.stdout
    refused = outbox.outboxctl("--database", path, "init", status=None)
    assert refused.returncode != 0
    assert "WAL" in refused.stderr, refused.stderr
    assert open(path, "rb").read() == before
    outbox.outboxctl("--database", path, "init", "--wal")
    case.serve("other.db")


def test_sigterm_commits_every_result(case):
    """In the middle of 400 messages: exit 0; what the server has is
    'sent', the rest is untouched, and goes out by the next outboxd."""
    box = case.box()
    case.tenant("acme", "required")
    case.tenant("beta", "implicit")
    database = case.outbox()
    daemon = case.serve()
    database.begin()
    for _ in range(200):
        database.insert("acme", str(box))
        database.insert("beta", str(box))
    database.commit()
    database.wait("60 sent", lambda: database.count("sent") >= 60)
    assert daemon.stop() == 0
    sent = database.count("sent")
    assert 60 <= sent < 400, "%d sent: not in the middle" % sent
    assert database.count("queued") == 400 - sent
    assert database.one("SELECT max(attempts) FROM outbox_status WHERE state "
                        "= 'queued'")[0] == 0
    daemon.exactly(sent, "delivery.sent")
    daemon.exactly(1, "daemon.stop")
    box.wait(sent)
    daemon.start()
    database.wait_all()
    box.wait(400)
    daemon.exactly(400, "delivery.sent")
    assert "duplicate=possible" not in daemon.log.text()


def test_sigint_and_idle(case):
    """An idle outboxd with a parked connection says QUIT and ends at once."""
    box = case.box()
    case.tenant("acme", "required")
    daemon = case.serve()
    case.outbox().insert("acme", str(box))
    case.outbox().wait_all()
    assert daemon.stop(signal.SIGINT) == 0
    session = case.rig.postfix.sessions("required")[0]
    assert session["quit"] == 1, session


def test_sighup_reopens_the_log(case):
    """logrotate's way: rename, SIGHUP, and the new file has what follows."""
    box = case.box()
    case.tenant("acme", "required")
    daemon = case.serve()
    os.rename(daemon.log.path, daemon.log.path + ".1")
    daemon.process.send_signal(signal.SIGHUP)
    database = case.outbox()
    database.wait("the new log there",
                  lambda: os.path.exists(daemon.log.path))
    number = database.insert("acme", str(box))
    database.wait_state(number, "sent")
    daemon.wait_event("delivery.sent", id=number)
    daemon.process.send_signal(signal.SIGUSR1)
    daemon.log.wait("acme.*(idle|sending)|(idle|sending).*acme")


def test_service_dies_with_its_monitor(case):
    """kill -9 of the monitor alone: the service ends too, and the database
    is free for the next outboxd."""
    box = case.box()
    case.tenant("acme", "required")
    daemon = case.serve()
    pids = service.children(daemon.process.pid)
    assert pids
    daemon.process.kill()
    daemon.process.wait()
    daemon.process = None
    case.outbox().wait("the service gone",
                       lambda: all(service.gone(pid) for pid in pids), 5)
    daemon.start()
    case.outbox().insert("acme", str(box))
    case.outbox().wait_all()
    box.wait(1)


def test_killed_service_is_started_again(case):
    """kill -9 of the service alone: the monitor starts another, which says
    why in the log, and delivers."""
    box = case.box()
    case.tenant("acme", "required")
    daemon = case.serve()
    daemon.allowed = {"service.crashed"}
    pid = service.children(daemon.process.pid)[0]
    os.kill(pid, signal.SIGKILL)
    case.outbox().insert("acme", str(box))
    case.outbox().wait_all(seconds=10)
    daemon.wait_event("service.crashed")
    box.wait(1)
