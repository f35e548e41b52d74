/*
 * The requests of a BOSH session in the order of their rids (see bosh_state.h).
 *
 * What a newcomer gets wrong: a request is a rid, not a connection. When the connection goes away
 * the rid stays until it is answered, and is answered in its turn (XEP-0124 section 14.2), so that
 * the client may ask again for that very answer and never sees one rid's messages before another's.
 */
#include "xmpp/bosh_state.h"

#include <assert.h>
#include <string.h>

/* How far a rid may be ahead of the last one taken: a terminate or a pause may be sent beyond the
 * requests allowed (XEP-0124 section 11). */
#define WINDOW (BOSH_REQUESTS + 1)
/* Empty requests for which nothing was there to say, within BOSH_POLLING_S: mod_bosh counts none,
 * the XEP allows one (sections 11 and 12). */
#define IDLE_REQUESTS_MAX 20

bool bosh_has_handle(const struct bosh_session *b)
{
    for (size_t i = 0; i < b->requests_len; i++)
        if (b->requests[i].handle)
            return true;
    return false;
}

/* Its turn has come. */
static void take(struct bosh_session *b, struct bosh_entry *r)
{
    buf_add(&b->inbox, r->records.data, r->records.len);
    b->inbox.failed = b->inbox.failed || r->records.failed;
    buf_done(&r->records);
    r->is_taken = true;
    b->last_rid = r->rid;
    bosh_forget_answers(b, r->rid - BOSH_REQUESTS);
    b->is_leaving = b->is_leaving || r->is_terminate;
    b->pause_rid = r->pause_s > 0 ? r->rid : 0;
    b->inactivity_s = r->pause_s > 0 ? r->pause_s : BOSH_INACTIVITY_S;
}

void bosh_take_requests(struct bosh_session *b)
{
    for (size_t i = 0; i < b->requests_len && !b->is_leaving; i++)
        if (b->requests[i].rid == b->last_rid + 1)
            take(b, &b->requests[i]);
}

static struct bosh_entry *find_request(struct bosh_session *b, int64_t rid)
{
    for (size_t i = 0; i < b->requests_len; i++)
        if (b->requests[i].rid == rid)
            return &b->requests[i];
    return NULL;
}

struct bosh_entry *bosh_insert_request(struct bosh_session *b, const struct bosh_body *body,
                                       void *handle)
{
    size_t i = b->requests_len;
    assert(b->requests_len < BOSH_ENTRIES_MAX);
    for (; i > 0 && b->requests[i - 1].rid > body->rid; i--)
        b->requests[i] = b->requests[i - 1];
    b->requests_len++;
    b->requests[i] =
        (struct bosh_entry){.rid = body->rid,
                            .since_ms = b->now_ms,
                            .handle = handle,
                            .is_terminate = body->type && strcmp(body->type, "terminate") == 0,
                            .pause_s = body->pause_s};
    if (body->pause_s > BOSH_PAUSE_MAX_S)
        b->requests[i].pause_s = BOSH_PAUSE_MAX_S;
    return &b->requests[i];
}

/* The same request again, while the first is not answered: the client lost that connection. */
static void replace(struct bosh_session *b, struct bosh_entry *r, void *handle)
{
    static const char empty[] = "<body xmlns='" NS_BOSH "'/>";
    void *old = r->handle;
    r->handle = handle;
    r->since_ms = b->now_ms;
    if (old)
        b->actions->answer(b->ctx, old, empty, strlen(empty));
}

/* Whether the client asks over and over when there is nothing to say (XEP-0124 sections 11, 12). */
static bool is_overactive(struct bosh_session *b, const struct bosh_entry *r)
{
    bool is_polling = b->hold == 0 || b->wait_s == 0;
    if (r->records.len > 0 || r->pause_s > 0 || (!is_polling && r == b->requests))
        return false;
    if (b->now_ms - b->idle_period_ms >= BOSH_POLLING_S * 1000) {
        b->idle_period_ms = b->now_ms;
        b->idle_requests = 0;
    }
    return ++b->idle_requests > IDLE_REQUESTS_MAX;
}

static void take_request(struct bosh_session *b, const struct bosh_body *body, void *handle)
{
    struct bosh_entry *r = bosh_insert_request(b, body, handle);
    bosh_inbox_add(b, &r->records, body, body->restart, r->is_terminate);
    if (body->rid > b->last_rid + WINDOW) {
        bosh_end(b, BOSH_END_BROKEN, "item-not-found", "a rid far ahead of its turn");
    } else if (is_overactive(b, r)) {
        bosh_end(b, BOSH_END_BROKEN, "policy-violation", "too many empty requests");
    } else {
        bosh_take_requests(b);
        bosh_inbox_deliver(b);
        bosh_settle(b);
    }
}

void bosh_session_request(struct bosh_session *b, const struct bosh_body *body, void *request,
                          int64_t now_ms)
{
    const struct bosh_answer *kept = bosh_find_kept(b, body->rid);
    struct bosh_entry *same = find_request(b, body->rid);
    b->now_ms = b->last_request_ms = now_ms;
    if (b->idle_since_ms >= 0)
        b->idle_since_ms = now_ms;
    if (kept) {
        b->actions->answer(b->ctx, request, kept->body.data, kept->body.len);
    } else if (b->state == BOSH_OVER || (!same && (b->is_leaving || body->rid <= b->last_rid))) {
        bosh_refuse_request(b, request, "item-not-found"); /* XEP-0124 section 14.3 */
    } else if (b->state == BOSH_TELLING) {
        if (same)
            replace(b, same, request);
        else
            bosh_insert_request(b, body, request);
        b->state = BOSH_OVER;
        bosh_tell_end(b, b->condition);
    } else if (same) {
        replace(b, same, request);
        bosh_settle(b);
    } else {
        take_request(b, body, request);
    }
}

void bosh_session_gone(struct bosh_session *b, void *request, int64_t now_ms)
{
    b->now_ms = now_ms;
    for (size_t i = 0; i < b->requests_len; i++)
        if (b->requests[i].handle == request)
            b->requests[i].handle = NULL;
    bosh_settle(b);
}
