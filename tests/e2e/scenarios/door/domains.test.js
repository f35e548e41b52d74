// Which domain a client logs in to, and what he may say before: nobody tries service passwords through
// the public endpoint, by whatever element Prosody would take a password from.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { OP, frame, writeBytes } = require('../../lib/frame');
const { passwords } = require('../../lib/prosody');
const { NS, of } = require('../../lib/stanza');

const C = 'xmlns=\'jabber:client\'';
const EXPECTED = /stream ended why=(HOST_UNKNOWN|MISADDRESSED|NOT_BOUND|OUT_OF_ORDER|TOO_LARGE)/;
const isError = (el) => el.getName() === 'error' && el.getNS() === NS.streams;
const open = (to) => `<open xmlns='${NS.framing}'${to === undefined ? '' : ` to='${to}'`} version='1.0'/>`;
const plain = (name, attributes = '') => `<auth xmlns='${NS.sasl}'${attributes} mechanism='PLAIN'>` +
  `${Buffer.from(`\0${name}\0${passwords[name]}`).toString('base64')}</auth>`;
const isSaslEnd = (el) => el.is('success', NS.sasl) || el.is('failure', NS.sasl);

// What makes the rules needful: were Prosody to change, this says so.
scenario('domains, without Vestibule', { direct: true }, (d, it) => {
  it('fact 34: the service accounts\' domain is opened to anybody', async () => {
    const client = await d.socket();
    await client.startStream(d.auth);
    assert.equal((await client.authenticate({ name: 'jvb', password: passwords.jvb })).name, 'success');
  });

  it('a password is tried at the host that <auth to=""> names, whatever <open> named', async () => {
    const client = await d.socket();
    await client.startStream(d.domain);
    client.raw(`<abort xmlns='${NS.sasl}'/>`);
    await client.waitFor('the abort\'s answer', isSaslEnd);
    client.raw(plain('jvb', ` to='${d.auth}'`));
    assert.equal((await client.waitFor('the answer', isSaslEnd)).name, 'success');
  });
});

scenario('domains', { recorder: true, expect: [EXPECTED] }, (d, it) => {
  const watched = (options) => d.recorded({ via: 'vestibule', isLoggedIn: false, ...options });

  // Prosody hears nothing behind what was said before, but that it is over.
  async function assertEnds({ client, wire }, before, condition) {
    await client.waitFor(`the stream error ${condition}`, (el) => isError(el) && el.getChild(condition));
    assert.equal((await client.closed).code, 1008);
    await wire.ended;
    assert.deepEqual(wire.up.messages.slice(before).filter((text) => text !== `<close xmlns='${NS.framing}'/>`), []);
  }

  const opens = {
    'the service accounts\' domain': ['auth.meet.example.com', 'host-unknown'],
    'it in other letters': ['AUTH.\uff4deet.example.com', 'host-unknown'],
    'it by a reference': ['&#97;uth.meet.example.com', 'host-unknown'],
    'a component': ['conference.meet.example.com', 'host-unknown'],
    'a guest domain that is not configured': ['guest.meet.example.com', 'host-unknown'],
    'another domain': ['example.org', 'host-unknown'],
    'no domain': [undefined, 'improper-addressing'],
    'nothing': ['', 'improper-addressing'],
    'an account': ['jvb@meet.example.com', 'improper-addressing'],
    'what is no address': ['@@', 'improper-addressing'],
  };
  for (const [name, [to, condition]] of Object.entries(opens)) {
    it(`<open> to ${name}: ${condition}, and Prosody hears nothing`, async () => {
      const one = await watched();
      one.client.raw(open(to));
      await assertEnds(one, 0, condition);
    });
  }

  it('<open> to the main domain in other letters is one', async () => {
    const { client } = await watched();
    client.raw(open('MEET.example.com'));
    await client.waitFor('<open/>', of.named('open', NS.framing));
    await client.waitFor('features', (el) => el.getName() === 'features');
    assert.equal((await client.authenticate()).name, 'success');
  });

  it('the second <open> is judged as the first', async () => {
    const one = await watched();
    await one.client.startStream(d.domain);
    await one.client.authenticate();
    const before = one.wire.up.messages.length;
    one.client.raw(open(d.auth));
    await assertEnds(one, before, 'host-unknown');
  });

  it('and so is what stands behind an abort, in the same packet', async () => {
    const one = await watched();
    await one.client.startStream(d.domain);
    writeBytes(one.client, Buffer.concat([`<abort xmlns='${NS.sasl}'/>`, plain('jvb', ` to='${d.auth}'`)]
      .map((text) => frame(OP.text, text))));
    await one.client.waitFor('the stream error', (el) => isError(el) && el.getChild('improper-addressing'));
    await one.wire.ended;
    assert.ok(!one.wire.up.messages.some((text) => text.startsWith('<auth')));
  });

  it('nobody says to whom the host is what he is by an authorisation identity', async () => {
    const { client } = await watched();
    await client.startStream(d.domain);
    const text = Buffer.from(`jvb@${d.auth}\0jvb@${d.auth}\0${passwords.jvb}`).toString('base64');
    client.raw(`<auth xmlns='${NS.sasl}' mechanism='PLAIN'>${text}</auth>`);
    assert.equal((await client.waitFor('the answer', isSaslEnd)).name, 'failure');
  });

  const iq = (content, to = '') => `<iq ${C} type='set' id='i1'${to}>${content}</iq>`;
  const legacy = `<query xmlns='jabber:iq:auth'><username>jvb</username><password>${passwords.jvb}</password><resource>r</resource></query>`;
  const bind = `<bind xmlns='${NS.bind}'/>`;
  const early = {
    'an old login (XEP-0078)': iq(legacy),
    'an old login at the service domain': iq(legacy, ' to=\'auth.meet.example.com\''),
    'an old login before a bind request in one iq': iq(legacy + bind),
    'an old login behind one': iq(bind + legacy),
    'a registration (XEP-0077)': iq('<query xmlns=\'jabber:iq:register\'><username>x</username><password>y</password></query>'),
    'a question to the server': `<iq ${C} type='get' id='i1'><query xmlns='${NS.info}'/></iq>`,
    'a message': `<message ${C} to='someone@meet.example.com'><body>x</body></message>`,
    'presence': `<presence ${C}/>`,
    'SASL 2 (XEP-0388)': '<authenticate xmlns=\'urn:xmpp:sasl:2\' mechanism=\'ANONYMOUS\'/>',
    'starttls': '<starttls xmlns=\'urn:ietf:params:xml:ns:xmpp-tls\'/>',
    'stream management': `<enable xmlns='${NS.sm}'/>`,
    'a server\'s dialback': '<verify xmlns=\'jabber:server:dialback\' from=\'a\' id=\'1\'>x</verify>',
  };
  for (const [name, text] of Object.entries(early)) {
    for (const isAuthenticated of [false, true]) {
      it(`${name} ${isAuthenticated ? 'between login and bind' : 'before login'}: not-authorized`, async () => {
        const one = await watched();
        await one.client.startStream(d.domain);
        if (isAuthenticated) {
          await one.client.authenticate();
          await one.client.startStream(d.domain);
        }
        const before = one.wire.up.messages.length;
        one.client.raw(text);
        await assertEnds(one, before, 'not-authorized');
      });
    }
  }

  it('a login before <open/>: not-authorized', async () => {
    const one = await watched();
    one.client.raw(plain('jvb'));
    await assertEnds(one, 0, 'not-authorized');
  });

  for (const [name, text] of Object.entries({
    'login': `<auth xmlns='${NS.sasl}' mechanism='PLAIN'>eA==</auth>`,
    'response': `<response xmlns='${NS.sasl}'/>`,
    'abort': `<abort xmlns='${NS.sasl}'/>`,
  })) {
    it(`another ${name} after login: policy-violation`, async () => {
      const one = await d.recorded({ via: 'vestibule' });
      const before = one.wire.up.messages.length;
      one.client.raw(text);
      await assertEnds(one, before, 'policy-violation');
    });
  }

  it('what is no stanza names no host, after login either: improper-addressing', async () => {
    const one = await d.recorded({ via: 'vestibule' });
    const before = one.wire.up.messages.length;
    one.client.raw(`<enable xmlns='${NS.sm}' to='${d.auth}'/>`);
    await assertEnds(one, before, 'improper-addressing');
  });

  const nested = (depth) => `${'<x xmlns=\'urn:x\'>'.repeat(depth)}${'</x>'.repeat(depth)}`;
  const large = {
    'bytes': [`<auth xmlns='${NS.sasl}' mechanism='PLAIN'>${'A'.repeat(20000)}</auth>`, `<message ${C}><body>${'A'.repeat(20000)}</body></message>`],
    'depth': [`<auth xmlns='${NS.sasl}' mechanism='PLAIN'>${nested(9)}</auth>`, `<message ${C}>${nested(30)}</message>`],
    'elements': [`<auth xmlns='${NS.sasl}' mechanism='PLAIN'>${nested(1).repeat(40)}</auth>`, `<message ${C}>${nested(1).repeat(40)}</message>`],
    'attributes': [`<auth xmlns='${NS.sasl}' mechanism='PLAIN'${Array.from({ length: 20 }, (_, i) => ` a${i}='x'`).join('')}/>`,
      `<message ${C}${Array.from({ length: 20 }, (_, i) => ` a${i}='x'`).join('')}/>`],
  };
  for (const [name, [before, after]] of Object.entries(large)) {
    it(`before login a message has fewer ${name} than after it`, async () => {
      const one = await watched();
      await one.client.startStream(d.domain);
      one.client.raw(before);
      await one.client.waitFor('the stream error', (el) => isError(el) && el.getChild('policy-violation'));
      assert.equal((await one.client.closed).code, 1009);
      await one.wire.ended;
      assert.ok(!one.wire.up.messages.some((text) => text.startsWith('<auth')));
      const other = await d.guest();
      other.raw(after.replace('<message', `<message to='${other.jid}'`));
      await other.waitFor('his own', of.named('message'));
    });
  }
});

scenario('service.allowed_from', {
  config: { service: { allowed_from: ['203.0.113.0/24', '2001:db8:5::/48'] } }, expect: [EXPECTED],
}, (d, it) => {
  const from = (address) => d.socket({ via: 'vestibule', headers: { 'X-Forwarded-For': address } });

  for (const address of ['203.0.113.7', '2001:db8:5:6::1']) {
    it(`who comes from ${address} logs in as a service account`, async () => {
      const client = await from(address);
      await client.login(d.auth, { name: 'jvb', password: passwords.jvb });
      assert.match(client.jid, new RegExp(`^jvb@${d.auth}/`));
    });
  }
  for (const address of ['203.0.114.7', '2001:db8:6::1', '203.0.113.7, 198.51.100.1']) {
    it(`who comes from ${address} does not`, async () => {
      const client = await from(address);
      client.raw(open(d.auth));
      await client.waitFor('the error', (el) => isError(el) && el.getChild('host-unknown'));
    });
  }
});

for (const [name, xmpp] of Object.entries({
  'xmpp.guest_domain': { guest_domain: 'auth.meet.example.com' },
  'xmpp.hidden_domain': { hidden_domain: 'Auth.Meet.Example.com' },
})) {
  scenario(`${name} that is the service accounts' own`, { config: { xmpp }, expect: [/service\.jid is an account of a domain/] }, (d, it) => {
    it('clients get in, and start-up says what that means', async () => {
      const client = await d.socket({ via: 'vestibule' });
      await client.login(d.auth, { name: 'jvb', password: passwords.jvb });
      await d.vestibule.waitForLog(/service\.jid is an account of a domain that every client may log in to/);
    });
  });
}
