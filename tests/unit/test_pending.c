/*
 * Requests and their answers: each waiter hears exactly one thing, or nothing where it was
 * forgotten.
 */
#include "proxy/pending.h"
#include "tests/unit/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What was told, one letter of the status and the waiter's name each: "Oa Tb ". */
static char told[4096];
static struct pending *pending;

struct waiter {
    const char *name;
    const struct element *answer;
    /* What it does while it is told. */
    void (*then)(struct waiter *w);
    const char *id;
    int64_t deadline;
    struct waiter *next;
};

static void on_told(void *ctx, enum answer_status status, const struct element *answer)
{
    struct waiter *w = ctx;
    size_t len = strlen(told);

    snprintf(told + len, sizeof(told) - len, "%c%s ", "OETLU"[status], w -> name);
    w->answer = answer;
    if (w->then)
        w->then(w);
}

static void add(const char *id, int64_t deadline, struct waiter *w)
{
    assert_true(pending_add(pending, id, "room@muc", deadline, on_told, w));
}

static void expect(const char *expected)
{
    assert_string_equal(told, expected);
    told[0] = '\0';
}

static int setup(void **state)
{
    told[0] = '\0';
    pending = pending_new();
    return pending ? 0 : -1;
}

static int teardown(void **state)
{
    pending_free(pending);
    return 0;
}

static void test_answers(void **state)
{
    struct waiter a = {"a"}, b = {"b"};
    const struct element answer = {.name = "iq"};

    add("1", 100, &a);
    add("2", 100, &b);
    assert_int_equal(pending_count(pending), 2);
    pending_answer(pending, "3", ANSWER_OK, &answer);
    pending_answer(pending, "", ANSWER_OK, &answer);
    expect("");
    pending_answer(pending, "2", ANSWER_ERROR, &answer);
    assert_ptr_equal(b.answer, &answer);
    pending_answer(pending, "1", ANSWER_OK, &answer);
    assert_ptr_equal(a.answer, &answer);
    expect("Eb Oa ");
    pending_answer(pending, "2", ANSWER_OK, &answer); /* a second one (wire fact 11) */
    pending_tick(pending, 1000);
    pending_lose_all(pending);
    expect("");
    assert_int_equal(pending_count(pending), 0);
}

static void test_from(void **state)
{
    char id[] = "1", from[] = "room@muc";
    struct waiter a = {"a"};

    assert_null(pending_from(pending, "1"));
    assert_true(pending_add(pending, id, from, 100, on_told, &a));
    id[0] = from[0] = 'x'; /* both were copied */
    assert_string_equal(pending_from(pending, "1"), "room@muc");
    assert_null(pending_from(pending, "x"));
    assert_true(pending_add(pending, "2", "", 100, on_told, &a));
    assert_string_equal(pending_from(pending, "2"), "");
    pending_answer(pending, "1", ANSWER_OK, NULL);
    assert_null(pending_from(pending, "1"));
}

static void test_timeouts(void **state)
{
    struct waiter a = {"a"}, b = {"b"}, c = {"c"};
    const struct element answer = {.name = "iq"};

    a.answer = &answer;
    pending_tick(pending, 1000);
    add("1", 100, &a);
    add("2", 100, &b);
    add("3", 101, &c);
    pending_tick(pending, 99);
    expect("");
    pending_tick(pending, 100);
    expect("Ta Tb ");
    assert_null(a.answer);
    pending_answer(pending, "1", ANSWER_OK, &answer); /* late */
    expect("");
    pending_answer(pending, "3", ANSWER_OK, &answer); /* just in time */
    pending_tick(pending, 1000);
    expect("Oc ");
}

static void test_lost_and_forgotten(void **state)
{
    struct waiter a = {"a"}, b = {"b"}, c = {"c"};
    const struct element answer = {.name = "iq"};

    add("1", 100, &a);
    add("2", 100, &b);
    add("3", 100, &c);
    assert_true(pending_forget(pending, "2"));
    assert_false(pending_forget(pending, "2"));
    assert_false(pending_forget(pending, "9"));
    pending_answer(pending, "2", ANSWER_OK, &answer);
    expect("");
    pending_lose_all(pending);
    expect("La Lc ");
    assert_null(a.answer);
    assert_int_equal(pending_count(pending), 0);
    add("1", 100, &a); /* the table goes on */
    pending_answer(pending, "1", ANSWER_OK, &answer);
    expect("Oa ");
}

static void test_free_tells_nobody(void **state)
{
    struct waiter a = {"a"};

    add("1", 100, &a);
    pending_free(pending);
    pending = NULL;
    expect("");
    pending_free(NULL);
}

/* Callbacks that use the table while they are told. */

static void add_next(struct waiter *w)
{
    add(w->id, w->deadline, w->next);
}

static void forget_id(struct waiter *w)
{
    (void)pending_forget(pending, w->id);
}

static void answer_id(struct waiter *w)
{
    pending_answer(pending, w->id, ANSWER_OK, NULL);
}

static void test_adding_while_told(void **state)
{
    struct waiter again = {"again"};
    struct waiter a = {"a", .then = add_next, .id = "1", .deadline = 200, .next = &again};

    add("1", 100, &a); /* its own id is free by then */
    pending_answer(pending, "1", ANSWER_OK, NULL);
    expect("Oa ");
    assert_int_equal(pending_count(pending), 1);
    pending_answer(pending, "1", ANSWER_OK, NULL);
    expect("Oagain ");
    add("1", 100, &a);
    pending_tick(pending, 100);
    expect("Ta ");
    pending_tick(pending, 200);
    expect("Tagain ");
}

/* One who asks again at once, already too late or on a stream that is lost, must not keep the
 * caller for ever. */
static void test_adding_without_end(void **state)
{
    struct waiter a = {"a", .then = add_next, .id = "1", .deadline = 100};
    struct waiter b = {"b"};

    a.next = &a;
    add("1", 100, &a);
    add("2", 100, &b);
    pending_tick(pending, 100);
    expect("Ta Tb ");
    add("2", 100, &b);
    pending_lose_all(pending);
    expect("La Lb ");
    assert_int_equal(pending_count(pending), 1);
    a.then = NULL;
    pending_tick(pending, 100);
    expect("Ta ");
}

static void test_forgetting_while_told(void **state)
{
    struct waiter a = {"a", .then = forget_id, .id = "1"}; /* itself: gone already */
    struct waiter b = {"b", .then = forget_id, .id = "3"}; /* the next */
    struct waiter c = {"c"};
    struct waiter d = {"d", .then = forget_id, .id = "5"}; /* the last */
    struct waiter e = {"e"};

    for (int how = 0; how < 2; how++) {
        add("1", 100, &a);
        add("2", 100, &b);
        add("3", 100, &c);
        add("4", 100, &d);
        add("5", 100, &e);
        if (how == 0)
            pending_tick(pending, 100);
        else
            pending_lose_all(pending);
        expect(how == 0 ? "Ta Tb Td " : "La Lb Ld ");
        assert_int_equal(pending_count(pending), 0);
    }
}

static void test_answering_while_told(void **state)
{
    struct waiter a = {"a", .then = answer_id, .id = "2"};
    struct waiter b = {"b", .then = answer_id, .id = "1"};

    add("1", 100, &a);
    add("2", 100, &b);
    pending_lose_all(pending);
    expect("La Ob ");
    add("1", 100, &a);
    add("2", 100, &b);
    pending_tick(pending, 100);
    expect("Ta Ob ");
}

static void test_limit(void **state)
{
    struct waiter a = {"a"};
    char id[24];

    for (int i = 0; i < PENDING_MAX; i++) {
        snprintf(id, sizeof(id), "id-%d", i);
        add(id, 100, &a);
    }
    assert_false(pending_add(pending, "one more", "", 100, on_told, &a));
    assert_int_equal(pending_count(pending), PENDING_MAX);
    assert_true(pending_forget(pending, "id-7"));
    add("one more", 100, &a);
    assert_non_null(pending_from(pending, "one more"));
}

/* Enough requests for the table to grow: what was added is told, what was not is not. */
static void test_no_memory(void **state)
{
    enum { REQUESTS = 300 };
    static struct waiter waiters[REQUESTS];
    static char expected[sizeof(told)];

    for (long n = 0, hit = 1; hit; n++) {
        char id[24];
        long refused = 0;

        expected[0] = '\0';
        alloc_track_on();
        alloc_fail_after(n);
        struct pending *p = pending_new();
        for (int i = 0; p && i < REQUESTS; i++) {
            waiters[i] = (struct waiter){.name = i % 2 ? "o" : "e"};
            snprintf(id, sizeof(id), "%d", i);
            if (!pending_add(p, id, "", 100, on_told, &waiters[i]))
                refused++;
            else
                strcat(expected, i % 2 ? "To " : "Te ");
        }
        hit = alloc_failed();
        alloc_fail_off();
        assert_int_equal(p ? refused : 1, hit);
        if (p) {
            assert_int_equal(pending_count(p), REQUESTS - refused);
            pending_tick(p, 100);
        }
        expect(expected);
        pending_free(p);
        assert_int_equal(alloc_live(), 0);
        alloc_track_off();
    }
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_answers),
        TEST(test_from),
        TEST(test_timeouts),
        TEST(test_lost_and_forgotten),
        TEST(test_free_tells_nobody),
        TEST(test_adding_while_told),
        TEST(test_adding_without_end),
        TEST(test_forgetting_while_told),
        TEST(test_answering_while_told),
        TEST(test_limit),
        TEST(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
