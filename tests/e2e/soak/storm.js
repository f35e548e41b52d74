// A storm of joins: users who ask for the lobby and users who do not come to many rooms within seconds,
// and then all of them to one. Each must get what his token asks for, by no more questions to Prosody
// than that takes, and the memory it took must come back. Where Prosody itself cannot keep up for longer than
// a join may be held, a plain user meets the lobby at last; how many did is told (out_of_time).
//
//   node storm.js [USERS [ROOMS [SECONDS]]]
'use strict';
const { Deployment } = require('../lib/deployment');
const { Light } = require('../lib/light');
const { joinStanza } = require('../lib/stanza');
const { token } = require('../lib/token');
const { residentKiB, processorMs, SMALL_QUARANTINE, percentile, inParallel, main } = require('../lib/measure');

// A form and three lists, the submit, the form again; and again where a lobby user comes while the change is announced
// to one after the other, as each announcement could be of another change.
const REQUESTS_A_ROOM = 10;

const HOLD_LIMIT_MS = 15000;
const OVERLOAD = [/was not answered in time/];

class User extends Light {
  constructor(storm, index) {
    super(`user${index}`, (text) => this.#heard(text));
    Object.assign(this, { storm, index, isAsker: index % 2 === 0, nick: `n${index}` });
  }

  #heard(text) {
    if (!this.room || !text.startsWith('<presence')) return;
    const from = /\sfrom=['"]([^'"]*)['"]/.exec(text);
    if (!from || !from[1].startsWith(this.room)) return;
    if (/\stype=['"]error['"]/.test(text)) this.#came(/<lobbyroom/.test(text) ? 'lobby' : text);
    else if (from[1] !== `${this.room}/${this.nick}`) return;
    else if (/\stype=['"]unavailable['"]/.test(text)) this.#left(text);
    else if (!this.outcome) this.#came('inside');
  }

  #came(outcome) {
    if (this.outcome) this.storm.duplicated++;
    this.outcome = outcome;
    this.took = Date.now() - this.since;
    this.settled();
  }

  #left(text) {
    if (!this.isLeaving) this.storm.wrong.push(`${this.name} was thrown out: ${text}`);
    else this.gone();
  }

  join(room) {
    Object.assign(this, { room, outcome: null, isLeaving: false, since: Date.now() });
    const settled = new Promise((resolve) => { this.settled = resolve; });
    this.closed.then(() => this.settled());
    this.send(joinStanza(room, { nick: this.nick, name: this.name }));
    return settled;
  }

  async leave() {
    if (this.outcome === 'inside' && !this.isClosed) {
      const gone = new Promise((resolve) => { this.gone = resolve; });
      this.isLeaving = true;
      this.send(`<presence xmlns='jabber:client' to='${this.room}/${this.nick}' type='unavailable'/>`);
      await Promise.race([gone, this.closed]);
    }
    this.room = null;
  }
}

class Storm {
  constructor({ users, rooms, seconds, log }) {
    Object.assign(this, { users, rooms, seconds, log, wrong: [], duplicated: 0, everybody: [] });
  }

  async start() {
    this.d = new Deployment({
      config: { limits: { connections: this.users + 10, connections_per_ip: 0 }, lobby: { hold_timeout: '15s' } },
      env: SMALL_QUARANTINE, expect: OVERLOAD,
    });
    await this.d.start();
    await this.#login();
    this.base = residentKiB(this.d.vestibule.program.pid);
    this.log(`${this.users} users are logged in, ${this.base} KiB`);
  }

  async #login() {
    for (const user of this.people || []) user.drop();
    this.people = Array.from({ length: this.users }, (_, i) => new User(this, i));
    await inParallel(this.people, 32, async (user) => {
      const query = `token=${token(this.d.domain, '*', user.isAsker ? { lobby: true } : {})}`;
      await user.open({ port: this.d.ports.vestibule, host: this.d.domain, query });
      await user.login();
    });
    this.everybody.push(...this.people);
  }

  // About rooms: the service account's own pings are no part of it.
  async #asked() {
    const counts = await this.d.prosody.control('asked', { jid: this.d.service });
    return Object.entries(counts).reduce((sum, [what, count]) => sum + (what.includes('/muc#') ? count : 0), 0);
  }

  // Spread over the time as a storm is; the wait is what makes it one.
  async #run(name, rooms, seconds) {
    const pid = this.d.vestibule.program.pid;
    const focus = await this.d.focus();
    for (const room of rooms) {
      await focus.createRoom(room);
      focus.received.length = 0;
    }
    focus.onStanza = () => { focus.received.length = 0; };
    const askedBefore = await this.#asked();
    const programs = { vestibule: pid, prosody: this.d.prosody.program.pid };
    const cpu = Object.entries(programs).map(([name, id]) => [`${name}_cpu_ms`, processorMs(id)]);
    const start = Date.now();
    await Promise.all(this.people.map(async (user, i) => {
      await new Promise((resolve) => { setTimeout(resolve, (i / this.people.length) * seconds * 1000); });
      await user.join(rooms[(i >> 1) % rooms.length]);
    }));
    const all = Date.now() - start;
    const peak = residentKiB(pid);
    const used = cpu.map(([key, before], i) => [key, processorMs(Object.values(programs)[i]) - before]);
    const asked = (await this.#asked()) - askedBefore;
    let outOfTime = 0;
    for (const user of this.people) {
      if (user.outcome === (user.isAsker ? 'lobby' : 'inside')) continue;
      if (!user.isAsker && user.outcome === 'lobby' && user.took >= HOLD_LIMIT_MS) outOfTime++;
      else this.wrong.push(`${name}: ${user.name}: ${user.outcome}`);
    }
    const plain = this.people.filter((user) => !user.isAsker).length;
    const allowed = rooms.length * REQUESTS_A_ROOM + plain;
    if (asked > allowed) this.wrong.push(`${name}: Prosody was asked ${asked} times, where ${allowed} do`);
    const times = (isAsker) => this.people.filter((user) => user.isAsker === isAsker).map((user) => user.took);
    const told = {
      all_settled_ms: all, out_of_time: outOfTime, service_stanzas: asked, service_stanzas_allowed: allowed, peak_kib: peak, ...Object.fromEntries(used),
      ...Object.fromEntries([['lobby', true], ['plain', false]].flatMap(([kind, isAsker]) => [0.5, 0.99, 1].map((share) =>
        [`${kind}_p${share * 100}_ms`, percentile(times(isAsker), share)]))),
    };
    this.log(`${name}: ${JSON.stringify(told)}`);
    await this.#end(rooms, focus);
    return told;
  }

  async #end(rooms, focus) {
    await inParallel(this.people, 100, (user) => user.leave());
    focus.onStanza = undefined;
    for (const room of rooms) focus.raw(`<presence xmlns='jabber:client' to='${room}/focus' type='unavailable'/>`);
    await focus.ping();
    const end = Date.now() + 20000;
    let left;
    do left = Object.keys(await this.d.prosody.control('rooms')).length;
    while (left && Date.now() < end);
    this.leaked = left;
    if (left) this.wrong.push(`${left} rooms are left`);
  }

  #lose() {
    this.lost = (this.lost || 0) + this.people.filter((user) => user.isClosed || !user.outcome).length;
  }

  async run() {
    const many = Array.from({ length: this.rooms }, (_, i) => `storm${i}@${this.d.muc}`);
    const spread = await this.#run('many rooms', many, this.seconds);
    this.#lose();
    await this.#login(); // a JID that was nowhere yet needs no look at what it may do
    const one = await this.#run('one room', [`crowd@${this.d.muc}`], this.seconds);
    await inParallel(this.people, 100, (user) => user.ping());
    const after = residentKiB(this.d.vestibule.program.pid);
    const sent = this.everybody.reduce((sum, user) => sum + user.sent, 0);
    const got = this.everybody.reduce((sum, user) => sum + user.got, 0);
    this.#lose();
    return {
      users: this.users, stanzas: sent, delivered: got, lost: this.lost, duplicated: this.duplicated, rooms_leaked: this.leaked,
      longest_stall_ms: Math.max(spread.lobby_p100_ms, spread.plain_p100_ms, one.lobby_p100_ms, one.plain_p100_ms),
      many_rooms: spread, one_room: one, base_kib: this.base, after_kib: after, wrong: this.wrong.slice(0, 20),
    };
  }

  async stop() {
    for (const user of this.people || []) user.drop();
    await this.d.stop();
  }
}

async function soak({ users = 1000, rooms = 100, seconds = 10, log = () => {} } = {}) {
  const run = new Storm({ users, rooms, seconds, log });
  try {
    await run.start();
    return await run.run();
  } finally {
    await run.stop();
  }
}

module.exports = { soak };

if (require.main === module) main(__filename, ([users, rooms, seconds], log) => soak({ users, rooms, seconds, log }));
