// A WebSocket's handshake: what it must say, and what of it reaches Prosody. Its query, and who is
// asking, have files of their own beside this one.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { exchange, request } = require('../../lib/http');

scenario('the handshake', {}, (d, it) => {
  it('the headers Prosody needs reach it', async () => {
    await d.socket({ via: 'vestibule', query: 'mark=headers', headers: {
      'User-Agent': 'Testbrowser/1.0', Authorization: 'Bearer x.y.z', 'x-proxy-region': 'eu', Origin: 'https://meet.example.com',
    } });
    const { headers } = await d.prosody.requestWith('mark=headers');
    assert.equal(headers.host, d.domain);
    assert.equal(headers.user_agent, 'Testbrowser/1.0');
    assert.equal(headers.authorization, 'Bearer x.y.z');
    assert.equal(headers.x_proxy_region, 'eu');
    assert.equal(headers.origin, 'https://meet.example.com');
    assert.equal(headers.sec_websocket_protocol, 'xmpp');
  });

  it('the subprotocol is xmpp', async () => {
    assert.equal((await d.socket()).socket.protocol, 'xmpp');
  });

  it('no compression is agreed on, though the client offers it, and none is offered to Prosody', async () => {
    const client = await d.socket({ via: 'vestibule', query: 'mark=deflate', deflate: true });
    assert.equal(client.socket.extensions, '');
    const { headers } = await d.prosody.requestWith('mark=deflate');
    assert.equal(headers.sec_websocket_extensions, undefined);
  });

  const upgrades = {
    'another version': [{ 'Sec-WebSocket-Version': '8' }, 426],
    'no version': [{ 'Sec-WebSocket-Version': null }, 426],
    'no key': [{ 'Sec-WebSocket-Key': null }, 400],
    'a key of another length': [{ 'Sec-WebSocket-Key': 'c2hvcnQ=' }, 400],
    'no Connection: Upgrade': [{ Connection: 'close' }, 400],
    'another subprotocol': [{ 'Sec-WebSocket-Protocol': 'chat' }, 501],
    'no subprotocol': [{ 'Sec-WebSocket-Protocol': null }, 501],
    'one of several subprotocols': [{ 'Sec-WebSocket-Protocol': 'chat, xmpp' }, 101],
  };
  for (const [name, [change, status]] of Object.entries(upgrades)) {
    it(`an upgrade with ${name} is answered with ${status}`, async () => {
      const headers = {
        Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13',
        'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Protocol': 'xmpp', ...change,
      };
      const lines = Object.entries(headers).filter(([, value]) => value !== null).map(([key, value]) => `${key}: ${value}`);
      const answer = await exchange({ port: d.ports.vestibule }, request({
        target: '/xmpp-websocket?room=r', host: d.domain, headers: lines }));
      assert.equal(answer.status, status);
    });
  }

  it('the accept key is the one RFC 6455 computes', async () => {
    const { head } = await exchange({ port: d.ports.vestibule }, request({
      target: '/xmpp-websocket?room=r', host: d.domain, isUpgrade: true }));
    assert.match(head, /^sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=$/im);
  });
});
