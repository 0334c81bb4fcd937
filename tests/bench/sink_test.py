#!/usr/bin/python3
"""The sink of the bench counts what it takes, once each, and answers what it should.

Outcomes only, on loopback: every way that a text may come, whole and octet by octet, with and
without TLS, on one thread and on several, with replies that leave later.
"""
import os
import socket
import ssl
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[0:0] = [HERE, os.path.join(HERE, "../e2e")]

import certs
import sink

SECONDS = 60        # after which a test is given up; nothing is measured


class Client:
    def __init__(self, server):
        self.socket = socket.create_connection(("127.0.0.1", server.port), SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = self.socket.makefile("rb")
        self.expect("220")

    def reply(self):
        lines = [self.stream.readline().decode()]
        while lines[-1][3:4] == "-":
            lines.append(self.stream.readline().decode())
        return "".join(lines)

    def expect(self, *codes):
        for code in codes:
            reply = self.reply()
            assert reply.startswith(code), "%r instead of %s" % (reply, code)
        return reply if codes else ""

    def say(self, text, *codes, split=False):
        octets = text.encode() if isinstance(text, str) else text
        for piece in [octets[n:n + 1] for n in range(len(octets))] if split else [octets]:
            self.socket.sendall(piece)
        return self.expect(*codes)

    def start_tls(self):
        self.say("STARTTLS\r\n", "220")
        self.stream.close()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket)
        self.stream = self.socket.makefile("rb")

    def close(self):
        self.say("QUIT\r\n", "221")
        assert self.stream.readline() == b"", "the server goes on behind QUIT"
        self.stream.close()
        self.socket.close()


ENVELOPE = "MAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\n"


def text(identity, body="A text.\r\n..with dots\r\n.. \r\n"):
    return "From: <a@a.example>\r\nX-bench-ID: %s\r\nSubject: one\r\n\r\n%s" % (identity, body)


def by_data(client, identity, split=False, **words):
    client.say(ENVELOPE + "DATA\r\n", "250", "250", "354", split=split)
    client.say(text(identity, **words) + ".\r\n", "250", split=split)


def by_chunks(client, identity, split=False, at=20):
    octets = text(identity).encode()
    client.say(ENVELOPE, "250", "250", split=split)
    client.say(b"BDAT %d\r\n" % at + octets[:at] + b"BDAT %d LAST\r\n" % (len(octets) - at) + octets[at:],
               "250", "250", split=split)


def check(server, *identities):
    """Exactly these are there, each with its moments in their order."""
    assert server.wait(len(identities), SECONDS) == len(identities)
    taken = server.take()
    assert sorted(one.identity for one in taken) == sorted(identities), taken
    assert all(0 < one.mail_ns <= one.end_ns for one in taken), taken
    assert server.count() == 0


def each_way_of_a_text_counts_once(server):
    client = Client(server)
    hello = client.say("EHLO me.example\r\n", "250")
    for word in ("PIPELINING", "CHUNKING", "8BITMIME", "SIZE"):
        assert word in hello, hello
    by_data(client, "data")
    by_data(client, "octets", split=True, body=".. x\r\n")
    by_data(client, "empty", body="")
    by_chunks(client, "-")              # cut within its identity, which is then unknown
    by_chunks(client, "chunks", at=47)
    by_chunks(client, "split", at=47, split=True)
    octets = text("lasts").encode()
    client.say(ENVELOPE + "BDAT %d\r\n" % len(octets), "250", "250")
    client.say(octets + b"BDAT 0 LAST\r\n", "250", "250")
    client.say(ENVELOPE + "DATA\r\n", "250", "250", "354")
    client.say(".\r\n", "250")          # no text at all
    check(server, "data", "octets", "empty", "-", "chunks", "split", "lasts", "-")
    client.close()


def many_in_one_write_are_told_apart(server):
    client = Client(server)
    client.say("EHLO me.example\r\n", "250")
    names = ["m%d" % n for n in range(300)]
    whole = "".join("RSET\r\n%sBDAT %d LAST\r\n%s" % (ENVELOPE, len(text(name)), text(name)) for name in names)
    client.say(whole, *["250"] * 4 * len(names))
    by_data(client, "large", body="x" * 5000000 + "\r\n")
    by_data(client, "m7")               # one that came before: it is there twice
    check(server, "large", "m7", *names)
    client.close()


def a_command_out_of_place_takes_nothing(server):
    client = Client(server)
    client.say("EHLO me.example\r\n", "250")
    client.say("RCPT TO:<b@b.example>\r\nDATA\r\nBDAT 4 LAST\r\n\r\n\r\nVRFY x\r\n", "503", "503", "503", "500")
    client.say("MAIL FROM:<>\r\nMAIL FROM:<>\r\nDATA\r\nRSET\r\nRCPT TO:<b@b.example>\r\n",
               "250", "503", "503", "250", "503")
    client.close()
    client = Client(server)
    client.say("x" * 5000, "500")
    assert client.stream.readline() == b"", "a line without end is listened to"
    check(server)


def connections_at_once(server):
    clients = [Client(server) for _ in range(50)]
    for number, client in enumerate(clients):
        client.say("EHLO me.example\r\n" + ENVELOPE + "DATA\r\n", split=number < 2)
    for number, client in enumerate(clients):
        client.expect("250", "250", "250", "354")
        client.say(text("c%d" % number) + ".\r\nQUIT\r\n", "250", "221")
    check(server, *["c%d" % number for number in range(50)])
    assert server.stats()["most_open"] >= 50


def test_plain(folder):
    for threads, delay in ((1, 0), (3, 2)):
        with sink.Sink(threads=threads, delay_ms=delay, identity="X-Bench-Id") as server:
            each_way_of_a_text_counts_once(server)
            many_in_one_write_are_told_apart(server)
            a_command_out_of_place_takes_nothing(server)
            connections_at_once(server)


def test_offers(folder):
    with sink.Sink(pipelining=False) as server:
        hello = Client(server).say("EHLO me.example\r\n", "250")
        assert "PIPELINING" not in hello and "CHUNKING" not in hello and "STARTTLS" not in hello, hello
    with sink.Sink(chunking=False) as server:
        hello = Client(server).say("EHLO me.example\r\n", "250")
        assert "PIPELINING" in hello and "CHUNKING" not in hello, hello


def test_tls(folder):
    pair = certs.Authority(folder, "authority").server("sink", ["localhost"], ["127.0.0.1"])
    for delay in (0, 2):
        with sink.Sink(tls=pair, delay_ms=delay, identity="X-Bench-Id") as server:
            client = Client(server)
            assert "STARTTLS" in client.say("EHLO me.example\r\n", "250")
            client.start_tls()
            assert "STARTTLS" not in client.say("EHLO me.example\r\n", "250")
            by_data(client, "data")
            by_data(client, "large", body="x" * 1000000 + "\r\n")
            by_chunks(client, "chunks", at=47)
            check(server, "data", "large", "chunks")
            assert server.stats()["handshakes"] == 1, server.stats()
            client.close()
            # what comes behind STARTTLS in clear is no mail
            client = Client(server)
            client.say("EHLO me.example\r\nSTARTTLS\r\nNOOP\r\n")
            assert b"220" not in client.stream.read()
            check(server)


def main():
    failed = 0
    with tempfile.TemporaryDirectory(prefix="outboxd-sink.") as folder:
        for test in (test_plain, test_offers, test_tls):
            try:
                test(folder)
                print("ok %s" % test.__name__[5:])
            except (AssertionError, OSError, EOFError) as trouble:
                failed += 1
                print("not ok %s: %s: %s" % (test.__name__[5:], type(trouble).__name__, trouble))
    print("%d passed, %d failed, 0 skipped" % (3 - failed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
