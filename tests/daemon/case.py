"""What every test of the daemon gets as its first argument.

    def test_something(case):
        server = case.server()              see server.py
        case.tenant("acme", server)         in case.outbox(), made on first use
        daemon = case.start()               outboxd, ended after the test
        id = case.outbox().insert("acme", "bob@example.net", subject="one")

A test fails when it raises; also when outboxd's log tells of trouble that
the test did not announce (daemon.allowed), when outboxd does not end with 0,
or when a sanitizer reported something.
"""

import glob
import os
import re
import subprocess
import sys
import time

sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "../e2e"))

import jail
import outbox
import patience
import server as scripted
import service

SPARE_PORT = 1      # nobody listens there, and nobody of ours ever will


class Skip(Exception):
    """The test cannot run here; the text says why."""


def has_faults():
    """Whether outboxd was built with --enable-fault-injection."""
    path = os.path.join(outbox.build_directory(), "config.h")
    try:
        with open(path) as stream:
            return "#define WITH_FAULT_INJECTION" in stream.read()
    except FileNotFoundError:
        return False


def has_sanitizer():
    """Whether a sanitizer's own memory is in what the kernel counts."""
    path = os.path.join(outbox.build_directory(), "config.h")
    try:
        with open(path) as stream:
            return "#define WITH_SANITIZER" in stream.read()
    except FileNotFoundError:
        return False


def need_faults():
    if not has_faults():
        raise Skip("built without --enable-fault-injection")


class Daemon(service.Service):
    """outboxd with what these tests need: settings from a file, faults."""

    def __init__(self, databases, log, settings=(), config=None, faults=None,
                 directory="."):
        super().__init__(databases, log, settings)
        self.config = config
        self.faults = faults
        self.directory = directory
        self.heeds_owners = False   # though it runs as root

    def _begin(self):
        jail.die_with_parent()
        if self.heeds_owners:
            jail.heed_owners()

    def start(self, ready=True):
        argv = [outbox.program("outboxd"), "--log-file", self.log.path]
        if self.config:
            argv += ["--config", self.config]
        for path in self.databases:
            argv += ["--database", path]
        for word in self.settings:
            argv += ["--set", word]
        environment = dict(os.environ)
        for name in ("ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"):
            environment[name] = ":".join(filter(None, (
                environment.get(name), "log_path=%s" % os.path.join(
                    self.directory, "sanitizer"))))
        if self.faults:
            environment["OUTBOXD_FAULT"] = self.faults
        before = self.ready_count()
        with open(self.log.path + ".output", "ab") as output:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env=environment, start_new_session=True,
                preexec_fn=self._begin)
        limit = patience.limit(30)
        while ready and self.ready_count() <= before:
            status = self.process.poll()
            assert status is None and time.monotonic() < limit, \
                "outboxd is not ready (exit status %s):\n%s%s" % (
                    status, self._output(), self.log.text()[-2000:])
            time.sleep(0.01)
        return self

    def ready_count(self):
        """How often it said so, in either format of the log."""
        return self.log.count(r'event"?[=:]"?daemon\.ready')

    def signal(self, number):
        self.process.send_signal(number)

    def wait_heard(self, seconds=10):
        """Until no signal that we sent waits to be taken notice of."""
        limit = patience.limit(seconds)
        while True:
            with open("/proc/%d/status" % self.process.pid) as stream:
                waiting = [line.split()[1] for line in stream if
                           line.startswith(("SigPnd:", "ShdPnd:"))]
            if all(int(mask, 16) == 0 for mask in waiting):
                return
            assert time.monotonic() < limit, "a signal is not heard"
            time.sleep(0.01)

    def service_pid(self):
        found = service.children(self.process.pid)
        assert len(found) == 1, "processes of outboxd: %s" % found
        return found[0]

    def wait_end(self, seconds=30):
        """Its exit status, after it was told to end."""
        process, self.process = self.process, None
        try:
            return process.wait(seconds * patience.TIMES)
        except subprocess.TimeoutExpired:
            self._kill_all(process)
            raise AssertionError("outboxd did not end in %g s\n%s" % (
                seconds, self.log.text()[-3000:]))


class Case:
    """One run of one test, in a process and a directory of its own."""

    def __init__(self, directory):
        self.directory = directory
        self.outboxes = {}
        self.daemons = []
        self.servers = []

    def path(self, name):
        return os.path.join(self.directory, name)

    def server(self, kind=scripted.Server, **options):
        one = kind(**options)
        self.servers.append(one)
        return one

    def outbox(self, name="outbox.db", create=True):
        if name not in self.outboxes:
            self.outboxes[name] = outbox.Outbox(self.path(name), create)
        return self.outboxes[name]

    def tenant(self, name, server, box=None, **columns):
        """A tenant whose server is `server` (None: nobody listens), in clear
        and with delays that fit a test."""
        settings = {"host": "127.0.0.1",
                    "port": server.port if server else SPARE_PORT,
                    "tls": "none", "auth": "none", "ehlo_name": "test.example",
                    "retry_min": 1, "retry_max": 1}
        settings.update(columns)
        (box or self.outbox()).tenant(name, **settings)

    def daemon(self, *names, settings=(), log="log", **options):
        """outboxd for these databases (default: outbox.db), not started."""
        paths = [self.path(name) for name in names or ("outbox.db",)]
        one = Daemon(paths, self.path(log),
                     ["spool_dir=" + self.directory] + list(settings),
                     directory=self.directory, **options)
        self.daemons.append(one)
        return one

    def start(self, *names, **options):
        return self.daemon(*names, **options).start()

    def start_faulty(self, faults, trouble, names=(), **options):
        """With fault points, and the events that they bring about. Skipped in
        a build without them. Which message a point meets, and what is under way
        then, must not depend on how quickly a server answers: none is read ahead
        unless the test says quick-us itself."""
        need_faults()
        if "quick-us=" not in (faults or ""):
            faults = ",".join(filter(None, (faults, "quick-us=0")))
        daemon = self.daemon(*names, faults=faults, **options)
        daemon.allowed |= trouble
        return daemon.start()

    def as_daemon(self, sql, *values, box=None):
        """Writes what only outboxd may: to make a row older than the test."""
        db = box or self.outbox()
        db.begin()
        mark = "UPDATE outbox_meta SET value = ? WHERE key IN ('daemon', " \
               "'trigger')"
        db.execute(mark, 1)
        db.execute(sql, *values)
        db.execute(mark, 0)
        db.commit()

    def figure(self, name, **labels):
        """A figure of the metrics_file "figures", None if it is not there."""
        try:
            with open(self.path("figures")) as stream:
                text = stream.read()
        except FileNotFoundError:
            return None
        want = ",".join('%s="%s"' % pair for pair in labels.items())
        if want:
            want = r"\{%s\}" % want
        found = re.search(r"^outboxd_%s%s (\S+)$" % (name, want), text, re.M)
        return float(found.group(1)) if found else None

    def until(self, words, condition, seconds=20):
        """Waits until condition() is true; answers its value."""
        limit = patience.limit(seconds)
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > limit:
                raise AssertionError("after %g s: not %s" % (seconds, words))
            time.sleep(0.01)

    def finish(self):
        """After a test that passed: raises what it did not see itself."""
        for one in self.daemons:
            if one.process:
                status = one.stop()
                assert status == 0, "outboxd ended with %d:\n%s" % (
                    status, one.log.text()[-3000:])
            trouble = one.trouble()
            assert not trouble, "trouble in the log:\n" + "\n".join(trouble)
        self.check_sanitizers()

    def check_sanitizers(self):
        for path in glob.glob(self.path("sanitizer.*")):
            with open(path, errors="replace") as stream:
                raise AssertionError(stream.read()[:6000])

    def tail(self):
        """The ends of the logs, for whoever reads a failed test."""
        return "\n".join("%s:\n%s" % (one.log.path, one.log.text()[-4000:])
                         for one in self.daemons)

    def close(self):
        """Whatever happened: nothing of the test goes on."""
        for one in self.daemons:
            if one.process:
                one.kill()
        for one in self.servers:
            one.close()
        for one in self.outboxes.values():
            one.close()
