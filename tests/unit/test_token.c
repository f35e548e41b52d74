/*
 * token.c: which tokens count. Every token is made here, its plain text beside what is expected.
 *
 * REFUSED in a row means that Jitsi's modules refuse it too; the rows were held against them.
 */
#include "policy/token.h"
#include "tests/unit/alloc.h"
#include "tests/unit/token_make.h"

#include <stdio.h>

static const char *status_text(enum token_status status)
{
    static const char *const names[] = {"none", "valid", "refused", "unjudged"};

    return names[status];
}

static void expect_bytes(const char *name, const struct token_rules *rules, const char *text,
                         size_t len, enum token_status status, const char *reason)
{
    struct token token;

    token_verify(text, len, rules, NULL, NOW, &token);
    if (token.status != status || (reason && strcmp(token.reason, reason) != 0))
        fail_msg("%s: got %s, \"%s\"", name, status_text(token.status), token.reason);
    assert_int_equal(token.status == TOKEN_VALID, token.reason[0] == '\0');
    if (status != TOKEN_VALID) {
        assert_null(token.room);
        assert_null(token.sub);
        assert_false(token.asks_lobby);
    }
    assert_null(token.awaited_kid);
    token_done(&token);
}

static void expect(const char *name, const struct token_rules *rules, const char *text,
                   enum token_status status, const char *reason)
{
    expect_bytes(name, rules, text, strlen(text), status, reason);
}

/* Headers. Each is signed by HS256 with the right secret. */

#define WRONG_TYP "the header's typ is not JWT"
#define WRONG_ALG "the header's alg is not the configured one"
#define TWO_WAYS "the header can be read in more than one way"

static const struct {
    const char *name, *header;
    enum token_status status;
    const char *reason;
} headers[] = {
    {"good", HEADER, TOKEN_VALID, ""},
    {"other members", "{\"kid\":\"x\",\"alg\":\"HS256\",\"typ\":\"JWT\"}", TOKEN_VALID, ""},
    {"typ missing", "{\"alg\":\"HS256\"}", TOKEN_REFUSED, WRONG_TYP},
    {"typ lower case", "{\"alg\":\"HS256\",\"typ\":\"jwt\"}", TOKEN_REFUSED, WRONG_TYP},
    {"typ other", "{\"alg\":\"HS256\",\"typ\":\"JWS\"}", TOKEN_REFUSED, WRONG_TYP},
    {"typ no string", "{\"alg\":\"HS256\",\"typ\":[\"JWT\"]}", TOKEN_REFUSED, WRONG_TYP},
    {"typ null", "{\"alg\":\"HS256\",\"typ\":null}", TOKEN_REFUSED, WRONG_TYP},
    {"alg missing", "{\"typ\":\"JWT\"}", TOKEN_REFUSED, WRONG_ALG},
    {"alg none", "{\"alg\":\"none\",\"typ\":\"JWT\"}", TOKEN_REFUSED, WRONG_ALG},
    {"alg None", "{\"alg\":\"None\",\"typ\":\"JWT\"}", TOKEN_REFUSED, WRONG_ALG},
    {"alg NONE", "{\"alg\":\"NONE\",\"typ\":\"JWT\"}", TOKEN_REFUSED, WRONG_ALG},
    {"alg lower case", "{\"alg\":\"hs256\",\"typ\":\"JWT\"}", TOKEN_REFUSED, WRONG_ALG},
    {"alg RS256", "{\"alg\":\"RS256\",\"typ\":\"JWT\"}", TOKEN_REFUSED, WRONG_ALG},
    {"alg ES256", "{\"alg\":\"ES256\",\"typ\":\"JWT\"}", TOKEN_REFUSED, WRONG_ALG},
    {"alg HS384", "{\"alg\":\"HS384\",\"typ\":\"JWT\"}", TOKEN_REFUSED, WRONG_ALG},
    {"alg empty", "{\"alg\":\"\",\"typ\":\"JWT\"}", TOKEN_REFUSED, WRONG_ALG},
    {"alg null", "{\"alg\":null,\"typ\":\"JWT\"}", TOKEN_REFUSED, WRONG_ALG},
    {"an array", "[\"HS256\",\"JWT\"]", TOKEN_REFUSED, WRONG_TYP},
    {"alg twice", "{\"alg\":\"none\",\"alg\":\"HS256\",\"typ\":\"JWT\"}", TOKEN_UNJUDGED, TWO_WAYS},
    {"another name twice", "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"x\":1,\"x\":1}", TOKEN_UNJUDGED,
     TWO_WAYS},
    {"twice by an escape", "{\"alg\":\"none\",\"\\u0061lg\":\"HS256\",\"typ\":\"JWT\"}",
     TOKEN_UNJUDGED, TWO_WAYS},
    {"not JSON", "HS256", TOKEN_UNJUDGED, TWO_WAYS},
    {"text behind", HEADER "x", TOKEN_UNJUDGED, TWO_WAYS},
};

static void reads_headers(void **state)
{
    struct token_rules rules = default_rules();

    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++)
        expect(headers[i].name, &rules, make(headers[i].header, GOOD), headers[i].status,
               headers[i].reason);
}

/* Payloads, signed and with a good header. */

#define TWO_WAYS_PAYLOAD "the payload can be read in more than one way"

static const struct {
    const char *name, *payload;
    enum token_status status;
    const char *reason;
} payloads[] = {
    {"good", GOOD, TOKEN_VALID, ""},
    {"white space around", " \t\r\n" GOOD "\n", TOKEN_VALID, ""},

    {"exp in a second", WITH("\"exp\":1700000001"), TOKEN_VALID, ""},
    {"exp now", WITH("\"exp\":1700000000"), TOKEN_REFUSED, "the token has expired"},
    {"exp long ago", WITH("\"exp\":1"), TOKEN_REFUSED, "the token has expired"},
    {"exp negative", WITH("\"exp\":-1"), TOKEN_REFUSED, "the token has expired"},
    {"exp half a second off", WITH("\"exp\":1700000000.5"), TOKEN_VALID, ""},
    {"exp half a second ago", WITH("\"exp\":1699999999.5"), TOKEN_REFUSED, "the token has expired"},
    {"exp huge", WITH("\"exp\":1e300"), TOKEN_VALID, ""},
    {"exp the largest integer", WITH("\"exp\":9223372036854775807"), TOKEN_VALID, ""},
    {"exp no reader's integer", WITH("\"exp\":99999999999999999999"), TOKEN_UNJUDGED,
     TWO_WAYS_PAYLOAD},
    {"exp infinite", WITH("\"exp\":1e400"), TOKEN_UNJUDGED, TWO_WAYS_PAYLOAD},
    {"exp NaN", WITH("\"exp\":NaN"), TOKEN_UNJUDGED, TWO_WAYS_PAYLOAD},
    {"exp hexadecimal", WITH("\"exp\":0x7fffffff"), TOKEN_UNJUDGED, TWO_WAYS_PAYLOAD},
    {"exp a string", WITH("\"exp\":\"1700000001\""), TOKEN_REFUSED, "exp is not a number"},
    {"exp null", WITH("\"exp\":null"), TOKEN_REFUSED, "exp is not a number"},
    {"exp true", WITH("\"exp\":true"), TOKEN_REFUSED, "exp is not a number"},
    {"exp false is none", WITH("\"exp\":false"), TOKEN_VALID, ""},
    {"nbf now", WITH("\"nbf\":1700000000"), TOKEN_VALID, ""},
    {"nbf in a second", WITH("\"nbf\":1700000001"), TOKEN_REFUSED, "the token is not valid yet"},
    {"nbf a string", WITH("\"nbf\":\"1\""), TOKEN_REFUSED, "nbf is not a number"},
    {"nbf false is none", WITH("\"nbf\":false"), TOKEN_VALID, ""},
    {"iat does not count", WITH("\"iat\":\"tomorrow\""), TOKEN_VALID, ""},

    {"iss second", "{\"iss\":\"second\",\"aud\":\"jitsi\",\"sub\":\"s\",\"room\":\"r\"}",
     TOKEN_VALID, ""},
    {"iss other", "{\"iss\":\"App\",\"aud\":\"jitsi\",\"sub\":\"s\",\"room\":\"r\"}", TOKEN_REFUSED,
     "iss is not an accepted one"},
    {"iss star is no wildcard", "{\"iss\":\"*\",\"aud\":\"jitsi\",\"sub\":\"s\",\"room\":\"r\"}",
     TOKEN_REFUSED, "iss is not an accepted one"},
    {"iss null", "{\"iss\":null,\"aud\":\"jitsi\",\"sub\":\"s\",\"room\":\"r\"}", TOKEN_REFUSED,
     "iss is not an accepted one"},
    {"iss an array", "{\"iss\":[\"app\"],\"aud\":\"jitsi\",\"sub\":\"s\",\"room\":\"r\"}",
     TOKEN_REFUSED, "iss is not an accepted one"},
    {"iss missing", "{\"aud\":\"jitsi\",\"sub\":\"s\",\"room\":\"r\"}", TOKEN_REFUSED,
     "iss is missing"},

    {"aud other", "{" CLAIMS_BUT_AUD ",\"aud\":\"Jitsi\"}", TOKEN_REFUSED,
     "aud is not an accepted one"},
    {"aud missing", "{" CLAIMS_BUT_AUD "}", TOKEN_REFUSED, "aud is missing"},
    {"aud null", "{" CLAIMS_BUT_AUD ",\"aud\":null}", TOKEN_REFUSED, "aud is not an accepted one"},
    {"aud one of several", "{" CLAIMS_BUT_AUD ",\"aud\":[\"x\",\"other\"]}", TOKEN_VALID, ""},
    {"aud none of several", "{" CLAIMS_BUT_AUD ",\"aud\":[\"x\",1,[\"jitsi\"]]}", TOKEN_REFUSED,
     "aud is not an accepted one"},
    {"aud empty array", "{" CLAIMS_BUT_AUD ",\"aud\":[]}", TOKEN_REFUSED,
     "aud is not an accepted one"},
    {"aud an object", "{" CLAIMS_BUT_AUD ",\"aud\":{\"jitsi\":\"jitsi\"}}", TOKEN_REFUSED,
     "aud is not an accepted one"},

    {"room missing", "{\"iss\":\"app\",\"aud\":\"jitsi\",\"sub\":\"s\"}", TOKEN_REFUSED,
     "room is missing"},
    {"room null", "{\"iss\":\"app\",\"aud\":\"jitsi\",\"sub\":\"s\",\"room\":null}", TOKEN_UNJUDGED,
     "room is not a string"},
    {"room false", "{\"iss\":\"app\",\"aud\":\"jitsi\",\"sub\":\"s\",\"room\":false}",
     TOKEN_UNJUDGED, "room is not a string"},
    {"room a number", "{\"iss\":\"app\",\"aud\":\"jitsi\",\"sub\":\"s\",\"room\":1}",
     TOKEN_UNJUDGED, "room is not a string"},
    {"room empty", "{\"iss\":\"app\",\"aud\":\"jitsi\",\"sub\":\"s\",\"room\":\"\"}", TOKEN_VALID,
     ""},
    {"sub missing", "{\"iss\":\"app\",\"aud\":\"jitsi\",\"room\":\"r\"}", TOKEN_REFUSED,
     "sub is missing"},
    {"sub null", "{\"iss\":\"app\",\"aud\":\"jitsi\",\"room\":\"r\",\"sub\":null}", TOKEN_UNJUDGED,
     "sub is not a string"},
    {"sub a number", "{\"iss\":\"app\",\"aud\":\"jitsi\",\"room\":\"r\",\"sub\":5}", TOKEN_UNJUDGED,
     "sub is not a string"},

    {"context an object", WITH("\"context\":{}"), TOKEN_VALID, ""},
    {"context a string", WITH("\"context\":\"x\""), TOKEN_VALID, ""},
    {"context an array", WITH("\"context\":[]"), TOKEN_VALID, ""},
    {"context null", WITH("\"context\":null"), TOKEN_UNJUDGED, "context is not an object"},
    {"context true", WITH("\"context\":true"), TOKEN_UNJUDGED, "context is not an object"},
    {"context a number", WITH("\"context\":7"), TOKEN_UNJUDGED, "context is not an object"},

    {"a claim twice", WITH("\"room\":\"other\""), TOKEN_UNJUDGED, TWO_WAYS_PAYLOAD},
    {"a claim twice, deep down", WITH("\"context\":{\"user\":{\"lobby\":true,\"lobby\":false}}"),
     TOKEN_UNJUDGED, TWO_WAYS_PAYLOAD},
    {"text behind", GOOD "x", TOKEN_UNJUDGED, TWO_WAYS_PAYLOAD},
    {"two values", GOOD GOOD, TOKEN_UNJUDGED, TWO_WAYS_PAYLOAD},
    {"not JSON", "hello", TOKEN_UNJUDGED, TWO_WAYS_PAYLOAD},
    {"an escaped NUL", WITH("\"x\":\"\\u0000\""), TOKEN_UNJUDGED, TWO_WAYS_PAYLOAD},
    {"a lone surrogate", WITH("\"x\":\"\\ud800\""), TOKEN_UNJUDGED, TWO_WAYS_PAYLOAD},
    {"no UTF-8", WITH("\"x\":\"\xff\""), TOKEN_UNJUDGED, TWO_WAYS_PAYLOAD},
    {"a control character", WITH("\"x\":\"\x01\""), TOKEN_UNJUDGED, TWO_WAYS_PAYLOAD},
    {"an array", "[1]", TOKEN_REFUSED, "iss is missing"},
};

static void reads_payloads(void **state)
{
    struct token_rules rules = default_rules();

    for (size_t i = 0; i < sizeof payloads / sizeof payloads[0]; i++)
        expect(payloads[i].name, &rules, make(HEADER, payloads[i].payload), payloads[i].status,
               payloads[i].reason);
}

static void rejects_what_only_bytes_can_say(void **state)
{
    static const char payload[] = "{" CLAIMS ",\"x\":\"\0\"}";
    static char deep[3000];
    struct token_rules rules = default_rules();

    expect("a raw NUL", &rules,
           make_bytes(HEADER, payload, sizeof payload - 1, EVP_sha256(), SECRET), TOKEN_UNJUDGED,
           TWO_WAYS_PAYLOAD);
    memset(deep, '[', sizeof deep / 2);
    memset(deep + sizeof deep / 2, ']', sizeof deep / 2);
    expect("deeper than some readers go", &rules,
           make_bytes(HEADER, deep, sizeof deep, EVP_sha256(), SECRET), TOKEN_UNJUDGED,
           TWO_WAYS_PAYLOAD);
}

/* Wildcards and what configuration loosens. */

static void follows_the_rules(void **state)
{
    struct token_rules rules = default_rules();
    const char *no_sub_type = "{\"iss\":\"app\",\"aud\":\"jitsi\",\"room\":\"r\",\"sub\":null}";

    rules.issuers = any;
    expect("any iss", &rules,
           make(HEADER, "{\"iss\":\"who\",\"aud\":\"jitsi\",\"sub\":\"s\",\"room\":\"r\"}"),
           TOKEN_VALID, "");
    expect("any iss, of any type", &rules,
           make(HEADER, "{\"iss\":null,\"aud\":\"jitsi\",\"sub\":\"s\",\"room\":\"r\"}"),
           TOKEN_VALID, "");
    expect("any iss must still be there", &rules,
           make(HEADER, "{\"aud\":\"jitsi\",\"sub\":\"s\",\"room\":\"r\"}"), TOKEN_REFUSED,
           "iss is missing");
    rules = default_rules();
    rules.audiences = any;
    expect("any aud", &rules, make(HEADER, "{" CLAIMS_BUT_AUD ",\"aud\":[1]}"), TOKEN_VALID, "");
    expect("any aud must still be there", &rules, make(HEADER, "{" CLAIMS_BUT_AUD "}"),
           TOKEN_REFUSED, "aud is missing");
    rules = default_rules();
    rules.require_room = false;
    expect("room not required", &rules,
           make(HEADER, "{\"iss\":\"app\",\"aud\":\"jitsi\",\"sub\":\"s\"}"), TOKEN_VALID, "");
    expect("room not required, sub is", &rules, make(HEADER, "{\"iss\":\"app\",\"aud\":\"jitsi\"}"),
           TOKEN_REFUSED, "sub is missing");
    rules = default_rules();
    rules.domain_verification = false;
    expect("sub is not read", &rules, make(HEADER, no_sub_type), TOKEN_VALID, "");
}

/* Signatures. */

static void checks_signatures(void **state)
{
    struct token_rules rules = default_rules();
    const char *hs384 = "{\"alg\":\"HS384\",\"typ\":\"JWT\"}";
    const char *hs512 = "{\"alg\":\"HS512\",\"typ\":\"JWT\"}";
    const char *wrong = "the signature is wrong";
    char *text;

    expect("another secret", &rules,
           make_bytes(HEADER, GOOD, strlen(GOOD), EVP_sha256(), "guessed"), TOKEN_REFUSED, wrong);
    expect("an empty secret", &rules, make_bytes(HEADER, GOOD, strlen(GOOD), EVP_sha256(), ""),
           TOKEN_REFUSED, wrong);
    expect("another digest than alg says", &rules,
           make_bytes(HEADER, GOOD, strlen(GOOD), EVP_sha384(), SECRET), TOKEN_REFUSED, wrong);
    expect("HS384 where HS256 is configured", &rules,
           make_bytes(hs384, GOOD, strlen(GOOD), EVP_sha384(), SECRET), TOKEN_REFUSED, WRONG_ALG);
    expect("an unsigned header twice", &rules,
           make_bytes("{\"alg\":\"HS256\",\"alg\":\"HS256\",\"typ\":\"JWT\"}", GOOD, strlen(GOOD),
                      EVP_sha256(), "guessed"),
           TOKEN_REFUSED, wrong);
    text = make(HEADER, GOOD);
    text[strlen(HEADER) * 4 / 3 + 8] ^= 1;
    expect("a changed letter", &rules, text, TOKEN_REFUSED, wrong);

    rules.algorithm = "HS384";
    expect("HS384", &rules, make_bytes(hs384, GOOD, strlen(GOOD), EVP_sha384(), SECRET),
           TOKEN_VALID, "");
    expect("HS256 where HS384 is configured", &rules, make(HEADER, GOOD), TOKEN_REFUSED, WRONG_ALG);
    rules.algorithm = "HS512";
    expect("HS512", &rules, make_bytes(hs512, GOOD, strlen(GOOD), EVP_sha512(), SECRET),
           TOKEN_VALID, "");
}

static void needs_a_key(void **state)
{
    struct token_rules rules = default_rules();
    const char *none = "{\"alg\":\"none\",\"typ\":\"JWT\"}";

    rules.secret_len = 0;
    expect("no key, alg none", &rules, make_bytes(none, GOOD, strlen(GOOD), EVP_sha256(), ""),
           TOKEN_UNJUDGED, "there is no key to verify the token with");
    expect("no key", &rules, make_bytes(HEADER, GOOD, strlen(GOOD), EVP_sha256(), ""),
           TOKEN_UNJUDGED, "there is no key to verify the token with");
    rules = default_rules();
    rules.algorithm = "none";
    expect("alg none configured", &rules, make(none, GOOD), TOKEN_UNJUDGED,
           "the configured algorithm is not known");
}

/* The text itself. */

enum mangling {
    STRIP_SIGNATURE,
    STRIP_SIGNATURE_AND_DOT,
    APPEND,
    PREPEND,
    BACKSLASH,
    DOUBLE_DOT,
    LAST_LETTER,
    PAD_SIGNATURE,
    SPACE_IN_SIGNATURE,
    CUT_SIGNATURE,
};

#define UNUSUAL "the token is written in an unusual way"
#define NOT_THREE "the token has not three parts"

static const struct {
    const char *name;
    enum mangling how;
    const char *with;
    enum token_status status;
    const char *reason;
} manglings[] = {
    {"no signature", STRIP_SIGNATURE, "", TOKEN_REFUSED, NOT_THREE},
    {"two parts", STRIP_SIGNATURE_AND_DOT, "", TOKEN_REFUSED, NOT_THREE},
    {"four parts", APPEND, ".AAAA", TOKEN_REFUSED, NOT_THREE},
    {"five parts", APPEND, ".AAAA.AAAA", TOKEN_REFUSED, NOT_THREE},
    {"a part before", PREPEND, "AAAA.", TOKEN_REFUSED, NOT_THREE},
    {"a dot behind", APPEND, ".", TOKEN_UNJUDGED, UNUSUAL},
    {"a dot before", PREPEND, ".", TOKEN_UNJUDGED, UNUSUAL},
    {"two dots between", DOUBLE_DOT, "", TOKEN_UNJUDGED, UNUSUAL},
    {"a backslash for a dot", BACKSLASH, "", TOKEN_UNJUDGED, UNUSUAL},
    {"a backslash behind", APPEND, "\\", TOKEN_UNJUDGED, UNUSUAL},
    {"padding", APPEND, "=", TOKEN_UNJUDGED, UNUSUAL},
    {"much padding", APPEND, "====", TOKEN_UNJUDGED, UNUSUAL},
    {"padding inside", PAD_SIGNATURE, "", TOKEN_UNJUDGED, UNUSUAL},
    {"bits left over", LAST_LETTER, "", TOKEN_UNJUDGED, UNUSUAL},
    {"a space behind", APPEND, " ", TOKEN_UNJUDGED, UNUSUAL},
    {"a line break behind", APPEND, "\r\n", TOKEN_UNJUDGED, UNUSUAL},
    {"a space in the signature", SPACE_IN_SIGNATURE, "", TOKEN_UNJUDGED, UNUSUAL},
    {"a space before", PREPEND, " ", TOKEN_REFUSED, "the signature is wrong"},
    {"a letter more", APPEND, "A", TOKEN_REFUSED, "the signature is wrong"},
    {"a letter less", CUT_SIGNATURE, "", TOKEN_REFUSED, "the signature is wrong"},
    {"no base64", APPEND, "!", TOKEN_REFUSED, "the token is not base64"},
    {"no ASCII", APPEND, "\xc3\xa4", TOKEN_REFUSED, "the token is not base64"},
};

static void mangle(char *ret, const char *text, enum mangling how, const char *with)
{
    char *dot = strrchr(strcpy(ret, text), '.');
    char *end = ret + strlen(ret);

    switch (how) {
    case STRIP_SIGNATURE:
        dot[1] = '\0';
        break;
    case STRIP_SIGNATURE_AND_DOT:
        *dot = '\0';
        break;
    case APPEND:
        strcpy(end, with);
        break;
    case PREPEND:
        sprintf(ret, "%s%s", with, text);
        break;
    case BACKSLASH:
        *dot = '\\';
        break;
    case DOUBLE_DOT:
        sprintf(dot, "..%s", strrchr(text, '.') + 1);
        break;
    case LAST_LETTER:
        /* Of 43 letters the last carries two bits too many, zero so far. */
        end[-1]++;
        break;
    case PAD_SIGNATURE:
        sprintf(dot + 5, "=%s", strrchr(text, '.') + 5);
        break;
    case SPACE_IN_SIGNATURE:
        sprintf(dot + 5, " %s", strrchr(text, '.') + 5);
        break;
    case CUT_SIGNATURE:
        end[-1] = '\0';
        break;
    }
}

static void reads_odd_texts(void **state)
{
    struct token_rules rules = default_rules();
    char text[2048];

    for (size_t i = 0; i < sizeof manglings / sizeof manglings[0]; i++) {
        mangle(text, make(HEADER, GOOD), manglings[i].how, manglings[i].with);
        expect(manglings[i].name, &rules, text, manglings[i].status, manglings[i].reason);
        /* However it is written, a wrong signature stays one. */
        if (manglings[i].status == TOKEN_UNJUDGED) {
            mangle(text, make_bytes(HEADER, GOOD, strlen(GOOD), EVP_sha256(), "guessed"),
                   manglings[i].how, manglings[i].with);
            expect(manglings[i].name, &rules, text, TOKEN_REFUSED, "the signature is wrong");
        }
    }
}

static const struct {
    const char *name, *text;
} garbage[] = {
    {"empty", ""},
    {"a dot", "."},
    {"two dots", ".."},
    {"a word", "token"},
    {"null", "null"},
    {"three words", "one.two.three"},
    {"three signs", "!.!.!"},
    {"letters", "A.A.A"},
    {"padding", "=.=.="},
    {"backslashes", "\\\\\\"},
    {"alg none", "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.e30."},
    {"alg none, something for a signature", "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.e30.AA"},
};

static void refuses_garbage(void **state)
{
    struct token_rules rules = default_rules();

    for (size_t i = 0; i < sizeof garbage / sizeof garbage[0]; i++)
        expect(garbage[i].name, &rules, garbage[i].text, TOKEN_REFUSED, NULL);
}

/* The other base64 alphabet in a signature: a token is looked for whose signature has such a
 * letter. */
static void does_not_judge_the_other_alphabet(void **state)
{
    struct token_rules rules = default_rules();
    char payload[256];
    char *text, *letter;
    int i = 0;

    do {
        snprintf(payload, sizeof payload, WITH("\"jti\":%d"), i++);
        text = make(HEADER, payload);
        letter = strpbrk(strrchr(text, '.'), "-_");
    } while (!letter);
    expect("as it should be", &rules, text, TOKEN_VALID, "");
    *letter = *letter == '-' ? '+' : '/';
    expect("the other alphabet", &rules, text, TOKEN_UNJUDGED, UNUSUAL);
}

static void looks_at_lengths(void **state)
{
    struct token_rules rules = default_rules();
    static char payload[20000];
    char *text = make(HEADER, GOOD);
    size_t len = strlen(text);

    expect_bytes("a NUL behind", &rules, text, len + 1, TOKEN_REFUSED, "the token is not base64");
    text[len] = 'x';
    expect_bytes("not terminated", &rules, text, len, TOKEN_VALID, "");

    snprintf(payload, sizeof payload, WITH("\"x\":\"%*s\""), 12000, "");
    expect("nearly 16 KiB", &rules, make(HEADER, payload), TOKEN_VALID, "");
    snprintf(payload, sizeof payload, WITH("\"x\":\"%*s\""), 12500, "");
    expect("more than 16 KiB", &rules, make(HEADER, payload), TOKEN_UNJUDGED,
           "the token is too long");
}

/* What a valid token says. */

#define FEATURE(value) "\"context\":{\"features\":{\"lobby\":" value "}}"
#define USER(value) "\"context\":{\"user\":{\"lobby\":" value "}}"
#define BOTH(feature, user)                                                                        \
    "\"context\":{\"features\":{\"lobby\":" feature "},\"user\":{\"lobby\":" user "}}"

static const struct {
    const char *name, *payload;
    bool asks_lobby;
    const char *misused_claim;
} wishes[] = {
    {"nothing", GOOD, false, NULL},
    {"feature true", WITH(FEATURE("true")), true, NULL},
    {"feature false", WITH(FEATURE("false")), false, NULL},
    {"feature the string true", WITH(FEATURE("\"true\"")), false, "context.features.lobby"},
    {"feature 1", WITH(FEATURE("1")), false, "context.features.lobby"},
    {"feature null", WITH(FEATURE("null")), false, "context.features.lobby"},
    {"user true", WITH(USER("true")), true, NULL},
    {"user false", WITH(USER("false")), false, NULL},
    {"user the string true", WITH(USER("\"true\"")), false, "context.user.lobby"},
    {"user 1", WITH(USER("1")), false, "context.user.lobby"},
    {"user null", WITH(USER("null")), false, "context.user.lobby"},
    {"both", WITH(BOTH("true", "true")), true, NULL},
    {"one says no", WITH(BOTH("false", "true")), true, NULL},
    {"one is misused", WITH(BOTH("\"true\"", "true")), true, "context.features.lobby"},
    {"both misused", WITH(BOTH("1", "1")), false, "context.features.lobby"},
    {"elsewhere", WITH("\"lobby\":true"), false, NULL},
};

static void reads_the_lobby_claims(void **state)
{
    struct token_rules rules = default_rules();

    for (size_t i = 0; i < sizeof wishes / sizeof wishes[0]; i++) {
        const char *text = make(HEADER, wishes[i].payload);
        struct token token;

        token_verify(text, strlen(text), &rules, NULL, NOW, &token);
        assert_int_equal(token.status, TOKEN_VALID);
        if (token.asks_lobby != wishes[i].asks_lobby)
            fail_msg("%s: asks %d", wishes[i].name, token.asks_lobby);
        if (!wishes[i].misused_claim)
            assert_null(token.misused_claim);
        else
            assert_string_equal(token.misused_claim, wishes[i].misused_claim);
        token_done(&token);
    }
}

static void lowers_ascii_only(void **state)
{
    struct token_rules rules = default_rules();
    const char *text = make(HEADER, "{\"iss\":\"app\",\"aud\":\"jitsi\",\"sub\":\"S\","
                                    "\"room\":\"\xc3\x84Z[aB\"}");
    struct token token;

    token_verify(text, strlen(text), &rules, NULL, NOW, &token);
    assert_string_equal(token.room, "\xc3\x84z[ab");
    assert_string_equal(token.sub, "s");
    token_done(&token);
    token_done(&token);
    token_done(NULL);
}

static void says_unjudged(void **state)
{
    struct token token;

    token_unjudged(&token, "two tokens");
    assert_int_equal(token.status, TOKEN_UNJUDGED);
    assert_string_equal(token.reason, "two tokens");
    token_done(&token);
    assert_int_equal(token.status, TOKEN_NONE);
}

static void survives_lack_of_memory(void **state)
{
    struct token_rules rules = default_rules();
    const char *text = make(HEADER, WITH(FEATURE("true")));
    long n = 0;

    for (bool hit = true; hit; n++) {
        struct token token;

        alloc_track_on();
        alloc_fail_after(n);
        token_verify(text, strlen(text), &rules, NULL, NOW, &token);
        hit = alloc_failed();
        alloc_fail_off();
        assert_int_equal(token.status, hit ? TOKEN_UNJUDGED : TOKEN_VALID);
        if (hit)
            assert_string_equal(token.reason, "out of memory");
        token_done(&token);
        assert_int_equal(alloc_live(), 0);
        alloc_track_off();
    }
    assert_true(n > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_headers),
        cmocka_unit_test(reads_payloads),
        cmocka_unit_test(rejects_what_only_bytes_can_say),
        cmocka_unit_test(follows_the_rules),
        cmocka_unit_test(checks_signatures),
        cmocka_unit_test(needs_a_key),
        cmocka_unit_test(reads_odd_texts),
        cmocka_unit_test(refuses_garbage),
        cmocka_unit_test(does_not_judge_the_other_alphabet),
        cmocka_unit_test(looks_at_lengths),
        cmocka_unit_test(reads_the_lobby_claims),
        cmocka_unit_test(lowers_ascii_only),
        cmocka_unit_test(says_unjudged),
        cmocka_unit_test(survives_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
