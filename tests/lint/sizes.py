#!/usr/bin/python3
"""sizes.py TOP - a function fits a screen, a file a sitting.

Refuses functions over 100 lines, .c files over 500, .h files over 150, and
headers with more than 14 prototypes, in the folders of the product. Needs
universal-ctags.
"""
import collections
import json
import os
import subprocess
import sys

FOLDERS = ["common", "storage", "mime", "smtp", "run", "daemon", "cli", "token"]
FUNCTION, SOURCE, HEADER, PROTOTYPES = 100, 500, 150, 14


def tags(paths, kind):
    output = subprocess.run(
        ["ctags", "--options=NONE", "--languages=C", "--langmap=C:.c.h", f"--kinds-C={kind}", "--fields=+ne",
         "--output-format=json", "-f", "-"] + paths, capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in output.splitlines()]


def main(top):
    os.chdir(top)
    paths = sorted(os.path.join(folder, name) for folder in FOLDERS for name in os.listdir(folder)
                   if name.endswith((".c", ".h")))
    sources = [path for path in paths if path.endswith(".c")]
    headers = [path for path in paths if path.endswith(".h")]
    bad = []
    for path in paths:
        lines, most = open(path).read().count("\n"), SOURCE if path.endswith(".c") else HEADER
        if lines > most:
            bad.append(f"{path}: {lines} lines, at most {most}")
    for tag in tags(sources, "f"):
        length = tag.get("end", tag["line"]) - tag["line"] + 1
        if length > FUNCTION:
            bad.append(f"{tag['path']}: {tag['name']}() has {length} lines, at most {FUNCTION}")
    for path, count in collections.Counter(tag["path"] for tag in tags(headers, "p")).items():
        if count > PROTOTYPES:
            bad.append(f"{path}: {count} prototypes, at most {PROTOTYPES}")
    print("\n".join(bad) if bad else f"{len(paths)} files within the limits")
    return 1 if bad else 0


sys.exit(main(sys.argv[1]))
