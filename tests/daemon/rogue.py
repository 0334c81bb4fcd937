"""Servers that keep to nothing: each is a function that has a connection.

    server = Rogue(endless_greeting)

The function is called for every connection, in a thread, with a Line: say()
octets, command() hears a line, talk("MAIL") is a good server up to that
command, which is heard but not answered.  It ends by returning (close), or
when the client has gone.
"""

import socket
import struct
import threading

LONG = 60       # seconds after which a test is given up anyway


class Line:
    """One connection."""

    def __init__(self, connection):
        self.connection = connection
        connection.settimeout(LONG)
        self.stream = connection.makefile("rb")

    def say(self, octets):
        if isinstance(octets, str):
            octets = octets.encode()
        self.connection.sendall(octets)

    def for_ever(self, octets, pause=0):
        """Until the client has gone."""
        while True:
            self.say(octets)
            if pause and self.gone(pause):
                return

    def gone(self, seconds):
        """Whether the client closes within so many seconds."""
        self.connection.settimeout(seconds)
        try:
            return self.connection.recv(65536) == b""
        except TimeoutError:
            return False
        finally:
            self.connection.settimeout(LONG)

    def silence(self):
        while not self.gone(LONG):
            pass

    def reset(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                   struct.pack("ii", 1, 0))
        self.stream.close()
        self.connection.close()

    def command(self):
        line = self.stream.readline()
        if not line:
            raise ConnectionError("the client has gone")
        return line.decode("utf-8", "replace").rstrip("\r\n")

    def talk(self, until, offers=()):
        """Good answers up to the command that begins so."""
        self.say("220 rogue.example ESMTP\r\n")
        while True:
            line = self.command()
            if line.upper().startswith(until):
                return
            if line.upper().startswith("EHLO"):
                self.say("".join("250-%s\r\n" % word for word in
                                 ("rogue.example",) + tuple(offers)) +
                         "250 HELP\r\n")
            elif line.upper() == "DATA":
                self.say("354 go on\r\n")
                if until == "TEXT":
                    return
                while self.command() != ".":
                    pass
                if until == ".":
                    return
                self.say("250 taken\r\n")
            else:
                self.say("250 ok\r\n")


class Rogue:
    """Listens on 127.0.0.1; how many came is in `connections`."""

    def __init__(self, behaviour):
        self.behaviour = behaviour
        self.connections = 0
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,),
                             daemon=True).start()

    def _serve(self, connection):
        try:
            self.behaviour(Line(connection))
        except (OSError, ValueError):
            pass
        finally:
            connection.close()

    def close(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
