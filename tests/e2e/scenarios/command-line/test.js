// The command line and what is said of a configuration: one line a mistake, and nothing is started.
'use strict';
const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const net = require('node:net');
const { describe, it } = require('node:test');
const { Vestibule, binary } = require('../../lib/vestibule');
const { Program } = require('../../lib/process');
const { freePorts } = require('../../lib/ports');
const { scenario } = require('../../lib/scenario');
const { passwords } = require('../../lib/prosody');
const { SECRET, APP_ID } = require('../../lib/token');

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'vestibule-cli-'));
process.on('exit', () => fs.rmSync(dir, { recursive: true, force: true }));
let files = 0;

// A file of that text, or the ordinary configuration with `over` put on top.
function write(content) {
  const folder = path.join(dir, String(++files));
  if (typeof content !== 'string') {
    const place = { dir: folder, domain: 'meet.example.com', port: 5281, upstream: 'ws://127.0.0.1:5280/xmpp-websocket' };
    return new Vestibule(place, content).file;
  }
  fs.mkdirSync(folder);
  fs.writeFileSync(path.join(folder, 'vestibule.yaml'), content);
  return path.join(folder, 'vestibule.yaml');
}

// Only what the test says is in the environment.
function run(args, env = {}) {
  const kept = Object.fromEntries(Object.entries(process.env).filter(([name]) => /SAN_OPTIONS|^PATH$/.test(name)));
  const { status, stdout, stderr } = spawnSync(binary, args, { env: { ...kept, ...env }, encoding: 'utf8', timeout: 20000 });
  return { status, stdout, stderr, lines: stderr.split('\n').filter(Boolean) };
}

// The one line, and exit 1.
function assertMistake(result, pattern) {
  assert.equal(result.lines.length, 1, result.stderr);
  assert.match(result.lines[0], pattern);
  assert.equal(result.status, 1);
  assert.equal(result.stdout, '');
}

describe('the command line', () => {
  it('--version', () => {
    const { status, stdout, stderr } = run(['--version']);
    assert.match(stdout, /^vestibule \d+\.\d+\.\d+\n$/);
    assert.deepEqual([status, stderr], [0, '']);
  });

  it('--help', () => {
    const { status, stdout, stderr } = run(['--help']);
    for (const word of ['Usage: vestibule', '--config', '--check-config', '--version', '--help']) assert.ok(stdout.includes(word), word);
    assert.ok(stdout.split('\n').every((line) => line.length <= 80));
    assert.deepEqual([status, stderr], [0, '']);
  });

  for (const args of [['--nonsense'], ['-x'], ['-c'], ['extra'], ['-c', 'a', 'b']]) {
    it(`${args.join(' ')} is answered with the usage`, () => {
      const { status, stdout, stderr } = run(args);
      assert.match(stderr, /Usage: vestibule/);
      assert.deepEqual([status, stdout], [2, '']);
    });
  }

  it('--check-config says nothing of a good file, and starts nothing', () => {
    const { status, stdout, stderr } = run(['-c', write({}), '--check-config']);
    assert.deepEqual([status, stdout, stderr], [0, '', '']);
  });

  it('the sample file only lacks what has no default', () => {
    const sample = path.resolve(__dirname, '../../../../vestibule.example.yaml');
    const env = { VESTIBULE_XMPP_DOMAIN: 'd.example.com', VESTIBULE_TOKEN_APP_ID: 'a', VESTIBULE_TOKEN_SECRET: 's' };
    assert.deepEqual(run(['-c', sample, '--check-config'], env).stderr, '');
  });

  const mistakes = {
    'an unknown key': ['listen:\n  adress: x\n', /:2: listen\.adress: is not a known key; did you mean listen\.address\?/],
    'a value of the wrong kind': ['limits:\n  stanza: much\n', /:2: limits\.stanza: "much" is not a size/],
    'a bad address': ['listen:\n  address: localhost:99999\n', /:2: listen\.address: /],
    'a file that cannot be read': ['token:\n  secret_file: /nonexistent/secret\n', /:2: token\.secret_file: .*No such file/, { VESTIBULE_TOKEN_SECRET: undefined }],
    'focus as the service account': ['service:\n  jid: focus@auth.d\n  password: p\n', /:2: service\.jid: .*focus/],
    'no YAML': ['listen: [\n', /:\d: is not YAML/],
  };
  for (const [name, [text, pattern, change]] of Object.entries(mistakes)) {
    for (const extra of [['--check-config'], []]) {
      it(`${name} is told with file, line and key (${extra[0] || 'starting'})`, () => {
        const file = write(text);
        const env = { VESTIBULE_XMPP_DOMAIN: 'd.example.com', VESTIBULE_TOKEN_APP_ID: 'a', VESTIBULE_TOKEN_SECRET: 's', ...change };
        for (const key of Object.keys(env)) if (env[key] === undefined) delete env[key];
        const result = run(['-c', file, ...extra], env);
        assertMistake(result, pattern);
        assert.ok(result.lines[0].startsWith(`${file}:`), result.lines[0]);
      });
    }
  }

  it('focus is refused with the reason (wire fact 14)', () => {
    assertMistake(run(['-c', write({ service: { jid: 'Focus@auth.meet.example.com' } })]), /service\.jid: .*lobby/);
  });

  it('every mistake is told in one run', () => {
    const result = run(['-c', write({ listen: { adress: 'x' }, limits: { stanza: '1' }, log: { level: 'loud' } }), '--check-config']);
    assert.equal(result.lines.length, 3, result.stderr);
    assert.equal(result.status, 1);
  });

  it('without a key for tokens it does not start', () => {
    assertMistake(run(['-c', write({ token: { secret_file: undefined } })]), /token\.secret: is not set, so no token could be verified/);
  });

  it('an empty secret file is no key', () => {
    const empty = path.join(dir, 'empty');
    fs.writeFileSync(empty, '\n');
    assertMistake(run(['-c', write({ token: { secret_file: empty } })]), /token\.secret_file: .*empty/);
  });

  it('a configuration that is not there', () => {
    const file = path.join(dir, 'nothing.yaml');
    assertMistake(run(['-c', file]), new RegExp(`^${file}.*No such file`));
  });

  it('the environment goes over the file, and a mistake there names the variable', () => {
    const file = write({ log: { level: 'nonsense' } });
    assert.equal(run(['-c', file, '--check-config'], { VESTIBULE_LOG_LEVEL: 'debug' }).status, 0);
    assertMistake(run(['-c', write({}), '--check-config'], { VESTIBULE_LOG_LEVEL: 'loud' }), /^VESTIBULE_LOG_LEVEL: log\.level: /);
    assertMistake(run(['-c', write({}), '--check-config'], { VESTIBULE_LOG_LEVLE: 'info' }), /^VESTIBULE_LOG_LEVLE: /);
  });

  it('no mistake shows a secret', () => {
    const { stderr } = run(['--check-config'], {
      VESTIBULE_TOKEN_SECRET: 'hush-hush', VESTIBULE_SERVICE_PASSWORD: 'psst', VESTIBULE_SERVICE_JID: 'focus@auth.d', VESTIBULE_LOG_LEVEL: 'loud',
    });
    assert.doesNotMatch(stderr, /hush|psst/);
    assert.match(stderr, /service\.jid/);
  });

  it('an address that is taken is told, and it ends', async () => {
    const [port] = await freePorts(1);
    const holder = net.createServer();
    await new Promise((resolve) => { holder.listen(port, '127.0.0.1', resolve); });
    try {
      const program = new Program('vestibule', binary, ['-c', write({ listen: { address: `127.0.0.1:${port}` } })]);
      assert.equal((await program.exited).code, 1);
      assert.ok(program.lines.some((line) => /cannot listen on 127\.0\.0\.1/.test(line)), program.lines.join('\n'));
    } finally {
      holder.close();
    }
  });
});

// Secrets in files, as containers are given them.
function secretFile(name, text) {
  const file = path.join(dir, name);
  fs.writeFileSync(file, `${text}\n`, { mode: 0o600 });
  return file;
}

scenario('configured by the environment', {
  config: {
    token: { secret_file: undefined, app_id: undefined }, service: { jid: undefined, password_file: undefined },
    xmpp: { domain: 'wrong.example.com' },
  },
  env: {
    JWT_APP_ID: APP_ID,
    VESTIBULE_XMPP_DOMAIN: 'meet.example.com',
    VESTIBULE_SERVICE_JID: 'vestibule@auth.meet.example.com',
    VESTIBULE_SERVICE_PASSWORD_FILE: secretFile('password', passwords.vestibule),
    VESTIBULE_TOKEN_SECRET_FILE: secretFile('secret', SECRET),
  },
}, (d, it) => {
  it('tokens are verified, and the service account turns lobbies on', async () => {
    const room = await d.room();
    await (await d.asker(room, 'asker')).enterLobby(room);
  });
});
