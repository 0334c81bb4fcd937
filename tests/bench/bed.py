"""What every row of the bench stands on: scratch files, outboxd, and what it used.

    with Bed(build, folder) as bed:
        path = bed.outbox(tenants=50, messages=20000, port=sink.port)
        with bed.daemon(path) as daemon:
            sink.wait(20000, 60)
        bed.check(path, sink.take(), 20000)
"""
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[0:0] = [os.path.join(HERE, "../e2e")]

import jail
import service

LONG = 300              # seconds after which a run is given up
TEXT_OCTETS = 3700      # of a text whose message has 4 KiB with its header
INSERT = "INSERT INTO outbox (tenant, to_addresses, subject, body_text) VALUES (?, 'you@sink.example', ?, ?)"
TENANT = {"host": "127.0.0.1", "tls": "none", "auth": "none", "ehlo_name": "bench.example"}


class Void(Exception):
    """A run that does not count: a message missing, doubled, or not recorded; or something else went wrong."""


def text(octets):
    return "".join("\n" if n % 72 == 71 else chr(ord("a") + n % 26) for n in range(octets))


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]


def cpu_s(pid):
    """Processor time of a process, all below it, and all that these have waited for."""
    ticks = 0
    for one in [pid] + service.children(pid):
        try:
            with open("/proc/%d/stat" % one) as stream:
                ticks += sum(map(int, stream.read().rpartition(")")[2].split()[11:15]))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_kib(pid):
    """What a process and all below it have for themselves."""
    total = 0
    for one in [pid] + service.children(pid):
        with open("/proc/%d/smaps_rollup" % one) as stream:
            total += sum(int(line.split()[1]) for line in stream if line.startswith("Private_"))
    return total


class Daemon:
    """outboxd with its defaults but for `settings`; `stop` also ends one that waits for its servers."""

    def __init__(self, build, paths, settings=()):
        self.log, self.ended = paths[0] + ".log", None
        argv = [os.path.join(build, "outboxd"), "--log-file", self.log]
        for path in paths:
            argv += ["--database", path]
        for word in settings:
            argv += ["--set", word]
        self.begin_ns = time.monotonic_ns()
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, preexec_fn=jail.die_with_parent)

    @property
    def pid(self):
        return self.process.pid

    def wait_ready(self):
        limit = time.monotonic() + LONG
        while True:
            if os.path.exists(self.log):
                with open(self.log, errors="replace") as stream:
                    if "daemon.ready" in stream.read(65536):
                        return self
            if self.process.poll() is not None or time.monotonic() > limit:
                raise Void("outboxd does not start")
            time.sleep(0.01)

    def threads(self):
        return sum(len(os.listdir("/proc/%d/task" % one)) for one in [self.pid] + service.children(self.pid))

    def stop(self, soon=False):
        if self.ended is not None:
            return
        limit = time.monotonic() + LONG
        while True:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.ended = self.process.wait(0.5 if soon else LONG)
                break
            except subprocess.TimeoutExpired:
                if time.monotonic() > limit:
                    for pid in service.children(self.pid) + [self.pid]:
                        os.kill(pid, signal.SIGKILL)
        if self.ended != 0:
            raise Void("outboxd ended with %d" % self.ended)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            self.stop()
        except Void:
            if kind is None:
                raise


class Bed:
    def __init__(self, build, folder=None):
        self.build = os.path.abspath(build)
        self.folder = tempfile.mkdtemp(prefix="outboxd-bench.", dir=folder)
        os.chmod(self.folder, 0o755)
        self.templates, self.number, self.paths = {}, 0, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder, ignore_errors=True)

    def connect(self, path):
        connection = sqlite3.connect(path, timeout=5, isolation_level=None)
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    def _template(self, tenants, messages, octets):
        """A file with tenants t0, t1 … and messages m0, m1 … for them in turn; made once."""
        key = (tenants, messages, octets)
        if key not in self.templates:
            path = os.path.join(self.folder, "template-%d-%d-%d.db" % key)
            subprocess.run([self.build + "/outboxctl", "--database", path, "init"], check=True,
                           stdout=subprocess.DEVNULL)
            connection, body = self.connect(path), text(octets)
            connection.execute("BEGIN IMMEDIATE")
            columns = dict(TENANT, port=25)
            connection.executemany(
                "INSERT INTO outbox_tenant (name, from_address, %s) VALUES (?, ?, %s)" % (
                    ", ".join(columns), ", ".join("?" * len(columns))),
                (("t%d" % n, "pbx@t%d.example" % n, *columns.values()) for n in range(tenants)))
            connection.executemany(INSERT, (("t%d" % (n % tenants), "m.%d" % n, body) for n in range(messages)))
            connection.execute("COMMIT")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.close()
            self.templates[key] = path
        return self.templates[key]

    def outbox(self, tenants, port, messages=0, octets=TEXT_OCTETS, **columns):
        """A file of its own for one run; what it holds has reached the disk."""
        template = self._template(tenants, messages, octets)
        self.number += 1
        path = os.path.join(self.folder, "run-%d.db" % self.number)
        subprocess.run(["cp", "--reflink=auto", template, path], check=True)
        connection = self.connect(path)
        columns = dict(columns, port=port)
        connection.execute("UPDATE outbox_tenant SET " + ", ".join("%s = ?" % name for name in columns),
                           list(columns.values()))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        with open(path, "rb") as stream:
            os.fsync(stream.fileno())
        self.paths.append(path)
        return path

    def daemon(self, *paths, settings=()):
        return Daemon(self.build, list(paths), settings)

    def insert(self, path, name, count, gap_us=0, octets=TEXT_OCTETS, tenants=1):
        """The application's process: insert.c; `moments` waits for its end."""
        return subprocess.Popen([self.build + "/tests/bench/insert", path, str(count), str(gap_us), str(octets),
                                 str(tenants), name], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    @staticmethod
    def moments(process):
        """((begin_ns, commit_ns) of each insert, how many failed)."""
        output, trouble = process.communicate(timeout=LONG)
        return [tuple(map(int, line.split())) for line in output.splitlines()], len(trouble.splitlines())

    def settled(self, path):
        """Waits until the table knows of everything that was sent."""
        connection, limit = self.connect(path), time.monotonic() + LONG
        query = "SELECT count(*) FROM (SELECT 1 FROM outbox_status WHERE state IN ('queued', 'deferred') LIMIT 1)"
        while connection.execute(query).fetchone()[0]:
            if time.monotonic() > limit:
                raise Void("messages are not settled after %d s" % LONG)
            time.sleep(0.02)
        connection.close()

    def check(self, path, arrivals, *names, forget=True):
        """Raises Void unless exactly NAME.0 … NAME.(count - 1) of all (NAME, count) arrived, once each, and the
        table says the same. Then the file is forgotten."""
        expected = {"%s.%d" % (name, n) for name, count in names for n in range(count)}
        seen = {arrival.identity for arrival in arrivals}
        if len(arrivals) != len(seen) or seen != expected:
            raise Void("%d missing, %d doubled, %d unknown" % (
                len(expected - seen), len(arrivals) - len(seen), len(seen - expected)))
        connection = self.connect(path)
        states = dict(connection.execute("SELECT state, count(*) FROM outbox_status GROUP BY state"))
        connection.close()
        if states != {"sent": len(expected)}:
            raise Void("the table says %s" % states)
        if forget:
            self.forget(path)

    def forget(self, *paths):
        for path in paths or self.paths:
            for end in ("", "-wal", "-shm", "-inflight", ".log"):
                if os.path.exists(path + end):
                    os.unlink(path + end)
        self.paths = [path for path in self.paths if os.path.exists(path)]
