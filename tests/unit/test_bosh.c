/*
 * BOSH entities as clients send them and as an attacker might, and the messages they become.
 */
#include "tests/unit/alloc.h"
#include "xmpp/bosh.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BODY "<body rid='7' sid='s' xmlns='http://jabber.org/protocol/httpbind'>"
#define PREFIXED "<b:body rid='7' xmlns:b='http://jabber.org/protocol/httpbind'"
#define CLIENT " xmlns='jabber:client'"

static const struct parse_limits limits = {
    .bytes = 16384, .depth = 8, .elements = 1000, .attributes = 16};

/* What each child becomes, with '|' between. */
static const struct {
    const char *name, *entity, *messages;
} good[] = {
    {"no child", "<body rid='7' xmlns='" NS_BOSH "'/>", ""},
    {"no child, written out", BODY "</body>", ""},
    {"white space alone", BODY "\n \t</body>", ""},
    {"white space by reference", BODY "&#32;&#x0a;</body>", ""},
    {"a stanza with its namespace", BODY "<iq xmlns='jabber:client'/></body>",
     "<iq xmlns='jabber:client'/>"},
    {"without one: that of BOSH is inherited", BODY "<iq/></body>", "<iq" CLIENT "/>"},
    {"what is in it inherits the new one", BODY "<message><body>a</body></message></body>",
     "<message" CLIENT "><body>a</body></message>"},
    {"that of BOSH written out", BODY "<iq id='1' xmlns='" NS_BOSH "' type='get'/></body>",
     "<iq" CLIENT " id='1'  type='get'/>"},
    {"that of BOSH, by a reference",
     BODY "<iq xmlns='http&#58;//jabber.org/protocol/httpbind'/></body>", "<iq" CLIENT " />"},
    {"that of BOSH written out within", BODY "<iq><a xmlns='" NS_BOSH "'/></iq></body>",
     "<iq" CLIENT "><a xmlns='" NS_BOSH "'/></iq>"},
    {"no namespace, by its own will", BODY "<iq xmlns=''/></body>", "<iq xmlns=''/>"},
    {"another namespace", BODY "<auth xmlns=\"urn:x\">AA==</auth></body>",
     "<auth xmlns=\"urn:x\">AA==</auth>"},
    {"several, with white space", BODY " <a xmlns='u'/>\n<iq/><b xmlns='u'></b > </body>",
     "<a xmlns='u'/>|<iq" CLIENT "/>|<b xmlns='u'></b >"},
    {"nested of the same name", BODY "<iq><iq><iq/></iq></iq><iq/></body>",
     "<iq" CLIENT "><iq><iq/></iq></iq>|<iq" CLIENT "/>"},
    {"'>' and quotes in values", BODY "<a x='>\"/>' y=\"'/>'\"/><a x='/' y='/'>/&gt;></a></body>",
     "<a" CLIENT " x='>\"/>' y=\"'/>'\"/>|<a" CLIENT " x='/' y='/'>/&gt;></a>"},
    {"spaces around '='", BODY "<a xmlns = 'u' x\n=\t'1' /></body>", "<a xmlns = 'u' x\n=\t'1' />"},
    {"a value that looks like a declaration", BODY "<a x=' xmlns=\"u\"'/></body>",
     "<a" CLIENT " x=' xmlns=\"u\"'/>"},
    {"a prefix declared on body",
     "<body rid='7' xmlns='" NS_BOSH "' xmlns:x='u:x'><x:a/><iq/></body>",
     "<x:a xmlns:x='u:x'" CLIENT "/>|<iq xmlns:x='u:x'" CLIENT "/>"},
    {"a prefix of body declared anew",
     "<body rid='7' xmlns='" NS_BOSH "' xmlns:x='u:x' xmlns:xy='u'><x:a xmlns:x='u:y'/></body>",
     "<x:a xmlns:xy='u'" CLIENT " xmlns:x='u:y'/>"},
    {"body itself with a prefix", PREFIXED "><message><body/></message></b:body>",
     "<message xmlns:b='" NS_BOSH "'" CLIENT "><body/></message>"},
    {"a stanza with the prefix of BOSH", PREFIXED "><b:iq/></b:body>",
     "<b:iq xmlns:b='" NS_BOSH "'/>"},
    {"body with a prefix and a default", PREFIXED " xmlns='u'><a/><b:c/></b:body>",
     "<a xmlns:b='" NS_BOSH "' xmlns='u'/>|<b:c xmlns:b='" NS_BOSH "' xmlns='u'/>"},
    {"body with a prefix, the default that of BOSH", PREFIXED " xmlns='" NS_BOSH "'><iq/></b:body>",
     "<iq xmlns:b='" NS_BOSH "'" CLIENT "/>"},
    {"a language", "<body rid='7' xml:lang='de' xmlns='" NS_BOSH "'><a/><b xml:lang='en'/></body>",
     "<a xml:lang='de'" CLIENT "/>|<b" CLIENT " xml:lang='en'/>"},
    {"a declaration with references",
     "<body rid='7' xmlns='" NS_BOSH "' xmlns:x=\"u&amp;'&quot;\"><x:a/></body>",
     "<x:a xmlns:x=\"u&amp;'&quot;\"" CLIENT "/>"},
    {"beyond ASCII", BODY "<iq to='r\xc3\xa9'>\xe2\x82\xac</iq></body>",
     "<iq" CLIENT " to='r\xc3\xa9'>\xe2\x82\xac</iq>"},
};

static const struct {
    const char *name, *entity;
    enum bosh_result result;
    enum parse_result parse;
} bad[] = {
    {"nothing", "", BOSH_BAD_XML, PARSE_NOT_WELL_FORMED},
    {"no XML", "rid=7", BOSH_BAD_XML, PARSE_NOT_WELL_FORMED},
    {"an XML declaration", "<?xml version='1.0'?>" BODY "</body>", BOSH_BAD_XML, PARSE_RESTRICTED},
    {"a comment", BODY "<!-- --></body>", BOSH_BAD_XML, PARSE_RESTRICTED},
    {"CDATA", BODY "<a><![CDATA[</a>]]></a></body>", BOSH_BAD_XML, PARSE_RESTRICTED},
    {"an instruction", BODY "<?a b?></body>", BOSH_BAD_XML, PARSE_RESTRICTED},
    {"two bodies", BODY "</body>" BODY "</body>", BOSH_BAD_XML, PARSE_NOT_WELL_FORMED},
    {"not closed", BODY "<iq/>", BOSH_BAD_XML, PARSE_NOT_WELL_FORMED},
    {"crossed", BODY "<a></body></a>", BOSH_BAD_XML, PARSE_NOT_WELL_FORMED},
    {"'<' in a value", BODY "<a x='<'/></body>", BOSH_BAD_XML, PARSE_NOT_WELL_FORMED},
    {"a prefix not declared", BODY "<x:a/></body>", BOSH_BAD_XML, PARSE_BAD_NAMESPACE},
    {"not UTF-8", BODY "\xff</body>", BOSH_BAD_XML, PARSE_BAD_ENCODING},
    {"too deep", BODY "<a><a><a><a><a><a><a><a><a/></a></a></a></a></a></a></a></a></body>",
     BOSH_BAD_XML, PARSE_TOO_LARGE},
    {"another element", "<bode rid='7' xmlns='" NS_BOSH "'/>", BOSH_BAD_REQUEST, PARSE_OK},
    {"another namespace", "<body rid='7' xmlns='jabber:client'/>", BOSH_BAD_REQUEST, PARSE_OK},
    {"no namespace", "<body rid='7'/>", BOSH_BAD_REQUEST, PARSE_OK},
    {"no rid", "<body xmlns='" NS_BOSH "'/>", BOSH_BAD_REQUEST, PARSE_OK},
    {"an empty rid", "<body rid='' xmlns='" NS_BOSH "'/>", BOSH_BAD_REQUEST, PARSE_OK},
    {"rid 0", "<body rid='0' xmlns='" NS_BOSH "'/>", BOSH_BAD_REQUEST, PARSE_OK},
    {"a negative rid", "<body rid='-7' xmlns='" NS_BOSH "'/>", BOSH_BAD_REQUEST, PARSE_OK},
    {"a signed rid", "<body rid='+7' xmlns='" NS_BOSH "'/>", BOSH_BAD_REQUEST, PARSE_OK},
    {"a rid in another notation", "<body rid='7e1' xmlns='" NS_BOSH "'/>", BOSH_BAD_REQUEST,
     PARSE_OK},
    {"a rid beyond the last", "<body rid='9007199254740992' xmlns='" NS_BOSH "'/>",
     BOSH_BAD_REQUEST, PARSE_OK},
    {"a rid beyond 64 bits", "<body rid='18446744073709551617' xmlns='" NS_BOSH "'/>",
     BOSH_BAD_REQUEST, PARSE_OK},
    {"a rid with a prefix", "<body x:rid='7' xmlns:x='u' xmlns='" NS_BOSH "'/>", BOSH_BAD_REQUEST,
     PARSE_OK},
    {"text", BODY "a</body>", BOSH_BAD_REQUEST, PARSE_OK},
    {"text between", BODY "<iq/>&lt;iq/><iq/></body>", BOSH_BAD_REQUEST, PARSE_OK},
    {"a space that is none to XML", BODY "\xc2\xa0</body>", BOSH_BAD_REQUEST, PARSE_OK},
};

static enum bosh_result read_text(struct parser *p, const char *entity, struct bosh_body *ret,
                                  enum parse_result *parse)
{
    const char *why = "";
    enum bosh_result result = bosh_read(p, entity, strlen(entity), &limits, ret, parse, &why);
    if (result != BOSH_OK)
        assert_true(strlen(why) > 0);
    return result;
}

static void test_good(void **state)
{
    struct parser *p = parser_new();
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct bosh_body body = {0};
        struct buf joined = BUF_INIT;
        enum parse_result parse = PARSE_OK;
        size_t start = 0;
        const struct element *root = NULL;
        enum bosh_result result = read_text(p, good[i].entity, &body, &parse);
        if (result != BOSH_OK)
            fail_msg("%s: %s", good[i].name, parse_result_text(parse));
        buf_add_str(&joined, "");
        for (size_t j = 0; j < body.messages_len; j++) {
            const char *message = body.messages.data + start;
            size_t len = body.ends[j] - start;
            buf_add_str(&joined, j ? "|" : "");
            buf_add(&joined, message, len);
            start = body.ends[j];
            if (parser_read(p, message, len, &limits, &root) != PARSE_OK)
                fail_msg("%s: message %zu is none", good[i].name, j);
        }
        if (strcmp(joined.data, good[i].messages) != 0)
            fail_msg("%s: %s", good[i].name, joined.data);
        assert_int_equal(start, body.messages.len);
        buf_done(&joined);
        bosh_body_done(&body);
    }
    parser_free(p);
}

static void test_bad(void **state)
{
    struct parser *p = parser_new();
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct bosh_body body = {.rid = -5};
        enum parse_result parse = PARSE_NO_MEMORY;
        enum bosh_result result = read_text(p, bad[i].entity, &body, &parse);
        if (result != bad[i].result || parse != bad[i].parse)
            fail_msg("%s: %d, %s", bad[i].name, result, parse_result_text(parse));
        assert_int_equal(body.rid, -5);
    }
    parser_free(p);
}

static void test_attributes(void **state)
{
    static const struct {
        const char *name, *attributes;
        int64_t wait_s, hold, pause_s;
        bool restart, has_key;
    } cases[] = {
        {"none", "", -1, -1, -1, false, false},
        {"a session", "wait='60' hold='1' ver='1.6' content='text/xml'", 60, 1, -1, false, false},
        {"zero", "wait='0' hold='0' pause='0'", 0, 0, 0, false, false},
        {"no whole numbers", "wait='1.5' hold='-1' pause=' 3'", -1, -1, -1, false, false},
        {"a restart", "xmlns:xmpp='urn:xmpp:xbosh' xmpp:restart='true'", -1, -1, -1, true, false},
        {"by another prefix", "xmlns:q='urn:xmpp:xbosh' q:restart='1'", -1, -1, -1, true, false},
        {"not true", "xmlns:q='urn:xmpp:xbosh' q:restart='false'", -1, -1, -1, false, false},
        {"another's restart", "xmlns:xmpp='urn:x' xmpp:restart='true'", -1, -1, -1, false, false},
        {"without a prefix", "restart='true'", -1, -1, -1, false, false},
        {"a key", "key='a'", -1, -1, -1, false, true},
        {"a new key", "newkey='a'", -1, -1, -1, false, true},
        {"a pause", "pause='120'", -1, -1, 120, false, false},
    };
    struct parser *p = parser_new();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bosh_body body = {0};
        struct buf entity = BUF_INIT;
        enum parse_result parse = PARSE_OK;
        buf_printf(&entity, "<body rid='9007199254740991' xmlns='" NS_BOSH "' %s/>",
                   cases[i].attributes);
        assert_int_equal(read_text(p, entity.data, &body, &parse), BOSH_OK);
        if (body.wait_s != cases[i].wait_s || body.hold != cases[i].hold ||
            body.pause_s != cases[i].pause_s || body.restart != cases[i].restart ||
            body.has_key != cases[i].has_key)
            fail_msg("%s", cases[i].name);
        assert_true(body.rid == BOSH_RID_MAX);
        assert_true(!body.sid && !body.to && !body.type);
        bosh_body_done(&body);
        bosh_body_done(&body);
        buf_done(&entity);
    }
    parser_free(p);
}

/* The texts of a body are its own: they outlive the parser. */
static void test_texts(void **state)
{
    struct parser *p = parser_new();
    struct bosh_body body = {0};
    enum parse_result parse = PARSE_OK;
    assert_int_equal(read_text(p,
                               "<body rid='1' sid='a&amp;b' to='meet.example.com' type=''"
                               " xmlns='" NS_BOSH "'/>",
                               &body, &parse),
                     BOSH_OK);
    parser_free(p);
    assert_string_equal(body.sid, "a&b");
    assert_string_equal(body.to, "meet.example.com");
    assert_string_equal(body.type, "");
    bosh_body_done(&body);
}

static void test_limits(void **state)
{
    struct parser *p = parser_new();
    struct bosh_body body = {0};
    struct buf entity = BUF_INIT;
    enum parse_result parse = PARSE_OK;
    buf_add_str(&entity, BODY);
    for (size_t i = 0; i < BOSH_CHILDREN_MAX; i++)
        buf_add_str(&entity, "<a/>");
    size_t len = entity.len;
    buf_add_str(&entity, "</body>");
    assert_int_equal(read_text(p, entity.data, &body, &parse), BOSH_OK);
    assert_int_equal(body.messages_len, BOSH_CHILDREN_MAX);
    bosh_body_done(&body);
    entity.len = len;
    buf_add_str(&entity, "<a/></body>");
    assert_int_equal(read_text(p, entity.data, &body, &parse), BOSH_BAD_REQUEST);

    /* As deep as one message may be, with the body around it. */
    assert_int_equal(read_text(p,
                               BODY "<a><a><a><a><a><a><a><a/></a></a></a></a></a></a></a></body>",
                               &body, &parse),
                     BOSH_OK);
    bosh_body_done(&body);

    /* A long declaration and many who inherit it. */
    buf_clear(&entity);
    buf_add_str(&entity, "<body rid='1' xmlns='" NS_BOSH "' xmlns:x='");
    for (size_t i = 0; i < 4000; i++)
        buf_add_str(&entity, "u");
    buf_add_str(&entity, "'>");
    for (size_t i = 0; i < 100; i++)
        buf_add_str(&entity, "<a/>");
    buf_add_str(&entity, "</body>");
    assert_int_equal(read_text(p, entity.data, &body, &parse), BOSH_BAD_XML);
    assert_int_equal(parse, PARSE_TOO_LARGE);

    /* And simply too long. */
    for (size_t i = 0; i < 2000; i++)
        buf_add_str(&entity, "          ");
    assert_int_equal(read_text(p, entity.data, &body, &parse), BOSH_BAD_XML);
    assert_int_equal(parse, PARSE_TOO_LARGE);
    buf_done(&entity);
    parser_free(p);
}

static void test_terminate_body(void **state)
{
    struct buf out = BUF_INIT;
    bosh_terminate_body(&out, NULL);
    assert_string_equal(out.data, "<body xmlns='" NS_BOSH "' type='terminate'/>");
    buf_clear(&out);
    bosh_terminate_body(&out, "item-not-found");
    assert_string_equal(out.data, "<body xmlns='" NS_BOSH "' type='terminate'"
                                  " condition='item-not-found'/>");
    buf_done(&out);
}

static void test_no_memory(void **state)
{
    struct parser *p = parser_new();
    for (long n = 0, hit = 1; hit; n++) {
        struct bosh_body body = {0};
        enum parse_result parse = PARSE_OK;
        alloc_track_on();
        alloc_fail_after(n);
        enum bosh_result result = read_text(
            p, "<body rid='1' sid='s' to='h' xmlns='" NS_BOSH "' xmlns:x='u'><a/><x:b/></body>",
            &body, &parse);
        hit = alloc_failed();
        alloc_fail_off();
        assert_int_equal(result, hit ? BOSH_NO_MEMORY : BOSH_OK);
        if (result == BOSH_OK)
            bosh_body_done(&body);
        assert_int_equal(alloc_live(), 0);
        alloc_track_off();
    }
    parser_free(p);
}

/* As it is written, in whatever may become a body. */
static void test_peek_sid(void **state)
{
    static const struct {
        const char *name, *data, *sid;
    } cases[] = {
        {"a body", BODY "<iq/></body>", "s"},
        {"white space before it", "\r\n <body sid='s'", "s"},
        {"cut behind the sid", "<body rid='7' sid='abc' xm", "abc"},
        {"cut in the sid", "<body rid='7' sid='ab", NULL},
        {"a prefix", "<b:body sid=\"s\">", "s"},
        {"not well-formed behind", "<body sid='s'><iq></body>", "s"},
        {"a reference", "<body sid='&#x73;'/>", "&#x73;"},
        {"empty", "<body sid=''/>", ""},
        {"none", "<body rid='7'><a sid='s'/></body>", NULL},
        {"in a value", "<body rid=' sid=\"s\"'/>", NULL},
        {"another's attribute", "<body x:sid='s'/>", NULL},
        {"another element", "<abody sid='s'/>", NULL},
        {"shorter", "<ody sid='s'/>", NULL},
        {"a declaration", "<?xml version='1.0'?><body sid='s'/>", NULL},
        {"no markup", "body sid='s'", NULL},
        {"nothing", "", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *sid = NULL;
        size_t len = strlen(cases[i].data), sid_len = 0;
        char *data = malloc(len ? len : 1); /* exactly, for a sanitizer */
        memcpy(data, cases[i].data, len);
        bool is_there = bosh_peek_sid(data, len, &sid, &sid_len);
        if (is_there != (cases[i].sid != NULL) ||
            (is_there && (sid_len != strlen(cases[i].sid) || memcmp(sid, cases[i].sid, sid_len))))
            fail_msg("%s", cases[i].name);
        free(data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_peek_sid),
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_attributes),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_terminate_body),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
