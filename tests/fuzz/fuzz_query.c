/*
 * The query of a URL: every parameter must be the one Prosody finds, or the token we judge is not
 * the token it acts on. Compared with Prosody's own decoder.
 *
 * The input is a query; "#" parts it from one more name to look for.
 */
#include "xmpp/query.h"

#include "tests/fuzz/prosody_lua.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct found {
    enum query_result result;
    char *value;
    size_t len, count;
};

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* Without any "=" Prosody's decoder gives back text, in which no name is found. */
static const char judge[] = "local decode = require 'util.http'.formdecode\n"
                            "function judge(query, name)\n"
                            "    local form, count = decode(query), 0\n"
                            "    if type(form) ~= 'table' then return nil, 0 end\n"
                            "    for _, pair in ipairs(form) do\n"
                            "        if pair.name == name then count = count + 1 end\n"
                            "    end\n"
                            "    return count > 0 and form[name] or nil, count\n"
                            "end\n";

static void compare(const char *query, size_t len, const char *name, const struct found *found)
{
    static lua_State *lua;
    size_t value_len = 0;

    if (!lua)
        lua = prosody_lua(judge);
    lua_getglobal(lua, "judge");
    lua_pushlstring(lua, query, len);
    lua_pushstring(lua, name);
    require(lua_pcall(lua, 2, 2, 0) == LUA_OK);
    const char *value = lua_tolstring(lua, -2, &value_len);
    lua_Integer count = lua_tointeger(lua, -1);
    if ((value != NULL) != (found->result == QUERY_OK) ||
        (value && (value_len != found->len || memcmp(value, found->value, value_len) != 0 ||
                   (size_t)count != found->count))) {
        fprintf(stderr, "%s: Prosody has %lld of it, \"%s\"\n", name, (long long)count,
                value ? value : "");
        abort();
    }
    lua_settop(lua, 0);
}

static struct found look(const char *query, size_t len, const char *name)
{
    struct found found = {.result = QUERY_ABSENT};

    found.result = query_get(query, len, name, &found.value, &found.len, &found.count);
    require(found.result != QUERY_NO_MEMORY);
    if (found.result == QUERY_OK)
        require(found.len <= len && found.count > 0 && found.value[found.len] == '\0');
    compare(query, len, name, &found);
    return found;
}

/* Another parameter before or behind takes nothing away and gives nothing. */
static void look_again(const char *query, size_t len, const char *name, const struct found *first)
{
    static const char other[] = "zz=1";
    char *longer = malloc(len + sizeof(other));

    require(longer != NULL);
    if (strcmp(name, "zz") == 0) {
        free(longer);
        return;
    }
    memcpy(longer, other, sizeof(other) - 1);
    longer[sizeof(other) - 1] = '&';
    memcpy(longer + sizeof(other), query, len);
    struct found found = look(longer, len + sizeof(other), name);
    require(found.result == first->result && found.count == first->count &&
            found.len == first->len &&
            (!found.value || memcmp(found.value, first->value, found.len) == 0));
    free(found.value);
    free(longer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"token", "room", "previd", ""};
    const char *query = (const char *)data;
    const char *parted = memchr(query, '#', size);
    size_t len = parted ? (size_t)(parted - query) : size;
    char name[32] = "";

    if (size == 0)
        return 0;
    if (parted) {
        size_t name_len = size - len - 1;
        memcpy(name, parted + 1, name_len < sizeof(name) ? name_len : sizeof(name) - 1);
    }
    for (size_t i = 0; i <= sizeof(names) / sizeof(*names); i++) {
        const char *wanted = i == 0 ? name : names[i - 1];
        struct found found = look(query, len, wanted);
        if (i == 0)
            look_again(query, len, wanted, &found);
        free(found.value);
    }
    return 0;
}
