#!/usr/bin/python3
"""readers.py [--require] - what people's mail programs show of a mail that we composed.

A mail with umlauts, CJK and emoji in subject, names and text, HTML with an inline picture, and three attachments
is composed and put into an mbox. mutt prints it twice, as text and as HTML through w3m; s-nail prints it and writes
its attachments to files. What they show is compared with what went in. A program that is not installed is told as
skipped, with --require it is a failure. mutt gets a terminal of its own (pty), no configuration, no network.
"""
import os
import pty
import select
import shutil
import subprocess
import sys
import tempfile
import time

import rows

TIMEOUT = 60  # seconds that a program may take, at most
PICTURE = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8cfc0"
                        "00000301010018dd8db00000000049454e44ae426082")  # a PNG of one red pixel
SUBJECT = "Neue Nachricht 新着 😀 für Jörg"
FROM = "Telefonanlage Müller & Söhne <pbx@acme.example>"
TO = "Jörg Weiß <joerg@acme.example>, 山田 太郎 <yamada@x.example>"
TEXT = ["Grüße aus Wien: ä ö ü ß €", "日本語の本文 漢字", "😀 🎉", ".", "From me"]
HTML = '<html><body><p>Grüße <b>日本語</b> 😀</p><p><img src="cid:logo@acme.example" alt="das Logo"></p></body></html>'
PARTS = [rows.Attachment(PICTURE, "Logo ü.png", "image/png", "logo@acme.example"),
         rows.Attachment(b"RIFF\x24\0\0\0WAVEfmt " + bytes(range(256)) * 4, "Sprachnachricht März.wav", "audio/x-wav"),
         rows.Attachment(b"%PDF-1.4\n%\xff\xfe\n" + bytes(1000), "請求書 2026.pdf", "application/pdf"),
         rows.Attachment("Zeile eins\nZeile zwei: äöü\n".encode(), "notes.txt", "text/plain; charset=utf-8")]

PAGER = """#!/bin/sh
for last; do :; done
cp "$last" shown
"""
MUTTRC = """set wait_key=no
set prompt_after=no
set charset=utf-8
set quit=yes
set mailcap_path=./mailcap
set pager=./pager
set tmpdir=.
set folder=.
unset mark_old
push "<display-message><quit>"
"""
MUTTRC_HTML = """auto_view text/html
alternative_order multipart/related text/html text/plain
"""
MAILCAP = "text/html; w3m -dump -I utf-8 -O utf-8 -T text/html %s; copiousoutput; nametemplate=%s.html\n"


class Failed(Exception):
    pass


def composed():
    columns = {"from_address": FROM, "to_addresses": TO, "subject": SUBJECT, "body_text": "\n".join(TEXT) + "\n", "body_html": HTML}
    answer = rows.compose([rows.Row(1, columns, PARTS)])[0]
    if answer.status != "ok":
        raise Failed(answer.status)
    return answer.message


def write_mbox(folder):
    """As a local delivery agent would: LF, a From_ line, and '>' before those that are text."""
    message = composed().replace(b"\r\n", b"\n").replace(b"\nFrom ", b"\n>From ")
    with open(os.path.join(folder, "mbox"), "wb") as mbox:
        mbox.write(b"From pbx@acme.example Tue Nov 25 03:05:00 2025\n" + message + b"\n")


def environment(folder):
    return {"HOME": folder, "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TERM": "vt100"}


def run_on_terminal(folder, command):
    """Runs a program on a terminal of its own until it ends; what it writes there is not looked at."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execvpe(command[0], command, environment(folder))
    deadline = time.monotonic() + TIMEOUT
    try:
        while time.monotonic() < deadline:
            if select.select([terminal], [], [], 1)[0] and not os.read(terminal, 65536):
                break
        else:
            os.kill(pid, 9)
            raise Failed(f"{command[0]} did not end in {TIMEOUT} seconds")
    except OSError:
        pass  # EIO: the program has closed its terminal
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)


def mutt_shows(folder, rc):
    for name, text in (("muttrc", rc), ("pager", PAGER), ("mailcap", MAILCAP)):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)
    os.chmod(os.path.join(folder, "pager"), 0o755)
    run_on_terminal(folder, ["mutt", "-n", "-F", "muttrc", "-R", "-f", "mbox"])
    return open(os.path.join(folder, "shown"), encoding="utf-8").read()


def expect(shown, lines):
    """Each line is there, whole, and in this order."""
    have, at = shown.splitlines(), 0
    for line in lines:
        try:
            at = have.index(line, at) + 1
        except ValueError:
            raise Failed(f"the line {line!r} is not shown, or not there:\n{shown}") from None


def expect_attachments(shown, parts, number):
    for part in parts:
        if f"[-- Attachment #{number}: {part.filename} --]" not in shown:
            raise Failed(f"attachment {number} is not called {part.filename}:\n{shown}")
        number += 1


def mutt_shows_the_text(folder):
    shown = mutt_shows(folder, MUTTRC)
    expect(shown, [f"From: {FROM}", f"To: {TO}", f"Subject: {SUBJECT}", *TEXT, "Zeile eins", "Zeile zwei: äöü"])
    expect_attachments(shown, PARTS[1:], 2)


def mutt_shows_the_html(folder):
    shown = mutt_shows(folder, MUTTRC + MUTTRC_HTML)
    expect(shown, [f"Subject: {SUBJECT}", "Grüße 日本語 😀", "das Logo", "Zeile zwei: äöü"])
    expect_attachments(shown, PARTS[:1], 2)  # within the HTML's multipart/related
    expect_attachments(shown, PARTS[1:], 2)


def s_nail(folder, commands):
    done = subprocess.run(["s-nail", "-:/", "-R", "-S", "ttycharset=utf-8", "-f", "mbox"], input=commands.encode(),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder, env=environment(folder), timeout=TIMEOUT, check=False)
    if done.returncode or done.stderr:
        raise Failed(f"s-nail: {done.returncode} {done.stderr.decode(errors='replace')}")
    return done.stdout.decode()


def s_nail_shows_the_text(folder):
    shown = s_nail(folder, "print 1\n")
    expect(shown, [f"From: {FROM}", f"To: {TO}", f"Subject: {SUBJECT}", *TEXT, "Zeile eins", "Zeile zwei: äöü"])


def s_nail_writes_the_attachments(folder):
    s_nail(folder, "write 1 text\n")
    for part in PARTS:
        with open(os.path.join(folder, part.filename), "rb") as file:
            if file.read() != part.content:
                raise Failed(f"{part.filename} is not what was attached")


CASES = [("mutt w3m", mutt_shows_the_text), ("mutt w3m", mutt_shows_the_html), ("s-nail", s_nail_shows_the_text),
         ("s-nail", s_nail_writes_the_attachments)]


def main(require):
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for programs, case in CASES:
        missing = [name for name in programs.split() if not shutil.which(name)]
        result, why = "passed", ""
        if missing:
            result, why = ("failed" if require else "skipped"), f"not installed: {' '.join(missing)}"
        else:
            with tempfile.TemporaryDirectory() as folder:
                try:
                    write_mbox(folder)
                    case(folder)
                except (Failed, OSError, subprocess.TimeoutExpired) as error:
                    result, why = "failed", str(error)
        counts[result] += 1
        if result != "passed":
            print(f"{'not ok' if result == 'failed' else 'skipped'}: {case.__name__}: {why}")
    print(", ".join(f"{count} {result}" for result, count in counts.items()))
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main("--require" in sys.argv[1:]))
