/*
 * Tokens as a backend would sign them, for targets behind the signature.
 */
#pragma once

#include "xmpp/buf.h"

#include <stdint.h>

/* Appends header.payload.signature, signed by HS256 with secret. */
void signed_token(struct buf *out, const char *header, const uint8_t *payload, size_t payload_len,
                  const char *secret);
