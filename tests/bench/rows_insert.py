"""Applications that insert: delay until MAIL at the server, steady delivery, and what our work costs them."""
import contextlib
import time

import bed as beds
import rows_drain


@contextlib.contextmanager
def at_rest(bed, sink, path):
    """An outboxd that has nothing to do; the worker of the first tenant is there, its connection open."""
    sink.take()
    with bed.daemon(path) as daemon:
        daemon.wait_ready()
        bed.moments(bed.insert(path, "first", 1))
        sink.wait(1, beds.LONG)
        yield daemon


def delivered(bed, sink, path, name, application):
    """The application ends, everything arrives: (moments, arrivals without the first)."""
    moments, failed = bed.moments(application)
    if failed:
        raise beds.Void("%d inserts failed" % failed)
    sink.wait(len(moments) + 1, beds.LONG)
    bed.settled(path)
    arrivals = sink.take()
    bed.check(path, arrivals, ("first", 1), (name, len(moments)), forget=False)
    return moments, [one for one in arrivals if one.identity != "first.0"]


class Insert(rows_drain.Row):
    """A durable INSERT a commit, as fast as the application can: delivered a second; SQLite alone beside it."""

    NAME = "insert"
    SECONDS = 4

    def __init__(self, bed, options):
        super().__init__(bed, options)
        self.server = self.sink(chunking=False)

    def application(self, path, name):
        """Inserts for a while."""
        process = self.bed.insert(path, name, 0)
        time.sleep(self.SECONDS)
        return process

    def once(self):
        path = self.bed.outbox(1, self.server.port)
        moments, failed = self.bed.moments(self.application(path, "alone"))
        self.bed.forget(path)
        if failed:
            raise beds.Void("%d inserts failed" % failed)
        figures = {"insert alone": len(moments) / (moments[-1][1] - moments[0][0]) * 1e9}
        path = self.bed.outbox(1, self.server.port)
        with at_rest(self.bed, self.server, path):
            moments, arrivals = delivered(self.bed, self.server, path, "i", self.application(path, "i"))
        self.bed.forget(path)
        end = max(one.end_ns for one in arrivals)
        figures["insert delivered"] = len(moments) / (end - moments[0][0]) * 1e9
        return figures


class Delay(rows_drain.Row):
    """From COMMIT to MAIL, one message every 25 ms and nothing else to do; and with more tenants."""

    NAME = "delay"
    MESSAGES, GAP_US = 150, 25000
    SPREAD = (50, 1000)

    def __init__(self, bed, options):
        super().__init__(bed, options)
        self.server = self.sink(chunking=False)

    def ours(self, name, tenants):
        path = self.bed.outbox(tenants, self.server.port)
        with at_rest(self.bed, self.server, path):
            moments, arrivals = delivered(self.bed, self.server, path, "d", self.bed.insert(
                path, "d", self.MESSAGES, self.GAP_US, tenants=tenants))
        self.bed.forget(path)
        return rows_drain.spread("delay " + name, rows_drain.delays_ms(
            arrivals, {"d.%d" % n: moment[1] for n, moment in enumerate(moments)}))

    def once(self):
        figures = self.ours("open", 1)
        figures.update(self.ours("new", self.MESSAGES))
        for tenants in self.SPREAD:
            figures.update(self.ours("of %d tenants" % tenants, tenants))
        return figures


class Beside(rows_drain.Row):
    """An application that inserts every 3 ms: beside full speed, and alone."""

    NAME = "beside"
    GAP_US, ALONE = 3000, 700

    def __init__(self, bed, options):
        super().__init__(bed, options)
        self.server = self.sink(chunking=False)

    def once(self):
        path = self.bed.outbox(10, self.server.port)
        moments, failed = self.bed.moments(self.bed.insert(path, "a", self.ALONE, self.GAP_US))
        self.bed.forget(path)
        took = [(commit - begin) / 1e6 for begin, commit in moments]
        figures = {"insert idle p50": beds.percentile(took, 0.5), "insert idle p99": beds.percentile(took, 0.99)}
        preload = 2 * self.options.messages
        path = self.bed.outbox(10, self.server.port, preload)
        self.server.take()
        with self.bed.daemon(path) as daemon:
            daemon.wait_ready()
            application = self.bed.insert(path, "a", 0, self.GAP_US)
            self.server.wait(preload, beds.LONG)
            moments, failed = self.bed.moments(application)
            self.server.wait(preload + len(moments) - failed, beds.LONG)
            self.bed.settled(path)
        arrivals = self.server.take()
        if not failed:
            self.bed.check(path, arrivals, ("m", preload), ("a", len(moments)))
        took = [(commit - begin) / 1e6 for begin, commit in moments]
        figures.update({"insert busy p50": beds.percentile(took, 0.5), "insert busy p99": beds.percentile(took, 0.99),
                        "insert busy max": max(took), "insert busy failed": failed})
        return figures
