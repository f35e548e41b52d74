// Plain HTTP on the WebSocket path: Prosody's to answer where it is a question, refused where it is not.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { exchange, request } = require('../../lib/http');

scenario('plain HTTP', {}, (d, it) => {
  const ask = (port, options) => exchange({ port }, request({
    target: '/xmpp-websocket?room=r', host: d.domain, headers: ['Connection: close'], ...options }));
  const here = (options) => ask(d.ports.vestibule, options);
  // What of an answer does not differ between two requests.
  const lasting = ({ status, head, body }) => ({
    status, body, head: head.split('\r\n').filter((line) => !/^date:/i.test(line)).sort(),
  });

  for (const method of ['GET', 'HEAD', 'OPTIONS']) {
    it(`${method} is answered as Prosody answers it, headers and all`, async () => {
      const answer = await here({ method });
      assert.deepEqual(lasting(answer), lasting(await ask(d.ports.prosody, { method })));
      if (method !== 'OPTIONS') assert.match(answer.head, /^x-jitsi-shard: shard-1$/im);
    });
  }

  it('the paths that Prosody takes for the same are the same (wire fact 20)', async () => {
    for (const target of ['/xmpp-websocket/', '//xmpp-websocket', '/xmpp-websocket?', '/xmpp%2Dwebsocket']) {
      assert.equal((await here({ target })).status, 200, target);
    }
  });

  const before = async () => (await d.prosody.requests()).length;
  const refused = {
    'POST': [{ method: 'POST', headers: ['Content-Length: 5', '', 'hello'] }, 405],
    'POST of much, still being written': [{ method: 'POST', headers: ['Content-Length: 4000000', '', 'x'.repeat(4000000)] }, 405],
    'PUT': [{ method: 'PUT' }, 405],
    'DELETE': [{ method: 'DELETE' }, 405],
    'a method nobody knows': [{ method: 'FROB' }, 405],
    'GET with a body': [{ headers: ['Content-Length: 1', '', 'x'] }, 405],
    'another path': [{ target: '/http-bind' }, 404],
    'a path that begins like it': [{ target: '/xmpp-websocketx' }, 404],
    'a path below it': [{ target: '/xmpp-websocket/x' }, 404],
    'a path that climbs': [{ target: '/xmpp-websocket/../test/requests' }, 404],
    'no path': [{ target: 'xmpp-websocket' }, 400],
    'another host\'s URL': [{ target: 'http://other.example.com/xmpp-websocket' }, 400],
    'two lengths': [{ headers: ['Content-Length: 0', 'Content-Length: 1', '', 'x'] }, 405],
    'a folded header': [{ headers: ['X-Folded: a', ' b'] }, 400],
    'a space before the colon': [{ headers: ['X-Spaced : a'] }, 400],
    'a head too large': [{ headers: [`X-Large: ${'x'.repeat(20000)}`] }, 431],
  };
  for (const [name, [options, status]] of Object.entries(refused)) {
    it(`${name} is refused with ${status}, and not asked of Prosody`, async () => {
      const count = await before();
      const answer = await here(options);
      assert.equal(answer.status, status, answer.head);
      assert.equal(await before(), count);
      if (status === 405) assert.match(answer.head, /^allow: GET, HEAD, OPTIONS$/im);
    });
  }

  const upgrades = {
    'another version': [{ 'Sec-WebSocket-Version': '8' }, 426],
    'no version': [{ 'Sec-WebSocket-Version': null }, 426],
    'no key': [{ 'Sec-WebSocket-Key': null }, 400],
    'a key of another length': [{ 'Sec-WebSocket-Key': 'c2hvcnQ=' }, 400],
    'no Connection: Upgrade': [{ Connection: 'close' }, 400],
    'another subprotocol': [{ 'Sec-WebSocket-Protocol': 'chat' }, 501],
    'no subprotocol': [{ 'Sec-WebSocket-Protocol': null }, 501],
    'one of several subprotocols': [{ 'Sec-WebSocket-Protocol': 'chat, xmpp' }, 101],
  };
  for (const [name, [change, status]] of Object.entries(upgrades)) {
    it(`an upgrade with ${name} is answered with ${status}`, async () => {
      const headers = {
        Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13',
        'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Protocol': 'xmpp', ...change,
      };
      const lines = Object.entries(headers).filter(([, value]) => value !== null).map(([key, value]) => `${key}: ${value}`);
      assert.equal((await here({ headers: lines })).status, status);
    });
  }

  it('the accept key is the one RFC 6455 computes', async () => {
    assert.match((await here({ headers: [], isUpgrade: true })).head, /^sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=$/im);
  });
});
