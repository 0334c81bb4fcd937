#!/usr/bin/python3
"""send_test.py: what outboxctl send makes of files: HTML, attachments, pictures.

As outboxctl_test.py, whose scratch databases these tests use.
"""
import hashlib
import os
import resource
import socket
import sqlite3
import struct
import subprocess
import sys
import threading
import time
import zlib

sys.dont_write_bytecode = True      # nothing is left in the source's folder
import outboxctl_test
from outboxctl_test import BUILD, LIMIT_S

TO = ["--tenant", "acme", "--to", "bob@example.net"]
SLICE = bytes(range(256)) * 256


def wav(seconds=1):
    """Silence, as a telephone records it: 8000 samples a second of G.711."""
    samples = b"\xff" * (8000 * seconds)
    header = struct.pack("<4sI4s4sIHHIIHHH", b"RIFF", 38 + len(samples), b"WAVE", b"fmt ", 18, 7, 1, 8000, 8000, 1, 8, 0)
    return header + struct.pack("<4sI", b"data", len(samples)) + samples


def png():
    """One red point."""
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(b"\0\xff\0\0")) + chunk(b"IEND", b""))


PDF = (b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n2 0 obj\n<< /Type /Pages /Kids [] /Count 0 >>\n"
       b"endobj\ntrailer\n<< /Root 1 0 R >>\n%%EOF\n")


def rows(scratch, message):
    return scratch.sql("SELECT filename, content_type, content_id, content, typeof(content) FROM outbox_attachment "
                       "WHERE outbox_id = ? ORDER BY position", message)


def nothing_is_there(of):
    assert of.sql("SELECT (SELECT count(*) FROM outbox), (SELECT count(*) FROM outbox_attachment)") == [(0, 0)]


def is_open(process, path):
    folder = f"/proc/{process}/fd"
    for fd in os.listdir(folder):
        try:
            if os.readlink(os.path.join(folder, fd)) == path:
                return True
        except FileNotFoundError:
            pass    # closed meanwhile
    return False


def wait_until_open(process, path):
    until = time.monotonic() + LIMIT_S
    while not is_open(process, os.path.realpath(path)):
        assert time.monotonic() < until, f"{path} is not opened"
        time.sleep(0.01)


def sanitized():
    with open(os.path.join(BUILD, "config.h")) as file:
        return "#define WITH_SANITIZER" in file.read()


def files_become_attachments_with_their_names_and_types(scratch):
    scratch.ready()
    files = [("message 1.wav", wav(), "audio/x-wav"), ("Fax für Zoë.pdf", PDF, "application/pdf"),
             ("a=b.txt", "Grüße\n".encode(), "text/plain; charset=utf-8"),
             ("plain", b"only ascii\n", "text/plain; charset=utf-8"),
             ("latin", b"caf\xe9 cr\xe8me\n", "text/plain"), ("page.html", b"<!DOCTYPE html><html><body>x</body></html>\n",
                                                             "text/html; charset=utf-8"),
             ("wide.txt", b"\xff\xfe" + "hello\n".encode("utf-16-le"), "text/plain; charset=utf-16"),
             ("mail.eml", b"From: a@b.example\nTo: c@d.example\nSubject: x\nDate: Sat, 28 Nov 2026 12:00:00 +0000\n\nx\n",
              "message/rfc822"),
             ("empty", b"", "application/octet-stream"), ("noise.bin", hashlib.sha256(b"1").digest(),
                                                         "application/octet-stream")]
    words = [word for name, content, _ in files for word in ("--attach", scratch.file(name, content))]
    message = scratch.send("--text", "/dev/null", *words)
    assert rows(scratch, message) == [(name, kind, None, content, "blob") for name, content, kind in files]
    assert scratch.sql("SELECT attachments, state FROM outbox_all") == [(len(files), "queued")]


def html_text_and_pictures_go_together(scratch):
    scratch.ready()
    page = "<p>Grüße <img src='cid:logo@acme'></p>\n"
    message = scratch.send("--html", "-", "--text", scratch.file("t", b"text\n"), "--attach", scratch.file("f.pdf", PDF),
                           "--inline", "logo@acme=" + scratch.file("x=y.png", png()), stdin=page.encode())
    assert scratch.sql("SELECT body_text, body_html, typeof(body_html) FROM outbox") == [("text\n", page, "text")]
    assert rows(scratch, message) == [("f.pdf", "application/pdf", None, PDF, "blob"),
                                      ("x=y.png", "image/png", "logo@acme", png(), "blob")]


def show_lists_the_attachments(scratch):
    scratch.ready()
    message = scratch.send("--attach", scratch.file("fax.pdf", PDF), "--attach", scratch.file("empty"))
    text = scratch.run("show", message)
    assert f"1  fax.pdf  application/pdf           -            {len(PDF)}\n" in text, text
    shown, = scratch.json("show", message)
    assert shown["attachments"] == 2
    assert shown["attached"] == [
        {"position": 1, "filename": "fax.pdf", "content_type": "application/pdf", "content_id": None, "size": len(PDF)},
        {"position": 2, "filename": "empty", "content_type": "application/octet-stream", "content_id": None, "size": 0}]
    # text counts in octets, and what is in there does not matter
    scratch.sql("INSERT INTO outbox (tenant, to_addresses, attachments) VALUES ('acme', 'b@example.net', 1)")
    scratch.sql("INSERT INTO outbox_attachment (outbox_id, filename, content) VALUES (2, ?, 'für')", "\x1b[2J\u202e.txt")
    assert scratch.json("show", 2)[0]["attached"][0]["size"] == 4
    assert "\x1b" not in scratch.run("show", 2)


def the_order_is_that_of_the_command_line(scratch):
    scratch.ready()
    names = [f"{n}.txt" for n in (3, 1, 2)]
    words = [word for name in names for word in ("--attach", scratch.file(name, name.encode()))]
    words[2] = "--inline"
    words[3] = "x=" + words[3]
    scratch.send("--html", scratch.file("h", b"<p>"), *words)
    assert scratch.sql("SELECT filename, content_id FROM outbox_attachment ORDER BY position") == [
        ("3.txt", None), ("1.txt", "x"), ("2.txt", None)]


def what_is_no_file_is_read_to_its_end(scratch):
    scratch.ready()
    path = os.path.join(scratch.folder, "pipe.wav")
    os.mkfifo(path)

    def fill():
        with open(path, "wb") as pipe:
            pipe.write(wav(20))
    writer = threading.Thread(target=fill)
    writer.start()
    message = scratch.send("--attach", path, "--attach", "-", stdin=PDF)
    writer.join(LIMIT_S)
    assert rows(scratch, message) == [("pipe.wav", "audio/x-wav", None, wav(20), "blob"),
                                      (None, "application/pdf", None, PDF, "blob")]


def sixty_megabytes_pass_in_little_memory(scratch):
    scratch.ready()
    path, digest = os.path.join(scratch.folder, "large"), hashlib.sha256()
    with open(path, "wb") as file:
        for number in range(60_000_000 // len(SLICE) + 1):
            part = SLICE[number % 251:] + SLICE[:number % 251]
            file.write(part)
            digest.update(part)

    def limit():
        if not sanitized():  # a sanitizer's own memory is larger
            resource.setrlimit(resource.RLIMIT_DATA, (40_000_000, 40_000_000))
    scratch.send("--attach", path, preexec_fn=limit)
    database = sqlite3.connect(scratch.path)
    found = hashlib.sha256()
    with database.blobopen("outbox_attachment", "content", 1, readonly=True) as stored:
        while part := stored.read(1 << 20):
            found.update(part)
    database.close()
    assert found.digest() == digest.digest()


def what_cannot_be_attached_is_refused_and_nothing_is_inserted(scratch):
    scratch.ready()
    good = scratch.file("good.pdf", PDF)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.path.join(scratch.folder, "socket"))
    for name, status, words in (
            ("absent", 66, "No such file or directory"), (".", 66, "Is a directory"), ("", 66, "Is a directory"),
            ("good.pdf/x", 66, "Not a directory"), ("socket", 71, "No such device or address"),
            ("x" * 256, 65, "longer than 255 characters"), ("\u00fc" * 200, 71, "File name too long")):
        path = os.path.join(scratch.folder, name)
        for option in ("--attach", path), ("--inline", "logo=" + path):
            scratch.run("send", *TO, "--html", good, "--attach", good, *option, status=status)
            assert words in scratch.errors and path in scratch.errors, scratch.errors
    listener.close()
    if os.getuid() != 0:
        os.chmod(scratch.file("mine"), 0)
        scratch.run("send", *TO, "--attach", os.path.join(scratch.folder, "mine"), status=77)
    nothing_is_there(scratch)


def a_name_that_could_not_be_sent_is_refused(scratch):
    scratch.ready()
    for name, words in (("caf\udce9.txt", "not UTF-8"), ("two\nlines", "control character U+000A"),
                        ("bell\x07", "control character U+0007"), ("\u202egpj.exe", "control character U+202E")):
        scratch.run("send", *TO, "--attach", scratch.file(name, b"x"), status=65)
        assert words in scratch.errors, scratch.errors
    picture = scratch.file("p.png", png())
    page = scratch.file("h.html", b"<p>")
    for value in ("a b=" + picture, "<a@b>=" + picture, "\u00fc=" + picture, "a\nb=" + picture):
        scratch.run("send", *TO, "--html", page, "--inline", value, status=65)
        assert "--inline, what is before =, character" in scratch.errors, scratch.errors
    scratch.run("send", *TO, "--html", page, "--inline", "a=" + picture, "--inline", "a=" + page, status=65)
    assert "--inline a is given twice" in scratch.errors, scratch.errors
    for value in ("=" + picture, picture, "a="):
        scratch.run("send", *TO, "--html", page, "--inline", value, status=64)
        assert "CID=FILE" in scratch.errors, scratch.errors
    nothing_is_there(scratch)


def a_rule_that_refuses_an_attachment_names_the_file(scratch):
    scratch.ready()
    scratch.sql("CREATE TRIGGER no_pdf BEFORE INSERT ON outbox_attachment WHEN NEW.content_type = 'application/pdf' "
                "BEGIN SELECT RAISE(ABORT, 'no PDF here'); END")
    path = scratch.file("fax.pdf", PDF)
    scratch.run("send", *TO, "--attach", scratch.file("x", b"x"), "--attach", path, status=65)
    assert f"{path}: no PDF here" in scratch.errors, scratch.errors
    nothing_is_there(scratch)


def a_file_that_changes_while_it_is_read_is_refused(scratch):
    """The lock is held, so that outboxctl has opened the file and waits: then the file grows, shrinks or is written."""
    scratch.ready()

    def grow(path):
        with open(path, "ab") as file:
            file.write(b"more")

    def shrink(path):
        os.truncate(path, 100)

    def rewrite(path):
        with open(path, "r+b") as file:
            file.write(b"more")
    for number, change in enumerate((grow, shrink, rewrite)):
        path = scratch.file(f"file{number}", wav())
        holder = sqlite3.connect(scratch.path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        process = subprocess.Popen([os.path.join(BUILD, "outboxctl"), "--database", scratch.path, "send", *TO,
                                    "--attach", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            wait_until_open(process.pid, scratch.path + "-shm")
            change(path)
        finally:
            holder.execute("ROLLBACK")
            holder.close()
        out, errors = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 65 and out == b"", (process.returncode, out, errors)
        assert f"{path}: it was changed while it was read".encode() in errors, errors
    nothing_is_there(scratch)


def a_thousand_files_are_taken_and_one_more_is_refused(scratch):
    scratch.ready()
    path = scratch.file("x.txt", b"x\n")
    words = ["--attach", path] * 1000
    scratch.send(*words)
    assert scratch.sql("SELECT count(*), min(position), max(position), state FROM outbox_attachment "
                       "JOIN outbox_status USING (outbox_id)") == [(1000, 1, 1000, "queued")]
    scratch.run("send", *TO, *words, "--attach", path, status=65)
    assert "more than 1000 attachments" in scratch.errors


def a_draft_with_attachments_waits_until_it_is_queued(scratch):
    scratch.ready()
    message = scratch.send("--draft", "--attach", scratch.file("x.txt", b"x\n"))
    assert scratch.sql("SELECT state FROM outbox_status") == [("draft",)]
    scratch.run("retry", message)
    assert scratch.sql("SELECT state FROM outbox_status") == [("queued",)]


if __name__ == "__main__":
    sys.exit(outboxctl_test.main(globals()))
