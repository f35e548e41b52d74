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

static void test_stops(void **state)
{
    static const char stopping[] = {'<', '&', '\'', '\0', '\t', '\x1f', '\x80', '\xff'};
    char text[LEN_MAX];

    memset(text, 'x', sizeof text);
    for (size_t len = 0; len <= LEN_MAX; len++) {
        for (size_t at = 0; at < len; at++) {
            for (size_t i = 0; i < sizeof stopping; i++) {
                char *copy = exact(text, len);

                copy[at] = stopping[i];
                if (at > 0)
                    copy[at - 1] = i % 2 ? '\x7f' : ' ';
                assert_int_equal(find_stop(copy, len, "<&'"), at);
                free(copy);
            }
        }
        assert_int_equal(find_stop(text, len, "<&'"), len);
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
