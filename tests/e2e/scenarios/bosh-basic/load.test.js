// Who does not come for what is said to him stops who says it, up to a bound; many sessions at once, whose
// connections break as they like, lose nothing.
'use strict';
const assert = require('node:assert/strict');
const fs = require('node:fs');
const { scenario } = require('../../lib/scenario');
const { bodyText, post } = require('../../lib/bosh');
const { of } = require('../../lib/stanza');

const C = 'xmlns=\'jabber:client\'';
const MIB = 1024 * 1024;
const BODY = 'x'.repeat(96 * 1024);
const COUNT = 400; // 37 MiB
const ON_THE_WAY = 24 * MIB; // the sockets' own buffers, and the session's
const quarantine = 'quarantine_size_mb=1:thread_local_quarantine_size_kb=64';
const env = { ASAN_OPTIONS: [process.env.ASAN_OPTIONS, quarantine].filter(Boolean).join(':') };
const numbers = (count) => Array.from({ length: count }, (_, i) => String(i));

scenario('BOSH under load', { transport: 'bosh', recorder: true, env }, (d, it) => {
  const resident = () => {
    const status = fs.readFileSync(`/proc/${d.vestibule.program.pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+) kB/.exec(status)[1]) * 1024;
  };

  it('what waits for a client is bounded, arrives whole when he comes, and costs no one else', async () => {
    const { client, wire } = await d.recorded({ via: 'vestibule' });
    const other = await d.guest();
    client.socket.isManual = true;
    await client.socket.ask({}, `<message ${C} to='${client.jid}'><body>stop</body></message>`);
    const before = resident();
    for (const id of numbers(COUNT)) wire.inject(`<message ${C} to='${client.jid}' id='bulk-${id}'><body>${BODY}</body></message>`);
    let left;
    for (let same = 0; same < 20;) {
      await other.ping();
      same = wire.untaken === left ? same + 1 : 0;
      left = wire.untaken;
    }
    const taken = COUNT * BODY.length - left;
    assert.ok(taken < ON_THE_WAY, `${(taken / MIB).toFixed(1)} MiB were taken`);
    assert.ok(resident() - before < 8 * MIB, `grew by ${((resident() - before) / MIB).toFixed(1)} MiB`);
    client.socket.isManual = false;
    client.socket.ask();
    await client.waitFor('the last', (el) => el.attrs.id === `bulk-${COUNT - 1}`, 60000);
    const ids = client.received.map(({ el }) => el.attrs.id).filter((id) => /^bulk-/.test(id));
    assert.deepEqual(ids, numbers(COUNT).map((id) => `bulk-${id}`));
  });

  it('what a client says while Prosody reads nothing waits, and goes on whole', async () => {
    const { client, wire } = await d.recorded({ via: 'vestibule' });
    const start = wire.up.messages.length;
    wire.mute();
    wire.holdUp();
    const texts = numbers(60).map((id) => `<message ${C} to='${client.jid}' id='${id}'><body>${BODY}</body></message>`);
    for (const text of texts) {
      client.raw(text);
      await new Promise((resolve) => { setImmediate(resolve); });
    }
    await (await d.guest()).ping();
    wire.release();
    await wire.up.waitFor('all of it', () => wire.up.messages.length >= start + texts.length, 30000);
    assert.deepEqual(wire.up.messages.slice(start).map((text) => / id='(\d+)'/.exec(text)[1]), numbers(60));
  });

  it('a client whose connections break all the time says and hears everything once, in order', async () => {
    const listener = await d.guest(undefined, undefined, { transport: 'websocket' });
    const client = await d.guest(undefined, undefined, { via: 'vestibule' });
    const { socket } = client;
    socket.isManual = true;
    await socket.ask({}, `<message ${C} to='${client.jid}'><body>begin</body></message>`);
    const heard = [];
    for (const id of numbers(60)) {
      const text = bodyText({ rid: socket.rid++, sid: socket.sid },
        `<message ${C} to='${listener.jid}'><body>${id}</body></message><message ${C} to='${client.jid}'><body>${id}</body></message>`);
      // Broken before the answer, or behind it; asked again until there is one.
      for (let attempt = 0; ; attempt++) {
        const request = post(socket.where, text);
        if (attempt < Number(id) % 4) request.request.on('finish', () => setImmediate(() => request.request.destroy()));
        const answer = await request.catch(() => null);
        if (!answer) continue;
        assert.equal(answer.status, 200);
        assert.equal(answer.el.attrs.type, undefined, answer.text);
        heard.push(...answer.el.getChildren('message').map((el) => el.getChildText('body')));
        break;
      }
    }
    socket.isManual = false;
    socket.ask({}, `<message ${C} to='${client.jid}'><body>end</body></message>`);
    await client.waitFor('the end', of.message('end'));
    const rest = client.received.map(({ el }) => el.getChildText('body')).filter((body) => /^\d+$/.test(body));
    assert.deepEqual([...heard, ...rest].filter((body) => body !== 'begin'), numbers(60));
    await listener.waitFor('the last', of.message('59'));
    assert.deepEqual(listener.received.map(({ el }) => el.getChildText('body')).filter(Boolean), numbers(60));
  });

  it('a hundred sessions in one room hear each other', async () => {
    const room = await d.room();
    const users = await Promise.all(numbers(100).map((id) => d.guest(room, `user ${id}`, { via: 'vestibule' })));
    await Promise.all(users.map((user) => user.enter(room)));
    users[0].say(room, 'all here');
    await Promise.all(users.map((user) => user.waitFor('it', of.message('all here'), 30000)));
    await Promise.all(users.map((user) => user.close()));
  });
});
