#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Proves that the tutorial's five programs in C say and do what their Python versions do.

    run.py [DIRECTORY OF THE BUILT C PROGRAMS]        build/examples/ by default

Every C and Python server meets every C and Python client; transcripts are compared with the port
numbers normalised.  Then what the originals cannot do: no byte is lost on short sends, a reset
harms nobody else.  Prints TAP.  Nothing here waits for time to pass: every wait is for a line in a
transcript or for an end, with a bound that only a failure reaches.
"""
import collections
import concurrent.futures
import os
import pathlib
import random
import re
import resource
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
SERVERS = ['select_echo_server', 'select_echo_server_timeout', 'select_poll_echo_server']
CLIENTS = ['select_echo_multiclient', 'select_echo_slow_client']
LANGUAGES = ['C', 'Python']
MULTI = ['This is the message. ', 'It will be sent ', 'in parts.']
SLOW = ['Part one of the message.', 'Part two of the message.']
BULK_BYTES = 4 << 20
LIMIT_S = 90  # for one wait: only a failure takes that long
WAITING = ['', 'waiting for the next event']
TIMED_OUT = '  timed out, do some other work here'
ADDRESS = r"(\('127\.0\.0\.1', \d+\))"
EVENTS = [(name, re.compile(pattern % ADDRESS, re.DOTALL)) for name, pattern in [
    ('new', r'new connection from %s'),
    ('received', r'received "(?P<text>.+)" from %s'),
    ('sending', r'sending "(?P<text>.+)" to %s'),
    ('empty', r'output queue for %s is empty'),
    ('closing', r'closing %s after reading no data'),
    ('hung up', r'closing %s after receiving HUP'),
    ('exceptional', r'handling exceptional condition for %s'),
]]
GONE = {'closing', 'hung up', 'exceptional'}
Event = collections.namedtuple('Event', 'kind peer text')


class Failure(Exception):
    pass


class Skip(Exception):
    pass


def check(condition, message):
    if not condition:
        raise Failure(message)


def check_equal(want, got, what):
    if want != got:
        raise Failure('%s\nwanted:\n%s\ngot:\n%s' % (what, listing(want), listing(got)))


def listing(value):
    rows = [repr(row)[:200] for row in value] if isinstance(value, list) else [repr(value)[:400]]
    if len(rows) > 80:
        rows[40:-40] = ['... %d more ...' % (len(rows) - 80)]
    return '\n'.join('  ' + row for row in rows)


def wait_until(condition):
    """Waits until the condition holds, or LIMIT_S have passed; answers whether it holds."""
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


# ---- programs and sockets --------------------------------------------------------------------

class Program:
    """A program that runs, and its transcript as far as it has come."""

    def __init__(self, command, env=None):
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        stdout=subprocess.PIPE, env={**os.environ, **(env or {})})
        self.lines = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line.decode('utf-8', 'surrogateescape').rstrip('\n'))

    def wait_for(self, condition, what):
        """Waits until condition(lines) holds; the end of the program ends the hope for it."""
        wait_until(lambda: condition(self.lines[:]) or not self.reader.is_alive())
        if not condition(self.lines[:]):
            raise Failure('no sign of %s; the transcript:\n%s' % (what, listing(self.lines)))

    def finish(self):
        """Waits for its end by itself; answers its exit status and what it wrote to stdout."""
        status = self.process.wait(LIMIT_S)
        self.reader.join(LIMIT_S)
        return status, self.process.stdout.read()

    def stop(self):
        """Ends a server, which must still be alive; answers its transcript."""
        status = self.process.poll()
        check(status is None, 'the server ended by itself, status %s:\n%s' % (
            status, listing(self.lines)))
        self.process.terminate()
        self.finish()
        return self.lines

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.reader.join(LIMIT_S)
        self.process.stdout.close()
        self.process.stderr.close()


def command(language, name):
    if language == 'Python':
        return [sys.executable, str(HERE / (name + '.py'))]
    return [str(BUILT / name)]


def start_server(language, name, env=None):
    """Starts a server on a free port; tries another when somebody else was quicker."""
    for _ in range(20):
        with socket.socket() as probe:
            probe.bind(('127.0.0.1', 0))
            port = probe.getsockname()[1]
        server = Program(command(language, name) + [str(port)], env)
        try:
            server.wait_for(lambda lines: WAITING[1] in lines, 'a server on port %d' % port)
        except Failure:
            in_use = any('Address already in use' in line for line in server.lines)
            server.__exit__()
            if in_use:
                continue
            raise
        server.port = port
        server.started = time.monotonic()
        server.name = name
        return server
    raise Failure('no free port in 20 attempts')


class Peer(socket.socket):
    """A client of the test's own."""

    def __init__(self, server, receive_buffer=None):
        super().__init__(socket.AF_INET, socket.SOCK_STREAM)
        self.settimeout(LIMIT_S)
        if receive_buffer:
            self.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.connect(('127.0.0.1', server.port))
        self.peer = str(self.getsockname())

    def echo(self, text):
        self.sendall(text.encode())
        check_equal(text, read_exactly(self, len(text)), 'the echo')


def read_exactly(sock, count):
    data = b''
    while len(data) < count:
        piece = sock.recv(count - len(data))
        check(piece, 'the end came after %d bytes of %d' % (len(data), count))
        data += piece
    return data.decode()


# ---- reading transcripts ---------------------------------------------------------------------

def event_of(line):
    for kind, pattern in EVENTS:
        match = pattern.fullmatch(line)
        if match:
            return Event(kind, match.groups()[-1], match.groupdict().get('text'))
    return None


def events_of(lines):
    return [event for event in map(event_of, lines) if event]


def turns_of(lines):
    """The transcript cut before each "waiting": what came before the first, then each turn."""
    turns = [[]]
    i = 0
    while i < len(lines):
        if lines[i:i + 2] == WAITING:
            turns.append([])
            i += 2
        else:
            turns[-1].append(lines[i])
            i += 1
    return turns


def busy_turns(server, lines):
    """The turns without those that only the clock has made, and whether it waits again."""
    turns = turns_of(lines)
    if server.name != 'select_echo_server':
        turns[1:] = [turn for turn in turns[1:] if turn not in ([], [TIMED_OUT])] + [turns[-1]]
    return turns[:-1], turns[-1] in ([], [TIMED_OUT])


def check_form(server):
    """Every line is one that this server may print, at a place where it may stand."""
    turns = turns_of(server.lines)
    check_equal(['starting up on localhost port %d' % server.port], turns[0], 'the beginning')
    check(len(turns) > 1, '"waiting for the next event" is missing')
    for turn in turns[1:]:
        if turn == [TIMED_OUT] and server.name == 'select_echo_server_timeout':
            continue
        if turn == [''] and turn is turns[-1]:
            continue  # stopped between the blank line and the other
        for line in turn:
            check(event_of(line), 'a line out of place: %r in %r' % (line, turn))


def check_queue(events):
    """One connection's lines obey its queue: first in, first out, each message announced once."""
    check_equal('new', events[0].kind, 'the first line of a connection')
    check_equal('closing', events[-1].kind, 'the last line of a connection')
    queue = collections.deque()
    may_be_empty = False
    for event in events[1:-1]:
        check(event.kind in ('received', 'sending', 'empty'), 'not expected: %r' % (event,))
        if event.kind == 'received':
            queue.append(event.text)
        elif event.kind == 'sending':
            check(queue and queue.popleft() == event.text, 'not the next message: %r' % (event,))
            may_be_empty = True
        else:
            check(may_be_empty and not queue, 'the queue cannot be found empty here')
            may_be_empty = False
    check(not queue, '%d messages were never sent' % len(queue))


def check_connections(server, scripts):
    """Each connection received one of the scripts, and its sequence of lines is that script's.

    Whether "output queue is empty" comes between is the client's speed, unless it waits for it;
    and the slow client's two parts are one message to a server that slept a second and a half."""
    connections = collections.defaultdict(list)
    for event in events_of(server.lines):
        connections[event.peer].append(event)
    check_equal(len(scripts), len(connections), 'how many connections')
    for events, script in zip(connections.values(), scripts):
        check_queue(events)
        sequence = [(event.kind, event.text) for event in events if event.kind != 'empty']
        if script is SLOW:
            for kind in ('received', 'sending'):
                text = ''.join(part for what, part in sequence if what == kind)
                check_equal(''.join(SLOW), text, 'what was ' + kind)
            continue
        want = [(kind, text) for text in script for kind in ('received', 'sending')]
        check_equal([('new', None)] + want + [('closing', None)], sequence, 'a connection')
    return list(connections)


# ---- every server with every client ----------------------------------------------------------

def multi_lines(port, a, b):
    """The whole transcript of the client with two connections."""
    lines = ['connecting to localhost port %d' % port]
    for text in MULTI:
        for verb in ('sending', 'received'):
            lines += ['%s: %s "%s"' % (peer, verb, text) for peer in (a, b)]
    return lines


def slow_lines(port, pieces):
    return (['connecting to localhost port %d' % port]
            + ['sending "%s"' % text for text in SLOW]
            + ['received "%s"' % piece for piece in pieces]
            + ['closing socket'])


def test_pair(server_language, server_name, client_language, client_name):
    multi = client_name == CLIENTS[0]
    scripts = [MULTI, MULTI] if multi else [SLOW]
    with start_server(server_language, server_name) as server:
        with Program(command(client_language, client_name) + [str(server.port)]) as client:
            status, output = client.finish()
        server.wait_for(lambda lines: sum(event.kind in GONE for event in events_of(lines))
                        == len(scripts), 'every connection closed')
        server.stop()
    check_equal((0, b''), (status, output), "the client's exit status and stdout")
    check_form(server)
    peers = check_connections(server, scripts)
    if multi:
        check_equal(multi_lines(server.port, *peers), client.lines, "the client's transcript")
    else:
        pieces = re.findall(r'^received "(.{1,16})"$', '\n'.join(client.lines), re.MULTILINE)
        check_equal(''.join(SLOW), ''.join(pieces), 'what came back')
        check_equal(slow_lines(server.port, pieces), client.lines, "the client's transcript")


# ---- whole transcripts, in lock-step ---------------------------------------------------------

def lockstep(server):
    """One client that takes no step before the server waits again; answers the normal form."""
    want = [['starting up on localhost port %d' % server.port]]

    def step(line):
        want.append([line])

    def settle():
        server.wait_for(lambda lines: busy_turns(server, lines) == (want, True),
                        'this: ' + listing(want))

    settle()
    peer = Peer(server)
    step('new connection from ' + peer.peer)
    settle()
    for text in MULTI + SLOW:
        peer.echo(text)
        step('received "%s" from %s' % (text, peer.peer))
        step('sending "%s" to %s' % (text, peer.peer))
        step('output queue for %s is empty' % peer.peer)
        settle()
    peer.close()
    step('closing %s after reading no data' % peer.peer)
    settle()
    server.stop()
    check_form(server)
    names = {str(server.port): 'PORT', peer.peer: 'PEER'}
    turns = [turn[0] for turn in busy_turns(server, server.lines)[0]]
    return [re.sub('|'.join(map(re.escape, names)), lambda m: names[m[0]], line) for line in turns]


def test_lockstep(name):
    transcripts = []
    for language in LANGUAGES:
        with start_server(language, name) as server:
            transcripts.append(lockstep(server))
    check_equal(transcripts[1], transcripts[0], 'Python and C differ')


def test_idle(name):
    """A server with a timeout comes back again and again, one without stays."""
    for language in LANGUAGES:
        with start_server(language, name) as server:
            server.wait_for(lambda lines: len(turns_of(lines)) > 3, 'three turns')
            server.stop()
        check_form(server)
        timed_out = name == 'select_echo_server_timeout'
        for turn in turns_of(server.lines)[1:-1]:
            check_equal([TIMED_OUT] if timed_out else [], turn, 'an idle turn')


# ---- each client against a server of the test's own ------------------------------------------

class Listener(socket.socket):
    """A server of the test's own, which answers when and what the test says."""

    def __init__(self):
        super().__init__(socket.AF_INET, socket.SOCK_STREAM)
        self.settimeout(LIMIT_S)
        self.bind(('127.0.0.1', 0))
        self.listen(5)
        self.port = self.getsockname()[1]

    def next(self):
        connection, address = self.accept()
        connection.settimeout(LIMIT_S)
        return connection, str(address)


def test_multiclient_alone():
    for language in LANGUAGES:
        with Listener() as listener, \
                Program(command(language, CLIENTS[0]) + [str(listener.port)]) as client:
            (a, a_peer), (b, b_peer) = listener.next(), listener.next()
            with a, b:
                for text in MULTI:
                    for connection in a, b:
                        check_equal(text, read_exactly(connection, len(text)), 'a message')
                    for connection in a, b:
                        connection.sendall(text.encode())
                check_equal((0, b''), client.finish(), language)
        check_equal(multi_lines(listener.port, a_peer, b_peer), client.lines, language)


def test_multiclient_left():
    """The server closes one of two connections instead of its second answer."""
    for language in LANGUAGES:
        with Listener() as listener, \
                Program(command(language, CLIENTS[0]) + [str(listener.port)]) as client:
            (a, a_peer), (b, b_peer) = listener.next(), listener.next()
            with a, b:
                for text in MULTI:
                    read_exactly(a, len(text))
                    a.sendall(text.encode())
                    if text != MULTI[2]:
                        read_exactly(b, len(text))
                    if text == MULTI[0]:
                        b.sendall(text.encode())
                    if text == MULTI[1]:
                        b.close()
                status, _ = client.finish()
        want = multi_lines(listener.port, a_peer, b_peer)
        want[8:9] = ['%s: received ""' % b_peer, 'closing socket ' + b_peer]
        want = [line for line in want if not (line.startswith(b_peer) and MULTI[2] in line)]
        check_equal(want, client.lines, language)
        if language == 'C':
            check_equal(1, status, 'the exit status')


def test_slow_client_alone():
    """The whole echo comes at once, and is read in pieces of 16 bytes."""
    for language in LANGUAGES:
        with Listener() as listener, \
                Program(command(language, CLIENTS[1]) + [str(listener.port)]) as client:
            connection, _ = listener.next()
            with connection:
                whole = read_exactly(connection, len(''.join(SLOW)))
                connection.sendall(whole.encode())
                check_equal((0, b''), client.finish(), language)
        pieces = [whole[:16], whole[16:32], whole[32:]]
        check_equal(slow_lines(listener.port, pieces), client.lines, language)


def test_slow_client_left():
    """The server closes after 16 bytes of 48: the client stops there, and says so."""
    for language in LANGUAGES:
        with Listener() as listener, \
                Program(command(language, CLIENTS[1]) + [str(listener.port)]) as client:
            connection, _ = listener.next()
            with connection:
                whole = read_exactly(connection, len(''.join(SLOW)))
                connection.sendall(whole[:16].encode())
            status, _ = client.finish()
        want = slow_lines(listener.port, [whole[:16], ''])
        check_equal(want, client.lines[:-1], language)
        check('the server has closed the connection' in client.lines[-1], client.lines[-1])
        check_equal(1, status, 'the exit status of ' + language)


def test_client_reset(name):
    """The server resets: the C client ends with one clear line, not by a signal."""
    with Listener() as listener, Program(command('C', name) + [str(listener.port)]) as client:
        for connection in [listener.next()[0] for _ in range(2 if name == CLIENTS[0] else 1)]:
            read_exactly(connection, 16)
            reset(connection)
        status, _ = client.finish()
    check_equal(1, status, 'the exit status')
    if WINDOWS and client.lines[-1].startswith('closing socket'):
        raise Skip('Wine told the reset as an end')
    check(re.search(r': (Connection reset by peer|Broken pipe)$', client.lines[-1]),
          client.lines[-1])


# ---- what the originals cannot do ------------------------------------------------------------

def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    sock.close()


def left(peer):
    """A condition: the server has said that this peer is gone."""
    return lambda lines: any(line.startswith(('closing', 'handling')) and peer in line
                             for line in lines)


def serve_another(server):
    """The server lives: a newcomer is served from beginning to end."""
    with Peer(server) as peer:
        peer.echo('still there?')
    closing = 'closing %s after reading no data' % peer.peer
    server.wait_for(lambda lines: closing in lines
                    and WAITING[1] in lines[lines.index(closing):], 'the end of a newcomer')


def test_bulk(name, env=None):
    """A client sends 4 MiB, shuts down, and only then begins to read: every byte comes back."""
    printable = bytes(48 + i % 64 for i in range(256))
    payload = random.Random(name).randbytes(BULK_BYTES).translate(printable)
    with start_server('C', name, env) as server, Peer(server, receive_buffer=8192) as peer:
        peer.sendall(payload)
        peer.shutdown(socket.SHUT_WR)
        back = bytearray()
        while piece := peer.recv(1000):
            back += piece
        server.wait_for(lambda lines: any('closing' in line[:7] for line in lines), 'the end')
        server.stop()
    if payload != back:
        offset = next((i for i in range(len(back)) if back[i:i + 1] != payload[i:i + 1]), len(back))
        raise Failure('%d bytes came back, equal up to %d' % (len(back), offset))
    check_form(server)
    events = events_of(server.lines)
    check_queue(events)
    for kind in 'received', 'sending':
        text = ''.join(event.text for event in events if event.kind == kind)
        check(text == payload.decode(), 'the lines "%s" do not add up to what was sent' % kind)


def short_sends(directory):
    """The environment in which send() takes little; and the file that tells that it was called."""
    library, mark = os.path.join(directory, 'short_send.so'), os.path.join(directory, 'mark')
    build = [os.environ.get('CC', 'cc'), '-shared', '-fPIC', '-o', library,
             str(HERE / 'short_send.c')]
    try:
        done = subprocess.run(build, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError as error:
        raise Skip('no C compiler: %s' % error) from error
    if done.returncode != 0:
        raise Skip('short_send.c cannot be built here')
    sanitizer = os.environ.get('ASAN_OPTIONS', '') + ':verify_asan_link_order=0'
    return {'LD_PRELOAD': library, 'SHORT_SEND_MARK': mark, 'ASAN_OPTIONS': sanitizer}, mark


def test_bulk_short(name):
    with tempfile.TemporaryDirectory() as directory:
        env, mark = short_sends(directory)
        test_bulk(name, env)
        if not os.path.exists(mark):
            raise Skip('send() cannot be replaced in this build')


def test_clients_short():
    """The C clients, too, send everything."""
    with tempfile.TemporaryDirectory() as directory:
        env, mark = short_sends(directory)
        for name in CLIENTS:
            with start_server('C', SERVERS[0], env) as server, \
                    Program(command('C', name) + [str(server.port)], env) as client:
                check_equal((0, b''), client.finish(), name)
            back = ''.join(re.findall(r'received "(.*)"$', '\n'.join(client.lines), re.MULTILINE))
            whole = MULTI + MULTI if name == CLIENTS[0] else SLOW
            check_equal(sorted(''.join(whole)), sorted(back), name)
        if not os.path.exists(mark):
            raise Skip('send() cannot be replaced in this build')


def test_server_reset(name):
    """Clients reset while idle, while their echo is stuck, and at once; nobody else notices."""
    if not hasattr(socket, 'TCP_INFO'):
        raise Skip('the system does not tell when our end has arrived')
    with start_server('C', name) as server:
        serve_another(server)
        descriptors = open_descriptors(server)

        idle = Peer(server)
        idle.echo('hello')
        server.wait_for(lambda lines: 'output queue for %s is empty' % idle.peer in lines, 'rest')
        reset(idle)
        server.wait_for(left(idle.peer), 'the reset of an idle client')

        stuck = Peer(server, receive_buffer=4096)
        stuck.sendall(b'x' * BULK_BYTES)
        server.wait_for(lambda lines: any(line.startswith('sending "xx') for line in lines), 'echo')
        reset(stuck)
        server.wait_for(left(stuck.peer), 'the reset of a client that did not read')

        # A reset behind the end of input is EPIPE to whoever sends, with a signal that kills.
        ended = Peer(server, receive_buffer=4096)
        ended.sendall(b'y' * BULK_BYTES)
        ended.shutdown(socket.SHUT_WR)
        wait_for_end_taken(ended)
        with Peer(server) as other:
            for _ in range(100):  # in these turns it has also read that end, once
                other.echo('and again')
        reset(ended)
        server.wait_for(left(ended.peer), 'the reset of a client that had ended')

        for _ in range(0 if WINDOWS else 10):  # Wine's accept passes over who has left already
            hasty = [Peer(server) for _ in range(5)]  # as many as the backlog takes
            for peer in hasty:
                peer.sendall(b'hello')
                reset(peer)
            for peer in hasty:
                server.wait_for(left(peer.peer), 'the reset of a hasty client')

        serve_another(server)
        check_equal(descriptors, open_descriptors(server), 'open descriptors')
        server.stop()
    check_form(server)
    check_calm(server)


def check_calm(server):
    """The server has not spun: but for a few, turns in which nothing happens are the clock's."""
    silent = sum(turn == [] for turn in turns_of(server.lines))
    allowed = 20 + 3 * (time.monotonic() - server.started)
    check(silent <= allowed, '%d turns in which nothing happened' % silent)


def wait_for_end_taken(peer):
    """Waits until the server's system has acknowledged our end of output; Linux tells."""
    fin_wait_2 = 5
    check(wait_until(lambda: peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
                     == fin_wait_2), 'our end was never acknowledged')


def open_descriptors(server):
    """What the server has open; the system tells on Linux only."""
    directory = '/proc/%d/fd' % server.process.pid
    return len(os.listdir(directory)) if os.path.isdir(directory) else None


def test_descriptors_out(name):
    """Out of descriptors: clients wait in the backlog until others leave, and nothing spins."""
    if not hasattr(resource, 'prlimit') or not os.path.isdir('/proc/self/fd'):
        raise Skip('no way here to take descriptors from a running program')
    with start_server('C', name) as server:
        room = open_descriptors(server) + 3
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (room, room))
        peers = [Peer(server) for _ in range(6)]
        for peer in peers[:3]:
            peer.echo('first')
        for peer in peers[3:]:
            peer.sendall(b'later')
        for _ in range(100):
            peers[0].echo('and again')
        for peer in peers[:3]:
            peer.close()
        for peer in peers[3:]:
            check_equal('later', read_exactly(peer, 5), 'the echo')
            peer.close()
        server.wait_for(lambda lines: all(left(peer.peer)(lines) for peer in peers), 'all leave')
        serve_another(server)
        server.stop()
    check_calm(server)


# ---- bad input -------------------------------------------------------------------------------

def test_bad_port(name):
    for arguments in [['x'], [''], ['0'], ['65536'], ['-1'], ['+80'], [' 80'], ['80x'], ['1e3'],
                      ['99999999999999999999'], ['10000', '10001']]:
        with Program(command('C', name) + arguments) as program:
            status, output = program.finish()
        check_equal((2, b''), (status, output), 'status and stdout for %r' % arguments)
        check_equal(1, len(program.lines), 'lines for %r' % arguments)
        check('port' in program.lines[0] and '"%s"' % arguments[-1] in program.lines[0],
              program.lines[0])


def test_port_in_use(name):
    with Listener() as listener, Program(command('C', name) + [str(listener.port)]) as server:
        status, _ = server.finish()
    check_equal(1, status, 'the exit status')
    check_equal(['starting up on localhost port %d' % listener.port,
                 'cannot listen: Address already in use'], server.lines, 'the transcript')


def test_refused(name):
    with socket.socket() as held:
        held.bind(('127.0.0.1', 0))  # and does not listen
        port = held.getsockname()[1]
        with Program(command('C', name) + [str(port)]) as client:
            status, _ = client.finish()
    check_equal(1, status, 'the exit status')
    check_equal(['connecting to localhost port %d' % port, 'cannot connect: Connection refused'],
                client.lines, 'the transcript')


def test_default_port():
    for name in SERVERS + CLIENTS:
        with Program(command('C', name)) as program:
            program.wait_for(lambda lines: lines, 'a line of ' + name)
        first = 'connecting to' if name in CLIENTS else 'starting up on'
        check_equal(first + ' localhost port 10000', program.lines[0], name)


# ---- the plan --------------------------------------------------------------------------------

def tests():
    for server_language in LANGUAGES:
        for server in SERVERS:
            for client_language in LANGUAGES:
                for client in CLIENTS:
                    yield ('%s %s with %s %s' % (server_language, server, client_language, client),
                           test_pair, server_language, server, client_language, client)
    for server in SERVERS:
        yield 'lock-step, whole transcript: ' + server, test_lockstep, server
    for server in SERVERS[1:]:
        yield 'idle: ' + server, test_idle, server
    yield 'whole transcript: ' + CLIENTS[0], test_multiclient_alone
    yield 'the server closes one connection: ' + CLIENTS[0], test_multiclient_left
    yield 'whole transcript: ' + CLIENTS[1], test_slow_client_alone
    yield 'the server closes early: ' + CLIENTS[1], test_slow_client_left
    for client in CLIENTS:
        yield 'the server resets: ' + client, test_client_reset, client
    for server in SERVERS:
        yield '4 MiB, read late and slowly: ' + server, test_bulk, server
        yield '4 MiB on short sends: ' + server, test_bulk_short, server
    yield 'short sends in the clients', test_clients_short
    for server in SERVERS:
        yield 'resets: ' + server, test_server_reset, server
        yield 'out of descriptors: ' + server, test_descriptors_out, server
    for name in SERVERS + CLIENTS:
        yield 'a bad port: ' + name, test_bad_port, name
    for server in SERVERS:
        yield 'port in use: ' + server, test_port_in_use, server
    for client in CLIENTS:
        yield 'nobody listens: ' + client, test_refused, client
    yield 'without an argument', test_default_port


def outcome(test):
    """Runs one test; answers what stands before and behind its name, and whether it failed."""
    try:
        test[1](*test[2:])
        return 'ok', '', False
    except Skip as reason:
        return 'ok', ' # SKIP %s' % reason, False
    except Exception as error:  # whatever it is, the other tests shall run
        kind = '' if isinstance(error, Failure) else type(error).__name__ + ': '
        text = kind + str(error)
        return 'not ok', '\n# ' + text.replace('\n', '\n# '), True


def main():
    missing = [name for name in SERVERS + CLIENTS if not (BUILT / name).is_file()]
    if missing or len(sys.argv) > 2:
        print('run.py: the directory of the built programs is wanted: no %s in %s' % (
            ', '.join(missing), BUILT), file=sys.stderr)
        return 2
    plan = list(tests())
    print('1..%d' % len(plan), flush=True)
    failures = 0
    with concurrent.futures.ThreadPoolExecutor(8) as pool:  # they wait more than they work
        for number, (test, (before, behind, failed)) in enumerate(
                zip(plan, pool.map(outcome, plan)), 1):
            print('%s %d - tutorial: %s%s' % (before, number, test[0], behind), flush=True)
            failures += failed
    return 1 if failures else 0


BUILT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else 'build/examples').resolve()
WINDOWS = (BUILT / (SERVERS[0] + '.exe')).exists()  # and run under Wine

if __name__ == '__main__':
    sys.exit(main())
