"""What a tenant costs in memory, what configured tenants cost at rest, what a long queue costs."""
import os
import subprocess
import time

import bed as beds
import certs
import rows_drain
import service


def wait_started(bed, path, tenants):
    """Until the start is over: its last work is a row of outbox_tenant_status for each tenant, some hundred a second."""
    connection, limit = bed.connect(path), time.monotonic() + beds.LONG
    while connection.execute("SELECT count(*) FROM outbox_tenant_status").fetchone()[0] < tenants:
        if time.monotonic() > limit:
            raise beds.Void("the tenants' states were not written in %d s" % beds.LONG)
        time.sleep(0.1)
    connection.close()
    time.sleep(2)


class Memory(rows_drain.Row):
    """Of an active tenant (its one connection open, a message under way) and of an idle one."""

    NAME = "memory"
    ACTIVE, EACH, DELAY_MS = (200, 800), 3, 700
    IDLE = (1000, 5000)

    def __init__(self, bed, options):
        super().__init__(bed, options)
        authority = certs.Authority(bed.folder, "authority-of-memory")
        pair = authority.server("sink-of-memory", ["localhost"], ["127.0.0.1"])
        self.plain = self.sink(chunking=False, delay_ms=self.DELAY_MS)
        self.tls = self.sink(chunking=False, delay_ms=self.DELAY_MS, tls=pair)
        self.tls_columns = {"tls": "starttls", "tls_name": "localhost", "tls_ca_file": authority.file}

    def active(self, tenants, sink, columns):
        """KiB more than while they had nothing to do, the median and the most of the samples; threads."""
        path, messages = self.bed.outbox(tenants, sink.port, max_connections=1, **columns), tenants * self.EACH
        sink.take()
        samples, threads = [], 0
        with self.bed.daemon(path) as daemon:
            daemon.wait_ready()
            time.sleep(0.5)
            before = beds.memory_kib(daemon.pid)
            connection = self.bed.connect(path)
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(beds.INSERT, (
                ("t%d" % (n % tenants), "m.%d" % n, beds.text(beds.TEXT_OCTETS)) for n in range(messages)))
            connection.execute("COMMIT")
            connection.close()
            limit = time.monotonic() + beds.LONG
            while sink.count() < messages and time.monotonic() < limit:
                if sink.stats()["open"] >= tenants:
                    samples.append(beds.memory_kib(daemon.pid) - before)
                    threads = max(threads, daemon.threads())
                time.sleep(0.05)
            self.bed.settled(path)
        self.bed.check(path, sink.take(), ("m", messages))
        if not samples:
            raise beds.Void("%d connections were never open at once" % tenants)
        return beds.percentile(samples, 0.5), max(samples), threads

    def idle(self, tenants):
        path = self.bed.outbox(tenants, self.plain.port)
        with self.bed.daemon(path) as daemon:
            daemon.wait_ready()
            wait_started(self.bed, path, tenants)
            memory, threads = beds.memory_kib(daemon.pid), daemon.threads()
        self.bed.forget(path)
        return memory, threads

    def once(self):
        figures = {}
        for name, sink, columns in (("plain", self.plain, {}), ("tls", self.tls, self.tls_columns)):
            (few, _, threads), (many, most, _) = (self.active(tenants, sink, columns) for tenants in self.ACTIVE)
            figures["memory active " + name] = (many - few) / (self.ACTIVE[1] - self.ACTIVE[0])
            figures["memory active all " + name] = most / self.ACTIVE[1]
            figures["threads active " + name] = threads
        (few, threads_few), (many, threads_many) = map(self.idle, self.IDLE)
        figures["memory idle"] = (many - few) / (self.IDLE[1] - self.IDLE[0])
        figures["threads idle"] = threads_many - threads_few
        figures["memory at rest"] = few
        return figures


def scheduled_ms(pid):
    """Processor time of all threads, by the scheduler's own clock."""
    total = 0
    for one in [pid] + service.children(pid):
        for thread in os.listdir("/proc/%d/task" % one):
            with open("/proc/%d/task/%s/schedstat" % (one, thread)) as stream:
                total += int(stream.read().split()[0])
    return total / 1e6


class Idle(rows_drain.Row):
    """1,000 tenants that have nothing to send, once the start is over."""

    NAME = "idle"
    TENANTS, SECONDS = 1000, 6

    def once(self):
        path = self.bed.outbox(self.TENANTS, 25)
        with self.bed.daemon(path) as daemon:
            daemon.wait_ready()
            wait_started(self.bed, path, self.TENANTS)
            begin, before = time.monotonic(), scheduled_ms(daemon.pid)
            time.sleep(self.SECONDS)
            used = (scheduled_ms(daemon.pid) - before) / (time.monotonic() - begin)
        self.bed.forget(path)
        return {"idle cpu": used}


class Take(rows_drain.Row):
    """The first 1,000 due rows of a queue of 1,000 and of one of 1,000,000."""

    NAME = "take"
    QUEUES = (1000, 1000000)

    def __init__(self, bed, options):
        super().__init__(bed, options)
        self.paths = {queue: bed.outbox(1, 25, queue, octets=100) for queue in (
            self.QUEUES[0], min(self.QUEUES[1], options.queue))}

    def once(self):
        figures = {}
        for queue, path in self.paths.items():
            done = subprocess.run([self.bed.build + "/tests/bench/take", path, "t0", str(self.QUEUES[0]), "20"],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=beds.LONG)
            if done.returncode != 0:
                raise beds.Void(done.stderr.strip())
            figures["take %d" % queue] = float(done.stdout)
        return figures

    def close(self):
        self.bed.forget(*self.paths.values())
        super().close()
