// What those send who look for a way around, whatever carries it.
'use strict';
const { NS } = require('./stanza');

const C = 'xmlns=\'jabber:client\'';

// Messages that are not exactly one complete element a stream may carry, and the stream error for each.
const notOneElement = {
  'two stanzas': [`<presence ${C}/><presence ${C}/>`, 'not-well-formed'],
  'a stanza and half a one': [`<presence ${C}/><presence ${C}>`, 'not-well-formed'],
  'the beginning of a stanza': [`<message ${C}><body>`, 'not-well-formed'],
  'its end alone': ['</body></message>', 'not-well-formed'],
  'white space before it': [` <presence ${C}/>`, 'not-well-formed'],
  'a line break before it': [`\n<presence ${C}/>`, 'not-well-formed'],
  'a byte order mark before it': [`\ufeff<presence ${C}/>`, 'not-well-formed'],
  'text behind it': [`<presence ${C}/>x`, 'not-well-formed'],
  'nothing': ['', 'not-well-formed'],
  'white space alone': [' ', 'not-well-formed'],
  'text alone': ['presence', 'not-well-formed'],
  'an attribute twice': [`<presence ${C} to='a@b' to='c@d'/>`, 'not-well-formed'],
  'an attribute twice by two prefixes': [`<presence ${C} xmlns:a='u:v' xmlns:b='u:v' a:x='1' b:x='2'/>`, 'bad-namespace-prefix'],
  'a control character by reference': [`<presence ${C}><status>&#1;</status></presence>`, 'not-well-formed'],
  'a comment inside': [`<presence ${C}><!-- x --></presence>`, 'restricted-xml'],
  'a comment before it': [`<!-- x --><presence ${C}/>`, 'restricted-xml'],
  'a processing instruction': [`<presence ${C}><?x y?></presence>`, 'restricted-xml'],
  'an XML declaration': [`<?xml version='1.0'?><presence ${C}/>`, 'restricted-xml'],
  'CDATA': [`<message ${C}><body><![CDATA[x]]></body></message>`, 'restricted-xml'],
  'a DTD': [`<!DOCTYPE p [<!ENTITY e 'x'>]><presence ${C}><status>&e;</status></presence>`, 'restricted-xml'],
  'an entity of HTML': [`<presence ${C}><status>&nbsp;</status></presence>`, 'restricted-xml'],
  'an undeclared prefix': ['<x:presence/>', 'bad-namespace-prefix'],
  'no namespace': ['<presence to=\'a@b/c\'/>', 'invalid-namespace'],
  'a server\'s namespace': ['<presence xmlns=\'jabber:server\'/>', 'invalid-namespace'],
  'a namespace that differs by case': ['<presence xmlns=\'jabber:Client\'/>', 'invalid-namespace'],
  'a stream header': [`<stream:stream ${C} xmlns:stream='${NS.streams}' to='meet.example.com' version='1.0'/>`, 'invalid-namespace'],
  'a stream header, open': [`<stream:stream ${C} xmlns:stream='${NS.streams}' to='meet.example.com'>`, 'not-well-formed'],
  'the end of a stream': ['</stream:stream>', 'not-well-formed'],
};

// A join is one however it is written.
const wide = (text) => text.replace(/[a-z0-9]/g, (c) => String.fromCharCode(c.charCodeAt(0) + 0xfee0));
const name = `<nick xmlns='${NS.nick}'>n</nick>`;
const joinsWritten = {
  'prefixes': (room) => `<c:presence xmlns:c='jabber:client' xmlns:m='${NS.muc}' to='${room}/me'><m:x/>${name}</c:presence>`,
  'references in the namespace': (room) => `<presence xmlns='jabber&#58;client' to='${room}/me'><x xmlns='http&#x3a;//jabber.org/protocol/muc'/>${name}</presence>`,
  'references in the address': (room) => `<presence ${C} to='${room.replace('@', '&#64;')}&#x2F;me'><x xmlns='${NS.muc}'/>${name}</presence>`,
  'capitals': (room) => `<presence ${C} to='${room.toUpperCase()}/me'><x xmlns='${NS.muc}'/>${name}</presence>`,
  'full-width letters': (room) => `<presence ${C} to='${wide(room.split('@')[0])}@${room.split('@')[1]}/me'><x xmlns='${NS.muc}'/>${name}</presence>`,
  'a full-width dot in the domain': (room) => `<presence ${C} to='${room.replace('.example', '\uff0eexample')}/me'><x xmlns='${NS.muc}'/>${name}</presence>`,
  'a soft hyphen': (room) => `<presence ${C} to='${room.replace('@', '\u00ad@')}/me'><x xmlns='${NS.muc}'/>${name}</presence>`,
  'another element first': (room) => `<presence ${C} to='${room}/me'><x xmlns='urn:other'/><y/><x xmlns='${NS.muc}'/>${name}</presence>`,
  'white space and quotes': (room) => `<presence\n${C}\n to = "${room}/me" >\n <x  xmlns="${NS.muc}" ></x >\n${name}</presence\n>`,
  'a slash in the nick': (room) => `<presence ${C} to='${room}/me/and@you'><x xmlns='${NS.muc}'/>${name}</presence>`,
};

module.exports = { joinsWritten, notOneElement };
