/*
 * One BOSH entity to messages as RFC 7395 carries them (see bosh.h).
 *
 * What a newcomer gets wrong: a child's bytes alone are not what the client wrote. Its prefixes,
 * its language and above all its namespace come from <body/>: "<presence/>" without one of its own
 * is in the namespace of BOSH there, and a stanza for Prosody all the same. So the parser reads the
 * whole entity, and each child is written anew with what it inherited: what is decided on and what
 * is sent on are then the same bytes.
 */
#include "xmpp/bosh.h"

#include "xmpp/markup.h"
#include "xmpp/ns.h"

#include <stdlib.h>
#include <string.h>

/* Of namespaces in a body: each stanza declares a few, and is read again with the limit for one. */
#define DECLARATIONS_MAX 4096

/* What all children together may grow by through what they inherit. */
#define INHERITED_MAX 65536

/* --- Attributes of <body/> --- */

/* A whole number of digits alone; -1 for anything else. */
static int64_t read_number(const char *text)
{
    int64_t value = 0;
    if (!text || text[0] == '\0')
        return -1;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return -1;
        value = value * 10 + (*text - '0');
        if (value > BOSH_RID_MAX)
            return -1;
    }
    return value;
}

static bool asks_for_restart(const struct element *root)
{
    for (const struct attribute *a = root->attributes; a; a = a->next)
        if (strcmp(a->ns, NS_XBOSH) == 0 && strcmp(a->name, "restart") == 0)
            return strcmp(a->value, "true") == 0 || strcmp(a->value, "1") == 0;
    return false;
}

static size_t copied_len(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

static const char *copy_to(char **to, const char *text)
{
    size_t len = copied_len(text);
    const char *copy = len ? memcpy(*to, text, len) : NULL;
    *to += len;
    return copy;
}

static bool read_attributes(struct bosh_body *body, const struct element *root)
{
    const char *sid = element_attribute(root, "sid"), *to = element_attribute(root, "to");
    const char *type = element_attribute(root, "type");
    char *at = malloc(copied_len(sid) + copied_len(to) + copied_len(type) + 1);
    if (!at)
        return false;
    body->memory = at;
    body->sid = copy_to(&at, sid);
    body->to = copy_to(&at, to);
    body->type = copy_to(&at, type);
    body->rid = read_number(element_attribute(root, "rid"));
    body->wait_s = read_number(element_attribute(root, "wait"));
    body->hold = read_number(element_attribute(root, "hold"));
    body->pause_s = read_number(element_attribute(root, "pause"));
    body->restart = asks_for_restart(root);
    body->has_key = element_attribute(root, "key") || element_attribute(root, "newkey");
    return true;
}

/* --- Its children --- */

static bool is_inherited(const struct markup_attribute *a)
{
    return (a->name_len > 6 && memcmp(a->name, "xmlns:", 6) == 0) ||
           (a->name_len == 8 && memcmp(a->name, "xml:lang", 8) == 0);
}

static void add_attribute(struct buf *out, const struct markup_attribute *a)
{
    buf_add_str(out, " ");
    buf_add(out, a->name, (size_t)(a->end - a->name));
}

static void add_inherited(struct buf *out, const struct markup_tag *body,
                          const struct markup_tag *child)
{
    struct markup_attribute a, own;
    for (const char *at = body->rest; markup_attribute(body, &at, &a);)
        if (is_inherited(&a) && !markup_find(child, a.name, a.name_len, &own))
            add_attribute(out, &a);
}

static bool is_prefixed(const struct markup_tag *tag)
{
    return memchr(tag->name, ':', tag->name_len) != NULL;
}

/* The default namespace a child without a declaration of its own finds on <body/>; for one that has
 * a prefix it still holds for what is in it. */
static void add_default_namespace(struct buf *out, const struct markup_tag *body)
{
    struct markup_attribute a;
    bool is_declared = markup_find(body, "xmlns", 5, &a);
    if (!is_prefixed(body) || (is_declared && a.value_len == strlen(NS_BOSH) &&
                               memcmp(a.value, NS_BOSH, a.value_len) == 0))
        buf_add_str(out, " xmlns='" NS_CLIENT "'");
    else if (is_declared)
        add_attribute(out, &a);
}

static void add_child(struct buf *out, const struct markup_tag *body, const char *data, size_t len,
                      const struct element *e)
{
    struct markup_tag tag = markup_tag(data, data + len);
    struct markup_attribute own;
    const char *rest = tag.rest;
    bool has_own = markup_find(&tag, "xmlns", 5, &own);
    bool is_client =
        !is_prefixed(&tag) && (strcmp(e->ns, NS_BOSH) == 0 || (e->ns[0] == '\0' && !has_own));
    buf_add(out, data, (size_t)(rest - data));
    add_inherited(out, body, &tag);
    if (is_client)
        buf_add_str(out, " xmlns='" NS_CLIENT "'");
    else if (!has_own)
        add_default_namespace(out, body);
    if (is_client && has_own) {
        buf_add(out, rest, (size_t)(own.name - rest));
        rest = own.end;
    }
    buf_add(out, rest, (size_t)(data + len - rest));
}

static bool is_blank(const char *text)
{
    return text[strspn(text, " \t\r\n")] == '\0';
}

static enum bosh_result read_children(struct bosh_body *body, const char *data, size_t len,
                                      const struct element *root, enum parse_result *ret_parse,
                                      const char **ret_why)
{
    const char *end = data + len, *child = NULL;
    struct markup_tag tag = markup_tag(data, end);
    const char *at = tag.end;
    size_t child_len = 0;
    for (const struct element *e = root->first_child; e; e = e->next) {
        if (body->messages_len == BOSH_CHILDREN_MAX) {
            *ret_why = "too many stanzas in a body";
            return BOSH_BAD_REQUEST;
        }
        if (!markup_child(&at, end, &child, &child_len)) { /* never: the parser saw as many */
            *ret_why = parse_result_text(*ret_parse = PARSE_NOT_WELL_FORMED);
            return BOSH_BAD_XML;
        }
        add_child(&body->messages, &tag, child, child_len, e);
        if (body->messages.len > len + INHERITED_MAX) {
            *ret_why = parse_result_text(*ret_parse = PARSE_TOO_LARGE);
            return BOSH_BAD_XML;
        }
        body->ends[body->messages_len++] = body->messages.len;
    }
    return body->messages.failed ? BOSH_NO_MEMORY : BOSH_OK;
}

static enum bosh_result read_root(struct bosh_body *body, const char *data, size_t len,
                                  const struct element *root, enum parse_result *ret_parse,
                                  const char **ret_why)
{
    *ret_why = NULL;
    if (!element_is(root, NS_BOSH, "body"))
        *ret_why = "no body element of BOSH";
    else if (read_number(element_attribute(root, "rid")) <= 0)
        *ret_why = "no rid, or not a positive number";
    else if (!is_blank(root->text))
        *ret_why = "text between the stanzas of a body";
    if (*ret_why)
        return BOSH_BAD_REQUEST;
    if (!read_attributes(body, root))
        return BOSH_NO_MEMORY;
    return read_children(body, data, len, root, ret_parse, ret_why);
}

enum bosh_result bosh_read(struct parser *parser, const char *data, size_t len,
                           const struct parse_limits *limits, struct bosh_body *ret,
                           enum parse_result *ret_parse, const char **ret_why)
{
    /* Each message is read again by itself, with its own limits. */
    const struct parse_limits whole = {.bytes = limits->bytes,
                                       .depth = limits->depth + 1,
                                       .elements = limits->elements + BOSH_CHILDREN_MAX + 1,
                                       .attributes = limits->attributes,
                                       .declarations = DECLARATIONS_MAX};
    const struct element *root = NULL;
    struct bosh_body body = {0};
    enum bosh_result result;
    *ret_parse = parser_read(parser, data, len, &whole, &root);
    if (*ret_parse != PARSE_OK) {
        *ret_why = parse_result_text(*ret_parse);
        return *ret_parse == PARSE_NO_MEMORY ? BOSH_NO_MEMORY : BOSH_BAD_XML;
    }
    result = read_root(&body, data, len, root, ret_parse, ret_why);
    if (result == BOSH_NO_MEMORY)
        *ret_why = parse_result_text(PARSE_NO_MEMORY);
    if (result == BOSH_OK)
        *ret = body;
    else
        bosh_body_done(&body);
    return result;
}

void bosh_body_done(struct bosh_body *body)
{
    buf_done(&body->messages);
    free(body->memory);
    *body = (struct bosh_body){0};
}

static bool is_body(const struct markup_tag *tag)
{
    static const char name[] = "body";
    const size_t len = sizeof(name) - 1;
    return tag->name_len >= len && memcmp(tag->name + tag->name_len - len, name, len) == 0 &&
           (tag->name_len == len || tag->name[tag->name_len - len - 1] == ':');
}

bool bosh_peek_sid(const char *data, size_t len, const char **ret, size_t *ret_len)
{
    const char *at = data, *end = data + len;
    struct markup_attribute sid;
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\n'))
        at++;
    if (at == end || *at != '<')
        return false;
    const struct markup_tag tag = markup_tag(at, end);
    if (!is_body(&tag) || !markup_find(&tag, "sid", 3, &sid))
        return false;
    *ret = sid.value;
    *ret_len = sid.value_len;
    return true;
}

void bosh_terminate_body(struct buf *out, const char *condition)
{
    buf_add_str(out, "<body xmlns='" NS_BOSH "' type='terminate'");
    if (condition) {
        buf_add_str(out, " condition='");
        buf_add_xml(out, condition);
        buf_add_str(out, "'");
    }
    buf_add_str(out, "/>");
}
