// Streams that only ping, as thousands of browser tabs do: what one costs, and that it stays at that.
//
//   node idle.js [STREAMS [ROUNDS]]
//
// A round is one ping of each. Jitsi's clients ping each 10 s, so an hour has 360; here a round begins as soon as
// the former is answered.
'use strict';
const { Deployment } = require('../lib/deployment');
const { Light } = require('../lib/light');
const { SMALL_QUARANTINE, residentKiB, openFiles, processorMs, hardFileLimit, inParallel, soakOf, main } = require('../lib/measure');

const SPARE_FILES = 120; // of the process besides its streams
const HOUR_ROUNDS = 360;
const PONG = /^<iq[^>]* id=['"]p(\d+)['"]/;
const STALL_MS = 10000; // by then the next ping is due
const GROWTH_KIB = 1024; // what the allocator, and a sanitizer's, may still take after the first third of the rounds

class Idle {
  constructor({ streams = 10000, rounds = HOUR_ROUNDS, log }) {
    Object.assign(this, { streams, rounds, log, wrong: [], stall: 0, pings: 0, delivered: 0, duplicated: 0 });
  }

  async start() {
    const limit = hardFileLimit();
    const possible = Math.min(this.streams, Math.floor((limit - SPARE_FILES) / 2));
    if (possible < this.streams) this.log(`only ${possible} streams instead of ${this.streams}: the hard limit of open files is ${limit}, each takes two`);
    this.streams = possible;
    this.d = new Deployment({
      config: { limits: { connections: this.streams + 10, connections_per_ip: 0, handshake_timeout: '120s' } },
      env: SMALL_QUARANTINE,
    });
    await this.d.start();
    this.pid = this.d.vestibule.program.pid;
  }

  async #login() {
    const clients = Array.from({ length: this.streams }, (_, i) => {
      const client = new Light(`idle${i}`, (text) => this.#heard(client, text));
      return Object.assign(client, { answered: 0 });
    });
    let done = 0;
    await inParallel(clients, 16, async (client) => {
      await client.open({ port: this.d.ports.vestibule, host: this.d.domain });
      await client.login();
      if (++done % 1000 === 0) this.log(`${done} streams, ${residentKiB(this.pid)} KiB`);
    });
    return clients;
  }

  // Answers come in the order of the questions, each once.
  #heard(client, text) {
    const pong = PONG.exec(text);
    if (!pong) return;
    if (Number(pong[1]) <= client.answered) {
      this.duplicated++;
      return;
    }
    client.answered = Number(pong[1]);
    this.delivered++;
  }

  async #round(clients) {
    await inParallel(clients, 256, async (client) => {
      const since = Date.now();
      this.pings++;
      await client.ping().catch((error) => this.wrong.length < 10 && this.wrong.push(error.message));
      this.stall = Math.max(this.stall, Date.now() - since);
    });
  }

  async run() {
    const before = residentKiB(this.pid);
    this.clients = await this.#login();
    const resident = [residentKiB(this.pid)];
    const start = { cpu: processorMs(this.pid), at: Date.now() };
    for (let round = 0; round < this.rounds && !this.wrong.length; round++) {
      await this.#round(this.clients);
      resident.push(residentKiB(this.pid));
      if (round % 10 === 0) this.log(`round ${round}: ${resident.at(-1)} KiB`);
    }
    const cpu = processorMs(this.pid) - start.cpu;
    const quiet = await this.#quiet();
    const growth = resident.at(-1) - resident[Math.floor(resident.length / 3)];
    if (growth > GROWTH_KIB) this.wrong.push(`it grew by ${growth} KiB`);
    if (this.stall > STALL_MS) this.wrong.push(`a ping took ${this.stall} ms`);
    const closed = this.clients.filter((client) => client.isClosed).length;
    if (closed) this.wrong.push(`${closed} streams ended`);
    return {
      streams: this.streams, hours_of_pings: this.rounds / HOUR_ROUNDS, stanzas: this.pings, delivered: this.delivered,
      lost: this.pings - this.delivered, duplicated: this.duplicated,
      rooms_leaked: Object.keys(await this.d.prosody.control('rooms')).length, longest_stall_ms: this.stall,
      kib_per_stream: (resident.at(-1) - before) / this.streams, growth_kib: growth, resident_kib: resident.at(-1),
      cpu_us_per_ping: (cpu * 1000) / this.pings, cpu_share_when_quiet: quiet, wrong: this.wrong,
    };
  }

  // Nobody says anything: what the clock alone costs. Time is what is measured here.
  async #quiet() {
    const cpu = processorMs(this.pid);
    const ms = 2000;
    await new Promise((resolve) => { setTimeout(resolve, ms); });
    return (processorMs(this.pid) - cpu) / ms;
  }

  async stop() {
    // A few at a time, and until Prosody has seen it: thousands at once, and its own end, it does not survive.
    await inParallel(this.clients || [], 16, async (client) => {
      client.drop();
      await client.closed;
    });
    while (this.clients && openFiles(this.d.prosody.program.pid) > SPARE_FILES) await this.d.prosody.control('rooms');
    await this.d.stop();
  }
}

const soak = soakOf(Idle);

module.exports = { soak };

if (require.main === module) main(__filename, ([streams, rounds], log) => soak({ streams, rounds, log }));
