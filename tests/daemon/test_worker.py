"""A worker that fails is replaced. Needs a build with fault points."""

import os
import signal

import outbox

TROUBLE = {"worker.failed", "worker.restarted"}


def start(case, faults, **options):
    return case.start_faulty(faults, TROUBLE, **options)


def test_worker_that_ends_is_replaced(case):
    """In hand but not begun: nothing happened to it, it is sent."""
    server = case.server()
    for name in ("acme", "other"):
        case.tenant(name, server)
    daemon = start(case, "worker-end:acme:1")
    box = case.outbox()
    number = box.insert("acme", "bob@example.net")
    assert box.wait_state(number, "sent")["attempts"] == 1
    failed = daemon.wait_event("worker.failed", tenant="acme")[0]
    assert failed["id"] == str(number)
    daemon.wait_event("worker.restarted", tenant="acme")
    assert len(server.mails) == 1
    event = daemon.wait_event("delivery.sent", id=number)[0]
    assert "duplicate" not in event
    box.wait("told", lambda: box.tenant_status("acme")
             ["worker_restarts"] == 1)
    assert not daemon.events("tenant.down")


def test_worker_that_ends_in_the_data(case):
    """Before the end of the data: nothing can have arrived."""
    server = case.server()
    case.tenant("acme", server)
    daemon = start(case, "worker-end-in-data:acme:1")
    box = case.outbox()
    number = box.insert("acme", "bob@example.net")
    box.wait_state(number, "sent")
    daemon.wait_event("worker.restarted", tenant="acme")
    assert len(server.mails) == 1
    event = daemon.wait_event("delivery.sent", id=number)[0]
    assert "duplicate" not in event


def test_worker_that_ends_after_the_data(case):
    """After it: uncertain, due in ten minutes, and announced."""
    server = case.server()
    case.tenant("acme", server)
    daemon = start(case, "worker-end-past-end:acme:1")
    box = case.outbox()
    number = box.insert("acme", "bob@example.net")
    row = box.wait_state(number, "deferred")
    assert row["attempts"] == 1
    event = daemon.wait_event("delivery.uncertain", id=number)[0]
    assert event["duplicate"] == "possible"
    box.wait_state(box.insert("acme", "bob@example.net"), "sent")
    assert box.state(number) == "deferred"


def test_others_are_not_disturbed(case):
    """Their sessions go on while a worker ends and is replaced."""
    server = case.server()
    gate = server.hold("dot", lambda session, mail: mail.subject == "held")
    for name in ("acme", "other"):
        case.tenant(name, server)
    daemon = start(case, "worker-end:acme:1,worker-end:acme:2")
    box = case.outbox()
    held = box.insert("other", "bob@example.net", subject="held")
    gate.reached()
    number = box.insert("acme", "bob@example.net")
    box.wait_state(number, "sent")
    gate.release()
    assert box.wait_state(held, "sent")["attempts"] == 1
    daemon.exactly(2, "worker.failed")
    assert not daemon.events("worker.failed", tenant="other")


def test_rest_of_the_inbox_is_kept(case):
    """What it had not begun goes to its successor, in its order."""
    server = case.server()
    case.tenant("acme", server, max_connections=1)
    box = case.outbox()
    for i in range(40):
        box.insert("acme", "bob@example.net", subject="%d" % i)
    start(case, "worker-end:acme:7,worker-end:acme:20,"
                "worker-end-in-data:acme:30")
    box.wait_all()
    assert sorted(server.subjects(), key=int) == ["%d" % i
                                                  for i in range(40)]
    assert box.one("SELECT max(attempts) FROM outbox_status")[0] == 1


def test_worker_that_ends_while_it_reads_ahead(case):
    """The answer to the message before was awaited: that one is in doubt, the
    others go on, each once."""
    server = case.server()
    case.tenant("acme", server, max_connections=1)
    box = case.outbox()
    for i in range(20):
        box.insert("acme", "bob@example.net", subject="%d" % i)
    start(case, "quick-us=1000000000,worker-end:acme:9")
    doubtful = "SELECT count(*) FROM outbox_status WHERE state = 'deferred' " \
        "AND result LIKE '%ended while the server''s reply was awaited'"
    case.until("all but one are sent", lambda: box.one(
        "SELECT count(*) FROM outbox_status WHERE state = 'sent'")[0] == 19, 60)
    assert box.one(doubtful)[0] == 1
    assert len(server.subjects()) == len(set(server.subjects()))


def test_message_that_ends_five_workers(case):
    """It fails, with words; the others of its tenant are sent when the
    quarantine is over."""
    server = case.server()
    case.tenant("acme", server, max_connections=1)
    box = case.outbox()
    first = box.insert("acme", "bob@example.net", subject="bad", priority=9)
    second = box.insert("acme", "bob@example.net", subject="good")
    daemon = start(case, ",".join("worker-end:acme:%d" % n
                                  for n in range(1, 6)))
    row = box.wait_state(first, "failed")
    assert "5 workers ended" in row["result"], row["result"]
    outbox.outboxctl("--database", box.path, "retry", "--tenant", "acme")
    box.wait_state(second, "sent")
    daemon.exactly(5, "worker.failed")
    assert server.subjects() == ["good"]


def test_stop_while_a_worker_fails(case):
    """Nothing keeps the end waiting."""
    server = case.server()
    gate = server.hold("dot", lambda session, mail: mail.subject == "held")
    for name in ("acme", "other"):
        case.tenant(name, server)
    daemon = start(case, "worker-end-in-data:acme:1")
    box = case.outbox()
    held = box.insert("other", "bob@example.net", subject="held")
    gate.reached()
    daemon.signal(signal.SIGTERM)
    number = box.insert("acme", "bob@example.net")
    gate.release()
    assert daemon.wait_end() == 0
    assert box.state(held) == "sent"
    assert box.state(number) in ("queued", "sent")


def test_service_that_ends_in_the_data(case):
    """The journal tells the next one what may have arrived."""
    server = case.server()
    case.tenant("acme", server)
    daemon = start(case, "service-end-in-data:acme:2")
    daemon.allowed.add("service.crashed")
    box = case.outbox()
    box.wait_state(box.insert("acme", "bob@example.net"), "sent")
    number = box.insert("acme", "bob@example.net")
    event = daemon.wait_event("delivery.uncertain", id=number)[0]
    assert event["duplicate"] == "possible"
    assert "99" in daemon.wait_event("service.crashed")[0]["error"]
    box.wait_state(number, "deferred")
    box.wait_state(box.insert("acme", "bob@example.net"), "sent")


def test_worker_that_does_not_move(case):
    """Past its deadline and stall_grace: the service ends on purpose, what
    others have under way is recorded, and the next one sends it all."""
    server = case.server()
    gate = server.hold("dot", lambda session, mail: mail.subject == "held")
    for name in ("acme", "other"):
        case.tenant(name, server)
    daemon = start(case, "worker-stall:acme:2", settings=["stall_grace=2s"])
    daemon.allowed |= {"worker.stalled", "service.crashed"}
    box = case.outbox()
    box.wait_state(box.insert("acme", "bob@example.net"), "sent")
    held = box.insert("other", "bob@example.net", subject="held")
    gate.reached()
    number = box.insert("acme", "bob@example.net")
    event = daemon.wait_event("worker.stalled", tenant="acme")[0]
    assert event["id"] == str(number)
    gate.release()
    assert box.wait_state(number, "sent")["attempts"] == 1
    assert "did not move" in daemon.wait_event("service.crashed")[0]["error"]
    assert box.wait_state(held, "sent")["attempts"] == 1
    assert len(server.mails) == 3
    case.until("a service that is well", lambda: len(
        daemon.events("daemon.start")) == 2)


def test_worker_that_ends_while_the_server_greets(case):
    """It reads the row meanwhile: nothing has happened to the message, and
    the connection does not outlive its worker."""
    server = case.server()
    gate = server.hold("connect", lambda session, what: session.number == 2)
    for name in ("warm", "acme"):
        case.tenant(name, server)
    daemon = start(case, "deliver-compose:acme:1:end")
    box = case.outbox()
    # so that there is a connection to read the row by
    box.wait_state(box.insert("warm", "bob@example.net"), "sent", 60)
    number = box.insert("acme", "bob@example.net")
    gate.reached()
    failed = daemon.wait_event("worker.failed", tenant="acme")[0]
    assert failed["id"] == str(number)
    assert box.wait_state(number, "sent", 60)["attempts"] == 1
    assert server.sessions[1].has_more(60)      # its end
    assert not server.sessions[1].commands
    assert len(server.mails) == 2
    daemon.exactly(1, "worker.failed")


def threads(daemon):
    """Names of the service's threads by their numbers."""
    folder, names = "/proc/%d/task" % daemon.service_pid(), {}
    for task in os.listdir(folder):
        try:
            with open("%s/%s/comm" % (folder, task)) as stream:
                names[task] = stream.read().strip()
        except (FileNotFoundError, ProcessLookupError):
            pass        # it has ended
    return names


def test_a_thread_is_there_before_it_is_wanted(case):
    """Once a worker was started there is a thread for the next one, which
    takes its tenant's name; and then another one for the one after it. There
    is never more than one that waits, none is made while mail is in hand, and
    outboxd ends with it."""
    server = case.server()
    gate = server.hold("dot")
    names = ["acme", "beta", "gamma"]
    for name in names:
        case.tenant(name, server)
    daemon = case.start(settings=["idle_timeout=1h"])
    box = case.outbox()
    spares = []
    for name in names:
        number = box.insert(name, "bob@example.net")
        if name == "acme":
            gate.reached()
            assert "w:" not in threads(daemon).values()
            gate.release()
        box.wait_state(number, "sent", 60)
        now = threads(daemon)
        for spare in spares:
            assert now[spare] != "w:", now
        spares = case.until("a thread waits", lambda: [
            task for task, comm in threads(daemon).items()
            if comm == "w:" and task not in spares], 60)
        assert len(spares) == 1
    assert sorted(comm for comm in threads(daemon).values() if
                  comm.startswith("w:")) == ["w:"] + ["w:%s" % n for n in names]
    assert len(server.mails) == 3
