/*
 * The token of a stream: found in the handshake, judged there and again at login, and handed on to
 * the stream that resumes the session.
 */
#include "policy/keys.h"
#include "proxy/log.h"
#include "proxy/stream.h"
#include "xmpp/query.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static void judge(struct stream *s, const char *text, size_t len)
{
    token_done(&s->token);
    token_verify(text, len, &s->proxy->config->token, s->proxy->keys, (int64_t)time(NULL),
                 &s->token);
}

/* Whether the token may be judged soon: the key it names is on its way. */
static bool awaits_key(struct stream *s)
{
    const struct in6_addr network = peer_network(&s->key);
    struct keys_asker asker = {
        /* By another way than with this token anybody logs in, whatever kid it names. */
        .is_logged_in = s->login.is_done && s->login.is_anonymous && s->opens_main &&
                        s->login.token == LOGIN_TOKEN_KEPT,
    };

    _Static_assert(sizeof network == sizeof asker.place, "a network is a place");
    memcpy(asker.place, &network, sizeof network);
    return s->token.awaited_kid && s->proxy->keys &&
           keys_want(s->proxy->keys, s->token.awaited_kid, &asker, loop_now(s->proxy->loop));
}

/* Its text is kept until login: Prosody judges it then, and time, or its key's arrival, may have
 * made it valid. */
static void read_token_text(struct stream *s, const char *text, size_t len)
{
    judge(s, text, len);
    if (s->token.awaited_kid)
        log_event(LOG_LEVEL_INFO, s->tag, "the token's public key is not here",
                  {"kid", s->token.awaited_kid},
                  {"fetch", awaits_key(s) ? "on its way" : "not now"});
    else if (s->token.status != TOKEN_REFUSED)
        return;
    s->token_text = malloc(len + 1);
    if (!s->token_text) {
        token_done(&s->token);
        token_unjudged(&s->token, "out of memory");
        return;
    }
    memcpy(s->token_text, text, len);
    s->token_text_len = len;
}

static void forget_text(struct stream *s)
{
    explicit_bzero(s->token_text, s->token_text_len);
    free(s->token_text);
    s->token_text = NULL;
}

/* He is logged in, and the token as it is now stays. */
static void login_judged(struct stream *s)
{
    if (s->token_text)
        forget_text(s);
    s->token.is_doubted = s->login.token != LOGIN_TOKEN_KEPT;
    /* Prosody let him in with it and goes by it, whatever we think of it: fail closed. */
    if (s->token.status == TOKEN_REFUSED && s->login.token != LOGIN_TOKEN_FORGOTTEN &&
        s->opens_main && s->login.is_anonymous) {
        token_done(&s->token);
        token_unjudged(&s->token, "Prosody accepted a token that is refused here");
    }
}

/* Prosody has the key, else he would not be logged in: it is worth a moment of waiting. Held is
 * what he sends, so that no join of his comes before the token is judged. The door's own limit
 * counts on meanwhile. */
static void hold_for_key(struct stream *s)
{
    const struct config *config = s->proxy->config;
    int64_t now = loop_now(s->proxy->loop);
    int64_t limit = s->login_by - 1000;

    s->awaits_key = true;
    s->key_deadline = now + config->lobby.hold_timeout_ms;
    if (s->key_deadline > limit)
        s->key_deadline = limit;
    transport_stop(s->client, TRANSPORT_HELD);
}

void stream_judge_at_login(struct stream *s)
{
    if (s->awaits_key)
        return;
    if (s->token_text)
        judge(s, s->token_text, s->token_text_len);
    if (s->login.is_anonymous && s->state == STREAM_OPEN && awaits_key(s))
        hold_for_key(s);
    else
        login_judged(s);
}

static void key_settled(struct stream *s)
{
    s->awaits_key = false;
    log_line(LOG_LEVEL_DEBUG, s->tag, "the token was judged late: %s",
             s->token.status == TOKEN_VALID ? "valid" : s->token.reason);
    login_judged(s);
    if (s->state == STREAM_OPEN)
        stream_go_on(s);
}

void stream_tick_token(struct stream *s, int64_t now)
{
    if (s->awaits_key && now >= s->key_deadline)
        key_settled(s);
}

void streams_keys_changed(struct proxy *proxy)
{
    for (struct stream *s = proxy->streams; s; s = s->next) {
        if (s->state == STREAM_ENDED || !s->token_text || !s->token.awaited_kid)
            continue;
        /* Many may wait for keys that nobody has. */
        if (proxy->keys && !keys_find(proxy->keys, s->token.awaited_kid)) {
            if (s->awaits_key && !awaits_key(s))
                key_settled(s);
            continue;
        }
        judge(s, s->token_text, s->token_text_len);
        if (!s->awaits_key) {
            /* Not logged in yet: as at the handshake. */
            if (!s->token.awaited_kid && s->token.status != TOKEN_REFUSED)
                forget_text(s);
        } else if (!awaits_key(s)) {
            key_settled(s);
        }
    }
}

/* The URL's token wins over the header's (wire fact 2); the last of several in the URL is what
 * Prosody would take, and two are not ours to judge. */
void stream_read_token(struct stream *s, const struct http_head *request)
{
    const struct http_header *header = http_header(request, "authorization");
    char *value = NULL;
    size_t len = 0, count = 0;

    switch (query_get(request->query.at, request->query.len, "token", &value, &len, &count)) {
    case QUERY_OK:
        if (count > 1)
            token_unjudged(&s->token, "the URL has more than one token");
        else
            read_token_text(s, value, len);
        free(value);
        return;
    case QUERY_NO_MEMORY:
        token_unjudged(&s->token, "out of memory");
        return;
    case QUERY_ABSENT:
        break;
    }
    if (!header)
        return;
    if (http_header_count(request, "authorization") > 1)
        token_unjudged(&s->token, "more than one Authorization header");
    else if (header->value.len > 7) /* whatever these are: so does Jitsi's module (wire fact 2) */
        read_token_text(s, header->value.at + 7, header->value.len - 7);
}

/* For who resumes the session: the token it began with is what Prosody 0.12 goes by for ever. */
void stream_remember_token(struct stream *s)
{
    struct token *first = s->former_token.status == TOKEN_NONE ? &s->token : &s->former_token;

    token_done(&s->session->token);
    s->session->token = *first;
    *first = (struct token){0};
}

/* The newest valid token counts, and where there is none the old one still does (wire fact 27). */
void stream_inherit_token(struct stream *s, struct session *former)
{
    struct stream *old = former->stream;
    struct token *first = !old                                     ? &former->token
                          : old->former_token.status == TOKEN_NONE ? &old->token
                                                                   : &old->former_token;

    token_done(&s->former_token);
    s->former_token = *first;
    *first = (struct token){0};
}
