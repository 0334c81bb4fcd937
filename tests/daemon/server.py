"""A mail server that does what a test says: scripted by functions, on loopback.

    server = Server()
    server.on("RCPT", lambda session, line: "550 5.1.1 no such user")
    gate = server.hold("dot", lambda session, mail: "slow" in mail.text)

Every session has a thread of its own that reads commands and answers them.
For each command the functions given by on() are asked, the last one first: an
answer of None lets the next one decide, in the end the server itself.  What
they may answer: the text of a reply, CLOSE (FIN), RESET, a list of texts
(said one after another), or SILENCE (nothing is said, the session goes on).
Besides the verbs there are the moments "connect" (the greeting), "line" (a
line of a message's text), "chunk" (a BDAT that is not the last one) and "dot"
(its end, or that of the last chunk); of AUTH's dialogue "login".
"""

import base64
import select
import socket
import struct
import threading

import patience

CLOSE, RESET, SILENCE = object(), object(), object()
LONG = 600      # seconds after which a test is given up anyway
_own = []       # bound, so that nobody else is given their ports


def bound(port):
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind(("127.0.0.1", port))
    return one


def own_port():
    """A port of loopback that is this process's until it ends. Whoever connects is refused,
    until somebody listens there and once he has ended: a port that were free then would be
    the next test's, and hear from an outboxd that has not given up this one's server."""
    _own.append(bound(0))
    return _own[-1].getsockname()[1]


class Mail:
    """A message as far as it was given."""

    def __init__(self, session, sender):
        self.session = session
        self.sender = sender
        self.recipients = []
        self.lines = []
        self.accepted = False

    @property
    def text(self):
        return "\n".join(self.lines)

    @property
    def subject(self):
        for line in self.lines:
            if line.lower().startswith("subject: "):
                return line[9:]
        return None


class Gate:
    """A place where sessions wait until they are let through."""

    def __init__(self):
        self.waiting = threading.Semaphore(0)
        self.open = threading.Event()

    def reached(self, seconds=20):
        assert self.waiting.acquire(timeout=seconds * patience.TIMES), \
            "after %g s: nobody came to the gate" % seconds

    def release(self):
        self.open.set()

    def wait(self):
        self.waiting.release()
        self.open.wait(LONG)


class Session:
    """One connection."""

    def __init__(self, server, connection, number):
        self.server = server
        self.connection = connection
        self.number = number
        self.stream = connection.makefile("rb")
        self.commands = []
        self.mail = None
        self.mails = 0
        self.user = None
        self.over = False

    def say(self, answer):
        if answer is CLOSE or answer is RESET:
            if answer is RESET:
                self.connection.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER,
                    struct.pack("ii", 1, 0))
            self.over = True
        elif isinstance(answer, list):
            for one in answer:
                if not self.over:
                    self.say(one)
        elif answer is not SILENCE:
            self.connection.sendall(answer.encode() + b"\r\n")

    def line(self):
        raw = self.stream.readline()
        if not raw.endswith(b"\n"):
            self.over = True
            return None
        return raw.rstrip(b"\r\n").decode("utf-8", "replace")

    def run(self):
        self.say(self.server.ask("connect", self, ""))
        while not self.over:
            line = self.line()
            if line is None:
                return
            self.commands.append(line)
            verb = line.split(" ")[0].upper()
            if verb == "BDAT":
                self._chunk(line)
                continue
            answer = self.server.ask(verb, self, line)
            self.say(answer)
            if verb == "DATA" and str(answer).startswith("354"):
                self._text()
            elif verb == "QUIT":
                self.over = True

    def _chunk(self, line):
        """RFC 3030: its octets, then an answer; the LAST one's moment is
        "dot"."""
        words = line.split(" ")
        octets = self.stream.read(int(words[1]))
        if len(octets) < int(words[1]):
            self.over = True
            return
        if not self.mail or not self.mail.recipients:
            self.say("503 5.5.1 no valid recipients")
            return
        self.mail.lines += octets.decode("utf-8", "replace").splitlines()
        if words[-1] != "LAST":
            self.say(self.server.ask("chunk", self, self.mail))
            return
        self.say(self.server.ask("dot", self, self.mail))
        self.mail = None

    def has_more(self, seconds=0):
        """Whether the client has said something beyond what was answered."""
        return bool(select.select([self.connection], [], [], 0)[0] or
                    self._buffered() or
                    select.select([self.connection], [], [], seconds)[0])

    def _buffered(self):
        self.connection.setblocking(False)
        try:
            return bool(self.stream.peek(1))
        finally:
            self.connection.setblocking(True)

    def _text(self):
        mail = self.mail
        while not self.over:
            line = self.line()
            if line is None:
                return
            if line == ".":
                self.say(self.server.ask("dot", self, mail))
                self.mail = None
                return
            mail.lines.append(line[1:] if line.startswith(".") else line)
            answer = self.server.ask("line", self, mail)
            if answer is not None:
                self.say(answer)

    def login(self, line):
        """The dialogue of AUTH PLAIN and LOGIN; answers (user, password)."""
        words = line.split(" ")
        if words[1].upper() == "PLAIN":
            if len(words) < 3:
                self.say("334 ")
                words.append(self.line() or "")
            return base64.b64decode(words[2]).decode().split("\0")[1:]
        found = words[2:]
        for prompt in (b"Username:", b"Password:")[len(found):]:
            self.say("334 " + base64.b64encode(prompt).decode())
            found.append(self.line() or "")
        return [base64.b64decode(word).decode() for word in found]


class Server:
    """Listens on 127.0.0.1 from the start, unless told listen=False."""

    session = Session       # what a connection becomes

    def __init__(self, extensions=("PIPELINING", "8BITMIME",
                                   "ENHANCEDSTATUSCODES"), listen=True):
        self.extensions = list(extensions)
        self.rules = []
        self.lock = threading.RLock()
        self.sessions = []
        self.mails = []         # accepted ones, in their order
        self.gates = []
        self.listener = None
        self.port = None
        if listen:
            self.listen()

    def listen(self, port=0):
        self.listener = bound(port or own_port())
        self.listener.listen(64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self.listener,),
                         daemon=True).start()

    def _accept(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY,
                                      1)
            except OSError:
                return
            with self.lock:
                session = self.session(self, connection,
                                       len(self.sessions) + 1)
                self.sessions.append(session)
            threading.Thread(target=self._serve, args=(session,),
                             daemon=True).start()

    @staticmethod
    def _serve(session):
        try:
            session.run()
        except OSError:
            pass
        finally:
            session.over = True
            session.stream.close()
            session.connection.close()

    # --- what it does ------------------------------------------------------

    def on(self, moment, function):
        """A text instead of a function is always answered."""
        if not callable(function):
            def answer(session, what, text=function):
                return text
            function = answer
        with self.lock:
            self.rules.append((moment, function))
        return function

    def off(self, function):
        with self.lock:
            self.rules = [rule for rule in self.rules
                          if rule[1] is not function]

    def hold(self, moment, condition=lambda session, what: True):
        """Sessions for which it is true wait at that moment."""
        gate = Gate()
        self.gates.append(gate)

        def wait(session, what):
            if condition(session, what):
                gate.wait()
        self.on(moment, wait)
        return gate

    def ask(self, moment, session, what):
        with self.lock:
            rules = [rule[1] for rule in reversed(self.rules)
                     if rule[0] == moment]
        answer = None
        for rule in rules:
            answer = rule(session, what)
            if answer is not None:
                break
        own = getattr(self, "_" + moment.lower(), self._unknown)
        return own(session, what, answer)

    @staticmethod
    def _good(answer):
        return isinstance(answer, str) and answer[:1] in "23"

    def _unknown(self, session, what, answer):
        return answer or "500 5.5.1 what?"

    def _connect(self, session, what, answer):
        return answer or "220 scripted.example ESMTP"

    def _ehlo(self, session, what, answer):
        if answer:
            return answer
        lines = ["scripted.example"] + self.extensions
        return "\r\n".join("250%s%s" % ("-" if i < len(lines) - 1 else " ",
                                        line)
                           for i, line in enumerate(lines))

    def _auth(self, session, what, answer):
        if answer:
            return answer
        user, password = session.login(what)
        answer = self.ask("login", session, (user, password))
        if self._good(answer):
            session.user = user
        return answer

    def _login(self, session, what, answer):
        return answer or "235 2.7.0 welcome"

    def _mail(self, session, what, answer):
        answer = answer or "250 2.1.0 ok"
        if self._good(answer):
            session.mail = Mail(session, what[what.find("<") + 1:
                                              what.find(">")])
        return answer

    def _rcpt(self, session, what, answer):
        answer = answer or "250 2.1.5 ok"
        if session.mail is None:
            return "503 5.5.1 MAIL first"
        if self._good(answer):
            session.mail.recipients.append(what[what.find("<") + 1:
                                                what.find(">")])
        return answer

    def _data(self, session, what, answer):
        if answer:
            return answer
        if not session.mail or not session.mail.recipients:
            return "554 5.5.1 no valid recipients"
        return "354 go ahead"

    def _line(self, session, mail, answer):
        return answer

    def _chunk(self, session, mail, answer):
        return answer or "250 2.0.0 so far"

    def _dot(self, session, mail, answer):
        answer = answer or "250 2.0.0 taken"
        if self._good(answer):
            self.took(mail)
        session.mails += 1
        return answer

    def took(self, mail):
        """The server has accepted it, whatever it says then."""
        with self.lock:
            if not mail.accepted:
                mail.accepted = True
                self.mails.append(mail)

    def _rset(self, session, what, answer):
        session.mail = None
        return answer or "250 2.0.0 ok"

    def _noop(self, session, what, answer):
        return answer or "250 2.0.0 ok"

    def _quit(self, session, what, answer):
        return answer or "221 2.0.0 bye"

    # --- what was seen ----------------------------------------------------

    def subjects(self):
        with self.lock:
            return [mail.subject for mail in self.mails]

    def commands(self, verb):
        """All commands of that verb, of all sessions."""
        with self.lock:
            return [line for session in self.sessions
                    for line in session.commands
                    if line.upper().split(" ")[0] == verb]

    def close(self):
        """No new connections; gates are opened; sessions are cut."""
        if self.listener:
            try:
                self.listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self.listener.close()
            self.listener = None
        for gate in self.gates:
            gate.release()
        for session in list(self.sessions):
            if session.over:
                continue
            try:
                session.connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
