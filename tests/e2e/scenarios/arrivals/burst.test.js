// Three hundred connections that lie in the kernel's queue at once: all are let in and served, and who was in
// before does not wait for them. Prosody has a queue that holds them: whom its own 128 turn away the kernel asks
// again after a second, which is longer than Vestibule waits.
'use strict';
const assert = require('node:assert/strict');
const { once } = require('node:events');
const net = require('node:net');
const { scenario } = require('../../lib/scenario');
const { Light } = require('../../lib/light');
const { exchange, request } = require('../../lib/http');
const { timed, within } = require('../../lib/wait');

const COUNT = 300;
const STALL = 3000; // ms, on a machine that does all else too; some 30 on an idle one

scenario('a burst of connections', {
  config: { limits: { connections: 400, handshake_timeout: '1m' } }, prosody: { PROSODY_BACKLOG: '1024' },
}, (d, it) => {
  // While it stands still the kernel takes them all; they come in one turn of it then.
  async function atOnce(open) {
    d.vestibule.program.signal('SIGSTOP');
    try {
      return await open();
    } finally {
      d.vestibule.program.signal('SIGCONT');
    }
  }

  // Pings from now on, and how long one of them took at the most once that is over.
  async function longest(user, promise) {
    let [isOver, worst] = [false, 0];
    const result = promise.finally(() => { isOver = true; });
    result.catch(() => {});
    while (!isOver) worst = Math.max(worst, (await timed(user.ping()))[1]);
    await result;
    return worst;
  }

  it('all are let in, log in and stay, and who is in is heard meanwhile', async (t) => {
    const inside = await d.guest(undefined, undefined, { via: 'vestibule' });
    const users = Array.from({ length: COUNT }, (_, i) => new Light(`user${i}`));
    const opened = await atOnce(async () => {
      const coming = users.map((user) => user.open({ port: d.ports.vestibule, host: d.domain }));
      for (const one of coming) one.catch(() => {});
      await within(30000, 'the kernel to take them', Promise.all(users.map(({ socket }) => once(socket, 'connect'))));
      return coming;
    });
    const worst = await longest(inside, Promise.all(opened));
    assert.ok(worst < STALL, `a ping took ${worst} ms`);
    t.diagnostic(`the slowest ping took ${Math.round(worst)} ms`);
    for (let i = 0; i < COUNT; i += 50) await Promise.all(users.slice(i, i + 50).map((user) => user.login()));
    await Promise.all(users.map((user) => user.ping()));
    for (const user of users) user.drop();
    await inside.ping();
  });

  it('a burst of those who only ask and go', async () => {
    const inside = await d.guest(undefined, undefined, { via: 'vestibule' });
    const asked = await atOnce(async () => {
      const text = request({ target: '/nothing', host: d.domain, headers: ['Connection: close'] });
      const answers = Array.from({ length: COUNT }, () => exchange({ port: d.ports.vestibule }, text, 30000));
      for (const answer of answers) answer.catch(() => {});
      const last = net.connect({ host: '127.0.0.1', port: d.ports.vestibule }); // behind all of them in the queue
      await within(30000, 'the kernel to take them', once(last, 'connect'));
      last.destroy();
      return answers;
    });
    const worst = await longest(inside, within(30000, 'all answers', Promise.all(asked)));
    for (const { status } of await Promise.all(asked)) assert.equal(status, 404);
    assert.ok(worst < STALL, `a ping took ${worst} ms`);
  });
});
