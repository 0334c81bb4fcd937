"""Workers that start, end and are replaced, while everything about their
tenants changes: many rounds of things that happen to an outboxd, drawn with a
fixed seed. In the end every message is sent once, or its repetition was
announced; nothing hangs, crashes or races (run it under a sanitizer).

$OUTBOXD_STRESS is the number of rounds (make stress takes many),
$OUTBOXD_SEED another beginning."""

import collections
import os
import random
import signal

import outbox
from case import has_faults
from server import CLOSE, RESET

ROUNDS = int(os.environ.get("OUTBOXD_STRESS", 60))
SEED = int(os.environ.get("OUTBOXD_SEED", 20261128))
TENANTS = 24
WAITING_MOST = 80   # messages that wait: a round waits for fewer
FAULTS = 30
LIMIT = 300     # seconds, of a busy machine with a sanitizer


def faults(dice):
    """Each once in each process, at some tenant's so manieth message."""
    kinds = ["worker-end:%s:%d", "worker-end-in-data:%s:%d",
             "worker-end-past-end:%s:%d", "deliver-taken:%s:%d:end",
             "deliver-compose:%s:%d:end", "deliver-mail:%s:%d:end",
             "deliver-data:%s:%d:end", "deliver-past-end:%s:%d:end",
             "error-mail:%s:%d", "error-data:%s:%d"]
    return ",".join(dice.choice(kinds) % ("t%d" % dice.randrange(TENANTS),
                                          dice.randint(1, 12))
                    for _ in range(FAULTS))


def moody(server, dice, often):
    """Now and then it refuses for now, is gone, or is gone with a message."""
    def now_and_then(answers):
        with server.lock:
            return dice.choice(answers) if dice.randrange(often) == 0 else None
    server.on("connect", lambda session, line: now_and_then(
        ["421 4.3.2 not now", CLOSE]))
    server.on("MAIL", lambda session, line: now_and_then(
        ["421 4.3.2 enough", CLOSE, "452 4.3.1 too much", RESET]))
    server.on("RCPT", lambda session, line: now_and_then(
        ["450 4.2.1 later", CLOSE]))

    def dot(session, mail):
        answer = now_and_then(["451 4.3.0 later", CLOSE, RESET])
        if answer is CLOSE:
            server.took(mail)
        return answer
    server.on("dot", dot)


class Stress:
    def __init__(self, case):
        self.case = case
        self.dice = random.Random(SEED)
        self.servers = []
        for often in (0, 0, 12, 5):
            extensions = ["PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES"]
            if len(self.servers) % 2:
                extensions.append("CHUNKING")
            server = case.server(extensions=extensions)
            if often:
                moody(server, random.Random(SEED + often), often)
            self.servers.append(server)
        self.boxes = [case.outbox("one.db"), case.outbox("two.db")]
        self.guests = []        # (box, name) of tenants that come and go
        self.made = 0
        self.ids = [{}, {}]     # of each outbox: id -> subject
        self.asked = set()      # subjects that somebody asked to cancel
        for i in range(TENANTS):
            self.add(self.box_of("t%d" % i), "t%d" % i)
        self.daemon = self.start()

    def start(self):
        daemon = self.case.daemon(
            "one.db", "two.db",
            faults=faults(self.dice) if has_faults() else None,
            settings=["max_workers=7", "max_probes=3", "idle_timeout=0",
                      "expiry_check=1s"])
        daemon.allowed |= {"worker.failed", "worker.restarted",
                           "tenant.quarantined", "storage.failed"}
        return daemon.start()

    def box_of(self, name):
        return self.boxes[int(name[1:]) % 2]

    def add(self, box, name):
        self.case.tenant(name, self.dice.choice(self.servers), box,
                         max_connections=self.dice.randint(1, 4),
                         pipeline_depth=self.dice.choice([1, 1, 4]),
                         max_messages_per_session=self.dice.choice([1, 3,
                                                                    100]))

    def some(self):
        return "t%d" % self.dice.randrange(TENANTS)

    # --- what happens --------------------------------------------------------

    def insert(self, name=None):
        name = name or self.some()
        box = self.box_of(name)
        box.begin()
        for _ in range(self.dice.randint(1, 8)):
            subject = "%s-%d" % (name, self.made)
            self.made += 1
            number = box.insert(name, "bob@example.net", subject=subject,
                                priority=self.dice.randint(-9, 9))
            self.ids[self.boxes.index(box)][number] = subject
        box.commit()

    def change(self):
        """Another connection, or what none depends on."""
        name = self.some()
        columns = self.dice.choice([
            {"host": self.dice.choice(["127.0.0.1", "localhost"]),
             "bind_address": "127.0.0.1"},
            {"port": self.dice.choice(self.servers).port},
            {"max_connections": self.dice.randint(1, 4)},
            {"pipeline_depth": self.dice.choice([1, 4])},
            {"messages_per_minute": self.dice.choice([None, 500])},
            {"on_uncertain": "resend"}])
        self.box_of(name).set_tenant(name, **columns)

    def suspend(self):
        name = self.some()
        self.box_of(name).set_tenant(name, enabled=self.dice.choice([0, 1, 1]))

    def retry(self):
        name = self.some()
        outbox.outboxctl("--database", self.box_of(name).path, "retry",
                         "--tenant", name)

    def come(self):
        name = "g%d" % self.made
        self.add(self.box_of(name), name)
        self.guests.append(name)
        self.insert(name)

    def go(self):
        """Its mail is over: it is removed, and comes again under its name."""
        for name in self.guests:
            box = self.box_of(name)
            if box.value("SELECT count(*) FROM outbox_status WHERE tenant = ? "
                         "AND state NOT IN ('sent', 'failed', 'cancelled')",
                         name) == 0:
                outbox.outboxctl("--database", box.path, "tenant", "remove",
                                 name, "--purge")
                self.guests.remove(name)
                if self.dice.randrange(2):
                    self.add(box, name)
                    self.guests.append(name)
                    self.insert(name)
                return

    def cancel(self):
        box = self.dice.choice(self.boxes)
        row = box.one("SELECT outbox_id FROM outbox_status WHERE state IN "
                      "('queued', 'deferred') ORDER BY outbox_id LIMIT 1")
        if row:
            self.asked.add(self.ids[self.boxes.index(box)][row[0]])
            box.execute("UPDATE outbox_status SET state = 'cancelled' WHERE "
                        "outbox_id = ? AND state IN ('queued', 'deferred')",
                        row[0])

    def now(self):
        """What was deferred is due: an application's wish."""
        for box in self.boxes:
            box.execute("UPDATE outbox_status SET state = 'queued' WHERE "
                        "state = 'deferred'")

    def hup(self):
        self.daemon.signal(signal.SIGHUP)

    def usr1(self):
        self.daemon.signal(signal.SIGUSR1)

    def again(self):
        """In the middle of it all: stopped, and another one starts."""
        if self.dice.randrange(4) == 0:
            assert self.daemon.stop() == 0
            self.daemon.start()

    # --- and what came of it ----------------------------------------------------

    def waiting(self):
        return sum(box.value("SELECT count(*) FROM outbox_status WHERE state "
                             "IN ('queued', 'deferred')")
                   for box in self.boxes)

    def settle(self, most):
        """Until at most so many messages wait; whoever is held back goes."""
        self.calm = 0

        def few():
            left = self.waiting()
            self.calm += 1
            if left > most and self.calm % 20 == 0:
                self.now()
            if left > most and self.calm % 100 == 0:
                for box in self.boxes:
                    box.execute("UPDATE outbox_tenant SET enabled = 1 WHERE "
                                "enabled = 0")
                    for row in box.rows(
                            "SELECT tenant FROM outbox_tenant_status WHERE "
                            "state IN ('quarantined', 'backoff', 'throttled')"):
                        outbox.outboxctl("--database", box.path, "retry",
                                         "--tenant", row[0], status=None)
            return left <= most
        self.case.until("at most %d messages wait" % most, few, LIMIT)

    def announced(self):
        """Subjects of which the log says that they may go twice."""
        found = set()
        for event in self.daemon.log.lines(r"duplicate=possible"):
            words = dict(word.split("=", 1) for word in event.split()
                         if "=" in word)
            box = 0 if words["db"] == "one" else 1
            found.add(self.ids[box][int(words["id"])])
        return found

    def check(self):
        arrived = collections.Counter(
            subject for server in self.servers
            for subject in server.subjects())
        announced = self.announced()
        for number, box in enumerate(self.boxes):
            states = {row[0]: row for row in box.rows(
                "SELECT outbox_id, state, result FROM outbox_status")}
            for key, subject in self.ids[number].items():
                row = states.get(key)   # None: finished, and gone with its tenant
                count = arrived[subject]
                told = "%s: %s, arrived %d times" % (
                    subject, row and tuple(row), count)
                assert count <= 1 or subject in announced, told
                if row is None:
                    assert count or subject in self.asked, told
                    continue
                assert row["state"] in ("sent", "failed", "cancelled"), told
                assert row["state"] != "sent" or count, told
                assert row["state"] != "cancelled" or not count or \
                    subject in announced, told
                assert row["state"] != "failed" or \
                    "workers ended" in row["result"], told


def test_workers_come_and_go(case):
    stress = Stress(case)
    happens = ([stress.insert] * 12 + [stress.change] * 4 +
               [stress.suspend] * 3 + [stress.come, stress.go] * 2 +
               [stress.cancel] * 2 + [stress.retry, stress.now, stress.hup,
                                      stress.usr1, stress.again])
    for _ in range(ROUNDS):
        stress.dice.choice(happens)()
        stress.settle(WAITING_MOST)
    stress.settle(0)
    assert stress.daemon.stop() == 0
    stress.check()
    daemon = stress.daemon
    assert not daemon.events("service.crashed")
    print("# stress: %d messages, %d sessions, %d workers failed, %d "
          "announced" % (stress.made, len(daemon.events("session.open")),
                         len(daemon.events("worker.failed")),
                         len(stress.announced())))
    if has_faults():
        daemon.wait_event("worker.failed")
        daemon.wait_event("worker.restarted")
