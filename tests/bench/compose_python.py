#!/usr/bin/python3
"""compose_python.py TIMES [FILE] - does with Python's email package what compose_ours.c does."""
import datetime
import email.message
import email.policy
import os
import re
import sys
import time

TEXT_H = os.path.join(os.path.dirname(os.path.abspath(__file__)), "compose_text.h")


def texts():
    """The strings of compose_text.h, by name."""
    found = {}
    for name, value in re.findall(r"#define BENCH_(\w+)\s+(.*)", open(TEXT_H, encoding="utf-8").read()):
        words = re.findall(r'"(?:[^"\\]|\\.)*"|BENCH_\w+', value)
        found[name] = "".join(found[word[6:]] if word.startswith("BENCH_") else
                              re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m[1], m[1]), word[1:-1]) for word in words)
    return found


def compose(text, number, date, content):
    message = email.message.EmailMessage(policy=email.policy.SMTP)
    message["Date"] = date
    message["Message-ID"] = f"<{number}.bench@acme.example>"
    message["From"], message["To"], message["Subject"] = text["FROM"], text["TO"], text["SUBJECT"]
    message.set_content(text["TEXT"], cte="quoted-printable")
    if content is not None:
        message.add_attachment(content, maintype="application", subtype="pdf", filename=text["FILENAME"])
    return len(message.as_bytes())


def main(times, path):
    text = texts()
    content = open(path, "rb").read() if path else None
    date = datetime.datetime.fromtimestamp(1764039900, datetime.timezone.utc)
    start = time.process_time()
    octets = sum(compose(text, number, date, content) for number in range(1, times + 1))
    print(f"{time.process_time() - start:.6f} {octets}")


main(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
