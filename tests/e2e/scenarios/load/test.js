// The soaks of load, in short: what they measure for hours must hold for seconds too.
'use strict';
const assert = require('node:assert/strict');
const { describe, it } = require('node:test');

describe('load, in short', { timeout: 180000 }, () => {
  for (const [name, options] of Object.entries({
    idle: { streams: 150, rounds: 6 },
    storm: { users: 60, rooms: 6, seconds: 1 },
    churn: { hours: 0.01, users: 6 },
  })) {
    it(name, async () => {
      const measured = await require(`../../soak/${name}`).soak(options);
      assert.deepEqual(measured.wrong, [], JSON.stringify(measured, null, 2));
      assert.deepEqual([measured.lost, measured.duplicated, measured.rooms_leaked], [0, 0, 0]);
    });
  }
});
