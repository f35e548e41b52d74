// What one client sends costs himself, not the others: nobody is delayed, cut off or left unserved.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { OP, frame, writeBytes } = require('../../lib/frame');
const { timed } = require('../../lib/wait');
const { NS, of, joinStanza } = require('../../lib/stanza');

const C = 'xmlns=\'jabber:client\'';
const EXPECTED = /stream ended why=(OUT_OF_ORDER|TOO_LARGE|TOO_MUCH)/;
const JOINS_MAX = 16;

scenario('at the expense of others', { recorder: true, expect: [EXPECTED] }, (d, it) => {
  const ended = (client, condition) => client.waitFor(`the stream error ${condition}`,
    (el) => el.getName() === 'error' && el.getNS() === NS.streams && el.getChild(condition));

  async function assertServedAtOnce(room) {
    const asker = await d.asker(room, 'asker');
    const [{ error }, ms] = await timed(asker.join(room));
    assert.equal((error || {}).condition, 'registration-required');
    assert.ok(ms < 2000, `took ${ms} ms`);
  }

  const ownerSet = (to) => `<iq ${C} type='set' id='o1' to='${to}'><query xmlns='${NS.owner}'/></iq>`;

  it('an owner form sent to somebody in the room, who never answers, delays nobody', async () => {
    const room = await d.room();
    const [sender, silent] = [await d.plain(room, 'sender'), await d.plain(room, 'silent')];
    await sender.enter(room);
    await silent.enter(room);
    sender.raw(ownerSet(`${room}/${silent.nick}`));
    await sender.ping();
    await assertServedAtOnce(room);
  });

  it('an owner form from outside the room, that is never answered, delays nobody', async () => {
    const room = await d.room();
    const { client, wire } = await d.recorded({ room, via: 'vestibule' });
    wire.mute(); // Prosody does not hear of it
    client.raw(ownerSet(room));
    await wire.up.message('the form', (text) => text.includes(NS.owner));
    await assertServedAtOnce(room);
  });

  it('<open/> in the middle of a stream ends it', async () => {
    const { client, wire } = await d.recorded({ via: 'vestibule' });
    const before = wire.up.messages.length;
    client.raw(`<open xmlns='${NS.framing}' to='${d.domain}' version='1.0'/>`);
    await ended(client, 'policy-violation');
    await client.closed;
    await wire.ended;
    assert.ok(!wire.up.messages.slice(before).some((text) => text.startsWith('<open')));
  });

  it('a message that Prosody would write out many times as long is refused, and nobody is cut off', async () => {
    const room = await d.room();
    const [sender, other] = [await d.plain(room, 'sender'), await d.plain(room, 'other')];
    await sender.enter(room);
    await other.enter(room);
    sender.raw(`<message ${C} to='${room}' type='groupchat'><body>long</body>` +
      `<z xmlns='urn:z' xmlns:p='${'u'.repeat(100000)}'>${'<a p:b=\'\'/>'.repeat(120)}</z></message>`);
    await ended(sender, 'policy-violation');
    await sender.closed;
    await other.ping();
    assert.ok(!other.heard(of.message('long')));
    assert.equal(other.closedHow, undefined);
  });

  it('a message to the service account with more attributes than it reads does not log it out', async () => {
    const jid = /logged in as (\S+)/.exec(await d.vestibule.waitForLog(/logged in as/))[1];
    const from = d.vestibule.lines.length;
    const room = await d.room();
    const sender = await d.plain(room, 'sender');
    const prefixes = Array.from({ length: 30 }, (_, i) => `p${i}`);
    const declared = prefixes.map((prefix) => ` xmlns:${prefix}='urn:flood:${prefix}'`).join('');
    const attributes = prefixes.map((prefix) => ` ${prefix}:a='1' ${prefix}:b='1'`).join('');
    sender.raw(`<message ${C} to='${jid}'${declared}><z xmlns='urn:z'${attributes}/></message>`);
    await sender.ping();
    const service = d.recorder.wires.find((wire) => wire.down.messages.some((text) => text.includes(`<jid>${jid}</jid>`)));
    await service.down.message('the message', (text) => text.includes('urn:flood:p29'));
    await assertServedAtOnce(room);
    assert.deepEqual(d.vestibule.lines.slice(from).filter((text) => /not logged in|logged in as/.test(text)), []);
  });

  it('a client with too many joins on their way is closed, the others are served', async () => {
    const room = await d.room();
    const { client, wire } = await d.recorded({ room, via: 'vestibule' });
    wire.mute(); // Prosody answers none
    const joins = Array.from({ length: 30 }, (_, i) => frame(OP.text, joinStanza(room, { nick: `n${i}`, name: 'n' })));
    writeBytes(client, Buffer.concat(joins));
    await ended(client, 'policy-violation');
    await client.closed;
    const sent = wire.up.messages.filter((text) => text.includes(`${room}/n`)).length;
    assert.ok(sent <= JOINS_MAX, `${sent} joins were forwarded`);
    await assertServedAtOnce(room);
  });
});
