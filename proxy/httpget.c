/*
 * See httpget.h. The answer is read as strictly as a client's request is; what it means is told
 * once, by whichever comes first: its end, a fault in it, or the deadline.
 */
#include "proxy/httpget.h"

#include "proxy/loop.h"
#include "xmpp/http_body.h"
#include "xmpp/http_cache.h"

#include <stdlib.h>
#include <string.h>

struct httpget {
    struct conn *conn;
    int64_t deadline;
    struct buf request, head, body;
    struct http_body framing;
    bool has_head; /* and its body is being read */
    int status;
    int64_t max_age_s;
    size_t body_max;
    void (*done)(void *owner, const struct httpget_answer *answer);
    void *owner;
};

static void httpget_free(struct httpget *g)
{
    buf_done(&g->request);
    buf_done(&g->head);
    buf_done(&g->body);
    free(g);
}

/* The one end. problem NULL: the answer is complete. */
static void finish(struct httpget *g, const char *problem)
{
    struct httpget_answer answer = {.max_age_s = -1, .problem = problem ? problem : ""};

    if (g->conn)
        conn_close(g->conn);
    g->conn = NULL;
    if (!problem && g->body.failed)
        answer.problem = "out of memory";
    else if (!problem)
        answer = (struct httpget_answer){
            .status = g->status,
            .body = g->body.data ? g->body.data : "",
            .len = g->body.len,
            .max_age_s = g->max_age_s,
            .problem =
                g->status >= 300 && g->status < 400 ? "a redirect, which is not followed" : "",
        };
    g->done(g->owner, &answer);
    httpget_free(g);
}

/* What is wrong with a body, or NULL where nothing is; *ret_more where it goes on. */
static const char *body_problem(enum http_body_result result, bool *ret_more)
{
    *ret_more = result == HTTP_BODY_MORE;
    switch (result) {
    case HTTP_BODY_END:
    case HTTP_BODY_MORE:
        return NULL;
    case HTTP_BODY_TOO_LARGE:
        return "the answer is too large";
    case HTTP_BODY_BAD:
        break;
    }
    return "the answer's body is malformed";
}

/* Nothing but itself is asked for, so another coding would be a mistake we cannot read. */
static bool is_coded(const struct http_head *head)
{
    const struct http_header *coding = http_header(head, "content-encoding");

    return coding && !http_slice_is_nocase(coding->value, "identity");
}

static void read_body(struct httpget *g, const char *data, size_t len)
{
    bool goes_on;
    const char *problem = body_problem(http_body_feed(&g->framing, data, len, &g->body), &goes_on);

    if (g->body.failed || problem || !goes_on)
        finish(g, problem);
}

/* A final head. Only the body of a 200 is of use; any other is not waited for. */
static void take_head(struct httpget *g, const struct http_head *head, size_t head_len)
{
    bool goes_on;
    const char *problem;

    g->has_head = true;
    g->status = head->status;
    g->max_age_s = http_max_age(head);
    if (head->status != 200) {
        finish(g, NULL);
        return;
    }
    if (is_coded(head)) {
        finish(g, "the answer is compressed, which was not asked for");
        return;
    }
    problem = body_problem(http_body_begin(&g->framing, head, g->body_max), &goes_on);
    if (problem || !goes_on)
        finish(g, problem);
    else
        read_body(g, g->head.data + head_len, g->head.len - head_len);
}

static void read_head(struct httpget *g)
{
    struct http_head head;
    size_t head_len = 0;

    for (;;) {
        switch (http_parse_response(g->head.data, g->head.len, &head, &head_len)) {
        case HTTP_MORE:
            return;
        case HTTP_BAD:
        case HTTP_TOO_LARGE:
            finish(g, "what answers is not HTTP/1.1, or its head is too large");
            return;
        case HTTP_OK:
            break;
        }
        if (head.status >= 200 || head.status == 101) {
            take_head(g, &head, head_len);
            return;
        }
        buf_drop(&g->head, head_len); /* an interim answer (RFC 9110 section 15.2) */
    }
}

static void on_received(void *owner, uint8_t *data, size_t len)
{
    struct httpget *g = owner;

    if (g->has_head) {
        read_body(g, (const char *)data, len);
        return;
    }
    buf_add(&g->head, data, len);
    if (g->head.failed)
        finish(g, "out of memory");
    else
        read_head(g);
}

static void on_opened(void *owner)
{
    struct httpget *g = owner;
    int64_t left = g->deadline - loop_now(conn_loop(g->conn));

    buf_add(conn_output(g->conn), g->request.data, g->request.len);
    buf_done(&g->request);
    conn_expire(g->conn, left > 0 ? left : 0);
}

static void on_closed(void *owner, const char *why)
{
    struct httpget *g = owner;
    bool goes_on;

    g->conn = NULL;
    /* Only an orderly end ends a body; a deadline or TLS going wrong does not. */
    if (g->has_head && strcmp(why, CONN_ENDED) == 0)
        finish(g, body_problem(http_body_closed(&g->framing), &goes_on));
    else
        finish(g, why);
}

static const struct conn_callbacks conn_events = {
    .opened = on_opened,
    .received = on_received,
    .closed = on_closed,
};

struct httpget *httpget_new(struct loop *loop, const struct httpget_target *target,
                            const char *path, size_t body_max, int64_t timeout_ms,
                            void (*done)(void *owner, const struct httpget_answer *answer),
                            void *owner)
{
    struct httpget *g = calloc(1, sizeof *g);

    if (!g)
        return NULL;
    g->deadline = loop_now(loop) + timeout_ms;
    g->body_max = body_max;
    g->done = done;
    g->owner = owner;
    buf_printf(&g->request,
               "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: application/json, application/jwk-set+json, "
               "application/x-pem-file, text/plain, */*\r\nAccept-Encoding: identity\r\n"
               "User-Agent: Vestibule\r\nConnection: close\r\n\r\n",
               path, target->authority);
    g->conn =
        g->request.failed ? NULL : conn_connect(loop, &target->conn, timeout_ms, &conn_events, g);
    if (!g->conn) {
        httpget_free(g);
        return NULL;
    }
    return g;
}

void httpget_cancel(struct httpget *g)
{
    if (!g)
        return;
    if (g->conn)
        conn_abort(g->conn);
    httpget_free(g);
}
