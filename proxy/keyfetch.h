/*
 * Public keys of tokens, fetched: owns proxy->keys and the requests it asks for, a few at a time. The
 * streams that wait for a key hear of every answer (streams_keys_changed).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct keyfetch;
struct proxy;

/* Sets proxy->keys and proxy->keyfetch, both NULL where the configuration names no public keys. false on
 * failure, and the reason was logged. */
bool keyfetch_new(struct proxy *proxy) __attribute__((warn_unused_result));
/* Drops the requests under way and begins none any more. Accepts NULL, as the others do. */
void keyfetch_stop(struct keyfetch *f);
/* After keyfetch_stop and the loop's conns. */
void keyfetch_free(struct keyfetch *f);
/* Once a second. */
void keyfetch_tick(struct keyfetch *f, int64_t now);
