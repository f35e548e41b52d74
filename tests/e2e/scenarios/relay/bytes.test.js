// What a client and Prosody say to each other is what they said, byte for byte, both ways.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { NS, of, bare } = require('../../lib/stanza');

const LIMIT = 256 * 1024;

// Every way to write a stanza that a serialiser would write otherwise.
const odd = {
  'double quotes': (to) => `<message xmlns="jabber:client" to="${to}"><body>one</body></message>`,
  'an empty element in two tags': (to) => `<message xmlns='jabber:client' to='${to}'><body></body><x xmlns='a:b'></x></message>`,
  'white space in tags': (to) => `<message\n\txmlns = 'jabber:client'  to='${to}'\r\n ><body >two</body\n></message >`,
  'white space between elements': (to) => `<message xmlns='jabber:client' to='${to}'>\n  <body>  three  </body>\n\t</message>`,
  'references': (to) => `<message xmlns='jabber:client' to='${to}' id='&#97;&#x62;&quot;'><body>&lt;&amp;&#8364;&apos;</body></message>`,
  'a line break by reference in an attribute': (to) => `<message xmlns='jabber:client' to='${to}'><x xmlns='urn:x' a='&#10;'/></message>`,
  'the order of attributes': (to) => `<message type='chat' to='${to}' xml:lang='de' id='z' xmlns='jabber:client'/>`,
  'prefixes': (to) => `<c:message xmlns:c='jabber:client' xmlns:o='urn:other' to='${to}'><c:body>four</c:body><o:x o:y='1'/></c:message>`,
  'letters of every length': (to) => `<message xmlns='jabber:client' to='${to}'><body>a\u00e4\u200f\u20ac\u{1f600}\u{10fffd}</body></message>`,
  'a greater-than sign': (to) => `<message xmlns='jabber:client' to='${to}'><body>5 > 4 ]] ></body></message>`,
  'the end of a CDATA section, escaped': (to) => `<presence xmlns='jabber:client' to='${to}'><stats xmlns='urn:s'>[1,{"a":"]]&gt;"}]</stats></presence>`,
  'an iq for a full address': (to) => `<iq xmlns='jabber:client' type='get' id="q'1" to='${to}'><query xmlns="urn:x"><a><b/></a></query></iq>`,
  'a presence for a full address': (to) => `<presence xmlns='jabber:client' to='${to}'><status>here &amp; there</status></presence>`,
};

// What the client's library is given to send, in order.
function record(client) {
  const sent = [];
  const send = client.socket.send.bind(client.socket);
  client.socket.send = (data, ...rest) => {
    sent.push(data.toString());
    return send(data, ...rest);
  };
  return sent;
}

scenario('bytes', { recorder: true }, (d, it) => {
  // A client, what it sends and receives, and the same as it was between Vestibule and Prosody.
  async function watched() {
    const { client, wire } = await d.recorded({ isLoggedIn: false });
    const sent = record(client);
    await client.login(d.domain);
    return { client, sent, wire };
  }

  async function assertSame({ client, sent, wire }) {
    await client.ping();
    const count = sent.length;
    await wire.up.waitFor(`${count} messages`, () => wire.up.messages.length >= count);
    assert.deepEqual(wire.up.messages, sent, 'what Prosody got is not what the client sent');
    const received = client.received.map((entry) => entry.raw);
    assert.deepEqual(received, wire.down.messages.slice(0, received.length), 'what the client got is not what Prosody sent');
    assert.ok(client.received.every((entry) => !entry.isBinary));
  }

  it('a whole session, from the first byte, both ways', async () => {
    const [one, two] = [await watched(), await watched()];
    const room = await d.room();
    await one.client.enter(room);
    await two.client.enter(room);
    const before = one.client.received.length;
    for (const make of Object.values(odd)) one.client.raw(make(two.client.jid));
    // To an occupant: a private message, a nick that is taken, a request passed on.
    for (const make of Object.values(odd)) one.client.raw(make(`${room}/${two.client.nick}`));
    one.client.raw(`<message  xmlns = "jabber:client"\tto='${room}' type='groupchat' id='1'\n><body>plain</body></message >`);
    one.client.raw(`<j:message xmlns:j='jabber:client' to='${room}' type='groupchat'><j:body>prefixed</j:body></j:message>`);
    one.client.raw(`<presence xmlns='jabber:client' to='${room}/new-nick'><show>dnd</show></presence>`);
    one.client.raw(`<iq xmlns='jabber:client' type='get' id='odd-&quot;id&quot;' to='${d.domain}'><query xmlns='${NS.info}'/></iq>`);
    one.client.say(room, 'the end');
    await one.client.waitFor('the last', of.message('the end'));
    await two.client.waitFor('the last', of.message('the end'));
    assert.ok(one.client.received.slice(before).some(({ el }) => bare(el.attrs.from || '') === room));
    await one.client.leave(room, 'new-nick');
    await assertSame(one);
    await assertSame(two);
  });

  it('the same with stream management (XEP-0198)', async () => {
    const [one, two] = [await watched(), await watched()];
    await one.client.enableResumption();
    await two.client.enableResumption();
    for (const make of Object.values(odd)) one.client.raw(make(two.client.jid));
    one.client.raw(`<r xmlns='${NS.sm}'/>`);
    const ack = await one.client.waitFor('an acknowledgement', of.named('a', NS.sm));
    assert.equal(Number(ack.attrs.h), Object.keys(odd).length);
    await assertSame(one);
    await assertSame(two);
  });

  it('what Prosody sends is not touched, however odd', async () => {
    const { client, wire } = await watched();
    await client.ping();
    const odds = [
      '<message xmlns="jabber:client"\tfrom=\'a@b\'><body>&#9;<![CDATA[<]]></body></message>',
      `<x:presence xmlns:x='jabber:client' from='somebody@${d.muc}/x'><x:status>s</x:status></x:presence>`,
      `<message xmlns='jabber:client' from='big@${d.domain}'><body>${'long '.repeat(200000)}</body></message>`,
      '<message xmlns="jabber:client"><body>done</body></message>',
    ];
    for (const text of odds) wire.inject(text);
    await client.waitFor('the last', of.message('done'));
    assert.deepEqual(client.received.slice(-odds.length).map(({ raw }) => raw), odds);
  });

  // The same conversation with and without Vestibule: what the other end gets is the same.
  for (const [name, make] of Object.entries(odd)) {
    it(`what arrives is what would without Vestibule: ${name}`, async () => {
      const got = [];
      for (const via of ['nginx', 'prosody']) {
        const from = await d.guest(undefined, undefined, { via });
        const to = await d.guest(undefined, undefined, { via });
        const before = to.received.length;
        from.raw(make(to.jid));
        from.raw(`<message xmlns='jabber:client' to='${to.jid}'><body>behind it</body></message>`);
        await to.waitFor('what came behind it', of.message('behind it'));
        got.push(to.received.slice(before).map(({ raw }) =>
          raw.replaceAll(from.jid, 'FROM').replaceAll(to.jid, 'TO').replace(/ id='[^']{20,}'/g, '')));
      }
      assert.equal(got[0].length, 2);
      assert.deepEqual(got[0], got[1]);
    });
  }

  it('fifteen hundred messages each way at once arrive in order', async () => {
    const [one, two] = [await watched(), await watched()];
    const numbers = Array.from({ length: 1500 }, (_, index) => String(index));
    for (const number of numbers) {
      one.client.raw(`<message xmlns='jabber:client' to='${two.client.jid}'><body>${number}</body></message>`);
      two.client.raw(`<message xmlns='jabber:client' to='${one.client.jid}'><body>${number}</body></message>`);
    }
    for (const { client } of [one, two]) {
      await client.waitFor('the last', of.message(numbers.at(-1)), 30000);
      assert.deepEqual(client.received.map(({ el }) => el.getChildText('body')).filter(Boolean), numbers);
    }
    await assertSame(one);
    await assertSame(two);
  });

  // One of exactly the limit is too long for Prosody, which counts its own way.
  it('stanzas up to the limit arrive', async () => {
    const [one, two] = [await watched(), await watched()];
    for (const size of [125, 126, 65535, 65536, LIMIT - 1]) {
      const empty = `<message xmlns='jabber:client' to='${two.client.jid}' id='n${size}'><body></body></message>`;
      const body = 'x'.repeat(Math.max(0, size - empty.length));
      one.client.raw(empty.replace('</body>', `${body}</body>`));
      const { el } = await two.client.waitForEntry(`${size} bytes`, (stanza) => stanza.attrs.id === `n${size}`, 20000);
      assert.equal(el.getChildText('body'), body);
    }
    await assertSame(one);
  });
});
