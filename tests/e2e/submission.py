"""Dovecot's submission service in a jail: STARTTLS and implicit TLS, every
mechanism, in clear as well.  It hands on to the rig's Postfix, at once.  Of a
bearer token it asks the authorization server whose it is (introspection.py)."""

import dovecot
import jailed

HOST_NAME = "submission.rig.example"
MECHANISMS = dovecot.MECHANISMS

_CONFIGURATION = """\
base_dir = {work}/run
state_dir = {work}
protocols = submission
hostname = {host}
listen = 127.0.0.1
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
disable_plaintext_auth = no
log_path = {work}/log
default_internal_user = dovecot
default_internal_group = dovecot
default_login_user = dovenull
auth_mechanisms = {mechanisms} {token_mechanisms}
auth_failure_delay = 0
auth_username_chars =
mail_location = maildir:{work}/own/%u
passdb {{
  driver = oauth2
  mechanisms = {token_mechanisms}
  args = {work}/oauth2.conf
}}
passdb {{
  driver = passwd-file
  mechanisms = {mechanisms}
  args = scheme=PLAIN username_format=%u {work}/users
}}
userdb {{
  driver = static
  args = uid=vmail gid=vmail home={work}/own
}}
submission_max_mail_size = 100M
submission_relay_host = 127.0.0.1
submission_relay_port = {relay}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service submission-login {{
  inet_listener submission {{
    port = {starttls}
  }}
  inet_listener submissions {{
    port = {implicit}
    ssl = yes
  }}
}}
"""


_OAUTH2 = """\
introspection_mode = post
introspection_url = {url}
username_attribute = email
active_attribute = active
active_value = true
"""


class Submission(jailed.Server):
    """relay: the port of a server that takes what this one hands on; introspection: who knows
    bearer tokens."""

    NAME = "submission"

    def __init__(self, *arguments, relay, introspection):
        super().__init__(*arguments)
        self.relay = relay
        self.jail.directory(self.work + "/run")
        self.jail.directory(self.work + "/own", 0o700, "vmail:vmail")
        self.jail.write(self.work + "/users", "".join(
            "%s:{PLAIN}%s::::::\n" % pair for pair in self.accounts.items()),
            0o640, "root:dovecot")
        self.jail.write(self.work + "/oauth2.conf", _OAUTH2.format(url=introspection.url))

    def configure(self):
        self.jail.write(self.work + "/dovecot.conf", _CONFIGURATION.format(
            work=self.work, host=HOST_NAME, relay=self.relay,
            mechanisms=" ".join(MECHANISMS), token_mechanisms=" ".join(dovecot.TOKEN_MECHANISMS), key=self.certificate.key,
            certificate=self.certificate.certificate, **self.ports))

    def argv(self):
        return ["dovecot", "-F", "-c", self.work + "/dovecot.conf"]
