# SPDX-License-Identifier: MIT
#
# The servers under test: how each kind is started, seen from outside (memory, CPU, descriptors)
# and stopped.  A server runs on an address of its own in 127/8, so that batteries that run at the
# same time cannot meet, nor run out of ports.

import ctypes
import os
import re
import resource
import signal
import socket
import subprocess
import tempfile
import time

START_S = 30  # generous: valgrind starts slowly
STOP_S = 30

KINDS = {  # name: (what to call it, command below the build directory, prints its address)
    "serve": ("vigil serve", ["vigil", "serve"], True),
    "echo": ("examples/echo", ["examples/echo"], False),
    "raw": ("raw epoll", ["bench/raw_epoll"], True),
    "raw-reads": ("raw epoll 4 reads", ["bench/raw_epoll_reads"], True),
    "raw-uring": ("raw io_uring", ["bench/raw_uring"], True),
    "bench": ("vigil, measured", ["bench/vigil"], True),
    "libuv": ("libuv", ["bench/libuv"], True),
    "libevent": ("libevent", ["bench/libevent"], True),
    "bufferevent": ("libevent bufferevent", ["bench/bufferevent"], True),
    "libev": ("libev", ["bench/libev"], True),
    "asio": ("Boost.Asio", ["bench/asio"], True),
    "golang": ("Go", ["bench/golang"], True),
    "node": ("Node", ["bench/node"], True),
    "python": ("Python asyncio", ["bench/python"], True),
    "bad": ("bad_echo", ["tests/battery/bad_echo"], True),
}

# Those of the benchmark that stand on one way to wait, which is their own, and end at SIGTERM.
ALONE = [name for name, (_, command, _) in KINDS.items()
         if command[0].startswith("bench/") and name != "bench"]


def backends_lacking(build):
    """The backends that do not work on this machine: why, by name."""
    table = subprocess.run([os.path.join(build, "vigil"), "backends"], capture_output=True,
                           text=True)
    return dict(re.findall(r"(?m)^[* ] (\w+) .* no: (.+)$", table.stdout))


class Fail(Exception):
    """What the server did wrong."""


class Skip(Exception):
    """Why a row cannot be run here."""


def wait_until(condition, seconds, what):
    """Waits for condition() to be true and answers it; `what` has not come true is a failure."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Fail(f"{what}: not within {seconds} s")
        time.sleep(0.005)


PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None)


def die_with_parent():
    """So that nothing is left behind when a run is interrupted."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def own_host():
    pid = os.getpid()
    return f"127.{1 + (pid >> 16) % 254}.{pid >> 8 & 255}.{pid & 255}"


class Server:
    """A running server; `options` are its own, `descriptors` is its `ulimit -n`."""

    stop_signal = signal.SIGTERM

    def __init__(self, kind, build, backend, options=(), descriptors=None):
        _, command, self.prints_address = KINDS[kind]
        self.ends = (0, -signal.SIGTERM) if kind in ALONE else (0,)
        self.command = [os.path.join(build, command[0]), *command[1:], *options]
        self.environment = dict(os.environ, VIGIL_BACKEND=backend)
        self.descriptors = descriptors
        self.errors = tempfile.TemporaryFile()
        self.process = None
        self.address = None

    def __enter__(self):
        try:
            for _ in range(5):  # a port found free may be taken before the server has it
                if self._start():
                    return self
            raise Fail(f"does not start: {self.said() or 'it said nothing'}")
        except BaseException:
            self.kill()
            raise

    def __exit__(self, error, *_):
        """A server that died explains whatever else went wrong."""
        try:
            if error is None and self.process.poll() is None:
                self.terminate()
                self.wait()
            if self.process.poll() not in (None, *self.ends):
                raise Fail(f"the server ended with {self.process.poll()}: {self.said()}")
        finally:
            self.kill()

    def _start(self):
        host, port = own_host(), 0
        if not self.prints_address:
            with socket.socket() as probe:
                probe.bind((host, 0))
                port = probe.getsockname()[1]
        self.process = subprocess.Popen(
            [*self.command, f"tcp://{host}:{port}"], env=self.environment, stderr=self.errors,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE if self.prints_address else None,
            preexec_fn=self._prepare)
        if self.prints_address:
            line = self.process.stdout.readline().decode().strip()
            if line.startswith("skip "):
                raise Skip(line.removeprefix("skip "))
            port = int(line.rpartition(":")[2]) if ":" in line else 0
        self.address = (host, port)
        return port and wait_until(lambda: self._listens() or self.process.poll() is not None,
                                   START_S, "listening") and self.process.poll() is None

    def _prepare(self):
        die_with_parent()
        if self.descriptors:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self.descriptors, self.descriptors))

    def _listens(self):
        try:
            socket.create_connection(self.address, START_S).close()
            return True
        except ConnectionRefusedError:
            return False

    def terminate(self):
        self.process.send_signal(self.stop_signal)

    def wait(self):
        """Waits for the server's end and answers its exit status."""
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            raise Fail(f"does not end within {STOP_S} s of SIGTERM") from None

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def said(self):
        """The end of what it wrote to stderr."""
        self.errors.seek(max(0, os.fstat(self.errors.fileno()).st_size - 2000))
        return self.errors.read().decode(errors="replace").strip()

    def must_live(self):
        if self.process.poll() is not None:
            raise Fail("the server is gone")

    def _proc(self, name):
        self.must_live()
        with open(f"/proc/{self.process.pid}/{name}", encoding="ascii") as file:
            return file.read()

    def rss(self):
        """Bytes of memory in use now."""
        for line in self._proc("status").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise Fail("the server is a zombie")

    def cpu_seconds(self):
        """CPU time of all its threads so far, and the time for which they had to wait for one."""
        self.must_live()
        used = waited = 0
        for thread in os.listdir(f"/proc/{self.process.pid}/task"):
            counters = self._proc(f"task/{thread}/schedstat").split()
            used, waited = used + int(counters[0]), waited + int(counters[1])
        return used / 1e9, waited / 1e9

    def cpu_share(self, seconds):
        """The share of one CPU that it uses over that time, once it has come to rest.  The time
        for which it wanted one and others had it does not count, so that a server that spins
        has 100 % on a busy machine too."""
        self.come_to_rest()
        began, (used, waited) = time.monotonic(), self.cpu_seconds()
        time.sleep(seconds)
        used_now, waited_now = self.cpu_seconds()
        elapsed = time.monotonic() - began - (waited_now - waited)
        return (used_now - used) / max(elapsed, used_now - used, 1e-9)

    def come_to_rest(self):
        """Until 50 ms pass in which it neither runs nor waits for a CPU, but for 1 ms; a server
        that spins gets 3 s to stop it."""
        deadline = time.monotonic() + 3
        before = -1.0
        while (now := sum(self.cpu_seconds())) - before > 0.001 and time.monotonic() < deadline:
            before = now
            time.sleep(0.05)

    def descriptor_count(self):
        self.must_live()
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))
