/*
 * Paths and what may be asked of them, as tables.
 *
 * What a newcomer gets wrong: a spelling that is missing from the forwarded paths is a 404, one
 * that is missing from BOSH's or the WebSocket's would be a way around.
 */
#include "proxy/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char room_info[] = "/_api/room-info", conference_request[] = "/conference-request";
static char *forward[] = {room_info, conference_request, NULL};
static char listen_path[] = "/ws", upstream_path[] = "/xmpp-websocket";

static struct config config = {.listen = {.path = listen_path},
                               .upstream = {.path = upstream_path},
                               .http = {.forward = forward}};

static const struct {
    const char *path;
    enum route route;
    const char *asked;
} paths[] = {
    {"/ws", ROUTE_WEBSOCKET, "/xmpp-websocket"},
    {"//ws/", ROUTE_WEBSOCKET, "/xmpp-websocket"},
    {"/%77s", ROUTE_WEBSOCKET, "/xmpp-websocket"},
    {"/xmpp-websocket", ROUTE_NOWHERE, NULL},
    {"/http-bind", ROUTE_BOSH, "/http-bind"},
    {"/http-bind/", ROUTE_BOSH, "/http-bind"},
    {"//http-bind", ROUTE_BOSH, "/http-bind"},
    {"/%68ttp-bind", ROUTE_BOSH, "/http-bind"},
    {"/http-bind%3fx", ROUTE_BOSH, "/http-bind"},
    {"/http-bind%2f", ROUTE_BOSH, "/http-bind"},
    {"/HTTP-BIND", ROUTE_NOWHERE, NULL},
    {"/http-bind;x", ROUTE_NOWHERE, NULL},
    {"/http-bind/x", ROUTE_NOWHERE, NULL},
    {"/http-bindx", ROUTE_NOWHERE, NULL},
    {"/x/../http-bind", ROUTE_NOWHERE, NULL},
    {"/./http-bind", ROUTE_NOWHERE, NULL},
    {"/_api/room-info", ROUTE_FORWARD, "/_api/room-info"},
    {"/conference-request", ROUTE_FORWARD, "/conference-request"},
    {"/conference-request/", ROUTE_NOWHERE, NULL},
    {"/conference-request/v1", ROUTE_NOWHERE, NULL},
    {"/conference-request/../http-bind", ROUTE_NOWHERE, NULL},
    {"/_api/../http-bind", ROUTE_NOWHERE, NULL},
    {"/_api//room-info", ROUTE_NOWHERE, NULL},
    {"/_api/room-inf%6f", ROUTE_NOWHERE, NULL},
    {"/_api/room-info%3f", ROUTE_NOWHERE, NULL},
    {"/_API/room-info", ROUTE_NOWHERE, NULL},
    {"/_api", ROUTE_NOWHERE, NULL},
    {"/rest", ROUTE_NOWHERE, NULL},
    {"/conversejs", ROUTE_NOWHERE, NULL},
    {"/", ROUTE_NOWHERE, NULL},
};

static void test_paths(void **state)
{
    for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
        const char *asked = NULL;
        struct http_slice path = {paths[i].path, strlen(paths[i].path)};
        enum route route = route_find(&config, path, &asked);

        if (route != paths[i].route)
            fail_msg("%s: %d", paths[i].path, route);
        if (paths[i].asked ? !asked || strcmp(asked, paths[i].asked) != 0 : asked != NULL)
            fail_msg("%s: Prosody is asked for %s", paths[i].path, asked ? asked : "nothing");
    }
}

static void test_nothing_forwarded(void **state)
{
    char *none[] = {NULL};
    struct config bare = config;
    struct http_slice path = {room_info, strlen(room_info)};
    const char *asked = NULL;

    bare.http.forward = none;
    assert_int_equal(route_find(&bare, path, &asked), ROUTE_NOWHERE);
    bare.http.forward = NULL;
    assert_int_equal(route_find(&bare, path, &asked), ROUTE_NOWHERE);
}

#define MIB "1048576"
#define MORE "1048577"

static const struct {
    const char *name, *method, *headers;
    int at_websocket, at_forward;
    uint64_t length;
} requests[] = {
    {"GET", "GET", "", 0, 0, 0},
    {"HEAD", "HEAD", "", 0, 0, 0},
    {"OPTIONS", "OPTIONS", "", 0, 0, 0},
    {"GET of no bytes", "GET", "Content-Length: 0\r\n", 0, 0, 0},
    {"GET with a body", "GET", "Content-Length: 5\r\n", 405, 0, 5},
    {"POST", "POST", "Content-Length: 5\r\n", 405, 0, 5},
    {"POST of nothing", "POST", "", 405, 0, 0},
    {"PUT", "PUT", "Content-Length: 5\r\n", 405, 0, 5},
    {"DELETE", "DELETE", "", 405, 501, 0},
    {"PATCH", "PATCH", "Content-Length: 5\r\n", 405, 501, 0},
    {"CONNECT", "CONNECT", "", 405, 501, 0},
    {"TRACE", "TRACE", "", 405, 501, 0},
    {"another case", "Post", "", 405, 501, 0},
    {"begins like one", "GETS", "", 405, 501, 0},
    {"the most", "POST", "Content-Length: " MIB "\r\n", 405, 0, ROUTE_CONTENT_MAX},
    {"too much", "POST", "Content-Length: " MORE "\r\n", 405, 413, 0},
    {"far too much", "POST", "Content-Length: 99999999999999999999999\r\n", 405, 413, 0},
    {"chunked", "POST", "Transfer-Encoding: chunked\r\n", 405, 411, 0},
    {"GET, chunked", "GET", "Transfer-Encoding: chunked\r\n", 405, 411, 0},
    {"two ends", "POST", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400, 400, 0},
    {"two lengths", "GET", "Content-Length: 0\r\nContent-Length: 0\r\n", 400, 400, 0},
    {"an unknown coding", "POST", "Transfer-Encoding: chunked, identity\r\n", 400, 400, 0},
    {"two Hosts", "GET", "Host: other.example.com\r\n", 400, 400, 0},
};

static int check(enum route route, const char *text, uint64_t *ret_length)
{
    struct http_head head;
    const char *why = NULL;
    size_t len;

    assert_int_equal(http_parse_request(text, strlen(text), &head, &len), HTTP_OK);
    int status = route_check(route, &head, ret_length, &why);
    assert_true((status != 0) == (why != NULL));
    return status;
}

static void test_requests(void **state)
{
    for (size_t i = 0; i < sizeof(requests) / sizeof(*requests); i++) {
        char text[512];
        uint64_t length = 77;

        snprintf(text, sizeof text, "%s /a HTTP/1.1\r\nHost: h\r\n%s\r\n", requests[i].method,
                 requests[i].headers);
        int status = check(ROUTE_WEBSOCKET, text, &length);
        if (status != requests[i].at_websocket || length != (status ? 77 : 0))
            fail_msg("%s, WebSocket: %d", requests[i].name, status);
        length = 77;
        status = check(ROUTE_FORWARD, text, &length);
        if (status != requests[i].at_forward || length != (status ? 77 : requests[i].length))
            fail_msg("%s, forward: %d, %llu", requests[i].name, status, (unsigned long long)length);
        length = 77;
        if (check(ROUTE_BOSH, text, &length) != requests[i].at_forward)
            fail_msg("%s, BOSH", requests[i].name);
    }
}

static void test_hosts(void **state)
{
    uint64_t length = 0;

    assert_int_equal(check(ROUTE_FORWARD, "GET /a HTTP/1.1\r\n\r\n", &length), 400);
    assert_int_equal(check(ROUTE_FORWARD, "GET /a HTTP/1.0\r\n\r\n", &length), 0);
    assert_int_equal(check(ROUTE_FORWARD, "GET /a HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", &length),
                     400);
}

static const struct {
    const char *path, *wrong; /* a part of what is said; NULL: nothing */
} configured[] = {
    {"/_api/room-info", NULL},
    {"/room-info", NULL},
    {"/conference-request/v1", NULL},
    {"/a/", NULL},
    {"/a.b/..c", NULL},
    {"", "plain path"},
    {"room-info", "plain path"},
    {"/a?b", "plain path"},
    {"/a b", "plain path"},
    {"/a;b", "plain path"},
    {"/a/*", "plain path"},
    {"/%68ttp-bind", "plain path"},
    {"//a", "plain path"},
    {"/a//b", "plain path"},
    {"/a/../http-bind", "plain path"},
    {"/..", "plain path"},
    {"/a/.", "plain path"},
    {"/./a", "plain path"},
    {"/http-bind", "BOSH"},
    {"/http-bind/", "BOSH"},
    {"/ws", "WebSocket"},
    {"/ws/", "WebSocket"},
    {"/xmpp-websocket", "WebSocket"},
};

static void test_configured(void **state)
{
    for (size_t i = 0; i < sizeof(configured) / sizeof(*configured); i++) {
        const char *wrong = route_wrong(&config, configured[i].path);

        if (configured[i].wrong ? !wrong || !strstr(wrong, configured[i].wrong) : wrong != NULL)
            fail_msg("%s: %s", configured[i].path, wrong ? wrong : "nothing is wrong");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),      cmocka_unit_test(test_nothing_forwarded),
        cmocka_unit_test(test_requests),   cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_configured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
