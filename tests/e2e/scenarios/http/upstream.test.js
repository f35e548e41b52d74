// A server in Prosody's place that does what Prosody would only do on a bad day: answers early, late or
// not at all, reads nothing, ends in the middle. Byte for byte, what it is sent is what it may be sent.
'use strict';
const assert = require('node:assert/strict');
const net = require('node:net');
const { once } = require('node:events');
const { before } = require('node:test');
const { scenario } = require('../../lib/scenario');
const { exchange } = require('../../lib/http');
const { within } = require('../../lib/wait');

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok';
const head = (length, ...headers) => ['POST /conference-request?a=%62 HTTP/1.1', 'Host: meet.example.com',
  `Content-Length: ${length}`, ...headers, '', ''].join('\r\n');

// Takes connections one after the other: next() is the next one that sends anything but an upgrade, as
// {socket, got, until(predicate)}.
class Upstream {
  async start(port) {
    this.taken = [];
    this.waiting = [];
    this.server = net.createServer((socket) => this.#accept(socket));
    this.server.listen(port, '127.0.0.1');
    await once(this.server, 'listening');
    return this;
  }

  #accept(socket) {
    const peer = { socket, got: '', ended: once(socket, 'close') };
    socket.on('error', () => {});
    const look = (part) => {
      peer.got += part.toString('latin1');
      if (peer.known) return peer.check && peer.check();
      if (!peer.got.includes('\r\n\r\n')) return undefined;
      if (/^upgrade: websocket/im.test(peer.got)) return socket.destroy();
      peer.known = true;
      const waiter = this.waiting.shift();
      return waiter ? waiter(peer) : this.taken.push(peer);
    };
    socket.on('data', look);
    peer.until = (length) => within(10000, `${length} bytes`, new Promise((resolve) => {
      peer.check = () => peer.got.length >= length && resolve();
      peer.check();
    }), () => peer.got.slice(0, 500));
  }

  next() {
    return within(10000, 'a request', this.taken.length ? Promise.resolve(this.taken.shift())
      : new Promise((resolve) => this.waiting.push(resolve)));
  }
}

const upstream = new Upstream();
const expect = [/Prosody cannot be reached/, /\[service\]/, /service account/];

scenario('a server that is no Prosody', { expect, isProsodyUp: false }, (d, it) => {
  before(() => upstream.start(d.ports.prosody));

  const client = () => {
    const socket = net.connect(d.ports.vestibule, '127.0.0.1');
    let answer = '';
    socket.setEncoding('latin1').on('data', (part) => { answer += part; }).on('error', () => {});
    const ended = once(socket, 'end').then(() => answer);
    ended.catch(() => {});
    return { socket, ended: () => within(20000, 'the end', ended, () => answer) };
  };

  it('is sent the head that was made here and exactly the body', async () => {
    const c = client();
    c.socket.write(`${head('03', 'Accept: */*', 'Connection: x-own', 'X-Own: 1', 'TE: trailers')}abcGET /next HTTP/1.1\r\n\r\n`);
    const peer = await upstream.next();
    await peer.until(peer.got.indexOf('\r\n\r\n') + 7);
    peer.socket.end(OK);
    assert.equal(await c.ended(), OK);
    await peer.ended;
    assert.equal(peer.got, ['POST /conference-request?a=%62 HTTP/1.1', 'Host: meet.example.com', 'Connection: close',
      'Content-Length: 3', 'X-Forwarded-For: 127.0.0.1', 'Accept: */*', '', 'abc'].join('\r\n'));
  });

  it('its answer goes on byte for byte, whatever it is', async () => {
    const odd = 'HTTP/1.1 299 Odd\r\nx-own:  spaced \r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nand more\0';
    const c = client();
    c.socket.write(head(0));
    const peer = await upstream.next();
    peer.socket.end(odd);
    assert.equal(await c.ended(), odd);
  });

  it('answers before the body is there: the client gets all of it, and the rest of the body ends here', async () => {
    const answer = `HTTP/1.1 413 No\r\nContent-Length: 300000\r\n\r\n${'x'.repeat(300000)}`;
    const c = client();
    c.socket.write(head(1000000));
    const peer = await upstream.next();
    peer.socket.end(answer);
    c.socket.write('y'.repeat(1000000));
    assert.equal(await c.ended(), answer);
    await peer.ended;
    assert.doesNotMatch(peer.got, /y{300000}/);
  });

  it('ends in the middle of its answer: what there was goes on', async () => {
    const c = client();
    c.socket.write(head(0));
    const peer = await upstream.next();
    peer.socket.end('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf');
    assert.match(await c.ended(), /half$/);
  });

  it('ends without an answer: 504', async () => {
    const c = client();
    c.socket.write(head(0));
    (await upstream.next()).socket.end();
    assert.match(await c.ended(), /^HTTP\/1\.1 504 /);
  });

  it('ends in the middle of a body: 504, though the client is still writing', async () => {
    const c = client();
    c.socket.write(head(1000000));
    (await upstream.next()).socket.end();
    c.socket.write('y'.repeat(500000));
    assert.match(await c.ended(), /^HTTP\/1\.1 504 /);
  });

  it('reads nothing for a while: the client is held up, and nothing is lost', async () => {
    const c = client();
    const sent = Array.from({ length: 100000 }, (_, i) => String(i).padStart(10, '0')).join('');
    c.socket.write(head(sent.length));
    const peer = await upstream.next();
    peer.socket.pause();
    await new Promise((resolve) => { c.socket.write(sent, resolve); });
    const start = peer.got.indexOf('\r\n\r\n') + 4;
    peer.socket.resume();
    await peer.until(start + sent.length);
    assert.equal(peer.got.slice(start), sent);
    peer.socket.end(OK);
    assert.equal(await c.ended(), OK);
  });

  it('is left alone when the client goes away', async () => {
    const c = client();
    c.socket.write(head(10));
    const peer = await upstream.next();
    c.socket.destroy();
    await within(10000, 'its connection to end', peer.ended);
    assert.doesNotMatch(peer.got, /\r\n\r\n./);
  });

  it('is not there: 502', async () => {
    await new Promise((resolve) => { upstream.server.close(resolve); });
    assert.equal((await exchange({ port: d.ports.vestibule }, head(0))).status, 502);
  });
});
