/*
 * What Prosody sends: its bytes go on as they came. A message is parsed only where something can be
 * learnt of it: the JID, stream management, the rooms the client is in, and how those are.
 */
#include "proxy/log.h"
#include "proxy/stream.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"

#include <stdlib.h>
#include <string.h>

/* Where Prosody says no max (XEP-0198 leaves it out when it has none): mod_smacks' default. */
#define RESUME_DEFAULT_S 600
#define RESUME_MAX_S 3600

static bool has(const char *data, size_t len, const char *text)
{
    return memmem(data, len, text, strlen(text)) != NULL;
}

static const struct element *parse(struct stream *s, const char *data, size_t len)
{
    const struct parse_limits limits = {
        .bytes = len, .depth = 256, .elements = 100000, .attributes = 256};
    const struct element *e = NULL;

    if (parser_read(s->proxy->parser, data, len, &limits, &e) == PARSE_OK)
        return e;
    log_line(LOG_LEVEL_DEBUG, s->tag, "a message of Prosody's could not be read; it is passed on");
    return NULL;
}

static void go_on(struct stream *s)
{
    if (!s->awaits_bind && !s->awaits_resume && !s->held)
        wsock_go(s->client, WSOCK_HELD);
}

/* The room a stanza comes from. */
static enum muc_place locate(struct stream *s, const struct element *e, struct muc_room *ret)
{
    const char *from = element_attribute(e, "from");
    struct jid address;
    enum muc_place place;
    bool no_memory = false;

    if (!from || jid_parse(from, strlen(from), &address) != JID_OK)
        return MUC_ELSEWHERE;
    place = muc_locate(&s->proxy->config->xmpp, &address, ret, &no_memory);
    jid_done(&address);
    if (no_memory)
        stream_end(s, CLOSE_NO_MEMORY, NULL);
    return place;
}

static void bound(struct stream *s, const struct element *e)
{
    const struct element *bind = element_child(e, NS_BIND, "bind");
    const struct element *jid = bind ? element_child(bind, NS_BIND, "jid") : NULL;
    const char *type = element_attribute(e, "type");

    if (!bind && !(type && strcmp(type, "error") == 0))
        return;
    s->awaits_bind = false;
    if (jid && s->session) {
        if (!session_bind(s->session, jid->text))
            log_line(LOG_LEVEL_WARN, s->tag, "Prosody bound an address that is no full JID");
        s->session->is_fresh = s->is_anonymous && !s->has_previd;
        s->is_logged_in = true;
        stream_name(s);
    }
    go_on(s);
}

static void owner_set_answered(struct stream *s, const struct element *e)
{
    const char *id = element_attribute(e, "id");
    const char *type = element_attribute(e, "type");

    if (!id || !type || (strcmp(type, "result") != 0 && strcmp(type, "error") != 0))
        return;
    for (size_t i = 0; i < STREAM_OWNER_SETS_MAX; i++) {
        if (s->owner_sets[i].id && strcmp(s->owner_sets[i].id, id) == 0)
            stream_forget_owner_set(s, i, loop_now(s->proxy->loop));
    }
}

static void iq(struct stream *s, const char *data, size_t len)
{
    bool has_info = has(data, len, "muc_membersonly") || has(data, len, "muc_open");
    bool has_owner_sets = false;
    const struct element *e;
    struct muc_info info;
    struct muc_room room;

    for (size_t i = 0; i < STREAM_OWNER_SETS_MAX; i++)
        has_owner_sets |= s->owner_sets[i].id != NULL;
    if (!s->awaits_bind && !has_info && !has_owner_sets)
        return;
    e = parse(s, data, len);
    if (!e)
        return;
    if (s->awaits_bind)
        bound(s, e);
    if (has_owner_sets)
        owner_set_answered(s, e);
    if (!has_info || !muc_read_info(e, &info))
        return;
    switch (locate(s, e, &room)) {
    case MUC_MAIN:
        if (!room.nick[0])
            rooms_info(s->proxy->rooms, room.jid, &info, loop_now(s->proxy->loop));
        muc_room_done(&room);
        break;
    case MUC_LOBBY:
    case MUC_HEALTH:
        muc_room_done(&room);
        break;
    case MUC_ELSEWHERE:
        break;
    }
}

static void entered(struct stream *s, const struct muc_room *room, bool is_lobby,
                    const struct muc_presence *p)
{
    int64_t now = loop_now(s->proxy->loop);

    if (!session_enter(s->session, room->jid, room->nick, is_lobby)) {
        stream_end(s, CLOSE_TOO_MUCH, "in too many rooms");
        return;
    }
    if (is_lobby)
        rooms_lobby_entered(s->proxy->rooms, room->jid, s->session->full_jid, now);
    else
        rooms_entered(s->proxy->rooms, room->jid, s->session->full_jid, p->affiliation, now);
}

static void left(struct stream *s, const struct muc_room *room, bool is_lobby,
                 const struct muc_presence *p)
{
    int64_t now = loop_now(s->proxy->loop);

    session_exit(s->session, room->jid, is_lobby);
    if (is_lobby) {
        rooms_lobby_left(s->proxy->rooms, room->jid, s->session->full_jid, now);
        return;
    }
    rooms_left(s->proxy->rooms, room->jid, s->session->full_jid, p->kicked || p->banned, now);
    if (p->destroyed)
        rooms_destroyed(s->proxy->rooms, room->jid, now);
}

/* Self-presence tells where the client is (XEP-0045 section 7.2.2); an error, that it is not. */
static void place_presence(struct stream *s, const struct muc_room *room, bool is_lobby,
                           const struct muc_presence *p)
{
    if (p->error) {
        if (!is_lobby && !session_find_place(s->session, room->jid, false))
            rooms_join_failed(s->proxy->rooms, room->jid, s->session->full_jid, p->condition,
                              p->has_lobbyroom, loop_now(s->proxy->loop));
        return;
    }
    if (!p->self)
        return;
    if (!p->unavailable) {
        entered(s, room, is_lobby, p);
    } else if (p->nick_change) {
        if (!session_enter(s->session, room->jid, p->new_nick, is_lobby))
            stream_end(s, CLOSE_NO_MEMORY, NULL);
    } else {
        left(s, room, is_lobby, p);
    }
}

static void presence(struct stream *s, const char *data, size_t len)
{
    struct muc_presence p;
    struct muc_room room;
    const struct element *e;
    enum muc_place place;

    if (!s->session || !s->session->full_jid || (!has(data, len, "110") && !has(data, len, "error")))
        return;
    e = parse(s, data, len);
    if (!e)
        return;
    place = locate(s, e, &room);
    if (place == MUC_ELSEWHERE)
        return;
    muc_read_presence(e, &p);
    if (place != MUC_HEALTH && room.nick[0])
        place_presence(s, &room, place == MUC_LOBBY, &p);
    muc_room_done(&room);
}

static void message(struct stream *s, const char *data, size_t len)
{
    struct muc_room room;
    const struct element *e;
    enum muc_place place;

    if (!has(data, len, "104"))
        return;
    e = parse(s, data, len);
    if (!e || !muc_is_config_change(e))
        return;
    place = locate(s, e, &room);
    if (place == MUC_ELSEWHERE)
        return;
    if (place == MUC_MAIN && !room.nick[0])
        rooms_config_changed(s->proxy->rooms, room.jid, loop_now(s->proxy->loop));
    muc_room_done(&room);
}

/* Stream management (XEP-0198). */

static bool read_h(const struct element *e, uint32_t *ret)
{
    const char *h = element_attribute(e, "h");

    if (!h || h[0] < '0' || h[0] > '9')
        return false;
    *ret = (uint32_t)strtoul(h, NULL, 10);
    return true;
}

static void enabled(struct stream *s, const char *data, size_t len)
{
    const struct element *e = parse(s, data, len);
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
    if (!session_resumable(s->proxy->sessions, s->session, id, seconds * 1000))
        log_line(LOG_LEVEL_WARN, s->tag,
                 "no room to remember a resumable session: if it resumes, its rooms are unknown");
}

/* What Prosody has handled, in the client's count; data is replaced where they differ. */
static void ack(struct stream *s, const char *data, size_t len)
{
    const struct element *e = s->session && s->session->sm.enabled ? parse(s, data, len) : NULL;
    struct buf out = BUF_INIT;
    uint32_t h, translated;

    if (!e || !read_h(e, &h) || (translated = sm_ack(&s->session->sm.up, h)) == h) {
        stream_send_client(s, data, len);
        return;
    }
    buf_printf(&out, "<a xmlns='" NS_SM "' h='%u'/>", translated);
    if (out.failed)
        stream_end(s, CLOSE_NO_MEMORY, NULL);
    else
        stream_send_client(s, out.data, out.len);
    buf_done(&out);
}

/* The former session goes on in this stream. */
static void take_over(struct stream *s, struct session *former)
{
    int64_t now = loop_now(s->proxy->loop);
    struct stream *old = former->stream;

    session_leave(s->proxy->sessions, s->session, true, now);
    s->session = former;
    session_take(s->proxy->sessions, former, s, now);
    if (old) {
        old->session = NULL;
        stream_end(old, CLOSE_REPLACED, NULL);
    }
}

/* Ours that the client had not acknowledged are sent again, at their new place. */
static void send_added_again(struct stream *s)
{
    struct session *session = s->session;

    for (struct session_added *at = session->added; at && s->state == STREAM_OPEN; at = at->next) {
        if (!sm_added(&session->sm.down)) {
            stream_end(s, CLOSE_TOO_MUCH, "refused joins without an acknowledgement");
            return;
        }
        stream_send_client(s, at->stanza, strlen(at->stanza));
    }
}

static void resumed(struct stream *s, const char *data, size_t len)
{
    const struct element *e = parse(s, data, len);
    struct session *former =
        s->resume_id ? sessions_find(s->proxy->sessions, s->resume_id) : NULL;
    struct buf out = BUF_INIT;
    uint32_t h, translated;

    s->awaits_resume = false;
    s->is_logged_in = true;
    if (!former || !e || !read_h(e, &h)) {
        stream_send_client(s, data, len);
        go_on(s);
        return;
    }
    take_over(s, former);
    stream_name(s);
    translated = sm_rewind(&former->sm.up, h);
    session_drop_added(former, sm_added_after(&former->sm.down, s->resume_h));
    sm_rewind(&former->sm.down, s->resume_h);
    if (translated == h) {
        stream_send_client(s, data, len);
    } else {
        buf_add_str(&out, "<resumed xmlns='" NS_SM "' previd='");
        buf_add_xml(&out, s->resume_id);
        buf_printf(&out, "' h='%u'/>", translated);
        if (out.failed)
            stream_end(s, CLOSE_NO_MEMORY, NULL);
        else
            stream_send_client(s, out.data, out.len);
        buf_done(&out);
    }
    if (s->state != STREAM_OPEN)
        return;
    send_added_again(s);
    go_on(s);
}

static void failed(struct stream *s, const char *data, size_t len)
{
    struct session *former =
        s->resume_id ? sessions_find(s->proxy->sessions, s->resume_id) : NULL;

    if (s->awaits_resume && former && !former->stream)
        session_leave(s->proxy->sessions, former, true, loop_now(s->proxy->loop));
    s->awaits_resume = false;
    stream_send_client(s, data, len);
    go_on(s);
}

void stream_server_message(struct stream *s, const char *data, size_t len)
{
    enum stanza_kind kind = stanza_peek(data, len);

    switch (kind) {
    case STANZA_SM_ACK:
        ack(s, data, len);
        return;
    case STANZA_SM_RESUMED:
        resumed(s, data, len);
        return;
    case STANZA_SM_FAILED:
        failed(s, data, len);
        return;
    case STANZA_SM_ENABLED:
        enabled(s, data, len);
        break;
    case STANZA_OPEN:
        s->is_opened = true;
        break;
    case STANZA_SASL_FAILURE:
        s->was_refused = true;
        break;
    case STANZA_CLOSE:
    case STANZA_STREAM_ERROR:
        s->is_closing = true;
        break;
    case STANZA_PRESENCE:
        presence(s, data, len);
        break;
    case STANZA_MESSAGE:
        message(s, data, len);
        break;
    case STANZA_IQ:
        iq(s, data, len);
        break;
    default:
        break;
    }
    if (s->state == STREAM_OPEN && s->session && stanza_is_counted(kind))
        sm_passed(&s->session->sm.down);
    stream_send_client(s, data, len);
}
