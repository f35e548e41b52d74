// BOSH ends in Vestibule: what a client of it sees, request by request, is what XEP-0124 and XEP-0206 say.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { BOSH, bodyText, post } = require('../../lib/bosh');
const { exchange, request } = require('../../lib/http');
const { NS, of } = require('../../lib/stanza');
const { timed } = require('../../lib/wait');

const C = 'xmlns=\'jabber:client\'';
const bodies = (client) => client.received.map(({ el }) => el.getChildText('body')).filter(Boolean);
const note = (to, text) => `<message ${C} to='${to}'><body>${text}</body></message>`;

// A user whose requests the test makes itself; the session's next rid is still kept.
async function byHand(d, options) {
  const client = await d.guest(undefined, undefined, { via: 'vestibule', ...options });
  const { socket } = client;
  socket.isManual = true;
  await socket.ask({}, note(client.jid, 'the last automatic one')); // answers the one that is held
  await client.waitFor('its own', of.message('the last automatic one'));
  return { client, socket };
}

scenario('BOSH', { transport: 'bosh', expect: [/stream ended why=(HOST_UNKNOWN|INVALID_NAMESPACE|PROSODY_LOST)/] }, (d, it) => {
  for (const via of ['nginx', 'vestibule']) {
    it(`a BOSH user and a WebSocket user hear each other (by ${via})`, async () => {
      const room = await d.room();
      const bosh = await d.plain(room, 'bosh', { via });
      const socket = await d.plain(room, 'socket', { via, transport: 'websocket' });
      await bosh.enter(room);
      await socket.enter(room);
      await bosh.waitFor('the other', of.presence(`${room}/${socket.nick}`));
      bosh.say(room, 'by BOSH');
      await socket.waitFor('what is said by BOSH', of.message('by BOSH'));
      socket.say(room, 'by WebSocket');
      await bosh.waitFor('what is said by WebSocket', of.message('by WebSocket'));
      await bosh.leave(room);
      await socket.waitFor('his leaving', of.left(`${room}/${bosh.nick}`));
    });
  }

  it('the session is made with what the client needs to know of it', async () => {
    const { socket } = await byHand(d, { bosh: { wait: 3 } });
    const { attrs } = socket.bodies[0].el;
    assert.match(attrs.sid, /^[0-9a-f]{32}$/);
    assert.deepEqual([attrs.wait, attrs.hold, attrs.requests, attrs.ver, attrs.from], ['3', '1', '2', '1.6', d.domain]);
    assert.equal(socket.bodies[0].headers['content-type'], 'text/xml; charset=utf-8');
    assert.equal(socket.bodies[0].headers['cache-control'], 'no-store');
  });

  it('two stanzas in one body arrive both, in order', async () => {
    const { client, socket } = await byHand(d);
    await socket.ask({}, note(client.jid, 'one') + note(client.jid, 'two'));
    await client.waitFor('the second', of.message('two'));
    assert.deepEqual(bodies(client).slice(-2), ['one', 'two']);
  });

  it('a body with many stanzas, each with its namespaces, is read', async () => {
    const { client, socket } = await byHand(d);
    const many = Array.from({ length: 200 }, (_, i) => `<message ${C} to='${client.jid}'><body>${i}</body>` +
      '<a xmlns=\'urn:a\'/><b xmlns=\'urn:b\'/></message>');
    socket.isManual = false;
    socket.ask({}, many.join(''));
    await client.waitFor('the last', of.message('199'));
    assert.deepEqual(bodies(client).filter((text) => /^\d+$/.test(text)), many.map((_, i) => String(i)));
  });

  it('a stanza without a namespace of its own is the client\'s', async () => {
    const { client, socket } = await byHand(d);
    await socket.ask({}, `<message to='${client.jid}'><body>bare</body></message>`);
    await client.waitFor('it', of.message('bare'));
  });

  it('what comes in another order than its rids say is taken in theirs', async () => {
    const { client, socket } = await byHand(d);
    const first = socket.rid;
    socket.rid += 2;
    const second = socket.ask({ rid: first + 1 }, note(client.jid, 'second'));
    await post(socket.where, ''); // by when the other is there
    const answered = socket.ask({ rid: first }, note(client.jid, 'first'));
    await Promise.race([second, answered]);
    await client.waitFor('the second', of.message('second'));
    assert.deepEqual(bodies(client).slice(-2), ['first', 'second']);
  });

  it('a request repeated gets the answer it had, and says nothing again', async () => {
    const listener = await d.guest();
    const { client, socket } = await byHand(d);
    const rid = socket.rid++;
    const answer = await socket.ask({ rid }, note(client.jid, 'mine') + note(listener.jid, 'once'));
    const again = await socket.ask({ rid }, note(client.jid, 'mine') + note(listener.jid, 'once'));
    const other = await socket.ask({ rid }, note(listener.jid, 'something else'));
    assert.deepEqual([again.text, other.text], [answer.text, answer.text]);
    await socket.ask({}, note(client.jid, 'more') + note(listener.jid, 'twice'));
    await listener.waitFor('the next', of.message('twice'));
    assert.deepEqual(bodies(listener), ['once', 'twice']);
  });

  it('an answer lost with its connection is there for the same request', async () => {
    const { client, socket } = await byHand(d, { bosh: { wait: 60 } });
    const rid = socket.rid++;
    const lost = post(socket.where, bodyText({ rid, sid: socket.sid }));
    const outcome = lost.catch(() => 'lost');
    lost.request.on('finish', () => lost.request.destroy());
    assert.equal(await outcome, 'lost');
    const listener = await d.guest();
    listener.raw(note(client.jid, 'meanwhile'));
    await listener.ping();
    const { el } = await socket.ask({ rid });
    assert.equal(el.getChild('message').getChildText('body'), 'meanwhile');
  });

  it('a session terminated is over for everybody', async () => {
    const room = await d.room();
    const other = await d.guest(room);
    const bosh = await d.guest(room);
    await other.enter(room);
    await bosh.enter(room);
    const { sid } = bosh.socket;
    await bosh.close();
    assert.deepEqual(bosh.closedHow, { code: 1000, reason: '' });
    await other.waitFor('his leaving', of.left(`${room}/${bosh.nick}`));
    const { el } = await post(bosh.socket.where, bodyText({ rid: bosh.socket.rid, sid }));
    assert.deepEqual([el.attrs.type, el.attrs.condition], ['terminate', 'item-not-found']);
  });

  it('nothing to say is said after the time the client asked for', async () => {
    const { socket } = await byHand(d, { bosh: { wait: 1 } });
    const [{ el }, ms] = await timed(socket.ask());
    assert.ok(ms >= 900 && ms < 5000, `${ms} ms`);
    assert.equal(el.children.length, 0);
    assert.equal(el.attrs.type, undefined);
  });

  const bad = {
    'no XML': ['hello', 'bad-request'],
    'nothing': ['', 'bad-request'],
    'another element': ['<message/>', 'bad-request'],
    'half a body': [`<body xmlns='${BOSH}' rid='1'`, 'bad-request'],
    'two bodies': [bodyText({ rid: 1, to: 'meet.example.com' }).repeat(2), 'bad-request'],
    'no rid': [bodyText({ to: 'meet.example.com' }), 'bad-request'],
    'no domain': [bodyText({ rid: 1, wait: 1 }), 'improper-addressing'],
    'a key': [bodyText({ rid: 1, to: 'meet.example.com', newkey: 'ca393b51b682f61f98e7877d61146407f3d0a770' }), 'bad-request'],
    'a session nobody has': [bodyText({ rid: 1, sid: '0'.repeat(32) }), 'item-not-found'],
    'the empty name of a session': [bodyText({ rid: 1, sid: '' }), 'item-not-found'],
  };
  for (const [name, [text, condition]] of Object.entries(bad)) {
    it(`${name}: ${condition}`, async () => {
      const answer = await post(d.address({ via: 'vestibule' }), text);
      assert.equal(answer.status, 200);
      assert.deepEqual([answer.el.attrs.type, answer.el.attrs.condition], ['terminate', condition]);
    });
  }

  it('a domain that is not served ends the session', async () => {
    const client = await d.socket();
    client.raw(`<open xmlns='${NS.framing}' to='other.example.org' version='1.0'/>`);
    await client.closed;
    assert.equal(client.closedHow.reason, 'remote-stream-error', client.tail());
  });

  it('what is no stanza ends the session with the error it is on a WebSocket', async () => {
    const { client, socket } = await byHand(d);
    const { el } = await socket.ask({}, '<presence xmlns=\'jabber:server\'/>');
    assert.deepEqual([el.attrs.type, el.attrs.condition], ['terminate', 'remote-stream-error']);
    assert.ok(el.getChild('error', NS.streams).getChild('invalid-namespace'), String(el));
    await client.closed;
  });

  it('a session that Prosody resumes goes on by BOSH and by WebSocket', async () => {
    const listener = await d.guest();
    const first = await d.guest();
    await first.enableResumption();
    await first.drop();
    const second = await d.connect({ resumes: first });
    await second.drop();
    const third = await d.connect({ resumes: second, transport: 'websocket' });
    third.raw(note(listener.jid, 'the same'));
    const el = await listener.waitFor('what it says', of.message('the same'));
    assert.equal(el.attrs.from, first.jid);
  });
});

scenario('BOSH as HTTP', {
  transport: 'bosh', config: {
    listen: { allowed_origins: ['https://meet.example.com'] }, limits: { handshake_timeout: '1s' },
  },
}, (d, it) => {
  const where = () => ({ port: d.ports.vestibule });
  const origin = 'Origin: https://meet.example.com';
  const http = (method, headers = [], content = '') => exchange(where(), request({
    method, target: '/http-bind?room=x', host: d.domain, headers: [origin, 'Connection: close', ...headers],
  }) + content);
  const body = bodyText({ rid: 1, sid: 'none' });
  const length = `Content-Length: ${body.length}`;

  it('a browser\'s question beforehand is answered', async () => {
    const { status, head } = await http('OPTIONS', ['Access-Control-Request-Method: POST', 'Access-Control-Request-Headers: content-type']);
    assert.equal(status, 204);
    assert.match(head, /^Access-Control-Allow-Origin: https:\/\/meet\.example\.com\r?$/m);
    assert.match(head, /^Access-Control-Allow-Methods: .*POST/m);
    assert.match(head, /^Access-Control-Allow-Headers: .*Content-Type/m);
    assert.match(head, /^Vary: Origin\r?$/m);
  });

  it('an answer says that the page may read it', async () => {
    const { status, head } = await http('POST', [length], body);
    assert.equal(status, 200);
    assert.match(head, /^Access-Control-Allow-Origin: https:\/\/meet\.example\.com\r?$/m);
  });

  it('a page of another origin gets nothing', async () => {
    for (const method of ['OPTIONS', 'POST', 'GET']) {
      const { status, head } = await exchange(where(), request({
        method, target: '/http-bind', host: d.domain, headers: ['Origin: https://evil.example.org', 'Connection: close', ...(method === 'POST' ? [length] : [])],
      }) + (method === 'POST' ? body : ''));
      assert.equal(status, 403);
      assert.doesNotMatch(head, /Access-Control/);
    }
  });

  it('GET and HEAD say what there is', async () => {
    const got = await http('GET');
    assert.equal(got.status, 200);
    assert.match(got.body, /BOSH/);
    const head = await http('HEAD');
    assert.deepEqual([head.status, head.body], [200, '']);
    assert.match(head.head, new RegExp(`^Content-Length: ${got.body.length}\r$`, 'm'));
  });

  const refused = {
    'no length': ['POST', [], '', 411],
    'chunks': ['POST', ['Transfer-Encoding: chunked'], `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`, 411],
    'chunks and a length': ['POST', ['Transfer-Encoding: chunked', length], body, 400],
    'another coding': ['POST', ['Transfer-Encoding: gzip, chunked'], body, 400],
    'two lengths': ['POST', [length, 'Content-Length: 5'], body, 400],
    'the same length twice': ['POST', [length, length], body, 400],
    'a list of lengths': ['POST', [`${length}, ${body.length}`], body, 400],
    'a negative length': ['POST', ['Content-Length: -1'], body, 400],
    'a length with a sign': ['POST', [`Content-Length: +${body.length}`], body, 400],
    'a length in hexadecimal': ['POST', ['Content-Length: 0x10'], body, 400],
    'too long a body': ['POST', ['Content-Length: 99999999'], '', 413],
    'a length past all numbers': ['POST', ['Content-Length: 99999999999999999999999999'], '', 413],
    'a GET with a body': ['GET', [length], body, 400],
    'another method': ['PUT', [length], body, 405],
    'what nobody can expect': ['POST', [length, 'Expect: miracles'], body, 417],
  };
  for (const [name, [method, headers, content, status]] of Object.entries(refused)) {
    it(`${name}: ${status}`, async () => {
      const answer = await http(method, headers, content);
      assert.equal(answer.status, status, answer.head);
      assert.match(answer.head, /^Connection: close\r?$/m);
    });
  }

  it('a body that is not sent before it is asked for is asked for', async () => {
    const answer = await http('POST', [length, 'Expect: 100-continue']).catch((problem) => problem);
    assert.match(answer.message || answer.head, /^HTTP\/1\.1 100 Continue/m);
  });

  it('one connection carries many requests, and what is behind one is the next', async () => {
    const one = request({ method: 'POST', target: '/http-bind', host: d.domain, headers: [origin, length] }) + body;
    const last = request({ method: 'POST', target: '/http-bind', host: d.domain, headers: [origin, length, 'Connection: close'] }) + body;
    const { head, body: rest } = await exchange(where(), one + one + last);
    const all = `${head}\r\n\r\n${rest}`;
    assert.equal(all.match(/HTTP\/1\.1 200 OK/g).length, 3);
    assert.equal(all.match(/item-not-found/g).length, 3);
  });

  it('a body on its way for too long ends its connection', async () => {
    const quick = await exchange(where(), request({
      method: 'POST', target: '/http-bind', host: d.domain, headers: [origin, length],
    }) + body.slice(0, 10), 20000);
    assert.ok(Number.isNaN(quick.status), quick.head);
  });
});

scenario('BOSH without Prosody', { transport: 'bosh', isProsodyUp: false, expect: [/Prosody cannot be reached/, /not logged in/] }, (d, it) => {
  it('the client is told at once', async () => {
    const client = await d.socket({ via: 'vestibule' });
    client.raw(`<open xmlns='${NS.framing}' to='${d.domain}' version='1.0'/>`);
    const [how, ms] = await timed(client.closed);
    assert.equal(how.reason, 'remote-connection-failed');
    assert.ok(ms < 3000, `${ms} ms`);
  });
});

scenario('BOSH while connections break', { transport: 'bosh', recorder: true, expect: [/stream ended why=PROSODY_LOST/] }, (d, it) => {
  it('who loses the connection to Prosody is told, also by his next request', async () => {
    const { client, wire } = await d.recorded({ via: 'vestibule' });
    wire.cut();
    assert.equal((await client.closed).reason, 'remote-connection-failed');

    const { client: idle, wire: his } = await d.recorded({ via: 'vestibule' });
    idle.socket.isManual = true;
    await idle.socket.ask({}, note(idle.jid, 'x'));
    await Promise.all([...idle.socket.open].map((open) => new Promise((resolve) => { open.on('close', resolve); })));
    his.cut();
    await d.vestibule.waitForLog(/PROSODY_LOST/);
    const { el } = await idle.socket.ask();
    assert.deepEqual([el.attrs.type, el.attrs.condition], ['terminate', 'remote-connection-failed']);
    const { el: after } = await post(idle.socket.where, bodyText({ rid: idle.socket.rid, sid: idle.socket.sid }));
    assert.equal(after.attrs.condition, 'item-not-found');
  });

  it('Prosody hears of the query and the address of the one who asked for the session', async () => {
    const { client, wire } = await d.recorded({ parameters: { room: 'somewhere', customusername: 'x' }, headers: { 'User-Agent': 'a browser' } });
    assert.match(wire.request, /^GET \/xmpp-websocket\?.*room=somewhere&customusername=x&mark=/);
    assert.match(wire.up.head, /^User-Agent: a browser\r?$/m);
    assert.match(wire.up.head, /^X-Forwarded-For: 127\.0\.0\.1/m);
    assert.doesNotMatch(wire.up.head, /^Content-/m);
    await client.close();
  });
});

scenario('BOSH at a stop', { transport: 'bosh' }, (d, it) => {
  it('requests that wait are answered, and the process ends in time', async () => {
    const held = await Promise.all(['nginx', 'vestibule'].map(async (via) => {
      const { socket } = await byHand(d, { via });
      const [first, second] = [socket.ask(), socket.ask()];
      await first; // since the second is there
      return { second }; // not awaited here
    }));
    const [, ms] = await timed(d.vestibule.program.stop());
    assert.ok(ms < 5000, `${ms} ms`);
    for (const { second } of held) assert.equal((await second).el.attrs.condition, 'system-shutdown');
  });
});

scenario('BOSH within limits', {
  transport: 'bosh', config: { limits: { connections_per_ip: 2 }, token: { on_invalid: 'refuse' } }, expect: [],
}, (d, it) => {
  it('a session counts as a connection, until it is over', async () => {
    const [one, two] = [await d.guest(), await d.guest(undefined, undefined, { transport: 'websocket' })];
    const refused = await d.socket();
    refused.raw(`<open xmlns='${NS.framing}' to='${d.domain}' version='1.0'/>`);
    assert.equal((await refused.closed).code, 429);
    await two.close();
    await d.guest();
    await one.close();
    await d.guest();
    for (const client of d.clients) if (client.socket.sid && !client.closedHow) await client.close();
  });

  it('a token that is not valid is refused where no session is made for it', async () => {
    const room = await d.room();
    const client = await d.socket({ parameters: { room: room.split('@')[0], token: 'x.y.z' } });
    client.raw(`<open xmlns='${NS.framing}' to='${d.domain}' version='1.0'/>`);
    assert.equal((await client.closed).code, 403);
  });
});
