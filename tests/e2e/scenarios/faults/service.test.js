// The service account in trouble with Prosody: its stream ended by an error, its password refused.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { timed } = require('../../lib/wait');

const HOLD_MS = 8000; // what nobody waits for in vain
const config = { lobby: { hold_timeout: `${HOLD_MS}ms` } };
const DOWN = /service account is not logged in/;

const ACCOUNT = { stall: 0 }; // who only talks notices nothing

const refused = ({ error }) => assert.deepEqual([error.type, error.condition], ['wait', 'service-unavailable']);

for (const [name, change, because] of [
  ['a password that is refused', { password: 'wrong', password_file: undefined }, 'login was refused'],
  ['no account configured', { jid: undefined, password_file: undefined }, 'no service account is configured'],
]) {
  scenario(name, { config: { ...config, service: change }, isServed: false, account: ACCOUNT, expect: [DOWN, /no service\.jid/] }, (d, it) => {
    it('lobby users are refused at once, as waiting would not help, and each line says why', async () => {
      await d.vestibule.waitForLog(/service account is not logged in|no service\.jid/);
      const room = await d.room();
      const from = d.vestibule.lines.length;
      const [result, ms] = await timed((await d.asker(room, 'asker')).join(room));
      refused(result);
      assert.ok(ms < HOLD_MS / 4, `took ${ms} ms`);
      assert.match(await d.vestibule.waitForLog(/join .*applicant=lobby/, { from }), new RegExp(because));
      await (await d.guest(room, 'guest')).enter(room);
      await (await d.plain(room, 'plain')).enter(room);
    });
  });
}

scenario('the service account and Prosody', { config, recorder: true, account: ACCOUNT, expect: [DOWN] }, (d, it) => {
  const loggedIn = (from) => d.vestibule.waitForLog(/logged in as/, { from, timeout: 30000 });

  it('a login that is refused for a while only is waited for', async () => {
    const room = await d.room();
    const from = d.vestibule.lines.length;
    const service = d.recorder.wires[0];
    service.inject('<stream:error xmlns:stream=\'http://etherx.jabber.org/streams\'><reset xmlns=\'urn:ietf:params:xml:ns:xmpp-streams\'/></stream:error>');
    await d.vestibule.waitForLog(DOWN, { from });
    const asker = await d.asker(room, 'asker'); // he joins while it is away, or just back
    await asker.enterLobby(room);
    await loggedIn(from);
  });

  for (const condition of ['conflict', 'policy-violation', 'reset']) {
    it(`Prosody ends its stream (${condition}): the log says so, it is back by itself, and nobody notices`, async () => {
      const room = await d.room();
      await (await d.asker(room, 'before')).enterLobby(room);
      const from = d.vestibule.lines.length;
      assert.equal(await d.prosody.control('stop', { jid: d.service, condition }), 1);
      const line = await d.vestibule.waitForLog(DOWN, { from });
      assert.match(line, new RegExp(`Prosody ended its stream: ${condition}`));
      const plain = await d.plain(room, 'plain'); // forwarded without the service, or granted
      await plain.join(room);
      await loggedIn(from);
      const next = await d.room();
      await (await d.asker(next, 'after')).enterLobby(next);
    });
  }
});
