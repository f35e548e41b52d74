/*
 * Stanzas as a client or a room may write them, given to every reader; and what we would answer, or
 * ask the room they point to, read back.
 *
 * The first byte says where the rest stands (see frames): most bytes at hand are no whole stanza,
 * but many are an address, or the inside of a form. It also switches tenants and the lobby off.
 */
#include "xmpp/muc.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FROM_ROOM " xmlns='" NS_CLIENT "' id='1' from='r@conference.meet.example.com/n' to='a@b/c'"

static const struct {
    const char *before, *after;
} frames[8] = {
    {"", ""},
    {"<presence xmlns='" NS_CLIENT "' id='1' to='", "'><x xmlns='" NS_MUC "'/></presence>"},
    {"<presence" FROM_ROOM "><x xmlns='" NS_MUC_USER "'>", "</x></presence>"},
    {"<presence type='error'" FROM_ROOM ">", "</presence>"},
    {"<iq type='result'" FROM_ROOM "><query xmlns='" NS_MUC_OWNER "'><x xmlns='" NS_DATA_FORM "'>",
     "</x></query></iq>"},
    {"<iq type='result'" FROM_ROOM "><query xmlns='" NS_MUC_ADMIN "'>", "</query></iq>"},
    {"<iq type='result'" FROM_ROOM "><query xmlns='" NS_DISCO_INFO "'>", "</query></iq>"},
    {"<message type='groupchat'" FROM_ROOM "><x xmlns='" NS_MUC_USER "'>", "</x></message>"},
};
#define NO_TENANTS 0x08
#define NO_LOBBY 0x40

static void require(bool holds)
{
    if (!holds)
        abort();
}

static const struct element *read_stanza(struct parser **parser, const char *text, size_t len)
{
    static const struct parse_limits limits = {
        .bytes = (size_t)1 << 20, .depth = 64, .elements = 5000, .attributes = 64};
    const struct element *root = NULL;

    if (!*parser && !(*parser = parser_new()))
        abort();
    return parser_read(*parser, text, len, &limits, &root) == PARSE_OK ? root : NULL;
}

/* What we wrote, which must be one stanza of ours, whatever text went into it. */
static const struct element *read_back(const struct buf *out, const char *name)
{
    static struct parser *parser;
    const struct element *root = out->failed ? NULL : read_stanza(&parser, out->data, out->len);

    require(root && element_is(root, NS_CLIENT, name));
    return root;
}

static bool is_same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Whether an attribute we wrote says text: it may have lost the kind of a blank (XML 1.0 section
 * 3.3.3), as it does when Prosody writes it. */
static bool says(const struct element *e, const char *name, const char *text)
{
    const char *value = element_attribute(e, name);

    if (!value || !text)
        return value == text;
    for (; *value && (*value == *text || (is_blank(*value) && is_blank(*text))); value++)
        text += strncmp(text, "\r\n", 2) == 0 ? 2 : 1;
    return *value == *text;
}

/* The readers. */

struct item_count {
    size_t seen, stop_at;
};

static bool count_item(void *ctx, const struct muc_item *item)
{
    struct item_count *count = ctx;

    require(item->nick && item->jid && item->role && item->affiliation);
    return ++count->seen != count->stop_at;
}

static void read_items(const struct element *e)
{
    struct item_count all = {0}, one = {.stop_at = 1};

    require(muc_read_items(e, count_item, &all));
    require(muc_read_items(e, count_item, &one) == (all.seen == 0));
    require(one.seen == (all.seen > 0));
}

static void read_presence(const struct element *e)
{
    struct muc_presence p;

    muc_read_presence(e, &p);
    require(p.affiliation && p.role && p.jid && p.condition && p.new_nick);
    require(!(p.error && p.unavailable));
    require(p.error || (!p.has_lobbyroom && p.condition[0] == '\0'));
    require(p.nick_change || p.new_nick[0] == '\0');
    if (p.error)
        require(is_same(p.condition, stanza_error_condition(e)));
}

static void read_everything(const struct element *e)
{
    const char *type = element_attribute(e, "type");
    enum stanza_kind kind = stanza_kind(e);
    struct muc_form form;
    struct muc_info info;

    read_presence(e);
    read_items(e);
    require(stanza_error_condition(e) != NULL);
    if (muc_is_join(e))
        require(kind == STANZA_PRESENCE && !type);
    if (muc_is_owner_set(e))
        require(kind == STANZA_IQ && is_same(type, "set"));
    if (muc_read_form(e, &form))
        require(kind == STANZA_IQ && is_same(type, "result") &&
                (form.has_membersonly || !form.membersonly));
    if (muc_read_info(e, &info))
        require(kind == STANZA_IQ && is_same(type, "result"));
    if (muc_is_config_change(e))
        require(kind == STANZA_MESSAGE && is_same(type, "groupchat"));
}

/* The answer to a stanza we refuse: it goes where the stanza came from and names it. */
static void refuse(const struct element *e, const char *text)
{
    const char *from = element_attribute(e, "from");
    struct buf out = BUF_INIT;

    if (!stanza_is_counted(stanza_kind(e)))
        return;
    stanza_error(&out, e, "x@y/z", "cancel", "item-not-found", text);
    const struct element *answer = read_back(&out, e->name);
    require(is_same(element_attribute(answer, "type"), "error"));
    require(says(answer, "id", element_attribute(e, "id")));
    require(says(answer, "from", element_attribute(e, "to")));
    require(says(answer, "to", from ? from : "x@y/z"));
    require(is_same(stanza_error_condition(answer), "item-not-found"));
    require(!muc_is_join(answer) && !muc_is_owner_set(answer));
    buf_done(&out);
}

/* Requests to a room, with texts that others wrote in them. */
static void ask(const struct muc_room *room, const char *jid, const char *text)
{
    struct buf out = BUF_INIT;
    const struct element *e, *child;

    muc_submit_form(&out, room->jid, text, true, 1);
    e = read_back(&out, "iq");
    require(muc_is_owner_set(e) && is_same(element_attribute(e, "to"), room->jid));
    require(says(e, "id", text));
    buf_clear(&out);
    muc_grant(&out, room->jid, "1", jid, "member");
    e = read_back(&out, "iq");
    require(is_same(element_attribute(e, "to"), room->jid));
    require((child = element_child(e, NS_MUC_ADMIN, "query")) && !child->next);
    require((child = element_child(child, NS_MUC_ADMIN, "item")) && !child->next);
    require(says(child, "jid", jid));
    buf_clear(&out);
    muc_invite(&out, room->jid, "1", jid);
    require(is_same(element_attribute(read_back(&out, "message"), "to"), room->jid));
    buf_clear(&out);
    muc_destroy(&out, room->jid, "1", text);
    require(muc_is_owner_set(read_back(&out, "iq")));
    buf_clear(&out);
    muc_join(&out, room->jid, "nick", text);
    require(muc_is_join(read_back(&out, "presence")));
    buf_done(&out);
}

/* One room, one name: the name leads to itself. */
static void check_room(const struct muc_service *service, enum muc_place place,
                       const struct muc_room *room)
{
    struct jid jid;
    struct muc_room again;
    bool no_memory;
    const char *at = strrchr(room->jid, '@');

    require(room->node[0] != '\0' && at && is_same(at + 1, service->muc));
    require(service->tenants || room->tenant[0] == '\0');
    require(place != MUC_LOBBY || service->lobby[0] != '\0');
    /* A tenant came out of a domain and may be no part of a node: no room has that name. */
    if (jid_parse(room->jid, strlen(room->jid), &jid) != JID_OK)
        return;
    enum muc_place same = muc_locate(service, &jid, &again, &no_memory);
    require(same == (place == MUC_HEALTH ? MUC_HEALTH : MUC_MAIN));
    require(is_same(again.jid, room->jid) && again.nick[0] == '\0');
    muc_room_done(&again);
    jid_done(&jid);
}

static void locate(const struct muc_service *service, const struct element *e, const char *address)
{
    struct jid jid;
    struct muc_room room;
    bool no_memory = false;

    if (!address || jid_parse(address, strlen(address), &jid) != JID_OK)
        return;
    enum muc_place place = muc_locate(service, &jid, &room, &no_memory);
    require(!no_memory);
    if (place != MUC_ELSEWHERE) {
        require(is_same(room.nick, jid.resource));
        check_room(service, place, &room);
        ask(&room, address, e->first_child ? e->first_child->text : e->text);
        muc_room_done(&room);
    }
    jid_done(&jid);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct parser *parser;
    struct buf text = BUF_INIT;

    if (size == 0)
        return 0;
    const struct muc_service service = {.domain = "meet.example.com",
                                        .muc = "conference.meet.example.com",
                                        .lobby = data[0] & NO_LOBBY ? "" : "lobby.meet.example.com",
                                        .tenants = (data[0] & NO_TENANTS) == 0};
    buf_add_str(&text, frames[data[0] & 7].before);
    buf_add(&text, data + 1, size - 1);
    buf_add_str(&text, frames[data[0] & 7].after);
    (void)stanza_peek(text.data, text.len);
    const struct element *e = read_stanza(&parser, text.data, text.len);
    if (e) {
        read_everything(e);
        refuse(e, e->first_child ? e->first_child->text : NULL);
        locate(&service, e, element_attribute(e, "to"));
        locate(&service, e, element_attribute(e, "from"));
    }
    buf_done(&text);
    return 0;
}
