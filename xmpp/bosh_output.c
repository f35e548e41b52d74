/*
 * The server's messages on their way into a <body/> (see bosh_output.h).
 *
 * What a newcomer gets wrong: hardly anything is changed. Every message over a WebSocket stands
 * alone, so it may stand in a <body/> as it is; <open/> and <close/> are the body's own attributes
 * there, and stream management is not offered, as the answers to requests are acknowledgement
 * enough.
 */
#include "xmpp/bosh_output.h"

#include "xmpp/markup.h"
#include "xmpp/ns.h"
#include "xmpp/parse.h"
#include "xmpp/stanza.h"

#include <stdlib.h>
#include <string.h>

#define NS_SM2 "urn:xmpp:sm:2"

void bosh_output_done(struct bosh_output *o)
{
    buf_done(&o->messages);
    free(o->id);
    free(o->from);
    *o = (struct bosh_output){0};
}

/* The few messages of a session that are looked into do not warrant a parser kept for each. NULL
 * with o->failed unset: the server sent what we cannot read. */
static const struct element *read_message(struct bosh_output *o, struct parser **ret,
                                          const char *data, size_t len)
{
    const struct parse_limits limits = {
        .bytes = len, .depth = 64, .elements = 10000, .attributes = 256};
    const struct element *root = NULL;
    enum parse_result result = PARSE_NO_MEMORY;
    *ret = parser_new();
    if (*ret)
        result = parser_read(*ret, data, len, &limits, &root);
    if (result == PARSE_NO_MEMORY)
        o->failed = true;
    return result == PARSE_OK ? root : NULL;
}

static char *copy(struct bosh_output *o, const char *text)
{
    char *result = text ? strdup(text) : NULL;
    if (text && !result)
        o->failed = true;
    return result;
}

/* Only the first is of interest: it names the stream in the answer that creates the session. */
static void take_open(struct bosh_output *o, const char *data, size_t len)
{
    struct parser *parser = NULL;
    if (o->is_open)
        return;
    o->is_open = true;
    const struct element *root = read_message(o, &parser, data, len);
    if (root) {
        o->id = copy(o, element_attribute(root, "id"));
        o->from = copy(o, element_attribute(root, "from"));
    }
    parser_free(parser);
}

static bool is_stream_management(const struct element *e)
{
    return element_is(e, NS_SM, "sm") || element_is(e, NS_SM2, "sm");
}

static void add_features(struct bosh_output *o, const char *data, size_t len)
{
    struct parser *parser = NULL;
    const struct element *root = read_message(o, &parser, data, len);
    const char *from = data, *end = data + len, *child = NULL;
    const char *at = markup_tag(data, end).end;
    size_t child_len = 0;
    for (const struct element *e = root ? root->first_child : NULL; e; e = e->next) {
        if (!markup_child(&at, end, &child, &child_len))
            break;
        if (is_stream_management(e)) {
            buf_add(&o->messages, from, (size_t)(child - from));
            from = at;
        }
    }
    buf_add(&o->messages, from, (size_t)(end - from));
    parser_free(parser);
}

void bosh_output_add(struct bosh_output *o, const char *data, size_t len)
{
    switch (stanza_peek(data, len)) {
    case STANZA_OPEN:
        take_open(o, data, len);
        break;
    case STANZA_CLOSE:
        o->is_closed = true;
        break;
    case STANZA_FEATURES:
        add_features(o, data, len);
        break;
    case STANZA_STREAM_ERROR:
        o->has_error = true;
        buf_add(&o->messages, data, len);
        break;
    default:
        buf_add(&o->messages, data, len);
        break;
    }
    o->failed = o->failed || o->messages.failed;
}
