// A storm of joins: users who ask for the lobby and users who do not come to many rooms within seconds,
// and then to one. Each must get what his token asks for, by no more questions to Prosody than that
// takes, and the memory it took must come back.
//
// What comes into one room costs Prosody the square of it: it tells everyone of everyone. Where it cannot keep
// up for longer than a join may be held, a plain user meets the lobby at last (out_of_time). So the storm into
// one room grows, and each of its sizes comes to Prosody itself too, with a lobby that a moderator turned on and
// a module that makes plain users members as they join: whoever is served in time there is to be served in
// time through Vestibule. Beyond what Prosody can do alone, only the whole storm comes once more.
//
//   node storm.js [USERS [ROOMS [SECONDS]]]
'use strict';
const { Deployment } = require('../lib/deployment');
const { Light } = require('../lib/light');
const { joinStanza, formSubmit } = require('../lib/stanza');
const { token } = require('../lib/token');
const { residentKiB, processorMs, SMALL_QUARANTINE, percentile, inParallel, soakOf, main } = require('../lib/measure');

// A form and three lists, the submit, the form again; and again for each lobby user who comes before anybody is
// inside who would see a change.
const REQUESTS_A_ROOM = 10;

const HOLD_LIMIT_MS = 15000;
// A plain user's membership waits in Prosody's queue before his join does, where a plugin has one wait for both. So
// who waits for more than half the time with Prosody alone is not promised to be in time.
const AT_EASE_MS = HOLD_LIMIT_MS / 2;
// Of Prosody under more than it can do; alone, too.
const OVERLOAD = [/was not answered in time/, /service account is not logged in: (Prosody (does|did) not answer|the peer did not answer)/];

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
  constructor({ users = 1000, rooms = 100, seconds = 10, log }) {
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

  async #login(users = this.users, port = this.d.ports.vestibule) {
    for (const user of this.people || []) user.drop();
    this.people = Array.from({ length: users }, (_, i) => new User(this, i));
    await inParallel(this.people, 32, async (user) => {
      const query = `token=${token(this.d.domain, '*', user.isAsker ? { lobby: true } : {})}`;
      await user.open({ port, host: this.d.domain, query });
      await user.login();
    });
    this.everybody.push(...this.people);
  }

  // About rooms: the service account's own pings are no part of it.
  async #asked() {
    const counts = await this.d.prosody.control('asked', { jid: this.d.service });
    return Object.entries(counts).reduce((sum, [what, count]) => sum + (what.includes('/muc#') ? count : 0), 0);
  }

  // As a plugin inside Prosody would have it.
  async #turnOn(room, focus) {
    const moderator = await this.d.connect({ room, name: 'moderator', as: {}, via: 'prosody' });
    await moderator.enter(room);
    await focus.makeModerator(room, moderator);
    await moderator.iq('set', room, formSubmit({ 'muc#roomconfig_membersonly': '1', 'muc#roomconfig_whois': 'anyone' }));
    await moderator.leave(room);
  }

  // Spread over the time as a storm is; the wait is what makes it one.
  async #run(name, rooms, seconds, { isBare = false } = {}) {
    const pid = this.d.vestibule.program.pid;
    const focus = await this.d.focus();
    for (const room of rooms) {
      await focus.createRoom(room);
      focus.received.length = 0;
    }
    if (isBare) await this.#turnOn(rooms[0], focus);
    focus.onStanza = () => { focus.received.length = 0; };
    await this.d.prosody.control('members', { is: isBare ? 'on' : 'off' });
    const trafficBefore = await this.d.prosody.control('traffic');
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
    const traffic = await this.d.prosody.control('traffic');
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
    const waited = (ms) => this.people.filter((user) => !user.isAsker && user.took >= ms).length;
    const told = {
      users: this.people.length, all_settled_ms: all, out_of_time: outOfTime, late: waited(HOLD_LIMIT_MS),
      not_at_ease: waited(AT_EASE_MS), prosody_stanzas: traffic.stanzas_out - trafficBefore.stanzas_out, service_stanzas: asked, service_stanzas_allowed: allowed, peak_kib: peak, ...Object.fromEntries(used),
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

  // Anew each time: a JID that was nowhere yet needs no look at what it may do.
  async #stepOf(users, isBare) {
    await this.#login(users, isBare ? this.d.ports.prosody : this.d.ports.vestibule);
    const end = Date.now() + 60000; // it may have been lost while Prosody had too much to do
    while (!(await this.d.prosody.control('sessions', { jid: this.d.service })) && Date.now() < end);
    const name = isBare ? 'bare' : 'crowd';
    const told = await this.#run(`one room, ${isBare ? 'Prosody alone' : 'Vestibule'}`, [`${name}${users}@${this.d.muc}`], this.seconds, { isBare });
    this.#lose();
    return told;
  }

  // Gives what the whole storm was through Vestibule.
  async #oneRoom() {
    const sizes = [8, 4, 2, 1].map((part) => 2 * Math.round(this.users / part / 2));
    this.steps = [];
    this.largest = 0;
    for (const users of sizes) {
      const bare = await this.#stepOf(users, true);
      const vestibule = await this.#stepOf(users, false);
      this.steps.push({ users, bare, vestibule });
      if (vestibule.late > bare.not_at_ease) {
        this.wrong.push(`one room, ${users} users: ${vestibule.late} plain users waited too long, ${bare.not_at_ease} with Prosody alone`);
      }
      if (users === this.users) this.largest = bare.late ? this.largest : users;
      if (users === this.users) return vestibule;
      if (bare.late) break;
      this.largest = users;
    }
    return this.#stepOf(this.users, false);
  }

  #lose() {
    this.lost = (this.lost || 0) + this.people.filter((user) => user.isClosed || !user.outcome).length;
  }

  async run() {
    const many = Array.from({ length: this.rooms }, (_, i) => `storm${i}@${this.d.muc}`);
    const spread = await this.#run('many rooms', many, this.seconds);
    this.#lose();
    const one = await this.#oneRoom();
    await inParallel(this.people, 100, (user) => user.ping());
    const after = residentKiB(this.d.vestibule.program.pid);
    const sent = this.everybody.reduce((sum, user) => sum + user.sent, 0);
    const got = this.everybody.reduce((sum, user) => sum + user.got, 0);
    this.#lose();
    return {
      users: this.users, stanzas: sent, delivered: got, lost: this.lost, duplicated: this.duplicated, rooms_leaked: this.leaked,
      longest_stall_ms: Math.max(...[spread, one].flatMap((run) => [run.lobby_p100_ms, run.plain_p100_ms])),
      largest_served_by_prosody: this.largest, many_rooms: spread, one_room: one, steps: this.steps,
      base_kib: this.base, after_kib: after, wrong: this.wrong.slice(0, 20),
    };
  }

  async stop() {
    for (const user of this.people || []) user.drop();
    await this.d.stop();
  }
}

const soak = soakOf(Storm);

module.exports = { soak };

if (require.main === module) main(__filename, ([users, rooms, seconds], log) => soak({ users, rooms, seconds, log }));
