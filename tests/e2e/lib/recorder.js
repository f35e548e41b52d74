// Stands where Vestibule meets Prosody and writes down every message, both ways, byte for byte; may hold
// a stream up, cut it, or put in messages of its own.
'use strict';
const { once } = require('node:events');
const WebSocket = require('ws');
const { within } = require('./wait');

// One stream of Vestibule's, with the one to Prosody opened for it.
class Tap {
  constructor(request, proxy) {
    this.url = request.url;
    this.headers = request.headers;
    this.proxy = proxy; // towards Vestibule
    this.fromProxy = []; // {text, isBinary}
    this.fromProsody = [];
    this.isMuted = false;
    this.proxyClosed = once(proxy, 'close').then(([code, reason]) => ({ code, reason: reason.toString() }));
  }

  async connect(url) {
    const { 'user-agent': agent, 'x-forwarded-for': forwarded, host, authorization, origin } = this.headers;
    const headers = Object.fromEntries(Object.entries({
      'User-Agent': agent, 'X-Forwarded-For': forwarded, Host: host, Authorization: authorization, Origin: origin,
    }).filter(([, value]) => value !== undefined));
    const waiting = [];
    this.proxy.on('message', (data, isBinary) => {
      this.fromProxy.push({ text: data.toString(), isBinary });
      if (this.isMuted) return;
      if (this.prosody.readyState === WebSocket.OPEN) this.prosody.send(data, { binary: isBinary });
      else waiting.push([data, { binary: isBinary }]);
    });
    this.prosody = new WebSocket(url + this.url.replace(/^[^?]*/, ''), ['xmpp'], { headers, perMessageDeflate: false });
    this.prosody.on('error', () => this.proxy.terminate());
    this.prosody.on('open', () => waiting.forEach((message) => this.prosody.send(...message)));
    this.prosody.on('message', (data, isBinary) => {
      this.fromProsody.push({ text: data.toString(), isBinary });
      this.proxy.send(data, { binary: isBinary });
    });
    this.prosody.on('close', (code, reason) => {
      if (code === 1005 || code === 1006) this.proxy.terminate();
      else this.proxy.close(code, reason);
    });
    this.proxy.on('close', (code, reason) => {
      if (code === 1005 || code === 1006) this.prosody.terminate();
      else this.prosody.close(code, reason);
    });
  }

  // As if Prosody had sent it.
  inject(text) {
    this.fromProsody.push({ text, isBinary: false });
    this.proxy.send(text);
  }

  cut() {
    this.proxy.terminate();
    this.prosody.terminate();
  }
}

class Recorder {
  constructor(prosody) {
    this.prosody = prosody;
    this.taps = [];
    this.waiters = [];
  }

  async start() {
    this.server = new WebSocket.Server({
      host: '127.0.0.1', port: 0, handleProtocols: () => 'xmpp', perMessageDeflate: false,
    });
    await once(this.server, 'listening');
    this.server.on('connection', (proxy, request) => {
      const tap = new Tap(request, proxy);
      tap.connect(this.prosody);
      this.taps.push(tap);
      this.waiters = this.waiters.filter((waiter) => !waiter(tap));
    });
    return this;
  }

  get url() {
    return `ws://127.0.0.1:${this.server.address().port}/xmpp-websocket`;
  }

  // The newest stream that fits, open already or still to come.
  async tap(what, predicate) {
    const known = this.taps.filter(predicate).pop();
    if (known) return known;
    return within(10000, what, new Promise((resolve) => {
      this.waiters.push((tap) => predicate(tap) && (resolve(tap), true));
    }));
  }

  // The stream of a client whose URL has the parameter mark=NAME.
  of(name) {
    return this.tap(`the stream of ${name}`, (tap) => new URL(tap.url, 'ws://x').searchParams.get('mark') === name);
  }

  async stop() {
    for (const tap of this.taps) tap.cut();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

module.exports = { Recorder };
