/*
 * What the client said and the stream has not taken yet (see bosh_state.h).
 *
 * What a newcomer gets wrong: a message may end the session under its very delivery, and is itself
 * in the inbox then; so nothing of it is freed before the last call has returned.
 */
#include "xmpp/bosh_state.h"
#include "xmpp/framing.h"

#include <string.h>

static void add_record(struct buf *records, const char *data, size_t len)
{
    buf_add(records, &len, sizeof(len));
    buf_add(records, data, len);
}

/* What a body says, in the form of RFC 7395. */
void bosh_inbox_add(struct bosh_session *b, struct buf *records, const struct bosh_body *body,
                    bool is_open, bool is_terminate)
{
    struct buf frame = BUF_INIT;
    size_t start = 0;
    if (is_open) {
        framing_open(&frame, b->to);
        add_record(records, frame.data ? frame.data : "", frame.len);
    }
    for (size_t i = 0; i < body->messages_len; i++) {
        add_record(records, body->messages.data + start, body->ends[i] - start);
        start = body->ends[i];
    }
    if (is_terminate) {
        buf_clear(&frame);
        framing_close(&frame);
        add_record(records, frame.data ? frame.data : "", frame.len);
    }
    records->failed = records->failed || frame.failed;
    buf_done(&frame);
}

size_t bosh_inbox_len(const struct bosh_session *b)
{
    return b->inbox.len - b->inbox_at;
}

void bosh_inbox_deliver(struct bosh_session *b)
{
    if (b->is_delivering || b->inbox.failed)
        return;
    b->is_delivering = true;
    while (b->state == BOSH_OPEN && !b->is_stopped && bosh_inbox_len(b) > 0) {
        size_t len = 0;
        memcpy(&len, b->inbox.data + b->inbox_at, sizeof(len));
        const char *data = b->inbox.data + b->inbox_at + sizeof(len);
        b->inbox_at += sizeof(len) + len;
        b->actions->message(b->ctx, data, len);
    }
    b->is_delivering = false;
    buf_drop(&b->inbox, b->inbox_at);
    b->inbox_at = 0;
    if (b->inbox.len == 0)
        buf_done(&b->inbox);
    if (b->state != BOSH_OPEN)
        bosh_inbox_drop(b);
}

void bosh_inbox_drop(struct bosh_session *b)
{
    if (b->is_delivering)
        return; /* the one that is being delivered is in it */
    buf_done(&b->inbox);
    for (size_t i = 0; i < b->requests_len; i++)
        buf_done(&b->requests[i].records);
}
