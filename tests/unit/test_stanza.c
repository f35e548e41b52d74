/*
 * What a message is, from its tree and from its first tag, and the errors the proxy answers with.
 */
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

#define STREAM "xmlns:stream='" NS_STREAMS "' xmlns='" NS_CLIENT "'"

static void test_kinds(void **state)
{
    static const struct {
        const char *name, *msg;
        enum stanza_kind kind;
    } cases[] = {
        {"presence", "<presence xmlns='jabber:client'/>", STANZA_PRESENCE},
        {"message", "<message to='a' xmlns='jabber:client'><body/></message>", STANZA_MESSAGE},
        {"iq", "<iq\tid=\"1\"\nxmlns = \"jabber:client\" type='get'/>", STANZA_IQ},
        {"no namespace", "<presence to='a'/>", STANZA_UNQUALIFIED},
        {"empty namespace", "<x xmlns=''/>", STANZA_UNQUALIFIED},
        {"presence elsewhere", "<presence xmlns='jabber:server'/>", STANZA_UNQUALIFIED},
        {"iq elsewhere", "<iq xmlns='u'/>", STANZA_UNQUALIFIED},
        {"namespace within another attribute", "<iq id=\" xmlns='jabber:client'\" xmlns='u'/>",
         STANZA_UNQUALIFIED},
        {"another attribute ending in xmlns", "<iq axmlns='u' xmlns='jabber:client'/>", STANZA_IQ},
        {"letter case", "<Presence xmlns='jabber:client'/>", STANZA_OTHER},
        {"other in jabber:client", "<x xmlns='jabber:client'/>", STANZA_OTHER},
        {"other namespace", "<x xmlns='u'/>", STANZA_OTHER},
        {"open", "<open xmlns='" NS_FRAMING "' to='a'/>", STANZA_OPEN},
        {"close", "<close xmlns='" NS_FRAMING "'/>", STANZA_CLOSE},
        {"open elsewhere", "<open xmlns='u'/>", STANZA_OTHER},
        {"auth", "<auth xmlns='" NS_SASL "'>AA==</auth>", STANZA_SASL_AUTH},
        {"challenge", "<challenge xmlns='" NS_SASL "'/>", STANZA_SASL_OTHER},
        {"response", "<response xmlns='" NS_SASL "'/>", STANZA_SASL_OTHER},
        {"abort", "<abort xmlns='" NS_SASL "'/>", STANZA_SASL_OTHER},
        {"success", "<success xmlns='" NS_SASL "'/>", STANZA_SASL_SUCCESS},
        {"failure", "<failure xmlns='" NS_SASL "'/>", STANZA_SASL_FAILURE},
        {"enable", "<enable xmlns='" NS_SM "' resume='true'/>", STANZA_SM_ENABLE},
        {"enabled", "<enabled xmlns='" NS_SM "' id='i'/>", STANZA_SM_ENABLED},
        {"resume", "<resume xmlns='" NS_SM "' h='1' previd='i'/>", STANZA_SM_RESUME},
        {"resumed", "<resumed xmlns='" NS_SM "' h='1' previd='i'/>", STANZA_SM_RESUMED},
        {"failed", "<failed xmlns='" NS_SM "'/>", STANZA_SM_FAILED},
        {"r", "<r xmlns='" NS_SM "'/>", STANZA_SM_REQUEST},
        {"a", "<a h='1' xmlns='" NS_SM "'/>", STANZA_SM_ACK},
        {"features", "<stream:features " STREAM "/>", STANZA_FEATURES},
        {"stream error", "<stream:error " STREAM "></stream:error>", STANZA_STREAM_ERROR},
        {"raw stream", "<stream:stream " STREAM "></stream:stream>", STANZA_RAW_STREAM},
    };
    struct parser *p = parser_new();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct element *root;
        size_t len = strlen(cases[i].msg);
        if (parser_read(p, cases[i].msg, len, &limits, &root) != PARSE_OK)
            fail_msg("%s: not read", cases[i].name);
        if (stanza_kind(root) != cases[i].kind)
            fail_msg("%s: %d", cases[i].name, stanza_kind(root));
        if (stanza_peek(cases[i].msg, len) != cases[i].kind)
            fail_msg("%s, peeked: %d", cases[i].name, stanza_peek(cases[i].msg, len));
        bool counted = cases[i].kind <= STANZA_IQ;
        assert_int_equal(stanza_is_counted(cases[i].kind), counted);
    }
    parser_free(p);
}

static void test_kind_prefixed(void **state)
{
    static const char msg[] = "<c:presence xmlns:c='jab&#98;er:client'/>";
    struct parser *p = parser_new();
    const struct element *root;
    assert_int_equal(parser_read(p, msg, strlen(msg), &limits, &root), PARSE_OK);
    assert_int_equal(stanza_kind(root), STANZA_PRESENCE);
    parser_free(p);
}

/* A first tag cut at any place must not be read beyond its end (the sanitizer sees it). */
static void test_peek_cut(void **state)
{
    static const char msg[] = "<iq id='1' xmlns = 'jabber:client' >";
    for (size_t len = 0; len <= strlen(msg); len++) {
        char *copy = malloc(len ? len : 1);
        memcpy(copy, msg, len);
        bool whole = len >= strlen(msg) - 2; /* the namespace is closed */
        assert_int_equal(stanza_peek(copy, len), whole ? STANZA_IQ : STANZA_UNQUALIFIED);
        free(copy);
    }
    assert_int_equal(stanza_peek("x", 1), STANZA_UNQUALIFIED);
    assert_int_equal(stanza_peek("<stream:", 8), STANZA_UNQUALIFIED);
}

static void test_errors(void **state)
{
    static const struct {
        const char *name, *request, *to_jid, *text, *expected;
    } cases[] = {
        {"presence",
         "<presence xmlns='jabber:client' to='r@muc/n' id='1'><x xmlns='u'/></presence>", "a@b/c",
         NULL,
         "<presence xmlns='jabber:client' type='error' id='1' from='r@muc/n' to='a@b/c'>"
         "<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
         "</error></presence>"},
        {"from wins, text", "<c:iq xmlns:c='jabber:client' from='d@e/f' to='r@muc' id='2'/>",
         "a@b/c", "no <room>",
         "<iq xmlns='jabber:client' type='error' id='2' from='r@muc' to='d@e/f'>"
         "<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
         "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>no &lt;room&gt;</text>"
         "</error></iq>"},
        {"nothing given", "<message xmlns='jabber:client'/>", NULL, NULL,
         "<message xmlns='jabber:client' type='error'>"
         "<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
         "</error></message>"},
        {"values escaped", "<iq xmlns='jabber:client' to=\"r'&amp;/&lt;\" id='&quot;'/>", NULL,
         NULL,
         "<iq xmlns='jabber:client' type='error' id='&quot;' from='r&apos;&amp;/&lt;'>"
         "<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
         "</error></iq>"},
    };
    struct parser *p = parser_new();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct element *root;
        struct buf out = BUF_INIT;
        size_t len = strlen(cases[i].request);
        assert_int_equal(parser_read(p, cases[i].request, len, &limits, &root), PARSE_OK);
        stanza_error(&out, root, cases[i].to_jid, "cancel", "item-not-found", cases[i].text);
        if (strcmp(out.data, cases[i].expected) != 0)
            fail_msg("%s: %s", cases[i].name, out.data);
        assert_int_equal(parser_read(p, out.data, out.len, &limits, &root), PARSE_OK);
        buf_done(&out);
    }
    parser_free(p);
}

static void test_result(void **state)
{
    static const struct {
        const char *request, *to_jid, *expected;
    } cases[] = {
        {"<iq xmlns='jabber:client' type='get' id='1' to='d'/>", "a@b/c",
         "<iq xmlns='jabber:client' type='result' id='1' from='d' to='a@b/c'/>"},
        {"<iq xmlns='jabber:client' type='get' id='&lt;'/>", NULL,
         "<iq xmlns='jabber:client' type='result' id='&lt;'/>"},
    };
    struct parser *p = parser_new();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct element *root;
        struct buf out = BUF_INIT;
        size_t len = strlen(cases[i].request);
        assert_int_equal(parser_read(p, cases[i].request, len, &limits, &root), PARSE_OK);
        stanza_result(&out, root, cases[i].to_jid);
        assert_string_equal(out.data, cases[i].expected);
        buf_done(&out);
    }
    parser_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),    cmocka_unit_test(test_kind_prefixed),
        cmocka_unit_test(test_peek_cut), cmocka_unit_test(test_errors),
        cmocka_unit_test(test_result),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
