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
/* Accepts no more than who has connected by now. Whose request is on its way is still served. */
void listener_close(struct listener *l);
/* After that: whoever is at the door still is turned away. */
void listener_turn_away(struct listener *l);
void listener_tick(struct listener *l); /* once a second */
void listener_free(struct listener *l);
/* For a reload: *ret the context for listen.tls (NULL: none); false when it cannot be made, and it was
 * logged. listener_swap_tls takes it, for connections from now on. */
bool listener_load_tls(const struct config *config, struct ssl_ctx_st **ret);
void listener_recount(struct listener *l); /* after limits.connections or the file limit changed */
void listener_swap_tls(struct listener *l, struct ssl_ctx_st *tls);

/* Whether a connection may carry another request after this one (HTTP/1.1 without Connection: close). */
bool listener_may_keep(const struct http_head *request);
/* A connection on which a request was answered and that may carry another; rest: what came behind it
 * already. Takes the conn; after listener_close it is closed instead. Never under the call that the
 * listener gave the conn away by. */
void listener_take_back(struct listener *l, struct conn *conn, const uint8_t *rest, size_t rest_len);
