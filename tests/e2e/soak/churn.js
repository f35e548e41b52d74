// Users who come, join, talk, leave, break off and resume, over and over, as fast as the machine does it, until
// they did as much of each as in an hour of a busy deployment: after the first part of the run the process must
// not grow, and at its end nothing of all that may be left.
//
//   node churn.js [HOURS [SEED]]
'use strict';
const { Deployment } = require('../lib/deployment');
const { residentKiB, openFiles, SMALL_QUARANTINE, soakOf, main } = require('../lib/measure');
const { randomOf } = require('../lib/random');

// An hour of 800 meetings that five people join each. One in three is sent to the lobby; one in three loses his
// network on the way and goes on with his session, one in three loses it for good, the others leave.
const HOUR = { connects: 5200, joins: 4000, lobby: 1200, leaves: 2400, drops: 2600, resumes: 1300 };
const HOUR_LIMIT_S = 900; // in which the machine must have done that
const GROWTH = 0.05; // of its memory, from the first third of the run to the end
const ROOMS = 4;
const ROOM_MS = 8000; // for so long people come to a room; what is known of them goes with it
const STALL_MS = 10000; // of a join or a message, with all at once on a machine that is busy with other things
const BROKEN_OFF = [/why=(PEER_GONE|PROSODY_LOST)/];

class Churn {
  constructor({ hours = 1, seed = 1, users = 12, log }) {
    Object.assign(this, { hours, seed, users, log, wrong: [], memory: [], stall: 0 });
    this.wanted = Object.fromEntries(Object.entries(HOUR).map(([what, times]) => [what, Math.ceil(times * hours)]));
    this.done = Object.fromEntries(Object.keys(HOUR).map((what) => [what, 0]));
    this.count = { cycles: 0, stanzas: 0, delivered: 0, lost: 0, duplicated: 0 };
  }

  get isDone() {
    return Object.entries(this.wanted).every(([what, times]) => this.done[what] >= times);
  }

  async start() {
    // A session that is not resumed ends soon, in Prosody as here, so that there is an end to see.
    this.d = new Deployment({
      config: { limits: { connections_per_ip: 0 } }, env: SMALL_QUARANTINE, expect: BROKEN_OFF,
      prosody: { SMACKS_HIBERNATION: '2' },
    });
    await this.d.start();
    this.pid = this.d.vestibule.program.pid;
    this.files = openFiles(this.pid) + 1; // and what stands behind the descriptors that are kept
    this.focus = await this.d.focus();
    this.generation = 0;
    [this.former, this.rooms] = [[], await this.#openRooms()];
  }

  async #openRooms() {
    this.generation++;
    const rooms = [];
    for (let i = 0; i < ROOMS; i++) rooms.push(await this.d.room(`churn${this.generation}x${i}`));
    this.focus.received.length = 0;
    return rooms;
  }

  #leave(rooms) {
    for (const room of rooms) this.focus.raw(`<presence xmlns='jabber:client' to='${room}/focus' type='unavailable'/>`);
  }

  // New rooms for old; the old ones stay open until all who were on their way have come and gone.
  async #turnOver() {
    const rooms = await this.#openRooms();
    this.#leave(this.former);
    [this.former, this.rooms] = [this.rooms, rooms];
  }

  async #connect(options) {
    this.done.connects++;
    return this.d.connect({ via: 'vestibule', name: 'churn', ...options });
  }

  // Says something to himself, on this connection.
  #say(client, said) {
    const body = `n${this.count.stanzas++}`;
    said.set(body, { since: Date.now(), times: 0 });
    client.raw(`<message xmlns='jabber:client' to='${client.jid}'><body>${body}</body></message>`);
  }

  #listen(client, said) {
    const hear = (el) => {
      const one = el.is('message') && said.get(el.getChildText('body'));
      if (!one) return;
      one.times++;
      if (one.times > 1) return;
      this.count.delivered++;
      this.stall = Math.max(this.stall, Date.now() - one.since);
    };
    for (const { el } of client.received) hear(el); // with the resumption itself
    client.onStanza = hear;
  }

  // All that was said is here, on whichever connection, and once: Prosody has read all of it at the first pong,
  // and what it sent then is here at the second.
  async #account(client, said) {
    await client.ping();
    await client.ping();
    for (const [body, { times }] of said) {
      if (times === 0) this.count.lost++;
      if (times > 1) this.count.duplicated += times - 1;
      if (times !== 1) this.wrong.push(`${body} came ${times} times`);
    }
  }

  async #join(client, room, isAsker) {
    const since = Date.now();
    const came = await client.join(room);
    this.done.joins++;
    this.stall = Math.max(this.stall, Date.now() - since);
    if (came.lobby && isAsker) this.done.lobby++;
    else if (isAsker || !came.entered) this.wrong.push(`${isAsker ? 'lobby' : 'plain'}: ${came.el}`);
    if (came.lobby && isAsker) await client.enter(came.lobby);
    return came.lobby || room;
  }

  async #cycle(random) {
    const isAsker = random(3) === 0;
    const room = this.rooms[random(this.rooms.length)];
    const as = isAsker ? { lobby: true } : {};
    const said = new Map();
    let client = await this.#connect({ room, as });
    this.#listen(client, said);
    const resumes = random(2) === 0;
    if (resumes) await client.enableResumption();
    const place = await this.#join(client, room, isAsker);
    this.#say(client, said);
    if (resumes) {
      const comesBack = random(3) !== 0;
      if (comesBack) this.#say(client, said); // on its way when the network goes
      else await this.#account(client, said);
      await client.drop();
      this.done.drops++;
      if (!comesBack) return;
      client = await this.#connect({ room, as, resumes: client });
      this.#listen(client, said);
      this.done.resumes++;
      this.#say(client, said);
    }
    await this.#account(client, said);
    if (random(4) === 0) {
      await client.drop();
      this.done.drops++;
      return;
    }
    if (random(3) !== 0) await client.leave(place); // else he only closes his browser
    this.done.leaves++;
    await client.close();
  }

  async #user(index, until) {
    const random = randomOf(this.seed * 1000 + index + 1);
    while (!this.isDone && Date.now() < until && !this.wrong.length) {
      await this.#cycle(random).catch((error) => this.wrong.push(error.stack));
      this.d.clients.length = 0;
      this.count.cycles++;
    }
  }

  async run() {
    const start = Date.now();
    const limit = HOUR_LIMIT_S * 1000 * Math.max(this.hours, 0.05);
    const sampler = setInterval(() => {
      this.memory.push(residentKiB(this.pid));
      if (this.memory.length % 20 === 0) this.log(`${this.count.cycles} cycles, ${this.memory.at(-1)} KiB`);
    }, 1000);
    const turns = setInterval(() => this.#turnOver().catch((error) => this.wrong.push(error.stack)), ROOM_MS);
    try {
      await Promise.all(Array.from({ length: this.users }, (_, i) => this.#user(i, start + limit)));
    } finally {
      clearInterval(sampler);
      clearInterval(turns);
    }
    const seconds = Math.round((Date.now() - start) / 1000);
    if (!this.isDone) this.wrong.push(`in ${seconds} s it did not come to what was wanted: ${JSON.stringify(this.done)} of ${JSON.stringify(this.wanted)}`);
    if (this.stall > STALL_MS) this.wrong.push(`a stanza took ${this.stall} ms`);
    const left = await this.#end();
    const early = Math.max(...this.memory.slice(0, Math.ceil(this.memory.length / 3)));
    const late = Math.max(...this.memory);
    if (late > early * (1 + GROWTH) + 1024) this.wrong.push(`it grew from ${early} to ${late} KiB`);
    return {
      hours: this.hours, seconds, users: this.users, wanted: this.wanted, done: this.done, ...this.count, rooms_leaked: left, longest_stall_ms: this.stall,
      early_kib: early, late_kib: late, end_kib: residentKiB(this.pid), files_left: openFiles(this.pid) - this.files, wrong: this.wrong.slice(0, 10),
    };
  }

  // Everybody is gone, focus goes too: connections, sessions and rooms must end by themselves.
  async #end() {
    this.#leave([...this.former, ...this.rooms]);
    await this.focus.ping();
    const until = Date.now() + 90000;
    let rooms, files;
    do {
      rooms = Object.keys(await this.d.prosody.control('rooms')).length;
      files = openFiles(this.pid);
    } while ((rooms || files > this.files) && Date.now() < until);
    if (files > this.files) this.wrong.push(`${files - this.files} connections are left`);
    return rooms;
  }

  // What is left then, the sanitizer and the assertions at the end say.
  async stop() {
    await this.d.stop();
  }
}

const soak = soakOf(Churn);

module.exports = { soak };

if (require.main === module) main(__filename, ([hours, seed], log) => soak({ hours, seed, log }));
