// What the README tells operators to write has to work as it stands there.
'use strict';
const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');
const YAML = require('../e2e/node_modules/yaml');

const root = path.resolve(__dirname, '..', '..');
const readme = fs.readFileSync(path.join(root, 'README.md'), 'utf8');
const blocks = (language) => [...readme.matchAll(new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``, 'g'))]
  .map(([, text]) => text);
const binary = process.env.VESTIBULE || path.join(root, 'build-test/vestibule');

function folder(t) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'vestibule-readme-'));
  t.after(() => fs.rmSync(dir, { recursive: true, force: true }));
  return dir;
}

test('the configuration is accepted', (t) => {
  const dir = folder(t);
  const [text] = blocks('yaml');
  for (const name of ['password', 'secret']) fs.writeFileSync(path.join(dir, name), 'a secret of 32 characters or more');
  fs.writeFileSync(path.join(dir, 'v.yaml'), text.replaceAll('/etc/vestibule', dir));
  const run = spawnSync(binary, ['-c', path.join(dir, 'v.yaml'), '--check-config'], { env: {}, encoding: 'utf8' });
  assert.equal(run.status, 0, run.error ? String(run.error) : run.stderr);
});

test('the docker-jitsi-meet service is accepted, with the variables of its .env', () => {
  const { vestibule } = YAML.parse(blocks('yaml')[1]);
  const env = { ...vestibule.environment, JWT_APP_ID: 'a', JWT_APP_SECRET: 'b', JVB_AUTH_PASSWORD: 'c' };
  const run = spawnSync(binary, ['--check-config'], { env, encoding: 'utf8' });
  assert.equal(run.status, 0, run.error ? String(run.error) : run.stderr);
});

test('nginx accepts the lines for it', (t) => {
  const [before, after, others] = blocks('nginx');
  const whole = before.replace(/ *proxy_pass .*\n/, after);
  assert.notEqual(whole, before);
  const known = 'map $http_upgrade $connection_upgrade { default upgrade; \'\' close; }';
  for (const lines of [before, whole, whole + others]) {
    const dir = folder(t);
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
      .map((name) => `${name}_temp_path ${dir}/${name};`).join('\n');
    fs.writeFileSync(path.join(dir, 'nginx.conf'), `pid ${dir}/pid; error_log stderr; events {}
      http { access_log off; ${temporary} ${known}
        server { listen 127.0.0.1:8080; set $prefix ""; ${lines} } }`);
    const run = spawnSync(process.env.NGINX || '/usr/sbin/nginx',
      ['-t', '-q', '-p', dir, '-e', 'stderr', '-c', path.join(dir, 'nginx.conf')], { encoding: 'utf8' });
    assert.equal(run.status, 0, run.error ? String(run.error) : run.stderr);
  }
});
