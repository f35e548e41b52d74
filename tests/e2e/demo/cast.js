// The story of the demo: a meeting whose lobby comes on when the first user asks for it. Knows a
// deployment (here or in containers) and a teller; every step waits for what the users themselves see,
// and throws when they see something else.
'use strict';
const assert = require('node:assert/strict');
const { timed } = require('../lib/wait');
const { of } = require('../lib/stanza');

class Cast {
  // tell(who, text, ms) prints a line; chapter(text) a heading.
  constructor(deployment, { tell, chapter }) {
    Object.assign(this, { deployment, tell, chapter });
  }

  async #enters(who, room, how) {
    const [, ms] = await timed(who.enter(room));
    this.tell(who.name, how, ms);
  }

  async #waits(who, room, how) {
    const [lobby, ms] = await timed(who.enterLobby(room));
    this.tell(who.name, how, ms);
    return lobby;
  }

  // The host opens the lobby's door to somebody, who comes in.
  async #approve(host, who, room) {
    host.approve(room, who.jid);
    await who.waitFor('the approval', of.invitation(room));
    this.tell(host.name, `approves ${who.name}`);
    await this.#enters(who, room, 'is let in');
  }

  async #lobbyTurnsOn(room) {
    const { deployment } = this;
    this.chapter('A room without a lobby');
    const host = await deployment.host(room, { name: 'Hannah' });
    this.tell('Hannah', 'enters with a token and moderates');
    const guest = await deployment.guest(room, 'Gus');
    await this.#enters(guest, room, 'enters without a token, as ever');

    this.chapter('Somebody asks for a lobby');
    const asker = await deployment.asker(room, 'Anna');
    this.tell('Anna', 'joins with a token that asks for the lobby');
    const lobby = await this.#waits(asker, room, 'waits in the lobby, which was turned on for her');
    await Promise.all([host, guest].map((who) => who.waitFor('the new lobby', of.configChanged(room))));
    await Promise.all([host.ping(), guest.ping()]);
    for (const who of [host, guest]) {
      assert.ok(!who.heard(of.left(`${room}/${who.nick}`)), `${who.name} was thrown out`);
    }
    this.tell('Hannah', 'and Gus are still inside, and see that there is a lobby now');
    return { host, guest, asker, lobby };
  }

  async #lobbyDoesItsWork(room, { host, asker, lobby }) {
    const { deployment } = this;
    this.chapter('The lobby at work');
    const plain = await deployment.plain(room, 'Paul');
    await this.#enters(plain, room, 'has a token that does not ask: made a member, he walks past the lobby');
    const stranger = await deployment.guest(room, 'Greta');
    await this.#waits(stranger, room, 'has no token: she waits in the lobby');

    await host.enter(lobby);
    await this.#approve(host, asker, room);
    await asker.leave(lobby);
    host.kick(lobby, stranger.nick);
    await stranger.waitFor('the refusal', of.left(`${lobby}/${stranger.nick}`));
    this.tell('Hannah', 'denies Greta, who is thrown out of the lobby');
    return { plain, stranger };
  }

  async #forgedToken(room) {
    this.chapter('A forged token');
    const { deployment } = this;
    const liar = await deployment.connect({ room, name: 'Mallory', as: { lobby: true, secret: 'not the secret' } })
      .then(() => null, (error) => error);
    assert.ok(liar && /not-allowed/.test(liar.message), 'a forged token was to be refused');
    this.tell('Mallory', 'signed a token herself: Prosody refuses her, Vestibule does nothing for her');
  }

  async #everybodyLeaves(room, inside, lobby) {
    const { deployment } = this;
    this.chapter('Everybody leaves while one waits');
    const late = await deployment.asker(room, 'Lena');
    await this.#waits(late, room, 'waits in the lobby');
    for (const who of inside) await who.close();
    await (await deployment.focus()).leaveRoom(room);
    this.tell('Everybody', 'has left, the conference focus too; the lobby is kept for Lena');
    await late.ping();
    assert.ok(!late.heard(of.left(`${lobby}/${late.nick}`)), 'the lobby was closed on Lena');

    await (await deployment.focus()).createRoom(room);
    const host = await deployment.host(room, { name: 'Hannah' });
    this.tell('Hannah', 'comes back and moderates');
    await host.enter(lobby);
    await this.#approve(host, late, room);
    return [host, late];
  }

  async #lastOneGone(room, inside) {
    this.chapter('The last one leaves');
    const focus = await this.deployment.focus();
    await focus.leaveRoom(room);
    for (const who of inside) await who.close();
    await this.deployment.waitUntilReleased(room);
    this.tell('The room', 'and its lobby are gone: Vestibule gave back what it had kept');
  }

  async play(name) {
    const room = await this.deployment.room(name);
    const { host, guest, asker, lobby } = await this.#lobbyTurnsOn(room);
    const { plain, stranger } = await this.#lobbyDoesItsWork(room, { host, asker, lobby });
    await this.#forgedToken(room);
    const remaining = await this.#everybodyLeaves(room, [host, guest, asker, plain, stranger], lobby);
    await this.#lastOneGone(room, remaining);
  }
}

module.exports = { Cast };
