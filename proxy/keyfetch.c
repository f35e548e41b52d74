/*
 * See keyfetch.h. When to fetch what is policy/keys.c's to say; here it is done and told.
 *
 * What a newcomer gets wrong: anybody can make us ask for a key by naming one in a token, so what
 * is under way and what is logged stay bounded whatever comes, and strangers' requests wait for all
 * others, which have connections of their own should those be slow to answer. A failure that lasts
 * is one line, not one for each attempt.
 */
#include "proxy/keyfetch.h"

#include "certs/tls.h"
#include "policy/keys.h"
#include "proxy/httpget.h"
#include "proxy/log.h"
#include "proxy/stream.h"

#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TAG "keys"
#define FETCHES_AT_ONCE 8
#define STRANGERS_AT_ONCE 4 /* of them, those that are not first */
#define FETCHES_MAX 64      /* those that wait for their turn included; keys.c asks for fewer */
#define FETCH_LIMIT_MS 10000

struct fetch {
    struct keyfetch *owner;
    struct httpget *get; /* NULL while it waits */
    bool is_first;
    struct fetch *next;
    char url[]; /* as asked for */
};

struct keyfetch {
    struct proxy *proxy;
    struct keys *keys;
    enum keys_source source;
    struct httpget_target target;
    char *host, *authority; /* target's: a configuration does not last as long */
    struct fetch *fetches;  /* in the order asked for */
    size_t len;
    bool is_stopped;
    bool has_fetched; /* something, once: there are old keys to keep */
    bool is_failing;  /* said once for each reason, until an answer comes */
    size_t failures;
    char reason[128];                           /* the last one said */
    const char *problem;                        /* the last one said; a fixed phrase */
    unsigned char digest[SHA256_DIGEST_LENGTH]; /* of the last document */
};

/* Behind the host: keys.c only adds to what the configuration names. */
static const char *path_of(const char *url)
{
    const char *path = strchr(strstr(url, "://") + 3, '/');

    return path ? path : "/";
}

static void fetch_drop(struct keyfetch *f, struct fetch *fetch)
{
    struct fetch **link = &f->fetches;

    while (*link != fetch)
        link = &(*link)->next;
    *link = fetch->next;
    f->len--;
    free(fetch);
}

/* What is logged. */

static bool is_new_document(struct keyfetch *f, const struct httpget_answer *answer)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];

    SHA256((const unsigned char *)answer->body, answer->len, digest);
    if (memcmp(digest, f->digest, sizeof digest) == 0)
        return false;
    memcpy(f->digest, digest, sizeof digest);
    return true;
}

static void log_fetched(struct keyfetch *f, const char *url, const struct httpget_answer *answer)
{
    bool is_news = f->source == KEYS_SERVER || is_new_document(f, answer) || f->is_failing;
    char failures[24], max_age[24];

    snprintf(failures, sizeof failures, "%zu", f->failures);
    snprintf(max_age, sizeof max_age, "%lld", (long long)answer->max_age_s);
    log_event(is_news ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, TAG, "public keys fetched", {"url", url},
              {"max_age_s", answer->max_age_s >= 0 ? max_age : NULL, true},
              {"failed_before", f->is_failing ? failures : NULL, true});
    f->is_failing = false;
    f->failures = 0;
    f->has_fetched = true;
}

/* The answer came and something in it is of no use. */
static void log_problem(struct keyfetch *f, const char *url, const char *problem)
{
    bool is_news = f->source == KEYS_SERVER || !f->problem || strcmp(f->problem, problem) != 0;

    f->problem = problem;
    log_event(is_news ? LOG_LEVEL_WARN : LOG_LEVEL_DEBUG, TAG,
              "what was fetched as public keys is not all of use", {"url", url},
              {"problem", problem});
}

/* A key server that says so works: what is wrong is the token. How often it is asked is bounded, so
 * each is told. */
static bool is_no_such_key(const struct keyfetch *f, int status)
{
    return f->source == KEYS_SERVER && (status == 403 || status == 404 || status == 410);
}

static void log_no_such_key(const char *url, int status)
{
    char number[24];

    snprintf(number, sizeof number, "%d", status);
    log_event(LOG_LEVEL_INFO, TAG, "the key server has no such key", {"url", url},
              {"status", number, true});
}

static void log_failed(struct keyfetch *f, const char *url, const struct httpget_answer *answer)
{
    char status[24], reason[sizeof f->reason];
    bool is_news;

    snprintf(status, sizeof status, "%d", answer->status);
    snprintf(reason, sizeof reason, "%s %s", status, answer->problem);
    is_news = !f->is_failing || strcmp(reason, f->reason) != 0;
    memcpy(f->reason, reason, sizeof f->reason);
    log_event(is_news ? LOG_LEVEL_WARN : LOG_LEVEL_DEBUG, TAG,
              f->has_fetched ? "public keys cannot be fetched; those that are here stay in use"
                             : "public keys cannot be fetched; tokens that need them open nothing",
              {"url", url}, {"status", answer->status ? status : NULL, true},
              {"problem", answer->problem[0] ? answer->problem : NULL});
    f->is_failing = true;
    f->failures++;
}

/* A query may be a key to the server. */
static void show_url(char *ret, size_t ret_size, const char *url)
{
    size_t len = strcspn(url, "?");

    snprintf(ret, ret_size, "%.*s%s", (int)len, url, url[len] ? "?..." : "");
}

static void tell(struct keyfetch *f, const char *url, const struct httpget_answer *answer)
{
    const char *problem = "";
    char shown[LOG_FIELD_MAX];

    show_url(shown, sizeof shown, url);
    keys_fetched(f->keys, url, answer->status, answer->body, answer->len, answer->max_age_s,
                 loop_now(f->proxy->loop), &problem);
    if (is_no_such_key(f, answer->status)) {
        log_no_such_key(shown, answer->status);
    } else if (answer->status != 200) {
        log_failed(f, shown, answer);
    } else if (problem[0]) {
        log_problem(f, shown, problem);
    } else {
        f->problem = NULL;
        log_fetched(f, shown, answer);
    }
    streams_keys_changed(f->proxy);
}

/* Requests. */

static void on_done(void *owner, const struct httpget_answer *answer);

static bool begin(struct keyfetch *f, struct fetch *fetch)
{
    fetch->get = httpget_new(f->proxy->loop, &f->target, path_of(fetch->url), KEYS_BODY_MAX,
                             FETCH_LIMIT_MS, on_done, fetch);
    return fetch->get != NULL;
}

static bool may_begin(const struct keyfetch *f, bool is_first)
{
    size_t all = 0, strangers = 0;

    for (const struct fetch *fetch = f->fetches; fetch; fetch = fetch->next) {
        all += fetch->get ? 1 : 0;
        strangers += fetch->get && !fetch->is_first ? 1 : 0;
    }
    return all < FETCHES_AT_ONCE && (is_first || strangers < STRANGERS_AT_ONCE);
}

static struct fetch *next_waiting(const struct keyfetch *f, bool is_first)
{
    struct fetch *fetch = f->fetches;

    while (fetch && (fetch->get || fetch->is_first != is_first))
        fetch = fetch->next;
    return fetch && may_begin(f, is_first) ? fetch : NULL;
}

/* Whose turn has come. Telling may ask for more, so the list is looked at anew each time. */
static void begin_waiting(struct keyfetch *f)
{
    static const struct httpget_answer no_memory = {.max_age_s = -1, .problem = "out of memory"};

    while (!f->is_stopped) {
        struct fetch *fetch = next_waiting(f, true);

        if (!fetch)
            fetch = next_waiting(f, false);
        if (!fetch)
            return;
        if (begin(f, fetch))
            continue;
        tell(f, fetch->url, &no_memory);
        fetch_drop(f, fetch);
    }
}

static void on_done(void *owner, const struct httpget_answer *answer)
{
    struct fetch *fetch = owner;
    struct keyfetch *f = fetch->owner;

    tell(f, fetch->url, answer);
    fetch_drop(f, fetch);
    begin_waiting(f);
}

static bool on_fetch(void *ctx, const char *url, bool is_first)
{
    struct keyfetch *f = ctx;
    struct fetch *fetch, **last = &f->fetches;

    if (f->is_stopped || f->len >= FETCHES_MAX)
        return false;
    fetch = calloc(1, sizeof *fetch + strlen(url) + 1);
    if (!fetch)
        return false;
    fetch->owner = f;
    fetch->is_first = is_first;
    memcpy(fetch->url, url, strlen(url) + 1);
    while (*last)
        last = &(*last)->next;
    *last = fetch;
    f->len++;
    if (!may_begin(f, is_first) || begin(f, fetch))
        return true;
    fetch_drop(f, fetch);
    return false;
}

static void on_hurry(void *ctx, const char *url)
{
    struct keyfetch *f = ctx;
    struct fetch *fetch = f->fetches;

    while (fetch && strcmp(fetch->url, url) != 0)
        fetch = fetch->next;
    if (!fetch)
        return;
    fetch->is_first = true;
    /* It waits only while others are under way: where it cannot be begun, their end tries again. */
    if (!fetch->get && !f->is_stopped && may_begin(f, true))
        begin(f, fetch);
}

static const struct keys_actions actions = {.fetch = on_fetch, .hurry = on_hurry};

bool keyfetch_load_tls(const struct config *config, struct ssl_ctx_st **ret)
{
    char error[256];

    *ret = NULL;
    if (!config->keys.tls || !(config->keys.key_server || config->keys.keys_url))
        return true;
    *ret = tls_client_new(config->keys.ca_file, config->keys.host, error, sizeof error);
    if (!*ret)
        log_line(LOG_LEVEL_ERROR, TAG, "public keys: %s", error);
    return *ret != NULL;
}

/* Requests under way hold on to the one they began with. */
void keyfetch_swap_tls(struct keyfetch *f, struct ssl_ctx_st *tls)
{
    SSL_CTX_free(f->target.conn.tls);
    f->target.conn.tls = tls;
}

bool keyfetch_new(struct proxy *proxy, const struct config *config, struct keyfetch **ret)
{
    const char *url = config->keys.key_server ? config->keys.key_server : config->keys.keys_url;
    struct keyfetch *f;
    bool is_told = false;

    *ret = NULL;
    if (!url)
        return true;
    f = calloc(1, sizeof *f);
    if (!f)
        goto failed;
    f->proxy = proxy;
    f->source = config->keys.key_server ? KEYS_SERVER : KEYS_DOCUMENT;
    f->host = strdup(config->keys.host);
    f->authority = strdup(config->keys.authority);
    if (!f->host || !f->authority)
        goto failed;
    f->target = (struct httpget_target){.conn = {.host = f->host, .port = config->keys.port},
                                        .authority = f->authority};
    is_told = !keyfetch_load_tls(config, &f->target.conn.tls);
    if (is_told)
        goto failed;
    f->keys = keys_new(f->source, url, &actions, f);
    if (f->keys) {
        *ret = f;
        return true;
    }
failed:
    keyfetch_free(f);
    if (!is_told)
        log_line(LOG_LEVEL_ERROR, TAG, "public keys: out of memory");
    return false;
}

void keyfetch_use(struct proxy *proxy, struct keyfetch *f)
{
    struct keyfetch *former = proxy->keyfetch;

    proxy->keyfetch = f;
    proxy->keys = f ? f->keys : NULL;
    keyfetch_free(former);
    streams_keys_changed(proxy);
}

void keyfetch_stop(struct keyfetch *f)
{
    if (!f)
        return;
    f->is_stopped = true;
    while (f->fetches) {
        httpget_cancel(f->fetches->get);
        fetch_drop(f, f->fetches);
    }
}

void keyfetch_free(struct keyfetch *f)
{
    if (!f)
        return;
    keyfetch_stop(f);
    keys_free(f->keys);
    SSL_CTX_free(f->target.conn.tls);
    free(f->host);
    free(f->authority);
    free(f);
}

void keyfetch_tick(struct keyfetch *f, int64_t now)
{
    if (f && !f->is_stopped)
        keys_tick(f->keys, now);
}
