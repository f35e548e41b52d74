/*
 * What a client sends: each message is understood, then the client's own bytes go on. Only a join
 * that the rooms want to look at is held, and only stream management counters are ever written anew
 * (wire fact 24).
 */
#include "proxy/door.h"
#include "proxy/stream.h"
#include "xmpp/find.h"
#include "xmpp/ns.h"
#include "xmpp/parse_plain.h"
#include "xmpp/stanza.h"

#include <stdlib.h>
#include <string.h>

/* Before login nobody needs more than a SASL response, or a bind request. */
static const struct parse_limits login_limits = {
    .bytes = 16384, .depth = 8, .elements = 32, .attributes = 16};

static const enum close_reason refusals[] = {
    [PARSE_NOT_WELL_FORMED] = CLOSE_NOT_WELL_FORMED,
    [PARSE_BAD_NAMESPACE] = CLOSE_BAD_NAMESPACE,
    [PARSE_BAD_ENCODING] = CLOSE_BAD_ENCODING,
    [PARSE_RESTRICTED] = CLOSE_RESTRICTED_XML,
    [PARSE_TOO_LARGE] = CLOSE_TOO_LARGE,
    [PARSE_NO_MEMORY] = CLOSE_NO_MEMORY,
};

/* A stanza that goes on as it is, counted. */
void stream_forward(struct stream *s, const char *data, size_t len)
{
    if (!stream_send_server(s, data, len) || !s->session)
        return;
    if (s->probe_number)
        stream_forwarded_probed(s);
    else
        sm_passed(&s->session->sm.up);
}

static void presence(struct stream *s, const struct element *e, const char *data, size_t len)
{
    struct muc_room room;
    enum muc_place place;
    enum jid_result error;
    bool is_taken = false;

    if (!s->session || !muc_is_join(e)) {
        stream_forward(s, data, len);
        return;
    }
    if (!s->session->full_jid) {
        /* Whose it is must be known before it can be judged; Prosody refuses it before the bind. */
        if (!s->session->is_token_unseen)
            stream_end(s, CLOSE_NOT_BOUND, NULL);
        else
            stream_ask_address(s, e, data, len);
        return;
    }
    place = stream_locate(s, e, "to", &room, &error);
    if (error != JID_OK) {
        /* Prosody prepares addresses with another library: what only it can read would be a room we
         * did not see. */
        if (s->state == STREAM_OPEN)
            stream_answer(s, e, "modify", "jid-malformed", jid_result_text(error));
        return;
    }
    /* Even of one who is inside, as far as is known: a client can have Prosody not tell it that it
     * was put out (XEP-0191, or a resumption that acknowledges what never came), and Jitsi's sends
     * a join no second time (wire fact 28). */
    if (place == MUC_MAIN && room.nick[0])
        is_taken = stream_take_join(s, &room, data, len);
    if (place != MUC_ELSEWHERE)
        muc_room_done(&room);
    if (!is_taken && s->state == STREAM_OPEN)
        stream_forward(s, data, len);
}

static void note_owner_set(struct stream *s, const char *id, const char *room)
{
    size_t i = 0;

    while (i < STREAM_OWNER_SETS_MAX && s->owner_sets[i].id)
        i++;
    if (i == STREAM_OWNER_SETS_MAX) {
        stream_end(s, CLOSE_TOO_MUCH, "owner forms not answered yet");
        return;
    }
    s->owner_sets[i].id = strdup(id);
    s->owner_sets[i].room = strdup(room);
    s->owner_sets[i].since = loop_now(s->proxy->loop);
    if (s->owner_sets[i].id && s->owner_sets[i].room) {
        rooms_owner_set(s->proxy->rooms, room, false, s->owner_sets[i].since);
        return;
    }
    free(s->owner_sets[i].id);
    free(s->owner_sets[i].room);
    s->owner_sets[i].id = s->owner_sets[i].room = NULL;
    stream_end(s, CLOSE_NO_MEMORY, NULL);
}

/* An owner changes the room: until Prosody answered, what we know of it may be wrong. Anyone else's
 * change it refuses (XEP-0045 section 10.2). One whose session began elsewhere may be an owner:
 * nobody waits for him, but he does for joins on their way. True when it waits. */
static bool owner_set(struct stream *s, const struct element *e, const char *data, size_t len)
{
    const char *id = element_attribute(e, "id");
    struct muc_room room;
    enum jid_result error;
    enum muc_place place = id ? stream_locate(s, e, "to", &room, &error) : MUC_ELSEWHERE;
    const struct session_place *at;
    bool waits = false, is_unknown;

    if (place == MUC_ELSEWHERE)
        return false;
    at = s->session ? session_find_place(s->session, room.jid, false) : NULL;
    is_unknown = s->session && s->session->is_token_unseen && !at;
    if (place == MUC_MAIN && !room.nick[0] && ((at && at->is_owner) || is_unknown)) {
        if (!is_unknown)
            note_owner_set(s, id, room.jid);
        waits = s->state == STREAM_OPEN && stream_owner_set_waits(s, room.jid, data, len);
    }
    muc_room_done(&room);
    return waits;
}

/* What comes behind needs the JID that Prosody is about to give; it binds for any type of iq. */
static void bind_requested(struct stream *s, const struct element *e)
{
    const char *id = element_attribute(e, "id");

    if (!s->session || s->session->full_jid)
        return;
    free(s->bind_id);
    s->bind_id = id ? strdup(id) : NULL;
    if (id && !s->bind_id) {
        stream_end(s, CLOSE_NO_MEMORY, NULL);
        return;
    }
    s->awaits_bind = true;
    transport_stop(s->client, TRANSPORT_HELD);
}

static void iq(struct stream *s, const struct element *e, const char *data, size_t len)
{
    if (element_child(e, NS_BIND, "bind"))
        bind_requested(s, e);
    else if ((muc_is_owner_set(e) && owner_set(s, e, data, len)) || stream_evens_out(s, e))
        return;
    if (s->state == STREAM_OPEN)
        stream_forward(s, data, len);
}

/* One at the beginning and one for each login that is tried (RFC 7395 section 3.4). In the middle
 * of a stream Prosody would take it, and then answer nothing any more. */
static void open_again(struct stream *s, const struct element *e)
{
    const char *to = element_attribute(e, "to");

    if (s->opens == 0) {
        stream_end(s, CLOSE_OUT_OF_ORDER, NULL);
        return;
    }
    s->opens--;
    s->has_opened = true;
    switch (door_opens_to(s->proxy->config, to, &s->key, &s->opens_main)) {
    case DOOR_OPEN:
        break;
    case DOOR_HOST_UNKNOWN:
        stream_end(s, CLOSE_HOST_UNKNOWN, to);
        break;
    case DOOR_NO_ADDRESS:
        stream_end(s, CLOSE_MISADDRESSED, to);
        break;
    case DOOR_NO_MEMORY:
        stream_end(s, CLOSE_NO_MEMORY, NULL);
        break;
    }
}

/* Whether a message may come now, by what it is (RFC 7395 section 3.4, RFC 6120 section 6.3.1). */
static bool may_come(struct stream *s, const struct element *e, enum stanza_kind kind)
{
    if (door_is_misaddressed(e, kind))
        stream_end(s, CLOSE_MISADDRESSED, "an address on what is no stanza");
    else if (!s->has_opened && kind != STANZA_OPEN && kind != STANZA_CLOSE)
        stream_end(s, CLOSE_NOT_BOUND, "a stream begins with <open/>");
    else if (!s->is_logged_in && !door_is_for_login(e, kind))
        stream_end(s, CLOSE_NOT_BOUND, NULL);
    return s->state == STREAM_OPEN;
}

static void sasl(struct stream *s, const struct element *e, enum stanza_kind kind)
{
    const char *why = login_says(&s->login, e, kind);

    if (why)
        stream_end(s, CLOSE_OUT_OF_ORDER, why);
    else if (kind == STANZA_SASL_AUTH)
        s->opens = 1;
}

/* Whether it is a stanza that only goes on, told without reading it: nothing that matters in one of
 * its kind stands in it anywhere. */
static bool is_indifferent(const char *data, size_t len, const struct parse_limits *limits)
{
    switch (parse_plain(data, len, limits)) {
    case STANZA_MESSAGE:
        return true;
    case STANZA_PRESENCE: /* no muc_is_join */
        return !find_text(data, len, NS_MUC);
    case STANZA_IQ: /* no bind, muc_is_owner_set or stream_evens_out */
        return !find_text(data, len, NS_BIND) && !find_text(data, len, NS_MUC_OWNER) &&
               !find_text(data, len, NS_PING);
    default:
        return false;
    }
}

void stream_client_message(struct stream *s, const char *data, size_t len)
{
    const size_t max = s->proxy->config->limits.stanza;
    struct parse_limits limits = stream_message_limits(max);
    const struct element *e = NULL;
    enum parse_result result;
    enum stanza_kind kind;

    if (!s->is_logged_in) {
        limits = login_limits;
        limits.bytes = max < limits.bytes ? max : limits.bytes;
    }
    if (s->is_logged_in && s->has_opened && is_indifferent(data, len, &limits)) {
        stream_forward(s, data, len);
        return;
    }
    result = parser_read(s->proxy->parser, data, len, &limits, &e);
    if (result != PARSE_OK) {
        stream_end(s, refusals[result], parse_result_text(result));
        return;
    }
    kind = stanza_kind(e);
    if (kind == STANZA_UNQUALIFIED || kind == STANZA_RAW_STREAM) {
        stream_end(s, CLOSE_INVALID_NAMESPACE, NULL);
        return;
    }
    if (!may_come(s, e, kind))
        return;
    switch (kind) {
    case STANZA_PRESENCE:
        presence(s, e, data, len);
        return;
    case STANZA_IQ:
        iq(s, e, data, len);
        return;
    case STANZA_MESSAGE:
        stream_forward(s, data, len);
        return;
    case STANZA_SM_ACK:
        stream_client_ack(s, e, data, len);
        return;
    case STANZA_SM_RESUME:
        stream_client_resume(s, e, data, len);
        return;
    case STANZA_SM_ENABLE:
        /* A second one is refused, and counting goes on. */
        if (s->session && !s->session->sm.enabled)
            sm_start_up(&s->session->sm);
        break;
    case STANZA_SASL_AUTH:
    case STANZA_SASL_OTHER:
        sasl(s, e, kind);
        break;
    case STANZA_OPEN:
        open_again(s, e);
        break;
    case STANZA_CLOSE:
        s->is_closing = true;
        break;
    default:
        break;
    }
    if (s->state == STREAM_OPEN)
        stream_send_server(s, data, len);
}
