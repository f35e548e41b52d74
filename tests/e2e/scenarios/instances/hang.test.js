// An instance that hangs (SIGSTOP) while it has a room alone: the other waits two seconds, not for ever, and
// nobody is thrown out, or let past a lobby, when the first goes on as if nothing had been.
'use strict';
const assert = require('node:assert/strict');
const { after, before } = require('node:test');
const { scenario } = require('../../lib/scenario');
const { Vestibule } = require('../../lib/vestibule');
const { freePorts } = require('../../lib/ports');
const { of, joinStanza } = require('../../lib/stanza');
const { timed } = require('../../lib/wait');

const WAIT_MS = 2000;
const BUSY_MS = 2500;

scenario('an instance that hangs', { recorder: true }, (d, it) => {
  let other;

  before(async () => {
    const [port] = await freePorts(1);
    other = new Vestibule({ dir: d.folder('other'), domain: d.domain, port, upstream: d.prosody.url },
      { state: { file: d.vestibule.config.state.file } });
    await other.start();
  });
  after(async () => assert.deepEqual(await other.stop(), []));

  const at = (room, options) => d.connect({ ...options, via: 'vestibule', port: other.port, room });

  // It stands still as soon as Prosody has told it who is inside.
  function hangs() {
    return new Promise((resolve) => {
      let isStopped = false;
      d.recorder.service.up.onMessage((text) => /<item role=/.test(text), () => {
        if (isStopped) return;
        isStopped = true;
        d.vestibule.program.signal('SIGSTOP');
        resolve();
      });
    });
  }

  it('who joins by the other comes in, and stays when it goes on', async () => {
    const room = await d.room();
    const asker = await d.asker(room, 'asker');
    const users = [await at(room, { name: 'guest' }), await at(room, { name: 'plain', as: {} })];
    const hanging = hangs();
    asker.raw(joinStanza(room, { nick: asker.nick, name: 'asker' }));
    await hanging;
    const [, ms] = await timed(Promise.all(users.map((user) => user.enter(room, { timeout: 20000 }))));
    assert.ok(ms < WAIT_MS + BUSY_MS, `took ${ms} ms`);
    const from = d.vestibule.lines.length;
    d.vestibule.program.signal('SIGCONT');
    await d.vestibule.waitForLog(new RegExp(`lobby turned on room=${room}`), { from });
    for (const user of users) {
      await user.ping();
      assert.ok(!user.heard(of.left(`${room}/${user.nick}`)), `${user.name} was thrown out`);
    }
    const guest = await (await at(room, { name: 'late' })).join(room);
    assert.equal(guest.error.condition, 'registration-required');
    await asker.close();
    for (const user of users) await user.close();
  });

  it('who asks the other for the lobby has one, and the first finds it there', async () => {
    const room = await d.room();
    const asker = await d.asker(room, 'asker');
    const second = await at(room, { name: 'second', as: { lobby: true } });
    const hanging = hangs();
    asker.raw(joinStanza(room, { nick: asker.nick, name: 'asker' }));
    await hanging;
    const [, ms] = await timed(second.enterLobby(room));
    assert.ok(ms < WAIT_MS + BUSY_MS, `took ${ms} ms`);
    d.vestibule.program.signal('SIGCONT');
    await asker.waitFor('the lobby', (el) => el.is('presence') && el.attrs.type === 'error' && el.attrs.from.startsWith(room));
    assert.equal((await d.state(room)).members_only, true);
  });
});
