#!/usr/bin/python3
"""The rig: real mail servers on loopback, for tests and for looking.

    with rig.Rig() as r:
        r.postfix.port("required")      STARTTLS required, every mechanism
        r.mailbox()                     an address that nobody used yet

Run as a program it starts everything, prints one JSON document with ports,
accounts and files, and ends all when its standard input or itself ends.
`rig.py --check` sends mail with other people's clients and looks for it.
"""

import argparse
import fcntl
import json
import os
import sys
import tempfile
import time

sys.dont_write_bytecode = True

import aiosmtpd_server
import certs
import dovecot
import exim
import introspection
import jail
import mailbox
import opensmtpd
import packages
import postfix
import sendmail
import submission

PREFIX = "outboxd-rig-"
DOMAIN = "box.example"
BEYOND_ASCII = "j\u00f6rg@" + DOMAIN      # a mailbox of Postfix's alone
TENANTS = ["acme", "beta", "gamma", "delta", "omega"]


def default_accounts():
    """user@tenant.example -> password; one with characters that quoting,
    base64 and SASLprep could spoil."""
    accounts = {"user@%s.example" % t: "secret-of-%s" % t for t in TENANTS}
    accounts["odd@acme.example"] = "p\u00e4ss %w0rd\\=+\"'<>;"
    return accounts


def _sweep():
    """Removes what runs that were killed could not: their work directories
    are locked by nobody.  Young ones may not be locked yet."""
    for name in os.listdir(tempfile.gettempdir()):
        path = os.path.join(tempfile.gettempdir(), name)
        try:
            if name.startswith(PREFIX) and \
                    os.stat(path).st_uid == os.geteuid() and \
                    os.stat(path).st_mtime < time.time() - 60:
                with open(path + "/lock") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    jail.remove(path)
        except OSError:
            pass


class Rig:
    """Everything, or the servers named in `servers`."""

    def __init__(self, servers=("postfix", "exim", "others"), boxes=400, accounts=None,
                 addresses=(), work=None):
        self.own_work = work is None
        if self.own_work:
            _sweep()
        self.work = work or tempfile.mkdtemp(prefix=PREFIX)
        os.chmod(self.work, 0o755)
        self.lock = open(os.path.join(self.work, "lock"), "w")
        fcntl.flock(self.lock, fcntl.LOCK_SH)
        self.accounts = default_accounts() if accounts is None else accounts
        self.addresses = ["t%03d@%s" % (n, DOMAIN) for n in range(boxes)]
        self.addresses += addresses
        self.unused = list(self.addresses[:boxes])
        self.jail = self.postfix = self.exim = self.dovecot = None
        self.introspection = None
        self.others = {}
        try:
            self._start(servers)
        except BaseException:
            self.close()
            raise

    def _start(self, servers):
        self._make_certificates()
        self.jail = jail.Jail(self.work)
        self.mail = os.path.join(self.work, "mail")
        self.jail.directory(self.mail, 0o755, jail.MAIL_USER + ":" +
                            jail.MAIL_USER)
        if "postfix" in servers:
            self.dovecot = dovecot.Dovecot(self.jail, self.accounts)
            self.dovecot.start()
            self.postfix = postfix.Postfix(
                self.jail, self.dovecot.socket, self._services(),
                self.addresses + [BEYOND_ASCII], self.mail)
            self.postfix.start()
        if "exim" in servers:
            self.exim = exim.Exim(self.jail, self.exim_pair, self.accounts,
                                  self.addresses, self.mail,
                                  authority=self.authority.file)
            self.exim.start()
        if "others" in servers:
            self._start_others()

    def _start_others(self):
        """Each can be asked for its port by its NAME: self.others."""
        common = (self.jail, self.others_pair, self.accounts, self.addresses,
                  self.mail)
        relay = self.postfix.services["relay"].port
        self.introspection = introspection.Introspection()
        for one in (opensmtpd.OpenSMTPD(*common), sendmail.Sendmail(
                        *common, authority=self.authority.file),
                    submission.Submission(*common, relay=relay, introspection=self.introspection),
                    aiosmtpd_server.Aiosmtpd(*common)):
            one.start()
            self.others[one.NAME] = one

    def _make_certificates(self):
        where = os.path.join(self.work, "tls")
        os.makedirs(where, exist_ok=True)
        self.authority = certs.Authority(where, "authority")
        self.stranger = certs.Authority(where, "stranger")
        names = [postfix.HOST_NAME, "localhost"]
        self.good = self.authority.server("good", names, ["127.0.0.1"])
        self.expired = self.authority.server(
            "expired", names, ["127.0.0.1"], ("2020-03-01", "2021-03-01"))
        self.wrong = self.authority.server("wrong", ["mx.elsewhere.example"])
        self.unknown = self.stranger.server("unknown", names, ["127.0.0.1"])
        self.exim_pair = self.authority.server(
            "exim", [exim.HOST_NAME, "localhost"], ["127.0.0.1"])
        self.clients = {
            tenant: self.authority.client(
                "client-" + tenant, "user@%s.example" % tenant)
            for tenant in TENANTS[:2]}
        self.expired_client = self.authority.client(
            "client-expired", "user@acme.example", ("2020-03-01", "2021-03-01"))
        self.others_pair = self.authority.server(
            "others", ["localhost"], ["127.0.0.1"])

    def _services(self):
        service = postfix.Service
        return {
            "required": service("required", self.good),
            "optional": service("optional", self.good),
            "implicit": service("implicit", self.good),
            "expired": service("required", self.expired),
            "wrong": service("required", self.wrong),
            "unknown": service("required", self.unknown),
            "clear": service("none"),
            "weak": service("required", self.good, ["plain", "login"]),
            "middle": service("required", self.good,
                              ["plain", "login", "cram-md5"]),
            "sha1": service("required", self.good,
                            ["plain", "cram-md5", "scram-sha-1"]),
            "login": service("required", self.good, ["login"]),
            "clear-weak": service("none", None, ["plain", "login"]),
            "open": service("required", self.good, []),
            "relay": service("none", None, []),
            # nobody without a certificate of the authority's
            "certificate": service("required", self.good, options={
                "smtpd_tls_req_ccert": "yes",
                "smtpd_tls_CAfile": self.authority.file}),
            # takes mail for users that are none: the refusal is a notification
            "unlisted": service("required", self.good, options={
                "smtpd_reject_unlisted_recipient": "no"}),
        }

    def mailbox(self, address=None, hops=1):
        """The mailbox of an address, or of one that nobody used yet; hops:
        mailbox.py."""
        address = address or self.unused.pop(0)
        return mailbox.Mailbox(address, os.path.join(self.mail, address),
                               self.jail, hops)

    def describe(self):
        """What a person or a script needs to use this rig."""
        words = {"work": self.work, "accounts": self.accounts,
                 "authority": self.authority.file, "mail": self.mail,
                 "addresses": len(self.addresses), "domain": DOMAIN}
        if self.postfix:
            words["postfix"] = {name: service.port for name, service
                                in self.postfix.services.items()}
            words["postfix_log"] = self.postfix.log.path
        if self.exim:
            words["exim"] = self.exim.ports
            words["exim_log"] = self.exim.log.path
        words.update((name, one.ports) for name, one in self.others.items())
        return words

    def close(self):
        if self.introspection:
            self.introspection.close()
            self.introspection = None
        if self.jail:
            self.jail.close()
            self.jail = None
        self.lock.close()
        if self.own_work:
            jail.remove(self.work)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true",
                        help="send mail with swaks, gsasl and smtplib")
    parser.add_argument("--work", help="directory to use (kept at the end)")
    options = parser.parse_args()
    try:
        with Rig(work=options.work) as rig:
            if options.check:
                import rigcheck
                return rigcheck.run(rig)
            print(json.dumps(rig.describe(), indent=2), flush=True)
            sys.stdin.read()
    except packages.Missing as problem:
        sys.exit("rig: %s" % problem)
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
