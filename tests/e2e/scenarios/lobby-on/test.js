// A token that asks for the lobby turns it on; everyone else gets in as his token says.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { token } = require('../../lib/token');
const { of, item, error, fields, hasStatus, NS, formSubmit } = require('../../lib/stanza');

scenario('who meets the lobby', {}, (d, it) => {
  it('a lobby user who comes first turns it on and waits in it', async () => {
    const room = await d.room();
    const asker = await d.asker(room, 'asker');
    const lobby = await asker.enterLobby(room);
    assert.equal(lobby, `${room.split('@')[0]}@lobby.${d.domain}`);
    const state = await d.state(room);
    assert.deepEqual([state.members_only, state.persistent, state.lobby], [true, true, lobby]);
    await d.vestibule.waitForLog(new RegExp(`lobby turned on room=${room} took_ms=`));
    await d.vestibule.waitForLog(new RegExp(`join room=${room} applicant=lobby .*outcome=forwarded held_ms=`));
  });

  it('plain users who are inside stay inside and are told of the change', async () => {
    const room = await d.room();
    const inside = await Promise.all(['one', 'two', 'three'].map((name) => d.plain(room, name)));
    for (const user of inside) await user.enter(room);
    await (await d.asker(room, 'asker')).enterLobby(room);
    for (const user of inside) {
      await user.waitFor('104', of.configChanged(room));
      await user.ping();
      assert.ok(!user.heard(of.left(`${room}/${user.nick}`)), `${user.name} was thrown out`);
      const info = (await user.info(room)).getChild('query', NS.info);
      assert.ok(info.getChildren('feature').some((feature) => feature.attrs.var === 'muc_membersonly'));
      assert.ok(fields(info.getChild('x', NS.form))['muc#roominfo_lobbyroom']);
    }
    inside[0].say(room, 'still here');
    await inside[2].waitFor('what is said inside', of.message('still here'));
  });

  it('a guest who is inside stays inside too', async () => {
    const room = await d.room();
    const guest = await d.guest(room, 'guest');
    await guest.enter(room);
    await (await d.asker(room, 'asker')).enterLobby(room);
    await guest.waitFor('104', of.configChanged(room));
    await guest.ping();
    assert.ok(!guest.heard(of.left(`${room}/${guest.nick}`)));
  });

  it('a plain user who comes later enters as a member', async () => {
    const room = await d.room();
    await (await d.asker(room, 'asker')).enterLobby(room);
    const plain = await d.plain(room, 'plain');
    const { el } = await plain.enter(room);
    assert.equal(item(el).affiliation, 'member');
  });

  it('a plain user gets nothing where no lobby is on', async () => {
    const room = await d.room();
    const { el } = await (await d.plain(room, 'plain')).enter(room);
    assert.equal(item(el).affiliation, 'none');
    assert.deepEqual(await d.state(room).then((s) => [s.members_only, s.persistent]), [false, false]);
  });

  it('a guest enters without a lobby and waits with one', async () => {
    const room = await d.room();
    const early = await d.guest(room, 'early');
    assert.equal(item((await early.enter(room)).el).affiliation, 'none');
    await (await d.asker(room, 'asker')).enterLobby(room);
    await (await d.guest(room, 'late')).enterLobby(room);
  });

  it('context.user.lobby asks as well', async () => {
    const room = await d.room();
    await (await d.connect({ room, as: { user: { lobby: true } }, name: 'asker' })).enterLobby(room);
  });

  // Jitsi's module drops seven characters of the header, whatever they are.
  for (const prefix of ['Bearer ', 'bearer ', 'XXXXXX ', 'Basic  ']) {
    it(`a token in the Authorization header behind "${prefix}" asks as well`, async () => {
      const room = await d.room();
      const Authorization = `${prefix}${token(d.domain, room.split('@')[0], { lobby: true })}`;
      await (await d.connect({ room, headers: { Authorization }, name: 'asker' })).enterLobby(room);
    });
  }

  it('a health-check room is left alone', async () => {
    const room = await d.room('__jicofo-health-check-7');
    const { error: refusal } = await (await d.asker(room, 'asker')).join(room);
    if (refusal) assert.equal(refusal.condition, 'service-unavailable', 'Jitsi\'s own modules keep users out');
    assert.deepEqual(await d.state(room).then((s) => [s.members_only, s.persistent]), [false, false]);
  });

  it('a join without a display name turns the lobby on, and is told that a name is needed', async () => {
    const room = await d.room();
    const nameless = await d.asker(room, 'asker');
    const refused = await nameless.join(room, { name: null });
    assert.equal(refused.error.condition, 'not-acceptable');
    assert.equal((await d.state(room)).members_only, true);
    const plain = await d.plain(room, 'plain');
    assert.equal((await plain.join(room, { name: null })).error.condition, 'not-acceptable');
    assert.equal(item((await plain.enter(room)).el).affiliation, 'member');
    await nameless.enterLobby(room);
  });

  it('a password of the room is left as it was', async () => {
    const room = await d.room();
    const host = await d.host(room);
    await host.iq('set', room, formSubmit({ 'muc#roomconfig_roomsecret': 'sesame', 'muc#roomconfig_passwordprotectedroom': '1' }));
    await (await d.asker(room, 'asker')).enterLobby(room);
    const info = (await host.info(room)).getChild('query', NS.info);
    assert.ok(info.getChildren('feature').some((feature) => feature.attrs.var === 'muc_passwordprotected'));
    await (await d.guest(room, 'knows')).enter(room, { password: 'sesame' });
    await (await d.guest(room, 'does not')).enterLobby(room, { password: 'guess' });
  });

  it('a tenant\'s room, by either of its names', async () => {
    const room = await d.room('planning', 'acme');
    const asker = await d.connect({ room, as: { lobby: true, sub: 'acme' }, name: 'asker', tenant: 'acme' });
    await asker.enterLobby(room);
    const plain = await d.connect({ room, as: { sub: 'acme' }, name: 'plain', tenant: 'acme' });
    const from = plain.received.length;
    plain.raw(`<presence xmlns='jabber:client' to='[acme]planning@${d.muc}/me'><x xmlns='${NS.muc}'/><nick xmlns='${NS.nick}'>p</nick></presence>`);
    const el = await plain.waitFor('being inside', of.selfPresence(`${room}/me`), undefined, from);
    assert.equal(item(el).affiliation, 'member');
  });

  const spellings = {
    'in capitals': (room) => room.toUpperCase(),
    'with a soft hyphen': (room) => room.replace('room', 'ro\u00adom'),
    'with character references': (room) => room.replace('o', '&#111;'),
    'with a trailing dot': (room) => `${room}.`,
  };
  for (const [name, spelling] of Object.entries(spellings)) {
    it(`an address written ${name} is no way around`, async () => {
      const room = await d.room();
      const asker = await d.asker(room, 'asker');
      asker.raw(`<presence xmlns='jabber:client' to='${spelling(room)}/me'><x xmlns='${NS.muc}'/><nick xmlns='${NS.nick}'>a</nick></presence>`);
      const el = await asker.waitFor('an answer', (stanza) => stanza.is('presence'));
      assert.equal((error(el) || {}).condition, 'registration-required', String(el));
      assert.ok(!hasStatus(el, 110));
    });
  }
});
