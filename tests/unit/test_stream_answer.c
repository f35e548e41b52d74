/*
 * A ping that asks whose session was resumed, and its answer, with and without memory. The stream's
 * ends are stand-ins that write down what is done to them.
 */
#include "proxy/stream.h"
#include "tests/unit/alloc.h"
#include "xmpp/stanza.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct proxy proxy;
static char ping[2048]; /* as it went to Prosody */
static const char *ended;
static bool is_held;

int64_t loop_now(const struct loop *loop)
{
    return 1;
}

void stream_end(struct stream *s, enum close_reason reason, const char *detail)
{
    s->state = STREAM_ENDED;
    ended = detail ? detail : "out of memory";
}

void stream_forward(struct stream *s, const char *data, size_t len)
{
    snprintf(ping, sizeof ping, "%.*s", (int)len, data);
}

bool stream_send_client(struct stream *s, const char *data, size_t len)
{
    return true;
}

const struct element *stream_parse_server(struct stream *s, const char *data, size_t len)
{
    const struct parse_limits limits = stream_message_limits(len);
    const struct element *e = NULL;

    return parser_read(proxy.parser, data, len, &limits, &e) == PARSE_OK ? e : NULL;
}

void wsock_stop(struct wsock *w, enum transport_stop why)
{
    is_held = true;
}

void wsock_go(struct wsock *w, enum transport_stop why)
{
    is_held = false;
}

/* None of the tests has a session that ends. */
void rooms_suspended(struct rooms *r, const char *full_jid, int64_t until, int64_t now)
{
    fail();
}

void rooms_resumed(struct rooms *r, const char *full_jid, int64_t now)
{
    fail();
}

void rooms_gone(struct rooms *r, const char *full_jid, int64_t now)
{
    fail();
}

/* A session from elsewhere, and what asks whose it is. */
static void ask(struct stream *s, struct session *session)
{
    struct session_answer *answer;

    *session = (struct session){.is_token_unseen = true};
    *s = (struct stream){.proxy = &proxy,
                         .state = STREAM_OPEN,
                         .session = session,
                         .server = (struct wsock *)&proxy};
    ended = NULL;
    is_held = false;
    s->probe_number = stream_stand_in(s, "<message xmlns='jabber:client' type='error'/>");
    assert_true(s->probe_number > 0);
    answer = session_find_answer(session, s->probe_number);
    answer->state = ANSWER_UNDECIDED;
    s->held_for = HELD_FOR_ADDRESS;
}

/* Prosody's answer to the ping that went out. */
static bool is_answered(struct stream *s)
{
    const char *id = strstr(ping, "id='") + 4;
    char text[2048];

    snprintf(text, sizeof text, "<iq xmlns='jabber:client' type='result' id='%.*s' to='a@d/x'/>",
             (int)strcspn(id, "'"), id);
    return stream_stand_in_answered(s, text, strlen(text));
}

static void done(struct stream *s)
{
    while (s->session->answers)
        session_forget_answer(s->session, s->session->answers);
    sm_done(&s->session->sm);
}

static void test_address_learnt(void **state)
{
    struct session session;
    struct stream s;
    char jid[] = "a@d/x";

    ask(&s, &session);
    session.full_jid = jid;
    assert_true(is_answered(&s));
    assert_null(ended);
    assert_true(is_held); /* until what was held is answered or forwarded */
    stream_forwarded_probed(&s);
    assert_false(is_held);
    done(&s);
}

static void test_address_not_learnt(void **state)
{
    struct session session;
    struct stream s;

    ask(&s, &session);
    assert_true(is_answered(&s));
    assert_string_equal(ended, "whose session was resumed could not be learnt");
    assert_false(is_held);
    done(&s);
}

static void test_not_answered(void **state)
{
    struct session session;
    struct stream s;

    ask(&s, &session);
    stream_tick_answers(&s, STREAM_PROBE_MS);
    assert_null(ended);
    stream_tick_answers(&s, 1 + STREAM_PROBE_MS);
    assert_string_equal(ended, "whose session was resumed could not be learnt");
    done(&s);
}

/* Whatever there was no memory for: it does not stand still. */
static void test_no_memory(void **state)
{
    for (long n = 0, hit = 1; hit; n++) {
        struct session session;
        struct stream s;

        ask(&s, &session);
        alloc_track_on();
        alloc_fail_after(n);
        (void)is_answered(&s);
        hit = alloc_failed();
        alloc_fail_off();
        alloc_track_off();
        assert_false(is_held);
        stream_tick_answers(&s, 1 + STREAM_PROBE_MS);
        assert_non_null(ended);
        done(&s);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_address_learnt),
        cmocka_unit_test(test_address_not_learnt),
        cmocka_unit_test(test_not_answered),
        cmocka_unit_test(test_no_memory),
    };
    int failed;

    proxy.parser = parser_new();
    if (!proxy.parser)
        return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    parser_free(proxy.parser);
    return failed;
}
