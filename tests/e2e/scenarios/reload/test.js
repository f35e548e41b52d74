// SIGHUP: what is changed holds from then on, all of it or nothing, and nobody notices.
'use strict';
const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const tls = require('node:tls');
const { scenario } = require('../../lib/scenario');
const { exchange, request } = require('../../lib/http');
const { residentKiB } = require('../../lib/measure');
const { passwords } = require('../../lib/prosody');
const { SECRET, token } = require('../../lib/token');

const EXPECTED = [/\[reload\]/, /the service account is not logged in/, /was refused|cannot be read/, /listen\.tls/, /found and not used/, /files may be open/];

scenario('a reload', { expect: EXPECTED }, (d, it) => {
  const file = (name, text) => {
    const place = path.join(d.folder('vestibule'), name);
    fs.writeFileSync(place, text, { mode: 0o600 });
    return place;
  };
  const get = (target, headers = []) => exchange({ port: d.ports.vestibule, host: '127.0.0.1' },
    request({ target, host: d.domain, headers: ['Connection: close', ...headers] }));

  it('another claim asks for the lobby, and the former one no longer', async () => {
    const room = await d.room();
    const before = await d.guest(room, 'before');
    await before.enter(room);
    assert.ok(await d.vestibule.reload({ lobby: { claims: ['context.user.waits'] } }));
    await (await d.asker(room, 'former')).enter(room);
    await (await d.connect({ room, name: 'asker', as: { user: { waits: true } } })).enterLobby(room);
    await before.ping();
    assert.ok(await d.vestibule.reload({ lobby: { claims: ['context.features.lobby', 'context.user.lobby'] } }));
  });

  it('a claim that was misused is named after the configuration that named it is gone', async () => {
    const room = await d.room();
    const user = await d.connect({ room, name: 'user', as: { lobby: 'true' } });
    assert.ok(await d.vestibule.reload());
    const from = d.vestibule.lines.length;
    await user.enter(room);
    await d.vestibule.waitForLog(/context\.features\.lobby/, { from });
  });

  it('a new secret: tokens of the old one are worth nothing, who is here stays', async () => {
    const room = await d.room();
    const here = await d.plain(room, 'here');
    await here.enter(room);
    const secret = 'another-secret-of-the-tests-0123456789';
    assert.ok(await d.vestibule.reload({ token: { secret_file: file('secret2', secret) } }));
    // Prosody goes on with the old one, so neither is let past a lobby: the old is judged here no longer.
    const asked = await d.asker(room, 'asker');
    assert.equal((await asked.join(room)).error.condition, 'not-allowed');
    await here.ping();
    assert.ok(await d.vestibule.reload({ token: { secret_file: file('secret', SECRET) } }));
    await (await d.asker(room, 'asker again')).enterLobby(room);
  });

  it('the service account\'s password: it logs in anew, and again when it is right again', async () => {
    assert.ok(await d.vestibule.reload({ service: { password_file: file('service2', 'wrong') } }));
    let from = d.vestibule.lines.length;
    await d.vestibule.waitForLog(/was refused \(not-authorized\)/);
    from = d.vestibule.lines.length;
    assert.ok(await d.vestibule.reload({ service: { password_file: file('service', passwords.vestibule) } }));
    await d.vestibule.waitForLog(/\[service\] logged in/, { from });
    const room = await d.room();
    await (await d.asker(room, 'asker')).enterLobby(room);
  });

  it('origins, paths, BOSH, limits and the log', async () => {
    assert.ok(await d.vestibule.reload({
      listen: { allowed_origins: ['https://meet.example.com'] }, http: { bosh: 'refuse', forward: ['/other'] },
      limits: { connections_per_ip: 1 }, log: { level: 'debug', format: 'json' },
    }));
    assert.match(d.vestibule.lines.at(-1), /^\{.*"message"/);
    assert.equal((await get('/http-bind')).status, 403);
    assert.notEqual((await get('/other')).status, 404);
    assert.equal((await get('/_api/room-info')).status, 404);
    assert.equal((await get('/xmpp-websocket', ['Origin: https://evil.example.com'])).status, 403);
    assert.ok(await d.vestibule.reload({
      listen: { allowed_origins: undefined }, http: undefined, limits: { connections_per_ip: 0 }, log: { level: 'info', format: 'text' },
    }));
    assert.notEqual((await get('/_api/room-info')).status, 404);
    assert.match(d.vestibule.lines.at(-1), /INFO/);
  });

  it('an address and a state file stay until a restart, and it is said', async () => {
    const { address } = d.vestibule.config.listen;
    const from = d.vestibule.lines.length;
    assert.ok(await d.vestibule.reload({ listen: { address: '127.0.0.1:1' }, state: { file: file('other.db', '') } }));
    await d.vestibule.waitForLog(/WARN.*listen\.address .*restart/, { from });
    await d.vestibule.waitForLog(/WARN.*state\.file changes with a restart/, { from });
    await (await d.guest(await d.room(), 'guest')).ping();
    assert.ok(await d.vestibule.reload({ listen: { address }, state: { file: path.join(d.folder('vestibule'), 'state.db') } }));
  });

  it('room for more connections needs a restart, and it is said', async () => {
    const limit = () => Number(/Max open files\s+(\d+)/.exec(fs.readFileSync(`/proc/${d.vestibule.program.pid}/limits`, 'utf8'))[1]);
    const before = limit();
    const { connections } = d.vestibule.config.limits;
    const from = d.vestibule.lines.length;
    assert.ok(await d.vestibule.reload({ limits: { connections: before } }));
    await d.vestibule.waitForLog(new RegExp(`WARN.*only ${before} files may be open, limits\\.connections .*restart`), { from });
    assert.equal(limit(), before);
    await (await d.guest(await d.room(), 'guest')).ping();
    const next = d.vestibule.lines.length;
    assert.ok(await d.vestibule.reload({ limits: { connections } }));
    assert.ok(!d.vestibule.lines.slice(next).some((line) => /files may be open/.test(line)));
    assert.equal(limit(), before);
  });

  for (const [what, config, says] of [
    ['an unknown key', { lobby: { clams: [] } }, /lobby\.clams/],
    ['a secret that cannot be read', { token: { secret_file: '/nowhere/secret' } }, /token\.secret_file: its file cannot be read/],
    ['an authority that is a device', { upstream: { ca_file: '/dev/zero', url: 'wss://127.0.0.1:1/xmpp-websocket' } }, /it is no regular file/],
    ['a certificate that is not there', { listen: { tls: { certificate: '/nowhere/c', key: '/nowhere/k' } } }, /nowhere/],
    ['an authority that is not there', { upstream: { ca_file: '/nowhere/ca', url: 'wss://127.0.0.1:1/xmpp-websocket' } }, /nowhere\/ca/],
    ['another component for the rooms', { xmpp: { muc: 'other.example.com' } }, /xmpp\.muc.*restart only/],
    ['two at once', { limits: { stanza: 'large' }, log: { level: 'loud' } }, /limits\.stanza/],
  ]) {
    it(`${what}: the old configuration stays, whole`, async () => {
      const { config: good } = d.vestibule;
      const room = await d.room();
      const here = await d.plain(room, 'here');
      await here.enter(room);
      const from = d.vestibule.lines.length;
      assert.equal(await d.vestibule.reload({ ...config, lobby: { claims: ['context.other'], ...config.lobby } }), false);
      await d.vestibule.waitForLog(says, { from });
      if (config.log) await d.vestibule.waitForLog(/log\.level/, { from });
      await here.ping();
      await (await d.asker(room, 'asker')).enterLobby(room);
      d.vestibule.config = good;
      assert.ok(await d.vestibule.reload());
    });
  }

  it('a file that is no YAML, or is gone', async () => {
    fs.writeFileSync(d.vestibule.file, 'listen: {');
    const from = d.vestibule.lines.length;
    d.vestibule.program.signal('SIGHUP');
    await d.vestibule.waitForLog(/old configuration stays/, { from });
    fs.rmSync(d.vestibule.file);
    const next = d.vestibule.lines.length;
    d.vestibule.program.signal('SIGHUP');
    await d.vestibule.waitForLog(/old configuration stays/, { from: next });
    assert.ok(await d.vestibule.reload());
  });

  it('a burst of signals while users come and go: nothing is lost, and nothing grows', async () => {
    const room = await d.room();
    const here = await d.plain(room, 'here');
    await here.enter(room);
    const memory = () => residentKiB(d.vestibule.program.pid);
    const files = () => fs.readdirSync(`/proc/${d.vestibule.program.pid}/fd`).length;
    const before = { files: files() };
    for (let i = 0; i < 50; i++) {
      d.vestibule.program.signal('SIGHUP');
      if (i % 10 === 0) await (await d.guest(room, `guest${i}`)).close();
    }
    assert.ok(await d.vestibule.reload());
    before.memory = memory();
    for (let i = 0; i < 50; i++) assert.ok(await d.vestibule.reload());
    await here.ping();
    assert.ok(files() <= before.files + 2, `${files()} files, ${before.files} before`);
    assert.ok(memory() < before.memory + 20 * 1024, `${memory()} KiB, ${before.memory} before`);
  });

  it('a token is judged by the configuration that holds when he logs in', async () => {
    const room = await d.room();
    const late = await d.socket({ parameters: { room: room.split('@')[0], token: token(d.domain, room.split('@')[0], { lobby: true }) } });
    assert.ok(await d.vestibule.reload());
    await late.login(d.domain);
    await late.enterLobby(room);
  });
});

scenario('a certificate that is renewed', {
  listenTls: true, expect: EXPECTED,
  config: (d) => {
    const place = (name) => path.join(d.folder('vestibule'), name);
    fs.copyFileSync(d.tls.certificate, place('c.crt'));
    fs.copyFileSync(d.tls.key, place('c.key'));
    return { listen: { tls: { certificate: place('c.crt'), key: place('c.key') } } };
  },
}, (d, it) => {
  const place = (name) => path.join(d.folder('vestibule'), name);
  const shown = () => new Promise((resolve, reject) => {
    const socket = tls.connect({ port: d.ports.vestibule, host: '127.0.0.1', rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().subject.CN);
      socket.destroy();
    }).on('error', reject);
  });

  it('new connections see the new one, who is here stays, and a bad one changes nothing', async () => {
    const room = await d.room();
    const here = await d.plain(room, 'here');
    await here.enter(room);
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
      '-subj', '/CN=renewed', '-keyout', place('c.key'), '-out', place('c.crt')], { stdio: 'ignore' });
    assert.notEqual(await shown(), 'renewed');
    assert.ok(await d.vestibule.reload());
    assert.equal(await shown(), 'renewed');
    fs.writeFileSync(place('c.crt'), 'no certificate');
    assert.equal(await d.vestibule.reload(), false);
    assert.equal(await shown(), 'renewed');
    await here.ping();
  });
});
