/*
 * Makes struct config of the values that were read: checks what one kind of value cannot say (an
 * address, an account, keys that rest on each other) and prepares it for use.
 *
 * Every take_ function is called whatever went wrong before it, and fills its part with something.
 * Errors are told against the key whose change would help.
 */
#include "proxy/config_load.h"

#include "policy/decide.h"
#include "proxy/bosh.h"
#include "proxy/route.h"
#include "xmpp/jid.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A client that waits longer gives up its stream (wire fact 33). */
#define HOLD_LIMIT_MS 15000
/* Rooms we keep something about, for each connection allowed: the one it is in and one it tries. */
#define ROOMS_PER_CONNECTION 2

static bool is_given(const struct config_load *load, enum config_key_id id)
{
    return *load->value[id].text != '\0';
}

static bool is_bad(const struct config_load *load, enum config_key_id id)
{
    return load->value[id].bad;
}

static char *text_of(struct config_load *load, enum config_key_id id)
{
    return config_copy(load, load->value[id].text, strlen(load->value[id].text));
}

static int64_t number_of(const struct config_load *load, enum config_key_id id)
{
    return load->value[id].number;
}

/* Reads a file named by a key and looks for the PEM block that makes it one of its sort. */
static void check_pem(struct config_load *load, enum config_key_id id, const char *mark,
                      const char *what)
{
    const char *path = load->value[id].text;
    size_t len;
    if (is_bad(load, id) || !is_given(load, id))
        return;
    char *data = config_read(path, &len);
    if (data == NULL && errno == ENOMEM) {
        load->no_memory = true;
    } else if (data == NULL) {
        config_error_file(load, id, path, config_read_problem(errno));
    } else if (strstr(data, mark) == NULL) {
        config_error_text(load, id, path, what);
    }
    if (data != NULL)
        explicit_bzero(data, len);
    free(data);
}

static void take_tls(struct config_load *load)
{
    bool certificate = is_given(load, KEY_LISTEN_TLS_CERTIFICATE);
    bool key = is_given(load, KEY_LISTEN_TLS_KEY);
    bool bad = is_bad(load, KEY_LISTEN_TLS_CERTIFICATE) || is_bad(load, KEY_LISTEN_TLS_KEY);
    if (certificate && !key && !bad)
        config_error(load, KEY_LISTEN_TLS_KEY,
                     "is not set while listen.tls.certificate is; name the certificate's key file");
    if (key && !certificate && !bad)
        config_error(load, KEY_LISTEN_TLS_CERTIFICATE,
                     "is not set while listen.tls.key is; name the key's certificate file");
    check_pem(load, KEY_LISTEN_TLS_CERTIFICATE, "-----BEGIN CERTIFICATE-----",
              "holds no certificate; name a PEM file that begins with the server's own");
    check_pem(load, KEY_LISTEN_TLS_KEY, "PRIVATE KEY-----",
              "holds no private key; name the certificate's PEM key file");
    if (!certificate || !key)
        return;
    load->config->listen.tls.certificate = text_of(load, KEY_LISTEN_TLS_CERTIFICATE);
    load->config->listen.tls.key = text_of(load, KEY_LISTEN_TLS_KEY);
}

static size_t items_len(const struct config_load *load, enum config_key_id id)
{
    char *const *items = load->value[id].items;
    size_t len = 0;
    while (items != NULL && items[len] != NULL)
        len++;
    return len;
}

static struct cidr *take_ranges(struct config_load *load, enum config_key_id id, size_t *ret_len)
{
    char *const *items = load->value[id].items;
    size_t len = items_len(load, id);
    struct cidr *ranges = config_alloc(load, (len + 1) * sizeof(*ranges));
    for (size_t i = 0; ranges != NULL && i < len; i++) {
        const char *wrong = config_parse_cidr(items[i], &ranges[i]);
        if (wrong != NULL)
            config_error_text(load, id, items[i], wrong);
    }
    *ret_len = ranges == NULL ? 0 : len;
    return ranges;
}

/* Those listed, and the public address's own. */
static void take_origins(struct config_load *load)
{
    char *const *items = load->value[KEY_LISTEN_ALLOWED_ORIGINS].items;
    const char *url = load->value[KEY_LISTEN_PUBLIC_URL].text;
    size_t len = items_len(load, KEY_LISTEN_ALLOWED_ORIGINS);
    char **origins = config_alloc(load, (len + 2) * sizeof(*origins));
    char origin[CONFIG_ORIGIN_MAX];
    const char *wrong;
    if (origins == NULL)
        return;
    for (size_t i = 0; i < len; i++) {
        wrong = config_parse_origin(items[i], origin);
        if (wrong != NULL)
            config_error_text(load, KEY_LISTEN_ALLOWED_ORIGINS, items[i], wrong);
        origins[i] =
            config_copy(load, wrong == NULL ? origin : "", wrong == NULL ? strlen(origin) : 0);
    }
    if (*url != '\0' && !is_bad(load, KEY_LISTEN_PUBLIC_URL)) {
        wrong = config_parse_public_url(url, origin);
        if (wrong != NULL)
            config_error_text(load, KEY_LISTEN_PUBLIC_URL, url, wrong);
        else
            origins[len] = config_copy(load, origin, strlen(origin));
    }
    load->config->listen.allowed_origins = origins;
    load->config->listen.absent_origin = number_of(load, KEY_LISTEN_ABSENT_ORIGIN) != 0;
}

static void take_listen(struct config_load *load)
{
    struct config *config = load->config;
    struct config_address address = {0};
    const char *text = load->value[KEY_LISTEN_ADDRESS].text;
    const char *wrong =
        is_bad(load, KEY_LISTEN_ADDRESS) ? NULL : config_parse_listen(text, &address);
    if (wrong != NULL)
        config_error_text(load, KEY_LISTEN_ADDRESS, text, wrong);
    if (address.unix_path != NULL)
        config->listen.unix_path = config_copy(load, address.unix_path, strlen(address.unix_path));
    config->listen.host = config_copy(load, address.host, strlen(address.host));
    config->listen.port = address.port;
    config->listen.reuse_port = number_of(load, KEY_LISTEN_REUSE_PORT) != 0;
    if (config->listen.reuse_port && address.unix_path != NULL)
        config_error(load, KEY_LISTEN_REUSE_PORT,
                     "has no use with a unix socket; write a TCP address in listen.address");

    const char *path = load->value[KEY_LISTEN_PATH].text;
    if (!is_bad(load, KEY_LISTEN_PATH) && !config_is_path(path))
        config_error_text(load, KEY_LISTEN_PATH, path,
                          "is not a plain path; write it as in /xmpp-websocket");
    config->listen.path = text_of(load, KEY_LISTEN_PATH);

    take_tls(load);
    take_origins(load);
    config->listen.trusted_proxies =
        take_ranges(load, KEY_LISTEN_TRUSTED_PROXIES, &config->listen.trusted_proxies_len);
}

static void take_upstream(struct config_load *load)
{
    struct config *config = load->config;
    struct config_url url = {.host = "", .path = ""};
    bool url_bad = is_bad(load, KEY_UPSTREAM_URL);
    const char *text = load->value[KEY_UPSTREAM_URL].text;
    const char *wrong = url_bad ? NULL : config_parse_url(text, &url);
    if (wrong != NULL)
        config_error_text(load, KEY_UPSTREAM_URL, text, wrong);
    config->upstream.url = text_of(load, KEY_UPSTREAM_URL);
    config->upstream.tls = url.tls;
    config->upstream.host = config_copy(load, url.host, url.host_len);
    config->upstream.port = url.port;
    config->upstream.path = config_copy(load, url.path, strlen(url.path));

    const char *host = load->value[KEY_UPSTREAM_HOST].text;
    wrong = *host == '\0' || is_bad(load, KEY_UPSTREAM_HOST) ? NULL : config_check_host(host);
    if (wrong != NULL)
        config_error_text(load, KEY_UPSTREAM_HOST, host, wrong);
    /* Prosody answers on its virtual host's name only (wire fact 1). */
    config->upstream.http_host =
        config_printf(load, "%s", *host != '\0' ? host : config->xmpp.domain);

    if (is_given(load, KEY_UPSTREAM_CA_FILE) && !url.tls && !is_bad(load, KEY_UPSTREAM_URL))
        config_error(load, KEY_UPSTREAM_CA_FILE,
                     "has no use with ws://; write wss:// in upstream.url, or remove it");
    check_pem(load, KEY_UPSTREAM_CA_FILE, "-----BEGIN CERTIFICATE-----",
              "holds no certificate; name a PEM file with the authority's certificate");
    if (is_given(load, KEY_UPSTREAM_CA_FILE))
        config->upstream.ca_file = text_of(load, KEY_UPSTREAM_CA_FILE);
}

/* The domain in text, prepared, "" when it is none: then an error was told against id. */
static const char *prepare_domain(struct config_load *load, enum config_key_id id, const char *text)
{
    struct jid jid;
    char *domain = NULL;
    enum jid_result result = jid_parse(text, strlen(text), &jid);
    if (result == JID_NO_MEMORY) {
        load->no_memory = true;
        return "";
    }
    if (result != JID_OK) {
        char what[128];
        snprintf(what, sizeof(what), "is not a domain (%s); write it as in meet.example.com",
                 jid_result_text(result));
        config_error_text(load, id, text, what);
        return "";
    }
    if (*jid.node != '\0' || *jid.resource != '\0')
        config_error_text(load, id, text,
                          "is an address; write its domain only, as in meet.example.com");
    else
        domain = config_copy(load, jid.domain, strlen(jid.domain));
    jid_done(&jid);
    return domain == NULL ? "" : domain;
}

/* The domain of a component: as given, or prefix before the main domain. */
static const char *take_component(struct config_load *load, enum config_key_id id,
                                  const char *prefix)
{
    if (is_bad(load, id))
        return "";
    if (is_given(load, id))
        return prepare_domain(load, id, load->value[id].text);
    if (*load->config->xmpp.domain == '\0')
        return "";
    const char *domain = config_printf(load, "%s.%s", prefix, load->config->xmpp.domain);
    return domain == NULL ? "" : domain;
}

/* A virtual host that is only there where the operator says so. */
static char *take_other_host(struct config_load *load, enum config_key_id id)
{
    const char *domain = is_given(load, id) && !is_bad(load, id)
                             ? prepare_domain(load, id, load->value[id].text)
                             : "";
    return config_copy(load, domain, strlen(domain));
}

static void check_different(struct config_load *load, enum config_key_id id, const char *domain,
                            enum config_key_id other, const char *other_domain)
{
    if (*domain == '\0' || is_bad(load, id) || strcmp(domain, other_domain) != 0)
        return;
    char what[128];
    snprintf(what, sizeof(what), "is %s too; write the component's own domain",
             config_keys[other].path);
    config_error_text(load, id, domain, what);
}

static void take_xmpp(struct config_load *load)
{
    struct muc_service *xmpp = &load->config->xmpp;
    xmpp->domain = "";
    if (is_given(load, KEY_XMPP_DOMAIN) && !is_bad(load, KEY_XMPP_DOMAIN))
        xmpp->domain = prepare_domain(load, KEY_XMPP_DOMAIN, load->value[KEY_XMPP_DOMAIN].text);
    else if (!is_bad(load, KEY_XMPP_DOMAIN))
        config_error(load, KEY_XMPP_DOMAIN,
                     "is not set; write the domain of Prosody's main virtual host, or set "
                     "VESTIBULE_XMPP_DOMAIN or XMPP_DOMAIN");
    xmpp->muc = take_component(load, KEY_XMPP_MUC, "conference");
    xmpp->lobby = take_component(load, KEY_XMPP_LOBBY, "lobby");
    xmpp->tenants = number_of(load, KEY_XMPP_TENANTS) != 0;
    load->config->guest_domain = take_other_host(load, KEY_XMPP_GUEST_DOMAIN);
    load->config->hidden_domain = take_other_host(load, KEY_XMPP_HIDDEN_DOMAIN);
    check_different(load, KEY_XMPP_MUC, xmpp->muc, KEY_XMPP_DOMAIN, xmpp->domain);
    check_different(load, KEY_XMPP_LOBBY, xmpp->lobby, KEY_XMPP_DOMAIN, xmpp->domain);
    check_different(load, KEY_XMPP_LOBBY, xmpp->lobby, KEY_XMPP_MUC, xmpp->muc);
}

/* What is wrong with a service account's address, or NULL. */
static const char *judge_account(const struct jid *jid)
{
    if (*jid->node == '\0')
        return "names no account; write it as in vestibule@auth.meet.example.com";
    if (*jid->resource != '\0')
        return "has a resource; write it without the slash and what follows";
    /* Wire fact 14. */
    if (strcmp(jid->node, "focus") == 0)
        return "is Jicofo's account, and the lobby module ignores what focus does; name another "
               "admin of the room component (jvb on docker-jitsi-meet, or one made for this)";
    return NULL;
}

static void take_jid(struct config_load *load)
{
    const char *text = load->value[KEY_SERVICE_JID].text;
    struct config *config = load->config;
    struct jid jid;
    enum jid_result result = jid_parse(text, strlen(text), &jid);
    if (result == JID_NO_MEMORY) {
        load->no_memory = true;
        return;
    }
    if (result != JID_OK) {
        char what[128];
        snprintf(what, sizeof(what),
                 "is not an account (%s); write it as in vestibule@auth.meet.example.com",
                 jid_result_text(result));
        config_error_text(load, KEY_SERVICE_JID, text, what);
        return;
    }
    const char *wrong = judge_account(&jid);
    if (wrong != NULL) {
        config_error_text(load, KEY_SERVICE_JID, text, wrong);
    } else {
        config->service.jid = config_printf(load, "%s@%s", jid.node, jid.domain);
        config->service.node = config_printf(load, "%s", jid.node);
        config->service.domain = config_printf(load, "%s", jid.domain);
        config->service.configured = true;
    }
    jid_done(&jid);
}

static void take_service(struct config_load *load)
{
    bool has_password = is_given(load, KEY_SERVICE_PASSWORD);
    if (is_given(load, KEY_SERVICE_JID) && !is_bad(load, KEY_SERVICE_JID)) {
        take_jid(load);
        if (!has_password && !is_bad(load, KEY_SERVICE_PASSWORD))
            config_error(load, KEY_SERVICE_PASSWORD,
                         "is not set while service.jid is; set it, service.password_file or "
                         "VESTIBULE_SERVICE_PASSWORD");
    } else if (has_password && !is_bad(load, KEY_SERVICE_JID)) {
        config_error(load, KEY_SERVICE_JID,
                     "is not set while service.password is; name the account it belongs to");
    }
    load->config->service.password = text_of(load, KEY_SERVICE_PASSWORD);
    load->config->service.allowed_from =
        take_ranges(load, KEY_SERVICE_ALLOWED_FROM, &load->config->service.allowed_from_len);
}

/* A list that says nothing would accept nothing: always a mistake. */
static void require_items(struct config_load *load, enum config_key_id id, const char *what)
{
    char *const *items = load->value[id].items;
    if (!is_bad(load, id) && (items == NULL || items[0] == NULL))
        config_error(load, id, "%s", what);
}

static const char *const *take_issuers(struct config_load *load)
{
    char **items = load->value[KEY_TOKEN_ACCEPTED_ISSUERS].items;
    bool bad = is_bad(load, KEY_TOKEN_ACCEPTED_ISSUERS) || is_bad(load, KEY_TOKEN_APP_ID);
    if ((items != NULL && items[0] != NULL) || bad)
        return (const char *const *)items;
    /* As Jitsi: the application's own name. */
    if (!is_given(load, KEY_TOKEN_APP_ID))
        config_error(load, KEY_TOKEN_APP_ID,
                     "is not set; write Prosody's app_id, or token.accepted_issuers");
    items = config_alloc(load, 2 * sizeof(*items));
    if (items != NULL)
        items[0] = text_of(load, KEY_TOKEN_APP_ID);
    return (const char *const *)items;
}

/* Where keys come from, without what would make it another address than Prosody's: it joins a key
 * server and the key's name with one slash. */
static void take_keys_url(struct config_load *load, enum config_key_id id)
{
    struct config *config = load->config;
    struct config_url url;
    const char *text = load->value[id].text;
    const char *wrong = config_parse_http_url(text, &url);
    if (wrong == NULL && !url.tls && !config_is_loopback(url.host, url.host_len))
        wrong = "is not https://, and whoever can change the answer on its way makes valid tokens; "
                "http:// is for this machine (127.0.0.1, ::1, localhost) only";
    if (wrong == NULL && id == KEY_TOKEN_KEY_SERVER && strchr(url.path, '?') != NULL)
        wrong = "has a ?, and is the folder of a key server; write it without";
    if (wrong != NULL) {
        config_error_text(load, id, text, wrong);
        return;
    }
    size_t len = strlen(text);
    while (id == KEY_TOKEN_KEY_SERVER && text[len - 1] == '/')
        len--;
    char *copy = config_copy(load, text, len);
    if (id == KEY_TOKEN_KEY_SERVER)
        config->keys.key_server = copy;
    else
        config->keys.keys_url = copy;
    const char *authority = strstr(text, "://") + 3;
    config->keys.tls = url.tls;
    config->keys.host = config_copy(load, url.host, url.host_len);
    config->keys.port = url.port;
    config->keys.authority = config_copy(load, authority, (size_t)(url.path - authority));
}

/* Whether tokens are verified with public keys that are fetched. */
static bool take_keys(struct config_load *load)
{
    bool server = is_given(load, KEY_TOKEN_KEY_SERVER), url = is_given(load, KEY_TOKEN_KEYS_URL);
    if (server && url && !is_bad(load, KEY_TOKEN_KEYS_URL))
        config_error(load, KEY_TOKEN_KEYS_URL,
                     "is given beside token.key_server; keep the one that has the keys");
    else if (server && !is_bad(load, KEY_TOKEN_KEY_SERVER))
        take_keys_url(load, KEY_TOKEN_KEY_SERVER);
    else if (url && !is_bad(load, KEY_TOKEN_KEYS_URL))
        take_keys_url(load, KEY_TOKEN_KEYS_URL);

    if (!is_given(load, KEY_TOKEN_CA_FILE))
        return server || url;
    if (!load->config->keys.tls && !is_bad(load, KEY_TOKEN_KEY_SERVER) &&
        !is_bad(load, KEY_TOKEN_KEYS_URL))
        config_error(load, KEY_TOKEN_CA_FILE,
                     "has no use without an https:// address in token.key_server or "
                     "token.keys_url; set one, or remove it");
    check_pem(load, KEY_TOKEN_CA_FILE, "-----BEGIN CERTIFICATE-----",
              "holds no certificate; name a PEM file with the authority's certificate");
    load->config->keys.ca_file = text_of(load, KEY_TOKEN_CA_FILE);
    return server || url;
}

/* The algorithm and what it verifies with. The two kinds are never mixed: where keys are public a
 * secret is not even kept, so that nothing can be taken for one. */
static void take_algorithm(struct config_load *load, bool has_keys)
{
    static const char *const algorithms[] = {"HS256", "HS384", "HS512", "RS256",
                                             "RS384", "RS512", "ES256", "ES384"};
    enum { FIRST_PUBLIC = 3 };
    struct token_rules *token = &load->config->token;
    int64_t choice = number_of(load, KEY_TOKEN_ALGORITHM);
    if (choice < 0) /* as Jitsi's token module has it */
        choice = has_keys ? FIRST_PUBLIC : 0;
    bool is_public = choice >= FIRST_PUBLIC, is_bad_choice = is_bad(load, KEY_TOKEN_ALGORITHM);
    if (has_keys && !is_public && !is_bad_choice)
        config_error(
            load, KEY_TOKEN_ALGORITHM,
            "is %s, which needs a secret, while token.%s names public keys; write RS256 or "
            "another of its kind, or remove the public keys",
            algorithms[choice], is_given(load, KEY_TOKEN_KEY_SERVER) ? "key_server" : "keys_url");
    else if (!has_keys && is_public && !is_bad_choice)
        config_error(load, KEY_TOKEN_ALGORITHM,
                     "is %s, which needs public keys; set token.key_server or token.keys_url, or "
                     "write HS256 for tokens signed with a secret",
                     algorithms[choice]);
    else if (!has_keys && !is_given(load, KEY_TOKEN_SECRET) && !is_bad(load, KEY_TOKEN_SECRET))
        config_error(
            load, KEY_TOKEN_SECRET,
            "is not set, so no token could be verified; write Prosody's app_secret, or set "
            "token.secret_file, VESTIBULE_TOKEN_SECRET or JWT_APP_SECRET");
    token->algorithm = algorithms[choice];
    token->secret = has_keys ? "" : text_of(load, KEY_TOKEN_SECRET);
    token->secret_len = has_keys ? 0 : strlen(load->value[KEY_TOKEN_SECRET].text);
}

static void take_token(struct config_load *load)
{
    struct token_rules *token = &load->config->token;
    take_algorithm(load, take_keys(load));
    token->issuers = take_issuers(load);
    require_items(load, KEY_TOKEN_ACCEPTED_AUDIENCES,
                  "is empty, so no token would be accepted; write [\"*\"] for any");
    token->audiences = (const char *const *)load->value[KEY_TOKEN_ACCEPTED_AUDIENCES].items;
    token->require_room = number_of(load, KEY_TOKEN_REQUIRE_ROOM) != 0;
    token->domain_verification = number_of(load, KEY_TOKEN_DOMAIN_VERIFICATION) != 0;
    token->domain = load->config->xmpp.domain;
    load->config->refuse_invalid_token = number_of(load, KEY_TOKEN_ON_INVALID) == 1;
}

static void take_claims(struct config_load *load)
{
    char *const *claims = load->value[KEY_LOBBY_CLAIMS].items;
    require_items(load, KEY_LOBBY_CLAIMS,
                  "is empty, so no token would ask for the lobby; name a claim or remove the key");
    for (size_t i = 0; claims != NULL && claims[i] != NULL; i++) {
        size_t len = strlen(claims[i]);
        if (len == 0 || claims[i][0] == '.' || claims[i][len - 1] == '.' ||
            strstr(claims[i], "..") != NULL)
            config_error_text(load, KEY_LOBBY_CLAIMS, claims[i],
                              "is not a claim's path; write names parted by dots, as in "
                              "context.user.lobby");
    }
    load->config->token.lobby_claims = (const char *const *)claims;
}

static void take_lobby(struct config_load *load)
{
    struct rooms_config *lobby = &load->config->lobby;
    take_claims(load);
    lobby->persistent = number_of(load, KEY_LOBBY_PERSISTENT) != 0;
    lobby->create_missing = number_of(load, KEY_LOBBY_MISSING_ROOM) == 1;
    lobby->forward_on_failure = number_of(load, KEY_LOBBY_ON_FAILURE) == 1;
    lobby->hold_timeout_ms = number_of(load, KEY_LOBBY_HOLD_TIMEOUT);
    lobby->hold_limit_ms = HOLD_LIMIT_MS;
    lobby->rooms_max = ROOMS_PER_CONNECTION * (size_t)number_of(load, KEY_LIMITS_CONNECTIONS);
    lobby->rules =
        lobby->create_missing ? &rules_token_lobby_ondemand_create : &rules_token_lobby_ondemand;
    load->config->dry_run = number_of(load, KEY_LOBBY_DRY_RUN) != 0;
}

static void take_http(struct config_load *load)
{
    struct config *config = load->config;
    char **paths = load->value[KEY_HTTP_FORWARD].items;
    struct http_slice path = {config->listen.path, 0};
    path.len = path.at != NULL ? strlen(path.at) : 0;
    if (!is_bad(load, KEY_LISTEN_PATH) && http_path_is(path, BOSH_PATH))
        config_error_text(load, KEY_LISTEN_PATH, path.at,
                          "is BOSH's path; write the WebSocket's, as in /xmpp-websocket");
    for (size_t i = 0; paths != NULL && paths[i] != NULL && !load->no_memory; i++) {
        const char *wrong = route_wrong(config, paths[i]);
        if (wrong != NULL)
            config_error_text(load, KEY_HTTP_FORWARD, paths[i], wrong);
    }
    config->http.forward = paths;
    config->http.bosh = (enum http_bosh)number_of(load, KEY_HTTP_BOSH);
}

static void take_limits(struct config_load *load)
{
    struct config *config = load->config;
    config->limits.stanza = (size_t)number_of(load, KEY_LIMITS_STANZA);
    config->limits.server_stanza = (size_t)number_of(load, KEY_LIMITS_SERVER_STANZA);
    config->limits.connections = (unsigned)number_of(load, KEY_LIMITS_CONNECTIONS);
    config->limits.connections_per_ip = (unsigned)number_of(load, KEY_LIMITS_CONNECTIONS_PER_IP);
    config->limits.handshake_timeout_ms = number_of(load, KEY_LIMITS_HANDSHAKE_TIMEOUT);
    config->limits.idle_timeout_ms = number_of(load, KEY_LIMITS_IDLE_TIMEOUT);
    config->limits.drain_ms = number_of(load, KEY_LIMITS_DRAIN);
    /* What one client may send, Prosody sends on to the others. */
    if (config->limits.server_stanza < config->limits.stanza && !is_bad(load, KEY_LIMITS_STANZA) &&
        !is_bad(load, KEY_LIMITS_SERVER_STANZA))
        config_error(load, KEY_LIMITS_SERVER_STANZA,
                     "is less than limits.stanza; write at least as much");
}

void config_take(struct config_load *load)
{
    take_listen(load);
    take_xmpp(load);
    take_upstream(load);
    take_service(load);
    take_token(load);
    take_lobby(load);
    take_http(load);
    take_limits(load);
    if (strcmp(load->value[KEY_STATE_FILE].text, "none") != 0)
        load->config->state.file = text_of(load, KEY_STATE_FILE);
    load->config->log.level = (enum log_level)number_of(load, KEY_LOG_LEVEL);
    load->config->log.json = number_of(load, KEY_LOG_FORMAT) == 1;
}
