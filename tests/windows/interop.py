#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Sockets made on Windows talk to those made here: `vigil serve` and `vigil send` of both builds,
each server with each client, on every backend of both, compared byte for byte.

    interop.py NATIVE_BUILD WINDOWS_BUILD

Wine's loopback is this machine's.  Beside `vigil send`, which compares what comes back with what it
sent, a client of the test's own sends 8 MiB, shuts down writing and reads late.  Prints TAP.
"""
import itertools
import pathlib
import random
import signal
import socket
import subprocess
import sys
import threading

LIMIT_S = 90  # for one wait: only a failure takes that long
WINDOWS_BACKENDS = ['afd', 'select']  # those that must work there
BULK_BYTES = 8 << 20
MESSAGES = ['This is the message. ', 'It will be sent ', 'in parts.', 'x' * 20000]


class Failure(Exception):
    pass


class Server:
    """`vigil serve` on a free port."""

    def __init__(self, side, backend):
        self.process = subprocess.Popen(
            [str(BUILDS[side] / 'vigil'), 'serve', '--backend', backend, '127.0.0.1:0'],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        killer = threading.Timer(LIMIT_S, self.process.kill)
        killer.start()
        address = self.process.stdout.readline().strip()
        killer.cancel()
        if not address.startswith('tcp://127.0.0.1:'):
            raise Failure('no server: %r %s' % (address, self.end(signal.SIGKILL)))
        self.port = int(address.rsplit(':', 1)[1])

    def end(self, signo=signal.SIGINT):
        """Ends it; answers its exit status and its transcript."""
        self.process.send_signal(signo)
        try:
            _, said = self.process.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            _, said = self.process.communicate()
        return self.process.returncode, said

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.end(signal.SIGKILL)


def check(condition, text):
    if not condition:
        raise Failure(text)


def send(side, backend, port):
    """`vigil send` on three connections: what came back was compared there."""
    done = subprocess.run(
        [str(BUILDS[side] / 'vigil'), 'send', '--backend', backend, '--connections', '3',
         '127.0.0.1:%d' % port, *MESSAGES], stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=LIMIT_S, check=False)
    total = 3 * sum(map(len, MESSAGES))
    want = '3 connections, %d messages, %d bytes sent, %d bytes echoed, 0 wrong\n' % (
        3 * len(MESSAGES), total, total)
    check((done.returncode, done.stdout) == (0, want),
          'exit status %d, %r\n%s' % (done.returncode, done.stdout, done.stderr[-2000:]))


def bulk(port):
    """8 MiB, the end, and only then the echo is read."""
    payload = random.Random(port).randbytes(BULK_BYTES)
    back = bytearray()
    with socket.create_connection(('127.0.0.1', port), LIMIT_S) as peer:
        writer = threading.Thread(target=lambda: (peer.sendall(payload),
                                                  peer.shutdown(socket.SHUT_WR)))
        writer.start()
        while piece := peer.recv(1 << 16):
            back += piece
        writer.join()
    check(bytes(back) == payload, '%d bytes came back of %d, or not the same' % (
        len(back), len(payload)))


def test_pair(server_side, server_backend, client_side, client_backend):
    with Server(server_side, server_backend) as server:
        send(client_side, client_backend, server.port)


def test_bulk(backend):
    with Server('Windows', backend) as server:
        bulk(server.port)


def test_drain(backend):
    """Ctrl-C, which is what Wine makes of SIGINT: the echo under way is finished, exit 0."""
    with Server('Windows', backend) as server:
        with socket.create_connection(('127.0.0.1', server.port), LIMIT_S) as peer:
            peer.sendall(b'under way')
            check(peer.recv(100) == b'under way', 'no echo')
            peer.sendall(b'last')
            server.process.send_signal(signal.SIGINT)
            back = b''
            while piece := peer.recv(100):
                back += piece
            check(back == b'last', 'what was under way came back as %r' % back)
        status, said = server.end(0)
        check(status == 0, 'exit status %d\n%s' % (status, said))


def test_refusal(status, line, *words):
    """What Windows cannot have is told in one line."""
    done = subprocess.run([str(BUILDS['Windows'] / 'vigil'), *words], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=LIMIT_S, check=False)
    check((done.returncode, done.stderr) == (status, line),
          'exit status %d, %r' % (done.returncode, done.stderr))


def backends(side):
    """Those that work there, as `vigil backends` tells."""
    lines = subprocess.run([str(BUILDS[side] / 'vigil'), 'backends'], stdin=subprocess.DEVNULL,
                           capture_output=True, text=True, timeout=LIMIT_S,
                           check=True).stdout.splitlines()
    table = itertools.takewhile(str.strip, lines[1:])  # what is found of each stands behind it
    return [line.lstrip('* ').split()[0] for line in table if line.split()[-1] == 'yes']


def test_backends():
    found = backends('Windows')
    check(found == WINDOWS_BACKENDS, 'those that work are %r' % found)


def tests():
    sides = {'Linux': backends('Linux'), 'Windows': WINDOWS_BACKENDS}
    yield 'the backends on Windows: ' + ', '.join(WINDOWS_BACKENDS), test_backends
    for server, client in (('Windows', 'Linux'), ('Linux', 'Windows'), ('Windows', 'Windows')):
        for one, other in itertools.product(sides[server], sides[client]):
            yield ('%s server on %s, %s client on %s' % (server, one, client, other),
                   test_pair, server, one, client, other)
    for backend in sides['Windows']:
        yield '8 MiB, read late: Windows server on %s' % backend, test_bulk, backend
        yield 'Ctrl-C with an echo under way: Windows server on %s' % backend, test_drain, backend
    yield ('stdin cannot be sent', test_refusal, 2,
           'vigil send: no MESSAGE, and stdin cannot be waited for on Windows (give a MESSAGE)\n',
           'send', '127.0.0.1:1')
    yield ('no Unix sockets', test_refusal, 1, 'vigil serve: unix:/tmp/x: not supported here\n',
           'serve', 'unix:/tmp/x')


def main():
    if len(sys.argv) != 3:
        print('usage: interop.py NATIVE_BUILD WINDOWS_BUILD', file=sys.stderr)
        return 2
    plan = list(tests())
    print('1..%d' % len(plan), flush=True)
    failures = 0
    for number, test in enumerate(plan, 1):
        try:
            test[1](*test[2:])
            print('ok %d - interop: %s' % (number, test[0]), flush=True)
        except Exception as error:  # whatever it is, the other tests shall run
            print('# ' + str(error).replace('\n', '\n# '))
            print('not ok %d - interop: %s' % (number, test[0]), flush=True)
            failures += 1
    return 1 if failures else 0


BUILDS = {}
if __name__ == '__main__':
    BUILDS = dict(zip(('Linux', 'Windows'), (pathlib.Path(arg).resolve() for arg in sys.argv[1:])))
    sys.exit(main())
