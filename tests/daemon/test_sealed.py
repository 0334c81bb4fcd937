"""Sealed passwords: what outboxd opens, for whom, and what it says where it
cannot. The keys are outboxctl's."""

import os
import signal

import outbox

LONG = 60       # s: for what has to happen on a machine with much else to do
PASSWORD = "correct horse battery staple"


class Bed:
    def __init__(self, case):
        self.case = case
        self.keys = case.path("keys")
        self.server = self.another()
        self.box = case.outbox()

    def another(self):
        """A server that takes PASSWORD; logins are what it was shown."""
        server = self.case.server(extensions=["PIPELINING", "AUTH PLAIN"])
        server.logins = []

        def check(session, pair):
            server.logins.append(tuple(pair))
            return None if pair[1] == PASSWORD else "535 5.7.8 no"
        server.on("login", check)
        return server

    def ctl(self, *words, **more):
        return outbox.outboxctl("--database", self.case.path("outbox.db"), *words, **more)

    def keygen(self):
        """A new key before the others."""
        old = b""
        if os.path.exists(self.keys):
            with open(self.keys, "rb") as stream:
                old = stream.read()
        new = outbox.outboxctl("secrets", "keygen").stdout.encode()
        self.write(new + old)

    def write(self, octets):
        with open(self.keys + ".new", "wb") as stream:
            os.fchmod(stream.fileno(), 0o600)
            stream.write(octets)
        os.rename(self.keys + ".new", self.keys)

    def tenant(self, name, server=None, **columns):
        self.case.tenant(name, server or self.server, auth="plain", username=name,
                         password=PASSWORD, **columns)

    def seal(self, verb="seal"):
        self.ctl("secrets", verb, "--secrets-key-file", self.keys)

    def start(self):
        return self.case.start(settings=["secrets_key_file=" + self.keys])

    def send(self, tenant):
        return self.box.insert(tenant, "bob@example.net")

    def reload(self, daemon, event, count):
        daemon.signal(signal.SIGHUP)
        daemon.exactly(count, event)

    def hides(self, daemon):
        rows = [tuple(row) for row in self.box.rows("SELECT * FROM outbox_tenant_status")]
        assert PASSWORD not in daemon.log.text() + str(rows)


def waits_with(bed, tenant, words):
    """Until its last_error has the words."""
    bed.case.until("%s is down: %s" % (tenant, words), lambda: words in str(
        bed.box.value("SELECT last_error FROM outbox_tenant_status WHERE tenant = ?", tenant)), LONG)


def test_a_sealed_password_logs_in(case):
    bed = Bed(case)
    bed.tenant("acme")
    bed.tenant("open")
    bed.keygen()
    bed.seal()
    bed.box.set_tenant("open", password=PASSWORD)       # unsealed ones still work
    daemon = bed.start()
    for name in ("acme", "open"):
        bed.box.wait_state(bed.send(name), "sent", LONG)
    assert sorted(bed.server.logins) == [("acme", PASSWORD), ("open", PASSWORD)]
    daemon.exactly(1, "secrets.read")
    bed.hides(daemon)


def test_who_rewrites_the_host_gets_nothing(case):
    """By plain SQL, while outboxd runs: no octet goes there, the tenant is
    down with words, others are not; undone, it sends."""
    bed = Bed(case)
    evil = bed.another()
    bed.tenant("acme")
    bed.tenant("well")
    bed.keygen()
    bed.seal()
    daemon = bed.start()
    bed.box.wait_state(bed.send("acme"), "sent", LONG)
    bed.box.set_tenant("acme", port=evil.port)
    message = bed.send("acme")
    waits_with(bed, "acme", "password of tenant acme was sealed for another host, port or tls")
    bed.box.wait_state(bed.send("well"), "sent", LONG)
    # moved to another tenant it is worth nothing either
    bed.box.execute("UPDATE outbox_tenant SET password = (SELECT password FROM outbox_tenant WHERE name = 'acme') "
                    "WHERE name = 'well'")
    bed.send("well")
    waits_with(bed, "well", "password of tenant well was sealed for another host, port or tls")
    assert not evil.sessions and bed.box.state(message) != "sent"
    assert bed.server.logins == [("acme", PASSWORD), ("well", PASSWORD)]
    bed.box.set_tenant("acme", port=bed.server.port)
    bed.box.wait_state(message, "sent", LONG)
    bed.hides(daemon)


def test_keys_change_while_it_runs(case):
    """A new key first in the file, SIGHUP, rekey, the old one out, SIGHUP."""
    bed = Bed(case)
    bed.tenant("acme", max_messages_per_session=1)
    bed.keygen()
    bed.seal()
    with open(bed.keys, "rb") as stream:
        old = stream.read()
    daemon = bed.start()
    bed.box.wait_state(bed.send("acme"), "sent", LONG)
    bed.keygen()
    bed.reload(daemon, "secrets.read", 2)
    bed.box.wait_state(bed.send("acme"), "sent", LONG)
    before = bed.box.value("SELECT password FROM outbox_tenant")
    bed.seal("rekey")
    assert bed.box.value("SELECT password FROM outbox_tenant") != before
    bed.box.wait_state(bed.send("acme"), "sent", LONG)
    with open(bed.keys, "rb") as stream:
        bed.write(stream.read()[:-len(old)])
    bed.reload(daemon, "secrets.read", 3)
    bed.box.wait_state(bed.send("acme"), "sent", LONG)
    assert set(bed.server.logins) == {("acme", PASSWORD)}
    assert not daemon.events("tenant.down")
    bed.hides(daemon)


def test_without_its_key_a_tenant_waits_and_no_other(case):
    """The file is missing at the start; with it, SIGHUP is enough, whatever
    the backoff."""
    bed = Bed(case)
    bed.tenant("acme", retry_max=86400)
    bed.tenant("open")
    bed.keygen()
    bed.seal()
    bed.box.set_tenant("open", password=PASSWORD)
    with open(bed.keys, "rb") as stream:
        keys = stream.read()
    os.unlink(bed.keys)
    daemon = case.daemon(settings=["secrets_key_file=" + bed.keys])
    daemon.allowed |= {"secrets.failed"}
    daemon.start()
    message = bed.send("acme")
    bed.box.wait_state(bed.send("open"), "sent", LONG)
    waits_with(bed, "acme", "the keys are not there: ")
    assert "No such file" in daemon.exactly(1, "secrets.failed")[0]["error"]
    bed.write(outbox.outboxctl("secrets", "keygen").stdout.encode())     # another one
    bed.reload(daemon, "secrets.read", 1)
    bed.ctl("retry", "--tenant", "acme")
    waits_with(bed, "acme", "which is not in secrets_key_file")
    bed.write(keys)
    os.chmod(bed.keys, 0o644)
    bed.reload(daemon, "secrets.failed", 2)
    os.chmod(bed.keys, 0o600)
    bed.reload(daemon, "secrets.read", 2)
    bed.box.wait_state(message, "sent", LONG)
    assert sorted(bed.server.logins) == [("acme", PASSWORD), ("open", PASSWORD)]
    bed.hides(daemon)
