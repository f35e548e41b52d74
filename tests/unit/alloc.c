/*
 * See alloc.h. Live blocks are kept in a table of addresses rather than in headers in front of the
 * blocks: a block may be freed by a shared library, or come from one and be freed here, and under
 * AddressSanitizer each must stay exactly what the allocator returned.
 */
#include "tests/unit/alloc.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_BITS 17
#define TABLE_SIZE ((size_t)1 << TABLE_BITS)

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t len);
void __real_free(void *block);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t len);
void __wrap_free(void *block);

static uintptr_t table[TABLE_SIZE]; /* open addressing; 0 is an empty place */
static size_t live;
static bool tracking;

static long fail_countdown = -1; /* below zero: no failure asked for */
static bool fail_hit;

static size_t table_home(uintptr_t key)
{
    return (size_t)(((uint64_t)key * UINT64_C(0x9e3779b97f4a7c15)) >> (64 - TABLE_BITS));
}

static size_t table_place(uintptr_t key)
{
    size_t i = table_home(key);
    while (table[i] != 0 && table[i] != key)
        i = (i + 1) & (TABLE_SIZE - 1);
    return i;
}

static void *remember(void *block)
{
    if (!tracking || block == NULL)
        return block;
    size_t i = table_place((uintptr_t)block);
    /* It may be known already: a shared library freed the earlier block behind our back. */
    if (table[i] == 0) {
        if (++live > TABLE_SIZE / 2) {
            fprintf(stderr, "alloc: more live blocks than the table holds\n");
            abort();
        }
        table[i] = (uintptr_t)block;
    }
    return block;
}

static void forget(uintptr_t key)
{
    if (!tracking || key == 0)
        return;
    size_t hole = table_place(key);
    if (table[hole] == 0)
        return;
    live--;
    /* Close the gap, so that a search never stops short of a key behind it. */
    for (size_t i = (hole + 1) & (TABLE_SIZE - 1); table[i] != 0; i = (i + 1) & (TABLE_SIZE - 1)) {
        size_t home = table_home(table[i]);
        if (((i - home) & (TABLE_SIZE - 1)) >= ((i - hole) & (TABLE_SIZE - 1))) {
            table[hole] = table[i];
            hole = i;
        }
    }
    table[hole] = 0;
}

static bool fails_now(void)
{
    if (fail_countdown < 0)
        return false;
    if (fail_countdown-- > 0)
        return false;
    fail_hit = true;
    errno = ENOMEM;
    return true;
}

void alloc_track_on(void)
{
    alloc_track_off();
    tracking = true;
}

void alloc_track_off(void)
{
    tracking = false;
    if (live > 0)
        memset(table, 0, sizeof(table));
    live = 0;
}

long alloc_live(void)
{
    return (long)live;
}

void alloc_fail_after(long n)
{
    fail_countdown = n;
    fail_hit = false;
}

void alloc_fail_off(void)
{
    fail_countdown = -1;
}

bool alloc_failed(void)
{
    return fail_hit;
}

void *__wrap_malloc(size_t size)
{
    return fails_now() ? NULL : remember(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails_now() ? NULL : remember(__real_calloc(count, size));
}

void *__wrap_realloc(void *block, size_t size)
{
    if (fails_now())
        return NULL;
    uintptr_t old = (uintptr_t)block; /* as a number: it may not be looked at once it is gone */
    void *moved = __real_realloc(block, size);
    if (moved != NULL) {
        forget(old);
        remember(moved);
    }
    return moved;
}

char *__wrap_strdup(const char *text)
{
    return fails_now() ? NULL : remember(__real_strdup(text));
}

char *__wrap_strndup(const char *text, size_t len)
{
    return fails_now() ? NULL : remember(__real_strndup(text, len));
}

void __wrap_free(void *block)
{
    forget((uintptr_t)block);
    __real_free(block);
}
