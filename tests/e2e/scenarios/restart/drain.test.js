// SIGTERM: nobody new, held joins are settled, streams end with 1001 over limits.drain, and nothing stays
// behind in Prosody. A second one ends it at once.
'use strict';
const assert = require('node:assert/strict');
const net = require('node:net');
const { scenario } = require('../../lib/scenario');
const { within } = require('../../lib/wait');
const { NS, joinStanza } = require('../../lib/stanza');

const stopping = (d) => d.vestibule.waitForLog(/\[stop\] SIGTERM: stopping/);

async function ended(d) {
  const { code, signal } = await within(20000, 'the end', d.vestibule.program.exited, () => d.vestibule.lines.slice(-20).join('\n'));
  assert.deepEqual([code, signal], [0, null]);
}

// Streams end over limits.drain, then it starts anew; and once Prosody does, which alone may take that long here.
const ACCOUNT = { stall: 12000, renews: true, grace: 25000 };

// Over a window, from its beginning to its end, and about as many in each part of it.
function assertSpread(lines, window) {
  const times = lines.filter((line) => /why=SHUTDOWN/.test(line)).map((line) => Date.parse(line.split(' ')[0]));
  const quarters = [0, 0, 0, 0];
  for (const time of times) quarters[Math.min(3, Math.floor((4 * (time - times[0])) / window))]++;
  const share = times.length / 4;
  assert.ok(quarters.every((some) => some >= share / 2 && some <= share * 2), `${quarters} of ${times.length}`);
}

scenario('a stop', {
  recorder: true, config: { limits: { drain: '3s' } }, account: ACCOUNT,
  expect: [/service account is not logged in/, /Prosody cannot be reached/],
}, (d, it) => {
  it('a held join is settled first, and nobody new is let in', async () => {
    const room = await d.room();
    const asker = await d.asker(room, 'asker');
    const other = await d.guest(room, 'other');
    await other.enter(room);
    const { service } = d.recorder;
    service.keepBack(); // Prosody does not hear what is asked for him
    asker.raw(joinStanza(room, { nick: asker.nick, name: 'asker' }));
    await service.up.message('the question', (text) => text.includes(`to='${room}'`));
    d.vestibule.program.signal('SIGTERM');
    await stopping(d);
    await assert.rejects(d.socket({ via: 'vestibule' }), /ECONNREFUSED/);
    assert.equal((await other.closed).code, 1001);
    assert.equal(asker.closedHow, undefined);
    service.release();
    const answer = await asker.waitFor('what comes of his join', (el) => el.is('presence') && el.attrs.type === 'error');
    assert.ok(answer.getChild('error').getChild('registration-required'), `he meets the lobby: ${answer}`);
    assert.equal((await asker.closed).code, 1001);
    await ended(d);
    assert.equal((await d.state(room)).persistent, false);
    await d.vestibule.start();
  });

  it('a join that cannot be settled in time is refused before the stream ends', async () => {
    const room = await d.room();
    const asker = await d.asker(room, 'asker');
    const { service } = d.recorder;
    service.keepBack();
    asker.raw(joinStanza(room, { nick: asker.nick, name: 'asker' }));
    await service.up.message('the question', (text) => text.includes(`to='${room}'`));
    d.vestibule.program.signal('SIGTERM');
    const answer = await asker.waitFor('the refusal', (el) => el.is('presence') && el.attrs.type === 'error');
    assert.ok(answer.getChild('error').getChild('service-unavailable'), String(answer));
    assert.equal((await asker.closed).code, 1001);
    await ended(d);
    service.release();
    await d.vestibule.start();
  });

  it('a request that is half here when the signal comes is still served', async () => {
    const socket = net.connect(d.ports.vestibule, '127.0.0.1');
    const answer = new Promise((resolve, reject) => {
      let text = '';
      socket.on('data', (part) => { text += part; }).on('close', () => resolve(text)).on('error', reject);
    });
    const room = await d.room();
    const asker = await d.asker(room, 'asker');
    const { service } = d.recorder;
    service.keepBack();
    asker.raw(joinStanza(room, { nick: asker.nick, name: 'asker' })); // keeps it from ending at once
    await service.up.message('the question', (text) => text.includes(`to='${room}'`));
    socket.write('GET /xmpp-websocket HTTP/1.1\r\n');
    d.vestibule.program.signal('SIGTERM');
    await stopping(d);
    socket.write(`Host: ${d.domain}\r\nConnection: close\r\n\r\n`);
    assert.match(await answer, /^HTTP\/1.1 200 /);
    service.release();
    await ended(d);
    await d.vestibule.start();
  });

  it('a second signal ends it at once, and clients are still told', async () => {
    const room = await d.room();
    const asker = await d.asker(room, 'asker');
    d.recorder.service.keepBack();
    asker.raw(joinStanza(room, { nick: asker.nick, name: 'asker' })); // would be waited for
    await d.recorder.service.up.message('the question', (text) => text.includes(`to='${room}'`));
    d.vestibule.program.signal('SIGTERM');
    await stopping(d);
    d.vestibule.program.signal('SIGTERM');
    await d.vestibule.waitForLog(/SIGTERM again: stopping at once/);
    assert.equal((await asker.closed).code, 1001);
    await ended(d);
    await d.vestibule.start();
  });

  it('a stop right at the start, and one right behind a reload', async () => {
    await d.vestibule.stop(d.options.expect);
    await d.vestibule.start({ isServed: false });
    d.vestibule.program.signal('SIGTERM');
    await ended(d);
    await d.vestibule.start();
    d.vestibule.program.signal('SIGHUP');
    d.vestibule.program.signal('SIGTERM');
    await ended(d);
    await d.vestibule.start();
  });

  it('a stop while Prosody is away', async () => {
    const room = await d.room();
    const asker = await d.asker(room, 'asker');
    await asker.enterLobby(room);
    await d.prosody.stop();
    await asker.closed;
    d.jicofo = undefined;
    d.vestibule.program.signal('SIGTERM');
    await ended(d);
    await d.prosody.start();
    await d.vestibule.start();
    await d.vestibule.waitForLog(new RegExp(`held when .* room=${room}`));
    await d.vestibule.waitForLog(new RegExp(`forgotten room=${room}`), { timeout: 30000 });
  });
});

scenario('a stop with many', { config: { limits: { drain: '2s' } }, account: { stall: 4000 } }, (d, it) => {
  for (const count of [5, 150]) {
    it(`the ends of ${count} are spread, each with 1001 and to be resumed`, async () => {
      const users = [];
      for (let i = 0; i < count; i += 25) {
        users.push(...await Promise.all(Array.from({ length: Math.min(25, count - i) }, (_, j) => d.guest(undefined, `user${i + j}`))));
      }
      await users[0].enableResumption();
      const from = d.vestibule.lines.length;
      d.vestibule.program.signal('SIGTERM');
      for (const { code } of await Promise.all(users.map((user) => user.closed))) assert.equal(code, 1001);
      assert.ok(users.every((user) => !user.heard((el) => el.is('error', NS.stream))), 'a stream error ends a session');
      await ended(d);
      assertSpread(d.vestibule.lines.slice(from), 2000);
      await d.vestibule.start();
      await (await d.connect({ resumes: users[0] })).ping();
      for (const client of d.clients) await client.close();
    });
  }
});

scenario('a stop with BOSH sessions', { transport: 'bosh', config: { limits: { drain: '2s' } }, account: { stall: 3000 } }, (d, it) => {
  it('their ends are spread, each told system-shutdown in its last answer', async () => {
    const users = await Promise.all(Array.from({ length: 60 }, (_, i) => d.guest(undefined, `user${i}`)));
    for (let i = 0; i < 3; i++) await d.get(); // on its way behind their polls
    const from = d.vestibule.lines.length;
    d.vestibule.program.signal('SIGTERM');
    const ends = await Promise.all(users.map((user) => user.closed));
    for (const { reason } of ends) assert.match(reason, /system-shutdown/);
    await ended(d);
    assertSpread(d.vestibule.lines.slice(from), 2000);
    await d.vestibule.start();
  });
});
