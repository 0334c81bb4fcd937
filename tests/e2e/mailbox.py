"""Reads what a server delivered, and takes off what the server put on.

A server on the way adds header fields at the top and nothing else (the rigs
are configured so): take these off and what is left must be, byte for byte,
what the client sent, with LF for CRLF.
"""

import os
import re
import time

import patience

# Added by virtual(8) or Exim at the top of a delivered message.
_DELIVERY = re.compile(
    rb"(Return-Path|X-Original-To|Delivered-To|Envelope-To|Delivery-Date): ",
    re.I)


class Received:
    """One delivered message: what was sent, and what the servers said on its
    way (`hops` of them)."""

    def __init__(self, data, hops=1):
        self.raw = data
        self.trace = []         # (name in lower case, value unfolded)
        rest = data
        while True:
            field, after = _first_field(rest)
            name = field.split(b":", 1)[0].lower()
            if _DELIVERY.match(field):
                pass
            elif name == b"received" and hops > 0:
                hops -= 1
            else:
                break
            value = re.sub(rb"\s+", b" ", field.split(b":", 1)[1]).strip()
            self.trace.append((name.decode(), value.decode("latin-1")))
            rest = after
        self.sent = rest

    def trace_value(self, name):
        for found, value in self.trace:
            if found == name:
                return value
        return None

    @property
    def return_path(self):
        """The envelope sender, with its angle brackets."""
        return self.trace_value("return-path")

    @property
    def account(self):
        """The user name that the client had authenticated with."""
        found = re.search(r"\(Authenticated sender: ([^)]*)\)",
                          self.trace_value("received") or "")
        return found and found.group(1)

    @property
    def protocol(self):
        """ESMTPSA and the like (RFC 3848)."""
        found = re.search(r"\bwith ((?:UTF8)?E?SMTP\w*) id ", self.trace_value("received") or "")
        return found and found.group(1)


def _first_field(data):
    """The first header field with its folded lines, and what follows."""
    end = 0
    while True:
        end = data.find(b"\n", end)
        if end < 0:
            return data, b""
        end += 1
        if data[end:end + 1] not in (b" ", b"\t"):
            return data[:end], data[end:]


class Mailbox:
    """The Maildir of one address, `hops` servers away."""

    def __init__(self, address, directory, jail, hops=1):
        self.address = address
        self.directory = directory
        self.jail = jail
        self.hops = hops

    def __str__(self):
        return self.address

    def _names(self):
        try:
            return sorted(os.listdir(os.path.join(self.directory, "new")),
                          key=_arrival)
        except FileNotFoundError:
            return []
        except PermissionError:
            self.jail.readable(self.directory)
            return sorted(os.listdir(os.path.join(self.directory, "new")),
                          key=_arrival)

    def _read(self, name):
        path = os.path.join(self.directory, "new", name)
        try:
            stream = open(path, "rb")
        except PermissionError:
            self.jail.readable(self.directory)
            stream = open(path, "rb")
        with stream:
            return Received(stream.read(), self.hops)

    def count(self):
        return len(self._names())

    def messages(self):
        """All messages, in the order of their arrival."""
        return [self._read(name) for name in self._names()]

    def wait(self, count, seconds=20):
        """Waits until `count` messages are there; answers all messages.
        Fewer at the end of the time, or more, is an AssertionError."""
        limit = patience.limit(seconds)
        while self.count() < count and time.monotonic() < limit:
            time.sleep(0.02)
        messages = self.messages()
        assert len(messages) == count, "%s has %d messages, not %d" % (
            self.address, len(messages), count)
        return messages


def _arrival(name):
    """Maildir names begin with seconds, and M with microseconds later on."""
    seconds, _, rest = name.partition(".")
    fraction = re.search(r"M(\d+)", rest)
    return int(seconds), int(fraction.group(1)) if fraction else 0, name
