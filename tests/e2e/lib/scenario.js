// A scenario: one deployment, and the tests that run in it one after the other, each in rooms of its
// own.
'use strict';
const { after, before, describe, it } = require('node:test');
const { Deployment } = require('./deployment');

function scenario(name, options, define) {
  describe(name, { timeout: options.timeout ?? 120000 }, () => {
    const deployment = new Deployment(options);
    before(() => deployment.start());
    define(deployment, it);
    after(() => deployment.stop());
  });
}

module.exports = { scenario };
