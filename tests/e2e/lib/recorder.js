// What passes between Vestibule and Prosody, byte for byte: a TCP relay in between that reads along, and
// that can hold a connection up, cut it, lose what it carries, or say things in Prosody's place. It
// relays bytes it need not understand, so nothing a WebSocket library would repair is repaired here.
'use strict';
const { once } = require('node:events');
const net = require('node:net');
const { Receiver } = require('ws');
const { OP, frame } = require('./frame');
const { within } = require('./wait');

// One direction of a connection: an HTTP head, then WebSocket messages.
class Direction {
  constructor(isServer) {
    this.head = null;
    this.start = Buffer.alloc(0);
    this.messages = []; // texts
    this.controls = []; // {kind, data} of pings and pongs
    this.close = null; // {code, reason} of the close frame
    this.waiters = new Set();
    this.receiver = new Receiver({ isServer });
    this.receiver.on('message', (data) => this.messages.push(data.toString()));
    for (const kind of ['ping', 'pong']) {
      this.receiver.on(kind, (data) => this.controls.push({ kind, data: data.toString() }));
    }
    this.receiver.on('conclude', (code, reason) => { this.close = { code, reason: reason.toString() }; });
    this.receiver.on('error', () => {}); // a plain response is no frame
  }

  feed(data) {
    let rest = data;
    if (this.head === null) {
      this.start = Buffer.concat([this.start, data]);
      const end = this.start.indexOf('\r\n\r\n');
      if (end >= 0) this.head = this.start.subarray(0, end).toString('latin1');
      rest = end >= 0 ? this.start.subarray(end + 4) : Buffer.alloc(0);
    }
    if (rest.length) this.receiver.write(Buffer.from(rest)); // a copy: it unmasks in place
    for (const waiter of this.waiters) waiter();
  }

  // The first thing `find` sees in this direction (anything but undefined, null, false).
  waitFor(what, find, timeout = 10000) {
    let look;
    const found = new Promise((resolve) => {
      look = () => {
        const thing = find(this);
        if (thing !== undefined && thing !== null && thing !== false) resolve(thing);
      };
      this.waiters.add(look);
      look();
    });
    return within(timeout, `the recorder: ${what}`, found, () => this.messages.slice(-5).map((text) => text.slice(0, 600)).join('\n'))
      .finally(() => this.waiters.delete(look));
  }

  // Calls back as soon as such a message is complete, before its last bytes go on: once, of those to come.
  onMessage(predicate, callback) {
    const from = this.messages.length;
    const look = () => {
      if (!this.messages.slice(from).some(predicate)) return;
      this.waiters.delete(look);
      callback();
    };
    this.waiters.add(look);
  }

  message(what, predicate, timeout) {
    return this.waitFor(what, () => this.messages.find(predicate), timeout);
  }

  closeFrame() {
    return this.waitFor('a close frame', () => this.close);
  }
}

// One connection of Vestibule's, with the one to Prosody opened for it.
class Wire {
  constructor(vestibule, prosody) {
    Object.assign(this, { vestibule, prosody });
    this.up = new Direction(true); // Vestibule to Prosody
    this.down = new Direction(false);
    this.#pipe(vestibule, prosody, this.up);
    this.#pipe(prosody, vestibule, this.down);
    this.ended = new Promise((resolve) => { vestibule.once('close', resolve); });
  }

  #pipe(from, to, direction) {
    from.on('data', (data) => {
      direction.feed(data);
      if (from.kept) from.kept.push(data);
      else if (!from.isMuted && to.writable && !to.write(data)) from.pause();
    });
    to.on('drain', () => { if (!from.isHeld) from.resume(); });
    from.on('end', () => to.end());
    from.on('error', () => to.destroy());
    from.on('close', () => to.destroySoon());
  }

  // What Vestibule asked for.
  get request() {
    return (this.up.head || '').split('\r\n')[0];
  }

  get mark() {
    return new URL(this.request.split(' ')[1] || '/', 'ws://x').searchParams.get('mark');
  }

  // Prosody reads nothing any more from here, until release().
  holdUp() {
    this.vestibule.isHeld = true;
    this.vestibule.pause();
  }

  release() {
    this.vestibule.isHeld = false;
    for (const data of this.vestibule.kept || []) this.prosody.write(data);
    this.vestibule.kept = undefined;
    this.vestibule.resume();
  }

  // As holdUp, but what Vestibule sends is taken and seen here.
  keepBack() {
    this.vestibule.kept = [];
  }

  // What Vestibule sends from now on is taken and lost, its end is not.
  mute() {
    this.vestibule.isMuted = true;
  }

  // Breaks it both ways, without a word.
  cut() {
    this.vestibule.resetAndDestroy();
    this.prosody.resetAndDestroy();
  }

  // As if Prosody had sent it: bytes, or a message's text. Between two of its own, so ask while it is quiet.
  inject(data) {
    const bytes = typeof data === 'string' ? frame(OP.text, data, { masked: false }) : data;
    this.down.feed(bytes);
    this.vestibule.write(bytes);
  }

  // Of what was injected, the bytes that Vestibule has not taken yet.
  get untaken() {
    return this.vestibule.writableLength;
  }
}

class Recorder {
  constructor(port) {
    this.wires = [];
    this.server = net.createServer({ allowHalfOpen: true }, (vestibule) => {
      const prosody = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
      vestibule.setNoDelay(true);
      this.wires.push(new Wire(vestibule, prosody));
    });
  }

  async start() {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    return this;
  }

  get url() {
    return `ws://127.0.0.1:${this.server.address().port}/xmpp-websocket`;
  }

  // The newest connection for a client whose URL has the parameter mark=NAME. It is there as soon as
  // that client's WebSocket is open, since Vestibule opens its own first.
  of(mark) {
    return this.wires.findLast((wire) => wire.mark === mark);
  }

  // The service account's newest one.
  get service() {
    return this.wires.findLast((wire) => wire.up.messages[0] && /to=['"]auth\./.test(wire.up.messages[0]));
  }

  async stop() {
    for (const wire of this.wires) wire.cut();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

module.exports = { Recorder };
