// Who was let in once, or is on his way in, gains nothing by it for his next join; and who is inside
// does not stop the others'.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { timed } = require('../../lib/wait');
const { NS, bare, error, of, formSubmit, joinStanza } = require('../../lib/stanza');

const C = 'xmlns=\'jabber:client\'';
const OFF = { 'muc#roomconfig_membersonly': '0' };

async function assertHeldToLobby(d, room, client, options) {
  const { entered, error: refusal } = await client.join(room, options);
  assert.equal(entered, false);
  assert.equal(refusal.condition, 'registration-required');
  assert.equal((await d.state(room)).members_only, true);
}

// He is on his way when another turns the lobby on, and may be inside by then. A second stream of the same
// address asks for the lobby.
scenario('on his way in', { recorder: true, expect: [/stream ended why=PROSODY_LOST/] }, (d, it) => {
  async function onHisWay(room, nick, options) {
    const { client, wire } = await d.recorded({ via: 'vestibule', name: 'late', ...options });
    await client.enableResumption();
    const logged = d.vestibule.waitForLog(new RegExp(`${client.jid}\\] join room=${room} .*outcome=forwarded`));
    wire.holdUp();
    client.raw(joinStanza(room, { nick, name: 'late' }));
    await logged;
    await (await d.asker(room, 'asker')).enterLobby(room);
    const again = await d.connect({ room, as: { lobby: true }, previd: client.sm.id, via: 'vestibule', name: 'again' });
    assert.equal(bare(again.jid), bare(client.jid));
    return { client, wire, again };
  }

  it('to a room his token is not for: he is made no member', async () => {
    const [room, own] = [await d.room(), await d.room()];
    await d.host(room);
    const { wire, again } = await onHisWay(room, 'late', { room: own, as: {} });
    await assertHeldToLobby(d, room, again);
    wire.release();
  });

  it('to a room that refuses him for his nick: what he was given is taken back first', async () => {
    const room = await d.room();
    const host = await d.host(room);
    const { client, wire, again } = await onHisWay(room, host.nick, { room });
    const held = assertHeldToLobby(d, room, again);
    await host.ping();
    assert.ok(!again.heard((el) => el.is('presence')));
    wire.release();
    await client.waitFor('the refusal', (el) => el.is('presence') && (error(el) || {}).condition === 'conflict');
    await held;
  });

  it('and broken off, perhaps to come back: until that is known the other stream is refused', async () => {
    const room = await d.room();
    await d.host(room);
    const { wire, again } = await onHisWay(room, 'late', { room });
    wire.cut();
    const { entered, error: refusal } = await again.join(room);
    assert.equal(entered, false);
    assert.equal(refusal.condition, 'service-unavailable');
  });

  it('and he comes: he is not thrown out', async () => {
    const room = await d.room();
    await d.host(room);
    const { client, wire } = await onHisWay(room, 'late', { room });
    wire.release();
    await client.waitFor('his own presence', of.selfPresence(`${room}/late`));
    await client.ping();
    assert.ok(!client.heard(of.left(`${room}/late`)));
  });
});

// mod_blocklist keeps from him, and so from us, that he was put out (XEP-0191).
const modules = { PROSODY_TEST_MODULES: 'test_echo,test_control,test_http,blocklist' };
scenario('let in once', { prosody: modules }, (d, it) => {
  const block = (client, what, room) => client.iq('set', undefined,
    `<${what} xmlns='urn:xmpp:blocking'>${what === 'block' ? `<item jid='${room}'/>` : ''}</${what}>`);

  async function letIn(room, host) {
    const asker = await d.asker(room, 'asker');
    await asker.enterLobby(room);
    host.approve(room, asker.jid);
    await asker.waitFor('the invitation', of.invitation(room));
    await asker.enter(room);
    return asker;
  }

  it('kicked without seeing it, he waits like anyone when he comes again', async () => {
    const room = await d.room();
    const host = await d.host(room);
    const asker = await letIn(room, host);
    await block(asker, 'block', room);
    host.kick(room, asker.nick);
    await host.waitFor('his leaving', of.left(`${room}/${asker.nick}`));
    await host.iq('set', room, formSubmit(OFF));
    await block(asker, 'unblock');
    await assertHeldToLobby(d, room, asker);
  });

  it('the room destroyed without his seeing it, and nobody else there to see', async () => {
    const room = await d.room();
    const host = await d.host(room);
    const asker = await letIn(room, host);
    await block(asker, 'block', room);
    await host.leave(room);
    const focus = await d.focus();
    await focus.iq('set', room, `<query xmlns='${NS.owner}'><destroy/></query>`);
    await focus.createRoom(room);
    await block(asker, 'unblock');
    await assertHeldToLobby(d, room, asker);
  });

  it('he who is inside may send his join again', async () => {
    const room = await d.room();
    const host = await d.host(room);
    const asker = await letIn(room, host);
    for (const client of [asker, host]) {
      client.raw(joinStanza(room, { nick: client.nick, name: client.name }));
      await client.ping();
      assert.ok(!client.heard(of.left(`${room}/${client.nick}`)));
      assert.ok(!client.heard((el) => el.is('presence') && el.attrs.type === 'error' &&
        error(el).condition !== 'registration-required'));
    }
    await (await d.guest(room, 'guest')).enterLobby(room);
  });
});

scenario('inside, and in the way of others', { recorder: true }, (d, it) => {
  it('a guest\'s changes of the room, which Prosody refuses, are not waited for', async () => {
    const room = await d.room();
    const { client, wire } = await d.recorded({ room, via: 'vestibule', name: 'guest' });
    await client.enter(room);
    wire.mute(); // Prosody answers none
    client.raw(`<iq ${C} type='set' id='o1' to='${room}'><query xmlns='${NS.owner}'/></iq>`);
    await wire.up.message('the form', (text) => text.includes(NS.owner));
    const [result, ms] = await timed((await d.asker(room, 'asker')).join(room));
    assert.equal(result.error.condition, 'registration-required');
    assert.ok(ms < 2000, `took ${ms} ms`);
  });

  it('an owner\'s second change goes when the first is answered', async () => {
    const room = await d.room();
    const { client, wire } = await d.recorded({ room, via: 'vestibule', name: 'owner', as: {} });
    await client.enter(room);
    await (await d.focus()).makeModerator(room, client);
    await client.ping();
    const ids = ['o1', 'o2', 'o3'];
    for (const id of ids) client.raw(`<iq ${C} type='set' id='${id}' to='${room}'>${formSubmit(OFF)}</iq>`);
    for (const id of ids) {
      const answer = await client.waitFor(`the answer to ${id}`, (el) => el.is('iq') && el.attrs.id === id);
      assert.equal(answer.attrs.type, 'result');
    }
    assert.deepEqual(wire.up.messages.flatMap((text) => /id='(o\d)'/.exec(text)?.[1] ?? []), ids);
    await (await d.asker(room, 'asker')).enterLobby(room);
  });
});
