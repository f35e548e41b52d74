// Only a token that Prosody accepts too, for this very room, asks for anything or gets anything.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { sign, claims, token, now } = require('../../lib/token');
const { item } = require('../../lib/stanza');

const ODD_CLAIM = /claim context\.(features|user)\.lobby found and not used/;

scenario('tokens', { expect: [ODD_CLAIM] }, (d, it) => {
  const isOff = async (room) =>
    assert.deepEqual(await d.state(room).then((s) => [s.members_only, s.persistent]), [false, false], 'nothing was turned on');
  const unsigned = (text) => `${text.split('.').slice(0, 2).join('.')}.`;

  // Logs in with a token that is refused, then, as lib-jitsi-meet might, as a guest on the same stream.
  async function asGuestAfterRefusal(text) {
    const client = await d.socket({ parameters: { token: text } });
    await client.startStream(d.domain);
    assert.equal((await client.authenticate()).name, 'failure');
    const end = await client.authenticate();
    if (end.name === 'failure') return null;
    await client.startStream(d.domain);
    await client.bind();
    return client;
  }

  const worthless = {
    'forged': (room, options) => token(d.domain, room, { ...options, secret: 'another-secret' }),
    'expired': (room, options) => token(d.domain, room, { ...options, exp: now() - 5 }),
    'not yet valid': (room, options) => token(d.domain, room, { ...options, nbf: now() + 600 }),
    'alg none': (room, options) => unsigned(sign({ alg: 'none', typ: 'JWT' }, claims(d.domain, room, options))),
    'alg none, signed': (room, options) => token(d.domain, room, { ...options, header: { alg: 'none' } }),
    'alg HS512': (room, options) => token(d.domain, room, { ...options, header: { alg: 'HS512' }, hash: 'sha512' }),
    'no typ': (room, options) => token(d.domain, room, { ...options, header: { typ: undefined } }),
    'another issuer': (room, options) => token(d.domain, room, { ...options, iss: 'somebody' }),
    'garbage': () => 'a.b.c',
  };
  for (const [name, make] of Object.entries(worthless)) {
    it(`${name}: turns nothing on, and gets nothing where it is on`, async () => {
      const room = await d.room();
      const node = room.split('@')[0];
      const asking = await asGuestAfterRefusal(make(node, { lobby: true }));
      const { el } = await asking.enter(room);
      assert.equal(item(el).affiliation, 'none');
      await isOff(room);
      await (await d.asker(room, 'asker')).enterLobby(room);
      await (await asGuestAfterRefusal(make(node, {}))).enterLobby(room);
    });
  }

  it('for another room: neither room gets a lobby, and nobody gets in', async () => {
    const [room, other] = [await d.room(), await d.room()];
    const asker = await d.connect({ room, as: { lobby: true, room: other.split('@')[0] } });
    const { error } = await asker.join(room);
    assert.equal(error.condition, 'not-allowed');
    await isOff(room);
    await isOff(other);
    await (await d.asker(room, 'asker')).enterLobby(room);
    const plain = await d.connect({ room, as: { room: other.split('@')[0] } });
    assert.equal((await plain.join(room)).error.condition, 'not-allowed');
    // Nor was a membership left behind for whoever takes over the JID (wire fact 4).
    await plain.enableResumption();
    await plain.drop();
    const heir = await d.connect({ previd: plain.sm.id, name: 'heir' });
    await heir.enterLobby(room);
  });

  it('for another domain: nothing', async () => {
    const room = await d.room();
    const asker = await d.connect({ room, as: { lobby: true, sub: 'example.org' } });
    assert.equal((await asker.join(room)).error.condition, 'not-allowed');
    await isOff(room);
  });

  it('a token for every room asks for the lobby in each', async () => {
    for (const room of [await d.room(), await d.room()]) {
      await (await d.connect({ room, as: { lobby: true, room: '*' }, name: 'asker' })).enterLobby(room);
    }
  });

  for (const [name, value] of Object.entries({ '"true"': 'true', '1': 1, 'null': null, '"yes"': 'yes', '{}': {} })) {
    it(`the claim ${name} does not ask`, async () => {
      const room = await d.room();
      await (await d.connect({ room, as: { lobby: value }, name: 'user' })).enter(room);
      await isOff(room);
      await (await d.asker(room, 'asker')).enterLobby(room);
      const { el } = await (await d.connect({ room, as: { lobby: value }, name: 'user' })).enter(room);
      assert.equal(item(el).affiliation, 'member');
    });
  }
  for (const [name, options] of Object.entries({ 'false': { lobby: false }, 'absent': {}, 'no context': { context: undefined } })) {
    it(`the claim ${name} does not ask`, async () => {
      const room = await d.room();
      await (await d.connect({ room, as: options, name: 'user' })).enter(room);
      await isOff(room);
    });
  }

  it('a claim of another type is named once a stream in the log', async () => {
    const from = d.vestibule.lines.length;
    const room = await d.room();
    const user = await d.connect({ room, as: { lobby: 'true' }, name: 'user' });
    await user.enter(room);
    await user.leave(room);
    await user.enter(room);
    await d.vestibule.waitForLog(ODD_CLAIM, { from });
    assert.equal(d.vestibule.lines.slice(from).filter((line) => ODD_CLAIM.test(line)).length, 1);
  });

  it('no token appears in the log', async () => {
    const text = d.vestibule.lines.join('\n');
    assert.ok(!/eyJ[\w-]+\.[\w-]+/.test(text));
  });

  it('two tokens: Prosody takes one, so nothing is granted and nobody slips in', async () => {
    const room = await d.room();
    const node = room.split('@')[0];
    const both = (first, second) => `token=${token(d.domain, node, first)}&token=${token(d.domain, node, second)}`;
    const enter = async (query) => (await d.socket({ query, name: 'double' })).login(d.domain);
    const early = await (await enter(both({}, { lobby: true }))).join(room);
    assert.equal(early.entered, false, 'in the open room he is refused');
    await isOff(room);
    await (await d.asker(room, 'asker')).enterLobby(room);
    await (await enter(both({ lobby: true }, {}))).enterLobby(room);
    await (await enter(`%74oken=${token(d.domain, node, {})}&token=${token(d.domain, node, { lobby: true })}`)).enterLobby(room);
  });

  it('a claim written twice: likewise', async () => {
    const room = await d.room();
    const text = JSON.stringify(claims(d.domain, room.split('@')[0], { lobby: true }))
      .replace('"lobby":true', '"lobby":true,"lobby":false');
    const user = await d.connect({ room, token: sign({ alg: 'HS256', typ: 'JWT' }, text), name: 'double' });
    assert.equal((await user.join(room)).entered, false);
    await isOff(room);
  });

  it('a refused token in the URL helps nobody who logs in again without it being valid', async () => {
    const room = await d.room();
    await (await d.asker(room, 'asker')).enterLobby(room);
    const client = await asGuestAfterRefusal(token(d.domain, undefined, {}));
    if (client) await client.enterLobby(room);
  });
});
