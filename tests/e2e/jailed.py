"""What the smaller servers of the rig have in common: two ports, STARTTLS on
one and TLS from the first byte on the other, in a jail.

A class of its own says with NAME and HOST_NAME what it is, writes its
configuration for self.ports in configure(), and names its program in argv().
"""

import os
import socket
import time

import jail as jails
import packages
import patience


class Server:
    """accounts: user -> password; addresses: the mailboxes; mail: where the
    Maildirs are."""

    PORTS = ("starttls", "implicit")

    def __init__(self, jail, certificate, accounts, addresses, mail):
        self.jail = jail
        self.certificate = certificate
        self.accounts = dict(accounts)
        self.addresses = list(addresses)
        self.domains = sorted({a.split("@")[1] for a in addresses})
        self.mail = mail
        self.ports = {}
        self.work = os.path.join(jail.work, self.NAME)
        self.output = self.work + "/output"
        jail.directory(self.work)

    def configure(self):
        raise NotImplementedError

    def argv(self):
        raise NotImplementedError

    def file(self, name, rows, form="%s: %s\n"):
        """A table of the server's, a line a row; answers its path."""
        path = os.path.join(self.work, name)
        self.jail.write(path, "".join(form % row for row in rows))
        return path

    def tool(self, argv):
        """A program of the server's own, run to its end."""
        status, text = self.jail.run(argv)
        if status != 0:
            raise packages.Missing("%s: %s" % (" ".join(argv[:2]), text[-800:]))
        return text

    def words(self):
        """What a server that does not start has said."""
        with open(self.output, errors="replace") as stream:
            return stream.read()[-1600:]

    def start(self):
        for _ in range(5):
            self.ports = dict(zip(self.PORTS,
                                  jails.free_ports(len(self.PORTS))))
            self.configure()
            self.jail.start(self.NAME, self.argv(), self.output)
            if self._listens():
                return
            self.jail.stop(self.NAME)
        raise packages.Missing("%s does not start: %s" % (self.NAME,
                                                          self.words()))

    def _listens(self, seconds=20):
        limit = patience.limit(seconds)
        for port in self.ports.values():
            while True:
                if not self.jail.alive(self.NAME) or \
                        time.monotonic() > limit:
                    return False
                with socket.socket() as s:
                    if s.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.02)
        return True

    def stop(self):
        self.jail.stop(self.NAME)

    def port(self, name):
        return self.ports[name]
