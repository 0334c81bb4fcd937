#!/usr/bin/python3
"""torture.py - the examples of the RFCs and the published torture tests, as far as they ask something of a composer.

1. Text: RFC 2047 8 and RFC 2231 3 to 4 say how names and file names are written; the sequences of Markus Kuhn's
   UTF-8 stress test and the first and last code points of each length go through every column of text: what is
   UTF-8 arrives, what is not is refused with words that name the column.
2. Messages: RFC 2046, RFC 2049 appendix A, RFC 2231 and a message of the shape of Mark Crispin's MIME torture test
   are given as complete messages: they leave as they came, but for line ends, Bcc, Return-Path and what is missing.

Prints what fails, and "N passed, N failed".
"""
import re
import sys

import reading
import rows

PEOPLE = {"from_address": "from", "to_addresses": "to", "cc_addresses": "cc", "reply_to": "reply-to"}
COLUMNS = (*PEOPLE, "subject", "headers", "body_text", "body_html", "filename")
QUEUED = "Tue, 25 Nov 2025 03:05:00 +0000"

# --- text ------------------------------------------------------------------------

# RFC 2047 8: what each example of an author's name says, and RFC 2047 2's own limits.
NAMES = ["Keith Moore", "Keld Jørn Simonsen", "André Pirard", "Olle Järnefors", "Patrik Fältström",
         "Nathaniel Borenstein", "(םולש ןב ילטפנ)", "If you can read this you understand the example.",
         "a", "a b", "=?ISO-8859-1?Q?a?=", "=?ISO-8859-1?Q?a?= b", "=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "a_b", "a?b=c"]

# RFC 2231 3 to 5, as file names, and the characters that its encodings use.
FILENAMES = ["This is ***fun***", "This is even more ***fun*** isn't it!", "cs.utk.edu, pub, moore, bulk-mailer.tar",
             "us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A", "title*0*=us-ascii'en'", "%25", "a=b;c", "€ rates", "£ and € rates"]

# First and last of each length, around the surrogates, noncharacters, and what is no letter at all.
CODE_POINTS = [0x20, 0x7e, 0x80 + 0x20, 0x7ff, 0x800, 0xd7ff, 0xe000, 0xfdd0, 0xfeff, 0xfffd, 0xfffe, 0xffff, 0x10000,
               0x1f600, 0xe0001, 0xeffff, 0x10fffe, 0x10ffff, 0x301, 0x1f3f4, 0xfe0f, 0x3000, 0x6f22]

# Markus Kuhn's UTF-8 decoder capability and stress test, sections 2.1 to 5.2.
MALFORMED = {
    "a lone first continuation octet": b"\x80", "a lone last continuation octet": b"\xbf",
    "continuation octets": b"\x80\xbf\x80\xbf\x80\xbf\x80", "all first octets of two, each before a space":
    b" ".join(bytes([c]) for c in range(0xc0, 0xe0)), "first octets of three": b"\xe0 \xef ", "first octets of four": b"\xf0 \xf4 ",
    "a sequence of five": b"\xf8\x88\x80\x80\x80", "a sequence of six": b"\xfc\x84\x80\x80\x80\x80",
    "the last octet of two missing": b"\xc3", "the last octet of three missing": b"\xe2\x82",
    "the last octet of four missing": b"\xf0\x9f\x98", "two cut sequences": b"\xe2\x82\xf0\x9f\x98",
    "FE": b"\xfe", "FF": b"\xff", "FE FE FF FF": b"\xfe\xfe\xff\xff",
    "'/' in two octets": b"\xc0\xaf", "'/' in three": b"\xe0\x80\xaf", "'/' in four": b"\xf0\x80\x80\xaf",
    "NUL in two octets": b"\xc0\x80", "CR in two octets": b"\xc0\x8d", "LF in three octets": b"\xe0\x80\x8a",
    "the last that two octets could overlong": b"\xc1\xbf", "overlong of three": b"\xe0\x9f\xbf", "overlong of four": b"\xf0\x8f\xbf\xbf",
    "the first high surrogate": b"\xed\xa0\x80", "the last low surrogate": b"\xed\xbf\xbf",
    "a pair of surrogates": b"\xed\xa0\x80\xed\xb0\x80", "beyond the last code point": b"\xf4\x90\x80\x80",
    "ISO-8859-1": b"J\xf6rg", "UTF-16": b"\xff\xfea\x00".replace(b"\x00", b"\x01"), "Shift_JIS": "日本".encode("shift_jis"),
}


def row_with(number, column, text):
    """A row with text, octets, in one column; each column as an application would write it."""
    columns = {"from_address": "f@a.example", "to_addresses": "t@x.example", "body_text": "Hello"}
    if column == "filename":
        return rows.Row(number, columns, [rows.Attachment(b"content", text, "application/pdf")])
    if column == "headers":
        text = b"X-Mark: " + text
    elif column in PEOPLE:
        text = b'"' + re.sub(rb'(["\\])', rb"\\\1", text) + b'" <n@x.example>'
    return rows.Row(number, dict(columns, **{column: text}))


def seen(column, read):
    """What a reader shows where row_with() put the text."""
    if column in PEOPLE:
        return read.addresses[PEOPLE[column]][0][1][0][0]
    if column == "subject":
        return read.subject
    if column == "headers":
        return read.fields["x-mark"]
    part = read.parts[-1]
    return part[5] if column == "filename" else re.sub("\r?\n$", "", part[6].decode())


class Torture:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, good, what):
        self.passed += good
        self.failed += not good
        if not good:
            print(f"not ok: {what}")

    def texts_arrive(self):
        cases = [(column, text) for column in COLUMNS for text in
                 (FILENAMES if column == "filename" else NAMES) + [f"a{chr(c)}b" for c in CODE_POINTS]]
        answers = rows.compose([row_with(i, column, text.encode()) for i, (column, text) in enumerate(cases, 1)])
        told = rows.gmime([answer.message for answer in answers]) if rows.have_gmime() else [None] * len(answers)
        for (column, text), answer, one in zip(cases, answers, told):
            self.check(answer.status == "ok", f"{column} {text!r}: {answer.status}")
            if answer.status != "ok":
                continue
            readers = [("Python", reading.python_read(answer.message), reading.spaced if column in PEOPLE else str)]
            if one:
                readers.append(("GMime", reading.gmime_reading(one), str))
            for name, read, spaces in readers:
                self.check(seen(column, read) == spaces(text), f"{column}: {name} shows {seen(column, read)!r}, not {text!r}")
                self.check(not read.defects, f"{column} {text!r}: {name} complains: {read.defects}")

    def no_other_text_leaves(self):
        cases = [(column, what, octets) for column in COLUMNS for what, octets in MALFORMED.items()]
        answers = rows.compose([row_with(i, column, b"a " + octets + b" b") for i, (column, _, octets) in enumerate(cases, 1)])
        for (column, what, _), answer in zip(cases, answers):
            self.check(column in answer.status and not answer.message, f"{column}, {what}: {answer.status!r}")

    def messages_leave_as_they_came(self):
        cases = [(name, message.replace("\n", end).encode("utf-8", "surrogateescape")) for name, message in messages().items()
                 for end in ("\n", "\r\n")]
        columns = {"from_address": "f@a.example", "envelope_from": "e@a.example", "to_addresses": "t@x.example"}
        answers = rows.compose([rows.Row(i, dict(columns, message=message), eight_bit=True)
                                for i, (_, message) in enumerate(cases, 1)])
        for (name, message), answer in zip(cases, answers):
            expected = as_it_leaves(message, answer.message_id)
            self.check(answer.status == "ok", f"{name}: {answer.status}")
            self.check(answer.message == expected, f"{name}:\n{answer.message!r}\n{expected!r}")
            self.check("eight_bit" in answer.flags or expected.isascii(), f"{name}: eight_bit is not told")


# --- messages ----------------------------------------------------------------------


def as_it_leaves(message, message_id):
    """What the contract says of a complete message, said once more in another language."""
    message = re.sub(rb"\r?\n", b"\r\n", message)
    message += b"" if message.endswith(b"\r\n") else b"\r\n"
    header, body = re.match(rb"((?:[^\r\n]+\r\n)*)(.*)\Z", message, re.S).groups()
    header = re.sub(rb"(?im)^(?:bcc|return-path)[ \t]*:.*\r\n(?:[ \t].*\r\n)*", b"", header)
    if not re.search(rb"(?im)^date[ \t]*:", header):
        header += f"Date: {QUEUED}\r\n".encode()
    if not re.search(rb"(?im)^message-id[ \t]*:", header):
        header += f"Message-ID: <{message_id}>\r\n".encode()
    return header + body


HEAD = "From: f@a.example\nTo: t@x.example\nSubject: torture\nDate: Mon, 22 Mar 1993 09:41:09 -0800 (PST)\nMessage-ID: <a@b>\n"

RFC_2046_MIXED = '''From: Nathaniel Borenstein <nsb@bellcore.example>
To: Ned Freed <ned@innosoft.example>
Date: Sun, 21 Mar 1993 23:56:48 -0800 (PST)
Subject: Sample message
MIME-Version: 1.0
Content-type: multipart/mixed; boundary="simple boundary"

This is the preamble.  It is to be ignored, though it
is a handy place for composition agents to include an
explanatory note to non-MIME conformant readers.

--simple boundary

This is implicitly typed plain US-ASCII text.
It does NOT end with a linebreak.
--simple boundary
Content-type: text/plain; charset=us-ascii

This is explicitly typed plain US-ASCII text.
It DOES end with a linebreak.

--simple boundary--

This is the epilogue.  It is also to be ignored.
'''

RFC_2046_DIGEST = HEAD + '''MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="---- main boundary ----"

------ main boundary ----

  ...Introductory text or table of contents...

------ main boundary ----
Content-Type: multipart/digest;
              boundary="---- next message ----"

------ next message ----

From: someone-else@a.example
Date: Fri, 26 Mar 1993 11:13:32 +0200
Subject: my opinion

  ...body goes here ...

------ next message ----

From: someone-else-again@a.example
Date: Fri, 26 Mar 1993 10:07:13 -0500
Subject: my different opinion

  ... another body goes here ...

------ next message ------

------ main boundary ------
'''

RFC_2046_PARTIAL = HEAD + '''MIME-version: 1.0
Content-type: message/partial; id="ABC@host.example";
              number=1; total=2

X-Weird-Header-1: Bar
X-Weird-Header-2: Hello
Message-ID: <anotherid@foo.example>
Subject: Audio mail
MIME-Version: 1.0
Content-type: audio/basic
Content-transfer-encoding: base64

  ... first half of encoded audio data goes here ...
'''

RFC_2046_EXTERNAL = HEAD + '''MIME-Version: 1.0
Content-Type: multipart/alternative; boundary=42

--42
Content-Type: message/external-body; name="BodyFormats.ps";
              site="thumper.bellcore.example"; mode="image";
              access-type=ANON-FTP; directory="pub";
              expiration="Fri, 14 Jun 1991 19:13:14 -0400 (EDT)"

Content-type: application/postscript
Content-ID: <id42@guppylake.bellcore.example>

--42--
'''

RFC_2049_A = '''MIME-Version: 1.0
From: Nathaniel Borenstein <nsb@nsb.fv.example>
To: Ned Freed <ned@innosoft.example>
Date: Fri, 07 Oct 1994 16:15:05 -0700 (PDT)
Subject: A multipart example
Content-Type: multipart/mixed;
              boundary=unique-boundary-1

This is the preamble area of a multipart message.

--unique-boundary-1

  ... Some text appears here ...

--unique-boundary-1
Content-type: text/plain; charset=US-ASCII

This could have been part of the previous part, but
illustrates explicit versus implicit typing of body parts.
--unique-boundary-1
Content-Type: multipart/parallel; boundary=unique-boundary-2

--unique-boundary-2
Content-Type: audio/basic
Content-Transfer-Encoding: base64

  ... base64-encoded 8000 Hz single-channel mu-law-format audio data goes here ...

--unique-boundary-2
Content-Type: image/jpeg
Content-Transfer-Encoding: base64

  ... base64-encoded image data goes here ...

--unique-boundary-2--

--unique-boundary-1
Content-type: text/enriched

This is <bold><italic>enriched.</italic></bold>
<smaller>as defined in RFC 1896</smaller>

Isn't it
<bigger><bigger>cool?</bigger></bigger>

--unique-boundary-1
Content-Type: message/rfc822

From: (mailbox in US-ASCII)
To: (address in US-ASCII)
Subject: (subject in US-ASCII)
Content-Type: Text/plain; charset=ISO-8859-1
Content-Transfer-Encoding: Quoted-printable

  ... Additional text in ISO-8859-1 goes here ...

--unique-boundary-1--
'''

RFC_2047_HEADERS = '''From: =?US-ASCII?Q?Keith_Moore?= <moore@cs.utk.example>
To: =?ISO-8859-1?Q?Keld_J=F8rn_Simonsen?= <keld@dkuug.example>
CC: =?ISO-8859-1?Q?Andr=E9?= Pirard <PIRARD@vm1.ulg.ac.example>
Subject: =?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=
    =?ISO-8859-2?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?=
Reply-To: (=?iso-8859-8?b?7eXs+SDv4SDp7Oj08A==?=) Nathaniel Borenstein <nsb@thumper.bellcore.example>
Bcc: =?utf-8?Q?secret?=
 <hidden@x.example>
Return-Path: <gone@x.example>

body
'''

RFC_2231_HEADERS = HEAD + '''MIME-Version: 1.0
Content-Type: message/external-body; access-type=URL;
    URL*0="ftp://";
    URL*1="cs.utk.example/pub/moore/bulk-mailer/bulk-mailer.tar"
Content-Type-Of-Another: application/x-stuff;
    title*0*=us-ascii'en'This%20is%20even%20more%20;
    title*1*=%2A%2A%2Afun%2A%2A%2A%20;
    title*2="isn't it!"

Content-Type: application/x-stuff; title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A
'''

# Boundaries that RFC 2046 5.1.1 allows, as Crispin's torture test and its descendants have them.
BOUNDARIES = ["owatagusiam", "hal_9000", "16819560-2078917053-688350843:#11603", "mail.sleepy.sau.144.8891",
              "Interpart.Boundary.IdhldKjlasd", "foobarbazola", "'()+_,-./:=? x", "=_qp=3D", "--", "x" * 70, "=?utf-8?Q?x?=", "1"]


def nested(depth):
    """A message in a message in a multipart in a message …, each with another boundary, as Crispin's test nests them."""
    if depth == len(BOUNDARIES):
        return "Content-Type: text/plain\n\nthe innermost\n"
    mark = BOUNDARIES[depth]
    kind = ("mixed", "alternative", "parallel", "digest", "related", "x-unknown")[depth % 6]
    parts = [f"Content-Type: AUDIO/BASIC (a comment)\nContent-Transfer-Encoding: BASE64\nContent-Description: part {depth}\n\nYWJj\n",
             "\nno field at all, and no line end", "Content-Type: text/plain\n\n",
             f"Content-Type: message/rfc822\n\nFrom: f@a.example\nSubject: depth {depth}\nDate: x\n{nested(depth + 1)}"]
    body = "".join(f"--{mark}\n{part}\n" for part in parts)
    return (f"MIME-Version: 1.0\nContent-Type: MULTIPART/{kind}; BOUNDARY=\"{mark}\"\n\npreamble\n--{mark[:-1]}\n"
            f"{body}--{mark}--\nepilogue\n--{mark}\n")


def messages():
    return {
        "RFC 2046 5.1.1": RFC_2046_MIXED, "RFC 2046 5.1.5": RFC_2046_DIGEST, "RFC 2046 5.2.2": RFC_2046_PARTIAL,
        "RFC 2046 5.2.3": RFC_2046_EXTERNAL, "RFC 2049 A": RFC_2049_A, "RFC 2047 8": RFC_2047_HEADERS,
        "RFC 2231 3": RFC_2231_HEADERS, "nested as in Crispin's test": HEAD + nested(0),
        "no field but From": "From: f@a.example\n\nbody", "no body": "From: f@a.example\nDate: x\n",
        "no empty line, no line end": "From: f@a.example\nMessage-ID: <x@y>",
        "empty lines at the end": HEAD + "\n\n\n\n", "dots and From": HEAD + "\n.\n..\n.x\nFrom me\n>From\n.\n\n.",
        "8-bit that is no UTF-8": HEAD + "Content-Type: text/plain; charset=iso-8859-1\n\nJ\udcf6rg\n",
        "UTF-8 stress": HEAD + "\n" + "".join(chr(c) for c in CODE_POINTS) + "\n",
        "malformed UTF-8": HEAD + "\n" + "\n".join(m.decode("utf-8", "surrogateescape") for m in MALFORMED.values()) + "\n",
        "a folded field": HEAD.replace("Subject: torture", "Subject:\n tor\n\tture  \n ."),
        "fields twice": HEAD + "Received: a\nReceived: b\nReceived: a\nX: \nX:\n\nbody\n",
        "Bcc in odd cases": HEAD + "BCC: a@x.example\nbCc: b@x.example,\n\tc@x.example\nX-Bcc: stays\nreturn-path:\n <x@y>\n\nBcc: stays\n",
        "lines of 998": HEAD + "X: " + "x" * 995 + "\n\n" + "y" * 998 + "\n",
    }


def main():
    torture = Torture()
    torture.texts_arrive()
    torture.no_other_text_leaves()
    torture.messages_leave_as_they_came()
    print(f"{torture.passed} passed, {torture.failed} failed")
    return 1 if torture.failed else 0


if __name__ == "__main__":
    sys.exit(main())
