// A scenario: one deployment, and the tests that run in it one after the other, each in rooms of its
// own.
'use strict';
const { after, before, describe, it } = require('node:test');
const { Deployment } = require('./deployment');
const { Tally } = require('./tally');

const TALKERS = ['one', 'two', 'three'];

// options: of the deployment; timeout; and account, where the scenario is a fault: {stall, grace} as in
// Tally.account, and renews as in Tally. Users talk then as long as it lasts (d.tally), and its last test is
// the account of that.
function scenario(name, options, define) {
  describe(name, { timeout: options.timeout ?? 120000 }, () => {
    const deployment = new Deployment(options);
    before(() => deployment.start());
    if (options.account) {
      before(async () => {
        deployment.tally = new Tally(deployment, options.account);
        for (const talker of TALKERS) await deployment.tally.peer(talker);
        deployment.tally.talk();
      });
    }
    define(deployment, it);
    if (options.account) {
      it('the account: nothing was lost, doubled or left behind, and nobody waited for longer than the fault lasts',
        (t) => deployment.tally.account(t, options.account));
    }
    after(async () => {
      if (deployment.tally) await deployment.tally.silence();
      await deployment.stop();
    });
  });
}

module.exports = { scenario };
