// BOSH (XEP-0124, XEP-0206) behind the face of a WebSocket of RFC 7395, so that a Client can be either:
// <open/> asks for the session or restarts it, <close/> terminates it, everything else goes into bodies.
// Polls as Strophe does: one request is held, a second one carries what is to be sent.
'use strict';
const { EventEmitter } = require('node:events');
const http = require('node:http');
const https = require('node:https');
const { urlToHttpOptions } = require('node:url');
const { NS, escapeXML, parse } = require('./stanza');

const BOSH = 'http://jabber.org/protocol/httpbind';
const XBOSH = 'urn:xmpp:xbosh';
const REQUESTS = 2;
const BODY_MAX = 128 * 1024;

// A body's text. attributes: {name: value}, undefined ones are left out.
function bodyText(attributes, inside = '') {
  const text = Object.entries({ xmlns: BOSH, ...attributes })
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => ` ${name}='${escapeXML(String(value))}'`).join('');
  return inside ? `<body${text}>${inside}</body>` : `<body${text}/>`;
}

// One POST of a text: {status, headers, text, el} (el: the body, when it is one).
function post(where, text, { headers, agent, url = where.url, method = 'POST' } = {}) {
  const { protocol, ...target } = urlToHttpOptions(new URL(url));
  let request;
  const answered = new Promise((resolve, reject) => {
    request = (protocol === 'https:' ? https : http).request({
      ...target, method, agent: agent ?? false, ca: where.ca, servername: where.servername,
      headers: {
        'Content-Type': 'text/xml; charset=utf-8', 'Content-Length': Buffer.byteLength(text), ...where.headers, ...headers,
      },
    }, (response) => {
      let answer = '';
      response.setEncoding('utf8').on('data', (part) => { answer += part; }).on('error', reject).on('end', () => resolve({
        status: response.statusCode, headers: response.headers, text: answer,
        el: answer.startsWith('<body') ? parse(answer) : null,
      }));
    });
    request.on('error', reject);
    request.end(text);
  });
  return Object.assign(answered, { request });
}

class BoshSocket extends EventEmitter {
  // where: as the Client's; options: wait and hold of the session, isManual (nothing is sent but by
  // `ask`), rid (the first).
  constructor(where, { wait = 20, hold = 1, isManual = false, rid = 1000 + Math.floor(Math.random() * 1e6) } = {}) {
    super();
    Object.assign(this, { where, wait, hold, isManual, rid });
    this.agent = new (where.url.startsWith('https:') ? https : http).Agent({ keepAlive: true, maxSockets: 8 });
    this.queue = []; // texts for the next body
    this.open = new Set(); // requests not answered
    this.bodies = []; // every answer
    process.nextTick(() => this.emit('open'));
  }

  // --- as a WebSocket

  send(text) {
    const data = String(text);
    const framed = new RegExp('^<(?:\\w+:)?(open|close)\\b').exec(data);
    if (framed && data.includes(NS.framing)) {
      if (framed[1] === 'open') this.#openStream(data);
      else this.end(this.queue.splice(0).join(''));
      return;
    }
    this.queue.push(data);
    setImmediate(() => this.#pump());
  }

  // Texts that travel in one body.
  sendTogether(texts) {
    this.send(texts.join(''));
  }

  close() {
    if (!this.isEnding) this.end();
  }

  // As a client that is gone, without a word. The session does not know until it has been silent.
  terminate() {
    for (const request of this.open) request.destroy();
    this.#ended(1006, '');
  }

  // --- sessions

  #openStream(data) {
    const { attrs } = parse(data);
    if (this.sid) this.ask({ to: attrs.to, 'xmpp:restart': 'true', 'xmlns:xmpp': XBOSH });
    else this.create({ to: attrs.to });
  }

  // The request that asks for the session. inside: stanzas in it.
  create(attributes = {}, inside = '', options) {
    return this.ask({
      wait: this.wait, hold: this.hold, ver: '1.6', content: 'text/xml; charset=utf-8', 'xml:lang': 'en',
      'xmpp:version': '1.0', 'xmlns:xmpp': XBOSH, ...attributes,
    }, inside, options);
  }

  end(inside = '') {
    this.isEnding = true;
    return this.ask({ type: 'terminate' }, inside);
  }

  // One request of the session, with the next rid unless another is given. What it is answered is
  // delivered as messages, and returned.
  async ask(attributes = {}, inside = '', options = {}) {
    const text = bodyText({ rid: attributes.rid ?? this.rid++, sid: this.sid, ...attributes }, inside);
    return this.askText(text, options);
  }

  async askText(text, options = {}) {
    const answered = post(this.where, text, { agent: this.agent, ...options });
    this.open.add(answered.request);
    let answer = null;
    try {
      answer = await answered;
    } catch (problem) {
      // A connection may end while it idles: as browsers do, and a rid says what is asked again.
      if (answered.request.reusedSocket && problem.code === 'ECONNRESET' && !this.isEnded) return this.askText(text, options);
      if (!this.isEnded) this.#ended(1006, problem.message);
    } finally {
      this.open.delete(answered.request);
    }
    if (answer) this.#answered(answer);
    return answer;
  }

  #answered(answer) {
    this.bodies.push(answer);
    if (this.isEnded) return;
    if (answer.status !== 200 || !answer.el) {
      this.#ended(answer.status, answer.text);
      return;
    }
    const { el } = answer;
    if (!this.sid && el.attrs.sid) {
      this.sid = el.attrs.sid;
      this.from = el.attrs.from;
    }
    for (const child of el.children) if (child.name) this.#deliver(child);
    if (el.attrs.type === 'terminate') this.#ended(el.attrs.condition ? 1011 : 1000, el.attrs.condition || '');
    else setImmediate(() => this.#pump());
  }

  #deliver(child) {
    // What it inherits from the body goes with it, as in a WebSocket message.
    if (!child.attrs.xmlns && !child.name.includes(':')) child.attrs.xmlns = 'jabber:client';
    if (child.name.startsWith('stream:')) child.attrs['xmlns:stream'] ??= NS.streams;
    if (child.name === 'stream:features') {
      this.emit('message', Buffer.from(`<open xmlns='${NS.framing}' from='${this.from || ''}' id='${this.sid}'/>`), false);
    }
    this.emit('message', Buffer.from(child.toString()), false);
  }

  // As much of what waits as one body is to hold.
  #next() {
    let text = this.queue.shift();
    while (this.queue.length && text.length + this.queue[0].length < BODY_MAX) text += this.queue.shift();
    return text;
  }

  // What waits goes out; when nothing is open something is, to be held.
  #pump() {
    if (this.isManual || this.isEnded || this.isEnding || !this.sid || this.open.size >= REQUESTS) return;
    if (this.queue.length) this.ask({}, this.#next());
    else if (this.open.size === 0) this.ask();
  }

  #ended(code, reason) {
    if (this.isEnded) return;
    this.isEnded = true;
    this.agent.destroy();
    this.emit('close', code, Buffer.from(reason));
  }
}

module.exports = { BoshSocket, bodyText, post, BOSH, XBOSH };
