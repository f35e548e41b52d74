// A perfect XEP-0198 peer over many connections: it counts what it sends and receives, looks at every
// h it is told, and sends again what a resumption says was not handled.
'use strict';
const { Client } = require('./client');
const { NS, of } = require('./stanza');

const STANZA = /^<(message|presence|iq)\b/;

// One of its connections. Once another has taken over, or it was dropped, what still comes is not heard.
class Connection extends Client {
  constructor(peer) {
    super(peer.name);
    this.peer = peer;
    this.isCounting = false;
    this.onStanza = (el, raw) => {
      if (!this.isCounting) return;
      this.received.length = 0; // nobody waits for any of it
      if (peer.connection === this) peer.hear(el, raw);
    };
  }
}

class Peer {
  // events: {heard(el, raw) of each stanza, wrong(text), error(el) of a stream error (may be left out),
  // failed() where a session may be gone}.
  constructor(name, events) {
    Object.assign(this, { name, events, connection: null, inbound: 0, outbound: 0, acknowledged: 0, unacked: [] });
  }

  get isUp() {
    return this.connection !== null && !this.connection.closedHow && this.connection.isCounting;
  }

  hear(el, raw) {
    if (STANZA.test(raw)) {
      this.inbound++;
      this.events.heard(el, raw);
    } else if (el.is('r', NS.sm)) {
      this.acknowledge();
    } else if (el.is('a', NS.sm)) {
      this.#handled(el, '<a/>');
    } else if (el.getName() === 'error') {
      this.events.error?.(el);
    }
  }

  #handled(el, what) {
    const h = Number(el.attrs.h);
    if (!/^\d+$/.test(el.attrs.h) || h < this.acknowledged || h > this.outbound) {
      this.events.wrong(`${this.name}: ${what} says h=${el.attrs.h}; ${this.acknowledged} were acknowledged, ${this.outbound} sent`);
      return;
    }
    this.unacked.splice(0, h - this.acknowledged);
    this.acknowledged = h;
  }

  #write(text) {
    const { connection } = this;
    if (connection && !connection.closedHow && connection.socket.readyState === 1) connection.socket.send(text);
  }

  // A stanza: sent now, or with the next connection.
  send(text) {
    this.outbound++;
    this.unacked.push(text);
    if (this.isUp) this.#write(text);
  }

  acknowledge() {
    this.#write(`<a xmlns='${NS.sm}' h='${this.inbound}'/>`);
  }

  ask() {
    if (this.isUp) this.#write(`<r xmlns='${NS.sm}'/>`);
  }

  async #login(where, domain) {
    const connection = new Connection(this);
    await connection.open(where);
    await connection.startStream(domain);
    const end = await connection.authenticate();
    if (end.name !== 'success') throw new Error(`${this.name}: ${end}`);
    await connection.startStream(domain);
    return connection;
  }

  async begin(where, domain) {
    const connection = await this.#login(where, domain);
    const jid = await connection.bind();
    this.connection = connection;
    connection.raw(`<enable xmlns='${NS.sm}' resume='true'/>`);
    this.id = (await connection.waitFor('<enabled/>', of.named('enabled', NS.sm))).attrs.id;
    connection.isCounting = true;
    this.jid = jid; // from now on, who writes to him is heard
  }

  // As a network that is gone.
  drop() {
    const { connection } = this;
    this.connection = null;
    if (connection) connection.socket.terminate();
  }

  // As a browser tab that is closed in order.
  async close() {
    const { connection } = this;
    this.connection = null;
    if (connection) await connection.close();
  }

  // The session is gone: the next begins at nothing.
  forget() {
    this.drop();
    Object.assign(this, { inbound: 0, outbound: 0, acknowledged: 0, unacked: [] });
  }

  // Goes on at an address; an old connection that is not dropped is left as it is, half open.
  async resume(where, domain) {
    this.connection = null;
    const connection = await this.#login(where, domain);
    this.connection = connection;
    let from;
    const answer = new Promise((resolve, reject) => {
      from = { resolve };
      connection.closed.then(({ code, reason }) => reject(new Error(`closed (${code} ${reason}) at <resume/>`)));
    });
    // In the same turn as it comes: stanzas may stand right behind it.
    connection.onStanza = ((heard) => (el, raw) => {
      if (!connection.isCounting && (el.is('resumed', NS.sm) || el.is('failed', NS.sm))) {
        connection.isCounting = el.is('resumed', NS.sm);
        from.resolve(el);
      } else {
        heard(el, raw);
      }
    })(connection.onStanza);
    connection.socket.send(`<resume xmlns='${NS.sm}' previd='${this.id}' h='${this.inbound}'/>`);
    const el = await answer;
    if (!connection.isCounting) {
      if (this.events.failed) this.events.failed();
      else this.events.wrong(`${this.name}: not resumed with h=${this.inbound}: ${el}`);
      throw Object.assign(new Error(`${this.name}: ${el}`), { isFailed: true });
    }
    this.#handled(el, '<resumed/>');
    for (const text of this.unacked) this.#write(text);
  }
}

module.exports = { Peer };
