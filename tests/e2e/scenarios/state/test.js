// The process is killed at every point of a room's way: what the next start finds in the state file, and
// what becomes of the room.
'use strict';
const assert = require('node:assert/strict');
const { threads } = require('../../lib/measure');
const { scenario } = require('../../lib/scenario');
const { joinStanza, formSubmit } = require('../../lib/stanza');
const { Tally } = require('../../lib/tally');
const { within } = require('../../lib/wait');

const KEEPS = (text) => text.includes('muc#roomconfig_persistentroom');
const ASKS_WHO = (text) => /<item role=/.test(text);
const DESTROYS = (text) => text.includes('<destroy');

const KILLS = 5;
const FOUND_MS = 25000; // what an earlier process held is looked at after ten seconds

scenario('a crash', { recorder: true, timeout: 300000 }, (d, it) => {
  const held = (room) => new RegExp(`\\[state\\] a room was held when an earlier process ended.* room=${room}`);
  const log = (pattern, from = 0) => d.vestibule.waitForLog(pattern, { from, timeout: 30000 });

  // Kills it as soon as the service account has said such a thing. lost: Prosody never hears it.
  function killAt(predicate, { lost = false } = {}) {
    const { service } = d.recorder;
    return new Promise((resolve) => {
      service.up.onMessage(predicate, () => {
        if (lost) service.mute();
        resolve(d.vestibule.kill());
      });
    });
  }

  async function asking(room, name = 'asker') {
    const asker = await d.asker(room, name);
    asker.raw(joinStanza(room, { nick: asker.nick, name }));
    return asker;
  }

  async function leftByAll(room) {
    await (await d.focus()).leaveRoom(room);
  }

  it('before the form reached Prosody: the row was there, and the room is let go as it is', async () => {
    const room = await d.room();
    const killed = killAt(KEEPS, { lost: true });
    await asking(room);
    await killed;
    assert.equal((await d.state(room)).persistent, false);
    await d.vestibule.start();
    await log(held(room));
    await (await d.guest(room, 'guest')).enter(room); // still in use, and open
    for (const client of d.clients) if (client.name === 'guest') await client.leave(room);
    await leftByAll(room);
    await log(new RegExp(`forgotten.*room=${room}`));
    assert.equal(await d.state(room), undefined);
  });

  it('before the form was answered: held while in use, destroyed once it is empty', async () => {
    const room = await d.room();
    const killed = killAt(KEEPS);
    await asking(room);
    await killed;
    await d.vestibule.start();
    await log(held(room));
    assert.deepEqual(await d.state(room).then((s) => [s.persistent, s.members_only]), [true, true]);
    const late = await d.asker(room, 'late');
    await late.enterLobby(room);
    await late.close();
    await leftByAll(room);
    await log(new RegExp(`destroyed room=${room}`));
    assert.equal(await d.state(room), undefined);
  });

  it('with people inside and one who waits: both resume and see nothing of it', async () => {
    const room = await d.room();
    const host = await d.host(room);
    await host.enableResumption();
    const asker = await d.asker(room, 'asker');
    await asker.enableResumption();
    await asker.enterLobby(room);
    await d.vestibule.kill();
    await Promise.all([host.closed, asker.closed]);
    await d.vestibule.start();
    await log(held(room));
    const back = await d.connect({ room, as: {}, resumes: host, name: 'host' });
    const waiter = await d.connect({ room, as: { lobby: true }, resumes: asker, name: 'asker' });
    await Promise.all([back.ping(), waiter.ping()]);
    assert.equal((await d.state(room)).persistent, true);
    // Who began elsewhere may be in any room, until he is gone.
    await waiter.close();
    await back.close();
    await leftByAll(room);
    await log(new RegExp(`destroyed room=${room}`));
  });

  it('with only one who waits: he resumes, and the room is still there', async () => {
    const room = await d.room();
    const asker = await d.asker(room, 'asker');
    await asker.enableResumption();
    await asker.enterLobby(room);
    await leftByAll(room);
    await d.vestibule.kill();
    await asker.closed;
    await d.vestibule.start();
    await log(held(room));
    const waiter = await d.connect({ room, as: { lobby: true }, resumes: asker, name: 'asker' });
    await waiter.ping();
    assert.equal((await d.state(room)).members_only, true);
    const from = d.vestibule.lines.length;
    await waiter.close();
    await log(new RegExp(`destroyed room=${room}`), from);
    assert.equal(await d.state(room), undefined);
  });

  it('with only one who waits and does not come back: it is destroyed', async () => {
    const room = await d.room();
    const asker = await d.asker(room, 'asker');
    await asker.enterLobby(room);
    await leftByAll(room);
    await d.vestibule.kill();
    await d.vestibule.start();
    await log(held(room));
    await log(new RegExp(`destroyed room=${room}`));
    assert.equal(await d.state(room), undefined);
  });

  for (const [when, predicate] of [['after everybody has left', ASKS_WHO], ['while it is destroyed', DESTROYS]]) {
    it(`${when}: it does not stay`, async () => {
      const room = await d.room();
      const asker = await d.asker(room, 'asker');
      await asker.enterLobby(room);
      const killed = killAt(predicate);
      await asker.close();
      await leftByAll(room);
      await killed;
      await d.vestibule.start();
      await log(held(room));
      await log(new RegExp(`(destroyed|forgotten).*room=${room}`));
      assert.equal(await d.state(room), undefined);
    });
  }

  it('while nobody runs the room is destroyed: it is forgotten', async () => {
    const room = await d.room();
    await (await d.asker(room, 'asker')).enterLobby(room);
    await d.vestibule.kill();
    await (await d.focus()).iq('set', room, '<query xmlns=\'http://jabber.org/protocol/muc#owner\'><destroy/></query>');
    await d.vestibule.start();
    await log(held(room));
    await log(new RegExp(`forgotten.*room=${room}`));
  });

  it('killed twice, it finds the room again', async () => {
    const room = await d.room();
    await (await d.asker(room, 'asker')).enterLobby(room);
    await d.vestibule.kill();
    for (let i = 0; i < 2; i++) {
      await d.vestibule.start();
      await log(held(room));
      if (i === 0) await d.vestibule.kill();
    }
    await leftByAll(room);
    await log(new RegExp(`destroyed room=${room}`));
  });

  it('whoever writes the file is gone once it is written: one thread costs the least', async () => {
    const room = await d.room();
    const asker = await d.asker(room, 'asker');
    await asker.enterLobby(room);
    const alone = async () => {
      while (threads(d.vestibule.program.pid) > 1) await asker.ping();
    };
    await within(10000, 'its thread to end', alone());
    await asker.close();
    await leftByAll(room);
  });

  it('what somebody else made persistent is not touched', async () => {
    const room = await d.room();
    const focus = await d.focus();
    await focus.iq('set', room, formSubmit({ 'muc#roomconfig_persistentroom': '1', 'muc#roomconfig_membersonly': '0' }));
    assert.equal((await d.state(room)).persistent, true, 'this Prosody lets focus do so');
    const host = await d.host(room);
    await d.vestibule.kill();
    await host.closed;
    await d.vestibule.start();
    await leftByAll(room);
    await (await d.guest(undefined, 'clock')).ping();
    assert.equal((await d.state(room)).persistent, true);
    await focus.enter(room, { nick: 'focus', name: 'focus' });
    await focus.iq('set', room, '<query xmlns=\'http://jabber.org/protocol/muc#owner\'><destroy/></query>');
  });

  it('killed again and again while users talk and one waits: nothing is lost, and no room stays', async (t) => {
    const tally = new Tally(d);
    for (const name of ['one', 'two', 'three']) await tally.peer(name);
    tally.talk();
    const room = await d.room();
    const asker = await d.asker(room, 'asker');
    await asker.enterLobby(room);
    for (let i = 0; i < KILLS; i++) {
      await tally.goesOn(30);
      await d.vestibule.kill();
      await d.vestibule.start();
      await log(held(room));
      await tally.goesOn(30);
    }
    await tally.account(t, { stall: 2000, grace: FOUND_MS }); // for as long as a start takes
  });
});
