// Whatever a client writes into its URL, Prosody reads what it reads without Vestibule: the same bytes.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { exchange, request } = require('../../lib/http');

scenario('the query', {}, (d, it) => {
  const queries = {
    'an escaped plus': 'a=1%2B1',
    'a plus': 'a=1+1',
    'repeated names': 'a=1&b=2&a=3&a=1',
    'an escaped name': '%74ok%65n=x&r%6f%6Fm=y',
    'an escaped equals sign in a name': 'a%3Db=c&d=e%3D%26f',
    'semicolons': 'a=1;b=2;;c',
    'empty values and names': 'a=&=b&=&&c&',
    'nothing behind the question mark': '',
    'letters beyond ASCII, escaped': 'a=%C3%BC%E2%82%AC%F0%9F%98%80',
    'escapes that are none': 'a=%&b=%4&c=%zz&d=%%41',
    'an escaped zero byte': 'a=x%00y',
    'an escaped line break': 'a=x%0d%0aX-Evil:%201',
    'question marks and slashes': 'a=?b=c/../d&e=//f',
    'small and large hexadecimal digits': 'a=%c3%bc%C3%BC',
    'brackets, quotes, braces': 'a[]=1&b={"c":\'d\'}&e=<f>&g=`h`|\\^',
    'escaped separators': 'a=1%262%3D3%3Bb&c=d;e',
    'slashes and dots': 'path=%2e%2e%2Fx/../y//z',
    'what Jitsi sends': 'room=weekly&prefix=acme&previd=abc%2Bdef&customusername=x%40y',
    'two tokens': 'token=one&token=two',
    'very much': `a=${'x'.repeat(8000)}`,
  };
  // The raw query of the request that Prosody has seen last.
  async function last() {
    const { query } = (await d.prosody.requests()).pop();
    return query;
  }

  let marks = 0;
  for (const [name, query] of Object.entries(queries)) {
    for (const isUpgrade of [true, false]) {
      it(`${name} (${isUpgrade ? 'WebSocket' : 'GET'})`, async () => {
        const read = [];
        const end = query === '' ? '' : `&mark=${++marks}`;
        for (const port of [d.ports.prosody, d.ports.vestibule]) {
          const { status } = await exchange({ port }, request({
            target: `/xmpp-websocket?${query}${end}`, host: d.domain, isUpgrade,
            headers: isUpgrade ? [] : ['Connection: close'],
          }));
          assert.equal(status, isUpgrade ? 101 : 200);
          read.push(await last());
        }
        assert.equal(read[1], read[0]);
        if (end) assert.ok(read[1].endsWith(end), read[1]);
      });
    }
  }

  // nginx puts its own parameter, the tenant of the path, before what the client wrote.
  const parse = (query) => [...new URLSearchParams(query || '')];
  for (const [name, query] of Object.entries(queries)) {
    it(`${name} (through nginx)`, async () => {
      const mark = `mark=${++marks}nginx`;
      await d.socket({ query: `${query}&${mark}` });
      assert.deepEqual(parse((await d.prosody.requestWith(mark)).query), parse(`prefix=&${query}&${mark}`));
    });
  }

  it('the tenant in the path becomes the prefix', async () => {
    await d.socket({ tenant: 'acme', query: 'mark=tenant' });
    assert.deepEqual(parse((await d.prosody.requestWith('mark=tenant')).query), [['prefix', 'acme'], ['mark', 'tenant']]);
  });

  it('without a query there is none', async () => {
    await d.socket({ via: 'vestibule' });
    assert.equal((await d.prosody.requests()).pop().query, undefined);
  });

  it('letters beyond ASCII as they are, which no URL may hold, are refused', async () => {
    const count = (await d.prosody.requests()).length;
    for (const query of ['a=\u00fc', 'a=\u20ac']) {
      const { status } = await exchange({ port: d.ports.vestibule }, request({
        target: `/xmpp-websocket?${query}`, host: d.domain, isUpgrade: true }));
      assert.equal(status, 400);
    }
    assert.equal((await d.prosody.requests()).length, count);
  });
});
