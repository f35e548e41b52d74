/*
 * BOSH sessions as transports: each has a sid, and is what a stream has for its client's end. It outlives
 * the stream for as long as its client may come for the news of the end.
 */
#pragma once

#include "policy/table.h"
#include "proxy/bosh_request.h"
#include "proxy/proxy.h"
#include "proxy/transport.h"
#include "xmpp/bosh_session.h"

struct bosh_client;

/* Every session there is. */
struct bosh_clients {
    struct proxy *proxy;
    struct bosh_requests *requests;
    struct table by_sid;
    struct bosh_client *open, *closed; /* closed: only to tell their end, the oldest first */
    size_t open_len, closed_len;
    size_t closed_bytes; /* what those hold */
    struct deferred trim;
};

void bosh_clients_init(struct bosh_clients *all, struct proxy *proxy, struct bosh_requests *requests);
void bosh_clients_done(struct bosh_clients *all); /* none is open by then */
/* Once a second. */
void bosh_clients_tick(struct bosh_clients *all, int64_t now);

/* A session for the request that asks for one; NULL when out of memory. The request is its own once
 * bosh_client_begin was said; until then both are the caller's. */
struct bosh_client *bosh_client_new(struct bosh_clients *all, const struct bosh_body *body,
                                    struct bosh_request *r);
void bosh_client_free(struct bosh_client *c);
struct transport *bosh_client_transport(struct bosh_client *c);
void bosh_client_begin(struct bosh_client *c, struct bosh_request *r);

/* The session of that sid; NULL when there is none, or none any more. */
struct bosh_client *bosh_client_find(struct bosh_clients *all, const char *sid, size_t len);
/* Whether its stream is, or was at its end, one that may send what is long. */
bool bosh_client_is_logged_in(const struct bosh_client *c);
void bosh_client_request(struct bosh_client *c, const struct bosh_body *body, struct bosh_request *r);
void bosh_client_gone(struct bosh_client *c, struct bosh_request *r);
/* Its client wrote what cannot be read. False when it was over already. */
bool bosh_client_break(struct bosh_client *c, const char *condition, const char *why);
