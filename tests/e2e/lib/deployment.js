// A whole deployment on ports and folders of its own: client -> nginx (TLS) -> Vestibule -> Prosody.
//
// With `direct` nginx goes straight to Prosody: how it is without Vestibule, to compare with and to
// hold the stand-in modules to the wire facts.
'use strict';
const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');
const os = require('node:os');
const path = require('node:path');
const { urlToHttpOptions } = require('node:url');
const { BoshSocket } = require('./bosh');
const { Client } = require('./client');
const { Focus } = require('./focus');
const { certificates } = require('./certificates');
const { KeyServer, keyPair, fileOf } = require('./keys');
const { freePorts } = require('./ports');
const { Recorder } = require('./recorder');
const { Prosody, passwords } = require('./prosody');
const { Nginx } = require('./nginx');
const { Vestibule } = require('./vestibule');
const { token } = require('./token');

const DOMAIN = 'meet.example.com';
let rooms = 0;
let marks = 0;

class Deployment {
  // options: direct, config (over the YAML every scenario has), prosody (its environment), env
  // (Vestibule's), expect (patterns of warnings that belong to the scenario), isServed (false: the
  // service account is not to log in), keys (true, or a function of the deployment: tokens are
  // signed by key pairs, see #startKeys),
  // isProsodyUp, prosodyTls, listenTls, unixSocket (function of the
  // deployment), recorder (true: Vestibule meets Prosody through it, without TLS).
  constructor(options = {}) {
    this.options = { isServed: true, isProsodyUp: true, transport: process.env.E2E_TRANSPORT, ...options };
    this.domain = DOMAIN;
    this.muc = `conference.${DOMAIN}`;
    this.auth = `auth.${DOMAIN}`;
    this.service = `vestibule@${this.auth}`;
    this.clients = [];
  }

  async start() {
    this.dir = fs.mkdtempSync(path.join(os.tmpdir(), 'vestibule-e2e-'));
    this.tls = certificates(DOMAIN);
    const [nginx, vestibule, prosody, prosodyTls] = await freePorts(4);
    const keys = this.options.keys ? await this.#startKeys() : {};
    this.prosody = new Prosody({
      dir: this.folder('prosody'), domain: DOMAIN, port: prosody, tlsPort: prosodyTls,
      tls: this.options.prosodyTls ? this.tls : null,
    }, { ...keys, ...this.options.prosody });
    this.ports = { nginx, vestibule, prosody, prosodyTls };
    try {
      if (this.options.isProsodyUp) await this.prosody.start();
      if (this.options.recorder) this.recorder = await new Recorder(prosody).start();
      if (!this.options.direct) await this.#startVestibule();
      this.nginx = await new Nginx({
        dir: this.folder('nginx'), domain: DOMAIN, port: nginx, tls: this.tls, backend: this.#backend(),
      }).start();
    } catch (error) {
      await this.stop().catch(() => {});
      throw error;
    }
    return this;
  }

  folder(name) {
    const folder = path.join(this.dir, name);
    fs.mkdirSync(folder, { recursive: true });
    return folder;
  }

  // Two key servers with the same contents: `keys` is Vestibule's, over TLS, and prosodyKeys is Prosody's, so
  // that what one of them knows the other need not. A function is called once they run, and may add to
  // Prosody's environment, which is given.
  async #startKeys() {
    this.keys = await new KeyServer({ tls: this.tls, isEverywhere: true }).start();
    this.prosodyKeys = await new KeyServer().start();
    this.keyFolder = this.folder('keys');
    const more = typeof this.options.keys === 'function' ? this.options.keys(this) : {};
    return { JWT_ASAP_KEYSERVER: this.prosodyKeys.url, MEET_TOKEN_KEYS: this.keyFolder, ...more };
  }

  // A new key pair that Prosody knows and, unless isSecret, Vestibule can fetch from its key server.
  keyPair(kid, { isSecret = false, kind } = {}) {
    const key = keyPair(kid, kind);
    this.prosodyKeys.add(key);
    fs.writeFileSync(path.join(this.keyFolder, fileOf(kid)), key.pem); // for the stand-in
    if (!isSecret) this.keys.add(key);
    return key;
  }

  async #startVestibule() {
    const upstream = this.options.prosodyTls
      ? `wss://127.0.0.1:${this.ports.prosodyTls}/xmpp-websocket` : (this.recorder || this.prosody).url;
    const config = typeof this.options.config === 'function' ? this.options.config(this) : this.options.config;
    this.vestibule = new Vestibule({
      dir: this.folder('vestibule'), domain: DOMAIN, port: this.ports.vestibule, upstream,
    }, config, this.options.env);
    await this.vestibule.start({ isServed: this.options.isServed && this.options.isProsodyUp });
  }

  #backend() {
    if (this.options.direct) return `http://127.0.0.1:${this.ports.prosody}`;
    if (this.options.unixSocket) return `http://unix:${this.options.unixSocket(this)}:`;
    return `${this.options.listenTls ? 'https' : 'http'}://127.0.0.1:${this.ports.vestibule}`;
  }

  // Where a WebSocket of a user goes. via: nginx (default), vestibule or prosody. parameters: of the
  // URL; query: the whole query string as it is; prefix: the tenant in the path; port: another instance's.
  // transport: 'bosh' for a BOSH session (bosh: its options), as the deployment has it otherwise.
  address({ via = 'nginx', transport = this.options.transport, bosh, ...options } = {}) {
    const where = this.#websocketAddress({ via, ...options });
    if (transport !== 'bosh' || via === 'prosody') return where;
    const url = where.url.replace(/^ws/, 'http').replace('/xmpp-websocket', '/http-bind');
    return { ...where, url, makeSocket: () => new BoshSocket({ ...where, url }, bosh) };
  }

  #websocketAddress({ via, port = this.ports.vestibule, parameters = {}, query, tenant, headers, deflate }) {
    const text = query ?? new URLSearchParams(parameters).toString();
    const base = {
      nginx: () => `wss://localhost:${this.ports.nginx}${tenant ? `/${tenant}` : ''}/xmpp-websocket`,
      vestibule: () => `ws://127.0.0.1:${port}/xmpp-websocket`,
      prosody: () => this.prosody.url,
    }[via]();
    return {
      url: text ? `${base}?${text}` : base,
      headers: { Host: this.domain, ...headers },
      ca: fs.readFileSync(this.tls.ca), servername: via === 'nginx' ? 'localhost' : undefined, deflate,
    };
  }

  // A plain GET of the same URL: {status, headers, body}.
  get(options = {}) {
    const { url, ...rest } = this.address(options);
    const { protocol, ...target } = urlToHttpOptions(new URL(url.replace(/^ws/, 'http')));
    return new Promise((resolve, reject) => {
      const request = (protocol === 'https:' ? https : http).get({ ...target, ...rest, agent: false }, (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (part) => { body += part; })
          .on('end', () => resolve({ status: response.statusCode, headers: response.headers, body }));
      });
      request.on('error', reject);
    });
  }

  // An open WebSocket, nothing said on it yet.
  async socket(options = {}) {
    const client = options.client || new Client(options.name);
    this.clients.push(client);
    await client.open(this.address(options));
    return client;
  }

  // A client that is logged in. room: goes into the URL and, when `as` is given, into a token made with
  // these options ({} plain, {lobby: true} asks for the lobby); without `as` it is a guest.
  async connect({ room, as, token: given, previd, resumes, ...options } = {}) {
    const node = room && room.split('@')[0];
    const text = given ?? (as && token(this.domain, as.room ?? node, as));
    const parameters = { ...(node && { room: node }), ...(text && { token: text }), ...options.parameters };
    if (resumes) parameters.previd = resumes.sm.id;
    if (previd) parameters.previd = previd;
    const client = await this.socket({ ...options, parameters });
    client.resumes = resumes;
    return client.login(this.domain);
  }

  // A client of such options with its stream as the recorder sees it: {client, wire}. isLoggedIn false:
  // nothing is said on it yet.
  async recorded({ isLoggedIn = true, ...options } = {}) {
    const mark = `m${++marks}`;
    const marked = { ...options, parameters: { ...options.parameters, mark } };
    const client = await (isLoggedIn ? this.connect(marked) : this.socket(marked));
    return { client, wire: this.recorder.of(mark) };
  }

  guest(room, name, options) {
    return this.connect({ room, name, ...options });
  }

  plain(room, name, options) {
    return this.connect({ room, name, as: {}, ...options });
  }

  asker(room, name, options) {
    return this.connect({ room, name, as: { lobby: true }, ...options });
  }

  // An account of the service host, straight on Prosody.
  async account(name, client = new Client(name)) {
    await this.socket({ via: 'prosody', client });
    return client.login(this.auth, { name, password: passwords[name] });
  }

  async focus() {
    this.jicofo ??= this.account('focus', new Focus());
    return this.jicofo;
  }

  // A room as Jitsi has it when the first user comes: made by focus, who is inside.
  async room(name = `room${++rooms}`, tenant) {
    const focus = await this.focus();
    return focus.createRoom(`${name}@conference.${tenant ? `${tenant}.` : ''}${this.domain}`);
  }

  // What Prosody itself says of a room: {persistent, members_only, lobby}, undefined where there is none.
  async state(room) {
    const [node, host] = room.split('@');
    const tenant = host.slice('conference.'.length, -this.domain.length - 1);
    return (await this.prosody.control('rooms'))[`${tenant ? `[${tenant}]` : ''}${node}@${this.muc}`];
  }

  // A user who is inside and moderates.
  async host(room, options = {}) {
    const host = await this.connect({ room, name: 'host', as: {}, ...options });
    await host.enter(room);
    await (await this.focus()).makeModerator(room, host);
    return host;
  }

  // Ends all of it and fails on what no run may leave behind.
  async stop() {
    const wrong = [];
    const attempt = async (step) => {
      try {
        wrong.push(...(await step()) || []);
      } catch (error) {
        wrong.push(error.message);
      }
    };
    for (const client of this.clients) if (client.socket) client.socket.terminate();
    if (this.vestibule) await attempt(() => this.vestibule.stop(this.options.expect));
    if (this.recorder) await attempt(() => this.recorder.stop());
    if (this.keys) await attempt(() => this.keys.stop());
    if (this.prosodyKeys) await attempt(() => this.prosodyKeys.stop());
    if (this.nginx) await attempt(() => this.nginx.stop());
    if (this.prosody) {
      await attempt(() => this.prosody.stop());
      wrong.push(...this.prosody.complaints());
    }
    if (this.dir) fs.rmSync(this.dir, { recursive: true, force: true });
    if (wrong.length) throw new Error(`after the scenario:\n${wrong.join('\n')}`);
  }
}

module.exports = { Deployment, DOMAIN };
