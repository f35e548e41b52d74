// Starts the Prosody of tests/prosody, with the project's stand-ins or with Jitsi's own modules.
'use strict';
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { Program } = require('./process');
const { SECRET, APP_ID } = require('./token');

const folder = path.resolve(__dirname, '../../prosody');
const passwords = { vestibule: 'service-password', focus: 'focus-password', jvb: 'jvb-password' };
const plugins = process.env.JITSI_PLUGINS ? path.resolve(process.env.JITSI_PLUGINS) : '';

class Prosody {
  // place: {dir, domain, port, tlsPort, tls: {certificate, key}}; env overrides the configuration's.
  constructor(place, env = {}) {
    Object.assign(this, place);
    fs.mkdirSync(this.dir, { recursive: true });
    this.env = {
      XMPP_DOMAIN: this.domain,
      PROSODY_DATA: this.dir,
      PROSODY_MODULES: path.join(folder, 'modules'),
      PROSODY_TEST_MODULES: 'test_echo,test_control,test_http',
      PROSODY_HTTP_PORT: String(this.port),
      PROSODY_HTTPS_PORT: this.tls ? String(this.tlsPort) : '',
      ...(this.tls && { PROSODY_CERTIFICATE: this.tls.certificate, PROSODY_KEY: this.tls.key }),
      JITSI_PLUGINS: plugins,
      SHARD: 'shard-1',
      JWT_APP_ID: APP_ID,
      JWT_APP_SECRET: SECRET,
      SERVICE_PASSWORD: passwords.vestibule,
      FOCUS_PASSWORD: passwords.focus,
      JVB_AUTH_PASSWORD: passwords.jvb,
      ...env,
    };
  }

  async start() {
    this.program = new Program('prosody', 'prosody', ['-F', '--config', path.join(folder, 'prosody.cfg.lua')],
      { env: this.env });
    await this.program.waitForLine(/Activated service 'http' on \[/);
    await this.program.waitForLine(new RegExp(`lobby\\.${this.domain}|Serving 'websocket'`));
    // The components come after the ports; what answers has read its configuration to the end.
    await this.control('rooms');
    return this;
  }

  async stop() {
    if (!this.program) return;
    const ended = this.program.stop();
    // Prosody looks at a signal between events. One that comes just before it begins to wait for the
    // next is not seen until there is one: so there is one.
    http.get({ host: '127.0.0.1', port: this.port, agent: false }, (response) => response.resume()).on('error', () => {});
    const { code, signal } = await ended;
    if (code !== 0) throw new Error(`prosody ended with code ${code}, signal ${signal}`);
  }

  // Its worst lines: a stand-in that fails must not pass for a Prosody that refuses. None of its end: there
  // Prosody 0.12 itself fails now and then with many connections open (net/server_epoll.lua, onwritable).
  complaints() {
    if (!this.program || plugins) return [];
    const { lines } = this.program;
    const end = lines.findIndex((line) => line.includes('Shutting down: Received SIGTERM'));
    return lines.slice(0, end < 0 ? undefined : end).filter((line) => /\serror\t|traceback/i.test(line));
  }

  get url() {
    return `ws://127.0.0.1:${this.port}/xmpp-websocket`;
  }

  async #get(target) {
    const body = await new Promise((resolve, reject) => {
      http.get({ host: '127.0.0.1', port: this.port, path: target, agent: false }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part) => { text += part; }).on('end', () => resolve(text));
      }).on('error', reject);
    });
    return JSON.parse(body);
  }

  // See tests/prosody/modules/mod_test_control.lua.
  async control(command, parameters = {}) {
    return (await this.#get(`/test/control/${command}?${new URLSearchParams(parameters)}`)).result;
  }

  // What the requests on the WebSocket path brought, in order.
  requests() {
    return this.#get('/test/requests');
  }

  // What all others brought, in order: see tests/prosody/modules/mod_test_http.lua.
  others() {
    return this.#get('/test/http');
  }

  // The newest of them whose query holds that text.
  async requestWith(text) {
    const requests = await this.requests();
    const found = requests.findLast(({ query }) => (query || '').includes(text));
    if (!found) throw new Error(`no request with ${text} among: ${JSON.stringify(requests.slice(-3))}`);
    return found;
  }
}

module.exports = { Prosody, passwords, hasJitsiPlugins: Boolean(plugins) };
