// Vestibule is stopped and started again: rooms are given back before, and who resumes his session
// through the new process is known to it before his next join is judged.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { NS, of } = require('../../lib/stanza');

// Streams end over limits.drain, then it starts anew.
scenario('a restart', { account: { stall: 7000 } }, (d, it) => {
  async function restart() {
    assert.deepEqual(await d.vestibule.stop(d.options.expect), []);
    await d.vestibule.start();
  }

  it('a room with people inside is no longer kept, and ends with the last of them', async () => {
    const room = await d.room();
    const host = await d.host(room);
    await host.enableResumption();
    const asker = await d.asker(room, 'asker');
    await asker.enterLobby(room);
    assert.equal((await d.state(room)).persistent, true);
    await restart();
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
    await restart();
    assert.equal(await d.state(room), undefined);
  });

  it('a session resumed through the new process is as before, and its join turns the lobby on', async () => {
    const room = await d.room();
    const host = await d.host(room);
    await host.enableResumption();
    const asker = await d.asker(room, 'asker');
    await asker.enableResumption();
    await asker.ping();
    await restart();
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
