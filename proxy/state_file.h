/*
 * The state file itself: what the worker does with it. Blocking, no loop, no log.
 *
 * Each process that has it open has a slot, a byte of the file that it keeps locked, and its rooms carry the
 * slot's number; so whoever finds the byte unlocked knows that the holder is gone, however it went. A process
 * whose file was moved or removed leaves it, and has no slot in another before it looked for a free one there.
 */
#pragma once

#include "proxy/state.h"

#include <sys/queue.h>

enum state_kind {
    STATE_HOLD,
    STATE_PART,
    STATE_RELEASE,
    STATE_WAITING,
    STATE_WAITING_NO_MORE,
    STATE_SWEEP, /* look for what others left; makes STATE_FOUND changes */
    STATE_FOUND,
    STATE_TAKE,      /* what was found is this process's now */
    STATE_SET_ASIDE, /* it is not, and not found again before another start */
    STATE_RENEW, /* forget what this process wrote: it is written anew behind this */
};

struct state_change {
    STAILQ_ENTRY(state_change) link;
    enum state_kind kind;
    enum state_outcome outcome;
    state_done done; /* the loop's side's */
    void *ctx;
    char room[];
};

STAILQ_HEAD(state_changes, state_change);

/* NULL when out of memory. */
struct state_change *state_change_new(enum state_kind kind, const char *room);

struct state_file;
struct state_file *state_file_new(const char *name); /* not opened yet; NULL when out of memory */
void state_file_free(struct state_file *f); /* accepts NULL */
/* Opens it where it is not open. False: state_file_problem says why. */
bool state_file_open(struct state_file *f);
/* Carries a batch out, all of it or nothing, opening the file first if need be. Each change gets its
 * outcome, and ret_found, empty before, what is found. A file that fails is opened anew by the next batch. */
void state_file_write(struct state_file *f, struct state_changes *batch, struct state_changes *ret_found);
const char *state_file_problem(const struct state_file *f); /* "" when all is well */
const char *state_file_name(const struct state_file *f);
/* How often it was opened: after the first time something may be missing in it, or too much. */
unsigned state_file_openings(const struct state_file *f);
/* How often it was another file, or none, that was found in its place. */
unsigned state_file_moves(const struct state_file *f);
/* Of any thread. */
bool state_file_is_shared(const struct state_file *f);
