#!/usr/bin/python3
"""compose.py [REPETITIONS] - messages composed in a second of one core: ours, GMime's, Python's email package.

Each repetition (10) runs the three one after another, in another order each time, on one core, so that what else
the machine does falls on all. A run takes as many messages as fit in about RUN_SECONDS. Told are the median with
the least and the most, and of each repetition's ratio the same.
"""
import os
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.join(os.environ.get("OUTBOXD_BUILD", "."), "tests/bench")
PROGRAMS = {"outboxd": [os.path.join(BUILD, "compose_ours")], "GMime": [os.path.join(BUILD, "compose_gmime")],
            "Python": ["/usr/bin/python3", os.path.join(HERE, "compose_python.py")]}
RUN_SECONDS = 0.5
ATTACHED = 1 << 20


def run(name, times, path):
    """Messages a second, and octets of one message."""
    done = subprocess.run(PROGRAMS[name] + [str(times)] + ([path] if path else []), stdout=subprocess.PIPE, check=True)
    seconds, octets = done.stdout.split()
    return times / max(float(seconds), 1e-6), int(octets) / times


def spread(values, form):
    return f"{form(statistics.median(values))} ({form(min(values))} to {form(max(values))})"


def compare(what, path, repetitions):
    times, sizes = {}, {}
    for name in PROGRAMS:
        rate, sizes[name] = run(name, 10, path)
        times[name] = max(10, int(run(name, max(10, int(rate * 0.05)), path)[0] * RUN_SECONDS))
    rates = {name: [] for name in PROGRAMS}
    order = list(PROGRAMS)
    for i in range(repetitions):
        for name in order[i % len(order):] + order[:i % len(order)]:
            rates[name].append(run(name, times[name], path)[0])
    print(f"{what}: messages a second of one core, median (least to most) of {repetitions}")
    for name in PROGRAMS:
        print(f"  {name:8} {spread(rates[name], lambda value: format(value, ',.0f')):32} {sizes[name]:,.0f} octets each")
    for name in order[1:]:
        ratios = [ours / theirs for ours, theirs in zip(rates["outboxd"], rates[name])]
        print(f"  outboxd / {name:8} {spread(ratios, lambda value: format(value, '.2f'))}")


def main(repetitions):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    compare("small, a text of half a kilobyte", None, repetitions)
    with tempfile.NamedTemporaryFile() as attached:
        attached.write(os.urandom(ATTACHED))
        attached.flush()
        compare("with 1 MiB attached", attached.name, repetitions)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
