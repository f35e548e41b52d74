// The lobby as Jitsi's module does it, driven by hand through the service account: what Vestibule
// relies on when it does the same.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { hasJitsiPlugins } = require('../../lib/prosody');
const { NS, of, item, error, fields, hasStatus, bare, formSubmit, adminItem } = require('../../lib/stanza');

const ON = { 'muc#roomconfig_membersonly': '1', 'muc#roomconfig_persistentroom': '1' };

scenario('the lobby, without Vestibule', { direct: true }, (d, it) => {
  let service;
  const admin = async () => { service ??= await d.account('vestibule'); return service; };
  const ok = (answer) => assert.equal(answer.attrs.type, 'result', String(answer));
  const submit = async (room, values) => ok(await (await admin()).iq('set', room, formSubmit(values)));
  const grant = async (room, client) =>
    ok(await (await admin()).iq('set', room, adminItem({ affiliation: 'member', jid: bare(client.jid) })));
  const form = async (room) => {
    const answer = await (await admin()).iq('get', room, `<query xmlns='${NS.owner}'/>`);
    return answer.attrs.type === 'error' ? error(answer).condition
      : fields(answer.getChild('query', NS.owner).getChild('x', NS.form));
  };
  const destroy = async (room) => ok(await (await admin()).iq('set', room, `<query xmlns='${NS.owner}'><destroy/></query>`));
  const refusal = async (client, room, options) => {
    const result = await client.join(room, options);
    assert.ok(!result.entered, String(result.el));
    return result;
  };

  it('fact 9: only who is inside may ask what a room is; the service account reads the form', async () => {
    const room = await d.room();
    assert.equal(error(await (await admin()).info(room)).condition, 'forbidden');
    assert.ok(['0', ''].includes((await form(room))['muc#roomconfig_membersonly']));
    await submit(room, ON);
    assert.equal((await form(room))['muc#roomconfig_membersonly'], '1');
    assert.equal(await form(`nowhere@${d.muc}`), 'item-not-found');
    await destroy(room);
  });

  it('fact 10: a change is told everyone inside by 104, and disco#info then says what the room is', async () => {
    const room = await d.room();
    const [host, guest] = [await d.host(room), await d.guest(room, 'guest')];
    await guest.enter(room);
    await grant(room, guest);
    const lobby = `${room.split('@')[0]}@lobby.${d.domain}`;
    for (const [values, feature, other, address] of [
      [{ 'muc#roomconfig_roomname': 'one', 'muc#roomconfig_membersonly': '0' }, 'muc_open', 'muc_membersonly', ''],
      [ON, 'muc_membersonly', 'muc_open', lobby],
      [{ 'muc#roomconfig_roomname': 'two', ...ON }, 'muc_membersonly', 'muc_open', lobby],
      [{ 'muc#roomconfig_membersonly': '0' }, 'muc_open', 'muc_membersonly', ''],
    ]) {
      const from = [host.received.length, guest.received.length];
      await submit(room, values);
      for (const [index, client] of [host, guest].entries()) {
        const told = await client.waitFor('104', of.configChanged(room), undefined, from[index]);
        assert.equal(told.attrs.type, 'groupchat');
        const info = (await client.info(room)).getChild('query', NS.info);
        const features = info.getChildren('feature').map((el) => el.attrs.var);
        assert.deepEqual([features.includes(feature), features.includes(other)], [true, false], String(info));
        assert.equal(fields(info.getChild('x', NS.form))['muc#roominfo_lobbyroom'] || '', address);
      }
    }
    await destroy(room);
  });

  it('fact 10: but for whose addresses are shown, and where nothing changed: no 104', async () => {
    const room = await d.room();
    const host = await d.host(room);
    await submit(room, { 'muc#roomconfig_whois': 'moderators', 'muc#roomconfig_membersonly': '0' });
    await host.waitFor('173', (el) => el.is('message') && hasStatus(el, 173));
    await submit(room, { 'muc#roomconfig_whois': 'moderators', 'muc#roomconfig_membersonly': '0' });
    await host.ping();
    assert.ok(!host.heard(of.configChanged(room)), host.tail());
  });

  it('facts 7, 13: turning on: 104 inside, 407 with the lobby outside, and the lobby can be joined', async () => {
    const room = await d.room();
    const host = await d.host(room);
    await submit(room, ON);
    await host.waitFor('104', of.configChanged(room));
    await host.waitFor('metadata', (el) => el.is('message') && /lobbyEnabled/.test(el.getChildText('json-message') || ''));
    const guest = await d.guest(room, 'guest');
    const { el, lobby } = await refusal(guest, room);
    assert.equal(lobby, `${room.split('@')[0]}@lobby.${d.domain}`);
    assert.deepEqual([error(el).type, el.getChild('error').attrs.code, error(el).condition], ['auth', '407', 'registration-required']);
    assert.equal(el.getChildText('lobbyroom'), lobby);
    await guest.enter(lobby);
    await destroy(room);
  });

  it('fact 30: a join without a display name is 406, whatever the user is not', async () => {
    const room = await d.room();
    await submit(room, ON);
    const { el } = await refusal(await d.guest(room), room, { name: null });
    assert.deepEqual([el.getChild('error').attrs.code, error(el).condition], ['406', 'not-acceptable']);
    assert.equal(el.getChild('error').getChild('displayname-required', NS.jitsi).attrs.lobby, 'true');
    await destroy(room);
  });

  it('fact 8: a health-check room is never given a lobby, not even members-only', async () => {
    const room = await d.room('__jicofo-health-check-1');
    await submit(room, { 'muc#roomconfig_membersonly': '1' });
    assert.equal((await refusal(await d.guest(room, 'guest'), room)).lobby, undefined);
    await destroy(room);
  });

  it('fact 11: occupants by role, to an admin outside; full JIDs are refused', async () => {
    const room = await d.room();
    const guest = await d.guest(room);
    await guest.enter(room);
    const listed = async (role) => {
      const answer = await (await admin()).iq('get', room, adminItem({ role }));
      ok(answer);
      return answer.getChild('query', NS.admin).getChildren('item').map((entry) => entry.attrs);
    };
    const participants = await listed('participant');
    assert.deepEqual(participants.map((entry) => [entry.nick, entry.affiliation, entry.jid]), [[guest.nick, 'none', guest.jid]]);
    assert.deepEqual((await listed('moderator')).map((entry) => entry.nick), ['focus']);
    const full = await (await admin()).iq('set', room, adminItem({ affiliation: 'member', jid: guest.jid }));
    assert.equal(error(full).condition, 'jid-malformed');
  });

  it('facts 11, 18: of several items Jitsi\'s module reads all and answers each, plain Prosody reads one', async () => {
    const room = await d.room();
    const asker = await admin();
    const jids = ['a', 'b', 'c'].map((name) => `${name}@${d.domain}`);
    const items = jids.map((jid) => `<item affiliation='member' jid='${jid}'/>`).join('');
    asker.raw(`<iq xmlns='jabber:client' type='set' id='several' to='${room}'><query xmlns='${NS.admin}'>${items}</query></iq>`);
    await asker.ping();
    const answers = asker.received.filter(({ el }) => el.attrs.id === 'several' && el.attrs.type === 'result');
    const list = await asker.iq('get', room, adminItem({ affiliation: 'member' }));
    const members = list.getChild('query', NS.admin).getChildren('item').map((entry) => entry.attrs.jid).sort();
    if (hasJitsiPlugins) assert.deepEqual([answers.length, members], [3, jids]);
    else assert.deepEqual([answers.length, members], [1, jids.slice(0, 1)]);
  });

  it('fact 12: an IQ to the lobby component gets no answer, but disco#info does', async () => {
    const room = await d.room();
    await submit(room, ON);
    const lobby = `${room.split('@')[0]}@lobby.${d.domain}`;
    const asker = await admin();
    asker.raw(`<iq xmlns='jabber:client' type='get' id='lost' to='${lobby}'>${adminItem({ role: 'participant' })}</iq>`);
    await asker.ping();
    assert.ok(!asker.heard((el) => el.attrs.id === 'lost'));
    assert.equal((await asker.info(lobby)).attrs.type, 'result');
    await destroy(room);
  });

  it('fact 14: focus cannot turn the lobby on', async () => {
    const room = await d.room();
    ok(await (await d.focus()).iq('set', room, formSubmit({ 'muc#roomconfig_membersonly': '1' })));
    assert.equal((await refusal(await d.guest(room, 'guest'), room)).lobby, undefined);
  });

  it('fact 15: who is no member is thrown out when it turns on, who is made one before stays', async () => {
    const room = await d.room();
    const [stays, goes] = [await d.guest(room, 'stays'), await d.guest(room, 'goes')];
    await stays.enter(room);
    await goes.enter(room);
    await grant(room, stays);
    await submit(room, ON);
    assert.ok(hasStatus(await goes.waitFor('being thrown out', of.left(`${room}/${goes.nick}`)), 322));
    await stays.ping();
    assert.ok(!stays.heard(of.left(`${room}/${stays.nick}`)));
    await destroy(room);
  });

  it('fact 16: a form without membersonly turns the lobby off, and the room stays closed without one', async () => {
    const room = await d.room();
    await submit(room, ON);
    const waiting = await d.guest(room, 'waiting');
    const lobby = await waiting.enterLobby(room);
    await submit(room, { 'muc#roomconfig_persistentroom': '1' });
    const gone = await waiting.waitFor('the end of the lobby', of.left(`${lobby}/${waiting.nick}`));
    assert.ok(gone.getChild('x', NS.user).getChild('destroy'));
    const next = await refusal(await d.guest(room, 'next'), room);
    assert.equal(next.error.condition, 'registration-required');
    assert.equal(next.lobby, undefined);
    await destroy(room);
  });

  it('fact 17: a persistent room outlives everybody, with its lobby, until it is destroyed', async () => {
    const room = await d.room();
    await submit(room, ON);
    const waiting = await d.guest(room, 'waiting');
    const lobby = await waiting.enterLobby(room);
    await (await d.focus()).leaveRoom(room);
    await waiting.ping();
    assert.equal((await form(room))['muc#roomconfig_membersonly'], '1');
    await submit(room, { ...ON, 'muc#roomconfig_persistentroom': '0' });
    assert.equal(typeof await form(room), 'object', 'persistentroom=0 does not remove an empty room');
    await destroy(room);
    const gone = await waiting.waitFor('the end of the lobby', of.left(`${lobby}/${waiting.nick}`));
    assert.equal(gone.getChild('x', NS.user).getChild('destroy').getChildText('reason'), 'Lobby room closed.');
    assert.equal(await form(room), 'item-not-found');
  });

  it('fact 18: a grant is announced, works for the absent, and a kick takes it away', async () => {
    const room = await d.room();
    const host = await d.host(room);
    await submit(room, ON);
    const user = await d.guest(room, 'user');
    await grant(room, user);
    await user.enter(room);
    await grant(room, user);
    await host.waitFor('the second, needless grant', (el) => of.presence(`${room}/${user.nick}`)(el) && item(el).affiliation === 'member');
    await user.leave(room);
    assert.equal(item((await user.enter(room)).el).affiliation, 'member', 'it survives leaving');
    host.kick(room, user.nick);
    assert.ok(hasStatus(await user.waitFor('the kick', of.left(`${room}/${user.nick}`)), 307));
    const back = await user.join(room);
    assert.equal(back.entered, false, `a kick takes the membership: ${back.el}`);
    await destroy(room);
  });

  it('fact 18: a mediated invite makes a member too', async () => {
    const room = await d.room();
    await submit(room, ON);
    const user = await d.guest(room, 'user');
    (await admin()).approve(room, bare(user.jid));
    await (await admin()).ping();
    await user.enter(room);
    await destroy(room);
  });

  it('fact 19: a moderator approves with an invitation and denies with a kick in the lobby', async () => {
    const room = await d.room();
    const host = await d.host(room);
    await submit(room, ON);
    const [good, bad] = [await d.guest(room, 'good'), await d.guest(room, 'bad')];
    const lobby = await good.enterLobby(room);
    await bad.enterLobby(room);
    await host.enter(lobby);
    await host.waitFor('who waits', of.presence(`${lobby}/${bad.nick}`));
    assert.ok(!good.heard(of.presence(`${lobby}/${bad.nick}`)), 'those who wait do not see each other');
    host.approve(room, good.jid);
    await good.waitFor('the invitation', of.invitation(room));
    await good.enter(room);
    host.kick(lobby, bad.nick);
    assert.ok(hasStatus(await bad.waitFor('the denial', of.left(`${lobby}/${bad.nick}`)), 307));
    await destroy(room);
  });
});
