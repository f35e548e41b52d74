/*
 * Somebody who fetches for policy/keys.h and only counts, and answers given by hand.
 */
#pragma once

#include "policy/keys.h"

#include <openssl/sha.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define DOCUMENT "https://keys.example.com/all.json"
#define SERVER "https://keys.example.com/pub"
#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)

/* Who fetches: counts, and remembers the last url. */
struct fetcher {
    size_t count, hurried;
    bool fails, last_is_first;
    char last[512];
};

static inline bool fetch(void *ctx, const char *url, bool is_first)
{
    struct fetcher *fetcher = ctx;

    fetcher->count++;
    snprintf(fetcher->last, sizeof fetcher->last, "%s", url);
    fetcher->last_is_first = is_first;
    return !fetcher->fails;
}

static inline void hurry(void *ctx, const char *url)
{
    struct fetcher *fetcher = ctx;

    fetcher->hurried++;
    snprintf(fetcher->last, sizeof fetcher->last, "%s", url);
}

static const struct keys_actions actions = {fetch, hurry};

static const struct keys_asker stranger;
static const struct keys_asker logged_in = {.is_logged_in = true};

static inline const char *url_of(const char *base, const char *kid)
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

static inline const char *answer(struct keys *keys, const char *url, int status, const char *body,
                          int64_t max_age_s, int64_t now_ms)
{
    const char *problem = NULL;

    keys_fetched(keys, url, status, body, body ? strlen(body) : 0, max_age_s, now_ms, &problem);
    assert_non_null(problem);
    return problem;
}
