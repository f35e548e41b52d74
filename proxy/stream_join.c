/*
 * Joins that the rooms look at, and changes of a room that wait for them: held here, then carried
 * out as the verdict says. Everything behind a held message waits in the client's WebSocket, in
 * order.
 */
#include "proxy/log.h"
#include "proxy/roomlink.h"
#include "proxy/stream.h"
#include "xmpp/stanza.h"

#include <stdlib.h>
#include <string.h>

static bool hold(struct stream *s, const char *room, const char *data, size_t len)
{
    s->held = malloc(len);
    s->held_room = strdup(room);
    if (!s->held || !s->held_room) {
        stream_end(s, CLOSE_NO_MEMORY, NULL);
        return false;
    }
    memcpy(s->held, data, len);
    s->held_len = len;
    return true;
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

static bool is_guest(enum applicant applicant)
{
    return applicant == APPLICANT_GUEST || applicant == APPLICANT_OTHER_ROOM;
}

/* Who asks: the token for this room, unless the login is none a token speaks for (service, hidden
 * and shared accounts log in with a password). */
static void judge(struct stream *s, const struct muc_room *room)
{
    const struct token_rules *rules = &s->proxy->config->token;

    s->applicant_reason = "";
    if (!s->login.is_anonymous) {
        s->applicant = APPLICANT_GUEST;
        s->applicant_reason = "logged in with an account of its own";
        return;
    }
    s->applicant = applicant_of(&s->token, rules, room, &s->applicant_reason);
    /* Prosody 0.12 goes by the session's first token, later ones by the newest: for a room that the
     * newest is not for, the former one speaks (wire fact 27). */
    if (is_guest(s->applicant) && s->former_token.status == TOKEN_VALID) {
        bool is_refused = s->applicant == APPLICANT_OTHER_ROOM;

        s->applicant = applicant_of(&s->former_token, rules, room, &s->applicant_reason);
        if (s->applicant == APPLICANT_OTHER_ROOM && !is_refused)
            s->applicant = APPLICANT_GUEST; /* some Prosody lets him in */
    }
    if (is_guest(s->applicant) && s->session->is_token_unseen) {
        s->applicant = APPLICANT_UNJUDGED;
        s->applicant_reason = "a session resumed from elsewhere, whose token was not seen here";
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
bool stream_take_join(struct stream *s, const struct muc_room *room, const char *data, size_t len)
{
    struct room_join join = {
        .room = room->jid, .full_jid = s->session->full_jid, .bare_jid = s->session->bare_jid};

    judge(s, room);
    if (s->proxy->config->dry_run) {
        log_dry(s, room);
        return false;
    }
    if (!hold(s, room->jid, data, len))
        return true;
    s->held_for = HELD_FOR_VERDICT;
    join.applicant = s->applicant;
    join.fresh_jid = s->session->is_fresh;
    if (!roomlink_join(s->proxy->link, s, &join, loop_now(s->proxy->loop))) {
        stream_end(s, CLOSE_NO_MEMORY, NULL);
        return true;
    }
    if (s->held_for == HELD_SETTLED)
        stream_carry_out(s);
    else if (s->state == STREAM_OPEN)
        transport_stop(s->client, TRANSPORT_HELD);
    return true;
}

void stream_settled(struct stream *s, const struct room_verdict *verdict)
{
    s->verdict = *verdict;
    free(s->verdict_reason);
    s->verdict_reason = verdict->reason ? strdup(verdict->reason) : NULL;
    s->verdict.reason = s->verdict_reason ? s->verdict_reason : "";
    s->join = 0;
    s->held_for = HELD_SETTLED;
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
              {"held_ms", held, true});
}

static void answer_refused(struct stream *s)
{
    const struct parse_limits limits = stream_message_limits(s->held_len);
    const struct element *e = NULL;

    if (parser_read(s->proxy->parser, s->held, s->held_len, &limits, &e) == PARSE_OK)
        stream_answer(s, e, s->verdict.error_type, s->verdict.error_condition, s->verdict.reason);
    else
        stream_end(s, CLOSE_NO_MEMORY, NULL);
}

void stream_carry_out(struct stream *s)
{
    if (s->state != STREAM_OPEN || s->held_for != HELD_SETTLED || !s->held)
        return;
    log_verdict(s);
    if (!s->verdict.forward)
        answer_refused(s);
    else if (++s->joins_on_way > STREAM_JOINS_MAX)
        stream_end(s, CLOSE_TOO_MUCH, "joins that Prosody has not answered yet");
    else
        stream_forward(s, s->held, s->held_len);
    stream_forget_join(s);
    if (s->state == STREAM_OPEN)
        transport_go(s->client, TRANSPORT_HELD);
}

static bool must_wait(const struct stream *s, const char *room)
{
    size_t on_way = 0;

    for (size_t i = 0; i < STREAM_OWNER_SETS_MAX; i++)
        on_way += s->owner_sets[i].id ? 1 : 0;
    return on_way > 1 || rooms_lobby_in_flight(s->proxy->rooms, room);
}

void streams_release_owner_sets(struct proxy *proxy)
{
    int64_t now = loop_now(proxy->loop);
    struct stream *next;

    for (struct stream *s = proxy->streams; s && proxy->owner_sets_held; s = next) {
        next = s->next;
        if (s->held_for != HELD_FOR_JOINS ||
            (must_wait(s, s->held_room) && now - s->held_since < STREAM_OWNER_SET_HELD_MS))
            continue;
        stream_forward(s, s->held, s->held_len);
        stream_forget_join(s);
        stream_go_on(s);
    }
}

/* It goes another way to Prosody than the lobby users' joins that were forwarded because the lobby
 * is on: it must not turn the lobby off before those arrived. New joins wait until it is answered,
 * so one stream sends them one at a time. */
bool stream_owner_set_waits(struct stream *s, const char *room, const char *data, size_t len)
{
    if (!must_wait(s, room))
        return false;
    if (hold(s, room, data, len)) {
        s->held_for = HELD_FOR_JOINS;
        s->held_since = loop_now(s->proxy->loop);
        s->proxy->owner_sets_held++;
        transport_stop(s->client, TRANSPORT_HELD);
    }
    return true;
}
