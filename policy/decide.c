/*
 * What a join gets, as data. The rules are read from top to bottom and the first that names both
 * the applicant and the room's state decides; both presets name every pair, which test_decide.c
 * holds.
 *
 * The one thing to know: an applicant's kind is already the verdict on his token for this one room
 * (applicant_of), so a rule never looks at a token again.
 */
#include "policy/decide.h"

#include <assert.h>

#define BIT(value) (1u << (value))
#define GUEST BIT(APPLICANT_GUEST)
#define UNJUDGED BIT(APPLICANT_UNJUDGED)
#define LOBBY BIT(APPLICANT_LOBBY)
#define PLAIN BIT(APPLICANT_PLAIN)
#define OTHER_ROOM BIT(APPLICANT_OTHER_ROOM)
#define UNKNOWN BIT(LOBBY_UNKNOWN)
#define OFF BIT(LOBBY_OFF)
#define ON BIT(LOBBY_ON)
#define NO_ROOM BIT(LOBBY_NO_ROOM)

/* The refusals:
 * - room-missing is Prosody's own answer where not everyone may create rooms (wire fact 6). Nothing
 * is created for a token that may be worth nothing.
 * - unjudged-open is what Jitsi's token_verification answers to a token for another room, and
 *   lib-jitsi-meet shows it as "not allowed to join". auth/not-authorized it would show as a room
 * with a password, service-unavailable as a full one. */
/* clang-format off */
static const struct rule rules[] = {
    /* Only of the preset that creates rooms. */
    {"room-create", LOBBY, NO_ROOM, DECIDE_CREATE,
     "asks for the lobby of a room still to be made", NULL, NULL},

    {"guest", GUEST | OTHER_ROOM, UNKNOWN | OFF | ON | NO_ROOM, DECIDE_FORWARD,
     "no token that counts here: Prosody decides", NULL, NULL},
    {"state-unknown", UNJUDGED | LOBBY | PLAIN, UNKNOWN, DECIDE_ASK,
     "not known whether the room has a lobby", NULL, NULL},
    {"lobby-on", LOBBY, ON, DECIDE_FORWARD,
     "asks for the lobby, which is on", NULL, NULL},
    {"lobby-turn-on", LOBBY, OFF, DECIDE_TURN_ON,
     "asks for the lobby, which is off", NULL, NULL},
    {"plain-member", PLAIN, ON, DECIDE_GRANT,
     "does not ask for the lobby: passes it", NULL, NULL},
    {"plain-open", PLAIN, OFF, DECIDE_FORWARD,
     "does not ask for the lobby, and there is none", NULL, NULL},
    {"plain-missing", PLAIN, NO_ROOM, DECIDE_FORWARD,
     "no such room: Prosody decides", NULL, NULL},
    {"unjudged-lobby", UNJUDGED, ON, DECIDE_FORWARD,
     "a token that cannot be judged: the lobby holds it", NULL, NULL},
    {"unjudged-open", UNJUDGED, OFF, DECIDE_REFUSE,
     "a token that cannot be judged, and no lobby to hold it", "cancel", "not-allowed"},
    {"room-missing", LOBBY | UNJUDGED, NO_ROOM, DECIDE_REFUSE,
     "there is no such room", "cancel", "item-not-found"},
};
/* clang-format on */
#define RULES_LEN (sizeof rules / sizeof rules[0])

const struct rule_set rules_token_lobby_ondemand = {"token_lobby_ondemand", rules + 1,
                                                    RULES_LEN - 1};
const struct rule_set rules_token_lobby_ondemand_create = {"token_lobby_ondemand_create", rules,
                                                           RULES_LEN};

enum applicant applicant_of(const struct token *token, const struct token_rules *token_rules,
                            const struct muc_room *room, const char **ret_reason)
{
    switch (token->status) {
    case TOKEN_NONE:
        *ret_reason = "no token";
        return APPLICANT_GUEST;
    case TOKEN_REFUSED:
        *ret_reason = token->reason;
        return APPLICANT_GUEST;
    case TOKEN_UNJUDGED:
        *ret_reason = token->reason;
        return APPLICANT_UNJUDGED;
    case TOKEN_VALID:
        break;
    }
    switch (token_covers_room(token, token_rules, room)) {
    case TOKEN_OTHER_ROOM:
        *ret_reason = "the token is for another room";
        return token->is_doubted ? APPLICANT_GUEST : APPLICANT_OTHER_ROOM;
    case TOKEN_COVER_UNKNOWN:
        *ret_reason = "which rooms the token is for cannot be told";
        return APPLICANT_UNJUDGED;
    case TOKEN_COVERS:
        break;
    }
    if (token->asks_lobby) {
        *ret_reason = "the token asks for the lobby";
        return APPLICANT_LOBBY;
    }
    if (token->is_doubted) {
        *ret_reason = "a login with the token was refused before";
        return APPLICANT_GUEST;
    }
    *ret_reason = "the token does not ask for the lobby";
    return APPLICANT_PLAIN;
}

struct decision decide(const struct rule_set *set, enum applicant applicant, enum lobby_state state)
{
    for (size_t i = 0; i < set->rules_len; i++) {
        const struct rule *rule = &set->rules[i];

        if (rule->applicants & BIT(applicant) && rule->states & BIT(state))
            return (struct decision){rule->action, rule->name, rule->reason, rule->error_type,
                                     rule->error_condition};
    }
    assert(!"a rule set ends in a rule that fits");
    return (struct decision){DECIDE_REFUSE, "no-rule", "no rule fits", "cancel", "not-allowed"};
}

const char *applicant_text(enum applicant applicant)
{
    switch (applicant) {
    case APPLICANT_GUEST:
        return "guest";
    case APPLICANT_UNJUDGED:
        return "unjudged";
    case APPLICANT_LOBBY:
        return "lobby";
    case APPLICANT_PLAIN:
        return "plain";
    case APPLICANT_OTHER_ROOM:
        return "other-room";
    }
    return "unknown";
}

const char *lobby_state_text(enum lobby_state state)
{
    switch (state) {
    case LOBBY_UNKNOWN:
        return "unknown";
    case LOBBY_OFF:
        return "off";
    case LOBBY_ON:
        return "on";
    case LOBBY_NO_ROOM:
        return "no room";
    }
    return "unknown";
}
