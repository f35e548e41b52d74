// upstream.url names a host that has no address: at the start, and after it had one. The log says so,
// clients get a 502, the loop goes on, and it works as soon as the name is known. The program sees a hosts
// file of its own in a mount namespace; where that is not allowed, only a name that never resolves is tried.
'use strict';
const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { scenario } = require('../../lib/scenario');
const { Vestibule, LOGGED_IN } = require('../../lib/vestibule');
const { freePorts } = require('../../lib/ports');
const { Tally } = require('../../lib/tally');
const { timed } = require('../../lib/wait');

const NAME = 'prosody.test';
const UNKNOWN = new RegExp(`the name ${NAME.replace('.', '\\.')} has no address`);
const UNSHARE = ['unshare', '-rm', 'sh', '-c', 'mount --bind "$0" /etc/hosts && exec "$@"'];

function mayUnshare() {
  try {
    execFileSync(UNSHARE[0], [...UNSHARE.slice(1), '/etc/hosts', 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

scenario('a name without an address', {}, (d, it) => {
  async function start(wrapper) {
    const port = (await freePorts(1))[0];
    const one = new Vestibule({ dir: d.folder('named'), domain: d.domain, port, wrapper, upstream: d.prosody.url.replace('127.0.0.1', NAME) });
    await one.start({ isServed: false });
    return one;
  }
  const open = (one) => timed(d.guest(undefined, undefined, { via: 'vestibule', port: one.port }).then(() => 101, (error) => error.status));
  const told = (one) => one.lines.filter((line) => UNKNOWN.test(line) && /\[upstream\]/.test(line)).length;

  async function isTold(one) {
    for (let i = 0; i < 5; i++) {
      const [status, ms] = await open(one);
      assert.equal(status, 502);
      assert.ok(ms < 2000, `took ${ms} ms`);
    }
    await one.waitForLog(UNKNOWN);
    assert.ok(told(one) <= 1, 'said once');
  }

  it('clients get a 502 in time and the log says once what is wrong; when it is known, all is well', async (t) => {
    const hosts = path.join(d.folder('named'), 'hosts');
    const set = (known) => fs.writeFileSync(hosts, `127.0.0.1 localhost${known ? ` ${NAME}` : ''}\n`); // the same file, in place
    set(false);
    const can = mayUnshare();
    const one = await start(can ? [...UNSHARE, hosts] : undefined);
    const wrong = [UNKNOWN, /service account is not logged in/, /Prosody cannot be reached/];
    try {
      await isTold(one);
      if (!can) {
        t.diagnostic('no mount namespaces here: that the name becomes known was not tried');
        return;
      }
      set(true);
      await one.waitForLog(LOGGED_IN, { timeout: 20000 });
      const tally = new Tally(d);
      for (const name of ['one', 'two']) await tally.peer(name, { via: 'vestibule', port: one.port });
      tally.talk();
      const from = one.lines.length;
      set(false); // who is connected stays so
      const [status] = await open(one);
      assert.equal(status, 502);
      await one.waitForLog(UNKNOWN, { from });
      tally.peers[0].drop(); // and who comes back meanwhile does so once it is known
      tally.say(5);
      set(true);
      assert.equal((await open(one))[0], 101);
      await tally.account(t, { stall: 1000 }); // a few attempts and a login
    } finally {
      assert.deepEqual(await one.stop(wrong), []);
    }
  });
});
