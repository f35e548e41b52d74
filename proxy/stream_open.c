/*
 * How a stream begins: the client's upgrade is answered once Prosody's is, with what Prosody said.
 * A BOSH session has no upgrade that waits; it is refused at once, or is told later by the stream's
 * end.
 */
#include "proxy/stream.h"

#include "proxy/log.h"
#include "proxy/peers.h"
#include "xmpp/query.h"

#include <stdlib.h>
#include <string.h>

#define EARLY_MAX 65536

/* The client's upgrade is answered. False when out of memory. */
static bool open_client(struct stream *s)
{
    struct wsock *client =
        wsock_new(s->conn, WS_SERVER, s->proxy->config->limits.stanza, &stream_client_events, s,
                  (const uint8_t *)s->early.data, s->early.len);

    if (!client)
        return false;
    s->client = wsock_transport(client);
    buf_add_str(conn_output(s->conn), s->response);
    conn_expire(s->conn, CONN_NEVER); /* the door's limit; streams_tick has its own */
    s->conn = NULL;
    free(s->response);
    s->response = NULL;
    buf_done(&s->early);
    return true;
}

static void upstream_opened(void *owner, struct wsock *w)
{
    struct stream *s = owner;

    s->upstream = NULL;
    s->server = w;
    wsock_adopt(w, &stream_server_events, s);
    proxy_upstream_up(s->proxy);
    if (s->conn && !open_client(s)) {
        stream_end(s, CLOSE_NO_MEMORY, NULL);
        return;
    }
    s->state = STREAM_OPEN;
    transport_start(s->client);
    wsock_start(s->server);
}

/* Only where a WebSocket's upgrade waits for it; a BOSH session is told by its end. */
static void refuse_upgrade(struct stream *s, int status, const char *why)
{
    if (s->conn)
        handshake_refuse(conn_output(s->conn), status, why);
}

static void upstream_failed(void *owner, int status, const char *why)
{
    struct stream *s = owner;

    s->upstream = NULL;
    if (status >= 400 && status <= 599) {
        refuse_upgrade(s, status, why);
    } else {
        refuse_upgrade(s, 502, "The XMPP server cannot be reached.");
        proxy_upstream_down(s->proxy, why);
    }
    stream_end(s, CLOSE_PROSODY_DOWN, why);
}

static const struct upstream_callbacks upstream_events = {
    .opened = upstream_opened,
    .failed = upstream_failed,
};

static void early_received(void *owner, uint8_t *data, size_t len)
{
    struct stream *s = owner;

    buf_add(&s->early, data, len);
    if (s->early.failed || s->early.len > EARLY_MAX)
        stream_end(s, CLOSE_TOO_MUCH, "bytes before the upgrade was answered");
}

static void early_closed(void *owner, const char *why)
{
    struct stream *s = owner;

    s->conn = NULL;
    stream_end(s, CLOSE_CLIENT_LOST, why);
}

static const struct conn_callbacks conn_events = {
    .received = early_received,
    .closed = early_closed,
};

static bool has_parameter(const struct http_head *request, const char *name)
{
    char *value = NULL;
    size_t len, count;
    enum query_result result =
        query_get(request->query.at, request->query.len, name, &value, &len, &count);

    free(value);
    return result != QUERY_ABSENT;
}

static bool open_upstream(struct stream *s, const struct http_head *request,
                          const struct peer_identity *identity)
{
    struct handshake_request onward = {.query = request->query,
                                       .client = request,
                                       .forwarded_for = identity->forwarded_for,
                                       .client_is_trusted = identity->is_trusted};

    s->upstream = upstream_open(s->proxy->loop, &s->proxy->upstream, &onward, &upstream_events, s);
    return s->upstream != NULL;
}

/* What the request says of the client. */
static void read_request(struct stream *s, const struct http_head *request)
{
    stream_name(s);
    stream_read_token(s, request);
    s->has_previd = has_parameter(request, "previd") || has_parameter(request, "customusername");
    log_line(LOG_LEVEL_DEBUG, s->tag, "stream begins, token: %s%s%s",
             s->token.status == TOKEN_VALID ? "valid" : "not used",
             s->token.status == TOKEN_VALID ? "" : ": ",
             s->token.status == TOKEN_VALID  ? ""
             : s->token.status == TOKEN_NONE ? "none"
                                             : s->token.reason);
}

static bool is_token_refused(const struct stream *s)
{
    return s->token.status == TOKEN_REFUSED && s->proxy->config->refuse_invalid_token;
}

void stream_new(struct proxy *proxy, struct conn *conn, const struct http_head *request,
                const struct peer_identity *identity, const uint8_t *rest, size_t rest_len)
{
    struct stream *s = stream_make(proxy, identity);
    struct buf response = BUF_INIT;

    if (!s) {
        peers_remove(proxy->peers, &identity->key);
        handshake_refuse(conn_output(conn), 503, "Out of memory.");
        conn_close(conn);
        return;
    }
    s->conn = conn;
    s->login_by = conn_deadline(conn);
    conn_set_owner(conn, &conn_events, s);
    read_request(s, request);
    if (is_token_refused(s)) {
        refuse_upgrade(s, 403, s->token.reason);
        stream_end(s, CLOSE_TOKEN_REFUSED, s->token.reason);
        return;
    }
    buf_add(&s->early, rest, rest_len);
    handshake_accept(&response, request);
    s->response = buf_take(&response);
    if (!s->response || !open_upstream(s, request, identity)) {
        refuse_upgrade(s, 503, "Out of memory.");
        stream_end(s, CLOSE_NO_MEMORY, NULL);
    }
}

int stream_new_carried(struct proxy *proxy, struct transport *client,
                       const struct http_head *request, const struct peer_identity *identity,
                       const char **ret_why)
{
    struct stream *s = stream_make(proxy, identity);
    bool is_refused;

    *ret_why = "Out of memory.";
    if (!s)
        return 503;
    read_request(s, request);
    is_refused = is_token_refused(s);
    if (is_refused || !open_upstream(s, request, identity)) {
        if (is_refused)
            *ret_why = s->token.reason;
        s->is_counted = false;
        stream_end(s, is_refused ? CLOSE_TOKEN_REFUSED : CLOSE_NO_MEMORY,
                   is_refused ? s->token.reason : NULL);
        return is_refused ? 403 : 503;
    }
    s->client = client;
    s->is_carried = true;
    transport_adopt(client, &stream_client_events, s);
    return 0;
}
