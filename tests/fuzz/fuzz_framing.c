/*
 * What we open, fail and close a stream with (RFC 7395), with any text in it: one element, which
 * both sides take for what it is, and which says what it was to say.
 *
 * The input's lines are texts.
 */
#include "xmpp/framing.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static const struct element *read_back(const struct buf *out, enum stanza_kind kind)
{
    static struct parser *parser;
    static const struct parse_limits limits = {
        .bytes = (size_t)1 << 20, .depth = 8, .elements = 8, .attributes = 8};
    const struct element *root = NULL;

    if (!parser && !(parser = parser_new()))
        abort();
    require(!out->failed);
    if (parser_read(parser, out->data, out->len, &limits, &root) != PARSE_OK)
        return NULL;
    require(stanza_kind(root) == kind && stanza_peek(out->data, out->len) == kind);
    return root;
}

/* Text that XML cannot hold makes no element at all, and never two. */
static bool is_plain(const char *text)
{
    struct buf out = BUF_INIT;

    buf_add_str(&out, "<a xmlns='b' c='");
    buf_add_xml(&out, text);
    buf_add_str(&out, "'/>");
    bool plain = read_back(&out, STANZA_OTHER) != NULL;
    buf_done(&out);
    return plain;
}

/* But for blanks, whose kind an attribute does not keep (XML 1.0 section 3.3.3). */
static bool says(const char *value, const char *text)
{
    for (; value && *value &&
           (*value == *text || (*value == ' ' && *text && strchr("\t\r\n", *text)));
         value++)
        text += strncmp(text, "\r\n", 2) == 0 ? 2 : 1;
    return value && *value == *text;
}

static void open_stream(const char *first, const char *second)
{
    struct buf out = BUF_INIT;
    bool plain = is_plain(first);
    const struct element *e;

    framing_open(&out, first);
    e = read_back(&out, STANZA_OPEN);
    require((e != NULL) == plain);
    if (e)
        require(says(element_attribute(e, "to"), first) && !e->first_child &&
                strcmp(element_attribute(e, "version"), "1.0") == 0);
    buf_clear(&out);
    plain = plain && is_plain(second);
    framing_open_answer(&out, first, second);
    e = read_back(&out, STANZA_OPEN);
    require((e != NULL) == plain);
    if (e)
        require(says(element_attribute(e, "from"), first) &&
                says(element_attribute(e, "id"), second));
    buf_done(&out);
}

static void fail_stream(const char *text)
{
    struct buf out = BUF_INIT;
    bool plain = is_plain(text);
    const struct element *e, *child;

    framing_stream_error(&out, "not-well-formed", text);
    e = read_back(&out, STANZA_STREAM_ERROR);
    require((e != NULL) == plain);
    if (e) {
        child = e->first_child;
        require(child && element_is(child, NS_STREAM_ERRORS, "not-well-formed"));
        child = child->next;
        require(!child || (element_is(child, NS_STREAM_ERRORS, "text") && !child->next));
    }
    buf_clear(&out);
    framing_close(&out);
    require(read_back(&out, STANZA_CLOSE) != NULL);
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);

    require(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    char *second = strchr(text, '\n');
    if (second)
        *second++ = '\0';
    open_stream(text, second ? second : "");
    fail_stream(second ? second : text);
    free(text);
    return 0;
}
