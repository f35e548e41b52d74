// Who a stream is, and what its token says, is Prosody's word alone: however the login is written, and
// whatever a client sends himself, a lobby user meets the lobby.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { token, now } = require('../../lib/token');
const { NS, bare, error, hasStatus, joinStanza, adminItem } = require('../../lib/stanza');

const node = (room) => room.split('@')[0];
const bindRequest = (type) => `<iq xmlns='jabber:client'${type} id='b1'><bind xmlns='${NS.bind}'/></iq>`;

const isInside = (room) => (el) => el.is('presence') && bare(el.attrs.from) === room && hasStatus(el, 110);

// A lobby user of room up to where he would bind.
async function unbound(d, room) {
  const text = token(d.domain, node(room), { lobby: true });
  const client = await d.socket({ via: 'vestibule', parameters: { room: node(room), token: text } });
  await client.startStream(d.domain);
  await client.authenticate();
  await client.startStream(d.domain);
  return client;
}

// He asks for a bind of that type, and joins in the same packet.
async function bindsAndJoins(d, room, type) {
  const client = await unbound(d, room);
  client.rawTogether([bindRequest(type && ` type='${type}'`), joinStanza(room, { nick: 'e', name: 'e' })]);
  return client;
}

scenario('a login of another kind', { expect: [/stream ended why=(NOT_BOUND|PROSODY_LOST)/] }, (d, it) => {
  async function assertMeetsLobby(room, client) {
    const refused = await client.waitFor('the lobby', (el) => el.is('presence') && bare(el.attrs.from) === room);
    assert.equal((error(refused) || {}).condition, 'registration-required', String(refused));
    assert.ok(!client.heard(isInside(room)));
    assert.equal((await d.state(room)).members_only, true);
  }

  for (const type of ['set', 'get']) {
    it(`a join behind a bind request of type ${type} is judged`, async () => {
      const room = await d.room();
      await assertMeetsLobby(room, await bindsAndJoins(d, room, type));
    });
  }

  it('a join before any bind request ends the stream', async () => {
    const room = await d.room();
    const client = await unbound(d, room);
    client.raw(joinStanza(room, { nick: 'e', name: 'e' }));
    await client.closed;
    assert.ok(client.heard((el) => el.getName() === 'error' && el.getChild('not-authorized')), client.tail());
    assert.ok(!client.heard(isInside(room)));
    assert.equal((await d.state(room)).members_only, false);
  });

  it('a token that is not valid yet at the handshake, and is at login, counts', async () => {
    const room = await d.room();
    const nbf = now() + 3;
    const text = token(d.domain, node(room), { lobby: true, nbf });
    const client = await d.socket({ parameters: { room: node(room), token: text } });
    const clock = await d.guest();
    while (Date.now() < (nbf + 1) * 1000) await clock.ping();
    await client.login(d.domain);
    client.raw(joinStanza(room, { nick: 'early', name: 'early' }));
    await assertMeetsLobby(room, client);
  });

  // An answer to a bind request, sent by a client to himself: Prosody delivers it.
  async function pretendToBe(client, victim) {
    client.raw(`<iq xmlns='jabber:client' type='set' id='t1' to='${client.jid}'>` +
      `<bind xmlns='${NS.bind}'><jid>${victim}/other</jid></bind></iq>`);
    await client.waitFor('his own', (el) => el.is('iq') && el.getChild('bind', NS.bind) && el.attrs.from === client.jid);
  }

  for (const affiliation of ['outcast', 'owner']) {
    it(`who sends himself an answer to a bind request does not change who is ${affiliation}`, async () => {
      const room = await d.room();
      const focus = await d.focus();
      const victim = bare((await d.plain(room, 'victim')).jid);
      const set = await focus.iq('set', room, adminItem({ jid: victim, affiliation }));
      assert.equal(set.attrs.type, 'result', String(set));
      const asker = await d.asker(room, 'asker');
      await asker.enterLobby(room);
      const liar = await d.plain(room, 'liar');
      await pretendToBe(liar, victim);
      await liar.enter(room);
      const list = await focus.iq('get', room, adminItem({ affiliation }));
      const jids = list.getChild('query', NS.admin).getChildren('item').map((item) => item.attrs.jid);
      assert.ok(jids.includes(victim), String(list));
    });
  }

  it('nor who has been let in: the lobby user he names still waits', async () => {
    const room = await d.room();
    const asker = await d.asker(room, 'asker');
    await asker.enterLobby(room);
    const liar = await d.plain(room, 'liar');
    await pretendToBe(liar, bare(asker.jid));
    await liar.enter(room);
    const again = await asker.join(room, { nick: 'again' });
    assert.equal((again.error || {}).condition, 'registration-required', String(again.el));
  });

  for (const [name, makeOptions] of Object.entries({
    'a plain token for another room': (other) => ({ room: other, as: {} }),
    'no token': () => ({}),
  })) {
    it(`a lobby user's session that is resumed with ${name} meets the lobby`, async () => {
      const [room, other] = [await d.room(), await d.room()];
      const old = await d.asker(room, 'asker');
      await old.enableResumption();
      await old.drop();
      const again = await d.connect({ ...makeOptions(other), resumes: old });
      await again.enterLobby(room);
      assert.equal((await d.state(room)).members_only, true);
    });
  }
});

// Prosody binds nobody for these; to a result it does not even answer.
scenario('a bind request that is none', {
  config: { limits: { handshake_timeout: '1s' } }, expect: [/stream ended why=(NOT_BOUND|HANDSHAKE_TIMEOUT)/],
}, (d, it) => {
  for (const [type, condition] of [['result', 'connection-timeout'], ['', 'not-authorized']]) {
    it(`a join behind one of ${type ? `type ${type}` : 'no type'} ends the stream`, async () => {
      const room = await d.room();
      const client = await bindsAndJoins(d, room, type);
      await client.closed;
      assert.ok(client.heard((el) => el.getName() === 'error' && el.getChild(condition)), client.tail());
      assert.ok(!client.heard(isInside(room)));
      assert.equal((await d.state(room)).members_only, false);
    });
  }
});
