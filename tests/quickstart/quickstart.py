#!/usr/bin/python3
"""quickstart.py --build FOLDER [--keep] - outboxd's main job, shown from end to end.

An outbox in a scratch folder, five tenants with real SMTP servers (aiosmtpd,
STARTTLS and login, each its own account and certificate), one tenant whose
server never answers and one whose server refuses; several hundred messages by
plain SQL with the sqlite3 shell, some with a recording, and faxes (PDF) with
outboxctl send; then what arrived, compared octet by octet with what was
inserted. Exit status 0 only if all of it is as it should be.
"""
import argparse
import email
import email.policy
import json
import mailbox
import os
import secrets
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import samples

HEALTHY = ["acme", "birch", "cedar", "delta", "elder"]
SICK = ["silent", "refusing"]
EACH = 80
VOICEMAILS, FAXES = 4, 2     # of each healthy tenant, besides
LIMIT_S = 60


def say(text=""):
    print(text, flush=True)


class Quickstart:
    def __init__(self, build, folder):
        self.build, self.folder = build, folder
        self.database, self.log = f"{folder}/outbox.db", f"{folder}/outboxd.log"
        self.started = []

    def run(self, *command, **kwargs):
        return subprocess.run(command, check=True, text=True, capture_output=True, **kwargs).stdout

    def ctl(self, *arguments, **kwargs):
        return self.run(f"{self.build}/outboxctl", "--database", self.database, *arguments, **kwargs)

    def start(self, *command, **kwargs):
        process = subprocess.Popen(command, start_new_session=True, **kwargs)
        self.started.append(process)
        return process

    def stop(self):
        for process in reversed(self.started):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in reversed(self.started):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def make_certificates(self):
        os.makedirs(f"{self.folder}/ca")
        self.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                 "-days", "30", "-subj", "/CN=Quickstart CA", "-keyout", f"{self.folder}/ca/key.pem",
                 "-out", f"{self.folder}/ca/cert.pem")
        for name in HEALTHY:
            home = f"{self.folder}/{name}"
            os.makedirs(home)
            self.run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                     "-subj", f"/CN=mail.{name}.example", "-keyout", f"{home}/key.pem", "-out", f"{home}/req.pem")
            with open(f"{home}/san", "w") as file:
                file.write(f"subjectAltName=DNS:mail.{name}.example\n")
            self.run("openssl", "x509", "-req", "-in", f"{home}/req.pem", "-CA", f"{self.folder}/ca/cert.pem",
                     "-CAkey", f"{self.folder}/ca/key.pem", "-CAcreateserial", "-days", "30",
                     "-extfile", f"{home}/san", "-out", f"{home}/cert.pem")
            with open(f"{home}/password", "w") as file:
                file.write(secrets.token_urlsafe(12))

    def start_servers(self):
        self.start("/usr/bin/python3", os.path.join(os.path.dirname(__file__), "mailservers.py"), self.folder,
                   *HEALTHY, stdout=open(f"{self.folder}/servers.log", "w"), stderr=subprocess.STDOUT)
        until = time.monotonic() + 20
        while not os.path.exists(f"{self.folder}/ports.json"):
            if time.monotonic() > until or self.started[-1].poll() is not None:
                sys.exit("the SMTP servers did not start: " + open(f"{self.folder}/servers.log").read())
            time.sleep(0.05)
        return json.load(open(f"{self.folder}/ports.json"))

    def add_tenants(self, ports):
        self.ctl("init")
        for name in HEALTHY + SICK:
            arguments = ["tenant", "add", name, "--host", "127.0.0.1", "--port", str(ports[name]),
                         "--from-address", f"{name.capitalize()} PBX <pbx@{name}.example>",
                         "--tls-name", f"mail.{name}.example", "--tls-ca-file", f"{self.folder}/ca/cert.pem",
                         "--username", name]
            if name == "silent":
                arguments += ["--command-timeout", "3"]
            password = open(f"{self.folder}/{name}/password").read() if name in HEALTHY else "unused"
            self.ctl(*arguments, "--password-stdin", input=password)

    def start_outboxd(self):
        self.start(f"{self.build}/outboxd", "--database", self.database, "--log-file", self.log)
        until = time.monotonic() + 20
        while "event=daemon.ready" not in (open(self.log).read() if os.path.exists(self.log) else ""):
            if time.monotonic() > until or self.started[-1].poll() is not None:
                sys.exit("outboxd did not start: " + (open(self.log).read() if os.path.exists(self.log) else ""))
            time.sleep(0.02)

    def insert(self, expected):
        """Plain SQL through the sqlite3 shell, one transaction for every ten messages. What is expected is, for each
        tenant and subject, the text and the attachments."""
        lines = [".timeout 5000", "PRAGMA synchronous=FULL;"]
        for number in range(EACH):
            if number % 10 == 0:
                lines.append("BEGIN IMMEDIATE;")
            for name in HEALTHY + SICK:
                subject = f"Voicemail {number + 1} for {name}: Grüße"
                text = f"You have a new message, number {number + 1}.\n.a line that begins with a dot\n"
                lines.append("INSERT INTO outbox (tenant, to_addresses, subject, body_text) VALUES "
                             f"('{name}', 'user{number % 7}@{name}.example', '{subject}', '{text}');")
                if name in HEALTHY:
                    expected[name][subject] = (text, [])
            if number % 10 == 9:
                lines.append("COMMIT;")
        self.run("sqlite3", self.database, input="\n".join(lines))

    def insert_voicemails(self, expected):
        """With a recording, by SQL: the message and its attachment are one transaction."""
        lines = [".timeout 5000", "PRAGMA synchronous=FULL;"]
        for tenant, name in enumerate(HEALTHY):
            for number in range(1, VOICEMAILS + 1):
                seconds = 2 * number
                subject, text = f"Nachricht von +49 30 12345{number} für {name}", f"Duration: 0:{seconds:02}\n"
                sound = samples.recording(seconds, 300 + 60 * tenant + 11 * number)
                path = f"{self.folder}/{name}/recording-{number}.wav"
                with open(path, "wb") as file:
                    file.write(sound)
                lines.append(f"""BEGIN IMMEDIATE;
INSERT INTO outbox (tenant, to_addresses, subject, body_text, body_html, attachments)
VALUES ('{name}', 'user1@{name}.example', '{subject}', '{text}', '<p>Duration: <b>0:{seconds:02}</b></p>', 1);
INSERT INTO outbox_attachment (outbox_id, filename, content_type, content)
VALUES (last_insert_rowid(), 'message-{number}.wav', 'audio/x-wav', readfile('{path}'));
COMMIT;""")
                expected[name][subject] = (text, [(f"message-{number}.wav", sound)])
        self.run("sqlite3", self.database, input="\n".join(lines))

    def send_faxes(self, expected):
        """With outboxctl, as an operator or a script does."""
        for name in HEALTHY:
            for number in range(1, FAXES + 1):
                subject, text = f"Fax {number} for {name}: Auftragsbestätigung", "Your fax is attached.\n"
                document = samples.fax([f"To {name}", "From +49 30 1234567"], number)
                path = f"{self.folder}/{name}/Fax für {name} {number}.pdf"
                with open(path, "wb") as file:
                    file.write(document)
                self.ctl("send", "--tenant", name, "--to", f"user2@{name}.example", "--subject", subject, "--text", "-",
                         "--attach", path, input=text)
                expected[name][subject] = (text, [(os.path.basename(path), document)])

    def query(self, sql):
        connection = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=5)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def watch(self, total):
        """Shows how many are delivered until all of the healthy are, and both sick tenants are in backoff."""
        begin, tty, sent = time.monotonic(), sys.stdout.isatty(), -1
        while time.monotonic() - begin < LIMIT_S:
            now = self.query("SELECT count(*) FROM outbox_status WHERE state = 'sent'")[0][0]
            sick = self.query("SELECT count(*) FROM outbox_tenant_status WHERE state = 'backoff' "
                              f"AND tenant IN ('{SICK[0]}', '{SICK[1]}')")[0][0]
            if now != sent or tty:
                sent = now
                line = f"  {time.monotonic() - begin:5.1f} s   delivered {sent:4} of {total}   sick tenants in backoff: {sick} of 2"
                print("\r" + line if tty else line, end="" if tty else "\n", flush=True)
            if sent == total and sick == 2:
                break
            time.sleep(0.2)
        if tty:
            say()
        return sent == total and sick == 2

    def show_tenants(self):
        say(f"\n  {'tenant':10} {'sent':>5} {'waiting':>8} {'median':>9} {'p99':>9}   state")
        for name in HEALTHY + SICK:
            delays = sorted(row[0] for row in self.query(
                f"SELECT finished_at_ms - queued_at_ms FROM outbox_status WHERE tenant = '{name}' AND state = 'sent'"))
            waiting = self.query("SELECT count(*) FROM outbox_status WHERE state IN ('queued', 'deferred') "
                                 f"AND tenant = '{name}'")[0][0]
            state, error = (self.query("SELECT state, coalesce(last_error, '') FROM outbox_tenant_status "
                                       f"WHERE tenant = '{name}'") or [("?", "")])[0]
            figures = (f"{delays[len(delays) // 2]} ms", f"{delays[(len(delays) * 99) // 100]} ms") if delays else ("-", "-")
            say(f"  {name:10} {len(delays):5} {waiting:8} {figures[0]:>9} {figures[1]:>9}   {state}"
                + (f": {error}" if error else ""))

    def compare(self, expected):
        """Every message of the healthy tenants is in its mailbox, once, as it was inserted, with its attachments."""
        good = True
        for name in HEALTHY:
            found = {}
            for message in mailbox.Maildir(f"{self.folder}/{name}/Maildir"):
                read = email.message_from_bytes(message.as_bytes(), policy=email.policy.default)
                text = read.get_body(("plain",)).get_content().replace("\r\n", "\n")
                files = [(part.get_filename(), part.get_content()) for part in read.iter_attachments()]
                found.setdefault(str(read["Subject"]), []).append((text, files))
            same = sum(found.get(subject) == [one] for subject, one in expected[name].items())
            extra = sum(len(bodies) for bodies in found.values()) - same
            files = sum(len(one[1]) for one in expected[name].values())
            good = good and same == len(expected[name]) and extra == 0
            say(f"  {name:10} {same} of {len(expected[name])} as inserted, {files} attachments among them, {extra} others")
        return good


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="outboxd-quickstart.")
    quick = Quickstart(options.build, folder)
    good, kept = False, False
    try:
        say(f"Scratch folder: {folder}")
        quick.make_certificates()
        ports = quick.start_servers()
        quick.add_tenants(ports)
        quick.start_outboxd()
        say(f"{len(HEALTHY)} tenants with a real SMTP server each (STARTTLS, login), 1 whose server never answers, 1 that refuses.")
        expected = {name: {} for name in HEALTHY}
        say(f"Sending {FAXES * len(HEALTHY)} faxes with outboxctl …")
        quick.send_faxes(expected)
        say(f"Inserting {VOICEMAILS * len(HEALTHY)} voicemails with a recording, and {EACH * len(HEALTHY + SICK)} texts, "
            "with the sqlite3 shell …")
        quick.insert_voicemails(expected)
        quick.insert(expected)
        drained = quick.watch((EACH + VOICEMAILS + FAXES) * len(HEALTHY))
        quick.show_tenants()
        say("\nThe last lines of the log:")
        for line in open(quick.log).read().splitlines()[-5:]:
            say("  " + line)
        say("\nThe mailboxes, compared with what was inserted:")
        good = quick.compare(expected) and drained
        say("\nAll is as it should be." if good else "\nNOT as it should be: see above.")
        if options.keep:
            kept = True
            say(f"""
All is left running. Insert:
  sqlite3 -cmd '.timeout 5000' {quick.database} "INSERT INTO outbox (tenant, to_addresses, subject, body_text) VALUES ('acme', 'you@acme.example', 'Hello', 'A text.')"
Look:
  {options.build}/outboxctl --database {quick.database} status
  {options.build}/outboxctl --database {quick.database} queue
  tail -f {quick.log}
  ls {folder}/acme/Maildir/new
Stop:
  kill {' '.join(str(process.pid) for process in quick.started)} && rm -r {folder}""")
    finally:
        if not kept:
            quick.stop()
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
