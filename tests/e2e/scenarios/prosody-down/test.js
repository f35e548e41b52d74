// Prosody is not there: clients are told at once, the log says it once, and it needs nobody's hand when
// Prosody comes back.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { Tally } = require('../../lib/tally');
const { timed } = require('../../lib/wait');

const DOWN = /Prosody cannot be reached/;
const EXPECTED = [DOWN, /service account is not logged in/, /\[service\]/, /PROSODY_(LOST|DOWN)/];

scenario('Prosody down from the start', { isProsodyUp: false, expect: EXPECTED }, (d, it) => {
  it('a client is told within a second, ten are told too, and the log says it once', async () => {
    for (let i = 0; i < 10; i++) {
      const [error, ms] = await timed(d.socket({ via: i % 2 ? 'nginx' : 'vestibule' }).then(() => null, (e) => e));
      assert.ok(error && [502, 503].includes(error.status), String(error));
      assert.ok(ms < 1000, `took ${ms} ms`);
    }
    await d.vestibule.waitForLog(DOWN);
    assert.equal(d.vestibule.lines.filter((line) => DOWN.test(line)).length, 1);
  });

  it('a plain GET is told so too', async () => {
    assert.ok([502, 503].includes((await d.get({ via: 'vestibule' })).status));
  });

  it('it comes up: users and lobbies work without a restart', async (t) => {
    const from = d.vestibule.lines.length;
    await d.prosody.start();
    await d.vestibule.waitForLog(/logged in as/, { from, timeout: 40000 });
    const room = await d.room();
    await (await d.asker(room, 'asker')).enterLobby(room);
    const tally = new Tally(d);
    for (const name of ['one', 'two']) await tally.peer(name);
    tally.say(10);
    await tally.account(t, { stall: 0 }); // the fault is over
  });
});

// Who talks begins a new session once it runs; its start alone may take that long here.
scenario('Prosody goes and comes', { expect: EXPECTED, account: { stall: 12000, renews: true } }, (d, it) => {
  it('open streams end, new ones are refused, and afterwards all is as before', async () => {
    const user = await d.guest();
    const from = d.vestibule.lines.length;
    await d.prosody.stop();
    await user.closed;
    await d.vestibule.waitForLog(/service account is not logged in/, { from });
    const error = await d.socket().catch((e) => e);
    assert.ok([502, 503].includes(error.status), String(error));
    await d.vestibule.waitForLog(DOWN, { from });
    await d.prosody.start();
    await d.vestibule.waitForLog(/logged in as/, { from, timeout: 40000 });
    d.jicofo = undefined;
    const room = await d.room();
    await (await d.asker(room, 'asker')).enterLobby(room);
  });
});
