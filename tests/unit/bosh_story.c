/*
 * Plays the dialogues (see bosh_story.h).
 */
#include "tests/unit/bosh_story.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

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
void read_post(struct story *s, const char *argument, struct bosh_body *ret)
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

void play(struct story *s, const struct step *step)
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
    else if (strcmp(verb, "break") == 0)
        bosh_session_break(s->session, argument, "broken", s->now_ms);
    else if (strcmp(verb, "done") == 0)
        assert_int_equal(bosh_session_is_done(s->session), argument[0] == 'y');
    else
        fail_msg("no verb %s", verb);
}

/* --- Runs --- */

void play_all(struct story *s, const struct step *steps)
{
    for (; steps->verb; steps++) {
        buf_clear(&s->log);
        buf_add_str(&s->log, "");
        play(s, steps);
    }
}

void story_done(struct story *s)
{
    bosh_session_free(s->session);
    parser_free(s->parser);
    buf_done(&s->log);
}

void check_stories(const struct story_case *stories, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        struct story s = {.parser = parser_new()};
        for (const struct step *step = stories[i].steps; step->verb; step++) {
            buf_clear(&s.log);
            buf_add_str(&s.log, "");
            play(&s, step);
            if (strcmp(s.log.data, step->expected) != 0)
                fail_msg("%s, %s %s: %s", stories[i].name, step->verb, step->argument, s.log.data);
        }
        story_done(&s);
    }
}
