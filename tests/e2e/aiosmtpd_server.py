"""aiosmtpd (Python) in a jail: STARTTLS and implicit TLS, AUTH PLAIN and LOGIN,
in clear as well; SMTPUTF8."""

import json
import os

import jail as jails
import jailed

HOST_NAME = "aiosmtpd.rig.example"
MECHANISMS = ["plain", "login"]


class Aiosmtpd(jailed.Server):
    NAME = "aiosmtpd"

    def __init__(self, *arguments):
        super().__init__(*arguments)
        here = os.path.dirname(os.path.abspath(__file__))
        with open(os.path.join(here, "aiosmtpd_jail.py")) as stream:
            self.jail.write(self.work + "/server.py", stream.read())

    def configure(self):
        self.jail.write(self.work + "/words.json", json.dumps(dict(
            self.ports, host=HOST_NAME, mail=self.mail,
            user=jails.MAIL_USER, accounts=self.accounts,
            addresses=self.addresses, key=self.certificate.key,
            certificate=self.certificate.certificate)), 0o600)

    def argv(self):
        return ["/usr/bin/python3", self.work + "/server.py",
                self.work + "/words.json"]
