/*
 * Outgoing conns: the name is resolved off the loop (libwebsockets 4.1 would block in getaddrinfo),
 * then each address is tried in turn.
 */
#include "proxy/conn_lws.h"
#include "proxy/worker.h"

#include <errno.h>
#include <netdb.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#define ADDRESSES_MAX 4

/* Lives on after its conn where the resolver still runs: then `conn` is NULL and it frees itself.
 * A conn has one at most, so that limits.connections bounds how many names wait. */
struct connecting {
    struct worker_job job;
    struct addrinfo *found; /* the resolver's while is_resolving, as is `problem` */
    int problem;
    struct conn *conn;
    bool is_resolving;
    char host[256];
    uint16_t port;
    struct ssl_ctx_st *tls;
    char addresses[ADDRESSES_MAX][INET6_ADDRSTRLEN];
    size_t addresses_len, next;
    char why[112]; /* it has none */
};

static void connecting_free(struct connecting *k)
{
    SSL_CTX_free(k->tls);
    free(k);
}

static socklen_t address_in(const struct connecting *k, const char *text,
                            struct sockaddr_storage *ret)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;

    memset(ret, 0, sizeof *ret);
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(k->port);
        return sizeof *v4;
    }
    inet_pton(AF_INET6, text, &v6->sin6_addr);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(k->port);
    return sizeof *v6;
}

/* On this machine the handshake is over when connect() returns, though it says EINPROGRESS: asking
 * again tells, and saves a turn of waiting. */
static bool begin_on(int fd, const struct sockaddr_storage *address, socklen_t len,
                     bool *ret_is_done)
{
    const struct sockaddr *any = (const struct sockaddr *)address;

    *ret_is_done = connect(fd, any, len) == 0;
    if (!*ret_is_done && errno == EINPROGRESS)
        *ret_is_done = connect(fd, any, len) == 0 || errno == EISCONN;
    return *ret_is_done || errno == EINPROGRESS || errno == EALREADY;
}

static void try_next(struct conn *c)
{
    struct connecting *k = c->connecting;
    struct sockaddr_storage address;
    socklen_t len = address_in(k, k->addresses[k->next++], &address);
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool is_done;

    if (fd < 0) {
        connect_failed(c, errno == EMFILE || errno == ENFILE
                              ? "no more files may be opened here: raise LimitNOFILE or ulimit -n"
                              : "the kernel has no socket for it");
        return;
    }
    conn_set_address(c, &address);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (!begin_on(fd, &address, len, &is_done)) {
        close(fd);
        connect_failed(c, CONN_REFUSED);
        return;
    }
    conn_carry(c, fd);
    if (!c->wsi)
        conn_lose(c, "libwebsockets has no room for a connection");
    else if (is_done)
        conn_connected(c);
    else
        lws_callback_on_writable(c->wsi);
}

bool connect_is_done(struct conn *c)
{
    int problem = 0;
    socklen_t len = sizeof problem;

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &problem, &len) == 0 && problem == 0) {
        conn_connected(c);
        return true;
    }
    return false; /* and then it is told that it is closed */
}

/* Called under libwebsockets' callback or from try_next: only queues. */
void connect_failed(struct conn *c, const char *why)
{
    struct connecting *k = c->connecting;

    c->wsi = NULL;
    if (c->ending != CONN_STAYS || !k || k->next >= k->addresses_len) {
        conn_lose(c, why);
        return;
    }
    loop_defer(c->loop, &c->flush);
}

static bool address_of(const struct addrinfo *info, char *to, size_t len)
{
    if (info->ai_family == AF_INET)
        return inet_ntop(AF_INET, &((struct sockaddr_in *)info->ai_addr)->sin_addr, to,
                         (socklen_t)len);
    if (info->ai_family == AF_INET6)
        return inet_ntop(AF_INET6, &((struct sockaddr_in6 *)info->ai_addr)->sin6_addr, to,
                         (socklen_t)len);
    return false;
}

static struct connecting *connecting_of(struct worker_job *job)
{
    return (struct connecting *)((char *)job - offsetof(struct connecting, job));
}

static void resolve(struct worker_job *job)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct connecting *k = connecting_of(job);

    k->problem = getaddrinfo(k->host, NULL, &hints, &k->found);
}

static void take_addresses(struct connecting *k)
{
    for (struct addrinfo *at = k->found; at && k->addresses_len < ADDRESSES_MAX; at = at->ai_next) {
        if (address_of(at, k->addresses[k->addresses_len], sizeof k->addresses[0]))
            k->addresses_len++;
    }
    if (k->found)
        freeaddrinfo(k->found);
    k->found = NULL;
}

static void resolved(struct worker_job *job, int status)
{
    struct connecting *k = connecting_of(job);
    struct conn *c = k->conn;

    k->is_resolving = false;
    take_addresses(k);
    if (!c) {
        connecting_free(k);
        return;
    }
    if (k->addresses_len > 0) {
        loop_defer(c->loop, &c->flush);
        return;
    }
    if (status != 0)
        snprintf(k->why, sizeof k->why, "the name %.40s cannot be looked up: no thread", k->host);
    else
        snprintf(k->why, sizeof k->why, "the name %.40s has no address: %s", k->host,
                 k->problem ? gai_strerror(k->problem) : "none given");
    conn_lose(c, k->why);
}

/* From flush: an address waits to be tried. */
void connect_step(struct conn *c)
{
    struct connecting *k = c->connecting;

    if (k && !k->is_resolving && !c->wsi && k->next < k->addresses_len)
        try_next(c);
}

struct ssl_ctx_st *connect_tls(const struct conn *c, const char **ret_host)
{
    *ret_host = c->connecting->host;
    return c->connecting->tls;
}

void connect_cancel(struct conn *c)
{
    struct connecting *k = c->connecting;

    if (!k)
        return;
    c->connecting = NULL;
    k->conn = NULL;
    if (!k->is_resolving || worker_cancel(loop_resolver(c->loop), &k->job))
        connecting_free(k);
}

static void begin(struct conn *c, struct connecting *k)
{
    struct in6_addr number;

    if (inet_pton(AF_INET, k->host, &number) == 1 || inet_pton(AF_INET6, k->host, &number) == 1) {
        snprintf(k->addresses[0], sizeof k->addresses[0], "%.45s", k->host);
        k->addresses_len = 1;
        loop_defer(c->loop, &c->flush);
        return;
    }
    k->job = (struct worker_job){.run = resolve, .done = resolved};
    k->is_resolving = true;
    worker_queue(loop_resolver(c->loop), &k->job);
}

struct conn *conn_connect(struct loop *loop, const struct conn_target *target, int64_t timeout_ms,
                          const struct conn_callbacks *callbacks, void *owner)
{
    struct conn *c = conn_new(loop);
    struct connecting *k = calloc(1, sizeof *k);

    if (!c || !k || (target->tls && !SSL_CTX_up_ref(target->tls))) {
        free(k);
        if (c)
            conn_abort(c);
        return NULL;
    }
    snprintf(k->host, sizeof k->host, "%s", target->host);
    k->port = target->port;
    k->tls = target->tls;
    k->conn = c;
    c->connecting = k;
    c->is_outgoing = true;
    conn_set_deadline(c, loop_now(loop) + timeout_ms);
    conn_set_owner(c, callbacks, owner);
    begin(c, k);
    return c;
}
