// What the service account asks of Prosody, counted by Prosody: exact numbers, so that none is added
// unseen; and what turning a lobby on costs Prosody, against what lib-jitsi-meet's own way costs it.
'use strict';
const assert = require('node:assert/strict');
const { Light } = require('../../lib/light');
const { inParallel, processorMs } = require('../../lib/measure');
const { hasJitsiPlugins } = require('../../lib/prosody');
const { scenario } = require('../../lib/scenario');
const { NS, of, bare, adminItem, formSubmit, joinStanza } = require('../../lib/stanza');
const { token } = require('../../lib/token');

const MANY = 100;
const FORM = `iq get ${NS.owner}`;
const SUBMIT = `iq set ${NS.owner}`;
const LIST = `iq get ${NS.admin}`;
const GRANT = `iq set ${NS.admin}`;
// Three lists of occupants, the submit, and the form read back; besides a grant for each who is inside.
const TURN_ON = { [LIST]: 3, [SUBMIT]: 1, [FORM]: 1 };

scenario('requests of the service account', { timeout: 240000 }, (d, it) => {
  const counts = async () => {
    const { [`iq get ${NS.ping}`]: pings, ...asked } = await d.prosody.control('asked', { jid: d.service });
    return asked;
  };
  // How many times each was asked while that was done.
  async function asked(work) {
    const before = await counts();
    await work();
    const more = Object.entries(await counts()).map(([what, count]) => [what, count - (before[what] || 0)]);
    return Object.fromEntries(more.filter(([, count]) => count > 0));
  }
  const joins = (kind, room, name) => asked(async () => {
    const user = await d[kind](room, name);
    await (kind === 'asker' ? user.enterLobby(room) : user.enter(room));
  });

  // Plain users who are inside, as light ones.
  async function crowd(room, size) {
    const users = Array.from({ length: size }, (_, i) => ({ nick: `crowd${i}` }));
    await inParallel(users, 16, async (user) => {
      user.light = new Light(user.nick);
      d.clients.push({ socket: { terminate: () => user.light.drop() } });
      await user.light.open({ port: d.ports.vestibule, host: d.domain, query: `token=${token(d.domain, room.split('@')[0])}` });
      await user.light.login();
      const self = new RegExp(`^<presence[^>]* from=['"]${room}/${user.nick}['"]`);
      await user.light.ask(joinStanza(room, { nick: user.nick, name: user.nick }), self, 'his own presence');
    });
    return users;
  }
  // A room whose state is known: a moderator is inside, and so many plain users.
  async function known(size) {
    const room = await d.room();
    const host = await d.host(room);
    return { room, host, users: await crowd(room, size) };
  }

  for (const size of [1, MANY]) {
    const where = `in a room of ${size + 1}`;
    let place;
    it(`a plain user's join ${where}, known to have no lobby: nothing`, async () => {
      place = await known(size);
      assert.deepEqual(await joins('plain', place.room, 'plain'), {});
    });

    it(`the lobby user who turns it on ${where}: a fixed number, and a grant for each who is no member`, async () => {
      // The room was read when nobody watched it yet: that is no certainty for a lobby user.
      const expected = { ...TURN_ON, [FORM]: 2, [GRANT]: size + 1 };
      assert.deepEqual(await joins('asker', place.room, 'asker'), expected);
    });

    it(`the lobby users after him ${where}: nothing`, async () => {
      await place.host.waitFor('the change', of.configChanged(place.room));
      assert.deepEqual(await joins('asker', place.room, 'second'), {});
      assert.deepEqual(await joins('asker', place.room, 'third'), {});
    });

    it(`a plain user with the lobby on ${where}: his grant`, async () => {
      assert.deepEqual(await joins('plain', place.room, 'later'), { [GRANT]: 1 });
    });

    it(`another's change ${where}: the form once, however many were told of it`, async () => {
      const { room, host } = place;
      const from = host.received.length;
      const change = { 'muc#roomconfig_membersonly': '1', 'muc#roomconfig_persistentroom': '1',
        'muc#roomconfig_whois': 'anyone', 'muc#roomconfig_changesubject': '1' };
      await (await d.focus()).iq('set', room, formSubmit(change));
      await host.waitFor('the change', of.configChanged(room), undefined, from);
      await host.info(room); // as Jitsi's clients do: the lobby room is still there
      await Promise.all(place.users.map((user) => user.light.ping()));
      assert.deepEqual(await joins('asker', room, 'fourth'), { [FORM]: 1 });
      assert.deepEqual(await joins('asker', room, 'fifth'), {});
      assert.deepEqual(await joins('plain', room, 'last'), { [GRANT]: 1 });
    });
  }

  // Members first, in one request where the server takes many, then the form is fetched and submitted.
  async function asLibJitsiMeet(room, moderator, users) {
    const items = users.map(({ light }) => adminItem({ jid: bare(light.jid), affiliation: 'member' }));
    const all = items.map((query) => query.replace(/^<query[^>]*>|<\/query>$/g, ''));
    const requests = hasJitsiPlugins ? [`<query xmlns='${NS.admin}'>${all.join('')}</query>`] : items;
    // A hundred at once: each waits for all before it.
    await Promise.all(requests.map((query) => moderator.iq('set', room, query, 60000)));
    await moderator.iq('get', room, `<query xmlns='${NS.owner}'/>`);
    await moderator.iq('set', room, formSubmit({ 'muc#roomconfig_membersonly': '1', 'muc#roomconfig_whois': 'anyone' }));
    const guest = await d.guest(room, 'asker', { via: 'prosody' });
    await guest.join(room);
  }

  it(`turning it on in a room of ${MANY} costs Prosody at most 1.2 times what lib-jitsi-meet's way does`, async (t) => {
    const cost = {};
    for (const way of ['own', 'lib']) {
      const room = await d.room(`cost-${way}`);
      const moderator = await d.host(room, { via: 'prosody' });
      const users = await crowd(room, MANY);
      const ms = processorMs(d.prosody.program.pid);
      const before = await d.prosody.control('traffic');
      if (way === 'own') await (await d.asker(room, 'asker')).enterLobby(room);
      else await asLibJitsiMeet(room, moderator, users);
      const after = await d.prosody.control('traffic');
      cost[way] = {
        stanzas: after.stanzas_in + after.stanzas_out - before.stanzas_in - before.stanzas_out,
        bytes: after.bytes_in + after.bytes_out - before.bytes_in - before.bytes_out,
        processor_ms: processorMs(d.prosody.program.pid) - ms,
      };
      assert.equal((await d.state(room)).members_only, true);
      assert.equal((await d.state(room)).occupants.length, MANY + 2, 'nobody was thrown out');
    }
    t.diagnostic(JSON.stringify(cost));
    for (const what of ['stanzas', 'bytes']) {
      assert.ok(cost.own[what] <= 1.2 * cost.lib[what], `${what}: ${cost.own[what]}, against ${cost.lib[what]}`);
    }
  });
});
