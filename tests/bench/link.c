/*
 * See link.h. What a newcomer gets wrong: messages that one read brought are answered in one write,
 * as any client or server on an event loop does. A write for each would measure the bench.
 */
#include "link.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_MAX (256 * 1024)
#define MESSAGE_MAX (1024 * 1024)
#define KEEP_OUTPUT 65536

int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

_Noreturn void die(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

void raise_file_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void ask(struct link *l, int operation, bool is_armed)
{
    struct epoll_event event = {.events = EPOLLIN | (is_armed ? EPOLLOUT : 0), .data.ptr = l};

    l->is_armed = is_armed;
    if (epoll_ctl(l->epoll, operation, l->fd, &event) != 0)
        die("epoll_ctl: %s", strerror(errno));
}

void link_begin(struct link *l, int fd, int epoll, enum ws_role role,
                const struct link_events *events)
{
    *l = (struct link){.fd = fd, .epoll = epoll, .role = role, .events = events};
    ws_decoder_init(&l->decoder, role, MESSAGE_MAX);
    ask(l, EPOLL_CTL_ADD, false);
}

void link_end(struct link *l)
{
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
    l->is_lost = true;
    ws_decoder_done(&l->decoder);
    buf_done(&l->head);
    buf_done(&l->out);
}

static void lose(struct link *l)
{
    if (l->is_lost)
        return;
    link_end(l);
    l->events->lost(l);
}

void link_send(struct link *l, const char *data, size_t len)
{
    static const uint8_t mask[4] = {0x5a, 0x17, 0xc3, 0x88};

    if (!l->is_lost)
        ws_encode(&l->out, WS_OP_TEXT, data, len, l->role == WS_CLIENT ? mask : NULL);
}

void link_send_raw(struct link *l, const void *data, size_t len)
{
    if (!l->is_lost)
        buf_add(&l->out, data, len);
}

void link_flush(struct link *l)
{
    if (l->out.failed)
        die("out of memory");
    while (!l->is_lost && l->written < l->out.len) {
        ssize_t n = send(l->fd, l->out.data + l->written, l->out.len - l->written, MSG_NOSIGNAL);

        if (n < 0 && (errno == EAGAIN || errno == ENOTCONN)) {
            if (!l->is_armed)
                ask(l, EPOLL_CTL_MOD, true);
            return;
        }
        if (n < 0) {
            lose(l);
            return;
        }
        l->written += (size_t)n;
    }
    if (l->is_lost)
        return;
    l->written = 0;
    if (l->out.cap > KEEP_OUTPUT)
        buf_done(&l->out);
    else
        buf_clear(&l->out);
    if (l->is_armed)
        ask(l, EPOLL_CTL_MOD, false);
}

/* A server says goodbye too before it closes (RFC 6455 section 5.5.1), as Prosody does. */
static void end_politely(struct link *l)
{
    if (l->role == WS_SERVER) {
        ws_encode_close(&l->out, 1000, NULL, 0, NULL);
        link_flush(l);
    }
    lose(l); /* another may be in its place already */
}

static void frames(struct link *l, uint8_t *data, size_t len)
{
    while (len > 0 && !l->is_lost) {
        struct ws_output out;
        size_t used;
        enum ws_event what = ws_decode(&l->decoder, data, len, &used, &out);

        data += used;
        len -= used;
        if (what == WS_TEXT) {
            l->events->message(l, out.data, out.len);
        } else if (what == WS_CLOSE || what == WS_FAIL) {
            end_politely(l);
            return;
        }
    }
}

static void head(struct link *l, uint8_t *data, size_t len)
{
    size_t before = l->head.len, head_len;
    char *end;

    buf_add(&l->head, data, len);
    end = l->head.failed ? NULL : strstr(l->head.data, "\r\n\r\n");
    if (!end)
        return;
    head_len = (size_t)(end + 4 - l->head.data);
    end[2] = '\0';
    l->is_upgraded = true;
    l->events->head(l, l->head.data);
    if (l->is_lost)
        return;
    buf_done(&l->head);
    frames(l, data + (head_len - before), len - (head_len - before));
}

void link_handle(struct link *l, uint32_t what)
{
    static uint8_t data[READ_MAX];
    ssize_t n;

    if (l->is_lost)
        return;
    if (what & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        n = recv(l->fd, data, sizeof data, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            lose(l);
            return;
        }
        if (n > 0 && l->is_upgraded)
            frames(l, data, (size_t)n);
        else if (n > 0)
            head(l, data, (size_t)n);
    }
    if (!l->is_lost && (l->out.len > l->written || (what & EPOLLOUT)))
        link_flush(l);
}
