"""rows.py - rows of the outbox as compose_rows takes them, and its answers; messages as gmime_read takes them."""
import dataclasses
import json
import os
import subprocess

COLUMNS = ("from_address", "envelope_from", "to_addresses", "cc_addresses", "bcc_addresses", "reply_to", "subject",
           "headers", "body_text", "body_html", "message")
TIMEOUT = 600


@dataclasses.dataclass
class Attachment:
    content: bytes
    filename: str = None
    content_type: str = None
    content_id: str = None


@dataclasses.dataclass
class Row:
    id: int
    columns: dict
    attachments: list = dataclasses.field(default_factory=list)
    queued_ms: int = 1764039900000
    eight_bit: bool = False  # the server has 8BITMIME
    expected: object = None  # what a reader must see: maker.py
    marks: list = dataclasses.field(default_factory=list)  # boundaries that stand in its texts

    def values(self):
        assert set(self.columns) <= set(COLUMNS), self.columns.keys()
        yield f"{self.id} {self.queued_ms} {int(self.eight_bit)}"
        yield from (self.columns.get(name) for name in COLUMNS)
        yield str(len(self.attachments))
        for one in self.attachments:
            yield from (one.filename, one.content_type, one.content_id, one.content)


@dataclasses.dataclass
class Answer:
    status: str
    sender: str
    recipients: str
    message_id: str
    flags: set
    message: bytes


def program(name):
    return os.path.join(os.environ.get("OUTBOXD_BUILD", "."), "tests/oracle", name)


def netstring(value):
    if value is None:
        return b"-,"
    data = value if isinstance(value, bytes) else value.encode()
    return b"%d:%s," % (len(data), data)


def netstrings(data):
    at = 0
    while at < len(data):
        colon = data.index(b":", at)
        end = colon + 1 + int(data[at:colon])
        yield data[colon + 1:end]
        at = end + 1


def compose(rows):
    """An Answer for each row."""
    data = b"".join(netstring(value) for row in rows for value in row.values())
    done = subprocess.run([program("compose_rows")], input=data, stdout=subprocess.PIPE, check=True, timeout=TIMEOUT)
    values = list(netstrings(done.stdout))
    assert len(values) == 6 * len(rows), "compose_rows answered another number of rows"
    return [Answer(*(v.decode() for v in values[i:i + 4]), set(values[i + 4].decode().split()), values[i + 5])
            for i in range(0, len(values), 6)]


def have_gmime():
    return os.access(program("gmime_read"), os.X_OK)


def gmime(messages):
    """What gmime_read tells of each message."""
    data = b"".join(map(netstring, messages))
    done = subprocess.run([program("gmime_read")], input=data, stdout=subprocess.PIPE, check=True, timeout=TIMEOUT)
    lines = done.stdout.splitlines()
    assert len(lines) == len(messages), "gmime_read answered another number of messages"
    return [json.loads(line) for line in lines]
