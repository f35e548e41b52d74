/*
 * Who is at the other end: the real client's address behind trusted proxies, what Prosody is told of
 * it, and how many connections it has.
 */
#pragma once

#include "proxy/config.h"
#include "proxy/conn.h"
#include "xmpp/http.h"

struct peer_identity {
    char address[CONN_PEER_MAX]; /* for the log */
    struct in6_addr key; /* for counting; zero where there is no address */
    bool is_trusted;     /* the conn's peer is in trusted_proxies, or comes by a unix socket */
    char *forwarded_for; /* the X-Forwarded-For to send on; NULL: none */
};

/* X-Forwarded-For is extended only when the peer is trusted, else replaced. The real client is the
 * last address in it that no trusted proxy has. False when out of memory. */
bool peer_identify(const struct config *config, const struct conn *conn,
                   const struct http_head *request, struct peer_identity *ret);
void peer_identity_done(struct peer_identity *identity);

/* Whether an address is in one of the ranges; none (zero) is in no range, however wide. */
bool peer_is_listed(const struct cidr *ranges, size_t len, const struct in6_addr *address);
bool peer_is_trusted(const struct config *config, const struct in6_addr *address);
/* What counts as one address: of IPv6 the /64 network, in which one host has as many as it likes. */
struct in6_addr peer_network(const struct in6_addr *address);
#define PEER_NETWORK_TEXT_MAX 56
/* That as text, "192.0.2.1", "2001:db8::/64", "unix" where there is none. */
void peer_network_text(const struct in6_addr *address, char *to, size_t len);

struct peers;
struct peers *peers_new(void);
void peers_free(struct peers *peers);
/* Counts one more connection of address (of its peer_network); false (and not counted) when it has max already (0: no
 * limit) or memory is out. */
bool peers_add(struct peers *peers, const struct in6_addr *address, unsigned max);
void peers_remove(struct peers *peers, const struct in6_addr *address);
