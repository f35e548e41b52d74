/*
 * Who may come in: origins, domains, and what may be said before login.
 */
#include "proxy/door.h"
#include "proxy/conn.h"
#include "tests/unit/alloc.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* door.c links peers.c, which asks a conn for its address; nobody does here. */
bool conn_peer_address(const struct conn *c, struct in6_addr *ret)
{
    return false;
}

static struct in6_addr address_of(const char *text)
{
    struct in6_addr address;
    char mapped[64];

    snprintf(mapped, sizeof(mapped), strchr(text, ':') ? "%s" : "::ffff:%s", text);
    assert_int_equal(inet_pton(AF_INET6, mapped, &address), 1);
    return address;
}

#define UPGRADE "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
#define PLAIN "GET / HTTP/1.1\r\nHost: h\r\n"
#define POST "POST / HTTP/1.1\r\nHost: h\r\n"
#define FROM(origin) "Origin: " origin "\r\n"

static const struct {
    const char *name, *request;
    bool with_absent, without_absent; /* listen.absent_origin */
} origins[] = {
    {"the page's own", UPGRADE FROM("https://meet.example.com"), true, true},
    {"another of the list", UPGRADE FROM("https://other.example.com:8443"), true, true},
    {"in capitals", UPGRADE FROM("HTTPS://Meet.Example.Com"), true, true},
    {"with the port that goes without saying", UPGRADE FROM("https://meet.example.com:443"), true,
     true},
    {"another page", UPGRADE FROM("https://evil.example.net"), false, false},
    {"one whose name begins alike", UPGRADE FROM("https://meet.example.com.evil.net"), false,
     false},
    {"one whose name ends alike", UPGRADE FROM("https://notmeet.example.com"), false, false},
    {"another scheme", UPGRADE FROM("http://meet.example.com"), false, false},
    {"another port", UPGRADE FROM("https://meet.example.com:8443"), false, false},
    {"a user before it", UPGRADE FROM("https://meet.example.com@evil.net"), false, false},
    {"a path behind it", UPGRADE FROM("https://meet.example.com/"), false, false},
    {"two in one header", UPGRADE FROM("https://meet.example.com https://meet.example.com"), false,
     false},
    {"two headers", UPGRADE FROM("https://meet.example.com") FROM("https://evil.example.net"),
     false, false},
    {"the same twice", UPGRADE FROM("https://meet.example.com") FROM("https://meet.example.com"),
     false, false},
    {"null", UPGRADE FROM("null"), false, false},
    {"an empty one", UPGRADE FROM(""), false, false},
    {"none", UPGRADE, true, false},
    {"none, of the page's own reading", PLAIN, true, true},
    {"another page's reading", PLAIN FROM("https://evil.example.net"), false, false},
    {"none, but it writes", POST, true, false},
};

static void test_origins(void **state)
{
    char one[] = "https://meet.example.com", two[] = "https://other.example.com:8443";
    char *list[] = {one, two, NULL}, *nothing[] = {NULL};

    for (size_t i = 0; i < sizeof(origins) / sizeof(*origins); i++) {
        struct config config = {.listen.allowed_origins = list};
        struct buf text = BUF_INIT;
        struct http_head head;
        size_t len;

        buf_printf(&text, "%s\r\n", origins[i].request);
        if (http_parse_request(text.data, text.len, &head, &len) != HTTP_OK)
            fail_msg("%s: the test's own request cannot be read", origins[i].name);
        if (door_origin_is_allowed(&config, &head) != origins[i].without_absent)
            fail_msg("%s, absent ones refused", origins[i].name);
        config.listen.absent_origin = true;
        if (door_origin_is_allowed(&config, &head) != origins[i].with_absent)
            fail_msg("%s, absent ones allowed", origins[i].name);
        config.listen.absent_origin = false;
        config.listen.allowed_origins = nothing;
        assert_true(door_origin_is_allowed(&config, &head));
        config.listen.allowed_origins = NULL;
        assert_true(door_origin_is_allowed(&config, &head));
        buf_done(&text);
    }
}

static char guest[] = "guest.meet.example.com", hidden[] = "hidden.meet.example.com", none[] = "",
            auth[] = "auth.meet.example.com";

static struct config config_of(char *guest_domain, char *hidden_domain, char *service_domain)
{
    struct config config = {.guest_domain = guest_domain,
                            .hidden_domain = hidden_domain,
                            .xmpp.domain = "meet.example.com"};

    config.service.configured = service_domain != NULL;
    config.service.domain = service_domain;
    return config;
}

static const struct {
    const char *name, *to;
    enum door_answer answer, answer_listed; /* to who is in service.allowed_from */
} domains[] = {
    {"the main one", "meet.example.com", DOOR_OPEN, DOOR_OPEN},
    {"in capitals", "MEET.Example.com", DOOR_OPEN, DOOR_OPEN},
    {"in full-width letters",
     "\xef\xbd\x8d"
     "eet.example.com",
     DOOR_OPEN, DOOR_OPEN},
    {"the guests'", "guest.meet.example.com", DOOR_OPEN, DOOR_OPEN},
    {"the recorders'", "hidden.meet.example.com", DOOR_OPEN, DOOR_OPEN},
    {"the service accounts'", "auth.meet.example.com", DOOR_HOST_UNKNOWN, DOOR_OPEN},
    {"those in other letters",
     "Auth.\xef\xbd\x8d"
     "eet.example.com",
     DOOR_HOST_UNKNOWN, DOOR_OPEN},
    {"a component", "conference.meet.example.com", DOOR_HOST_UNKNOWN, DOOR_HOST_UNKNOWN},
    {"a domain above it", "example.com", DOOR_HOST_UNKNOWN, DOOR_HOST_UNKNOWN},
    {"another", "localhost", DOOR_HOST_UNKNOWN, DOOR_HOST_UNKNOWN},
    {"an account", "jvb@meet.example.com", DOOR_NO_ADDRESS, DOOR_NO_ADDRESS},
    {"a resource", "meet.example.com/x", DOOR_NO_ADDRESS, DOOR_NO_ADDRESS},
    {"nothing", "", DOOR_NO_ADDRESS, DOOR_NO_ADDRESS},
    {"no to", NULL, DOOR_NO_ADDRESS, DOOR_NO_ADDRESS},
    {"what is no address", "@", DOOR_NO_ADDRESS, DOOR_NO_ADDRESS},
};

static void test_domains(void **state)
{
    struct cidr listed = {.address = address_of("10.0.0.0"), .bits = 96 + 8};
    struct in6_addr stranger = address_of("192.0.2.1"), inside = address_of("10.1.2.3"),
                    nowhere = IN6ADDR_ANY_INIT;
    struct config config = config_of(guest, hidden, auth);

    config.service.allowed_from = &listed;
    config.service.allowed_from_len = 1;
    for (size_t i = 0; i < sizeof(domains) / sizeof(*domains); i++) {
        bool is_main = true;

        if (door_opens_to(&config, domains[i].to, &stranger, &is_main) != domains[i].answer ||
            is_main != (i < 3) ||
            door_opens_to(&config, domains[i].to, &nowhere, &is_main) != domains[i].answer ||
            door_opens_to(&config, domains[i].to, &inside, &is_main) != domains[i].answer_listed)
            fail_msg("%s", domains[i].name);
    }
    assert_false(door_service_is_public(&config));
}

/* What is not configured is no domain; and who shares one with the service accounts gets in. */
static void test_other_deployments(void **state)
{
    static char main_domain[] = "meet.example.com";
    struct in6_addr stranger = address_of("192.0.2.1");
    struct config config = config_of(none, none, NULL);
    bool is_main;

    assert_int_equal(door_opens_to(&config, hidden, &stranger, &is_main), DOOR_HOST_UNKNOWN);
    assert_int_equal(door_opens_to(&config, auth, &stranger, &is_main), DOOR_HOST_UNKNOWN);
    assert_false(door_service_is_public(&config));
    config = config_of(none, none, main_domain);
    assert_int_equal(door_opens_to(&config, main_domain, &stranger, &is_main), DOOR_OPEN);
    assert_true(is_main);
    assert_true(door_service_is_public(&config));
    config = config_of(none, auth, auth);
    assert_int_equal(door_opens_to(&config, auth, &stranger, &is_main), DOOR_OPEN);
    assert_false(is_main);
    assert_true(door_service_is_public(&config));
}

static void test_domains_no_memory(void **state)
{
    struct config config = config_of(guest, hidden, auth);
    struct in6_addr stranger = address_of("192.0.2.1");

    for (long n = 0, hit = 1; hit; n++) {
        bool is_main;

        alloc_track_on();
        alloc_fail_after(n);
        enum door_answer answer = door_opens_to(&config, "meet.example.com", &stranger, &is_main);
        hit = alloc_failed();
        alloc_fail_off();
        assert_int_equal(answer, hit ? DOOR_NO_MEMORY : DOOR_OPEN);
        assert_int_equal(is_main, !hit);
        assert_int_equal(alloc_live(), 0);
        alloc_track_off();
    }
}

#define SASL "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"
#define FRAMING "xmlns='urn:ietf:params:xml:ns:xmpp-framing'"
#define SM "xmlns='urn:xmpp:sm:3'"
#define IQ "<iq xmlns='jabber:client' type='set' id='1'"
#define BIND "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"

static const struct {
    const char *name, *text;
    bool is_for_login, is_misaddressed;
} messages[] = {
    {"open", "<open " FRAMING " to='meet.example.com'/>", true, false},
    {"close", "<close " FRAMING "/>", true, false},
    {"auth", "<auth " SASL " mechanism='PLAIN'>eA==</auth>", true, false},
    {"response", "<response " SASL "/>", true, false},
    {"abort", "<abort " SASL "/>", true, false},
    {"resume", "<resume " SM " previd='1' h='0'/>", true, false},
    {"a bind request", IQ ">" BIND "</iq>", true, false},
    {"a bind request with text around", IQ ">\n" BIND "\n</iq>", true, false},
    {"a bind request to somebody", IQ " to='meet.example.com'>" BIND "</iq>", false, false},
    {"a login behind a bind request", IQ ">" BIND "<query xmlns='jabber:iq:auth'/></iq>", false,
     false},
    {"a login before one", IQ "><query xmlns='jabber:iq:auth'/>" BIND "</iq>", false, false},
    {"a login (XEP-0078)", IQ "><query xmlns='jabber:iq:auth'/></iq>", false, false},
    {"a registration (XEP-0077)", IQ "><query xmlns='jabber:iq:register'/></iq>", false, false},
    {"a registration elsewhere",
     IQ " to='auth.meet.example.com'><query xmlns='jabber:iq:register'/></iq>", false, false},
    {"a bind of another namespace", IQ "><bind xmlns='urn:x'/></iq>", false, false},
    {"an empty iq", IQ "/>", false, false},
    {"SASL 2 (XEP-0388)", "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'/>", false,
     false},
    {"TLS", "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", false, false},
    {"a component's handshake", "<handshake xmlns='jabber:component:accept'>x</handshake>", false,
     false},
    {"a server's", "<result xmlns='jabber:server:dialback' to='a' from='b'>x</result>", false,
     true},
    {"enable", "<enable " SM "/>", false, false},
    {"an acknowledgement", "<r " SM "/>", false, false},
    {"presence", "<presence xmlns='jabber:client'/>", false, false},
    {"a message", "<message xmlns='jabber:client' to='a@b'/>", false, false},
    {"a login at another host", "<auth " SASL " to='auth.meet.example.com' mechanism='PLAIN'/>",
     true, true},
    {"a response there", "<response " SASL " to=''/>", true, true},
    {"a resumption there", "<resume " SM " to='auth.meet.example.com' previd='1' h='0'/>", true,
     true},
    {"a close there", "<close " FRAMING " to='auth.meet.example.com'/>", true, true},
    {"a to of another namespace", "<auth " SASL " xmlns:x='urn:x' x:to='auth.meet.example.com'/>",
     true, false},
};

static void test_before_login(void **state)
{
    const struct parse_limits limits = {
        .bytes = 4096, .depth = 8, .elements = 32, .attributes = 16};
    struct parser *parser = parser_new();

    for (size_t i = 0; i < sizeof(messages) / sizeof(*messages); i++) {
        const struct element *e;

        if (parser_read(parser, messages[i].text, strlen(messages[i].text), &limits, &e) !=
            PARSE_OK)
            fail_msg("%s: the test's own message cannot be read", messages[i].name);
        if (door_is_for_login(e, stanza_kind(e)) != messages[i].is_for_login)
            fail_msg("%s", messages[i].name);
        if (door_is_misaddressed(e, stanza_kind(e)) != messages[i].is_misaddressed)
            fail_msg("%s: its address", messages[i].name);
    }
    parser_free(parser);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_origins),           cmocka_unit_test(test_domains),
        cmocka_unit_test(test_other_deployments), cmocka_unit_test(test_domains_no_memory),
        cmocka_unit_test(test_before_login),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
