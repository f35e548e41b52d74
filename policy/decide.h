/*
 * What a join gets: design.md's table as an ordered list of rules. A pure function, and every answer
 * carries its reason.
 */
#pragma once

#include "policy/token.h"

/* What the join's token amounts to for this room. */
enum applicant {
    APPLICANT_GUEST,    /* no token, or one Prosody refuses too: passes untouched */
    APPLICANT_UNJUDGED, /* a token we cannot judge */
    APPLICANT_LOBBY,    /* asks for the lobby */
    APPLICANT_PLAIN,    /* a valid token that does not ask */
    /* A valid token for another room. It passes untouched like a guest's, but Prosody refuses it: so
     * one on his way in is no reason to make him a member. */
    APPLICANT_OTHER_ROOM,
};

enum lobby_state {
    LOBBY_UNKNOWN,
    LOBBY_OFF,
    LOBBY_ON,
    LOBBY_NO_ROOM, /* the room does not exist */
};

enum decision_action {
    DECIDE_FORWARD,  /* as it is */
    DECIDE_ASK,      /* the room's state is needed and not known */
    DECIDE_TURN_ON,  /* the lobby first, then forward */
    DECIDE_GRANT,    /* membership first, then forward */
    DECIDE_CREATE,   /* the room first (lobby.missing_room: create) */
    DECIDE_REFUSE,   /* with error_type and error_condition */
};

struct decision {
    enum decision_action action;
    const char *rule;   /* the rule's name, stable, for logs and tests: "lobby-turn-on" */
    const char *reason; /* one English phrase */
    const char *error_type, *error_condition; /* with DECIDE_REFUSE; else NULL */
};

struct rule {
    const char *name;
    unsigned applicants, states; /* bit sets: 1u << enum value */
    enum decision_action action;
    const char *reason;
    const char *error_type, *error_condition;
};

struct rule_set {
    const char *name;
    const struct rule *rules;
    size_t rules_len;
};

/* The preset that does what the plugins token_lobby_ondemand and persistent_lobby do; the second
 * makes a missing room (lobby.missing_room: create). */
extern const struct rule_set rules_token_lobby_ondemand;
extern const struct rule_set rules_token_lobby_ondemand_create;

enum applicant applicant_of(const struct token *token, const struct token_rules *rules,
                            const struct muc_room *room, const char **ret_reason);
/* The first rule that fits; both presets have one for every pair. */
struct decision decide(const struct rule_set *set, enum applicant applicant, enum lobby_state state);
const char *applicant_text(enum applicant applicant);
const char *lobby_state_text(enum lobby_state state);
