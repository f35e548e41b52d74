/*
 * What a signed payload asks for: compared with a second walk of the tree, and with what Prosody's
 * JSON reader (lua-cjson) makes of the same bytes. A lobby claim that only one of
 * the two sees is a user in the wrong room.
 *
 * The first line holds the claims' paths, parted by commas. The rest is the payload, or, when it
 * does not begin with "{", more members of one that is accepted otherwise.
 */
#include "policy/claims.h"
#include "policy/token.h"
#include "tests/fuzz/signed_token.h"

#include "tests/fuzz/prosody_lua.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SECRET "not a very good secret"
#define PATHS_MAX 4
#define MEMBERS "{\"iss\":\"app\",\"aud\":\"jitsi\",\"room\":\"*\",\"sub\":\"*\""

static const char *const any[] = {"*", NULL};

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* What claim_find promises, by looking at each member in turn. */
static enum claim_value find(const json_t *value, const char *path)
{
    for (bool more = true; more;) {
        size_t len = strcspn(path, ".");
        const json_t *found = NULL, *member;
        const char *key;

        json_object_foreach((json_t *)(uintptr_t)value, key, member)
        {
            if (strlen(key) == len && memcmp(key, path, len) == 0)
                found = member;
        }
        if (!found)
            return CLAIM_ABSENT;
        value = found;
        more = path[len] == '.';
        path += len + 1;
    }
    return json_is_true(value) ? CLAIM_TRUE : json_is_false(value) ? CLAIM_FALSE : CLAIM_WRONG_TYPE;
}

static const char judge[] =
    "local decode = require 'cjson.safe'.decode\n"
    "function judge(payload, path)\n"
    "    local claims = decode(payload)\n"
    "    if type(claims) ~= 'table' then return false, 'unreadable' end\n"
    "    local value = claims\n"
    "    for name in (path .. '.'):gmatch('([^.]*)%.') do\n"
    "        value = type(value) == 'table' and value[name] or nil\n"
    "    end\n"
    "    return value == true, type(claims.room) == 'string' and claims.room:lower() or nil\n"
    "end\n";

/* Whether Prosody finds the claim true. And it must have the same room. */
static bool prosody_finds(const struct buf *payload, const char *path, const char *room)
{
    static lua_State *lua;

    if (!lua)
        lua = prosody_lua(judge);
    lua_getglobal(lua, "judge");
    lua_pushlstring(lua, payload->data, payload->len);
    lua_pushstring(lua, path);
    require(lua_pcall(lua, 2, 2, 0) == LUA_OK);
    bool found = lua_toboolean(lua, -2) != 0;
    const char *their_room = lua_tostring(lua, -1);
    if (room ? !their_room || strcmp(room, their_room) != 0 : their_room != NULL) {
        fprintf(stderr, "Prosody reads the room %s\n", their_room ? their_room : "(none)");
        abort();
    }
    lua_settop(lua, 0);
    return found;
}

static void check_valid(const struct token *token, const struct buf *payload,
                        const char *const *paths)
{
    json_t *tree = json_loadb(payload->data, payload->len, JSON_REJECT_DUPLICATES, NULL);
    const char *misused = NULL;
    bool asks = false, asks_prosody = false;

    require(tree != NULL); /* or what was valid? */
    for (; *paths; paths++) {
        enum claim_value value = find(tree, *paths);
        require(claim_find(tree, *paths) == value);
        asks = asks || value == CLAIM_TRUE;
        asks_prosody = prosody_finds(payload, *paths, token->room) || asks_prosody;
        if (!misused && value == CLAIM_WRONG_TYPE)
            misused = *paths;
    }
    require(token->asks_lobby == asks && !token->misused_claim == !misused &&
            (!misused || strcmp(token->misused_claim, misused) == 0));
    require(asks_prosody == asks);
    json_decref(tree);
}

static void verify(const struct buf *payload, const char *const *paths)
{
    const struct token_rules rules = {
        .algorithm = "HS256",
        .secret = SECRET,
        .secret_len = strlen(SECRET),
        .issuers = any,
        .audiences = any,
        .domain = "meet.example.com",
        .lobby_claims = paths,
    };
    struct buf text = BUF_INIT;
    struct token token;

    signed_token(&text, "{\"typ\":\"JWT\",\"alg\":\"HS256\"}", (const uint8_t *)payload->data,
                 payload->len, SECRET);
    token_verify(text.data, text.len, &rules, NULL, 1700000000, &token);
    if (token.status == TOKEN_VALID)
        check_valid(&token, payload, paths);
    else
        require(!token.asks_lobby && !token.misused_claim && !token.room);
    token_done(&token);
    buf_done(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *paths[PATHS_MAX + 1] = {NULL};
    const char *text = (const char *)data;
    const char *end = memchr(text, '\n', size);
    struct buf payload = BUF_INIT, first = BUF_INIT;
    size_t count = 0;

    if (!end || memchr(text, '\0', (size_t)(end - text)))
        return 0;
    buf_add(&first, text, (size_t)(end - text));
    buf_add(&first, "", 1);
    for (char *at = first.data; at && count < PATHS_MAX;) {
        paths[count++] = at;
        at = strchr(at, ',');
        if (at)
            *at++ = '\0';
    }
    text = end + 1;
    size -= (size_t)(text - (const char *)data);
    bool is_whole = size > 0 && text[0] == '{';
    buf_add_str(&payload, is_whole ? "" : size > 0 ? MEMBERS "," : MEMBERS);
    buf_add(&payload, text, size);
    buf_add_str(&payload, is_whole ? "" : "}");
    verify(&payload, paths);
    buf_done(&payload);
    buf_done(&first);
    return 0;
}
