// Memory while somebody does not read: what is on the way to him waits where it comes from, and Vestibule
// grows by its queues only, with TLS towards the client as without.
'use strict';
const assert = require('node:assert/strict');
const fs = require('node:fs');
const { scenario } = require('../../lib/scenario');
const { Client } = require('../../lib/client');

const MIB = 1024 * 1024;
const BODY = 'x'.repeat(96 * 1024);
const COUNT = 500; // 47 MiB
const GROWTH = 8 * MIB; // a few streams' queues, and what the allocator keeps of them
const all = Array.from({ length: COUNT }, (_, i) => `b${i}`);
const message = (i) => `<message xmlns='jabber:client' to='meet.example.com' id='b${i}'><body>${BODY}</body></message>`;

// Memory that a sanitizer keeps back after it was freed is not Vestibule's.
const quarantine = 'quarantine_size_mb=1:thread_local_quarantine_size_kb=64';
const common = { recorder: true, env: { ASAN_OPTIONS: [process.env.ASAN_OPTIONS, quarantine].filter(Boolean).join(':') } };

for (const [name, options] of Object.entries({
  'a plain connection': {},
  'a TLS connection': {
    listenTls: true, config: (d) => ({ listen: { tls: { certificate: d.tls.certificate, key: d.tls.key } } }),
  },
})) {
  scenario(`memory, ${name}`, { ...common, ...options }, (d, it) => {
    const resident = () => {
      const status = fs.readFileSync(`/proc/${d.vestibule.program.pid}/status`, 'utf8');
      return Number(/VmRSS:\s+(\d+) kB/.exec(status)[1]) * 1024;
    };
    // A client on Vestibule itself, since nginx would hold up some of it; and the recorder's view of it.
    async function direct(mark) {
      const client = new Client(mark);
      d.clients.push(client);
      const where = d.address({ via: 'vestibule', deflate: false, parameters: { mark } });
      if (options.listenTls) {
        Object.assign(where, { url: where.url.replace('ws://127.0.0.1', 'wss://localhost'), servername: 'localhost' });
      }
      await client.open(where);
      await client.login(d.domain);
      return { client, tap: await d.recorder.of(mark) };
    }
    // Until the writer has not got rid of anything while the loop turned twenty times.
    async function settled(socket, other) {
      let left;
      for (let same = 0; same < 20;) {
        await other.ping();
        same = socket.bufferedAmount === left ? same + 1 : 0;
        left = socket.bufferedAmount;
      }
      assert.ok(left > 0.25 * COUNT * BODY.length, 'the writer was not stopped');
    }
    function assertGrowth(before) {
      const growth = resident() - before;
      assert.ok(growth < GROWTH, `grew by ${(growth / MIB).toFixed(1)} MiB`);
    }

    it('a client does not read', async () => {
      const [{ client, tap }, { client: other }] = [await direct('slow'), await direct('other')];
      const before = resident();
      client.socket.pause();
      for (let i = 0; i < COUNT; i++) tap.proxy.send(message(i));
      await settled(tap.proxy, other);
      assertGrowth(before);
      const last = client.waitFor('the last', (el) => el.attrs.id === all.at(-1), 60000);
      client.socket.resume();
      await last;
      assert.deepEqual(client.received.map(({ el }) => el.attrs.id).filter((id) => /^b\d/.test(id)), all);
      await client.ping();
    });

    it('Prosody does not read', async () => {
      const [{ client, tap }, { client: other }] = [await direct('fast'), await direct('another')];
      const before = resident();
      const start = tap.fromProxy.length;
      tap.isMuted = true; // Prosody itself would take minutes
      tap.proxy.pause();
      for (let i = 0; i < COUNT; i++) client.socket.send(message(i));
      await settled(client.socket, other);
      assertGrowth(before);
      const arrived = new Promise((resolve) => {
        tap.proxy.on('message', (data) => data.includes(`id='${all.at(-1)}'`) && resolve());
      });
      tap.proxy.resume();
      await arrived;
      assert.deepEqual(tap.fromProxy.slice(start).map(({ text }) => /id='(b\d+)'/.exec(text)[1]), all);
    });
  });
}
