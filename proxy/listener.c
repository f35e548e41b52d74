/*
 * From an accepted connection to a request. libwebsockets carries it; the head is read by
 * xmpp/http.c, so that the query goes on exactly as it was written.
 */
#include "proxy/listener.h"

#include "certs/tls.h"
#include "proxy/bosh.h"
#include "proxy/conn.h"
#include "proxy/crowd.h"
#include "proxy/door.h"
#include "proxy/listen_socket.h"
#include "proxy/log.h"
#include "proxy/passthrough.h"
#include "proxy/peers.h"
#include "proxy/rejections.h"
#include "proxy/route.h"
#include "proxy/stream.h"
#include "proxy/unix_path.h"

#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define TAG "listener"

/* File descriptors besides a connection's two, for those who are only told that there is no room.
 */
#define SPARE_GUESTS 32
/* For files that are no connections. */
#define OTHER_FILES 32
/* Guests there is room for in any case. */
#define GUESTS_MIN 8

/* How long a connection may wait for another request: as nginx keeps its own. */
#define KEEP_LIMIT_MS 75000

/* Somebody whose request is not read yet. */
struct guest {
    struct crowd_member member; /* of listener->guests */
    struct listener *listener;
    struct conn *conn;
    struct in6_addr address;  /* the peer's, and the real client's once it is known; zero: none */
    char name[CONN_PEER_MAX]; /* for the log; empty: the peer's, and not asked for yet */
    struct buf head;
    int64_t until;        /* its request is here */
    bool is_idle;         /* a request of its was answered, and no byte of another came yet */
    struct deferred rest; /* reads what came behind that one */
};

struct listener {
    struct proxy *proxy;
    struct listen_socket *socket; /* NULL: no longer */
    struct ssl_ctx_st *tls;       /* NULL: plain */
    struct crowd *guests;
    size_t files; /* that connections may take */
    bool is_full; /* said once */
};

static void guest_free(struct guest *g)
{
    crowd_remove(g->listener->guests, &g->member);
    loop_undefer(g->listener->proxy->loop, &g->rest);
    buf_done(&g->head);
    free(g);
}

static struct guest *guest_of(struct crowd_member *member)
{
    return member ? (struct guest *)((char *)member - offsetof(struct guest, member)) : NULL;
}

static struct guest *oldest_guest(const struct listener *l, const struct in6_addr *address)
{
    return guest_of(crowd_oldest(l->guests, address));
}

static bool is_told(struct guest *g, enum rejection kind)
{
    struct proxy *proxy = g->listener->proxy;

    return rejections_note(proxy->rejections, &g->address, kind, loop_now(proxy->loop));
}

static const char *name_of(struct guest *g)
{
    if (!g->name[0])
        conn_peer(g->conn, g->name);
    return g->name;
}

static void refuse(struct guest *g, int status, const char *why)
{
    struct proxy *proxy = g->listener->proxy;

    log_line(is_told(g, rejection_of_status(status)) ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, TAG,
             "%s refused: %d %s", name_of(g), status, why);
    handshake_refuse(conn_output(g->conn), status, why);
    /* Its request may not be read to the end, and a reset would take the answer with it; but who
     * lingers costs a file for a while, and others are told as well. */
    if (loop_conns_lingering(proxy->loop) < SPARE_GUESTS / 2)
        conn_close_lingering(g->conn);
    else
        conn_close(g->conn);
    guest_free(g);
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
        refuse(g, 503, "Too many connections (limits.connections).");
        return false;
    }
    l->is_full = false;
    if (!peers_add(l->proxy->peers, &identity->key, config->limits.connections_per_ip)) {
        refuse(g, 429, "Too many connections from this address (limits.connections_per_ip).");
        return false;
    }
    return true;
}

static void serve_websocket(struct guest *g, const struct http_head *request, size_t head_len,
                            const struct peer_identity *identity)
{
    const char *why = "";
    int status = handshake_check(request, &why);

    if (status) {
        refuse(g, status, why);
    } else if (admit(g, identity)) {
        stream_new(g->listener->proxy, g->conn, request, identity,
                   (const uint8_t *)g->head.data + head_len, g->head.len - head_len);
        guest_free(g);
    }
}

/* Passes a request on as it is: the path is Prosody's name for what the client asked for. */
static void serve_plain(struct guest *g, const struct http_head *request, size_t head_len,
                        const struct peer_identity *identity, enum route route, const char *path)
{
    struct passthrough_request onward = {.head = request,
                                         .path = path,
                                         .identity = identity,
                                         .rest = (const uint8_t *)g->head.data + head_len,
                                         .rest_len = g->head.len - head_len,
                                         .is_poll = route == ROUTE_BOSH};
    const char *why = "";
    int status = route_check(route, request, &onward.content_len, &why);

    if (status) {
        refuse(g, status, why);
    } else if (admit(g, identity)) {
        passthrough_new(g->listener->proxy, g->conn, &onward);
        guest_free(g);
    }
}

static void serve_bosh(struct guest *g, const struct http_head *request, size_t head_len,
                       const struct peer_identity *identity, const char *path)
{
    struct proxy *proxy = g->listener->proxy;

    switch (proxy->config->http.bosh) {
    case BOSH_REFUSE:
        refuse(g, 403, "BOSH is not served here (http.bosh): connect by WebSocket.");
        break;
    case BOSH_FORWARD:
        serve_plain(g, request, head_len, identity, ROUTE_BOSH, path);
        break;
    case BOSH_INSPECT:
        bosh_take(proxy->bosh, g->conn, request, identity, (const uint8_t *)g->head.data + head_len,
                  g->head.len - head_len);
        guest_free(g);
        break;
    }
}

static void serve(struct guest *g, const struct http_head *request, size_t head_len,
                  const struct peer_identity *identity)
{
    const struct config *config = g->listener->proxy->config;
    const char *path = "";
    enum route route = route_find(config, request->path, &path);

    if (route == ROUTE_NOWHERE)
        refuse(g, 404, "There is nothing at this path.");
    else if (!door_origin_is_allowed(config, request))
        refuse(g, 403, "This Origin is not in listen.allowed_origins.");
    else if (route == ROUTE_BOSH)
        serve_bosh(g, request, head_len, identity, path);
    else if (route == ROUTE_WEBSOCKET && handshake_is_upgrade(request))
        serve_websocket(g, request, head_len, identity);
    else
        serve_plain(g, request, head_len, identity, route, path);
}

static void identify(struct guest *g, const struct http_head *request, size_t head_len)
{
    struct peer_identity identity;

    if (!peer_identify(g->listener->proxy->config, g->conn, request, &identity)) {
        refuse(g, 503, "Out of memory.");
        return;
    }
    g->address = identity.key;
    if (identity.is_trusted)
        memcpy(g->name, identity.address, sizeof g->name);
    serve(g, request, head_len, &identity);
    peer_identity_done(&identity);
}

static void read_head(struct guest *g)
{
    struct http_head request;
    size_t head_len = 0;

    if (g->head.failed) {
        refuse(g, 503, "Out of memory.");
        return;
    }
    switch (http_parse_request(g->head.data, g->head.len, &request, &head_len)) {
    case HTTP_OK:
        identify(g, &request, head_len);
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

static void begin_head(struct guest *g)
{
    g->is_idle = false;
    conn_expire(g->conn, g->listener->proxy->config->limits.handshake_timeout_ms);
    g->until = conn_deadline(g->conn);
}

static void on_received(void *owner, uint8_t *data, size_t len)
{
    struct guest *g = owner;

    if (g->is_idle)
        begin_head(g);
    buf_add(&g->head, data, len);
    read_head(g);
}

static void read_rest(struct deferred *work)
{
    read_head((struct guest *)((char *)work - offsetof(struct guest, rest)));
}

static void on_closed(void *owner, const char *why)
{
    struct guest *g = owner;
    struct proxy *proxy = g->listener->proxy;

    if (!g->is_idle && loop_now(proxy->loop) >= g->until && is_told(g, REJECTION_NO_REQUEST))
        log_line(LOG_LEVEL_INFO, TAG, "%s refused: no request in limits.handshake_timeout",
                 name_of(g));
    guest_free(g);
}

static const struct conn_callbacks guest_events = {.received = on_received, .closed = on_closed};

/* A connection that is in has two files, the second maybe not yet. */
size_t listener_room(const struct listener *l)
{
    const struct proxy *proxy = l->proxy;
    size_t others = loop_conns_len(proxy->loop) - crowd_len(l->guests, NULL);
    size_t in = 2 * (proxy->streams_len + proxy->passthroughs);

    others = others > in ? others : in;
    return others + GUESTS_MIN < l->files ? l->files - others : GUESTS_MIN;
}

/* Guests that may be there at a time: with all others no more than there are files. */
static size_t room_for_guests(const struct listener *l)
{
    size_t max = l->proxy->config->limits.connections, room = listener_room(l);

    return room < max ? room : max;
}

size_t listener_files_wanted(const struct config *config)
{
    size_t each = config->http.bosh == BOSH_INSPECT ? 4 : 2;

    return each * config->limits.connections + SPARE_GUESTS + OTHER_FILES;
}

static size_t count_files(const struct config *config)
{
    const size_t least = 2 * (size_t)config->limits.connections + SPARE_GUESTS;
    struct rlimit limit;
    size_t files = listener_files_wanted(config) - OTHER_FILES;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < files + OTHER_FILES)
        files = limit.rlim_cur > OTHER_FILES ? limit.rlim_cur - OTHER_FILES : 0;
    return files > least ? files : least;
}

/* A request follows its connection at once; who waited longest is the least likely to be honest. So
 * it goes, and the one who comes has as much time as others take to come. */
static void make_room(struct listener *l, const struct in6_addr *address)
{
    const unsigned max = l->proxy->config->limits.connections_per_ip;
    struct guest *oldest = NULL;

    if (address && max && crowd_len(l->guests, address) >= max)
        oldest = oldest_guest(l, address);
    else if (crowd_len(l->guests, NULL) >= room_for_guests(l))
        oldest = oldest_guest(l, NULL);
    if (!oldest)
        return;
    if (!oldest->is_idle)
        log_line(is_told(oldest, REJECTION_CROWDED_OUT) ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, TAG,
                 "%s refused: it sent no request, and others wait", name_of(oldest));
    conn_abort(oldest->conn);
    guest_free(oldest);
}

/* NULL when out of memory; then the conn is ended. */
static struct guest *guest_new(struct listener *l, struct conn *c)
{
    struct guest *g = calloc(1, sizeof *g);
    struct in6_addr address = IN6ADDR_ANY_INIT;
    /* Many clients come by a proxy's address. */
    bool is_direct = conn_peer_address(c, &address) && !peer_is_trusted(l->proxy->config, &address);

    make_room(l, is_direct ? &address : NULL);
    if (!g || !crowd_add(l->guests, &g->member, is_direct ? &address : NULL)) {
        free(g);
        conn_abort(c);
        return NULL;
    }
    g->listener = l;
    g->conn = c;
    g->address = address;
    g->rest.run = read_rest;
    conn_set_owner(c, &guest_events, g);
    return g;
}

bool listener_may_keep(const struct http_head *request)
{
    return request->minor_version > 0 && !http_header_has_token(request, "connection", "close");
}

/* The rest is read at the end of the turn: a request in it that is answered at once brings us here
 * again. */
void listener_take_back(struct listener *l, struct conn *conn, const uint8_t *rest, size_t rest_len)
{
    struct guest *g = l->socket ? guest_new(l, conn) : NULL;

    if (!l->socket)
        conn_close(conn);
    if (!g)
        return;
    conn_resume(conn);
    if (rest_len) {
        begin_head(g);
        buf_add(&g->head, rest, rest_len);
        loop_defer(l->proxy->loop, &g->rest);
    } else {
        g->is_idle = true;
        conn_expire(conn, KEEP_LIMIT_MS);
    }
}

static void on_socket(void *ctx, int fd, const struct sockaddr_storage *from)
{
    struct listener *l = ctx;
    struct conn *c = conn_accept(l->proxy->loop, fd, from, l->tls);
    struct guest *g = c ? guest_new(l, c) : NULL;

    if (g)
        begin_head(g);
}

static bool open_socket(struct listener *l)
{
    const struct config *config = l->proxy->config;
    const struct listen_place where = {.unix_path = config->listen.unix_path,
                                       .host = config->listen.host,
                                       .port = config->listen.port,
                                       .reuse_port = config->listen.reuse_port};
    const char *why;
    char place[256];

    l->socket = listen_socket_new(l->proxy->loop, &where, on_socket, l, &why);
    if (l->socket)
        return true;
    listener_place(config, place, sizeof place);
    log_line(LOG_LEVEL_ERROR, TAG,
             "cannot listen on %s (%s): is the address free and this machine's own?", place, why);
    return false;
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

void listener_recount(struct listener *l)
{
    l->files = count_files(l->proxy->config);
}

/* Connections hold on to the one they began with. */
void listener_swap_tls(struct listener *l, struct ssl_ctx_st *tls)
{
    SSL_CTX_free(l->tls);
    l->tls = tls;
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
    struct listener *l;

    if (config->listen.unix_path && !unix_path_clear(config->listen.unix_path))
        return NULL;
    l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    l->proxy = proxy;
    l->guests = crowd_new();
    l->files = count_files(config);
    if (!l->guests || !listener_load_tls(config, &l->tls)) {
        listener_free(l);
        return NULL;
    }
    if (door_service_is_public(config))
        log_line(
            LOG_LEVEL_WARN, TAG,
            "service.jid is an account of a domain that every client may log in to: its password "
            "can be tried by anybody; give the service accounts a domain of their own");
    if (!open_socket(l)) {
        listener_free(l);
        return NULL;
    }
    return l;
}

void listener_tick(struct listener *l)
{
    listen_socket_tick(l->socket);
}

/* Who is at the door with a request on its way is still served: another process cannot take it. */
void listener_close(struct listener *l)
{
    struct crowd_member *next;

    listen_socket_close(l->socket);
    l->socket = NULL;
    for (struct crowd_member *at = crowd_oldest(l->guests, NULL); at; at = next) {
        struct guest *g = guest_of(at);

        next = at->next;
        if (!g->is_idle)
            continue;
        conn_close(g->conn);
        guest_free(g);
    }
}

void listener_turn_away(struct listener *l)
{
    for (struct guest *g; (g = oldest_guest(l, NULL));) {
        conn_close(g->conn);
        guest_free(g);
    }
}

void listener_free(struct listener *l)
{
    if (!l)
        return;
    listen_socket_close(l->socket);
    for (struct guest *g; l->guests && (g = oldest_guest(l, NULL));) {
        conn_abort(g->conn);
        guest_free(g);
    }
    crowd_free(l->guests);
    SSL_CTX_free(l->tls);
    free(l);
}
