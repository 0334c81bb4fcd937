"""Crashes, stalls and errors of our own making: who is named, who is kept
apart, what it costs the others. Needs a build with fault points."""

import os
import signal
import time

import outbox
from case import Skip, need_faults

TROUBLE = {"service.crashed", "worker.failed", "worker.restarted",
           "worker.stalled"}


def sanitized():
    with open(os.path.join(outbox.build_directory(), "config.h")) as stream:
        return "#define WITH_SANITIZER" in stream.read()


def need_handler():
    """Without one the journal does not know whose crash it was; and the
    sanitizer's own report is a failure of the test."""
    if sanitized():
        raise Skip("a sanitizer owns the fatal signals")


def start(case, faults, **options):
    return case.start_faulty(faults, TROUBLE, **options)


def two(case):
    """Two tenants, poison and other, at one server."""
    server = case.server()
    for name in ("poison", "other"):
        case.tenant(name, server)
    return server, case.outbox()


def crashes_twice(case, faults, number, arrived=False, **options):
    """A message that crashes the service whenever it is in hand: it fails at
    the second time, and its tenant is quarantined."""
    need_handler()
    server, box = two(case)
    daemon = start(case, faults, **options)
    first = box.insert("poison", "bob@example.net", subject="poison")
    row = box.wait_state(first, "failed")
    assert "outboxd crashed twice" in row["result"], row["result"]
    assert ("may have arrived" in row["result"]) == arrived, row["result"]
    crashes = daemon.wait_event("service.crashed", 2)
    assert len(crashes) == 2
    for event in crashes:
        assert "signal %d" % number in event["error"], event
        assert "message %d of poison" % first in event["error"], event
    event = daemon.wait_event("tenant.quarantined", tenant="poison")[0]
    assert "message %d" % first in event["error"]
    assert 55 < float(event["retry_in"]) <= 60, event
    status = box.wait_tenant("poison", "quarantined")
    assert 50 < status["retry_at"] - time.time() < 62
    assert "crashed twice" in status["last_error"]
    box.wait_state(box.insert("other", "bob@example.net"), "sent")
    assert not daemon.events("tenant.quarantined", tenant="other")
    return server, box, daemon


def test_wild_pointer_before_mail(case):
    server, box, daemon = crashes_twice(
        case, "deliver-mail:poison:1:segv", signal.SIGSEGV)
    assert server.subjects() == ["test"]
    # It gets no workers, its mail waits.
    later = box.insert("poison", "bob@example.net")
    box.wait_state(box.insert("other", "bob@example.net"), "sent")
    assert box.state(later) == "queued"


def test_stack_overflow(case):
    """Caught on the alternate stack."""
    crashes_twice(case, "deliver-data:poison:1:overflow", signal.SIGSEGV)


def test_abort_past_the_end(case):
    """Twice uncertain: under resend it would be sent for ever."""
    need_handler()
    server, box = two(case)
    daemon = start(case, "deliver-past-end:poison:1:abort")
    first = box.insert("poison", "bob@example.net")
    daemon.wait_event("delivery.uncertain", id=first)
    assert box.wait_state(first, "deferred")["attempts"] == 1
    # What was counted stays, whatever happens between.
    case.until("the next service", lambda: daemon.ready_count() == 2)
    os.kill(daemon.service_pid(), signal.SIGKILL)
    daemon.wait_event("service.crashed", 2)
    case.until("the next service", lambda: daemon.ready_count() == 3)
    box.execute("UPDATE outbox_status SET state = 'queued' "
                "WHERE outbox_id = ?", first)
    row = box.wait_state(first, "failed")
    assert "crashed twice" in row["result"], row["result"]
    assert "may have arrived" in row["result"], row["result"]
    box.wait_tenant("poison", "quarantined")
    daemon.exactly(3, "service.crashed")


def test_crash_in_the_supervisor(case):
    crashes_twice(case, "supervisor:poison:1:segv", signal.SIGSEGV,
                  arrived=True)


def test_crash_in_the_storage_thread(case):
    """Where even the record of the failure crashes us the message is left
    alone with its tenant, and the others go on."""
    need_handler()
    server, box = two(case)
    daemon = start(case, "storage:poison:1+:abort")
    first = box.insert("poison", "bob@example.net")
    # The third may crash before it was ready: the record comes at its start.
    daemon.wait_event("service.crashed", 3)
    box.wait_tenant("poison", "quarantined")
    for i in range(3):
        box.wait_state(box.insert("other", "bob@example.net"), "sent")
    events = daemon.events("service.crashed")
    assert len(events) == 3
    for event in events:
        assert "thread storage" in event["error"], event
        assert "message %d of poison" % first in event["error"], event
    assert box.state(first) == "queued"
    # When it can be recorded it is, and what waits behind it is not sent.
    later = box.insert("poison", "bob@example.net")
    daemon.kill()
    daemon.faults = None
    daemon.start()
    outbox.outboxctl("--database", box.path, "retry", "--tenant", "poison")
    row = box.wait_state(first, "failed")
    assert "crashed twice" in row["result"], row["result"]
    assert "may have arrived" in row["result"], row["result"]
    box.wait_state(box.insert("other", "bob@example.net"), "sent")
    box.wait_tenant("poison", "quarantined")
    assert box.state(later) == "queued"


def test_crash_once_is_forgiven(case):
    """Each message of another process's second passage crashes it once; the
    next process sends it, and nobody is quarantined."""
    need_handler()
    server, box = two(case)
    daemon = start(case, "deliver-mail:poison:2:segv")
    for i in range(4):
        number = box.insert("poison", "bob@example.net", subject="%d" % i)
        assert box.wait_state(number, "sent")["attempts"] == 1
    assert server.subjects() == ["0", "1", "2", "3"]
    daemon.exactly(3, "service.crashed")
    assert not daemon.events("tenant.quarantined")


def test_others_in_hand_are_not_blamed(case):
    """Whose thread did not crash has nothing to do with it, however often."""
    need_handler()
    server, box = two(case)
    gate = server.hold("DATA", lambda session, line:
                       session.mail.sender == "app@other.example")
    daemon = start(case, "deliver-data:poison:1:abort")
    held = box.insert("other", "bob@example.net")
    gate.reached()
    first = box.insert("poison", "bob@example.net")
    box.wait_state(first, "failed")
    gate.release()
    assert box.wait_state(held, "sent")["attempts"] == 1
    assert not daemon.events("tenant.quarantined", tenant="other")
    event = daemon.wait_event("delivery.sent", id=held)[0]
    assert "duplicate" not in event


def test_suspect_goes_alone(case):
    """While it is under way its tenant has no other, however long that
    takes; the others do not wait for it."""
    server, box = two(case)
    box.set_tenant("poison", max_connections=2)
    gate = server.hold("DATA", lambda session, line:
                       session.mail.sender == "app@poison.example")
    first = box.insert("poison", "bob@example.net", subject="first")
    second = box.insert("poison", "bob@example.net", subject="second")
    start(case, "worker-end:poison:1")
    gate.reached()
    # A further session would be opened after two seconds.
    limit = time.monotonic() + 3
    while time.monotonic() < limit:
        box.wait_state(box.insert("other", "bob@example.net"), "sent")
        assert len([line for line in server.commands("MAIL")
                    if "poison" in line]) == 1
    gate.release()
    for number in (first, second):
        assert box.wait_state(number, "sent")["attempts"] == 1


def test_suspect_waits_for_the_others(case):
    """What its tenant has under way is finished first."""
    server, box = two(case)
    box.set_tenant("poison", max_connections=2)
    gate = server.hold("DATA", lambda session, line:
                       session.mail.sender == "app@poison.example")
    daemon = start(case, "worker-end:poison:2")
    first = box.insert("poison", "bob@example.net", subject="first")
    gate.reached()
    second = box.insert("poison", "bob@example.net", subject="second")
    failed = daemon.wait_event("worker.failed", tenant="poison")[0]
    assert failed["id"] == str(second)
    limit = time.monotonic() + 3
    while time.monotonic() < limit:
        box.wait_state(box.insert("other", "bob@example.net"), "sent")
        assert len([line for line in server.commands("MAIL")
                    if "poison" in line]) == 1
    gate.release()
    for number in (first, second):
        assert box.wait_state(number, "sent")["attempts"] == 1


def test_kill_from_outside_is_no_crash(case):
    """Whatever signal it is, and however often: it goes on."""
    need_faults()
    server, box = two(case)
    gate = server.hold("DATA", lambda session, line: session.number <= 3)
    daemon = start(case, None)
    number = box.insert("poison", "bob@example.net")
    for count in range(1, 4):
        gate.reached()
        case.until("ready", lambda n=count: daemon.ready_count() == n)
        os.kill(daemon.service_pid(), signal.SIGKILL if sanitized()
                else signal.SIGSEGV)
        daemon.wait_event("service.crashed", count)
        case.until("the next service",
                   lambda n=count: daemon.ready_count() == n + 1)
    gate.release()
    assert box.wait_state(number, "sent")["attempts"] == 1
    assert not daemon.events("tenant.quarantined")
    if not sanitized():
        assert "sent by process %d" % os.getpid() in \
            daemon.wait_event("service.crashed")[0]["error"]


def test_stalled_twice(case):
    """In hand of a worker that does not move, twice."""
    server, box = two(case)
    daemon = start(case, "worker-stall:poison:1", settings=["stall_grace=1s"])
    number = box.insert("poison", "bob@example.net")
    row = box.wait_state(number, "failed", 40)
    assert "did not move, twice" in row["result"], row["result"]
    daemon.exactly(2, "worker.stalled", id=number)
    box.wait_tenant("poison", "quarantined")
    box.wait_state(box.insert("other", "bob@example.net"), "sent")
    assert server.subjects() == ["test"]


def test_worker_that_ends_deep_inside(case):
    server, box = two(case)
    daemon = start(case, "deliver-data:poison:1:end,deliver-mail:other:1:end")
    for name in ("poison", "other"):
        number = box.insert(name, "bob@example.net")
        assert box.wait_state(number, "sent")["attempts"] == 1
        failed = daemon.wait_event("worker.failed", tenant=name)[0]
        assert failed["id"] == str(number)
        daemon.wait_event("worker.restarted", tenant=name)
    assert not daemon.events("service.crashed")


def test_five_errors_are_quarantined(case):
    server, box = two(case)
    daemon = start(case, "worker-end:poison:1+")
    number = box.insert("poison", "bob@example.net")
    row = box.wait_state(number, "failed")
    assert "5 workers ended" in row["result"], row["result"]
    event = daemon.wait_event("tenant.quarantined", tenant="poison")[0]
    assert "message %d" % number in event["error"]
    box.wait_tenant("poison", "quarantined")
    daemon.exactly(5, "worker.failed", tenant="poison")
    box.wait_state(box.insert("other", "bob@example.net"), "sent")


def test_quarantine_survives_a_restart_and_is_cleared(case):
    """By outboxctl retry --tenant, and by another connection."""
    server, box = two(case)
    daemon = start(case, ",".join("worker-end:poison:%d" % n
                                  for n in range(1, 6)))
    box.wait_state(box.insert("poison", "bob@example.net"), "failed")
    assert daemon.stop() == 0
    daemon.start()
    later = box.insert("poison", "bob@example.net")
    box.wait_state(box.insert("other", "bob@example.net"), "sent")
    box.wait_tenant("poison", "quarantined")
    assert box.state(later) == "queued"
    daemon.kill()
    daemon.faults = None
    daemon.start()
    outbox.outboxctl("--database", box.path, "retry", "--tenant", "poison")
    box.wait_state(later, "sent")
    daemon.wait_event("tenant.up", tenant="poison")


def test_other_connection_clears_the_quarantine(case):
    server, box = two(case)
    daemon = start(case, ",".join("worker-end:poison:%d" % n
                                  for n in range(1, 6)))
    box.wait_state(box.insert("poison", "bob@example.net"), "failed")
    box.wait_tenant("poison", "quarantined")
    later = box.insert("poison", "bob@example.net")
    box.set_tenant("poison", host="localhost", bind_address="127.0.0.1")
    box.wait_state(later, "sent")


def test_service_without_a_heartbeat(case):
    server, box = two(case)
    daemon = start(case, "heartbeat-lost-ms=5000")
    box.wait_state(box.insert("other", "bob@example.net"), "sent")
    os.kill(daemon.service_pid(), signal.SIGSTOP)
    event = daemon.wait_event("service.crashed")[0]
    assert "no heartbeat for 5 s" in event["error"], event
    box.wait_state(box.insert("other", "bob@example.net"), "sent")


def test_heartbeat_that_stops(case):
    """The rest of the service is well, and is replaced all the same: nobody
    can tell from outside. Nothing is lost."""
    server, box = two(case)
    daemon = start(case, "heartbeat-lost-ms=5000,heartbeat:-:3")
    box.wait_state(box.insert("other", "bob@example.net"), "sent")
    daemon.wait_event("service.crashed")
    case.until("the next service", lambda: daemon.ready_count() >= 2)
    box.wait_state(box.insert("other", "bob@example.net"), "sent")


# --- every kind of fault, at each stage of a message ------------------------------

STAGES = ("taken", "compose", "mail", "data", "past-end")


def every_stage(case, points, **options):
    """A tenant a stage, which fails there at its first message of each
    process; and one that is well: (server, box, daemon, ids by stage)."""
    server = case.server()
    for name in STAGES + ("well",):
        case.tenant(name, server, max_connections=1)
    daemon = start(case, ",".join(
        ["restart-most-ms=100"] + [points % (stage, stage)
                                   for stage in STAGES]), **options)
    box = case.outbox()
    ids = {stage: box.insert(stage, "bob@example.net", subject=stage)
           for stage in STAGES}
    return server, box, daemon, ids


def is_well(box):
    box.wait_state(box.insert("well", "bob@example.net"), "sent", 60)


def ends_at_its_second(case, points, words, **options):
    """Each fails at the second time, and its tenant is quarantined; past the
    end of the data it is in doubt after the first. Nobody else is blamed."""
    server, box, daemon, ids = every_stage(case, points, **options)
    box.wait_state(ids["past-end"], "deferred", 60)

    def failed_in_the_end():
        """In doubt once more where another's failure ended the service before
        its own was seen."""
        box.execute("UPDATE outbox_status SET state = 'queued' WHERE "
                    "outbox_id = ? AND state = 'deferred'", ids["past-end"])
        return box.state(ids["past-end"]) == "failed"
    case.until("failed past the end", failed_in_the_end, 60)
    for stage, number in ids.items():
        row = box.wait_state(number, "failed", 60)
        assert words in row["result"], (stage, row["result"])
        assert ("may have arrived" in row["result"]) == (
            stage == "past-end"), (stage, row["result"])
        box.wait_tenant(stage, "quarantined")
    is_well(box)    # not before: the end of a service would leave it in doubt
    assert not daemon.events("tenant.quarantined", tenant="well")
    assert "well" not in [event.get("tenant") for event in
                          daemon.events("delivery.uncertain")]
    assert set(server.subjects()) == {"test"}, server.subjects()


def goes_on(case, points, failed):
    """Each is sent by the next worker, or at the next try, with one attempt;
    past the end of the data it is in doubt if its worker ended."""
    server, box, daemon, ids = every_stage(case, points)
    for stage, number in ids.items():
        doubt = failed and stage == "past-end"
        row = box.wait_state(number, "deferred" if doubt else "sent", 60)
        assert row["attempts"] == 1, (stage, row["attempts"])
        daemon.exactly(failed, "worker.failed", tenant=stage)
    is_well(box)
    assert not daemon.events("service.crashed")
    assert sorted(server.subjects()) == sorted(
        ["test"] + [stage for stage in STAGES
                    if not (failed and stage == "past-end")])


def test_wild_pointer_at_each_stage(case):
    need_handler()
    ends_at_its_second(case, "deliver-%s:%s:1:segv", "outboxd crashed twice")


def test_abort_at_each_stage(case):
    need_handler()
    ends_at_its_second(case, "deliver-%s:%s:1:abort", "outboxd crashed twice")


def test_stack_overflow_at_each_stage(case):
    need_handler()
    ends_at_its_second(case, "deliver-%s:%s:1:overflow",
                       "outboxd crashed twice")


def test_stall_at_each_stage(case):
    ends_at_its_second(case, "stall-%s:%s:1", "did not move, twice",
                       settings=["stall_grace=1s"])


def test_a_stall_cut_short_by_another_counts(case):
    """The first one's stall ends the process while the second one, which has
    not moved for longer, has an hour's grace left: both have stalled."""
    server = case.server()
    os.environ["OUTBOXD_FAULT_TOKEN"] = token = case.path("token")
    open(token, "w").close()
    for name in ("first", "second"):
        case.tenant(name, server)
    box = case.outbox()
    daemon = case.start_faulty(
        "restart-most-ms=100,stall-drain-ms=100,stall-mail:first:1,late:first"
        ":1,stall-mail:second:1,stalling:second:1:stall", TROUBLE,
        settings=["stall_grace=1h"])
    ids = {"second": box.insert("second", "bob@example.net")}
    case.until("it does not move", lambda: not os.path.exists(token), 60)
    ids["first"] = box.insert("first", "bob@example.net")
    for name, number in ids.items():
        daemon.wait_event("worker.stalled", tenant=name, id=number, seconds=60)
    daemon.kill()
    daemon.faults = None
    daemon.start()
    for number in ids.values():
        box.wait_state(number, "sent", 60)


def test_end_at_each_stage(case):
    """pthread_exit() deep inside."""
    goes_on(case, "deliver-%s:%s:1:end", 1)


def test_error_at_each_stage(case):
    """The step fails, whatever the reason: nothing happened to the message."""
    goes_on(case, "error-%s:%s:1", 0)
