/*
 * The token of a stream: found in the handshake, judged there and again at login, and handed on to
 * the stream that resumes the session.
 */
#include "proxy/stream.h"
#include "xmpp/query.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Its text is kept until login: Prosody judges it then, and time may have made it valid. */
static void read_token_text(struct stream *s, const char *text, size_t len)
{
    token_verify(text, len, &s->proxy->config->token, s->proxy->keys, (int64_t)time(NULL),
                 &s->token);
    if (s->token.status != TOKEN_REFUSED)
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

void stream_judge_at_login(struct stream *s)
{
    struct token now;

    if (!s->token_text)
        return;
    token_verify(s->token_text, s->token_text_len, &s->proxy->config->token, s->proxy->keys,
                 (int64_t)time(NULL), &now);
    token_done(&s->token);
    s->token = now;
    explicit_bzero(s->token_text, s->token_text_len);
    free(s->token_text);
    s->token_text = NULL;
    /* Prosody let him in with it and goes by it, whatever we think of it: fail closed. */
    if (s->token.status == TOKEN_REFUSED && !s->was_refused && s->opens_main && s->is_anonymous) {
        token_done(&s->token);
        token_unjudged(&s->token, "Prosody accepted a token that is refused here");
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
    else if (header->value.len > 7 && strncasecmp(header->value.at, "Bearer ", 7) == 0)
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
    if (s->token.status == TOKEN_NONE || s->token.status == TOKEN_REFUSED)
        s->was_refused = old && old->was_refused;
}
