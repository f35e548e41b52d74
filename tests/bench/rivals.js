// The proxies that are measured, each alone on one processor, all before the same stand-in upstream.
'use strict';
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const { hardFileLimit } = require('../e2e/lib/measure');
const { Program } = require('../e2e/lib/process');
const { freePorts } = require('../e2e/lib/ports');
const { SECRET, APP_ID } = require('../e2e/lib/token');
const { toYaml } = require('../e2e/lib/yaml');

const DOMAIN = 'bench.example';
// Proxies have a processor to themselves; load and upstream share the other.
const PROXY_CPU = '0';
const LOAD_CPU = '1';

const pinned = (cpu, name, command, args) => new Program(name, 'taskset', ['-c', cpu, command, ...args]);

// Debian's nginx.conf where it matters here, and what the Jitsi handbook puts into the location.
function nginxConfig({ dir, port, upstream, buffers }) {
  return `
daemon off;
${process.getuid() === 0 ? 'user root;' : ''}
worker_processes 1;
worker_rlimit_nofile ${fileLimit()};
pid ${dir}/nginx.pid;
error_log stderr notice;
events { worker_connections ${2 * fileLimit()}; }
http {
  sendfile on;
  tcp_nopush on;
  access_log off;
  client_body_temp_path ${dir}/body;
  proxy_temp_path ${dir}/proxy;
  fastcgi_temp_path ${dir}/fastcgi;
  uwsgi_temp_path ${dir}/uwsgi;
  scgi_temp_path ${dir}/scgi;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location = /xmpp-websocket {
      proxy_pass http://127.0.0.1:${upstream}/xmpp-websocket;
      proxy_http_version 1.1;
      proxy_set_header Connection "upgrade";
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Host ${DOMAIN};
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_read_timeout 900s;
      tcp_nodelay on;
      ${buffers ? `proxy_buffer_size ${buffers}; proxy_buffers 8 ${buffers};` : ''}
    }
  }
}
`;
}

function haproxyConfig({ port, upstream }) {
  return `
global
  nbthread 1
  maxconn ${Math.floor((fileLimit() - 100) / 2)}
defaults
  mode http
  timeout connect 5s
  timeout client 900s
  timeout server 900s
  timeout tunnel 900s
  option forwardfor
frontend clients
  bind 127.0.0.1:${port} backlog 4096
  default_backend prosody
backend prosody
  http-request set-header Host ${DOMAIN}
  server prosody 127.0.0.1:${upstream}
`;
}

function vestibuleConfig({ dir, port, upstream }) {
  return toYaml({
    listen: { address: `127.0.0.1:${port}`, path: '/xmpp-websocket' },
    upstream: { url: `ws://127.0.0.1:${upstream}/xmpp-websocket`, host: DOMAIN },
    xmpp: { domain: DOMAIN, muc: `conference.${DOMAIN}`, lobby: `lobby.${DOMAIN}` },
    token: { app_id: APP_ID, secret: SECRET },
    limits: { connections: Math.floor((fileLimit() - 100) / 2) },
    state: { file: path.join(dir, 'state.db') },
    log: { level: 'warn' }, // as nginx writes no access log
  });
}

function fileLimit() {
  return Math.min(65536, hardFileLimit());
}

function childOf(pid) {
  const children = fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
  if (children.length !== 1) throw new Error(`process ${pid} has ${children.length} children, not one`);
  return Number(children[0]);
}

async function startNginx(place) {
  const file = path.join(place.dir, 'nginx.conf');
  fs.writeFileSync(file, nginxConfig(place));
  const program = pinned(PROXY_CPU, place.name, process.env.NGINX || '/usr/sbin/nginx',
    ['-p', place.dir, '-e', 'stderr', '-c', file]);
  await program.waitForLine(/start worker process \d+/);
  return { program, pid: childOf(program.pid) };
}

async function startHaproxy(place) {
  const file = path.join(place.dir, 'haproxy.cfg');
  fs.writeFileSync(file, haproxyConfig(place));
  const program = pinned(PROXY_CPU, place.name, process.env.HAPROXY || '/usr/sbin/haproxy', ['-db', '-V', '-f', file]);
  await program.waitForLine(/as a single process|Using epoll/i);
  return { program, pid: program.pid };
}

async function startVestibule(place) {
  const file = path.join(place.dir, 'vestibule.yaml');
  fs.writeFileSync(file, vestibuleConfig(place), { mode: 0o600 });
  const program = pinned(PROXY_CPU, place.name, place.binary, ['-c', file]);
  await answers(program, place.port);
  return { program, pid: program.pid };
}

// A program that says nothing at the level of its log is asked whether it listens.
async function answers(program, port) {
  const limit = Date.now() + 15000;
  for (;;) {
    const isThere = await new Promise((resolve) => {
      const socket = net.connect(port, '127.0.0.1', () => { socket.destroy(); resolve(true); });
      socket.once('error', () => resolve(false));
    });
    if (isThere) return;
    if (program.exit || Date.now() > limit) throw new Error(`${program.name} does not listen:\n${program.lines.join('\n')}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

// Every ratio is to the first nginx; the second, the same again, says how much of a ratio is chance.
function rivalsOf(binaries) {
  return [
    ...Object.entries(binaries).map(([name, binary]) => ({ name, start: startVestibule, binary })),
    { name: 'nginx', start: startNginx },
    { name: 'nginx-again', start: startNginx },
    { name: 'nginx-16k', start: startNginx, buffers: '16k' },
    { name: 'haproxy', start: startHaproxy },
  ];
}

// All of them, and the upstream: started; stop() ends them in the other order.
class Field {
  // only: whether a rival of that name takes part.
  constructor(dir, tools, binaries, only) {
    Object.assign(this, { dir, tools, binaries, only });
    this.rivals = [];
  }

  async start() {
    const wanted = rivalsOf(this.binaries).filter(({ name }) => this.only(name));
    const ports = await freePorts(2 * wanted.length);
    // A port of the upstream for each: the kernel looks the longer for a local port the more of them go
    // to the same place already, and that would be each rival's cost of all others' streams.
    const upstreams = ports.splice(wanted.length);
    this.upstream = pinned(LOAD_CPU, 'upstream', path.join(this.tools, 'upstream'), upstreams.map(String));
    await this.upstream.waitForLine(/is listening/);
    for (const [i, rival] of wanted.entries()) {
      const place = { ...rival, dir: path.join(this.dir, rival.name), port: ports[i], upstream: upstreams[i] };
      fs.mkdirSync(place.dir, { recursive: true });
      this.rivals.push({ ...place, ...await rival.start(place) });
    }
    return this;
  }

  // Runs the load generator; what it says of each rival, in order.
  async load(kind, options) {
    const args = Object.entries(options).map(([key, value]) => `${key}=${value}`);
    const program = pinned(LOAD_CPU, 'load', path.join(this.tools, 'load'),
      [kind, ...args, ...this.rivals.map(({ name, port, pid }) => `${name}:${port}:${pid}`)]);
    const { code } = await program.exited;
    if (code !== 0) throw new Error(`load ${kind}: ${program.lines.slice(-5).join('\n')}`);
    return program.lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
  }

  async stop() {
    for (const { program } of this.rivals) await program.stop();
    if (this.upstream) {
      this.upstream.signal('SIGKILL');
      await this.upstream.exited;
    }
  }
}

module.exports = { Field, DOMAIN, fileLimit };
