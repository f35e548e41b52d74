// By BOSH as by WebSocket: whatever a lobby user writes, however he cuts it into bodies and requests, he
// is in a main room only when its lobby let him in, and nobody else notices.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { BOSH, XBOSH, bodyText, post } = require('../../lib/bosh');
const { joinsWritten, notOneElement } = require('../../lib/evasion');
const { exchange, request } = require('../../lib/http');
const { token } = require('../../lib/token');
const { NS, of, bare, error, resource, joinStanza, formSubmit } = require('../../lib/stanza');

const C = 'xmlns=\'jabber:client\'';
const EXPECTED = /stream ended why=(FRAMING|NOT_WELL_FORMED|BAD_NAMESPACE|RESTRICTED_XML|INVALID_NAMESPACE|TOO_LARGE|NOT_BOUND|OUT_OF_ORDER|PROSODY_CLOSED|TOO_MUCH)|rejections/;
const node = (room) => room.split('@')[0];
const join = (room, nick = 'me') => joinStanza(room, { nick, name: 'n' });
const muc = `<x xmlns='${NS.muc}'/><nick xmlns='${NS.nick}'>n</nick>`;
const bindRequest = `<iq ${C} type='set' id='b1'><bind xmlns='${NS.bind}'/></iq>`;

scenario('evasion by BOSH', { transport: 'bosh', recorder: true, expect: [EXPECTED] }, (d, it) => {
  // A lobby user who is logged in, whose further requests the test makes.
  async function asker(room, options = {}) {
    const { client, wire } = await d.recorded({ room, as: { lobby: true }, name: 'asker', via: 'vestibule', ...options });
    client.socket.isManual = true;
    return { client, wire, socket: client.socket };
  }

  // Somebody inside, who is to stay there.
  async function withBystander() {
    const room = await d.room();
    const bystander = await d.plain(room, 'bystander', { transport: 'websocket' });
    await bystander.enter(room);
    return { room, bystander };
  }

  // Nobody but focus and these was ever seen inside; who was is there still.
  async function assertAlone(room, ...users) {
    const focus = await d.focus();
    const nicks = ['focus', ...users.map((user) => user.nick)];
    await focus.ping();
    const strange = focus.received.map(({ el }) => el).filter((el) => el.is('presence') && !el.attrs.type &&
      bare(el.attrs.from) === room && !nicks.includes(resource(el.attrs.from)));
    assert.deepEqual(strange.map(String), []);
    for (const user of users) {
      await user.ping();
      assert.ok(!user.heard(of.left(`${room}/${user.nick}`)), `${user.name} was thrown out`);
    }
  }

  // Asks until what comes of joining the room is there: it must be the lobby.
  async function assertMeetsLobby(room, client) {
    client.socket.isManual = false;
    if (client.socket.open.size === 0 && !client.socket.isEnded) client.socket.ask();
    const ofRoom = (el) => el.is('presence') && bare(el.attrs.from) === room;
    await client.waitFor('the lobby', (el) => ofRoom(el) && (error(el) || {}).condition === 'registration-required');
    assert.ok(!client.heard((el) => ofRoom(el) && el.attrs.type !== 'error'), client.tail());
    assert.equal((await d.state(room)).members_only, true);
  }

  for (const [name, make] of Object.entries(joinsWritten)) {
    it(`a join with ${name} is held to the lobby`, async () => {
      const { room, bystander } = await withBystander();
      const { client, socket } = await asker(room);
      socket.ask({}, make(room));
      await assertMeetsLobby(room, client);
      await assertAlone(room, bystander);
    });
  }

  // What a child has from the body around it.
  const body = (socket, attributes, inside, name = 'body') =>
    `<${name} rid='${socket.rid++}' sid='${socket.sid}' ${attributes}>${inside}</${name}>`;
  const inherited = {
    'no namespace of its own': (s, room) => body(s, `xmlns='${BOSH}'`, `<presence to='${room}/me'>${muc}</presence>`),
    'the namespace of BOSH': (s, room) => body(s, `xmlns='${BOSH}'`, `<presence xmlns='${BOSH}' to='${room}/me'>${muc}</presence>`),
    'the namespace the body declares': (s, room) =>
      body(s, `xmlns:b='${BOSH}' xmlns='jabber:client'`, `<presence to='${room}/me'>${muc}</presence>`, 'b:body'),
    'no namespace at all': (s, room) => body(s, `xmlns:b='${BOSH}'`, `<presence to='${room}/me'>${muc}</presence>`, 'b:body'),
    'a namespace taken back': (s, room) => body(s, `xmlns='${BOSH}'`, `<presence xmlns='' to='${room}/me'>${muc}</presence>`),
    'a prefix of the body': (s, room) =>
      body(s, `xmlns='${BOSH}' xmlns:c='jabber:client' xmlns:m='${NS.muc}'`, `<c:presence to='${room}/me'><m:x/><nick xmlns='${NS.nick}'>n</nick></c:presence>`),
    'the prefix of BOSH': (s, room) => body(s, `xmlns:b='${BOSH}'`, `<b:presence to='${room}/me'>${muc}</b:presence>`, 'b:body'),
    'a prefix that means something else outside': (s, room) => body(s, `xmlns='${BOSH}' xmlns:c='urn:other'`,
      `<c:presence xmlns:c='jabber:client' to='${room}/me'>${muc}</c:presence>`),
    'references in the body\'s declaration': (s, room) =>
      body(s, `xmlns:b='http&#58;//jabber.org/protocol/httpbind' xmlns:c='jabber&#x3a;client'`, `<c:presence to='${room}/me'>${muc}</c:presence>`, 'b:body'),
    'a join in the namespace of the body': (s, room) =>
      body(s, `xmlns:b='${BOSH}' xmlns='${NS.muc}'`, `<c:presence xmlns:c='jabber:client' to='${room}/me'><x/><nick xmlns='${NS.nick}'>n</nick></c:presence>`, 'b:body'),
  };
  for (const [name, make] of Object.entries(inherited)) {
    it(`a join with ${name}: the user meets the lobby or nothing`, async () => {
      const { room, bystander } = await withBystander();
      const { client, socket } = await asker(room);
      const answered = socket.askText(make(socket, room));
      socket.isManual = false;
      const answer = await answered;
      if (!socket.isEnded) await client.ping();
      else assert.equal(answer.el.attrs.type, 'terminate');
      await assertAlone(room, bystander);
      if (client.heard((el) => el.is('presence') && bare(el.attrs.from) === room)) await assertMeetsLobby(room, client);
    });
  }

  const cut = {
    'two joins in one body': (room) => join(room, 'one') + join(room, 'two'),
    'a join behind another stanza': (room) => `<message ${C} to='${room}'/>${join(room)}`,
    'a join and a change of nick': (room) => `${join(room)}<presence ${C} to='${room}/other'/>`,
    'a change of nick before the join': (room) => `<presence ${C} to='${room}/other'/>${join(room)}`,
    'a join, leaving, a join': (room) => `${join(room)}<presence ${C} to='${room}/me' type='unavailable'/>${join(room, 'again')}`,
    'a join behind an error': (room) => `<presence ${C} to='${room}/me' type='error'>${muc}<error type='cancel'/></presence>${join(room)}`,
    'ten joins': (room) => Array.from({ length: 10 }, (_, i) => join(room, `n${i}`)).join(''),
  };
  for (const [name, make] of Object.entries(cut)) {
    it(`${name} in one body`, async () => {
      const { room, bystander } = await withBystander();
      const { client, socket } = await asker(room);
      socket.ask({}, make(room));
      await assertMeetsLobby(room, client);
      await assertAlone(room, bystander);
    });
  }

  it('joins in two bodies at once, the later one first', async () => {
    const { room, bystander } = await withBystander();
    const { client, socket } = await asker(room);
    const rid = socket.rid;
    socket.rid += 2;
    socket.ask({ rid: rid + 1 }, join(room, 'second'));
    socket.ask({ rid }, join(room, 'first'));
    await assertMeetsLobby(room, client);
    await assertAlone(room, bystander);
  });

  it('two sessions with the same token join at once', async () => {
    const { room, bystander } = await withBystander();
    const both = await Promise.all([asker(room), asker(room)]);
    for (const { socket } of both) socket.ask({}, join(room, socket.sid.slice(0, 8)));
    for (const { client } of both) await assertMeetsLobby(room, client);
    await assertAlone(room, bystander);
  });

  // Before login.
  async function early(room) {
    const text = token(d.domain, node(room), { lobby: true });
    return d.socket({ via: 'vestibule', parameters: { room: node(room), token: text } });
  }
  const features = (client) => client.waitFor('features', (el) => el.getName() === 'features');

  const unbound = {
    'in the request that asks for the session': async (client, room) => client.socket.create({ to: d.domain }, join(room)),
    'before login': async (client, room) => {
      client.socket.create({ to: d.domain });
      await features(client);
      return client.socket.ask({}, join(room));
    },
    'with the restart': async (client, room) => {
      await client.startStream(d.domain);
      await client.authenticate();
      return client.socket.ask({ to: d.domain, 'xmpp:restart': 'true', 'xmlns:xmpp': XBOSH }, join(room));
    },
    'with a restart in the middle': async (client, room) => {
      await client.login(d.domain);
      return client.socket.ask({ to: d.domain, 'xmpp:restart': 'true', 'xmlns:xmpp': XBOSH }, join(room));
    },
  };
  for (const [name, attempt] of Object.entries(unbound)) {
    it(`a join ${name} ends the session and reaches nobody`, async () => {
      const { room, bystander } = await withBystander();
      const client = await early(room);
      attempt(client, room);
      const { reason } = await client.closed;
      assert.match(reason, /remote-stream-error|policy-violation/);
      await assertAlone(room, bystander);
      assert.equal((await d.state(room)).members_only, false);
    });
  }

  it('a join behind the bind request, in the same body or in the next one, is held to the lobby', async () => {
    for (const isTogether of [true, false]) {
      const { room, bystander } = await withBystander();
      const client = await early(room);
      await client.startStream(d.domain);
      await client.authenticate();
      await client.startStream(d.domain);
      client.socket.isManual = true;
      client.socket.ask({}, isTogether ? bindRequest + join(room) : bindRequest);
      if (!isTogether) client.socket.ask({}, join(room));
      await assertMeetsLobby(room, client);
      await assertAlone(room, bystander);
    }
  });

  it('a join in the terminating request: the lobby is on, and nobody came in', async () => {
    const { room, bystander } = await withBystander();
    const { client, socket } = await asker(room);
    await socket.end(join(room));
    await client.closed;
    await d.vestibule.waitForLog(new RegExp(`join room=${room} applicant=lobby`));
    await bystander.waitFor('the lobby being on', of.configChanged(room));
    await assertAlone(room, bystander);
    assert.equal((await d.state(room)).members_only, true);
  });

  it('half a join in one body and half in the next', async () => {
    const { room, bystander } = await withBystander();
    const { client, socket, wire } = await asker(room);
    const before = wire.up.messages.length;
    const whole = join(room);
    for (const half of [whole.slice(0, 40), whole.slice(40)]) {
      const { el } = await post(socket.where, bodyText({ rid: socket.rid++, sid: socket.sid }, half));
      assert.deepEqual([el.attrs.type, el.attrs.condition], ['terminate', 'bad-request']);
    }
    assert.deepEqual(wire.up.messages.slice(before), []);
    await assertAlone(room, bystander);
    await client.drop();
  });

  const nested = (room) => `<body xmlns='${BOSH}' rid='1'>${join(room)}</body>`;
  for (const [name, make] of Object.entries({
    'another body': nested, 'two more bodies': (room) => nested(room).repeat(2),
    'a message': (room) => `<message ${C} to='${room}'>${join(room)}</message>`,
    'an iq to the room': (room) => `<iq ${C} type='set' id='i' to='${room}'>${join(room)}</iq>`,
  })) {
    it(`a join inside ${name} is none`, async () => {
      const { room, bystander } = await withBystander();
      const { client, socket } = await asker(room);
      socket.isManual = false;
      socket.ask({}, make(room));
      await Promise.race([client.closed, client.ping()]).catch(() => {});
      await assertAlone(room, bystander);
      assert.equal((await d.state(room)).members_only, false);
    });
  }

  // Later requests.
  it('a second token, in the URL or the head of a later request, changes nothing', async () => {
    const { room, bystander } = await withBystander();
    const { client, socket } = await asker(room);
    const plain = token(d.domain, node(room), {});
    const url = new URL(socket.where.url);
    url.searchParams.set('token', plain);
    socket.ask({}, join(room), { url: url.href, headers: { Authorization: `Bearer ${plain}` } });
    await assertMeetsLobby(room, client);
    await assertAlone(room, bystander);

    const other = await d.room();
    const { client: user, socket: his } = await asker(other, { as: {} });
    const asking = token(d.domain, node(other), { lobby: true });
    const his_url = new URL(his.where.url);
    his_url.searchParams.set('token', asking);
    his.isManual = false;
    his.ask({}, join(other), { url: his_url.href, headers: { Authorization: `Bearer ${asking}` } });
    await user.waitFor('being inside', of.selfPresence(`${other}/me`));
    assert.equal((await d.state(other)).members_only, false);
  });

  it('a rid that was answered brings no join, whatever comes with it', async () => {
    const { room, bystander } = await withBystander();
    const { client, socket, wire } = await asker(room);
    const rid = socket.rid++;
    const first = await socket.ask({ rid }, `<message ${C} to='${client.jid}'><body>x</body></message>`);
    const before = wire.up.messages.length;
    const second = await socket.ask({ rid }, join(room));
    assert.equal(second.text, first.text);
    assert.deepEqual(wire.up.messages.slice(before), []);
    await assertAlone(room, bystander);
    assert.equal((await d.state(room)).members_only, false);
  });

  it('a rid that waits for its answer brings no join either', async () => {
    const { room, bystander } = await withBystander();
    const { socket, wire } = await asker(room);
    const rid = socket.rid++;
    const first = socket.ask({ rid });
    const second = socket.ask({ rid }, join(room));
    const before = wire.up.messages.filter((text) => text.includes(NS.muc)).length;
    socket.ask({}, '');
    await Promise.all([first, second]);
    // Which of the two came first is the network's: it is a join like any other, or none.
    await assertAlone(room, bystander);
    assert.ok(before <= 1);
  });

  for (const [name, jump] of Object.entries({ 'far ahead': 100, 'back': -100, 'to the end of numbers': 9007199254740991 - 2000000 })) {
    it(`a rid that jumps ${name} brings no join`, async () => {
      const { room, bystander } = await withBystander();
      const { socket, wire } = await asker(room);
      const before = wire.up.messages.length;
      const { el } = await socket.ask({ rid: socket.rid + jump }, join(room));
      assert.deepEqual([el.attrs.type, el.attrs.condition], ['terminate', 'item-not-found']);
      assert.deepEqual(wire.up.messages.slice(before).filter((text) => text.includes(NS.muc)), []);
      await assertAlone(room, bystander);
      assert.equal((await d.state(room)).members_only, false);
    });
  }

  it('nobody speaks for another by what is nearly his sid', async () => {
    const { room } = await withBystander();
    const victim = await d.plain(room, 'victim', { bosh: { rid: 5000 } });
    const { sid, rid, where } = victim.socket;
    const guesses = [sid.toUpperCase(), sid.slice(0, -1), `${sid}0`, ` ${sid}`, `${sid} `, `${sid}&#0;`, sid.replace(/./, '%')];
    for (const guess of guesses.filter((text) => text !== sid)) {
      const text = `<body xmlns='${BOSH}' rid='${rid}' sid='${guess}'>${join(room)}</body>`;
      const { el } = await post(where, text);
      assert.equal(el.attrs.type, 'terminate', guess);
    }
    await victim.enter(room);
  });

  it('key and newkey promise what is not kept, and make no session', async () => {
    const answer = await post(d.address({ via: 'vestibule' }), bodyText({ rid: 1, to: d.domain, wait: 1, hold: 1, newkey: 'abc' }));
    assert.equal(answer.el.attrs.type, 'terminate');
    assert.equal(answer.el.attrs.sid, undefined);
  });

  // How it is carried.
  it('a join in chunks, or hidden behind another length, is not read', async () => {
    const { room, bystander } = await withBystander();
    const { socket, wire } = await asker(room);
    const before = wire.up.messages.length;
    const text = bodyText({ rid: socket.rid, sid: socket.sid }, join(room));
    const chunked = `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n0\r\n\r\n`;
    for (const headers of [
      ['Transfer-Encoding: chunked'], ['Transfer-Encoding: chunked', `Content-Length: ${text.length}`],
      ['Content-Length: 0', `Content-Length: ${text.length}`], [`Content-Length: ${text.length}, 0`],
      ['Transfer-Encoding: identity', `Content-Length: ${text.length}`], ['Transfer-Encoding: xchunked'],
    ]) {
      const { status } = await exchange({ port: d.ports.vestibule }, request({
        method: 'POST', target: '/http-bind', host: d.domain, headers,
      }) + (headers[0].includes('chunked') ? chunked : text));
      assert.ok(status === 400 || status === 411, `${headers}: ${status}`);
    }
    assert.deepEqual(wire.up.messages.slice(before), []);
    await assertAlone(room, bystander);
  });

  it('what stands behind a body is the next request, or none', async () => {
    const { room, bystander } = await withBystander();
    const { socket, wire } = await asker(room);
    const before = wire.up.messages.length;
    const first = bodyText({ rid: 1, sid: 'nobody' });
    const behind = bodyText({ rid: socket.rid, sid: socket.sid }, join(room));
    const { head, body: rest } = await exchange({ port: d.ports.vestibule }, request({
      method: 'POST', target: '/http-bind', host: d.domain, headers: [`Content-Length: ${first.length}`],
    }) + first + behind + '\r\n\r\n');
    const all = `${head}\r\n\r\n${rest}`;
    assert.match(all, /item-not-found/);
    assert.match(all, /HTTP\/1\.1 400/);
    assert.deepEqual(wire.up.messages.slice(before), []);
    await assertAlone(room, bystander);
  });

  // Abuse.
  it('a pause is as long as is allowed, and a join with it is one', async () => {
    const { room, bystander } = await withBystander();
    const { client, socket } = await asker(room);
    assert.equal(socket.bodies[0].el.attrs.maxpause, '120');
    await socket.ask({ pause: 999999 }, join(room));
    await assertMeetsLobby(room, client);
    await assertAlone(room, bystander);
  });

  it('who asks over and over is cut off, and nobody else', async () => {
    const { room, bystander } = await withBystander();
    const { client, socket } = await asker(room);
    for (let i = 0; i < 60 && !socket.isEnded; i++) {
      socket.ask();
      if (i % 2) await new Promise((resolve) => { setImmediate(resolve); });
    }
    const { code, reason } = await client.closed;
    assert.equal(code, 1011);
    assert.match(reason, /^(policy-violation|item-not-found)$/); // which of many connections tells it first is the network's
    await assertAlone(room, bystander);
  });

  it('more stanzas than a body may hold are refused together', async () => {
    const { room, bystander } = await withBystander();
    const { socket, wire } = await asker(room);
    const before = wire.up.messages.length;
    const { el } = await post(socket.where, bodyText({ rid: socket.rid, sid: socket.sid }, join(room).repeat(300)));
    assert.equal(el.attrs.condition, 'bad-request');
    assert.deepEqual(wire.up.messages.slice(before), []);
    await assertAlone(room, bystander);
  });

  it('others who come by BOSH notice nothing', async () => {
    const { room, bystander } = await withBystander();
    const user = await d.plain(room, 'user');
    await user.enter(room);
    await assertAlone(room, bystander, user);
  });

  it('an approved user comes in, also when a moderator turns the lobby off for all', async () => {
    const room = await d.room();
    const host = await d.host(room);
    const user = await d.asker(room, 'asker');
    await user.enterLobby(room);
    host.approve(room, user.jid);
    await user.waitFor('the invitation', of.invitation(room));
    await user.enter(room);
    await host.iq('set', room, formSubmit({ 'muc#roomconfig_membersonly': '0' }));
    await user.leave(room);
    await user.enter(room);
    assert.equal((await d.state(room)).members_only, true);
  });
});

scenario('what no stream may carry, by BOSH', { transport: 'bosh', recorder: true, expect: [EXPECTED] }, (d, it) => {
  const LEGAL = ['two stanzas', 'white space before it', 'a line break before it', 'nothing', 'white space alone', 'no namespace'];
  for (const [name, [text]] of Object.entries(notOneElement).filter(([one]) => !LEGAL.includes(one))) {
    it(name, async () => {
      const { client, wire } = await d.recorded({ via: 'vestibule' });
      const { socket } = client;
      socket.isManual = true;
      const before = wire.up.messages.length;
      const { el } = await socket.ask({}, text);
      assert.equal(el.attrs.type, 'terminate');
      assert.match(el.attrs.condition, /^(bad-request|remote-stream-error)$/);
      if (el.attrs.condition === 'remote-stream-error') await wire.ended;
      assert.deepEqual(wire.up.messages.slice(before).filter((one) => one !== `<close xmlns='${NS.framing}'/>`), []);
    });
  }

  it('text that is not UTF-8', async () => {
    const { client, wire } = await d.recorded({ via: 'vestibule' });
    const { socket } = client;
    socket.isManual = true;
    const before = wire.up.messages.length;
    const text = bodyText({ rid: socket.rid, sid: socket.sid }, `<presence ${C}><status>\xff</status></presence>`);
    const { body } = await exchange({ port: d.ports.vestibule }, request({
      method: 'POST', target: '/http-bind', host: d.domain, headers: [`Content-Length: ${text.length}`, 'Connection: close'],
    }) + text, 10000, 'latin1');
    assert.match(body, /bad-request/);
    assert.deepEqual(wire.up.messages.slice(before), []);
  });
});
