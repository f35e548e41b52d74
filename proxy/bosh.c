/*
 * BOSH sessions as transports. What a newcomer gets wrong: a session outlives its stream, since the
 * client learns of the end by its next request only, and nothing is freed but at the end of a turn
 * (client_turn), because a message may end the stream under the very request that brought it.
 */
#include "proxy/bosh.h"

#include "policy/table.h"
#include "proxy/bosh_request.h"
#include "proxy/log.h"
#include "proxy/rejections.h"
#include "proxy/stream.h"
#include "xmpp/bosh_session.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define TAG "bosh"
#define SID_BYTES 16
/* Sessions kept only to tell their end; beyond it the oldest goes. */
#define TOLD_MAX 1024
/* Of one address: each has one or two open, and repeats some. */
#define REQUESTS_PER_SESSION 4

enum client_state {
    CLIENT_OPEN,
    CLIENT_CLOSED, /* our end is over, the client is to be told */
    CLIENT_ENDED,  /* his is: freed at the end of the turn */
};

/* One session. */
struct client {
    struct transport transport; /* first: client_of */
    struct table_node node;     /* bosh->by_sid */
    struct bosh *bosh;
    struct bosh_session *session;
    char sid[2 * SID_BYTES + 1];
    enum client_state state;
    unsigned stopped;
    bool goes_on; /* the last reason to stop is gone: what waits is to be delivered */
    int64_t closed_at;
    struct deferred turn;
    struct client *next, **link; /* bosh->clients, or bosh->closed, the latest first */
};

struct bosh {
    struct proxy *proxy;
    struct bosh_requests requests;
    struct peers *askers; /* requests by address */
    struct table by_sid;
    struct client *clients, *closed;
    size_t clients_len, closed_len;
    bool is_stopping;
    bool is_full; /* said once */
};

static const struct transport_kind client_kind;
static const struct bosh_request_events request_events;

static int64_t now_of(const struct bosh *bosh)
{
    return loop_now(bosh->proxy->loop);
}

static void link_into(struct client **first, struct client *c)
{
    c->next = *first;
    c->link = first;
    if (c->next)
        c->next->link = &c->next;
    *first = c;
}

static void unlink_client(struct client *c)
{
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
}

static void client_free(struct client *c)
{
    struct bosh *bosh = c->bosh;

    loop_undefer(bosh->proxy->loop, &c->turn);
    table_remove(&bosh->by_sid, &c->node);
    unlink_client(c);
    if (c->state == CLIENT_CLOSED)
        bosh->closed_len--;
    else
        bosh->clients_len--;
    bosh_session_free(c->session);
    bosh_requests_abort_of(&bosh->requests, c);
    free(c);
}

/* What a turn of the loop brought leaves in as few answers as it can. */
static void client_turn(struct deferred *work)
{
    struct client *c = (struct client *)((char *)work - offsetof(struct client, turn));

    if (c->state == CLIENT_OPEN && c->goes_on && !c->stopped) {
        c->goes_on = false;
        bosh_session_go(c->session);
    }
    if (c->state != CLIENT_ENDED)
        bosh_session_flush(c->session, now_of(c->bosh));
    if (c->state == CLIENT_ENDED || (c->state == CLIENT_CLOSED && bosh_session_is_done(c->session)))
        client_free(c);
}

static void touch(struct client *c)
{
    loop_defer(c->bosh->proxy->loop, &c->turn);
}

/* From the session. */

static void on_message(void *ctx, const char *data, size_t len)
{
    struct client *c = ctx;

    if (c->state == CLIENT_OPEN && c->transport.callbacks)
        c->transport.callbacks->message(c->transport.owner, data, len);
}

static void on_answer(void *ctx, void *request, const char *body, size_t len)
{
    bosh_request_set_ctx(request, NULL);
    bosh_request_answer(request, body, len);
}

static void on_drained(void *ctx)
{
    struct client *c = ctx;

    if (c->state == CLIENT_OPEN && c->transport.callbacks && c->transport.callbacks->drained)
        c->transport.callbacks->drained(c->transport.owner);
}

static void on_ended(void *ctx, enum bosh_end why, const char *detail)
{
    struct client *c = ctx;
    const struct transport_callbacks *callbacks = c->transport.callbacks;
    void *owner = c->transport.owner;

    if (c->state != CLIENT_OPEN)
        return;
    c->state = CLIENT_ENDED;
    c->transport.callbacks = NULL;
    touch(c);
    if (!callbacks)
        return;
    switch (why) {
    case BOSH_END_CLIENT:
        callbacks->closed(owner, 1000, "", 0);
        break;
    case BOSH_END_SILENT:
        callbacks->lost(owner, 0, "no request came in time");
        break;
    case BOSH_END_BROKEN:
        callbacks->lost(owner, 1002, detail ? detail : "broken BOSH");
        break;
    case BOSH_END_NO_MEMORY:
        callbacks->lost(owner, 1011, "out of memory");
        break;
    }
}

static const struct bosh_actions session_actions = {
    .message = on_message,
    .answer = on_answer,
    .drained = on_drained,
    .ended = on_ended,
};

/* From the stream. */

static struct client *client_of(struct transport *t)
{
    return (struct client *)t;
}

static void kind_send(struct transport *t, const char *data, size_t len)
{
    struct client *c = client_of(t);

    if (c->state != CLIENT_OPEN)
        return;
    bosh_session_send(c->session, data, len);
    touch(c);
}

static bool kind_is_full(const struct transport *t)
{
    return bosh_session_is_full(((const struct client *)t)->session);
}

static void kind_stop(struct transport *t, enum transport_stop why)
{
    struct client *c = client_of(t);

    if (!c->stopped && c->state == CLIENT_OPEN)
        bosh_session_stop(c->session);
    c->stopped |= why;
}

static void kind_go(struct transport *t, enum transport_stop why)
{
    struct client *c = client_of(t);

    if (!(c->stopped & why))
        return;
    c->stopped &= ~(unsigned)why;
    c->goes_on = true;
    if (!c->stopped)
        touch(c);
}

static void kind_start(struct transport *t)
{
    kind_go(t, TRANSPORT_HELD);
}

/* XEP-0124 section 17.2. Where a stream error went before, the session says so instead. */
static const char *condition_of(uint16_t code)
{
    switch (code) {
    case 1000:
    case 1005:
        return NULL;
    case 1001:
        return "system-shutdown";
    case 1009:
        return "policy-violation";
    case 1011:
        return "internal-server-error";
    case 1002:
    case 1003:
    case 1007:
    case 1008:
        return "undefined-condition";
    default:
        return "remote-connection-failed";
    }
}

static void kind_close(struct transport *t, uint16_t code, const char *reason, size_t len)
{
    struct client *c = client_of(t);
    struct bosh *bosh = c->bosh;

    if (c->state != CLIENT_OPEN)
        return;
    c->transport.callbacks = NULL;
    c->state = CLIENT_CLOSED;
    c->closed_at = now_of(bosh);
    unlink_client(c);
    bosh->clients_len--;
    link_into(&bosh->closed, c);
    bosh->closed_len++;
    bosh_session_close(c->session, condition_of(code), c->closed_at);
    touch(c);
}

static int64_t kind_last_activity(const struct transport *t)
{
    return bosh_session_last_request(((const struct client *)t)->session);
}

static const struct transport_kind client_kind = {
    .name = "BOSH",
    .start = kind_start,
    .send = kind_send,
    .is_full = kind_is_full,
    .stop = kind_stop,
    .go = kind_go,
    .close = kind_close,
    .last_activity = kind_last_activity,
};

/* Requests. */

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
        refuse(r, 503, "Too many connections.");
        return false;
    }
    bosh->is_full = false;
    if (!peers_add(proxy->peers, &identity->key, config->limits.connections_per_ip)) {
        refuse(r, 429, "Too many connections from this address.");
        return false;
    }
    return true;
}

static struct client *client_new(struct bosh *bosh, const struct bosh_body *body,
                                 struct bosh_request *r)
{
    struct client *c = calloc(1, sizeof *c);
    uint8_t random[SID_BYTES];

    if (!c)
        return NULL;
    loop_random(bosh->proxy->loop, random, sizeof random);
    for (size_t i = 0; i < SID_BYTES; i++)
        snprintf(c->sid + 2 * i, 3, "%02x", random[i]);
    c->session = bosh_session_new(c->sid, body, r, &session_actions, c, now_of(bosh));
    if (!c->session) {
        free(c);
        return NULL;
    }
    c->transport.kind = &client_kind;
    c->bosh = bosh;
    c->stopped = TRANSPORT_HELD;
    c->turn.run = client_turn;
    table_add(&bosh->by_sid, &c->node, c->sid, strlen(c->sid));
    link_into(&bosh->clients, c);
    bosh->clients_len++;
    return c;
}

static void create(struct bosh *bosh, const struct bosh_body *body, struct bosh_request *r)
{
    const struct peer_identity *identity = bosh_request_identity(r);
    const char *why = "Out of memory.";
    struct client *c;
    int status = 503;

    if (!body->to || body->has_key) {
        terminate(r, body->to ? "bad-request" : "improper-addressing");
        return;
    }
    if (!admit(bosh, r))
        return;
    c = client_new(bosh, body, r);
    if (c)
        status =
            stream_new_carried(bosh->proxy, &c->transport, bosh_request_head(r), identity, &why);
    if (status == 0) {
        log_line(LOG_LEVEL_DEBUG, TAG, "%s begins a session, %zu there are", identity->address,
                 bosh->clients_len);
        bosh_request_set_ctx(r, c);
        touch(c);
        return;
    }
    if (c)
        client_free(c);
    peers_remove(bosh->proxy->peers, &identity->key);
    bosh_request_refuse(r, status, why); /* which the stream's end said in the log */
}

static void go_on(struct bosh *bosh, struct bosh_body *body, struct bosh_request *r)
{
    struct table_node *node = table_find(&bosh->by_sid, body->sid, strlen(body->sid));
    struct client *c;

    if (!node) {
        terminate(r, "item-not-found");
        return;
    }
    c = (struct client *)((char *)node - offsetof(struct client, node));
    if (c->state == CLIENT_ENDED) {
        terminate(r, "item-not-found");
        return;
    }
    bosh_request_set_ctx(r, c);
    touch(c);
    bosh_session_request(c->session, body, r, now_of(bosh));
}

static void on_complete(void *owner, struct bosh_request *r)
{
    struct bosh *bosh = owner;
    const struct parse_limits limits = {.bytes =
                                            bosh->proxy->config->limits.stanza + BOSH_REQUEST_ROOM,
                                        .depth = 64,
                                        .elements = 8192,
                                        .attributes = 64};
    size_t len;
    const char *entity = bosh_request_entity(r, &len);
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
        bosh_request_log_refusal(r, 400, why);
        terminate(r, "bad-request");
        break;
    case BOSH_NO_MEMORY:
        refuse(r, 503, "Out of memory.");
        break;
    }
}

static void on_gone(void *owner, struct bosh_request *r)
{
    struct bosh *bosh = owner;
    struct client *c = bosh_request_ctx(r);

    if (!c)
        return;
    bosh_request_set_ctx(r, NULL);
    touch(c);
    bosh_session_gone(c->session, r, now_of(bosh));
}

static void on_released(void *owner, struct bosh_request *r)
{
    struct bosh *bosh = owner;

    peers_remove(bosh->askers, &bosh_request_identity(r)->key);
}

static const struct bosh_request_events request_events = {
    .complete = on_complete,
    .gone = on_gone,
    .released = on_released,
};

/* 0, or the status that refuses him. A session may have three connections, and there are files for
 * two (main.c): what is over that waits for its turn. */
static int may_ask(struct bosh *bosh, const struct peer_identity *identity)
{
    const struct config *config = bosh->proxy->config;

    if (loop_conns_len(bosh->proxy->loop) / 2 >= config->limits.connections)
        return 503;
    return peers_add(bosh->askers, &identity->key,
                     config->limits.connections_per_ip * REQUESTS_PER_SESSION)
               ? 0
               : 429;
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
    int status = may_ask(bosh, identity);

    if (status) {
        turn_away(bosh, conn, identity, status, "Too many requests.");
        return;
    }
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
    uint64_t seed;

    if (!bosh)
        return NULL;
    bosh->askers = peers_new();
    if (!bosh->askers) {
        free(bosh);
        return NULL;
    }
    bosh->proxy = proxy;
    bosh->requests.proxy = proxy;
    bosh->requests.events = &request_events;
    bosh->requests.owner = bosh;
    loop_random(proxy->loop, &seed, sizeof seed);
    table_init(&bosh->by_sid, seed);
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
    assert(!bosh->requests.first && !bosh->clients);
    while (bosh->closed)
        client_free(bosh->closed);
    table_done(&bosh->by_sid);
    peers_free(bosh->askers);
    free(bosh);
}

/* Whoever did not come for the news. */
static void forget_closed(struct bosh *bosh, int64_t now)
{
    struct client *next;
    size_t i = 0;

    for (struct client *c = bosh->closed; c; c = next) {
        next = c->next;
        if (++i > TOLD_MAX || now - c->closed_at > (int64_t)BOSH_INACTIVITY_S * 1000)
            client_free(c);
    }
}

void bosh_tick(struct bosh *bosh, int64_t now)
{
    struct client *next;

    for (struct client *c = bosh->clients; c; c = next) {
        next = c->next;
        if (c->state == CLIENT_OPEN)
            bosh_session_tick(c->session, now);
    }
    forget_closed(bosh, now);
}

size_t bosh_len(const struct bosh *bosh)
{
    return bosh->clients_len;
}
