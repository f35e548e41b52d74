/*
 * A request of the rooms becomes one task; a task sends one or more stanzas through the service
 * account and gives one answer, at the end of a turn.
 */
#include "proxy/task.h"

#include "proxy/log.h"
#include "proxy/service.h"
#include "proxy/state.h"
#include "policy/rooms.h"
#include "xmpp/muc.h"

#include <stdlib.h>
#include <string.h>

#define TAG "rooms"
#define SERVICE_NICK "vestibule"
#define CREATE_LIMIT_MS 10000
#define FILE_LIMIT_MS                                                                              \
    3000 /* more than another process may keep it locked, less than a join is held */
#define OCCUPANTS_MAX 20000

struct task {
    struct tasks *tasks;
    uint64_t id;
    enum request_kind kind;
    char *room, *jid;
    bool membersonly;
    int persistent;
    int64_t since;
    bool awaits_file;   /* nothing is sent yet */
    size_t outstanding; /* stanzas not answered yet */
    bool is_done;       /* answered, or to be answered from `deferred` */
    struct room_answer answer;
    char condition[64];
    char affiliation[16];
    struct room_occupant *occupants;
    size_t occupants_len, occupants_cap;
    int64_t deadline;               /* of the state file, or of CREATE's presence */
    char invite_id[SERVICE_ID_LEN]; /* of INVITE's message, which only an error answers */
    struct task *next, **at;
};

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

static void done(struct task *t, enum answer_status status, const char *condition)
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

/* Sends a built stanza; what cannot be sent fails the task. */
static void ask(struct task *t, const char *id, const char *from, struct buf *stanza,
                pending_callback callback)
{
    if (!t->is_done) {
        if (service_send(t->tasks->proxy->service, id, from, stanza, callback, t))
            t->outstanding += callback ? 1 : 0;
        else
            done(t, ANSWER_UNSENT, NULL);
    }
    buf_done(stanza);
}

/* One answer less to wait for; with the first failure or the last answer the task is done. */
static bool answered(struct task *t, enum answer_status status, const struct element *answer)
{
    t->outstanding--;
    if (status != ANSWER_OK)
        done(t, status, status == ANSWER_ERROR ? stanza_error_condition(answer) : NULL);
    if (t->is_done && t->outstanding == 0)
        loop_defer(t->tasks->proxy->loop, &t->tasks->finish);
    return !t->is_done;
}

static void on_simple(void *ctx, enum answer_status status, const struct element *iq)
{
    struct task *t = ctx;

    if (answered(t, status, iq))
        done(t, ANSWER_OK, NULL);
}

static void on_form(void *ctx, enum answer_status status, const struct element *iq)
{
    struct task *t = ctx;

    if (!answered(t, status, iq))
        return;
    (void)muc_read_form(iq, &t->answer.form); /* none at all has no field either */
    done(t, ANSWER_OK, NULL);
}

static char *bare_of(const char *text)
{
    struct jid jid;
    char *bare;

    if (jid_parse(text, strlen(text), &jid) != JID_OK)
        return NULL;
    bare = jid_bare(&jid);
    jid_done(&jid);
    return bare;
}

static bool add_occupant(void *ctx, const struct muc_item *item)
{
    struct task *t = ctx;
    struct room_occupant o;
    struct room_occupant *more;

    if (t->occupants_len == t->occupants_cap) {
        size_t cap = t->occupants_cap ? t->occupants_cap * 2 : 16;

        more = cap <= OCCUPANTS_MAX ? reallocarray(t->occupants, cap, sizeof *more) : NULL;
        if (!more)
            return false;
        t->occupants = more;
        t->occupants_cap = cap;
    }
    o.nick = strdup(item->nick);
    o.bare_jid = bare_of(item->jid);
    o.affiliation = strdup(item->affiliation);
    if (!o.nick || !o.bare_jid || !o.affiliation) {
        free((char *)(uintptr_t)o.nick);
        free((char *)(uintptr_t)o.bare_jid);
        free((char *)(uintptr_t)o.affiliation);
        return false;
    }
    t->occupants[t->occupants_len++] = o;
    return true;
}

static void on_role(void *ctx, enum answer_status status, const struct element *iq)
{
    struct task *t = ctx;

    if (!answered(t, status, iq))
        return;
    if (!muc_read_items(iq, add_occupant, t))
        done(t, ANSWER_ERROR, "resource-constraint");
    else if (t->outstanding == 0)
        done(t, ANSWER_OK, NULL);
}

static bool find_jid(void *ctx, const struct muc_item *item)
{
    struct task *t = ctx;

    if (strcmp(item->jid, t->jid) == 0)
        snprintf(t->affiliation, sizeof t->affiliation, "%s", item->affiliation);
    return true;
}

static void on_affiliation(void *ctx, enum answer_status status, const struct element *iq)
{
    struct task *t = ctx;

    if (!answered(t, status, iq))
        return;
    muc_read_items(iq, find_jid, t);
    if (t->outstanding == 0)
        done(t, ANSWER_OK, NULL);
}

static void on_invite_error(void *ctx, enum answer_status status, const struct element *message)
{
    struct task *t = ctx;

    /* Silence is an invite's success: only a message of type error counts. */
    t->outstanding--;
    if (status == ANSWER_ERROR)
        done(t, ANSWER_ERROR, stanza_error_condition(message));
    if (t->is_done && t->outstanding == 0)
        loop_defer(t->tasks->proxy->loop, &t->tasks->finish);
}

/* Prosody handles one stream's stanzas in order, so an answered ping says the invite was handled.
 */
static void on_invite_ping(void *ctx, enum answer_status status, const struct element *iq)
{
    struct task *t = ctx;

    t->outstanding--;
    if (service_forget(t->tasks->proxy->service, t->invite_id))
        t->outstanding--;
    if (status == ANSWER_OK || status == ANSWER_ERROR)
        done(t, ANSWER_OK, NULL);
    else
        done(t, status, NULL);
    if (t->outstanding == 0)
        loop_defer(t->tasks->proxy->loop, &t->tasks->finish);
}

static void leave_created(struct task *t)
{
    char id[SERVICE_ID_LEN];
    struct buf out = BUF_INIT;

    service_make_id(t->tasks->proxy->service, id);
    muc_leave(&out, t->room, SERVICE_NICK, id);
    if (!service_send(t->tasks->proxy->service, id, "", &out, NULL, NULL))
        log_line(LOG_LEVEL_WARN, TAG, "%s: the room made for a lobby user could not be left",
                 t->room);
    buf_done(&out);
}

static void on_created_submit(void *ctx, enum answer_status status, const struct element *iq)
{
    struct task *t = ctx;

    leave_created(t);
    on_simple(ctx, status, iq);
}

static void send_submit(struct task *t, pending_callback callback)
{
    char id[SERVICE_ID_LEN];
    struct buf out = BUF_INIT;

    service_make_id(t->tasks->proxy->service, id);
    muc_submit_form(&out, t->room, id, t->membersonly, t->persistent);
    ask(t, id, t->room, &out, callback);
}

static void send_lists(struct task *t)
{
    static const char *const roles[] = {"moderator", "participant", "visitor"};
    static const char *const affiliations[] = {"owner", "admin", "member", "outcast"};
    bool by_role = t->kind == REQUEST_ROLES;

    for (size_t i = 0; i < (by_role ? 3u : 4u); i++) {
        char id[SERVICE_ID_LEN];
        struct buf out = BUF_INIT;

        service_make_id(t->tasks->proxy->service, id);
        if (by_role)
            muc_list_role(&out, t->room, id, roles[i]);
        else
            muc_list_affiliation(&out, t->room, id, affiliations[i]);
        ask(t, id, t->room, &out, by_role ? on_role : on_affiliation);
    }
}

static void send_invite(struct task *t)
{
    char ping[SERVICE_ID_LEN];
    struct buf out = BUF_INIT;

    service_make_id(t->tasks->proxy->service, t->invite_id);
    muc_invite(&out, t->room, t->invite_id, t->jid);
    ask(t, t->invite_id, t->room, &out, on_invite_error);
    service_make_id(t->tasks->proxy->service, ping);
    service_ping(&out, ping);
    ask(t, ping, "", &out, on_invite_ping);
}

static void send_create(struct task *t)
{
    char id[SERVICE_ID_LEN];
    struct buf out = BUF_INIT;

    t->deadline = loop_now(t->tasks->proxy->loop) + CREATE_LIMIT_MS;
    service_make_id(t->tasks->proxy->service, id);
    muc_join(&out, t->room, SERVICE_NICK, id);
    ask(t, id, t->room, &out, NULL);
}

static void send_task(struct task *t)
{
    char id[SERVICE_ID_LEN];
    struct buf out = BUF_INIT;

    service_make_id(t->tasks->proxy->service, id);
    switch (t->kind) {
    case REQUEST_FORM:
        muc_get_form(&out, t->room, id);
        ask(t, id, t->room, &out, on_form);
        break;
    case REQUEST_SUBMIT:
        send_submit(t, on_simple);
        break;
    case REQUEST_ROLES:
    case REQUEST_AFFILIATIONS:
        send_lists(t);
        break;
    case REQUEST_GRANT:
        muc_grant(&out, t->room, id, t->jid, t->affiliation);
        ask(t, id, t->room, &out, on_simple);
        break;
    case REQUEST_INVITE:
        send_invite(t);
        break;
    case REQUEST_CREATE:
        send_create(t);
        break;
    case REQUEST_DESTROY:
        muc_destroy(&out, t->room, id, "");
        ask(t, id, t->room, &out, on_simple);
        break;
    }
}

/* Another instance may have people waiting in the lobby, whom nobody else can see (wire fact 12).
 */
static void on_parted(void *ctx, enum state_outcome outcome)
{
    struct task *t = ctx;

    t->awaits_file = false;
    t->deadline = INT64_MAX;
    if (outcome == STATE_HANDED_OVER)
        done(t, ANSWER_ERROR, "handed-over");
    else
        send_task(t);
}

/* Written down, or not to be: only what is written down is made persistent. */
static void on_written(void *ctx, enum state_outcome outcome)
{
    struct task *t = ctx;

    t->awaits_file = false;
    t->deadline = INT64_MAX;
    t->answer.not_kept = outcome != STATE_DONE;
    if (t->answer.not_kept && t->kind == REQUEST_CREATE) {
        done(t, ANSWER_ERROR, "internal-server-error"); /* it would be gone as soon as it is made */
        return;
    }
    if (t->answer.not_kept)
        t->persistent = -1;
    send_task(t);
}

/* What concerns other processes, or the next, goes to the state file first: what makes a room
 * persistent (it must be found after a crash, wire fact 17), and what ends it. */
static void begin(struct task *t)
{
    struct state *state = t->tasks->proxy->state;
    bool is_kept = (t->kind == REQUEST_SUBMIT || t->kind == REQUEST_CREATE) && t->persistent == 1;

    if (!state || (!is_kept && t->kind != REQUEST_DESTROY)) {
        send_task(t);
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
        done(t, ANSWER_UNSENT, NULL);
    else
        begin(t);
}

/* Only a room that is new (status 201) is configured: members-only would throw the occupants of
 * another out (wire fact 15). */
static void created(struct task *t, bool is_new)
{
    t->membersonly = true;
    if (is_new) {
        send_submit(t, on_created_submit);
    } else {
        leave_created(t);
        done(t, ANSWER_ERROR, "conflict");
    }
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
            done(t, ANSWER_ERROR, p.condition);
        else if (p.self && !p.unavailable)
            created(t, p.created);
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
            done(t, ANSWER_LOST, NULL);
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
        leave_created(t); /* should we still get in: an occupant who stays would keep the room */
        done(t, ANSWER_TIMEOUT, NULL);
    }
}
