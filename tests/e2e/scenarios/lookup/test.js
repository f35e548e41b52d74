// Prosody's name takes its time to be looked up: who leaves meanwhile leaves nothing behind, those who are in
// notice nothing, those who stay are served once it is known, and a stop is a stop.
'use strict';
const assert = require('node:assert/strict');
const net = require('node:net');
const { scenario } = require('../../lib/scenario');
const { Vestibule, LOGGED_IN } = require('../../lib/vestibule');
const { Light } = require('../../lib/light');
const { Lookups } = require('../../lib/lookups');
const { freePorts } = require('../../lib/ports');
const { exchange, request } = require('../../lib/http');
const { within } = require('../../lib/wait');

const NAME = 'prosody.test';
const AT_ONCE = 4; // names that are looked up at a time; others wait
const CONNECTIONS = 10;

scenario('a name that takes long', {}, (d, it) => {
  // A Vestibule that knows Prosody by name, a user who is in, and from then on nothing is answered.
  async function held(t) {
    const [port] = await freePorts(1);
    const dir = d.folder(`held${port}`);
    const lookups = await new Lookups(dir).start();
    const one = new Vestibule({ dir, domain: d.domain, port, upstream: d.prosody.url.replace('127.0.0.1', NAME) },
      { limits: { connections: CONNECTIONS, drain: '1s' } }, lookups.env);
    t.after(() => lookups.stop());
    await one.start({ isServed: false });
    lookups.release();
    try {
      await one.waitForLog(LOGGED_IN);
      const inside = await d.guest(undefined, undefined, { via: 'vestibule', port });
      lookups.hold();
      return { one, lookups, inside };
    } catch (error) {
      await one.stop().catch(() => {});
      throw error;
    }
  }

  // One who asks to be let in and hears nothing yet; `ended` is what he got by the end, or an error.
  async function waiting(one, mark) {
    const socket = net.connect({ port: one.port, host: '127.0.0.1' });
    let text = '';
    const ended = new Promise((resolve) => {
      socket.on('data', (data) => { text += data.toString('latin1'); }).on('error', () => {}).on('close', () => resolve(text));
    });
    await new Promise((resolve, reject) => {
      socket.on('error', reject).write(request({ target: `/xmpp-websocket?mark=${mark}`, host: d.domain, isUpgrade: true }), resolve);
    });
    return { socket, ended };
  }
  const many = (one, count, mark) => Promise.all(Array.from({ length: count }, () => waiting(one, mark)));
  // What others did before has been seen when it returns: that no such path is there is said without Prosody.
  async function passed(one) {
    assert.equal((await exchange({ port: one.port }, request({ target: '/nothing', host: d.domain }))).status, 404);
  }
  const askedFor = async (mark) => (await d.prosody.requests()).filter(({ query }) => (query || '').includes(`mark=${mark}`)).length;

  it('who leaves meanwhile gives his place back at once, and those who come then are served once it is known', async (t) => {
    if (Lookups.reason) return t.skip(Lookups.reason);
    const { one, lookups, inside } = await held(t);
    const before = lookups.asked;
    try {
      const gone = await many(one, CONNECTIONS - 2, 'gone');
      await lookups.held(AT_ONCE);
      await passed(one);
      for (const { socket } of gone) socket.destroy();
      await passed(one);
      const users = Array.from({ length: CONNECTIONS - 2 }, (_, i) => new Light(`user${i}`)); // as many as there is room for
      const coming = Promise.all(users.map((user) => user.open({ port: one.port, host: d.domain, query: 'mark=stays' })));
      coming.catch(() => {});
      await passed(one);
      assert.equal(lookups.asked - before, AT_ONCE, 'no name is looked up before another is answered');
      lookups.release();
      await coming;
      for (const user of users) await user.login();
      assert.equal(await askedFor('gone'), 0, 'Prosody never hears of who left');
      assert.equal(lookups.asked - before, AT_ONCE + users.length, 'and the name is not looked up for who left before it was his turn');
      for (const user of users) user.drop();
      await inside.ping();
    } finally {
      lookups.release();
      assert.deepEqual(await one.stop(), []);
    }
  });

  it('when there is no such name after all, who waits gets a 502', async (t) => {
    if (Lookups.reason) return t.skip(Lookups.reason);
    const { one, lookups, inside } = await held(t);
    try {
      const [stays, ...gone] = await many(one, AT_ONCE, 'unknown');
      await lookups.held(AT_ONCE);
      for (const { socket } of gone) socket.destroy();
      await passed(one);
      lookups.release(null);
      await one.waitForLog(/the name prosody\.test has no address/);
      assert.match(await within(10000, 'an answer', stays.ended), /^HTTP\/1\.1 502 /);
      await inside.ping();
      lookups.release();
      await (await d.guest(undefined, undefined, { via: 'vestibule', port: one.port })).ping();
    } finally {
      lookups.release();
      assert.deepEqual(await one.stop([/the name prosody\.test has no address/]), []);
    }
  });

  it('at SIGTERM who waits is let go, and it ends in order though the answers come last of all', async (t) => {
    if (Lookups.reason) return t.skip(Lookups.reason);
    const { one, lookups, inside } = await held(t);
    try {
      const [left, ...stay] = await many(one, CONNECTIONS - 2, 'stop');
      await lookups.held(AT_ONCE);
      left.socket.destroy();
      await passed(one);
      one.program.signal('SIGTERM');
      assert.equal((await inside.closed).code, 1001);
      for (const { ended } of stay) assert.match(await within(10000, 'an answer', ended), /^HTTP\/1\.1 50[23] /);
      await one.waitForLog(/\[main\] stopped/);
    } finally {
      lookups.release();
      assert.deepEqual(await one.stop([/Prosody cannot be reached .* no connection in time/]), []);
    }
  });
});
