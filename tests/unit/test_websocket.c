/*
 * Frames in, messages out: every case is decoded whole, byte by byte and cut in two at each place,
 * and what happens must be the same each time.
 */
#include "tests/unit/alloc.h"
#include "xmpp/websocket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BYTES(text) (const uint8_t *)(text), sizeof(text) - 1
#define KEY "\x37\xfa\x21\x3d" /* the mask of RFC 6455's examples */
#define ZERO "\0\0\0\0"        /* a mask that leaves the payload readable here */

/* Decodes one piece in memory of exactly its size, writing events down as "text:hello ping:x ". */
static void decode_piece(struct ws_decoder *d, const uint8_t *data, size_t len, struct buf *log)
{
    static const char *const names[] = {"", "text", "ping", "pong", "close", "fail"};
    uint8_t *piece = malloc(len > 0 ? len : 1);
    size_t at = 0, used;
    struct ws_output output;

    assert_non_null(piece);
    memcpy(piece, data, len);
    for (;;) {
        enum ws_event event = ws_decode(d, piece + at, len - at, &used, &output);
        at += used;
        assert_true(at <= len);
        if (event == WS_NEED_MORE)
            break;
        buf_add_str(log, names[event]);
        if (event == WS_CLOSE || event == WS_FAIL)
            buf_printf(log, ":%d", output.code);
        if (event == WS_FAIL)
            assert_true(output.reason[0] != '\0');
        else if (output.len > 64)
            buf_printf(log, ":[%zu]", output.len);
        else
            buf_printf(log, ":%.*s", (int)output.len, output.data);
        buf_add_str(log, " ");
    }
    assert_int_equal(at, len);
    free(piece);
}

static void check_events(const char *name, const struct buf *log, const char *expected)
{
    const char *seen = log->data != NULL ? log->data : "";
    if (strcmp(seen, expected) != 0)
        fail_msg("%s: expected \"%s\", got \"%s\"", name, expected, seen);
}

static void check_decode(const char *name, enum ws_role role, size_t max, const uint8_t *data,
                         size_t len, const char *expected)
{
    size_t cuts = len < 300 ? len : 0;

    for (size_t cut = 0; cut <= cuts; cut++) {
        struct ws_decoder d;
        struct buf log = BUF_INIT;
        ws_decoder_init(&d, role, max);
        decode_piece(&d, data, cut, &log);
        decode_piece(&d, data + cut, len - cut, &log);
        check_events(name, &log, expected);
        ws_decoder_done(&d);
        buf_done(&log);
    }

    struct ws_decoder d;
    struct buf log = BUF_INIT;
    ws_decoder_init(&d, role, max);
    for (size_t i = 0; i < len; i++)
        decode_piece(&d, data + i, 1, &log);
    check_events(name, &log, expected);
    ws_decoder_done(&d);
    buf_done(&log);
}

struct decode_case {
    const char *name;
    enum ws_role role;
    const uint8_t *data;
    size_t len;
    const char *expected;
};

static const struct decode_case decode_cases[] = {
    {"RFC 6455 5.7, unmasked", WS_CLIENT, BYTES("\x81\x05Hello"), "text:Hello "},
    {"RFC 6455 5.7, masked", WS_SERVER, BYTES("\x81\x85" KEY "\x7f\x9f\x4d\x51\x58"),
     "text:Hello "},
    {"RFC 6455 5.7, fragmented", WS_CLIENT, BYTES("\x01\x03Hel\x80\x02lo"), "text:Hello "},
    {"RFC 6455 5.7, ping", WS_CLIENT, BYTES("\x89\x05Hello"), "ping:Hello "},
    {"RFC 6455 5.7, pong", WS_SERVER, BYTES("\x8a\x85" KEY "\x7f\x9f\x4d\x51\x58"), "pong:Hello "},
    {"masked, longer than a word", WS_SERVER,
     BYTES("\x81\x8b\x01\x02\x03\x04\x31\x33\x31\x37\x35\x37\x35\x33\x39\x3b\x33"),
     "text:01234567890 "},
    {"empty message", WS_SERVER, BYTES("\x81\x80" ZERO), "text: "},
    {"empty fragments around", WS_CLIENT, BYTES("\x01\x00\x00\x01x\x80\x00"), "text:x "},
    {"only empty fragments", WS_CLIENT, BYTES("\x01\x00\x00\x00\x80\x00"), "text: "},
    {"last fragment has all", WS_CLIENT, BYTES("\x01\x00\x80\x02hi"), "text:hi "},
    {"two messages", WS_CLIENT,
     BYTES("\x81\x01"
           "a\x81\x01"
           "b"),
     "text:a text:b "},
    {"two fragmented ones", WS_CLIENT,
     BYTES("\x01\x01"
           "a\x80\x01"
           "b\x01\x01"
           "c\x80\x01"
           "d"),
     "text:ab text:cd "},
    {"ping inside a message", WS_SERVER,
     BYTES("\x01\x81" ZERO "a\x89\x81" ZERO "p\x80\x81" ZERO "b"), "ping:p text:ab "},
    {"pong and empty ping inside", WS_CLIENT,
     BYTES("\x01\x01"
           "a\x8a\x00\x89\x00\x80\x01"
           "b"),
     "pong: ping: text:ab "},
    {"close inside a message ends all", WS_CLIENT,
     BYTES("\x01\x01"
           "a\x88\x02\x03\xe8\x80\x01"
           "b"),
     "close:1000: "},
    {"close without a body", WS_SERVER, BYTES("\x88\x80" ZERO), "close:1005: "},
    {"close with reason", WS_CLIENT,
     BYTES("\x88\x05\x03\xe9"
           "bye"),
     "close:1001:bye "},
    {"close with UTF-8 reason", WS_CLIENT, BYTES("\x88\x04\x03\xe8\xc3\xa9"),
     "close:1000:\xc3\xa9 "},
    {"nothing is read behind close", WS_CLIENT,
     BYTES("\x88\x00\x81\x01"
           "a\xff\xff"),
     "close:1005: "},
    {"close with half a code", WS_CLIENT, BYTES("\x88\x01\x03"), "fail:1002 "},
    {"close with code 1005", WS_CLIENT, BYTES("\x88\x02\x03\xed"), "fail:1002 "},
    {"close with code 999", WS_CLIENT, BYTES("\x88\x02\x03\xe7"), "fail:1002 "},
    {"close reason broken", WS_CLIENT, BYTES("\x88\x03\x03\xe8\xff"), "fail:1007 "},
    {"close reason cut", WS_CLIENT, BYTES("\x88\x04\x03\xe8\xe2\x82"), "fail:1007 "},
    {"close reason overlong", WS_CLIENT, BYTES("\x88\x04\x03\xe8\xc0\x80"), "fail:1007 "},
    {"close reason surrogate", WS_CLIENT, BYTES("\x88\x05\x03\xe8\xed\xa0\x80"), "fail:1007 "},
    {"close reason beyond Unicode", WS_CLIENT, BYTES("\x88\x06\x03\xe8\xf4\x90\x80\x80"),
     "fail:1007 "},
    {"RSV1", WS_CLIENT,
     BYTES("\xc1\x01"
           "a"),
     "fail:1002 "},
    {"RSV2", WS_CLIENT,
     BYTES("\xa1\x01"
           "a"),
     "fail:1002 "},
    {"RSV3 on a ping", WS_CLIENT, BYTES("\x99\x00"), "fail:1002 "},
    {"reserved opcode 3", WS_CLIENT, BYTES("\x83\x00"), "fail:1002 "},
    {"reserved opcode 7", WS_CLIENT, BYTES("\x87\x00"), "fail:1002 "},
    {"reserved opcode 11", WS_CLIENT, BYTES("\x8b\x00"), "fail:1002 "},
    {"reserved opcode 15", WS_CLIENT, BYTES("\x8f\x00"), "fail:1002 "},
    {"client does not mask", WS_SERVER,
     BYTES("\x81\x01"
           "a"),
     "fail:1002 "},
    {"client does not mask its ping", WS_SERVER, BYTES("\x89\x00"), "fail:1002 "},
    {"server masks", WS_CLIENT, BYTES("\x81\x81" ZERO "a"), "fail:1002 "},
    {"binary", WS_CLIENT,
     BYTES("\x82\x01"
           "a"),
     "fail:1003 "},
    {"binary inside a message", WS_CLIENT,
     BYTES("\x01\x01"
           "a\x82\x01"
           "b"),
     "fail:1003 "},
    {"control frame over 125", WS_CLIENT, BYTES("\x89\x7e\x00\x7e"), "fail:1002 "},
    {"control frame fragmented", WS_CLIENT,
     BYTES("\x09\x01"
           "a"),
     "fail:1002 "},
    {"continuation of nothing", WS_CLIENT,
     BYTES("\x80\x01"
           "a"),
     "fail:1002 "},
    {"continuation behind a message", WS_CLIENT,
     BYTES("\x81\x01"
           "a\x80\x01"
           "b"),
     "text:a fail:1002 "},
    {"message inside a message", WS_CLIENT,
     BYTES("\x01\x01"
           "a\x81\x01"
           "b"),
     "fail:1002 "},
    {"16-bit length under 126", WS_CLIENT, BYTES("\x81\x7e\x00\x7d"), "fail:1002 "},
    {"64-bit length under 65536", WS_CLIENT, BYTES("\x81\x7f\0\0\0\0\0\0\xff\xff"), "fail:1002 "},
    {"64-bit length, top bit", WS_CLIENT, BYTES("\x81\x7f\x80\0\0\0\0\0\0\0"), "fail:1002 "},
    {"64-bit length, enormous", WS_CLIENT, BYTES("\x81\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"),
     "fail:1009 "},
    {"nothing at all", WS_CLIENT, BYTES(""), ""},
    {"half a header", WS_CLIENT, BYTES("\x81\x7e\x01"), ""},
    {"half a payload", WS_CLIENT, BYTES("\x81\x05hel"), ""},
};

static void test_decode(void **state)
{
    for (size_t i = 0; i < sizeof(decode_cases) / sizeof(*decode_cases); i++) {
        const struct decode_case *c = &decode_cases[i];
        check_decode(c->name, c->role, 1 << 20, c->data, c->len, c->expected);
    }
}

/* Each opcode and length written by ws_encode and read back, with and without mask. */
static void test_encode_decode(void **state)
{
    static const size_t lengths[] = {0, 1, 7, 8, 9, 125, 126, 127, 65535, 65536, 100003};
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    char *payload = malloc(100003), expected[64];

    assert_non_null(payload);
    for (size_t i = 0; i < 100003; i++)
        payload[i] = (char)('a' + i % 23);
    for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
        struct buf frame = BUF_INIT;
        if (lengths[i] > 64)
            snprintf(expected, sizeof(expected), "text:[%zu] ", lengths[i]);
        else
            snprintf(expected, sizeof(expected), "text:%.*s ", (int)lengths[i], payload);

        ws_encode(&frame, WS_OP_TEXT, payload, lengths[i], mask);
        assert_false(frame.failed);
        check_decode("masked", WS_SERVER, 100003, (const uint8_t *)frame.data, frame.len, expected);

        struct ws_decoder d;
        struct ws_output output;
        size_t used;
        ws_decoder_init(&d, WS_SERVER, 100003);
        assert_int_equal(ws_decode(&d, (uint8_t *)frame.data, frame.len, &used, &output), WS_TEXT);
        assert_memory_equal(output.data, payload, lengths[i]);
        /* A whole frame is not copied. */
        assert_int_equal(ws_decoder_held(&d), 0);
        if (lengths[i] > 0)
            assert_ptr_equal(output.data, frame.data + frame.len - lengths[i]);
        ws_decoder_done(&d);

        buf_clear(&frame);
        ws_encode(&frame, WS_OP_TEXT, payload, lengths[i], NULL);
        check_decode("plain", WS_CLIENT, 100003, (const uint8_t *)frame.data, frame.len, expected);
        buf_done(&frame);
    }
    free(payload);
}

static void test_encode_bytes(void **state)
{
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    struct buf out = BUF_INIT;

    ws_encode(&out, WS_OP_TEXT, "Hello", 5, mask);
    ws_encode(&out, WS_OP_PONG, "Hello", 5, NULL);
    ws_encode(&out, WS_OP_PING, NULL, 0, NULL);
    assert_int_equal(out.len, 20);
    assert_memory_equal(out.data, "\x81\x85" KEY "\x7f\x9f\x4d\x51\x58\x8a\x05Hello\x89\x00", 20);
    buf_done(&out);
}

static void test_encode_close(void **state)
{
    struct buf out = BUF_INIT;
    char reason[200];

    ws_encode_close(&out, 0, "x", 1, NULL);
    ws_encode_close(&out, 1005, "x", 1, NULL);
    ws_encode_close(&out, 1006, "x", 1, NULL);
    assert_int_equal(out.len, 6);
    assert_memory_equal(out.data, "\x88\0\x88\0\x88\0", 6);
    buf_clear(&out);

    ws_encode_close(&out, 1008, "no", 2, NULL);
    ws_encode_close(&out, 1000, NULL, 0, NULL);
    assert_int_equal(out.len, 10);
    assert_memory_equal(out.data, "\x88\x04\x03\xf0no\x88\x02\x03\xe8", 10);
    buf_clear(&out);

    /* 122 letters and a character of three bytes that does not fit any more. */
    memset(reason, 'a', sizeof(reason));
    memcpy(reason + 122, "\xe2\x82\xac", 3);
    ws_encode_close(&out, 1000, reason, sizeof(reason), NULL);
    assert_int_equal(out.len, 2 + 2 + 122);
    buf_clear(&out);

    memset(reason, 'a', sizeof(reason));
    ws_encode_close(&out, 1000, reason, sizeof(reason), NULL);
    assert_int_equal(out.len, 2 + 125);
    buf_done(&out);
}

static void test_close_codes(void **state)
{
    static const struct {
        uint16_t first, last;
        bool valid;
    } ranges[] = {
        {0, 999, false},     {1000, 1003, true}, {1004, 1006, false},  {1007, 1014, true},
        {1015, 2999, false}, {3000, 4999, true}, {5000, 65535, false},
    };
    for (size_t i = 0; i < sizeof(ranges) / sizeof(*ranges); i++) {
        for (uint32_t code = ranges[i].first; code <= ranges[i].last; code++)
            assert_int_equal(ws_close_code_valid((uint16_t)code), ranges[i].valid);
    }
}

/* The limit counts the declared length, before a byte of it is kept, and all fragments together. */
static void test_max_message(void **state)
{
    check_decode("exactly", WS_CLIENT, 5, BYTES("\x81\x05hello"), "text:hello ");
    check_decode("one over", WS_CLIENT, 4, BYTES("\x81\x05"), "fail:1009 ");
    check_decode("fragments exactly", WS_CLIENT, 5, BYTES("\x01\x03hel\x80\x02lo"), "text:hello ");
    check_decode("fragments over", WS_CLIENT, 4, BYTES("\x01\x03hel\x80\x02"), "fail:1009 ");
    check_decode("a ping is not limited", WS_CLIENT, 1, BYTES("\x89\x02hi"), "ping:hi ");
    check_decode("declared", WS_CLIENT, 1 << 18, BYTES("\x81\x7f\0\0\0\0\0\x04\0\x01"),
                 "fail:1009 ");
}

static void test_max_fragments(void **state)
{
    for (int with_bytes = 0; with_bytes <= 1; with_bytes++) {
        struct buf flood = BUF_INIT;
        ws_encode(&flood, WS_OP_TEXT, "a", 1, NULL);
        flood.data[0] = 0x01; /* not final */
        for (int i = 1; i < 1024; i++)
            buf_add(&flood,
                    with_bytes ? "\x00\x01"
                                 "b"
                               : "\x00\x00",
                    with_bytes ? 3 : 2);
        check_decode("1024 are allowed", WS_CLIENT, 1 << 20, (const uint8_t *)flood.data, flood.len,
                     "");
        buf_add(&flood, "\x80\x00", 2);
        check_decode("one more", WS_CLIENT, 1 << 20, (const uint8_t *)flood.data, flood.len,
                     "fail:1008 ");
        buf_done(&flood);
    }
}

/* Gathering memory: given back behind a large message, kept for small ones, never grown by a length
 * that was only declared. */
static void test_memory_held(void **state)
{
    struct ws_decoder d;
    struct ws_output output;
    struct buf frame = BUF_INIT, log = BUF_INIT;
    size_t used;
    char *large = calloc(1, 20000);

    assert_non_null(large);
    memset(large, 'x', 20000);
    ws_decoder_init(&d, WS_CLIENT, 1 << 20);
    ws_encode(&frame, WS_OP_TEXT, large, 20000, NULL);
    assert_int_equal(ws_decode(&d, (uint8_t *)frame.data, 100, &used, &output), WS_NEED_MORE);
    assert_true(ws_decoder_held(&d) >= 96);
    assert_true(ws_decoder_held(&d) < 4096);
    assert_int_equal(ws_decode(&d, (uint8_t *)frame.data + 100, frame.len - 100, &used, &output),
                     WS_TEXT);
    assert_int_equal(output.len, 20000);
    assert_memory_equal(output.data, large, 20000);
    assert_true(ws_decoder_held(&d) >= 20000);
    assert_int_equal(ws_decode(&d, (uint8_t *)frame.data, 0, &used, &output), WS_NEED_MORE);
    assert_int_equal(ws_decoder_held(&d), 0);

    decode_piece(&d, BYTES("\x01\x03Hel\x80\x02lo\x01\x01"), &log);
    decode_piece(&d,
                 BYTES("a\x80\x01"
                       "b"),
                 &log);
    check_events("small", &log, "text:Hello text:ab ");
    assert_true(ws_decoder_held(&d) <= 4096);
    ws_decoder_done(&d);
    assert_int_equal(ws_decoder_held(&d), 0);
    buf_done(&frame);
    buf_done(&log);
    free(large);
}

static void test_no_memory(void **state)
{
    static const char stream[] = "\x01\x03Hel\x89\x01p\x80\x02lo";
    bool hit = true;

    for (long n = 0; hit; n++) {
        struct ws_decoder d;
        struct ws_output output;
        uint8_t data[sizeof(stream) - 1];
        size_t at = 0, used;
        enum ws_event event;

        memcpy(data, stream, sizeof(data));
        alloc_track_on();
        alloc_fail_after(n);
        ws_decoder_init(&d, WS_CLIENT, 100);
        do {
            event = ws_decode(&d, data + at, sizeof(data) - at, &used, &output);
            at += used;
        } while (event == WS_PING);
        hit = alloc_failed();
        alloc_fail_off();
        assert_int_equal(event, hit ? WS_FAIL : WS_TEXT);
        if (hit)
            assert_int_equal(output.code, 1011);
        ws_decoder_done(&d);
        assert_int_equal(alloc_live(), 0);
        alloc_track_off();
    }

    hit = true;
    for (long n = 0; hit; n++) {
        struct buf out = BUF_INIT;
        alloc_track_on();
        alloc_fail_after(n);
        ws_encode(&out, WS_OP_TEXT, "Hello", 5, (const uint8_t *)KEY);
        ws_encode_close(&out, 1000, "bye", 3, (const uint8_t *)KEY);
        hit = alloc_failed();
        alloc_fail_off();
        assert_int_equal(out.failed, hit);
        buf_done(&out);
        assert_int_equal(alloc_live(), 0);
        alloc_track_off();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode),        cmocka_unit_test(test_encode_decode),
        cmocka_unit_test(test_encode_bytes),  cmocka_unit_test(test_encode_close),
        cmocka_unit_test(test_close_codes),   cmocka_unit_test(test_max_message),
        cmocka_unit_test(test_max_fragments), cmocka_unit_test(test_memory_held),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
