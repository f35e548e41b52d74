// WebSocket between a client and Prosody: fragments, pings, and every way for either of them to end.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { OP, frame, closeFrame } = require('../../lib/frame');
const { NS, of } = require('../../lib/stanza');

scenario('relay', { recorder: true, expect: [/stream ended why=(TOO_LARGE|PROSODY_LOST)/] }, (d, it) => {
  // A client inside a room, and its connection to Prosody.
  async function inside() {
    const room = await d.room();
    const { client, wire } = await d.recorded({ room, as: {} });
    await client.enter(room);
    return { room, client, wire };
  }

  it('a fragmented message is put together, and a ping between its parts is answered', async () => {
    const { client, wire } = await inside();
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
    const { client, wire } = await inside();
    const pong = new Promise((resolve) => { client.socket.once('pong', (data) => resolve(data)); });
    const payload = Buffer.from(Array.from({ length: 125 }, (_, index) => index * 2));
    client.socket.ping(payload);
    assert.deepEqual(await pong, payload);
    wire.inject(frame(OP.ping, 'from Prosody', { masked: false }));
    await wire.up.waitFor('a pong', () => wire.up.controls.some(({ kind, data }) => kind === 'pong' && data === 'from Prosody'));
    await client.ping();
  });

  it('the client\'s close code and reason reach Prosody', async () => {
    const { client, wire } = await inside();
    client.socket.close(4242, 'good bye');
    assert.deepEqual(await wire.up.closeFrame(), { code: 4242, reason: 'good bye' });
  });

  it('Prosody\'s close code and reason reach the client', async () => {
    const { client, wire } = await inside();
    wire.inject(closeFrame(4321, 'enough', { masked: false }));
    assert.deepEqual(await client.closed, { code: 4321, reason: 'enough' });
  });

  it('a stream closed in order is closed in order', async () => {
    const { client, wire } = await inside();
    client.raw(`<close xmlns='${NS.framing}'/>`);
    await client.waitFor('the answer', of.named('close', NS.framing));
    client.socket.close(1000);
    assert.equal((await client.closed).code, 1000);
    await wire.ended;
  });

  it('a connection that breaks on one side is broken on the other', async () => {
    const first = await inside();
    await first.client.drop();
    await first.wire.ended;
    // Closed with a code, the session would be over instead of waiting to be resumed.
    assert.deepEqual([first.wire.up.close, first.wire.up.messages.filter((text) => text.startsWith('<close'))], [null, []]);
    const second = await inside();
    second.wire.cut();
    assert.equal((await second.client.closed).code, 1006);
  });

  it('a stanza larger than limits.stanza ends the stream', async () => {
    const { room, client, wire } = await inside();
    client.raw(`<message xmlns='jabber:client' to='${room}' type='groupchat'><body>${'x'.repeat(300000)}</body></message>`);
    assert.equal((await client.closed).code, 1009);
    await wire.ended;
  });
});
