// Two instances in front of one Prosody, with one state file, and the users of a room on both: what
// nginx's hash $arg_room keeps from happening is no harm when it happens.
'use strict';
const assert = require('node:assert/strict');
const { after, before } = require('node:test');
const { scenario } = require('../../lib/scenario');
const { Vestibule } = require('../../lib/vestibule');
const { freePorts } = require('../../lib/ports');
const { within } = require('../../lib/wait');
const { of, item } = require('../../lib/stanza');
const { Meeting } = require('./meeting');

const GONE_MS = 20000;

// Who talks by one of them notices nothing but how busy all are.
scenario('two instances', { timeout: 240000, account: { stall: 2000, grace: 25000 } }, (d, it) => {
  let second;
  let ports;

  before(async () => {
    const [port] = await freePorts(1);
    second = new Vestibule({ dir: d.folder('second'), domain: d.domain, port, upstream: d.prosody.url },
      { state: { file: d.vestibule.config.state.file } });
    await second.start();
    ports = [d.ports.vestibule, port];
  });
  after(async () => assert.deepEqual(await second.stop(), []));

  const at = (index, options) => d.connect({ ...options, via: 'vestibule', port: ports[index] });

  // Nothing tells a test when a room is gone but Prosody itself.
  async function isGone(rooms) {
    let left;
    const gone = (async () => {
      do left = Object.entries(await d.prosody.control('rooms')).filter(([jid]) => rooms.includes(jid));
      while (left.length);
    })();
    const about = ({ lines }) => lines.filter((line) => left.some(([jid]) => line.includes(jid))).slice(-20);
    await within(GONE_MS, 'the end of all rooms', gone,
      () => [JSON.stringify(left), ...about(d.vestibule), 'second:', ...about(second)].join('\n'));
  }

  it('a lobby turned on by one throws nobody out who came by the other', async () => {
    const room = await d.room();
    const inside = [];
    for (let i = 0; i < 6; i++) inside.push(await at(i % 2, { room, name: `inside${i}`, ...(i % 3 && { as: {} }) }));
    for (const user of inside) await user.enter(room);
    await (await at(0, { room, name: 'asker', as: { lobby: true } })).enterLobby(room);
    for (const user of inside) await user.ping();
    for (const user of inside) assert.ok(!user.heard(of.left(`${room}/${user.nick}`)), `${user.name} was thrown out`);
    assert.equal(item((await (await at(1, { room, name: 'late', as: {} })).enter(room)).el).affiliation, 'member');
    await (await at(1, { room, name: 'guest' })).enterLobby(room);
  });

  it('nor anybody who comes by the other at that very moment', async () => {
    const joining = await Promise.all(Array.from({ length: 8 }, (_, i) => at(1, { room: '*', name: `joins${i}`, ...(i % 2 && { as: {} }) })));
    const askers = await Promise.all([0, 1].map((i) => at(i, { room: '*', name: `asker${i}`, as: { lobby: true } })));
    for (let round = 0; round < 12; round++) {
      const room = await d.room();
      const first = joining.slice(0, round % joining.length);
      await Promise.all(first.map((user) => user.enter(room)));
      const later = joining.slice(first.length).map((user) => user.join(room));
      const lobbies = await Promise.all(askers.map((asker) => asker.enterLobby(room)));
      const came = await Promise.all(later);
      for (const user of joining) await user.ping();
      for (const user of joining) assert.ok(!user.heard(of.left(`${room}/${user.nick}`)), `${user.name} was thrown out`);
      came.forEach((one, i) => assert.ok(one.entered || (first.length + i) % 2 === 0, `a plain user met the lobby: ${one.el}`));
      await Promise.all(askers.map((asker, i) => asker.leave(lobbies[i])));
      await Promise.all(joining.map((user) => user.ping()));
      for (const user of joining) user.raw(`<presence xmlns='jabber:client' to='${room}/${user.nick}' type='unavailable'/>`);
    }
  });

  it('who waits at the other outlives that everybody else has left, and the room ends with him', async () => {
    const room = await d.room();
    const host = await at(0, { room, name: 'host', as: {} });
    await host.enter(room);
    const asker = await at(0, { room, name: 'asker', as: { lobby: true } });
    const lobby = await asker.enterLobby(room);
    const waits = await at(1, { room, name: 'waits', as: { lobby: true } });
    await waits.enterLobby(room);
    const from = d.vestibule.lines.length;
    await asker.leave(lobby);
    await host.leave(room);
    await (await d.focus()).leaveRoom(room);
    await d.vestibule.waitForLog(/held by another instance/, { from });
    await second.waitForLog(new RegExp(`was held.*room=${room}`));
    await waits.ping();
    assert.ok(!waits.heard(of.left(`${lobby}/${waits.nick}`)), 'the lobby went away');
    assert.equal((await d.state(room)).persistent, true);
    await (await d.focus()).enter(room, { nick: 'focus', name: 'focus' });
    await host.enter(room);
    await (await d.focus()).makeModerator(room, host);
    host.approve(room, waits.jid);
    await waits.waitFor('the invitation', of.invitation(room));
    await waits.leave(lobby);
    await waits.enter(room);
    await waits.leave(room);
    await host.leave(room);
    await (await d.focus()).leaveRoom(room);
    await isGone([room, lobby]);
  });

  for (const seed of [1, 2]) {
    it(`people who come and go at random, seed ${process.env.SEED || seed}`, async () => {
      const meeting = await new Meeting(d, { ports, seed: Number(process.env.SEED || seed), steps: Number(process.env.STEPS || 200) }).run();
      assert.deepEqual(meeting.wrong, []);
      assert.ok(meeting.count.entered > 20 && meeting.count.waited > 5, JSON.stringify(meeting.count));
      const lobbies = meeting.rooms.map(({ jid }) => jid.replace(d.muc, `lobby.${d.domain}`));
      await isGone([...meeting.rooms.map(({ jid }) => jid), ...lobbies]);
    });
  }
});
