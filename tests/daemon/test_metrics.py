"""metrics_file, read by Prometheus' own parser of its text format."""

import os
import stat

from prometheus_client.parser import text_string_to_metric_families

QUICK = "metrics-ms=100"


def read(path):
    """{name: {labels as a tuple of pairs: value}}; every sample once."""
    with open(path, encoding="utf-8") as stream:
        text = stream.read()
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.type != "unknown" and family.documentation, family
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            values = found.setdefault(sample.name, {})
            assert labels not in values, (sample.name, labels)
            values[labels] = sample.value
    return found


def of(figures, name, **labels):
    return figures["outboxd_" + name][tuple(sorted(labels.items()))]


def test_figures_of_two_outboxes(case):
    server = case.server()
    server.on("RCPT", lambda session, line: "550 5.1.1 no" if "nobody@" in line
              else "450 4.2.0 later" if "later@" in line else None)
    boxes = [case.outbox(name) for name in ("one.db", "two.db")]
    case.tenant("acme", server, boxes[0], retry_min=3600, retry_max=3600)
    case.tenant("down", None, boxes[0])
    case.tenant("acme", server, boxes[1])
    path = case.path("outboxd.prom")
    os.umask(0o077)     # the mode is what the manual says, whatever this is
    case.start_faulty(QUICK, set(), settings=["metrics_file=" + path],
                      names=("one.db", "two.db"))
    ids = [boxes[0].insert("acme", who + "@example.net")
           for who in ("bob", "bob", "bob", "nobody", "later")]
    boxes[0].insert("down", "bob@example.net")
    boxes[1].wait_state(boxes[1].insert("acme", "bob@example.net"), "sent")
    for number, state in zip(ids, ("sent",) * 3 + ("failed", "deferred")):
        boxes[0].wait_state(number, state)
    boxes[0].wait_tenant("down", "backoff")

    def settled():
        now = read(path) if os.path.exists(path) else {}
        return now if now.get("outboxd_sent_messages_total") and \
            of(now, "sent_messages_total", db="one", tenant="acme") == 3 and \
            of(now, "sent_messages_total", db="two", tenant="acme") == 1 and \
            of(now, "deferrals_total", db="one", tenant="acme") == 1 and \
            of(now, "failed_messages_total", db="one", tenant="acme") == 1 \
            and of(now, "deferred_messages", db="one", tenant="acme") == 1 \
            and of(now, "queued_messages", db="one", tenant="down") == 1 \
            else None

    figures = case.until("told", settled)
    acme, down = {"db": "one", "tenant": "acme"}, {"db": "one",
                                                   "tenant": "down"}
    assert of(figures, "queued_messages", **acme) == 0
    assert of(figures, "backoff", **acme) == 0
    assert of(figures, "backoff", **down) == 1
    assert of(figures, "tenant_state", state="backoff", **down) == 1
    assert of(figures, "worker_restarts_total", **acme) == 0
    assert of(figures, "delivery_delay_seconds_count", db="one") == 3
    assert of(figures, "delivery_delay_seconds_bucket", db="one",
              le="+Inf") == 3
    assert of(figures, "commits_total", db="one") >= 1
    assert of(figures, "commit_failures_total", db="one") == 0
    assert of(figures, "log_dropped_lines_total") == 0
    assert figures["outboxd_build_info"]
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o644
    case.until("grows older", lambda: of(
        read(path), "oldest_due_seconds", **down) >= 2)
    # Replaced as a whole: whoever reads finds all of it, and no half is left.
    started = of(read(path), "updated_time_seconds")
    while of(read(path), "updated_time_seconds") < started + 2:
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
        assert text.endswith("\n") and "outboxd_tenant_state{" in text
    assert [name for name in os.listdir(case.directory)
            if name.startswith("outboxd.prom")] in (
                ["outboxd.prom"], ["outboxd.prom", "outboxd.prom.tmp"],
                ["outboxd.prom.tmp", "outboxd.prom"])


def test_a_folder_that_is_not_there_is_told_once(case):
    """And tried again; mail goes meanwhile."""
    server = case.server()
    case.tenant("acme", server)
    folder = case.path("figures")
    path = os.path.join(folder, "outboxd.prom")
    daemon = case.start_faulty(QUICK, set(),
                               settings=["metrics_file=" + path])
    daemon.wait_event("metrics.failed")
    box = case.outbox()
    for _ in range(3):
        box.wait_state(box.insert("acme", "bob@example.net"), "sent")
    os.mkdir(folder)
    case.until("written", lambda: os.path.exists(path))
    event, = daemon.exactly(1, "metrics.failed")
    assert event["file"] == path and "No such file" in event["error"], event
    os.unlink(path)
    os.rmdir(folder)
    daemon.wait_event("metrics.failed", 2)


def test_a_name_in_the_way_is_not_followed(case):
    """A link where the new file is made leads nowhere."""
    case.tenant("acme", None, enabled=0)
    path, target = case.path("outboxd.prom"), case.path("precious")
    with open(target, "w") as stream:
        stream.write("kept")
    os.symlink(target, path + ".tmp")
    case.start_faulty(QUICK, set(), settings=["metrics_file=" + path])
    case.until("written", lambda: os.path.exists(path))
    with open(target) as stream:
        assert stream.read() == "kept"
    assert not os.path.islink(path)


def test_labels_are_escaped(case):
    name = 'we"ird\\ö.db'
    box = case.outbox(name)
    case.tenant("acme", None, box, enabled=0)
    path = case.path("outboxd.prom")
    case.start_faulty(QUICK, set(), settings=["metrics_file=" + path],
                      names=(name,))
    figures = case.until("written", lambda: (
        lambda now: now if "outboxd_tenant_state" in now else None)(
            read(path) if os.path.exists(path) else {}))
    assert of(figures, "tenant_state", db=name[:-3], tenant="acme",
              state="suspended") == 1


def test_two_of_one_name_are_told_by_their_paths(case):
    for folder in ("a", "b"):
        os.mkdir(case.path(folder))
        case.tenant("acme", None, case.outbox(folder + "/mail.db"), enabled=0)
    path = case.path("outboxd.prom")
    case.start_faulty(QUICK, set(), settings=["metrics_file=" + path],
                      names=("a/mail.db", "b/mail.db"))
    figures = case.until("written", lambda: (
        lambda now: now if len(now.get("outboxd_tenant_state", ())) == 2
        else None)(read(path) if os.path.exists(path) else {}))
    for folder in ("a", "b"):
        assert of(figures, "queued_messages", tenant="acme",
                  db=case.path(folder + "/mail.db")) == 0
