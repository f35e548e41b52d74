// What the log says of a service account that cannot log in, and what no log ever says.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { SECRET, token } = require('../../lib/token');
const { passwords } = require('../../lib/prosody');

const REFUSED = /service account is not logged in/;

scenario('a wrong password', {
  config: { service: { password: 'wrong-wrong-wrong', password_file: undefined }, lobby: { hold_timeout: '500ms' }, log: { level: 'debug' } },
  isServed: false, expect: [REFUSED],
}, (d, it) => {
  it('the log names the account, what Prosody said, and what to do, once for several attempts', async () => {
    const line = await d.vestibule.waitForLog(REFUSED);
    assert.match(line, /WARN .*vestibule@auth\.meet\.example\.com was refused \(not-authorized\): check service\.jid and its password/);
    await d.prosody.program.waitForLine(/Client connected/);
    // A lobby user is told in vain each time; the log has said why.
    const room = await d.room();
    for (let i = 0; i < 3; i++) assert.equal((await (await d.asker(room)).join(room)).error.condition, 'service-unavailable');
    assert.equal(d.vestibule.lines.filter((text) => REFUSED.test(text)).length, 1);
  });

  it('no password, secret or token is in it, at any level', async () => {
    const room = await d.room();
    const text = token(d.domain, room.split('@')[0], { lobby: true });
    const asker = await d.connect({ room, token: text });
    await asker.join(room);
    await d.connect({ room, headers: { Authorization: `Bearer ${text}` } });
    await asker.close();
    await d.vestibule.waitForLog(/stream ended/);
    const all = d.vestibule.lines.join('\n');
    const [header, claims, signature] = text.split('.');
    const coded = (password) => Buffer.from(`\0vestibule\0${password}`).toString('base64');
    for (const hidden of ['wrong-wrong', coded('wrong-wrong-wrong'), passwords.vestibule, SECRET, header, claims, signature]) {
      assert.ok(!all.includes(hidden), `the log holds ${hidden}`);
    }
  });
});

scenario('a right password', { config: { log: { level: 'debug' } } }, (d, it) => {
  it('is in no line of the log either', async () => {
    const room = await d.room();
    await (await d.asker(room, 'asker')).enterLobby(room);
    const all = d.vestibule.lines.join('\n');
    for (const hidden of [passwords.vestibule, Buffer.from(`\0vestibule\0${passwords.vestibule}`).toString('base64'), SECRET]) {
      assert.ok(!all.includes(hidden));
    }
  });
});
