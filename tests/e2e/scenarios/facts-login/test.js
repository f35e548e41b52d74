// The Prosody of these tests logs users in as a Jitsi deployment's does: without Vestibule, on the
// stand-in modules and (JITSI_PLUGINS) on Jitsi's own. Everything else rests on it.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { sign, claims, token, now } = require('../../lib/token');
const { NS, of, error } = require('../../lib/stanza');

scenario('logging in, without Vestibule', { direct: true }, (d, it) => {
  // The end of SASL with that token in the URL: {name, condition, text}.
  async function loginWith(query, headers) {
    const client = await d.socket({ query, headers });
    await client.startStream(d.domain);
    const end = await client.authenticate();
    return { client, name: end.name, condition: end.children[0] && end.children[0].name, text: end.getChildText('text') };
  }
  const refused = [
    ['forged', () => token(d.domain, 'r', { secret: 'another-secret' }), 'not-allowed'],
    ['alg none', () => `${sign({ alg: 'none', typ: 'JWT' }, claims(d.domain, 'r')).split('.').slice(0, 2).join('.')}.`, 'not-allowed'],
    ['alg none, signed', () => token(d.domain, 'r', { header: { alg: 'none' } }), 'not-allowed'],
    ['alg HS512', () => token(d.domain, 'r', { header: { alg: 'HS512' }, hash: 'sha512' }), 'not-allowed'],
    ['no typ', () => token(d.domain, 'r', { header: { typ: undefined } }), 'not-allowed'],
    ['expired', () => token(d.domain, 'r', { exp: now() - 5 }), 'not-allowed'],
    ['not yet valid', () => token(d.domain, 'r', { nbf: now() + 600 }), 'not-allowed'],
    ['exp as text', () => token(d.domain, 'r', { exp: String(now() + 600) }), 'not-allowed'],
    ['another issuer', () => token(d.domain, 'r', { iss: 'somebody' }), 'not-allowed'],
    ['no audience', () => token(d.domain, 'r', { aud: undefined }), 'not-allowed'],
    ['garbage', () => 'garbage', 'not-allowed'],
    ['empty', () => '', 'not-allowed'],
    ['no room', () => token(d.domain, undefined), 'not-authorized'],
    ['no sub', () => token(d.domain, 'r', { sub: undefined }), 'not-authorized'],
  ];
  for (const [name, make, condition] of refused) {
    it(`fact 3: a token is refused at SASL, with a text: ${name}`, async () => {
      const end = await loginWith(`token=${make()}`);
      assert.deepEqual([end.name, end.condition], ['failure', condition]);
      assert.ok(end.text);
    });
  }

  it('fact 3: after a refusal the same stream may log in as a guest', async () => {
    const { client, name } = await loginWith(`token=${token(d.domain, 'other', { exp: 1 })}`);
    assert.equal(name, 'failure');
    assert.equal((await client.authenticate()).name, 'success');
    await client.startStream(d.domain);
    await client.bind();
    await client.enter(await d.room());
  });

  const good = (room = 'r') => token(d.domain, room);
  it('fact 3: the last token of several counts', async () => {
    assert.equal((await loginWith(`token=bad&token=${good()}`)).name, 'success');
    assert.equal((await loginWith(`token=${good()}&token=bad`)).name, 'failure');
  });

  it('fact 3: a percent-encoded parameter name is decoded', async () => {
    assert.equal((await loginWith('%74oken=bad')).name, 'failure');
    assert.equal((await loginWith(`tok%65n=${good()}`)).name, 'success');
  });

  it('fact 2: a token in the Authorization header counts, one in the URL before it', async () => {
    assert.equal((await loginWith('', { Authorization: 'Bearer bad' })).name, 'failure');
    assert.equal((await loginWith('', { Authorization: `Bearer ${good()}` })).name, 'success');
    assert.equal((await loginWith(`token=${good()}`, { Authorization: 'Bearer bad' })).name, 'success');
  });

  it('fact 1: a service account logs in through the users\' endpoint', async () => {
    const client = await d.socket();
    const features = await client.startStream(d.auth);
    const offered = features.getChild('mechanisms', NS.sasl).getChildren('mechanism').map((m) => m.getText());
    assert.ok(offered.includes('PLAIN') && offered.includes('SCRAM-SHA-1'), offered.join());
    assert.equal((await client.authenticate({ name: 'vestibule', password: 'service-password' })).name, 'success');
  });

  it('fact 4: previd gives the bare JID of the session it names', async () => {
    const old = await d.plain('prev@x', 'old');
    await old.enableResumption();
    await old.drop();
    const next = await d.connect({ room: 'prev@x', as: {}, previd: old.sm.id });
    assert.equal(next.jid.split('/')[0], old.jid.split('/')[0]);
  });

  it('fact 5: a token opens the room it names, and no other', async () => {
    const room = await d.room();
    const node = room.split('@')[0];
    const join = async (options) => (await (await d.connect({ room, as: options })).join(room));
    assert.ok((await join({})).entered);
    assert.ok((await join({ room: node.toUpperCase() })).entered, 'letter case does not matter');
    assert.ok((await join({ room: '*' })).entered);
    assert.ok((await join({ sub: '*' })).entered);
    assert.ok((await join({ room: 'r%a+%d+', context: { room: { regex: true } } })).entered, 'a pattern');
    for (const [what, options] of Object.entries({
      'another room': { room: 'elsewhere' },
      'another domain': { sub: 'example.org' },
      'a pattern that is not meant as one': { room: 'r%a+%d+' },
      'a pattern that does not fit': { room: 'x%d+', context: { room: { regex: true } } },
    })) {
      const result = await join(options);
      assert.ok(!result.entered, what);
      assert.deepEqual([result.error.type, result.error.condition], ['cancel', 'not-allowed'], what);
    }
  });

  it('facts 5, 6: a room that does not exist is not made by joining it', async () => {
    for (const options of [{}, undefined]) {
      const client = await d.connect({ room: 'nowhere@x', as: options });
      const result = await client.join(`nowhere@${d.muc}`);
      assert.deepEqual([result.error.type, result.error.condition], ['cancel', 'not-allowed']);
    }
  });

  it('fact 26: a plain GET is answered, with the shard', async () => {
    const response = await d.get();
    assert.equal(response.status, 200);
    assert.equal(response.headers['x-jitsi-shard'], 'shard-1');
  });

  it('fact 24: both ends count: who acknowledges what was never sent is ended', async () => {
    const client = await d.plain('count@x', 'count');
    await client.enableResumption();
    for (let i = 0; i < 3; i++) await client.ping();
    client.raw(`<r xmlns='${NS.sm}'/>`);
    assert.equal(Number((await client.waitFor('<a/>', of.named('a', NS.sm))).attrs.h), 3);
    client.raw(`<a xmlns='${NS.sm}' h='4'/>`);
    await client.waitFor('a stream error', (el) => el.getName() === 'error' && el.getNS() === NS.streams);
  });

  it('facts 25, 27: a session is resumed with its rooms, whatever was lost comes again', async () => {
    const room = await d.room();
    const old = await d.plain(room);
    await old.enableResumption();
    await old.enter(room);
    await old.drop();
    (await d.focus()).say(room, 'while you were away');
    const back = await d.connect({ room, as: {}, resumes: old });
    const heard = await back.waitFor('what was said meanwhile', of.message('while you were away'));
    assert.equal(heard.attrs.to, old.jid, 'the JID is learnt from it, there is no new bind');
    back.say(room, 'I am back');
    await back.waitFor('its own words', of.message('I am back'));
    assert.equal(error(await back.info(room)), null);
  });
});
