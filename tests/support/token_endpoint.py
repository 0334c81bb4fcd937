"""A token endpoint that does what a test says, on loopback, by HTTPS.

    endpoint = Endpoint(authority.server("good", ["localhost"]))
    endpoint.answer = gives(token="one", expires_in=3600)
    endpoint.url, endpoint.forms        where it is, what was posted to it

An answer is a function (connection, form, endpoint) that writes what it
likes; the connection is closed after it.
"""

import json
import socket
import ssl
import threading
import urllib.parse

LIMIT_S = 60


def document(status, content, more=""):
    """An HTTP answer, as octets."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return ("HTTP/1.1 %d Said\r\nContent-Type: application/json\r\n"
            "Content-Length: %d\r\n%sConnection: close\r\n\r\n" % (status, len(body), more)).encode() + body


def says(status, content, more=""):
    octets = document(status, content, more)
    return lambda connection, form, endpoint: connection.sendall(octets)


def gives(token, expires_in=3600, **more):
    return says(200, dict({"access_token": token, "token_type": "Bearer", "expires_in": expires_in}, **more))


def refuses(error, description="", status=400):
    return says(status, {"error": error, "error_description": description})


def is_silent(connection, form, endpoint):
    endpoint.closed.wait(LIMIT_S)


class Endpoint:
    def __init__(self, pair, address="127.0.0.1", host="localhost"):
        self.answer = gives("token")
        self.forms = []
        self.headers = []
        self.connections = 0
        self.closed = threading.Event()
        self.came = threading.Condition()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(pair.certificate, pair.key)
        self.listener = socket.create_server(
            (address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET)
        self.port = self.listener.getsockname()[1]
        self.url = "https://%s:%d/oauth2/token" % (host, self.port)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, plain):
        plain.settimeout(LIMIT_S)
        try:
            with self.context.wrap_socket(plain, server_side=True) as connection:
                form = self._request(connection)
                self.answer(connection, form, self)
        except OSError:
            pass        # it hung up, which some answers are made for
        finally:
            plain.close()

    def _request(self, connection):
        octets = b""
        while b"\r\n\r\n" not in octets:
            octets += self._more(connection)
        head, body = octets.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        header = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines[1:])}
        while len(body) < int(header["content-length"]):
            body += self._more(connection)
        form = dict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True))
        with self.came:
            self.headers.append((lines[0], header))
            self.forms.append(form)
            self.came.notify_all()
        return form

    @staticmethod
    def _more(connection):
        octets = connection.recv(65536)
        if not octets:
            raise OSError("closed")
        return octets

    def wait_forms(self, count):
        """Until so many requests came."""
        with self.came:
            if not self.came.wait_for(lambda: len(self.forms) >= count, LIMIT_S):
                raise AssertionError("%d requests came, not %d" % (len(self.forms), count))

    def close(self):
        self.closed.set()
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
