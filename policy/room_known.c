/*
 * What is known about a room's lobby, and how it gets to be known.
 *
 * The thing to know: a state has two grades. "Learnt" came from what passed by on clients' streams
 * and is good enough to decide whether someone needs a membership, where a mistake only leads him
 * to the lobby. "Confirmed" was read by ourselves and there was a witness since, who gains nothing
 * by hiding a change from us; only that lets a lobby user's join through.
 */
#include "policy/room.h"

/* A 104 so soon after our own submit was answered is most likely its announcement, late on some
 * client's stream. */
#define OWN_CHANGE_MS 2000
/* For so long in a minute clients' own changes of a room are waited for: a moderator's take
 * milliseconds, but who sends them one after another would stop all joins. */
#define OWNER_SETS_MS 10000
#define MINUTE_MS 60000

void room_count_owner_sets(struct room *room, int64_t now)
{
    int64_t ms;

    if (now - room->owner_sets_minute >= MINUTE_MS) {
        room->owner_sets_minute = now;
        room->owner_sets_ms = 0;
        room->owner_sets_since = now;
    }
    ms = room->owner_sets_ms + (room->owner_sets > 0 ? now - room->owner_sets_since : 0);
    room->owner_sets_outlast = ms >= OWNER_SETS_MS;
}

bool room_is_unsettled(const struct room *room)
{
    return room->owner_sets > 0 && !room->owner_sets_outlast;
}

int64_t room_settled_by(const struct room *room)
{
    return room->owner_sets_since + OWNER_SETS_MS - room->owner_sets_ms;
}

void room_learn(struct room *room, enum lobby_state state, bool confirmed)
{
    room->state = state;
    room->confirmed = confirmed;
}

void room_forget_state(struct room *room)
{
    room_learn(room, LOBBY_UNKNOWN, false);
    room->lobby_room = LOBBY_ROOM_UNKNOWN;
}

static bool is_own_change(const struct room *room, int64_t now)
{
    return room->state == LOBBY_ON && room->submitted_at != ROOM_NEVER &&
           now - room->submitted_at <= OWN_CHANGE_MS;
}

void room_config_changed(struct room *room, const struct session *session, int64_t now)
{
    if (occupant_was_told(room, session)) {
        return; /* of what we did ourselves, or heard of before */
    }
    /* Whatever is being read may be from before this change, or from after it. */
    room->doubted = true;
    switch (room->step) {
    case ROOM_LISTING:
    case ROOM_GRANTING:
    case ROOM_SUBMITTING:
    case ROOM_VERIFYING:
    case ROOM_REPAIRING:
    case ROOM_LANDING:
    case ROOM_CREATING:
    case ROOM_GIVING_BACK:
    case ROOM_STANDING_BACK:
    case ROOM_UNDOING:
        return; /* what comes of it is read, or set, at its end */
    case ROOM_IDLE:
    case ROOM_ASKING:
    case ROOM_CHECKING:
    case ROOM_DESTROYING:
        break;
    }
    if (is_own_change(room, now)) {
        room->confirmed = false;
        return;
    }
    room_forget_state(room);
}

/* Whether what passes by tells more than what we are about to do ourselves. */
static bool may_learn(const struct room *room)
{
    return !room_holds_all(room) && room->step != ROOM_REPAIRING && !room_is_unsettled(room);
}

void room_informed(struct room *room, const struct muc_info *info, int64_t now)
{
    enum lobby_state state = info->membersonly ? LOBBY_ON : LOBBY_OFF;

    if (!may_learn(room)) {
        return;
    }
    if (state != room->state && is_own_change(room, now)) {
        room_forget_state(room); /* from before our submit, or from after someone else's */
        return;
    }
    if (state != room->state) {
        room_learn(room, state, false);
    }
    room->lobby_room = info->has_lobbyroom ? LOBBY_ROOM_EXISTS : LOBBY_ROOM_MISSING;
    if (info->has_lobbyroom) {
        undo_lobby_seen(room);
    }
}

void room_members_only(struct room *room, bool has_lobbyroom, int64_t forwarded_at)
{
    if (has_lobbyroom) {
        undo_lobby_seen(room);
    }
    if (!may_learn(room)) {
        return;
    }
    if (room->state != LOBBY_ON) {
        room_learn(room, LOBBY_ON, false);
    }
    room->lobby_room = has_lobbyroom ? LOBBY_ROOM_EXISTS : LOBBY_ROOM_MISSING;
    if (!has_lobbyroom) {
        undo_no_lobby_seen(room, forwarded_at);
    }
}

void room_owner_set(struct room *room, bool finished, int64_t now)
{
    room_count_owner_sets(room, now);
    if (!finished && room->owner_sets++ == 0) {
        room->owner_sets_since = now;
    } else if (finished && room->owner_sets > 0 && --room->owner_sets == 0) {
        room->owner_sets_ms += now - room->owner_sets_since;
    }
    if (!room->owner_sets_outlast) {
        room->doubted = true; /* else reading it would never come to an end */
    }
    room->turned_on = room->is_proof_due = false;
    room->lobbyless = 0;
    fence_changing(room);
    if (may_learn(room) || room->step == ROOM_REPAIRING || room_is_unsettled(room)) {
        room_forget_state(room);
    }
}

void room_destroyed(struct room *room, int64_t now)
{
    /* A submit or creation under way may reach the room's successor: then it is ours to destroy. */
    bool may_be_set = room->step == ROOM_SUBMITTING || room->step == ROOM_VERIFYING ||
                      room->step == ROOM_CREATING || room->step == ROOM_REPAIRING;

    occupants_remove_all(room);
    if (room->step == ROOM_DESTROYING) {
        return;
    }
    if (!may_be_set) {
        room_is_gone(room, now);
        room_enter_step(room, ROOM_IDLE);
    } else {
        persons_remove_all(room);
        room_forget_state(room);
    }
}
