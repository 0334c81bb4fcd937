"""What others do: Postfix relaying and draining a held queue, smtp-source, the smtplib loop."""
import time

import bed as beds
import jail
import peers
import rows_drain


def count_once(arrivals, count):
    """Raises Void unless there are so many, each once."""
    names = {one.identity for one in arrivals}
    if len(arrivals) != count or len(names) != count or "-" in names:
        raise beds.Void("%d arrivals, %d of them different, instead of %d" % (len(arrivals), len(names), count))


def rate_of(arrivals):
    return len(arrivals) / (max(one.end_ns for one in arrivals) - min(one.mail_ns for one in arrivals)) * 1e9


class Postfix(rows_drain.Row):
    """One relay for the rows that need it."""

    NAME = "postfix"
    MESSAGES = 2000
    DELAYED, GAP_US = 150, 25000

    def __init__(self, bed, options):
        super().__init__(bed, options)
        self.server = self.sink(chunking=False, identity="Message-ID")
        self.cage = self.stack.enter_context(jail.Jail(bed.folder))
        self.relay = peers.Relay(self.cage, self.server)
        self.relay.start()
        peers.source(self.relay.port("in"), 200)        # its processes are there
        self._taken(200)

    def _taken(self, count):
        self.server.wait(count, beds.LONG)
        arrivals = self.server.take()
        count_once(arrivals, count)
        return arrivals

    def delays(self):
        injector, body, commits = peers.Injector(self.relay.port("in")), beds.text(beds.TEXT_OCTETS).encode(), {}
        body = b"\r\n".join(body.splitlines())
        begin = time.monotonic()
        for number in range(self.DELAYED + 3):
            commits["<p.%d>" % number] = injector.inject("<p.%d>" % number, body)
            time.sleep(max(0, begin + (number + 1) * self.GAP_US / 1e6 - time.monotonic()))
        injector.close()
        self.server.wait(len(commits), beds.LONG)
        arrivals = self.server.take()
        count_once(arrivals, len(commits))
        # the first ones start its processes
        return rows_drain.spread("delay postfix", rows_drain.delays_ms(
            [one for one in arrivals if one.identity not in ("<p.0>", "<p.1>", "<p.2>")], commits))

    def once(self):
        begin_ns, cpu_s = time.monotonic_ns(), self.relay.cpu_s()
        peers.source(self.relay.port("in"), self.MESSAGES)
        arrivals = self._taken(self.MESSAGES)
        time.sleep(0.2)         # qmgr takes the last ones out of its queue
        figures = {"postfix relay": self.MESSAGES / (max(one.end_ns for one in arrivals) - begin_ns) * 1e9,
                   "postfix relay cpu": (self.relay.cpu_s() - cpu_s) * 1000 / self.MESSAGES}
        peers.source(self.relay.port("hold"), self.MESSAGES)
        cpu_s = self.relay.cpu_s()
        self.relay.release()
        arrivals = self._taken(self.MESSAGES)
        time.sleep(0.2)
        figures["postfix drain"] = rate_of(arrivals)
        figures["postfix drain cpu"] = (self.relay.cpu_s() - cpu_s) * 1000 / self.MESSAGES
        figures.update(self.delays())
        return figures


class Wire(rows_drain.Row):
    """Nothing is stored: what the wire and a server can do; and the loop that stores and sends one by one."""

    NAME = "wire"
    MESSAGES = 20000
    LOOP = 500

    def __init__(self, bed, options):
        super().__init__(bed, options)
        self.ours = self.sink(identity="Message-ID")
        self.plain = self.sink()
        self.smtp_sink = self.stack.enter_context(peers.SmtpSink(bed.folder))

    def once(self):
        begin = time.monotonic()
        peers.source(self.smtp_sink.port, self.MESSAGES)
        figures = {"smtp-source to smtp-sink": self.MESSAGES / (time.monotonic() - begin)}
        begin = time.monotonic()
        peers.source(self.ours.port, self.MESSAGES)
        figures["smtp-source to our sink"] = self.MESSAGES / (time.monotonic() - begin)
        self.ours.wait(self.MESSAGES, 60)
        count_once(self.ours.take(), self.MESSAGES)
        figures["smtplib over SQLite"] = peers.smtplib_loop(self.bed.folder, self.plain.port, self.LOOP)
        self.plain.wait(self.LOOP, 60)
        count_once(self.plain.take(), self.LOOP)
        return figures
