// A Jitsi Meet client as far as the tests need one: XMPP over a WebSocket (RFC 7395) or BOSH, rooms, stream
// management. Everything received is kept in order; waitFor takes the first that fits, heard already
// or still to come, so a test cannot miss what was quicker than itself.
'use strict';
const assert = require('node:assert/strict');
const WebSocket = require('ws');
const { OP, frame, writeBytes } = require('./frame');
const { within } = require('./wait');
const { NS, of, bare, resource, error, lobbyOf, joinStanza, adminItem, escapeXML, parse } = require('./stanza');

let serial = 0;

class Client {
  constructor(name) {
    this.name = name || `user${++serial}`;
    this.received = []; // {raw, el, taken}
    this.waiters = new Set();
    this.sent = 0;
  }

  // Opens the WebSocket. where: {url, headers, ca, agentOptions}, or makeSocket for another transport.
  async open(where) {
    this.socket = where.makeSocket ? where.makeSocket() : new WebSocket(where.url, ['xmpp'], {
      headers: where.headers, ca: where.ca, servername: where.servername, handshakeTimeout: 10000,
      perMessageDeflate: where.deflate ?? true, lookup: where.lookup, socketPath: where.socketPath,
    });
    this.closed = new Promise((resolve) => {
      this.socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() }));
    });
    this.closed.then((how) => {
      this.closedHow = how;
      for (const waiter of this.waiters) waiter.reject(this.#broken(waiter.what));
    });
    this.socket.on('message', (data, isBinary) => this.#message(data, isBinary));
    this.socket.on('pong', () => this.onPong && this.onPong());
    await new Promise((resolve, reject) => {
      this.socket.once('open', resolve);
      this.socket.once('unexpected-response', (request, response) => {
        reject(Object.assign(new Error(`HTTP ${response.statusCode}`), { status: response.statusCode, response }));
        request.destroy();
      });
      this.socket.once('error', reject);
    });
    this.socket.on('error', (problem) => { this.problem = problem; });
    return this;
  }

  #broken(what) {
    return new Error(`${this.name}: closed (${this.closedHow.code} ${this.closedHow.reason}) while waiting for ${what}`);
  }

  #message(data, isBinary) {
    const raw = data.toString();
    const entry = { raw, isBinary, el: parse(raw), taken: false };
    this.received.push(entry);
    this.#count(entry.el);
    if (this.onStanza) this.onStanza(entry.el, raw);
    for (const waiter of this.waiters) {
      if (!waiter.predicate(entry.el, entry)) continue;
      entry.taken = true;
      this.waiters.delete(waiter);
      waiter.resolve(entry);
      break;
    }
  }

  // XEP-0198 as the receiver.
  #count(el) {
    if (!this.sm) return;
    if (['message', 'presence', 'iq'].includes(el.name)) this.sm.inbound++;
    if (el.is('r', NS.sm)) this.raw(`<a xmlns='${NS.sm}' h='${this.sm.inbound}'/>`);
    if (el.is('a', NS.sm)) this.#acknowledged(Number(el.attrs.h));
  }

  #acknowledged(h) {
    this.sm.unacked.splice(0, h - this.sm.acknowledged);
    this.sm.acknowledged = h;
  }

  // The text as it is. A stanza counts for stream management.
  raw(text) {
    if (this.sm && /^<(message|presence|iq)\b/.test(text)) {
      this.sm.outbound++;
      this.sm.unacked.push(text);
    }
    this.socket.send(text);
  }

  // Texts that reach the other end at once: in one packet, or in one body.
  rawTogether(texts) {
    if (this.socket.sendTogether) this.socket.sendTogether(texts);
    else writeBytes(this, Buffer.concat(texts.map((text) => frame(OP.text, text))));
  }

  // from: what was received before that index does not count.
  async waitForEntry(what, predicate, timeout = 10000, from = 0) {
    const known = this.received.find((entry, index) => index >= from && !entry.taken && predicate(entry.el, entry));
    if (known) {
      known.taken = true;
      return known;
    }
    if (this.closedHow) throw this.#broken(what);
    const waiter = { what, predicate };
    const found = new Promise((resolve, reject) => Object.assign(waiter, { resolve, reject }));
    this.waiters.add(waiter);
    try {
      return await within(timeout, `${this.name}: ${what}`, found, () => this.tail());
    } finally {
      this.waiters.delete(waiter);
    }
  }

  async waitFor(what, predicate, timeout, from) {
    return (await this.waitForEntry(what, predicate, timeout, from)).el;
  }

  tail(count = 8) {
    return this.received.slice(-count).map((entry) => entry.raw.slice(0, 600)).join('\n');
  }

  // Whether such a stanza was heard so far. Ask after a barrier (ping), else it may still be on its way.
  heard(predicate) {
    return this.received.some((entry) => predicate(entry.el, entry));
  }

  // --- the stream

  async startStream(domain) {
    this.domain = domain;
    this.raw(`<open xmlns='${NS.framing}' to='${domain}' version='1.0'/>`);
    await this.waitFor('<open/>', of.named('open', NS.framing));
    return this.waitFor('features', (el) => el.getName() === 'features');
  }

  // The element that ends it: success or failure. account: {name, password}, none is anonymous.
  async authenticate(account) {
    const auth = account
      ? `mechanism='PLAIN'>${Buffer.from(`\0${account.name}\0${account.password}`).toString('base64')}`
      : 'mechanism=\'ANONYMOUS\'>';
    this.raw(`<auth xmlns='${NS.sasl}' ${auth}</auth>`);
    return this.waitFor('the end of SASL', (el) => el.is('success', NS.sasl) || el.is('failure', NS.sasl));
  }

  async bind() {
    const result = await this.iq('set', undefined, `<bind xmlns='${NS.bind}'/>`);
    this.jid = result.getChild('bind', NS.bind).getChildText('jid');
    this.nick = resource(this.jid).slice(0, 8).replace(/[^\w]/g, '-');
    return this.jid;
  }

  // Everything up to a usable session.
  async login(domain, account) {
    await this.startStream(domain);
    const end = await this.authenticate(account);
    assert.equal(end.name, 'success', `${this.name}: ${end}`);
    await this.startStream(domain);
    if (this.resumes) return this.resume(this.resumes);
    await this.bind();
    return this;
  }

  async enableResumption() {
    this.raw(`<enable xmlns='${NS.sm}' resume='true'/>`);
    this.sm = { inbound: 0, outbound: 0, acknowledged: 0, unacked: [] };
    const enabled = await this.waitFor('<enabled/>', of.named('enabled', NS.sm));
    this.sm.id = enabled.attrs.id;
    return this;
  }

  // Goes on with the session of a client whose connection is gone, and sends again what it had lost.
  async resume(old) {
    this.raw(`<resume xmlns='${NS.sm}' previd='${old.sm.id}' h='${old.sm.inbound}'/>`);
    this.sm = old.sm;
    const resumed = await this.waitFor('<resumed/>', of.named('resumed', NS.sm));
    this.#acknowledged(Number(resumed.attrs.h));
    for (const text of this.sm.unacked) this.socket.send(text);
    Object.assign(this, { jid: old.jid, nick: old.nick });
    return this;
  }

  // --- stanzas

  async iq(type, to, payload, timeout) {
    const id = `t${++serial}`;
    const address = to === undefined ? '' : ` to='${escapeXML(to)}'`;
    this.raw(`<iq xmlns='jabber:client' type='${type}' id='${id}'${address}>${payload}</iq>`);
    return this.waitFor(`the answer to ${payload.slice(0, 60)}`,
      (el) => el.is('iq') && el.attrs.id === id && ['result', 'error'].includes(el.attrs.type), timeout);
  }

  // Everything Prosody sent before it read this has arrived when it returns.
  async ping() {
    const answer = await this.iq('get', this.domain, `<ping xmlns='${NS.ping}'/>`);
    assert.equal(answer.attrs.type, 'result', String(answer));
  }

  // --- rooms

  // Joins and says what came of it: {entered, el, statuses} or {error, lobby, el}.
  async join(room, { nick = this.nick, name = this.name, password, extra, timeout = 15000 } = {}) {
    const occupant = `${room}/${nick}`;
    const from = this.received.length;
    this.raw(joinStanza(room, { nick, name: name ?? undefined, password, extra }));
    const el = await this.waitFor(`what comes of joining ${occupant}`,
      (stanza) => of.selfPresence(occupant)(stanza) ||
        (stanza.is('presence') && stanza.attrs.type === 'error' && bare(stanza.attrs.from) === room), timeout, from);
    return el.attrs.type === 'error'
      ? { entered: false, el, error: error(el), lobby: lobbyOf(el) }
      : { entered: true, el, occupant };
  }

  async enter(room, options) {
    const result = await this.join(room, options);
    assert.ok(result.entered, `${this.name} was to enter ${room}: ${result.el}`);
    return result;
  }

  // Is sent to the lobby by the room and waits there: the lobby's address.
  async enterLobby(room, options) {
    const refused = await this.join(room, options);
    assert.equal(refused.error && refused.error.condition, 'registration-required',
      `${this.name} was to meet the lobby of ${room}: ${refused.el}`);
    assert.ok(refused.lobby, `no lobby named: ${refused.el}`);
    await this.enter(refused.lobby, options);
    return refused.lobby;
  }

  async leave(room, nick = this.nick) {
    const from = this.received.length;
    this.raw(`<presence xmlns='jabber:client' to='${room}/${nick}' type='unavailable'/>`);
    await this.waitFor(`having left ${room}`, of.left(`${room}/${nick}`), undefined, from);
  }

  // A moderator lets someone in from the lobby.
  approve(room, jid) {
    this.raw(`<message xmlns='jabber:client' to='${room}'><x xmlns='${NS.user}'><invite to='${jid}'/></x></message>`);
  }

  // A moderator throws someone out, of a room or of its lobby (which answers no IQ: fact 12).
  kick(room, nick) {
    this.raw(`<iq xmlns='jabber:client' type='set' id='t${++serial}' to='${room}'>${adminItem({ nick, role: 'none' })}</iq>`);
  }

  say(room, text) {
    this.raw(`<message xmlns='jabber:client' to='${room}' type='groupchat'><body>${escapeXML(text)}</body></message>`);
  }

  info(jid) {
    return this.iq('get', jid, `<query xmlns='${NS.info}'/>`);
  }

  // --- ends

  // As a browser tab that is closed in order.
  async close() {
    if (!this.socket || this.closedHow) return;
    this.socket.send(`<close xmlns='${NS.framing}'/>`);
    this.socket.close(1000);
    await within(5000, `${this.name} to be closed`, this.closed);
  }

  // As a network that is gone.
  async drop() {
    this.socket.terminate();
    await this.closed;
  }
}

module.exports = { Client };
