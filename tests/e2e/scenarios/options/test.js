// Options that change what happens, each as an operator would notice it.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');

const SERVICE_DOWN = [/service account is not logged in/];

scenario('lobby.dry_run', { config: { lobby: { dry_run: true } } }, (d, it) => {
  it('says what would be done and does nothing', async () => {
    const room = await d.room();
    const asker = await d.asker(room, 'asker');
    await asker.enter(room);
    assert.equal((await d.state(room)).members_only, false);
    await d.vestibule.waitForLog(/dry run.*applicant=lobby.*with_lobby_off=lobby-turn-on/);
  });
});

scenario('lobby.on_failure: forward', {
  config: { lobby: { on_failure: 'forward', hold_timeout: '1s' }, service: { jid: 'vestibule@auth.meet.example.com', password: 'wrong', password_file: '' } },
  isServed: false, expect: SERVICE_DOWN,
}, (d, it) => {
  it('without the service account a lobby user goes on to the room', async () => {
    const room = await d.room();
    const asker = await d.asker(room, 'asker');
    await asker.enter(room);
    assert.equal((await d.state(room)).members_only, false);
  });
});

scenario('token.on_invalid: refuse', { config: { token: { on_invalid: 'refuse' } } }, (d, it) => {
  it('a bad token is refused at the door, none at all is not', async () => {
    await assert.rejects(d.connect({ room: 'r@x', token: 'a.b.c' }), { status: 403 });
    await (await d.guest('r@x')).ping();
  });
});

scenario('listen.allowed_origins', { config: { listen: { allowed_origins: ['https://meet.example.com'] } } }, (d, it) => {
  for (const [origin, status] of [['https://meet.example.com', 0], ['HTTPS://MEET.EXAMPLE.COM', 0], ['https://evil.example', 403], [undefined, 0]]) {
    it(`${origin} is ${status ? 'refused' : 'allowed'}`, async () => {
      const opened = d.socket({ headers: origin ? { Origin: origin } : {} });
      if (status) await assert.rejects(opened, { status });
      else await opened;
    });
  }
});

scenario('log.format: json', { config: { log: { format: 'json' } }, isServed: false }, (d, it) => {
  it('each line is an object, numbers are numbers', async () => {
    await d.vestibule.waitForLog(/logged in/);
    const room = await d.room();
    await (await d.asker(room, 'asker')).enterLobby(room);
    const line = await d.vestibule.waitForLog(/"applicant":"lobby"/);
    for (const each of d.vestibule.lines) assert.equal(typeof JSON.parse(each).message, 'string');
    assert.equal(typeof JSON.parse(line).held_ms, 'number');
  });
});
