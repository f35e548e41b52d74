// XEP-0198 through Vestibule: a dropped connection loses nothing, and both ends' counts are exact, also
// where Vestibule answered a stanza itself (wire fact 24).
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { tapped } = require('../../lib/tap');
const { NS, of } = require('../../lib/stanza');

const STANZA = /^<(message|presence|iq)\b/;
const h = (text) => Number(/ h='(\d+)'/.exec(text)[1]);

scenario('resumption', tapped({ expect: [/why=PROSODY_LOST/] }), (d, it) => {
  const body = (to, text) => `<message xmlns='jabber:client' to='${to}'><body>${text}</body></message>`;
  const bodies = (client) => client.received.map(({ el }) => el.getChildText('body')).filter(Boolean);
  const numbers = (from, to) => Array.from({ length: to - from }, (_, index) => String(from + index));

  async function resumable(options) {
    return (await d.connect(options)).enableResumption();
  }

  // As a network that is gone: what was sent to it since may be lost. The session waits in Prosody.
  async function resume(old, options) {
    await old.drop();
    return d.connect({ resumes: old, ...options });
  }

  // Prosody is asked what it has handled, and answers with the client's own count.
  async function assertPeerCounts(client) {
    const from = client.received.length;
    client.raw(`<r xmlns='${NS.sm}'/>`);
    const ack = await client.waitFor('an acknowledgement', of.named('a', NS.sm), undefined, from);
    assert.equal(Number(ack.attrs.h), client.sm.outbound, 'what Prosody has handled, as the client is told');
  }

  // The client says what it has; Prosody is told the count of what it sent itself.
  async function assertOwnCounts(client, wires) {
    const wire = wires.at(-1);
    client.raw(`<a xmlns='${NS.sm}' h='${client.sm.inbound}'/>`);
    const marker = `<ping xmlns='${NS.ping}' count='${client.sm.outbound}'/>`;
    await client.iq('get', d.domain, marker);
    await wire.up.message('the ping behind it', (text) => text.includes(marker));
    const told = wire.up.messages.filter((text) => text.startsWith('<a ')).at(-1);
    const sent = wires.reduce((sum, { down }) => sum + down.messages.slice(down.messages.findIndex((text) =>
      /^<(enabled|resumed)/.test(text)) + 1).filter((text) => STANZA.test(text)).length, 0);
    assert.equal(h(told), sent - 1, 'what the client has, as Prosody is told; the answer came behind it');
  }

  // A lobby user whose room does not exist: Vestibule answers the join, Prosody never sees it.
  async function refusedJoin(client, room) {
    const { error } = await client.join(room, { nick: 'me' });
    assert.equal(error.condition, 'item-not-found');
  }

  it('what was said meanwhile comes, once and in order', async () => {
    const speaker = await d.guest();
    const old = await resumable();
    for (const text of numbers(0, 10)) speaker.raw(body(old.jid, text));
    await old.waitFor('the tenth', of.message('9'));
    await old.drop();
    for (const text of numbers(10, 20)) speaker.raw(body(old.jid, text));
    await speaker.ping();
    const again = await resume(old);
    for (const text of numbers(20, 30)) speaker.raw(body(old.jid, text));
    await again.waitFor('the last', of.message('29'));
    assert.deepEqual([...bodies(old), ...bodies(again)], numbers(0, 30));
    await assertPeerCounts(again);
  });

  it('what the client said before it dropped arrives, once and in order', async () => {
    const listener = await d.guest();
    const old = await resumable({ parameters: { watch: 'held' } });
    for (const text of numbers(0, 5)) old.raw(body(listener.jid, text));
    await assertPeerCounts(old);
    // Prosody reads no more of that connection: what follows is lost with it.
    const wire = d.tap.of('watch=held');
    wire.holdUp();
    for (const text of numbers(5, 10)) old.raw(body(listener.jid, text));
    const lost = old.sm.unacked.length;
    assert.equal(lost, 5);
    wire.cut();
    await old.closed;
    const again = await d.connect({ resumes: old });
    again.raw(body(listener.jid, '10'));
    await listener.waitFor('the last', of.message('10'));
    assert.deepEqual(bodies(listener), numbers(0, 11));
    await assertPeerCounts(again);
  });

  it('a room goes on where it was', async () => {
    const room = await d.room();
    const other = await d.guest(room);
    await other.enter(room);
    const old = await resumable({ room });
    await old.enter(room);
    await old.drop();
    other.say(room, 'while it was away');
    await other.ping();
    const again = await resume(old, { room });
    await again.waitFor('what was said', of.message('while it was away'));
    again.say(room, 'back');
    await other.waitFor('what it says', of.message('back'));
    assert.ok(!other.heard(of.left(`${room}/${old.nick}`)), 'nobody saw it leave');
    await assertPeerCounts(again);
  });

  it('it may resume while the old connection still looks alive', async () => {
    const old = await resumable();
    const again = await d.connect({ resumes: old });
    await old.closed;
    again.raw(body(again.jid, 'to itself'));
    await again.waitFor('its own', of.message('to itself'));
    await assertPeerCounts(again);
    const third = await resume(again);
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

  it('the counts stay exact when Vestibule refuses joins in between', async () => {
    const room = `nowhere1@${d.muc}`;
    const client = await resumable({ room, as: { lobby: true }, parameters: { watch: 'counts' } });
    const wires = [d.tap.of('watch=counts')];
    await refusedJoin(client, room);
    await assertPeerCounts(client);
    await assertOwnCounts(client, wires);
    await client.ping();
    await refusedJoin(client, room);
    await refusedJoin(client, room);
    await client.ping();
    await assertPeerCounts(client);
    await assertOwnCounts(client, wires);
    assert.ok(!wires[0].up.messages.some((text) => text.includes(`${room}/me`)), 'the joins reached Prosody');
  });

  it('after a refused join that the client had acknowledged, it resumes with exact counts', async () => {
    const room = `nowhere2@${d.muc}`;
    const old = await resumable({ room, as: { lobby: true } });
    await old.ping();
    await refusedJoin(old, room);
    await old.ping();
    await assertPeerCounts(old);
    const again = await resume(old, { room, as: { lobby: true }, parameters: { watch: 'acknowledged' } });
    assert.deepEqual(again.sm.unacked, []);
    assert.ok(!again.heard((el) => el.attrs.type === 'error'), 'the refusal came twice');
    await refusedJoin(again, room);
    await again.ping();
    await assertPeerCounts(again);
    const third = await resume(again, { room, as: { lobby: true } });
    await assertPeerCounts(third);
  });

  it('a refusal that the client never saw is sent again when it resumes, once', async () => {
    const room = `nowhere3@${d.muc}`;
    const old = await resumable({ room, as: { lobby: true }, parameters: { watch: 'unseen1' } });
    await old.ping();
    const seen = old.sm.inbound;
    await refusedJoin(old, room);
    await old.ping();
    await old.drop();
    // The refusal and the pong behind it were lost on the way.
    old.sm.inbound = seen;
    const again = await resume(old, { room, as: { lobby: true }, parameters: { watch: 'unseen2' } });
    const wires = ['watch=unseen1', 'watch=unseen2'].map((text) => d.tap.of(text));
    await again.ping();
    const refusals = again.received.filter(({ el }) => el.is('presence') && el.attrs.type === 'error');
    assert.equal(refusals.length, 1);
    assert.equal(refusals[0].el.attrs.from, `${room}/me`);
    assert.equal(again.sm.inbound, seen + 3, 'the refusal, the pong sent again, the new pong');
    await assertPeerCounts(again);
    // Prosody's own count: the pong it sent twice counts once.
    again.raw(`<a xmlns='${NS.sm}' h='${again.sm.inbound}'/>`);
    await again.ping();
    const told = wires[1].up.messages.filter((text) => text.startsWith('<a ')).at(-1);
    assert.equal(h(told), again.sm.inbound - 2, 'without the refusal, and without the last pong');
    const third = await resume(again, { room, as: { lobby: true } });
    assert.deepEqual(third.sm.unacked, []);
    await assertPeerCounts(third);
  });

  it('stanzas that were lost behind a refused join are asked for again, the join is not', async () => {
    const room = `nowhere4@${d.muc}`;
    const listener = await d.guest();
    const old = await resumable({ room, as: { lobby: true }, parameters: { watch: 'behind' } });
    await old.ping();
    await refusedJoin(old, room);
    const wire = d.tap.of('watch=behind');
    wire.holdUp();
    for (const text of numbers(0, 3)) old.raw(body(listener.jid, text));
    wire.cut();
    await old.closed;
    const again = await d.connect({ resumes: old, room, as: { lobby: true } });
    assert.equal(again.sm.unacked.length, 3, 'the join counts as handled');
    await listener.waitFor('the last', of.message('2'));
    assert.deepEqual(bodies(listener), numbers(0, 3));
    await assertPeerCounts(again);
  });
});
