"""Exim in a jail: one daemon on two ports, STARTTLS and implicit TLS.

AUTH (PLAIN, LOGIN, CRAM-MD5) is offered after TLS only; mail is delivered at
once to Maildirs, unchanged but for the header fields at the top.
"""

import os

import logfile
import jailed

HOST_NAME = "exim.rig.example"
MECHANISMS = ["plain", "login", "cram-md5"]

_CONFIGURATION = """\
primary_hostname = {host}
qualify_domain = rig.example
spool_directory = {work}/spool
log_file_path = {work}/log/%slog
pid_file_path = {work}/exim.pid
log_selector = +incoming_port +smtp_connection +tls_cipher +received_recipients
local_interfaces = 127.0.0.1
daemon_smtp_ports = {starttls} : {implicit}
tls_on_connect_ports = {implicit}
tls_advertise_hosts = *
tls_certificate = {certificate}
tls_privatekey = {key}
tls_try_verify_hosts = *
tls_verify_certificates = {authority}
auth_advertise_hosts = ${{if eq{{$tls_in_cipher}}{{}}{{}}{{*}}}}
host_lookup =
rfc1413_hosts =
smtp_accept_max = 100
smtp_accept_queue_per_connection = 0
smtp_accept_queue = 0
message_size_limit = 100M
acl_smtp_rcpt = check_recipient
acl_smtp_data = accept
bounce_return_message = false

begin acl
check_recipient:
  deny    !authenticated = *
          message = 5.7.0 authentication required
  accept  domains = lsearch;{work}/domains
          endpass
          message = 5.1.1 <$local_part@$domain>: unknown user
          verify = recipient
  deny    message = relay not permitted

begin routers
mailboxes:
  driver = accept
  condition = ${{lookup{{$local_part@$domain}}lsearch{{{work}/mailboxes}}{{yes}}{{no}}}}
  address_data = ${{lookup{{$local_part@$domain}}lsearch{{{work}/mailboxes}}}}
  transport = maildir

begin transports
maildir:
  driver = appendfile
  directory = {mail}/$address_data
  create_directory
  maildir_format
  user = vmail
  group = vmail
  envelope_to_add
  return_path_add

begin retry
*  *  F,1h,1s

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${{if eq{{$auth3}}{{${{lookup{{$auth2}}lsearch{{{work}/users}}{{$value}}fail}}}}}}
  server_set_id = $auth2
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${{if eq{{$auth2}}{{${{lookup{{$auth1}}lsearch{{{work}/users}}{{$value}}fail}}}}}}
  server_set_id = $auth1
cram:
  driver = cram_md5
  public_name = CRAM-MD5
  server_secret = ${{lookup{{$auth1}}lsearch{{{work}/users}}{{$value}}fail}}
  server_set_id = $auth1
# who the certificate is for may act as itself
external:
  driver = external
  public_name = EXTERNAL
  server_advertise_condition = $tls_in_certificate_verified
  server_param2 = ${{certextract{{subj_altname,mail,>:}}{{$tls_in_peercert}}}}
  server_condition = ${{if forany{{$auth2}}{{eq{{$item}}{{$auth1}}}}}}
  server_set_id = $auth1
"""


class Exim(jailed.Server):
    """One Exim."""

    NAME = "exim"

    def __init__(self, *arguments, authority):
        super().__init__(*arguments)
        self.authority = authority
        self.log = logfile.LogFile(self.work + "/log/mainlog")
        for name in ("spool", "log"):
            self.jail.directory(os.path.join(self.work, name), 0o755,
                                "Debian-exim:Debian-exim")
        form = '"%s": %s\n'
        self.file("domains", [(d, "here") for d in self.domains], form)
        self.file("mailboxes", [(a, a) for a in self.addresses], form)
        self.file("users", self.accounts.items(), form)
        for word in (self.certificate.certificate, self.certificate.key):
            self.jail.mode(word, 0o644)     # exim reads both as its own user

    def configure(self):
        self.jail.write("/etc/exim4/exim4.conf", _CONFIGURATION.format(
            work=self.work, mail=self.mail, host=HOST_NAME,
            certificate=self.certificate.certificate,
            key=self.certificate.key, authority=self.authority,
            **self.ports))

    def argv(self):
        return ["exim4", "-bdf", "-q10s"]

    def words(self):
        return super().words() + self.log.text()[-800:]
