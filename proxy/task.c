/*
 * A request of the rooms becomes one task, which gives one answer, at the end of a turn. What a
 * newcomer gets wrong: what waits for the state file has sent nothing yet, and may never.
 */
#include "proxy/task_send.h"

#include "proxy/log.h"
#include "proxy/service.h"
#include "proxy/state.h"
#include "policy/rooms.h"
#include "xmpp/muc.h"

#include <stdlib.h>
#include <string.h>

#define TAG "rooms"
/* More than another process may keep it locked, less than a join is held. */
#define FILE_LIMIT_MS 3000

static const char *kind_text(enum request_kind kind)
{
    static const char *const texts[] = {
        [REQUEST_FORM] = "read the owner form",  [REQUEST_SUBMIT] = "submit the owner form",
        [REQUEST_ROLES] = "list the occupants",  [REQUEST_AFFILIATIONS] = "look up an affiliation",
        [REQUEST_GRANT] = "give an affiliation", [REQUEST_INVITE] = "invite",
        [REQUEST_CREATE] = "make the room",      [REQUEST_DESTROY] = "destroy the room",
    };

    return texts[kind];
}

static const char *status_text(enum answer_status status)
{
    static const char *const texts[] = {
        [ANSWER_OK] = "done",           [ANSWER_ERROR] = "refused",
        [ANSWER_TIMEOUT] = "no answer", [ANSWER_LOST] = "the service stream ended",
        [ANSWER_UNSENT] = "not sent",
    };

    return texts[status];
}

static void log_answer(const struct task *t)
{
    char took[24], occupants[24];

    if (!log_enabled(LOG_LEVEL_DEBUG))
        return;
    snprintf(took, sizeof took, "%lld", (long long)(loop_now(t->tasks->proxy->loop) - t->since));
    snprintf(occupants, sizeof occupants, "%zu", t->occupants_len);
    log_event(
        LOG_LEVEL_DEBUG, TAG, kind_text(t->kind), {"room", t->room},
        {"jid", t->jid && t->jid[0] ? t->jid : NULL}, {"outcome", status_text(t->answer.status)},
        {"condition", t->condition[0] ? t->condition : NULL},
        {"occupants", t->kind == REQUEST_ROLES ? occupants : NULL, true}, {"took_ms", took, true});
}

static void task_free(struct task *t)
{
    *t->at = t->next;
    if (t->next)
        t->next->at = t->at;
    t->tasks->len--;
    if (t->tasks->proxy->state)
        state_forget(t->tasks->proxy->state, t);
    for (size_t i = 0; i < t->occupants_len; i++) {
        free((char *)(uintptr_t)t->occupants[i].nick);
        free((char *)(uintptr_t)t->occupants[i].bare_jid);
        free((char *)(uintptr_t)t->occupants[i].affiliation);
    }
    free(t->occupants);
    free(t->room);
    free(t->jid);
    free(t);
}

/* The rooms are told at the end of the turn, never under their own request. */
static void finish(struct deferred *work)
{
    struct tasks *tasks = (struct tasks *)((char *)work - offsetof(struct tasks, finish));
    const struct room_answer unsent = {.status = ANSWER_UNSENT, .condition = ""};
    struct task *next;

    while (tasks->unsent_len > 0)
        rooms_answer(tasks->proxy->rooms, tasks->unsent[--tasks->unsent_len], &unsent,
                     loop_now(tasks->proxy->loop));
    for (struct task *t = tasks->first; t; t = next) {
        next = t->next;
        if (!t->is_done || t->outstanding > 0)
            continue;
        t->answer.occupants = t->occupants;
        t->answer.occupants_len = t->occupants_len;
        log_answer(t);
        rooms_answer(tasks->proxy->rooms, t->id, &t->answer, loop_now(tasks->proxy->loop));
        task_free(t);
    }
}

void task_done(struct task *t, enum answer_status status, const char *condition)
{
    if (t->is_done)
        return;
    t->is_done = true;
    t->answer.status = status;
    snprintf(t->condition, sizeof t->condition, "%s", condition ? condition : "");
    t->answer.condition = t->condition;
    t->answer.affiliation = t->affiliation;
    loop_defer(t->tasks->proxy->loop, &t->tasks->finish);
}

/* Another instance may have people waiting in the lobby, whom nobody else can see (wire fact 12).
 */
static void on_parted(void *ctx, enum state_outcome outcome)
{
    struct task *t = ctx;

    t->awaits_file = false;
    t->deadline = INT64_MAX;
    if (outcome == STATE_HANDED_OVER)
        task_done(t, ANSWER_ERROR, "handed-over");
    else if (outcome == STATE_LATER)
        task_done(t, ANSWER_UNSENT, NULL);
    else
        task_send(t);
}

/* Written down, or not to be: only what is written down is made persistent. */
static void on_written(void *ctx, enum state_outcome outcome)
{
    struct task *t = ctx;

    t->awaits_file = false;
    t->deadline = INT64_MAX;
    t->answer.not_kept = outcome != STATE_DONE;
    if (t->answer.not_kept && t->kind == REQUEST_CREATE) {
        task_done(t, ANSWER_ERROR,
                  "internal-server-error"); /* it would be gone as soon as it is made */
        return;
    }
    if (t->answer.not_kept)
        t->persistent = -1;
    task_send(t);
}

/* What concerns other processes, or the next, goes to the state file first: what makes a room
 * persistent (it must be found after a crash, wire fact 17), and what ends it. */
static void begin(struct task *t)
{
    struct state *state = t->tasks->proxy->state;
    bool is_kept = (t->kind == REQUEST_SUBMIT || t->kind == REQUEST_CREATE) && t->persistent == 1;

    if (!state || (!is_kept && t->kind != REQUEST_DESTROY)) {
        task_send(t);
        return;
    }
    t->awaits_file = true;
    t->deadline = loop_now(t->tasks->proxy->loop) + FILE_LIMIT_MS;
    if (t->kind == REQUEST_DESTROY) {
        if (!state_part(state, t->room, on_parted, t))
            on_parted(t, STATE_UNWRITTEN);
        return;
    }
    if (!state_hold(state, t->room, on_written, t))
        on_written(t, STATE_UNWRITTEN);
}

/* A disk that stands still is no better than one that cannot be written. */
static void give_the_file_up(struct task *t)
{
    state_give_up(t->tasks->proxy->state, t);
    if (t->kind == REQUEST_DESTROY)
        on_parted(t, STATE_UNWRITTEN);
    else
        on_written(t, STATE_UNWRITTEN);
}

/* Out of memory: told without any. Over so many at once a room waits for the next start. */
static void not_sent(struct tasks *tasks, uint64_t id)
{
    if (tasks->unsent_len < TASKS_UNSENT_MAX)
        tasks->unsent[tasks->unsent_len++] = id;
    loop_defer(tasks->proxy->loop, &tasks->finish);
}

void task_start(struct tasks *tasks, const struct room_request *request)
{
    struct task *t = calloc(1, sizeof *t);

    if (!t) {
        not_sent(tasks, request->id);
        return;
    }
    t->tasks = tasks;
    t->id = request->id;
    t->kind = request->kind;
    t->membersonly = request->membersonly;
    t->persistent = request->persistent;
    t->since = loop_now(tasks->proxy->loop);
    t->deadline = INT64_MAX;
    snprintf(t->affiliation, sizeof t->affiliation, "%s",
             request->kind == REQUEST_GRANT ? request->affiliation : "none");
    t->next = tasks->first;
    t->at = &tasks->first;
    if (t->next)
        t->next->at = &t->next;
    tasks->first = t;
    tasks->len++;
    t->room = strdup(request->room);
    t->jid = strdup(request->jid ? request->jid : "");
    if (!t->room || !t->jid)
        task_done(t, ANSWER_UNSENT, NULL);
    else
        begin(t);
}

/* A room we are making: our own self-presence says it stands, an error that it does not. */
void tasks_presence(struct tasks *tasks, const struct element *presence)
{
    const char *from = element_attribute(presence, "from");
    struct muc_presence p;
    struct muc_room room;
    struct jid address;
    bool no_memory = false;
    enum muc_place place;

    if (!from || jid_parse(from, strlen(from), &address) != JID_OK)
        return;
    place = muc_locate(&tasks->proxy->config->xmpp, &address, &room, &no_memory);
    jid_done(&address);
    if (place == MUC_ELSEWHERE)
        return;
    muc_read_presence(presence, &p);
    for (struct task *t = tasks->first; place == MUC_MAIN && t; t = t->next) {
        if (t->kind != REQUEST_CREATE || t->is_done || t->outstanding || !t->room ||
            strcmp(t->room, room.jid) != 0)
            continue;
        if (p.error)
            task_done(t, ANSWER_ERROR, p.condition);
        else if (p.self && !p.unavailable)
            task_created(t, p.created);
    }
    muc_room_done(&room);
}

void tasks_init(struct tasks *tasks, struct proxy *proxy)
{
    tasks->proxy = proxy;
    tasks->finish.run = finish;
}

void tasks_free(struct tasks *tasks)
{
    while (tasks->first)
        task_free(tasks->first);
    loop_undefer(tasks->proxy->loop, &tasks->finish);
}

/* Those that wait for no answer to a stanza. What waits for the state file must not go out on the
 * next stream: the room has forgotten it by then, and lets people in. */
void tasks_lost(struct tasks *tasks)
{
    for (struct task *t = tasks->first; t; t = t->next) {
        if (t->awaits_file)
            state_forget(tasks->proxy->state, t);
        if (t->awaits_file || (t->kind == REQUEST_CREATE && t->outstanding == 0))
            task_done(t, ANSWER_LOST, NULL);
        t->awaits_file = false;
    }
}

void tasks_tick(struct tasks *tasks, int64_t now)
{
    for (struct task *t = tasks->first; t; t = t->next) {
        if (t->deadline > now || t->outstanding > 0 || t->is_done)
            continue;
        if (t->awaits_file) {
            give_the_file_up(t);
            continue;
        }
        task_leave_created(
            t); /* should we still get in: an occupant who stays would keep the room */
        task_done(t, ANSWER_TIMEOUT, NULL);
    }
}
