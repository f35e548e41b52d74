/*
 * BOSH bodies (XEP-0124, XEP-0206): one HTTP entity read as its <body/> and the stanzas in it, and the
 * bodies that answer. Text in, text out.
 *
 * The one thing to know: what comes out of bosh_read is what RFC 7395 would have carried, one message
 * for each child, and it goes the same way from there. A child takes with it what it inherits from
 * <body/>: namespace declarations in scope; without a namespace of its own it is jabber:client, as
 * Prosody takes it.
 */
#pragma once

#include "xmpp/buf.h"
#include "xmpp/parse.h"

#include <stdint.h>

#define NS_BOSH "http://jabber.org/protocol/httpbind"
#define NS_XBOSH "urn:xmpp:xbosh"

#define BOSH_RID_MAX INT64_C(9007199254740991) /* XEP-0124 section 14.2 */
#define BOSH_CHILDREN_MAX 256

enum bosh_result {
    BOSH_OK = 0,
    BOSH_BAD_REQUEST, /* no <body/>, a bad rid, text between the stanzas ... (XEP-0124: bad-request) */
    BOSH_BAD_XML,     /* not one well-formed element; *ret_parse says how */
    BOSH_NO_MEMORY,
};

struct bosh_body {
    int64_t rid;       /* always there */
    const char *sid;   /* NULL when there is none: it asks for a new session */
    const char *to;    /* NULL when there is none */
    const char *type;  /* likewise; "terminate" */
    int64_t wait_s, hold; /* -1 when not given (or not whole numbers) */
    int64_t pause_s;      /* likewise (XEP-0124 section 12) */
    bool restart;         /* xmpp:restart='true' (XEP-0206 section 5) */
    bool has_key;         /* key or newkey: not supported, such a session is refused */
    struct buf messages;  /* the children as messages, one behind the other */
    size_t ends[BOSH_CHILDREN_MAX]; /* where each ends */
    size_t messages_len;
    void *memory; /* private */
};

/* Reads data (len bytes). *ret is written on BOSH_OK only and then released with bosh_body_done; its
 * texts are its own. limits are those of one message; `bytes` holds for the whole entity. */
enum bosh_result bosh_read(struct parser *parser, const char *data, size_t len,
                           const struct parse_limits *limits, struct bosh_body *ret,
                           enum parse_result *ret_parse, const char **ret_why)
    __attribute__((warn_unused_result));
void bosh_body_done(struct bosh_body *body);

/* The sid in what may be the beginning of an entity, as it is written, before anything of it is known to
 * be in order: good for finding a session, for nothing else. False when there is none. */
bool bosh_peek_sid(const char *data, size_t len, const char **ret, size_t *ret_len)
    __attribute__((warn_unused_result));

/* <body type='terminate' condition=.../>, for a request that belongs to no session. condition may be
 * NULL (XEP-0124 section 17.2). */
void bosh_terminate_body(struct buf *out, const char *condition);
