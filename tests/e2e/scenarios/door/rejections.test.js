// What is refused is counted, and does not fill the log: the first of a kind to an address is told, the
// rest in one line. (That the line comes once a minute is tests/unit/test_rejections.c's.)
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { exchange, request } = require('../../lib/http');
const { passwords } = require('../../lib/prosody');
const { NS } = require('../../lib/stanza');

scenario('refusals', { expect: [/stream ended why=(RESTRICTED_XML|HOST_UNKNOWN)/] }, (d, it) => {
  const from = (address) => ({ via: 'vestibule', headers: { 'X-Forwarded-For': address } });
  const nowhere = async (address) => {
    const answer = await exchange({ port: d.ports.vestibule }, request({
      target: '/nowhere', host: d.domain, headers: [`X-Forwarded-For: ${address}`] }));
    assert.equal(answer.status, 404);
  };
  const count = (pattern) => d.vestibule.lines.filter((line) => pattern.test(line)).length;
  async function breaks(address, text, isLoggedIn = true) {
    const client = await (isLoggedIn ? d.guest(undefined, undefined, from(address)) : d.socket(from(address)));
    client.raw(text);
    await client.closed;
  }

  it('the first of a kind is told, for each address', async () => {
    for (let i = 0; i < 5; i++) await nowhere('203.0.113.1');
    await nowhere('203.0.113.2');
    for (const host of ['1', '2', 'ffff:3']) await nowhere(`2001:db8:1:2::${host}`);
    for (let i = 0; i < 3; i++) await breaks('203.0.113.1', '<!-- x --><presence xmlns=\'jabber:client\'/>');
    for (let i = 0; i < 2; i++) await breaks('203.0.113.1', `<open xmlns='${NS.framing}' to='${d.auth}'/>`, false);
    const client = await d.socket(from('203.0.113.1'));
    await client.startStream(d.domain);
    for (let i = 0; i < 3; i++) {
      const end = await client.authenticate({ name: 'jvb', password: `not ${passwords.jvb}` });
      assert.equal(end.name, 'failure');
    }
    await d.vestibule.waitForLog(/Prosody refused a login/);
    await client.drop();
    assert.equal(count(/203\.0\.113\.1 refused: 404/), 1);
    assert.equal(count(/203\.0\.113\.2 refused: 404/), 1);
    assert.equal(count(/2001:db8:1:2:[^ ]* refused: 404/), 1, 'one network');
    assert.equal(count(/203\.0\.113\.1.*why=RESTRICTED_XML/), 1);
    assert.equal(count(/203\.0\.113\.1.*why=HOST_UNKNOWN.*auth\.meet\.example\.com/), 1);
    assert.equal(count(/Prosody refused a login/), 1);
  });

  it('ordinary ends are all told', async () => {
    const isEnd = /why=(CLIENT|PROSODY)_CLOSED/; // whoever is first
    const before = count(isEnd);
    for (let i = 0; i < 3; i++) {
      const client = await d.guest(undefined, undefined, from('203.0.113.1'));
      const ended = d.vestibule.waitForLog(isEnd, { from: d.vestibule.lines.length });
      await client.close();
      await ended;
    }
    assert.equal(count(isEnd), before + 3);
  });

  it('the rest is told at the end, with the totals', async () => {
    await d.vestibule.program.stop();
    const more = d.vestibule.lines.filter((line) => /refused again within a minute:/.test(line));
    assert.equal(more.length, 2);
    assert.ok(more.some((line) => / from=203\.0\.113\.1 http_404=4 login_failed=2 RESTRICTED_XML=2 HOST_UNKNOWN=1$/.test(line)), more.join('\n'));
    assert.ok(more.some((line) => / from=2001:db8:1:2::\/64 http_404=2$/.test(line)), more.join('\n'));
    assert.equal(count(/INFO +\[door\] refused since start: http_404=9 login_failed=3 RESTRICTED_XML=3 HOST_UNKNOWN=2$/), 1);
  });
});
