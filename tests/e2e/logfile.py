"""Reads a server's log from a remembered place on, and waits for lines."""

import os
import re
import time

import patience


class LogFile:
    """A growing text file.  mark() remembers its end; text() and wait() see
    what came after the mark."""

    def __init__(self, path):
        self.path = path
        self.offset = 0

    def mark(self):
        try:
            self.offset = os.stat(self.path).st_size
        except FileNotFoundError:
            self.offset = 0

    def text(self):
        try:
            with open(self.path, "rb") as stream:
                stream.seek(self.offset)
                return stream.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def lines(self, pattern=""):
        return [line for line in self.text().splitlines()
                if re.search(pattern, line)]

    def count(self, pattern):
        return len(self.lines(pattern))

    def wait(self, pattern, count=1, seconds=20):
        """Waits until so many lines match; answers them.  AssertionError
        with the log's last lines if they do not come in time."""
        limit = patience.limit(seconds)
        while True:
            found = self.lines(pattern)
            if len(found) >= count:
                return found
            if time.monotonic() > limit:
                last = "\n".join(self.text().splitlines()[-15:])
                raise AssertionError("%d of %d lines with %r in %s:\n%s" % (
                    len(found), count, pattern, self.path, last))
            time.sleep(0.02)
