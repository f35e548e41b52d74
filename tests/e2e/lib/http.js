// HTTP requests byte by byte, for what no HTTP library would write.
'use strict';
const net = require('node:net');
const { within } = require('./wait');

// Sends text on a connection of its own and gives {status, head, body} once the peer has closed, or
// with an upgrade once the head is there. where: {port} or {path} of a unix socket.
function exchange(where, text, timeout = 10000, encoding = 'utf8') {
  const socket = net.connect({ host: where.path ? undefined : '127.0.0.1', ...where });
  let answer = '';
  const done = new Promise((resolve, reject) => {
    const finish = () => {
      const [head, ...rest] = answer.split('\r\n\r\n');
      const status = Number((/^HTTP\/1\.1 (\d+)/.exec(head) || [])[1]);
      resolve({ status, head, body: rest.join('\r\n\r\n') });
    };
    socket.setEncoding('latin1');
    socket.on('data', (part) => {
      answer += part;
      if (/^HTTP\/1\.1 101 [^]*\r\n\r\n/.test(answer)) finish();
    });
    socket.on('end', finish);
    socket.on('error', reject);
  });
  socket.write(text, encoding);
  return within(timeout, 'an HTTP response', done, () => answer).finally(() => socket.destroy());
}

const UPGRADE = [
  'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Protocol: xmpp',
];

// A request's text. headers: lines.
function request({ method = 'GET', target, host, headers = [], isUpgrade = false }) {
  const lines = [`${method} ${target} HTTP/1.1`, `Host: ${host}`, ...(isUpgrade ? UPGRADE : []), ...headers];
  return `${lines.join('\r\n')}\r\n\r\n`;
}

module.exports = { exchange, request };
