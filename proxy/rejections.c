/*
 * Refusals, counted. What a newcomer gets wrong: an address's minute begins with its first refusal,
 * so that whoever comes back all the time is told of once a minute, and who comes once is
 * forgotten.
 */
#include "proxy/rejections.h"

#include "proxy/log.h"
#include "proxy/peers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#define TAG "door"

struct refused {
    struct in6_addr network;
    int64_t since;
    bool told[REJECTION_COUNT];
    uint32_t more[REJECTION_COUNT]; /* not told yet */
    UT_hash_handle hh;
};

struct rejections {
    struct refused *table;
    struct refused others; /* who has no place in the table */
    bool has_others;
    uint64_t totals[REJECTION_COUNT];
};

const char *rejection_name(enum rejection kind)
{
    static const char *const names[] = {
#define REJECTION_NAME(name, text) text,
        REJECTIONS(REJECTION_NAME)
#undef REJECTION_NAME
#define CLOSE_NAME(name, ordinary, refusal, code, error, text) #name,
            CLOSE_REASONS(CLOSE_NAME)
#undef CLOSE_NAME
    };

    return names[kind];
}

enum rejection rejection_of_status(int status)
{
    for (unsigned kind = 0; kind < REJECTION_HTTP_OTHER; kind++) {
        if (atoi(rejection_name((enum rejection)kind) + strlen("http_")) == status)
            return (enum rejection)kind;
    }
    return REJECTION_HTTP_OTHER;
}

struct rejections *rejections_new(void)
{
    return calloc(1, sizeof(struct rejections));
}

static void forget(struct rejections *r, struct refused *e)
{
    HASH_DEL(r->table, e);
    free(e);
}

void rejections_free(struct rejections *r)
{
    struct refused *e, *next;

    if (!r)
        return;
    HASH_ITER(hh, r->table, e, next)
    {
        forget(r, e);
    }
    free(r);
}

static struct refused *add(struct rejections *r, const struct in6_addr *network, int64_t now)
{
    struct refused *e;

    if (HASH_COUNT(r->table) >= REJECTIONS_ADDRESSES_MAX)
        return NULL;
    e = calloc(1, sizeof *e);
    if (!e)
        return NULL;
    e->network = *network;
    e->since = now;
    HASH_ADD(hh, r->table, network, sizeof e->network, e);
    if (!e->hh.tbl) { /* no memory for the table */
        free(e);
        return NULL;
    }
    return e;
}

/* Where this address is counted. */
static struct refused *find(struct rejections *r, const struct in6_addr *address, int64_t now)
{
    const struct in6_addr network = peer_network(address);
    struct refused *e = NULL;

    HASH_FIND(hh, r->table, &network, sizeof network, e);
    if (!e)
        e = add(r, &network, now);
    if (e)
        return e;
    if (!r->has_others)
        r->others = (struct refused){.since = now};
    r->has_others = true;
    return &r->others;
}

void rejections_count(struct rejections *r, enum rejection kind)
{
    r->totals[kind]++;
}

bool rejections_note(struct rejections *r, const struct in6_addr *address, enum rejection kind,
                     int64_t now)
{
    struct refused *e = find(r, address, now);

    rejections_count(r, kind);
    if (!e->told[kind]) {
        e->told[kind] = true;
        return true;
    }
    if (e->more[kind] < UINT32_MAX)
        e->more[kind]++;
    return false;
}

/* One line: where from (NULL: everybody), and how many of each kind. None where there were none. */
static void tell(const char *message, const char *from, const uint64_t counts[REJECTION_COUNT])
{
    struct log_field fields[REJECTION_COUNT + 2] = {{"from", from, false}};
    char numbers[REJECTION_COUNT][24];
    size_t len = 1;

    for (unsigned kind = 0; kind < REJECTION_COUNT; kind++) {
        if (counts[kind] == 0)
            continue;
        snprintf(numbers[kind], sizeof numbers[kind], "%llu", (unsigned long long)counts[kind]);
        fields[len++] =
            (struct log_field){rejection_name((enum rejection)kind), numbers[kind], true};
    }
    if (len > 1)
        log_fields(LOG_LEVEL_INFO, TAG, message, fields);
}

static void tell_more(const struct refused *e, const char *from)
{
    uint64_t counts[REJECTION_COUNT];

    for (unsigned kind = 0; kind < REJECTION_COUNT; kind++)
        counts[kind] = e->more[kind];
    tell("refused again within a minute:", from, counts);
}

static void tell_address(const struct refused *e)
{
    char from[PEER_NETWORK_TEXT_MAX];

    peer_network_text(&e->network, from, sizeof from);
    tell_more(e, from);
}

void rejections_tick(struct rejections *r, int64_t now)
{
    struct refused *e, *next;

    HASH_ITER(hh, r->table, e, next)
    {
        if (now - e->since < REJECTIONS_MINUTE_MS)
            continue;
        tell_address(e);
        forget(r, e);
    }
    if (r->has_others && now - r->others.since >= REJECTIONS_MINUTE_MS) {
        tell_more(&r->others, "others");
        r->has_others = false;
    }
}

void rejections_finish(struct rejections *r)
{
    struct refused *e, *next;

    HASH_ITER(hh, r->table, e, next)
    {
        tell_address(e);
        forget(r, e);
    }
    if (r->has_others)
        tell_more(&r->others, "others");
    r->has_others = false;
    tell("refused since start:", NULL, r->totals);
}

uint64_t rejections_total(const struct rejections *r, enum rejection kind)
{
    return r->totals[kind];
}
