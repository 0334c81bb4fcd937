"""The table with its goals, and what else was seen: Markdown on standard output, everything in a JSON file."""
import collections
import json
import statistics

# what is told, the figure, the figure below it (None: none), at most or at least so much, unit of the first
Goal = collections.namedtuple("Goal", "words figure below most least unit", defaults=(None, None, None, ""))

GOALS = [
    Goal("drain, 1 tenant: over Postfix", "drain 1 rate", "postfix relay", least=30, unit="messages/s"),
    Goal("drain, 50 tenants: over Postfix", "drain 50 rate", "postfix relay", least=30, unit="messages/s"),
    Goal("drain, 1,000 tenants: over Postfix", "drain 1000 rate", "postfix relay", least=30, unit="messages/s"),
    Goal("drain, 1,000 tenants: over 50", "drain 1000 rate", "drain 50 rate", least=0.7, unit="messages/s"),
    Goal("CHUNKING, `pipeline_depth` 16, `max_messages_per_session` and `max_connections` set, replies after 10 ms: "
         "over no PIPELINING", "depth 16", "depth none", least=55, unit="messages/s"),
    Goal("durable INSERT to delivered: over SQLite alone", "insert delivered", "insert alone", least=0.8,
         unit="messages/s"),
    Goal("COMMIT to MAIL, open connection, median: over Postfix", "delay open p50", "delay postfix p50", most=0.35,
         unit="ms"),
    Goal("the same, p99", "delay open p99", "delay postfix p99", most=0.5, unit="ms"),
    Goal("COMMIT to MAIL, new connection, median: over Postfix", "delay new p50", "delay postfix p50", most=0.6,
         unit="ms"),
    Goal("the same, p99", "delay new p99", "delay postfix p99", most=0.5, unit="ms"),
    Goal("processor time a message, 50 tenants: over Postfix", "drain 50 cpu", "postfix relay cpu", most=1 / 30,
         unit="ms"),
    Goal("the same, kept TLS (`max_messages_per_session` set)", "tls cpu", "postfix relay cpu", most=1 / 15,
         unit="ms"),
    Goal("memory of one active tenant more, with TLS (`max_connections` 1)", "memory active tls", most=80, unit="KiB"),
    Goal("memory of one active tenant more (`max_connections` 1)", "memory active plain", most=48, unit="KiB"),
    Goal("memory of one idle tenant more", "memory idle", most=1, unit="KiB"),
    Goal("threads of 4,000 idle tenants", "threads idle", most=0, unit=""),
    Goal("taking due rows, 1,000,000 queued: over 1,000", "take 1000000", "take 1000", most=1.3, unit="µs"),
    Goal("1,000 tenants at rest, processor time a second", "idle cpu", most=2, unit="ms"),
    Goal("an application's INSERT at full speed, p99", "insert busy p99", most=10, unit="ms"),
    Goal("inserts that failed", "insert busy failed", most=0, unit=""),
]

OTHERS = [
    ("Postfix draining a queue that was held", "postfix drain", "messages/s"),
    ("Postfix draining, processor time a message", "postfix drain cpu", "ms"),
    ("smtp-source into smtp-sink", "smtp-source to smtp-sink", "messages/s"),
    ("smtp-source into our sink", "smtp-source to our sink", "messages/s"),
    ("smtplib over SQLite", "smtplib over SQLite", "messages/s"),
    ("drain, 1 tenant, processor time a message", "drain 1 cpu", "ms"),
    ("drain, 1,000 tenants, processor time a message", "drain 1000 cpu", "ms"),
    ("drain, 50 tenants, kept TLS", "tls rate", "messages/s"),
    ("TLS handshakes of that", "tls handshakes", ""),
    ("of these resumed", "tls resumed", ""),
    ("replies after 10 ms, PIPELINING", "depth pipelining", "messages/s"),
    ("replies after 10 ms, `pipeline_depth` 4", "depth 4", "messages/s"),
    ("COMMIT to MAIL, 50 tenants in turn, median", "delay of 50 tenants p50", "ms"),
    ("the same, p99", "delay of 50 tenants p99", "ms"),
    ("COMMIT to MAIL, 1,000 tenants, median", "delay of 1000 tenants p50", "ms"),
    ("the same, p99", "delay of 1000 tenants p99", "ms"),
    ("800 active tenants with TLS, the most at any moment, for each of them", "memory active all tls", "KiB"),
    ("800 active tenants, the most at any moment, for each of them", "memory active all plain", "KiB"),
    ("outboxd with 1,000 tenants at rest", "memory at rest", "KiB"),
    ("threads with 200 active tenants", "threads active plain", ""),
    ("an application's INSERT at full speed, median", "insert busy p50", "ms"),
    ("the same, the longest", "insert busy max", "ms"),
    ("an application's INSERT without us, median", "insert idle p50", "ms"),
    ("the same, p99", "insert idle p99", "ms"),
]


def number(value):
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return "{:,.0f}".format(value)
    return "%.3g" % value


def spread(values, unit=""):
    if not values:
        return "void"
    text = number(statistics.median(values))
    if len(values) > 1 and min(values) != max(values):
        text += " (%s to %s)" % (number(min(values)), number(max(values)))
    return text + (" " + unit if unit else "")


def values_of(rounds, figure):
    return [one[figure] for one in rounds if figure in one]


def ratios(rounds, goal):
    """Within each repetition; without a second figure the figure itself."""
    if goal.below is None:
        return values_of(rounds, goal.figure)
    return [one[goal.figure] / one[goal.below] for one in rounds
            if goal.figure in one and one.get(goal.below)]


def bound(goal):
    limit = goal.most if goal.most is not None else goal.least
    text = "1/%d" % round(1 / limit) if 0 < limit < 0.1 else number(limit)
    return ("≤ " if goal.most is not None else "≥ ") + text + ("" if goal.below else " " + goal.unit).rstrip()


def judge(goal, values):
    if not values:
        return "not measured"
    middle = statistics.median(values)
    met = middle <= goal.most if goal.most is not None else middle >= goal.least
    return "met" if met else "**missed**"


def tables(rounds):
    """Lines of Markdown: medians (least to most) over the repetitions."""
    lines = ["| what | measured | against | ratio | goal | |", "| --- | ---: | ---: | ---: | ---: | --- |"]
    for goal in GOALS:
        found = ratios(rounds, goal)
        if not found and not values_of(rounds, goal.figure):
            continue
        lines.append("| %s | %s | %s | %s | %s | %s |" % (
            goal.words, spread(values_of(rounds, goal.figure), goal.unit),
            spread(values_of(rounds, goal.below), goal.unit) if goal.below else "",
            spread(found) if goal.below else "", bound(goal), judge(goal, found)))
    lines += ["", "| beside | measured |", "| --- | ---: |"]
    lines += ["| %s | %s |" % (words, spread(values_of(rounds, figure), unit))
              for words, figure, unit in OTHERS if values_of(rounds, figure)]
    return lines


def save(path, machine, rounds, voids, curves):
    goals = [{"what": goal.words, "values": ratios(rounds, goal), "most": goal.most, "least": goal.least,
              "verdict": judge(goal, ratios(rounds, goal)).strip("*")} for goal in GOALS]
    with open(path, "w") as stream:
        json.dump({"machine": machine, "repetitions": rounds, "void": voids, "curves": curves, "goals": goals},
                  stream, indent=1)
