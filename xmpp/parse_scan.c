/*
 * Every byte of a message is looked at here before libxml2 sees the first (see parse.c). What a
 * newcomer gets wrong: this knows nothing of well-formedness. It only has to be right about
 * messages that libxml2 then accepts, and safe about all others.
 */
#include "xmpp/parse_scan.h"

#include "xmpp/find.h"
#include "xmpp/utf8.h"

#include <limits.h>
#include <string.h>

size_t parse_multibyte(const unsigned char *s, size_t len)
{
    size_t step = utf8_sequence(s, len);
    if (step == 3 && s[0] == 0xEF && s[1] == 0xBF && s[2] >= 0xBE) /* U+FFFE, U+FFFF */
        return 0;
    return step;
}

/* Where the scan is: in a tag, in an attribute's value there, or in character data. */
struct scan {
    bool in_tag;
    bool declares_xml; /* xmlns:xml stands in this tag */
    unsigned char quote;
    size_t attributes;
};

/* Whether the declaration of the prefix xml (XML namespaces section 3) begins at s. */
static bool is_xml_declaration(const unsigned char *s, size_t len)
{
    static const char name[] = "xmlns:xml";
    return len > strlen(name) && memcmp(s, name, strlen(name)) == 0 &&
           strchr("= \t\r\n", s[strlen(name)]) != NULL;
}

/* What stands in a tag outside of values and is nothing to scan_markup. */
static const bool indifferent[256] = {
    ['a' ... 'w'] = true, ['y'] = true, ['z'] = true, ['A' ... 'Z'] = true, ['0' ... '9'] = true,
    ['-'] = true,         [':'] = true, ['/'] = true, [' '] = true,
};

static size_t skip_indifferent(const unsigned char *s, size_t len)
{
    size_t i = 0;

    while (i < len && indifferent[s[i]])
        i++;
    return i;
}

/* Takes the character of markup at s, len bytes from the end. "<!" and "<?" begin everything RFC
 * 6120 section 11.1 forbids, CDATA and the XML declaration too, and stand in no well-formed element
 * otherwise. Attributes are counted here because libxml2 compares each with each before it calls
 * back: 40000 of them are a second. And it alone takes two declarations of the prefix xml in one
 * tag. */
static enum parse_result scan_markup(struct scan *scan, const unsigned char *s, size_t len,
                                     const struct parse_limits *limits)
{
    unsigned char c = s[0], next = len > 1 ? s[1] : 0;
    if (c == '<' && (next == '!' || next == '?'))
        return PARSE_RESTRICTED;
    if (!scan->in_tag) {
        if (c == '<')
            *scan = (struct scan){.in_tag = true};
    } else if (scan->quote) {
        if (c == scan->quote)
            scan->quote = 0;
    } else if (c == '"' || c == '\'') {
        scan->quote = c;
    } else if (c == '>') {
        scan->in_tag = false;
    } else if (c == '=' && ++scan->attributes > limits->attributes) {
        return PARSE_TOO_LARGE;
    } else if (c == 'x' && is_xml_declaration(s, len)) {
        if (scan->declares_xml)
            return PARSE_NOT_WELL_FORMED;
        scan->declares_xml = true;
    }
    return PARSE_OK;
}

enum parse_result parse_scan(const char *msg, size_t len, const struct parse_limits *limits)
{
    const unsigned char *s = (const unsigned char *)msg;
    struct scan scan = {0};
    if (len > limits->bytes || len > INT_MAX)
        return PARSE_TOO_LARGE;
    /* Also without white space, and without a byte order mark before it. */
    if (len == 0 || s[0] != '<' || s[len - 1] != '>')
        return PARSE_NOT_WELL_FORMED;
    for (size_t i = 0; i < len;) {
        /* Most bytes are nothing to be judged. */
        if (scan.quote)
            i += find_quote(msg + i, len - i, (char)scan.quote);
        else if (!scan.in_tag)
            i += find_markup(msg + i, len - i);
        else
            i += skip_indifferent(s + i, len - i);
        if (i == len)
            break;
        if (s[i] >= 0x80) {
            size_t step = parse_multibyte(s + i, len - i);
            if (step == 0)
                return PARSE_BAD_ENCODING;
            i += step;
            continue;
        }
        if (s[i] < 0x20 && s[i] != '\t' && s[i] != '\n' && s[i] != '\r')
            return PARSE_BAD_ENCODING;
        enum parse_result result = scan_markup(&scan, s + i, len - i, limits);
        if (result != PARSE_OK)
            return result;
        i++;
    }
    return PARSE_OK;
}
