/*
 * Stream management in a client's stream (XEP-0198): sessions that go on in a new stream, whose
 * they are (wire fact 25), and counters of both ends kept true in the short time when they differ
 * (wire fact 24): behind a join that was forwarded after its client's address was asked for. That
 * they differ at no other time is stream_answer.c's work.
 */
#include "proxy/log.h"
#include "proxy/stream.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Where Prosody says no max (XEP-0198 leaves it out when it has none): mod_smacks' default. */
#define RESUME_DEFAULT_S 600
#define RESUME_MAX_S 3600

static bool read_h(const struct element *e, uint32_t *ret)
{
    const char *h = element_attribute(e, "h");
    char *end;
    unsigned long value;

    if (!h || h[0] < '0' || h[0] > '9')
        return false;
    errno = 0;
    value = strtoul(h, &end, 10);
    if (errno || *end || value > UINT32_MAX)
        return false;
    *ret = (uint32_t)value;
    return true;
}

/* Sends what was built, one way or the other. */
static void send_built(struct stream *s, struct buf *out,
                       bool (*send_to)(struct stream *s, const char *data, size_t len))
{
    if (out->failed)
        stream_end(s, CLOSE_NO_MEMORY, NULL);
    else
        send_to(s, out->data, out->len);
    buf_done(out);
}

static void send_ack(struct stream *s, uint32_t h,
                     bool (*send_to)(struct stream *s, const char *data, size_t len))
{
    struct buf out = BUF_INIT;

    buf_printf(&out, "<a xmlns='" NS_SM "' h='%u'/>", h);
    send_built(s, &out, send_to);
}

/* <resume/> or <resumed/>. */
static void send_resume(struct stream *s, const char *name, uint32_t h,
                        bool (*send_to)(struct stream *s, const char *data, size_t len))
{
    struct buf out = BUF_INIT;

    buf_printf(&out, "<%s xmlns='" NS_SM "' previd='", name);
    buf_add_xml(&out, s->resume_id);
    buf_printf(&out, "' h='%u'/>", h);
    send_built(s, &out, send_to);
}

/* <a/> and <resume/> count what the client was sent, ours included; Prosody is told its own count.
 */
void stream_client_ack(struct stream *s, const struct element *e, const char *data, size_t len)
{
    struct session *session = s->session;
    uint32_t h, translated;
    bool has_count = read_h(e, &h);

    if (!session || !session->sm.enabled || (!has_count && sm_is_even(&session->sm))) {
        stream_send_server(s, data, len); /* Prosody judges it */
        return;
    }
    if (!has_count) {
        stream_end(s, CLOSE_BAD_COUNT, "acknowledged");
        return;
    }
    session_acknowledged(session, h);
    translated = sm_ack(&session->sm.down, h);
    if (translated == h) {
        stream_send_server(s, data, len);
        return;
    }
    send_ack(s, translated, stream_send_server);
}

void stream_client_resume(struct stream *s, const struct element *e, const char *data, size_t len)
{
    const char *id = element_attribute(e, "previd");
    struct session *former = id ? sessions_find(s->proxy->sessions, id) : NULL;
    uint32_t h, translated;

    s->awaits_resume = true;
    transport_stop(s->client, TRANSPORT_HELD);
    free(s->resume_id);
    s->resume_id = id ? strdup(id) : NULL;
    if (id && !s->resume_id) {
        stream_end(s, CLOSE_NO_MEMORY, NULL);
        return;
    }
    /* Prosody's mod_smacks reckons with it before it looks. */
    if (!read_h(e, &h)) {
        stream_end(s, CLOSE_BAD_COUNT, "resumed with");
        return;
    }
    s->resume_h = h;
    s->resume_is_ahead = former && former->sm.enabled && sm_is_behind(h, former->sm.down.to);
    if (!former || !former->sm.enabled || s->resume_is_ahead) {
        stream_send_server(s, data, len);
        return;
    }
    translated = sm_translate(&former->sm.down, h);
    if (translated == h) {
        stream_send_server(s, data, len);
        return;
    }
    send_resume(s, "resume", translated, stream_send_server);
}

/* What Prosody says. */

static void log_no_table(const struct stream *s)
{
    bool is_news = sessions_full_is_news(s->proxy->sessions, loop_now(s->proxy->loop));

    log_line(is_news ? LOG_LEVEL_WARN : LOG_LEVEL_DEBUG, s->tag,
             "no room to remember a resumable session: if it resumes, its rooms are unknown");
}

void stream_server_enabled(struct stream *s, const char *data, size_t len)
{
    const struct element *e = stream_parse_server(s, data, len);
    const char *id = e ? element_attribute(e, "id") : NULL;
    const char *resume = e ? element_attribute(e, "resume") : NULL;
    const char *max = e ? element_attribute(e, "max") : NULL;
    long seconds = max ? strtol(max, NULL, 10) : RESUME_DEFAULT_S;

    if (!s->session)
        return;
    sm_start_down(&s->session->sm);
    if (!id || !resume || (strcmp(resume, "true") != 0 && strcmp(resume, "1") != 0))
        return;
    if (seconds < 1 || seconds > RESUME_MAX_S)
        seconds = RESUME_MAX_S;
    if (!session_resumable(s->proxy->sessions, s->session, id, seconds * 1000,
                           loop_now(s->proxy->loop)))
        log_no_table(s);
}

/* What Prosody has handled, in the client's count; data is replaced where they differ. */
void stream_server_ack(struct stream *s, const char *data, size_t len)
{
    const struct element *e =
        s->session && s->session->sm.enabled ? stream_parse_server(s, data, len) : NULL;
    uint32_t h, translated;

    if (!e || !read_h(e, &h) || (translated = sm_ack(&s->session->sm.up, h)) == h) {
        stream_send_client(s, data, len);
        return;
    }
    send_ack(s, translated, stream_send_client);
}

/* What is known of it cannot be relied upon, or Prosody has no such session any more. */
static void forget(struct stream *s, struct session *former)
{
    struct stream *old = former->stream;

    if (old) {
        old->session = NULL;
        stream_end(old, CLOSE_REPLACED, NULL);
    }
    session_leave(s->proxy->sessions, former, true, loop_now(s->proxy->loop));
}

/* The former session goes on in this stream. */
static void take_over(struct stream *s, struct session *former)
{
    int64_t now = loop_now(s->proxy->loop);
    struct stream *old = former->stream;

    if (former == s->session)
        return;
    stream_inherit_token(s, former);
    session_leave(s->proxy->sessions, s->session, true, now);
    s->session = former;
    session_take(s->proxy->sessions, former, s, now);
    if (old) {
        old->session = NULL;
        stream_end(old, CLOSE_REPLACED, NULL);
    }
}

/* Those that Prosody does not bring again. */
static void send_answers_again(struct stream *s, uint32_t h)
{
    struct session *session = s->session;

    for (struct session_answer *at = session->answers; at; at = at->next) {
        if (at->state != ANSWER_ADDED || !sm_is_behind(at->at, h))
            continue;
        if (!sm_added(&session->sm.down)) {
            stream_end(s, CLOSE_TOO_MUCH, "stanzas without an acknowledgement");
            return;
        }
        at->at = session->sm.down.to;
        stream_send_client(s, at->stanza, strlen(at->stanza));
        if (s->state != STREAM_OPEN)
            return;
    }
}

/* A session this instance does not know: another's, or from before a restart. Both ends agree on
 * the counts, since whatever we answer counts for both (stream_answer.c). Whose it is shows with
 * the first stanza from Prosody. */
static void resumed_unknown(struct stream *s, uint32_t server_h)
{
    struct session *session = s->session;

    session->is_token_unseen = true;
    session->sm.enabled = session->sm.agreed = true;
    session->sm.up.from = session->sm.up.to = server_h;
    session->sm.down.from = session->sm.down.to = s->resume_h;
    if (!session_resumable(s->proxy->sessions, session, s->resume_id, RESUME_DEFAULT_S * 1000,
                           loop_now(s->proxy->loop)))
        log_no_table(s);
    stream_go_on(s);
}

/* Nothing came yet: the ping that stands in for the stanza is answered to his address. The stanza
 * waits; should this process end meanwhile, the client learns that he may try again. */
void stream_ask_address(struct stream *s, const struct element *e, const char *data, size_t len)
{
    struct session_answer *answer;
    struct buf out = BUF_INIT;

    s->held = malloc(len);
    stanza_error(&out, e, NULL, "wait", "service-unavailable",
                 "Whose session this is could not be learnt; try again.");
    if (!s->held || out.failed) {
        stream_end(s, CLOSE_NO_MEMORY, NULL);
    } else {
        memcpy(s->held, data, len);
        s->held_len = len;
        s->probe_number = stream_stand_in(s, out.data);
    }
    buf_done(&out);
    if (s->state != STREAM_OPEN)
        return;
    answer = session_find_answer(s->session, s->probe_number);
    answer->state = ANSWER_UNDECIDED;
    s->held_for = HELD_FOR_ADDRESS;
    transport_stop(s->client, TRANSPORT_HELD);
}

void stream_learn_address(struct stream *s, const char *data, size_t len)
{
    const struct element *e;
    const char *to;

    if (!s->session || !s->session->is_token_unseen || s->session->full_jid)
        return;
    e = stream_parse_server(s, data, len);
    to = e ? element_attribute(e, "to") : NULL;
    if (!to || !session_bind(s->session, to))
        return; /* to the bare address, say: the next one tells */
    stream_name(s);
    if (s->held_for == HELD_FOR_ADDRESS)
        loop_defer(s->proxy->loop, &s->addressed);
}

void stream_go_on_addressed(struct stream *s)
{
    char *held = s->held;
    size_t len = s->held_len;

    if (s->state != STREAM_OPEN || s->held_for != HELD_FOR_ADDRESS || !held)
        return;
    s->held = NULL;
    stream_forget_join(s);
    stream_client_message(s, held, len);
    free(held);
    if (s->state == STREAM_OPEN)
        stream_go_on(s);
}

static bool is_ping(const struct stream *s, const struct element *e)
{
    const char *type = element_attribute(e, "type"), *to = element_attribute(e, "to");

    return type && strcmp(type, "get") == 0 && element_attribute(e, "id") &&
           element_child(e, NS_PING, "ping") &&
           (!to || strcmp(to, s->proxy->config->xmpp.domain) == 0);
}

static bool was_added(const struct session *session, const char *answer)
{
    const struct session_answer *at = session->answers;

    while (at && (at->state != ANSWER_ADDED || strcmp(at->stanza, answer) != 0))
        at = at->next;
    return at != NULL;
}

static bool add_answer(struct stream *s, const char *text)
{
    struct session *session = s->session;
    struct session_answer *kept = session_keep_answer(session, text, loop_now(s->proxy->loop));

    if (!kept || !sm_added(&session->sm.down))
        return false;
    kept->state = ANSWER_ADDED;
    kept->at = session->sm.down.to;
    stream_send_client(s, text, strlen(text));
    return true;
}

/* Prosody counts more stanzas each way than the client: a join was forwarded behind its ping. The
 * next time he pings his server that stays here and we answer it, one more each way for him: from
 * then on the counts are the same again, and the session may go on anywhere. */
bool stream_evens_out(struct stream *s, const struct element *e)
{
    struct session *session = s->session;
    const struct sm *sm = session ? &session->sm : NULL;
    struct buf out = BUF_INIT;
    bool is_again, stays;

    if (!session || !session->full_jid || !sm_is_behind(sm->up.to, sm->up.from) || !is_ping(s, e))
        return false;
    stanza_result(&out, e, session->full_jid);
    /* Sent again, since Prosody had not what came before it: he has the answer. */
    is_again = !out.failed && was_added(session, out.data);
    stays = is_again || sm_is_behind(sm->down.from, sm->down.to);
    if (out.failed || (stays && !sm_withheld(&session->sm.up)) ||
        (stays && !is_again && !add_answer(s, out.data)))
        stream_end(s, CLOSE_NO_MEMORY, NULL);
    buf_done(&out);
    return stays || s->state != STREAM_OPEN;
}

void stream_server_resumed(struct stream *s, const char *data, size_t len)
{
    const struct element *e = stream_parse_server(s, data, len);
    struct session *former = s->resume_id ? sessions_find(s->proxy->sessions, s->resume_id) : NULL;
    uint32_t h, translated;

    s->awaits_resume = false;
    s->is_logged_in = true;
    if (!e || !read_h(e, &h)) {
        stream_end(s, CLOSE_PROSODY_LOST, "a session resumed without a count");
        return;
    }
    if (former && former != s->session && s->resume_is_ahead) {
        /* He was sent more than from here: he was elsewhere meanwhile, and comes from there. Only
         * now is it known to be him who says so. */
        forget(s, former);
        former = NULL;
    }
    if (!former) {
        stream_send_client(s, data, len);
        resumed_unknown(s, h);
        return;
    }
    take_over(s, former);
    stream_name(s);
    translated = sm_rewind(&former->sm.up, h);
    session_resumed(former, s->resume_h);
    sm_rewind(&former->sm.down, s->resume_h);
    if (translated == h) {
        stream_send_client(s, data, len);
    } else {
        send_resume(s, "resumed", translated, stream_send_client);
    }
    if (s->state == STREAM_OPEN)
        send_answers_again(s, s->resume_h);
    if (s->state == STREAM_OPEN)
        stream_go_on(s);
}

/* <failed/> with the client's count of what was handled (XEP-0198 section 5, wire fact 24). */
static bool send_failed(struct stream *s, const struct session *former, const struct element *e)
{
    struct buf out = BUF_INIT;
    uint32_t h, translated;

    if (!read_h(e, &h) || (translated = sm_translate(&former->sm.up, h)) == h)
        return false;
    buf_printf(&out, "<failed xmlns='" NS_SM "' h='%u'>", translated);
    for (const struct element *child = e->first_child; child; child = child->next) {
        buf_printf(&out, "<%s xmlns='", child->name);
        buf_add_xml(&out, child->ns);
        buf_add_str(&out, "'/>");
    }
    buf_add_str(&out, "</failed>");
    send_built(s, &out, stream_send_client);
    return true;
}

/* Prosody looks for a session among the login's own, by the id and the login's name: that it finds
 * none says nothing of the session where another user asks, who may have read the id in a log. It
 * counts (mod_smacks) only for one that was this user's and is over; and a client who is in a
 * session already is refused before it looks. */
void stream_server_failed(struct stream *s, const char *data, size_t len)
{
    struct session *former = s->resume_id ? sessions_find(s->proxy->sessions, s->resume_id) : NULL;
    const struct element *e = s->awaits_resume ? stream_parse_server(s, data, len) : NULL;
    bool is_not_found = e && element_child(e, NS_STANZA_ERRORS, "item-not-found");
    bool is_sent = e && former && send_failed(s, former, e);
    uint32_t h;

    if (e && former && former != s->session && read_h(e, &h))
        forget(s, former);
    else if (!s->awaits_resume && s->session && !s->session->sm.agreed)
        sm_done(&s->session->sm); /* <enable/> was refused; a second one always is */
    s->resume_is_not_found = is_not_found;
    s->awaits_resume = false;
    if (!is_sent)
        stream_send_client(s, data, len);
    if (s->state == STREAM_OPEN)
        stream_go_on(s);
}

/* The login's name shows only now. */
void stream_resume_not_found(struct stream *s)
{
    struct session *former = s->resume_id ? sessions_find(s->proxy->sessions, s->resume_id) : NULL;
    const char *name = s->session ? s->session->bare_jid : NULL;

    if (s->resume_is_not_found && former && former != s->session && former->bare_jid && name &&
        strcmp(former->bare_jid, name) == 0)
        forget(s, former);
    s->resume_is_not_found = false;
}
