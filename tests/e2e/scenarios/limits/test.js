// What one client, or one address, may take: connections, time before login, time without a word, the
// size of a stanza. Who is over a limit is told, and nobody else notices.
'use strict';
const assert = require('node:assert/strict');
const fs = require('node:fs');
const net = require('node:net');
const { scenario } = require('../../lib/scenario');
const { timed, within } = require('../../lib/wait');
const { request } = require('../../lib/http');
const { frame, writeBytes, OP } = require('../../lib/frame');
const { NS, of } = require('../../lib/stanza');

const streamError = (condition) => (el) => el.getName() === 'error' && el.getNS() === NS.streams && el.getChild(condition);
const refusal = (promise) => promise.then(() => null, (error) => error.status);

// What the answer to the text begins with, read only once all of it is written; '' when the connection ends
// without one.
function firstLine(d, text) {
  const socket = net.connect({ host: '127.0.0.1', port: d.ports.vestibule });
  return new Promise((resolve) => {
    socket.once('close', () => resolve(''));
    socket.on('error', () => {});
    socket.write(text, () => socket.once('data', (data) => resolve(data.toString('latin1').split('\r\n')[0])));
  }).finally(() => socket.destroy());
}

// Once the kernels have all of the text.
async function written(d, text) {
  const socket = net.connect({ host: '127.0.0.1', port: d.ports.vestibule });
  try {
    await new Promise((resolve, reject) => socket.on('error', reject).write(text, (error) => (error ? reject(error) : resolve())));
  } finally {
    socket.destroy();
  }
}

scenario('limits.connections', {
  config: { limits: { connections: 3 } }, expect: [/limits\.connections \(3\) is reached/],
}, (d, it) => {
  it('the fourth is refused with 503, and comes in when another has gone', async () => {
    const clients = [];
    for (let i = 0; i < 3; i++) clients.push(await d.guest());
    for (const via of ['vestibule', 'nginx', 'nginx']) assert.equal(await refusal(d.socket({ via })), 503);
    assert.equal((await d.get({ via: 'vestibule' })).status, 503, 'a plain request is a connection too');
    const head = request({ target: '/xmpp-websocket', host: d.domain, isUpgrade: true });
    assert.match(await firstLine(d, head + 'x'.repeat(4e6)), / 503 /, 'he is told though not all he sends is read');
    await assert.rejects(written(d, head + 'x'.repeat(64e6)), { code: /EPIPE|ECONNRESET/ }, 'who goes on and on is cut off');
    for (const client of clients) await client.ping();
    assert.equal(d.vestibule.lines.filter((line) => /limits\.connections \(/.test(line)).length, 1, 'said once');
    const ended = d.vestibule.waitForLog(/stream ended/);
    await clients[0].close();
    await ended;
    await d.guest();
  });
});

scenario('the limit of open files', { config: { limits: { connections: 100 } } }, (d, it) => {
  it('is no higher than is needed, whatever it was at the start', () => {
    const [, soft, hard] = /Max open files\s+(\d+)\s+(\d+)/.exec(fs.readFileSync(`/proc/${d.vestibule.program.pid}/limits`, 'utf8'));
    assert.ok(soft >= Math.min(264, hard) && soft < 1024, soft);
  });
});

scenario('fewer open files than limits.connections needs', {
  isServed: false, config: { limits: { connections: 1000, handshake_timeout: '1s' } },
  expect: [/only 120 files may be open/],
}, (d, it) => {
  const silent = async () => {
    const socket = net.connect({ host: '127.0.0.1', port: d.ports.vestibule, allowHalfOpen: true });
    socket.on('error', () => {}).resume();
    await new Promise((resolve) => socket.once('connect', resolve));
    return socket;
  };
  const isPutOut = (socket) => new Promise((resolve) => socket.once('end', resolve).once('close', resolve));

  it('who took them all and was put out leaves them to those who come after', async () => {
    await d.vestibule.stop(d.options.expect);
    d.vestibule.wrapper = ['sh', '-c', 'ulimit -n 120; exec "$@"', 'sh'];
    await d.vestibule.start();
    await isPutOut(await silent());
    const many = await Promise.all(Array.from({ length: 150 }, silent));
    await within(20000, 'the silent to be put out', isPutOut(many[0]));
    for (const socket of many) socket.destroy();
    for (let i = 0; i < 10; i++) await (await d.guest()).close();
    d.vestibule.wrapper = undefined;
  });
});

scenario('limits.connections_per_ip', { config: { limits: { connections_per_ip: 2 } } }, (d, it) => {
  const from = (address, options) => d.connect({ via: 'vestibule', headers: { 'X-Forwarded-For': address }, ...options });

  it('a third from the same address is refused with 429, another address is not', async () => {
    const first = await from('203.0.113.1');
    await from('203.0.113.1');
    assert.equal(await refusal(from('203.0.113.1')), 429);
    await from('203.0.113.2');
    await from('2001:db8::1');
    await from('2001:db8::1');
    assert.equal(await refusal(from('2001:db8:0::1')), 429, 'the same address, written otherwise');
    const ended = d.vestibule.waitForLog(/203\.0\.113\.1\b.*stream ended/);
    await first.close();
    await ended;
    await from('203.0.113.1');
  });

  it('what an untrusted hop says before the last one trusted does not count', async () => {
    await from('198.51.100.1, 203.0.113.7');
    await from('198.51.100.2, 203.0.113.7');
    assert.equal(await refusal(from('198.51.100.3, 203.0.113.7')), 429);
  });

  it('plain requests give their place back', async () => {
    for (let i = 0; i < 5; i++) {
      assert.equal((await d.get({ via: 'vestibule', headers: { 'X-Forwarded-For': '203.0.113.9' } })).status, 200);
    }
  });
});

scenario('limits.handshake_timeout', {
  config: { limits: { handshake_timeout: '1s' } }, expect: [/why=HANDSHAKE_TIMEOUT/],
}, (d, it) => {
  const connection = () => net.connect({ host: '127.0.0.1', port: d.ports.vestibule });
  const ended = (socket) => within(10000, 'the connection to be ended', new Promise((resolve) => {
    socket.on('close', resolve).on('error', () => {}).resume();
  }));

  for (const [name, text] of Object.entries({
    'says nothing': '', 'sends half a head': 'GET /xmpp-websocket HTTP/1.1\r\nHost: meet.example.com\r\n',
  })) {
    it(`one who ${name} is cut off`, async () => {
      const socket = connection();
      socket.write(text);
      const [, ms] = await timed(ended(socket));
      assert.ok(ms > 900 && ms < 4000, `after ${ms} ms`);
    });
  }

  it('one who never logs in is told so', async () => {
    const client = await d.socket();
    const [, ms] = await timed(client.waitFor('the error', streamError('connection-timeout')));
    assert.equal((await client.closed).code, 1008);
    assert.ok(ms > 900 && ms < 4000, `after ${ms} ms`);
  });

  it('one who stops in the middle of it likewise', async () => {
    const client = await d.socket();
    await client.startStream(d.domain);
    await client.authenticate();
    await client.waitFor('the error', streamError('connection-timeout'));
  });

  it('one who is logged in stays', async () => {
    const [client, late] = [await d.guest(), await d.socket()];
    await late.closed; // the limit has passed
    await client.ping();
  });
});

scenario('limits.idle_timeout', { config: { limits: { idle_timeout: '2s' } } }, (d, it) => {
  it('one who is not heard for so long is told and ended, one who pings is not', async () => {
    const [silent, lively] = [await d.guest(), await d.guest()];
    let isOver = false;
    const pinging = (async () => { while (!isOver) await lively.ping(); })();
    const [, ms] = await timed(silent.waitFor('the error', streamError('connection-timeout')));
    assert.equal((await silent.closed).code, 1001);
    isOver = true;
    await pinging;
    assert.ok(ms > 1500 && ms < 6000, `after ${ms} ms`);
  });
});

scenario('limits.stanza', {
  recorder: true, config: { limits: { stanza: '4KiB' } }, expect: [/why=(TOO_LARGE|FRAMING)/],
}, (d, it) => {
  const sized = (size, to) => {
    const empty = `<message xmlns='jabber:client' to='${to}'><body></body></message>`;
    return empty.replace('</body>', `${'x'.repeat(size - empty.length)}</body>`);
  };
  async function watched() {
    const { client, wire } = await d.recorded({ via: 'vestibule' });
    await client.enableResumption();
    return { client, wire };
  }
  // Told as Prosody would tell him, and over: what is resumed would only be sent again.
  async function assertRefused({ client, wire }) {
    await client.waitFor('the error', streamError('policy-violation'));
    assert.equal((await client.closed).code, 1009);
    await wire.ended;
    assert.ok(!wire.up.messages.some((text) => text.startsWith('<message')), 'it reached Prosody');
    assert.match(wire.up.messages.at(-1), /^<close /, 'Prosody was told that it is over');
  }

  it('one of exactly the limit passes', async () => {
    const { client } = await watched();
    client.raw(sized(4096, client.jid));
    await client.waitFor('it', of.named('message'));
  });

  it('one byte more ends the stream, and it cannot be resumed', async () => {
    const one = await watched();
    one.client.raw(sized(4097, one.client.jid));
    await assertRefused(one);
    const client = await d.socket();
    await client.startStream(d.domain);
    await client.authenticate();
    await client.startStream(d.domain);
    client.raw(`<resume xmlns='${NS.sm}' previd='${one.client.sm.id}' h='0'/>`);
    await client.waitFor('<failed/>', of.named('failed', NS.sm));
  });

  it('in fragments, as soon as they are too many bytes', async () => {
    const one = await watched();
    const text = sized(6000, one.client.jid);
    one.client.socket.send(text.slice(0, 3000), { fin: false });
    one.client.socket.send(text.slice(3000), { fin: false });
    await assertRefused(one);
  });

  it('by the length it announces, before its bytes have come', async () => {
    const one = await watched();
    writeBytes(one.client, frame(OP.text, sized(1 << 20, one.client.jid)).subarray(0, 200));
    await assertRefused(one);
  });

  it('one much larger, whose client is still writing', async () => {
    for (let i = 0; i < 20; i++) {
      const one = await watched();
      one.client.raw(sized(1 << 22, one.client.jid));
      await assertRefused(one);
    }
  });

  it('what Prosody sends may be longer', async () => {
    const { client } = await watched();
    const other = await d.guest(undefined, undefined, { via: 'prosody' });
    other.raw(sized(100000, client.jid));
    await client.waitFor('it', of.named('message'));
  });
});
