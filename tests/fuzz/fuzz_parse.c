/*
 * The parser on any bytes: no crash, limits kept, and the same view as expat's.
 * The parser is used again from input to input, as in the program.
 */
#include "xmpp/find.h"
#include "xmpp/muc.h"
#include "xmpp/ns.h"
#include "xmpp/parse_plain.h"
#include "xmpp/stanza.h"

#include "tests/fuzz/expat_tree.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct parse_limits limits = {
    .bytes = 64 * 1024, .depth = 32, .elements = 500, .attributes = 32};

static size_t walk(const struct element *e, size_t depth)
{
    size_t elements = 1, attributes = 0;
    if (depth > limits.depth)
        abort();
    for (const struct attribute *a = e->attributes; a; a = a->next)
        attributes += strlen(a->ns) + strlen(a->name) + strlen(a->value) > 0;
    if (attributes > limits.attributes || strlen(e->text) > limits.bytes)
        abort();
    for (const struct element *c = e->first_child; c; c = c->next) {
        if (c->parent != e)
            abort();
        elements += walk(c, depth + 1);
    }
    return elements;
}

static bool count_item(void *ctx, const struct muc_item *item)
{
    ++*(size_t *)ctx;
    return item->jid && item->nick && item->role && item->affiliation;
}

static void read_everything(const struct element *root)
{
    struct buf out = BUF_INIT;
    struct muc_presence presence;
    struct muc_form form;
    struct muc_info info;
    size_t items = 0;
    if (muc_is_join(root) && stanza_kind(root) != STANZA_PRESENCE)
        abort();
    muc_read_presence(root, &presence);
    if (muc_read_form(root, &form) && muc_is_owner_set(root))
        abort();
    (void)muc_read_info(root, &info);
    if (!muc_read_items(root, count_item, &items))
        abort();
    (void)muc_is_config_change(root);
    stanza_error(&out, root, "to@example.com", "cancel", "item-not-found", root->text);
    buf_done(&out);
}

/* What a server's first tag says is what the whole message says, as long as the tag needs no
 * reading: neither a prefix nor a reference is in it. */
static void check_peek(const char *msg, size_t len, const struct element *root)
{
    enum stanza_kind peeked = stanza_peek(msg, len);
    const char *end = memchr(msg, '>', len);
    const char *name = msg + strlen("<");
    size_t name_len = strlen(root->name);
    if (strncmp(name, root->name, name_len) == 0 && strchr(" \t\r\n/>", name[name_len]) &&
        !memchr(msg, '&', (size_t)(end - msg)) && peeked != stanza_kind(root))
        abort();
}

/* What is told without a parser, both parsers say too; and whatever the proxy does more with than
 * to pass it on can be found by its namespace. */
static void check_plain(const char *msg, size_t len, enum parse_result result,
                        const struct element *root)
{
    enum stanza_kind kind = parse_plain(msg, len, &limits);
    if (kind == STANZA_OTHER)
        return;
    if (result != PARSE_OK || stanza_kind(root) != kind)
        abort();
    if ((muc_is_join(root) && !find_text(msg, len, NS_MUC)) ||
        (muc_is_owner_set(root) && !find_text(msg, len, NS_MUC_OWNER)) ||
        (element_child(root, NS_BIND, "bind") && !find_text(msg, len, NS_BIND)) ||
        (element_child(root, NS_PING, "ping") && !find_text(msg, len, NS_PING)))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct parser *parser;
    const char *msg = (const char *)data;
    const struct element *root = NULL;
    if (!parser && !(parser = parser_new()))
        return 0;
    (void)stanza_peek(msg, size);
    enum parse_result result = parser_read(parser, msg, size, &limits, &root);
    check_plain(msg, size, result, root);
    expat_compare(msg, size, result, root);
    if (result != PARSE_OK)
        return 0;
    if (walk(root, 1) > limits.elements)
        abort();
    check_peek(msg, size, root);
    read_everything(root);
    return 0;
}
