#!/usr/bin/python3
"""tenants.py [WHAT…] [--build FOLDER] [--tenants N] - what many tenants cost: figures, never assertions.

  crowd   N tenants with mail at once (two messages each), each with one session (max_connections = 1):
          was all of it delivered, once; peak threads and memory
  active  memory of N and of 2N tenants with a session, in clear and in TLS: the difference a tenant,
          with a message in hand (the server holds its answer back) and with the session parked
  idle    memory, threads, processor time and wake-ups with 1,000 and with 10,000 configured tenants that
          have no mail; monitor and service together
  shared  N tenants of `--shared` with three messages each: as one account with two sessions, in the same
          number of sessions but an account each, and as many sessions as they like; what it costs a message
  queue   time from the start to the first MAIL, and processor time and memory of the service, with
          1,000 and with 1,000,000 due messages of one tenant

Everything runs on loopback in a scratch folder, with a sink of our own (asyncio, one process). Memory
is the proportional set size (PSS) of the service process, from /proc, which needs root, or else
its resident set. A run in which a message is missing or came twice is void.
"""
import argparse
import asyncio
import collections
import multiprocessing
import os
import resource
import ssl
import statistics
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[0:0] = [HERE, os.path.join(HERE, "../e2e")]

import certs
import measure

SETTINGS = ("max_workers=100000", "idle_timeout=1h", "unsettled_max=100000")
SLOTS = 8192
WHATS = ("crowd", "active", "idle", "shared", "queue")


class Sink(asyncio.Protocol):
    """Takes everything; the answer to a message waits while it is held."""

    counts, held, hold, open, most, made = collections.Counter(), [], False, 0, 0, 0

    def connection_made(self, transport):
        Sink.open += 1
        Sink.made += 1
        Sink.most = max(Sink.most, Sink.open)
        self.transport, self.rest, self.in_text = transport, bytearray(), False
        transport.write(b"220 sink.example ESMTP\r\n")

    def connection_lost(self, error):
        Sink.open -= 1

    def data_received(self, received):
        self.rest += received
        while self.take_text() if self.in_text else self.take_line():
            pass

    def take_text(self):
        end = self.rest.find(b"\r\n.\r\n")
        if end < 0:
            return False
        Sink.counts[measure.SUBJECT.search(self.rest[:end]).group(1).decode()] += 1
        del self.rest[:end + 5]
        self.in_text = False
        if Sink.hold:
            Sink.held.append(self)
        else:
            self.transport.write(b"250 2.0.0 taken\r\n")
        return True

    def take_line(self):
        end = self.rest.find(b"\r\n")
        if end < 0:
            return False
        word = bytes(self.rest[:4]).upper()
        del self.rest[:end + 2]
        if word == b"EHLO":
            self.transport.write(b"250-sink.example\r\n250-PIPELINING\r\n250-AUTH PLAIN\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n")
        elif word == b"DATA":
            self.in_text = True
            self.transport.write(b"354 go on\r\n")
        elif word == b"AUTH":
            self.transport.write(b"235 2.7.0 welcome\r\n")
        elif word == b"QUIT":
            self.transport.write(b"221 bye\r\n")
            self.transport.close()
        else:
            self.transport.write(b"250 2.0.0 fine\r\n")
        return True


def sink_process(clear, secret, pair, pipe):
    def release():
        Sink.hold = False
        for one in Sink.held:
            one.transport.write(b"250 2.0.0 taken\r\n")
        Sink.held.clear()
        return True

    def hold():
        Sink.hold = True
        return True

    def clear_counts():
        taken, Sink.counts = Sink.counts, collections.Counter()
        return taken

    def sessions():
        made, most = Sink.made, Sink.most
        Sink.made, Sink.most = 0, Sink.open
        return made, most

    async def main():
        words = {"sessions": sessions, "hold": hold, "release": release, "take": clear_counts, "open": lambda: Sink.open,
                 "count": lambda: sum(Sink.counts.values())}
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(pair.certificate, pair.key)
        loop = asyncio.get_running_loop()
        await loop.create_server(Sink, sock=clear, backlog=4096)
        await loop.create_server(Sink, sock=secret, backlog=4096, ssl=tls, ssl_handshake_timeout=600)
        while True:
            word = await loop.run_in_executor(None, pipe.recv)
            if word == "end":
                os._exit(0)
            pipe.send(words[word]())

    asyncio.run(main())


class Bench(measure.Bench):
    """The folder, the sink and its two ports; databases with many tenants."""

    def start_sink(self):
        self.authority = certs.Authority(self.folder, "authority")
        pair = self.authority.server("sink", ["localhost"])
        clear, secret = self.listen(), self.listen()
        self.port, self.tls_port = clear.getsockname()[1], secret.getsockname()[1]
        self.pipe, theirs = multiprocessing.Pipe()
        self.sink = multiprocessing.Process(target=sink_process, args=(clear, secret, pair, theirs), daemon=True)
        self.sink.start()

    def database(self, name, tenants, tls=False):
        path, connection = self.outbox(name, [])
        columns = ("localhost", self.tls_port, "implicit", self.authority.file) if tls else (
            "127.0.0.1", self.port, "none", None)
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            "INSERT INTO outbox_tenant (name, from_address, host, port, tls, tls_ca_file, max_connections) "
            "VALUES (?, ?, ?, ?, ?, ?, 1)",
            ((f"t{n}", f"pbx@t{n}.example", *columns) for n in range(tenants)))
        connection.execute("COMMIT")
        return path, connection

    def fill(self, connection, tenants, each=1):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(measure.INSERT, ((f"t{n}", f"m.{n}.{k}") for k in range(each) for n in range(tenants)))
        connection.execute("COMMIT")

    def wait_count(self, count, see=lambda: None):
        while self.ask("count") < count:
            see()
            time.sleep(0.1)

    def check(self, count):
        taken = self.ask("take")
        twice = sum(1 for number in taken.values() if number > 1)
        if len(taken) != count or twice:
            raise SystemExit(f"void: {len(taken)} of {count} messages arrived, {twice} of them more than once")


class Service:
    """The processes of one outboxd, as /proc has them."""

    def __init__(self, bench, path, settings=SETTINGS):
        self.bench, self.began = bench, time.monotonic()
        self.daemon = bench.serve(path, settings)
        self.ready = time.monotonic() - self.began
        self.monitor = self.daemon.pid
        with open(f"/proc/{self.monitor}/task/{self.monitor}/children") as file:
            self.pid = int(file.read().split()[0])

    def stop(self):
        self.bench.stop(self.daemon)

    def status(self, key, pid=None):
        with open(f"/proc/{pid or self.pid}/status") as file:
            for line in file:
                if line.startswith(key + ":"):
                    return int(line.split()[1])
        raise KeyError(key)

    def threads(self):
        return self.status("Threads")

    def memory(self):
        """KiB."""
        try:
            with open(f"/proc/{self.pid}/smaps_rollup") as file:
                return next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
        except PermissionError:
            return self.status("VmRSS")

    def settled_memory(self):
        """Once it no longer changes: what was borrowed has been given back."""
        last, quiet = self.memory(), 0
        while quiet < 4:
            time.sleep(0.5)
            now = self.memory()
            quiet = quiet + 1 if abs(now - last) < 256 else 0
            last = now
        return last

    def processor_ms(self):
        """User and system time of both processes so far; schedstat counts nanoseconds."""
        total = 0
        for pid in (self.monitor, self.pid):
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/schedstat") as file:
                    total += int(file.read().split()[0])
        return total / 1e6

    def wakeups(self):
        return sum(self.status("voluntary_ctxt_switches", f"{pid}/task/{task}")
                   for pid in (self.monitor, self.pid) for task in os.listdir(f"/proc/{pid}/task"))


def crowd(bench, options):
    tenants, each = options.tenants, 2
    path, connection = bench.database("crowd", tenants)
    bench.fill(connection, tenants, each)
    service = Service(bench, path)
    peak = {"threads": 0, "memory": 0}
    bench.ask("hold")

    def see():
        peak["threads"] = max(peak["threads"], service.threads())
        peak["memory"] = max(peak["memory"], service.memory())

    # as many in hand at once as the in-flight journal has slots; the others wait for one
    in_hand = min(tenants, SLOTS)
    bench.wait_count(in_hand, see)
    together = time.monotonic() - service.began
    bench.ask("release")
    bench.wait_count(tenants * each, see)
    took, sessions = time.monotonic() - service.began, bench.ask("open")
    see()
    parked = service.settled_memory()
    service.stop()
    bench.check(tenants * each)
    sent = connection.execute("SELECT count(*) FROM outbox_status WHERE state = 'sent'").fetchone()[0]
    if sent != tenants * each:
        raise SystemExit(f"void: {sent} of {tenants * each} messages are 'sent'")
    connection.close()
    print(f"| tenants with mail at once | {tenants:,} |")
    print(f"| messages, all delivered once | {sent:,} |")
    print(f"| messages in hand together | {in_hand:,}, {together:.1f} s from the start |")
    print(f"| sessions open together | {sessions:,} |")
    print(f"| all delivered | {took:.1f} s from the start |")
    print(f"| threads at most | {peak['threads']:,} |")
    print(f"| memory at most | {peak['memory'] / 1024:.0f} MiB, {peak['memory'] / tenants:.1f} KiB a tenant |")
    print(f"| memory with all sessions parked | {parked / 1024:.0f} MiB, {parked / tenants:.1f} KiB a tenant |", flush=True)


def memory_of(bench, tenants, tls):
    """KiB with a message of each tenant in hand, and with all sessions parked."""
    path, connection = bench.database(f"active{tenants}{tls}", tenants, tls)
    bench.fill(connection, tenants)
    bench.ask("hold")
    service = Service(bench, path)
    bench.wait_count(tenants)
    in_hand = service.settled_memory()
    bench.ask("release")
    while connection.execute("SELECT count(*) FROM outbox_status WHERE state = 'sent'").fetchone()[0] < tenants:
        time.sleep(0.2)
    parked = service.settled_memory()
    threads = service.threads()
    service.stop()
    bench.check(tenants)
    connection.close()
    return in_hand, parked, threads


def active(bench, options):
    print("| a tenant with a session | N, 2N | KiB with a message in hand | KiB with the session parked |")
    print("| --- | --- | --- | --- |")
    for tls in (False, True):
        number = options.active
        few, many = memory_of(bench, number, tls), memory_of(bench, 2 * number, tls)
        print(f"| {'in TLS' if tls else 'in clear'} | {number:,}, {2 * number:,} | {(many[0] - few[0]) / number:.1f} | "
              f"{(many[1] - few[1]) / number:.1f} |", flush=True)


def idle(bench, options):
    memory = {}
    print("| tenants without mail | threads | memory | processor a second | wake-ups a second |")
    print("| --- | --- | --- | --- | --- |")
    for tenants in (1000, 10000):
        path, connection = bench.database(f"idle{tenants}", tenants)
        service = Service(bench, path)
        service.settled_memory()
        time.sleep(20)
        before, woken, began = service.processor_ms(), service.wakeups(), time.monotonic()
        time.sleep(options.seconds)
        seconds = time.monotonic() - began
        used, woken = service.processor_ms() - before, service.wakeups() - woken
        memory[tenants] = service.memory()
        print(f"| {tenants:,} | {service.threads()} | {memory[tenants] / 1024:.1f} MiB | {used / seconds:.2f} ms | "
              f"{woken / seconds:.1f} |", flush=True)
        service.stop()
        connection.close()
    print(f"| an idle tenant more | 0 | {(memory[10000] - memory[1000]) / 9000:.2f} KiB | | |", flush=True)


def share(bench, name, tenants, settings, username):
    """Three messages of each tenant; what it cost a message: seconds of all, and a row of figures."""
    path, connection = bench.database(name, tenants)
    connection.execute("UPDATE outbox_tenant SET max_connections = 2, auth = 'plain', password = 'x', username = " + username)
    bench.fill(connection, tenants, 3)
    connection.close()
    figures = os.path.join(bench.folder, name + ".prom")
    bench.ask("sessions")
    service = Service(bench, path, ("unsettled_max=100000", "metrics_file=" + figures, *settings))
    bench.wait_count(3 * tenants)
    took = time.monotonic() - service.began
    time.sleep(16)  # until the next picture, and then until the file that is written of it
    with open(figures) as file:
        count = next(int(line.split()[1]) for line in file if line.startswith("outboxd_dispatches_total"))
    used = bench.stop_and_weigh(service.daemon)
    made, most = bench.ask("sessions")
    bench.check(3 * tenants)
    each = 3 * tenants
    return (f"{took:.1f} s | {made:,} | {most:,} | {count / each:.2f} | {(used.ru_utime + used.ru_stime) * 1000 / each:.2f} | "
            f"{used.ru_nvcsw / each:.1f}")


def shared(bench, options):
    print("| three messages of each of N tenants | took | sessions | at once | dispatches a message | ms of processor | wake-ups |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for tenants in options.shared:
        for number, (words, settings, username) in enumerate((
                ("one account, two sessions", (), "'me@acme.example'"),
                ("an account each, two places", ("max_workers=2",), "name"),
                ("an account each", ("max_workers=100000",), "name"))):
            row = share(bench, f"shared{tenants}.{number}", tenants, settings, username)
            print(f"| {tenants:,}: {words} | {row} |", flush=True)


def start_with(bench, messages, name):
    """ms from the start to ready and to the first MAIL; ms of processor and KiB then and at 900 delivered."""
    path, connection = bench.database(name, 1)
    bench.fill(connection, 1, messages)
    connection.close()
    service = Service(bench, path, ("idle_timeout=1h",))
    while bench.ask("count") == 0:
        time.sleep(0.002)
    first = (time.monotonic() - service.began) * 1000
    bench.wait_count(900)
    used, memory = service.processor_ms(), service.memory()
    service.bench.stop_now(service.daemon)
    bench.ask("take")
    bench.forget(path)
    return service.ready * 1000, first, used, memory


def queue(bench, options):
    print("| due messages of one tenant | ms to ready | ms to the first message | ms of processor to 900 | memory then |")
    print("| --- | --- | --- | --- | --- |")
    figures = {}
    for number in range(options.pairs):
        for messages in (1000, options.queued):
            figures.setdefault(messages, []).append(start_with(bench, messages, f"queue{messages}.{number}"))
    for messages, rows in figures.items():
        ready, first, used, memory = (statistics.median(column) for column in zip(*rows))
        print(f"| {messages:,} | {ready:.0f} | {first:.0f} | {used:.0f} | {memory / 1024:.1f} MiB |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*")
    parser.add_argument("--build", default=os.environ.get("OUTBOXD_BUILD", "."))
    parser.add_argument("--tenants", type=int, default=9000, help="of crowd")
    parser.add_argument("--active", type=int, default=500, help="N of active")
    parser.add_argument("--shared", type=int, nargs="*", default=[250, 1000], help="N of shared")
    parser.add_argument("--queued", type=int, default=1000000, help="of queue")
    parser.add_argument("--pairs", type=int, default=3, help="of queue")
    parser.add_argument("--seconds", type=float, default=10, help="of idle")
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    bench = Bench(options.build)
    try:
        for what in options.what or WHATS:
            if what not in WHATS:
                parser.error(f"there is no {what}; there are {', '.join(WHATS)}")
            globals()[what](bench, options)
            print()
    finally:
        bench.close()


if __name__ == "__main__":
    main()
