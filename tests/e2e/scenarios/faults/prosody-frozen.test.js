// Prosody stands still (SIGSTOP), and goes on: with a join held, a lobby being turned on, a room being
// released. Lobby users are refused in time, everybody else is forwarded; what was sent is carried out
// later, once, and throws nobody out.
'use strict';
const assert = require('node:assert/strict');
const { afterEach } = require('node:test');
const { scenario } = require('../../lib/scenario');
const { of, error, joinStanza } = require('../../lib/stanza');
const { timed } = require('../../lib/wait');

const HOLD_MS = 400;
// The refusal waits for Prosody as well, a second at most where nobody counts stanzas (as here).
const TOLD_MS = HOLD_MS + 1100;
const LATE_MS = 1000;
const EXPECTED = [/room request failed/, /service account is not logged in/, /PROSODY_(LOST|DOWN)/, /Prosody cannot be reached/];

// Each time it stands still until the lobby user was told.
const ACCOUNT = { stall: TOLD_MS + LATE_MS };

scenario('Prosody is frozen', {
  recorder: true, config: { lobby: { hold_timeout: `${HOLD_MS}ms` } }, expect: EXPECTED, account: ACCOUNT,
}, (d, it) => {
  const freeze = () => d.prosody.program.signal('SIGSTOP');
  const thaw = () => d.prosody.program.signal('SIGCONT');
  const service = () => d.recorder.wires[0];
  afterEach(thaw);
  const thrownOut = (client) => client.heard((el) => el.is('presence') && el.attrs.type === 'unavailable');
  const refusals = (client) => client.received.filter(({ el }) => el.is('presence') && el.attrs.type === 'error');

  // Frozen once the service account's next stanza of that kind is on its way.
  async function freezeAt(pattern) {
    const from = service().up.messages.length;
    await service().up.waitFor(`a request like ${pattern}`, (up) => up.messages.slice(from).find((text) => pattern.test(text)));
    freeze();
  }
  // A lobby user's join, answered by Vestibule in time, and said in the log.
  async function refusedInTime(asker, room) {
    const from = d.vestibule.lines.length;
    const [{ error }, ms] = await timed(asker.join(room));
    assert.deepEqual([error.type, error.condition], ['wait', 'service-unavailable']);
    assert.ok(ms < TOLD_MS + LATE_MS, `took ${ms} ms`);
    await d.vestibule.waitForLog(new RegExp(`join room=${room} .*applicant=lobby`), { from });
  }
  async function stays(client) {
    await client.ping();
    assert.ok(!thrownOut(client), client.tail());
  }

  it('a lobby user is refused in time, others are forwarded and enter when it goes on; nobody is judged twice', async () => {
    const room = await d.room();
    const [asker, guest, plain] = [await d.asker(room, 'asker'), await d.guest(room, 'guest'), await d.plain(room, 'plain')];
    freeze();
    guest.raw(joinStanza(room, { nick: guest.nick, name: 'guest' }));
    plain.raw(joinStanza(room, { nick: plain.nick, name: 'plain' }));
    await refusedInTime(asker, room);
    thaw();
    await guest.waitFor('himself', of.selfPresence(`${room}/${guest.nick}`));
    await plain.waitFor('himself', of.selfPresence(`${room}/${plain.nick}`));
    await asker.ping();
    assert.equal(refusals(asker).length, 1);
    assert.ok(!asker.heard(of.selfPresence(`${room}/${asker.nick}`)));
    await stays(guest);
    await stays(plain);
    await (await d.asker(room, 'again')).enterLobby(room);
  });

  for (const [what, pattern] of Object.entries({
    'the list of occupants': /<item role='moderator'/, 'a grant': /affiliation='member'/, 'the form': /type='submit'/,
  })) {
    it(`while the lobby is turned on, at ${what}: nobody is thrown out, nobody slips in, and no room stays`, async () => {
      const room = await d.room();
      const inside = await d.guest(room, 'inside');
      await inside.enter(room);
      const [asker, guest] = [await d.asker(room, 'asker'), await d.guest(room, 'guest')];
      const frozen = freezeAt(pattern);
      const refused = refusedInTime(asker, room);
      await frozen;
      guest.raw(joinStanza(room, { nick: guest.nick, name: 'guest' }));
      await refused;
      thaw();
      const guestGot = await guest.waitFor('what comes of it', (el) => el.is('presence') && el.attrs.from.startsWith(room) &&
        (of.selfPresence(`${room}/${guest.nick}`)(el) || el.attrs.type === 'error'));
      await stays(inside);
      if (guestGot.attrs.type !== 'error') await stays(guest);
      await asker.ping();
      assert.equal(refusals(asker).length, 1);
      assert.ok(!asker.heard(of.selfPresence(`${room}/${asker.nick}`)), 'the lobby user came in');
      await (await d.asker(room, 'again')).enterLobby(room);
      await stays(inside);
      await (await d.focus()).leaveRoom(room);
      for (const client of d.clients) if (client !== await d.jicofo) await client.close();
      while (await d.state(room));
    });
  }

  it('while a room is released: who joins meanwhile meets its lobby or no room', async () => {
    const room = await d.room();
    const [asker, guest] = [await d.asker(room, 'asker'), await d.guest(room, 'guest')];
    await asker.enterLobby(room);
    await (await d.focus()).leaveRoom(room);
    const frozen = freezeAt(/<item role='moderator'/);
    await asker.close();
    await frozen;
    guest.raw(joinStanza(room, { nick: guest.nick, name: 'guest' }));
    thaw();
    const el = await guest.waitFor('what comes of it', (stanza) => stanza.is('presence') && stanza.attrs.from.startsWith(room));
    // Whether Prosody answered the last question before it froze decides which of both it is.
    const isThere = error(el).condition === 'registration-required';
    if (!isThere) assert.match(error(el).condition, /^(not-allowed|item-not-found)$/, String(el));
    assert.equal((await d.state(room))?.members_only, isThere || undefined);
  });
});
