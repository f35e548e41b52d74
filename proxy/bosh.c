/*
 * Requests of BOSH and who may make them. What a newcomer gets wrong: anybody may POST, so that
 * until the sid is known to be a logged-in session's a body is read, and parsed, only as far as a
 * login needs; and nobody without one may cost a session its place.
 */
#include "proxy/bosh.h"

#include "proxy/bosh_client.h"
#include "proxy/handshake.h"
#include "proxy/listener.h"
#include "proxy/log.h"
#include "proxy/rejections.h"
#include "proxy/stream.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define TAG "bosh"
/* Of one address: each has one or two open, and repeats some. */
#define REQUESTS_PER_SESSION 4

struct bosh {
    struct proxy *proxy;
    struct bosh_requests requests;
    struct bosh_clients clients;
    struct peers *askers; /* requests by address */
    bool is_stopping;
    bool is_full; /* said once */
};

static const struct bosh_request_events request_events;

static int64_t now_of(const struct bosh *bosh)
{
    return loop_now(bosh->proxy->loop);
}

/* For what belongs to no session. */
static void terminate(struct bosh_request *r, const char *condition)
{
    struct buf body = BUF_INIT;

    bosh_terminate_body(&body, condition);
    if (body.failed)
        bosh_request_abort(r);
    else
        bosh_request_answer(r, body.data, body.len);
    buf_done(&body);
}

/* The same, where it is to be known. */
static void turn_down(struct bosh_request *r, const char *condition, const char *why)
{
    bosh_request_log_condition(r, condition, why);
    terminate(r, condition);
}

static void refuse(struct bosh_request *r, int status, const char *why)
{
    bosh_request_log_refusal(r, status, why);
    bosh_request_refuse(r, status, why);
}

/* As at the door (listener.c): a session counts as a WebSocket does. */
static bool admit(struct bosh *bosh, struct bosh_request *r)
{
    struct proxy *proxy = bosh->proxy;
    const struct config *config = proxy->config;
    const struct peer_identity *identity = bosh_request_identity(r);

    if (bosh->is_stopping) {
        refuse(r, 503, "Vestibule is stopping.");
        return false;
    }
    if (proxy->streams_len + proxy->passthroughs >= config->limits.connections) {
        if (!bosh->is_full)
            log_line(LOG_LEVEL_WARN, TAG,
                     "limits.connections (%u) is reached, new ones are refused",
                     config->limits.connections);
        bosh->is_full = true;
        refuse(r, 503, "Too many connections (limits.connections).");
        return false;
    }
    bosh->is_full = false;
    if (!peers_add(proxy->peers, &identity->key, config->limits.connections_per_ip)) {
        refuse(r, 429, "Too many connections from this address (limits.connections_per_ip).");
        return false;
    }
    return true;
}

static void create(struct bosh *bosh, const struct bosh_body *body, struct bosh_request *r)
{
    const struct peer_identity *identity = bosh_request_identity(r);
    const char *why = "Out of memory.";
    struct bosh_client *c;
    int status = 503;

    if (!body->to || body->has_key) {
        turn_down(r, body->to ? "bad-request" : "improper-addressing",
                  body->to ? "keys are not supported" : "a session for no domain");
        return;
    }
    if (!admit(bosh, r))
        return;
    c = bosh_client_new(&bosh->clients, body, r);
    if (c)
        status = stream_new_carried(bosh->proxy, bosh_client_transport(c), bosh_request_head(r),
                                    identity, &why);
    if (status == 0) {
        log_line(LOG_LEVEL_DEBUG, TAG, "%s begins a session, %zu there are", identity->address,
                 bosh->clients.open_len);
        bosh_client_begin(c, r);
        return;
    }
    if (c)
        bosh_client_free(c);
    peers_remove(bosh->proxy->peers, &identity->key);
    bosh_request_refuse(r, status, why); /* which the stream's end said in the log */
}

static void go_on(struct bosh *bosh, struct bosh_body *body, struct bosh_request *r)
{
    struct bosh_client *c = bosh_client_find(&bosh->clients, body->sid, strlen(body->sid));

    if (c)
        bosh_client_request(c, body, r);
    else
        turn_down(r, "item-not-found", "no session has this sid");
}

/* Whose body begins so; NULL when it is nobody's yet, or cannot be told. */
static struct bosh_client *client_of(struct bosh *bosh, const char *data, size_t len)
{
    const char *sid;
    size_t sid_len;

    if (!bosh_peek_sid(data, len, &sid, &sid_len))
        return NULL;
    return bosh_client_find(&bosh->clients, sid, sid_len);
}

/* Who knows the sid of a session and writes what is no body has ended that session: a rid of it
 * will never come. */
static void refuse_body(struct bosh_client *c, struct bosh_request *r, const char *condition,
                        const char *why)
{
    if (c && bosh_client_break(c, condition, why)) /* which its stream's end says in the log */
        terminate(r, condition);
    else
        turn_down(r, condition, why);
}

/* A long one: only its beginning is here. */
static bool on_begun(void *owner, struct bosh_request *r, const char *data, size_t len)
{
    struct bosh *bosh = owner;
    struct bosh_client *c = client_of(bosh, data, len);
    bool may_go_on = c && bosh_client_is_logged_in(c);

    if (!may_go_on)
        refuse_body(c, r, "policy-violation", "a long body before login");
    return may_go_on;
}

static struct parse_limits limits_for(const struct bosh *bosh, const struct bosh_client *c)
{
    /* As for one message before login, and a few of them. */
    struct parse_limits limits = {
        .bytes = BOSH_REQUEST_EARLY, .depth = 8, .elements = 32, .attributes = 32};

    if (c && bosh_client_is_logged_in(c))
        limits = stream_message_limits(bosh_request_max(bosh->proxy->config));
    return limits;
}

static void on_complete(void *owner, struct bosh_request *r)
{
    struct bosh *bosh = owner;
    size_t len;
    const char *entity = bosh_request_entity(r, &len);
    struct bosh_client *c = client_of(bosh, entity, len);
    const struct parse_limits limits = limits_for(bosh, c);
    enum parse_result parsed = PARSE_OK;
    const char *why = "";
    struct bosh_body body;

    switch (bosh_read(bosh->proxy->parser, entity, len, &limits, &body, &parsed, &why)) {
    case BOSH_OK:
        if (body.sid)
            go_on(bosh, &body, r);
        else
            create(bosh, &body, r);
        bosh_body_done(&body);
        break;
    case BOSH_BAD_REQUEST:
    case BOSH_BAD_XML:
        refuse_body(c, r, parsed == PARSE_TOO_LARGE ? "policy-violation" : "bad-request", why);
        break;
    case BOSH_NO_MEMORY:
        refuse(r, 503, "Out of memory.");
        break;
    }
}

static void on_gone(void *owner, struct bosh_request *r)
{
    struct bosh_client *c = bosh_request_ctx(r);

    if (c)
        bosh_client_gone(c, r);
}

static void on_released(void *owner, struct bosh_request *r)
{
    struct bosh *bosh = owner;

    peers_remove(bosh->askers, &bosh_request_identity(r)->key);
}

static const struct bosh_request_events request_events = {
    .begun = on_begun,
    .complete = on_complete,
    .gone = on_gone,
    .released = on_released,
};

/* Whose it is shows in its body only, so there is always room to read one more: who has kept us
 * waiting longest for his goes. */
static void make_room(struct bosh *bosh)
{
    const size_t readers = bosh_requests_unread(&bosh->requests);

    if (readers >= bosh->proxy->config->limits.connections ||
        readers >= listener_room(bosh->proxy->listener))
        bosh_requests_crowd_out(&bosh->requests);
}

/* Before there is a request. */
static void turn_away(struct bosh *bosh, struct conn *conn, const struct peer_identity *identity,
                      int status, const char *why)
{
    bool is_told = rejections_note(bosh->proxy->rejections, &identity->key,
                                   rejection_of_status(status), now_of(bosh));

    log_line(is_told ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, TAG, "%s refused: %d %s",
             identity->address, status, why);
    handshake_refuse(conn_output(conn), status, why);
    conn_close_lingering(conn);
}

void bosh_take(struct bosh *bosh, struct conn *conn, const struct http_head *request,
               const struct peer_identity *identity, const uint8_t *rest, size_t rest_len)
{
    struct bosh_request *r;

    if (!peers_add(bosh->askers, &identity->key,
                   bosh->proxy->config->limits.connections_per_ip * REQUESTS_PER_SESSION)) {
        turn_away(bosh, conn, identity, 429,
                  "Too many requests from this address (limits.connections_per_ip).");
        return;
    }
    make_room(bosh);
    r = bosh_request_new(&bosh->requests, conn, request, identity, rest, rest_len);
    if (!r) {
        peers_remove(bosh->askers, &identity->key);
        turn_away(bosh, conn, identity, 503, "Out of memory.");
        return;
    }
    bosh_request_start(r);
}

/* The process. */

struct bosh *bosh_new(struct proxy *proxy)
{
    struct bosh *bosh = calloc(1, sizeof *bosh);

    if (!bosh)
        return NULL;
    bosh->proxy = proxy;
    bosh->askers = peers_new();
    bosh->requests = (struct bosh_requests){
        .proxy = proxy, .events = &request_events, .owner = bosh, .unread = crowd_new()};
    bosh_clients_init(&bosh->clients, proxy, &bosh->requests);
    if (!bosh->askers || !bosh->requests.unread) {
        bosh_free(bosh);
        return NULL;
    }
    return bosh;
}

void bosh_stop(struct bosh *bosh)
{
    bosh->is_stopping = true;
    bosh_requests_abort_unread(&bosh->requests);
}

void bosh_free(struct bosh *bosh)
{
    if (!bosh)
        return;
    assert(!bosh->requests.first);
    bosh_clients_done(&bosh->clients);
    crowd_free(bosh->requests.unread);
    peers_free(bosh->askers);
    free(bosh);
}

void bosh_tick(struct bosh *bosh, int64_t now)
{
    bosh_clients_tick(&bosh->clients, now);
}
