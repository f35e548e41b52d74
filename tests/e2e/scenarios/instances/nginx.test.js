// The nginx configuration that is shipped for more than one instance: nginx takes it, a room's users come to one
// instance by it, and when that one is gone to the other, where they go on. And what it keeps from happening:
// behind an nginx without the hash a room's users are on both.
'use strict';
const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { after, before } = require('node:test');
const { scenario } = require('../../lib/scenario');
const { Nginx, configuration } = require('../../lib/nginx');
const { Tally } = require('../../lib/tally');
const { Vestibule } = require('../../lib/vestibule');
const { freePorts } = require('../../lib/ports');
const { of, statuses } = require('../../lib/stanza');

const shipped = fs.readFileSync(path.resolve(__dirname, '../../../../packaging/nginx-instances.conf'), 'utf8');
const SERVERS = ['127.0.0.1:5281', '127.0.0.1:5291']; // in it
const HASH = /^\s*hash .*;\n/m;
const USERS = 4;
const MOST_ROOMS = 64; // until each instance has had one
const FOUND_MS = 25000; // what an earlier process held is looked at after ten seconds

scenario('two instances behind nginx', { timeout: 240000, expect: [/why=CLIENT_LOST/] }, (d, it) => {
  let instances;
  let blind; // nginx without the hash

  const behind = (name, port, http) => ({
    dir: d.folder(name), domain: d.domain, port, tls: d.tls, backend: 'http://vestibule', http,
  });

  before(async () => {
    const [port, hashed, unhashed] = await freePorts(3);
    const second = await new Vestibule({ dir: d.folder('second'), domain: d.domain, port, upstream: d.prosody.url },
      { state: { file: d.vestibule.config.state.file } }).start();
    instances = [d.vestibule, second];
    const text = SERVERS.reduce((all, server, i) => all.replace(server, `127.0.0.1:${instances[i].port}`), shipped);
    await d.nginx.stop();
    d.nginx = await new Nginx(behind('hashed', hashed, text)).start();
    d.ports.nginx = hashed;
    blind = await new Nginx(behind('blind', unhashed, text.replace(HASH, ''))).start();
  });
  after(async () => {
    await blind.stop();
    assert.deepEqual(await instances[1].stop(d.options.expect), []);
  });

  const joinsAt = (room) => instances.map(({ lines }) => lines.filter((line) => line.includes(`join room=${room} `)).length);
  const usersOf = (room) => Promise.all(Array.from({ length: USERS }, (_, i) => d.plain(room, `user${i}`)));

  async function throughBlind(work) {
    const { nginx } = d.ports;
    d.ports.nginx = blind.port;
    try {
      return await work();
    } finally {
      d.ports.nginx = nginx;
    }
  }

  it('nginx takes the file as it is shipped', () => {
    for (const server of SERVERS) assert.ok(shipped.includes(`server ${server} `), server);
    assert.match(shipped, HASH);
    const dir = d.folder('check');
    fs.writeFileSync(path.join(dir, 'nginx.conf'), configuration({ ...behind('check', 8443, shipped) }));
    const run = spawnSync(process.env.NGINX || '/usr/sbin/nginx',
      ['-t', '-q', '-p', dir, '-e', 'stderr', '-c', path.join(dir, 'nginx.conf')], { encoding: 'utf8' });
    assert.equal(run.status, 0, run.error ? String(run.error) : run.stderr);
  });

  it('all users of a room come to one instance, and each instance has rooms', async () => {
    const rooms = [0, 0];
    for (let i = 0; rooms.includes(0); i++) {
      assert.ok(i < MOST_ROOMS, `after ${i} rooms: ${rooms}`);
      const room = await d.room();
      const users = await usersOf(room);
      for (const user of users) await user.enter(room);
      const joins = joinsAt(room);
      assert.deepEqual([...joins].sort(), [0, USERS], `of ${room}: ${joins}`);
      rooms[joins.indexOf(USERS)]++;
      await Promise.all(users.map((user) => user.close()));
    }
  });

  it('without the hash they are on both: nobody is thrown out, nobody gets past the lobby', async () => {
    const room = await d.room();
    const [inside, askers] = await throughBlind(async () => [
      await usersOf(room), await Promise.all([0, 1].map((i) => d.asker(room, `asker${i}`)))]);
    for (const user of inside) await user.enter(room);
    assert.ok(joinsAt(room).every((joins) => joins > 0), `on both: ${joinsAt(room)}`);
    await Promise.all(askers.map((asker) => asker.enterLobby(room)));
    for (const user of inside) {
      await user.ping();
      assert.ok(!user.heard(of.left(`${room}/${user.nick}`)), `${user.name} was thrown out`);
      assert.ok(!user.heard((el) => el.is('presence') && statuses(el).includes('322')));
    }
    for (const asker of askers) assert.ok(!asker.heard(of.selfPresence(`${room}/${asker.nick}`)), `${asker.name} came in`);
  });

  it('an instance is killed: its users go on at the other, nothing is lost or doubled, and no room stays', async (t) => {
    const tally = new Tally(d);
    const room = await d.room();
    const asker = await d.asker(room, 'asker');
    await asker.enterLobby(room);
    const first = joinsAt(room).findIndex((joins) => joins > 0);
    const [dying, living] = [instances[first], instances[1 - first]];
    for (const name of ['one', 'two', 'three']) await tally.peer(name, { parameters: { room: room.split('@')[0] } });
    tally.talk();
    await tally.goesOn(30);
    const from = living.lines.length;
    await dying.kill();
    await living.waitForLog(new RegExp(`was held when .* room=${room}`), { from, timeout: 30000 });
    await tally.goesOn(30);
    await tally.account(t, { stall: 2000, grace: FOUND_MS }); // nginx notices at once; then a login each
    await dying.start();
  });
});
