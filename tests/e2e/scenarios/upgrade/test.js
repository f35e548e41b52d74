// An upgrade: a second process on the same address and state file, then the first is stopped. No session of
// a client that resumes is lost, no stanza either, and rooms pass from one to the other.
'use strict';
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { scenario } = require('../../lib/scenario');
const { Tally } = require('../../lib/tally');
const { Vestibule } = require('../../lib/vestibule');
const { of, joinStanza } = require('../../lib/stanza');

const PEERS = 20;
const FOUND_MS = 25000; // what was handed over is looked at after ten seconds

scenario('an upgrade', { config: { listen: { reuse_port: true }, limits: { drain: '3s' } }, timeout: 240000 }, (d, it) => {
  const second = (name) => new Vestibule({ dir: d.folder(name), domain: d.domain, port: d.ports.vestibule, upstream: d.prosody.url },
    { listen: { reuse_port: true }, limits: { drain: '3s' }, state: { file: path.join(d.dir, 'vestibule', 'state.db') } });

  // The new one takes over; what happens while both run is `meanwhile`.
  async function upgrade(name, meanwhile = async () => {}) {
    const former = d.vestibule;
    const next = await second(name).start();
    await meanwhile(former, next);
    d.vestibule = next;
    assert.deepEqual(await former.stop(d.options.expect), []);
    return { former, next };
  }

  it('a room with a host inside and one who waits passes to the new process, which ends it later', async () => {
    const room = await d.room();
    const host = await d.host(room);
    await host.enableResumption();
    const asker = await d.asker(room, 'asker');
    await asker.enableResumption();
    const lobby = await asker.enterLobby(room);
    const { next } = await upgrade('third');
    const [hostBack, askerBack] = await Promise.all([
      d.connect({ room, as: {}, resumes: host, name: 'host' }), d.connect({ room, as: { lobby: true }, resumes: asker, name: 'asker' })]);
    await next.waitForLog(new RegExp(`held when .* room=${room}`));
    await Promise.all([hostBack.ping(), askerBack.ping()]);
    assert.ok(!askerBack.heard(of.left(`${lobby}/${asker.nick}`)));
    assert.deepEqual(await d.state(room).then((s) => [s.persistent, s.members_only]), [true, true]);
    hostBack.approve(room, asker.jid);
    await askerBack.waitFor('the invitation', of.invitation(room));
    await askerBack.enter(room);
    await askerBack.close();
    await hostBack.close();
    await (await d.focus()).leaveRoom(room);
    await next.waitForLog(new RegExp(`destroyed room=${room}`), { timeout: 30000 });
    assert.equal(await d.state(room), undefined);
  });

  it('joins while both run are judged once each, wherever they come', async () => {
    const room = await d.room();
    const host = await d.host(room);
    let former;
    await upgrade('fourth', async (old, next) => {
      former = old;
      const from = [old, next].map((one) => one.lines.length);
      const users = await Promise.all(Array.from({ length: 12 }, (_, i) => d.plain(room, `user${i}`)));
      for (const user of users) user.raw(joinStanza(room, { nick: user.nick, name: user.name }));
      await Promise.all(users.map((user) => user.waitFor('being in', of.selfPresence(`${room}/${user.nick}`))));
      const joins = [old, next].map((one, i) => one.lines.slice(from[i]).filter((line) => line.includes(`join room=${room}`)).length);
      assert.equal(joins[0] + joins[1], 12);
      await Promise.all(users.map((user) => user.close()));
    });
    await host.closed;
    assert.ok(former.lines.some((line) => /\[main\] stopped/.test(line)));
  });

  it('whoever connects at any moment of it is heard by one of the two', async () => {
    let goesOn = true;
    let count = 0;
    const failures = [];
    const knock = async () => {
      while (goesOn) {
        try {
          const { status } = await d.get({ via: 'vestibule' });
          if (status >= 500) failures.push(status);
        } catch (error) {
          failures.push(error.message);
        }
        count++;
      }
    };
    const knocks = Array.from({ length: 8 }, knock);
    await upgrade('fifth');
    goesOn = false;
    await Promise.all(knocks);
    assert.ok(count > 50);
    assert.deepEqual(failures, []);
  });

  it('the old one is killed instead: its rooms are found all the same', async () => {
    const room = await d.room();
    const asker = await d.asker(room, 'asker');
    await asker.enterLobby(room);
    const former = d.vestibule;
    const next = await second('sixth').start();
    await former.kill();
    d.vestibule = next;
    await next.waitForLog(new RegExp(`held when .* room=${room}`));
    await (await d.focus()).leaveRoom(room);
    await next.waitForLog(new RegExp(`destroyed room=${room}`), { timeout: 30000 });
    assert.ok(fs.existsSync(path.join(d.dir, 'vestibule', 'state.db')));
  });

  it('clients that talk to each other resume, with nothing lost and nothing twice', async (t) => {
    const tally = new Tally(d);
    await Promise.all(Array.from({ length: PEERS }, (_, i) => tally.peer(`peer${i}`)));
    tally.talk();
    await tally.goesOn(100);
    const room = await d.room();
    await (await d.asker(room, 'asker')).enterLobby(room);
    const { former } = await upgrade('seventh', () => tally.goesOn(100));
    assert.ok(former.lines.filter((line) => /stream ended/.test(line)).length >= PEERS / 4, 'some were on it');
    await tally.goesOn(100);
    await tally.account(t, { stall: 1000, grace: FOUND_MS }); // whose stream ends is back after a login
  });
});

scenario('without listen.reuse_port', {}, (d, it) => {
  it('a second process on the address says so and ends', async () => {
    const other = new Vestibule({ dir: d.folder('other'), domain: d.domain, port: d.ports.vestibule, upstream: d.prosody.url });
    await assert.rejects(other.start({ isServed: false }), /cannot listen on .*Address already in use/);
    assert.equal((await other.program.exited).code, 1);
    await d.guest();
  });
});
