/*
 * Sessions and the table of resumable ones. The rooms are stand-ins that write down what they hear.
 *
 * What a newcomer gets wrong: session_leave owns the session, so after it a test may only look at
 * one that is suspended.
 */
#include "proxy/session.h"
#include "tests/unit/alloc.h"
#include "policy/rooms.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TABLE_MAX 4

struct rooms {
    char heard[1024];
};

struct stream {
    int unused;
};

static struct rooms rooms;
static struct stream first, second;
static struct sessions *table;

__attribute__((format(printf, 2, 3))) static void hear(struct rooms *r, const char *fmt, ...)
{
    size_t len = strlen(r->heard);
    va_list args;

    va_start(args, fmt);
    vsnprintf(r->heard + len, sizeof(r->heard) - len, fmt, args);
    va_end(args);
}

void rooms_suspended(struct rooms *r, const char *full_jid, int64_t until, int64_t now)
{
    hear(r, "suspended %s until %" PRId64 " at %" PRId64 "; ", full_jid, until, now);
}

void rooms_resumed(struct rooms *r, const char *full_jid, int64_t now)
{
    hear(r, "resumed %s at %" PRId64 "; ", full_jid, now);
}

void rooms_gone(struct rooms *r, const char *full_jid, int64_t now)
{
    hear(r, "gone %s at %" PRId64 "; ", full_jid, now);
}

static void expect(const char *heard)
{
    assert_string_equal(rooms.heard, heard);
    rooms.heard[0] = '\0';
}

static int setup(void **state)
{
    rooms.heard[0] = '\0';
    table = sessions_new(&rooms, TABLE_MAX);
    return table ? 0 : -1;
}

static int teardown(void **state)
{
    sessions_free(table);
    return 0;
}

/* A session of first, bound to jid (NULL: not yet), resumable by id (NULL: not) for 100 ms. */
static struct session *make(const char *jid, const char *id)
{
    struct session *s = session_new(&first);

    assert_non_null(s);
    if (jid)
        assert_true(session_bind(s, jid));
    if (id)
        assert_true(session_resumable(table, s, id, 100, 0));
    return s;
}

static void test_bind(void **state)
{
    static const struct {
        const char *jid, *full, *bare; /* full NULL: refused */
    } cases[] = {
        {"user@meet.example.com/a/b@c", "user@meet.example.com/a/b@c", "user@meet.example.com"},
        {"User@MEET.example.com/Nick", "user@meet.example.com/Nick", "user@meet.example.com"},
        {"meet.example.com/x", "meet.example.com/x", "meet.example.com"},
        {"user@meet.example.com", NULL, NULL},
        {"user@meet.example.com/", NULL, NULL},
        {"@/", NULL, NULL},
        {"", NULL, NULL},
        {"us er@meet.example.com/x", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct session *s = make(NULL, NULL);

        assert_null(s->full_jid);
        bool bound = session_bind(s, cases[i].jid);
        if (bound != (cases[i].full != NULL) ||
            (bound && (strcmp(s->full_jid, cases[i].full) || strcmp(s->bare_jid, cases[i].bare))) ||
            (!bound && (s->full_jid || s->bare_jid)))
            fail_msg("\"%s\" became %s", cases[i].jid, s->full_jid ? s->full_jid : "nothing");
        session_leave(table, s, true, 0);
    }
}

static void test_bind_again(void **state)
{
    struct session *s = make("a@d/1", NULL);

    assert_false(session_bind(s, "b@d"));
    assert_string_equal(s->full_jid, "a@d/1");
    assert_true(session_bind(s, "b@d/2"));
    assert_string_equal(s->full_jid, "b@d/2");
    assert_string_equal(s->bare_jid, "b@d");
    session_leave(table, s, true, 5);
    expect("gone b@d/2 at 5; ");
}

static void test_places(void **state)
{
    struct session *s = make("a@d/1", NULL);
    char room[] = "r@c", nick[] = "nick";

    assert_null(session_find_place(s, "r@c", false));
    session_exit(s, "r@c", false);
    assert_true(session_enter(s, room, nick, false));
    room[0] = nick[0] = 'x'; /* both were copied */
    assert_string_equal(session_find_place(s, "r@c", false)->nick, "nick");
    assert_null(session_find_place(s, "r@c", true)); /* a lobby bears its room's name */
    assert_true(session_enter(s, "r@c", "waiting", true));
    assert_true(session_enter(s, "q@c", "nick", false));
    assert_int_equal(s->places_len, 3);
    assert_true(session_enter(s, "r@c", "nick", false)); /* once more */
    assert_true(session_enter(s, "r@c", "other", false));
    assert_int_equal(s->places_len, 3);
    assert_string_equal(session_find_place(s, "r@c", false)->nick, "other");
    assert_string_equal(session_find_place(s, "r@c", true)->nick, "waiting");
    session_exit(s, "r@c", true);
    assert_null(session_find_place(s, "r@c", true));
    assert_non_null(session_find_place(s, "r@c", false));
    session_exit(s, "r@c", false);
    session_exit(s, "r@c", false);
    assert_int_equal(s->places_len, 1);
    session_leave(table, s, true, 0);
}

static void test_places_limit(void **state)
{
    struct session *s = make("a@d/1", NULL);
    char room[24];

    for (int i = 0; i < SESSION_PLACES_MAX; i++) {
        snprintf(room, sizeof(room), "r%d@c", i);
        assert_true(session_enter(s, room, "n", false));
    }
    assert_false(session_enter(s, "more@c", "n", false));
    assert_true(session_enter(s, "r7@c", "renamed", false));
    session_exit(s, "r0@c", false);
    assert_true(session_enter(s, "more@c", "n", false));
    assert_int_equal(s->places_len, SESSION_PLACES_MAX);
    session_leave(table, s, true, 0);
}

static void test_leave(void **state)
{
    static const struct {
        const char *name, *jid, *id;
        bool clean, suspended;
        const char *heard;
    } cases[] = {
        {"closed", "a@d/1", "i", true, false, "gone a@d/1 at 10; "},
        {"broken", "a@d/1", "i", false, true, "suspended a@d/1 until 110 at 10; "},
        {"broken, not resumable", "a@d/1", NULL, false, false, "gone a@d/1 at 10; "},
        {"broken before bind", NULL, NULL, false, false, ""},
        {"closed before bind", NULL, NULL, true, false, ""},
        {"resumable before bind", NULL, "i", false, false, ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct session *s = make(cases[i].jid, cases[i].id);

        session_leave(table, s, cases[i].clean, 10);
        if ((sessions_find(table, "i") != NULL) != cases[i].suspended)
            fail_msg("%s", cases[i].name);
        expect(cases[i].heard);
        sessions_tick(table, 1000);
        expect(cases[i].suspended ? "gone a@d/1 at 1000; " : "");
        assert_null(sessions_find(table, "i"));
    }
}

static void test_tick(void **state)
{
    struct session *a = make("a@d/1", "a"), *b = make("b@d/1", "b"), *c = make("c@d/1", "c");

    session_leave(table, a, false, 10);
    session_leave(table, b, false, 20);
    expect("suspended a@d/1 until 110 at 10; suspended b@d/1 until 120 at 20; ");
    sessions_tick(table, 109);
    expect("");
    sessions_tick(table, 110);
    expect("gone a@d/1 at 110; ");
    assert_null(sessions_find(table, "a"));
    assert_ptr_equal(sessions_find(table, "b"), b);
    sessions_tick(table, 1000);
    expect("gone b@d/1 at 1000; ");
    assert_ptr_equal(sessions_find(table, "c"), c); /* live: no time runs */
    session_leave(table, c, true, 0);
}

static void test_resume(void **state)
{
    struct session *s = make("a@d/1", "a");

    assert_true(session_enter(s, "r@c", "n", false));
    session_leave(table, s, false, 10);
    assert_null(s->stream);
    rooms.heard[0] = '\0';
    assert_ptr_equal(sessions_find(table, "a"), s);
    session_take(table, s, &second, 50);
    expect("resumed a@d/1 at 50; ");
    assert_ptr_equal(s->stream, &second);
    assert_non_null(session_find_place(s, "r@c", false));
    sessions_tick(table, 1000);
    assert_ptr_equal(sessions_find(table, "a"), s);
    session_leave(table, s, false, 2000); /* and it may break again */
    expect("suspended a@d/1 until 2100 at 2000; ");
    session_take(table, s, &first, 2050);
    session_leave(table, s, true, 2060);
    expect("resumed a@d/1 at 2050; gone a@d/1 at 2060; ");
    assert_null(sessions_find(table, "a"));
}

/* The client is back before its old connection is known to be dead. */
static void test_take_over_live(void **state)
{
    struct session *s = make("a@d/1", "a");

    session_take(table, sessions_find(table, "a"), &second, 50);
    expect("resumed a@d/1 at 50; ");
    assert_ptr_equal(s->stream, &second);
    sessions_tick(table, 1000);
    expect("");
    session_leave(table, s, true, 60);
}

static void test_resumable(void **state)
{
    struct session *a = make("a@d/1", "a"), *b = make("b@d/1", NULL);
    char id[] = "id";

    assert_null(sessions_find(table, "id"));
    assert_true(session_resumable(table, a, id, 100, 0)); /* a new id takes the place of the old */
    id[0] = 'x';
    assert_null(sessions_find(table, "a"));
    assert_ptr_equal(sessions_find(table, "id"), a);
    assert_string_equal(a->resume_id, "id");
    assert_true(session_resumable(table, a, "id", 200, 0));  /* the same id, a new time */
    assert_false(session_resumable(table, b, "id", 100, 0)); /* somebody else's */
    assert_ptr_equal(sessions_find(table, "id"), a);
    assert_null(b->resume_id);
    session_leave(table, b, false, 10);
    session_leave(table, a, false, 10);
    expect("gone b@d/1 at 10; suspended a@d/1 until 210 at 10; ");
}

static void test_table_full(void **state)
{
    static const char *const ids[TABLE_MAX] = {"0", "1", "2", "3"};
    struct session *s[TABLE_MAX], *more = make("more@d/1", NULL);

    for (int i = 0; i < TABLE_MAX; i++)
        s[i] = make("a@d/1", ids[i]);
    assert_false(session_resumable(table, more, "more", 100, 0));
    assert_null(more->resume_id);
    assert_null(sessions_find(table, "more"));
    assert_true(session_resumable(table, s[0], "again", 100, 0)); /* needs no further place */
    session_leave(table, s[1], true, 0);
    assert_true(session_resumable(table, more, "more", 100, 0));
    assert_false(
        session_resumable(table, more, "again", 100, 0)); /* nor is the old id left behind */
    assert_null(more->resume_id);
    assert_null(sessions_find(table, "more"));
    session_leave(table, more, true, 0);
    session_leave(table, s[0], true, 0);
    session_leave(table, s[2], true, 0);
    session_leave(table, s[3], true, 0);
}

/* A flood of sessions that are nowhere takes nobody's place who is in a room, or may be. */
static void test_table_full_of_idle(void **state)
{
    struct session *inside = make("inside@d/1", "inside"), *back = make("back@d/1", "back");
    struct session *old = make("old@d/1", "old"), *young = make("young@d/1", "young");
    struct session *more = make("more@d/1", NULL);

    assert_true(session_enter(inside, "r@c", "n", true));
    session_leave(table, inside, false, 10);
    session_leave(table, back, false, 20);
    session_leave(table, old, false, 30);
    session_leave(table, young, false, 40);
    session_take(table, back, &second, 50);
    rooms.heard[0] = '\0';
    assert_true(session_resumable(table, more, "more", 100, 60));
    expect("gone old@d/1 at 60; ");
    assert_null(sessions_find(table, "old"));
    assert_true(session_resumable(table, more, "again", 100, 70)); /* needs no further place */
    expect("");
    session_leave(table, more, false, 80);
    expect("suspended more@d/1 until 180 at 80; ");
    more = make("stranger@d/1", NULL);
    assert_true(session_resumable(table, more, "stranger", 100, 90));
    expect("gone young@d/1 at 90; ");
    more->is_token_unseen = true;
    session_leave(table, more, false, 100);
    expect("suspended stranger@d/1 until 200 at 100; ");
    more = make("last@d/1", "last");
    expect("gone more@d/1 at 0; ");
    session_leave(table, more, true, 110);
    sessions_limit(table, 2);
    more = make("none@d/1", NULL);
    assert_false(session_resumable(table, more, "none", 100, 120));
    session_leave(table, more, true, 130);
    session_leave(table, back, true, 130);
}

static void test_full_is_said_once_a_minute(void **state)
{
    assert_true(sessions_full_is_news(table, 5));
    assert_false(sessions_full_is_news(table, 60004));
    assert_true(sessions_full_is_news(table, 60005));
    assert_false(sessions_full_is_news(table, 60006));
}

/* The end of the program: what is suspended goes with the table, a live one is its stream's. */
static void test_table_free(void **state)
{
    struct session *suspended = make("a@d/1", "a"), *live = make("b@d/1", "b");

    session_leave(table, suspended, false, 10);
    rooms.heard[0] = '\0';
    sessions_free(table);
    expect("");
    setup(state);
    session_leave(table, live, false, 20); /* can no longer be resumed */
    expect("gone b@d/1 at 20; ");
    sessions_free(NULL);
}

/* The numbers of the answers still kept. */
static void kept(struct session *s, const char *expected)
{
    char text[256] = "";
    size_t count = 0;

    for (struct session_answer *at = s->answers; at; at = at->next, count++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%llu ",
                 (unsigned long long)at->number);
    assert_string_equal(text, expected);
    assert_int_equal(s->answers_len, count);
}

static void put(struct session *s, uint64_t number, enum session_answer_state state, uint32_t at)
{
    struct session_answer *answer = session_find_answer(s, number);

    answer->state = state;
    answer->at = at;
}

static void test_answers(void **state)
{
    struct session *s = make("a@d/1", "a");
    char text[24] = "first";

    assert_non_null(session_keep_answer(s, text, 5));
    text[0] = 'x';
    for (int i = 1; i < SESSION_ANSWERS_MAX; i++)
        assert_non_null(session_keep_answer(s, text, i));
    assert_null(session_keep_answer(s, "more", 5));
    assert_string_equal(session_find_answer(s, 1)->stanza, "first");
    assert_string_equal(session_find_answer(s, 2)->stanza, "xirst");
    assert_int_equal(session_find_answer(s, 1)->since, 5);
    assert_null(session_find_answer(s, SESSION_ANSWERS_MAX + 1));
    for (int i = SESSION_ANSWERS_MAX; i > 3; i--)
        session_forget_answer(s, session_find_answer(s, (uint64_t)i));
    kept(s, "1 2 3 ");
    session_forget_answer(s, session_find_answer(s, 2));
    kept(s, "1 3 ");
    session_leave(table, s, false, 10); /* Prosody brings them, wherever the session goes on */
    kept(s, "");
}

static void test_answers_acknowledged(void **state)
{
    struct session *s = make("a@d/1", "a");

    sm_start_down(&s->sm);
    s->sm.down.to = 20;
    for (int i = 0; i < 4; i++)
        assert_non_null(session_keep_answer(s, "x", 0));
    put(s, 1, ANSWER_HIDDEN, 7);
    put(s, 2, ANSWER_FORWARDED, 0);
    put(s, 3, ANSWER_ADDED, 6);
    session_acknowledged(s, 5);
    kept(s, "1 2 3 4 ");
    session_acknowledged(s, 21); /* more than there was */
    kept(s, "1 2 3 4 ");
    s->sm.up.to = 1;
    session_acknowledged(s, 6); /* what 3 answers may come again */
    kept(s, "1 2 3 4 ");
    s->sm.up.to = 0;
    session_acknowledged(s, 6);
    kept(s, "1 2 4 ");
    session_acknowledged(s, 20);
    kept(s, "2 4 ");
    session_leave(table, s, true, 10);
}

static void test_answers_resumed(void **state)
{
    struct session *s = make("a@d/1", "a");

    sm_start_down(&s->sm);
    assert_true(sm_added(&s->sm.down));
    s->sm.down.to = 20;
    for (int i = 0; i < 6; i++)
        assert_non_null(session_keep_answer(s, "x", 0));
    put(s, 1, ANSWER_HIDDEN, 5);  /* the client has what comes behind: it does not come again */
    put(s, 2, ANSWER_HIDDEN, 12); /* it does */
    put(s, 3, ANSWER_FORWARDED, 0);
    put(s, 4, ANSWER_ADDED, 12); /* not seen, and nobody else has it */
    put(s, 5, ANSWER_UNDECIDED, 0);
    session_leave(table, s, false, 10); /* the counts differ: all is kept */
    kept(s, "1 2 3 4 5 6 ");
    session_resumed(s, 10);
    kept(s, "2 3 4 ");
    assert_int_equal(session_find_answer(s, 2)->state, ANSWER_FORWARDED);
    assert_int_equal(session_find_answer(s, 4)->state, ANSWER_ADDED);
}

/* Everything that allocates, in one life. False when something could not be done; what failed must
 * have left the session as it was. */
static bool live(struct sessions *t)
{
    struct session *s = session_new(&first);
    bool done;

    if (!s)
        return false;
    done = session_bind(s, "a@d/1");
    assert_int_equal(s->full_jid != NULL, done);
    assert_int_equal(s->bare_jid != NULL, done);
    if (done) {
        done = session_bind(s, "b@d/2");
        assert_string_equal(s->full_jid, done ? "b@d/2" : "a@d/1");
        assert_string_equal(s->bare_jid, done ? "b@d" : "a@d");
    }
    if (done) {
        done = session_enter(s, "r@c", "n", false);
        assert_int_equal(s->places_len, done);
    }
    if (done) {
        done = session_enter(s, "r@c", "m", false);
        assert_string_equal(session_find_place(s, "r@c", false)->nick, done ? "m" : "n");
    }
    if (done) {
        done = session_keep_answer(s, "stanza", 0) && session_keep_answer(s, "stanza", 0);
        assert_int_equal(s->answers_len > 1, done);
    }
    for (int i = 0; i < 2; i++) {
        const char *id = i ? "b" : "a";

        done = session_resumable(t, s, id, 100, 0) && done;
        assert_int_equal(sessions_find(t, id) != NULL, s->resume_id != NULL);
    }
    assert_null(sessions_find(t, "a"));
    session_leave(t, s, false, 10);
    return done;
}

static void test_no_memory(void **state)
{
    for (long n = 0, hit = 1; hit; n++) {
        alloc_track_on();
        alloc_fail_after(n);
        struct sessions *t = sessions_new(&rooms, TABLE_MAX);
        bool done = t && live(t);
        hit = alloc_failed();
        alloc_fail_off();
        assert_true(done || hit);
        sessions_free(t);
        assert_int_equal(alloc_live(), 0);
        alloc_track_off();
        rooms.heard[0] = '\0';
    }
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_bind),
        TEST(test_bind_again),
        TEST(test_places),
        TEST(test_places_limit),
        TEST(test_leave),
        TEST(test_tick),
        TEST(test_resume),
        TEST(test_resumable),
        TEST(test_table_full),
        TEST(test_table_full_of_idle),
        TEST(test_full_is_said_once_a_minute),
        TEST(test_take_over_live),
        TEST(test_table_free),
        TEST(test_answers),
        TEST(test_answers_acknowledged),
        TEST(test_answers_resumed),
        TEST(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
