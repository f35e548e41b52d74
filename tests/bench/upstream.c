/*
 * Stands in for Prosody: answers the upgrade, the two opens, a login, a bind and joins, echoes
 * every other message, and sends a burst where one is asked for. One process; it listens on
 * 127.0.0.1:PORT.
 */
#include "link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS 256
#define LISTENERS_MAX 8
#define BURST 100
#define BURST_STANZA 600

struct peer {
    struct link link; /* first: peer_of */
    bool is_logged_in;
    struct peer *dead; /* freed when the turn is over */
};

static struct buf burst;
static struct peer *dead;
static unsigned long bound;

/* Presence as a room sends it, told from a join's own by having no status. */
static void make_burst(void)
{
    char stanza[BURST_STANZA + 1];

    for (int i = 0; i < BURST; i++) {
        int len = snprintf(stanza, sizeof stanza,
                           "<presence xmlns='jabber:client' from='room@conference.bench.example/"
                           "n%03d' to='user@bench.example/r'><nick xmlns='http://jabber.org/"
                           "protocol/nick'>Somebody</nick><x xmlns='http://jabber.org/protocol/"
                           "muc#user'><item affiliation='member' role='participant'/></x><stats>",
                           i + 300);
        const char *tail = "</stats></presence>";

        memset(stanza + len, 'x', (size_t)(BURST_STANZA - len));
        memcpy(stanza + BURST_STANZA - strlen(tail), tail, strlen(tail));
        ws_encode(&burst, WS_OP_TEXT, stanza, BURST_STANZA, NULL);
    }
}

static struct peer *peer_of(struct link *l)
{
    return (struct peer *)l;
}

static void on_head(struct link *l, const char *head)
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455 section 1.3 */
    const char *key = strcasestr(head, "\r\nsec-websocket-key:");
    char text[64], accept[32], answer[256];
    unsigned char hash[SHA_DIGEST_LENGTH];
    int len;

    if (!key)
        die("upstream: no WebSocket request: %s", head);
    key += strlen("\r\nsec-websocket-key:");
    key += strspn(key, " ");
    snprintf(text, sizeof text, "%.24s%s", key, guid);
    SHA1((unsigned char *)text, strlen(text), hash);
    EVP_EncodeBlock((unsigned char *)accept, hash, sizeof hash);
    len = snprintf(answer, sizeof answer,
                   "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                   "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n"
                   "Sec-WebSocket-Protocol: xmpp\r\n\r\n",
                   accept);
    link_send_raw(l, answer, (size_t)len);
}

static void say(struct link *l, const char *text)
{
    link_send(l, text, strlen(text));
}

static void opens(struct link *l)
{
    say(l, "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' from='bench.example' id='s1' "
           "version='1.0' xml:lang='en'/>");
    say(l, peer_of(l)->is_logged_in
               ? "<stream:features xmlns:stream='http://etherx.jabber.org/streams' "
                 "xmlns='jabber:client'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
                 "<required/></bind><sm xmlns='urn:xmpp:sm:3'/></stream:features>"
               : "<stream:features xmlns:stream='http://etherx.jabber.org/streams' "
                 "xmlns='jabber:client'><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>"
                 "<mechanism>ANONYMOUS</mechanism></mechanisms></stream:features>");
}

static bool begins(const char *data, size_t len, const char *text)
{
    return data && len >= strlen(text) && memcmp(data, text, strlen(text)) == 0;
}

static void iq(struct link *l, const char *data, size_t len)
{
    char answer[256];

    if (memmem(data, len, "<burst", 6)) {
        link_send_raw(l, burst.data, burst.len);
    } else if (memmem(data, len, "xmpp-bind", 9)) {
        snprintf(answer, sizeof answer,
                 "<iq xmlns='jabber:client' type='result' id='bind'><bind "
                 "xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>u%lu@bench.example/r</jid>"
                 "</bind></iq>",
                 ++bound);
        say(l, answer);
    } else {
        link_send(l, data, len);
    }
}

/* One's own presence, as it ends a join (XEP-0045 section 7.2.2); nobody else is in the room. */
static void joined(struct link *l, const char *data, size_t len)
{
    const char *to = memmem(data, len, " to='", 5), *end;
    char answer[512];

    to = to ? to + 5 : data;
    end = memchr(to, '\'', (size_t)(data + len - to));
    if (!end || end - to > 200)
        die("upstream: no room in: %.*s", (int)len, data);
    snprintf(answer, sizeof answer,
             "<presence xmlns='jabber:client' from='%.*s' to='user@bench.example/r'>"
             "<x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='none' "
             "role='participant'/><status code='100'/><status code='110'/></x></presence>",
             (int)(end - to), to);
    say(l, answer);
}

static void on_message(struct link *l, const char *data, size_t len)
{
    if (begins(data, len, "<iq")) {
        iq(l, data, len);
    } else if (begins(data, len, "<presence") && memmem(data, len, "protocol/muc'", 13)) {
        joined(l, data, len);
    } else if (begins(data, len, "<open")) {
        opens(l);
    } else if (begins(data, len, "<auth")) {
        peer_of(l)->is_logged_in = true;
        say(l, "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    } else if (begins(data, len, "<close")) {
        say(l, "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>");
    } else {
        link_send(l, data, len);
    }
}

static void on_lost(struct link *l)
{
    peer_of(l)->dead = dead;
    dead = peer_of(l);
}

static const struct link_events events = {.head = on_head, .message = on_message, .lost = on_lost};

static void take(int listener, int epoll)
{
    int fd, one = 1;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct peer *p = calloc(1, sizeof *p);

        if (!p)
            die("out of memory");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        link_begin(&p->link, fd, epoll, WS_SERVER, &events);
    }
    if (errno != EAGAIN)
        die("upstream: accept: %s", strerror(errno));
}

static int listen_on(const char *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)atoi(port)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 4096) != 0)
        die("upstream: port %s: %s", port, strerror(errno));
    return fd;
}

int main(int argc, char **argv)
{
    struct epoll_event happened[EVENTS], wanted = {.events = EPOLLIN};
    int listeners[LISTENERS_MAX], epoll = epoll_create1(EPOLL_CLOEXEC), len = argc - 1;

    if (len < 1 || len > LISTENERS_MAX)
        die("usage: upstream PORT...");
    raise_file_limit();
    make_burst();
    for (int i = 0; i < len; i++) {
        listeners[i] = listen_on(argv[i + 1]);
        epoll_ctl(epoll, EPOLL_CTL_ADD, listeners[i], &wanted);
    }
    puts("upstream is listening");
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(epoll, happened, EVENTS, -1);

        for (int i = 0; i < n; i++) {
            if (happened[i].data.ptr)
                link_handle(happened[i].data.ptr, happened[i].events);
            for (int at = 0; !happened[i].data.ptr && at < len; at++)
                take(listeners[at], epoll);
        }
        while (dead) {
            struct peer *p = dead;

            dead = p->dead;
            free(p);
        }
    }
}
