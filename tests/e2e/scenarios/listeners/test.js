// The ways in and out: a Unix socket, TLS on Vestibule's own listener, TLS to Prosody.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { Vestibule } = require('../../lib/vestibule');

const socketOf = (d) => `${d.folder('vestibule')}/vestibule.sock`;

// A lobby is turned on, and someone let past it: the service account and two users got through.
async function works(d) {
  const room = await d.room();
  await (await d.asker(room, 'asker')).enterLobby(room);
  await (await d.plain(room, 'plain')).enter(room);
}

scenario('a Unix socket between nginx and Vestibule', {
  unixSocket: socketOf,
  config: (d) => ({ listen: { address: `unix:${socketOf(d)}` } }),
}, (d, it) => {
  it('users get through', () => works(d));
});

scenario('TLS between nginx and Vestibule', {
  listenTls: true,
  config: (d) => ({ listen: { tls: { certificate: d.tls.certificate, key: d.tls.key } } }),
}, (d, it) => {
  it('users get through', () => works(d));
});

scenario('TLS between Vestibule and Prosody', {
  prosodyTls: true,
  config: (d) => ({ upstream: { ca_file: d.tls.ca } }),
}, (d, it) => {
  it('users get through, the service account too', () => works(d));

  it('a certificate nobody vouches for is refused', async () => {
    const stranger = new Vestibule({
      dir: d.folder('stranger'), domain: d.domain, port: 0, upstream: `wss://127.0.0.1:${d.ports.prosodyTls}/xmpp-websocket`,
    }, { listen: { address: `unix:${d.folder('stranger')}/socket` } });
    await stranger.start({ isServed: false });
    await stranger.waitForLog(/certificate|verif/i);
    assert.deepEqual(await stranger.stop([/certificate|verif|not logged in|cannot be reached/i]), []);
  });
});
