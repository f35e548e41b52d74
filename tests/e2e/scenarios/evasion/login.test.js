// Who a stream is, and what its token says, is Prosody's word alone: however the login is written, and
// whatever a client sends himself, a lobby user meets the lobby.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { token, now } = require('../../lib/token');
const { NS, bare, error, hasStatus, joinStanza, adminItem } = require('../../lib/stanza');

const node = (room) => room.split('@')[0];
const bindRequest = (type) => `<iq xmlns='jabber:client'${type} id='b1'><bind xmlns='${NS.bind}'/></iq>`;

const isInside = (room) => (el) => el.is('presence') && bare(el.attrs.from) === room && hasStatus(el, 110);

// A lobby user of room up to where he would bind.
async function unbound(d, room) {
  const text = token(d.domain, node(room), { lobby: true });
  const client = await d.socket({ via: 'vestibule', parameters: { room: node(room), token: text } });
  await client.startStream(d.domain);
  await client.authenticate();
  await client.startStream(d.domain);
  return client;
}

// He asks for a bind of that type, and joins in the same packet.
async function bindsAndJoins(d, room, type) {
  const client = await unbound(d, room);
  client.rawTogether([bindRequest(type && ` type='${type}'`), joinStanza(room, { nick: 'e', name: 'e' })]);
  return client;
}

scenario('a login of another kind', { expect: [/stream ended why=(NOT_BOUND|PROSODY_LOST)/] }, (d, it) => {
  async function assertMeetsLobby(room, client) {
    const refused = await client.waitFor('the lobby', (el) => el.is('presence') && bare(el.attrs.from) === room);
    assert.equal((error(refused) || {}).condition, 'registration-required', String(refused));
    assert.ok(!client.heard(isInside(room)));
    assert.equal((await d.state(room)).members_only, true);
  }

  for (const type of ['set', 'get']) {
    it(`a join behind a bind request of type ${type} is judged`, async () => {
      const room = await d.room();
      await assertMeetsLobby(room, await bindsAndJoins(d, room, type));
    });
  }

  it('a join before any bind request ends the stream', async () => {
    const room = await d.room();
    const client = await unbound(d, room);
    client.raw(joinStanza(room, { nick: 'e', name: 'e' }));
    await client.closed;
    assert.ok(client.heard((el) => el.getName() === 'error' && el.getChild('not-authorized')), client.tail());
    assert.ok(!client.heard(isInside(room)));
    assert.equal((await d.state(room)).members_only, false);
  });

  it('a token that is not valid yet at the handshake, and is at login, counts', async () => {
    const room = await d.room();
    const nbf = now() + 3;
    const text = token(d.domain, node(room), { lobby: true, nbf });
    const client = await d.socket({ parameters: { room: node(room), token: text } });
    const clock = await d.guest();
    while (Date.now() < (nbf + 1) * 1000) await clock.ping();
    await client.login(d.domain);
    client.raw(joinStanza(room, { nick: 'early', name: 'early' }));
    await assertMeetsLobby(room, client);
  });

  // An answer to a bind request, sent by a client to himself: Prosody delivers it.
  async function pretendToBe(client, victim) {
    client.raw(`<iq xmlns='jabber:client' type='set' id='t1' to='${client.jid}'>` +
      `<bind xmlns='${NS.bind}'><jid>${victim}/other</jid></bind></iq>`);
    await client.waitFor('his own', (el) => el.is('iq') && el.getChild('bind', NS.bind) && el.attrs.from === client.jid);
  }

  for (const affiliation of ['outcast', 'owner']) {
    it(`who sends himself an answer to a bind request does not change who is ${affiliation}`, async () => {
      const room = await d.room();
      const focus = await d.focus();
      const victim = bare((await d.plain(room, 'victim')).jid);
      const set = await focus.iq('set', room, adminItem({ jid: victim, affiliation }));
      assert.equal(set.attrs.type, 'result', String(set));
      const asker = await d.asker(room, 'asker');
      await asker.enterLobby(room);
      const liar = await d.plain(room, 'liar');
      await pretendToBe(liar, victim);
      await liar.enter(room);
      const list = await focus.iq('get', room, adminItem({ affiliation }));
      const jids = list.getChild('query', NS.admin).getChildren('item').map((item) => item.attrs.jid);
      assert.ok(jids.includes(victim), String(list));
    });
  }

  it('nor who has been let in: the lobby user he names still waits', async () => {
    const room = await d.room();
    const asker = await d.asker(room, 'asker');
    await asker.enterLobby(room);
    const liar = await d.plain(room, 'liar');
    await pretendToBe(liar, bare(asker.jid));
    await liar.enter(room);
    const again = await asker.join(room, { nick: 'again' });
    assert.equal((again.error || {}).condition, 'registration-required', String(again.el));
  });

  for (const [name, makeOptions] of Object.entries({
    'a plain token for another room': (other) => ({ room: other, as: {} }),
    'no token': () => ({}),
  })) {
    it(`a lobby user's session that is resumed with ${name} meets the lobby`, async () => {
      const [room, other] = [await d.room(), await d.room()];
      const old = await d.asker(room, 'asker');
      await old.enableResumption();
      await old.drop();
      const again = await d.connect({ ...makeOptions(other), resumes: old });
      await again.enterLobby(room);
      assert.equal((await d.state(room)).members_only, true);
    });
  }
});

// Prosody binds nobody for these; to a result it does not even answer.
scenario('a bind request that is none', {
  config: { limits: { handshake_timeout: '1s' } }, expect: [/stream ended why=(NOT_BOUND|HANDSHAKE_TIMEOUT)/],
}, (d, it) => {
  for (const [type, condition] of [['result', 'connection-timeout'], ['', 'not-authorized']]) {
    it(`a join behind one of ${type ? `type ${type}` : 'no type'} ends the stream`, async () => {
      const room = await d.room();
      const client = await bindsAndJoins(d, room, type);
      await client.closed;
      assert.ok(client.heard((el) => el.getName() === 'error' && el.getChild(condition)), client.tail());
      assert.ok(!client.heard(isInside(room)));
      assert.equal((await d.state(room)).members_only, false);
    });
  }
});

const sasl = {
  anonymous: `<auth xmlns='${NS.sasl}' mechanism='ANONYMOUS'/>`,
  unreadable: `<auth xmlns='${NS.sasl}' mechanism='ANONYMOUS'>!</auth>`,
  plain: `<auth xmlns='${NS.sasl}' mechanism='PLAIN'>AGpvaG4AeA==</auth>`,
  response: `<response xmlns='${NS.sasl}'/>`,
  abort: `<abort xmlns='${NS.sasl}'/>`,
  open: `<open xmlns='${NS.framing}' to='meet.example.com' version='1.0'/>`,
};

async function logsInAtLast(client, domain) {
  assert.equal((await client.authenticate()).name, 'success');
  await client.startStream(domain);
  await client.bind();
}

const isFailure = (el) => el.is('failure', NS.sasl);

// What a failure says of the token: nothing, unless Prosody looked at it.
scenario('a token that Prosody takes and Vestibule does not', {
  config: { token: { accepted_audiences: ['elsewhere'] } },
}, (d, it) => {
  const fails = {
    'at once': [],
    'after a mechanism that is not there': ['plain'],
    'after an abort': ['abort'],
    'after a response to nothing': ['response'],
    'after what is not base64': ['unreadable'],
    'after that and a response': ['unreadable', 'response'],
    'after four of them': ['plain', 'abort', 'unreadable', 'response'],
  };
  for (const [name, before] of Object.entries(fails)) {
    it(`${name}: he does not come in as a guest where the room is open`, async () => {
      const room = await d.room();
      const text = token(d.domain, node(room), { lobby: true });
      const client = await d.socket({ parameters: { room: node(room), token: text } });
      await client.startStream(d.domain);
      for (const one of before) {
        client.raw(sasl[one]);
        await client.waitFor(`the failure of ${one}`, isFailure);
      }
      await logsInAtLast(client, d.domain);
      assert.equal((await client.join(room)).entered, false);
      assert.ok(!client.heard(isInside(room)));
    });
  }
});

// The other way: plain tokens for "jitsi" are refused by Prosody and would be good here.
scenario('a token that Vestibule takes and Prosody does not', {
  prosody: { JWT_ACCEPTED_AUDIENCES: 'others' },
  expect: [/stream ended why=PROSODY_LOST/], // Prosody may end the former stream of a resumed session first
}, (d, it) => {
  const plain = (room) => ({ room: node(room), token: token(d.domain, node(room)) });
  const aud = 'others';

  async function guestAfterRefusal(room) {
    const client = await d.socket({ parameters: plain(room) });
    await client.startStream(d.domain);
    assert.equal((await client.authenticate()).name, 'failure');
    await logsInAtLast(client, d.domain);
    return client;
  }

  it('opens nothing', async () => {
    const room = await d.room();
    await (await d.connect({ room, as: { lobby: true, aud } })).enterLobby(room);
    await (await guestAfterRefusal(room)).enterLobby(room);
  });

  it('nor in the session that is resumed later, without a token', async () => {
    const room = await d.room();
    await (await d.connect({ room, as: { lobby: true, aud } })).enterLobby(room);
    const old = await guestAfterRefusal(room);
    await old.enableResumption();
    await old.drop();
    await (await d.connect({ resumes: old })).enterLobby(room);
  });

  it('one that both take opens what it did, whatever failed before it was looked at', async () => {
    const room = await d.room();
    await (await d.connect({ room, as: { lobby: true, aud } })).enterLobby(room);
    const parameters = { room: node(room), token: token(d.domain, node(room), { aud }) };
    const client = await d.socket({ parameters, name: 'plain' });
    await client.startStream(d.domain);
    for (const one of ['plain', 'abort', 'unreadable']) {
      client.raw(sasl[one]);
      await client.waitFor(`the failure of ${one}`, isFailure);
    }
    await logsInAtLast(client, d.domain);
    await client.enter(room);
  });
});

// Who he is must not be for the order to say in which two answers come.
scenario('two logins at once', { recorder: true, expect: [/stream ended why=OUT_OF_ORDER/] }, (d, it) => {
  for (const order of ['anonymous plain', 'anonymous open plain', 'anonymous plain open', 'plain anonymous',
    'plain abort anonymous', 'anonymous response']) {
    it(`${order}: the stream ends, and Prosody hears the first`, async () => {
      const mark = order.replaceAll(' ', '-');
      const client = await d.socket({ via: 'vestibule', parameters: { mark } });
      await client.startStream(d.domain);
      const wire = d.recorder.of(mark);
      client.rawTogether(order.split(' ').map((name) => sasl[name]));
      await client.waitFor('the stream error', (el) => el.getName() === 'error' && el.getChild('policy-violation'));
      await client.closed;
      await wire.ended;
      assert.equal(wire.up.messages.filter((text) => /^<(auth|response)/.test(text)).length, 1);
    });
  }

  it('an abort needs no waiting for', async () => {
    const room = await d.room();
    const client = await d.socket({ via: 'vestibule' });
    await client.startStream(d.domain);
    client.rawTogether([sasl.abort, sasl.abort, sasl.anonymous]);
    await client.waitFor('success', (el) => el.is('success', NS.sasl));
    await client.startStream(d.domain);
    await client.bind();
    await client.enter(room);
  });
});
