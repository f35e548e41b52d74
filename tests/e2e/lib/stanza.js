// What the tests send and look for, in XMPP's words.
'use strict';
const ltx = require('ltx');

const NS = {
  framing: 'urn:ietf:params:xml:ns:xmpp-framing',
  streams: 'http://etherx.jabber.org/streams',
  sasl: 'urn:ietf:params:xml:ns:xmpp-sasl',
  bind: 'urn:ietf:params:xml:ns:xmpp-bind',
  sm: 'urn:xmpp:sm:3',
  ping: 'urn:xmpp:ping',
  form: 'jabber:x:data',
  muc: 'http://jabber.org/protocol/muc',
  user: 'http://jabber.org/protocol/muc#user',
  admin: 'http://jabber.org/protocol/muc#admin',
  owner: 'http://jabber.org/protocol/muc#owner',
  info: 'http://jabber.org/protocol/disco#info',
  nick: 'http://jabber.org/protocol/nick',
  jitsi: 'http://jitsi.org/jitmeet',
};

const { escapeXML, escapeXMLText } = ltx;
const bare = (jid) => jid.split('/')[0];
const resource = (jid) => jid.slice(jid.indexOf('/') + 1);

// The muc#user codes of a presence or message.
function statuses(el) {
  const x = el.getChild('x', NS.user);
  return x ? x.getChildren('status').map((status) => status.attrs.code) : [];
}
const hasStatus = (el, code) => statuses(el).includes(String(code));

// What a muc#user presence says about its occupant: affiliation, role, jid.
function item(el) {
  const x = el.getChild('x', NS.user);
  return x && x.getChild('item') ? x.getChild('item').attrs : {};
}

// {type, condition, text} of an error stanza.
function error(el) {
  const found = el.getChild('error');
  if (!found) return null;
  const names = found.children.filter((child) => child.name && child.name !== 'text').map((child) => child.name);
  return { type: found.attrs.type, condition: names[0], names, text: found.getChildText('text') || '' };
}

// The lobby a join was sent to, or undefined.
function lobbyOf(el) {
  const found = el.getChild('error') && el.getChild('error').getChild('lobbyroom', NS.jitsi);
  return (found && found.getText()) || undefined;
}

// The fields of a data form: {var: value}.
function fields(el) {
  const found = {};
  for (const field of el.getChildren('field')) found[field.attrs.var] = field.getChildText('value') || '';
  return found;
}

const of = {
  selfPresence: (occupant) => (el) => el.is('presence') && el.attrs.from === occupant && !el.attrs.type && hasStatus(el, 110),
  presence: (occupant) => (el) => el.is('presence') && el.attrs.from === occupant && !el.attrs.type,
  left: (occupant) => (el) => el.is('presence') && el.attrs.from === occupant && el.attrs.type === 'unavailable',
  configChanged: (room) => (el) => el.is('message') && el.attrs.from === room && hasStatus(el, 104),
  invitation: (room) => (el) => el.is('message') && el.attrs.from === room && el.getChild('x', NS.user) &&
    el.getChild('x', NS.user).getChild('invite'),
  message: (text) => (el) => el.is('message') && el.getChildText('body') === text,
  named: (name, xmlns) => (el) => el.is(name, xmlns),
};

function joinStanza(room, { nick, name, password, extra = '' }) {
  const inside = password === undefined ? '' : `<password>${escapeXMLText(password)}</password>`;
  const shown = name === undefined ? '' : `<nick xmlns='${NS.nick}'>${escapeXMLText(name)}</nick>`;
  return `<presence xmlns='jabber:client' to='${escapeXML(room)}/${escapeXML(nick)}'>` +
    `<x xmlns='${NS.muc}'>${inside}</x>${shown}${extra}</presence>`;
}

function formSubmit(values) {
  const inside = Object.entries({ FORM_TYPE: `${NS.muc}#roomconfig`, ...values })
    .map(([name, value]) => `<field var='${name}'><value>${escapeXMLText(String(value))}</value></field>`);
  return `<query xmlns='${NS.owner}'><x xmlns='${NS.form}' type='submit'>${inside.join('')}</x></query>`;
}

const adminItem = (attributes, inside = '') => {
  const text = Object.entries(attributes).map(([name, value]) => ` ${name}='${escapeXML(value)}'`).join('');
  return `<query xmlns='${NS.admin}'><item${text}>${inside}</item></query>`;
};

// <open> and <close> as no client's library writes them (wire fact 23). attributes: with a space before.
const framingWritten = {
  'a prefix': (name, attributes) => `<f:${name} xmlns:f='${NS.framing}'${attributes}/>`,
  'double quotes, and white space in the tag': (name, attributes) =>
    `<${name}\n${attributes.replace(/'/g, '"')}\txmlns = "${NS.framing}" />`,
  'a reference in an attribute': (name, attributes) =>
    `<${name} xmlns='${NS.framing}'${attributes.replace('meet', '&#109;eet')}/>`,
  'another element inside': (name, attributes) =>
    `<${name} xmlns='${NS.framing}'${attributes}>text<x xmlns='urn:x'/></${name}>`,
};

module.exports = {
  NS, of, bare, resource, statuses, hasStatus, item, error, lobbyOf, fields, joinStanza, formSubmit, adminItem,
  framingWritten, escapeXML, escapeXMLText, parse: ltx.parse,
};
