#!/usr/bin/python3
"""kill -9 at random moments, for long: what was committed, ended and arrived.

    tests/crash/soak.py [--messages N] [--kills N] [--seed N] [--keep]
                        [--what tree,monitor,service]

Five tenants with servers of their own (sink.py): acme in clear, beta's TLS
from the first octet, gamma told 450 and 451 now and then, delta on_uncertain =
hold, epsilon with several messages under way and recipients that are refused.
Two applications insert and cancel meanwhile, a third decides at once about
what is uncertain.  The whole tree, the monitor alone or the service alone is
killed at moments drawn from the seed.  At the end: every committed row has
ended, each message arrived once, or more often where that was announced, none
is lost, altered, or at another tenant's server.  `make soak`.
"""

import argparse
import collections
import glob
import os
import random
import re
import shutil
import signal
import sqlite3
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../daemon"),
                os.path.join(HERE, "../e2e")]

import case
import certs
import logfile
import service
import sink

TENANTS = {
    "acme": {"max_connections": 4},
    "beta": {"tls": "implicit", "tls_name": "sink.example"},
    "gamma": {},
    "delta": {"on_uncertain": "hold"},
    "epsilon": {"pipeline_depth": 8},
}
APPLICATIONS = 2
AHEAD = 3000        # messages that may wait to be sent
STILL = 300         # seconds without any progress: given up
REFUSED = "no@box.example"
KILLED = ("tree", "monitor", "service")
UNENDED = "state NOT IN ('sent', 'failed', 'cancelled')"


class Application(threading.Thread):
    """Inserts its share in transactions of random size, and changes its mind
    about some."""

    def __init__(self, soak, number, share):
        super().__init__(daemon=True)
        self.soak = soak
        self.number = number
        self.share = share
        self.random = random.Random("%d/%d" % (soak.seed, number))
        self.committed = 0
        self.tokens = set()
        self.cancelled = 0
        self.failure = None

    def run(self):
        try:
            db = sqlite3.connect(self.soak.path, timeout=60,
                                 isolation_level=None)
            db.execute("PRAGMA synchronous = FULL")
            while self.committed < self.share and not self.soak.over.is_set():
                if self.soak.ahead() > AHEAD:
                    self.soak.over.wait(0.02)
                    continue
                self._transaction(db)
            db.close()
        except Exception as problem:
            self.failure = problem

    def _transaction(self, db):
        count = min(self.share - self.committed, self.random.randint(1, 150))
        tokens, ids = [], []
        db.execute("BEGIN IMMEDIATE")
        for number in range(count):
            tenant = self.random.choice(list(TENANTS))
            token = "%s/%d/%d" % (tenant, self.number,
                                  self.committed + number)
            to = "ok@box.example"
            if tenant == "epsilon" and self.random.random() < 0.1:
                to += ", " + REFUSED
            text = "a line of text\n" * self.random.randint(1, 60)
            ids.append(db.execute(
                "INSERT INTO outbox (tenant, from_address, to_addresses, "
                "subject, body_text) VALUES (?, ?, ?, ?, ?)",
                (tenant, "app@%s.example" % tenant, to, "soak " + token,
                 text)).lastrowid)
            tokens.append(token)
        db.execute("COMMIT")
        self.committed += count
        self.tokens.update(tokens)
        for number in self.random.sample(ids, count // 30):
            self.cancelled += db.execute(
                "UPDATE outbox_status SET state = 'cancelled' WHERE "
                "outbox_id = ? AND state IN ('queued', 'deferred')",
                (number,)).rowcount


class Soak:
    """One run; report has the figures at its end."""

    def __init__(self, directory, messages, kills, seed, what=KILLED):
        self.case = case.Case(directory)
        self.path = self.case.path("outbox.db")
        self.messages = messages
        self.kills = kills
        self.seed = seed
        self.what = list(what)
        self.random = random.Random(seed)
        self.over = threading.Event()
        authority = certs.Authority(directory, "authority")
        pair = authority.server("sink", ["sink.example"])
        self.sink = sink.Sink({
            "acme": {}, "beta": {"tls": pair}, "gamma": {"later": 6},
            "delta": {}, "epsilon": {}}, r"^Subject: soak (\S+)\r$")
        self.box = self.case.outbox()
        for name, columns in TENANTS.items():
            settings = {"tls": "none", "host": "127.0.0.1",
                        "port": self.sink.port(name), "auth": "none",
                        "ehlo_name": "test.example", "retry_min": 1,
                        "retry_max": 2}
            settings.update(columns)
            if settings["tls"] == "implicit":
                settings["tls_ca_file"] = authority.file
            self.box.tenant(name, **settings)
        self.daemon = self.case.daemon()
        self.starts = 0
        self.report = collections.Counter()
        self.applications = [Application(self, number, (
            messages + number) // APPLICATIONS)
            for number in range(APPLICATIONS)]

    def ahead(self):
        """About how many are committed and not yet taken."""
        return sum(one.committed - one.cancelled
                   for one in self.applications) - self.sink.accepted()

    # --- outboxd -------------------------------------------------------------

    def start(self):
        """A log of its own for each start: none is read twice."""
        self.starts += 1
        self.daemon.log = logfile.LogFile(self.case.path(
            "log.%04d" % self.starts))
        self.daemon.start(ready=False)

    def _service(self):
        found = service.children(self.daemon.process.pid)
        return found[0] if found else None

    def kill(self):
        what = self.random.choice(self.what)
        pid = self._service()
        while what == "service":
            try:
                if pid:
                    os.kill(pid, signal.SIGKILL)
                    self.report["killed: service"] += 1
                    return
            except ProcessLookupError:
                pass
            if "tree" in self.what:
                break
            assert self.daemon.process.poll() is None, "outboxd ended"
            time.sleep(0.01)    # the next one is being started
            pid = self._service()
        if what == "monitor":
            process, self.daemon.process = self.daemon.process, None
            process.kill()
            process.wait()
            self.case.until("the service ended with its monitor", lambda:
                            pid is None or service.gone(pid), 60)
            self.report["killed: monitor"] += 1
        else:
            self.daemon.kill()
            self.report["killed: both"] += 1
        self.start()

    # --- the applications' side ------------------------------------------------

    def decide(self):
        """No waiting of ten minutes: what is uncertain is sent again."""
        for row in self.box.rows(
                "SELECT outbox_id FROM outbox_status WHERE state = "
                "'uncertain' OR (state = 'deferred' AND due_at > "
                "strftime('%s') + 60)"):
            self.report["decided about"] += self.box.execute(
                "UPDATE outbox_status SET state = 'queued' WHERE outbox_id "
                "= ? AND state IN ('uncertain', 'deferred')",
                row[0]).rowcount

    def _watch(self, words, condition):
        """Until it is true; gives up only where nothing at all moves."""
        seen, since, decided = -1, time.monotonic(), 0
        while not condition():
            now = time.monotonic()
            if now - decided > 1:
                self.decide()
                decided = now
            progress = (self.sink.accepted(), self.box.count("sent"))
            if progress != seen:
                seen, since = progress, now
            assert now - since < STILL, "nothing moves: not %s; %s\n%s" % (
                words, progress, self.daemon.log.text()[-3000:])
            assert self.daemon.process.poll() is None, \
                "outboxd ended: %s" % self.daemon.log.text()[-3000:]
            for one in self.applications:
                assert one.failure is None, repr(one.failure)
            time.sleep(0.02)

    def _all_ended(self):
        return not any(one.is_alive() for one in self.applications) and \
            self.box.value("SELECT count(*) FROM outbox_status WHERE " +
                           UNENDED) == 0

    def run(self):
        """Answers a list of what is wrong."""
        begun = time.monotonic()
        self.start()
        for one in self.applications:
            one.start()
        # Of what arrives: some are cancelled.
        for at in sorted(self.random.sample(range(int(self.messages * 0.95)),
                                            self.kills)):
            self._watch("%d accepted" % at, lambda: self.sink.accepted() >= at)
            time.sleep(self.random.random() * 0.2)
            self.kill()
        self._watch("all ended", self._all_ended)
        self.over.set()
        status = self.daemon.stop()
        problems = ["outboxd ended with %d" % status] if status else []
        problems += self.compare()
        self.report["seconds"] = int(time.monotonic() - begun)
        return problems

    # --- what came of it ---------------------------------------------------------

    def _announced(self):
        """Ids whose repetition the log announces, and trouble in it."""
        ids, trouble = set(), []
        for path in sorted(glob.glob(self.case.path("log.[0-9]*[0-9]"))):
            with open(path, errors="replace") as stream:
                for line in stream:
                    if " duplicate=possible" in line:
                        ids.add(int(re.search(r"\bid=(\d+)", line).group(1)))
                    event = service.parse(line).get("event") \
                        if "level=info" not in line else None
                    if event in service.TROUBLE - {"service.crashed"}:
                        trouble.append(line.rstrip())
        return ids, trouble

    def compare(self):
        taken = self.sink.end()
        announced, trouble = self._announced()
        uncertain = {row[0] for row in self.box.rows(
            "SELECT DISTINCT outbox_id FROM outbox_delivery WHERE uncertain")}
        wrong = collections.defaultdict(list)
        rows = self.box.rows(
            "SELECT o.id, o.tenant, o.subject, o.to_addresses, s.state FROM "
            "outbox AS o JOIN outbox_status AS s ON s.outbox_id = o.id")
        known = set()
        for number, tenant, subject, to, state in rows:
            token = subject.split()[1]
            known.add(token)
            here = taken[tenant].get(token, sink.Taken(0, 0))
            self.report["rows " + state] += 1
            self.report["arrived"] += here.times
            wanted = {"sent", "cancelled"} if REFUSED not in to else \
                {"failed", "cancelled"}
            if state not in wanted:
                wrong["ended in another state than they should"].append(number)
            if state != "cancelled" and here.times == 0:
                wrong["lost"].append(number)
            if here.texts > 1:
                wrong["repeated with other octets"].append(number)
            # Cancelled is never sent, but for one that a kill made uncertain.
            if here.times > (0 if state == "cancelled" else 1):
                self.report["arrived more often than recorded"] += 1
                if number not in announced:
                    if number in uncertain:
                        self.report["  told by the table alone"] += 1
                    else:
                        wrong["twice without a word"].append(number)
        committed = set().union(*(one.tokens for one in self.applications))
        self.report["committed"] = len(committed)
        self.report["announced as possibly twice"] = len(announced)
        if known != committed:
            wrong["committed or in the table alone"] = sorted(
                known ^ committed)
        for tenant, tokens in taken.items():
            for token in tokens:
                if token.split("/")[0] != tenant or token not in known:
                    wrong["crossed"].append((tenant, token))
        found = [tuple(row) for row in self.box.rows("PRAGMA integrity_check")]
        if found != [("ok",)]:
            wrong["integrity_check"] = found
        if trouble:
            wrong["trouble in the log"] = trouble
        return ["%d %s: %s" % (len(found), words, found[:10])
                for words, found in wrong.items()]

    def close(self):
        self.over.set()
        self.sink.close()
        self.case.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--messages", type=int, default=100000)
    parser.add_argument("--kills", type=int, default=320)
    parser.add_argument("--seed", type=int, default=20261128)
    parser.add_argument("--what", default=",".join(KILLED),
                        help="which of them, any of %s" % ", ".join(KILLED))
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    what = options.what.split(",")
    if set(what) - set(KILLED):
        parser.error("--what: any of %s" % ", ".join(KILLED))
    directory = tempfile.mkdtemp(prefix="outboxd-soak-")
    print("seed %d" % options.seed, flush=True)
    soak = Soak(directory, options.messages, options.kills, options.seed,
                what)
    problems = ["it did not come to its end"]
    try:
        problems = soak.run()
    finally:
        soak.close()
        if options.keep or problems:
            print("files: %s" % directory)
        else:
            shutil.rmtree(directory, ignore_errors=True)
    for words, number in soak.report.items():
        print("%-34s %d" % (words, number))
    for problem in problems:
        print("not ok - %s" % problem)
    print("%s - %d kills over %d messages" % (
        "not ok" if problems else "ok", options.kills, options.messages))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
