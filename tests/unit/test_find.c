/*
 * Looking through bytes: at every place of a vector and behind the last one, and never past the
 * end.
 */
#include "xmpp/find.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LEN_MAX 70

/* A copy that ends where its memory ends, for the sanitizer to see. */
static char *exact(const char *from, size_t len)
{
    char *copy = malloc(len ? len : 1);

    assert_non_null(copy);
    memcpy(copy, from, len);
    return copy;
}

static size_t find_double_quote(const char *s, size_t len)
{
    return find_quote(s, len, '"');
}

static size_t find_single_quote(const char *s, size_t len)
{
    return find_quote(s, len, '\'');
}

static size_t find_of_target(const char *s, size_t len)
{
    return find_stop(s, len, " #\x7f");
}

static void test_stops(void **state)
{
    static const struct {
        size_t (*find)(const char *s, size_t len);
        const char stopping[9], passing[6];
    } cases[] = {
        {find_markup, {'<', '&', '>', '\0', '\t', '\x1f', '\x80', '\xff'}, " \x7f'\"="},
        {find_single_quote, {'<', '&', '\'', '\0', '\t', '\x1f', '\x80', '\xff'}, " \x7f\">="},
        {find_of_target, {' ', '#', '\x7f', '\0', '\t', '\x1f', '\x80', '\xff'}, "<&'>="},
        {find_double_quote, {'<', '&', '"', '\0', '\t', '\x1f', '\x80', '\xff'}, " \x7f'>="},
    };
    char text[LEN_MAX];

    memset(text, 'x', sizeof text);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0] * 8; i++) {
        for (size_t len = 0; len <= LEN_MAX; len++) {
            for (size_t at = 0; at < len; at++) {
                char *copy = exact(text, len);

                copy[at] = cases[i / 8].stopping[i % 8];
                if (at > 0)
                    copy[at - 1] = cases[i / 8].passing[i % 5];
                assert_int_equal(cases[i / 8].find(copy, len), at);
                free(copy);
            }
            assert_int_equal(cases[i / 8].find(text, len), len);
        }
    }
}

static void test_text(void **state)
{
    static const char *const texts[] = {"11", "110", "error", "a rather long text to be found"};
    char around[LEN_MAX];

    memset(around, '1', sizeof around);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        size_t text_len = strlen(texts[i]);

        memset(around, i == 0 ? '0' : '1', sizeof around);
        for (size_t len = 0; len <= LEN_MAX; len++) {
            for (size_t at = 0; at + text_len <= len; at++) {
                char *copy = exact(around, len);

                memcpy(copy + at, texts[i], text_len);
                assert_true(find_text(copy, len, texts[i]));
                copy[at + text_len - 1] = 'z';
                assert_false(find_text(copy, len, texts[i]));
                free(copy);
            }
            assert_false(find_text(around, len, texts[i]));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stops),
        cmocka_unit_test(test_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
