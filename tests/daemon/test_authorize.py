"""outboxctl tenant test with what outboxd logs in with: the same words, no daemon
needed; and tenant authorize, a person being played by the test. The endpoint and
the mail server are those of test_token.py."""

import base64
import hashlib
import os
import re
import socket
import stat
import subprocess
import sys
import urllib.parse

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)),
                             "../support"))

import outbox
import patience
from test_token import LONG, SECRET, Bed, Server
from token_endpoint import gives, refuses, says

CODE, REFRESH = "c0de-of-a-person", "refresh-of-a-person"


def options(bed):
    return ("--secrets-dir", bed.secrets, "--token-ca-file", bed.authority.file,
            "--token-program", outbox.program("outboxd-token"))


def run(case, *words, status=0, secrets=()):
    """outboxctl's standard output and errors, without any secret."""
    done = outbox.outboxctl("--database", case.outbox().path, *words, status=status)
    for secret in (SECRET, *secrets):
        assert secret not in done.stdout + done.stderr, done
    return done


def program(case, name, text):
    folder = case.path("commands")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, name)
    with open(path, "w") as stream:
        stream.write("#!/bin/sh\n" + text)
    os.chmod(path, 0o700)
    return folder


def test_tenant_test_fetches_a_token_as_outboxd_does(case):
    bed = Bed(case)
    server = case.server(lambda: Server("the-token"))
    bed.endpoint.answer = gives("the-token")
    bed.tenant("acme", server)
    done = run(case, "tenant", "test", "acme", *options(bed), secrets=["the-token"])
    assert "fetching a token: ok\n" in done.stdout and "logging in: ok\n" in done.stdout
    assert "logged in with XOAUTH2" in done.stdout
    assert server.shown == [("acme@acme.example", "the-token")]
    assert bed.endpoint.forms == [{"grant_type": "client_credentials", "client_id": "acme",
                                   "client_secret": SECRET, "scope": "mail"}]
    assert not server.subjects()


def test_tenant_test_says_what_outboxd_says(case):
    """Of the endpoint's no, of the server's, of a file that is not there."""
    bed = Bed(case)
    server = case.server(lambda: Server())
    refusing = bed.another()
    refusing.answer = refuses("invalid_client", "AADSTS7000215: not %s" % SECRET, 401)
    bed.tenant("endpoint", server, refusing)
    bed.tenant("server", server)
    bed.tenant("file", server, oauth_client_secret_file="absent")
    said = {name: run(case, "tenant", "test", name, *options(bed), status=69).stderr
            for name in ("endpoint", "server", "file")}
    bed.start()
    box = case.outbox()
    for name, state in (("endpoint", "auth_failed"), ("server", "auth_failed"),
                        ("file", "backoff")):
        box.insert(name, "bob@example.net")
        row = box.wait_tenant(name, state, LONG)
        words = row["last_error"].split(" 535 5.7.3 ")[-1]     # who said it is beside it
        assert words in said[name], (words, said[name])
    assert "535 5.7.3" in said["server"] and \
        "object id of the enterprise application" in said["server"], said["server"]


def test_tenant_test_keeps_a_rotated_refresh_token(case):
    """Written as outboxd writes it, or not asked for."""
    bed = Bed(case)
    server = case.server(lambda: Server("the-token"))
    bed.write("refresh", "refresh-1")
    bed.endpoint.answer = gives("the-token", refresh_token="refresh-2")
    bed.tenant("acme", server, oauth_refresh_token_file="refresh")
    absent = list(options(bed))
    absent[1] = case.path("absent")
    done = run(case, "tenant", "test", "acme", *absent, status=77)
    assert "cannot be written to " + absent[1] in done.stderr and not bed.endpoint.forms
    run(case, "tenant", "test", "acme", *options(bed), secrets=["refresh-1", "refresh-2"])
    assert bed.read("refresh") == "refresh-2" and len(bed.endpoint.forms) == 1
    assert sorted(os.listdir(bed.secrets)) == ["client", "refresh"]


def test_tenant_test_runs_the_tenants_program(case):
    server = case.server(lambda: Server("token-of-acme"))
    folder = program(case, "give", "echo \"token-of-$1\"\n")
    program(case, "fail", "exit 3\n")
    case.tenant("acme", server, auth="xoauth2", username="me", token_command="give")
    case.tenant("zeta", server, auth="xoauth2", username="me", password_command="fail")
    done = run(case, "tenant", "test", "acme", status=64)
    assert "--command-dir" in done.stderr
    done = run(case, "tenant", "test", "acme", "--command-dir", folder,
               secrets=["token-of-acme"])
    assert "running token_command: ok\n" in done.stdout
    assert server.shown == [("me", "token-of-acme")]
    done = run(case, "tenant", "test", "zeta", "--command-dir", folder, status=69)
    assert "running password_command: failed\n" in done.stdout
    assert "password_command = fail ended with exit status 3" in done.stderr


def test_tenant_test_kills_a_program_that_hangs(case):
    """A helper of its own that never answers is not waited for beyond its deadline."""
    bed = Bed(case)
    folder = program(case, "hang", "exec sleep 3600\n")
    bed.tenant("acme", case.server(lambda: Server("token")))
    hanging = os.path.join(folder, "hang")
    done = run(case, "tenant", "test", "acme", "--secrets-dir", bed.secrets,
               "--token-program", hanging, status=69)
    assert hanging + " did not end in time" in done.stderr


# ---- tenant authorize ----------------------------------------------------------------

class Person:
    """tenant authorize under way, and what it has printed."""

    def __init__(self, case, bed, *words):
        self.process = subprocess.Popen(
            [outbox.program("outboxctl"), "--database", case.outbox().path, "tenant",
             "authorize", "acme", *options(bed), *words],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.case = case
        self.said = ""

    def read_until(self, pattern):
        """The match, once it is said."""
        while True:
            found = re.search(pattern, self.said, re.MULTILINE)
            if found:
                return found
            line = self.process.stdout.readline()
            if not line:
                raise AssertionError(self.said + self.process.stderr.read())
            self.said += line

    def url(self):
        """(address, its parameters, where the browser comes back to)."""
        url = self.read_until(r"^https://\S+$").group()
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query,
                                            strict_parsing=True))
        host, port = urllib.parse.urlsplit(query["redirect_uri"]).netloc.split(":")
        assert host == "127.0.0.1"
        return url, query, (host, int(port))

    def end(self, status):
        out, errors = self.process.communicate(timeout=LONG * patience.TIMES)
        self.said += out
        assert self.process.returncode == status, (self.process.returncode, self.said, errors)
        for secret in (SECRET, CODE, REFRESH):
            assert secret not in self.said + errors, (self.said, errors)
        return errors


def comes_back(address, octets):
    """What the port answers."""
    with socket.create_connection(address, LONG) as connection:
        connection.sendall(octets)
        answer = b""
        while True:
            more = connection.recv(65536)
            if not more:
                return answer.decode()
            answer += more


def request(**parameters):
    return ("GET /?%s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
            % urllib.parse.urlencode(parameters)).encode()


class Consent(Bed):
    """A tenant that wants a refresh token, and has none."""

    def __init__(self, case, **columns):
        super().__init__(case)
        self.server = case.server(lambda: Server("the-token"))
        self.tenant("acme", self.server, oauth_refresh_token_file="refresh",
                    oauth_scope="mail offline_access", **columns)

    def says(self, *answers, interval=1, expires_in=900):
        """A device code, then one answer a poll, the last for ever."""
        polls = list(answers)

        def answer(connection, form, endpoint):
            if "grant_type" not in form:
                says(200, {"device_code": CODE, "user_code": "WDJB-MJHT",
                           "verification_uri": "https://login.example/device",
                           "expires_in": expires_in, "interval": interval})(
                               connection, form, endpoint)
            else:
                (polls.pop(0) if len(polls) > 1 else polls[0])(connection, form, endpoint)

        self.endpoint.answer = answer

    def device(self, case, *words):
        return Person(case, self, "--device-url", self.endpoint.url, *words)

    def loopback(self, case, *words):
        return Person(case, self, "--loopback", "--authorize-url",
                      "https://login.example/authorize?tenant=x", *words)

    def kept(self):
        return sorted(os.listdir(self.secrets))


def test_authorize_by_a_device_gets_a_refresh_token(case):
    """Pending and too fast are no end; outboxd sends with what was kept."""
    bed = Consent(case)
    bed.says(refuses("authorization_pending"), refuses("slow_down"),
             gives("the-token", refresh_token=REFRESH))
    person = bed.device(case)
    person.read_until("^Open https://login.example/device$")
    person.read_until("^and enter the code WDJB-MJHT$")
    person.end(0)
    assert "acme: authorized" in person.said
    first, *polls = bed.endpoint.forms
    assert first == {"client_id": "acme", "scope": "mail offline_access"}
    assert polls == [{"grant_type": "urn:ietf:params:oauth:grant-type:device_code",
                      "client_id": "acme", "client_secret": SECRET,
                      "device_code": CODE}] * 3
    assert bed.read("refresh") == REFRESH and bed.kept() == ["client", "refresh"]
    mode = os.stat(os.path.join(bed.secrets, "refresh")).st_mode
    assert stat.S_IMODE(mode) == 0o600
    bed.start()
    box = case.outbox()
    box.wait_state(box.insert("acme", "bob@example.net"), "sent", LONG)
    assert bed.endpoint.forms[-1]["refresh_token"] == REFRESH
    assert bed.server.shown == [("acme@acme.example", "the-token")]


def test_authorize_by_a_device_ends_with_words(case):
    """And leaves the old refresh token where it is."""
    bed = Consent(case)
    bed.write("refresh", "old")
    for answer, status, words in (
            (refuses("access_denied"), 77, "the person said no"),
            (refuses("expired_token"), 77, "not entered before it expired"),
            (refuses("invalid_client", "not %s" % SECRET), 77, "invalid_client (not ***)"),
            (gives("the-token"), 77, "no refresh token: Microsoft wants offline_access")):
        bed.says(answer)
        assert words in bed.device(case).end(status), words
    bed.says(refuses("authorization_pending"), expires_in=1)
    assert "nobody entered the code in time" in bed.device(case).end(69)
    bed.says(refuses("authorization_pending"))
    assert "nobody entered the code in time" in bed.device(case, "--within", "1s").end(69)
    # trouble of the endpoint is no end
    bed.endpoint.forms.clear()
    bed.says(refuses("server_error", "sick", 503), refuses("access_denied"))
    assert "the person said no" in bed.device(case).end(77)
    assert len(bed.endpoint.forms) == 3
    bed.endpoint.answer = refuses("unauthorized_client")
    assert "unauthorized_client" in bed.device(case).end(77)
    assert bed.read("refresh") == "old" and bed.kept() == ["client", "refresh"]


def test_authorize_by_a_browser_gets_a_refresh_token(case):
    """With PKCE and a state; the secret goes to the token endpoint alone."""
    bed = Consent(case)
    bed.endpoint.answer = gives("the-token", refresh_token=REFRESH)
    person = bed.loopback(case)
    url, query, address = person.url()
    assert url.startswith("https://login.example/authorize?tenant=x&response_type=code&")
    assert SECRET not in url and len(query["state"]) == 43
    assert (query["client_id"], query["scope"], query["login_hint"]) == (
        "acme", "mail offline_access", "acme@acme.example")
    answer = comes_back(address, request(code=CODE, state=query["state"], session_state="x"))
    assert answer.startswith("HTTP/1.1 200 OK\r\n") and "close this page" in answer
    person.end(0)
    (form,) = bed.endpoint.forms
    verifier = form.pop("code_verifier")
    assert form == {"grant_type": "authorization_code", "client_id": "acme",
                    "client_secret": SECRET, "code": CODE,
                    "redirect_uri": query["redirect_uri"]}
    digest = hashlib.sha256(verifier.encode()).digest()
    assert query["code_challenge"] == base64.urlsafe_b64encode(digest).decode().rstrip("=")
    assert query["code_challenge_method"] == "S256" and len(verifier) == 43
    assert bed.read("refresh") == REFRESH and bed.kept() == ["client", "refresh"]
    try:
        socket.create_connection(address, LONG).close()
        raise AssertionError("the port is still open")
    except ConnectionRefusedError:
        pass


def test_nobody_else_comes_back_instead_of_the_browser(case):
    """Connections that say nothing, nonsense, another state: answered or left, and waited on."""
    bed = Consent(case)
    bed.endpoint.answer = gives("the-token", refresh_token=REFRESH)
    person = bed.loopback(case)
    _, query, address = person.url()
    silent = [socket.create_connection(address, LONG) for _ in range(12)]
    state = query["state"]
    for octets, status in (
            (request(code="forged", state="x" * 43), 400), (request(code="forged"), 400),
            (request(error="access_denied", state=""), 400),
            (request(state=state), 404),
            (b"GET / HTTP/1.1\r\n\r\n", 404), (b"GET /favicon.ico HTTP/1.1\r\n\r\n", 404),
            (b"POST /?state=%s&code=f HTTP/1.1\r\n\r\n" % state.encode(), 404),
            (b"GET /?state=%s&code=f&code=g HTTP/1.1\r\n\r\n" % state.encode(), 404),
            (b"GET /?state=%s&code=%%00 HTTP/1.1\r\n\r\n" % state.encode(), 404),
            (b"GET /?state=%s&code=f\r\n\r\n" % state.encode(), 404),
            (b"\x16\x03\x01\x00\x00\r\n\r\n", 404), (b"x" * 16384, 404)):
        answer = comes_back(address, octets)
        assert answer.startswith("HTTP/1.1 %d " % status), (octets[:80], answer)
    # octet by octet, as a slow one may
    with socket.create_connection(address, LONG) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in request(code=CODE, state=state):
            connection.sendall(bytes([octet]))
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
    person.end(0)
    assert [form["code"] for form in bed.endpoint.forms] == [CODE]
    for one in silent:
        one.close()


def test_authorize_by_a_browser_ends_with_words(case):
    bed = Consent(case)
    bed.write("refresh", "old")
    person = bed.loopback(case)
    _, query, address = person.url()
    answer = comes_back(address, request(error="access_denied", state=query["state"],
                                         error_description="they\x1b[2J said no"))
    assert "Not authorized" in answer
    assert "refused: access_denied (they [2J said no)" in person.end(77)
    assert "no browser came back with a code in time" in \
        bed.loopback(case, "--within", "1s").end(69)
    bed.endpoint.answer = refuses("invalid_grant", "not %s" % CODE)
    person = bed.loopback(case)
    _, query, address = person.url()
    comes_back(address, request(code=CODE, state=query["state"]))
    assert "invalid_grant (not ***)" in person.end(77)
    assert bed.read("refresh") == "old" and bed.kept() == ["client", "refresh"]


def test_authorize_knows_the_providers(case):
    """Where it asks nobody: what is wrong is told first."""
    bed = Consent(case)
    box = case.outbox()

    def usage(*words):
        return Person(case, bed, *words).end(64)

    assert "give --authorize-url" in usage() and "give --device-url" in usage("--device")
    assert "exclude one another" in usage("--device", "--loopback")
    assert "must begin with https://" in usage("--device-url", "http://localhost/")
    assert "--within" in usage("--device-url", bed.endpoint.url, "--within", "2d")
    box.set_tenant("acme", oauth_token_url="https://oauth2.googleapis.com/token")
    assert "no device flow for mail" in usage("--device")
    person = Person(case, bed, "--within", "1s")
    url, query, _ = person.url()
    assert url.startswith("https://accounts.google.com/o/oauth2/v2/auth?response_type=code&")
    assert query["access_type"] == "offline" and query["prompt"] == "consent"
    person.end(69)
    box.set_tenant("acme", oauth_token_url="https://login.microsoftonline.com/directory/oauth2/v2.0/token")
    person = Person(case, bed, "--loopback", "--within", "1s")
    url, query, _ = person.url()
    assert url.startswith("https://login.microsoftonline.com/directory/oauth2/v2.0/authorize?")
    assert "access_type" not in query
    person.end(69)
    box.set_tenant("acme", oauth_refresh_token_file=None)
    assert "has no oauth_refresh_token_file" in usage()
    assert not bed.endpoint.forms
