/*
 * A WebSocket on a non-blocking socket under epoll, for both ends of the bench: as little as will do,
 * so that what is measured is the proxy between them.
 */
#pragma once

#include "xmpp/websocket.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct link;

struct link_events {
    /* The HTTP head, NUL-terminated, up to and with its empty line. */
    void (*head)(struct link *l, const char *head);
    void (*message)(struct link *l, const char *data, size_t len);
    void (*lost)(struct link *l); /* closed by the peer, or broken; its descriptor is closed already */
};

struct link {
    int fd;
    int epoll;
    bool is_upgraded; /* the head is over, frames follow */
    bool is_lost;
    bool is_armed; /* EPOLLOUT is asked for */
    enum ws_role role;
    struct ws_decoder decoder;
    struct buf head;
    struct buf out;
    size_t written; /* of out */
    const struct link_events *events;
};

/* Takes the descriptor, connected or still connecting. */
void link_begin(struct link *l, int fd, int epoll, enum ws_role role, const struct link_events *events);
void link_send(struct link *l, const char *data, size_t len);
/* Frames or a head, ready made. */
void link_send_raw(struct link *l, const void *data, size_t len);
/* What was sent leaves here. */
void link_flush(struct link *l);
/* What epoll told of it; writes what that led to in one call. */
void link_handle(struct link *l, uint32_t what);
/* Closes at once; lost is not told. */
void link_end(struct link *l);

int64_t now_ns(void);
_Noreturn void die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* As many files as may be. */
void raise_file_limit(void);
