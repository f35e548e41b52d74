/*
 * What Prosody makes of a message: expat reads it inside a stream, behind the filter of its
 * WebSocket module. Compared with what the parser made of it.
 */
#pragma once

#include "xmpp/parse.h"

/* Aborts when the two do not agree: on whether msg is one element, on the tree, on whether it opens
 * or closes the stream. root is the parser's tree, of any use only with PARSE_OK. */
void expat_compare(const char *msg, size_t len, enum parse_result result,
                   const struct element *root);
