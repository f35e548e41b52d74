/*
 * Runs a Lua pattern in a Lua of its own: a state made for one match, with little memory and
 * nothing loaded but the string library, and closed again. That costs some microseconds, and only
 * tokens with a pattern pay them; there is no state to share.
 *
 * The one thing to know: Lua's matcher goes back and tries again, cannot be interrupted and may
 * need longer than the age of the world for thirty letters. So what it may cost at worst is worked
 * out first, and a pattern above the limit is never run.
 */
#include "policy/lua_pattern.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Enough for the library's own tables (16 KiB) and the two texts, many times over. */
#define MEMORY_MAX ((size_t)256 * 1024)

/* What a pattern may cost. */

struct cost {
    uint64_t subject_len;
    uint64_t arrivals; /* how often, at worst, the matcher comes to this place of the pattern */
    uint64_t repeats;  /* places so far where the matcher chooses how far it goes */
    uint64_t steps;
};

static const char *behind_set(const char *at)
{
    if (*at == '^')
        at++;
    /* A ']' that comes first is an ordinary letter. */
    do {
        if (*at == '\0')
            return at;
        if (*at++ == '%' && *at != '\0')
            at++;
    } while (*at != ']');
    return at + 1;
}

/* Behind one letter, escaped letter or set. */
static const char *behind_single(const char *at)
{
    switch (*at++) {
    case '%':
        return *at == '\0' ? at : at + 1;
    case '[':
        return behind_set(at);
    default:
        return at;
    }
}

static void add_steps(struct cost *cost, uint64_t each)
{
    uint64_t steps;

    if (__builtin_mul_overflow(cost->arrivals, each, &steps) ||
        __builtin_add_overflow(cost->steps, steps, &cost->steps))
        cost->steps = UINT64_MAX;
}

/* One more choice. Ends never go back, so those chosen so far are one of C(n + k, k) rising rows,
 * not of n to the power of k. */
static void add_repeat(struct cost *cost)
{
    uint64_t k = ++cost->repeats;
    uint64_t rows;

    if (__builtin_mul_overflow(cost->arrivals, cost->subject_len + k, &rows))
        rows = UINT64_MAX;
    cost->arrivals = rows / k + (rows % k != 0);
}

/* Costs one item and returns where the next begins. */
static const char *add_item(struct cost *cost, const char *at)
{
    if (*at == '(' || *at == ')') {
        add_steps(cost, 1);
        return at + 1;
    }
    if (*at == '%' && at[1] == 'b') {
        add_steps(cost, cost->subject_len + 1);
        return at + 2 + strnlen(at + 2, 2);
    }
    if (*at == '%' && at[1] == 'f') {
        const char *end = at[2] == '[' ? behind_set(at + 3) : at + 2;

        add_steps(cost, 2 * (uint64_t)(end - at));
        return end;
    }
    if (*at == '%' && at[1] >= '0' && at[1] <= '9') {
        add_steps(cost, cost->subject_len + 1);
        return at + 2;
    }

    const char *end = behind_single(at);
    uint64_t width = (uint64_t)(end - at);
    switch (*end) {
    case '*':
    case '+':
    case '-':
        add_repeat(cost);
        add_steps(cost, width);
        return end + 1;
    case '?':
        add_steps(cost, width);
        if (__builtin_mul_overflow(cost->arrivals, 2, &cost->arrivals))
            cost->arrivals = UINT64_MAX;
        return end + 1;
    default:
        add_steps(cost, width);
        return end;
    }
}

unsigned long lua_pattern_steps(const char *pattern, size_t subject_len)
{
    struct cost cost = {.subject_len = subject_len, .arrivals = 1};

    if (*pattern == '^')
        pattern++;
    else
        add_repeat(&cost); /* it is tried from every letter on */
    add_steps(&cost, 1);
    while (*pattern != '\0' && cost.steps <= LUA_STEPS_MAX)
        pattern = add_item(&cost, pattern);
    return cost.steps <= LUA_STEPS_MAX ? (unsigned long)cost.steps : LUA_STEPS_MAX + 1ul;
}

/* The match. */

struct match {
    const char *pattern, *subject;
    char *ret;
    enum lua_match result;
    size_t memory_left;
};

static void *allocate(void *ctx, void *block, size_t old_size, size_t size)
{
    struct match *match = ctx;
    void *moved;

    if (!block)
        old_size = 0; /* Lua says then what kind of object it is for */
    if (size == 0) {
        free(block);
        match->memory_left += old_size;
        return NULL;
    }
    if (size > old_size && size - old_size > match->memory_left)
        return NULL;
    moved = realloc(block, size);
    if (moved)
        match->memory_left = match->memory_left + old_size - size;
    return moved;
}

/* In a protected call: any of Lua's functions here may raise an error, for lack of memory too. */
static int run(lua_State *lua)
{
    struct match *match = lua_touserdata(lua, 1);
    const char *first;
    size_t len;

    luaL_requiref(lua, LUA_STRLIBNAME, luaopen_string, 0);
    lua_getfield(lua, -1, "match");
    lua_pushstring(lua, match->subject);
    lua_pushstring(lua, match->pattern);
    /* From here on an error is the pattern's, unless it is one of memory. */
    match->result = LUA_MATCH_BAD;
    lua_call(lua, 2, 1);
    first = lua_tolstring(lua, -1, &len);
    if (first && len <= LUA_SUBJECT_MAX) {
        memcpy(match->ret, first, len + 1);
        match->result = LUA_MATCH_YES;
    } else {
        match->result = LUA_MATCH_NO;
    }
    return 0;
}

enum lua_match lua_pattern_match(const char *pattern, const char *subject, char *ret)
{
    struct match match = {.pattern = pattern,
                          .subject = subject,
                          .ret = ret,
                          .result = LUA_MATCH_TOO_COSTLY,
                          .memory_left = MEMORY_MAX};
    size_t subject_len = strlen(subject);
    lua_State *lua;

    if (subject_len > LUA_SUBJECT_MAX || lua_pattern_steps(pattern, subject_len) > LUA_STEPS_MAX)
        return LUA_MATCH_TOO_COSTLY;
    lua = lua_newstate(allocate, &match);
    if (!lua)
        return LUA_MATCH_TOO_COSTLY;
    /* Neither of the two needs memory, so nothing is raised outside the call. */
    lua_pushcfunction(lua, run);
    lua_pushlightuserdata(lua, &match);
    switch (lua_pcall(lua, 1, 0, 0)) {
    case LUA_OK:
    case LUA_ERRRUN:
        break;
    default:
        match.result = LUA_MATCH_TOO_COSTLY;
    }
    lua_close(lua);
    return match.result;
}
