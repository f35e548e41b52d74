/*
 * See parse_plain.h. What a newcomer gets wrong: this is no parser, and must not become one. It may
 * refuse whatever it likes, but what it accepts libxml2 and expat must both accept, as that one
 * stanza; the fuzz target parse holds it to that.
 */
#include "xmpp/parse_plain.h"

#include "xmpp/find.h"
#include "xmpp/ns.h"
#include "xmpp/parse_scan.h"

#include <string.h>

/* Beyond these a message is not plain; parser_read knows the true limits. */
#define DEPTH_MAX 32
#define ATTRIBUTES_MAX 16
#define DECLARATIONS_MAX 64
#define NAME_MAX_LEN 256

struct slice {
    const char *at;
    size_t len;
};

struct plain {
    const char *at, *end;
    const struct parse_limits *limits;
    struct slice open[DEPTH_MAX];
    size_t depth, elements, declarations;
    size_t spelled; /* as parse.c counts it, or more */
    enum stanza_kind kind;
};

static bool slice_is(struct slice s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.at, text, s.len) == 0;
}

static bool same(struct slice a, struct slice b)
{
    return a.len == b.len && memcmp(a.at, b.at, a.len) == 0;
}

/* What may stand in a name, and what it may begin with. */
enum { IN_NAME = 1, BEGINS_NAME = 2 };

#define LETTER (IN_NAME | BEGINS_NAME)
static const unsigned char name_class[256] = {
    ['a' ... 'z'] = LETTER,  ['A' ... 'Z'] = LETTER, ['_'] = LETTER,
    ['0' ... '9'] = IN_NAME, ['-'] = IN_NAME,        ['.'] = IN_NAME,
};
#undef LETTER

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static size_t left(const struct plain *p)
{
    return (size_t)(p->end - p->at);
}

static bool take(struct plain *p, const char *text)
{
    size_t len = strlen(text);

    if (left(p) < len || memcmp(p->at, text, len) != 0)
        return false;
    p->at += len;
    return true;
}

static bool take_name(struct plain *p, struct slice *ret)
{
    const char *from = p->at, *at = from, *end = p->end;

    if (at == end || !(name_class[(unsigned char)*at] & BEGINS_NAME))
        return false;
    while (at < end && name_class[(unsigned char)*at])
        at++;
    p->at = at;
    *ret = (struct slice){from, (size_t)(at - from)};
    return ret->len <= NAME_MAX_LEN;
}

/* Names that begin so are XML's own (XML 1.0 section 2.3). */
static bool is_reserved(struct slice name)
{
    return name.len >= 3 && (name.at[0] | 0x20) == 'x' && (name.at[1] | 0x20) == 'm' &&
           (name.at[2] | 0x20) == 'l';
}

static bool take_entity(struct plain *p)
{
    return take(p, "&amp;") || take(p, "&lt;") || take(p, "&gt;") || take(p, "&quot;") ||
           take(p, "&apos;");
}

/* What find_stop stopped at and neither ends the text nor begins something: an entity, white space,
 * a character of more than one byte. */
static bool take_odd(struct plain *p)
{
    size_t step = 1;

    if (*p->at == '&')
        return take_entity(p);
    if ((unsigned char)*p->at >= 0x80)
        step = parse_multibyte((const unsigned char *)p->at, left(p));
    else if (!is_space(*p->at))
        return false;
    p->at += step;
    return step > 0;
}

static bool take_value(struct plain *p, struct slice *ret)
{
    char quote = p->at < p->end ? *p->at : 0;
    const char stops[3] = {'<', '&', quote};
    const char *from = p->at + 1;

    if (quote != '\'' && quote != '"')
        return false;
    for (p->at++;;) {
        p->at += find_stop(p->at, left(p), stops);
        if (p->at == p->end || *p->at == '<')
            return false;
        if (*p->at == quote)
            break;
        if (!take_odd(p))
            return false;
    }
    *ret = (struct slice){from, (size_t)(p->at - from)};
    p->at++;
    return true;
}

/* The default namespace. Those of XML itself may not be declared so, and an empty one, or one that
 * is no plain name, is better left to those who know. */
static bool declares(struct plain *p, struct slice value)
{
    static const char reserved[] = "http://www.w3.org/";

    p->spelled += value.len;
    if (p->depth == 0)
        return ++p->declarations <= DECLARATIONS_MAX && slice_is(value, NS_CLIENT);
    return ++p->declarations <= DECLARATIONS_MAX && value.len > 0 &&
           find_stop(value.at, value.len, " &>") == value.len &&
           (value.len < strlen(reserved) || memcmp(value.at, reserved, strlen(reserved)) != 0);
}

static bool take_attribute(struct plain *p, struct slice *ret_name)
{
    struct slice name, value;
    bool is_language = take(p, "xml:lang");

    if (is_language) {
        name = (struct slice){p->at - strlen("xml:lang"), strlen("xml:lang")};
        p->spelled += strlen("http://www.w3.org/XML/1998/namespace");
    } else if (!take_name(p, &name)) {
        return false;
    }
    if (!take(p, "=") || !take_value(p, &value))
        return false;
    *ret_name = name;
    if (slice_is(name, "xmlns"))
        return declares(p, value);
    return is_language || !is_reserved(name);
}

/* The attributes up to the end of the tag; no name twice. */
static bool take_attributes(struct plain *p)
{
    struct slice names[ATTRIBUTES_MAX];
    size_t len = 0;

    for (;;) {
        const char *before = p->at;

        while (p->at < p->end && is_space(*p->at))
            p->at++;
        if (p->at == p->end)
            return false;
        if (*p->at == '>' || *p->at == '/')
            return p->depth > 0 || p->declarations == 1; /* the root's namespace is its own */
        if (p->at == before || len == ATTRIBUTES_MAX || len == p->limits->attributes ||
            !take_attribute(p, &names[len]))
            return false;
        for (size_t i = 0; i < len; i++) {
            if (same(names[i], names[len]))
                return false;
        }
        len++;
    }
}

static enum stanza_kind kind_of(struct slice name)
{
    return slice_is(name, "message")    ? STANZA_MESSAGE
           : slice_is(name, "presence") ? STANZA_PRESENCE
           : slice_is(name, "iq")       ? STANZA_IQ
                                        : STANZA_OTHER;
}

static bool take_start(struct plain *p)
{
    struct slice name;

    if (!take_name(p, &name) || is_reserved(name) || !take_attributes(p) ||
        ++p->elements > p->limits->elements || p->depth + 1 > p->limits->depth ||
        p->depth == DEPTH_MAX)
        return false;
    if (p->depth == 0)
        p->kind = kind_of(name);
    if (p->kind == STANZA_OTHER)
        return false;
    if (take(p, "/>"))
        return true;
    p->open[p->depth++] = name;
    return take(p, ">");
}

static bool take_end(struct plain *p)
{
    struct slice name;

    if (p->depth == 0)
        return false;
    name = p->open[--p->depth]; /* a longer one does not end there */
    if (left(p) < name.len || memcmp(p->at, name.at, name.len) != 0)
        return false;
    p->at += name.len;
    while (p->at < p->end && is_space(*p->at))
        p->at++;
    return take(p, ">");
}

/* Up to the next tag. */
static bool take_text(struct plain *p)
{
    const char *from = p->at;

    for (;;) {
        p->at += find_stop(p->at, left(p), "<&>");
        if (p->at == p->end)
            return false;
        if (*p->at == '<')
            return true;
        if (*p->at == '>') {
            /* "]]>" is none of it (XML 1.0 section 2.4). */
            if (p->at - from >= 2 && p->at[-1] == ']' && p->at[-2] == ']')
                return false;
            p->at++;
        } else if (!take_odd(p)) {
            return false;
        }
    }
}

enum stanza_kind parse_plain(const char *msg, size_t len, const struct parse_limits *limits)
{
    struct plain p;

    if (len > limits->bytes)
        return STANZA_OTHER;
    p.at = msg;
    p.end = msg + len;
    p.limits = limits;
    p.depth = p.elements = p.declarations = p.spelled = 0;
    do {
        if (!take(&p, "<") || !(take(&p, "/") ? take_end(&p) : take_start(&p)))
            return STANZA_OTHER;
    } while (p.depth > 0 && take_text(&p));
    return p.depth == 0 && p.at == p.end && p.spelled <= limits->bytes ? p.kind : STANZA_OTHER;
}
