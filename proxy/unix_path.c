/*
 * The path of a unix socket. What one that was killed left there is removed, and nothing else is.
 */
#include "proxy/unix_path.h"

#include "proxy/log.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define TAG "listener"

bool unix_path_clear(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat there;
    int fd;
    bool is_alive;

    if (strlen(path) >= sizeof address.sun_path) {
        log_line(LOG_LEVEL_ERROR, TAG, "listen.address: unix:%s is too long for a socket", path);
        return false;
    }
    if (lstat(path, &there) == 0 && !S_ISSOCK(there.st_mode)) {
        log_line(LOG_LEVEL_ERROR, TAG,
                 "listen.address: there is something at unix:%s that is no socket", path);
        return false;
    }
    memcpy(address.sun_path, path, strlen(path));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    is_alive = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    if (!is_alive && errno == ECONNREFUSED)
        unlink(path);
    close(fd);
    if (is_alive)
        log_line(LOG_LEVEL_ERROR, TAG, "listen.address: another process listens on unix:%s", path);
    return !is_alive;
}
