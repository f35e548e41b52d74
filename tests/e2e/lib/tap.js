// What passes between Vestibule and Prosody, byte for byte: a TCP relay in between that reads along,
// and that can hold a connection up, cut it, or put bytes of its own in.
//
//   scenario('...', tapped({...}), (d, it) => { ... d.tap.connections ... })
'use strict';
const net = require('node:net');
const { Receiver } = require('ws');
const { within } = require('./wait');

// One direction of a connection: an HTTP head, then WebSocket messages.
class Direction {
  constructor(isServer) {
    this.head = null;
    this.start = Buffer.alloc(0);
    this.bytes = 0;
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
    this.bytes += data.length;
    let rest = data;
    if (this.head === null) {
      this.start = Buffer.concat([this.start, data]);
      const end = this.start.indexOf('\r\n\r\n');
      if (end >= 0) this.head = this.start.subarray(0, end).toString('latin1');
      rest = end >= 0 ? this.start.subarray(end + 4) : Buffer.alloc(0);
    }
    if (rest.length) this.receiver.write(Buffer.from(rest)); // a copy: it unmasks in place
    this.changed();
  }

  changed() {
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
    return within(timeout, `the tap: ${what}`, found, () => this.messages.slice(-5).join('\n'))
      .finally(() => this.waiters.delete(look));
  }

  message(what, predicate, timeout) {
    return this.waitFor(what, () => this.messages.find(predicate), timeout);
  }
}

class Connection {
  constructor(client, server) {
    Object.assign(this, { client, server });
    this.up = new Direction(true); // Vestibule to Prosody
    this.down = new Direction(false);
    this.#pipe(client, server, this.up);
    this.#pipe(server, client, this.down);
    this.ended = new Promise((resolve) => { client.once('close', resolve); });
    this.ended.then(() => { this.hasEnded = true; });
  }

  #pipe(from, to, direction) {
    from.on('data', (data) => {
      direction.feed(data);
      if (to.writable && !to.write(data)) from.pause();
    });
    to.on('drain', () => { if (!from.isHeld) from.resume(); });
    from.on('end', () => { direction.isEnded = true; direction.changed(); to.end(); });
    from.on('error', () => to.destroy());
    from.on('close', () => to.destroySoon());
  }

  // What Vestibule asked for.
  get request() {
    return (this.up.head || '').split('\r\n')[0];
  }

  get headers() {
    return (this.up.head || '').split('\r\n').slice(1).map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    });
  }

  // Prosody reads nothing any more from here, until release().
  holdUp() {
    this.client.isHeld = true;
    this.client.pause();
  }

  release() {
    this.client.isHeld = false;
    this.client.resume();
  }

  // Breaks it both ways, without a word.
  cut() {
    this.client.resetAndDestroy();
    this.server.resetAndDestroy();
  }

  // Bytes as if Prosody had sent them.
  inject(bytes) {
    this.client.write(bytes);
  }
}

class Tap {
  // Listens at once; where to is asked at each connection.
  constructor(port) {
    this.connections = [];
    this.server = net.createServer({ allowHalfOpen: true }, (client) => {
      const server = net.connect({ port: port(), host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
      client.setNoDelay(true);
      this.connections.push(new Connection(client, server));
    });
    this.server.listen(0);
    this.server.unref();
  }

  get url() {
    return `ws://127.0.0.1:${this.server.address().port}/xmpp-websocket`;
  }

  // The newest connection whose query holds that text.
  of(text) {
    return this.connections.findLast((connection) => connection.request.includes(text));
  }

  // The service account's, which has no query.
  get service() {
    return this.connections.findLast((connection) => / \/xmpp-websocket HTTP/.test(connection.request));
  }
}

// The options of a scenario in which a tap sits before Prosody, as d.tap.
function tapped(options = {}) {
  return {
    ...options,
    config: (deployment) => {
      const config = typeof options.config === 'function' ? options.config(deployment) : options.config;
      deployment.tap = new Tap(() => deployment.prosody.port);
      return { ...config, upstream: { ...(config && config.upstream), url: deployment.tap.url } };
    },
  };
}

module.exports = { Tap, tapped };
