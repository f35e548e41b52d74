/*
 * What a room says: joins, forms, item lists, presences and errors read from parsed stanzas. All
 * results are borrowed from the tree. What a newcomer gets wrong: nothing here says who sent the
 * stanza; the caller must know that its from is the room.
 */
#include "xmpp/muc.h"

#include "xmpp/ns.h"

#include <string.h>

static const char *attribute_or_empty(const struct element *e, const char *name)
{
    const char *value = element_attribute(e, name);
    return value ? value : "";
}

static bool has_attribute(const struct element *e, const char *name, const char *value)
{
    return strcmp(attribute_or_empty(e, name), value) == 0;
}

bool muc_is_join(const struct element *presence)
{
    /* Available means no type at all: Prosody takes type='' for an unknown one. */
    return element_is(presence, NS_CLIENT, "presence") && !element_attribute(presence, "type") &&
           element_child(presence, NS_MUC, "x");
}

/* The first <value/> of the field var in the data form (XEP-0004); NULL when there is no such
 * field,
 * "" when it has no value. */
static const char *form_value(const struct element *form, const char *var)
{
    const struct element *field = element_child(form, NS_DATA_FORM, "field");
    for (; field; field = element_next(field, NS_DATA_FORM, "field")) {
        if (!has_attribute(field, "var", var))
            continue;
        const struct element *value = element_child(field, NS_DATA_FORM, "value");
        return value ? value->text : "";
    }
    return NULL;
}

static bool is_true(const char *value)
{
    return value && (strcmp(value, "1") == 0 || strcmp(value, "true") == 0);
}

bool muc_read_form(const struct element *iq, struct muc_form *ret)
{
    if (!element_is(iq, NS_CLIENT, "iq") || !has_attribute(iq, "type", "result"))
        return false;
    const struct element *query = element_child(iq, NS_MUC_OWNER, "query");
    const struct element *form = query ? element_child(query, NS_DATA_FORM, "x") : NULL;
    if (!form)
        return false;
    const char *membersonly = form_value(form, "muc#roomconfig_membersonly");
    ret->has_membersonly = membersonly != NULL;
    ret->membersonly = is_true(membersonly);
    ret->persistent = is_true(form_value(form, "muc#roomconfig_persistentroom"));
    return true;
}

bool muc_read_items(const struct element *iq, bool (*each)(void *ctx, const struct muc_item *item),
                    void *ctx)
{
    const struct element *query = element_child(iq, NS_MUC_ADMIN, "query");
    const struct element *e = query ? element_child(query, NS_MUC_ADMIN, "item") : NULL;
    for (; e; e = element_next(e, NS_MUC_ADMIN, "item")) {
        struct muc_item item = {
            .nick = attribute_or_empty(e, "nick"),
            .jid = attribute_or_empty(e, "jid"),
            .role = attribute_or_empty(e, "role"),
            .affiliation = attribute_or_empty(e, "affiliation"),
        };
        if (!each(ctx, &item))
            return false;
    }
    return true;
}

const char *stanza_error_condition(const struct element *stanza)
{
    const struct element *e = stanza->first_child;
    while (e && strcmp(e->name, "error") != 0)
        e = e->next;
    for (e = e ? e->first_child : NULL; e; e = e->next)
        if (strcmp(e->ns, NS_STANZA_ERRORS) == 0 && strcmp(e->name, "text") != 0)
            return e->name;
    return "";
}

static bool names_lobbyroom(const struct element *parent)
{
    for (const struct element *e = parent->first_child; e; e = e->next)
        if (strcmp(e->name, "lobbyroom") == 0 && e->text[0] != '\0' &&
            (strcmp(e->ns, NS_JITMEET) == 0 || strcmp(e->ns, NS_CLIENT) == 0 || e->ns[0] == '\0'))
            return true;
    return false;
}

static void read_status(const struct element *x, struct muc_presence *ret)
{
    const struct element *status = element_child(x, NS_MUC_USER, "status");
    for (; status; status = element_next(status, NS_MUC_USER, "status")) {
        const char *code = attribute_or_empty(status, "code");
        if (strcmp(code, "110") == 0)
            ret->self = true;
        else if (strcmp(code, "201") == 0)
            ret->created = true;
        else if (strcmp(code, "301") == 0)
            ret->banned = true;
        else if (strcmp(code, "303") == 0)
            ret->nick_change = true;
        else if (strcmp(code, "307") == 0)
            ret->kicked = true;
        else if (strcmp(code, "322") == 0)
            ret->removed = true;
    }
}

void muc_read_presence(const struct element *presence, struct muc_presence *ret)
{
    *ret = (struct muc_presence){
        .affiliation = "", .role = "", .jid = "", .new_nick = "", .condition = ""};
    ret->unavailable = has_attribute(presence, "type", "unavailable");
    ret->error = has_attribute(presence, "type", "error");
    const struct element *x = element_child(presence, NS_MUC_USER, "x");
    if (x) {
        read_status(x, ret);
        ret->destroyed = element_child(x, NS_MUC_USER, "destroy") != NULL;
        const struct element *item = element_child(x, NS_MUC_USER, "item");
        if (item) {
            ret->affiliation = attribute_or_empty(item, "affiliation");
            ret->role = attribute_or_empty(item, "role");
            ret->jid = attribute_or_empty(item, "jid");
            if (ret->nick_change)
                ret->new_nick = attribute_or_empty(item, "nick");
        }
    }
    if (!ret->error)
        return;
    ret->condition = stanza_error_condition(presence);
    const struct element *error = element_child(presence, NS_CLIENT, "error");
    ret->has_lobbyroom = names_lobbyroom(presence) || (error && names_lobbyroom(error));
}

bool muc_is_config_change(const struct element *message)
{
    if (!element_is(message, NS_CLIENT, "message") || !has_attribute(message, "type", "groupchat"))
        return false;
    const struct element *x = element_child(message, NS_MUC_USER, "x");
    const struct element *status = x ? element_child(x, NS_MUC_USER, "status") : NULL;
    for (; status; status = element_next(status, NS_MUC_USER, "status"))
        if (has_attribute(status, "code", "104"))
            return true;
    return false;
}

bool muc_read_info(const struct element *iq, struct muc_info *ret)
{
    if (!element_is(iq, NS_CLIENT, "iq") || !has_attribute(iq, "type", "result"))
        return false;
    const struct element *query = element_child(iq, NS_DISCO_INFO, "query");
    if (!query)
        return false;
    bool membersonly = false, open = false;
    const struct element *feature = element_child(query, NS_DISCO_INFO, "feature");
    for (; feature; feature = element_next(feature, NS_DISCO_INFO, "feature")) {
        membersonly = membersonly || has_attribute(feature, "var", "muc_membersonly");
        open = open || has_attribute(feature, "var", "muc_open");
    }
    if (membersonly == open) /* neither, or an answer that contradicts itself */
        return false;
    ret->membersonly = membersonly;
    ret->has_lobbyroom = false;
    const struct element *form = element_child(query, NS_DATA_FORM, "x");
    for (; form; form = element_next(form, NS_DATA_FORM, "x")) {
        const char *lobbyroom = form_value(form, "muc#roominfo_lobbyroom");
        if (lobbyroom && lobbyroom[0] != '\0')
            ret->has_lobbyroom = true;
    }
    return true;
}

bool muc_is_owner_set(const struct element *iq)
{
    return element_is(iq, NS_CLIENT, "iq") && has_attribute(iq, "type", "set") &&
           element_child(iq, NS_MUC_OWNER, "query");
}
