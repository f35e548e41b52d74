// What wire fact 32 says of accounts that are not in unlimited_jids: what the service account asks for is
// read slowly.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { item, of } = require('../../lib/stanza');
const { leakedRooms } = require('../../lib/tally');
const { timed } = require('../../lib/wait');

const PEOPLE = 40;
scenario('the service account is throttled', { prosody: { C2S_RATE: '10kb/s' } }, (d, it) => {
  it(`a lobby is turned on in a room of ${PEOPLE} all the same, and nobody is thrown out`, async (t) => {
    const room = await d.room();
    const people = await Promise.all(Array.from({ length: PEOPLE }, (_, i) => d.guest(room, `guest${i}`, { deflate: false })));
    for (const person of people) await person.enter(room);
    const asker = await d.asker(room, 'asker');
    const [, ms] = await timed(asker.enterLobby(room));
    for (const person of people) {
      await person.waitFor('being a member', (el) => of.selfPresence(`${room}/${person.nick}`)(el) && item(el).affiliation === 'member');
      assert.ok(!person.heard(of.left(`${room}/${person.nick}`)));
    }
    assert.equal((await d.prosody.control('sessions', { jid: d.service })), 1);
    t.diagnostic(`thrown out 0 of ${PEOPLE}, turned on within ${Math.round(ms)} ms`);
    await (await d.focus()).close();
    for (const person of d.clients) person.socket.terminate();
    const leaked = await leakedRooms(d);
    t.diagnostic(`rooms leaked ${leaked.length}`);
    assert.deepEqual(leaked, []);
  });
});
