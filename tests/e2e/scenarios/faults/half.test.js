// Prosody's side is slow, and ends in the middle of a message: of a frame, of an element. The stream ends
// with the right reason, a session can be resumed, and nothing is lost or doubled.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { OP, frame } = require('../../lib/frame');
const { Tally } = require('../../lib/tally');
const { within } = require('../../lib/wait');

const LOST = /why=PROSODY_LOST/;
const message = '<message xmlns=\'jabber:client\' id=\'half\'><body>half of it</body></message>';
const wholeFrame = frame(OP.text, message, { masked: false });

scenario('Prosody in half', { recorder: true, expect: [LOST, /service account is not logged in/] }, (d, it) => {
  const alive = async () => (await d.guest()).ping();
  const isGone = (client) => within(5000, 'the end of the stream', client.closed);

  for (const [what, bytes] of Object.entries({
    'a frame\'s header': wholeFrame.subarray(0, 1), 'a frame': wholeFrame.subarray(0, wholeFrame.length / 2),
  })) {
    it(`half of ${what}, then the end: the client has none of it and is told as a blind proxy would`, async () => {
      const { client, wire } = await d.recorded();
      const from = d.vestibule.lines.length;
      wire.vestibule.write(bytes);
      wire.vestibule.end();
      const { code } = await isGone(client);
      assert.equal(code, 1006);
      assert.ok(!client.heard((el) => el.attrs.id === 'half'));
      assert.match(await d.vestibule.waitForLog(/stream ended/, { from }), LOST);
      await alive();
    });
  }

  for (const text of [
    '<presence from=\'room@conference.meet.example.com/x\'><x xmlns=\'http://jabber.org/protocol/muc#user\'><status code=\'110\'/>',
    '<message><x><status code=\'104\'', '<iq type=\'result\' id=\'1\'><query', '<enabled id=\'', '<a h=\'1', '<resumed', '<', '<open xmlns=\'',
  ]) {
    it(`half an element in a whole frame (${text.slice(0, 9)}), then the end: it is passed on as it is, or not at all`, async () => {
      const { client, wire } = await d.recorded();
      const [from, told] = [d.vestibule.lines.length, []];
      client.socket.removeAllListeners('message').on('message', (data) => told.push(data.toString())); // it is no XML
      wire.vestibule.write(frame(OP.text, text, { masked: false }));
      wire.vestibule.end();
      await isGone(client);
      assert.ok(told.every((part) => part === text), told.join('\n'));
      assert.match(await d.vestibule.waitForLog(/stream ended/, { from }), LOST);
      await alive();
    });
  }

  it('the service account\'s stream ends with half an answer: it logs in again, and lobbies work', async () => {
    const room = await d.room();
    const service = d.recorder.wires.findLast((wire) => wire.up.messages.some((text) => /auth\.meet/.test(text)));
    const from = d.vestibule.lines.length;
    service.inject('<iq type=\'result\' from=\'room@conference.meet.example.com\' id=\'v');
    service.vestibule.write(wholeFrame.subarray(0, 20));
    service.vestibule.end();
    await d.vestibule.waitForLog(/logged in as/, { from });
    await (await d.asker(room, 'asker')).enterLobby(room);
  });

  it('the service account is answered late: the join waits, the log says for how long, and all others go on', async () => {
    const room = await d.room();
    const asker = await d.asker(room, 'asker');
    const { service } = d.recorder;
    const from = d.vestibule.lines.length;
    service.keepBack(); // Prosody does not hear what is asked for him
    const came = asker.enterLobby(room);
    await service.up.message('the question', (text) => text.includes(`to='${room}'`));
    const since = Date.now();
    await alive();
    await (await d.guest(await d.room(), 'elsewhere')).ping();
    const atLeast = Date.now() - since;
    service.release();
    await came;
    const line = await d.vestibule.waitForLog(new RegExp(`join room=${room} applicant=lobby .*outcome=forwarded held_ms=`), { from });
    assert.ok(Number(/held_ms=(\d+)/.exec(line)[1]) >= atLeast, line);
  });

  it('traffic is held up for a while: it arrives late, all of it, once', async (t) => {
    const tally = new Tally(d);
    for (const mark of ['slow1', 'slow2', 'slow3']) await tally.peer(mark, { parameters: { mark } });
    const wires = ['slow1', 'slow2', 'slow3'].map((mark) => d.recorder.of(mark));
    tally.say(20);
    for (const wire of wires) wire.holdUp();
    tally.say(100);
    await alive();
    for (const wire of wires) wire.release();
    tally.say(20);
    await tally.account(t, { stall: 2000 }); // for as long as a login takes
  });

  it('connections end in the middle of a frame, and sessions are resumed: nothing is lost or doubled', async (t) => {
    const tally = new Tally(d);
    const names = ['cut1', 'cut2', 'cut3'];
    for (const mark of names) await tally.peer(mark, { parameters: { mark } });
    for (let round = 0; round < 3; round++) {
      tally.say(10);
      for (const mark of names) {
        const wire = d.recorder.of(mark);
        wire.vestibule.write(wholeFrame.subarray(0, 9));
        wire.vestibule.end();
        wire.prosody.destroy();
      }
      tally.say(10);
      await tally.resume();
    }
    await tally.account(t, { stall: 1000 }); // three logins, one after the other
  });
});
