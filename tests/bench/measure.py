"""What tenants.py stands on: scratch files, outboxd, a sink in a process of its own that is asked by words."""
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time

SUBJECT = re.compile(rb"^Subject: (\S+)", re.M)
INSERT = "INSERT INTO outbox (tenant, to_addresses, subject, body_text) VALUES (?, 'you@sink.example', ?, 'A text.')"


class Bench:
    def __init__(self, build):
        self.build, self.folder = build, tempfile.mkdtemp(prefix="outboxd-measure.")
        self.start_sink()

    @staticmethod
    def listen():
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        sock.listen(4096)
        return sock

    def start_sink(self):
        """Sets self.sink, its process, and self.pipe, to ask it things."""
        raise NotImplementedError

    def ask(self, word):
        self.pipe.send(word)
        return self.pipe.recv()

    def close(self):
        self.pipe.send("end")
        self.sink.join()
        shutil.rmtree(self.folder)

    def connect(self, path):
        connection = sqlite3.connect(path, timeout=5, isolation_level=None)
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    def outbox(self, name, tenants):
        """A new database with tenants (name, port), and an outboxd that serves it."""
        path = os.path.join(self.folder, name + ".db")
        subprocess.run([f"{self.build}/outboxctl", "--database", path, "init"], check=True, stdout=subprocess.DEVNULL)
        connection = self.connect(path)
        connection.execute("BEGIN IMMEDIATE")
        for tenant, port in tenants:
            connection.execute("INSERT INTO outbox_tenant (name, host, port, tls, from_address) VALUES "
                               "(?, '127.0.0.1', ?, 'none', ?)", (tenant, port, f"pbx@{tenant}.example"))
        connection.execute("COMMIT")
        return path, connection

    def serve(self, path, settings=()):
        log = path + ".log"
        daemon = subprocess.Popen([f"{self.build}/outboxd", "--database", path, "--log-file", log] +
                                  [word for setting in settings for word in ("--set", setting)])
        while "daemon.ready" not in (open(log).read() if os.path.exists(log) else ""):
            time.sleep(0.02)
        return daemon

    @staticmethod
    def stop(daemon):
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(90)

    @staticmethod
    def stop_and_weigh(daemon):
        """What it and all that it started used, threads that have ended too."""
        daemon.send_signal(signal.SIGTERM)
        _, status, used = os.wait4(daemon.pid, 0)
        daemon.returncode = os.waitstatus_to_exitcode(status)
        return used

    @staticmethod
    def stop_now(daemon):
        """Without waiting for servers that hang."""
        while True:
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(0.5)
                return
            except subprocess.TimeoutExpired:
                pass

    @staticmethod
    def forget(path):
        for end in ("", "-wal", "-shm", "-inflight", ".log"):
            if os.path.exists(path + end):
                os.unlink(path + end)
