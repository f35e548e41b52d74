/*
 * The answers of a BOSH session (see bosh_state.h).
 *
 * What a newcomer gets wrong: what was answered may not have arrived. A client asks again with the
 * same rid, and must be given the same answer, as long as it can have lost it (XEP-0124
 * section 14.3).
 */
#include "xmpp/bosh_state.h"
#include "xmpp/ns.h"

#include <string.h>

/* What is kept for repetitions, all together; a longer answer is not kept at all. */
#define KEPT_MAX (2 * BOSH_HIGH_MARK)

static void add_text(struct buf *out, const char *name, const char *value)
{
    if (!value)
        return;
    buf_printf(out, " %s='", name);
    buf_add_xml(out, value);
    buf_add_str(out, "'");
}

/* XEP-0124 section 7.2 and XEP-0206 section 3, with what mod_bosh says. */
static void add_creation(const struct bosh_session *b, struct buf *out)
{
    buf_printf(out,
               " xmlns:xmpp='" NS_XBOSH "' xmpp:version='1.0' ver='1.6' secure='true' wait='%d'"
               " requests='%d' hold='%d' inactivity='%d' polling='%d' maxpause='%d'",
               (int)b->wait_s, BOSH_REQUESTS, (int)b->hold, BOSH_INACTIVITY_S, BOSH_POLLING_S,
               BOSH_PAUSE_MAX_S);
    add_text(out, "from", b->output.from ? b->output.from : b->to);
    add_text(out, "authid", b->output.id);
}

static void add_messages(struct bosh_session *b, struct buf *out)
{
    const struct buf *messages = &b->output.messages;
    buf_add_str(out, ">");
    buf_add(out, messages->data, messages->len);
    buf_add_str(out, "</body>");
}

/* Takes request i from the list and answers it. */
static void answer(struct bosh_session *b, size_t i, const char *body, size_t len)
{
    void *handle = b->requests[i].handle;
    buf_done(&b->requests[i].records);
    b->requests_len--;
    memmove(&b->requests[i], &b->requests[i + 1], (b->requests_len - i) * sizeof(b->requests[0]));
    if (handle)
        b->actions->answer(b->ctx, handle, body, len);
}

void bosh_refuse_request(struct bosh_session *b, void *handle, const char *condition)
{
    static const char no_memory[] = "<body xmlns='" NS_BOSH "' type='terminate'/>";
    struct buf body = BUF_INIT;
    bosh_terminate_body(&body, condition);
    if (body.failed)
        b->actions->answer(b->ctx, handle, no_memory, strlen(no_memory));
    else
        b->actions->answer(b->ctx, handle, body.data, body.len);
    buf_done(&body);
}

const struct bosh_answer *bosh_find_kept(const struct bosh_session *b, int64_t rid)
{
    for (size_t i = 0; i < BOSH_REQUESTS; i++)
        if (b->kept[i].body.len > 0 && b->kept[i].rid == rid)
            return &b->kept[i];
    return NULL;
}

static void forget(struct bosh_answer *kept)
{
    buf_done(&kept->body);
    kept->rid = 0;
}

/* A client has BOSH_REQUESTS on their way at most: with rid n it says that n - BOSH_REQUESTS was
 * answered, and that the answer came. */
void bosh_forget_answers(struct bosh_session *b, int64_t rid)
{
    for (size_t i = 0; i < BOSH_REQUESTS; i++)
        if (b->kept[i].rid <= rid)
            forget(&b->kept[i]);
}

void bosh_keep_last_answer(struct bosh_session *b)
{
    for (size_t i = 1; i < BOSH_REQUESTS; i++)
        forget(&b->kept[i]);
}

/* Takes the body. Answers are given in the order of rids, so what falls out is the oldest. */
static void keep(struct bosh_session *b, int64_t rid, struct buf *body)
{
    size_t len = body->len;
    forget(&b->kept[BOSH_REQUESTS - 1]);
    memmove(&b->kept[1], &b->kept[0], (BOSH_REQUESTS - 1) * sizeof(b->kept[0]));
    b->kept[0] = (struct bosh_answer){rid, *body};
    *body = (struct buf)BUF_INIT;
    for (size_t i = 1; i < BOSH_REQUESTS; i++) {
        len += b->kept[i].body.len;
        if (len > KEPT_MAX)
            forget(&b->kept[i]);
    }
}

/* Answers the first request, with what waits for the client or without. false: no memory. */
bool bosh_answer_first(struct bosh_session *b, bool with_output)
{
    int64_t rid = b->requests[0].rid;
    struct buf body = BUF_INIT;
    buf_add_str(&body, "<body xmlns='" NS_BOSH "' xmlns:stream='" NS_STREAMS "'");
    add_text(&body, "sid", b->sid);
    if (!b->is_created)
        add_creation(b, &body);
    if (with_output && b->output.messages.len > 0)
        add_messages(b, &body);
    else
        buf_add_str(&body, "/>");
    if (body.failed) {
        buf_done(&body);
        b->failed = true;
        return false;
    }
    b->is_created = true;
    if (with_output)
        buf_done(&b->output.messages);
    answer(b, 0, body.data, body.len);
    if (body.len <= KEPT_MAX)
        keep(b, rid, &body);
    buf_done(&body);
    return true;
}

/* Tells every open request that it is over; the first gets what waits, too. */
void bosh_tell_end(struct bosh_session *b, const char *condition)
{
    struct buf body = BUF_INIT;
    if (b->output.has_error)
        condition = "remote-stream-error"; /* XEP-0124 section 17.2 */
    bosh_terminate_body(&body, condition);
    if (!body.failed && !b->output.failed && b->output.messages.len > 0) {
        body.len -= strlen("/>");
        buf_add_str(&body, " xmlns:stream='" NS_STREAMS "'");
        add_messages(b, &body);
    }
    bool is_first = true;
    while (b->requests_len > 0) {
        void *handle = b->requests[0].handle;
        b->requests[0].handle = NULL;
        answer(b, 0, NULL, 0);
        if (!handle)
            continue;
        if (is_first && !body.failed)
            b->actions->answer(b->ctx, handle, body.data, body.len);
        else
            bosh_refuse_request(b, handle, condition);
        is_first = false;
    }
    buf_done(&body);
    bosh_output_done(&b->output);
    b->is_told = true;
}
