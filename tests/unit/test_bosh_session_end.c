/*
 * How BOSH sessions end, whoever ends them, what they may cost until then, and what is left of them
 * (see bosh_story.h).
 */
#include "tests/unit/alloc.h"
#include "tests/unit/bosh_story.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct step silent[] = {
    BEGIN,
    {1000, "tick", "", ""},
    {60059, "tick", "", ""},
    {60060, "tick", "", "ended:silent"},
    {60060, "done", "y", ""},
    END,
};

static const struct step silent_connection[] = {
    BEGIN,
    {1000, "post", "B 11", ""},
    {2000, "gone", "B", ""},
    {61999, "tick", "", ""},
    {62000, "tick", "", "ended:silent"},
    END,
};

static const struct step silent_before_its_turn[] = {
    BEGIN,
    {1000, "post", "B 12", ""},
    {115999, "tick", "", ""},
    {116000, "tick", "", "B!item-not-found{} ended:broken"},
    END,
};

static const struct step stopped_and_left[] = {
    BEGIN,
    {100, "stop", "", ""},
    {110, "post", "B 11 type='terminate'|<iq/>", ""},
    {120, "post", "C 12|<iq/>", "C!item-not-found{}"},
    {130, "go", "", IQ " close B!{} ended:client"},
    END,
};

static const struct step born_and_dead[] = {
    {0, "new", "A 10 to='meet' wait='60' hold='1' type='terminate'", ""},
    {0, "go", "", "open:meet close A!{} ended:client"},
    END,
};

static const struct step server_closes[] = {
    BEGIN,
    {100, "post", "B 11", ""},
    {110, "say", ERROR, ""},
    {110, "say", CLOSED, ""},
    {110, "flush", "", "B!remote-stream-error{" ERROR "} close ended:client"},
    {110, "done", "y", ""},
    END,
};

static const struct step server_closes_quietly[] = {
    BEGIN,
    {100, "send", "<m/>", ""},
    {110, "send", CLOSED, ""}, /* nobody to tell yet */
    {110, "done", "n", ""},
    {120, "post", "B 11", "B!{<m/>} close ended:client"},
    END,
};

static const struct step server_closes_while_stopped[] = {
    BEGIN,
    {90, "stop", "", ""},
    {100, "post", "B 11|<iq/>", ""},
    {110, "send", CLOSED, "B!{}"},
    {120, "post", "C 12", "C!item-not-found{}"},
    {130, "close", "", ""},
    {130, "done", "y", ""},
    END,
};

static const struct step let_go[] = {
    BEGIN,
    {100, "post", "B 11", ""},
    {105, "post", "C 13", ""},
    {110, "say", "<m/>", ""},
    {110, "close", "remote-connection-failed",
     "B!remote-connection-failed{<m/>} C!remote-connection-failed{}"},
    {110, "done", "y", ""},
    {120, "send", "<m/>", ""},
    {60000, "tick", "", ""},
    END,
};

static const struct step let_go_later[] = {
    BEGIN,
    {100, "say", ERROR, ""},
    {110, "close", "", ""},
    {110, "done", "n", ""},
    {120, "tick", "", ""},
    {120, "post", "B 10 to='meet'", "B*{" FEATURES "}"}, /* an answer is still repeated */
    {125, "post", "E 9", "E!item-not-found{}"},          /* not worth the last words */
    {125, "done", "n", ""},
    {130, "post", "C 11|<iq/>", "C!remote-stream-error{" ERROR "}"},
    {130, "done", "y", ""},
    {140, "post", "D 12", "D!item-not-found{}"},
    END,
};

static const struct step let_go_at_birth[] = {
    {0, "new", "A 10 to='meet' wait='60' hold='1'", ""},
    {0, "close", "host-unknown", "A!host-unknown{}"},
    {0, "go", "", ""},
    {0, "done", "y", ""},
    END,
};

static const struct step let_go_within[] = {
    BEGIN,
    {100, "post", "B 11", ""},
    {110, "within", "close undefined-condition", ""},
    {110, "post", "C 12|<iq/><a/>", IQ " B!undefined-condition{} C!undefined-condition{}"},
    {110, "done", "y", ""},
    END,
};

static const struct step broken[] = {
    BEGIN,
    {100, "post", "B 11", ""},
    {110, "say", "<m/>", ""},
    {120, "break", "bad-request", "B!bad-request{<m/>} ended:broken"},
    {120, "done", "y", ""},
    {130, "break", "bad-request", ""},
    END,
};

static const struct step broken_when_let_go[] = {
    BEGIN, {100, "close", "", ""}, {110, "break", "bad-request", ""}, {120, "post", "B 11", "B!{}"},
    END,
};

static const struct story_case stories[] = {
    {"broken", broken},
    {"broken when let go", broken_when_let_go},
    {"silent", silent},
    {"silent, the connection broken", silent_connection},
    {"silent before its turn", silent_before_its_turn},
    {"stopped and left", stopped_and_left},
    {"terminated at once", born_and_dead},
    {"the server closes", server_closes},
    {"the server closes quietly", server_closes_quietly},
    {"the server closes while stopped", server_closes_while_stopped},
    {"let go", let_go},
    {"let go later", let_go_later},
    {"let go at birth", let_go_at_birth},
    {"let go within a message", let_go_within},
};

static void test_stories(void **state)
{
    check_stories(stories, sizeof(stories) / sizeof(stories[0]));
}

/* Without end, there is one. */
static void test_too_much(void **state)
{
    static const struct step begin[] = {BEGIN, {70, "stop", "", ""}, END};
    struct story s = {.parser = parser_new()};
    struct buf text = BUF_INIT;
    play_all(&s, begin);
    size_t posts = 0;
    for (; !s.is_over && posts < 100; posts++) {
        const struct step answered = {100, "send", "<m/>", ""};
        struct step step = {100, "post", NULL, ""};
        buf_clear(&text);
        buf_printf(&text, "B %zu|<a>%0100000d</a>", posts + 11, 0);
        step.argument = text.data;
        buf_clear(&s.log);
        play(&s, &step);
        if (!s.is_over)
            play(&s, &answered);
    }
    assert_int_equal(posts, 11);
    assert_string_equal(s.log.data, "B!policy-violation{} ended:broken");
    buf_done(&text);
    story_done(&s);
}

/* Empty requests one upon the other are too many; such as carry something are not. */
static void test_overactive(void **state)
{
    static const struct {
        const char *children;
        int64_t step_ms;
        size_t expected;
    } cases[] = {{"", 0, 22}, {"", 10, 22}, {"", 300, 100}, {"<a/>", 0, 100}};
    static const struct step begin[] = {BEGIN, END};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct story s = {.parser = parser_new()};
        size_t posts = 0;
        play_all(&s, begin);
        for (; !s.is_over && posts < 100; posts++) {
            struct step step = {100 + (int64_t)posts * cases[i].step_ms, "post", NULL, ""};
            char text[64];
            snprintf(text, sizeof(text), "%c %zu|%s", posts % 2 ? 'B' : 'C', posts + 11,
                     cases[i].children);
            step.argument = text;
            buf_clear(&s.log);
            play(&s, &step);
        }
        assert_int_equal(posts, cases[i].expected);
        if (s.is_over)
            assert_string_equal(s.log.data,
                                "C!policy-violation{} B!policy-violation{} ended:broken");
        story_done(&s);
    }
}

/* However large one entity may be: what is in it may wait, and no second one. */
static void test_much_at_once(void **state)
{
    static const struct step begin[] = {BEGIN, {70, "stop", "", ""}, END};
    static const size_t len = 1500 * 1000;
    for (int i = 0; i < 3; i++) {
        struct story s = {.parser = parser_new()};
        struct buf text = BUF_INIT;
        struct step step = {100, "post", NULL, ""};
        play_all(&s, begin);
        if (i > 0)
            bosh_session_set_entity_max(s.session, len);
        for (int rid = 11; rid < 11 + (i ? i : 1); rid++) {
            buf_clear(&text);
            buf_printf(&text, "%c %d|<a>%0*d</a>", 'A' + rid, rid, (int)len - 100, 0);
            step.argument = text.data;
            play(&s, &step);
        }
        assert_int_equal(s.is_over, i != 1);
        buf_done(&text);
        story_done(&s);
    }
}

/* What is kept for repetitions is what can have been lost, and no more than one long answer. */
static void test_size(void **state)
{
    static const struct step begin[] = {BEGIN, END};
    static const struct step turns[] = {
        {100, "post", "B 11", ""},
        {110, "much", "", ""},
        {110, "much", "", ""},
        {110, "much", "", ""},
        {110, "flush", "", ""},
        {120, "post", "C 12", ""},
        {130, "much", "", ""},
        {130, "much", "", ""},
        {130, "much", "", ""},
        {130, "flush", "", ""},
        END,
    };
    static const struct step repeated[] = {{140, "post", "D 11", "D!item-not-found{}"}, END};
    static const struct step taken[] = {
        {150, "post", "E 13", ""}, {160, "send", "<m/>", ""}, {170, "post", "F 14", ""}, END};
    struct story s = {.parser = parser_new()};
    play_all(&s, begin);
    size_t before = bosh_session_size(s.session);
    play_all(&s, turns);
    assert_true(bosh_session_size(s.session) < before + 512 * 1024);
    play_all(&s, repeated); /* ends nothing */
    assert_string_equal(s.log.data, repeated[0].expected);
    play_all(&s, taken);
    assert_true(bosh_session_size(s.session) < before + 4096);
    story_done(&s);
}

/* Once let go it holds what is to be said and the last answer. */
static void test_size_let_go(void **state)
{
    static const struct step begin[] = {BEGIN, {70, "stop", "", ""}, END};
    static const struct step end[] = {
        {200, "gone", "B", ""}, {200, "gone", "C", ""}, {200, "close", "", ""}, END};
    struct story s = {.parser = parser_new()};
    struct buf text = BUF_INIT;
    struct step step = {100, "post", NULL, ""};
    play_all(&s, begin);
    size_t before = bosh_session_size(s.session);
    for (int rid = 11; rid < 14; rid += 2) { /* one waits for the stream, one for its turn */
        buf_clear(&text);
        buf_printf(&text, "%c %d|<a>%0200000d</a>", rid == 11 ? 'B' : 'C', rid, 0);
        step.argument = text.data;
        play(&s, &step);
    }
    assert_true(bosh_session_size(s.session) > before + 400000);
    play_all(&s, end);
    assert_true(bosh_session_size(s.session) <= before);
    assert_false(bosh_session_is_done(s.session));
    buf_done(&text);
    story_done(&s);
}

/* --- Out of memory: every request is answered once all the same, and the end is told --- */

struct count {
    int answers[8], ends;
    enum bosh_end why;
};

static void count_message(void *ctx, const char *data, size_t len)
{
    assert_int_equal(data[0], '<');
}

static void count_answer(void *ctx, void *request, const char *body, size_t len)
{
    ++*(int *)request;
    assert_int_equal(body[len - 1], '>');
}

static void count_end(void *ctx, enum bosh_end why, const char *detail)
{
    struct count *count = ctx;
    count->ends++;
    count->why = why;
}

static bool live_through(struct count *c, const struct bosh_body *bodies)
{
    static const struct bosh_actions counting = {count_message, count_answer, NULL, count_end};
    struct bosh_session *b = bosh_session_new(SID, &bodies[0], &c->answers[0], &counting, c, 0);
    if (!b)
        return false;
    bosh_session_go(b);
    bosh_session_send(b, OPENED, strlen(OPENED));
    bosh_session_send(b, FEATURES, strlen(FEATURES));
    bosh_session_flush(b, 0);
    static const int turns[] = {2, 1, 3};
    for (size_t i = 0; i < 3 && c->ends == 0; i++) {
        if (i == 2)
            bosh_session_stop(b);
        bosh_session_request(b, &bodies[turns[i]], &c->answers[turns[i]], 10);
        if (c->ends == 0)
            bosh_session_send(b, IQ, strlen(IQ));
        if (c->ends == 0)
            bosh_session_flush(b, 20);
    }
    if (c->ends == 0)
        bosh_session_go(b);
    if (c->ends == 0)
        bosh_session_request(b, &bodies[4], &c->answers[4], 30);
    assert_int_equal(c->ends, 1);
    bosh_session_free(b);
    return true;
}

static void test_no_memory(void **state)
{
    static const char *const posts[] = {"A 10 to='meet'|<a/>", "B 11|<a/>", "C 12|<a/><b/>",
                                        "D 13|<a/>", "E 14 type='terminate'|<a/>"};
    struct story s = {.parser = parser_new()};
    struct bosh_body bodies[5] = {0};
    for (size_t i = 0; i < 5; i++)
        read_post(&s, posts[i], &bodies[i]);
    for (long n = 0, hit = 1; hit; n++) {
        struct count c = {0};
        alloc_track_on();
        alloc_fail_after(n);
        bool is_made = live_through(&c, bodies);
        hit = alloc_failed();
        alloc_fail_off();
        if (is_made)
            assert_true(c.why == BOSH_END_CLIENT || hit);
        for (size_t i = 0; i < 5; i++)
            assert_true(c.answers[i] <= 1 && (c.answers[i] == 1 || hit));
        assert_int_equal(alloc_live(), 0);
        alloc_track_off();
    }
    for (size_t i = 0; i < 5; i++)
        bosh_body_done(&bodies[i]);
    parser_free(s.parser);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stories),      cmocka_unit_test(test_too_much),
        cmocka_unit_test(test_much_at_once), cmocka_unit_test(test_overactive),
        cmocka_unit_test(test_size),         cmocka_unit_test(test_size_let_go),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
