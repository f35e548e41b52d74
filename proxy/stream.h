/*
 * A client's stream: its WebSocket, the one to Prosody opened for it, and what was learnt of it on the
 * way. One object with two ends; both end through stream_end, with a reason. The client's end may be a
 * BOSH session just as well (transport.h).
 */
#pragma once

#include "proxy/close_reasons.h"
#include "proxy/login.h"
#include "proxy/peers.h"
#include "proxy/proxy.h"
#include "proxy/session.h"
#include "proxy/transport.h"
#include "policy/rooms.h"

enum stream_state {
    STREAM_CONNECTING, /* the client's upgrade waits for Prosody's */
    STREAM_OPEN,
    STREAM_ENDED, /* closed both ways; freed at the end of the turn */
};

/* Owner-form submits of the client not answered yet. */
#define STREAM_OWNER_SETS_MAX 2 /* the second waits for the first */
#define STREAM_OWNER_SET_MS 5000      /* then a room no longer waits for the answer */
#define STREAM_OWNER_SET_HELD_MS 3000 /* nor a submit for lobby users on their way */
#define STREAM_LOGINS_MAX 5           /* that fail */
#define STREAM_JOINS_MAX 16           /* on their way at a time */
#define STREAM_ANSWER_MS 1000         /* without stream management an answer of ours goes out by itself */
#define STREAM_PROBE_MS 10000         /* without a session's address: it is begun again */
/* A client that reads nothing for so long is cut off: what is known of where he is grows old. */
#define STREAM_STALL_MS 30000

/* What a held stanza waits for. */
enum held_for {
    HELD_NOT,
    HELD_FOR_ADDRESS, /* of a session resumed here: then it is looked at again */
    HELD_FOR_VERDICT, /* a join, the rooms' */
    HELD_SETTLED,     /* a join, for the end of the turn: its verdict is carried out */
    HELD_FOR_JOINS,   /* a change of a room, until lobby users' joins arrived, see owner_set */
};

/* What a message of a client who is logged in may be made of, with that many bytes at most. */
static inline struct parse_limits stream_message_limits(size_t bytes)
{
    return (struct parse_limits){.bytes = bytes, .depth = 64, .elements = 8192, .attributes = 64};
}

struct stream {
    /* What every message looks at. */
    struct proxy *proxy;
    struct transport *client; /* a WebSocket, or a BOSH session */
    struct wsock *server;
    struct session *session; /* NULL once it went on elsewhere */
    enum stream_state state;
    unsigned joins_on_way; /* forwarded, Prosody's word on them not yet seen */
    bool is_carried;       /* the client is a BOSH session */
    bool has_opened;       /* he sent the first <open/> */
    bool is_logged_in;     /* bound too */
    bool awaits_bind, awaits_resume; /* the client waits for the answer */

    uint64_t ordinal;
    char address[CONN_PEER_MAX]; /* the real client's */
    char tag[192];    /* of its log lines: ordinal, address, JID as learnt */
    struct in6_addr key; /* by which connections_per_ip counts it */
    bool is_counted;
    int64_t since;
    int64_t login_by; /* the door's limit, which goes on until he is bound */

    struct conn *conn; /* the client's, until its WebSocket is open */
    struct buf early;  /* what it sent before that */
    char *response;    /* the 101 that waits for Prosody's */
    struct upstream *upstream;

    struct token token;
    struct token former_token; /* of the session that is resumed here, for rooms the new one is not for */
    char *token_text;          /* until login: Prosody judges at login, not at the handshake */
    size_t token_text_len;
    bool awaits_key;      /* logged in, and the public key of his token is on its way */
    int64_t key_deadline; /* then it is not waited for any longer */
    bool has_previd; /* the URL names a former session: the JID may be an old one */
    struct login login;
    bool is_opened;  /* Prosody answered <open/> */
    bool is_closing; /* an XMPP <close/> or stream error passed, either way */
    bool said_misused;
    unsigned failed_logins;
    unsigned opens;  /* how many <open/> he may still send */
    bool opens_main; /* the last one was for xmpp.domain */
    char *bind_id;      /* of the request; NULL when it has none */
    int64_t full_since; /* Prosody's side stands still since; 0: it does not */
    int64_t held_since;
    char *resume_id;
    uint32_t resume_h; /* what the client said it has, in its own count */
    bool resume_is_ahead;     /* that is more than it was sent from here */
    bool resume_is_not_found; /* Prosody knows no session resume_id of this user's */
    uint64_t probe_number; /* of the ping that asks, until what was held is answered or forwarded */
    bool is_probe_answered; /* and Prosody's side waits for what becomes of it */
    struct deferred addressed;

    /* A held join. */
    uint64_t join; /* its id, 0 when none is held */
    struct room_verdict verdict; /* its texts are fixed phrases, or verdict_reason */
    char *verdict_reason;        /* of the last one, while it is of use */
    char *held; /* the stanza itself */
    enum held_for held_for;
    size_t held_len;
    char *held_room;
    enum applicant applicant;
    const char *applicant_reason;
    struct deferred settle;

    struct {
        char *id, *room;
        int64_t since;
    } owner_sets[STREAM_OWNER_SETS_MAX];

    struct deferred release;
    struct stream *next, **link; /* proxy->streams */
};

/* A client asks for a WebSocket: opens the one to Prosody, and answers when that is open (or with the
 * status that Prosody gave). Takes the conn, counted in proxy->peers; rest is what came behind the head. */
void stream_new(struct proxy *proxy, struct conn *conn, const struct http_head *request,
                const struct peer_identity *identity, const uint8_t *rest, size_t rest_len);
/* The same for a client that comes by a transport of its own, which is not started yet: it is, once
 * Prosody's WebSocket is open. 0: it took the transport, counted in proxy->peers, with which the stream
 * begins to live. Else the HTTP status to refuse with, and *ret_why until the end of the turn; the caller
 * still has both. */
int stream_new_carried(struct proxy *proxy, struct transport *client, const struct http_head *request,
                       const struct peer_identity *identity, const char **ret_why);
/* The one way out. detail may be NULL. */
void stream_end(struct stream *s, enum close_reason reason, const char *detail);
/* Once a second: deadlines. */
void streams_tick(struct proxy *proxy, int64_t now);

/* Public keys came, or will not come: looks again at the streams that wait for one. */
void streams_keys_changed(struct proxy *proxy);

/* Lets changes of rooms go on that waited for lobby users' joins to arrive. */
void streams_release_owner_sets(struct proxy *proxy);

/* For stream_open.c: a stream that is nobody's yet, NULL when out of memory; and what its ends call. */
struct stream *stream_make(struct proxy *proxy, const struct peer_identity *identity);
extern const struct transport_callbacks stream_client_events, stream_server_events;

/* For stream_client.c, stream_server.c and roomlink.c. */
/* The token, stream_token.c: of the handshake; as it is when SASL succeeded; left with the session of a
 * stream that ends, and taken from the one that is resumed. */
void stream_read_token(struct stream *s, const struct http_head *request);
void stream_judge_at_login(struct stream *s);
void stream_remember_token(struct stream *s);
void stream_inherit_token(struct stream *s, struct session *former);
void stream_tick_token(struct stream *s, int64_t now);
void stream_name(struct stream *s); /* renews the tag */
bool stream_send_client(struct stream *s, const char *data, size_t len);
bool stream_send_server(struct stream *s, const char *data, size_t len);
void stream_client_message(struct stream *s, const char *data, size_t len);
void stream_server_message(struct stream *s, const char *data, size_t len);
/* Where a stanza's "to" or "from" points (muc_locate); *ret_error says why it is no address, JID_OK where
 * it is one or there is none. */
enum muc_place stream_locate(struct stream *s, const struct element *e, const char *attribute,
                             struct muc_room *ret, enum jid_result *ret_error);
/* A message of Prosody's as a tree, borrowed; NULL where it cannot be read (it is passed on then). */
const struct element *stream_parse_server(struct stream *s, const char *data, size_t len);
/* Lets the client go on unless something else holds it. */
void stream_go_on(struct stream *s);
/* Stream management, stream_sm.c: each forwards its message, with the counter the other end knows. */
void stream_client_ack(struct stream *s, const struct element *e, const char *data, size_t len);
void stream_client_resume(struct stream *s, const struct element *e, const char *data, size_t len);
void stream_server_ack(struct stream *s, const char *data, size_t len);
void stream_server_resumed(struct stream *s, const char *data, size_t len);
void stream_server_failed(struct stream *s, const char *data, size_t len);
/* Bound, after a resumption that was refused. */
void stream_resume_not_found(struct stream *s);
/* Only learns; the caller forwards. */
void stream_server_enabled(struct stream *s, const char *data, size_t len);
/* The address of a session that began elsewhere: a stanza of the client's that needs it waits; learnt
 * from what Prosody sends (wire fact 25). */
void stream_ask_address(struct stream *s, const struct element *e, const char *data, size_t len);
void stream_go_on_addressed(struct stream *s); /* what waited is looked at again */
void stream_forwarded_probed(struct stream *s); /* what was held, behind the ping in its place */
void stream_learn_address(struct stream *s, const char *data, size_t len);
/* Whether an iq answers a ping of ours: then it is not the client's, and was dealt with. */
bool stream_stand_in_answered(struct stream *s, const char *data, size_t len);
/* Whether an iq of the client's was answered to bring the two counts of a session together again. */
bool stream_evens_out(struct stream *s, const struct element *e);
/* A client's stanza that goes on as it is, counted. */
void stream_forward(struct stream *s, const char *data, size_t len);
/* Joins, stream_join.c. True when the join was taken into the rooms' hands. */
bool stream_take_join(struct stream *s, const struct muc_room *room, const char *data, size_t len);
/* True when a change of that room was held back. */
bool stream_owner_set_waits(struct stream *s, const char *room, const char *data, size_t len);
/* Answers a stanza in place of Prosody, with a stanza error: stream_answer.c. */
void stream_answer(struct stream *s, const struct element *e, const char *type,
                   const char *condition, const char *text);
/* Puts a ping in a stanza's place, with that answer; its number, 0 when the stream has ended. */
uint64_t stream_stand_in(struct stream *s, const char *answer);
/* Once a second: what waits for a Prosody that is silent. */
void stream_tick_answers(struct stream *s, int64_t now);
/* The rooms' verdict on a held join, maybe under rooms_join itself. */
void stream_settled(struct stream *s, const struct room_verdict *verdict);
/* Carries a settled verdict out. */
void stream_carry_out(struct stream *s);
void stream_forget_join(struct stream *s);
void stream_forget_owner_set(struct stream *s, size_t i, int64_t now);
