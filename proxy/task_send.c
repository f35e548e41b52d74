/*
 * A task's stanzas, and the reading of their answers: one or more for each kind of request.
 */
#include "proxy/task_send.h"

#include "proxy/log.h"
#include "xmpp/muc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TAG "rooms"
#define SERVICE_NICK "vestibule"
#define CREATE_LIMIT_MS 10000
#define OCCUPANTS_MAX 20000

/* Sends a built stanza; what cannot be sent fails the task. */
static void ask(struct task *t, const char *id, const char *from, struct buf *stanza,
                pending_callback callback)
{
    if (!t->is_done) {
        if (service_send(t->tasks->proxy->service, id, from, stanza, callback, t))
            t->outstanding += callback ? 1 : 0;
        else
            task_done(t, ANSWER_UNSENT, NULL);
    }
    buf_done(stanza);
}

/* One answer less to wait for; with the first failure or the last answer the task is done. */
static bool answered(struct task *t, enum answer_status status, const struct element *answer)
{
    t->outstanding--;
    if (status != ANSWER_OK)
        task_done(t, status, status == ANSWER_ERROR ? stanza_error_condition(answer) : NULL);
    if (t->is_done && t->outstanding == 0)
        loop_defer(t->tasks->proxy->loop, &t->tasks->finish);
    return !t->is_done;
}

static void on_simple(void *ctx, enum answer_status status, const struct element *iq)
{
    struct task *t = ctx;

    if (answered(t, status, iq))
        task_done(t, ANSWER_OK, NULL);
}

static void on_form(void *ctx, enum answer_status status, const struct element *iq)
{
    struct task *t = ctx;

    if (!answered(t, status, iq))
        return;
    (void)muc_read_form(iq, &t->answer.form); /* none at all has no field either */
    task_done(t, ANSWER_OK, NULL);
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
        task_done(t, ANSWER_ERROR, "resource-constraint");
    else if (t->outstanding == 0)
        task_done(t, ANSWER_OK, NULL);
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
        task_done(t, ANSWER_OK, NULL);
}

static void on_invite_error(void *ctx, enum answer_status status, const struct element *message)
{
    struct task *t = ctx;

    /* Silence is an invite's success: only a message of type error counts. */
    t->outstanding--;
    if (status == ANSWER_ERROR)
        task_done(t, ANSWER_ERROR, stanza_error_condition(message));
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
        task_done(t, ANSWER_OK, NULL);
    else
        task_done(t, status, NULL);
    if (t->outstanding == 0)
        loop_defer(t->tasks->proxy->loop, &t->tasks->finish);
}

void task_leave_created(struct task *t)
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

    task_leave_created(t);
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

void task_send(struct task *t)
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

/* Only a room that is new (status 201) is configured: members-only would throw the occupants of
 * another out (wire fact 15). */
void task_created(struct task *t, bool is_new)
{
    t->membersonly = true;
    if (is_new) {
        send_submit(t, on_created_submit);
    } else {
        task_leave_created(t);
        task_done(t, ANSWER_ERROR, "conflict");
    }
}
