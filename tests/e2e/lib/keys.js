// Public keys of tokens: pairs, and servers that give them away or misbehave.
'use strict';
const { execFileSync } = require('node:child_process');
const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');
const os = require('node:os');
const path = require('node:path');
const { once } = require('node:events');
const { within } = require('./wait');

// {kid, alg, private, pem, jwk} of a new pair. kind: 'rsa', or a curve.
function keyPair(kid, kind = 'rsa') {
  const pair = kind === 'rsa'
    ? crypto.generateKeyPairSync('rsa', { modulusLength: 2048 })
    : crypto.generateKeyPairSync('ec', { namedCurve: kind });
  const alg = { rsa: 'RS256', 'P-256': 'ES256', 'P-384': 'ES384' }[kind];
  return {
    kid, alg,
    private: pair.privateKey,
    pem: pair.publicKey.export({ type: 'spki', format: 'pem' }),
    jwk: { ...pair.publicKey.export({ format: 'jwk' }), kid, alg, use: 'sig' },
  };
}

// A certificate that says nothing but the key, as in a map {kid: certificate}.
function certificateOf(key) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vestibule-key-'));
  try {
    const file = path.join(folder, 'key');
    fs.writeFileSync(file, key.private.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    return execFileSync('openssl', ['req', '-x509', '-key', file, '-subj', '/CN=keys', '-days', '2'], { encoding: 'utf8' });
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

// Where a key server has the key of a kid.
const fileOf = (kid) => `${crypto.createHash('sha256').update(kid).digest('hex')}.pem`;
const jwks = (...keys) => JSON.stringify({ keys: keys.map((key) => key.jwk) });

// What it serves is in `pages`: path -> {status, headers, body}, or a function (request, response). Anything
// else is a 404. tls: {certificate, key}, none is plain HTTP. isEverywhere: it answers at 127.0.0.2 too, which its
// certificate is not for.
class KeyServer {
  constructor({ tls, isEverywhere } = {}) {
    Object.assign(this, { tls, isEverywhere });
    this.pages = new Map();
    this.requests = []; // paths, in order
    this.waiters = new Set();
    this.sockets = new Set();
  }

  // port: of a server that is to come back where it was.
  async start(port = 0) {
    const answer = (request, response) => this.#answer(request, response);
    this.server = this.tls
      ? https.createServer({ cert: fs.readFileSync(this.tls.certificate), key: fs.readFileSync(this.tls.key) }, answer)
      : http.createServer(answer);
    this.server.on('connection', (socket) => {
      this.sockets.add(socket);
      socket.on('error', () => {}).on('close', () => this.sockets.delete(socket));
    });
    this.server.listen(port, this.isEverywhere ? '0.0.0.0' : '127.0.0.1');
    await once(this.server, 'listening');
    this.port = this.server.address().port;
    return this;
  }

  get url() {
    return `${this.tls ? 'https' : 'http'}://127.0.0.1:${this.port}`;
  }

  #answer(request, response) {
    this.requests.push(request.url);
    const page = this.pages.get(request.url);
    if (typeof page === 'function') {
      page(request, response);
    } else {
      const { status = 200, headers = {}, body = '' } = page || { status: 404 };
      response.writeHead(status, headers).end(body);
    }
    for (const look of this.waiters) look();
  }

  // The keys as a key server has them.
  add(...keys) {
    for (const key of keys) this.pages.set(`/${fileOf(key.kid)}`, { body: key.pem });
  }

  count(url) {
    return this.requests.filter((each) => each === url).length;
  }

  // Until the page was asked for so many times in all.
  async waitForRequest(url, count = 1, timeout = 10000) {
    let look;
    const found = new Promise((resolve) => {
      look = () => this.count(url) >= count && resolve();
      this.waiters.add(look);
      look();
    });
    await within(timeout, `request ${count} for ${url}`, found, () => this.requests.join('\n'));
    this.waiters.delete(look);
  }

  // As if it were gone: refused from now on.
  async stop() {
    if (!this.server) return;
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
    this.server = null;
  }
}

module.exports = { KeyServer, keyPair, certificateOf, fileOf, jwks };
