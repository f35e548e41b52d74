// docker-compose.yml and Dockerfile against what they run: names, ports, volumes and environment have to
// be the program's, the test deployment's and each other's. Needs no container engine.
'use strict';
const assert = require('node:assert/strict');
const { execFileSync, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const YAML = require('../e2e/node_modules/yaml');
const { SECRET, APP_ID } = require('../e2e/lib/token');
const { passwords } = require('../e2e/lib/prosody');
const { DOMAIN } = require('../e2e/lib/deployment');

const root = path.resolve(__dirname, '..', '..');
const read = (name) => fs.readFileSync(path.join(root, name), 'utf8');
const compose = YAML.parse(read('docker-compose.yml'), { merge: true });
const { certificates, prosody, vestibule, nginx, cast } = compose.services;
const services = Object.entries(compose.services);

// The Dockerfile as stages: {name, base, lines: [[instruction, arguments]]}.
function dockerfile() {
  const stages = [];
  for (const line of read('Dockerfile').replace(/\\\n/g, ' ').split('\n')) {
    const found = line.match(/^([A-Z]+) +(.*)$/);
    if (!found) continue;
    if (found[1] === 'FROM') {
      const [base, , name] = found[2].split(/ +/);
      stages.push({ name, base, lines: [] });
    } else {
      stages[stages.length - 1].lines.push([found[1], found[2]]);
    }
  }
  return stages;
}
const stages = dockerfile();
const stage = (name) => stages.find((one) => one.name === name);
const all = (one, instruction) => one.lines.filter(([name]) => name === instruction).map(([, text]) => text);

// What a stage copies from the build context.
const copied = (one) => all(one, 'COPY').filter((text) => !text.startsWith('--from'))
  .flatMap((text) => text.split(/ +/).slice(0, -1));

// KEY(NAME, "path", ..., default, ...) of the program's schema.
const schema = new Map([...read('proxy/config_schema.h').matchAll(/KEY\((\w+), "([\w.]+)", \w+, "([^"]*)"/g)]
  .map(([, name, key, fallback]) => [`VESTIBULE_${name}`, { key, fallback }]));

test('Vestibule\'s environment has only names the program knows', () => {
  assert.ok(schema.size > 20);
  for (const name of Object.keys(vestibule.environment)) assert.ok(schema.has(name), name);
});

test('the program accepts that environment as its configuration', () => {
  const binary = process.env.VESTIBULE || path.join(root, 'build-test/vestibule');
  const run = spawnSync(binary, ['--check-config'], { env: vestibule.environment, encoding: 'utf8' });
  assert.equal(run.status, 0, run.error ? String(run.error) : run.stderr + run.stdout);
});

test('nginx reaches Vestibule, Vestibule reaches Prosody, the cast reaches both', () => {
  const [, port] = vestibule.environment.VESTIBULE_LISTEN_ADDRESS.match(/^0\.0\.0\.0:(\d+)$/);
  assert.equal(port, schema.get('VESTIBULE_LISTEN_ADDRESS').fallback.split(':')[1]);
  assert.deepEqual(all(stage('vestibule'), 'EXPOSE'), [port]);
  assert.equal(nginx.environment.NGINX_BACKEND, `vestibule:${port}`);

  const endpoint = `ws://prosody:${prosody.environment.PROSODY_HTTP_PORT}` +
    schema.get('VESTIBULE_LISTEN_PATH').fallback;
  assert.equal(vestibule.environment.VESTIBULE_UPSTREAM_URL, endpoint);
  assert.equal(cast.environment.DEMO_PROSODY, endpoint);
  assert.equal(prosody.environment.PROSODY_INTERFACE, '0.0.0.0');
  assert.equal(new URL(cast.environment.DEMO_NGINX).host, `nginx:${nginx.environment.NGINX_PORT}`);
  assert.equal(new URL(cast.environment.DEMO_NGINX).pathname, '/xmpp-websocket');
});

test('domains, accounts and secrets are the test deployment\'s on every side', () => {
  const { environment } = vestibule;
  assert.equal(prosody.environment.XMPP_DOMAIN, DOMAIN);
  assert.equal(nginx.environment.XMPP_DOMAIN, DOMAIN);
  assert.equal(environment.VESTIBULE_XMPP_DOMAIN, DOMAIN);
  assert.equal(environment.VESTIBULE_UPSTREAM_HOST, DOMAIN);
  assert.equal(environment.VESTIBULE_XMPP_MUC, `conference.${DOMAIN}`);
  assert.equal(environment.VESTIBULE_XMPP_LOBBY, `lobby.${DOMAIN}`);
  assert.equal(environment.VESTIBULE_SERVICE_JID, `vestibule@auth.${DOMAIN}`);
  assert.equal(environment.VESTIBULE_SERVICE_PASSWORD, passwords.vestibule);
  assert.equal(prosody.environment.SERVICE_PASSWORD, passwords.vestibule);
  assert.equal(prosody.environment.FOCUS_PASSWORD, passwords.focus);
  assert.equal(prosody.environment.JVB_AUTH_PASSWORD, passwords.jvb);
  for (const [name, value] of [['TOKEN_SECRET', SECRET], ['TOKEN_APP_ID', APP_ID]]) {
    assert.equal(environment[`VESTIBULE_${name}`], value);
  }
  assert.equal(prosody.environment.JWT_APP_SECRET, SECRET);
  assert.equal(prosody.environment.JWT_APP_ID, APP_ID);
});

test('what the other services are told is read by what they run', () => {
  const readers = [
    [prosody, 'tests/prosody/prosody.cfg.lua', (name) => `ENV_${name}`],
    [nginx, 'packaging/nginx-configuration.js', (name) => name],
    [cast, 'tests/e2e/demo/stages.js', (name) => name],
  ];
  for (const [service, file, spelling] of readers) {
    const text = read(file);
    for (const name of Object.keys(service.environment)) {
      assert.match(text, new RegExp(`\\b${spelling(name)}\\b`), `${name} is not read by ${file}`);
    }
  }
});

test('the nginx configuration made in the container is the tests\', on the published port', () => {
  const { environment } = nginx;
  const made = execFileSync(process.execPath, [path.join(root, 'packaging/nginx-configuration.js'), '/tmp/nginx'],
    { env: environment, encoding: 'utf8' });
  assert.match(made, new RegExp(`listen 0\\.0\\.0\\.0:${environment.NGINX_PORT} ssl;`));
  assert.ok(made.includes(`upstream backend { server ${environment.NGINX_BACKEND}; }`));
  assert.ok(made.includes('proxy_pass http://backend/xmpp-websocket?prefix=$prefix&$args;'));
  const published = nginx.ports.map((text) => text.split(':'));
  assert.deepEqual(published, [[environment.NGINX_PORT, environment.NGINX_PORT]]);
  for (const [name, service] of services) {
    assert.ok(name === 'nginx' || !service.ports, `${name} is a way around Vestibule`);
  }
});

test('volumes: declared, mounted where they are looked for, and owned by who writes them', () => {
  for (const [name, service] of services) {
    for (const volume of service.volumes || []) {
      const [source] = volume.split(':');
      const isThere = source in compose.volumes || (/^\.{0,2}\//.test(source) && fs.existsSync(path.join(root, source)));
      assert.ok(isThere, `${name}: ${volume}`);
    }
  }
  const [, folder] = certificates.volumes[0].split(':');
  assert.equal(certificates.command[1], folder);
  assert.equal(certificates.command[2], DOMAIN);
  assert.equal(nginx.environment.CERTIFICATES, folder);
  assert.equal(nginx.volumes[0].split(':')[1], folder);
  assert.equal(cast.environment.DEMO_CA, `${folder}/ca.crt`);
  assert.equal(cast.volumes[0].split(':')[1], folder);
  const user = all(stage('demo'), 'USER')[0].split(':')[0];
  assert.ok(all(stage('demo'), 'RUN').some((text) => text === `install -d -o ${user} -g ${user} ${folder}`));
});

test('commands name files that are in their image', () => {
  const [workdir] = all(stage('demo'), 'WORKDIR');
  const contents = copied(stage('demo'));
  for (const [name, service] of services) {
    for (const word of service.command || []) {
      const file = word.startsWith(`${workdir}/`) ? word.slice(workdir.length + 1) : word;
      if (!/^[\w-]+\/[\w./-]+$/.test(file)) continue;
      assert.ok(fs.existsSync(path.join(root, file)), `${name}: ${file}`);
      assert.ok(contents.some((source) => file.startsWith(`${source}/`)), `${name}: ${file} is not copied`);
    }
  }
  assert.equal(prosody.environment.PROSODY_MODULES, `${workdir}/tests/prosody/modules`);
});

test('services wait for services that exist and say when they are ready', () => {
  const names = Object.keys(compose.services);
  for (const [name, service] of services) {
    for (const [other, { condition }] of Object.entries(service.depends_on || {})) {
      // In the order of the file each waits only for what stands before it, so there is no circle.
      assert.ok(names.indexOf(other) >= 0 && names.indexOf(other) < names.indexOf(name), `${name}: ${other}`);
      if (condition === 'service_healthy') assert.ok(compose.services[other].healthcheck, other);
    }
  }
  const port = (service) => service.healthcheck.test.join(' ').match(/\/(\d+)$/)[1];
  assert.equal(port(prosody), prosody.environment.PROSODY_HTTP_PORT);
  assert.equal(port(vestibule), vestibule.environment.VESTIBULE_LISTEN_ADDRESS.split(':')[1]);
  assert.equal(port(nginx), nginx.environment.NGINX_PORT);
});

test('services run as nobody in particular, from stages that exist', () => {
  for (const [name, service] of services) {
    assert.ok(stage(service.build.target), `${name}: ${service.build.target}`);
    assert.equal(service.read_only, true, name);
    assert.deepEqual(service.cap_drop, ['ALL'], name);
  }
});

test('Dockerfile: copies what exists, keeps no package lists, and ends as an ordinary user', () => {
  const ignored = read('.dockerignore').split('\n').filter(Boolean);
  const groups = new Set([...read('tools/packages.txt').matchAll(/^([a-z]+) +\S+/gm)].map(([, group]) => group));
  for (const one of stages) {
    assert.match(one.base, /^debian:bookworm-slim$/);
    for (const source of copied(one)) {
      assert.ok(fs.existsSync(path.join(root, source)), source);
      assert.ok(!ignored.includes(source), `${source} is left out by .dockerignore`);
    }
    assert.deepEqual(all(one, 'ADD'), []);
    for (const text of all(one, 'RUN')) {
      const installs = text.match(/tools\/packages\.sh ([a-z ]+?) &&/);
      if (!installs) continue;
      for (const group of installs[1].split(' ')) assert.ok(groups.has(group), group);
      assert.match(text, /rm -rf \/var\/lib\/apt\/lists\/\*/);
    }
    for (const text of all(one, 'ENTRYPOINT')) assert.match(text, /^\["/);
  }
  for (const name of ['demo', 'vestibule']) {
    assert.match(all(stage(name), 'USER').pop(), /^[1-9]\d*:[1-9]\d*$/);
  }
  assert.equal(stages[stages.length - 1].name, 'vestibule');
  const [, built] = read('Dockerfile').match(/COPY --from=build (\S+) \/usr\/local\/bin\/vestibule/);
  assert.equal(built, `${all(stage('build'), 'WORKDIR')[0]}/build/vestibule`);
});
