# SPDX-License-Identifier: MIT
#
# The rows of the echo battery: each is a hostile client that tells a server which is right from
# one that is nearly so.  A row gets a function that starts the server and the sizes of this run;
# it answers a note with what was measured, or raises Fail or Skip.
#
# No row waits for a time to pass where it could wait for a condition; "the server takes no more"
# is the one that has no event, and is told by a pause in which nothing moved.

import fcntl
import os
import random
import resource
import select
import socket
import struct
import termios
import threading
import time

from servers import Fail, Skip, wait_until

KI, MI = 1024, 1024 * 1024
PATIENCE_S = 60  # for anything that must happen; reached only by a server that is wrong
SANITIZER = os.environ.get("VIGIL_BATTERY_SANITIZER") == "1"


def measured(row):
    """Marks a row that is nothing but a measurement of memory, CPU or 10,000 connections."""
    def run(start, size):
        if SANITIZER:
            raise Skip("a sanitizer changes what is measured")
        return row(start, size)
    return run


def connect(server, narrow=False):
    """A client.  The system gives a `narrow` one little room on the way back to it: small
    segments keep the server's socket buffer small, so what is not read waits in the server."""
    client = socket.socket()
    client.settimeout(PATIENCE_S)
    if narrow:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * KI)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1460)
    client.connect(server.address)
    return client


def receive_exactly(client, count):
    pieces, missing = [], count
    while missing > 0:
        piece = client.recv(missing)
        if not piece:
            raise Fail(f"the server closed after {count - missing} of {count} bytes")
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)


def check(piece, data, offset):
    """Compares what came back at `offset` with what was sent."""
    want = data[offset:offset + len(piece)]
    if piece == want:
        return
    for i, byte in enumerate(piece):
        if i >= len(want):
            raise Fail(f"more than the {len(data)} bytes that were sent came back")
        if byte != want[i]:
            raise Fail(f"wrong byte at offset {offset + i} of {len(data)}")


def echo(client, message=b"one message"):
    client.sendall(message)
    check(receive_exactly(client, len(message)), message, 0)


def reset(client):
    """Closes so that the peer sees a reset, whatever is under way."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def warm_up(server):
    """One client's worth of everything that a server allocates once."""
    with connect(server) as client:
        echo(client, bytes(64 * KI))


def in_transit(client):
    """Bytes (and FIN) sent that the server's system has not acknowledged."""
    return struct.unpack("i", fcntl.ioctl(client, termios.TIOCOUTQ, bytes(4)))[0]


class Stream:
    """One client's data on its way to the server and back; every byte that returns is checked."""

    def __init__(self, client, data):
        client.setblocking(False)
        self.client, self.data = client, memoryview(data)
        self.sent = self.received = 0

    def send(self, length):
        """Sends up to so many bytes; answers False when there is no room."""
        try:
            self.sent += self.client.send(self.data[self.sent:self.sent + length])
            return True
        except BlockingIOError:
            return False

    def receive(self, length):
        """Receives up to so many bytes, if there are any; an early end is a failure."""
        try:
            piece = self.client.recv(length)
        except BlockingIOError:
            return
        except OSError as error:
            raise Fail(f"{error.strerror} after {self.told()}") from None
        if not piece and self.received < len(self.data):
            raise Fail(f"the server closed after {self.told()}")
        check(piece, self.data, self.received)
        self.received += len(piece)

    def wait(self, events, seconds):
        """Waits for one of the poll events; answers what came, 0 when the time has passed."""
        poller = select.poll()
        poller.register(self.client, events)
        return dict(poller.poll(seconds * 1000)).get(self.client.fileno(), 0)

    def told(self):
        return f"{self.received} of {len(self.data)} bytes"

    def push(self, finish=False, pause=0.0):
        """Sends everything, so that all of it is with the server; reads only what it must for
        that, each time after a pause in which the server took nothing."""
        before, moved = None, time.monotonic()
        while self.sent < len(self.data) or in_transit(self.client):
            now = (self.sent, in_transit(self.client))
            if now != before:
                before, moved = now, time.monotonic()
            reading = time.monotonic() - moved >= pause
            self.wait((select.POLLOUT if self.sent < len(self.data) else 0) |
                      (select.POLLIN if reading else 0), 0.01)
            if self.sent < len(self.data):
                self.send(256 * KI)
                if finish and self.sent == len(self.data):
                    self.client.shutdown(socket.SHUT_WR)
            if reading:
                self.receive(64 * KI)
            if time.monotonic() - moved > PATIENCE_S:
                raise Fail(f"the server takes nothing any more at {self.sent} bytes")

    def pull(self, outstanding, read_size=64 * KI, pause=0):
        """Receives until no more than `outstanding` bytes are still to come back."""
        while self.sent - self.received > outstanding:
            if not self.wait(select.POLLIN, PATIENCE_S):
                raise Fail(f"nothing came for {PATIENCE_S} s after {self.told()}")
            self.receive(read_size)
            if pause:
                time.sleep(pause)

    def wait_for_end(self):
        """The server must end its side now that everything has come back."""
        if not self.wait(select.POLLIN, PATIENCE_S) or self.client.recv(1) != b"":
            raise Fail(f"no end of input behind {self.told()}")

    def echo_all(self, chunk, read_size, pause=0, finish=False):
        """Sends pieces of chunk() bytes, and reads once the server takes no more or has it all."""
        reading = False
        while self.sent < len(self.data):
            events = select.POLLOUT | (select.POLLIN if reading else 0)
            came = self.wait(events, PATIENCE_S if reading else 0.1)
            if came & select.POLLOUT:
                self.send(chunk())
            if came & ~select.POLLOUT:
                self.receive(read_size)
            if not came and reading:
                raise Fail(f"nothing moved for {PATIENCE_S} s at {self.told()}")
            reading = reading or not came
            if pause and reading:
                time.sleep(pause)
        if finish:
            self.client.shutdown(socket.SHUT_WR)
        self.pull(0, read_size, pause)


def flood(client, limit):
    """Sends up to `limit` bytes, never reads; answers how many were taken before it stopped."""
    client.setblocking(False)
    piece, taken = bytes(MI), 0
    poller = select.poll()
    poller.register(client, select.POLLOUT)
    while taken < limit and poller.poll(1000):
        try:
            taken += client.send(piece[:limit - taken])
        except BlockingIOError:
            pass
    return taken


def half_close(start, size):
    """(a) 8 MiB, then FIN, read slowly: all come back, and then the end."""
    with start() as server, connect(server, narrow=True) as client:
        stream = Stream(client, random.randbytes(8 * MI))
        stream.echo_all(lambda: 64 * KI, 64 * KI, pause=0.0002, finish=True)
        stream.wait_for_end()
        return f"{stream.told()} and the end"


@measured
def never_reader(start, size):
    """(b) A client that sends and never reads: memory is bounded and the server stops reading."""
    with start() as server:
        warm_up(server)
        before = server.rss()
        with connect(server) as client:
            taken = flood(client, size["flood"])
            growth = server.rss() - before
        if taken >= size["flood"]:
            raise Fail(f"took all {taken // MI} MiB, RSS {growth / KI:+.0f} KiB")
        if growth >= 4 * MI:
            raise Fail(f"RSS {growth / KI:+.0f} KiB, took {taken / MI:.1f} MiB")
        return f"RSS {growth / KI:+.0f} KiB, took {taken / MI:.1f} MiB"


def served_meanwhile(start, size):
    """(c) Another client is served while the never-reader floods, and when it is stuck."""
    def serve():
        began = time.monotonic()
        with connect(server) as client:
            echo(client)
        return time.monotonic() - began

    with start() as server, connect(server) as hostile:
        flooding = threading.Thread(target=flood, args=(hostile, size["flood"]))
        flooding.start()
        worst = serve()
        while flooding.is_alive():
            worst = max(worst, serve())
        worst = max(worst, serve())
        if worst > 5:
            raise Fail(f"another client waited {worst:.1f} s")
        return f"within {worst * 1000:.1f} ms"


def ordered(start, size):
    """(d) Random chunks come back in order, byte for byte."""
    chunks = random.Random(11)

    def chunk():
        return chunks.randint(1, chunks.choice((16, 2000, 200000)))

    with start() as server, connect(server) as client:
        stream = Stream(client, random.randbytes(size["stream"]))
        stream.echo_all(chunk, 256 * KI)
        return f"{stream.received // MI} MiB in order"


def answered(clients, quiet):
    """Those of `clients` whose echo comes until `quiet` seconds pass without a new one."""
    poller, waiting, served = select.poll(), {c.fileno(): c for c in clients}, []
    for descriptor in waiting:
        poller.register(descriptor, select.POLLIN)
    while ready := poller.poll(quiet * 1000):
        for descriptor, _ in ready:
            poller.unregister(descriptor)
            served.append(waiting.pop(descriptor))
            if served[-1].recv(1) != b"x":
                raise Fail("a client was closed unserved")
    return served


@measured
def out_of_descriptors(start, size):
    """(e) 24 descriptors and 40 clients: no spinning, and who waits is served when others go."""
    with start(descriptors=24) as server:
        waiting = [connect(server) for _ in range(40)]
        for client in waiting:
            client.sendall(b"x")
        served = answered(waiting, 0.5)
        first = len(served)
        if not 0 < first < 24:
            raise Fail(f"{first} of 40 clients served on 24 descriptors")
        share = server.cpu_share(2)
        if share >= 0.05:
            raise Fail(f"{share:.0%} of a CPU while out of descriptors")
        deadline = time.monotonic() + PATIENCE_S
        while waiting and time.monotonic() < deadline:
            for client in served:
                waiting.remove(client)
                client.close()
            served = answered(waiting, 0.02)
        if waiting:
            raise Fail(f"{len(waiting)} clients were not served when others had left")
        return f"{first} of 40 at first, {share:.2%} CPU, then all"


def reset_amidst(server, rounds):
    """Fifty clients at a time send different amounts, some read a little, and all reset."""
    for _ in range(rounds):
        clients = [connect(server) for _ in range(50)]
        for i, client in enumerate(clients):
            client.sendall(bytes(1 + 3000 * (i % 25)))
            if i % 3 == 0:
                receive_exactly(client, 1)
        for client in clients:
            reset(client)


def reset_behind_fin(server, rounds):
    """Ten clients at a time that have sent FIN reset while a long echo still drains to them."""
    data = bytes(2 * MI)
    for _ in range(rounds):
        streams = [Stream(connect(server, narrow=True), data) for _ in range(10)]
        for i, stream in enumerate(streams):
            stream.push(finish=True)
            stream.pull((i + 1) * 160 * KI)
        server.come_to_rest()  # it has seen the FIN of those whose rest fits into its queue
        for stream in streams:
            reset(stream.client)


def resets(start, size):
    """(f) 1,000 clients reset in the middle, 50 behind their FIN: nobody dies, nothing leaks.
    Memory that is kept for reuse settles; a leak goes on in every round of that."""
    with start() as server:
        warm_up(server)
        server.come_to_rest()
        empty = server.descriptor_count()
        for _ in range(5):
            before = server.rss()
            reset_amidst(server, 20)
            reset_behind_fin(server, 5)
            wait_until(lambda: server.descriptor_count() <= empty, PATIENCE_S, "all closed")
            growth = server.rss() - before
            if SANITIZER:
                return f"{empty} descriptors as before; memory is not measured"
            if growth < 128 * KI:
                return f"{empty} descriptors as before, RSS {growth / KI:+.0f} KiB"
        raise Fail(f"RSS {growth / KI:+.0f} KiB, and more in every round")


@measured
def ten_thousand(start, size):
    """(g) 10,000 connections open at once; each echoes once."""
    count, batch = 10000, 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count + 200:
        raise Skip(f"RLIMIT_NOFILE is {hard}, {count + 200} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # the server inherits it
    with start() as server:
        began = time.monotonic()
        clients = []
        while len(clients) < count:
            clients += [connect(server) for _ in range(batch)]
            echo(clients[-1])  # it is accepted, hence all before it: the backlog is empty
        open_count = server.descriptor_count()
        for i, client in enumerate(clients):
            client.sendall(b"%8d" % i)
        for i, client in enumerate(clients):
            check(receive_exactly(client, 8), b"%8d" % i, 0)
        for client in clients:
            reset(client)
        if open_count < count:
            raise Fail(f"the server had {open_count} descriptors open")
        return f"{open_count} descriptors, {time.monotonic() - began:.1f} s"


def slow_client(start, size):
    """(h) A client that reads 16 bytes at a time."""
    with start() as server, connect(server) as client:
        stream = Stream(client, random.randbytes(MI))
        stream.echo_all(lambda: 64 * KI, 16)
        return f"{stream.told()}, 16 at a time"


def urgent(start, size):
    """(i) Urgent bytes neither spin nor kill, and none but they are missing."""
    with start() as server, connect(server) as client:
        data = b"0123456789" * 50
        for _ in range(50):  # one at a time: a second one would turn the first into plain data
            client.sendall(data)
            client.send(b"!", socket.MSG_OOB)
            client.sendall(data)
            got = b""
            while len(got) < 2 * len(data):
                got += receive_exactly(client, 2 * len(data) - len(got)).replace(b"!", b"")
            check(got, data + data, 0)
        client.send(b"!", socket.MSG_OOB)  # the last one stands unread
        share = 0.0 if SANITIZER else server.cpu_share(1)
        if share >= 0.05:
            raise Fail(f"{share:.0%} of a CPU over one urgent byte")
        echo(client, b"still there")
        client.send(b"!", socket.MSG_OOB)
        client.shutdown(socket.SHUT_WR)
        if client.recv(2).replace(b"!", b"") != b"":
            raise Fail("no end of input behind an urgent byte")
        return f"51 urgent bytes, {share:.2%} CPU"


@measured
def idle(start, size):
    """(j) No CPU for idle peers and half-closed ones, with their echo done or still queued."""
    with start() as server:
        clients = [connect(server) for _ in range(60)]
        for client in clients:
            echo(client)
        for client in clients[:10]:
            client.shutdown(socket.SHUT_WR)
        data, queued = random.randbytes(2 * MI), []
        for i in range(10):
            stream = Stream(connect(server, narrow=True), data)
            stream.push(finish=True)
            stream.pull((i + 1) * 160 * KI)
            queued.append(stream)
        share = server.cpu_share(1)
        if share >= 0.01:
            raise Fail(f"{share:.1%} of a CPU while idle")
        for stream in queued:
            stream.pull(0)
            stream.wait_for_end()
        for client in clients + [stream.client for stream in queued]:
            client.close()
        return f"{share:.2%} CPU"


def terminated(start, size):
    """(k) SIGTERM with echoes in flight: they are finished, and the exit status is 0.  Of one,
    4 MiB are on their way, mostly in the system; of the other the server itself holds some."""
    with start() as server, connect(server) as wide, connect(server, narrow=True) as narrow:
        streams = [Stream(wide, random.randbytes(4 * MI)), Stream(narrow, random.randbytes(MI))]
        for stream in streams:
            stream.push(pause=0.3)
        waiting = sum(stream.sent - stream.received for stream in streams)
        server.terminate()
        for stream in streams:
            stream.pull(0)
            stream.wait_for_end()
            stream.client.close()
        status = server.wait()
        if status != 0:
            raise Fail(f"exit status {status}: {server.said()}")
        return f"{waiting / MI:.1f} MiB in flight, all came back, exit 0"


ROWS = {
    "a": ("half-close", half_close),
    "b": ("never-reader", never_reader),
    "c": ("served meanwhile", served_meanwhile),
    "d": ("order", ordered),
    "e": ("out of descriptors", out_of_descriptors),
    "f": ("resets", resets),
    "g": ("ten thousand", ten_thousand),
    "h": ("slow client", slow_client),
    "i": ("urgent data", urgent),
    "j": ("idle", idle),
    "k": ("terminated", terminated),
}
