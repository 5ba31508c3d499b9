# SPDX-License-Identifier: MIT
"""The tutorial's slow client, for Python 3.

It differs in this: it stops when the server ends early, where the original reads on for ever.
"""
import socket
import sys
import time

MESSAGES = ['Part one of the message.', 'Part two of the message.']


def say(*words):
    print(*words, file=sys.stderr)


port = int(sys.argv[1]) if len(sys.argv) > 1 else 10000
server_address = ('localhost', port)
sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
say('connecting to %s port %s' % server_address)
sock.connect(server_address)
time.sleep(1)

amount_expected = len(''.join(MESSAGES))

try:
    for message in MESSAGES:
        say('sending "%s"' % message)
        sock.sendall(message.encode())
        time.sleep(1.5)

    amount_received = 0
    while amount_received < amount_expected:
        data = sock.recv(16)
        amount_received += len(data)
        say('received "%s"' % data.decode())
        if not data:
            sys.exit('the server has closed the connection')
finally:
    say('closing socket')
    sock.close()
