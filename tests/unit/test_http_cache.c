/*
 * How long a response may be used: its headers, and the seconds.
 */
#include "xmpp/http_cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *name, *headers;
    int64_t seconds;
} cases[] = {
    {"nothing said", "", -1},
    {"other headers", "Date: x\r\nETag: \"max-age=5\"\r\n", -1},
    {"max-age", "Cache-Control: max-age=300\r\n", 300},
    {"letter case", "cache-control: Max-Age=300\r\n", 300},
    {"among others", "Cache-Control: public, max-age=19302, must-revalidate, no-transform\r\n",
     19302},
    {"spaces", "Cache-Control:  public ,\tmax-age = 7 \r\n", 7},
    {"quoted", "Cache-Control: max-age=\"300\"\r\n", 300},
    {"zero", "Cache-Control: max-age=0\r\n", 0},
    {"not max-age", "Cache-Control: s-maxage=300, x-max-age=4\r\n", -1},
    {"no-cache", "Cache-Control: no-cache\r\n", 0},
    {"no-store", "Cache-Control: no-store, max-age=300\r\n", 0},
    {"no-cache behind", "Cache-Control: max-age=300, NO-CACHE\r\n", 0},
    {"no-cache of a header", "Cache-Control: no-cache=\"set-cookie\", max-age=300\r\n", 0},
    {"private", "Cache-Control: private, max-age=300\r\n", 300},
    {"twice, the shorter counts", "Cache-Control: max-age=300, max-age=20\r\n", 20},
    {"two headers", "Cache-Control: max-age=20\r\nCache-Control: max-age=300\r\n", 20},
    {"not a number", "Cache-Control: max-age=soon\r\n", 0},
    {"negative", "Cache-Control: max-age=-1\r\n", 0},
    {"a fraction", "Cache-Control: max-age=1.5\r\n", 0},
    {"no value", "Cache-Control: max-age\r\n", 0},
    {"empty value", "Cache-Control: max-age=\r\n", 0},
    {"half a quote", "Cache-Control: max-age=\"300\r\n", 0},
    {"in quotes of another", "Cache-Control: x=\"a, max-age=5\", max-age=300\r\n", 300},
    {"an escaped quote", "Cache-Control: x=\"a\\\", max-age=5\", max-age=300\r\n", 300},
    {"too large", "Cache-Control: max-age=99999999999999999999999\r\n", 2147483648},
    {"empty parts", "Cache-Control: ,, max-age=300 ,\r\n", 300},
    {"empty", "Cache-Control:\r\n", -1},
    {"aged", "Cache-Control: max-age=300\r\nAge: 100\r\n", 200},
    {"aged in full", "Age: 300\r\nCache-Control: max-age=300\r\n", 0},
    {"aged beyond", "Age: 301\r\nCache-Control: max-age=300\r\n", 0},
    {"an Age that is none", "Age: old\r\nCache-Control: max-age=300\r\n", 300},
    {"an Age alone", "Age: 5\r\n", -1},
};

static void test_max_age(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];
        struct http_head head;
        size_t len;
        int64_t seconds;

        snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\n%s\r\n", cases[i].headers);
        assert_int_equal(http_parse_response(text, strlen(text), &head, &len), HTTP_OK);
        seconds = http_max_age(&head);
        if (seconds != cases[i].seconds)
            fail_msg("%s: %lld", cases[i].name, (long long)seconds);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_max_age)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
