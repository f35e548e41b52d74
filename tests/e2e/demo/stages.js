// Where the demo's story takes place: a deployment started for it, or one that runs already
// (docker-compose.yml), which is told by addresses in the environment.
'use strict';
const fs = require('node:fs');
const { Deployment } = require('../lib/deployment');

// What of Vestibule's log belongs into the story: decisions and what became of rooms.
const TOLD = /\] join |\[rooms\]|^\S+ +(ERROR|WARN) /;

class Here extends Deployment {
  // Every line that belongs into the story goes to `decision`, as it comes.
  follow(decision) {
    const { program } = this.vestibule;
    let next = program.lines.length;
    const read = async () => {
      for (;;) {
        await program.waitForLine(/^/, { from: next, timeout: 2 ** 31 - 1 });
        for (; next < program.lines.length; next++) {
          if (TOLD.test(program.lines[next])) decision(program.lines[next]);
        }
      }
    };
    read().catch(() => {}); // it has ended, and stop() says how
  }

  async waitUntilReleased(room) {
    await this.vestibule.waitForLog(new RegExp(`destroyed.*${room}|${room}.*destroyed`));
  }

  get description() {
    const { nginx, vestibule, prosody } = this.ports;
    return `nginx      wss://localhost:${nginx}/xmpp-websocket\n` +
      `Vestibule  ws://127.0.0.1:${vestibule}/xmpp-websocket\n` +
      `Prosody    ws://127.0.0.1:${prosody}/xmpp-websocket   (domain ${this.domain})`;
  }
}

class Elsewhere extends Deployment {
  constructor({ nginx, prosody, ca }) {
    super();
    this.urls = { nginx, prosody };
    this.ca = ca;
  }

  async start() {
    return this;
  }

  follow() {} // its log is shown by whoever runs it

  address({ via = 'nginx', parameters = {} } = {}) {
    return {
      url: `${this.urls[via]}?${new URLSearchParams(parameters)}`,
      headers: { Host: this.domain }, ca: fs.readFileSync(this.ca), servername: this.domain,
    };
  }

  // Only an account that may see the room can say that it is gone: focus asks until it is.
  async waitUntilReleased(room) {
    const focus = await this.focus();
    for (let asked = 0; asked < 50; asked++) {
      const answer = await focus.iq('get', room, '<query xmlns=\'http://jabber.org/protocol/muc#owner\'/>');
      if (answer.attrs.type === 'error' && answer.getChild('error').getChild('item-not-found')) return;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    throw new Error(`${room} was not given back`);
  }

  get description() {
    return `nginx      ${this.urls.nginx}\nProsody    ${this.urls.prosody}   (domain ${this.domain})`;
  }

  async stop() {
    for (const client of this.clients) if (client.socket) client.socket.terminate();
  }
}

// The stage the environment asks for.
function stage(environment = process.env) {
  const { DEMO_NGINX: nginx, DEMO_PROSODY: prosody, DEMO_CA: ca } = environment;
  return nginx ? new Elsewhere({ nginx, prosody, ca }) : new Here({ config: { limits: { connections: 1000 } } });
}

module.exports = { stage };
