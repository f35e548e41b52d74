// Those who wait are let in or not, come and go, and what they got stays theirs.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { of, item, hasStatus, joinStanza, adminItem, bare, formSubmit } = require('../../lib/stanza');

scenario('people in and before the lobby', {}, (d, it) => {
  // A room whose lobby a lobby user turned on, with a moderator inside and in the lobby.
  async function waiting(name = 'asker') {
    const room = await d.room();
    const host = await d.host(room);
    const asker = await d.asker(room, name);
    const lobby = await asker.enterLobby(room);
    await host.enter(lobby);
    return { room, host, asker, lobby };
  }
  async function approved() {
    const all = await waiting();
    all.host.approve(all.room, all.asker.jid);
    await all.asker.waitFor('the invitation', of.invitation(all.room));
    const { el } = await all.asker.enter(all.room);
    assert.equal(item(el).affiliation, 'member');
    return all;
  }

  it('a moderator sees who waits and lets him in', async () => {
    const { room, host, asker } = await approved();
    await host.waitFor('him inside', of.presence(`${room}/${asker.nick}`));
  });

  it('a moderator turns him away', async () => {
    const { room, host, asker, lobby } = await waiting();
    await host.waitFor('who waits', of.presence(`${lobby}/${asker.nick}`));
    host.kick(lobby, asker.nick);
    assert.ok(hasStatus(await asker.waitFor('being turned away', of.left(`${lobby}/${asker.nick}`)), 307));
    await asker.enterLobby(room);
  });

  it('presence and a new nick of one who was let in turn nothing on, his next join neither', async () => {
    const { room, host, asker } = await approved();
    await host.iq('set', room, formSubmit({ 'muc#roomconfig_membersonly': '0' }));
    await host.ping();
    asker.raw(`<presence xmlns='jabber:client' to='${room}/${asker.nick}'><show>away</show></presence>`);
    await host.waitFor('the update', (el) => of.presence(`${room}/${asker.nick}`)(el) && el.getChildText('show') === 'away');
    asker.raw(`<presence xmlns='jabber:client' to='${room}/renamed'/>`);
    await asker.waitFor('the new nick', of.selfPresence(`${room}/renamed`));
    assert.equal((await d.state(room)).members_only, false);
    await asker.leave(room, 'renamed');
    await asker.enter(room, { nick: 'again' });
    assert.equal((await d.state(room)).members_only, true, 'his next join asks for the lobby again');
  });

  it('a join sent again by one who is inside is judged again: he stays, and the lobby is on', async () => {
    const { room, host, asker } = await approved();
    const again = async () => {
      const from = asker.received.length;
      asker.raw(joinStanza(room, { nick: asker.nick, name: 'asker' }));
      await asker.waitFor('his presence', of.selfPresence(`${room}/${asker.nick}`), undefined, from);
      assert.equal((await d.state(room)).members_only, true);
    };
    await again();
    await host.iq('set', room, formSubmit({ 'muc#roomconfig_membersonly': '0' }));
    await again();
    await asker.ping();
    assert.ok(!asker.heard(of.left(`${room}/${asker.nick}`)));
  });

  it('a plain user who was kicked comes back past the lobby', async () => {
    const { room, host } = await waiting();
    const plain = await d.plain(room, 'plain');
    await plain.enter(room);
    host.kick(room, plain.nick);
    assert.ok(hasStatus(await plain.waitFor('the kick', of.left(`${room}/${plain.nick}`)), 307));
    assert.equal(item((await plain.enter(room)).el).affiliation, 'member');
  });

  it('one who was kicked and comes on a new connection is let past as well', async () => {
    const { room, host } = await waiting();
    const plain = await d.plain(room, 'plain');
    await plain.enter(room);
    host.kick(room, plain.nick);
    await plain.waitFor('the kick', of.left(`${room}/${plain.nick}`));
    await plain.close();
    assert.equal(item((await (await d.plain(room, 'plain')).enter(room)).el).affiliation, 'member');
  });

  it('a banned user stays out', async () => {
    const { room, host } = await waiting();
    const plain = await d.plain(room, 'plain');
    await plain.enter(room);
    await host.iq('set', room, adminItem({ jid: bare(plain.jid), affiliation: 'outcast' }));
    await plain.waitFor('the ban', of.left(`${room}/${plain.nick}`));
    assert.equal((await plain.join(room)).entered, false);
  });

  it('a needless grant is not made: who is a member already is not announced again', async () => {
    const { room, host } = await waiting();
    const plain = await d.plain(room, 'plain');
    await plain.enter(room);
    await plain.leave(room);
    await host.ping();
    const from = host.received.length;
    await plain.enter(room);
    await host.waitFor('him inside', of.presence(`${room}/${plain.nick}`), undefined, from);
    await host.ping();
    const announced = host.received.slice(from).filter(({ el }) => el.is('message') && el.attrs.from === room && item(el).affiliation);
    assert.deepEqual(announced.map(({ raw }) => raw), []);
  });

  it('stanzas sent behind a join that waits for the lobby arrive after it, in order', async () => {
    const room = await d.room();
    const host = await d.host(room);
    await (await d.asker(room, 'asker')).enterLobby(room);
    const plain = await d.plain(room, 'plain');
    plain.raw(joinStanza(room, { nick: 'fast', name: 'fast' }));
    for (const text of ['1', '2', '3']) plain.say(room, text);
    for (const text of ['1', '2', '3']) {
      const el = await host.waitFor('what he said', (stanza) => stanza.is('message') && stanza.attrs.from === `${room}/fast` && stanza.getChild('body'));
      assert.equal(el.getChildText('body'), text);
    }
  });
});
