"""Time and memory against size: many tenants, long queues, large messages. Each point once; the charts."""
import statistics
import time

import bed as beds
import chart
import report
import rows_drain


class Curve(rows_drain.Row):
    """run() answers series -> [(x, value)…]; a point that is void is told and left out."""

    def __init__(self, bed, options):
        super().__init__(bed, options)
        self.server = self.sink()

    def run(self, tell):
        found = {name: [] for name in self.SERIES}
        for x in self.points():
            try:
                for name, value in zip(self.SERIES, self.point(x)):
                    found[name].append((x, value))
            except beds.Void as words:
                tell("%s %s: %s" % (self.NAME, x, words))
                self.bed.forget()
        return found


class Tenants(Curve):
    """A preloaded outbox of as many messages, for 1 to 5,000 tenants."""

    NAME, X = "tenants", "tenants"
    SERIES = {"rate": "messages/s", "memory": "KiB"}

    def points(self):
        return (1, 10, 50, 200, 1000, 5000)

    def point(self, tenants):
        got = rows_drain.drain(self.bed, self.server, tenants, self.options.messages)
        return got["rate"], got["memory"]


class Queue(Curve):
    """Up to 1,000,000 due rows: from the start of outboxd to its first MAIL, the next 5,000 messages, memory."""

    NAME, X = "queue", "due rows"
    SERIES = {"first": "ms", "rate": "messages/s", "memory": "KiB"}
    COUNT = 5000

    def points(self):
        return sorted({min(queue, self.options.queue) for queue in (10000, 100000, 1000000)})

    def point(self, queue):
        path, count = self.bed.outbox(1, self.server.port, queue, octets=100), min(self.COUNT, queue)
        self.server.take()
        with self.bed.daemon(path) as daemon:
            arrived = self.server.wait(count, beds.LONG)
            memory = beds.memory_kib(daemon.pid)
            daemon.stop()
        arrivals = self.server.take()
        connection = self.bed.connect(path)
        sent = {row[0] for row in connection.execute("SELECT subject FROM outbox JOIN outbox_status ON id = outbox_id "
                                                     "WHERE state = 'sent'")}
        connection.close()
        self.bed.forget(path)
        names = [one.identity for one in arrivals]
        if arrived < count or len(names) != len(sent) or set(names) != sent:
            raise beds.Void("%d arrived, %d of them different, %d are sent" % (len(names), len(set(names)), len(sent)))
        begin, some = min(one.mail_ns for one in arrivals), sorted(one.end_ns for one in arrivals)[:count]
        return (begin - daemon.begin_ns) / 1e6, count / (some[-1] - begin) * 1e9, memory


class Size(Curve):
    """Texts of up to 60 MB, one after another: from MAIL to the end of one, and memory while they go."""

    NAME, X = "size", "octets"
    SERIES = {"time": "ms", "memory": "KiB"}
    COUNT = 3

    def points(self):
        return (4000, 60000, 600000, 6000000, 60000000)

    def point(self, octets):
        path, most = self.bed.outbox(1, self.server.port, self.COUNT, octets), 0
        self.server.take()
        with self.bed.daemon(path) as daemon:
            limit = time.monotonic() + beds.LONG
            while self.server.wait(self.COUNT, 0.02) < self.COUNT and time.monotonic() < limit:
                most = max(most, beds.memory_kib(daemon.pid))
            most = max(most, beds.memory_kib(daemon.pid))
            self.bed.settled(path)
        arrivals = self.server.take()
        self.bed.check(path, arrivals, ("m", self.COUNT))
        return statistics.median((one.end_ns - one.mail_ns) / 1e6 for one in arrivals), most


CURVES = (Tenants, Queue, Size)


def tables(curves):
    lines = []
    for curve in CURVES:
        found = curves.get(curve.NAME)
        if not found or not any(found.values()):
            continue
        lines += ["", "| %s | %s |" % (curve.X, " | ".join("%s, %s" % item for item in curve.SERIES.items())),
                  "| ---: " * (len(curve.SERIES) + 1) + "|"]
        columns = [dict(found[name]) for name in curve.SERIES]
        lines += ["| {:,} | {} |".format(x, " | ".join(report.number(column[x]) for column in columns))
                  for x in sorted(columns[0])]
    return lines


def _three(rounds, figure):
    values = report.values_of(rounds, figure)
    return (statistics.median(values), min(values), max(values)) if values else None


def _against_tenants(rounds, figures):
    """[(tenants, (median, least, most))…] of the figures that were measured."""
    return [(x, three) for x, three in ((x, _three(rounds, figure)) for x, figure in figures.items()) if three]


def _once(points):
    return [(x, (value, value, value)) for x, value in points]


def charts(rounds, curves):
    rate = dict(_once(curves.get("tenants", {}).get("rate", [])))
    rate.update(_against_tenants(rounds, {1: "drain 1 rate", 50: "drain 50 rate", 1000: "drain 1000 rate"}))
    postfix = _three(rounds, "postfix relay")
    waits = _three(rounds, "delay postfix p50")
    made = [
        chart.Chart("Draining a full outbox", "tenants", "messages a second", {
            "outboxd": list(rate.items()), "Postfix relay": [(1, postfix), (1000, postfix)] if postfix else []}),
        chart.Chart("From COMMIT to MAIL", "tenants", "milliseconds", dict(
            {"outboxd " + end: _against_tenants(rounds, {
                1: "delay open " + key, 50: "delay of 50 tenants " + key, 1000: "delay of 1000 tenants " + key})
             for end, key in (("median", "p50"), ("p99", "p99"))},
            **{"Postfix median": [(1, waits), (1000, waits)] if waits else []})),
    ]
    for curve, title in ((Tenants, "Memory of outboxd behind a drain"), (Queue, "From start to the first MAIL"),
                         (Size, "Memory while large messages go")):
        name = "first" if curve is Queue else "memory"
        points = curves.get(curve.NAME, {}).get(name, [])
        made.append(chart.Chart(title, curve.X, curve.SERIES[name], {"outboxd": _once(points)}))
    return [one for one in made if one.x is not None]
