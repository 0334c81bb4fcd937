"""A jail: namespaces in which unpacked mail servers run as if installed.

Postfix, Dovecot and Exim have paths (/usr/lib/postfix, /etc/exim4) and users
(postfix, dovecot) compiled in.  A jail is a mount namespace in which these
exist, laid over the system's own files, which are not touched; and a process
namespace, so that nothing in it outlives it, even when the test is killed
with signal 9.  The network is the system's: servers listen on loopback.

Needs root, or sudo without a password, or a user namespace with subordinate
ids (newuidmap).  Raises packages.Missing where none of these is possible.
"""

import ctypes
import json
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys

import packages

PR_SET_PDEATHSIG = 1
MAIL_USER = "vmail"
USERS = ["postfix", "dovecot", "dovenull", "Debian-exim", "opensmtpd",
         "opensmtpq", "smmta", "smmsp", MAIL_USER]
GROUPS = USERS + ["postdrop"]

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent():
    """For preexec_fn: SIGTERM is no use here, the parent may be gone."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


PR_CAPBSET_DROP = 24
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2


def heed_owners():
    """For preexec_fn: owners and modes of files count for root too, once it
    has begun another program."""
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def free_ports(count):
    """Ports of 127.0.0.1 that nobody uses now, below those that the kernel
    gives to clients: a server that is started later finds its port still
    free.  Whoever starts a server tries again with others all the same."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as stream:
        lowest = int(stream.read().split()[0])
    span = range(10000, lowest) if lowest > 15000 else range(61000, 65535)
    sockets = []
    try:
        for port in random.sample(span, len(span)):
            if len(sockets) == count:
                break
            s = socket.socket()
            sockets.append(s)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                sockets.pop().close()
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


def _quiet(argv):
    try:
        return subprocess.run(argv, stdin=subprocess.DEVNULL, timeout=20,
                              stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.STDOUT)
    except (OSError, subprocess.TimeoutExpired) as problem:
        return subprocess.CompletedProcess(argv, 127, str(problem))


def _way_in():
    """The command line before the jail's first program, and whether it makes
    a user namespace."""
    namespaces = ["unshare", "--mount", "--propagation", "private", "--pid",
                  "--fork", "--kill-child=SIGKILL"]
    if os.geteuid() == 0:
        tries = [(namespaces, False)]
    else:
        tries = [(["sudo", "-n"] + namespaces, False),
                 (namespaces + ["--user", "--map-root-user", "--map-auto"],
                  True)]
    words = []
    for argv, user_namespace in tries:
        done = _quiet(argv + ["true"])
        if done.returncode == 0:
            return argv, user_namespace
        words.append("%s: %s" % (" ".join(argv[:2]), done.stdout.strip()))
    raise packages.Missing(
        "no namespaces for the mail servers (root, sudo without a password, "
        "or a user namespace with newuidmap and /etc/subuid is needed): "
        + "; ".join(words))


class Jail:
    """One jail; `work` is the directory that inside and outside share under
    the same name.  close() ends everything in it, and returns after that."""

    def __init__(self, work):
        self.work = os.path.realpath(work)
        self.process = None
        tree = packages.root()
        way, self.user_namespace = _way_in()
        self.mail_uid = os.getuid() if os.getuid() >= 100 and \
            not self.user_namespace else 29999
        inner = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                             "jail_init.py")
        self.errors = open(os.path.join(self.work, "jail.log"), "ab")
        self.process = subprocess.Popen(
            way + ["/usr/bin/python3", "-B", inner], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self.errors,
            start_new_session=True, preexec_fn=die_with_parent)
        try:
            self._ask({"work": self.work, "tree": tree,
                       "user_namespace": self.user_namespace,
                       "users": USERS, "groups": GROUPS,
                       "mail_user": MAIL_USER, "mail_uid": self.mail_uid,
                       "files": self._files()})
        except packages.Missing:
            self.close()
            raise

    @staticmethod
    def _files():
        return {
            "/etc/hosts": "127.0.0.1 localhost\n",
            "/etc/hostname": "mail\n",
            "/etc/resolv.conf": "",
            "/etc/mailname": "mail.rig.example\n",
            "/etc/services": "smtp 25/tcp\n",
            "/etc/nsswitch.conf": "passwd: files\ngroup: files\n"
                                  "hosts: files\nservices: files\n",
        }

    def _ask(self, order, seconds=90):
        line = json.dumps(order) + "\n"
        try:
            self.process.stdin.write(line.encode())
            self.process.stdin.flush()
            if not select.select([self.process.stdout], [], [], seconds)[0]:
                raise packages.Missing("the jail does not answer")
            text = self.process.stdout.readline()
        except BrokenPipeError:
            text = b""
        if not text:
            self.errors.flush()
            with open(self.errors.name, errors="replace") as stream:
                raise packages.Missing("the jail ended: %s"
                                       % stream.read()[-800:].strip())
        words = json.loads(text)
        if "error" in words:
            raise packages.Missing("in the jail: %s" % words["error"])
        return words

    def run(self, argv, env=None, seconds=60):
        """Runs a program to its end: (exit status or None, its output)."""
        path = os.path.join(self.work, "output.%d" % os.getpid())
        words = self._ask({"do": "run", "argv": argv, "env": env,
                           "output": path, "seconds": seconds}, seconds + 20)
        with open(path, errors="replace") as stream:
            text = stream.read()
        self._ask({"do": "write", "path": path, "content": "",
                   "mode": 0o644})
        return words["status"], text

    def start(self, name, argv, output, env=None):
        """Starts a server; its output is appended to a file."""
        return self._ask({"do": "start", "name": name, "argv": argv,
                          "env": env, "output": output})["pid"]

    def alive(self, name):
        return self._ask({"do": "alive", "name": name})["alive"]

    def stop(self, name, number="SIGTERM", seconds=10):
        """Ends a server and its process group; answers its exit status."""
        return self._ask({"do": "stop", "name": name, "signal": number,
                          "seconds": seconds}, seconds + 20)["status"]

    def signal(self, name, number):
        self._ask({"do": "signal", "name": name, "signal": number})

    def write(self, path, content, mode=0o644, owner=None):
        self._ask({"do": "write", "path": path, "content": content,
                   "mode": mode, "owner": owner})

    def directory(self, path, mode=0o755, owner=None):
        self._ask({"do": "directory", "path": path, "mode": mode,
                   "owner": owner})

    def mode(self, path, mode):
        self._ask({"do": "mode", "path": path, "mode": mode})

    def readable(self, path):
        """Makes what the servers wrote readable for a caller who is not
        root; does nothing for root."""
        if os.geteuid() != 0:
            self._ask({"do": "open_up", "path": path})

    def close(self):
        if self.process is None:
            return
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            # Its death is the death of all in its process namespace.
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.errors.close()
        self.process = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def remove(work):
    """Removes a work directory, also what the jail's users own in it."""
    shutil.rmtree(work, ignore_errors=True)
    if os.path.exists(work) and os.geteuid() != 0:
        for argv in (["sudo", "-n", "rm", "-rf", work],
                     ["unshare", "--user", "--map-root-user", "--map-auto",
                      "rm", "-rf", work]):
            if _quiet(argv).returncode == 0:
                return


if __name__ == "__main__":
    sys.exit("jail.py is a module")
