/*
 * Between the rooms (policy/) and the world: carries their requests out through the service account,
 * and their verdicts to the streams whose joins they hold.
 */
#pragma once

#include "policy/rooms.h"
#include "proxy/proxy.h"

struct roomlink;
struct stream;

/* Makes proxy->rooms and proxy->service. */
struct roomlink *roomlink_new(struct proxy *proxy);
void roomlink_free(struct roomlink *link);

/* Hands a join to the rooms under an id that is noted in s->join. False when out of memory. */
bool roomlink_join(struct roomlink *link, struct stream *s, struct room_join *join, int64_t now)
    __attribute__((warn_unused_result));
void roomlink_cancel(struct roomlink *link, uint64_t join, int64_t now);
void roomlink_tick(struct roomlink *link, int64_t now);
/* Requests under way: the shutdown waits for them. */
size_t roomlink_busy(const struct roomlink *link);
