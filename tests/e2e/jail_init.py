"""The first process of a jail: see jail.py, which starts it.

Runs as root of new mount and process-id namespaces (and a user namespace
where the caller is not root).  Lays a private file system over the system's
own: the unpacked servers and our own /etc/passwd are seen at their usual
places here, and nowhere else.  Then obeys one JSON line at a time on its
standard input and answers each with one line.  At the end of its input it
ends, and the kernel ends every process of the jail with it.
"""

import ctypes
import json
import os
import select
import shutil
import signal
import sys
import time

MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC = 2, 4, 8, 4096, 16384

libc = ctypes.CDLL(None, use_errno=True)


def mount(source, target, kind, flags=0, data=None):
    def text(word):
        return None if word is None else os.fsencode(word)
    if libc.mount(text(source), text(target), text(kind),
                  ctypes.c_ulong(flags), text(data)) != 0:
        error = ctypes.get_errno()
        raise OSError(error, "mount %s on %s: %s" % (
            kind or "bind", target, os.strerror(error)))


def bind(source, target, flags=0):
    os.makedirs(target, exist_ok=True)
    mount(source, target, None, MS_BIND | flags)


def overlay(base, name, order):
    """Lays the unpacked servers' /name over the system's."""
    top, work = os.path.join(base, "top", name), os.path.join(base, "w", name)
    os.makedirs(top, exist_ok=True)
    os.makedirs(work)
    view = os.path.join(base, "root", name)
    os.mkdir(view)
    options = "lowerdir=/%s,upperdir=%s,workdir=%s" % (name, top, work)
    if order["user_namespace"]:
        options += ",userxattr"
    mount("overlay", view, "overlay", 0, options)


def lay(order):
    """Makes the private view and goes into it.  One overlay a directory: in
    a user namespace one of all of / is refused, for what is mounted in it."""
    base = os.path.join(order["work"], "view")
    os.makedirs(base, exist_ok=True)
    mount("tmpfs", base, "tmpfs", 0, "mode=0755")
    view = os.path.join(base, "root")
    os.mkdir(view)
    # Not as a second lower layer: it may lie below the first.
    shutil.copytree(order["tree"], base + "/top", symlinks=True)
    for name in sorted(os.listdir("/")):
        if os.path.islink("/" + name):
            os.symlink(os.readlink("/" + name), os.path.join(view, name))
        elif name in ("bin", "sbin", "lib", "lib64", "usr", "etc", "var"):
            overlay(base, name, order)
    for name in ("run", "tmp", "proc", "root"):
        os.mkdir(os.path.join(view, name))
    os.chmod(view + "/tmp", 0o1777)
    mount("proc", view + "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    bind("/dev", view + "/dev", MS_REC)
    for path in ("/var/mail", "/var/spool"):
        if os.path.isdir(view + path) and not os.path.islink(view + path):
            mount("tmpfs", view + path, "tmpfs", 0, "mode=0755")
    bind(order["work"], view + order["work"])
    os.chroot(view)
    os.chdir("/")


def _free_id(taken):
    number = 30000
    while number in taken:
        number += 1
    taken.add(number)
    return number


def add_users(order):
    """The servers' users and groups, in this jail's own /etc only."""
    with open("/etc/passwd") as stream:
        users = [line.rstrip("\n").split(":") for line in stream if line.strip()]
    with open("/etc/group") as stream:
        groups = [line.rstrip("\n").split(":") for line in stream if line.strip()]
    uids = {int(u[2]) for u in users if len(u) == 7} | {order["mail_uid"]}
    gids = {int(g[2]) for g in groups if len(g) == 4} | {order["mail_uid"]}
    users = [u for u in users if u[0] not in order["users"]]
    groups = [g for g in groups if g[0] not in order["groups"]]
    numbers = {}
    for name in order["groups"]:
        numbers[name] = order["mail_uid"] if name == order["mail_user"] \
            else _free_id(gids)
        groups.append([name, "x", str(numbers[name]), ""])
    for name in order["users"]:
        uid = order["mail_uid"] if name == order["mail_user"] \
            else _free_id(uids)
        users.append([name, "x", str(uid), str(numbers[name]), "", "/",
                      "/usr/sbin/nologin"])
    for path, rows in (("/etc/passwd", users), ("/etc/group", groups)):
        write_file(path, "".join(":".join(row) + "\n" for row in rows), 0o644)
    for path, content in order["files"].items():
        write_file(path, content, 0o644)


def give_rights():
    """The rights that the packages' installation would give (the cache holds
    no program with rights, see packages.py); only this jail sees them."""
    os.chmod("/usr/sbin/exim4", 0o4755)
    for name in ("postdrop", "postqueue"):
        shutil.chown("/usr/sbin/" + name, "root", "postdrop")
        os.chmod("/usr/sbin/" + name, 0o2755)


def write_file(path, content, mode, owner=None):
    """A new file in the place of the old one, parents made as needed."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".new", "w") as stream:
        stream.write(content)
    os.chmod(path + ".new", mode)
    if owner:
        shutil.chown(path + ".new", *owner.split(":"))
    os.rename(path + ".new", path)


class Init:
    """Obeys orders; holds the processes that were started by name."""

    def __init__(self):
        self.running = {}       # name -> pid
        self.ended = {}         # pid -> wait status
        self.pending = b""
        self.wake_r, wake_w = os.pipe()
        os.set_blocking(wake_w, False)
        os.set_blocking(self.wake_r, False)
        signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def reap(self):
        """As process 1 we inherit every orphan."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self.ended[pid] = status

    def wait_until(self, pid, deadline):
        """The exit status of a child of ours, or None at the deadline."""
        while True:
            self.reap()
            if pid in self.ended:
                return os.waitstatus_to_exitcode(self.ended.pop(pid))
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            if select.select([self.wake_r], [], [], left)[0]:
                os.read(self.wake_r, 4096)

    def spawn(self, argv, env, output):
        handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        actions = [(os.POSIX_SPAWN_DUP2, handle, 1),
                   (os.POSIX_SPAWN_DUP2, handle, 2),
                   (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)]
        try:
            return os.posix_spawnp(argv[0], argv, env, file_actions=actions,
                                   setsid=True, setsigmask=[],
                                   setsigdef=[signal.SIGPIPE])
        finally:
            os.close(handle)

    def environment(self, order):
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C",
               "HOME": "/", "TZ": "UTC"}
        env.update(order.get("env") or {})
        return env

    def do_start(self, order):
        pid = self.spawn(order["argv"], self.environment(order),
                         order["output"])
        self.running[order["name"]] = pid
        return {"pid": pid}

    def do_run(self, order):
        pid = self.spawn(order["argv"], self.environment(order),
                         order["output"])
        limit = time.monotonic() + order.get("seconds", 300)
        status = self.wait_until(pid, limit)
        if status is None:
            os.killpg(pid, signal.SIGKILL)
            self.wait_until(pid, time.monotonic() + 5)
        return {"status": status}

    def do_alive(self, order):
        self.reap()
        pid = self.running.get(order["name"])
        return {"alive": pid is not None and pid not in self.ended}

    def do_stop(self, order):
        """Ends a started program and all of its process group."""
        pid = self.running.pop(order["name"], None)
        if pid is None:
            return {"status": None}
        number = signal.Signals[order.get("signal", "SIGTERM")]
        limit = time.monotonic() + order.get("seconds", 10)
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass
        status = self.wait_until(pid, limit)
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        if status is None:
            status = self.wait_until(pid, time.monotonic() + 5)
        return {"status": status}

    def do_signal(self, order):
        os.kill(self.running[order["name"]], signal.Signals[order["signal"]])
        return {}

    def do_write(self, order):
        write_file(order["path"], order["content"], order["mode"],
                   order.get("owner"))
        return {}

    def do_directory(self, order):
        os.makedirs(order["path"], exist_ok=True)
        os.chmod(order["path"], order["mode"])
        if order.get("owner"):
            shutil.chown(order["path"], *order["owner"].split(":"))
        return {}

    def do_mode(self, order):
        os.chmod(order["path"], order["mode"])
        return {}

    def do_open_up(self, order):
        """Lets a caller who is not root read what the servers wrote."""
        for directory, names, files in os.walk(order["path"]):
            os.chmod(directory, 0o755)
            for name in files:
                path = os.path.join(directory, name)
                if not os.path.islink(path):
                    os.chmod(path, 0o644)
        return {}

    def answer(self, order):
        try:
            words = getattr(self, "do_" + order["do"])(order)
        except Exception as problem:
            words = {"error": "%s: %s" % (order.get("do"), problem)}
        sys.stdout.write(json.dumps(words) + "\n")
        sys.stdout.flush()

    def serve(self):
        """Until the end of the input: our caller has gone or wants an end."""
        while True:
            ready = select.select([0, self.wake_r], [], [])[0]
            if self.wake_r in ready:
                os.read(self.wake_r, 4096)
                self.reap()
            if 0 not in ready:
                continue
            piece = os.read(0, 65536)
            if not piece:
                return
            self.pending += piece
            while b"\n" in self.pending:
                line, self.pending = self.pending.split(b"\n", 1)
                self.answer(json.loads(line))


def main():
    order = json.loads(sys.stdin.buffer.readline())
    try:
        lay(order)
        add_users(order)
        give_rights()
    except OSError as problem:
        print(json.dumps({"error": str(problem)}), flush=True)
        return 1
    os.umask(0o022)
    print(json.dumps({}), flush=True)
    Init().serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
