/*
 * Reads a message with expat, as Prosody does, and compares what it sees with the parser's tree.
 *
 * What a newcomer gets wrong: expat may refuse what the parser accepted (Prosody then ends the
 * stream); but where both accept, they must see the same elements, attributes and text.
 */
#include "tests/fuzz/expat_tree.h"

#include "xmpp/buf.h"

#include <expat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Prosody's util.xmppstream parts names and namespaces with the same character. */
#define SEPARATOR '\1'

struct reading {
    struct buf *text; /* of each open element, innermost last */
    struct buf *out;  /* likewise: its children, written */
    size_t depth, cap;
    size_t roots;
    struct buf result;
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
    if (r->depth == 1) /* the element around, which stands for the stream */
        return;
    if (r->depth == 2)
        r->roots++;
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
    if (r->depth >= 1)
        buf_printf(&r->result, "\n\"%s\">", text->data ? text->data : "");
    else if (text->len) /* something beside the element */
        r->roots = 99;
    buf_done(text);
}

void expat_compare(const char *msg, size_t len, const struct element *root)
{
    static const char before[] = "<around>", after[] = "</around>";
    struct reading r = {0};
    XML_Parser parser = XML_ParserCreateNS("UTF-8", SEPARATOR);
    XML_SetUserData(parser, &r);
    XML_SetElementHandler(parser, on_start, on_end);
    XML_SetCharacterDataHandler(parser, on_text);
    bool accepted = XML_Parse(parser, before, (int)strlen(before), 0) == XML_STATUS_OK &&
                    XML_Parse(parser, msg, (int)len, 0) == XML_STATUS_OK &&
                    XML_Parse(parser, after, (int)strlen(after), 1) == XML_STATUS_OK;
    if (accepted) {
        struct buf ours = BUF_INIT;
        write_tree(&ours, root);
        if (r.roots != 1 || strcmp(ours.data, r.result.data) != 0) {
            fprintf(stderr, "expat sees %zu element(s):%s\nthe parser sees:%s\n", r.roots,
                    r.result.data ? r.result.data : "", ours.data);
            abort();
        }
        buf_done(&ours);
    }
    while (r.depth)
        buf_done(&r.text[--r.depth]);
    free(r.text);
    buf_done(&r.result);
    XML_ParserFree(parser);
}
