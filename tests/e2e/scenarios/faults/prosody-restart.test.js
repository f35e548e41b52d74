// Prosody is stopped and started again: all rooms and sessions are gone. Clients hear what a blind proxy
// would tell them, and nothing that was known of the rooms before is believed afterwards.
'use strict';
const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const path = require('node:path');
const { scenario } = require('../../lib/scenario');
const { NS, of, item } = require('../../lib/stanza');
const { within } = require('../../lib/wait');

const EXPECTED = [/service account is not logged in/, /PROSODY_(LOST|DOWN)/, /Prosody cannot be reached/];

// From its stop until it runs again; who talks begins a new session then. Its start alone may take that long here.
const ACCOUNT = { stall: 12000, renews: true };

scenario('Prosody is restarted', { expect: EXPECTED, account: ACCOUNT }, (d, it) => {
  let room, users;

  // The rooms in the state file, as its next reader would find them.
  const written = () => execFileSync('sqlite3', ['-readonly', path.join(d.dir, 'vestibule', 'state.db'), 'SELECT jid FROM room'],
    { encoding: 'utf8' }).split('\n').filter(Boolean);

  // The stream up to where a session would be resumed.
  async function returning(old) {
    const back = await d.socket({ name: old.name, parameters: { room: room.split('@')[0], previd: old.sm.id } });
    await back.startStream(d.domain);
    assert.equal((await back.authenticate()).name, 'success');
    await back.startStream(d.domain);
    back.raw(`<resume xmlns='${NS.sm}' previd='${old.sm.id}' h='${old.sm.inbound}'/>`);
    return back;
  }

  it('streams end as they do without Vestibule', async () => {
    room = await d.room();
    const pairs = []; // of users of both kinds, with and without a session that can be resumed
    for (const isResumable of [false, true]) {
      const [blind, ours] = [await d.connect({ room, via: 'prosody' }), await d.connect({ room })];
      if (isResumable) for (const user of [blind, ours]) await user.enableResumption();
      pairs.push([blind, ours]);
    }
    const host = await d.host(room);
    await host.enableResumption();
    const asker = await d.asker(room, 'asker');
    await asker.enableResumption();
    await asker.enterLobby(room);
    users = { host, asker };
    assert.deepEqual(written(), [room]);
    await d.prosody.stop();
    const end = async (user) => ({
      ...(await within(5000, 'the end of the stream', user.closed)),
      said: user.received.filter(({ el }) => ['error', 'close'].includes(el.getName()) && !el.is('presence')).map(({ raw }) => raw),
    });
    for (const [blind, ours] of pairs) assert.deepEqual(await end(ours), await end(blind));
    for (const user of [host, asker]) await end(user);
  });

  it('the service account is back by itself; resuming fails cleanly, and the stream goes on with a new session', async () => {
    const from = d.vestibule.lines.length;
    await d.prosody.start();
    d.jicofo = undefined;
    await d.vestibule.waitForLog(/logged in as/, { from, timeout: 20000 });
    for (const old of Object.values(users)) {
      const back = await returning(old);
      const failed = await back.waitFor('<failed/>', of.named('failed', NS.sm));
      assert.equal(failed.children[0].name, 'item-not-found');
      await back.bind();
      await back.ping();
      await back.close();
    }
  });

  it('the room that is gone is forgotten, in the state file too', async () => {
    await d.vestibule.waitForLog(new RegExp(`room is gone and forgotten.*room=${room}`), { timeout: 10000 });
    await within(5000, 'an empty state file', (async () => {
      while (written().length > 0) await d.prosody.control('rooms');
    })());
  });

  it('in a room of the same name everything is decided anew', async () => {
    await (await d.focus()).createRoom(room);
    const plain = await d.plain(room, 'plain');
    assert.equal(item((await plain.enter(room)).el).affiliation, 'none', 'nobody needs to be a member: there is no lobby');
    assert.equal((await d.state(room)).members_only, false);
    const from = d.vestibule.lines.length;
    const asker = await d.asker(room, 'asker');
    await asker.enterLobby(room);
    await d.vestibule.waitForLog(new RegExp(`lobby turned on.*room=${room}`), { from });
    await plain.ping();
    assert.ok(!plain.heard(of.left(`${room}/${plain.nick}`)));
  });
});

scenario('Prosody is killed and restarted', {
  expect: EXPECTED, prosody: { SMACKS_HIBERNATION: '2' }, account: ACCOUNT,
}, (d, it) => {
  it('streams break, and a room whose people never come back is forgotten once they could not resume', async () => {
    const room = await d.room();
    const asker = await d.asker(room, 'asker');
    await asker.enableResumption();
    await asker.enterLobby(room);
    const from = d.vestibule.lines.length;
    d.prosody.program.signal('SIGKILL');
    await d.prosody.program.exited;
    await within(5000, 'the end of the stream', asker.closed);
    await d.prosody.start();
    await d.vestibule.waitForLog(/logged in as/, { from, timeout: 20000 });
    await d.vestibule.waitForLog(new RegExp(`room is gone and forgotten.*room=${room}`), { from, timeout: 10000 });
    d.jicofo = undefined;
    await (await d.focus()).createRoom(room);
    await (await d.asker(room, 'asker')).enterLobby(room);
  });
});
