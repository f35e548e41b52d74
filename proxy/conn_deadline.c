/*
 * Deadlines of conns: of connecting, of closing, and what an owner asks for. What a newcomer gets
 * wrong: a tick looks at all conns only once the soonest deadline has passed.
 */
#include "proxy/conn_lws.h"

void conn_set_deadline(struct conn *c, int64_t deadline)
{
    struct conn_list *list = loop_conns(c->loop);

    c->deadline = deadline;
    if (deadline < list->soonest)
        list->soonest = deadline;
}

void conn_expire(struct conn *c, int64_t after_ms)
{
    conn_set_deadline(c, after_ms == CONN_NEVER ? INT64_MAX : loop_now(c->loop) + after_ms);
}

int64_t conn_deadline(const struct conn *c)
{
    return c->deadline;
}

void conns_tick(struct loop *loop, int64_t now)
{
    struct conn_list *list = loop_conns(loop);
    int64_t soonest = INT64_MAX;

    if (now < list->soonest)
        return;
    list->soonest = INT64_MAX; /* what is set meanwhile counts as well */
    for (struct conn *c = list->first; c; c = c->next) {
        if (c->deadline > now) {
            soonest = c->deadline < soonest ? c->deadline : soonest;
            continue;
        }
        c->deadline = INT64_MAX;
        if (c->ending == CONN_STAYS)
            conn_lose(c, c->is_open ? "the peer did not answer in time" : "no connection in time");
        else
            conn_abort(c);
    }
    if (soonest < list->soonest)
        list->soonest = soonest;
}
