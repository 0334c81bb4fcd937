"""What arrives is what was inserted."""

import email
import email.policy
import re

from case import for_each

LONG = "\u00e4" * 3000
SUBJECT = ("Rechnung \u20ac 12,50 f\u00fcr M\u00fcller & S\u00f6hne \u2013 "
           "\u65e5\u672c\u8a9e\u306e\u4ef6\u540d " + "lang " * 20).strip()
TEXT = ("Sehr geehrte Damen und Herren,\n.\n..\n.text after a dot\n"
        "From the start of a line\n\ttab, trailing space \n"
        "\u65e5\u672c\u8a9e \U0001f600 =3D =\n\n" + LONG + "\n"
        + "x" * 1500 + "\nlast line\n")


def parsed(received):
    return email.message_from_bytes(received.sent,
                                    policy=email.policy.default)


def text_of(received):
    return parsed(received).get_content().replace("\r\n", "\n")


def header_lines(received):
    return received.sent.split(b"\n\n", 1)[0].split(b"\n")


def send(case, to, server="required", **columns):
    case.tenant("acme", server)
    case.serve()
    number = case.outbox().insert("acme", to, **columns)
    case.outbox().wait_state(number, "sent")
    return number


def test_text_from_columns(case):
    box = case.box()
    number = send(case, "J\u00fcrgen M\u00fcller <%s>" % box, subject=SUBJECT,
                  from_address='"Acme, Inc." <app@acme.example>',
                  reply_to="Help <help@acme.example>", body_text=TEXT)
    received = box.wait(1)[0]
    message = parsed(received)
    assert message["Subject"] == SUBJECT, message["Subject"]
    assert message["To"].addresses[0].display_name == "J\u00fcrgen M\u00fcller"
    assert message["To"].addresses[0].addr_spec == str(box)
    assert message["From"].addresses[0].display_name == "Acme, Inc."
    assert message["From"].addresses[0].addr_spec == "app@acme.example"
    assert message["Reply-To"].addresses[0].addr_spec == "help@acme.example"
    assert text_of(received) == TEXT
    assert received.return_path == "<app@acme.example>"
    assert message["MIME-Version"] == "1.0"
    status = case.outbox().status(number)
    assert message["Message-ID"].strip() == "<%s>" % status["message_id"]
    assert re.fullmatch(r"%d\.[^@<>]+@acme\.example" % number,
                        status["message_id"]), status["message_id"]
    queued = status["first_queued_at_ms"] // 1000
    assert int(message["Date"].datetime.timestamp()) == queued
    assert message["Date"].endswith("+0000"), message["Date"]
    for line in received.sent.split(b"\n"):
        assert len(line) <= 998, line
    for line in header_lines(received):
        assert len(line) <= 78 and line.isascii(), line
    for name in ("From", "To", "Subject", "Date", "Message-ID"):
        assert len(message.get_all(name)) == 1, name


TEXTS = {
    "ascii": "plain ascii\n", "no-end-of-line": "no end of line",
    "one-dot": ".\n", "dots": "..\n.\n", "crlf": "a\r\nb\r\n",
    "empty-lines": "\n\n\n", "998": "x" * 998 + "\n",
    "999": "x" * 999 + "\n", "long-utf-8": LONG,
}


@for_each(list(TEXTS))
def test_text(case, name):
    """The same text, but that the last line has its end."""
    box = case.box()
    send(case, str(box), subject="text", body_text=TEXTS[name])
    found = text_of(box.wait(1)[0])
    expected = TEXTS[name].replace("\r\n", "\n")
    if not expected.endswith("\n"):
        expected += "\n"
    assert found in (expected, expected[:-1]), repr(found[:200])


def test_to_cc_and_bcc(case):
    boxes = [case.box() for _ in range(4)]
    to, cc, bcc, both = boxes
    send(case, "Team: %s, %s;" % (to, both), subject="lists",
         cc_addresses="Carol C <%s>" % cc,
         bcc_addresses="%s, %s@BOX.example" % (bcc, str(both).split("@")[0]))
    for box in boxes:
        received = box.wait(1)[0]
        message = parsed(received)
        assert message["Bcc"] is None
        assert str(bcc).encode() not in received.sent
        assert str(cc) in message["Cc"], message["Cc"]
        assert str(to) in message["To"] and str(both) in message["To"]


def test_envelope_sender(case):
    box = case.box()
    case.tenant("acme", "required")
    case.serve()
    case.outbox().insert("acme", str(box), subject="1",
                         envelope_from="bounces@acme.example")
    case.outbox().insert("acme", str(box), subject="2", envelope_from="<>")
    case.outbox().wait_all()
    paths = {str(parsed(m)["Subject"]): m.return_path for m in box.wait(2)}
    assert paths == {"1": "<bounces@acme.example>", "2": "<>"}, paths


COMPLETE = (
    b"Received: from here by there; Mon, 23 Nov 2026 09:59:00 +0000\n"
    b"DKIM-Signature: v=1; a=rsa-sha256; d=acme.example; s=x;\n"
    b"\th=from : to;\n  bh=abc=;  b=def\n"
    b"from:  odd   spacing <a@acme.example>\n"
    b"To: shown@elsewhere.example\n"
    b"X-Folded: one\n two\n\t three\n"
    b"Subject: =?utf-8?q?as_it_is?=\n"
    b"Date: Mon, 23 Nov 2026 10:00:00 +0000\n"
    b"Message-ID: <complete-1@acme.example>\n"
    b"MIME-Version: 1.0\n"
    b"Content-Type: text/plain; charset=utf-8\n"
    b"Content-Transfer-Encoding: 8bit\n"
    b"\n"
    b".\n..\n.one dot\nBcc: not a header field\n\n"
    + "\u00fcber 8 Bit \u65e5\u672c\n".encode() + b"z" * 998 + b"\n"
    b"trailing space \n\nend\n")


@for_each(["required", "implicit"])
def test_complete_message_byte_for_byte(case, server):
    """Nothing is changed, so a signature stays valid."""
    box = case.box()
    case.tenant("acme", server)
    case.serve()
    number = case.outbox().insert("acme", str(box), message=COMPLETE)
    case.outbox().wait_state(number, "sent")
    found = box.wait(1)[0].sent
    assert found == COMPLETE, found
    assert case.outbox().status(number)["message_id"] == \
        "complete-1@acme.example"


def test_complete_message_with_crlf(case):
    box = case.box()
    send(case, str(box), message=COMPLETE.replace(b"\n", b"\r\n"))
    assert box.wait(1)[0].sent == COMPLETE


def test_bcc_and_return_path_come_out(case):
    """The envelope is that of To, Cc and Bcc; Bcc is seen by nobody."""
    to, cc, bcc = case.box(), case.box(), case.box()
    head = ("From: a@acme.example\nTo: T <%s>\nCc: %s\n" % (to, cc)).encode()
    tail = (b"Date: Mon, 23 Nov 2026 10:00:00 +0000\n"
            b"Message-ID: <bcc@acme.example>\nSubject: bcc\n\nBcc: body\n")
    hidden = "BCC: Hidden\n <%s>,\n\t%s\n" % (bcc, cc)
    raw = b"Return-Path: <x@acme.example>\n" + hidden.encode() + head + \
        b"Return-Path:\n <y@acme.example>\nbcc:\n" + tail
    case.tenant("acme", "required")
    case.serve()
    number = case.outbox().insert("acme", None, from_address=None,
                                  message=raw)
    case.outbox().wait_state(number, "sent")
    for box in (to, cc, bcc):
        assert box.wait(1)[0].sent == head + tail
    assert set(case.outbox().deliveries(number)) == {str(to), str(cc),
                                                     str(bcc)}


def test_missing_date_and_message_id_are_added(case):
    box = case.box()
    raw = b"From: a@acme.example\nTo: b@box.example\nSubject: s\n\nbody\n"
    number = send(case, str(box), message=raw)
    received = box.wait(1)[0]
    message = parsed(received)
    status = case.outbox().status(number)
    assert message["Message-ID"].strip() == "<%s>" % status["message_id"]
    assert int(message["Date"].datetime.timestamp()) == \
        status["first_queued_at_ms"] // 1000
    rest = [line for line in header_lines(received)
            if not re.match(rb"(Date|Message-ID):", line)]
    assert b"\n".join(rest) + b"\n\nbody\n" == raw, received.sent


def test_message_of_ten_megabytes(case):
    """Larger than any buffer: through the spool file, unchanged."""
    box = case.box()
    lines = b"".join(b"%07d .%s\n" % (n, b"q" * 88) for n in range(105000))
    raw = (b"From: a@acme.example\nTo: b@box.example\n"
           b"Date: Mon, 23 Nov 2026 10:00:00 +0000\n"
           b"Message-ID: <big@acme.example>\nSubject: big\n\n" + lines)
    send(case, str(box), message=raw)
    assert box.wait(1)[0].sent == raw


INVALID = {
    "bare-cr": ({"message": b"From: a@acme.example\n\na\rb\n"}, "carriage return"),
    "nul": ({"message": b"From: a@acme.example\n\na\0b\n"}, "NUL"),
    "address": ({"to_addresses": "not an address"}, "to_addresses"),
    "headers": ({"headers": "X-Good: 1\nSubject: twice"}, "headers"),
}


@for_each(list(INVALID))
def test_what_cannot_be_sent_fails_with_words(case, name):
    """Before anything is sent, and the next message goes out."""
    columns, word = INVALID[name]
    box = case.box()
    case.tenant("acme", "required")
    daemon = case.serve()
    bad = dict({"tenant": "acme", "from_address": "a@acme.example",
                "to_addresses": str(box)}, **columns)
    if "message" not in columns:
        bad.setdefault("subject", "s")
        bad.setdefault("body_text", "t")
    number = case.outbox()._insert("outbox", bad)
    status = case.outbox().wait_state(number, "failed")
    assert word in status["result"], status["result"]
    daemon.wait_event("message.invalid", id=number)
    good = case.outbox().insert("acme", str(box))
    case.outbox().wait_state(good, "sent")
    box.wait(1)


# Published sequences of SMTP smuggling that a complete message may hold.
SMUGGLING = ["\n.\n", "\n.\r\n", "\r\n.\n", "\r\n.\r\n", "\n\n.\n\n",
             "\r\n..\r\n", "\n.\n.\n"]


def test_smuggled_message_is_text(case):
    """A second message would arrive too: there is one for each row, and it
    has every octet. The last one, sent behind them, shows that all came."""
    box, last = case.box(), case.box()
    case.tenant("acme", "required", max_connections=1)
    rows = []
    for number, end in enumerate(SMUGGLING):
        evil = ("MAIL FROM:<user@acme.example>\r\nRCPT TO:<%s>\r\nDATA\r\n"
                "Subject: smuggled\r\n\r\nevil" % box) + end + "QUIT\r\n"
        rows.append((
            "From: a@acme.example\nTo: %s\nSubject: row %d\n"
            "Date: Mon, 23 Nov 2026 10:00:00 +0000\n"
            "Message-ID: <smuggled-%d@acme.example>\n\nbefore%s%safter\n" % (
                box, number, number, end, evil)))
    numbers = [case.outbox().insert("acme", str(box), message=row.encode())
               for row in rows]
    numbers += [case.outbox().insert("acme", str(box), subject="row text",
                                     body_text=row) for row in rows]
    numbers.append(case.outbox().insert("acme", str(last), priority=-9))
    case.serve()
    for number in numbers:
        case.outbox().wait_state(number, "sent")
    last.wait(1)
    found = box.wait(2 * len(rows))
    assert len(found) == 2 * len(rows), [one.sent[:200] for one in found]
    assert not any(parsed(one)["Subject"] == "smuggled" for one in found)
    complete = sorted(one.sent for one in found
                      if parsed(one)["Subject"] != "row text")
    assert complete == sorted(row.replace("\r\n", "\n").encode()
                              for row in rows)
    texts = sorted(text_of(one) for one in found
                   if parsed(one)["Subject"] == "row text")
    assert texts == sorted(row.replace("\r\n", "\n") for row in rows)


def attach(case, number, position, name, kind, content, cid=None):
    case.outbox().execute(
        "INSERT INTO outbox_attachment (outbox_id, position, filename, "
        "content_type, content, content_id) VALUES (?, ?, ?, ?, ?, ?)",
        number, position, name, kind, content, cid)


@for_each(["required", "exim-starttls", "sendmail-starttls",
           "submission-starttls", "aiosmtpd-starttls"])
def test_voicemail(case, server):
    """Text, HTML with a picture, a recording and a large fax: each as it was
    inserted, at every make of server."""
    box = case.box(2 if server.startswith("submission") else 1)
    picture = bytes(range(256)) * 3
    sound = b"RIFF" + bytes(5000)
    fax = b"%PDF-1.7\n" + b"\x00\xff.\r\n" * 600000
    case.tenant("acme", server)
    case.serve()
    number = case.outbox().insert(
        "acme", str(box), subject="Neue Nachricht \U0001f4de",
        body_text="Anruf von M\u00fcller\n.\n",
        body_html="<p>M\u00fcller <img src=\"cid:logo@acme\"></p>\n",
        attachments=3)
    attach(case, number, 1, "logo.png", "image/png", picture, "logo@acme")
    attach(case, number, 2, "Nachricht f\u00fcr \u65e5\u672c.wav",
           "audio/wav", sound)
    attach(case, number, 3, "fax.pdf", "application/pdf", fax)
    case.outbox().wait_state(number, "sent")
    message = parsed(box.wait(1)[0])
    assert message["Subject"] == "Neue Nachricht \U0001f4de"
    assert message.get_content_type() == "multipart/mixed"
    assert message.get_body(("plain",)).get_content().replace(
        "\r\n", "\n") == "Anruf von M\u00fcller\n.\n"
    assert "M\u00fcller <img" in message.get_body(("html",)).get_content()
    inline = [part for part in message.walk()
              if part["Content-ID"] == "<logo@acme>"]
    assert len(inline) == 1 and inline[0].get_content() == picture
    files = {part.get_filename(): part.get_content()
             for part in message.iter_attachments()}
    assert files == {"Nachricht f\u00fcr \u65e5\u672c.wav": sound,
                     "fax.pdf": fax}, list(files)
