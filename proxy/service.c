/*
 * The service account's stream: one state at a time, each entered with its deadline.
 */
#include "proxy/service.h"

#include "proxy/log.h"
#include "xmpp/framing.h"
#include "xmpp/ns.h"
#include "xmpp/sasl.h"
#include "xmpp/stanza.h"

#include <stdlib.h>
#include <string.h>

#define TAG "service"
#define LOGIN_STEP_MS 10000
#define PING_AFTER_MS 30000
#define PING_LIMIT_MS 10000
#define BACKOFF_FIRST_MS 200
#define BACKOFF_MAX_MS 15000
/* A refused login is asked again slowly: Prosody may lock or throttle an account. */
#define BACKOFF_REFUSED_MS 5000
#define NOT_CONFIGURED "no service account is configured"

enum service_state {
    SERVICE_OFF,     /* not configured, or stopped */
    SERVICE_WAITING, /* for the next attempt, at deadline */
    SERVICE_CONNECTING,
    SERVICE_FEATURES, /* <open/> sent, before login */
    SERVICE_LOGIN,    /* SASL under way */
    SERVICE_RESTART,  /* <open/> sent again, after login */
    SERVICE_BINDING,
    SERVICE_READY,
};

struct service {
    struct proxy *proxy;
    const struct service_callbacks *callbacks;
    void *ctx;
    enum service_state state;
    int64_t deadline; /* of the state */
    int64_t backoff_ms;
    struct upstream *upstream;
    struct wsock *wsock;
    struct sasl *sasl;
    struct pending *pending;
    char id_prefix[24];
    uint64_t last_id;
    bool ping_is_out;
    int64_t heard;
    char said[256]; /* the failure last logged: said once until it changes */
};

static void set_state(struct service *s, enum service_state state, int64_t limit_ms)
{
    s->state = state;
    s->deadline = loop_now(s->proxy->loop) + limit_ms;
}

static int64_t jitter(struct service *s, int64_t ms)
{
    uint32_t random;

    loop_random(s->proxy->loop, &random, sizeof random);
    return ms / 2 + (int64_t)(random % (uint32_t)(ms / 2 + 1));
}

/* The one way out of every state: lets go of the stream and waits for the next attempt. */
static void drop(struct service *s, const char *why, int64_t at_least_ms)
{
    bool was_ready = s->state == SERVICE_READY;
    int64_t now = loop_now(s->proxy->loop);

    upstream_cancel(s->upstream);
    s->upstream = NULL;
    if (s->wsock)
        wsock_close(s->wsock, 1000, NULL, 0);
    s->wsock = NULL;
    sasl_free(s->sasl);
    s->sasl = NULL;
    s->backoff_ms = s->backoff_ms ? s->backoff_ms * 2 : BACKOFF_FIRST_MS;
    if (s->backoff_ms < at_least_ms)
        s->backoff_ms = at_least_ms;
    if (s->backoff_ms > BACKOFF_MAX_MS)
        s->backoff_ms = BACKOFF_MAX_MS;
    set_state(s, SERVICE_WAITING, jitter(s, s->backoff_ms));
    if (was_ready || strcmp(s->said, why) != 0) {
        snprintf(s->said, sizeof s->said, "%s", why);
        log_line(LOG_LEVEL_WARN, TAG,
                 "the service account is not logged in: %s; lobby users are refused until it is",
                 why);
    }
    if (was_ready)
        s->callbacks->down(s->ctx, now);
    pending_lose_all(s->pending);
}

static void send_stanza(struct service *s, struct buf *stanza)
{
    if (stanza->failed)
        drop(s, "out of memory", 0);
    else
        wsock_send(s->wsock, stanza->data, stanza->len);
    buf_done(stanza);
}

static void send_open(struct service *s, enum service_state next)
{
    struct buf out = BUF_INIT;

    framing_open(&out, s->proxy->config->service.domain);
    set_state(s, next, LOGIN_STEP_MS);
    send_stanza(s, &out);
}

static void tell_refused(struct service *s, const char *why)
{
    s->callbacks->refused(s->ctx, why, loop_now(s->proxy->loop));
}

/* Its login cannot succeed without somebody's help: nobody is to wait for it. */
static void refuse(struct service *s, const char *why)
{
    drop(s, why, BACKOFF_REFUSED_MS);
    tell_refused(s, "the service account's login was refused");
}

static void sasl_ended(struct service *s, enum sasl_result result)
{
    if (result == SASL_NO_MEMORY)
        drop(s, "out of memory", 0);
    else
        refuse(s, sasl_error(s->sasl));
}

static void begin_login(struct service *s, const struct element *features)
{
    const struct config *config = s->proxy->config;
    const struct conn *conn = wsock_conn(s->wsock);
    struct buf out = BUF_INIT;
    enum sasl_result result;

    sasl_free(s->sasl);
    s->sasl = sasl_new(config->service.node, config->service.password);
    result = s->sasl
                 ? sasl_begin(s->sasl, features, conn_is_tls(conn) || conn_is_loopback(conn), &out)
                 : SASL_NO_MEMORY;
    if (result != SASL_OK) {
        buf_done(&out);
        sasl_ended(s, result);
        return;
    }
    set_state(s, SERVICE_LOGIN, LOGIN_STEP_MS);
    send_stanza(s, &out);
}

static void login_failed(struct service *s, const struct element *failure)
{
    char why[200];

    snprintf(why, sizeof why, "%s was refused (%s): check service.jid and its password",
             s->proxy->config->service.jid,
             failure->first_child ? failure->first_child->name : "no reason given");
    if (failure->first_child && strcmp(failure->first_child->name, "temporary-auth-failure") == 0)
        drop(s, why, BACKOFF_REFUSED_MS);
    else
        refuse(s, why);
}

static void login_step(struct service *s, const struct element *e, enum stanza_kind kind)
{
    struct buf out = BUF_INIT;
    enum sasl_result result;

    if (kind == STANZA_SASL_FAILURE) {
        login_failed(s, e);
    } else if (kind == STANZA_SASL_SUCCESS) {
        result = sasl_success(s->sasl, e);
        if (result == SASL_OK)
            send_open(s, SERVICE_RESTART);
        else
            sasl_ended(s, result);
    } else if (element_is(e, NS_SASL, "challenge")) {
        result = sasl_challenge(s->sasl, e, &out);
        if (result == SASL_OK)
            send_stanza(s, &out);
        else
            sasl_ended(s, result);
        buf_done(&out);
    }
}

static void send_bind(struct service *s)
{
    struct buf out = BUF_INIT;
    char id[SERVICE_ID_LEN];

    service_make_id(s, id);
    buf_printf(&out,
               "<iq xmlns='" NS_CLIENT "' type='set' id='%s'><bind xmlns='" NS_BIND "'/></iq>", id);
    set_state(s, SERVICE_BINDING, LOGIN_STEP_MS);
    send_stanza(s, &out);
}

static void bound(struct service *s, const struct element *iq)
{
    const struct element *bind = element_child(iq, NS_BIND, "bind");
    const struct element *jid = bind ? element_child(bind, NS_BIND, "jid") : NULL;
    int64_t now = loop_now(s->proxy->loop);

    if (!jid) {
        drop(s, "Prosody gave the service account no address (bind failed)", 0);
        return;
    }
    set_state(s, SERVICE_READY, INT64_MAX / 2);
    s->backoff_ms = 0;
    s->said[0] = '\0';
    s->ping_is_out = false;
    s->heard = now;
    log_line(LOG_LEVEL_INFO, TAG, "logged in as %s", jid->text);
    s->callbacks->up(s->ctx, now);
}

/* Whoever knows our address may send us a "result": it must come from the room that was asked. */
static bool comes_from(struct service *s, const struct element *e, const char *room)
{
    const char *from = element_attribute(e, "from");
    struct jid address;
    struct muc_room at;
    bool no_memory = false, same = false;
    enum muc_place place;

    if (!room[0])
        return !from || strchr(from, '@') == NULL ||
               strcmp(from, s->proxy->config->service.jid) == 0;
    if (!from || jid_parse(from, strlen(from), &address) != JID_OK)
        return false;
    place = muc_locate(&s->proxy->config->xmpp, &address, &at, &no_memory);
    jid_done(&address);
    if (place == MUC_ELSEWHERE)
        return false;
    same = place == MUC_MAIN && strcmp(at.jid, room) == 0;
    muc_room_done(&at);
    return same;
}

static void answer(struct service *s, const struct element *e)
{
    const char *id = element_attribute(e, "id");
    const char *type = element_attribute(e, "type");
    const char *room = id ? pending_from(s->pending, id) : NULL;

    if (!room || !type || !comes_from(s, e, room))
        return;
    if (strcmp(type, "result") == 0)
        pending_answer(s->pending, id, ANSWER_OK, e);
    else if (strcmp(type, "error") == 0)
        pending_answer(s->pending, id, ANSWER_ERROR, e);
}

static void ready_message(struct service *s, const struct element *e, enum stanza_kind kind)
{
    switch (kind) {
    case STANZA_IQ:
    case STANZA_MESSAGE:
        answer(s, e);
        break;
    case STANZA_PRESENCE:
        s->callbacks->presence(s->ctx, e);
        break;
    default:
        break; /* nothing else is asked for */
    }
}

static void message(void *owner, const char *data, size_t len)
{
    struct service *s = owner;
    const struct parse_limits limits = {
        .bytes = len, .depth = 64, .elements = 1000000, .attributes = 256};
    const struct element *e = NULL;
    enum stanza_kind kind;

    s->heard = loop_now(s->proxy->loop);
    if (parser_read(s->proxy->parser, data, len, &limits, &e) != PARSE_OK) {
        /* Anybody may send it anything; what was asked for and cannot be read has its own deadline.
         */
        log_line(LOG_LEVEL_DEBUG, TAG, "a message that could not be read is ignored");
        return;
    }
    kind = stanza_kind(e);
    if (kind == STANZA_STREAM_ERROR || kind == STANZA_CLOSE) {
        char why[160];

        snprintf(why, sizeof why, "Prosody ended its stream%s%.100s", e->first_child ? ": " : "",
                 e->first_child ? e->first_child->name : "");
        drop(s, why, 0);
        return;
    }
    switch (s->state) {
    case SERVICE_FEATURES:
        if (kind == STANZA_FEATURES)
            begin_login(s, e);
        break;
    case SERVICE_LOGIN:
        login_step(s, e, kind);
        break;
    case SERVICE_RESTART:
        if (kind == STANZA_FEATURES)
            send_bind(s);
        break;
    case SERVICE_BINDING:
        if (kind == STANZA_IQ)
            bound(s, e);
        break;
    case SERVICE_READY:
        ready_message(s, e, kind);
        break;
    case SERVICE_OFF:
    case SERVICE_WAITING:
    case SERVICE_CONNECTING:
        break;
    }
}

static void closed(void *owner, uint16_t code, const char *reason, size_t len)
{
    struct service *s = owner;

    s->wsock = NULL;
    drop(s, "Prosody closed its connection", 0);
}

static void lost(void *owner, uint16_t code, const char *why)
{
    struct service *s = owner;

    s->wsock = NULL;
    drop(s, why, 0);
}

static const struct transport_callbacks wsock_events = {
    .message = message,
    .closed = closed,
    .lost = lost,
};

static void opened(void *owner, struct wsock *w)
{
    struct service *s = owner;

    s->upstream = NULL;
    s->wsock = w;
    wsock_adopt(w, &wsock_events, s);
    wsock_start(w);
    send_open(s, SERVICE_FEATURES);
}

static void failed(void *owner, int status, const char *why)
{
    struct service *s = owner;

    s->upstream = NULL;
    drop(s, why, 0);
}

static const struct upstream_callbacks upstream_events = {
    .opened = opened,
    .failed = failed,
};

static void attempt(struct service *s)
{
    const struct handshake_request request = {0};

    set_state(s, SERVICE_CONNECTING, LOGIN_STEP_MS);
    s->upstream = upstream_open(s->proxy->loop, &s->proxy->upstream, &request, &upstream_events, s);
    if (!s->upstream)
        drop(s, "out of memory", 0);
}

struct service *service_new(struct proxy *proxy, const struct service_callbacks *callbacks,
                            void *ctx)
{
    struct service *s = calloc(1, sizeof *s);
    uint64_t random;

    if (!s)
        return NULL;
    s->pending = pending_new();
    if (!s->pending) {
        free(s);
        return NULL;
    }
    s->proxy = proxy;
    s->callbacks = callbacks;
    s->ctx = ctx;
    loop_random(proxy->loop, &random, sizeof random);
    snprintf(s->id_prefix, sizeof s->id_prefix, "v%016llx", (unsigned long long)random);
    return s;
}

void service_start(struct service *s)
{
    if (!s->proxy->config->service.configured) {
        log_line(LOG_LEVEL_WARN, TAG,
                 "no service.jid is configured: lobby users are refused, all others go on");
        tell_refused(s, NOT_CONFIGURED);
        return;
    }
    attempt(s);
}

void service_restart(struct service *s)
{
    bool was_up = s->state != SERVICE_OFF;

    if (was_up)
        drop(s, "the configuration has changed", 0);
    s->backoff_ms = 0;
    s->said[0] = '\0';
    tell_refused(s, s->proxy->config->service.configured ? NULL : NOT_CONFIGURED);
    if (!s->proxy->config->service.configured)
        s->state = SERVICE_OFF;
    else if (was_up)
        set_state(s, SERVICE_WAITING, 0);
    else
        service_start(s);
}

void service_stop(struct service *s)
{
    struct buf out = BUF_INIT;

    upstream_cancel(s->upstream);
    s->upstream = NULL;
    if (s->wsock) {
        framing_close(&out);
        if (!out.failed)
            wsock_send(s->wsock, out.data, out.len);
        buf_done(&out);
        wsock_close(s->wsock, 1000, NULL, 0);
    }
    s->wsock = NULL;
    s->state = SERVICE_OFF;
}

void service_free(struct service *s)
{
    if (!s)
        return;
    service_stop(s);
    sasl_free(s->sasl);
    pending_free(s->pending);
    free(s);
}

const char *service_problem(const struct service *s)
{
    if (s->state == SERVICE_READY)
        return "";
    if (!s->proxy->config->service.configured)
        return NOT_CONFIGURED;
    return s->said[0] ? s->said : "it is logging in";
}

void service_make_id(struct service *s, char ret[SERVICE_ID_LEN])
{
    snprintf(ret, SERVICE_ID_LEN, "%s-%llu", s->id_prefix, (unsigned long long)++s->last_id);
}

bool service_send(struct service *s, const char *id, const char *room, const struct buf *stanza,
                  pending_callback callback, void *ctx)
{
    int64_t deadline = loop_now(s->proxy->loop) + s->proxy->config->lobby.hold_limit_ms;

    if (s->state != SERVICE_READY || stanza->failed)
        return false;
    if (callback && !pending_add(s->pending, id, room, deadline, callback, ctx))
        return false;
    wsock_send(s->wsock, stanza->data, stanza->len);
    return true;
}

bool service_forget(struct service *s, const char *id)
{
    return pending_forget(s->pending, id);
}

static void ping_answered(void *ctx, enum answer_status status, const struct element *iq)
{
    struct service *s = ctx;

    s->ping_is_out = false;
}

void service_ping(struct buf *out, const char *id)
{
    buf_printf(out, "<iq xmlns='" NS_CLIENT "' type='get' id='%s'><ping xmlns='" NS_PING "'/></iq>",
               id);
}

/* An error answers as well as a result. */
static void ping(struct service *s, int64_t now)
{
    char id[SERVICE_ID_LEN];
    struct buf out = BUF_INIT;

    service_make_id(s, id);
    service_ping(&out, id);
    s->ping_is_out = service_send(s, id, "", &out, ping_answered, s);
    buf_done(&out);
}

void service_tick(struct service *s, int64_t now)
{
    pending_tick(s->pending, now);
    switch (s->state) {
    case SERVICE_OFF:
        break;
    case SERVICE_WAITING:
        if (now >= s->deadline)
            attempt(s);
        break;
    case SERVICE_READY:
        if (now - s->heard > PING_AFTER_MS + PING_LIMIT_MS)
            drop(s, "Prosody does not answer pings", 0);
        else if (!s->ping_is_out && now - s->heard > PING_AFTER_MS)
            ping(s, now);
        break;
    default:
        if (now >= s->deadline)
            drop(s, "Prosody did not answer the login in time", 0);
        break;
    }
}
