/*
 * Reads one WebSocket message as exactly one complete, namespace-well-formed XML element (RFC 7395
 * section 3.3.3) with libxml2's SAX2 interface, and offers it as a small tree.
 *
 * What would make two parsers see two things (DTD, comment, processing instruction, CDATA, XML
 * declaration, undeclared entity, anything before or behind the element) is refused. The tree lives
 * in the parser's own memory, which is used again: it is gone at the next parser_read.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct attribute {
    const char *ns;    /* "" when it has none */
    const char *name;  /* local name */
    const char *value; /* references resolved */
    const struct attribute *next;
};

struct element {
    const char *ns;   /* "" when it has none */
    const char *name; /* local name */
    const struct attribute *attributes;
    const struct element *parent, *first_child, *next;
    const char *text; /* its own character data, joined; "" when it has none */
};

enum parse_result {
    PARSE_OK = 0,
    PARSE_NOT_WELL_FORMED, /* not XML, incomplete, more than one element, text around it */
    PARSE_BAD_NAMESPACE,   /* undeclared prefix, reserved prefix misused */
    PARSE_BAD_ENCODING,    /* not UTF-8, or a character XML does not allow */
    PARSE_RESTRICTED,      /* DTD, comment, processing instruction, CDATA, entity (RFC 6120 11.1) */
    PARSE_TOO_LARGE,       /* a limit below */
    PARSE_NO_MEMORY,
};

struct parse_limits {
    size_t bytes;      /* of the message, also with every namespace written where it is used: a server
                          that does so must not send on many times what it was sent */
    size_t depth;      /* of nested elements */
    size_t elements;   /* in all */
    size_t attributes; /* of one element, namespace declarations among them */
    size_t declarations; /* of namespaces in all; 0: 256. No more than that are ever in scope at a time */
};

struct parser;

struct parser *parser_new(void); /* NULL when out of memory */
void parser_free(struct parser *p);

/* Reads msg (len bytes). On PARSE_OK *ret is the root, borrowed until the next call. */
enum parse_result parser_read(struct parser *p, const char *msg, size_t len,
                              const struct parse_limits *limits, const struct element **ret)
    __attribute__((warn_unused_result));

/* A fixed English phrase for a result. */
const char *parse_result_text(enum parse_result result);

/* Lookups. Results are borrowed from the tree; NULL when there is none. */
bool element_is(const struct element *e, const char *ns, const char *name);
const char *element_attribute(const struct element *e, const char *name); /* without namespace */
const struct element *element_child(const struct element *e, const char *ns, const char *name);
/* The next sibling with that name, for walking what element_child began. */
const struct element *element_next(const struct element *e, const char *ns, const char *name);
