#!/usr/bin/python3
"""compose.py [ROWS [SEED]] - what we compose, read back by Python's email package and by GMime.

Makes up ROWS rows (1500) from a fixed SEED (20), lets compose_rows compose them, and compares with what went
in: subject, names, addresses, groups, envelope, fields, the tree of parts, texts, attachments octet for octet.
Checks what RFC 5322, 2045, 2046 and 2047 say of lines, fields and encoded-words. Then half of the messages go
out again as complete messages, with a Bcc field, and must come back octet for octet but for that field; and a tenth
is composed again with its own boundaries as lines of its texts.

`--require-gmime` fails where gmime_read was not built; without it GMime's part is left out, and that is said.
"""
import dataclasses
import multiprocessing
import os
import re
import sys

import reading
import rows
from maker import PARAMETERS, Maker, lines_of

HOSTILE = 10  # one row of so many is composed again with its own boundaries in its texts
BLOCK = 250  # rows that one process makes and checks at a time
TOLD = 400  # octets told of a column or message that is wrong
ONCE = ("date", "message-id", "mime-version", "from", "content-type")


def same(what, got, expected):
    if got == expected:
        return
    one, other = repr(got), repr(expected)
    at = max(0, len(os.path.commonprefix([one, other])) - 40)
    raise AssertionError(f"{what}, from octet {at}:\n  got      {one[at:at + TOLD]}\n  expected {other[at:at + TOLD]}")


# --- lines and fields: what the octets must be, whoever reads them --------------------


def check_header_line(line, utf8):
    """RFC 5322 2.1.1, RFC 2047 2; what is longer holds a single token, which cannot be folded."""
    words = re.findall(rb"=\?utf-8\?[QB]\?[^? ]*\?=", line)
    assert all(len(word) <= 75 for word in words), f"an encoded-word of more than 75 octets: {line}"
    tokens = re.findall(rb'(?:"(?:[^"\\]|\\.)*"|[^ ])+', re.sub(rb"^[^ :]+: ", b"", line))
    assert len(line) <= (76 if words else 78) or len(tokens) == 1, f"a line that could be folded: {line}"
    assert line.strip() and (utf8 or line.isascii()) and len(line) <= 998, line


def check_lines(message, flags):
    """RFC 5322 2.3, RFC 2045 2.7 and 2.8."""
    header = message.partition(b"\r\n\r\n")[0]
    for line in header.split(b"\r\n"):
        check_header_line(line, "smtputf8" in flags)
    bare = message.replace(b"\r\n", b"")
    assert b"\n" not in bare and b"\r" not in bare and b"\0" not in bare
    assert max(map(len, message.split(b"\r\n"))) <= 998
    same("eight_bit", "eight_bit" in flags, not message.isascii())


def check_8bit(row, message):
    """RFC 6152: octets above 127 only where the server takes them, and then text is not encoded without need."""
    body = message.partition(b"\r\n\r\n")[2]
    if not row.eight_bit:
        assert body.isascii(), "8-bit text for a server without 8BITMIME"
    for text in (row.columns["body_text"], row.columns["body_html"]) if row.eight_bit and not row.marks else ():
        lines = (text or "").encode().splitlines() or [b""]
        if text and not text.isascii() and max(map(len, lines)) <= 998 and b"\r\n".join(lines) not in message:
            raise AssertionError("text is encoded for a server with 8BITMIME")


def check_encodings(message, parts):
    """RFC 2045 6.7 and 6.8: lines of at most 76 octets in an encoded part; multiparts are not encoded (6.4)."""
    for encoding, body in re.findall(rb"Content-Transfer-Encoding: ([\w-]+)\r\n(?:[^\r]+\r\n)*\r\n(.*?)(?:\r\n--|\Z)",
                                     message, re.S):
        if encoding in (b"base64", b"quoted-printable"):
            assert body.isascii() and max(map(len, body.split(b"\r\n"))) <= 76, body
    assert message.count(b"Content-Transfer-Encoding:") >= sum(part[6] is not None for part in parts)


# --- what a reader sees -----------------------------------------------------------------


def check_fields(read, expected):
    names = [name.lower() for name in read.names]
    for name in ONCE:
        same(f"how often {name}", names.count(name), 1)
    assert len(set(names)) == len(names), names
    allowed = {*ONCE, "to", "cc", "reply-to", "subject", "content-transfer-encoding",
               *(name.lower() for name, _ in expected["headers"])}
    assert set(names) <= allowed, f"fields that nobody wanted: {set(names) - allowed}"
    for name, value in expected["headers"]:
        same(name, read.fields[name.lower()], value)


def tree_of(row):
    """The parts that the row asks for, in the shape of a Reading."""
    text, html = row.columns.get("body_text"), row.columns.get("body_html")
    tree = leaf("text/plain", text or "") if text or not html else None
    inline = [one for one in row.attachments if html and one.content_id]
    if html:
        pictured = leaf("text/html", html)
        if inline:
            pictured = ("multipart/related", [pictured, *(attached(row, one, "inline") for one in inline)])
        tree = ("multipart/alternative", [tree, pictured]) if tree else pictured
    others = [one for one in row.attachments if one not in inline]
    if others:
        tree = ("multipart/mixed", ([tree] if text or html else []) + [attached(row, one, "attachment") for one in others])
    return flat(tree, "")


def leaf(kind, text):
    return (kind, {"charset": "utf-8"}, None, None, None, lines_of(text).encode())


def attached(row, one, disposition):
    kind = (one.content_type or "application/octet-stream").partition(";")[0].lower()
    filename, content = one.filename, one.content
    if kind == "message/rfc822":
        if any(mark in content for mark in row.marks) or not may_be_message(content, row.eight_bit):
            kind, filename = "application/octet-stream", filename or "message.eml"
        else:
            head, _, body = re.sub(rb"\r?\n", b"\r\n", content).partition(b"\r\n\r\n")
            content = re.search(rb"Subject: (.*)", head)[1] + b"\n" + body
    return (kind, PARAMETERS.get(one.content_type, {}), disposition, one.content_id, filename, content)


def may_be_message(content, eight_bit):
    """RFC 2046 5.2.1: it is never encoded, so what would have to be is sent as a file."""
    lines = re.split(rb"\r?\n", content)
    head = re.split(rb"\r?\n\r?\n", content)[0]
    return (not any(b"\r" in line or b"\0" in line or len(line) > 998 for line in lines) and head.isascii()
            and (eight_bit or content.isascii()))


def flat(tree, path):
    if len(tree) > 2:
        return [(path, *tree)]
    found = [(path, tree[0], {}, None, None, None, None)]
    for i, child in enumerate(tree[1], 1):
        found += flat(child, f"{path}.{i}".lstrip("."))
    return found


def as_seen(parts, expected):
    """A body's text with LF and a last line end, which is all that line ends mean in it."""
    return [(*part[:6], lines_of(part[6].decode()).encode()) if i < len(expected) and part[6] is not None
            and expected[i][3] is None else part for i, part in enumerate(parts)]


def check_parts(read, row):
    expected = tree_of(row)
    parts = as_seen(read.parts, expected)
    same("structure", [part[:2] for part in parts], [part[:2] for part in expected])
    for got, wanted in zip(parts, expected):
        same(f"part {got[0]}", got, wanted)


def people(groups):
    """Who stands there, and the groups of nobody: those may stand elsewhere than in the column."""
    return [group for group in groups if group[1]], [name for name, members in groups if not members]


def check_reading(read, row, answer, spaces):
    expected = row.expected
    same("defects", read.defects, [])
    same("subject", read.subject, expected["subject"])
    for name in ("from", "to", "cc", "reply-to"):
        same(name, people(read.addresses[name]), people(
            [(spaces(group), [(spaces(box), address) for box, address in members]) for group, members in expected[name]]))
    same("bcc", read.addresses["bcc"], [])
    same("Message-ID", read.message_id, expected.get("message-id", f"<{answer.message_id}>"))
    same("Date", read.date, expected.get("date", row.queued_ms // 1000))
    check_fields(read, expected)
    check_parts(read, row)


def check_names(message, expected):
    groups = [group for name in ("from", "to", "cc", "reply-to") for group in expected[name]]
    names = [name for name, _ in groups] + [box for _, members in groups for box, _ in members]
    decoded = reading.python_names(message)
    same("names not found as they are", [name for name in names if name and not name.isascii() and name not in decoded], [])


# --- the envelope ------------------------------------------------------------------------


def merged(expected):
    """The envelope's recipients: each once, the domain without case."""
    seen, out = set(), []
    for kind in ("to", "cc", "bcc"):
        for _, members in expected[kind]:
            for _, address in members:
                local, _, domain = address.rpartition("@")
                if (local, domain.lower()) not in seen:
                    seen.add((local, domain.lower()))
                    out.append(address)
    return out


def check_envelope(row, answer):
    sender = row.expected["from"][0][1][0][1]
    envelope_from = row.columns["envelope_from"]
    same("recipients", answer.recipients.splitlines(), merged(row.expected))
    same("sender", answer.sender, "" if envelope_from == "<>" else envelope_from or sender)
    if "message-id" in row.expected:
        same("message_id", f"<{answer.message_id}>", row.expected["message-id"])
    else:
        assert answer.message_id.endswith("@" + sender.rpartition("@")[2])
    people = [address for field in ("from", "to", "cc", "reply-to") for _, members in row.expected[field]
              for _, address in members]
    same("smtputf8", "smtputf8" in answer.flags, not "".join(people).isascii())


def check_row(row, answer, told):
    same("status", answer.status, "ok")
    check_lines(answer.message, answer.flags)
    check_8bit(row, answer.message)
    check_envelope(row, answer)
    check_names(answer.message, row.expected)
    read = reading.python_read(answer.message)
    try:
        check_reading(read, row, answer, reading.spaced)
    except AssertionError as error:
        raise AssertionError(f"Python: {error}") from error
    check_encodings(answer.message, read.parts)
    if told is not None:
        try:
            check_reading(reading.gmime_reading(told, "smtputf8" in answer.flags), row, answer, lambda name: name)
        except AssertionError as error:
            raise AssertionError(f"GMime: {error}") from error


# --- complete messages --------------------------------------------------------------------


def complete_row(row, answer, line_end):
    """The message again, with a Bcc field at its head, as an application would hand it over."""
    bcc = b"Bcc: hidden@x.example,\r\n folded@x.example\r\n"
    message = (bcc + answer.message).replace(b"\r\n", line_end)
    return rows.Row(row.id, {"envelope_from": "<>", "message": message}, eight_bit=row.eight_bit)


def check_complete(row, first, answer):
    same("complete: status", answer.status, "ok")
    same("complete: message", answer.message, first.message)
    same("complete: Message-ID", answer.message_id, first.message_id)
    same("complete: sender", answer.sender, "")
    shown = dict(row.expected, bcc=[(None, [("", "hidden@x.example"), ("", "folded@x.example")])])
    same("complete: recipients", answer.recipients.splitlines(), merged(shown))


# --- delimiters of our own in what applications write ---------------------------------------


def hostile_row(row, answer):
    """
    The row again, with its own boundaries, which are a function of the row, as lines of its texts and of a message
    within it: RFC 2046 5.1.1 wants them nowhere in a part.
    """
    marks = sorted(set(re.findall(rb'boundary="([^"]+)"', answer.message)))
    lines = "".join(f"\n--{mark.decode()}\n\nnot a part\n--{mark.decode()}--\n" for mark in marks)
    columns = {name: value + lines if name in ("body_text", "body_html") and value else value
               for name, value in row.columns.items()}
    attachments = [dataclasses.replace(one, content=one.content + lines.encode()) for one in row.attachments]
    return dataclasses.replace(row, columns=columns, attachments=attachments, marks=marks)


# --- all of it ------------------------------------------------------------------------------


def read_all(made):
    """[(row, answer, what GMime tells or None)]"""
    answers = rows.compose(made)
    told = rows.gmime([answer.message for answer in answers]) if rows.have_gmime() else [None] * len(made)
    return list(zip(made, answers, told))


def check_block(block):
    """None, or what is wrong, in words."""
    seed, first, count = block
    maker = Maker(f"{seed}:{first}")
    read = read_all([maker.row(first + i) for i in range(count)])
    again = rows.compose([complete_row(row, answer, maker.dice.choice([b"\n", b"\r\n"])) for row, answer, _ in read[::2]])
    read += read_all([hostile_row(row, answer) for row, answer, _ in read[:count:HOSTILE] if b"boundary=" in answer.message])
    for i, (row, answer, told) in enumerate(read):
        try:
            check_row(row, answer, told)
            if i % 2 == 0 and i < count:
                check_complete(row, answer, again[i // 2])
        except AssertionError as error:
            return f"row {row.id} of seed {seed}: {error}\n{row.columns}\n{row.attachments}\n{answer.message!r}"
    return None


def main(count, seed):
    blocks = [(seed, first, min(BLOCK, count - first + 1)) for first in range(1, count + 1, BLOCK)]
    with multiprocessing.Pool(os.cpu_count()) as pool:
        for wrong in pool.imap(check_block, blocks):
            if wrong:
                sys.exit("\n".join(line[:TOLD] for line in wrong.split("\n")))
    by = "Python and GMime" if rows.have_gmime() else "Python alone (GMime's reader was not built)"
    print(f"{count} rows of seed {seed}, {(count + 1) // 2} complete messages: read back by {by} as they went in")


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:] if argument != "--require-gmime"]
    if "--require-gmime" in sys.argv and not rows.have_gmime():
        sys.exit("tests/oracle/gmime_read is not built: install libgmime-3.0-dev and configure anew")
    main(numbers[0] if numbers else 1500, numbers[1] if len(numbers) > 1 else 20)
