/*
 * A listening socket of our own. libwebsockets 4.1 cannot stop listening at once: its socket stays open
 * for up to 30 s after its vhost was destroyed, and who is let in by the kernel meanwhile is never heard.
 */
#pragma once

#include "proxy/loop.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <uv.h>

struct listen_socket {
    struct loop *loop;
    uv_poll_t poll;
    uint64_t turn; /* of the loop, when somebody was waiting last */
    size_t at_once; /* accepted in one turn */
    int fd;
    bool is_held; /* out of file descriptors: nothing is accepted for a moment */
    char *unix_path; /* removed with it, while it is that file; NULL: none */
    dev_t device;
    ino_t inode;
    void (*accepted)(void *ctx, int fd, const struct sockaddr_storage *from);
    void *ctx;
};

struct listen_place {
    const char *unix_path; /* NULL: TCP */
    const char *host;      /* numeric; "" for every address */
    uint16_t port;
    bool reuse_port;
};

/* NULL when it cannot be opened there, and *ret_why says why, borrowed. accepted is given each
 * connection's descriptor, non-blocking, and owns it. */
struct listen_socket *listen_socket_new(struct loop *loop, const struct listen_place *place,
                                        void (*accepted)(void *ctx, int fd,
                                                         const struct sockaddr_storage *from),
                                        void *ctx, const char **ret_why);
/* Accepts who is waiting already, then listens no more. Accepts NULL. */
void listen_socket_close(struct listen_socket *l);
/* Once a second. */
void listen_socket_tick(struct listen_socket *l);
