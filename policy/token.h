/*
 * A client's token as Jitsi's Prosody modules judge it (wire facts 3 to 5), verified by libjwt.
 *
 * Nothing is granted on a token that is not TOKEN_VALID, and a valid one serves one room at a time:
 * token_covers_room says whether it serves this one.
 */
#pragma once

#include "policy/claims.h"
#include "xmpp/muc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct keys;

struct token_rules {
    const char *algorithm; /* HS256, RS384, ES256 ...: the one alg accepted */
    const char *secret;    /* of HS algorithms: never empty; else not used */
    size_t secret_len;
    const char *const *issuers;   /* NULL-terminated; "*" accepts any */
    const char *const *audiences; /* likewise */
    bool require_room;            /* the claim must be there */
    bool domain_verification;     /* sub must name the domain or the tenant */
    const char *domain;           /* prepared */
    const char *const *lobby_claims; /* NULL-terminated paths; any of them true asks for the lobby */
};

enum token_status {
    TOKEN_NONE = 0, /* the stream brought none */
    TOKEN_VALID,
    TOKEN_REFUSED,  /* Prosody refuses it too */
    TOKEN_UNJUDGED, /* Prosody may accept it and we cannot say: fail closed */
};

struct token {
    enum token_status status;
    const char *reason;   /* fixed English phrase on why not TOKEN_VALID; "" when valid */
    char *room;           /* lower-cased as Prosody does; NULL when absent */
    char *sub;
    bool room_is_pattern; /* context.room.regex: room is a Lua pattern */
    bool room_check_fails; /* context.room has a type that Prosody's module stumbles over at a join */
    bool asks_lobby;
    char *misused_claim; /* a path of lobby_claims found with another type than boolean; or NULL */
    bool is_doubted; /* the holder's word: Prosody may have refused and forgotten it, so it opens nothing;
                        what it asks stays */
    char *awaited_kid; /* TOKEN_UNJUDGED because this public key is not here (keys_want); else NULL */
};

/* Judges text (len bytes) at the time now_s (Unix seconds). keys: where the public keys of RS, PS and ES
 * algorithms are, NULL with an HS one. Always writes *ret, which token_done releases; lack of memory
 * gives TOKEN_UNJUDGED. text with count > 1 in the URL is the caller's to turn into TOKEN_UNJUDGED with
 * token_unjudged. */
void token_verify(const char *text, size_t len, const struct token_rules *rules,
                  struct keys *keys, int64_t now_s, struct token *ret);
void token_unjudged(struct token *ret, const char *reason);
void token_done(struct token *token);

/* Whether a valid token is for that room (wire fact 5). */
enum token_cover {
    TOKEN_COVERS = 0,
    TOKEN_OTHER_ROOM,  /* Prosody refuses the join */
    TOKEN_COVER_UNKNOWN, /* a pattern too costly to try, or a check that fails: fail closed */
};
enum token_cover token_covers_room(const struct token *token, const struct token_rules *rules,
                                   const struct muc_room *room);
