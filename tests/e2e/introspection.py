"""The authorization server's other side: it says of a bearer token whose it is
(RFC 7662), to Dovecot, by HTTP on loopback.

    introspection.grant("token", "user@acme.example")   it is good from now on
    introspection.revoke("token")                       and no longer
    introspection.asked                                 the tokens, as they were asked for
"""

import http.server
import json
import threading
import urllib.parse


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        token = urllib.parse.parse_qs(body).get("token", [""])[0]
        answer = json.dumps(self.server.owner.look(token)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


class Introspection:
    def __init__(self):
        self.lock = threading.Lock()
        self.users = {}
        self.asked = []
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self.server.daemon_threads = True
        self.server.owner = self
        self.url = "http://127.0.0.1:%d/introspect" % self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def grant(self, token, user):
        with self.lock:
            self.users[token] = user

    def revoke(self, token):
        with self.lock:
            del self.users[token]

    def look(self, token):
        with self.lock:
            self.asked.append(token)
            user = self.users.get(token)
        return {"active": True, "email": user, "username": user} if user else {"active": False}

    def close(self):
        self.server.shutdown()
        self.server.server_close()
