/*
 * Which rooms a valid token is for, as Jitsi's module in the room component works it out at each
 * join (wire fact 5).
 *
 * The one thing to know: Prosody compares addresses that it puts together, not names, and where a
 * token need not name a room, a pattern that finds nothing opens every room. All of that is
 * repeated here, odd as some of it looks.
 */
#include "policy/lua_pattern.h"
#include "policy/token.h"

#include <string.h>

/* Whether the room's "node@", or "[tenant]node@", is these parts one after the other. */
static bool is_spelt(const struct muc_room *room, const char *const *parts)
{
    const char *at = room->jid;

    for (; *parts; parts++) {
        size_t len = strlen(*parts);

        if (strncmp(at, *parts, len) != 0)
            return false;
        at += len;
    }
    return *at == '@';
}

/* Without domain verification Prosody looks at the node only, as it is or behind any bracket. */
static bool is_named(const struct muc_room *room, const char *name)
{
    size_t node_len = strcspn(room->jid, "@");
    size_t len = strlen(name);
    const char *tail = room->jid + node_len - len;

    if (len > node_len || memcmp(tail, name, len) != 0)
        return false;
    return tail == room->jid || tail[-1] == ']';
}

/* What the claim room stands for in this room, as Prosody's module works it out: "*" for the room's
 * own name, a pattern (which has been lower-cased like any name: %D is %d) for what it finds in
 * that name, the name within the tenant. NULL when there is nothing, with *ret_cover what follows.
 * found is room for a name. */
static const char *allowed_name(const struct token *token, const struct token_rules *rules,
                                const struct muc_room *room, char *found,
                                enum token_cover *ret_cover)
{
    if (token->room && strcmp(token->room, "*") == 0)
        return room->node;
    if (!rules->domain_verification)
        return token->room;
    if (token->room_check_fails) {
        *ret_cover = TOKEN_COVER_UNKNOWN;
        return NULL;
    }
    if (!token->room_is_pattern)
        return token->room;
    if (!token->room) {
        *ret_cover = TOKEN_OTHER_ROOM; /* no pattern is a bad one */
        return NULL;
    }
    switch (lua_pattern_match(token->room, room->node, found)) {
    case LUA_MATCH_YES:
        return found;
    case LUA_MATCH_NO:
        break;
    case LUA_MATCH_BAD:
        *ret_cover = TOKEN_OTHER_ROOM;
        break;
    case LUA_MATCH_TOO_COSTLY:
        *ret_cover = TOKEN_COVER_UNKNOWN;
        break;
    }
    return NULL;
}

/* Prosody puts together the address that the token allows and compares it with the room's: the same
 * is done here. */
enum token_cover token_covers_room(const struct token *token, const struct token_rules *rules,
                                   const struct muc_room *room)
{
    char found[LUA_SUBJECT_MAX + 1];
    /* Where a room is not required, one that is not there, or a pattern that finds nothing, covers
     * every room, and then sub is not looked at either. */
    enum token_cover nothing =
        rules->require_room && token->room_is_pattern ? TOKEN_OTHER_ROOM : TOKEN_COVERS;
    const char *name = allowed_name(token, rules, room, found, &nothing);
    bool covers;

    if (!name)
        return nothing;
    if (!rules->domain_verification) {
        covers = is_named(room, name);
    } else if (room->tenant[0] == '\0') {
        covers = is_spelt(room, (const char *const[]){name, NULL}) &&
                 (strcmp(token->sub, "*") == 0 || strcmp(token->sub, rules->domain) == 0);
    } else {
        const char *tenant = strcmp(token->sub, "*") == 0 ? room->tenant : token->sub;

        covers = is_spelt(room, (const char *const[]){"[", tenant, "]", name, NULL});
    }
    return covers ? TOKEN_COVERS : TOKEN_OTHER_ROOM;
}
