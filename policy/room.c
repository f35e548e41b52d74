/*
 * A room: its driver, the idle room, and how steps fail.
 *
 * The thing to know: a step is run again after whatever happens, and says by its result whether it
 * waits; nothing else moves a room.
 */
#include "policy/room.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FENCED_OFF_MS 100

static enum step_result step_idle(struct room *room, const struct room_answer *answer, int64_t now);
static enum step_result step_asking(struct room *room, const struct room_answer *answer,
                                    int64_t now);

static const struct step {
    enum step_result (*run)(struct room *room, const struct room_answer *answer, int64_t now);
    bool holds_all;   /* every join waits until it is over */
    bool is_changing; /* Prosody was told to do what throws out who comes in meanwhile */
    bool asks;        /* it waits for the answer to room.request */
    bool is_alone;    /* other instances let nobody in meanwhile */
} steps[] = {
    /* clang-format off */
    [ROOM_IDLE]       = {step_idle,       false, false, false, false},
    [ROOM_ASKING]     = {step_asking,     false, false, true, false},
    [ROOM_LISTING]    = {step_listing,    true,  false, true, true},
    [ROOM_GRANTING]   = {step_granting,   true,  false, false, true},
    [ROOM_SUBMITTING] = {step_submitting, true,  true,  true, true},
    [ROOM_VERIFYING]  = {step_verifying,  true,  false, true, true},
    [ROOM_REPAIRING]  = {step_repairing,  false, false, true, true},
    [ROOM_LANDING]    = {step_landing,    true,  false, false, true},
    [ROOM_CREATING]   = {step_creating,   true,  true,  true, true},
    [ROOM_CHECKING]   = {step_checking,   false, false, true, true},
    [ROOM_DESTROYING] = {step_destroying, true,  true,  true, true},
    [ROOM_GIVING_BACK] = {step_giving_back, true, false, true, false},
    [ROOM_STANDING_BACK] = {step_standing_back, true, false, false, true},
    [ROOM_UNDOING] = {step_undoing, true, false, true, true},
    /* clang-format on */
};

struct room *room_new(struct rooms *rooms, const char *name)
{
    struct room *room = calloc(1, sizeof(*room));

    if (room == NULL || (room->name = strdup(name)) == NULL) {
        free(room);
        return NULL;
    }
    room->rooms = rooms;
    room->submitted_at = ROOM_NEVER;
    room->answered_at = ROOM_NEVER;
    room->due = INT64_MAX;
    room->alone_since = NOT_WISHED;
    room->refused_since = NOT_WISHED;
    TAILQ_INIT(&room->occupants);
    TAILQ_INIT(&room->persons);
    TAILQ_INIT(&room->queue);
    TAILQ_INIT(&room->held);
    TAILQ_INIT(&room->in_flight);
    table_init(&room->persons_by_jid, rooms->seed);
    table_add(&rooms->by_name, &room->node, room->name, strlen(room->name));
    TAILQ_INSERT_TAIL(&rooms->list, room, link);
    release_reset(room);
    return room;
}

void room_free(struct room *room)
{
    struct rooms *rooms = room->rooms;

    while (!TAILQ_EMPTY(&room->held)) {
        join_free(TAILQ_FIRST(&room->held));
    }
    while (!TAILQ_EMPTY(&room->in_flight)) {
        join_free(TAILQ_FIRST(&room->in_flight));
    }
    occupants_remove_all(room);
    persons_remove_all(room);
    table_done(&room->persons_by_jid);
    request_drop(&room->request, rooms);
    fence_leave(room);
    rooms->persistent -= room->persistent ? 1 : 0;
    table_remove(&rooms->by_name, &room->node);
    TAILQ_REMOVE(&rooms->list, room, link);
    free(room->name);
    free(room);
}

/* A state that nobody watches any more is no knowledge. While joins are on their way it may be used
 * for them, by those who can do with less than certainty. */
static void fade(struct room *room)
{
    if (room->witnesses == 0) {
        room->confirmed = false;
    }
    if (room->state == LOBBY_NO_ROOM ||
        (room->watching == 0 && TAILQ_EMPTY(&room->held) && TAILQ_EMPTY(&room->in_flight))) {
        room_forget_state(room);
    }
}

static void check(const struct room *room)
{
    assert(steps[room->step].asks == (room->request.id != 0));
    assert(room->witnesses <= room->watching && room->watching <= room->inside);
    assert(!room->confirmed || room->state != LOBBY_UNKNOWN);
    assert(room->step != ROOM_DESTROYING || room->persistent);
}

static int64_t earliest(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void set_due(struct room *room, int64_t now)
{
    int64_t due = earliest(joins_due(room), occupants_due(room));

    due = earliest(due, room->is_fenced_off ? fence_due(room, now) : release_due(room));
    if ((!TAILQ_EMPTY(&room->held) || room->lobbyless > 0 || room->on_trust > 0) &&
        room->retry_at > now) {
        due = earliest(due, room->retry_at);
    }
    if (!TAILQ_EMPTY(&room->held) && room_is_unsettled(room)) {
        due = earliest(due, room_settled_by(room));
    }
    room->due = due;
    room->rooms->next = earliest(room->rooms->next, due);
}

void room_run(struct room *room, const struct room_answer *answer, int64_t now)
{
    enum step_result result;

    room_count_owner_sets(room, now);
    if (!release_wanted(room)) {
        release_reset(room);
    }
    room->is_fenced_off = false;
    do {
        result = steps[room->step].run(room, answer, now);
        answer = NULL;
    } while (result == STEP_MORE);
    members_take_back(room, now);
    members_send(room, now);
    fence_settle(room, room_is_alone(room));
    /* What was read for a change that another instance delays holds for a while, unless that one
     * changes the room: else it would be read again every time it is tried. */
    if (!room_holds_all(room) && room->step != ROOM_REPAIRING &&
        (!room->is_fenced_off || room->answered_at <= now - FENCED_OFF_MS)) {
        fade(room);
    }
    check(room);
    if (result == STEP_DONE) {
        room_free(room);
        return;
    }
    set_due(room, now);
}

void room_enter_step(struct room *room, enum room_step step)
{
    request_drop(&room->request, room->rooms);
    room->step = step;
}

bool room_holds_all(const struct room *room)
{
    return steps[room->step].holds_all;
}

bool room_is_changing(const struct room *room)
{
    return steps[room->step].is_changing;
}

bool room_is_alone(const struct room *room)
{
    return steps[room->step].is_alone;
}

bool room_can_ask(const struct room *room, int64_t now)
{
    return room->rooms->service_up && now >= room->retry_at;
}

void request_send(struct request *request, struct room *room, struct person *person,
                  enum request_kind kind, const char *jid, int persistent)
{
    struct rooms *rooms = room->rooms;
    struct room_request message = {.kind = kind, .room = room->name, .jid = jid};

    assert(request->id == 0);
    request->id = ++rooms->last_request;
    request->kind = kind;
    request->room = room;
    request->person = person;
    table_add(&rooms->requests, &request->node, &request->id, sizeof(request->id));
    message.id = request->id;
    message.persistent = persistent;
    if (kind == REQUEST_SUBMIT || kind == REQUEST_CREATE || kind == REQUEST_DESTROY) {
        fence_telling(room);
    }
    message.affiliation = "member";
    if (person != NULL && person->work == MEMBER_RESTORE) {
        message.affiliation = affiliation_text(person->restore);
    } else if (person != NULL && person->work == MEMBER_TAKE_BACK) {
        message.affiliation = "none";
    }
    message.membersonly =
        room->step != ROOM_UNDOING && (room->step != ROOM_GIVING_BACK || room->state == LOBBY_ON);
    rooms->actions.request(rooms->actions.ctx, &message);
}

void request_drop(struct request *request, struct rooms *rooms)
{
    if (request->id != 0) {
        table_remove(&rooms->requests, &request->node);
        request->id = 0;
    }
}

void room_send(struct room *room, enum request_kind kind, int persistent)
{
    request_send(&room->request, room, NULL, kind, NULL, persistent);
}

void room_note(const struct room *room, enum room_note_kind kind, const char *jid, const char *text,
               int64_t took_ms, size_t count)
{
    const struct room_actions *actions = &room->rooms->actions;
    struct room_note note = {.kind = kind,
                             .room = room->name,
                             .jid = jid,
                             .text = text,
                             .took_ms = took_ms,
                             .count = count};

    actions->note(actions->ctx, &note);
}

/* Idle. */

static enum step_result ask(struct room *room)
{
    room_enter_step(room, ROOM_ASKING);
    room->doubted = false;
    room_send(room, REQUEST_FORM, -1);
    return STEP_WAIT;
}

static bool is_unused(const struct room *room)
{
    return room->inside == 0 && room->outside == 0 && TAILQ_EMPTY(&room->held) &&
           TAILQ_EMPTY(&room->in_flight) && !room->persistent && room->owner_sets == 0 &&
           room->on_trust == 0;
}

/* What changes the room, once no other instance is in the way. */
static enum step_result begin_change(struct room *room, enum join_need need, int64_t now)
{
    switch (fence_alone(room, false, now)) {
    case FENCE_REFUSED:
        return STEP_WAIT;
    case FENCE_GIVEN_CHANGED:
        return STEP_MORE;
    case FENCE_GIVEN:
        break;
    }
    switch (need) {
    case NEED_CREATE:
        return create_begin(room, now);
    case NEED_TURN_ON:
        return turn_on_begin(room, now);
    default:
        return repair_begin(room, now);
    }
}

static enum step_result begin_undo(struct room *room, int64_t now)
{
    switch (fence_alone(room, false, now)) {
    case FENCE_REFUSED:
        return STEP_WAIT;
    case FENCE_GIVEN_CHANGED:
        room->lobbyless = 0; /* what was seen is from before */
        return STEP_MORE;
    case FENCE_GIVEN:
        break;
    }
    return undo_begin(room, now);
}

static enum step_result step_idle(struct room *room, const struct room_answer *answer, int64_t now)
{
    enum join_need need;

    assert(answer == NULL);
    if (undo_is_due(room, now)) {
        return begin_undo(room, now);
    }
    need = joins_decide(room, now);
    if (need <= NEED_FORM && undo_tries_again(room, now)) {
        need = NEED_REPAIR;
    }
    if (need > NEED_FORM) {
        return begin_change(room, need, now);
    }
    if (need == NEED_FORM) {
        return ask(room);
    }
    if (release_is_due(room, now)) {
        return fence_alone(room, !room->rooms->stopping, now) == FENCE_REFUSED
                   ? STEP_WAIT
                   : release_begin(room);
    }
    room->alone_since = NOT_WISHED;
    if (give_back_is_due(room, now)) {
        room->give_back_tries++;
        return room->state == LOBBY_UNKNOWN ? ask(room) : give_back_begin(room);
    }
    return is_unused(room) ? STEP_DONE : STEP_WAIT;
}

/* Asking. */

static void learn_from_form(struct room *room, const struct muc_form *form)
{
    enum lobby_state state = form->membersonly ? LOBBY_ON : LOBBY_OFF;

    if (room_is_unsettled(room)) {
        return; /* about to change: asked again when that is over */
    }
    if (state == LOBBY_OFF && room->lobby_room == LOBBY_ROOM_EXISTS) {
        room->lobby_room = LOBBY_ROOM_UNKNOWN;
    }
    /* In doubt lobby users ask again: the answer may be older than the announcement. */
    room_learn(room, state, !room->doubted);
}

static enum step_result step_asking(struct room *room, const struct room_answer *answer,
                                    int64_t now)
{
    if (answer == NULL) {
        joins_decide(room, now); /* who needs no form; the others wait for it */
        return STEP_WAIT;
    }
    if (answer_is_error(answer, "item-not-found")) {
        room_is_gone(room, now);
        room_learn(room, LOBBY_NO_ROOM, true);
    } else if (answer->status != ANSWER_OK) {
        return room_step_failed(room, "the owner form", answer, now);
    } else if (!answer->form.has_membersonly) {
        joins_fail(room, true, "the owner form has no members-only field", now);
        room_note(room, ROOM_FAILED, NULL, "the owner form has no members-only field", 0, 0);
    } else {
        learn_from_form(room, &answer->form);
    }
    room_enter_step(room, ROOM_IDLE);
    return STEP_MORE;
}

/* Failures. */

bool answer_is_error(const struct room_answer *answer, const char *condition)
{
    return answer->status == ANSWER_ERROR && answer->condition != NULL &&
           strcmp(answer->condition, condition) == 0;
}

void room_failure_text(char *text, size_t size, const char *what, const struct room_answer *answer)
{
    const char *hint = "";

    switch (answer->status) {
    case ANSWER_ERROR:
        if (answer_is_error(answer, "forbidden") || answer_is_error(answer, "not-allowed")) {
            hint = "; is the service account an admin of the MUC component?";
        }
        snprintf(text, size, "%s was refused: %s%s", what,
                 answer->condition == NULL ? "no condition" : answer->condition, hint);
        return;
    case ANSWER_TIMEOUT:
        snprintf(text, size, "%s was not answered in time", what);
        return;
    case ANSWER_OK:
    case ANSWER_LOST:
    case ANSWER_UNSENT:
        break;
    }
    snprintf(text, size, "%s was not answered: the service account is not connected", what);
}

enum step_result room_step_failed(struct room *room, const char *what,
                                  const struct room_answer *answer, int64_t now)
{
    bool is_lost = answer->status == ANSWER_LOST || answer->status == ANSWER_UNSENT;
    char text[256];

    if (room->step != ROOM_CREATING && answer_is_error(answer, "item-not-found")) {
        /* It went away in the middle: no failure, who waits meets a room that does not exist. */
        room_is_gone(room, now);
        room_learn(room, LOBBY_NO_ROOM, true);
        room_enter_step(room, ROOM_IDLE);
        return STEP_MORE;
    }
    room_failure_text(text, sizeof(text), what, answer);
    if (is_lost) {
        room->retry_at = now + RETRY_MS;
    } else {
        room_note(room, ROOM_FAILED, NULL, text, 0, 0);
    }
    room_enter_step(room, ROOM_IDLE);
    /* Without the service, lobby users wait for it: it may be back in time. */
    joins_fail(room, !is_lost, text, now);
    return STEP_MORE;
}

void room_set_persistent(struct room *room, bool persistent)
{
    const struct room_actions *actions = &room->rooms->actions;

    if (room->persistent == persistent) {
        return;
    }
    room->persistent = persistent;
    room->rooms->persistent += persistent ? 1 : (size_t)-1;
    room->adopted = room->adopted && persistent;
    if (!persistent && actions->unkept != NULL) {
        actions->unkept(actions->ctx, room->name);
    }
}

void room_is_gone(struct room *room, int64_t now)
{
    if (room->persistent) {
        room_note(room, ROOM_FORGOTTEN, NULL, NULL, 0, 0);
    }
    room_set_persistent(room, false);
    persons_remove_all(room);
    room_forget_state(room);
    room->turned_on = room->is_proof_due = false;
    room->lobbyless = 0;
}
