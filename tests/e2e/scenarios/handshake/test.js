// What the client's URL and headers say reaches Prosody meaning the same.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');

const parse = (query) => [...new URLSearchParams(query || '')];

scenario('the handshake', {}, (d, it) => {
  // What Prosody saw of the last request that carried the mark.
  async function seen(mark) {
    const requests = await d.prosody.requests();
    const found = requests.filter(({ query }) => (query || '').includes(mark)).pop();
    assert.ok(found, `nothing with ${mark} reached Prosody: ${JSON.stringify(requests.slice(-2))}`);
    return found;
  }

  const queries = {
    'a plus sign, escaped and not': 'a=1%2B1&b=1+1',
    'repeated names': 'x=1&x=2&x=3',
    'encoded names': '%6doderator=1&r%6Fom=x',
    'encoded separators': 'a=1%262%3D3%3Bb&c=d;e',
    'slashes and dots': 'path=%2e%2e%2Fx/../y//z',
    'empty values and names': 'a=&b&=c&&d=1',
    'percent signs that escape nothing': 'a=100%&b=%zz',
    'letters beyond ASCII': 'n=%C3%BC%F0%9F%98%80',
    'what Jitsi sends': 'room=weekly&prefix=acme&previd=abc%2Bdef&customusername=x%40y',
  };
  for (const [name, query] of Object.entries(queries)) {
    for (const via of ['nginx', 'vestibule']) {
      it(`${name} (from ${via})`, async () => {
        const mark = `mark=${via}${name.replace(/\W/g, '')}`;
        await d.socket({ via, query: `${query}&${mark}` });
        const got = await seen(mark);
        // nginx puts its own prefix parameter before what the client wrote.
        const wanted = via === 'nginx' ? `prefix=&${query}&${mark}` : `${query}&${mark}`;
        assert.deepEqual(parse(got.query), parse(wanted));
      });
    }
  }

  it('without a query there is none', async () => {
    await d.socket({ via: 'vestibule' });
    assert.equal((await d.prosody.requests()).pop().query, undefined);
  });

  it('the tenant in the path becomes the prefix', async () => {
    await d.socket({ tenant: 'acme', query: 'mark=tenant' });
    assert.deepEqual(parse((await seen('mark=tenant')).query), [['prefix', 'acme'], ['mark', 'tenant']]);
  });

  it('the headers Prosody needs reach it', async () => {
    await d.socket({ via: 'vestibule', query: 'mark=headers', headers: {
      'User-Agent': 'Testbrowser/1.0', Authorization: 'Bearer x.y.z', 'x-proxy-region': 'eu', Origin: 'https://meet.example.com',
    } });
    const { headers } = await seen('mark=headers');
    assert.equal(headers.host, d.domain);
    assert.equal(headers.user_agent, 'Testbrowser/1.0');
    assert.equal(headers.authorization, 'Bearer x.y.z');
    assert.equal(headers.x_proxy_region, 'eu');
    assert.equal(headers.origin, 'https://meet.example.com');
    assert.equal(headers.sec_websocket_protocol, 'xmpp');
  });

  it('X-Forwarded-For is extended when the peer is trusted', async () => {
    await d.socket({ via: 'vestibule', query: 'mark=trusted', headers: { 'X-Forwarded-For': '203.0.113.9' } });
    assert.match((await seen('mark=trusted')).headers.x_forwarded_for, /^203\.0\.113\.9, ?127\.0\.0\.1$/);
  });

  it('the subprotocol is xmpp, and without it there is no WebSocket', async () => {
    const client = await d.socket();
    assert.equal(client.socket.protocol, 'xmpp');
    const { status } = await d.get({ via: 'vestibule', headers: {
      Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    } });
    assert.ok(status >= 400, String(status));
  });

  it('a plain GET is answered by Prosody, its headers kept', async () => {
    for (const via of ['nginx', 'vestibule']) {
      const { status, headers, body } = await d.get({ via, query: 'room=x&mark=get' });
      assert.equal(status, 200);
      assert.equal(headers['x-jitsi-shard'], 'shard-1');
      assert.match(body, /It works/);
      assert.deepEqual(parse((await seen('mark=get')).query).slice(-2), [['room', 'x'], ['mark', 'get']]);
    }
  });

  it('another path is not found, and not asked of Prosody', async () => {
    const before = (await d.prosody.requests()).length;
    const address = d.address({ via: 'vestibule' });
    const status = await new Promise((resolve, reject) => {
      require('node:http').get(address.url.replace('ws:', 'http:').replace('xmpp-websocket', 'test/requests'),
        (response) => { response.resume(); resolve(response.statusCode); }).on('error', reject);
    });
    assert.equal(status, 404);
    assert.equal((await d.prosody.requests()).length, before);
  });
});

scenario('a peer that is not trusted', { config: { listen: { trusted_proxies: [] } } }, (d, it) => {
  it('what it says of X-Forwarded-For is replaced', async () => {
    await d.socket({ via: 'vestibule', query: 'mark=untrusted', headers: { 'X-Forwarded-For': '203.0.113.9' } });
    const { headers } = (await d.prosody.requests()).pop();
    assert.equal(headers.x_forwarded_for, '127.0.0.1');
  });
});
