// What is refused is counted, and does not fill the log: the first of a kind to an address is told, the
// rest in one line. (That the line comes once a minute is tests/unit/test_rejections.c's.)
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { bodyText, post } = require('../../lib/bosh');
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

scenario('what BOSH refuses', { transport: 'bosh', config: { limits: { handshake_timeout: '1s' } }, expect: [/stream ended why=FRAMING/] }, (d, it) => {
  const where = (address) => ({ ...d.address({ via: 'vestibule' }), headers: { 'X-Forwarded-For': address } });
  const refused = async (address, text, condition) => {
    const { status, el } = await post(where(address), text);
    assert.deepEqual([status, el.attrs.type, el.attrs.condition], [200, 'terminate', condition]);
  };

  it('is told and counted: sids that are tried, requests for no session, bodies that cannot be read or never come', async () => {
    for (let i = 0; i < 3; i++) await refused('203.0.113.1', bodyText({ rid: 1, sid: String(i).repeat(32) }), 'item-not-found');
    await refused('203.0.113.2', bodyText({ rid: 1, wait: 1 }), 'improper-addressing');
    await refused('203.0.113.3', bodyText({ rid: 1, to: d.domain, newkey: 'x' }), 'bad-request');
    await refused('203.0.113.4', '<body', 'bad-request');
    await exchange({ port: d.ports.vestibule }, request({
      method: 'POST', target: '/http-bind', host: d.domain, headers: ['Content-Length: 100', 'X-Forwarded-For: 203.0.113.5'],
    })).catch(() => {});
    for (const line of [
      /203\.0\.113\.1 refused: BOSH item-not-found, no session has this sid/, /203\.0\.113\.2 refused: BOSH improper-addressing/,
      /203\.0\.113\.3 refused: BOSH bad-request/, /203\.0\.113\.4 refused: BOSH bad-request/,
      /203\.0\.113\.5 refused: no whole body in limits\.handshake_timeout/,
    ]) await d.vestibule.waitForLog(line);
  });

  it('before login a long body is not read to its end, nor a deep one taken', async () => {
    const inside = (count) => '<a>'.repeat(count) + '</a>'.repeat(count);
    await refused('203.0.113.6', bodyText({ rid: 1, to: d.domain }, inside(20)), 'policy-violation');
    await refused('203.0.113.6', bodyText({ rid: 1, to: d.domain }, '<a/>'.repeat(250).replace('<a/>', `<a>${'<b/>'.repeat(60)}</a>`)), 'policy-violation');
    for (const sid of [undefined, '0'.repeat(32)]) {
      const text = bodyText({ rid: 1, to: d.domain, sid }, `<a>${'x'.repeat(5000)}`).replace(/<\/body>$/, '');
      const { status, body } = await exchange({ port: d.ports.vestibule }, request({
        method: 'POST', target: '/http-bind', host: d.domain, headers: ['Content-Length: 100000', 'X-Forwarded-For: 203.0.113.6'],
      }) + text);
      assert.equal(status, 200);
      assert.match(body, /type='terminate' condition='policy-violation'/);
    }
    const client = await d.socket({ via: 'vestibule' });
    await client.startStream(d.domain);
    const { el } = await client.socket.ask({}, `<auth xmlns='${NS.sasl}' mechanism='PLAIN'>${'A'.repeat(30000)}</auth>`);
    assert.deepEqual([el.attrs.type, el.attrs.condition], ['terminate', 'policy-violation']);
    await d.vestibule.waitForLog(/stream ended why=FRAMING.*a long body before login/);
    const user = await d.guest(undefined, undefined, { via: 'vestibule' });
    user.raw(`<message xmlns='jabber:client' to='${user.jid}'><body>${'x'.repeat(100000)}</body></message>`);
    await user.waitFor('it', (one) => one.is('message'));
  });

  it('a body of a session that cannot be read ends it, and no other', async () => {
    const [one, other] = [await d.guest(undefined, undefined, { via: 'vestibule' }), await d.guest(undefined, undefined, { via: 'vestibule' })];
    const rid = one.socket.rid++;
    await refused('203.0.113.7', bodyText({ rid, sid: one.socket.sid }, '<iq>'), 'bad-request');
    assert.equal((await one.closed).reason, 'bad-request');
    await refused('203.0.113.7', bodyText({ rid: other.socket.rid, sid: `${other.socket.sid}0` }, '<iq>'), 'bad-request');
    await refused('203.0.113.7', bodyText({ rid: other.socket.rid, x: ` sid='${other.socket.sid}'` }, '<iq>'), 'bad-request');
    await other.ping();
  });

  it('and counted in the totals', async () => {
    await d.vestibule.program.stop();
    const total = d.vestibule.lines.find((line) => /refused since start:/.test(line));
    assert.match(total, / no_request=1 /);
    assert.match(total, / bosh_unknown_sid=3/);
    assert.match(total, / bosh_body=9 /);
  });
});
