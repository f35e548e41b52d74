/*
 * The table was checked line by line against util.http.formdecode of Prosody 0.12.3.
 */
#include "tests/unit/alloc.h"
#include "xmpp/query.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The value that parameter "token" has, NULL when it has none. */
static const struct {
    const char *name, *query, *value;
    size_t count;
} cases[] = {
    {"plain", "token=a", "a", 1},
    {"last of two wins", "token=a&token=b", "b", 2},
    {"last of two wins, empty", "token=a&token=", "", 2},
    {"among others", "room=r&token=t&prefix=", "t", 1},
    {"other letter case", "Token=a", NULL, 0},
    {"longer name", "tokens=a", NULL, 0},
    {"shorter name", "toke=a", NULL, 0},
    {"encoded name", "%74oken=a", "a", 1},
    {"encoded name, upper hex", "to%6Ben=k", "k", 1},
    {"encoded name, lower hex", "to%6ben=k", "k", 1},
    {"encoded and plain", "token=a&t%6fken=b", "b", 2},
    {"encoded capital letter", "%54oken=x", NULL, 0},
    {"no equals sign anywhere", "token", NULL, 0},
    {"no equals sign here", "token&x=1", NULL, 0},
    {"no equals sign before", "a&token=b", "b", 1},
    {"empty query", "", NULL, 0},
    {"empty value", "token=", "", 1},
    {"empty name", "=a", NULL, 0},
    {"second equals sign", "token=a=b", "a=b", 1},
    {"only equals signs", "token==", "=", 1},
    {"name inside a value", "x=token=z", NULL, 0},
    {"plus is a space", "token=%2B+%20", "+  ", 1},
    {"plus in the name", "+token=a", NULL, 0},
    {"space in the name", "token%20=a", NULL, 0},
    {"invalid escapes stay", "token=%zz%4", "%zz%4", 1},
    {"percent at the end", "token=a%", "a%", 1},
    {"escape of mixed case stays", "token=%aB%Ab", "%aB%Ab", 1},
    {"escape of either case", "token=%c3%A9", "\xc3\xa9", 1},
    {"percent before an escape", "token=%%41", "%A", 1},
    {"digit before an escape", "token=%2%42", "%2B", 1},
    {"percent before a plus", "token=%2+", "%2 ", 1},
    {"decoded once only", "token=%2541", "%41", 1},
    {"empty parts", "&&token=b&", "b", 1},
    {"semicolon does not part", "token=a;token=b", "a;token=b", 1},
    {"encoded ampersand", "token=a%26b=c", "a&b=c", 1},
    {"encoded equals sign in the name", "token%3Da=b", NULL, 0},
    {"quotes, question mark, hash", "token=\"a?b#c\"", "\"a?b#c\"", 1},
    {"bytes over 127", "token=\xc3\xa9", "\xc3\xa9", 1},
};

static void test_values(void **state)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char *value = NULL;
        size_t len = 0, count = 0, query_len = strlen(cases[i].query);
        char *exact = malloc(query_len + 1); /* never terminated: reading on would be seen */

        assert_non_null(exact);
        memset(exact, 'X', query_len + 1);
        memcpy(exact, cases[i].query, query_len);
        enum query_result result = query_get(exact, query_len, "token", &value, &len, &count);
        if (result != (cases[i].value != NULL ? QUERY_OK : QUERY_ABSENT))
            fail_msg("%s: result %d", cases[i].name, result);
        if (cases[i].value != NULL) {
            if (strcmp(value, cases[i].value) != 0 || len != strlen(value) ||
                count != cases[i].count)
                fail_msg("%s: \"%s\", %zu bytes, %zu times", cases[i].name, value, len, count);
        } else {
            assert_null(value);
        }
        free(value);
        free(exact);
    }
}

static void test_encoded_nul(void **state)
{
    static const char query[] = "token=a%00b";
    char *value;
    size_t len, count;

    assert_int_equal(query_get(query, sizeof(query) - 1, "token", &value, &len, &count), QUERY_OK);
    assert_int_equal(len, 3);
    assert_memory_equal(value, "a\0b\0", 4);
    free(value);
    /* A name that goes on behind an encoded NUL is another name. */
    assert_int_equal(query_get("token%00=a", 10, "token", &value, &len, &count), QUERY_ABSENT);
}

static void test_empty_name(void **state)
{
    char *value;
    size_t len, count;

    assert_int_equal(query_get("a=b&=c", 6, "", &value, &len, &count), QUERY_OK);
    assert_string_equal(value, "c");
    free(value);
}

static void test_no_memory(void **state)
{
    bool hit = true;

    for (long n = 0; hit; n++) {
        char *value = NULL;
        size_t len, count;
        alloc_track_on();
        alloc_fail_after(n);
        enum query_result result = query_get("token=a", 7, "token", &value, &len, &count);
        hit = alloc_failed();
        alloc_fail_off();
        assert_int_equal(result, hit ? QUERY_NO_MEMORY : QUERY_OK);
        free(value);
        assert_int_equal(alloc_live(), 0);
        alloc_track_off();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_encoded_nul),
        cmocka_unit_test(test_empty_name),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
