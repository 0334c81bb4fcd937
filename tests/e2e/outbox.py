"""An application's side: plain SQL with Python's sqlite3, and outboxctl."""

import os
import sqlite3
import subprocess
import time

import patience


def build_directory():
    """Where outboxd and outboxctl are: $OUTBOXD_BUILD or the source's top."""
    here = os.path.dirname(os.path.abspath(__file__))
    return os.path.abspath(os.environ.get("OUTBOXD_BUILD") or
                           os.path.join(here, "../.."))


def program(name):
    return os.path.join(build_directory(), name)


def outboxctl(*arguments, status=0, stdin=None):
    """Runs outboxctl; any other exit status than `status` (None: any) is an
    AssertionError.  Answers the finished process with its output."""
    done = subprocess.run([program("outboxctl")] + [str(a) for a in arguments],
                          input=stdin, text=True, timeout=60 * patience.TIMES,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert status is None or done.returncode == status, \
        "outboxctl %s ended with %d: %s%s" % (
            " ".join(map(str, arguments)), done.returncode, done.stdout,
            done.stderr)
    return done


class Outbox:
    """One database file.  Every statement is committed at once, unless
    inside begin() and commit()."""

    def __init__(self, path, create=True):
        self.path = path
        if create:
            outboxctl("--database", path, "init")
        self.db = sqlite3.connect(path, timeout=5, isolation_level=None)
        self.db.row_factory = sqlite3.Row
        self.db.execute("PRAGMA synchronous = FULL")

    def execute(self, sql, *values):
        return self.db.execute(sql, values)

    def begin(self):
        self.db.execute("BEGIN IMMEDIATE")

    def commit(self):
        self.db.execute("COMMIT")

    def one(self, sql, *values):
        """The first row, None if there is none."""
        return self.db.execute(sql, values).fetchone()

    def value(self, sql, *values):
        return self.db.execute(sql, values).fetchone()[0]

    def rows(self, sql, *values):
        return self.db.execute(sql, values).fetchall()

    def _insert(self, table, columns):
        names = list(columns)
        cursor = self.db.execute(
            "INSERT INTO %s (%s) VALUES (%s)" % (
                table, ", ".join(names), ", ".join("?" * len(names))),
            [columns[name] for name in names])
        return cursor.lastrowid

    def tenant(self, name, **columns):
        self._insert("outbox_tenant", dict(columns, name=name))

    def set_tenant(self, name, **columns):
        self.db.execute("UPDATE outbox_tenant SET %s WHERE name = ?" %
                        ", ".join("%s = ?" % key for key in columns),
                        list(columns.values()) + [name])

    def try_checkpoint(self):
        """Whether all of the write-ahead log came into the database file, and the
        log is empty: not where somebody else reads, writes or does the same."""
        return self.one("PRAGMA wal_checkpoint(TRUNCATE)")[0] == 0

    def checkpoint(self, seconds=60):
        self.wait("a checkpoint to its end", self.try_checkpoint, seconds)

    def insert(self, tenant, to, **columns):
        """A message; answers its id."""
        columns.setdefault("from_address", "app@%s.example" % tenant)
        if "message" not in columns:
            columns.setdefault("subject", "test")
            columns.setdefault("body_text", "text\n")
        return self._insert("outbox", dict(columns, tenant=tenant,
                                           to_addresses=to))

    def status(self, number):
        return self.one("SELECT * FROM outbox_status WHERE outbox_id = ?",
                        number)

    def state(self, number):
        return self.status(number)["state"]

    def deliveries(self, number):
        """recipient -> its row in outbox_delivery."""
        return {row["recipient"]: row for row in self.rows(
            "SELECT * FROM outbox_delivery WHERE outbox_id = ?", number)}

    def tenant_status(self, name):
        return self.one("SELECT * FROM outbox_tenant_status WHERE tenant = ?",
                        name)

    def wait(self, words, condition, seconds=20):
        """Waits until condition() is true; answers its value."""
        limit = patience.limit(seconds)
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > limit:
                raise AssertionError("after %g s: not %s%s" % (
                    seconds, words, self._picture()))
            time.sleep(0.01)

    def _picture(self):
        """What the tables say, for whoever reads a failed test."""
        lines = ["%s tenant=%s attempts=%s %s" % (
            row["state"], row["tenant"], row["attempts"], row["result"])
            for row in self.rows("SELECT * FROM outbox_status WHERE state "
                                 "<> 'sent' LIMIT 5")]
        lines += ["tenant %s is %s: %s" % (row["tenant"], row["state"],
                                           row["last_error"])
                  for row in self.rows("SELECT * FROM outbox_tenant_status")]
        return "".join("\n    " + line for line in lines)

    def wait_state(self, number, state, seconds=20):
        self.wait("message %d %s" % (number, state),
                  lambda: self.state(number) == state, seconds)
        return self.status(number)

    def wait_tenant(self, name, state, seconds=20):
        def condition():
            row = self.tenant_status(name)
            return row is not None and row["state"] == state and row
        return self.wait("tenant %s %s" % (name, state), condition, seconds)

    def count(self, state):
        return self.one("SELECT count(*) FROM outbox_status WHERE state = ?",
                        state)[0]

    def wait_all(self, state="sent", seconds=60):
        """Waits until every message is in that state."""
        self.wait("all %s" % state, lambda: self.one(
            "SELECT count(*) FROM outbox_status WHERE state <> ?",
            state)[0] == 0, seconds)

    def close(self):
        self.db.close()
