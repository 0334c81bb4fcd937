"""No crossing, ever: tenants of two outboxes swap servers and credentials, move,
change sender, are suspended, removed and added again, while their mail flows at full
load over kept connections, pipelined, with passwords and with OAuth2 tokens. The
servers know which account each credential is and count what arrives in which session.

A session says in EHLO with which settings it was begun. What must hold:
  - the server, the credential and the sender are those of these very settings;
  - its mail is of their tenant, and the tenant had these settings, and was not suspended, at some moment
    between the message's INSERT and its arrival;
  - when a later session's mail has arrived and the old sessions have ended, the old
    settings log in nowhere any more;
  - everything arrives, once.

$OUTBOXD_SHUFFLE is the number of rounds (make shuffle takes many), $OUTBOXD_SEED
another beginning."""

import base64
import collections
import os
import random
import ssl
import sys
import threading

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)),
                             "../support"))

import certs
import outbox
import packages
import server as scripted
from case import Skip
from token_endpoint import Endpoint, gives, refuses

ROUNDS = int(os.environ.get("OUTBOXD_SHUFFLE", 48))
SEED = int(os.environ.get("OUTBOXD_SEED", 20261129))
BARRIER = 12        # rounds between two looks at what must be over
TENANTS = 4         # in each outbox, of the same names
WAITING_MOST = 60   # messages that wait: a round waits for fewer
USERS = ["pbx@shared.example", "mail@shared.example"]
LIMIT = 300         # seconds, of a busy machine with a sanitizer
CREDENTIAL_COLUMNS = ["password", "password_file", "oauth_token_url", "oauth_client_id",
                      "oauth_client_secret_file", "oauth_scope"]


class Credential:
    """What one account logs in with; its name is in what it shows."""

    def __init__(self, number, kind, user):
        self.kind = kind
        self.user = user
        self.name = "%s-%d" % (kind, number)

    @property
    def secret(self):
        return "secret-of-" + self.name


class Version:
    """A tenant's settings from one change to the next. session: what its EHLO says, a new one whenever
    another connection is to be made."""

    def __init__(self, place, credential, sender, enabled, session):
        self.place = place
        self.credential = credential
        self.sender = sender
        self.enabled = enabled
        self.session = session


class Tenant:
    """history is written by the test alone, before the change is committed; servers read it."""

    def __init__(self, box, name):
        self.box = box
        self.name = name
        self.history = []
        self.floor = 0      # older versions begin no session any more

    @property
    def now(self):
        return self.history[-1]


class Session(scripted.Session):
    """tenant, first: what EHLO says of whose session it is, and since which version of the settings."""

    tenant = version = first = shown = None

    def run(self):
        if self.server.context:
            self.connection = self.server.context.wrap_socket(self.connection, server_side=True)
            self.stream = self.connection.makefile("rb")
        super().run()

    def login(self, line):
        words = line.split(" ")
        if words[1].upper() != "XOAUTH2":
            return super().login(line)
        if len(words) < 3:
            self.say("334 ")
            words.append(self.line() or "")
        user, bearer = base64.b64decode(words[2]).decode().split("\x01")[:2]
        return user[len("user="):], bearer[len("auth=Bearer "):]


class Place(scripted.Server):
    """A server. certificate: TLS from the first octet."""

    session = Session

    def __init__(self, judge, number, pair, authority, chunking):
        super().__init__(["PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "AUTH PLAIN XOAUTH2"] +
                         ["CHUNKING"] * chunking, listen=False)
        self.number = number
        self.authority = authority
        self.context = None
        if pair:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(pair.certificate, pair.key)
        self.on("EHLO", judge.greets)
        self.on("login", judge.logs_in)
        self.on("dot", judge.arrives)
        self.listen()


class Judge:
    """What the servers saw. sessions: EHLO's word -> (tenant, number of its first version)."""

    def __init__(self):
        self.sessions = {}
        self.shown = {}         # what is shown -> Credential
        self.wrong = []
        self.lock = threading.Lock()
        self.logins = collections.Counter()
        self.mails = collections.Counter()
        self.arrived = collections.Counter()
        self.inserted = {}      # subject -> (tenant, its version then)

    def is_wrong(self, session, words, *values):
        with self.lock:
            self.wrong.append("server %d, session of %s, user %s: %s" % (
                session.server.number, session.version, session.user, words % values))
        return "550 5.7.1 not here"

    def greets(self, session, line):
        word = line.split(" ")[1]
        session.version = word
        session.tenant, session.first = self.sessions[word]
        if session.tenant.history[session.first].place is not session.server:
            self.is_wrong(session, "it belongs to another server")

    def logs_in(self, session, pair):
        version = session.tenant.history[session.first]
        with self.lock:
            self.logins[session.server.number] += 1
        shown = self.shown.get(pair[1])
        if not shown or shown.user != pair[0]:
            return self.is_wrong(session, "the login of %s is nobody's", pair[0])
        if shown is not version.credential:
            return self.is_wrong(session, "it logs in with %s, not %s", shown.name, version.credential.name)
        if session.first < session.tenant.floor:
            return self.is_wrong(session, "these settings are over")
        session.shown = shown
        return None

    def held(self, session, since):
        """Whether the session's settings were the tenant's at a moment from `since` on."""
        history = session.tenant.history
        return any(one.session == session.version and one.enabled for one in history[since:])

    def arrives(self, session, mail):
        tenant, since = self.inserted[mail.subject]
        with self.lock:
            self.mails[session.server.number] += 1
            self.arrived[mail.subject] += 1
        if tenant is not session.tenant:
            self.is_wrong(session, "%s", mail.subject)
        elif session.user != session.shown.user:
            self.is_wrong(session, "%s without a login", mail.subject)
        elif not self.held(session, since):
            self.is_wrong(session, "%s, of version %d", mail.subject, since)
        elif mail.sender != tenant.history[since].sender:
            self.is_wrong(session, "%s from %s", mail.subject, mail.sender)


class Shuffle:
    def __init__(self, case):
        self.case = case
        self.dice = random.Random(SEED)
        self.judge = Judge()
        self.made = self.credentials = 0
        self.did = collections.Counter()
        self.secrets = case.path("secrets")
        os.mkdir(self.secrets, 0o700)
        self.places = self._places()
        self.boxes = [case.outbox("one.db"), case.outbox("two.db")]
        self.tenants = []
        for number, box in enumerate(self.boxes):
            for i in range(TENANTS):
                tenant = Tenant(number, "t%d" % i)
                self.tenants.append(tenant)
                self.add(tenant)
        self.daemon = case.start("one.db", "two.db", settings=[
            "secrets_dir=" + self.secrets, "token_ca_file=" + self.authority.file,
            "token_program=" + outbox.program("outboxd-token")])

    def _places(self):
        try:
            self.authority = certs.Authority(self.case.directory, "tokens")
            pair = self.authority.server("endpoint", ["localhost"], ["127.0.0.1"])
            others = [certs.Authority(self.case.directory, "authority-%d" % i) for i in range(2)]
            pairs = [one.server("server-%s" % one.name, ["localhost"], ["127.0.0.1"]) for one in others]
        except packages.Missing as problem:
            raise Skip(str(problem))
        self.endpoint = self.case.server(lambda: Endpoint(pair))
        self.endpoint.answer = self._token
        return [self.case.server(lambda: Place(self.judge, i, pair, authority, i % 2)) for i, (
            pair, authority) in enumerate([(None, None), (None, None), (pairs[0], others[0]),
                                           (pairs[1], others[1])])]

    def _token(self, connection, form, endpoint):
        """One that names the client that asked; it lives long, or so short that it is fetched anew."""
        name = form["client_id"]
        if form.get("client_secret") != "secret-of-" + name:
            with self.judge.lock:
                self.judge.wrong.append("the secret of %s is not its own" % name)
            return refuses("invalid_client")(connection, form, endpoint)
        number = len(endpoint.forms)
        token = "token-of-%s-%d" % (name, number)
        self.judge.shown[token] = self.judge.shown[name]
        return gives(token, 5 if number % 2 else 3600)(connection, form, endpoint)

    # --- a tenant's columns ------------------------------------------------------

    def credential(self):
        self.credentials += 1
        one = Credential(self.credentials, self.dice.choice(["plain", "file", "oauth"]),
                         self.dice.choice(USERS))
        if one.kind != "plain":
            path = os.path.join(self.secrets, one.name)
            with open(path, "w") as stream:
                os.fchmod(stream.fileno(), 0o600)
                stream.write(one.secret + "\n")
        self.judge.shown[one.secret if one.kind != "oauth" else one.name] = one
        return one

    def columns(self, version):
        place, credential = version.place, version.credential
        found = dict.fromkeys(CREDENTIAL_COLUMNS)
        found.update(host=["127.0.0.1", "localhost"][place.number % 2], port=place.port,
                     tls="implicit" if place.context else "none",
                     tls_ca_file=place.authority.file if place.context else None,
                     username=credential.user, auth="plain", ehlo_name=version.session,
                     from_address=version.sender, enabled=int(version.enabled))
        if credential.kind == "plain":
            found.update(password=credential.secret)
        elif credential.kind == "file":
            found.update(password_file=credential.name)
        else:
            found.update(auth="xoauth2", oauth_token_url=self.endpoint.url, oauth_scope="mail",
                         oauth_client_id=credential.name, oauth_client_secret_file=credential.name)
        return found

    def sender(self, tenant):
        return "v%d@%s.example" % (len(tenant.history), tenant.name)

    def next(self, tenant, **changes):
        """The tenant's next version: known to the servers before it is committed."""
        words = {} if not tenant.history else dict(vars(tenant.now))
        words.update(changes)
        if not tenant.history or any(word not in ("sender", "enabled") for word in changes):
            words["session"] = "%s-%d-of-%d.example" % (tenant.name, len(tenant.history), tenant.box)
            self.judge.sessions[words["session"]] = (tenant, len(tenant.history))
        version = Version(**words)
        tenant.history.append(version)
        return version

    def write(self, tenant, **changes):
        version = self.next(tenant, **changes)
        self.boxes[tenant.box].set_tenant(tenant.name, **self.columns(version))

    def mail(self, tenant, count):
        for _ in range(count):
            subject = "%s-of-%d-%d" % (tenant.name, tenant.box, self.made)
            self.made += 1
            self.judge.inserted[subject] = (tenant, len(tenant.history) - 1)
            self.boxes[tenant.box].insert(tenant.name, "bob@example.net", subject=subject,
                                          from_address=None, priority=self.dice.randint(-9, 9))

    def some(self, box=None):
        return self.dice.choice([one for one in self.tenants if box in (None, one.box)])

    # --- what happens: each in one transaction, with mail in it ------------------

    def add(self, tenant):
        version = self.next(tenant, place=self.dice.choice(self.places), credential=self.credential(),
                            sender=self.sender(tenant), enabled=True)
        self.case.tenant(tenant.name, None, self.boxes[tenant.box], **dict(
            self.columns(version), max_connections=self.dice.randint(1, 3),
            pipeline_depth=self.dice.choice([1, 4, 8]), allowed_senders="@%s.example" % tenant.name,
            max_messages_per_session=self.dice.choice([3, 100]), connect_timeout=60))

    def swap(self):
        """Two tenants change servers and accounts, at once."""
        one = self.some()
        other = self.some(one.box)
        mine, theirs = one.now, other.now
        self.write(one, place=theirs.place, credential=theirs.credential)
        if other is not one:
            self.write(other, place=mine.place, credential=mine.credential)
        self.mail(one, 3)
        self.mail(other, 3)

    def move(self):
        """The same account, at another server."""
        tenant = self.some()
        self.write(tenant, place=self.dice.choice(self.places))
        self.mail(tenant, 4)

    def renew(self):
        """Another account, of any kind, at the same server."""
        tenant = self.some()
        self.write(tenant, credential=self.credential())
        self.mail(tenant, 4)

    def rename(self):
        """Nothing that a connection depends on."""
        tenant = self.some()
        self.write(tenant, sender=self.sender(tenant))
        self.mail(tenant, 4)

    def suspend(self):
        tenant = self.some()
        self.write(tenant, enabled=not tenant.now.enabled)
        self.mail(tenant, 2)

    # --- and what is no transaction of ours ---------------------------------------

    def control(self):
        """outboxctl tenant set: another password in another program's transaction."""
        tenant = self.some()
        credential = self.credential()
        while credential.kind != "plain":
            credential = self.credential()
        version = self.next(tenant, credential=credential, place=self.dice.choice(self.places))
        words = []
        for name, value in self.columns(version).items():
            if name != "password":
                words += ["--" + name.replace("_", "-"), "" if value is None else value]
        outbox.outboxctl("--database", self.boxes[tenant.box].path, "tenant", "set", tenant.name,
                         "--password-stdin", *words, stdin=credential.secret + "\n")
        self.mail(tenant, 4)

    def again(self):
        """Removed when its mail is over, and added again under its name with other settings."""
        tenant = self.some()
        box = self.boxes[tenant.box]
        if not tenant.now.enabled:
            self.write(tenant, enabled=True)
        self.until("the mail of %s is over" % tenant.name, lambda: box.value(
            "SELECT count(*) FROM outbox_status WHERE tenant = ? AND state <> 'sent'",
            tenant.name) == 0)
        outbox.outboxctl("--database", box.path, "tenant", "remove", tenant.name, "--purge")
        self.add(tenant)
        self.mail(tenant, 5)

    def round(self):
        """Mail for all that is on its way while the change comes."""
        for tenant in self.dice.sample(self.tenants, 3):
            self.mail(tenant, self.dice.randint(1, 6))
        happens = self.dice.choice([self.swap, self.swap, self.swap, self.move, self.renew, self.rename,
                                    self.suspend, self.control, self.again])
        self.did[happens.__name__] += 1
        if happens in (self.control, self.again):
            happens()
            return
        for box in self.boxes:
            box.begin()
        happens()
        for box in self.boxes:
            box.commit()

    def waiting(self):
        """Mail of tenants that may send."""
        return sum(box.value("SELECT count(*) FROM outbox_status AS s JOIN outbox_tenant AS t ON t.name = "
                             "s.tenant WHERE s.state IN ('queued', 'deferred') AND t.enabled = 1")
                   for box in self.boxes)

    def barrier(self):
        """All that was changed has come to sessions, and those of before are over."""
        for tenant in self.tenants:
            if not tenant.now.enabled:
                self.write(tenant, enabled=True)
            self.mail(tenant, 1)
        self.until("all mail arrived", lambda: self.waiting() == 0)
        for tenant in self.tenants:
            word = tenant.now.session
            first = self.judge.sessions[word][1]
            self.until("the old sessions of %s are over" % tenant.name, lambda: all(
                session.over or session.tenant is not tenant or session.first >= first
                for place in self.places for session in list(place.sessions)))
            tenant.floor = first

    def until(self, words, condition):
        """Nothing is waited for once something has crossed."""
        self.case.until(words, lambda: self.judge.wrong or condition(), LIMIT)
        self.none_crossed()

    def none_crossed(self):
        wrong = self.judge.wrong
        assert not wrong, "%d crossings:\n%s" % (len(wrong), "\n".join(wrong[:9]))

    def check(self):
        judge = self.judge
        self.none_crossed()
        for subject in judge.inserted:
            assert judge.arrived[subject] == 1, "%s arrived %d times" % (subject, judge.arrived[subject])
        assert all(judge.mails[place.number] and judge.logins[place.number] for place in self.places)
        kept = sum(session.mails > 1 for place in self.places for session in place.sessions)
        print("# shuffle: %d changes (%s), %d messages, %d crossed" % (
            sum(self.did.values()), ", ".join("%d %s" % (count, name) for name, count in self.did.items()),
            self.made, len(judge.wrong)))
        print("# shuffle: mail a server %s, logins %s, %d sessions with several, %d tokens" % (
            [judge.mails[place.number] for place in self.places],
            [judge.logins[place.number] for place in self.places], kept, len(self.endpoint.forms)))
        assert kept and self.endpoint.forms


def test_nothing_crosses_while_tenants_are_shuffled(case):
    shuffle = Shuffle(case)
    for number in range(ROUNDS):
        shuffle.round()
        shuffle.until("at most %d messages wait" % WAITING_MOST, lambda: shuffle.waiting() <= WAITING_MOST)
        if number % BARRIER == BARRIER - 1:
            shuffle.barrier()
    shuffle.barrier()
    assert shuffle.daemon.stop() == 0
    shuffle.check()
