#!/usr/bin/python3
"""pipeline.py [--build FOLDER] [--rounds N] [--delay MS] - messages a second on one connection.

Each reply leaves 10 ms after its command arrived, as over a path with that round trip, and the
server itself takes no time. Four ways in one run, one after another, in several rounds:
without PIPELINING, with it, and with CHUNKING too at pipeline_depth 4 and 16. What counts
are the ratios within a run: machines differ and are noisy. Everything is on loopback, in a scratch
folder; figures, never assertions (but for the count: nothing may be lost or doubled).
"""
import argparse
import asyncio
import collections
import multiprocessing
import os
import re
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import tempfile
import time

SUBJECT = re.compile(rb"^Subject: (\S+)", re.M)
INSERT = ("INSERT INTO outbox (tenant, to_addresses, subject, body_text) VALUES "
          "(?, 'you@sink.example', ?, 'A text.')")

# what it is called, what the server offers, pipeline_depth, messages
WAYS = (("no PIPELINING", (), 1, 60),
        ("PIPELINING", ("PIPELINING",), 1, 250),
        ("pipeline_depth 4", ("PIPELINING", "CHUNKING"), 4, 1000),
        ("pipeline_depth 16", ("PIPELINING", "CHUNKING"), 16, 3000))


class Sink(asyncio.Protocol):
    """Answers each command delay seconds after it came, in order."""

    arrivals = []
    delay = 0.010

    def __init__(self, offers):
        self.offers, self.rest, self.data, self.chunk = offers, bytearray(), False, None
        self.due, self.timer = collections.deque(), None

    def connection_made(self, transport):
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.say(b"220 sink.example ESMTP\r\n")

    def say(self, reply):
        loop = asyncio.get_running_loop()
        self.due.append((loop.time() + self.delay, reply))
        if self.timer is None:
            self.timer = loop.call_at(self.due[0][0], self.flush)

    def flush(self):
        loop, replies = asyncio.get_running_loop(), []
        # what is due within the clock's own grain is due
        while self.due and self.due[0][0] <= loop.time() + 0.0001:
            replies.append(self.due.popleft()[1])
        self.transport.write(b"".join(replies))
        self.timer = loop.call_at(self.due[0][0], self.flush) if self.due else None

    def took(self, message):
        self.arrivals.append((SUBJECT.search(message).group(1).decode(), time.time()))
        self.say(b"250 2.0.0 taken\r\n")

    def data_received(self, received):
        self.rest += received
        while self.rest and self.step():
            pass

    def step(self):
        """One command, chunk or text; False if it is not there yet."""
        if self.chunk is not None:
            if len(self.rest) < self.chunk:
                return False
            message, self.rest, self.chunk = bytes(self.rest[:self.chunk]), self.rest[self.chunk:], None
            self.took(message)
            return True
        end = self.rest.find(b"\r\n.\r\n" if self.data else b"\r\n")
        if end < 0:
            return False
        line, self.rest = bytes(self.rest[:end]), self.rest[end + (5 if self.data else 2):]
        if self.data:
            self.data = False
            self.took(line)
            return True
        word = line[:4].upper()
        if word == b"EHLO":
            lines = ["sink.example"] + list(self.offers) + ["8BITMIME"]
            self.say("".join("250%s%s\r\n" % (" " if line is lines[-1] else "-", line) for line in lines).encode())
        elif word == b"DATA":
            self.data = True
            self.say(b"354 go on\r\n")
        elif word == b"BDAT":
            self.chunk = int(line.split()[1])
            assert line.endswith(b" LAST"), line
        else:
            self.say(b"221 bye\r\n" if word == b"QUIT" else b"250 2.0.0 fine\r\n")
        return True


def sink_process(sockets, pipe, delay):
    async def main():
        Sink.delay = delay
        loop = asyncio.get_running_loop()
        for offers, sock in sockets:
            await loop.create_server(lambda offers=offers: Sink(offers), sock=sock)
        while True:
            word = await loop.run_in_executor(None, pipe.recv)
            if word == "end":
                os._exit(0)
            if word == "take":
                taken, Sink.arrivals[:] = list(Sink.arrivals), []
                pipe.send(taken)
            else:
                pipe.send(len(Sink.arrivals))

    asyncio.run(main())


class Bench:
    def __init__(self, build, delay):
        self.build, self.folder = build, tempfile.mkdtemp(prefix="outboxd-bench.")
        self.ports, sockets = {}, []
        for name, offers, _, _ in WAYS:
            sock = socket.socket()
            sock.bind(("127.0.0.1", 0))
            sock.listen(16)
            self.ports[name] = sock.getsockname()[1]
            sockets.append((offers, sock))
        self.pipe, theirs = multiprocessing.Pipe()
        self.sink = multiprocessing.Process(target=sink_process, args=(sockets, theirs, delay), daemon=True)
        self.sink.start()

    def ask(self, word):
        self.pipe.send(word)
        return self.pipe.recv()

    def close(self):
        self.pipe.send("end")
        self.sink.join()
        shutil.rmtree(self.folder)

    def messages_a_second(self, name, depth, count):
        path = os.path.join(self.folder, "outbox.db")
        subprocess.run([f"{self.build}/outboxctl", "--database", path, "init"], check=True,
                       stdout=subprocess.DEVNULL)
        database = sqlite3.connect(path, timeout=5, isolation_level=None)
        database.execute("BEGIN IMMEDIATE")
        database.execute("INSERT INTO outbox_tenant (name, host, port, tls, auth, from_address, max_connections, "
                         "max_messages_per_session, pipeline_depth) VALUES ('acme', '127.0.0.1', ?, 'none', "
                         "'none', 'pbx@acme.example', 1, ?, ?)", (self.ports[name], count, depth))
        for number in range(count):
            database.execute(INSERT, ("acme", f"m{number}"))
        database.execute("COMMIT")
        daemon = subprocess.Popen([f"{self.build}/outboxd", "--database", path, "--log-file", path + ".log"])
        until = time.time() + 120
        while self.ask("count") < count and time.time() < until:
            time.sleep(0.05)
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(90)
        arrivals = self.ask("take")
        states = dict(database.execute("SELECT state, count(*) FROM outbox_status GROUP BY state"))
        database.close()
        for end in ("", "-wal", "-shm", "-inflight", ".log"):
            if os.path.exists(path + end):
                os.unlink(path + end)
        assert sorted(subject for subject, _ in arrivals) == sorted(f"m{number}" for number in range(count))
        assert states == {"sent": count}, states
        moments = [moment for _, moment in arrivals]
        return (count - 1) / (max(moments) - min(moments))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.environ.get("OUTBOXD_BUILD", "."))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--delay", type=float, default=10, metavar="MS")
    options = parser.parse_args()
    bench = Bench(options.build, options.delay / 1000)
    rates = collections.defaultdict(list)
    try:
        for _ in range(options.rounds):
            for name, _, depth, count in WAYS:
                rates[name].append(bench.messages_a_second(name, depth, count))
    finally:
        bench.close()
    base = statistics.median(rates[WAYS[0][0]])
    print(f"One connection, each reply {options.delay:g} ms after its command; median of {options.rounds} rounds:")
    for name, _, _, count in WAYS:
        middle = statistics.median(rates[name])
        print(f"  {name:18} {middle:8.1f} messages/s   x{middle / base:6.1f}   "
              f"({min(rates[name]):.1f} to {max(rates[name]):.1f}; {count} each)")


if __name__ == "__main__":
    main()
