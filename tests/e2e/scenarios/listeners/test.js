// The ways in and out: a Unix socket, TLS on Vestibule's own listener, TLS to Prosody. Who comes by a
// Unix socket is named by nginx alone, and its path is Vestibule's while it runs, and nobody else's.
'use strict';
const assert = require('node:assert/strict');
const { once } = require('node:events');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const tls = require('node:tls');
const { scenario } = require('../../lib/scenario');
const { exchange, request } = require('../../lib/http');
const { Vestibule } = require('../../lib/vestibule');
const { within } = require('../../lib/wait');

const socketOf = (d) => path.join(d.folder('vestibule'), 'vestibule.sock');

const [TLS_ALERT, TLS_DATA] = [21, 23]; // RFC 8446 section 5.1

// The types of the TLS records that the server at the port sends to whom begin() connects to the port it is given.
async function recordsUntilTheEnd(port, begin) {
  const relay = net.createServer({ allowHalfOpen: true });
  await new Promise((resolve) => relay.listen(0, '127.0.0.1', resolve));
  const connected = once(relay, 'connection');
  begin(relay.address().port);
  const [client] = await connected;
  const server = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  const told = [];
  server.on('data', (data) => told.push(data)).pipe(client);
  client.pipe(server);
  await within(10000, 'the end of the connection', once(server, 'end')).finally(() => relay.close());
  const bytes = Buffer.concat(told);
  const types = [];
  for (let at = 0; at < bytes.length; at += 5 + bytes.readUInt16BE(at + 3)) types.push(bytes[at]);
  return types;
}

// A lobby is turned on, and someone let past it: the service account and two users got through.
async function works(d) {
  const room = await d.room();
  await (await d.asker(room, 'asker')).enterLobby(room);
  await (await d.plain(room, 'plain')).enter(room);
}

scenario('a Unix socket', {
  unixSocket: socketOf,
  config: (d) => ({ listen: { address: `unix:${socketOf(d)}` } }),
}, (d, it) => {
  const other = (name, config) => new Vestibule({
    dir: d.folder(name), domain: d.domain, port: 0, upstream: d.prosody.url,
  }, config);

  it('users get through', () => works(d));

  it('the log names it', async () => {
    await d.vestibule.waitForLog(new RegExp(`listening on unix:${socketOf(d)}:/xmpp-websocket`));
  });

  it('X-Forwarded-For is believed: only nginx can reach it', async () => {
    await d.socket({ query: 'mark=unix' });
    const { headers } = await d.prosody.requestWith('mark=unix');
    assert.equal(headers.x_forwarded_for, '127.0.0.1');
    const answer = await exchange({ path: socketOf(d) }, request({
      target: '/xmpp-websocket?mark=given', host: d.domain, headers: ['X-Forwarded-For: 203.0.113.9', 'Connection: close'] }));
    assert.equal(answer.status, 200);
    assert.equal((await d.prosody.requests()).pop().headers.x_forwarded_for, '203.0.113.9');
  });

  it('a second one on the same path gives way, and the first stays reachable', async () => {
    const second = other('second', { listen: { address: `unix:${socketOf(d)}` } });
    await assert.rejects(second.start({ isServed: false }), /another process listens on unix:/);
    assert.equal((await second.program.exited).code, 1);
    await d.guest();
  });

  it('a socket left behind by one that was killed is taken over', async () => {
    const place = path.join(d.folder('third'), 'v.sock');
    const killed = other('third', { listen: { address: `unix:${place}` } });
    await killed.start();
    killed.program.signal('SIGKILL');
    await killed.program.exited;
    assert.ok(fs.existsSync(place));
    const next = other('third', { listen: { address: `unix:${place}` } });
    await next.start();
    assert.equal((await exchange({ path: place }, request({
      target: '/xmpp-websocket', host: d.domain, headers: ['Connection: close'] }))).status, 200);
    assert.deepEqual(await next.stop(), []);
  });

  it('one that stops leaves the socket of one that came after its own was removed', async () => {
    const place = path.join(d.folder('fifth'), 'v.sock');
    const first = other('fifth', { listen: { address: `unix:${place}` } });
    await first.start();
    fs.rmSync(place);
    const next = other('sixth', { listen: { address: `unix:${place}` } });
    await next.start();
    assert.deepEqual(await first.stop(), []);
    assert.equal((await exchange({ path: place }, request({
      target: '/xmpp-websocket', host: d.domain, headers: ['Connection: close'] }))).status, 200);
    assert.deepEqual(await next.stop(), []);
    assert.ok(!fs.existsSync(place));
  });

  it('a file that is no socket is left alone', async () => {
    const place = path.join(d.folder('fourth'), 'file');
    fs.writeFileSync(place, 'precious');
    const wrong = other('fourth', { listen: { address: `unix:${place}` } });
    await assert.rejects(wrong.start({ isServed: false }), /something at unix:.* that is no socket/);
    assert.equal(fs.readFileSync(place, 'utf8'), 'precious');
  });
});

scenario('TLS between nginx and Vestibule', {
  listenTls: true,
  config: (d) => ({ listen: { tls: { certificate: d.tls.certificate, key: d.tls.key } } }),
}, (d, it) => {
  it('users get through', () => works(d));

  it('who ends TLS in order is answered so: its last record is an alert, not half of something', async () => {
    const types = await recordsUntilTheEnd(d.ports.vestibule, (port) => {
      const client = tls.connect({ port, host: '127.0.0.1', ca: fs.readFileSync(d.tls.ca), checkServerIdentity: () => {},
        maxVersion: 'TLSv1.2' }, () => client.end());
      client.resume();
    });
    assert.equal(types.pop(), TLS_ALERT, 'close_notify (RFC 8446 section 6.1)');
  });

  it('who is refused while he writes on is told, and then that this was all', async () => {
    const types = await recordsUntilTheEnd(d.ports.vestibule, (port) => {
      const client = tls.connect({ port, host: '127.0.0.1', ca: fs.readFileSync(d.tls.ca), checkServerIdentity: () => {},
        maxVersion: 'TLSv1.2' }, () => client.write(`${request({ target: '/nothing', host: d.domain })}${'x'.repeat(1e6)}`));
      client.on('error', () => {}).resume();
    });
    assert.deepEqual(types.slice(-2), [TLS_DATA, TLS_ALERT]);
  });
});

scenario('TLS between Vestibule and Prosody', {
  prosodyTls: true,
  config: (d) => ({ upstream: { ca_file: d.tls.ca } }),
}, (d, it) => {
  it('users get through, the service account too', () => works(d));

  it('a certificate nobody vouches for is refused', async () => {
    const stranger = new Vestibule({
      dir: d.folder('stranger'), domain: d.domain, port: 0, upstream: `wss://127.0.0.1:${d.ports.prosodyTls}/xmpp-websocket`,
    }, { listen: { address: `unix:${d.folder('stranger')}/socket` } });
    await stranger.start({ isServed: false });
    await stranger.waitForLog(/certificate|verif/i);
    assert.deepEqual(await stranger.stop([/certificate|verif|not logged in|cannot be reached/i]), []);
  });
});
