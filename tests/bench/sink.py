"""The sink of the bench as a child process: sink.c tells what it does.

    with Sink(chunking=False) as sink:
        … sink.port …
        sink.wait(1000, 60)
        arrivals = sink.take()
"""
import collections
import os
import subprocess
import tempfile

Arrival = collections.namedtuple("Arrival", "mail_ns end_ns identity")


class Sink:
    """tls: a pair of certs.py; identity: the header field that tells messages apart."""

    def __init__(self, build=None, threads=1, delay_ms=0, pipelining=True, chunking=True, tls=None,
                 identity="Subject"):
        build = build or os.environ.get("OUTBOXD_BUILD", ".")
        argv = [os.path.join(build, "tests/bench/sink"), "--threads", str(threads), "--delay", str(delay_ms),
                "--identity", identity]
        if not pipelining:
            argv.append("--no-pipelining")
        if not chunking:
            argv.append("--no-chunking")
        if tls:
            argv += ["--tls", tls.certificate, tls.key]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self._answer("port")[1])

    def _answer(self, word):
        line = self.process.stdout.readline()
        words = line.split()
        if not words:
            raise EOFError("the sink has ended")
        assert words[0] == word, "the sink says %r" % line
        return words

    def _ask(self, order, word):
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()
        return self._answer(word)

    def count(self):
        return int(self._ask("count", "count")[1])

    def wait(self, count, seconds):
        """Until so many are there, or the time is over; answers how many are."""
        return int(self._ask("wait %d %d" % (count, seconds * 1000), "count")[1])

    def take(self):
        """All arrivals since the last time, in their order."""
        with tempfile.NamedTemporaryFile(prefix="outboxd-sink.", mode="r", errors="replace") as stream:
            number = int(self._ask("take " + stream.name, "taken")[1])
            arrivals = []
            for line in stream:
                mail_ns, end_ns, identity = line.rstrip("\n").split(" ", 2)
                arrivals.append(Arrival(int(mail_ns), int(end_ns), identity))
        assert len(arrivals) == number
        return arrivals

    def stats(self):
        return {name: int(value) for name, _, value in
                (word.partition("=") for word in self._ask("stats", "stats")[1:])}

    def close(self):
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
