#!/usr/bin/python3
"""secrets_test.py: passwords that outboxctl seals, opens, and seals anew.

As outboxctl_test.py, whose scratch databases these tests use: no output of any
of them shows the password.
"""
import base64
import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import threading

sys.dont_write_bytecode = True      # nothing is left in the source's folder
import outboxctl_test
from outboxctl_test import SECRET, LIMIT_S

SEALED = re.compile(r"\{sealed:2:([0-9a-f]{16})\}[A-Za-z0-9+/]+=*")


def keys(bed, name="keys"):
    path = os.path.join(bed.folder, name)
    bed.run("secrets", "keygen", path, database="")
    return ["--secrets-key-file", path]


def with_password(bed, *more):
    bed.ready()
    bed.run("tenant", "set", "acme", "--password-stdin", *more, stdin=SECRET.encode())


def password(bed, tenant="acme"):
    return bed.sql("SELECT password FROM outbox_tenant WHERE name = ?", tenant)[0][0]


def key_of(bed, tenant="acme"):
    return SEALED.fullmatch(password(bed, tenant)).group(1)


def rows(bed, *words):
    return {row["tenant"]: (row["state"], row["key"], row["trouble"])
            for row in bed.json("secrets", "status", *words) if not row["file"]}


def opens(bed, *words):
    """What the password opens to, by opening all."""
    bed.run("secrets", "unseal", *words)
    return password(bed)


def keygen_makes_a_file_of_its_owner_and_overwrites_none(scratch):
    path = keys(scratch)[1]
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o400
    with open(path) as stream:
        text = stream.read()
    assert len(base64.b64decode(text)) == 32 and text.endswith("\n")
    scratch.run("secrets", "keygen", path, database="", status=73)
    with open(path) as stream:
        assert stream.read() == text
    other = scratch.run("secrets", "keygen", database="")
    assert len(base64.b64decode(other)) == 32 and other != text


def seal_seals_what_is_not_and_nothing_twice(scratch):
    key = keys(scratch)
    with_password(scratch)
    scratch.run("tenant", "add", "bare", "--host", "mail.bare.example")
    assert rows(scratch)["acme"] == ("unsealed", None, None)
    assert scratch.run("secrets", "seal", *key) == "1 password sealed\n"
    sealed = password(scratch)
    assert SEALED.fullmatch(sealed), sealed
    assert scratch.run("secrets", "seal", *key) == "0 passwords sealed\n"
    assert password(scratch) == sealed
    assert rows(scratch, *key) == {"acme": ("sealed", key_of(scratch), None), "bare": ("none", None, None)}
    assert '(sealed)' in scratch.run("tenant", "show", "acme")
    assert opens(scratch, *key) == SECRET


def a_password_is_sealed_at_once_where_keys_are_named(scratch):
    key = keys(scratch)
    with_password(scratch, *key)
    first = password(scratch)
    assert SEALED.fullmatch(first), first
    scratch.run("tenant", "set", "acme", "--password-stdin", "--port", 2525, stdin=SECRET.encode(),
                environment={"OUTBOXD_SECRETS_KEY_FILE": key[1]})
    assert SEALED.fullmatch(password(scratch)) and password(scratch) != first
    scratch.run("tenant", "add", "more", "--host", "mail.more.example", "--password-stdin", *key, stdin=SECRET.encode())
    assert SEALED.fullmatch(password(scratch, "more"))
    assert [row[2] for row in rows(scratch, *key).values()] == [None, None]
    assert opens(scratch, *key) == SECRET


def a_change_of_the_server_seals_anew_or_is_refused(scratch):
    key = keys(scratch)
    with_password(scratch, *key)
    before = password(scratch)
    for setting in (["--host", "mail.other.example"], ["--port", 465], ["--tls", "implicit"], ["--tls-verify", "none"]):
        scratch.run("tenant", "set", "acme", *setting, status=78)
        assert "--secrets-key-file" in scratch.errors and "sealed for its host" in scratch.errors
    assert password(scratch) == before and scratch.sql("SELECT host FROM outbox_tenant") == [("127.0.0.1",)]
    scratch.run("tenant", "set", "acme", "--max-age", 3600)         # nothing that it is bound to
    scratch.run("tenant", "set", "acme", "--tls", "starttls")       # what NULL means
    scratch.run("tenant", "suspend", "acme", environment={"OUTBOXD_SECRETS_KEY_FILE": "/nonexistent"})
    assert password(scratch) == before
    scratch.run("tenant", "set", "acme", "--host", "mail.other.example", "--port", 465, "--tls", "implicit", *key)
    assert password(scratch) != before and rows(scratch, *key)["acme"][2] is None
    # a new password is a way out too, and says what it costs
    scratch.run("tenant", "set", "acme", "--host", "mail.third.example", "--password-stdin", stdin=SECRET.encode())
    assert "the new one is not" in scratch.errors and password(scratch) == SECRET


def who_rewrites_the_host_by_sql_gets_nothing(scratch):
    key = keys(scratch)
    with_password(scratch, *key)
    sealed = password(scratch)
    scratch.sql("UPDATE outbox_tenant SET host = 'mail.evil.example'")
    assert "sealed for another host" in rows(scratch, *key)["acme"][2]
    # neither outboxctl nor a reseal helps them
    scratch.run("tenant", "set", "acme", "--port", 2525, *key, status=78)
    assert "sealed for another host" in scratch.errors
    assert "1 left as it is" in scratch.run("secrets", "unseal", *key, status=65)
    assert password(scratch) == sealed
    # and who undoes it has the old one
    scratch.run("tenant", "set", "acme", "--host", "127.0.0.1", *key)
    assert password(scratch) == sealed and opens(scratch, *key) == SECRET


def a_sealed_password_serves_no_other_tenant(scratch):
    key = keys(scratch)
    with_password(scratch, *key)
    scratch.run("tenant", "add", "evil", "--host", "127.0.0.1")
    scratch.sql("UPDATE outbox_tenant SET password = (SELECT password FROM outbox_tenant WHERE name = 'acme') "
                "WHERE name = 'evil'")
    assert rows(scratch, *key)["acme"][2] is None and rows(scratch, *key)["evil"][2]


def rekey_opens_with_any_and_seals_with_the_first(scratch):
    old, new = keys(scratch, "old"), keys(scratch, "new")
    with_password(scratch, *old)
    first = key_of(scratch)
    scratch.run("secrets", "rekey", *new, status=65)                # the old one is not there
    assert first in scratch.errors and key_of(scratch) == first
    texts = b"".join(open(path, "rb").read() for path in (new[1], old[1]))
    both = ["--secrets-key-file", scratch.file("both", texts)]
    os.chmod(both[1], 0o600)
    assert scratch.run("secrets", "rekey", *both) == "1 password sealed anew\n"
    assert key_of(scratch) != first
    assert scratch.run("secrets", "rekey", *both) == "0 passwords sealed anew\n"
    assert opens(scratch, *new) == SECRET


def what_version_1_sealed_opens_and_is_brought_to_version_2(scratch):
    path = scratch.file("keys", b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n")
    os.chmod(path, 0o600)
    key = ["--secrets-key-file", path]
    scratch.ready(port=587)
    scratch.sql("UPDATE outbox_tenant SET password = '{sealed:1:1d190d88b3351e63}CQoLDA0ODxAREhMUAQFk/tO6LdY91Q3F0wf+B2n4/CjgLW5ADCVY' "
                "WHERE name = 'acme'")
    status, = scratch.json("secrets", "status", *key)
    assert (status["state"], status["version"], status["trouble"]) == ("sealed", "1", None)
    assert "1 value of version 1" in scratch.run("secrets", "status", *key) + scratch.errors
    assert scratch.run("secrets", "seal", *key) == "0 passwords sealed\n"
    assert scratch.run("secrets", "rekey", *key) == "1 password sealed anew\n"
    status, = scratch.json("secrets", "status", *key)
    assert (status["state"], status["version"], status["trouble"]) == ("sealed", "2", None)
    assert "version 1" not in scratch.run("secrets", "status", *key) + scratch.errors
    assert scratch.run("secrets", "rekey", *key) == "0 passwords sealed anew\n"
    assert opens(scratch, *key) == SECRET


def one_that_does_not_open_keeps_no_other_from_its_new_key(scratch):
    old, new = keys(scratch, "old"), keys(scratch, "new")
    with_password(scratch, *old)
    scratch.run("tenant", "add", "bad", "--host", "mail.bad.example", "--password-stdin", *old, stdin=b"other")
    scratch.sql("UPDATE outbox_tenant SET host = 'mail.evil.example' WHERE name = 'bad'")
    texts = b"".join(open(path, "rb").read() for path in (new[1], old[1]))
    both = ["--secrets-key-file", scratch.file("both", texts)]
    os.chmod(both[1], 0o600)
    assert scratch.run("secrets", "rekey", *both, status=65) == "1 password sealed anew, 1 left as it is\n"
    assert "tenant bad" in scratch.errors
    assert key_of(scratch, "bad") != key_of(scratch)


def a_password_that_begins_as_a_sealed_one_is_kept_sealed(scratch):
    key = keys(scratch)
    scratch.ready()
    scratch.run("tenant", "set", "acme", "--password-stdin", stdin=b"{sealed:odd", status=78)
    assert password(scratch) is None
    scratch.run("tenant", "set", "acme", "--password-stdin", *key, stdin=b"{sealed:odd")
    assert rows(scratch, *key)["acme"][0::2] == ("sealed", None)
    assert "1 left as it is" in scratch.run("secrets", "unseal", *key, status=65)


def keys_that_others_can_read_are_refused(scratch):
    key = keys(scratch)
    with_password(scratch)
    os.chmod(key[1], 0o440)
    scratch.run("secrets", "seal", *key, status=77)
    assert "others than its owner" in scratch.errors and password(scratch) == SECRET
    scratch.run("secrets", "seal", status=64)
    scratch.run("secrets", "seal", "--secrets-key-file", key[1] + ".none", status=66)


def tenant_test_opens_a_sealed_password(scratch):
    key = keys(scratch)
    server = outboxctl_test.Server()
    scratch.ready(port=server.port, tls="none", auth="plain", username="pbx")
    scratch.run("tenant", "set", "acme", "--password-stdin", *key, stdin=SECRET.encode())
    scratch.run("tenant", "test", "acme", status=78)
    assert "no secrets_key_file" in scratch.errors and not server.lines
    assert "logging in: ok" in scratch.run("tenant", "test", "acme", *key)
    server.join(LIMIT_S)
    said = [line.split(" ")[2] for line in server.lines if line.startswith("AUTH PLAIN")]
    assert base64.b64decode(said[0]) == b"\0pbx\0" + SECRET.encode()


# ---- files ---------------------------------------------------------------------------------

PEM = SECRET + "\nsecond line\n"


class Files:
    """secrets_dir of the tenant acme: a password, a key in PEM that is its certificate too, and OAuth2's."""

    def __init__(self, bed, **settings):
        self.bed = bed
        self.folder = os.path.join(bed.folder, "secrets")
        os.mkdir(self.folder)
        self.key = keys(bed)
        self.more = [*self.key, "--secrets-dir", self.folder]
        for name, text in (("pw", SECRET + "\n"), ("pem", PEM), ("client", SECRET), ("refresh", SECRET)):
            self.write(name, text)
        bed.ready(password_file="pw", tls_cert_file="pem", tls_key_file="pem", oauth_client_secret_file="client",
                  oauth_refresh_token_file="refresh", oauth_token_url="https://id.example/token", **settings)

    def write(self, name, text, mode=0o640):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="ascii") as stream:
            stream.write(text)
        os.chmod(path, mode)

    def read(self, name):
        with open(os.path.join(self.folder, name), encoding="ascii") as stream:
            return stream.read()

    def texts(self):
        return {name: self.read(name) for name in sorted(os.listdir(self.folder))}

    def status(self, *words):
        return {row["file"]: (row["state"], row["trouble"])
                for row in self.bed.json("secrets", "status", *(words or self.more)) if row["file"]}


def files_are_sealed_sealed_anew_and_opened(scratch):
    files = Files(scratch)
    assert files.status("--secrets-dir", files.folder) == {
        name: ("unsealed", None) for name in ("pw", "pem", "client", "refresh")}
    plain = files.texts()
    assert scratch.run("secrets", "seal", *files.more) == "0 passwords and 4 files sealed\n"
    sealed = files.texts()
    assert set(sealed) == set(plain)                # nothing is left beside them
    for name, text in sealed.items():
        assert SEALED.fullmatch(text.rstrip("\n")), (name, text)
        assert stat.S_IMODE(os.stat(os.path.join(files.folder, name)).st_mode) == 0o640
    assert scratch.run("secrets", "seal", *files.more) == "0 passwords and 0 files sealed\n"
    assert files.texts() == sealed
    assert files.status() == {name: ("sealed", None) for name in plain}
    other = keys(scratch, "other")
    texts = b"".join(open(path, "rb").read() for path in (other[1], files.key[1]))
    both = scratch.file("both", texts)
    os.chmod(both, 0o600)
    scratch.run("secrets", "rekey", "--secrets-key-file", both, "--secrets-dir", files.folder)
    anew = files.texts()
    assert all(anew[name] != sealed[name] for name in anew)
    assert "4 left as they are" in scratch.run("secrets", "unseal", *files.more, status=65)
    assert files.texts() == anew
    scratch.run("secrets", "unseal", *other, "--secrets-dir", files.folder)
    assert {name: text.rstrip("\n") for name, text in files.texts().items()} == {
        name: text.rstrip("\n") for name, text in plain.items()}


def a_file_that_is_absent_or_shown_to_two_servers_is_left_as_it_is(scratch):
    files = Files(scratch)
    os.unlink(os.path.join(files.folder, "client"))
    for name, host in (("same", "127.0.0.1"), ("evil", "mail.evil.example")):
        scratch.run("tenant", "add", name, "--host", host, "--password-file", "pw",
                    "--tls-cert-file", "pem", "--tls-key-file", "pem")
    done = scratch.run("secrets", "seal", *files.more, status=65)
    # pw by each of three, client by one
    assert done == "0 passwords and 2 files sealed, 4 left as they are, 3 unsealed\n", done
    assert "pw is password_file of tenant acme and password_file of tenant evil" in scratch.errors
    assert "oauth_client_secret_file = client cannot be read" in scratch.errors
    assert files.read("pw") == SECRET + "\n"
    scratch.run("tenant", "set", "evil", "--password-file", "evil")
    files.write("evil", "another")
    files.write("client", SECRET)
    assert scratch.run("secrets", "seal", *files.more) == "0 passwords and 3 files sealed\n"
    assert scratch.run("secrets", "rekey", *files.more) == "0 passwords and 0 files sealed anew\n"
    assert [row["trouble"] for row in scratch.json("secrets", "status", *files.more)] == [None] * 11
    # who names another one's file has nothing of it
    scratch.sql("UPDATE outbox_tenant SET password_file = 'pw' WHERE name = 'evil'")
    troubles = [row["trouble"] for row in scratch.json("secrets", "status", *files.more)
                if row["tenant"] == "evil" and row["file"] == "pw"]
    assert "was sealed for another name, server" in troubles[0], troubles


def a_change_of_the_tenant_seals_its_files_anew_or_is_refused(scratch):
    files = Files(scratch)
    scratch.run("secrets", "seal", *files.more)
    before = files.texts()
    scratch.run("tenant", "set", "acme", "--oauth-token-url", "https://id.example/two", *files.key, status=78)
    assert "--secrets-dir" in scratch.errors
    scratch.run("tenant", "set", "acme", "--oauth-token-url", "https://id.example/two", "--secrets-dir", files.folder,
                status=78)
    assert "--secrets-key-file" in scratch.errors and files.texts() == before
    # in one step: what the server is shown, and what only the endpoint is
    scratch.run("tenant", "set", "acme", "--oauth-token-url", "https://id.example/two", *files.more)
    after = files.texts()
    assert {name for name in after if after[name] != before[name]} == {"client", "refresh"}
    scratch.run("tenant", "set", "acme", "--host", "mail.other.example", *files.more)
    last = files.texts()
    assert {name for name in last if last[name] != after[name]} == {"client", "refresh", "pw"}
    assert files.status() == {name: ("sealed", None) for name in last}
    scratch.run("tenant", "set", "acme", "--max-age", 3600, *files.key)
    # broken off between the files and the row: the same again is enough
    scratch.sql("UPDATE outbox_tenant SET host = '127.0.0.1'")
    assert "another name, server" in files.status()["pw"][1]
    scratch.run("tenant", "set", "acme", "--host", "mail.other.example", *files.more)
    assert files.texts() == last and files.status()["pw"] == ("sealed", None)
    # one that does not open leaves all as they are
    sealed = files.read("refresh")
    files.write("refresh", sealed[:60] + ("A" if sealed[60] != "A" else "B") + sealed[61:])
    last = files.texts()
    scratch.run("tenant", "set", "acme", "--host", "mail.third.example", *files.more, status=78)
    assert files.texts() == last and scratch.sql("SELECT host FROM outbox_tenant") == [("mail.other.example",)]


def a_change_of_one_of_two_that_share_a_file_is_refused(scratch):
    files = Files(scratch)
    scratch.run("tenant", "add", "same", "--host", "127.0.0.1", "--password-file", "pw")
    scratch.run("secrets", "seal", *files.more)
    before = files.texts()
    scratch.run("tenant", "set", "acme", "--host", "mail.other.example", *files.more, status=78)
    assert "pw is password_file of tenant acme and password_file of tenant same" in scratch.errors
    assert files.texts() == before
    assert {row["trouble"] for row in scratch.json("secrets", "status", *files.more)} == {None}


STEPS = ["open", "write", "write", "sync", "rename", "sync"]      # one file is put in another's place


class Killed(Files):
    """The file pw of the tenant acme, and an outboxctl that dies when it has done so many steps."""

    def __init__(self, bed):
        # pylint: disable=super-init-not-called
        self.bed = bed
        self.folder = os.path.join(bed.folder, "secrets")
        os.mkdir(self.folder)
        key, old = keys(bed), keys(bed, "old")
        both = bed.file("both", b"".join(open(path[1], "rb").read() for path in (key, old)))
        os.chmod(both, 0o600)
        self.old, self.more = ([*words, "--secrets-dir", self.folder]
                               for words in (old, ["--secrets-key-file", both]))
        bed.ready(password_file="pw")
        self.contents = {"plain": SECRET + "\n"}
        for name, words in (("old", self.old), ("sealed", self.more)):
            self.write("pw", SECRET)
            bed.run("secrets", "seal", *words)
            self.contents[name] = self.read("pw")

    def dies(self, steps, *words):
        """After so many of STEPS; all that is in the folder, by name."""
        log, token = (os.path.join(self.bed.folder, name) for name in ("steps", "token"))
        for path in (log, token):
            open(path, "wb").close()
        died = subprocess.run(
            [os.path.join(outboxctl_test.BUILD, "outboxctl"), "--database", self.bed.path, *words, *self.more],
            capture_output=True, timeout=LIMIT_S, check=False, env=dict(
                os.environ, LD_PRELOAD=os.path.join(outboxctl_test.BUILD, "tests/daemon/step.so"),
                STEP_DIR=self.folder, STEP_LOG=log, STEP_TOKEN=token, STEP_AT=str(steps),
                ASAN_OPTIONS="verify_asan_link_order=0"))
        assert died.returncode == -signal.SIGKILL, died
        with open(log, encoding="ascii") as stream:
            assert stream.read().split() == STEPS[:steps]
        return {name: self.read(name) for name in os.listdir(self.folder)}


def a_kill_at_any_step_leaves_the_one_file_or_the_other(scratch):
    """Whole; nothing of the secret is beside it but where it is unsealed; and when outboxctl is run again nothing
    at all, although it may have nothing else to do."""
    files = Killed(scratch)
    moved = ["tenant", "set", "acme", "--host", "mail.other.example"]
    for before, words, again, steps in (("plain", ["secrets", "seal"], ["secrets", "seal"], range(1, 7)),
                                        ("sealed", ["secrets", "unseal"], ["secrets", "seal"], range(1, 7)),
                                        ("old", ["secrets", "rekey"], ["secrets", "rekey"], (4, 5)),
                                        ("sealed", moved, moved, (4, 5))):
        for number in steps:
            scratch.sql("UPDATE outbox_tenant SET host = '127.0.0.1'")
            files.write("pw", files.contents[before])
            left = files.dies(number, *words)
            renamed = number > STEPS.index("rename")
            assert (left["pw"] == files.contents[before]) == (not renamed), (words, number)
            assert set(left) == ({"pw"} if renamed else {"pw", ".pw.new"}), (words, number)
            if words[1] == "unseal":
                assert not renamed or left["pw"] == files.contents["plain"]
            else:
                assert not renamed or SEALED.fullmatch(left["pw"].rstrip("\n"))
                assert SECRET not in left.get(".pw.new", "")
            scratch.run(*again, *files.more)
            assert os.listdir(files.folder) == ["pw"], (words, number)
            assert files.status() == {"pw": ("sealed", None)} and SECRET not in files.read("pw")
    assert scratch.run("secrets", "unseal", *files.more) == "0 passwords and 1 file unsealed\n"
    assert files.read("pw") == files.contents["plain"]


# ---- what a copied database reveals ------------------------------------------------------

def found(bed):
    """In which of the database's files the password's octets are."""
    files = [name for name in os.listdir(bed.folder) if name.startswith("outbox.db")]
    return {name for name in files if SECRET.encode() in
            open(os.path.join(bed.folder, name), "rb").read()}


def a_copied_database_reveals_the_password_until_it_is_sealed(scratch):
    key = keys(scratch)
    scratch.run("init")
    other = sqlite3.connect(scratch.path)       # while somebody is there the log keeps what was written
    other.execute("SELECT * FROM outbox_tenant").fetchall()
    with_password(scratch)
    # a second copy, which a free page keeps: its writer does not overwrite what it deletes
    writer = sqlite3.connect(scratch.path, isolation_level=None)
    writer.execute("PRAGMA secure_delete = OFF")
    writer.execute("CREATE TABLE notes (text)")
    writer.execute("INSERT INTO notes VALUES (?)", (SECRET * 2000,))
    writer.execute("DROP TABLE notes")
    writer.execute("PRAGMA wal_checkpoint")
    writer.close()
    assert {"outbox.db", "outbox.db-wal"} <= found(scratch), found(scratch)
    scratch.run("secrets", "seal", "--vacuum", *key)
    assert found(scratch) == set(), found(scratch)
    assert os.path.getsize(scratch.path + "-wal") == 0
    # from now on it is never written, whatever is changed
    scratch.run("tenant", "set", "acme", "--password-stdin", "--port", 2525, *key, stdin=SECRET.encode())
    scratch.run("tenant", "set", "acme", "--host", "mail.other.example", *key)
    scratch.run("secrets", "rekey", *key)
    assert found(scratch) == set(), found(scratch)
    assert opens(scratch, *key) == SECRET and found(scratch)
    other.close()


def without_a_free_page_a_vacuum_is_not_needed(scratch):
    key = keys(scratch)
    with_password(scratch)
    assert found(scratch)
    scratch.run("secrets", "seal", *key)
    assert found(scratch) == set(), found(scratch)


def a_reader_that_holds_the_log_is_told(scratch):
    key = keys(scratch)
    scratch.run("init")
    reader = sqlite3.connect(scratch.path, isolation_level=None)
    reader.execute("SELECT * FROM outbox_tenant").fetchall()
    with_password(scratch)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM outbox_tenant").fetchall()
    scratch.run("secrets", "seal", *key, status=75)
    assert "write-ahead log is in use" in scratch.errors and SEALED.fullmatch(password(scratch))
    assert "outbox.db-wal" in found(scratch)
    reader.execute("COMMIT")
    reader.close()
    scratch.run("secrets", "seal", *key)
    assert found(scratch) == set()


def a_checkpoint_of_somebody_else_is_waited_for(scratch):
    """SQLite refuses a second one at once, whatever the time limit."""
    key = keys(scratch)
    with_password(scratch)
    ended = threading.Event()

    def checkpoint():
        other = sqlite3.connect(scratch.path, isolation_level=None, timeout=30)
        while not ended.wait(0.002):
            other.execute("UPDATE outbox_tenant SET max_age = 3600")
            other.execute("PRAGMA wal_checkpoint").fetchall()
        other.close()
    thread = threading.Thread(target=checkpoint, daemon=True)
    thread.start()
    try:
        for _ in range(10):
            scratch.run("secrets", "seal", *key)
    finally:
        ended.set()
        thread.join(LIMIT_S)


if __name__ == "__main__":
    sys.exit(outboxctl_test.main(globals()))
