/*
 * Where addresses point, what requests look like, and what rooms say.
 */
#include "tests/unit/alloc.h"
#include "xmpp/muc.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct parse_limits limits = {
    .bytes = 10000, .depth = 10, .elements = 100, .attributes = 10};

#define D "meet.example.com"

static const struct muc_service tenants = {D, "conference." D, "lobby." D, true};
static const struct muc_service plain = {D, "conference." D, "", false};
static const struct muc_service elsewhere = {D, "rooms.example.net", "lobby." D, true};

static void test_locate(void **state)
{
    static const struct {
        const char *name, *address;
        const struct muc_service *service;
        enum muc_place place;
        const char *jid, *node, *tenant, *nick;
    } cases[] = {
        {"room", "room@conference." D, &tenants, MUC_MAIN, "room@conference." D, "room", "", ""},
        {"occupant", "Room@Conference." D "/Ada", &tenants, MUC_MAIN, "room@conference." D, "room",
         "", "Ada"},
        {"trailing dot", "room@conference." D "./n", &tenants, MUC_MAIN, "room@conference." D,
         "room", "", "n"},
        {"tenant's domain", "room@conference.Acme." D "/n", &tenants, MUC_MAIN,
         "[acme]room@conference." D, "room", "acme", "n"},
        {"tenant in brackets", "[Acme]room@conference." D "/n", &tenants, MUC_MAIN,
         "[acme]room@conference." D, "room", "acme", "n"},
        {"both", "[x]room@conference.acme." D, &tenants, MUC_MAIN, "[acme][x]room@conference." D,
         "[x]room", "acme", ""},
        {"text behind the tenant's domain", "room@conference.acme." D ".example.net/n", &tenants,
         MUC_MAIN, "[acme]room@conference." D, "room", "acme", "n"},
        {"letters behind the tenant's domain", "room@conference.acme." D "x/n", &tenants, MUC_MAIN,
         "[acme]room@conference." D, "room", "acme", "n"},
        {"full-width separators",
         "room\xef\xbc\xa0"
         "conference.acme." D "\xef\xbc\x8fn",
         &tenants, MUC_MAIN, "[acme]room@conference." D, "room", "acme", "n"},
        {"empty brackets", "[]room@conference." D, &tenants, MUC_MAIN, "[]room@conference." D,
         "[]room", "", ""},
        {"brackets only", "[acme]@conference." D, &tenants, MUC_MAIN, "[acme]@conference." D,
         "[acme]", "", ""},
        {"bracket not closed", "[acme@conference." D, &tenants, MUC_MAIN, "[acme@conference." D,
         "[acme", "", ""},
        {"lobby", "room@lobby." D "/n", &tenants, MUC_LOBBY, "room@conference." D, "room", "", "n"},
        {"tenant's lobby", "[acme]room@lobby." D "/n", &tenants, MUC_LOBBY,
         "[acme]room@conference." D, "room", "acme", "n"},
        {"health check", "__jicofo-health-check-1@conference." D "/focus", &tenants, MUC_HEALTH,
         "__jicofo-health-check-1@conference." D, "__jicofo-health-check-1", "", "focus"},
        {"tenant's room named so", "__jicofo-health-check@conference.acme." D, &tenants, MUC_MAIN,
         "[acme]__jicofo-health-check@conference." D, "__jicofo-health-check", "acme", ""},
        {"component", "conference." D, &tenants, MUC_ELSEWHERE, NULL, NULL, NULL, NULL},
        {"component with resource", "conference." D "/n", &tenants, MUC_ELSEWHERE, NULL, NULL, NULL,
         NULL},
        {"tenant's component", "conference.acme." D, &tenants, MUC_ELSEWHERE, NULL, NULL, NULL,
         NULL},
        {"domain", "user@" D "/r", &tenants, MUC_ELSEWHERE, NULL, NULL, NULL, NULL},
        {"other component", "room@breakout." D, &tenants, MUC_ELSEWHERE, NULL, NULL, NULL, NULL},
        {"prefix of another name", "room@myconference.acme." D, &tenants, MUC_ELSEWHERE, NULL, NULL,
         NULL, NULL},
        {"two labels", "room@conference.a.b." D, &tenants, MUC_ELSEWHERE, NULL, NULL, NULL, NULL},
        {"empty tenant", "room@conference.." D, &tenants, MUC_ELSEWHERE, NULL, NULL, NULL, NULL},
        {"no tenants: domain", "room@conference.acme." D, &plain, MUC_ELSEWHERE, NULL, NULL, NULL,
         NULL},
        {"no tenants: brackets", "[acme]room@conference." D, &plain, MUC_MAIN,
         "[acme]room@conference." D, "[acme]room", "", ""},
        {"no lobby component", "room@lobby." D, &plain, MUC_ELSEWHERE, NULL, NULL, NULL, NULL},
        {"rooms under another domain", "room@rooms.example.net", &elsewhere, MUC_MAIN,
         "room@rooms.example.net", "room", "", ""},
        {"no prefix, no tenants", "room@conference.acme." D, &elsewhere, MUC_ELSEWHERE, NULL, NULL,
         NULL, NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct jid jid;
        struct muc_room room = {0};
        bool no_memory = true;
        if (jid_parse(cases[i].address, strlen(cases[i].address), &jid) != JID_OK)
            fail_msg("%s: not an address", cases[i].name);
        enum muc_place place = muc_locate(cases[i].service, &jid, &room, &no_memory);
        assert_false(no_memory);
        if (place != cases[i].place)
            fail_msg("%s: %d", cases[i].name, place);
        if (place == MUC_ELSEWHERE)
            assert_null(room.memory);
        else if (strcmp(room.jid, cases[i].jid) != 0 || strcmp(room.node, cases[i].node) != 0 ||
                 strcmp(room.tenant, cases[i].tenant) != 0 || strcmp(room.nick, cases[i].nick) != 0)
            fail_msg("%s: [%s][%s][%s][%s]", cases[i].name, room.jid, room.node, room.tenant,
                     room.nick);
        muc_room_done(&room);
        assert_null(room.memory);
        jid_done(&jid);
    }
}

static void test_locate_no_memory(void **state)
{
    struct jid jid;
    struct muc_room room = {0};
    bool no_memory = false;
    assert_int_equal(jid_parse("room@conference." D, strlen("room@conference." D), &jid), JID_OK);
    alloc_fail_after(0);
    assert_int_equal(muc_locate(&tenants, &jid, &room, &no_memory), MUC_ELSEWHERE);
    alloc_fail_off();
    assert_true(no_memory);
    assert_null(room.memory);
    jid_done(&jid);
}

#define IQ(type, ns, content)                                                                      \
    "<iq xmlns='jabber:client' type='" type "' to='r@muc' id='i'><query xmlns='" ns "'>" content   \
    "</query></iq>"
#define FORM(fields)                                                                               \
    "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'>"                 \
    "<value>http://jabber.org/protocol/muc#roomconfig</value></field>" fields "</x>"
#define FIELD(name, value) "<field var='muc#roomconfig_" name "'><value>" value "</value></field>"

static void check_built(struct parser *p, const char *name, struct buf *out, const char *expected)
{
    const struct element *root;
    if (strcmp(out->data, expected) != 0)
        fail_msg("%s: %s", name, out->data);
    assert_int_equal(parser_read(p, out->data, out->len, &limits, &root), PARSE_OK);
    assert_true(stanza_is_counted(stanza_kind(root)));
    buf_clear(out);
}

static void test_requests(void **state)
{
    struct parser *p = parser_new();
    struct buf b = BUF_INIT;
    muc_get_form(&b, "r@muc", "i");
    check_built(p, "get form", &b, IQ("get", NS_MUC_OWNER, ""));
    muc_submit_form(&b, "r@muc", "i", true, 1);
    check_built(
        p, "on, persistent", &b,
        IQ("set", NS_MUC_OWNER, FORM(FIELD("membersonly", "1") FIELD("persistentroom", "1"))));
    muc_submit_form(&b, "r@muc", "i", true, 0);
    check_built(
        p, "on, not persistent", &b,
        IQ("set", NS_MUC_OWNER, FORM(FIELD("membersonly", "1") FIELD("persistentroom", "0"))));
    muc_submit_form(&b, "r@muc", "i", false, -1);
    check_built(p, "off", &b, IQ("set", NS_MUC_OWNER, FORM(FIELD("membersonly", "0"))));
    muc_list_role(&b, "r@muc", "i", "visitor");
    check_built(p, "role", &b, IQ("get", NS_MUC_ADMIN, "<item role='visitor'/>"));
    muc_list_affiliation(&b, "r@muc", "i", "owner");
    check_built(p, "affiliation", &b, IQ("get", NS_MUC_ADMIN, "<item affiliation='owner'/>"));
    muc_grant(&b, "r@muc", "i", "a@b", "member");
    check_built(p, "grant", &b, IQ("set", NS_MUC_ADMIN, "<item affiliation='member' jid='a@b'/>"));
    muc_destroy(&b, "r@muc", "i", NULL);
    check_built(p, "destroy", &b, IQ("set", NS_MUC_OWNER, "<destroy></destroy>"));
    muc_destroy(&b, "r@muc", "i", "a<b");
    check_built(p, "destroy with reason", &b,
                IQ("set", NS_MUC_OWNER, "<destroy><reason>a&lt;b</reason></destroy>"));
    muc_invite(&b, "r@muc", "i", "a@b");
    check_built(p, "invite", &b,
                "<message xmlns='jabber:client' to='r@muc' id='i'><x xmlns='" NS_MUC_USER "'>"
                "<invite to='a@b'/></x></message>");
    muc_join(&b, "r'@muc", "<n>", "i");
    check_built(p, "join", &b,
                "<presence xmlns='jabber:client' to='r&apos;@muc/&lt;n&gt;' id='i'>"
                "<x xmlns='" NS_MUC "'/></presence>");
    muc_leave(&b, "r@muc", "n", "i");
    check_built(p, "leave", &b,
                "<presence xmlns='jabber:client' to='r@muc/n' id='i' type='unavailable'/>");
    buf_done(&b);
    parser_free(p);
}

static const struct element *read_msg(struct parser *p, const char *name, const char *msg)
{
    const struct element *root = NULL;
    enum parse_result result = parser_read(p, msg, strlen(msg), &limits, &root);
    if (result != PARSE_OK)
        fail_msg("%s: %s", name, parse_result_text(result));
    return root;
}

static void test_is_join(void **state)
{
    static const struct {
        const char *name, *msg;
        bool expected;
    } cases[] = {
        {"join", "<presence xmlns='jabber:client' to='r'><x xmlns='" NS_MUC "'/></presence>", true},
        {"password",
         "<presence xmlns='jabber:client'><x xmlns='" NS_MUC "'><password>p</password>"
         "</x></presence>",
         true},
        {"prefixed", "<presence xmlns='jabber:client' xmlns:m='" NS_MUC "'><c/><m:x/></presence>",
         true},
        {"type of another namespace",
         "<presence xmlns='jabber:client' xmlns:p='u' p:type='error'>"
         "<x xmlns='" NS_MUC "'/></presence>",
         true},
        {"update", "<presence xmlns='jabber:client'/>", false},
        {"leave",
         "<presence xmlns='jabber:client' type='unavailable'><x xmlns='" NS_MUC "'/>"
         "</presence>",
         false},
        {"empty type", "<presence xmlns='jabber:client' type=''><x xmlns='" NS_MUC "'/></presence>",
         false},
        {"x of muc#user", "<presence xmlns='jabber:client'><x xmlns='" NS_MUC_USER "'/></presence>",
         false},
        {"x further in",
         "<presence xmlns='jabber:client'><y><x xmlns='" NS_MUC "'/></y></presence>", false},
        {"message", "<message xmlns='jabber:client'><x xmlns='" NS_MUC "'/></message>", false},
        {"other namespace", "<presence xmlns='u'><x xmlns='" NS_MUC "'/></presence>", false},
    };
    struct parser *p = parser_new();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (muc_is_join(read_msg(p, cases[i].name, cases[i].msg)) != cases[i].expected)
            fail_msg("%s", cases[i].name);
    parser_free(p);
}

#define OWNER(type, content)                                                                       \
    "<iq xmlns='jabber:client' type='" type "'><query xmlns='" NS_MUC_OWNER "'>" content           \
    "</query></iq>"
#define DATA(fields) "<x xmlns='jabber:x:data' type='form'>" fields "</x>"

static void test_read_form(void **state)
{
    static const struct {
        const char *name, *msg;
        bool is_form, has_membersonly, membersonly, persistent;
    } cases[] = {
        {"on", OWNER("result", DATA(FIELD("membersonly", "1"))), true, true, true, false},
        {"true", OWNER("result", DATA(FIELD("membersonly", "true"))), true, true, true, false},
        {"0", OWNER("result", DATA(FIELD("membersonly", "0"))), true, true, false, false},
        {"false", OWNER("result", DATA(FIELD("membersonly", "false"))), true, true, false, false},
        {"empty value", OWNER("result", DATA(FIELD("membersonly", ""))), true, true, false, false},
        {"no value", OWNER("result", DATA("<field var='muc#roomconfig_membersonly'/>")), true, true,
         false, false},
        {"persistent", OWNER("result", DATA(FIELD("roomname", "x") FIELD("persistentroom", "1"))),
         true, false, false, true},
        {"no fields", OWNER("result", DATA("")), true, false, false, false},
        {"no form", OWNER("result", ""), false, false, false, false},
        {"request", OWNER("set", DATA(FIELD("membersonly", "1"))), false, false, false, false},
        {"error", OWNER("error", DATA("")), false, false, false, false},
    };
    struct parser *p = parser_new();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct muc_form form = {0};
        const struct element *iq = read_msg(p, cases[i].name, cases[i].msg);
        if (muc_read_form(iq, &form) != cases[i].is_form ||
            form.has_membersonly != cases[i].has_membersonly ||
            form.membersonly != cases[i].membersonly || form.persistent != cases[i].persistent)
            fail_msg("%s", cases[i].name);
        assert_int_equal(muc_is_owner_set(iq), strcmp(cases[i].name, "request") == 0);
    }
    parser_free(p);
}

struct items {
    struct buf text;
    size_t stop_after;
};

static bool add_item(void *ctx, const struct muc_item *item)
{
    struct items *items = ctx;
    buf_printf(&items->text, "%s,%s,%s,%s;", item->nick, item->jid, item->role, item->affiliation);
    return --items->stop_after > 0;
}

static void test_read_items(void **state)
{
    static const char msg[] =
        "<iq xmlns='jabber:client' type='result'><query xmlns='" NS_MUC_ADMIN "'>"
        "<item nick='r@muc/n' jid='a@b/c' role='participant' affiliation='none'/> "
        "<other/><item jid='d@e'/><item/></query></iq>";
    struct parser *p = parser_new();
    struct items items = {BUF_INIT, 10};
    assert_true(muc_read_items(read_msg(p, "all", msg), add_item, &items));
    assert_string_equal(items.text.data, "r@muc/n,a@b/c,participant,none;,d@e,,;,,,;");
    buf_clear(&items.text);
    items.stop_after = 2;
    assert_false(muc_read_items(read_msg(p, "stopped", msg), add_item, &items));
    assert_string_equal(items.text.data, "r@muc/n,a@b/c,participant,none;,d@e,,;");
    assert_true(
        muc_read_items(read_msg(p, "none", "<iq xmlns='jabber:client'/>"), add_item, &items));
    buf_done(&items.text);
    parser_free(p);
}

#define PRESENCE(attributes, content)                                                              \
    "<presence xmlns='jabber:client' " attributes "><x xmlns='" NS_MUC_USER "'>" content           \
    "</x></presence>"
#define ERROR(content)                                                                             \
    "<presence xmlns='jabber:client' type='error'><error type='auth'><registration-required "      \
    "xmlns='" NS_STANZA_ERRORS "'/>" content
#define STATUS(code) "<status code='" code "'/>"

static void test_read_presence(void **state)
{
    static const struct {
        const char *name, *msg;
        struct muc_presence expected;
    } cases[] = {
        {"self",
         PRESENCE("", "<item affiliation='member' role='participant' jid='a@b/c'/>" STATUS("100")
                          STATUS("110")),
         {.self = true, .affiliation = "member", .role = "participant", .jid = "a@b/c"}},
        {"other",
         PRESENCE("", "<item affiliation='none' role='visitor'/>"),
         {.affiliation = "none", .role = "visitor"}},
        {"created", PRESENCE("", STATUS("110") STATUS("201")), {.self = true, .created = true}},
        {"left",
         PRESENCE("type='unavailable'", STATUS("110")),
         {.self = true, .unavailable = true}},
        {"kicked",
         PRESENCE("type='unavailable'", STATUS("307") STATUS("110")),
         {.self = true, .unavailable = true, .kicked = true}},
        {"banned",
         PRESENCE("type='unavailable'", STATUS("301")),
         {.unavailable = true, .banned = true}},
        {"removed",
         PRESENCE("type='unavailable'", STATUS("110") STATUS("322")),
         {.self = true, .unavailable = true, .removed = true}},
        {"destroyed",
         PRESENCE("type='unavailable'", "<destroy><reason>r</reason></destroy>"),
         {.unavailable = true, .destroyed = true}},
        {"nick change",
         PRESENCE("type='unavailable'", "<item nick='new'/>" STATUS("303")),
         {.unavailable = true, .nick_change = true, .new_nick = "new"}},
        {"nick without a change", PRESENCE("", "<item nick='n'/>"), {.self = false}},
        {"status elsewhere",
         "<presence xmlns='jabber:client'><status code='110'/></presence>",
         {.self = false}},
        {"lobby room in the error",
         ERROR("<lobbyroom xmlns='" NS_JITMEET "'>r@lobby</lobbyroom></error></presence>"),
         {.error = true, .condition = "registration-required", .has_lobbyroom = true}},
        {"lobby room beside the error",
         ERROR("</error><lobbyroom>r@lobby</lobbyroom></presence>"),
         {.error = true, .condition = "registration-required", .has_lobbyroom = true}},
        {"lobby room without namespace",
         ERROR("</error><lobbyroom xmlns=''>r@lobby</lobbyroom></presence>"),
         {.error = true, .condition = "registration-required", .has_lobbyroom = true}},
        {"empty lobby room",
         ERROR("</error><lobbyroom/></presence>"),
         {.error = true, .condition = "registration-required"}},
        {"lobby room of a foreign namespace",
         ERROR("</error><lobbyroom xmlns='u'>r@lobby</lobbyroom></presence>"),
         {.error = true, .condition = "registration-required"}},
        {"lobby room without an error",
         "<presence xmlns='jabber:client'><lobbyroom>r</lobbyroom></presence>",
         {.self = false}},
        {"error without condition",
         "<presence xmlns='jabber:client' type='error'/>",
         {.error = true}},
        {"text is no condition",
         "<presence xmlns='jabber:client' type='error'><error><text xmlns='" NS_STANZA_ERRORS
         "'>t</text><x xmlns='u'/><conflict xmlns='" NS_STANZA_ERRORS "'/></error></presence>",
         {.error = true, .condition = "conflict"}},
    };
    struct parser *p = parser_new();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct muc_presence *e = &cases[i].expected;
        struct muc_presence r;
        muc_read_presence(read_msg(p, cases[i].name, cases[i].msg), &r);
        if (r.self != e->self || r.unavailable != e->unavailable || r.error != e->error ||
            r.kicked != e->kicked || r.banned != e->banned || r.removed != e->removed ||
            r.created != e->created || r.destroyed != e->destroyed ||
            r.nick_change != e->nick_change || r.has_lobbyroom != e->has_lobbyroom)
            fail_msg("%s", cases[i].name);
        assert_string_equal(r.affiliation, e->affiliation ? e->affiliation : "");
        assert_string_equal(r.role, e->role ? e->role : "");
        assert_string_equal(r.jid, e->jid ? e->jid : "");
        assert_string_equal(r.new_nick, e->new_nick ? e->new_nick : "");
        assert_string_equal(r.condition, e->condition ? e->condition : "");
    }
    parser_free(p);
}

static void test_config_change(void **state)
{
    static const struct {
        const char *name, *msg;
        bool expected;
    } cases[] = {
        {"104",
         "<message xmlns='jabber:client' type='groupchat'><x xmlns='" NS_MUC_USER "'>" STATUS("170")
             STATUS("104") "</x></message>",
         true},
        {"other status",
         "<message xmlns='jabber:client' type='groupchat'><x xmlns='" NS_MUC_USER
         "'>" STATUS("170") "</x></message>",
         false},
        {"chat",
         "<message xmlns='jabber:client' type='chat'><x xmlns='" NS_MUC_USER
         "'>" STATUS("104") "</x></message>",
         false},
        {"body", "<message xmlns='jabber:client' type='groupchat'><body>104</body></message>",
         false},
    };
    struct parser *p = parser_new();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (muc_is_config_change(read_msg(p, cases[i].name, cases[i].msg)) != cases[i].expected)
            fail_msg("%s", cases[i].name);
    parser_free(p);
}

#define INFO(type, content)                                                                        \
    "<iq xmlns='jabber:client' type='" type "'><query xmlns='" NS_DISCO_INFO "'>" content          \
    "</query></iq>"
#define FEATURE(name) "<feature var='" name "'/>"
#define LOBBYROOM(value)                                                                           \
    "<x xmlns='jabber:x:data' type='result'><field var='muc#roominfo_lobbyroom'>" value            \
    "</field></x>"

static void test_read_info(void **state)
{
    static const struct {
        const char *name, *msg;
        bool is_info, membersonly, has_lobbyroom;
    } cases[] = {
        {"open", INFO("result", FEATURE("muc_public") FEATURE("muc_open")), true, false, false},
        {"members only", INFO("result", FEATURE("muc_membersonly")), true, true, false},
        {"lobby", INFO("result", FEATURE("muc_membersonly") LOBBYROOM("<value>r@lobby</value>")),
         true, true, true},
        {"empty lobby field", INFO("result", FEATURE("muc_membersonly") LOBBYROOM("<value/>")),
         true, true, false},
        {"no value", INFO("result", FEATURE("muc_open") LOBBYROOM("")), true, false, false},
        {"second form",
         INFO("result", FEATURE("muc_membersonly") "<x xmlns='jabber:x:data'/>" LOBBYROOM(
                            "<value>r</value>")),
         true, true, true},
        {"no members feature", INFO("result", FEATURE("muc_public")), false, false, false},
        {"both features", INFO("result", FEATURE("muc_open") FEATURE("muc_membersonly")), false,
         false, false},
        {"request", INFO("get", ""), false, false, false},
        {"no query", "<iq xmlns='jabber:client' type='result'/>", false, false, false},
    };
    struct parser *p = parser_new();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct muc_info info = {0};
        const struct element *iq = read_msg(p, cases[i].name, cases[i].msg);
        if (muc_read_info(iq, &info) != cases[i].is_info ||
            info.membersonly != cases[i].membersonly ||
            info.has_lobbyroom != cases[i].has_lobbyroom)
            fail_msg("%s", cases[i].name);
    }
    parser_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_locate),        cmocka_unit_test(test_locate_no_memory),
        cmocka_unit_test(test_requests),      cmocka_unit_test(test_is_join),
        cmocka_unit_test(test_read_form),     cmocka_unit_test(test_read_items),
        cmocka_unit_test(test_read_presence), cmocka_unit_test(test_config_change),
        cmocka_unit_test(test_read_info),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
