/*
 * A BOSH session under any order of events. Each byte is one: its low three bits say what happens,
 * the others how. Each body carries a message with its rid, each message of the server a number, so
 * that this can be said: none is lost, doubled or out of its order in either direction, and no
 * request is answered twice.
 */
#include "xmpp/bosh_session.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define EVENTS_MAX 400
#define OPEN "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' from='h' id='i'/>"
#define CLOSE "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>"

struct request {
    int64_t rid;
    bool is_open;
};

struct answer {
    bool is_there;
    unsigned first, last; /* numbers of the server's messages in it; 0: none */
};

struct world {
    struct bosh_session *session;
    struct request requests[EVENTS_MAX + 1];
    size_t requests_len;
    struct answer answers[EVENTS_MAX + 8]; /* by rid */
    int64_t next_rid, delivered_rid, now_ms;
    unsigned said;
    bool stop_next, has_ended, is_let_go;
};

static void check(bool is_right)
{
    if (!is_right)
        abort();
}

static void on_message(void *ctx, const char *data, size_t len)
{
    struct world *w = ctx;
    check(!w->has_ended && !w->is_let_go && len > 0);
    if (w->stop_next)
        bosh_session_stop(w->session);
    w->stop_next = false;
    if (len < 3 || memcmp(data, "<a>", 3) != 0)
        return;
    check(strtoll(data + 3, NULL, 10) == ++w->delivered_rid);
}

/* The numbers follow each other; what one rid was answered once it is answered for ever. */
static void note_answer(struct world *w, int64_t rid, const char *body)
{
    struct answer found = {.is_there = true};
    for (const char *at = strstr(body, "<m>"); at; at = strstr(at + 1, "<m>")) {
        unsigned number = (unsigned)strtoul(at + 3, NULL, 10);
        check(found.last == 0 || number == found.last + 1);
        found.first = found.first ? found.first : number;
        found.last = number;
    }
    struct answer *known = &w->answers[rid];
    check(!known->is_there || (known->first == found.first && known->last == found.last));
    *known = found;
}

static void on_answer(void *ctx, void *handle, const char *body, size_t len)
{
    struct world *w = ctx;
    struct request *r = handle;
    check(!w->has_ended && r->is_open && strlen(body) == len);
    r->is_open = false;
    bool is_end = strstr(body, " type='terminate'") != NULL;
    bool is_replaced = !is_end && strstr(body, " sid='") == NULL;
    if ((!is_end && !is_replaced) || strstr(body, "<m>"))
        note_answer(w, r->rid, body);
}

static void on_drained(void *ctx)
{
    check(!((struct world *)ctx)->has_ended);
}

static void on_ended(void *ctx, enum bosh_end why, const char *detail)
{
    struct world *w = ctx;
    check(!w->has_ended && !w->is_let_go && detail);
    w->has_ended = true;
    for (size_t i = 0; i < w->requests_len; i++)
        check(!w->requests[i].is_open);
}

static const struct bosh_actions actions = {on_message, on_answer, on_drained, on_ended};

static void post(struct world *w, int64_t rid, const char *type, int64_t pause_s)
{
    struct request *r = &w->requests[w->requests_len++];
    struct bosh_body body = {
        .rid = rid, .to = "h", .type = type, .wait_s = 60, .hold = 1, .pause_s = pause_s};
    buf_printf(&body.messages, "<a>%lld</a>", (long long)rid);
    body.ends[body.messages_len++] = body.messages.len;
    *r = (struct request){rid, true};
    if (!w->session)
        w->session = bosh_session_new("sid", &body, r, &actions, w, w->now_ms);
    else
        bosh_session_request(w->session, &body, r, w->now_ms);
    if (rid == w->next_rid)
        w->next_rid++;
    bosh_body_done(&body);
}

static void say(struct world *w)
{
    char text[32];
    int len = snprintf(text, sizeof(text), "<m>%u</m>", ++w->said);
    bosh_session_send(w->session, text, (size_t)len);
}

static void gone(struct world *w, unsigned how)
{
    if (how >= w->requests_len)
        return;
    struct request *r = &w->requests[w->requests_len - 1 - how];
    if (!r->is_open)
        return;
    r->is_open = false;
    bosh_session_gone(w->session, r, w->now_ms);
}

static void end(struct world *w, unsigned how)
{
    if (how < 8) {
        post(w, w->next_rid, NULL, how);
    } else if (how == 8) {
        post(w, w->next_rid, "terminate", -1);
    } else if (how == 9) {
        bosh_session_send(w->session, CLOSE, strlen(CLOSE));
    } else if (how == 10) {
        w->is_let_go = true;
        bosh_session_close(w->session, NULL, w->now_ms);
    } else if (how == 31) {
        bosh_session_break(w->session, "bad-request", "broken", w->now_ms);
    } else {
        w->stop_next = true;
    }
}

static void happen(struct world *w, unsigned what, unsigned how)
{
    int64_t rid = w->next_rid - 3 + how % 6;
    switch (what) {
    case 0:
    case 1:
        post(w, rid > 0 ? rid : 1, NULL, -1);
        break;
    case 2:
        gone(w, how);
        break;
    case 3:
        say(w);
        break;
    case 4:
        bosh_session_flush(w->session, w->now_ms);
        break;
    case 5:
        (how % 2 ? bosh_session_stop : bosh_session_go)(w->session);
        break;
    case 6:
        w->now_ms += (int64_t)how * 1000;
        bosh_session_tick(w->session, w->now_ms);
        break;
    default:
        end(w, how);
        break;
    }
}

/* A client that reads its answers by rid has read every message from the first on. */
static void check_answers(const struct world *w)
{
    unsigned last = 0;
    for (size_t i = 0; i < sizeof(w->answers) / sizeof(w->answers[0]); i++) {
        if (w->answers[i].first == 0)
            continue;
        check(w->answers[i].first == last + 1);
        last = w->answers[i].last;
    }
    check(last <= w->said);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > EVENTS_MAX)
        return -1; /* what is behind changes nothing */
    struct world *w = calloc(1, sizeof(*w));
    if (!w)
        return 0;
    w->next_rid = 1;
    post(w, 1, NULL, -1);
    if (w->session) {
        bosh_session_send(w->session, OPEN, strlen(OPEN));
        bosh_session_go(w->session);
    }
    for (size_t i = 0; w->session && i < size && !w->has_ended; i++)
        happen(w, data[i] & 7, data[i] >> 3);
    check_answers(w);
    bosh_session_free(w->session);
    free(w);
    return 0;
}
