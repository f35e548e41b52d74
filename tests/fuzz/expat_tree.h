/*
 * Compares the parser's tree with what expat, Prosody's XML parser, sees in the same bytes.
 */
#pragma once

#include "xmpp/parse.h"

/* Aborts when expat accepts msg and sees something else than root. */
void expat_compare(const char *msg, size_t len, const struct element *root);
