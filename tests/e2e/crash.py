#!/usr/bin/python3
"""kill -9 of the whole process tree in the middle of the work.

Inserts messages of several tenants, kills monitor and service with signal 9
again and again while they are being sent, starts outboxd anew each time, and
counts what real Postfix delivered: none may be lost, and one that is there
twice must be one that the log calls duplicate=possible.

    tests/e2e/crash.py [--messages N] [--kills N] [--seed N]

ends with 0 if that holds, and prints a report.
"""

import argparse
import collections
import os
import random
import re
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import case
import packages
import patience
import rig

TENANTS = {"acme": "required", "beta": "implicit", "gamma": "optional",
           "delta": "required"}


class Run:
    """One run; report has the numbers at its end."""

    def __init__(self, one, messages, kills, seed):
        self.case = one
        self.messages = messages
        self.kills = kills
        self.random = random.Random(seed)
        self.box = one.box()
        self.database = one.outbox()
        self.service = one.serve(start=False)
        self.report = collections.OrderedDict(messages=messages, kills=0)

    def insert(self):
        names = list(TENANTS)
        for name, server in TENANTS.items():
            self.case.tenant(name, server)
        self.database.begin()
        for number in range(self.messages):
            self.database.insert(names[number % len(names)], str(self.box),
                                 subject="token %d" % number)
        self.database.commit()

    def kill_in_the_middle(self):
        """At about equal parts of the work, but at no place of our choice."""
        part = self.messages / (self.kills + 1)
        for turn in range(self.kills):
            wanted = int(part * (turn + 1))
            self.database.wait("%d sent" % wanted, lambda: self.database.
                               count("sent") >= wanted, 120)
            time.sleep(self.random.random() * 0.05)
            self.service.kill()
            self.report["kills"] += 1
            self.service.start()

    def send_the_rest(self):
        """What died after its end of data waits ten minutes unless an
        application says otherwise: it says so."""
        self.database.wait("all sent or uncertain", lambda: self.database.one(
            "SELECT count(*) FROM outbox_status WHERE state = 'queued' OR "
            "(state = 'deferred' AND due_at < strftime('%s') + 60)")[0] == 0,
            180)
        rows = self.database.rows("SELECT outbox_id, result FROM "
                                  "outbox_status WHERE state = 'deferred'")
        self.report["uncertain"] = len(rows)
        for row in rows:
            self.database.execute("UPDATE outbox_status SET state = 'queued' "
                                  "WHERE outbox_id = ?", row["outbox_id"])
        self.database.wait_all(seconds=60)

    def count(self):
        """Fills in the report; answers a list of what is wrong."""
        by_token = collections.Counter()
        texts = collections.defaultdict(set)
        for message in self.box.messages():
            token = int(re.search(rb"Subject: token (\d+)",
                                  message.sent).group(1))
            by_token[token] += 1
            texts[token].add(message.sent)
        announced = {int(event["id"]) for event in self.service.events()
                     if event.get("duplicate") == "possible"}
        ids = {token: token + 1 for token in range(self.messages)}
        lost = [t for t in range(self.messages) if not by_token[t]]
        doubles = [t for t, n in by_token.items() if n > 1]
        silent = [t for t in doubles if ids[t] not in announced]
        unlike = [t for t in doubles if len(texts[t]) > 1]
        self.report.update(
            delivered=sum(by_token.values()), lost=len(lost),
            sent_twice=len(doubles), announced_as_possible=len(announced),
            twice_without_a_word=len(silent), twice_but_unlike=len(unlike))
        problems = []
        for words, tokens in (("lost", lost), ("twice, without "
                                               "duplicate=possible", silent),
                              ("repeated with other bytes", unlike)):
            if tokens:
                problems.append("%d %s: ids %s" % (len(tokens), words, [
                    ids[t] for t in tokens[:10]]))
        return problems

    def run(self):
        started = time.monotonic()
        self.insert()
        self.service.start()
        self.kill_in_the_middle()
        self.send_the_rest()
        # Postfix says 250 before virtual(8) has delivered.
        limit = patience.limit(30)
        while self.box.count() < self.messages and time.monotonic() < limit:
            time.sleep(0.05)
        status = self.service.stop()
        problems = self.count()
        if status != 0:
            problems.append("outboxd ended with %d" % status)
        self.report["seconds"] = round(time.monotonic() - started, 1)
        return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--messages", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    try:
        with rig.Rig(servers=("postfix",)) as shared:
            one = case.Case(shared, tempfile.mkdtemp(dir=shared.work))
            try:
                run = Run(one, options.messages, options.kills, options.seed)
                problems = run.run()
            finally:
                one.close()
    except packages.Missing as problem:
        sys.exit("crash: cannot run here: %s" % problem)
    print("seed %d" % options.seed)
    for key, value in run.report.items():
        print("%-24s %s" % (key.replace("_", " "), value))
    for problem in problems:
        print("not ok - %s" % problem)
    print("%s - kill -9 in the middle of %d messages" % (
        "not ok" if problems else "ok", options.messages))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
