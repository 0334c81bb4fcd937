"""maker.py - makes up rows of the outbox and what every reader must see in what is composed of them.

All is a function of the seed. expected is known before anything is composed:
the readers are compared with it, not with one another.
"""
import random
import re

from rows import Attachment, Row

ATEXT = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-/=?^_`{|}~"
SPECIALS = "()<>[]:;@\\,.\""
LETTERS = ("äöüßéèñçøåłž" + "абвгдежз" + "αβγδε" + "日本語漢字仮名" + "한국어" + "עברית" + "العربية" + "हिन्दी"
           + "😀🎉👩‍💻🏳️‍🌈" + "\u0301\u0323\u00a0\u200b\u200f\u202e\U0010ffff")
WORDS = ["Invoice", "Rechnung", "für", "März", "Größe", "voicemail", "from", "0043 1 234", "re:", "[2026]", "ﷺ",
         "請求書", "Счёт", "naïve", "😀", "=?utf-8?Q?x?=", "a=?b", "x" * 61, "ü" * 40, "日" * 30, "=20", "_", "?="]
LINES = [".", "..", ".x", "From me", ">From you", "", "--", "-- ", "--=_", "--x--", "=", "=3D", "=\t", "a=", "=0", "RSET",
         "Content-Type: text/html", "Subject: no", "\t", " ", "  ", "\ufeff", "\x1b[0m", "\x0c", "\x7f", "x" * 998,
         "y" * 997 + " ", "z" * 75 + "=", "q" * 76 + " ", "r" * 77 + "\t", "ü" * 499, "日" * 400, "e\u0301" * 200]
TYPES = ["application/pdf", "audio/wav", "audio/x-wav", "image/png", "image/tiff", "image/svg+xml", "text/csv",
         "text/plain", "text/html", "text/x-vcard", "application/octet-stream", "application/zip",
         "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "application/x.a-b_c+d",
         "Application/PDF", "message/rfc822"]
PARAMETERS = {'text/plain; charset="iso-8859-1"; format=flowed': {"charset": "iso-8859-1", "format": "flowed"},
              "text/calendar;method=REQUEST ; charset=utf-8": {"method": "REQUEST", "charset": "utf-8"},
              'application/x-y; a="b; c=(\\"d\\")"; e=f': {"a": 'b; c=("d")', "e": "f"}}
NAMES = ["voice mail.wav", "fax.tif", "Überweisung März.pdf", "請求書.pdf", "😀👩‍💻.png", 'a "quoted" name.txt', "back\\slash",
         "it's 100% =?utf-8?Q?x?= *'new'.txt", "semi;colon=x.txt", "utf-8''%41.txt", "filename*=x", ".hidden", "dot.", "x" * 255,
         "ü" * 255, "日" * 255, "😀" * 255, "noending", "e\u0301.txt", "שלום.doc", "a" * 70 + ".txt", "b" * 78, "%", "(c).txt",
         "comma,name.csv", "<angle>.txt", "[x]@y.txt", "two  spaces", " led", "trailed ", "a" * 60 + " " + "ö" * 60]
TEXT_FIELDS = ["X-Mark", "List-Id", "Comments", "Organization", "User-Agent", "X-" + "n" * 60, "X-" + "m" * 74, "x-lower",
               "X-!#$%&'*+.^_`|~"]
PLAIN_FIELDS = ["Auto-Submitted", "Importance", "List-Unsubscribe", "List-Unsubscribe-Post", "Precedence", "Sensitivity"]
ID_FIELDS = ["References", "In-Reply-To"]


def lines_of(text):
    """A text as a reader has it: LF, and a last line end."""
    text = (text or "").replace("\r\n", "\n")
    return text if text.endswith("\n") or not text else text + "\n"


class Maker:
    def __init__(self, seed):
        self.dice = random.Random(seed)

    def some(self, alphabet, low, high):
        return "".join(self.dice.choices(alphabet, k=self.dice.randint(low, high)))

    def phrase_of_words(self, low, high):
        d = self.dice
        return d.choice([" ", "  ", " ", " "]).join(d.choices(WORDS, k=d.randint(low, high)))

    def subject(self):
        d = self.dice
        kind = d.randrange(13)
        if kind == 0:
            return None
        if kind == 1:
            return self.some(ATEXT + SPECIALS + "    \t", 1, 300)
        if kind == 2:
            return self.some(LETTERS + "   ", 1, 200)
        if kind == 3:
            return self.some(ATEXT + LETTERS + "  ", 1, 1500)
        if kind == 4:
            return d.choice([" ", "\t", "   ", " \t ", " x", "x ", "  ü  ", "\u00a0", "e\u0301" * 100])
        return self.phrase_of_words(1, 25)

    def name(self):
        """A display name, and how a column writes it."""
        d = self.dice
        kind = d.randrange(6)
        if kind == 0:
            words = [self.some(ATEXT.replace("=", "").replace("?", ""), 1, 12) for _ in range(d.randint(1, 4))]
            return " ".join(words), d.choice([" ", "  ", " (note) ", " (a (nested) \\) note)"]).join(words)
        if kind == 1:
            name = self.some(ATEXT + SPECIALS + " ", 1, 40)
        elif kind == 2:
            name = self.some(LETTERS, 1, 30)
        elif kind == 3:
            name = self.some(ATEXT + LETTERS + SPECIALS + " ", 1, 200)
        elif kind == 4:
            name = self.some(ATEXT + " ", 61, 300)
        else:
            name = self.phrase_of_words(1, 6)
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
        if d.randrange(120) == 0:
            local = written = self.some("äöüß日本語кто😀", 1, 8)
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
            return ("", address), written + d.choice(["", "", " (a comment)"])
        name, phrase = self.name()
        return (name, address), f"{phrase} <{written}>"

    def addresses(self, most):
        """[(group or None, [(name, address)])], and the column; None for no column."""
        d = self.dice
        if d.randrange(4) == 0:
            return [], None
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
        kind = d.randrange(9)
        if kind == 0:
            return d.choice([" ", "\n", "\r\n", "\n\n\n", " \n", "\t", ".", ".\n", "x", "ü", "\ufeff"])
        if kind == 1:
            return self.some(ATEXT + " ", 900, 3000)
        end = d.choice(["\n", "\r\n"])
        alphabet = {2: ATEXT + LETTERS + " \t", 3: LETTERS, 4: ATEXT + "= \t.", 5: ATEXT + "ü   ="}.get(kind, ATEXT + " ")
        lines = [self.some(alphabet, 0, d.choice([5, 80, 200])) + d.choice(["", "", " ", "\t", " \t "])
                 for _ in range(d.randint(0, 60))]
        lines += d.choices(LINES, k=d.choice([0, 0, 3, 10]))
        d.shuffle(lines)
        return end.join(lines) + d.choice(["", end]) or "x"

    def html(self, ids):
        pictures = "".join(f'<img src="cid:{one}">\n' for one in ids)
        return f"<!DOCTYPE html>\n<html><body>\n<pre>{self.text()}</pre>\n{pictures}</body></html>{self.dice.choice(['', chr(10)])}"

    def content(self):
        d = self.dice
        kind = d.randrange(8)
        if kind == 0:
            return b""
        if kind == 1:
            return self.text().encode()
        if kind == 2:
            return d.choice([b"\n", b"\r", b"\r\n", b"\0", b".\r\n", b"\r\n.\r\n", b"\n\r", b"a\rb\n", b"\xff\xfe", b"--\r\n"])
        if kind == 3:
            return self.text().encode("utf-16")
        if kind == 4:
            return d.randbytes(d.choice([56, 57, 58, 4095, 4096, 4097, 20000, 70000]))
        return d.randbytes(d.randint(1, 3000))

    def message(self):
        """What an application attaches as message/rfc822: most are messages, some are not."""
        d = self.dice
        if d.randrange(6) == 0:
            return b"\0" + self.content()
        name = d.choice(["Joe", "Joe", "Joe", "J\u00f6"])
        body = d.choice(["short\n", "short", "From me\n.\n", "J\u00f6rg\n", "x" * 1200, "a\rb"])
        return f"From: {name} <j@x.example>\nSubject: inner\n\n{body}".replace("\n", d.choice(["\n", "\r\n"])).encode()

    def filename(self):
        d = self.dice
        kind = d.randrange(4)
        if kind == 0:
            return None
        if kind == 1:
            return d.choice(NAMES)
        alphabet = ATEXT.replace("/", "") + SPECIALS.replace("\\", "") + " "
        return "".join(d.choices(alphabet + (LETTERS.replace("\u202e", "") if kind == 2 else ""), k=d.randint(1, 100))).strip(" .") or "x"

    def content_id(self):
        return self.some(ATEXT.replace("'", ""), 1, 30) + self.dice.choice(["", "@x.example", "@" + "y" * 80 + ".example"])

    def attachments(self):
        d = self.dice
        made = []
        for _ in range(d.choice([0, 0, 0, 1, 1, 2, 3, 5])):
            identified = self.content_id() if d.randrange(3) == 0 else None
            kind = d.choice(TYPES + list(PARAMETERS) + [None])
            content = self.content() if kind != "message/rfc822" else self.message()
            made.append(Attachment(content, self.filename(), kind, identified))
        return made

    def field(self, name):
        """The value of a field, as the column has it and as a reader shows it."""
        d = self.dice
        if name in PLAIN_FIELDS:
            value = self.some(ATEXT + SPECIALS + "  ", 1, 200)
        elif name in ID_FIELDS:
            value = " ".join(f"<{self.some(ATEXT, 1, 60)}@{self.some('abc.', 1, 20)}example>" for _ in range(d.randint(1, 12)))
        else:
            value = d.choice([self.phrase_of_words(1, 12), self.some(ATEXT + SPECIALS + " ", 1, 200), self.some(LETTERS + " ", 1, 60),
                              self.some(ATEXT, 500, 900)])
        return re.sub(r"=\?", "==", value).strip(" ") if name in PLAIN_FIELDS else value.strip(" ") or "x"

    def headers(self, expected):
        """The column; [(name, value)] in expected, where Date and Message-ID of its own are noted too."""
        d = self.dice
        if d.randrange(3):
            return None
        found = [(name, self.field(name) or "x") for name in d.sample(TEXT_FIELDS + PLAIN_FIELDS + ID_FIELDS, d.randint(1, 4))]
        expected["headers"] = list(found)
        if d.randrange(8) == 0:
            expected["date"] = 1764039900
            found.insert(0, ("Date", d.choice(["Tue, 25 Nov 2025 04:05:00 +0100", "25 Nov 2025 03:05 +0000", "24 Nov 2025 17:05:00 -1000"])))
        if d.randrange(8) == 0:
            expected["message-id"] = f"<{self.some(ATEXT, 1, 60)}@x.example>"
            found.append(("Message-ID", expected["message-id"]))
        end = d.choice(["\n", "\r\n"])
        return end.join(f"{name}:{d.choice([' ', '', '  '])}{value}" for name, value in found) + d.choice(["", end])

    def bodies(self, attachments):
        kind = self.dice.randrange(8)
        ids = [one.content_id for one in attachments if one.content_id]
        return (self.text() if kind not in (0, 1) else None, self.html(ids) if kind in (0, 2, 3, 4) else None)

    def row(self, number):
        d = self.dice
        sender, from_address = self.mailbox()
        expected = {"from": [(None, [sender])], "subject": self.subject(), "headers": []}
        columns = {"from_address": from_address, "envelope_from": d.choice([None, None, "<>", "bounce@x.example"]),
                   "subject": expected["subject"]}
        for field, column, most in (("to", "to_addresses", 8), ("cc", "cc_addresses", 4), ("bcc", "bcc_addresses", 3),
                                    ("reply-to", "reply_to", 2)):
            expected[field], columns[column] = self.addresses(most)
        if not any(members for field in ("to", "cc", "bcc") for _, members in expected[field]):
            box, columns["to_addresses"] = self.mailbox()
            expected["to"] = [(None, [box])]
        columns["headers"] = self.headers(expected)
        attachments = self.attachments()
        columns["body_text"], columns["body_html"] = self.bodies(attachments)
        queued_ms = d.choice([1764039900000, d.randrange(0, 4102444800000), 951827696999])
        return Row(number, columns, attachments, queued_ms, d.randrange(4) == 0, expected)
