#!/usr/bin/python3
"""outboxctl_test.py: runs the built outboxctl against scratch databases.

Each test is a promise of the contract or of the manual page. Loopback alone;
prints `ok` or `not ok` a test, and at last `N passed, N failed, N skipped`.
"""
import base64
import hashlib
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
import time
import traceback

BUILD = os.environ.get("OUTBOXD_BUILD", os.getcwd())
SECRET = "s3cret-Wort"
LIMIT_S = 300


class Skipped(Exception):
    """The test cannot be run here; the words say why."""


class Scratch:
    """A folder with a database and a way to run outboxctl on it."""

    def __init__(self, folder):
        self.folder = folder
        self.path = os.path.join(folder, "outbox.db")

    def file(self, name, content=b""):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as out:
            out.write(content)
        return path

    def run(self, *words, status=0, stdin=b"", database=None, environment=None, **more):
        """What it printed; another exit status than `status` is a failure. Both outputs must be free of the secret."""
        command = [os.path.join(BUILD, "outboxctl"), "--database", database or self.path, *map(str, words)]
        if database == "":
            del command[1:3]
        surroundings = {k: v for k, v in os.environ.items() if k != "OUTBOXD_DATABASE"}
        surroundings.update(environment or {})
        done = subprocess.run(command, input=stdin, capture_output=True, env=surroundings, timeout=LIMIT_S,
                              check=False, **more)
        self.errors = done.stderr.decode()
        text = done.stdout.decode()
        assert done.returncode == status, f"{words}: {done.returncode}, not {status}: {text}{self.errors}"
        assert SECRET not in text + self.errors, f"{words}: the secret is shown: {text}{self.errors}"
        assert status == 0 or self.errors.startswith("outboxctl: "), f"{words}: {self.errors}"
        return text

    def json(self, *words):
        document = json.loads(self.run(*words, "--json"))
        assert isinstance(document, list)
        return document

    def sql(self, text, *values):
        database = sqlite3.connect(self.path, isolation_level=None, timeout=5)
        try:
            return database.execute(text, values).fetchall()
        finally:
            database.close()

    def mark(self, text, *values):
        """Writes what only outboxd may."""
        database = sqlite3.connect(self.path, isolation_level=None, timeout=5)
        database.execute("BEGIN IMMEDIATE")
        database.execute("UPDATE outbox_meta SET value = 1 WHERE key = 'daemon'")
        database.execute(text, values)
        database.execute("UPDATE outbox_meta SET value = 0 WHERE key = 'daemon'")
        database.execute("COMMIT")
        database.close()

    def settle(self, message, state, result, recipients=()):
        """What outboxd would write."""
        database = sqlite3.connect(self.path, isolation_level=None, timeout=5)
        database.execute("BEGIN IMMEDIATE")
        database.execute("UPDATE outbox_meta SET value = 1 WHERE key = 'daemon'")
        database.execute("UPDATE outbox_status SET state = ?, result = ?, attempts = attempts + 1, due_at = due_at + 600 "
                         "WHERE outbox_id = ?", (state, result, message))
        for recipient, verdict, code, response in recipients:
            database.execute("INSERT INTO outbox_delivery (outbox_id, recipient, state, attempts, code, response, server) "
                             "VALUES (?, ?, ?, 1, ?, ?, 'mail.example:587')",
                             (message, recipient, verdict, code, response))
        database.execute("UPDATE outbox_meta SET value = 0 WHERE key = 'daemon'")
        database.execute("COMMIT")
        database.close()

    def ready(self, **settings):
        """An outbox with the tenant acme."""
        self.run("init")
        words = ["--host", "127.0.0.1", "--from-address", "pbx@acme.example"]
        for name, value in settings.items():
            words += ["--" + name.replace("_", "-"), str(value)]
        self.run("tenant", "add", "acme", *words)
        return self

    def send(self, *words, **more):
        return int(self.run("send", "--tenant", "acme", "--to", "bob@example.net", *words, **more))


# ---- the database -----------------------------------------------------------------

def init_makes_a_file_in_wal_of_mode_0660_whatever_the_umask(scratch):
    old = os.umask(0o077)
    try:
        scratch.run("init")
    finally:
        os.umask(old)
    assert stat.S_IMODE(os.stat(scratch.path).st_mode) == 0o660
    assert os.path.exists(scratch.path + "-wal"), "the -wal must stay"
    assert scratch.sql("PRAGMA journal_mode") == [("wal",)]
    assert len(scratch.sql("SELECT value FROM outbox_meta WHERE key = 'instance'")[0][0]) == 32
    assert "already" in scratch.run("init")


def init_of_a_file_of_no_octets_keeps_its_mode(scratch):
    os.chmod(scratch.file("outbox.db"), 0o640)
    scratch.run("init")
    assert stat.S_IMODE(os.stat(scratch.path).st_mode) == 0o640
    scratch.run("status")


def application(scratch, mode, *more):
    database = sqlite3.connect(scratch.path, isolation_level=None)
    database.execute(f"PRAGMA journal_mode = {mode}")
    for text in ("PRAGMA user_version = 7", "PRAGMA application_id = 99", "CREATE TABLE bill (n)",
                 "INSERT INTO bill VALUES (1)", *more):
        database.execute(text)
    database.close()
    os.chmod(scratch.path, 0o604)


def octets(path):
    with open(path, "rb") as file:
        return file.read()


def init_of_an_applications_file_outside_wal_is_refused_and_changes_nothing(scratch):
    application(scratch, "DELETE")
    before = octets(scratch.path)
    scratch.run("init", status=78)
    assert "WAL" in scratch.errors and "--wal" in scratch.errors
    assert octets(scratch.path) == before


def init_wal_adds_our_tables_beside_an_applications(scratch):
    application(scratch, "DELETE")
    scratch.run("init", "--wal")
    assert scratch.sql("SELECT n FROM bill") == [(1,)]
    assert scratch.sql("PRAGMA user_version") == [(7,)]
    assert scratch.sql("PRAGMA application_id") == [(99,)]
    assert stat.S_IMODE(os.stat(scratch.path).st_mode) == 0o604
    scratch.run("tenant", "list")


def init_needs_no_wal_option_where_the_file_is_in_wal(scratch):
    application(scratch, "WAL")
    assert "tables" in scratch.run("init")
    scratch.run("status")


def names_that_are_not_ours_are_refused_before_the_mode_is_changed(scratch):
    application(scratch, "DELETE", "CREATE VIEW Outbox_mine AS SELECT 1")
    before = octets(scratch.path)
    scratch.run("init", "--wal", status=78)
    assert "Outbox_mine" in scratch.errors
    assert octets(scratch.path) == before


def a_foreign_outbox_meta_is_refused(scratch):
    application(scratch, "WAL", "CREATE TABLE outbox_meta (a, b)")
    scratch.run("init", status=78)
    scratch.run("status", status=78)


def a_newer_schema_is_refused_by_every_verb(scratch):
    scratch.ready()
    scratch.sql("UPDATE outbox_meta SET value = 1000 WHERE key = 'schema_version'")
    for words in (("init",), ("status",), ("tenant", "list"), ("queue",), ("retry", "1")):
        scratch.run(*words, status=78)
        assert "newer" in scratch.errors


def an_older_schema_is_refused_but_for_init(scratch):
    scratch.ready()
    scratch.sql("UPDATE outbox_meta SET value = 0 WHERE key = 'schema_version'")
    scratch.run("status", status=78)
    assert "older" in scratch.errors and "outboxctl init" in scratch.errors
    scratch.run("init", status=78)  # there is no version 0 in the world to migrate from
    assert scratch.sql("SELECT value FROM outbox_meta WHERE key = 'schema_version'") == [(0,)]


def what_is_no_outbox_has_a_status_and_words_of_its_own(scratch):
    scratch.run("status", status=66)
    assert "does not exist" in scratch.errors
    assert not os.path.exists(scratch.path), "only init creates"
    scratch.run("status", status=78, database=scratch.file("text", b"no database " * 1000))
    application(scratch, "WAL")
    scratch.run("status", status=78)
    assert "outboxctl init" in scratch.errors
    scratch.run("status", status=78, database=scratch.folder)
    scratch.run("init", status=73, database=os.path.join(scratch.folder, "no/such/folder.db"))


def a_file_of_somebody_else_is_a_matter_of_permission(scratch):
    if os.getuid() != 0:
        raise Skipped("needs root, to be somebody else")
    scratch.ready()
    program = shutil.copy(os.path.join(BUILD, "outboxctl"), scratch.folder)
    os.chmod(scratch.folder, 0o755)
    os.chmod(program, 0o755)
    for path, verb in ((scratch.path, "status"), (scratch.path, "init"), (scratch.folder + "/new.db", "init")):
        done = subprocess.run([program, "--database", path, verb], user=65534, group=65534, extra_groups=[],
                              capture_output=True, check=False, timeout=LIMIT_S)
        assert done.returncode == 77, (path, verb, done.returncode, done.stderr)


def which_database(scratch):
    scratch.run("status", status=64, database="")
    assert "--database" in scratch.errors and "OUTBOXD_DATABASE" in scratch.errors
    scratch.ready()
    scratch.run("status", database="", environment={"OUTBOXD_DATABASE": scratch.path})
    scratch.run("status", "--database=" + scratch.path, database="")
    scratch.run("status", "--database", scratch.path, status=64)


def schema_prints_sql_that_makes_an_outbox(scratch):
    text = scratch.run("schema", database="")
    database = sqlite3.connect(scratch.path)
    database.executescript("PRAGMA journal_mode = WAL;" + text)
    database.close()
    scratch.run("status")


def a_lock_held_too_long_is_unavailable_and_changes_nothing(scratch):
    message = scratch.ready().send("--text", "/dev/null")
    other = sqlite3.connect(scratch.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    begun = time.monotonic()
    scratch.run("cancel", message, status=69)
    assert time.monotonic() - begun > 4.5  # the busy timeout of 5 s
    other.execute("ROLLBACK")
    other.close()
    assert scratch.sql("SELECT state FROM outbox_status") == [("queued",)]


# ---- the command line ------------------------------------------------------------

def wrong_commands_end_with_64(scratch):
    scratch.ready()
    for words in ([], ["nonsense"], ["tenant"], ["tenant", "nonsense"], ["status", "--nonsense"], ["status", "more"],
                  ["status", "-x"], ["show"], ["show", "one"], ["show", "0"], ["show", "1", "2"], ["retry"],
                  ["retry", "1", "--tenant", "acme"], ["cancel"], ["cancel", "1x"], ["queue", "--state", "lost"],
                  ["queue", "--tenant"], ["init", "--wal=1"], ["init", "--wal", "--wal"], ["tenant", "show"],
                  ["tenant", "set", "acme"], ["tenant", "set", "acme", "--prot", "1"],
                  ["tenant", "set", "acme", "--name", "other"], ["tenant", "set", "acme", "--port", "1", "--port", "2"],
                  ["tenant", "add", "x", "--host", "h", "--x;y", "1"], ["send", "--to", "a@b.example"],
                  ["send", "--tenant", "acme"],
                  ["send", "--tenant", "acme", "--to", "a@b.example", "--text", "-", "--message", "-"],
                  ["send", "--tenant", "acme", "--to", "a@b.example", "--html", "x", "--message", "x"],
                  ["send", "--tenant", "acme", "--to", "a@b.example", "--attach", "x", "--message", "x"],
                  ["send", "--tenant", "acme", "--to", "a@b.example", "--inline", "x=x"],
                  ["send", "--tenant", "acme", "--to", "a@b.example", "--text", "-", "--html", "-"],
                  ["send", "--tenant", "acme", "--to", "a@b.example", "--attach", "-", "--attach", "-"]):
        scratch.run(*words, status=64)


def what_is_not_built_yet_says_so(scratch):
    scratch.ready()
    scratch.run("top", status=64)
    assert "is not built yet" in scratch.errors
    assert scratch.sql("SELECT count(*) FROM outbox") == [(0,)]


def each_verb_has_a_help(scratch):
    general = scratch.run("--help", database="")
    assert scratch.run("--version", database="").startswith("outboxctl ")
    for verb in ("init", "schema", "tenant add", "tenant set", "tenant list", "tenant show", "tenant remove",
                 "tenant suspend", "tenant resume", "tenant test", "tenant authorize", "send", "queue", "show", "retry", "cancel", "status",
                 "purge", "check"):
        assert verb in general, verb
        assert "usage: outboxctl" in scratch.run(*verb.split(), "--help", database="")
    assert "suspend" in scratch.run("tenant", "--help", database="")


def output_that_cannot_be_written_is_a_failure(scratch):
    scratch.ready()
    with open("/dev/full", "wb") as full:
        done = subprocess.run([os.path.join(BUILD, "outboxctl"), "--database", scratch.path, "status"], stdout=full,
                              stderr=subprocess.PIPE, check=False, timeout=LIMIT_S)
    assert done.returncode == 74, done


# ---- tenants ---------------------------------------------------------------------

def tenants_are_added_changed_listed_and_removed(scratch):
    scratch.ready(tls_name="mail.acme.example", max_connections=3)
    scratch.run("tenant", "set", "acme", "--port=465", "--tls", "implicit", "--username", "")
    shown, = scratch.json("tenant", "show", "acme")
    assert (shown["port"], shown["tls"], shown["tls_name"], shown["max_connections"], shown["username"]) == (
        465, "implicit", "mail.acme.example", 3, None)
    scratch.run("tenant", "add", "zeta", "--host", "mail.zeta.example")
    assert [row["name"] for row in scratch.json("tenant", "list")] == ["acme", "zeta"]
    assert len(scratch.run("tenant", "list").splitlines()) == 3
    scratch.run("tenant", "remove", "zeta")
    assert [row["name"] for row in scratch.json("tenant", "list")] == ["acme"]


def tenants_that_log_in_as_one_user_are_shown(scratch):
    scratch.run("init")
    for name, words in (("acme", ["--host", "mail.acme.example", "--username", "me", "--auth", "plain"]),
                        ("beta", ["--host", "MAIL.acme.example", "--username", "ME"]),
                        ("gamma", ["--host", "mail.acme.example", "--username", "me"]),
                        ("port", ["--host", "mail.acme.example", "--username", "me", "--port", "465"]),
                        ("user", ["--host", "mail.acme.example", "--username", "you"]),
                        ("none", ["--host", "mail.acme.example", "--username", "me", "--auth", "none"]),
                        ("open", ["--host", "mail.acme.example"]), ("free", ["--host", "mail.acme.example"])):
        scratch.run("tenant", "add", name, *words)
    shown = {name: scratch.json("tenant", "show", name)[0]["shares_limits_with"]
             for name in ("acme", "beta", "gamma", "port", "user", "none", "open", "free")}
    assert shown == {"acme": "beta, gamma", "beta": "acme, gamma", "gamma": "acme, beta", "port": None,
                     "user": None, "none": None, "open": None, "free": None}, shown
    assert "beta, gamma" in scratch.run("tenant", "show", "acme")
    sharing = {row["tenant"]: row["sharing"] for row in scratch.json("status")}
    assert sharing == dict.fromkeys(shown, None) | {"acme": 2, "beta": 2, "gamma": 2}, sharing
    assert "SHARING" in scratch.run("status")


PROFILES = {
    "m365": {"host": "smtp.office365.com", "port": 587, "auth": "xoauth2", "max_connections": 3,
             "messages_per_minute": 30, "recipients_per_day": 10000},
    "gmail": {"host": "smtp.gmail.com", "port": 465, "auth": "xoauth2", "recipients_per_day": 2000},
    "google-relay": {"host": "smtp-relay.gmail.com", "port": 587, "recipients_per_day": 10000},
    "mailgun": {"host": "smtp.mailgun.org", "port": 587, "auth": "plain"},
    "postmark": {"host": "smtp.postmarkapp.com", "port": 587, "auth": "plain"},
    "fastmail": {"host": "smtp.fastmail.com", "port": 465, "auth": "plain"},
}


def a_profile_sets_what_its_provider_publishes_and_nothing_else(scratch):
    scratch.run("init")
    scratch.run("tenant", "add", "plain", "--host", "127.0.0.1")
    (plain,) = scratch.json("tenant", "show", "plain")
    for name, settings in PROFILES.items():
        scratch.run("tenant", "add", name, "--profile", name)
        (row,) = scratch.json("tenant", "show", name)
        assert row == {**plain, "name": name, **settings, **{k: row[k] for k in row if k.endswith("_at")}}, row
    scratch.run("tenant", "add", "ses", "--profile", "ses", status=64)
    assert "email-smtp.REGION.amazonaws.com" in scratch.errors
    scratch.run("tenant", "add", "ses", "--profile=ses", "--host", "email-smtp.eu-west-1.amazonaws.com")
    (row,) = scratch.json("tenant", "show", "ses")
    assert (row["host"], row["port"]) == ("email-smtp.eu-west-1.amazonaws.com", 465)


def options_beside_a_profile_win_over_it(scratch):
    scratch.run("init")
    scratch.run("tenant", "add", "acme", "--port", "25", "--profile", "m365", "--messages-per-minute", "10",
                "--auth", "auto", "--recipients-per-day", "", "--username", "pbx@acme.example")
    (row,) = scratch.json("tenant", "show", "acme")
    assert (row["host"], row["port"], row["auth"]) == ("smtp.office365.com", 25, "auto")
    assert (row["messages_per_minute"], row["recipients_per_day"], row["max_connections"]) == (10, None, 3)
    assert row["username"] == "pbx@acme.example"
    scratch.run("tenant", "add", "eu", "--profile", "mailgun", "--host", "smtp.eu.mailgun.org")
    (row,) = scratch.json("tenant", "show", "eu")
    assert (row["host"], row["port"]) == ("smtp.eu.mailgun.org", 587)


def a_profile_that_is_none_adds_nothing(scratch):
    scratch.run("init")
    scratch.run("tenant", "add", "acme", "--profile", "hotmail", status=64)
    assert "no such profile" in scratch.errors and "m365" in scratch.errors
    scratch.run("tenant", "add", "acme", "--profile", status=64)
    assert scratch.json("tenant", "list") == []
    scratch.run("tenant", "add", "acme", "--profile", "fastmail")
    scratch.run("tenant", "set", "acme", "--profile", "gmail", status=64)
    (row,) = scratch.json("tenant", "show", "acme")
    assert row["host"] == "smtp.fastmail.com"


def help_and_manual_page_tell_each_profile(scratch):
    source = os.environ.get("OUTBOXD_SOURCE") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
    help_text = scratch.run("tenant", "add", "--help")
    with open(os.path.join(source, "doc/outboxctl.1"), encoding="ascii") as page:
        manual = page.read()
    for name, settings in PROFILES.items():
        place = "{host}:{port}".format(**settings)
        in_help = re.split(r"\n  (?=\w)", help_text.split(f"\n  {name} ")[1])[0]
        in_manual = manual.split(f".It {name} Ta ")[1].split("\n")[0]
        for text in (in_help, in_manual):
            assert place in text, (name, text)
            assert settings.get("auth", "").upper() in text, (name, text)
            for limit in ("messages_per_minute", "recipients_per_day"):
                assert str(settings.get(limit, "")) in text, (name, text)
    for text in (help_text, manual):
        assert "email-smtp.REGION.amazonaws.com" in text


def a_rules_sentence_is_passed_on_with_65(scratch):
    scratch.ready()
    scratch.run("tenant", "add", "acme", "--host", "h.example", status=65)
    scratch.run("tenant", "add", "BIG", "--host", "h.example", status=65)
    assert "name must be" in scratch.errors
    scratch.run("tenant", "set", "acme", "--port", "0", status=65)
    assert scratch.errors == "outboxctl: port must be a whole number from 1 to 65535\n", scratch.errors
    scratch.run("tenant", "set", "acme", "--port", "70000", "--host", "other.example", status=65)
    assert scratch.json("tenant", "show", "acme")[0]["host"] == "127.0.0.1", "all or nothing"


def a_sender_that_is_no_address_is_refused_and_shown(scratch):
    """With the words of those who read it later: the column, the place, the fault; nothing else is changed either."""
    scratch.ready()
    before = scratch.sql("SELECT * FROM outbox_tenant")
    for value, words in (("no address", "from_address, character 1: "), ("Acme <pbx@acme.example", "from_address, character 23: "),
                         ("a@acme.example, b@acme.example", "from_address, character 15: ")):
        for verb in (["set", "acme"], ["add", "beta", "--host", "h.example"]):
            scratch.run("tenant", *verb, "--port", "465", "--from-address", value, status=65)
            assert scratch.errors.startswith("outboxctl: " + words), (value, scratch.errors)
            told = scratch.errors
        # whoever wrote it past us
        scratch.sql("UPDATE outbox_tenant SET from_address = ?", value)
        for more in ([], ["--json"]):
            assert value in scratch.run("tenant", "show", "acme", *more)
            assert scratch.errors == told.replace("outboxctl: ", "outboxctl: warning: ", 1).rstrip("\n") + (
                ": messages without a from_address of their own fail\n"), scratch.errors
        scratch.sql("UPDATE outbox_tenant SET from_address = 'pbx@acme.example'")
    scratch.run("tenant", "set", "acme", "--allowed-senders", "@acme.example, nobody", status=65)
    assert scratch.errors == 'outboxctl: allowed_senders: "nobody" is neither an address nor @ and a domain\n', scratch.errors
    assert scratch.sql("SELECT * FROM outbox_tenant") == before
    scratch.sql("UPDATE outbox_tenant SET allowed_senders = 'nobody'")
    scratch.run("tenant", "show", "acme")
    assert 'warning: allowed_senders: "nobody"' in scratch.errors, scratch.errors
    for columns in (["--from-address", "", "--allowed-senders", ""],
                    ["--from-address", "Zoë <zoe@bücher.example>", "--allowed-senders", "@bücher.example,"]):
        scratch.run("tenant", "set", "acme", *columns)
        scratch.run("tenant", "show", "acme")
        assert scratch.errors == "", scratch.errors


def what_names_no_tenant_ends_with_65(scratch):
    scratch.ready()
    for words in (["show", "x"], ["set", "x", "--port", "25"], ["remove", "x"], ["remove", "x", "--purge"],
                  ["suspend", "x"], ["resume", "x"], ["test", "x"]):
        assert scratch.run("tenant", *words, status=65) == ""
        assert "no tenant x" in scratch.errors
    assert scratch.run("tenant", "show", "x", "--json", status=65) == ""
    scratch.run("retry", "--tenant", "x", status=65)


def a_password_comes_from_standard_input_and_is_never_shown(scratch):
    scratch.ready()
    scratch.run("tenant", "set", "acme", "--password-stdin", "--username", "pbx", stdin=SECRET.encode() + b"\n")
    assert scratch.sql("SELECT username, password FROM outbox_tenant") == [("pbx", SECRET)]
    assert scratch.json("tenant", "show", "acme")[0]["password"] == "(set)"
    assert "(set)" in scratch.run("tenant", "show", "acme")
    assert scratch.json("tenant", "list")[0]["password"] == "(set)"
    for words in (["status"], ["tenant", "list"]):
        scratch.run(*words)
    for stdin in (b"", b"\n", b"a\0b", b"x" * 70000):
        scratch.run("tenant", "set", "acme", "--password-stdin", stdin=stdin, status=65)
    scratch.run("tenant", "set", "acme", "--password-stdin", stdin=SECRET.encode() + b"\nmore", status=65)
    scratch.run("tenant", "set", "acme", "--password-file", "acme.pw")
    assert scratch.json("tenant", "show", "acme")[0]["password_file"] == "acme.pw"
    scratch.run("tenant", "set", "acme", "--password-file", "/etc/shadow", status=65)


def a_password_on_the_command_line_is_refused_and_not_repeated(scratch):
    scratch.ready()
    for words in (["set", "acme", "--password=" + SECRET], ["set", "acme", "--password", SECRET],
                  ["set", "--password", SECRET, "acme"], ["set", "acme", "--password-stdin=" + SECRET],
                  ["add", "new", "--host", "h.example", "--password", SECRET]):
        scratch.run("tenant", *words, status=64)
    scratch.run("tenant", "set", "acme", "--password=" + SECRET, status=64)
    assert "command line" in scratch.errors
    assert scratch.sql("SELECT password FROM outbox_tenant") == [(None,)]


def talk(terminal, until):
    """Reads until the text is there; all that came."""
    heard, deadline = b"", time.monotonic() + LIMIT_S
    while until not in heard:
        left = deadline - time.monotonic()
        ready, _, _ = select.select([terminal], [], [], max(left, 0))
        assert ready, f"silence after {heard}"
        try:
            more = os.read(terminal, 1000)
        except OSError:  # the other side is gone
            more = b""
        assert more, f"ended after {heard}"
        heard += more
    return heard


def prompted(scratch, first, second):
    """Exit status and all that the terminal showed."""
    child, terminal = pty.fork()
    if child == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background job ignores it
        os.execv(os.path.join(BUILD, "outboxctl"),
                 ["outboxctl", "--database", scratch.path, "tenant", "set", "acme", "--password"])
    heard = talk(terminal, b"Password of acme: ")
    os.write(terminal, first)
    if second:
        heard += talk(terminal, b"Once more: ")
        os.write(terminal, second)
    while True:
        try:
            more = os.read(terminal, 1000)
        except OSError:
            break
        if not more:
            break
        heard += more
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    return status, heard.decode()


def a_prompt_asks_twice_without_echo(scratch):
    scratch.ready()
    word = SECRET.encode()
    status, heard = prompted(scratch, word + b"\n", word + b"\n")
    assert os.waitstatus_to_exitcode(status) == 0, heard
    assert SECRET not in heard
    assert scratch.sql("SELECT password FROM outbox_tenant") == [(SECRET,)]
    status, heard = prompted(scratch, word + b"\n", word + b"x\n")
    assert os.waitstatus_to_exitcode(status) == 65 and "differ" in heard and SECRET not in heard, heard
    status, heard = prompted(scratch, word + b"\x03", None)
    assert os.waitstatus_to_exitcode(status) == -2, f"{status}: ended by SIGINT is what the shell must see"
    assert scratch.sql("SELECT password FROM outbox_tenant") == [(SECRET,)]


def without_a_terminal_a_prompt_is_refused(scratch):
    scratch.ready()
    scratch.run("tenant", "set", "acme", "--password", status=64, start_new_session=True)
    assert "--password-stdin" in scratch.errors


def suspend_and_resume(scratch):
    scratch.ready()
    scratch.run("tenant", "suspend", "acme")
    assert scratch.json("status")[0]["state"] == "suspended"
    scratch.run("tenant", "resume", "acme")
    assert scratch.sql("SELECT enabled FROM outbox_tenant") == [(1,)]


def remove_purges_finished_messages_and_only_if_it_can_reach_the_end(scratch):
    scratch.ready()
    ids = [scratch.send("--subject", n) for n in "abc"]
    scratch.settle(ids[0], "sent", "250 ok")
    scratch.settle(ids[1], "failed", "550 no")
    scratch.run("tenant", "remove", "acme", status=65)
    scratch.run("tenant", "remove", "acme", "--purge", status=65)
    assert "1 message that is not finished" in scratch.errors
    assert scratch.sql("SELECT count(*) FROM outbox") == [(3,)]
    scratch.run("cancel", ids[2])
    assert "3 finished messages" in scratch.run("tenant", "remove", "acme", "--purge")
    assert scratch.sql("SELECT (SELECT count(*) FROM outbox), (SELECT count(*) FROM outbox_status), "
                       "(SELECT count(*) FROM outbox_tenant)") == [(0, 0, 0)]


# ---- purge -----------------------------------------------------------------------

def purging(scratch, days=(("sent", 40), ("sent", 2), ("failed", 40), ("cancelled", 40)), tenant="acme"):
    """Messages of that state and age; their ids."""
    ids = []
    for state, age in days:
        number = int(scratch.run("send", "--tenant", tenant, "--to", "bob@example.net", "--text", "-", stdin=b"x"))
        ids.append(number)
        if state == "cancelled":
            scratch.run("cancel", number)
        else:
            scratch.settle(number, state, "said", [("bob@example.net", state, 250, "said")])
        scratch.mark("UPDATE outbox_status SET finished_at_ms = (strftime('%s', 'now') - ?) * 1000 "
                     "WHERE outbox_id = ?", age * 86400, number)
    return ids


def purge_removes_what_is_finished_and_old_enough(scratch):
    scratch.ready()
    ids = purging(scratch)
    kept = [scratch.send("--draft"), scratch.send(), scratch.send(), scratch.send()]
    scratch.settle(kept[2], "deferred", "450 later")
    scratch.settle(kept[3], "uncertain", "who knows")
    scratch.mark("UPDATE outbox_status SET created_at_ms = 1, queued_at_ms = 1 WHERE outbox_id >= ?", kept[0])
    assert "1 sent, 1 failed, 1 cancelled: would be removed" in scratch.run("purge", "--older-than", "30d", "--dry-run")
    assert scratch.sql("SELECT count(*) FROM outbox") == [(8,)]
    assert "0 sent, 1 failed, 0 cancelled: removed" in scratch.run("purge", "--older-than", "30d", "--state", "failed")
    assert "1 sent, 0 failed, 1 cancelled: removed" in scratch.run("purge", "--older-than", "30d")
    assert scratch.sql("SELECT id FROM outbox ORDER BY id") == [(n,) for n in [ids[1]] + list(map(int, kept))]
    assert scratch.sql("SELECT outbox_id FROM outbox_delivery") == [(ids[1],)]
    assert "1 sent, 0 failed, 0 cancelled: removed" in scratch.run("purge", "--older-than", "0")
    assert scratch.sql("SELECT count(*) FROM outbox") == [(4,)]


def purge_keeps_to_one_tenant(scratch):
    scratch.ready()
    scratch.run("tenant", "add", "other", "--host", "mail.example", "--from-address", "o@example.net")
    purging(scratch)
    kept = purging(scratch, tenant="other")
    assert "would be removed" in scratch.run("purge", "--older-than", "1d", "--tenant", "acme", "--dry-run")
    assert "2 sent, 1 failed, 1 cancelled: removed" in scratch.run("purge", "--older-than", "1d", "--tenant", "acme")
    assert scratch.sql("SELECT id FROM outbox") == [(n,) for n in kept]
    scratch.run("purge", "--older-than", "1d", "--tenant", "nobody", status=65)


def purge_of_many_takes_pages_and_leaves_room_for_others(scratch):
    """Somebody who writes all the time, and waits for a lock at most 5 s, is always served."""
    scratch.ready()
    scratch.sql("INSERT INTO outbox (tenant, from_address, to_addresses, body_text) WITH RECURSIVE n (i) AS (SELECT 1 "
                "UNION SELECT i + 1 FROM n WHERE i < 3000) SELECT 'acme', 'a@b', 'c@d', 'x' FROM n")
    scratch.sql("UPDATE outbox_status SET state = 'cancelled'")
    over = threading.Event()
    written = []

    def write():
        while not over.is_set():
            written.append(scratch.sql("INSERT INTO outbox (tenant, from_address, to_addresses) VALUES "
                                       "('acme', 'a@b', 'c@d') RETURNING id"))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert "0 sent, 0 failed, 3000 cancelled: removed" in scratch.run("purge", "--older-than", "0")
    finally:
        over.set()
        writer.join()
    assert written and scratch.sql("SELECT count(*) FROM outbox") == [(len(written),)]


def purge_says_what_was_done_before_an_error(scratch):
    scratch.ready()
    ids = purging(scratch)
    scratch.sql(f"CREATE TRIGGER mine BEFORE DELETE ON outbox WHEN OLD.id = {ids[2]} "
                "BEGIN SELECT RAISE(ABORT, 'needed for the books'); END")
    assert "1 sent, 0 failed, 0 cancelled: removed" in scratch.run("purge", "--older-than", "30d", status=65)
    assert "needed for the books" in scratch.errors


def purge_is_asked_for_in_full(scratch):
    scratch.ready()
    for words in (["purge"], ["purge", "--older-than", "soon"], ["purge", "--older-than", "-1"],
                  ["purge", "--older-than", "1d", "--state", "queued"], ["purge", "--older-than", "1d", "--state", "draft"],
                  ["purge", "--older-than", "1d", "x"]):
        scratch.run(*words, status=64)


# ---- messages --------------------------------------------------------------------

def send_fills_the_columns_and_prints_the_id(scratch):
    scratch.ready()
    text = "Grüße\n\n.\n"
    message = int(scratch.run(
        "send", "--tenant", "acme", "--from", "Acme <a@acme.example>", "--to", "bob@example.net", "--to",
        "Zoë <zoe@example.net>", "--cc", "c@example.net", "--bcc", "d@example.net", "--subject", "Grüße",
        "--reply-to", "r@acme.example", "--priority", "-3", "--reference", "R-1", "--idempotency-key", "k1",
        "--envelope-from", "<>", "--text", "-", stdin=text.encode()))
    assert scratch.sql(
        "SELECT from_address, to_addresses, cc_addresses, bcc_addresses, subject, reply_to, priority, reference, "
        "idempotency_key, envelope_from, body_text, typeof(body_text) FROM outbox WHERE id = ?", message) == [(
            "Acme <a@acme.example>", "bob@example.net, Zoë <zoe@example.net>", "c@example.net", "d@example.net",
            "Grüße", "r@acme.example", -3, "R-1", "k1", "<>", text, "text")]
    scratch.run("send", "--tenant", "acme", "--to", "b@example.net", "--idempotency-key", "k1", status=65)
    assert "idempotency_key" in scratch.errors
    assert scratch.sql("SELECT count(*) FROM outbox") == [(1,)]


def send_asks_for_notifications(scratch):
    scratch.ready()
    message = scratch.send("--dsn-notify", "success,delay", "--dsn-return", "headers")
    shown, = scratch.json("show", str(message))
    assert (shown["dsn_notify"], shown["dsn_return"]) == ("success,delay", "headers"), shown
    shown = scratch.run("show", str(message))
    assert "dsn_notify" in shown and "success,delay" in shown, shown
    for words in (["--dsn-notify", "always"], ["--dsn-return", "all"]):
        scratch.run("send", "--tenant", "acme", "--to", "b@example.net", *words, status=65)
        assert words[0][2:].replace("-", "_") + " must be" in scratch.errors, scratch.errors


def send_takes_a_large_message_octet_by_octet(scratch):
    scratch.ready()
    content = b"To: bob@example.net\r\n\r\n" + b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(300000))
    path = scratch.file("message.eml", content)
    for words, stdin in ((["--message", path], b""), (["--message", "-"], content)):
        message = int(scratch.run("send", "--tenant", "acme", *words, stdin=stdin))
        (stored, kind, state), = scratch.sql(
            "SELECT message, typeof(message), state FROM outbox JOIN outbox_status ON outbox_id = id WHERE id = ?",
            message)
        assert kind == "blob" and stored == content and state == "queued"


def standard_input_is_read_from_where_it_stands(scratch):
    scratch.ready()
    path = scratch.file("two.txt", b"first line\nTo: x@example.net\n\nhello\n")
    with open(path, "rb") as file:
        os.lseek(file.fileno(), 11, os.SEEK_SET)
        done = subprocess.run([os.path.join(BUILD, "outboxctl"), "--database", scratch.path, "send", "--tenant", "acme",
                               "--message", "-"], stdin=file, capture_output=True, check=True, timeout=LIMIT_S)
    assert done.stdout == b"1\n"
    assert scratch.sql("SELECT message FROM outbox") == [(b"To: x@example.net\n\nhello\n",)]


def send_refuses_what_would_fail_later(scratch):
    scratch.ready()
    to = ["--to", "bob@example.net"]
    for words, stdin, status in (
            (["--to", "bob@example.net; eve@example.net"], b"", 65),
            (["--to", "no address"], b"", 65),
            ([*to, "--from", "a@b.example, c@d.example"], b"", 65),
            ([*to, "--text", "-"], b"caf\xe9\n", 65),
            ([*to, "--text", "-"], b"a\0b", 65),
            ([*to, "--subject", "two\nlines"], b"", 65),
            ([*to, "--not-before", str(int(time.time() * 1000))], b"", 65),
            ([*to, "--priority", "10"], b"", 65),
            (["--message", "-"], b"", 65),
            ([*to, "--message", "-", "--subject", "s"], b"To: a@b.example\n\n", 65),
            ([*to, "--text", os.path.join(scratch.folder, "absent")], b"", 66),
            (["--message", os.path.join(scratch.folder, "absent")], b"", 66)):
        assert scratch.run("send", "--tenant", "acme", *words, stdin=stdin, status=status) == ""
    scratch.run("send", "--tenant", "nobody", *to, status=65)
    assert scratch.sql("SELECT count(*) FROM outbox") == [(0,)]


def a_draft_waits_until_retry_queues_it(scratch):
    message = scratch.ready().send("--draft", "--subject", "later")
    assert scratch.json("queue")[0]["state"] == "draft"
    scratch.run("retry", message)
    assert scratch.json("queue")[0]["state"] == "queued"


def queue_lists_what_is_not_finished_page_by_page(scratch):
    scratch.ready()
    scratch.run("tenant", "add", "zeta", "--host", "z.example", "--from-address", "z@z.example")
    scratch.sql("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2100) INSERT INTO outbox "
                "(tenant, to_addresses, subject) SELECT CASE i % 7 WHEN 0 THEN 'zeta' ELSE 'acme' END, "
                "'bob@example.net', 's' || i FROM n")
    scratch.settle(1, "sent", "250 ok")
    scratch.settle(2, "deferred", "451 later")
    assert [row["id"] for row in scratch.json("queue")] == list(range(2, 2101))
    assert len(scratch.run("queue").splitlines()) == 2100
    assert len(scratch.json("queue", "--tenant", "zeta")) == 300
    assert [row["id"] for row in scratch.json("queue", "--state", "sent")] == [1]
    assert [row["id"] for row in scratch.json("queue", "--state", "deferred", "--tenant", "acme")] == [2]
    assert len(scratch.json("queue", "--state", "all")) == 2100
    assert scratch.json("queue", "--tenant", "nobody") == []
    assert "body_text" not in scratch.json("queue", "--state", "sent")[0]


def show_tells_each_recipients_reply(scratch):
    message = scratch.ready().send("--cc", "eve@example.net")
    scratch.settle(message, "failed", "550 5.1.1 no such user", [
        ("bob@example.net", "sent", 250, "queued as 4711"), ("eve@example.net", "failed", 550, "no such user")])
    text = scratch.run("show", message)
    assert "queued as 4711" in text and "eve@example.net  failed" in text and "550" in text, text
    shown, = scratch.json("show", message)
    assert [(r["recipient"], r["state"], r["code"]) for r in shown["recipients"]] == [
        ("bob@example.net", "sent", 250), ("eve@example.net", "failed", 550)]
    assert shown["state"] == "failed"
    assert scratch.run("show", "4711", status=65) == ""


def what_a_server_said_cannot_fool_the_terminal(scratch):
    message = scratch.ready().send()
    evil = "550 \x1b[2J\x07bad\r\nID  TENANT\u009b31m end"
    scratch.settle(message, "deferred", evil, [("bob@example.net", "deferred", 451, evil)])
    for words in (["queue"], ["show", message]):
        text = scratch.run(*words)
        assert not any(c < " " and c != "\n" or "\x7f" <= c <= "\x9f" for c in text), repr(text)
        assert not any(line.startswith("ID  TENANT") for line in text.splitlines()[1:]), text
    assert scratch.json("queue")[0]["result"] == evil, "JSON has its own quoting"


def retry_and_cancel_go_through_all_ids(scratch):
    scratch.ready()
    ids = [scratch.send() for _ in range(4)]
    scratch.settle(ids[0], "failed", "550 no")
    scratch.settle(ids[1], "sent", "250 ok")
    scratch.settle(ids[2], "deferred", "451 later")
    done = scratch.run("retry", ids[0], ids[1], 4711, ids[2], status=65)
    assert done.split() == [str(ids[0]), "queued", str(ids[2]), "queued"]
    assert f"{ids[1]}: state: already sent" in scratch.errors and "no message 4711" in scratch.errors
    assert scratch.run("cancel", ids[0], ids[3]).split() == [str(ids[0]), "cancelled", str(ids[3]), "cancelled"]
    assert scratch.sql("SELECT state FROM outbox_status ORDER BY 1") == [
        ("cancelled",), ("cancelled",), ("queued",), ("sent",)]


def retry_of_a_tenant_queues_what_is_deferred_and_tells_the_daemon(scratch):
    scratch.ready()
    scratch.run("tenant", "add", "zeta", "--host", "z.example", "--from-address", "z@z.example")
    scratch.sql("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1203) INSERT INTO outbox "
                "(tenant, to_addresses) SELECT CASE i WHEN 3 THEN 'zeta' ELSE 'acme' END, 'bob@example.net' FROM n")
    database = sqlite3.connect(scratch.path)
    database.executescript(
        "BEGIN; UPDATE outbox_meta SET value = 1 WHERE key = 'daemon'; UPDATE outbox_status SET state = 'deferred', "
        "due_at = due_at + 3600 WHERE outbox_id > 2; UPDATE outbox_status SET state = 'failed' WHERE outbox_id = 1; "
        "UPDATE outbox_meta SET value = 0 WHERE key = 'daemon'; DELETE FROM outbox_change; COMMIT")
    database.close()
    assert scratch.run("retry", "--tenant", "acme").startswith("acme: 1200 deferred messages")
    assert scratch.sql("SELECT tenant, state, count(*), max(due_at) < strftime('%s') + 60 FROM outbox_status "
                       "GROUP BY 1, 2 ORDER BY 1, 2") == [
        ("acme", "failed", 1, 1), ("acme", "queued", 1201, 1), ("zeta", "deferred", 1, 0)]
    assert scratch.sql("SELECT key FROM outbox_change WHERE kind = 'retry'") == [("acme",)]


def status_counts_what_waits(scratch):
    scratch.ready()
    scratch.run("tenant", "add", "zeta", "--host", "z.example")
    ids = [scratch.send() for _ in range(3)]
    scratch.settle(ids[0], "deferred", "451 later")
    scratch.settle(ids[1], "uncertain", "no reply", [("bob@example.net", "uncertain", 0, "no reply")])
    rows = {row["tenant"]: row for row in scratch.json("status")}
    assert [(rows[t]["queued"], rows[t]["deferred"], rows[t]["uncertain"]) for t in ("acme", "zeta")] == [
        (1, 1, 1), (0, 0, 0)]
    assert abs(rows["acme"]["oldest_due_at"] - time.time()) < 60 and rows["zeta"]["oldest_due_at"] is None
    text = scratch.run("status").splitlines()
    assert text[0].startswith("TENANT") and text[1].startswith("acme") and text[2].startswith("zeta")


# ---- tenant test -----------------------------------------------------------------

class Server(threading.Thread):
    """Answers one connection; what it heard is in `lines`."""

    def __init__(self, auth_reply="235 2.7.0 welcome"):
        super().__init__(daemon=True)
        self.auth_reply = auth_reply
        self.lines = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.settimeout(LIMIT_S)
        self.port = self.socket.getsockname()[1]
        self.start()

    def run(self):
        connection, _ = self.socket.accept()
        connection.settimeout(LIMIT_S)
        with connection, connection.makefile("rwb") as stream:
            self.say(stream, "220 mail.example ESMTP")
            for line in stream:
                self.lines.append(line.decode().rstrip())
                verb = self.lines[-1].split(" ")[0].upper()
                if verb == "QUIT":
                    self.say(stream, "221 bye")
                    return
                self.say(stream, {"EHLO": "250-mail.example\r\n250 AUTH PLAIN", "AUTH": self.auth_reply}.get(
                    verb, "502 5.5.1 what?"))

    @staticmethod
    def say(stream, text):
        stream.write(text.encode() + b"\r\n")
        stream.flush()


def settings_for(scratch, server):
    scratch.ready(port=server.port, tls="none", auth="plain", username="pbx")
    scratch.sql("DELETE FROM outbox_change")


def tenant_test_logs_in_sends_nothing_and_ends_the_backoff(scratch):
    server = Server()
    settings_for(scratch, server)
    scratch.run("tenant", "set", "acme", "--password-stdin", stdin=SECRET.encode())
    scratch.sql("DELETE FROM outbox_change")
    text = scratch.run("tenant", "test", "acme")
    server.join(LIMIT_S)
    assert "connecting: ok" in text and "logging in: ok" in text and "is ready" in text, text
    assert [line.split(" ")[0] for line in server.lines] == ["EHLO", "AUTH", "QUIT"], server.lines
    assert scratch.sql("SELECT kind, key FROM outbox_change") == [("retry", "acme")]


def tenant_test_takes_the_password_from_secrets_dir(scratch):
    server = Server()
    settings_for(scratch, server)
    scratch.run("tenant", "set", "acme", "--password-file", "acme.pw")
    scratch.run("tenant", "test", "acme", status=64)
    assert "--secrets-dir" in scratch.errors
    scratch.run("tenant", "test", "acme", "--secrets-dir", scratch.folder, status=66)
    scratch.file("acme.pw", SECRET.encode() + b"\n")
    scratch.run("tenant", "test", "acme", "--secrets-dir", scratch.folder)
    server.join(LIMIT_S)
    assert server.lines[1].startswith("AUTH PLAIN "), server.lines
    assert base64.b64decode(server.lines[1].split(" ")[2]).decode().split("\0") == ["", "pbx", SECRET]


def tenant_test_that_fails_says_where_and_keeps_the_backoff(scratch):
    server = Server(auth_reply="535 5.7.8 no")
    settings_for(scratch, server)
    scratch.run("tenant", "set", "acme", "--password-stdin", stdin=SECRET.encode())
    scratch.sql("DELETE FROM outbox_change")
    text = scratch.run("tenant", "test", "acme", status=69)
    server.join(LIMIT_S)
    assert "logging in: failed" in text and "535" in scratch.errors, text + scratch.errors
    unused = socket.create_server(("127.0.0.1", 0))
    port = unused.getsockname()[1]
    unused.close()
    scratch.run("tenant", "set", "acme", "--port", port)
    scratch.sql("DELETE FROM outbox_change")
    assert "connecting: failed" in scratch.run("tenant", "test", "acme", status=69)
    assert scratch.sql("SELECT count(*) FROM outbox_change") == [(0,)]


def main(found):
    tests = [test for name, test in found.items() if callable(test) and getattr(test, "__code__", None)
             and test.__code__.co_varnames[:1] == ("scratch",) and test.__code__.co_argcount == 1]
    wanted = sys.argv[1:]
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for test in tests:
        if wanted and test.__name__ not in wanted:
            continue
        with tempfile.TemporaryDirectory(prefix="outboxctl.") as folder:
            try:
                test(Scratch(folder))
                verdict, words = "passed", "ok"
            except Skipped as why:
                verdict, words = "skipped", f"ok # skipped: {why}"
            except Exception:  # each test is told, whatever it raised
                traceback.print_exc(file=sys.stdout)
                verdict, words = "failed", "not ok"
        counts[verdict] += 1
        print(words, test.__name__.replace("_", " "), flush=True)
    print(", ".join(f"{number} {verdict}" for verdict, number in counts.items()))
    return 1 if counts["failed"] or not counts["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(globals()))
