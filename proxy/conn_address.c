/*
 * Who is at the other end of a conn. A connection by a unix socket has no address; IPv4 is kept as
 * IPv6 writes it (RFC 4291 section 2.5.5.2).
 */
#include "proxy/conn_lws.h"

#include <stdio.h>
#include <string.h>
#include <arpa/inet.h>

void conn_set_address(struct conn *c, const struct sockaddr_storage *address)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;

    c->is_unix = address->ss_family == AF_UNIX;
    memset(&c->address, 0, sizeof c->address);
    if (address->ss_family == AF_INET) {
        memset((uint8_t *)&c->address + 10, 0xff, 2);
        memcpy((uint8_t *)&c->address + 12, &v4->sin_addr, 4);
        c->port = ntohs(v4->sin_port);
    } else if (address->ss_family == AF_INET6) {
        c->address = v6->sin6_addr;
        c->port = ntohs(v6->sin6_port);
    }
}

void conn_peer(const struct conn *c, char *ret)
{
    char text[INET6_ADDRSTRLEN] = "";
    bool is_v4 = IN6_IS_ADDR_V4MAPPED(&c->address);

    if (c->is_unix) {
        snprintf(ret, CONN_PEER_MAX, "unix");
        return;
    }
    inet_ntop(is_v4 ? AF_INET : AF_INET6, c->address.s6_addr + (is_v4 ? 12 : 0), text, sizeof text);
    snprintf(ret, CONN_PEER_MAX, is_v4 ? "%s:%u" : "[%s]:%u", text, c->port);
}

bool conn_peer_address(const struct conn *c, struct in6_addr *ret)
{
    if (c->is_unix)
        return false;
    *ret = c->address;
    return true;
}

bool conn_is_loopback(const struct conn *c)
{
    return c->is_unix || IN6_IS_ADDR_LOOPBACK(&c->address) ||
           (IN6_IS_ADDR_V4MAPPED(&c->address) && c->address.s6_addr[12] == 127);
}

bool conn_is_tls(const struct conn *c)
{
    return c->tls != NULL;
}
