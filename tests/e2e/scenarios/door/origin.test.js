// Which pages may connect: a browser says where a page is from, and a page cannot change that. What is
// refused never reaches Prosody.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { exchange, request } = require('../../lib/http');

const PAGE = 'https://meet.example.com';
const OTHER = 'https://other.example.com:8443';

function origins(name, listen, env, cases) {
  scenario(name, { config: { listen }, env }, (d, it) => {
    const ask = (headers, isUpgrade, mark) => exchange({ port: d.ports.vestibule }, request({
      target: `/xmpp-websocket?mark=${mark}`, host: d.domain, headers, isUpgrade }));
    const isKnown = async (mark) => (await d.prosody.requests()).some(({ query }) => (query || '').includes(`mark=${mark}`));

    cases.forEach(([what, headers, upgrade, plain], index) => {
      for (const [isUpgrade, expected] of [[true, upgrade], [false, plain]]) {
        it(`${what}: ${isUpgrade ? 'a WebSocket' : 'a GET'} is answered with ${expected}`, async () => {
          const mark = `o${index}${isUpgrade ? 'w' : 'g'}`;
          const lines = headers.map((origin) => `Origin: ${origin}`);
          assert.equal((await ask(lines, isUpgrade, mark)).status, expected);
          assert.equal(await isKnown(mark), expected !== 403, 'what Prosody was asked');
        });
      }
    });
  });
}

origins('origins of listen.allowed_origins and listen.public_url', {
  allowed_origins: [OTHER], public_url: `${PAGE}:443/sub/`,
}, {}, [
  ['the page of listen.public_url', [PAGE], 101, 200],
  ['that page with its port', [`${PAGE}:443`], 101, 200],
  ['one of the list', [OTHER], 101, 200],
  ['another', ['https://evil.example.net'], 403, 403],
  ['another port', [`${PAGE}:8443`], 403, 403],
  ['without TLS', ['http://meet.example.com'], 403, 403],
  ['a page that does not say', ['null'], 403, 403],
  ['two headers', [PAGE, 'https://evil.example.net'], 403, 403],
  ['the same twice', [PAGE, PAGE], 403, 403],
  ['none', [], 101, 200],
]);

origins('origins with listen.absent_origin: false', { public_url: PAGE, absent_origin: false }, {}, [
  ['the page', [PAGE], 101, 200],
  ['none', [], 403, 200],
]);

origins('an origin of docker-jitsi-meet\'s PUBLIC_URL', {}, { PUBLIC_URL: 'meet.example.com:8443/' }, [
  ['the page', [`${PAGE}:8443`], 101, 200],
  ['another', [PAGE], 403, 403],
]);

origins('no origin said', {}, {}, [
  ['any page', ['https://evil.example.net'], 101, 200],
]);
