/*
 * Who a client is, from its connection and what proxies in front say, and how many it has.
 *
 * The connection is a stand-in with an address: nothing of conn.c is linked.
 */
#include "proxy/peers.h"
#include "tests/unit/alloc.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct conn {
    bool is_unix;
    struct in6_addr address;
};

bool conn_peer_address(const struct conn *c, struct in6_addr *ret)
{
    if (!c->is_unix)
        *ret = c->address;
    return !c->is_unix;
}

static struct in6_addr address_of(const char *text)
{
    struct in6_addr address;
    char mapped[64];

    snprintf(mapped, sizeof(mapped), strchr(text, ':') ? "%s" : "::ffff:%s", text);
    if (inet_pton(AF_INET6, mapped, &address) != 1)
        fail_msg("%s is no address", text);
    return address;
}

/* Whole and odd prefixes, so that a range ends inside a byte. */
static struct cidr trusted[] = {
    {.bits = 96 + 8}, {.bits = 96 + 17}, {.bits = 96 + 32},
    {.bits = 128},    {.bits = 49},      {.bits = 7},
};
static const char *const trusted_text[] = {
    "10.0.0.0", "172.16.128.0", "192.168.1.1", "::1", "2001:db8:1::", "fc00::",
};

static struct config config_trusting(size_t len)
{
    struct config config;

    memset(&config, 0, sizeof(config));
    for (size_t i = 0; i < sizeof(trusted) / sizeof(*trusted); i++)
        trusted[i].address = address_of(trusted_text[i]);
    config.listen.trusted_proxies = trusted;
    config.listen.trusted_proxies_len = len;
    return config;
}

#define ALL_TRUSTED (sizeof(trusted) / sizeof(*trusted))

static void identify(const char *name, const struct config *config, const char *peer,
                     const char *headers, bool expected, struct peer_identity *ret)
{
    struct conn conn = {.is_unix = strcmp(peer, "unix") == 0};
    struct buf text = BUF_INIT;
    struct http_head head;
    size_t len;

    if (!conn.is_unix)
        conn.address = address_of(peer);
    buf_printf(&text, "GET / HTTP/1.1\r\n%s\r\n", headers);
    if (http_parse_request(text.data, text.len, &head, &len) != HTTP_OK)
        fail_msg("%s: the test's own request cannot be read", name);
    if (peer_identify(config, &conn, &head, ret) != expected)
        fail_msg("%s: %s", name, expected ? "failed" : "did not fail");
    buf_done(&text);
}

#define XFF "X-Forwarded-For: "

static const struct {
    const char *name, *peer, *headers;
    bool is_trusted;
    const char *address, *forwarded_for; /* "" for none */
} cases[] = {
    {"a stranger", "192.0.2.1", "", false, "192.0.2.1", "192.0.2.1"},
    {"a stranger by IPv6", "2001:db8::1", "", false, "2001:db8::1", "2001:db8::1"},
    {"a stranger's word is not repeated", "192.0.2.1", XFF "1.2.3.4\r\n", false, "192.0.2.1",
     "192.0.2.1"},
    {"a stranger claims to be a proxy of ours", "192.0.2.1", XFF "1.2.3.4, 10.0.0.1\r\n", false,
     "192.0.2.1", "192.0.2.1"},
    {"a proxy speaks for itself", "10.0.0.1", "", true, "10.0.0.1", "10.0.0.1"},
    {"a proxy speaks for a client", "10.0.0.1", XFF "192.0.2.7\r\n", true, "192.0.2.7",
     "192.0.2.7, 10.0.0.1"},
    {"the client lied to the proxy", "10.0.0.1", XFF "1.2.3.4, 192.0.2.7\r\n", true, "192.0.2.7",
     "1.2.3.4, 192.0.2.7, 10.0.0.1"},
    {"the client lied with our own address", "10.0.0.1", XFF "10.0.0.9, 192.0.2.7\r\n", true,
     "192.0.2.7", "10.0.0.9, 192.0.2.7, 10.0.0.1"},
    {"the client lied with nonsense", "10.0.0.1", XFF "'; --, ,, 192.0.2.7\r\n", true, "192.0.2.7",
     "'; --, ,, 192.0.2.7, 10.0.0.1"},
    {"two proxies", "::1", XFF "192.0.2.7, 10.0.0.2\r\n", true, "192.0.2.7",
     "192.0.2.7, 10.0.0.2, ::1"},
    {"two proxies, two headers", "::1", XFF "192.0.2.7\r\nx-forwarded-for: 10.0.0.2\r\n", true,
     "192.0.2.7", "192.0.2.7, 10.0.0.2, ::1"},
    {"a lie in a header of its own", "::1", XFF "10.9.9.9, 1.2.3.4\r\nA: b\r\n" XFF "192.0.2.7\r\n",
     true, "192.0.2.7", "10.9.9.9, 1.2.3.4, 192.0.2.7, ::1"},
    {"empty headers count for nothing", "::1", XFF "\r\n" XFF "192.0.2.7\r\n" XFF "\r\n", true,
     "192.0.2.7", "192.0.2.7, ::1"},
    {"proxies only: the first is the client", "::1", XFF "10.0.0.3, 10.0.0.2\r\n", true, "10.0.0.3",
     "10.0.0.3, 10.0.0.2, ::1"},
    {"in a range that ends inside a byte", "172.16.200.1", XFF "192.0.2.7\r\n", true, "192.0.2.7",
     "192.0.2.7, 172.16.200.1"},
    {"just outside of it", "172.16.127.1", XFF "192.0.2.7\r\n", false, "172.16.127.1",
     "172.16.127.1"},
    {"a single address", "192.168.1.1", "", true, "192.168.1.1", "192.168.1.1"},
    {"its neighbour", "192.168.1.0", "", false, "192.168.1.0", "192.168.1.0"},
    {"in an IPv6 range", "2001:db8:1:7fff::1", "", true, "2001:db8:1:7fff::1",
     "2001:db8:1:7fff::1"},
    {"just outside of that", "2001:db8:1:8000::1", "", false, "2001:db8:1:8000::1",
     "2001:db8:1:8000::1"},
    {"in the shortest range", "fd12::1", XFF "192.0.2.7\r\n", true, "192.0.2.7",
     "192.0.2.7, fd12::1"},
    {"just outside of that one", "fe80::1", "", false, "fe80::1", "fe80::1"},
    {"IPv4 is not IPv6 that ends alike", "::10.0.0.1", "", false, "::10.0.0.1", "::10.0.0.1"},
    {"mapped IPv4 is IPv4", "::ffff:10.0.0.1", XFF "::ffff:192.0.2.7\r\n", true, "192.0.2.7",
     "::ffff:192.0.2.7, 10.0.0.1"},
    {"a client by IPv6", "::1", XFF "2001:DB8:0::7\r\n", true, "2001:db8::7", "2001:DB8:0::7, ::1"},
    {"with a port", "::1", XFF "192.0.2.7:4711\r\n", true, "192.0.2.7", "192.0.2.7:4711, ::1"},
    {"in brackets", "::1", XFF "[2001:db8::7]\r\n", true, "2001:db8::7", "[2001:db8::7], ::1"},
    {"in brackets with a port", "::1", XFF "[2001:db8::7]:443\r\n", true, "2001:db8::7",
     "[2001:db8::7]:443, ::1"},
    {"spaces and tabs", "::1", XFF "1.2.3.4 ,\t 192.0.2.7 \t,10.0.0.1\r\n", true, "192.0.2.7",
     "1.2.3.4 ,\t 192.0.2.7 \t,10.0.0.1, ::1"},
    {"no address: the proxy counts", "::1", XFF "unknown\r\n", true, "::1", "unknown, ::1"},
    {"a name", "::1", XFF "localhost\r\n", true, "::1", "localhost, ::1"},
    {"nonsense behind a client", "::1", XFF "192.0.2.7, _x\r\n", true, "::1", "192.0.2.7, _x, ::1"},
    {"an empty last one", "::1", XFF "192.0.2.7,\r\n", true, "::1", "192.0.2.7,, ::1"},
    {"only a comma", "::1", XFF ",\r\n", true, "::1", ",, ::1"},
    {"an address that is too long", "::1",
     XFF "1111111111111111111111111111111111111111111111111111111111111111111\r\n", true, "::1",
     "1111111111111111111111111111111111111111111111111111111111111111111, ::1"},
    {"short and octal forms are none", "::1", XFF "127.1, 0300.0.2.7\r\n", true, "::1",
     "127.1, 0300.0.2.7, ::1"},
    {"a zone", "::1", XFF "fe80::1%lo\r\n", true, "::1", "fe80::1%lo, ::1"},
    {"Forwarded and X-Real-IP are not read", "::1",
     "Forwarded: for=1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\n", true, "::1", "::1"},
    {"a unix socket is trusted", "unix", XFF "192.0.2.7\r\n", true, "192.0.2.7", "192.0.2.7"},
    {"a unix socket, two proxies", "unix", XFF "192.0.2.7, 10.0.0.1\r\n", true, "192.0.2.7",
     "192.0.2.7, 10.0.0.1"},
    {"a unix socket alone", "unix", "", true, "unix", ""},
    {"a unix socket with nonsense", "unix", XFF "unknown\r\n", true, "unix", "unknown"},
};

static void test_identify(void **state)
{
    const struct config config = config_trusting(ALL_TRUSTED);

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct in6_addr key = IN6ADDR_ANY_INIT;
        struct peer_identity identity;

        identify(cases[i].name, &config, cases[i].peer, cases[i].headers, true, &identity);
        if (strcmp(cases[i].address, "unix") != 0)
            key = address_of(cases[i].address);
        if (identity.is_trusted != cases[i].is_trusted ||
            strcmp(identity.address, cases[i].address) != 0 ||
            strcmp(identity.forwarded_for ? identity.forwarded_for : "", cases[i].forwarded_for) ||
            (identity.forwarded_for && !identity.forwarded_for[0]) ||
            memcmp(&identity.key, &key, sizeof(key)) != 0)
            fail_msg("%s: %s, %s, \"%s\"", cases[i].name, identity.is_trusted ? "trusted" : "not",
                     identity.address, identity.forwarded_for ? identity.forwarded_for : "(none)");
        peer_identity_done(&identity);
        assert_null(identity.forwarded_for);
    }
}

static void test_nobody_trusted(void **state)
{
    const struct config config = config_trusting(0);
    struct peer_identity identity;

    identify("nobody", &config, "127.0.0.1", XFF "1.2.3.4\r\n", true, &identity);
    assert_false(identity.is_trusted);
    assert_string_equal(identity.forwarded_for, "127.0.0.1");
    peer_identity_done(&identity);
}

/* Proxies append, so what a client makes long is cut where the client began: who it is stays known,
 * and Prosody's limit on a head is not met. */
static void test_long_list(void **state)
{
    const struct config config = config_trusting(ALL_TRUSTED);
    struct peer_identity identity;
    struct buf headers = BUF_INIT;

    buf_add_str(&headers, XFF);
    while (headers.len < 12000)
        buf_add_str(&headers, "198.51.100.1,");
    buf_add_str(&headers, "192.0.2.7, 10.0.0.1\r\n");
    identify("long", &config, "::1", headers.data, true, &identity);
    assert_string_equal(identity.address, "192.0.2.7");
    assert_true(strlen(identity.forwarded_for) < 4200);
    assert_memory_equal(identity.forwarded_for, "198.51.100.1,198", 16);
    assert_non_null(strstr(identity.forwarded_for, ",192.0.2.7, 10.0.0.1, ::1"));
    peer_identity_done(&identity);

    buf_clear(&headers);
    buf_add_str(&headers, XFF); /* not one comma to cut at */
    while (headers.len < 12000)
        buf_add_str(&headers, "198.51.100.1 ");
    buf_add_str(&headers, "\r\n");
    identify("long and one", &config, "::1", headers.data, true, &identity);
    assert_string_equal(identity.address, "::1");
    assert_string_equal(identity.forwarded_for, "::1");
    peer_identity_done(&identity);
    buf_done(&headers);
}

/* Half an answer would be a wrong one: without what the proxy said, everybody behind it is one. */
static void test_identify_no_memory(void **state)
{
    const struct config config = config_trusting(ALL_TRUSTED);
    static const char text[] = "GET / HTTP/1.1\r\n" XFF "192.0.2.7\r\n" XFF "10.0.0.1\r\n\r\n";
    struct conn conn = {.address = address_of("::1")};
    struct peer_identity identity;
    struct http_head head;
    size_t len;

    assert_int_equal(http_parse_request(text, sizeof(text) - 1, &head, &len), HTTP_OK);
    for (long n = 0, hit = 1; hit; n++) {
        alloc_track_on();
        alloc_fail_after(n);
        bool known = peer_identify(&config, &conn, &head, &identity);
        hit = alloc_failed();
        alloc_fail_off();
        assert_int_equal(known, !hit);
        assert_int_equal(identity.forwarded_for != NULL, !hit);
        peer_identity_done(&identity);
        assert_int_equal(alloc_live(), 0);
        alloc_track_off();
    }
}

static void test_counting(void **state)
{
    const struct in6_addr one = address_of("192.0.2.1"), other = address_of("2001:db8::1");
    struct peers *peers = peers_new();

    assert_non_null(peers);
    peers_remove(peers, &one); /* one it never had */
    assert_true(peers_add(peers, &one, 2));
    assert_true(peers_add(peers, &one, 2));
    assert_false(peers_add(peers, &one, 2));
    assert_false(peers_add(peers, &one, 1)); /* the limit was lowered */
    assert_true(peers_add(peers, &other, 2));
    peers_remove(peers, &one);
    assert_true(peers_add(peers, &one, 2));
    assert_false(peers_add(peers, &one, 2));
    assert_true(peers_add(peers, &one, 0));
    for (int i = 0; i < 3; i++)
        peers_remove(peers, &one);
    peers_remove(peers, &one); /* one too many must not make room for more */
    assert_true(peers_add(peers, &one, 1));
    assert_false(peers_add(peers, &one, 1));
    peers_free(peers);
    peers_free(NULL);
}

/* A host with IPv6 has a network to itself. */
static void test_networks(void **state)
{
    static const struct {
        const char *address, *same, *text;
        bool is_same;
    } networks[] = {
        {"2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:2::/64", true},
        {"2001:db8:1:2::1", "2001:db8:1:3::1", "2001:db8:1:2::/64", false},
        {"192.0.2.1", "192.0.2.2", "192.0.2.1", false},
        {"192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1", true},
        {"::1", "::2", "::1", false},
    };

    for (size_t i = 0; i < sizeof(networks) / sizeof(*networks); i++) {
        const struct in6_addr one = address_of(networks[i].address);
        const struct in6_addr other = address_of(networks[i].same);
        struct peers *peers = peers_new();
        char text[PEER_NETWORK_TEXT_MAX];

        assert_true(peers_add(peers, &one, 1));
        if (peers_add(peers, &other, 1) == networks[i].is_same)
            fail_msg("%s and %s", networks[i].address, networks[i].same);
        peers_remove(peers, &one);
        assert_true(peers_add(peers, &one, networks[i].is_same ? 1 : 0));
        peers_free(peers);
        peer_network_text(&one, text, sizeof(text));
        assert_string_equal(text, networks[i].text);
    }
    struct in6_addr none = IN6ADDR_ANY_INIT;
    struct cidr everybody = {.bits = 0};
    char text[PEER_NETWORK_TEXT_MAX];
    peer_network_text(&none, text, sizeof(text));
    assert_string_equal(text, "unix");
    assert_false(peer_is_listed(&everybody, 1, &none));
    none = address_of("::1");
    assert_true(peer_is_listed(&everybody, 1, &none));
}

/* Behind a unix socket nobody has an address, and all of them would share one limit. */
static void test_no_address_is_unlimited(void **state)
{
    struct in6_addr none = IN6ADDR_ANY_INIT;
    struct peers *peers = peers_new();

    for (int i = 0; i < 5; i++)
        assert_true(peers_add(peers, &none, 1));
    for (int i = 0; i < 5; i++)
        peers_remove(peers, &none);
    peers_free(peers);
}

/* Enough addresses for the table to grow; the one that could not be counted is not. */
static void test_counting_no_memory(void **state)
{
    enum { ADDRESSES = 300 };
    static bool added[ADDRESSES];

    for (long n = 0, hit = 1; hit; n++) {
        struct in6_addr address = address_of("2001:db8::");
        long refused = 0;

        alloc_track_on();
        alloc_fail_after(n);
        struct peers *peers = peers_new();
        for (int i = 0; peers && i < ADDRESSES; i++) {
            address.s6_addr[6] = (uint8_t)(i >> 8);
            address.s6_addr[7] = (uint8_t)i;
            added[i] = peers_add(peers, &address, 1);
            refused += !added[i];
        }
        hit = alloc_failed();
        alloc_fail_off();
        assert_int_equal(peers ? refused : 1, hit);
        for (int i = 0; peers && i < ADDRESSES; i++) {
            address.s6_addr[6] = (uint8_t)(i >> 8);
            address.s6_addr[7] = (uint8_t)i;
            assert_int_equal(peers_add(peers, &address, 1), !added[i]);
            if (i % 2)
                peers_remove(peers, &address);
        }
        peers_free(peers);
        assert_int_equal(alloc_live(), 0);
        alloc_track_off();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identify),           cmocka_unit_test(test_nobody_trusted),
        cmocka_unit_test(test_long_list),          cmocka_unit_test(test_identify_no_memory),
        cmocka_unit_test(test_counting),           cmocka_unit_test(test_no_address_is_unlimited),
        cmocka_unit_test(test_counting_no_memory), cmocka_unit_test(test_networks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
