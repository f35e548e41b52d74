// What passes through is what was sent: byte for byte, in order, both ways, closes included.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { NS, of, joinStanza } = require('../../lib/stanza');

const WRONG = /stream ended why=(FRAMING|NOT_WELL_FORMED|BAD_NAMESPACE|RESTRICTED_XML|INVALID_NAMESPACE|BAD_ENCODING|TOO_LARGE|PROSODY_LOST)/;
const texts = (messages) => messages.map(({ text }) => text);

scenario('relay', { recorder: true, expect: [WRONG] }, (d, it) => {
  let marks = 0;
  // A client inside a room, and the recorder's view of its stream.
  async function inside(options = {}) {
    const mark = `m${++marks}`;
    const room = await d.room();
    const client = await d.connect({ room, name: mark, as: {}, ...options, parameters: { mark } });
    await client.enter(room);
    return { room, client, tap: await d.recorder.of(mark) };
  }

  const odd = (room) => [
    `<message  xmlns = "jabber:client"\tto='${room}' type='groupchat' id='1'\n><body>plain</body></message >`,
    `<message to="${room}" type="groupchat" xmlns="jabber:client"><body>&lt;&#65;&#x42;&amp;&quot;&apos; ünï 😀 \u200f</body></message>`,
    `<j:message xmlns:j='jabber:client' to='${room}' type='groupchat'><j:body>prefixed</j:body></j:message>`,
    `<message xmlns='jabber:client' to='${room}' type='groupchat'><x xmlns='urn:x' a='&#10;'/><body>  spaces  </body></message>`,
    `<presence xmlns='jabber:client' to='${room}/new-nick'><show>dnd</show><stats xmlns='urn:s'>[1,2,{"a":"]]&gt;"}]</stats></presence>`,
    `<iq xmlns='jabber:client' type='get' id='odd-&quot;id&quot;' to='${d.domain}'><query xmlns='${NS.info}'/></iq>`,
    `<message xmlns='jabber:client' to='${room}' type='groupchat'><body>last</body></message>`,
  ];

  it('a client\'s stanzas reach Prosody byte for byte, and Prosody\'s reach the client', async () => {
    const { room, client, tap } = await inside();
    const [sent, heard] = [tap.fromProxy.length, client.received.length];
    const stanzas = odd(room);
    for (const text of stanzas) client.raw(text);
    await client.waitFor('the last', of.message('last'));
    await client.ping();
    assert.deepEqual(texts(tap.fromProxy).slice(sent, sent + stanzas.length), stanzas);
    assert.deepEqual(client.received.slice(heard).map(({ raw }) => raw), texts(tap.fromProsody).slice(-(client.received.length - heard)));
    assert.ok(client.received.length - heard >= stanzas.length);
  });

  it('from the first byte: what the client got is what Prosody sent', async () => {
    const { client, tap } = await inside();
    await client.ping();
    assert.deepEqual(client.received.map(({ raw }) => raw), texts(tap.fromProsody));
  });

  it('what Prosody sends is not touched, however odd', async () => {
    const { client, tap } = await inside();
    const odds = [
      '<message xmlns="jabber:client"\tfrom=\'a@b\'><body>&#9;<![CDATA[<]]></body></message>',
      `<x:presence xmlns:x='jabber:client' from='somebody@${d.muc}/x'><x:status>s</x:status></x:presence>`,
      `<message xmlns='jabber:client' from='big@${d.domain}'><body>${'long '.repeat(200000)}</body></message>`,
      '<message xmlns="jabber:client"><body>done</body></message>',
    ];
    for (const text of odds) tap.inject(text);
    await client.waitFor('the last', of.message('done'));
    assert.deepEqual(client.received.slice(-odds.length).map(({ raw }) => raw), odds);
  });

  it('a thousand messages each way arrive in order', async () => {
    const { room, client, tap } = await inside();
    const sent = tap.fromProxy.length;
    const burst = Array.from({ length: 1000 }, (_, i) =>
      `<message xmlns='jabber:client' to='${room}' type='groupchat'><body>n${i}</body></message>`);
    for (const text of burst) client.raw(text);
    await client.waitFor('the last of them', of.message('n999'), 30000);
    assert.deepEqual(texts(tap.fromProxy).slice(sent, sent + 1000), burst);
    const echoed = client.received.map(({ el }) => el.is('message') && el.getChildText('body')).filter((text) => /^n\d+$/.test(text));
    assert.deepEqual(echoed, burst.map((_, i) => `n${i}`));
  });

  it('a large stanza passes', async () => {
    const { room, client, tap } = await inside();
    const text = `<message xmlns='jabber:client' to='${room}' type='groupchat'><body>${'x'.repeat(200000)}</body></message>`;
    client.raw(text);
    await client.waitFor('its echo', (el) => el.is('message') && (el.getChildText('body') || '').length === 200000);
    assert.ok(texts(tap.fromProxy).includes(text));
  });

  it('one larger than limits.stanza ends the stream', async () => {
    const { room, client } = await inside();
    client.raw(`<message xmlns='jabber:client' to='${room}' type='groupchat'><body>${'x'.repeat(300000)}</body></message>`);
    assert.equal((await client.closed).code, 1009);
  });

  it('a fragmented message is put together', async () => {
    const { room, client, tap } = await inside();
    const text = `<message xmlns='jabber:client' to='${room}' type='groupchat'><body>in pieces ü</body></message>`;
    const bytes = Buffer.from(text);
    const cut = bytes.indexOf(0xbc); // in the middle of a character
    client.socket.send(bytes.subarray(0, 20), { fin: false, binary: false });
    client.socket.ping('between');
    client.socket.send(bytes.subarray(20, cut), { fin: false, binary: false });
    client.socket.send(bytes.subarray(cut), { fin: true, binary: false });
    await client.waitFor('its echo', of.message('in pieces ü'));
    assert.ok(texts(tap.fromProxy).includes(text));
  });

  it('a WebSocket ping is answered', async () => {
    const { client } = await inside();
    const pong = new Promise((resolve) => { client.onPong = resolve; });
    client.socket.ping('hello');
    await pong;
  });

  it('the client\'s close code and reason reach Prosody', async () => {
    const { client, tap } = await inside();
    client.socket.close(4242, 'good bye');
    assert.deepEqual(await tap.proxyClosed, { code: 4242, reason: 'good bye' });
  });

  it('Prosody\'s close code and reason reach the client', async () => {
    const { client, tap } = await inside();
    tap.proxy.close(4321, 'enough');
    assert.deepEqual(await client.closed, { code: 4321, reason: 'enough' });
  });

  it('a stream closed in order is closed in order', async () => {
    const { client, tap } = await inside();
    client.raw(`<close xmlns='${NS.framing}'/>`);
    await client.waitFor('the answer', of.named('close', NS.framing));
    client.socket.close(1000);
    assert.equal((await client.closed).code, 1000);
    await tap.proxyClosed;
  });

  it('a connection that breaks on one side is broken on the other', async () => {
    const first = await inside();
    await first.client.drop();
    assert.ok([1005, 1006].includes((await first.tap.proxyClosed).code));
    const second = await inside();
    second.tap.cut();
    assert.equal((await second.client.closed).code, 1006);
  });

  const refused = {
    'text that is no XML': ['presence', 1007, 'not-well-formed'],
    'two stanzas in one message': [`${joinStanza('a@b', { nick: 'x' })}${joinStanza('a@b', { nick: 'y' })}`, 1007, 'not-well-formed'],
    'half a stanza': ['<presence xmlns=\'jabber:client\'>', 1007, 'not-well-formed'],
    'a comment': ['<presence xmlns=\'jabber:client\'><!-- x --></presence>', 1007, 'restricted-xml'],
    'a processing instruction': ['<presence xmlns=\'jabber:client\'><?x y?></presence>', 1007, 'restricted-xml'],
    'a DTD': ['<!DOCTYPE x [<!ENTITY e "v">]><presence xmlns=\'jabber:client\'>&e;</presence>', 1007, 'restricted-xml'],
    'a CDATA section': ['<message xmlns=\'jabber:client\'><body><![CDATA[x]]></body></message>', 1007, 'restricted-xml'],
    'an undeclared prefix': ['<x:presence/>', 1007, 'bad-namespace-prefix'],
    'no namespace': ['<presence/>', 1007, 'invalid-namespace'],
  };
  for (const [name, [text, code, condition]] of Object.entries(refused)) {
    it(`${name} ends the stream with ${condition}, and does not reach Prosody`, async () => {
      const { client, tap } = await inside();
      const sent = tap.fromProxy.length;
      client.raw(text);
      const el = await client.waitFor('a stream error', (stanza) => stanza.getName() === 'error' && stanza.getNS() === NS.streams);
      assert.ok(el.children.some((child) => child.name === condition), String(el));
      assert.equal((await client.closed).code, code);
      await tap.proxyClosed;
      assert.ok(!texts(tap.fromProxy).slice(sent).includes(text));
    });
  }

  it('a binary message ends it with 1003', async () => {
    const { client } = await inside();
    client.socket.send(Buffer.from('<presence xmlns=\'jabber:client\'/>'));
    assert.equal((await client.closed).code, 1003);
  });
});
