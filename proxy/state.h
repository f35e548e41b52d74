/*
 * The state file (SQLite, WAL): the rooms that are held persistent in Prosody, written down before the
 * form that makes them so is submitted, and taken out after they were released. What a crash left behind
 * is found in it at the next start (wire fact 17).
 *
 * The file is written in libuv's thread pool, never in the loop. Where it cannot be written the lobby
 * still works, and no room is made persistent: nothing is kept that could be forgotten.
 */
#pragma once

#include "proxy/loop.h"

#include <stddef.h>

struct state;

/* Opens the file, or makes it. This blocks: it is for the start. What is wrong with the file is logged,
 * and the state is then one that does not work (tried again every STATE_RETRY_MS). found is called for
 * each room that an earlier process left in it, under a state_tick, once no other process has it open. NULL only when out of memory. */
struct state *state_new(struct loop *loop, const char *file,
                        void (*found)(void *ctx, const char *room), void *ctx);
/* Writes what is left, then closes the file. The loop must still be there, and run no more. */
void state_free(struct state *state); /* accepts NULL */

#define STATE_RETRY_MS 30000

/* Writes a room down; done is called later, once it is on its way to the disk (true) or cannot be
 * (false). False at once when out of memory: then done is not called. */
typedef void (*state_done)(void *ctx, bool is_written);
bool state_hold(struct state *state, const char *room, state_done done, void *ctx)
    __attribute__((warn_unused_result));
/* Takes a room out. Where that fails the next start finds that the room is gone, and forgets it. */
void state_release(struct state *state, const char *room);
/* Whoever asked by ctx hears nothing any more. */
void state_forget(struct state *state, const void *ctx);

/* Whether rooms can be written down now. */
bool state_is_working(const struct state *state);
/* Whether another process has the same file open (an upgrade under way): it goes on holding the rooms. */
bool state_is_shared(const struct state *state);
void state_tick(struct state *state, int64_t now);
