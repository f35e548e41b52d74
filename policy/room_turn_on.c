/*
 * Turning a lobby on without throwing anyone out; and its two small relatives, repairing a lobby
 * whose room is missing and making a room that does not exist yet.
 *
 * The thing to know: setting members-only throws every non-member out at once (wire fact 15). So
 * all joins are held, everybody inside or on his way in is made a member, and only then the form
 * goes.
 */
#include "policy/room.h"

#include <assert.h>
#include <string.h>

static int persistent_wanted(const struct room *room)
{
    return room->rooms->config->persistent ? 1 : -1;
}

/* Set as soon as the request is sent: it may be carried out though its answer never comes. */
static void expect_persistent(struct room *room, int persistent)
{
    room->was_persistent = room->persistent;
    if (persistent == 1) {
        room_set_persistent(room, true);
    }
}

/* The request was refused, never sent, or sent without it: then it left nothing behind. */
static void unexpect_persistent(struct room *room, const struct room_answer *answer)
{
    if (answer->status == ANSWER_ERROR || answer->status == ANSWER_UNSENT || answer->not_kept) {
        room_set_persistent(room, room->was_persistent);
    }
}

/* Listing. */

static bool wanted(const struct room *room, int64_t now)
{
    return joins_want(room, LOBBY_OFF, DECIDE_TURN_ON, now);
}

enum step_result turn_on_begin(struct room *room, int64_t now)
{
    struct occupant *occupant;

    TAILQ_FOREACH(occupant, &room->occupants, room_link)
    {
        occupant->was_there = occupant->place == PLACE_INSIDE;
    }
    room->turning_since = now;
    room->turning_granted = 0;
    room_enter_step(room, ROOM_LISTING);
    room_send(room, REQUEST_ROLES, -1);
    return STEP_WAIT;
}

enum step_result turn_on_failed(struct room *room, const char *what,
                                const struct room_answer *answer, int64_t now)
{
    room->confirmed = false;
    return room_step_failed(room, what, answer, now);
}

/* Nobody waits for the lobby any more, and nothing irrevocable was sent. */
static enum step_result abandon(struct room *room)
{
    room->confirmed = false;
    room_enter_step(room, ROOM_IDLE);
    return STEP_MORE;
}

static enum step_result out_of_memory(struct room *room, int64_t now)
{
    room->confirmed = false;
    room_note(room, ROOM_FAILED, NULL, "out of memory", 0, 0);
    room_enter_step(room, ROOM_IDLE);
    joins_fail(room, true, "out of memory", now);
    return STEP_MORE;
}

/* Who is no outsider is noted too: he may still be in flight for us, and a grant would demote him.
 * False when out of memory. */
static bool queue_listed(struct room *room, const struct room_occupant *listed, int64_t now)
{
    enum affiliation affiliation = affiliation_of(listed->affiliation);
    struct person *person;

    if (strcmp(listed->nick, "focus") == 0 || jid_is_focus(listed->bare_jid)) {
        return true;
    }
    person = person_get(room, listed->bare_jid);
    if (person == NULL) {
        return false;
    }
    person->listed_at = room->turning_since;
    if (affiliation == AFFILIATION_NONE && person->affiliation >= AFFILIATION_ADMIN) {
        /* His own stream says more: whichever is newer, he is asked about before a grant. */
        person->affiliation = AFFILIATION_UNKNOWN;
        person_queue(person, room, false, now);
        return true;
    }
    person->affiliation = affiliation;
    person_set_on_trust(person, room, false); /* he came */
    if (affiliation == AFFILIATION_NONE) {
        person_queue(person, room, true, now);
    }
    return true;
}

enum step_result step_listing(struct room *room, const struct room_answer *answer, int64_t now)
{
    if (answer == NULL) {
        return wanted(room, now) ? STEP_WAIT : abandon(room);
    }
    if (answer->status != ANSWER_OK) {
        return turn_on_failed(room, "the occupant list", answer, now);
    }
    room_enter_step(room, ROOM_GRANTING);
    for (size_t i = 0; i < answer->occupants_len; i++) {
        if (!queue_listed(room, &answer->occupants[i], now)) {
            return out_of_memory(room, now);
        }
    }
    return STEP_MORE;
}

/* Granting. */

/* He was put out before the list was made, and did not hear of it yet, or does not read: a
 * membership would be his way back. Of others the list may know less: it is three requests. */
static bool is_missing(const struct occupant *occupant)
{
    const struct session *session = occupant->session;

    return occupant->was_there && occupant->person->listed_at != occupant->room->turning_since &&
           (session->suspended || session->asks_lobby);
}

/* Own occupants who came in after the list was made. Those inside without a record, for want of
 * memory, cannot be told from members: false. */
static bool queue_inside(struct room *room, int64_t now)
{
    struct occupant *occupant;

    for (occupant = TAILQ_FIRST(&room->occupants); occupant != NULL;
         occupant = TAILQ_NEXT(occupant, room_link)) {
        if (occupant->place != PLACE_INSIDE) {
            continue;
        }
        if (occupant->person == NULL) {
            occupant->person = person_get(room, occupant->session->bare_jid);
            if (occupant->person == NULL) {
                return false;
            }
            occupant->person->inside++;
        }
        if (!person_is_settled(occupant->person) && !is_missing(occupant)) {
            person_queue(occupant->person, room, false, now);
        }
    }
    return true;
}

/* Who was let through before, and may be inside by now. Lobby users among them were let through to
 * a lobby; they are no members, whatever other stream of the same JID is on its way. */
static bool queue_in_flight(struct room *room, int64_t now)
{
    struct join *join;

    for (join = TAILQ_FIRST(&room->in_flight); join != NULL; join = TAILQ_NEXT(join, room_link)) {
        struct person *person;

        if (join->applicant != APPLICANT_PLAIN && join->applicant != APPLICANT_GUEST) {
            continue;
        }
        person = person_get(room, join->session->bare_jid);
        if (person == NULL) {
            return false;
        }
        if (!person_is_settled(person) && person->work == MEMBER_QUIET &&
            !joins_ask_lobby(room, person->bare_jid)) {
            person_set_on_trust(person, room, true);
            person_queue(person, room, join->fresh_jid, now);
        }
    }
    return true;
}

enum step_result step_granting(struct room *room, const struct room_answer *answer, int64_t now)
{
    int persistent = persistent_wanted(room);

    assert(answer == NULL);
    if (!wanted(room, now)) {
        return abandon(room);
    }
    if (!queue_inside(room, now) || !queue_in_flight(room, now)) {
        return out_of_memory(room, now);
    }
    members_send(room, now);
    if (room->working > 0 || !TAILQ_EMPTY(&room->queue)) {
        return STEP_WAIT;
    }
    if (!fence_keeps(room, now)) {
        return abandon(room);
    }
    expect_persistent(room, persistent);
    if (!room->doubted) { /* else it may be on already: then ours changes nothing and is not told */
        occupants_await_change(room, NULL);
    }
    room_enter_step(room, ROOM_SUBMITTING);
    room_send(room, REQUEST_SUBMIT, persistent);
    return STEP_WAIT;
}

/* Submitting, and reading back. */

enum step_result step_submitting(struct room *room, const struct room_answer *answer, int64_t now)
{
    if (answer == NULL) {
        return STEP_WAIT;
    }
    unexpect_persistent(room, answer);
    if (answer->status != ANSWER_OK) {
        occupants_await_nothing(room);
        room_forget_state(room);
        return room_step_failed(room, "the owner form's submission", answer, now);
    }
    room->submitted_at = now;
    room->doubted = false;
    room_enter_step(room, ROOM_VERIFYING);
    room_send(room, REQUEST_FORM, -1);
    return STEP_WAIT;
}

/* Our submit was carried out. A change announced since may have been another's: then lobby users
 * ask once more. */
static void is_on(struct room *room)
{
    if (!room_is_unsettled(room)) {
        room_learn(room, LOBBY_ON, !room->doubted);
        room->lobby_room = LOBBY_ROOM_EXISTS;
        undo_submitted(room);
    }
    room_enter_step(room, ROOM_IDLE);
}

enum step_result step_verifying(struct room *room, const struct room_answer *answer, int64_t now)
{
    static const char off[] = "the lobby did not stay on";

    if (answer == NULL) {
        return STEP_WAIT;
    }
    if (answer->status != ANSWER_OK) {
        room_forget_state(room);
        return room_step_failed(room, "the owner form, read back,", answer, now);
    }
    if (!answer->form.has_membersonly || !answer->form.membersonly) {
        room_forget_state(room);
        room_note(room, ROOM_FAILED, NULL, off, 0, 0);
        room_enter_step(room, ROOM_IDLE);
        joins_fail(room, true, off, now);
        return STEP_MORE;
    }
    room->turned_on = true;
    is_on(room);
    room_note(room, ROOM_LOBBY_TURNED_ON, NULL, NULL, now - room->turning_since,
              room->turning_granted);
    return STEP_MORE;
}

/* Repairing. */

enum step_result repair_begin(struct room *room, int64_t now)
{
    /* Known to be broken, it is turned on anew; else it may be a moderator's own lobby. */
    int persistent = room->lobby_room == LOBBY_ROOM_MISSING ? persistent_wanted(room) : -1;

    room->turning_since = now;
    room->doubted = false;
    expect_persistent(room, persistent);
    room_enter_step(room, ROOM_REPAIRING);
    room_send(room, REQUEST_SUBMIT, persistent);
    return STEP_WAIT;
}

enum step_result step_repairing(struct room *room, const struct room_answer *answer, int64_t now)
{
    if (answer == NULL) {
        joins_decide(room, now); /* all but lobby users go on */
        return STEP_WAIT;
    }
    unexpect_persistent(room, answer);
    if (answer->status != ANSWER_OK) {
        room_forget_state(room);
        return room_step_failed(room, "the lobby's repair", answer, now);
    }
    room->submitted_at = now;
    if (room->lobby_room == LOBBY_ROOM_MISSING) {
        room_note(room, ROOM_LOBBY_REPAIRED, NULL, NULL, now - room->turning_since, 0);
    }
    is_on(room);
    return STEP_MORE;
}

/* Creating. */

enum step_result create_begin(struct room *room, int64_t now)
{
    room->turning_since = now;
    room_enter_step(room, ROOM_LANDING);
    return STEP_MORE;
}

/* Between our making the room and configuring it, whoever was let through before could come in, to
 * be thrown out at once. Mostly nobody is: to them the room does not exist either. */
enum step_result step_landing(struct room *room, const struct room_answer *answer, int64_t now)
{
    assert(answer == NULL);
    if (room->inside > 0 || !room_can_ask(room, now) ||
        !joins_want(room, LOBBY_NO_ROOM, DECIDE_CREATE, now)) {
        room_forget_state(room); /* somebody made it, nobody can, or nobody needs it */
        return abandon(room);
    }
    if (!TAILQ_EMPTY(&room->in_flight)) {
        return STEP_WAIT;
    }
    if (!fence_keeps(room, now)) {
        return abandon(room);
    }
    room->doubted = false;
    /* Whatever is configured: else it would be gone as soon as the service leaves it. */
    expect_persistent(room, 1);
    room_enter_step(room, ROOM_CREATING);
    room_send(room, REQUEST_CREATE, 1);
    return STEP_WAIT;
}

enum step_result step_creating(struct room *room, const struct room_answer *answer, int64_t now)
{
    if (answer == NULL) {
        return STEP_WAIT;
    }
    if (answer->status != ANSWER_OK) {
        unexpect_persistent(room, answer);
        room_forget_state(room);
        if (answer_is_error(answer, "conflict")) {
            return abandon(room); /* it exists by now: asked again */
        }
        return room_step_failed(room, "the room's creation", answer, now);
    }
    room->submitted_at = now;
    room_note(room, ROOM_CREATED, NULL, NULL, now - room->turning_since, 0);
    room->turned_on = true;
    is_on(room);
    return STEP_MORE;
}
