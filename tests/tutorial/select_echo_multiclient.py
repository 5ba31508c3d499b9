# SPDX-License-Identifier: MIT
"""The tutorial's client with two connections, for Python 3.

It differs in this: a socket that the server has closed is left out from then on.
"""
import socket
import sys

MESSAGES = ['This is the message. ', 'It will be sent ', 'in parts.']


def say(*words):
    print(*words, file=sys.stderr)


port = int(sys.argv[1]) if len(sys.argv) > 1 else 10000
server_address = ('localhost', port)
socks = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(2)]

say('connecting to %s port %s' % server_address)
for s in socks:
    s.connect(server_address)

for message in MESSAGES:
    for s in socks:
        say('%s: sending "%s"' % (s.getsockname(), message))
        s.sendall(message.encode())

    for s in list(socks):
        data = s.recv(1024)
        say('%s: received "%s"' % (s.getsockname(), data.decode()))
        if not data:
            say('closing socket', s.getsockname())
            s.close()
            socks.remove(s)
