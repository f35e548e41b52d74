// Who does not read stops who writes to him, and nobody else: memory stays bounded, nothing is lost.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { of } = require('../../lib/stanza');

const MIB = 1024 * 1024;
const TOTAL = 64 * MIB;
// Between the two ends lie the sockets' own buffers and the proxy's queue, and no more.
const ON_THE_WAY = 24 * MIB;
const BODY = 'x'.repeat(64 * 1024);
const message = (i, to = '') => `<message xmlns='jabber:client'${to} id='b${i}'><body>${BODY}</body></message>`;
const COUNT = Math.ceil(TOTAL / BODY.length);

scenario('backpressure', { recorder: true }, (d, it) => {
  // How much is left in the writer once it does not move any more while others go on.
  async function settled(socket, other) {
    let before;
    let same = 0;
    while (same < 20) {
      await other.ping();
      same = socket.bufferedAmount === before ? same + 1 : 0;
      before = socket.bufferedAmount;
    }
    return before;
  }

  it('a client that does not read stops Prosody\'s side, others go on', async () => {
    const [slow, other] = [await d.connect({ parameters: { mark: 'slow' }, via: 'vestibule' }), await d.guest()];
    const tap = await d.recorder.of('slow');
    slow.socket.pause();
    for (let i = 0; i < COUNT; i++) tap.proxy.send(message(i));
    const left = await settled(tap.proxy, other);
    assert.ok(left > TOTAL - ON_THE_WAY, `${TOTAL - left} bytes were taken from Prosody`);
    const last = slow.waitFor('the last', (el) => el.attrs.id === `b${COUNT - 1}`, 60000);
    slow.socket.resume();
    await last;
    const ids = slow.received.map(({ el }) => el.attrs.id).filter((id) => /^b\d+$/.test(id || ''));
    assert.deepEqual(ids, Array.from({ length: COUNT }, (_, i) => `b${i}`));
    await slow.ping();
  });

  it('Prosody that does not read stops the client, others go on', async () => {
    const [fast, other] = [await d.connect({ parameters: { mark: 'fast' }, via: 'vestibule' }), await d.guest()];
    const tap = await d.recorder.of('fast');
    tap.isMuted = true; // what it takes goes nowhere
    const start = tap.fromProxy.length;
    tap.proxy.pause();
    for (let i = 0; i < COUNT; i++) fast.socket.send(message(i, ` to='${d.domain}'`));
    const left = await settled(fast.socket, other);
    assert.ok(left > TOTAL - ON_THE_WAY, `${TOTAL - left} bytes were taken from the client`);
    tap.proxy.resume();
    fast.socket.send('<message xmlns=\'jabber:client\' id=\'end\'/>');
    while (!tap.fromProxy[tap.fromProxy.length - 1].text.includes('id=\'end\'')) await other.ping();
    const ids = tap.fromProxy.slice(start, -1).map(({ text }) => /id='(b\d+)'/.exec(text)[1]);
    assert.deepEqual(ids, Array.from({ length: COUNT }, (_, i) => `b${i}`));
  });

  it('a slow reader in a room slows nobody in it', async () => {
    const room = await d.room();
    const [slow, quick] = [await d.guest(room, 'slow', { via: 'vestibule' }), await d.guest(room, 'quick')];
    await slow.enter(room);
    await quick.enter(room);
    slow.socket.pause();
    for (let i = 0; i < 200; i++) quick.say(room, `${i} ${'y'.repeat(10000)}`);
    await quick.waitFor('the last', of.message(`199 ${'y'.repeat(10000)}`), 30000);
    slow.socket.resume();
    await slow.waitFor('the last', of.message(`199 ${'y'.repeat(10000)}`), 30000);
  });
});
