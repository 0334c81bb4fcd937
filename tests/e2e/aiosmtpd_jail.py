"""The program that aiosmtpd.py runs in the jail:
aiosmtpd_jail.py CONFIGURATION (a JSON file)."""

import asyncio
import json
import os
import pwd
import ssl
import sys
import time

from aiosmtpd.smtp import SMTP, AuthResult


class Maildirs:
    """Handler: one Maildir an address; unknown addresses are refused."""

    def __init__(self, words):
        self.mail = words["mail"]
        self.addresses = set(words["addresses"])
        self.owner = pwd.getpwnam(words["user"])
        self.count = 0

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address not in self.addresses:
            return "550 5.1.1 <%s>: unknown user" % address
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    def _deliver(self, address, content):
        box = os.path.join(self.mail, address)
        for name in ("", "tmp", "new", "cur"):
            path = os.path.join(box, name)
            if not os.path.isdir(path):
                os.mkdir(path)
                os.chown(path, self.owner.pw_uid, self.owner.pw_gid)
        self.count += 1
        name = "%d.M%dP%d.aiosmtpd" % (
            time.time(), time.time() % 1 * 1000000, self.count)
        with open(os.path.join(box, "tmp", name), "wb") as stream:
            stream.write(content)
        os.chown(stream.name, self.owner.pw_uid, self.owner.pw_gid)
        os.rename(stream.name, os.path.join(box, "new", name))

    async def handle_DATA(self, server, session, envelope):
        head = "Return-Path: <%s>\nReceived: from %s (%s) with %s; now\n" % (
            envelope.mail_from, session.host_name,
            (session.auth_data or b"").decode(),
            "ESMTPSA" if session.ssl else "ESMTPA")
        content = head.encode() + envelope.content.replace(b"\r\n", b"\n")
        for address in envelope.rcpt_tos:
            self._deliver(address, content)
        return "250 2.0.0 taken"


def main():
    with open(sys.argv[1]) as stream:
        words = json.load(stream)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(words["certificate"], words["key"])
    handler = Maildirs(words)

    def authenticate(server, session, envelope, mechanism, data):
        user, password = data.login.decode(), data.password.decode()
        good = words["accounts"].get(user) == password
        return AuthResult(success=good, handled=False,
                          auth_data=user.encode())

    def session(**options):
        return SMTP(handler, hostname=words["host"], auth_required=True,
                    authenticator=authenticate, auth_require_tls=False,
                    enable_SMTPUTF8=True, data_size_limit=104857600,
                    **options)

    async def serve():
        loop = asyncio.get_running_loop()
        await loop.create_server(lambda: session(tls_context=context),
                                 "127.0.0.1", words["starttls"])
        await loop.create_server(session, "127.0.0.1", words["implicit"],
                                 ssl=context)
        await asyncio.Event().wait()

    asyncio.run(serve())


if __name__ == "__main__":
    main()
