"""Notifications (RFC 3461) and addresses beyond ASCII (RFC 6531), with a
Postfix that offers both: what comes back, and what arrives.  Sendmail notifies
too."""

import email
import email.policy

import rig
from case import for_each


def notification(received):
    """(the lines about the message, those about the recipient, the part that
    shows the message) of a delivery status notification."""
    message = email.message_from_bytes(received.raw,
                                       policy=email.policy.default)
    assert message.get_content_type() == "multipart/report", message.as_string()
    assert message.get_param("report-type") == "delivery-status"
    _, status, shown = list(message.iter_parts())
    assert status.get_content_type().endswith("delivery-status"), \
        status.get_content_type()
    # message/global-delivery-status (RFC 6533) is not taken apart by Python
    text = received.raw.decode().partition(
        "Content-Type: " + status.get_content_type())[2].partition("\n\n")[2]
    groups = text.split("\n--")[0].lstrip("\n").split("\n\n")
    whole, recipient = [email.message_from_string(group)
                        for group in groups[:2]]
    return whole, recipient, shown


def envelope_id(case, number):
    instance = case.outbox().one("SELECT value FROM outbox_meta "
                                 "WHERE key = 'instance'")["value"]
    return "%d.%s" % (number, instance)


def begin(case, server="required"):
    case.tenant("acme", server)
    return case.serve(), case.outbox()


@for_each(["required", "sendmail-starttls"])
def test_success_is_notified(case, server):
    """The notification names the row, the recipient as it was written and
    shows the header alone."""
    sender, box = case.box(), case.box()
    daemon, outbox = begin(case, server)
    number = outbox.insert("acme", str(box), from_address=str(sender),
                           dsn_notify="success, delay", dsn_return="headers",
                           body_text="not to come back\n")
    outbox.wait_state(number, "sent")
    event = daemon.wait_event("delivery.sent", id=number)[0]
    assert event["dsn"] == "asked"
    box.wait(1)
    whole, recipient, shown = notification(sender.wait(1)[0])
    assert whole["Original-Envelope-Id"] == envelope_id(case, number), \
        whole.as_string()
    assert recipient["Original-Recipient"] == "rfc822;%s" % box, \
        recipient.as_string()
    # Sendmail writes where to behind it
    assert recipient["Action"].split()[0] == "delivered", recipient.as_string()
    assert shown.get_content_type() == "text/rfc822-headers", \
        shown.get_content_type()


def test_failure_is_notified_unless_never(case):
    """Accepted by the first server and refused behind it, three times."""
    daemon, outbox = begin(case, "unlisted")
    box = case.box()
    numbers = {}
    for words in ("never", "success", "failure"):
        number = outbox.insert("acme", "nobody@" + rig.DOMAIN,
                               from_address=str(box), dsn_notify=words,
                               dsn_return="full", body_text="to come back\n")
        outbox.wait_state(number, "sent")
        numbers[words] = number
    # Whatever is sent back was handed over before the message was removed.
    case.rig.postfix.log.wait(
        r"virtual\[\d+\]: \w+: to=<nobody@%s>.* status=bounced" % rig.DOMAIN, 3)
    case.rig.postfix.log.wait(r"qmgr\[\d+\]: \w+: removed", 4)
    whole, recipient, shown = notification(box.wait(1)[0])
    assert whole["Original-Envelope-Id"] == \
        envelope_id(case, numbers["failure"]), whole.as_string()
    assert recipient["Action"] == "failed", recipient.as_string()
    assert "to come back" in shown.as_string(), shown.as_string()


def test_address_beyond_ascii(case):
    """As recipient in the header, as sender, and in a notification."""
    box, sender = case.rig.mailbox(rig.BEYOND_ASCII), case.box()
    before = box.count()
    daemon, outbox = begin(case)
    number = outbox.insert("acme", "J\u00f6rg <%s>" % box,
                           from_address=str(sender), dsn_notify="success")
    outbox.wait_state(number, "sent")
    received = box.wait(before + 1)[-1]
    assert "<%s>" % box in received.sent.decode(), received.sent
    assert "UTF8" in received.protocol, received.protocol
    _, recipient, _ = notification(sender.wait(1)[0])
    assert recipient["Action"] == "delivered", recipient.as_string()
    assert recipient["Original-Recipient"] == "utf-8;%s" % box, \
        recipient.as_string()
    number = outbox.insert("acme", str(sender), from_address=str(box))
    outbox.wait_state(number, "sent")
    received = sender.wait(2)[-1]
    assert ("Return-Path: <%s>" % box).encode() in received.raw, received.raw


def test_address_beyond_ascii_that_is_hidden(case):
    """Nothing in the header shows it: SMTPUTF8 for its sake alone."""
    box, other = case.rig.mailbox(rig.BEYOND_ASCII), case.box()
    before = box.count()
    daemon, outbox = begin(case)
    number = outbox.insert("acme", str(other), bcc_addresses=str(box))
    outbox.wait_state(number, "sent")
    assert box.wait(before + 1)[-1].sent == other.wait(1)[0].sent


def test_complete_message_with_utf8_in_its_header(case):
    box = case.box()
    daemon, outbox = begin(case)
    message = ("From: app@acme.example\nTo: J\u00f6rg <%s>\n"
               "Subject: Gr\u00fc\u00dfe\n"
               "Date: Mon, 23 Nov 2026 10:00:00 +0000\n"
               "Message-ID: <raw@acme.example>\n\n\u00e4\n" % box).encode()
    number = outbox.insert("acme", None, message=message)
    outbox.wait_state(number, "sent")
    received = box.wait(1)[0]
    assert received.sent == message, received.sent
    assert "UTF8" in received.protocol, received.protocol
