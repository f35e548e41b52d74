/*
 * Public keys of tokens, fetched: owns proxy->keys and the requests it asks for, a few at a time. The
 * streams that wait for a key hear of every answer (streams_keys_changed).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct config;
struct keyfetch;
struct ssl_ctx_st;
struct proxy;

/* *ret: for the configuration's key server or document, NULL where it names none. false on failure, and
 * the reason was logged. */
bool keyfetch_new(struct proxy *proxy, const struct config *config, struct keyfetch **ret)
    __attribute__((warn_unused_result));
/* For a reload: the context for the configuration's key server, NULL where there is none or it is not
 * TLS; false when it cannot be made, and it was logged. keyfetch_swap_tls takes it. */
bool keyfetch_load_tls(const struct config *config, struct ssl_ctx_st **ret)
    __attribute__((warn_unused_result));
void keyfetch_swap_tls(struct keyfetch *f, struct ssl_ctx_st *tls);
/* From now on proxy->keyfetch and proxy->keys are f's (NULL: there are none). The former is freed. Never
 * under a callback of its. */
void keyfetch_use(struct proxy *proxy, struct keyfetch *f);
/* Drops the requests under way and begins none any more. Accepts NULL, as the others do. */
void keyfetch_stop(struct keyfetch *f);
void keyfetch_free(struct keyfetch *f);
/* Once a second. */
void keyfetch_tick(struct keyfetch *f, int64_t now);
