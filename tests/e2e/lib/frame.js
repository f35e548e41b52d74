// WebSocket frames by hand (RFC 6455 section 5.2), for what no WebSocket library would send.
'use strict';
const crypto = require('node:crypto');

const OP = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 };

// One frame. rsv: the three reserved bits as a number.
function frame(opcode, payload = '', { fin = true, rsv = 0, masked = true } = {}) {
  const data = Buffer.from(payload);
  const first = (fin ? 0x80 : 0) | (rsv << 4) | opcode;
  const bit = masked ? 0x80 : 0;
  let head;
  if (data.length < 126) {
    head = Buffer.from([first, bit | data.length]);
  } else if (data.length < 65536) {
    head = Buffer.from([first, bit | 126, data.length >> 8, data.length & 0xff]);
  } else {
    head = Buffer.alloc(10);
    head[0] = first;
    head[1] = bit | 127;
    head.writeBigUInt64BE(BigInt(data.length), 2);
  }
  if (!masked) return Buffer.concat([head, data]);
  const mask = crypto.randomBytes(4);
  return Buffer.concat([head, mask, data.map((byte, index) => byte ^ mask[index % 4])]);
}

function closeFrame(code, reason = '', options) {
  const data = Buffer.alloc(2 + Buffer.byteLength(reason));
  data.writeUInt16BE(code);
  data.write(reason, 2);
  return frame(OP.close, data, options);
}

// Writes bytes on a client's connection past its WebSocket library.
function writeBytes(client, bytes) {
  client.socket._socket.write(bytes);
}

module.exports = { OP, frame, closeFrame, writeBytes };
