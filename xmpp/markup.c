/*
 * Tags, attributes and the borders of children in XML that is known to be well-formed (see
 * markup.h). What a newcomer gets wrong: '>' may stand in an attribute's value and in text; '<'
 * stands nowhere but at a tag, since the parser lets no comment, CDATA or processing instruction
 * pass.
 */
#include "xmpp/markup.h"

#include <string.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The end of a tag: the first '>' outside of quotes. */
static const char *tag_end(const char *at, const char *end)
{
    char quote = '\0';
    for (; at < end; at++) {
        if (quote != '\0') {
            if (*at == quote)
                quote = '\0';
        } else if (*at == '"' || *at == '\'') {
            quote = *at;
        } else if (*at == '>') {
            return at + 1;
        }
    }
    return end;
}

struct markup_tag markup_tag(const char *at, const char *end)
{
    struct markup_tag tag = {.name = at < end ? at + 1 : end};
    const char *p = tag.name;
    while (p < end && !is_space(*p) && *p != '/' && *p != '>')
        p++;
    tag.name_len = (size_t)(p - tag.name);
    tag.rest = p;
    tag.end = tag_end(p, end);
    tag.is_empty = tag.end - p >= 2 && tag.end[-2] == '/';
    return tag;
}

bool markup_attribute(const struct markup_tag *tag, const char **at, struct markup_attribute *ret)
{
    const char *p = *at, *end = tag->end;
    while (p < end && is_space(*p))
        p++;
    ret->name = p;
    while (p < end && !is_space(*p) && *p != '=' && *p != '>' && *p != '/')
        p++;
    ret->name_len = (size_t)(p - ret->name);
    while (p < end && (is_space(*p) || *p == '='))
        p++;
    if (ret->name_len == 0 || p >= end || (*p != '"' && *p != '\''))
        return false;
    ret->value = p + 1;
    const char *close = memchr(ret->value, *p, (size_t)(end - ret->value));
    if (!close)
        return false;
    ret->value_len = (size_t)(close - ret->value);
    ret->end = *at = close + 1;
    return true;
}

bool markup_find(const struct markup_tag *tag, const char *name, size_t name_len,
                 struct markup_attribute *ret)
{
    struct markup_attribute a;
    for (const char *at = tag->rest; markup_attribute(tag, &at, &a);) {
        if (a.name_len == name_len && memcmp(a.name, name, name_len) == 0) {
            *ret = a;
            return true;
        }
    }
    return false;
}

static bool is_closing(const char *at, const char *end)
{
    return end - at >= 2 && at[1] == '/';
}

bool markup_child(const char **at, const char *end, const char **ret, size_t *ret_len)
{
    size_t depth = 0;
    const char *p = memchr(*at, '<', (size_t)(end - *at));
    *at = p ? p : end;
    if (!p || is_closing(p, end))
        return false;
    while (p) {
        if (is_closing(p, end)) {
            p = tag_end(p, end);
            depth--;
        } else {
            struct markup_tag tag = markup_tag(p, end);
            p = tag.end;
            if (!tag.is_empty)
                depth++;
        }
        if (depth == 0) {
            *ret = *at;
            *ret_len = (size_t)(p - *at);
            *at = p;
            return true;
        }
        p = memchr(p, '<', (size_t)(end - p));
    }
    return false;
}
