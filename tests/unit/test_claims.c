/*
 * claims.c: only JSON true is a privilege, wherever the path leads.
 */
#include "policy/claims.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

struct claim_case {
    const char *name, *payload, *path;
    enum claim_value expected;
};

static const struct claim_case cases[] = {
    {"true", "{\"a\":{\"b\":true}}", "a.b", CLAIM_TRUE},
    {"true at the top", "{\"a\":true}", "a", CLAIM_TRUE},
    {"true far down", "{\"a\":{\"b\":{\"c\":{\"d\":true}}}}", "a.b.c.d", CLAIM_TRUE},
    {"false", "{\"a\":{\"b\":false}}", "a.b", CLAIM_FALSE},
    {"absent", "{\"a\":{}}", "a.b", CLAIM_ABSENT},
    {"absent way", "{}", "a.b", CLAIM_ABSENT},
    {"the string true", "{\"a\":{\"b\":\"true\"}}", "a.b", CLAIM_WRONG_TYPE},
    {"one", "{\"a\":{\"b\":1}}", "a.b", CLAIM_WRONG_TYPE},
    {"zero", "{\"a\":{\"b\":0}}", "a.b", CLAIM_WRONG_TYPE},
    {"real", "{\"a\":{\"b\":1.0}}", "a.b", CLAIM_WRONG_TYPE},
    {"null", "{\"a\":{\"b\":null}}", "a.b", CLAIM_WRONG_TYPE},
    {"object", "{\"a\":{\"b\":{}}}", "a.b", CLAIM_WRONG_TYPE},
    {"array with true", "{\"a\":{\"b\":[true]}}", "a.b", CLAIM_WRONG_TYPE},
    {"way through a string", "{\"a\":\"b\"}", "a.b", CLAIM_ABSENT},
    {"way through an array", "{\"a\":[{\"b\":true}]}", "a.b", CLAIM_ABSENT},
    {"way through null", "{\"a\":null}", "a.b", CLAIM_ABSENT},
    {"way through true", "{\"a\":true}", "a.b", CLAIM_ABSENT},
    {"payload is an array", "[true]", "a", CLAIM_ABSENT},
    {"a name with a dot is not the path", "{\"a.b\":true}", "a.b", CLAIM_ABSENT},
    {"a longer name is not the path", "{\"a\":{\"bc\":true}}", "a.b", CLAIM_ABSENT},
    {"a shorter name is not the path", "{\"a\":{\"b\":true}}", "a.bc", CLAIM_ABSENT},
    {"letter case counts", "{\"a\":{\"B\":true}}", "a.b", CLAIM_ABSENT},
    {"an escaped name is the name", "{\"\\u0061\":{\"b\":true}}", "a.b", CLAIM_TRUE},
    {"trailing dot", "{\"a\":{\"b\":true}}", "a.b.", CLAIM_ABSENT},
    {"empty path", "{\"a\":true}", "", CLAIM_ABSENT},
};

static void finds_claims(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *payload = json_loads(cases[i].payload, 0, NULL);

        assert_non_null(payload);
        if (claim_find(payload, cases[i].path) != cases[i].expected)
            fail_msg("%s: got %d", cases[i].name, (int)claim_find(payload, cases[i].path));
        json_decref(payload);
    }
}

static void no_payload_has_no_claim(void **state)
{
    assert_int_equal(claim_find(NULL, "a"), CLAIM_ABSENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_claims),
        cmocka_unit_test(no_payload_has_no_claim),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
