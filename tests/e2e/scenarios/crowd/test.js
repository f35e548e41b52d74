// Many at once: everyone ends where his token says, and nobody is thrown out on the way.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { of } = require('../../lib/stanza');

scenario('crowds', { timeout: 180000 }, (d, it) => {
  const connectAll = (room, names, as) => Promise.all(names.map((name) => d.connect({ room, name, as })));
  const names = (count, prefix) => Array.from({ length: count }, (_, i) => `${prefix}${i}`);

  it('50 join at once, half of them lobby users: 25 inside, 25 waiting', async () => {
    const room = await d.room();
    const askers = await connectAll(room, names(25, 'asker'), { lobby: true });
    const plain = await connectAll(room, names(25, 'plain'), {});
    const mixed = askers.flatMap((asker, i) => [asker, plain[i]]);
    const results = new Map(await Promise.all(mixed.map(async (user) => [user, await user.join(room, { timeout: 30000 })])));
    for (const user of plain) assert.ok(results.get(user).entered, `${user.name}: ${results.get(user).el}`);
    for (const user of askers) {
      assert.equal(results.get(user).error && results.get(user).error.condition, 'registration-required', `${user.name}: ${results.get(user).el}`);
      await user.enter(results.get(user).lobby);
    }
    for (const user of plain) {
      await user.ping();
      assert.ok(!user.heard(of.left(`${room}/${user.nick}`)), `${user.name} was thrown out`);
    }
  });

  it('100 are inside when the lobby turns on: all stay, and hear of it', async () => {
    const room = await d.room();
    const inside = [];
    for (let i = 0; i < 10; i++) inside.push(...await connectAll(room, names(10, `user${i}-`), i % 2 ? {} : undefined));
    for (const user of inside) await user.enter(room);
    await (await d.asker(room, 'asker')).enterLobby(room, { timeout: 30000 });
    for (const user of inside) {
      await user.waitFor('104', of.configChanged(room), 30000);
      assert.ok(!user.heard(of.left(`${room}/${user.nick}`)), `${user.name} was thrown out`);
    }
  });
});
