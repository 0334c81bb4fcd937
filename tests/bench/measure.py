#!/usr/bin/python3
"""measure.py WHAT [--build FOLDER] [--pairs N] - figures, never assertions.

  wake        one tenant, its connection open, a message every 200 ms: delay from COMMIT to acceptance
  insert      an application that inserts every 3 ms while 20,000 messages go out, and the
              same with nothing going out: p50, p99 and maximum of its INSERT, errors

Everything runs on loopback in a scratch folder. The server is a plain sink of our own
(asyncio, PIPELINING, no TLS), which notes when it got each message. Ratios within one
run are what counts: machines differ and are noisy.
"""
import argparse
import asyncio
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


class Sink(asyncio.Protocol):
    """Takes everything, in one process for all tenants; arrivals[subject] = moment of the final dot."""

    arrivals = None

    def connection_made(self, transport):
        self.transport, self.rest, self.data, self.seen = transport, bytearray(), None, 0
        transport.write(b"220 sink.example ESMTP\r\n")

    def data_received(self, received):
        self.rest += received
        answers = []
        while self.rest:
            if self.data is not None:
                end = self.rest.find(b"\r\n.\r\n", self.seen)
                if end < 0:
                    self.seen = max(0, len(self.rest) - 4)
                    break
                self.seen = 0
                message, self.data = bytes(self.rest[:end]), None
                del self.rest[:end + 5]
                self.arrivals.append((SUBJECT.search(message).group(1).decode(), time.time()))
                answers.append(b"250 2.0.0 taken\r\n")
                continue
            end = self.rest.find(b"\r\n")
            if end < 0:
                break
            word = bytes(self.rest[:4]).upper()
            del self.rest[:end + 2]
            if word == b"EHLO":
                answers.append(b"250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n")
            elif word == b"DATA":
                self.data = True
                answers.append(b"354 go on\r\n")
            elif word == b"QUIT":
                self.transport.write(b"".join(answers) + b"221 bye\r\n")
                self.transport.close()
                return
            else:
                answers.append(b"250 2.0.0 fine\r\n")
        if answers:
            self.transport.write(b"".join(answers))


def sink_process(sock, pipe):
    async def main():
        Sink.arrivals = []
        loop = asyncio.get_running_loop()
        await loop.create_server(Sink, sock=sock, backlog=4096)
        while True:
            word = await loop.run_in_executor(None, pipe.recv)
            if word == "take":
                taken, Sink.arrivals = Sink.arrivals, []
                pipe.send(taken)
            elif word == "count":
                pipe.send(len(Sink.arrivals))
            else:
                os._exit(0)

    asyncio.run(main())


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
        sock = self.listen()
        self.port = sock.getsockname()[1]
        self.pipe, theirs = multiprocessing.Pipe()
        self.sink = multiprocessing.Process(target=sink_process, args=(sock, theirs), daemon=True)
        self.sink.start()

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


INSERT = "INSERT INTO outbox (tenant, to_addresses, subject, body_text) VALUES (?, 'you@sink.example', ?, 'A text.')"


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]


def steady(bench, name, seconds, rate):
    """One tenant gets rate messages a second; answers the delays in ms and how many were inserted."""
    tenants = [("h0", bench.port)]
    path, connection = bench.outbox(name, tenants)
    daemon = bench.serve(path)
    bench.ask("take")
    committed, number, begin = {}, 0, time.time()
    gap = 1 / (rate * len(tenants))
    while time.time() - begin < seconds:
        tenant = tenants[number % len(tenants)][0]
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(INSERT, (tenant, f"{tenant}.{number}"))
        connection.execute("COMMIT")
        committed[f"{tenant}.{number}"] = time.time()
        number += 1
        time.sleep(max(0, begin + number * gap - time.time()))
    until = time.time() + 60
    while bench.ask("count") < len(committed) and time.time() < until:
        time.sleep(0.05)
    arrived = dict(bench.ask("take"))
    bench.stop(daemon)
    connection.close()
    return [(arrived[key] - committed[key]) * 1000 for key in committed if key in arrived], len(committed)


def wake(bench, pairs):
    print("One tenant, one message every 200 ms at idle; delay from COMMIT to acceptance")
    for pair in range(pairs):
        delays, total = steady(bench, f"w{pair}", 10, 5)
        print(f"  {len(delays)} of {total}: median {statistics.median(delays[1:]):.2f} ms, p99 {percentile(delays[1:], 0.99):.2f} ms, "
              f"the first, with a new connection, {delays[0]:.2f} ms", flush=True)


def insert_while(bench, name, preload, seconds):
    path, connection = bench.outbox(name, [("app", bench.port)] + [(f"t{n}", bench.port) for n in range(10)])
    connection.execute("BEGIN IMMEDIATE")
    for number in range(preload):
        connection.execute(INSERT, (f"t{number % 10}", f"p.{number}"))
    connection.execute("COMMIT")
    bench.ask("take")
    daemon = bench.serve(path)
    took, errors, number, begin = [], 0, 0, time.time()
    while (time.time() - begin < seconds) if not preload else (bench.ask("count") < preload and time.time() - begin < 300):
        start = time.perf_counter()
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(INSERT, ("app", f"a.{number}"))
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            errors += 1
            print("error:", error)
        took.append((time.perf_counter() - start) * 1000)
        number += 1
        time.sleep(max(0, begin + number * 0.003 - time.time()))
    drained = time.time() - begin
    bench.stop(daemon)
    connection.close()
    print(f"  {name:14} {len(took):6} inserts: p50 {statistics.median(took):7.2f} ms  p99 {percentile(took, 0.99):7.2f} ms  "
          f"max {max(took):8.2f} ms  errors {errors}" + (f"  ({preload} messages went out in {drained:.1f} s)" if preload else ""),
          flush=True)


def insert(bench, pairs):
    print("An application inserts every 3 ms (busy timeout 5 s, synchronous FULL):")
    for pair in range(pairs):
        insert_while(bench, f"idle-{pair}", 0, 8)
        insert_while(bench, f"busy-{pair}", 20000, 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["wake", "insert"])
    parser.add_argument("--build", default=os.environ.get("OUTBOXD_BUILD", "."))
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    bench = Bench(options.build)
    try:
        {"wake": wake, "insert": insert}[options.what](bench, options.pairs)
    finally:
        bench.close()


if __name__ == "__main__":
    main()
