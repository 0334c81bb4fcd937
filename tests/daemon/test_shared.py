"""What all tenants share, held, full or short: who is not concerned goes on meanwhile, who is
goes on afterwards, the log says in words what it was, nothing is lost or doubled. The table is
in doc/INDEPENDENCE.md."""

import contextlib
import fcntl
import os
import resource
import select
import signal
import socket
import sqlite3
import threading
import time

import outbox
import server as scripted
import service

LONG = 60       # seconds: a loaded machine, and never a measure


def once(server, subjects):
    """Each of them arrived, and once."""
    assert sorted(server.subjects()) == sorted(subjects), server.subjects()


class Descriptors:
    """No more can be had by a process, as if all were used; until free()."""

    FEW = 12    # fewer than the service has from its start on: all of those are taken

    def __init__(self, pid):
        self.pid = pid
        self.before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE,
                         (self.FEW, self.before[1]))

    def free(self):
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, self.before)


def test_no_descriptor_is_free(case):
    """Who has a connection goes on; who needs one waits, untried and in
    words, and its server is not blamed."""
    well, sick = case.server(), case.server()
    case.tenant("well", well)
    case.tenant("later", sick)
    case.tenant("filed", sick, password_file="later.pw", username="u")
    box = case.outbox()
    daemon = case.start(settings=["idle_timeout=1h",
                                  "secrets_dir=" + case.directory])
    with open(case.path("later.pw"), "w") as stream:
        stream.write("secret\n")
    box.wait_state(box.insert("well", "a@box.example", subject="first"),
                   "sent", LONG)
    short = Descriptors(daemon.service_pid())
    try:
        waiting = [box.insert(name, "b@box.example", subject=name)
                   for name in ("later", "filed")]
        for name in ("later", "filed"):
            event, = daemon.wait_event("tenant.waiting", tenant=name,
                                       seconds=LONG)
            assert "Too many open files" in event["error"], event
            box.wait("the status of %s" % name, lambda: "Too many open files"
                     in (box.tenant_status(name)["last_error"] or ""), LONG)
        for number in range(5):
            box.wait_state(box.insert("well", "a@box.example",
                                      subject="m%d" % number), "sent", LONG)
        assert [box.state(one) for one in waiting] == ["queued"] * 2
        assert not sick.sessions
    finally:
        short.free()
    for one in waiting:
        box.wait_state(one, "sent", LONG)
    once(well, ["first"] + ["m%d" % n for n in range(5)])
    once(sick, ["later", "filed"])
    for name in ("later", "filed"):
        daemon.wait_event("tenant.resumed", tenant=name, seconds=LONG)
        daemon.exactly(1, "tenant.waiting", tenant=name)
    assert not daemon.events("tenant.down")
    box.wait("no error is left", lambda: not box.one(
        "SELECT count(*) FROM outbox_tenant_status WHERE last_error "
        "IS NOT NULL")[0], LONG)


# --- places ---------------------------------------------------------------------


def test_servers_that_hang_hold_no_places(case):
    """All places are held by sessions whose servers say nothing, for minutes:
    the others' mail is delivered while they go on saying nothing."""
    sick, well = case.server(), case.server()
    gate = sick.hold("MAIL")
    hanging = ["sick%d" % n for n in range(3)]
    for name in hanging:
        case.tenant(name, sick, max_connections=1, command_timeout=3600)
    names = ["well%d" % n for n in range(4)]
    for name in names:
        case.tenant(name, well)
    box = case.outbox()
    for name in hanging:
        box.insert(name, "a@box.example", subject=name)
    case.start(settings=["max_workers=3"])
    for _ in hanging:
        gate.reached(LONG)
    for name in names * 2:
        box.insert(name, "a@box.example", subject=name)
    box.wait("all of the well sent", lambda: box.count("sent") == 8, LONG)
    assert not sick.mails
    gate.release()
    box.wait_all(seconds=LONG)
    once(well, names * 2)
    once(sick, hanging)


def test_a_place_set_aside_comes_back(case):
    """What was lent to others is not lent twice: when all that hung have ended
    there are as many places as before, and no more."""
    sick, well = case.server(), case.server()
    gate = sick.hold("MAIL")
    case.tenant("sick", sick, max_connections=1, command_timeout=3600)
    for name in ("one", "two"):
        case.tenant(name, well, max_connections=1)
    box = case.outbox()
    box.insert("sick", "a@box.example")
    daemon = case.start(settings=["max_workers=1", "log_level=debug",
                                  "idle_timeout=1h"])
    gate.reached(LONG)
    box.wait_state(box.insert("one", "a@box.example"), "sent", LONG)
    gate.release()
    daemon.wait_event("worker.exit", tenant="sick", seconds=LONG)
    # One place: who gets it makes the other leave.
    for name in ("two", "one", "two"):
        box.wait_state(box.insert(name, "a@box.example"), "sent", LONG)
    started = len(daemon.events("worker.start"))
    case.until("one is left", lambda: started - 1 ==
               len(daemon.events("worker.exit")), LONG)


# --- the disk -------------------------------------------------------------------


class Disk:
    """The disk of files that begin with a path, which can be told not to
    answer."""

    def __init__(self, case, name):
        self.flag = case.path("hold")
        self.words = {
            "LD_PRELOAD": os.path.join(outbox.build_directory(),
                                       "tests/daemon/hold.so"),
            "HOLD_PATH": case.path(name), "HOLD_FLAG": self.flag,
            "ASAN_OPTIONS": "verify_asan_link_order=0"}

    def environment(self):
        return service.surroundings(self.words)

    def hang(self):
        open(self.flag, "w").close()

    def answer(self):
        os.unlink(self.flag)


def test_a_disk_that_hangs_is_one_outbox_s(case):
    """Two outboxes; the disk of one does not answer: the other's mail goes on,
    with the only places there are; log and figures name it. Then it answers,
    and all of its own mail arrives, once."""
    server, other = case.server(), case.server()
    for name, to in (("one.db", server), ("two.db", other)):
        case.tenant("acme", to, case.outbox(name), max_connections=1)
    one, two = case.outbox("one.db"), case.outbox("two.db")
    disk = Disk(case, "one.db")
    with disk.environment():
        daemon = case.daemon(
            "one.db", "two.db", faults="disk-hang-ms=3000,metrics-ms=200",
            settings=["max_workers=1", "metrics_file=" + case.path("figures")])
        daemon.allowed.add("storage.failed")
        daemon.start()
    one.wait_state(one.insert("acme", "a@box.example", subject="first"),
                   "sent", LONG)
    gate = server.hold("dot")
    numbers = [one.insert("acme", "a@box.example", subject="m%d" % n)
               for n in range(5)]
    gate.reached(LONG)      # the one place is one.db's
    disk.hang()
    gate.release()
    event, = daemon.wait_event("storage.failed", db="one", seconds=LONG)
    assert "its disk has not answered for" in event["error"], event
    for number in range(5):
        two.wait_state(two.insert("acme", "b@box.example",
                                  subject="m%d" % number), "sent", LONG)
    case.until("the figures tell", lambda: case.figure("storage_failing", db="one") == 1, LONG)
    disk.answer()
    daemon.wait_event("storage.recovered", db="one", seconds=LONG)
    for number in numbers:
        one.wait_state(number, "sent", LONG)
    case.until("the figures tell", lambda: case.figure("storage_failing", db="one") == 0, LONG)
    once(server, ["first"] + ["m%d" % n for n in range(5)])
    once(other, ["m%d" % n for n in range(5)])


def test_outboxd_ends_though_a_disk_hangs(case):
    """What its threads wait for may never come: told to stop twice it ends,
    with the other outbox's results written; the next one knows what was in
    hand."""
    server = case.server()
    for name in ("one.db", "two.db"):
        case.tenant("acme", server, case.outbox(name))
    disk = Disk(case, "one.db")
    with disk.environment():
        daemon = case.daemon("one.db", "two.db", faults="disk-hang-ms=1000")
        daemon.allowed.add("storage.failed")
        daemon.start()
    one, two = case.outbox("one.db"), case.outbox("two.db")
    gate = server.hold("dot")
    number = one.insert("acme", "a@box.example")
    gate.reached(LONG)
    disk.hang()
    gate.release()
    daemon.wait_event("storage.failed", db="one", seconds=LONG)
    two.wait_state(two.insert("acme", "a@box.example"), "sent", LONG)
    daemon.signal(signal.SIGTERM)
    daemon.wait_heard(LONG)
    daemon.signal(signal.SIGTERM)
    assert daemon.wait_end(LONG) != 0
    disk.answer()
    daemon.start()
    daemon.wait_event("delivery.uncertain", db="one", id=number, seconds=LONG)
    one.wait_state(number, "deferred", LONG)


# --- files of tenants ---------------------------------------------------------------


def loaders(daemon):
    """How many threads of the service read files for sessions."""
    folder, count = "/proc/%d/task" % daemon.service_pid(), 0
    for task in os.listdir(folder):
        try:
            with open("%s/%s/comm" % (folder, task)) as stream:
                count += stream.read().strip() == "loader"
        except (FileNotFoundError, ProcessLookupError):
            pass        # it has ended
    return count


def test_a_mount_that_hangs_is_its_tenants_own(case):
    """More tenants than there are loaders name an authority on a mount that
    does not answer: each is down and its file is named; it has one thread, however
    often it is tried. Another one's password is read meanwhile. Then the mount
    answers, and what it says counts."""
    server, well = case.server(), case.server()
    sick = ["sick%d" % n for n in range(20)]
    for name in sick:
        case.tenant(name, server, tls="starttls", connect_timeout=2,
                    retry_max=1, tls_ca_file=case.path("away/%s.pem" % name))
    case.tenant("well", well, password_file="well.pw", username="u",
                connect_timeout=600)
    with open(case.path("well.pw"), "w") as stream:
        stream.write("secret\n")
    box = case.outbox()
    disk = Disk(case, "away")
    with disk.environment():
        daemon = case.start(settings=["secrets_dir=" + case.directory])
    disk.hang()
    numbers = [box.insert(name, "a@box.example", subject=name)
               for name in sick]
    case.until("all loaders are held", lambda: loaders(daemon) >= 16, LONG)
    box.wait_state(box.insert("well", "b@box.example", subject="m"), "sent",
                   LONG)
    for name in sick:
        event = daemon.wait_event("tenant.down", tenant=name, seconds=LONG)[0]
        assert event["error"] == (
            "tls_ca_file = %s could not be read in time: its disk or mount "
            "does not answer" % case.path("away/%s.pem" % name)), event
    daemon.wait_event("tenant.probe", tenant="sick0", seconds=LONG)
    assert loaders(daemon) == len(sick), loaders(daemon)
    disk.answer()
    box.wait("the mount's answer", lambda: all(
        "No such file" in (box.tenant_status(name)["last_error"] or "")
        for name in sick), LONG)
    for name in sick:
        box.set_tenant(name, tls="none", tls_ca_file=None)
    for number in numbers:
        box.wait_state(number, "sent", LONG)
    once(server, sick)
    once(well, ["m"])


# --- memory -----------------------------------------------------------------------


LARGE = 200_000     # octets: of a message that is held in memory where there is room


def large_message(subject, size=LARGE):
    """A complete message, which leaves as it is but for Date and Message-ID;
    no two lines are alike."""
    lines = ["%s line %06d" % (subject, n)
             for n in range(size // (len(subject) + 14))]
    return ("From: a@box.example\r\nTo: b@box.example\r\nSubject: %s\r\n\r\n"
            % subject + "\r\n".join(lines) + "\r\n"), lines


def is_whole(server, lines_of):
    """Each arrived once, and every line of it is there."""
    once(server, list(lines_of))
    for mail in server.mails:
        body = mail.lines[mail.lines.index("") + 1:]
        assert body == lines_of[mail.subject], mail.subject


def held_at_once(case, box, server, names, tag, size=LARGE):
    """All of them are in hand at once, and stay there: (gate, lines by
    subject)."""
    subjects = {}
    gate = server.hold("dot", lambda session, mail:
                       (mail.subject or "").startswith(tag))
    for name in names:
        text, lines = large_message(tag + name, size)
        subjects[tag + name] = lines
        box.insert(name, "b@box.example", message=text)
    for _ in names:
        gate.reached(LONG)
    return gate, subjects


def test_messages_beyond_the_memory_go_by_the_spool(case):
    """Eight tenants' messages are in hand at once, together larger than
    memory_max: what finds no room there goes by spool_dir, at once and whole,
    and the small mail of others goes on; with enough memory none does. The
    memory is free again when they are sent."""
    server, well = case.server(), case.server()
    names = ["t%d" % n for n in range(8)]
    for name in names:
        case.tenant(name, server)
    case.tenant("well", well)
    box = case.outbox()
    config, limit = case.path("outboxd.conf"), 1 << 20

    def write(value):
        with open(config, "w") as stream:
            stream.write("memory_max = %s\nmetrics_file = %s\n" % (
                value, case.path("figures")))
    write("1M")
    daemon = case.start(config=config, faults="metrics-ms=100")
    case.until("the figures tell",
               lambda: case.figure("memory_max_bytes") == limit, LONG)
    gate, lines_of = held_at_once(case, box, server, names, "short")
    case.until("the figures tell", lambda: (case.figure("memory_spilled_total") or 0) >= 5, LONG)
    small = ["m%d" % n for n in range(5)]
    for subject in small:
        box.wait_state(box.insert("well", "a@box.example", subject=subject),
                       "sent", LONG)
        assert case.figure("memory_bytes") <= limit
    assert not server.mails
    assert case.figure("memory_bytes") >= LARGE    # it is used all the same
    gate.release()
    box.wait_all(seconds=LONG)
    case.until("all is given back",
               lambda: case.figure("memory_bytes") == 0, LONG)
    # With more of it, told while outboxd runs, all of them have room.
    spilled = case.figure("memory_spilled_total")
    write("16M")
    daemon.signal(signal.SIGHUP)
    case.until("the figures tell",
               lambda: case.figure("memory_max_bytes") == 16 * limit, LONG)
    gate, more = held_at_once(case, box, server, names, "wide")
    case.until("the figures tell", lambda: case.figure("memory_bytes") >= len(names) * LARGE, LONG)
    assert case.figure("memory_spilled_total") == spilled
    gate.release()
    box.wait_all(seconds=LONG)
    is_whole(server, {**lines_of, **more})
    once(well, small)
    case.until("all is given back",
               lambda: case.figure("memory_bytes") == 0, LONG)


def test_files_are_no_more_than_are_counted(case):
    """Beside its sessions, which daemon/descriptors.c gives what is left."""
    process, outbox_most, tenants = 32, 40, 16
    server = case.server(extensions=PIPELINED)
    boxes = [case.outbox(name) for name in ("one.db", "two.db")]
    for box in boxes:
        for n in range(tenants):
            case.tenant("t%d" % n, server, box)
    daemon = case.start("one.db", "two.db", settings=["idle_timeout=600s"])
    for box in boxes:
        box.begin()
        for n in range(4 * tenants):
            box.insert("t%d" % (n % tenants), "bob@example.net", body_text="a line of text\n" * 12_000)
        box.commit()
    for box in boxes:
        box.wait_all(seconds=LONG)
    folder, names = "/proc/%d/fd" % daemon.service_pid(), []
    for number in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):    # closed meanwhile
            names.append(os.readlink(os.path.join(folder, number)))
    files = [name for name in names if not name.startswith("socket:") and not name.endswith("(deleted)")]
    print("# %d open, %d of them not of sessions" % (len(names), len(files)))
    for box in boxes:
        mine = [name for name in files if name.startswith(box.path)]
        print("# %s: %d" % (os.path.basename(box.path), len(mine)))
        assert mine.count(box.path) >= 4, mine      # supervisor, storage, checkpoints, and who reads
        assert len(mine) + 3 <= outbox_most, mine   # inotify and two letters, which have no name
    assert len(files) <= process + 2 * outbox_most, sorted(files)


PIPELINED = ("PIPELINING", "CHUNKING", "8BITMIME", "ENHANCEDSTATUSCODES")


def test_spooled_messages_need_no_further_files(case):
    """A session has eight under way, and none finds room in memory: with one
    file for all of them each is there as it becomes free, and all go whole,
    in their order."""
    server, holds = case.server(extensions=PIPELINED), case.server()
    case.tenant("acme", server, max_connections=1, pipeline_depth=8)
    for n in range(3):
        case.tenant("fill%d" % n, holds)
    box = case.outbox()
    case.start_faulty("spare-files=0,metrics-ms=100", set(), settings=[
        "memory_max=1M", "metrics_file=" + case.path("figures")])
    full, subjects = held_at_once(case, box, holds, ["fill0", "fill1", "fill2"],
                                  "full", 240_000)
    lines_of, numbers = {}, []
    box.begin()
    for n in range(16):
        subject = "m%d" % n
        text, lines_of[subject] = large_message(subject, 60_000)
        numbers.append(box.insert("acme", "b@box.example", message=text))
    box.commit()
    for number in numbers:
        box.wait_state(number, "sent", LONG)
    assert len(server.sessions) == 1
    is_whole(server, lines_of)
    full.release()
    box.wait_all(seconds=LONG)
    is_whole(holds, subjects)
    case.until("all is given back",
               lambda: case.figure("memory_bytes") == 0, LONG)
    assert case.figure("memory_spilled_total") >= len(numbers)


def test_many_recipients_go_one_after_another_where_memory_is_short(case):
    """Two tenants' messages to 1,200 recipients each, the second one's named
    in its header, are more than there is memory for: one waits until the
    other is over, while small mail goes on; then a session sends several of
    them, and none beside another."""
    servers = [case.server(extensions=PIPELINED) for _ in range(2)]
    well = case.server()
    many = ", ".join("a%d@box.example" % n for n in range(1200))
    for n, server in enumerate(servers):
        case.tenant("many%d" % n, server, max_connections=1, pipeline_depth=8)
    case.tenant("well", well)
    box = case.outbox()
    # A machine that is slow for half a minute has it wait in the queue.
    case.start_faulty("metrics-ms=100", {"storage.failed",
                                         "storage.recovered"}, settings=[
        "memory_max=1M", "metrics_file=" + case.path("figures")])
    came = []
    gates = [server.hold("dot", lambda session, mail: came.append(1) or True)
             for server in servers]
    numbers = [box.insert("many0", many, subject="s0")]
    case.until("one of them is in hand", lambda: came, LONG)
    numbers.append(box.insert(
        "many1", None, message="From: a@box.example\r\nSubject: s1\r\nTo: %s\r\n"
        "\r\nx\r\n" % many.replace(", ", ",\r\n ")))
    case.until("the other has a session", lambda: servers[1].sessions, LONG)
    for n in range(5):
        box.wait_state(box.insert("well", "a@box.example", subject="m%d" % n),
                       "sent", LONG)
    assert len(came) == 1
    assert case.figure("memory_bytes") <= 1 << 20
    for gate in gates:
        gate.release()
    numbers += [box.insert("many0", many, subject="t%d" % n) for n in range(3)]
    for number in numbers:
        box.wait_state(number, "sent", LONG)
    once(servers[0], ["s0", "t0", "t1", "t2"])
    once(servers[1], ["s1"])
    assert all(len(mail.recipients) == 1200
               for server in servers for mail in server.mails)
    once(well, ["m%d" % n for n in range(5)])
    case.until("all is given back",
               lambda: case.figure("memory_bytes") == 0, LONG)


def test_what_waits_for_its_commit_counts(case):
    """A message to 300 has been sent and cannot be recorded: its recipients
    and what was said of them count until it is, and nothing else of it."""
    server = case.server()
    case.tenant("acme", server)
    box = case.outbox()
    case.start_faulty("metrics-ms=100", {"storage.failed",
                                         "storage.recovered"}, settings=[
        "metrics_file=" + case.path("figures")])
    gate = server.hold("dot", lambda session, mail: True)
    number = box.insert("acme", ", ".join("a%d@box.example" % n
                                          for n in range(300)), subject="s0")
    gate.reached(LONG)
    lock = Lock(box.path)
    gate.release()
    case.until("what is left of it counts", lambda: 300 * 100 < (
        case.figure("memory_bytes") or 0) < 300 * 300, LONG)
    lock.release()
    box.wait_state(number, "sent", LONG)
    once(server, ["s0"])
    case.until("all is given back",
               lambda: case.figure("memory_bytes") == 0, LONG)


def test_workers_that_end_give_their_memory_back(case):
    """A worker ends deep inside with a message in its hand, at each stage;
    servers refuse, and close: what those took is given back, all of it."""
    stages = ("taken", "compose", "mail", "data", "past-end")
    refuses, closes, server = case.server(), case.server(), case.server()
    for name in stages:
        case.tenant(name, server, max_connections=1)
    refuses.on("dot", "554 5.6.0 not this one")
    closes.on("line", lambda session, line: scripted.CLOSE)
    case.tenant("refused", refuses)
    case.tenant("closed", closes)
    box = case.outbox()
    daemon = case.start_faulty(
        ",".join(["metrics-ms=100"] + ["deliver-%s:%s:1:end" % (one, one)
                                       for one in stages]),
        {"worker.failed", "worker.restarted", "delivery.uncertain",
         "tenant.down", "delivery.failed", "delivery.deferred"},
        settings=["metrics_file=" + case.path("figures")])
    ids = {name: box.insert(name, "b@box.example",
                            message=large_message(name)[0])
           for name in stages + ("refused", "closed")}
    for name, number in ids.items():
        box.wait_state(number, {"past-end": "deferred", "closed": "deferred",
                                "refused": "failed"}.get(name, "sent"), LONG)
    for name in stages:
        daemon.exactly(1, "worker.failed", tenant=name)
    box.set_tenant("closed", enabled=0)     # it would be tried again for ever
    case.until("all is given back",
               lambda: case.figure("memory_bytes") == 0, LONG)
    # and it is in use while one is in hand: what was looked at is no constant
    gate, _ = held_at_once(case, box, server, ["taken"], "again")
    case.until("in use", lambda: case.figure("memory_bytes") >= LARGE, LONG)
    gate.release()
    box.wait("sent", lambda: box.count("sent") == len(stages), LONG)
    case.until("all is given back",
               lambda: case.figure("memory_bytes") == 0, LONG)


# --- SQLite -----------------------------------------------------------------------


class Lock:
    """An application that holds the write lock."""

    def __init__(self, path):
        self.db = sqlite3.connect(path, timeout=30, isolation_level=None)
        self.db.execute("BEGIN IMMEDIATE")

    def release(self):
        self.db.execute("ROLLBACK")
        self.db.close()


def test_the_write_lock_keeps_no_mail(case):
    """An application holds it for as long as a commit is tried: mail of all
    tenants of that outbox goes out meanwhile, up to unsettled_max, that of
    the other outbox is recorded too; told in words; then all is recorded."""
    server, other = case.server(), case.server()
    one, two = case.outbox("one.db"), case.outbox("two.db")
    names = ["t%d" % n for n in range(4)]
    for name in names:
        case.tenant(name, server, one)
    case.tenant("acme", other, two)
    due = int(time.time()) + 3
    numbers = [one.insert(name, "a@box.example", subject=name, not_before=due)
               for name in names]
    daemon = case.daemon("one.db", "two.db", faults="commit-ms=4000")
    daemon.allowed.add("storage.failed")
    lock = Lock(one.path)
    daemon.start(ready=False)
    lock.release()
    daemon.log.wait("daemon.ready", seconds=LONG)
    lock = Lock(one.path)
    sent_before = one.count("sent")
    case.until("all out", lambda: len(server.mails) == 4, LONG)
    assert one.count("sent") == sent_before
    event, = daemon.wait_event("storage.failed", db="one", seconds=LONG)
    assert "held the database's lock too long" in event["error"], event
    two.wait_state(two.insert("acme", "b@box.example", subject="two"), "sent",
                   LONG)
    lock.release()
    for number in numbers:
        one.wait_state(number, "sent", LONG)
    daemon.wait_event("storage.recovered", db="one", seconds=LONG)
    once(server, names)
    once(other, ["two"])


def test_a_reader_that_never_ends_is_told(case):
    """It pins the write-ahead log, which grows: told in words and figures; mail
    goes on; when it ends the log is used again, and that is told too."""
    server = case.server()
    case.tenant("acme", server)
    box = case.outbox()
    daemon = case.start(
        faults="wal-held-bytes=20000000,wal-held-ms=1000,metrics-ms=200",
        settings=["metrics_file=" + case.path("figures")])
    box.wait_state(box.insert("acme", "a@box.example", subject="first"),
                   "sent", LONG)
    reader = sqlite3.connect(box.path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM outbox").fetchone()
    draft = [box.insert("acme", "a@box.example", subject="large", draft=1,
                        body_text="x" * 2_000_000) for _ in range(12)]
    box.wait_state(box.insert("acme", "a@box.example", subject="m1"), "sent",
                   LONG)
    event, = daemon.wait_event("storage.warning", seconds=LONG)
    assert "write-ahead log has grown to" in event["error"], event
    assert "reading in one transaction" in event["error"], event
    case.until("the figures tell", lambda: (case.figure("wal_held_bytes", db="outbox") or 0) > 20_000_000, LONG)
    box.wait_state(box.insert("acme", "a@box.example", subject="m2"), "sent",
                   LONG)
    reader.execute("COMMIT")
    reader.close()
    daemon.wait_event("storage.recovered", seconds=LONG)
    size = os.path.getsize(box.path + "-wal")
    box.wait_state(box.insert("acme", "a@box.example", subject="m3"), "sent",
                   LONG)
    assert os.path.getsize(box.path + "-wal") <= size
    once(server, ["first", "m1", "m2", "m3"])
    assert len(draft) == 12


# --- names ------------------------------------------------------------------------


class NameServer:
    """Answers questions for A of whatever name with 127.0.0.1; or keeps silent."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.silent = True
        self.asked = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            question, client = self.socket.recvfrom(1024)
            self.asked += 1
            if self.silent:
                continue
            end = question.index(b"\0", 12) + 5
            kind = question[end - 4:end - 2]
            is_a = kind == b"\0\1"
            reply = question[:2] + b"\x81\x80\0\1" + \
                (b"\0\1" if is_a else b"\0\0") + b"\0\0\0\0" + \
                question[12:end]
            if is_a:
                reply += b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\x7f\0\0\1"
            self.socket.sendto(reply, client)


def test_name_servers_that_never_answer(case):
    """Tenants whose server has to be asked for wait; the others do not. Then
    they answer."""
    names, server, well = NameServer(), case.server(), case.server()
    asking = ["asks%d" % n for n in range(12)]     # more than channels are kept
    for name in asking:
        case.tenant(name, server, host=name + ".example", connect_timeout=5)
    case.tenant("well", well)
    box = case.outbox()
    waiting = [box.insert(name, "a@box.example", subject=name)
               for name in asking]
    daemon = case.start(settings=["dns_servers=127.0.0.1:%d" % names.port])
    case.until("they are asked", lambda: names.asked >= len(asking), LONG)
    for number in range(5):
        box.wait_state(box.insert("well", "b@box.example",
                                  subject="m%d" % number), "sent", LONG)
    for name in asking:
        event = daemon.wait_event("tenant.down", tenant=name, seconds=LONG)[0]
        assert "resolving %s.example" % name in event["error"], event
    names.silent = False
    for number in waiting:
        box.wait_state(number, "sent", LONG)
    once(well, ["m%d" % n for n in range(5)])
    once(server, asking)
    daemon.exactly(len(asking), "tenant.down")


# --- the log ----------------------------------------------------------------------


def test_a_log_that_nobody_reads(case):
    """A pipe that is full: mail goes on, and whoever reads again misses
    nothing of what found room."""
    server = case.server()
    case.tenant("acme", server)
    daemon = case.start()
    os.rename(case.path("log"), case.path("log.before"))
    daemon.log.path = case.path("log.before")
    os.mkfifo(case.path("log"))
    reader = os.open(case.path("log"), os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    daemon.signal(signal.SIGHUP)
    daemon.wait_heard(LONG)
    box = case.outbox()
    numbers = [box.insert("acme", "a@box.example", subject="m%d" % n,
                          reference="r" * 250) for n in range(60)]
    for number in numbers:
        box.wait_state(number, "sent", LONG)
    once(server, ["m%d" % n for n in range(60)])
    text = b""
    limit = time.monotonic() + LONG
    while text.count(b"event=delivery.sent") < len(numbers):
        if select.select([reader], [], [], 1)[0]:
            text += os.read(reader, 65536)
        assert time.monotonic() < limit, text[-500:]
    assert len(text) > 4 * 4096     # it was full long before
    assert daemon.stop() == 0
    os.close(reader)
    os.unlink(case.path("log"))
    with open(case.path("log.before"), "rb") as before, \
            open(case.path("log"), "wb") as stream:
        stream.write(before.read() + text)
    daemon.log.path = case.path("log")


def test_a_log_folder_that_goes_away(case):
    """Its lines are lost, told once in the main log; mail goes on; made anew
    it is written again."""
    server = case.server()
    for name in ("acme", "birch"):
        case.tenant(name, server)
    folder = case.path("logs")
    daemon = case.start(settings=["log_dir=" + folder])
    box = case.outbox()
    box.wait_state(box.insert("acme", "a@box.example", subject="m0"), "sent",
                   LONG)
    case.until("its file", lambda: os.path.exists(folder + "/acme.log"), LONG)
    os.rename(folder, folder + ".away")
    with open(folder, "w"):
        pass                # a file is no folder
    for name in ("acme", "birch"):
        box.wait_state(box.insert(name, "a@box.example", subject=name), "sent",
                       LONG)
    event = daemon.wait_event("log.failed", seconds=LONG)[0]
    assert "Not a directory" in event["error"], event
    assert event["file"].endswith("logs/birch.log"), event
    os.unlink(folder)
    box.wait_state(box.insert("birch", "a@box.example", subject="m1"), "sent",
                   LONG)
    case.until("written again", lambda: os.path.exists(folder + "/birch.log"),
               LONG)
    daemon.exactly(1, "log.failed")
    once(server, ["m0", "acme", "birch", "m1"])
