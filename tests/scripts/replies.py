#!/usr/bin/env python3
"""doc/REPLIES.md against what the conversations of this folder really bring.

    replies.py            each row of the contract's table "What a reply means"
                          is shown at each stage that it can come at, each
                          conversation ends as the row says, and each line of
                          doc/REPLIES.md is what its conversation gives
    replies.py --write    writes the table in doc/REPLIES.md anew

The rows are written here a second time, from the contract and not from
smtp/verdict.c.  Needs $OUTBOXD_BUILD (smtp_scripts_test) and $OUTBOXD_SOURCE.
"""

import collections
import glob
import os
import re
import subprocess
import sys
import tempfile

HOST = "mail.acme.example"      # what stands for the tests' 127.0.0.1

FIELDS = ("page variant message recipient connection accepted verdict scope "
          "trouble stage code enhanced text").split()
Line = collections.namedtuple("Line", FIELDS)

OPENING = ("resolve", "connect", "greeting", "ehlo", "starttls", "tls")
ENVELOPE = ("mail", "rcpt", "data")
BODY = ("text", "end")
PLACES = {"resolve": "resolving", "connect": "connecting",
          "greeting": "greeting", "ehlo": "EHLO", "starttls": "STARTTLS",
          "tls": "TLS handshake", "auth": "AUTH", "mail": "MAIL",
          "rcpt": "RCPT", "data": "DATA", "text": "text",
          "end": "end of data"}
LOST = ("closes or resets", "is silent", "says what is no reply")

TENANT = ("untried", "tenant", "plain")
AUTH_FAILED = ("untried", "tenant", "auth_failed")
THROTTLED = ("untried", "tenant", "throttled")
AT_ONCE = ("untried", "message", "none")


def lost(line):
    """How the connection was lost, None if it was not."""
    if line.code:
        return None
    if "closed the connection" in line.text:
        return LOST[0]
    if "in time" in line.text:
        return LOST[1]
    if re.search("does not speak SMTP|has no meaning|in clear", line.text):
        return LOST[2]
    return None


def has(text, *words):
    return any(word in text.lower() for word in words)


def by_class(line, scope):
    return ("retry" if line.code < 500 else "refused", scope, "none")


# --- what a reply is, each in words --------------------------------------------

def login_refusal(line):
    if line.code in (534, 535, 538):
        return str(line.code)
    if line.code >= 500 and line.enhanced.startswith("5.7."):
        return "5xx 5.7.x"
    return None


def login_trouble(line):
    if line.code in (421, 432, 454):
        return str(line.code)
    return "other 4xx" if 400 <= line.code < 500 else lost(line)


def gone(line):
    return "421" if line.code == 421 else lost(line)


def authentication(line):
    if line.code == 530:
        return "530"
    if line.enhanced in ("5.7.30", "5.7.57"):
        return line.enhanced
    if line.enhanced == "5.7.0" and has(line.text, "authenticat") and \
            has(line.text, "requir"):
        return '5.7.0 "authentication required"'
    return None


def behind_refused(line):
    return "503" if line.code == 503 and line.accepted == "behind" else None


def unspoken(line):
    return str(line.code) if line.code in (500, 502, 503) else None


def throttle(line):
    greylisting = line.enhanced == "4.7.1" and line.stage in (
        "rcpt", "text", "end")
    if line.code == 432:
        return "432"
    if line.code // 10 == 45 and line.enhanced.startswith("4.7.") and \
            not greylisting:
        return "45x 4.7.x"
    if line.code == 452 and line.enhanced == "4.3.1":
        return "452 4.3.1"
    if line.enhanced in ("5.4.5", "5.1.90"):
        return line.enhanced
    if line.enhanced == "5.2.0" and has(line.text, "quota", "limit"):
        return "5.2.0 of a quota"
    if re.fullmatch(r"5\.7\.7\d\d", line.enhanced):
        return "5.7.7xx"
    return None


def too_many(line):
    if line.accepted != "accepted":
        return None
    if line.code == 452 and (line.enhanced == "4.5.3" or not line.enhanced
                             and has(line.text, "recipient")):
        return "452 4.5.3"
    if line.code == 552 and line.enhanced != "5.2.2":
        return "552"
    return None


def other(line):
    if 400 <= line.code < 500:
        return "45x 4.7.1 (greylisting)" if line.enhanced == "4.7.1" \
            else "other 4xx"
    return "other 5xx" if line.code >= 500 else None


def opening(line):
    if line.code:
        return "%dxx" % (line.code // 100)
    if line.text.startswith("stopped "):
        return None
    return lost(line) or "fails otherwise"


# --- the contract's table ---------------------------------------------------------

# title, stages, connections, what kind it is, conclusion, the kinds that must
# be shown at each stage
Row = collections.namedtuple("Row", "title stages connections kind conclusion "
                             "kinds")
BOTH = ("new", "reused")
THROTTLES = ("432", "45x 4.7.x", "452 4.3.1", "5.4.5", "5.1.90",
             "5.2.0 of a quota", "5.7.7xx")

ROWS = (
    Row("Before anything is entrusted to the server: any failure",
        OPENING, BOTH, opening, lambda line: TENANT,
        lambda stage: {"resolve": ["fails otherwise"],
                       "connect": ["fails otherwise"],
                       "tls": LOST + ("fails otherwise",)}.get(
                           stage, LOST + ("4xx", "5xx"))),
    Row("AUTH: the login is refused", ("auth",), BOTH, login_refusal,
        lambda line: AUTH_FAILED,
        lambda stage: ("534", "535", "538", "5xx 5.7.x")),
    Row("AUTH: not now", ("auth",), BOTH, login_trouble, lambda line: TENANT,
        lambda stage: LOST + ("421", "432", "454", "other 4xx")),
    Row("Before the text: 421 or a loss, on a reused connection", ENVELOPE,
        ("reused",), gone, lambda line: AT_ONCE,
        lambda stage: LOST + ("421",)),
    Row("Before the text: 421 or a loss, on a new connection", ENVELOPE,
        ("new",), gone, lambda line: TENANT, lambda stage: LOST + ("421",)),
    Row("From the first octet of the text on: 421", BODY, BOTH,
        lambda line: "421" if line.code == 421 else None,
        lambda line: ("retry", "message", "plain"), lambda stage: ("421",)),
    Row("In the text: a loss", ("text",), BOTH, lost,
        lambda line: ("retry", "message", "plain"), lambda stage: LOST),
    Row("After the end of the data: a loss", ("end",), BOTH, lost,
        lambda line: ("uncertain", "message", "plain"), lambda stage: LOST),
    Row("MAIL that was pipelined behind a message that is refused", ("mail",),
        ("reused",), behind_refused, lambda line: AT_ONCE,
        lambda stage: ("503",)),
    Row("Authentication is required", ENVELOPE + BODY, BOTH, authentication,
        lambda line: TENANT,
        lambda stage: ("530", '5.7.0 "authentication required"', "5.7.30",
                       "5.7.57")),
    Row("MAIL is not spoken", ("mail",), BOTH, unspoken, lambda line: TENANT,
        lambda stage: ("500", "502", "503")),
    Row("Too much at present", ("auth",) + ENVELOPE + BODY, BOTH, throttle,
        lambda line: THROTTLED,
        lambda stage: THROTTLES[3:6] if stage == "auth" else THROTTLES),
    Row("RCPT: too many for one transaction, after one was accepted",
        ("rcpt",), BOTH, too_many,
        lambda line: ("untried", "recipient", "none"),
        lambda stage: ("452 4.5.3", "552")),
    Row("RCPT: another refusal", ("rcpt",), BOTH, other,
        lambda line: by_class(line, "recipient"),
        lambda stage: ("45x 4.7.1 (greylisting)", "other 4xx", "other 5xx")),
    Row("MAIL, DATA, text, end of data: another refusal",
        ("mail", "data") + BODY, BOTH, other,
        lambda line: by_class(line, "message"),
        lambda stage: ("other 4xx", "other 5xx") + (
            ("45x 4.7.1 (greylisting)",) if stage in BODY else ())),
    Row("AUTH: another refusal", ("auth",), BOTH, other, lambda line: TENANT,
        lambda stage: ("other 5xx",)),
)

# On which connections each kind must be shown; elsewhere either will do.
SPLIT = {"Before the text: 421 or a loss, on a reused connection",
         "In the text: a loss", "After the end of the data: a loss"}


# --- reading --------------------------------------------------------------------------

def read_lines(path):
    """What came of each recipient (of the session, where none was opened)."""
    opened = set()
    lines = []
    with open(path, encoding="utf-8", errors="strict") as stream:
        for text in stream:
            fields = text.rstrip("\n").split("\t")
            assert len(fields) == len(FIELDS), text
            line = Line(*fields)
            said = re.sub(r"\bport \d+", "port 587",
                          line.text.replace("127.0.0.1", HOST))
            line = line._replace(code=int(line.code), text=said)
            if line.recipient != "0":
                opened.add((line.page, line.variant, line.message))
            lines.append(line)
    return [line for line in lines if line.recipient != "0" or
            (line.page, line.variant, line.message) not in opened]


def played():
    """All pages, played now."""
    build = os.environ["OUTBOXD_BUILD"]
    with tempfile.NamedTemporaryFile(suffix=".tsv") as table:
        done = subprocess.run(
            [os.path.join(build, "tests/unit/smtp_scripts_test"),
             "-t", table.name], stdout=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit("smtp_scripts_test failed:\n" + "\n".join(
                line for line in done.stdout.splitlines()
                if not line.startswith("ok ")))
        return read_lines(table.name)


def row_of(line):
    """The first row that fits, and the kind of reply; (None, None) if what
    happened was not the server's doing."""
    if line.verdict in ("none", "sent"):
        return None, None
    for row in ROWS:
        if line.stage in row.stages and line.connection in row.connections:
            kind = row.kind(line)
            if kind:
                return row, kind
    return None, None


class Seen:
    """(row, stage, connection, kind) -> the lines that show it."""

    def __init__(self, lines):
        self.shown = collections.defaultdict(list)
        self.problems = []
        for line in lines:
            row, kind = row_of(line)
            if row is None:
                if line.code >= 400:
                    self.problems.append("no row fits %s" % (line,))
                continue
            got = (line.verdict, line.scope, line.trouble)
            if got != row.conclusion(line):
                self.problems.append("%s (%s): it is %s, the row says %s" % (
                    line.page, line.variant, got, row.conclusion(line)))
            self.shown[row.title, line.stage, line.connection, kind].append(
                line)
        self.check_shown()

    def check_shown(self):
        for row in ROWS:
            for stage in row.stages:
                for kind in row.kinds(stage):
                    for connections in (
                            [(one,) for one in row.connections]
                            if row.title in SPLIT else [row.connections]):
                        if not any((row.title, stage, one, kind) in self.shown
                                   for one in connections):
                            self.problems.append(
                                "no page shows: %s, at %s, %s (%s)" % (
                                    row.title, PLACES[stage], kind,
                                    " or ".join(connections)))


# --- the document --------------------------------------------------------------------

def reads(line):
    """What the tenant's administrator reads: daemon/supervisor_result.c."""
    places = {"text": "in the middle of the message",
              "end": "after the end of the message",
              "greeting": "at the greeting"}
    if line.code == 0 or line.trouble == "none":
        return line.text
    answer = " ".join(filter(None, (str(line.code), line.enhanced, line.text)))
    if line.trouble == "auth_failed":
        return "%s rejected the login of user: %s" % (HOST, answer)
    return "%s answered %s: %s" % (
        HOST, places.get(line.stage, "at " + line.stage.upper()), answer)


WORDS = {
    TENANT: "tenant",
    AUTH_FAILED: "tenant, `auth_failed`",
    THROTTLED: "tenant, `throttled`",
    AT_ONCE: "untried, at once",
    ("untried", "recipient", "none"): "untried, next transaction",
    ("retry", "message", "plain"): "message deferred; tenant",
    ("uncertain", "message", "plain"): "message `uncertain`; tenant",
    ("retry", "recipient", "none"): "recipient deferred",
    ("refused", "recipient", "none"): "recipient failed",
    ("retry", "message", "none"): "message deferred",
    ("refused", "message", "none"): "message failed",
}


def cell(text):
    return text.replace("|", "\\|").replace("`", "'")


def document_lines(seen):
    """One for each row, stage and kind: the first page that shows it."""
    for row in ROWS:
        yield "### %s" % row.title
        yield ""
        yield "| at | the server | we conclude | the administrator reads | " \
              "shown by |"
        yield "| --- | --- | --- | --- | --- |"
        for stage in row.stages:
            kinds = list(row.kinds(stage))
            kinds += sorted({key[3] for key in seen.shown
                             if key[:2] == (row.title, stage)} - set(kinds))
            for kind in kinds:
                found = [line for one in row.connections for line in
                         seen.shown.get((row.title, stage, one, kind), ())]
                if found:
                    yield document_line(kind, min(found, key=plainness))
        yield ""


def plainness(line):
    """Which of several pages shows it best: one whose name says it."""
    return (line.stage not in line.page, "loss-at-rset" in line.page,
            len(line.page + line.variant), line)


def document_line(kind, line):
    page = line.page + (": " + line.variant if line.variant else "")
    return "| %s | %s | %s | %s | `%s` |" % (
        PLACES[line.stage], kind,
        WORDS[line.verdict, line.scope, line.trouble],
        cell(reads(line)), cell(page))


BEGIN, END = "<!-- replies.py writes from here -->", "<!-- to here -->"


def check_document(text, seen):
    """Each line is what its conversation gives; none of the rows is left
    out.  Pages that came since change nothing."""
    truths = collections.defaultdict(set)
    for (_, _, _, kind), lines in seen.shown.items():
        for line in lines:
            truth = document_line(kind, line)
            truths[truth.rsplit("|", 2)[1]].add(truth)
    table = text[text.index(BEGIN):text.index(END)].splitlines()
    told = [line for line in table if line.startswith("| ") and
            not line.startswith(("| at |", "| --- |"))]
    for line in told:
        page = line.rsplit("|", 2)[1]
        if line not in truths[page]:
            yield "doc/REPLIES.md says\n  %s\nwhich is not what comes of it:" \
                  "\n  %s" % (line, "\n  ".join(truths[page]) or "nothing")
    titles = [line[4:] for line in table if line.startswith("### ")]
    if titles != [row.title for row in ROWS]:
        yield "doc/REPLIES.md has other rows: %s" % titles
    wanted = sum(len(row.kinds(stage)) for row in ROWS for stage in row.stages)
    tests = ""
    for name in glob.glob(os.path.join(os.environ["OUTBOXD_SOURCE"],
                                       "tests/daemon/test_*.py")):
        with open(name, encoding="utf-8") as stream:
            tests += stream.read()
    for name in re.findall(r"`(test_\w+)`", text[:text.index(BEGIN)]):
        if "def %s(" % name not in tests:
            yield "doc/REPLIES.md names %s, which is no test" % name
    if len(told) < wanted:
        yield "doc/REPLIES.md has %d lines, the table needs %d" % (
            len(told), wanted)


def main():
    path = os.path.join(os.environ["OUTBOXD_SOURCE"], "doc/REPLIES.md")
    seen = Seen(played())
    with open(path, encoding="utf-8") as stream:
        text = stream.read()
    problems = list(seen.problems)
    if sys.argv[1:] == ["--write"]:
        text = text[:text.index(BEGIN)] + BEGIN + "\n\n" + "\n".join(
            document_lines(seen)) + text[text.index(END):]
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(text)
    elif sys.argv[1:]:
        sys.exit(__doc__)
    else:
        problems += check_document(text, seen)
    for problem in problems:
        print(problem)
    print("%d rows, %d combinations shown, %d problems" % (
        len(ROWS), len(seen.shown), len(problems)))
    if problems:
        sys.exit("if only words changed: tests/scripts/replies.py --write")


if __name__ == "__main__":
    main()
