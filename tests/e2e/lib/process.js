// A program under test: started, its output read line by line as it comes, stopped by its pid.
'use strict';
const { spawn } = require('node:child_process');
const { within } = require('./wait');

class Program {
  // name is for messages; options.env adds to the environment.
  constructor(name, command, args, options = {}) {
    this.name = name;
    this.lines = [];
    this.waiters = new Set();
    this.child = spawn(command, args, {
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.exited = new Promise((resolve) => {
      this.child.on('error', (error) => resolve({ error }));
      // 'close' comes after the last line was read, 'exit' may come before.
      this.child.on('close', (code, signal) => resolve({ code, signal }));
    });
    this.exited.then((exit) => {
      this.exit = exit;
      for (const waiter of this.waiters) waiter.reject(this.#ended());
    });
    this.#read(this.child.stdout);
    this.#read(this.child.stderr);
  }

  get pid() {
    return this.child.pid;
  }

  #ended() {
    const how = this.exit.error ? this.exit.error.message : `code ${this.exit.code}, signal ${this.exit.signal}`;
    return new Error(`${this.name} ended (${how}):\n${this.lines.slice(-20).join('\n')}`);
  }

  #read(stream) {
    let rest = '';
    stream.setEncoding('utf8');
    stream.on('data', (text) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop();
      for (const line of lines) this.#line(line);
    });
    stream.on('end', () => rest && this.#line(rest));
  }

  #line(line) {
    this.lines.push(line);
    if (process.env.E2E_VERBOSE) process.stderr.write(`[${this.name}] ${line}\n`);
    for (const waiter of [...this.waiters]) {
      if (waiter.pattern.test(line)) {
        this.waiters.delete(waiter);
        waiter.resolve(line);
      }
    }
  }

  // The first line from index `from` on that matches, read already or still to come.
  async waitForLine(pattern, { from = 0, timeout = 15000 } = {}) {
    const known = this.lines.slice(from).find((line) => pattern.test(line));
    if (known !== undefined) return known;
    if (this.exit) throw this.#ended();
    const waiter = { pattern };
    const found = new Promise((resolve, reject) => Object.assign(waiter, { resolve, reject }));
    this.waiters.add(waiter);
    try {
      return await within(timeout, `a line of ${this.name} like ${pattern}`, found,
        () => this.lines.slice(-20).join('\n'));
    } finally {
      this.waiters.delete(waiter);
    }
  }

  signal(name) {
    if (!this.exit) this.child.kill(name);
  }

  // SIGTERM, and the exit it leads to. One that does not come is the caller's failure.
  async stop(timeout = 20000) {
    this.signal('SIGTERM');
    try {
      return await within(timeout, `${this.name} to end after SIGTERM`, this.exited,
        () => this.lines.slice(-20).join('\n'));
    } catch (error) {
      this.signal('SIGKILL');
      await this.exited;
      throw error;
    }
  }
}

module.exports = { Program };
