/*
 * Locks of open file descriptions (fcntl(2), F_OFD_SETLK). What a newcomer gets wrong: one
 * descriptor is one owner, so within this process nothing is ever in the way of anything, and a
 * lock that is set again changes its kind instead of counting.
 */
#include "proxy/fence.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNTS 65536 /* of changes, at the file's beginning; two rooms may share one */
#define LOCKS_FROM ((uint64_t)COUNTS * sizeof(uint64_t))

struct fence {
    int file; /* -1: none */
};

/* The same in every process, and not to be steered by who names a room. Who shares a byte waits for
 * each other now and then, no more. */
static uint64_t hash(const char *room)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    uint64_t sum;

    SHA256((const unsigned char *)room, strlen(room), digest);
    memcpy(&sum, digest, sizeof sum);
    return sum;
}

static off_t count_at(const char *room)
{
    return (off_t)(hash(room) % COUNTS * sizeof(uint64_t));
}

static uint64_t count(const struct fence *fence, const char *room)
{
    uint64_t changes = 0;

    return pread(fence->file, &changes, sizeof changes, count_at(room)) == sizeof changes ? changes
                                                                                          : 0;
}

/* A file system without locks, or a kernel without memory, is in nobody's way. */
bool fence_set(struct fence *fence, const char *room, enum room_fence wanted, uint64_t *ret_changes)
{
    static const short kinds[] = {
        [FENCE_OPEN] = F_UNLCK, [FENCE_SHARED] = F_RDLCK, [FENCE_ALONE] = F_WRLCK};
    struct flock lock = {.l_type = kinds[wanted],
                         .l_whence = SEEK_SET,
                         .l_start = (off_t)(LOCKS_FROM + (hash(room) >> 2)),
                         .l_len = 1};

    if (fence->file < 0)
        return true;
    if (fcntl(fence->file, F_OFD_SETLK, &lock) != 0 && (errno == EAGAIN || errno == EACCES))
        return false;
    if (wanted != FENCE_OPEN)
        *ret_changes = count(fence, room);
    return true;
}

/* Who counts is alone, or was in nobody's way for long: a count lost is a question to Prosody more
 * or one less, at worst. */
uint64_t fence_count_change(struct fence *fence, const char *room)
{
    uint64_t changes;

    if (fence->file < 0)
        return 0;
    changes = count(fence, room) + 1;
    if (pwrite(fence->file, &changes, sizeof changes, count_at(room)) != sizeof changes)
        return 0;
    return changes;
}

struct fence *fence_new(const char *state_file)
{
    struct fence *fence = calloc(1, sizeof *fence);
    char *name = NULL;

    if (!fence)
        return NULL;
    if (asprintf(&name, "%s-rooms", state_file) < 0) {
        free(fence);
        return NULL;
    }
    fence->file = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    free(name);
    return fence;
}

void fence_free(struct fence *fence)
{
    if (!fence)
        return;
    if (fence->file >= 0)
        close(fence->file);
    free(fence);
}
