/*
 * How single values are read: numbers with their units, addresses, ranges and URLs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proxy/config_load.h"

#include <arpa/inet.h>
#include <string.h>

static void test_numbers(void **state)
{
    static const struct {
        const char *text;
        const char *(*parse)(const char *text, int64_t *ret);
        int64_t expected; /* -1: refused */
    } cases[] = {
        {"500ms", config_parse_duration, 500},
        {"5s", config_parse_duration, 5000},
        {"2m", config_parse_duration, 120000},
        {"1h", config_parse_duration, 3600000},
        {"5", config_parse_duration, -1},
        {"5 s", config_parse_duration, -1},
        {"-5s", config_parse_duration, -1},
        {"s", config_parse_duration, -1},
        {"", config_parse_duration, -1},
        {"1.5s", config_parse_duration, -1},
        {"9223372036854775807h", config_parse_duration, -1},
        {"99999999999999999999s", config_parse_duration, -1},
        {"0", config_parse_size, 0},
        {"262144", config_parse_size, 262144},
        {"256KiB", config_parse_size, 262144},
        {"10MiB", config_parse_size, 10485760},
        {"2GiB", config_parse_size, INT64_C(2147483648)},
        {"256KB", config_parse_size, -1},
        {"256kib", config_parse_size, -1},
        {"0x10", config_parse_size, -1},
        {"9223372036854775807", config_parse_count, INT64_MAX},
        {"9223372036854775808", config_parse_count, -1},
        {"+1", config_parse_count, -1},
        {"1 ", config_parse_count, -1},
        {"TRUE", config_parse_bool, 1},
        {"off", config_parse_bool, 0},
        {"1", config_parse_bool, 1},
        {"2", config_parse_bool, -1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t number = -1;
        const char *wrong = cases[i].parse(cases[i].text, &number);
        if (number != cases[i].expected || (wrong == NULL) != (cases[i].expected >= 0))
            fail_msg("\"%s\" became %lld", cases[i].text, (long long)number);
    }
}

static void test_listen_addresses(void **state)
{
    static const struct {
        const char *text, *host, *unix_path;
        unsigned port; /* 0 and no unix_path: refused */
    } cases[] = {
        {"127.0.0.1:5281", "127.0.0.1", NULL, 5281},
        {"[::1]:5281", "::1", NULL, 5281},
        {"[::ffff:10.0.0.1]:1", "::ffff:10.0.0.1", NULL, 1},
        {":65535", "", NULL, 65535},
        {"unix:/run/v.sock", "", "/run/v.sock", 0},
        {"unix:v.sock", "", "v.sock", 0},
        {"unix:", NULL, NULL, 0},
        {"127.0.0.1", NULL, NULL, 0},
        {"5281", NULL, NULL, 0},
        {"127.0.0.1:0", NULL, NULL, 0},
        {"127.0.0.1:65536", NULL, NULL, 0},
        {"127.0.0.1:80x", NULL, NULL, 0},
        {"127.0.0.256:80", NULL, NULL, 0},
        {"127.1:80", NULL, NULL, 0},
        {"localhost:80", NULL, NULL, 0},
        {"::1:5281", NULL, NULL, 0},
        {"[::1:5281", NULL, NULL, 0},
        {"[127.0.0.1]:80", NULL, NULL, 0},
        {"[]:80", NULL, NULL, 0},
        {"[fe80::1%eth0]:80", NULL, NULL, 0},
        {"*:80", NULL, NULL, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct config_address address;
        const char *wrong = config_parse_listen(cases[i].text, &address);
        if ((wrong == NULL) != (cases[i].host != NULL))
            fail_msg("\"%s\": %s", cases[i].text, wrong == NULL ? "accepted" : wrong);
        if (wrong != NULL)
            continue;
        assert_string_equal(address.host, cases[i].host);
        assert_int_equal(address.port, cases[i].port);
        if (cases[i].unix_path != NULL)
            assert_string_equal(address.unix_path, cases[i].unix_path);
        else
            assert_null(address.unix_path);
    }
    char path[120] = "unix:/";
    memset(path + 6, 'a', sizeof(path) - 7);
    path[sizeof(path) - 1] = '\0';
    struct config_address address;
    assert_non_null(config_parse_listen(path, &address));
}

static void test_ranges(void **state)
{
    static const struct {
        const char *text, *address; /* address NULL: refused */
        unsigned bits;
    } cases[] = {
        {"10.0.0.0/8", "::ffff:10.0.0.0", 104},
        {"10.1.2.3/8", "::ffff:10.0.0.0", 104},
        {"192.0.2.1", "::ffff:192.0.2.1", 128},
        {"0.0.0.0/0", "::ffff:0.0.0.0", 96},
        {"::1", "::1", 128},
        {"2001:db8:1::/33", "2001:db8::", 33},
        {"::/0", "::", 0},
        {"10.0.0.0/33", NULL, 0},
        {"::/129", NULL, 0},
        {"10.0.0.0/", NULL, 0},
        {"10.0.0.0/-1", NULL, 0},
        {"10.0.0.0/8/8", NULL, 0},
        {"[::1]", NULL, 0},
        {"10.0.0", NULL, 0},
        {"", NULL, 0},
        {"example.com", NULL, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cidr range;
        struct in6_addr expected;
        const char *wrong = config_parse_cidr(cases[i].text, &range);
        if ((wrong == NULL) != (cases[i].address != NULL))
            fail_msg("\"%s\": %s", cases[i].text, wrong == NULL ? "accepted" : wrong);
        if (wrong != NULL)
            continue;
        assert_int_equal(inet_pton(AF_INET6, cases[i].address, &expected), 1);
        assert_memory_equal(&range.address, &expected, sizeof(expected));
        assert_int_equal(range.bits, cases[i].bits);
    }
}

static void test_urls(void **state)
{
    static const struct {
        const char *text, *host; /* host NULL: refused */
        unsigned port;
        const char *path;
        bool tls;
    } cases[] = {
        {"ws://127.0.0.1:5280/xmpp-websocket", "127.0.0.1", 5280, "/xmpp-websocket", false},
        {"ws://prosody/x", "prosody", 80, "/x", false},
        {"wss://prosody/", "prosody", 443, "/", true},
        {"wss://[2001:db8::1]:1/x", "2001:db8::1", 1, "/x", true},
        {"ws://prosody", NULL, 0, NULL, false},
        {"ws://prosody:5280", NULL, 0, NULL, false},
        {"ws:///x", NULL, 0, NULL, false},
        {"ws://:5280/x", NULL, 0, NULL, false},
        {"ws://a:0/x", NULL, 0, NULL, false},
        {"ws://a:99999/x", NULL, 0, NULL, false},
        {"ws://a:1234567/x", NULL, 0, NULL, false},
        {"ws://a:/x", NULL, 0, NULL, false},
        {"ws://u:p@a/x", NULL, 0, NULL, false},
        {"ws://a/x?y", NULL, 0, NULL, false},
        {"ws://a/x#y", NULL, 0, NULL, false},
        {"ws://a/x y", NULL, 0, NULL, false},
        {"ws://[::1/x", NULL, 0, NULL, false},
        {"ws://::1/x", NULL, 0, NULL, false},
        {"http://a/x", NULL, 0, NULL, false},
        {"https://a/x", NULL, 0, NULL, false},
        {"WS://a/x", NULL, 0, NULL, false},
        {"a/x", NULL, 0, NULL, false},
        {"", NULL, 0, NULL, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct config_url url;
        const char *wrong = config_parse_url(cases[i].text, &url);
        if ((wrong == NULL) != (cases[i].host != NULL))
            fail_msg("\"%s\": %s", cases[i].text, wrong == NULL ? "accepted" : wrong);
        if (wrong != NULL)
            continue;
        assert_int_equal(url.host_len, strlen(cases[i].host));
        assert_memory_equal(url.host, cases[i].host, url.host_len);
        assert_int_equal(url.port, cases[i].port);
        assert_string_equal(url.path, cases[i].path);
        assert_int_equal(url.tls, cases[i].tls);
    }
}

/* Of keys: the path may be missing, and a query be there. */
static void test_http_urls(void **state)
{
    static const struct {
        const char *text, *host;
        uint16_t port;
        const char *path;
        bool tls, loopback;
    } cases[] = {
        {"https://keys.example.com", "keys.example.com", 443, "", true, false},
        {"https://keys.example.com/", "keys.example.com", 443, "/", true, false},
        {"https://a:8443/b/c", "a", 8443, "/b/c", true, false},
        {"https://a/b@c?d=/e&f?", "a", 443, "/b@c?d=/e&f?", true, false},
        {"http://127.0.0.1/x", "127.0.0.1", 80, "/x", false, true},
        {"http://127.255.0.9:1/x", "127.255.0.9", 1, "/x", false, true},
        {"http://128.0.0.1/x", "128.0.0.1", 80, "/x", false, false},
        {"http://[::1]/x", "::1", 80, "/x", false, true},
        {"http://[::ffff:127.0.0.1]/x", "::ffff:127.0.0.1", 80, "/x", false, false},
        {"http://[::2]/x", "::2", 80, "/x", false, false},
        {"http://LOCALHOST/x", "LOCALHOST", 80, "/x", false, true},
        {"http://localhost.example.com/x", "localhost.example.com", 80, "/x", false, false},
        {"http://127.0.0.1.example.com/x", "127.0.0.1.example.com", 80, "/x", false, false},
        {"https://a?b", NULL, 0, NULL, false, false},
        {"https://a#b", NULL, 0, NULL, false, false},
        {"https://a/b#c", NULL, 0, NULL, false, false},
        {"https://a/b?c#d", NULL, 0, NULL, false, false},
        {"https://a/b c", NULL, 0, NULL, false, false},
        {"https://a/b?c d", NULL, 0, NULL, false, false},
        {"https://a/b\r\nX: y", NULL, 0, NULL, false, false},
        {"https://a/b?\xc3\xa9", NULL, 0, NULL, false, false},
        {"https://u:p@a/x", NULL, 0, NULL, false, false},
        {"https:///x", NULL, 0, NULL, false, false},
        {"https://a:0/x", NULL, 0, NULL, false, false},
        {"https://a:70000/x", NULL, 0, NULL, false, false},
        {"HTTPS://a/x", NULL, 0, NULL, false, false},
        {"ftp://a/x", NULL, 0, NULL, false, false},
        {"a/x", NULL, 0, NULL, false, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct config_url url;
        const char *wrong = config_parse_http_url(cases[i].text, &url);
        if ((wrong == NULL) != (cases[i].host != NULL))
            fail_msg("\"%s\": %s", cases[i].text, wrong == NULL ? "accepted" : wrong);
        if (wrong != NULL)
            continue;
        assert_int_equal(url.host_len, strlen(cases[i].host));
        assert_memory_equal(url.host, cases[i].host, url.host_len);
        assert_int_equal(url.port, cases[i].port);
        assert_string_equal(url.path, cases[i].path);
        assert_int_equal(url.tls, cases[i].tls);
        if (config_is_loopback(url.host, url.host_len) != cases[i].loopback)
            fail_msg("\"%s\": loopback", cases[i].text);
    }
}

static void test_names(void **state)
{
    static const struct {
        const char *text;
        const char *(*check)(const char *text);
        bool good;
    } cases[] = {
        {"meet.example.com", config_check_host, true},
        {"meet.example.com:8443", config_check_host, true},
        {"[::1]:80", config_check_host, true},
        {"meet.example.com/x", config_check_host, false},
        {"a\r\nb", config_check_host, false},
        {"", config_check_host, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if ((cases[i].check(cases[i].text) == NULL) != cases[i].good)
            fail_msg("\"%s\"", cases[i].text);
    }
    assert_true(config_is_path("/a/b"));
    assert_false(config_is_path("a"));
    assert_false(config_is_path("/a b"));
    assert_false(config_is_path("/a?b"));
    assert_false(config_is_path("/\xc3\xa4"));
}

static void test_origins(void **state)
{
    static const struct {
        const char *text, *origin, *public; /* NULL: refused */
    } cases[] = {
        {"https://meet.example.com", "https://meet.example.com", "https://meet.example.com"},
        {"HTTPS://Meet.Example.com", "https://meet.example.com", "https://meet.example.com"},
        {"https://meet.example.com:443", "https://meet.example.com", "https://meet.example.com"},
        {"http://meet.example.com:80", "http://meet.example.com", "http://meet.example.com"},
        {"http://meet.example.com:443", "http://meet.example.com:443",
         "http://meet.example.com:443"},
        {"https://meet.example.com:8443", "https://meet.example.com:8443",
         "https://meet.example.com:8443"},
        {"https://[::1]:8443", "https://[::1]:8443", "https://[::1]:8443"},
        {"https://meet.example.com/", NULL, "https://meet.example.com"},
        {"https://meet.example.com:8443/sub/path", NULL, "https://meet.example.com:8443"},
        {"meet.example.com", NULL, "https://meet.example.com"},
        {"meet.example.com:8443/", NULL, "https://meet.example.com:8443"},
        {"app+x://meet.example.com:1", "app+x://meet.example.com:1", NULL},
        {"app://localhost", "app://localhost", NULL},
        {"https://meet.example.com?x", NULL, NULL},
        {"https://user@meet.example.com", NULL, NULL},
        {"https://meet.example.com:0", NULL, NULL},
        {"https://meet.example.com:", NULL, NULL},
        {"https://", NULL, NULL},
        {"https:///x", NULL, NULL},
        {"://meet.example.com", NULL, NULL},
        {"null", NULL, "https://null"},
        {"*", NULL, NULL},
        {"ht tps://a", NULL, NULL},
        {"https://a https://b", NULL, NULL},
        {"", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char origin[CONFIG_ORIGIN_MAX] = "", public[CONFIG_ORIGIN_MAX] = "";
        bool good = config_parse_origin(cases[i].text, origin) == NULL;
        bool good_public = config_parse_public_url(cases[i].text, public) == NULL;
        if (good != (cases[i].origin != NULL) || (good && strcmp(origin, cases[i].origin) != 0))
            fail_msg("\"%s\" is the origin \"%s\"", cases[i].text, origin);
        if (good_public != (cases[i].public != NULL) ||
            (good_public && strcmp(public, cases[i].public) != 0))
            fail_msg("\"%s\" has the origin \"%s\"", cases[i].text, public);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),   cmocka_unit_test(test_listen_addresses),
        cmocka_unit_test(test_ranges),    cmocka_unit_test(test_urls),
        cmocka_unit_test(test_http_urls), cmocka_unit_test(test_names),
        cmocka_unit_test(test_origins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
