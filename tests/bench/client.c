/*
 * See client.h. What a newcomer gets wrong: a message whose time has come is stamped with that time
 * and not with the one at which the bench came to send it, or a slow proxy would slow the bench and
 * look fast (coordinated omission); with a depth, not a timetable, the two are the same.
 */
#include "client.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char open_text[] =
    "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='bench.example' version='1.0'/>";
static const char auth_text[] =
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>";
static const char bind_text[] = "<iq xmlns='jabber:client' type='set' id='bind'><bind "
                                "xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";

static const struct link_events events;

static struct client *client_of(struct link *l)
{
    return (struct client *)l;
}

void client_begin(struct client *c, struct rival *rival)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    char request[4096];
    int len;

    *c = (struct client){.rival = rival, .began = now_ns()};
    if (fd < 0)
        die("socket: %s", strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&rival->address, sizeof rival->address) != 0 &&
        errno != EINPROGRESS)
        die("%s: connect: %s", rival->name, strerror(errno));
    link_begin(&c->link, fd, rival->epoll, WS_CLIENT, &events);
    len = snprintf(request, sizeof request,
                   "GET %s HTTP/1.1\r\nHost: bench.example\r\nUpgrade: websocket\r\n"
                   "Connection: Upgrade\r\nOrigin: https://bench.example\r\n"
                   "User-Agent: bench\r\nSec-WebSocket-Version: 13\r\n"
                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                   "Sec-WebSocket-Protocol: xmpp\r\n\r\n",
                   rival->target);
    if (len >= (int)sizeof request)
        die("the target is too long");
    link_send_raw(&c->link, request, (size_t)len);
    link_flush(&c->link);
}

static void stamp(struct client *c)
{
    if (c->sent_len == DEPTH_MAX)
        die("%s: more than %d messages on their way on one stream", c->rival->name, DEPTH_MAX);
    c->sent[(c->sent_first + c->sent_len++) % DEPTH_MAX] = now_ns();
    c->rival->in_flight++;
    c->missing = c->rival->expected;
}

static void ask(struct client *c)
{
    stamp(c);
    link_send_raw(&c->link, c->rival->message.data, c->rival->message.len);
}

void client_ask(struct client *c)
{
    ask(c);
    link_flush(&c->link);
}

void client_leave(struct client *c)
{
    static const uint8_t mask[4] = {1, 2, 3, 4};

    ws_encode_close(&c->link.out, 1000, NULL, 0, mask);
    link_flush(&c->link);
}

static void answered(struct client *c)
{
    struct rival *rival = c->rival;

    rival->received++;
    if (--c->missing > 0)
        return;
    if (c->sent_len == 0)
        die("%s: an answer to nothing", rival->name);
    histogram_add(&rival->latency, now_ns() - c->sent[c->sent_first]);
    c->sent_first = (c->sent_first + 1) % DEPTH_MAX;
    c->sent_len--;
    rival->in_flight--;
    c->missing = rival->expected;
    if (rival->is_active)
        ask(c);
}

static void ready(struct client *c)
{
    struct rival *rival = c->rival;

    c->step = CLIENT_READY;
    rival->ready++;
    histogram_add(&rival->latency, now_ns() - c->began);
    if (rival->churns)
        client_leave(c);
}

static void bound(struct client *c)
{
    if (!c->rival->joins) {
        ready(c);
        return;
    }
    c->step = CLIENT_JOINS;
    link_send_raw(&c->link, c->rival->join.data, c->rival->join.len);
}

static void next(struct client *c, enum client_step step, const char *text)
{
    c->step = step;
    link_send(&c->link, text, strlen(text));
}

static bool begins(const char *data, size_t len, const char *text)
{
    return data && len >= strlen(text) && memcmp(data, text, strlen(text)) == 0;
}

static void on_message(struct link *l, const char *data, size_t len)
{
    struct client *c = client_of(l);

    if (c->step == CLIENT_READY)
        answered(c);
    else if (c->step == CLIENT_OPENS && begins(data, len, "<stream:features"))
        next(c, CLIENT_AUTHENTICATES, auth_text);
    else if (c->step == CLIENT_AUTHENTICATES && begins(data, len, "<success"))
        next(c, CLIENT_REOPENS, open_text);
    else if (c->step == CLIENT_REOPENS && begins(data, len, "<stream:features"))
        next(c, CLIENT_BINDS, bind_text);
    else if (c->step == CLIENT_BINDS && begins(data, len, "<iq"))
        bound(c);
    else if (c->step == CLIENT_JOINS && begins(data, len, "<presence") &&
             memmem(data, len, "'110'", 5))
        ready(c);
    else if (!begins(data, len, "<open"))
        die("%s: unexpected: %.*s", c->rival->name, (int)len, data);
}

static void on_head(struct link *l, const char *head)
{
    struct client *c = client_of(l);

    if (strncmp(head, "HTTP/1.1 101 ", 13) != 0)
        die("%s: no upgrade: %s", c->rival->name, head);
    next(c, CLIENT_OPENS, open_text);
}

static void on_lost(struct link *l)
{
    struct client *c = client_of(l);

    if (c->is_kept || (!c->rival->churns && c->rival->is_active))
        die("%s: a stream was lost", c->rival->name);
    c->rival->ended++;
    if (c->rival->churns && c->rival->is_active)
        client_begin(c, c->rival);
}

static const struct link_events events = {.head = on_head, .message = on_message, .lost = on_lost};
