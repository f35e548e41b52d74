/*
 * Answers in Prosody's place, in a session with stream management: a ping stands in for the
 * client's stanza, and the client is given our answer where Prosody's answer to the ping comes.
 * Each end sent and received the same number of stanzas at every moment, so a connection may break
 * anywhere, and the session go on at any instance:
 *   - the ping was lost: Prosody's count lacks it, the client sends his stanza again, it is judged
 * again;
 *   - its answer was lost: Prosody sends that again, and our answer is in it (xmpp/stand_in.h);
 *   - the client has our answer: he acknowledges, and Prosody forgets its own.
 *
 * Only where Prosody is silent for a second the client gets our answer early, and the two counts
 * differ until Prosody speaks: xmpp/sm.h keeps them right meanwhile, here. stream.c's close_server
 * says what becomes of such a session when it breaks.
 */
#include "proxy/stream.h"
#include "xmpp/stand_in.h"
#include "xmpp/stanza.h"

#include <stdlib.h>
#include <string.h>

static void let_server_go(struct stream *s)
{
    if (s->is_probe_answered && s->server)
        wsock_go(s->server, TRANSPORT_HELD);
    s->is_probe_answered = false;
}

uint64_t stream_stand_in(struct stream *s, const char *answer)
{
    struct session_answer *kept = session_keep_answer(s->session, answer, loop_now(s->proxy->loop));
    struct buf ping = BUF_INIT;

    if (!kept)
        stream_end(s, CLOSE_TOO_MUCH, "stanzas answered here that Prosody has not heard of");
    else if (!stand_in_write(&ping, kept->number, answer))
        stream_end(s, CLOSE_TOO_LARGE, "a stanza too long to be answered");
    else if (ping.failed)
        stream_end(s, CLOSE_NO_MEMORY, NULL);
    else
        stream_forward(s, ping.data, ping.len);
    buf_done(&ping);
    return s->state == STREAM_OPEN ? kept->number : 0;
}

/* In the place of Prosody's. */
static void deliver(struct stream *s, struct session_answer *answer)
{
    sm_passed(&s->session->sm.down);
    stream_send_client(s, answer->stanza, strlen(answer->stanza));
    if (s->session)
        session_forget_answer(s->session, answer);
}

/* It goes out by itself. */
static void send_early(struct stream *s, struct session_answer *answer)
{
    if (s->session->sm.enabled && !sm_added(&s->session->sm.down)) {
        stream_end(s, CLOSE_TOO_MUCH, "stanzas without an acknowledgement");
        return;
    }
    answer->is_early = true;
    answer->at = s->session->sm.down.to;
    stream_send_client(s, answer->stanza, strlen(answer->stanza));
}

/* Prosody's comes by itself. */
static void hide(struct stream *s, struct session_answer *answer)
{
    if (!s->session->sm.enabled) {
        session_forget_answer(s->session, answer); /* it comes only once */
        return;
    }
    if (!sm_withheld(&s->session->sm.down)) {
        stream_end(s, CLOSE_TOO_MUCH, "stanzas without an acknowledgement");
        return;
    }
    answer->is_hidden = true;
    answer->hidden_at = s->session->sm.down.to;
}

/* One more for Prosody each way than for the client; stream_evens_out makes up for it. */
void stream_forwarded_probed(struct stream *s)
{
    struct session_answer *answer = session_find_answer(s->session, s->probe_number);

    s->probe_number = 0;
    answer->is_undecided = false;
    answer->is_silent = true;
    if (!sm_added(&s->session->sm.up))
        stream_end(s, CLOSE_TOO_MUCH, "stanzas without an acknowledgement");
    else if (s->is_probe_answered)
        hide(s, answer);
    let_server_go(s);
}

/* A ping stands in for it already, which asked for his address. */
static void answer_probed(struct stream *s, struct buf *text)
{
    struct session_answer *answer = session_find_answer(s->session, s->probe_number);

    s->probe_number = 0;
    free(answer->stanza);
    answer->stanza = buf_take(text);
    answer->is_undecided = false;
    if (s->is_probe_answered)
        deliver(s, answer);
    let_server_go(s);
}

void stream_answer(struct stream *s, const struct element *e, const char *type,
                   const char *condition, const char *text)
{
    struct buf out = BUF_INIT;

    stanza_error(&out, e, s->session->full_jid, type, condition, text);
    if (out.failed)
        stream_end(s, CLOSE_NO_MEMORY, NULL);
    else if (s->probe_number)
        answer_probed(s, &out);
    else
        stream_stand_in(s, out.data);
    buf_done(&out);
}

/* What an id brought was ours to give: a stanza error and nothing else. */
static bool is_answer(struct stream *s, const struct buf *text)
{
    const struct element *e =
        text->data && !text->failed ? stream_parse_server(s, text->data, text->len) : NULL;
    const char *type = e ? element_attribute(e, "type") : NULL;

    return type && stanza_is_counted(stanza_kind(e)) && strcmp(type, "error") == 0;
}

bool stream_stand_in_answered(struct stream *s, const char *data, size_t len)
{
    const struct element *e =
        s->session && stand_in_peek(data, len) ? stream_parse_server(s, data, len) : NULL;
    struct session_answer *answer;
    struct buf text = BUF_INIT;
    uint64_t number;
    bool is_ours = true;

    if (!e || !stand_in_read(e, &number, &text))
        return false;
    answer = session_find_answer(s->session, number);
    if (text.failed) {
        stream_end(s, CLOSE_NO_MEMORY, NULL);
    } else if (answer && answer->is_undecided) {
        /* What comes behind it waits too, so that the place is still there when he is answered. */
        s->is_probe_answered = true;
        wsock_stop(s->server, TRANSPORT_HELD);
    } else if (answer && (answer->is_silent || answer->is_early)) {
        hide(s, answer);
    } else if (answer) {
        deliver(s, answer);
    } else if (is_answer(s, &text)) {
        sm_passed(&s->session->sm.down);
        stream_send_client(s, text.data, text.len);
    } else {
        is_ours = false;
    }
    buf_done(&text);
    return is_ours;
}

/* Whether an answer that Prosody is silent about goes out now; an address is waited for longer. */
static bool is_due(const struct stream *s, const struct session_answer *answer, int64_t now)
{
    if (answer->is_undecided)
        return s->probe && now - answer->since >= STREAM_PROBE_MS;
    return !answer->is_early && !answer->is_silent && now - answer->since >= STREAM_ANSWER_MS;
}

void stream_tick_answers(struct stream *s, int64_t now)
{
    if (s->state != STREAM_OPEN || !s->session)
        return;
    for (struct session_answer *at = s->session->answers, *next; at; at = next) {
        next = at->next;
        if (!is_due(s, at, now))
            continue;
        if (at->is_undecided) {
            at->is_undecided = false;
            s->probe_number = 0;
            stream_forget_join(s);
            stream_go_on(s);
        }
        send_early(s, at);
        if (s->state != STREAM_OPEN)
            return;
    }
}
