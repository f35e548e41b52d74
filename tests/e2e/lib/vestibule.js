// Starts the program under test, and looks at its end: exit status, sanitizers, log.
'use strict';
const fs = require('node:fs');
const path = require('node:path');
const { Program } = require('./process');
const { SECRET, APP_ID } = require('./token');
const { passwords } = require('./prosody');
const { toYaml, merge } = require('./yaml');

const binary = path.resolve(process.env.VESTIBULE || path.join(__dirname, '../../../build-test/vestibule'));
const LOGGED_IN = /^\S+ INFO +\[service\] logged in|"logged in/i;
const SANITIZER = /(Address|Leak|Memory|UndefinedBehavior)Sanitizer|runtime error:|Assertion .* failed/;
const LEVEL = /^\S+ +(ERROR|WARN)\b|"level":"(error|warn)"/i;

class Vestibule {
  // place: {dir, domain, port, upstream, wrapper (words before the program's name)}; config goes over the
  // configuration every scenario has.
  constructor(place, config = {}, env = {}) {
    Object.assign(this, place);
    this.env = env;
    this.config = merge({
      listen: { address: `127.0.0.1:${this.port}`, path: '/xmpp-websocket' },
      upstream: { url: this.upstream, host: this.domain },
      xmpp: { domain: this.domain, muc: `conference.${this.domain}`, lobby: `lobby.${this.domain}`, tenants: true },
      service: { jid: `vestibule@auth.${this.domain}`, password_file: this.#file('service', passwords.vestibule) },
      token: { app_id: APP_ID, secret_file: this.#file('secret', SECRET) },
      limits: { connections: 1000 }, // what the file limit of a small machine allows
      state: { file: path.join(this.dir, 'state.db') },
      log: { level: 'info' },
    }, config);
    this.file = this.#file('vestibule.yaml', toYaml(this.config));
  }

  #file(name, text) {
    fs.mkdirSync(this.dir, { recursive: true });
    const file = path.join(this.dir, name);
    fs.writeFileSync(`${file}.new`, text, { mode: 0o600 });
    fs.renameSync(`${file}.new`, file); // never seen half written
    return file;
  }

  // isServed false: do not wait for the service account, it is not to log in.
  async start({ isServed = true } = {}) {
    const [command, ...args] = [...(this.wrapper || []), binary, '-c', this.file];
    this.program = new Program('vestibule', command, args, { env: this.env });
    await this.program.waitForLine(/listening on/);
    if (isServed) await this.program.waitForLine(LOGGED_IN);
    return this;
  }

  // As a crash: nothing is said or written any more.
  async kill() {
    this.program.signal('SIGKILL');
    await this.program.exited;
  }

  // Puts config over the configuration, for the next start or reload.
  reconfigure(config) {
    this.config = merge(this.config, config);
    this.#file('vestibule.yaml', toYaml(this.config));
  }

  // SIGHUP, with that put over the configuration; whether it was taken.
  async reload(config = {}) {
    this.reconfigure(config);
    const from = this.lines.length;
    this.program.signal('SIGHUP');
    const line = await this.waitForLog(/the configuration was read again|the old configuration stays/, { from });
    return /was read again/.test(line);
  }

  get lines() {
    return this.program.lines;
  }

  waitForLog(pattern, options) {
    return this.program.waitForLine(pattern, options);
  }

  // Stops it and says what was wrong with how it ran. expected: patterns of warnings that belong to it.
  async stop(expected = []) {
    if (!this.program) return [];
    const { code, signal } = await this.program.stop();
    const wrong = this.lines.filter((line) => SANITIZER.test(line) ||
      (LEVEL.test(line) && !expected.some((pattern) => pattern.test(line))));
    if (code !== 0) wrong.push(`vestibule ended with code ${code}, signal ${signal}`, ...this.lines.slice(-30));
    return wrong;
  }
}

module.exports = { Vestibule, binary, LOGGED_IN };
