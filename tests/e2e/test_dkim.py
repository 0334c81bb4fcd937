"""A signature stays valid: a message that its application signed (RFC 6376)
arrives so at every server, checked by dkimpy."""

import subprocess

import dkim

import test_servers
from case import for_each

SELECTOR = b"s1"
DOMAIN = b"acme.example"
FIELDS = [b"from", b"to", b"subject", b"date", b"message-id", b"cc",
          b"mime-version", b"content-type", b"content-transfer-encoding"]

MESSAGE = (
    "From: =?utf-8?Q?J=C3=BCrgen?=  <app@acme.example>\n"
    "To: x@elsewhere.example\n"
    "Subject:   folded,\n\twith a tab  and two spaces  \n"
    "Date: Mon, 23 Nov 2026 10:00:00 +0000\n"
    "Message-ID: <signed-1@acme.example>\n"
    "MIME-Version: 1.0\n"
    "Content-Type: text/plain; charset=utf-8\n"
    "Content-Transfer-Encoding: 8bit\n\n"
    ".\n..two dots\n \ntrailing spaces  \n\tM\u00fc\u00dfig\n"
    + "z" * 900 + "\nFrom the left\n\n").encode()


def _key():
    """A key pair: (private PEM, the DNS record's text)."""
    private = subprocess.run(
        ["certtool", "--generate-privkey", "--key-type", "rsa", "--bits",
         "2048", "--pkcs8", "--password=", "--no-text"], check=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    public = subprocess.run(
        ["certtool", "--load-privkey", "/dev/stdin", "--pubkey-info",
         "--no-text"], input=private, check=True, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL).stdout
    middle = public.split(b"-----BEGIN PUBLIC KEY-----")[1]
    middle = middle.split(b"-----END")[0]
    return private, b"v=DKIM1; k=rsa; p=" + b"".join(middle.split())


def _valid(message, record):
    def answer(name, timeout=5):
        assert name == b"s1._domainkey.acme.example.", name
        return record
    return dkim.verify(message, dnsfunc=answer)


@for_each([(server, way) for server in ["postfix"] + test_servers.ALL
           for way in ("simple", "relaxed")])
def test_signature_stays_valid(case, server, way):
    private, record = _key()
    wire = MESSAGE.replace(b"\n", b"\r\n")
    signature = dkim.sign(wire, SELECTOR, DOMAIN, private,
                          canonicalize=(way.encode(), way.encode()),
                          include_headers=FIELDS)
    signed = signature + wire
    assert _valid(signed, record)
    assert not _valid(signed.replace(b"\r\n.\r\n", b"\r\n..\r\n"), record)
    box = case.box(2 if server == "submission" else 1)
    if server == "postfix":
        case.tenant("acme", "required")
    else:
        test_servers.tenant(case, server)
    case.serve()
    number = case.outbox().insert("acme", str(box),
                                  message=signed.replace(b"\r\n", b"\n"))
    case.outbox().wait_state(number, "sent")
    received = box.wait(1)[0]
    # With all that the servers put on top: what its reader has in hand.
    assert _valid(received.raw.replace(b"\n", b"\r\n"), record)
