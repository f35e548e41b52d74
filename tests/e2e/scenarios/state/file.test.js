// A state file that is damaged, not writable, full, missing, of a newer version, or holds nonsense: it is
// said, lobbies work all the same, no room is made persistent, and it is noticed when it is mended.
'use strict';
const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { scenario } = require('../../lib/scenario');
const { Vestibule } = require('../../lib/vestibule');
const { freePorts } = require('../../lib/ports');
const { Tally } = require('../../lib/tally');
const { of } = require('../../lib/stanza');

const SAID = /\[state\] state\.file .*until then no room is kept/;
const MOVED = /\[state\] state\.file .* was moved or removed: what is held is written anew/;
const folder = (d) => path.join(d.dir, 'vestibule');
const file = (d) => path.join(folder(d), 'state.db');
const sql = (d, text) => execFileSync('sqlite3', [file(d), text], { encoding: 'utf8' });
const empty = (d) => {
  for (const name of fs.readdirSync(folder(d))) {
    if (name.startsWith('state.db')) fs.rmSync(path.join(folder(d), name), { recursive: true });
  }
};

// A stop, with streams that end over limits.drain, and a start. Rooms that were found are looked at after ten seconds.
const ACCOUNT = { stall: 7000, grace: 25000 };

// The instances' locks are in a file beside it, which has the same fate (the next describe).
const ROOMS = /state\.db-rooms (cannot be|was moved or removed)/;

scenario('a state file that is of no use', { expect: [SAID, MOVED, ROOMS, /a row that is no room: taken out/, /a room that is none of xmpp\.muc/], timeout: 300000 }, (d, it) => {
  // A lobby is turned on: whether the room is kept.
  async function isKept() {
    const room = await d.room();
    const asker = await d.asker(room, 'asker');
    await asker.enterLobby(room);
    const state = await d.state(room);
    assert.equal(state.members_only, true);
    await asker.close();
    await (await d.focus()).leaveRoom(room);
    return state.persistent;
  }
  async function restart(prepare) {
    await d.vestibule.stop(d.options.expect);
    prepare();
    await d.vestibule.start();
  }
  async function isMendedBy(mend) {
    const from = d.vestibule.lines.length;
    mend();
    await isKept(); // the first room may find it broken still, and has it opened again
    assert.equal(await isKept(), true);
    await d.vestibule.waitForLog(/\[state\] state\.file .* can be written again/, { from });
  }

  for (const [what, breaks, says] of [
    ['that is none', () => fs.writeFileSync(file(d), 'a letter to somebody, in any case no database at all'.repeat(20)),
      /not a database; move it away/],
    ['that was cut', () => fs.truncateSync(file(d), 5000), /(damaged|malformed).*move it away/],
    ['of a newer version', () => {
      const fd = fs.openSync(file(d), 'r+');
      fs.writeSync(fd, Buffer.from([0, 0, 0, 9]), 0, 4, 60); // user_version
      fs.closeSync(fd);
    }, /a newer Vestibule wrote it/],
    ['that is a folder', () => {
      empty(d);
      fs.mkdirSync(file(d));
    }, /cannot be opened/],
  ]) {
    it(`a file ${what}`, async () => {
      await restart(breaks);
      assert.match(await d.vestibule.waitForLog(SAID), says);
      assert.equal(await isKept(), false);
      await isMendedBy(() => empty(d));
    });
  }

  it('a folder that is missing', async () => {
    const away = `${folder(d)}/gone`;
    d.vestibule.reconfigure({ state: { file: `${away}/state.db` } });
    await restart(() => {});
    assert.match(await d.vestibule.waitForLog(SAID), /make its folder, writable for this user/);
    assert.equal(await isKept(), false);
    await isMendedBy(() => fs.mkdirSync(away));
    d.vestibule.reconfigure({ state: { file: file(d) } });
    await restart(() => {});
  });

  it('a file that may only be read', async () => {
    const everything = 'chown,dac_override,dac_read_search,fowner'.split(',').map((name) => `-${name}`).join(',');
    if (process.getuid() === 0) d.vestibule.wrapper = ['setpriv', '--inh-caps', everything, '--bounding-set', everything];
    await restart(() => fs.chmodSync(file(d), 0o400));
    assert.match(await d.vestibule.waitForLog(SAID), /may only be read; let this user write to it/);
    assert.equal(await isKept(), false);
    await isMendedBy(() => fs.chmodSync(file(d), 0o600));
    d.vestibule.wrapper = undefined;
    await restart(() => {});
  });

  it('a disk that is full, and has room again: what was held before is there still', async () => {
    const limit = (size) => execFileSync('prlimit', ['--pid', String(d.vestibule.program.pid), `--fsize=${size}:`]);
    const before = await d.room();
    const asker = await d.asker(before, 'before');
    await asker.enterLobby(before);
    limit(1);
    assert.equal(await isKept(), false);
    assert.match(await d.vestibule.waitForLog(SAID), /is there room on its disk/);
    await isMendedBy(() => limit('unlimited'));
    await d.vestibule.kill();
    await d.vestibule.start();
    await d.vestibule.waitForLog(new RegExp(`was held when .* room=${before}`));
    await (await d.focus()).leaveRoom(before);
  });

  it('a file that is removed under it is made again, with what is held', async () => {
    const room = await d.room();
    await (await d.asker(room, 'asker')).enterLobby(room);
    empty(d);
    assert.equal(await isKept(), true);
    assert.match(sql(d, 'SELECT jid FROM room'), new RegExp(room));
    await d.vestibule.kill();
    await d.vestibule.start();
    await d.vestibule.waitForLog(new RegExp(`was held when .* room=${room}`));
    await (await d.focus()).leaveRoom(room);
  });

  it('rows that name no room are taken out and said; one of another component stays, and is said at each start', async () => {
    await restart(() => sql(d, `INSERT INTO room VALUES
      ('nobody@elsewhere.example.com', 0, 1, 0), ('', 0, 1, 0), ('conference.${d.domain}', 0, 1, 0),
      ('UPPER@conference.${d.domain}', 0, 1, 0), (x'00ff', 0, 1, 0), ('a@conference.${d.domain}/x', 0, 1, 0),
      ('"><presence/>@conference.${d.domain}', 0, 1, 0), ('lost@conference.${d.domain}', 0, 1, 0)`));
    await d.vestibule.waitForLog(new RegExp(`was held when .* room=lost@conference.${d.domain}`));
    await d.vestibule.waitForLog(new RegExp(`forgotten.*room=lost@`), { timeout: 30000 });
    const said = /a room that is none of xmpp\.muc.*room=nobody@elsewhere\.example\.com/;
    await d.vestibule.waitForLog(said);
    await restart(() => {});
    await d.vestibule.waitForLog(said); // the lines are the new process's
    assert.equal(sql(d, 'SELECT jid FROM room').trim(), 'nobody@elsewhere.example.com');
    await restart(() => sql(d, 'DELETE FROM room'));
  });

  // Not all the time: sessions that began at an earlier process keep the rooms that were found.
  it('users who talk meanwhile lose nothing, and no room stays', async (t) => {
    const tally = new Tally(d);
    for (const name of ['one', 'two', 'three']) await tally.peer(name);
    tally.talk();
    await restart(() => {
      empty(d);
      fs.mkdirSync(file(d));
    });
    assert.equal(await isKept(), false);
    await isMendedBy(() => empty(d));
    await tally.goesOn(30);
    await tally.account(t, ACCOUNT);
  });
});

scenario('two processes on one state file', { expect: [MOVED, ROOMS] }, (d, it) => {
  async function second(config = {}) {
    const [port] = await freePorts(1);
    return new Vestibule({ dir: d.folder(`other${port}`), domain: d.domain, port, upstream: d.prosody.url },
      { state: { file: file(d) }, ...config }).start();
  }
  // One waits at the first, nobody is inside. The second, which runs for as long as what was found is left alone
  // and longer, must not end the room.
  async function waitsOn(take, config) {
    const room = await d.room();
    const asker = await d.asker(room, 'waiter');
    const lobby = await asker.enterLobby(room);
    await (await d.focus()).leaveRoom(room);
    const foundNothing = new RegExp(`was held when .* room=${room}`);
    await take();
    const other = await second(config);
    try {
      // The rest would be a wait for nothing to happen: what the second knows is in the file at once.
      const held = sql(d, `SELECT count(*), (SELECT count(*) FROM waiting WHERE jid = '${room}') FROM room WHERE jid = '${room}'`);
      assert.equal(held.trim(), '1|1', 'the room and who waits for it');
      assert.equal(sql(d, 'SELECT count(DISTINCT holder) FROM room').trim(), '1');
      const own = await d.room();
      const here = await d.connect({ via: 'vestibule', port: other.port, room: own, as: { lobby: true }, name: 'here' });
      await here.enterLobby(own);
      assert.equal(sql(d, 'SELECT count(DISTINCT holder) FROM room').trim(), '2', 'each has a slot of its own');
      await (await d.focus()).leaveRoom(own);
      await here.close();
      await other.waitForLog(new RegExp(`destroyed room=${own}`), { timeout: 30000 });
      assert.ok(!other.lines.some((line) => foundNothing.test(line)), 'it took what another holds');
      await asker.ping();
      assert.ok(!asker.heard(of.left(`${lobby}/${asker.nick}`)), 'the waiter was put out');
    } finally {
      assert.deepEqual(await other.stop(d.options.expect), []);
    }
    await asker.close();
    await d.vestibule.waitForLog(new RegExp(`destroyed room=${room}`), { timeout: 30000 });
  }

  it('its files are moved away while one has them open, and another is started', () => waitsOn(async () => {
    const from = d.vestibule.lines.length;
    fs.mkdirSync(path.join(folder(d), 'old'));
    for (const name of fs.readdirSync(folder(d))) {
      if (name.startsWith('state.db')) fs.renameSync(path.join(folder(d), name), path.join(folder(d), 'old', name));
    }
    await d.vestibule.waitForLog(MOVED, { from });
  }));

  it('the other knows it by a symbolic link', async () => {
    const link = path.join(d.folder('link'), 'state.db');
    fs.mkdirSync(path.dirname(link), { recursive: true });
    fs.symlinkSync(file(d), link);
    await waitsOn(() => {}, { state: { file: link } });
    assert.deepEqual(fs.readdirSync(path.dirname(link)), ['state.db'], 'nothing is made beside the link');
  });

  it('what one leaves when it is killed, the other finds, and ends', async (t) => {
    const [port] = await freePorts(1);
    const other = new Vestibule({ dir: d.folder('other'), domain: d.domain, port, upstream: d.prosody.url },
      { state: { file: file(d) } });
    await other.start();
    const tally = new Tally(d);
    try {
      for (const name of ['one', 'two']) await tally.peer(name, { via: 'vestibule', port });
      tally.talk();
      const [room, own] = [await d.room(), await d.room()];
      await (await d.asker(room, 'asker')).enterLobby(room);
      const here = await d.connect({ via: 'vestibule', port, room: own, as: { lobby: true }, name: 'here' });
      await here.enterLobby(own);
      await d.vestibule.kill();
      await other.waitForLog(new RegExp(`was held when .* room=${room}`));
      await (await d.focus()).leaveRoom(room);
      await here.close();
      await other.waitForLog(new RegExp(`destroyed room=${room}`), { timeout: 30000 });
      assert.equal((await d.state(own)).persistent, true);
      await (await d.focus()).leaveRoom(own);
      await other.waitForLog(new RegExp(`destroyed room=${own}`));
      await tally.account(t, { stall: 0 }); // they are on the one that lives
    } finally {
      await tally.silence();
      assert.deepEqual(await other.stop(), []);
    }
    await d.vestibule.start();
  });
});

scenario('the file of the locks between instances', { account: ACCOUNT, expect: [ROOMS, SAID] }, (d, it) => {
  const rooms = (name = '') => path.join(folder(d), `state.db-rooms${name}`);

  for (const [what, take] of [['removed', () => fs.rmSync(rooms())], ['moved away', () => fs.renameSync(rooms(), rooms('.away'))]]) {
    it(`is made anew when it was ${what}, and both have the same one`, async () => {
      const [port] = await freePorts(1);
      const other = new Vestibule({ dir: d.folder(`other-${what}`), domain: d.domain, port, upstream: d.prosody.url },
        { state: { file: file(d) } });
      await other.start();
      try {
        const from = d.vestibule.lines.length;
        take();
        await Promise.all([d.vestibule.waitForLog(/was moved or removed: it is opened anew/, { from }),
          other.waitForLog(/was moved or removed: it is opened anew/)]);
        const { ino } = fs.statSync(rooms());
        for (const { program } of [d.vestibule, other]) {
          const open = fs.readdirSync(`/proc/${program.pid}/fd`).map((fd) => {
            try {
              return fs.statSync(`/proc/${program.pid}/fd/${fd}`).ino;
            } catch {
              return 0; // a socket that went away meanwhile
            }
          });
          assert.ok(open.includes(ino));
        }
        const room = await d.room();
        await (await d.asker(room, 'asker')).enterLobby(room);
        await (await d.focus()).leaveRoom(room);
      } finally {
        assert.deepEqual(await other.stop(d.options.expect), []);
      }
    });
  }

  it('is said once when it cannot be used, with the way out, and again when it can', async () => {
    const from = d.vestibule.lines.length;
    fs.rmSync(rooms());
    fs.mkdirSync(rooms());
    const line = await d.vestibule.waitForLog(/state\.db-rooms cannot be opened/, { from });
    assert.match(line, /Is a directory; instances no longer keep out of each other's rooms.*move it away/);
    const room = await d.room();
    await (await d.asker(room, 'asker')).enterLobby(room);
    await (await d.asker(room, 'another')).enterLobby(room);
    await (await d.focus()).leaveRoom(room);
    fs.rmdirSync(rooms());
    await d.vestibule.waitForLog(/state\.db-rooms works again/, { from });
    assert.equal(d.vestibule.lines.slice(from).filter((one) => /state\.db-rooms cannot/.test(one)).length, 1);
  });
});
