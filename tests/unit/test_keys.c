/*
 * keys.c and keys_read.c: what is fetched when, what is kept, and what counts as a key.
 */
#include "policy/keys.h"
#include "tests/unit/alloc.h"
#include "tests/unit/key_make.h"

#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdio.h>

#define DOCUMENT "https://keys.example.com/all.json"
#define SERVER "https://keys.example.com/pub"
#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)

/* Who fetches: counts, and remembers the last url. */
struct fetcher {
    size_t count;
    bool fails;
    char last[512];
};

static bool fetch(void *ctx, const char *url)
{
    struct fetcher *fetcher = ctx;

    fetcher->count++;
    snprintf(fetcher->last, sizeof fetcher->last, "%s", url);
    return !fetcher->fails;
}

static const struct keys_actions actions = {fetch};

static char *pem_a, *pem_b, *pem_ec;

static int make_keys(void **state)
{
    EVP_PKEY *a = make_rsa("RSA", 2048, 0), *b = make_rsa("RSA", 2048, 0), *ec = make_ec("P-256");

    pem_a = public_pem(a);
    pem_b = public_pem(b);
    pem_ec = public_pem(ec);
    EVP_PKEY_free(a);
    EVP_PKEY_free(b);
    EVP_PKEY_free(ec);
    return 0;
}

static int free_keys(void **state)
{
    free(pem_a);
    free(pem_b);
    free(pem_ec);
    return 0;
}

static const char *url_of(const char *base, const char *kid)
{
    static char url[512];
    unsigned char digest[SHA256_DIGEST_LENGTH];
    char *at = url + sprintf(url, "%s/", base);

    SHA256((const unsigned char *)kid, strlen(kid), digest);
    for (size_t i = 0; i < sizeof digest; i++)
        at += sprintf(at, "%02x", digest[i]);
    strcpy(at, ".pem");
    return url;
}

static const char *answer(struct keys *keys, const char *url, int status, const char *body,
                          int64_t max_age_s, int64_t now_ms)
{
    const char *problem = NULL;

    keys_fetched(keys, url, status, body, body ? strlen(body) : 0, max_age_s, now_ms, &problem);
    assert_non_null(problem);
    return problem;
}

/* Events and the clock, as a table. */

enum event {
    TICK,
    WANT,   /* kid; expected: whether waiting is worth while */
    ANSWER, /* status and key, for kid */
    FIND,   /* kid; expected: whether it is here */
    FAIL_TO_BEGIN,
    BEGIN_AGAIN,
};

struct step {
    int64_t at_ms;
    enum event event;
    const char *kid;
    int status;
    int64_t max_age_s;
    bool expected;
    size_t fetches; /* in all, behind this step */
};

static void play(const char *name, enum keys_source source, const struct step *steps, size_t len)
{
    struct fetcher fetcher = {0};
    struct keys *keys =
        keys_new(source, source == KEYS_SERVER ? SERVER "/" : DOCUMENT, &actions, &fetcher);

    for (size_t i = 0; i < len; i++) {
        const struct step *step = &steps[i];
        bool got = step->expected;
        char body[4096] = "";

        switch (step->event) {
        case TICK:
            keys_tick(keys, step->at_ms);
            break;
        case WANT:
            got = keys_want(keys, step->kid, step->at_ms);
            break;
        case FIND:
            got = keys_find(keys, step->kid) != NULL;
            break;
        case ANSWER:
            if (source == KEYS_SERVER && step->status == 200) {
                snprintf(body, sizeof body, "%s", pem_a);
            } else if (step->status == 200) {
                json_t *document =
                    step->kid[0] ? json_pack("{s:s}", step->kid, pem_a) : json_object();
                char *text = json_dumps(document, 0);

                snprintf(body, sizeof body, "%s", text);
                free(text);
                json_decref(document);
            }
            answer(keys, source == KEYS_SERVER ? url_of(SERVER, step->kid) : DOCUMENT, step->status,
                   step->status ? body : NULL, step->max_age_s, step->at_ms);
            break;
        case FAIL_TO_BEGIN:
        case BEGIN_AGAIN:
            fetcher.fails = step->event == FAIL_TO_BEGIN;
            break;
        }
        if (got != step->expected)
            fail_msg("%s: step %zu: got %d", name, i + 1, got);
        if (fetcher.count != step->fetches)
            fail_msg("%s: step %zu: %zu fetches", name, i + 1, fetcher.count);
    }
    keys_free(keys);
}

#define PLAY(name, source, steps) play(name, source, steps, sizeof(steps) / sizeof *(steps))

/* clang-format off */
static const struct step document_fresh[] = {
    {0,                 FIND,   "a", 0,   0,   false, 0},
    {0,                 TICK,   NULL, 0,  0,   false, 1},
    {0,                 TICK,   NULL, 0,  0,   false, 1}, /* it is on its way */
    {10,                WANT,   "a", 0,   0,   true,  1},
    {20,                ANSWER, "a", 200, 600, false, 1},
    {20,                FIND,   "a", 0,   0,   true,  1},
    {20,                WANT,   "a", 0,   0,   false, 1}, /* here: nothing to wait for */
    {539 * SECOND,      TICK,   NULL, 0,  0,   false, 1},
    {541 * SECOND,      TICK,   NULL, 0,  0,   false, 2}, /* a minute ahead */
    {541 * SECOND,      FIND,   "a", 0,   0,   true,  2},
};
static const struct step document_ages[] = {
    {0,                 TICK,   NULL, 0,  0,   false, 1},
    {0,                 ANSWER, "a", 200, 0,   false, 1}, /* no-store: once a minute will do */
    {44 * SECOND,       TICK,   NULL, 0,  0,   false, 1},
    {45 * SECOND,       TICK,   NULL, 0,  0,   false, 2},
    {45 * SECOND,       ANSWER, "a", 200, -1,  false, 2}, /* does not say: an hour */
    {59 * MINUTE,       TICK,   NULL, 0,  0,   false, 2},
    {60 * MINUTE,       TICK,   NULL, 0,  0,   false, 3},
    {60 * MINUTE,       ANSWER, "a", 200, INT64_MAX, false, 3}, /* a day at most */
    {24 * HOUR,         TICK,   NULL, 0,  0,   false, 3},
    {25 * HOUR,         TICK,   NULL, 0,  0,   false, 4},
};
static const struct step document_fails[] = {
    {0,                 TICK,   NULL, 0,  0,   false, 1},
    {0,                 ANSWER, "a", 200, 600, false, 1},
    {540 * SECOND,      TICK,   NULL, 0,  0,   false, 2},
    {540 * SECOND,      ANSWER, "a", 0,   -1,  false, 2}, /* kept, and tried again: 5, 10, 20 s .. */
    {544 * SECOND,      TICK,   NULL, 0,  0,   false, 2},
    {545 * SECOND,      TICK,   NULL, 0,  0,   false, 3},
    {545 * SECOND,      ANSWER, "a", 500, -1,  false, 3},
    {554 * SECOND,      TICK,   NULL, 0,  0,   false, 3},
    {555 * SECOND,      TICK,   NULL, 0,  0,   false, 4},
    {555 * SECOND,      ANSWER, "a", 404, -1,  false, 4},
    {48 * HOUR,         FIND,   "a", 0,   0,   true,  4}, /* for ever */
    {48 * HOUR,         TICK,   NULL, 0,  0,   false, 5},
    {48 * HOUR,         ANSWER, "b", 200, 600, false, 5},
    {48 * HOUR + 539 * SECOND, TICK, NULL, 0, 0, false, 5},
    {48 * HOUR + 540 * SECOND, TICK, NULL, 0, 0, false, 6},
};
static const struct step document_retry_is_bounded[] = {
    {0,                 TICK,   NULL, 0,  0,   false, 1},
    {0,                 ANSWER, "a", 0,   0,   false, 1},
    {HOUR,              TICK,   NULL, 0,  0,   false, 2},
    {HOUR,              ANSWER, "a", 0,   0,   false, 2},
    {2 * HOUR,          TICK,   NULL, 0,  0,   false, 3},
    {2 * HOUR,          ANSWER, "a", 0,   0,   false, 3},
    {3 * HOUR,          TICK,   NULL, 0,  0,   false, 4},
    {3 * HOUR,          ANSWER, "a", 0,   0,   false, 4},
    {4 * HOUR,          TICK,   NULL, 0,  0,   false, 5},
    {4 * HOUR,          ANSWER, "a", 0,   0,   false, 5},
    {5 * HOUR,          TICK,   NULL, 0,  0,   false, 6},
    {5 * HOUR,          ANSWER, "a", 0,   0,   false, 6},
    {6 * HOUR,          TICK,   NULL, 0,  0,   false, 7},
    {6 * HOUR,          ANSWER, "a", 0,   0,   false, 7},
    {6 * HOUR + 299 * SECOND, TICK, NULL, 0, 0, false, 7},
    {6 * HOUR + 300 * SECOND, TICK, NULL, 0, 0, false, 8},
};
static const struct step document_unknown_kids[] = {
    {0,                 TICK,   NULL, 0,  0,   false, 1},
    {0,                 ANSWER, "a", 200, 3600, false, 1},
    {59 * SECOND,       WANT,   "b", 0,   0,   false, 1}, /* the last fetch was a moment ago */
    {60 * SECOND,       WANT,   "b", 0,   0,   true,  2},
    {61 * SECOND,       WANT,   "c", 0,   0,   true,  2}, /* the same answer may have it */
    {62 * SECOND,       ANSWER, "a", 200, 3600, false, 2},
    {63 * SECOND,       WANT,   "b", 0,   0,   false, 2},
    {119 * SECOND,      WANT,   "d", 0,   0,   false, 2},
    {120 * SECOND,      WANT,   "d", 0,   0,   true,  3},
    {121 * SECOND,      ANSWER, "d", 200, 3600, false, 3},
    {121 * SECOND,      FIND,   "d", 0,   0,   true,  3},
};
static const struct step document_key_leaves[] = {
    {0,                 TICK,   NULL, 0,  0,   false, 1},
    {0,                 ANSWER, "a", 200, 3600, false, 1},
    {59 * MINUTE,       TICK,   NULL, 0,  0,   false, 2},
    {59 * MINUTE,       ANSWER, "b", 200, 36000, false, 2},
    {59 * MINUTE,       FIND,   "a", 0,   0,   true,  2}, /* as long as in Prosody */
    {148 * MINUTE,      TICK,   NULL, 0,  0,   false, 2},
    {148 * MINUTE,      FIND,   "a", 0,   0,   true,  2},
    {149 * MINUTE,      TICK,   NULL, 0,  0,   false, 2},
    {149 * MINUTE,      FIND,   "a", 0,   0,   false, 2},
    {149 * MINUTE,      FIND,   "b", 0,   0,   true,  2},
};
static const struct step document_key_comes_back[] = {
    {0,                 TICK,   NULL, 0,  0,   false, 1},
    {0,                 ANSWER, "a", 200, 60,  false, 1},
    {1 * MINUTE,        TICK,   NULL, 0,  0,   false, 2},
    {1 * MINUTE,        ANSWER, "",  200, 60,  false, 2}, /* a document without keys is one */
    {2 * MINUTE,        TICK,   NULL, 0,  0,   false, 3},
    {2 * MINUTE,        ANSWER, "a", 200, 36000, false, 3},
    {2 * HOUR,          TICK,   NULL, 0,  0,   false, 3},
    {2 * HOUR,          FIND,   "a", 0,   0,   true,  3},
};
static const struct step document_cannot_begin[] = {
    {0,                 FAIL_TO_BEGIN, NULL, 0, 0, false, 0},
    {0,                 TICK,   NULL, 0,  0,   false, 1},
    {1,                 WANT,   "a", 0,   0,   false, 1},
    {4 * SECOND,        TICK,   NULL, 0,  0,   false, 1},
    {5 * SECOND,        BEGIN_AGAIN, NULL, 0, 0, false, 1},
    {5 * SECOND,        TICK,   NULL, 0,  0,   false, 2},
    {6 * SECOND,        WANT,   "a", 0,   0,   true,  2},
};
static const struct step document_unasked[] = {
    {0,                 ANSWER, "a", 200, 600, false, 0},
    {0,                 FIND,   "a", 0,   0,   false, 0},
};
/* clang-format on */

static void keeps_a_document(void **state)
{
    PLAY("fresh", KEYS_DOCUMENT, document_fresh);
    PLAY("ages", KEYS_DOCUMENT, document_ages);
    PLAY("fails", KEYS_DOCUMENT, document_fails);
    PLAY("retry is bounded", KEYS_DOCUMENT, document_retry_is_bounded);
    PLAY("unknown kids", KEYS_DOCUMENT, document_unknown_kids);
    PLAY("key leaves", KEYS_DOCUMENT, document_key_leaves);
    PLAY("key comes back", KEYS_DOCUMENT, document_key_comes_back);
    PLAY("cannot begin", KEYS_DOCUMENT, document_cannot_begin);
    PLAY("unasked", KEYS_DOCUMENT, document_unasked);
}

/* clang-format off */
static const struct step server_one_kid[] = {
    {0,                 TICK,   NULL, 0,  0,   false, 0},
    {0,                 WANT,   "a", 0,   0,   true,  1},
    {1,                 WANT,   "a", 0,   0,   true,  1},
    {2,                 ANSWER, "a", 200, 600, false, 1},
    {2,                 FIND,   "a", 0,   0,   true,  1},
    {3,                 WANT,   "a", 0,   0,   false, 1},
    {541 * SECOND,      TICK,   NULL, 0,  0,   false, 2}, /* it is used: again, ahead of time */
    {541 * SECOND,      TICK,   NULL, 0,  0,   false, 2},
    {542 * SECOND,      ANSWER, "a", 200, 600, false, 2},
    {1100 * SECOND,     TICK,   NULL, 0,  0,   false, 2}, /* nobody used it since */
    {1141 * SECOND,     FIND,   "a", 0,   0,   true,  2},
    {1141 * SECOND,     TICK,   NULL, 0,  0,   false, 3}, /* now somebody did */
};
static const struct step server_unused[] = {
    {0,                 WANT,   "a", 0,   0,   true,  1},
    {0,                 ANSWER, "a", 200, 600, false, 1},
    {599 * SECOND,      TICK,   NULL, 0,  0,   false, 1},
    {600 * SECOND,      TICK,   NULL, 0,  0,   false, 1},
    {600 * SECOND,      FIND,   "a", 0,   0,   false, 1},
};
static const struct step server_no_such_kid[] = {
    {0,                 WANT,   "a", 0,   0,   true,  1},
    {1 * SECOND,        ANSWER, "a", 404, -1,  false, 1},
    {1 * SECOND,        WANT,   "a", 0,   0,   false, 1},
    {60 * SECOND,       WANT,   "a", 0,   0,   false, 1},
    {61 * SECOND,       WANT,   "a", 0,   0,   true,  2},
    {62 * SECOND,       ANSWER, "a", 0,   -1,  false, 2}, /* no answer counts the same */
    {121 * SECOND,      WANT,   "a", 0,   0,   false, 2},
    {121 * SECOND,      WANT,   "b", 0,   0,   true,  3},
    {122 * SECOND,      WANT,   "a", 0,   0,   true,  4},
    {123 * SECOND,      ANSWER, "b", 200, -1,  false, 4}, /* in any order */
    {124 * SECOND,      ANSWER, "a", 200, -1,  false, 4},
    {124 * SECOND,      FIND,   "a", 0,   0,   true,  4},
    {124 * SECOND,      FIND,   "b", 0,   0,   true,  4},
};
static const struct step server_fails_later[] = {
    {0,                 WANT,   "a", 0,   0,   true,  1},
    {0,                 ANSWER, "a", 200, 600, false, 1},
    {0,                 FIND,   "a", 0,   0,   true,  1},
    {540 * SECOND,      TICK,   NULL, 0,  0,   false, 2},
    {540 * SECOND,      ANSWER, "a", 503, -1,  false, 2},
    {545 * SECOND,      TICK,   NULL, 0,  0,   false, 3},
    {545 * SECOND,      ANSWER, "a", 0,   -1,  false, 3},
    {9 * HOUR,          FIND,   "a", 0,   0,   true,  3}, /* kept */
    {9 * HOUR,          TICK,   NULL, 0,  0,   false, 4},
    {9 * HOUR,          FIND,   "a", 0,   0,   true,  4},
};
static const struct step server_key_gone[] = {
    {0,                 WANT,   "a", 0,   0,   true,  1},
    {0,                 ANSWER, "a", 200, 600, false, 1},
    {0,                 FIND,   "a", 0,   0,   true,  1},
    {540 * SECOND,      TICK,   NULL, 0,  0,   false, 2},
    {540 * SECOND,      ANSWER, "a", 404, -1,  false, 2},
    {541 * SECOND,      FIND,   "a", 0,   0,   true,  2}, /* until it expires */
    {545 * SECOND,      TICK,   NULL, 0,  0,   false, 3},
    {545 * SECOND,      ANSWER, "a", 404, -1,  false, 3},
    {600 * SECOND,      TICK,   NULL, 0,  0,   false, 3},
    {600 * SECOND,      FIND,   "a", 0,   0,   false, 3},
};
static const struct step server_key_gone_and_back[] = {
    {0,                 WANT,   "a", 0,   0,   true,  1},
    {0,                 ANSWER, "a", 200, 600, false, 1},
    {0,                 FIND,   "a", 0,   0,   true,  1},
    {540 * SECOND,      TICK,   NULL, 0,  0,   false, 2},
    {540 * SECOND,      ANSWER, "a", 404, -1,  false, 2},
    {545 * SECOND,      TICK,   NULL, 0,  0,   false, 3},
    {545 * SECOND,      ANSWER, "a", 200, 600, false, 3},
    {600 * SECOND,      TICK,   NULL, 0,  0,   false, 3},
    {600 * SECOND,      FIND,   "a", 0,   0,   true,  3},
};
static const struct step server_cannot_begin[] = {
    {0,                 FAIL_TO_BEGIN, NULL, 0, 0, false, 0},
    {0,                 WANT,   "a", 0,   0,   false, 1},
    {0,                 BEGIN_AGAIN, NULL, 0, 0, false, 1},
    {1 * SECOND,        WANT,   "a", 0,   0,   false, 1},
    {60 * SECOND,       WANT,   "a", 0,   0,   true,  2},
};
/* clang-format on */

static void keeps_a_servers_keys(void **state)
{
    PLAY("one kid", KEYS_SERVER, server_one_kid);
    PLAY("unused", KEYS_SERVER, server_unused);
    PLAY("no such kid", KEYS_SERVER, server_no_such_kid);
    PLAY("fails later", KEYS_SERVER, server_fails_later);
    PLAY("key gone", KEYS_SERVER, server_key_gone);
    PLAY("key gone and back", KEYS_SERVER, server_key_gone_and_back);
    PLAY("cannot begin", KEYS_SERVER, server_cannot_begin);
}

/* Urls. */

static void hashes_kids_into_urls(void **state)
{
    static const char *const odd[] = {"", "../../../etc/passwd", "a/b?c#d", "http://x/", "a b"};
    struct fetcher fetcher = {0};
    struct keys *keys = keys_new(KEYS_SERVER, SERVER "//", &actions, &fetcher);
    char long_kid[KEYS_KID_MAX + 2];

    assert_true(keys_want(keys, "kid/1", 0));
    /* printf kid/1 | sha256sum */
    assert_string_equal(fetcher.last, SERVER
                        "/7f3d45f908024e68d64932ba7f285c2fe9aea48b6b5f5bcab37c1ef665bc1b48.pem");
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        assert_true(keys_want(keys, odd[i], 0));
        assert_string_equal(fetcher.last, url_of(SERVER, odd[i]));
    }
    memset(long_kid, 'x', sizeof long_kid);
    long_kid[KEYS_KID_MAX + 1] = '\0';
    size_t before = fetcher.count;
    assert_false(keys_want(keys, long_kid, 0));
    assert_int_equal(fetcher.count, before);
    long_kid[KEYS_KID_MAX] = '\0';
    assert_true(keys_want(keys, long_kid, 0));
    assert_string_equal(answer(keys, url_of(SERVER, long_kid), 200, pem_a, -1, 0), "");
    assert_non_null(keys_find(keys, long_kid));
    keys_free(keys);
}

static void takes_no_answer_it_did_not_ask_for(void **state)
{
    static const char *const urls[] = {
        "", SERVER, SERVER "/", SERVER "/x.pem", "https://other.example.com/", DOCUMENT,
    };
    struct fetcher fetcher = {0};
    struct keys *keys = keys_new(KEYS_SERVER, SERVER, &actions, &fetcher);

    assert_true(keys_want(keys, "a", 0));
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++)
        assert_string_equal(answer(keys, urls[i], 200, pem_a, -1, 0), "");
    answer(keys, url_of(SERVER, "b"), 200, pem_a, -1, 0);
    assert_null(keys_find(keys, "a"));
    assert_null(keys_find(keys, "b"));
    answer(keys, url_of(SERVER, "a"), 200, pem_a, -1, 0);
    answer(keys, url_of(SERVER, "a"), 200, pem_b, -1, 0); /* once is enough */
    assert_string_equal(keys_find(keys, "a"), pem_a);
    keys_free(keys);
    keys_free(NULL);
}

/* What strangers may cost. */

static void bounds_what_strangers_cost(void **state)
{
    struct fetcher fetcher = {0};
    struct keys *keys = keys_new(KEYS_SERVER, SERVER, &actions, &fetcher);
    char kid[32];
    size_t first_minute;

    /* None answers: no more than so many are on their way. */
    for (int i = 0; i < 1000; i++) {
        snprintf(kid, sizeof kid, "slow-%d", i);
        keys_want(keys, kid, i);
    }
    assert_int_equal(fetcher.count, 16);
    for (int i = 0; i < 16; i++) {
        snprintf(kid, sizeof kid, "slow-%d", i);
        answer(keys, url_of(SERVER, kid), 404, "", -1, SECOND);
    }
    /* Ten thousand in a minute, each answered at once. */
    for (int i = 0; i < 10000; i++) {
        snprintf(kid, sizeof kid, "fast-%d", i);
        if (keys_want(keys, kid, SECOND + i * 6))
            answer(keys, url_of(SERVER, kid), 404, "", -1, SECOND + i * 6);
    }
    first_minute = fetcher.count;
    assert_in_range(first_minute, 55, 61);
    /* Who was known is fetched again whatever strangers do, and one more stranger is heard soon. */
    int64_t now = 2 * HOUR;
    assert_true(keys_want(keys, "honest", now));
    answer(keys, url_of(SERVER, "honest"), 200, pem_a, 600, now);
    for (int i = 0; i < 1000; i++) {
        snprintf(kid, sizeof kid, "more-%d", i);
        if (keys_want(keys, kid, now))
            answer(keys, url_of(SERVER, kid), 404, "", -1, now);
    }
    assert_false(keys_want(keys, "new", now));
    assert_non_null(keys_find(keys, "honest"));
    size_t before = fetcher.count;
    keys_tick(keys, now + 10 * MINUTE);
    assert_int_equal(fetcher.count, before + 1);
    assert_string_equal(fetcher.last, url_of(SERVER, "honest"));
    keys_free(keys);
}

static void hears_the_next_when_there_is_budget_again(void **state)
{
    struct fetcher fetcher = {0};
    struct keys *keys = keys_new(KEYS_SERVER, SERVER, &actions, &fetcher);
    char kid[32];

    for (int i = 0; i < 1000; i++) {
        snprintf(kid, sizeof kid, "x-%d", i);
        if (keys_want(keys, kid, 0))
            answer(keys, url_of(SERVER, kid), 404, "", -1, 0);
    }
    assert_int_equal(fetcher.count, 30);
    assert_false(keys_want(keys, "honest", 1 * SECOND));
    assert_true(keys_want(keys, "honest", 2 * SECOND)); /* turned away is not remembered */
    keys_free(keys);
}

static void keeps_what_is_used(void **state)
{
    struct fetcher fetcher = {0};
    struct keys *keys = keys_new(KEYS_SERVER, SERVER, &actions, &fetcher);
    char kid[32];

    for (int i = 0; i < KEYS_MAX + 10; i++) {
        int64_t now = i * 10 * SECOND;

        snprintf(kid, sizeof kid, "kid-%d", i);
        assert_true(keys_want(keys, kid, now));
        assert_string_equal(answer(keys, url_of(SERVER, kid), 200, pem_a, -1, now), "");
        assert_non_null(keys_find(keys, "kid-0"));
    }
    assert_null(keys_find(keys, "kid-1"));
    assert_null(keys_find(keys, "kid-10"));
    assert_non_null(keys_find(keys, "kid-11"));
    keys_free(keys);
}

static void refreshes_a_few_at_a_time(void **state)
{
    struct fetcher fetcher = {0};
    struct keys *keys = keys_new(KEYS_SERVER, SERVER, &actions, &fetcher);
    char kid[32];
    size_t before;

    for (int i = 0; i < 20; i++) {
        snprintf(kid, sizeof kid, "kid-%d", i);
        assert_true(keys_want(keys, kid, 0));
        answer(keys, url_of(SERVER, kid), 200, pem_a, 600, 0);
        assert_non_null(keys_find(keys, kid));
    }
    before = fetcher.count;
    keys_tick(keys, 550 * SECOND);
    keys_tick(keys, 551 * SECOND);
    assert_int_equal(fetcher.count, before + 8);
    keys_free(keys);
}

/* PEM texts, as a key server has them. */

static char *certificate_pem(EVP_PKEY *key)
{
    X509 *certificate = X509_new();
    BIO *bio = BIO_new(BIO_s_mem());

    X509_gmtime_adj(X509_getm_notBefore(certificate), -7200);
    X509_gmtime_adj(X509_getm_notAfter(certificate), -3600); /* over; that does not count */
    X509_set_pubkey(certificate, key);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    assert_int_equal(PEM_write_bio_X509(bio, certificate), 1);
    X509_free(certificate);
    return bio_text(bio);
}

static char *private_pem(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());

    assert_int_equal(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    return bio_text(bio);
}

static char *pkcs1_pem(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    unsigned char *der = NULL;
    int len = i2d_PublicKey(key, &der);

    assert_true(len > 0);
    assert_true(PEM_write_bio(bio, "RSA PUBLIC KEY", "", der, len) > 0);
    OPENSSL_free(der);
    return bio_text(bio);
}

static char *joined(const char *one, const char *two)
{
    char *text = malloc(strlen(one) + strlen(two) + 1);

    strcpy(text, one);
    return strcat(text, two);
}

static void expect_pem(const char *name, char *body, const char *pem, const char *problem)
{
    struct fetcher fetcher = {0};
    struct keys *keys = keys_new(KEYS_SERVER, SERVER, &actions, &fetcher);
    const char *got, *found;

    assert_true(keys_want(keys, "k", 0));
    got = answer(keys, url_of(SERVER, "k"), 200, body, -1, 0);
    found = keys_find(keys, "k");
    if (strcmp(got, problem) != 0 || !found != !pem || (pem && strcmp(found, pem) != 0))
        fail_msg("%s: got \"%s\", %s", name, got, found ? found : "no key");
    free(body);
    keys_free(keys);
}

#define NO_BLOCK "a text that is not one PEM block"
#define NO_KEY "a PEM block that is no public key or certificate"
#define PRIVATE "a private key, which should not be published"

static void reads_pem(void **state)
{
    EVP_PKEY *rsa = make_rsa("RSA", 2048, 0), *ec = make_ec("P-384");
    EVP_PKEY *pss = make_rsa("RSA-PSS", 2048, 0);
    EVP_PKEY *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    char *rsa_pem = public_pem(rsa), *ec_pem = public_pem(ec), *private_text = private_pem(rsa);
    char *cut = strdup(rsa_pem);

    expect_pem("public key", strdup(rsa_pem), rsa_pem, "");
    expect_pem("public key, EC", strdup(ec_pem), ec_pem, "");
    expect_pem("text in front", joined("a key:\n", rsa_pem), rsa_pem, "");
    expect_pem("certificate", certificate_pem(rsa), rsa_pem, "");
    expect_pem("certificate, EC", certificate_pem(ec), ec_pem, "");
    expect_pem("PKCS #1", pkcs1_pem(rsa), rsa_pem, "");
    expect_pem("empty", strdup(""), NULL, NO_BLOCK);
    expect_pem("HTML", strdup("<html>not found</html>"), NULL, NO_BLOCK);
    expect_pem("two", joined(rsa_pem, ec_pem), NULL, NO_BLOCK);
    expect_pem("private", strdup(private_text), NULL, PRIVATE);
    expect_pem("private too", joined(rsa_pem, private_text), NULL, PRIVATE);
    expect_pem("RSA-PSS", public_pem(pss), NULL, "a key that is neither RSA nor EC");
    expect_pem("Ed25519", public_pem(ed), NULL, "a key that is neither RSA nor EC");
    cut[strlen(cut) / 2] = '\0';
    expect_pem("cut off", cut, NULL, NO_KEY);
    expect_pem("other block", strdup("-----BEGIN X-----\nAAAA\n-----END X-----\n"), NULL, NO_KEY);
    expect_pem("other bytes",
               strdup("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"), NULL,
               NO_KEY);
    assert_int_equal(ERR_peek_error(), 0);
    free(rsa_pem);
    free(ec_pem);
    free(private_text);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(pss);
    EVP_PKEY_free(ed);
}

/* Documents. */

static char *base64url(const unsigned char *bytes, size_t len)
{
    char *text = malloc(len * 4 / 3 + 5);
    int written = EVP_EncodeBlock((unsigned char *)text, bytes, (int)len);

    while (written > 0 && text[written - 1] == '=')
        written--;
    text[written] = '\0';
    for (char *at = text; *at; at++)
        *at = *at == '+' ? '-' : *at == '/' ? '_' : *at;
    return text;
}

static void set_number(json_t *jwk, const char *member, const EVP_PKEY *key, const char *param,
                       int len)
{
    BIGNUM *number = NULL;
    unsigned char bytes[1024];
    char *text;

    assert_int_equal(EVP_PKEY_get_bn_param(key, param, &number), 1);
    if (len == 0)
        len = BN_num_bytes(number);
    assert_int_equal(BN_bn2binpad(number, bytes, len), len);
    text = base64url(bytes, (size_t)len);
    json_object_set_new(jwk, member, json_string(text));
    free(text);
    BN_free(number);
}

static json_t *rsa_jwk(const EVP_PKEY *key, const char *kid)
{
    json_t *jwk = json_pack("{s:s,s:s}", "kty", "RSA", "kid", kid);

    set_number(jwk, "n", key, OSSL_PKEY_PARAM_RSA_N, 0);
    set_number(jwk, "e", key, OSSL_PKEY_PARAM_RSA_E, 0);
    return jwk;
}

static json_t *ec_jwk(const EVP_PKEY *key, const char *kid, const char *curve)
{
    json_t *jwk = json_pack("{s:s,s:s,s:s}", "kty", "EC", "kid", kid, "crv", curve);
    int len = (EVP_PKEY_get_bits(key) + 7) / 8;

    set_number(jwk, "x", key, OSSL_PKEY_PARAM_EC_PUB_X, len);
    set_number(jwk, "y", key, OSSL_PKEY_PARAM_EC_PUB_Y, len);
    return jwk;
}

/* Takes document. */
static struct keys *keys_of(json_t *document, const char **ret_problem)
{
    static struct fetcher fetcher;
    struct keys *keys = keys_new(KEYS_DOCUMENT, DOCUMENT, &actions, &fetcher);
    char *text = json_dumps(document, JSON_ENCODE_ANY);

    keys_tick(keys, 0);
    *ret_problem = answer(keys, DOCUMENT, 200, text, -1, 0);
    free(text);
    json_decref(document);
    return keys;
}

/* One entry beside a good one, which must not be lost by it. Takes entry. */
static void expect_jwk(const char *name, json_t *entry, const char *pem, const char *problem)
{
    json_t *jwks = json_array();
    const char *got, *found;
    struct keys *keys;
    EVP_PKEY *good = make_ec("P-256");
    char *good_pem = public_pem(good);

    json_array_append_new(jwks, entry);
    json_array_append_new(jwks, ec_jwk(good, "good", "P-256"));
    keys = keys_of(json_pack("{s:o}", "keys", jwks), &got);
    found = keys_find(keys, "k");
    if (strcmp(got, problem) != 0 || !found != !pem || (pem && strcmp(found, pem) != 0))
        fail_msg("%s: got \"%s\", %s", name, got, found ? found : "no key");
    assert_non_null(keys_find(keys, "good"));
    assert_string_equal(keys_find(keys, "good"), good_pem);
    free(good_pem);
    EVP_PKEY_free(good);
    keys_free(keys);
}

static json_t *with(json_t *jwk, const char *member, json_t *value)
{
    json_object_set_new(jwk, member, value);
    return jwk;
}

#define OTHER_USE "a key for another use than these signatures"
#define NUMBERS "a key with wrong numbers"
#define NO_KID "a key without a kid"
#define NEITHER "a key that is neither RSA nor EC"

static void reads_jwks(void **state)
{
    static const struct {
        const char *openssl, *jose, *alg;
    } curves[] = {
        {"P-256", "P-256", "ES256"}, {"P-384", "P-384", "ES384"}, {"P-521", "P-521", "ES512"}};
    EVP_PKEY *rsa = make_rsa("RSA", 2048, 0);
    char *rsa_pem = public_pem(rsa);

    expect_jwk("RSA", rsa_jwk(rsa, "k"), rsa_pem, "");
    expect_jwk("use sig", with(rsa_jwk(rsa, "k"), "use", json_string("sig")), rsa_pem, "");
    expect_jwk("alg RS256", with(rsa_jwk(rsa, "k"), "alg", json_string("RS256")), rsa_pem, "");
    expect_jwk("key_ops", with(rsa_jwk(rsa, "k"), "key_ops", json_pack("[s]", "verify")), rsa_pem,
               "");
    expect_jwk("x5c is not looked at", with(rsa_jwk(rsa, "k"), "x5c", json_pack("[s]", "nonsense")),
               rsa_pem, "");
    expect_jwk("use enc", with(rsa_jwk(rsa, "k"), "use", json_string("enc")), NULL, OTHER_USE);
    expect_jwk("use null", with(rsa_jwk(rsa, "k"), "use", json_null()), NULL, OTHER_USE);
    expect_jwk("alg of encryption", with(rsa_jwk(rsa, "k"), "alg", json_string("RSA-OAEP")), NULL,
               OTHER_USE);
    expect_jwk("alg of EC", with(rsa_jwk(rsa, "k"), "alg", json_string("ES256")), NULL, OTHER_USE);
    expect_jwk("alg PS256", with(rsa_jwk(rsa, "k"), "alg", json_string("PS256")), NULL, OTHER_USE);
    expect_jwk("alg HS256", with(rsa_jwk(rsa, "k"), "alg", json_string("HS256")), NULL, OTHER_USE);
    expect_jwk("alg no string", with(rsa_jwk(rsa, "k"), "alg", json_integer(1)), NULL, OTHER_USE);
    expect_jwk("key_ops without verify",
               with(rsa_jwk(rsa, "k"), "key_ops", json_pack("[s]", "encrypt")), NULL, OTHER_USE);
    expect_jwk("private", with(rsa_jwk(rsa, "k"), "d", json_string("AAAA")), NULL, PRIVATE);
    expect_jwk("n missing", json_pack("{s:s,s:s,s:s}", "kty", "RSA", "kid", "k", "e", "AQAB"), NULL,
               NUMBERS);
    expect_jwk("n no base64", with(rsa_jwk(rsa, "k"), "n", json_string("!!!")), NULL, NUMBERS);
    expect_jwk("n empty", with(rsa_jwk(rsa, "k"), "n", json_string("")), NULL, NUMBERS);
    expect_jwk("e a number", with(rsa_jwk(rsa, "k"), "e", json_integer(65537)), NULL, NUMBERS);
    expect_jwk("kid missing", json_pack("{s:s}", "kty", "RSA"), NULL, NO_KID);
    expect_jwk("kid a number", with(rsa_jwk(rsa, "k"), "kid", json_integer(1)), NULL, NO_KID);
    expect_jwk("no object", json_string("key"), NULL, NO_KID);
    expect_jwk("kty oct", json_pack("{s:s,s:s,s:s}", "kty", "oct", "kid", "k", "k", "c2VjcmV0"),
               NULL, NEITHER);
    expect_jwk("kty OKP", json_pack("{s:s,s:s}", "kty", "OKP", "kid", "k"), NULL, NEITHER);
    expect_jwk("kty missing", json_pack("{s:s}", "kid", "k"), NULL, NEITHER);
    for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++) {
        EVP_PKEY *ec = make_ec(curves[i].openssl);
        char *pem = public_pem(ec);

        expect_jwk(curves[i].jose, ec_jwk(ec, "k", curves[i].jose), pem, "");
        expect_jwk("alg of the curve",
                   with(ec_jwk(ec, "k", curves[i].jose), "alg", json_string(curves[i].alg)), pem,
                   "");
        expect_jwk(
            "alg of another curve",
            with(ec_jwk(ec, "k", curves[i].jose), "alg", json_string(curves[(i + 1) % 3].alg)),
            NULL, OTHER_USE);
        expect_jwk("another curve", ec_jwk(ec, "k", curves[(i + 1) % 3].jose), NULL, NUMBERS);
        json_t *off = ec_jwk(ec, "k", curves[i].jose);
        expect_jwk("not on the curve", with(off, "y", json_incref(json_object_get(off, "x"))), NULL,
                   NUMBERS);
        expect_jwk("crv unknown", ec_jwk(ec, "k", "secp256k1"), NULL, NUMBERS);
        free(pem);
        EVP_PKEY_free(ec);
    }
    assert_int_equal(ERR_peek_error(), 0);
    free(rsa_pem);
    EVP_PKEY_free(rsa);
}

static void takes_no_kid_twice(void **state)
{
    EVP_PKEY *one = make_ec("P-256"), *two = make_ec("P-256");
    const char *problem;
    struct keys *keys = keys_of(json_pack("{s:[o,o,o,o]}", "keys", ec_jwk(one, "k", "P-256"),
                                          ec_jwk(two, "k", "P-256"), ec_jwk(one, "k", "P-256"),
                                          ec_jwk(two, "other", "P-256")),
                                &problem);

    assert_string_equal(problem, "two keys with the same kid");
    assert_null(keys_find(keys, "k"));
    assert_non_null(keys_find(keys, "other"));
    keys_free(keys);
    keys = keys_of(
        json_pack("{s:[o,o]}", "keys", ec_jwk(one, "k", "P-256"), ec_jwk(one, "k", "P-256")),
        &problem);
    assert_string_equal(problem, "");
    assert_non_null(keys_find(keys, "k"));
    keys_free(keys);
    EVP_PKEY_free(one);
    EVP_PKEY_free(two);
}

static void reads_maps(void **state)
{
    EVP_PKEY *rsa = make_rsa("RSA", 2048, 0);
    char *pem = public_pem(rsa), *certificate = certificate_pem(rsa), *secret = private_pem(rsa);
    char long_kid[KEYS_KID_MAX + 2];
    const char *problem;
    struct keys *keys;

    memset(long_kid, 'x', sizeof long_kid);
    long_kid[KEYS_KID_MAX + 1] = '\0';
    keys =
        keys_of(json_pack("{s:s,s:s,s:s}", "a", certificate, "b", pem_b, "keys", pem_ec), &problem);
    assert_string_equal(problem, "");
    assert_string_equal(keys_find(keys, "a"), pem);
    assert_string_equal(keys_find(keys, "b"), pem_b);
    assert_string_equal(keys_find(keys, "keys"), pem_ec); /* a kid like any other */
    keys_free(keys);
    keys = keys_of(json_pack("{s:s,s:s,s:i,s:s,s:[o]}", "a", certificate, "b", secret, "c", 1,
                             long_kid, pem, "keys", rsa_jwk(rsa, "d")),
                   &problem);
    assert_string_equal(problem, PRIVATE);
    assert_non_null(keys_find(keys, "a"));
    assert_null(keys_find(keys, "b"));
    assert_null(keys_find(keys, "c"));
    assert_null(keys_find(keys, long_kid));
    assert_string_equal(keys_find(keys, "d"), pem); /* both kinds in one */
    keys_free(keys);
    free(pem);
    free(certificate);
    free(secret);
    EVP_PKEY_free(rsa);
}

static void keeps_the_set_when_there_is_no_new_one(void **state)
{
    static const struct {
        const char *name, *body, *problem;
    } bodies[] = {
        {"empty", "", "the document is not a JSON object"},
        {"HTML", "<html>", "the document is not a JSON object"},
        {"cut off", "{\"keys\":[", "the document is not a JSON object"},
        {"an array", "[]", "the document is not a JSON object"},
    };
    struct fetcher fetcher = {0};
    struct keys *keys = keys_new(KEYS_DOCUMENT, DOCUMENT, &actions, &fetcher);
    json_t *document = json_pack("{s:s}", "a", pem_a);
    char *text = json_dumps(document, 0);
    int64_t now = 0;

    keys_tick(keys, now);
    answer(keys, DOCUMENT, 200, text, 600, now);
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        const char *problem;

        now += HOUR;
        keys_tick(keys, now);
        problem = answer(keys, DOCUMENT, 200, bodies[i].body, 600, now);
        if (strcmp(problem, bodies[i].problem) != 0 || !keys_find(keys, "a"))
            fail_msg("%s: \"%s\"", bodies[i].name, problem);
    }
    now += HOUR;
    keys_tick(keys, now);
    assert_string_equal(answer(keys, DOCUMENT, 0, NULL, -1, now), "no answer");
    now += HOUR;
    keys_tick(keys, now);
    assert_string_equal(answer(keys, DOCUMENT, 404, "", -1, now), "there is no such file");
    now += HOUR;
    keys_tick(keys, now);
    assert_string_equal(answer(keys, DOCUMENT, 302, "", -1, now), "the answer's status is not 200");
    now += HOUR;
    keys_tick(keys, now);
    assert_string_equal(answer(keys, DOCUMENT, 200, "{}", -1, now), "the document holds no key");
    free(text);
    json_decref(document);
    keys_free(keys);
}

static void keeps_no_more_than_it_can(void **state)
{
    json_t *document = json_object();
    const char *problem;
    struct keys *keys;
    char kid[32];

    for (int i = 0; i < KEYS_MAX + 5; i++) {
        snprintf(kid, sizeof kid, "kid-%d", i);
        json_object_set_new(document, kid, json_string(pem_ec));
    }
    keys = keys_of(document, &problem);
    assert_string_equal(problem, "more keys than are kept");
    assert_non_null(keys_find(keys, "kid-0"));
    assert_non_null(keys_find(keys, "kid-255"));
    assert_null(keys_find(keys, "kid-256"));
    keys_free(keys);
}

/* Memory. */

/* A whole life, in which one allocation fails; what was here stays. */
static void live(enum keys_source source, const char *first, const char *second, long n,
                 bool *ret_hit)
{
    struct fetcher fetcher = {0};
    const char *url = source == KEYS_SERVER ? SERVER : DOCUMENT;
    const char *of_a = source == KEYS_SERVER ? url_of(SERVER, "a") : DOCUMENT;
    struct keys *keys;

    alloc_track_on();
    alloc_fail_after(n);
    keys = keys_new(source, url, &actions, &fetcher);
    if (keys) {
        bool had;

        keys_tick(keys, 0);
        keys_want(keys, "a", 0);
        answer(keys, of_a, 200, first, 600, 0);
        had = keys_find(keys, "a") != NULL;
        keys_tick(keys, 550 * SECOND);
        answer(keys, of_a, 200, second, 600, 550 * SECOND);
        if (had)
            assert_non_null(keys_find(keys, "a"));
        else
            assert_true(alloc_failed());
    } else {
        assert_true(alloc_failed());
    }
    *ret_hit = alloc_failed();
    alloc_fail_off();
    keys_free(keys);
    assert_int_equal(alloc_live(), 0);
    alloc_track_off();
}

static void survives_lack_of_memory(void **state)
{
    json_t *document = json_pack("{s:s,s:s}", "a", pem_a, "b", pem_b);
    char *text = json_dumps(document, 0);
    bool hit = true;
    long n;

    for (n = 0; hit; n++)
        live(KEYS_DOCUMENT, text, text, n, &hit);
    assert_true(n > 10);
    hit = true;
    for (n = 0; hit; n++)
        live(KEYS_SERVER, pem_a, pem_b, n, &hit);
    assert_true(n > 5);
    free(text);
    json_decref(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_a_document),
        cmocka_unit_test(keeps_a_servers_keys),
        cmocka_unit_test(hashes_kids_into_urls),
        cmocka_unit_test(takes_no_answer_it_did_not_ask_for),
        cmocka_unit_test(bounds_what_strangers_cost),
        cmocka_unit_test(hears_the_next_when_there_is_budget_again),
        cmocka_unit_test(keeps_what_is_used),
        cmocka_unit_test(refreshes_a_few_at_a_time),
        cmocka_unit_test(reads_pem),
        cmocka_unit_test(reads_jwks),
        cmocka_unit_test(takes_no_kid_twice),
        cmocka_unit_test(reads_maps),
        cmocka_unit_test(keeps_the_set_when_there_is_no_new_one),
        cmocka_unit_test(keeps_no_more_than_it_can),
        cmocka_unit_test(survives_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
