/*
 * Stanzas that every XML parser reads alike, told without one. Most of what clients send is chat and
 * data for other clients: nothing in it matters here, it only has to be exactly one well-formed stanza.
 */
#pragma once

#include "xmpp/stanza.h"

/* The kind of a <message/>, <presence/> or <iq/> of jabber:client that parser_read would accept, in
 * plain spelling: names in ASCII and without prefixes (but for xml:lang), the five entities, no
 * character references. So a namespace of its, or a value without those five, stands in msg as it is
 * (find_text). STANZA_OTHER says nothing: parser_read decides then. */
enum stanza_kind parse_plain(const char *msg, size_t len, const struct parse_limits *limits);
