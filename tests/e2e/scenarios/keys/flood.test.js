// Strangers who name kids that nobody has, with tokens nobody signed: they get little of what it costs to
// ask, and no key is kept by it from who has a token by that key.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { fileOf, jwks } = require('../../lib/keys');
const { sign, claims } = require('../../lib/token');

const config = (d) => ({ token: { key_server: d.keys.url, ca_file: d.tls.ca, secret_file: undefined }, log: { level: 'debug' } });
const pathOf = (key) => `/${fileOf(key.kid)}`;
const from = (address) => ({ via: 'vestibule', headers: { 'X-Forwarded-For': address } });
const addresses = (count) => Array.from({ length: count }, (_, i) => `198.51.100.${i + 1}`);
const said = (d, kid, fetch) => d.vestibule.waitForLog(new RegExp(`public key is not here.*kid=${kid} fetch="${fetch}"`));

let made = 0;
const forged = (d, kid) => sign({ alg: 'RS256', typ: 'JWT', kid }, claims(d.domain, 'a', {}), {});

// A handshake, and gone.
async function stranger(d, address, kid = `made-up-${++made}`) {
  const client = await d.socket({ ...from(address), transport: 'websocket', parameters: { token: forged(d, kid) } });
  await client.drop();
}

// While work runs, one such handshake after another from each address; it begins when there were so many.
async function flooded(d, all, count, work) {
  let goesOn = true;
  let done = 0;
  let enough;
  const begun = new Promise((resolve) => { enough = resolve; });
  const flood = (async () => {
    while (goesOn) {
      await stranger(d, all[done % all.length]);
      if (++done === count) enough();
    }
  })();
  try {
    await Promise.race([begun, flood]);
    await work();
  } finally {
    goesOn = false;
    await flood;
  }
}

const fetchedFor = (d, ...keys) => d.keys.requests.filter((each) => !keys.some((key) => each === pathOf(key))).length;

scenario('a flood of made-up kids', { keys: true, config }, (d, it) => {
  it('from one address: it gets its share, another address asks at once, the same one when logged in', async () => {
    const [elsewhere, same, asking] = [d.keyPair('elsewhere'), d.keyPair('same'), d.keyPair('asking')];
    const began = Date.now();
    await flooded(d, addresses(1), 30, async () => {
      const room = await d.room();
      await (await d.connect({ room, as: { key: elsewhere }, ...from('203.0.113.1') })).enter(room);
      await said(d, 'elsewhere', 'on its way');
      await (await d.connect({ room, as: { key: same }, ...from(addresses(1)[0]) })).enter(room);
      await said(d, 'same', 'not now');
      await (await d.connect({ room, as: { key: asking, lobby: true }, ...from(addresses(1)[0]) })).enterLobby(room);
      await said(d, 'asking', 'not now');
    });
    const most = 10 + Math.ceil((Date.now() - began) / 10000);
    const got = fetchedFor(d, elsewhere, same, asking);
    assert.ok(got >= 10 && got <= most, `${got} requests`);
  });

  it('from many addresses: who is logged in is heard', async () => {
    const [plain, asking] = [d.keyPair('plain'), d.keyPair('another')];
    await flooded(d, addresses(10), 60, async () => {
      const room = await d.room();
      await (await d.connect({ room, as: { key: plain }, ...from('203.0.113.2') })).enter(room);
      await (await d.connect({ room, as: { key: asking, lobby: true }, ...from('203.0.113.3') })).enterLobby(room);
    });
    assert.deepEqual([plain, asking].map((key) => d.keys.count(pathOf(key))), [1, 1]);
  });

  it('logged in by another way than with that token is not logged in with it', async () => {
    const address = '203.0.113.4';
    for (let i = 0; i < 12; i++) await stranger(d, address);
    const client = await d.socket({ ...from(address), parameters: { token: forged(d, 'pretended') } });
    await client.startStream(d.domain);
    assert.equal((await client.authenticate()).name, 'failure');
    assert.equal((await client.authenticate()).name, 'success', 'as a guest');
    await client.startStream(d.domain);
    await client.bind();
    await client.ping();
    await said(d, 'pretended', 'not now');
    assert.equal(d.keys.count(pathOf({ kid: 'pretended' })), 0);
  });
});

scenario('made-up kids, and a key server that is slow to say so', {
  keys: true, config, expect: [/public keys cannot be fetched/],
}, (d, it) => {
  const slow = async (count) => {
    for (let i = 0; i < count; i++) {
      const kid = `slow-${++made}`;
      d.keys.pages.set(pathOf({ kid }), () => {});
      await stranger(d, addresses(20)[i], kid);
    }
  };

  it('a request that waits behind theirs goes ahead when he is logged in', async () => {
    const [room, key] = [await d.room(), d.keyPair('waiting')];
    await slow(4);
    await (await d.connect({ room, as: { key }, ...from('203.0.113.1') })).enter(room);
    await said(d, 'waiting', 'on its way');
    assert.equal(d.keys.count(pathOf(key)), 1);
  });

  it('all their places are taken: his are not', async () => {
    const [room, key] = [await d.room(), d.keyPair('crowded')];
    await slow(16);
    await (await d.connect({ room, as: { key }, ...from('203.0.113.1') })).enter(room);
    await said(d, 'crowded', 'not now');
  });
});

scenario('made-up kids, and one document', {
  keys: true, expect: [/public keys cannot be fetched/],
  config: (d) => ({ token: { keys_url: `${d.keys.url}/jwks.json`, ca_file: d.tls.ca, secret_file: undefined }, log: { level: 'debug' } }),
}, (d, it) => {
  it('a key that came since it was fetched for a stranger is fetched for who is logged in', async () => {
    const [room, old, next] = [await d.room(), d.keyPair('old'), d.keyPair('next')];
    const serve = (...keys) => d.keys.pages.set('/jwks.json', { body: jwks(...keys) });
    serve(old);
    await d.vestibule.waitForLog(/INFO .*public keys fetched/);
    serve(old, next);
    await stranger(d, '198.51.100.1');
    await (await d.connect({ room, as: { key: next }, ...from('203.0.113.1') })).enter(room);
    await said(d, 'next', 'not now');
  });
});
