// What got through a fault: users with perfect stream management (peer.js) who send each other numbered
// messages, and the account of it. A message counts from when it is sent until it is there; one that comes a
// second time is found even if it comes last, and what rooms are left Prosody itself says.
'use strict';
const assert = require('node:assert/strict');
const { Peer } = require('./peer');
const { NS } = require('./stanza');
const { within } = require('./wait');

// A busy machine's own part of a stall; the rest of each bound is the scenario's.
const BUSY_MS = 3000;
const EVERY_MS = 25;
const AT_ONCE = 90; // on their way while somebody is away: no more than Prosody keeps for him
const EMPTY_ROOM_MS = 5000; // in that time a room that nobody uses is to be gone

const moment = (ms = EVERY_MS) => new Promise((resolve) => { setTimeout(resolve, ms); });

class Tally {
  // d: the deployment the peers are users of. renews: Prosody's end, and so that of all sessions, is part of
  // it; then they log in anew and say again what did not arrive.
  constructor(d, { renews = false } = {}) {
    Object.assign(this, { d, renews, sent: 0, delivered: 0, doubled: 0, again: 0, stall: 0, pings: 0, wrong: [] });
    this.onTheWay = new Map(); // number -> {from, to, since, isBounced}
    this.pinged = new Map(); // id -> what waits for its answer
    this.peers = [];
    this.ended = () => {};
  }

  async peer(name, options = {}) {
    const peer = new Peer(name, {
      heard: (el) => this.#heard(el), wrong: (text) => this.wrong.push(text),
      ...(this.renews && { failed: () => {} }),
    });
    peer.options = { transport: 'websocket', ...options }; // BOSH has no stream management
    this.peers.push(peer);
    await peer.begin(this.d.address(peer.options), this.d.domain);
    return peer;
  }

  #heard(el) {
    if (el.is('iq') && this.pinged.has(el.attrs.id)) this.pinged.get(el.attrs.id)();
    const number = el.is('message') && /^tally-(\d+)$/.test(el.attrs.id) && el.attrs.id.slice('tally-'.length);
    if (!number) return;
    const message = this.onTheWay.get(number);
    if (el.attrs.type === 'error') {
      // To an address of before: it is said again when he has a new one. And a Prosody that ends sends back
      // what was not acknowledged, be it there or not.
      if (!this.renews) this.wrong.push(`sent back: ${el}`);
      else if (message) message.isBounced = true;
      return;
    }
    if (!message) {
      this.doubled++;
      return;
    }
    this.onTheWay.delete(number);
    this.delivered++;
    this.stall = Math.max(this.stall, Date.now() - message.since);
    if (this.onTheWay.size === 0) this.ended();
    if (this.delivered === this.mark) this.reached();
  }

  #write(number, { from, to }) {
    if (from.isGone) return; // it is said in his next session
    from.send(`<message xmlns='jabber:client' type='chat' id='tally-${number}' to='${to.jid}'><body>${number}</body></message>`);
  }

  // count messages from each peer to the next.
  say(count = 1) {
    for (let i = 0; i < count; i++) {
      this.peers.forEach((from, index) => {
        const message = { from, to: this.peers[(index + 1) % this.peers.length], since: Date.now() };
        this.onTheWay.set(String(++this.sent), message);
        this.#write(this.sent, message);
      });
    }
  }

  // From now on they talk all the time, and go on with their sessions whenever their connections end.
  talk() {
    this.isTalking = true;
    this.ticking = setInterval(() => {
      for (const [number, message] of this.onTheWay) {
        if (!message.isBounced || !message.to.isUp || !message.from.isUp) continue;
        message.isBounced = false;
        this.again++;
        this.#write(number, message);
      }
      if (!this.isDone && this.onTheWay.size < AT_ONCE) this.say();
    }, EVERY_MS);
    const silence = new Promise((resolve) => { this.silent = resolve; });
    this.kept = this.peers.map((peer) => this.#keepUp(peer, silence));
    return this;
  }

  async #keepUp(peer, silence) {
    while (this.isTalking && !this.wrong.length) {
      if (peer.isUp) await Promise.race([peer.connection.closed, silence]);
      if (this.isTalking && !peer.isUp) await this.#goOn(peer);
    }
  }

  // What cannot be reached just now is tried again.
  async #goOn(peer) {
    try {
      await this.#resume(peer);
    } catch (error) {
      peer.drop();
      if (error.isFailed && this.renews) await this.#renew(peer).catch(() => peer.drop());
      else await moment(2 * EVERY_MS);
    }
  }

  async #renew(peer) {
    peer.isGone = true;
    peer.forget();
    await peer.begin(this.d.address(peer.options), this.d.domain);
    peer.isGone = false;
    for (const [number, message] of this.onTheWay) {
      if (message.from !== peer) continue;
      message.isBounced = false;
      this.again++;
      this.#write(number, message);
    }
  }

  async #resume(peer, options = {}) {
    const parameters = { ...peer.options.parameters, ...options.parameters, previd: peer.id };
    await peer.resume(this.d.address({ ...peer.options, ...options, parameters }), this.d.domain);
  }

  // Each goes on with its session, whatever became of its connection.
  async resume(options) {
    for (const peer of this.peers) {
      peer.drop();
      await this.#resume(peer, options);
    }
  }

  // So many more have arrived.
  async goesOn(count) {
    this.mark = this.delivered + count;
    await within(15000, `${count} more messages`, new Promise((resolve) => { this.reached = resolve; }));
  }

  async arrived(timeout = 15000) {
    if (this.onTheWay.size === 0) return;
    await within(timeout, 'all messages', new Promise((resolve) => { this.ended = resolve; }),
      () => `${this.onTheWay.size} of ${this.sent} are missing`);
  }

  // Prosody has read what each has sent, and then, what it sends to each is here.
  async #settled() {
    for (const round of ['sent', 'heard']) {
      await within(15000, `a ping of each peer (${round})`, Promise.all(this.peers.map((peer) => new Promise((resolve) => {
        const id = `tally${++this.pings}`;
        this.pinged.set(id, resolve);
        peer.send(`<iq xmlns='jabber:client' type='get' id='${id}' to='${this.d.domain}'><ping xmlns='${NS.ping}'/></iq>`);
      }))), () => this.peers.map((peer) => `${peer.name}: ${peer.isUp ? 'up' : 'away'}`).join(', '));
    }
  }

  // Nobody says anything any more, and nobody comes back.
  async silence() {
    this.isTalking = false;
    clearInterval(this.ticking);
    this.silent?.();
    await Promise.all(this.kept || []); // who was about to come back does so first
    await Promise.all(this.peers.map((peer) => peer.close()));
  }

  // The end of it all: everybody leaves, and it is said and asserted that nothing was lost, doubled or left
  // behind. stall: what the fault itself may cost a message, in ms; grace: what a room may take to end.
  async account(t, { stall, grace = EMPTY_ROOM_MS }) {
    const wrong = [];
    const attempt = (step) => step.catch((error) => wrong.push(error.message));
    this.isDone = true;
    await attempt(this.arrived());
    if (this.onTheWay.size === 0) await attempt(this.#settled());
    await this.silence();
    await attempt(everybodyLeaves(this.d));
    const leaked = await leakedRooms(this.d, grace);
    t.diagnostic(`sent ${this.sent}, delivered ${this.delivered}, lost ${this.onTheWay.size}, ` +
      `duplicated ${this.doubled}, rooms leaked ${leaked.length}, longest stall ${this.stall} ms (at most ${stall + BUSY_MS})` +
      `${this.renews ? `, said again in a new session ${this.again}` : ''}`);
    assert.ok(this.sent > 0);
    assert.deepEqual({ delivered: this.delivered, lost: this.onTheWay.size, doubled: this.doubled, leaked, wrong: [...this.wrong, ...wrong] },
      { delivered: this.sent, lost: 0, doubled: 0, leaked: [], wrong: [] });
    assert.ok(this.stall <= stall + BUSY_MS, `a message took ${this.stall} ms`);
  }
}

// Jicofo and all users, as who closes his browser.
async function everybodyLeaves(d) {
  d.jicofo = undefined;
  await Promise.all(d.clients.splice(0).map((client) => client.socket?.readyState === 1 && client.close()));
}

// The rooms and lobbies Prosody keeps though nobody is to be in any: asked until there is none, or for the
// time in which a room that nobody uses is to be gone.
async function leakedRooms(d, limit) {
  const until = Date.now() + limit;
  for (;;) {
    const rooms = await d.prosody.control('rooms');
    const left = Object.keys(rooms);
    if (left.length === 0) return left;
    if (Date.now() > until) return Object.entries(rooms).map(([jid, { occupants }]) => `${jid} with ${JSON.stringify(occupants)}`);
    await moment();
  }
}

module.exports = { Tally };
