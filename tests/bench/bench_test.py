#!/usr/bin/python3
"""The bench itself, in small: what it counts is whole, what is missing or doubled voids a run, and its table,
curves and picture say what was measured. Outcomes only: no figure is looked at but for being there."""
import contextlib
import io
import json
import os
import sys
import time
import types
import xml.dom.minidom

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[0:0] = [HERE, os.path.join(HERE, "../e2e")]

import bed as beds
import bench
import chart
import report
import rows_curves
import rows_drain
import rows_insert
import rows_scale
import sink as sinks

OPTIONS = types.SimpleNamespace(messages=30, queue=1000, repetitions=1)


class SmallDrain(rows_drain.Drain):
    TENANTS = (1, 3)


class SmallDelay(rows_insert.Delay):
    MESSAGES, GAP_US, SPREAD = 5, 1000, ()


class SmallSize(rows_curves.Size):
    def points(self):
        return (1000, 300000)


def test_rows_are_whole(bed):
    """Each message of a small drain (in clear and by TLS), of an application and of a curve is counted."""
    rows = dict(bench.ROWS)
    curves = dict(bench.CURVES)
    bench.ROWS.update(drain=SmallDrain, delay=SmallDelay)
    bench.CURVES.update(size=SmallSize)
    voids = []
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            rounds = bench.run_rows(bed, ["drain", "delay", "take"], OPTIONS, voids)
            found = bench.run_curves(bed, ["size"], OPTIONS, voids)
    finally:
        bench.ROWS.update(rows)
        bench.CURVES.update(curves)
    assert not voids, voids
    assert len(rounds) == 1 and all(one["drain 3 rate"] > 0 and one["tls handshakes"] > 0 and one["delay new p99"]
                                    for one in rounds), rounds
    assert [x for x, _ in found["size"]["memory"]] == [1000, 300000], found
    table = "\n".join(report.tables(rounds) + rows_curves.tables(found))
    assert "drain, 1 tenant" in table and "| 300,000 |" in table, table
    report.save(bed.folder + "/small.json", {}, rounds, voids, found)
    with open(bed.folder + "/small.json") as stream:
        assert len(json.load(stream)["repetitions"]) == 1
    chart.write(bed.folder + "/small.svg", rows_curves.charts(rounds, found), "small & <quick>")
    picture = xml.dom.minidom.parse(bed.folder + "/small.svg")
    assert len(picture.getElementsByTagName("circle")) >= 2


def test_missing_and_doubled_are_void(bed):
    """What the server counted is compared with what was inserted, name by name, and with the table."""
    path = bed.outbox(2, 25, 3)
    arrivals = [sinks.Arrival(1, 2, "m.%d" % n) for n in range(3)]
    for wrong in (arrivals[:2], arrivals + arrivals[:1], arrivals[:2] + [sinks.Arrival(1, 2, "m.3")], arrivals):
        try:
            bed.check(path, wrong, ("m", 3))
            raise AssertionError("it counts: %s" % wrong)
        except beds.Void as words:      # the last one for the table: all three are queued
            assert str(words) != "", words
    connection = bed.connect(path)
    connection.execute("UPDATE outbox_meta SET value = 1 WHERE key IN ('daemon', 'trigger')")
    connection.execute("UPDATE outbox_status SET state = 'sent'")
    connection.close()
    bed.check(path, arrivals, ("m", 3))
    assert not os.path.exists(path)


def test_an_application_keeps_its_gap(bed):
    """No insert comes before its time, also where nobody holds the application's input open."""
    path, begin_ns, gap_us = bed.outbox(1, 25), time.monotonic_ns(), 50000
    moments, failed = bed.moments(bed.insert(path, "g", 5, gap_us))
    assert failed == 0 and len(moments) == 5, moments
    for n, (insert_ns, commit_ns) in enumerate(moments):
        assert insert_ns >= begin_ns + n * gap_us * 1000 and commit_ns > insert_ns, (n, begin_ns, moments)
    bed.forget(path)


def test_a_goal_is_met_or_missed(bed):
    rounds = [{"drain 1 rate": 100.0, "postfix relay": 1.0}, {"drain 1 rate": 20.0, "postfix relay": 1.0},
              {"drain 1 rate": 31.0, "postfix relay": 1.0}]
    goal = report.GOALS[0]
    assert report.judge(goal, report.ratios(rounds, goal)) == "met"
    assert "missed" in report.judge(goal, report.ratios(rounds[1:2], goal))
    assert report.judge(goal, []) == "not measured"
    assert any("31 (20 to 100)" in line and "| met |" in line for line in report.tables(rounds))


TESTS = (test_rows_are_whole, test_missing_and_doubled_are_void, test_an_application_keeps_its_gap,
         test_a_goal_is_met_or_missed)


def main():
    failed = 0
    with beds.Bed(os.environ.get("OUTBOXD_BUILD", ".")) as bed:
        for test in TESTS:
            try:
                test(bed)
                print("ok %s" % test.__name__[5:])
            except (AssertionError, beds.Void) as trouble:
                failed += 1
                print("not ok %s: %s" % (test.__name__[5:], trouble))
    print("%d passed, %d failed, 0 skipped" % (len(TESTS) - failed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
