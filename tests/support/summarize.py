#!/usr/bin/python3
"""summarize.py LOG… - counts the tests in the output of test programs.

A LOG is the log of one program of `make check` (its result stands beside it in
a .trs file) or the output of one of our own runners. Counted are the checks
that Check reports ("100%: Checks: 12, Failures: 0, Errors: 0"), or the closing
line "N passed, N failed, N skipped", or, where there is neither, the program
itself. Names each program with a failure, and what failed in it. The last line is the sum; the
exit status is 1 if anything failed or nothing was run.
"""
import os
import re
import sys

CHECK = re.compile(r"^\d+%: Checks: (\d+), Failures: (\d+), Errors: (\d+)", re.M)
# One failed test: of our runners, of Check (file:line:F:case:test:0: why), of the scripted pages.
FAILED = re.compile(r"^(not ok - .*|.*:[FE]:[^:]*:.*|FAIL [^ ]+: .*)$")
WHY = re.compile(r"^# +(\w+(Error|Exception|Expired)\b.*)$")
NAMED, LENGTH = 40, 300     # lines of a program, octets of a line
OWN = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$", re.M)


def result_of(path):
    trs = re.sub(r"\.log$", ".trs", path)
    if trs == path or not os.path.exists(trs):
        return None
    match = re.search(r"^:global-test-result: (\w+)", open(trs).read(), re.M)
    return match.group(1) if match else "ERROR"


def count(path):
    text = open(path, errors="replace").read()
    result = result_of(path)
    passed = failed = skipped = 0
    for checks, failures, errors in CHECK.findall(text):
        passed += int(checks) - int(failures) - int(errors)
        failed += int(failures) + int(errors)
    own = OWN.findall(text)
    if own:
        passed, failed, skipped = (passed + int(own[-1][0]), failed + int(own[-1][1]),
                                   skipped + int(own[-1][2] or 0))
    if passed + failed + skipped == 0:
        passed, failed, skipped = (int(result == "PASS"), int(result not in ("PASS", "SKIP")), int(result == "SKIP"))
    # A program that counted no failure and failed all the same has one.
    if result in ("FAIL", "ERROR", "XPASS") and failed == 0:
        failed = 1
    return passed, failed, skipped


def failures(path):
    """A line for each failed test, with what its process said of it."""
    lines, why = [], ""
    for line in open(path, errors="replace").read().splitlines():
        reason = WHY.match(line)
        if reason:
            why = why or reason.group(1)
        elif FAILED.match(line):
            lines.append((line + (": " + why if why else ""))[:LENGTH])
            why = ""
        elif line.startswith("ok - "):
            why = ""
    return lines[:NAMED] + (["..."] if len(lines) > NAMED else [])


def main(paths):
    total = [0, 0, 0]
    for path in paths:
        counts = count(path)
        total = [a + b for a, b in zip(total, counts)]
        if counts[1]:
            print(f"failed: {path}")
            for line in failures(path):
                print(f"    {line}")
    print(f"{total[0]} passed, {total[1]} failed, {total[2]} skipped")
    return 1 if total[1] or not total[0] else 0


sys.exit(main(sys.argv[1:]))
