// Tokens as Jitsi's web server makes them, and every way to make a bad one.
'use strict';
const crypto = require('node:crypto');

const SECRET = 'a-secret-of-the-tests-only-0123456789';
const APP_ID = 'myapp';
const encode = (value) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

// Signs header and claims as they are; a string is taken as JSON text, for what objects cannot say
// (a name twice).
function sign(header, claims, { secret = SECRET, hash = 'sha256', key } = {}) {
  const signed = `${encode(header)}.${encode(claims)}`;
  if (key) {
    const digest = `sha${key.alg.slice(2)}`;
    return `${signed}.${crypto.sign(digest, Buffer.from(signed), { key: key.private, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
  }
  const signature = crypto.createHmac(hash, secret).update(signed).digest('base64url');
  return `${signed}.${signature}`;
}

const now = () => Math.floor(Date.now() / 1000);

// The claims of a user of room. lobby: the value at context.features.lobby; others go on top.
function claims(domain, room, { lobby, user, ...others } = {}) {
  const context = { user: { name: 'someone', ...user } };
  if (lobby !== undefined) context.features = { lobby };
  return {
    iss: APP_ID, aud: 'jitsi', sub: domain, room, nbf: now() - 60, exp: now() + 3600, context, ...others,
  };
}

// key: of keys.js, whose kid the header names then.
function token(domain, room, options = {}) {
  const { header, secret, hash, key, ...rest } = options;
  const named = key ? { alg: key.alg, typ: 'JWT', kid: key.kid } : { alg: 'HS256', typ: 'JWT' };
  return sign({ ...named, ...header }, claims(domain, room, rest), { secret, hash, key });
}

module.exports = { SECRET, APP_ID, sign, claims, token, now };
