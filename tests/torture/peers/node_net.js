// SPDX-License-Identifier: MIT
//
// node_net.js PORT -- the echo server on Node's net in one line, as its documentation has it: what comes
// is piped back.
const net = require('net');

net.createServer((client) => {
  client.on('error', () => {});
  client.pipe(client);
}).listen(Number(process.argv[2]), '127.0.0.1');
