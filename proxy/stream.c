/*
 * The life of a client's stream. What a newcomer gets wrong: stream_end may be called under any
 * callback, so it closes both ends at once and leaves the memory to the end of the turn.
 */
#include "proxy/stream.h"

#include "proxy/log.h"
#include "proxy/peers.h"
#include "proxy/rejections.h"
#include "proxy/roomlink.h"
#include "proxy/state.h"
#include "xmpp/framing.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct close_kind {
    const char *name;
    bool is_ordinary, is_refusal;
    uint16_t code;
    const char *error, *text;
};

static const struct close_kind close_kinds[] = {
#define CLOSE_KIND(name, ordinary, refusal, code, error, text)                                     \
    {#name, ordinary, refusal, code, error, text},
    CLOSE_REASONS(CLOSE_KIND)
#undef CLOSE_KIND
};

void stream_name(struct stream *s)
{
    const char *jid = s->session && s->session->full_jid ? s->session->full_jid : NULL;

    snprintf(s->tag, sizeof s->tag, jid ? "c%llu %s %.110s" : "c%llu %s",
             (unsigned long long)s->ordinal, s->address, jid);
}

void stream_forget_join(struct stream *s)
{
    loop_undefer(s->proxy->loop, &s->settle);
    loop_undefer(s->proxy->loop, &s->addressed);
    s->join = 0;
    s->proxy->owner_sets_held -= s->held_for == HELD_FOR_JOINS ? 1 : 0;
    s->held_for = HELD_NOT;
    free(s->held);
    free(s->held_room);
    s->held = s->held_room = NULL;
    s->held_len = 0;
}

void stream_forget_owner_set(struct stream *s, size_t i, int64_t now)
{
    if (!s->owner_sets[i].id)
        return;
    rooms_owner_set(s->proxy->rooms, s->owner_sets[i].room, true, now);
    free(s->owner_sets[i].id);
    free(s->owner_sets[i].room);
    s->owner_sets[i].id = s->owner_sets[i].room = NULL;
    if (s->proxy->owner_sets_held)
        loop_defer(s->proxy->loop, &s->proxy->owner_sets);
}

static void stream_free(struct stream *s)
{
    assert(!s->client && !s->server && !s->conn && !s->upstream && !s->session);
    loop_undefer(s->proxy->loop, &s->release);
    if (s->is_counted)
        peers_remove(s->proxy->peers, &s->key);
    *s->link = s->next;
    if (s->next)
        s->next->link = s->link;
    s->proxy->streams_len--;
    buf_done(&s->early);
    token_done(&s->token);
    token_done(&s->former_token);
    if (s->token_text)
        explicit_bzero(s->token_text, s->token_text_len);
    free(s->token_text);
    free(s->bind_id);
    free(s->resume_id);
    free(s->response);
    free(s->verdict_reason);
    free(s);
}

static void release(struct deferred *work)
{
    stream_free((struct stream *)((char *)work - offsetof(struct stream, release)));
}

static void settle(struct deferred *work)
{
    stream_carry_out((struct stream *)((char *)work - offsetof(struct stream, settle)));
}

static void addressed(struct deferred *work)
{
    stream_go_on_addressed((struct stream *)((char *)work - offsetof(struct stream, addressed)));
}

struct stream *stream_make(struct proxy *proxy, const struct peer_identity *identity)
{
    struct stream *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->proxy = proxy;
    s->session = session_new(s);
    if (!s->session) {
        free(s);
        return NULL;
    }
    s->state = STREAM_CONNECTING;
    s->opens = 1;
    memcpy(s->address, identity->address, sizeof s->address);
    s->key = identity->key;
    s->is_counted = true; /* the listener counted it */
    s->since = loop_now(proxy->loop);
    s->login_by = s->since + proxy->config->limits.handshake_timeout_ms;
    s->ordinal = ++proxy->last_ordinal;
    s->release.run = release;
    s->settle.run = settle;
    s->addressed.run = addressed;
    s->next = proxy->streams;
    s->link = &proxy->streams;
    if (s->next)
        s->next->link = &s->next;
    proxy->streams = s;
    proxy->streams_len++;
    return s;
}

/* Lets go of the rooms and of the session: held joins, owner forms in flight, places. */
static void leave(struct stream *s, bool clean)
{
    int64_t now = loop_now(s->proxy->loop);

    if (s->join)
        roomlink_cancel(s->proxy->link, s->join, now);
    stream_forget_join(s);
    for (size_t i = 0; i < STREAM_OWNER_SETS_MAX; i++)
        stream_forget_owner_set(s, i, now);
    if (s->session) {
        stream_remember_token(s);
        session_leave(s->proxy->sessions, s->session, clean, now);
    }
    s->session = NULL;
}

/* What the client is told beside the close frame (RFC 7395 section 3.6.1: an error comes in an open
 * stream, so one that Prosody had not opened yet is opened first). */
static void tell_error(struct stream *s, const char *condition, const char *text)
{
    struct buf out = BUF_INIT;

    if (!s->is_opened) {
        framing_open_answer(&out, s->proxy->config->xmpp.domain, "vestibule");
        transport_send(s->client, out.data, out.len);
        buf_clear(&out);
    }
    framing_stream_error(&out, condition, text);
    if (!out.failed)
        transport_send(s->client, out.data, out.len);
    buf_clear(&out);
    framing_close(&out);
    if (!out.failed)
        transport_send(s->client, out.data, out.len);
    buf_done(&out);
}

/* Prosody is told as the client would have: a stream that the proxy ends for an error is over, one
 * that broke may be resumed. */
static void close_server(struct stream *s, const struct close_kind *kind, bool is_over,
                         uint16_t code, const char *text, size_t len)
{
    struct buf out = BUF_INIT;

    if (is_over) {
        framing_close(&out);
        if (!out.failed)
            wsock_send(s->server, out.data, out.len);
        buf_done(&out);
        wsock_close(s->server, 1000, NULL, 0);
    } else {
        wsock_close(s->server, kind->code == CLOSE_CARRIED ? code : 0, text, len);
    }
    s->server = NULL;
}

/* Whether it is told: what a client is refused for is, once a minute for his address. */
static bool count_end(const struct stream *s, enum close_reason reason)
{
    enum rejection kind = (enum rejection)(REJECTION_CLOSE + reason);

    if (close_kinds[reason].is_refusal)
        return rejections_note(s->proxy->rejections, &s->key, kind, loop_now(s->proxy->loop));
    if (!close_kinds[reason].is_ordinary)
        rejections_count(s->proxy->rejections, kind);
    return true;
}

static void log_end(const struct stream *s, enum close_reason reason, const char *detail)
{
    const struct close_kind *kind = &close_kinds[reason];
    enum log_level level = kind->is_ordinary ? LOG_LEVEL_INFO : LOG_LEVEL_WARN;
    char age[32];

    if (!count_end(s, reason))
        level = LOG_LEVEL_DEBUG;
    if (!log_enabled(level))
        return;
    snprintf(age, sizeof age, "%.1f", (double)(loop_now(s->proxy->loop) - s->since) / 1000.0);
    log_event(level, s->tag, "stream ended", {"why", kind->name}, {"text", kind->text},
              {"detail", detail}, {"age_s", age, true});
}

/* Counts that differ (stream_sm.c) are known here alone: where the session is likely to go on at
 * another process, which would lose a stanza in silence, it is over, and the client begins anew. */
static bool is_lost_elsewhere(const struct stream *s)
{
    const struct proxy *p = s->proxy;

    return s->server && s->session && !sm_is_even(&s->session->sm) &&
           (p->stop.step != STOP_NOT || (p->state && state_is_shared(p->state)));
}

static void end(struct stream *s, enum close_reason reason, const char *detail, uint16_t code,
                const char *text, size_t len)
{
    const struct close_kind *kind = &close_kinds[reason];
    /* Who was silent may be cut off, and come back to his session by another way. */
    bool is_over = (kind->error && reason != CLOSE_IDLE) || is_lost_elsewhere(s);

    if (s->state == STREAM_ENDED)
        return;
    log_end(s, reason, detail);
    s->state = STREAM_ENDED;
    leave(s, s->is_closing || is_over);
    if (s->upstream)
        upstream_cancel(s->upstream);
    s->upstream = NULL;
    if (s->conn)
        conn_close(s->conn);
    s->conn = NULL;
    if (s->client && kind->error)
        tell_error(s, kind->error, detail ? detail : kind->text);
    if (s->client)
        transport_close(s->client, kind->code == CLOSE_CARRIED ? code : kind->code,
                        kind->code == CLOSE_CARRIED ? text : kind->text,
                        kind->code == CLOSE_CARRIED ? len : strlen(kind->text));
    s->client = NULL;
    if (s->server)
        close_server(s, kind, is_over, code, text, len);
    loop_defer(s->proxy->loop, &s->release);
}

void stream_end(struct stream *s, enum close_reason reason, const char *detail)
{
    end(s, reason, detail, 0, NULL, 0);
}

/* The two WebSockets. */

/* While it lasts nothing is seen through his stream: he counts as present, as a suspended one does,
 * and vouches for nothing. */
static void stalls(struct stream *s)
{
    int64_t now = loop_now(s->proxy->loop);

    if (s->full_since)
        return;
    s->full_since = now;
    if (s->session && s->session->full_jid)
        rooms_suspended(s->proxy->rooms, s->session->full_jid, now + 2 * STREAM_STALL_MS, now);
}

bool stream_send_client(struct stream *s, const char *data, size_t len)
{
    if (s->state != STREAM_OPEN)
        return false;
    transport_send(s->client, data, len);
    if (transport_is_full(s->client)) {
        wsock_stop(s->server, TRANSPORT_FULL);
        stalls(s);
    }
    /* The request behind the answer this goes with may find nobody: it tells him the end as well.
     */
    if (s->is_carried && s->proxy->stop.step == STOP_DRAINING && !s->join) {
        stream_end(s, CLOSE_SHUTDOWN, NULL);
        return false;
    }
    return true;
}

bool stream_send_server(struct stream *s, const char *data, size_t len)
{
    if (s->state != STREAM_OPEN)
        return false;
    wsock_send(s->server, data, len);
    if (wsock_is_full(s->server))
        transport_stop(s->client, TRANSPORT_FULL);
    return true;
}

static void client_message(void *owner, const char *data, size_t len)
{
    stream_client_message(owner, data, len);
}

static void client_closed(void *owner, uint16_t code, const char *text, size_t len)
{
    struct stream *s = owner;

    s->client = NULL;
    end(s, CLOSE_CLIENT_CLOSED, NULL, code, text, len);
}

/* Too large a message is told as Prosody tells it: as a stream error, which ends the session too.
 * One that could be resumed would only have it sent again. */
static void client_breaking(void *owner, uint16_t code)
{
    const struct close_kind *kind = &close_kinds[CLOSE_TOO_LARGE];

    if (code == kind->code)
        tell_error(owner, kind->error, kind->text);
}

static void client_lost(void *owner, uint16_t code, const char *why)
{
    struct stream *s = owner;

    s->client = NULL;
    if (code == close_kinds[CLOSE_TOO_LARGE].code)
        stream_end(s, CLOSE_TOO_LARGE, why);
    else if (code)
        end(s, CLOSE_FRAMING, why, code, why, strlen(why));
    else
        stream_end(s, CLOSE_CLIENT_LOST, NULL);
}

static void client_drained(void *owner)
{
    struct stream *s = owner;

    if (s->full_since && s->session && s->session->full_jid)
        rooms_resumed(s->proxy->rooms, s->session->full_jid, loop_now(s->proxy->loop));
    s->full_since = 0;
    if (s->server)
        wsock_go(s->server, TRANSPORT_FULL);
}

static void server_message(void *owner, const char *data, size_t len)
{
    stream_server_message(owner, data, len);
}

static void server_closed(void *owner, uint16_t code, const char *text, size_t len)
{
    struct stream *s = owner;

    s->server = NULL;
    end(s, CLOSE_PROSODY_CLOSED, NULL, code, text, len);
}

static void server_lost(void *owner, uint16_t code, const char *why)
{
    struct stream *s = owner;

    s->server = NULL;
    /* Sent again at every resumption, it would end every stream. */
    stream_end(s, code == 1009 ? CLOSE_SERVER_TOO_LARGE : CLOSE_PROSODY_LOST, why);
}

static void server_drained(void *owner)
{
    struct stream *s = owner;

    if (s->client)
        transport_go(s->client, TRANSPORT_FULL);
}

const struct transport_callbacks stream_client_events = {
    .message = client_message,
    .closed = client_closed,
    .breaking = client_breaking,
    .lost = client_lost,
    .drained = client_drained,
};

const struct transport_callbacks stream_server_events = {
    .message = server_message,
    .closed = server_closed,
    .lost = server_lost,
    .drained = server_drained,
};

static void tick(struct stream *s, const struct config *config, int64_t now)
{
    for (size_t i = 0; i < STREAM_OWNER_SETS_MAX; i++) {
        if (s->owner_sets[i].id && now - s->owner_sets[i].since > STREAM_OWNER_SET_MS)
            stream_forget_owner_set(s, i, now);
    }
    stream_tick_answers(s, now);
    stream_tick_token(s, now);
    if (!s->is_logged_in && now >= s->login_by)
        stream_end(s, CLOSE_HANDSHAKE_TIMEOUT, NULL);
    else if (s->full_since && now - s->full_since > STREAM_STALL_MS)
        stream_end(s, CLOSE_STALLED, NULL);
    else if (s->state == STREAM_OPEN &&
             now - transport_last_activity(s->client) > config->limits.idle_timeout_ms)
        stream_end(s, CLOSE_IDLE, NULL);
}

void streams_tick(struct proxy *proxy, int64_t now)
{
    struct stream *next;

    for (struct stream *s = proxy->streams; s; s = next) {
        next = s->next;
        if (s->state != STREAM_ENDED)
            tick(s, proxy->config, now);
    }
}

enum muc_place stream_locate(struct stream *s, const struct element *e, const char *attribute,
                             struct muc_room *ret, enum jid_result *ret_error)
{
    const char *text = element_attribute(e, attribute);
    struct jid address;
    enum muc_place place;
    bool no_memory = false;

    *ret_error = JID_OK;
    if (!text)
        return MUC_ELSEWHERE;
    *ret_error = jid_parse(text, strlen(text), &address);
    if (*ret_error == JID_NO_MEMORY)
        stream_end(s, CLOSE_NO_MEMORY, NULL);
    if (*ret_error != JID_OK)
        return MUC_ELSEWHERE;
    place = muc_locate(&s->proxy->config->xmpp, &address, ret, &no_memory);
    jid_done(&address);
    if (no_memory)
        stream_end(s, CLOSE_NO_MEMORY, NULL);
    return place;
}
