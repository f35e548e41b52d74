/*
 * The rules of the door. What a newcomer gets wrong: in Prosody a stream's domain is not decided by
 * <open to> alone. Whatever is no stanza of a session is handed to the host that its own "to"
 * names.
 */
#include "proxy/door.h"

#include "proxy/config_load.h"
#include "proxy/handshake.h"
#include "proxy/peers.h"
#include "xmpp/jid.h"
#include "xmpp/ns.h"

#include <string.h>

static bool reads_only(const struct http_head *request)
{
    return !handshake_is_upgrade(request) &&
           (http_slice_is(request->method, "GET") || http_slice_is(request->method, "HEAD") ||
            http_slice_is(request->method, "OPTIONS"));
}

static bool is_listed(char *const *origins, struct http_slice value)
{
    char text[CONFIG_ORIGIN_MAX], origin[CONFIG_ORIGIN_MAX];

    if (value.len >= sizeof text || memchr(value.at, '\0', value.len))
        return false;
    memcpy(text, value.at, value.len);
    text[value.len] = '\0';
    if (config_parse_origin(text, origin))
        return false; /* "null" too: a page that will not say where it is from */
    for (; *origins; origins++) {
        if (strcmp(origin, *origins) == 0)
            return true;
    }
    return false;
}

bool door_origin_is_allowed(const struct config *config, const struct http_head *request)
{
    const struct http_header *origin = http_header(request, "origin");
    char *const *origins = config->listen.allowed_origins;

    if (!origins || !origins[0])
        return true;
    if (!origin)
        return config->listen.absent_origin || reads_only(request);
    return http_header_count(request, "origin") == 1 && is_listed(origins, origin->value);
}

static bool is_domain(const char *domain, const char *configured)
{
    return configured && configured[0] && strcmp(domain, configured) == 0;
}

static bool is_clients(const struct config *config, const char *domain)
{
    return is_domain(domain, config->xmpp.domain) || is_domain(domain, config->guest_domain) ||
           is_domain(domain, config->hidden_domain);
}

enum door_answer door_opens_to(const struct config *config, const char *to,
                               const struct in6_addr *from, bool *ret_is_main)
{
    enum door_answer answer = DOOR_HOST_UNKNOWN;
    enum jid_result result;
    struct jid host;

    *ret_is_main = false;
    if (!to)
        return DOOR_NO_ADDRESS;
    result = jid_parse(to, strlen(to), &host);
    if (result != JID_OK)
        return result == JID_NO_MEMORY ? DOOR_NO_MEMORY : DOOR_NO_ADDRESS;
    if (host.node[0] || host.resource[0])
        answer = DOOR_NO_ADDRESS;
    else if (is_clients(config, host.domain))
        answer = DOOR_OPEN;
    else if (is_domain(host.domain, config->service.domain) &&
             peer_is_listed(config->service.allowed_from, config->service.allowed_from_len, from))
        answer = DOOR_OPEN;
    *ret_is_main = answer == DOOR_OPEN && is_domain(host.domain, config->xmpp.domain);
    jid_done(&host);
    return answer;
}

bool door_service_is_public(const struct config *config)
{
    return config->service.configured && is_clients(config, config->service.domain);
}

/* Prosody goes by the first child. */
static bool asks_to_bind(const struct element *e)
{
    return e->first_child && !e->first_child->next && element_is(e->first_child, NS_BIND, "bind") &&
           !element_attribute(e, "to");
}

bool door_is_for_login(const struct element *e, enum stanza_kind kind)
{
    switch (kind) {
    case STANZA_OPEN:
    case STANZA_CLOSE:
    case STANZA_SASL_AUTH:
    case STANZA_SASL_OTHER:
    case STANZA_SM_RESUME:
        return true;
    case STANZA_IQ:
        return asks_to_bind(e);
    default:
        return false;
    }
}

bool door_is_misaddressed(const struct element *e, enum stanza_kind kind)
{
    return kind != STANZA_OPEN && !stanza_is_counted(kind) && element_attribute(e, "to");
}
