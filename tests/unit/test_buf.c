/*
 * Text being built: growth, escaping, dropping, and a failure that is remembered.
 */
#include "tests/unit/alloc.h"
#include "xmpp/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_escapes(void **state)
{
    static const struct {
        const char *name, *text, *expected;
    } cases[] = {
        {"nothing", "", ""},
        {"plain", "room@muc", "room@muc"},
        {"all five", "&<>'\"", "&amp;&lt;&gt;&apos;&quot;"},
        {"escaped already", "&amp;", "&amp;amp;"},
        {"at both ends", "<a>", "&lt;a&gt;"},
        {"not ASCII", "\xc3\xa9'\xe2\x82\xac", "\xc3\xa9&apos;\xe2\x82\xac"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf b = BUF_INIT;
        buf_add_str(&b, "[");
        buf_add_xml(&b, cases[i].text);
        size_t len = strlen(cases[i].expected);
        if (b.len != len + 1 || strcmp(b.data + 1, cases[i].expected) != 0)
            fail_msg("%s: %s", cases[i].name, b.data);
        buf_done(&b);
    }
}

static void test_growth(void **state)
{
    struct buf b = BUF_INIT;
    for (int i = 0; i < 5000; i++)
        buf_printf(&b, "%04d,", i);
    assert_false(b.failed);
    assert_int_equal(b.len, 25000);
    assert_memory_equal(b.data + 24995, "4999,", 6);
    buf_add(&b, "a\0b", 3);
    assert_memory_equal(b.data + 25000, "a\0b", 4);
    buf_clear(&b);
    assert_int_equal(b.len, 0);
    assert_string_equal(b.data, "");
    assert_true(b.cap >= 25003);
    buf_done(&b);
    assert_null(b.data);
    assert_int_equal(b.cap, 0);
}

static void test_drop(void **state)
{
    struct buf b = BUF_INIT;
    buf_drop(&b, 0);
    buf_add_str(&b, "abcdef");
    buf_drop(&b, 0);
    buf_drop(&b, 2);
    assert_string_equal(b.data, "cdef");
    buf_drop(&b, 4);
    assert_string_equal(b.data, "");
    assert_int_equal(b.len, 0);
    buf_done(&b);
}

static void test_take(void **state)
{
    struct buf b = BUF_INIT;
    assert_null(buf_take(&b));
    buf_reserve(&b, 10);
    assert_null(buf_take(&b));
    assert_null(b.data);
    buf_add_str(&b, "abc");
    char *text = buf_take(&b);
    assert_string_equal(text, "abc");
    assert_null(b.data);
    assert_int_equal(b.len, 0);
    free(text);
}

static void test_too_large(void **state)
{
    struct buf b = BUF_INIT;
    buf_add_str(&b, "abc");
    assert_false(buf_reserve(&b, SIZE_MAX));
    assert_false(buf_reserve(&b, SIZE_MAX / 2 - 2));
    assert_true(b.failed);
    buf_add_str(&b, "def"); /* nothing is added behind a gap */
    assert_int_equal(b.len, 3);
    assert_null(buf_take(&b));
}

static void test_no_memory(void **state)
{
    char block[300];
    memset(block, 'x', sizeof(block));
    bool hit = true;
    for (long n = 0; hit; n++) {
        struct buf b = BUF_INIT;
        alloc_track_on();
        alloc_fail_after(n);
        buf_add_str(&b, "abc");
        buf_printf(&b, "%.*s", 300, block);
        buf_add(&b, block, sizeof(block));
        buf_add_xml(&b, "<<<");
        hit = alloc_failed();
        alloc_fail_off();
        assert_true(b.failed == hit);
        char *text = buf_take(&b);
        assert_true((text == NULL) == hit);
        free(text);
        assert_int_equal(alloc_live(), 0);
        alloc_track_off();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escapes),   cmocka_unit_test(test_growth),
        cmocka_unit_test(test_drop),      cmocka_unit_test(test_take),
        cmocka_unit_test(test_too_large), cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
