#!/usr/bin/python3
"""isolation.py [KIND…] [--build FOLDER] [--pairs N] [--seconds N] - how well tenants are kept apart.

For each kind of bad tenant 40 healthy ones send at a steady rate (2 messages a second each), with
the bad ones and without, in interleaved pairs within one run. Measured is the delay from COMMIT to
acceptance at the healthy tenants' server, two seconds after the start where the bad ones go on for
ever: by then each has been tried, and is tried again. Those with a deal of work (20,000 messages, 10 MB
each, 500 at once) are there from the first moment. The table has each kind's medians over the pairs, the
median of the pairs' ratios of p99 (with / without) with its spread, and the share that arrived.
Figures, never assertions: tests/daemon/test_isolation.py asserts the outcomes.

The kinds are those of tests/support/sick.py and: flood (20,000 due messages of one tenant), large
(200 messages of 10 MB), 45-of-50 (45 black holes, 5 healthy tenants), 500-sick (that never greet), nobody (a
control: without bad ones both times).
"""
import argparse
import os
import statistics
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[0:0] = [HERE, os.path.join(HERE, "../support")]

import bed as beds
import sick
import sink as sinks

HEALTHY, RATE = 40, 2
WARM_UP_S = 2
OTHERS = {
    "nobody": "nobody: what the method makes of the same twice",
    "flood": "20,000 due messages of one tenant",
    "large": "200 messages of 10 MB of one tenant",
    "45-of-50": "45 black holes beside 5 healthy tenants",
    "500-sick": "500 servers that never greet",
}
ALL = {**sick.KINDS, **OTHERS}
# Their work itself takes the processor: published beside the rest, without a goal.
COMPETE = {"flood", "large", "endless-reply", "stalled-data", "500-sick"}


class Kind:
    """Who is bad, and what they have to send."""

    def __init__(self, name, sink, servers):
        self.name, self.sink, self.servers = name, sink, servers
        self.healthy = 5 if name == "45-of-50" else HEALTHY
        self.server = {"45-of-50": "black-hole", "500-sick": "silent", "nobody": "refused"}.get(name, name)
        self.goes_on = name in sick.KINDS or name in ("45-of-50", "nobody")
        self.count = {"45-of-50": 45, "500-sick": 500, "flood": 1, "large": 1, "stalled-data": 4, "nobody": 0}.get(name, 10)
        self.each = {"flood": 20000, "large": 200, "stalled-data": 2}.get(name, 20)

    def columns(self):
        if self.name in ("flood", "large"):
            return {"host": "127.0.0.1", "port": self.sink.port, "tls": "none"}
        return self.servers.columns(self.server)

    def settings(self):
        return [] if self.name in ("flood", "large") else self.servers.settings(self.server)

    def text(self):
        if self.name == "large":
            return ("x" * 70 + "\n") * (10 * 1024 * 1024 // 71)
        return "A text.\n" if self.name == "flood" else self.servers.text(self.server)

    def prepare(self, connection):
        """The bad tenants and their mail, all due."""
        columns = dict(self.columns(), from_address="pbx@sick.example")
        text = self.text()
        connection.execute("BEGIN IMMEDIATE")
        for number in range(self.count):
            values = dict(columns, name=f"s{number}")
            connection.execute(f"INSERT INTO outbox_tenant ({', '.join(values)}) VALUES "
                               f"({', '.join('?' * len(values))})", list(values.values()))
            for message in range(self.each):
                connection.execute("INSERT INTO outbox (tenant, to_addresses, subject, body_text) VALUES "
                                   "(?, 'you@sick.example', ?, ?)", (f"s{number}", f"bad.{number}.{message}", text))
        connection.execute("COMMIT")


def run(bed, sink, kind, with_bad, seconds):
    """The healthy tenants' delays in ms, and how many messages they inserted."""
    path = bed.outbox(kind.healthy, sink.port)
    connection = bed.connect(path)
    if with_bad:
        kind.prepare(connection)
    daemon = bed.daemon(path, settings=kind.settings()).wait_ready()
    if kind.goes_on:
        time.sleep(WARM_UP_S)   # also without them
    sink.take()
    committed, number, begin = {}, 0, time.time()
    gap = 1 / (RATE * kind.healthy)
    while time.time() - begin < seconds:
        subject = f"h.{number}"
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(beds.INSERT, (f"t{number % kind.healthy}", subject, "A text."))
        connection.execute("COMMIT")
        committed[subject] = time.monotonic_ns()
        number += 1
        time.sleep(max(0, begin + number * gap - time.time()))
    arrived, until = {}, time.time() + 60
    while len(arrived) < len(committed) and time.time() < until:
        arrived.update((one.identity, one.end_ns) for one in sink.take() if one.identity in committed)
        time.sleep(0.02)
    daemon.stop(soon=True)
    connection.close()
    bed.forget(path)
    return [(arrived[key] - committed[key]) / 1e6 for key in committed if key in arrived], len(committed)


def measure_kind(bed, sink, servers, name, options):
    """One row of the table."""
    kind = Kind(name, sink, servers)
    figures, ratios, arrived, inserted = {False: [], True: []}, [], 0, 0
    for pair in range(options.pairs):
        p99 = {}
        for with_bad in ((False, True) if pair % 2 == 0 else (True, False)):
            delays, total = run(bed, sink, kind, with_bad, options.seconds)
            p99[with_bad] = beds.percentile(delays, 0.99)
            figures[with_bad].append((statistics.median(delays), p99[with_bad], max(delays)))
            if with_bad:
                arrived, inserted = arrived + len(delays), inserted + total
        ratios.append(p99[True] / p99[False])
    cells = []
    for with_bad in (False, True):
        cells.append(" / ".join(f"{statistics.median(column):.1f}" for column in zip(*figures[with_bad])))
    star = " \\*" if name in COMPETE else ""
    print(f"| {ALL[name]}{star} | {kind.count} | {cells[0]} | {cells[1]} | "
          f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) | "
          f"{100 * arrived / inserted:.1f} % |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", default=list(ALL))
    parser.add_argument("--build", default=os.environ.get("OUTBOXD_BUILD", "."))
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=6)
    options = parser.parse_args()
    for name in options.kinds:
        if name not in ALL:
            parser.error(f"there is no {name}; there are {', '.join(ALL)}")
    with beds.Bed(options.build) as bed, sinks.Sink(options.build, chunking=False) as sink:
        with sick.Servers(bed.folder) as servers:
            print(f"{HEALTHY} healthy tenants, {RATE} messages a second each, {options.pairs} pairs; "
                  "milliseconds from COMMIT to acceptance; * = it competes for the processor itself\n")
            print("| the bad tenants | how many | without: median / p99 / max | with | p99 with / without | arrived |")
            print("| --- | ---: | ---: | ---: | ---: | ---: |")
            for name in options.kinds:
                measure_kind(bed, sink, servers, name, options)


if __name__ == "__main__":
    main()
