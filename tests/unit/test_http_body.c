/*
 * Bodies of HTTP responses: each response is fed whole, byte by byte, and cut in two at every
 * place.
 */
#include "tests/unit/alloc.h"
#include "xmpp/http_body.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAX 16
#define H11 "HTTP/1.1 200 OK\r\n"
#define CHUNKED H11 "Transfer-Encoding: chunked\r\n\r\n"

/* What comes of a response whose connection then ends. */
static const struct {
    const char *name, *response;
    enum http_body_result result;
    const char *body;
} cases[] = {
    {"length", H11 "Content-Length: 5\r\n\r\nhello", HTTP_BODY_END, "hello"},
    {"length, more behind it", H11 "Content-Length: 2\r\n\r\nhello", HTTP_BODY_END, "he"},
    {"length 0", H11 "Content-Length: 0\r\n\r\n", HTTP_BODY_END, ""},
    {"length, leading zeros", H11 "Content-Length: 0005\r\n\r\nhello", HTTP_BODY_END, "hello"},
    {"length, the most", H11 "Content-Length: 16\r\n\r\n0123456789abcdef", HTTP_BODY_END,
     "0123456789abcdef"},
    {"length, too large", H11 "Content-Length: 17\r\n\r\n", HTTP_BODY_TOO_LARGE, NULL},
    {"length, too large to count", H11 "Content-Length: 99999999999999999999\r\n\r\n",
     HTTP_BODY_BAD, NULL},
    {"length, cut off", H11 "Content-Length: 5\r\n\r\nhell", HTTP_BODY_BAD, NULL},
    {"length, signed", H11 "Content-Length: +5\r\n\r\nhello", HTTP_BODY_BAD, NULL},
    {"length, negative", H11 "Content-Length: -5\r\n\r\nhello", HTTP_BODY_BAD, NULL},
    {"length, hexadecimal", H11 "Content-Length: 0x5\r\n\r\nhello", HTTP_BODY_BAD, NULL},
    {"length, empty", H11 "Content-Length:\r\n\r\nhello", HTTP_BODY_BAD, NULL},
    {"length, a list", H11 "Content-Length: 5, 5\r\n\r\nhello", HTTP_BODY_BAD, NULL},
    {"length twice", H11 "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", HTTP_BODY_BAD,
     NULL},
    {"length and chunks", H11 "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     HTTP_BODY_BAD, NULL},
    {"until close", H11 "\r\nhello", HTTP_BODY_END, "hello"},
    {"until close, empty", H11 "\r\n", HTTP_BODY_END, ""},
    {"until close, HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nhello", HTTP_BODY_END, "hello"},
    {"until close, too large", H11 "\r\n0123456789abcdefg", HTTP_BODY_TOO_LARGE, NULL},
    {"no body with 204", "HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\nhello", HTTP_BODY_END, ""},
    {"no body with 304", "HTTP/1.1 304 No\r\n\r\nhello", HTTP_BODY_END, ""},
    {"body of an error", "HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno", HTTP_BODY_END, "no"},
    {"chunks", CHUNKED "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", HTTP_BODY_END, "hello"},
    {"chunks, none", CHUNKED "0\r\n\r\n", HTTP_BODY_END, ""},
    {"chunks, other letter case",
     H11 "transfer-encoding: Chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n", HTTP_BODY_END,
     "0123456789"},
    {"chunks, lower hex, leading zeros", CHUNKED "00a\r\n0123456789\r\n000\r\n\r\n", HTTP_BODY_END,
     "0123456789"},
    {"chunks, extensions", CHUNKED "5;a=b;c=\"d\"\r\nhello\r\n0 ;x\r\n\r\n", HTTP_BODY_END,
     "hello"},
    {"chunks, trailers", CHUNKED "5\r\nhello\r\n0\r\nA: b\r\nC: d\r\n\r\n", HTTP_BODY_END, "hello"},
    {"chunks, CR LF in the data", CHUNKED "4\r\n\r\n\r\n\r\n0\r\n\r\n", HTTP_BODY_END, "\r\n\r\n"},
    {"chunks, too large in one", CHUNKED "11\r\n0123456789abcdefg\r\n0\r\n\r\n",
     HTTP_BODY_TOO_LARGE, NULL},
    {"chunks, too large in two", CHUNKED "10\r\n0123456789abcdef\r\n1\r\ng\r\n0\r\n\r\n",
     HTTP_BODY_TOO_LARGE, NULL},
    {"chunks, nine digits", CHUNKED "000000005\r\nhello\r\n0\r\n\r\n", HTTP_BODY_BAD, NULL},
    {"chunks, size missing", CHUNKED "\r\nhello", HTTP_BODY_BAD, NULL},
    {"chunks, size of an extension only", CHUNKED ";a\r\nhello", HTTP_BODY_BAD, NULL},
    {"chunks, 0x", CHUNKED "0x5\r\nhello\r\n0\r\n\r\n", HTTP_BODY_BAD, NULL},
    {"chunks, signed", CHUNKED "+5\r\nhello\r\n0\r\n\r\n", HTTP_BODY_BAD, NULL},
    {"chunks, space before", CHUNKED " 5\r\nhello\r\n0\r\n\r\n", HTTP_BODY_BAD, NULL},
    {"chunks, LF only", CHUNKED "5\nhello\n0\n\n", HTTP_BODY_BAD, NULL},
    {"chunks, LF in an extension", CHUNKED "5;\nhello\r\n0\r\n\r\n", HTTP_BODY_BAD, NULL},
    {"chunks, NUL in a trailer's place", CHUNKED "0\r\n\x01\r\n\r\n", HTTP_BODY_BAD, NULL},
    {"chunks, data too long", CHUNKED "4\r\nhello\r\n0\r\n\r\n", HTTP_BODY_BAD, NULL},
    {"chunks, data without CR", CHUNKED "5\r\nhello\n0\r\n\r\n", HTTP_BODY_BAD, NULL},
    {"chunks, CR without LF", CHUNKED "5\r\nhello\rx0\r\n\r\n", HTTP_BODY_BAD, NULL},
    {"chunks, cut off in the size", CHUNKED "5", HTTP_BODY_BAD, NULL},
    {"chunks, cut off in the data", CHUNKED "5\r\nhel", HTTP_BODY_BAD, NULL},
    {"chunks, cut off before the last", CHUNKED "5\r\nhello\r\n", HTTP_BODY_BAD, NULL},
    {"chunks, cut off before the end", CHUNKED "5\r\nhello\r\n0\r\n", HTTP_BODY_BAD, NULL},
    {"chunks with HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     HTTP_BODY_BAD, NULL},
    {"gzip and chunks", H11 "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", HTTP_BODY_BAD,
     NULL},
    {"chunks twice",
     H11 "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", HTTP_BODY_BAD,
     NULL},
    {"another coding", H11 "Transfer-Encoding: identity\r\n\r\nhello", HTTP_BODY_BAD, NULL},
};

/* Fed in two parts, or byte by byte where step is 1. */
static enum http_body_result read_response(const char *response, size_t first, size_t step,
                                           struct buf *out)
{
    struct http_head head;
    struct http_body body;
    size_t at = 0, len = strlen(response), end;
    enum http_body_result result;

    assert_int_equal(http_parse_response(response, len, &head, &at), HTTP_OK);
    result = http_body_begin(&body, &head, MAX);
    for (end = at + first; result == HTTP_BODY_MORE && at < len; at = end, end += step) {
        end = end > len ? len : end;
        result = http_body_feed(&body, response + at, end - at, out);
    }
    return result == HTTP_BODY_MORE ? http_body_closed(&body) : result;
}

static void expect(size_t i, size_t first, size_t step)
{
    struct buf out = BUF_INIT;
    enum http_body_result result = read_response(cases[i].response, first, step, &out);

    if (result != cases[i].result)
        fail_msg("%s (%zu, %zu): result %d", cases[i].name, first, step, result);
    if (cases[i].body && (out.len != strlen(cases[i].body) ||
                          (out.len && memcmp(out.data, cases[i].body, out.len) != 0)))
        fail_msg("%s (%zu, %zu): %zu bytes", cases[i].name, first, step, out.len);
    if (out.len > MAX)
        fail_msg("%s: more than was allowed", cases[i].name);
    buf_done(&out);
}

static void test_bodies(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t len = strlen(cases[i].response);

        expect(i, len, len);
        expect(i, 1, 1);
        for (size_t first = 1; first < 40; first++)
            expect(i, first, len);
    }
}

/* Extensions and trailers cost no memory, and are not endless either. */
static void test_endless_aside(void **state)
{
    static const char head_text[] = CHUNKED, line[] = "X: yyyyyyyyyyyyyyyy\r\n";
    struct http_head head;
    struct http_body body;
    struct buf out = BUF_INIT;
    size_t len, fed = 0;

    assert_int_equal(http_parse_response(head_text, strlen(head_text), &head, &len), HTTP_OK);
    assert_int_equal(http_body_begin(&body, &head, MAX), HTTP_BODY_MORE);
    assert_int_equal(http_body_feed(&body, "0\r\n", 3, &out), HTTP_BODY_MORE);
    while (http_body_feed(&body, line, strlen(line), &out) == HTTP_BODY_MORE)
        fed += strlen(line);
    assert_in_range(fed, 3000, 8192);
    assert_int_equal(out.len, 0);
    assert_int_equal(http_body_begin(&body, &head, MAX), HTTP_BODY_MORE);
    assert_int_equal(http_body_feed(&body, "5;", 2, &out), HTTP_BODY_MORE);
    for (fed = 0; http_body_feed(&body, "xxxxxxxxxxxxxxxx", 16, &out) == HTTP_BODY_MORE; fed += 16)
        ;
    assert_in_range(fed, 3000, 8192);
    buf_done(&out);
}

static void test_out_of_memory(void **state)
{
    struct buf out = BUF_INIT;

    alloc_track_on();
    alloc_fail_after(0);
    assert_int_equal(read_response(cases[0].response, 64, 64, &out), HTTP_BODY_END);
    alloc_fail_off();
    assert_true(out.failed);
    buf_done(&out);
    assert_int_equal(alloc_live(), 0);
    alloc_track_off();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_endless_aside),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
