// A Prosody that makes no lobby, or whose owner form is not what it should be: nobody is locked out for
// long, the log says once what is missing, lobby users are refused and all others go on.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { item } = require('../../lib/stanza');

const NO_LOBBY = /WARN .*lobby users are refused.*Prosody made no lobby.*muc_lobby_rooms/;
const refused = ({ error }) => assert.deepEqual([error.type, error.condition], ['wait', 'service-unavailable']);

const ACCOUNT = { stall: 0 }; // who only talks notices nothing

scenario('Prosody has no lobby module', {
  prosody: { PROSODY_WITHOUT: 'muc_lobby_rooms' }, account: ACCOUNT, expect: [NO_LOBBY, /service account is not logged in/],
}, (d, it) => {
  let room;
  // Members-only and no lobby: a second submit of ours is tried before it is taken back.
  const submitted = (from) => d.vestibule.waitForLog(/lobby room was missing/, { from });

  it('the second who meets no lobby has it undone; who is inside stays', async () => {
    room = await d.room();
    const inside = await d.guest(room, 'inside');
    await inside.enter(room);
    const from = d.vestibule.lines.length;
    const asker = await d.asker(room, 'asker');
    const first = await asker.join(room);
    assert.equal(first.error.condition, 'registration-required');
    assert.equal(first.lobby, undefined);
    await submitted(from);
    const second = await (await d.guest(room, 'second')).join(room);
    assert.equal(second.error.condition, 'registration-required');
    await d.vestibule.waitForLog(NO_LOBBY, { from });
    await d.vestibule.waitForLog(/no longer members-only.*room=/, { from });
    assert.deepEqual(await d.state(room).then((s) => [s.members_only, s.persistent]), [false, false]);
    await inside.ping();
    assert.ok(!inside.heard((el) => el.is('presence') && el.attrs.type === 'unavailable'), inside.tail());
  });

  it('from then on guests and plain users come in, lobby users are refused, and nothing is made members-only', async () => {
    for (const where of [room, await d.room()]) {
      refused(await (await d.asker(where, 'asker')).join(where));
      await (await d.guest(where, 'guest')).enter(where);
      assert.equal(item((await (await d.plain(where, 'plain')).enter(where)).el).affiliation, 'none');
      assert.equal((await d.state(where)).members_only, false);
    }
    assert.equal(d.vestibule.lines.filter((line) => NO_LOBBY.test(line)).length, 1);
  });

  it('it is tried again when the service account logs in anew, and said once', async () => {
    const from = d.vestibule.lines.length;
    await d.prosody.control('close', { jid: d.service });
    await d.vestibule.waitForLog(/logged in as/, { from });
    const other = await d.room();
    assert.equal((await (await d.asker(other, 'asker')).join(other)).error.condition, 'registration-required');
    await submitted(from);
    assert.equal((await (await d.asker(other, 'next')).join(other)).error.condition, 'registration-required');
    await d.vestibule.waitForLog(/no longer members-only/, { from });
    await (await d.guest(other, 'guest')).enter(other);
    refused(await (await d.asker(other, 'asker')).join(other));
    assert.equal(d.vestibule.lines.filter((line) => NO_LOBBY.test(line)).length, 1);
  });
});

scenario('the owner form lacks the field', { account: ACCOUNT, expect: [/no members-only field/] }, (d, it) => {
  it('lobby users are refused at once, all others go on, and the log says it; afterwards lobbies work', async () => {
    const room = await d.room();
    await d.prosody.control('hide', { field: 'muc#roomconfig_membersonly' });
    const from = d.vestibule.lines.length;
    refused(await (await d.asker(room, 'asker')).join(room, { timeout: 2000 }));
    await d.vestibule.waitForLog(/WARN .*room request failed.*the owner form has no members-only field/, { from });
    await (await d.guest(room, 'guest')).enter(room);
    await (await d.plain(room, 'plain')).enter(room);
    assert.equal((await d.state(room)).members_only, false);
    await d.prosody.control('hide');
    await (await d.asker(room, 'again')).enterLobby(room);
  });
});
