#!/usr/bin/python3
"""check_test.py: what outboxctl check finds, each finding provoked.

As outboxctl_test.py, whose scratch databases these tests use: no output of any
of them shows the password. The last test knows what the others have seen.
"""
import hashlib
import json
import os
import re
import shutil
import socket
import sqlite3
import stat
import subprocess
import sys
import time

sys.dont_write_bytecode = True      # nothing is left in the source's folder
import outboxctl_test
from outboxctl_test import SECRET, LIMIT_S, Skipped

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SEEN = set()
SKIPPED = []
UNSEALED = ("daemon.none", "secret.unsealed")


def check(bed, *words, status=0, ignore=("daemon.none",), **more):
    """The findings that are none of good news: (level, check, tenant) to their words."""
    text = bed.run("check", *words, "--json", status=status, **more)
    rows = json.loads(text)
    for row in rows:
        assert set(row) == {"level", "check", "database", "tenant", "finding", "advice"}, row
        SEEN.add(row["check"])
    assert status == (78 if any(row["level"] == "error" for row in rows) else 0), rows
    return {(row["level"], row["check"], row["tenant"]): row["finding"] + "; " + (row["advice"] or "")
            for row in rows if row["level"] != "ok" and row["check"] not in ignore}


TEMPLATE = {}


def ready(bed, **columns):
    """As Scratch.ready(), without running outboxctl each time. A connection stays open, so that no -wal is taken away."""
    if not TEMPLATE:
        bed.ready()
        checkpoint(bed)
        with open(bed.path, "rb") as stream:
            TEMPLATE["octets"] = stream.read()
    with open(bed.path, "wb") as out:
        out.write(TEMPLATE["octets"])
    os.chmod(bed.path, 0o660)
    bed.keeper = sqlite3.connect(bed.path, isolation_level=None, timeout=5)
    bed.keeper.execute("SELECT count(*) FROM outbox").fetchall()
    return change(bed, **columns) if columns else bed


def change(bed, name="acme", **columns):
    bed.keeper.execute(f"UPDATE outbox_tenant SET {', '.join(column + ' = ?' for column in columns)} WHERE name = ?",
                       [*columns.values(), name])
    return bed


def with_wal(bed):
    """sqlite3 has taken it away: that is no finding of these tests."""
    if not os.path.exists(bed.path + "-wal"):
        bed.run("status")


def only(bed, level, name, *words, tenant=None, **more):
    """The words of the one finding that there is."""
    with_wal(bed)
    found = check(bed, *words, status=78 if level == "error" else 0, **more)
    assert list(found) == [(level, name, tenant)], found
    return found[(level, name, tenant)]


def none(bed, *words, **more):
    with_wal(bed)
    found = check(bed, *words, **more)
    assert found == {}, found


def configuration(bed, *lines, **settings):
    """A configuration with these settings, folders made; the words that name it."""
    for name in ("secrets_dir", "command_dir"):
        folder = settings.setdefault(name, os.path.join(bed.folder, name))
        if not os.path.exists(folder):
            os.mkdir(folder, 0o755)
    text = "".join(f'{name} = "{value}"\n' for name, value in settings.items()) + "".join(line + "\n" for line in lines)
    return ["--config", bed.file("outboxd.conf", text.encode())]


def secret(bed, name, content=SECRET.encode(), mode=0o600):
    path = os.path.join(bed.folder, "secrets_dir", name)
    with open(path, "wb") as out:
        out.write(content)
    os.chmod(path, mode)
    return path


def keys(bed, name="keys"):
    path = os.path.join(bed.folder, name)
    bed.run("secrets", "keygen", path, database="")
    return path


def password(bed, *words):
    """Sealed where words name keys."""
    if words:
        bed.run("tenant", "set", "acme", "--username", "pbx", "--password-stdin", *words, stdin=SECRET.encode())
    else:
        bed.sql("UPDATE outbox_tenant SET username = 'pbx', password = ? WHERE name = 'acme'", SECRET)


def checkpoint(bed):
    assert bed.sql("PRAGMA wal_checkpoint(TRUNCATE)")[0][0] == 0


# ---- nothing --------------------------------------------------------------------------

def good(bed):
    """An installation in which all is right, with one of everything; the words that name its configuration."""
    where = configuration(bed, secrets_key_file=keys(bed), log_dir=bed.folder)
    bed.ready(tls="starttls", tls_ca_file=bed.file("ca.pem", certificate("ca.example", 365)[0]))
    password(bed, "--secrets-key-file", os.path.join(bed.folder, "keys"))
    bed.run("tenant", "add", "beta", "--host", "mail.beta.example", "--username", "b", "--password-file", "beta.pw",
            "--from-address", "Beta <b@beta.example>", "--allowed-senders", "@beta.example, b@other.example")
    secret(bed, "beta.pw")
    return where


def an_installation_in_which_all_is_right_has_no_finding(scratch):
    where = good(scratch)
    log = os.path.join(scratch.folder, "log")
    daemon = subprocess.Popen([os.path.join(outboxctl_test.BUILD, "outboxd"), *where, "--database", scratch.path, "--log-file", log],
                              stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + LIMIT_S
        while not (os.path.exists(log) and "event=daemon.ready" in open(log, encoding="utf-8").read()):
            assert daemon.poll() is None and time.monotonic() < deadline, "outboxd does not start"
            time.sleep(0.02)
        assert check(scratch, *where, ignore=()) == {}
        line, = [row for row in json.loads(scratch.run("check", *where, "--json")) if row["check"] == "daemon"]
        assert "process " in line["finding"], line
    finally:
        daemon.terminate()
        daemon.wait(LIMIT_S)
    assert list(check(scratch, *where, ignore=())) == [("warning", "daemon.none", None)]


def check_changes_no_octet_and_needs_no_lock(scratch):
    where = good(scratch)
    # a process that ends without closing leaves its commit in the -wal
    subprocess.run([sys.executable, "-c",
                    "import os, sqlite3, sys; d = sqlite3.connect(sys.argv[1], isolation_level=None); "
                    "d.execute('PRAGMA wal_autocheckpoint = 0'); "
                    "d.execute(\"UPDATE outbox_tenant SET max_age = 7200 WHERE name = 'acme'\"); os._exit(0)",
                    scratch.path], check=True, timeout=LIMIT_S)
    assert os.path.getsize(scratch.path + "-wal") > 0
    before = [digest(scratch.path), digest(scratch.path + "-wal")]
    holder = sqlite3.connect(scratch.path, isolation_level=None)
    holder.execute("PRAGMA wal_autocheckpoint = 0")
    holder.execute("BEGIN IMMEDIATE")
    assert check(scratch, *where) == {}
    assert [digest(scratch.path), digest(scratch.path + "-wal")] == before
    # and as the last one to close it: the holder's end would write
    subprocess.run(["cp", scratch.path, scratch.path + "-wal", os.path.join(scratch.folder, "secrets_dir")], check=True)
    holder.execute("ROLLBACK")
    copy = os.path.join(scratch.folder, "secrets_dir", "outbox.db")
    check(scratch, *where, database=copy)
    assert [digest(copy), digest(copy + "-wal")] == before
    holder.close()


def digest(path):
    with open(path, "rb") as stream:
        return hashlib.sha256(stream.read()).hexdigest()


def one_line_a_finding_for_people(scratch):
    ready(scratch)
    password(scratch)
    lines = scratch.run("check").splitlines()
    assert lines[0].split() == ["LEVEL", "CHECK", "TENANT", "FINDING"], lines[0]
    line, = [line for line in lines if "secret.unsealed" in line]
    assert line.startswith("warning  secret.unsealed") and "acme" in line and "outboxctl secrets seal" in line, line
    assert lines[-1] == "0 errors, 2 warnings", lines[-1]


def check_needs_a_database_or_a_configuration(scratch):
    scratch.run("check", status=64, database="")
    scratch.run("check", "more", status=64)
    ready(scratch)
    where = configuration(scratch, database=scratch.path)
    # which wins over the environment, and loses to --database
    none(scratch, *where, database="", environment={"OUTBOXD_DATABASE": "/nonexistent"})
    found = check(scratch, *where, status=78, database=scratch.path + "x")
    assert list(found) == [("error", "database.missing", None)], found


def several_databases_are_told_apart(scratch):
    ready(scratch)
    other = os.path.join(scratch.folder, "other.db")
    where = configuration(scratch, f'database = {{ "{scratch.path}", "{other}" }}')
    rows = json.loads(scratch.run("check", *where, "--json", database="", status=78))
    assert {row["database"] for row in rows if row["check"] in ("database", "database.missing")} == {scratch.path, other}
    assert "DATABASE" in scratch.run("check", *where, database="", status=78)


# ---- the database ------------------------------------------------------------------------

def what_is_no_outbox_is_an_error_with_words(scratch):
    assert "outboxctl init" in check(scratch, status=78)[("error", "database.missing", None)]
    scratch.file("outbox.db", b"no database " * 1000)
    assert ("error", "database.refused", None) in check(scratch, status=78)
    os.unlink(scratch.path)
    scratch.ready()
    scratch.sql("UPDATE outbox_meta SET value = 1000 WHERE key = 'schema_version'")
    assert "newer" in check(scratch, status=78)[("error", "database.refused", None)]


def a_file_that_cannot_be_read_is_an_error(scratch):
    scratch.ready()
    checkpoint(scratch)
    with open(scratch.path, "r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 3000)
    assert "malformed" in check(scratch, status=78)[("error", "database.unavailable", None)]


def a_damaged_page_is_found_where_nobody_reads_it(scratch):
    scratch.ready()
    (page,), = scratch.sql("SELECT rootpage FROM sqlite_master WHERE name = 'outbox_usage'")
    (size,), = scratch.sql("PRAGMA page_size")
    checkpoint(scratch)
    with open(scratch.path, "r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    assert "restore" in only(scratch, "error", "integrity.damaged")


def a_dropped_trigger_is_found(scratch):
    ready(scratch)
    name = scratch.sql("SELECT name FROM sqlite_master WHERE type = 'trigger' ORDER BY name LIMIT 1")[0][0]
    scratch.sql(f"DROP TRIGGER {name}")
    assert f"trigger {name} was dropped" in only(scratch, "error", "rules.differ")


def modes_that_let_others_in_are_found(scratch):
    ready(scratch)
    os.chmod(scratch.path, 0o664)
    assert "mode 0664" in only(scratch, "warning", "files.mode")
    os.chmod(scratch.path, 0o660)
    none(scratch)
    os.chmod(scratch.path + "-shm", 0o600)                      # of a -wal without a content SQLite mends it itself
    words = only(scratch, "warning", "files.mode")
    assert "-shm" in words and "does not follow" in words, words
    os.chmod(scratch.path + "-shm", 0o660)
    with open(scratch.path + "-journal", "wb"):
        os.chmod(scratch.path + "-journal", 0o666)
    assert "-journal has mode 0666" in only(scratch, "warning", "files.mode")
    os.unlink(scratch.path + "-journal")
    with open(scratch.path + "-inflight", "wb"):
        os.chmod(scratch.path + "-inflight", 0o604)
    assert "-inflight has mode 0604" in only(scratch, "warning", "files.mode")
    os.unlink(scratch.path + "-inflight")
    os.chmod(scratch.folder, 0o777)
    assert "the folder" in only(scratch, "warning", "files.mode")
    os.chmod(scratch.folder, 0o1777)
    none(scratch)


def a_wal_that_was_taken_away_is_made_again(scratch):
    scratch.ready()
    scratch.sql("SELECT 1 FROM outbox")
    for name in ("-wal", "-shm"):
        if os.path.exists(scratch.path + name):
            os.unlink(scratch.path + name)
    found = check(scratch)
    assert list(found) == [("warning", "files.wal", None)], found
    assert stat.S_IMODE(os.stat(scratch.path + "-wal").st_mode) == 0o660
    assert check(scratch) == {}


def in_a_namespace(bed, script):
    """Runs a shell script in which mounts are its own."""
    done = subprocess.run(["unshare", "-rm", "sh", "-ec", script, "sh", os.path.join(outboxctl_test.BUILD, "outboxctl"), bed.path,
                           bed.folder], capture_output=True, timeout=LIMIT_S, check=False, text=True)
    if "unshare" in done.stderr or "mount:" in done.stderr:
        SKIPPED.append("namespaces")
        raise Skipped("no mounts of one's own here: " + done.stderr.strip()[-100:])
    for name in re.findall(r'"check":"([a-z._]+)"', done.stdout):
        SEEN.add(name)
    return done


def a_disk_that_is_nearly_full_or_read_only_is_found(scratch):
    for size, options, level, name in (("16m", "rw", "warning", "disk.low"), ("700k", "rw", "error", "disk.full"),
                                       ("16m", "ro", "error", "disk.full")):
        done = in_a_namespace(scratch, f'mount -t tmpfs -o size={size} none "$3"; "$1" --database "$2" init >&2; '
                                       f'mount -o remount,{options} "$3"; "$1" --database "$2" check --json')
        row = [row for row in json.loads(done.stdout) if row["check"].startswith("disk")]
        assert [(row["level"], row["check"]) for row in row] == [(level, name)], (size, options, done)
        assert done.returncode == (78 if options == "ro" or level == "error" else 0), done


def where_locks_cannot_be_read_that_is_told(scratch):
    scratch.ready()
    with socket.socket(socket.AF_UNIX) as listener:             # which no open(2) opens
        listener.bind(os.path.join(scratch.folder, "socket"))
        done = in_a_namespace(scratch, 'mount --bind "$3/socket" /proc/locks; "$1" --database "$2" check --json')
    assert [row["level"] for row in json.loads(done.stdout) if row["check"] == "daemon.unknown"] == ["warning"], done


# ---- the configuration ---------------------------------------------------------------------

def a_configuration_that_outboxd_would_refuse_is_an_error(scratch):
    ready(scratch)
    assert "max_workers" in only(scratch, "error", "config.invalid", *configuration(scratch, max_workers="many"))
    assert "outboxd.none" in only(scratch, "error", "config.invalid", "--config", scratch.path + "/outboxd.none")
    only(scratch, "error", "config.dns", *configuration(scratch, dns_servers="no.server"))
    assert "log_dir" in only(scratch, "error", "config.folder", *configuration(scratch, log_dir="/nonexistent/log"))
    assert "pid_file" in only(scratch, "error", "config.folder", *configuration(scratch, pid_file="/nonexistent/pid"))
    only(scratch, "error", "config.authorities", *configuration(scratch, token_ca_file="/nonexistent/ca.pem"))
    none(scratch, *configuration(scratch))
    os.chmod(os.path.join(scratch.folder, "command_dir"), 0o777)
    assert "0777" in only(scratch, "error", "config.folder", *configuration(scratch))


def keys_that_cannot_be_used_are_an_error(scratch):
    ready(scratch)
    path = keys(scratch)
    none(scratch, *configuration(scratch, secrets_key_file=path))
    os.chmod(path, 0o644)
    assert "chmod 0400" in only(scratch, "error", "config.keys", *configuration(scratch, secrets_key_file=path))
    only(scratch, "error", "config.keys", *configuration(scratch, secrets_key_file=path + ".none"))
    assert "systemd" in only(scratch, "warning", "config.keys_unread", *configuration(scratch, secrets_key_file="credential"))


# ---- tenants --------------------------------------------------------------------------------

def settings_that_do_not_go_together_are_an_error(scratch):
    ready(scratch, oauth_scope="mail")
    assert "oauth_token_url is not" in only(scratch, "error", "tenant.settings", tenant="acme")
    change(scratch, enabled=0)
    none(scratch)


def a_login_without_what_it_needs_is_an_error(scratch):
    ready(scratch, auth="plain")
    assert "auth = plain needs a username" in only(scratch, "error", "tenant.login", tenant="acme")
    change(scratch, auth="auto", username="pbx")
    assert "no password" in only(scratch, "error", "tenant.login", tenant="acme")
    change(scratch, auth="none")
    none(scratch)
    change(scratch, auth="auto")
    password(scratch)
    only(scratch, "warning", "secret.unsealed")


def senders_that_cannot_be_are_an_error(scratch):
    ready(scratch, allowed_senders="@acme.example, pbx@other.example,")
    none(scratch)
    change(scratch, allowed_senders="@other.example")
    assert "pbx@acme.example" in only(scratch, "error", "tenant.from", tenant="acme")
    change(scratch, allowed_senders="@acme.example, nobody")
    assert '"nobody"' in only(scratch, "error", "tenant.senders", tenant="acme")
    change(scratch, allowed_senders="", from_address="no address")
    assert "from_address" in only(scratch, "error", "tenant.from", tenant="acme")


def trouble_that_outboxd_recorded_is_told(scratch):
    ready(scratch)
    for state, level in (("auth_failed", "error"), ("quarantined", "error"), ("backoff", "warning"), ("throttled", "warning")):
        scratch.mark("INSERT OR REPLACE INTO outbox_tenant_status (tenant, state, last_error, updated_at) "
                     "VALUES ('acme', ?, 'the server said no', 1)", state)
        assert f"{state}: the server said no" in only(scratch, level, "tenant.trouble", tenant="acme")
    scratch.mark("UPDATE outbox_tenant_status SET state = 'idle', token_error = 'invalid_client'")
    assert "invalid_client" in only(scratch, "warning", "tenant.token", tenant="acme")


def uncertain_messages_wait_for_a_decision(scratch):
    message = ready(scratch, on_uncertain="hold").send("--text", "/dev/null")
    scratch.settle(message, "uncertain", "no reply", [("bob@example.net", "uncertain", 0, "")])
    assert only(scratch, "warning", "message.uncertain", tenant="acme").startswith("1 message ")


def messages_of_a_tenant_that_is_gone_are_told(scratch):
    ready(scratch).send("--text", "/dev/null")
    triggers = scratch.sql("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'outbox_tenant'")
    for name, _ in triggers:
        scratch.sql(f"DROP TRIGGER {name}")
    scratch.sql("DELETE FROM outbox_tenant")
    for _, text in triggers:
        scratch.sql(text)
    assert "1 message (1 not finished)" in only(scratch, "error", "message.tenant", tenant="acme")


def logins_that_providers_end_are_told_with_their_date(scratch):
    ready(scratch)
    password(scratch)
    for host, words in (("smtp.office365.com", "December 2026 (MC786329)"), ("SMTP-mail.Outlook.com", "16 September 2024")):
        change(scratch, host=host)
        assert words in only(scratch, "warning", "provider.basic", tenant="acme", ignore=UNSEALED)
    change(scratch, host="smtp.office365.com", auth="xoauth2")
    none(scratch, ignore=UNSEALED)
    change(scratch, host="smtp.gmail.com", auth="auto")
    none(scratch, ignore=UNSEALED)
    assert "provider.app_password" in scratch.run("check")


# ---- secrets -----------------------------------------------------------------------------------

def unsealed_passwords_are_counted_and_named(scratch):
    ready(scratch)
    password(scratch)
    scratch.run("tenant", "add", "beta", "--host", "mail.beta.example", "--password-stdin", stdin=SECRET.encode())
    scratch.run("tenant", "suspend", "beta")                     # whose password is in the file all the same
    assert only(scratch, "warning", "secret.unsealed").startswith("2 passwords are not sealed: acme, beta;")
    path = keys(scratch)
    scratch.run("secrets", "seal", "--secrets-key-file", path)
    none(scratch, *configuration(scratch, secrets_key_file=path))
    only(scratch, "warning", "secret.unlooked")


def sealed_passwords_that_do_not_open_are_an_error(scratch):
    ready(scratch)
    path = keys(scratch)
    password(scratch, "--secrets-key-file", path)
    only(scratch, "error", "secret.sealed", *configuration(scratch, secrets_key_file=keys(scratch, "other")), tenant="acme")
    only(scratch, "error", "secret.sealed", *configuration(scratch), tenant="acme")
    scratch.sql("UPDATE outbox_tenant SET host = 'mail.evil.example'")
    assert "another host" in only(scratch, "error", "secret.sealed", *configuration(scratch, secrets_key_file=path), tenant="acme")


def files_of_secrets_are_looked_at(scratch):
    ready(scratch, password_file="acme.pw")
    where = configuration(scratch)
    assert "acme.pw" in only(scratch, "error", "secret.file", *where, tenant="acme")
    path = secret(scratch, "acme.pw", mode=0o644)
    assert "mode 0644" in only(scratch, "warning", "secret.mode", *where, tenant="acme")
    os.chmod(os.path.dirname(path), 0o750)                      # which closes it
    none(scratch, *where)
    os.chmod(path, 0o600)
    none(scratch, *where)
    assert "--config" in only(scratch, "warning", "secret.unlooked")


def sealed_files_are_opened(scratch):
    ready(scratch, password_file="acme.pw")
    first, other = keys(scratch), keys(scratch, "other")
    where = configuration(scratch, secrets_key_file=first)
    path = secret(scratch, "acme.pw")
    scratch.run("secrets", "seal", "--secrets-key-file", first, "--secrets-dir", os.path.dirname(path))
    none(scratch, *where)
    change(scratch, host="mail.evil.example")
    only(scratch, "error", "secret.sealed", *where, tenant="acme")
    change(scratch, host="127.0.0.1")
    none(scratch, *configuration(scratch, secrets_key_file=first))
    assert "acme.pw" in only(scratch, "error", "secret.sealed", *configuration(scratch, secrets_key_file=other), tenant="acme")
    only(scratch, "warning", "config.keys_unread", *configuration(scratch, secrets_key_file="credential"))


def programs_are_looked_at_and_not_run(scratch):
    ready(scratch, password_command="ask")
    where = configuration(scratch)
    only(scratch, "error", "secret.program", *where, tenant="acme")
    path, mark = os.path.join(scratch.folder, "command_dir", "ask"), os.path.join(scratch.folder, "mark")
    with open(path, "w", encoding="utf-8") as out:
        out.write(f"#!/bin/sh\ntouch {mark}\n")
    only(scratch, "error", "secret.program", *where, tenant="acme")
    os.chmod(path, 0o755)
    none(scratch, *where)
    os.chmod(path, 0o777)
    only(scratch, "warning", "secret.mode", *where, tenant="acme")
    assert not os.path.exists(mark)


def oauth_needs_its_files_and_its_program(scratch):
    ready(scratch, auth="xoauth2", username="pbx", oauth_token_url="https://login.example/token", oauth_client_id="c",
                  oauth_refresh_token_file="acme.token")
    only(scratch, "error", "secret.file", *configuration(scratch, token_program="/bin/true"), tenant="acme")
    secret(scratch, "acme.token")
    none(scratch, *configuration(scratch, token_program="/bin/true"))
    only(scratch, "error", "config.token_program", *configuration(scratch, token_program="/nonexistent/token"))


# ---- TLS -----------------------------------------------------------------------------------------

def certificate(name, days):
    """A self-signed certificate that ends in so many days, and its key, as PEM."""
    def tool(*words, text=None):
        try:
            return subprocess.run(["certtool", *words], input=text, capture_output=True, check=True, timeout=LIMIT_S).stdout
        except FileNotFoundError:
            raise Skipped("certtool (gnutls-bin) is absent") from None
    import tempfile
    with tempfile.TemporaryDirectory() as folder:
        key, template = os.path.join(folder, "key"), os.path.join(folder, "template")
        tool("--generate-privkey", "--key-type", "ecdsa", "--curve", "secp256r1", "--no-text", "--outfile", key)
        now = time.time()
        begin, end = (time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(t)) for t in (now - 40 * 86400, now + days * 86400))
        with open(template, "w", encoding="utf-8") as out:
            out.write(f'cn = "{name}"\nca\nactivation_date = "{begin}"\nexpiration_date = "{end}"\n')
        text = tool("--generate-self-signed", "--no-text", "--load-privkey", key, "--template", template)
        with open(key, "rb") as stream:
            return text, stream.read()


def certificates_that_end_are_told_before(scratch):
    ready(scratch)
    where = configuration(scratch)
    for days, level, name in ((-2, "error", "tls.expired"), (5, "warning", "tls.expires"), (30, None, None)):
        text, key = certificate("acme.example", days)
        change(scratch, tls_ca_file=scratch.file("ca.pem", text), tls_cert_file="", tls_key_file="")
        if level:
            assert "the certificate of acme.example" in only(scratch, level, name, tenant="acme")
        else:
            none(scratch)
        secret(scratch, "acme.crt", text)
        secret(scratch, "acme.key", key)
        change(scratch, tls_ca_file="", tls_cert_file="acme.crt", tls_key_file="acme.key")
        if level:
            assert "tls_cert_file = acme.crt" in only(scratch, level, name, *where, tenant="acme")
        else:
            none(scratch, *where)
    secret(scratch, "acme.key", certificate("other.example", 30)[1])
    assert "is not that of the certificate" in only(scratch, "error", "tls.file", *where, tenant="acme")


def authorities_that_are_none_are_an_error(scratch):
    ready(scratch, tls_ca_file=scratch.file("ca.pem", b"nothing"))
    only(scratch, "error", "tls.file", tenant="acme")
    os.unlink(os.path.join(scratch.folder, "ca.pem"))
    only(scratch, "error", "tls.file", tenant="acme")
    change(scratch, tls_verify="none")
    none(scratch)


def what_is_sent_in_clear_is_told(scratch):
    ready(scratch, tls="none")
    password(scratch)
    none(scratch, ignore=UNSEALED)                              # 127.0.0.1
    change(scratch, host="mail.acme.example")
    assert "all mail" in only(scratch, "warning", "tls.clear", tenant="acme", ignore=UNSEALED)
    change(scratch, auth="plain")
    assert "auth = plain" in only(scratch, "warning", "tls.clear", tenant="acme", ignore=UNSEALED)
    change(scratch, tls="opportunistic")
    only(scratch, "warning", "tls.clear", tenant="acme", ignore=UNSEALED)
    change(scratch, tls="starttls", tls_verify="none")
    only(scratch, "warning", "tls.unverified", tenant="acme", ignore=UNSEALED)
    change(scratch, username="", auth="auto", tls="none", tls_verify="full")
    none(scratch, ignore=UNSEALED)


# ---- who runs it --------------------------------------------------------------------------------

def as_somebody(bed):
    """How to run it as a user who may not read what is closed to others, which the database is not."""
    if os.getuid() != 0:
        return {}
    with_wal(bed)
    for name in ("", "-wal", "-shm"):
        os.chown(bed.path + name, 65534, 65534)
    shutil.copy(os.path.join(outboxctl_test.BUILD, "outboxctl"), bed.folder)
    os.chmod(os.path.join(bed.folder, "outboxctl"), 0o755)
    os.chmod(bed.folder, 0o755)
    return {"user": 65534, "group": 65534, "extra_groups": []}


def closed(path, mode=0):
    """To a user who is not root."""
    os.chmod(path, mode if os.getuid() != 0 else 0o600 if os.path.isfile(path) else 0o700)


def what_this_user_may_not_read_is_told_and_no_error(scratch):
    path, built = keys(scratch), outboxctl_test.BUILD
    authorities = scratch.file("ca.pem", certificate("ca.example", 365)[0])
    scratch.ready(password_file="acme.pw", tls_ca_file=authorities)
    scratch.run("tenant", "add", "beta", "--host", "mail.beta.example", "--password-stdin", "--secrets-key-file", path,
                stdin=SECRET.encode())
    where = configuration(scratch, secrets_key_file=path, log_dir=os.path.join(scratch.folder, "closed", "log"))
    secret(scratch, "acme.pw")
    os.makedirs(os.path.join(scratch.folder, "closed", "log"))
    who = as_somebody(scratch)
    for name in (path, authorities, os.path.join(scratch.folder, "secrets_dir", "acme.pw"), os.path.join(scratch.folder, "closed")):
        closed(name)
    outboxctl_test.BUILD = scratch.folder if who else built
    try:
        found = check(scratch, *where, **who)
        os.chmod(scratch.path, 0o060)
        if who:
            os.chown(scratch.path, 0, 0)
        refused = check(scratch, *where, status=78, **who)
    finally:
        outboxctl_test.BUILD = built
        os.chmod(os.path.join(scratch.folder, "closed"), 0o700)
    assert set(found) == {("warning", "config.keys_unread", None), ("warning", "config.unread", None),
                          ("warning", "secret.unread", "acme"), ("warning", "tls.unread", "acme")}, found
    assert all("as root or as outboxd's user" in words for words in found.values()), found
    assert ("error", "database.permission", None) in refused, refused


def each_finding_was_provoked_and_is_in_the_manual(scratch):
    del scratch
    sources = [os.path.join(TOP, "cli", name) for name in os.listdir(os.path.join(TOP, "cli")) if re.fullmatch(r"check.*\.c", name)]
    known = set()
    for path in sources:
        with open(path, encoding="utf-8") as stream:
            known |= set(re.findall(r'"((?:config|database|files|disk|integrity|rules|daemon|message|tenant|provider|secret|tls)'
                                    r'\.[a-z_]+)"[,;\n]', stream.read()))
    with open(os.path.join(TOP, "doc", "outboxctl.1"), encoding="utf-8") as stream:
        manual = set(re.findall(r"^\.It Li ([a-z_]+\.[a-z_]+)$", stream.read(), re.MULTILINE))
    known = {name for name in known if "." in name}
    assert known == {name for name in manual if "." in name}, known ^ manual
    if len(sys.argv) > 1 or SKIPPED:
        raise Skipped("not all tests have run")
    assert known <= SEEN, known - SEEN


if __name__ == "__main__":
    sys.exit(outboxctl_test.main(globals()))
