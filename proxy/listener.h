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
/* The files that all connections may need: two each, and four for one by BOSH, whose client asks by two or
 * three connections at a time. */
size_t listener_files_wanted(const struct config *config);
/* How many connections there may be that are not in, those at the door among them. */
size_t listener_room(const struct listener *l);
/* Accepts no more; what is at the door is closed. */
void listener_close(struct listener *l);
void listener_free(struct listener *l);

/* Whether a connection may carry another request after this one (HTTP/1.1 without Connection: close). */
bool listener_may_keep(const struct http_head *request);
/* A connection on which a request was answered and that may carry another; rest: what came behind it
 * already. Takes the conn; after listener_close it is closed instead. Never under the call that the
 * listener gave the conn away by. */
void listener_take_back(struct listener *l, struct conn *conn, const uint8_t *rest, size_t rest_len);
