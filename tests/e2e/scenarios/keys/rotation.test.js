// Public keys that are exchanged for others while everything runs. In a file of its own, as it takes
// most of a minute: no answer is fetched again sooner than that, whatever it says.
'use strict';
const { scenario } = require('../../lib/scenario');
const { jwks } = require('../../lib/keys');

const DOCUMENT = '/jwks.json';

scenario('keys that change', {
  keys: true,
  config: (d) => ({ token: { keys_url: d.keys.url + DOCUMENT, ca_file: d.tls.ca, secret_file: undefined } }),
  expect: [/public keys cannot be fetched/], timeout: 180000,
}, (d, it) => {
  it('the new ones count once the document is fetched again, and the old ones do not end at once', { timeout: 150000 }, async () => {
    const [old, next] = [d.keyPair('old', { isSecret: true }), d.keyPair('next', { isSecret: true })];
    d.keys.pages.set(DOCUMENT, { body: jwks(old), headers: { 'Cache-Control': 'no-cache' } });
    await d.vestibule.waitForLog(/public keys (fetched|cannot)/);
    const room = await d.room();
    await (await d.connect({ room, as: { key: old }, name: 'old' })).enter(room);
    d.keys.pages.set(DOCUMENT, { body: jwks(next), headers: { 'Cache-Control': 'no-cache' } });
    const from = d.vestibule.lines.length;
    const seen = d.keys.count(DOCUMENT);
    await d.keys.waitForRequest(DOCUMENT, seen + 1, 70000); // kept for a minute at least, whatever the server says
    await d.vestibule.waitForLog(/INFO .*public keys fetched/, { from });
    await (await d.connect({ room, as: { lobby: true, key: next }, name: 'asker' })).enterLobby(room);
    await (await d.connect({ room, as: { key: old }, name: 'who came with the old one' })).enter(room);
  });
});
