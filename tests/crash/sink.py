"""A quick mail server in a process of its own, for hundreds of thousands of messages.

    sink = Sink({"acme": {}, "beta": {"tls": pair}}, r"^Subject: soak (\\S+)\\r$")
    sink.port("acme")   sink.accepted()   sink.end() -> {name: {token: Taken}}

One port a name.  Options: tls (a certs.Pair: TLS from the first octet), later
(every so many RCPTs are told 450, every so many messages 451).  Who asks for a
recipient no@… is told 550.  What is counted is what was accepted, just before
the 250 is said.
"""

import asyncio
import collections
import multiprocessing
import re
import signal
import ssl
import zlib

# Of one token: how often it was taken, and how many different texts.
Taken = collections.namedtuple("Taken", "times texts")

EHLO = b"250-sink.example\r\n250-PIPELINING\r\n250-CHUNKING\r\n" \
       b"250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n"


class Port:
    """What one name has taken."""

    def __init__(self, options, pattern, counter):
        self.later = options.get("later", 0)
        self.pattern = pattern
        self.counter = counter
        self.asked = self.ended = 0
        self.times = collections.Counter()
        self.texts = {}

    def rcpt(self, line):
        self.asked += 1
        if b"<no@" in line.lower():
            return b"550 5.1.1 unknown\r\n"
        if self.later and self.asked % self.later == 0:
            return b"450 4.2.0 later\r\n"
        return None

    def take(self, text):
        """The answer to a whole message."""
        self.ended += 1
        if self.later and self.ended % (self.later * 3) == 0:
            return b"451 4.3.0 later\r\n"
        found = self.pattern.search(text)
        token = found.group(1).decode() if found else "?"
        self.times[token] += 1
        self.texts.setdefault(token, set()).add(zlib.crc32(text))
        self.counter.value += 1
        return b"250 2.0.0 taken\r\n"


class Session(asyncio.Protocol):
    """One connection: commands, DATA and BDAT, answered in groups."""

    def __init__(self, port):
        self.port = port
        self.buffer = bytearray()
        self.text = bytearray()
        self.recipients = 0
        self.mail = False
        self.in_data = self.quit = False
        self.chunk = None       # octets still to come, whether the last

    def connection_made(self, transport):
        self.transport = transport
        transport.write(b"220 sink.example ESMTP\r\n")

    def data_received(self, data):
        self.buffer += data
        said = bytearray()
        while True:
            answer = self._step()
            if answer is None:
                break
            said += answer
        if said:
            self.transport.write(bytes(said))
        if self.quit:
            self.transport.close()

    def _step(self):
        """The next answer; None = more must come first."""
        if self.chunk:
            return self._chunk_data()
        if self.in_data:
            return self._data()
        end = self.buffer.find(b"\r\n")
        if end < 0:
            return None
        line = bytes(self.buffer[:end])
        del self.buffer[:end + 2]
        return self._command(line)

    def _over(self):
        self.text = bytearray()
        self.recipients = 0
        self.mail = self.in_data = False
        self.chunk = None

    def _take(self):
        answer = self.port.take(bytes(self.text)) if self.recipients \
            else b"554 5.5.1 no valid recipients\r\n"
        self._over()
        return answer

    def _data(self):
        # The line before the dot ends where the buffer may begin.
        if self.buffer.startswith(b".\r\n"):
            at, length = 0, 3
        else:
            at, length = self.buffer.find(b"\r\n.\r\n"), 5
            if at < 0:
                return None
        text = bytes(self.buffer[:at]) + (b"\r\n" if length == 5 else b"")
        self.text += text.replace(b"\r\n..", b"\r\n.")
        del self.buffer[:at + length]
        return self._take()

    def _chunk_data(self):
        wanted, last = self.chunk
        if len(self.buffer) < wanted:
            return None
        self.text += self.buffer[:wanted]
        del self.buffer[:wanted]
        self.chunk = None
        if not self.recipients:
            self.text = bytearray()
            return b"503 5.5.1 no valid recipients\r\n"
        return self._take() if last else b"250 2.0.0 so far\r\n"

    def _command(self, line):
        verb = line[:4].upper()
        if verb == b"MAIL":
            self._over()
            self.mail = True
            return b"250 2.1.0 ok\r\n"
        if verb == b"RCPT":
            answer = self.port.rcpt(line) if self.mail else \
                b"503 5.5.1 MAIL first\r\n"
            self.recipients += answer is None
            return answer or b"250 2.1.5 ok\r\n"
        if verb == b"DATA":
            if not self.recipients:
                return b"554 5.5.1 no valid recipients\r\n"
            self.in_data = True
            return b"354 go ahead\r\n"
        if verb == b"BDAT":
            words = line.split()
            self.chunk = (int(words[1]), words[-1].upper() == b"LAST")
            return b""
        if verb == b"EHLO":
            self._over()
            return EHLO
        if verb == b"QUIT":
            self.quit = True
            return b"221 2.0.0 bye\r\n"
        self._over()
        return b"250 2.0.0 ok\r\n"


class Sink:
    """ports: name -> options; token: its pattern in the text's header."""

    def __init__(self, ports, token):
        self.counter = multiprocessing.Value("q", 0, lock=False)
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(
            target=self._main, args=(theirs, ports, token), daemon=True)
        self.process.start()
        theirs.close()
        self.ports = self.pipe.recv()

    def port(self, name):
        return self.ports[name]

    def accepted(self):
        """Messages, all ports together, repeats too."""
        return self.counter.value

    def end(self):
        """What each name has taken: {name: {token: Taken}}."""
        self.pipe.send("end")
        taken = self.pipe.recv()
        self.process.join()
        return taken

    def close(self):
        if self.process.is_alive():
            self.process.kill()
        self.process.join()

    def _main(self, pipe, ports, token):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        asyncio.run(self._serve(pipe, ports,
                                re.compile(token.encode(), re.MULTILINE)))

    async def _serve(self, pipe, ports, pattern):
        loop = asyncio.get_running_loop()
        over = asyncio.Event()
        known, numbers, servers = {}, {}, []
        for name, options in ports.items():
            known[name] = port = Port(options, pattern, self.counter)
            context = None
            if "tls" in options:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(options["tls"].certificate,
                                        options["tls"].key)
            server = await loop.create_server(
                lambda port=port: Session(port), "127.0.0.1", 0, ssl=context,
                backlog=256)
            servers.append(server)
            numbers[name] = server.sockets[0].getsockname()[1]
        loop.add_reader(pipe.fileno(), over.set)
        pipe.send(numbers)
        await over.wait()
        loop.remove_reader(pipe.fileno())
        pipe.send({name: {token: Taken(times, len(port.texts[token]))
                          for token, times in port.times.items()}
                   for name, port in known.items()})
