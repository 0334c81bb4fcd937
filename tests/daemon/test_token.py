"""OAuth2: tokens that outboxd fetches for a tenant, and what comes of it when
that fails. The endpoint is tests/support/token_endpoint.py, by HTTPS with an
authority of its own; the mail server checks what it is shown."""

import base64
import json
import os
import stat
import sys
import threading
import time

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)),
                             "../support"))

import case as cases
import certs
import outbox
import packages
import server as scripted
import service
from token_endpoint import Endpoint, gives, is_silent, refuses, says

SECRET = "the-cl1ent-secret"
LONG = 60       # s: for what has to happen on a machine with much else to do


class Session(scripted.Session):
    def login(self, line):
        """AUTH XOAUTH2: (user, token)."""
        words = line.split(" ")
        if len(words) < 3:
            self.say("334 ")
            words.append(self.line() or "")
        user, bearer = base64.b64decode(words[2]).decode().split("\x01")[:2]
        assert user.startswith("user=") and bearer.startswith("auth=Bearer ")
        return user[5:], bearer[12:]


class Server(scripted.Server):
    session = Session

    def __init__(self, *tokens):
        super().__init__(["PIPELINING", "AUTH XOAUTH2"])
        self.tokens = set(tokens)   # those it takes
        self.shown = []
        self.on("login", self._check)

    def _check(self, session, pair):
        self.shown.append(pair)
        if pair[1] not in self.tokens:
            return "535 5.7.3 Authentication unsuccessful"
        return None


class Bed:
    """secrets_dir with a client's secret, and an endpoint."""

    def __init__(self, case):
        self.case = case
        self.secrets = case.path("secrets")
        os.mkdir(self.secrets, 0o700)
        try:
            self.authority = certs.Authority(case.directory, "authority")
            self.pair = self.authority.server("endpoint", ["localhost"],
                                              ["127.0.0.1"])
        except packages.Missing as problem:
            raise cases.Skip(str(problem))
        self.write("client", SECRET)
        self.endpoint = self.another()

    def another(self):
        return self.case.server(lambda: Endpoint(self.pair))

    def write(self, name, text):
        path = os.path.join(self.secrets, name)
        with open(path, "w") as stream:
            stream.write(text + "\n")
        os.chmod(path, 0o600)

    def read(self, name):
        with open(os.path.join(self.secrets, name)) as stream:
            return stream.read().strip()

    def tenant(self, name, server, endpoint=None, **columns):
        settings = {"auth": "xoauth2", "username": name + "@acme.example",
                    "oauth_token_url": (endpoint or self.endpoint).url,
                    "oauth_client_id": name, "oauth_scope": "mail",
                    "oauth_client_secret_file": "client", "connect_timeout": LONG}
        settings.update(columns)
        self.case.tenant(name, server, **settings)

    def start(self, *settings, **options):
        return self.case.start(settings=[
            "secrets_dir=" + self.secrets, "token_ca_file=" + self.authority.file,
            "token_program=" + outbox.program("outboxd-token"), *settings], **options)


def send(case, tenant, state="sent"):
    box = case.outbox()
    number = box.insert(tenant, "bob@example.net")
    box.wait_state(number, state, LONG)
    return number


def test_a_token_is_fetched_once_and_kept(case):
    """For many messages and sessions; the secret and the token are in no log,
    row or argument."""
    bed = Bed(case)
    server = case.server(lambda: Server("first-token"))
    bed.endpoint.answer = gives("first-token", 3599)
    bed.tenant("acme", server, max_messages_per_session=1)
    daemon = bed.start()
    for _ in range(4):
        send(case, "acme")
    assert server.shown == [("acme@acme.example", "first-token")] * 4
    assert bed.endpoint.forms == [{
        "grant_type": "client_credentials", "client_id": "acme",
        "client_secret": SECRET, "scope": "mail"}]
    (event,) = daemon.exactly(1, "token.fetched", tenant="acme")
    assert event["expires_in"] == "3599" and not daemon.events("token.failed")
    daemon.exactly(4, "session.open", auth="XOAUTH2")
    text = daemon.log.text() + str(case.outbox().tenant_status("acme"))
    assert SECRET not in text and "first-token" not in text


def test_a_kept_token_that_is_refused_is_fetched_again_once(case):
    bed = Bed(case)
    server = case.server(lambda: Server("one"))
    bed.endpoint.answer = gives("one")
    bed.tenant("acme", server, max_messages_per_session=1)
    daemon = bed.start()
    send(case, "acme")
    server.tokens = {"two"}
    bed.endpoint.answer = gives("two")
    send(case, "acme")
    assert [token for _, token in server.shown] == ["one", "one", "two"]
    assert len(bed.endpoint.forms) == 2
    assert not daemon.events("tenant.down")


def test_a_fresh_token_that_is_refused_is_a_rejected_login(case):
    """No second one is fetched for it, and nobody is hammered."""
    bed = Bed(case)
    server = case.server(lambda: Server())
    bed.tenant("acme", server)
    daemon = bed.start()
    box = case.outbox()
    number = box.insert("acme", "bob@example.net")
    row = box.wait_tenant("acme", "auth_failed", LONG)
    assert "535 5.7.3" in row["last_error"], row["last_error"]
    assert len(server.shown) == 1 and len(bed.endpoint.forms) == 1
    server.tokens = {"token"}
    outbox.outboxctl("--database", box.path, "retry", "--tenant", "acme")
    box.wait_state(number, "sent", LONG)
    # one that was refused is not shown again
    assert len(bed.endpoint.forms) == 2


def test_an_endpoint_that_refuses_is_told_in_its_words(case):
    bed = Bed(case)
    server = case.server(lambda: Server("token"))
    bed.endpoint.answer = refuses(
        "invalid_client", "AADSTS7000215: not %s" % SECRET, 401)
    bed.tenant("acme", server)
    daemon = bed.start()
    box = case.outbox()
    number = box.insert("acme", "bob@example.net")
    row = box.wait_tenant("acme", "auth_failed", LONG)
    words = "localhost gives no token: invalid_client (AADSTS7000215: not ***)"
    assert row["last_error"] == words, row["last_error"]
    (event,) = daemon.exactly(1, "token.failed", tenant="acme")
    assert event["error"] == words and event["oauth_error"] == "invalid_client"
    daemon.exactly(1, "tenant.down")
    assert not server.sessions
    assert len(bed.endpoint.forms) == 1 and box.state(number) == "queued"
    bed.endpoint.answer = gives("token")
    outbox.outboxctl("--database", box.path, "retry", "--tenant", "acme")
    box.wait_state(number, "sent", LONG)
    daemon.wait_event("tenant.up", tenant="acme", seconds=LONG)
    assert SECRET not in daemon.log.text()


def test_the_status_tells_when_the_token_expires_and_why_there_is_none(case):
    bed = Bed(case)
    server = case.server(lambda: Server("one", "two"))
    bed.endpoint.answer = refuses("server_error", "back soon", 503)
    bed.tenant("acme", server, max_messages_per_session=1)
    bed.start()
    box = case.outbox()
    number = box.insert("acme", "bob@example.net")
    words = "localhost gives no token: server_error (back soon)"
    row = box.wait_tenant("acme", "backoff", LONG)
    assert (row["token_error"], row["token_expires_at"]) == (words, None), row
    began = int(time.time())
    bed.endpoint.answer = gives("one", 7200)
    outbox.outboxctl("--database", box.path, "retry", "--tenant", "acme")
    box.wait_state(number, "sent", LONG)
    row = box.wait("its end", lambda: (lambda row: row["token_expires_at"]
                                       and row)(box.tenant_status("acme")), LONG)
    # the endpoint said so many seconds (RFC 6749 5.1)
    assert began + 7200 <= row["token_expires_at"] <= time.time() + 7200, row
    assert row["token_error"] is None
    shown = json.loads(outbox.outboxctl("--database", box.path, "status",
                                       "--json").stdout)
    assert (shown[0]["token_expires_at"], shown[0]["token_error"]) == (
        row["token_expires_at"], None)
    # refused: there is none any more, and why it was the last
    server.tokens.clear()
    bed.endpoint.answer = refuses("invalid_grant")
    box.insert("acme", "bob@example.net")
    row = box.wait_tenant("acme", "auth_failed", LONG)
    assert (row["token_error"], row["token_expires_at"]) == (
        "localhost gives no token: invalid_grant", None), row
    # other settings: what was wrong with the old ones is over
    box.set_tenant("acme", enabled=0, oauth_scope="another")
    box.wait("no error", lambda: box.tenant_status("acme")["token_error"] is None,
             LONG)


def test_a_fetch_that_ends_when_nobody_waits_for_it_is_told_too(case):
    bed = Bed(case)
    go_on = threading.Event()

    def late(connection, form, endpoint):
        go_on.wait(LONG)
        refuses("server_error", "late", 503)(connection, form, endpoint)

    bed.endpoint.answer = late
    bed.tenant("acme", case.server(lambda: Server("token")), connect_timeout=1)
    bed.start()
    box = case.outbox()
    box.insert("acme", "bob@example.net")
    row = box.wait_tenant("acme", "backoff", LONG)
    assert "not answered in time" in row["last_error"]
    box.set_tenant("acme", enabled=0)       # nobody asks for it now
    box.wait_tenant("acme", "suspended", LONG)
    go_on.set()
    box.wait("why", lambda: box.tenant_status("acme")["token_error"], LONG)


def test_an_endpoint_that_is_down_for_a_while_loses_nothing(case):
    """It is asked again by the tenant's backoff."""
    bed = Bed(case)
    server = case.server(lambda: Server("token"))
    bed.endpoint.answer = refuses("server_error", status=503)
    bed.tenant("acme", server)
    daemon = bed.start()
    box = case.outbox()
    number = box.insert("acme", "bob@example.net")
    row = box.wait_tenant("acme", "backoff", LONG)
    assert "server_error" in row["last_error"]
    bed.endpoint.wait_forms(2)
    bed.endpoint.answer = gives("a b")
    box.wait("nonsense", lambda: "no bearer token" in (
        box.tenant_status("acme")["last_error"] or ""), LONG)
    bed.endpoint.answer = gives("token")
    box.wait_state(number, "sent", LONG)
    assert box.status(number)["attempts"] == 1
    daemon.exactly(len(bed.endpoint.forms) - 1, "token.failed")


def by(status, content, more=""):
    """An answer that begins as a test's own, in place of JSON."""
    return says(status, content.encode() if isinstance(content, str) else content, more)


FAULTS = {      # tenant: answer, what its last_error and the log say
    "html": (by(200, "<html><body>Sign in to Contoso Hotspot</body></html>"),
             "localhost answers HTTP 200, and what it says is no answer of a token endpoint"),
    "absent": (says(200, {"token_type": "Bearer", "expires_in": 3600}),
               "localhost answers HTTP 200, and what it says is no answer of a token endpoint"),
    "megabyte": (by(200, "x" * 1048576), "localhost answers more than any token endpoint does"),
    "redirect": (says(302, {"access_token": "token"}, "Location: https://localhost/elsewhere\r\n"),
                 "localhost answers HTTP 302, a redirect, which is not followed: is oauth_token_url right?"),
    "nowhere": (by(404, "<html>Not Found</html>"), "localhost answers HTTP 404: is oauth_token_url right?"),
    "broken": (by(502, "<html>Bad Gateway</html>"),
               "localhost answers HTTP 502, and what it says is no answer of a token endpoint"),
    "secret": (refuses("invalid_client", "AADSTS7000215: Invalid client secret provided.", 401),
               "localhost gives no token: invalid_client (AADSTS7000215: Invalid client secret provided.)"),
    # and then libcurl's: SSL: certificate subject name (elsewhere.example) does not match …
    "cert": (gives("token"), "localhost cannot be asked for a token: SSL: certificate "),
}


def test_each_fault_of_an_endpoint_is_told_once_and_loses_nothing(case):
    """All at once; a line of token.failed for each fetch, one of tenant.down for the tenant, in the same words;
    mended, everything is sent, and nobody else noticed."""
    bed = Bed(case)
    server = case.server(lambda: Server("token"))
    box = case.outbox()
    endpoints, numbers, told = {}, {}, {}
    for name, (answer, _) in FAULTS.items():
        endpoints[name] = bed.another()
        endpoints[name].answer = answer
        bed.tenant(name, server, endpoints[name])
    wrong = bed.authority.server("wrong", ["elsewhere.example"])
    endpoints["cert"].context.load_cert_chain(wrong.certificate, wrong.key)
    bed.tenant("well", server)
    daemon = bed.start()
    for name in FAULTS:
        numbers[name] = box.insert(name, "bob@example.net")
    for name, (_, words) in FAULTS.items():
        (event,) = daemon.exactly(1, "tenant.down", tenant=name)
        assert event["error"] == words or (name == "cert" and event["error"].startswith(words)), event
        told[name] = event["error"]
        assert box.wait("%s is down" % name, lambda tenant=name: box.tenant_status(tenant)["last_error"],
                        LONG) == told[name]
        assert box.state(numbers[name]) == "queued"
    send(case, "well")
    assert [user for user, _ in server.shown] == ["well@acme.example"]
    endpoints["cert"].context.load_cert_chain(bed.pair.certificate, bed.pair.key)
    for name, endpoint in endpoints.items():
        endpoint.answer = gives("token")
        outbox.outboxctl("--database", box.path, "retry", "--tenant", name)
    for name, number in numbers.items():
        box.wait_state(number, "sent", LONG)
        daemon.wait_event("tenant.up", tenant=name, seconds=LONG)
    assert daemon.stop() == 0
    for name, words in told.items():
        failed = [event["error"] for event in daemon.events("token.failed", tenant=name)]
        assert set(failed) == {words}, failed
        # a probe may have begun by itself just before the retry; then there is one more of each
        assert len(failed) == endpoints[name].connections - 1, failed
        downs = daemon.events("tenant.down", tenant=name) + daemon.events("tenant.probe", tenant=name)
        assert len(downs) <= len(failed), downs
        assert len(daemon.events("token.fetched", tenant=name)) == 1, name
    assert SECRET not in daemon.log.text()


def test_a_closed_port_is_told_and_loses_nothing(case):
    """With the right address everything is sent, without a restart."""
    bed = Bed(case)
    server = case.server(lambda: Server("token"))
    bed.tenant("acme", server, oauth_token_url="https://localhost:%d/token" % scripted.own_port())
    box = case.outbox()
    daemon = bed.start()
    number = box.insert("acme", "bob@example.net")
    error = daemon.wait_event("tenant.down", tenant="acme", seconds=LONG)[0]["error"]
    assert error.startswith("localhost cannot be asked for a token: ") and "connect" in error, error
    assert daemon.wait_event("token.failed", tenant="acme", seconds=LONG)[0]["error"] == error
    assert box.state(number) == "queued"
    box.set_tenant("acme", oauth_token_url=bed.endpoint.url)
    box.wait_state(number, "sent", LONG)
    daemon.exactly(1, "token.fetched", tenant="acme")


def test_an_endpoint_that_hangs_delays_nobody_else(case):
    """Nor is it asked by each of the tenant's sessions."""
    bed = Bed(case)
    server = case.server(lambda: Server("token"))
    other = case.server()
    bed.endpoint.answer = is_silent
    bed.tenant("acme", server, connect_timeout=1, max_connections=4)
    case.tenant("other", other)
    box = case.outbox()
    numbers = [box.insert("acme", "bob@example.net") for _ in range(8)]
    daemon = bed.start()
    bed.endpoint.wait_forms(1)
    for _ in range(5):
        send(case, "other")
    row = box.wait_tenant("acme", "backoff", LONG)
    words = "the token endpoint has not answered in time"
    assert row["last_error"] == words
    assert len(bed.endpoint.forms) == 1
    assert all(box.state(number) == "queued" for number in numbers)
    bed.endpoint.answer = gives("token")
    bed.endpoint.closed.set()
    for number in numbers:
        box.wait_state(number, "sent", LONG)
    # a line of each kind for each that failed, although nobody waited any more when the fetch ended
    for event in daemon.exactly(len(bed.endpoint.forms) - 1, "token.failed", tenant="acme"):
        assert event["error"].startswith("localhost "), event
    assert daemon.exactly(1, "tenant.down", tenant="acme")[0]["error"] == words


def test_an_expired_token_is_fetched_anew(case):
    """In the middle of a run: each session's is one that still lives."""
    bed = Bed(case)
    server = case.server(lambda: Server())

    def numbered(connection, form, endpoint):
        token = "t%d" % len(endpoint.forms)
        server.tokens.add(token)
        gives(token, 1)(connection, form, endpoint)

    bed.endpoint.answer = numbered
    bed.tenant("acme", server, max_messages_per_session=1)
    daemon = bed.start()
    for _ in range(5000):
        if len(bed.endpoint.forms) >= 3:
            break
        send(case, "acme")
    assert len(bed.endpoint.forms) >= 3
    assert not daemon.events("tenant.down")


def test_a_rotated_refresh_token_is_written_back(case):
    bed = Bed(case)
    server = case.server(lambda: Server("a", "b"))
    bed.write("refresh", "refresh-1")
    bed.endpoint.answer = gives("a", refresh_token="refresh-2")
    bed.tenant("acme", server, oauth_refresh_token_file="refresh",
               max_messages_per_session=1)
    daemon = bed.start()
    send(case, "acme")
    assert bed.read("refresh") == "refresh-2"
    mode = os.stat(os.path.join(bed.secrets, "refresh")).st_mode
    assert stat.S_IMODE(mode) == 0o600
    assert sorted(os.listdir(bed.secrets)) == ["client", "refresh"]
    server.tokens = {"b"}
    bed.endpoint.answer = gives("b", refresh_token="refresh-3")
    send(case, "acme")
    assert [form["refresh_token"] for form in bed.endpoint.forms] == [
        "refresh-1", "refresh-2"]
    assert bed.read("refresh") == "refresh-3"
    assert "refresh-2" not in daemon.log.text()


def test_who_rewrites_the_endpoint_of_sealed_files_gets_nothing(case):
    """By plain SQL, while outboxd runs: no connection to the new endpoint, the tenant is down with
    words; undone, it sends, and a rotated token stays sealed."""
    bed = Bed(case)
    server = case.server(lambda: Server("a", "b"))
    evil = bed.another()
    bed.write("refresh", "refresh-1")
    bed.endpoint.answer = gives("a", refresh_token="refresh-2")
    bed.tenant("acme", server, oauth_refresh_token_file="refresh", max_messages_per_session=1)
    keys = case.path("keys")
    outbox.outboxctl("secrets", "keygen", keys)
    box = case.outbox()

    def ctl(*words):
        return outbox.outboxctl("--database", box.path, *words, "--secrets-dir", bed.secrets,
                                "--secrets-key-file", keys).stdout

    assert ctl("secrets", "seal") == "0 passwords and 2 files sealed\n"
    assert bed.read("client").startswith("{sealed:2:")
    daemon = bed.start("secrets_key_file=" + keys)
    send(case, "acme")
    assert bed.read("refresh").startswith("{sealed:2:")
    box.set_tenant("acme", oauth_token_url=evil.url)
    number = box.insert("acme", "bob@example.net")
    box.wait("the words", lambda: "was sealed for another name, server or oauth_token_url" in
             str(box.tenant_status("acme")["last_error"]), LONG)
    assert box.state(number) == "queued" and not evil.forms
    server.tokens = {"b"}
    bed.endpoint.answer = gives("b", refresh_token="refresh-3")
    box.set_tenant("acme", oauth_token_url=bed.endpoint.url)
    box.wait_state(number, "sent", LONG)
    # and made with outboxctl it is sealed anew
    evil.answer = gives("b")
    ctl("tenant", "set", "acme", "--oauth-token-url", evil.url)
    send(case, "acme")
    assert [form["refresh_token"] for form in bed.endpoint.forms + evil.forms] == [
        "refresh-1", "refresh-2", "refresh-3"]
    text = daemon.log.text() + str(box.tenant_status("acme")) + bed.read("client") + bed.read("refresh")
    assert SECRET not in text and "refresh-" not in text


def test_a_rotated_refresh_token_outlives_a_change_of_its_server(case):
    """outboxctl tenant set in the middle of a fetch seals the file for another server; the endpoint takes each
    refresh token once. What it gives is kept for the new server, over a restart too."""
    bed = Bed(case)
    old, new = (case.server(lambda: Server("a", "b", "c")) for _ in range(2))
    bed.write("refresh", "refresh-1")
    bed.tenant("acme", old, oauth_refresh_token_file="refresh", oauth_client_secret_file=None,
               max_messages_per_session=1)
    keys = case.path("keys")
    outbox.outboxctl("secrets", "keygen", keys)
    box = case.outbox()
    more = ["--secrets-dir", bed.secrets, "--secrets-key-file", keys]
    outbox.outboxctl("--database", box.path, "secrets", "seal", *more)
    moved = []

    def rotates(connection, form, endpoint):
        if not moved:
            moved.append(outbox.outboxctl("--database", box.path, "tenant", "set", "acme", "--port",
                                          str(new.port), *more))
        answers = {"refresh-1": gives("a", refresh_token="refresh-2"),
                   "refresh-2": gives("b", refresh_token="refresh-3"), "refresh-3": gives("c")}
        answers[form["refresh_token"]](connection, form, endpoint)

    bed.endpoint.answer = rotates
    daemon = bed.start("secrets_key_file=" + keys)
    for _ in range(2):
        send(case, "acme")
    assert ("acme@acme.example", "b") in new.shown, new.shown
    assert daemon.stop() == 0
    assert bed.read("refresh").startswith("{sealed:2:")
    bed.start("secrets_key_file=" + keys, log="log.2")
    send(case, "acme")
    shown = [form["refresh_token"] for form in bed.endpoint.forms]
    # the first one twice only where outboxctl took longer than a fetch may
    assert shown[shown.count("refresh-1") - 1:] == ["refresh-1", "refresh-2", "refresh-3"], shown


def test_a_crash_while_a_refresh_token_is_written_leaves_a_good_one(case):
    """After each step of it; and the steps are in the order that a power loss asks
    for: the content is on the disk before its name, the name before it is relied on."""
    bed = Bed(case)
    server = case.server(lambda: Server("token"))
    bed.write("refresh", "refresh-1")
    bed.tenant("acme", server, oauth_refresh_token_file="refresh")

    def rotates(connection, form, endpoint):
        more = {"refresh_token": "refresh-2"} if form["refresh_token"] == "refresh-1" else {}
        gives("token", **more)(connection, form, endpoint)

    bed.endpoint.answer = rotates
    steps, token = case.path("steps"), case.path("dies")
    preload = {"LD_PRELOAD": os.path.join(outbox.build_directory(), "tests/daemon/step.so"),
               "STEP_DIR": bed.secrets, "STEP_LOG": steps, "STEP_TOKEN": token,
               "ASAN_OPTIONS": "verify_asan_link_order=0"}
    order = ["open", "write", "write", "sync", "rename", "sync"]
    for number in range(len(order) + 1):
        bed.write("refresh", "refresh-1")
        bed.endpoint.forms.clear()
        open(steps, "w").close()
        open(token, "w").close()
        with service.surroundings(dict(preload, STEP_AT=str(number))):
            daemon = bed.start(log="log.%d" % number)
        daemon.allowed |= {"service.crashed"}
        send(case, "acme")
        if number:
            daemon.wait_event("service.crashed", 1, seconds=LONG)
        assert daemon.stop() == 0
        with open(steps) as stream:
            done = stream.read().split()
        if number == 0:
            assert done == order, done
        else:
            assert not os.path.exists(token), "it did not die at step %d" % number
            assert done[:number] == order[:number], done
        # each that was shown is whole: the old one until the new one has its name
        shown = [form["refresh_token"] for form in bed.endpoint.forms]
        renamed = number == 0 or number > order.index("rename")
        assert shown == ["refresh-1"] + ([] if number == 0 else
                                         ["refresh-2" if renamed else "refresh-1"]), shown
        assert bed.read("refresh") == "refresh-2"
        assert sorted(os.listdir(bed.secrets)) == ["client", "refresh"]


def test_a_new_refresh_token_is_noticed_after_the_old_one_was_refused(case):
    """Within a minute, long before the next try after a rejected login: nobody
    needs to be told."""
    bed = Bed(case)
    server = case.server(lambda: Server("token"))
    bed.write("refresh", "revoked")
    bed.endpoint.answer = lambda connection, form, endpoint: (
        gives("token") if form["refresh_token"] == "good" else refuses("invalid_grant"))(
            connection, form, endpoint)
    bed.tenant("acme", server, oauth_refresh_token_file="refresh")
    bed.start()
    box = case.outbox()
    number = box.insert("acme", "bob@example.net")
    row = box.wait_tenant("acme", "auth_failed", LONG)
    assert row["retry_at"] > row["updated_at"] + 2 * LONG, row
    bed.write("refresh", "good")

    def is_sent():
        # again and again: the first look at the file may come only now
        os.utime(os.path.join(bed.secrets, "refresh"))
        return box.state(number) == "sent"
    box.wait("sent", is_sent, 2 * LONG)
    assert [form["refresh_token"] for form in bed.endpoint.forms] == ["revoked", "good"]


def test_a_refresh_token_alone_needs_no_secret(case):
    bed = Bed(case)
    server = case.server(lambda: Server("token"))
    bed.write("refresh", "refresh-1")
    bed.tenant("acme", server, oauth_refresh_token_file="refresh",
               oauth_client_secret_file=None, oauth_scope=None)
    bed.start()
    send(case, "acme")
    assert bed.endpoint.forms == [{"grant_type": "refresh_token",
                                   "client_id": "acme",
                                   "refresh_token": "refresh-1"}]
    assert bed.read("refresh") == "refresh-1"


def test_no_token_crosses_from_a_tenant_to_another(case):
    """Two at one server and one endpoint, whose settings change meanwhile."""
    bed = Bed(case)
    server = case.server(lambda: Server())
    wrong = []

    def check(session, pair):
        server.shown.append(pair)
        user, token = pair
        if token.split(".")[0] + "@acme.example" != user:
            wrong.append(pair)
        return "235 2.7.0 welcome"

    server.rules.clear()
    server.on("login", check)
    bed.endpoint.answer = lambda connection, form, endpoint: gives(
        "%s.%d" % (form["client_id"], len(endpoint.forms)))(connection, form, endpoint)
    names = ["one", "two", "three"]
    for name in names:
        bed.tenant(name, server, max_messages_per_session=1, max_connections=3)
    bed.start()
    box = case.outbox()
    for turn in range(4):
        numbers = [box.insert(name, "bob@example.net") for name in names
                   for _ in range(5)]
        box.set_tenant(names[turn % 3], oauth_scope="mail %d" % turn)
        for number in numbers:
            box.wait_state(number, "sent", LONG)
    assert not wrong, wrong
    assert any(form["scope"] != "mail" for form in bed.endpoint.forms)
    assert len(server.shown) >= 60


def test_without_the_program_the_tenant_is_down_with_words(case):
    bed = Bed(case)
    server = case.server(lambda: Server("token"))
    bed.tenant("acme", server)
    absent = case.path("absent")
    bed.start("token_program=" + absent)
    box = case.outbox()
    number = box.insert("acme", "bob@example.net")
    row = box.wait_tenant("acme", "backoff", LONG)
    assert absent + " cannot be run" in row["last_error"]
    assert box.state(number) == "queued"


def test_a_secret_that_is_absent_is_told(case):
    bed = Bed(case)
    bed.tenant("acme", case.server(lambda: Server("token")),
               oauth_client_secret_file="absent")
    bed.start()
    box = case.outbox()
    number = box.insert("acme", "bob@example.net")
    row = box.wait_tenant("acme", "backoff", LONG)
    assert "oauth_client_secret_file = absent cannot be read" in row["last_error"]
    bed.write("absent", SECRET)
    box.wait_state(number, "sent", LONG)


def test_a_token_command_is_asked_at_each_session(case):
    commands = case.path("commands")
    os.mkdir(commands)
    with open(os.path.join(commands, "give"), "w") as stream:
        stream.write("#!/bin/sh\necho \"token-of-$1\"\n")
    os.chmod(os.path.join(commands, "give"), 0o700)
    server = case.server(lambda: Server("token-of-acme"))
    case.tenant("acme", server, auth="xoauth2", username="me",
                token_command="give", connect_timeout=LONG)
    case.tenant("none", server, auth="xoauth2", username="me",
                token_command="absent", connect_timeout=LONG)
    case.start(settings=["command_dir=" + commands])
    send(case, "acme")
    assert server.shown == [("me", "token-of-acme")]
    box = case.outbox()
    box.insert("none", "bob@example.net")
    row = box.wait_tenant("none", "backoff", LONG)
    assert "token_command = absent cannot be run" in row["last_error"]


def test_a_half_set_tenant_is_down_with_words(case):
    """Refused, not ignored; the others go on; mended live."""
    server = case.server()
    case.tenant("scope", server, oauth_scope="mail")
    case.tenant("clear", server, oauth_token_url="http://localhost/token")
    case.tenant("fine", server)
    daemon = case.start()
    box = case.outbox()
    ids = {name: box.insert(name, "bob@example.net", subject=name)
           for name in ("scope", "clear", "fine")}
    box.wait_state(ids["fine"], "sent", LONG)
    for name, words in (("scope", "oauth_scope is set, but oauth_token_url is not"),
                        ("clear", "oauth_token_url must begin with https://: "
                                  "a secret is sent to no other")):
        row = box.wait_tenant(name, "backoff", LONG)
        assert row["last_error"] == words
        daemon.wait_event("tenant.down", tenant=name)
        assert box.state(ids[name]) == "queued"
    assert server.subjects() == ["fine"]
    box.set_tenant("scope", oauth_scope=None)
    box.set_tenant("clear", oauth_token_url=None)
    box.wait_state(ids["scope"], "sent", LONG)
    box.wait_state(ids["clear"], "sent", LONG)
