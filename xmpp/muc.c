/*
 * Where a multi-user chat address points, and the requests a room's owner makes. What a newcomer
 * gets wrong: one room has many addresses (wire fact 20), and only struct muc_room.jid may be
 * compared or used as a key.
 */
#include "xmpp/muc.h"

#include "xmpp/ns.h"

#include <stdlib.h>
#include <string.h>

#define HEALTH_CHECK "__jicofo-health-check" /* wire fact 8 */

/* What the parts of an address mean; slices of the address and the service. */
struct location {
    enum muc_place place;
    const char *tenant;
    size_t tenant_len;
    const char *node;
};

/* The tenant of "conference.TENANT.domain" when domain is one. Jitsi's domain mapper does not look
 * at what stands behind its own domain, so "conference.TENANT.domain.example.net" is rewritten to
 * the same room and must be read so here, or it would be a way around. */
static size_t tenant_of_domain(const struct muc_service *service, const char *domain,
                               const char **ret_tenant)
{
    size_t muc_len = strlen(service->muc), domain_len = strlen(service->domain);
    if (domain_len == 0 || muc_len < domain_len + 2)
        return 0;
    size_t prefix_len = muc_len - domain_len; /* with its dot */
    if (service->muc[prefix_len - 1] != '.' ||
        strcmp(service->muc + prefix_len, service->domain) != 0)
        return 0;
    if (strncmp(domain, service->muc, prefix_len) != 0)
        return 0;
    const char *tenant = domain + prefix_len;
    size_t len = strcspn(tenant, ".");
    if (len == 0 || tenant[len] != '.' ||
        strncmp(tenant + len + 1, service->domain, domain_len) != 0)
        return 0;
    *ret_tenant = tenant;
    return len;
}

/* Parts "[tenant]node"; a node that is not written so has no tenant. */
static void split_node(const struct muc_service *service, struct location *at)
{
    at->tenant_len = 0;
    if (!service->tenants || at->node[0] != '[')
        return;
    size_t len = strcspn(at->node + 1, "]");
    const char *closing = at->node + 1 + len;
    if (len == 0 || closing[0] != ']' || closing[1] == '\0')
        return;
    at->tenant = at->node + 1;
    at->tenant_len = len;
    at->node = closing + 1;
}

static struct location locate(const struct muc_service *service, const struct jid *address)
{
    struct location at = {MUC_ELSEWHERE, "", 0, address->node};
    if (address->node[0] == '\0')
        return at;
    if (strcmp(address->domain, service->muc) == 0) {
        at.place = MUC_MAIN;
        split_node(service, &at);
    } else if (service->lobby[0] != '\0' && strcmp(address->domain, service->lobby) == 0) {
        at.place = MUC_LOBBY;
        split_node(service, &at);
    } else if (service->tenants) {
        at.tenant_len = tenant_of_domain(service, address->domain, &at.tenant);
        if (at.tenant_len > 0)
            at.place = MUC_MAIN;
    }
    return at;
}

static char *put(char **to, const char *text, size_t len)
{
    char *start = *to;
    if (len)
        memcpy(start, text, len);
    *to += len;
    return start;
}

static char *put_string(char **to, const char *text, size_t len)
{
    char *start = put(to, text, len);
    put(to, "", 1);
    return start;
}

enum muc_place muc_locate(const struct muc_service *service, const struct jid *address,
                          struct muc_room *ret, bool *ret_no_memory)
{
    *ret_no_memory = false;
    struct location at = locate(service, address);
    if (at.place == MUC_ELSEWHERE)
        return MUC_ELSEWHERE;
    size_t node_len = strlen(at.node), nick_len = strlen(address->resource);
    size_t muc_len = strlen(service->muc);
    char *memory = malloc(2 * at.tenant_len + 2 * node_len + muc_len + nick_len + 7);
    if (!memory) {
        *ret_no_memory = true;
        return MUC_ELSEWHERE;
    }
    struct muc_room room = {.memory = memory};
    char *to = memory;
    room.jid = memory;
    if (at.tenant_len) {
        put(&to, "[", 1);
        put(&to, at.tenant, at.tenant_len);
        put(&to, "]", 1);
    }
    put(&to, at.node, node_len);
    put(&to, "@", 1);
    put_string(&to, service->muc, muc_len);
    room.node = put_string(&to, at.node, node_len);
    room.tenant = put_string(&to, at.tenant, at.tenant_len);
    room.nick = put_string(&to, address->resource, nick_len);
    if (strncmp(room.jid, HEALTH_CHECK, strlen(HEALTH_CHECK)) == 0)
        at.place = MUC_HEALTH;
    *ret = room;
    return at.place;
}

void muc_room_done(struct muc_room *room)
{
    free(room->memory);
    *room = (struct muc_room){0};
}

/* Requests. Every stanza names its namespace: a WebSocket message stands alone (RFC 7395 3.3.3). */

static void add_attribute(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, " %s='", name);
    buf_add_xml(out, value);
    buf_add_str(out, "'");
}

static void begin_iq(struct buf *out, const char *room, const char *id, const char *type,
                     const char *query_ns)
{
    buf_printf(out, "<iq xmlns='%s' type='%s'", NS_CLIENT, type);
    add_attribute(out, "to", room);
    add_attribute(out, "id", id);
    buf_printf(out, "><query xmlns='%s'>", query_ns);
}

static void end_iq(struct buf *out)
{
    buf_add_str(out, "</query></iq>");
}

void muc_get_form(struct buf *out, const char *room, const char *id)
{
    begin_iq(out, room, id, "get", NS_MUC_OWNER);
    end_iq(out);
}

void muc_submit_form(struct buf *out, const char *room, const char *id, bool membersonly,
                     int persistent)
{
    begin_iq(out, room, id, "set", NS_MUC_OWNER);
    buf_printf(out,
               "<x xmlns='%s' type='submit'>"
               "<field var='FORM_TYPE' type='hidden'><value>%s</value></field>"
               "<field var='muc#roomconfig_membersonly'><value>%d</value></field>",
               NS_DATA_FORM, NS_MUC_ROOMCONFIG, membersonly ? 1 : 0);
    if (persistent >= 0)
        buf_printf(out, "<field var='muc#roomconfig_persistentroom'><value>%d</value></field>",
                   persistent ? 1 : 0);
    buf_add_str(out, "</x>");
    end_iq(out);
}

static void list_items(struct buf *out, const char *room, const char *id, const char *attribute,
                       const char *value)
{
    begin_iq(out, room, id, "get", NS_MUC_ADMIN);
    buf_add_str(out, "<item");
    add_attribute(out, attribute, value);
    buf_add_str(out, "/>");
    end_iq(out);
}

void muc_list_role(struct buf *out, const char *room, const char *id, const char *role)
{
    list_items(out, room, id, "role", role);
}

void muc_list_affiliation(struct buf *out, const char *room, const char *id,
                          const char *affiliation)
{
    list_items(out, room, id, "affiliation", affiliation);
}

void muc_grant(struct buf *out, const char *room, const char *id, const char *bare_jid,
               const char *affiliation)
{
    begin_iq(out, room, id, "set", NS_MUC_ADMIN);
    buf_add_str(out, "<item");
    add_attribute(out, "affiliation", affiliation);
    add_attribute(out, "jid", bare_jid);
    buf_add_str(out, "/>");
    end_iq(out);
}

void muc_invite(struct buf *out, const char *room, const char *id, const char *bare_jid)
{
    buf_printf(out, "<message xmlns='%s'", NS_CLIENT);
    add_attribute(out, "to", room);
    add_attribute(out, "id", id);
    buf_printf(out, "><x xmlns='%s'><invite", NS_MUC_USER);
    add_attribute(out, "to", bare_jid);
    buf_add_str(out, "/></x></message>");
}

void muc_destroy(struct buf *out, const char *room, const char *id, const char *reason)
{
    begin_iq(out, room, id, "set", NS_MUC_OWNER);
    buf_add_str(out, "<destroy>");
    if (reason && reason[0] != '\0') {
        buf_add_str(out, "<reason>");
        buf_add_xml(out, reason);
        buf_add_str(out, "</reason>");
    }
    buf_add_str(out, "</destroy>");
    end_iq(out);
}

static void begin_presence(struct buf *out, const char *room, const char *nick, const char *id)
{
    buf_printf(out, "<presence xmlns='%s' to='", NS_CLIENT);
    buf_add_xml(out, room);
    buf_add_str(out, "/");
    buf_add_xml(out, nick);
    buf_add_str(out, "'");
    add_attribute(out, "id", id);
}

void muc_join(struct buf *out, const char *room, const char *nick, const char *id)
{
    begin_presence(out, room, nick, id);
    buf_printf(out, "><x xmlns='%s'/></presence>", NS_MUC);
}

void muc_leave(struct buf *out, const char *room, const char *nick, const char *id)
{
    begin_presence(out, room, nick, id);
    buf_add_str(out, " type='unavailable'/>");
}
