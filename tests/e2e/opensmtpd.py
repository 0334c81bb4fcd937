"""OpenSMTPD in a jail, in clear and without AUTH; mail is delivered at once to
Maildirs.

Debian 12's OpenSMTPD 6.8 fails every TLS handshake: it does not work with
OpenSSL 3 (OpenSMTPD's issues 1171 and 1239).  AUTH it allows inside TLS only.
"""

import jailed

HOST_NAME = "opensmtpd.rig.example"

_CONFIGURATION = """\
table boxes file:{work}/boxes
table domains file:{work}/domains
smtp max-message-size 100M
listen on 127.0.0.1 port {clear} hostname {host}
action "deliver" maildir "{mail}/%{{rcpt}}" virtual <boxes>
match from any for domain <domains> action "deliver"
"""


class OpenSMTPD(jailed.Server):
    NAME = "opensmtpd"
    PORTS = ("clear",)

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.jail.directory("/var/lib/opensmtpd/empty", 0o755, "root:root")
        self.jail.directory("/var/spool/smtpd", 0o711, "root:root")
        self.file("domains", [(d,) for d in self.domains], "%s\n")
        self.file("boxes", [(a, "vmail") for a in self.addresses], "%s %s\n")

    def configure(self):
        self.jail.write(self.work + "/smtpd.conf", _CONFIGURATION.format(
            work=self.work, mail=self.mail, host=HOST_NAME, **self.ports),
            0o600)

    def argv(self):
        return ["/usr/sbin/smtpd", "-d", "-f", self.work + "/smtpd.conf"]
