/*
 * One HTTP exchange on the BOSH path: reads the entity, waits for its answer as long as that takes,
 * writes it, and gives the connection back to the listener or ends it.
 */
#pragma once

#include "proxy/crowd.h"
#include "proxy/peers.h"
#include "proxy/proxy.h"

/* What may stand around a message of limits.stanza: <body/> with its attributes. */
#define BOSH_REQUEST_ROOM 4096
/* What is read of anybody's; more only if `begun` says so. */
#define BOSH_REQUEST_EARLY (16384 + BOSH_REQUEST_ROOM)

struct bosh_request;

/* Every request there is, and who hears of them. */
struct bosh_requests {
    struct proxy *proxy;
    const struct bosh_request_events *events;
    void *owner;
    struct bosh_request *first;
    size_t len;
    struct crowd *unread; /* those whose entity is on its way, but for those let in by `begun` */
};

struct bosh_request_events {
    /* The first BOSH_REQUEST_ROOM bytes are there of an entity over BOSH_REQUEST_EARLY. Whether it may be
     * read to its end; else it has been answered. */
    bool (*begun)(void *owner, struct bosh_request *r, const char *data, size_t len);
    /* A POST is there whole; it is answered with bosh_request_answer, here or later. */
    void (*complete)(void *owner, struct bosh_request *r);
    /* The client went away before it was answered. */
    void (*gone)(void *owner, struct bosh_request *r);
    /* The last callback, for every request: its memory goes. */
    void (*released)(void *owner, struct bosh_request *r);
};

/* Takes the conn, of which request was read; rest is what came behind the head. What is no POST, or none
 * that can be read, is answered at once. NULL when out of memory: then the conn is still the caller's. */
struct bosh_request *bosh_request_new(struct bosh_requests *all, struct conn *conn,
                                      const struct http_head *request,
                                      const struct peer_identity *identity, const uint8_t *rest,
                                      size_t rest_len);
/* Begins; calls back. */
void bosh_request_start(struct bosh_request *r);

/* How long an entity may be. */
size_t bosh_request_max(const struct config *config);
/* During `complete` only: the entity, the head without what describes the entity, and who sent it (also in
 * `released`). */
const char *bosh_request_entity(const struct bosh_request *r, size_t *ret_len);
const struct http_head *bosh_request_head(const struct bosh_request *r);
const struct peer_identity *bosh_request_identity(const struct bosh_request *r);

/* Answers, once: with a BOSH body, or with an HTTP status and why. The connection ends with it if the
 * entity was not read to its end. */
void bosh_request_answer(struct bosh_request *r, const char *body, size_t len);
void bosh_request_refuse(struct bosh_request *r, int status, const char *why);
/* One line in the log, or one more in a count (rejections.h). */
void bosh_request_log_refusal(const struct bosh_request *r, int status, const char *why);
/* The same for what a BOSH body refuses with a condition. */
void bosh_request_log_condition(const struct bosh_request *r, const char *condition, const char *why);
/* Ends its connection without an answer, unless it had one. Only `released` is called. */
void bosh_request_abort(struct bosh_request *r);
/* How many are in `unread`; and the oldest of them goes, for others to be heard. */
size_t bosh_requests_unread(const struct bosh_requests *all);
void bosh_requests_crowd_out(struct bosh_requests *all);
/* Those whose entity is still on its way. */
void bosh_requests_abort_unread(struct bosh_requests *all);

/* Whose it is, as the owner wants to know it again. */
void bosh_request_set_ctx(struct bosh_request *r, void *ctx);
void *bosh_request_ctx(const struct bosh_request *r);
/* Ends every one that belongs to ctx without an answer. */
void bosh_requests_abort_of(struct bosh_requests *all, const void *ctx);
