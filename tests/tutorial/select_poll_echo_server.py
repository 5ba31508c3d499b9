# SPDX-License-Identifier: MIT
"""The tutorial's echo server on poll(), for Python 3.

It differs in this: a closing line names that connection's own peer.
"""
import queue
import select
import socket
import sys

TIMEOUT = 1000
READ_ONLY = select.POLLIN | select.POLLPRI | select.POLLHUP | select.POLLERR
READ_WRITE = READ_ONLY | select.POLLOUT


def say(*words):
    print(*words, file=sys.stderr)


port = int(sys.argv[1]) if len(sys.argv) > 1 else 10000
server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
server.setblocking(False)
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
say('starting up on %s port %s' % ('localhost', port))
server.bind(('localhost', port))
server.listen(5)

poller = select.poll()
poller.register(server, READ_ONLY)
fd_to_socket = {server.fileno(): server}
message_queues = {}
peers = {}


def forget(s):
    poller.unregister(s)
    del fd_to_socket[s.fileno()]
    del message_queues[s]
    s.close()


while True:
    say('\nwaiting for the next event')
    events = poller.poll(TIMEOUT)

    for fd, flag in events:
        s = fd_to_socket[fd]

        if flag & (select.POLLIN | select.POLLPRI):
            if s is server:
                connection, client_address = s.accept()
                say('new connection from', client_address)
                connection.setblocking(False)
                fd_to_socket[connection.fileno()] = connection
                poller.register(connection, READ_ONLY)
                message_queues[connection] = queue.Queue()
                peers[connection] = client_address
            else:
                data = s.recv(1024)
                if data:
                    say('received "%s" from %s' % (data.decode(), s.getpeername()))
                    message_queues[s].put(data)
                    poller.modify(s, READ_WRITE)
                else:
                    say('closing', peers.pop(s), 'after reading no data')
                    forget(s)

        elif flag & select.POLLHUP:
            say('closing', peers.pop(s), 'after receiving HUP')
            forget(s)

        elif flag & select.POLLOUT:
            try:
                next_msg = message_queues[s].get_nowait()
            except queue.Empty:
                say('output queue for', s.getpeername(), 'is empty')
                poller.modify(s, READ_ONLY)
            else:
                say('sending "%s" to %s' % (next_msg.decode(), s.getpeername()))
                s.send(next_msg)

        elif flag & select.POLLERR:
            say('handling exceptional condition for', s.getpeername())
            forget(s)
