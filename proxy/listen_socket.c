/*
 * Listening. What a newcomer gets wrong: a connection waits in the kernel's queue before it is
 * accepted, and closing the socket resets who is in there; so the queue is emptied first.
 */
#include "proxy/listen_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 4096
/* In one turn: others are to have theirs. */
#define AT_ONCE_MAX 64

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un local;
};

static socklen_t unix_address(union address *a, const char *path)
{
    a->local.sun_family = AF_UNIX;
    memcpy(a->local.sun_path, path, strlen(path) + 1); /* unix_path_clear looked at its length */
    return sizeof a->local;
}

static socklen_t inet_address(union address *a, const struct listen_place *place, bool has_v6)
{
    if (inet_pton(AF_INET, place->host, &a->v4.sin_addr) == 1 || (!place->host[0] && !has_v6)) {
        a->v4.sin_family = AF_INET; /* INADDR_ANY is zero, as in6addr_any below */
        a->v4.sin_port = htons(place->port);
        return sizeof a->v4;
    }
    if (place->host[0] && inet_pton(AF_INET6, place->host, &a->v6.sin6_addr) != 1)
        return 0;
    a->v6.sin6_family = AF_INET6;
    a->v6.sin6_port = htons(place->port);
    return sizeof a->v6;
}

static bool set(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

/* -1 and errno. */
static int open_at(const struct listen_place *place, bool has_v6)
{
    union address a = {.v6 = {.sin6_family = AF_UNSPEC}};
    socklen_t len;
    int fd, problem;

    memset(&a, 0, sizeof a);
    len = place->unix_path ? unix_address(&a, place->unix_path) : inet_address(&a, place, has_v6);
    if (!len) {
        errno = EADDRNOTAVAIL;
        return -1;
    }
    fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    /* What is accepted inherits TCP_NODELAY (tcp(7) of Linux: the socket is a copy). */
    if ((place->unix_path ||
         (set(fd, SOL_SOCKET, SO_REUSEADDR, 1) && set(fd, IPPROTO_TCP, TCP_NODELAY, 1) &&
          (!place->reuse_port || set(fd, SOL_SOCKET, SO_REUSEPORT, 1)) &&
          (a.any.sa_family != AF_INET6 ||
           set(fd, IPPROTO_IPV6, IPV6_V6ONLY, place->host[0] != '\0')))) &&
        bind(fd, &a.any, len) == 0 && (!place->unix_path || chmod(place->unix_path, 0660) == 0) &&
        listen(fd, BACKLOG) == 0)
        return fd;
    problem = errno;
    close(fd);
    errno = problem;
    return -1;
}

static bool is_out_of_files(int problem)
{
    return problem == EMFILE || problem == ENFILE || problem == ENOBUFS || problem == ENOMEM;
}

/* What failed with one connection says nothing of the next. */
static void accept_some(struct listen_socket *l, size_t max)
{
    for (size_t i = 0; i < max; i++) {
        struct sockaddr_storage from = {.ss_family = AF_UNSPEC};
        socklen_t len = sizeof from;
        int fd = accept4(l->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            l->accepted(l->ctx, fd, &from);
        } else if (is_out_of_files(errno)) {
            /* It stays readable: looking again at once would be a busy loop. */
            uv_poll_stop(&l->poll);
            l->is_held = true;
            return;
        } else if (errno == EAGAIN) {
            return;
        }
    }
}

/* One in a turn, as to ask for one more in vain costs as much as to accept; more and more where
 * turn after turn somebody is still waiting. */
static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct listen_socket *l = poll->data;
    uint64_t turn = loop_turn(l->loop);

    if (turn != l->turn + 1)
        l->at_once = 1;
    else if (l->at_once < AT_ONCE_MAX)
        l->at_once *= 2;
    l->turn = turn;
    accept_some(l, l->at_once);
}

void listen_socket_tick(struct listen_socket *l)
{
    if (!l || !l->is_held)
        return;
    l->is_held = false;
    uv_poll_start(&l->poll, UV_READABLE, on_readable);
}

struct listen_socket *listen_socket_new(struct loop *loop, const struct listen_place *place,
                                        void (*accepted)(void *ctx, int fd,
                                                         const struct sockaddr_storage *from),
                                        void *ctx, const char **ret_why)
{
    struct listen_socket *l = calloc(1, sizeof *l);
    int problem = UV_ENOMEM;
    struct stat made;

    *ret_why = strerror(ENOMEM);
    if (!l)
        return NULL;
    l->loop = loop;
    l->at_once = 1;
    l->accepted = accepted;
    l->ctx = ctx;
    if (place->unix_path && !(l->unix_path = strdup(place->unix_path)))
        goto failed;
    l->fd = open_at(place, true);
    if (l->fd < 0 && errno == EAFNOSUPPORT)
        l->fd = open_at(place, false);
    if (l->fd < 0) {
        *ret_why = strerror(errno);
        goto failed;
    }
    if (l->unix_path && lstat(l->unix_path, &made) == 0) {
        l->device = made.st_dev;
        l->inode = made.st_ino;
    }
    problem = uv_poll_init(loop_uv(loop), &l->poll, l->fd);
    if (problem != 0) {
        *ret_why = uv_strerror(problem);
        close(l->fd);
        goto failed;
    }
    l->poll.data = l;
    uv_poll_start(&l->poll, UV_READABLE, on_readable);
    return l;
failed:
    free(l->unix_path);
    free(l);
    return NULL;
}

static void on_closed(uv_handle_t *handle)
{
    struct listen_socket *l = handle->data;

    free(l->unix_path);
    free(l);
}

/* Somebody may have removed it, and another process have made its own. */
static void unlink_own(const struct listen_socket *l)
{
    struct stat there;

    if (l->unix_path && lstat(l->unix_path, &there) == 0 && there.st_dev == l->device &&
        there.st_ino == l->inode)
        unlink(l->unix_path);
}

void listen_socket_close(struct listen_socket *l)
{
    if (!l)
        return;
    /* First: from its closing on the name may be another process's. */
    unlink_own(l);
    accept_some(l, BACKLOG);
    uv_poll_stop(&l->poll);
    close(l->fd);
    uv_close((uv_handle_t *)&l->poll, on_closed);
}
