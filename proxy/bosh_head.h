/*
 * The head of a request that asks for a BOSH session, kept until its entity is there: it goes on to Prosody
 * as the head of an upgrade.
 */
#pragma once

#include "xmpp/http.h"

/* Gives the text that *ret points into, to be freed; NULL when out of memory. */
char *bosh_head_copy(struct http_head *ret, const struct http_head *head);
/* Without what describes the entity, which does not go on. */
void bosh_head_drop_content(struct http_head *head);
