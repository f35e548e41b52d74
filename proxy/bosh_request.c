/*
 * HTTP for BOSH. What a newcomer gets wrong: an answer may be given under the very callback that
 * brought the request, and the connection then carries the next one, so both the memory and the
 * handing back wait for the end of the turn.
 */
#include "proxy/bosh_request.h"

#include "proxy/bosh_head.h"
#include "proxy/handshake.h"
#include "proxy/listener.h"
#include "proxy/log.h"
#include "proxy/rejections.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Requests a client sent behind the one that waits, before its connection is read no further. */
#define PIPELINED_MAX 65536
#define WRITE_LIMIT_MS 30000

#define TAG "bosh"

static const char about[] = "This is a BOSH endpoint (XEP-0124) for XMPP: clients POST to it.\n";

enum exchange_state {
    READING,  /* the entity */
    WAITING,  /* for the answer */
    ANSWERED, /* the answer is on its way out */
    GONE,     /* no conn any more */
};

struct bosh_request {
    struct bosh_requests *all;
    struct proxy *proxy;
    struct conn *conn; /* NULL once gone */
    void *ctx;
    enum exchange_state state;
    bool may_keep;   /* the connection, behind the answer */
    bool is_head;    /* HEAD: an answer without its body */
    bool is_refused; /* what the client still writes is not read */
    bool is_let_in;  /* by `begun` */
    bool is_unread;  /* a member of all->unread */
    struct crowd_member unread;
    int64_t until;   /* its entity is here */
    char *origin;    /* NULL when it sent none */
    char *head_text; /* what head points into; gone with it behind `complete` */
    struct http_head head;
    struct peer_identity identity; /* its text likewise */
    struct buf in;                 /* the entity, then what came behind it */
    size_t length;                 /* of the entity */
    struct deferred release;
    struct bosh_request *next, **link; /* all->first */
};

static void forget_head(struct bosh_request *r)
{
    free(r->head_text);
    r->head_text = NULL;
    r->head = (struct http_head){0};
    peer_identity_done(&r->identity);
    r->identity.forwarded_for = NULL;
}

/* It is not waited for among those whom nobody knows. */
static void leave_unread(struct bosh_request *r)
{
    if (r->is_unread)
        crowd_remove(r->all->unread, &r->unread);
    r->is_unread = false;
}

static void request_free(struct bosh_request *r)
{
    leave_unread(r);
    loop_undefer(r->proxy->loop, &r->release);
    forget_head(r);
    free(r->origin);
    buf_done(&r->in);
    free(r);
}

static void finish(struct bosh_request *r)
{
    *r->link = r->next;
    if (r->next)
        r->next->link = r->link;
    r->all->len--;
    r->all->events->released(r->all->owner, r);
    request_free(r);
}

/* The answer is written, or nearly: the connection goes on without us. */
static void release(struct deferred *work)
{
    struct bosh_request *r =
        (struct bosh_request *)((char *)work - offsetof(struct bosh_request, release));
    struct conn *conn = r->conn;

    if (conn && r->state == ANSWERED && conn_is_full(conn))
        return; /* until `drained` */
    r->conn = NULL;
    if (conn && r->state != ANSWERED) {
        conn_abort(conn);
    } else if (conn && r->is_refused) {
        conn_close_lingering(conn);
    } else if (conn && !r->may_keep) {
        conn_close(conn);
    } else if (conn) {
        conn_resume(conn);
        listener_take_back(r->proxy->listener, conn, (const uint8_t *)r->in.data, r->in.len);
    }
    finish(r);
}

/* An answer with the headers every one has. A browser shows a page the answer only if it is told
 * that it may; which origins may ask at all was judged at the door. */
static void write_answer(struct bosh_request *r, int status, const char *type, const char *headers,
                         const char *body, size_t len)
{
    struct buf *out = conn_output(r->conn);

    assert(r->state == READING || r->state == WAITING);
    leave_unread(r);
    buf_printf(out, "HTTP/1.1 %d %s\r\n", status, handshake_status_text(status));
    if (type)
        buf_printf(out, "Content-Type: %s; charset=utf-8\r\n", type);
    if (status != 204)
        buf_printf(out, "Content-Length: %zu\r\n", len);
    if (r->origin)
        buf_printf(out, "Access-Control-Allow-Origin: %s\r\n", r->origin);
    buf_printf(out, "Vary: Origin\r\nCache-Control: no-store\r\nConnection: %s\r\n%s\r\n",
               r->may_keep ? "keep-alive" : "close", headers);
    if (!r->is_head)
        buf_add(out, body, len);
    r->state = ANSWERED;
    conn_expire(r->conn, WRITE_LIMIT_MS);
    loop_defer(r->proxy->loop, &r->release);
}

static enum log_level level_of(const struct bosh_request *r, enum rejection kind)
{
    return rejections_note(r->proxy->rejections, &r->identity.key, kind, loop_now(r->proxy->loop))
               ? LOG_LEVEL_INFO
               : LOG_LEVEL_DEBUG;
}

void bosh_request_log_refusal(const struct bosh_request *r, int status, const char *why)
{
    log_line(level_of(r, rejection_of_status(status)), TAG, "%s refused: %d %s",
             r->identity.address, status, why);
}

/* Who tries sids shows by himself. */
void bosh_request_log_condition(const struct bosh_request *r, const char *condition,
                                const char *why)
{
    bool is_unknown = strcmp(condition, "item-not-found") == 0;

    log_line(level_of(r, is_unknown ? REJECTION_BOSH_UNKNOWN_SID : REJECTION_BOSH_BODY), TAG,
             "%s refused: BOSH %s, %s", r->identity.address, condition, why);
}

/* The entity, if there is one, is not read: nobody knows where the next request begins. */
static void read_no_more(struct bosh_request *r)
{
    r->may_keep = false;
    r->is_refused = true;
}

static void refuse_unread(struct bosh_request *r, int status, const char *why)
{
    bosh_request_log_refusal(r, status, why);
    read_no_more(r);
    write_answer(r, status, "text/plain",
                 status == 405 ? "Allow: GET, HEAD, POST, OPTIONS\r\n" : "", why, strlen(why));
}

void bosh_request_refuse(struct bosh_request *r, int status, const char *why)
{
    write_answer(r, status, "text/plain", "", why, strlen(why));
}

void bosh_request_answer(struct bosh_request *r, const char *body, size_t len)
{
    if (r->state == READING)
        read_no_more(r);
    write_answer(r, 200, "text/xml", "", body, len);
}

void bosh_request_abort(struct bosh_request *r)
{
    if (r->state != ANSWERED)
        r->state = GONE;
    leave_unread(r);
    loop_defer(r->proxy->loop, &r->release);
}

size_t bosh_requests_unread(const struct bosh_requests *all)
{
    return crowd_len(all->unread, NULL);
}

void bosh_requests_crowd_out(struct bosh_requests *all)
{
    struct crowd_member *oldest = crowd_oldest(all->unread, NULL);
    struct bosh_request *r;

    if (!oldest)
        return;
    r = (struct bosh_request *)((char *)oldest - offsetof(struct bosh_request, unread));
    log_line(level_of(r, REJECTION_CROWDED_OUT), TAG,
             "%s refused: it did not send its body, and others wait", r->identity.address);
    bosh_request_abort(r);
}

void bosh_requests_abort_unread(struct bosh_requests *all)
{
    for (struct bosh_request *r = all->first; r; r = r->next) {
        if (r->state == READING)
            bosh_request_abort(r);
    }
}

void bosh_requests_abort_of(struct bosh_requests *all, const void *ctx)
{
    for (struct bosh_request *r = all->first; r; r = r->next) {
        if (r->ctx == ctx)
            bosh_request_abort(r);
    }
}

static void complete(struct bosh_request *r)
{
    leave_unread(r);
    bosh_head_drop_content(&r->head);
    r->state = WAITING;
    conn_expire(r->conn, CONN_NEVER); /* the session keeps the time */
    r->all->events->complete(r->all->owner, r);
    forget_head(r);
    buf_drop(&r->in, r->length);
    r->length = 0;
    if (r->in.len == 0)
        buf_done(&r->in);
}

/* What came of the entity is looked at: its beginning, and all of it. */
static void read_entity(struct bosh_request *r)
{
    const struct bosh_request_events *events = r->all->events;

    if (!r->is_let_in && r->length > BOSH_REQUEST_EARLY && r->in.len >= BOSH_REQUEST_ROOM) {
        r->is_let_in = events->begun(r->all->owner, r, r->in.data, r->in.len);
        if (r->is_let_in)
            leave_unread(r);
    }
    if (r->state == READING && r->in.len >= r->length)
        complete(r);
}

static void on_received(void *owner, uint8_t *data, size_t len)
{
    struct bosh_request *r = owner;

    if (r->state == GONE)
        return;
    buf_add(&r->in, data, len);
    if (r->in.failed) {
        bool was_waiting = r->state == WAITING;

        r->may_keep = false;
        bosh_request_abort(r);
        if (was_waiting)
            r->all->events->gone(r->all->owner, r);
        return;
    }
    if (r->state == READING)
        read_entity(r);
    if (r->state != READING && r->in.len > PIPELINED_MAX)
        conn_pause(r->conn);
}

static void on_drained(void *owner)
{
    struct bosh_request *r = owner;

    if (r->state == ANSWERED)
        loop_defer(r->proxy->loop, &r->release);
}

static void on_closed(void *owner, const char *why)
{
    struct bosh_request *r = owner;
    bool was_waiting = r->state == WAITING;

    if (r->state == READING && loop_now(r->proxy->loop) >= r->until)
        log_line(level_of(r, REJECTION_NO_REQUEST), TAG,
                 "%s refused: no whole body in limits.handshake_timeout", r->identity.address);
    r->conn = NULL;
    r->state = GONE;
    if (was_waiting)
        r->all->events->gone(r->all->owner, r);
    finish(r);
}

static const struct conn_callbacks conn_events = {
    .received = on_received,
    .drained = on_drained,
    .closed = on_closed,
};

size_t bosh_request_max(const struct config *config)
{
    return config->limits.stanza + BOSH_REQUEST_ROOM;
}

/* Chunks would be one more way to say where an entity ends, and no client of BOSH uses them: RFC
 * 9112 section 6.3 lets a server ask for a length. */
static int check_length(struct bosh_request *r, bool is_post, const char **ret_why)
{
    uint64_t length = 0;

    switch (http_request_framing(&r->head, &length)) {
    case HTTP_NO_CONTENT:
        *ret_why = "A POST needs Content-Length.";
        return is_post ? 411 : 0;
    case HTTP_CHUNKED:
        *ret_why = "Only an entity with Content-Length is read here.";
        return 411;
    case HTTP_FRAMING_UNCLEAR:
        *ret_why = "Where the entity ends is not clear.";
        return 400;
    case HTTP_LENGTH:
        break;
    }
    if (length > 0 && !is_post) {
        *ret_why = "Only POST has an entity here.";
        return 400;
    }
    if (length > bosh_request_max(r->proxy->config)) {
        *ret_why = "The entity is over limits.stanza.";
        return 413;
    }
    r->length = (size_t)length;
    return 0;
}

static bool is_plain(const struct bosh_request *r)
{
    return http_slice_is(r->head.method, "GET") || http_slice_is(r->head.method, "HEAD") ||
           http_slice_is(r->head.method, "OPTIONS");
}

/* What asks for nothing of a session. */
static void serve_plain(struct bosh_request *r)
{
    const struct http_slice method = r->head.method;

    r->is_head = http_slice_is(method, "HEAD");
    if (http_slice_is(method, "OPTIONS"))
        write_answer(r, 204, NULL,
                     "Access-Control-Allow-Methods: GET, HEAD, POST, OPTIONS\r\n"
                     "Access-Control-Allow-Headers: Authorization, Content-Type\r\n"
                     "Access-Control-Max-Age: 7200\r\n",
                     "", 0);
    else
        write_answer(r, 200, "text/plain", "", about, sizeof about - 1);
}

static void expect(struct bosh_request *r)
{
    const struct http_header *wanted = http_header(&r->head, "expect");

    if (!wanted || r->head.minor_version == 0)
        return;
    if (!http_slice_is_nocase(wanted->value, "100-continue"))
        refuse_unread(r, 417, "Only 100-continue can be expected here.");
    else if (r->in.len < r->length)
        buf_add_str(conn_output(r->conn), "HTTP/1.1 100 Continue\r\n\r\n");
}

void bosh_request_start(struct bosh_request *r)
{
    const char *why = "";
    bool is_post = http_slice_is(r->head.method, "POST");
    int status;

    if (!is_post && !is_plain(r)) {
        refuse_unread(r, 405, "Only POST carries BOSH.");
        return;
    }
    status = check_length(r, is_post, &why);
    if (status) {
        refuse_unread(r, status, why);
        return;
    }
    if (!is_post) {
        serve_plain(r);
        return;
    }
    expect(r);
    if (r->state == READING)
        read_entity(r);
}

static bool copy_identity(struct bosh_request *r, const struct peer_identity *identity)
{
    r->identity = *identity;
    r->identity.forwarded_for = NULL;
    if (identity->forwarded_for)
        r->identity.forwarded_for = strdup(identity->forwarded_for);
    return !identity->forwarded_for || r->identity.forwarded_for;
}

static bool copy_origin(struct bosh_request *r, const struct http_head *head)
{
    const struct http_header *origin = http_header(head, "origin");

    if (!origin)
        return true;
    r->origin = strndup(origin->value.at, origin->value.len);
    return r->origin != NULL;
}

struct bosh_request *bosh_request_new(struct bosh_requests *all, struct conn *conn,
                                      const struct http_head *request,
                                      const struct peer_identity *identity, const uint8_t *rest,
                                      size_t rest_len)
{
    struct bosh_request *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    r->all = all;
    r->proxy = all->proxy;
    r->release.run = release;
    r->may_keep = listener_may_keep(request);
    if (rest_len)
        buf_add(&r->in, rest, rest_len);
    if (r->in.failed || !(r->head_text = bosh_head_copy(&r->head, request)) ||
        !copy_identity(r, identity) || !copy_origin(r, request) ||
        !crowd_add(all->unread, &r->unread, NULL)) {
        request_free(r);
        return NULL;
    }
    r->is_unread = true;
    r->next = all->first;
    r->link = &all->first;
    if (r->next)
        r->next->link = &r->next;
    all->first = r;
    all->len++;
    r->conn = conn;
    conn_set_owner(conn, &conn_events, r);
    conn_expire(conn, all->proxy->config->limits.handshake_timeout_ms);
    r->until = conn_deadline(conn);
    return r;
}

const char *bosh_request_entity(const struct bosh_request *r, size_t *ret_len)
{
    *ret_len = r->length;
    return r->in.data ? r->in.data : "";
}

const struct http_head *bosh_request_head(const struct bosh_request *r)
{
    return &r->head;
}

const struct peer_identity *bosh_request_identity(const struct bosh_request *r)
{
    return &r->identity;
}

void bosh_request_set_ctx(struct bosh_request *r, void *ctx)
{
    r->ctx = ctx;
}

void *bosh_request_ctx(const struct bosh_request *r)
{
    return r->ctx;
}
