// A room that does not exist yet.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { of } = require('../../lib/stanza');

scenario('a missing room is refused', {}, (d, it) => {
  it('a lobby user is told so, and the room is not made', async () => {
    const room = `missing1@${d.muc}`;
    const { error } = await (await d.asker(room, 'asker')).join(room);
    assert.equal(error.type, 'cancel');
    assert.equal(error.condition, 'item-not-found');
    assert.equal(await d.state(room), undefined);
  });

  it('everyone else hears it from Prosody', async () => {
    const room = `missing2@${d.muc}`;
    for (const user of [await d.plain(room, 'plain'), await d.guest(room, 'guest')]) {
      assert.equal((await user.join(room)).error.condition, 'not-allowed');
    }
  });

  it('when it comes to exist the next join finds it', async () => {
    const room = `missing3@${d.muc}`;
    const asker = await d.asker(room, 'asker');
    await asker.join(room);
    await d.room('missing3');
    await asker.enterLobby(room);
  });
});

// Where Jitsi's muc_meeting_id is loaded every join waits until Jicofo is in the room, the one that
// makes it too: creating rooms is for servers without it.
const options = { config: { lobby: { missing_room: 'create' } }, prosody: { PROSODY_WITHOUT: 'muc_meeting_id' } };

scenario('lobby.missing_room: create', options, (d, it) => {
  it('a lobby user\'s room is made, with its lobby, and released when he leaves', async () => {
    const room = `fresh1@${d.muc}`;
    const asker = await d.asker(room, 'asker');
    const lobby = await asker.enterLobby(room);
    assert.deepEqual(await d.state(room).then((s) => [s.members_only, s.persistent]), [true, true]);
    await asker.leave(lobby);
    await d.vestibule.waitForLog(new RegExp(`(released|destroyed).*room=${room}`), { timeout: 5000 });
    assert.equal(await d.state(room), undefined);
  });

  it('a moderator who comes then finds him waiting', async () => {
    const room = `fresh2@${d.muc}`;
    const asker = await d.asker(room, 'asker');
    const lobby = await asker.enterLobby(room);
    await (await d.focus()).enter(room, { nick: 'focus', name: 'focus' });
    const host = await d.host(room);
    await host.enter(lobby);
    await host.waitFor('who waits', of.presence(`${lobby}/${asker.nick}`));
  });
});
