// How a WebSocket over plain TCP ends, as a client sees it: what was said, the close frame, the end of the
// connection, in that order, and never a reset, which could take the close frame with it.
'use strict';
const assert = require('node:assert/strict');
const { Receiver } = require('ws');
const { scenario } = require('../../lib/scenario');
const { Light } = require('../../lib/light');
const { OP, frame, closeFrame } = require('../../lib/frame');
const { within } = require('../../lib/wait');
const { NS } = require('../../lib/stanza');

const MUCH = 500000; // bytes: more than is read at once

scenario('closing', { recorder: true }, (d, it) => {
  let marks = 0;

  // One who is logged in, and from then on the story of his connection: 'close CODE', 'end', an error's code.
  // onClose: what he does at Vestibule's close frame.
  async function user({ onClose = () => {} } = {}) {
    const mark = `closing${++marks}`;
    const light = await new Light(mark).open({ port: d.ports.vestibule, host: d.domain, query: `mark=${mark}` });
    await light.login();
    const { socket } = light;
    const told = [];
    const receiver = new Receiver({ isServer: false });
    receiver.on('message', (data) => told.push(data.toString())).on('conclude', (code) => {
      told.push(`close ${code}`);
      onClose(socket);
    });
    socket.removeAllListeners('data').on('data', (data) => receiver.write(data));
    socket.on('end', () => told.push('end')).on('error', ({ code }) => told.push(code));
    const closed = new Promise((resolve) => { socket.once('close', () => resolve(told)); });
    return { light, socket, told, story: () => within(10000, 'the end', closed, () => told.join('\n')), wire: d.recorder.of(mark) };
  }
  // Bytes that Vestibule finds all there: it stands still until the kernel has them.
  async function writeAtOnce({ socket }, bytes) {
    d.vestibule.program.signal('SIGSTOP');
    try {
      await within(10000, 'the kernel to take it', new Promise((resolve) => socket.write(bytes, resolve)));
    } finally {
      d.vestibule.program.signal('SIGCONT');
    }
  }
  const text = (size) => frame(OP.text, `<message xmlns='jabber:client'><body>${'x'.repeat(size)}</body></message>`);

  for (const [what, bytes] of Object.entries({
    'a close frame': closeFrame(1000),
    'a close frame with bytes behind it': Buffer.concat([closeFrame(1000), text(100)]),
    'a close frame and much behind it that is not read': Buffer.concat([closeFrame(1000), Buffer.alloc(MUCH)]),
    'a message, then a close frame': Buffer.concat([text(1000), closeFrame(1000)]),
    '<close/>, then a close frame': Buffer.concat([frame(OP.text, `<close xmlns='${NS.framing}'/>`), closeFrame(1000)]),
  })) {
    it(`the client sends ${what}: it is answered, then comes the end`, async () => {
      const one = await user();
      await writeAtOnce(one, bytes);
      assert.deepEqual((await one.story()).slice(-2), ['close 1000', 'end']);
      await within(10000, 'Prosody to be told', one.wire.ended);
    });
  }

  it('the client answers Prosody\'s close frame: then comes the end, and not before', async () => {
    const other = await d.guest();
    let toldFirst;
    const one = await user({ onClose: (socket) => other.ping().then(() => {
      toldFirst = [...one.told];
      socket.write(closeFrame(1000));
    }) });
    one.wire.inject(closeFrame(1000, 'enough', { masked: false }));
    assert.deepEqual(await one.story(), ['close 1000', 'end']);
    assert.deepEqual(toldFirst, ['close 1000']);
    await other.close();
  });

  it('the client was still writing when Prosody closed', async () => {
    const one = await user({ onClose: (socket) => socket.write(Buffer.concat([text(100000), closeFrame(1000)])) });
    for (let i = 0; i < 10; i++) one.socket.write(text(10000));
    one.wire.inject(closeFrame(1000, 'enough', { masked: false }));
    assert.deepEqual((await one.story()).slice(-2), ['close 1000', 'end']);
  });

  it('behind his answer the client has more that is not read', async () => {
    const one = await user({ onClose: (socket) => writeAtOnce({ socket }, Buffer.concat([closeFrame(1000), Buffer.alloc(MUCH)])) });
    one.wire.inject(closeFrame(1000, 'enough', { masked: false }));
    assert.deepEqual(await one.story(), ['close 1000', 'end']);
  });

  it('what Prosody says last comes before its close frame, however much it is', async () => {
    const one = await user({ onClose: (socket) => socket.write(closeFrame(1000)) });
    const other = await d.guest();
    const last = Array.from({ length: 400 }, (_, i) => `<message xmlns='jabber:client' id='${i}'><body>${'y'.repeat(100000)}</body></message>`);
    one.socket.pause();
    for (const message of last) one.wire.inject(message);
    one.wire.inject(closeFrame(1000, 'enough', { masked: false }));
    await other.ping();
    assert.ok(one.wire.untaken > 0, 'more than all the buffers on its way hold');
    one.socket.resume();
    const story = await one.story();
    assert.deepEqual(story.slice(-2), ['close 1000', 'end']);
    assert.ok(story.slice(0, -2).every((message, i) => message === last[i]) && story.length === last.length + 2);
    await other.close();
  });
});
