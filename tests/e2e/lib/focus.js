// A stand-in for Jicofo: makes rooms and is in them under the nick "focus", hands out moderation.
'use strict';
const assert = require('node:assert/strict');
const { Client } = require('./client');
const { NS, of, formSubmit, adminItem } = require('./stanza');

class Focus extends Client {
  constructor() {
    super('focus');
  }

  async createRoom(room) {
    await this.enter(room, { nick: 'focus', name: 'focus' });
    const answer = await this.iq('set', room, formSubmit({ 'muc#roomconfig_whois': 'anyone' }));
    assert.equal(answer.attrs.type, 'result', String(answer));
    return room;
  }

  // Makes someone who is inside a moderator, and waits until he knows.
  async makeModerator(room, client) {
    const jid = client.jid.split('/')[0];
    const answer = await this.iq('set', room, adminItem({ jid, affiliation: 'owner' }));
    assert.equal(answer.attrs.type, 'result', String(answer));
    await client.waitFor('being a moderator', (el) => of.selfPresence(`${room}/${client.nick}`)(el) &&
      el.getChild('x', NS.user).getChild('item').attrs.affiliation === 'owner');
  }

  async leaveRoom(room) {
    await this.leave(room, 'focus');
  }
}

module.exports = { Focus };
