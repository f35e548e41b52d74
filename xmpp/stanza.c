/*
 * What a message of a client stream is. One table says it, for the parsed message of a client and
 * for the first tag of a server's message alike; what a newcomer gets wrong is that a stanza is one
 * only in jabber:client: <presence/> in any other namespace is no presence to Prosody.
 */
#include "xmpp/stanza.h"

#include "xmpp/ns.h"
#include "xmpp/slice.h"

#include <string.h>

#define SLICE(text)                                                                                \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }

static const struct {
    struct slice ns, name;
    enum stanza_kind kind;
} kinds[] = {
    {SLICE(NS_CLIENT), SLICE("presence"), STANZA_PRESENCE},
    {SLICE(NS_CLIENT), SLICE("message"), STANZA_MESSAGE},
    {SLICE(NS_CLIENT), SLICE("iq"), STANZA_IQ},
    {SLICE(NS_FRAMING), SLICE("open"), STANZA_OPEN},
    {SLICE(NS_FRAMING), SLICE("close"), STANZA_CLOSE},
    {SLICE(NS_SASL), SLICE("auth"), STANZA_SASL_AUTH},
    {SLICE(NS_SASL), SLICE("challenge"), STANZA_SASL_OTHER},
    {SLICE(NS_SASL), SLICE("response"), STANZA_SASL_OTHER},
    {SLICE(NS_SASL), SLICE("abort"), STANZA_SASL_OTHER},
    {SLICE(NS_SASL), SLICE("success"), STANZA_SASL_SUCCESS},
    {SLICE(NS_SASL), SLICE("failure"), STANZA_SASL_FAILURE},
    {SLICE(NS_SM), SLICE("enable"), STANZA_SM_ENABLE},
    {SLICE(NS_SM), SLICE("enabled"), STANZA_SM_ENABLED},
    {SLICE(NS_SM), SLICE("resume"), STANZA_SM_RESUME},
    {SLICE(NS_SM), SLICE("resumed"), STANZA_SM_RESUMED},
    {SLICE(NS_SM), SLICE("failed"), STANZA_SM_FAILED},
    {SLICE(NS_SM), SLICE("r"), STANZA_SM_REQUEST},
    {SLICE(NS_SM), SLICE("a"), STANZA_SM_ACK},
    {SLICE(NS_STREAMS), SLICE("features"), STANZA_FEATURES},
    {SLICE(NS_STREAMS), SLICE("error"), STANZA_STREAM_ERROR},
    {SLICE(NS_STREAMS), SLICE("stream"), STANZA_RAW_STREAM},
};
#undef SLICE

static enum stanza_kind find_kind(struct slice ns, struct slice name)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (slice_same(name, kinds[i].name) && slice_same(ns, kinds[i].ns))
            return kinds[i].kind;
    if (ns.len == 0 || slice_is(name, "presence") || slice_is(name, "message") ||
        slice_is(name, "iq"))
        return STANZA_UNQUALIFIED;
    return STANZA_OTHER;
}

enum stanza_kind stanza_kind(const struct element *root)
{
    return find_kind((struct slice){root->ns, strlen(root->ns)},
                     (struct slice){root->name, strlen(root->name)});
}

bool stanza_is_counted(enum stanza_kind kind)
{
    return kind == STANZA_PRESENCE || kind == STANZA_MESSAGE || kind == STANZA_IQ;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The xmlns attribute of the tag whose name ended at `at`; no value can be mistaken for one, since
 * attributes are walked one by one with their quotes. */
static struct slice peek_namespace(const char *at, const char *end)
{
    struct slice none = {"", 0};
    for (;;) {
        while (at < end && is_space(*at))
            at++;
        const char *name = at;
        while (at < end &&
               (*at > '>' || (*at != '=' && *at != '>' && *at != '/' && !is_space(*at))))
            at++;
        size_t name_len = (size_t)(at - name);
        while (at < end && is_space(*at))
            at++;
        if (at >= end || *at != '=')
            return none;
        at++;
        while (at < end && is_space(*at))
            at++;
        if (at >= end || (*at != '\'' && *at != '"'))
            return none;
        char quote = *at++;
        const char *value = at;
        at = memchr(at, quote, (size_t)(end - at));
        if (!at)
            return none;
        if (slice_is((struct slice){name, name_len}, "xmlns"))
            return (struct slice){value, (size_t)(at - value)};
        at++;
    }
}

enum stanza_kind stanza_peek(const char *msg, size_t len)
{
    static const char prefix[] = "stream:";
    const char *at = msg, *end = msg + len;
    if (len == 0 || *at++ != '<')
        return STANZA_UNQUALIFIED;
    struct slice name = {at, 0};
    while (at < end && (*at > '>' || (!is_space(*at) && *at != '>' && *at != '/')))
        at++;
    name.len = (size_t)(at - name.at);
    size_t prefix_len = sizeof(prefix) - 1;
    if (name.len > prefix_len && memcmp(name.at, prefix, prefix_len) == 0) {
        name.at += prefix_len;
        name.len -= prefix_len;
        return find_kind((struct slice){NS_STREAMS, strlen(NS_STREAMS)}, name);
    }
    return find_kind(peek_namespace(at, end), name);
}

static void add_attribute(struct buf *out, const char *name, const char *value)
{
    if (!value)
        return;
    buf_printf(out, " %s='", name);
    buf_add_xml(out, value);
    buf_add_str(out, "'");
}

void stanza_error(struct buf *out, const struct element *request, const char *to_jid,
                  const char *type, const char *condition, const char *text)
{
    const char *from = element_attribute(request, "from");
    buf_printf(out, "<%s xmlns='%s' type='error'", request->name, NS_CLIENT);
    add_attribute(out, "id", element_attribute(request, "id"));
    add_attribute(out, "from", element_attribute(request, "to"));
    add_attribute(out, "to", from ? from : to_jid);
    buf_printf(out, "><error type='%s'><%s xmlns='%s'/>", type, condition, NS_STANZA_ERRORS);
    if (text) {
        buf_printf(out, "<text xmlns='%s'>", NS_STANZA_ERRORS);
        buf_add_xml(out, text);
        buf_add_str(out, "</text>");
    }
    buf_printf(out, "</error></%s>", request->name);
}

void stanza_result(struct buf *out, const struct element *request, const char *to_jid)
{
    buf_printf(out, "<iq xmlns='%s' type='result'", NS_CLIENT);
    add_attribute(out, "id", element_attribute(request, "id"));
    add_attribute(out, "from", element_attribute(request, "to"));
    add_attribute(out, "to", to_jid);
    buf_add_str(out, "/>");
}
