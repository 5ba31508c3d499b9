#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# run.py [VIGIL] [WORD...] -- tests of the command `vigil`, as TAP: its manners, the echo server and
# the clients.
#
# VIGIL is build/vigil unless given; with WORDs only the rows whose name has one of them run.
# Everything waits for a condition, with a bound; nothing sleeps and hopes.

import contextlib
import ctypes
import errno
import fcntl
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import traceback

VIGIL = sys.argv[1] if len(sys.argv) > 1 else "build/vigil"
BACKENDS = ["select", "poll", "epoll", "io_uring"]
BOUND = 60.0  # seconds: far more than anything here takes on a busy machine
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("VIGIL_")}

rows = []  # (name, function)


class Skip(Exception):
    """A row that this machine cannot show, and why."""


def row(function):
    rows.append((function.__name__.replace("_", " "), function))
    return function


def row_per_backend(function):
    for backend in BACKENDS:
        name = function.__name__.replace("_", " ") + " on " + backend
        rows.append((name, lambda f=function, b=backend: f(b)))
    return function


# ---- helpers ---------------------------------------------------------------------------------


def equal(got, want, what=""):
    if got != want:
        raise AssertionError(f"{what}\n  got  {got!r}\n  want {want!r}")


def matches(pattern, text):
    if not re.search(pattern, text):
        raise AssertionError(f"\n  got  {text!r}\n  want /{pattern}/")


def until(condition, what):
    """Waits until condition() answers something true, and answers that."""
    deadline = time.monotonic() + BOUND
    while time.monotonic() < deadline:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.002)
    raise AssertionError(f"waited {BOUND:g} s in vain: {what}")


def run(*words, env=None, stdin=b""):
    """Runs vigil to its end; answers (exit status, stdout, stderr)."""
    done = subprocess.run([VIGIL, *words], input=stdin, env={**ENVIRONMENT, **(env or {})},
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=BOUND)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


libc = ctypes.CDLL(None, use_errno=True)


class Denied:
    """From now on the system call of that number answers EPERM, for this process and its children:
    seccomp(2) with a filter as bpf(4) has it."""
    PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
    LOAD_NUMBER, EQUAL_OR_SKIP_1, RETURN = (0x20, 0, 0), (0x15, 0, 1), (0x06, 0, 0)
    ALLOW, FAIL_WITH = 0x7fff0000, 0x00050000

    def __init__(self, number):  # all memory is made here: what runs behind a fork takes none
        code = [(*self.LOAD_NUMBER, 0), (*self.EQUAL_OR_SKIP_1, number),
                (*self.RETURN, self.FAIL_WITH | errno.EPERM), (*self.RETURN, self.ALLOW)]
        self.code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *c) for c in code))
        self.program = ctypes.create_string_buffer(
            struct.pack("HP", len(code), ctypes.addressof(self.code)))

    def __call__(self):
        zero = ctypes.c_ulong(0)
        if (libc.prctl(self.PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), zero, zero, zero) != 0 or
                libc.prctl(self.PR_SET_SECCOMP, ctypes.c_ulong(self.SECCOMP_MODE_FILTER),
                           self.program, zero, zero) != 0):
            os._exit(CANNOT_DENY)


CANNOT_DENY = 77  # an exit status that vigil has not


def run_denied(number, *words):
    """run() where that system call is denied."""
    done = subprocess.run([VIGIL, *words], env=ENVIRONMENT, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=BOUND,
                          preexec_fn=Denied(number), check=False)
    if done.returncode == CANNOT_DENY:
        raise Skip("system calls cannot be denied here")
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def run_redirected(redirections, *words):
    """run(), with what the shell makes of its standard streams."""
    done = subprocess.run(["sh", "-c", f'exec "$0" "$@" {redirections}', VIGIL, *words],
                          env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=BOUND)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


class Command:
    """vigil in the background; its output is collected as it comes."""

    def __init__(self, *words, env=None):
        self.process = subprocess.Popen([VIGIL, *words], env={**ENVIRONMENT, **(env or {})},
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        self.stdout = b""
        self.stderr = b""
        self.readers = [threading.Thread(target=self._collect, args=(name,), daemon=True)
                        for name in ("stdout", "stderr")]
        for reader in self.readers:
            reader.start()

    def _collect(self, name):
        stream = getattr(self.process, name)
        while chunk := os.read(stream.fileno(), 1 << 16):
            setattr(self, name, getattr(self, name) + chunk)

    def lines(self):
        return self.stderr.decode().split("\n")

    def said(self, text):
        until(lambda: text in self.stderr.decode() or self.process.poll() is not None,
              f"{text!r} on stderr")
        assert text in self.stderr.decode(), f"it ended without {text!r}: {self.stderr!r}"

    def feed(self, data):
        """Writes to its stdin, which it must read within the bound."""
        fd = self.process.stdin.fileno()
        os.set_blocking(fd, False)
        left = memoryview(data)
        while left:
            assert select.select([], [fd], [], BOUND)[1], "it does not read its stdin"
            left = left[os.write(fd, left):]

    def signal(self, number):
        self.process.send_signal(number)

    def end(self):
        """Waits for its end; answers the exit status."""
        status = self.process.wait(BOUND)
        for reader in self.readers:
            reader.join(BOUND)
        return status

    def stop(self):
        self.signal(signal.SIGTERM)
        return self.end()

    def __enter__(self):
        return self

    def __exit__(self, *why):
        if self.process.poll() is None:
            self.process.kill()
        self.end()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(BrokenPipeError):
                stream.close()


class Serve(Command):
    """vigil serve; `where` are the addresses that it printed."""

    def __init__(self, *words, count=1, env=None):
        super().__init__("serve", *words, env=env)
        until(lambda: self.stdout.count(b"\n") >= count or self.process.poll() is not None,
              "the addresses bound")
        self.where = self.stdout.decode().split("\n")[:-1]
        if len(self.where) != count:
            self.process.kill()
            self.end()
            raise AssertionError(f"it did not start: {self.stdout!r} {self.stderr!r}")

    def connect(self, i=0, receive_buffer=None):
        return connect(self.where[i], receive_buffer)


def connect(where, receive_buffer=None):
    if where.startswith("unix:"):
        client = socket.socket(socket.AF_UNIX)
        address = where[5:].replace("@", "\0", 1) if where[5] == "@" else where[5:]
    else:
        host, port = where[len("tcp://"):].rsplit(":", 1)
        client = socket.socket(socket.AF_INET6 if host[0] == "[" else socket.AF_INET)
        address = (host.strip("[]"), int(port))
    if receive_buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.settimeout(BOUND)
    client.connect(address)
    return client


def receive_all(client):
    parts = []
    while part := client.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


def receive(client, n):
    parts = b""
    while len(parts) < n:
        part = client.recv(n - len(parts))
        assert part, f"the end after {len(parts)} of {n} bytes"
        parts += part
    return parts


def refuses(where):
    """Whether nobody listens there any more."""
    try:
        connect(where).close()
    except (ConnectionRefusedError, FileNotFoundError):
        return True
    except ConnectionResetError:
        pass  # it is closing just now
    return False


def taken_by_peer(client):
    """Whether the peer's system has acknowledged every byte that was sent."""
    return fcntl.ioctl(client, termios.TIOCOUTQ, b"\0" * 4) == b"\0" * 4


class OddServer:
    """A server of the test's own: `serve(connection)` runs in a thread for every connection."""

    def __init__(self, serve):
        self.serve = serve
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.where = "tcp://127.0.0.1:%d" % self.listener.getsockname()[1]
        self.connections = []
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    def _accept(self):
        with contextlib.suppress(OSError):  # the listener is shut down at the end
            while True:
                connection, _ = self.listener.accept()
                connection.settimeout(BOUND)
                self.connections.append(connection)
                self.threads.append(threading.Thread(target=self._serve, args=(connection,),
                                                     daemon=True))
                self.threads[-1].start()

    def _serve(self, connection):
        with contextlib.suppress(OSError):  # the client may leave at any time
            self.serve(connection)

    def __enter__(self):
        return self

    def __exit__(self, *why):
        """Shuts down, and closes only what no thread waits for any more: a thread that is about
        to wait for a descriptor whose number is used again would hold the new file open."""
        self._shut_down(self.listener)
        self.threads[0].join(BOUND)
        for connection in self.connections:
            self._shut_down(connection)
        for thread in self.threads:
            thread.join(BOUND)
        for s in [self.listener, *self.connections]:
            s.close()

    @staticmethod
    def _shut_down(s):
        with contextlib.suppress(OSError):  # it may be closed already
            s.shutdown(socket.SHUT_RDWR)


def echo(connection, change=lambda data, offset: data):
    offset = 0
    while data := connection.recv(1 << 16):
        connection.sendall(change(data, offset))
        offset += len(data)
    connection.close()


def pattern(n):
    """Bytes that are not the same when they are shifted."""
    return b"".join(struct.pack(">I", i * 2654435761 & 0xFFFFFFFF) for i in range((n + 3) // 4))[:n]


def normalised(lines):
    """Ports become the order in which they came: ('127.0.0.1', A)."""
    names = {}

    def letter(match):
        return match[1] + names.setdefault(match[2], chr(ord("A") + len(names))) + match[3]

    return [re.sub(r"(\('[0-9a-f.:]+', )(\d+)([,)])", letter, line) for line in lines]


def one_line(stderr):
    equal(stderr.count("\n"), 1, f"lines on stderr: {stderr!r}")
    assert stderr.endswith("\n")


def connecting_and_one_line(stderr):
    """What `send` says when it fails before it sends: the first line is the transcript's."""
    first, _, rest = stderr.partition("\n")
    matches("^connecting to ", first)
    one_line(rest)


# ---- bad input -------------------------------------------------------------------------------

BAD_INPUT = [
    # words, environment, what the line says
    (["srve"], {}, r'^vigil: unknown command "srve" \(did you mean serve\?\)$'),
    (["frobnicate"], {}, r'^vigil: unknown command "frobnicate" \(try vigil --help\)$'),
    (["--vesrion"], {}, r'^vigil: unknown option "--vesrion" \(did you mean --version\?\)$'),
    (["help", "nothing"], {}, r'^vigil: unknown command "nothing"'),
    (["help", "serve", "send"], {}, r"^vigil help: takes one command"),
    (["a\nb"], {}, r'^vigil: unknown command "a\\x0ab"'),
    (["serve", "--tik", "1s"], {}, r'^vigil serve: unknown option "--tik" \(did you mean --tick'),
    (["serve", "--tik=1s"], {}, r'^vigil serve: unknown option "--tik" \(did you mean --tick\?\)$'),
    (["serve", "--nonsense"], {}, r'unknown option "--nonsense" \(see vigil serve --help\)$'),
    (["serve", "-t"], {}, r'^vigil serve: unknown option "-t"'),
    (["serve", "--"], {"VIGIL_TICK": "1"}, r'^vigil serve: VIGIL_TICK: "1" has no unit'),
    (["serve", "--max-connections", "abc"], {},
     r'^vigil serve: --max-connections: "abc" is not a number \(try 1000 or 10k\)$'),
    (["serve", "--max-connections=abc"], {},
     r'^vigil serve: --max-connections: "abc" is not a number \(try 1000 or 10k\)$'),
    (["serve", "--max-connections", "-1"], {}, r'"-1" is not a number'),
    (["serve", "--max-connections", "1.5"], {}, r'"1.5" is not a number'),
    (["serve", "--max-connections", "0"], {}, r'"0" is too small \(at least 1\)'),
    (["serve", "--max-connections", "5000000000"], {}, r"is too large \(at most 4294967295\)"),
    (["serve", "--max-connections", "99999999999999999999999"], {}, r"is too large"),
    (["serve", "--max-connections", "99999999999999999G"], {}, r"is too large"),
    (["serve", "--max-connections", "10K"], {}, r'"10K" has an unknown unit \(take k M G'),
    (["serve", "--max-connections", ""], {}, r'"" is not a number'),
    (["serve", "--max-connections"], {}, r"^vigil serve: --max-connections: its N is missing"),
    (["serve", "--queue-limit", "big"], {}, r'"big" is not a size in bytes \(try 4096 or 64Ki\)'),
    (["serve", "--queue-limit", "0"], {}, r'"0" is too small'),
    (["serve", "--tick", "10"], {}, r'^vigil serve: --tick: "10" has no unit \(try 10s or 500ms'),
    (["serve", "--tick", "1.5"], {}, r'"1.5" has no unit'),
    (["serve", "--tick", "1.s"], {}, r'"1.s" is not a duration \(try 10s or 1.5s\)'),
    (["serve", "--tick", ".5s"], {}, r'".5s" is not a duration'),
    (["serve", "--tick", "soon"], {}, r'"soon" is not a duration'),
    (["serve", "--tick", "-1s"], {}, r'"-1s" is not a duration'),
    (["serve", "--tick", "5d"], {}, r'"5d" has an unknown unit \(take ns us ms s m h'),
    (["serve", "--tick", "9999999h"], {}, r'"9999999h" is too long'),
    (["serve", "--tick", "18446744073709551621ns"], {}, r"1ns\" is too long"),
    (["serve", "--drain-timeout", "x"], {}, r'serve: --drain-timeout: "x" is not a duration'),
    (["serve", "--idle-timeout", "1 s"], {}, r'"1 s" has an unknown unit'),
    (["serve", "--transcript=yes"], {}, r"^vigil serve: --transcript: takes no value"),
    (["serve", "--backend", "epol"], {}, r'^vigil serve: --backend: "epol" is not one of .*select'),
    (["serve"], {"VIGIL_BACKEND": "fast"}, r'^vigil serve: VIGIL_BACKEND: "fast" is not one of'),
    (["serve"], {"VIGIL_MAX_CONNECTIONS": "many"},
     r'^vigil serve: VIGIL_MAX_CONNECTIONS: "many" is not a number \(try 1000 or 10k\)$'),
    (["serve"], {"VIGIL_TRANSCRIPT": "maybe"},
     r'^vigil serve: VIGIL_TRANSCRIPT: "maybe" is neither 1 nor 0'),
    (["serve", "localhost"], {}, r'^vigil serve: "localhost" has no port \(try localhost:10000'),
    (["serve", "[::1]"], {}, r'"\[::1\]" has no port'),
    (["serve", "tcp://[::1"], {}, r'"tcp://\[::1" is not an address'),
    (["serve", "::1:80"], {}, r'"::1:80" is IPv6 without brackets \(try \[::1\]:10000\)$'),
    (["serve", "127.0.0.1:"], {}, r'"127.0.0.1:" has no such port \(take 0 to 65535\)$'),
    (["serve", "tcp://127.0.0.1:70000"], {}, r'70000" has no such port'),
    (["serve", "localhost:http"], {}, r'"localhost:http" has a port that is no number'),
    (["serve", "localhost:-1"], {}, r'"localhost:-1" has a port that is no number'),
    (["serve", "http://localhost:1"], {}, r"is no kind of address \(take tcp://host:port, unix:"),
    (["serve", "unix:"], {}, r'"unix:" names no socket \(try unix:/path'),
    (["serve", "unix:@"], {}, r'"unix:@" names no socket'),
    (["serve", "unix:/" + 200 * "x"], {}, r"is too long \(a socket.s path has at most 107 bytes"),
    (["serve", ""], {}, r'"" is not an address \(try'),
    (["serve", ":80"], {}, r'":80" is not an address'),
    (["serve", "a b:80"], {}, r'"a b:80" is not an address'),
    (["serve", "127.0.0.1:0", "nowhere"], {}, r'^vigil serve: "nowhere" has no port'),
    (["send", "*:1", "m"], {}, r'"\*:1" is every address, to listen on \(try localhost:1\)$'),
    (["send", "0.0.0.0:1", "m"], {}, r'"0.0.0.0:1" is every address'),
    (["send", "127.0.0.1:0", "m"], {}, r'"127.0.0.1:0" has port 0, which nobody listens on$'),
    (["send", "localhost:0", "m"], {}, r'"localhost:0" has port 0'),
    (["send"], {}, r"^vigil send: usage: vigil send \[OPTION...\] WHERE"),
    (["send", "nowhere", "message"], {}, r'^vigil send: "nowhere" has no port'),
    (["send", "--connections", "0", "localhost:1", "m"], {}, r'--connections: "0" is too small'),
    (["send", "--read-size", "0", "localhost:1", "m"], {}, r'--read-size: "0" is too small'),
    (["send", "--delay", "2", "localhost:1", "m"], {}, r'^vigil send: --delay: "2" has no unit'),
    (["send", "--timeout=never", "localhost:1"], {}, r'--timeout: "never" is not a duration'),
    (["send", "--backend=none", "localhost:1", "m"], {}, r'--backend: "none" is not one of'),
    (["send", "localhost:1", "--start-dealy", "1s"], {}, r"\(did you mean --start-delay\?\)$"),
    (["torture"], {}, r"^vigil torture: usage: vigil torture \[OPTION...\] WHERE"),
    (["torture", "nowhere"], {}, r'^vigil torture: "nowhere" has no port'),
    (["torture", "localhost:0"], {}, r'^vigil torture: "localhost:0" has port 0'),
    (["torture", "localhost:1", "localhost:2"], {}, r'"localhost:2" is one argument too many'),
    (["torture", "--quick", "--thorough", "localhost:1"], {}, r"--quick or --thorough, not both$"),
    (["torture", "--only", "half-close,nothing", "localhost:1"], {},
     r'^vigil torture: --only: no probe "nothing" \(see vigil torture --list\)$'),
    (["torture", "--only", "order", "--skip", "order", "localhost:1"], {},
     r"^vigil torture: --only and --skip leave no probe to run$"),
    (["torture", "--only=", "localhost:1"], {}, r"leave no probe to run$"),
    (["torture", "--patience", "0s", "localhost:1"], {}, r'"0s" is too short \(at least 100ms\)$'),
    (["torture", "--quiet", "1us", "localhost:1"], {}, r'"1us" is too short \(at least 100ms\)$'),
    (["torture", "--idle", "0s", "localhost:1"], {}, r'"0s" is too short \(at least 10ms\)$'),
    (["torture", "[::ffff:192.0.2.1]:7"], {}, r"is neither on this machine nor private"),
    (["torture", "--skip", ",", "localhost:1"], {}, r'--skip: no probe ""'),
    (["torture", "--mode", "http", "localhost:1"], {}, r'--mode: "http" is not one of echo, lines'),
    (["torture", "--pid", "0", "localhost:1"], {}, r'--pid: "0" is too small'),
    (["torture", "--pid", "me", "localhost:1"], {}, r'--pid: "me" is not a number'),
    (["torture", "--signal", "TERM", "localhost:1"], {}, r"--signal TERM: whose\? \(add --pid\)$"),
    (["torture", "--signal", "KILL", "localhost:1"], {}, r'--signal: "KILL" is not one of TERM'),
    (["torture", "--cpu", "101", "localhost:1"], {}, r"is too large \(at most 100\)"),
    (["torture", "--json", "--junit", "-", "localhost:1"], {}, r"both to stdout \(try --json=FILE"),
    (["torture", "--json=/no/such/file", "localhost:1"], {}, r'--json: "/no/such/file": No such'),
    (["torture", "--junit", "/no/such/file", "localhost:1"], {}, r'--junit: "/no/such/file": No'),
    (["torture", "192.0.2.1:7"], {},
     r"^vigil torture: 192.0.2.1:7 is neither on this machine nor private: add --yes-i-own-it"),
    (["torture", "[2001:db8::1]:7"], {}, r"is neither on this machine nor private"),
    (["backends", "epoll"], {}, r'^vigil backends: "epoll" is one argument too many'),
    (["backends", "--jsn"], {}, r'^vigil backends: unknown option "--jsn"'),
    (["backends"], {"VIGIL_BACKEND": "fast"}, r'backends: VIGIL_BACKEND: "fast" is no backend'),
]


def bad_input(words, env, says):
    status, stdout, stderr = run(*words, env=env)
    equal(status, 2, "exit status")
    equal(stdout, "", "stdout")
    one_line(stderr)
    matches(says, stderr.rstrip("\n"))


for bad_words, bad_env, bad_says in BAD_INPUT:
    shown = " ".join([*(f"{k}={v}" for k, v in bad_env.items()), "vigil", *bad_words])
    rows.append(("bad input: " + shown.replace("\n", "\\n"),
                 lambda w=bad_words, e=bad_env, s=bad_says: bad_input(w, e, s)))


@row
def no_command_is_one_line_and_2():
    status, stdout, stderr = run()
    equal((status, stdout), (2, ""))
    one_line(stderr)
    matches("^usage: vigil COMMAND", stderr)


@row
def closed_stdin_and_no_message_is_one_line_and_2():
    status, stdout, stderr = run_redirected("<&-", "send", "localhost:1")
    equal((status, stdout), (2, ""))
    one_line(stderr)
    matches("stdin is closed", stderr)


@row_per_backend
def closed_standard_streams_do_not_become_the_socket(backend):
    needs(backend)
    came = []

    def collect(connection):
        echo(connection, lambda data, offset: came.append(data) or data)
    with OddServer(collect) as server:
        send = ["send", "--backend", backend, server.where, "hello"]
        status, stdout, _ = run_redirected("<&- 2>&-", *send)
        equal(status, 0)
        matches("5 bytes sent, 5 bytes echoed, 0 wrong\n$", stdout)
        equal(run_redirected("<&- >&- 2>&-", *send)[0], 1, "the sums could not be written")
        equal(b"".join(came), b"hellohello", "what the server got")


@row
def serve_that_cannot_tell_its_address_is_one_line_and_1():
    for where in (">&-", ">/dev/full"):
        if where == ">/dev/full" and not os.path.exists("/dev/full"):
            raise Skip("no /dev/full here")
        status, _, stderr = run_redirected(where, "serve", "127.0.0.1:0")
        equal(status, 1, where)
        one_line(stderr)
        matches("^vigil serve: the address bound cannot be written to stdout: ", stderr)


# ---- help, version, environment --------------------------------------------------------------


@row
def version():
    status, stdout, stderr = run("--version")
    equal((status, stderr), (0, ""))
    matches(r"^vigil \d+\.\d+\.\d+\n$", stdout)


@row
def help_of_everything_has_examples_first():
    for words in (["--help"], ["help"], ["serve", "--help"], ["help", "serve"], ["send", "--help"],
                  ["backends", "--help"], ["serve", "--tick", "1s", "--help"]):
        status, stdout, stderr = run(*words)
        equal((status, stderr), (0, ""), str(words))
        matches(r"^Examples:\n  (vigil|VIGIL)", stdout)


@row
def help_command_is_help_option():
    for command in ("serve", "send", "backends"):
        equal(run("help", command), run(command, "--help"))


@row
def help_names_every_option_of_the_issue():
    wanted = {"serve": "backend tick idle-timeout max-connections queue-limit transcript "
                       "drain-timeout",
              "send": "connections delay start-delay read-size backend timeout"}
    for command, options in wanted.items():
        _, stdout, _ = run(command, "--help")
        for option in options.split():
            matches(rf"(?m)^  --{option}\b", stdout)
        for line in stdout.split("\n"):
            assert len(line) <= 100, line


@row
def help_to_a_full_disk_is_a_failure():
    if not os.path.exists("/dev/full"):
        raise Skip("no /dev/full here")
    with open("/dev/full", "w") as full:
        done = subprocess.run([VIGIL, "--help"], stdout=full, stderr=subprocess.PIPE, timeout=BOUND)
    equal(done.returncode, 1)
    one_line(done.stderr.decode())


@row
def environment_sets_and_the_command_line_wins():
    with Serve("127.0.0.1:0", env={"VIGIL_TRANSCRIPT": "1", "VIGIL_QUEUE_LIMIT": "64Ki"}) as server:
        server.said("starting up on 127.0.0.1 port")
        env = {"VIGIL_CONNECTIONS": "3"}
        _, stdout, _ = run("send", server.where[0], "ab", env=env)
        equal(stdout, "3 connections, 3 messages, 6 bytes sent, 6 bytes echoed, 0 wrong\n")
        _, stdout, _ = run("send", "--connections=2", server.where[0], "ab", env=env)
        equal(stdout, "2 connections, 2 messages, 4 bytes sent, 4 bytes echoed, 0 wrong\n")
        equal(server.stop(), 0)


@row
def a_flag_of_0_and_an_empty_variable_are_not_given():
    with Serve("127.0.0.1:0", env={"VIGIL_TRANSCRIPT": "0", "VIGIL_TICK": ""}) as server:
        equal(server.stop(), 0)
        matches(r"^listening on tcp://127.0.0.1:\d+\n$", server.stderr.decode())


@row
def two_dashes_end_the_options():
    with Serve("127.0.0.1:0") as server:
        status, stdout, stderr = run("send", "--", server.where[0], "--connections", "--")
        equal(status, 0)
        equal(stdout, "1 connection, 2 messages, 15 bytes sent, 15 bytes echoed, 0 wrong\n")
        matches('(?m)^sending "--connections"$', stderr)


@row
def backends_are_a_table_with_one_chosen():
    status, stdout, stderr = run("backends")
    equal((status, stderr), (0, ""))
    table, *features = stdout.rstrip("\n").split("\n\n")
    lines = table.split("\n")
    matches("^  BACKEND +LEVEL +ONE-SHOT +EDGE +EMBED +EVENTS +WORKS HERE$", lines[0])
    for line in lines[1:]:
        matches(r"^[* ] \w+( +(yes|no|-)){4} +[A-Z,-]+ +(yes|no: .+)$", line)
        assert len(line) < 80 or " no: " in line, line
    names = [line[2:].split()[0] for line in lines[1:]]
    for name in ("select", "poll"):
        assert name in names, name
    equal(sum(line[0] == "*" for line in lines), 1, "the chosen one")
    for block in features:
        head, *lines = block.split("\n")
        matches(r"^\w+ in this kernel:$", head)
        assert head.split()[0] in names, head
        for line in lines:
            matches(r"^  [a-z ]{20} (yes|no )  \S.*$", line)
            assert len(line) < 80, line


@row
def backends_are_told_even_where_none_can_be_chosen():
    done = subprocess.run(["sh", "-c", 'ulimit -n 4; exec "$0" backends', VIGIL], env=ENVIRONMENT,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=BOUND,
                          check=False)
    equal(done.returncode, 1)
    matches(r"\n  epoll .* no: out of file descriptors\n", done.stdout.decode())
    one_line(done.stderr.decode())
    matches("^vigil backends: none can be chosen: out of file descriptors", done.stderr.decode())


IO_URING_SETUP, IO_URING_ENTER = 425, 426  # on every machine that counts as Linux does today


def io_uring_denied(number):
    needs("io_uring")
    status, stdout, stderr = run_denied(number, "backends")
    equal((status, stderr), (0, ""))
    why = r"not supported here \(Operation not permitted\)"
    matches(rf"(?m)^  io_uring .* no: {why}$", stdout)
    matches(r"(?m)^\* epoll .* yes$", stdout)
    for command, *words in (["serve", "127.0.0.1:0"], ["send", "127.0.0.1:1", "m"]):
        status, stdout, stderr = run_denied(number, command, "--backend", "io_uring", *words)
        equal((status, stdout), (1, ""))
        (one_line if command == "serve" else connecting_and_one_line)(stderr)
        matches(rf"(?m)^vigil {command}: io_uring: {why}$", stderr)


@row
def where_io_uring_cannot_be_set_up_it_is_told_why():
    io_uring_denied(IO_URING_SETUP)


@row
def where_io_uring_cannot_be_entered_it_is_told_why():
    io_uring_denied(IO_URING_ENTER)


@row_per_backend
def backends_tell_what_each_promises(backend):
    needs(backend)
    promised = {"select": "yes yes no no PRI yes",
                "poll": "yes yes no no RDHUP,PRI,HUP,ERR yes",
                "epoll": "yes yes yes yes RDHUP,PRI,HUP,ERR yes",
                "io_uring": "yes yes yes yes RDHUP,PRI,HUP,ERR yes"}
    _, stdout, _ = run("backends")
    line = next(line for line in stdout.split("\n") if line[2:].startswith(backend + " "))
    equal(" ".join(line[2:].split()[1:]), promised[backend])


@row_per_backend
def backends_mark_what_the_environment_asks_for(backend):
    needs(backend)
    _, stdout, _ = run("backends", env={"VIGIL_BACKEND": backend})
    matches(rf"(?m)^\* {backend} +(yes|no) ", stdout)


def needs(backend):
    """Skips what this machine has not; a backend that is built in but fails is a failure."""
    _, stdout, _ = run("backends")
    if not re.search(rf"(?m)^[* ] {backend} .* yes$", stdout):
        raise Skip(f"{backend} does not work here")


# ---- serve and send together -----------------------------------------------------------------

MULTI = ["This is the message. ", "It will be sent ", "in parts."]
SLOW = ["Part one of the message.", "Part two of the message."]


def echoes_on(backend, where):
    needs(backend)
    with Serve("--backend", backend, where) as server:
        status, stdout, _ = run("send", "--backend", backend, "--connections", "2",
                                server.where[0], *MULTI)
        equal(status, 0)
        equal(stdout, "2 connections, 6 messages, 92 bytes sent, 92 bytes echoed, 0 wrong\n")
        equal(server.stop(), 0)
        return server


@row_per_backend
def echo_over_tcp_4_with_port_0(backend):
    server = echoes_on(backend, "tcp://127.0.0.1:0")
    matches(r"^tcp://127\.0\.0\.1:[1-9]\d*$", server.where[0])
    matches(r"^listening on tcp://127\.0\.0\.1:[1-9]\d*\n$", server.stderr.decode())


@row_per_backend
def echo_over_tcp_6(backend):
    if not has_v6():
        raise Skip("no ::1 here")
    server = echoes_on(backend, "tcp://[::1]:0")
    matches(r"^tcp://\[::1\]:[1-9]\d*$", server.where[0])


def has_v6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        return True
    except OSError:
        return False


@row_per_backend
def echo_over_localhost(backend):
    needs(backend)
    with Serve("--backend", backend, "localhost:0") as server:
        port = server.where[0].rsplit(":", 1)[1]
        for host in ["localhost", "127.0.0.1"] + ["[::1]"] * has_v6():
            status, stdout, stderr = run("send", f"{host}:{port}", "hello")
            equal(status, 0, stderr)
            matches(f"^connecting to {re.escape(host.strip('[]'))} port {port}\n", stderr)
            equal(stdout, "1 connection, 1 message, 5 bytes sent, 5 bytes echoed, 0 wrong\n")
        equal(server.stop(), 0)


@row_per_backend
def echo_over_a_unix_path(backend):
    with tempfile.TemporaryDirectory() as folder:
        server = echoes_on(backend, f"unix:{folder}/echo")
        equal(server.where, [f"unix:{folder}/echo"])
        equal(os.listdir(folder), [], "the socket's file is removed")


@row
def unix_clients_can_be_told_apart():
    with tempfile.TemporaryDirectory() as folder:
        with Serve("--transcript", f"unix:{folder}/s") as server:
            status, _, stderr = run("send", "--connections", "2", server.where[0], "m")
            equal(status, 0)
            for i in "12":
                equal(stderr.count(f'unix client {i}: received "m"'), 1, stderr)
                server.said(f'received "m" from unix client {i}\n')
            equal(server.stop(), 0)


@row_per_backend
def echo_over_an_abstract_unix_name(backend):
    name = f"unix:@vigil-test-{os.getpid()}-{backend}"
    equal(echoes_on(backend, name).where, [name])


@row_per_backend
def two_wheres(backend):
    needs(backend)
    with tempfile.TemporaryDirectory() as folder:
        with Serve("--backend", backend, "127.0.0.1:0", f"unix:{folder}/s", count=2) as server:
            for where in server.where:
                equal(run("send", where, "hello")[0], 0)
            equal(server.stop(), 0)


@row
def second_where_in_use_is_1_and_nothing_announced():
    with socket.create_server(("127.0.0.1", 0)) as taken, tempfile.TemporaryDirectory() as folder:
        port = taken.getsockname()[1]
        status, stdout, stderr = run("serve", f"unix:{folder}/first", f"127.0.0.1:{port}")
        equal((status, stdout), (1, ""))
        one_line(stderr)
        matches(rf"^vigil serve: 127\.0\.0\.1:{port}: address already in use$", stderr.strip())
        equal(os.listdir(folder), [], "the first is closed")


@row
def malformed_second_where_binds_nothing():
    with tempfile.TemporaryDirectory() as folder:
        equal(run("serve", f"unix:{folder}/first", "unix:")[0], 2)
        equal(os.listdir(folder), [])


@row
def stale_unix_socket_is_replaced_and_a_live_one_refused():
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/s"
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(path)
            stale.listen()
        with Serve(f"unix:{path}") as server:
            equal(run("send", f"unix:{path}", "hello")[0], 0)
            status, stdout, stderr = run("serve", f"unix:{path}")
            equal((status, stdout), (1, ""))
            one_line(stderr)
            matches("address already in use", stderr)
            equal(run("send", f"unix:{path}", "hello")[0], 0, "the live one lives on")
            equal(server.stop(), 0)


@row_per_backend
def multi_client_transcripts(backend):
    needs(backend)
    with Serve("--backend", backend, "--transcript", "127.0.0.1:0") as server:
        status, _, stderr = run("send", "--connections", "2", "--backend", backend,
                                server.where[0].replace("127.0.0.1", "localhost"), *MULTI)
        equal(status, 0)
        equal(server.stop(), 0)
    port = server.where[0].rsplit(":", 1)[1]
    one, two = "('127.0.0.1', A)", "('127.0.0.1', B)"
    want = [f"connecting to localhost port {port}"]
    for message in MULTI:
        for verb in ("sending", "received"):
            want += [f'{name}: {verb} "{message}"' for name in (one, two)]
    got = normalised(stderr.rstrip("\n").split("\n"))
    equal(got[:len(want)], want)
    equal(sorted(got[len(want):]), [f"closing socket {one}", f"closing socket {two}"])
    server_transcript(server, port)


def server_transcript(server, port):
    """Per connection its exact sequence; the waiting lines by form."""
    lines = normalised(server.stderr.decode().rstrip("\n").split("\n"))
    equal(lines[:3], [f"starting up on 127.0.0.1 port {port}", "", "waiting for the next event"])
    for letter in "AB":
        name = f"('127.0.0.1', {letter})"
        want = [f"new connection from {name}"]
        for message in MULTI:
            want += [f'received "{message}" from {name}', f'sending "{message}" to {name}',
                     f"output queue for {name} is empty"]
        want.append(f"closing {name} after reading no data")
        equal([line for line in lines if name in line], want)
    for i, line in enumerate(lines):
        assert (line == "") == (lines[i + 1:i + 2] == ["waiting for the next event"]), lines
    assert lines.count("waiting for the next event") >= 3, lines


@row_per_backend
def multi_client_reads_in_turn_what_comes_out_of_turn(backend):
    needs(backend)
    second_done = threading.Semaphore(0)
    numbers = iter((0, 1))

    def second_first(connection):
        number = next(numbers)
        while data := connection.recv(1 << 16):
            if number == 0:
                second_done.acquire(timeout=BOUND)
            connection.sendall(data)
            if number == 1:
                second_done.release()
        connection.close()
    with OddServer(second_first) as server:
        status, _, stderr = run("send", "--connections", "2", "--backend", backend, server.where,
                                "first", "second", "third")
    equal(status, 0, stderr)
    lines = normalised(stderr.split("\n"))
    equal([line for line in lines if "received" in line],
          [f"('127.0.0.1', {name}): received \"{message}\"" for message in
           ("first", "second", "third") for name in "AB"])


@row_per_backend
def slow_client_transcript(backend):
    needs(backend)
    with Serve("--backend", backend, "127.0.0.1:0") as server:
        began = time.monotonic()
        status, stdout, stderr = run("send", "--delay", "60ms", "--start-delay=40ms", "--read-size",
                                     "16", "--backend", backend, server.where[0], *SLOW)
        took = time.monotonic() - began
        equal(status, 0)
        equal(server.stop(), 0)
    equal(stdout, "1 connection, 2 messages, 48 bytes sent, 48 bytes echoed, 0 wrong\n")
    assert took >= 0.16, f"it took only {took} s"
    lines = stderr.rstrip("\n").split("\n")
    matches(r"^connecting to 127\.0\.0\.1 port \d+$", lines[0])
    equal(lines[1:3], [f'sending "{message}"' for message in SLOW])
    equal(lines[-1], "closing socket")
    received = [re.fullmatch(r'received "(.{1,16})"', line)[1] for line in lines[3:-1]]
    equal("".join(received), "".join(SLOW))


@row_per_backend
def tick_tells_when_nothing_happened(backend):
    needs(backend)
    with Serve("--backend", backend, "--transcript", "--tick", "30ms", "127.0.0.1:0") as server:
        server.said("\nwaiting for the next event\n"
                    "  timed out, do some other work here\n"
                    "\nwaiting for the next event\n"
                    "  timed out, do some other work here\n")
        equal(server.stop(), 0)


@row
def transcript_escapes_what_cannot_be_shown():
    with Serve("--transcript", "127.0.0.1:0") as server:
        status, _, stderr = run("send", server.where[0], "a\tb\n\\ \xe9")
        equal(status, 0)
        equal(server.stop(), 0)
    shown = r'"a\x09b\x0a\x5c \xc3\xa9"'
    assert f"sending {shown}\n" in stderr and f"received {shown}\n" in stderr, stderr
    assert f"received {shown} from " in server.stderr.decode(), server.stderr


@row
def an_empty_message_is_a_message():
    with Serve("127.0.0.1:0") as server:
        status, stdout, _ = run("send", "--connections", "3", server.where[0], "", "x", "")
        equal(status, 0)
        equal(stdout, "3 connections, 9 messages, 3 bytes sent, 3 bytes echoed, 0 wrong\n")


@row_per_backend
def big_messages_in_rounds(backend):
    needs(backend)
    message = "0123456789abcde\\" * 7000
    with Serve("--backend", backend, "--queue-limit", "4Ki", "127.0.0.1:0") as server:
        status, stdout, _ = run("send", "--backend", backend, "--connections", "3",
                                "--read-size=64Ki", server.where[0], message, "x" + message)
        equal(status, 0)
        equal(stdout,
              "3 connections, 6 messages, 672003 bytes sent, 672003 bytes echoed, 0 wrong\n")


@row_per_backend
def stdin_of_8_MiB_comes_back(backend):
    needs(backend)
    size = 8 << 20
    with Serve("--backend", backend, "127.0.0.1:0") as server:
        status, stdout, stderr = run("send", "--backend", backend, server.where[0],
                                     stdin=pattern(size))
        equal(status, 0, stderr)
        equal(stdout, f"1 connection, 1 message, {size} bytes sent, {size} bytes echoed, 0 wrong\n")
        equal(stderr.count("\n"), 2, "lines of the transcript")
        equal(server.stop(), 0)


@row_per_backend
def stdin_goes_out_on_every_connection(backend):
    needs(backend)
    with Serve("--backend", backend, "127.0.0.1:0") as server:
        status, stdout, stderr = run("send", "--backend", backend, "--connections", "7",
                                     server.where[0], stdin=pattern(3 << 20))
        equal(status, 0, stderr)
        size = 7 * (3 << 20)
        equal(stdout,
              f"7 connections, 7 messages, {size} bytes sent, {size} bytes echoed, 0 wrong\n")


@row
def stdin_of_nothing_comes_back():
    with Serve("127.0.0.1:0") as server:
        for name in ("/dev/null", os.devnull):
            with open(name, "rb") as nothing:
                done = subprocess.run([VIGIL, "send", server.where[0]], stdin=nothing,
                                      env=ENVIRONMENT, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, timeout=BOUND)
            equal(done.returncode, 0, done.stderr)
            matches("^1 connection, 1 message, 0 bytes sent, 0 bytes echoed", done.stdout.decode())


@row
def stdin_from_a_file_comes_back():
    with Serve("127.0.0.1:0") as server, tempfile.TemporaryFile() as file:
        file.write(pattern(2 << 20))
        for backend in BACKENDS:
            needs(backend)
            file.seek(0)
            done = subprocess.run([VIGIL, "send", "--backend", backend, server.where[0]],
                                  stdin=file, env=ENVIRONMENT, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, timeout=BOUND)
            equal(done.returncode, 0, done.stderr)
            matches(" 2097152 bytes echoed, 0 wrong$", done.stdout.decode().strip())


@row
def stdin_is_sent_in_bounded_memory():
    chunk = pattern(1 << 20)
    with Serve("127.0.0.1:0") as server, Command("send", server.where[0]) as client:
        for _ in range(64):
            client.feed(chunk)
        peak = peak_kib(client.process.pid)
        client.process.stdin.close()
        equal(client.end(), 0)
        matches(f" {64 << 20} bytes echoed, 0 wrong", client.stdout.decode())
        assert peak < 16384, f"the client held {peak} KiB"


def peak_kib(pid):
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read())[1])


@row
def stdin_that_pauses_is_no_stall():
    with Serve("127.0.0.1:0") as server:
        with Command("send", "--timeout", "2s", server.where[0]) as client:
            client.feed(b"first ")
            began = time.monotonic()
            until(lambda: time.monotonic() > began + 4.2, "two timeouts")
            client.feed(b"second")
            client.process.stdin.close()
            equal(client.end(), 0, client.stderr)
            matches(" 12 bytes echoed, 0 wrong", client.stdout.decode())


# ---- serve: limits and ends ------------------------------------------------------------------


@row_per_backend
def idle_timeout_closes(backend):
    needs(backend)
    with Serve("--backend", backend, "--transcript", "--idle-timeout", "200ms",
               "127.0.0.1:0") as server:
        began = time.monotonic()
        with server.connect() as client:
            try:
                equal(client.recv(1), b"")
            except ConnectionResetError:
                pass
        assert time.monotonic() - began >= 0.2, "closed too early"
        server.said(": timed out\n")
        matches(r"(?m)^closed \('127\.0\.0\.1', \d+\): timed out$", server.stderr.decode())
        equal(server.stop(), 0)


@row_per_backend
def max_connections_keeps_the_rest_waiting(backend):
    needs(backend)
    with Serve("--backend", backend, "--max-connections", "1", "127.0.0.1:0") as server:
        with server.connect() as one:
            with server.connect() as other:
                other.sendall(b"other")
                for _ in range(50):
                    one.sendall(b"again")
                    equal(receive(one, 5), b"again")
                other.setblocking(False)
                try:
                    raise AssertionError(f"served too early: {other.recv(5)!r}")
                except BlockingIOError:
                    pass
                other.settimeout(BOUND)
                one.close()
                equal(receive(other, 5), b"other")
        equal(server.stop(), 0)


@row_per_backend
def reset_is_told_and_survived(backend):
    needs(backend)
    with Serve("--backend", backend, "--transcript", "127.0.0.1:0") as server:
        with server.connect() as client:
            client.sendall(b"hello")
            equal(receive(client, 5), b"hello")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        server.said(": connection reset by peer\n")
        equal(run("send", server.where[0], "still there")[0], 0)
        equal(server.stop(), 0)


def flooded(server, size=400 << 10):
    """A client whose echo is stuck in the server, which has all of its `size` bytes."""
    client = server.connect(receive_buffer=4096)
    client.sendall(pattern(size))
    until(lambda: taken_by_peer(client), "the server has every byte")
    return client


def drains(backend, where, number):
    needs(backend)
    with Serve("--backend", backend, where) as server, flooded(server) as client:
        server.signal(number)
        until(lambda: refuses(server.where[0]), "the listener is closed")
        equal(receive_all(client), pattern(400 << 10), "the echo in flight")
        client.close()
        equal(server.end(), 0, server.stderr)


@row_per_backend
def SIGTERM_finishes_the_echo_in_flight(backend):
    drains(backend, "127.0.0.1:0", signal.SIGTERM)


@row_per_backend
def SIGINT_finishes_the_echo_in_flight_on_a_unix_socket(backend):
    with tempfile.TemporaryDirectory() as folder:
        drains(backend, f"unix:{folder}/s", signal.SIGINT)


@row_per_backend
def SIGTERM_drains_under_a_transcript(backend):
    needs(backend)
    with Serve("--backend", backend, "--transcript", "--tick", "10ms", "127.0.0.1:0") as server:
        with server.connect() as client:
            client.sendall(b"hello")
            equal(receive(client, 5), b"hello")
            server.signal(signal.SIGTERM)
            equal(receive_all(client), b"")
        equal(server.end(), 0, server.stderr)


@row_per_backend
def drain_timeout_is_one_line_and_1(backend):
    needs(backend)
    with tempfile.TemporaryDirectory() as folder:
        with Serve("--backend", backend, "--drain-timeout", "100ms", f"unix:{folder}/s") as server:
            with flooded(server):
                server.signal(signal.SIGTERM)
                equal(server.end(), 1)
        lines = server.stderr.decode().rstrip("\n").split("\n")
        equal(lines[1:], ["vigil serve: aborted what was not finished in 0.1s (--drain-timeout)"])


@row_per_backend
def second_SIGTERM_ends_at_once_with_143(backend):
    needs(backend)
    with tempfile.TemporaryDirectory() as folder:
        with Serve("--backend", backend, "--drain-timeout", "1h", f"unix:{folder}/s") as server:
            with flooded(server):
                server.signal(signal.SIGTERM)
                until(lambda: refuses(server.where[0]), "the listener is closed")
                server.signal(signal.SIGTERM)
                equal(server.end(), 143)


@row
def queue_limit_bounds_what_is_read():
    with tempfile.TemporaryDirectory() as folder:
        with Serve("--queue-limit", "4Ki", f"unix:{folder}/s") as server:
            with server.connect() as client:
                client.setblocking(False)
                sent = fill(client)
                assert sent < 2 << 20, f"the server took {sent} bytes of a client that never reads"
                client.settimeout(BOUND)
                client.shutdown(socket.SHUT_WR)
                equal(len(receive_all(client)), sent)
            equal(server.stop(), 0)


def fill(client):
    """Sends until nothing more is taken for a while; answers how much that was."""
    sent = 0
    last = time.monotonic()
    while time.monotonic() - last < 0.5 and sent < 4 << 20:
        try:
            sent += client.send(b"x" * 4096)
            last = time.monotonic()
        except BlockingIOError:
            time.sleep(0.002)
    return sent


# ---- send against servers that are wrong -----------------------------------------------------


def wrong(backend, serve, says, *messages, options=(), stdin=b""):
    needs(backend)
    with OddServer(serve) as server:
        status, stdout, stderr = run("send", "--backend", backend, *options, server.where,
                                     *messages, stdin=stdin)
        equal(status, 3, stderr)
        complaints = [line for line in stderr.split("\n") if line.startswith("vigil")]
        equal(len(complaints), 1, stderr)
        matches(says, complaints[0])
        matches(r", 1 wrong\n$", stdout)


LETTERS = b"abcdefghijklmnop" * 10


def flip_at(where):
    def change(data, offset):
        data = bytearray(data)
        if offset <= where < offset + len(data):
            data[where - offset] ^= 1
        return bytes(data)
    return lambda connection: echo(connection, change)


@row_per_backend
def flipped_byte_is_3_with_its_offset(backend):
    wrong(backend, flip_at(30), r"^vigil send: connection 1 \('127\.0\.0\.1', \d+\): "
          r"wrong byte at offset 30: \\x2e, not \\x2f$", "a" * 20, "bbbbbbbbbb////")


@row_per_backend
def flipped_byte_of_stdin_is_3_with_its_offset(backend):
    wrong(backend, flip_at(3000000), "wrong byte at offset 3000000:", stdin=pattern(4 << 20))


@row_per_backend
def dropped_byte_is_3_with_its_offset(backend):
    def drop(connection):
        echo(connection, lambda data, offset: data[:7] + data[8:] if offset == 0 else data)
    wrong(backend, drop, r"wrong byte at offset 7: \\x69, not \\x68$", "abcdefghij")
    wrong(backend, drop, r"wrong byte at offset 7: \\x69, not \\x68$", stdin=LETTERS)


@row_per_backend
def dropped_end_is_3_with_its_offset(backend):
    def cut(connection):
        data = receive_all(connection)
        connection.sendall(data[:-3])
        connection.close()
    wrong(backend, cut, "3 bytes are missing from offset 157$", stdin=LETTERS)
    wrong(backend, cut, "3 bytes are missing from offset 7$", "abcdefghij", options=["--delay=1ms"])


@row_per_backend
def extra_byte_is_3_with_its_offset(backend):
    def more(connection):
        data = receive_all(connection)
        connection.sendall(data + b"!")
        connection.close()
    wrong(backend, more, r"extra byte at offset 160: \\x21$", stdin=LETTERS)
    wrong(backend, lambda c: echo(c, lambda data, offset: data + b"!"),
          r"extra byte at offset 10: \\x21$", "abcdefghij")


@row_per_backend
def wrong_byte_names_the_connection(backend):
    third = threading.Semaphore(2)

    def third_flips(connection):
        right = third.acquire(blocking=False)
        connection.recv(1 << 16)
        connection.sendall(b"hello" if right else b"hellO")
        echo(connection)
    wrong(backend, third_flips, r"connection [1-4] \(.*\): wrong byte at offset 4:",
          "hello", "again", options=["--connections=4"])


@row
def connection_refused_is_one_line_and_1():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and never listens
        port = bound.getsockname()[1]
        for backend in BACKENDS:
            status, stdout, stderr = run("send", "--backend", backend, f"127.0.0.1:{port}", "m")
            equal((status, stdout), (1, ""))
            connecting_and_one_line(stderr)
            matches(rf"(?m)^vigil send: 127\.0\.0\.1:{port}: connection refused$", stderr)


@row
def nobody_at_a_unix_path_is_one_line_and_1():
    status, stdout, stderr = run("send", "unix:/nowhere/at/all", "m")
    equal((status, stdout), (1, ""))
    connecting_and_one_line(stderr)
    matches("(?m)^vigil send: unix:/nowhere/at/all: no such file", stderr)


@row
def unknown_name_is_one_line_and_1():
    status, stdout, stderr = run("send", "no-such-host.invalid:1", "m")
    equal((status, stdout), (1, ""))
    connecting_and_one_line(stderr)
    matches("(?m)^vigil send: no-such-host.invalid:1: ", stderr)


@row_per_backend
def reset_is_1(backend):
    needs(backend)

    def reset(connection):
        connection.recv(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    with OddServer(reset) as server:
        status, _, stderr = run("send", "--backend", backend, server.where, "hello")
    equal(status, 1, stderr)
    matches(r"(?m)^vigil send: connection 1 \(.*\): connection reset by peer at offset 0$", stderr)


@row_per_backend
def peer_that_closes_too_early_is_1(backend):
    needs(backend)

    def three_bytes_only(connection):
        connection.sendall(receive(connection, 3))
        connection.close()
    with OddServer(three_bytes_only) as server:
        with Command("send", "--backend", backend, server.where) as client:
            client.feed(b"one")  # and it stays open
            equal(client.end(), 1)
            matches("the peer closed before everything was sent\n$", client.stderr.decode())


@row_per_backend
def silence_is_1_after_the_timeout(backend):
    needs(backend)
    with OddServer(lambda connection: connection.recv(1 << 16) and None) as server:
        status, stdout, stderr = run("send", "--timeout", "100ms", "--backend", backend,
                                     server.where, "hello")
    equal(status, 1)
    matches("(?m)^vigil send: connection 1 .*: nothing moved for 0.1s: 0 of 5 bytes are back$",
            stderr)
    equal(stdout, "1 connection, 1 message, 5 bytes sent, 0 bytes echoed, 0 wrong\n")


@row_per_backend
def first_SIGINT_stops_sending_and_reports(backend):
    needs(backend)
    with Serve("127.0.0.1:0") as server:
        with Command("send", "--backend", backend, "--delay", "1h", server.where[0], "one",
                     "two") as client:
            client.said('sending "one"\n')
            client.signal(signal.SIGINT)
            equal(client.end(), 0, client.stderr)
            equal(client.stdout.decode(),
                  "1 connection, 1 message, 3 bytes sent, 3 bytes echoed, 0 wrong (interrupted)\n")
            matches('received "one"\nclosing socket\n$', client.stderr.decode())


@row_per_backend
def second_SIGINT_is_130(backend):
    needs(backend)
    ended, over = threading.Event(), threading.Event()

    def mute(connection):
        receive_all(connection)
        ended.set()
        over.wait(BOUND)  # and the connection stays open
    with OddServer(mute) as server:
        with Command("send", "--backend", backend, server.where, "hello") as client:
            client.said('sending "hello"\n')
            client.signal(signal.SIGINT)
            assert ended.wait(BOUND), "the first one half-closes"
            client.signal(signal.SIGINT)
            equal(client.end(), 130)
            over.set()


# ---- TAP -------------------------------------------------------------------------------------


def main():
    if not shutil.which(VIGIL):
        print(f"run.py: {VIGIL} is no program (make builds it; usage: run.py [VIGIL] [WORD...])",
              file=sys.stderr)
        return 2
    words = sys.argv[2:]
    chosen = [r for r in rows if not words or any(word in r[0] for word in words)]
    failed = 0
    print(f"1..{len(chosen)}")
    for number, (name, function) in enumerate(chosen, 1):
        try:
            function()
            print(f"ok {number} - {name}")
        except Skip as why:
            print(f"ok {number} - {name} # SKIP {why}")
        except Exception:  # a row that fails in any way is a failed row, and the next one runs
            failed += 1
            print(f"not ok {number} - {name}")
            for line in traceback.format_exc().rstrip("\n").split("\n"):
                print(f"# {line}")
        sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
