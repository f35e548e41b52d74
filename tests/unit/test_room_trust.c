/*
 * What a client gains by having a join on its way that Prosody will refuse, by hiding that it was
 * put out, and by changing the room all the time: nothing. Language: room_script.h.
 */
#include "tests/unit/room_script.h"

/* gus is on his way in while lou turns the lobby on. */
#define ON_HIS_WAY                                                                                 \
    {"up", ""}, {"join gus guest", "gus>"}, {"join lou lobby", "form"}, {"form off", "roles"},     \
        {"roles", "grant:gus"}, {"ok", "submit+"}, {"ok", "form"},                                 \
    {                                                                                              \
        "form on", "*on:1 lou>"                                                                    \
    }

/* clang-format off */
static const struct scenario scenarios[] = {
    {"on the way to a room the token is not for: no member", STEPS(
        {"up", ""},
        {"join eve other-room", "eve>"},
        {"join lou lobby", "form"},
        {"form off", "roles"},
        {"roles", "submit+"})},
    {"inside all the same, where Prosody checks no rooms: a member", STEPS(
        {"up", ""},
        {"join eve other-room", "eve>"},
        {"enter eve none", ""},
        {"join lou lobby", "form"},
        {"form off", "roles"},
        {"roles eve:none", "grant:eve"})},
    {"on the way with another session that asks for the lobby: no member", STEPS(
        {"up", ""},
        {"join gus guest", "gus>"},
        {"join gus/2 lobby", "form"},
        {"form off", "roles"},
        {"roles", "submit+"})},
    {"the same, the other session's token not judged", STEPS(
        {"up", ""},
        {"join gus guest", "gus>"},
        {"join gus/2 unjudged", "form"},
        {"join lou lobby", ""},
        {"form off", "gus/2!not-allowed roles"},
        {"join gus/2 unjudged", ""},
        {"roles", "submit+"})},
    {"came in: stays a member, for all his sessions", STEPS(
        ON_HIS_WAY,
        {"join gus/2 lobby", ""},
        {"enter gus member", "form"},
        {"form on", "gus/2>"},
        {"gone gus", ""})},
    {"refused: taken back before he asks for the lobby", STEPS(
        ON_HIS_WAY,
        {"unnamed gus", "none:gus"},
        {"join gus/2 lobby", ""},
        {"ok", "form"},
        {"form on", "gus/2>"})},
    {"gone: taken back", STEPS(
        ON_HIS_WAY,
        {"gone gus", "none:gus"},
        {"join gus/2 unjudged", ""},
        {"ok", "form"},
        {"form on", "gus/2>"})},
    {"refused before the grant is sent, or answered", STEPS(
        {"up", ""},
        {"join gus guest", "gus>"},
        {"join eve guest", "eve>"},
        {"join lou lobby", "form"},
        {"form off", "roles"},
        {"roles", "grant:gus grant:eve"},
        {"unnamed gus", ""},
        {"ok", "none:gus"},
        {"ok", ""},
        {"ok", "submit+"})},
    {"one of two joins refused: he may still come in", STEPS(
        {"up", ""},
        {"join gus guest", "gus>"},
        {"join gus guest", "gus>"},
        {"join lou lobby", "form"},
        {"form off", "roles"},
        {"roles", "grant:gus"},
        {"ok", "submit+"},
        {"ok", "form"},
        {"form on", "*on:1 lou>"},
        {"unnamed gus", ""},
        {"unnamed gus", "none:gus"})},
    {"held back for longer than a join waits: refused, whatever lobby.on_failure says", STEPS(
        ON_HIS_WAY,
        {"join gus/2 lobby", ""},
        {"+5001", "gus/2!service-unavailable"}), .forward_on_failure = true},
    {"never answered: taken back", STEPS(
        ON_HIS_WAY,
        {"+30001", "roles none:gus"})},
    {"broken off on the way: known when he is back, or gone", STEPS(
        ON_HIS_WAY,
        {"suspend gus 50000", ""},
        {"+30001", ""},
        {"join gus/2 lobby", ""},
        {"+20001", "none:gus gus/2!service-unavailable roles"})},
    {"a plain token makes it his own", STEPS(
        ON_HIS_WAY,
        {"join gus/2 plain", "gus/2>"},
        {"gone gus", ""})},
    {"while it is taken back nobody comes in by it, to be put out", STEPS(
        ON_HIS_WAY,
        {"unnamed gus", "none:gus"},
        {"join gus guest", ""},
        {"join gus/2 plain", ""},
        {"ok", "gus> grant:gus"},
        {"ok", "*granted:gus gus/2>"})},
    {"not answered, lost, refused", STEPS(
        ON_HIS_WAY,
        {"unnamed gus", "none:gus"},
        {"timeout", "none:gus"},
        {"lost", ""},
        {"+1000", "none:gus"},
        {"unsent", ""},
        {"down", ""},
        {"up", "none:gus"},
        {"join gus/2 lobby", ""},
        {"error forbidden", "*failed gus/2!service-unavailable"}), .forward_on_failure = true},
    {"given for all we know, as the answer was lost", STEPS(
        {"up", ""},
        {"join gus guest", "gus>"},
        {"join lou lobby", "form"},
        {"form off", "roles"},
        {"roles", "grant:gus"},
        {"lost", ""},
        {"unnamed gus", ""},
        {"+1000", "form none:gus"})},
    {"an owner once, and what is known is doubted: his next session is no newcomer's", STEPS(
        {"up", ""},
        {"join gus guest", "gus>"},
        {"join gus/2 guest", "gus/2>"},
        {"enter gus owner", ""},
        {"gone gus", ""},
        {"changed", ""},
        {"join lou lobby", "form"},
        {"form off", "roles"},
        {"roles", "aff:gus"})},
    {"put out unseen while his stream was away: not let in again by a membership", STEPS(
        {"up", ""},
        {"join gus guest", "gus>"},
        {"enter gus none", ""},
        {"suspend gus 60000", ""},
        {"join ann guest", "ann>"},
        {"enter ann none", ""},
        {"join lou lobby", "form"},
        {"form off", "roles"},
        {"roles", "grant:ann"},
        {"ok", "submit+"})},
    {"the room is gone", STEPS(
        ON_HIS_WAY,
        {"unnamed gus", "none:gus"},
        {"destroyed", "*forgotten"},
        {"state unknown", ""})},

    {"a lobby user inside is no witness: the next is not let through on his word", STEPS(
        {"up", ""},
        {"join lou lobby", "form"},
        {"form on", "submit"},
        {"ok", "lou>"},
        {"enter lou member", ""},
        {"join lea lobby", "form"},
        {"form off", "roles"})},
    {"nor does he become one by another token", STEPS(
        {"up", ""},
        {"join lou lobby", "form"},
        {"form on", "submit"},
        {"ok", "lou>"},
        {"enter lou member", ""},
        {"join lou plain", "lou>"},
        {"enter lou member", ""},
        {"join lea lobby", "form"})},
    {"one who is inside ceases to be one", STEPS(
        {"up", ""},
        {"join ann plain", "form"},
        {"form on", "grant:ann"},
        {"ok", "*granted:ann ann>"},
        {"enter ann member", ""},
        {"join ann lobby", "form"})},
    {"put out unseen: no member, not inside", STEPS(
        {"up", ""},
        {"join ann plain", "form"},
        {"form on", "grant:ann"},
        {"ok", "*granted:ann ann>"},
        {"enter ann member", ""},
        {"join ann plain", "ann>"},
        {"refused ann lobby", ""},
        {"join ann plain", "form"},
        {"form on", "grant:ann"})},

    {"a change of the room is waited for", STEPS(
        {"up", ""},
        {"owner begin", ""},
        {"join lou lobby", ""},
        {"+4000", ""},
        {"owner end", "form"})},
    {"changes without end are not: the form says", STEPS(
        {"up", ""},
        {"owner begin", ""},
        {"+4000", ""},
        {"owner begin", ""},
        {"owner end", ""},
        {"+4000", ""},
        {"join lou lobby", ""},
        {"+1999", ""},
        {"+1", "form"},
        {"owner begin", ""},
        {"owner end", ""},
        {"form off", "roles"},
        {"roles", "submit+"},
        {"ok", "form"},
        {"form on", "*on:0 lou>"},
        {"+50000", "roles"}, /* the next minute */
        {"join ann plain", ""},
        {"owner end", "form"})},
};
/* clang-format on */

int main(void)
{
    SCENARIOS(scenarios)

    return cmocka_run_group_tests(tests, NULL, NULL);
}
