/*
 * See parse_plain.h. What a newcomer gets wrong: this is no parser, and must not become one. It may
 * refuse whatever it likes, but what it accepts libxml2 and expat must both accept, as that one
 * stanza; the fuzz target parse holds it to that.
 *
 * The last byte is '>', which is seen to first. So whatever has taken any other byte knows that one
 * more follows; only what takes a '>' looks whether that was the end.
 */
#include "xmpp/parse_plain.h"

#include "xmpp/find.h"
#include "xmpp/ns.h"
#include "xmpp/parse_scan.h"
#include "xmpp/slice.h"

#include <string.h>

/* Beyond these a message is not plain; parser_read knows the true limits. */
#define DEPTH_MAX 32
#define ATTRIBUTES_MAX 16
#define DECLARATIONS_MAX 64
#define NAME_MAX_LEN 256

struct plain {
    const char *at, *end;
    struct slice *open; /* DEPTH_MAX of them; outside, so that the rest may live in registers */
    size_t depth_max, elements_max, attributes_max;
    size_t depth, elements, declarations;
    size_t spelled; /* as parse.c counts it, or more */
    enum stanza_kind kind;
};

/* Of two names, which have a first byte: most differ there. */
static bool same(struct slice a, struct slice b)
{
    return a.len == b.len && a.at[0] == b.at[0] && memcmp(a.at, b.at, a.len) == 0;
}

/* What may stand in a name, what it may begin with, and what stands between names. */
enum { IN_NAME = 1, BEGINS_NAME = 2, SPACE = 4 };

#define LETTER (IN_NAME | BEGINS_NAME)
static const unsigned char classes[256] = {
    ['a' ... 'z'] = LETTER, ['A' ... 'Z'] = LETTER, ['_'] = LETTER, ['0' ... '9'] = IN_NAME,
    ['-'] = IN_NAME,        ['.'] = IN_NAME,        [' '] = SPACE,  ['\t'] = SPACE,
    ['\r'] = SPACE,         ['\n'] = SPACE,
};
#undef LETTER

static bool is(char c, unsigned char class)
{
    return (classes[(unsigned char)c] & class) != 0;
}

static size_t left(const struct plain *p)
{
    return (size_t)(p->end - p->at);
}

static bool take(struct plain *p, char c)
{
    if (*p->at != c)
        return false;
    p->at++;
    return true;
}

static void skip_space(struct plain *p)
{
    while (is(*p->at, SPACE))
        p->at++;
}

static bool take_name(struct plain *p, struct slice *ret)
{
    size_t len = 1;

    if (!is(p->at[0], BEGINS_NAME))
        return false;
    while (is(p->at[len], IN_NAME))
        len++;
    *ret = (struct slice){p->at, len};
    p->at += len;
    return len <= NAME_MAX_LEN;
}

/* Names that begin so are XML's own (XML 1.0 section 2.3). */
static bool is_reserved(struct slice name)
{
    return (name.at[0] | 0x20) == 'x' && name.len >= 3 && (name.at[1] | 0x20) == 'm' &&
           (name.at[2] | 0x20) == 'l';
}

static size_t entity_len(const char *s, size_t len)
{
    static const char *const entities[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&apos;"};

    for (size_t i = 0; i < sizeof entities / sizeof entities[0]; i++) {
        size_t entity = strlen(entities[i]);

        if (len >= entity && memcmp(s, entities[i], entity) == 0)
            return entity;
    }
    return 0;
}

/* The length of what find_markup or find_quote stopped at where it ends nothing: an entity, white
 * space, a character of more than one byte. 0: none of these. */
static size_t odd_len(const char *s, size_t len)
{
    if (*s == '&')
        return entity_len(s, len);
    if ((unsigned char)*s >= 0x80)
        return parse_multibyte((const unsigned char *)s, len);
    return is(*s, SPACE) ? 1 : 0;
}

/* With its quotes. */
static bool take_value(struct plain *p)
{
    const char quote = *p->at;
    size_t odd = 1;

    if (quote != '\'' && quote != '"')
        return false;
    do {
        p->at += odd;
        p->at += find_quote(p->at, left(p), quote);
        if (p->at == p->end)
            return false;
        if (*p->at == quote) {
            p->at++;
            return true;
        }
        odd = odd_len(p->at, left(p));
    } while (odd > 0);
    return false;
}

/* The default namespace. Those of XML itself may not be declared so, and an empty one, or one that
 * is no plain name, is better left to those who know. */
static bool declares(struct plain *p, struct slice value)
{
    static const char reserved[] = "http://www.w3.org/";

    p->spelled += value.len;
    if (++p->declarations > DECLARATIONS_MAX)
        return false;
    if (p->depth == 0)
        return slice_is(value, NS_CLIENT);
    return value.len > 0 && find_markup(value.at, value.len) == value.len &&
           !memchr(value.at, ' ', value.len) &&
           (value.len < strlen(reserved) || memcmp(value.at, reserved, strlen(reserved)) != 0);
}

/* xml:lang, the one name with a prefix: "xml" was taken, or something else. */
static bool take_language(struct plain *p, struct slice *name)
{
    struct slice local;

    if (!slice_is(*name, "xml") || !take(p, ':') || !take_name(p, &local) ||
        !slice_is(local, "lang"))
        return false;
    name->len = strlen("xml:lang");
    p->spelled += strlen("http://www.w3.org/XML/1998/namespace");
    return true;
}

static bool take_attribute(struct plain *p, struct slice *ret_name)
{
    const char *value;
    bool is_declaration;

    if (!take_name(p, ret_name))
        return false;
    is_declaration = slice_is(*ret_name, "xmlns");
    if (is_reserved(*ret_name) && !is_declaration && !take_language(p, ret_name))
        return false;
    if (!take(p, '='))
        return false;
    value = p->at + 1;
    if (!take_value(p))
        return false;
    return !is_declaration || declares(p, (struct slice){value, (size_t)(p->at - 1 - value)});
}

/* The attributes up to the end of the tag; no name twice. */
static bool take_attributes(struct plain *p)
{
    struct slice names[ATTRIBUTES_MAX];

    for (size_t len = 0;; len++) {
        bool is_apart = is(*p->at, SPACE);

        skip_space(p);
        if (*p->at == '>' || *p->at == '/')
            return p->depth > 0 || p->declarations == 1; /* the root's namespace is its own */
        if (!is_apart || len == p->attributes_max || !take_attribute(p, &names[len]))
            return false;
        for (size_t i = 0; i < len; i++) {
            if (same(names[i], names[len]))
                return false;
        }
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

    if (p->depth >= p->depth_max || ++p->elements > p->elements_max || !take_name(p, &name) ||
        is_reserved(name))
        return false;
    if (p->depth == 0) {
        p->kind = kind_of(name);
        if (p->kind == STANZA_OTHER)
            return false;
    }
    if (!take_attributes(p))
        return false;
    if (take(p, '/'))
        return take(p, '>');
    p->open[p->depth++] = name;
    return take(p, '>');
}

static bool take_end(struct plain *p)
{
    struct slice name;

    if (p->depth == 0)
        return false;
    name = p->open[--p->depth]; /* a longer one does not end there */
    if (left(p) <= name.len || memcmp(p->at, name.at, name.len) != 0)
        return false;
    p->at += name.len;
    skip_space(p);
    return take(p, '>');
}

/* Up to the next tag, which mostly follows at once. */
static bool take_text(struct plain *p)
{
    const char *from = p->at;
    size_t odd = 0;

    for (; p->at < p->end && *p->at != '<'; p->at += odd) {
        p->at += find_markup(p->at, left(p));
        if (p->at == p->end || *p->at == '<')
            break;
        /* "]]>" is none of it (XML 1.0 section 2.4). */
        if (*p->at == '>')
            odd = p->at - from >= 2 && p->at[-1] == ']' && p->at[-2] == ']' ? 0 : 1;
        else
            odd = odd_len(p->at, left(p));
        if (odd == 0)
            return false;
    }
    return p->at < p->end;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

enum stanza_kind parse_plain(const char *msg, size_t len, const struct parse_limits *limits)
{
    struct slice open[DEPTH_MAX];
    struct plain p;

    if (len > limits->bytes || len == 0 || msg[len - 1] != '>')
        return STANZA_OTHER;
    p.at = msg;
    p.end = msg + len;
    p.open = open;
    p.depth_max = least(limits->depth, DEPTH_MAX);
    p.elements_max = limits->elements;
    p.attributes_max = least(limits->attributes, ATTRIBUTES_MAX);
    p.depth = p.elements = p.declarations = p.spelled = 0;
    p.kind = STANZA_OTHER;
    do {
        if (!take(&p, '<') || !(take(&p, '/') ? take_end(&p) : take_start(&p)))
            return STANZA_OTHER;
    } while (p.depth > 0 && take_text(&p));
    return p.depth == 0 && p.at == p.end && p.spelled <= limits->bytes ? p.kind : STANZA_OTHER;
}
