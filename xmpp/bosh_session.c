/*
 * One BOSH session (see bosh_session.h).
 *
 * Three lists: the requests not yet answered, by rid; the inbox, messages whose turn has come but
 * which the stream does not take yet; the output, what the server said since the last answer.
 * Everything that happens changes these and then calls settle(), the one place where answers are
 * given.
 *
 * What a newcomer gets wrong: a request is a rid, not a connection. When the connection goes away
 * the rid stays until it is answered, and is answered in its turn (XEP-0124 section 14.2), so that
 * the client may ask again for that very answer and never sees one rid's messages before another's.
 */
#include "xmpp/bosh_session.h"

#include "xmpp/bosh_output.h"
#include "xmpp/framing.h"
#include "xmpp/ns.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* How far a rid may be ahead of the last one taken: a terminate or a pause may be sent beyond the
 * requests allowed (XEP-0124 section 11). */
#define WINDOW (BOSH_REQUESTS + 1)
/* Held and due ones, those ahead of their turn, and one that just came, with room to spare. */
#define REQUESTS_MAX 8
/* Messages that wait for the stream. A client that waits for its answers never comes near it. */
#define INBOX_MAX ((size_t)1024 * 1024)
/* A longer answer is not kept for a repetition. */
#define KEPT_MAX (2 * BOSH_HIGH_MARK)
/* Empty requests for which nothing was there to say, within BOSH_POLLING_S: mod_bosh counts none,
 * the XEP allows one (sections 11 and 12). */
#define IDLE_REQUESTS_MAX 20
/* The answer that creates a session waits for the server's features this long at least. */
#define CREATION_WAIT_S 10

enum state {
    OPEN,
    TELLING, /* the other end is over, and the client's next request is told so */
    OVER,
};

struct request {
    int64_t rid, since_ms;
    void *handle;  /* NULL when its connection is gone */
    bool is_taken; /* its turn came: the messages are in the inbox */
    bool is_terminate;
    int64_t pause_s;    /* -1: none */
    struct buf records; /* as long as it is not taken */
};

struct answer {
    int64_t rid;
    struct buf body;
};

struct bosh_session {
    const struct bosh_actions *actions;
    void *ctx;
    char *sid, *to;
    int64_t wait_s, hold;
    enum state state;
    bool is_created; /* the first answer was given */
    bool is_stopped, is_delivering, is_settling;
    bool is_leaving; /* the client terminates, or was told that the server did: <close/> is in the
                        inbox, and behind it this is over */
    bool is_told;    /* a terminate has gone out */
    bool is_let_go;  /* by bosh_session_close */
    bool was_full, failed;
    const char *condition; /* while TELLING */
    int64_t now_ms, last_request_ms;
    int64_t idle_since_ms; /* -1 while a request is there */
    int64_t inactivity_s;
    int64_t idle_period_ms; /* when it began, and how many empty requests there were */
    unsigned idle_requests;
    int64_t last_rid;                      /* taken */
    int64_t pause_rid;                     /* 0: none; the pause lasts until the next request */
    struct request requests[REQUESTS_MAX]; /* by rid; those taken come first */
    size_t requests_len;
    struct answer kept[BOSH_REQUESTS]; /* the last ones, the newest first */
    struct buf inbox;                  /* records: a size_t and as many bytes */
    size_t inbox_at;
    struct bosh_output output;
};

/* --- The inbox --- */

static void add_record(struct buf *records, const char *data, size_t len)
{
    buf_add(records, &len, sizeof(len));
    buf_add(records, data, len);
}

/* What a body says, in the form of RFC 7395. */
static void add_body(struct bosh_session *b, struct buf *records, const struct bosh_body *body,
                     bool is_open, bool is_terminate)
{
    struct buf frame = BUF_INIT;
    size_t start = 0;
    if (is_open) {
        framing_open(&frame, b->to);
        add_record(records, frame.data ? frame.data : "", frame.len);
    }
    for (size_t i = 0; i < body->messages_len; i++) {
        add_record(records, body->messages.data + start, body->ends[i] - start);
        start = body->ends[i];
    }
    if (is_terminate) {
        buf_clear(&frame);
        framing_close(&frame);
        add_record(records, frame.data ? frame.data : "", frame.len);
    }
    records->failed = records->failed || frame.failed;
    buf_done(&frame);
}

static size_t inbox_len(const struct bosh_session *b)
{
    return b->inbox.len - b->inbox_at;
}

static void deliver(struct bosh_session *b)
{
    if (b->is_delivering || b->inbox.failed)
        return;
    b->is_delivering = true;
    while (b->state == OPEN && !b->is_stopped && inbox_len(b) > 0) {
        size_t len = 0;
        memcpy(&len, b->inbox.data + b->inbox_at, sizeof(len));
        const char *data = b->inbox.data + b->inbox_at + sizeof(len);
        b->inbox_at += sizeof(len) + len;
        b->actions->message(b->ctx, data, len);
    }
    b->is_delivering = false;
    buf_drop(&b->inbox, b->inbox_at);
    b->inbox_at = 0;
    if (b->inbox.len == 0)
        buf_done(&b->inbox);
}

/* --- Answers --- */

static void add_text(struct buf *out, const char *name, const char *value)
{
    if (!value)
        return;
    buf_printf(out, " %s='", name);
    buf_add_xml(out, value);
    buf_add_str(out, "'");
}

/* XEP-0124 section 7.2 and XEP-0206 section 3, with what mod_bosh says. */
static void add_creation(const struct bosh_session *b, struct buf *out)
{
    buf_printf(out,
               " xmlns:xmpp='" NS_XBOSH "' xmpp:version='1.0' ver='1.6' secure='true' wait='%d'"
               " requests='%d' hold='%d' inactivity='%d' polling='%d' maxpause='%d'",
               (int)b->wait_s, BOSH_REQUESTS, (int)b->hold, BOSH_INACTIVITY_S, BOSH_POLLING_S,
               BOSH_PAUSE_MAX_S);
    add_text(out, "from", b->output.from ? b->output.from : b->to);
    add_text(out, "authid", b->output.id);
}

static void add_messages(struct bosh_session *b, struct buf *out)
{
    const struct buf *messages = &b->output.messages;
    buf_add_str(out, ">");
    buf_add(out, messages->data, messages->len);
    buf_add_str(out, "</body>");
}

/* Takes request i from the list and answers it. */
static void answer(struct bosh_session *b, size_t i, const char *body, size_t len)
{
    void *handle = b->requests[i].handle;
    buf_done(&b->requests[i].records);
    b->requests_len--;
    memmove(&b->requests[i], &b->requests[i + 1], (b->requests_len - i) * sizeof(b->requests[0]));
    if (handle)
        b->actions->answer(b->ctx, handle, body, len);
}

static void refuse(struct bosh_session *b, void *handle, const char *condition)
{
    static const char no_memory[] = "<body xmlns='" NS_BOSH "' type='terminate'/>";
    struct buf body = BUF_INIT;
    bosh_terminate_body(&body, condition);
    if (body.failed)
        b->actions->answer(b->ctx, handle, no_memory, strlen(no_memory));
    else
        b->actions->answer(b->ctx, handle, body.data, body.len);
    buf_done(&body);
}

static const struct answer *find_kept(const struct bosh_session *b, int64_t rid)
{
    for (size_t i = 0; i < BOSH_REQUESTS; i++)
        if (b->kept[i].body.len > 0 && b->kept[i].rid == rid)
            return &b->kept[i];
    return NULL;
}

/* Takes the body. Answers are given in the order of rids, so what falls out is the oldest. */
static void keep(struct bosh_session *b, int64_t rid, struct buf *body)
{
    buf_done(&b->kept[BOSH_REQUESTS - 1].body);
    memmove(&b->kept[1], &b->kept[0], (BOSH_REQUESTS - 1) * sizeof(b->kept[0]));
    b->kept[0] = (struct answer){rid, *body};
    *body = (struct buf)BUF_INIT;
}

/* Answers the first request, with what waits for the client or without. false: no memory. */
static bool answer_first(struct bosh_session *b, bool with_output)
{
    int64_t rid = b->requests[0].rid;
    struct buf body = BUF_INIT;
    buf_add_str(&body, "<body xmlns='" NS_BOSH "' xmlns:stream='" NS_STREAMS "'");
    add_text(&body, "sid", b->sid);
    if (!b->is_created)
        add_creation(b, &body);
    if (with_output && b->output.messages.len > 0)
        add_messages(b, &body);
    else
        buf_add_str(&body, "/>");
    if (body.failed) {
        buf_done(&body);
        b->failed = true;
        return false;
    }
    b->is_created = true;
    if (with_output)
        buf_done(&b->output.messages);
    answer(b, 0, body.data, body.len);
    if (body.len <= KEPT_MAX)
        keep(b, rid, &body);
    buf_done(&body);
    return true;
}

/* --- The end --- */

static bool has_handle(const struct bosh_session *b)
{
    for (size_t i = 0; i < b->requests_len; i++)
        if (b->requests[i].handle)
            return true;
    return false;
}

/* Tells every open request that it is over; the first gets what waits, too. */
static void tell(struct bosh_session *b, const char *condition)
{
    struct buf body = BUF_INIT;
    if (b->output.has_error)
        condition = "remote-stream-error"; /* XEP-0124 section 17.2 */
    bosh_terminate_body(&body, condition);
    if (!body.failed && !b->output.failed && b->output.messages.len > 0) {
        body.len -= strlen("/>");
        buf_add_str(&body, " xmlns:stream='" NS_STREAMS "'");
        add_messages(b, &body);
    }
    bool is_first = true;
    while (b->requests_len > 0) {
        void *handle = b->requests[0].handle;
        b->requests[0].handle = NULL;
        answer(b, 0, NULL, 0);
        if (!handle)
            continue;
        if (is_first && !body.failed)
            b->actions->answer(b->ctx, handle, body.data, body.len);
        else
            refuse(b, handle, condition);
        is_first = false;
    }
    buf_done(&body);
    bosh_output_done(&b->output);
    b->is_told = true;
}

static void end(struct bosh_session *b, enum bosh_end why, const char *condition,
                const char *detail)
{
    b->state = OVER;
    tell(b, condition);
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

static bool is_due(const struct bosh_session *b, const struct request *r)
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
    size_t allowed = b->is_created && inbox_len(b) == 0 ? (size_t)b->hold : BOSH_REQUESTS;
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
    return answer_first(b, live == 0 && b->requests[0].rid != b->pause_rid);
}

/* The server's <close/> was there: the client is told, and answers, as one on a WebSocket would. */
static void close_by_server(struct bosh_session *b)
{
    const struct bosh_body nothing = {0};
    if (b->is_leaving || !has_handle(b))
        return;
    tell(b, NULL);
    b->is_leaving = true;
    add_body(b, &b->inbox, &nothing, false, true);
    deliver(b);
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
    if (b->state != OPEN)
        return false;
    if (b->failed || b->output.failed || b->inbox.failed)
        end(b, BOSH_END_NO_MEMORY, "internal-server-error", "out of memory");
    else if (b->is_leaving && inbox_len(b) == 0)
        end(b, BOSH_END_CLIENT, NULL, "the session was terminated");
    else if (inbox_len(b) > INBOX_MAX)
        end(b, BOSH_END_BROKEN, "policy-violation", "too much sent at once");
    return b->state == OPEN;
}

static void settle(struct bosh_session *b)
{
    if (b->is_delivering || b->is_settling)
        return;
    b->is_settling = true;
    if (check(b)) {
        if (b->output.is_closed)
            close_by_server(b);
        while (b->state == OPEN && !b->failed && answer_due(b))
            ;
        if (check(b))
            drain(b);
    }
    b->is_settling = false;
    if (has_handle(b))
        b->idle_since_ms = -1;
    else if (b->idle_since_ms < 0)
        b->idle_since_ms = b->now_ms;
}

/* --- Requests --- */

/* Its turn has come. */
static void take(struct bosh_session *b, struct request *r)
{
    buf_add(&b->inbox, r->records.data, r->records.len);
    b->inbox.failed = b->inbox.failed || r->records.failed;
    buf_done(&r->records);
    r->is_taken = true;
    b->last_rid = r->rid;
    b->is_leaving = b->is_leaving || r->is_terminate;
    b->pause_rid = r->pause_s > 0 ? r->rid : 0;
    b->inactivity_s = r->pause_s > 0 ? r->pause_s : BOSH_INACTIVITY_S;
}

static void take_all(struct bosh_session *b)
{
    for (size_t i = 0; i < b->requests_len && !b->is_leaving; i++)
        if (b->requests[i].rid == b->last_rid + 1)
            take(b, &b->requests[i]);
}

static struct request *find_request(struct bosh_session *b, int64_t rid)
{
    for (size_t i = 0; i < b->requests_len; i++)
        if (b->requests[i].rid == rid)
            return &b->requests[i];
    return NULL;
}

static struct request *insert(struct bosh_session *b, const struct bosh_body *body, void *handle)
{
    size_t i = b->requests_len;
    assert(b->requests_len < REQUESTS_MAX);
    for (; i > 0 && b->requests[i - 1].rid > body->rid; i--)
        b->requests[i] = b->requests[i - 1];
    b->requests_len++;
    b->requests[i] =
        (struct request){.rid = body->rid,
                         .since_ms = b->now_ms,
                         .handle = handle,
                         .is_terminate = body->type && strcmp(body->type, "terminate") == 0,
                         .pause_s = body->pause_s};
    if (body->pause_s > BOSH_PAUSE_MAX_S)
        b->requests[i].pause_s = BOSH_PAUSE_MAX_S;
    return &b->requests[i];
}

/* The same request again, while the first is not answered: the client lost that connection. */
static void replace(struct bosh_session *b, struct request *r, void *handle)
{
    static const char empty[] = "<body xmlns='" NS_BOSH "'/>";
    void *old = r->handle;
    r->handle = handle;
    r->since_ms = b->now_ms;
    if (old)
        b->actions->answer(b->ctx, old, empty, strlen(empty));
}

/* Whether the client asks over and over when there is nothing to say (XEP-0124 sections 11, 12). */
static bool is_overactive(struct bosh_session *b, const struct request *r)
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
    struct request *r = insert(b, body, handle);
    add_body(b, &r->records, body, body->restart, r->is_terminate);
    if (body->rid > b->last_rid + WINDOW) {
        end(b, BOSH_END_BROKEN, "item-not-found", "a rid far ahead of its turn");
    } else if (is_overactive(b, r)) {
        end(b, BOSH_END_BROKEN, "policy-violation", "too many empty requests");
    } else {
        take_all(b);
        deliver(b);
        settle(b);
    }
}

void bosh_session_request(struct bosh_session *b, const struct bosh_body *body, void *request,
                          int64_t now_ms)
{
    const struct answer *kept = find_kept(b, body->rid);
    struct request *same = find_request(b, body->rid);
    b->now_ms = b->last_request_ms = now_ms;
    if (b->idle_since_ms >= 0)
        b->idle_since_ms = now_ms;
    if (kept) {
        b->actions->answer(b->ctx, request, kept->body.data, kept->body.len);
    } else if (b->state == OVER || (!same && (b->is_leaving || body->rid <= b->last_rid))) {
        refuse(b, request, "item-not-found"); /* XEP-0124 section 14.3 */
    } else if (b->state == TELLING) {
        if (same)
            replace(b, same, request);
        else
            insert(b, body, request);
        b->state = OVER;
        tell(b, b->condition);
    } else if (same) {
        replace(b, same, request);
        settle(b);
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
    settle(b);
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
    struct request *r = insert(b, first, request);
    add_body(b, &r->records, first, true, r->is_terminate);
    take_all(b);
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
    if (!init(b, sid, first, request)) {
        bosh_session_free(b);
        return NULL;
    }
    return b;
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
    if (b->state != OPEN || b->is_told)
        return;
    bosh_output_add(&b->output, data, len);
    b->was_full = b->was_full || bosh_session_is_full(b);
}

void bosh_session_flush(struct bosh_session *b, int64_t now_ms)
{
    b->now_ms = now_ms;
    settle(b);
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
    deliver(b);
    settle(b);
}

void bosh_session_close(struct bosh_session *b, const char *condition, int64_t now_ms)
{
    b->now_ms = now_ms;
    b->is_let_go = true;
    if (b->state != OPEN)
        return;
    b->state = b->is_told || has_handle(b) ? OVER : TELLING;
    b->condition = condition;
    if (b->state == OVER)
        tell(b, condition);
}

bool bosh_session_is_done(const struct bosh_session *b)
{
    return b->state == OVER;
}

void bosh_session_tick(struct bosh_session *b, int64_t now_ms)
{
    b->now_ms = now_ms;
    settle(b);
    if (b->state != OPEN)
        return;
    const struct request *last = b->requests_len ? &b->requests[b->requests_len - 1] : NULL;
    if (b->idle_since_ms >= 0 && now_ms - b->idle_since_ms >= b->inactivity_s * 1000)
        end(b, BOSH_END_SILENT, NULL, "no request for too long");
    else if (last && !last->is_taken &&
             now_ms - last->since_ms >= (b->wait_s + BOSH_INACTIVITY_S) * 1000)
        end(b, BOSH_END_BROKEN, "item-not-found", "a request before this one never came");
}

int64_t bosh_session_last_request(const struct bosh_session *b)
{
    return b->last_request_ms;
}
