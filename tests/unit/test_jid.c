/*
 * Addresses as Prosody 0.12 reads them. Every expectation of the tables was made by its util.jid:
 * split(prep(address)), the second split included (see jid.c).
 */
#include "tests/unit/alloc.h"
#include "xmpp/jid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stringprep.h>

#include <cmocka.h>

static void test_accepted(void **state)
{
    static const struct {
        const char *name, *text, *node, *domain, *resource;
    } cases[] = {
        {"domain", "meet.example.com", "", "meet.example.com", ""},
        {"bare", "room@muc", "room", "muc", ""},
        {"full", "room@muc/nick", "room", "muc", "nick"},
        {"domain and resource", "muc/nick", "", "muc", "nick"},
        {"at sign in the resource", "muc/a@b", "", "muc", "a@b"},
        {"slash in the resource", "room@muc/a/b", "room", "muc", "a/b"},
        {"letter case", "ROOM@Muc/Nick", "room", "muc", "Nick"},
        {"space in the resource", "room@muc/Ada L", "room", "muc", "Ada L"},
        {"space in the domain", "a@b c", "a", "b c", ""},
        {"tenant", "[Tenant]Room@muc", "[tenant]room", "muc", ""},
        {"trailing dot", "room@muc./n", "room", "muc", "n"},
        {"only one dot goes", "room@muc..", "room", "muc.", ""},
        {"two dots", "a@..", "a", ".", ""},
        {"full-width letters", "\xef\xbc\xb2oom@\xef\xbc\xadUC", "room", "muc", ""},
        {"full-width dot",
         "a@b\xef\xbc\x8e"
         "c",
         "a", "b.c", ""},
        {"full-width dot at the end stays", "a@b\xef\xbc\x8e", "a", "b.", ""},
        {"ideographic stop is no dot",
         "a@b\xe3\x80\x82"
         "c",
         "a",
         "b\xe3\x80\x82"
         "c",
         ""},
        {"soft hyphen",
         "ro\xc2\xadom@m\xc2\xaduc/n\xc2\xad"
         "1",
         "room", "muc", "n1"},
        {"full-width at sign and slash", "Room\xef\xbc\xa0muc\xef\xbc\x8fnick", "room", "muc",
         "nick"},
        {"full-width at sign behind a node",
         "a@b/c\xef\xbc\xa0"
         "d",
         "a", "b", "c@d"},
        {"sharp s",
         "stra\xc3\x9f"
         "e@muc",
         "strasse", "muc", ""},
        {"capital umlaut", "\xc3\x9c@muc", "\xc3\xbc", "muc", ""},
        {"decomposed umlaut", "u\xcc\x88@muc", "\xc3\xbc", "muc", ""},
        {"final sigma", "\xce\xa3\xcf\x82@muc", "\xcf\x83\xcf\x83", "muc", ""},
        {"Hangul, precomposed", "\xed\x95\x9c@muc", "\xed\x95\x9c", "muc", ""},
        {"Hangul, conjoining", "\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab@muc", "\xed\x95\x9c", "muc",
         ""},
        {"Hangul beside an accent",
         "a@b/\xe1\x84\x92"
         "e\xcc\x81\xe1\x85\xa1",
         "a", "b", "\xe1\x84\x92\xc3\xa9\xe1\x85\xa1"},
        {"right to left", "\xd9\x85\xd8\xb1@muc", "\xd9\x85\xd8\xb1", "muc", ""},
        {"emoji, unassigned in Unicode 3.2", "a@b/\xf0\x9f\x98\x80", "a", "b", "\xf0\x9f\x98\x80"},
        {"no-break space in the resource", "a@b/x\xc2\xa0y", "a", "b", "x y"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct jid jid;
        enum jid_result result = jid_parse(cases[i].text, strlen(cases[i].text), &jid);
        if (result != JID_OK)
            fail_msg("%s: %s", cases[i].name, jid_result_text(result));
        if (strcmp(jid.node, cases[i].node) != 0 || strcmp(jid.domain, cases[i].domain) != 0 ||
            strcmp(jid.resource, cases[i].resource) != 0)
            fail_msg("%s: [%s][%s][%s]", cases[i].name, jid.node, jid.domain, jid.resource);
        jid_done(&jid);
        assert_null(jid.memory);
    }
}

static void test_refused(void **state)
{
    static const struct {
        const char *name, *text;
        enum jid_result expected;
    } cases[] = {
        {"empty", "", JID_EMPTY},
        {"no node", "@muc", JID_BAD_DOMAIN},
        {"no domain", "room@", JID_BAD_DOMAIN},
        {"no domain, resource", "/nick", JID_BAD_DOMAIN},
        {"empty resource", "room@muc/", JID_BAD_DOMAIN},
        {"two at signs", "a@b@c", JID_BAD_DOMAIN},
        {"two at signs, resource", "a@b@c/d", JID_BAD_DOMAIN},
        {"only a dot", "a@.", JID_BAD_DOMAIN},
        {"space in the node", "a b@c", JID_BAD_NODE},
        {"quote in the node", "a'b@c", JID_BAD_NODE},
        {"colon in the node", "a:b@c", JID_BAD_NODE},
        {"control in the node", "a\x01@c", JID_BAD_NODE},
        {"control in the resource", "a@b/\x7f", JID_BAD_RESOURCE},
        {"full-width at sign in the node", "a\xef\xbc\xa0x@muc", JID_BAD_NODE},
        {"full-width slash in the node", "a\xef\xbc\x8fx@muc", JID_BAD_NODE},
        {"full-width at sign beside a node",
         "a@b\xef\xbc\xa0"
         "c",
         JID_BAD_DOMAIN},
        {"node of soft hyphens", "\xc2\xad@muc", JID_BAD_NODE},
        {"domain of soft hyphens", "a@\xc2\xad", JID_BAD_DOMAIN},
        {"resource of soft hyphens", "a@b/\xc2\xad", JID_BAD_RESOURCE},
        {"mixed directions",
         "\xd7\x90"
         "a@muc",
         JID_BAD_NODE},
        {"direction override", "a@b/\xe2\x80\xae", JID_BAD_RESOURCE},
        {"composition across a mark", "\xe1\x84\x85\xcc\x95\xe1\x85\xad@b", JID_BAD_NODE},
        {"the same in disguise", "\xe3\x89\xa3\xcc\x95\xe1\x85\xad@b", JID_BAD_NODE},
        {"overlong UTF-8", "a\xc0\xaf@b", JID_BAD_NODE},
        {"surrogate", "a@b/\xed\xa0\x80", JID_BAD_RESOURCE},
        {"cut UTF-8", "a@b/\xc3", JID_BAD_RESOURCE},
        {"noncharacter", "a@b/\xef\xbf\xbe", JID_BAD_RESOURCE},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct jid jid = {0};
        enum jid_result result = jid_parse(cases[i].text, strlen(cases[i].text), &jid);
        if (result != cases[i].expected)
            fail_msg("%s: %s", cases[i].name, jid_result_text(result));
        assert_null(jid.memory);
    }
    struct jid jid = {0};
    assert_int_equal(jid_parse("a\0b@c", 5, &jid), JID_BAD_NODE);
    assert_int_equal(jid_parse("a@b/c\0", 6, &jid), JID_BAD_RESOURCE);
}

static void test_lengths(void **state)
{
    static const struct {
        size_t node, domain, resource, wide; /* wide: U+FDFA, 3 bytes that become 33 */
        enum jid_result expected;
    } cases[] = {
        {1023, 1023, 1023, 0, JID_OK},
        {1024, 1, 1, 0, JID_TOO_LONG},
        {1, 1024, 1, 0, JID_TOO_LONG},
        {1, 1, 1024, 0, JID_TOO_LONG},
        {1, 1, 0, 31, JID_OK},
        {1, 1, 0, 32, JID_TOO_LONG},
        {3000, 3000, 3000, 0, JID_TOO_LONG},
        {1, 1, 0, 341, JID_TOO_LONG},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[10100];
        size_t len = 0;
        memset(text, 'a', sizeof(text));
        text[len += cases[i].node] = '@';
        text[len += 1 + cases[i].domain] = '/';
        len += 1 + cases[i].resource;
        for (size_t j = 0; j < cases[i].wide; j++, len += 3)
            memcpy(text + len, "\xef\xb7\xba", 3);
        struct jid jid = {0};
        enum jid_result result = jid_parse(text, len, &jid);
        if (result != cases[i].expected)
            fail_msg("case %zu: %s", i, jid_result_text(result));
        jid_done(&jid);
    }
}

/* What is prepared without tables must be what libidn makes of it. */
static void test_ascii(void **state)
{
    for (int c = 1; c < 0x80; c++) {
        char text[16], node[16] = {(char)c}, domain[16] = {(char)c}, resource[16] = {(char)c};
        struct jid jid;
        if (c == '@' || c == '/' || c == '.')
            continue;
        bool node_ok = stringprep(node, sizeof(node), 0, stringprep_xmpp_nodeprep) == 0;
        bool domain_ok = stringprep(domain, sizeof(domain), 0, stringprep_nameprep) == 0;
        bool resource_ok =
            stringprep(resource, sizeof(resource), 0, stringprep_xmpp_resourceprep) == 0;
        snprintf(text, sizeof(text), "%c@%c/%c", c, c, c);
        enum jid_result result = jid_parse(text, strlen(text), &jid);
        assert_int_equal(result == JID_OK, node_ok && domain_ok && resource_ok);
        if (result == JID_OK) {
            assert_string_equal(jid.node, node);
            assert_string_equal(jid.domain, domain);
            assert_string_equal(jid.resource, resource);
            jid_done(&jid);
        }
        snprintf(text, sizeof(text), "a@b/%c", c);
        assert_int_equal(jid_parse(text, strlen(text), &jid) == JID_OK, resource_ok);
        if (resource_ok)
            jid_done(&jid);
    }
}

static struct jid parse(const char *text)
{
    struct jid jid = {0};
    assert_int_equal(jid_parse(text, strlen(text), &jid), JID_OK);
    return jid;
}

static void test_format(void **state)
{
    static const struct {
        const char *text, *bare, *full;
    } cases[] = {
        {"a@b/c", "a@b", "a@b/c"},
        {"A@b", "a@b", "a@b"},
        {"b/c", "b", "b/c"},
        {"b", "b", "b"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct jid jid = parse(cases[i].text);
        char *bare = jid_bare(&jid), *full = jid_full(&jid);
        assert_string_equal(bare, cases[i].bare);
        assert_string_equal(full, cases[i].full);
        free(bare);
        free(full);
        jid_done(&jid);
    }
    jid_done(&(struct jid){0});
}

static void test_same_bare(void **state)
{
    static const struct {
        const char *a, *b;
        bool same;
    } cases[] = {
        {"a@b/c", "A@B./d", true}, {"a@b", "a@c", false}, {"a@b", "b@a", false},
        {"b", "a@b", false},       {"b/x", "b", true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct jid a = parse(cases[i].a), b = parse(cases[i].b);
        assert_int_equal(jid_same_bare(&a, &b), cases[i].same);
        jid_done(&a);
        jid_done(&b);
    }
}

static void test_no_memory(void **state)
{
    static const char *const texts[] = {"room@muc/nick", "\xe1\x84\x92\xe1\x85\xa1@muc/\xc3\xa9"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        bool hit = true;
        for (long n = 0; hit; n++) {
            struct jid jid = {0};
            alloc_track_on();
            alloc_fail_after(n);
            enum jid_result result = jid_parse(texts[i], strlen(texts[i]), &jid);
            hit = alloc_failed();
            alloc_fail_off();
            assert_int_equal(result, hit ? JID_NO_MEMORY : JID_OK);
            jid_done(&jid);
            assert_int_equal(alloc_live(), 0);
            alloc_track_off();
        }
    }
    struct jid jid = parse("a@b/c");
    alloc_fail_after(0);
    assert_null(jid_bare(&jid));
    alloc_fail_after(0);
    assert_null(jid_full(&jid));
    alloc_fail_off();
    jid_done(&jid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),  cmocka_unit_test(test_refused),
        cmocka_unit_test(test_lengths),   cmocka_unit_test(test_ascii),
        cmocka_unit_test(test_format),    cmocka_unit_test(test_same_bare),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
