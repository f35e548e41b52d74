// Prosody's other paths (http.forward): what goes on, as what, and what does not.
'use strict';
const assert = require('node:assert/strict');
const https = require('node:https');
const net = require('node:net');
const { once } = require('node:events');
const fs = require('node:fs');
const { scenario } = require('../../lib/scenario');
const { exchange, request } = require('../../lib/http');
const { within } = require('../../lib/wait');

// As a browser asks nginx: {status, headers, body}.
function browse(d, path, { method = 'GET', headers = {}, body } = {}) {
  return new Promise((resolve, reject) => {
    https.request({
      host: 'localhost', port: d.ports.nginx, path, method, headers, ca: fs.readFileSync(d.tls.ca), agent: false,
    }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part) => { text += part; })
        .on('end', () => resolve({ status: response.statusCode, headers: response.headers, body: text }));
    }).on('error', reject).end(body);
  });
}

scenario('Prosody\'s other paths', {}, (d, it) => {
  const here = (options) => exchange({ port: d.ports.vestibule }, request({
    target: '/conference-request', host: d.domain, headers: ['Connection: close'], ...options }));
  const post = (text, ...headers) => request({
    method: 'POST', target: '/conference-request', host: d.domain,
    headers: [`Content-Length: ${Buffer.byteLength(text)}`, ...headers],
  }) + text;
  const send = (text) => exchange({ port: d.ports.vestibule }, text);

  it('room-info is asked through nginx with its query and its token', async () => {
    const { status, headers, body: text } = await browse(d, '/_api/room-info?room=R%20x&a=b', {
      headers: { Authorization: 'Bearer t.o.k', 'X-Own': 'y' } });
    const asked = JSON.parse(text);
    assert.equal(status, 200);
    assert.equal(headers['content-type'], 'application/json');
    assert.deepEqual([asked.method, asked.path, asked.query], ['GET', '/room-info', 'prefix=&room=R%20x&a=b']);
    assert.equal(asked.headers.authorization, 'Bearer t.o.k');
    assert.equal(asked.headers.x_own, 'y');
    assert.equal(asked.headers.host, d.domain);
    assert.match(asked.headers.x_forwarded_for, /^127\.0\.0\.1/);
  });

  it('conference-request is posted through nginx with its body', async () => {
    const sent = JSON.stringify({ room: 'räum@conference', properties: { rtcstatsEnabled: false } });
    for (const method of ['POST', 'PUT']) {
      const answer = await browse(d, '/conference-request?room=r', {
        method, headers: { 'Content-Type': 'application/json' }, body: sent });
      const asked = JSON.parse(answer.body);
      assert.equal(answer.status, 200);
      assert.deepEqual([asked.method, asked.path, asked.body], [method, '/conference-request', sent]);
      assert.equal(asked.headers.content_type, 'application/json');
      assert.equal(asked.headers.content_length, String(Buffer.byteLength(sent)));
    }
  });

  it('nginx gives a chunked body its length', async () => {
    const answer = await browse(d, '/conference-request', {
      method: 'POST', headers: { 'Transfer-Encoding': 'chunked' }, body: 'in chunks' });
    assert.equal(JSON.parse(answer.body).body, 'in chunks');
  });

  it('HEAD and OPTIONS are Prosody\'s to answer, and so is a status of its own', async () => {
    const head = await here({ method: 'HEAD' });
    assert.deepEqual([head.status, head.body], [200, '']);
    const options = await here({ method: 'OPTIONS' });
    assert.equal(options.status, 200);
    assert.match(options.head, /^access-control-allow-methods: .*POST/im);
    const teapot = await here({ target: '/conference-request?status=418' });
    assert.equal(teapot.status, 418);
  });

  it('a body of no bytes is one', async () => {
    const { status, body: text } = await send(post(''));
    assert.deepEqual([status, JSON.parse(text).body ?? '', JSON.parse(text).headers.content_length], [200, '', '0']);
  });

  it('a body that comes byte by byte arrives whole', async () => {
    const text = post('{"slow":true}');
    const socket = net.connect(d.ports.vestibule, '127.0.0.1').setEncoding('utf8').setNoDelay(true);
    let answer = '';
    socket.on('data', (part) => { answer += part; });
    for (const byte of text) await new Promise((resolve) => { socket.write(byte, resolve); });
    await within(10000, 'the answer', once(socket, 'end'));
    assert.equal(JSON.parse(answer.split('\r\n\r\n')[1]).body, '{"slow":true}');
  });

  it('who expects 100 Continue gets it, and the answer behind it', async () => {
    const socket = net.connect(d.ports.vestibule, '127.0.0.1').setEncoding('utf8');
    const text = post('awaited', 'Expect: 100-continue');
    let answer = '';
    socket.write(text.slice(0, -'awaited'.length));
    await within(10000, '100 Continue', new Promise((resolve) => {
      socket.on('data', (part) => {
        answer += part;
        if (answer.includes('\r\n\r\n')) resolve();
      });
    }));
    assert.equal(answer, 'HTTP/1.1 100 Continue\r\n\r\n');
    socket.write('awaited');
    await within(10000, 'the answer', once(socket, 'end'));
    const asked = JSON.parse(answer.split('\r\n\r\n')[2]);
    assert.equal(asked.body, 'awaited');
    assert.equal(asked.headers.expect, undefined);
  });

  it('bodies and answers of a megabyte go through', async () => {
    const much = 'y'.repeat(1024 * 1024);
    const { status, body: text } = await send(post(much));
    assert.equal(status, 200);
    assert.equal(JSON.parse(text).body, much);
    const large = await here({ target: '/conference-request?size=5000000' });
    assert.equal(large.body.length, 5000000);
  });

  it('a larger body is refused with 413, read to its end, and not asked of Prosody', async () => {
    const count = (await d.prosody.others()).length;
    assert.equal((await send(post('y'.repeat(1024 * 1024 + 1)))).status, 413);
    assert.equal((await send(post('y'.repeat(5000000)))).status, 413);
    assert.equal((await d.prosody.others()).length, count);
  });

  const elsewhere = {
    'a path not listed': '/unlisted', 'a path below': '/conference-request/v1', 'a path above': '/_api',
    'the path with a slash': '/conference-request/', 'two slashes': '//conference-request',
    'escaped': '/conference%2Drequest', 'dots': '/_api/../conference-request', 'another case': '/Conference-Request',
    'BOSH in capitals': '/HTTP-BIND', 'BOSH with a parameter': '/http-bind;x', 'BOSH by dots': '/_api/../http-bind',
    'BOSH below a listed path': '/conference-request/../http-bind', 'the tests\' own': '/test/http',
    'the WebSocket by dots': '/conference-request/../xmpp-websocket', 'the root': '/', 'files': '/files/x',
  };
  for (const [name, target] of Object.entries(elsewhere)) {
    it(`${name} is a 404 that Prosody hears nothing of`, async () => {
      const count = (await d.prosody.others()).length;
      for (const method of ['GET', 'POST', 'OPTIONS']) assert.equal((await here({ target, method })).status, 404);
      assert.equal((await d.prosody.others()).length, count);
    });
  }

  it('an upgrade on a forwarded path is a plain request', async () => {
    const { status, body: text } = await here({ isUpgrade: true, headers: ['X-Own: y'] });
    assert.equal(status, 200);
    const { headers } = JSON.parse(text);
    for (const name of ['upgrade', 'sec_websocket_key', 'sec_websocket_version']) assert.equal(headers[name], undefined);
    assert.equal(headers.connection, 'close');
  });

  it('methods that Jitsi has no use for are not passed on', async () => {
    const count = (await d.prosody.others()).length;
    for (const method of ['DELETE', 'PATCH', 'TRACE', 'CONNECT', 'PROPFIND', 'post']) {
      assert.equal((await here({ method })).status, 501, method);
    }
    assert.equal((await d.prosody.others()).length, count);
  });

  // name: [request, status]. Each is one request to us, or none.
  const smuggled = 'POST /http-bind HTTP/1.1\r\nHost: meet.example.com\r\nContent-Length: 0\r\n\r\n';
  const wire = (headers, content, version = '1.1') =>
    `POST /conference-request HTTP/${version}\r\nHost: meet.example.com\r\n${headers.map((line) => `${line}\r\n`).join('')}\r\n${content}`;
  const refused = {
    'a length and chunks': [wire(['Content-Length: 5', 'Transfer-Encoding: chunked'], `0\r\n\r\n${smuggled}`), 400],
    'chunks and a length': [wire(['Transfer-Encoding: chunked', 'Content-Length: 5'], `0\r\n\r\n${smuggled}`), 400],
    'two lengths': [wire(['Content-Length: 0', `Content-Length: ${smuggled.length}`], smuggled), 400],
    'one length twice': [wire(['Content-Length: 1', 'Content-Length: 1'], `x${smuggled}`), 400],
    'a list of lengths': [wire(['Content-Length: 1, 1'], `x${smuggled}`), 400],
    'a length with a sign': [wire(['Content-Length: +1'], `x${smuggled}`), 400],
    'a length in hexadecimal': [wire(['Content-Length: 0x1'], `x${smuggled}`), 400],
    'a length with an exponent': [wire(['Content-Length: 1e1'], `0123456789${smuggled}`), 400],
    'a length below 0': [wire(['Content-Length: -1'], smuggled), 400],
    'no length where one is named': [wire(['Content-Length:'], smuggled), 400],
    'a folded length': [wire(['Content-Length:', ' 5'], smuggled), 400],
    'a folded coding': [wire(['X: y', ' Transfer-Encoding: chunked'], `0\r\n\r\n${smuggled}`), 400],
    'a coding with a space before the colon': [wire(['Transfer-Encoding : chunked'], `0\r\n\r\n${smuggled}`), 400],
    'a coding behind a bare LF': [wire(['X: y\nTransfer-Encoding: chunked'], `0\r\n\r\n${smuggled}`), 400],
    'a coding behind a bare CR': [wire(['X: y\rTransfer-Encoding: chunked'], `0\r\n\r\n${smuggled}`), 400],
    'chunked, identity': [wire(['Transfer-Encoding: chunked, identity'], `0\r\n\r\n${smuggled}`), 400],
    'xchunked': [wire(['Transfer-Encoding: xchunked'], `0\r\n\r\n${smuggled}`), 400],
    'chunked twice': [wire(['Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'], `0\r\n\r\n${smuggled}`), 400],
    'chunks in HTTP/1.0': [wire(['Transfer-Encoding: chunked'], `0\r\n\r\n${smuggled}`, '1.0'), 400],
    'chunks': [wire(['Transfer-Encoding: chunked'], `0\r\n\r\n${smuggled}`), 411],
    'a GET in chunks': [wire(['Transfer-Encoding: chunked'], `0\r\n\r\n${smuggled}`).replace('POST', 'GET'), 411],
    'two Hosts': [wire(['Host: other.example.com', 'Content-Length: 0'], smuggled), 400],
  };
  for (const [name, [text, status]] of Object.entries(refused)) {
    it(`${name}: ${status}, and Prosody sees no request`, async () => {
      const count = (await d.prosody.others()).length;
      assert.equal((await send(text)).status, status);
      assert.equal((await d.prosody.others()).length, count);
    });
  }

  it('Prosody itself takes chunks for the next request: that is why', async () => {
    const { length } = await d.prosody.others();
    const next = 'GET /room-info?next=1 HTTP/1.1\r\nHost: meet.example.com\r\nConnection: close\r\n\r\n';
    await exchange({ port: d.ports.prosody }, wire(['Transfer-Encoding: chunked'], next));
    assert.deepEqual((await d.prosody.others()).slice(length).map(({ path }) => path), ['/conference-request', '/room-info']);
  });

  const hidden = {
    'no length': [wire([], smuggled), ''],
    'length 0': [wire(['Content-Length: 0'], smuggled), ''],
    'a length that ends before': [wire(['Content-Length: 2'], `ab${smuggled}`), 'ab'],
    'a length with zeros before it': [wire(['Content-Length: 0002'], `ab${smuggled}`), 'ab'],
    'a length that names itself a connection\'s': [wire(['Connection: content-length', 'Content-Length: 2'], `ab${smuggled}`), 'ab'],
    'a length with an underscore beside': [wire(['Content_Length: 500', 'Content-Length: 2'], `ab${smuggled}`), 'ab'],
    'a coding with an underscore': [wire(['Transfer_Encoding: chunked', 'Content-Length: 2'], `ab${smuggled}`), 'ab'],
    'HTTP/1.0': [wire(['Connection: keep-alive', 'Content-Length: 2'], `ab${smuggled}`, '1.0'), 'ab'],
  };
  for (const [name, [text, content]] of Object.entries(hidden)) {
    it(`a request behind one, ${name}: Prosody sees one`, async () => {
      const { length } = await d.prosody.others();
      const answer = await send(text);
      assert.equal(answer.status, 200);
      const seen = (await d.prosody.others()).slice(length);
      assert.deepEqual(seen.map(({ path, body: got }) => [path, got ?? '']), [['/conference-request', content]]);
      assert.equal(seen[0].headers.content_length ?? '0', String(content.length));
    });
  }

  it('a client that goes away in the middle of its body leaves Prosody nothing to answer', async () => {
    const count = (await d.prosody.others()).length;
    const socket = net.connect(d.ports.vestibule, '127.0.0.1');
    socket.write(post('never whole').slice(0, -3));
    socket.on('error', () => {});
    await once(socket, 'connect');
    socket.end();
    await once(socket.resume(), 'close');
    assert.equal((await here({})).status, 200);
    assert.equal((await d.prosody.others()).length, count + 1);
  });
});
