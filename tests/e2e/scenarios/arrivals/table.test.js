// More files may be opened than libwebsockets has a table for, which is as long as the limit was at the start: a
// socket behind its end cannot be taken in. Who came by it is let go, nobody else notices, and there is room again
// when others have gone.
'use strict';
const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const net = require('node:net');
const { scenario } = require('../../lib/scenario');
const { within } = require('../../lib/wait');

const TABLE = 400; // about what it would take itself
const COUNT = 40; // more than are left of it
// The program begins with so many files open that few connections fill the table.
const FULL = `ulimit -Sn ${TABLE}; for ((i = 10; i < ${TABLE - COUNT - 5}; i++)); do eval "exec $i</dev/null"; done; exec "$@"`;

scenario('libwebsockets\' table is full', {
  isServed: false, config: { limits: { connections: COUNT, handshake_timeout: '1m' } },
  expect: [/\[libwebsockets\] .*(too high|fail inserting socket)/, /Prosody cannot be reached .* libwebsockets has no room for a connection/],
}, (d, it) => {
  const came = () => d.guest(undefined, undefined, { via: 'vestibule' });

  // One who says nothing; `gone` is what became of him, 'end' where he was let go in order.
  function silent() {
    const socket = net.connect({ host: '127.0.0.1', port: d.ports.vestibule });
    const gone = new Promise((resolve) => {
      socket.on('end', () => resolve('end')).on('error', ({ code }) => resolve(code)).resume();
    });
    const connected = new Promise((resolve) => socket.once('connect', resolve));
    return { socket, gone, connected };
  }

  it('who cannot be taken in is let go, who is in stays, and who comes later is served', async () => {
    await d.vestibule.stop();
    d.vestibule.wrapper = ['bash', '-c', FULL, 'bash'];
    await d.vestibule.start();
    const pid = String(d.vestibule.program.pid);
    assert.match(fs.readFileSync(`/proc/${pid}/limits`, 'utf8'), new RegExp(`Max open files\\s+${TABLE}\\s`));
    execFileSync('prlimit', ['--pid', pid, `--nofile=${TABLE + 200}:`]);
    const inside = await came();
    const many = Array.from({ length: COUNT }, silent);
    await Promise.all(many.map(({ connected }) => connected));
    await within(10000, 'one to be let go', Promise.race(many.map(({ gone }) => gone)));
    await inside.ping();
    await assert.rejects(came(), { code: 'ECONNRESET' }); // he has written, and nobody reads it
    await inside.ping();

    const gone = new Map();
    for (const one of many) one.gone.then((how) => gone.set(one, how));
    await inside.ping();
    assert.deepEqual([...new Set(gone.values())], ['end']);
    const stay = many.filter((one) => !gone.has(one));
    assert.ok(stay.length > 0, 'who came first is not let go');
    stay[0].socket.destroy();
    await inside.ping();
    await assert.rejects(came(), { status: 502 }, 'room for him, and none for the way to Prosody');
    await d.vestibule.waitForLog(/libwebsockets has no room for a connection/);
    await inside.ping();

    for (const { socket } of stay) socket.destroy();
    await inside.ping();
    for (const user of [await came(), await came(), inside]) await user.ping();
  });
});
