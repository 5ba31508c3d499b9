#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# The examples at work, on every backend, as TAP: lines (cut anywhere, and one too long), chat,
# proxy (half-close both ways), foreign_fd, and echo without a place to listen; and sim_echo in its
# simulated worlds, where a bug that is planted is found, replayed and made small.  The argument is
# the directory of the programs.

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time

PROGRAMS = sys.argv[1] if len(sys.argv) > 1 else "build/examples"
BACKENDS = ("io_uring", "epoll", "poll", "select")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BOUND_S = 30  # far above what anything here takes


class Server:
    """A program that listens on a Unix socket of its own."""

    number = 0

    def __init__(self, backend, program, *arguments):
        Server.number += 1
        self.path = f"/tmp/vigil-example-{os.getpid()}-{Server.number}"
        self.ends_by_input = program == "foreign_fd"
        self.process = subprocess.Popen(
            [os.path.join(PROGRAMS, program), f"unix:{self.path}", *arguments],
            env={**os.environ, "VIGIL_BACKEND": backend}, stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def client(self):
        end = time.monotonic() + BOUND_S
        while True:
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(BOUND_S)
            try:
                client.connect(self.path)
                return client
            except OSError:
                client.close()
                if time.monotonic() > end or self.process.poll() is not None:
                    raise
                time.sleep(0.01)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        if self.process.poll() is None and not self.ends_by_input:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(BOUND_S)
        assert status == 0, f"exit status {status}"


def receive(client, size):
    got = b""
    while len(got) < size:
        piece = client.recv(size - len(got))
        assert piece, f"the end after {got[-40:]!r}"
        got += piece
    return got


def expect(client, want):
    got = receive(client, len(want))
    assert got == want, f"{got[:80]!r}, not {want[:80]!r}"


def lines_in_single_bytes(backend):
    with Server(backend, "lines") as server, server.client() as client:
        for byte in b"hello\nsecond\r\n\n":
            client.sendall(bytes([byte]))
        expect(client, b"5 hello\n6 second\n0 \n")
        client.sendall(b"a\nb\nc")
        expect(client, b"1 a\n1 b\n")


def lines_up_to_in_max(backend):
    with Server(backend, "lines") as server:
        with server.client() as client:
            client.sendall(b"x" * 65535 + b"\n")
            expect(client, b"65535 " + b"x" * 65535 + b"\n")
        with server.client() as client:
            try:
                client.sendall(b"x" * 65536 + b"\n")
                got = client.recv(100)
            except (ConnectionResetError, BrokenPipeError):
                got = b""
            assert got == b"", f"an answer to a line that is too long: {got!r}"
        with server.client() as client:  # the others are still served
            client.sendall(b"on\n")
            expect(client, b"2 on\n")


def chat_among_three(backend):
    with Server(backend, "chat") as server:
        clients = [server.client() for _ in range(3)]
        for number, client in enumerate(clients):  # each is there once its line comes back to it
            client.sendall(f"I am {number}\n".encode())
            while b"I am %d" % number not in client.recv(4096):
                pass
        clients[0].sendall(b"to all\n")
        for client in clients[1:]:
            got = b""
            while b"to all\n" not in got:
                got += client.recv(4096)
        for client in clients:
            client.close()


def proxy_with_half_close(backend):
    block = os.urandom(1 << 20)
    with Server(backend, "echo") as echo:
        echo.client().close()  # it listens
        with Server(backend, "proxy", f"unix:{echo.path}") as proxy, proxy.client() as client:
            sent = 0
            got = bytearray()
            client.setblocking(False)
            end = time.monotonic() + BOUND_S
            while len(got) < len(block) and time.monotonic() < end:
                try:
                    if sent < len(block):
                        sent += client.send(block[sent:])
                        if sent == len(block):
                            client.shutdown(socket.SHUT_WR)
                except BlockingIOError:
                    pass
                try:
                    got += client.recv(65536)
                except BlockingIOError:
                    time.sleep(0.001)
            assert bytes(got) == block, f"{len(got)} bytes came back, or others"
            client.settimeout(BOUND_S)
            assert client.recv(1) == b"", "bytes behind the end"


def foreign_fd_embedded(backend):
    if backend not in ("epoll", "io_uring"):
        return "this backend has no descriptor to embed"
    with Server(backend, "foreign_fd") as server, server.client() as client:
        client.sendall(b"hello\n")
        expect(client, b"hello\n")
    return None


def echo_without_a_place_to_listen(backend):
    for where in ("nonsense", "tcp://127.0.0.1:65536", "unix:/no/such/folder/socket"):
        done = subprocess.run([os.path.join(PROGRAMS, "echo"), where], capture_output=True,
                              env={**os.environ, "VIGIL_BACKEND": backend}, timeout=BOUND_S)
        assert done.returncode == 2, f"{where}: exit status {done.returncode}"
        assert done.stderr.count(b"\n") == 1 and not done.stdout, f"{where}: {done.stderr!r}"


# ---- sim_echo ----

def simulate(*arguments, program="sim_echo", want):
    """Runs it, which must end with the status `want`; answers its stdout and stderr."""
    done = subprocess.run([os.path.join(PROGRAMS, program), *arguments], capture_output=True,
                          text=True, timeout=BOUND_S, check=False)
    said = f"{arguments}: exit status {done.returncode}: {done.stdout}{done.stderr}"
    assert done.returncode == want, said
    return done.stdout, done.stderr


def sim_echo_is_short():
    with open(os.path.join(ROOT, "examples", "sim_echo.c"), encoding="utf-8") as file:
        count = len(file.readlines())
    assert count < 60, f"{count} lines"


def sim_echo_in_2000_worlds():
    out, _ = simulate("--seeds", "2000", want=0)
    assert out.startswith("2000 seeds in "), out
    looked = dict(re.findall(r"([a-z ]+) (\d+)(?:,|$)", out.partition("looked at: ")[2], re.M))
    looked = {name.strip(): int(count) for name, count in looked.items()}
    for name in ("the echo is what was sent", "a clean end comes last", "the client ends"):
        assert looked.get(name, 0) >= 1000, f"{name}: {looked}"


def sim_echo_and_bad_options():
    with tempfile.NamedTemporaryFile("w", suffix=".trace") as trace:
        trace.write("1 fault on\nfault on\n")
        trace.flush()
        for arguments in (("--nonsense",), ("--seeds",), ("--seeds", "many"), ("--trace",),
                          ("--seed=-1",), ("--replay", "/no/such/file"), ("--replay", trace.name)):
            out, err = simulate(*arguments, want=2)
            assert err.count("\n") == 1 and not out, f"{arguments}: {out!r} {err!r}"
    assert "--shrink" in simulate("--help", want=0)[0]


def sim_echo_tells_a_story():
    out, _ = simulate("--seed", "0", "--trace", want=0)
    story = re.findall(r"(?m)^ +([0-9.]+) ms  \S+ \(with \S+\): (.*)$", out)
    times = [float(when) for when, _ in story]
    assert times == sorted(times), out
    whats = [what for _, what in story]
    for what in ("connects", "sends 55 bytes", "receives 55 bytes", "ends its output", "closes"):
        assert what in whats, f"nobody {what}: {out}"
    assert "\npasses\n" in out, out
    assert simulate("--seed", "0", "--trace", want=0)[0] == out, "another story the second time"


def plant(folder):
    """The example with its one mistake to make: it ignores what vigil_send() answers."""
    with open(os.path.join(ROOT, "examples", "sim_echo.c"), encoding="utf-8") as file:
        text = file.read()
    right = "    return vigil_send(loop, conn, p, n);\n"
    assert text.count(right) == 1, "the line to change is not there"
    source = os.path.join(folder, "wrong.c")
    with open(source, "w", encoding="utf-8") as file:
        file.write(text.replace(right, "    vigil_send(loop, conn, p, n);\n    return n;\n"))
    build = os.path.dirname(os.path.abspath(PROGRAMS))
    with open(os.path.join(build, "flags"), encoding="utf-8") as file:
        command = shlex.split(file.read())
    program = os.path.join(folder, "wrong")
    subprocess.run([*command, "-Wno-unused-parameter", "-o", program, source,
                    os.path.join(build, "libvigil_sim.a"), os.path.join(build, "libvigil.a")],
                   cwd=ROOT, check=True)
    return program


def sim_echo_with_a_planted_bug():
    with tempfile.TemporaryDirectory() as folder:
        wrong = plant(folder)
        out, _ = simulate("--seeds", "20000", program=wrong, want=1)
        found = re.match(r"seed (\d+) fails: (a clean end comes last: .*)\n"
                         r"  the story:   (.*)\n  made small:  (.*)\n", out)
        assert found, out
        seed, failure, story, small = found.groups()
        assert story == f"{wrong} --seed {seed} --trace", story
        out, _ = simulate(*story.split()[1:], program=wrong, want=1)
        assert f"\n{failure}\n" in out and f" FAILED {failure}\n" in out, out
        trace = os.path.join(folder, "trace")
        out, _ = simulate(*small.split()[1:], "--save", trace, program=wrong, want=1)
        counts = re.match(r"shrunk from (\d+) choices, (\d+) of them not 0, to (\d+) and (\d+)\n",
                          out)
        assert counts and f"\n{failure}\n" in out, out
        was, was_set, now, now_set = map(int, counts.groups())
        assert now < was and now_set < was_set / 4, counts[0]
        out, _ = simulate("--replay", trace, program=wrong, want=1)
        assert out.startswith(f"{failure}\n"), out
        out, _ = simulate("--replay", trace, want=0)  # what it takes to fail, without the mistake
        assert out.startswith("passes\n"), out


SIM_ROWS = (sim_echo_is_short, sim_echo_in_2000_worlds, sim_echo_and_bad_options,
            sim_echo_tells_a_story, sim_echo_with_a_planted_bug)
ROWS = (echo_without_a_place_to_listen, lines_in_single_bytes, lines_up_to_in_max,
        chat_among_three, proxy_with_half_close, foreign_fd_embedded)


def lacking():
    """The backends that do not work on this machine, and why."""
    command = os.path.join(os.path.dirname(os.path.abspath(PROGRAMS)), "vigil")
    table = subprocess.run([command, "backends"], capture_output=True, text=True, check=True)
    return dict(re.findall(r"(?m)^[* ] (\w+) .* no: (.+)$", table.stdout))


def main():
    if not os.access(os.path.join(PROGRAMS, "echo"), os.X_OK):
        sys.exit(f"{sys.argv[0]}: no programs in {PROGRAMS}: make builds them")
    rows = [(row, (backend,)) for row in ROWS for backend in BACKENDS]
    rows += [(row, ()) for row in SIM_ROWS]
    print(f"1..{len(rows)}")
    failed = 0
    skips = lacking()
    for number, (row, backend) in enumerate(rows, 1):
        name = f"{number} - {row.__name__}" + "".join(f" [{word}]" for word in backend)
        try:
            skip = skips[backend[0]] if backend and backend[0] in skips else row(*backend)
            print(f"ok {name}" + (f" # SKIP {skip}" if skip else ""))
        except (AssertionError, OSError, subprocess.SubprocessError) as fault:
            failed += 1
            print(*(f"# {line}" for line in str(fault).splitlines()), sep="\n")
            print(f"not ok {name}")
        sys.stdout.flush()
    sys.exit(1 if failed else 0)


main()
