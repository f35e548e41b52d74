// People of a few rooms who come and go at random by two instances, and what must never happen to them.
'use strict';
const { randomOf } = require('../../lib/random');
const { NS, bare, statuses, formSubmit } = require('../../lib/stanza');

const KINDS = { plain: {}, asker: { lobby: true }, guest: null };

class Person {
  constructor(meeting, index) {
    Object.assign(this, { meeting, index, kind: Object.keys(KINDS)[index % 3], at: 'away', room: null });
    this.port = meeting.ports[Math.floor(index / 3) % meeting.ports.length];
    this.random = randomOf(meeting.seed * 1000 + index + 1);
  }

  async connect() {
    const as = KINDS[this.kind];
    this.client = await this.meeting.d.connect({
      room: '*', name: `${this.kind}${this.index}`, ...(as && { as }), via: 'vestibule', port: this.port,
    });
    this.at = 'away';
    this.isModerator = false;
    const { client } = this;
    client.onStanza = (el) => client === this.client && this.#hear(el);
  }

  #hear(el) {
    const { client, room } = this;
    if (!room || !el.is('presence')) return;
    if (el.attrs.type === 'unavailable' && el.attrs.from === `${room.jid}/${client.nick}`) this.#outside(el);
    else if (this.at === 'waiting' && el.attrs.type === 'unavailable' && el.attrs.from === `${this.lobby}/${client.nick}`) this.at = 'away';
  }

  #outside(el) {
    const { meeting, room } = this;
    const codes = statuses(el);
    const x = el.getChild('x', NS.user);
    if (codes.includes('322') && !room.closing) meeting.wrong.push(`thrown out of ${room.jid}: ${el}`);
    if (codes.includes('307') && !this.kicked) meeting.wrong.push(`kicked out of ${room.jid}: ${el}`);
    if (x && x.getChild('destroy')) meeting.wrong.push(`${room.jid} was destroyed under ${this.client.name}: ${el}`);
    this.kicked = false;
    if (codes.includes('307')) room.approved.delete(bare(this.client.jid));
    if (this.at === 'inside') this.at = 'away';
    this.isModerator = false;
  }

  async join(room) {
    const { client, meeting } = this;
    this.room = room;
    await room.open();
    client.received.length = 0;
    const closings = room.closing ? -1 : room.closings;
    const came = await client.join(room.jid);
    meeting.count.joins++;
    if (came.entered) {
      this.#entered(came.el);
    } else if (came.lobby) {
      // Unless a moderator closes the room just then.
      if (this.kind === 'plain' && closings === room.closings) meeting.wrong.push(`${client.name} met the lobby of ${room.jid}`);
      await this.#wait(came.lobby);
    } else if (!['item-not-found', 'not-allowed'].includes(came.error.condition)) { // it ended meanwhile
      meeting.wrong.push(`${client.name} at ${room.jid}: ${came.el}`);
    }
  }

  #entered(el) {
    const { client, meeting, room } = this;
    this.at = 'inside';
    meeting.count.entered++;
    if (this.kind === 'asker' && !room.approved.has(bare(client.jid))) meeting.wrong.push(`past the lobby of ${room.jid}: ${el}`);
  }

  async #wait(lobby) {
    const { client, meeting } = this;
    this.lobby = lobby;
    const came = await client.join(lobby);
    if (!came.entered) return; // the lobby went away meanwhile
    this.at = 'waiting';
    meeting.count.waited++;
  }

  async step() {
    const dice = this.random(100);
    if (dice < 8) {
      await this.client.drop();
      this.at = 'away';
      await this.connect();
    } else if (this.at === 'away') {
      await this.join(this.meeting.rooms[this.random(this.meeting.rooms.length)]);
    } else if (this.at === 'waiting') {
      await this.#whileWaiting(dice);
    } else if (dice < 45) {
      await this.leave();
    } else {
      await this.#moderate(dice);
    }
  }

  async #whileWaiting(dice) {
    const isApproved = this.room.approved.has(bare(this.client.jid));
    if (dice < 40 || isApproved) await this.leave();
    else await this.client.ping();
    if (isApproved) await this.join(this.room);
  }

  async leave() {
    const { client } = this;
    const place = this.at === 'waiting' ? this.lobby : this.room.jid;
    this.at = 'away';
    client.raw(`<presence xmlns='jabber:client' to='${place}/${client.nick}' type='unavailable'/>`);
    await client.ping();
  }

  async #moderate(dice) {
    const { room, meeting, client } = this;
    const others = meeting.people.filter((person) => person !== this && person.room === room);
    const waiting = others.filter((person) => person.at === 'waiting');
    const inside = others.filter((person) => person.at === 'inside' && !person.isModerator);
    if (!this.isModerator) {
      this.isModerator = await room.promote(client);
    } else if (dice < 75 && waiting.length) {
      const { jid } = waiting[this.random(waiting.length)].client;
      room.approved.add(bare(jid));
      client.approve(room.jid, jid);
      meeting.count.approved++;
    } else if (dice < 85 && inside.length) {
      const whom = inside[this.random(inside.length)];
      whom.kicked = true;
      client.kick(room.jid, whom.client.nick);
    } else {
      await this.#toggle(dice < 95 ? 0 : 1);
    }
    await client.ping();
  }

  // On, whoever is inside and no member is thrown out by the moderator, and by nobody else.
  async #toggle(membersOnly) {
    const { room, client, meeting } = this;
    meeting.count.toggled++;
    room.closing += membersOnly;
    room.closings += membersOnly;
    await client.iq('set', room.jid, formSubmit({ 'muc#roomconfig_membersonly': membersOnly }));
    await Promise.all(meeting.people.map((person) => person.client.ping().catch(() => {})));
    room.closing -= membersOnly;
  }
}

// Jicofo's part: it makes the room before somebody comes, and leaves when nobody is left.
class Room {
  constructor(meeting, index) {
    Object.assign(this, { meeting, closing: 0, closings: 0, approved: new Set(), queue: Promise.resolve(), occupants: new Set() });
    this.jid = `meeting${index}@${meeting.d.muc}`;
  }

  #inTurn(work) {
    const done = this.queue.then(work);
    this.queue = done.catch(() => {});
    return done;
  }

  open() {
    return this.#inTurn(async () => {
      if (this.isOpen) return;
      this.occupants.clear();
      await this.meeting.focus.enter(this.jid, { nick: 'focus', name: 'focus' });
      this.isOpen = true;
    });
  }

  hear(el) {
    if (!el.is('presence') || bare(el.attrs.from || '') !== this.jid) return;
    if (el.attrs.from === `${this.jid}/focus`) {
      if (el.attrs.type === 'unavailable') this.isOpen = false; // of himself, or the room was empty but for him
      return;
    }
    if (el.attrs.type === 'unavailable') this.occupants.delete(el.attrs.from);
    else if (!el.attrs.type) this.occupants.add(el.attrs.from);
    if (el.attrs.type === 'unavailable' && this.occupants.size === 0) this.#inTurn(() => this.close());
  }

  async close() {
    if (!this.isOpen || this.occupants.size) return;
    const { focus } = this.meeting;
    focus.raw(`<presence xmlns='jabber:client' to='${this.jid}/focus' type='unavailable'/>`);
    await focus.ping();
  }

  // False where he left before.
  async promote(client) {
    const { focus } = this.meeting;
    const payload = `<query xmlns='${NS.admin}'><item affiliation='owner' jid='${bare(client.jid)}'/></query>`;
    this.approved.add(bare(client.jid)); // he may come back whenever he likes
    return (await focus.iq('set', this.jid, payload)).attrs.type === 'result';
  }
}

class Meeting {
  constructor(d, { ports, seed, steps, people = 18, rooms = 3 }) {
    Object.assign(this, { d, ports, seed, steps, wrong: [] });
    this.count = { joins: 0, entered: 0, waited: 0, approved: 0, toggled: 0 };
    this.rooms = Array.from({ length: rooms }, (_, i) => new Room(this, i));
    this.people = Array.from({ length: people }, (_, i) => new Person(this, i));
  }

  async run() {
    this.focus = await this.d.focus();
    this.focus.onStanza = (el) => this.rooms.forEach((room) => room.hear(el));
    for (const person of this.people) await person.connect();
    let taken = 0;
    await Promise.all(this.people.map(async (person) => {
      while (taken++ < this.steps && !this.wrong.length) await person.step();
    }));
    for (const person of this.people) if (person.at !== 'away') await person.leave();
    for (const person of this.people) await person.client.close();
    for (const room of this.rooms) {
      await this.focus.ping();
      await room.queue;
      room.occupants.clear();
      await room.close(); // where nobody came in after it was opened
    }
    return this;
  }
}

module.exports = { Meeting };
