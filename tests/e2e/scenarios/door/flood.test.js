// A client whose join is held goes on writing: what he writes waits with him, not in Vestibule's memory.
'use strict';
const assert = require('node:assert/strict');
const fs = require('node:fs');
const { scenario } = require('../../lib/scenario');
const { OP, frame, writeBytes } = require('../../lib/frame');
const { joinStanza } = require('../../lib/stanza');

const MIB = 1024 * 1024;
const PIECES = 300; // of 1000 messages, about 100 KiB each

scenario('tiny stanzas behind a held join', {
  recorder: true, config: { lobby: { hold_timeout: '14s' } },
  env: { ASAN_OPTIONS: [process.env.ASAN_OPTIONS, 'quarantine_size_mb=1:thread_local_quarantine_size_kb=64'].filter(Boolean).join(':') },
}, (d, it) => {
  const resident = () => Number(/VmRSS:\s+(\d+) kB/.exec(fs.readFileSync(`/proc/${d.vestibule.program.pid}/status`, 'utf8'))[1]) * 1024;

  it('wait where they come from, and go on in order', async () => {
    const room = await d.room();
    const { client: other } = await d.recorded({ via: 'vestibule' });
    const { client, wire } = await d.recorded({ via: 'vestibule', room, as: { lobby: true }, deflate: false });
    wire.mute(); // Prosody itself would take minutes
    const service = d.recorder.wires.find((each) => !each.mark);
    service.holdUp(); // so that nobody can say what becomes of the join
    let sent = 0;
    const pieces = Array.from({ length: PIECES }, () => Buffer.concat(Array.from({ length: 1000 }, () => frame(OP.text,
      `<message xmlns='jabber:client' to='meet.example.com' id='f${String(++sent).padStart(6, '0')}'/>`))));
    const total = pieces.reduce((sum, piece) => sum + piece.length, 0);
    const before = resident();
    const start = wire.up.messages.length;
    client.raw(joinStanza(room, { nick: 'e', name: 'e' }));
    for (const piece of pieces) writeBytes(client, piece);
    let left;
    for (let same = 0; same < 20;) {
      await other.ping();
      same = client.socket._socket.writableLength === left ? same + 1 : 0;
      left = client.socket._socket.writableLength;
    }
    assert.equal(wire.up.messages.length, start, 'the join is held');
    assert.ok(total - left < 16 * MIB, `${((total - left) / MIB).toFixed(1)} of ${(total / MIB).toFixed(1)} MiB were taken`);
    assert.ok(resident() - before < 8 * MIB, `grew by ${((resident() - before) / MIB).toFixed(1)} MiB`);
    service.release();
    await wire.up.waitFor('all of it', () => wire.up.messages.length === start + 1 + sent, 60000);
    assert.match(wire.up.messages[start], /^<presence /);
    assert.deepEqual(wire.up.messages.slice(start + 1).map((text) => Number(/ id='f(\d+)'/.exec(text)[1])),
      Array.from({ length: sent }, (_, i) => i + 1));
  });
});
