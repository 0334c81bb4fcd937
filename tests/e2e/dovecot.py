"""Dovecot's authentication service, for Postfix to ask; nothing else of it.

Passwords are kept in clear text, so that every mechanism works: CRAM-MD5
needs them, and SCRAM is computed from them.  Bearer tokens are JWTs (RFC
7519) that Dovecot checks by itself, with a key that both of us know.
"""

import base64
import hmac
import json
import os
import secrets
import time

import packages
import patience

MECHANISMS = ["plain", "login", "cram-md5", "scram-sha-1", "scram-sha-256"]
TOKEN_MECHANISMS = ["xoauth2", "oauthbearer"]

_CONFIGURATION = """\
base_dir = {run}
state_dir = {work}
protocols =
ssl = no
disable_plaintext_auth = no
log_path = {log}
log_timestamp = "%Y-%m-%dT%H:%M:%S "
default_internal_user = dovecot
default_internal_group = dovecot
default_login_user = dovenull
auth_mechanisms = {mechanisms} {token_mechanisms}
auth_verbose = yes
auth_failure_delay = 0
auth_username_chars =
passdb {{
  driver = oauth2
  mechanisms = {token_mechanisms}
  args = {work}/oauth2.conf
}}
passdb {{
  driver = passwd-file
  mechanisms = {mechanisms}
  args = scheme=PLAIN username_format=%u {users}
}}
userdb {{
  driver = static
  args = uid=vmail gid=vmail home=/nonexistent
}}
# No growing delays for an address whose logins failed: all tests share one.
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service auth {{
  unix_listener {socket} {{
    mode = 0666
  }}
}}
"""

_OAUTH2 = """\
introspection_mode = local
local_validation_key_dict = fs:posix:prefix={work}/keys/
username_attribute = email
"""


def _web(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


class Dovecot:
    """One Dovecot in a jail.  `accounts` maps user names to passwords."""

    NAME = "dovecot"

    def __init__(self, jail, accounts):
        self.jail = jail
        self.work = os.path.join(jail.work, "dovecot")
        self.socket = os.path.join(self.work, "auth.socket")
        self.log = os.path.join(self.work, "log")
        self.users = os.path.join(self.work, "users")
        self.accounts = dict(accounts)
        jail.directory(self.work)
        jail.directory(self.work + "/run")
        self._write_users()
        jail.write(self.work + "/dovecot.conf", _CONFIGURATION.format(
            work=self.work, run=self.work + "/run", log=self.log,
            mechanisms=" ".join(MECHANISMS), users=self.users,
            token_mechanisms=" ".join(TOKEN_MECHANISMS), socket=self.socket))
        self.key = secrets.token_bytes(32)
        for name in ("/keys", "/keys/default", "/keys/default/HS256"):
            jail.directory(self.work + name)
        jail.write(self.work + "/keys/default/HS256/default",
                   base64.b64encode(self.key).decode())
        jail.write(self.work + "/oauth2.conf",
                   _OAUTH2.format(work=self.work))

    def _write_users(self):
        lines = ["%s:{PLAIN}%s::::::\n" % pair
                 for pair in self.accounts.items()]
        self.jail.write(self.users, "".join(lines), 0o640, "root:dovecot")

    def set_password(self, user, password):
        """Takes effect at the next authentication (the file's mtime is
        looked at); waits until that mtime is another second."""
        before = int(os.stat(self.users).st_mtime)
        self.accounts[user] = password
        self._write_users()
        while int(os.stat(self.users).st_mtime) == before:
            time.sleep(0.05)
            self._write_users()

    def token(self, user, seconds=3600, key=None, pad=0):
        """A bearer token for a user, valid for so long; with another key it
        is nobody's.  pad: octets of a claim that says nothing."""
        now = int(time.time())
        claims = {"iat": now - 60, "nbf": now - 60, "exp": now + seconds,
                  "sub": user, "email": user, "pad": "x" * pad}
        text = "%s.%s" % tuple(_web(json.dumps(part).encode()) for part in (
            {"alg": "HS256", "typ": "JWT"}, claims))
        return text + "." + _web(hmac.digest(key or self.key, text.encode(),
                                             "sha256"))

    def start(self):
        self.jail.start(self.NAME, ["dovecot", "-F", "-c",
                                    self.work + "/dovecot.conf"],
                        self.work + "/output")
        limit = patience.limit(20)
        while not os.path.exists(self.socket):
            if time.monotonic() > limit or not self.jail.alive(self.NAME):
                with open(self.work + "/output") as stream:
                    raise packages.Missing("dovecot does not start: %s"
                                           % stream.read()[-800:])
            time.sleep(0.02)

    def stop(self):
        self.jail.stop(self.NAME)
        self.jail.run(["rm", "-f", self.socket])

    def log_text(self):
        if os.path.exists(self.log):
            self.jail.mode(self.log, 0o644)
        try:
            with open(self.log, errors="replace") as stream:
                return stream.read()
        except FileNotFoundError:
            return ""
