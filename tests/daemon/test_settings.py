"""A tenant's row and outboxctl: what a change does to a running outboxd."""

import os

import outbox


def login_server(case, password="right"):
    server = case.server(extensions=["PIPELINING", "AUTH PLAIN LOGIN"])
    server.on("login", lambda session, pair: None if pair[1] == password
              else "535 5.7.8 authentication failed")
    return server


def rejected(case, server, **columns):
    """A tenant whose login was just rejected: nothing for 15 minutes."""
    case.tenant("acme", server, auth="plain", username="me",
                **dict({"password": "wrong", "retry_max": 3600}, **columns))
    daemon = case.start()
    number = case.outbox().insert("acme", "bob@example.net")
    case.outbox().wait_tenant("acme", "auth_failed")
    return daemon, number


def test_new_password_clears_the_backoff(case):
    server = login_server(case)
    daemon, number = rejected(case, server)
    case.outbox().set_tenant("acme", password="right")
    case.outbox().wait_state(number, "sent")
    daemon.wait_event("tenant.up", tenant="acme")
    assert len(server.commands("AUTH")) == 2


def test_new_port_clears_the_backoff(case):
    right = login_server(case, "wrong")
    daemon, number = rejected(case, login_server(case))
    case.outbox().set_tenant("acme", port=right.port)
    case.outbox().wait_state(number, "sent")


def test_same_value_clears_nothing(case):
    """Nor does a column that no connection depends on."""
    server = login_server(case)
    daemon, number = rejected(case, server)
    box = case.outbox()
    box.set_tenant("acme", password="wrong", port=server.port)
    box.set_tenant("acme", retry_max=1800)
    box.insert("acme", "bob@example.net")
    box.wait("the changes seen", lambda: box.tenant_status("acme")
             ["queued"] == 2)
    assert box.tenant_status("acme")["state"] == "auth_failed"
    assert len(server.commands("AUTH")) == 1


def test_retry_tenant_clears_the_backoff(case):
    """outboxctl retry --tenant: now, although it would be 15 minutes."""
    server = login_server(case)
    daemon, number = rejected(case, server)
    server.rules.clear()
    outbox.outboxctl("--database", case.outbox().path, "retry", "--tenant",
                     "acme")
    case.outbox().wait_state(number, "sent")


def test_retry_that_fails_again(case):
    """One attempt, and the backoff is back."""
    server = login_server(case)
    daemon, number = rejected(case, server)
    outbox.outboxctl("--database", case.outbox().path, "retry", "--tenant",
                     "acme")
    daemon.wait_event("tenant.down", count=2)
    case.outbox().wait_tenant("acme", "auth_failed")
    assert len(server.commands("AUTH")) == 2
    assert case.outbox().state(number) == "queued"


def test_tenant_test_clears_the_backoff(case):
    """A good one; a bad one does not."""
    server = login_server(case)
    daemon, number = rejected(case, server)
    box = case.outbox()
    outbox.outboxctl("--database", box.path, "tenant", "test", "acme",
                     status=69)
    assert box.state(number) == "queued"
    assert box.tenant_status("acme")["state"] == "auth_failed"
    server.rules.clear()
    outbox.outboxctl("--database", box.path, "tenant", "test", "acme")
    box.wait_state(number, "sent")


def test_retry_of_a_message(case):
    """Deferred for an hour; 'queued' by an application is now."""
    server = case.server()
    later = server.on("dot", "450 4.2.0 later")
    case.tenant("acme", server, retry_min=3600, retry_max=3600)
    case.start()
    box = case.outbox()
    number = box.insert("acme", "bob@example.net")
    box.wait_state(number, "deferred")
    server.off(later)
    outbox.outboxctl("--database", box.path, "retry", number)
    assert box.wait_state(number, "sent")["attempts"] == 2


def test_password_file(case):
    """Asked at each session, from secrets_dir; absent = down, with words."""
    secrets = case.path("secrets")
    os.mkdir(secrets, 0o700)
    server = login_server(case)
    case.tenant("acme", server, auth="plain", username="me", retry_max=1,
                password_file="acme.pw")
    case.start(settings=["secrets_dir=" + secrets])
    box = case.outbox()
    number = box.insert("acme", "bob@example.net")
    row = box.wait_tenant("acme", "backoff")
    assert "acme.pw" in row["last_error"], row["last_error"]
    with open(os.path.join(secrets, "acme.pw"), "w") as stream:
        stream.write("right\n")
    box.wait_state(number, "sent")


def test_password_file_without_secrets_dir(case):
    server = login_server(case)
    case.tenant("acme", server, auth="plain", username="me",
                password_file="acme.pw")
    case.start()
    box = case.outbox()
    box.insert("acme", "bob@example.net")
    row = box.wait_tenant("acme", "backoff")
    assert "secrets_dir" in row["last_error"], row["last_error"]
    assert not server.commands("AUTH")


def test_tenant_added_live(case):
    """Also the first one of an empty outbox."""
    server = case.server()
    case.outbox()
    case.start()
    case.tenant("acme", server)
    box = case.outbox()
    box.wait_state(box.insert("acme", "bob@example.net"), "sent")


def test_tenant_removed_and_added_again(case):
    """Its record is empty then: another server, other settings."""
    first, second = case.server(), case.server()
    case.tenant("acme", first)
    case.start()
    box = case.outbox()
    number = box.insert("acme", "bob@example.net")
    box.wait_state(number, "sent")
    box.execute("DELETE FROM outbox WHERE id = ?", number)
    box.execute("DELETE FROM outbox_tenant WHERE name = 'acme'")
    case.tenant("acme", second)
    box.wait_state(box.insert("acme", "bob@example.net"), "sent")
    assert (len(first.mails), len(second.mails)) == (1, 1)


def test_parked_connection_to_an_old_server_is_left(case):
    """After a change of host or port nothing more goes to the old one."""
    first, second = case.server(), case.server()
    case.tenant("acme", first)
    case.start()
    box = case.outbox()
    box.wait_state(box.insert("acme", "bob@example.net"), "sent")
    box.begin()
    box.set_tenant("acme", port=second.port)
    number = box.insert("acme", "bob@example.net")
    box.commit()
    box.wait_state(number, "sent")
    assert (len(first.mails), len(second.mails)) == (1, 1)
    case.until("the old connection closed", lambda: first.sessions[0].over)


def parked_with_changes_unheard(case):
    """(first server, second one): acme's connection to the first is kept, and the supervisor
    passes over what is changed from now on, as it does for a moment with any change."""
    first, second = case.server(), case.server()
    case.tenant("acme", first)
    case.start_faulty("unheard:acme:1+", set())
    box = case.outbox()
    box.wait_state(box.insert("acme", "bob@example.net"), "sent")
    return first, second


def test_what_is_inserted_with_a_change_goes_by_it(case):
    """Whoever has heard of it: the last read sees the same as the INSERT. So does each other read."""
    first, second = parked_with_changes_unheard(case)
    box = case.outbox()
    box.begin()
    box.set_tenant("acme", port=second.port)
    number = box.insert("acme", "bob@example.net")
    box.commit()
    box.wait_state(number, "sent")
    box.wait_state(box.insert("acme", "bob@example.net"), "sent")
    assert (len(first.mails), len(second.mails)) == (1, 2)


def test_a_sender_that_is_no_longer_allowed_is_not_sent(case):
    """Nor one that was never allowed by what is in force at the last read."""
    first, second = parked_with_changes_unheard(case)
    box = case.outbox()
    box.begin()
    box.set_tenant("acme", allowed_senders="@other.example")
    number = box.insert("acme", "bob@example.net")
    box.commit()
    box.wait_state(number, "failed")
    assert len(first.mails) == 1


def test_change_while_under_way(case):
    """A change that no connection depends on lets the message finish; no
    second session comes beside it."""
    server = case.server()
    gate = server.hold("dot", lambda session, mail: mail.subject == "0")
    case.tenant("acme", server, max_connections=1)
    box = case.outbox()
    for i in range(4):
        box.insert("acme", "bob@example.net", subject="%d" % i)
    case.start()
    gate.reached()
    box.set_tenant("acme", retry_max=77)
    box.set_tenant("acme", streak_guard=7)
    case.tenant("other", server)
    box.wait_state(box.insert("other", "bob@example.net"), "sent")
    assert len(server.sessions) == 2
    gate.release()
    box.wait_all()
    assert len(server.mails) == 5


def test_changes_while_it_is_probed(case):
    """A probe on its way to a worker that has just been told to leave is
    not the last one."""
    server = case.server()
    down = server.on("connect", "421 4.3.2 down")
    case.tenant("acme", server)
    daemon = case.start()
    box = case.outbox()
    number = box.insert("acme", "bob@example.net")
    daemon.wait_event("tenant.down")
    changes = 0
    while len(daemon.events("tenant.probe")) < 4:
        changes += 1
        box.set_tenant("acme", streak_guard=5 + changes % 2)
    assert changes > 4
    server.off(down)
    box.wait_state(number, "sent")
