/*
 * From an accepted connection to a request. libwebsockets listens; the head is read by
 * xmpp/http.c, so that the query goes on exactly as it was written.
 */
#include "proxy/listener.h"

#include "certs/tls.h"
#include "proxy/conn_lws.h"
#include "proxy/log.h"
#include "proxy/passthrough.h"
#include "proxy/peers.h"
#include "proxy/stream.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define TAG "listener"

/* Somebody whose request is not read yet. */
struct guest {
    struct listener *listener;
    struct conn *conn;
    struct buf head;
    struct guest *next, **link;
};

struct listener {
    struct proxy *proxy;
    struct lws_vhost *vhost;
    struct acceptor acceptor;
    struct guest *guests;
    size_t guests_len;
    bool is_full; /* said once */
};

static void guest_free(struct guest *g)
{
    *g->link = g->next;
    if (g->next)
        g->next->link = g->link;
    g->listener->guests_len--;
    buf_done(&g->head);
    free(g);
}

static void refuse(struct guest *g, int status, const char *why)
{
    log_line(LOG_LEVEL_INFO, TAG, "%s refused: %d %s", conn_peer(g->conn), status, why);
    handshake_refuse(conn_output(g->conn), status, why);
    conn_close_lingering(g->conn); /* its request may not be read to the end */
    guest_free(g);
}

static bool origin_is_allowed(const struct config *config, const struct http_head *request)
{
    const struct http_header *origin = http_header(request, "origin");

    if (!config->listen.allowed_origins || !config->listen.allowed_origins[0])
        return true;
    for (char **at = config->listen.allowed_origins; *at; at++) {
        if (origin && http_slice_is_nocase(origin->value, *at))
            return true;
    }
    return false;
}

static bool is_plain(const struct http_head *request)
{
    return http_slice_is(request->method, "GET") || http_slice_is(request->method, "HEAD") ||
           http_slice_is(request->method, "OPTIONS");
}

static bool has_body(const struct http_head *request)
{
    const struct http_header *length = http_header(request, "content-length");

    return http_header(request, "transfer-encoding") ||
           http_header_count(request, "content-length") > 1 ||
           (length && !http_slice_is(length->value, "0"));
}

/* Limits, once it is known who asks. */
static bool admit(struct guest *g, const struct peer_identity *identity)
{
    struct listener *l = g->listener;
    const struct config *config = l->proxy->config;

    if (l->proxy->streams_len + l->proxy->passthroughs >= config->limits.connections) {
        if (!l->is_full)
            log_line(LOG_LEVEL_WARN, TAG,
                     "limits.connections (%u) is reached, new ones are refused",
                     config->limits.connections);
        l->is_full = true;
        refuse(g, 503, "Too many connections.");
        return false;
    }
    l->is_full = false;
    if (!peers_add(l->proxy->peers, &identity->key, config->limits.connections_per_ip)) {
        refuse(g, 429, "Too many connections from this address.");
        return false;
    }
    return true;
}

static void serve(struct guest *g, const struct http_head *request, size_t head_len,
                  const struct peer_identity *identity)
{
    struct proxy *proxy = g->listener->proxy;
    const char *why = "";
    int status;

    if (!handshake_is_upgrade(request)) {
        if (!is_plain(request) || has_body(request)) {
            refuse(g, 405, "Only GET, HEAD and OPTIONS without a body are served here.");
        } else if (admit(g, identity)) {
            passthrough_new(proxy, g->conn, request, identity);
            guest_free(g);
        }
        return;
    }
    status = handshake_check(request, &why);
    if (status) {
        refuse(g, status, why);
    } else if (admit(g, identity)) {
        stream_new(proxy, g->conn, request, identity, (const uint8_t *)g->head.data + head_len,
                   g->head.len - head_len);
        guest_free(g);
    }
}

static void route(struct guest *g, const struct http_head *request, size_t head_len)
{
    const struct config *config = g->listener->proxy->config;
    struct peer_identity identity;

    if (!http_path_is(request->path, config->listen.path)) {
        refuse(g, 404, "There is nothing at this path.");
        return;
    }
    if (!origin_is_allowed(config, request)) {
        refuse(g, 403, "This Origin is not in listen.allowed_origins.");
        return;
    }
    if (!peer_identify(config, g->conn, request, &identity)) {
        refuse(g, 503, "Out of memory.");
        return;
    }
    serve(g, request, head_len, &identity);
    peer_identity_done(&identity);
}

static void on_received(void *owner, uint8_t *data, size_t len)
{
    struct guest *g = owner;
    struct http_head request;
    size_t head_len = 0;

    buf_add(&g->head, data, len);
    if (g->head.failed) {
        refuse(g, 503, "Out of memory.");
        return;
    }
    switch (http_parse_request(g->head.data, g->head.len, &request, &head_len)) {
    case HTTP_OK:
        route(g, &request, head_len);
        break;
    case HTTP_MORE:
        break;
    case HTTP_BAD:
        refuse(g, 400, "This is not an HTTP request as RFC 9112 has it.");
        break;
    case HTTP_TOO_LARGE:
        refuse(g, 431, "The request's head is too large.");
        break;
    }
}

static void on_closed(void *owner, const char *why)
{
    guest_free(owner);
}

static const struct conn_callbacks guest_events = {.received = on_received, .closed = on_closed};

static void on_accepted(void *ctx, struct conn *c)
{
    struct listener *l = ctx;
    const struct config *config = l->proxy->config;
    struct guest *g = l->guests_len < config->limits.connections ? calloc(1, sizeof *g) : NULL;

    if (!g) {
        conn_abort(c);
        return;
    }
    g->listener = l;
    g->conn = c;
    g->next = l->guests;
    g->link = &l->guests;
    if (g->next)
        g->next->link = &g->next;
    l->guests = g;
    l->guests_len++;
    conn_set_owner(c, &guest_events, g);
    conn_expire(c, config->limits.handshake_timeout_ms);
}

/* A socket left by a process that is gone is removed; one that answers is not ours to take. */
static bool clear_unix_path(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat there;
    int fd;
    bool is_alive;

    if (strlen(path) >= sizeof address.sun_path) {
        log_line(LOG_LEVEL_ERROR, TAG, "listen.address: unix:%s is too long for a socket", path);
        return false;
    }
    /* libwebsockets removes whatever is in its way. */
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

static void fill_info(struct listener *l, struct lws_context_creation_info *info)
{
    const struct config *config = l->proxy->config;

    info->protocols = conn_protocols;
    info->vhost_name = "listener";
    info->listen_accept_role = "raw-skt";
    info->listen_accept_protocol = "conn";
    info->options = LWS_SERVER_OPTION_ADOPT_APPLY_LISTEN_ACCEPT_CONFIG;
    info->user = &l->acceptor;
    if (config->listen.unix_path) {
        info->iface = config->listen.unix_path;
        info->options |= LWS_SERVER_OPTION_UNIX_SOCK;
    } else {
        info->port = config->listen.port;
        info->iface = config->listen.host[0] ? config->listen.host : NULL;
        if (config->listen.reuse_port)
            info->options |= LWS_SERVER_OPTION_ALLOW_LISTEN_SHARE;
    }
}

bool listener_load_tls(const struct config *config, struct ssl_ctx_st **ret)
{
    char error[256];

    *ret = NULL;
    if (!config->listen.tls.certificate)
        return true;
    *ret =
        tls_server_new(config->listen.tls.certificate, config->listen.tls.key, error, sizeof error);
    if (!*ret)
        log_line(LOG_LEVEL_ERROR, TAG, "listen.tls: %s", error);
    return *ret != NULL;
}

/* Connections hold on to the one they began with. */
void listener_swap_tls(struct listener *l, struct ssl_ctx_st *tls)
{
    SSL_CTX_free(l->acceptor.tls);
    l->acceptor.tls = tls;
}

void listener_place(const struct config *config, char *to, size_t len)
{
    if (config->listen.unix_path)
        snprintf(to, len, "unix:%s", config->listen.unix_path);
    else
        snprintf(to, len, strchr(config->listen.host, ':') ? "[%s]:%u" : "%s:%u",
                 config->listen.host, config->listen.port);
}

struct listener *listener_new(struct proxy *proxy)
{
    const struct config *config = proxy->config;
    struct lws_context_creation_info info = {0};
    struct listener *l;

    if (config->listen.unix_path && !clear_unix_path(config->listen.unix_path))
        return NULL;
    l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    l->proxy = proxy;
    l->acceptor = (struct acceptor){.loop = proxy->loop,
                                    .accepted = on_accepted,
                                    .ctx = l,
                                    .is_unix = config->listen.unix_path != NULL};
    if (!listener_load_tls(config, &l->acceptor.tls)) {
        free(l);
        return NULL;
    }
    fill_info(l, &info);
    lws_set_log_level(0, NULL); /* ours says it better */
    l->vhost = lws_create_vhost(loop_lws(proxy->loop), &info);
    loop_log_lws();
    if (!l->vhost) {
        char place[256];

        listener_place(config, place, sizeof place);
        log_line(LOG_LEVEL_ERROR, TAG,
                 "cannot listen on %s: is the address free and this machine's own?", place);
        listener_free(l);
        return NULL;
    }
    return l;
}

void listener_close(struct listener *l)
{
    if (l->vhost)
        lws_vhost_destroy(l->vhost);
    l->vhost = NULL;
    while (l->guests) {
        conn_close(l->guests->conn);
        guest_free(l->guests);
    }
}

void listener_free(struct listener *l)
{
    if (!l)
        return;
    while (l->guests)
        guest_free(l->guests);
    SSL_CTX_free(l->acceptor.tls);
    free(l);
}
