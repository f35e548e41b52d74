/*
 * The markup of an element that parser_read has accepted, tag by tag and as it was written, for what
 * passes parts of it on unchanged. Nothing is checked here: of anything else the answers mean nothing,
 * though they stay within the text.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct markup_tag {
    const char *name; /* with its prefix */
    size_t name_len;
    const char *rest; /* behind the name: the attributes */
    const char *end;  /* behind '>' */
    bool is_empty;    /* <a/> */
};

struct markup_attribute {
    const char *name; /* with its prefix */
    size_t name_len;
    const char *value; /* references as they are */
    size_t value_len;
    const char *end; /* behind the closing quote, which stands at value + value_len */
};

/* The tag at `at`, where its '<' is. */
struct markup_tag markup_tag(const char *at, const char *end);
/* The next attribute of a tag: *at is the tag's `rest` at first and is moved on. */
bool markup_attribute(const struct markup_tag *tag, const char **at, struct markup_attribute *ret);
bool markup_find(const struct markup_tag *tag, const char *name, size_t name_len,
                 struct markup_attribute *ret);
/* The next child of an element: *at is the `end` of its tag at first (which is not empty) and is moved
 * behind the child. false: there are no more, *at is where the element's end tag begins. */
bool markup_child(const char **at, const char *end, const char **ret, size_t *ret_len);
