/*
 * What a message of a client stream is: its kind, its addresses, and the answers the proxy itself
 * builds (stanza errors of RFC 6120 section 8.3).
 */
#pragma once

#include "xmpp/buf.h"
#include "xmpp/parse.h"

enum stanza_kind {
    STANZA_PRESENCE,
    STANZA_MESSAGE,
    STANZA_IQ,
    STANZA_OPEN,         /* RFC 7395 <open/> */
    STANZA_CLOSE,        /* RFC 7395 <close/> */
    STANZA_SASL_AUTH,    /* <auth/> */
    STANZA_SASL_OTHER,   /* <challenge/>, <response/>, <abort/> */
    STANZA_SASL_SUCCESS, /* <success/> */
    STANZA_SASL_FAILURE, /* <failure/> */
    STANZA_SM_ENABLE,
    STANZA_SM_ENABLED,
    STANZA_SM_RESUME,
    STANZA_SM_RESUMED,
    STANZA_SM_FAILED,
    STANZA_SM_REQUEST, /* <r/> */
    STANZA_SM_ACK,     /* <a/> */
    STANZA_FEATURES,
    STANZA_STREAM_ERROR,
    STANZA_RAW_STREAM, /* <stream:stream>, never allowed on a WebSocket */
    STANZA_OTHER,      /* some other namespaced element, passed on as it is */
    STANZA_UNQUALIFIED /* no namespace, or message/presence/iq in a foreign one: a stream error */
};

enum stanza_kind stanza_kind(const struct element *root);
/* Whether XEP-0198 counts it: message, presence, iq of jabber:client. */
bool stanza_is_counted(enum stanza_kind kind);

/* The kind of a server's message from its first tag alone, without parsing (it must not be relied
 * upon for anything a client wrote). Names prefixed "stream:" are understood. */
enum stanza_kind stanza_peek(const char *msg, size_t len);

/* The stanza error of type (RFC 6120 8.3.2: "cancel", "wait" ...) and condition answering request,
 * as it would come from the address the request was sent to: <presence|iq|message type='error'>
 * with the request's id, from = its to, to = its from where given else to_jid (may be NULL). text
 * may be NULL. Appends to out; out->failed tells of lack of memory. */
void stanza_error(struct buf *out, const struct element *request, const char *to_jid,
                  const char *type, const char *condition, const char *text);
/* The empty result that answers an iq of the client's, as it would come from the address it was sent to
 * (to to_jid). */
void stanza_result(struct buf *out, const struct element *request, const char *to_jid);
