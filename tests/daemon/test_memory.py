"""What tenants without mail cost: no thread, and little memory. The bound is
generous: `make tenants` has the figures."""

import re

IDLE = 1000
IDLE_KIB = 12  # 1.00 measured with ten times as many; pages that SQLite keeps count here


def status(pid, key):
    with open("/proc/%d/status" % pid) as stream:
        return int(re.search(key + r":\s+(\d+)", stream.read()).group(1))


def is_sanitized(pid):
    with open("/proc/%d/maps" % pid) as stream:
        return re.search("lib[at]san", stream.read()) is not None


def test_idle_tenants(case):
    """A thousand without mail have no thread, and each a kibibyte."""
    server, box = case.server(), case.outbox()
    case.tenant("one", server)
    daemon = case.start()
    service = daemon.service_pid()

    def known():
        return box.value("SELECT count(*) FROM outbox_tenant_status")

    case.until("it is known", lambda: known() == 1)
    memory, threads = status(service, "VmRSS"), status(service, "Threads")
    box.begin()
    for number in range(IDLE):
        case.tenant("t%d" % number, server)
    box.commit()
    case.until("all are known", lambda: known() == IDLE + 1, 60)
    assert status(service, "Threads") == threads
    if not is_sanitized(service):
        each = (status(service, "VmRSS") - memory) / IDLE
        assert each < IDLE_KIB, each
