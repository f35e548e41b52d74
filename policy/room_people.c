/*
 * Who is where: sessions, and the rooms they are in, as seen on clients' own streams.
 *
 * The thing to know: a session whose stream broke still is in its rooms for Prosody, until it is
 * resumed or given up. Till then its occupants count, but they show us nothing.
 */
#include "policy/room.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct session *session_find(const struct rooms *rooms, const char *full_jid)
{
    return (struct session *)table_find(&rooms->sessions, full_jid, strlen(full_jid));
}

struct session *session_get(struct rooms *rooms, const char *full_jid)
{
    struct session *session = session_find(rooms, full_jid);

    if (session != NULL) {
        return session;
    }
    session = calloc(1, sizeof(*session));
    if (session == NULL) {
        return NULL;
    }
    session->full_jid = strdup(full_jid);
    session->bare_jid = strndup(full_jid, strcspn(full_jid, "/"));
    if (session->full_jid == NULL || session->bare_jid == NULL) {
        free(session->full_jid);
        free(session->bare_jid);
        free(session);
        return NULL;
    }
    TAILQ_INIT(&session->occupants);
    TAILQ_INIT(&session->joins);
    table_add(&rooms->sessions, &session->node, session->full_jid, strlen(session->full_jid));
    return session;
}

void session_hold(struct session *session)
{
    session->users++;
}

void session_drop(struct session *session, struct rooms *rooms)
{
    assert(session->users > 0);
    if (--session->users > 0) {
        return;
    }
    if (session->suspended) {
        TAILQ_REMOVE(&rooms->suspended, session, suspended_link);
    }
    table_remove(&rooms->sessions, &session->node);
    free(session->full_jid);
    free(session->bare_jid);
    free(session);
}

/* An occupant begins to show us what happens in the room, or ceases to. */
static void watch(struct room *room, const struct session *session)
{
    room->watching += session->suspended ? 0 : 1;
    room->witnesses += session->suspended || session->asks_lobby ? 0 : 1;
}

static void unwatch(struct room *room, const struct session *session)
{
    room->watching -= session->suspended ? 0 : 1;
    room->witnesses -= session->suspended || session->asks_lobby ? 0 : 1;
    if (room->witnesses == 0) {
        room->confirmed = false; /* a change may now pass unseen */
    }
}

/* One of the others may await what was before he came in. As long as the teller watches, the next
 * change is shown by him all the same. */
static void teller_is_gone(const struct occupant *occupant)
{
    if (occupant->room->teller == occupant) {
        occupants_await_nothing(occupant->room);
    }
}

static void recount(struct session *session, const struct session *was)
{
    struct occupant *occupant;

    TAILQ_FOREACH(occupant, &session->occupants, session_link)
    {
        if (occupant->place == PLACE_INSIDE) {
            watch(occupant->room, session);
            unwatch(occupant->room, was);
            teller_is_gone(occupant);
        }
    }
}

void session_asks_lobby(struct session *session)
{
    struct session was = *session;

    session->asks_lobby = true;
    recount(session, &was);
}

void session_set_suspended(struct session *session, struct rooms *rooms, bool suspended,
                           int64_t until)
{
    struct session was = *session;

    session->until = until;
    if (session->suspended == suspended) {
        return;
    }
    session->suspended = suspended;
    recount(session, &was);
    if (suspended) {
        TAILQ_INSERT_TAIL(&rooms->suspended, session, suspended_link);
    } else {
        TAILQ_REMOVE(&rooms->suspended, session, suspended_link);
    }
}

struct occupant *occupant_find(const struct room *room, const struct session *session,
                               enum place place)
{
    struct occupant *occupant = TAILQ_FIRST(&session->occupants);

    while (occupant != NULL && (occupant->room != room || occupant->place != place)) {
        occupant = TAILQ_NEXT(occupant, session_link);
    }
    return occupant;
}

/* Other instances keep a room that somebody waits for here. */
static void tell_waiting(const struct room *room, bool is_waiting)
{
    const struct room_actions *actions = &room->rooms->actions;

    if (actions->waiting != NULL) {
        actions->waiting(actions->ctx, room->name, is_waiting);
    }
}

bool occupant_add(struct room *room, struct session *session, enum place place, int64_t until)
{
    struct occupant *occupant = occupant_find(room, session, place);

    if (occupant != NULL) {
        occupant->until = until;
        return true;
    }
    occupant = calloc(1, sizeof(*occupant));
    if (occupant == NULL) {
        return false;
    }
    *occupant = (struct occupant){.room = room, .session = session, .place = place, .until = until};
    session_hold(session);
    TAILQ_INSERT_TAIL(&room->occupants, occupant, room_link);
    TAILQ_INSERT_TAIL(&session->occupants, occupant, session_link);
    if (place != PLACE_INSIDE) {
        if (room->outside++ == 0) {
            tell_waiting(room, true);
        }
        return true;
    }
    room->inside++;
    watch(room, session);
    occupant->person = person_get(room, session->bare_jid);
    if (occupant->person != NULL) {
        occupant->person->inside++;
    }
    return true;
}

void occupant_remove(struct occupant *occupant)
{
    struct room *room = occupant->room;
    struct session *session = occupant->session;

    TAILQ_REMOVE(&room->occupants, occupant, room_link);
    TAILQ_REMOVE(&session->occupants, occupant, session_link);
    if (occupant->place != PLACE_INSIDE) {
        room->outside--;
        if (room->outside == 0) {
            tell_waiting(room, false);
        }
    } else {
        room->inside--;
        unwatch(room, session);
        teller_is_gone(occupant);
    }
    if (occupant->person != NULL) {
        occupant->person->inside--;
    }
    session_drop(session, room->rooms);
    free(occupant);
}

void occupants_remove_all(struct room *room)
{
    while (!TAILQ_EMPTY(&room->occupants)) {
        occupant_remove(TAILQ_FIRST(&room->occupants));
    }
}

void occupants_expire(struct room *room, int64_t now)
{
    struct occupant *occupant, *next;

    for (occupant = TAILQ_FIRST(&room->occupants); occupant != NULL; occupant = next) {
        next = TAILQ_NEXT(occupant, room_link);
        if (occupant->place == PLACE_DOOR && occupant->until <= now) {
            occupant_remove(occupant);
        }
    }
}

int64_t occupants_due(const struct room *room)
{
    int64_t due = INT64_MAX;
    const struct occupant *occupant;

    if (room->outside == 0) {
        return due;
    }
    for (occupant = TAILQ_FIRST(&room->occupants); occupant != NULL;
         occupant = TAILQ_NEXT(occupant, room_link)) {
        if (occupant->place == PLACE_DOOR && occupant->until < due) {
            due = occupant->until;
        }
    }
    return due;
}

void occupants_await_change(struct room *room, struct occupant *teller)
{
    struct occupant *occupant;

    room->teller = teller;
    TAILQ_FOREACH(occupant, &room->occupants, room_link)
    {
        occupant->awaits_change = occupant->place == PLACE_INSIDE && occupant != teller;
    }
}

void occupants_await_nothing(struct room *room)
{
    struct occupant *occupant;

    room->teller = NULL;
    TAILQ_FOREACH(occupant, &room->occupants, room_link)
    {
        occupant->awaits_change = false;
    }
}

bool occupant_was_told(struct room *room, const struct session *session)
{
    struct occupant *occupant = session == NULL ? NULL : occupant_find(room, session, PLACE_INSIDE);

    if (occupant == NULL) {
        return false;
    }
    if (occupant->awaits_change) {
        occupant->awaits_change = false;
        return true;
    }
    if (!session->suspended && !session->asks_lobby) {
        occupants_await_change(room, occupant);
    }
    return false;
}
