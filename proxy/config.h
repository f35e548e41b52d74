/*
 * The configuration: one schema (config_schema.c, read by libcyaml), the environment over it, then
 * every value checked and prepared. What comes out is immutable; a reload makes a new one.
 */
#pragma once

#include "policy/rooms.h"
#include "policy/token.h"
#include "proxy/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <netinet/in.h>

/* An address range: "10.0.0.0/8", "::1". IPv4 is kept as IPv4-mapped IPv6. */
struct cidr {
    struct in6_addr address;
    unsigned bits; /* 0 to 128 */
};

struct config {
    struct {
        char *unix_path; /* of unix:PATH, else NULL */
        char *host;      /* numeric address; "" for every address */
        uint16_t port;
        bool reuse_port; /* another process may listen on the same address */
        char *path; /* begins with '/' */
        struct {
            char *certificate, *key; /* files; both NULL or both set */
        } tls;
        struct cidr *trusted_proxies;
        size_t trusted_proxies_len;
        char **allowed_origins; /* NULL-terminated, public_url's among them; empty: any */
        bool absent_origin; /* a WebSocket without Origin is taken while origins are checked */
    } listen;
    struct {
        char *url; /* as written */
        bool tls;  /* wss:// */
        char *host; /* to connect to: a name or a number */
        uint16_t port;
        char *path;
        char *http_host; /* the Host header: upstream.host, or xmpp.domain (wire fact 1) */
        char *ca_file;   /* NULL: the system's */
    } upstream;
    struct muc_service xmpp; /* prepared; owned */
    char *guest_domain, *hidden_domain; /* prepared; "" when there is none */
    struct {
        char *jid;      /* prepared bare JID */
        char *node, *domain;
        char *password;
        bool configured; /* service.jid given; without it every lobby user is refused */
        struct cidr *allowed_from; /* whose clients may open a stream to its domain */
        size_t allowed_from_len;
    } service;
    struct token_rules token; /* owned; domain is xmpp.domain */
    bool refuse_invalid_token; /* token.on_invalid: refuse (HTTP 403); default forward */
    struct {
        char *key_server, *keys_url; /* as written but for slashes at a key server's end; NULL when
                                        not set; not both */
        bool tls;                    /* https:// */
        char *host;                  /* to connect to: a name or a number; NULL when neither is set */
        uint16_t port;
        char *authority; /* host and port as the URL has them */
        char *ca_file;   /* NULL: the system's */
    } keys;
    struct rooms_config lobby;
    bool dry_run; /* lobby.dry_run: decide and log, touch nothing */
    struct {
        char **forward; /* NULL-terminated paths */
        enum http_bosh { BOSH_INSPECT, BOSH_REFUSE, BOSH_FORWARD } bosh;
    } http;
    struct {
        size_t stanza;        /* bytes of a client's message */
        size_t server_stanza; /* bytes of a message from Prosody */
        unsigned connections, connections_per_ip; /* 0: no limit per address */
        int64_t handshake_timeout_ms;             /* from connection to bound stream */
        int64_t idle_timeout_ms;                  /* no byte either way */
        int64_t drain_ms; /* over which streams are closed at a stop */
    } limits;
    struct {
        char *file; /* NULL: none */
    } state;
    struct {
        enum log_level level;
        bool json;
    } log;
    void *memory; /* private */
};

/* Reads file (NULL: defaults and environment only), applies environment (NULL-terminated "K=V" as in
 * environ), checks. On failure NULL, and every error found was printed to errors as one line
 * "FILE:LINE: KEY: what is wrong; what to do". The caller frees the result with config_free. */
struct config *config_load(const char *file, char *const *environment, FILE *errors);
void config_free(struct config *config);
