"""Power loss: what was written but not synced is dropped, kept, or kept in part.

One run is recorded by interpose.c: every write, truncation and sync of the
database, its WAL and the journal, and every line of the log.  The record is
then played up to each sync; the files as they could stand on the disk at that
moment are put together, and looked at:

  the database is whole (integrity_check), and every row is there;
  what the log had told as sent is sent: it tells after the commit only;
  outboxd, started over them as after another boot, brings every row to its
  end, and announces what it sends as a possible duplicate.
"""

import collections
import multiprocessing
import os
import random
import re
import shutil
import sqlite3
import tempfile
import time
import traceback

import scenario

SEED = 20261128
WAYS = ("dropped", "kept", "in part")
BOOT_ID = slice(72, 112)    # in the journal's page: daemon/journal_page.h
CLEAN = slice(116, 120)
_SENT = re.compile(rb"event=delivery\.sent tenant=\S+ id=(\d+) recipient=(\S+)")


class Disk:
    """The files: what is synced, and what was written since."""

    def __init__(self):
        self.synced = {}
        self.since = collections.defaultdict(list)

    def write(self, name, offset, data):
        self.since[name].append((offset, data))

    def truncate(self, name, length):
        self.since[name].append((length, None))

    def sync(self, name):
        self.synced[name] = self.content(name, "kept", None)
        self.since[name] = []

    def content(self, name, way, dice):
        """A file as it may stand after the loss."""
        bytes_ = bytearray(self.synced.get(name, b""))
        for offset, data in self.since[name]:
            if way == "dropped" or way == "in part" and dice.random() < 0.5:
                continue
            if data is None:
                del bytes_[offset:]
                bytes_.extend(bytes(offset - len(bytes_)))
                continue
            if len(bytes_) < offset:
                bytes_.extend(bytes(offset - len(bytes_)))
            bytes_[offset:offset + len(data)] = data
        return bytes(bytes_)

    def names(self):
        return set(self.synced) | set(self.since)


def entries(path):
    """The record: (kind, file name, number, bytes)."""
    with open(path, "rb") as stream:
        text = stream.read()
    place = 0
    while place < len(text):
        end = text.index(b"\n", place)
        # A file without a name is "#42 (deleted)".
        rest, number, length = text[place:end].decode().rsplit(" ", 2)
        kind, name = rest.split(" ", 1)
        data = text[end + 1:end + 1 + int(length)] if kind in "WL" else b""
        place = end + 1 + len(data)
        yield kind, os.path.basename(name), int(number), data


def record(template, library):
    """Makes the run that is recorded: (its folder, the record's path)."""
    directory = tempfile.mkdtemp(prefix="outboxd-power-")
    path = os.path.join(directory, "record")
    run = scenario.Run(directory, template, {
        "LD_PRELOAD": library, "INTERPOSE_RECORD": path,
        "INTERPOSE_PATH": os.path.join(directory, "")})
    try:
        # Rows that the test itself changes are in the database, not the WAL.
        run.box.checkpoint()
        shutil.copyfile(run.case.path("outbox.db"), path + ".base")
        run.start()
        run.daemon.wait_event("daemon.ready")
        limit = time.monotonic() + scenario.LIMIT
        while run._left() and time.monotonic() < limit:
            time.sleep(0.02)
        status = run.daemon.stop()
        assert status == 0, "the recorded run ended with %s" % status
        run.check(doubles=False)
    finally:
        run.close()
    return directory, path


def images(directory, path, short):
    """(name, files, what the log told by then) of each moment and way."""
    disk = Disk()
    with open(path + ".base", "rb") as stream:
        disk.synced["outbox.db"] = stream.read()
    with open(os.path.join(directory, "outbox.db-inflight"), "rb") as stream:
        journal = bytearray(stream.read())
    journal[BOOT_ID] = b"an earlier one".ljust(40, b"\0")
    journal[CLEAN] = bytes(4)
    told = set()
    syncs = 0
    for kind, name, number, data in entries(path):
        if kind == "L":
            told.update(found.groups() for found in _SENT.finditer(data))
        elif kind == "W":
            disk.write(name, number, data)
        elif kind == "T":
            disk.truncate(name, number)
        elif kind == "S":
            # Just before it, and just after it.
            for moment in ("before", "after"):
                if moment == "after":
                    disk.sync(name)
                syncs += moment == "before"
                if short and syncs % 2:
                    continue
                for way in WAYS:
                    dice = random.Random("%d %d %s" % (SEED, syncs, moment))
                    files = {n: disk.content(n, way, dice)
                             for n in disk.names()
                             if n.startswith("outbox.db") and
                             not n.endswith(("-inflight", "-shm"))}
                    files["outbox.db-inflight"] = bytes(journal)
                    yield ("%s sync %d (%s), the rest %s" % (
                        moment, syncs, name, way), files, set(told))


def look(job):
    """None, or what is wrong with an image."""
    name, files, told, whole = job
    directory = tempfile.mkdtemp(prefix="outboxd-power-")
    run = None
    try:
        for file, content in files.items():
            with open(os.path.join(directory, file), "wb") as stream:
                stream.write(content)
        db = sqlite3.connect(os.path.join(directory, "outbox.db"))
        found = db.execute("PRAGMA integrity_check").fetchall()
        assert found == [("ok",)], found
        count = db.execute("SELECT count(*) FROM outbox_status").fetchone()
        assert count == (16,), count
        sent = set(db.execute("SELECT outbox_id, recipient FROM "
                              "outbox_delivery WHERE state = 'sent'"))
        for number, recipient in told:
            assert (int(number), recipient.decode()) in sent, \
                "the log told that %s was sent to %s" % (
                    number.decode(), recipient.decode())
        db.close()
        if whole:
            run = scenario.Run(directory, None)
            open_before = {row[0] for row in run.box.rows(
                "SELECT outbox_id FROM outbox_status WHERE state IN "
                "('queued', 'deferred')")}
            run.start()
            run.daemon.wait_event("daemon.ready")
            status = run.finish()
            assert status == 0, "outboxd ended with %s" % status
            run.check(again=True)
            events = run.daemon.events("delivery.sent")
            assert {int(event["id"]) for event in events} <= open_before
            for event in events:
                assert event.get("duplicate") == "possible", event
        return None
    except Exception:
        return "%s: %s%s" % (name, traceback.format_exc(),
                             run.case.tail() if run else "")
    finally:
        if run:
            run.close()
        shutil.rmtree(directory, ignore_errors=True)


def run(counter, template, library, short, jobs):
    started = time.monotonic()
    try:
        directory, path = record(template, library)
    except Exception:
        counter.tell("crash.power", traceback.format_exc())
        return
    try:
        # outboxd itself is started over every fifth.
        all_jobs = [(name, files, told, number % 5 == 0)
                    for number, (name, files, told) in
                    enumerate(images(directory, path, short))]
        with multiprocessing.Pool(jobs, maxtasksperchild=1) as pool:
            wrong = [words for words in pool.imap(look, all_jobs) if words]
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if len(all_jobs) < 30:
        wrong.append("there are only %d images" % len(all_jobs))
    if not any(told for _, _, told, _ in all_jobs):
        wrong.append("nothing was told as sent")
    counter.tell("crash.power", wrong and "%d of %d failed\n%s" % (
        len(wrong), len(all_jobs), "\n".join(wrong[:3])),
        ": %d images, outboxd started over %d (%.0f s)" % (
            len(all_jobs), sum(job[3] for job in all_jobs),
            time.monotonic() - started))
