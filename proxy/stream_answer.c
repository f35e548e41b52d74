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

#include <string.h>

static void stand_in(struct stream *s, const char *answer)
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
}

void stream_answer(struct stream *s, const struct element *e, const char *type,
                   const char *condition, const char *text)
{
    struct session *session = s->session;
    struct buf out = BUF_INIT;

    stanza_error(&out, e, session->full_jid, type, condition, text);
    if (out.failed)
        stream_end(s, CLOSE_NO_MEMORY, NULL);
    else if (session->sm.enabled)
        stand_in(s, out.data);
    else
        stream_send_client(s, out.data, out.len);
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

/* The client has our answer already. */
static void hide(struct stream *s, struct session_answer *answer)
{
    if (!sm_withheld(&s->session->sm.down)) {
        stream_end(s, CLOSE_TOO_MUCH, "stanzas without an acknowledgement");
        return;
    }
    answer->is_hidden = true;
    answer->hidden_at = s->session->sm.down.to;
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
    } else if (answer && answer->is_early) {
        hide(s, answer);
    } else if (is_answer(s, &text)) {
        if (answer)
            session_forget_answer(s->session, answer);
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
    for (struct session_answer *at = s->session->answers, *next; at; at = next) {
        next = at->next;
        if (at->is_early || now - at->since < STREAM_ANSWER_MS)
            continue;
        if (!sm_added(&s->session->sm.down)) {
            stream_end(s, CLOSE_TOO_MUCH, "stanzas without an acknowledgement");
            return;
        }
        at->is_early = true;
        at->at = s->session->sm.down.to;
        stream_send_client(s, at->stanza, strlen(at->stanza));
        if (s->state != STREAM_OPEN)
            return;
    }
}
