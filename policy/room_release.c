/*
 * Releasing a room we made persistent: Prosody never removes it by itself (wire fact 17), so it is
 * destroyed as soon as nobody is in it.
 *
 * The thing to know: our own streams say when to look, the occupant list says whether anyone is
 * there; who waits in the lobby is seen on our own streams only (wire fact 12).
 */
#include "policy/room.h"

#define LOOK_AGAIN_MS 2000
#define PAUSE_MAX_MS 60000
/* Clients of the process that is gone take seconds to come back; until then nobody sees who waits.
 */
#define COMING_BACK_MS 10000
/* While there are strangers, who may wait in the lobby of a room that was made so before we began
 * to look. Not for ever: one of them may be nowhere and stay. */
#define STRANGERS_MS 900000
#define NOT_EMPTY (-1)
#define GIVE_BACK_TRIES_MAX 3 /* the stop is near, nothing is kept trying */

/* When an adopted room is one like others: who was there came back, or will not. */
static int64_t settled_at(const struct room *room)
{
    if (!room->adopted) {
        return INT64_MIN;
    }
    return room->adopted_at + (room->rooms->strangers > 0 ? STRANGERS_MS : COMING_BACK_MS);
}

bool release_is_unsettled(const struct room *room, int64_t now)
{
    return now < settled_at(room);
}

/* Who waits may resume his session at the next process: there he is to find the lobby he was in. */
bool release_is_left_to_heir(const struct room *room)
{
    enum rooms_heir heir = room->rooms->heir;

    return heir == ROOMS_HEIR_RUNNING ||
           (heir == ROOMS_HEIR_NEXT && (room->outside > 0 || room->was_unsettled));
}

bool release_wanted(const struct room *room)
{
    if (release_is_left_to_heir(room) || (room->rooms->stopping && room->occupied)) {
        return false; /* another's, or given back instead */
    }
    return room->persistent && room->inside == 0 && (room->outside == 0 || room->rooms->stopping) &&
           TAILQ_EMPTY(&room->held) && TAILQ_EMPTY(&room->in_flight);
}

void release_reset(struct room *room)
{
    room->empty_since = NOT_EMPTY;
    room->release_at = 0;
    room->release_pause = LOOK_AGAIN_MS;
    room->release_failed = false;
}

static int64_t earliest(const struct room *room)
{
    return room->rooms->stopping ? INT64_MIN : settled_at(room);
}

bool release_is_due(struct room *room, int64_t now)
{
    if (!release_wanted(room)) {
        return false;
    }
    if (room->empty_since == NOT_EMPTY) {
        room->empty_since = now;
    }
    return room_can_ask(room, now) && now >= room->release_at && now >= earliest(room);
}

int64_t release_due(const struct room *room)
{
    int64_t at = room->release_at > room->retry_at ? room->release_at : room->retry_at;

    if (room->step != ROOM_IDLE || !release_wanted(room) || !room->rooms->service_up) {
        return INT64_MAX;
    }
    return at > earliest(room) ? at : earliest(room);
}

enum step_result release_begin(struct room *room)
{
    room_enter_step(room, ROOM_CHECKING);
    room_send(room, REQUEST_ROLES, -1);
    return STEP_WAIT;
}

static enum step_result look_again(struct room *room, int64_t pause, int64_t now)
{
    room->release_at = now + pause;
    room_enter_step(room, ROOM_IDLE);
    return STEP_MORE;
}

/* Later and later, told once. */
static enum step_result release_failed(struct room *room, const char *what,
                                       const struct room_answer *answer, int64_t now)
{
    int64_t pause = room->release_pause;
    char text[256];

    if (!room->release_failed && answer->status != ANSWER_LOST && answer->status != ANSWER_UNSENT) {
        room_failure_text(text, sizeof(text), what, answer);
        room_note(room, ROOM_FAILED, NULL, text, 0, 0);
        room->release_failed = true;
    }
    room->release_pause = pause * 2 < PAUSE_MAX_MS ? pause * 2 : PAUSE_MAX_MS;
    return look_again(room, pause, now);
}

static enum step_result is_gone(struct room *room, int64_t now)
{
    room_is_gone(room, now);
    room_enter_step(room, ROOM_IDLE);
    return STEP_MORE;
}

enum step_result step_checking(struct room *room, const struct room_answer *answer, int64_t now)
{
    if (!release_wanted(room)) {
        room_enter_step(room, ROOM_IDLE); /* somebody comes: the answer no longer matters */
        return STEP_MORE;
    }
    if (answer == NULL) {
        return STEP_WAIT;
    }
    if (answer_is_error(answer, "item-not-found")) {
        return is_gone(room, now);
    }
    if (answer->status != ANSWER_OK) {
        return release_failed(room, "the occupant list", answer, now);
    }
    if (answer->occupants_len > 0 && room->rooms->stopping) {
        room->occupied = true; /* nobody of ours, and nobody will look again */
        room_enter_step(room, ROOM_IDLE);
        return STEP_MORE;
    }
    if (answer->occupants_len > 0) {
        return look_again(room, LOOK_AGAIN_MS, now); /* focus leaves last, or others' users */
    }
    if (!fence_keeps(room, now)) {
        return look_again(room, LOOK_AGAIN_MS, now);
    }
    room_enter_step(room, ROOM_DESTROYING);
    room_send(room, REQUEST_DESTROY, -1);
    return STEP_WAIT;
}

enum step_result step_destroying(struct room *room, const struct room_answer *answer, int64_t now)
{
    if (answer == NULL) {
        return STEP_WAIT;
    }
    if (answer_is_error(answer, "item-not-found")) {
        return is_gone(room, now);
    }
    if (answer_is_error(answer, "handed-over")) {
        room_set_persistent(room, false);
        room_note(room, ROOM_HANDED_OVER, NULL, NULL, 0, 0);
        room_enter_step(room, ROOM_IDLE);
        return STEP_MORE;
    }
    if (answer->status != ANSWER_OK) {
        return release_failed(room, "the room's destruction", answer, now);
    }
    room_set_persistent(room, false);
    room_note(room, ROOM_RELEASED, NULL, NULL,
              room->empty_since == NOT_EMPTY ? 0 : now - room->empty_since, 0);
    return is_gone(room, now);
}

/* Shutting down: people inside keep their room, and Prosody ends it with the last of them. Every
 * submit carries membersonly as it is (wire fact 16), so the state must be known first. */
bool give_back_is_due(const struct room *room, int64_t now)
{
    return room->rooms->stopping && !release_is_left_to_heir(room) && room->persistent &&
           (room->inside > 0 || room->occupied) && room->give_back_tries < GIVE_BACK_TRIES_MAX &&
           room_can_ask(room, now);
}

enum step_result give_back_begin(struct room *room)
{
    room_enter_step(room, ROOM_GIVING_BACK);
    room_send(room, REQUEST_SUBMIT, 0);
    return STEP_WAIT;
}

enum step_result step_giving_back(struct room *room, const struct room_answer *answer, int64_t now)
{
    char text[256];

    if (answer == NULL) {
        return STEP_WAIT;
    }
    if (answer->status == ANSWER_OK) {
        room_set_persistent(room, false);
        room_note(room, ROOM_GIVEN_BACK, NULL, NULL, 0, 0);
    } else {
        room_failure_text(text, sizeof(text), "giving the room back", answer);
        room_note(room, ROOM_FAILED, NULL, text, 0, 0);
    }
    room_enter_step(room, ROOM_IDLE);
    return STEP_MORE;
}

void rooms_each_kept(const struct rooms *rooms,
                     void (*each)(void *ctx, const char *room, bool is_persistent,
                                  bool is_waited_for),
                     void *ctx)
{
    const struct room *room;

    TAILQ_FOREACH(room, &rooms->list, link)
    {
        if (room->persistent || room->outside > 0) {
            each(ctx, room->name, room->persistent, room->outside > 0);
        }
    }
}
