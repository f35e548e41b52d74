// A room that was made persistent for its lobby is kept while someone is in it or waits, and no longer.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { within } = require('../../lib/wait');
const { of, item, NS, joinStanza, formSubmit } = require('../../lib/stanza');

const GONE_MS = 5000;

scenario('keeping and releasing the room', {}, (d, it) => {
  // The room is destroyed within the time the design promises, and stays away.
  async function isReleased(room, from) {
    await d.vestibule.waitForLog(new RegExp(`(released|destroyed|forgotten).*room=${room}`), { from, timeout: GONE_MS });
    assert.equal(await d.state(room), undefined);
    assert.equal((await d.prosody.control('rooms'))[`${room.split('@')[0]}@lobby.${d.domain}`], undefined, 'its lobby');
  }
  // A room with the lobby on, one waiting, focus gone.
  async function onlyWaiting() {
    const room = await d.room();
    const host = await d.host(room);
    const asker = await d.asker(room, 'asker');
    const lobby = await asker.enterLobby(room);
    await host.leave(room);
    await (await d.focus()).leaveRoom(room);
    return { room, host, asker, lobby };
  }

  it('everybody leaves while one waits; the host comes back and lets him in', async () => {
    const { room, asker, lobby } = await onlyWaiting();
    await asker.ping();
    assert.ok(!asker.heard(of.left(`${lobby}/${asker.nick}`)), 'the lobby went away');
    assert.equal((await d.state(room)).members_only, true);
    await (await d.focus()).enter(room, { nick: 'focus', name: 'focus' });
    const host = await d.host(room);
    await host.enter(lobby);
    await host.waitFor('who waits', of.presence(`${lobby}/${asker.nick}`));
    host.approve(room, asker.jid);
    await asker.waitFor('the invitation', of.invitation(room));
    assert.equal(item((await asker.enter(room)).el).affiliation, 'member');
  });

  it('the last one in the lobby leaves an empty room, and it is destroyed', async () => {
    const { room, asker, lobby } = await onlyWaiting();
    const from = d.vestibule.lines.length;
    await asker.leave(lobby);
    await isReleased(room, from);
  });

  it('the last connection breaks, and it is destroyed', async () => {
    const { room, asker } = await onlyWaiting();
    const from = d.vestibule.lines.length;
    await asker.drop();
    await isReleased(room, from);
  });

  it('the last one inside leaves, focus a moment later, and it is destroyed', async () => {
    const room = await d.room();
    const plain = await d.plain(room, 'plain');
    const asker = await d.asker(room, 'asker');
    const lobby = await asker.enterLobby(room);
    await plain.enter(room);
    await asker.leave(lobby);
    const from = d.vestibule.lines.length;
    await plain.leave(room);
    await (await d.focus()).leaveRoom(room);
    await isReleased(room, from);
  });

  it('somebody inside who is not ours keeps it: it is not destroyed under him', async () => {
    const room = await d.room();
    const stranger = await d.connect({ room, name: 'stranger', as: {}, via: 'prosody' });
    await stranger.enter(room);
    const asker = await d.asker(room, 'asker');
    const lobby = await asker.enterLobby(room);
    await (await d.focus()).leaveRoom(room);
    await asker.leave(lobby);
    await asker.close();
    // What Vestibule asks when its own are gone is answered before this.
    await (await d.guest(undefined, 'clock')).ping();
    assert.ok(await d.state(room));
    assert.ok(!stranger.heard(of.left(`${room}/${stranger.nick}`)));
    const from = d.vestibule.lines.length;
    await stranger.leave(room);
    await isReleased(room, from);
  });

  it('a user who may resume counts as present', async () => {
    const { room, asker, lobby } = await onlyWaiting();
    const second = await d.asker(room, 'second');
    await second.enableResumption();
    await second.enterLobby(room);
    await second.drop();
    await asker.leave(lobby);
    await asker.ping();
    const from = d.vestibule.lines.length;
    const back = await d.connect({ room, as: { lobby: true }, resumes: second });
    await back.ping();
    assert.ok((await d.state(room)).members_only, 'the room is still there');
    await back.leave(lobby);
    await isReleased(room, from);
  });

  it('a connection that breaks right behind its join leaves nothing behind', async () => {
    const room = await d.room();
    const asker = await d.asker(room, 'asker');
    const from = d.vestibule.lines.length;
    asker.raw(joinStanza(room, { nick: 'me', name: 'me' }));
    await asker.drop();
    await (await d.focus()).leaveRoom(room);
    // Whether or not the lobby was turned on before the end was noticed, the room does not stay.
    const clock = await d.guest(undefined, 'clock');
    const gone = (async () => {
      for (;;) {
        if (!(await d.state(room))) return;
        await clock.ping();
      }
    })();
    await within(GONE_MS, `the end of ${room}`, gone, () => d.vestibule.lines.slice(from).join('\n'));
  });

  it('a moderator turns the lobby off: the room is still released when all are gone', async () => {
    const room = await d.room();
    const host = await d.host(room);
    const asker = await d.asker(room, 'asker');
    await asker.enterLobby(room);
    assert.equal((await host.iq('set', room, formSubmit({ 'muc#roomconfig_membersonly': '0' }))).attrs.type, 'result');
    await asker.close();
    const from = d.vestibule.lines.length;
    await host.leave(room);
    await (await d.focus()).leaveRoom(room);
    await isReleased(room, from);
  });

  it('a moderator who destroys the room himself takes the lobby along', async () => {
    const room = await d.room();
    const host = await d.host(room);
    const asker = await d.asker(room, 'asker');
    const lobby = await asker.enterLobby(room);
    await host.iq('set', room, `<query xmlns='${NS.owner}'><destroy/></query>`);
    await asker.waitFor('the end of the lobby', of.left(`${lobby}/${asker.nick}`));
    assert.equal(await d.state(room), undefined);
    await (await d.focus()).createRoom(room);
    await (await d.guest(room, 'guest')).enter(room);
    await (await d.asker(room, 'asker')).enterLobby(room);
  });
});

scenario('a room that is not to be kept', { config: { lobby: { persistent: false } } }, (d, it) => {
  it('lobby.persistent: false leaves persistence as it was', async () => {
    const room = await d.room();
    await (await d.asker(room, 'asker')).enterLobby(room);
    assert.deepEqual(await d.state(room).then((s) => [s.members_only, s.persistent]), [true, false]);
  });
});
