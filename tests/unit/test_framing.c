/*
 * The elements a stream opens, fails and closes with are read back with the parser.
 */
#include "xmpp/framing.h"
#include "xmpp/stanza.h"

#include "xmpp/ns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct parse_limits limits = {
    .bytes = 10000, .depth = 10, .elements = 100, .attributes = 10};

static const struct element *read_back(struct parser *p, const struct buf *b)
{
    const struct element *root = NULL;
    assert_int_equal(parser_read(p, b->data, b->len, &limits, &root), PARSE_OK);
    return root;
}

static void test_open(void **state)
{
    struct parser *p = parser_new();
    struct buf b = BUF_INIT;
    framing_open(&b, "a'&<b>");
    const struct element *root = read_back(p, &b);
    assert_int_equal(stanza_kind(root), STANZA_OPEN);
    assert_string_equal(element_attribute(root, "to"), "a'&<b>");
    assert_string_equal(element_attribute(root, "version"), "1.0");
    buf_clear(&b);
    framing_open_answer(&b, "meet.example.com", "i\"d");
    root = read_back(p, &b);
    assert_int_equal(stanza_kind(root), STANZA_OPEN);
    assert_string_equal(element_attribute(root, "from"), "meet.example.com");
    assert_string_equal(element_attribute(root, "id"), "i\"d");
    assert_string_equal(element_attribute(root, "version"), "1.0");
    buf_done(&b);
    parser_free(p);
}

static void test_close(void **state)
{
    struct parser *p = parser_new();
    struct buf b = BUF_INIT;
    framing_close(&b);
    assert_int_equal(stanza_kind(read_back(p, &b)), STANZA_CLOSE);
    buf_done(&b);
    parser_free(p);
}

static void test_stream_error(void **state)
{
    static const struct {
        const char *condition, *text;
    } cases[] = {{"not-well-formed", NULL}, {"policy-violation", "too <large> & more"}};
    struct parser *p = parser_new();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf b = BUF_INIT;
        framing_stream_error(&b, cases[i].condition, cases[i].text);
        const struct element *root = read_back(p, &b);
        assert_int_equal(stanza_kind(root), STANZA_STREAM_ERROR);
        assert_int_equal(stanza_peek(b.data, b.len), STANZA_STREAM_ERROR);
        assert_non_null(element_child(root, NS_STREAM_ERRORS, cases[i].condition));
        const struct element *text = element_child(root, NS_STREAM_ERRORS, "text");
        assert_true((text != NULL) == (cases[i].text != NULL));
        if (text)
            assert_string_equal(text->text, cases[i].text);
        buf_done(&b);
    }
    parser_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_close),
        cmocka_unit_test(test_stream_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
