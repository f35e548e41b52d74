/*
 * keys.c: what is fetched when, and what is kept.
 */
#include "policy/keys.h"
#include "tests/unit/alloc.h"
#include "tests/unit/key_make.h"
#include "tests/unit/keys_script.h"

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

/* Events and the clock, as a table. */

enum event {
    TICK,
    WANT,   /* kid; expected: whether waiting is worth while */
    VOUCH,  /* the same, by somebody logged in */
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
            got = keys_want(keys, step->kid, &stranger, step->at_ms);
            break;
        case VOUCH:
            got = keys_want(keys, step->kid, &logged_in, step->at_ms);
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
static const struct step document_logged_in[] = {
    {0,                 TICK,   NULL, 0,  0,   false, 1},
    {0,                 ANSWER, "a", 200, 3600, false, 1},
    {1 * SECOND,        WANT,   "b", 0,   0,   false, 1},
    {2 * SECOND,        VOUCH,  "b", 0,   0,   true,  2}, /* a stranger's minute is not his */
    {3 * SECOND,        WANT,   "c", 0,   0,   true,  2},
    {4 * SECOND,        ANSWER, "a", 200, 3600, false, 2},
    {5 * SECOND,        VOUCH,  "b", 0,   0,   false, 2}, /* that of the kid is */
    {61 * SECOND,       VOUCH,  "b", 0,   0,   false, 2},
    {62 * SECOND,       VOUCH,  "b", 0,   0,   true,  3},
    {62 * SECOND,       ANSWER, "a", 200, 3600, false, 3},
    {63 * SECOND,       VOUCH,  "c", 0,   0,   true,  4},
    {63 * SECOND,       ANSWER, "a", 200, 3600, false, 4},
    {63 * SECOND,       VOUCH,  "d", 0,   0,   true,  5},
    {63 * SECOND,       ANSWER, "a", 200, 3600, false, 5},
    {63 * SECOND,       VOUCH,  "e", 0,   0,   true,  6},
    {63 * SECOND,       ANSWER, "a", 200, 3600, false, 6},
    {63 * SECOND,       VOUCH,  "f", 0,   0,   true,  7},
    {63 * SECOND,       ANSWER, "a", 200, 3600, false, 7},
    {63 * SECOND,       VOUCH,  "g", 0,   0,   true,  8},
    {63 * SECOND,       ANSWER, "a", 200, 3600, false, 8},
    {63 * SECOND,       VOUCH,  "h", 0,   0,   false, 8}, /* the sixth at once */
    {75 * SECOND,       VOUCH,  "h", 0,   0,   true,  9},
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
    PLAY("logged in", KEYS_DOCUMENT, document_logged_in);
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
static const struct step server_logged_in[] = {
    {0,                 WANT,   "a", 0,   0,   true,  1},
    {1 * SECOND,        ANSWER, "a", 404, -1,  false, 1},
    {2 * SECOND,        WANT,   "a", 0,   0,   false, 1},
    {2 * SECOND,        VOUCH,  "a", 0,   0,   true,  2}, /* a stranger heard that it is not there */
    {2 * SECOND,        WANT,   "a", 0,   0,   true,  2},
    {3 * SECOND,        ANSWER, "a", 404, -1,  false, 2},
    {3 * SECOND,        VOUCH,  "a", 0,   0,   false, 2}, /* now he himself */
    {3 * SECOND,        WANT,   "a", 0,   0,   false, 2},
    {63 * SECOND,       VOUCH,  "a", 0,   0,   true,  3},
    {64 * SECOND,       ANSWER, "a", 200, -1,  false, 3},
    {64 * SECOND,       FIND,   "a", 0,   0,   true,  3},
    {65 * SECOND,       WANT,   "b", 0,   0,   true,  4}, /* he joins a stranger's */
    {65 * SECOND,       VOUCH,  "b", 0,   0,   true,  4},
    {66 * SECOND,       ANSWER, "b", 0,   -1,  false, 4},
    {66 * SECOND,       VOUCH,  "b", 0,   0,   false, 4},
};
static const struct step server_logged_in_cannot_begin[] = {
    {0,                 FAIL_TO_BEGIN, NULL, 0, 0, false, 0},
    {0,                 WANT,   "a", 0,   0,   false, 1},
    {0,                 BEGIN_AGAIN, NULL, 0, 0, false, 1},
    {1 * SECOND,        WANT,   "a", 0,   0,   false, 1},
    {1 * SECOND,        VOUCH,  "a", 0,   0,   true,  2},
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
    PLAY("logged in", KEYS_SERVER, server_logged_in);
    PLAY("logged in, cannot begin", KEYS_SERVER, server_logged_in_cannot_begin);
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

    assert_true(keys_want(keys, "kid/1", &stranger, 0));
    /* printf kid/1 | sha256sum */
    assert_string_equal(fetcher.last, SERVER
                        "/7f3d45f908024e68d64932ba7f285c2fe9aea48b6b5f5bcab37c1ef665bc1b48.pem");
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        assert_true(keys_want(keys, odd[i], &stranger, 0));
        assert_string_equal(fetcher.last, url_of(SERVER, odd[i]));
    }
    memset(long_kid, 'x', sizeof long_kid);
    long_kid[KEYS_KID_MAX + 1] = '\0';
    size_t before = fetcher.count;
    assert_false(keys_want(keys, long_kid, &stranger, 0));
    assert_int_equal(fetcher.count, before);
    long_kid[KEYS_KID_MAX] = '\0';
    assert_true(keys_want(keys, long_kid, &stranger, 0));
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

    assert_true(keys_want(keys, "a", &stranger, 0));
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
        keys_want(keys, kid, &stranger, i);
    }
    assert_int_equal(fetcher.count, 16);
    for (int i = 0; i < 16; i++) {
        snprintf(kid, sizeof kid, "slow-%d", i);
        answer(keys, url_of(SERVER, kid), 404, "", -1, SECOND);
    }
    /* Ten thousand in a minute, each answered at once. */
    for (int i = 0; i < 10000; i++) {
        snprintf(kid, sizeof kid, "fast-%d", i);
        if (keys_want(keys, kid, &stranger, SECOND + i * 6))
            answer(keys, url_of(SERVER, kid), 404, "", -1, SECOND + i * 6);
    }
    first_minute = fetcher.count;
    assert_in_range(first_minute, 55, 61);
    /* Who was known is fetched again whatever strangers do, and one more stranger is heard soon. */
    int64_t now = 2 * HOUR;
    assert_true(keys_want(keys, "honest", &stranger, now));
    answer(keys, url_of(SERVER, "honest"), 200, pem_a, 600, now);
    for (int i = 0; i < 1000; i++) {
        snprintf(kid, sizeof kid, "more-%d", i);
        if (keys_want(keys, kid, &stranger, now))
            answer(keys, url_of(SERVER, kid), 404, "", -1, now);
    }
    assert_false(keys_want(keys, "new", &stranger, now));
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
        if (keys_want(keys, kid, &stranger, 0))
            answer(keys, url_of(SERVER, kid), 404, "", -1, 0);
    }
    assert_int_equal(fetcher.count, 30);
    assert_false(keys_want(keys, "honest", &stranger, 1 * SECOND));
    assert_true(
        keys_want(keys, "honest", &stranger, 2 * SECOND)); /* turned away is not remembered */
    keys_free(keys);
}

/* So many fetches for different kids, each answered at once; how many were begun. */
static size_t flood(struct keys *keys, const struct fetcher *fetcher,
                    const struct keys_asker *asker, int n, int64_t now_ms)
{
    size_t before = fetcher->count;
    char kid[64];

    for (int i = 0; i < n; i++) {
        snprintf(kid, sizeof kid, "%d of %d at %lld", i, asker->place[0], (long long)now_ms);
        if (keys_want(keys, kid, asker, now_ms))
            answer(keys, url_of(SERVER, kid), 404, "", -1, now_ms);
    }
    return fetcher->count - before;
}

static void gives_each_a_share(void **state)
{
    enum { NOWHERE, A, B, C, D, LOGGED_IN_AT_A };
    static const struct keys_asker askers[] = {
        {false, {0}}, {false, {1}}, {false, {2}}, {false, {3}}, {false, {4}}, {true, {1}},
    };
    /* 1000 ask for a kid each. */
    static const struct {
        const char *name;
        int64_t at_ms;
        int asker;
        size_t fetches;
    } steps[] = {
        {"one place", 0, A, 10},
        {"the same again", 0, A, 0},
        {"soon after", 9 * SECOND, A, 0},
        {"one more", 10 * SECOND, A, 1},
        {"another place", 10 * SECOND, B, 10},
        {"a third, and what is common", 10 * SECOND, C, 10},
        {"a fourth finds little of it", 10 * SECOND, D, 4},
        {"nobody knows from where", 10 * SECOND, NOWHERE, 0},
        {"who is logged in", 10 * SECOND, LOGGED_IN_AT_A, 60},
        {"more of them", 10 * SECOND, LOGGED_IN_AT_A, 0},
        {"a second later", 11 * SECOND, LOGGED_IN_AT_A, 1},
        {"strangers have none of it", 11 * SECOND, D, 0},
        {"the common one fills", 12 * SECOND, D, 1},
        {"long after", HOUR, NOWHERE, 30},
        {"and for all places", HOUR, A, 0},
        {"long after that", 2 * HOUR, A, 10},
        {"the clock does not go back", HOUR, A, 0},
    };
    struct fetcher fetcher = {0};
    struct keys *keys = keys_new(KEYS_SERVER, SERVER, &actions, &fetcher);

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        size_t got = flood(keys, &fetcher, &askers[steps[i].asker], 1000, steps[i].at_ms);

        if (got != steps[i].fetches)
            fail_msg("%s: %zu fetches", steps[i].name, got);
    }
    keys_free(keys);
}

/* The table of places is small; none is forgotten that has had much. */
static void knows_who_had_his_share(void **state)
{
    struct fetcher fetcher = {0};
    struct keys *keys = keys_new(KEYS_SERVER, SERVER, &actions, &fetcher);
    struct keys_asker first = {false, {0xff, 0xff}}, other = {0};

    assert_int_equal(flood(keys, &fetcher, &first, 100, 0), 10);
    for (int i = 1; i <= 1000; i++) {
        memcpy(other.place, &i, sizeof i);
        flood(keys, &fetcher, &other, 1, i);
    }
    assert_int_equal(fetcher.count, 30);
    assert_int_equal(flood(keys, &fetcher, &first, 100, 9 * SECOND), 0);
    assert_int_equal(flood(keys, &fetcher, &first, 100, 10 * SECOND), 1);
    for (int i = 1; i <= 1000; i++) {
        memcpy(other.place, &i, sizeof i);
        flood(keys, &fetcher, &other, 1, 10 * SECOND + i * 2 * SECOND);
    }
    assert_int_equal(flood(keys, &fetcher, &first, 100, 3000 * SECOND), 10);
    keys_free(keys);
}

static void keeps_places_for_who_is_logged_in(void **state)
{
    struct fetcher fetcher = {0};
    struct keys *keys = keys_new(KEYS_SERVER, SERVER, &actions, &fetcher);
    char kid[32];
    size_t begun = 0;

    for (int i = 0; i < 100; i++) {
        snprintf(kid, sizeof kid, "slow-%d", i);
        begun += keys_want(keys, kid, &stranger, 0) ? 1 : 0;
    }
    assert_int_equal(begun, 16);
    assert_false(fetcher.last_is_first);
    assert_false(keys_want(keys, "honest", &stranger, 0));
    assert_true(keys_want(keys, "honest", &logged_in, 0));
    assert_true(fetcher.last_is_first);
    assert_true(keys_want(keys, "honest", &stranger, 0));
    assert_int_equal(fetcher.hurried, 0);
    /* One that waits among strangers' is brought forward once, and leaves its place to another. */
    assert_true(keys_want(keys, "slow-7", &logged_in, 0));
    assert_true(keys_want(keys, "slow-7", &logged_in, 0));
    assert_int_equal(fetcher.hurried, 1);
    assert_string_equal(fetcher.last, url_of(SERVER, "slow-7"));
    assert_true(keys_want(keys, "slow-16", &stranger, 0));
    assert_false(keys_want(keys, "slow-17", &stranger, 0));
    /* They have an end too. */
    begun = 0;
    for (int i = 0; i < 100; i++) {
        snprintf(kid, sizeof kid, "new-%d", i);
        begun += keys_want(keys, kid, &logged_in, 0) ? 1 : 0;
    }
    assert_int_equal(begun, 32 - 18);
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
        assert_true(keys_want(keys, kid, &stranger, now));
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
        assert_true(keys_want(keys, kid, &stranger, 0));
        answer(keys, url_of(SERVER, kid), 200, pem_a, 600, 0);
        assert_non_null(keys_find(keys, kid));
    }
    before = fetcher.count;
    keys_tick(keys, 550 * SECOND);
    keys_tick(keys, 551 * SECOND);
    assert_int_equal(fetcher.count, before + 8);
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
        keys_want(keys, "a", &stranger, 0);
        keys_want(keys, "a", &logged_in, 0);
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
        cmocka_unit_test(gives_each_a_share),
        cmocka_unit_test(knows_who_had_his_share),
        cmocka_unit_test(keeps_places_for_who_is_logged_in),
        cmocka_unit_test(keeps_what_is_used),
        cmocka_unit_test(refreshes_a_few_at_a_time),
        cmocka_unit_test(survives_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
