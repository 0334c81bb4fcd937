#!/usr/bin/python3
"""measure.py WHAT [--build FOLDER] [--pairs N] - figures, never assertions.

  isolation   40 healthy tenants at a steady rate, with and without 10 sick ones (5 whose
              server never answers, 5 that refuse), interleaved in one run: delay from COMMIT to
              acceptance at the server, median and 99th percentile, and their ratios
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
        self.transport, self.rest, self.data = transport, b"", None
        transport.write(b"220 sink.example ESMTP\r\n")

    def data_received(self, received):
        self.rest += received
        answers = []
        while self.rest:
            if self.data is not None:
                end = self.rest.find(b"\r\n.\r\n")
                if end < 0:
                    break
                message, self.rest, self.data = self.rest[:end], self.rest[end + 5:], None
                self.arrivals.append((SUBJECT.search(message).group(1).decode(), time.time()))
                answers.append(b"250 2.0.0 taken\r\n")
                continue
            line, newline, rest = self.rest.partition(b"\r\n")
            if not newline:
                break
            self.rest = rest
            word = line[:4].upper()
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
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        sock.listen(4096)
        self.port = sock.getsockname()[1]
        self.pipe, theirs = multiprocessing.Pipe()
        self.sink = multiprocessing.Process(target=sink_process, args=(sock, theirs), daemon=True)
        self.sink.start()
        self.silent = socket.socket()
        self.silent.bind(("127.0.0.1", 0))
        self.silent.listen(4096)
        self.refusing = socket.socket()
        self.refusing.bind(("127.0.0.1", 0))

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

    def serve(self, path):
        log = path + ".log"
        daemon = subprocess.Popen([f"{self.build}/outboxd", "--database", path, "--log-file", log])
        while "daemon.ready" not in (open(log).read() if os.path.exists(log) else ""):
            time.sleep(0.02)
        return daemon

    @staticmethod
    def stop(daemon):
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(90)


INSERT = "INSERT INTO outbox (tenant, to_addresses, subject, body_text) VALUES (?, 'you@sink.example', ?, 'A text.')"


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]


def steady(bench, name, healthy, sick, seconds, rate):
    """Each healthy tenant gets rate messages a second; answers the delays in ms and how many were inserted."""
    tenants = [(f"h{n}", bench.port) for n in range(healthy)]
    for n in range(sick):
        tenants.append((f"s{n}", (bench.silent if n % 2 else bench.refusing).getsockname()[1]))
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
        if tenant.startswith("h"):
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


def isolation(bench, pairs):
    ratios50, ratios99 = [], []
    print("40 healthy tenants, 2 messages a second each; delay from COMMIT to acceptance")
    print(f"{'pair':>4} {'sick':>4} {'arrived':>12} {'median ms':>10} {'p99 ms':>9} {'max ms':>9}")
    for pair in range(pairs):
        figures = {}
        for sick in ((0, 10) if pair % 2 == 0 else (10, 0)):
            delays, total = steady(bench, f"i{pair}-{sick}", 40, sick, 10, 2)
            figures[sick] = (statistics.median(delays), percentile(delays, 0.99))
            print(f"{pair + 1:4} {sick:4} {len(delays):5} of {total:4} {figures[sick][0]:10.2f} {figures[sick][1]:9.2f} {max(delays):9.2f}",
                  flush=True)
        ratios50.append(figures[10][0] / figures[0][0])
        ratios99.append(figures[10][1] / figures[0][1])
    for name, ratios in (("median", ratios50), ("p99", ratios99)):
        print(f"with the sick / without, {name}: median of the ratios {statistics.median(ratios):.2f}, "
              f"from {min(ratios):.2f} to {max(ratios):.2f}")


def wake(bench, pairs):
    print("One tenant, one message every 200 ms at idle; delay from COMMIT to acceptance")
    for pair in range(pairs):
        delays, total = steady(bench, f"w{pair}", 1, 0, 10, 5)
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
    parser.add_argument("what", choices=["isolation", "wake", "insert"])
    parser.add_argument("--build", default=os.environ.get("OUTBOXD_BUILD", "."))
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    bench = Bench(options.build)
    try:
        {"isolation": isolation, "wake": wake, "insert": insert}[options.what](bench, options.pairs)
    finally:
        bench.close()


if __name__ == "__main__":
    main()
