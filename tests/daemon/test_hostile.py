"""Servers that are broken or mean, one for each tenant, all at once.

Each ends within its deadline, in one clear line of the log, in bounded
memory; a healthy tenant's mail arrives meanwhile.
"""

import re

from rogue import Rogue

REPLICAS = 3
HEALTHY = 30        # messages of the tenant whose server is well
# Resident memory of the service for each hostile session: doc/ARCHITECTURE.md.
SESSION_KIB = 512

# What the server does; what the tenant's administrator reads.
TENANTS = {
    "endless-greeting": (lambda s: s.for_ever("220-more\r\n" * 100),
                         "at the greeting: a reply of too many lines"),
    "endless-line": (lambda s: s.for_ever("2" * 1000),
                     "at the greeting: an endless line"),
    "trickle": (lambda s: s.for_ever("2", 0.1),
                "did not answer in time at the greeting"),
    "silence": (lambda s: s.silence(),
                "did not answer in time at the greeting"),
    "no-code": (lambda s: s.say("hello\r\n") or s.silence(),
                "at the greeting: a line without a reply code"),
    "http": (lambda s: s.say("HTTP/1.1 400 Bad Request\r\n\r\n") or
             s.silence(), "at the greeting: a line without a reply code"),
    "nul": (lambda s: s.say(b"220 a\0b\r\n") or s.silence(),
            "at the greeting: a NUL in a reply"),
    "eight-bit": (lambda s: s.say(b"554 5.7.1 caf\xc3\xa9 \xff\x1b[31m\r\n") or
                  s.silence(),
                  "answered at the greeting: 554 5.7.1 caf\u00e9"),
    "early": (lambda s: s.say("220 x\r\n250 too early\r\n") or s.silence(),
              "at EHLO: an answer to what was not asked"),
    "reset": (lambda s: s.talk("EHLO") or s.reset(),
              "closed the connection at EHLO"),
    "endless-offers": (lambda s: s.talk("EHLO") or
                       s.for_ever("250-X\r\n" * 100),
                       "at EHLO: a reply of too many lines"),
    "two-codes": (lambda s: s.talk("EHLO") or
                  s.say("250-a\r\n550 b\r\n") or s.silence(),
                  "at EHLO: different codes within one reply"),
    "no-starttls": (lambda s: s.talk("QUIT"), "does not offer STARTTLS"),
    "injection": (lambda s: s.talk("STARTTLS", ("STARTTLS",)) or
                  s.say("220 go\r\n250 injected\r\n") or s.silence(),
                  "sent more in clear behind its answer to STARTTLS"),
    "no-tls": (lambda s: s.talk("STARTTLS", ("STARTTLS",)) or
               s.say("220 go\r\n") or s.connection.recv(1) and
               s.say("no TLS here\r\n") or s.silence(),
               "does not (speak|answer).* TLS|not TLS"),
    "silent-tls": (lambda s: s.talk("STARTTLS", ("STARTTLS",)) or
                   s.say("220 go\r\n") or s.silence(),
                   "did not finish the TLS handshake in time"),
    "close-at-mail": (lambda s: s.talk("MAIL"),
                      "closed the connection at MAIL"),
    "reset-at-rcpt": (lambda s: s.talk("RCPT") or s.reset(),
                      "closed the connection at RCPT"),
    "trickle-at-rcpt": (lambda s: s.talk("RCPT") or s.for_ever("2", 0.1),
                        "did not answer in time at RCPT"),
    "250-to-data": (lambda s: s.talk("DATA") or s.say("250 ok\r\n") or
                    s.silence(), "answered 250 at DATA"),
    "flood-in-text": (lambda s: s.talk("TEXT") or
                      s.for_ever("250-more\r\n" * 100),
                      "(in the middle|after the end) of the message"),
    "endless-end": (lambda s: s.talk(".") or s.for_ever("250-more\r\n" * 100),
                    "after the end of the message: a reply of too many"),
    "close-at-end": (lambda s: s.talk("."), "closed the connection after the "
                     "end of the message, before its answer"),
}
# All recipients accepted and the data refused: the messages' trouble alone.
REFUSED = (lambda s: s.talk(".") or s.say("554 5.6.0 no\r\n") or s.silence())


def resident_kib(pid):
    with open("/proc/%d/status" % pid) as stream:
        return {line.split(":")[0]: int(line.split()[1]) for line in stream
                if line.startswith(("VmRSS", "VmHWM"))}


def is_sanitized(pid):
    with open("/proc/%d/maps" % pid) as stream:
        return re.search("lib[at]san", stream.read()) is not None


def test_all_at_once(case):
    box = case.outbox()
    well = case.server()
    case.tenant("well", well)
    hostile = {}
    for name, (behaviour, words) in TENANTS.items():
        server = Rogue(behaviour)
        case.servers.append(server)
        tls = "starttls" if "tls" in name or name == "injection" else "none"
        for number in range(REPLICAS):
            hostile["%s-%d" % (name, number)] = words
            case.tenant("%s-%d" % (name, number), server, tls=tls,
                        command_timeout=2, data_timeout=2, max_connections=1,
                        retry_max=3600)
    refusing = Rogue(REFUSED)
    case.servers.append(refusing)
    case.tenant("refused", refusing, max_connections=1, command_timeout=2)
    daemon = case.start(settings=["max_workers=200"])
    first = box.insert("well", "ann@example.net")
    box.wait_state(first, "sent")
    service = daemon.service_pid()
    before = resident_kib(service)["VmRSS"]
    for name in list(hostile) + ["refused"]:
        box.insert(name, "bob@example.net", body_text="x" * 70000)
    for number in range(HEALTHY):
        box.insert("well", "ann@example.net", subject="%d" % number)
    box.wait("the healthy tenant's mail", lambda: box.value(
        "SELECT count(*) FROM outbox_all WHERE tenant = 'well' "
        "AND state = 'sent'") == HEALTHY + 1)
    box.wait("every trouble is known", lambda: box.value(
        "SELECT count(*) FROM outbox_tenant_status WHERE last_error "
        "IS NOT NULL") == len(hostile), 40)
    check_lines(daemon, hostile)
    check_memory(service, before, len(hostile))
    # What the tenants read is what the log has, of the first time or of a probe since.
    for name in hostile:
        case.until("last_error of %s" % name, lambda: box.tenant_status(
            name)["last_error"] in [
                event["error"] for kind in ("tenant.down", "tenant.probe")
                for event in daemon.events(kind, tenant=name)])
    assert daemon.wait_event("delivery.failed", tenant="refused")[0][
        "response"] == "no"
    assert not daemon.events("tenant.down", tenant="refused")
    assert not daemon.events("tenant.down", tenant="well")


def check_lines(daemon, hostile):
    """One clear line of the trouble; later ones are the failed probes'."""
    for name, words in hostile.items():
        down = daemon.exactly(1, "tenant.down", tenant=name)
        assert re.search(words, down[0]["error"]), (name, down[0]["error"])
        assert down[0]["error"].isprintable(), (name, down[0]["error"])
        others = [event for event in daemon.events()
                  if event.get("tenant") == name and
                  event["level"] in ("warning", "error") and
                  event["event"] not in ("tenant.down", "tenant.probe")]
        ends = [event for event in others if event["event"] in (
            "delivery.uncertain", "delivery.deferred")]
        assert others == ends, (name, others)
        given = name.startswith(("endless-end", "close-at-end",
                                 "flood-in-text"))
        assert bool(ends) <= given, (name, ends)


def check_memory(service, before, sessions):
    most = resident_kib(service)["VmHWM"]
    each = (most - before) / sessions
    print("resident: %d KiB before, %d KiB at most, %.1f KiB a session" % (
        before, most, each))
    if not is_sanitized(service):
        assert each <= SESSION_KIB, each
