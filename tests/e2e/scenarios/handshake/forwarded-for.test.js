// Who a client is: X-Forwarded-For is extended for peers that are trusted and made anew for all others,
// and what it says is what Prosody, the log and the limits go by.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { exchange, request } = require('../../lib/http');

let marks = 0;

// The headers Prosody saw of a WebSocket opened with those.
async function seen(d, headers, via = 'vestibule') {
  const mark = `mark=forwarded${++marks}`;
  await d.socket({ via, query: mark, headers });
  return (await d.prosody.requestWith(mark)).headers;
}

scenario('a trusted peer', { config: { listen: { trusted_proxies: ['127.0.0.1', '10.0.0.0/8', 'fd00::/8'] }, log: { level: 'debug' } } }, (d, it) => {
  const cases = {
    'none': [undefined, '127.0.0.1', '127.0.0.1'],
    'one': ['203.0.113.9', '203.0.113.9, 127.0.0.1', '203.0.113.9'],
    'a list': ['203.0.113.9, 10.1.2.3', '203.0.113.9, 10.1.2.3, 127.0.0.1', '203.0.113.9'],
    'a list with a lie before': ['192.0.2.1, 203.0.113.9, 10.1.2.3', '192.0.2.1, 203.0.113.9, 10.1.2.3, 127.0.0.1', '203.0.113.9'],
    'several headers': [['203.0.113.9', '10.1.2.3'], '203.0.113.9, 10.1.2.3, 127.0.0.1', '203.0.113.9'],
    'IPv6': ['2001:DB8::9', '2001:DB8::9, 127.0.0.1', '2001:db8::9'],
    'trusted ones alone': ['10.1.2.3, fd00::1', '10.1.2.3, fd00::1, 127.0.0.1', '10.1.2.3'],
    'a port': ['203.0.113.9:4711', '203.0.113.9:4711, 127.0.0.1', '203.0.113.9'],
  };
  for (const [name, [given, wanted, who]] of Object.entries(cases)) {
    it(`${name}: its own address goes behind what it says`, async () => {
      const from = d.vestibule.lines.length;
      const headers = await seen(d, given && { 'X-Forwarded-For': given });
      assert.equal(headers.x_forwarded_for, wanted);
      await d.vestibule.waitForLog(new RegExp(`\\[c\\d+ ${who.replace(/\./g, '\\.')}\\]`), { from });
    });
  }

  it('what it says besides goes on', async () => {
    const headers = await seen(d, { 'X-Real-IP': '203.0.113.9', 'X-Forwarded-Proto': 'https' });
    assert.deepEqual([headers.x_real_ip, headers.x_forwarded_proto], ['203.0.113.9', 'https']);
  });

  it('nginx says who its client is', async () => {
    assert.equal((await seen(d, { 'X-Forwarded-For': '203.0.113.9' }, 'nginx')).x_forwarded_for, '127.0.0.1, 127.0.0.1');
  });
});

scenario('a peer that is not trusted', { config: { listen: { trusted_proxies: ['10.0.0.0/8'] } } }, (d, it) => {
  it('what it says of others is thrown away, in every header for it', async () => {
    const headers = await seen(d, {
      'X-Forwarded-For': ['203.0.113.9', '10.0.0.1'], 'X-Real-IP': '203.0.113.9', Forwarded: 'for=203.0.113.9', 'X-Forwarded-Proto': 'https',
    });
    assert.equal(headers.x_forwarded_for, '127.0.0.1');
    for (const name of ['x_real_ip', 'forwarded', 'x_forwarded_proto']) assert.equal(headers[name], undefined, name);
  });

  it('a header named in Connection goes no further', async () => {
    await exchange({ port: d.ports.vestibule }, request({
      target: '/xmpp-websocket', host: d.domain, headers: ['X-Hop: 1', 'X-End: 2', 'Connection: close, x-hop'] }));
    const { headers } = (await d.prosody.requests()).pop();
    assert.deepEqual([headers.x_hop, headers.x_end], [undefined, '2']);
  });
});
