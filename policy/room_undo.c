/*
 * Taking members-only back where no lobby came of it. A Prosody without Jitsi's lobby module
 * accepts the form all the same, and then everybody but members is locked out, with nobody to let
 * him in.
 *
 * The thing to know: only a refusal (407) without a lobby's address tells, and only that of a join
 * forwarded after our own submit; a lobby that somebody turned off by an unlucky form looks the
 * same (wire fact 16), so it takes two in a row.
 */
#include "policy/room.h"

#include <assert.h>

#define TWICE 2
#define LOOK_AGAIN_MS 300000
#define TRY_AGAIN_MS 2000
#define NO_LOBBY                                                                                   \
    "Prosody made no lobby though the room is members-only; is muc_lobby_rooms loaded on the "     \
    "main host?"

const char *undo_refuses(const struct room *room, int64_t now)
{
    if (room->lobbyless >= TWICE || now < room->no_lobby_until ||
        now < room->rooms->no_lobby_until) {
        return "Prosody makes no lobby";
    }
    return NULL;
}

void undo_submitted(struct room *room)
{
    room->is_proof_due = true;
}

void undo_lobby_seen(struct room *room)
{
    struct rooms *rooms = room->rooms;

    room->is_proof_due = false;
    room->lobbyless = 0;
    room->no_lobby_until = 0;
    rooms->lobby_was_seen = true;
    rooms->no_lobby_is_told = false;
    rooms->no_lobby_until = 0;
}

void undo_no_lobby_seen(struct room *room, int64_t forwarded_at)
{
    if (room->is_proof_due && room->state == LOBBY_ON && forwarded_at >= room->submitted_at) {
        room->is_proof_due = false;
        room->lobbyless++;
    }
}

bool undo_tries_again(const struct room *room, int64_t now)
{
    return room->lobbyless > 0 && room->lobbyless < TWICE && !room->is_proof_due &&
           room->turned_on && room->state == LOBBY_ON && room->owner_sets == 0 &&
           room_can_ask(room, now);
}

bool undo_is_due(const struct room *room, int64_t now)
{
    return room->lobbyless >= TWICE && room->owner_sets == 0 && room_can_ask(room, now);
}

/* Others that rest on a lobby of ours which nobody has seen yet are looked at too. */
static void tell(struct room *room, int64_t now)
{
    struct rooms *rooms = room->rooms;

    room->no_lobby_until = now + LOOK_AGAIN_MS;
    if (!rooms->lobby_was_seen) {
        rooms->no_lobby_until = now + LOOK_AGAIN_MS;
    }
    if (!rooms->no_lobby_is_told) {
        room_note(room, ROOM_NO_LOBBY, NULL, NO_LOBBY, 0, 0);
        rooms->no_lobby_is_told = true;
    }
}

enum step_result undo_begin(struct room *room, int64_t now)
{
    tell(room, now);
    if (!room->turned_on) {
        room->lobbyless = 0; /* members-only by another's hand stays so */
        return STEP_MORE;
    }
    room_enter_step(room, ROOM_STANDING_BACK);
    return STEP_MORE;
}

/* A lobby user on his way, forwarded to a lobby, must not find the room open. */
enum step_result step_standing_back(struct room *room, const struct room_answer *answer,
                                    int64_t now)
{
    assert(answer == NULL);
    if (!undo_is_due(room, now)) {
        room_enter_step(room, ROOM_IDLE);
        return STEP_MORE;
    }
    if (joins_lobby_in_flight(room)) {
        return STEP_WAIT;
    }
    if (!fence_keeps(room, now)) {
        room->lobbyless = 0; /* what was seen is from before */
        room_enter_step(room, ROOM_IDLE);
        return STEP_MORE;
    }
    room_enter_step(room, ROOM_UNDOING);
    /* An empty room is ours to destroy: not persistent, it would stay all the same (wire fact 18).
     */
    room_send(room, REQUEST_SUBMIT, room->persistent && room->inside > 0 ? 0 : -1);
    return STEP_WAIT;
}

enum step_result step_undoing(struct room *room, const struct room_answer *answer, int64_t now)
{
    char text[256];

    if (answer == NULL) {
        return STEP_WAIT;
    }
    room_enter_step(room, ROOM_IDLE);
    room_forget_state(room);
    if (answer_is_error(answer, "item-not-found")) {
        room_is_gone(room, now);
    } else if (answer->status != ANSWER_OK) {
        room->retry_at = now + TRY_AGAIN_MS;
        if (answer->status != ANSWER_LOST && answer->status != ANSWER_UNSENT) {
            room_failure_text(text, sizeof(text), "taking members-only back", answer);
            room_note(room, ROOM_FAILED, NULL, text, 0, 0);
        }
        return STEP_MORE;
    } else {
        if (room->inside > 0) {
            room_set_persistent(room, false);
        }
        room->submitted_at = now;
        room_note(room, ROOM_LOBBY_UNDONE, NULL, NULL, 0, 0);
    }
    room->lobbyless = 0;
    room->turned_on = false;
    room->is_proof_due = false;
    return STEP_MORE;
}
