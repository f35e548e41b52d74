// What Prosody takes for a message, a stanza and an address: what the proxy has to read as Prosody does.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { NS, of, framingWritten } = require('../../lib/stanza');

scenario('framing and addresses, without Vestibule', { direct: true }, (d, it) => {
  const enters = async (address, make = (to) =>
    `<presence xmlns='jabber:client' to='${to}'><x xmlns='${NS.muc}'/></presence>`) => {
    const room = await d.room();
    const user = await d.guest(room);
    user.raw(make(`${address(room)}/me`));
    await user.waitFor('being inside', of.selfPresence(`${room}/me`));
  };
  const wide = (text) => text.replace(/[a-z0-9]/g, (c) => String.fromCharCode(c.charCodeAt(0) + 0xfee0));

  const spellings = {
    'capitals': (room) => room.toUpperCase(),
    'full-width letters in the node': (room) => room.replace(/^[^@]+/, wide),
    'full-width letters in the domain': (room) => room.replace(/@conference/, `@${wide('conference')}`),
    'a soft hyphen': (room) => room.replace('room', 'ro\u00adom'),
    'a trailing dot': (room) => `${room}.`,
    'character references': (room) => room.replace('o', '&#111;').replace('@', '&#x40;'),
  };
  for (const [name, spelling] of Object.entries(spellings)) {
    it(`facts 20, 21: a room is found by ${name}`, () => enters(spelling));
  }

  it('fact 21: a prefix is as good as none', () => enters((room) => room, (to) =>
    `<c:presence xmlns:c='jabber:client' xmlns:m='${NS.muc}' to='${to}'><m:x/></c:presence>`));

  it('fact 20: a tenant\'s room has two names', async () => {
    const room = await d.room('weekly', 'acme');
    const user = await d.guest();
    await user.enter(room);
    const second = await d.guest();
    second.raw(`<presence xmlns='jabber:client' to='[acme]weekly@${d.muc}/two'><x xmlns='${NS.muc}'/></presence>`);
    await second.waitFor('being inside', of.selfPresence(`${room}/two`));
    await user.waitFor('the other', of.presence(`${room}/two`));
  });

  it('fact 20: two stanzas in one message are both processed', async () => {
    const room = await d.room();
    const user = await d.guest(room);
    await user.enter(room);
    const say = (text) => `<message xmlns='jabber:client' to='${room}' type='groupchat'><body>${text}</body></message>`;
    user.raw(say('one') + say('two'));
    await user.waitFor('the first', of.message('one'));
    await user.waitFor('the second', of.message('two'));
  });

  it('fact 22: a message that does not begin with < ends it with 1007, a binary one with 1003', async () => {
    const text = await d.guest();
    text.raw('presence');
    assert.equal((await text.closed).code, 1007);
    const binary = await d.guest();
    binary.socket.send(Buffer.from('<presence/>'));
    assert.equal((await binary.closed).code, 1003);
  });

  it('fact 22: a fragmented message ends it with 1003', async () => {
    const user = await d.guest();
    user.socket.send('<presence ', { fin: false });
    user.socket.send('xmlns=\'jabber:client\'/>', { fin: true });
    assert.equal((await user.closed).code, 1003);
  });

  for (const [name, text] of Object.entries({
    'no namespace': '<presence/>',
    'a comment': '<presence xmlns=\'jabber:client\'><!-- x --></presence>',
    'a processing instruction': '<presence xmlns=\'jabber:client\'><?x y?></presence>',
  })) {
    it(`fact 22: a stream error for ${name}`, async () => {
      const user = await d.guest();
      user.raw(text);
      await user.waitFor('a stream error', (el) => el.getName() === 'error' && el.getNS() === NS.streams);
    });
  }

  // In mid-stream as at its start: it is looked for in every message.
  const written = {
    ...framingWritten, 'a line break behind it': (name, to) => `<${name} xmlns='${NS.framing}'${to}/>\n`,
  };
  for (const [how, write] of Object.entries(written)) {
    it(`fact 23: <open> and <close> are recognised with ${how}`, async () => {
      const user = await d.socket();
      user.raw(write('open', ` to='${d.domain}' version='1.0'`));
      await user.waitFor('<open/>', of.named('open', NS.framing));
      await user.waitFor('features', (el) => el.getName() === 'features');
      await user.authenticate();
      user.raw(write('open', ` to='${d.domain}' version='1.0'`));
      await user.waitFor('<open/>', of.named('open', NS.framing));
      await user.bind();
      user.raw(write('close', ''));
      await user.waitFor('<close/>', of.named('close', NS.framing));
    });
  }

  it('fact 23: not where the namespace itself is written with a reference: Prosody looks for its letters', async () => {
    const user = await d.guest();
    user.raw(`<close xmlns='${NS.framing.replace(':', '&#58;')}'/>`);
    await user.waitFor('a stream error', (el) => el.getName() === 'error' && el.getNS() === NS.streams);
  });

  it('fact 23: no message is an <open> for holding one', async () => {
    const user = await d.guest();
    user.raw(`<message xmlns='jabber:client' to='${user.jid}'><body>around</body><open xmlns='${NS.framing}' to='${d.domain}'/></message>`);
    const el = await user.waitFor('it', of.message('around'));
    assert.ok(el.getChild('open', NS.framing));
    assert.equal(user.received.filter((entry) => entry.el.is('open', NS.framing)).length, 2, 'those of the login');
  });
});
