"""Ending outboxd, and telling it things while it runs."""

import base64
import json
import os
import re
import signal

import service


def held_at(case, moment, **columns):
    """outboxd with one message that waits for the server at that moment."""
    server = case.server()
    gate = server.hold(moment, lambda session, what: session.number == 1)
    case.tenant("acme", server, **columns)
    daemon = case.start()
    number = case.outbox().insert("acme", "bob@example.net")
    gate.reached()
    return server, gate, daemon, number


def test_term_before_the_end_of_data(case):
    """Closed at once and untried, not waited for."""
    server, gate, daemon, number = held_at(case, "DATA")
    daemon.signal(signal.SIGTERM)
    assert daemon.wait_end() == 0
    row = case.outbox().status(number)
    assert (row["state"], row["attempts"]) == ("queued", 0)
    assert not case.outbox().deliveries(number)
    assert not server.mails
    daemon.wait_event("daemon.stop", status=0)
    # and the next outboxd sends it
    gate.release()
    daemon.start()
    case.outbox().wait_state(number, "sent")
    assert len(server.mails) == 1


def test_term_while_connecting(case):
    server, gate, daemon, number = held_at(case, "connect")
    daemon.signal(signal.SIGTERM)
    assert daemon.wait_end() == 0
    assert case.outbox().status(number)["attempts"] == 0


def test_term_after_the_end_of_data(case):
    """Its reply is waited for and recorded; nothing new is begun."""
    server, gate, daemon, number = held_at(case, "dot")
    box = case.outbox()
    daemon.signal(signal.SIGTERM)
    # A message that comes now is for the next outboxd.
    later = box.insert("acme", "ann@example.net")
    case.until("stopping", lambda: service.children(daemon.process.pid))
    gate.release()
    assert daemon.wait_end() == 0
    assert box.state(number) == "sent"
    daemon.wait_event("delivery.sent", id=number)
    if box.state(later) == "queued":
        assert len(server.mails) == 1


def test_second_term_cuts_it_short(case):
    """Uncertain, recorded, and at once."""
    server, gate, daemon, number = held_at(case, "dot")
    daemon.signal(signal.SIGTERM)
    daemon.wait_heard()     # two signals at the same time would be one
    daemon.signal(signal.SIGTERM)
    assert daemon.wait_end() == 0
    row = case.outbox().status(number)
    assert (row["state"], row["attempts"]) == ("deferred", 1)
    delivery = case.outbox().deliveries(number)["bob@example.net"]
    assert delivery["state"] == "uncertain"
    daemon.wait_event("delivery.uncertain", id=number)


def test_shutdown_grace(case):
    """The wait for a reply has an end of its own."""
    server = case.server()
    gate = server.hold("dot")
    case.tenant("acme", server)
    daemon = case.start(settings=["shutdown_grace=1s"])
    number = case.outbox().insert("acme", "bob@example.net")
    gate.reached()
    daemon.signal(signal.SIGTERM)
    assert daemon.wait_end() == 0
    assert case.outbox().state(number) == "deferred"
    daemon.wait_event("delivery.uncertain", id=number)


def test_interrupt_is_a_stop_too(case):
    case.tenant("acme", None)
    daemon = case.start()
    daemon.signal(signal.SIGINT)
    assert daemon.wait_end() == 0


def test_term_with_a_long_queue(case):
    """What is accepted is recorded, what is not stays queued, none twice."""
    server = case.server()
    case.tenant("acme", server)
    box = case.outbox()
    box.begin()
    for i in range(400):
        box.insert("acme", "bob@example.net", subject="%d" % i)
    box.commit()
    daemon = case.start()
    case.until("some sent", lambda: len(server.mails) > 20)
    daemon.signal(signal.SIGTERM)
    assert daemon.wait_end() == 0
    assert box.count("sent") == len(server.mails)
    assert box.count("sent") + box.count("queued") == 400
    daemon.start()
    box.wait_all()
    assert sorted(server.subjects(), key=int) == ["%d" % i
                                                  for i in range(400)]


def test_service_dies_with_its_monitor(case):
    server = case.server()
    case.tenant("acme", server)
    daemon = case.start()
    pid = daemon.service_pid()
    os.kill(daemon.process.pid, signal.SIGKILL)
    daemon.process.wait()
    daemon.process = None
    case.until("the service dead", lambda: service.gone(pid), 5)
    daemon.start()
    box = case.outbox()
    box.wait_state(box.insert("acme", "bob@example.net"), "sent")


def test_service_killed_alone(case):
    """The monitor starts it again, at once; mail goes on."""
    server = case.server()
    case.tenant("acme", server)
    daemon = case.start()
    daemon.allowed.add("service.crashed")
    box = case.outbox()
    for _ in range(2):
        box.wait_state(box.insert("acme", "bob@example.net"), "sent")
        os.kill(daemon.service_pid(), signal.SIGKILL)
        box.wait_state(box.insert("acme", "bob@example.net"), "sent")
        case.until("a service", lambda: service.children(daemon.process.pid))
    daemon.wait_event("service.crashed")
    assert len(server.mails) == 4


def test_term_to_the_service_ends_both(case):
    case.tenant("acme", None)
    daemon = case.start()
    os.kill(daemon.service_pid(), signal.SIGTERM)
    assert daemon.wait_end() == 0


def test_hup_reopens_the_log(case):
    server = case.server()
    case.tenant("acme", server)
    daemon = case.start()
    os.rename(daemon.log.path, daemon.log.path + ".1")
    daemon.signal(signal.SIGHUP)
    case.until("a new log", lambda: os.path.exists(daemon.log.path))
    box = case.outbox()
    number = box.insert("acme", "bob@example.net")
    daemon.wait_event("delivery.sent", id=number)
    with open(daemon.log.path + ".1") as stream:
        assert "delivery.sent" not in stream.read()


def test_hup_rereads_the_configuration(case):
    """A bad one is told, and what was there stays; a good one counts."""
    path = case.path("outboxd.conf")

    def write(text):
        with open(path, "w") as stream:
            stream.write(text)
    write("idle_timeout = 600s\n")
    server = case.server()
    case.tenant("acme", server)
    daemon = case.start(config=path)
    daemon.allowed.add("config.error")
    box = case.outbox()
    write("idle_timeout = soon\n")
    daemon.signal(signal.SIGHUP)
    event = daemon.wait_event("config.error")[0]
    assert "soon" in event["error"] and "line 1" in event["error"], event
    box.wait_state(box.insert("acme", "bob@example.net"), "sent")
    box.wait_state(box.insert("acme", "bob@example.net"), "sent")
    assert len(server.sessions) == 1    # 600 s still: it is parked
    write("idle_timeout = 1s\n")
    daemon.signal(signal.SIGHUP)
    # Parked by the old setting; the next to be parked goes by the new one.
    for _ in range(5):
        box.wait_state(box.insert("acme", "bob@example.net"), "sent")
        try:
            daemon.wait_event("session.close", reason="idle", seconds=4)
            return
        except AssertionError:
            pass    # the message came before the new setting
    raise AssertionError("idle_timeout = 1s has no effect")


def test_worker_left_behind(case):
    """One that does not end when it must is no reason to stay; the exit
    status and the log say it."""
    server = case.server()
    case.tenant("acme", server)
    number = case.outbox().insert("acme", "bob@example.net")
    stalls = case.path("stalls")
    open(stalls, "w").close()
    os.environ["OUTBOXD_FAULT_TOKEN"] = stalls
    daemon = case.start_faulty("give-up-ms=200,deliver-taken:acme:1:stall", set())
    case.until("it stands still", lambda: not os.path.exists(stalls))
    daemon.signal(signal.SIGTERM)
    daemon.wait_heard()
    daemon.signal(signal.SIGTERM)
    assert daemon.wait_end() == 70
    assert daemon.wait_event("daemon.stop")[0]["status"] == "70"
    case.start()
    case.outbox().wait_state(number, "sent")


def test_usr1_tells_the_state(case):
    server = case.server()
    gate = server.hold("dot")
    case.tenant("acme", server, max_connections=1)
    case.tenant("down", None, retry_max=3600)
    daemon = case.start()
    box = case.outbox()
    number = box.insert("acme", "bob@example.net")
    box.insert("down", "bob@example.net")
    gate.reached()
    daemon.wait_event("tenant.down", tenant="down")
    daemon.signal(signal.SIGUSR1)
    worker = daemon.wait_event("worker.status", tenant="acme")[0]
    assert worker["id"] == str(number) and worker["stage"] == "end"
    down = daemon.wait_event("tenant.status", tenant="down")[0]
    assert down["state"] == "backoff" and float(down["retry_in"]) > 0
    assert "refused" in down["error"]
    gate.release()
    box.wait_state(number, "sent")


def test_log_dir(case):
    """A file a tenant and database; every line tells the database."""
    server = case.server()
    logs = case.path("logs")
    os.mkdir(logs)
    for name in ("one.db", "two.db"):
        for tenant in ("acme", "other"):
            case.tenant(tenant, server, case.outbox(name))
    daemon = case.start("one.db", "two.db", settings=["log_dir=" + logs])
    ids = {}
    for name in ("one.db", "two.db"):
        box = case.outbox(name)
        number = box.insert("acme", "bob@example.net", reference=name)
        box.wait_state(number, "sent")
        ids[name[:3]] = number
    for db, number in ids.items():
        path = os.path.join(logs, db, "acme.log")
        case.until("logged", lambda: os.path.exists(path))

        def events():
            with open(path) as stream:
                return [service.parse(line) for line in stream]
        case.until("the delivery", lambda: [
            event for event in events()
            if event["event"] == "delivery.sent" and
            event["reference"] == db + ".db"])
        assert all(event["db"] == db and event["tenant"] == "acme"
                   for event in events())
        assert not os.path.exists(os.path.join(logs, db, "other.log"))
    daemon.exactly(2, "delivery.sent")
    os.rename(os.path.join(logs, "one", "acme.log"),
              os.path.join(logs, "one", "acme.log.1"))
    daemon.signal(signal.SIGHUP)
    box = case.outbox("one.db")
    box.wait_state(box.insert("acme", "bob@example.net"), "sent")
    case.until("reopened", lambda: os.path.exists(
        os.path.join(logs, "one", "acme.log")))


def test_log_dir_of_one_database(case):
    server = case.server()
    logs = case.path("logs")
    os.mkdir(logs)
    case.tenant("acme", server)
    daemon = case.start(settings=["log_dir=" + logs])
    box = case.outbox()
    box.wait_state(box.insert("acme", "bob@example.net"), "sent")
    case.until("logged", lambda: os.path.exists(
        os.path.join(logs, "acme.log")))
    assert all("db" not in event for event in daemon.events())


def test_json_log(case):
    server = case.server()
    server.on("dot", '250 2.0.0 "quoted" \\ and \ttab')
    case.tenant("acme", server)
    daemon = case.start(settings=["log_format=json"])
    box = case.outbox()
    number = box.insert("acme", "bob@example.net", reference='a "b" \u00e9')
    box.wait_state(number, "sent")
    assert daemon.stop() == 0
    found = [json.loads(line) for line in daemon.log.text().splitlines()]
    sent = [event for event in found if event["event"] == "delivery.sent"]
    assert sent[0]["id"] == number and sent[0]["reference"] == 'a "b" \u00e9'
    assert sent[0]["code"] == 250 and '"quoted" \\' in sent[0]["response"]
    assert [event["event"] for event in found][-1] == "daemon.stop"


def test_secrets_never_in_the_log(case):
    """The server echoes them wherever it can, plain and in base64."""
    password = "tr0ub4dor&3-xyzzy"
    plain = base64.b64encode(("\0me\0" + password).encode()).decode()
    forms = [password, base64.b64encode(password.encode()).decode(), plain]
    echo = " and ".join(forms)
    server = case.server(extensions=["PIPELINING", "AUTH PLAIN LOGIN"])
    count = {"login": 0}

    def login(session, pair):
        assert pair[1] == password
        count["login"] += 1
        return "454 4.7.0 %s" % echo if count["login"] == 1 else \
            "235 2.7.0 %s" % echo
    server.on("login", login)
    server.on("RCPT", lambda session, line: "450 4.2.1 %s" % echo
              if "bob@" in line else "550 5.1.1 %s" % echo
              if "eve@" in line else None)
    server.on("dot", lambda session, mail: "250 2.0.0 %s" % echo)
    for auth in ("plain", "login"):
        case.tenant(auth, server, auth=auth, username="me",
                    password=password)
    logs = case.path("logs")
    os.mkdir(logs)
    daemon = case.start(settings=["log_level=debug", "log_dir=" + logs])
    box = case.outbox()
    numbers = [box.insert(auth, "ann@example.net, bob@example.net, "
                          "eve@example.net") for auth in ("plain", "login")]
    for number in numbers:
        daemon.wait_event("delivery.deferred", id=number)
        daemon.wait_event("delivery.sent", id=number)
    daemon.signal(signal.SIGUSR1)
    daemon.wait_event("tenant.status", count=2)
    assert daemon.stop() == 0
    texts = [daemon.log.text(), daemon._output()]
    for folder, _, names in os.walk(logs):
        for name in names:
            with open(os.path.join(folder, name)) as stream:
                texts.append(stream.read())
    for table in ("outbox_status", "outbox_delivery", "outbox_tenant_status"):
        texts += [" ".join(map(str, tuple(row)))
                  for row in box.rows("SELECT * FROM " + table)]
    for text in texts:
        for form in forms:
            assert form not in text, text[max(0, text.find(form) - 200):][:400]
    assert any(re.search(r"response=.*and", text) for text in texts)


def test_second_outboxd_is_refused(case):
    """75, with words; the first goes on."""
    server = case.server()
    case.tenant("acme", server)
    case.start()
    second = case.daemon(log="second")
    second.allowed.add("storage.failed")
    second.start(ready=False)
    assert second.wait_end() == 75
    assert "another outboxd" in second.log.text()
    box = case.outbox()
    box.wait_state(box.insert("acme", "bob@example.net"), "sent")
