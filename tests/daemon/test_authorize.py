"""outboxctl tenant test with what outboxd logs in with: the same words, no daemon
needed. The endpoint and the mail server are those of test_token.py."""

import os
import sys

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)),
                             "../support"))

import outbox
from test_token import LONG, SECRET, Bed, Server
from token_endpoint import gives, refuses


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
