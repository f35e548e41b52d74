/*
 * Requests waiting for their answer, by stanza id. What is answered, late or lost leaves the table
 * first and is told then, so a late or second answer finds nobody.
 */
#pragma once

#include "policy/actions.h"
#include "xmpp/parse.h"

#include <stdint.h>

/* answer is the stanza for ANSWER_OK and ANSWER_ERROR (borrowed), NULL for the others. */
typedef void (*pending_callback)(void *ctx, enum answer_status status,
                                 const struct element *answer);

struct pending;

struct pending *pending_new(void);
void pending_free(struct pending *p); /* tells nobody */

/* from: whom the answer must come from, for pending_answer's caller to compare ("" for anyone); it is
 * copied, like id. False when out of memory or over PENDING_MAX. */
#define PENDING_MAX 20000
bool pending_add(struct pending *p, const char *id, const char *from, int64_t deadline,
                 pending_callback callback, void *ctx) __attribute__((warn_unused_result));
/* Whom the answer with that id must come from; NULL when nobody waits for it. */
const char *pending_from(const struct pending *p, const char *id);
/* Tells the waiter of id, if there is one. */
void pending_answer(struct pending *p, const char *id, enum answer_status status,
                    const struct element *answer);
/* Takes the waiter of id out without telling it; false when there is none. */
bool pending_forget(struct pending *p, const char *id);
void pending_tick(struct pending *p, int64_t now);
void pending_lose_all(struct pending *p);
size_t pending_count(const struct pending *p);
