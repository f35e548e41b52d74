/*
 * Public keys by kid: what is kept, and when something is fetched.
 *
 * The one thing to know: a kid comes from anybody's token, before anything is verified. So what a
 * client can cause is bounded on every side: an unknown kid is asked for once and then not again
 * for a minute, unknown kids have a budget (keys_budget.c), and none takes the place of a key that
 * is here. And what binds a stranger binds only strangers: who is logged in has a budget and places
 * of his own, and is not told that a key is not there because a stranger was told so. Keys that
 * were good once are fetched again on the clock alone and need no budget.
 */
#include "policy/keys.h"
#include "policy/keys_budget.h"
#include "policy/keys_read.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND INT64_C(1000)
/* An answer that names no age, or an unreasonable one. */
#define AGE_MIN_MS (60 * SECOND)
#define AGE_MAX_MS (24 * 3600 * SECOND)
/* So long before it expires a key is fetched again, or a quarter of its age. */
#define AHEAD_MS (60 * SECOND)
/* After a failure, doubled with each that follows. */
#define RETRY_MIN_MS (5 * SECOND)
#define RETRY_MAX_MS (300 * SECOND)
/* Prosody's module keeps a key that has gone from the document for so long, as tokens signed with
 * it may still be about. */
#define LEAVE_MS (90 * 60 * SECOND)
/* Fetches on their way at a time; of unknown kids so many that nobody logged in asked for. */
#define UNKNOWN_ON_WAY 32
#define STRANGERS_ON_WAY 16
#define REFRESHES_ON_WAY 8
#define ABSENT_SLOTS 1024 /* a power of two */

#define HEX_LEN (2 * SHA256_DIGEST_LENGTH)

struct digest {
    unsigned char bytes[SHA256_DIGEST_LENGTH];
};

/* When to fetch the next time, of one url. */
struct schedule {
    int64_t next_ms;
    unsigned failures; /* since the last success */
    bool is_on_way;
};

struct known {
    char *kid, *pem;
    /* Of a key server's: */
    struct digest digest;
    struct schedule schedule;
    int64_t expires_ms;
    bool has_gone; /* the server says so: it is kept until it expires */
    bool is_used;  /* since it was fetched */
    uint64_t last_use;
    /* Of a document's: */
    bool is_leaving;
    int64_t leaves_ms;
};

/* A kid that is not known, asked for. */
struct unknown {
    bool is_on_way;
    bool is_vouched; /* somebody asked who is logged in */
    char kid[KEYS_KID_MAX + 1];
    struct digest digest;
};

/* A kid the key server had no key for. One with the same slot takes its place. */
struct absent {
    bool is_set;
    bool is_vouched; /* else it holds for strangers only */
    int64_t until_ms;
    struct digest digest;
};

struct keys {
    enum keys_source source;
    char *url; /* of a key server: without a slash at its end */
    const struct keys_actions *actions;
    void *ctx;

    struct known *known; /* KEYS_MAX of them */
    size_t known_len;
    uint64_t uses; /* of keys, counted: orders known by last_use */

    /* Of a document: */
    struct schedule document;
    int64_t fetched_ms; /* when the last fetch began */
    bool was_fetched;

    /* Of a key server: */
    struct unknown unknown[UNKNOWN_ON_WAY];
    struct absent absent[ABSENT_SLOTS];
    struct keys_budget budget;
};

struct keys *keys_new(enum keys_source source, const char *url, const struct keys_actions *actions,
                      void *ctx)
{
    struct keys *keys = calloc(1, sizeof *keys);
    size_t len = strlen(url);

    if (!keys)
        return NULL;
    if (source == KEYS_SERVER)
        while (len > 0 && url[len - 1] == '/')
            len--;
    keys->source = source;
    keys->actions = actions;
    keys->ctx = ctx;
    keys->document.next_ms = INT64_MIN;
    keys->url = strndup(url, len);
    keys->known = calloc(KEYS_MAX, sizeof *keys->known);
    if (!keys->url || !keys->known) {
        keys_free(keys);
        return NULL;
    }
    return keys;
}

static void known_done(struct known *known)
{
    free(known->kid);
    free(known->pem);
}

void keys_free(struct keys *keys)
{
    if (!keys)
        return;
    for (size_t i = 0; i < keys->known_len; i++)
        known_done(&keys->known[i]);
    free(keys->known);
    free(keys->url);
    free(keys);
}

static struct known *find_known(const struct keys *keys, const char *kid)
{
    for (size_t i = 0; i < keys->known_len; i++)
        if (strcmp(keys->known[i].kid, kid) == 0)
            return &keys->known[i];
    return NULL;
}

const char *keys_find(struct keys *keys, const char *kid)
{
    struct known *known = find_known(keys, kid);

    if (!known)
        return NULL;
    known->is_used = true;
    known->last_use = ++keys->uses;
    return known->pem;
}

/* The last one takes its place. */
static void remove_known(struct keys *keys, struct known *known)
{
    known_done(known);
    *known = keys->known[--keys->known_len];
    keys->known[keys->known_len] = (struct known){0};
}

/* Fetching. */

static int64_t age_ms(int64_t max_age_s)
{
    if (max_age_s < 0)
        return KEYS_DEFAULT_MS;
    if (max_age_s > AGE_MAX_MS / SECOND)
        return AGE_MAX_MS;
    return max_age_s * SECOND < AGE_MIN_MS ? AGE_MIN_MS : max_age_s * SECOND;
}

static void schedule_success(struct schedule *schedule, int64_t age, int64_t now_ms)
{
    int64_t ahead = age / 4 < AHEAD_MS ? age / 4 : AHEAD_MS;

    *schedule = (struct schedule){.next_ms = now_ms + age - ahead};
}

static void schedule_failure(struct schedule *schedule, int64_t now_ms)
{
    int64_t delay = RETRY_MIN_MS;

    for (unsigned i = 0; i < schedule->failures && delay < RETRY_MAX_MS; i++)
        delay *= 2;
    if (delay < RETRY_MAX_MS)
        schedule->failures++;
    else
        delay = RETRY_MAX_MS;
    schedule->next_ms = now_ms + delay;
    schedule->is_on_way = false;
}

static void begin_document(struct keys *keys, int64_t now_ms)
{
    keys->was_fetched = true;
    keys->fetched_ms = now_ms;
    keys->document.is_on_way = true;
    if (!keys->actions->fetch(keys->ctx, keys->url, true))
        schedule_failure(&keys->document, now_ms);
}

static struct digest digest_of(const char *kid)
{
    struct digest digest;

    SHA256((const unsigned char *)kid, strlen(kid), digest.bytes);
    return digest;
}

static bool same_digest(const struct digest *a, const struct digest *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

/* NULL when out of memory. */
static char *url_of(const struct keys *keys, const struct digest *digest)
{
    size_t size = strlen(keys->url) + sizeof "/.pem" + HEX_LEN;
    char *url = malloc(size);
    char *end;

    if (!url)
        return NULL;
    end = url + sprintf(url, "%s/", keys->url);
    for (size_t i = 0; i < sizeof digest->bytes; i++)
        end += sprintf(end, "%02x", digest->bytes[i]);
    snprintf(end, sizeof ".pem", ".pem");
    return url;
}

static bool fetch_from_server(struct keys *keys, const struct digest *digest, bool is_first)
{
    char *url = url_of(keys, digest);
    bool has_begun = url && keys->actions->fetch(keys->ctx, url, is_first);

    free(url);
    return has_begun;
}

/* The digest in a url of ours. */
static bool read_url(const struct keys *keys, const char *url, struct digest *ret)
{
    static const char digits[] = "0123456789abcdef";
    size_t base_len = strlen(keys->url);

    if (strncmp(url, keys->url, base_len) != 0 || url[base_len] != '/')
        return false;
    url += base_len + 1;
    if (strlen(url) != HEX_LEN + strlen(".pem"))
        return false;
    for (size_t i = 0; i < sizeof ret->bytes; i++, url += 2) {
        const char *high = strchr(digits, url[0]), *low = strchr(digits, url[1]);

        if (!high || !low)
            return false;
        ret->bytes[i] = (unsigned char)((high - digits) << 4 | (low - digits));
    }
    return strcmp(url, ".pem") == 0;
}

/* Unknown kids. */

static struct absent *absent_slot(struct keys *keys, const struct digest *digest)
{
    return &keys->absent[(digest->bytes[0] << 8 | digest->bytes[1]) & (ABSENT_SLOTS - 1)];
}

static bool is_absent(struct keys *keys, const struct digest *digest,
                      const struct keys_asker *asker, int64_t now_ms)
{
    const struct absent *absent = absent_slot(keys, digest);

    return absent->is_set && same_digest(&absent->digest, digest) && now_ms < absent->until_ms &&
           (absent->is_vouched || !asker->is_logged_in);
}

static void remember_absent(struct keys *keys, const struct digest *digest, bool is_vouched,
                            int64_t now_ms)
{
    *absent_slot(keys, digest) =
        (struct absent){true, is_vouched, now_ms + KEYS_UNKNOWN_MS, *digest};
}

/* Where it waits behind strangers' it does so no longer. Without memory it does. */
static void vouch(struct keys *keys, struct unknown *unknown)
{
    char *url = url_of(keys, &unknown->digest);

    unknown->is_vouched = true;
    if (url)
        keys->actions->hurry(keys->ctx, url);
    free(url);
}

/* Who is turned away for want of budget is not remembered as absent: the next to ask may be lucky,
 * and a kid that many ask for soon is. */
static bool want_of_server(struct keys *keys, const char *kid, const struct keys_asker *asker,
                           int64_t now_ms)
{
    struct digest digest = digest_of(kid);
    struct unknown *place = NULL;
    size_t strangers = 0;

    for (size_t i = 0; i < UNKNOWN_ON_WAY; i++) {
        struct unknown *unknown = &keys->unknown[i];

        if (!unknown->is_on_way) {
            place = unknown;
        } else if (same_digest(&unknown->digest, &digest)) {
            if (asker->is_logged_in && !unknown->is_vouched)
                vouch(keys, unknown);
            return true;
        } else if (!unknown->is_vouched) {
            strangers++;
        }
    }
    if (!place || (!asker->is_logged_in && strangers >= STRANGERS_ON_WAY) ||
        is_absent(keys, &digest, asker, now_ms) ||
        !keys_budget_spend(&keys->budget, asker, KEYS_COST_KEY, now_ms))
        return false;
    snprintf(place->kid, sizeof place->kid, "%s", kid);
    place->digest = digest;
    place->is_vouched = asker->is_logged_in;
    place->is_on_way = true;
    if (fetch_from_server(keys, &digest, asker->is_logged_in))
        return true;
    place->is_on_way = false;
    remember_absent(keys, &digest, asker->is_logged_in, now_ms);
    return false;
}

/* Strangers have it fetched once a minute, whoever they are: with it comes whatever it has. Who is
 * logged in does not wait for that minute to pass, but for that of his kid. */
static bool want_of_document(struct keys *keys, const char *kid, const struct keys_asker *asker,
                             int64_t now_ms)
{
    struct digest digest;

    if (keys->document.is_on_way)
        return true;
    digest = digest_of(kid);
    if (keys->was_fetched && now_ms - keys->fetched_ms < KEYS_UNKNOWN_MS &&
        (!asker->is_logged_in || is_absent(keys, &digest, asker, now_ms) ||
         !keys_budget_spend(&keys->budget, asker, KEYS_COST_DOCUMENT, now_ms)))
        return false;
    if (asker->is_logged_in)
        remember_absent(keys, &digest, true, now_ms);
    begin_document(keys, now_ms);
    return keys->document.is_on_way;
}

bool keys_want(struct keys *keys, const char *kid, const struct keys_asker *asker, int64_t now_ms)
{
    if (strlen(kid) > KEYS_KID_MAX || find_known(keys, kid))
        return false;
    if (keys->source == KEYS_SERVER)
        return want_of_server(keys, kid, asker, now_ms);
    return want_of_document(keys, kid, asker, now_ms);
}

/* Answers. */

static const char *status_problem(int status)
{
    if (status == 0)
        return "no answer";
    if (status == 404 || status == 410)
        return "there is no such file";
    return "the answer's status is not 200";
}

/* Takes pem, and replaces what was used longest ago where there is no room. */
static bool add_known(struct keys *keys, const struct unknown *unknown, char *pem, int64_t age,
                      int64_t now_ms)
{
    char *kid = strdup(unknown->kid);
    struct known *known;

    if (!kid) {
        free(pem);
        return false;
    }
    if (keys->known_len == KEYS_MAX) {
        known = keys->known;
        for (size_t i = 1; i < keys->known_len; i++)
            if (keys->known[i].last_use < known->last_use)
                known = &keys->known[i];
        remove_known(keys, known);
    }
    known = &keys->known[keys->known_len++];
    *known = (struct known){.kid = kid,
                            .pem = pem,
                            .digest = unknown->digest,
                            .expires_ms = now_ms + age,
                            .last_use = ++keys->uses};
    schedule_success(&known->schedule, age, now_ms);
    return true;
}

static void unknown_answered(struct keys *keys, struct unknown *unknown, int status,
                             const char *body, size_t len, int64_t age, int64_t now_ms,
                             const char **ret_problem)
{
    char *pem = NULL;

    unknown->is_on_way = false;
    if (status != 200)
        *ret_problem = status_problem(status);
    else
        pem = keys_read_pem(body, len, ret_problem);
    if (pem && !add_known(keys, unknown, pem, age, now_ms)) {
        *ret_problem = "out of memory";
        pem = NULL;
    }
    if (!pem)
        remember_absent(keys, &unknown->digest, unknown->is_vouched, now_ms);
}

static void known_answered(struct known *known, int status, const char *body, size_t len,
                           int64_t age, int64_t now_ms, const char **ret_problem)
{
    char *pem = NULL;

    if (status != 200)
        *ret_problem = status_problem(status);
    else
        pem = keys_read_pem(body, len, ret_problem);
    if (!pem) {
        /* What is unreadable or does not come may be an accident; this is an answer. */
        known->has_gone = status == 404 || status == 410;
        schedule_failure(&known->schedule, now_ms);
        return;
    }
    free(known->pem);
    known->pem = pem;
    known->has_gone = known->is_used = false;
    known->expires_ms = now_ms + age;
    schedule_success(&known->schedule, age, now_ms);
}

static void server_answered(struct keys *keys, const char *url, int status, const char *body,
                            size_t len, int64_t age, int64_t now_ms, const char **ret_problem)
{
    struct digest digest;

    if (!read_url(keys, url, &digest))
        return;
    for (size_t i = 0; i < UNKNOWN_ON_WAY; i++)
        if (keys->unknown[i].is_on_way && same_digest(&keys->unknown[i].digest, &digest)) {
            unknown_answered(keys, &keys->unknown[i], status, body, len, age, now_ms, ret_problem);
            return;
        }
    for (size_t i = 0; i < keys->known_len; i++)
        if (keys->known[i].schedule.is_on_way && same_digest(&keys->known[i].digest, &digest)) {
            known_answered(&keys->known[i], status, body, len, age, now_ms, ret_problem);
            return;
        }
}

static bool is_listed(const struct known *list, size_t len, const char *kid)
{
    for (size_t i = 0; i < len; i++)
        if (strcmp(list[i].kid, kid) == 0)
            return true;
    return false;
}

/* The new set takes the place of the old; of that remain for a while those that are no longer
 * named. Takes the texts of list. */
static void replace(struct keys *keys, struct known *fresh, struct key_list *list, int64_t now_ms)
{
    size_t len = 0;

    for (size_t i = 0; i < list->len; i++) {
        fresh[len++] = (struct known){.kid = list->items[i].kid, .pem = list->items[i].pem};
        list->items[i] = (struct key_named){0};
    }
    for (size_t i = 0; i < keys->known_len; i++) {
        struct known *old = &keys->known[i];

        if (len == KEYS_MAX || is_listed(fresh, list->len, old->kid)) {
            known_done(old);
            continue;
        }
        if (!old->is_leaving)
            old->leaves_ms = now_ms + LEAVE_MS;
        old->is_leaving = true;
        fresh[len++] = *old;
    }
    free(keys->known);
    keys->known = fresh;
    keys->known_len = len;
}

static void document_answered(struct keys *keys, int status, const char *body, size_t len,
                              int64_t age, int64_t now_ms, const char **ret_problem)
{
    struct key_list list = {0};
    struct known *fresh = NULL;

    if (!keys->document.is_on_way)
        return;
    if (status != 200) {
        *ret_problem = status_problem(status);
    } else if (!(fresh = calloc(KEYS_MAX, sizeof *fresh))) {
        *ret_problem = "out of memory";
    } else if (keys_read_document(body, len, KEYS_MAX, &list, ret_problem) == KEYS_READ_OK) {
        replace(keys, fresh, &list, now_ms);
        key_list_done(&list);
        schedule_success(&keys->document, age, now_ms);
        return;
    }
    free(fresh);
    schedule_failure(&keys->document, now_ms);
}

void keys_fetched(struct keys *keys, const char *url, int status, const char *body, size_t len,
                  int64_t max_age_s, int64_t now_ms, const char **ret_problem)
{
    int64_t age = age_ms(max_age_s);

    *ret_problem = "";
    if (keys->source == KEYS_SERVER)
        server_answered(keys, url, status, body, len, age, now_ms, ret_problem);
    else if (strcmp(url, keys->url) == 0)
        document_answered(keys, status, body, len, age, now_ms, ret_problem);
}

/* The clock. */

/* A key nobody used since it was fetched is not fetched again. */
static bool is_over(const struct keys *keys, const struct known *known, int64_t now_ms)
{
    if (keys->source == KEYS_DOCUMENT)
        return known->is_leaving && now_ms >= known->leaves_ms;
    return now_ms >= known->expires_ms && (known->has_gone || !known->is_used);
}

static void refresh(struct keys *keys, int64_t now_ms)
{
    size_t on_way = 0;

    for (size_t i = 0; i < keys->known_len; i++)
        on_way += keys->known[i].schedule.is_on_way;
    for (size_t i = 0; i < keys->known_len && on_way < REFRESHES_ON_WAY; i++) {
        struct known *known = &keys->known[i];

        if (known->schedule.is_on_way || !known->is_used || now_ms < known->schedule.next_ms)
            continue;
        known->schedule.is_on_way = true;
        if (fetch_from_server(keys, &known->digest, true))
            on_way++;
        else
            schedule_failure(&known->schedule, now_ms);
    }
}

void keys_tick(struct keys *keys, int64_t now_ms)
{
    for (size_t i = keys->known_len; i-- > 0;)
        if (is_over(keys, &keys->known[i], now_ms))
            remove_known(keys, &keys->known[i]);
    if (keys->source == KEYS_SERVER)
        refresh(keys, now_ms);
    else if (!keys->document.is_on_way && now_ms >= keys->document.next_ms)
        begin_document(keys, now_ms);
}
