/*
 * The state file (SQLite, WAL): the rooms that are held persistent in Prosody, written down before the
 * form that makes them so is submitted, and taken out after they were released (wire fact 17). What a
 * process leaves behind, the next one that opens the file finds; instances on one machine share it, and
 * see by it who still has people waiting for a room that another would destroy.
 *
 * The file is written by a thread of its own (worker.h), never in the loop. Where it cannot be written the
 * lobby still works, and no room is made persistent: nothing is kept that could be forgotten.
 */
#pragma once

#include "proxy/loop.h"

#include <stddef.h>

struct state;

/* What becomes of a room that was found. */
enum state_found {
    STATE_FOUND_TAKEN,  /* this process holds it now */
    STATE_FOUND_LATER,  /* no memory: it is to be told of again */
    STATE_FOUND_ASIDE,  /* none of this process's, but it may be another's: the next start is told of it */
    STATE_FOUND_NO_ROOM /* nobody's: it is taken out */
};

struct state_callbacks {
    /* After state_tick: a room that a process which is gone held, or that another handed over. Now and then
     * a room is told of twice. */
    enum state_found (*found)(void *ctx, const char *room);
    /* The file was opened again, or is a new one: whatever this process holds, and who waits at it, is to
     * be written anew, before it returns (state_hold without done, state_waiting). */
    void (*renew)(void *ctx);
};

/* Opens the file, or makes it. This blocks: it is for the start. What is wrong with the file is logged,
 * and the state is then one that does not work (tried again every STATE_RETRY_MS, and with each room that
 * is to be held). NULL only when out of memory. */
struct state *state_new(struct loop *loop, const char *file,
                        const struct state_callbacks *callbacks, void *ctx);
/* Writes what is left, then closes the file; nobody is called any more. The loop must still be there.
 * Accepts NULL. */
void state_free(struct state *state);

#define STATE_RETRY_MS 30000
#define STATE_SWEEP_MS 2000

/* How a change came out, later, never under the call that asked for it. */
enum state_outcome {
    STATE_DONE,
    STATE_HANDED_OVER, /* by state_part: another process holds the room now */
    STATE_LATER,       /* by state_part: the file is another since a moment ago, not all have written yet */
    STATE_UNWRITTEN,   /* the file cannot be written; it was said why */
};
typedef void (*state_done)(void *ctx, enum state_outcome outcome);

/* Writes a room down as held by this process. done may be NULL. False at once when out of memory, or
 * while the file was given up: then done is not called. */
bool state_hold(struct state *state, const char *room, state_done done, void *ctx)
    __attribute__((warn_unused_result));
/* Before a room is destroyed: STATE_DONE where nobody else has people waiting for it, and
 * STATE_HANDED_OVER where somebody has, who holds it from now on; STATE_LATER: to be asked again. */
bool state_part(struct state *state, const char *room, state_done done, void *ctx)
    __attribute__((warn_unused_result));
/* Takes a room out: at once, or when the file can be written again. */
void state_release(struct state *state, const char *room);
/* Whether clients of this process wait in the room's lobby. */
void state_waiting(struct state *state, const char *room, bool is_waiting);
/* Whoever asked by ctx hears nothing any more. */
void state_forget(struct state *state, const void *ctx);
/* And has waited for too long: the file does not work until it answers. */
void state_give_up(struct state *state, const void *ctx);

/* Whether rooms can be written down now. */
bool state_is_working(const struct state *state);
#define STATE_PROBLEM_MAX 256
/* Why not; "" where they can. */
const char *state_problem(const struct state *state);
/* Whether another process has the same file open, which would find the rooms this one leaves. */
bool state_is_shared(const struct state *state);
void state_tick(struct state *state, int64_t now);
