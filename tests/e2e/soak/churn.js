// Users who come, join, talk, leave, break off and resume, over and over, as fast as the machine does it: after
// the first part of the run the process must not grow, and at its end nothing of all that may be left.
//
//   node churn.js [SECONDS [SEED]]
'use strict';
const { Deployment } = require('../lib/deployment');
const { residentKiB, openFiles, SMALL_QUARANTINE, main } = require('../lib/measure');

const GROWTH = 0.05; // of its memory, from the first third of the run to the end
const ROOMS = 4;
const ROOM_MS = 8000; // for so long people come to a room; what is known of them goes with it
const BROKEN_OFF = [/why=(PEER_GONE|PROSODY_LOST)/];

function randomOf(seed) {
  let state = seed;
  return (below) => {
    state = (state * 48271) % 2147483647;
    return state % below;
  };
}

class Churn {
  constructor({ seconds, seed, users, log }) {
    Object.assign(this, { seconds, seed, users, log, wrong: [], memory: [], stall: 0 });
    this.count = { cycles: 0, joins: 0, lobby: 0, resumed: 0, dropped: 0, stanzas: 0, delivered: 0, lost: 0, duplicated: 0 };
  }

  async start() {
    // A session that is not resumed ends soon, in Prosody as here, so that there is an end to see.
    this.d = new Deployment({
      config: { limits: { connections_per_ip: 0 } }, env: SMALL_QUARANTINE, expect: BROKEN_OFF,
      prosody: { SMACKS_HIBERNATION: '2' },
    });
    await this.d.start();
    this.pid = this.d.vestibule.program.pid;
    this.files = openFiles(this.pid);
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

  // Something said to oneself comes back, once.
  async #talk(client) {
    const before = client.received.length;
    const since = Date.now();
    const body = `n${this.count.stanzas++}`;
    client.raw(`<message xmlns='jabber:client' to='${client.jid}'><body>${body}</body></message>`);
    await client.waitFor(body, (el) => el.is('message') && el.getChildText('body') === body, 20000);
    this.count.delivered++;
    this.stall = Math.max(this.stall, Date.now() - since);
    const times = client.received.slice(before).filter(({ el }) => el.getChildText('body') === body).length;
    this.count.duplicated += times - 1;
  }

  async #cycle(random) {
    const { d } = this;
    const isAsker = random(3) === 0;
    const room = this.rooms[random(this.rooms.length)];
    let client = await d.connect({ room, via: 'vestibule', as: isAsker ? { lobby: true } : {}, name: 'churn' });
    const resumes = random(2) === 0;
    if (resumes) await client.enableResumption();
    const came = await client.join(room);
    this.count.joins++;
    if (came.lobby && isAsker) this.count.lobby++;
    else if (isAsker || !came.entered) this.wrong.push(`${isAsker ? 'lobby' : 'plain'}: ${came.el}`);
    if (came.lobby && random(2)) await client.enter(came.lobby);
    await this.#talk(client);
    if (resumes) {
      await client.drop();
      this.count.dropped++;
      if (random(3) === 0) return; // never comes back
      client = await d.connect({ room, via: 'vestibule', as: isAsker ? { lobby: true } : {}, resumes: client, name: 'churn' });
      this.count.resumed++;
      await this.#talk(client);
    }
    if (random(4) === 0) await client.drop();
    else await client.close();
  }

  async #user(index, until) {
    const random = randomOf(this.seed * 1000 + index + 1);
    while (Date.now() < until && !this.wrong.length) {
      await this.#cycle(random).catch((error) => this.wrong.push(error.stack));
      this.d.clients.length = 0;
      this.count.cycles++;
    }
  }

  async run() {
    const start = Date.now();
    const sampler = setInterval(() => {
      this.memory.push(residentKiB(this.pid));
      if (this.memory.length % 20 === 0) this.log(`${this.count.cycles} cycles, ${this.memory.at(-1)} KiB`);
    }, 1000);
    const turns = setInterval(() => this.#turnOver().catch((error) => this.wrong.push(error.stack)), ROOM_MS);
    try {
      await Promise.all(Array.from({ length: this.users }, (_, i) => this.#user(i, start + this.seconds * 1000)));
    } finally {
      clearInterval(sampler);
      clearInterval(turns);
    }
    const left = await this.#end();
    const early = Math.max(...this.memory.slice(0, Math.ceil(this.memory.length / 3)));
    const late = Math.max(...this.memory);
    if (late > early * (1 + GROWTH) + 1024) this.wrong.push(`it grew from ${early} to ${late} KiB`);
    return {
      seconds: this.seconds, users: this.users, ...this.count, rooms_leaked: left, longest_stall_ms: this.stall,
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

async function soak({ seconds = 180, seed = 1, users = 12, log = () => {} } = {}) {
  const run = new Churn({ seconds, seed, users, log });
  try {
    await run.start();
    return await run.run();
  } finally {
    await run.stop();
  }
}

module.exports = { soak };

if (require.main === module) main(__filename, ([seconds, seed], log) => soak({ seconds, seed, log }));
