/*
 * Paths to the state file. What a newcomer gets wrong: SQLite follows symbolic links before it
 * names its own files, also one whose target is still to be made.
 */
#include "proxy/state_path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINKS_MAX 16

/* "" where it is the working folder's. */
static size_t folder_len(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? (size_t)(slash - path) + 1 : 0;
}

/* Its folder's path, and what name says behind that. */
static char *resolve_folder(const char *path)
{
    size_t len = folder_len(path);
    char *folder = len ? strndup(path, len) : strdup(".");
    char *real, *resolved = NULL;

    if (!folder)
        return NULL;
    real = realpath(folder, NULL);
    if (!real)
        resolved = errno == ENOMEM ? NULL : strdup(path);
    else if (asprintf(&resolved, "%s/%s", strcmp(real, "/") == 0 ? "" : real, path + len) < 0)
        resolved = NULL;
    free(folder);
    free(real);
    return resolved;
}

/* Where the link leads; path itself when it is none. Takes path. */
static char *follow(char *path, bool *ret_is_link)
{
    char target[PATH_MAX];
    ssize_t len = readlink(path, target, sizeof target - 1);
    char *next = NULL;

    *ret_is_link = len > 0;
    if (len <= 0)
        return path;
    target[len] = '\0';
    if (asprintf(&next, "%.*s%s", target[0] == '/' ? 0 : (int)folder_len(path), path, target) < 0)
        next = NULL;
    free(path);
    return next;
}

char *state_path_resolve(const char *name)
{
    char *path = realpath(name, NULL);
    char *resolved;
    bool is_link = true;

    if (path || errno == ENOMEM)
        return path;
    path = strdup(name);
    for (int i = 0; path && is_link && i < LINKS_MAX; i++)
        path = follow(path, &is_link);
    resolved = path ? resolve_folder(path) : NULL;
    free(path);
    return resolved;
}

bool state_path_leads_elsewhere(const char *path, int file)
{
    struct stat there, open;

    if (fstat(file, &open) != 0)
        return true;
    if (stat(path, &there) != 0)
        return errno == ENOENT || errno == ENOTDIR;
    return there.st_dev != open.st_dev || there.st_ino != open.st_ino;
}

bool state_path_is_mounted_alone(const char *path)
{
#ifdef STATX_ATTR_MOUNT_ROOT
    struct statx is;

    return statx(AT_FDCWD, path, 0, STATX_TYPE, &is) == 0 &&
           (is.stx_attributes_mask & is.stx_attributes & STATX_ATTR_MOUNT_ROOT);
#else
    return false;
#endif
}
