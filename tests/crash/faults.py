"""Faults that last: outboxd goes on with what it can, says what is wrong, and
goes on with the rest when the fault is over, without being started anew.

Each test is a function of (directory, template); it raises where something is
not as it should be.  Most let all calls of a class fail while a file is there
(interpose.c, INTERPOSE_WHILE); nothing is sent twice in any of them.
"""

import ctypes
import errno
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
import traceback

import scenario
import outbox

CALLS_A_SECOND = 100    # more than that would be a busy loop
LOOK = 2                # seconds for which calls are counted
DAY = 86400
WAIT = 60
RUNS = []               # of this process, to be closed whatever happens


class Lasting(scenario.Run):
    """A run with a fault that begins and ends when it is told to."""

    def __init__(self, directory, template, what, failure, path="outbox.db",
                 settings=()):
        self.flag = os.path.join(directory, "fault")
        super().__init__(directory, template, {
            "LD_PRELOAD": preloaded("interpose.so"),
            "INTERPOSE_PATH": os.path.join(directory, path),
            "INTERPOSE_CLASS": what, "INTERPOSE_ACTION": str(failure),
            "INTERPOSE_WHILE": self.flag})
        self.daemon.settings += settings
        RUNS.append(self)

    def begin(self):
        open(self.flag, "w").close()

    def end(self):
        calls = os.path.getsize(self.flag)
        os.unlink(self.flag)
        assert calls > 0, "no call met the fault"

    def wait(self, words, condition):
        return self.case.until(words, condition, WAIT)

    def wait_sent(self, count):
        self.wait("%d sent" % count, lambda: self.box.count("sent") >= count)

    def add(self, count, name="acme", **columns):
        return [self.box.insert(name, "a@box.example", subject="%s-late-%d" % (
            name, number), **columns) for number in range(count)]

    def told(self, event, *words):
        """That event, with all these words in its error."""
        found = self.daemon.wait_event(event, seconds=WAIT)
        assert any(all(word in one.get("error", "") for word in words)
                   for one in found), (words, found)

    def calm(self):
        """No busy loop: neither in calls nor in lines of log."""
        begun, calls = time.monotonic(), os.path.getsize(self.flag)
        lines = self.daemon.log.count("")
        time.sleep(LOOK)
        seconds = time.monotonic() - begun
        for words, count in (
                ("calls", os.path.getsize(self.flag) - calls),
                ("lines of log", self.daemon.log.count("") - lines)):
            assert count < CALLS_A_SECOND * seconds, \
                "%d %s in %.1f s" % (count, words, seconds)

    def all_ended(self):
        """Every row has ended; nobody was restarted; nothing came twice."""
        status = self.finish()
        assert status == 0, "outboxd ended with %s" % status
        assert not self.refused and self.daemon.ready_count() == 1
        assert not self.daemon.events("service.crashed")
        self.check(doubles=False)


def preloaded(name):
    return os.path.join(outbox.build_directory(), "tests/crash", name)


def outbox_cannot_be(run, *words):
    """The outbox fails for a while: told once, then recovered."""
    run.start()
    run.wait_sent(3)
    run.begin()
    run.add(5)
    run.told("storage.failed", *words)
    run.calm()
    run.end()
    run.daemon.wait_event("storage.recovered", seconds=WAIT)
    run.all_ended()
    # The reader's and the writer's, once each.
    assert len(run.daemon.events("storage.failed")) <= 2


def disk_full(directory, template):
    outbox_cannot_be(Lasting(directory, template, "write", errno.ENOSPC),
                     "disk is full", "free some")


def disk_errors(directory, template):
    outbox_cannot_be(Lasting(directory, template, "write", errno.EIO),
                     "Input/output error", "write")


def syncs_fail(directory, template):
    outbox_cannot_be(Lasting(directory, template, "sync", errno.EIO),
                     "Input/output error", "sync")


def file_system_turns_read_only(directory, template):
    outbox_cannot_be(Lasting(directory, template, "write", errno.EROFS),
                     "Read-only file system", "mount")


def log_disk_full(directory, template):
    """Mail goes on without a log; what was lost of it is told."""
    run = Lasting(directory, template, "write", errno.ENOSPC, "log")
    run.daemon.allowed.add("log.dropped")
    run.start()
    run.wait_sent(3)
    run.begin()
    late = run.add(5)
    run.wait("sent without a log", lambda: all(
        run.box.state(number) == "sent" for number in late))
    run.calm()
    run.end()
    run.add(1, "delta")
    run.daemon.wait_event("log.dropped", seconds=WAIT)
    run.all_ended()


def spool_full(directory, template):
    """Who needs the spool waits, with words; nobody else does."""
    spool = os.path.join(directory, "spool")
    os.mkdir(spool)
    run = Lasting(directory, template, "write", errno.ENOSPC, "spool",
                  ["spool_dir=" + spool])
    run.begin()
    run.start()
    run.wait_sent(6)
    run.wait("the calls failed", lambda: os.path.getsize(run.flag) > 0)
    large = run.box.value("SELECT id FROM outbox WHERE subject = 'acme-large'")
    beside = run.add(3, "delta")
    run.wait("others are sent", lambda: all(
        run.box.state(number) == "sent" for number in beside))
    assert run.box.state(large) in ("queued", "deferred")
    words = run.wait("words in the tenant's status", lambda: run.box.
                     tenant_status("acme")["last_error"])
    assert "spool" in words and "No space left" in words, words
    run.calm()
    run.end()
    run.all_ended()


def whole_disk_full(directory, template):
    """Really: database, journal, log and spool on one small file system."""
    disk = os.path.join(directory, "disk")
    os.mkdir(disk)
    own_mounts()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "none", disk],
                   check=True, timeout=60)
    run = scenario.Run(disk, template)
    RUNS.append(run)
    run.daemon.allowed.add("log.dropped")
    filler = os.path.join(disk, "filler")
    try:
        run.start()
        run.case.until("some sent", lambda: run.box.count("sent") >= 3, WAIT)
        try:
            with open(filler, "wb", buffering=0) as stream:
                while stream.write(bytes(4096)):
                    pass
        except OSError as problem:
            assert problem.errno == errno.ENOSPC, problem
        try:
            for number in range(100):
                run.box.insert("acme", "a@box.example",
                               subject="acme-full-%d" % number,
                               body_text="a line of text\n" * 7000)
            raise AssertionError("the disk is not full")
        except sqlite3.OperationalError as problem:
            assert "full" in str(problem), problem
        said = outbox.outboxctl("--database", run.box.path, "status").stderr
        assert "octets left: free some" in said, said
        time.sleep(LOOK)
        os.unlink(filler)
        status = run.finish()
        assert status == 0 and not run.refused, status
        run.check(doubles=False)
        assert not run.daemon.events("service.crashed")
    finally:
        run.close()
        shutil.copy(os.path.join(disk, "log"), directory)
        subprocess.run(["umount", "-l", disk], timeout=60)


def own_mounts():
    """A mount namespace for this process alone."""
    new_namespace, new_user = 0x20000, 0x10000000
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if libc.unshare(new_namespace | (new_user if user else 0)) != 0:
        raise AssertionError("no mount namespace: %s" % os.strerror(
            ctypes.get_errno()))
    if user:
        for name, text in (("setgroups", "deny"), ("gid_map", "0 %d 1" % group),
                           ("uid_map", "0 %d 1" % user)):
            with open("/proc/self/" + name, "w") as stream:
                stream.write(text)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True, timeout=60)


class Jumping(scenario.Run):
    """A run whose wall clock is set; that of outboxctl with it."""

    def __init__(self, directory, template):
        self.clock = os.path.join(directory, "clock")
        self.set(0)
        super().__init__(directory, template, {
            "LD_PRELOAD": preloaded("wrong_clock.so"),
            "WRONG_CLOCK": self.clock})
        RUNS.append(self)

    def set(self, seconds):
        with open(self.clock + ".new", "w") as stream:
            stream.write("%d\n" % seconds)
        os.rename(self.clock + ".new", self.clock)

    def sql(self, text):
        """What an application says whose clock is as wrong: sqlite3 of Python
        in a process of its own."""
        done = subprocess.run(
            ["/usr/bin/python3", "-c", "import sqlite3, sys\n"
             "db = sqlite3.connect(sys.argv[1], timeout=60)\n"
             "print(db.execute(sys.argv[2]).lastrowid)\ndb.commit()",
             self.box.path, text], env=dict(os.environ, **self.environment),
            stdout=subprocess.PIPE, check=True, timeout=WAIT)
        return int(done.stdout)

    def insert(self, tenant, subject, **columns):
        columns.update(tenant=tenant, to_addresses="a@box.example",
                       from_address="app@%s.example" % tenant,
                       subject=subject, body_text="text")
        return self.sql("INSERT INTO outbox (%s) VALUES (%s)" % (
            ", ".join(columns), ", ".join(
                str(value) if isinstance(value, int) else "'%s'" % value
                for value in columns.values())))

    def use_up_the_day(self, name):
        """recipients_per_day, and one more that waits: its number."""
        self.box.set_tenant(name, recipients_per_day=1)
        self.wait_state(self.insert(name, "limited-first"), "sent")
        waits = self.insert(name, "limited-waits")
        self.box.wait_tenant(name, "limited", seconds=WAIT)
        return waits

    def still_used_up(self, name, waits):
        """Also for a process that has it from the table."""
        assert self.daemon.stop() == 0
        used = self.box.one("SELECT sum(recipients), max(since), min(since) "
                            "FROM outbox_usage WHERE tenant = ?", name)
        assert used[0] == 1, used
        now = time.time() + int(open(self.clock).read())
        assert now - 3600 < used[1] <= now, (used, now)
        self.case.as_daemon(
            "DELETE FROM outbox_tenant_status WHERE tenant = '%s'" % name)
        self.start()
        self.box.wait_tenant(name, "limited", seconds=WAIT)
        assert self.box.state(waits) == "queued"
        self.box.set_tenant(name, recipients_per_day=None)

    def refuse(self, name):
        """That tenant's server says 451 to every message, until told not to."""
        self.box.set_tenant(name, streak_guard=0)
        return self.servers[name].on("dot", "451 4.3.0 later")

    def wait_state(self, number, state):
        self.case.until("%d %s" % (number, state),
                        lambda: self.box.state(number) == state, WAIT)

    def jumped(self, seconds):
        event = self.daemon.wait_event("clock.jumped", seconds=WAIT)[-1]
        assert abs(int(event["seconds"]) - seconds) < 30, event
        assert ("set back" if seconds < 0 else "set forward") in \
            event["error"], event

    def all_ended(self):
        """No application decides here: nothing waits longer than a test."""
        self.case.until("all ended", lambda: self._left() == 0, WAIT)
        assert self.daemon.stop() == 0
        self.check(doubles=False)
        assert not self.daemon.events("service.crashed")


def clock_set_back(directory, template):
    """By a day, with mail that is due, deferred, and not to be sent before a
    moment: nothing of it waits for a day, nothing is sent before its time."""
    run = Jumping(directory, template)
    run.set(DAY)
    refused = run.refuse("acme")
    run.box.set_tenant("acme", retry_min=5, retry_max=5)
    run.start()
    number = run.insert("acme", "acme-late")
    run.wait_state(number, "deferred")
    waits = run.use_up_the_day("gamma")
    later = run.insert("delta", "delta-later",
                       not_before=int(time.time()) + DAY + 3600)
    run.set(0)
    run.jumped(-DAY)
    run.still_used_up("gamma", waits)
    run.servers["acme"].off(refused)
    run.case.until("all others ended", lambda: run._left() == 1, WAIT)
    assert run.box.state(later) == "queued"
    run.box.execute("UPDATE outbox_status SET state = 'cancelled' WHERE "
                    "outbox_id = ?", later)
    run.box.execute("DELETE FROM outbox WHERE id = ?", later)
    run.all_ended()


def clock_set_back_before_the_start(directory, template):
    """The same while no outboxd runs."""
    run = Jumping(directory, template)
    run.set(DAY)
    number = run.insert("acme", "acme-late")
    run.set(0)
    assert run.box.status(number)["due_at"] > time.time() + DAY / 2
    run.start()
    run.all_ended()


def clock_set_forward(directory, template):
    """By more than max_age: nothing expires by it; what was not to be sent
    before a moment within is due, what is later is not."""
    run = Jumping(directory, template)
    refused = run.refuse("acme")
    run.start()
    run.case.until("acme's are deferred", lambda: run.box.value(
        "SELECT count(*) FROM outbox_status WHERE tenant = 'acme' AND state "
        "= 'queued'") == 0, WAIT)
    run.insert("beta", "beta-then", not_before=int(time.time()) + DAY)
    waits = run.use_up_the_day("gamma")
    later = run.insert("delta", "delta-later",
                       not_before=int(time.time()) + 30 * DAY)
    run.set(10 * DAY)       # max_age is five
    run.jumped(10 * DAY)
    run.still_used_up("gamma", waits)
    run.case.until("beta's is due", lambda: run.box.value(
        "SELECT count(*) FROM outbox_status WHERE tenant = 'beta' AND state "
        "<> 'sent'") == 0, WAIT)
    run.servers["acme"].off(refused)
    run.case.until("all others ended", lambda: run._left() == 1, WAIT)
    assert run.box.state(later) == "queued"
    run.sql("UPDATE outbox_status SET state = 'cancelled' WHERE outbox_id = "
            "%d" % later)
    run.box.execute("DELETE FROM outbox WHERE id = ?", later)
    run.all_ended()


ALL = [disk_full, disk_errors, syncs_fail, file_system_turns_read_only,
       log_disk_full, spool_full, whole_disk_full, clock_set_back,
       clock_set_back_before_the_start, clock_set_forward]


def one_run(job):
    """(name, words): words None = it held."""
    function, template, keep = job
    directory = tempfile.mkdtemp(prefix="outboxd-fault-")
    words = None
    try:
        function(directory, template)
    except Exception:
        words = traceback.format_exc()
        path = os.path.join(directory, "log")
        if os.path.exists(path):
            with open(path, errors="replace") as stream:
                words += stream.read()[-4000:]
    finally:
        for one in RUNS:
            one.close()
        if words and keep:
            words += "\nfiles: %s" % directory
        else:
            shutil.rmtree(directory, ignore_errors=True)
    return function.__name__, words


def run(counter, template, pool, keep):
    """All of them; a line of result each."""
    jobs = [(function, template, keep) for function in ALL]
    for name, words in pool.imap(one_run, jobs):
        counter.tell("crash.lasting." + name, words)
