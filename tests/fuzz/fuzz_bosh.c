/*
 * BOSH entities from any bytes: each child of the body becomes one message, and that is one element
 * which says what the child said, to our parser and to Prosody's.
 */
#include "xmpp/bosh.h"
#include "xmpp/ns.h"

#include "tests/fuzz/expat_tree.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct parse_limits limits = {
    .bytes = 64 * 1024, .depth = 32, .elements = 500, .attributes = 32};

/* The body around, and what a child may take from it. */
static const struct parse_limits wide = {
    .bytes = 256 * 1024, .depth = 33, .elements = 1000, .attributes = 64};

static void check(bool is_right)
{
    if (!is_right)
        abort();
}

static bool is_lang(const struct attribute *a)
{
    return a && strcmp(a->ns, "http://www.w3.org/XML/1998/namespace") == 0 &&
           strcmp(a->name, "lang") == 0;
}

static bool has_lang(const struct element *e)
{
    for (const struct attribute *a = e->attributes; a; a = a->next)
        if (is_lang(a))
            return true;
    return false;
}

static void compare_attributes(const struct attribute *a, const struct attribute *b)
{
    for (; a && b; a = a->next, b = b->next)
        check(strcmp(a->ns, b->ns) == 0 && strcmp(a->name, b->name) == 0 &&
              strcmp(a->value, b->value) == 0);
    check(!a && !b);
}

/* What was in BOSH's namespace, or in none, may be jabber:client now. */
static void compare(const struct element *child, const struct element *message,
                    const struct attribute *attributes)
{
    bool may_change = strcmp(child->ns, NS_BOSH) == 0 || child->ns[0] == '\0';
    check(strcmp(child->name, message->name) == 0 && strcmp(child->text, message->text) == 0);
    check(strcmp(child->ns, message->ns) == 0 ||
          (may_change && strcmp(message->ns, NS_CLIENT) == 0));
    compare_attributes(child->attributes, attributes);
    const struct element *b = message->first_child;
    for (const struct element *a = child->first_child; a; a = a->next, b = b->next) {
        check(b != NULL);
        compare(a, b, b->attributes);
    }
    check(!b);
}

static void compare_root(const struct element *body, const struct element *child,
                         const struct element *message, const char *data)
{
    const struct attribute *attributes = message->attributes;
    bool is_prefixed = memchr(data, ':', strcspn(data, " \t\r\n/>")) != NULL;
    if (has_lang(body) && !has_lang(child)) {
        check(is_lang(attributes)); /* what is inherited comes first */
        attributes = attributes->next;
    }
    check(is_prefixed || strcmp(message->ns, NS_BOSH) != 0);
    compare(child, message, attributes);
}

static void check_body(const struct bosh_body *body, const struct element *root)
{
    static struct parser *parser;
    const struct element *message = NULL, *child = root->first_child;
    size_t start = 0;
    check(body->rid > 0 && body->rid <= BOSH_RID_MAX);
    if (!parser && !(parser = parser_new()))
        return;
    for (size_t i = 0; i < body->messages_len; i++, child = child->next) {
        const char *data = body->messages.data + start;
        size_t len = body->ends[i] - start;
        check(child != NULL);
        enum parse_result result = parser_read(parser, data, len, &wide, &message);
        if (result == PARSE_TOO_LARGE || result == PARSE_RESTRICTED)
            return; /* refused as a message of its own: a framing namespace that hides, say */
        check(result == PARSE_OK);
        compare_root(root, child, message, data);
        expat_compare(data, len, result, message);
        start = body->ends[i];
    }
    check(!child && start == body->messages.len);
}

/* Where the entity can be read, its sid is the one that was seen before it was. */
static void check_sid(const struct bosh_body *body, const char *data, size_t size)
{
    const char *sid = NULL;
    size_t len = 0;
    bool is_seen = bosh_peek_sid(data, size, &sid, &len);
    check(is_seen == (body->sid != NULL));
    for (size_t i = 0; i < len; i++)
        if (strchr("&\t\r\n", sid[i]))
            return; /* read as something else */
    if (is_seen)
        check(strlen(body->sid) == len && memcmp(body->sid, sid, len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct parser *reader, *whole;
    struct bosh_body body = {0};
    const struct element *root = NULL;
    enum parse_result parse = PARSE_OK;
    const char *why = NULL, *sid = NULL;
    size_t sid_len = 0;
    if (bosh_peek_sid((const char *)data, size, &sid, &sid_len))
        check(sid >= (const char *)data && sid + sid_len <= (const char *)data + size);
    if ((!reader && !(reader = parser_new())) || (!whole && !(whole = parser_new())))
        return 0;
    if (bosh_read(reader, (const char *)data, size, &limits, &body, &parse, &why) != BOSH_OK) {
        check(why != NULL);
        return 0;
    }
    check(parser_read(whole, (const char *)data, size, &wide, &root) == PARSE_OK);
    check_body(&body, root);
    check_sid(&body, (const char *)data, size);
    bosh_body_done(&body);
    return 0;
}
