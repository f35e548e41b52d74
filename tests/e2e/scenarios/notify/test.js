// What systemd is told by a unit of Type=notify with a watchdog: the test plays its socket (sd_notify(3)).
'use strict';
const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { after, before } = require('node:test');
const { scenario } = require('../../lib/scenario');
const { Program } = require('../../lib/process');

// Node has no datagrams on unix sockets; perl is on every Debian.
const LISTENER = `use Socket; $| = 1; socket(S, PF_UNIX, SOCK_DGRAM, 0); bind(S, sockaddr_un($ARGV[0])) or die $!;
print "bound\\n"; while (defined(recv(S, $m, 4096, 0))) { $m =~ s/\\n/ /g; print "$m\\n"; }`;
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vestibule-notify-'));
const socket = path.join(folder, 'notify');
let systemd;

before(async () => {
  systemd = new Program('systemd', 'perl', ['-e', LISTENER, socket]);
  await systemd.waitForLine(/bound/);
});
after(async () => {
  systemd.signal('SIGTERM');
  await systemd.exited;
  fs.rmSync(folder, { recursive: true, force: true });
});

scenario('under systemd', { env: { NOTIFY_SOCKET: socket, WATCHDOG_USEC: '600000' }, expect: [/\[reload\]|lobby\.clams|until then no room is kept|-rooms (cannot|was moved)|state\.db was moved or removed|not logged in/] }, (d, it) => {
  it('READY once it listens, and the watchdog is fed', async () => {
    await systemd.waitForLine(/^READY=1/);
    const fed = () => systemd.lines.filter((line) => line === 'WATCHDOG=1').length;
    const before = fed();
    await systemd.waitForLine(/^WATCHDOG=1/, { from: systemd.lines.length });
    assert.ok(fed() > before);
  });

  const status = (what, from) => systemd.waitForLine(what, { from });

  it('STATUS counts streams and rooms, once a change', async () => {
    await status(/^STATUS=0 streams, 0 rooms \(0 kept\)$/, 0);
    const from = systemd.lines.length;
    const room = await d.room();
    const asker = await d.asker(room, 'asker');
    await asker.enterLobby(room);
    await status(/^STATUS=1 streams, 1 rooms \(1 kept\)$/, from);
    await asker.close();
    await (await d.focus()).leaveRoom(room);
    await status(/^STATUS=0 streams, 0 rooms \(0 kept\)$/, from);
    const told = systemd.lines.filter((line) => line.startsWith('STATUS='));
    told.forEach((line, i) => assert.notEqual(line, told[i + 1]));
  });

  it('STATUS says that persistence is off, and why, until it is on again', async () => {
    const folder = path.join(d.dir, 'vestibule');
    const files = () => fs.readdirSync(folder).filter((name) => name.startsWith('state.db'));
    const from = systemd.lines.length;
    for (const name of files()) fs.rmSync(path.join(folder, name));
    for (const name of ['state.db', 'state.db-rooms']) fs.mkdirSync(path.join(folder, name));
    await status(/^STATUS=.*; persistence is off, state\.file: .*; instances do not keep out of each other's rooms: cannot be opened/, from);
    for (const name of files()) fs.rmSync(path.join(folder, name), { recursive: true });
    const mended = systemd.lines.length;
    const room = await d.room();
    const asker = await d.asker(room, 'tries'); // a room that is to be held has it opened again
    await asker.enterLobby(room);
    await status(/^STATUS=\d+ streams, \d+ rooms \(\d+ kept\)$/, mended);
    await asker.close();
    await (await d.focus()).leaveRoom(room);
    assert.ok(fs.existsSync(path.join(folder, 'state.db-rooms')));
  });

  it('STATUS says that the service account is not logged in', async () => {
    const from = systemd.lines.length;
    await d.prosody.stop();
    await status(/^STATUS=.*; lobby users are refused, the service account is not logged in: /, from);
    const down = systemd.lines.length;
    await d.prosody.start();
    await status(/^STATUS=0 streams, 0 rooms \(0 kept\)$/, down);
  });

  for (const [what, config, isTaken] of [['that is taken', {}, true], ['that is not', { lobby: { clams: [] } }, false]]) {
    it(`RELOADING with the time, then READY: a reload ${what}`, async () => {
      const good = d.vestibule.config;
      const from = systemd.lines.length;
      assert.equal(await d.vestibule.reload(config), isTaken);
      await systemd.waitForLine(/^RELOADING=1 MONOTONIC_USEC=\d+/, { from });
      await systemd.waitForLine(/^READY=1/, { from });
      const order = systemd.lines.slice(from).filter((line) => !/^(WATCHDOG|STATUS)/.test(line));
      assert.match(order[0], /^RELOADING/);
      assert.match(order[1], /^READY/);
      d.vestibule.config = good;
      d.vestibule.reconfigure({});
    });
  }

  it('STOPPING at a stop', async () => {
    const from = systemd.lines.length;
    assert.deepEqual(await d.vestibule.stop(d.options.expect), []);
    await systemd.waitForLine(/^STOPPING=1/, { from });
    await d.vestibule.start();
  });
});
