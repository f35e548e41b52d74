/*
 * The one place that names every configuration key: its path in the file, what kind of value it has,
 * its default, its range and docker-jitsi-meet's variable for it. The file's schema for libcyaml, the
 * environment's names and the tests of the manual and the sample file are made from it.
 *
 * A new key is one line here, one in config.c that puts it into struct config, and its entry in
 * docs/configuration.md and vestibule.example.yaml (tests/unit/test_config.c fails without).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cyaml_schema_value;

enum config_kind {
    CONFIG_TEXT,
    CONFIG_SECRET,   /* text that is never printed */
    CONFIG_LIST,     /* of text; parted by commas in the environment and in the defaults below */
    CONFIG_BOOL,
    CONFIG_COUNT,    /* a whole number */
    CONFIG_SIZE,     /* bytes: "256KiB" */
    CONFIG_DURATION, /* milliseconds: "5s" */
    CONFIG_CHOICE,   /* one of the words of choices */
};

/* The units of the ranges below. */
#define CONFIG_KIB INT64_C(1024)
#define CONFIG_MIB (1024 * CONFIG_KIB)
#define CONFIG_SECOND INT64_C(1000)

/*
 * KEY(name, path, kind, default, lowest, highest, choices, docker-jitsi-meet's variable)
 *
 * The environment's name is VESTIBULE_name. A default of "" means that there is none, or that it is
 * worked out from other keys (xmpp.muc, token.algorithm); for a list, that it is empty.
 */
// clang-format off
#define CONFIG_KEYS(KEY) \
    KEY(LISTEN_ADDRESS, "listen.address", TEXT, "127.0.0.1:5281", 0, 0, NULL, NULL) \
    KEY(LISTEN_REUSE_PORT, "listen.reuse_port", BOOL, "false", 0, 0, NULL, NULL) \
    KEY(LISTEN_PATH, "listen.path", TEXT, "/xmpp-websocket", 0, 0, NULL, NULL) \
    KEY(LISTEN_TLS_CERTIFICATE, "listen.tls.certificate", TEXT, "", 0, 0, NULL, NULL) \
    KEY(LISTEN_TLS_KEY, "listen.tls.key", TEXT, "", 0, 0, NULL, NULL) \
    KEY(LISTEN_TRUSTED_PROXIES, "listen.trusted_proxies", LIST, "127.0.0.1,::1", 0, 0, NULL, NULL) \
    KEY(LISTEN_ALLOWED_ORIGINS, "listen.allowed_origins", LIST, "", 0, 0, NULL, NULL) \
    KEY(LISTEN_PUBLIC_URL, "listen.public_url", TEXT, "", 0, 0, NULL, "PUBLIC_URL") \
    KEY(LISTEN_ABSENT_ORIGIN, "listen.absent_origin", BOOL, "true", 0, 0, NULL, NULL) \
    KEY(UPSTREAM_URL, "upstream.url", TEXT, "ws://127.0.0.1:5280/xmpp-websocket", 0, 0, NULL, NULL) \
    KEY(UPSTREAM_HOST, "upstream.host", TEXT, "", 0, 0, NULL, NULL) \
    KEY(UPSTREAM_CA_FILE, "upstream.ca_file", TEXT, "", 0, 0, NULL, NULL) \
    KEY(XMPP_DOMAIN, "xmpp.domain", TEXT, "", 0, 0, NULL, "XMPP_DOMAIN") \
    KEY(XMPP_MUC, "xmpp.muc", TEXT, "", 0, 0, NULL, "XMPP_MUC_DOMAIN") \
    KEY(XMPP_LOBBY, "xmpp.lobby", TEXT, "", 0, 0, NULL, NULL) \
    KEY(XMPP_TENANTS, "xmpp.tenants", BOOL, "true", 0, 0, NULL, NULL) \
    KEY(XMPP_GUEST_DOMAIN, "xmpp.guest_domain", TEXT, "", 0, 0, NULL, "XMPP_GUEST_DOMAIN") \
    KEY(XMPP_HIDDEN_DOMAIN, "xmpp.hidden_domain", TEXT, "", 0, 0, NULL, "XMPP_HIDDEN_DOMAIN") \
    KEY(SERVICE_JID, "service.jid", TEXT, "", 0, 0, NULL, "JVB_AUTH_USER") \
    KEY(SERVICE_PASSWORD, "service.password", SECRET, "", 0, 0, NULL, "JVB_AUTH_PASSWORD") \
    KEY(SERVICE_PASSWORD_FILE, "service.password_file", TEXT, "", 0, 0, NULL, NULL) \
    KEY(SERVICE_ALLOWED_FROM, "service.allowed_from", LIST, "", 0, 0, NULL, NULL) \
    KEY(TOKEN_APP_ID, "token.app_id", TEXT, "", 0, 0, NULL, "JWT_APP_ID") \
    KEY(TOKEN_SECRET, "token.secret", SECRET, "", 0, 0, NULL, "JWT_APP_SECRET") \
    KEY(TOKEN_SECRET_FILE, "token.secret_file", TEXT, "", 0, 0, NULL, NULL) \
    KEY(TOKEN_ALGORITHM, "token.algorithm", CHOICE, "", 0, 0, "HS256|HS384|HS512|RS256|RS384|RS512|ES256|ES384", "JWT_SIGN_TYPE") \
    KEY(TOKEN_KEY_SERVER, "token.key_server", TEXT, "", 0, 0, NULL, "JWT_ASAP_KEYSERVER") \
    KEY(TOKEN_KEYS_URL, "token.keys_url", TEXT, "", 0, 0, NULL, NULL) \
    KEY(TOKEN_CA_FILE, "token.ca_file", TEXT, "", 0, 0, NULL, NULL) \
    KEY(TOKEN_ACCEPTED_ISSUERS, "token.accepted_issuers", LIST, "", 0, 0, NULL, "JWT_ACCEPTED_ISSUERS") \
    KEY(TOKEN_ACCEPTED_AUDIENCES, "token.accepted_audiences", LIST, "*", 0, 0, NULL, "JWT_ACCEPTED_AUDIENCES") \
    KEY(TOKEN_REQUIRE_ROOM, "token.require_room", BOOL, "true", 0, 0, NULL, NULL) \
    KEY(TOKEN_DOMAIN_VERIFICATION, "token.domain_verification", BOOL, "true", 0, 0, NULL, "JWT_ENABLE_DOMAIN_VERIFICATION") \
    KEY(TOKEN_ON_INVALID, "token.on_invalid", CHOICE, "forward", 0, 0, "forward|refuse", NULL) \
    KEY(LOBBY_CLAIMS, "lobby.claims", LIST, "context.features.lobby,context.user.lobby", 0, 0, NULL, NULL) \
    KEY(LOBBY_PERSISTENT, "lobby.persistent", BOOL, "true", 0, 0, NULL, NULL) \
    KEY(LOBBY_HOLD_TIMEOUT, "lobby.hold_timeout", DURATION, "5s", 100, 15 * CONFIG_SECOND, NULL, NULL) \
    KEY(LOBBY_ON_FAILURE, "lobby.on_failure", CHOICE, "deny", 0, 0, "deny|forward", NULL) \
    KEY(LOBBY_MISSING_ROOM, "lobby.missing_room", CHOICE, "refuse", 0, 0, "refuse|create", NULL) \
    KEY(LOBBY_DRY_RUN, "lobby.dry_run", BOOL, "false", 0, 0, NULL, NULL) \
    KEY(HTTP_FORWARD, "http.forward", LIST, "/_api/room-info,/room-info,/conference-request", 0, 0, NULL, NULL) \
    KEY(HTTP_BOSH, "http.bosh", CHOICE, "inspect", 0, 0, "inspect|refuse|forward", NULL) \
    KEY(LIMITS_STANZA, "limits.stanza", SIZE, "256KiB", 4 * CONFIG_KIB, 64 * CONFIG_MIB, NULL, NULL) \
    KEY(LIMITS_SERVER_STANZA, "limits.server_stanza", SIZE, "10MiB", 64 * CONFIG_KIB, 256 * CONFIG_MIB, NULL, NULL) \
    KEY(LIMITS_CONNECTIONS, "limits.connections", COUNT, "20000", 1, 1000000, NULL, NULL) \
    KEY(LIMITS_CONNECTIONS_PER_IP, "limits.connections_per_ip", COUNT, "0", 0, 1000000, NULL, NULL) \
    KEY(LIMITS_HANDSHAKE_TIMEOUT, "limits.handshake_timeout", DURATION, "10s", CONFIG_SECOND, 300 * CONFIG_SECOND, NULL, NULL) \
    KEY(LIMITS_IDLE_TIMEOUT, "limits.idle_timeout", DURATION, "900s", CONFIG_SECOND, 86400 * CONFIG_SECOND, NULL, NULL) \
    KEY(LIMITS_DRAIN, "limits.drain", DURATION, "5s", 0, 60 * CONFIG_SECOND, NULL, NULL) \
    KEY(STATE_FILE, "state.file", TEXT, "/var/lib/vestibule/state.db", 0, 0, NULL, NULL) \
    KEY(LOG_LEVEL, "log.level", CHOICE, "info", 0, 0, "error|warn|info|debug", NULL) \
    KEY(LOG_FORMAT, "log.format", CHOICE, "text", 0, 0, "text|json", NULL)

#define KEY(name, ...) KEY_##name,
enum config_key_id { CONFIG_KEYS(KEY) CONFIG_KEY_COUNT };
#undef KEY
// clang-format on

struct config_key {
    const char *path;
    enum config_kind kind;
    const char *fallback; /* the default, written as in the environment */
    int64_t lowest, highest;
    const char *choices; /* "a|b|c", or NULL */
    const char *variable;       /* VESTIBULE_... */
    const char *jitsi_variable; /* docker-jitsi-meet's, or NULL */
};

extern const struct config_key config_keys[CONFIG_KEY_COUNT];

/* The key of a path; CONFIG_KEY_COUNT when there is none. */
enum config_key_id config_key_find(const char *path);
/* Whether path (of len bytes; "" for the whole file) is a section: keys stand below it. */
bool config_is_section(const char *path, size_t len);
/* The known path nearest to an unknown one, a section or a key; NULL when none is near. Written to
 * ret (ret_size bytes, 64 are enough for any). */
const char *config_suggest_path(char *ret, size_t ret_size, const char *path);
/* Likewise the VESTIBULE_ variable nearest to name, NULL when none is. */
const char *config_suggest_variable(const char *name);

/* What libcyaml fills in: text of a key, or items of a list. NULL where the file does not say. */
struct config_raw {
    struct config_raw_key {
        char *text;
        char **items;
        unsigned items_len;
    } key[CONFIG_KEY_COUNT];
};

/* libcyaml's schema for struct config_raw, made of the wanted keys only: whatever else stands in the
 * file is for libcyaml to pass over (CYAML_CFG_IGNORE_UNKNOWN_KEYS), so that one wrong key does not
 * keep the others from being read and checked. NULL when out of memory. free accepts NULL. */
struct config_schema;
struct config_schema *config_schema_new(const bool wanted[CONFIG_KEY_COUNT]);
const struct cyaml_schema_value *config_schema_root(const struct config_schema *schema);
void config_schema_free(struct config_schema *schema);
