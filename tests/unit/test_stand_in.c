/*
 * What stands in for a stanza answered here, there and back, and what only looks like it.
 */
#include "tests/unit/alloc.h"
#include "xmpp/stand_in.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct parse_limits limits = {
    .bytes = 100000, .depth = 10, .elements = 100, .attributes = 10};

#define ANSWER "<presence xmlns='jabber:client' type='error' from='r\xc3\xa4@c/n'/>"

static const struct element *parse(struct parser *p, const char *text)
{
    const struct element *e = NULL;

    assert_int_equal(parser_read(p, text, strlen(text), &limits, &e), PARSE_OK);
    return e;
}

/* The server's answer to a ping: its id, to the client. */
static void answer_ping(struct parser *p, const char *ping, const char *type, struct buf *ret)
{
    const struct element *e = parse(p, ping);

    assert_true(element_is(e, "jabber:client", "iq"));
    assert_string_equal(element_attribute(e, "type"), "get");
    assert_null(element_attribute(e, "to"));
    assert_non_null(element_child(e, "urn:xmpp:ping", "ping"));
    buf_printf(ret, "<iq xmlns='jabber:client' type='%s' to='u@d/r' id='%s'/>", type,
               element_attribute(e, "id"));
    assert_false(ret->failed);
}

static void test_there_and_back(void **state)
{
    static const uint64_t numbers[] = {0, 1, 42, UINT64_MAX};
    static const char *const types[] = {"result", "error"};
    struct parser *p = parser_new();

    assert_non_null(p);
    for (size_t i = 0; i < 8; i++) {
        struct buf ping = BUF_INIT, back = BUF_INIT, text = BUF_INIT;
        uint64_t number = 7;

        assert_true(stand_in_write(&ping, numbers[i / 2], ANSWER));
        answer_ping(p, ping.data, types[i % 2], &back);
        assert_true(stand_in_peek(back.data, back.len));
        assert_true(stand_in_read(parse(p, back.data), &number, &text));
        assert_true(number == numbers[i / 2]);
        assert_string_equal(text.data, ANSWER);
        buf_done(&ping);
        buf_done(&back);
        buf_done(&text);
    }
    parser_free(p);
}

static void test_length(void **state)
{
    struct buf out = BUF_INIT;
    char *text = calloc(1, STAND_IN_ANSWER_MAX + 2);

    assert_non_null(text);
    assert_false(stand_in_write(&out, 1, ""));
    memset(text, 'x', STAND_IN_ANSWER_MAX);
    assert_true(stand_in_write(&out, 1, text));
    assert_false(out.failed);
    text[STAND_IN_ANSWER_MAX] = 'x';
    assert_false(stand_in_write(&out, 1, text));
    buf_done(&out);
    free(text);
}

#define ID "id='vestibule-answer-1-eHl6'"

static void test_others(void **state)
{
    static const struct {
        const char *name, *message;
        bool is_one;
    } cases[] = {
        {"one", "<iq xmlns='jabber:client' type='result' " ID "/>", true},
        {"in the name of the account",
         "<iq xmlns='jabber:client' type='result' from='u@d' to='u@d/r' " ID "/>", true},
        {"from the client himself",
         "<iq xmlns='jabber:client' type='result' from='u@d/r' to='u@d/r' " ID "/>", false},
        {"from a name that begins like his",
         "<iq xmlns='jabber:client' type='result' from='u@' to='u@d/r' " ID "/>", false},
        {"from nobody", "<iq xmlns='jabber:client' type='result' from='' to='u@d/r' " ID "/>",
         false},
        {"from the account, to nobody",
         "<iq xmlns='jabber:client' type='result' from='u@d' " ID "/>", false},
        {"from somebody else",
         "<iq xmlns='jabber:client' type='result' from='e@d/r' to='u@d/r' " ID "/>", false},
        {"a request", "<iq xmlns='jabber:client' type='get' " ID "/>", false},
        {"no type", "<iq xmlns='jabber:client' " ID "/>", false},
        {"a message", "<message xmlns='jabber:client' type='error' " ID "/>", false},
        {"elsewhere", "<iq xmlns='u' type='result' " ID "/>", false},
        {"no id", "<iq xmlns='jabber:client' type='result' x='vestibule-answer-1-eHl6'/>", false},
        {"another id", "<iq xmlns='jabber:client' type='result' id='x'/>", false},
        {"no number", "<iq xmlns='jabber:client' type='result' id='vestibule-answer--eHl6'/>",
         false},
        {"a sign", "<iq xmlns='jabber:client' type='result' id='vestibule-answer--1-eHl6'/>",
         false},
        {"too big a number",
         "<iq xmlns='jabber:client' type='result' "
         "id='vestibule-answer-99999999999999999999-eHl6'/>",
         false},
        {"nothing behind", "<iq xmlns='jabber:client' type='result' id='vestibule-answer-1'/>",
         false},
        {"no answer", "<iq xmlns='jabber:client' type='result' id='vestibule-answer-1-'/>", false},
        {"no base64", "<iq xmlns='jabber:client' type='result' id='vestibule-answer-1-&lt;'/>",
         false},
    };
    struct parser *p = parser_new();

    assert_non_null(p);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf text = BUF_INIT;
        uint64_t number = 0;
        bool is_one = stand_in_read(parse(p, cases[i].message), &number, &text);

        if (is_one != cases[i].is_one || (is_one && strcmp(text.data, "xyz") != 0))
            fail_msg("%s", cases[i].name);
        buf_done(&text);
    }
    assert_false(stand_in_peek("vestibule-answe", 15));
    parser_free(p);
}

static void test_no_memory(void **state)
{
    struct parser *p = parser_new();
    const struct element *e = parse(p, "<iq xmlns='jabber:client' type='result' " ID "/>");

    for (long n = 0, hit = 1; hit; n++) {
        struct buf ping = BUF_INIT, text = BUF_INIT;
        uint64_t number;

        alloc_track_on();
        alloc_fail_after(n);
        assert_true(stand_in_write(&ping, 1, ANSWER));
        assert_true(stand_in_read(e, &number, &text));
        hit = alloc_failed();
        alloc_fail_off();
        assert_true(hit || (!ping.failed && !text.failed));
        buf_done(&ping);
        buf_done(&text);
        assert_int_equal(alloc_live(), 0);
        alloc_track_off();
    }
    parser_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_length),
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
