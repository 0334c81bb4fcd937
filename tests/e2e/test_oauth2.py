"""Tokens that outboxd fetches, shown to a Dovecot that asks the authorization
server about each: passdb oauth2 with introspection, behind its submission service.
The token endpoint is tests/support/token_endpoint.py, by HTTPS."""

import base64
import json
import os
import sys

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)),
                             "../support"))

import certs
import outbox
from case import for_each
from token_endpoint import Endpoint, gives

GRANTS = {"acme": "client_credentials", "beta": "refresh_token", "gamma": "token_command",
          "delta": "urn:ietf:params:oauth:grant-type:jwt-bearer", "omega": "certificate"}
LONG = 60       # s: for what has to happen on a machine with much else to do


def read(path):
    with open(path) as stream:
        return stream.read()


def key_of(case):
    """An RSA key, and in PEM what it certifies of itself: certs.py's own are ECDSA."""
    pair = certs.Pair(case.path("app.pem"), case.path("app.key"))
    if not os.path.exists(pair.key):
        certs.make_rsa(pair)
    return pair


def claims_of(assertion):
    """What a JWT says (its signature is tests/token/run's)."""
    return [json.loads(base64.urlsafe_b64decode(part + "==")) for part in assertion.split(".")[:2]]


class Bed:
    """A tenant whose first token is its endpoint's, or its command's."""

    def __init__(self, case, mechanism, grant=GRANTS["acme"], name="acme"):
        self.case = case
        self.name = name
        self.before = len(case.rig.introspection.asked)
        self.endpoint = Endpoint(case.rig.good)
        case.servers.append(self.endpoint)
        self.box = case.box(2)
        self.token = "first-of-%s-%s" % (name, os.path.basename(case.directory))
        columns = {"oauth_token_url": self.endpoint.url, "oauth_client_id": name}
        if grant == "client_credentials":
            columns.update(oauth_client_secret_file=case.secret("client", "the-secret\n"), oauth_scope="mail")
        elif grant == "refresh_token":
            columns.update(oauth_refresh_token_file=case.secret("refresh", "the-refresh-token\n"))
        elif grant == "certificate":
            columns.update(oauth_scope="mail", oauth_client_secret_file=case.secret(
                "certificate.pem", read(key_of(case).key) + read(key_of(case).certificate)))
        elif grant.endswith("jwt-bearer"):
            del columns["oauth_client_id"]      # the account's own
            columns.update(oauth_scope="mail", oauth_client_secret_file=case.secret("account.json", json.dumps({
                "type": "service_account", "client_email": "robot@project.example", "private_key": read(key_of(case).key)})))
        else:
            columns = {"token_command": "give-" + name}
        os.makedirs(case.path("secrets"), 0o700, exist_ok=True)
        os.makedirs(case.path("commands"), 0o700, exist_ok=True)
        self.gives(self.token)
        case.tenant(name, "submission-starttls", auth=mechanism, password=None, connect_timeout=LONG,
                    max_messages_per_session=1, retry_max=3600, **columns)

    def gives(self, token):
        """What the tenant gets from now on, either way."""
        self.endpoint.answer = gives(token)
        path = self.case.path("commands/give-" + self.name)
        with open(path + ".new", "w") as stream:
            stream.write("#!/bin/sh\necho %s\n" % token)
        os.chmod(path + ".new", 0o700)
        os.rename(path + ".new", path)

    def grant(self, token):
        self.case.rig.introspection.grant(token, "user@%s.example" % self.name)

    def insert(self):
        return self.case.outbox().insert(self.name, str(self.box))

    def sends(self):
        number = self.insert()
        self.case.outbox().wait_state(number, "sent", LONG)

    def shown(self):
        """The tokens that Dovecot asked about."""
        return self.case.rig.introspection.asked[self.before:]


def serve(case):
    return case.serve(settings=[
        "secrets_dir=" + case.path("secrets"), "command_dir=" + case.path("commands"),
        "token_ca_file=" + case.rig.authority.file, "token_program=" + outbox.program("outboxd-token")])


@for_each(["xoauth2", "oauthbearer"])
def test_tokens_of_each_grant_get_in(case, mechanism):
    """A tenant of each at once; fetched once for two sessions, or asked of the command for each."""
    beds = {name: Bed(case, mechanism, grant, name) for name, grant in GRANTS.items()}
    for bed in beds.values():
        bed.grant(bed.token)
    daemon = serve(case)
    for bed in list(beds.values()) * 2:
        bed.sends()
    for name, bed in beds.items():
        bed.box.wait(2)
        forms = [form["grant_type"] for form in bed.endpoint.forms]
        wanted = {"token_command": [], "certificate": ["client_credentials"]}
        assert forms == wanted.get(GRANTS[name], [GRANTS[name]]), forms
        opened = daemon.exactly(2, "session.open", tenant=name)
        assert all(one["auth"] == mechanism.upper() for one in opened), opened
        assert bed.token not in daemon.log.text()
    assert beds["acme"].shown() == [bed.token for bed in beds.values()] * 2
    header, claims = claims_of(beds["delta"].endpoint.forms[0]["assertion"])
    assert (header["alg"], claims["iss"], claims["sub"]) == ("RS256", "robot@project.example", "user@delta.example")
    header, claims = claims_of(beds["omega"].endpoint.forms[0]["client_assertion"])
    assert header["alg"] == "RS256" and header["x5t#S256"] and claims["iss"] == claims["sub"] == "omega"


@for_each([("client_credentials", "xoauth2"), ("client_credentials", "oauthbearer"),
           ("token_command", "xoauth2")])
def test_a_token_that_is_nobodys(case, grant, mechanism):
    """The error step is answered, its words are told, and nobody is hammered; when there is a good
    one the mail goes."""
    bed = Bed(case, mechanism, grant)
    daemon = serve(case)
    number = bed.insert()
    row = case.outbox().wait_tenant("acme", "auth_failed", LONG)
    words = {"xoauth2": "status ", "oauthbearer": "status invalid_token"}[mechanism]
    assert words in row["last_error"], row["last_error"]
    assert bed.shown() == [bed.token], bed.shown()
    daemon.exactly(1, "tenant.down", tenant="acme")
    status = case.outbox().status(number)
    assert (status["state"], status["attempts"]) == ("queued", 0), tuple(status)
    bed.grant("second")
    bed.gives("second")
    outbox.outboxctl("--database", case.outbox().path, "retry", "--tenant", "acme")
    case.outbox().wait_state(number, "sent", LONG)
    bed.box.wait(1)
    assert bed.shown() == [bed.token, "second"], bed.shown()
    assert bed.token not in daemon.log.text()


@for_each(["xoauth2", "oauthbearer"])
def test_a_token_that_ends_in_the_middle_of_a_run(case, mechanism):
    """The server takes it no longer, although it was to live on: fetched anew, once, and nobody is down."""
    bed = Bed(case, mechanism)
    bed.grant(bed.token)
    daemon = serve(case)
    bed.sends()
    case.rig.introspection.revoke(bed.token)
    bed.grant("second")
    bed.gives("second")
    bed.sends()
    bed.sends()
    bed.box.wait(3)
    assert bed.shown() == [bed.token, bed.token, "second", "second"], bed.shown()
    assert len(bed.endpoint.forms) == 2
    daemon.exactly(2, "token.fetched", tenant="acme")
    assert not daemon.events("tenant.down")
