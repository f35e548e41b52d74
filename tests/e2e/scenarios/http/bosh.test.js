// What http.bosh makes of BOSH when it is not inspected.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { exchange, request } = require('../../lib/http');

const AROUND = /WARN .*http\.bosh: forward is a way around the lobby/;
const body = '<body xmlns=\'http://jabber.org/protocol/httpbind\' rid=\'1\' to=\'meet.example.com\' wait=\'60\' hold=\'1\'/>';
const SPELLINGS = ['/http-bind', '/http-bind/', '//http-bind', '/%68ttp-bind', '/http-bind%2f', '/http-bind?room=x'];

function post(d, target) {
  const head = request({ method: 'POST', target, host: d.domain, headers: [`Content-Length: ${body.length}`] });
  return exchange({ port: d.ports.vestibule }, head + body);
}

scenario('http.bosh: refuse', { config: { http: { bosh: 'refuse' } } }, (d, it) => {
  it('every spelling of the path is refused with 403 and a reason, and not asked of Prosody', async () => {
    const { length } = await d.prosody.others();
    for (const target of SPELLINGS) {
      const answer = await post(d, target);
      assert.equal(answer.status, 403, target);
      assert.match(answer.body, /BOSH is not served here/);
    }
    assert.deepEqual((await d.prosody.others()).slice(length), []);
  });

  it('WebSockets and the other paths are served, and nothing is warned of', async () => {
    await (await d.guest()).ping();
    const answer = await exchange({ port: d.ports.vestibule }, request({ target: '/room-info', host: d.domain }));
    assert.equal(answer.status, 200);
    assert.ok(!d.vestibule.lines.some((line) => AROUND.test(line)));
  });
});

scenario('http.bosh: forward', { config: { http: { bosh: 'forward' } }, expect: [AROUND] }, (d, it) => {
  it('the log warns of it once, at the start', () => {
    assert.equal(d.vestibule.lines.filter((line) => AROUND.test(line)).length, 1);
  });

  for (const via of ['nginx', 'vestibule']) {
    it(`a BOSH session goes through by ${via}: it is Prosody's own`, async () => {
      const room = await d.room();
      const user = await d.connect({ room, via, transport: 'bosh', name: 'bosh user' });
      await user.enter(room);
      user.say(room, 'here I am');
      await user.waitFor('his own words', (el) => el.is('message') && el.getChildText('body') === 'here I am');
      await user.ping();
      await user.leave(room);
      assert.ok((await d.prosody.others()).some(({ method, path }) => method === 'POST' && path === '/http-bind'));
      await user.close();
    });
  }

  it('every spelling of the path is asked of Prosody as /http-bind', async () => {
    for (const target of SPELLINGS) {
      const { length } = await d.prosody.others();
      assert.equal((await post(d, target)).status, 200, target);
      const [seen] = (await d.prosody.others()).slice(length);
      assert.equal(seen.path, '/http-bind');
    }
  });

  it('it really is a way around: this user asks for the lobby and stands in the room', async () => {
    const room = await d.room();
    await d.host(room);
    await (await d.asker(room, 'asker', { transport: 'bosh' })).enter(room);
  });
});
