#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# python.py -- the contender on Python's asyncio: a Protocol that writes back what it is given.
#
# Reading pauses while anything waits to be sent.  The idle limit looks once in its time whether
# the connection was used, as a call_later() per message would be the dearest way there is.
# Newcomers are accepted by ourselves: asyncio's own server, out of descriptors, tries as often
# again as its backlog is long, and tells each time.
# They have the listener's TCP_NODELAY: asyncio sets it only where a socket's protocol was named.
# asyncio decides by itself: a selector on level-triggered epoll.
# Usage: python [--idle] tcp://A.B.C.D:PORT, or --version.  SIGTERM ends it at once.

import asyncio
import errno
import platform
import re
import socket
import sys

READ_SIZE = 65536
BACKLOG = 4096
LIMIT_S = 30
REST_S = 0.1
ACCEPTS_MAX = 64


class Echo(asyncio.Protocol):
    idle = False

    def connection_made(self, transport):
        transport.max_size = READ_SIZE  # 256 KiB otherwise
        transport.set_write_buffer_limits(high=0)
        self.transport = transport
        self.write = transport.write
        if self.idle:
            self.loop = asyncio.get_running_loop()
            self.active = self.loop.time()
            self.timer = self.loop.call_at(self.active + LIMIT_S, self.look)

    def data_received(self, data):
        if self.idle:
            self.active = self.loop.time()
        self.write(data)

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def eof_received(self):
        return False  # the transport sends what waits, and closes

    def connection_lost(self, error):
        if self.idle:
            self.timer.cancel()

    def look(self):
        if self.loop.time() >= self.active + LIMIT_S:
            self.transport.abort()
        else:
            self.timer = self.loop.call_at(self.active + LIMIT_S, self.look)


def accept(loop, listener, tasks):
    for _ in range(ACCEPTS_MAX):
        try:
            client, _ = listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                continue  # it is that of one connection
            loop.remove_reader(listener)
            loop.call_later(REST_S, loop.add_reader, listener, accept, loop, listener, tasks)
            return
        client.setblocking(False)
        task = loop.create_task(loop.connect_accepted_socket(Echo, client))
        tasks.add(task)  # the loop itself keeps none
        task.add_done_callback(tasks.discard)


async def serve(host, port):
    loop, listener = asyncio.get_running_loop(), socket.create_server((host, port), backlog=BACKLOG)
    listener.setblocking(False)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    loop.add_reader(listener, accept, loop, listener, set())
    host, port = listener.getsockname()
    print(f"tcp://{host}:{port}", flush=True)
    await loop.create_future()


def main():
    words = sys.argv[1:]
    if words == ["--version"]:
        print(platform.python_version())
        return 0
    if words[:1] == ["--idle"]:
        Echo.idle = True
        del words[0]
    where = re.fullmatch(r"tcp://([0-9.]+):(\d+)", words[0]) if len(words) == 1 else None
    if not where:
        print("python: want [--idle] tcp://A.B.C.D:PORT, or --version", file=sys.stderr)
        return 2
    return asyncio.run(serve(where[1], int(where[2])))


if __name__ == "__main__":
    sys.exit(main())
