"""What every end-to-end test gets as its first argument.

    @for_each([("plain", "required"), …])
    def test_delivers(case, mechanism, mode):
        box = case.box()                 a mailbox that nobody used
        case.tenant("acme", "required")  in case.outbox(), made on first use
        case.serve()                     outboxd, ended after the test

A test fails when it raises; also when outboxd's log tells of trouble that
the test did not announce, when outboxd does not end with 0, and when a
password is found in its log or its tables.
"""

import os

import outbox
import service


class Skip(Exception):
    """The test cannot run here; the text says why."""


def for_each(rows):
    """The test is run once a row, with the row as further arguments."""
    def mark(function):
        function.rows = [row if isinstance(row, tuple) else (row,)
                         for row in rows]
        return function
    return mark


class Case:
    """One run of one test."""

    def __init__(self, rig, directory):
        self.rig = rig
        self.directory = directory
        self.outboxes = {}
        self.services = []
        self.servers = []       # whatever else is to be closed

    def path(self, name):
        return os.path.join(self.directory, name)

    def box(self, hops=1):
        return self.rig.mailbox(hops=hops)

    def outbox(self, name="outbox.db", create=True):
        if name not in self.outboxes:
            self.outboxes[name] = outbox.Outbox(self.path(name), create)
        return self.outboxes[name]

    def port(self, server):
        """'required' and the like: Postfix; 'exim-starttls': Exim."""
        if server.startswith("exim-"):
            return self.rig.exim.port(server[5:])
        name, _, port = server.partition("-")
        if name in self.rig.others:
            return self.rig.others[name].port(port)
        return self.rig.postfix.port(server)

    def tenant(self, name, server, box=None, **columns):
        """A tenant of the outbox with the account user@NAME.example."""
        user = "user@%s.example" % name
        settings = {
            "host": "127.0.0.1", "port": self.port(server),
            "tls": "implicit" if server.endswith("implicit") else "starttls",
            "tls_ca_file": self.rig.authority.file,
            "username": user, "password": self.rig.accounts[user],
            "ehlo_name": "client.%s.example" % name,
            "retry_min": 1, "retry_max": 60,
        }
        settings.update(columns)
        (box or self.outbox()).tenant(name, **settings)

    def secret(self, name, text):
        """A file in secrets_dir, which serve() is then told of."""
        os.makedirs(self.path("secrets"), 0o700, exist_ok=True)
        with open(self.path("secrets/" + name), "w") as stream:
            os.fchmod(stream.fileno(), 0o600)
            stream.write(text)
        return name

    def serve(self, *names, settings=(), start=True):
        """outboxd for these databases (default: outbox.db)."""
        paths = [self.path(name) for name in names or ("outbox.db",)]
        one = service.Service(paths, self.path("log"),
                              list(settings) + ["spool_dir=" +
                                                self.directory])
        self.services.append(one)
        if start:
            one.start()
        return one

    def finish(self):
        """After a test that passed: raises what it did not see itself."""
        for one in self.services:
            if one.process:
                status = one.stop()
                assert status == 0, "outboxd ended with %d:\n%s" % (
                    status, one.log.text()[-2000:])
            trouble = one.trouble()
            assert not trouble, "trouble in the log:\n" + "\n".join(trouble)
            self._no_secret(one.log.text(), "the log")
        for box in self.outboxes.values():
            for table in ("outbox_status", "outbox_delivery",
                          "outbox_tenant_status"):
                for row in box.rows("SELECT * FROM %s" % table):
                    self._no_secret(" ".join(map(str, tuple(row))), table)

    def _no_secret(self, text, where):
        for password in self.rig.accounts.values():
            assert password not in text, "a password is in %s" % where

    def close(self):
        """Whatever happened: nothing of the test goes on."""
        for one in self.services:
            if one.process:
                one.kill()
        for one in self.servers:
            one.close()
        for box in self.outboxes.values():
            box.close()
