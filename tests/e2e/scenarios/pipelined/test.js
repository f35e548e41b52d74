// What a client sends in one packet is judged as if it had waited for each answer.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { token } = require('../../lib/token');
const { NS, of, joinStanza, formSubmit } = require('../../lib/stanza');

const OFF = formSubmit({ 'muc#roomconfig_membersonly': '0' });

scenario('in one packet', { expect: [/stream ended why=NOT_WELL_FORMED/] }, (d, it) => {
  // A lobby user who was let in, in a room whose lobby a moderator turned off again.
  async function approved() {
    const room = await d.room();
    const host = await d.host(room);
    const asker = await d.asker(room, 'asker');
    await asker.enterLobby(room);
    host.approve(room, asker.jid);
    await asker.waitFor('the invitation', of.invitation(room));
    await asker.enter(room);
    await host.iq('set', room, OFF);
    return { room, asker };
  }

  for (const [name, leave] of [
    ['he leaves', (room, nick) => `<presence xmlns='jabber:client' to='${room}/${nick}' type='unavailable'/>`],
    ['he is unavailable to everyone', () => "<presence xmlns='jabber:client' type='unavailable'/>"],
  ]) {
    it(`${name} and joins again: it is a new join, and turns the lobby on`, async () => {
      const { room, asker } = await approved();
      assert.equal((await d.state(room)).members_only, false);
      const from = asker.received.length;
      asker.rawTogether([leave(room, asker.nick), joinStanza(room, { nick: 'again', name: 'again' })]);
      await asker.waitFor('what comes of it', (el) => el.is('presence') && el.attrs.from.endsWith('/again'), undefined, from);
      assert.equal((await d.state(room)).members_only, true);
    });
  }

  it('a join behind the bind request waits for the address, and meets the lobby', async () => {
    const room = await d.room();
    await (await d.host(room)).ping();
    const asker = await d.socket({ parameters: { room: room.split('@')[0], token: token(d.domain, room.split('@')[0], { lobby: true }) } });
    await asker.startStream(d.domain);
    await asker.authenticate();
    await asker.startStream(d.domain);
    asker.rawTogether([`<iq xmlns='jabber:client' type='set' id='b1'><bind xmlns='${NS.bind}'/></iq>`,
      joinStanza(room, { nick: 'quick', name: 'quick' })]);
    const el = await asker.waitFor('the lobby', (stanza) => stanza.is('presence') && stanza.attrs.type === 'error');
    assert.match(String(el), /registration-required/);
    assert.equal((await d.state(room)).members_only, true);
  });

  it('bad XML behind the bind request, and more behind it, ends the stream in order', async () => {
    const client = await d.socket({ transport: 'websocket' }); // a body of BOSH is bad as a whole
    await client.startStream(d.domain);
    await client.authenticate();
    await client.startStream(d.domain);
    const good = `<message xmlns='jabber:client'><body>${'x'.repeat(500)}</body></message>`;
    client.rawTogether([`<iq xmlns='jabber:client' type='set' id='b1'><bind xmlns='${NS.bind}'/></iq>`, '<bad', good, good, good]);
    await client.waitFor('the stream error', (el) => String(el).includes('not-well-formed'));
    assert.equal((await client.closed).code, 1007);
  });
});
