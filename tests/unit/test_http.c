/*
 * Heads are tables; each good one is also cut at every place, which must give HTTP_MORE.
 */
#include "xmpp/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HOST "Host: h\r\n"

static const struct {
    const char *name, *text;
    enum http_result result;
} request_cases[] = {
    {"plain", "GET / HTTP/1.1\r\n" HOST "\r\n", HTTP_OK},
    {"version 1.0", "GET / HTTP/1.0\r\n\r\n", HTTP_OK},
    {"no headers", "GET / HTTP/1.1\r\n\r\n", HTTP_OK},
    {"any token is a method", "M-SEARCH / HTTP/1.1\r\n\r\n", HTTP_OK},
    {"empty header value", "GET / HTTP/1.1\r\nA:\r\nB: \r\n\r\n", HTTP_OK},
    {"bytes over 127 in a value", "GET / HTTP/1.1\r\nA: \xc3\xa9\r\n\r\n", HTTP_OK},
    {"tab in a value", "GET / HTTP/1.1\r\nA: a\tb\r\n\r\n", HTTP_OK},
    {"colon in a value", "GET / HTTP/1.1\r\nA: a:b\r\n\r\n", HTTP_OK},
    {"nothing", "", HTTP_MORE},
    {"half", "GET / HT", HTTP_MORE},
    {"without the empty line", "GET / HTTP/1.1\r\n" HOST, HTTP_MORE},
    {"version 1.2", "GET / HTTP/1.2\r\n\r\n", HTTP_BAD},
    {"version 2.0", "PRI * HTTP/2.0\r\n\r\n", HTTP_BAD},
    {"version 0.9", "GET /\r\n\r\n", HTTP_BAD},
    {"version in lower case", "GET / http/1.1\r\n\r\n", HTTP_BAD},
    {"something behind the version", "GET / HTTP/1.1 \r\n\r\n", HTTP_BAD},
    {"two spaces before the target", "GET  / HTTP/1.1\r\n\r\n", HTTP_BAD},
    {"two spaces behind the target", "GET /  HTTP/1.1\r\n\r\n", HTTP_BAD},
    {"tab for a space", "GET\t/ HTTP/1.1\r\n\r\n", HTTP_BAD},
    {"space in the target", "GET /a b HTTP/1.1\r\n\r\n", HTTP_BAD},
    {"tab in the target", "GET /a\tb HTTP/1.1\r\n\r\n", HTTP_BAD},
    {"fragment in the target", "GET /a#b HTTP/1.1\r\n\r\n", HTTP_BAD},
    {"bytes over 127 in the target", "GET /\xc3\xa9 HTTP/1.1\r\n\r\n", HTTP_BAD},
    {"absolute form", "GET http://h/ HTTP/1.1\r\n\r\n", HTTP_BAD},
    {"authority form", "CONNECT h:443 HTTP/1.1\r\n\r\n", HTTP_BAD},
    {"asterisk form", "OPTIONS * HTTP/1.1\r\n\r\n", HTTP_BAD},
    {"no target", "GET  HTTP/1.1\r\n\r\n", HTTP_BAD},
    {"no method", " / HTTP/1.1\r\n\r\n", HTTP_BAD},
    {"method with a colon", "GE:T / HTTP/1.1\r\n\r\n", HTTP_BAD},
    {"empty line first", "\r\nGET / HTTP/1.1\r\n\r\n", HTTP_BAD},
    {"bare LF", "GET / HTTP/1.1\nHost: h\n\n", HTTP_BAD},
    {"bare LF behind a header", "GET / HTTP/1.1\r\nA: b\n\r\n", HTTP_BAD},
    {"bare CR in a value", "GET / HTTP/1.1\r\nA: b\rC: d\r\n\r\n", HTTP_BAD},
    {"CR CR LF", "GET / HTTP/1.1\r\r\n\r\n", HTTP_BAD},
    {"folded line, space", "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", HTTP_BAD},
    {"folded line, tab", "GET / HTTP/1.1\r\nA: b\r\n\tc\r\n\r\n", HTTP_BAD},
    {"folded first header", "GET / HTTP/1.1\r\n A: b\r\n\r\n", HTTP_BAD},
    {"line of white space", "GET / HTTP/1.1\r\n \r\n\r\n", HTTP_BAD},
    {"space before the colon", "GET / HTTP/1.1\r\nHost : h\r\n\r\n", HTTP_BAD},
    {"no colon", "GET / HTTP/1.1\r\nHost\r\n\r\n", HTTP_BAD},
    {"no header name", "GET / HTTP/1.1\r\n: h\r\n\r\n", HTTP_BAD},
    {"parenthesis in a name", "GET / HTTP/1.1\r\nA(b): h\r\n\r\n", HTTP_BAD},
    {"bytes over 127 in a name", "GET / HTTP/1.1\r\n\xc3\xa9: h\r\n\r\n", HTTP_BAD},
    {"control character in a value", "GET / HTTP/1.1\r\nA: \x01\r\n\r\n", HTTP_BAD},
    {"DEL in a value", "GET / HTTP/1.1\r\nA: \x7f\r\n\r\n", HTTP_BAD},
    {"TLS hello, seen at its first byte", "\x16\x03\x01", HTTP_BAD},
};

/* Parses text from memory of exactly its size. */
static enum http_result parse_request_copy(const char *text, size_t len)
{
    char *exact = malloc(len > 0 ? len : 1);
    struct http_head head;
    size_t head_len = 0;

    assert_non_null(exact);
    memcpy(exact, text, len);
    enum http_result result = http_parse_request(exact, len, &head, &head_len);
    if (result == HTTP_OK)
        assert_int_equal(head_len, len);
    free(exact);
    return result;
}

static void test_requests(void **state)
{
    for (size_t i = 0; i < sizeof(request_cases) / sizeof(*request_cases); i++) {
        size_t len = strlen(request_cases[i].text);
        enum http_result result = parse_request_copy(request_cases[i].text, len);
        if (result != request_cases[i].result)
            fail_msg("%s: result %d", request_cases[i].name, result);
        if (result != HTTP_OK)
            continue;
        for (size_t cut = 0; cut < len; cut++) {
            result = parse_request_copy(request_cases[i].text, cut);
            if (result != HTTP_MORE)
                fail_msg("%s cut at %zu: result %d", request_cases[i].name, cut, result);
        }
    }
}

static void test_nul(void **state)
{
    static const char in_value[] = "GET / HTTP/1.1\r\nA: b\0c\r\n\r\n";
    static const char in_name[] = "GET / HTTP/1.1\r\nA\0: b\r\n\r\n";
    static const char in_target[] = "GET /\0 HTTP/1.1\r\n\r\n";

    assert_int_equal(parse_request_copy(in_value, sizeof(in_value) - 1), HTTP_BAD);
    assert_int_equal(parse_request_copy(in_name, sizeof(in_name) - 1), HTTP_BAD);
    assert_int_equal(parse_request_copy(in_target, sizeof(in_target) - 1), HTTP_BAD);
}

static void test_request_parts(void **state)
{
    static const char text[] = "GET /xmpp-websocket?room=r&token=a.b?c HTTP/1.1\r\n"
                               "Host: meet.example.com\r\n"
                               "Upgrade:websocket\r\n"
                               "Connection: keep-alive,\t Upgrade \r\n"
                               "X-Forwarded-For: 1.2.3.4\r\n"
                               "x-forwarded-for: 5.6.7.8\r\n"
                               "Content-Length: 3\r\n"
                               "Content-Length: 4\r\n"
                               "Transfer-Encoding: chunked\r\n"
                               "\r\nbody";
    struct http_head head;
    size_t len;

    assert_int_equal(http_parse_request(text, sizeof(text) - 1, &head, &len), HTTP_OK);
    assert_int_equal(len, sizeof(text) - 1 - 4);
    assert_true(http_slice_is(head.method, "GET"));
    assert_true(http_slice_is(head.target, "/xmpp-websocket?room=r&token=a.b?c"));
    assert_true(http_slice_is(head.path, "/xmpp-websocket"));
    assert_true(http_slice_is(head.query, "room=r&token=a.b?c"));
    assert_int_equal(head.minor_version, 1);
    assert_int_equal(head.headers_len, 8);

    const struct http_header *header = http_header(&head, "HOST");
    assert_non_null(header);
    assert_true(http_slice_is(header->name, "Host"));
    assert_true(http_slice_is(header->value, "meet.example.com"));
    assert_true(http_slice_is(http_header(&head, "x-FORWARDED-for")->value, "1.2.3.4"));
    assert_true(http_slice_is(http_header(&head, "connection")->value, "keep-alive,\t Upgrade"));
    assert_null(http_header(&head, "Hos"));
    assert_int_equal(http_header_count(&head, "X-Forwarded-For"), 2);
    assert_int_equal(http_header_count(&head, "content-length"), 2);
    assert_int_equal(http_header_count(&head, "Transfer-Encoding"), 1);
    assert_int_equal(http_header_count(&head, "Cookie"), 0);
    assert_true(http_header_has_token(&head, "upgrade", "WebSocket"));
    assert_true(http_header_has_token(&head, "Connection", "upgrade"));
    assert_true(http_header_has_token(&head, "Connection", "Keep-Alive"));
    assert_false(http_header_has_token(&head, "Connection", "keep"));
    assert_false(http_header_has_token(&head, "Connection", "close"));
    assert_false(http_header_has_token(&head, "Cookie", "upgrade"));
}

static void test_query_of_target(void **state)
{
    struct http_head head;
    size_t len;

    assert_int_equal(http_parse_request("GET /a HTTP/1.1\r\n\r\n", 19, &head, &len), HTTP_OK);
    assert_null(head.query.at);
    assert_int_equal(http_parse_request("GET /a? HTTP/1.1\r\n\r\n", 20, &head, &len), HTTP_OK);
    assert_non_null(head.query.at);
    assert_int_equal(head.query.len, 0);
    assert_true(http_slice_is(head.path, "/a"));
}

static const struct {
    const char *name, *text;
    enum http_result result;
    int status;
    const char *reason;
} response_cases[] = {
    {"upgrade", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", HTTP_OK, 101,
     "Switching Protocols"},
    {"no reason", "HTTP/1.1 200 \r\n\r\n", HTTP_OK, 200, ""},
    {"no reason and no space", "HTTP/1.0 404\r\n\r\n", HTTP_OK, 404, ""},
    {"four digits", "HTTP/1.1 2000 OK\r\n\r\n", HTTP_BAD, 0, NULL},
    {"two digits", "HTTP/1.1 20 OK\r\n\r\n", HTTP_BAD, 0, NULL},
    {"not digits", "HTTP/1.1 2x0 OK\r\n\r\n", HTTP_BAD, 0, NULL},
    {"status 099", "HTTP/1.1 099 OK\r\n\r\n", HTTP_BAD, 0, NULL},
    {"status 600", "HTTP/1.1 600 OK\r\n\r\n", HTTP_BAD, 0, NULL},
    {"no status", "HTTP/1.1\r\n\r\n", HTTP_BAD, 0, NULL},
    {"two spaces", "HTTP/1.1  200 OK\r\n\r\n", HTTP_BAD, 0, NULL},
    {"another protocol", "ICY 200 OK\r\n\r\n", HTTP_BAD, 0, NULL},
    {"bare LF", "HTTP/1.1 200 OK\n\n", HTTP_BAD, 0, NULL},
    {"folded line", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", HTTP_BAD, 0, NULL},
};

static void test_responses(void **state)
{
    for (size_t i = 0; i < sizeof(response_cases) / sizeof(*response_cases); i++) {
        struct http_head head;
        size_t len, text_len = strlen(response_cases[i].text);
        enum http_result result =
            http_parse_response(response_cases[i].text, text_len, &head, &len);
        if (result != response_cases[i].result)
            fail_msg("%s: result %d", response_cases[i].name, result);
        if (result != HTTP_OK)
            continue;
        assert_int_equal(len, text_len);
        assert_int_equal(head.status, response_cases[i].status);
        assert_true(http_slice_is(head.reason, response_cases[i].reason));
    }
}

/* Without a terminator. */
static void put(char *at, const char *text)
{
    while (*text != '\0')
        *at++ = *text++;
}

/* A head of exactly HTTP_HEAD_MAX bytes, and one byte more; 64 headers, and one more. */
static void test_limits(void **state)
{
    static char text[HTTP_HEAD_MAX + 8];
    struct http_head head;
    size_t len;

    for (size_t over = 0; over <= 1; over++) {
        size_t total = HTTP_HEAD_MAX + over;
        memset(text, 'a', sizeof(text));
        put(text, "GET / HTTP/1.1\r\nA: ");
        put(text + total - 4, "\r\n\r\n");
        assert_int_equal(http_parse_request(text, total, &head, &len),
                         over ? HTTP_TOO_LARGE : HTTP_OK);
        assert_int_equal(http_parse_request(text, HTTP_HEAD_MAX - 1, &head, &len), HTTP_MORE);
    }
    /* What follows the head does not count. */
    memset(text, 'a', sizeof(text));
    put(text, "GET / HTTP/1.1\r\n\r\n");
    assert_int_equal(http_parse_request(text, sizeof(text), &head, &len), HTTP_OK);

    for (int count = HTTP_HEADERS_MAX; count <= HTTP_HEADERS_MAX + 1; count++) {
        int at = sprintf(text, "GET / HTTP/1.1\r\n");
        for (int i = 0; i < count; i++)
            at += sprintf(text + at, "A: %d\r\n", i);
        at += sprintf(text + at, "\r\n");
        assert_int_equal(http_parse_request(text, (size_t)at, &head, &len),
                         count > HTTP_HEADERS_MAX ? HTTP_TOO_LARGE : HTTP_OK);
    }
}

/* On failure the caller's head is as it was. */
static void test_failure_writes_nothing(void **state)
{
    struct http_head head, before;
    size_t len = 77;

    memset(&head, 0x55, sizeof(head));
    memcpy(&before, &head, sizeof(head));
    assert_int_equal(http_parse_request("GET / HTTP/1.1\r\nA b\r\n\r\n", 23, &head, &len),
                     HTTP_BAD);
    assert_int_equal(http_parse_request("GET / HTTP/1.1\r\n", 16, &head, &len), HTTP_MORE);
    assert_memory_equal(&head, &before, sizeof(head));
    assert_int_equal(len, 77);
}

static const struct {
    const char *path, *wanted;
    bool is;
} path_cases[] = {
    {"/xmpp-websocket", "/xmpp-websocket", true},
    {"/xmpp-websocket/", "/xmpp-websocket", true},
    {"//xmpp-websocket", "/xmpp-websocket", true},
    {"///xmpp-websocket//", "/xmpp-websocket", true},
    {"/xmpp-websocket", "/xmpp-websocket/", true},
    {"/%78mpp-websocket", "/xmpp-websocket", true},
    {"/xmpp%2dwebsocket", "/xmpp-websocket", true},
    {"/xmpp%2Dwebsocket", "/xmpp-websocket", true},
    {"/xmpp-websocket%2f", "/xmpp-websocket", true},
    {"/xmpp-websocket%3Fx", "/xmpp-websocket", true},
    {"/xmpp-websocket/%2f", "/xmpp-websocket", false},
    {"/%2fxmpp-websocket", "/xmpp-websocket", false},
    {"/xmpp-websocket%", "/xmpp-websocket", false},
    {"/xmpp-websocket%00", "/xmpp-websocket", false},
    {"/xmpp-websocket/a", "/xmpp-websocket", false},
    {"/xmpp-websocke", "/xmpp-websocket", false},
    {"/xmpp-websockets", "/xmpp-websocket", false},
    {"/XMPP-websocket", "/xmpp-websocket", false},
    {"/a/../xmpp-websocket", "/xmpp-websocket", false},
    {"/", "/xmpp-websocket", false},
    {"/tenant//x", "/tenant/x", true},
    {"/tenantx", "/tenant/x", false},
    {"/", "/", true},
    {"//", "/", true},
    {"/a", "/", false},
};

static void test_paths(void **state)
{
    for (size_t i = 0; i < sizeof(path_cases) / sizeof(*path_cases); i++) {
        struct http_slice path = {path_cases[i].path, strlen(path_cases[i].path)};
        if (http_path_is(path, path_cases[i].wanted) != path_cases[i].is)
            fail_msg("%s at %s", path_cases[i].path, path_cases[i].wanted);
    }
}

static const struct {
    const char *name, *headers;
    enum http_framing framing;
    uint64_t length;
} framing_cases[] = {
    {"no content", "", HTTP_NO_CONTENT, 0},
    {"a length", "Content-Length: 5\r\n", HTTP_LENGTH, 5},
    {"in any case", "CONTENT-length:5\r\n", HTTP_LENGTH, 5},
    {"length 0", "Content-Length: 0\r\n", HTTP_LENGTH, 0},
    {"leading zeros", "Content-Length: 007\r\n", HTTP_LENGTH, 7},
    {"the largest", "Content-Length: 18446744073709551615\r\n", HTTP_LENGTH, UINT64_MAX},
    {"one more", "Content-Length: 18446744073709551616\r\n", HTTP_LENGTH, UINT64_MAX},
    {"more by far", "Content-Length: 99999999999999999999990\r\n", HTTP_LENGTH, UINT64_MAX},
    {"two lengths", "Content-Length: 5\r\nContent-Length: 6\r\n", HTTP_FRAMING_UNCLEAR, 0},
    {"two equal lengths", "Content-Length: 5\r\nContent-Length: 5\r\n", HTTP_FRAMING_UNCLEAR, 0},
    {"a list of lengths", "Content-Length: 5, 5\r\n", HTTP_FRAMING_UNCLEAR, 0},
    {"empty length", "Content-Length:\r\n", HTTP_FRAMING_UNCLEAR, 0},
    {"signed", "Content-Length: +5\r\n", HTTP_FRAMING_UNCLEAR, 0},
    {"negative", "Content-Length: -5\r\n", HTTP_FRAMING_UNCLEAR, 0},
    /* What Prosody's tonumber() would take. */
    {"hexadecimal", "Content-Length: 0x10\r\n", HTTP_FRAMING_UNCLEAR, 0},
    {"with an exponent", "Content-Length: 1e3\r\n", HTTP_FRAMING_UNCLEAR, 0},
    {"with a fraction", "Content-Length: 5.0\r\n", HTTP_FRAMING_UNCLEAR, 0},
    {"space in a length", "Content-Length: 5 5\r\n", HTTP_FRAMING_UNCLEAR, 0},
    {"chunked", "Transfer-Encoding: chunked\r\n", HTTP_CHUNKED, 0},
    {"chunked in any case", "transfer-encoding: Chunked\r\n", HTTP_CHUNKED, 0},
    {"chunked and a length", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
     HTTP_FRAMING_UNCLEAR, 0},
    {"a length and chunked", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
     HTTP_FRAMING_UNCLEAR, 0},
    {"chunked, identity", "Transfer-Encoding: chunked, identity\r\n", HTTP_FRAMING_UNCLEAR, 0},
    {"gzip, chunked", "Transfer-Encoding: gzip, chunked\r\n", HTTP_FRAMING_UNCLEAR, 0},
    {"identity", "Transfer-Encoding: identity\r\n", HTTP_FRAMING_UNCLEAR, 0},
    {"empty coding", "Transfer-Encoding:\r\n", HTTP_FRAMING_UNCLEAR, 0},
    {"nearly chunked", "Transfer-Encoding: xchunked\r\n", HTTP_FRAMING_UNCLEAR, 0},
    {"chunked with a parameter", "Transfer-Encoding: chunked;q=1\r\n", HTTP_FRAMING_UNCLEAR, 0},
    {"chunked twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
     HTTP_FRAMING_UNCLEAR, 0},
};

static enum http_framing framing_of(const char *version, const char *headers, uint64_t *ret)
{
    char text[512];
    struct http_head head;
    size_t len;
    int text_len = snprintf(text, sizeof text, "POST / HTTP/%s\r\n%s\r\n", version, headers);

    assert_int_equal(http_parse_request(text, (size_t)text_len, &head, &len), HTTP_OK);
    return http_request_framing(&head, ret);
}

static void test_framing(void **state)
{
    for (size_t i = 0; i < sizeof(framing_cases) / sizeof(*framing_cases); i++) {
        uint64_t length = 77;
        enum http_framing framing = framing_of("1.1", framing_cases[i].headers, &length);

        if (framing != framing_cases[i].framing)
            fail_msg("%s: %d", framing_cases[i].name, framing);
        if (length != (framing == HTTP_LENGTH ? framing_cases[i].length : 77))
            fail_msg("%s: length %llu", framing_cases[i].name, (unsigned long long)length);
    }
}

static void test_framing_of_old(void **state)
{
    uint64_t length = 77;

    assert_int_equal(framing_of("1.0", "Transfer-Encoding: chunked\r\n", &length),
                     HTTP_FRAMING_UNCLEAR);
    assert_int_equal(framing_of("1.0", "", &length), HTTP_NO_CONTENT);
    assert_int_equal(length, 77);
    assert_int_equal(framing_of("1.0", "Content-Length: 5\r\n", &length), HTTP_LENGTH);
    assert_int_equal(length, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_nul),
        cmocka_unit_test(test_request_parts),
        cmocka_unit_test(test_query_of_target),
        cmocka_unit_test(test_responses),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_failure_writes_nothing),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_framing),
        cmocka_unit_test(test_framing_of_old),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
