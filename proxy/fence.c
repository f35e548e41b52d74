/*
 * Locks of open file descriptions (fcntl(2), F_OFD_SETLK). What a newcomer gets wrong: one
 * descriptor is one owner, so within this process nothing is ever in the way of anything, and a
 * lock that is set again changes its kind instead of counting.
 */
#include "proxy/fence.h"

#include "proxy/log.h"
#include "proxy/state_path.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TAG "state"
#define COUNTS 65536 /* of changes, at the file's beginning; two rooms may share one */
#define LOCKS_FROM ((uint64_t)COUNTS * sizeof(uint64_t))
#define CHANGING_FROM (UINT64_C(1) << 62) /* behind all of those */
#define NEXT_FROM (CHANGING_FROM + (UINT64_C(1) << 61))
#define CHECK_MS 2000
/* Numbers of one opening are never those of another. */
#define OPENING_SHIFT 48

struct fence {
    char *state_file; /* as it is configured */
    char *name;
    int file;          /* -1: none */
    uint64_t openings; /* of the file, and looks at one that does not work */
    int64_t check_at;
    char problem[FENCE_PROBLEM_MAX]; /* "": it works */
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

static off_t count_at(uint64_t sum)
{
    return (off_t)(sum % COUNTS * sizeof(uint64_t));
}

static uint64_t count(const struct fence *fence, uint64_t sum)
{
    uint64_t changes = 0;

    return fence->file >= 0 &&
                   pread(fence->file, &changes, sizeof changes, count_at(sum)) == sizeof changes
               ? changes
               : 0;
}

static uint64_t number(const struct fence *fence, uint64_t changes)
{
    return changes + (fence->openings << OPENING_SHIFT);
}

static const char *way_out(int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
        return "make its folder, writable for this user";
    case EACCES:
    case EPERM:
    case EROFS:
        return "let this user write to it and its folder";
    case EISDIR:
        return "move it away, a new one is made then";
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EIO:
        return "is there room on its disk?";
    case EMFILE:
    case ENFILE:
        return "raise LimitNOFILE or ulimit -n";
    default:
        return "is its disk a local one?";
    }
}

/* Said when it changes. */
static void fails(struct fence *fence, const char *doing, int error)
{
    char problem[FENCE_PROBLEM_MAX];

    snprintf(problem, sizeof problem, "%s: %s", doing, strerror(error));
    if (strcmp(problem, fence->problem) == 0)
        return;
    memcpy(fence->problem, problem, sizeof problem);
    log_line(
        LOG_LEVEL_WARN, TAG,
        "%s %s; instances no longer keep out of each other's rooms, and who joins by one while "
        "another turns the lobby on may be thrown out (a single instance loses nothing); %s",
        fence->name, problem, way_out(error));
}

static void works(struct fence *fence)
{
    if (fence->problem[0])
        log_line(LOG_LEVEL_INFO, TAG, "%s works again: instances keep out of each other's rooms",
                 fence->name);
    fence->problem[0] = '\0';
}

/* Room for the counts is had now or never: later nobody could be told of a change. Not by
 * posix_fallocate, which may write over counts where the file system has no such thing. */
static bool reserve(struct fence *fence)
{
    struct stat is;

    if (fstat(fence->file, &is) == 0 && (uint64_t)is.st_size >= LOCKS_FROM)
        return true;
    if (fallocate(fence->file, 0, 0, (off_t)LOCKS_FROM) == 0 || errno == EOPNOTSUPP)
        return true;
    fails(fence, "cannot be written", errno);
    return false;
}

/* Both on what is no room's: behind the counts, and before the rooms' bytes. */
static bool try_out(struct fence *fence)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_len = 1};
    uint64_t nothing = 0;
    bool is_locked = fcntl(fence->file, F_OFD_SETLK, &lock) == 0;

    if (!is_locked) {
        fails(fence, "cannot be locked", errno);
        return false;
    }
    lock.l_type = F_UNLCK;
    (void)fcntl(fence->file, F_OFD_SETLK, &lock);
    if (!reserve(fence))
        return false;
    if (pwrite(fence->file, &nothing, sizeof nothing, (off_t)LOCKS_FROM) == sizeof nothing)
        return true;
    fails(fence, "cannot be written", errno);
    return false;
}

/* A symbolic link may lead elsewhere than before. Out of memory: the name stays. */
static void find_name(struct fence *fence)
{
    char *state_file = state_path_resolve(fence->state_file);
    char *name = NULL;

    if (state_file && asprintf(&name, "%s-rooms", state_file) >= 0) {
        free(fence->name);
        fence->name = name;
    }
    free(state_file);
}

/* Where there is no other, the one that is open stays in use: others may still have it too. */
static bool open_file(struct fence *fence)
{
    int file = open(fence->name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (file < 0) {
        fails(fence, "cannot be opened", errno);
        return false;
    }
    if (fence->file >= 0)
        close(fence->file);
    fence->file = file;
    return true;
}

static bool is_in_place(struct fence *fence)
{
    find_name(fence);
    return fence->file >= 0 && !state_path_leads_elsewhere(fence->name, fence->file);
}

bool fence_tick(struct fence *fence, int64_t now)
{
    bool had_problem = fence->problem[0] != '\0';
    bool is_another;

    if (now < fence->check_at)
        return false;
    fence->check_at = now + CHECK_MS;
    is_another = !is_in_place(fence);
    if (!is_another && !had_problem)
        return false;
    /* While it does not work nobody is told of changes: what is known grows old by itself. */
    fence->openings++;
    if ((is_another && !open_file(fence)) || !try_out(fence))
        return false;
    if (!had_problem)
        log_line(LOG_LEVEL_WARN, TAG, "%s was moved or removed: it is opened anew", fence->name);
    works(fence);
    return true;
}

static struct flock room_lock(short type, uint64_t at)
{
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)at, .l_len = 1};
}

/* A room has a second byte, locked by who is telling Prosody. */
static struct flock changing_lock(short type, uint64_t sum)
{
    return room_lock(type, CHANGING_FROM + (sum >> 3));
}

/* And a third, by who is next to be alone, or is: those who share it come and go and would never
 * all be gone. */
static struct flock next_lock(short type, uint64_t sum)
{
    return room_lock(type, NEXT_FROM + (sum >> 3));
}

static bool is_locked(const struct fence *fence, struct flock lock)
{
    return fence->file >= 0 && fcntl(fence->file, F_OFD_GETLK, &lock) == 0 &&
           lock.l_type != F_UNLCK;
}

/* False: another has it. A file system without locks, or a kernel without memory, is in nobody's
 * way. */
static bool set_lock(struct fence *fence, struct flock lock)
{
    if (fence->file < 0 || fcntl(fence->file, F_OFD_SETLK, &lock) == 0)
        return true;
    if (errno == EAGAIN || errno == EACCES)
        return false;
    fails(fence, "cannot be locked", errno);
    return true;
}

bool fence_set(struct fence *fence, const char *room, enum room_fence wanted, uint64_t *ret_changes)
{
    static const short kinds[] = {[FENCE_OPEN] = F_UNLCK,
                                  [FENCE_SHARED] = F_RDLCK,
                                  [FENCE_NEXT] = F_RDLCK,
                                  [FENCE_ALONE] = F_WRLCK,
                                  [FENCE_CHANGING] = F_WRLCK};
    const uint64_t sum = hash(room);
    bool is_next = wanted >= FENCE_NEXT;
    bool is_had;

    if (is_next ? !set_lock(fence, next_lock(F_WRLCK, sum))
                : wanted == FENCE_SHARED && is_locked(fence, next_lock(F_RDLCK, sum)))
        return false;
    (void)set_lock(fence, changing_lock(wanted == FENCE_CHANGING ? F_WRLCK : F_UNLCK, sum));
    is_had = set_lock(fence, room_lock(kinds[wanted], LOCKS_FROM + (sum >> 2)));
    if (!is_next)
        (void)set_lock(fence, next_lock(F_UNLCK, sum));
    if (!is_had && wanted != FENCE_CHANGING)
        return false;
    if (wanted != FENCE_OPEN)
        *ret_changes = number(fence, count(fence, sum));
    return true;
}

bool fence_is_changing(struct fence *fence, const char *room, uint64_t *ret_changes)
{
    const uint64_t sum = hash(room);

    *ret_changes = number(fence, count(fence, sum));
    return is_locked(fence, changing_lock(F_RDLCK, sum));
}

/* Who counts is alone, or was in nobody's way for long: a count lost is a question to Prosody more
 * or one less, at worst. */
uint64_t fence_count_change(struct fence *fence, const char *room)
{
    const uint64_t sum = hash(room);
    uint64_t changes = count(fence, sum);

    if (fence->file < 0)
        return number(fence, 0);
    changes++;
    if (pwrite(fence->file, &changes, sizeof changes, count_at(sum)) != sizeof changes) {
        fails(fence, "cannot be written", errno);
        return number(fence, changes - 1);
    }
    return number(fence, changes);
}

const char *fence_problem(const struct fence *fence)
{
    return fence->problem;
}

struct fence *fence_new(const char *state_file)
{
    struct fence *fence = calloc(1, sizeof *fence);

    if (!fence)
        return NULL;
    fence->file = -1;
    fence->state_file = strdup(state_file);
    if (fence->state_file)
        find_name(fence);
    if (!fence->name) {
        fence_free(fence);
        return NULL;
    }
    if (open_file(fence))
        (void)try_out(fence);
    return fence;
}

void fence_free(struct fence *fence)
{
    if (!fence)
        return;
    if (fence->file >= 0)
        close(fence->file);
    free(fence->state_file);
    free(fence->name);
    free(fence);
}
