// Connections that carry more than one request: those that BOSH gives back to the door.
'use strict';
const assert = require('node:assert/strict');
const fs = require('node:fs');
const net = require('node:net');
const tls = require('node:tls');
const { once } = require('node:events');
const { scenario } = require('../../lib/scenario');
const { exchange, request } = require('../../lib/http');
const { within } = require('../../lib/wait');

scenario('one connection, many requests', {}, (d, it) => {
  const bosh = (...headers) => request({ method: 'OPTIONS', target: '/http-bind', host: d.domain, headers });
  const other = (target) => request({ target, host: d.domain });
  const statuses = (text) => [...text.matchAll(/(?:^|\n)HTTP\/1\.1 (\d+)/g)].map(([, status]) => Number(status));
  const send = async (text) => {
    const { head, body } = await exchange({ port: d.ports.vestibule }, text);
    return `${head}\r\n\r\n${body}`;
  };

  it('a thousand in one packet are answered in order, and what ends the connection ends it', async () => {
    const answers = statuses(await send(bosh().repeat(1000) + other('/nowhere') + bosh()));
    assert.equal(answers.length, 1001);
    assert.deepEqual([answers[0], answers[999], answers[1000]], [204, 204, 404]);
  });

  it('one after the other, each cut in two', async () => {
    const socket = net.connect(d.ports.vestibule, '127.0.0.1').setEncoding('latin1').setNoDelay(true);
    const text = bosh();
    let heard = '';
    for (let i = 0; i < 20; i++) {
      const before = heard.length;
      const answered = new Promise((resolve) => {
        socket.on('data', function take(part) {
          heard += part;
          socket.off('data', take);
          resolve();
        });
      });
      await new Promise((resolve) => { socket.write(text.slice(0, 5 * i), resolve); });
      socket.write(text.slice(5 * i));
      await within(10000, `answer ${i}`, answered);
      assert.equal(statuses(heard.slice(before))[0], 204);
    }
    socket.write(other('/room-info?last=1'));
    socket.on('data', (part) => { heard += part; });
    await within(10000, 'the end', once(socket, 'close'));
    assert.match(heard, /"last=1"/);
  });

  it('a WebSocket may follow', async () => {
    const upgrade = request({ target: '/xmpp-websocket', host: d.domain, isUpgrade: true });
    const socket = net.connect(d.ports.vestibule, '127.0.0.1').setEncoding('latin1');
    let heard = '';
    const switched = new Promise((resolve) => {
      socket.on('data', (part) => {
        heard += part;
        if (statuses(heard).includes(101)) resolve();
      });
    });
    socket.write(bosh() + upgrade);
    await within(10000, '101', switched, () => heard);
    assert.deepEqual(statuses(heard), [204, 101]);
    socket.destroy();
  });

  it('nonsense behind a request is refused as it would be before one', async () => {
    assert.deepEqual(statuses(await send(`${bosh()}nonsense\r\n\r\n`)), [204, 400]);
  });

  it('who wants an end gets one', async () => {
    assert.deepEqual(statuses(await send(bosh('Connection: close') + bosh())), [204]);
    assert.deepEqual(statuses(await send(bosh().replace('HTTP/1.1', 'HTTP/1.0') + bosh())), [204]);
  });

  it('one that waits is closed at a stop', async () => {
    const socket = net.connect(d.ports.vestibule, '127.0.0.1');
    socket.write(bosh());
    await once(socket, 'data');
    d.vestibule.program.signal('SIGTERM');
    await within(10000, 'the end', once(socket.resume(), 'close'));
  });
});

scenario('one connection with TLS, many requests', {
  listenTls: true,
  config: (d) => ({ listen: { tls: { certificate: d.tls.certificate, key: d.tls.key } } }),
}, (d, it) => {
  it('what comes in one record is answered in order', async () => {
    const socket = tls.connect({ port: d.ports.vestibule, host: '127.0.0.1', servername: 'localhost', ca: fs.readFileSync(d.tls.ca) });
    let heard = '';
    socket.setEncoding('latin1').on('data', (part) => { heard += part; });
    socket.write(request({ method: 'OPTIONS', target: '/http-bind', host: d.domain }).repeat(200) +
      request({ target: '/room-info?last=1', host: d.domain }));
    await within(10000, 'the end', once(socket, 'end'), () => heard);
    assert.equal(heard.split('HTTP/1.1 204').length, 201);
    assert.match(heard, /"last=1"/);
  });
});
