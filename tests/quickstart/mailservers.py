#!/usr/bin/python3
"""mailservers.py FOLDER NAME… - real SMTP servers (aiosmtpd) on loopback, one a tenant.

Each has its own port, account, certificate and Maildir (FOLDER/NAME/Maildir),
asks for STARTTLS and a login. Beside them two that are no good: `silent`
takes connections and never says a word, `refusing` lets nobody in. The ports
are written to FOLDER/ports.json when all of them listen.
"""
import asyncio
import json
import os
import signal
import socket
import ssl
import sys

from aiosmtpd.handlers import Mailbox
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


def listening_socket(listen=True):
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    if listen:
        sock.listen(64)
    return sock


def server_factory(folder, name):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(f"{folder}/{name}/cert.pem", f"{folder}/{name}/key.pem")
    password = open(f"{folder}/{name}/password").read().strip().encode()
    handler = Mailbox(f"{folder}/{name}/Maildir")

    def authenticate(server, session, envelope, mechanism, data):
        good = isinstance(data, LoginPassword) and data.login == name.encode() and data.password == password
        return AuthResult(success=good)

    return lambda: SMTP(handler, hostname=f"mail.{name}.example", tls_context=context, require_starttls=True,
                        auth_required=True, authenticator=authenticate, enable_SMTPUTF8=False)


async def main(folder, names):
    loop = asyncio.get_running_loop()
    ports, keep = {}, []
    for name in names:
        sock = listening_socket()
        ports[name] = sock.getsockname()[1]
        keep.append(await loop.create_server(server_factory(folder, name), sock=sock))
    for name, listens in (("silent", True), ("refusing", False)):
        sock = listening_socket(listens)
        ports[name] = sock.getsockname()[1]
        keep.append(sock)
    with open(f"{folder}/ports.json.new", "w") as file:
        json.dump(ports, file)
    os.rename(f"{folder}/ports.json.new", f"{folder}/ports.json")
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()


asyncio.run(main(sys.argv[1], sys.argv[2:]))
