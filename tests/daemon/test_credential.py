"""Tenants that log in as one user at one server share what it allows that user:
sessions, messages a minute, recipients a day; and nothing else."""

import collections
import re

EXTENSIONS = ("8BITMIME", "ENHANCEDSTATUSCODES", "AUTH PLAIN")
PARKED = ["idle_timeout=1h"]    # no session ends by itself


class Visits:
    """Sessions of a server that may have one at a time. outboxd ends one before it
    opens the next, and says nothing more in it but QUIT; that it has ended the
    server may see later."""

    def __init__(self, server):
        self.server = server
        self.before = []
        server.on("connect", self.connected)

    def connected(self, session, what):
        with self.server.lock:
            self.before += [(one, len(one.commands), session) for one in
                            self.server.sessions if one is not session and not one.over]

    def check(self, case):
        for one, count, after in self.before:
            case.until("session %d at its end" % one.number, lambda s=one: s.over)
            late = one.commands[count:]
            assert late in ([], ["QUIT"]), (one.number, after.number, late)


def tenant(case, name, server, **columns):
    settings = {"auth": "plain", "username": "me@acme.example", "password": "secret"}
    settings.update(columns)
    case.tenant(name, server, **settings)


def by_sender(server):
    with server.lock:
        return collections.Counter(mail.sender.split("@")[1].split(".")[0]
                                   for mail in server.mails)


def recipients(count):
    return ", ".join("r%d@example.net" % i for i in range(count))


def wait_limited(box, *names):
    for name in names:
        box.wait_tenant(name, "limited", 60)


def test_one_session_for_all(case):
    """One connection for two tenants, in turns: an idle session is ended when
    the other tenant has mail, a busy one after its message; each has a session and
    a login of its own; who logs in as somebody else does not wait."""
    server, elsewhere = case.server(extensions=EXTENSIONS), case.server(extensions=EXTENSIONS)
    visits = Visits(server)
    gate = server.hold("dot", lambda session, mail: mail.subject == "first")
    tenant(case, "acme", server, max_connections=1, password="of-acme")
    tenant(case, "beta", server, max_connections=3, password="of-beta",
           username="ME@acme.example")
    tenant(case, "other", elsewhere)
    logins = []
    server.on("login", lambda session, pair: logins.append((session, pair[1])))
    box = case.outbox()
    daemon = case.start_faulty("turn-ms=0", set(), settings=PARKED)
    first = box.insert("acme", "bob@example.net", subject="first")
    gate.reached(60)
    box.begin()
    for i in range(20):
        box.insert("acme", "bob@example.net", subject="%d" % i)
    behind = box.insert("beta", "bob@example.net")
    box.commit()
    # by then the supervisor has seen beta's, too
    box.wait_state(box.insert("other", "bob@example.net"), "sent", 60)
    assert len(server.sessions) == 1 and box.state(behind) == "queued"
    gate.release()
    box.wait_state(first, "sent", 60)
    box.wait_all()
    # it had its turn before acme's queue was at its end
    senders = [mail.sender for mail in server.mails]
    assert senders.index("app@beta.example") < len(senders) - 10, senders
    # and now that both are idle: whoever has the session gives it back
    for name in ("beta", "acme", "beta"):
        box.wait_state(box.insert(name, "bob@example.net"), "sent", 60)
    visits.check(case)
    password = dict(logins)
    assert len(password) == len(server.sessions) >= 5
    for mail in server.mails:
        assert "app@%s.example" % password[mail.session][3:] == mail.sender
    event = daemon.exactly(1, "tenant.shares")[0]
    assert event["server"] == "127.0.0.1:%d" % server.port, event
    assert (event["names"], event["tenants"], event["max_connections"]) == \
        ("acme, beta", "2", "1"), event


def test_a_session_that_ends_calls_only_who_may_have_it(case):
    """Each tenant of a long line once, and not the whole line each time; where
    places are fewer than sessions (max_workers), the one for whom one is kept."""
    server = case.server(extensions=EXTENSIONS)
    names = ["t%02d" % i for i in range(40)]
    for name in names:
        tenant(case, name, server, max_connections=4)
    box = case.outbox()
    box.begin()
    for name in names:
        box.insert(name, "bob@example.net")
    box.commit()
    case.start_faulty("metrics-ms=200", set(), settings=PARKED + [
        "max_workers=2", "metrics_file=" + case.path("figures")])
    box.wait_all()
    case.until("the figures tell", lambda: case.figure(
        "delivery_delay_seconds_count", db="outbox") == len(names), 60)
    count = case.figure("dispatches_total", db="outbox")
    print("# dispatches: %d" % count)
    assert len(names) <= count < 10 * len(names), count


def test_fewer_sessions_come_live(case):
    """The one that sets a smaller number is another than the one that has them."""
    server = case.server(extensions=EXTENSIONS)
    gate = server.hold("dot")
    tenant(case, "acme", server, max_connections=5)
    tenant(case, "beta", server, max_connections=2)
    box = case.outbox()
    for _ in range(4):
        box.insert("beta", "bob@example.net")
    daemon = case.start(settings=PARKED)
    gate.reached(60)
    gate.reached(60)    # the second one, after two seconds
    gate.release()
    box.wait_all()
    assert len(server.sessions) == 2
    box.set_tenant("acme", max_connections=1)
    case.until("one ended", lambda: [one.over for one in server.sessions].count(True) == 1, 60)
    daemon.exactly(1, "session.close")
    box.wait_state(box.insert("beta", "bob@example.net"), "sent", 60)
    assert len(server.sessions) == 2


def company(case, server, **limits):
    """Three tenants of one mailbox, of which the first has a limit and the last a larger one, and twelve
    messages each."""
    names = ["acme", "beta", "gamma"]
    tenant(case, "acme", server, **limits)
    tenant(case, "beta", server)
    tenant(case, "gamma", server, **{column: 50 for column in limits})
    box = case.outbox()
    box.begin()
    for name in names:
        for _ in range(12):
            box.insert(name, "bob@example.net")
    box.commit()
    return box, names


def sent(box, most):
    box.wait("%d sent" % most, lambda: box.count("sent") == most, 60)


def test_messages_per_minute_are_shared(case):
    """The smallest that is set holds for all together."""
    server = case.server(extensions=EXTENSIONS)
    box, names = company(case, server, messages_per_minute=4)
    daemon = case.start(settings=PARKED)
    wait_limited(box, *names)
    sent(box, 4)
    assert sum(by_sender(server).values()) == 4
    for name in names:
        words = box.tenant_status(name)["last_error"]
        assert re.fullmatch(r"limited to 4 messages a minute together with 2 others of its "
                            r"mailbox; next at \d\d:\d\d:\d\d UTC", words), words
        daemon.wait_event("tenant.limited", seconds=60, tenant=name)
    for name in ("gamma", "acme"):
        box.set_tenant(name, messages_per_minute=None)
    box.wait_all()
    assert by_sender(server) == collections.Counter(names * 12)


def test_what_a_larger_limit_lets_go_is_shared_out(case):
    """By turns: one each, whoever has a session just now."""
    server = case.server(extensions=EXTENSIONS)
    box, names = company(case, server, recipients_per_day=4)
    daemon = case.start(settings=PARKED)
    sent(box, 4)
    wait_limited(box, *names)
    for most in (7, 10):
        before = by_sender(server)
        box.set_tenant("acme", recipients_per_day=most)
        sent(box, most)
        assert by_sender(server) - before == collections.Counter(names)
        box.wait("told", lambda n=most: all("to %d " % n in (
            box.tenant_status(name)["last_error"] or "") for name in names), 60)
    daemon.exactly(3, "tenant.shares")


def test_who_has_waited_longest_comes_first(case):
    """Whatever the order in which they are looked at."""
    server = case.server(extensions=EXTENSIONS)
    names = ["acme", "beta", "gamma"]
    for name in names:
        tenant(case, name, server, recipients_per_day=9)
    box = case.outbox()
    box.set_tenant("acme", recipients_per_day=1)
    case.start(settings=PARKED)
    box.wait_state(box.insert("acme", "bob@example.net"), "sent", 60)
    order = ["gamma", "acme", "beta"]
    for name in order:
        box.insert(name, "bob@example.net", subject=name)
        wait_limited(box, name)
    for count in range(1, 4):
        box.set_tenant("acme", recipients_per_day=1 + count)
        sent(box, 1 + count)
        assert server.subjects()[1:] == order[:count]
        # Each has asked by the limit that is now, and stands in the line.
        for name in order[count:]:
            box.wait("told", lambda n=name: "to %d " % (1 + count) in (
                box.tenant_status(n)["last_error"] or ""), 60)


def test_recipients_per_day_are_shared(case):
    """Over a restart too, whoever of them asks: the days of all are one."""
    server = case.server(extensions=EXTENSIONS)
    tenant(case, "acme", server, recipients_per_day=6)
    tenant(case, "beta", server)
    box = case.outbox()
    daemon = case.start()
    box.wait_state(box.insert("acme", recipients(3)), "sent", 60)
    box.wait_state(box.insert("beta", recipients(2)), "sent", 60)
    daemon.kill()
    daemon.start()
    late = box.insert("beta", recipients(2))
    box.wait_state(late, "deferred", 60)
    wait_limited(box, "beta")
    assert len(box.deliveries(late)) == 1
    waits = box.insert("acme", "bob@example.net")
    wait_limited(box, "acme")
    assert box.state(waits) == "queued"
    assert dict(box.rows("SELECT tenant, sum(recipients) FROM outbox_usage GROUP BY tenant")) == \
        {"acme": 3, "beta": 3}


def test_another_user_server_or_no_login_shares_nothing(case):
    servers = [case.server(extensions=EXTENSIONS) for _ in range(2)]
    tenant(case, "acme", servers[0], recipients_per_day=1)
    tenant(case, "port", servers[1], recipients_per_day=1)
    tenant(case, "user", servers[0], recipients_per_day=1, username="you@acme.example")
    tenant(case, "host", servers[0], recipients_per_day=1, host="localhost",
           bind_address="0.0.0.0")
    tenant(case, "none", servers[0], recipients_per_day=1, auth="none")
    tenant(case, "open", servers[0], recipients_per_day=1, auth="none")
    tenant(case, "nobody", servers[0], recipients_per_day=1, auth="auto", username=None,
           password=None)
    tenant(case, "anybody", servers[0], recipients_per_day=1, auth="auto", username=None,
           password=None)
    names = ["acme", "port", "user", "host", "none", "open", "nobody", "anybody"]
    box = case.outbox()
    box.begin()
    for name in names:
        for _ in range(2):
            box.insert(name, "bob@example.net")
    box.commit()
    daemon = case.start()
    sent(box, len(names))
    wait_limited(box, *names)
    assert by_sender(servers[0]) + by_sender(servers[1]) == collections.Counter(names)
    assert daemon.stop() == 0
    assert not daemon.events("tenant.shares")


def test_another_username_splits(case):
    """Who leaves takes nothing along and sets nothing free; who comes back is
    counted once."""
    server = case.server(extensions=EXTENSIONS)
    tenant(case, "acme", server, recipients_per_day=5)
    tenant(case, "beta", server)
    box = case.outbox()
    case.start(settings=PARKED)
    box.wait_state(box.insert("acme", recipients(2)), "sent", 60)
    box.wait_state(box.insert("beta", recipients(2)), "sent", 60)
    box.set_tenant("beta", username="beta@acme.example")
    box.wait_state(box.insert("beta", recipients(9)), "sent", 60)
    box.set_tenant("beta", username="me@acme.example")
    box.wait_state(box.insert("beta", "one@example.net"), "sent", 60)
    waits = [box.insert(name, "bob@example.net") for name in ("acme", "beta")]
    wait_limited(box, "acme", "beta")
    assert [box.state(number) for number in waits] == ["queued"] * 2
    box.set_tenant("beta", username="beta@acme.example")
    box.wait_state(waits[1], "sent", 60)
    assert box.state(waits[0]) == "queued"


def test_who_is_down_keeps_nobody_waiting(case):
    """A member whose login is refused stands in no line, and its trouble is its own."""
    server = case.server(extensions=EXTENSIONS)
    server.on("login", lambda session, pair: "535 5.7.8 no" if pair[1] == "wrong" else None)
    tenant(case, "acme", server, max_connections=1, messages_per_minute=100)
    tenant(case, "beta", server, password="wrong")
    box = case.outbox()
    for _ in range(3):
        box.insert("beta", "bob@example.net")
    daemon = case.daemon(settings=PARKED)
    daemon.allowed |= {"tenant.down"}
    daemon.start()
    box.wait_tenant("beta", "auth_failed", 60)
    for _ in range(3):
        box.wait_state(box.insert("acme", "bob@example.net"), "sent", 60)
    assert box.tenant_status("acme")["state"] in ("idle", "sending")
    box.set_tenant("beta", password="right")
    box.wait_all()


def test_a_hang_costs_no_more_than_its_session(case):
    """However much mail waits behind it: a further session is a wish, for which no
    other member's is ended. One that is alone gets it, after two seconds."""
    server = case.server(extensions=EXTENSIONS)
    gate = server.hold("dot", lambda session, mail: mail.subject == "hangs")
    tenant(case, "acme", server, max_connections=2)
    tenant(case, "beta", server)
    tenant(case, "other", server, max_connections=2, username="you@acme.example")
    box = case.outbox()
    daemon = case.start(settings=PARKED)
    box.wait_state(box.insert("beta", "bob@example.net"), "sent", 60)
    for name in ("acme", "other"):
        box.insert(name, "bob@example.net", subject="hangs")
        gate.reached(60)
    box.begin()
    behind, alone = (box.insert(name, "bob@example.net") for name in ("acme", "other"))
    box.commit()
    box.wait_state(alone, "sent", 60)
    for _ in range(5):
        box.wait_state(box.insert("beta", "bob@example.net"), "sent", 60)
    assert box.state(behind) == "queued"
    gate.release()
    box.wait_all()
    assert daemon.stop() == 0
    assert len(server.sessions) == 4
