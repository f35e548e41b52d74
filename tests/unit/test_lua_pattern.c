/*
 * lua_pattern.c: what a pattern finds, and which patterns are never tried.
 */
#include "policy/lua_pattern.h"
#include "tests/unit/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#define LETTERS_32 "(((((((((((((((((((((((((((((((("

/* Each as `lua5.4 -e 'print(string.match(subject, pattern))'` has it. */
static const struct {
    const char *name, *pattern, *subject;
    enum lua_match result;
    const char *found;
} matches[] = {
    {"itself", "room", "room", LUA_MATCH_YES, "room"},
    {"a part", "oo", "room", LUA_MATCH_YES, "oo"},
    {"nothing", "x", "room", LUA_MATCH_NO, NULL},
    {"empty pattern", "", "room", LUA_MATCH_YES, ""},
    {"empty subject", "", "", LUA_MATCH_YES, ""},
    {"empty subject, no match", "a", "", LUA_MATCH_NO, NULL},
    {"greedy", "o.*", "room-o", LUA_MATCH_YES, "oom-o"},
    {"lazy", "r.-o", "room-o", LUA_MATCH_YES, "ro"},
    {"optional", "roo?o?o?m", "room", LUA_MATCH_YES, "room"},
    {"class", "%a+%-%d+", "the team-42!", LUA_MATCH_YES, "team-42"},
    {"set", "[^%d]+", "12ab34", LUA_MATCH_YES, "ab"},
    {"set with a bracket first", "[]]", "a]", LUA_MATCH_YES, "]"},
    {"set with an escaped bracket", "[%]x]+", "a]x]", LUA_MATCH_YES, "]x]"},
    {"range", "[a-c]+", "xxabcd", LUA_MATCH_YES, "abc"},
    {"anchors", "^room$", "room", LUA_MATCH_YES, "room"},
    {"anchors, longer", "^room$", "rooms", LUA_MATCH_NO, NULL},
    {"dollar inside is a letter", "a$b", "a$b", LUA_MATCH_YES, "a$b"},
    {"capture", "team%-(%d+)", "team-42", LUA_MATCH_YES, "42"},
    {"first of two captures", "(%a+)%-(%d+)", "team-42", LUA_MATCH_YES, "team"},
    {"position", "()2", "42", LUA_MATCH_YES, "2"},
    {"back-reference", "(%a)%1", "room", LUA_MATCH_YES, "o"},
    {"balanced", "%b()", "a(b(c)d)e", LUA_MATCH_YES, "(b(c)d)"},
    {"frontier", "%f[%a]%a+", "12 ab", LUA_MATCH_YES, "ab"},
    {"bytes beyond ASCII are no letters", "%a", "\xc3\xa4", LUA_MATCH_NO, NULL},
    {"a dot is a byte", "^.$", "\xc3\xa4", LUA_MATCH_NO, NULL},

    {"set not closed", "[a", "a", LUA_MATCH_BAD, NULL},
    {"empty set", "[]", "a", LUA_MATCH_BAD, NULL},
    {"escape at the end", "a%", "a", LUA_MATCH_BAD, NULL},
    {"capture not closed", "(a", "a", LUA_MATCH_BAD, NULL},
    {"capture not opened", "a)", "a", LUA_MATCH_BAD, NULL},
    {"too many captures", LETTERS_32 "(", "a", LUA_MATCH_BAD, NULL},
    {"no such capture", "%2", "a", LUA_MATCH_BAD, NULL},
    {"capture 0", "(a)%0", "aa", LUA_MATCH_BAD, NULL},
    {"%b without letters", "%b", "a", LUA_MATCH_BAD, NULL},
    {"%b with one letter", "%ba", "a", LUA_MATCH_BAD, NULL},
    {"%f without a set", "%fa", "a", LUA_MATCH_BAD, NULL},
    {"%f with a set not closed", "%f[a", "a", LUA_MATCH_BAD, NULL},
    {"wrong where nobody comes", "xyz[", "a", LUA_MATCH_NO, NULL},
};

static void matches_as_lua_does(void **state)
{
    for (size_t i = 0; i < sizeof matches / sizeof matches[0]; i++) {
        char found[LUA_SUBJECT_MAX + 1] = "untouched";
        enum lua_match result = lua_pattern_match(matches[i].pattern, matches[i].subject, found);

        if (result != matches[i].result)
            fail_msg("%s: got %d", matches[i].name, result);
        if (strcmp(found, matches[i].found ? matches[i].found : "untouched") != 0)
            fail_msg("%s: found \"%s\"", matches[i].name, found);
    }
}

/* Limits. */

static const struct {
    const char *name, *pattern;
    size_t subject_len; /* of a's */
    bool is_tried;
} costs[] = {
    {"a name", "^team%-[a-z0-9]+$", 1000, true},
    {"a name, not anchored", "team%-[a-z0-9]+", 100, true},
    {"two repeats", "%a+%-%d+", 100, true},
    {"three repeats", "%a+%-%d+%-%a+", 50, true},
    {"anything in a long name", ".*", 1000, true},
    {"anything twice, anchored, in a long name", "^.*a.*$", 400, true},
    {"anything three times in a long name", ".*a.*b.*", 400, false},
    {"twenty repeats", "a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-b", 30, false},
    {"many optional letters",
     "a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?aaaaaaaaaaaaaaaaaaaaaaaa", 24, false},
    {"balanced again and again", "%bab%bab", 1000, false},
    {"back-references", "(.-)%1%1x", 500, false},
    {"at the limit", "a", LUA_SUBJECT_MAX, true},
    {"longer than any room", "a", LUA_SUBJECT_MAX + 1, false},
};

static void tries_no_costly_pattern(void **state)
{
    for (size_t i = 0; i < sizeof costs / sizeof costs[0]; i++) {
        char subject[LUA_SUBJECT_MAX + 2], found[LUA_SUBJECT_MAX + 1];

        memset(subject, 'a', costs[i].subject_len);
        subject[costs[i].subject_len] = '\0';
        if ((lua_pattern_match(costs[i].pattern, subject, found) != LUA_MATCH_TOO_COSTLY) !=
            costs[i].is_tried)
            fail_msg("%s: %lu steps", costs[i].name,
                     lua_pattern_steps(costs[i].pattern, costs[i].subject_len));
    }
}

/* The worst that is let through, in a time that a slow machine under sanitizers keeps too: patterns
 * of this kind take hours without the limit. */
static void is_quick_with_the_worst(void **state)
{
    char subject[LUA_SUBJECT_MAX + 1], pattern[128], found[LUA_SUBJECT_MAX + 1];
    size_t len = 1, tried = 0;
    struct timespec begin, end;

    for (size_t repeats = 1; repeats <= 20; repeats++) {
        pattern[0] = '\0';
        for (size_t i = 0; i < repeats; i++)
            strcat(pattern, "[a-z]-");
        strcat(pattern, "9");
        for (len = LUA_SUBJECT_MAX; len > 0 && lua_pattern_steps(pattern, len) > LUA_STEPS_MAX;)
            len--;
        if (len == 0)
            continue;
        memset(subject, 'a', len);
        subject[len] = '\0';
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
        assert_int_equal(lua_pattern_match(pattern, subject, found), LUA_MATCH_NO);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
        if (end.tv_sec - begin.tv_sec > 1)
            fail_msg("%s on %zu letters took %ld s", pattern, len,
                     (long)(end.tv_sec - begin.tv_sec));
        tried++;
    }
    assert_true(tried >= 5);
}

static void survives_lack_of_memory(void **state)
{
    long n = 0;

    for (bool hit = true; hit; n++) {
        char found[LUA_SUBJECT_MAX + 1];
        enum lua_match result;

        alloc_track_on();
        alloc_fail_after(n);
        result = lua_pattern_match("(%a+)%-%d+", "team-42", found);
        hit = alloc_failed();
        alloc_fail_off();
        /* Lua collects its garbage and tries again where it can. */
        assert_true(result == LUA_MATCH_YES || (hit && result == LUA_MATCH_TOO_COSTLY));
        assert_int_equal(alloc_live(), 0);
        alloc_track_off();
    }
    assert_true(n > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_as_lua_does),
        cmocka_unit_test(tries_no_costly_pattern),
        cmocka_unit_test(is_quick_with_the_worst),
        cmocka_unit_test(survives_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
