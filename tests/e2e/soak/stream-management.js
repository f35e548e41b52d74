// Users who count like perfect XEP-0198 peers drop their connections at random points, also between a
// request and its answer, and resume at one of two instances, one of which is killed now and then, in the
// middle of a time in which Prosody stands still.
// Every message must arrive once and in order, every refused join be answered, and every h be right.
//
//   node stream-management.js [STEPS [SEED]]
'use strict';
const path = require('node:path');
const { Deployment } = require('../lib/deployment');
const { Peer } = require('../lib/peer');
const { Vestibule } = require('../lib/vestibule');
const { soakOf } = require('../lib/measure');
const { freePorts } = require('../lib/ports');
const { randomOf } = require('../lib/random');
const { NS, joinStanza } = require('../lib/stanza');
const { token } = require('../lib/token');
const { within } = require('../lib/wait');

const FROZEN_MS = 2500;
// Prosody 0.12 keeps the half of a frame that it read of a connection last, and puts it before what comes after a
// resumption: a stanza is lost in silence then, or the session with a stream error. So it reads whole frames here,
// whatever came while it stood still.
const READ_SIZE = 262144;
const LOBBY = { hold_timeout: '400ms' }; // so that joins are refused while Prosody stands still
const EXPECTED = [/why=PROSODY_LOST/, /room request failed/, /service account is not logged in/, /Prosody cannot be reached/];

class Soak {
  constructor({ steps, seed, peers = 8, kills = Math.floor(steps / 500), log = () => {} }) {
    Object.assign(this, { steps, seed, kills, log, wanted: peers });
    this.wrong = [];
    this.wentWrong = new Promise((resolve) => { this.isWrong = resolve; });
    this.count = { stanzas: 0, delivered: 0, refused: 0, lost: 0, duplicated: 0, resumed: 0, killed: 0 };
    this.stall = 0;
    this.unanswered = 0;
  }

  async start() {
    this.d = await new Deployment({
      config: { limits: { connections_per_ip: 0 }, lobby: LOBBY },
      prosody: { PROSODY_READ_SIZE: String(READ_SIZE) },
      expect: EXPECTED,
    }).start();
    const port = (await freePorts(1))[0];
    this.second = { port, dir: this.d.folder('second') };
    await this.#startSecond();
    this.addresses = [this.d.ports.vestibule, port];
    this.room = `nowhere@${this.d.muc}`;
    this.peers = [];
    for (let i = 0; i < this.wanted; i++) this.peers.push(await this.#peer(i));
  }

  async #startSecond() {
    const { d } = this;
    this.second.vestibule = new Vestibule({ ...this.second, domain: d.domain, upstream: d.prosody.url }, { lobby: LOBBY });
    await this.second.vestibule.start();
  }

  #where(peer) {
    const { id } = peer;
    const query = new URLSearchParams({
      room: 'nowhere', token: token(this.d.domain, 'nowhere', { lobby: true }), ...(id && { previd: id }),
    });
    const port = this.addresses[peer.random(2)];
    return { url: `ws://127.0.0.1:${port}/xmpp-websocket?${query}`, headers: { Host: this.d.domain } };
  }

  async #peer(index) {
    const peer = new Peer(`peer${index}`, {
      heard: (el) => this.#heard(peer, el),
      wrong: (text) => this.#wrong(text),
      error: (el) => this.#wrong(`${peer.name}: ${el}`),
    });
    // waiting: what was sent and not answered yet, with when. next: by sender, the number to come.
    Object.assign(peer, {
      index, sent: new Map(), next: new Map(), waiting: new Map(), serial: 0, answered: new Set(),
      random: randomOf(this.seed * 1000 + index + 1),
    });
    await peer.begin(this.#where(peer), this.d.domain);
    return peer;
  }

  // Nobody waits for another any longer.
  #wrong(text) {
    this.wrong.push(text);
    this.isWrong();
  }

  #settle(sender, key) {
    const since = sender.waiting.get(key);
    if (since === undefined) return false;
    sender.waiting.delete(key);
    this.stall = Math.max(this.stall, Date.now() - since);
    if (!sender.waiting.size && sender.drained) sender.drained();
    if (--this.unanswered === 0 && this.finished) this.finished();
    return true;
  }

  #heard(peer, el) {
    const { type, id } = el.attrs;
    if (el.is('message')) this.#message(peer, el);
    else if (id === undefined || !['error', 'result'].includes(type)) this.#wrong(`${peer.name}: unasked: ${el}`);
    else if (this.#settle(peer, id)) this.count[el.is('presence') ? 'refused' : 'delivered']++;
    else if (peer.answered.has(id)) this.#again(peer, el);
    else this.#wrong(`${peer.name}: answers nothing: ${el}`);
    if (id !== undefined) peer.answered.add(id);
  }

  #again(peer, el) {
    this.count.duplicated++;
    this.#wrong(`${peer.name}: a second time: ${el}`);
  }

  #message(peer, el) {
    const [sender, number] = (el.getChildText('body') || '').split(' ').map(Number);
    const expected = peer.next.get(sender) || 0;
    this.count.delivered++;
    if (number < expected) this.#again(peer, el);
    else if (number > expected) this.#wrong(`${peer.name}: ${number} of peer${sender} came, ${expected} did not`);
    peer.next.set(sender, Math.max(expected, number + 1));
    this.#settle(this.peers[sender], `m${peer.index} ${number}`);
  }

  #await(peer, key) {
    peer.waiting.set(key, Date.now());
    this.unanswered++;
    this.count.stanzas++;
  }

  #say(peer) {
    const to = peer.random(2) ? peer : this.peers[peer.random(this.peers.length)];
    const number = peer.sent.get(to.index) || 0;
    peer.sent.set(to.index, number + 1);
    this.#await(peer, `m${to.index} ${number}`);
    peer.send(`<message xmlns='jabber:client' to='${to.jid}'><body>${peer.index} ${number}</body></message>`);
  }

  #join(peer) {
    const id = `j${++peer.serial}`;
    this.#await(peer, id);
    peer.send(joinStanza(this.room, { nick: `n${peer.index}`, name: peer.name })
      .replace('<presence ', `<presence id='${id}' `));
  }

  #ping(peer) {
    const id = `p${++peer.serial}`;
    this.#await(peer, id);
    peer.send(`<iq xmlns='jabber:client' type='get' id='${id}' to='${this.d.domain}'><ping xmlns='${NS.ping}'/></iq>`);
  }

  #anything(peer) {
    const dice = peer.random(10);
    if (dice < 6) this.#say(peer);
    else if (dice < 9) this.#join(peer);
    else this.#ping(peer);
  }

  // Until it is resumed: an instance may be down just now, or go down in the middle.
  async #resume(peer) {
    for (let attempt = 0; ; attempt++) {
      try {
        await peer.resume(this.#where(peer), this.d.domain);
        this.count.resumed++;
        return;
      } catch (error) {
        peer.drop();
        if (this.wrong.length) return;
        if (attempt > 50) throw error;
      }
    }
  }

  async #drain(peer) {
    if (!peer.waiting.size || !peer.connection) return;
    const drained = new Promise((resolve) => { peer.drained = resolve; });
    await Promise.race([drained, peer.connection.closed, this.wentWrong]);
    peer.drained = null;
  }

  async #step(peer) {
    if (this.frozen) await this.frozen;
    if (!peer.isUp) {
      await this.#resume(peer);
      return;
    }
    const dice = peer.random(100);
    if (dice < 45) {
      this.#anything(peer);
    } else if (dice < 60) {
      for (let i = peer.random(6); i >= 0; i--) this.#anything(peer);
    } else if (dice < 65) {
      peer.ask();
      peer.acknowledge();
    } else if (dice < 75) {
      await this.#drain(peer);
    } else if (dice < 85) {
      await this.#resume(peer); // the old connection is left half open
    } else {
      for (let i = peer.random(4); i > 0; i--) this.#anything(peer);
      peer.drop();
      await this.#resume(peer);
    }
    // The others and the network go on.
    await new Promise((resolve) => { setImmediate(resolve); });
  }

  async #walk(peer) {
    while (this.taken < this.steps && !this.wrong.length) {
      this.taken++;
      if (this.taken % 1000 === 0) this.log(`${this.taken} steps, ${JSON.stringify(this.count)}`);
      const due = Math.floor((this.taken * (this.kills + 1)) / this.steps);
      if (this.killed < due && this.killed < this.kills) {
        this.killed++;
        this.killing = this.killing.then(() => this.#kill());
      }
      await this.#step(peer);
    }
  }

  // Longer than anything would be answered without Prosody, to which some joins come behind messages for
  // those who join. Nobody goes elsewhere meanwhile.
  async #kill() {
    const { program } = this.second.vestibule;
    const prosody = this.d.prosody.program;
    let thawed;
    this.frozen = new Promise((resolve) => { thawed = resolve; });
    prosody.signal('SIGSTOP');
    for (const peer of this.peers) {
      this.#join(peer);
      for (let i = 0; i < 4; i++) this.#say(peer);
    }
    await new Promise((resolve) => { setTimeout(resolve, FROZEN_MS); });
    program.signal('SIGKILL');
    await program.exited;
    prosody.signal('SIGCONT');
    this.frozen = null;
    thawed();
    await this.#startSecond();
    this.count.killed++;
  }

  // Everybody stays until everybody has what he waits for.
  async #finish(peer, finished) {
    while (this.unanswered && !this.wrong.length) {
      if (peer.isUp) await Promise.race([finished, peer.connection.closed, this.wentWrong]);
      else await this.#resume(peer);
    }
  }

  // What it measured; wrong is empty when all was well.
  async run() {
    this.taken = 0;
    this.killed = 0;
    this.killing = Promise.resolve();
    this.frozen = null;
    await Promise.all(this.peers.map((peer) => this.#walk(peer)));
    await this.killing;
    const finished = new Promise((resolve) => { this.finished = resolve; });
    await within(30000, 'the last answers', Promise.all(this.peers.map((peer) => this.#finish(peer, finished))), () => this.peers
      .map((peer) => `${peer.name}: ${[...peer.waiting.keys()].slice(0, 5)}`).join('\n'))
      .catch((error) => this.wrong.push(error.message));
    for (const peer of this.peers) this.count.lost += peer.waiting.size;
    const rooms = Object.keys(await this.d.prosody.control('rooms')).length;
    return { steps: this.taken, seed: this.seed, ...this.count, rooms_leaked: rooms, longest_stall_ms: this.stall, wrong: this.wrong };
  }

  async stop() {
    for (const peer of this.peers || []) peer.drop();
    const complaints = this.second && this.second.vestibule ? await this.second.vestibule.stop(EXPECTED) : [];
    if (this.d) await this.d.stop();
    if (complaints.length) throw new Error(complaints.join('\n'));
  }
}

const soak = soakOf(Soak);

module.exports = { soak };

if (require.main === module) {
  const [steps = 10000, seed = 1] = process.argv.slice(2).map(Number);
  soak({ steps, seed, log: (text) => console.log(`${path.basename(__filename)}: ${text}`) }).then((measured) => {
    console.log(JSON.stringify(measured, null, 2));
    if (measured.wrong.length || measured.lost || measured.rooms_leaked) process.exitCode = 1;
  }, (error) => {
    console.error(error);
    process.exitCode = 1;
  });
}
