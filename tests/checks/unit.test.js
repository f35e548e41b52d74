// packaging/vestibule.service, as systemd reads it: by itself, and as the template that an upgrade uses.
'use strict';
const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');

const root = path.resolve(__dirname, '..', '..');
const unit = fs.readFileSync(path.join(root, 'packaging/vestibule.service'), 'utf8');
const analyze = (...args) => spawnSync('systemd-analyze', args, { encoding: 'utf8' });
const skip = analyze('--version').status === 0 ? false : 'there is no systemd-analyze here';
const EXPOSURE_MAX = 20; // tenths

function place(t, name) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'vestibule-unit-'));
  t.after(() => fs.rmSync(dir, { recursive: true, force: true }));
  const file = path.join(dir, name);
  fs.writeFileSync(file, unit.replace('/usr/local/bin/vestibule', '/bin/true')); // what it starts is not installed
  return file;
}

for (const name of ['vestibule.service', 'vestibule@.service']) {
  test(`systemd has nothing against ${name}`, { skip }, (t) => {
    const { status, stdout, stderr } = analyze('verify', '--man=no', place(t, name));
    assert.deepEqual([status, stdout, stderr], [0, '', '']);
  });
}

test('it is shut in as far as it can be', { skip }, (t) => {
  const { status, stdout, stderr } = analyze('security', '--offline=true', `--threshold=${EXPOSURE_MAX}`, place(t, 'vestibule.service'));
  assert.equal(status, 0, stdout.slice(-400) + stderr);
});

test('it leaves a stop the time that limits.drain may take', () => {
  const stop = Number(/^TimeoutStopSec=(\d+)s$/m.exec(unit)[1]);
  assert.ok(stop >= 60 + 11, 'the longest drain, rooms, last words and their writing');
});
