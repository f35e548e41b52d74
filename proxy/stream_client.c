/*
 * What a client sends: each message is understood (issue of every decision), then the client's own
 * bytes go on. Only a join that the rooms want to look at is held, and only stream management
 * counters are ever written anew (wire fact 24).
 */
#include "proxy/log.h"
#include "proxy/roomlink.h"
#include "proxy/stream.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"

#include <stdlib.h>
#include <string.h>

/* Before login nobody needs more than a SASL response. */
#define LOGIN_MESSAGE_MAX 16384

static void refuse(struct stream *s, enum parse_result result)
{
    switch (result) {
    case PARSE_BAD_NAMESPACE:
        stream_end(s, CLOSE_BAD_NAMESPACE, NULL);
        break;
    case PARSE_BAD_ENCODING:
        stream_end(s, CLOSE_BAD_ENCODING, NULL);
        break;
    case PARSE_RESTRICTED:
        stream_end(s, CLOSE_RESTRICTED_XML, NULL);
        break;
    case PARSE_TOO_LARGE:
        stream_end(s, CLOSE_TOO_LARGE, NULL);
        break;
    case PARSE_NO_MEMORY:
        stream_end(s, CLOSE_NO_MEMORY, NULL);
        break;
    case PARSE_OK:
    case PARSE_NOT_WELL_FORMED:
        stream_end(s, CLOSE_NOT_WELL_FORMED, NULL);
        break;
    }
}

/* A stanza that goes on as it is, counted. */
static void forward(struct stream *s, const char *data, size_t len)
{
    if (stream_send_server(s, data, len) && s->session)
        sm_passed(&s->session->sm.up);
}

/* Answers a stanza in place of Prosody: the client's count goes up by one that Prosody never saw, and
 * Prosody's by one that we added. */
static void answer(struct stream *s, const struct element *e, const char *type,
                   const char *condition, const char *text)
{
    struct session *session = s->session;
    struct buf out = BUF_INIT;

    stanza_error(&out, e, session->full_jid, type, condition, text);
    if (out.failed)
        stream_end(s, CLOSE_NO_MEMORY, NULL);
    else if (session->sm.enabled &&
             (!sm_withheld(&session->sm.up) || !sm_added(&session->sm.down) ||
              !session_keep_added(session, out.data)))
        stream_end(s, CLOSE_TOO_MUCH, "refused joins without an acknowledgement");
    else
        stream_send_client(s, out.data, out.len);
    buf_done(&out);
}

/* *ret_error says why its address is none, JID_OK where it is one or there is none. */
static enum muc_place locate(struct stream *s, const struct element *e, struct muc_room *ret,
                             enum jid_result *ret_error)
{
    const char *to = element_attribute(e, "to");
    struct jid address;
    enum muc_place place;
    bool no_memory = false;

    *ret_error = JID_OK;
    if (!to)
        return MUC_ELSEWHERE;
    *ret_error = jid_parse(to, strlen(to), &address);
    if (*ret_error == JID_NO_MEMORY)
        stream_end(s, CLOSE_NO_MEMORY, NULL);
    if (*ret_error != JID_OK)
        return MUC_ELSEWHERE;
    place = muc_locate(&s->proxy->config->xmpp, &address, ret, &no_memory);
    jid_done(&address);
    if (no_memory)
        stream_end(s, CLOSE_NO_MEMORY, NULL);
    return place;
}

static void log_misused_claim(struct stream *s)
{
    if (!s->token.misused_claim || s->said_misused)
        return;
    s->said_misused = true;
    log_line(LOG_LEVEL_WARN, s->tag,
             "claim %s found and not used: it is not JSON true or false; issue it as a boolean",
             s->token.misused_claim);
}

/* Who asks: the token for this room, unless the login is none a token speaks for (service, hidden
 * and shared accounts log in with a password). */
static void judge(struct stream *s, const struct muc_room *room)
{
    s->applicant_reason = "";
    if (!s->is_anonymous) {
        s->applicant = APPLICANT_GUEST;
        s->applicant_reason = "logged in with an account of its own";
        return;
    }
    s->applicant = applicant_of(&s->token, &s->proxy->config->token, room, &s->applicant_reason);
    /* Whether Prosody still has the token is not known, so it opens nothing; what it asks stays. */
    if (s->was_refused && s->applicant == APPLICANT_PLAIN) {
        s->applicant = APPLICANT_GUEST;
        s->applicant_reason = "a login of this stream was refused before";
    }
    log_misused_claim(s);
}

static void log_dry(struct stream *s, const struct muc_room *room)
{
    const struct rule_set *rules = s->proxy->config->lobby.rules;

    log_event(LOG_LEVEL_INFO, s->tag, "join, dry run: forwarded", {"room", room->jid},
              {"applicant", applicant_text(s->applicant)},
              {"because", s->applicant_reason[0] ? s->applicant_reason : NULL},
              {"with_lobby_on", decide(rules, s->applicant, LOBBY_ON).rule},
              {"with_lobby_off", decide(rules, s->applicant, LOBBY_OFF).rule},
              {"without_room", decide(rules, s->applicant, LOBBY_NO_ROOM).rule});
}

/* True when the join was taken into the rooms' hands. */
static bool take_join(struct stream *s, const struct muc_room *room, const char *data, size_t len)
{
    struct room_join join = {.room = room->jid,
                             .full_jid = s->session->full_jid,
                             .bare_jid = s->session->bare_jid};

    judge(s, room);
    if (s->proxy->config->dry_run) {
        log_dry(s, room);
        return false;
    }
    s->held = malloc(len);
    s->held_room = strdup(room->jid);
    if (!s->held || !s->held_room) {
        stream_end(s, CLOSE_NO_MEMORY, NULL);
        return true;
    }
    memcpy(s->held, data, len);
    s->held_len = len;
    join.applicant = s->applicant;
    join.fresh_jid = s->session->is_fresh;
    if (!roomlink_join(s->proxy->link, s, &join, loop_now(s->proxy->loop))) {
        stream_end(s, CLOSE_NO_MEMORY, NULL);
        return true;
    }
    if (s->join_is_settled)
        stream_carry_out(s);
    else if (s->state == STREAM_OPEN)
        wsock_stop(s->client, WSOCK_HELD);
    return true;
}

static void presence(struct stream *s, const struct element *e, const char *data, size_t len)
{
    struct muc_room room;
    enum muc_place place;
    enum jid_result error;
    bool is_taken = false;

    if (!s->session || !s->session->full_jid || !muc_is_join(e)) {
        forward(s, data, len);
        return;
    }
    place = locate(s, e, &room, &error);
    if (error != JID_OK) {
        /* Prosody prepares addresses with another library: what only it can read would be a room we
         * did not see. */
        if (s->state == STREAM_OPEN)
            answer(s, e, "modify", "jid-malformed", jid_result_text(error));
        return;
    }
    if (place == MUC_MAIN && room.nick[0] &&
        !session_find_place(s->session, room.jid, false))
        is_taken = take_join(s, &room, data, len);
    if (place != MUC_ELSEWHERE)
        muc_room_done(&room);
    if (!is_taken && s->state == STREAM_OPEN)
        forward(s, data, len);
}

/* A moderator changes the room: until Prosody answered, what we know of it may be wrong. */
static void owner_set(struct stream *s, const struct element *e)
{
    const char *id = element_attribute(e, "id");
    struct muc_room room;
    enum jid_result error;
    enum muc_place place = id ? locate(s, e, &room, &error) : MUC_ELSEWHERE;
    size_t i = 0;

    if (place == MUC_ELSEWHERE)
        return;
    while (i < STREAM_OWNER_SETS_MAX && s->owner_sets[i].id)
        i++;
    if (place == MUC_MAIN && i < STREAM_OWNER_SETS_MAX) {
        s->owner_sets[i].id = strdup(id);
        s->owner_sets[i].room = strdup(room.jid);
        if (s->owner_sets[i].id && s->owner_sets[i].room) {
            rooms_owner_set(s->proxy->rooms, room.jid, false, loop_now(s->proxy->loop));
        } else {
            free(s->owner_sets[i].id);
            free(s->owner_sets[i].room);
            s->owner_sets[i].id = s->owner_sets[i].room = NULL;
            stream_end(s, CLOSE_NO_MEMORY, NULL);
        }
    } else if (place == MUC_MAIN) {
        stream_end(s, CLOSE_TOO_MUCH, "owner forms not answered yet");
    }
    muc_room_done(&room);
}

static void iq(struct stream *s, const struct element *e, const char *data, size_t len)
{
    const char *type = element_attribute(e, "type");

    if (type && strcmp(type, "set") == 0) {
        if (element_child(e, NS_BIND, "bind")) {
            /* What comes behind needs the JID that Prosody is about to give. */
            s->awaits_bind = true;
            wsock_stop(s->client, WSOCK_HELD);
        } else if (muc_is_owner_set(e)) {
            owner_set(s, e);
        }
    }
    if (s->state == STREAM_OPEN)
        forward(s, data, len);
}

static void auth(struct stream *s, const struct element *e)
{
    const char *mechanism = element_attribute(e, "mechanism");

    s->is_anonymous = mechanism && strcmp(mechanism, "ANONYMOUS") == 0;
}

void stream_client_message(struct stream *s, const char *data, size_t len)
{
    const size_t max = s->proxy->config->limits.stanza;
    const struct parse_limits limits = {
        .bytes = s->is_logged_in || max < LOGIN_MESSAGE_MAX ? max : LOGIN_MESSAGE_MAX,
        .depth = 64,
        .elements = 8192,
        .attributes = 64};
    const struct element *e = NULL;
    enum parse_result result = parser_read(s->proxy->parser, data, len, &limits, &e);
    enum stanza_kind kind;

    if (result != PARSE_OK) {
        refuse(s, result);
        return;
    }
    kind = stanza_kind(e);
    switch (kind) {
    case STANZA_UNQUALIFIED:
    case STANZA_RAW_STREAM:
        stream_end(s, CLOSE_INVALID_NAMESPACE, NULL);
        return;
    case STANZA_PRESENCE:
        presence(s, e, data, len);
        return;
    case STANZA_IQ:
        iq(s, e, data, len);
        return;
    case STANZA_MESSAGE:
        forward(s, data, len);
        return;
    case STANZA_SM_ACK:
        stream_client_ack(s, e, data, len);
        return;
    case STANZA_SM_RESUME:
        stream_client_resume(s, e, data, len);
        return;
    case STANZA_SM_ENABLE:
        if (s->session)
            sm_start_up(&s->session->sm);
        break;
    case STANZA_SASL_AUTH:
        auth(s, e);
        break;
    case STANZA_CLOSE:
        s->is_closing = true;
        break;
    default:
        break;
    }
    stream_send_server(s, data, len);
}

/* Verdicts. */

void stream_settled(struct stream *s, const struct room_verdict *verdict)
{
    s->verdict = *verdict;
    snprintf(s->verdict_reason, sizeof s->verdict_reason, "%s",
             verdict->reason ? verdict->reason : "");
    s->verdict.reason = s->verdict_reason;
    s->join = 0;
    s->join_is_settled = true;
    loop_defer(s->proxy->loop, &s->settle);
}

static void log_verdict(const struct stream *s)
{
    char held[24];

    snprintf(held, sizeof held, "%lld", (long long)s->verdict.held_ms);
    log_event(LOG_LEVEL_INFO, s->tag, "join", {"room", s->held_room},
              {"applicant", applicant_text(s->applicant)},
              {"because", s->applicant_reason[0] ? s->applicant_reason : NULL},
              {"rule", s->verdict.rule}, {"reason", s->verdict.reason},
              {"outcome", s->verdict.forward ? "forwarded" : s->verdict.error_condition},
              {"held_ms", held});
}

static void answer_refused(struct stream *s)
{
    const struct parse_limits limits = {.bytes = s->held_len, .depth = 64, .elements = 8192,
                                        .attributes = 64};
    const struct element *e = NULL;

    if (parser_read(s->proxy->parser, s->held, s->held_len, &limits, &e) == PARSE_OK)
        answer(s, e, s->verdict.error_type, s->verdict.error_condition, s->verdict.reason);
    else
        stream_end(s, CLOSE_NO_MEMORY, NULL);
}

void stream_carry_out(struct stream *s)
{
    if (s->state != STREAM_OPEN || !s->join_is_settled || !s->held)
        return;
    log_verdict(s);
    if (s->verdict.forward)
        forward(s, s->held, s->held_len);
    else
        answer_refused(s);
    stream_forget_join(s);
    if (s->state == STREAM_OPEN)
        wsock_go(s->client, WSOCK_HELD);
}
