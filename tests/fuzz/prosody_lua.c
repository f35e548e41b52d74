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

static unsigned class_of(size_t size)
{
    unsigned class = 4;
    while (((size_t)1 << class) < size)
        class++;
    return class;
}

static void *take(struct pool *pool, unsigned class)
{
    size_t size = (size_t)1 << class;
    void *block = pool->unused[class];
    if (block) {
        memcpy(&pool->unused[class], block, sizeof(void *));
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
    if (block && size > 0 && class_of(size) == class_of(old_size))
        return block;
    if (size > 0 && !(moved = take(pool, class_of(size))))
        return NULL;
    if (block && moved)
        memcpy(moved, block, old_size < size ? old_size : size);
    if (block) {
        unsigned class = class_of(old_size);
        memcpy(block, &pool->unused[class], sizeof(void *));
        pool->unused[class] = block;
    }
    return moved;
}

lua_State *prosody_lua(const char *chunk)
{
    static struct pool pool;
    lua_State *lua = lua_newstate(allocate, &pool);
    if (!lua)
        return NULL;
    luaL_openlibs(lua);
    if (luaL_dostring(lua, "package.path = '/usr/lib/prosody/?.lua;' .. package.path") == LUA_OK &&
        luaL_dostring(lua, chunk) == LUA_OK) {
        lua_settop(lua, 0);
        return lua;
    }
    fprintf(stderr, "not compared with Prosody: %s\n", lua_tostring(lua, -1));
    lua_close(lua);
    return NULL;
}
