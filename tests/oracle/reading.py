"""reading.py - what readers see in a message, Python's email package and GMime, in one shape.

A Reading's parts are flat: (path, type, parameters, disposition, Content-ID, filename, content), path being
"" for the outermost, "1.2" for the second child of the first. content is bytes, None for a multipart; of a
message within the message its subject and its text.

Where a reader errs it is helped here, each time with the section that it breaks. Whatever it is helped with,
the other reader is not.
"""
import base64
import dataclasses
import email
import email.header
import email.policy
import re

GMIME_8BIT_HEADER = 3  # GMIME_WARN_UNENCODED_8BIT_HEADER
ADDRESS_FIELDS = ("from", "to", "cc", "bcc", "reply-to")


@dataclasses.dataclass
class Reading:
    names: list  # of the fields, in their order
    subject: str
    message_id: str
    date: int
    addresses: dict  # by ADDRESS_FIELDS: [(group or None, [(name, address)])]
    parts: list
    defects: list
    fields: dict  # name in lower case → value, decoded; only what is unstructured means something


def parameters(found):
    """Those that a column asked for: boundaries, RFC 2387's type and the plain file name are the composer's own."""
    return {name.lower(): value for name, value in found.items() if name.lower() not in ("boundary", "type", "name")}


# --- Python ---------------------------------------------------------------------


def spaced(name):
    """A name as Python shows it, which makes every run of white space one space."""
    return None if name is None else " ".join(name.split())


def written(local):
    """A local part with the quotes it needs; Python's own addr_spec forgets those of ".a" (RFC 5322 3.4.1)."""
    if re.fullmatch(r"[^ .@,;:<>()\[\]\\\"]+(\.[^ .@,;:<>()\[\]\\\"]+)*", local):
        return local
    return '"' + re.sub(r'(["\\])', r"\\\1", local) + '"'


def python_addresses(header):
    """A group of one address without a name is how Python tells a mailbox that stands in none."""
    found = []
    for group in header.groups if header else ():
        boxes = [(spaced(box.display_name), f"{written(box.username)}@{box.domain}") for box in group.addresses]
        found.append((spaced(group.display_name), boxes))
    return found


def python_values(part):
    """A part's fields by name: each access to one parses it anew, so all are taken once."""
    return {name.lower(): value for name, value in part.items()}


def python_part(part, path, values, defects):
    for value in values.values():
        defects += map(str, value.defects)
    defects += map(str, part.defects)
    disposition, kind = values.get("content-disposition"), values.get("content-type")
    found = [(path, kind.content_type if kind else "text/plain", parameters(kind.params if kind else {}),
              disposition and disposition.content_disposition, bare(values.get("content-id")),
              disposition and disposition.params.get("filename"),  # get_filename() would take white space from its ends
              python_content(part))]
    for i, child in enumerate(part.get_payload() if part.get_content_maintype() == "multipart" else (), 1):
        found += python_part(child, f"{path}.{i}".lstrip("."), python_values(child), defects)
    return found


def python_content(part):
    if part.get_content_type() == "message/rfc822":
        inner = part.get_payload(0)
        return str(inner["subject"]).encode() + b"\n" + inner.get_payload(decode=True)
    return None if part.is_multipart() else part.get_payload(decode=True)


def bare(content_id):
    return content_id and re.sub(r"^<(.*)>$", r"\1", content_id.strip())


def python_read(message):
    """Python 3.11 shows the space between two encoded-words of a name, which RFC 2047 6.2 wants
    dropped: so it is dropped here, and the complaint that it is missing is not counted. Of a value
    that begins on its second line it shows the white space of the fold (RFC 5322 2.2.3). A local part
    beyond ASCII (RFC 6532 3.2) is one more of its complaints."""
    header, _, body = message.partition(b"\r\n\r\n")
    header = re.sub(rb"(=\?utf-8\?[QB]\?[^? ]*\?=)\r\n (?==\?utf-8\?)", rb"\1", header)
    text = header.decode() + "\r\n\r\n" + body.decode("ascii", "surrogateescape")  # as RFC 6532 has it
    read = email.message_from_string(text, policy=email.policy.default)
    defects = []
    values = python_values(read)
    return Reading(names=read.keys(), subject=values.get("subject"), message_id=values.get("message-id"),
                   date=values["date"] and int(values["date"].datetime.timestamp()),
                   addresses={name: python_addresses(values.get(name)) for name in ADDRESS_FIELDS},
                   parts=python_part(read, "", values, defects),
                   defects=[defect for defect in defects if "missing trailing whitespace" not in defect
                            and "local-part contains non-ASCII" not in defect],
                   fields={name: str(value).lstrip(" ") for name, value in values.items()})


def python_names(message):
    """The names beyond ASCII, space for space: as the older reader decodes each row of encoded-words."""
    header = re.sub(rb"\r\n ", b" ", message.partition(b"\r\n\r\n")[0]).decode()
    word = r"=\?utf-8\?[BQ]\?[^? ]*\?="
    return {str(email.header.make_header(email.header.decode_header(row)))
            for row in re.findall(f"{word}(?: {word})*", header)}


# --- GMime ----------------------------------------------------------------------


def gmime_content(part):
    content = base64.b64decode(part["content"])
    return f"{part['subject']}\n".encode() + content if "subject" in part else content


def gmime_part(part, path):
    children = part.get("children")
    found = [(path, part["type"].lower(), parameters(dict(part["params"])), part["disposition"], part["id"], part.get("filename"),
              None if children is not None else gmime_content(part))]
    for i, child in enumerate(children or (), 1):
        found += gmime_part(child, f"{path}.{i}".lstrip("."))
    return found


def unfolded(name):
    """GMime leaves a fold between two atoms of a name as it is, where RFC 5322 2.2.3 has it taken out."""
    return name and name.replace("\r\n", "")


def gmime_addresses(found):
    return [(unfolded(group), [(unfolded(name) or "", address) for name, address in boxes]) for group, boxes in found]


def gmime_reading(told, utf8=False):
    """GMime has the Content fields of a message with its outermost part. utf8: its header is RFC 6532's."""
    fields = told["fields"] + told["body"]["headers"]
    return Reading(names=[name for name, _ in fields], subject=told["subject"],
                   message_id=told["message-id"] and f"<{told['message-id']}>", date=told["date"],
                   addresses={name: gmime_addresses(told[name]) for name in ADDRESS_FIELDS},
                   parts=gmime_part(told["body"], ""), defects=[defect for defect in told["defects"] if not (utf8 and defect[1] == GMIME_8BIT_HEADER)],
                   fields={name.lower(): value for name, value in fields})
