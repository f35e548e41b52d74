/*
 * The loop's side of the state file: changes wait in a queue, a batch at a time goes to a worker.
 * What a newcomer gets wrong: the file belongs to the worker while one is busy.
 */
#include "proxy/state.h"

#include "proxy/log.h"
#include "proxy/state_file.h"
#include "proxy/worker.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TAG "state"
#define HANGS "it does not answer, its disk is slow or stands still"
#define NO_THREAD "no thread can be started for it"
#define CHANGES_MAX 65536 /* waiting to be written; a room costs a few at a time */

struct state {
    struct loop *loop;
    struct state_file *file; /* the worker's while is_busy */
    struct state_changes waiting, batch;
    struct state_changes found; /* the worker's while is_busy */
    size_t waiting_len;
    bool is_busy;
    bool is_working;
    bool is_hanging; /* somebody waited too long for the worker */
    bool has_no_thread;
    bool is_losing; /* changes that had no room: all is written anew once there is */
    bool is_renewing;
    char problem[STATE_PROBLEM_MAX]; /* the file's own belongs to the worker */
    int64_t retry_at, sweep_at;
    bool is_ending;
    unsigned openings; /* of which it was made good what is missing */
    unsigned moves;    /* told */
    struct worker *worker;
    struct worker_job job;
    const struct state_callbacks *callbacks;
    void *ctx;
};

/* Said when it changes. */
static void set_working(struct state *s)
{
    const char *problem = s->is_hanging      ? HANGS
                          : s->has_no_thread ? NO_THREAD
                                             : state_file_problem(s->file);
    bool is_working = problem[0] == '\0';
    bool is_new = s->is_working || strcmp(s->problem, HANGS) == 0;

    snprintf(s->problem, sizeof s->problem, "%s", problem);
    if (!is_working) {
        s->retry_at = loop_now(s->loop) + STATE_RETRY_MS;
        if (is_new)
            log_line(LOG_LEVEL_ERROR, TAG,
                     "state.file %s: %s; until then no room is kept when it becomes empty",
                     state_file_name(s->file), problem);
    } else if (!s->is_working) {
        log_line(LOG_LEVEL_INFO, TAG, "state.file %s can be written again",
                 state_file_name(s->file));
    }
    s->is_working = is_working;
}

static bool add(struct state *s, enum state_kind kind, const char *room, state_done done,
                void *ctx);

/* Its row says so only now that the room is known here. Out of memory: the next sweep finds it. */
static void tell_found(struct state *s, const char *room)
{
    switch (s->callbacks->found(s->ctx, room)) {
    case STATE_FOUND_TAKEN:
        (void)add(s, STATE_TAKE, room, NULL, NULL);
        break;
    case STATE_FOUND_ASIDE:
        (void)add(s, STATE_SET_ASIDE, room, NULL, NULL);
        break;
    case STATE_FOUND_NO_ROOM:
        (void)add(s, STATE_RELEASE, room, NULL, NULL);
        break;
    case STATE_FOUND_LATER:
        break;
    }
}

static void tell(struct state *s, struct state_change *change)
{
    if (change->kind == STATE_FOUND && !s->is_ending)
        tell_found(s, change->room); /* else the next process finds it */
    else if (change->done && !s->is_ending)
        change->done(change->ctx, change->outcome);
    free(change);
}

static struct state *state_of(struct worker_job *job)
{
    return (struct state *)((char *)job - offsetof(struct state, job));
}

static void work(struct worker_job *job)
{
    struct state *s = state_of(job);

    state_file_write(s->file, &s->batch, &s->found);
}

static void begin(struct state *s);

/* Changes that could not be written are lost, and in a new file all is missing. */
static void renew(struct state *s)
{
    unsigned openings = state_file_openings(s->file);
    bool was_losing = s->is_losing;

    if ((openings == s->openings && !was_losing) || !s->is_working || s->is_ending ||
        !add(s, STATE_RENEW, "", NULL, NULL)) /* out of memory: after the next batch */
        return;
    s->openings = openings;
    s->is_losing = false;
    s->is_renewing = true;
    s->callbacks->renew(s->ctx);
    s->is_renewing = false;
    if (was_losing && !s->is_losing)
        log_line(LOG_LEVEL_INFO, TAG, "state.file %s: changes are noted again, nothing is missing",
                 state_file_name(s->file));
}

static void note_move(struct state *s)
{
    unsigned moves = state_file_moves(s->file);

    if (moves != s->moves)
        log_line(LOG_LEVEL_WARN, TAG,
                 "state.file %s was moved or removed: what is held is written anew in its place",
                 state_file_name(s->file));
    s->moves = moves;
}

/* Its changes are lost, as those of a file that cannot be written. */
static void note_lost(struct state *s)
{
    struct state_change *change;

    STAILQ_FOREACH(change, &s->batch, link)
    {
        change->outcome = STATE_UNWRITTEN;
    }
    s->is_losing = true;
}

static void worked(struct worker_job *job, int status)
{
    struct state *s = state_of(job);
    struct state_change *change;

    s->is_hanging = false;
    s->has_no_thread = status != 0;
    if (s->has_no_thread)
        note_lost(s);
    note_move(s);
    set_working(s);
    renew(s);
    STAILQ_CONCAT(&s->batch, &s->found);
    while ((change = STAILQ_FIRST(&s->batch))) {
        STAILQ_REMOVE_HEAD(&s->batch, link);
        tell(s, change); /* who may ask for more: it waits, as is_busy still holds */
    }
    s->is_busy = false;
    if (!STAILQ_EMPTY(&s->waiting))
        begin(s);
}

static void begin(struct state *s)
{
    assert(!s->is_busy);
    STAILQ_CONCAT(&s->batch, &s->waiting);
    s->waiting_len = 0;
    s->is_busy = true;
    worker_queue(s->worker, &s->job);
}

/* Said when it begins: thousands may follow. */
static void loses(struct state *s, bool is_full)
{
    if (!s->is_losing)
        log_line(LOG_LEVEL_WARN, TAG,
                 "state.file %s: %s; until there is room for changes, rooms are not kept when they "
                 "become empty, and other instances do not learn who waits",
                 state_file_name(s->file),
                 is_full ? "too many changes wait to be written, its disk is slow or stands still"
                         : "out of memory");
    s->is_losing = true;
}

/* What is written anew is as much as there are rooms. */
static bool add(struct state *s, enum state_kind kind, const char *room, state_done done, void *ctx)
{
    bool is_full = s->waiting_len >= CHANGES_MAX && !s->is_renewing && kind != STATE_RENEW;
    struct state_change *change = is_full ? NULL : state_change_new(kind, room);

    if (!change) {
        loses(s, is_full);
        return false;
    }
    change->done = done;
    change->ctx = ctx;
    STAILQ_INSERT_TAIL(&s->waiting, change, link);
    s->waiting_len++;
    if (!s->is_busy)
        begin(s);
    return true;
}

bool state_hold(struct state *s, const char *room, state_done done, void *ctx)
{
    return !(done && s->is_hanging) && add(s, STATE_HOLD, room, done, ctx);
}

bool state_part(struct state *s, const char *room, state_done done, void *ctx)
{
    return !(done && s->is_hanging) && add(s, STATE_PART, room, done, ctx);
}

void state_release(struct state *s, const char *room)
{
    (void)add(s, STATE_RELEASE, room, NULL, NULL); /* else all is written anew without it */
}

void state_waiting(struct state *s, const char *room, bool is_waiting)
{
    (void)add(s, is_waiting ? STATE_WAITING : STATE_WAITING_NO_MORE, room, NULL, NULL);
}

static void forget(struct state_changes *changes, const void *ctx)
{
    struct state_change *change;

    STAILQ_FOREACH(change, changes, link)
    {
        if (change->ctx == ctx)
            change->done = NULL;
    }
}

void state_forget(struct state *s, const void *ctx)
{
    forget(&s->waiting, ctx);
    forget(&s->batch, ctx);
}

void state_give_up(struct state *s, const void *ctx)
{
    state_forget(s, ctx);
    if (s->is_hanging)
        return;
    s->is_hanging = true;
    set_working(s);
}

bool state_is_working(const struct state *s)
{
    return s->is_working;
}

const char *state_problem(const struct state *s)
{
    return s->problem;
}

bool state_is_shared(const struct state *s)
{
    return state_file_is_shared(s->file);
}

void state_tick(struct state *s, int64_t now)
{
    if (now < s->sweep_at || s->is_busy || (!s->is_working && now < s->retry_at))
        return;
    s->sweep_at = now + STATE_SWEEP_MS;
    (void)add(s, STATE_SWEEP, "", NULL, NULL); /* out of memory: the next time */
}

struct state *state_new(struct loop *loop, const char *file,
                        const struct state_callbacks *callbacks, void *ctx)
{
    struct state *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->file = state_file_new(file);
    s->worker = worker_new(loop_uv(loop), 1);
    if (!s->file || !s->worker) {
        worker_free(s->worker);
        state_file_free(s->file);
        free(s);
        return NULL;
    }
    s->job = (struct worker_job){.run = work, .done = worked};
    s->loop = loop;
    s->callbacks = callbacks;
    s->ctx = ctx;
    s->is_working = true;
    STAILQ_INIT(&s->waiting);
    STAILQ_INIT(&s->batch);
    STAILQ_INIT(&s->found);
    (void)state_file_open(s->file);
    s->openings = state_file_openings(s->file);
    set_working(s);
    return s;
}

void state_free(struct state *s)
{
    if (!s)
        return;
    s->is_ending = true;
    /* A batch under way is waited for; what it leaves begins the next. */
    while (s->is_busy)
        uv_run(loop_uv(s->loop), UV_RUN_ONCE);
    worker_free(s->worker);
    state_file_free(s->file);
    free(s);
}
