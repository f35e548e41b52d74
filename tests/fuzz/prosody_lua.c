/*
 * See prosody_lua.h. Debian's package puts Prosody's modules where package.path points below.
 *
 * What a newcomer gets wrong: libFuzzer looks for leaks after every input that allocated more than
 * it freed, which takes milliseconds, and a garbage collector does that nearly always. So Lua's
 * memory is taken in large pieces and kept.
 */
#include "tests/fuzz/prosody_lua.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK ((size_t)1 << 20)

struct pool {
    char *next;
    size_t left;
    void *unused[64]; /* of each power of two, chained through their first bytes */
};

static unsigned power_of(size_t size)
{
    unsigned power = 4;
    while (((size_t)1 << power) < size)
        power++;
    return power;
}

static void *take(struct pool *pool, unsigned power)
{
    size_t size = (size_t)1 << power;
    void *block = pool->unused[power];
    if (block) {
        memcpy(&pool->unused[power], block, sizeof(void *));
        return block;
    }
    if (size > pool->left) {
        size_t chunk = size > CHUNK ? size : CHUNK;
        void *memory = malloc(chunk);
        if (!memory)
            return NULL;
        pool->next = memory;
        pool->left = chunk;
    }
    block = pool->next;
    pool->next += size;
    pool->left -= size;
    return block;
}

static void *allocate(void *ctx, void *block, size_t old_size, size_t size)
{
    struct pool *pool = ctx;
    void *moved = NULL;
    if (block && size > 0 && power_of(size) == power_of(old_size))
        return block;
    if (size > 0 && !(moved = take(pool, power_of(size))))
        return NULL;
    if (block && moved)
        memcpy(moved, block, old_size < size ? old_size : size);
    if (block) {
        unsigned power = power_of(old_size);
        memcpy(block, &pool->unused[power], sizeof(void *));
        pool->unused[power] = block;
    }
    return moved;
}

lua_State *prosody_lua(const char *chunk)
{
    static struct pool pool;
    lua_State *lua = lua_newstate(allocate, &pool);
    if (lua)
        luaL_openlibs(lua);
    if (!lua ||
        luaL_dostring(lua, "package.path = '/usr/lib/prosody/?.lua;' .. package.path") != LUA_OK ||
        luaL_dostring(lua, chunk) != LUA_OK) {
        fprintf(stderr, "cannot compare with Prosody (Debian's prosody, lua-cjson): %s\n",
                lua ? lua_tostring(lua, -1) : "out of memory");
        abort();
    }
    lua_settop(lua, 0);
    return lua;
}
