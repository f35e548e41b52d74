/*
 * The door: accepts connections, reads each one's HTTP head, and hands it to a stream or to a plain
 * request, or refuses it with a status and a reason.
 */
#pragma once

#include "proxy/proxy.h"

/* Listens on listen.address; NULL when it cannot, and the reason was logged. */
struct listener *listener_new(struct proxy *proxy);
/* Where that is, as listen.address would say it. */
void listener_place(const struct config *config, char *to, size_t len);
/* Accepts no more; what is at the door is closed. */
void listener_close(struct listener *l);
void listener_free(struct listener *l);
