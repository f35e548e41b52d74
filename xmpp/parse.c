/*
 * One WebSocket message to one small tree, by libxml2's SAX2 interface.
 *
 * What a newcomer gets wrong: being well-formed for libxml2 is not enough. Prosody reads the same
 * bytes with expat, so whatever two parsers could take in two ways must be refused here: libxml2
 * warns of some namespace errors only, guesses encodings, and reads declarations. Hence
 * parse_scan.c, which looks at every byte before libxml2 sees the first, and the error handler,
 * which makes each complaint final. A name that only expat refuses does no harm: Prosody then ends
 * the stream.
 */
#include "xmpp/parse.h"

#include "xmpp/find.h"
#include "xmpp/ns.h"
#include "xmpp/parse_arena.h"
#include "xmpp/parse_scan.h"

#include <libxml/SAX2.h>
#include <libxml/dict.h>
#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <stdlib.h>
#include <string.h>

/* libxml2 keeps every name it ever saw of one context in a dictionary, names a client chose among
 * them: over this size the context is made anew. */
#define DICTIONARY_MAX (256 * 1024)

/* Of namespaces in scope at a time: libxml2 walks them for every prefix. */
#define DECLARATIONS_MAX 256
/* What a small message may grow by, written out. */
#define SPELLED_FREE 65536

/* XML_PARSE_OLD10: names as in XML 1.0's fourth edition, which is what expat knows. */
#define PARSE_OPTIONS (XML_PARSE_NONET | XML_PARSE_OLD10)

struct text_piece {
    struct text_piece *next;
    size_t len;
    char data[];
};

struct node {
    struct element e;
    struct node *parent, *last_child;
    struct text_piece *first_text, *last_text;
    size_t text_len;
    size_t declarations; /* its own */
};

struct parser {
    xmlSAXHandler sax;
    xmlParserCtxtPtr context; /* NULL after a failure: what it was left with is not used again */
    struct arena arena;
    const struct parse_limits *limits; /* of the message being read */
    struct node *root, *open;
    size_t depth, elements, declarations, in_scope;
    size_t spelled; /* bytes of namespace names, were each written where it is used */
    enum parse_result result;
};

/* --- libxml2's callbacks --- */

static void fail(struct parser *p, enum parse_result result)
{
    if (p->result != PARSE_OK)
        return;
    p->result = result;
    if (p->context)
        xmlStopParser(p->context);
}

/* Copies len bytes. Without entity substitution libxml2 hands out an ampersand in an attribute's
 * value as "&#38;" however it was written, and every other reference resolved: so this is the one
 * reference to be found, and its replacement is not read again. */
static const char *copy_value(struct parser *p, const char *from, size_t len)
{
    static const char ampersand[] = "&#38;";
    char *copy = arena_alloc(&p->arena, len + 1);
    if (!copy) {
        fail(p, PARSE_NO_MEMORY);
        return NULL;
    }
    char *to = copy;
    const char *end = from + len;
    while (from < end) {
        const char *found = memchr(from, '&', (size_t)(end - from));
        size_t plain = (size_t)((found ? found : end) - from);
        memcpy(to, from, plain);
        to += plain;
        from += plain;
        if (!found)
            break;
        *to++ = '&';
        from += (size_t)(end - from) >= 5 && memcmp(from, ampersand, 5) == 0 ? 5 : 1;
    }
    *to = '\0';
    return copy;
}

/* Names are borrowed from the context's dictionary, which lives until the next parser_read. */
static const char *namespace_text(struct parser *p, const xmlChar *uri)
{
    if (!uri)
        return "";
    const char *text = (const char *)uri;
    return strchr(text, '&') ? copy_value(p, text, strlen(text)) : text;
}

static bool add_attributes(struct parser *p, struct node *node, int count, const xmlChar **raw)
{
    struct attribute *last = NULL;
    for (int i = 0; i < count; i++, raw += 5) { /* name, prefix, URI, value, end of value */
        struct attribute *a = arena_alloc(&p->arena, sizeof(*a));
        if (!a) {
            fail(p, PARSE_NO_MEMORY);
            return false;
        }
        a->name = (const char *)raw[0];
        a->ns = namespace_text(p, raw[2]);
        p->spelled += a->ns ? strlen(a->ns) : 0;
        a->value = copy_value(p, (const char *)raw[3], (size_t)(raw[4] - raw[3]));
        a->next = NULL;
        if (!a->ns || !a->value)
            return false;
        if (last)
            last->next = a;
        else
            node->e.attributes = a;
        last = a;
    }
    return true;
}

static size_t max_declarations(const struct parse_limits *limits)
{
    return limits->declarations ? limits->declarations : DECLARATIONS_MAX;
}

static void on_start(void *ctx, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri,
                     int namespaces_len, const xmlChar **namespaces, int attributes_len,
                     int defaulted_len, const xmlChar **attributes)
{
    struct parser *p = ctx;
    if (p->result != PARSE_OK)
        return;
    if (p->root && !p->open) {
        fail(p, PARSE_NOT_WELL_FORMED);
        return;
    }
    if (++p->depth > p->limits->depth || ++p->elements > p->limits->elements) {
        fail(p, PARSE_TOO_LARGE);
        return;
    }
    struct node *node = arena_alloc(&p->arena, sizeof(*node));
    if (!node) {
        fail(p, PARSE_NO_MEMORY);
        return;
    }
    *node = (struct node){.e = {.name = (const char *)name, .text = ""}, .parent = p->open};
    node->e.ns = namespace_text(p, uri);
    if (!node->e.ns || !add_attributes(p, node, attributes_len, attributes))
        return;
    node->declarations = (size_t)namespaces_len;
    p->declarations += node->declarations;
    p->in_scope += node->declarations;
    if (!p->open || p->open->e.ns != node->e.ns)
        p->spelled += strlen(node->e.ns);
    if (p->in_scope > DECLARATIONS_MAX || p->declarations > max_declarations(p->limits) ||
        p->spelled > p->limits->bytes + SPELLED_FREE) {
        fail(p, PARSE_TOO_LARGE);
        return;
    }
    if (!p->open) {
        p->root = node;
    } else {
        node->e.parent = &p->open->e;
        if (p->open->last_child)
            p->open->last_child->e.next = &node->e;
        else
            p->open->e.first_child = &node->e;
        p->open->last_child = node;
    }
    p->open = node;
}

static void on_text(void *ctx, const xmlChar *text, int text_len)
{
    struct parser *p = ctx;
    struct node *node = p->open;
    size_t len = text_len > 0 ? (size_t)text_len : 0;
    if (p->result != PARSE_OK || len == 0)
        return;
    if (!node) {
        fail(p, PARSE_NOT_WELL_FORMED);
        return;
    }
    struct text_piece *last = node->last_text;
    node->text_len += len;
    /* Escaped text comes a few bytes at a time; one byte of each piece is kept for the NUL. */
    if (last && arena_extend(&p->arena, last->data + last->len + 1, len)) {
        memcpy(last->data + last->len, text, len);
        last->len += len;
        return;
    }
    struct text_piece *piece = arena_alloc(&p->arena, sizeof(*piece) + len + 1);
    if (!piece) {
        fail(p, PARSE_NO_MEMORY);
        return;
    }
    piece->next = NULL;
    piece->len = len;
    memcpy(piece->data, text, len);
    if (last)
        last->next = piece;
    else
        node->first_text = piece;
    node->last_text = piece;
}

static void on_end(void *ctx, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri)
{
    struct parser *p = ctx;
    struct node *node = p->open;
    if (p->result != PARSE_OK || !node)
        return;
    p->open = node->parent;
    p->depth--;
    p->in_scope -= node->declarations;
    struct text_piece *piece = node->first_text;
    if (!piece)
        return;
    if (piece == node->last_text) {
        piece->data[piece->len] = '\0';
        node->e.text = piece->data;
        return;
    }
    char *joined = arena_alloc(&p->arena, node->text_len + 1);
    if (!joined) {
        fail(p, PARSE_NO_MEMORY);
        return;
    }
    node->e.text = joined;
    for (; piece; piece = piece->next) {
        memcpy(joined, piece->data, piece->len);
        joined += piece->len;
    }
    *joined = '\0';
}

/* The scan lets none of these reach libxml2; were it wrong, they still end the reading. */
static void on_restricted_text(void *ctx, const xmlChar *text)
{
    fail(ctx, PARSE_RESTRICTED);
}

static void on_instruction(void *ctx, const xmlChar *target, const xmlChar *data)
{
    fail(ctx, PARSE_RESTRICTED);
}

static void on_cdata(void *ctx, const xmlChar *text, int len)
{
    fail(ctx, PARSE_RESTRICTED);
}

static void on_doctype(void *ctx, const xmlChar *name, const xmlChar *external,
                       const xmlChar *system)
{
    fail(ctx, PARSE_RESTRICTED);
}

static xmlParserInputPtr on_external(void *ctx, const xmlChar *public_id, const xmlChar *system_id)
{
    fail(ctx, PARSE_RESTRICTED);
    return NULL;
}

/* Every complaint ends the reading, but for warnings and for namespace names that are no absolute
 * URI
 * ("vcard-temp"): names are only compared, and expat does not look at them either. */
static void on_error(void *ctx, xmlErrorPtr error)
{
    struct parser *p = ctx;
    if (error->code == XML_ERR_NO_MEMORY)
        fail(p, PARSE_NO_MEMORY);
    else if (error->level == XML_ERR_WARNING || error->code == XML_WAR_NS_URI)
        return;
    else if (error->domain == XML_FROM_NAMESPACE)
        fail(p, PARSE_BAD_NAMESPACE);
    else if (error->code == XML_ERR_UNDECLARED_ENTITY || error->code == XML_WAR_UNDECLARED_ENTITY)
        fail(p, PARSE_RESTRICTED);
    else if (error->code == XML_ERR_NAME_TOO_LONG || error->code == XML_ERR_INTERNAL_ERROR)
        fail(p, PARSE_TOO_LARGE); /* libxml2's own limits */
    else
        fail(p, PARSE_NOT_WELL_FORMED);
}

/* --- The parser --- */

static void init_handler(xmlSAXHandler *sax)
{
    *sax = (xmlSAXHandler){
        .initialized = XML_SAX2_MAGIC,
        .startElementNs = on_start,
        .endElementNs = on_end,
        .characters = on_text,
        .ignorableWhitespace = on_text,
        .comment = on_restricted_text,
        .reference = on_restricted_text,
        .processingInstruction = on_instruction,
        .cdataBlock = on_cdata,
        .internalSubset = on_doctype,
        .externalSubset = on_doctype,
        .resolveEntity = on_external,
        .serror = on_error,
    };
}

struct parser *parser_new(void)
{
    struct parser *p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    if (!arena_init(&p->arena)) {
        free(p);
        return NULL;
    }
    xmlInitParser();
    init_handler(&p->sax);
    return p;
}

static void drop_context(struct parser *p)
{
    xmlFreeParserCtxt(p->context); /* accepts NULL */
    p->context = NULL;
}

void parser_free(struct parser *p)
{
    if (!p)
        return;
    drop_context(p);
    arena_done(&p->arena);
    free(p);
}

static bool ready_context(struct parser *p)
{
    if (p->context && xmlDictGetUsage(p->context->dict) > DICTIONARY_MAX)
        drop_context(p);
    if (!p->context) {
        p->context = xmlNewParserCtxt();
        if (!p->context)
            return false;
        *p->context->sax = p->sax;
        p->context->userData = p;
        xmlCtxtUseOptions(p->context, PARSE_OPTIONS);
    }
    return true;
}

/* All of the message is there, so libxml2 need not buffer it, nor look for a tag's end before it
 * reads the tag: it only wants a NUL behind. */
static void read_message(struct parser *p, const char *msg, size_t len)
{
    char *text = arena_alloc(&p->arena, len + 1);
    if (!text || !ready_context(p)) {
        p->result = PARSE_NO_MEMORY;
        return;
    }
    memcpy(text, msg, len);
    text[len] = '\0';
    xmlSetupParserForBuffer(p->context, (const xmlChar *)text, NULL);
    if (p->result != PARSE_OK) /* on_error was told that there is no memory */
        return;
    xmlParseDocument(p->context);
    if (p->result == PARSE_OK && p->context->lastError.code == XML_ERR_NO_MEMORY)
        p->result = PARSE_NO_MEMORY;
    if (p->result == PARSE_OK && (!p->context->wellFormed || !p->root || p->open))
        p->result = PARSE_NOT_WELL_FORMED;
}

/* Prosody looks for the framing namespace in a message's bytes before it parses them, so that
 * <open/> and <close/> are none to it where a reference hides the name. */
static bool hides_framing(const struct node *root, const char *msg, size_t len)
{
    return strcmp(root->e.ns, NS_FRAMING) == 0 && !find_text(msg, len, NS_FRAMING);
}

enum parse_result parser_read(struct parser *p, const char *msg, size_t len,
                              const struct parse_limits *limits, const struct element **ret)
{
    enum parse_result scanned = parse_scan(msg, len, limits);
    if (scanned != PARSE_OK)
        return scanned;
    arena_reset(&p->arena);
    p->limits = limits;
    p->root = p->open = NULL;
    p->depth = p->elements = p->declarations = p->in_scope = p->spelled = 0;
    p->result = PARSE_OK;
    /* Some of libxml2 (its URI reader) reports to the thread's handler, by default on stderr. */
    xmlStructuredErrorFunc handler = xmlStructuredError;
    void *handler_context = xmlStructuredErrorContext;
    xmlSetStructuredErrorFunc(p, on_error);
    read_message(p, msg, len);
    xmlSetStructuredErrorFunc(handler_context, handler);
    p->limits = NULL;
    if (p->result == PARSE_OK && hides_framing(p->root, msg, len))
        p->result = PARSE_RESTRICTED;
    if (p->result != PARSE_OK) {
        drop_context(p);
        return p->result;
    }
    *ret = &p->root->e;
    return PARSE_OK;
}

const char *parse_result_text(enum parse_result result)
{
    switch (result) {
    case PARSE_OK:
        return "well-formed";
    case PARSE_NOT_WELL_FORMED:
        return "not exactly one well-formed element";
    case PARSE_BAD_NAMESPACE:
        return "undeclared or misused namespace prefix";
    case PARSE_BAD_ENCODING:
        return "not UTF-8 or a character XML does not allow";
    case PARSE_RESTRICTED:
        return "markup that XMPP does not allow";
    case PARSE_TOO_LARGE:
        return "message too large";
    case PARSE_NO_MEMORY:
        return "out of memory";
    }
    return "unknown";
}

/* --- Lookups --- */

bool element_is(const struct element *e, const char *ns, const char *name)
{
    return strcmp(e->name, name) == 0 && strcmp(e->ns, ns) == 0;
}

const char *element_attribute(const struct element *e, const char *name)
{
    for (const struct attribute *a = e->attributes; a; a = a->next)
        if (a->ns[0] == '\0' && strcmp(a->name, name) == 0)
            return a->value;
    return NULL;
}

static const struct element *find(const struct element *e, const char *ns, const char *name)
{
    while (e && !element_is(e, ns, name))
        e = e->next;
    return e;
}

const struct element *element_child(const struct element *e, const char *ns, const char *name)
{
    return find(e->first_child, ns, name);
}

const struct element *element_next(const struct element *e, const char *ns, const char *name)
{
    return find(e->next, ns, name);
}
