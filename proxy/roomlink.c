/*
 * Joins held by the rooms, by id, and what the rooms say: verdicts to the streams, notes to the
 * log, requests to task.c.
 */
#include "proxy/roomlink.h"

#include "proxy/fence.h"
#include "proxy/log.h"
#include "proxy/service.h"
#include "proxy/state.h"
#include "proxy/stream.h"
#include "proxy/task.h"

#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#define TAG "rooms"

struct held {
    uint64_t join;
    struct stream *stream;
    UT_hash_handle hh;
};

struct roomlink {
    struct proxy *proxy;
    struct held *held;
    struct tasks tasks;
    uint64_t last_join;
    struct room_actions actions;
};

static void on_request(void *ctx, const struct room_request *request)
{
    struct roomlink *link = ctx;

    task_start(&link->tasks, request);
}

static void on_presence(void *ctx, const struct element *presence)
{
    struct roomlink *link = ctx;

    tasks_presence(&link->tasks, presence);
}

static void on_settle(void *ctx, uint64_t join, const struct room_verdict *verdict)
{
    struct roomlink *link = ctx;
    struct held *held = NULL;
    struct stream *s;

    HASH_FIND(hh, link->held, &join, sizeof join, held);
    if (!held)
        return;
    s = held->stream;
    HASH_DEL(link->held, held);
    free(held);
    stream_settled(s, verdict);
}

static void on_note(void *ctx, const struct room_note *note)
{
    static const struct {
        enum log_level level;
        const char *message;
    } kinds[] = {
        [ROOM_LOBBY_TURNED_ON] = {LOG_LEVEL_INFO, "lobby turned on"},
        [ROOM_LOBBY_REPAIRED] = {LOG_LEVEL_INFO, "lobby room was missing and is made again"},
        [ROOM_CREATED] = {LOG_LEVEL_INFO, "room made for a lobby user"},
        [ROOM_RELEASED] = {LOG_LEVEL_INFO, "room is empty and was destroyed"},
        [ROOM_HANDED_OVER] = {LOG_LEVEL_INFO, "room is held by another instance from now on"},
        [ROOM_GIVEN_BACK] = {LOG_LEVEL_INFO, "room is given back to Prosody"},
        [ROOM_LEFT] = {LOG_LEVEL_INFO, "room is left to the next start, as somebody waits for it"},
        [ROOM_FORGOTTEN] = {LOG_LEVEL_INFO, "room is gone and forgotten"},
        [ROOM_FAILED] = {LOG_LEVEL_WARN, "room request failed"},
        [ROOM_GRANTED] = {LOG_LEVEL_DEBUG, "member made"},
        [ROOM_NO_LOBBY] = {LOG_LEVEL_WARN, "lobby users are refused"},
        [ROOM_LOBBY_UNDONE] = {LOG_LEVEL_INFO, "no longer members-only, as no lobby came of it"},
    };
    char took[24], count[24];

    snprintf(took, sizeof took, "%lld", (long long)note->took_ms);
    snprintf(count, sizeof count, "%zu", note->count);
    log_event(kinds[note->kind].level, TAG, kinds[note->kind].message, {"room", note->room},
              {"jid", note->jid}, {"detail", note->text},
              {"took_ms", note->took_ms ? took : NULL, true},
              {"members_made", note->kind == ROOM_LOBBY_TURNED_ON ? count : NULL, true});
}

static void on_unkept(void *ctx, const char *room)
{
    struct roomlink *link = ctx;

    if (link->proxy->state)
        state_release(link->proxy->state, room);
}

static void on_waiting(void *ctx, const char *room, bool is_waiting)
{
    struct roomlink *link = ctx;

    if (link->proxy->state)
        state_waiting(link->proxy->state, room, is_waiting);
}

static bool on_fence(void *ctx, const char *room, enum room_fence wanted, uint64_t *ret_changes)
{
    struct roomlink *link = ctx;

    return fence_set(link->proxy->fence, room, wanted, ret_changes);
}

static uint64_t on_changing(void *ctx, const char *room)
{
    struct roomlink *link = ctx;

    return fence_count_change(link->proxy->fence, room);
}

static bool on_is_changing(void *ctx, const char *room, uint64_t *ret_changes)
{
    struct roomlink *link = ctx;

    return fence_is_changing(link->proxy->fence, room, ret_changes);
}

static void on_up(void *ctx, int64_t now)
{
    struct roomlink *link = ctx;

    rooms_service_up(link->proxy->rooms, now);
}

static void on_down(void *ctx, int64_t now)
{
    struct roomlink *link = ctx;

    tasks_lost(&link->tasks);
    rooms_service_down(link->proxy->rooms, now);
}

static void on_refused(void *ctx, const char *why, int64_t now)
{
    struct roomlink *link = ctx;

    rooms_service_refused(link->proxy->rooms, why, now);
}

static const struct service_callbacks service_events = {
    .refused = on_refused,
    .up = on_up,
    .down = on_down,
    .presence = on_presence,
};

struct roomlink *roomlink_new(struct proxy *proxy)
{
    struct roomlink *link = calloc(1, sizeof *link);

    if (!link)
        return NULL;
    link->proxy = proxy;
    link->actions = (struct room_actions){.ctx = link,
                                          .request = on_request,
                                          .settle = on_settle,
                                          .note = on_note,
                                          .unkept = on_unkept,
                                          .waiting = on_waiting};
    if (proxy->fence) {
        link->actions.fence = on_fence;
        link->actions.changing = on_changing;
        link->actions.is_changing = on_is_changing;
    }
    tasks_init(&link->tasks, proxy);
    proxy->rooms = rooms_new(&proxy->config->lobby, &link->actions);
    proxy->service = service_new(proxy, &service_events, link);
    if (proxy->rooms && proxy->service)
        return link;
    roomlink_free(link);
    return NULL;
}

void roomlink_free(struct roomlink *link)
{
    struct held *held, *next;

    if (!link)
        return;
    service_free(link->proxy->service);
    link->proxy->service = NULL;
    rooms_free(link->proxy->rooms);
    link->proxy->rooms = NULL;
    HASH_ITER(hh, link->held, held, next)
    {
        HASH_DEL(link->held, held);
        free(held);
    }
    tasks_free(&link->tasks);
    free(link);
}

bool roomlink_join(struct roomlink *link, struct stream *s, struct room_join *join, int64_t now)
{
    struct held *held = calloc(1, sizeof *held);

    if (!held)
        return false;
    held->join = s->join = join->id = ++link->last_join;
    held->stream = s;
    HASH_ADD(hh, link->held, join, sizeof held->join, held);
    if (!held->hh.tbl) { /* how uthash says that memory is out */
        s->join = 0;
        free(held);
        return false;
    }
    rooms_join(link->proxy->rooms, join, now);
    return true;
}

void roomlink_cancel(struct roomlink *link, uint64_t join, int64_t now)
{
    struct held *held = NULL;

    HASH_FIND(hh, link->held, &join, sizeof join, held);
    if (!held)
        return;
    HASH_DEL(link->held, held);
    free(held);
    rooms_cancel(link->proxy->rooms, join, now);
}

void roomlink_tick(struct roomlink *link, int64_t now)
{
    tasks_tick(&link->tasks, now);
    rooms_tick(link->proxy->rooms, now);
}

size_t roomlink_busy(const struct roomlink *link)
{
    return link->tasks.len;
}
