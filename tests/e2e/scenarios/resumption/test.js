// XEP-0198 through Vestibule: a dropped connection loses nothing and doubles nothing, and both ends'
// counts are exact, also where Vestibule answered a stanza itself (wire fact 24).
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { NS, of, item, formSubmit } = require('../../lib/stanza');

const STANZA = /^<(message|presence|iq)\b/;
const h = (text) => Number(/ h='(\d+)'/.exec(text)[1]);

scenario('resumption', { recorder: true, expect: [/why=PROSODY_LOST/] }, (d, it) => {
  const body = (to, text) => `<message xmlns='jabber:client' to='${to}'><body>${text}</body></message>`;
  const bodies = (client) => client.received.map(({ el }) => el.getChildText('body')).filter(Boolean);
  const numbers = (from, to) => Array.from({ length: to - from }, (_, index) => String(from + index));
  const lobby = (room) => ({ room, as: { lobby: true } });

  async function resumable(options) {
    const { client, wire } = await d.recorded(options);
    await client.enableResumption();
    return { client, wire };
  }

  // As a network that is gone: what was sent to it since may be lost. The session waits in Prosody.
  async function resume(old, options) {
    await old.drop();
    return d.recorded({ resumes: old, ...options });
  }

  // Prosody is asked what it has handled, and answers with the client's own count.
  async function assertPeerCounts(client) {
    const from = client.received.length;
    client.raw(`<r xmlns='${NS.sm}'/>`);
    const ack = await client.waitFor('an acknowledgement', of.named('a', NS.sm), undefined, from);
    assert.equal(Number(ack.attrs.h), client.sm.outbound, 'what Prosody has handled, as the client is told');
  }

  // The client says what it has; Prosody is told the count of what it sent itself.
  async function assertOwnCounts(client, wire) {
    client.raw(`<a xmlns='${NS.sm}' h='${client.sm.inbound}'/>`);
    const marker = `<ping xmlns='${NS.ping}' count='${client.sm.outbound}'/>`;
    await client.iq('get', d.domain, marker);
    await wire.up.message('the ping behind it', (text) => text.includes(marker));
    const told = wire.up.messages.filter((text) => text.startsWith('<a ')).at(-1);
    const enabled = wire.down.messages.findIndex((text) => text.startsWith('<enabled'));
    const sent = wire.down.messages.slice(enabled + 1).filter((text) => STANZA.test(text)).length;
    assert.equal(h(told), sent - 1, 'what the client has, as Prosody is told; the answer came behind it');
  }

  // A lobby user whose room does not exist: Vestibule answers the join, Prosody never sees it.
  async function refusedJoin(client, room) {
    const { error } = await client.join(room, { nick: 'me' });
    assert.equal(error.condition, 'item-not-found');
  }

  it('what was said meanwhile comes, once and in order', async () => {
    const speaker = await d.guest();
    const { client: old } = await resumable();
    for (const text of numbers(0, 10)) speaker.raw(body(old.jid, text));
    await old.waitFor('the tenth', of.message('9'));
    await old.drop();
    for (const text of numbers(10, 20)) speaker.raw(body(old.jid, text));
    await speaker.ping();
    const { client: again } = await resume(old);
    for (const text of numbers(20, 30)) speaker.raw(body(old.jid, text));
    await again.waitFor('the last', of.message('29'));
    assert.deepEqual([...bodies(old), ...bodies(again)], numbers(0, 30));
    await assertPeerCounts(again);
  });

  it('what the client said before its connection to Prosody broke arrives, once and in order', async () => {
    const listener = await d.guest();
    const { client: old, wire } = await resumable();
    for (const text of numbers(0, 5)) old.raw(body(listener.jid, text));
    await assertPeerCounts(old);
    // Prosody reads no more of that connection: what follows is lost with it.
    wire.holdUp();
    for (const text of numbers(5, 10)) old.raw(body(listener.jid, text));
    assert.equal(old.sm.unacked.length, 5);
    wire.cut();
    await old.closed;
    const { client: again } = await d.recorded({ resumes: old });
    again.raw(body(listener.jid, '10'));
    await listener.waitFor('the last', of.message('10'));
    assert.deepEqual(bodies(listener), numbers(0, 11));
    await assertPeerCounts(again);
  });

  it('what was on its way when the client dropped arrives in the room, once', async () => {
    const room = await d.room();
    const other = await d.plain(room, 'other');
    await other.enter(room);
    const { client: old, wire } = await resumable({ room, as: {} });
    await old.enter(room);
    wire.mute();
    old.say(room, 'lost and found');
    await wire.up.message('it', (text) => text.includes('lost and found'));
    const { client: again } = await resume(old, { room, as: {} });
    await other.waitFor('it', of.message('lost and found'));
    await again.ping();
    await other.ping();
    assert.deepEqual(bodies(other), ['lost and found']);
    await assertPeerCounts(again);
  });

  it('a room goes on where it was, with everything said meanwhile', async () => {
    const room = await d.room();
    const other = await d.guest(room);
    await other.enter(room);
    const { client: old } = await resumable({ room });
    await old.enter(room);
    old.say(room, 'before');
    await old.waitFor('it', of.message('before'));
    await assertPeerCounts(old);
    await old.drop();
    for (const text of numbers(0, 20)) other.say(room, text);
    await other.waitFor('the last', of.message('19'));
    const { client: again } = await resume(old, { room });
    await again.waitFor('the last', of.message('19'));
    again.say(room, 'back');
    await other.waitFor('what it says', of.message('back'));
    await again.waitFor('its own words', (el) => of.message('back')(el) && el.attrs.to === old.jid);
    assert.deepEqual(bodies(again), [...numbers(0, 20), 'back']);
    assert.ok(!other.heard(of.left(`${room}/${old.nick}`)), 'nobody saw it leave');
    await assertPeerCounts(again);
  });

  it('resumed again and again', async () => {
    const room = await d.room();
    let { client } = await resumable({ room });
    await client.enter(room);
    for (let i = 0; i < 5; i++) {
      client.say(room, `round ${i}`);
      ({ client } = await resume(client, { room }));
      await client.waitFor('its words', of.message(`round ${i}`));
      await client.ping();
      await assertPeerCounts(client);
    }
  });

  it('it may resume while the old connection still looks alive', async () => {
    const { client: old } = await resumable();
    const { client: again } = await d.recorded({ resumes: old });
    await old.closed;
    again.raw(body(again.jid, 'to itself'));
    await again.waitFor('its own', of.message('to itself'));
    await assertPeerCounts(again);
    const { client: third } = await resume(again);
    await assertPeerCounts(third);
  });

  it('an unknown session is refused by Prosody, and the client begins a new one', async () => {
    const client = await d.socket();
    await client.startStream(d.domain);
    await client.authenticate();
    await client.startStream(d.domain);
    client.raw(`<resume xmlns='${NS.sm}' previd='nobody' h='3'/>`);
    await client.waitFor('<failed/>', of.named('failed', NS.sm));
    await client.bind();
    await client.enableResumption();
    await client.ping();
    await assertPeerCounts(client);
  });

  it('a resumed stream joins as its token says', async () => {
    const room = await d.room();
    const { client: old } = await resumable({ room, as: {} });
    await (await d.asker(room, 'asker')).enterLobby(room);
    const { client } = await resume(old, { room, as: {} });
    assert.equal(item((await client.enter(room)).el).affiliation, 'member');
  });

  it('a new token at resumption counts from then on', async () => {
    const room = await d.room();
    const { client: old } = await resumable({ room, as: {} });
    const { client } = await resume(old, lobby(room));
    await client.enterLobby(room);
    assert.equal((await d.state(room)).members_only, true);
  });

  it('without a new token the old one still counts', async () => {
    const room = await d.room();
    const { client: old } = await resumable(lobby(room));
    const { client } = await resume(old, { room });
    await client.enterLobby(room);
    assert.equal((await d.state(room)).members_only, true);
  });

  it('a resumption that fails says how much was handled, a refused join included', async () => {
    const room = `nowhere2@${d.muc}`;
    const { client: old } = await resumable(lobby(room));
    await refusedJoin(old, room);
    await old.ping();
    await assertPeerCounts(old);
    const sent = old.sm.outbound;
    await old.drop();
    const back = await d.socket({ parameters: { mark: 'failed', previd: old.sm.id } });
    await back.startStream(d.domain);
    await back.authenticate();
    await back.startStream(d.domain);
    const wire = d.recorder.of('failed');
    wire.mute(); // Prosody does not hear of it and cannot answer itself
    back.raw(`<resume xmlns='${NS.sm}' previd='${old.sm.id}' h='0'/>`);
    await wire.up.message('the request', (text) => text.startsWith('<resume'));
    wire.inject(`<failed xmlns='${NS.sm}' h='${sent}'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>`);
    const failed = await back.waitFor('<failed/>', of.named('failed', NS.sm));
    assert.equal(Number(failed.attrs.h), sent, 'the refused join counts as handled');
    assert.equal(failed.children[0].name, 'item-not-found');
  });

  it('the counts stay exact when Vestibule refuses joins in between', async () => {
    const room = `nowhere1@${d.muc}`;
    const { client, wire } = await resumable(lobby(room));
    await refusedJoin(client, room);
    await assertPeerCounts(client);
    await assertOwnCounts(client, wire);
    await client.ping();
    await refusedJoin(client, room);
    await refusedJoin(client, room);
    await client.ping();
    await assertPeerCounts(client);
    await assertOwnCounts(client, wire);
    assert.ok(!wire.up.messages.some((text) => text.includes(`${room}/me`)), 'the joins reached Prosody');
  });

  it('after a refused join that the client had acknowledged, it resumes with exact counts', async () => {
    const room = `nowhere2@${d.muc}`;
    const { client: old } = await resumable(lobby(room));
    await old.ping();
    await refusedJoin(old, room);
    await old.ping();
    await assertPeerCounts(old);
    const { client: again } = await resume(old, lobby(room));
    assert.deepEqual(again.sm.unacked, []);
    await again.ping();
    await assertPeerCounts(again);
    assert.ok(!again.heard((el) => el.attrs.type === 'error'), 'the refusal came twice');
    await refusedJoin(again, room);
    await again.ping();
    await assertPeerCounts(again);
    const { client: third } = await resume(again, lobby(room));
    await third.ping();
    await assertPeerCounts(third);
  });

  it('a refusal that the client never saw is sent again when it resumes, once', async () => {
    const room = `nowhere3@${d.muc}`;
    const { client: old } = await resumable(lobby(room));
    await old.ping();
    const seen = old.sm.inbound;
    await refusedJoin(old, room);
    await old.ping();
    await old.drop();
    // The refusal and the pong behind it were lost on the way.
    old.sm.inbound = seen;
    const { client: again, wire } = await resume(old, lobby(room));
    await again.ping();
    const refusals = again.received.filter(({ el }) => el.is('presence') && el.attrs.type === 'error');
    assert.equal(refusals.length, 1);
    assert.equal(refusals[0].el.attrs.from, `${room}/me`);
    assert.equal(again.sm.inbound, seen + 3, 'the refusal, the pong sent again, the new pong');
    await assertPeerCounts(again);
    // Prosody's own count: what it sent twice counts once.
    again.raw(`<a xmlns='${NS.sm}' h='${again.sm.inbound}'/>`);
    await again.ping();
    const told = wire.up.messages.filter((text) => text.startsWith('<a ')).at(-1);
    assert.equal(h(told), again.sm.inbound - 1, 'without the last pong');
    const { client: third } = await resume(again, lobby(room));
    assert.deepEqual(third.sm.unacked, []);
    await assertPeerCounts(third);
  });

  it('stanzas that were lost behind a refused join are asked for again, the join is not', async () => {
    const room = `nowhere4@${d.muc}`;
    const listener = await d.guest();
    const { client: old, wire } = await resumable(lobby(room));
    await old.ping();
    await refusedJoin(old, room);
    wire.holdUp();
    for (const text of numbers(0, 3)) old.raw(body(listener.jid, text));
    wire.cut();
    await old.closed;
    const { client: again } = await d.recorded({ resumes: old, ...lobby(room) });
    assert.equal(again.sm.unacked.length, 3, 'the join counts as handled');
    await listener.waitFor('the last', of.message('2'));
    assert.deepEqual(bodies(listener), numbers(0, 3));
    await assertPeerCounts(again);
  });
});

// Who hibernates is not told that he was thrown out; if he says that he has it, Prosody never says it again.
scenario('resumption beyond what was sent', { expect: [/why=PROSODY_LOST/] }, (d, it) => {
  it('who acknowledges more than he was sent is judged anew when he joins', async () => {
    const room = await d.room();
    const host = await d.host(room);
    const old = await d.asker(room, 'asker');
    await old.enableResumption();
    await old.enterLobby(room);
    host.approve(room, old.jid);
    await old.waitFor('the invitation', of.invitation(room));
    assert.ok((await old.join(room)).entered);
    await old.drop();
    host.kick(room, old.nick);
    await host.waitFor('his leaving', (el) => el.is('presence') && el.attrs.type === 'unavailable' && el.attrs.from === `${room}/${old.nick}`);
    await host.iq('set', room, formSubmit({ 'muc#roomconfig_membersonly': '0' }));
    old.sm.inbound++; // the presence that says so
    const asker = await d.connect({ room, as: { lobby: true }, resumes: old });
    assert.ok(!(await asker.join(room, { nick: 'again' })).entered);
    assert.equal((await d.state(room)).members_only, true, 'the lobby is on again');
  });
});

// Ids stand in the URLs of clients who resume, and so in access logs. Only Prosody knows whose each is.
// By WebSocket also where the others go by BOSH: there a connection that breaks is no end of a session.
scenario('an id somebody else read', { transport: 'websocket' }, (d, it) => {
  const inLobby = (room) => ({ room, as: { lobby: true } });

  // Who waits in the lobby of a room that is empty but for him.
  async function waiter() {
    const room = await d.room();
    const client = await d.asker(room, 'waiter');
    await client.enableResumption();
    await client.enterLobby(room);
    await (await d.focus()).leaveRoom(room);
    return { room, client };
  }

  async function resumesRefused(client, old, h, condition) {
    const from = client.received.length;
    client.raw(`<resume xmlns='${NS.sm}' previd='${old.sm.id}' h='${h}'/>`);
    const failed = await client.waitFor('<failed/>', of.named('failed', NS.sm), undefined, from);
    assert.equal(failed.children[0].name, condition);
  }

  async function stranger() {
    const client = await d.socket();
    await client.startStream(d.domain);
    await client.authenticate();
    await client.startStream(d.domain);
    return client;
  }

  async function assertStillWaits(old, room) {
    const back = await d.connect({ resumes: old, ...inLobby(room) });
    await back.ping();
    assert.ok(!back.heard((el) => el.is('presence') && el.attrs.type === 'unavailable'), 'the lobby closed on him');
    assert.equal((await d.state(room)).members_only, true, 'the room is as it was');
  }

  it('does not end a session that waits to be resumed', async () => {
    const { room, client: old } = await waiter();
    const from = d.vestibule.lines.length;
    await old.drop();
    await d.vestibule.waitForLog(/stream ended why=CLIENT_/, { from });
    const other = await stranger();
    await resumesRefused(other, old, 0, 'item-not-found');
    await other.bind();
    await resumesRefused(other, old, 0, 'unexpected-request');
    await other.ping();
    await assertStillWaits(old, room);
  });

  it('nor one that lives, whatever count is named', async () => {
    const { room, client: old } = await waiter();
    await resumesRefused(await stranger(), old, 99999, 'item-not-found');
    await old.ping();
    await old.drop();
    await assertStillWaits(old, room);
  });
});

scenario('a session that Prosody has ended', { transport: 'websocket', recorder: true, expect: [/why=PROSODY_LOST/] }, (d, it) => {
  // The stream that asks for it again; Prosody does not hear of it and cannot answer itself.
  async function refused(old, answer) {
    const { client, wire } = await d.recorded({ isLoggedIn: false, parameters: { previd: old.sm.id } });
    await client.startStream(d.domain);
    await client.authenticate();
    await client.startStream(d.domain);
    wire.mute();
    client.raw(`<resume xmlns='${NS.sm}' previd='${old.sm.id}' h='0'/>`);
    await wire.up.message('the request', (text) => text.startsWith('<resume'));
    wire.inject(answer);
    await client.waitFor('<failed/>', of.named('failed', NS.sm));
    return { client, wire };
  }

  async function waiter() {
    const room = await d.room();
    const { client } = await d.recorded({ room, as: { lobby: true } });
    await client.enableResumption();
    await client.enterLobby(room);
    await (await d.focus()).leaveRoom(room);
    await client.drop();
    return { room, client };
  }

  const over = (room) => d.vestibule.waitForLog(new RegExp(`destroyed room=${room}`));

  it('is over at once where Prosody says how much of it was handled', async () => {
    const { room, client: old } = await waiter();
    await refused(old, `<failed xmlns='${NS.sm}' h='1' previd='${old.sm.id}'/>`);
    await over(room);
  });

  it('is over once the login that it is not found for is bound to its name', async () => {
    const { room, client: old } = await waiter();
    const { client, wire } = await refused(old, `<failed xmlns='${NS.sm}'>` +
      '<item-not-found xmlns=\'urn:ietf:params:xml:ns:xmpp-stanzas\'/></failed>');
    assert.ok(!d.vestibule.lines.some((line) => line.includes(`destroyed room=${room}`)));
    client.raw(`<iq xmlns='jabber:client' type='set' id='bind'><bind xmlns='${NS.bind}'/></iq>`);
    await wire.up.message('the bind', (text) => text.includes(NS.bind));
    wire.inject(`<iq xmlns='jabber:client' type='result' id='bind'><bind xmlns='${NS.bind}'>` +
      `<jid>${old.jid.split('/')[0]}/another</jid></bind></iq>`);
    await over(room);
  });
});
