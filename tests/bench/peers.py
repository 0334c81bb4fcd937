"""Others that do the same: Postfix as a relay, smtp-source and smtp-sink, smtplib over SQLite.

Postfix is a private instance in a jail (tests/e2e/jail.py) on the bench's file system, with its
defaults; what would slow it down and is of no use here (DNS, limits on clients) is off.
"""
import glob
import os
import smtplib
import socket
import sqlite3
import subprocess
import time

import bed as beds
import jail
import packages
import postfix

_MAIN = postfix.MAIN_HEAD + """\
relayhost = [127.0.0.1]:{sink}
smtp_dns_support_level = disabled
smtp_tls_security_level = none
smtpd_tls_security_level = none
smtpd_peername_lookup = no
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions =
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
in_flow_delay = 0
"""


class Relay(postfix.Postfix):
    """Takes mail at one port and hands it on to `sink`; what comes at another is held."""

    def __init__(self, cage, sink):
        self.sink = sink
        hold = {"smtpd_client_restrictions": "static:HOLD"}
        super().__init__(cage, None, {"in": postfix.Service("none", None, []),
                                      "hold": postfix.Service("none", None, [], hold)}, [], "/nowhere")
        for service in self.services.values():
            service.options["smtpd_relay_restrictions"] = "permit_mynetworks, reject"

    def _write(self):
        self.jail.write(self.conf + "/main.cf", _MAIN.format(
            work=self.work, log=self.log.path, host=postfix.HOST_NAME, sink=self.sink.port))
        text = ("smtp unix - - n - - smtp\nrelay unix - - n - - smtp -o { syslog_name = postfix/relay }\n"
                "pickup unix n - n 60 1 pickup\n")
        for name, service in self.services.items():
            text += "127.0.0.1:%d inet n - n - - smtpd\n" % service.port
            for key, value in service.parameters(name).items():
                text += "  -o { %s = %s }\n" % (key, value)
        self.jail.write(self.conf + "/master.cf", text + postfix._MASTER)

    def cpu_s(self):
        return beds.cpu_s(self.jail.process.pid)

    def release(self):
        """What was held is handed on."""
        for argv in (["postsuper", "-c", self.conf, "-H", "ALL"], ["postqueue", "-c", self.conf, "-f"]):
            status, words = self.jail.run(argv, seconds=beds.LONG)
            if status != 0:
                raise beds.Void("%s: %s" % (argv[0], words))


def tool(name):
    """(a program of Postfix's that needs no jail, the environment that it needs)."""
    tree = packages.root()
    paths = sorted({os.path.dirname(path) for path in glob.glob(tree + "/usr/lib/**/*.so*", recursive=True)})
    return os.path.join(tree, "usr/sbin", name), dict(os.environ, LD_LIBRARY_PATH=":".join(paths))


def source(port, count, sessions=10, octets=4096):
    """smtp-source: `count` messages of 4 KiB, each with a Message-Id of its own, over kept connections."""
    program, environment = tool("smtp-source")
    done = subprocess.run([program, "-d", "-f", "a@bench.example", "-t", "you@sink.example", "-l", str(octets),
                           "-m", str(count), "-s", str(sessions), "127.0.0.1:%d" % port],
                          env=environment, timeout=beds.LONG, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise beds.Void("smtp-source: %s" % done.stdout.decode(errors="replace")[-300:])


class SmtpSink:
    """Postfix's smtp-sink: takes everything, counts nothing."""

    def __init__(self, folder):
        program, environment = tool("smtp-sink")
        for _ in range(5):
            self.port = jail.free_ports(1)[0]
            user = ["-u", "nobody"] if os.geteuid() == 0 else []
            self.process = subprocess.Popen([program] + user + ["127.0.0.1:%d" % self.port, "1000"],
                                            env=environment, cwd=folder, preexec_fn=jail.die_with_parent)
            if self._listens():
                return
            self.close()
        raise beds.Void("smtp-sink does not start")

    def _listens(self):
        limit = time.monotonic() + 20
        while self.process.poll() is None and time.monotonic() < limit:
            with socket.socket() as connection:
                if connection.connect_ex(("127.0.0.1", self.port)) == 0:
                    return True
            time.sleep(0.02)
        return False

    def close(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Injector:
    """One kept connection to a server, in plain SMTP; inject() answers when the message was taken."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reply(b"220")
        self._say(b"EHLO bench.example\r\n", b"250")

    def _reply(self, code):
        text = b""
        while not (text.endswith(b"\r\n") and text.rpartition(b"\r\n")[0].rpartition(b"\r\n")[2][3:4] == b" "):
            piece = self.socket.recv(65536)
            if not piece:
                raise beds.Void("Postfix has gone")
            text += piece
        if not text.startswith(code):
            raise beds.Void("Postfix says %r" % text)

    def _say(self, octets, code):
        self.socket.sendall(octets)
        self._reply(code)

    def inject(self, name, body):
        for command, code in ((b"MAIL FROM:<a@bench.example>", b"250"), (b"RCPT TO:<you@sink.example>", b"250"),
                              (b"DATA", b"354")):
            self._say(command + b"\r\n", code)
        self.socket.sendall(b"From: <a@bench.example>\r\nTo: <you@sink.example>\r\nMessage-ID: " + name.encode() +
                            b"\r\n\r\n" + body + b"\r\n.\r\n")
        self._reply(b"250")
        return time.monotonic_ns()

    def close(self):
        self._say(b"QUIT\r\n", b"221")
        self.socket.close()


def smtplib_loop(folder, port, count):
    """Messages a second of the loop that everybody writes first: a table, smtplib, a commit a message."""
    path = os.path.join(folder, "loop.db")
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE mail (id INTEGER "
                             "PRIMARY KEY, sender, recipient, message, sent DEFAULT 0); "
                             "CREATE INDEX unsent ON mail (id) WHERE sent = 0;")
    body = "\r\n".join(beds.text(beds.TEXT_OCTETS).splitlines())
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO mail (sender, recipient, message) VALUES ('a@bench.example', 'you@sink.example', ?)",
        (("From: <a@bench.example>\r\nTo: <you@sink.example>\r\nSubject: l.%d\r\n\r\n%s\r\n" % (n, body),)
         for n in range(count)))
    connection.execute("COMMIT")
    begin = time.monotonic()
    with smtplib.SMTP("127.0.0.1", port, local_hostname="bench.example") as server:
        while True:
            row = connection.execute("SELECT id, sender, recipient, message FROM mail WHERE sent = 0 "
                                     "ORDER BY id LIMIT 1").fetchone()
            if row is None:
                break
            server.sendmail(row[1], [row[2]], row[3])
            connection.execute("UPDATE mail SET sent = 1 WHERE id = ?", (row[0],))
    rate = count / (time.monotonic() - begin)
    connection.close()
    for end in ("", "-wal", "-shm"):
        if os.path.exists(path + end):
            os.unlink(path + end)
    return rate
