/*
 * decide.c: every applicant in every state under both presets, and what makes an applicant.
 */
#include "policy/decide.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

enum { REFUSING, CREATING };

struct decide_case {
    int preset;
    enum applicant applicant;
    enum lobby_state state;
    enum decision_action action;
    const char *rule, *error_type, *error_condition;
};

static const struct decide_case cases[] = {
    {REFUSING, APPLICANT_GUEST, LOBBY_UNKNOWN, DECIDE_FORWARD, "guest", NULL, NULL},
    {REFUSING, APPLICANT_GUEST, LOBBY_OFF, DECIDE_FORWARD, "guest", NULL, NULL},
    {REFUSING, APPLICANT_GUEST, LOBBY_ON, DECIDE_FORWARD, "guest", NULL, NULL},
    {REFUSING, APPLICANT_GUEST, LOBBY_NO_ROOM, DECIDE_FORWARD, "guest", NULL, NULL},
    {REFUSING, APPLICANT_UNJUDGED, LOBBY_UNKNOWN, DECIDE_ASK, "state-unknown", NULL, NULL},
    {REFUSING, APPLICANT_UNJUDGED, LOBBY_OFF, DECIDE_REFUSE, "unjudged-open", "cancel",
     "not-allowed"},
    {REFUSING, APPLICANT_UNJUDGED, LOBBY_ON, DECIDE_FORWARD, "unjudged-lobby", NULL, NULL},
    {REFUSING, APPLICANT_UNJUDGED, LOBBY_NO_ROOM, DECIDE_REFUSE, "room-missing", "cancel",
     "item-not-found"},
    {REFUSING, APPLICANT_LOBBY, LOBBY_UNKNOWN, DECIDE_ASK, "state-unknown", NULL, NULL},
    {REFUSING, APPLICANT_LOBBY, LOBBY_OFF, DECIDE_TURN_ON, "lobby-turn-on", NULL, NULL},
    {REFUSING, APPLICANT_LOBBY, LOBBY_ON, DECIDE_FORWARD, "lobby-on", NULL, NULL},
    {REFUSING, APPLICANT_LOBBY, LOBBY_NO_ROOM, DECIDE_REFUSE, "room-missing", "cancel",
     "item-not-found"},
    {REFUSING, APPLICANT_PLAIN, LOBBY_UNKNOWN, DECIDE_ASK, "state-unknown", NULL, NULL},
    {REFUSING, APPLICANT_PLAIN, LOBBY_OFF, DECIDE_FORWARD, "plain-open", NULL, NULL},
    {REFUSING, APPLICANT_PLAIN, LOBBY_ON, DECIDE_GRANT, "plain-member", NULL, NULL},
    {REFUSING, APPLICANT_PLAIN, LOBBY_NO_ROOM, DECIDE_FORWARD, "plain-missing", NULL, NULL},
    {REFUSING, APPLICANT_OTHER_ROOM, LOBBY_UNKNOWN, DECIDE_FORWARD, "guest", NULL, NULL},
    {REFUSING, APPLICANT_OTHER_ROOM, LOBBY_OFF, DECIDE_FORWARD, "guest", NULL, NULL},
    {REFUSING, APPLICANT_OTHER_ROOM, LOBBY_ON, DECIDE_FORWARD, "guest", NULL, NULL},
    {REFUSING, APPLICANT_OTHER_ROOM, LOBBY_NO_ROOM, DECIDE_FORWARD, "guest", NULL, NULL},

    {CREATING, APPLICANT_GUEST, LOBBY_UNKNOWN, DECIDE_FORWARD, "guest", NULL, NULL},
    {CREATING, APPLICANT_GUEST, LOBBY_OFF, DECIDE_FORWARD, "guest", NULL, NULL},
    {CREATING, APPLICANT_GUEST, LOBBY_ON, DECIDE_FORWARD, "guest", NULL, NULL},
    {CREATING, APPLICANT_GUEST, LOBBY_NO_ROOM, DECIDE_FORWARD, "guest", NULL, NULL},
    {CREATING, APPLICANT_UNJUDGED, LOBBY_UNKNOWN, DECIDE_ASK, "state-unknown", NULL, NULL},
    {CREATING, APPLICANT_UNJUDGED, LOBBY_OFF, DECIDE_REFUSE, "unjudged-open", "cancel",
     "not-allowed"},
    {CREATING, APPLICANT_UNJUDGED, LOBBY_ON, DECIDE_FORWARD, "unjudged-lobby", NULL, NULL},
    {CREATING, APPLICANT_UNJUDGED, LOBBY_NO_ROOM, DECIDE_REFUSE, "room-missing", "cancel",
     "item-not-found"},
    {CREATING, APPLICANT_LOBBY, LOBBY_UNKNOWN, DECIDE_ASK, "state-unknown", NULL, NULL},
    {CREATING, APPLICANT_LOBBY, LOBBY_OFF, DECIDE_TURN_ON, "lobby-turn-on", NULL, NULL},
    {CREATING, APPLICANT_LOBBY, LOBBY_ON, DECIDE_FORWARD, "lobby-on", NULL, NULL},
    {CREATING, APPLICANT_LOBBY, LOBBY_NO_ROOM, DECIDE_CREATE, "room-create", NULL, NULL},
    {CREATING, APPLICANT_PLAIN, LOBBY_UNKNOWN, DECIDE_ASK, "state-unknown", NULL, NULL},
    {CREATING, APPLICANT_PLAIN, LOBBY_OFF, DECIDE_FORWARD, "plain-open", NULL, NULL},
    {CREATING, APPLICANT_PLAIN, LOBBY_ON, DECIDE_GRANT, "plain-member", NULL, NULL},
    {CREATING, APPLICANT_PLAIN, LOBBY_NO_ROOM, DECIDE_FORWARD, "plain-missing", NULL, NULL},
    {CREATING, APPLICANT_OTHER_ROOM, LOBBY_UNKNOWN, DECIDE_FORWARD, "guest", NULL, NULL},
    {CREATING, APPLICANT_OTHER_ROOM, LOBBY_OFF, DECIDE_FORWARD, "guest", NULL, NULL},
    {CREATING, APPLICANT_OTHER_ROOM, LOBBY_ON, DECIDE_FORWARD, "guest", NULL, NULL},
    {CREATING, APPLICANT_OTHER_ROOM, LOBBY_NO_ROOM, DECIDE_FORWARD, "guest", NULL, NULL},
};

static bool same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static void decides_every_pair(void **state)
{
    bool seen[2][5][4] = {0};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct decide_case *c = &cases[i];
        struct decision got = decide(c->preset == CREATING ? &rules_token_lobby_ondemand_create
                                                           : &rules_token_lobby_ondemand,
                                     c->applicant, c->state);

        seen[c->preset][c->applicant][c->state] = true;
        if (got.action != c->action || !same(got.rule, c->rule) ||
            !same(got.error_type, c->error_type) || !same(got.error_condition, c->error_condition))
            fail_msg("preset %d, %s, lobby %s: got %s (%d)", c->preset,
                     applicant_text(c->applicant), lobby_state_text(c->state), got.rule,
                     (int)got.action);
        assert_true(got.reason && got.reason[0] != '\0');
    }
    for (size_t i = 0; i < sizeof seen; i++)
        assert_true(((const bool *)seen)[i]);
}

/* Refusing and nothing else carries an error, and each rule has a name of its own. */
static void rules_are_sound(void **state)
{
    const struct rule_set *set = &rules_token_lobby_ondemand_create;

    for (size_t i = 0; i < set->rules_len; i++) {
        const struct rule *rule = &set->rules[i];

        assert_int_equal(rule->action == DECIDE_REFUSE, rule->error_type != NULL);
        assert_int_equal(rule->action == DECIDE_REFUSE, rule->error_condition != NULL);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(rule->name, set->rules[j].name);
    }
}

struct applicant_case {
    const char *name;
    struct token token;
    enum applicant expected;
    const char *reason;
};

static char this_room[] = "room", other_room[] = "other", any_room[] = "*", pattern[] = "ro+m";
static char part[] = "o+";
static char domain[] = "meet.example.com", tenant[] = "acme";

static const struct applicant_case applicants[] = {
    {"no token", {.status = TOKEN_NONE}, APPLICANT_GUEST, "no token"},
    {"no token never asks",
     {.status = TOKEN_NONE, .asks_lobby = true, .room = any_room, .sub = domain},
     APPLICANT_GUEST,
     "no token"},
    {"refused", {.status = TOKEN_REFUSED, .reason = "why"}, APPLICANT_GUEST, "why"},
    {"unjudged", {.status = TOKEN_UNJUDGED, .reason = "why"}, APPLICANT_UNJUDGED, "why"},
    {"unjudged never asks",
     {.status = TOKEN_UNJUDGED, .reason = "why", .asks_lobby = true, .room = any_room},
     APPLICANT_UNJUDGED,
     "why"},
    {"valid",
     {.status = TOKEN_VALID, .reason = "", .room = this_room, .sub = domain},
     APPLICANT_PLAIN,
     "the token does not ask for the lobby"},
    {"valid and asks",
     {.status = TOKEN_VALID, .reason = "", .room = this_room, .sub = domain, .asks_lobby = true},
     APPLICANT_LOBBY,
     "the token asks for the lobby"},
    {"for another room",
     {.status = TOKEN_VALID, .reason = "", .room = other_room, .sub = domain, .asks_lobby = true},
     APPLICANT_OTHER_ROOM,
     "the token is for another room"},
    {"for another tenant",
     {.status = TOKEN_VALID, .reason = "", .room = this_room, .sub = tenant},
     APPLICANT_OTHER_ROOM,
     "the token is for another room"},
    {"for a pattern",
     {.status = TOKEN_VALID, .reason = "", .room = pattern, .sub = domain, .room_is_pattern = true},
     APPLICANT_PLAIN,
     "the token does not ask for the lobby"},
    {"for a pattern that finds something else",
     {.status = TOKEN_VALID, .reason = "", .room = part, .sub = domain, .room_is_pattern = true},
     APPLICANT_OTHER_ROOM,
     "the token is for another room"},
    {"where Prosody's check would fail",
     {.status = TOKEN_VALID,
      .reason = "",
      .room = this_room,
      .sub = domain,
      .room_check_fails = true},
     APPLICANT_UNJUDGED,
     "which rooms the token is for cannot be told"},
    {"a plain one that Prosody may have refused",
     {.status = TOKEN_VALID, .reason = "", .room = this_room, .sub = domain, .is_doubted = true},
     APPLICANT_GUEST,
     "a login with the token was refused before"},
    {"for another room, and Prosody may have refused and forgotten it",
     {.status = TOKEN_VALID, .reason = "", .room = other_room, .sub = domain, .is_doubted = true},
     APPLICANT_GUEST,
     "the token is for another room"},
    {"one that asks and that Prosody may have refused",
     {.status = TOKEN_VALID,
      .reason = "",
      .room = this_room,
      .sub = domain,
      .asks_lobby = true,
      .is_doubted = true},
     APPLICANT_LOBBY,
     "the token asks for the lobby"},
    {"for any room, pattern or not",
     {.status = TOKEN_VALID,
      .reason = "",
      .room = any_room,
      .sub = domain,
      .room_is_pattern = true,
      .asks_lobby = true},
     APPLICANT_LOBBY,
     "the token asks for the lobby"},
};

static void names_applicants(void **state)
{
    const struct token_rules rules = {
        .require_room = true, .domain_verification = true, .domain = domain};
    const struct muc_room room = {
        .jid = "room@conference.meet.example.com", .node = "room", .tenant = "", .nick = "me"};

    for (size_t i = 0; i < sizeof applicants / sizeof applicants[0]; i++) {
        const struct applicant_case *c = &applicants[i];
        const char *reason = NULL;
        enum applicant got = applicant_of(&c->token, &rules, &room, &reason);

        if (got != c->expected || !same(reason, c->reason))
            fail_msg("%s: got %s, %s", c->name, applicant_text(got), reason ? reason : "nothing");
    }
}

static void names_are_printable(void **state)
{
    assert_string_equal(applicant_text(APPLICANT_UNJUDGED), "unjudged");
    assert_string_equal(applicant_text((enum applicant)99), "unknown");
    assert_string_equal(lobby_state_text(LOBBY_NO_ROOM), "no room");
    assert_string_equal(lobby_state_text((enum lobby_state)99), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decides_every_pair),
        cmocka_unit_test(rules_are_sound),
        cmocka_unit_test(names_applicants),
        cmocka_unit_test(names_are_printable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
