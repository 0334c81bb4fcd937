"""Places, sessions and turns: who may have how many."""

import datetime
import signal
import time

from case import need_faults


def test_fair_turns(case):
    """Two places, two tenants that hang, four that are well: all of the
    well are served; the hanging go to places of their own."""
    sick = case.server()
    sick.hold("MAIL")
    well = case.server()
    names = ["well%d" % i for i in range(4)]
    for name in ("sick0", "sick1"):
        case.tenant(name, sick, command_timeout=1)
    for name in names:
        case.tenant(name, well)
    box = case.outbox()
    for name in ["sick0", "sick1"] + names:
        for i in range(3):
            box.insert(name, "bob@example.net", subject=name)
    daemon = case.start(settings=["max_workers=2"])
    box.wait("all of the well sent", lambda: box.count("sent") == 12)
    daemon.wait_event("tenant.down", tenant="sick0")
    daemon.wait_event("tenant.down", tenant="sick1")
    daemon.wait_event("tenant.probe", tenant="sick0")
    # While the sick are probed, again and again, the well have their places.
    for name in names:
        box.wait_state(box.insert(name, "bob@example.net"), "sent")
    assert box.one("SELECT count(*) FROM outbox_status WHERE state = "
                   "'queued'")[0] == 6


def test_one_place_for_many(case):
    """A parked connection makes room for who waits; nobody is passed over."""
    server = case.server()
    names = ["t%d" % i for i in range(8)]
    for name in names:
        case.tenant(name, server)
    case.start(settings=["max_workers=1"])
    box = case.outbox()
    for _ in range(3):
        for name in names:
            box.insert(name, "bob@example.net")
    box.wait_all()
    assert len(server.mails) == 24


def test_busy_tenant_leaves_room(case):
    """One place; a tenant with a long queue has it; another one's single
    message does not wait until the queue is empty."""
    server = case.server()
    server.on("dot", lambda session, mail: time.sleep(0.02))
    case.tenant("long", server, max_connections=1)
    case.tenant("short", server)
    box = case.outbox()
    box.begin()
    for i in range(600):
        box.insert("long", "bob@example.net")
    box.commit()
    case.start(settings=["max_workers=1"])
    case.until("it is under way", lambda: len(server.mails) > 5)
    number = box.insert("short", "bob@example.net")
    box.wait_state(number, "sent", 60)
    assert len(server.mails) < 500, "it waited for the whole queue"


def test_probe_places_are_given_back(case):
    """One place for probes: a tenant that recovered does not keep it."""
    first = case.server()
    first.on("MAIL", lambda session, line: "421 4.3.2 down"
             if first.down else None)
    first.down = True
    gate = first.hold("dot", lambda session, mail: mail.subject == "held")
    second = case.server()
    second.down = True
    second.on("MAIL", lambda session, line: "421 4.3.2 down"
              if second.down else None)
    case.tenant("first", first, max_connections=1)
    case.tenant("second", second)
    box = case.outbox()
    box.insert("first", "bob@example.net", priority=9)
    box.insert("first", "bob@example.net", subject="held")
    box.insert("second", "bob@example.net")
    daemon = case.start(settings=["max_probes=1"])
    daemon.wait_event("tenant.down", count=2)
    first.down = False
    daemon.wait_event("tenant.up", tenant="first")
    gate.reached()
    # It is well and has a long conversation: the other one's probe goes on.
    second.down = False
    daemon.wait_event("tenant.up", tenant="second")
    gate.release()
    box.wait_all()


def test_further_session_for_mail_that_waits(case):
    """A second session when a due message has waited over 2 s, never more
    than max_connections."""
    server = case.server()
    gate = server.hold("dot", lambda session, mail: mail.subject == "slow")
    case.tenant("acme", server, max_connections=2)
    daemon = case.start()
    box = case.outbox()
    box.begin()     # seen all at once: nothing more happens to remind of them
    for _ in range(3):
        box.insert("acme", "bob@example.net", subject="slow")
    inserted = time.time()
    box.commit()
    gate.reached()
    gate.reached()
    second = daemon.log.wait("event=session.open", 2)[1]
    opened = datetime.datetime.fromisoformat(second.split()[0].replace("Z", "+00:00"))
    assert opened.timestamp() - inserted >= 2, "a second session at once"
    assert len(server.sessions) == 2
    gate.release()
    box.wait_all()
    assert len(server.sessions) == 2


def test_max_connections(case):
    """Never more, however much has waited over 2 s: not when another's mail
    goes that is due after those."""
    servers = {}
    box = case.outbox()
    for most in (1, 2, 3):
        servers[most] = case.server()
        servers[most].gate = servers[most].hold("dot")
        case.tenant("t%d" % most, servers[most], max_connections=most)
        box.begin()
        for _ in range(16):
            box.insert("t%d" % most, "bob@example.net")
        box.commit()
    clock = case.server()
    case.tenant("clock", clock)
    case.start()
    for most, server in servers.items():
        for _ in range(most):
            server.gate.reached(60)
    late = box.insert("clock", "bob@example.net",
                      not_before=int(time.time()) + 4)
    box.wait_state(late, "sent", 60)
    for most, server in servers.items():
        assert len(server.sessions) == most, (most, len(server.sessions))
        server.gate.release()
    box.wait_all()
    for most, server in servers.items():
        assert len(server.sessions) == most, (most, len(server.sessions))


def test_max_messages_per_session(case):
    """Then QUIT and a new session."""
    server = case.server()
    case.tenant("acme", server, max_connections=1,
                max_messages_per_session=3)
    box = case.outbox()
    for i in range(10):
        box.insert("acme", "bob@example.net", subject="%d" % i)
    daemon = case.start()
    box.wait_all()
    assert [session.mails for session in server.sessions] == [3, 3, 3, 1]
    assert [session.commands[-1] for session in server.sessions][:3] == \
        ["QUIT"] * 3
    assert server.subjects() == ["%d" % i for i in range(10)]
    daemon.exactly(3, "session.close", reason="max_messages_per_session")


def test_parked_connection_is_used_again(case):
    server = case.server()
    case.tenant("acme", server)
    case.start(settings=["idle_timeout=600s"])
    box = case.outbox()
    for _ in range(4):
        box.wait_state(box.insert("acme", "bob@example.net"), "sent")
    assert [session.mails for session in server.sessions] == [4]


def test_idle_connection_is_left_politely(case):
    server = case.server()
    case.tenant("acme", server)
    daemon = case.start(settings=["idle_timeout=1s"])
    box = case.outbox()
    box.wait_state(box.insert("acme", "bob@example.net"), "sent")
    daemon.wait_event("session.close", reason="idle")
    case.until("QUIT", lambda: server.sessions[0].commands[-1] == "QUIT")
    box.wait_state(box.insert("acme", "bob@example.net"), "sent")


def test_many_tenants_one_server(case):
    """Everything is by tenant, never by host: one in trouble, one host."""
    server = case.server(extensions=["PIPELINING", "AUTH PLAIN"])
    server.on("login", lambda session, pair: "535 5.7.8 no"
              if pair[0] == "bad" else None)
    for i in range(6):
        case.tenant("t%d" % i, server, auth="plain",
                    username="bad" if i == 2 else "u%d" % i, password="p")
    box = case.outbox()
    ids = [box.insert("t%d" % i, "bob@example.net") for i in range(6)]
    case.start()
    for i, number in enumerate(ids):
        if i != 2:
            box.wait_state(number, "sent")
    box.wait_tenant("t2", "auth_failed")
    assert box.state(ids[2]) == "queued"
    # Each message went through its own tenant's login.
    assert sorted(mail.session.user for mail in server.mails) == [
        "u%d" % i for i in range(6) if i != 2]


def test_one_place_for_two_outboxes(case):
    """max_workers is of all together: who waits in one file makes room in
    the other."""
    server = case.server()
    boxes = [case.outbox(name) for name in ("one.db", "two.db")]
    for box in boxes:
        for name in ("a", "b"):
            case.tenant(name, server, box)
    case.start("one.db", "two.db",
               settings=["max_workers=1", "idle_timeout=600s"])
    for box in boxes * 3:
        for name in ("a", "b"):
            box.wait_state(box.insert(name, "bob@example.net"), "sent")
    assert len(server.mails) == 12


# --- in the order of waiting ---------------------------------------------------

ONE_BY_ONE = ("8BITMIME", "ENHANCEDSTATUSCODES")


def wait_in_line(case, daemon, name, **values):
    """Until it has been told that no place is free: its mail is at hand then,
    and with no worker."""
    def waits():
        before = len(daemon.events("tenant.status", tenant=name, **values))
        daemon.signal(signal.SIGUSR1)
        event = daemon.wait_event("tenant.status", before + 1, 60,
                                  tenant=name, **values)[-1]
        return (event["ready"], event["in_hand"]) == ("1", "0")
    case.until("%s waits" % name, waits, 60)


def in_turn(case, databases):
    """One place, which a flood has; tenants come while others wait: each has
    its turn before anybody has a second one, in the order of its waiting."""
    server = case.server(extensions=ONE_BY_ONE)
    gate = server.hold("dot", lambda session, mail: mail.subject == "flood")
    boxes = [case.outbox(name) for name in databases]
    case.tenant("flood", server, boxes[0])
    names = ["t%d" % i for i in range(12)]
    for i, name in enumerate(names):
        case.tenant(name, server, boxes[i % len(boxes)])
    boxes[0].begin()
    for _ in range(200):
        boxes[0].insert("flood", "bob@example.net", subject="flood")
    boxes[0].commit()
    # that the flood's server is slow is what makes them wait
    daemon = case.start(*databases, settings=["max_workers=1"],
                        faults="aside-ms=3600000")
    gate.reached(60)
    # not in the order of their names, and not that of the outboxes
    order = [names[i * 5 % 12] for i in range(12)]
    for name in order:
        number = names.index(name) % len(boxes)
        boxes[number].insert(name, "bob@example.net", subject=name)
        values = {"db": databases[number][:-3]} if len(boxes) > 1 else {}
        wait_in_line(case, daemon, name, **values)
    gate.release()
    for box in boxes:
        box.wait_all(seconds=60)
    seen = server.subjects()
    first = seen.index(order[0])
    assert seen[first:first + 12] == order, seen
    assert seen.count("flood") == 200


def test_turns_in_the_order_of_waiting(case):
    in_turn(case, ["outbox.db"])


def test_turns_in_the_order_of_waiting_in_two_outboxes(case):
    in_turn(case, ["one.db", "two.db"])


def test_further_sessions_leave_at_once(case):
    """A flood with two sessions has both places: who comes waits for what one
    of them has in hand, not for a turn (which is an hour here)."""
    server = case.server(extensions=ONE_BY_ONE)
    gates = [server.hold("dot", lambda session, mail, n=n:
                         mail.subject == "flood" and session.number == n)
             for n in (1, 2)]
    case.tenant("flood", server, max_connections=2)
    case.tenant("other", server)
    box = case.outbox()
    box.begin()
    for _ in range(40):
        box.insert("flood", "bob@example.net", subject="flood")
    box.commit()
    need_faults()
    daemon = case.start_faulty("turn-ms=3600000,aside-ms=3600000", set(),
                               settings=["max_workers=2"])
    for gate in gates:
        gate.reached(60)
    number = box.insert("other", "bob@example.net", subject="other")
    wait_in_line(case, daemon, "other")
    gates[1].release()
    box.wait_state(number, "sent", 60)
    seen = server.subjects()
    assert seen[-1] == "other" and 2 <= len(seen) <= 3, seen
    gates[0].release()
    box.wait_all(seconds=60)


def test_probes_in_the_order_of_waiting(case):
    """One place for probes, which a server that hangs has: then each of the
    others is probed before one of them is a second time."""
    sick = case.server()
    sick.on("connect", "421 4.3.2 down")
    hangs = case.server()
    down = hangs.on("connect", "421 4.3.2 down")
    names = ["t%d" % i for i in range(6)]
    for name in names:
        case.tenant(name, sick)
    box = case.outbox()
    for name in names:
        box.insert(name, "bob@example.net")
    case.tenant("hangs", hangs)
    box.insert("hangs", "bob@example.net")
    daemon = case.start(settings=["max_probes=1"])
    for name in names + ["hangs"]:
        daemon.wait_event("tenant.down", 1, 60, tenant=name)
    gate = hangs.hold("connect")
    gate.reached(60)
    for name in names:
        wait_in_line(case, daemon, name)
    hangs.off(down)

    def probed():
        return [event["tenant"] for event in daemon.events("tenant.probe")
                if event["tenant"] != "hangs"]
    before = len(probed())
    gate.release()
    case.until("as many as there are are probed",
               lambda: len(probed()) >= before + 6, 60)
    assert sorted(probed()[before:before + 6]) == names, probed()


def slots(case, count):
    """So few slots of the in-flight journal; each tenant has a server that
    holds its mail at its end."""
    servers = {}
    for name in ("acme", "beta", "gamma", "delta"):
        servers[name] = case.server()
        servers[name].gate = servers[name].hold(
            "dot", lambda session, mail: mail.subject != "quick")
        case.tenant(name, servers[name], max_connections=1)
    case.start_faulty("slots=%d,metrics-ms=100" % count, set(), settings=[
        "metrics_file=" + case.path("figures")])
    return servers


def test_no_more_in_hand_than_the_journal_has_slots_for(case):
    """Who finds none waits until a result is committed, and does not pause."""
    servers = slots(case, 3)
    box = case.outbox()
    first = [box.insert(name, "bob@example.net")
             for name in ("acme", "beta", "gamma")]
    for name in ("acme", "beta", "gamma"):
        servers[name].gate.reached()
    case.until("it is told", lambda: (case.figure(
        "dispatches_total", db="outbox") or 0) > 0, 60)
    before = case.figure("dispatches_total", db="outbox")
    last = box.insert("delta", "bob@example.net")
    case.until("it was attended to", lambda: case.figure(
        "dispatches_total", db="outbox") > before, 60)
    time.sleep(0.3)     # one too many, which takes some ms to connect, is there by then
    assert not servers["delta"].sessions
    servers["beta"].gate.release()
    servers["delta"].gate.reached()
    assert box.state(first[1]) == "sent"
    for server in servers.values():
        server.gate.release()
    box.wait_all()
    assert box.state(last) == "sent"


def test_a_flood_leaves_slots_to_others(case):
    """Its results have slots until they are committed; those that come back go
    to who has waited first, not to the rest of the flood."""
    servers = slots(case, 4)
    flood = servers["acme"].hold("dot", lambda session, mail:
                                 mail.subject == "first")
    box = case.outbox()
    box.begin()
    box.insert("acme", "bob@example.net", subject="first", priority=9)
    for _ in range(3):
        box.insert("acme", "bob@example.net", subject="quick", priority=8)
    for _ in range(20):
        box.insert("acme", "bob@example.net", subject="flood")
    box.commit()
    flood.reached()
    case.until("it is told", lambda: (case.figure(
        "dispatches_total", db="outbox") or 0) > 0, 60)
    for name in ("beta", "gamma"):
        before = case.figure("dispatches_total", db="outbox")
        box.insert(name, "bob@example.net")
        case.until("it was attended to", lambda: case.figure(
            "dispatches_total", db="outbox") > before, 60)
    flood.release()
    servers["beta"].gate.reached()
    servers["gamma"].gate.reached()
    for server in servers.values():
        server.gate.release()
    box.wait_all()
