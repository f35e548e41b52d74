// Tokens signed by key pairs, with a key server: what they get, and when their key comes late or never.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { fileOf } = require('../../lib/keys');
const { item } = require('../../lib/stanza');
const { sign, claims, token } = require('../../lib/token');

const FAILED = /public keys cannot be fetched/;
const withKeys = (over = {}) => (d) => ({
  token: { key_server: `${d.keys.url}/`, ca_file: d.tls.ca, secret_file: undefined }, log: { level: 'debug' }, ...over,
});
const pathOf = (key) => `/${fileOf(key.kid)}`;
const node = (room) => room.split('@')[0];

// Up to the end of SASL, and no further.
async function authenticated(d, text, transport) {
  const client = await d.socket({ parameters: { token: text }, name: 'user', transport });
  await client.startStream(d.domain);
  const end = await client.authenticate();
  return { client, name: end.name };
}

const isOff = async (d, room) =>
  assert.deepEqual(await d.state(room).then((s) => [s.members_only, s.persistent]), [false, false], 'nothing was turned on');

scenario('a key server', { keys: true, config: withKeys() }, (d, it) => {
  it('a token of a key that is fetched asks for the lobby, another passes it', async () => {
    const [room, key] = [await d.room(), d.keyPair('first')];
    await (await d.connect({ room, as: { lobby: true, key }, name: 'asker' })).enterLobby(room);
    assert.equal((await d.state(room)).members_only, true);
    const { el } = await (await d.connect({ room, as: { key }, name: 'plain' })).enter(room);
    assert.equal(item(el).affiliation, 'member');
    assert.equal(d.keys.count(pathOf(key)), 1, 'once for both');
    await d.vestibule.waitForLog(/INFO .*\[keys\] public keys fetched/);
  });

  it('in an open room a plain token passes', async () => {
    const [room, key] = [await d.room(), d.keyPair('open')];
    await (await d.connect({ room, as: { key }, name: 'plain' })).enter(room);
    await isOff(d, room);
  });

  for (const transport of ['websocket', 'bosh']) {
    it(`who logs in before his key came is held until it is here, and then judged by it: ${transport}`, async () => {
      const [room, key] = [await d.room(), d.keyPair(`late ${transport}`)];
      const page = d.keys.pages.get(pathOf(key));
      let give;
      d.keys.pages.set(pathOf(key), (request, response) => { give = () => response.end(page.body); });
      const { client, name } = await authenticated(d, token(d.domain, node(room), { lobby: true, key }), transport);
      assert.equal(name, 'success');
      const opened = client.startStream(d.domain).then(() => client.bind());
      await d.keys.waitForRequest(pathOf(key));
      const before = client.received.length;
      await (await d.guest(room, 'somebody else')).ping(); // a round trip, and he has heard nothing
      assert.equal(client.received.length, before);
      give();
      await opened;
      await client.enterLobby(room);
      assert.equal((await d.state(room)).members_only, true);
    });
  }

  it('a key that only Prosody has: refused where the room is open, no grant where it is not, few requests', async () => {
    const [room, key, known] = [await d.room(), d.keyPair('unknown', { isSecret: true }), d.keyPair('known')];
    const early = await d.connect({ room, as: { key }, name: 'early' });
    assert.equal((await early.join(room)).entered, false);
    await isOff(d, room);
    await (await d.connect({ room, as: { lobby: true, key: known }, name: 'asker' })).enterLobby(room);
    const late = await d.connect({ room, as: { key }, name: 'late' });
    await late.enterLobby(room);
    assert.ok(d.keys.count(pathOf(key)) <= 2, 'at the first handshake, and maybe when he was logged in');
    await d.vestibule.waitForLog(/the token's public key is not here.*kid=unknown.*fetch="?on its way/);
    await d.vestibule.waitForLog(/the token's public key is not here.*kid=unknown.*fetch="?not now/);
    await d.vestibule.waitForLog(/the key server has no such key.*status=404/);
  });

  it('a kid of any kind is quoted and cut in the log', async () => {
    const room = await d.room();
    const key = d.keyPair(`x" fetch="\n${'y'.repeat(240)}`, { isSecret: true });
    await d.connect({ room, as: { key }, name: 'odd' });
    const line = await d.vestibule.waitForLog(/kid="x\\" fetch=\\"/);
    assert.ok(line.includes('yyy') && !line.includes('y'.repeat(220)), line);
  });

  it('signed by another key than its kid names: nothing', async () => {
    const [room, key, other] = [await d.room(), d.keyPair('right'), d.keyPair('wrong')];
    const { name } = await authenticated(d, token(d.domain, node(room), { key: { ...other, kid: key.kid } }));
    assert.equal(name, 'failure');
    await isOff(d, room);
  });

  const worthless = {
    'the public key as an HMAC secret': (room, key) =>
      sign({ alg: 'HS256', typ: 'JWT', kid: key.kid }, claims(d.domain, room, { lobby: true }), { secret: key.pem }),
    'the same, and RS256 named': (room, key) =>
      sign({ alg: 'RS256', typ: 'JWT', kid: key.kid }, claims(d.domain, room, { lobby: true }), { secret: key.pem }),
    'the secret of HS256': (room, key) => token(d.domain, room, { lobby: true, header: { kid: key.kid } }),
    'none': (room, key) => `${sign({ alg: 'none', typ: 'JWT', kid: key.kid }, claims(d.domain, room, { lobby: true })).split('.').slice(0, 2).join('.')}.`,
    'RS512, where RS256 is configured': (room, key) => token(d.domain, room, { lobby: true, key: { ...key, alg: 'RS512' } }),
    'no kid': (room, key) => token(d.domain, room, { lobby: true, key, header: { kid: undefined } }),
  };
  for (const [what, make] of Object.entries(worthless)) {
    it(`${what}: turns nothing on and passes nothing`, async () => {
      const [room, key] = [await d.room(), d.keyPair(`for: ${what}`)];
      await (await d.connect({ as: { key, room: '*' }, name: 'who fetches the key' })).ping();
      const { client, name } = await authenticated(d, make(node(room), key));
      assert.equal(name, 'failure');
      if ((await client.authenticate()).name === 'success') { // as a guest
        await client.startStream(d.domain);
        await client.bind();
        await client.enter(room);
      }
      await isOff(d, room);
    });
  }

  it('no token is in the log', () => assert.ok(!/eyJ[\w-]+\.[\w-]+/.test(d.vestibule.lines.join('\n'))));
});

scenario('a key server that fails', {
  keys: true, expect: [FAILED, /what was fetched as public keys/], config: withKeys({ lobby: { hold_timeout: '500ms' } }),
}, (d, it) => {
  const big = 'x'.repeat(64 * 1024);
  const chunks = (request, response) => {
    response.on('drain', () => response.write(big)).write(big);
  };
  // What it does: [page, what the log says].
  const failures = {
    'an error': [{ status: 500 }, /public keys cannot be fetched.*status=500/],
    'a redirect': [{ status: 302, headers: { Location: 'https://127.0.0.1/elsewhere' } }, /status=302 problem="a redirect, which is not followed"/],
    'a page': [{ body: '<html>Please log in</html>', headers: { 'Content-Type': 'text/html' } }, /what was fetched as public keys is not all of use/],
    'a compressed answer': [{ headers: { 'Content-Encoding': 'gzip' }, body: 'x' }, /problem="the answer is compressed/],
    'too much, and says so': [{ headers: { 'Content-Length': '2000000' }, body: '' }, /problem="the answer is too large"/],
    'too much, in chunks': [chunks, /problem="the answer is too large"/],
    'half an answer': [(request, response) => {
      response.writeHead(200, { 'Content-Length': '1000' });
      response.write('-----BEGIN', () => response.destroy());
    }, /problem="the answer's body is malformed"/],
    'no HTTP': [(request, response) => response.socket.end('220 mail.example.com ESMTP\r\n'), /problem="what answers is not HTTP/],
    'an end without an answer': [(request, response) => response.destroy(), /problem="the connection ended"/],
  };
  for (const [what, [page, line]] of Object.entries(failures)) {
    it(`${what}: named in the log, and the token opens nothing`, async () => {
      const [room, key] = [await d.room(), d.keyPair(`${what}'s`)];
      const from = d.vestibule.lines.length;
      d.keys.pages.set(pathOf(key), page);
      const user = await d.connect({ room, as: { lobby: true, key }, name: 'user' });
      assert.equal((await user.join(room)).entered, false);
      await isOff(d, room);
      await d.vestibule.waitForLog(line, { from });
    });
  }

  it('the same failure again is no second warning, and the first success ends it', async () => {
    const from = d.vestibule.lines.length;
    for (const name of ['bad', 'as bad', 'no better']) {
      const key = d.keyPair(name);
      d.keys.pages.set(pathOf(key), { status: 503 });
      await (await d.connect({ as: { key, room: '*' }, name })).ping();
    }
    const [room, key] = [await d.room(), d.keyPair('good')];
    await (await d.connect({ room, as: { lobby: true, key }, name: 'asker' })).enterLobby(room);
    await d.vestibule.waitForLog(/INFO .*public keys fetched.*failed_before=\d+/, { from });
    assert.equal(d.vestibule.lines.slice(from).filter((text) => /WARN/.test(text) && FAILED.test(text)).length, 1);
  });

  it('one that never ends its answer: the login goes on after lobby.hold_timeout, the request after ten seconds', async () => {
    const from = d.vestibule.lines.length;
    const [room, key] = [await d.room(), d.keyPair('slow')];
    let timer;
    d.keys.pages.set(pathOf(key), (request, response) => {
      response.writeHead(200, { 'Content-Length': '1000' });
      timer = setInterval(() => response.write('-'), 100);
      response.on('close', () => clearInterval(timer));
    });
    const user = await d.connect({ room, as: { lobby: true, key }, name: 'user' });
    assert.equal((await user.join(room)).entered, false);
    await isOff(d, room);
    await d.vestibule.waitForLog(/public keys cannot be fetched.*problem="the peer did not answer in time"/, { from });
  });

  it('gone: keys that are here go on serving', async () => {
    const [room, key] = [await d.room(), d.keyPair('kept')];
    await (await d.connect({ room, as: { key }, name: 'plain' })).enter(room);
    await d.keys.stop();
    const other = d.keyPair('never fetched');
    const refused = await d.connect({ room, as: { key: other }, name: 'refused' });
    assert.equal((await refused.join(room)).entered, false);
    await (await d.connect({ room, as: { lobby: true, key }, name: 'asker' })).enterLobby(room);
    await (await d.connect({ room, as: { key }, name: 'plain' })).enter(room);
    await d.vestibule.waitForLog(/those that are here stay in use.*problem="nothing answers there/);
  });

  it('a client that leaves while its key is awaited is no trouble', async () => {
    const key = d.keyPair('left');
    const { client } = await authenticated(d, token(d.domain, 'r', { key }));
    await client.drop();
    await d.vestibule.waitForLog(/stream ended.*client/i);
  });
});

scenario('token.on_invalid: refuse, with a key server', {
  keys: true, config: (d) => ({ token: { ...withKeys()(d).token, on_invalid: 'refuse' } }),
}, (d, it) => {
  it('a key that is not here yet is no reason to refuse, a signature that is wrong is', async () => {
    const [room, key, other] = [await d.room(), d.keyPair('new'), d.keyPair('other')];
    await (await d.connect({ room, as: { lobby: true, key }, name: 'asker' })).enterLobby(room);
    await assert.rejects(d.connect({ room, as: { key: { ...other, kid: 'new' } } }), { status: 403 });
  });
});

scenario('a stop while a key is awaited', { keys: true, config: withKeys() }, (d, it) => {
  it('does not wait for it', async () => {
    const key = d.keyPair('awaited');
    d.keys.pages.set(pathOf(key), () => {});
    const { client } = await authenticated(d, token(d.domain, 'r', { key }));
    await d.keys.waitForRequest(pathOf(key));
    const wrong = await d.vestibule.stop();
    assert.deepEqual(wrong, []);
    assert.equal((await client.closed).code, 1001);
  });
});
