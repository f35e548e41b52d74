// An upgrade: a second process on the same address and state file, then the first is stopped. No session of
// a client that resumes is lost, no stanza either, and rooms pass from one to the other.
'use strict';
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { scenario } = require('../../lib/scenario');
const { Peer } = require('../../lib/peer');
const { Vestibule } = require('../../lib/vestibule');
const { within } = require('../../lib/wait');
const { of, joinStanza } = require('../../lib/stanza');

const PEERS = 20;

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

  it('clients that talk to each other resume, with nothing lost and nothing twice', async () => {
    const wrong = [];
    const heard = new Map();
    const peers = Array.from({ length: PEERS }, (_, i) => new Peer(`peer${i}`, {
      heard: (el) => {
        const body = el.is('message') && el.getChildText('body');
        if (body) heard.set(body, (heard.get(body) || 0) + 1);
      },
      wrong: (text) => wrong.push(text),
    }));
    await Promise.all(peers.map((peer) => peer.begin(d.address(), d.domain)));
    let sent = 0;
    let goesOn = true;
    const moment = () => new Promise((resolve) => { setTimeout(resolve, 5); });
    // No more on their way at a time than Prosody keeps for one who is away.
    const talk = async (peer) => {
      while (goesOn) {
        if (!peer.isUp) await within(20000, `${peer.name} resumed`, resumed(peer));
        if (sent - heard.size >= 100) {
          await moment();
          continue;
        }
        const to = peers[sent % PEERS];
        peer.send(`<message xmlns='jabber:client' to='${to.jid}' type='chat'><body>n${sent++}</body></message>`);
        if (sent % 10 === 0) await moment();
      }
    };
    const resumed = async (peer) => {
      for (;;) {
        try {
          await peer.resume(d.address({ parameters: { previd: peer.id } }), d.domain);
          return;
        } catch (error) {
          if (/not resumed|failed/.test(error.message) || wrong.length) throw error;
        }
      }
    };
    const talks = peers.slice(0, 5).map(talk);
    const listens = peers.slice(5).map(async (peer) => {
      while (goesOn) {
        await Promise.race([peer.connection.closed, moment()]);
        if (!peer.isUp && goesOn) await resumed(peer);
      }
    });
    const { next } = await upgrade('second');
    goesOn = false;
    await Promise.all([...talks, ...listens]);
    for (const peer of peers) if (!peer.isUp) await resumed(peer);
    await within(20000, 'every message', (async () => {
      while (heard.size < sent) {
        for (const peer of peers) peer.ask();
        await moment();
      }
    })(), () => `${heard.size} of ${sent}`);
    for (const peer of peers) peer.drop();
    assert.deepEqual(wrong, []);
    assert.equal(heard.size, sent);
    assert.deepEqual([...heard].filter(([, times]) => times !== 1), []);
    assert.ok(sent > 100, `${sent} were sent`);
    assert.ok(next.lines.length);
  });

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
});

scenario('without listen.reuse_port', {}, (d, it) => {
  it('a second process on the address says so and ends', async () => {
    const other = new Vestibule({ dir: d.folder('other'), domain: d.domain, port: d.ports.vestibule, upstream: d.prosody.url });
    await assert.rejects(other.start({ isServed: false }), /cannot listen on .*Address already in use/);
    assert.equal((await other.program.exited).code, 1);
    await d.guest();
  });
});
