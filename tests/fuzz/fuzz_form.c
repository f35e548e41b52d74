/*
 * Owner forms and room information (XEP-0045, XEP-0004), read and written: what is read is what a
 * second look at the tree finds, and what we submit names the fields we mean, with the values we
 * mean, and no other, whatever stands in the addresses.
 *
 * The first byte sets what is submitted. Of the rest, the first line is an id and an address for
 * it, parted by a blank; the other lines are the inside of a form that a room sent.
 */
#include "xmpp/muc.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MEMBERSONLY "muc#roomconfig_membersonly"
#define PERSISTENT "muc#roomconfig_persistentroom"
#define FROM_ROOM " xmlns='" NS_CLIENT "' id='1' from='r@conference.meet.example.com' to='a@b/c'"

static void require(bool holds)
{
    if (!holds)
        abort();
}

static const struct element *read_stanza(struct parser **parser, const struct buf *text)
{
    static const struct parse_limits limits = {
        .bytes = (size_t)1 << 20, .depth = 64, .elements = 5000, .attributes = 64};
    const struct element *root = NULL;

    if (!*parser && !(*parser = parser_new()))
        abort();
    require(!text->failed);
    return parser_read(*parser, text->data, text->len, &limits, &root) == PARSE_OK ? root : NULL;
}

static bool is(const struct element *e, const char *ns, const char *name)
{
    return strcmp(e->ns, ns) == 0 && strcmp(e->name, name) == 0;
}

static const char *attribute(const struct element *e, const char *name)
{
    const char *found = NULL;

    for (const struct attribute *a = e->attributes; a; a = a->next) {
        if (a->ns[0] == '\0' && strcmp(a->name, name) == 0) {
            require(!found); /* not well-formed */
            found = a->value;
        }
    }
    return found ? found : "";
}

/* The first of e's children of that name. */
static const struct element *child(const struct element *e, const char *ns, const char *name)
{
    const struct element *c = e->first_child;

    while (c && !is(c, ns, name))
        c = c->next;
    return c;
}

/* The first value of the first field of that name; NULL when there is no such field. */
static const char *value(const struct element *form, const char *var)
{
    for (const struct element *c = form->first_child; c; c = c->next) {
        if (!is(c, NS_DATA_FORM, "field") || strcmp(attribute(c, "var"), var) != 0)
            continue;
        const struct element *v = child(c, NS_DATA_FORM, "value");
        return v ? v->text : "";
    }
    return NULL;
}

static bool is_true(const char *text)
{
    return text && (strcmp(text, "1") == 0 || strcmp(text, "true") == 0);
}

static void check_form(const struct element *iq)
{
    struct muc_form form = {0};
    const struct element *query = child(iq, NS_MUC_OWNER, "query");
    const struct element *x = query ? child(query, NS_DATA_FORM, "x") : NULL;

    require(muc_read_form(iq, &form) == (x != NULL));
    if (!x)
        return;
    require(form.has_membersonly == (value(x, MEMBERSONLY) != NULL));
    require(form.membersonly == is_true(value(x, MEMBERSONLY)));
    require(form.persistent == is_true(value(x, PERSISTENT)));
}

static void check_info(const struct element *iq)
{
    struct muc_info info = {0};
    const struct element *query = child(iq, NS_DISCO_INFO, "query");
    bool membersonly = false, is_open = false, lobbyroom = false;

    for (const struct element *c = query ? query->first_child : NULL; c; c = c->next) {
        const char *var = attribute(c, "var"), *lobby = NULL;
        if (is(c, NS_DISCO_INFO, "feature")) {
            membersonly = membersonly || strcmp(var, "muc_membersonly") == 0;
            is_open = is_open || strcmp(var, "muc_open") == 0;
        }
        if (is(c, NS_DATA_FORM, "x") && (lobby = value(c, "muc#roominfo_lobbyroom")) != NULL)
            lobbyroom = lobbyroom || lobby[0] != '\0';
    }
    require(muc_read_info(iq, &info) == (membersonly != is_open));
    if (membersonly != is_open)
        require(info.membersonly == membersonly && info.has_lobbyroom == lobbyroom);
}

static void receive(const char *query_ns, const char *before, const char *inside, size_t len,
                    const char *after, void (*check)(const struct element *iq))
{
    static struct parser *parser;
    struct buf text = BUF_INIT;

    buf_printf(&text, "<iq type='result'" FROM_ROOM "><query xmlns='%s'>%s", query_ns, before);
    buf_add(&text, inside, len);
    buf_printf(&text, "%s</query></iq>", after);
    const struct element *iq = read_stanza(&parser, &text);
    if (iq)
        check(iq);
    buf_done(&text);
}

/* A field has a name and one value, and nothing else. */
static void check_field(const struct element *field, const char *var, const char *wanted)
{
    const struct element *v = field->first_child;

    require(is(field, NS_DATA_FORM, "field") && strcmp(attribute(field, "var"), var) == 0);
    require(v && !v->next && is(v, NS_DATA_FORM, "value") && !v->first_child && !v->attributes);
    require(strcmp(v->text, wanted) == 0);
}

/* Only this is in it: what a form leaves out, Prosody leaves as it is, but for membersonly, which
 * it then turns off (wire fact 16). */
static void check_submitted(const struct element *iq, bool membersonly, int persistent)
{
    const struct element *query = iq->first_child, *x, *field;

    require(muc_is_owner_set(iq) && strcmp(attribute(iq, "type"), "set") == 0);
    require(query && !query->next && is(query, NS_MUC_OWNER, "query") && !query->attributes);
    x = query->first_child;
    require(x && !x->next && is(x, NS_DATA_FORM, "x") && query->text[0] == '\0');
    require(strcmp(attribute(x, "type"), "submit") == 0 && x->text[0] == '\0');
    field = x->first_child;
    require(field != NULL);
    check_field(field, "FORM_TYPE", NS_MUC_ROOMCONFIG);
    field = field->next;
    require(field != NULL);
    check_field(field, MEMBERSONLY, membersonly ? "1" : "0");
    field = field->next;
    require((field != NULL) == (persistent >= 0));
    if (field) {
        check_field(field, PERSISTENT, persistent ? "1" : "0");
        require(!field->next);
    }
}

/* What was submitted, sent back by the room as its form, is read as what was meant. */
static void send_back(const struct buf *submitted, bool membersonly, int persistent)
{
    static const char begin[] = "<x ", end[] = "</query>";
    static struct parser *parser;
    struct buf text = BUF_INIT;
    struct muc_form form;
    /* Neither stands in an address: they are escaped there. */
    const char *from = strstr(submitted->data, begin);
    const char *to = from ? strstr(from, end) : NULL;

    require(from && to);
    buf_add_str(&text, "<iq type='result'" FROM_ROOM "><query xmlns='" NS_MUC_OWNER "'>");
    buf_add(&text, from, (size_t)(to - from));
    buf_add_str(&text, "</query></iq>");
    const struct element *iq = read_stanza(&parser, &text);
    require(iq && muc_read_form(iq, &form));
    require(form.has_membersonly && form.membersonly == membersonly);
    require(form.persistent == (persistent == 1));
    buf_done(&text);
}

/* Whether both texts may stand in XML at all: a JID or an id of ours always does. */
static bool are_plain(const char *one, const char *other)
{
    static struct parser *parser;
    struct buf out = BUF_INIT;

    buf_add_str(&out, "<a b='");
    buf_add_xml(&out, one);
    buf_add_str(&out, "' c='");
    buf_add_xml(&out, other);
    buf_add_str(&out, "'/>");
    bool plain = read_stanza(&parser, &out) != NULL;
    buf_done(&out);
    return plain;
}

static void submit(uint8_t flags, const char *id, const char *room)
{
    static struct parser *parser;
    struct buf out = BUF_INIT;
    bool membersonly = flags & 1;
    int persistent = (int)(flags >> 1) % 3 - 1;

    if (!are_plain(id, room))
        return;
    muc_submit_form(&out, room, id, membersonly, persistent);
    const struct element *iq = read_stanza(&parser, &out);
    require(iq != NULL);
    check_submitted(iq, membersonly, persistent);
    send_back(&out, membersonly, persistent);
    buf_clear(&out);
    muc_get_form(&out, room, id);
    iq = read_stanza(&parser, &out);
    require(iq && strcmp(attribute(iq, "type"), "get") == 0 && !muc_is_owner_set(iq));
    require(child(iq, NS_MUC_OWNER, "query") == iq->first_child && !iq->first_child->next);
    require(!iq->first_child->first_child);
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data + 1;
    char id[64] = "", room[256] = "";

    if (size < 2)
        return 0;
    const char *line_end = memchr(text, '\n', size - 1);
    if (line_end) {
        size_t len = (size_t)(line_end - text);
        const char *blank = memchr(text, ' ', len);
        size_t id_len = blank ? (size_t)(blank - text) : len;
        memcpy(id, text, id_len < sizeof(id) ? id_len : sizeof(id) - 1);
        len -= blank ? id_len + 1 : len;
        if (blank)
            memcpy(room, blank + 1, len < sizeof(room) ? len : sizeof(room) - 1);
        submit(data[0], id, room);
        text = line_end + 1;
    }
    size -= (size_t)(text - (const char *)data);
    if ((data[0] >> 3) % 3 == 0)
        receive(NS_MUC_OWNER, "<x xmlns='" NS_DATA_FORM "' type='form'>", text, size, "</x>",
                check_form);
    else if ((data[0] >> 3) % 3 == 1)
        receive(NS_MUC_OWNER, "", text, size, "", check_form);
    else
        receive(NS_DISCO_INFO, "", text, size, "", check_info);
    return 0;
}
