/*
 * One room, several instances: each sees its own clients' joins only. So that nobody comes in by
 * one while another, having listed who is inside, sets members-only or destroys the room (wire
 * facts 15, 17), joins on their way share the room and who changes it wants it alone.
 *
 * The thing to know: what an instance knows of a room is worth nothing once another has changed it;
 * the number of changes says so at the moment when a join is let through.
 */
#include "policy/room.h"

#define LOOK_AGAIN_MS 20
#define ALONE_WAIT_MS 2000

static enum fence_result fence(struct room *room, enum room_fence wanted)
{
    const struct room_actions *actions = &room->rooms->actions;
    uint64_t changes = room->changes;

    if (room->fence == wanted || actions->fence == NULL) {
        room->fence = wanted;
        return FENCE_GIVEN;
    }
    if (!actions->fence(actions->ctx, room->name, wanted, &changes)) {
        room->is_fenced_off = true;
        return FENCE_REFUSED;
    }
    room->fence = wanted;
    if (wanted == FENCE_OPEN || changes == room->changes) {
        return FENCE_GIVEN;
    }
    room->changes = changes;
    persons_doubt(room);
    if (room->state == LOBBY_UNKNOWN) {
        return FENCE_GIVEN;
    }
    room_forget_state(room);
    return FENCE_GIVEN_CHANGED;
}

enum fence_result fence_share(struct room *room)
{
    return room->fence == FENCE_OPEN ? fence(room, FENCE_SHARED) : FENCE_GIVEN;
}

enum fence_result fence_alone(struct room *room, bool can_wait, int64_t now)
{
    enum fence_result result = fence(room, FENCE_ALONE);

    if (result != FENCE_REFUSED) {
        room->alone_since = NOT_WISHED;
        return result;
    }
    if (room->alone_since == NOT_WISHED) {
        room->alone_since = now;
    }
    if (can_wait || now - room->alone_since < ALONE_WAIT_MS) {
        return FENCE_REFUSED;
    }
    room->alone_since = NOT_WISHED;
    return FENCE_GIVEN;
}

void fence_changing(struct room *room)
{
    const struct room_actions *actions = &room->rooms->actions;

    if (actions->changing != NULL) {
        room->changes = actions->changing(actions->ctx, room->name);
    }
}

static bool has_joins_on_way(const struct room *room)
{
    const struct join *join;

    if (!TAILQ_EMPTY(&room->in_flight)) {
        return true;
    }
    TAILQ_FOREACH(join, &room->held, room_link)
    {
        if (join->phase == JOIN_WAITS_MEMBER) {
            return true;
        }
    }
    return false;
}

void fence_settle(struct room *room, bool is_changing)
{
    if (is_changing || room->owner_sets > 0) {
        (void)fence(room, FENCE_ALONE); /* a moderator's change is under way whether or not */
    } else if (has_joins_on_way(room)) {
        (void)fence(room, FENCE_SHARED);
    } else {
        fence_leave(room);
    }
}

void fence_leave(struct room *room)
{
    (void)fence(room, FENCE_OPEN);
}

/* One that another has there was given by the former fence to both: it is asked for again. The new
 * number alone says nothing of a room that was fenced all the time. */
void rooms_fence_anew(struct rooms *rooms)
{
    const struct room_actions *actions = &rooms->actions;
    struct room *room;

    TAILQ_FOREACH(room, &rooms->list, link)
    {
        if (room->fence != FENCE_OPEN && actions->fence != NULL &&
            !actions->fence(actions->ctx, room->name, room->fence, &room->changes)) {
            room->fence = FENCE_OPEN;
        }
    }
}

int64_t fence_due(const struct room *room, int64_t now)
{
    bool is_wanted = !TAILQ_EMPTY(&room->held) || room->persistent || room->owner_sets > 0;

    return room->is_fenced_off && is_wanted ? now + LOOK_AGAIN_MS : INT64_MAX;
}
