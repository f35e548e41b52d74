/*
 * Stanzas told without a parser: what is plain, what is left to the parser, and that the parser
 * agrees with whatever is plain.
 */
#include "tests/unit/alloc.h"
#include "xmpp/parse_plain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define M "<message xmlns='jabber:client'"

static const struct parse_limits limits = {
    .bytes = 4096, .depth = 8, .elements = 10, .attributes = 6};

static enum stanza_kind parsed_kind(const char *msg, size_t len)
{
    struct parser *parser = parser_new();
    const struct element *root;
    enum stanza_kind kind = STANZA_OTHER;

    assert_non_null(parser);
    if (parser_read(parser, msg, len, &limits, &root) == PARSE_OK)
        kind = stanza_kind(root);
    parser_free(parser);
    return kind;
}

static void test_plain(void **state)
{
    static const struct {
        const char *name, *msg;
        enum stanza_kind kind;
    } cases[] = {
        {"shortest", M "/>", STANZA_MESSAGE},
        {"presence", "<presence xmlns='jabber:client'/>", STANZA_PRESENCE},
        {"iq", "<iq xmlns=\"jabber:client\" id='1'></iq>", STANZA_IQ},
        {"chat", M " to='a@b' type='chat'><body>x</body></message>", STANZA_MESSAGE},
        {"the five entities", M "><body a='&lt;&apos;&quot;'>&amp;&gt;</body></message>",
         STANZA_MESSAGE},
        {"a language", M " xml:lang='en'><body xml:lang='de'/></message>", STANZA_MESSAGE},
        {"other namespaces", M "><a xmlns='urn:x'><b/></a><c xmlns='u:y'/></message>",
         STANZA_MESSAGE},
        {"space in tags", M "\n\ta='1'\r\n><b ></b\t></message >", STANZA_MESSAGE},
        {"UTF-8", M "><body \xc3\xa9='1'/></message>", STANZA_OTHER},
        {"UTF-8 in text and values", M " a='\xc3\xa9'>\xf0\x9f\x98\x80</message>", STANZA_MESSAGE},
        {"greater", M " a='>'>a > b ]> ]] ></message>", STANZA_MESSAGE},
        {"quotes in text and values", M " a='\"' b=\"'\">'\"</message>", STANZA_MESSAGE},
        {"names with all signs", M "><_a-b.c1 D_='1'/></message>", STANZA_MESSAGE},
        {"mixed content", M ">a<b>c</b>d<e/>f</message>", STANZA_MESSAGE},
        {"deepest", M "><b><c><d><e><f><g><h/></g></f></e></d></c></b></message>", STANZA_MESSAGE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t len = strlen(cases[i].msg);

        if (parse_plain(cases[i].msg, len, &limits) != cases[i].kind)
            fail_msg("%s", cases[i].name);
        if (cases[i].kind != STANZA_OTHER && parsed_kind(cases[i].msg, len) != cases[i].kind)
            fail_msg("%s: the parser sees something else", cases[i].name);
    }
}

static void test_not_plain(void **state)
{
    static const struct {
        const char *name, *msg;
    } cases[] = {
        {"nothing", ""},
        {"no tag", "x"},
        {"only its beginning", "<"},
        {"another root", "<open xmlns='jabber:client'/>"},
        {"no namespace", "<message/>"},
        {"another namespace", "<message xmlns='jabber:server'/>"},
        {"the namespace twice", M " xmlns='jabber:client'/>"},
        {"the namespace by a reference", "<message xmlns='jabber&#58;client'/>"},
        {"a prefix", "<a:message xmlns:a='jabber:client'/>"},
        {"a prefix within", M "><b xmlns:a='u:x'/></message>"},
        {"a prefixed attribute", M " a:b='1'/>"},
        {"XML's prefix declared", M " xmlns:xml='http://www.w3.org/XML/1998/namespace'/>"},
        {"XML's own namespace", M "><a xmlns='http://www.w3.org/XML/1998/namespace'/></message>"},
        {"that of declarations", M "><a xmlns='http://www.w3.org/2000/xmlns/'/></message>"},
        {"no namespace within", M "><a xmlns=''/></message>"},
        {"space in a namespace", M "><a xmlns='a b'/></message>"},
        {"another of XML's attributes", M " xml:space='preserve'/>"},
        {"a longer one", M " xml:language='en'/>"},
        {"a name of XML's", M "><xMl/></message>"},
        {"two elements", M "/>" M "/>"},
        {"text before", " " M "/>"},
        {"text behind", M "/> "},
        {"not closed", M ">"},
        {"not closed within", M "><b></message>"},
        {"closed too often", M "></message></message>"},
        {"crossed", M "><b><c></b></c></message>"},
        {"closed by a longer name", M "></messages>"},
        {"a comment", M "><!-- --></message>"},
        {"CDATA", M "><![CDATA[x]]></message>"},
        {"an instruction", M "><?x?></message>"},
        {"the end of CDATA", M ">a]]>b</message>"},
        {"a DTD", "<!DOCTYPE message>" M "/>"},
        {"an ampersand", M ">a & b</message>"},
        {"another entity", M ">&nbsp;</message>"},
        {"a reference", M ">&#65;</message>"},
        {"a reference in a value", M " a='&#65;'/>"},
        {"an entity cut off", M ">&amp</message>"},
        {"less in a value", M " a='<'/>"},
        {"an attribute twice", M " a='1' b='2' a='3'/>"},
        {"attributes not apart", M " a='1'b='2'/>"},
        {"a value without quotes", M " a=1/>"},
        {"an attribute without a value", M " a/>"},
        {"a value cut off", M " a='1"},
        {"its end within a value", M " a='>"},
        {"its end behind a name", M " a>"},
        {"its end for a language", M " xml:>"},
        {"its end within an entity", M "><b>&amp>"},
        {"space around the sign", M " a = '1'/>"},
        {"space before the name", "< message xmlns='jabber:client'/>"},
        {"space before the end", M " / >"},
        {"attributes of an end tag", M "></message a='1'>"},
        {"a control character", M ">\x01</message>"},
        {"one in a value", M " a='\x1f'/>"},
        {"overlong UTF-8", M ">\xc0\xaf</message>"},
        {"a surrogate", M ">\xed\xa0\x80</message>"},
        {"U+FFFE", M ">\xef\xbf\xbe</message>"},
        {"UTF-8 cut off", M ">\xc3</message>"},
        {"a digit first", M "><1a/></message>"},
        {"too deep", M "><b><c><d><e><f><g><h><i/></h></g></f></e></d></c></b></message>"},
        {"too many elements", M "><a/><a/><a/><a/><a/><a/><a/><a/><a/><a/></message>"},
        {"too many attributes", M " a='' b='' c='' d='' e='' f=''/>"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (parse_plain(cases[i].msg, strlen(cases[i].msg), &limits) != STANZA_OTHER)
            fail_msg("%s", cases[i].name);
    }
}

/* Each message with one byte left out, doubled or replaced: what is still plain the parser accepts.
 */
static void test_parser_agrees(void **state)
{
    static const char msg[] =
        M " to='a@b' xml:lang='en'><x xmlns='u:x' n=\"'\"><y/>a]]&amp;</x></message>";
    static const char bytes[] = "<>/='\"& ]a:!?\xc3\t\x01";
    char changed[sizeof msg];
    size_t plain = 0;

    for (size_t at = 0; at < sizeof msg - 1; at++) {
        for (size_t i = 0; i < sizeof bytes; i++) {
            size_t len = sizeof msg - 1;

            memcpy(changed, msg, sizeof msg);
            if (bytes[i])
                changed[at] = bytes[i];
            else
                memmove(changed + at, msg + at + 1, len-- - at);
            if (parse_plain(changed, len, &limits) == STANZA_OTHER)
                continue;
            plain++;
            if (parsed_kind(changed, len) != STANZA_MESSAGE)
                fail_msg("byte %zu, change %zu: %s", at, i, changed);
        }
    }
    assert_true(plain > 100);
}

/* Each beginning, as it is and with the last byte a '>', ends where its memory ends. */
static void test_cut_off(void **state)
{
    static const char msg[] =
        "<message to=\"a@b\" xml:lang='en' xmlns='jabber:client'><x a='&lt;\xc3\xa9>' "
        "xmlns='u:x' ><y/>]]&amp;> \xc3\xa9</x ></message>";

    for (size_t len = 0; len < sizeof msg; len++) {
        for (int i = 0; i < 2; i++) {
            char *copy = malloc(len ? len : 1);

            assert_non_null(copy);
            memcpy(copy, msg, len);
            if (i == 1 && len > 0)
                copy[len - 1] = '>';
            assert_int_equal(parse_plain(copy, len, &limits),
                             len == sizeof msg - 1 ? STANZA_MESSAGE : STANZA_OTHER);
            free(copy);
        }
    }
}

/* Longer than its limit, and longer once every namespace is written where it is used. */
static void test_size(void **state)
{
    char *msg = malloc(8192);
    size_t len;

    assert_non_null(msg);
    memset(msg, 'x', 8192);
    len = (size_t)sprintf(msg, M ">");
    msg[len] = 'x';
    memcpy(msg + 4096 - 10, "</message>", 10);
    assert_int_equal(parse_plain(msg, 4096, &limits), STANZA_MESSAGE);
    memcpy(msg + 4097 - 11, "x</message>", 11);
    assert_int_equal(parse_plain(msg, 4097, &limits), STANZA_OTHER);
    free(msg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),         cmocka_unit_test(test_not_plain),
        cmocka_unit_test(test_parser_agrees), cmocka_unit_test(test_cut_off),
        cmocka_unit_test(test_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
