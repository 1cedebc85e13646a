"""A sockmuxd that is started, killed, told to read its file again, and asked; its log is collected from a disk that may be full.

The log file is kept small: what is in it goes to the folder of the run every few seconds, and it is cut to nothing then (the daemon appends).
"""
import json
import os
import random
import signal
import socket
import subprocess


def free_port(used=set()):
    """A port that nobody has, below those that the system gives to clients: a daemon that was killed finds it free again."""
    while True:
        port = random.SystemRandom().randint(12000, 31000)
        if port in used:
            continue
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(socket.AF_INET, kind) as sock:
                    sock.bind(("127.0.0.1", port))
        except OSError:
            continue
        used.add(port)
        return port


class Daemon:
    def __init__(self, world, name, words, disk):
        self.world, self.name, self.words = world, name, words
        self.folder = world.folder
        self.conf = os.path.join(self.folder, name + ".conf")
        self.control = os.path.join(self.folder, name + ".sock")
        self.logfile, self.pidfile = (os.path.join(disk, name + end) for end in (".log", ".pid"))
        self.kept = os.path.join(self.folder, "logs", name + ".log")
        self.extra = []             # words that are there now and then
        self.process, self.lives, self.logged = None, 0, 0
        self.expected_dead = True

    def write(self):
        words = self.words + self.extra + [f"LOGFILE={self.logfile}", f"PIDFILE={self.pidfile}", f"SOXCONF=control:{self.control}"]
        with open(self.conf + ".new", "w") as out:
            out.write("\n".join(words) + "\n")
        os.chmod(self.conf + ".new", 0o644)
        os.rename(self.conf + ".new", self.conf)

    def start(self):
        self.write()
        self.lives += 1
        self.expected_dead = False
        with open(os.path.join(self.folder, "logs", self.name + ".err"), "ab") as err:
            self.process = subprocess.Popen(["sh", "-c", 'ulimit -n "$0" && exec "$@"', str(self.world.options.descriptors),
                                             self.world.options.sockmuxd, "-f", "+=" + self.conf],
                                            stdin=subprocess.DEVNULL, stdout=err, stderr=err, cwd="/")
        self.world.guard.add(self.process.pid)

    @property
    def pid(self):
        return self.process.pid

    def kill(self):
        self.expected_dead = True
        self.process.kill()
        self.process.wait()

    def hup(self):
        self.write()
        self.process.send_signal(signal.SIGHUP)

    def ask_to_end(self):
        self.expected_dead = True
        self.process.terminate()

    def ended(self):
        """The exit status, or None if it needed a kill: 4 s are for its channels."""
        try:
            return self.process.wait(8)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def died(self):
        return not self.expected_dead and self.process.poll() is not None

    def ask(self, command):
        """What sockmuxctl tells of it; blocks, so only for the worker."""
        out = subprocess.run([self.world.options.sockmuxctl, command, "--json", "-s", self.control], stdin=subprocess.DEVNULL,
                             capture_output=True, timeout=10)
        if out.returncode:
            raise OSError(out.stderr.decode().strip())
        return json.loads(out.stdout)

    def collect(self):
        """Takes the log away from its disk."""
        try:
            with open(self.logfile, "rb+") as log:
                data = log.read()
                if data:
                    log.truncate(0)
        except OSError:
            return
        if data:
            self.logged += len(data)
            with open(self.kept, "ab") as out:
                out.write(data)


def can_do_secure(options, folder):
    out = subprocess.run([options.sockmuxd, "-t", "SERVER=sockmuxs", "-P127.0.0.1:0", "PORT=127.0.0.1:0",
                          f"SOXCONF=key:{folder}/none,peers:{folder}/none"], capture_output=True)
    return out.returncode != 69


def keys(options, folder, names):
    """A key file for each of two names, and the peers file that has the other one."""
    public = {}
    for name in names:
        file = os.path.join(folder, name + ".key")
        public[name] = subprocess.run([options.sockmuxctl, "genkey", file], check=True, capture_output=True, text=True).stdout.strip()
    for name, other in (names, names[::-1]):
        with open(os.path.join(folder, name + ".peers"), "w") as out:
            out.write(f"{other} {public[other]}\n")
        os.chmod(out.name, 0o644)  # read again on HUP, by OWNER
    return [f"SOXCONF=key:{folder}/{name}.key,peers:{folder}/{name}.peers" for name in names]


class Disk:
    """A small one for logs and PIDFILEs, that can be filled. Without root it is a folder, and never full."""

    def __init__(self, folder):
        self.folder = os.path.join(folder, "disk")
        os.makedirs(self.folder, exist_ok=True)
        os.chmod(self.folder, 0o777)
        self.mounted = False

    def mount(self):
        self.mounted = os.geteuid() == 0 and subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=1777", "soak", self.folder],
                                                            stderr=subprocess.DEVNULL).returncode == 0

    def fill(self):
        try:
            with open(os.path.join(self.folder, "filler"), "wb", buffering=0) as out:
                for size in (65536, 4096, 512, 1):
                    try:
                        while out.write(b"x" * size):
                            pass
                    except OSError:
                        pass
        except OSError:
            pass

    def full(self):
        left = os.statvfs(self.folder)
        return left.f_bavail == 0

    def empty(self):
        try:
            os.unlink(os.path.join(self.folder, "filler"))
        except OSError:
            pass

    def remove(self):
        if os.path.ismount(self.folder):  # though mount() was interrupted
            subprocess.run(["umount", "-l", self.folder], stderr=subprocess.DEVNULL)


class Guard:
    """A process that outlives the script if that is killed (-9): it ends the daemons then, and takes the disk away.

    PR_SET_PDEATHSIG would not do: it is forgotten when a daemon gives up root, see prctl(2). It hears of each daemon through a pipe, which ends
    with the script; a number that belongs to somebody else by then is known by its command line, where the folder of the run is not.
    """
    SCRIPT = ('while read -r pid; do pids="$pids $pid"; done; for pid in $pids; do '
              'if grep -qF -- "$0" "/proc/$pid/cmdline" 2>/dev/null; then kill -9 "$pid"; fi; done; umount -l "$1" 2>/dev/null')

    def __init__(self, folder, disk):
        # A session of its own: what ends the script by its terminal is not for it.
        self.process = subprocess.Popen(["sh", "-c", self.SCRIPT, folder + os.sep, disk], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, cwd="/", start_new_session=True)

    def add(self, pid):
        self.process.stdin.write(b"%d\n" % pid)
        self.process.stdin.flush()

    def close(self):
        self.process.stdin.close()
        self.process.wait()
