// What is no XMPP over WebSocket as RFC 6455 and RFC 7395 have it ends the stream with the error they
// name for it, and not a byte of it reaches Prosody, which would take some of it (wire facts 20 to 23).
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { OP, frame, closeFrame, writeBytes } = require('../../lib/frame');
const { joinsWritten, notOneElement } = require('../../lib/evasion');
const { NS, of, bare, error, hasStatus, framingWritten } = require('../../lib/stanza');

const EXPECTED = /stream ended why=(FRAMING|NOT_WELL_FORMED|BAD_NAMESPACE|RESTRICTED_XML|INVALID_NAMESPACE|BAD_ENCODING|TOO_LARGE)/;
const C = 'xmlns=\'jabber:client\'';
const isError = (el) => el.getName() === 'error' && el.getNS() === NS.streams;

scenario('evasion', { recorder: true, expect: [EXPECTED] }, (d, it) => {
  // A client and the connection to Prosody opened for it.
  const watched = (options) => d.recorded({ via: 'vestibule', ...options });

  // It ends with that code and, unless null, stream error; Prosody hears <close/> at most.
  async function assertEnds({ client, wire }, before, code, condition) {
    assert.equal((await client.closed).code, code);
    await wire.ended;
    const told = client.received.map(({ el }) => el).filter(isError);
    assert.deepEqual(told.map((el) => el.children[0].name), condition ? [condition] : []);
    assert.deepEqual(wire.up.messages.slice(before).filter((text) => text !== `<close xmlns='${NS.framing}'/>`), []);
  }

  for (const isLoggedIn of [true, false]) {
    for (const [name, [text, condition]] of Object.entries(notOneElement)) {
      it(`${name} (${isLoggedIn ? 'logged in' : 'as the first message'})`, async () => {
        const one = await watched({ isLoggedIn });
        const before = one.wire.up.messages.length;
        one.client.socket.send(text);
        await assertEnds(one, before, 1007, condition);
      });
    }
  }

  it('an element split over two messages', async () => {
    const one = await watched();
    const before = one.wire.up.messages.length;
    one.client.socket.send(`<message ${C} to='${one.client.jid}'>`);
    one.client.socket.send('<body>x</body></message>');
    await assertEnds(one, before, 1007, 'not-well-formed');
  });

  const frames = {
    'binary': [() => frame(OP.binary, `<presence ${C}/>`), 1003],
    'a frame not masked': [() => frame(OP.text, `<presence ${C}/>`, { masked: false }), 1002],
    'RSV1 without an extension': [() => frame(OP.text, `<presence ${C}/>`, { rsv: 4 }), 1002],
    'RSV2': [() => frame(OP.text, `<presence ${C}/>`, { rsv: 2 }), 1002],
    'RSV1 on a ping': [() => frame(OP.ping, 'x', { rsv: 4 }), 1002],
    'RSV3': [() => frame(OP.text, `<presence ${C}/>`, { rsv: 1 }), 1002],
    'a reserved opcode': [() => frame(3, `<presence ${C}/>`), 1002],
    'a reserved control opcode': [() => frame(11), 1002],
    'a ping not masked': [() => frame(OP.ping, 'x', { masked: false }), 1002],
    'a close frame that is too long': [() => closeFrame(1000, 'x'.repeat(124)), 1002],
    'a close frame in fragments': [() => closeFrame(1000, '', { fin: false }), 1002],
    'a close reason that is not UTF-8': [() => frame(OP.close, Buffer.from([3, 0xe8, 0xff])), 1007],
    'a pong that is too long': [() => frame(OP.pong, 'x'.repeat(126)), 1002],
    'more fragments than a message has': [() => Buffer.concat([frame(OP.text, '<presence', { fin: false }),
      ...Array.from({ length: 1024 }, () => frame(OP.continuation, ' ', { fin: false }))]), 1008],
    'more empty fragments than a message has': [() => Buffer.concat([frame(OP.text, '', { fin: false }),
      ...Array.from({ length: 1024 }, () => frame(OP.continuation, '', { fin: false }))]), 1008],
    'a ping that is too long': [() => frame(OP.ping, 'x'.repeat(126)), 1002],
    'a ping in fragments': [() => frame(OP.ping, 'x', { fin: false }), 1002],
    'a continuation of nothing': [() => frame(OP.continuation, `<presence ${C}/>`), 1002],
    'a message inside a fragmented one': [() => Buffer.concat([
      frame(OP.text, '<presence ', { fin: false }), frame(OP.text, `<presence ${C}/>`)]), 1002],
    'a length not written as short as it can be': [() => {
      const short = frame(OP.text, `<presence ${C}/>`);
      return Buffer.concat([Buffer.from([short[0], 0x80 | 126, 0, short[1] & 0x7f]), short.subarray(2)]);
    }, 1002],
    'a length with its top bit set': [() => Buffer.from([0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]), 1002],
    'a close code that may not travel': [() => closeFrame(1005), 1002],
    'half a close code': [() => frame(OP.close, 'x'), 1002],
  };
  for (const isLoggedIn of [true, false]) {
    for (const [name, [bytes, code]] of Object.entries(frames)) {
      it(`${name} (${isLoggedIn ? 'logged in' : 'as the first frame'})`, async () => {
        const one = await watched({ isLoggedIn });
        const before = one.wire.up.messages.length;
        writeBytes(one.client, bytes());
        await assertEnds(one, before, code, null);
      });
    }
  }

  it('text that is not UTF-8', async () => {
    const one = await watched();
    const before = one.wire.up.messages.length;
    const stanza = Buffer.from(`<presence ${C}><status>?</status></presence>`);
    stanza[stanza.indexOf('?')] = 0xff;
    writeBytes(one.client, frame(OP.text, stanza));
    await assertEnds(one, before, 1007, 'unsupported-encoding');
  });

  it('what stands behind it in the same packet is not looked at', async () => {
    const one = await watched();
    const before = one.wire.up.messages.length;
    writeBytes(one.client, Buffer.concat([
      frame(OP.text, `<presence ${C}><!-- --></presence>`), frame(OP.text, `<message ${C} to='${one.client.jid}'/>`)]));
    await assertEnds(one, before, 1007, 'restricted-xml');
  });

  // A join is one however it is written: the lobby user is held to the lobby.
  for (const [name, make] of Object.entries({ ...joinsWritten, fragments: null })) {
    it(`a lobby user's join with ${name} is held to the lobby`, async () => {
      const room = await d.room();
      const { client } = await watched({ room, as: { lobby: true } });
      if (make) {
        client.raw(make(room));
      } else {
        const [start, end] = [`<presence ${C} to='${room}/me'><x xmlns='${NS.muc}'`, `/><nick xmlns='${NS.nick}'>n</nick></presence>`];
        client.socket.send(start, { fin: false });
        client.socket.send(end, { fin: true });
      }
      const el = await client.waitFor('what comes of it', (stanza) => stanza.is('presence') && bare(stanza.attrs.from) === room);
      assert.equal((error(el) || {}).condition, 'registration-required', String(el));
      assert.equal((await d.state(room)).members_only, true);
      assert.ok(!client.heard((stanza) => stanza.is('presence') && hasStatus(stanza, 110)));
    });
  }

  // As Prosody reads them: see facts-framing.
  for (const [how, write] of Object.entries(framingWritten)) {
    it(`<open> and <close> with ${how} are what they are`, async () => {
      const room = await d.room();
      const { client } = await d.recorded({ room, as: { lobby: true }, via: 'vestibule', isLoggedIn: false });
      const open = ` to='${d.domain}' version='1.0'`;
      client.raw(write('open', open));
      await client.waitFor('<open/>', of.named('open', NS.framing));
      await client.waitFor('features', (el) => el.getName() === 'features');
      await client.authenticate();
      client.raw(write('open', open));
      await client.waitFor('<open/>', of.named('open', NS.framing));
      await client.bind();
      await client.join(room);
      client.raw(write('close', ''));
      await client.waitFor('<close/>', of.named('close', NS.framing));
    });
  }

  it('two joins in one message: neither is made, and the room stays as it is', async () => {
    const room = await d.room();
    const one = await watched({ room, as: { lobby: true } });
    const before = one.wire.up.messages.length;
    const join = `<presence ${C} to='${room}/me'><x xmlns='${NS.muc}'/></presence>`;
    one.client.raw(`<message ${C} to='${one.client.jid}'/>${join}`);
    await assertEnds(one, before, 1007, 'not-well-formed');
    assert.equal((await d.state(room)).members_only, false);
  });

  it('others notice nothing', async () => {
    const client = await d.guest();
    client.raw(`<message ${C} to='${client.jid}'><body>still here</body></message>`);
    await client.waitFor('its own', of.message('still here'));
  });
});
