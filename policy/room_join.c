/*
 * Joins: what becomes of each, and how long it may wait.
 *
 * The thing to know: a join that was forwarded stays here, "in flight", until Prosody's word on it
 * passes by. Whoever is in flight when a lobby is turned on may already be inside.
 */
#include "policy/room.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define IN_FLIGHT_MS 30000
#define RULE_ON_FAILURE "on-failure"

struct join *join_new(struct room *room, struct session *session, const struct room_join *from,
                      int64_t now)
{
    struct join *join = calloc(1, sizeof(*join));

    if (join == NULL) {
        return NULL;
    }
    join->id = from->id;
    join->room = room;
    join->session = session;
    join->applicant = from->applicant;
    join->fresh_jid = from->fresh_jid;
    join->held_at = now;
    session_hold(session);
    TAILQ_INSERT_TAIL(&session->joins, join, session_link);
    TAILQ_INSERT_TAIL(&room->held, join, room_link);
    table_add(&room->rooms->joins, &join->node, &join->id, sizeof(join->id));
    return join;
}

static void leave_person(struct join *join)
{
    if (join->person != NULL) {
        join->person->waiting--;
        join->person = NULL;
    }
}

/* No longer held: out of the queue, and its id means nothing any more. */
static void unhold(struct join *join)
{
    leave_person(join);
    TAILQ_REMOVE(&join->room->held, join, room_link);
    table_remove(&join->room->rooms->joins, &join->node);
}

void join_free(struct join *join)
{
    if (join->phase == JOIN_IN_FLIGHT) {
        TAILQ_REMOVE(&join->room->in_flight, join, room_link);
    } else {
        unhold(join);
    }
    TAILQ_REMOVE(&join->session->joins, join, session_link);
    session_drop(join->session, join->room->rooms);
    free(join);
}

static bool is_of(const struct join *join, const char *bare_jid)
{
    return strcmp(join->session->bare_jid, bare_jid) == 0;
}

/* Settling. */

static void settle(struct join *join, struct room_verdict *verdict, int64_t now)
{
    struct room *room = join->room;
    const struct room_actions *actions = &room->rooms->actions;

    assert(join->phase != JOIN_IN_FLIGHT);
    verdict->held_ms = now - join->held_at;
    actions->settle(actions->ctx, join->id, verdict);
    if (!verdict->forward) {
        join_free(join);
        return;
    }
    unhold(join);
    join->phase = JOIN_IN_FLIGHT;
    join->until = now + IN_FLIGHT_MS;
    TAILQ_INSERT_TAIL(&room->in_flight, join, room_link);
}

static void join_forward(struct join *join, const char *rule, const char *reason, int64_t now)
{
    struct room_verdict verdict = {.forward = true, .rule = rule, .reason = reason};

    settle(join, &verdict, now);
}

bool verdict_on_failure(const struct rooms_config *config, enum applicant applicant,
                        const char *reason, struct room_verdict *ret)
{
    bool forward = false;

    switch (applicant) {
    case APPLICANT_GUEST:
    case APPLICANT_PLAIN:
    case APPLICANT_OTHER_ROOM:
        forward = true; /* at worst he meets the lobby */
        break;
    case APPLICANT_LOBBY:
        forward = config->forward_on_failure;
        break;
    case APPLICANT_UNJUDGED:
        break;
    }
    *ret = (struct room_verdict){.forward = forward, .rule = RULE_ON_FAILURE, .reason = reason};
    if (!forward) {
        ret->error_type = "wait";
        ret->error_condition = "service-unavailable";
    }
    return forward;
}

bool must_be_sure(enum applicant applicant)
{
    return applicant == APPLICANT_LOBBY || applicant == APPLICANT_UNJUDGED;
}

/* He whom the join is of has a membership, or may get one, that is not his yet. */
static const struct person *on_trust(const struct join *join)
{
    const struct room *room = join->room;
    const struct person *person =
        room->on_trust > 0 ? person_find(room, join->session->bare_jid) : NULL;

    return person != NULL && person->on_trust ? person : NULL;
}

void join_fail(struct join *join, const char *reason, int64_t now)
{
    enum applicant applicant = join->applicant;
    struct room_verdict verdict;

    if (must_be_sure(applicant) && on_trust(join) != NULL) {
        applicant = APPLICANT_UNJUDGED; /* no failure, he could bring it about */
    }
    verdict_on_failure(join->room->rooms->config, applicant, reason, &verdict);
    settle(join, &verdict, now);
}

/* Those that wait for the room; not all: only who is no worse off when nothing is done for him. */
void joins_fail(struct room *room, bool all, const char *reason, int64_t now)
{
    struct join *join, *next;

    if (!TAILQ_EMPTY(&room->held) && fence_share(room, now) == FENCE_REFUSED) {
        return; /* another instance changes it, and may have none of it: everyone waits */
    }
    for (join = TAILQ_FIRST(&room->held); join != NULL; join = next) {
        next = TAILQ_NEXT(join, room_link);
        if (join->phase == JOIN_WAITS_ROOM && (all || !must_be_sure(join->applicant))) {
            join_fail(join, reason, now);
        }
    }
}

void joins_fail_on_trust(struct room *room, const char *bare_jid, const char *reason, int64_t now)
{
    struct join *join, *next;

    for (join = TAILQ_FIRST(&room->held); join != NULL; join = next) {
        next = TAILQ_NEXT(join, room_link);
        if (must_be_sure(join->applicant) && is_of(join, bare_jid)) {
            join_fail(join, reason, now);
        }
    }
}

/* Deciding. */

static enum lobby_state state_for(const struct room *room, enum applicant applicant)
{
    if (room_is_unsettled(room) || (must_be_sure(applicant) && !room->confirmed)) {
        return LOBBY_UNKNOWN;
    }
    return room->state;
}

/* Whether the lobby he is to wait in may be missing (wire fact 16). */
static bool needs_repair(const struct join *join, int64_t now)
{
    const struct room *room = join->room;

    if (join->applicant != APPLICANT_LOBBY || room->state != LOBBY_ON) {
        return false;
    }
    if (room->step == ROOM_REPAIRING || room->lobby_room == LOBBY_ROOM_MISSING) {
        return true;
    }
    return room->lobby_room == LOBBY_ROOM_UNKNOWN && room_can_ask(room, now);
}

static const char *service_is_away(const struct room *room)
{
    const char *refused = room->rooms->service_refused;

    return refused == NULL ? "the service account is not connected" : refused;
}

/* He waits for the room to do it, which it cannot while the service is away; and not at all where
 * the service will not come, or no lobby would. */
static enum join_need need(struct join *join, enum join_need what, int64_t now)
{
    struct room *room = join->room;
    const char *refused = what > NEED_FORM ? undo_refuses(room, now) : NULL;

    if (refused != NULL) {
        join_fail(join, refused, now);
        return NEED_NOTHING;
    }
    if (room_can_ask(room, now)) {
        return what;
    }
    if (!must_be_sure(join->applicant) || room->rooms->service_refused != NULL) {
        join_fail(join, service_is_away(room), now);
    }
    return NEED_NOTHING;
}

static void make_member(struct join *join, const struct decision *decision, int64_t now)
{
    struct room *room = join->room;
    struct person *person;

    if (jid_is_focus(join->session->bare_jid)) {
        join_forward(join, decision->rule, decision->reason, now);
        return;
    }
    person = person_get(room, join->session->bare_jid);
    if (person != NULL) {
        person_set_on_trust(person, room, false); /* his token gives it to him */
    }
    if (person == NULL) {
        join_fail(join, "out of memory", now);
    } else if (person_is_settled(person)) {
        join_forward(join, decision->rule, decision->reason, now);
    } else if (!room_can_ask(room, now)) {
        join_fail(join, service_is_away(room), now);
    } else {
        join->phase = JOIN_WAITS_MEMBER;
        join->person = person;
        person->waiting++;
        person_queue(person, room, join->fresh_jid, now);
    }
}

static enum join_need decide_one(struct join *join, int64_t now)
{
    struct room *room = join->room;
    struct decision decision =
        decide(room->rooms->config->rules, join->applicant, state_for(room, join->applicant));
    struct room_verdict refusal = {.error_type = decision.error_type,
                                   .error_condition = decision.error_condition,
                                   .rule = decision.rule,
                                   .reason = decision.reason};
    const struct person *person = on_trust(join);

    if (person != NULL && (must_be_sure(join->applicant) || person->work == MEMBER_TAKE_BACK)) {
        return NEED_NOTHING; /* until he has come in, or the membership is taken back */
    }
    switch (decision.action) {
    case DECIDE_FORWARD:
        if (needs_repair(join, now)) {
            return need(join, NEED_REPAIR, now);
        }
        join_forward(join, decision.rule, decision.reason, now);
        return NEED_NOTHING;
    case DECIDE_REFUSE:
        settle(join, &refusal, now);
        return NEED_NOTHING;
    case DECIDE_GRANT:
        make_member(join, &decision, now);
        return NEED_NOTHING;
    case DECIDE_ASK:
        /* While a moderator's own change is under way the answer would be worth nothing. */
        return room_is_unsettled(room) ? NEED_NOTHING : need(join, NEED_FORM, now);
    case DECIDE_TURN_ON:
        return need(join, NEED_TURN_ON, now);
    case DECIDE_CREATE:
        return need(join, NEED_CREATE, now);
    }
    return NEED_NOTHING;
}

bool joins_ask_lobby(const struct room *room, const char *bare_jid)
{
    const struct join_list *lists[] = {&room->held, &room->in_flight};
    const struct join *join;

    for (size_t i = 0; i < 2; i++) {
        TAILQ_FOREACH(join, lists[i], room_link)
        {
            if (must_be_sure(join->applicant) && is_of(join, bare_jid)) {
                return true;
            }
        }
    }
    return false;
}

bool joins_on_way(const struct room *room, const char *bare_jid)
{
    const struct join *join;

    TAILQ_FOREACH(join, &room->in_flight, room_link)
    {
        if ((join->applicant == APPLICANT_PLAIN || join->applicant == APPLICANT_GUEST) &&
            is_of(join, bare_jid)) {
            return true;
        }
    }
    return false;
}

bool joins_lobby_in_flight(const struct room *room)
{
    const struct join *join;

    TAILQ_FOREACH(join, &room->in_flight, room_link)
    {
        if (must_be_sure(join->applicant)) {
            return true;
        }
    }
    return false;
}

enum join_need joins_decide(struct room *room, int64_t now)
{
    enum join_need most = NEED_NOTHING;
    struct join *join, *next;

    if (!TAILQ_EMPTY(&room->held) && fence_share(room, now) == FENCE_REFUSED) {
        return NEED_NOTHING; /* another instance changes it: everyone waits until it has */
    }
    for (join = TAILQ_FIRST(&room->held); join != NULL; join = next) {
        enum join_need one = NEED_NOTHING;

        next = TAILQ_NEXT(join, room_link);
        if (join->phase == JOIN_WAITS_ROOM) {
            one = decide_one(join, now);
        }
        if (one >= NEED_TURN_ON) {
            return one; /* who comes after him waits until it is done */
        }
        most = one > most ? one : most;
    }
    return most;
}

bool joins_want(const struct room *room, enum lobby_state state, enum decision_action action,
                int64_t now)
{
    const struct rule_set *rules = room->rooms->config->rules;
    const struct join *join;

    for (join = TAILQ_FIRST(&room->held); join != NULL; join = TAILQ_NEXT(join, room_link)) {
        if (join->phase == JOIN_WAITS_ROOM && undo_refuses(room, now) == NULL &&
            decide(rules, join->applicant, state).action == action) {
            return true;
        }
    }
    return false;
}

void joins_member_done(struct room *room, struct person *person, const char *failure, int64_t now)
{
    const struct rule_set *rules = room->rooms->config->rules;
    struct join *join, *next;

    for (join = TAILQ_FIRST(&room->held); join != NULL; join = next) {
        next = TAILQ_NEXT(join, room_link);
        if (join->person != person) {
            continue;
        }
        if (failure == NULL) {
            struct decision decision = decide(rules, join->applicant, LOBBY_ON);

            join_forward(join, decision.rule, decision.reason, now);
        } else if (room_holds_all(room)) {
            leave_person(join); /* no member, he must not slip in now either */
            join->phase = JOIN_WAITS_ROOM;
        } else {
            join_fail(join, failure, now);
        }
    }
}

/* Deadlines. */

static int64_t deadline(const struct join *join)
{
    const struct room *room = join->room;
    const struct rooms_config *config = room->rooms->config;
    int64_t since = room->answered_at > join->held_at ? room->answered_at : join->held_at;
    int64_t limit = join->held_at + config->hold_limit_ms;

    since = room->let_at > since ? room->let_at : since;
    /* Who is let in between our submit, or another's, and its effect would be thrown out (wire fact
     * 15). */
    if ((room_is_changing(room) || room->refused_since != NOT_WISHED) &&
        !must_be_sure(join->applicant)) {
        return limit;
    }
    return since + config->hold_timeout_ms < limit ? since + config->hold_timeout_ms : limit;
}

void joins_expire(struct room *room, int64_t now)
{
    const char *reason =
        room_can_ask(room, now) ? "Prosody did not answer in time" : service_is_away(room);
    struct join *join, *next;

    if (room->refused_since != NOT_WISHED) {
        reason = "another instance does not come to an end with its change of the room";
    }

    for (join = TAILQ_FIRST(&room->held); join != NULL; join = next) {
        next = TAILQ_NEXT(join, room_link);
        if (deadline(join) <= now) {
            join_fail(join, reason, now);
        }
    }
    for (join = TAILQ_FIRST(&room->in_flight); join != NULL; join = next) {
        next = TAILQ_NEXT(join, room_link);
        if (join->until > now) {
            continue;
        }
        if (join->session->suspended && on_trust(join) != NULL) {
            /* He may be inside, and would be put out: known when he is back, or gone. */
            TAILQ_REMOVE(&room->in_flight, join, room_link);
            TAILQ_INSERT_TAIL(&room->in_flight, join, room_link);
            join->until = now + IN_FLIGHT_MS;
        } else {
            join_free(join);
        }
    }
}

int64_t joins_due(const struct room *room)
{
    int64_t due = INT64_MAX;
    const struct join *join;

    for (join = TAILQ_FIRST(&room->held); join != NULL; join = TAILQ_NEXT(join, room_link)) {
        int64_t at = deadline(join);

        due = at < due ? at : due;
    }
    join = TAILQ_FIRST(&room->in_flight); /* forwarded first, over first */
    return join != NULL && join->until < due ? join->until : due;
}

int64_t joins_forwarded_at(const struct room *room, const struct session *session)
{
    const struct join *join;

    /* Forwarded first, answered first. */
    TAILQ_FOREACH(join, &room->in_flight, room_link)
    {
        if (join->session == session) {
            return join->until - IN_FLIGHT_MS;
        }
    }
    return INT64_MIN;
}

void joins_landed(struct room *room, const struct session *session)
{
    struct join *join;

    TAILQ_FOREACH(join, &room->in_flight, room_link)
    {
        if (join->session == session) {
            join_free(join);
            return;
        }
    }
}
