"""When the server, the settings or a recipient are not as they should be,
and how soon an insert is seen when they are."""

import json
import socket
import statistics
import time

import outbox
from case import for_each


@for_each(["required", "exim-starttls"])
def test_refused_recipient(case, server):
    """550 for one is that one's failure, with the reply's text; the other
    has the message, and a repeat goes to nobody who has it."""
    box = case.box()
    case.tenant("acme", server)
    daemon = case.serve()
    number = case.outbox().insert(
        "acme", "%s, nobody@box.example" % box, reference="order-7")
    status = case.outbox().wait_state(number, "failed")
    rows = case.outbox().deliveries(number)
    assert rows[str(box)]["state"] == "sent", tuple(rows[str(box)])
    refused = rows["nobody@box.example"]
    assert refused["state"] == "failed" and refused["code"] == 550, \
        tuple(refused)
    assert "unknown" in refused["response"].lower(), tuple(refused)
    assert refused["enhanced_code"] == "5.1.1", tuple(refused)
    assert "550" in status["result"] or "unknown" in \
        status["result"].lower(), status["result"]
    failed = daemon.wait_event("delivery.failed", id=number)[0]
    assert failed["recipient"] == "nobody@box.example", failed
    assert failed["reference"] == "order-7" and failed["code"] == "550"
    sent = daemon.wait_event("delivery.sent", id=number)[0]
    assert sent["recipient"] == str(box) and sent["session"], sent
    case.outbox().execute("UPDATE outbox_status SET state = 'queued' "
                          "WHERE outbox_id = ?", number)
    daemon.wait_event("delivery.failed", 2, id=number)
    case.outbox().wait_state(number, "failed")
    box.wait(1)


def test_refused_message_costs_others_nothing(case):
    """All recipients refused: failed; the next message on the same
    connection is sent."""
    box = case.box()
    case.tenant("acme", "required", max_connections=1)
    daemon = case.serve()
    box_db = case.outbox()
    box_db.begin()
    bad = box_db.insert("acme", "nobody@box.example")
    good = box_db.insert("acme", str(box))
    box_db.commit()
    box_db.wait_state(bad, "failed")
    box_db.wait_state(good, "sent")
    box.wait(1)
    assert daemon.stop() == 0
    assert len(case.rig.postfix.sessions("required")) == 1
    assert not daemon.events("tenant.down")


def test_server_started_later(case):
    """Nobody listens: the tenant backs off and the message is untried; then
    a server is there, and it is delivered by the next probe."""
    box = case.box()
    case.rig.postfix.stop()
    try:
        case.tenant("acme", "required", retry_max=2)
        daemon = case.serve()
        number = case.outbox().insert("acme", str(box))
        case.outbox().wait_tenant("acme", "backoff")
        down = daemon.wait_event("tenant.down", tenant="acme")[0]
        assert "refused" in down["error"].lower(), down
        daemon.wait_event("tenant.probe", tenant="acme")
        status = case.outbox().status(number)
        assert status["attempts"] == 0 and status["state"] == "queued", \
            tuple(status)
    finally:
        case.rig.postfix.start()
    case.outbox().wait_state(number, "sent", 10)
    box.wait(1)
    daemon.wait_event("tenant.up", tenant="acme")
    daemon.exactly(1, "tenant.down")


def test_retry_clears_the_backoff(case):
    """A dead server's tenant waits; `outboxctl retry` tries now (at once, and
    not in 15 minutes: daemon/test_settings)."""
    box = case.box()
    case.rig.postfix.stop()
    try:
        case.tenant("acme", "required", retry_max=3600)
        daemon = case.serve()
        number = case.outbox().insert("acme", str(box))
        daemon.wait_event("tenant.down", tenant="acme")
        daemon.wait_event("tenant.probe", tenant="acme", seconds=15)
    finally:
        case.rig.postfix.start()
    outbox.outboxctl("--database", case.outbox().path, "retry", "--tenant",
                     "acme")
    case.outbox().wait_state(number, "sent", 5)
    box.wait(1)


def test_sick_tenants_cost_the_healthy_nothing(case):
    """One server never answers, one is absent, one refuses the login: the
    others' mail goes out as if they were not there."""
    silent = socket.socket()
    silent.bind(("127.0.0.1", 0))
    silent.listen(16)
    nobody = socket.socket()
    nobody.bind(("127.0.0.1", 0))
    with silent, nobody:
        box = case.box()
        case.tenant("acme", "required")
        case.tenant("beta", "required", port=silent.getsockname()[1],
                    command_timeout=5)
        case.tenant("gamma", "required", port=nobody.getsockname()[1])
        case.tenant("delta", "required", password="wrong")
        case.serve()
        database = case.outbox()
        database.begin()
        for _ in range(10):
            for name in ("beta", "gamma", "delta"):
                database.insert(name, str(box))
        database.commit()
        database.wait_tenant("delta", "auth_failed")
        delays = []
        for _ in range(30):
            number = database.insert("acme", str(box))
            status = database.wait_state(number, "sent", 5)
            delays.append(status["finished_at_ms"] - status["queued_at_ms"])
        assert statistics.median(delays) < 200, sorted(delays)
        database.wait_tenant("beta", "backoff")
        database.wait_tenant("gamma", "backoff")
        assert database.one("SELECT count(*) FROM outbox_status WHERE tenant "
                            "<> 'acme' AND state = 'queued' AND attempts = 0"
                            )[0] == 30
        box.wait(30)


def test_an_insert_is_seen_at_once(case):
    """At idle, with the connection parked: how long INSERT takes, and how
    long it is from its commit to the server's acceptance: told, and no more
    asked of them than that nobody looks once a second or less often."""
    box = case.box()
    case.tenant("acme", "required", max_connections=1)
    case.serve()
    database = case.outbox()
    database.wait_state(database.insert("acme", str(box)), "sent")
    inserts, delays = [], []
    for _ in range(40):
        started = time.monotonic()
        number = database.insert("acme", str(box))
        inserts.append((time.monotonic() - started) * 1000)
        status = database.wait_state(number, "sent", 5)
        delays.append(status["finished_at_ms"] - status["queued_at_ms"])
    print("#   INSERT: median %.1f ms, longest %.1f ms; sent after: median "
          "%.0f ms, longest %.0f ms" % (
              statistics.median(inserts), max(inserts),
              statistics.median(delays), max(delays)))
    assert statistics.median(delays) < 500, sorted(delays)
    box.wait(41)


def test_not_before_and_cancel(case):
    """Not sooner than said; and what is cancelled before is never sent."""
    box = case.box()
    case.tenant("acme", "required")
    case.serve()
    database = case.outbox()
    due = int(time.time()) + 3
    later = database.insert("acme", str(box), subject="later", not_before=due)
    never = database.insert("acme", str(box), subject="never", not_before=due)
    now = database.insert("acme", str(box), subject="now")
    database.execute("UPDATE outbox_status SET state = 'cancelled' "
                     "WHERE outbox_id = ?", never)
    database.wait_state(now, "sent")
    assert database.state(later) == "queued"
    status = database.wait_state(later, "sent", 10)
    assert status["finished_at_ms"] >= due * 1000, tuple(status)
    assert database.state(never) == "cancelled"
    box.wait(2)


def test_suspended_tenant_keeps_its_mail(case):
    box = case.box()
    case.tenant("acme", "required", enabled=0)
    case.serve()
    database = case.outbox()
    number = database.insert("acme", str(box))
    database.wait_tenant("acme", "suspended")
    assert database.state(number) == "queued" and box.count() == 0
    outbox.outboxctl("--database", database.path, "tenant", "resume", "acme")
    database.wait_state(number, "sent", 5)
    box.wait(1)


def test_operator_tool_from_the_first_step(case):
    """init, tenant add, tenant test, send, queue, show, status: no SQL."""
    box = case.box()
    path = case.path("tool.db")
    ctl = lambda *words, **more: outbox.outboxctl("--database", path, *words,
                                                  **more)
    ctl("init")
    arguments = ["--host", "127.0.0.1", "--port", case.port("required"),
                 "--tls-ca-file", case.rig.authority.file, "--username",
                 "user@acme.example", "--from-address", "app@acme.example",
                 "--password-stdin"]
    ctl("tenant", "add", "acme", *arguments,
        stdin=case.rig.accounts["user@acme.example"] + "\n")
    text = ctl("tenant", "test", "acme").stdout
    assert "TLS" in text, text
    case.outbox("tool.db", create=False)
    case.serve("tool.db")
    number = int(ctl("send", "--tenant", "acme", "--to", str(box),
                     "--subject", "by hand", "--text", "-",
                     stdin="typed\n").stdout)
    case.outbox("tool.db").wait_state(number, "sent")
    assert b"typed\n" in box.wait(1)[0].sent
    assert "sent" in ctl("show", number).stdout
    rows = json.loads(ctl("queue", "--state", "sent", "--json").stdout)
    assert [row["id"] for row in rows] == [number], rows
    tenants = ctl("tenant", "list").stdout + ctl("tenant", "show",
                                                 "acme").stdout
    assert "acme" in tenants
    assert case.rig.accounts["user@acme.example"] not in tenants, tenants
    ctl("tenant", "set", "acme", "--port", case.port("expired"))
    refused = ctl("tenant", "test", "acme", status=None)
    assert refused.returncode != 0
    assert "expired" in refused.stdout + refused.stderr
