// A client that costs next to nothing, for thousands of them in one process: a raw socket, WebSocket
// frames by hand, texts looked at by regular expressions. Everything else is lib/client.js.
'use strict';
const net = require('node:net');
const { frame, OP } = require('./frame');
const { NS } = require('./stanza');
const { within } = require('./wait');

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';

class Light {
  // heard(text) is called with each message, in order.
  constructor(name, heard = () => {}) {
    Object.assign(this, { name, heard, buffer: null, waiters: [], sent: 0, got: 0 });
  }

  // where: {port, query, host}.
  async open({ port, query = '', host }) {
    this.host = host;
    this.socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
    this.closed = new Promise((resolve) => { this.socket.on('close', resolve); });
    this.closed.then(() => {
      this.isClosed = true;
      for (const { reject, what } of this.waiters.splice(0)) reject(new Error(`${this.name}: closed while waiting for ${what}`));
    });
    this.socket.on('error', (problem) => { this.problem = problem; });
    this.socket.write(`GET /xmpp-websocket${query && `?${query}`} HTTP/1.1\r\nHost: ${host}\r\nUpgrade: websocket\r\n` +
      `Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${KEY}\r\nSec-WebSocket-Protocol: xmpp\r\n\r\n`);
    const upgraded = this.#await(/^HTTP\/1\.1 (\d+)/, 'the upgrade');
    this.socket.on('data', (data) => this.#data(data));
    const [, status] = await upgraded;
    if (status !== '101') throw new Error(`${this.name}: HTTP ${status}`);
    return this;
  }

  #data(data) {
    this.buffer = this.buffer ? Buffer.concat([this.buffer, data]) : data;
    if (!this.isUpgraded && !this.#head()) return;
    for (let message = this.#frame(); message; message = this.#frame()) {
      if (message.opcode === OP.text) this.#message(message.payload.toString());
      else if (message.opcode === OP.ping) this.socket.write(frame(OP.pong, message.payload));
      else if (message.opcode === OP.close) this.socket.end();
    }
    if (this.buffer.length === 0) this.buffer = null; // an idle client keeps none
  }

  #head() {
    const end = this.buffer.indexOf('\r\n\r\n');
    if (end < 0) return false;
    this.isUpgraded = true;
    this.#message(this.buffer.toString('latin1', 0, end));
    this.buffer = this.buffer.subarray(end + 4);
    return true;
  }

  // The next whole frame of a server, which is neither masked nor fragmented here.
  #frame() {
    const { buffer } = this;
    if (buffer.length < 2) return null;
    const short = buffer[1] & 0x7f;
    const head = short < 126 ? 2 : short === 126 ? 4 : 10;
    if (buffer.length < head) return null;
    const len = short < 126 ? short : short === 126 ? buffer.readUInt16BE(2) : Number(buffer.readBigUInt64BE(2));
    if (buffer.length < head + len) return null;
    this.buffer = buffer.subarray(head + len);
    return { opcode: buffer[0] & 0x0f, payload: buffer.subarray(head, head + len) };
  }

  #message(text) {
    this.got++;
    this.heard(text);
    const index = this.waiters.findIndex(({ pattern }) => pattern.test(text));
    if (index < 0) return;
    const [{ resolve, pattern }] = this.waiters.splice(index, 1);
    resolve(pattern.exec(text));
  }

  #await(pattern, what) {
    return new Promise((resolve, reject) => this.waiters.push({ pattern, what, resolve, reject }));
  }

  send(text) {
    this.sent++;
    this.socket.write(frame(OP.text, text));
  }

  // Sends, and gives what matches of the first message that does.
  ask(text, pattern, what = text.slice(0, 60), timeout = 60000) {
    const answer = this.isClosed ? Promise.reject(new Error(`${this.name}: closed before ${what}`)) : this.#await(pattern, what);
    if (!this.isClosed) this.send(text);
    return within(timeout, `${this.name}: ${what}`, answer);
  }

  async login() {
    const open = `<open xmlns='${NS.framing}' to='${this.host}' version='1.0'/>`;
    await this.ask(open, /<(stream:)?features/, 'features');
    await this.ask(`<auth xmlns='${NS.sasl}' mechanism='ANONYMOUS'/>`, /<success/, 'success');
    await this.ask(open, /<(stream:)?features/, 'features');
    [, this.jid] = await this.ask(`<iq xmlns='jabber:client' type='set' id='b'><bind xmlns='${NS.bind}'/></iq>`, /<jid>([^<]+)</, 'a JID');
    return this;
  }

  // Each has an id of its own, p and a number that counts up.
  ping() {
    this.pinged = (this.pinged || 0) + 1;
    return this.ask(`<iq xmlns='jabber:client' type='get' id='p${this.pinged}' to='${this.host}'><ping xmlns='${NS.ping}'/></iq>`,
      new RegExp(`^<iq[^>]* id=['"]p${this.pinged}['"]`), 'a pong');
  }

  drop() {
    if (this.socket) this.socket.destroy();
  }
}

module.exports = { Light };
