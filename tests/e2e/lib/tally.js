// What got through a fault: users with perfect stream management (peer.js) who send each other numbered
// messages, and the account of it. A message counts from when it is sent until it is there.
'use strict';
const assert = require('node:assert/strict');
const { Peer } = require('./peer');
const { within } = require('./wait');

class Tally {
  // d: the deployment the peers are users of.
  constructor(d) {
    Object.assign(this, { d, sent: 0, delivered: 0, doubled: 0, stall: 0, wrong: [] });
    this.onTheWay = new Map(); // number -> when it was sent
    this.peers = [];
    this.ended = () => {};
  }

  async peer(name, options = {}) {
    const peer = new Peer(name, {
      heard: (el) => this.#heard(el), wrong: (text) => this.wrong.push(text),
    });
    peer.options = options;
    this.peers.push(peer);
    await peer.begin(this.d.address(options), this.d.domain);
    return peer;
  }

  #heard(el) {
    const number = el.is('message') && el.getChildText('body');
    if (!number || !/^\d+$/.test(number)) return;
    const since = this.onTheWay.get(number);
    if (since === undefined) {
      this.doubled++;
      return;
    }
    this.onTheWay.delete(number);
    this.delivered++;
    this.stall = Math.max(this.stall, Date.now() - since);
    if (this.onTheWay.size === 0) this.ended();
  }

  // count messages from each peer to the next.
  say(count = 1) {
    for (let i = 0; i < count; i++) {
      this.peers.forEach((peer, index) => {
        const to = this.peers[(index + 1) % this.peers.length].jid;
        this.onTheWay.set(String(++this.sent), Date.now());
        peer.send(`<message xmlns='jabber:client' type='chat' to='${to}'><body>${this.sent}</body></message>`);
      });
    }
  }

  // Each goes on with its session, whatever became of its connection.
  async resume(options = {}) {
    for (const peer of this.peers) {
      peer.drop();
      const parameters = { ...peer.options.parameters, ...options.parameters, previd: peer.id };
      await peer.resume(this.d.address({ ...peer.options, ...options, parameters }), this.d.domain);
    }
  }

  async arrived(timeout = 15000) {
    if (this.onTheWay.size === 0) return;
    await within(timeout, 'all messages', new Promise((resolve) => { this.ended = resolve; }),
      () => `${this.onTheWay.size} of ${this.sent} are missing`);
  }

  // Says it, and that nothing is lost or doubled. leaked: the rooms that are left.
  async account(t, leaked = []) {
    await this.arrived();
    for (const peer of this.peers) peer.drop();
    t.diagnostic(`sent ${this.sent}, delivered ${this.delivered}, lost ${this.onTheWay.size}, ` +
      `duplicated ${this.doubled}, rooms leaked ${leaked.length}, longest stall ${this.stall} ms`);
    assert.deepEqual([this.delivered, this.doubled, leaked, this.wrong], [this.sent, 0, [], []]);
  }
}

// The rooms Prosody keeps though nobody is to be in any: asked until there is none, or for the time in
// which an empty room is to be gone.
async function leakedRooms(d, limit = 5000) {
  const until = Date.now() + limit;
  for (;;) {
    const left = Object.keys(await d.prosody.control('rooms'));
    if (left.length === 0 || Date.now() > until) return left;
  }
}

module.exports = { Tally, leakedRooms };
