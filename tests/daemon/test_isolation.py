"""Whatever a tenant's server does, nobody else's mail waits for it: outcomes, no
timings (tests/bench/isolation.py has those)."""

import os
import signal
import sys

sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "../support"))

import sick

WELL = 6        # tenants whose servers are well
EACH = 5        # messages of each tenant, of the sick ones too (fewer large ones)
SICK = 4


def _is_tried(box, name):
    row = box.tenant_status(name)
    return row and row["state"] != "idle"


def _isolated(case, kind):
    """The sick are at work, and have been tried, when the others' mail comes.
    Every wait for a sick server may last 60 s and more; the others' mail is
    all there in less, while the sick tenants' still is not."""
    servers = sick.Servers(case.directory)
    try:
        box = case.outbox()
        names = ["sick%d" % n for n in range(SICK)]
        for name in names:
            box.tenant(name, **dict({
                "ehlo_name": "test.example", "connect_timeout": 60,
                "command_timeout": 300, "data_timeout": 600},
                **servers.columns(kind)))
            for _ in range(2 if kind == "stalled-data" else EACH):
                box.insert(name, "x@sick.example",
                           body_text=servers.text(kind))
        well = case.server()
        for number in range(WELL):
            case.tenant("well%d" % number, well)
        # composing a large text takes its time under a sanitizer, and no worker is left behind
        daemon = case.start(settings=servers.settings(kind), faults="give-up-ms=600000")
        for name in names:
            case.until("%s is tried" % name, lambda: _is_tried(box, name))
        numbers = [box.insert("well%d" % (n % WELL), "a@box.example",
                              subject="m%d" % n) for n in range(WELL * EACH)]
        for number in numbers:
            box.wait_state(number, "sent", 30)
        assert sorted(well.subjects()) == sorted(
            "m%d" % n for n in range(WELL * EACH))
        sent = box.one("SELECT count(*) FROM outbox_status WHERE tenant LIKE 'sick%' "
                       "AND state = 'sent'")[0]
        # one that resets at each step in turn takes some of it
        assert sent == 0 or kind == "reset", "%d of the sick tenants' mail is sent" % sent
        # the second: nobody waits for what hangs
        daemon.signal(signal.SIGTERM)
        daemon.wait_heard()
        daemon.signal(signal.SIGTERM)
        status = daemon.wait_end()
        assert status == 0, "outboxd ended with %d" % status
    finally:
        servers.close()


def _add(kind):
    def test(case):
        _isolated(case, kind)
    test.__doc__ = sick.KINDS[kind]
    globals()["test_" + kind.replace("-", "_")] = test


for _kind in sick.KINDS:
    _add(_kind)
