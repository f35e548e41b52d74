/*
 * Reload. What a newcomer gets wrong: nothing may point into a configuration but what is found
 * through proxy->config, or is given the new one in swap; the old one is freed at once, so that a
 * sanitizer sees who did.
 */
#include "proxy/reload.h"

#include "proxy/bosh.h"
#include "proxy/keyfetch.h"
#include "proxy/listener.h"
#include "proxy/log.h"
#include "proxy/notify.h"
#include "proxy/service.h"
#include "proxy/session.h"

#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#define TAG "reload"

extern char **environ;

/* One line of the log for each error. */
static struct config *load(const char *file)
{
    char *text = NULL, *save = NULL;
    size_t len = 0;
    FILE *errors = open_memstream(&text, &len);
    struct config *config;

    if (!errors) {
        log_line(LOG_LEVEL_ERROR, TAG, "out of memory; the old configuration stays");
        return NULL;
    }
    config = config_load(file, environ, errors);
    fclose(errors);
    for (char *line = config ? NULL : strtok_r(text, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save))
        log_line(LOG_LEVEL_ERROR, TAG, "%s", line);
    if (!config)
        log_line(LOG_LEVEL_ERROR, TAG, "the old configuration stays, whole");
    free(text);
    return config;
}

static bool is_same(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

static void warn_of_the_fixed(const struct config *old, const struct config *new)
{
    if (!is_same(old->listen.unix_path, new->listen.unix_path) ||
        !is_same(old->listen.host, new->listen.host) || old->listen.port != new->listen.port ||
        old->listen.reuse_port != new->listen.reuse_port)
        log_line(LOG_LEVEL_WARN, TAG,
                 "listen.address and listen.reuse_port change with a restart only");
    if (!is_same(old->state.file, new->state.file))
        log_line(LOG_LEVEL_WARN, TAG, "state.file changes with a restart only");
}

/* By these every room has its name, here and in the state file. */
static bool are_rooms_the_same(const struct config *old, const struct config *new)
{
    if (is_same(old->xmpp.domain, new->xmpp.domain) && is_same(old->xmpp.muc, new->xmpp.muc) &&
        is_same(old->xmpp.lobby, new->xmpp.lobby) && old->xmpp.tenants == new->xmpp.tenants)
        return true;
    log_line(LOG_LEVEL_ERROR, TAG,
             "xmpp.domain, xmpp.muc, xmpp.lobby and xmpp.tenants change with a restart only");
    return false;
}

static bool is_service_changed(const struct config *old, const struct config *new)
{
    return !is_same(old->service.jid, new->service.jid) ||
           !is_same(old->service.password, new->service.password) ||
           !is_same(old->upstream.url, new->upstream.url) ||
           !is_same(old->upstream.http_host, new->upstream.http_host) ||
           !is_same(old->upstream.ca_file, new->upstream.ca_file);
}

static bool are_keys_changed(const struct config *old, const struct config *new)
{
    return !is_same(old->keys.key_server, new->keys.key_server) ||
           !is_same(old->keys.keys_url, new->keys.keys_url) ||
           !is_same(old->keys.ca_file, new->keys.ca_file);
}

/* Everything that can fail is made before anything is swapped. */
static bool swap(struct proxy *p, struct config *config)
{
    struct ssl_ctx_st *listen_tls = NULL, *upstream_tls = NULL, *keys_tls = NULL;
    struct config *old = p->config_owned;
    bool has_new_keys = are_keys_changed(old, config), is_new_service;
    struct keyfetch *keyfetch = NULL;
    struct bosh *bosh = NULL;

    if (!are_rooms_the_same(old, config) || !listener_load_tls(config, &listen_tls) ||
        !proxy_load_upstream_tls(config, &upstream_tls) ||
        (has_new_keys ? !keyfetch_new(p, config, &keyfetch)
                      : !keyfetch_load_tls(config, &keys_tls)))
        goto failed;
    if (config->http.bosh == BOSH_INSPECT && !p->bosh && !(bosh = bosh_new(p))) {
        log_line(LOG_LEVEL_ERROR, TAG, "out of memory");
        goto failed;
    }
    warn_of_the_fixed(old, config);
    is_new_service = is_service_changed(old, config);
    p->config = p->config_owned = config;
    log_open(config->log.level, config->log.json);
    listener_swap_tls(p->listener, listen_tls);
    proxy_set_upstream(p, upstream_tls);
    rooms_configure(p->rooms, &config->lobby);
    p->bosh =
        bosh ? bosh : p->bosh; /* kept when no longer wanted: its sessions end by themselves */
    sessions_limit(p->sessions, config->limits.connections);
    if (has_new_keys)
        keyfetch_use(p, keyfetch);
    else if (p->keyfetch) /* the file may be another under the same name */
        keyfetch_swap_tls(p->keyfetch, keys_tls);
    proxy_set_file_limit(config, false);
    listener_recount(p->listener);
    if (is_new_service)
        service_restart(p->service);
    proxy_warn(config);
    config_free(old);
    return true;
failed:
    keyfetch_free(keyfetch);
    bosh_free(bosh);
    SSL_CTX_free(listen_tls);
    SSL_CTX_free(upstream_tls);
    SSL_CTX_free(keys_tls);
    return false;
}

void reload_config(struct proxy *p, const char *file)
{
    struct config *config;

    if (p->stop.step != STOP_NOT)
        return;
    notify_reloading();
    config = load(file);
    if (config && swap(p, config)) {
        log_line(LOG_LEVEL_INFO, TAG, "the configuration was read again and holds from now on");
    } else if (config) {
        log_line(LOG_LEVEL_ERROR, TAG, "the old configuration stays, whole");
        config_free(config);
    }
    notify_ready();
}
