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
 * So where Prosody is silent the client waits: an answer that went out before Prosody's would be a
 * stanza only he counts, and this process may end at any time. Only who has no stream management
 * is told by himself after a second.
 */
#include "proxy/stream.h"
#include "xmpp/stand_in.h"
#include "xmpp/stanza.h"

#include <stdlib.h>
#include <string.h>

#define NOT_TOLD "whose session was resumed could not be learnt"

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

/* Prosody's, to a ping that what it stood for was forwarded behind. */
static void hide(struct stream *s, struct session_answer *answer)
{
    if (!sm_withheld(&s->session->sm.down)) {
        stream_end(s, CLOSE_TOO_MUCH, "stanzas without an acknowledgement");
        return;
    }
    answer->state = ANSWER_HIDDEN;
    answer->at = s->session->sm.down.to;
}

/* One more for Prosody each way than for the client, whose own stanza is the second of the two;
 * stream_evens_out makes up for it. */
void stream_forwarded_probed(struct stream *s)
{
    struct session_answer *answer = session_find_answer(s->session, s->probe_number);

    s->probe_number = 0;
    answer->state = ANSWER_FORWARDED;
    if (!sm_passed_behind(&s->session->sm.up))
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
    answer->state = ANSWER_WAITS;
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

/* Prosody's answer to the ping of an answer that is known here. */
static void meet(struct stream *s, struct session_answer *answer)
{
    switch (answer->state) {
    case ANSWER_WAITS:
        deliver(s, answer);
        break;
    case ANSWER_UNDECIDED:
        if (!s->session->full_jid) { /* there was no memory for it, and nothing else will tell */
            stream_end(s, CLOSE_PROSODY_LOST, NOT_TOLD);
            break;
        }
        /* What comes behind it waits too, so that the place is still there when he is answered. */
        s->is_probe_answered = true;
        wsock_stop(s->server, TRANSPORT_HELD);
        break;
    case ANSWER_EARLY:
        session_forget_answer(s->session, answer); /* it comes only once */
        break;
    case ANSWER_FORWARDED:
    case ANSWER_HIDDEN:
        hide(s, answer);
        break;
    case ANSWER_ADDED:
        break; /* no ping had that number */
    }
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
    if (answer && answer->state == ANSWER_ADDED)
        answer = NULL; /* a number no ping of ours had */
    if (text.failed) {
        stream_end(s, CLOSE_NO_MEMORY, NULL);
    } else if (answer) {
        meet(s, answer);
    } else if (is_answer(s, &text)) {
        sm_passed(&s->session->sm.down);
        stream_send_client(s, text.data, text.len);
    } else {
        is_ours = false;
    }
    buf_done(&text);
    return is_ours;
}

void stream_tick_answers(struct stream *s, int64_t now)
{
    if (s->state != STREAM_OPEN || !s->session)
        return;
    for (struct session_answer *at = s->session->answers; at; at = at->next) {
        if (at->state == ANSWER_UNDECIDED && s->held_for == HELD_FOR_ADDRESS &&
            now - at->since >= STREAM_PROBE_MS) {
            stream_end(s, CLOSE_PROSODY_LOST, NOT_TOLD);
            return;
        }
        if (at->state != ANSWER_WAITS || s->session->sm.enabled ||
            now - at->since < STREAM_ANSWER_MS)
            continue;
        at->state = ANSWER_EARLY;
        stream_send_client(s, at->stanza, strlen(at->stanza));
        if (s->state != STREAM_OPEN)
            return;
    }
}
