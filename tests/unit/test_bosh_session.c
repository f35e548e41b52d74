/*
 * BOSH sessions as dialogues: at each step something happens at a time, and what comes of it is
 * written down. "A{...}" is the answer to request A with the messages in it, "A*{...}" the one that
 * creates the session, "A!condition{...}" one that ends it.
 */
#include "tests/unit/alloc.h"
#include "xmpp/bosh_session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SID "0123456789abcdef0123456789abcdef"
#define FRAMING "xmlns='urn:ietf:params:xml:ns:xmpp-framing'"
#define STREAMS "xmlns:stream='http://etherx.jabber.org/streams'"
#define OPENED "<open " FRAMING " from='meet' id='i1' version='1.0'/>"
#define CLOSED "<close " FRAMING "/>"
#define FEATURES "<stream:features " STREAMS "><a/></stream:features>"
#define ERROR "<stream:error " STREAMS "><gone/></stream:error>"

struct step {
    int64_t at_ms;
    const char *verb, *argument, *expected;
};

struct story {
    struct bosh_session *session;
    struct parser *parser;
    struct buf log;
    const char *on_message; /* what is done within the next message */
    int64_t now_ms;
    char open[128]; /* requests not answered, by their letters */
    bool is_over;
};

static void play(struct story *s, const struct step *step);

/* --- What it says --- */

static void write_log(struct story *s, const char *format, const char *a, const char *b, size_t len)
{
    if (s->log.len > 0)
        buf_add_str(&s->log, " ");
    buf_add_str(&s->log, format);
    buf_add_str(&s->log, a);
    buf_add(&s->log, b, len);
}

static void on_message(void *ctx, const char *data, size_t len)
{
    struct story *s = ctx;
    static const char open[] = "<open " FRAMING " to='", close[] = CLOSED;
    const char *action = s->on_message;
    assert_false(s->is_over);
    if (len > strlen(open) && memcmp(data, open, strlen(open)) == 0)
        write_log(s, "open:", "", data + strlen(open), 4);
    else if (len == strlen(close) && memcmp(data, close, len) == 0)
        write_log(s, "close", "", "", 0);
    else
        write_log(s, "", "", data, len);
    s->on_message = NULL;
    if (action) {
        char verb[16] = "";
        size_t verb_len = strcspn(action, " ");
        memcpy(verb, action, verb_len);
        const struct step step = {s->now_ms, verb, action[verb_len] ? action + verb_len + 1 : "",
                                  NULL};
        play(s, &step);
    }
}

/* The value of an attribute of the answer's first tag, "" without. */
static void read_attribute(const char *body, const char *name, char *ret, size_t ret_size)
{
    char start[32];
    const char *end = strchr(body, '>');
    snprintf(start, sizeof(start), " %s='", name);
    const char *at = strstr(body, start);
    ret[0] = '\0';
    if (at && at < end) {
        at += strlen(start);
        snprintf(ret, ret_size, "%.*s", (int)strcspn(at, "'"), at);
    }
}

static void on_answer(void *ctx, void *request, const char *body, size_t len)
{
    struct story *s = ctx;
    char letter[2] = {(char)((char *)request - s->open), '\0'};
    char type[32], condition[64], wait[16];
    assert_true(s->open[(unsigned char)letter[0]]);
    s->open[(unsigned char)letter[0]] = 0;
    assert_int_equal(strlen(body), len);
    read_attribute(body, "type", type, sizeof(type));
    read_attribute(body, "condition", condition, sizeof(condition));
    read_attribute(body, "wait", wait, sizeof(wait));
    write_log(s, "", letter, "", 0);
    if (type[0])
        buf_printf(&s->log, "!%s", condition);
    else if (wait[0])
        buf_add_str(&s->log, "*");
    const char *content = strchr(body, '>') + 1;
    const char *end = strstr(content, "</body>");
    assert_int_equal(!end, content[-2] == '/');
    buf_printf(&s->log, "{%.*s}", end ? (int)(end - content) : 0, content);
}

static void on_drained(void *ctx)
{
    write_log(ctx, "drained", "", "", 0);
}

static void on_ended(void *ctx, enum bosh_end why, const char *detail)
{
    static const char *const names[] = {"client", "silent", "broken", "no-memory"};
    struct story *s = ctx;
    assert_false(s->is_over);
    assert_true(strlen(detail) > 0);
    s->is_over = true;
    write_log(s, "ended:", names[why], "", 0);
}

static const struct bosh_actions actions = {on_message, on_answer, on_drained, on_ended};

/* --- What happens --- */

/* "A 7 attributes|children" */
static void read_post(struct story *s, const char *argument, struct bosh_body *ret)
{
    static const struct parse_limits limits = {
        .bytes = 2000000, .depth = 10, .elements = 100, .attributes = 20};
    struct buf entity = BUF_INIT;
    enum parse_result parse = PARSE_OK;
    const char *why = "", *rid = argument + 2, *children = strchr(argument, '|');
    size_t rid_len = strspn(rid, "0123456789");
    const char *attributes = rid + rid_len;
    size_t attributes_len = children ? (size_t)(children - attributes) : strlen(attributes);
    buf_printf(&entity, "<body rid='%.*s' xmlns='" NS_BOSH "'%s%.*s>%s", (int)rid_len, rid,
               strstr(attributes, " xmpp:") ? " xmlns:xmpp='urn:xmpp:xbosh'" : "",
               (int)attributes_len, attributes, children ? children + 1 : "");
    buf_add_str(&entity, "</body>");
    if (bosh_read(s->parser, entity.data, entity.len, &limits, ret, &parse, &why) != BOSH_OK)
        fail_msg("%s: %s", argument, why);
    buf_done(&entity);
}

static void post(struct story *s, const char *argument, bool is_new)
{
    struct bosh_body body = {0};
    unsigned char letter = (unsigned char)argument[0];
    read_post(s, argument, &body);
    assert_false(s->open[letter]);
    s->open[letter] = 1;
    if (!is_new)
        bosh_session_request(s->session, &body, &s->open[letter], s->now_ms);
    else
        s->session = bosh_session_new(SID, &body, &s->open[letter], &actions, s, s->now_ms);
    bosh_body_done(&body);
}

static void send_much(struct bosh_session *b)
{
    char *text = malloc(100 * 1024);
    memset(text, 'x', 100 * 1024);
    memcpy(text, "<m>", 3);
    memcpy(text + 100 * 1024 - 4, "</m>", 4);
    bosh_session_send(b, text, 100 * 1024);
    free(text);
}

static void send_at_once(struct story *s, const char *text)
{
    bosh_session_send(s->session, text, strlen(text));
    bosh_session_flush(s->session, s->now_ms);
}

static void play(struct story *s, const struct step *step)
{
    const char *verb = step->verb, *argument = step->argument;
    s->now_ms = step->at_ms;
    if (strcmp(verb, "new") == 0)
        post(s, argument, true);
    else if (strcmp(verb, "post") == 0)
        post(s, argument, false);
    else if (strcmp(verb, "gone") == 0)
        bosh_session_gone(s->session, &s->open[(unsigned char)argument[0]], s->now_ms);
    else if (strcmp(verb, "say") == 0)
        bosh_session_send(s->session, argument, strlen(argument));
    else if (strcmp(verb, "send") == 0)
        send_at_once(s, argument);
    else if (strcmp(verb, "much") == 0)
        send_much(s->session);
    else if (strcmp(verb, "flush") == 0)
        bosh_session_flush(s->session, s->now_ms);
    else if (strcmp(verb, "stop") == 0)
        bosh_session_stop(s->session);
    else if (strcmp(verb, "go") == 0)
        bosh_session_go(s->session);
    else if (strcmp(verb, "close") == 0)
        bosh_session_close(s->session, argument[0] ? argument : NULL, s->now_ms);
    else if (strcmp(verb, "tick") == 0)
        bosh_session_tick(s->session, s->now_ms);
    else if (strcmp(verb, "within") == 0)
        s->on_message = argument;
    else if (strcmp(verb, "full") == 0)
        assert_int_equal(bosh_session_is_full(s->session), argument[0] == 'y');
    else if (strcmp(verb, "done") == 0)
        assert_int_equal(bosh_session_is_done(s->session), argument[0] == 'y');
    else
        fail_msg("no verb %s", verb);
}

/* --- Dialogues --- */

#define BEGIN                                                                                      \
    {0, "new", "A 10 to='meet' wait='60' hold='1'", ""}, {0, "go", "", "open:meet"},               \
        {50, "send", OPENED, ""},                                                                  \
    {                                                                                              \
        60, "send", FEATURES, "A*{" FEATURES "}"                                                   \
    }
#define IQ "<iq xmlns='jabber:client'/>"
#define END                                                                                        \
    {                                                                                              \
        0, NULL, NULL, NULL                                                                        \
    }

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

static const struct step stopped_and_left[] = {
    BEGIN,
    {100, "stop", "", ""},
    {110, "post", "B 11 type='terminate'|<iq/>", ""},
    {120, "post", "C 12|<iq/>", "C!item-not-found{}"},
    {130, "go", "", IQ " close B!{} ended:client"},
    END,
};

static const struct step first_messages[] = {
    {0, "new", "A 10 to='meet' wait='60' hold='1'|<iq/>", ""},
    {0, "go", "", "open:meet " IQ},
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

static const struct {
    const char *name;
    const struct step *steps;
} stories[] = {
    {"strophe", strophe},
    {"hold, two in flight", hold_two_in_flight},
    {"order", order},
    {"far ahead", far_ahead},
    {"long past", long_past},
    {"repeated", repeated},
    {"gone and back", gone_and_back},
    {"created and gone", created_and_gone},
    {"silent", silent},
    {"silent, the connection broken", silent_connection},
    {"silent before its turn", silent_before_its_turn},
    {"paused", paused},
    {"paused with output", paused_with_output},
    {"polling: hold", polling_hold},
    {"polling: wait", polling_wait},
    {"a short wait", short_wait},
    {"stopped", stopped},
    {"stopped and left", stopped_and_left},
    {"messages in the first body", first_messages},
    {"terminated at once", born_and_dead},
    {"the server closes", server_closes},
    {"the server closes quietly", server_closes_quietly},
    {"the server closes while stopped", server_closes_while_stopped},
    {"let go", let_go},
    {"let go later", let_go_later},
    {"let go at birth", let_go_at_birth},
    {"let go within a message", let_go_within},
    {"sent within a message", sent_within},
    {"full", full},
    {"features", features},
};

static void test_stories(void **state)
{
    for (size_t i = 0; i < sizeof(stories) / sizeof(stories[0]); i++) {
        struct story s = {.parser = parser_new()};
        for (const struct step *step = stories[i].steps; step->verb; step++) {
            buf_clear(&s.log);
            buf_add_str(&s.log, "");
            play(&s, step);
            if (strcmp(s.log.data, step->expected) != 0)
                fail_msg("%s, %s %s: %s", stories[i].name, step->verb, step->argument, s.log.data);
        }
        bosh_session_free(s.session);
        parser_free(s.parser);
        buf_done(&s.log);
    }
}

static void play_all(struct story *s, const struct step *steps)
{
    for (; steps->verb; steps++) {
        buf_clear(&s->log);
        buf_add_str(&s->log, "");
        play(s, steps);
    }
}

static void story_done(struct story *s)
{
    bosh_session_free(s->session);
    parser_free(s->parser);
    buf_done(&s->log);
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
        cmocka_unit_test(test_stories),    cmocka_unit_test(test_creation),
        cmocka_unit_test(test_drained),    cmocka_unit_test(test_too_much),
        cmocka_unit_test(test_overactive), cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
