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

  it('through nginx it is Prosody\'s answer too, to the query as it was', async () => {
    const { status, headers, body } = await d.get({ query: 'room=x&mark=get' });
    assert.equal(status, 200);
    assert.equal(headers['x-jitsi-shard'], 'shard-1');
    assert.match(body, /It works/);
    assert.match((await d.prosody.requestWith('mark=get')).query, /&room=x&mark=get$/);
  });

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
    'another path': [{ target: '/http-binds' }, 404],
    'a path that begins like it': [{ target: '/xmpp-websocketx' }, 404],
    'a path below it': [{ target: '/xmpp-websocket/x' }, 404],
    'a path that climbs': [{ target: '/xmpp-websocket/../test/requests' }, 404],
    'no path': [{ target: 'xmpp-websocket' }, 400],
    'another host\'s URL': [{ target: 'http://other.example.com/xmpp-websocket' }, 400],
    'two lengths': [{ headers: ['Content-Length: 0', 'Content-Length: 1', '', 'x'] }, 400],
    'two Hosts': [{ headers: ['Host: other.example.com'] }, 400],
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
});
