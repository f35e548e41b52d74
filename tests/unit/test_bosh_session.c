/*
 * BOSH sessions while they live: rids, answers, times, and who waits for whom (see bosh_story.h).
 */
#include "tests/unit/bosh_story.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A client of strophe.js: login, restart, a quiet time, messages both ways, the end. */
static const struct step strophe[] = {
    {0, "new", "A 10 to='meet' wait='60' hold='1' ver='1.6' xmpp:version='1.0'", ""},
    {0, "tick", "", ""},
    {1, "go", "", "open:meet"},
    {50, "send", OPENED, ""},
    {60, "send", FEATURES, "A*{" FEATURES "}"},
    {100, "post", "B 11 sid='" SID "'|<auth xmlns='s'/>", "<auth xmlns='s'/>"},
    {150, "send", "<success xmlns='s'/>", "B{<success xmlns='s'/>}"},
    {200, "post", "C 12 xmpp:restart='true' to='elsewhere'", "open:meet"},
    {210, "send", OPENED, ""},
    {210, "send", FEATURES, "C{" FEATURES "}"},
    {300, "post", "D 13|<iq/>", IQ},
    {350, "send", "<iq id='1'/>", "D{<iq id='1'/>}"},
    {400, "post", "E 14", ""}, /* nothing to say, both sides */
    {55399, "tick", "", ""},
    {55400, "tick", "", "E{}"},
    {60410, "post", "F 15", ""},
    {60500, "post", "G 16|<a/><b/>", "<a xmlns='jabber:client'/> <b xmlns='jabber:client'/> F{}"},
    {60510, "send", "<m/>", "G{<m/>}"},
    {60520, "say", "<m n='1'/>", ""}, /* no request is there */
    {60530, "say", "<m n='2'/>", ""},
    {60530, "flush", "", ""},
    {60540, "post", "H 17", "H{<m n='1'/><m n='2'/>}"},
    {60600, "post", "I 18", ""},
    {60700, "post", "K 19 type='terminate'|<iq/>", IQ " close I!{} K!{} ended:client"},
    {60700, "done", "y", ""},
    END,
};

static const struct step hold_two_in_flight[] = {
    BEGIN,
    {100, "post", "B 11", ""},
    {200, "post", "C 12|<iq/>", IQ " B{}"}, /* hold='1': one is enough */
    {300, "send", "<m/>", "C{<m/>}"},
    END,
};

static const struct step order[] = {
    BEGIN,
    {100, "post", "B 12|<b/>", ""}, /* ahead of its turn */
    {110, "post", "C 13|<c/>", ""},
    {120, "send", "<m/>", ""}, /* no answer to them before 11's */
    {130, "post", "D 11|<d/>",
     "<d xmlns='jabber:client'/> <b xmlns='jabber:client'/> <c xmlns='jabber:client'/>"
     " D{<m/>} B{}"},
    {140, "send", "<m/>", "C{<m/>}"},
    END,
};

static const struct step far_ahead[] = {
    BEGIN,
    {100, "post", "B 11", ""},
    {110, "post", "C 15|<c/>", "B!item-not-found{} C!item-not-found{} ended:broken"},
    {110, "done", "y", ""},
    END,
};

static const struct step long_past[] = {
    BEGIN,
    {100, "post", "B 11|<iq/>", IQ},
    {110, "post", "C 12|<iq/>", IQ " B{}"},
    {120, "post", "D 13|<iq/>", IQ " C{}"},
    {130, "post", "E 10|<iq/>", "E!item-not-found{}"}, /* nobody's session ends by it */
    {140, "post", "F 9", "F!item-not-found{}"},
    {150, "send", "<m/>", "D{<m/>}"},
    {160, "post", "G 12", "G{}"}, /* may still have been lost */
    {170, "post", "H 14|<iq/>", IQ},
    {180, "post", "I 12", "I!item-not-found{}"}, /* cannot: 14 was asked behind it */
    {190, "post", "J 13", "J{<m/>}"},
    END,
};

static const struct step repeated[] = {
    BEGIN,
    {100, "post", "B 10 to='meet'", "B*{" FEATURES "}"}, /* the answer was lost */
    {110, "post", "C 11|<iq/>", IQ},
    {120, "post", "D 11|<iq/>", "C{}"}, /* while it is held: the new one takes its place */
    {130, "send", "<m/>", "D{<m/>}"},
    {140, "post", "E 11|<iq/>", "E{<m/>}"}, /* delivered once only */
    {150, "post", "F 12", ""},
    END,
};

static const struct step gone_and_back[] = {
    BEGIN,
    {100, "post", "B 11", ""},
    {110, "gone", "B", ""},
    {120, "send", "<m n='1'/>", ""},
    {130, "post", "C 11", "C{<m n='1'/>}"},
    {140, "post", "D 12", ""},
    {150, "gone", "D", ""},
    {160, "post", "E 13|<iq/>", IQ},
    {170, "send", "<m n='2'/>", "E{<m n='2'/>}"}, /* 12 has an answer now, an empty one */
    {180, "post", "F 12", "F{}"},
    {190, "post", "G 13|<iq/>", "G{<m n='2'/>}"},
    {200, "gone", "H", ""}, /* nobody's */
    END,
};

static const struct step created_and_gone[] = {
    {0, "new", "A 10 to='meet' wait='60' hold='1'", ""},
    {0, "go", "", "open:meet"},
    {10, "gone", "A", ""},
    {20, "send", OPENED, ""},
    {20, "send", FEATURES, ""},
    {30, "post", "B 10 to='meet' wait='60' hold='1'", "B*{" FEATURES "}"},
    END,
};

static const struct step paused[] = {
    BEGIN,
    {100, "post", "B 11", ""},
    {110, "say", "<m/>", ""},
    {120, "post", "C 12 pause='100'", "B{<m/>} C{}"},
    {130, "send", "<m n='2'/>", ""},
    {60121, "tick", "", ""},
    {100119, "tick", "", ""},
    {100119, "post", "D 13", "D{<m n='2'/>}"},
    {160118, "tick", "", ""},
    {160119, "tick", "", "ended:silent"}, /* the usual time again */
    END,
};

static const struct step paused_with_output[] = {
    BEGIN,
    {110, "send", "<m/>", ""},
    {120, "post", "C 11 pause='9999'", "C{}"}, /* the answer to a pause is empty */
    {120119, "tick", "", ""},
    {120120, "tick", "", "ended:silent"}, /* 120 s at most */
    END,
};

static const struct step polling_hold[] = {
    {0, "new", "A 10 to='meet' wait='60' hold='0'", ""},
    {0, "go", "", "open:meet"},
    {50, "send", OPENED, ""},
    {60, "send", FEATURES, "A*{" FEATURES "}"},
    {5000, "post", "B 11|<iq/>", IQ " B{}"},
    {5100, "send", "<m/>", ""},
    {10000, "post", "C 12", "C{<m/>}"},
    END,
};

static const struct step polling_wait[] = {
    {0, "new", "A 10 to='meet' wait='0' hold='1'", ""},
    {0, "go", "", "open:meet"},
    {50, "send", OPENED, ""},
    {60, "send", FEATURES, "A*{" FEATURES "}"},
    {5000, "post", "B 11|<iq/>", IQ " B{}"},
    END,
};

static const struct step short_wait[] = {
    {0, "new", "A 10 to='meet' wait='3'", ""},
    {0, "go", "", "open:meet"},
    {9999, "tick", "", ""},
    {10000, "tick", "", "A*{}"}, /* no server yet: the client is told its sid all the same */
    {10010, "post", "B 11", ""},
    {10050, "send", OPENED, ""},
    {10060, "send", FEATURES, "B{" FEATURES "}"},
    {20000, "post", "C 12", ""},
    {22999, "tick", "", ""},
    {23000, "tick", "", "C{}"},
    END,
};

static const struct step stopped[] = {
    BEGIN,
    {100, "within", "stop", ""},
    {100, "post", "B 11|<iq/><a/>", IQ},
    {110, "send", "<m/>", "B{<m/>}"}, /* the other way goes on */
    {120, "post", "C 12|<b/>", ""},
    {130, "post", "D 13|<c/>", ""}, /* not answered, for the client not to send more */
    {140, "within", "stop", ""},
    {140, "go", "", "<a xmlns='jabber:client'/>"},
    {150, "go", "", "<b xmlns='jabber:client'/> <c xmlns='jabber:client'/> C{}"},
    END,
};

static const struct step first_messages[] = {
    {0, "new", "A 10 to='meet' wait='60' hold='1'|<iq/>", ""},
    {0, "go", "", "open:meet " IQ},
    END,
};

static const struct step sent_within[] = {
    BEGIN,
    {100, "within", "say <m/>", ""},
    {100, "post", "B 11|<iq/>", IQ " B{<m/>}"},
    {110, "within", "go ", ""}, /* nothing is delivered twice, or within */
    {110, "post", "C 12|<iq/><a/>", IQ " <a xmlns='jabber:client'/>"},
    END,
};

static const struct step full[] = {
    BEGIN,
    {100, "much", "", ""},
    {100, "much", "", ""},
    {100, "full", "n", ""},
    {100, "much", "", ""},
    {100, "full", "y", ""},
    {100, "flush", "", ""},
    END,
};

static const struct step features[] = {
    {0, "new", "A 10 to='meet'", ""},
    {0, "go", "", "open:meet"},
    {0, "send", OPENED, ""},
    {0, "send",
     "<f:features xmlns:f='http://etherx.jabber.org/streams'>"
     "<sm xmlns='urn:xmpp:sm:3'/></f:features>",
     "A*{<f:features xmlns:f='http://etherx.jabber.org/streams'>"
     "<sm xmlns='urn:xmpp:sm:3'/></f:features>}"}, /* a prefix the server does not use */
    {0, "post", "B 11", ""},
    {0, "send",
     "<stream:features " STREAMS "><sm xmlns='urn:xmpp:sm:2'><optional/></sm><a x='>'/>"
     "<x:sm xmlns:x='urn:xmpp:sm:3'/><sm xmlns='u'/><b><sm xmlns='urn:xmpp:sm:3'/></b>"
     "<sm xmlns='urn:xmpp:sm:3'/></stream:features>",
     "B{<stream:features " STREAMS "><a x='>'/>"
     "<sm xmlns='u'/><b><sm xmlns='urn:xmpp:sm:3'/></b></stream:features>}"},
    {0, "post", "C 12|<enable xmlns='urn:xmpp:sm:3'/>", "<enable xmlns='urn:xmpp:sm:3'/>"},
    {0, "send", "<stream:features ><not-declared", "C{<stream:features ><not-declared}"},
    END,
};

static const struct story_case stories[] = {
    {"strophe", strophe},
    {"hold, two in flight", hold_two_in_flight},
    {"order", order},
    {"far ahead", far_ahead},
    {"long past", long_past},
    {"repeated", repeated},
    {"gone and back", gone_and_back},
    {"created and gone", created_and_gone},
    {"paused", paused},
    {"paused with output", paused_with_output},
    {"polling: hold", polling_hold},
    {"polling: wait", polling_wait},
    {"a short wait", short_wait},
    {"stopped", stopped},
    {"messages in the first body", first_messages},
    {"sent within a message", sent_within},
    {"full", full},
    {"features", features},
};

static void test_stories(void **state)
{
    check_stories(stories, sizeof(stories) / sizeof(stories[0]));
}

/* What mod_bosh says, and maxpause. */
static void on_creation(void *ctx, void *request, const char *body, size_t len)
{
    buf_add(ctx, body, len);
}

static void test_creation(void **state)
{
    static const struct bosh_actions only = {.answer = on_creation};
    struct bosh_body body = {.rid = 1, .to = "a'b", .wait_s = 9999, .hold = 7, .pause_s = -1};
    struct buf out = BUF_INIT;
    struct bosh_session *b = bosh_session_new(SID, &body, &out, &only, &out, 0);
    bosh_session_send(b, OPENED, strlen(OPENED));
    bosh_session_send(b, "<m/>", 4);
    bosh_session_flush(b, 0);
    assert_string_equal(
        out.data,
        "<body xmlns='http://jabber.org/protocol/httpbind' " STREAMS " sid='" SID "'"
        " xmlns:xmpp='urn:xmpp:xbosh' xmpp:version='1.0' ver='1.6' secure='true' wait='55'"
        " requests='2' hold='1' inactivity='60' polling='5' maxpause='120' from='meet'"
        " authid='i1'><m/></body>");
    bosh_session_free(b);
    buf_done(&out);
}

/* Above the mark the source is stopped, and told when it may go on. */
static void test_drained(void **state)
{
    struct story s = {.parser = parser_new()};
    const struct step post_one = {200, "post", "B 11", ""};
    play_all(&s, full);
    buf_clear(&s.log);
    play(&s, &post_one);
    assert_true(s.log.len > 300 * 1024);
    assert_string_equal(s.log.data + s.log.len - strlen("} drained"), "} drained");
    assert_false(bosh_session_is_full(s.session));
    story_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stories),
        cmocka_unit_test(test_creation),
        cmocka_unit_test(test_drained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
