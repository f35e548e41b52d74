// The service account is gone, wrong, silent or cut off: lobby users are refused in time, all others go
// on, and it recovers by itself.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { timed } = require('../../lib/wait');
const { NS, item } = require('../../lib/stanza');

const HOLD_MS = 1500;
const config = { lobby: { hold_timeout: `${HOLD_MS}ms` } };
const ACCOUNT = { stall: 0 }; // who only talks notices nothing
const NOT_SERVED = /service account is not logged in|no service\.jid is configured|\[service\]|\[rooms\]/;

// A lobby user is refused, within the time, and may come again.
async function refusedInTime(d, room) {
  const asker = await d.asker(room, 'asker');
  const [{ entered, error }, ms] = await timed(asker.join(room));
  assert.equal(entered, false);
  assert.deepEqual([error.type, error.condition], ['wait', 'service-unavailable']);
  assert.ok(ms < HOLD_MS + 1500, `took ${ms} ms`);
  return asker;
}
// A guest waits for nothing. Where the service is there but silent, a plain user whose room nothing is
// known of waits as long as a lobby user.
async function othersGoOn(d, room, plainMs = HOLD_MS / 2) {
  for (const [user, limit] of [[await d.guest(room, 'guest'), HOLD_MS / 2], [await d.plain(room, 'plain'), plainMs]]) {
    const [{ el }, ms] = await timed(user.enter(room));
    assert.equal(item(el).affiliation, 'none');
    assert.ok(ms < limit, `${user.name} took ${ms} ms`);
  }
}

for (const [name, change] of Object.entries({
  'no service account': { service: { jid: undefined, password_file: undefined } },
  'a wrong password': { service: { password: 'wrong', password_file: undefined } },
  'an account that does not exist': { service: { jid: 'nobody@auth.meet.example.com' } },
})) {
  scenario(name, { config: { ...config, ...change }, isServed: false, account: ACCOUNT, expect: [NOT_SERVED] }, (d, it) => {
    it('lobby users are refused in time, everyone else goes on', async () => {
      const room = await d.room();
      await refusedInTime(d, room);
      await othersGoOn(d, room);
      assert.equal((await d.state(room)).members_only, false);
    });
  });
}

scenario('an account that may do nothing', { config, prosody: { SERVICE_ADMIN: 'false' }, account: ACCOUNT, expect: [NOT_SERVED] }, (d, it) => {
  it('lobby users are refused, and the log says what is missing', async () => {
    const room = await d.room();
    await refusedInTime(d, room);
    await d.vestibule.waitForLog(/admin/);
    await othersGoOn(d, room);
  });
});

scenario('the service in trouble', { config, account: ACCOUNT, expect: [NOT_SERVED] }, (d, it) => {
  const loggedIn = (from) => d.vestibule.waitForLog(/logged in as/, { from, timeout: 30000 });

  it('its stream is cut: it comes back by itself, and lobbies work again', async () => {
    const room = await d.room();
    await (await d.asker(room, 'before')).enterLobby(room);
    const from = d.vestibule.lines.length;
    assert.equal(await d.prosody.control('close', { jid: d.service }), 1);
    await loggedIn(from);
    const next = await d.room();
    await (await d.asker(next, 'after')).enterLobby(next);
    assert.equal(item((await (await d.plain(room, 'plain')).enter(room)).el).affiliation, 'member');
  });

  for (const [step, namespace] of Object.entries({ 'a grant': NS.admin, 'the form': NS.owner })) {
    it(`it is cut with ${step} on its way: nobody is thrown out, nobody slips in`, async () => {
      const room = await d.room();
      const inside = await d.plain(room, 'inside');
      await inside.enter(room);
      const from = d.vestibule.lines.length;
      await d.prosody.control('close', { jid: d.service, on: namespace });
      const asker = await d.asker(room, 'asker');
      const { entered, error, lobby } = await asker.join(room);
      assert.equal(entered, false);
      if (!lobby) assert.deepEqual([error.type, error.condition], ['wait', 'service-unavailable']);
      await loggedIn(from);
      await inside.ping();
      assert.ok(!inside.heard((el) => el.is('presence') && el.attrs.type === 'unavailable'), inside.tail());
      await (await d.asker(room, 'again')).enterLobby(room);
    });
  }

  it('it gets no answer: lobby users are refused in time, others pass, and all is well afterwards', async () => {
    const [room, closed] = [await d.room(), await d.room()];
    await (await d.asker(closed, 'first')).enterLobby(closed);
    await d.prosody.control('mute', { jid: d.service });
    await refusedInTime(d, room);
    await othersGoOn(d, room, HOLD_MS + 1500);
    // Where the lobby is on, a plain user meets it when he cannot be let past.
    const plain = await d.plain(closed, 'plain');
    const [result, ms] = await timed(plain.join(closed));
    assert.ok(result.lobby, String(result.el));
    assert.ok(ms < HOLD_MS + 1500, `took ${ms} ms`);
    await d.prosody.control('unmute', { jid: d.service });
    await d.prosody.control('close', { jid: d.service });
    await loggedIn(d.vestibule.lines.length);
    await (await d.asker(room, 'again')).enterLobby(room);
  });

  it('one room that waits holds up no other', async () => {
    const [slow, quick] = [await d.room(), await d.room()];
    const guest = await d.guest(quick, 'guest');
    await d.prosody.control('mute', { jid: d.service });
    const asker = await d.asker(slow, 'asker');
    const pending = asker.join(slow);
    await guest.enter(quick);
    guest.say(quick, 'hello');
    await guest.ping();
    assert.equal((await pending).entered, false);
    await d.prosody.control('unmute', { jid: d.service });
  });
});
