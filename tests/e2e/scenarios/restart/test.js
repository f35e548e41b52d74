// Vestibule is stopped and started again: rooms are given back before, and who resumes his session
// through the new process is known to it before his next join is judged.
'use strict';
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { scenario } = require('../../lib/scenario');
const { NS, of } = require('../../lib/stanza');

const BROKEN = /\[state\] state\.file .*(until then no room is kept|what is held is written anew)/;

// Streams end over limits.drain, then it starts anew.
async function restart(d) {
  assert.deepEqual(await d.vestibule.stop(d.options.expect), []);
  await d.vestibule.start();
}

scenario('a restart', { account: { stall: 7000 } }, (d, it) => {
  it('a room with people inside is no longer kept, and ends with the last of them', async () => {
    const room = await d.room();
    const host = await d.host(room);
    await host.enableResumption();
    const asker = await d.asker(room, 'asker');
    await asker.enterLobby(room);
    assert.equal((await d.state(room)).persistent, true);
    await restart(d);
    assert.equal((await d.state(room)).persistent, false);
    assert.equal((await d.state(room)).members_only, true, 'the lobby stays on');
    const back = await d.connect({ room, as: {}, resumes: host, name: 'host' });
    await back.leave(room, host.nick);
    await (await d.focus()).leaveRoom(room);
    assert.equal(await d.state(room), undefined);
  });

  it('a room where only one waits is destroyed', async () => {
    const room = await d.room();
    const asker = await d.asker(room, 'asker');
    await asker.enterLobby(room);
    await (await d.focus()).leaveRoom(room);
    assert.ok(await d.state(room));
    await restart(d);
    assert.equal(await d.state(room), undefined);
  });

  it('a session resumed through the new process is as before, and its join turns the lobby on', async () => {
    const room = await d.room();
    const host = await d.host(room);
    await host.enableResumption();
    const asker = await d.asker(room, 'asker');
    await asker.enableResumption();
    await asker.ping();
    await restart(d);
    const back = await d.connect({ room, as: { lobby: true }, resumes: asker, name: 'asker' });
    await back.enterLobby(room);
    await back.ping();
    const from = back.received.length;
    back.raw(`<r xmlns='${NS.sm}'/>`);
    const ack = await back.waitFor('<a/>', of.named('a', NS.sm), undefined, from);
    assert.equal(Number(ack.attrs.h), back.sm.outbound, 'our own ping is in nobody\'s count');
    assert.ok(!back.heard((el) => el.is('iq') && /^v[0-9a-f]{16}$/.test(el.attrs.id)), 'its answer came to the client');
    const hostBack = await d.connect({ room, as: {}, resumes: host, name: 'host' });
    await hostBack.ping();
    assert.ok(!hostBack.heard(of.left(`${room}/${host.nick}`)), 'the host was thrown out');
  });
});

// Users who talk meanwhile would be strangers to the next process, who may wait anywhere.
scenario('a restart while one waits', { expect: [BROKEN] }, (d, it) => {
  it('a room where only one waits who comes back is there still, with its lobby', async () => {
    const room = await d.room();
    const asker = await d.asker(room, 'asker');
    await asker.enableResumption();
    const lobby = await asker.enterLobby(room);
    await asker.ping();
    await (await d.focus()).leaveRoom(room);
    for (let i = 0; i < 2; i++) { // the second time he is not back yet
      await restart(d);
      await d.vestibule.waitForLog(new RegExp(`was held when .* room=${room}`));
      assert.deepEqual(await d.state(room).then((s) => [s.persistent, s.members_only]), [true, true]);
    }
    const back = await d.connect({ room, as: { lobby: true }, resumes: asker, name: 'asker' });
    await back.ping();
    assert.ok(!back.heard(of.left(`${lobby}/${asker.nick}`)), 'the lobby was closed on him');
    const host = await d.host(room);
    await host.approve(room, asker.jid);
    await back.waitFor('the invitation', of.invitation(room));
    await back.enter(room);
    await back.close();
    await host.close();
    await d.vestibule.waitForLog(new RegExp(`destroyed room=${room}`), { timeout: 30000 });
    assert.equal(await d.state(room), undefined);
  });

  it('a room where one waits who does not come back, and a host is inside, is kept, then destroyed', async () => {
    const room = await d.room();
    const host = await d.host(room);
    await host.enableResumption();
    const asker = await d.asker(room, 'asker');
    await asker.enableResumption();
    await asker.enterLobby(room);
    await asker.ping();
    await restart(d);
    assert.equal((await d.state(room)).persistent, true);
    const back = await d.connect({ room, as: {}, resumes: host, name: 'host' });
    await back.leave(room, host.nick);
    await (await d.focus()).leaveRoom(room);
    await back.close();
    await d.vestibule.waitForLog(new RegExp(`destroyed room=${room}`), { timeout: 30000 });
  });

  it('without a state file that works, a room where one waits is destroyed all the same', async () => {
    const { file } = d.vestibule.config.state;
    const room = await d.room();
    const asker = await d.asker(room, 'asker');
    await asker.enableResumption();
    await asker.enterLobby(room);
    await asker.ping();
    await (await d.focus()).leaveRoom(room);
    for (const name of fs.readdirSync(path.dirname(file))) {
      if (name.startsWith('state.db') && !name.endsWith('-rooms')) fs.rmSync(path.join(path.dirname(file), name));
    }
    fs.mkdirSync(file);
    await d.vestibule.waitForLog(BROKEN);
    assert.deepEqual(await d.vestibule.stop(d.options.expect), []);
    assert.equal(await d.state(room), undefined);
    fs.rmdirSync(file);
    await d.vestibule.start();
  });
});
