"""Attachments on their way: whole, in little memory, and nobody waits for them."""

import binascii
import hashlib
import os
import random
import re

import case as cases
import server as scripted

MEBI = 1 << 20
PEAK_KIB = 40_000_000 // 1024       # of the service, whatever is attached


class Reader(scripted.Session):
    """Takes a message's text as it comes, in constant memory: what is in its
    parts is only hashed. Stops where the server has a gate."""

    def _text(self):
        mail = self.mail
        mail.size, mail.parts = 0, []
        boundaries, header, decode = set(), [], False
        for line in self.stream:
            if not line.endswith(b"\n"):
                break       # it was cut off
            if line == b".\r\n":
                self.say(self.server.ask("dot", self, mail))
                self.mail = None
                return
            line = line[1:] if line.startswith(b".") else line
            mail.size += len(line)
            self.server.pause(mail.size)
            if header is not None:
                if line == b"\r\n":
                    decode = self._begin_part(mail, header, boundaries)
                    header = None
                else:
                    header.append(line)
            elif line.startswith(b"--") and any(
                    line.startswith(one) for one in boundaries):
                header = []
            elif decode:
                mail.parts[-1][1].update(binascii.a2b_base64(line))
        self.over = True

    @staticmethod
    def _begin_part(mail, header, boundaries):
        text = b"".join(header).decode().replace("\r\n", "")
        found = re.search(r'boundary="?([^";]+)', text)
        if found:
            boundaries.add(b"--" + found.group(1).encode())
            return False
        found = re.search(r'filename="?([^";]+)', text)
        mail.parts.append((found and found.group(1), hashlib.sha256()))
        return "base64" in text


class Server(scripted.Server):
    """Stands still after so many octets of a text, until it is let on."""

    session = Reader

    def __init__(self, stops=(), **options):
        self.stops = {octets: scripted.Gate() for octets in stops}
        super().__init__(**options)
        self.gates += self.stops.values()
        self.left = sorted(self.stops)

    def pause(self, octets):
        if self.left and octets >= self.left[0]:
            self.stops[self.left.pop(0)].wait()


def attach(box, tenant, sizes, **columns):
    """A message with attachments of noise: (id, their names and hashes)."""
    noise, hashes = random.Random(len(sizes)), []
    box.begin()
    number = box.insert(tenant, "bob@example.net", attachments=len(sizes),
                        **columns)
    for position, size in enumerate(sizes):
        name, digest = "voicemail-%d.wav" % position, hashlib.sha256()
        row = box.execute(
            "INSERT INTO outbox_attachment (outbox_id, position, filename, "
            "content_type, content) VALUES (?, ?, ?, 'audio/x-wav', "
            "zeroblob(?))", number, position, name, size).lastrowid
        with box.db.blobopen("outbox_attachment", "content", row) as blob:
            while size > 0:
                some = noise.randbytes(min(size, MEBI))
                blob.write(some)
                digest.update(some)
                size -= len(some)
        hashes.append((name, digest.hexdigest()))
    box.commit()
    return number, hashes


def arrived(mail):
    """Names and hashes of the parts that have a name."""
    return [(name, digest.hexdigest()) for name, digest in mail.parts if name]


def told_size(server):
    """What MAIL said of the message's size."""
    found = [re.search(r" SIZE=(\d+)", line) for line in
             server.commands("MAIL")]
    return [int(one.group(1)) for one in found if one]


def peak_kib(daemon):
    """The service's largest resident size so far, its threads included."""
    with open("/proc/%d/status" % daemon.service_pid()) as stream:
        return int(re.search(r"VmHWM:\s+(\d+) kB", stream.read()).group(1))


def nobody_pins_the_wal(box):
    """A checkpoint that waits for readers comes to its end, and the log of
    what was written before is gone. Beside a checkpoint of outboxd's it does
    not begin: then once more."""
    box.checkpoint()


def test_sixty_megabytes_go_slowly_in_little_memory(case):
    # A sanitizer has its own idea of memory, and takes its time: a sixth of it there.
    part = 1 if cases.has_sanitizer() else 6
    slow = case.server(Server, stops=(MEBI, 8 * part * MEBI),
                       extensions=("PIPELINING", "8BITMIME", "SIZE 200000000"))
    quick = case.server()
    case.tenant("acme", slow)
    case.tenant("birch", quick)
    box = case.outbox()
    number, hashes = attach(box, "acme", (part * 3_333_333,) * 3)
    nobody_pins_the_wal(box)
    daemon = case.start()
    for gate in slow.stops.values():
        gate.reached(60)
        nobody_pins_the_wal(box)
        box.begin()
        others = [box.insert("birch", "eve@example.net", body_text="x" * 10000)
                  for _ in range(100)]
        box.commit()
        for other in others:
            box.wait_state(other, "sent")
        nobody_pins_the_wal(box)
        wal = os.path.getsize(box.path + "-wal")
        assert wal < MEBI, "the WAL has %d octets" % wal
        gate.release()
    box.wait_state(number, "sent", seconds=60)
    mail, = slow.mails
    assert arrived(mail) == hashes
    assert told_size(slow) == [mail.size]
    peak = peak_kib(daemon)
    print("peak of the service: %d KiB" % peak)
    assert cases.has_sanitizer() or peak < PEAK_KIB, "%d KiB" % peak


def test_larger_than_the_server_takes_is_not_begun(case):
    server = case.server(Server, extensions=("PIPELINING", "SIZE 1000000"))
    case.tenant("acme", server)
    box = case.outbox()
    large, _ = attach(box, "acme", (400_000, 400_000))
    small, hashes = attach(box, "acme", (300_000, 300_000))
    case.start()
    box.wait_state(large, "failed")
    box.wait_state(small, "sent")
    assert "1000000" in box.status(large)["result"], box.status(large)["result"]
    assert len(server.commands("MAIL")) == 1
    mail, = server.mails
    assert arrived(mail) == hashes and told_size(server) == [mail.size]


def test_a_repeat_is_octet_by_octet_the_same(case):
    server = case.server(Server)
    seen = []

    def answer(session, mail):
        seen.append((arrived(mail), mail.size))
        return "451 4.3.0 once more" if len(seen) == 1 else None
    server.on("dot", answer)
    case.tenant("acme", server)
    box = case.outbox()
    number, hashes = attach(box, "acme", (300_000, 0, 1))
    case.start()
    box.wait_state(number, "sent")
    assert seen[0] == seen[1] and seen[0][0] == hashes


def test_a_thousand_attachments_arrive_in_their_order(case):
    server = case.server(Server)
    case.tenant("acme", server)
    number, hashes = attach(case.outbox(), "acme", [n for n in range(1000)])
    case.start()
    case.outbox().wait_state(number, "sent")
    assert arrived(server.mails[0]) == hashes


def test_a_message_with_too_many_fails_with_words(case):
    server = case.server(Server)
    case.tenant("acme", server)
    box = case.outbox()
    box.begin()
    number = box.insert("acme", "bob@example.net", draft=1, reference="R 7")
    for _ in range(1001):
        box.execute("INSERT INTO outbox_attachment (outbox_id, content) "
                    "VALUES (?, x'00')", number)
    box.execute("UPDATE outbox_status SET state = 'queued' WHERE outbox_id = ?",
                number)
    box.commit()
    daemon = case.start()
    box.wait_state(number, "failed")
    event, = daemon.wait_event("message.invalid", id=number)
    assert event["error"] == "attachments: there are more than 1000"
    assert event["reference"] == "R 7"
    assert not server.commands("MAIL")


def test_a_spool_that_cannot_be_used_makes_large_mail_wait(case):
    """In words; small mail of the same tenant, and others', goes."""
    server = case.server(Server)
    case.tenant("acme", server)
    case.tenant("birch", server)
    box = case.outbox()
    large, hashes = attach(box, "acme", (1_000_000, 10), priority=9)
    spool = case.path("spool")
    with open(spool, "w"):
        pass                # a file is no folder
    daemon = case.daemon(settings=["spool_dir=" + spool])
    daemon.allowed |= {"storage.failed", "storage.recovered"}
    daemon.start()
    event, = daemon.wait_event("storage.failed", tenant="acme", id=large)
    assert event["error"] == "spool_dir %s: Not a directory" % spool
    for tenant in ("acme", "acme", "birch"):
        box.wait_state(box.insert(tenant, "eve@example.net"), "sent")
    box.wait("the tenant's status", lambda: "spool_dir" in (
        box.tenant_status("acme")["last_error"] or ""))
    assert box.state(large) == "queued" and box.status(large)["attempts"] == 0
    os.unlink(spool)
    os.mkdir(spool)
    box.wait_state(large, "sent")
    daemon.wait_event("storage.recovered", tenant="acme", id=large)
    daemon.exactly(1, "storage.failed", tenant="acme")
    assert os.listdir(spool) == []
    assert arrived(server.mails[-1]) == hashes
    box.wait("no error left", lambda: box.tenant_status("acme")["last_error"]
             is None)


def test_it_expires_though_the_spool_is_gone(case):
    server = case.server(Server)
    case.tenant("acme", server)
    box = case.outbox()
    large, _ = attach(box, "acme", (1_000_000,))
    case.as_daemon("UPDATE outbox_status SET queued_at_ms = queued_at_ms - "
                   "1000000000 WHERE outbox_id = ?", large)
    daemon = case.start(settings=["spool_dir=" + case.path("nowhere")])
    daemon.allowed |= {"storage.failed"}
    box.wait_state(large, "failed")
    assert "expired" in box.status(large)["result"]
    assert not server.commands("MAIL")
