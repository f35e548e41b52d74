// What wire fact 32 says of accounts that are not in unlimited_jids: what the service account asks for is
// read slowly.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { item, of } = require('../../lib/stanza');
const { timed } = require('../../lib/wait');

const PEOPLE = 40;
const ACCOUNT = { stall: 5000 }; // who talks is throttled too, while 40 are told of each other

scenario('the service account is throttled', { prosody: { C2S_RATE: '10kb/s' }, account: ACCOUNT }, (d, it) => {
  it(`a lobby is turned on in a room of ${PEOPLE} all the same, and nobody is thrown out`, async (t) => {
    const room = await d.room();
    const people = await Promise.all(Array.from({ length: PEOPLE }, (_, i) => d.guest(room, `guest${i}`, { deflate: false })));
    for (const person of people) await person.enter(room);
    const asker = await d.asker(room, 'asker');
    const from = d.vestibule.lines.length;
    const [, ms] = await timed(asker.enterLobby(room));
    for (const person of people) {
      await person.waitFor('being a member', (el) => of.selfPresence(`${room}/${person.nick}`)(el) && item(el).affiliation === 'member');
      assert.ok(!person.heard(of.left(`${room}/${person.nick}`)));
    }
    assert.equal((await d.prosody.control('sessions', { jid: d.service })), 1);
    await d.vestibule.waitForLog(new RegExp(`lobby turned on.*room=${room}`), { from });
    t.diagnostic(`turned on within ${Math.round(ms)} ms`);
  });
});
