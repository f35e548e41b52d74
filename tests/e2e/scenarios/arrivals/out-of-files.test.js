// No more files may be opened: who is in stays and is heard, who comes waits in the kernel's queue or is told,
// and once files may be opened again all of them are served, without a restart.
'use strict';
const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const { scenario } = require('../../lib/scenario');
const { Light } = require('../../lib/light');
const { within } = require('../../lib/wait');

const COUNT = 60;

scenario('out of files', {
  config: { limits: { connections: 100, handshake_timeout: '1m' } }, expect: [/Prosody cannot be reached .* no more files may be opened here: raise LimitNOFILE/],
}, (d, it) => {
  const pid = () => d.vestibule.program.pid;
  const limit = (count) => execFileSync('prlimit', ['--pid', String(pid()), `--nofile=${count}:`]);
  const softLimit = () => Number(/Max open files\s+(\d+)/.exec(fs.readFileSync(`/proc/${pid()}/limits`, 'utf8'))[1]);
  // The number below which `more` descriptors are free.
  function boundOf(more) {
    const open = new Set(fs.readdirSync(`/proc/${pid()}/fd`).map(Number));
    let next = 0;
    for (let left = more; open.has(next) || left-- > 0;) next++;
    return next;
  }
  // The next `more` descriptors may be opened, and none behind them. One may be closed meanwhile.
  function leave(more) {
    for (let bound; bound !== boundOf(more);) limit(bound = boundOf(more));
  }
  const come = (count) => Array.from({ length: count }, (_, i) => {
    const user = new Light(`user${i}`);
    const opened = user.open({ port: d.ports.vestibule, host: d.domain });
    opened.catch(() => {});
    return { user, opened };
  });
  const connected = (users) => Promise.all(users.map(({ user }) => new Promise((resolve) => user.socket.once('connect', resolve))));

  // First: handles of sockets that are gone would lend it theirs (proxy/carrier.c).
  it('who comes in where Prosody can no longer be reached for him is told, and the next is served', async () => {
    const inside = await d.guest(undefined, undefined, { via: 'vestibule' });
    const before = softLimit();
    try {
      leave(1);
      const [{ opened }] = come(1);
      await assert.rejects(within(10000, 'an answer', opened), /HTTP 502/);
      await d.vestibule.waitForLog(/no more files may be opened here/);
      await inside.ping();
    } finally {
      limit(before);
    }
    await (await d.guest(undefined, undefined, { via: 'vestibule' })).ping();
    await inside.ping();
  });

  it('while none may be opened all wait, and then they are served', async () => {
    const inside = await d.guest(undefined, undefined, { via: 'vestibule' });
    const before = softLimit();
    const users = [];
    try {
      leave(0);
      users.push(...come(COUNT));
      await connected(users);
      await inside.ping();
      for (const { user } of users) assert.equal(user.isUpgraded || user.isClosed, undefined, 'nobody is taken in, nor turned away');
    } finally {
      limit(before);
    }
    await within(20000, 'all of them to be let in', Promise.all(users.map(({ opened }) => opened)));
    await Promise.all(users.map(({ user }) => user.login()));
    for (const { user } of users) user.drop();
    await inside.ping();
  });
});
