/*
 * Bare JIDs and their affiliation in a room, and the requests that make one a member.
 *
 * The thing to know: a grant is `affiliation='member'`, so for an owner it would be a demotion.
 * Nobody is granted whose affiliation is neither known to be none nor too new to be anything else;
 * who is unknown is looked up first.
 */
#include "policy/room.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Requests under way at once: the service account may be throttled (wire fact 32). */
#define WORKING_MAX 25
#define PERSONS_MAX 4096
/* A presence that says "none" so soon after our grant was sent before it, on a slower stream. */
#define STALE_PRESENCE_MS 2000

static const char *const affiliations[] = {
    [AFFILIATION_OUTCAST] = "outcast", [AFFILIATION_NONE] = "none",
    [AFFILIATION_MEMBER] = "member",   [AFFILIATION_ADMIN] = "admin",
    [AFFILIATION_OWNER] = "owner",
};

const char *affiliation_text(enum affiliation affiliation)
{
    return affiliation == AFFILIATION_UNKNOWN ? "member" : affiliations[affiliation];
}

enum affiliation affiliation_of(const char *text)
{
    if (text != NULL) {
        for (size_t i = AFFILIATION_OUTCAST; i <= AFFILIATION_OWNER; i++) {
            if (strcmp(text, affiliations[i]) == 0) {
                return (enum affiliation)i;
            }
        }
    }
    return AFFILIATION_UNKNOWN;
}

/* Whether a request that names it is refused, or misunderstood (wire facts 11 and 14). */
bool jid_is_focus(const char *jid)
{
    return strncmp(jid, "focus@", strlen("focus@")) == 0;
}

/* Persons. */

struct person *person_find(const struct room *room, const char *bare_jid)
{
    return (struct person *)table_find(&room->persons_by_jid, bare_jid, strlen(bare_jid));
}

static void person_remove(struct person *person, struct room *room)
{
    if (person->work == MEMBER_QUEUED) {
        TAILQ_REMOVE(&room->queue, person, queue_link);
    } else if (person->work != MEMBER_QUIET) {
        room->working--;
    }
    request_drop(&person->request, room->rooms);
    person_set_on_trust(person, room, false);
    table_remove(&room->persons_by_jid, &person->node);
    TAILQ_REMOVE(&room->persons, person, link);
    free(person->bare_jid);
    free(person);
}

/* The eldest of whom nothing is expected any more. */
static void forget_one(struct room *room)
{
    struct person *person = TAILQ_FIRST(&room->persons);

    while (person != NULL && (person->inside > 0 || person->waiting > 0 || person->on_trust ||
                              person->work != MEMBER_QUIET)) {
        person = TAILQ_NEXT(person, link);
    }
    if (person != NULL) {
        person_remove(person, room);
    }
}

struct person *person_get(struct room *room, const char *bare_jid)
{
    struct person *person = person_find(room, bare_jid);

    if (person != NULL) {
        return person;
    }
    if (room->persons_by_jid.len >= PERSONS_MAX) {
        forget_one(room);
    }
    person = calloc(1, sizeof(*person));
    if (person == NULL || (person->bare_jid = strdup(bare_jid)) == NULL) {
        free(person);
        return NULL;
    }
    table_add(&room->persons_by_jid, &person->node, person->bare_jid, strlen(person->bare_jid));
    TAILQ_INSERT_TAIL(&room->persons, person, link);
    return person;
}

/* But not what was given on trust: unknown, it would be taken for somebody else's, and stay. */
void persons_doubt(struct room *room)
{
    struct person *person;

    TAILQ_FOREACH(person, &room->persons, link)
    {
        if (person->inside == 0 && person->work == MEMBER_QUIET && !person->on_trust) {
            person->is_not_new = person->is_not_new || person->affiliation >= AFFILIATION_MEMBER;
            person->affiliation = AFFILIATION_UNKNOWN;
            person->fresh = false;
        }
    }
}

void persons_remove_all(struct room *room)
{
    struct occupant *occupant;
    struct join *join;

    for (occupant = TAILQ_FIRST(&room->occupants); occupant != NULL;
         occupant = TAILQ_NEXT(occupant, room_link)) {
        occupant->person = NULL;
    }
    for (join = TAILQ_FIRST(&room->held); join != NULL; join = TAILQ_NEXT(join, room_link)) {
        join->person = NULL;
        join->phase = JOIN_WAITS_ROOM;
    }
    while (!TAILQ_EMPTY(&room->persons)) {
        person_remove(TAILQ_FIRST(&room->persons), room);
    }
}

void person_seen(struct person *person, struct room *room, enum affiliation affiliation,
                 int64_t now)
{
    bool is_stale = affiliation == AFFILIATION_NONE && person->granted &&
                    (now - person->granted_at <= STALE_PRESENCE_MS ||
                     (room->step == ROOM_GRANTING && person->granted_at >= room->turning_since));

    if (affiliation != AFFILIATION_UNKNOWN && !is_stale) {
        person->affiliation = affiliation;
    }
    /* Somebody promoted him just then: ours may have come after that, and demoted him. To give it
     * again where it did not does no harm. */
    if (affiliation >= AFFILIATION_ADMIN &&
        (person->work == MEMBER_GRANT ||
         (person->granted && now - person->granted_at <= STALE_PRESENCE_MS))) {
        person->restore = affiliation;
        person_queue(person, room, false, now);
    }
}

/* He was refused for having no membership. */
void person_is_none(struct person *person)
{
    person->affiliation = AFFILIATION_NONE;
    person->granted = false;
}

/* A kick takes the membership (wire fact 18), a ban more than that: a grant would lift it. So he is
 * looked up when he comes back. */
void person_was_kicked(struct person *person)
{
    person->affiliation = AFFILIATION_UNKNOWN;
    person->granted = false;
    person->is_not_new = true;
    person->is_in_doubt = person->request.id != 0;
}

void person_set_on_trust(struct person *person, struct room *room, bool on_trust)
{
    if (person->on_trust != on_trust) {
        person->on_trust = on_trust;
        room->on_trust += on_trust ? 1 : (size_t)-1;
    }
}

/* Work. */

void person_queue(struct person *person, struct room *room, bool fresh, int64_t now)
{
    if (person->work == MEMBER_QUIET) {
        person->work = MEMBER_QUEUED;
        person->fresh = fresh && !person->is_not_new;
        person->queued_at = now;
        TAILQ_INSERT_TAIL(&room->queue, person, queue_link);
    }
}

static void send(struct person *person, struct room *room, enum member_work work)
{
    static const enum request_kind kinds[] = {
        [MEMBER_LOOKUP] = REQUEST_AFFILIATIONS, [MEMBER_GRANT] = REQUEST_GRANT,
        [MEMBER_INVITE] = REQUEST_INVITE,       [MEMBER_RESTORE] = REQUEST_GRANT,
        [MEMBER_TAKE_BACK] = REQUEST_GRANT,
    };

    assert(work >= MEMBER_LOOKUP);
    person->work = work;
    room->working++;
    request_send(&person->request, room, person, kinds[work], person->bare_jid, -1);
}

bool person_is_settled(const struct person *person)
{
    return person->affiliation >= AFFILIATION_MEMBER ||
           person->affiliation == AFFILIATION_OUTCAST || jid_is_focus(person->bare_jid);
}

static void send_one(struct person *person, struct room *room, int64_t now)
{
    person->work = MEMBER_QUIET;
    if (person->restore != AFFILIATION_UNKNOWN && room_can_ask(room, now)) {
        person->granted = false; /* what this announces is not to be answered again */
        send(person, room, MEMBER_RESTORE);
        return;
    }
    if (person->waiting == 0 && (room->step != ROOM_GRANTING ||
                                 (person->on_trust && !joins_on_way(room, person->bare_jid)))) {
        person_set_on_trust(person, room, false);
        return; /* nobody waits for it any more */
    }
    if (person_is_settled(person)) {
        person_set_on_trust(person, room, false);
        joins_member_done(room, person, NULL, now);
    } else if (!room_can_ask(room, now)) {
        joins_member_done(room, person, "the service account is not connected", now);
    } else if (person->affiliation == AFFILIATION_UNKNOWN && !person->fresh) {
        send(person, room, MEMBER_LOOKUP);
    } else {
        send(person, room, MEMBER_GRANT);
    }
}

void members_send(struct room *room, int64_t now)
{
    while (room->working < WORKING_MAX && !TAILQ_EMPTY(&room->queue)) {
        struct person *person = TAILQ_FIRST(&room->queue);

        TAILQ_REMOVE(&room->queue, person, queue_link);
        send_one(person, room, now);
    }
}

/* Nobody comes in meanwhile: all joins of his wait for it. */
void members_take_back(struct room *room, int64_t now)
{
    struct person *person;

    if (room->on_trust == 0 || !room_can_ask(room, now)) {
        return;
    }
    TAILQ_FOREACH(person, &room->persons, link)
    {
        if (!person->on_trust || person->work != MEMBER_QUIET || room->working >= WORKING_MAX ||
            joins_on_way(room, person->bare_jid)) {
            continue;
        }
        if (person->affiliation == AFFILIATION_NONE || person->affiliation == AFFILIATION_MEMBER) {
            send(person, room, MEMBER_TAKE_BACK);
        } else {
            person_set_on_trust(person, room, false); /* somebody else has decided about him */
        }
    }
}

static void taken_back(struct person *person, struct room *room, const struct room_answer *answer,
                       int64_t now)
{
    char text[256];

    switch (answer->status) {
    case ANSWER_OK:
        person_is_none(person);
        break;
    case ANSWER_ERROR: /* to try again would change nothing */
        room_failure_text(text, sizeof(text), "a membership taken back", answer);
        if (!answer_is_error(answer, "item-not-found")) {
            room_note(room, ROOM_FAILED, person->bare_jid, text, 0, 0);
        }
        joins_fail_on_trust(room, person->bare_jid, text, now);
        break;
    case ANSWER_LOST:
    case ANSWER_UNSENT:
        room->retry_at = now + RETRY_MS;
        return;
    case ANSWER_TIMEOUT:
        return; /* asked again */
    }
    person_set_on_trust(person, room, false);
}

static void is_member_now(struct person *person, struct room *room, int64_t now)
{
    person->affiliation = AFFILIATION_MEMBER;
    person->granted = true;
    person->granted_at = now;
    if (room->step == ROOM_GRANTING) {
        room->turning_granted++;
    } else {
        room_note(room, ROOM_GRANTED, person->bare_jid, NULL, now - person->queued_at, 0);
    }
    joins_member_done(room, person, NULL, now);
}

/* False: the room is gone, and the person with it. */
static bool failed(struct person *person, struct room *room, enum member_work work,
                   const struct room_answer *answer, int64_t now)
{
    static const char *const names[] = {
        [MEMBER_LOOKUP] = "the affiliation list",
        [MEMBER_GRANT] = "a membership",
        [MEMBER_INVITE] = "an invitation",
        [MEMBER_RESTORE] = "an affiliation given back",
    };
    char text[256];

    room_failure_text(text, sizeof(text), names[work], answer);
    if (work == MEMBER_LOOKUP || answer->status == ANSWER_ERROR ||
        answer->status == ANSWER_UNSENT) {
        person_set_on_trust(person, room, false); /* nothing was given */
    } else if (person->on_trust && person->affiliation == AFFILIATION_UNKNOWN) {
        person->affiliation = AFFILIATION_NONE; /* so new that it is, or else what we gave */
    }
    if (room->step == ROOM_GRANTING) {
        turn_on_failed(room, names[work], answer, now);
        if (answer_is_error(answer, "item-not-found")) {
            return false;
        }
    } else if (answer->status == ANSWER_ERROR || answer->status == ANSWER_TIMEOUT) {
        room_note(room, ROOM_FAILED, person->bare_jid, text, 0, 0);
    }
    joins_member_done(room, person, text, now);
    return true;
}

static void looked_up(struct person *person, struct room *room, const struct room_answer *answer,
                      int64_t now)
{
    person->affiliation = affiliation_of(answer->affiliation);
    if (person_is_settled(person)) {
        person_set_on_trust(person, room, false);
        joins_member_done(room, person, NULL, now);
    } else if (person->affiliation == AFFILIATION_NONE) {
        send(person, room, MEMBER_GRANT);
    } else {
        (void)failed(person, room, MEMBER_LOOKUP, answer, now); /* it was answered: it is there */
    }
}

static void restored(struct person *person, struct room *room, const struct room_answer *answer,
                     int64_t now)
{
    char text[256];

    person->affiliation = person->restore;
    person->restore = AFFILIATION_UNKNOWN;
    if (answer->status == ANSWER_ERROR) {
        room_failure_text(text, sizeof(text), "an affiliation given back", answer);
        room_note(room, ROOM_FAILED, person->bare_jid, text, 0, 0);
    }
    joins_member_done(room, person, NULL, now);
}

/* The kick came by his stream, the answer by ours: which of them Prosody did first is not known. */
static void asked_again(struct person *person, struct room *room, int64_t now)
{
    person->affiliation = AFFILIATION_UNKNOWN;
    if ((person->waiting > 0 || (room->step == ROOM_GRANTING && person->inside > 0)) &&
        room_can_ask(room, now)) {
        send(person, room, MEMBER_LOOKUP);
    } else {
        person_set_on_trust(person, room, false);
        joins_member_done(room, person, NULL, now);
    }
}

void member_answered(struct person *person, struct room *room, const struct room_answer *answer,
                     int64_t now)
{
    enum member_work work = person->work;
    bool is_in_doubt;

    assert(work >= MEMBER_LOOKUP && person->request.id == 0);
    person->work = MEMBER_QUIET;
    room->working--;
    is_in_doubt = person->is_in_doubt;
    person->is_in_doubt = false;
    if (work == MEMBER_RESTORE) {
        restored(person, room, answer, now);
        return;
    }
    if (work == MEMBER_TAKE_BACK) {
        taken_back(person, room, answer, now);
        return;
    }
    if (is_in_doubt && answer->status == ANSWER_OK) {
        asked_again(person, room, now);
    } else if (work == MEMBER_LOOKUP && answer->status == ANSWER_OK) {
        looked_up(person, room, answer, now);
    } else if (answer->status == ANSWER_OK) {
        is_member_now(person, room, now);
    } else if (work == MEMBER_GRANT && answer_is_error(answer, "forbidden") &&
               room->step != ROOM_GRANTING) {
        /* Where mod_muc_allowners forbids it (wire fact 18); it makes members in a members-only
         * room only. */
        send(person, room, MEMBER_INVITE);
    } else if (!failed(person, room, work, answer, now)) {
        return;
    }
    if (person->restore != AFFILIATION_UNKNOWN) {
        person_queue(person, room, false, now);
    }
}
