/*
 * An XMPP session of a client: what Prosody knows him by. It outlives its WebSocket where stream
 * management lets the client resume it (XEP-0198), and goes on in the stream that does.
 */
#pragma once

#include "policy/token.h"
#include "xmpp/muc.h"
#include "xmpp/sm.h"

#include <stdbool.h>
#include <stdint.h>

struct rooms;
struct stream;

/* Rooms one session may be in: Jitsi's clients are in two. */
#define SESSION_PLACES_MAX 64
/* Stanzas of a client that we answered and Prosody has not yet answered the ping for. */
#define SESSION_ANSWERS_MAX 32

struct session_place {
    char *room; /* canonical room JID */
    char *nick;
    bool is_lobby;
    bool is_owner; /* as the last presence of his own said */
    struct session_place *next;
};

/* What becomes of an answer of ours, and of Prosody's to the ping that stands in for what is answered. */
enum session_answer_state {
    ANSWER_WAITS,     /* goes out in the place of Prosody's */
    ANSWER_UNDECIDED, /* the ping asks for his address, and what it stands for is still held */
    ANSWER_EARLY,     /* went out by itself, nobody counts; Prosody's is hidden */
    ANSWER_FORWARDED, /* what the ping stands for went behind it: nothing to say; Prosody's is hidden */
    ANSWER_HIDDEN,    /* so it was, behind the client's stanza `at`: Prosody may send it again */
    ANSWER_ADDED,     /* no ping stands for it: only the client counts it, as his stanza `at` */
};

/* An answer of ours, from the ping that stands in for what it answers (xmpp/stand_in.h) until nothing of
 * either can come again. */
struct session_answer {
    enum session_answer_state state;
    uint64_t number;
    char *stanza;
    int64_t since;
    uint32_t at;
    struct session_answer *next;
};

struct session {
    char *full_jid, *bare_jid; /* NULL until bound */
    bool is_fresh;             /* the JID was made for this login (anonymous, no previd) */
    bool is_token_unseen;      /* it began elsewhere */
    struct sm sm;
    struct session_place *places;
    size_t places_len;
    struct session_answer *answers; /* oldest first */
    size_t answers_len;
    uint64_t answers_made;
    struct token token; /* it began with, while it has no stream (wire fact 27) */
    char *resume_id; /* NULL: cannot be resumed */
    int64_t resume_ms;
    struct stream *stream; /* NULL while suspended */
    int64_t until;         /* of a suspended one */
    void *hash;            /* its table entry: private to session.c */
};

struct sessions;

struct sessions *sessions_new(struct rooms *rooms, size_t max);
void sessions_free(struct sessions *table);
void sessions_limit(struct sessions *table, size_t max); /* from now on */
/* Live ones that began elsewhere and were not seen in a room since. */
size_t sessions_strangers(const struct sessions *table);
/* Suspended sessions whose time is over are gone. */
void sessions_tick(struct sessions *table, int64_t now);

struct session *session_new(struct stream *stream);
/* Prosody bound jid to it. False when out of memory or jid is no full JID. */
bool session_bind(struct session *s, const char *jid);
/* <enabled/> came: it can be resumed by id for max_ms after its stream breaks. Where the table is full the
 * suspended one goes that was in no room for longest; false when there is none, or out of memory. */
bool session_resumable(struct sessions *table, struct session *s, const char *id, int64_t max_ms, int64_t now);
/* Whether it was not said within the last minute that one could not be kept; it now is. */
bool sessions_full_is_news(struct sessions *table, int64_t now);
/* The session of that id, live or suspended; NULL when this instance knows none. */
struct session *sessions_find(struct sessions *table, const char *id);
/* Its stream is gone. clean: it was closed, not broken, so it cannot come back. Owns s from now on. */
void session_leave(struct sessions *table, struct session *s, bool clean, int64_t now);
/* It goes on in stream: its rooms are told. The former stream, if any, is left without a session. */
void session_take(struct sessions *table, struct session *s, struct stream *stream, int64_t now);

struct session_place *session_find_place(struct session *s, const char *room, bool is_lobby);
/* Adds or renames; false when out of memory or over SESSION_PLACES_MAX. */
bool session_enter(struct session *s, const char *room, const char *nick, bool is_lobby);
void session_exit(struct session *s, const char *room, bool is_lobby);

/* Keeps a copy of an answer of ours; NULL over the limit or out of memory. */
struct session_answer *session_keep_answer(struct session *s, const char *stanza, int64_t now);
struct session_answer *session_find_answer(struct session *s, uint64_t number);
void session_forget_answer(struct session *s, struct session_answer *answer);
/* The client acknowledged h. */
void session_acknowledged(struct session *s, uint32_t h);
/* The client resumed with h: what waits comes again from Prosody, or was never handled there; what stays
 * is to be hidden, or has only us to come from. */
void session_resumed(struct session *s, uint32_t h);
