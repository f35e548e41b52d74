// What a client and Prosody say to each other is what they said, byte for byte, both ways.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { tapped } = require('../../lib/tap');
const { OP, frame } = require('../../lib/frame');
const { NS, of } = require('../../lib/stanza');

const LIMIT = 256 * 1024;

// Every way to write a stanza that a serialiser would write otherwise.
const odd = {
  'double quotes': (to) => `<message xmlns="jabber:client" to="${to}"><body>one</body></message>`,
  'an empty element in two tags': (to) => `<message xmlns='jabber:client' to='${to}'><body></body><x xmlns='a:b'></x></message>`,
  'white space in tags': (to) => `<message\n\txmlns = 'jabber:client'  to='${to}'\r\n ><body >two</body\n></message >`,
  'white space between elements': (to) => `<message xmlns='jabber:client' to='${to}'>\n  <body>three</body>\n\t</message>`,
  'references': (to) => `<message xmlns='jabber:client' to='${to}' id='&#97;&#x62;&quot;'><body>&lt;&amp;&#8364;&apos;</body></message>`,
  'the order of attributes': (to) => `<message type='chat' to='${to}' xml:lang='de' id='z' xmlns='jabber:client'/>`,
  'prefixes': (to) => `<c:message xmlns:c='jabber:client' xmlns:o='urn:other' to='${to}'><c:body>four</c:body><o:x o:y='1'/></c:message>`,
  'letters of every length': (to) => `<message xmlns='jabber:client' to='${to}'><body>a\u00e4\u20ac\u{1f600}\u{10fffd}</body></message>`,
  'a greater-than sign': (to) => `<message xmlns='jabber:client' to='${to}'><body>5 > 4 ]] ></body></message>`,
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

scenario('bytes', tapped(), (d, it) => {
  // A client, what it sends and receives, and the same as it was between Vestibule and Prosody.
  async function watched(name, options) {
    const client = await d.socket({ name, parameters: { watch: name }, ...options });
    const sent = record(client);
    await client.login(d.domain);
    return { client, sent, wire: d.tap.of(`watch=${name}`) };
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

  it('a whole session, both ways', async () => {
    const one = await watched('one');
    const two = await watched('two');
    const room = await d.room();
    await one.client.enter(room);
    await two.client.enter(room);
    for (const make of Object.values(odd)) one.client.raw(make(two.client.jid));
    one.client.say(room, 'the end');
    await two.client.waitFor('the last', of.message('the end'));
    await one.client.leave(room);
    await assertSame(one);
    await assertSame(two);
  });

  it('the same with stream management (XEP-0198)', async () => {
    const one = await watched('three');
    const two = await watched('four');
    await one.client.enableResumption();
    await two.client.enableResumption();
    for (const make of Object.values(odd)) one.client.raw(make(two.client.jid));
    one.client.raw(`<r xmlns='${NS.sm}'/>`);
    const ack = await one.client.waitFor('an acknowledgement', of.named('a', NS.sm));
    assert.equal(Number(ack.attrs.h), Object.keys(odd).length);
    await assertSame(one);
    await assertSame(two);
  });

  it('white space between stanzas, as a client keeps its connection alive', async () => {
    const one = await watched('white');
    one.client.raw(`<message xmlns='jabber:client' to='${one.client.jid}'><body>a</body></message>`);
    await one.client.waitFor('its own', of.message('a'));
    await assertSame(one);
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

  it('a fragmented message is put together, and a ping between its parts is answered', async () => {
    const { client, wire } = await watched('parts');
    const pongs = [];
    client.socket.on('pong', (data) => pongs.push(data.toString()));
    const text = `<message xmlns='jabber:client' to='${client.jid}'><body>in \u20ac parts</body></message>`;
    const bytes = Buffer.from(text);
    const cut = bytes.indexOf('\u20ac') + 1; // in the middle of a character
    client.socket.send(bytes.subarray(0, 5), { fin: false, binary: false });
    client.socket.send(bytes.subarray(5, cut), { fin: false, binary: false });
    client.socket.ping('between');
    client.socket.send(Buffer.alloc(0), { fin: false, binary: false });
    client.socket.send(bytes.subarray(cut), { fin: true, binary: false });
    await client.waitFor('it', of.message('in \u20ac parts'));
    assert.deepEqual(wire.up.messages.filter((message) => message.includes('parts')), [text]);
    assert.deepEqual(pongs, ['between']);
    assert.deepEqual(wire.up.controls, [], 'the ping is Vestibule\'s to answer');
  });

  it('a ping is answered with its own bytes, either side', async () => {
    const { client, wire } = await watched('pings');
    const pong = new Promise((resolve) => { client.socket.once('pong', (data) => resolve(data)); });
    const payload = Buffer.from(Array.from({ length: 125 }, (_, index) => index * 2));
    client.socket.ping(payload);
    assert.deepEqual(await pong, payload);
    wire.inject(frame(OP.ping, 'from Prosody', { masked: false }));
    await wire.up.waitFor('a pong', () => wire.up.controls.some(({ kind, data }) => kind === 'pong' && data === 'from Prosody'));
    await client.ping();
  });

  it('the order is kept, both ways at once', async () => {
    const one = await d.guest();
    const two = await d.guest();
    const count = 1500;
    for (let i = 0; i < count; i++) {
      one.raw(`<message xmlns='jabber:client' to='${two.jid}'><body>${i}</body></message>`);
      two.raw(`<message xmlns='jabber:client' to='${one.jid}'><body>${i}</body></message>`);
    }
    for (const client of [one, two]) {
      await client.waitFor('the last', of.message(String(count - 1)), 30000);
      const bodies = client.received.map(({ el }) => el.getChildText('body')).filter(Boolean);
      assert.deepEqual(bodies, Array.from({ length: count }, (_, index) => String(index)));
    }
  });

  // One of exactly the limit is too long for Prosody, which counts its own way.
  it('stanzas up to the limit arrive', async () => {
    const one = await watched('long');
    const two = await watched('far');
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
