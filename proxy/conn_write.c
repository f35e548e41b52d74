/*
 * Writing of what waits, plain or encrypted. What a newcomer gets wrong: only the end of a turn
 * writes (conn.c, flush), and a kernel that takes less than all is waited for.
 */
#include "proxy/conn_lws.h"

#include "proxy/conn_tls.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What is encrypted at once. */
#define ENCRYPT_MAX 65536

/* libc's send and recv are points of cancellation: where there ever was a second thread (worker.h),
 * each call costs two atomic operations more, 0.7 % of a message. (Sanitizers do not see these.) */
static ssize_t send_to(int fd, const void *data, size_t len, int flags)
{
    return syscall(SYS_sendto, fd, data, len, flags, NULL, 0);
}

/* Writes from queue until the kernel takes no more, and asks to be told when it does again. */
static bool write_from(struct conn *c, struct buf *queue)
{
    bool more_follows = c->ending == CONN_CLOSES_ANSWERED && !c->tls;
    int flags = MSG_NOSIGNAL | (more_follows ? MSG_MORE : 0);

    while (queue->len > 0 && !c->write_blocked) {
        ssize_t len = send_to(c->fd, queue->data, queue->len, flags);

        if (len < 0 && errno == EINTR)
            continue;
        if (len < 0 && errno != EAGAIN)
            return false;
        if (len > 0) {
            buf_drop(queue, (size_t)len);
            c->last_activity = loop_now(c->loop);
        }
        if (queue->len > 0) {
            c->write_blocked = true;
            lws_callback_on_writable(c->wsi);
        }
    }
    if (queue->len == 0)
        loop_take_back(c->loop, queue);
    return true;
}

/* With TLS no more is encrypted than the wire takes, so that the marks stay the owner's. */
static bool write_encrypted(struct conn *c)
{
    while (!c->write_blocked) {
        size_t len = c->out.len < ENCRYPT_MAX ? c->out.len : ENCRYPT_MAX;

        if (len && conn_tls_write(c->tls, c->out.data, len) != CONN_TLS_OK)
            return false;
        buf_drop(&c->out, len);
        conn_tls_take(c->tls, &c->wire);
        if (c->wire.failed || !write_from(c, &c->wire))
            return false;
        if (c->out.len == 0)
            break;
    }
    if (c->out.len == 0)
        loop_take_back(c->loop, &c->out);
    return true;
}

bool conn_write(struct conn *c)
{
    if (!c->tls)
        return write_from(c, &c->out);
    if (c->is_open)
        return write_encrypted(c);
    conn_tls_take(c->tls, &c->wire); /* of the handshake */
    return !c->wire.failed && write_from(c, &c->wire);
}

/* A last word in a small record: where the kernel would not take it, the peer does without. */
void conn_write_tls_end(struct conn *c)
{
    if (!c->tls)
        return;
    conn_tls_shutdown(c->tls);
    conn_tls_take(c->tls, &c->wire);
    if (!c->wire.failed)
        write_from(c, &c->wire);
}
