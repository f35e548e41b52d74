/*
 * One room, several instances: each sees its own clients' joins only. So that nobody comes in by
 * one while another, having listed who is inside, sets members-only or destroys the room (wire
 * facts 15, 17), joins on their way share the room and who changes it wants it alone.
 *
 * The thing to know: what an instance knows of a room is worth nothing once another has changed it;
 * the number of changes says so at the moment when a join is let through.
 *
 * Who wishes to change the room keeps the others from sending more joins on their way, and waits
 * for those that are, but not for long: a client that does not read keeps his on the way for as
 * long as he likes. He may be thrown out then; who comes later is held.
 *
 * One that hangs holds what it has. So who has waited for long passes it by, and counts that as a
 * change: whoever was alone looks, right before he tells Prosody, whether he still is. Once he has
 * told it, nobody passes.
 */
#include "policy/room.h"

#define LOOK_AGAIN_MS 20
#define PASS_MS 2000     /* for one that may hang */
#define ON_WAY_MS 1000   /* for joins that may never land; shorter: there is time to tell Prosody */
#define STAND_OFF_MS 200 /* in which who passed by us sees that we are there */

/* True: what was known of its state is not any more. */
static bool look(struct room *room, uint64_t changes)
{
    bool was_known = room->state != LOBBY_UNKNOWN;

    if (changes == room->changes) {
        return false;
    }
    room->changes = changes;
    persons_doubt(room);
    if (was_known) {
        room_forget_state(room);
    }
    return was_known;
}

static enum fence_result ask(struct room *room, enum room_fence wanted)
{
    const struct room_actions *actions = &room->rooms->actions;
    uint64_t changes = room->changes;

    if (actions->fence == NULL) {
        room->fence = wanted;
        return FENCE_GIVEN;
    }
    if (!actions->fence(actions->ctx, room->name, wanted, &changes)) {
        room->is_fenced_off = true;
        return FENCE_REFUSED;
    }
    room->fence = wanted;
    return wanted != FENCE_OPEN && look(room, changes) ? FENCE_GIVEN_CHANGED : FENCE_GIVEN;
}

static enum fence_result fence(struct room *room, enum room_fence wanted)
{
    return room->fence == wanted ? FENCE_GIVEN : ask(room, wanted);
}

static enum fence_result alone(struct room *room)
{
    enum fence_result next = room->fence < FENCE_NEXT ? ask(room, FENCE_NEXT) : FENCE_GIVEN;
    enum fence_result result = next == FENCE_REFUSED ? next : fence(room, FENCE_ALONE);

    if (result == FENCE_REFUSED && room->fence == FENCE_CHANGING) {
        (void)ask(room, FENCE_NEXT); /* others shared it all the time */
    }
    return result == FENCE_GIVEN ? next : result;
}

/* Whether joins go on though another has the room alone. Counted before the second look: either he
 * sees that we passed, or we see that he tells Prosody. */
static bool pass(struct room *room, int64_t now)
{
    const struct room_actions *actions = &room->rooms->actions;
    uint64_t changes, seen;

    if (room->refused_since == NOT_WISHED) {
        room->refused_since = now;
    }
    if (actions->is_changing == NULL || now - room->refused_since < PASS_MS ||
        actions->is_changing(actions->ctx, room->name, &changes)) {
        return false;
    }
    look(room, changes);
    changes = actions->changing(actions->ctx, room->name);
    if (actions->is_changing(actions->ctx, room->name, &seen)) {
        return false;
    }
    room->changes = changes;
    return true;
}

/* Another may have passed us, if we hung. */
static enum fence_result still(struct room *room)
{
    const struct room_actions *actions = &room->rooms->actions;
    uint64_t changes;

    if (actions->is_changing == NULL) {
        return FENCE_GIVEN;
    }
    (void)actions->is_changing(actions->ctx, room->name, &changes);
    return look(room, changes) ? FENCE_GIVEN_CHANGED : FENCE_GIVEN;
}

enum fence_result fence_share(struct room *room, int64_t now)
{
    /* One that is had already too: another may wish to be alone by now. */
    enum fence_result result = room->fence < FENCE_NEXT ? ask(room, FENCE_SHARED) : still(room);

    if (result == FENCE_REFUSED) {
        return pass(room, now) ? FENCE_GIVEN : FENCE_REFUSED;
    }
    if (room->refused_since != NOT_WISHED) {
        room->let_at = now;
    }
    room->refused_since = NOT_WISHED;
    return result;
}

enum fence_result fence_alone(struct room *room, bool can_wait, int64_t now)
{
    enum fence_result result = FENCE_REFUSED;

    if (now >= room->stand_off_until) {
        result = alone(room);
    }
    if (result != FENCE_REFUSED) {
        room->alone_since = NOT_WISHED;
        room->passes = false;
        return result;
    }
    room->is_fenced_off = true;
    if (can_wait) {
        room->alone_since = NOT_WISHED; /* holds nobody up */
        return FENCE_REFUSED;
    }
    if (room->alone_since == NOT_WISHED) {
        room->alone_since = room->refused_since == NOT_WISHED ? now : room->refused_since;
    }
    if (now - room->alone_since < ON_WAY_MS) {
        return FENCE_REFUSED;
    }
    room->alone_since = NOT_WISHED;
    room->passes = room->fence < FENCE_NEXT;
    return FENCE_GIVEN;
}

bool fence_keeps(struct room *room, int64_t now)
{
    uint64_t changes = room->changes;

    if (room->passes) {
        room->passes = false;
        /* Given: he does not hang any more, and may have let people in since. */
        return room->fence < FENCE_NEXT && ask(room, FENCE_NEXT) == FENCE_REFUSED;
    }
    if (room->fence < FENCE_NEXT) {
        return true;
    }
    (void)fence(room, FENCE_CHANGING);
    if (room->changes == changes) {
        return true;
    }
    fence_leave(room);
    room->stand_off_until = now + STAND_OFF_MS;
    return false;
}

void fence_telling(struct room *room)
{
    if (room->fence >= FENCE_NEXT) {
        (void)fence(room, FENCE_CHANGING);
    }
    fence_changing(room);
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

static bool has_told(const struct room *room)
{
    enum request_kind kind = room->request.kind;

    return room->request.id != 0 &&
           (kind == REQUEST_SUBMIT || kind == REQUEST_CREATE || kind == REQUEST_DESTROY);
}

void fence_settle(struct room *room, bool is_changing)
{
    if (TAILQ_EMPTY(&room->held)) {
        room->refused_since = NOT_WISHED;
    }
    if (is_changing && has_told(room)) {
        if (room->fence >= FENCE_NEXT || ask(room, FENCE_NEXT) != FENCE_REFUSED) {
            (void)fence(room, FENCE_CHANGING);
        }
    } else if (is_changing || room->owner_sets > 0) {
        (void)alone(room); /* a moderator's change is under way whether or not */
    } else if (room->fence == FENCE_NEXT && room->step <= ROOM_ASKING &&
               room->alone_since != NOT_WISHED) {
        return; /* is wished for still */
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
        enum room_fence wanted = room->fence;

        if (wanted == FENCE_OPEN || actions->fence == NULL) {
            continue;
        }
        while (wanted != FENCE_OPEN &&
               !actions->fence(actions->ctx, room->name, wanted, &room->changes)) {
            wanted = wanted > FENCE_NEXT ? FENCE_NEXT : FENCE_OPEN;
        }
        room->fence = wanted;
    }
}

int64_t fence_due(const struct room *room, int64_t now)
{
    bool is_wanted = !TAILQ_EMPTY(&room->held) || !TAILQ_EMPTY(&room->in_flight) ||
                     room->persistent || room->owner_sets > 0 || room->alone_since != NOT_WISHED;

    return room->is_fenced_off && is_wanted ? now + LOOK_AGAIN_MS : INT64_MAX;
}
