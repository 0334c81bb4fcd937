"""Several messages under way on one connection: what goes together, and what
becomes of each when something breaks."""

import collections
import os
import signal

import outbox
from case import Skip, need_faults
from server import CLOSE

CHUNKING = ("PIPELINING", "CHUNKING", "8BITMIME", "ENHANCEDSTATUSCODES")
TROUBLE = {"service.crashed", "worker.failed", "worker.restarted"}


def queue(case, server, count, **columns):
    """So many messages, committed together, of a tenant with one session."""
    settings = {"max_connections": 1, "pipeline_depth": 4}
    settings.update(columns)
    case.tenant("acme", server, **settings)
    box = case.outbox()
    box.begin()
    numbers = [box.insert("acme", "bob@example.net", subject="m%d" % i)
               for i in range(count)]
    box.commit()
    return box, numbers


def times(server):
    return collections.Counter(server.subjects())


def look_ahead(server, condition):
    """Notes whether more has come before the answer to a message's end."""
    seen = []

    def look(session, mail):
        if condition(mail):
            seen.append(session.has_more(20))
    server.on("dot", look)
    return seen


def test_the_next_goes_with_the_end(case):
    """With PIPELINING: MAIL of the next one is there before the answer."""
    server = case.server()
    seen = look_ahead(server, lambda mail: mail.subject == "m5")
    box, numbers = queue(case, server, 20, pipeline_depth=1)
    case.start()
    box.wait_all()
    assert seen == [True]
    assert times(server) == {"m%d" % i: 1 for i in range(20)}
    assert len(server.sessions) == 1
    assert not server.commands("RSET")


def test_nothing_goes_along_without_pipelining(case):
    server = case.server(extensions=["CHUNKING", "8BITMIME"])
    seen = []
    server.on("dot", lambda session, mail: seen.append(
        session.has_more(0.02)))
    box, numbers = queue(case, server, 20)
    case.start()
    box.wait_all()
    assert seen == [False] * 20
    assert times(server) == {"m%d" % i: 1 for i in range(20)}


def test_dovecot_gets_one_at_a_time(case):
    """Its submission service offers PIPELINING and dies of it."""
    server = case.server(extensions=CHUNKING)
    server.on("connect", "220 mail.example Dovecot ready.")
    seen = []
    server.on("dot", lambda session, mail: seen.append(
        session.has_more(0.02)))
    box, numbers = queue(case, server, 10, pipeline_depth=1)
    case.start()
    box.wait_all()
    assert seen == [False] * 10
    assert len(server.sessions) == 1


def test_a_server_that_dies_of_company_does_so_once(case):
    """Whoever it is: after the first loss each message waits for the answer
    to the one before, and the log says so."""
    server = case.server()
    deaths = []

    def die(session, mail):
        if session.has_more(0.05):
            deaths.append(mail.subject)
            return CLOSE
    server.on("dot", die)
    box, numbers = queue(case, server, 20, pipeline_depth=1)
    daemon = case.start()
    daemon.wait_event("tenant.one_at_a_time", tenant="acme")
    for number in numbers:
        box.wait("%d is not under way" % number, lambda: box.state(number)
                 in ("sent", "deferred"))
    for number in numbers:
        if box.state(number) == "deferred":
            box.execute("UPDATE outbox_status SET state = 'queued' "
                        "WHERE outbox_id = ?", number)
    box.wait_all()
    assert len(deaths) == 1, deaths
    assert times(server) == {"m%d" % i: 1 for i in range(20)}
    daemon.exactly(1, "tenant.one_at_a_time")


def test_a_single_message_goes_at_once(case):
    """Nothing waits for company: the last one, alone, is finished."""
    for extensions in (CHUNKING, ("PIPELINING",)):
        server = case.server(extensions=extensions)
        name = "t%d" % len(extensions)
        case.tenant(name, server, pipeline_depth=8)
    case.start()
    for name in ("t4", "t1"):
        for _ in range(3):
            number = case.outbox().insert(name, "bob@example.net")
            case.outbox().wait_state(number, "sent")


def test_whole_messages_under_way(case):
    """Four of them have left before the first is answered."""
    server = case.server(extensions=CHUNKING)
    gate = server.hold("dot", lambda session, mail: mail.subject == "m0")
    box, numbers = queue(case, server, 12)
    daemon = case.start()
    gate.reached()
    session = server.sessions[0]
    assert session.has_more(20)
    gate.release()
    box.wait_all()
    assert times(server) == {"m%d" % i: 1 for i in range(12)}
    assert not server.commands("DATA")
    assert len(server.commands("BDAT")) == 12
    assert len(server.sessions) == 1
    daemon.exactly(12, "delivery.sent")


def test_refused_in_the_middle(case):
    """Each has its own answer."""
    server = case.server(extensions=CHUNKING)
    server.on("dot", lambda session, mail: "554 5.6.0 not this one"
              if mail.subject in ("m3", "m7") else None)
    server.on("RCPT", lambda session, line: None)
    box, numbers = queue(case, server, 12)
    case.start()
    for i, number in enumerate(numbers):
        row = box.wait_state(number, "failed" if i in (3, 7) else "sent")
        assert row["attempts"] == 1
    assert times(server) == {"m%d" % i: 1 for i in range(12)
                             if i not in (3, 7)}


def test_503_behind_a_refused_one_goes_again_at_once(case):
    """A server that is confused by what it refused, RSET or not."""
    server = case.server(extensions=CHUNKING)
    confused = []

    def refuse(session, mail):
        if mail.subject == "m2" and not confused:
            assert session.has_more(20)
            confused.append(session)
            return "554 5.6.0 not this one"
        return None

    def mail(session, line):
        if len(confused) == 1:
            confused.append(session)
            return "503 5.5.1 not now"
        return None

    server.on("dot", refuse)
    server.on("MAIL", mail)
    box, numbers = queue(case, server, 10)
    daemon = case.start()
    for i, number in enumerate(numbers):
        row = box.wait_state(number, "failed" if i == 2 else "sent")
        assert row["attempts"] == 1, row
    assert times(server) == {"m%d" % i: 1 for i in range(10) if i != 2}
    assert not daemon.events("tenant.down")


def test_lost_with_several_under_way(case):
    """At most pipeline_depth are uncertain; the others go on, nobody twice."""
    server = case.server(extensions=CHUNKING)
    lost = []

    def close(session, mail):
        if mail.subject == "m5" and not lost:
            lost.append(session)
            return CLOSE
        return None

    server.on("dot", close)
    box, numbers = queue(case, server, 20)
    daemon = case.start()
    box.wait("all but the uncertain ones are sent", lambda: box.count("sent")
             + len({e["id"] for e in daemon.events("delivery.uncertain")})
             == 20)
    uncertain = {int(e["id"]) for e in daemon.events("delivery.uncertain")}
    assert numbers[5] in uncertain and 1 <= len(uncertain) <= 4, uncertain
    assert times(server) == {"m%d" % i: 1 for i, number in enumerate(numbers)
                             if number not in uncertain}
    for number in uncertain:
        assert box.state(number) == "deferred"
        found = box.deliveries(number)["bob@example.net"]
        assert found["state"] == "uncertain" and found["attempts"] == 1
        box.execute("UPDATE outbox_status SET state = 'queued' "
                    "WHERE outbox_id = ?", number)
    box.wait_all()
    assert times(server) == {"m%d" % i: 1 for i in range(20)}
    for event in daemon.exactly(20, "delivery.sent"):
        assert ("duplicate" in event) == (int(event["id"]) in uncertain)


def test_421_with_several_under_way(case):
    """It answers one; those behind it were not tried, and go on."""
    server = case.server(extensions=CHUNKING)
    said = []

    def farewell(session, mail):
        if mail.subject == "m3" and not said:
            said.append(session)
            return ["421 4.3.2 shutting down", CLOSE]
        return None

    server.on("dot", farewell)
    box, numbers = queue(case, server, 12)
    case.start()
    box.wait_all()
    assert times(server) == {"m%d" % i: 1 for i in range(12)}
    assert box.status(numbers[3])["attempts"] == 2


def test_hold_with_several_under_way(case):
    """on_uncertain = hold: nothing is sent twice, whatever is lost."""
    server = case.server(extensions=CHUNKING)
    lost = []

    def take(session, mail):
        if mail.subject == "m4" and not lost:
            lost.append(session)
            server.took(mail)
            return CLOSE
        return None

    server.on("dot", take)
    box, numbers = queue(case, server, 12, on_uncertain="hold")
    case.start()
    box.wait("all are decided", lambda: box.count("sent") +
             box.count("uncertain") == 12)
    assert box.state(numbers[4]) == "uncertain"
    assert 1 <= box.count("uncertain") <= 4
    assert all(count == 1 for count in times(server).values())


def test_term_with_several_under_way(case):
    """What has left is waited for and recorded, the rest stays queued."""
    server = case.server(extensions=CHUNKING)
    gate = server.hold("dot", lambda session, mail: mail.subject == "m2")
    box, numbers = queue(case, server, 30)
    daemon = case.start()
    gate.reached()
    daemon.signal(signal.SIGTERM)
    daemon.wait_heard()
    gate.release()
    assert daemon.wait_end() == 0
    sent = box.count("sent")
    assert sent == len(server.mails) and box.count("queued") == 30 - sent
    daemon.start()
    box.wait_all()
    assert times(server) == {"m%d" % i: 1 for i in range(30)}


def test_mailmax_is_obeyed(case):
    """RFC 9422: so many transactions a session."""
    server = case.server(extensions=CHUNKING + ("LIMITS MAILMAX=5",))
    box, numbers = queue(case, server, 20)
    case.start()
    box.wait_all()
    assert times(server) == {"m%d" % i: 1 for i in range(20)}
    assert len(server.sessions) == 4
    for session in server.sessions:
        assert sum(line.startswith("MAIL") for line in session.commands) == 5
        case.until("a farewell", lambda: session.commands[-1] == "QUIT")


def test_rcptmax_and_domains_are_obeyed(case):
    server = case.server(extensions=("PIPELINING",
                                     "LIMITS RCPTMAX=2 RCPTDOMAINMAX=1"))
    case.tenant("acme", server)
    case.start()
    people = ["%s@%s.example" % (who, where) for where in
              ("one", "two", "three", "four", "five", "six")
              for who in ("a", "b", "c")]
    number = case.outbox().insert("acme", ", ".join(people))
    row = case.outbox().wait_state(number, "sent")
    assert row["attempts"] == 1
    got = [mail.recipients for mail in server.mails]
    assert sorted(sum(got, [])) == sorted(people)
    assert all(len(some) <= 2 for some in got)
    assert len(server.sessions) == 6


def test_suspects_go_alone(case):
    """Whatever pipeline_depth says."""
    server = case.server(extensions=CHUNKING)
    seen = []
    server.on("dot", lambda session, mail: seen.append(session.has_more(0.2))
              if session.number > 1 and len(seen) < 4 else None)
    box, numbers = queue(case, server, 8)
    daemon = case.start_faulty("deliver-past-end:acme:4:end", TROUBLE)
    box.wait("all are known", lambda: box.count("sent") + len(
        {e["id"] for e in daemon.events("delivery.uncertain")}) == 8)
    uncertain = {int(e["id"]) for e in daemon.events("delivery.uncertain")}
    assert 1 <= len(uncertain) <= 4
    assert all(count == 1 for count in times(server).values())


def test_crash_with_several_under_way(case):
    """The journal knows which were past their end: these are uncertain, all
    others are sent once."""
    need_faults()
    with open(os.path.join(outbox.build_directory(), "config.h")) as stream:
        if "#define WITH_SANITIZER" in stream.read():
            raise Skip("a sanitizer owns the fatal signals")
    server = case.server(extensions=CHUNKING)
    gate = server.hold("dot", lambda session, mail: mail.subject == "m14" and
                       session.number == 1)
    box, numbers = queue(case, server, 14)
    # Each process counts anew: the second one does not come so far.
    daemon = case.start_faulty("deliver-past-end:acme:18:segv", TROUBLE)
    box.wait_all()
    box.begin()
    numbers += [box.insert("acme", "bob@example.net", subject="m%d" % i)
                for i in range(14, 20)]
    box.commit()
    daemon.wait_event("service.crashed")
    gate.release()
    box.wait("all are known", lambda: box.count("sent") + len(
        {e["id"] for e in daemon.events("delivery.uncertain")}) == 20,
             seconds=40)
    uncertain = {int(e["id"]) for e in daemon.events("delivery.uncertain")}
    assert uncertain == set(numbers[14:18]), uncertain
    event = daemon.wait_event("service.crashed")[0]
    assert "messages in hand" in event["error"], event
    for number in uncertain:
        box.execute("UPDATE outbox_status SET state = 'queued' "
                    "WHERE outbox_id = ?", number)
    box.wait_all()
    found = times(server)
    assert set(found) == {"m%d" % i for i in range(20)}
    assert all(count == 1 for subject, count in found.items()
               if numbers[int(subject[1:])] not in uncertain)


def test_killed_with_several_under_way(case):
    """kill -9, again and again, while mail goes out: nothing is lost, and
    what may be twice is said to be."""
    server = case.server(extensions=CHUNKING)
    box, numbers = queue(case, server, 300, pipeline_depth=8)
    daemon = case.start()
    daemon.allowed |= TROUBLE
    for kills, left in enumerate((260, 180, 100)):
        case.until("%d are left" % left,
                   lambda n=left: box.count("queued") <= n, 40)
        os.kill(daemon.service_pid(), signal.SIGKILL)
        case.until("the next service",
                   lambda n=kills: daemon.ready_count() > n + 1)
    box.wait("all are known", lambda: box.count("queued") == 0, 60)
    uncertain = {number for number in numbers
                 if box.state(number) == "deferred"}
    for number in uncertain:
        if box.state(number) == "deferred":
            box.execute("UPDATE outbox_status SET state = 'queued' "
                        "WHERE outbox_id = ?", number)
    box.wait_all()
    found = times(server)
    assert set(found) == {"m%d" % i for i in range(300)}
    for subject, count in found.items():
        assert count == 1 or numbers[int(subject[1:])] in uncertain, subject


def test_slow_start_bounds_the_window(case):
    """After an outage: one, and not four at once."""
    server = case.server(extensions=CHUNKING)
    down = server.on("connect", "421 4.3.2 not yet")
    box, numbers = queue(case, server, 10, retry_max=1)
    daemon = case.start()
    daemon.wait_event("tenant.down")
    seen = []
    server.on("dot", lambda session, mail: seen.append(
        session.has_more(0.3)) if not seen else None)
    server.off(down)
    box.wait_all()
    assert seen == [False]
    assert times(server) == {"m%d" % i: 1 for i in range(10)}
