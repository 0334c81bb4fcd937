"""What all tenants share, held, full or short: who is not concerned goes on meanwhile, who is
goes on afterwards, the log says in words what it was, nothing is lost or doubled. The table is
in doc/INDEPENDENCE.md."""

import resource

LONG = 60       # seconds: a loaded machine, and never a measure


def once(server, subjects):
    """Each of them arrived, and once."""
    assert sorted(server.subjects()) == sorted(subjects), server.subjects()


class Descriptors:
    """No more can be had by a process, as if all were used; until free()."""

    FEW = 12    # fewer than the service has from its start on: all of those are taken

    def __init__(self, pid):
        self.pid = pid
        self.before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE,
                         (self.FEW, self.before[1]))

    def free(self):
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, self.before)


def test_no_descriptor_is_free(case):
    """Who has a connection goes on; who needs one waits, untried and in
    words, and its server is not blamed."""
    well, sick = case.server(), case.server()
    case.tenant("well", well)
    case.tenant("later", sick)
    case.tenant("filed", sick, password_file="later.pw", username="u")
    box = case.outbox()
    daemon = case.start(settings=["idle_timeout=1h",
                                  "secrets_dir=" + case.directory])
    with open(case.path("later.pw"), "w") as stream:
        stream.write("secret\n")
    box.wait_state(box.insert("well", "a@box.example", subject="first"),
                   "sent", LONG)
    short = Descriptors(daemon.service_pid())
    try:
        waiting = [box.insert(name, "b@box.example", subject=name)
                   for name in ("later", "filed")]
        for name in ("later", "filed"):
            event, = daemon.wait_event("tenant.waiting", tenant=name,
                                       seconds=LONG)
            assert "Too many open files" in event["error"], event
            box.wait("the status of %s" % name, lambda: "Too many open files"
                     in (box.tenant_status(name)["last_error"] or ""), LONG)
        for number in range(5):
            box.wait_state(box.insert("well", "a@box.example",
                                      subject="m%d" % number), "sent", LONG)
        assert [box.state(one) for one in waiting] == ["queued"] * 2
        assert not sick.sessions
    finally:
        short.free()
    for one in waiting:
        box.wait_state(one, "sent", LONG)
    once(well, ["first"] + ["m%d" % n for n in range(5)])
    once(sick, ["later", "filed"])
    for name in ("later", "filed"):
        daemon.wait_event("tenant.resumed", tenant=name, seconds=LONG)
        assert len(daemon.events("tenant.waiting", tenant=name)) == 1
    assert not daemon.events("tenant.down")
    box.wait("no error is left", lambda: not box.one(
        "SELECT count(*) FROM outbox_tenant_status WHERE last_error "
        "IS NOT NULL")[0], LONG)
