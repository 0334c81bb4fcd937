"""Whatever stands in a column, a message has one end and is one message.

Each published sequence of SMTP smuggling (and its kin with NUL) in each
column that reaches the wire: the row is refused with words, or the message
fails with words, or it arrives as one message, and the octets of the whole
connection hold no bare CR, no bare LF, no NUL and no command of the text's.
"""

import collections
import email
import re
import sqlite3

import rogue

EVIL = "MAIL FROM:<evil@example.net>{0}RCPT TO:<victim@example.net>{0}" \
       "DATA{0}Subject: smuggled{0}{0}evil"

SEQUENCES = [
    "\n.\n", "\n.\r\n", "\r\n.\n", "\r\n.\r\n", "\n\n.\n\n", "\r.\r",
    "\r.\n", "\r.\r\n", "\r\n.\r", "\n.\r", "\r\r\n.\r\r\n", "\r\n.\r\r\n",
    "\r\n\r.\r\n", "\r\n\0.\r\n", "\r\n.\0\r\n", "\r\n.\r\0\n", "\r\0\n.\r\n",
    "\0\r\n.\r\n", "\r", "\n", "\r\n", "\0", "\u2028.\u2028", "\x85.\x85",
    "\x0b.\x0b", "\x0c.\x0c", "\x1a.\x1a"]

COLUMNS = ["subject", "body_text", "body_html", "headers", "reply_to",
           "from_address", "envelope_from", "to_addresses", "cc_addresses",
           "bcc_addresses", "reference", "message", "filename",
           "content_type", "content_id", "content"]

# What stands before the sequence where it is no address.
BEFORE = {"subject": "s", "body_text": "t", "body_html": "<p>t</p>",
          "headers": "X-Mark: a", "reference": "r"}

HEAD = "From: a@acme.example\r\nTo: bob@example.net\r\nSubject: whole\r\n\r\n"


class Recorder:
    """A server that answers everything, strict about line ends, and keeps
    each connection's octets; a message ends at CRLF . CRLF and nowhere else."""

    def __init__(self):
        self.connections = []
        self.messages = []
        self.commands = []

    def __call__(self, line):
        octets = bytearray()
        self.connections.append(octets)
        line.say("220 recorder.example ESMTP\r\n")
        data = None
        while True:
            raw = line.connection.recv(65536)
            if not raw:
                return
            octets += raw
            data = (data or b"") + raw
            data = self.answer(line, data)

    def answer(self, line, data):
        while b"\r\n" in data:
            if getattr(line, "in_text", False):
                if not (data.startswith(b".\r\n") or b"\r\n.\r\n" in data):
                    return data
                text, data = (b"", data[3:]) if data.startswith(b".\r\n") \
                    else data.split(b"\r\n.\r\n", 1)
                self.messages.append(text + b"\r\n")
                line.in_text = False
                line.say("250 2.0.0 taken\r\n")
                continue
            command, data = data.split(b"\r\n", 1)
            self.commands.append(command)
            if command.upper().startswith(b"EHLO"):
                line.say("250-recorder.example\r\n250-PIPELINING\r\n"
                         "250-8BITMIME\r\n250 SMTPUTF8\r\n")
            elif command.upper() == b"DATA":
                line.in_text = True
                line.say("354 go on\r\n")
            else:
                line.say("250 2.0.0 ok\r\n")
        return data


def insert(box, column, text, number):
    """The row with the text in that column: its id, None if it was refused."""
    mark = "begin-%d " % number
    columns = {"tenant": "acme", "from_address": "a@acme.example",
               "to_addresses": "bob@example.net", "reference": str(number)}
    attachment = {"filename": "a.txt", "content_type": "text/plain",
                  "content": b"attached"}
    if column in attachment or column == "content_id":
        columns.update(attachments=1, subject="s", body_text=mark)
        attachment[column] = text.encode() if column == "content" else text
    elif column == "message":
        columns["message"] = (HEAD + mark + text).encode()
        columns["to_addresses"] = None
    else:
        columns.update(subject="s", body_text=mark)
        columns[column] = BEFORE.get(column, "c@example.net") + text
    try:
        box.begin()
        row = box._insert("outbox", columns)
        if columns.get("attachments"):
            attachment["outbox_id"], attachment["position"] = row, 1
            box._insert("outbox_attachment", attachment)
        box.commit()
        return row
    except (sqlite3.IntegrityError, sqlite3.OperationalError) as problem:
        box.execute("ROLLBACK")
        assert len(str(problem)) > 10, problem
        return None


def check_octets(octets):
    """Lines that end in CRLF, and nothing else that looks like an end."""
    text = bytes(octets)
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)|\0", text), re.search(
        rb".{0,60}((?<!\r)\n|\r(?!\n)|\0).{0,60}", text, re.S).group(0)


def test_smuggling_in_every_column(case):
    recorder = Recorder()
    server = rogue.Rogue(recorder)
    case.servers.append(server)
    case.tenant("acme", server, max_connections=1, streak_guard=0,
                max_messages_per_session=100000)
    box = case.outbox()
    rows = {}
    for column in COLUMNS:
        for sequence in SEQUENCES:
            line_end = sequence.replace(".", "")[:2] or "\r\n"
            for text in (sequence, sequence + EVIL.format(line_end) +
                         sequence + "QUIT" + line_end):
                row = insert(box, column, text, len(rows))
                if row:
                    rows[row] = (column, text)
    assert len(rows) > 100, len(rows)
    case.start()
    box.wait("an end for each", lambda: box.value(
        "SELECT count(*) FROM outbox_status WHERE state NOT IN "
        "('sent', 'failed')") == 0, 60)
    sent = box.count("sent")
    ends = collections.Counter()
    for row, (column, text) in rows.items():
        status = box.status(row)
        assert status["state"] == "sent" or status["result"], (column, text)
        ends[column, status["state"]] += 1
    print("of %d: %s" % (2 * len(SEQUENCES), dict(ends)))
    # What is text takes line ends, and is encoded or dotted.
    for column in ("body_text", "message"):
        assert ends[column, "sent"] >= 10, ends
    assert sent > 50 and len(recorder.messages) == sent, (
        sent, len(recorder.messages))
    assert recorder.commands.count(b"DATA") == sent
    assert not [command for command in recorder.commands
                if b"evil" in command or b"victim" in command]
    for octets in recorder.connections:
        check_octets(octets)
    for message in recorder.messages:
        head = email.message_from_bytes(message)
        assert head["Subject"] != "smuggled", message
        for header in ("From", "Subject", "Date", "Message-ID"):
            assert len(head.get_all(header, [])) <= 1, (header, message)


def test_long_lines_of_a_complete_message_are_its_own(case):
    """Over 998 octets too: nothing else changes, a signature stays valid."""
    recorder = Recorder()
    server = rogue.Rogue(recorder)
    case.servers.append(server)
    case.tenant("acme", server)
    head = HEAD.replace("\r\n\r\n", "\r\nDate: Mon, 23 Nov 2026 10:00:00 "
                        "+0000\r\nMessage-ID: <1@acme.example>\r\n\r\n")
    bodies = ["x" * n + "\r\n" + "." * m + "\r\n" for n in
              (997, 998, 999, 4095, 4096, 4097, 100000) for m in (1, 999)]
    box = case.outbox()
    for body in bodies:
        box.insert("acme", None, message=(head + body).encode())
    case.start()
    box.wait_all()
    found = sorted(recorder.messages)
    assert found == sorted(
        re.sub("(?m)^\\.", "..", head + body).encode() for body in bodies)
