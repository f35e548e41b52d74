// A state file that answers late: another process keeps it locked. What waits for it meanwhile is not sent once
// the room has gone on without it, and nobody waits for it for long.
'use strict';
const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const path = require('node:path');
const { scenario } = require('../../lib/scenario');
const { item, of, joinStanza } = require('../../lib/stanza');
const { timed } = require('../../lib/wait');

const DOWN = /service account is not logged in/;
const NOT_WRITTEN = /ERROR .*state\.file .*until then no room is kept/;

// Locks the state file; what comes back lets go of it.
async function lock(d) {
  const sql = spawn('sqlite3', [path.join(d.dir, 'vestibule', 'state.db')]);
  const locked = new Promise((resolve) => { sql.stdout.once('data', resolve); });
  sql.stdin.write('BEGIN IMMEDIATE;\nSELECT \'locked\';\n');
  await locked;
  return () => sql.stdin.end('COMMIT;\n');
}

scenario('a state file that answers late', {
  account: { stall: 0 }, expect: [DOWN, NOT_WRITTEN], config: { log: { level: 'debug' }, lobby: { hold_timeout: '8s' } },
}, (d, it) => {
  async function loseService() {
    const from = d.vestibule.lines.length;
    assert.equal(await d.prosody.control('close', { jid: d.service }), 1);
    await d.vestibule.waitForLog(DOWN, { from });
    return from;
  }
  // The file is written again, and whatever was about to be sent then is.
  async function afterwards() {
    const other = await d.room();
    await (await d.asker(other, 'other')).enterLobby(other);
  }

  it('a form that waited when the service stream ended is not submitted on the next one', async () => {
    const room = await d.room();
    const inside = await d.guest(room, 'inside');
    await inside.enter(room);
    const late = await d.guest(room, 'late');
    const asker = await d.asker(room, 'asker');
    const release = await lock(d);
    const before = d.vestibule.lines.length;
    asker.raw(joinStanza(room, { nick: asker.nick, name: 'asker' }));
    await inside.waitFor('a membership', (el) => of.selfPresence(`${room}/${inside.nick}`)(el) && item(el).affiliation === 'member');
    await d.vestibule.waitForLog(/give an affiliation/, { from: before });
    const from = await loseService();
    asker.socket.terminate(); // nobody wants a lobby any more
    await d.vestibule.waitForLog(/logged in as/, { from });
    await late.enter(room);
    release();
    await afterwards();
    await late.ping();
    assert.equal((await d.state(room)).members_only, false);
    assert.ok(!late.heard(of.left(`${room}/${late.nick}`)), late.tail());
  });

  it('nor is a room destroyed that somebody came into meanwhile', async () => {
    const room = await d.room();
    const plain = await d.plain(room, 'plain');
    const asker = await d.asker(room, 'asker');
    const lobby = await asker.enterLobby(room);
    await (await d.focus()).leaveRoom(room);
    const release = await lock(d);
    const before = d.vestibule.lines.length;
    await asker.leave(lobby);
    await d.vestibule.waitForLog(/list the occupants/, { from: before });
    const from = await loseService();
    await (await d.focus()).enter(room, { nick: 'focus', name: 'focus' });
    await d.vestibule.waitForLog(/logged in as/, { from });
    await plain.enter(room);
    release();
    await afterwards();
    await plain.ping();
    assert.ok(await d.state(room));
    assert.ok(!plain.heard(of.left(`${room}/${plain.nick}`)), plain.tail());
  });

  it('a disk that stands still: lobbies work in seconds, without rooms that are kept', async () => {
    const [first, second] = [await d.room(), await d.room()];
    const askers = [await d.asker(first, 'asker'), await d.asker(second, 'asker')];
    const release = await lock(d);
    const from = d.vestibule.lines.length;
    // The worker waits for the one's room, and the other's waits for the worker.
    const entered = timed(Promise.all([askers[0].enterLobby(first), askers[1].enterLobby(second)]));
    const [, ms] = await entered;
    assert.ok(ms < 5000, `took ${ms} ms`);
    await d.vestibule.waitForLog(NOT_WRITTEN, { from });
    for (const room of [first, second]) {
      const { members_only, persistent } = await d.state(room);
      assert.deepEqual([members_only, persistent], [true, false]);
    }
    release();
    await d.vestibule.waitForLog(/state\.file .* can be written again/, { from, timeout: 60000 });
    const third = await d.room();
    await (await d.asker(third, 'asker')).enterLobby(third);
    assert.equal((await d.state(third)).persistent, true);
  });
});
