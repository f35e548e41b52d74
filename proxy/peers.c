/*
 * Addresses of clients.
 */
#include "proxy/peers.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

/* Prosody refuses a head of more than 10 KiB. */
#define FORWARDED_MAX 4096

struct entry {
    struct in6_addr address;
    unsigned count;
    UT_hash_handle hh;
};

struct peers {
    struct entry *entries;
};

static bool matches(const struct cidr *range, const struct in6_addr *address)
{
    unsigned whole = range->bits / 8, rest = range->bits % 8;

    if (memcmp(range->address.s6_addr, address->s6_addr, whole) != 0)
        return false;
    return rest == 0 ||
           (range->address.s6_addr[whole] ^ address->s6_addr[whole]) >> (8 - rest) == 0;
}

static void print_address(const struct in6_addr *address, char *to, size_t len)
{
    if (IN6_IS_ADDR_V4MAPPED(address))
        inet_ntop(AF_INET, address->s6_addr + 12, to, (socklen_t)len);
    else
        inet_ntop(AF_INET6, address, to, (socklen_t)len);
}

bool peer_is_listed(const struct cidr *ranges, size_t len, const struct in6_addr *address)
{
    if (IN6_IS_ADDR_UNSPECIFIED(address))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (matches(&ranges[i], address))
            return true;
    }
    return false;
}

bool peer_is_trusted(const struct config *config, const struct in6_addr *address)
{
    return peer_is_listed(config->listen.trusted_proxies, config->listen.trusted_proxies_len,
                          address);
}

/* Below the first 64 bits a host chooses its addresses itself (RFC 7421). Where those are zero
 * there are only special addresses, ::1 among them. */
static bool has_network(const struct in6_addr *address)
{
    static const uint8_t zero[8];

    return memcmp(address->s6_addr, zero, sizeof zero) != 0;
}

struct in6_addr peer_network(const struct in6_addr *address)
{
    struct in6_addr network = *address;

    if (has_network(address))
        memset(network.s6_addr + 8, 0, 8);
    return network;
}

void peer_network_text(const struct in6_addr *address, char *to, size_t len)
{
    struct in6_addr network = peer_network(address);
    char text[INET6_ADDRSTRLEN] = "unix";

    if (!IN6_IS_ADDR_UNSPECIFIED(address))
        print_address(&network, text, sizeof text);
    snprintf(to, len, "%s%s", text, has_network(address) ? "/64" : "");
}

/* An entry of X-Forwarded-For: an address, maybe with a port or in brackets. */
static bool parse_address(const char *text, size_t len, struct in6_addr *ret)
{
    char copy[INET6_ADDRSTRLEN + 16];
    char *start = copy;
    struct in_addr v4;

    while (len && (*text == ' ' || *text == '\t'))
        text++, len--;
    while (len && (text[len - 1] == ' ' || text[len - 1] == '\t'))
        len--;
    if (len == 0 || len >= sizeof copy)
        return false;
    memcpy(copy, text, len);
    copy[len] = '\0';
    if (*start == '[') {
        start++;
        start[strcspn(start, "]")] = '\0';
    } else if (strchr(start, ':') && strchr(start, ':') == strrchr(start, ':')) {
        *strchr(start, ':') = '\0';
    }
    if (inet_pton(AF_INET, start, &v4) == 1) {
        memset(ret, 0, sizeof *ret);
        memset(ret->s6_addr + 10, 0xff, 2);
        memcpy(ret->s6_addr + 12, &v4, 4);
        return true;
    }
    return inet_pton(AF_INET6, start, ret) == 1;
}

/* Every proxy appends, so a long list is cut where it begins, in what a client made up. */
static void gather(const struct http_head *request, struct buf *list)
{
    for (size_t i = 0; i < request->headers_len; i++) {
        const struct http_header *header = &request->headers[i];

        if (!http_slice_is_nocase(header->name, "x-forwarded-for") || header->value.len == 0)
            continue;
        if (list->len)
            buf_add_str(list, ", ");
        buf_add(list, header->value.at, header->value.len);
    }
    if (list->failed || list->len <= FORWARDED_MAX)
        return;
    buf_drop(list, list->len - FORWARDED_MAX);
    const char *comma = memchr(list->data, ',', list->len);
    buf_drop(list, comma ? (size_t)(comma - list->data) + 1 : list->len);
}

/* From the right: the first that is not ours is who asked our outermost proxy. */
static bool real_client(const struct config *config, const struct buf *list, struct in6_addr *ret)
{
    size_t end = list->len;

    while (end > 0) {
        size_t start = end;
        struct in6_addr address;

        while (start > 0 && list->data[start - 1] != ',')
            start--;
        if (!parse_address(list->data + start, end - start, &address))
            return false;
        *ret = address;
        if (!peer_is_trusted(config, &address))
            return true;
        end = start ? start - 1 : 0;
    }
    return true;
}

bool peer_identify(const struct config *config, const struct conn *conn,
                   const struct http_head *request, struct peer_identity *ret)
{
    struct buf list = BUF_INIT;
    struct in6_addr peer = IN6ADDR_ANY_INIT;
    bool has_address = conn_peer_address(conn, &peer);
    char text[INET6_ADDRSTRLEN] = "";

    memset(ret, 0, sizeof *ret);
    ret->is_trusted = !has_address || peer_is_trusted(config, &peer);
    ret->key = peer;
    if (ret->is_trusted)
        gather(request, &list);
    if (list.len && !real_client(config, &list, &ret->key))
        ret->key = peer;
    if (has_address) {
        print_address(&peer, text, sizeof text);
        if (list.len)
            buf_add_str(&list, ", ");
        buf_add_str(&list, text);
    }
    if (has_address && memcmp(&ret->key, &peer, sizeof peer) == 0)
        memcpy(ret->address, text, sizeof text);
    else if (has_address || !IN6_IS_ADDR_UNSPECIFIED(&ret->key))
        print_address(&ret->key, ret->address, sizeof ret->address);
    else
        strcpy(ret->address, "unix");
    if (list.failed) {
        buf_done(&list);
        return false;
    }
    ret->forwarded_for = buf_take(&list);
    return true;
}

void peer_identity_done(struct peer_identity *identity)
{
    free(identity->forwarded_for);
    identity->forwarded_for = NULL;
}

struct peers *peers_new(void)
{
    return calloc(1, sizeof(struct peers));
}

void peers_free(struct peers *peers)
{
    struct entry *e, *next;

    if (!peers)
        return;
    HASH_ITER(hh, peers->entries, e, next)
    {
        HASH_DEL(peers->entries, e);
        free(e);
    }
    free(peers);
}

bool peers_add(struct peers *peers, const struct in6_addr *address, unsigned max)
{
    const struct in6_addr network = peer_network(address);
    struct entry *e = NULL;

    HASH_FIND(hh, peers->entries, &network, sizeof network, e);
    if (e) {
        if (max && e->count >= max && !IN6_IS_ADDR_UNSPECIFIED(address))
            return false;
        e->count++;
        return true;
    }
    e = calloc(1, sizeof *e);
    if (!e)
        return false;
    e->address = network;
    e->count = 1;
    HASH_ADD(hh, peers->entries, address, sizeof e->address, e);
    if (!e->hh.tbl) { /* no memory for the table */
        free(e);
        return false;
    }
    return true;
}

void peers_remove(struct peers *peers, const struct in6_addr *address)
{
    const struct in6_addr network = peer_network(address);
    struct entry *e = NULL;

    HASH_FIND(hh, peers->entries, &network, sizeof network, e);
    if (!e || --e->count > 0)
        return;
    HASH_DEL(peers->entries, e);
    free(e);
}
