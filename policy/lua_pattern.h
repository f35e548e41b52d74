/*
 * Lua's string.match, by Lua's own library: Jitsi's modules take a token's room for a Lua pattern when
 * context.room.regex is true (wire fact 5).
 */
#pragma once

#include <stddef.h>

/* The longest room or pattern looked at, and so the longest result. */
#define LUA_SUBJECT_MAX 1024
/* Steps of the matcher, at worst: some milliseconds, in which nothing else goes on. */
#define LUA_STEPS_MAX 1000000

enum lua_match {
    LUA_MATCH_YES = 0,
    LUA_MATCH_NO,
    LUA_MATCH_BAD,        /* no pattern: Lua raises an error */
    LUA_MATCH_TOO_COSTLY, /* might take longer than LUA_STEPS_MAX, or memory is short: not tried */
};

/* string.match(subject, pattern) as Lua 5.4 in the C locale has it. ret (LUA_SUBJECT_MAX + 1 bytes) is
 * written only on LUA_MATCH_YES: the first value, which is the first capture (of a position capture the
 * number's text), or all that matched where there is none. */
enum lua_match lua_pattern_match(const char *pattern, const char *subject, char *ret)
    __attribute__((warn_unused_result));

/* At most so many steps does the matcher take on a subject of that length; any number above
 * LUA_STEPS_MAX stands for all of them. */
unsigned long lua_pattern_steps(const char *pattern, size_t subject_len);
