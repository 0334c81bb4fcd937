"""Draining a preloaded outbox; messages under way at once over a path with 10 ms; processor time a message."""
import contextlib

import bed as beds
import certs
import sink as sinks


def drain(bed, sink, tenants, messages, octets=beds.TEXT_OCTETS, **columns):
    """Messages a second from the first MAIL to the last end, and ms of processor time a message of all of
    outboxd from its start to its last commit."""
    path = bed.outbox(tenants, sink.port, messages, octets, **columns)
    sink.take()
    with bed.daemon(path) as daemon:
        arrived = sink.wait(messages, beds.LONG)
        if arrived >= messages:
            bed.settled(path)
        cpu_ms = beds.cpu_s(daemon.pid) * 1000 / messages
        memory = beds.memory_kib(daemon.pid)
    arrivals = sink.take()
    bed.check(path, arrivals, ("m", messages))
    begin, end = min(one.mail_ns for one in arrivals), max(one.end_ns for one in arrivals)
    return {"rate": messages / (end - begin) * 1e9, "cpu": cpu_ms, "memory": memory}


def delays_ms(arrivals, commits):
    """From each commit to its message's MAIL. name -> commit_ns."""
    return [(one.mail_ns - commits[one.identity]) / 1e6 for one in arrivals]


def spread(name, delays):
    return {name + " p50": beds.percentile(delays, 0.5), name + " p99": beds.percentile(delays, 0.99)}


class Row:
    """A row is measured once in each repetition: figures by name. It holds its servers until close()."""

    def __init__(self, bed, options):
        self.bed, self.options, self.stack = bed, options, contextlib.ExitStack()

    def sink(self, **words):
        return self.stack.enter_context(sinks.Sink(self.bed.build, **words))

    def close(self):
        self.stack.close()


class Drain(Row):
    """1, 50 and 1,000 tenants, a server with PIPELINING alone, everything by default; kept TLS beside it."""

    NAME = "drain"
    TENANTS = (1, 50, 1000)

    def __init__(self, bed, options):
        super().__init__(bed, options)
        authority = certs.Authority(bed.folder, "authority-of-drain")
        self.authority = authority.file
        self.plain = self.sink(chunking=False)
        self.tls = self.sink(chunking=False, tls=authority.server("sink-of-drain", ["localhost"], ["127.0.0.1"]))

    def once(self):
        figures, messages = {}, self.options.messages
        for tenants in self.TENANTS:
            got = drain(self.bed, self.plain, tenants, messages)
            figures["drain %d rate" % tenants] = got["rate"]
            figures["drain %d cpu" % tenants] = got["cpu"]
        before = self.tls.stats()
        got = drain(self.bed, self.tls, 50, messages, tls="starttls", tls_name="localhost",
                    tls_ca_file=self.authority, max_messages_per_session=1000000)
        after = self.tls.stats()
        figures["tls rate"], figures["tls cpu"] = got["rate"], got["cpu"]
        figures["tls handshakes"] = after["handshakes"] - before["handshakes"]
        figures["tls resumed"] = after["resumed"] - before["resumed"]
        return figures


class Depth(Row):
    """One connection, each reply 10 ms after its command: messages under way at once."""

    NAME = "depth"
    # name, what the server offers, pipeline_depth, messages
    WAYS = (("depth none", {"pipelining": False}, 1, 50),
            ("depth pipelining", {"chunking": False}, 1, 200),
            ("depth 4", {}, 4, 800),
            ("depth 16", {}, 16, 3000))

    def __init__(self, bed, options):
        super().__init__(bed, options)
        self.servers = {name: self.sink(delay_ms=10, **offers) for name, offers, _, _ in self.WAYS}

    def once(self):
        return {name: drain(self.bed, self.servers[name], 1, messages, octets=100, max_connections=1,
                            max_messages_per_session=1000000, pipeline_depth=depth)["rate"]
                for name, _, depth, messages in self.WAYS}
