/*
 * Releasing persistent rooms, and who counts as being in one: policy/room_release.c, room_people.c.
 */
#include "tests/unit/room_script.h"

/* lou has turned the lobby of an empty room on, and is let go. */
#define TURNED_ON                                                                                  \
    {"up", ""}, {"join lou lobby", "form"}, {"form off", "roles"}, {"roles", "submit+"},           \
        {"ok", "form"}, {"form on", "*on:0 lou>"},                                                 \
    {                                                                                              \
        "persistent 1", ""                                                                         \
    }

/* clang-format off */
static const struct scenario scenarios[] = {
    {"released when the last one has left", STEPS(
        TURNED_ON,
        {"enter lou member", ""},
        {"enter ann none", ""},
        {"leave lou", ""},
        {"leave ann", "roles"},
        {"roles", "destroy"},
        {"ok", "*released"},
        {"persistent 0", ""},
        {"count 0", ""},
        {"again", ""})},
    {"kept for who waits in the lobby", STEPS(
        TURNED_ON,
        {"enter ann none", ""},
        {"refused lou lobby", ""},
        {"lobby lou", ""},
        {"leave ann", ""},
        {"+100000", ""},
        {"persistent 1", ""},
        {"unlobby lou", "roles"},
        {"roles", "destroy"},
        {"ok", "*released"})},
    {"kept for who was shown the lobby and has not entered it yet", STEPS(
        TURNED_ON,
        {"refused lou lobby", ""},
        {"+2999", ""},
        {"+1", "roles"},
        {"roles", "destroy"},
        {"ok", "*released"})},
    {"not for who left from there", STEPS(
        TURNED_ON,
        {"refused lou lobby", ""},
        {"gone lou", "roles"})},
    {"nor for who was denied", STEPS(
        TURNED_ON,
        {"refused lou lobby", ""},
        {"lobby lou", ""},
        {"unlobby lou", "roles"})},
    {"kept for who is on his way from the lobby to the room", STEPS(
        TURNED_ON,
        {"refused lou lobby", ""},
        {"lobby lou", ""},
        {"join lou lobby", "form"},
        {"unlobby lou", ""},
        {"form on", "submit"},
        {"ok", "lou>"},
        {"enter lou member", ""},
        {"leave lou", "roles"})},
    {"a broken stream counts until it is given up", STEPS(
        TURNED_ON,
        {"enter lou member", ""},
        {"suspend lou 60000", ""},
        {"+59999", ""},
        {"persistent 1", ""},
        {"+1", "roles"},
        {"roles", "destroy"},
        {"ok", "*released"})},
    {"a broken stream that comes back", STEPS(
        TURNED_ON,
        {"enter lou member", ""},
        {"suspend lou 60000", ""},
        {"+59999", ""},
        {"resume lou", ""},
        {"+59999", ""},
        {"gone lou", "roles"})},
    {"suspended twice: the later time counts", STEPS(
        TURNED_ON,
        {"enter lou member", ""},
        {"suspend lou 10000", ""},
        {"suspend lou 20000", ""},
        {"+10000", ""},
        {"+10000", "roles"})},
    {"a stream that broke right behind its join", STEPS(
        TURNED_ON,
        {"gone lou", "roles"},
        {"roles", "destroy"},
        {"ok", "*released"})},
    {"a join of which nothing was ever heard", STEPS(
        TURNED_ON,
        {"+30000", "roles"})},
    {"focus leaves last", STEPS(
        TURNED_ON,
        {"gone lou", "roles"},
        {"roles focus:owner", ""},
        {"+1999", ""},
        {"+1", "roles"},
        {"roles focus:owner", ""},
        {"+2000", "roles"},
        {"roles", "destroy"},
        {"ok", "*released"})},
    {"a join cancels the release", STEPS(
        TURNED_ON,
        {"gone lou", "roles"},
        {"join jim lobby", "form"},
        {"roles", ""},
        {"form on", "submit"},
        {"ok", "jim>"},
        {"persistent 1", ""})},
    {"a guest cancels the release", STEPS(
        TURNED_ON,
        {"gone lou", "roles"},
        {"join gus guest", "gus>"},
        {"roles", ""},
        {"refused gus lobby", ""},
        {"gone gus", "roles"})},
    {"a join during the destruction waits for its end", STEPS(
        TURNED_ON,
        {"gone lou", "roles"},
        {"roles", "destroy"},
        {"join jim lobby", ""},
        {"join gus guest", ""},
        {"ok", "*released gus> form"},
        {"error item-not-found", "jim!item-not-found"})},
    {"a destruction that fails while a join waits", STEPS(
        TURNED_ON,
        {"gone lou", "roles"},
        {"roles", "destroy"},
        {"join gus guest", ""},
        {"error forbidden", "*failed gus>"},
        {"gone gus", ""},
        {"+2000", "roles"})},
    {"found gone", STEPS(
        TURNED_ON,
        {"gone lou", "roles"},
        {"error item-not-found", "*forgotten"},
        {"count 0", ""})},
    {"found gone by the destruction", STEPS(
        TURNED_ON,
        {"gone lou", "roles"},
        {"roles", "destroy"},
        {"error item-not-found", "*forgotten"},
        {"count 0", ""})},
    {"another instance has people waiting for it", STEPS(
        TURNED_ON,
        {"gone lou", "roles"},
        {"roles", "destroy"},
        {"error handed-over", "*handed over"},
        {"count 0", ""})},
    {"found gone by a lobby user's join", STEPS(
        TURNED_ON,
        {"enter lou member", ""},
        {"+3000", ""},
        {"104", ""},
        {"join jim lobby", "form"},
        {"error item-not-found", "*forgotten jim!item-not-found"},
        {"persistent 0", ""})},
    {"destroyed by its owner", STEPS(
        TURNED_ON,
        {"enter lou owner", ""},
        {"destroyed", "*forgotten"},
        {"count 0", ""})},
    {"destroyed while it is looked into", STEPS(
        TURNED_ON,
        {"gone lou", "roles"},
        {"destroyed", "*forgotten"},
        {"roles", ""},
        {"count 0", ""})},
    {"tried again, later and later, told once", STEPS(
        TURNED_ON,
        {"gone lou", "roles"},
        {"error forbidden", "*failed"},
        {"+1999", ""},
        {"+1", "roles"},
        {"roles", "destroy"},
        {"timeout", ""},
        {"+4000", "roles"},
        {"timeout", ""},
        {"+8000", "roles"},
        {"timeout", ""},
        {"+16000", "roles"},
        {"timeout", ""},
        {"+32000", "roles"},
        {"timeout", ""},
        {"+60000", "roles"},
        {"timeout", ""},
        {"+60000", "roles"},
        {"roles", "destroy"},
        {"ok", "*released"})},
    {"while the service is away nothing is due", STEPS(
        TURNED_ON,
        {"down", ""},
        {"gone lou", ""},
        {"+100000", ""},
        {"up", "roles"},
        {"down", ""},
        {"lost", ""},
        {"up", "roles"},
        {"roles", "destroy"},
        {"down", ""},
        {"lost", ""},
        {"up", "roles"},
        {"error item-not-found", "*forgotten"})},
    {"a lost answer alone", STEPS(
        TURNED_ON,
        {"gone lou", "roles"},
        {"lost", ""},
        {"+2000", "roles"})},
    {"left behind by an earlier run", STEPS(
        {"adopt", ""},
        {"persistent 1", ""},
        {"up", ""}, /* who was there comes back first */
        {"+9999", ""},
        {"+1", "roles"},
        {"roles focus:owner", ""},
        {"+1000", ""},
        {"join ann plain", "form"},
        {"form on", "grant:ann"},
        {"ok", "*granted:ann ann>"},
        {"enter ann member", ""},
        {"leave ann", "roles"},
        {"roles", "destroy"},
        {"ok", "*released"})},
    {"shut down", STEPS(
        TURNED_ON,
        {"enter lou member", ""},
        {"shutdown", "submit-"},
        {"ok", "*given"},
        {"persistent 0", ""},
        {"gone lou", ""},
        {"count 0", ""})},
    {"shut down with the lobby turned off by a moderator", STEPS(
        TURNED_ON,
        {"enter lou member", ""},
        {"+5000", ""},
        {"104", ""},
        {"info off", ""},
        {"shutdown", "submit-off-"},
        {"ok", "*given"})},
    {"shut down and the room's state is not known", STEPS(
        TURNED_ON,
        {"enter lou member", ""},
        {"+5000", ""},
        {"104", ""},
        {"shutdown", "form"},
        {"form on", "submit-"},
        {"error forbidden", "*failed submit-"},
        {"timeout", "*failed"},
        {"persistent 1", ""})},
    {"shut down while one waits and nobody is inside", STEPS(
        TURNED_ON,
        {"refused lou lobby", ""},
        {"lobby lou", ""},
        {"shutdown", "roles"},
        {"roles", "destroy"},
        {"ok", "*released"})},
    {"shut down while others are inside", STEPS(
        TURNED_ON,
        {"gone lou", "roles"},
        {"shutdown", ""},
        {"roles focus:owner", "form"},
        {"form on", "submit-"},
        {"ok", "*given"},
        {"persistent 0", ""})},
    {"left behind by an earlier run, and shut down at once", STEPS(
        {"adopt", ""},
        {"up", ""},
        {"shutdown", "roles"},
        {"roles", "destroy"},
        {"ok", "*released"})},
    {"shut down while it is tried again later", STEPS(
        TURNED_ON,
        {"gone lou", "roles"},
        {"error forbidden", "*failed"},
        {"shutdown", "roles"})},
    {"entered twice, left once", STEPS(
        TURNED_ON,
        {"enter lou member", ""},
        {"enter lou member", ""},
        {"leave lou", "roles"},
        {"leave lou", ""},
        {"roles", "destroy"})},
};
/* clang-format on */

int main(void)
{
    SCENARIOS(scenarios)
    return cmocka_run_group_tests(tests, NULL, NULL);
}
