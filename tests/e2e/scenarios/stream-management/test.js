// Stream management where it is hard: at another instance, after a crash, with a Prosody that is
// silent, and with counts that are none (XEP-0198, wire facts 24 and 25).
'use strict';
const assert = require('node:assert/strict');
const path = require('node:path');
const test = require('node:test');
const { soak } = require('../../soak/stream-management');
const { freePorts } = require('../../lib/ports');
const { scenario } = require('../../lib/scenario');
const { NS, of, bare, error, formSubmit, joinStanza } = require('../../lib/stanza');
const { Vestibule } = require('../../lib/vestibule');

test('counts stay exact through random drops, kills and resumptions', { timeout: 60000 }, async () => {
  const measured = await soak({ steps: 400, seed: 7, kills: 1 });
  assert.deepEqual(measured.wrong, []);
  assert.equal(measured.delivered + measured.refused, measured.stanzas);
  assert.ok(measured.resumed > 50 && measured.killed === 1, JSON.stringify(measured));
});

scenario('stream-management', { recorder: true, expect: [/why=(PROSODY_LOST|BAD_COUNT)/] }, (d, it) => {
  const lobby = (room) => ({ room, as: { lobby: true } });
  const missing = `nowhere@${d.muc}`;
  const refusal = (el) => el.is('presence') && el.attrs.type === 'error';
  const standIn = (text) => text.includes('vestibule-answer-');
  let second;

  // Another instance in front of the same Prosody, over the recorder too.
  async function elsewhere() {
    if (!second) {
      const port = (await freePorts(1))[0];
      second = new Vestibule({ dir: d.folder('second'), domain: d.domain, port, upstream: d.recorder.url });
      await second.start();
    }
    return second.port;
  }

  async function resumable(options) {
    const { client, wire } = await d.recorded(options);
    await client.enableResumption();
    return { client, wire };
  }

  // The session of a dropped client, at another instance.
  async function resumeElsewhere(old, options) {
    return d.recorded({ resumes: old, via: 'vestibule', port: await elsewhere(), ...options });
  }

  async function assertCounts(client) {
    const from = client.received.length;
    client.raw(`<r xmlns='${NS.sm}'/>`);
    const ack = await client.waitFor('an acknowledgement', of.named('a', NS.sm), undefined, from);
    assert.equal(Number(ack.attrs.h), client.sm.outbound);
  }

  it('a refused join reaches Prosody as a ping, and its answer is the refusal', async () => {
    const { client, wire } = await resumable(lobby(missing));
    await client.join(missing, { nick: 'me' });
    await wire.up.message('the ping', standIn);
    assert.ok(!client.heard((el, { raw }) => standIn(raw)));
    await assertCounts(client);
  });

  it('a refusal lost with its connection comes at another instance, once', async () => {
    const { client: old, wire } = await resumable(lobby(missing));
    await old.ping();
    const { inbound } = old.sm;
    await old.join(missing, { nick: 'me' });
    await wire.down.message('the answer', standIn);
    await old.drop();
    old.sm.inbound = inbound;
    const { client } = await resumeElsewhere(old, lobby(missing));
    const el = await client.waitFor('the refusal', refusal);
    assert.equal(error(el).condition, 'item-not-found');
    await client.ping();
    assert.equal(client.received.filter((entry) => refusal(entry.el)).length, 1);
    await assertCounts(client);
  });

  it('a user who writes such an id is told what he wrote, if it is an error, and nobody else is', async () => {
    const { client } = await resumable();
    const other = await d.guest();
    const id = (text) => `vestibule-answer-1-${Buffer.from(text).toString('base64')}`;
    const forged = id(`<presence xmlns='jabber:client' from='${d.muc}' type='error'/>`);
    client.raw(`<iq xmlns='jabber:client' type='result' id='${forged}' to='${other.jid}'/>`);
    const message = id('<message xmlns=\'jabber:client\' from=\'x@y/z\'><body>no</body></message>');
    client.raw(`<iq xmlns='jabber:client' type='get' id='${message}'><ping xmlns='${NS.ping}'/></iq>`);
    await client.waitFor('the answer to his ping', (el) => el.is('iq') && el.attrs.id === message);
    await client.ping();
    await other.waitFor('what was sent', (el) => el.is('iq') && el.attrs.id === forged);
    assert.ok(!other.heard(refusal));
    await assertCounts(client);
  });

  it('where Prosody is silent the refusal waits for it, and comes once', async () => {
    const { client, wire } = await resumable(lobby(missing));
    const { client: other, wire: otherWire } = await d.recorded(lobby(missing));
    await client.ping();
    wire.holdUp();
    otherWire.holdUp();
    client.raw(joinStanza(missing, { nick: 'me' }));
    await other.join(missing, { nick: 'other' }); // he has no counts, and is told after a second
    assert.ok(!client.heard(refusal), client.tail());
    wire.release();
    otherWire.release();
    await client.waitFor('the refusal', refusal);
    await assertCounts(client);
    await other.ping();
    for (const one of [client, other]) assert.equal(one.received.filter(({ el }) => refusal(el)).length, 1);
  });

  // Joins where nothing is known of him, so that his address is asked for, and his join is forwarded
  // behind the question: until his next ping the counts of both ends differ.
  async function uneven(port) {
    const room = await d.room();
    const { client: old } = await resumable({ room, as: {} });
    await old.ping();
    old.raw(`<a xmlns='${NS.sm}' h='${old.sm.inbound}'/>`);
    await assertCounts(old);
    await old.drop();
    old.sm.outbound++;
    old.sm.unacked.push(joinStanza(room, { nick: old.nick, name: 'late' }));
    const { client, wire } = await d.recorded({ resumes: old, via: 'vestibule', port, room, as: {} });
    await client.waitFor('itself in the room', of.selfPresence(`${room}/${client.nick}`));
    assert.ok(wire.up.messages.some(standIn), 'his address was asked for');
    return { client, wire, room };
  }

  it('a session that breaks while its counts differ goes on where that is known', async () => {
    const { client, room } = await uneven(await elsewhere());
    await client.drop();
    const friend = await d.connect({ via: 'prosody' });
    const bodies = ['one', 'two', 'three'];
    for (const body of bodies) friend.raw(`<message xmlns='jabber:client' type='chat' to='${client.jid}'><body>${body}</body></message>`);
    await friend.ping();
    const { client: back } = await resumeElsewhere(client, { room, as: {} });
    await back.waitFor('the last one', (el) => el.getChildText('body') === 'three');
    await assertCounts(back);
    await back.ping();
    await assertCounts(back);
    assert.deepEqual(back.received.map(({ el }) => el.is('message') && el.getChildText('body')).filter((body) => bodies.includes(body)), bodies);
    assert.ok(!back.heard(refusal));
  });

  it('and is over where another process may take it on: the client begins a new one', async () => {
    const [port, otherPort] = await freePorts(2);
    const state = { file: path.join(d.folder('shared'), 'state.db') };
    const [one, other] = [['one', port], ['other', otherPort]].map(([name, at]) => new Vestibule(
      { dir: d.folder(name), domain: d.domain, port: at, upstream: d.recorder.url }, { state }));
    await one.start();
    await other.start();
    const { client, wire } = await uneven(port);
    await client.drop();
    await wire.up.message('the end', (text) => text.startsWith('<close'));
    // It is on its way to Prosody; the session is there until it is read.
    while (await d.prosody.control('sessions', { jid: bare(client.jid) }) > 0);
    const back = await d.socket({ via: 'vestibule', port: otherPort, parameters: { previd: client.sm.id } });
    await back.startStream(d.domain);
    await back.authenticate();
    await back.startStream(d.domain);
    back.raw(`<resume xmlns='${NS.sm}' previd='${client.sm.id}' h='${client.sm.inbound}'/>`);
    const failed = await back.waitFor('<failed/>', of.named('failed', NS.sm));
    assert.equal(failed.children[0].name, 'item-not-found');
    await back.bind();
    await other.stop();
    await one.stop();
  });

  it('a moderator resumed where nothing is known of him turns no lobby off before a join on its way arrived', async () => {
    const room = await d.room();
    const port = await elsewhere();
    const { client: old } = await resumable({ room, as: {}, name: 'host' });
    await old.enter(room);
    await (await d.focus()).makeModerator(room, old);
    await (await d.asker(room, 'first', { via: 'vestibule', port })).enterLobby(room);
    await old.ping();
    await old.drop();
    const { client: host, wire } = await resumeElsewhere(old, { room, as: {} });
    await host.ping();
    const { client: asker, wire: slow } = await d.recorded({ room, as: { lobby: true }, via: 'vestibule', port, name: 'asker' });
    slow.keepBack();
    const joined = asker.join(room, { nick: 'late' });
    await slow.up.message('the join', (text) => text.includes(`${room}/late`));
    host.raw(`<iq xmlns='jabber:client' type='set' id='off' to='${room}'>${formSubmit({ 'muc#roomconfig_membersonly': '0' })}</iq>`);
    await (await d.guest(undefined, 'barrier', { via: 'vestibule', port })).ping();
    const isForm = (text) => text.includes("id='off'");
    assert.ok(!wire.up.messages.some(isForm), 'the form overtakes the join');
    slow.release();
    assert.ok(!(await joined).entered);
    await host.waitFor('the answer', (el) => el.is('iq') && el.attrs.id === 'off');
  });

  it('a join sent again at an instance that knows nothing of the session', async () => {
    const { client, room } = await uneven(await elsewhere());
    await second.waitForLog(new RegExp(`join .*room=${room}`));
    await client.ping(); // stays at Vestibule, and the counts are the same again
    client.raw(`<a xmlns='${NS.sm}' h='${client.sm.inbound}'/>`);
    await client.ping();
    await assertCounts(client);
    client.raw(`<a xmlns='${NS.sm}' h='${client.sm.inbound}'/>`);
    await client.ping();
    await assertCounts(client);
    const { client: third } = await resumeElsewhere(client, { room, as: {} });
    await third.ping();
    await assertCounts(third);
    assert.ok(!third.heard(refusal));
  });

  it('an address that Prosody has shown is not asked for', async () => {
    const room = await d.room();
    const { client: old } = await resumable({ room, as: {} });
    await old.drop();
    const { client, wire } = await resumeElsewhere(old, { room, as: {} });
    await client.ping();
    await client.enter(room);
    assert.ok(!wire.up.messages.some(standIn));
    await assertCounts(client);
  });

  it('a second <enable/> is refused, and counting goes on', async () => {
    const { client } = await resumable(lobby(missing));
    await client.ping();
    client.raw(`<enable xmlns='${NS.sm}' resume='true'/>`);
    await client.waitFor('its refusal', of.named('failed', NS.sm));
    await client.join(missing, { nick: 'me' });
    await assertCounts(client);
  });

  it('the older version of stream management counts as exactly', async () => {
    const older = 'urn:xmpp:sm:2';
    const { client } = await d.recorded(lobby(missing));
    client.raw(`<enable xmlns='${older}'/>`);
    await client.waitFor('<enabled/>', of.named('enabled', older));
    await client.ping();
    await client.join(missing, { nick: 'me' });
    client.raw(`<r xmlns='${older}'/>`);
    assert.equal((await client.waitFor('an acknowledgement', of.named('a', older))).attrs.h, '2');
    client.raw(`<a xmlns='${older}' h='2'/>`);
    await client.ping();
  });

  // A wrong count is Prosody's to judge as long as it is one.
  for (const [what, h] of Object.entries({ 'more than was sent': '99', 'more than 32 bits': '4294967296', 'no number': 'x' })) {
    it(`an acknowledgement of ${what} ends the session`, async () => {
      const { client } = await resumable();
      client.raw(`<a xmlns='${NS.sm}' h='${h}'/>`);
      await client.waitFor('the error', (el) => el.getName() === 'error');
      await client.closed;
    });
  }

  it('one that goes backwards does too', async () => {
    const { client } = await resumable();
    await client.ping();
    client.raw(`<a xmlns='${NS.sm}' h='1'/>`);
    client.raw(`<a xmlns='${NS.sm}' h='0'/>`);
    await client.waitFor('the error', (el) => el.getName() === 'error');
  });

  it('a resumption with no count is refused before Prosody reckons with it', async () => {
    const { client: old } = await resumable();
    await old.drop();
    old.sm.inbound = 'x';
    await assert.rejects(d.recorded({ resumes: old }), /closed \(1008/);
    old.sm.inbound = 0;
    await d.recorded({ resumes: old });
  });

  it('the other instance ends without a complaint', async () => {
    assert.deepEqual(await second.stop([/why=PROSODY_LOST/]), []);
  });
});

// Nothing we know is left: whatever differed by one at that moment is lost, or comes twice.
scenario('a crash while Prosody is silent', { recorder: true, expect: [/./] }, (d, it) => {
  it('loses nothing, and doubles nothing', async () => {
    const missing = `nowhere@${d.muc}`;
    const lobby = { room: missing, as: { lobby: true } };
    const { client, wire } = await d.recorded(lobby);
    const { client: clock, wire: clockWire } = await d.recorded(lobby);
    const friend = await d.connect({ via: 'prosody' });
    const say = (...texts) => {
      for (const text of texts) friend.raw(`<message xmlns='jabber:client' type='chat' to='${client.jid}'><body>${text}</body></message>`);
      return friend.ping();
    };
    await client.enableResumption();
    await client.ping();
    wire.holdUp();
    clockWire.holdUp();
    client.raw(joinStanza(missing, { nick: 'me' }));
    await clock.join(missing, { nick: 'clock' }); // a second later
    await say('one', 'two');
    await client.waitFor('two', (el) => el.getChildText('body') === 'two');
    await d.vestibule.kill();
    wire.prosody.destroy();
    await client.closed;
    await say('three', 'four', 'five');
    await d.vestibule.start();
    const back = await d.connect({ resumes: client, ...lobby });
    await back.waitFor('the refusal', (el) => el.is('presence') && el.attrs.type === 'error');
    await back.ping();
    const got = [...client.received, ...back.received].map(({ el }) => (el.is('presence') ? 'refused' : el.getChildText('body'))).filter(Boolean);
    assert.deepEqual(got, ['one', 'two', 'three', 'four', 'five', 'refused']);
    back.raw(`<r xmlns='${NS.sm}'/>`);
    assert.equal(Number((await back.waitFor('an acknowledgement', of.named('a', NS.sm))).attrs.h), back.sm.outbound);
  });
});

// Who is suspended counts as well, so anybody can fill the table: that must cost nobody his session.
scenario('more sessions than are remembered', {
  config: { limits: { connections: 3 } }, expect: [/no room to remember a resumable session/],
}, (d, it) => {
  it('one too many is resumed like one from elsewhere', async () => {
    const room = await d.room();
    for (let i = 0; i < 3; i++) {
      const one = await (await d.plain(room)).enableResumption();
      await one.enter(room);
      await one.drop();
    }
    const old = await (await d.plain(room)).enableResumption();
    await d.vestibule.waitForLog(/no room to remember/);
    await old.enter(room);
    old.say(room, 'before');
    await old.waitFor('it', of.message('before'));
    await old.drop();
    const client = await d.connect({ room, as: {}, resumes: old });
    client.say(room, 'behind');
    await client.waitFor('it', of.message('behind'));
    await client.leave(room, old.nick);
    await client.enter(room);
    client.raw(`<r xmlns='${NS.sm}'/>`);
    const ack = await client.waitFor('an acknowledgement', of.named('a', NS.sm));
    assert.equal(Number(ack.attrs.h), client.sm.outbound);
  });
});

scenario('a flood of sessions to be resumed', { config: { limits: { connections: 5 } } }, (d, it) => {
  it('takes no place from one who waits', async () => {
    const room = await d.room();
    for (let i = 0; i < 8; i++) await (await (await d.guest()).enableResumption()).drop();
    const old = await (await d.asker(room)).enableResumption();
    await old.enterLobby(room);
    await (await d.focus()).leaveRoom(room);
    const from = d.vestibule.lines.length;
    await old.drop();
    await d.vestibule.waitForLog(/stream ended why=CLIENT_/, { from });
    for (let i = 0; i < 8; i++) await (await (await d.guest()).enableResumption()).drop();
    const client = await d.connect({ room, as: { lobby: true }, resumes: old });
    await client.ping();
    assert.ok(!client.heard((el) => el.is('presence') && el.attrs.type === 'unavailable'), 'the lobby closed on him');
  });
});
