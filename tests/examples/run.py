#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# The examples at work, on every backend, as TAP: lines (cut anywhere, and one too long), chat,
# proxy (half-close both ways), foreign_fd, and echo without a place to listen.  The argument is the
# directory of the programs.

import os
import re
import signal
import socket
import subprocess
import sys
import time

PROGRAMS = sys.argv[1] if len(sys.argv) > 1 else "build/examples"
BACKENDS = ("io_uring", "epoll", "poll", "select")
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
    print(f"1..{len(ROWS) * len(BACKENDS)}")
    failed = number = 0
    skips = lacking()
    for row in ROWS:
        for backend in BACKENDS:
            number += 1
            name = f"{number} - {row.__name__} [{backend}]"
            try:
                skip = skips[backend] if backend in skips else row(backend)
                print(f"ok {name}" + (f" # SKIP {skip}" if skip else ""))
            except (AssertionError, OSError, subprocess.TimeoutExpired) as fault:
                failed += 1
                print(f"# {fault}\nnot ok {name}")
            sys.stdout.flush()
    sys.exit(1 if failed else 0)


main()
