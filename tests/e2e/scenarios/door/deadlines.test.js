// How long somebody may take to come in, and who goes when many wait: connections without a request cost
// those who sent one nothing.
'use strict';
const assert = require('node:assert/strict');
const { once } = require('node:events');
const net = require('node:net');
const { scenario } = require('../../lib/scenario');
const { exchange, request } = require('../../lib/http');
const { OP, frame, writeBytes } = require('../../lib/frame');
const { timed, within } = require('../../lib/wait');
const { NS } = require('../../lib/stanza');

const HEAD = 'GET /xmpp-websocket HTTP/1.1\r\nHost: meet.example.com\r\n';
const isLate = (el) => el.getName() === 'error' && el.getNS() === NS.streams && el.getChild('connection-timeout');

async function connection(d, text = '') {
  const socket = net.connect({ host: '127.0.0.1', port: d.ports.vestibule });
  socket.on('error', () => {}).resume();
  socket.ended = new Promise((resolve) => { socket.once('close', resolve); });
  await once(socket, 'connect');
  socket.write(text);
  return socket;
}
const ended = (socket) => within(10000, 'the connection to be ended', socket.ended);

scenario('limits.handshake_timeout is one for all of it', {
  config: { limits: { handshake_timeout: '2s' } }, expect: [/why=(HANDSHAKE_TIMEOUT|TOO_MUCH)/],
}, (d, it) => {
  const assertInTime = (ms) => assert.ok(ms > 1800 && ms < 6000, `after ${ms} ms`);
  // Says something again and again until it is over.
  async function drip(over, say) {
    let isOver = false;
    over.finally(() => { isOver = true; });
    const clock = await d.guest();
    while (!isOver) {
      say();
      await clock.ping();
    }
  }

  it('a head that comes byte by byte gains no time', async () => {
    const [, ms] = await timed((async () => {
      const socket = await connection(d, `${HEAD}X: `);
      await Promise.all([ended(socket), drip(socket.ended, () => socket.write('x'))]);
    })());
    assertInTime(ms);
    await d.vestibule.waitForLog(/refused: no request in limits\.handshake_timeout/);
  });

  it('pings gain no time for who does not log in', async () => {
    const client = await d.socket({ via: 'vestibule' });
    const [, ms] = await timed(Promise.all([
      client.waitFor('the error', isLate), drip(client.closed, () => client.socket.readyState === 1 && writeBytes(client, frame(OP.ping, 'x')))]));
    assertInTime(ms + 200);
  });

  it('nor do logins that fail, and the fifth is the last', async () => {
    const client = await d.socket({ via: 'vestibule' });
    await client.startStream(d.domain);
    for (let i = 0; i < 5; i++) {
      const end = await client.authenticate({ name: 'nobody', password: 'x' });
      assert.equal(end.name, 'failure');
    }
    await client.waitFor('the error', (el) => el.getName() === 'error' && el.getChild('policy-violation'));
    assert.equal((await client.closed).code, 1008);
  });

  it('who is logged in and binds nothing is told so', async () => {
    const client = await d.socket({ via: 'vestibule' });
    await client.startStream(d.domain);
    await client.authenticate();
    await client.startStream(d.domain);
    await client.waitFor('the error', isLate);
    assert.equal((await client.closed).code, 1008);
  });
});

scenario('a late head', {
  config: { limits: { handshake_timeout: '4s' } }, expect: [/why=HANDSHAKE_TIMEOUT/],
}, (d, it) => {
  it('leaves the login so much less', async () => {
    const socket = await connection(d, HEAD);
    const clock = await d.guest();
    const start = Date.now();
    while (Date.now() - start < 3000) await clock.ping();
    socket.write(request({ target: '/', host: 'x', isUpgrade: true }).split('\r\n').slice(2).join('\r\n'));
    const line = await d.vestibule.waitForLog(/why=HANDSHAKE_TIMEOUT/);
    const age = Number(/age_s=([\d.]+)/.exec(line)[1]);
    assert.ok(age < 3.5, `a stream ${age} s old`);
    socket.destroy();
  });
});

scenario('silent connections of one address', {
  config: { listen: { trusted_proxies: [] }, limits: { connections_per_ip: 3 } },
}, (d, it) => {
  it('the oldest goes for a new one, and who sends a request comes in', async () => {
    const silent = [];
    for (let i = 0; i < 3; i++) silent.push(await connection(d, i % 2 ? HEAD : ''));
    const client = await d.guest(undefined, undefined, { via: 'vestibule' });
    await ended(silent[0]);
    for (let i = 0; i < 10; i++) silent.push(await connection(d, HEAD));
    for (const gone of silent.slice(0, -3)) await ended(gone);
    await client.ping();
    await d.guest(undefined, undefined, { via: 'vestibule' });
    await d.guest(undefined, undefined, { via: 'vestibule' });
    await assert.rejects(d.socket({ via: 'vestibule' }), { status: 429 });
    assert.ok(silent.slice(-1).every((socket) => !socket.destroyed), 'the newest are still there');
    await d.vestibule.waitForLog(/refused: it sent no request, and others wait/);
  });
});

scenario('silent connections by a trusted proxy', { config: { limits: { connections_per_ip: 1 } } }, (d, it) => {
  it('are not one client\'s', async () => {
    const silent = [];
    for (let i = 0; i < 5; i++) silent.push(await connection(d));
    await (await d.guest(undefined, undefined, { via: 'vestibule' })).ping();
    for (const socket of silent) {
      const answer = new Promise((resolve) => { socket.once('data', (data) => resolve(data.toString())); });
      socket.write('GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n');
      assert.match(await within(5000, 'an answer', answer), /^HTTP\/1\.1 404/);
    }
  });
});

scenario('silent connections of everybody', {
  config: { limits: { connections: 4 } }, expect: [/limits\.connections \(4\) is reached/],
}, (d, it) => {
  it('leave room for who sends a request, and for telling him that there is none', async () => {
    const silent = [];
    for (let i = 0; i < 60; i++) silent.push(await connection(d));
    for (const gone of silent.slice(0, 56)) await ended(gone);
    const clients = [];
    for (let i = 0; i < 4; i++) {
      clients.push(await d.guest(undefined, undefined, { via: 'vestibule' }));
      silent.push(await connection(d), await connection(d));
    }
    for (const client of clients) await client.ping();
    const { status } = await exchange({ port: d.ports.vestibule }, request({ target: '/xmpp-websocket', host: d.domain, isUpgrade: true }));
    assert.equal(status, 503);
  });
});

scenario('silent connections while BOSH sessions run', {
  transport: 'bosh', config: { limits: { connections: 20 } },
}, (d, it) => {
  it('cost none of their requests an answer, and a new session none either', async () => {
    const users = [];
    for (let i = 0; i < 11; i++) users.push(await d.guest(undefined, undefined, { via: 'vestibule' }));
    const silent = [];
    for (let i = 0; i < 80; i++) silent.push(await connection(d, i % 2 ? HEAD : ''));
    for (const user of users) await user.ping();
    // Nor do heads whose bodies never come.
    const head = request({ method: 'POST', target: '/http-bind', host: d.domain, headers: ['Content-Length: 1000'] });
    for (let i = 0; i < 80; i++) silent.push(await connection(d, head));
    for (const user of users) await user.ping();
    await ended(silent[80]);
    while (users.length < 20) users.push(await d.guest(undefined, undefined, { via: 'vestibule' }));
    for (const user of users) {
      user.socket.ask();
      await user.ping();
    }
    for (const socket of silent) socket.destroy();
  });
});
