#!/usr/bin/env node
// SPDX-License-Identifier: MIT
//
// node.js -- the contender on Node: its net module, written back and paused while that waits.
//
// The idle limit is the socket's own, setTimeout(), as its manual has it.  Node decides by itself:
// 64 KiB are read at once into a buffer that is new each time; newcomers that find no descriptor
// are closed (by libuv); several threads, of which one serves.
// Usage: node [--idle] tcp://A.B.C.D:PORT, or --version.  SIGTERM ends it at once.
'use strict';
const net = require('net');

const LIMIT_MS = 30000;
const BACKLOG = 4096;

const words = process.argv.slice(2);
if (words.length === 1 && words[0] === '--version') {
    console.log(process.versions.node);
    process.exit(0);
}
const idle = words.length === 2 && words[0] === '--idle';
const where = /^tcp:\/\/([0-9.]+):(\d+)$/.exec(words[words.length - 1] || '');
if (!where || words.length !== (idle ? 2 : 1)) {
    console.error('node: want [--idle] tcp://A.B.C.D:PORT, or --version');
    process.exit(2);
}

const options = { allowHalfOpen: true, noDelay: true, highWaterMark: 65536 };
const server = net.createServer(options, (socket) => {
    socket.on('data', (bytes) => {
        if (!socket.write(bytes))
            socket.pause();
    });
    socket.on('drain', () => socket.resume());
    socket.on('end', () => socket.end());
    socket.on('error', () => socket.destroy());
    if (idle)
        socket.setTimeout(LIMIT_MS, () => socket.destroy());
});
server.on('error', (error) => {
    console.error(`node: ${error.message}`);
    process.exit(1);
});
server.listen({ host: where[1], port: Number(where[2]), backlog: BACKLOG }, () => {
    const { address, port } = server.address();
    console.log(`tcp://${address}:${port}`);
});
