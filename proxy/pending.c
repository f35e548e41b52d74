/*
 * The table of requests. Its callbacks may add to it, so an entry is always taken out before its
 * waiter is told.
 */
#include "proxy/pending.h"

#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct entry {
    char *id, *from;
    uint64_t serial;
    int64_t deadline;
    pending_callback callback;
    void *ctx;
    UT_hash_handle hh;
};

struct pending {
    struct entry *entries; /* in the order they were added */
    uint64_t last_serial;
};

struct pending *pending_new(void)
{
    return calloc(1, sizeof(struct pending));
}

static void entry_free(struct entry *e)
{
    free(e->id);
    free(e->from);
    free(e);
}

void pending_free(struct pending *p)
{
    struct entry *e, *next;

    if (!p)
        return;
    HASH_ITER(hh, p->entries, e, next)
    {
        HASH_DEL(p->entries, e);
        entry_free(e);
    }
    free(p);
}

bool pending_add(struct pending *p, const char *id, const char *from, int64_t deadline,
                 pending_callback callback, void *ctx)
{
    struct entry *e = pending_count(p) < PENDING_MAX ? calloc(1, sizeof *e) : NULL;

    if (!e)
        return false;
    e->id = strdup(id);
    e->from = strdup(from);
    if (!e->id || !e->from) {
        entry_free(e);
        return false;
    }
    e->deadline = deadline;
    e->callback = callback;
    e->ctx = ctx;
    HASH_ADD_KEYPTR(hh, p->entries, e->id, strlen(e->id), e);
    if (!e->hh.tbl) { /* no memory for the table */
        entry_free(e);
        return false;
    }
    e->serial = ++p->last_serial;
    return true;
}

const char *pending_from(const struct pending *p, const char *id)
{
    struct entry *e = NULL;

    HASH_FIND_STR(p->entries, id, e);
    return e ? e->from : NULL;
}

static void tell(struct pending *p, struct entry *e, enum answer_status status,
                 const struct element *answer)
{
    HASH_DEL(p->entries, e);
    e->callback(e->ctx, status, answer);
    entry_free(e);
}

void pending_answer(struct pending *p, const char *id, enum answer_status status,
                    const struct element *answer)
{
    struct entry *e = NULL;

    HASH_FIND_STR(p->entries, id, e);
    if (e)
        tell(p, e, status, answer);
}

bool pending_forget(struct pending *p, const char *id)
{
    struct entry *e = NULL;

    HASH_FIND_STR(p->entries, id, e);
    if (!e)
        return false;
    HASH_DEL(p->entries, e);
    entry_free(e);
    return true;
}

/* The oldest, unless it was added after serial: what is added by those who are being told waits for
 * another time, or one who asks again at once would keep us for ever. */
static struct entry *oldest(const struct pending *p, uint64_t serial)
{
    return p->entries && p->entries->serial <= serial ? p->entries : NULL;
}

/* All have the same time to live, so the oldest is due first. */
void pending_tick(struct pending *p, int64_t now)
{
    const uint64_t last = p->last_serial;

    while (oldest(p, last) && p->entries->deadline <= now)
        tell(p, p->entries, ANSWER_TIMEOUT, NULL);
}

void pending_lose_all(struct pending *p)
{
    const uint64_t last = p->last_serial;

    while (oldest(p, last))
        tell(p, p->entries, ANSWER_LOST, NULL);
}

size_t pending_count(const struct pending *p)
{
    return HASH_COUNT(p->entries);
}
