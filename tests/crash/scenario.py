"""What the runs of tests/crash do: several tenants, one outboxd, to the end.

Four tenants with servers of their own (tests/daemon/server.py): acme's takes
everything, one message is large; beta's says 450 to the
first three recipients; gamma's refuses one of two recipients; delta's on_uncertain is
'hold'.  finish() waits until every row has ended, as an application would that
decides at once about what is uncertain, and check() compares tables, log and
what the servers took.
"""

import collections
import errno
import os
import shutil
import sqlite3
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(1, os.path.join(HERE, "../daemon"))

import case
import outbox
import service

TENANTS = ["acme", "beta", "gamma", "delta"]
LARGE = 300 * 1024      # more than what is kept in memory
NO_MEMORY = 71
REFUSALS = {73, 74, 75, 77, 78}
LIMIT = 60              # seconds in which all must have ended

# What stopping and failing brings about, and nothing else.
ALLOWED = {"service.crashed", "storage.failed", "worker.failed",
           "worker.restarted"}


def make_template(path):
    """A database with all rows, closed: what every run begins with."""
    box = outbox.Outbox(path)
    for name in TENANTS:
        box.tenant(name, host="127.0.0.1", port=1, tls="none", auth="none",
                   ehlo_name="test.example", retry_min=1, retry_max=1,
                   on_uncertain="hold" if name == "delta" else "resend")
    for number in range(1, 7):
        box.insert("acme", "a@box.example", subject="acme-%d" % number)
    box.insert("acme", "a@box.example", subject="acme-large",
               body_text="a line of text\n" * (LARGE // 15))
    for number in range(1, 4):
        box.insert("beta", "b@box.example", subject="beta-%d" % number)
        box.insert("gamma", "ok@box.example, no@box.example",
                   subject="gamma-%d" % number)
        box.insert("delta", "d@box.example", subject="delta-%d" % number)
    box.checkpoint()
    box.close()


def _later(server):
    """450 to the first three RCPTs."""
    asked = []

    def answer(session, line):
        asked.append(line)
        return "450 4.2.0 later" if len(asked) <= 3 else None
    server.on("RCPT", answer)


class Run:
    """One outboxd over a copy of the template (None: over what is in the
    directory).  environment: interpose.c's; faults: daemon/fault.h's."""

    def __init__(self, directory, template, environment=None, faults=None):
        self.case = case.Case(directory)
        self.environment = dict(environment or {})
        if template:
            shutil.copyfile(template, self.case.path("outbox.db"))
        self.servers = {name: self.case.server() for name in TENANTS}
        _later(self.servers["beta"])
        self.servers["gamma"].on("RCPT", lambda session, line:
                                 "550 5.1.1 unknown" if "<no@" in line
                                 else None)
        self.box = self.case.outbox(create=False)
        for name, server in self.servers.items():
            self.box.set_tenant(name, port=server.port)
        self.daemon = self.case.daemon(faults=faults)
        self.daemon.allowed |= ALLOWED
        self.refused = False

    def start(self):
        with service.surroundings(self.environment):
            self.daemon.start(ready=False)

    def _decide(self):
        """An application that does not wait the ten minutes of what is
        uncertain, and sends again what is held."""
        self.box.execute(
            "UPDATE outbox_status SET state = 'queued' WHERE "
            "state = 'uncertain' OR (state = 'deferred' AND "
            "due_at > strftime('%s') + 60)")

    def _left(self):
        return self.box.one("SELECT count(*) FROM outbox_status WHERE state "
                            "NOT IN ('sent', 'failed', 'cancelled')")[0]

    def _start_again(self):
        """A refusal before the first 'ready' ends outboxd, and so does the
        monitor's lack of memory; before its first line of log the libraries
        that read its configuration may end it too. A service manager starts
        it again."""
        status = self.daemon.process.poll()
        if status is None:
            return
        begun = self.daemon.log.count("event=daemon.start") > 0
        assert status == NO_MEMORY or status in REFUSALS and \
            not self.daemon.ready_count() or not begun, \
            "outboxd ended with %s" % status
        assert not self.refused, "refused twice"
        self.refused = True
        self.start()

    def finish(self):
        """Until every row has ended, then outboxd's end: its exit status."""
        limit = time.monotonic() + LIMIT
        while True:
            try:
                self._decide()
                if self._left() == 0:
                    break
            except sqlite3.OperationalError:
                pass        # locked by a service that died: asked again
            self._start_again()
            assert time.monotonic() < limit, "not ended: %s" % [
                tuple(row) for row in self.box.rows(
                    "SELECT outbox_id, tenant, state, due_at, result FROM "
                    "outbox_status WHERE state NOT IN ('sent', 'failed')")]
            time.sleep(0.01)
        return self.daemon.stop()

    def check(self, doubles=True, again=False):
        """Asserts what must hold; answers how many arrived twice.  again: an
        earlier run has sent a part."""
        for pragma in ("integrity_check", "foreign_key_check"):
            found = [tuple(r) for r in self.box.rows("PRAGMA " + pragma)]
            assert found in ([], [("ok",)]), found
        subjects = {row[0]: row[1] for row in self.box.rows(
            "SELECT id, subject FROM outbox")}
        announced = {int(event["id"]) for event in self.daemon.events()
                     if event.get("duplicate") == "possible"}
        arrived = collections.Counter(
            mail.subject for server in self.servers.values()
            for mail in server.mails)
        twice = 0
        for number, subject in subjects.items():
            state = self.box.state(number)
            wanted = "failed" if subject.startswith("gamma") else "sent"
            assert state == wanted, "%s is %s" % (subject, state)
            assert again or arrived[subject] >= 1, "%s is lost" % subject
            if arrived[subject] > 1:
                twice += 1
                assert doubles and number in announced, \
                    "%s came %d times, without a word" % (
                        subject, arrived[subject])
            for row in self.box.deliveries(number).values():
                state = "failed" if row["recipient"].startswith("no@") \
                    else "sent"
                assert row["state"] == state, tuple(row)
        if self.environment.get("INTERPOSE_ACTION") == str(errno.EMFILE):
            # SQLite would open for reading only what it cannot open at once
            assert "readonly database" not in self.daemon.log.text()
        unannounced = self.daemon.trouble()
        assert not unannounced, "\n".join(unannounced)
        self.case.check_sanitizers()
        return twice

    def close(self):
        self.case.close()
