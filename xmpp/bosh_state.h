/*
 * What the parts of a BOSH session share (bosh_session.c, bosh_inbox.c, bosh_rids.c, bosh_answers.c), and
 * nobody else.
 *
 * Three lists: the requests not yet answered, by rid; the inbox, messages whose turn has come but
 * which the stream does not take yet; the output, what the server said since the last answer.
 * Everything that happens changes these and then calls bosh_settle(), the one place where answers are
 * given.
 */
#pragma once

#include "xmpp/bosh_output.h"
#include "xmpp/bosh_session.h"

/* Held and due ones, those ahead of their turn, and one that just came, with room to spare. */
#define BOSH_ENTRIES_MAX 8

enum bosh_state {
    BOSH_OPEN,
    BOSH_TELLING, /* the other end is over, and the client's next request is told so */
    BOSH_OVER,
};

struct bosh_entry {
    int64_t rid, since_ms;
    void *handle;  /* NULL when its connection is gone */
    bool is_taken; /* its turn came: the messages are in the inbox */
    bool is_terminate;
    int64_t pause_s;    /* -1: none */
    struct buf records; /* as long as it is not taken */
};

struct bosh_answer {
    int64_t rid;
    struct buf body;
};

struct bosh_session {
    const struct bosh_actions *actions;
    void *ctx;
    char *sid, *to;
    int64_t wait_s, hold;
    enum bosh_state state;
    bool is_created; /* the first answer was given */
    bool is_stopped, is_delivering, is_settling;
    bool is_leaving; /* the client terminates, or was told that the server did: <close/> is in the
                        inbox, and behind it this is over */
    bool is_told;    /* a terminate has gone out */
    bool is_let_go;  /* by bosh_session_close */
    bool was_full, failed;
    const char *condition; /* while BOSH_TELLING */
    int64_t now_ms, last_request_ms;
    int64_t idle_since_ms; /* -1 while a request is there */
    int64_t inactivity_s;
    int64_t idle_period_ms; /* when it began, and how many empty requests there were */
    unsigned idle_requests;
    int64_t last_rid;                      /* taken */
    int64_t pause_rid;                     /* 0: none; the pause lasts until the next request */
    struct bosh_entry requests[BOSH_ENTRIES_MAX]; /* by rid; those taken come first */
    size_t requests_len;
    struct bosh_answer kept[BOSH_REQUESTS]; /* the last ones, the newest first */
    struct buf inbox;                  /* records: a size_t and as many bytes */
    size_t inbox_at, inbox_max;
    struct bosh_output output;
};

/* The inbox (bosh_inbox.c). */

/* What a body says, in the form of RFC 7395, as records. */
void bosh_inbox_add(struct bosh_session *b, struct buf *records, const struct bosh_body *body,
                    bool is_open, bool is_terminate);
size_t bosh_inbox_len(const struct bosh_session *b);
/* To the stream, as long as it takes them. */
void bosh_inbox_deliver(struct bosh_session *b);
/* Nobody takes them any more: theirs and those of requests whose turn has not come. */
void bosh_inbox_drop(struct bosh_session *b);

/* Requests (bosh_rids.c). */

bool bosh_has_handle(const struct bosh_session *b);
struct bosh_entry *bosh_insert_request(struct bosh_session *b, const struct bosh_body *body,
                                       void *handle);
/* Those whose turn has come. */
void bosh_take_requests(struct bosh_session *b);

/* Answers (bosh_answers.c). */

/* Answers the first request, with what waits for the client or without. false: no memory. */
bool bosh_answer_first(struct bosh_session *b, bool with_output);
void bosh_refuse_request(struct bosh_session *b, void *handle, const char *condition);
/* The answer a rid had; NULL when it is not kept, or no longer. */
const struct bosh_answer *bosh_find_kept(const struct bosh_session *b, int64_t rid);
/* The answer to rid, and those before, have arrived. */
void bosh_forget_answers(struct bosh_session *b, int64_t rid);
/* All but the newest. */
void bosh_keep_last_answer(struct bosh_session *b);
/* Tells every open request that it is over; the first gets what waits, too. */
void bosh_tell_end(struct bosh_session *b, const char *condition);

/* The session (bosh_session.c). */

void bosh_end(struct bosh_session *b, enum bosh_end why, const char *condition, const char *detail);
void bosh_settle(struct bosh_session *b);
