#!/usr/bin/python3
"""compose.py [ROWS [SEED]] - what we compose, read back by Python's email package.

Makes up ROWS rows (2000) from a fixed SEED (20), lets compose_rows compose
them, and compares subject, names, addresses, groups, envelope and text with
what went in. Half of the columns' rows also go out again as complete messages,
with a Bcc field, and must come back octet for octet but for that field. Also
checks what RFC 5322 and RFC 2047 say of lines and encoded-words.
"""
import email
import email.header
import email.policy
import os
import random
import re
import subprocess
import sys

NULL = None
ATEXT = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-/=?^_`{|}~"
SPECIALS = "()<>[]:;@\\,.\""
LETTERS = "äöüßéèñçøåłž" + "абвгдежз" + "αβγδε" + "日本語漢字仮名" + "한국어" + "עברית" + "😀🎉👩‍💻🏳️‍🌈" + "\u0301\u00a0\u200b"
WORDS = ["Invoice", "Rechnung", "für", "März", "Größe", "voicemail", "from", "0043 1 234", "re:", "[2026]",
         "請求書", "Счёт", "naïve", "😀", "=?utf-8?Q?x?=", "a=?b", "x" * 61, "ü" * 40, "日" * 30, "=20", "_", "?="]


class Maker:
    def __init__(self, seed):
        self.dice = random.Random(seed)

    def some(self, alphabet, low, high):
        return "".join(self.dice.choice(alphabet) for _ in range(self.dice.randint(low, high)))

    def subject(self):
        d = self.dice
        kind = d.randrange(12)
        if kind == 0:
            return NULL
        if kind == 1:
            return self.some(ATEXT + SPECIALS + "    \t", 1, 300)
        if kind == 2:
            return self.some(LETTERS + "   ", 1, 200)
        if kind == 3:
            return self.some(ATEXT + LETTERS + "  ", 1, 1500)
        return d.choice([" ", "  ", " ", " "]).join(d.choice(WORDS) for _ in range(d.randint(1, 25)))

    def name(self):
        """A display name, and how a column writes it."""
        d = self.dice
        kind = d.randrange(6)
        if kind == 0:
            words = [self.some(ATEXT.replace("=", "").replace("?", ""), 1, 12) for _ in range(d.randint(1, 4))]
            return " ".join(words), d.choice([" ", "  ", " (note) "]).join(words)
        if kind == 1:
            name = self.some(ATEXT + SPECIALS + " ", 1, 40)
        elif kind == 2:
            name = self.some(LETTERS, 1, 30)
        elif kind == 3:
            name = self.some(ATEXT + LETTERS + SPECIALS + " ", 1, 200)
        elif kind == 4:
            name = self.some(ATEXT + " ", 61, 300)
        else:
            name = " ".join(d.choice(WORDS) for _ in range(d.randint(1, 6)))
        # a reader strips names at their ends, as they may: RFC 5322 gives these spaces no meaning
        name = name.strip(" ") or "x"
        return name, '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'

    def address(self):
        """An address as the envelope has it, and how a column writes it."""
        d = self.dice
        kind = d.randrange(8)
        plain = ATEXT.replace("'", "")
        if kind == 0:
            content = self.some(ATEXT + " .@,;<>()", 1, 20)
            if re.fullmatch(r"[^ .@,;<>()]+(\.[^ .@,;<>()]+)*", content):
                local = written = content
            else:
                local = written = '"' + content + '"'
        else:
            local = written = ".".join(self.some(plain, 1, 12) for _ in range(d.randint(1, 3)))
        if kind == 1:
            label = "".join(d.choice("bücherähöñé") for _ in range(d.randint(2, 12))) + "ü"
            return f"{local}@{label.encode('idna').decode()}.example", f"{written}@{label}.example"
        if kind == 2:
            domain = d.choice(["[192.0.2.1]", "[IPv6:2001:db8::1]"])
        else:
            domain = ".".join(self.some("abcdefghijklmnopqrstuvwxyz0123456789", 1, 20)
                              for _ in range(d.randint(1, 4))) + ".example"
        return f"{local}@{domain}", f"{written}{d.choice(['', '', ' '])}@{domain}"

    def mailbox(self):
        d = self.dice
        address, written = self.address()
        if d.randrange(3) == 0:
            return ("", address), written
        name, phrase = self.name()
        return (name, address), f"{phrase} <{written}>"

    def addresses(self, most):
        """[(group or None, [(name, address)])], and the column; None for no column."""
        d = self.dice
        if d.randrange(4) == 0:
            return [], NULL
        found, column = [], []
        for _ in range(d.randint(1, most)):
            if d.randrange(8) == 0:
                name, phrase = self.name()
                members = [self.mailbox() for _ in range(d.randint(0, 3))]
                found.append((name, [m[0] for m in members]))
                column.append(f"{phrase}: {', '.join(m[1] for m in members)};")
            else:
                box, written = self.mailbox()
                found.append((None, [box]))
                column.append(written)
        return found, d.choice([",", ", ", " , "]).join(column)

    def text(self):
        d = self.dice
        kind = d.randrange(8)
        if kind == 0:
            return NULL
        if kind == 1:
            return self.some(ATEXT + " ", 900, 3000)
        end = d.choice(["\n", "\r\n"])
        alphabet = {2: ATEXT + LETTERS + " \t", 3: LETTERS, 4: ATEXT + "= \t.", 5: ATEXT + "ü   ="}.get(kind, ATEXT + " ")
        lines = [self.some(alphabet, 0, d.choice([5, 80, 200])) + d.choice(["", "", " ", "\t", " \t "])
                 for _ in range(d.randint(0, 60))]
        lines += d.choice([[], [".", "..", "From me", "", "", ""]])
        return end.join(lines) + d.choice(["", end])

    def row(self):
        sender, from_address = self.mailbox()
        row = {"from": sender, "to": self.addresses(8), "cc": self.addresses(4), "bcc": self.addresses(3),
               "reply_to": self.addresses(2), "subject": self.subject(), "text": self.text()}
        if not any(members for kind in ("to", "cc", "bcc") for _, members in row[kind][0]):
            box, written = self.mailbox()
            row["to"] = ([(None, [box])], written)
        row["columns"] = [from_address, self.dice.choice([NULL, NULL, "<>", "bounce@x.example"]), row["to"][1],
                          row["cc"][1], row["bcc"][1], row["reply_to"][1], row["subject"], row["text"], NULL]
        return row


def netstring(value):
    if value is NULL:
        return b"-,"
    data = value if isinstance(value, bytes) else value.encode()
    return b"%d:%s," % (len(data), data)


def compose(program, rows):
    """The five values that compose_rows answers for each row of columns."""
    data = b"".join(netstring(value) for row in rows for value in row)
    answer = subprocess.run([program], input=data, stdout=subprocess.PIPE, check=True, timeout=600).stdout
    values, at = [], 0
    while at < len(answer):
        colon = answer.index(b":", at)
        end = colon + 1 + int(answer[at:colon])
        values.append(answer[colon + 1:end])
        at = end + 1
    assert len(values) == 5 * len(rows), "compose_rows answered another number of rows"
    return [values[i:i + 5] for i in range(0, len(values), 5)]


def spaced(name):
    """A name as Python's newer reader shows it, which makes every run of white space one space."""
    return None if name is None else " ".join(name.split())


def written(local):
    """A local part with the quotes it needs; the newer reader's own addr_spec forgets those of ".a"."""
    if re.fullmatch(r"[^ .@,;:<>()\[\]\\\"]+(\.[^ .@,;:<>()\[\]\\\"]+)*", local):
        return local
    return '"' + re.sub(r'(["\\])', r"\\\1", local) + '"'


def as_found(header):
    """[(group, (name, address))] of a field as the newer reader has it, and the groups without members."""
    groups = header.groups if header else ()
    found = [(spaced(group.display_name), (spaced(box.display_name), f"{written(box.username)}@{box.domain}"))
             for group in groups for box in group.addresses]
    return found, [spaced(group.display_name) for group in groups if not group.addresses]


def as_expected(groups):
    found = [(spaced(name), (spaced(box[0]), box[1])) for name, members in groups for box in members]
    return found, [spaced(name) for name, members in groups if not members]


def check_spaces(message, groups):
    """The names beyond ASCII, space for space: as the older reader decodes each row of encoded-words."""
    header = re.sub(rb"\r\n ", b" ", message.partition(b"\r\n\r\n")[0]).decode()
    word = r"=\?utf-8\?[BQ]\?[^? ]*\?="
    decoded = {str(email.header.make_header(email.header.decode_header(row)))
               for row in re.findall(f"{word}(?: {word})*", header)}
    names = [name for name, _ in groups] + [box[0] for _, members in groups for box in members]
    missing = [name for name in names if name and not name.isascii() and name not in decoded]
    same("names not found as they are", missing, [])


def merged(row):
    """The envelope's recipients: each once, the domain without case."""
    seen, out = set(), []
    for kind in ("to", "cc", "bcc"):
        for _, members in row[kind][0]:
            for _, address in members:
                local, _, domain = address.rpartition("@")
                if (local, domain.lower()) not in seen:
                    seen.add((local, domain.lower()))
                    out.append(address)
    return out


def lines_of(text):
    text = (text or "").replace("\r\n", "\n")
    return text if text.endswith("\n") or not text else text + "\n"


def same(what, got, expected):
    assert got == expected, f"{what}:\n  got      {got!r}\n  expected {expected!r}"


def check_lines(message):
    """RFC 5322 2.1.1, RFC 2047 2 and RFC 2045 6."""
    header, _, body = message.partition(b"\r\n\r\n")
    for line in header.split(b"\r\n"):
        words = re.findall(rb"=\?utf-8\?[QB]\?[^? ]*\?=", line)
        assert all(len(word) <= 75 for word in words), line
        token = line.split(b" ")[-1] if b'"' not in line else line
        assert len(line) <= (76 if words else 78) or len(token) + 14 > 76, line
        assert line.strip() and line.isascii() and len(line) <= 998, line
    if b"\r\nContent-Transfer-Encoding: 7bit" in header:
        assert max(map(len, body.split(b"\r\n"))) <= 998
    else:
        assert max(map(len, body.split(b"\r\n"))) <= 76
    assert message.isascii() and b"\n" not in message.replace(b"\r\n", b"")
    assert b"\r" not in message.replace(b"\r\n", b"") and b"\0" not in message


def read_back(message):
    """Python 3.11 shows the space between two encoded-words of a name, which RFC 2047 6.2 wants
    dropped: so it is dropped here, and the complaint that it is missing is not counted."""
    header, _, body = message.partition(b"\r\n\r\n")
    header = re.sub(rb"(=\?utf-8\?[QB]\?[^? ]*\?=)\r\n (?==\?utf-8\?)", rb"\1", header)
    read = email.message_from_bytes(header + b"\r\n\r\n" + body, policy=email.policy.default)
    defects = [str(defect) for value in read.values() for defect in value.defects] + read.defects
    same("defects", [defect for defect in defects if "missing trailing whitespace" not in defect], [])
    return read


def check_row(row, answer):
    status, sender, recipients, message_id, message = answer
    same("status", status, b"ok")
    check_lines(message)
    read = read_back(message)
    same("subject", read["subject"], row["subject"])
    from_field = [(None, [row["from"]])]
    for groups, name in ((from_field, "from"), (row["to"][0], "to"), (row["cc"][0], "cc"), (row["reply_to"][0], "reply-to")):
        same(name, as_found(read[name]), as_expected(groups))
        check_spaces(message, groups)
    assert read["bcc"] is None
    same("recipients", recipients.decode().split(), [a for r in merged(row) for a in r.split()])
    envelope_from = row["columns"][1]
    same("sender", sender.decode(), "" if envelope_from == "<>" else envelope_from or row["from"][1])
    same("Message-ID", read["message-id"], f"<{message_id.decode()}>")
    assert message_id.decode().endswith("@" + row["from"][1].rpartition("@")[2])
    same("Date", read["date"].datetime.timestamp(), 1764039900.0)
    same("text", lines_of(read.get_content()), lines_of(row["text"]))


def complete_columns(message, line_end):
    """The message again, with a Bcc field at its head, as an application would hand it over."""
    bcc = b"Bcc: hidden@x.example,\r\n folded@x.example\r\n"
    return [NULL, "<>", NULL, NULL, NULL, NULL, NULL, NULL, (bcc + message).replace(b"\r\n", line_end)]


def check_complete(row, first, answer):
    status, sender, recipients, message_id, message = answer
    same("complete: status", status, b"ok")
    same("complete: message", message, first[4])
    same("complete: Message-ID", message_id, first[3])
    same("complete: sender", sender, b"")
    shown = dict(row, bcc=([(None, [("", "hidden@x.example"), ("", "folded@x.example")])], ""))
    same("complete: recipients", recipients.decode().split(), [a for r in merged(shown) for a in r.split()])


def main(rows, seed):
    program = os.path.join(os.environ.get("OUTBOXD_BUILD", "."), "tests/oracle/compose_rows")
    maker = Maker(seed)
    made = [maker.row() for _ in range(rows)]
    answers = compose(program, [row["columns"] for row in made])
    again = compose(program, [complete_columns(answer[4], maker.dice.choice([b"\n", b"\r\n"])) for answer in answers[::2]])
    for i, (row, answer) in enumerate(zip(made, answers)):
        try:
            check_row(row, answer)
            if i % 2 == 0:
                check_complete(row, answer, again[i // 2])
        except AssertionError as error:
            sys.exit(f"row {i + 1} of seed {seed}: {error}\ncolumns: {row['columns']!r}\n{answer[4].decode()}")
    print(f"{rows} rows of seed {seed}, {len(again)} complete messages: read back as they went in")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000, int(sys.argv[2]) if len(sys.argv) > 2 else 20)
