/*
 * What Prosody sends: its bytes go on as they came. A message is parsed only where something can be
 * learnt of it: the JID, stream management, the rooms the client is in, and how those are.
 */
#include "proxy/log.h"
#include "proxy/rejections.h"
#include "proxy/stream.h"
#include "xmpp/find.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"

#include <string.h>

const struct element *stream_parse_server(struct stream *s, const char *data, size_t len)
{
    const struct parse_limits limits = {
        .bytes = len, .depth = 256, .elements = 100000, .attributes = 256};
    const struct element *e = NULL;

    if (parser_read(s->proxy->parser, data, len, &limits, &e) == PARSE_OK)
        return e;
    log_line(LOG_LEVEL_DEBUG, s->tag, "a message of Prosody's could not be read; it is passed on");
    return NULL;
}

void stream_go_on(struct stream *s)
{
    if (!s->awaits_bind && !s->awaits_resume && !s->awaits_key && s->held_for == HELD_NOT)
        transport_go(s->client, TRANSPORT_HELD);
}

/* Only Prosody's own answer to the request: a client may send himself whatever looks like one. */
static bool answers_bind(const struct stream *s, const struct element *e)
{
    const char *id = element_attribute(e, "id");
    const char *type = element_attribute(e, "type");

    return !element_attribute(e, "from") && type && (id != NULL) == (s->bind_id != NULL) &&
           (!id || strcmp(id, s->bind_id) == 0) &&
           (strcmp(type, "result") == 0 || strcmp(type, "error") == 0);
}

static void bound(struct stream *s, const struct element *e)
{
    const struct element *bind = element_child(e, NS_BIND, "bind");
    const struct element *jid = bind ? element_child(bind, NS_BIND, "jid") : NULL;

    if (!answers_bind(s, e))
        return;
    s->awaits_bind = false;
    if (jid && s->session && !s->session->full_jid) {
        if (!session_bind(s->session, jid->text))
            log_line(LOG_LEVEL_WARN, s->tag, "Prosody bound an address that is no full JID");
        s->session->is_fresh = s->login.is_anonymous && !s->has_previd;
        s->is_logged_in = true;
        stream_name(s);
        stream_resume_not_found(s);
    }
    stream_go_on(s);
}

static void owner_set_answered(struct stream *s, const struct element *e)
{
    const char *id = element_attribute(e, "id");
    const char *type = element_attribute(e, "type");
    struct muc_room room;
    enum jid_result error;

    if (!id || !type || (strcmp(type, "result") != 0 && strcmp(type, "error") != 0) ||
        stream_locate(s, e, "from", &room, &error) == MUC_ELSEWHERE)
        return;
    for (size_t i = 0; i < STREAM_OWNER_SETS_MAX; i++) {
        if (s->owner_sets[i].id && strcmp(s->owner_sets[i].id, id) == 0 &&
            strcmp(s->owner_sets[i].room, room.jid) == 0)
            stream_forget_owner_set(s, i, loop_now(s->proxy->loop));
    }
    muc_room_done(&room);
}

static void iq(struct stream *s, const char *data, size_t len)
{
    bool has_info = find_text(data, len, "muc_membersonly") || find_text(data, len, "muc_open");
    bool has_owner_sets = false;
    const struct element *e;
    struct muc_info info;
    struct muc_room room;
    enum jid_result error;

    for (size_t i = 0; i < STREAM_OWNER_SETS_MAX; i++)
        has_owner_sets |= s->owner_sets[i].id != NULL;
    if (!s->awaits_bind && !has_info && !has_owner_sets)
        return;
    e = stream_parse_server(s, data, len);
    if (!e)
        return;
    if (s->awaits_bind)
        bound(s, e);
    if (has_owner_sets)
        owner_set_answered(s, e);
    if (!has_info || !muc_read_info(e, &info))
        return;
    switch (stream_locate(s, e, "from", &room, &error)) {
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

static void note_affiliation(struct stream *s, const struct muc_room *room, bool is_lobby,
                             const struct muc_presence *p)
{
    struct session_place *place = session_find_place(s->session, room->jid, is_lobby);

    if (place && p->affiliation[0])
        place->is_owner = strcmp(p->affiliation, "owner") == 0;
}

static void entered(struct stream *s, const struct muc_room *room, bool is_lobby,
                    const struct muc_presence *p)
{
    int64_t now = loop_now(s->proxy->loop);

    if (!session_enter(s->session, room->jid, room->nick, is_lobby)) {
        stream_end(s, CLOSE_TOO_MUCH, "in too many rooms");
        return;
    }
    note_affiliation(s, room, is_lobby, p);
    /* From now on the room may have given him an affiliation that nobody told us of. */
    s->session->is_fresh = false;
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
    if ((p->error || p->self) && !is_lobby && s->joins_on_way > 0)
        s->joins_on_way--;
    if (p->error) {
        if (is_lobby)
            return;
        if (strcmp(p->condition, "registration-required") == 0)
            session_exit(s->session, room->jid, false); /* he is not inside, if he ever was */
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
    enum jid_result error;
    const struct element *e;
    enum muc_place place;

    if (!s->session || !s->session->full_jid ||
        (!find_text(data, len, "110") && !find_text(data, len, "error")))
        return;
    e = stream_parse_server(s, data, len);
    if (!e)
        return;
    place = stream_locate(s, e, "from", &room, &error);
    if (place == MUC_ELSEWHERE)
        return;
    muc_read_presence(e, &p);
    if (place != MUC_HEALTH && room.nick[0])
        place_presence(s, &room, place == MUC_LOBBY, &p);
    muc_room_done(&room);
    if (s->proxy->owner_sets_held)
        loop_defer(s->proxy->loop, &s->proxy->owner_sets);
}

static void message(struct stream *s, const char *data, size_t len)
{
    struct muc_room room;
    enum jid_result error;
    const struct element *e;
    enum muc_place place;

    if (!find_text(data, len, "104"))
        return;
    e = stream_parse_server(s, data, len);
    if (!e || !muc_is_config_change(e))
        return;
    place = stream_locate(s, e, "from", &room, &error);
    if (place == MUC_ELSEWHERE)
        return;
    if (place == MUC_MAIN && !room.nick[0] && s->session && s->session->full_jid)
        rooms_config_changed(s->proxy->rooms, room.jid, s->session->full_jid,
                             loop_now(s->proxy->loop));
    muc_room_done(&room);
}

/* Prosody itself lets a client try for ever (RFC 6120 section 6.4.5 asks for a limit). */
static void refused(struct stream *s, const char *data, size_t len)
{
    int64_t now = loop_now(s->proxy->loop);

    login_failed(&s->login, stream_parse_server(s, data, len));
    if (rejections_note(s->proxy->rejections, &s->key, REJECTION_LOGIN_FAILED, now))
        log_line(LOG_LEVEL_INFO, s->tag, "Prosody refused a login");
    stream_send_client(s, data, len);
    if (++s->failed_logins == STREAM_LOGINS_MAX)
        stream_end(s, CLOSE_TOO_MUCH, "logins that failed");
}

void stream_server_message(struct stream *s, const char *data, size_t len)
{
    enum stanza_kind kind = stanza_peek(data, len);

    if (stanza_is_counted(kind))
        stream_learn_address(s, data, len);
    switch (kind) {
    case STANZA_SM_ACK:
        stream_server_ack(s, data, len);
        return;
    case STANZA_SM_RESUMED:
        stream_server_resumed(s, data, len);
        return;
    case STANZA_SM_FAILED:
        stream_server_failed(s, data, len);
        return;
    case STANZA_SM_ENABLED:
        stream_server_enabled(s, data, len);
        break;
    case STANZA_OPEN:
        s->is_opened = true;
        break;
    case STANZA_SASL_OTHER:
        login_challenged(&s->login);
        break;
    case STANZA_SASL_SUCCESS:
        login_succeeded(&s->login);
        stream_judge_at_login(s);
        break;
    case STANZA_SASL_FAILURE:
        refused(s, data, len);
        return;
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
        if (stream_stand_in_answered(s, data, len))
            return;
        iq(s, data, len);
        break;
    default:
        break;
    }
    if (s->state == STREAM_OPEN && s->session && stanza_is_counted(kind))
        sm_passed(&s->session->sm.down);
    stream_send_client(s, data, len);
}
