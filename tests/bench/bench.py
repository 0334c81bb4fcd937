#!/usr/bin/python3
"""bench.py [ROW…] [--build FOLDER] [--repetitions N] [--folder FOLDER] [--output NAME] - figures, never assertions.

Each repetition measures every row once, one after another, so that what the machine does meanwhile falls on all
of them; what counts are the ratios within a repetition. Every message is counted at the server: a run with one
missing or doubled is void. The table goes to standard output, everything to NAME.json, the curves to NAME.svg.

The rows: %s. All without one named. `drain` and `delay` take `postfix` along.
"""
import argparse
import os
import platform
import signal
import sqlite3
import statistics
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[0:0] = [HERE, os.path.join(HERE, "../e2e")]

import bed as beds
import chart
import packages
import report
import rows_curves
import rows_drain
import rows_insert
import rows_others
import rows_scale

ROWS = {row.NAME: row for row in (
    rows_drain.Drain, rows_others.Postfix, rows_drain.Depth, rows_insert.Insert, rows_insert.Delay, rows_insert.Beside,
    rows_others.Wire, rows_scale.Memory, rows_scale.Idle, rows_scale.Take)}
CURVES = {curve.NAME: curve for curve in rows_curves.CURVES}
NEED_POSTFIX = {"drain", "delay"}


def say(words):
    print(words, file=sys.stderr, flush=True)


def commit_ms(folder):
    """What the disk takes for a small durable commit."""
    path = os.path.join(folder, "commit.db")
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (x);")
    took = []
    for _ in range(50):
        begin = time.monotonic()
        connection.execute("INSERT INTO t VALUES (1)")
        took.append((time.monotonic() - begin) * 1000)
    connection.close()
    return statistics.median(took)


def machine(bed):
    with open("/proc/cpuinfo") as stream:
        names = [line.split(":")[1].strip() for line in stream if line.startswith("model name")]
    return {"processors": os.cpu_count(), "model": names[0] if names else platform.machine(),
            "kernel": platform.release(), "load before": os.getloadavg()[0],
            "commit ms": round(commit_ms(bed.folder), 3), "day": time.strftime("%Y-%m-%d", time.gmtime())}


def describe(about, repetitions):
    return "%s, %d processors (%s), Linux %s, load %.1f before, a durable commit %.2f ms, %d repetitions" % (
        about["day"], about["processors"], about["model"], about["kernel"], about["load before"],
        about["commit ms"], repetitions)


def measure(name, row, voids, figures):
    """One row of a repetition; a run that is void is told and leaves no figure."""
    begin = time.monotonic()
    try:
        found = row.once()
        figures.update(found)
        say("  %s, %.1f s: %s" % (name, time.monotonic() - begin,
                                  ", ".join("%s %s" % (key, report.number(value)) for key, value in found.items())))
    except beds.Void as words:
        voids.append("%s: %s" % (name, words))
        say("  VOID %s: %s" % (name, words))
        row.bed.forget()


def open_rows(bed, names, options, voids):
    rows = {}
    for name in names:
        try:
            rows[name] = ROWS[name](bed, options)
        except (packages.Missing, beds.Void) as words:
            voids.append("%s cannot be measured here: %s" % (name, words))
            say(voids[-1])
    return rows


def run_rows(bed, names, options, voids):
    rounds, rows = [], open_rows(bed, names, options, voids)
    try:
        for repetition in range(options.repetitions if rows else 0):
            say("repetition %d of %d" % (repetition + 1, options.repetitions))
            figures = {}
            for name, row in rows.items():
                measure(name, row, voids, figures)
            rounds.append(figures)
    finally:
        for row in rows.values():
            row.close()
    return rounds


def run_curves(bed, names, options, voids):
    """name -> {series: [(x, value)…]}; each point once."""
    found = {}
    for name in names:
        say("curve %s" % name)
        curve = CURVES[name](bed, options)
        try:
            found[name] = curve.run(lambda words: (voids.append(words), say("  VOID " + words)))
        finally:
            curve.close()
    return found


def end(number, frame):
    """What was started ends, files go; a second signal does not stop that."""
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


def parse():
    parser = argparse.ArgumentParser(description=__doc__ % ", ".join([*ROWS, *CURVES]),
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW")
    parser.add_argument("--build", default=os.environ.get("OUTBOXD_BUILD", "."))
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--messages", type=int, default=20000, help="of a drain (default: 20000)")
    parser.add_argument("--queue", type=int, default=1000000, help="the longest queue (default: 1000000)")
    parser.add_argument("--folder", default="/var/tmp", help="where the files are: on a disk (default: /var/tmp)")
    parser.add_argument("--output", default="bench", metavar="NAME")
    options = parser.parse_args()
    for name in options.rows:
        if name not in ROWS and name not in CURVES:
            parser.error("there is no %s; there are %s" % (name, ", ".join([*ROWS, *CURVES])))
    chosen = set(options.rows or [*ROWS, *CURVES])
    if chosen & NEED_POSTFIX:
        chosen.add("postfix")
    options.chosen = [name for name in ROWS if name in chosen]
    options.curves = [name for name in CURVES if name in chosen]
    return options


def main():
    options, voids, begin = parse(), [], time.monotonic()
    signal.signal(signal.SIGTERM, end)
    with beds.Bed(options.build, options.folder) as bed:
        about = machine(bed)
        rounds = run_rows(bed, options.chosen, options, voids)
        curves = run_curves(bed, options.curves, options, voids)
    words = describe(about, options.repetitions)
    print("%s; medians, (least to most).\n" % words)
    print("\n".join(report.tables(rounds) + rows_curves.tables(curves)))
    print("\n%s" % ("\n".join("VOID " + void for void in voids) or
                    "Every message was counted at the server: none missing, none doubled."))
    report.save(options.output + ".json", about, rounds, voids, curves)
    charts = rows_curves.charts(rounds, curves)
    if charts:
        chart.write(options.output + ".svg", charts, words)
    say("%d s; %s.json%s" % (time.monotonic() - begin, options.output,
                             ", %s.svg" % options.output if charts else ""))
    return 1 if voids else 0


if __name__ == "__main__":
    sys.exit(main())
