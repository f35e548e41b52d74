/*
 * The service account: a stream of our own on Prosody's endpoint, that logs in, asks, and comes back
 * by itself when it drops (wire facts 1, 9 to 18, 32).
 */
#pragma once

#include "proxy/pending.h"
#include "proxy/proxy.h"

struct service;

struct service_callbacks {
    void (*up)(void *ctx, int64_t now);
    void (*down)(void *ctx, int64_t now);
    /* It cannot log in, and will not without somebody's help: why. NULL: it may after all. */
    void (*refused)(void *ctx, const char *why, int64_t now);
    /* A presence from a MUC room, for the one who joined it. */
    void (*presence)(void *ctx, const struct element *presence);
};

struct service *service_new(struct proxy *proxy, const struct service_callbacks *callbacks,
                            void *ctx);
/* Begins to connect, where an account is configured. */
void service_start(struct service *s);
/* Logs in anew, as the configuration says now. */
void service_restart(struct service *s);
/* Closes its stream for good; nobody is told, as the rooms go too. */
void service_stop(struct service *s);
void service_free(struct service *s);
/* Why it is not logged in; "" when it is. */
const char *service_problem(const struct service *s);

#define SERVICE_ID_LEN 48
/* A stanza id nobody can guess and nobody used before. */
void service_make_id(struct service *s, char ret[SERVICE_ID_LEN]);
/* Appends a ping of the server (XEP-0199). */
void service_ping(struct buf *out, const char *id);
/* Sends a stanza; with callback not NULL its answer (or its error) is waited for. room: the canonical
 * room JID the answer must come from, "" for the server. False when there is no stream or no memory,
 * and then the callback is not kept. */
bool service_send(struct service *s, const char *id, const char *room, const struct buf *stanza,
                  pending_callback callback, void *ctx) __attribute__((warn_unused_result));
/* Waits no longer for the answer with that id; false when nobody did. */
bool service_forget(struct service *s, const char *id);
void service_tick(struct service *s, int64_t now);
