/*
 * BOSH sessions as transports (see bosh_client.h). What a newcomer gets wrong: a session outlives
 * its stream, since the client learns of the end by its next request only, and nothing is freed but
 * at the end of a turn, because a message may end the stream under the very request that brought
 * it.
 */
#include "proxy/bosh_client.h"

#include "proxy/stream.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define SID_BYTES 16
/* Sessions kept only to tell their end, and what they hold: beyond it the oldest goes. */
#define CLOSED_MAX 1024
#define CLOSED_BYTES_MAX ((size_t)16 * 1024 * 1024)

enum client_state {
    CLIENT_OPEN,
    CLIENT_CLOSED, /* our end is over, the client is to be told */
    CLIENT_ENDED,  /* his is: freed at the end of the turn */
};

struct bosh_client {
    struct transport transport; /* first: client_of */
    struct table_node node;     /* all->by_sid */
    struct bosh_clients *all;
    struct bosh_session *session;
    char sid[2 * SID_BYTES + 1];
    enum client_state state;
    unsigned stopped;
    bool goes_on;       /* the last reason to stop is gone: what waits is to be delivered */
    bool was_logged_in; /* once closed */
    int64_t closed_at;
    size_t closed_bytes; /* as counted in all->closed_bytes */
    struct deferred turn;
    struct bosh_client *prev, *next; /* all->open, or all->closed */
};

static const struct transport_kind client_kind;

static int64_t now_of(const struct bosh_clients *all)
{
    return loop_now(all->proxy->loop);
}

void bosh_client_free(struct bosh_client *c)
{
    struct bosh_clients *all = c->all;

    loop_undefer(all->proxy->loop, &c->turn);
    table_remove(&all->by_sid, &c->node);
    if (c->state == CLIENT_CLOSED) {
        DL_DELETE(all->closed, c);
        all->closed_len--;
        all->closed_bytes -= c->closed_bytes;
    } else {
        DL_DELETE(all->open, c);
        all->open_len--;
    }
    bosh_session_free(c->session);
    bosh_requests_abort_of(all->requests, c);
    free(c);
}

/* What a turn of the loop brought leaves in as few answers as it can. */
static void client_turn(struct deferred *work)
{
    struct bosh_client *c =
        (struct bosh_client *)((char *)work - offsetof(struct bosh_client, turn));

    if (c->state == CLIENT_OPEN && c->goes_on && !c->stopped) {
        c->goes_on = false;
        bosh_session_go(c->session);
    }
    if (c->state != CLIENT_ENDED)
        bosh_session_flush(c->session, now_of(c->all));
    if (c->state == CLIENT_ENDED || (c->state == CLIENT_CLOSED && bosh_session_is_done(c->session)))
        bosh_client_free(c);
}

static void touch(struct bosh_client *c)
{
    loop_defer(c->all->proxy->loop, &c->turn);
}

/* From the session. */

static void on_message(void *ctx, const char *data, size_t len)
{
    struct bosh_client *c = ctx;

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
    struct bosh_client *c = ctx;

    if (c->state == CLIENT_OPEN && c->transport.callbacks && c->transport.callbacks->drained)
        c->transport.callbacks->drained(c->transport.owner);
}

static void on_ended(void *ctx, enum bosh_end why, const char *detail)
{
    struct bosh_client *c = ctx;
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

static struct bosh_client *client_of(struct transport *t)
{
    return (struct bosh_client *)t;
}

static void kind_send(struct transport *t, const char *data, size_t len)
{
    struct bosh_client *c = client_of(t);

    if (c->state != CLIENT_OPEN)
        return;
    bosh_session_send(c->session, data, len);
    touch(c);
}

static bool kind_is_full(const struct transport *t)
{
    return bosh_session_is_full(((const struct bosh_client *)t)->session);
}

static void kind_stop(struct transport *t, enum transport_stop why)
{
    struct bosh_client *c = client_of(t);

    if (!c->stopped && c->state == CLIENT_OPEN)
        bosh_session_stop(c->session);
    c->stopped |= why;
}

static void kind_go(struct transport *t, enum transport_stop why)
{
    struct bosh_client *c = client_of(t);

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

/* What it keeps for the client's next request counts from now on. */
static void move_to_closed(struct bosh_client *c)
{
    struct bosh_clients *all = c->all;

    DL_DELETE(all->open, c);
    all->open_len--;
    DL_APPEND(all->closed, c);
    all->closed_len++;
    c->closed_bytes = bosh_session_size(c->session);
    all->closed_bytes += c->closed_bytes;
    loop_defer(all->proxy->loop, &all->trim);
}

static void kind_close(struct transport *t, uint16_t code, const char *reason, size_t len)
{
    struct bosh_client *c = client_of(t);

    if (c->state != CLIENT_OPEN)
        return;
    c->was_logged_in = bosh_client_is_logged_in(c);
    c->transport.callbacks = NULL;
    c->state = CLIENT_CLOSED;
    c->closed_at = now_of(c->all);
    bosh_session_close(c->session, condition_of(code), c->closed_at);
    move_to_closed(c);
    touch(c);
}

static int64_t kind_last_activity(const struct transport *t)
{
    return bosh_session_last_request(((const struct bosh_client *)t)->session);
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

struct bosh_client *bosh_client_new(struct bosh_clients *all, const struct bosh_body *body,
                                    struct bosh_request *r)
{
    struct bosh_client *c = calloc(1, sizeof *c);
    uint8_t random[SID_BYTES];

    if (!c)
        return NULL;
    loop_random(all->proxy->loop, random, sizeof random);
    for (size_t i = 0; i < SID_BYTES; i++)
        snprintf(c->sid + 2 * i, 3, "%02x", random[i]);
    c->session = bosh_session_new(c->sid, body, r, &session_actions, c, now_of(all));
    if (!c->session) {
        free(c);
        return NULL;
    }
    bosh_session_set_entity_max(c->session, bosh_request_max(all->proxy->config));
    c->transport.kind = &client_kind;
    c->all = all;
    c->stopped = TRANSPORT_HELD;
    c->turn.run = client_turn;
    table_add(&all->by_sid, &c->node, c->sid, strlen(c->sid));
    DL_APPEND(all->open, c);
    all->open_len++;
    return c;
}

struct transport *bosh_client_transport(struct bosh_client *c)
{
    return &c->transport;
}

void bosh_client_begin(struct bosh_client *c, struct bosh_request *r)
{
    bosh_request_set_ctx(r, c);
    touch(c);
}

struct bosh_client *bosh_client_find(struct bosh_clients *all, const char *sid, size_t len)
{
    struct table_node *node = table_find(&all->by_sid, sid, len);
    struct bosh_client *c = NULL;

    if (node)
        c = (struct bosh_client *)((char *)node - offsetof(struct bosh_client, node));
    return c && c->state != CLIENT_ENDED ? c : NULL;
}

bool bosh_client_is_logged_in(const struct bosh_client *c)
{
    const struct stream *stream = c->transport.owner;

    if (c->state == CLIENT_OPEN && c->transport.callbacks)
        return stream->is_logged_in;
    return c->was_logged_in;
}

void bosh_client_request(struct bosh_client *c, const struct bosh_body *body,
                         struct bosh_request *r)
{
    bosh_client_begin(c, r);
    bosh_session_request(c->session, body, r, now_of(c->all));
}

void bosh_client_gone(struct bosh_client *c, struct bosh_request *r)
{
    bosh_request_set_ctx(r, NULL);
    touch(c);
    bosh_session_gone(c->session, r, now_of(c->all));
}

bool bosh_client_break(struct bosh_client *c, const char *condition, const char *why)
{
    if (c->state != CLIENT_OPEN)
        return false;
    touch(c);
    bosh_session_break(c->session, condition, why, now_of(c->all));
    return true;
}

/* All of them. */

static void trim(struct deferred *work)
{
    struct bosh_clients *all =
        (struct bosh_clients *)((char *)work - offsetof(struct bosh_clients, trim));

    struct bosh_client *c, *next;

    if (all->closed_len <= CLOSED_MAX && all->closed_bytes <= CLOSED_BYTES_MAX)
        return;
    /* Those that have been told would go at the end of this turn, too. */
    DL_FOREACH_SAFE(all->closed, c, next)
    {
        if (bosh_session_is_done(c->session))
            bosh_client_free(c);
    }
    while (all->closed_len > CLOSED_MAX || all->closed_bytes > CLOSED_BYTES_MAX)
        bosh_client_free(all->closed);
}

void bosh_clients_init(struct bosh_clients *all, struct proxy *proxy,
                       struct bosh_requests *requests)
{
    uint64_t seed;

    *all = (struct bosh_clients){.proxy = proxy, .requests = requests, .trim = {.run = trim}};
    loop_random(proxy->loop, &seed, sizeof seed);
    table_init(&all->by_sid, seed);
}

void bosh_clients_done(struct bosh_clients *all)
{
    assert(!all->open);
    while (all->closed)
        bosh_client_free(all->closed);
    loop_undefer(all->proxy->loop, &all->trim);
    table_done(&all->by_sid);
}

void bosh_clients_tick(struct bosh_clients *all, int64_t now)
{
    struct bosh_client *c, *next;

    DL_FOREACH_SAFE(all->open, c, next)
    {
        if (c->state == CLIENT_OPEN)
            bosh_session_tick(c->session, now);
    }
    /* Whoever did not come for the news. */
    while (all->closed && now - all->closed->closed_at > (int64_t)BOSH_INACTIVITY_S * 1000)
        bosh_client_free(all->closed);
}
