/*
 * One BOSH session (XEP-0124, XEP-0206) as a state machine: requests and time in, messages and answers
 * out. It keeps the order of rids, answers one request for each, holds what is to be held, and gives a
 * repeated rid the answer it had. No sockets: a request is an opaque handle of the caller's.
 *
 * Towards the stream it behaves like a WebSocket of RFC 7395: the first body is an <open/>, a restart is
 * another one, terminate is a <close/>; what Prosody's end sends comes in the same form. When that is a
 * <close/> the client is told, a <close/> is delivered as its answer, and ended says BOSH_END_CLIENT.
 * No function is called from within `answer`, and only stop, go, send and close within `message`.
 */
#pragma once

#include "xmpp/bosh.h"

#define BOSH_WAIT_MAX_S 55 /* nginx waits for 60 (proxy_read_timeout) */
#define BOSH_INACTIVITY_S 60
#define BOSH_POLLING_S 5
#define BOSH_HOLD_MAX 1
#define BOSH_REQUESTS 2 /* at a time: hold + 1 (XEP-0124 section 7.2) */
#define BOSH_PAUSE_MAX_S 120
/* What waits for the client's next request; the source is to be stopped above it. */
#define BOSH_HIGH_MARK ((size_t)256 * 1024)

enum bosh_end {
    BOSH_END_CLIENT,   /* it terminated the session */
    BOSH_END_SILENT,   /* no request within the inactivity time */
    BOSH_END_BROKEN,   /* it broke the protocol: detail says how */
    BOSH_END_NO_MEMORY,
};

struct bosh_actions {
    /* A message of the client's, in order, borrowed. The callee may stop or close the session in it. */
    void (*message)(void *ctx, const char *data, size_t len);
    /* The answer to a request: the HTTP entity (status 200 and text/xml). The handle is forgotten. */
    void (*answer)(void *ctx, void *request, const char *body, size_t len);
    /* What waits for the client fell below a quarter of BOSH_HIGH_MARK. */
    void (*drained)(void *ctx);
    /* It is over from the client's side; the last callback. Requests still open have been answered. */
    void (*ended)(void *ctx, enum bosh_end why, const char *detail);
};

struct bosh_session;

/* first is the body that asks for the session (no sid); the request is handed over with it. sid: 32 or
 * more unguessable characters, copied. NULL when out of memory: then the request is still the caller's.
 * Nothing is delivered before bosh_session_go. */
struct bosh_session *bosh_session_new(const char *sid, const struct bosh_body *first, void *request,
                                      const struct bosh_actions *actions, void *ctx, int64_t now_ms);
/* The longest entity there can be; what one holds always has room while the session is stopped. */
void bosh_session_set_entity_max(struct bosh_session *b, size_t len);
void bosh_session_free(struct bosh_session *b); /* no callback; open requests are the caller's again */

/* A further request of the session. Takes the request handle in every case; the body stays the
 * caller's, its messages are copied. Answers that are due are given at once. */
void bosh_session_request(struct bosh_session *b, const struct bosh_body *body, void *request,
                          int64_t now_ms);
/* The connection of a request went away before it was answered. */
void bosh_session_gone(struct bosh_session *b, void *request, int64_t now_ms);

/* A message for the client, as it would go into a WebSocket (<open/> and <close/> too). It leaves at
 * the next bosh_session_flush, which the caller makes once a turn. */
void bosh_session_send(struct bosh_session *b, const char *data, size_t len);
void bosh_session_flush(struct bosh_session *b, int64_t now_ms);
bool bosh_session_is_full(const struct bosh_session *b);

/* Stop and go on delivering messages; go delivers what waits, under the caller, and may so end it. */
void bosh_session_stop(struct bosh_session *b);
void bosh_session_go(struct bosh_session *b);

/* The other end is over: what waits and <body type='terminate'> go to the open requests, or to the next
 * one (the caller keeps the session for BOSH_INACTIVITY_S for that). condition, a literal, may be NULL:
 * an ordinary end; behind a <stream:error/> it is always remote-stream-error. No callback but answer
 * comes any more. */
void bosh_session_close(struct bosh_session *b, const char *condition, int64_t now_ms);
/* The client wrote what no session can go on from: it is told with condition, and `ended` follows with
 * BOSH_END_BROKEN. */
void bosh_session_break(struct bosh_session *b, const char *condition, const char *detail,
                        int64_t now_ms);
/* The memory it holds. */
size_t bosh_session_size(const struct bosh_session *b);
/* Whether everything was told and it can be freed: after `ended`, or after close once told. */
bool bosh_session_is_done(const struct bosh_session *b);

/* Once a second: the wait of held requests, inactivity, pauses. */
void bosh_session_tick(struct bosh_session *b, int64_t now_ms);
/* When a request last came. */
int64_t bosh_session_last_request(const struct bosh_session *b);
