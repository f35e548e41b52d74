/*
 * token_room.c: which rooms a token is for. The rows were held against Jitsi's verify_room.
 */
#include "policy/token.h"
#include "tests/unit/alloc.h"
#include "tests/unit/token_make.h"

#include <stdio.h>

static const struct muc_room plain_room = {
    .jid = "room@conference.meet.example.com", .node = "room", .tenant = "", .nick = ""};
static const struct muc_room tenant_room = {
    .jid = "[acme]room@conference.meet.example.com", .node = "room", .tenant = "acme", .nick = ""};

static const struct {
    const char *name;
    bool domain_verification;
    const char *claims;
    enum token_cover plain, tenant;
} covers[] = {
    {"room and domain", true, "\"room\":\"room\",\"sub\":\"meet.example.com\"", TOKEN_COVERS,
     TOKEN_OTHER_ROOM},
    {"in capitals", true, "\"room\":\"ROOM\",\"sub\":\"MEET.Example.com\"", TOKEN_COVERS,
     TOKEN_OTHER_ROOM},
    {"room and tenant", true, "\"room\":\"room\",\"sub\":\"acme\"", TOKEN_OTHER_ROOM, TOKEN_COVERS},
    {"tenant in capitals", true, "\"room\":\"Room\",\"sub\":\"ACME\"", TOKEN_OTHER_ROOM,
     TOKEN_COVERS},
    {"any sub", true, "\"room\":\"room\",\"sub\":\"*\"", TOKEN_COVERS, TOKEN_COVERS},
    {"any room", true, "\"room\":\"*\",\"sub\":\"meet.example.com\"", TOKEN_COVERS,
     TOKEN_OTHER_ROOM},
    {"any room of the tenant", true, "\"room\":\"*\",\"sub\":\"acme\"", TOKEN_OTHER_ROOM,
     TOKEN_COVERS},
    {"anything", true, "\"room\":\"*\",\"sub\":\"*\"", TOKEN_COVERS, TOKEN_COVERS},
    {"other room", true, "\"room\":\"other\",\"sub\":\"*\"", TOKEN_OTHER_ROOM, TOKEN_OTHER_ROOM},
    {"other sub", true, "\"room\":\"room\",\"sub\":\"other\"", TOKEN_OTHER_ROOM, TOKEN_OTHER_ROOM},
    {"longer room", true, "\"room\":\"rooms\",\"sub\":\"*\"", TOKEN_OTHER_ROOM, TOKEN_OTHER_ROOM},
    {"shorter room", true, "\"room\":\"roo\",\"sub\":\"*\"", TOKEN_OTHER_ROOM, TOKEN_OTHER_ROOM},
    {"empty room", true, "\"room\":\"\",\"sub\":\"*\"", TOKEN_OTHER_ROOM, TOKEN_OTHER_ROOM},
    {"empty sub", true, "\"room\":\"room\",\"sub\":\"\"", TOKEN_OTHER_ROOM, TOKEN_OTHER_ROOM},
    {"the whole address", true, "\"room\":\"room@conference.meet.example.com\",\"sub\":\"*\"",
     TOKEN_OTHER_ROOM, TOKEN_OTHER_ROOM},
    {"no pattern", true, "\"room\":\"room\",\"sub\":\"*\",\"context\":{\"room\":{\"regex\":1}}",
     TOKEN_COVERS, TOKEN_COVERS},
    {"context.room null", true, "\"room\":\"room\",\"sub\":\"*\",\"context\":{\"room\":null}",
     TOKEN_COVER_UNKNOWN, TOKEN_COVER_UNKNOWN},
    {"context.room a string", true, "\"room\":\"room\",\"sub\":\"*\",\"context\":{\"room\":\"x\"}",
     TOKEN_COVERS, TOKEN_COVERS},
    {"any room is no pattern", true,
     "\"room\":\"*\",\"sub\":\"*\",\"context\":{\"room\":{\"regex\":true}}", TOKEN_COVERS,
     TOKEN_COVERS},
    {"no room", true, "\"sub\":\"other\"", TOKEN_COVERS, TOKEN_COVERS},

    {"sub not verified", false, "\"room\":\"room\",\"sub\":\"other\"", TOKEN_COVERS, TOKEN_COVERS},
    {"sub not verified, no string", false, "\"room\":\"room\",\"sub\":1", TOKEN_COVERS,
     TOKEN_COVERS},
    {"any room, not verified", false, "\"room\":\"*\",\"sub\":1", TOKEN_COVERS, TOKEN_COVERS},
    {"no room, not verified", false, "\"sub\":1", TOKEN_COVERS, TOKEN_COVERS},
    {"room with tenant, not verified", false, "\"room\":\"[acme]room\",\"sub\":1", TOKEN_OTHER_ROOM,
     TOKEN_COVERS},
    {"other room, not verified", false, "\"room\":\"oom\",\"sub\":1", TOKEN_OTHER_ROOM,
     TOKEN_OTHER_ROOM},
    {"longer room, not verified", false, "\"room\":\"a-very-long-name-of-a-room\",\"sub\":1",
     TOKEN_OTHER_ROOM, TOKEN_OTHER_ROOM},
    {"empty room, not verified", false, "\"room\":\"\",\"sub\":1", TOKEN_OTHER_ROOM,
     TOKEN_OTHER_ROOM},
};

static void read_token(const char *name, const char *claims, const struct token_rules *rules,
                       struct token *ret)
{
    char payload[1024];
    const char *text;

    snprintf(payload, sizeof payload, "{\"iss\":\"app\",\"aud\":\"jitsi\",%s}", claims);
    text = make(HEADER, payload);
    token_verify(text, strlen(text), rules, NULL, NOW, ret);
    if (ret->status != TOKEN_VALID)
        fail_msg("%s: %s", name, ret->reason);
}

static void expect_cover(const char *name, const struct token *token,
                         const struct token_rules *rules, const struct muc_room *room,
                         enum token_cover cover)
{
    enum token_cover got = token_covers_room(token, rules, room);

    if (got != cover)
        fail_msg("%s: %s: got %d", name, room->jid, got);
}

static void covers_rooms(void **state)
{
    for (size_t i = 0; i < sizeof covers / sizeof covers[0]; i++) {
        struct token_rules rules = default_rules();
        struct token token;

        rules.require_room = false;
        rules.domain_verification = covers[i].domain_verification;
        read_token(covers[i].name, covers[i].claims, &rules, &token);
        expect_cover(covers[i].name, &token, &rules, &plain_room, covers[i].plain);
        expect_cover(covers[i].name, &token, &rules, &tenant_room, covers[i].tenant);
        token_done(&token);
    }
}

/* Patterns. */

#define REGEX "\"context\":{\"room\":{\"regex\":true}}"
#define REGEX_TEXT "\"context\":{\"room\":{\"regex\":\"true\"}}"
#define TEN ".-.-.-.-.-.-.-.-.-.-"
#define COSTLY TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "x" /* even for four letters */
#define PATTERN(room) "\"room\":\"" room "\",\"sub\":\"*\"," REGEX

/* clang-format off */
static const struct {
    const char *name;
    bool require_room, domain_verification;
    const char *claims;
    enum token_cover plain, tenant;
} patterns[] = {
    {"the name", true, true, PATTERN("room"), TOKEN_COVERS, TOKEN_COVERS},
    {"by a string", true, true, "\"room\":\"ro+m\",\"sub\":\"*\"," REGEX_TEXT,
     TOKEN_COVERS, TOKEN_COVERS},
    {"repeated letter", true, true, PATTERN("ro+m"), TOKEN_COVERS, TOKEN_COVERS},
    {"anchored", true, true, PATTERN("^r.*m$"), TOKEN_COVERS, TOKEN_COVERS},
    {"a part only", true, true, PATTERN("oo"), TOKEN_OTHER_ROOM, TOKEN_OTHER_ROOM},
    {"a part captured", true, true, PATTERN("r(oo)m"), TOKEN_OTHER_ROOM, TOKEN_OTHER_ROOM},
    {"all captured", true, true, PATTERN("(r.*m)$"), TOKEN_COVERS, TOKEN_COVERS},
    {"the first capture counts", true, true, PATTERN("(r)(oom)"), TOKEN_OTHER_ROOM,
     TOKEN_OTHER_ROOM},
    {"as little as can be", true, true, PATTERN("r.-"), TOKEN_OTHER_ROOM, TOKEN_OTHER_ROOM},
    {"position capture", true, true, PATTERN("()room"), TOKEN_OTHER_ROOM, TOKEN_OTHER_ROOM},
    {"not found", true, true, PATTERN("x+"), TOKEN_OTHER_ROOM, TOKEN_OTHER_ROOM},
    {"lower-cased like a name", true, true, PATTERN("R%A%Aoo?m"), TOKEN_OTHER_ROOM,
     TOKEN_OTHER_ROOM},
    {"lower-cased class", true, true, PATTERN("^%A+$"), TOKEN_COVERS, TOKEN_COVERS},
    {"the tenant is not matched", true, true, PATTERN("%[acme%]room"), TOKEN_OTHER_ROOM,
     TOKEN_OTHER_ROOM},
    {"a star is any room", true, true, PATTERN("*"), TOKEN_COVERS, TOKEN_COVERS},
    {"not closed", true, true, PATTERN("[room"), TOKEN_OTHER_ROOM, TOKEN_OTHER_ROOM},
    {"a capture that is not there", true, true, PATTERN("%1"), TOKEN_OTHER_ROOM,
     TOKEN_OTHER_ROOM},
    {"too costly", true, true, PATTERN(COSTLY),
     TOKEN_COVER_UNKNOWN, TOKEN_COVER_UNKNOWN},
    {"other sub", true, true, "\"room\":\"ro+m\",\"sub\":\"other\"," REGEX,
     TOKEN_OTHER_ROOM, TOKEN_OTHER_ROOM},
    {"sub is the tenant", true, true, "\"room\":\"ro+m\",\"sub\":\"ACME\"," REGEX,
     TOKEN_OTHER_ROOM, TOKEN_COVERS},
    {"sub is the domain", true, true,
     "\"room\":\"ro+m\",\"sub\":\"meet.example.com\"," REGEX, TOKEN_COVERS,
     TOKEN_OTHER_ROOM},

    {"not required: found", false, true, PATTERN("ro+m"), TOKEN_COVERS, TOKEN_COVERS},
    {"not required: found in part", false, true, PATTERN("oo"), TOKEN_OTHER_ROOM,
     TOKEN_OTHER_ROOM},
    {"not required: not found is any room", false, true, PATTERN("x+"), TOKEN_COVERS,
     TOKEN_COVERS},
    {"not required: not closed", false, true, PATTERN("[room"), TOKEN_OTHER_ROOM,
     TOKEN_OTHER_ROOM},
    {"not required: too costly", false, true,
     PATTERN(COSTLY), TOKEN_COVER_UNKNOWN,
     TOKEN_COVER_UNKNOWN},
    {"not required: no room but a pattern", false, true, "\"sub\":\"*\"," REGEX,
     TOKEN_OTHER_ROOM, TOKEN_OTHER_ROOM},
    {"not required: no room, a number", false, true, "\"sub\":\"*\",\"context\":{\"room\":1}",
     TOKEN_COVER_UNKNOWN, TOKEN_COVER_UNKNOWN},

    {"no verification, no pattern", true, false, PATTERN("ro+m"), TOKEN_OTHER_ROOM,
     TOKEN_OTHER_ROOM},
    {"no verification, the name", true, false, PATTERN("room"), TOKEN_COVERS, TOKEN_COVERS},
};
/* clang-format on */

static void covers_by_patterns(void **state)
{
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        struct token_rules rules = default_rules();
        struct token token;

        rules.require_room = patterns[i].require_room;
        rules.domain_verification = patterns[i].domain_verification;
        read_token(patterns[i].name, patterns[i].claims, &rules, &token);
        expect_cover(patterns[i].name, &token, &rules, &plain_room, patterns[i].plain);
        expect_cover(patterns[i].name, &token, &rules, &tenant_room, patterns[i].tenant);
        token_done(&token);
    }
}

/* A position capture is a number, and a room may be called so. */
static void compares_positions(void **state)
{
    static const struct muc_room one = {
        .jid = "1@conference.meet.example.com", .node = "1", .tenant = "", .nick = ""};
    struct token_rules rules = default_rules();
    struct token token;

    read_token("position", PATTERN("()%d"), &rules, &token);
    expect_cover("position", &token, &rules, &one, TOKEN_COVERS);
    expect_cover("position", &token, &rules, &plain_room, TOKEN_OTHER_ROOM);
    token_done(&token);
}

/* Lack of memory is never "another room". */
static void survives_lack_of_memory(void **state)
{
    struct token_rules rules = default_rules();
    struct token token;
    long n = 0;

    read_token("memory", PATTERN("ro+m"), &rules, &token);
    for (bool hit = true; hit; n++) {
        enum token_cover cover;

        alloc_track_on();
        alloc_fail_after(n);
        cover = token_covers_room(&token, &rules, &plain_room);
        hit = alloc_failed();
        alloc_fail_off();
        /* Lua collects its garbage and tries again where it can. */
        assert_true(cover == TOKEN_COVERS || (hit && cover == TOKEN_COVER_UNKNOWN));
        assert_int_equal(alloc_live(), 0);
        alloc_track_off();
    }
    assert_true(n > 3);
    token_done(&token);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(covers_rooms),
        cmocka_unit_test(covers_by_patterns),
        cmocka_unit_test(compares_positions),
        cmocka_unit_test(survives_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
