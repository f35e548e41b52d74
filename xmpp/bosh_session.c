/*
 * One BOSH session (see bosh_session.h): its beginning, its end, and between them settling, the one
 * place where answers are given.
 *
 * What a newcomer gets wrong: the end is told before it is known to have been heard. A session that
 * the server's side left stays until the client's next request was told so.
 */
#include "xmpp/bosh_state.h"

#include <stdlib.h>
#include <string.h>

/* Messages that wait for the stream, at least. A client that waits for its answers never comes near
 * it. */
#define INBOX_MAX ((size_t)1024 * 1024)
/* By which the messages of one body may be longer than it: what they inherit, and records. */
#define INBOX_ROOM ((size_t)128 * 1024)
/* The answer that creates a session waits for the server's features this long at least. */
#define CREATION_WAIT_S 10

/* --- The end --- */

void bosh_end(struct bosh_session *b, enum bosh_end why, const char *condition, const char *detail)
{
    b->state = BOSH_OVER;
    bosh_tell_end(b, condition);
    if (!b->is_let_go)
        b->actions->ended(b->ctx, why, detail);
}

/* --- Settling --- */

static size_t count_taken(const struct bosh_session *b)
{
    size_t count = 0;
    while (count < b->requests_len && b->requests[count].is_taken)
        count++;
    return count;
}

static bool is_due(const struct bosh_session *b, const struct bosh_entry *r)
{
    int64_t wait_s = b->wait_s;
    if (!b->is_created) {
        if (b->output.is_open && b->output.messages.len > 0)
            return true;
        wait_s = wait_s > CREATION_WAIT_S ? wait_s : CREATION_WAIT_S;
    } else if (b->pause_rid != 0 || b->output.messages.len > 0) {
        return true;
    }
    return b->now_ms - r->since_ms >= wait_s * 1000;
}

/* More are held than the client wants held: one of them is answered, be it with nothing. As long as
 * its messages wait the client is not asked for more by that. */
static bool holds_too_many(const struct bosh_session *b, size_t taken)
{
    size_t allowed = b->is_created && bosh_inbox_len(b) == 0 ? (size_t)b->hold : BOSH_REQUESTS;
    return taken > allowed;
}

/* Gives one answer that is due; false when there is none. The answer to a pause carries nothing
 * (XEP-0124 section 10). One whose connection is gone is answered with nothing, for the client to
 * ask for: what there is to say goes where it arrives. */
static bool answer_due(struct bosh_session *b)
{
    size_t taken = count_taken(b), live = 0;
    while (live < taken && !b->requests[live].handle)
        live++;
    bool is_late = live < taken && is_due(b, &b->requests[live]);
    if (!is_late && !holds_too_many(b, taken))
        return false;
    return bosh_answer_first(b, live == 0 && b->requests[0].rid != b->pause_rid);
}

/* The server's <close/> was there: the client is told, and answers, as one on a WebSocket would. */
static void close_by_server(struct bosh_session *b)
{
    const struct bosh_body nothing = {0};
    if (b->is_leaving || !bosh_has_handle(b))
        return;
    bosh_tell_end(b, NULL);
    b->is_leaving = true;
    bosh_inbox_add(b, &b->inbox, &nothing, false, true);
    bosh_inbox_deliver(b);
}

static void drain(struct bosh_session *b)
{
    if (!b->was_full || b->output.messages.len >= BOSH_HIGH_MARK / 4)
        return;
    b->was_full = false;
    b->actions->drained(b->ctx);
}

/* Whether it goes on. */
static bool check(struct bosh_session *b)
{
    if (b->state != BOSH_OPEN)
        return false;
    if (b->failed || b->output.failed || b->inbox.failed)
        bosh_end(b, BOSH_END_NO_MEMORY, "internal-server-error", "out of memory");
    else if (b->is_leaving && bosh_inbox_len(b) == 0)
        bosh_end(b, BOSH_END_CLIENT, NULL, "the session was terminated");
    else if (bosh_inbox_len(b) > b->inbox_max)
        bosh_end(b, BOSH_END_BROKEN, "policy-violation", "too much sent at once");
    return b->state == BOSH_OPEN;
}

void bosh_settle(struct bosh_session *b)
{
    if (b->is_delivering || b->is_settling)
        return;
    b->is_settling = true;
    if (check(b)) {
        if (b->output.is_closed)
            close_by_server(b);
        while (b->state == BOSH_OPEN && !b->failed && answer_due(b))
            ;
        if (check(b))
            drain(b);
    }
    b->is_settling = false;
    if (bosh_has_handle(b))
        b->idle_since_ms = -1;
    else if (b->idle_since_ms < 0)
        b->idle_since_ms = b->now_ms;
}

/* --- The rest --- */

static bool init(struct bosh_session *b, const char *sid, const struct bosh_body *first,
                 void *request)
{
    b->sid = strdup(sid);
    b->to = strdup(first->to ? first->to : "");
    if (!b->sid || !b->to)
        return false;
    b->wait_s =
        first->wait_s >= 0 && first->wait_s < BOSH_WAIT_MAX_S ? first->wait_s : BOSH_WAIT_MAX_S;
    b->hold = first->hold >= 0 && first->hold < BOSH_HOLD_MAX ? first->hold : BOSH_HOLD_MAX;
    b->last_rid = first->rid - 1;
    struct bosh_entry *r = bosh_insert_request(b, first, request);
    bosh_inbox_add(b, &r->records, first, true, r->is_terminate);
    bosh_take_requests(b);
    b->pause_rid = 0; /* allowed once maxpause was offered only */
    b->inactivity_s = BOSH_INACTIVITY_S;
    return !b->inbox.failed;
}

struct bosh_session *bosh_session_new(const char *sid, const struct bosh_body *first, void *request,
                                      const struct bosh_actions *actions, void *ctx, int64_t now_ms)
{
    struct bosh_session *b = calloc(1, sizeof(*b));
    if (!b)
        return NULL;
    b->actions = actions;
    b->ctx = ctx;
    b->now_ms = b->last_request_ms = b->idle_period_ms = now_ms;
    b->idle_since_ms = -1;
    b->is_stopped = true;
    b->inbox_max = INBOX_MAX;
    if (!init(b, sid, first, request)) {
        bosh_session_free(b);
        return NULL;
    }
    return b;
}

void bosh_session_set_entity_max(struct bosh_session *b, size_t len)
{
    b->inbox_max = len + INBOX_ROOM > INBOX_MAX ? len + INBOX_ROOM : INBOX_MAX;
}

void bosh_session_free(struct bosh_session *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->requests_len; i++)
        buf_done(&b->requests[i].records);
    for (size_t i = 0; i < BOSH_REQUESTS; i++)
        buf_done(&b->kept[i].body);
    buf_done(&b->inbox);
    bosh_output_done(&b->output);
    free(b->sid);
    free(b->to);
    free(b);
}

void bosh_session_send(struct bosh_session *b, const char *data, size_t len)
{
    if (b->state != BOSH_OPEN || b->is_told)
        return;
    bosh_output_add(&b->output, data, len);
    b->was_full = b->was_full || bosh_session_is_full(b);
}

void bosh_session_flush(struct bosh_session *b, int64_t now_ms)
{
    b->now_ms = now_ms;
    bosh_settle(b);
}

bool bosh_session_is_full(const struct bosh_session *b)
{
    return b->output.messages.len > BOSH_HIGH_MARK;
}

void bosh_session_stop(struct bosh_session *b)
{
    b->is_stopped = true;
}

void bosh_session_go(struct bosh_session *b)
{
    b->is_stopped = false;
    bosh_inbox_deliver(b);
    bosh_settle(b);
}

void bosh_session_close(struct bosh_session *b, const char *condition, int64_t now_ms)
{
    b->now_ms = now_ms;
    b->is_let_go = true;
    if (b->state != BOSH_OPEN)
        return;
    b->state = b->is_told || bosh_has_handle(b) ? BOSH_OVER : BOSH_TELLING;
    b->condition = condition;
    bosh_inbox_drop(b);
    bosh_keep_last_answer(b);
    if (b->state == BOSH_OVER)
        bosh_tell_end(b, condition);
}

void bosh_session_break(struct bosh_session *b, const char *condition, const char *detail,
                        int64_t now_ms)
{
    b->now_ms = now_ms;
    if (b->state == BOSH_OPEN)
        bosh_end(b, BOSH_END_BROKEN, condition, detail);
}

size_t bosh_session_size(const struct bosh_session *b)
{
    size_t size = sizeof(*b) + b->inbox.cap + b->output.messages.cap;
    for (size_t i = 0; i < b->requests_len; i++)
        size += b->requests[i].records.cap;
    for (size_t i = 0; i < BOSH_REQUESTS; i++)
        size += b->kept[i].body.cap;
    return size;
}

bool bosh_session_is_done(const struct bosh_session *b)
{
    return b->state == BOSH_OVER;
}

void bosh_session_tick(struct bosh_session *b, int64_t now_ms)
{
    b->now_ms = now_ms;
    bosh_settle(b);
    if (b->state != BOSH_OPEN)
        return;
    const struct bosh_entry *last = b->requests_len ? &b->requests[b->requests_len - 1] : NULL;
    if (b->idle_since_ms >= 0 && now_ms - b->idle_since_ms >= b->inactivity_s * 1000)
        bosh_end(b, BOSH_END_SILENT, NULL, "no request for too long");
    else if (last && !last->is_taken &&
             now_ms - last->since_ms >= (b->wait_s + BOSH_INACTIVITY_S) * 1000)
        bosh_end(b, BOSH_END_BROKEN, "item-not-found", "a request before this one never came");
}

int64_t bosh_session_last_request(const struct bosh_session *b)
{
    return b->last_request_ms;
}
