// nginx is killed and started again: clients go on with their sessions through the new one, and
// connections of which nobody said that they ended are noticed.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { Tally } = require('../../lib/tally');
const { within } = require('../../lib/wait');

// The process that carries the connections: nginx's only child.
const workerOf = (nginx) => Number(nginx.program.lines.map((line) => /start worker process (\d+)/.exec(line)).findLast(Boolean)[1]);

scenario('nginx is gone', { expect: [/why=(CLIENT_LOST|PROSODY_LOST)/] }, (d, it) => {
  const ended = (client) => within(5000, 'the end of the connection', client.closed);

  it('killed and restarted: sessions go on through the new one, nothing is lost or doubled, and lobbies work', async (t) => {
    const tally = new Tally(d);
    for (const name of ['one', 'two', 'three']) await tally.peer(name);
    const room = await d.room();
    const asker = await d.asker(room, 'asker');
    await asker.enableResumption();
    const lobby = await asker.enterLobby(room);
    tally.say(10);
    const worker = workerOf(d.nginx);
    const from = d.vestibule.lines.length;
    d.nginx.program.signal('SIGKILL');
    process.kill(worker, 'SIGKILL'); // it would go on alone
    await d.nginx.program.exited;
    tally.say(10);
    await ended(asker);
    await d.vestibule.waitForLog(/stream ended.*why=CLIENT_LOST/, { from });
    assert.ok((await d.state(room)).members_only, 'who may come back keeps the lobby');
    await assert.rejects(d.guest());
    await d.nginx.start();
    await tally.resume();
    const back = await d.connect({ room, as: { lobby: true }, resumes: asker, name: 'asker' });
    await back.ping();
    assert.ok((await d.state(room)).members_only);
    await (await d.asker(room, 'another')).enterLobby(room);
    await back.leave(lobby);
    await tally.account(t, { stall: 3000 }); // nginx's start, and a login each
  });
});

const IDLE_MS = 1000;

// nginx's host is gone without a word: here nginx stands still, and its kernel goes on to acknowledge.
scenario('nginx stands still', {
  config: { limits: { idle_timeout: `${IDLE_MS}ms` } }, expect: [/why=(IDLE|CLIENT_LOST|PROSODY_LOST)/],
}, (d, it) => {
  it('half-open connections are ended after limits.idle_timeout, and sessions go on elsewhere', async (t) => {
    const tally = new Tally(d);
    for (const name of ['one', 'two']) await tally.peer(name);
    tally.say(5);
    await tally.arrived();
    const from = d.vestibule.lines.length;
    const worker = workerOf(d.nginx);
    process.kill(worker, 'SIGSTOP');
    try {
      tally.say(5);
      await d.vestibule.waitForLog(/why=IDLE/, { from });
      await tally.resume({ via: 'vestibule' });
      await tally.account(t, { stall: 3 * IDLE_MS }); // looked at each half of the limit; then two logins
    } finally {
      process.kill(worker, 'SIGCONT');
    }
  });
});
