/*
 * A table of short stories, and a long random one that is compared step by step with a simulation
 * which remembers every stanza.
 */
#include "tests/unit/alloc.h"
#include "xmpp/sm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* p passed, w withheld, a added, b passed behind one of ours that was passed in its place; then a
 * receiver that has h, and what the sender is told. */
static const struct {
    const char *name, *events;
    uint32_t h, expected;
} cases[] = {
    {"nothing yet", "", 0, 0},
    {"all passed", "ppp", 2, 2},
    {"withheld in the middle, not reached", "pwp", 0, 0},
    {"withheld in the middle, at the boundary", "pwp", 1, 2},
    {"withheld in the middle, past it", "pwp", 2, 3},
    {"withheld first counts at once", "wp", 0, 1},
    {"only withheld", "www", 0, 3},
    {"withheld last", "pw", 1, 2},
    {"added first, not seen", "ap", 0, 0},
    {"added first, seen", "ap", 1, 0},
    {"added first, past it", "ap", 2, 1},
    {"added twice, one seen", "paap", 2, 1},
    {"answered by us: withheld and added", "wa", 0, 1},
    {"answered by us, answer seen", "wa", 1, 1},
    {"added before withheld", "aw", 0, 0},
    {"added before withheld, seen", "aw", 1, 1},
    {"withheld behind an unseen stanza", "pwpw", 1, 2},
    {"more than was sent", "pw", 5, 6},
    {"behind one of ours, neither seen", "ppb", 1, 1},
    {"behind one of ours, only that seen", "ppb", 2, 1},
    {"behind one of ours, both seen", "ppb", 3, 2},
    {"behind one of ours, past it", "ppbp", 4, 3},
};

static void play(struct sm_direction *d, const char *events)
{
    for (; *events != '\0'; events++) {
        if (*events == 'p')
            sm_passed(d);
        else if (*events == 'w')
            assert_true(sm_withheld(d));
        else if (*events == 'a')
            assert_true(sm_added(d));
        else
            assert_true(sm_passed_behind(d));
    }
}

/* Each story begins at 0, and again where the counters are about to wrap. */
static void test_cases(void **state)
{
    static const uint32_t bases[] = {0, UINT32_MAX, UINT32_MAX - 1, UINT32_MAX - 2, 0x7fffffff};

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        for (size_t j = 0; j < sizeof(bases) / sizeof(*bases); j++) {
            struct sm sm;
            uint32_t to = bases[j], from = bases[j] / 2; /* they need not begin together */
            sm_init(&sm);
            sm_start_up(&sm);
            sm.up.to = to;
            sm.up.from = from;
            play(&sm.up, cases[i].events);
            if (sm_translate(&sm.up, to + cases[i].h) != from + cases[i].expected ||
                sm_ack(&sm.up, to + cases[i].h) != from + cases[i].expected ||
                sm_translate(&sm.up, to + cases[i].h) != from + cases[i].expected)
                fail_msg("%s, from %u", cases[i].name, bases[j]);
            sm_done(&sm);
        }
    }
}

static void test_start(void **state)
{
    struct sm sm;

    sm_init(&sm);
    assert_false(sm.enabled);
    play(&sm.down, "pp");
    sm_start_up(&sm);
    assert_true(sm.enabled);
    play(&sm.up, "pwa");
    play(&sm.down, "aw");
    sm_start_down(&sm); /* the server's count begins behind its <enabled/> */
    assert_int_equal(sm_translate(&sm.down, 0), 0);
    assert_int_equal(sm_translate(&sm.up, 1), 2);
    sm_done(&sm);
    assert_false(sm.enabled);
    sm_done(&sm);
}

/* An acknowledgement of more than was sent must not make us forget. */
static void test_ack_too_high(void **state)
{
    struct sm sm;

    sm_init(&sm);
    sm_start_down(&sm);
    play(&sm.down, "papw");
    assert_int_equal(sm_ack(&sm.down, 9), 9);
    assert_int_equal(sm_ack(&sm.down, 1), 1);
    assert_int_equal(sm_ack(&sm.down, 2), 1);
    assert_int_equal(sm_ack(&sm.down, 3), 3);
    assert_int_equal(sm.down.marks_len, 0);
    sm_done(&sm);
}

static void test_rewind(void **state)
{
    struct sm sm;

    sm_init(&sm);
    sm_start_up(&sm);
    play(&sm.up, "pwpapw");
    assert_int_equal(sm_rewind(&sm.up, 1), 2); /* the first two are done */
    play(&sm.up, "ppw"); /* the client sends the rest again; nothing is added this time */
    assert_int_equal(sm.up.from, 5);
    assert_int_equal(sm.up.to, 3);
    assert_int_equal(sm_ack(&sm.up, 3), 5);
    sm_done(&sm);
}

static void test_too_many_marks(void **state)
{
    struct sm sm;

    sm_init(&sm);
    sm_start_up(&sm);
    for (int i = 0; i < SM_MARKS_MAX; i++)
        assert_true(i % 2 ? sm_withheld(&sm.up) : sm_added(&sm.up));
    uint32_t from = sm.up.from, to = sm.up.to;
    assert_false(sm_withheld(&sm.up));
    assert_false(sm_added(&sm.up));
    assert_int_equal(sm.up.from, from);
    assert_int_equal(sm.up.to, to);
    sm_ack(&sm.up, to);
    assert_true(sm_added(&sm.up));
    sm_done(&sm);
}

static void test_no_memory(void **state)
{
    bool hit = true;

    for (long n = 0; hit; n++) {
        struct sm sm;
        bool counted = true;
        alloc_track_on();
        alloc_fail_after(n);
        sm_init(&sm);
        sm_start_up(&sm);
        for (int i = 0; i < 20 && counted; i++)
            counted = i % 2 ? sm_withheld(&sm.up) : sm_added(&sm.up);
        hit = alloc_failed();
        alloc_fail_off();
        assert_int_equal(counted, !hit);
        assert_int_equal(sm.up.from + sm.up.to, sm.up.marks_len);
        sm_done(&sm);
        assert_int_equal(alloc_live(), 0);
        alloc_track_off();
    }
}

/* ---- the long story ---- */

#define STEPS 10000

/* Every stanza since the beginning, in order. */
struct reference {
    char events[STEPS + 1];
    size_t len;
    size_t acked; /* of those the receiver was sent */
};

static size_t sent_to_receiver(const struct reference *r)
{
    size_t count = 0;
    for (size_t i = 0; i < r->len; i++)
        count += r->events[i] != 'w';
    return count;
}

/* The events up to and with the receiver's h, and those withheld right behind. */
static size_t handled_events(const struct reference *r, size_t h)
{
    size_t i = 0;
    for (size_t seen = 0; i < r->len; i++) {
        if (r->events[i] != 'w' && seen++ == h)
            break;
    }
    return i;
}

static uint32_t reference_translate(const struct reference *r, size_t h)
{
    uint32_t count = 0;
    size_t handled = handled_events(r, h);
    for (size_t i = 0; i < handled; i++)
        count += r->events[i] != 'a';
    return count;
}

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

/* An acknowledgement (or a resumption) at a random place between the last one and what was sent. */
static void random_ack(struct sm_direction *d, struct reference *r, uint32_t base, uint32_t *seed,
                       bool resume)
{
    size_t h = r->acked + next_random(seed) % (sent_to_receiver(r) - r->acked + 1);
    uint32_t expected = base + reference_translate(r, h);

    assert_int_equal(sm_translate(d, base + (uint32_t)h), expected);
    if (resume) {
        assert_int_equal(sm_rewind(d, base + (uint32_t)h), expected);
        r->len = handled_events(r, h);
    } else {
        assert_int_equal(sm_ack(d, base + (uint32_t)h), expected);
    }
    r->acked = h;
}

static void random_story(uint32_t seed, uint32_t base)
{
    struct reference *r = calloc(1, sizeof(*r));
    struct sm sm;

    assert_non_null(r);
    sm_init(&sm);
    sm_start_down(&sm);
    sm.down.from = sm.down.to = base;
    for (int step = 0; step < STEPS; step++) {
        uint32_t dice = next_random(&seed) % 100;
        if (dice < 40) {
            sm_passed(&sm.down);
            r->events[r->len++] = 'p';
        } else if (dice < 65) {
            assert_true(sm_withheld(&sm.down));
            r->events[r->len++] = 'w';
        } else if (dice < 90) {
            assert_true(sm_added(&sm.down));
            r->events[r->len++] = 'a';
        } else {
            random_ack(&sm.down, r, base, &seed, dice >= 98);
        }
        assert_int_equal(sm.down.to, base + (uint32_t)sent_to_receiver(r));
        assert_int_equal(sm.down.from, base + reference_translate(r, sent_to_receiver(r)));
    }
    sm_done(&sm);
    free(r);
}

static void test_random(void **state)
{
    random_story(1, 0);
    random_story(2, UINT32_MAX - 100);
    random_story(3, UINT32_MAX / 2 - 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),          cmocka_unit_test(test_start),
        cmocka_unit_test(test_ack_too_high),   cmocka_unit_test(test_rewind),
        cmocka_unit_test(test_too_many_marks), cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
