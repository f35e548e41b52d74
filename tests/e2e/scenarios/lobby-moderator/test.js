// A lobby is also the moderator's: what he does by hand goes together with what tokens do.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { of, item, formSubmit } = require('../../lib/stanza');

scenario('the moderator\'s own hand', {}, (d, it) => {
  const set = async (room, client, values) => {
    const answer = await client.iq('set', room, formSubmit(values));
    assert.equal(answer.attrs.type, 'result', String(answer));
  };
  const ON = { 'muc#roomconfig_membersonly': '1' };
  const OFF = { 'muc#roomconfig_membersonly': '0' };

  it('he turns it off, and the next lobby user turns it on again', async () => {
    const room = await d.room();
    const host = await d.host(room);
    const first = await d.asker(room, 'first');
    const lobby = await first.enterLobby(room);
    await set(room, host, OFF);
    await first.waitFor('the end of the lobby', of.left(`${lobby}/${first.nick}`));
    await (await d.guest(room, 'guest')).enter(room);
    await (await d.asker(room, 'second')).enterLobby(room);
    await host.ping();
    assert.ok(!host.heard(of.left(`${room}/${host.nick}`)));
    assert.equal((await d.state(room)).persistent, true);
  });

  it('he turns it on: plain users pass, lobby users and guests wait, and it is not kept', async () => {
    const room = await d.room();
    const host = await d.host(room);
    await set(room, host, ON);
    assert.equal(item((await (await d.plain(room, 'plain')).enter(room)).el).affiliation, 'member');
    await (await d.guest(room, 'guest')).enterLobby(room);
    await (await d.asker(room, 'asker')).enterLobby(room);
    assert.equal((await d.state(room)).persistent, false);
  });

  it('one who is no moderator cannot turn it off, and nothing is thought to be off', async () => {
    const room = await d.room();
    await (await d.asker(room, 'asker')).enterLobby(room);
    const plain = await d.plain(room, 'plain');
    await plain.enter(room);
    assert.equal((await plain.iq('set', room, formSubmit(OFF))).attrs.type, 'error');
    await (await d.asker(room, 'next')).enterLobby(room);
    await (await d.guest(room, 'guest')).enterLobby(room);
  });

  it('a form that forgot the lobby leaves the room closed without one: the next lobby user mends it', async () => {
    const room = await d.room();
    const host = await d.host(room);
    const first = await d.asker(room, 'asker');
    const lobby = await first.enterLobby(room);
    await set(room, host, { 'muc#roomconfig_roomname': 'renamed' });
    await first.waitFor('the end of the lobby', of.left(`${lobby}/${first.nick}`));
    await (await d.asker(room, 'next')).enterLobby(room);
    assert.ok((await d.state(room)).lobby);
    await host.ping();
    assert.ok(!host.heard(of.left(`${room}/${host.nick}`)));
  });

  it('turned off and on many times, nobody who asks for the lobby is let in', async () => {
    const room = await d.room();
    const host = await d.host(room);
    for (let round = 0; round < 6; round++) {
      const asker = await d.asker(room, `asker${round}`);
      await set(room, host, round % 3 === 1 ? ON : OFF);
      await asker.enterLobby(room);
    }
    await host.ping();
    assert.ok(!host.heard(of.left(`${room}/${host.nick}`)));
  });

  it('turned off at the very moment a lobby user joins, he is not let in', async () => {
    const room = await d.room();
    const host = await d.host(room);
    for (let round = 0; round < 12; round++) {
      const asker = await d.asker(room, `asker${round}`);
      if (round === 0) await asker.enterLobby(room);
      const [result] = await Promise.all([asker.join(room, { nick: `late${round}` }), set(room, host, OFF)]);
      assert.ok(!result.entered, `round ${round}: inside a room without a lobby`);
      await (await d.asker(room, `next${round}`)).enterLobby(room);
    }
  });
});
