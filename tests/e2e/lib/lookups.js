// Names ending in .test as Vestibule looks them up, answered here when the test says so: through
// ../shims/lookup.c, which the build makes beside the program.
'use strict';
const { once } = require('node:events');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const { within } = require('./wait');
const { binary } = require('./vestibule');

const shim = path.join(path.dirname(binary), 'tests/e2e/shims/lookup.so');

class Lookups {
  // Why there can be none; '' where they can.
  static get reason() {
    return fs.existsSync(shim) ? '' : `the build has no ${shim}`;
  }

  // Held until release(); folder: where the socket goes.
  constructor(folder) {
    this.path = path.join(folder, 'lookups');
    this.waiting = []; // sockets, in the order they came
    this.asked = 0;
    this.address = null;
    this.waiters = new Set();
    this.server = net.createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => {
        this.asked++;
        if (this.address) socket.end(this.address);
        else this.waiting.push(socket);
        for (const waiter of this.waiters) waiter();
      });
    });
  }

  async start() {
    this.server.listen(this.path);
    await once(this.server, 'listening');
    return this;
  }

  // For a Vestibule that asks here.
  get env() {
    return {
      LOOKUPS: this.path, LD_PRELOAD: shim,
      ASAN_OPTIONS: [process.env.ASAN_OPTIONS, 'verify_asan_link_order=0'].filter(Boolean).join(':'),
    };
  }

  // Until so many are looked up at this moment.
  held(count) {
    let look;
    return within(10000, `${count} names to be looked up`, new Promise((resolve) => {
      look = () => { if (this.waiting.length >= count) resolve(); };
      this.waiters.add(look);
      look();
    }), () => `${this.waiting.length} are`).finally(() => this.waiters.delete(look));
  }

  // From now on no name is answered.
  hold() {
    this.address = null;
  }

  // Those who wait have that address, and who comes later; null: there is no such name, for those who wait.
  release(address = '127.0.0.1') {
    this.address = address;
    for (const socket of this.waiting.splice(0)) socket.end(address ?? undefined);
  }

  async stop() {
    this.release(null);
    await new Promise((resolve) => this.server.close(resolve));
  }
}

module.exports = { Lookups };
