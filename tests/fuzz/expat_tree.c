/*
 * Reads a message with expat, as Prosody does, and compares what it sees with the parser's tree.
 *
 * What a newcomer gets wrong: Prosody has one expat parser for a whole stream. Its WebSocket module
 * turns <open/> into the tag that begins the document, every other message is read as a child of
 * it, and so may use what that tag declares. It finds <open/> and <close/> by looking for the
 * framing namespace in the bytes first. A message must mean the same inside a stream and alone.
 */
#include "tests/fuzz/expat_tree.h"

#include "xmpp/buf.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"

#include <expat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Prosody's util.xmppstream parts names and namespaces with the same character. */
#define SEPARATOR '\1'

/* What mod_websocket makes of an <open/>: no default namespace, "stream", and a prefix ns1, ns2 ...
 * for each attribute the client wrote with a namespace. */
#define STREAM_BEGIN                                                                               \
    "<stream:stream to='meet.example.com' version='1.0' xml:lang='en' xmlns:stream='" NS_STREAMS   \
    "' xmlns:ns1='urn:a' ns1:b='c'>"
#define STREAM_END "</stream:stream>"

struct reading {
    struct buf *text; /* of each open element, innermost last */
    size_t depth, cap;
    size_t outer; /* depth of what is around the message: 1 in a stream, 0 for the message alone */
    size_t roots;
    bool restricted; /* Prosody ends the stream (RFC 6120 section 11.1) */
    struct buf root, result;
};

static void write_name(struct buf *out, const char *ns, const char *name)
{
    if (ns[0] != '\0')
        buf_printf(out, "{%s}", ns);
    buf_add_str(out, name);
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Attributes have no order: they are written sorted. */
static void write_sorted(struct buf *out, char **lines, size_t len)
{
    if (len > 1)
        qsort(lines, len, sizeof(*lines), compare_lines);
    for (size_t i = 0; i < len; i++) {
        buf_printf(out, "\n@%s", lines[i]);
        free(lines[i]);
    }
    free(lines);
}

static void write_tree(struct buf *out, const struct element *e)
{
    buf_add_str(out, "\n<");
    write_name(out, e->ns, e->name);
    size_t count = 0;
    for (const struct attribute *a = e->attributes; a; a = a->next)
        count++;
    char **lines = calloc(count + 1, sizeof(*lines));
    size_t i = 0;
    for (const struct attribute *a = e->attributes; a; a = a->next) {
        struct buf line = BUF_INIT;
        write_name(&line, a->ns, a->name);
        buf_printf(&line, "=%s", a->value);
        lines[i++] = buf_take(&line);
    }
    write_sorted(out, lines, count);
    for (const struct element *c = e->first_child; c; c = c->next)
        write_tree(out, c);
    buf_printf(out, "\n\"%s\">", e->text);
}

static void write_expat_name(struct buf *out, const char *name)
{
    const char *parted = strchr(name, SEPARATOR);
    if (parted && parted > name)
        buf_printf(out, "{%.*s}", (int)(parted - name), name);
    buf_add_str(out, parted ? parted + 1 : name);
}

static void on_start(void *ctx, const XML_Char *name, const XML_Char **attributes)
{
    struct reading *r = ctx;
    if (r->depth == r->cap) {
        r->cap = r->cap ? r->cap * 2 : 64;
        r->text = realloc(r->text, r->cap * sizeof(*r->text));
    }
    r->text[r->depth++] = (struct buf)BUF_INIT;
    if (r->depth <= r->outer)
        return;
    if (r->depth == r->outer + 1) {
        r->roots++;
        buf_clear(&r->root);
        write_expat_name(&r->root, name);
    }
    buf_add_str(&r->result, "\n<");
    write_expat_name(&r->result, name);
    size_t count = 0;
    while (attributes[2 * count])
        count++;
    char **lines = calloc(count + 1, sizeof(*lines));
    for (size_t i = 0; i < count; i++) {
        struct buf line = BUF_INIT;
        write_expat_name(&line, attributes[2 * i]);
        buf_printf(&line, "=%s", attributes[2 * i + 1]);
        lines[i] = buf_take(&line);
    }
    write_sorted(&r->result, lines, count);
}

static void on_text(void *ctx, const XML_Char *text, int len)
{
    struct reading *r = ctx;
    if (r->depth)
        buf_add(&r->text[r->depth - 1], text, (size_t)len);
}

static void on_end(void *ctx, const XML_Char *name)
{
    struct reading *r = ctx;
    struct buf *text = &r->text[--r->depth];
    if (r->depth >= r->outer)
        buf_printf(&r->result, "\n\"%s\">", text->data ? text->data : "");
    else if (text->len) /* something beside the element */
        r->roots = 99;
    buf_done(text);
}

static void on_comment(void *ctx, const XML_Char *text)
{
    ((struct reading *)ctx)->restricted = true;
}

static void on_instruction(void *ctx, const XML_Char *target, const XML_Char *data)
{
    ((struct reading *)ctx)->restricted = true;
}

static void on_doctype(void *ctx, const XML_Char *name, const XML_Char *system,
                       const XML_Char *public_id, int has_internal_subset)
{
    ((struct reading *)ctx)->restricted = true;
}

static bool feed(XML_Parser parser, const char *text, size_t len, bool last)
{
    return XML_Parse(parser, text, (int)len, last) == XML_STATUS_OK;
}

/* Whether Prosody takes msg, in a stream or alone, for exactly one element; then ret->root is its
 * name and ret->result all of it. */
static bool read_message(const char *msg, size_t len, bool in_stream, struct reading *ret)
{
    static XML_Parser parser; /* making one costs more than reading a message */
    *ret = (struct reading){.outer = in_stream ? 1 : 0};
    if (parser)
        XML_ParserReset(parser, "UTF-8");
    else
        parser = XML_ParserCreateNS("UTF-8", SEPARATOR);
    XML_SetUserData(parser, ret);
    XML_SetElementHandler(parser, on_start, on_end);
    XML_SetCharacterDataHandler(parser, on_text);
    XML_SetCommentHandler(parser, on_comment);
    XML_SetProcessingInstructionHandler(parser, on_instruction);
    XML_SetStartDoctypeDeclHandler(parser, on_doctype);
    bool accepted = (!in_stream || feed(parser, STREAM_BEGIN, strlen(STREAM_BEGIN), false)) &&
                    feed(parser, msg, len, !in_stream) &&
                    (!in_stream || feed(parser, STREAM_END, strlen(STREAM_END), true));
    return accepted && !ret->restricted && ret->roots == 1;
}

static void reading_done(struct reading *r)
{
    while (r->depth)
        buf_done(&r->text[--r->depth]);
    free(r->text);
    buf_done(&r->root);
    buf_done(&r->result);
}

static void differ(const char *what, const char *theirs, const char *ours)
{
    fprintf(stderr, "%s\nexpat sees: %s\nthe parser sees: %s\n", what, theirs ? theirs : "",
            ours ? ours : "");
    abort();
}

/* The framing filter of mod_websocket, and what util.xmppstream and mod_c2s do with the rest. */
static void compare_kind(const char *msg, size_t len, const char *root, enum stanza_kind kind)
{
    bool filtered = memmem(msg, len, NS_FRAMING, strlen(NS_FRAMING)) != NULL;
    bool opens = filtered && strcmp(root, "{" NS_FRAMING "}open") == 0;
    bool closes = filtered && strcmp(root, "{" NS_FRAMING "}close") == 0;
    bool stanza = strcmp(root, "{" NS_CLIENT "}presence") == 0 ||
                  strcmp(root, "{" NS_CLIENT "}message") == 0 ||
                  strcmp(root, "{" NS_CLIENT "}iq") == 0;
    if (opens != (kind == STANZA_OPEN) || closes != (kind == STANZA_CLOSE))
        differ("only one of the two opens or closes the stream", root, "");
    if (stanza != stanza_is_counted(kind))
        differ("only one of the two counts a stanza", root, "");
    if ((strcmp(root, "{" NS_STREAMS "}stream") == 0) != (kind == STANZA_RAW_STREAM))
        differ("only one of the two sees a raw stream", root, "");
}

static void compare_accepted(const char *msg, size_t len, const struct element *root)
{
    struct reading inside, alone;
    struct buf ours = BUF_INIT;
    bool is_one = read_message(msg, len, true, &inside);
    bool is_one_alone = read_message(msg, len, false, &alone);
    write_tree(&ours, root);
    if (!is_one || !is_one_alone)
        differ("refused by expat", inside.result.data, ours.data);
    if (strcmp(ours.data, inside.result.data) != 0 || strcmp(ours.data, alone.result.data) != 0)
        differ("another tree", inside.result.data, ours.data);
    compare_kind(msg, len, inside.root.data, stanza_kind(root));
    buf_done(&ours);
    reading_done(&inside);
    reading_done(&alone);
}

void expat_compare(const char *msg, size_t len, enum parse_result result,
                   const struct element *root)
{
    struct reading alone;
    if (result == PARSE_OK) {
        compare_accepted(msg, len, root);
        return;
    }
    /* What we refuse on purpose (PARSE_RESTRICTED, PARSE_TOO_LARGE) Prosody may take. Broken is
     * broken for both: but for white space around the element, which Prosody refuses itself before
     * it, and nobody sends behind it. */
    if ((result != PARSE_NOT_WELL_FORMED && result != PARSE_BAD_NAMESPACE &&
         result != PARSE_BAD_ENCODING) ||
        len == 0 || msg[0] != '<' || msg[len - 1] != '>')
        return;
    if (read_message(msg, len, false, &alone))
        differ(parse_result_text(result), alone.result.data, "");
    reading_done(&alone);
}
