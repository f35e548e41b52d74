/*
 * What the parts of the process share. main.c makes and unmakes it.
 */
#pragma once

#include "proxy/config.h"
#include "proxy/loop.h"
#include "proxy/stop.h"
#include "proxy/upstream.h"
#include "xmpp/parse.h"

struct listener;
struct roomlink;
struct service;
struct sessions;
struct peers;
struct stream;
struct ssl_ctx_st;
struct keys;
struct keyfetch;
struct rejections;
struct state;
struct fence;
struct bosh;

struct proxy {
    const struct config *config;
    struct config *config_owned; /* the same, to be freed; nothing else may point into it: reload.c */
    struct stop stop;
    struct loop *loop;
    struct parser *parser; /* one, used again for each message */
    struct rooms *rooms;
    struct roomlink *link; /* rooms to service and streams */
    struct service *service;
    struct sessions *sessions;
    struct fence *fence; /* NULL: there is no state file */
    struct state *state; /* NULL: there is no state file */
    struct peers *peers; /* connections by address */
    struct keys *keys; /* public keys of tokens; NULL with a shared secret */
    struct keyfetch *keyfetch;
    struct rejections *rejections;
    struct bosh *bosh; /* NULL unless http.bosh is inspect */
    struct listener *listener;
    struct ssl_ctx_st *upstream_tls;
    struct upstream_target upstream;
    struct stream *streams;
    size_t streams_len;
    size_t passthroughs; /* plain requests under way */
    size_t owner_sets_held; /* streams whose change of a room waits */
    struct deferred owner_sets; /* lets them go on where they may */
    uint64_t last_ordinal; /* of streams, for the log */
    bool is_upstream_down; /* said once, until it answers again */
    size_t refused_while_down;
};

/* Prosody cannot be reached, or can: the log says it at the change, not for every client. */
void proxy_upstream_down(struct proxy *p, const char *why);
void proxy_upstream_up(struct proxy *p);

/* For the start and for a reload (main.c). */
/* *ret: the context for upstream.url, NULL with ws://. False when it cannot be made; it was logged. */
bool proxy_load_upstream_tls(const struct config *config, struct ssl_ctx_st **ret);
/* Connects to where p->config says from now on. Takes tls, and frees the former. */
void proxy_set_upstream(struct proxy *p, struct ssl_ctx_st *tls);
/* How many files may be open. After the start that stays, and is only said where it is too few. */
void proxy_set_file_limit(const struct config *config, bool is_start);
/* Says what the configuration leaves open. */
void proxy_warn(const struct config *config);
