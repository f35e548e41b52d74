/*
 * What is refused before the XML parser reads a message: broken UTF-8, characters XML does not allow,
 * markup RFC 6120 section 11.1 forbids, anything before or behind the tags, too many attributes.
 */
#pragma once

#include "xmpp/parse.h"

enum parse_result parse_scan(const char *msg, size_t len, const struct parse_limits *limits)
    __attribute__((warn_unused_result));
/* The length of the character XML allows (XML 1.0 section 2.2) at s, lead byte >= 0x80, or 0. */
size_t parse_multibyte(const unsigned char *s, size_t len);
