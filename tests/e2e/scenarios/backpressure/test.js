// Who does not read stops who writes to him, and nobody else: what is on the way to him waits where it
// comes from, nothing is lost, and Vestibule grows by its queues only, with TLS towards the client as
// without.
'use strict';
const assert = require('node:assert/strict');
const fs = require('node:fs');
const { scenario } = require('../../lib/scenario');
const { Client } = require('../../lib/client');
const { of } = require('../../lib/stanza');

const MIB = 1024 * 1024;
const BODY = 'x'.repeat(96 * 1024);
const COUNT = 500; // 47 MiB
// Between the two ends lie the sockets' own buffers and the proxy's queue, and no more.
const ON_THE_WAY = 24 * MIB;
const GROWTH = 8 * MIB; // a few streams' queues, and what the allocator keeps of them
const all = Array.from({ length: COUNT }, (_, i) => `bulk-${i}`);
const message = (id) => `<message xmlns='jabber:client' to='meet.example.com' id='${id}'><body>${BODY}</body></message>`;

// Memory that a sanitizer keeps back after it was freed is not Vestibule's.
const quarantine = 'quarantine_size_mb=1:thread_local_quarantine_size_kb=64';
const common = { recorder: true, env: { ASAN_OPTIONS: [process.env.ASAN_OPTIONS, quarantine].filter(Boolean).join(':') } };

for (const [name, options] of Object.entries({
  'a plain connection': {},
  'a TLS connection': {
    listenTls: true, config: (d) => ({ listen: { tls: { certificate: d.tls.certificate, key: d.tls.key } } }),
  },
})) {
  scenario(`backpressure, ${name}`, { ...common, ...options }, (d, it) => {
    const resident = () => {
      const status = fs.readFileSync(`/proc/${d.vestibule.program.pid}/status`, 'utf8');
      return Number(/VmRSS:\s+(\d+) kB/.exec(status)[1]) * 1024;
    };
    // A client on Vestibule itself, since nginx would hold up some of it; and its connection to Prosody.
    async function direct(mark) {
      const client = new Client(mark);
      d.clients.push(client);
      const where = d.address({ via: 'vestibule', deflate: false, parameters: { mark } });
      if (options.listenTls) {
        Object.assign(where, { url: where.url.replace('ws://127.0.0.1', 'wss://localhost'), servername: 'localhost' });
      }
      await client.open(where);
      await client.login(d.domain);
      return { client, wire: d.recorder.of(mark) };
    }
    // Until the writer has not got rid of anything while another user's pings were answered.
    async function assertStopped(untaken, other) {
      let left;
      for (let same = 0; same < 20;) {
        await other.ping();
        same = untaken() === left ? same + 1 : 0;
        left = untaken();
      }
      const taken = COUNT * BODY.length - left;
      assert.ok(taken < ON_THE_WAY, `${(taken / MIB).toFixed(1)} MiB were taken from the writer`);
    }
    function assertGrowth(before) {
      const growth = resident() - before;
      assert.ok(growth < GROWTH, `grew by ${(growth / MIB).toFixed(1)} MiB`);
    }

    it('a client does not read: Prosody\'s side is stopped, others go on', async () => {
      const [{ client, wire }, { client: other }] = [await direct('slow'), await direct('other')];
      const before = resident();
      client.socket.pause();
      for (const id of all) wire.inject(message(id));
      await assertStopped(() => wire.untaken, other);
      assertGrowth(before);
      const last = client.waitFor('the last', (el) => el.attrs.id === all.at(-1), 60000);
      client.socket.resume();
      await last;
      assert.deepEqual(client.received.map(({ el }) => el.attrs.id).filter((id) => /^bulk-/.test(id)), all);
      await client.ping();
    });

    it('Prosody does not read: the client is stopped, others go on', async () => {
      const [{ client, wire }, { client: other }] = [await direct('fast'), await direct('another')];
      const before = resident();
      const start = wire.up.messages.length;
      wire.mute(); // Prosody itself would take minutes
      wire.holdUp();
      for (const id of all) client.socket.send(message(id));
      await assertStopped(() => client.socket.bufferedAmount, other);
      assertGrowth(before);
      wire.release();
      await wire.up.waitFor('all of it', () => wire.up.messages.length === start + COUNT, 60000);
      assert.deepEqual(wire.up.messages.slice(start).map((text) => / id='([^']+)'/.exec(text)[1]), all);
    });

    // Frames that fill the queue up to its mark to the byte: one must not wait for the other.
    it('small messages of one size do not stall', async () => {
      const [{ client, wire }, { client: other }] = [await direct('small'), await direct('small other')];
      const head = (i) => `<message xmlns='jabber:client' to='meet.example.com' id='small-${String(i).padStart(6, '0')}'><body>`;
      const tail = '</body></message>';
      const small = (i) => head(i) + 'x'.repeat(252 - head(i).length - tail.length) + tail; // 256 as a frame
      const count = 65536;
      client.socket.pause();
      for (let i = 0; i < count; i++) wire.inject(small(i));
      for (let i = 0; i < 20; i++) await other.ping();
      const last = client.waitFor('the last', (el) => el.attrs.id === `small-${String(count - 1).padStart(6, '0')}`, 60000);
      client.socket.resume();
      await last;
      assert.equal(client.received.filter(({ el }) => /^small-/.test(el.attrs.id)).length, count);
    });

    it('a slow reader in a room slows nobody in it', async () => {
      const room = await d.room();
      const [{ client: slow }, { client: quick }] = [await direct('slow in a room'), await direct('quick in a room')];
      await slow.enter(room);
      await quick.enter(room);
      slow.socket.pause();
      for (let i = 0; i < 200; i++) quick.say(room, `${i} ${'y'.repeat(10000)}`);
      await quick.waitFor('the last', of.message(`199 ${'y'.repeat(10000)}`), 30000);
      slow.socket.resume();
      await slow.waitFor('the last', of.message(`199 ${'y'.repeat(10000)}`), 30000);
    });
  });
}
