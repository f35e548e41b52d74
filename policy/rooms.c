/*
 * All rooms, and the entry points: each finds its room, tells it what happened and lets it run.
 *
 * The thing to know: room_run may free the room, and removing an occupant or a join may free its
 * session; nothing is touched after either.
 */
#include "policy/room.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* How long one who was shown the lobby may take to enter it (his client asks him first). */
#define DOOR_MS 3000 /* an emptied room is to be gone within 5 s */

struct rooms *rooms_new(const struct rooms_config *config, const struct room_actions *actions)
{
    struct rooms *rooms = calloc(1, sizeof(*rooms));

    if (rooms == NULL) {
        return NULL;
    }
    if (getrandom(&rooms->seed, sizeof(rooms->seed), GRND_NONBLOCK) != sizeof(rooms->seed)) {
        rooms->seed = (uint64_t)(uintptr_t)rooms * UINT64_C(0x9e3779b97f4a7c15);
    }
    rooms->config = config;
    rooms->actions = *actions;
    rooms->next = INT64_MAX;
    TAILQ_INIT(&rooms->list);
    TAILQ_INIT(&rooms->suspended);
    table_init(&rooms->by_name, rooms->seed);
    table_init(&rooms->sessions, rooms->seed);
    table_init(&rooms->joins, rooms->seed);
    table_init(&rooms->requests, rooms->seed);
    return rooms;
}

void rooms_free(struct rooms *rooms)
{
    if (rooms == NULL) {
        return;
    }
    while (!TAILQ_EMPTY(&rooms->list)) {
        room_free(TAILQ_FIRST(&rooms->list));
    }
    assert(rooms->sessions.len == 0 && rooms->joins.len == 0 && rooms->requests.len == 0);
    table_done(&rooms->by_name);
    table_done(&rooms->sessions);
    table_done(&rooms->joins);
    table_done(&rooms->requests);
    free(rooms);
}

void rooms_configure(struct rooms *rooms, const struct rooms_config *config)
{
    rooms->config = config;
}

static struct room *find(const struct rooms *rooms, const char *name)
{
    return (struct room *)table_find(&rooms->by_name, name, strlen(name));
}

/* NULL when there are too many, or no memory: *ret_why says which. */
static struct room *find_or_make(struct rooms *rooms, const char *name, const char **ret_why)
{
    struct room *room = find(rooms, name);

    if (room != NULL) {
        return room;
    }
    if (rooms->by_name.len >= rooms->config->rooms_max) {
        *ret_why = "too many rooms";
        return NULL;
    }
    *ret_why = "out of memory";
    return room_new(rooms, name);
}

/* Joins. */

/* We could not know of him later: into a room that is being changed he may not go, whoever he is.
 */
static void settle_without_record(struct rooms *rooms, const struct room *room,
                                  const struct room_join *join, const char *reason)
{
    enum applicant applicant =
        room != NULL && room_holds_all(room) ? APPLICANT_UNJUDGED : join->applicant;
    struct room_verdict verdict;

    verdict_on_failure(rooms->config, applicant, reason, &verdict);
    rooms->actions.settle(rooms->actions.ctx, join->id, &verdict);
}

void rooms_join(struct rooms *rooms, const struct room_join *join, int64_t now)
{
    const char *why = "the proxy is shutting down";
    struct room *room = rooms->stopping ? NULL : find_or_make(rooms, join->room, &why);
    struct session *session;

    if (room == NULL) {
        settle_without_record(rooms, NULL, join, why);
        return;
    }
    session = session_get(rooms, join->full_jid);
    if (session == NULL) {
        settle_without_record(rooms, room, join, "out of memory");
    } else {
        session_hold(session);
        if (must_be_sure(join->applicant)) {
            session_asks_lobby(session);
        }
        if (join_new(room, session, join, now) == NULL) {
            settle_without_record(rooms, room, join, "out of memory");
        }
        session_drop(session, rooms);
    }
    room_run(room, NULL, now);
}

void rooms_cancel(struct rooms *rooms, uint64_t id, int64_t now)
{
    struct join *join = (struct join *)table_find(&rooms->joins, &id, sizeof(id));

    if (join != NULL) {
        struct room *room = join->room;

        join_free(join);
        room_run(room, NULL, now);
    }
}

/* What passes by. */

/* He is in that place of the room; without memory for it he is not known to be. */
static struct session *place(struct room *room, const char *full_jid, enum place at, int64_t until)
{
    struct session *session = session_get(room->rooms, full_jid);
    bool added;

    if (session == NULL) {
        return NULL;
    }
    session_hold(session);
    added = occupant_add(room, session, at, until);
    session_drop(session, room->rooms);
    return added ? session : NULL;
}

static void displace(struct room *room, const struct session *session, enum place from)
{
    struct occupant *occupant = occupant_find(room, session, from);

    if (occupant != NULL) {
        occupant_remove(occupant);
    }
}

void rooms_entered(struct rooms *rooms, const char *room_name, const char *full_jid,
                   const char *affiliation, int64_t now)
{
    const char *why;
    struct room *room = find_or_make(rooms, room_name, &why);
    struct session *session;
    struct occupant *occupant;

    if (room == NULL) {
        return;
    }
    session = place(room, full_jid, PLACE_INSIDE, 0);
    if (session != NULL) {
        occupant = occupant_find(room, session, PLACE_INSIDE);
        occupant->was_there = false;
        if (occupant->person != NULL) {
            person_seen(occupant->person, room, affiliation_of(affiliation), now);
            person_set_on_trust(occupant->person, room, false);
        }
        displace(room, session, PLACE_DOOR);
        joins_landed(room, session);
    }
    room_run(room, NULL, now);
}

void rooms_left(struct rooms *rooms, const char *room_name, const char *full_jid, bool kicked,
                int64_t now)
{
    struct room *room = find(rooms, room_name);
    struct session *session = session_find(rooms, full_jid);
    struct person *person;

    if (room == NULL || session == NULL) {
        return;
    }
    person = person_find(room, session->bare_jid);
    if (kicked && person != NULL) {
        person_was_kicked(person);
    }
    displace(room, session, PLACE_INSIDE);
    room_run(room, NULL, now);
}

void rooms_join_failed(struct rooms *rooms, const char *room_name, const char *full_jid,
                       const char *condition, bool has_lobbyroom, int64_t now)
{
    struct room *room = find(rooms, room_name);
    struct session *session = session_find(rooms, full_jid);
    struct person *person;

    if (room == NULL || session == NULL) {
        return;
    }
    if (strcmp(condition, "registration-required") == 0) {
        room_members_only(room, has_lobbyroom, joins_forwarded_at(room, session));
        person = person_find(room, session->bare_jid);
        if (person != NULL) {
            person_is_none(person);
        }
        displace(room, session, PLACE_INSIDE); /* where he was put out unseen */
        if (has_lobbyroom && occupant_find(room, session, PLACE_LOBBY) == NULL) {
            occupant_add(room, session, PLACE_DOOR, now + DOOR_MS);
        }
    }
    joins_landed(room, session);
    room_run(room, NULL, now);
}

void rooms_lobby_entered(struct rooms *rooms, const char *room_name, const char *full_jid,
                         int64_t now)
{
    const char *why;
    struct room *room = find_or_make(rooms, room_name, &why);
    struct session *session;

    if (room == NULL) {
        return;
    }
    session = place(room, full_jid, PLACE_LOBBY, 0);
    if (session != NULL) {
        displace(room, session, PLACE_DOOR);
    }
    room->lobby_room = LOBBY_ROOM_EXISTS;
    undo_lobby_seen(room);
    room_run(room, NULL, now);
}

void rooms_lobby_left(struct rooms *rooms, const char *room_name, const char *full_jid, int64_t now)
{
    struct room *room = find(rooms, room_name);
    struct session *session = session_find(rooms, full_jid);

    if (room != NULL && session != NULL) {
        displace(room, session, PLACE_LOBBY);
        room_run(room, NULL, now);
    }
}

void rooms_config_changed(struct rooms *rooms, const char *room_name, const char *full_jid,
                          int64_t now)
{
    struct room *room = find(rooms, room_name);

    if (room != NULL) {
        room_config_changed(room, session_find(rooms, full_jid), now);
        room_run(room, NULL, now);
    }
}

void rooms_info(struct rooms *rooms, const char *room_name, const struct muc_info *info,
                int64_t now)
{
    struct room *room = find(rooms, room_name);

    if (room != NULL) {
        room_informed(room, info, now);
        room_run(room, NULL, now);
    }
}

void rooms_destroyed(struct rooms *rooms, const char *room_name, int64_t now)
{
    struct room *room = find(rooms, room_name);

    if (room != NULL) {
        room_destroyed(room, now);
        room_run(room, NULL, now);
    }
}

bool rooms_lobby_in_flight(const struct rooms *rooms, const char *room_name)
{
    const struct room *room = find(rooms, room_name);

    return room != NULL && (joins_lobby_in_flight(room) ||
                            (room->owner_sets > 0 && (room->is_fenced_off || room_is_alone(room))));
}

void rooms_owner_set(struct rooms *rooms, const char *room_name, bool finished, int64_t now)
{
    const char *why;
    struct room *room = finished ? find(rooms, room_name) : find_or_make(rooms, room_name, &why);

    if (room != NULL) {
        room_owner_set(room, finished, now);
        room_run(room, NULL, now);
    }
}

/* Whatever rooms_max: who made it had room for it, and nobody else would end it. */
bool rooms_adopt(struct rooms *rooms, const char *room_name, int64_t now)
{
    struct room *room = find(rooms, room_name);

    if (room == NULL) {
        room = room_new(rooms, room_name);
    }
    if (room == NULL) {
        return false;
    }
    room_set_persistent(room, true);
    room->adopted = true;
    room->adopted_at = now;
    room_run(room, NULL, now);
    return true;
}

void rooms_strangers(struct rooms *rooms, size_t strangers, int64_t now)
{
    struct room *room, *next;
    bool are_gone = rooms->strangers > 0 && strangers == 0;

    rooms->strangers = strangers;
    for (room = TAILQ_FIRST(&rooms->list); are_gone && room != NULL; room = next) {
        next = TAILQ_NEXT(room, link);
        if (room->adopted) {
            room_run(room, NULL, now);
        }
    }
}

/* Sessions. */

void rooms_suspended(struct rooms *rooms, const char *full_jid, int64_t until, int64_t now)
{
    struct session *session = session_find(rooms, full_jid);

    if (session != NULL) {
        session_set_suspended(session, rooms, true, until);
        rooms->next = until < rooms->next ? until : rooms->next;
    }
}

void rooms_resumed(struct rooms *rooms, const char *full_jid, int64_t now)
{
    struct session *session = session_find(rooms, full_jid);

    if (session != NULL) {
        session_set_suspended(session, rooms, false, 0);
    }
}

/* Its held joins are the caller's to cancel. */
static void session_gone(struct rooms *rooms, struct session *session, int64_t now)
{
    struct occupant *occupant;
    struct join *join, *next;

    session_hold(session);
    while ((occupant = TAILQ_FIRST(&session->occupants)) != NULL) {
        struct room *room = occupant->room;

        occupant_remove(occupant);
        room_run(room, NULL, now);
    }
    session_set_suspended(session, rooms, false, 0);
    for (join = TAILQ_FIRST(&session->joins); join != NULL; join = next) {
        struct room *room = join->room;

        next = TAILQ_NEXT(join, session_link);
        if (join->phase == JOIN_IN_FLIGHT) {
            join_free(join);
            room_run(room, NULL, now);
            next = TAILQ_FIRST(&session->joins); /* running may have settled others of his */
        }
    }
    session_drop(session, rooms);
}

void rooms_gone(struct rooms *rooms, const char *full_jid, int64_t now)
{
    struct session *session = session_find(rooms, full_jid);

    if (session != NULL) {
        session_gone(rooms, session, now);
    }
}

/* The service account. */

void rooms_answer(struct rooms *rooms, uint64_t id, const struct room_answer *answer, int64_t now)
{
    struct table_node *node = table_find(&rooms->requests, &id, sizeof(id));
    struct request *request;
    struct room *room;

    if (node == NULL) {
        return; /* late, twice, or no longer wanted */
    }
    request = (struct request *)node;
    room = request->room;
    request_drop(request, rooms);
    if (answer->status == ANSWER_OK || answer->status == ANSWER_ERROR) {
        room->answered_at = now;
    }
    if (request->person == NULL) {
        room_run(room, answer, now);
    } else {
        member_answered(request->person, room, answer, now);
        room_run(room, NULL, now);
    }
}

void rooms_service_up(struct rooms *rooms, int64_t now)
{
    struct room *room, *next;

    rooms->service_up = true;
    rooms->service_refused = NULL;
    rooms->lobby_was_seen = false; /* it may be another Prosody, or one set right */
    rooms->no_lobby_until = 0;
    for (room = TAILQ_FIRST(&rooms->list); room != NULL; room = next) {
        next = TAILQ_NEXT(room, link);
        room->retry_at = 0;
        room->release_at = 0;
        room->no_lobby_until = 0;
        room_run(room, NULL, now);
    }
}

/* Nothing that was asked will be answered. */
static void lose_answers(struct room *room, int64_t now)
{
    static const struct room_answer lost = {.status = ANSWER_LOST};
    struct person *person, *next;

    for (person = TAILQ_FIRST(&room->persons); person != NULL; person = next) {
        next = TAILQ_NEXT(person, link);
        if (person->request.id != 0) {
            request_drop(&person->request, room->rooms);
            member_answered(person, room, &lost, now);
        }
    }
    if (room->request.id != 0) {
        request_drop(&room->request, room->rooms);
        room_run(room, &lost, now);
    } else {
        room_run(room, NULL, now);
    }
}

void rooms_service_down(struct rooms *rooms, int64_t now)
{
    struct room *room, *next;

    rooms->service_up = false;
    for (room = TAILQ_FIRST(&rooms->list); room != NULL; room = next) {
        next = TAILQ_NEXT(room, link);
        lose_answers(room, now);
    }
}

void rooms_service_refused(struct rooms *rooms, const char *why, int64_t now)
{
    struct room *room, *next;

    rooms->service_refused = why;
    for (room = TAILQ_FIRST(&rooms->list); room != NULL; room = next) {
        next = TAILQ_NEXT(room, link);
        room_run(room, NULL, now);
    }
}

/* Time. */

static struct session *first_overdue(const struct rooms *rooms, int64_t now)
{
    struct session *session = TAILQ_FIRST(&rooms->suspended);

    while (session != NULL && session->until > now) {
        session = TAILQ_NEXT(session, suspended_link);
    }
    return session;
}

void rooms_tick(struct rooms *rooms, int64_t now)
{
    struct session *session;
    struct room *room, *next;

    if (now < rooms->next) {
        return;
    }
    while ((session = first_overdue(rooms, now)) != NULL) {
        session_gone(rooms, session, now);
    }
    rooms->next = INT64_MAX;
    for (room = TAILQ_FIRST(&rooms->list); room != NULL; room = next) {
        next = TAILQ_NEXT(room, link);
        if (room->due <= now) {
            joins_expire(room, now);
            occupants_expire(room, now);
            room_run(room, NULL, now);
        } else if (room->due < rooms->next) {
            rooms->next = room->due;
        }
    }
    for (session = TAILQ_FIRST(&rooms->suspended); session != NULL;
         session = TAILQ_NEXT(session, suspended_link)) {
        rooms->next = session->until < rooms->next ? session->until : rooms->next;
    }
}

int64_t rooms_next(const struct rooms *rooms)
{
    return rooms->next;
}

/* For tests, the log and shutdown. */

size_t rooms_count(const struct rooms *rooms)
{
    return rooms->by_name.len;
}

size_t rooms_persistent_count(const struct rooms *rooms)
{
    return rooms->persistent;
}

enum lobby_state rooms_state(const struct rooms *rooms, const char *room_name)
{
    const struct room *room = find(rooms, room_name);

    return room == NULL ? LOBBY_UNKNOWN : room->state;
}

void rooms_shutdown(struct rooms *rooms, enum rooms_heir heir, int64_t now)
{
    struct room *room, *next;

    rooms->stopping = true;
    rooms->heir = heir;
    for (room = TAILQ_FIRST(&rooms->list); room != NULL; room = next) {
        next = TAILQ_NEXT(room, link);
        while (!TAILQ_EMPTY(&room->held)) {
            join_fail(TAILQ_FIRST(&room->held), "the proxy is shutting down", now);
        }
        room->was_unsettled = release_is_unsettled(room, now);
        if (room->persistent && heir == ROOMS_HEIR_NEXT && release_is_left_to_heir(room)) {
            room_note(room, ROOM_LEFT, NULL, NULL, 0, 0);
        }
        room->release_at = 0;
        room_run(room, NULL, now);
    }
}
