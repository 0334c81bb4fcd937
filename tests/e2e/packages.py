"""Debian's mail servers, unpacked beside the system and never installed.

Debian's MTAs exclude one another as packages, and installing one starts it.
So the packages, with the libraries that this machine lacks, are downloaded
with apt-get, unpacked into a cache directory and used from there
(see jail.py).  Nothing outside the cache is written, no root is needed.

root() returns the directory.  It is made once and used again; several runs
that race make it once.  Raises Missing, with words, where it cannot be had.
"""

import fcntl
import glob
import hashlib
import os
import re
import shutil
import stat
import subprocess

SERVERS = ["postfix", "dovecot-core", "dovecot-submissiond",
           "exim4-daemon-light", "opensmtpd", "sendmail-bin"]
# What Sendmail's configuration and passwords are made with.
TOOLS = ["m4", "sasl2-bin", "libsasl2-modules", "libsasl2-modules-db"]
# Other people's clients, to show that a rig works before outboxd is judged.
CLIENTS = ["swaks", "gsasl"]

# Programs that must find all their libraries in the unpacked tree.
PROGRAMS = [
    "usr/lib/postfix/sbin/master", "usr/lib/postfix/sbin/smtpd",
    "usr/lib/postfix/sbin/virtual", "usr/sbin/dovecot",
    "usr/lib/dovecot/auth", "usr/lib/dovecot/submission",
    "usr/sbin/exim4", "usr/sbin/smtpd",
    "usr/libexec/sendmail/sendmail", "usr/sbin/saslpasswd2",
    "usr/bin/m4", "usr/bin/gsasl",
]

# Needed by the packages' own installation, never by the servers.
UNWANTED = {"debconf", "adduser", "ssl-cert", "ucf", "cpio", "lsb-base",
            "init-system-helpers", "sysvinit-utils", "cron", "netbase",
            "make", "perl", "procps", "ed", "lockfile-progs"}

LAYOUT = 1      # raise it when what lies in the cache is made another way


class Missing(Exception):
    """A rig cannot be built on this machine; the text says why."""


def cache_directory():
    """The directory that is kept between runs, outside the source tree."""
    given = os.environ.get("OUTBOXD_CACHE")
    if given:
        return os.path.abspath(given)
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "outboxd-tests")


def _run(argv, cwd=None):
    """Runs a program, answers (status, output); its words are in English."""
    env = dict(os.environ, LC_ALL="C", DEBIAN_FRONTEND="noninteractive")
    try:
        done = subprocess.run(argv, cwd=cwd, env=env, text=True, timeout=600,
                              stdin=subprocess.DEVNULL, errors="replace",
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
    except FileNotFoundError:
        raise Missing("%s is not on this machine" % argv[0])
    except subprocess.TimeoutExpired:
        raise Missing("%s took longer than 10 minutes" % " ".join(argv))
    return done.returncode, done.stdout


def _release():
    """'debian-12-amd64': what the cache must be remade for."""
    words = {}
    with open("/etc/os-release") as stream:
        for line in stream:
            key, _, value = line.strip().partition("=")
            words[key] = value.strip('"')
    status, arch = _run(["dpkg", "--print-architecture"])
    if status != 0:
        raise Missing("dpkg does not work here: %s" % arch.strip())
    return "%s-%s-%s" % (words.get("ID", "unknown"),
                         words.get("VERSION_ID", "0"), arch.strip())


class _Apt:
    """apt-get with the system's package lists, or with a private copy of
    them where the system has none (so that no root is needed)."""

    def __init__(self, cache):
        self.lists = os.path.join(cache, "apt")
        self.options = []

    def private_lists(self):
        """Fetches package lists of our own; answers apt's output."""
        os.makedirs(os.path.join(self.lists, "lists/partial"), exist_ok=True)
        os.makedirs(os.path.join(self.lists, "cache/archives/partial"),
                    exist_ok=True)
        self.options = ["-o", "Dir::State::Lists=%s/lists" % self.lists,
                        "-o", "Dir::Cache=%s/cache" % self.lists]
        return _run(["apt-get"] + self.options + ["update"])

    def needs(self, package):
        """What apt would install for a package: itself and what is lacking.
        None if apt does not know or cannot arrange it."""
        status, text = _run(["apt-get"] + self.options +
                            ["-s", "--no-install-recommends", "install",
                             package])
        if status != 0:
            return None, text
        found = re.findall(r"^Inst (\S+)", text, re.M)
        # Already installed here: unpack it all the same, at this version.
        return sorted(set(found) | {package}), text

    def download(self, packages, directory):
        return _run(["apt-get"] + self.options + ["download"] + packages,
                    cwd=directory)


def _choose(apt):
    """The names of all packages to be unpacked."""
    names = set()
    for package in SERVERS + TOOLS + CLIENTS:
        needed, text = apt.needs(package)
        if needed is None:
            status, update = apt.private_lists()
            needed, text = apt.needs(package)
            if needed is None:
                raise Missing("apt-get does not find %s: %s" % (
                    package, (text + update).strip()[-800:]))
        names.update(needed)
    return sorted(name for name in names
                  if name.split(":")[0] not in UNWANTED)


def _download(apt, names, directory):
    status, text = apt.download(names, directory)
    if status != 0:
        # Lists that are older than the archive name files that are gone.
        apt.private_lists()
        status, text = apt.download(names, directory)
    if status != 0:
        raise Missing("apt-get download failed: %s" % text.strip()[-800:])


def _unpack(archive, root):
    """Unpacks one .deb.  Follows the system's merged /usr: a real 'lib' in
    our tree would hide the system's symbolic link of that name."""
    tar = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive],
                           stdout=subprocess.PIPE)
    owner = [] if os.geteuid() == 0 else ["--no-same-owner"]
    done = subprocess.run(["tar", "-x", "--keep-directory-symlink", "-C", root]
                          + owner, stdin=tar.stdout)
    tar.stdout.close()
    if tar.wait() != 0 or done.returncode != 0:
        raise Missing("cannot unpack %s" % os.path.basename(archive))


def _merge_links(root):
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        if os.path.islink("/" + name):
            target = os.readlink("/" + name)
            os.makedirs(os.path.join(root, target), exist_ok=True)
            os.symlink(target, os.path.join(root, name))


def _unmerge_links(root):
    """The links have done their work; the system's own show through."""
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = os.path.join(root, name)
        if os.path.islink(path):
            os.unlink(path)


def _strip_documents(root):
    """Each jail copies the tree into memory: without its manuals."""
    for name in ("doc", "man", "locale", "info", "lintian"):
        shutil.rmtree(os.path.join(root, "usr/share", name),
                      ignore_errors=True)


def _strip_privileges(root):
    """A cache directory holds no program that gives its caller rights; the
    jail gives exim4 its bit back where only the jail sees it."""
    for directory, _, names in os.walk(root):
        for name in names:
            path = os.path.join(directory, name)
            mode = os.lstat(path).st_mode
            if not stat.S_ISLNK(mode) and mode & 0o6000:
                os.chmod(path, stat.S_IMODE(mode) & ~0o6000)


def lacking(root):
    """Libraries that a program of the tree would not find: list of words."""
    paths = sorted(set(
        os.path.dirname(p) for p in
        glob.glob(root + "/usr/lib/**/*.so*", recursive=True)))
    env = dict(os.environ, LD_LIBRARY_PATH=":".join(paths), LC_ALL="C")
    problems = []
    for program in PROGRAMS:
        path = os.path.join(root, program)
        if not os.path.exists(path):
            problems.append("%s is absent" % program)
            continue
        text = subprocess.run(["ldd", path], env=env, text=True,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT).stdout
        for line in text.splitlines():
            if "not found" in line:
                problems.append("%s: %s" % (program, line.strip()))
    return problems


def _build(cache, target):
    """Makes the tree in a directory of its own and renames it into place."""
    making = "%s.new.%d" % (target, os.getpid())
    shutil.rmtree(making, ignore_errors=True)
    root = os.path.join(making, "root")
    debs = os.path.join(making, "debs")
    os.makedirs(root)
    os.makedirs(debs)
    try:
        apt = _Apt(cache)
        _download(apt, _choose(apt), debs)
        _merge_links(root)
        archives = sorted(glob.glob(debs + "/*.deb"))
        for archive in archives:
            _unpack(archive, root)
        _unmerge_links(root)
        _strip_documents(root)
        _strip_privileges(root)
        with open(os.path.join(making, "packages"), "w") as stream:
            for archive in archives:
                stream.write(os.path.basename(archive) + "\n")
        shutil.rmtree(debs)
        problems = lacking(root)
        if problems:
            raise Missing("the unpacked servers do not run here: " +
                          "; ".join(problems))
        os.rename(making, target)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def root():
    """The directory with the unpacked servers; makes it if it is not there.
    Blocks while another run is making it."""
    cache = cache_directory()
    try:
        os.makedirs(cache, exist_ok=True)
        release = _release()
    except OSError as problem:
        raise Missing("no cache directory: %s" % problem)
    wanted = " ".join(SERVERS + TOOLS + CLIENTS) + " %d" % LAYOUT
    mark = hashlib.sha256(wanted.encode()).hexdigest()[:8]
    target = os.path.join(cache, "servers-%s-%s" % (release, mark))
    with open(target + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        tree = os.path.join(target, "root")
        if os.path.isdir(tree) and lacking(tree):
            # The machine lost a library that it had then.
            shutil.rmtree(target)
        if not os.path.isdir(tree):
            _build(cache, target)
        return tree


def versions():
    """The file names of the packages in the cache, for a report."""
    with open(os.path.join(os.path.dirname(root()), "packages")) as stream:
        return stream.read().split()


if __name__ == "__main__":
    import sys
    try:
        print(root())
    except Missing as problem:
        sys.exit("packages: %s" % problem)
