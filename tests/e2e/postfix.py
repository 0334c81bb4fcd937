"""Postfix in a jail: one instance with as many smtpd services as wanted.

Each service has its own port, TLS mode, certificate and list of mechanisms;
authentication asks Dovecot; mail is delivered by virtual(8) to Maildirs,
with nothing changed but the header fields that are put on at the top.
"""

import os
import re
import socket
import time

import jail as jails
import logfile
import packages
import patience

HOST_NAME = "mail.rig.example"


class Service:
    """What one smtpd is to do.  tls: 'required', 'optional', 'implicit' or
    'none'.  mechanisms: None = all that Dovecot has, [] = no AUTH offered.
    options: further main.cf parameters of this service."""

    def __init__(self, tls, certificate=None, mechanisms=None, options=None):
        self.tls = tls
        self.certificate = certificate
        self.mechanisms = mechanisms
        self.options = options or {}
        self.port = 0

    def parameters(self, name):
        words = {"syslog_name": "postfix/%s" % name}
        words["smtpd_tls_security_level"] = {
            "required": "encrypt", "optional": "may",
            "implicit": "encrypt", "none": "none"}[self.tls]
        if self.tls == "implicit":
            words["smtpd_tls_wrappermode"] = "yes"
        if self.tls != "none":
            words["smtpd_tls_auth_only"] = \
                "no" if self.tls == "optional" else "yes"
            words["smtpd_tls_chain_files"] = "%s, %s" % (
                self.certificate.key, self.certificate.certificate)
        if self.mechanisms is None:
            words["smtpd_sasl_auth_enable"] = "yes"
        elif self.mechanisms:
            words["smtpd_sasl_auth_enable"] = "yes"
            words["smtpd_sasl_mechanism_filter"] = ", ".join(self.mechanisms)
        else:
            words["smtpd_sasl_auth_enable"] = "no"
            words["smtpd_relay_restrictions"] = "reject_unauth_destination"
        words.update(self.options)
        return words


# Of any instance of its own: what it is, where it keeps its things.
MAIN_HEAD = """\
compatibility_level = 3.6
queue_directory = {work}/queue
data_directory = {work}/data
multi_instance_enable = no
maillog_file_prefixes = {work}
maillog_file = {log}
mail_owner = postfix
setgid_group = postdrop
myhostname = {host}
mydomain = rig.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
local_transport = error:no local mail here
"""

_MAIN = MAIN_HEAD + """\
default_transport = error:no mail leaves this rig
virtual_mailbox_domains = texthash:{work}/conf/domains
virtual_mailbox_maps = texthash:{work}/conf/mailboxes
virtual_mailbox_base = {mail}
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{uid}
virtual_mailbox_limit = 0
message_size_limit = 104857600
mailbox_size_limit = 0
# Nothing is mended on the way: what arrives is what was sent.
message_drop_headers =
remote_header_rewrite_domain =
local_header_rewrite_clients =
always_add_missing_headers = no
smtpd_sasl_type = dovecot
smtpd_sasl_path = {sasl}
smtpd_sasl_authenticated_header = yes
smtpd_sasl_security_options = noanonymous
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions =
smtpd_tls_loglevel = 2
smtpd_tls_received_header = yes
smtpd_client_port_logging = yes
smtpd_peername_lookup = no
smtpd_error_sleep_time = 0
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_timeout = 300s
in_flow_delay = 0
default_process_limit = 100
"""

_MASTER = """\
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
verify    unix  -       -       n       -       1       verify
flush     unix  n       -       n       1000?   0       flush
proxymap  unix  -       -       n       -       -       proxymap
proxywrite unix -       -       n       -       1       proxymap
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
discard   unix  -       -       n       -       -       discard
virtual   unix  -       n       n       -       -       virtual
anvil     unix  -       -       n       -       1       anvil
scache    unix  -       -       n       -       1       scache
postlog   unix-dgram n  -       n       -       1       postlogd
"""


class Postfix:
    """One Postfix.  services: name -> Service; mailboxes: addresses."""

    def __init__(self, jail, sasl_socket, services, addresses, mail,
                 name="postfix"):
        self.jail = jail
        self.name = name
        self.sasl = sasl_socket
        self.services = services
        self.mail = mail
        self.addresses = list(addresses)
        self.work = os.path.join(jail.work, name)
        self.conf = self.work + "/conf"
        self.log = logfile.LogFile(self.work + "/maillog")
        for directory in (self.work, self.conf, self.work + "/queue"):
            jail.directory(directory)
        jail.directory(self.work + "/data", 0o700, "postfix:postfix")
        self.started = False
        self.base = 0           # where this start's part of the log begins

    def _write(self):
        owner = {"work": self.work, "log": self.log.path, "mail": self.mail,
                 "host": HOST_NAME, "uid": self.jail.mail_uid,
                 "sasl": self.sasl}
        self.jail.write(self.conf + "/main.cf", _MAIN.format(**owner))
        domains = sorted({a.split("@")[1] for a in self.addresses})
        self.jail.write(self.conf + "/domains",
                        "".join("%s here\n" % d for d in domains))
        self.jail.write(self.conf + "/mailboxes",
                        "".join("%s %s/\n" % (a, a) for a in self.addresses))
        text = ""
        for name, service in self.services.items():
            text += "127.0.0.1:%d inet n - n - - smtpd\n" % service.port
            for key, value in service.parameters(name).items():
                text += "  -o { %s = %s }\n" % (key, value)
        self.jail.write(self.conf + "/master.cf", text + _MASTER)

    def _listens(self, seconds=20):
        """True when every service takes connections; False if it ended."""
        limit = patience.limit(seconds)
        for service in self.services.values():
            while True:
                if not self.jail.alive(self.name):
                    return False
                with socket.socket() as s:
                    if s.connect_ex(("127.0.0.1", service.port)) == 0:
                        break
                if time.monotonic() > limit:
                    return False
                time.sleep(0.02)
        return True

    def start(self):
        """Starts it: on new ports the first time, on the same ones after."""
        for _ in range(5):
            if not self.started:
                ports = jails.free_ports(len(self.services))
                for port, service in zip(ports, self.services.values()):
                    service.port = port
            self._write()
            self.log.mark()
            self.base = self.log.offset
            # Makes the queue's directories; its words are in the mail log.
            self.jail.run(["postfix", "-c", self.conf, "check"])
            # Not "postfix start-fg": a shell would stand before the master.
            self.jail.start(self.name,
                            ["/usr/lib/postfix/sbin/master", "-c", self.conf,
                             "-s"], self.work + "/output",
                            env={"MAIL_CONFIG": self.conf})
            if self._listens():
                self.started = True
                self.quiet(len(self.services))
                return
            self.jail.stop(self.name)
        with open(self.work + "/output", errors="replace") as stream:
            raise packages.Missing("postfix does not start: %s %s" % (
                stream.read()[-800:], self.log.text()[-800:]))

    def stop(self):
        """Ends it; connections are cut."""
        self.jail.stop(self.name)

    def reload(self):
        """New certificates and tables are read; connections are kept."""
        status, text = self.jail.run(["postfix", "-c", self.conf, "reload"])
        assert status == 0, "postfix reload: %s" % text

    def port(self, name):
        return self.services[name].port

    def quiet(self, least=0, seconds=20):
        """Waits until each connection since the start has its end, and there
        were at least so many; marks the log there: what follows is the next
        test's."""
        self.log.offset = self.base
        limit = patience.limit(seconds)
        while time.monotonic() < limit:
            begun = self.log.count(r"smtpd\[\d+\]: connect from")
            ended = self.log.count(r"smtpd\[\d+\]: disconnect from")
            if begun == ended and begun >= least:
                break
            time.sleep(0.02)
        self.log.mark()

    def sessions(self, name, count=1, seconds=20):
        """The ended connections of a service since the mark: each a dict of
        its commands with their numbers ('ehlo', 'starttls', 'auth', 'mail',
        'data'…), as Postfix counts them, and its 'handshakes'."""
        prefix = "postfix/%s/smtpd" % re.escape(name)
        self.log.wait(prefix + r"\[\d+\]: disconnect from", count, seconds)
        ended = []
        handshakes = {}
        for line in self.log.lines(prefix):
            process = re.search(r"smtpd\[(\d+)\]: ", line)
            words = line[process.end():]
            key = process.group(1)
            if words.startswith("connect from"):
                handshakes[key] = [0, 0]
            elif "TLS connection established from" in words:
                handshakes[key][0] += 1
            elif "Reusing old session" in words:
                handshakes[key][1] += 1
            elif words.startswith("disconnect from"):
                ended.append(_commands(words, *handshakes.pop(key)))
        return ended

    def failed_logins(self, name):
        """How many times an AUTH failed at a service since the mark."""
        return self.log.count(r"postfix/%s/smtpd.*SASL \S+ authentication "
                              r"failed" % re.escape(name))


def _commands(words, handshakes, resumed):
    """'ehlo=2 auth=0/1' -> {'ehlo': (2, 2), 'auth': (0, 1)}: good, all."""
    found = {"handshakes": handshakes, "resumed": resumed}
    for key, good, tried in re.findall(r"(\w+)=(\d+)(?:/(\d+))?", words):
        found[key] = int(tried or good)
        found[key + "_good"] = int(good)
    return found
