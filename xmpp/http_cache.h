/*
 * How long an HTTP response may be used without asking again (RFC 9111), as far as somebody who keeps
 * one answer for himself needs it.
 */
#pragma once

#include "xmpp/http.h"

#include <stdint.h>

/* Seconds from now on: max-age less Age, 0 where it may not be kept without asking (no-cache, no-store,
 * a max-age that cannot be read), -1 where the response does not say. */
int64_t http_max_age(const struct http_head *response);
