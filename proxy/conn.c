/*
 * Conns on libwebsockets' raw file role: it says when a socket can be read or written, and what is
 * read and written is ours (its raw sockets would cost each message half as much again of our
 * time). The callback is a switch in which each case is one call; it only records, and flush (at
 * the end of the turn) writes, tells the owner and frees.
 */
#include "proxy/conn_lws.h"

#include "proxy/carrier.h"
#include "proxy/conn_tls.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FLUSH_LIMIT_MS 5000
#define LINGER_LIMIT_MS 2000
/* What is read away of one who is let go: he had a request, or frames, on their way. */
#define THROWN_AWAY_MAX (16 * 1024 * 1024)

static void flush(struct deferred *work);

struct conn *conn_new(struct loop *loop)
{
    struct conn_list *list = loop_conns(loop);
    struct conn *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    c->magic = CONN_MAGIC;
    c->fd = -1;
    c->loop = loop;
    c->flush.run = flush;
    c->deadline = INT64_MAX;
    c->last_activity = loop_now(loop);
    c->next = list->first;
    c->link = &list->first;
    if (c->next)
        c->next->link = &c->next;
    list->first = c;
    list->len++;
    return c;
}

void conn_carry(struct conn *c, int fd)
{
    c->wsi = carrier_take(c->loop, fd, c);
    c->fd = c->wsi ? lws_get_socket_fd(c->wsi) : -1;
}

static void conn_free(struct conn *c)
{
    assert(!c->wsi);
    loop_undefer(c->loop, &c->flush);
    connect_cancel(c);
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    loop_conns(c->loop)->len--;
    loop_conns(c->loop)->lingering -= c->is_lingering ? 1 : 0;
    buf_done(&c->out);
    buf_done(&c->wire);
    conn_tls_free(c->tls);
    c->magic = 0;
    free(c);
}

/* Remembers that the other end is gone; the owner is told at the end of the turn. */
void conn_lose(struct conn *c, const char *why)
{
    if (!c->lost)
        c->lost = why;
    loop_defer(c->loop, &c->flush);
}

static void conn_kill(struct conn *c)
{
    struct lws *wsi = c->wsi;

    if (wsi)
        carrier_leave(c->loop, wsi, c->is_connected && !c->write_blocked);
    c->wsi = NULL;
    c->fd = -1;
}

static void conn_end(struct conn *c)
{
    const struct conn_callbacks *callbacks = c->callbacks;
    void *owner = c->owner;
    const char *why = c->lost;

    conn_kill(c);
    c->callbacks = NULL;
    if (callbacks && why)
        callbacks->closed(owner, why);
    conn_free(c);
}

/* By no call of libc, as conn_write.c says. */
static ssize_t receive_from(int fd, void *data, size_t len)
{
    return syscall(SYS_recvfrom, fd, data, len, 0, NULL, NULL);
}

/* All is written: the peer is told so, and what it still sends is read away (received drops it). */
static void linger(struct conn *c)
{
    c->ending = CONN_LINGERS;
    c->is_lingering = true;
    loop_conns(c->loop)->lingering++;
    conn_set_deadline(c, loop_now(c->loop) + LINGER_LIMIT_MS);
    conn_resume(c);
    conn_write_tls_end(c);
    if (conn_is_written(c))
        shutdown(c->fd, SHUT_WR);
}

static bool has_unread(const struct conn *c)
{
    int unread = 0;

    return ioctl(c->fd, SIOCINQ, &unread) == 0 && unread > 0;
}

/* All is written. True: it is over. */
static bool is_at_end(struct conn *c)
{
    switch (c->ending) {
    case CONN_LINGERS_FLUSHED:
        linger(c);
        return false;
    case CONN_CLOSES_ANSWERED:
        /* It wrote on: the end would be a reset, and take along what waits for it. */
        if (has_unread(c)) {
            linger(c);
            return false;
        }
        conn_write_tls_end(c);
        return true;
    case CONN_CLOSES_FLUSHED:
        conn_write_tls_end(c);
        return true;
    default:
        return false;
    }
}

/* A peer that ended its TLS in order still reads: it gets what waits, and our end too (RFC 8446
 * section 6.1). */
static void answer_tls_end(struct conn *c)
{
    if (c->tls_ended && c->wsi && c->ending != CONN_CLOSES_NOW && !c->out.failed && conn_write(c) &&
        conn_is_written(c))
        conn_write_tls_end(c);
}

static size_t waiting(const struct conn *c)
{
    return c->out.len + c->wire.len;
}

static void flush(struct deferred *work)
{
    struct conn *c = (struct conn *)((char *)work - offsetof(struct conn, flush));

    assert(c->magic == CONN_MAGIC);
    if (c->lost || c->ending == CONN_CLOSES_NOW) {
        answer_tls_end(c);
        conn_end(c);
        return;
    }
    if (!c->is_connected) {
        connect_step(c);
        return;
    }
    if (c->out.failed) {
        conn_lose(c, "out of memory");
        return;
    }
    if (!conn_write(c)) {
        conn_lose(c, "writing failed: the peer is gone");
        return;
    }
    if (c->ending != CONN_STAYS && conn_is_written(c)) {
        if (is_at_end(c))
            conn_end(c);
        return;
    }
    if (c->told_high && waiting(c) < CONN_LOW_MARK) {
        c->told_high = false;
        if (c->callbacks && c->callbacks->drained)
            c->callbacks->drained(c->owner);
    }
}

/* The owner may write: an outgoing conn tells its owner so. */
static void established(struct conn *c)
{
    c->is_open = true;
    loop_defer(c->loop, &c->flush);
    if (!c->is_outgoing)
        return;
    c->deadline = c->ending == CONN_STAYS ? INT64_MAX : c->deadline;
    if (c->callbacks && c->callbacks->opened)
        c->callbacks->opened(c->owner);
}

void conn_connected(struct conn *c)
{
    const char *host;
    struct ssl_ctx_st *context = connect_tls(c, &host);

    c->is_connected = true;
    c->last_activity = loop_now(c->loop);
    if (context) {
        c->tls = conn_tls_new(context, host);
        if (!c->tls || conn_tls_begin(c->tls) != CONN_TLS_OK)
            conn_lose(c, c->tls ? conn_tls_error(c->tls) : "out of memory");
        else
            loop_defer(c->loop, &c->flush);
    }
    connect_cancel(c);
    if (!context)
        established(c);
}

static bool is_heard(const struct conn *c)
{
    return c->callbacks && c->ending == CONN_STAYS && !c->lost;
}

static void received_encrypted(struct conn *c, const uint8_t *data, size_t len)
{
    uint8_t plain[16384]; /* a whole TLS record */
    enum conn_tls_result result = conn_tls_feed(c->tls, data, len);
    size_t plain_len = 0;

    loop_defer(c->loop, &c->flush); /* the handshake, or an alert, may have something to say */
    if (result == CONN_TLS_OK && !c->is_open && conn_tls_is_established(c->tls))
        established(c);
    while (result == CONN_TLS_OK && c->is_open) {
        result = conn_tls_read(c->tls, plain, sizeof plain, &plain_len);
        if (result != CONN_TLS_OK || plain_len == 0)
            break;
        if (is_heard(c))
            c->callbacks->received(c->owner, plain, plain_len);
    }
    c->tls_ended = result == CONN_TLS_CLOSED && c->is_open;
    if (result == CONN_TLS_CLOSED)
        conn_lose(c, CONN_ENDED);
    else if (result == CONN_TLS_FAILED)
        conn_lose(c, conn_tls_error(c->tls));
}

static void received(struct conn *c, uint8_t *data, size_t len)
{
    c->last_activity = loop_now(c->loop);
    if (c->ending == CONN_LINGERS && (c->thrown_away += len) > THROWN_AWAY_MAX)
        conn_abort(c);
    else if (c->tls)
        received_encrypted(c, data, len);
    else if (is_heard(c))
        c->callbacks->received(c->owner, data, len);
}

static void readable(struct conn *c)
{
    size_t cap;
    uint8_t *data = loop_received(c->loop, &cap);
    ssize_t len = receive_from(c->fd, data, cap);

    assert(c->is_connected); /* of which libwebsockets tells first */
    if (len > 0)
        received(c, data, (size_t)len);
    else if (len == 0 || (errno != EAGAIN && errno != EINTR))
        conn_lose(c, CONN_ENDED);
}

/* False where libwebsockets is to let go of it. */
static bool writeable(struct conn *c)
{
    if (!c->is_connected)
        return connect_is_done(c);
    c->write_blocked = false;
    loop_defer(c->loop, &c->flush);
    return true;
}

static struct conn *conn_of(struct lws *wsi)
{
    struct conn *c = lws_get_opaque_user_data(wsi);

    assert(!c || c->magic == CONN_MAGIC);
    return c;
}

/* By libwebsockets itself: the kernel tells it of an error, or that nothing answers. */
static void closed(struct lws *wsi, struct conn *c)
{
    lws_set_opaque_user_data(wsi, NULL);
    c->wsi = NULL;
    c->fd = -1;
    if (c->is_connected)
        conn_lose(c, CONN_ENDED);
    else
        connect_failed(c, CONN_REFUSED);
}

struct conn *conn_accept(struct loop *loop, int fd, const struct sockaddr_storage *address,
                         struct ssl_ctx_st *tls)
{
    struct conn *c = conn_new(loop);

    if (!c) {
        close(fd);
        return NULL;
    }
    conn_carry(c, fd);
    if (!c->wsi || (tls && !(c->tls = conn_tls_new(tls, NULL)))) {
        conn_abort(c);
        return NULL;
    }
    c->is_connected = true;
    c->is_open = !tls;
    conn_set_address(c, address);
    return c;
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t len)
{
    struct conn *c = wsi ? conn_of(wsi) : NULL;

    if (!c)
        return 0;
    switch (reason) {
    case LWS_CALLBACK_RAW_RX_FILE:
        readable(c);
        break;
    case LWS_CALLBACK_RAW_WRITEABLE_FILE:
        return writeable(c) ? 0 : -1;
    case LWS_CALLBACK_RAW_CLOSE_FILE:
        closed(wsi, c);
        break;
    default:
        break;
    }
    return 0;
}

const struct lws_protocols conn_protocols[] = {
    {.name = "conn", .callback = on_event},
    {0},
};

void conn_set_owner(struct conn *c, const struct conn_callbacks *callbacks, void *owner)
{
    c->callbacks = callbacks;
    c->owner = owner;
}

struct buf *conn_output(struct conn *c)
{
    loop_defer(c->loop, &c->flush);
    loop_lend(c->loop, &c->out);
    return &c->out;
}

bool conn_is_full(struct conn *c)
{
    if (waiting(c) <= CONN_HIGH_MARK)
        return false;
    c->told_high = true;
    loop_defer(c->loop, &c->flush);
    return true;
}

void conn_pause(struct conn *c)
{
    if (c->wsi && !c->is_paused)
        lws_rx_flow_control(c->wsi, 0);
    c->is_paused = true;
}

void conn_resume(struct conn *c)
{
    if (c->wsi && c->is_paused)
        lws_rx_flow_control(c->wsi, 1);
    c->is_paused = false;
}

static void close_as(struct conn *c, enum conn_ending ending)
{
    c->callbacks = NULL;
    if (c->ending == CONN_STAYS) {
        c->ending = c->is_open ? ending : CONN_CLOSES_NOW;
        conn_set_deadline(c, loop_now(c->loop) + FLUSH_LIMIT_MS);
    }
    loop_defer(c->loop, &c->flush);
}

void conn_close(struct conn *c)
{
    close_as(c, CONN_CLOSES_FLUSHED);
}

void conn_close_lingering(struct conn *c)
{
    close_as(c, CONN_LINGERS_FLUSHED);
}

void conn_close_answered(struct conn *c)
{
    close_as(c, CONN_CLOSES_ANSWERED);
}

void conn_abort(struct conn *c)
{
    c->callbacks = NULL;
    c->ending = CONN_CLOSES_NOW;
    loop_defer(c->loop, &c->flush);
}

int64_t conn_last_activity(const struct conn *c)
{
    return c->last_activity;
}

struct loop *conn_loop(const struct conn *c)
{
    return c->loop;
}
