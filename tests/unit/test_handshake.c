/*
 * Upgrades asked and answered, both sides, as whole HTTP heads.
 *
 * What a newcomer gets wrong: what goes on to Prosody is compared whole, so a header too many is as
 * much a failure as one too few.
 */
#include "proxy/handshake.h"
#include "tests/unit/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The example of RFC 6455 section 1.3. */
#define SAMPLE_KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define SAMPLE_ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

#define GET "GET /xmpp-websocket HTTP/1.1\r\n"
#define HOST "Host: meet.example.com\r\n"
#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define KEY "Sec-WebSocket-Key: " SAMPLE_KEY "\r\n"
#define PROTOCOL "Sec-WebSocket-Protocol: xmpp\r\n"
#define WITH_KEY(key) GET HOST UPGRADE VERSION PROTOCOL "Sec-WebSocket-Key: " key "\r\n"
#define WITH(header) GET HOST UPGRADE VERSION KEY PROTOCOL header "\r\n"

static void parse_request(const char *name, const char *headers, struct buf *text,
                          struct http_head *ret)
{
    size_t len;

    buf_printf(text, "%s\r\n", headers);
    if (http_parse_request(text->data, text->len, ret, &len) != HTTP_OK)
        fail_msg("%s: the test's own request cannot be read", name);
}

static const struct {
    const char *name, *request;
    int status;
} requests[] = {
    {"as a browser asks", GET HOST UPGRADE VERSION KEY PROTOCOL, 0},
    {"one of several options and protocols",
     GET HOST "Upgrade: h2c, WebSocket\r\nConnection: keep-alive, upgrade\r\n" VERSION KEY
              "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: mqtt,\txmpp\r\n",
     0},
    {"an extension is offered", WITH("Sec-WebSocket-Extensions: permessage-deflate"), 0},
    {"a key with every kind of letter", WITH_KEY("+/AZaz09+/AZaz09+/AZaw=="), 0},
    {"not GET", "POST /xmpp-websocket HTTP/1.1\r\n" HOST UPGRADE VERSION KEY PROTOCOL, 400},
    {"get in lower case", "get /xmpp-websocket HTTP/1.1\r\n" HOST UPGRADE VERSION KEY PROTOCOL,
     400},
    {"HTTP/1.0", "GET /xmpp-websocket HTTP/1.0\r\n" HOST UPGRADE VERSION KEY PROTOCOL, 400},
    {"no Host", GET UPGRADE VERSION KEY PROTOCOL, 400},
    {"two Hosts", WITH("Host: other.example.com"), 400},
    {"Connection does not say upgrade",
     GET HOST "Upgrade: websocket\r\nConnection: keep-alive\r\n" VERSION KEY PROTOCOL, 400},
    {"a length", WITH("Content-Length: 5"), 400},
    {"a chunked body", WITH("Transfer-Encoding: chunked"), 400},
    {"no version", GET HOST UPGRADE KEY PROTOCOL, 426},
    {"version 8", GET HOST UPGRADE KEY PROTOCOL "Sec-WebSocket-Version: 8\r\n", 426},
    {"version 013", GET HOST UPGRADE KEY PROTOCOL "Sec-WebSocket-Version: 013\r\n", 426},
    {"two versions", GET HOST UPGRADE KEY PROTOCOL "Sec-WebSocket-Version: 13, 8\r\n", 426},
    {"no key", GET HOST UPGRADE VERSION PROTOCOL, 400},
    {"two keys", WITH(KEY "X: y"), 400},
    {"empty key", WITH_KEY(""), 400},
    {"key of 15 bytes", WITH_KEY("dGhlIHNhbXBsZSBub25j"), 400},
    {"key of 17 bytes", WITH_KEY("dGhlIHNhbXBsZSBub25jZWE="), 400},
    {"key of 18 bytes", WITH_KEY("dGhlIHNhbXBsZSBub25jZWVl"), 400},
    {"key of 19 bytes", WITH_KEY("dGhlIHNhbXBsZSBub25jZWVlZQ=="), 400},
    {"key without padding", WITH_KEY("dGhlIHNhbXBsZSBub25jZQ"), 400},
    {"key padded in the middle", WITH_KEY("dGhlIHNh=XBsZSBub25jZQ=="), 400},
    {"key that is padding", WITH_KEY("dGhlIHNhbXBsZSBub25j===="), 400},
    {"key in base64url", WITH_KEY("dGhlIHNh-XBsZSBub25j_Q=="), 400},
    {"key with a space", WITH_KEY("dGhlIHNh XBsZSBub25jZQ=="), 400},
    {"key with bytes over 127",
     WITH_KEY("dGhlIHNh\xc3\xa9"
              "BsZSBub25jZQ=="),
     400},
    {"no protocol", GET HOST UPGRADE VERSION KEY, 501},
    {"another protocol", GET HOST UPGRADE VERSION KEY "Sec-WebSocket-Protocol: xmpp2\r\n", 501},
};

static void test_requests(void **state)
{
    for (size_t i = 0; i < sizeof(requests) / sizeof(*requests); i++) {
        struct buf text = BUF_INIT;
        struct http_head head;
        const char *why = NULL;

        parse_request(requests[i].name, requests[i].request, &text, &head);
        int status = handshake_check(&head, &why);
        if (status != requests[i].status || (status != 0) != (why != NULL))
            fail_msg("%s: status %d, %s", requests[i].name, status, why ? why : "no reason");
        buf_done(&text);
    }
}

static void test_is_upgrade(void **state)
{
    static const struct {
        const char *request;
        bool expected;
    } cases[] = {
        {GET HOST UPGRADE, true},
        {GET HOST "Upgrade: WEBSOCKET\r\n", true},
        {GET HOST "Upgrade: h2c\r\nUpgrade: a, websocket\r\n", true},
        {GET HOST "Upgrade: websocket2\r\n", false},
        {GET HOST "Connection: Upgrade\r\n" VERSION KEY PROTOCOL, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct buf text = BUF_INIT;
        struct http_head head;

        parse_request(cases[i].request, cases[i].request, &text, &head);
        if (handshake_is_upgrade(&head) != cases[i].expected)
            fail_msg("%s", cases[i].request);
        buf_done(&text);
    }
}

static void test_accept(void **state)
{
    struct buf text = BUF_INIT, out = BUF_INIT;
    struct http_head head;

    parse_request("sample", GET HOST UPGRADE VERSION KEY PROTOCOL, &text, &head);
    handshake_accept(&out, &head);
    assert_string_equal(out.data, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                                  "Connection: Upgrade\r\nSec-WebSocket-Accept: " SAMPLE_ACCEPT
                                  "\r\nSec-WebSocket-Protocol: xmpp\r\n\r\n");
    buf_done(&out);
    buf_done(&text);
}

/* Every status the listener and the upstream refuse with. */
static void test_refuse(void **state)
{
    static const struct {
        int status;
        const char *reason, *header, *value;
    } cases[] = {
        {400, "Bad Request", NULL, NULL},
        {403, "Forbidden", NULL, NULL},
        {404, "Not Found", NULL, NULL},
        {405, "Method Not Allowed", "Allow", "GET, HEAD, OPTIONS"},
        {426, "Upgrade Required", "Sec-WebSocket-Version", "13"},
        {408, "Request Timeout", NULL, NULL},
        {411, "Length Required", NULL, NULL},
        {413, "Content Too Large", NULL, NULL},
        {429, "Too Many Requests", NULL, NULL},
        {431, "Request Header Fields Too Large", NULL, NULL},
        {501, "Not Implemented", NULL, NULL},
        {502, "Bad Gateway", NULL, NULL},
        {503, "Service Unavailable", NULL, NULL},
        {504, "Gateway Timeout", NULL, NULL},
        {599, "Error", NULL, NULL}, /* Prosody's own, carried over */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct buf out = BUF_INIT;
        struct http_head head;
        size_t len = 0;

        handshake_refuse(&out, cases[i].status, "Because of this.");
        assert_int_equal(http_parse_response(out.data, out.len, &head, &len), HTTP_OK);
        assert_int_equal(head.status, cases[i].status);
        if (!http_slice_is(head.reason, cases[i].reason))
            fail_msg("%d: %.*s", head.status, (int)head.reason.len, head.reason.at);
        assert_string_equal(out.data + len, "Because of this.\n");
        assert_true(http_slice_is(http_header(&head, "content-length")->value, "17"));
        assert_true(http_header_has_token(&head, "connection", "close"));
        for (size_t j = 0; j < 2; j++) {
            const char *name = j ? "Allow" : "Sec-WebSocket-Version";
            bool expected = cases[i].header && strcmp(cases[i].header, name) == 0;
            const struct http_header *header = http_header(&head, name);
            if ((header != NULL) != expected ||
                (expected && !http_slice_is(header->value, cases[i].value)))
                fail_msg("%d: %s", head.status, name);
        }
        buf_done(&out);
    }
}

#define ONWARD(query) "GET /ws" query " HTTP/1.1\r\nHost: xmpp.example.com\r\n"
#define ONWARD_UPGRADE                                                                             \
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"                   \
    "Sec-WebSocket-Protocol: xmpp\r\nSec-WebSocket-Key: " SAMPLE_KEY "\r\n"

static struct handshake_request onward_default(void)
{
    return (struct handshake_request){.method = "GET",
                                      .path = "/ws",
                                      .host = "xmpp.example.com",
                                      .upgrade = true,
                                      .key = SAMPLE_KEY};
}

/* From what the client sent behind GET and Host to what Prosody is sent behind the upgrade. */
static const struct {
    const char *name, *client;
    bool trusted;
    const char *forwarded_for, *expected;
} forwarded[] = {
    {"its own upgrade is not", UPGRADE VERSION KEY PROTOCOL, false, NULL, ""},
    {"what Prosody reads is (wire fact 2)",
     "User-Agent: a b\r\nAuthorization: Bearer x.y.z\r\nx-proxy-region: eu\r\n"
     "Origin: https://meet.example.com\r\n",
     false, NULL,
     "User-Agent: a b\r\nAuthorization: Bearer x.y.z\r\nx-proxy-region: eu\r\n"
     "Origin: https://meet.example.com\r\n"},
    {"order, case, repetition and empty values stay", "b: 1\r\nA: 2\r\nB: 3\r\nC:\r\n", false, NULL,
     "b: 1\r\nA: 2\r\nB: 3\r\nC: \r\n"},
    {"hop by hop is not",
     "Keep-Alive: 5\r\nProxy-Connection: close\r\nTE: trailers\r\nTrailer: X\r\n"
     "Transfer-Encoding: chunked\r\nUPGRADE: h2c\r\nExpect: 100-continue\r\nContent-Length: 0\r\n",
     true, NULL, ""},
    {"what Connection names is not",
     "Connection: close, X-One\r\nconnection:\tx-TWO ,\r\nX-One: 1\r\nx-two: 2\r\nX-Three: 3\r\n",
     false, NULL, "X-Three: 3\r\n"},
    {"extensions are not offered", "Sec-WebSocket-Extensions: permessage-deflate\r\n", false, NULL,
     ""},
    {"an accept of the client's is not", "Sec-WebSocket-Accept: " SAMPLE_ACCEPT "\r\n", false, NULL,
     ""},
    {"X-Forwarded-For is replaced", "X-Forwarded-For: 1.2.3.4\r\nx-forwarded-for: 5.6.7.8\r\n",
     false, "192.0.2.1", "X-Forwarded-For: 192.0.2.1\r\n"},
    {"X-Forwarded-For is replaced for a trusted one", "X-Forwarded-For: 1.2.3.4\r\n", true,
     "1.2.3.4, 10.0.0.1", "X-Forwarded-For: 1.2.3.4, 10.0.0.1\r\n"},
    {"X-Forwarded-For is taken away", "X-Forwarded-For: 1.2.3.4\r\n", true, NULL, ""},
    {"X-Forwarded-For stays though Connection names it",
     "Connection: X-Forwarded-For\r\nX-Forwarded-For: 1.2.3.4\r\n", false, "192.0.2.1",
     "X-Forwarded-For: 192.0.2.1\r\n"},
    {"a stranger says nothing of others",
     "Forwarded: for=1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\nX-FORWARDED-PROTO: https\r\n"
     "X-Forwarded-Host: h\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Shard: 1\r\n",
     false, NULL, "X-Forwarded-Shard: 1\r\n"},
    {"nor under a name that Prosody's modules take for the same",
     "X_Forwarded_For: 1.2.3.4\r\nX-Forwarded_For: 1.2.3.4\r\nx_forwarded_proto: https\r\n"
     "Content_Length: 5\r\nX_Forwarded: 1\r\nX_Forwarded_Fort: 1\r\n",
     false, "192.0.2.1", "X-Forwarded-For: 192.0.2.1\r\nX_Forwarded: 1\r\nX_Forwarded_Fort: 1\r\n"},
    {"a trusted one may",
     "Forwarded: for=1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n"
     "X-Forwarded-Host: h\r\nX-Forwarded-Port: 1\r\n",
     true, NULL,
     "Forwarded: for=1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n"
     "X-Forwarded-Host: h\r\nX-Forwarded-Port: 1\r\n"},
    {"a long name", "A23456789012345678901234567890123456789012345678901234567890123456789: 1\r\n",
     false, NULL, "A23456789012345678901234567890123456789012345678901234567890123456789: 1\r\n"},
    {"a long name that Connection names",
     "Connection: a23456789012345678901234567890123456789012345678901234567890123456789\r\n"
     "A23456789012345678901234567890123456789012345678901234567890123456789: 1\r\n",
     false, NULL, ""},
};

static void test_forwarded(void **state)
{
    for (size_t i = 0; i < sizeof(forwarded) / sizeof(*forwarded); i++) {
        struct handshake_request request = onward_default();
        struct buf text = BUF_INIT, line = BUF_INIT, out = BUF_INIT, expected = BUF_INIT;
        struct http_head head;

        buf_printf(&line, GET HOST "%s", forwarded[i].client);
        parse_request(forwarded[i].name, line.data, &text, &head);
        request.client = &head;
        request.client_is_trusted = forwarded[i].trusted;
        request.forwarded_for = forwarded[i].forwarded_for;
        handshake_request(&out, &request);
        buf_printf(&expected, ONWARD("") ONWARD_UPGRADE "%s\r\n", forwarded[i].expected);
        if (strcmp(out.data, expected.data) != 0)
            fail_msg("%s: %s", forwarded[i].name, out.data);
        buf_done(&expected);
        buf_done(&out);
        buf_done(&line);
        buf_done(&text);
    }
}

/* Prosody decodes it (wire fact 3): nobody else may. */
static void test_query(void **state)
{
    static const char *const queries[] = {
        "",
        "?",
        "?room=a%2Bb+c&token=x.y.z",
        "?tok%65n=%zz&&=&token=1&token=2&%",
        "?a?b/../c;d=%00%0D%0A",
    };
    for (size_t i = 0; i < sizeof(queries) / sizeof(*queries); i++) {
        struct handshake_request request = onward_default();
        struct buf line = BUF_INIT, text = BUF_INIT, out = BUF_INIT, expected = BUF_INIT;
        struct http_head head;

        buf_printf(&line, "GET //xmpp-websocket/%s HTTP/1.1\r\n", queries[i]);
        parse_request(queries[i], line.data, &text, &head);
        request.query = head.query;
        handshake_request(&out, &request);
        buf_printf(&expected,
                   "GET /ws%s HTTP/1.1\r\nHost: xmpp.example.com\r\n" ONWARD_UPGRADE "\r\n",
                   queries[i]);
        assert_string_equal(out.data, expected.data);
        buf_done(&expected);
        buf_done(&out);
        buf_done(&text);
        buf_done(&line);
    }
}

/* A plain request asks for the end of the connection and can never become a WebSocket. */
static void test_plain(void **state)
{
    struct handshake_request request = onward_default();
    struct buf text = BUF_INIT, out = BUF_INIT;
    struct http_head head;

    parse_request("plain", GET HOST UPGRADE VERSION KEY PROTOCOL "Accept: */*\r\n", &text, &head);
    request.method = "HEAD";
    request.upgrade = false;
    request.client = &head;
    handshake_request(&out, &request);
    assert_string_equal(out.data, "HEAD /ws HTTP/1.1\r\nHost: xmpp.example.com\r\n"
                                  "Connection: close\r\nAccept: */*\r\n\r\n");
    buf_done(&out);
    buf_done(&text);
}

/* A length is ours, never the client's own spelling of it. */
static void test_content(void **state)
{
    static const struct {
        bool has_content;
        uint64_t len;
        const char *expected;
    } cases[] = {
        {false, 0, ""},
        {true, 0, "Content-Length: 0\r\n"},
        {true, 7, "Content-Length: 7\r\n"},
        {true, UINT64_MAX, "Content-Length: 18446744073709551615\r\n"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct handshake_request request = onward_default();
        struct buf text = BUF_INIT, out = BUF_INIT, expected = BUF_INIT;
        struct http_head head;

        parse_request("content",
                      "POST /a HTTP/1.1\r\n" HOST "Connection: content-length, content-type\r\n"
                      "content-length: 0007\r\nContent_Length: 9\r\nExpect: 100-continue\r\n",
                      &text, &head);
        request.method = "POST";
        request.upgrade = false;
        request.client = &head;
        request.has_content = cases[i].has_content;
        request.content_len = cases[i].len;
        handshake_request(&out, &request);
        buf_printf(&expected,
                   "POST /ws HTTP/1.1\r\nHost: xmpp.example.com\r\nConnection: close\r\n%s\r\n",
                   cases[i].expected);
        assert_string_equal(out.data, expected.data);
        buf_done(&expected);
        buf_done(&out);
        buf_done(&text);
    }
}

static void test_make_key(void **state)
{
    char key[HANDSHAKE_KEY_LEN + 1];

    handshake_make_key((const uint8_t *)"the sample nonce", key);
    assert_string_equal(key, SAMPLE_KEY);
}

#define SWITCHING "HTTP/1.1 101 Switching Protocols\r\n"
#define ACCEPT "Sec-WebSocket-Accept: " SAMPLE_ACCEPT "\r\n"

static const struct {
    const char *name, *response;
    bool completes;
} responses[] = {
    {"as Prosody answers", SWITCHING UPGRADE ACCEPT PROTOCOL, true},
    {"in other letters",
     SWITCHING
     "upgrade: WebSocket\r\nCONNECTION: upgrade\r\nsec-websocket-protocol:xmpp\r\n" ACCEPT,
     true},
    {"status 200", "HTTP/1.1 200 OK\r\n" UPGRADE ACCEPT PROTOCOL, false},
    {"status 404", "HTTP/1.1 404 Not Found\r\n", false},
    {"no Upgrade", SWITCHING "Connection: Upgrade\r\n" ACCEPT PROTOCOL, false},
    {"another Upgrade", SWITCHING "Upgrade: h2c\r\nConnection: Upgrade\r\n" ACCEPT PROTOCOL, false},
    {"no Connection", SWITCHING "Upgrade: websocket\r\n" ACCEPT PROTOCOL, false},
    {"no accept", SWITCHING UPGRADE PROTOCOL, false},
    {"an accept of another key",
     SWITCHING UPGRADE PROTOCOL "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOp=\r\n", false},
    {"the accept in other letters",
     SWITCHING UPGRADE PROTOCOL "Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", false},
    {"the key itself", SWITCHING UPGRADE PROTOCOL "Sec-WebSocket-Accept: " SAMPLE_KEY "\r\n",
     false},
    {"no protocol", SWITCHING UPGRADE ACCEPT, false},
    {"another protocol", SWITCHING UPGRADE ACCEPT "Sec-WebSocket-Protocol: mqtt\r\n", false},
    {"an extension", SWITCHING UPGRADE ACCEPT PROTOCOL "Sec-WebSocket-Extensions: x\r\n", false},
};

static void test_responses(void **state)
{
    for (size_t i = 0; i < sizeof(responses) / sizeof(*responses); i++) {
        struct buf text = BUF_INIT;
        struct http_head head;
        const char *why = NULL;
        size_t len;

        buf_printf(&text, "%s\r\n", responses[i].response);
        assert_int_equal(http_parse_response(text.data, text.len, &head, &len), HTTP_OK);
        bool completes = handshake_completes(&head, SAMPLE_KEY, &why);
        if (completes != responses[i].completes || completes != (why == NULL))
            fail_msg("%s: %s", responses[i].name, why ? why : "accepted");
        buf_done(&text);
    }
}

/* What we send each other as client and server must please ourselves. */
static void test_both_sides(void **state)
{
    struct handshake_request request = onward_default();
    struct buf out = BUF_INIT, answer = BUF_INIT;
    struct http_head head;
    const char *why = "";
    size_t len;

    handshake_make_key((const uint8_t *)"\xff\xfe\0\1 0123456789a", request.key);
    handshake_request(&out, &request);
    assert_int_equal(http_parse_request(out.data, out.len, &head, &len), HTTP_OK);
    assert_int_equal(len, out.len);
    assert_true(handshake_is_upgrade(&head));
    assert_int_equal(handshake_check(&head, &why), 0);
    handshake_accept(&answer, &head);
    assert_int_equal(http_parse_response(answer.data, answer.len, &head, &len), HTTP_OK);
    assert_int_equal(len, answer.len);
    assert_true(handshake_completes(&head, request.key, &why));
    assert_false(handshake_completes(&head, SAMPLE_KEY, &why));
    buf_done(&answer);
    buf_done(&out);
}

static void test_no_memory(void **state)
{
    struct handshake_request request = onward_default();
    struct buf text = BUF_INIT;
    struct http_head head;

    parse_request("sample", WITH("User-Agent: a rather long name, so that the buffer has to grow"),
                  &text, &head);
    request.client = &head;
    request.query = (struct http_slice){"a=b", 3};
    for (int what = 0; what < 3; what++) {
        for (long n = 0, hit = 1; hit; n++) {
            struct buf out = BUF_INIT;

            alloc_track_on();
            alloc_fail_after(n);
            if (what == 0)
                handshake_request(&out, &request);
            else if (what == 1)
                handshake_accept(&out, &head);
            else
                handshake_refuse(&out, 400, "Because.");
            hit = alloc_failed();
            alloc_fail_off();
            assert_int_equal(out.failed, hit);
            buf_done(&out);
            assert_int_equal(alloc_live(), 0);
            alloc_track_off();
        }
    }
    buf_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),   cmocka_unit_test(test_is_upgrade),
        cmocka_unit_test(test_accept),     cmocka_unit_test(test_refuse),
        cmocka_unit_test(test_forwarded),  cmocka_unit_test(test_query),
        cmocka_unit_test(test_plain),      cmocka_unit_test(test_content),
        cmocka_unit_test(test_make_key),   cmocka_unit_test(test_responses),
        cmocka_unit_test(test_both_sides), cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
