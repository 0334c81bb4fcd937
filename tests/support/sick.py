"""Mail servers that are sick, each in a way of its own, on loopback.

    with sick.Servers(directory) as servers:
        servers.columns("silent")       of outbox_tenant: host, port, …
        servers.settings("dns")         of outboxd: --set NAME=VALUE words

One process of its own plays them all, for as many tenants as come.  KINDS says
what each does.  Used by tests/daemon/test_isolation.py, which asserts, and by
tests/bench/isolation.py, which measures.
"""

import asyncio
import multiprocessing
import os
import signal
import socket
import ssl
import struct
import subprocess

KINDS = {
    "black-hole": "no answer to SYN",
    "refused": "connection refused",
    "dns": "its name's servers never answer",
    "silent": "takes the connection, never greets",
    "trickle": "one octet a minute",
    "stalled-data": "stops reading in the middle of the text",
    "hang-end": "never answers the end of the data",
    "endless-reply": "a reply to EHLO that does not end",
    "storm": "421 and 451 to everything",
    "password": "535 to every login",
    "certificate": "a certificate that expired",
    "reset": "resets the connection, each time one step later",
    "refused-mail": "550 to every message",
}
BIG = 4 * 1024 * 1024       # a text that no buffer on the way takes whole


class Protocol(asyncio.Protocol):
    """One connection to a server of a kind."""

    connections = 0

    def __init__(self, kind):
        self.kind = kind
        self.rest = b""
        self.in_text = False
        self.hangs = False
        self.step = 0

    def connection_made(self, transport):
        self.transport = transport
        Protocol.connections += 1
        self.turn = Protocol.connections % 6
        if self.kind == "silent":
            return
        if self.kind == "trickle":
            transport.write(b"2")
            asyncio.get_running_loop().call_later(60, self._trickle)
            return
        if self.kind == "storm" and self.turn % 2:
            self._say(b"421 4.3.2 come back later")
            transport.close()
            return
        if not self._resets():
            self._say(b"220 sick.example ESMTP")

    def _trickle(self):
        if not self.transport.is_closing():
            self.transport.write(b"2")
            asyncio.get_running_loop().call_later(60, self._trickle)

    def _say(self, line):
        self.transport.write(line + b"\r\n")

    def _resets(self):
        """Whether this was the step at which a 'reset' resets."""
        if self.kind != "reset":
            return False
        self.step += 1
        if self.step <= self.turn:
            return False
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                        struct.pack("ii", 1, 0))
        self.transport.abort()
        return True

    def data_received(self, data):
        self.rest += data
        while b"\r\n" in self.rest and not (self.hangs or self.transport.is_closing()):
            if self.in_text:
                if self.kind == "stalled-data":
                    self.transport.pause_reading()
                    return
                end = self.rest.find(b"\r\n.\r\n")
                if end < 0:
                    self.rest = self.rest[-4:]
                    return
                self.rest = self.rest[end + 5:]
                self.in_text = False
                self._end()
                continue
            line, self.rest = self.rest.split(b"\r\n", 1)
            if not self._resets():
                self._command(line[:4].upper())

    def _end(self):
        if self.kind == "refused-mail":
            self._say(b"550 5.7.1 never")
        elif self.kind == "hang-end":
            self.hangs = True   # an answer to what was pipelined behind it would be taken for its own
        elif not self._resets():
            self._say(b"250 2.0.0 taken")

    def _endless(self):
        if not self.transport.is_closing():
            self.transport.write(b"250-AND-SO-ON\r\n" * 100)
            asyncio.get_running_loop().call_later(0.001, self._endless)

    def _command(self, verb):
        if verb == b"EHLO":
            self._say(b"250-sick.example")
            if self.kind == "endless-reply":
                self._endless()
                return
            if self.kind == "password":
                self._say(b"250-AUTH PLAIN")
            self._say(b"250-PIPELINING")
            self._say(b"250 ENHANCEDSTATUSCODES")
        elif verb == b"AUTH":
            self._say(b"535 5.7.8 wrong")
        elif verb == b"DATA":
            self._say(b"354 go on")
            self.in_text = True
        elif verb == b"QUIT":
            self._say(b"221 bye")
            self.transport.close()
        elif self.kind == "storm" and verb != b"RSET":
            self._say(b"451 4.7.0 too many")
        else:
            self._say(b"250 2.0.0 fine")


def _certificate(directory):
    """An expired one that signed itself: (certificate, key), made by
    certtool (gnutls-bin)."""
    files = [os.path.join(directory, "sick.%s" % end) for end in
             ("pem", "key", "template")]
    with open(files[2], "w") as stream:
        stream.write('cn = localhost\nip_address = 127.0.0.1\n'
                     'tls_www_server\nca\ncert_signing_key\n'
                     'activation_date = "2020-01-01 00:00:00 UTC"\n'
                     'expiration_date = "2020-02-01 00:00:00 UTC"\n')
    for argv in (["--generate-privkey", "--key-type", "ecdsa", "--no-text",
                  "--outfile", files[1]],
                 ["--generate-self-signed", "--load-privkey", files[1],
                  "--template", files[2], "--no-text", "--outfile",
                  files[0]]):
        subprocess.run(["certtool"] + argv, check=True,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
    return files[0], files[1]


def _play(sockets, certificate):
    """The process's work, until it is killed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)

    async def main():
        loop = asyncio.get_running_loop()
        for kind, sock in sockets.items():
            await loop.create_server(
                lambda kind=kind: Protocol(kind), sock=sock, backlog=4096,
                ssl=context if kind == "certificate" else None)
        await asyncio.Event().wait()

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(main())


class Servers:
    """All kinds; close() ends them."""

    def __init__(self, directory):
        self.sockets = {}
        self.fillers = []
        for kind in KINDS:
            kind_type = socket.SOCK_DGRAM if kind == "dns" else \
                socket.SOCK_STREAM
            self.sockets[kind] = socket.socket(socket.AF_INET, kind_type)
            if kind == "stalled-data":
                self.sockets[kind].setsockopt(socket.SOL_SOCKET,
                                              socket.SO_RCVBUF, 4096)
            self.sockets[kind].bind(("127.0.0.1", 0))
        self._make_black_hole(self.sockets["black-hole"])
        self.certificate = _certificate(directory)
        played = {kind: sock for kind, sock in self.sockets.items()
                  if kind not in ("black-hole", "refused", "dns")}
        for sock in played.values():
            sock.listen(4096)
        self.process = multiprocessing.get_context("fork").Process(
            target=_play, args=(played, self.certificate), daemon=True)
        self.process.start()

    def _make_black_hole(self, sock):
        """A queue of connections that is full: the system drops each SYN."""
        sock.listen(0)
        for _ in range(8):
            filler = socket.socket()
            filler.setblocking(False)
            try:
                filler.connect(sock.getsockname())
            except BlockingIOError:
                pass
            self.fillers.append(filler)

    def columns(self, kind):
        """What outbox_tenant is told of such a server."""
        words = {"host": "127.0.0.1", "tls": "none", "auth": "none",
                 "port": self.sockets[kind].getsockname()[1]}
        if kind == "dns":
            words.update(host="mail.sick.example", port=25)
        elif kind == "password":
            words.update(auth="plain", username="user", password="wrong")
        elif kind == "certificate":
            words.update(tls="implicit", tls_ca_file=self.certificate[0])
        return words

    def settings(self, kind):
        """NAME=VALUE words for outboxd."""
        if kind != "dns":
            return []
        return ["dns_servers=127.0.0.1:%d" %
                self.sockets[kind].getsockname()[1]]

    def text(self, kind):
        """The body that such a server's tenant sends."""
        return "x" * 70 + "\n" if kind != "stalled-data" else \
            ("x" * 70 + "\n") * (BIG // 71)

    def close(self):
        self.process.kill()
        self.process.join()
        for sock in list(self.sockets.values()) + self.fillers:
            sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
