/*
 * Messages to trees. Trees are written down shortly, so that each case is a line:
 * {namespace}name[{namespace}attribute=value ...](children)"text".
 */
#include "tests/unit/alloc.h"
#include "xmpp/buf.h"
#include "xmpp/ns.h"
#include "xmpp/parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <libxml/xmlerror.h>

static const struct parse_limits limits = {
    .bytes = 100000, .depth = 10, .elements = 50, .attributes = 8};

static void write_name(struct buf *out, const char *ns, const char *name)
{
    if (ns[0] != '\0')
        buf_printf(out, "{%s}", ns);
    buf_add_str(out, name);
}

static void write_tree(struct buf *out, const struct element *e)
{
    write_name(out, e->ns, e->name);
    for (const struct attribute *a = e->attributes; a; a = a->next) {
        buf_add_str(out, "[");
        write_name(out, a->ns, a->name);
        buf_printf(out, "=%s]", a->value);
    }
    if (e->first_child) {
        buf_add_str(out, "(");
        for (const struct element *c = e->first_child; c; c = c->next) {
            assert_ptr_equal(c->parent, e);
            write_tree(out, c);
        }
        buf_add_str(out, ")");
    }
    if (e->text[0] != '\0')
        buf_printf(out, "\"%s\"", e->text);
}

struct accepted {
    const char *name, *msg, *tree;
};

static void check_accepted(const struct accepted *cases, size_t len)
{
    struct parser *p = parser_new();
    for (size_t i = 0; i < len; i++) {
        const struct element *root = NULL;
        struct buf out = BUF_INIT;
        enum parse_result result =
            parser_read(p, cases[i].msg, strlen(cases[i].msg), &limits, &root);
        if (result != PARSE_OK)
            fail_msg("%s: %s", cases[i].name, parse_result_text(result));
        assert_null(root->parent);
        assert_null(root->next);
        write_tree(&out, root);
        if (strcmp(out.data, cases[i].tree) != 0)
            fail_msg("%s: %s", cases[i].name, out.data);
        buf_done(&out);
    }
    parser_free(p);
}

static void test_trees(void **state)
{
    static const struct accepted cases[] = {
        {"empty element", "<a/>", "a"},
        {"shortest with end tag", "<a></a>", "a"},
        {"attribute", "<a b='c'/>", "a[b=c]"},
        {"both quotes", "<a b='\"' c=\"'\"/>", "a[b=\"][c=']"},
        {"space in tags", "<a\t b = 'c'\r\n></a >", "a[b=c]"},
        {"children", "<a><b/><c><d/></c></a>", "a(bc(d))"},
        {"text", "<a>x</a>", "a\"x\""},
        {"text around children", "<a>x<b>y</b>z<b/>!</a>", "a(b\"y\"b)\"xz!\""},
        {"white space is text", "<a> <b/>\n</a>", "a(b)\" \n\""},
        {"not ASCII", "<a b='\xc3\xa9'>\xf0\x9f\x98\x80</a>", "a[b=\xc3\xa9]\"\xf0\x9f\x98\x80\""},
        {"greater in an attribute", "<a b='>'/>", "a[b=>]"},
        {"equals signs in an attribute", "<a b='=========='/>", "a[b===========]"},
        {"end of CDATA in an attribute", "<a b=']]>'/>", "a[b=]]>]"},
        {"last noncharacter of plane 1", "<a>\xf0\x9f\xbf\xbf</a>", "a\"\xf0\x9f\xbf\xbf\""},
        {"delete and C1 controls", "<a>\x7f\xc2\x80</a>", "a\"\x7f\xc2\x80\""},
    };
    check_accepted(cases, sizeof(cases) / sizeof(cases[0]));
}

static void test_references(void **state)
{
    static const struct accepted cases[] = {
        {"the five in text", "<a>&amp;&lt;&gt;&apos;&quot;</a>", "a\"&<>'\"\""},
        {"the five in an attribute", "<a b='&amp;&lt;&gt;&apos;&quot;'/>", "a[b=&<>'\"]"},
        {"characters in text", "<a>&#65;&#x42;&#x1F600;</a>", "a\"AB\xf0\x9f\x98\x80\""},
        {"characters in an attribute", "<a b='&#65;&#x42;'/>", "a[b=AB]"},
        {"ampersand by number", "<a b='&#38;&#x26;'>&#38;&#x26;</a>", "a[b=&&]\"&&\""},
        {"not resolved twice", "<a b='&amp;lt;'>&amp;lt;</a>", "a[b=&lt;]\"&lt;\""},
        {"not resolved twice, number", "<a b='&#38;#60;'>&#38;#60;</a>", "a[b=&#60;]\"&#60;\""},
        {"looks like libxml2's own", "<a b='&amp;#38;'>&amp;#38;</a>", "a[b=&#38;]\"&#38;\""},
        {"leading zeros", "<a>&#00000000000000000000000065;</a>", "a\"A\""},
        {"line ends in text", "<a>1\r\n2\r3\n4</a>", "a\"1\n2\n3\n4\""},
        {"line ends in an attribute", "<a b='1\r\n2\t3\r4'/>", "a[b=1 2 3 4]"},
        {"line ends by number stay", "<a b='1&#13;&#10;2&#9;3'/>", "a[b=1\r\n2\t3]"},
        {"spaces in an attribute stay", "<a b='  x  y '/>", "a[b=  x  y ]"},
    };
    check_accepted(cases, sizeof(cases) / sizeof(cases[0]));
}

static void test_namespaces(void **state)
{
    static const struct accepted cases[] = {
        {"default", "<a xmlns='u'><b/></a>", "{u}a({u}b)"},
        {"not for attributes", "<a xmlns='u' b='c'/>", "{u}a[b=c]"},
        {"undone", "<a xmlns='u'><b xmlns=''/></a>", "{u}a(b)"},
        {"prefix", "<p:a xmlns:p='u' p:b='c'/>", "{u}a[{u}b=c]"},
        {"declared behind its use", "<p:a p:b='c' xmlns:p='u'/>", "{u}a[{u}b=c]"},
        {"prefix hidden", "<p:a xmlns:p='u'><p:b xmlns:p='v'/><p:c/></p:a>", "{u}a({v}b{u}c)"},
        {"same name in two namespaces", "<a xmlns:p='u' b='1' p:b='2'/>", "a[b=1][{u}b=2]"},
        {"escaped", "<a xmlns='u&amp;v'/>", "{u&v}a"},
        {"escaped by number", "<a xmlns='&#117;'/>", "{u}a"},
        {"relative", "<a xmlns='vcard-temp'/>", "{vcard-temp}a"},
        {"no URI at all", "<a xmlns='% %'/>", "{% %}a"},
        {"xml", "<a xml:lang='en'/>", "a[{http://www.w3.org/XML/1998/namespace}lang=en]"},
        {"odd xml:lang and xml:space", "<a xml:lang='#' xml:space='x'/>",
         "a[{http://www.w3.org/XML/1998/namespace}lang=#]"
         "[{http://www.w3.org/XML/1998/namespace}space=x]"},
        {"xml declared", "<a xmlns:xml='http://www.w3.org/XML/1998/namespace'/>", "a"},
    };
    check_accepted(cases, sizeof(cases) / sizeof(cases[0]));
}

struct refused {
    const char *name, *msg;
    enum parse_result expected;
};

static void check_refused(const struct refused *cases, size_t len)
{
    struct parser *p = parser_new();
    for (size_t i = 0; i < len; i++) {
        const struct element *root = NULL;
        enum parse_result result =
            parser_read(p, cases[i].msg, strlen(cases[i].msg), &limits, &root);
        if (result != cases[i].expected)
            fail_msg("%s: %s", cases[i].name, parse_result_text(result));
        assert_null(root);
        /* What it left behind does not matter to the next message. */
        assert_int_equal(parser_read(p, "<a/>", 4, &limits, &root), PARSE_OK);
        assert_string_equal(root->name, "a");
    }
    parser_free(p);
}

static void test_not_well_formed(void **state)
{
    static const struct refused cases[] = {
        {"nothing", "", PARSE_NOT_WELL_FORMED},
        {"no markup", "x", PARSE_NOT_WELL_FORMED},
        {"angle brackets only", "<>", PARSE_NOT_WELL_FORMED},
        {"end tag only", "</a>", PARSE_NOT_WELL_FORMED},
        {"space before", " <a/>", PARSE_NOT_WELL_FORMED},
        {"space behind", "<a/> ", PARSE_NOT_WELL_FORMED},
        {"line end behind", "<a/>\n", PARSE_NOT_WELL_FORMED},
        {"text behind", "<a/>x", PARSE_NOT_WELL_FORMED},
        {"text between", "<a/>x<b/>", PARSE_NOT_WELL_FORMED},
        {"byte order mark", "\xef\xbb\xbf<a/>", PARSE_NOT_WELL_FORMED},
        {"two elements", "<a/><b/>", PARSE_NOT_WELL_FORMED},
        {"two elements apart", "<a></a> <b></b>", PARSE_NOT_WELL_FORMED},
        {"end tag too many", "<a></a></a>", PARSE_NOT_WELL_FORMED},
        {"not ended", "<a>", PARSE_NOT_WELL_FORMED},
        {"child not ended", "<a><b></a>", PARSE_NOT_WELL_FORMED},
        {"tag not ended", "<a b='>", PARSE_NOT_WELL_FORMED},
        {"wrong end tag", "<a></b>", PARSE_NOT_WELL_FORMED},
        {"wrong prefix in end tag", "<p:a xmlns:p='u' xmlns:q='u'></q:a>", PARSE_NOT_WELL_FORMED},
        {"stream header", "<stream:stream xmlns:stream='u'>", PARSE_NOT_WELL_FORMED},
        {"attribute twice", "<a b='1' b='2'/>", PARSE_NOT_WELL_FORMED},
        {"namespace twice", "<a xmlns='u' xmlns='v'/>", PARSE_NOT_WELL_FORMED},
        {"attribute without value", "<a b/>", PARSE_NOT_WELL_FORMED},
        {"attribute without quotes", "<a b=c/>", PARSE_NOT_WELL_FORMED},
        {"attributes without space", "<a b='1'c='2'/>", PARSE_NOT_WELL_FORMED},
        {"less-than in an attribute", "<a b='<'/>", PARSE_NOT_WELL_FORMED},
        {"bare ampersand", "<a>&</a>", PARSE_NOT_WELL_FORMED},
        {"reference not ended", "<a>&amp</a>", PARSE_NOT_WELL_FORMED},
        {"end of CDATA in text", "<a>]]></a>", PARSE_NOT_WELL_FORMED},
        {"digit first in a name", "<1a/>", PARSE_NOT_WELL_FORMED},
        {"space before the name", "< a/>", PARSE_NOT_WELL_FORMED},
        {"NUL by number", "<a>&#0;</a>", PARSE_NOT_WELL_FORMED},
        {"control by number", "<a b='&#1;'/>", PARSE_NOT_WELL_FORMED},
        {"surrogate by number", "<a>&#xD800;</a>", PARSE_NOT_WELL_FORMED},
        {"noncharacter by number", "<a>&#xFFFE;</a>", PARSE_NOT_WELL_FORMED},
        {"over U+10FFFF by number", "<a>&#x110000;</a>", PARSE_NOT_WELL_FORMED},
        {"number that wraps around", "<a>&#4294967361;</a>", PARSE_NOT_WELL_FORMED},
    };
    check_refused(cases, sizeof(cases) / sizeof(cases[0]));
}

static void test_bad_namespace(void **state)
{
    static const struct refused cases[] = {
        {"element", "<p:a/>", PARSE_BAD_NAMESPACE},
        {"attribute", "<a p:b='c'/>", PARSE_BAD_NAMESPACE},
        {"child", "<a><p:b xmlns:p='u'/><p:c/></a>", PARSE_BAD_NAMESPACE},
        {"the stream's prefix, undeclared", "<stream:error/>", PARSE_BAD_NAMESPACE},
        {"attribute twice by namespace", "<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>",
         PARSE_BAD_NAMESPACE},
        {"prefix undone", "<a xmlns:p=''/>", PARSE_BAD_NAMESPACE},
        {"xml bound otherwise", "<a xmlns:xml='u'/>", PARSE_BAD_NAMESPACE},
        {"xml's namespace under another prefix",
         "<a xmlns:p='http://www.w3.org/XML/1998/namespace'/>", PARSE_BAD_NAMESPACE},
        {"xml's namespace as default", "<a xmlns='http://www.w3.org/XML/1998/namespace'/>",
         PARSE_BAD_NAMESPACE},
        {"xmlns declared", "<a xmlns:xmlns='u'/>", PARSE_BAD_NAMESPACE},
        {"xmlns's namespace", "<a xmlns:p='http://www.w3.org/2000/xmlns/'/>", PARSE_BAD_NAMESPACE},
        {"xmlns as a prefix", "<xmlns:a/>", PARSE_BAD_NAMESPACE},
        {"two colons", "<p:q:a xmlns:p='u'/>", PARSE_BAD_NAMESPACE},
        {"colon first", "<:a/>", PARSE_BAD_NAMESPACE},
        {"colon last", "<a: xmlns:a='u'/>", PARSE_BAD_NAMESPACE},
        {"prefix of the message before", "<q:a/>", PARSE_BAD_NAMESPACE},
    };
    check_refused(cases, sizeof(cases) / sizeof(cases[0]));
}

static void test_bad_encoding(void **state)
{
    static const struct refused cases[] = {
        {"control", "<a>\x01</a>", PARSE_BAD_ENCODING},
        {"control in a tag", "<a\x0b/>", PARSE_BAD_ENCODING},
        {"Latin-1", "<a>\xe9</a>", PARSE_BAD_ENCODING},
        {"continuation alone", "<a>\x80</a>", PARSE_BAD_ENCODING},
        {"cut at a tag", "<a>\xe2\x82</a>", PARSE_BAD_ENCODING},
        {"overlong slash", "<a>\xc0\xaf</a>", PARSE_BAD_ENCODING},
        {"overlong, two bytes", "<a>\xc1\xbf</a>", PARSE_BAD_ENCODING},
        {"overlong, three bytes", "<a>\xe0\x9f\xbf</a>", PARSE_BAD_ENCODING},
        {"overlong, four bytes", "<a>\xf0\x8f\xbf\xbf</a>", PARSE_BAD_ENCODING},
        {"surrogate", "<a>\xed\xa0\x80</a>", PARSE_BAD_ENCODING},
        {"over U+10FFFF", "<a>\xf4\x90\x80\x80</a>", PARSE_BAD_ENCODING},
        {"five bytes", "<a>\xf8\x88\x80\x80\x80</a>", PARSE_BAD_ENCODING},
        {"U+FFFE", "<a>\xef\xbf\xbe</a>", PARSE_BAD_ENCODING},
        {"U+FFFF", "<a b='\xef\xbf\xbf'/>", PARSE_BAD_ENCODING},
    };
    check_refused(cases, sizeof(cases) / sizeof(cases[0]));
    struct parser *p = parser_new();
    const struct element *root;
    assert_int_equal(parser_read(p, "<a>\0</a>", 8, &limits, &root), PARSE_BAD_ENCODING);
    assert_int_equal(parser_read(p, "<\0a\0/\0>", 7, &limits, &root), PARSE_BAD_ENCODING);
    parser_free(p);
}

static void test_restricted(void **state)
{
    static const struct refused cases[] = {
        {"declaration", "<?xml version='1.0'?><a/>", PARSE_RESTRICTED},
        {"declaration with encoding", "<?xml version='1.0' encoding='UTF-7'?><a/>",
         PARSE_RESTRICTED},
        {"hidden open", "<open xmlns='urn:ietf:params:xml:ns:xmpp-framin&#103;'/>",
         PARSE_RESTRICTED},
        {"prefix xml twice",
         "<a xmlns:xml='http://www.w3.org/XML/1998/namespace' "
         "xmlns:xml='http://www.w3.org/XML/1998/namespace'/>",
         PARSE_NOT_WELL_FORMED},
        {"instruction within", "<a><?b?></a>", PARSE_RESTRICTED},
        {"instruction behind", "<a/><?b?>", PARSE_RESTRICTED},
        {"comment within", "<a><!-- --></a>", PARSE_RESTRICTED},
        {"comment before", "<!-- --><a/>", PARSE_RESTRICTED},
        {"comment behind", "<a/><!-- -->", PARSE_RESTRICTED},
        {"CDATA", "<a><![CDATA[x]]></a>", PARSE_RESTRICTED},
        {"empty CDATA", "<a><![CDATA[]]></a>", PARSE_RESTRICTED},
        {"DTD", "<!DOCTYPE a><a/>", PARSE_RESTRICTED},
        {"DTD with entities", "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", PARSE_RESTRICTED},
        {"external DTD", "<!DOCTYPE a SYSTEM 'file:///dev/null'><a/>", PARSE_RESTRICTED},
        {"entity in text", "<a>&nbsp;</a>", PARSE_RESTRICTED},
        {"entity in an attribute", "<a b='&nbsp;'/>", PARSE_RESTRICTED},
        {"entity's name in capitals", "<a>&AMP;</a>", PARSE_RESTRICTED},
    };
    check_refused(cases, sizeof(cases) / sizeof(cases[0]));
}

/* Appends what n times. */
static void repeat(struct buf *b, const char *what, size_t n)
{
    while (n--)
        buf_add_str(b, what);
}

static enum parse_result read_with(const struct parse_limits *with, const struct buf *b)
{
    struct parser *p = parser_new();
    const struct element *root;
    enum parse_result result = parser_read(p, b->data, b->len, with, &root);
    parser_free(p);
    return result;
}

static void test_limits(void **state)
{
    static const struct {
        const char *name, *before, *each, *behind;
        size_t fits;
    } cases[] = {
        {"elements", "<a>", "<b/>", "</a>", 49},
        {"attributes", "<a b='1' c='2' d='3' e='4' f='5' g='6' h='7'", " i='8'", "/>", 1},
        {"namespaces are attributes", "<a xmlns:b='1' c='2' d='3' e='4' f='5' g='6' h='7'",
         " xmlns:i='8'", "/>", 1},
        {"bytes", "<a>", "x", "</a>", 100000 - 7},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t more = 0; more < 2; more++) {
            struct buf b = BUF_INIT;
            buf_add_str(&b, cases[i].before);
            repeat(&b, cases[i].each, cases[i].fits + more);
            buf_add_str(&b, cases[i].behind);
            enum parse_result result = read_with(&limits, &b);
            if (result != (more ? PARSE_TOO_LARGE : PARSE_OK))
                fail_msg("%s: %s", cases[i].name, parse_result_text(result));
            buf_done(&b);
        }
    }
}

static void test_depth(void **state)
{
    for (size_t depth = 9; depth <= 12; depth++) {
        struct buf b = BUF_INIT;
        repeat(&b, "<a>", depth);
        repeat(&b, "</a>", depth);
        assert_int_equal(read_with(&limits, &b), depth <= 10 ? PARSE_OK : PARSE_TOO_LARGE);
        buf_done(&b);
    }
    /* Siblings add nothing to the depth. */
    struct buf b = BUF_INIT;
    buf_add_str(&b, "<a>");
    repeat(&b, "<b><c/></b>", 20);
    buf_add_str(&b, "</a>");
    assert_int_equal(read_with(&limits, &b), PARSE_OK);
    buf_done(&b);
}

/* Over the limit nothing more is read: what follows may be as wrong as it likes. */
static void test_stops_at_once(void **state)
{
    struct buf b = BUF_INIT;
    buf_add_str(&b, "<a>");
    repeat(&b, "<b/>", 50);
    buf_add_str(&b, "</c></d><<>");
    assert_int_equal(read_with(&limits, &b), PARSE_TOO_LARGE);
    buf_done(&b);
}

static void test_large_text(void **state)
{
    static const struct parse_limits large = {
        .bytes = 4000000, .depth = 10, .elements = 50, .attributes = 8};
    static const struct {
        const char *name, *piece, *expected;
    } cases[] = {
        {"escapes", "&amp;", "&"},
        {"plain", "abcdefgh", "abcdefgh"},
        {"children between", "xy\xc3\xa9&lt;", "xy\xc3\xa9<"},
    };
    struct parser *p = parser_new();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf msg = BUF_INIT, expected = BUF_INIT;
        const struct element *root;
        bool children = strstr(cases[i].name, "children") != NULL;
        buf_add_str(&msg, "<a>");
        for (int j = 0; j < 40; j++) {
            repeat(&msg, cases[i].piece, 1000);
            repeat(&expected, cases[i].expected, 1000);
            if (children)
                buf_add_str(&msg, "<b c='d'>e</b>");
        }
        buf_add_str(&msg, "</a>");
        assert_int_equal(parser_read(p, msg.data, msg.len, &large, &root), PARSE_OK);
        if (strcmp(root->text, expected.data) != 0)
            fail_msg("%s", cases[i].name);
        buf_done(&msg);
        buf_done(&expected);
    }
    parser_free(p);
}

/* One parser for many messages whose names are all different, so that libxml2's context is made
 * anew now and then: each must be read as if it were the first. */
static void test_many_messages(void **state)
{
    struct parser *p = parser_new();
    struct buf b = BUF_INIT;
    for (int i = 0; i < 20000; i++) {
        const struct element *root;
        buf_clear(&b);
        buf_printf(&b, "<name%d xmlns='ns%d' attribute%d='v'>t</name%d>", i, i, i, i);
        assert_int_equal(parser_read(p, b.data, b.len, &limits, &root), PARSE_OK);
        assert_string_equal(root->attributes->value, "v");
        assert_memory_equal(root->name, b.data + 1, strlen(root->name));
    }
    buf_done(&b);
    parser_free(p);
}

static void test_lookups(void **state)
{
    static const char msg[] = "<a xmlns='u' xmlns:p='v' p:k='1' k='2' e=''>"
                              "<b n='1'/><p:b n='2'/><c/><b n='3'/></a>";
    struct parser *p = parser_new();
    const struct element *root;
    assert_int_equal(parser_read(p, msg, strlen(msg), &limits, &root), PARSE_OK);
    assert_true(element_is(root, "u", "a"));
    assert_false(element_is(root, "", "a"));
    assert_false(element_is(root, "u", "b"));
    assert_string_equal(element_attribute(root, "k"), "2");
    assert_string_equal(element_attribute(root, "e"), "");
    assert_null(element_attribute(root, "p:k"));
    assert_null(element_attribute(root, "xmlns"));
    const struct element *b = element_child(root, "u", "b");
    assert_string_equal(element_attribute(b, "n"), "1");
    b = element_next(b, "u", "b");
    assert_string_equal(element_attribute(b, "n"), "3");
    assert_null(element_next(b, "u", "b"));
    assert_string_equal(element_attribute(element_child(root, "v", "b"), "n"), "2");
    assert_null(element_child(root, "v", "c"));
    parser_free(p);
}

/* A server that writes each namespace where it is used (Prosody does) must not send on many times
 * what it was sent. */
static void test_namespaces_spelled_out(void **state)
{
    const struct parse_limits generous = {
        .bytes = 262144, .depth = 64, .elements = 8192, .attributes = 512};
    struct parser *p = parser_new();
    struct buf message = BUF_INIT;
    const struct element *root;

    buf_add_str(&message, "<a xmlns='x' xmlns:p='urn:");
    for (int i = 0; i < 4000; i++)
        buf_add(&message, "0123456789", 10);
    buf_add_str(&message, "' p:a='' p:b='' p:c=''>");
    size_t few = message.len;
    buf_add_str(&message, "</a>");
    assert_int_equal(parser_read(p, message.data, message.len, &generous, &root), PARSE_OK);
    message.len = few - 1;
    for (int i = 0; i < 20; i++)
        buf_printf(&message, " p:d%d=''", i);
    buf_add_str(&message, "/>");
    assert_int_equal(parser_read(p, message.data, message.len, &generous, &root), PARSE_TOO_LARGE);
    buf_clear(&message);
    buf_add_str(&message, "<a xmlns='x'>");
    for (int i = 0; i < 300; i++)
        buf_printf(&message, "<b xmlns:p%d='y'/>", i);
    buf_add_str(&message, "</a>");
    assert_int_equal(parser_read(p, message.data, message.len, &generous, &root), PARSE_TOO_LARGE);
    /* A body of BOSH has many stanzas; in scope there are never more. */
    struct parse_limits many = generous;
    many.declarations = 4096;
    assert_int_equal(parser_read(p, message.data, message.len, &many, &root), PARSE_OK);
    buf_clear(&message);
    for (int i = 0; i < 60; i++)
        buf_printf(&message,
                   "<b xmlns:p%d='y' xmlns:q%d='y' xmlns:r%d='y' xmlns:s%d='y' xmlns:t%d='y'>", i,
                   i, i, i, i);
    for (int i = 0; i < 60; i++)
        buf_add_str(&message, "</b>");
    assert_int_equal(parser_read(p, message.data, message.len, &many, &root), PARSE_TOO_LARGE);
    buf_done(&message);
    parser_free(p);
}

static void test_texts(void **state)
{
    for (int result = PARSE_OK; result <= PARSE_NO_MEMORY; result++)
        assert_true(strlen(parse_result_text((enum parse_result)result)) > 5);
}

static void ignore_error(void *ctx, xmlErrorPtr error)
{
    ++*(int *)ctx;
}

/* The thread's libxml2 error handler belongs to whoever set it. */
static void test_handler_restored(void **state)
{
    int count = 0;
    const struct element *root;
    struct parser *p = parser_new();
    xmlSetStructuredErrorFunc(&count, ignore_error);
    assert_int_equal(parser_read(p, "<a></b>", 7, &limits, &root), PARSE_NOT_WELL_FORMED);
    assert_ptr_equal(xmlStructuredError, ignore_error);
    assert_ptr_equal(xmlStructuredErrorContext, &count);
    assert_int_equal(count, 0);
    xmlSetStructuredErrorFunc(NULL, NULL);
    parser_free(p);
    parser_free(NULL);
}

static void test_no_memory(void **state)
{
    struct buf b = BUF_INIT;
    buf_add_str(&b, "<a xmlns='u&amp;v'>");
    for (int i = 0; i < 20; i++) {
        buf_add_str(&b, "<b c='");
        repeat(&b, "d", 2000);
        buf_add_str(&b, "'>");
        repeat(&b, "&amp;text ", 200);
        buf_add_str(&b, "</b>between");
    }
    buf_add_str(&b, "</a>");
    bool hit = true;
    for (long n = 0; hit; n++) {
        const struct element *root = NULL;
        alloc_track_on();
        alloc_fail_after(n);
        struct parser *p = parser_new();
        enum parse_result result =
            p ? parser_read(p, b.data, b.len, &limits, &root) : PARSE_NO_MEMORY;
        hit = alloc_failed();
        alloc_fail_off();
        assert_int_equal(result, hit ? PARSE_NO_MEMORY : PARSE_OK);
        if (p) /* and it can be used again */
            assert_int_equal(parser_read(p, "<a/>", 4, &limits, &root), PARSE_OK);
        parser_free(p);
        assert_int_equal(alloc_live(), 0);
        alloc_track_off();
    }
    buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trees),         cmocka_unit_test(test_references),
        cmocka_unit_test(test_namespaces),    cmocka_unit_test(test_not_well_formed),
        cmocka_unit_test(test_bad_namespace), cmocka_unit_test(test_bad_encoding),
        cmocka_unit_test(test_restricted),    cmocka_unit_test(test_limits),
        cmocka_unit_test(test_depth),         cmocka_unit_test(test_stops_at_once),
        cmocka_unit_test(test_large_text),    cmocka_unit_test(test_many_messages),
        cmocka_unit_test(test_lookups),       cmocka_unit_test(test_namespaces_spelled_out),
        cmocka_unit_test(test_texts),         cmocka_unit_test(test_handler_restored),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
