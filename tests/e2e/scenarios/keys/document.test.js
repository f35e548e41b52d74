// Public keys in one document: a JWKS, or a map of certificates; and how its server is verified.
'use strict';
const assert = require('node:assert/strict');
const path = require('node:path');
const { execFileSync } = require('node:child_process');
const { scenario } = require('../../lib/scenario');
const { certificateOf, jwks } = require('../../lib/keys');
const { hasJitsiPlugins } = require('../../lib/prosody');
const { item } = require('../../lib/stanza');

const FAILED = /public keys cannot be fetched/;
const DOCUMENT = '/jwks.json?v=1';
const withDocument = (over = {}) => (d) => ({
  token: { keys_url: d.keys.url + DOCUMENT, ca_file: d.tls.ca, secret_file: undefined, ...over },
  lobby: { hold_timeout: '500ms' }, log: { level: 'debug' },
});
const fetched = (d, times = 1) => d.keys.waitForRequest(DOCUMENT, times);

scenario('a JWKS', { keys: true, config: withDocument(), expect: [FAILED] }, (d, it) => {
  let first;
  const ec = (kid) => d.keyPair(kid, { isSecret: true, kind: 'P-256' });

  it('keys that come after the start are fetched with the first token that names one', async () => {
    first = d.keyPair('first', { isSecret: true });
    await fetched(d); // at the start, and there was nothing yet
    await d.vestibule.waitForLog(/WARN .*public keys cannot be fetched; tokens that need them open nothing.*status=404/);
    d.keys.pages.set(DOCUMENT, { body: jwks(first, ec('a curve')), headers: { 'Cache-Control': 'max-age=3600' } });
    await fetched(d, 2); // by itself, five seconds later
    await d.vestibule.waitForLog(/INFO .*public keys fetched.*max_age_s=3600/);
    const room = await d.room();
    await (await d.connect({ room, as: { lobby: true, key: first }, name: 'asker' })).enterLobby(room);
    assert.equal(item((await (await d.connect({ room, as: { key: first }, name: 'plain' })).enter(room)).el).affiliation, 'member');
    assert.equal(d.keys.count(DOCUMENT), 2);
  });

  it('a kid that is not in it just after it was fetched causes one request, when somebody is logged in by it', async () => {
    const [room, key] = [await d.room(), d.keyPair('unknown', { isSecret: true })];
    for (let i = 0; i < 3; i++) {
      const user = await d.connect({ room, as: { lobby: true, key }, name: `user ${i}` });
      assert.equal((await user.join(room)).entered, false);
    }
    assert.equal(d.keys.count(DOCUMENT), 3);
    assert.equal((await d.state(room)).members_only, false);
  });

  it('its server is gone: the keys stay', async () => {
    await d.keys.stop();
    const room = await d.room();
    await (await d.connect({ room, as: { lobby: true, key: first }, name: 'asker' })).enterLobby(room);
  });

  it('the query of its address, which may be a secret, is not in the log', () => {
    assert.ok(d.vestibule.lines.some((line) => line.includes('/jwks.json?...')));
    assert.deepEqual(d.vestibule.lines.filter((line) => line.includes('v=1')), []);
  });
});

for (const [name, bodyOf] of [['a JWKS', jwks], ['a map of certificates', (key) => JSON.stringify({ [key.kid]: certificateOf(key) })]]) {
  let key;
  scenario(`${name} that Prosody reads too`, {
    config: withDocument(),
    keys: (d) => {
      key = d.keyPair('shared', { isSecret: true });
      for (const server of [d.keys, d.prosodyKeys]) server.pages.set(DOCUMENT, { body: bodyOf(key) });
      return { JWT_ASAP_KEYSERVER: '', JWT_CACHE_KEYS_URL: d.prosodyKeys.url + DOCUMENT };
    },
  }, (d, it) => {
    it('both go by the same key', async () => {
      if (hasJitsiPlugins) await d.prosodyKeys.waitForRequest(DOCUMENT); // the stand-in has its folder
      await d.vestibule.waitForLog(/public keys fetched/);
      const room = await d.room();
      await (await d.connect({ room, as: { lobby: true, key }, name: 'asker' })).enterLobby(room);
      const { el } = await (await d.connect({ room, as: { key }, name: 'plain' })).enter(room);
      assert.equal(item(el).affiliation, 'member');
    });
  });
}

scenario('a map of certificates, from this machine', {
  keys: true, expect: [FAILED, /what was fetched/],
  config: (d) => ({ token: { keys_url: `${d.prosodyKeys.url}/certificates`, secret_file: undefined } }),
}, (d, it) => {
  it('is read as well', async () => {
    const key = d.keyPair('certified', { isSecret: true });
    d.prosodyKeys.pages.set('/certificates', (request, response) => {
      // No length, no chunks: the end of the connection is its end.
      response.socket.end(`HTTP/1.0 200 OK\r\n\r\n${JSON.stringify({ [key.kid]: certificateOf(key) })}`);
    });
    await d.vestibule.waitForLog(/public keys fetched/);
    const room = await d.room();
    await (await d.connect({ room, as: { lobby: true, key }, name: 'asker' })).enterLobby(room);
  });
});

// Who is not the server he is taken for gives no keys: [name, Vestibule's configuration, what the log says].
const strangers = [
  ['a certificate of an authority nobody named', (d) => ({ keys_url: d.keys.url + DOCUMENT, ca_file: undefined }),
    /problem="TLS: the certificate is not accepted: (self-signed certificate in|unable to get local issuer)/],
  ['a certificate of another authority', (d) => {
    execFileSync(path.resolve(__dirname, '../../../../certs/make-dev-ca.sh'), [d.folder('other'), d.domain], { stdio: 'ignore' });
    return { keys_url: d.keys.url + DOCUMENT, ca_file: path.join(d.folder('other'), 'ca.crt') };
  }, /problem="TLS: the certificate is not accepted: /],
  ['a certificate for another name', (d) => ({ keys_url: `https://127.0.0.2:${d.keys.port}${DOCUMENT}`, ca_file: d.tls.ca }),
    /problem="TLS: the certificate is not accepted: IP address mismatch/],
  ['no TLS at all', (d) => ({ keys_url: `https://127.0.0.1:${d.prosodyKeys.port}${DOCUMENT}`, ca_file: d.tls.ca }), /problem="TLS: /],
];
for (const [name, config, line] of strangers) {
  scenario(name, {
    keys: true, expect: [FAILED],
    config: (d) => ({ token: { secret_file: undefined, ...config(d) }, lobby: { hold_timeout: '500ms' } }),
  }, (d, it) => {
    it('is refused, and the token opens nothing', async () => {
      const key = d.keyPair('key', { isSecret: true });
      d.keys.pages.set(DOCUMENT, { body: jwks(key) });
      d.prosodyKeys.pages.set(DOCUMENT, { body: jwks(key) });
      await d.vestibule.waitForLog(line);
      const room = await d.room();
      const user = await d.connect({ room, as: { lobby: true, key }, name: 'user' });
      assert.equal((await user.join(room)).entered, false);
      assert.equal((await d.state(room)).members_only, false);
      assert.equal(d.keys.count(DOCUMENT), 0);
    });
  });
}

scenario('an authority for all of OpenSSL', {
  keys: true, config: withDocument({ ca_file: undefined }), expect: [FAILED],
}, (d, it) => {
  it('SSL_CERT_FILE counts where token.ca_file is not set', async () => {
    const key = d.keyPair('key', { isSecret: true });
    d.keys.pages.set(DOCUMENT, { body: jwks(key) });
    await d.vestibule.stop([FAILED]);
    d.vestibule.env = { SSL_CERT_FILE: d.tls.ca };
    await d.vestibule.start();
    await d.vestibule.waitForLog(/public keys fetched/);
    const room = await d.room();
    await (await d.connect({ room, as: { lobby: true, key }, name: 'asker' })).enterLobby(room);
  });
});
