"""The outboxd under test: started, watched through its log, ended by pid."""

import contextlib
import os
import re
import signal
import subprocess
import time

import patience

import jail
import logfile
import outbox

_PAIR = re.compile(r'([^\s=]+)=("(?:[^"\\]|\\.)*"|\S*)')

# What no test may see in the log unless it says so.
TROUBLE = {"service.crashed", "worker.failed", "worker.stalled",
           "worker.restarted", "storage.failed", "config.error",
           "log.dropped"}


def parse(line):
    """A logfmt line as a dict; quotes are taken off."""
    words = {}
    for key, value in _PAIR.findall(line):
        if value.startswith('"'):
            value = re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t"}.get(
                m.group(1), m.group(1)), value[1:-1])
        words[key] = value
    return words


def children(pid):
    """All descendants of a process."""
    found = []
    try:
        for task in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/children" % (pid, task)) as stream:
                for word in stream.read().split():
                    found += [int(word)] + children(int(word))
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


@contextlib.contextmanager
def surroundings(words):
    """What is started meanwhile has these in its environment."""
    before = {key: os.environ.get(key) for key in words}
    os.environ.update(words)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value


class Service:
    """One outboxd.  settings: NAME=VALUE words for --set."""

    def __init__(self, databases, log, settings=()):
        self.databases = databases
        self.settings = list(settings)
        self.log = logfile.LogFile(log)
        self.process = None
        self.allowed = set()

    def start(self, ready=True):
        """Starts it; waits until it says that it is ready."""
        argv = [outbox.program("outboxd"), "--log-file", self.log.path]
        for path in self.databases:
            argv += ["--database", path]
        for word in self.settings:
            argv += ["--set", word]
        before = self.log.count("event=daemon.ready")
        with open(self.log.path + ".output", "ab") as output:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True, preexec_fn=jail.die_with_parent)
        if ready:
            self._wait_ready(before + 1)
        return self

    def _wait_ready(self, count, seconds=20):
        limit = patience.limit(seconds)
        while self.log.count("event=daemon.ready") < count:
            status = self.process.poll()
            if status is not None or time.monotonic() > limit:
                raise AssertionError("outboxd is not ready (exit status %s)"
                                     ":\n%s%s" % (
                                         status, self._output()[-2000:],
                                         self.log.text()[-2000:]))
            time.sleep(0.01)

    def _output(self):
        with open(self.log.path + ".output", errors="replace") as stream:
            return stream.read()

    def events(self, name=None, **values):
        """The events in the log, those of a name, with these values."""
        pattern = r"\bevent=%s\b" % re.escape(name) if name else "event="
        found = [parse(line) for line in self.log.lines(pattern)]
        return [event for event in found
                if (name is None or event.get("event") == name) and
                all(event.get(k) == str(v) for k, v in values.items())]

    def wait_event(self, name, count=1, seconds=20, **values):
        limit = patience.limit(seconds)
        while True:
            found = self.events(name, **values)
            if len(found) >= count:
                return found
            if time.monotonic() > limit:
                raise AssertionError("%d of %d events %s %s:\n%s" % (
                    len(found), count, name, values, self.log.text()[-2000:]))
            time.sleep(0.02)

    def exactly(self, count, name, **values):
        """That many events and no more; they come to the log a moment after
        what they tell of."""
        found = self.wait_event(name, count, **values)
        assert len(found) == count, found
        return found

    def stop(self, number=signal.SIGTERM, seconds=70):
        """Ends it; answers the exit status."""
        process, self.process = self.process, None
        if process.poll() is None:
            process.send_signal(number)
        try:
            return process.wait(seconds * patience.TIMES)
        except subprocess.TimeoutExpired:
            self._kill_all(process)
            raise AssertionError("outboxd did not end %g s after signal %d"
                                 "\n%s" % (seconds, number,
                                           self.log.text()[-2000:]))

    @staticmethod
    def _kill_all(process):
        pids = [process.pid] + children(process.pid)
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        process.wait()
        return pids

    def kill(self):
        """Signal 9 for the monitor and the service; waits for both."""
        process, self.process = self.process, None
        pids = self._kill_all(process)
        limit = patience.limit(10)
        while not all(gone(pid) for pid in pids):
            assert time.monotonic() < limit, "it survives signal 9"
            time.sleep(0.005)
        return pids

    def trouble(self):
        """Log lines that the test did not announce, and what a sanitizer or
        the C library wrote."""
        shouts = [line for line in self._output().splitlines()
                  if re.search(r"Sanitizer|runtime error|\*\*\*|assert", line)]
        return shouts + [line for line in self.log.lines("event=")
                if parse(line).get("event") in TROUBLE - self.allowed or
                parse(line).get("level") in ("critical", "fatal")]


def states(pid):
    """The states of a process's threads, as proc(5) has them: R S D T Z X."""
    found = []
    for task in os.listdir("/proc/%d/task" % pid):
        try:
            with open("/proc/%d/task/%s/stat" % (pid, task)) as stream:
                found.append(stream.read().rpartition(")")[2].split()[0])
        except (FileNotFoundError, ProcessLookupError):
            pass        # it has ended
    return found


def gone(pid):
    """True when a process has ended with all its threads: only then are its
    files closed and its locks free, even if nobody has waited for it yet."""
    try:
        found = states(pid)
        return len(found) <= 1 and set(found) <= {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return True
