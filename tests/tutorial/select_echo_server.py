# SPDX-License-Identifier: MIT
"""The tutorial's echo server on select(), for Python 3.

It differs in this: a closing line names that connection's own peer, and a socket that was closed
earlier in the same turn is passed over where the original dies with a KeyError.
"""
import queue
import select
import socket
import sys


def say(*words):
    print(*words, file=sys.stderr)


port = int(sys.argv[1]) if len(sys.argv) > 1 else 10000
server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
server.setblocking(False)
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
say('starting up on %s port %s' % ('localhost', port))
server.bind(('localhost', port))
server.listen(5)

inputs = [server]
outputs = []
message_queues = {}
peers = {}


def forget(s):
    if s in outputs:
        outputs.remove(s)
    inputs.remove(s)
    s.close()
    del message_queues[s]


while inputs:
    say('\nwaiting for the next event')
    readable, writable, exceptional = select.select(inputs, outputs, inputs)

    for s in readable:
        if s is server:
            connection, client_address = s.accept()
            say('new connection from', client_address)
            connection.setblocking(False)
            inputs.append(connection)
            message_queues[connection] = queue.Queue()
            peers[connection] = client_address
        else:
            data = s.recv(1024)
            if data:
                say('received "%s" from %s' % (data.decode(), s.getpeername()))
                message_queues[s].put(data)
                if s not in outputs:
                    outputs.append(s)
            else:
                say('closing', peers.pop(s), 'after reading no data')
                forget(s)

    for s in writable:
        if s not in message_queues:
            continue
        try:
            next_msg = message_queues[s].get_nowait()
        except queue.Empty:
            say('output queue for', s.getpeername(), 'is empty')
            outputs.remove(s)
        else:
            say('sending "%s" to %s' % (next_msg.decode(), s.getpeername()))
            s.send(next_msg)

    for s in exceptional:
        if s in message_queues:
            say('handling exceptional condition for', s.getpeername())
            forget(s)
