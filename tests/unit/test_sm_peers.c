/*
 * Two perfect XEP-0198 peers and a proxy between them that answers some stanzas itself, and now and
 * then forwards one behind a ping that was sent in its place, over connections that break at any
 * moment. Each peer asserts what only it can see: no h ever outside
 * of what it sent, every stanza once and in order. The proxy does with xmpp/sm.h what
 * proxy/stream_sm.c and proxy/stream_answer.c do; a resumption is at the instance that has the
 * counters, or at one that knows nothing (another one, or after a crash).
 */
#include "xmpp/sm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define STEPS 60000
#define QUEUE 4096

/* Up: (M)essage, (J)oin, (K) the ping in its place, (F) the join forwarded, (Q) a ping of the
 * client's. Down: (m) answers M, (k) answers K, (j) is the proxy's answer to J or the server's to
 * F, (q) answers Q, (x) comes by itself. Either way (a) acknowledges n. */
struct item {
    char kind;
    uint32_t n;
};

struct fifo {
    struct item items[QUEUE];
    size_t head, len;
};

/* One end: what it sent and was not acknowledged, and what it received. */
struct peer {
    struct fifo unacked;
    uint32_t sent, acked, received;
};

struct world {
    struct peer client, server;
    struct fifo client_up, server_up, server_down,
        client_down; /* by where it is going to be read */
    struct sm sm;
    bool is_forwarded[STEPS + 1]; /* the join, behind its ping */
    struct {
        bool is_kept, is_given;
        uint32_t at;
    } added[STEPS + 1]; /* the answer to a Q that stayed here */
    uint32_t base, seed;
    uint32_t last_sent;              /* the client's serial */
    uint32_t last_m, last_x, sent_x; /* the newest that arrived; by the server's serial */
    uint32_t handled;                /* the newest message the server handled */
    unsigned char sendings[STEPS + 1], answers[STEPS + 1]; /* of each join */
    bool is_join[STEPS + 1];                               /* or a Q */
    size_t begun_anew, elsewhere, here, unevens;
};

static uint32_t next_random(struct world *w, uint32_t below)
{
    w->seed = w->seed * 1664525 + 1013904223;
    return (w->seed >> 8) % below;
}

static void push(struct fifo *f, char kind, uint32_t n)
{
    assert_true(f->len < QUEUE);
    f->items[(f->head + f->len++) % QUEUE] = (struct item){kind, n};
}

static struct item pop(struct fifo *f)
{
    struct item item = f->items[f->head];

    assert_true(f->len > 0);
    f->head = (f->head + 1) % QUEUE;
    f->len--;
    return item;
}

/* The peer is told h: not less than before, not more than it sent. */
static void acknowledged(struct peer *p, uint32_t h)
{
    assert_true(h - p->acked <= p->sent - p->acked);
    while (p->acked != h) {
        pop(&p->unacked);
        p->acked++;
    }
}

static void send(struct peer *p, struct fifo *link, char kind, uint32_t n)
{
    p->sent++;
    push(&p->unacked, kind, n);
    push(link, kind, n);
}

static void send_again(struct peer *p, struct fifo *link)
{
    for (size_t i = 0; i < p->unacked.len; i++) {
        struct item item = p->unacked.items[(p->unacked.head + i) % QUEUE];
        push(link, item.kind, item.n);
    }
}

/* ---- the ends ---- */

static void client_sends(struct world *w, char kind)
{
    w->last_sent++;
    w->is_join[w->last_sent] = kind != 'M';
    w->sendings[w->last_sent] = 1;
    send(&w->client, &w->client_up, kind, w->last_sent);
}

static void client_reads(struct world *w)
{
    struct item item = pop(&w->client_down);

    if (item.kind == 'a') {
        acknowledged(&w->client, item.n);
        return;
    }
    w->client.received++;
    switch (item.kind) {
    case 'm':
        assert_true(item.n > w->last_m); /* the server's order holds; none is missing at the end */
        for (uint32_t n = w->last_m + 1; n < item.n; n++)
            assert_true(w->is_join[n]);
        w->last_m = item.n;
        break;
    case 'x':
        assert_int_equal(item.n, w->last_x + 1);
        w->last_x = item.n;
        break;
    default:
        assert_true(item.kind == 'j' || item.kind == 'q');
        /* Once; where he had to send it again, because its ping was lost, maybe once more. */
        assert_true(++w->answers[item.n] <= w->sendings[item.n]);
    }
}

static void server_reads(struct world *w)
{
    struct item item = pop(&w->server_up);

    if (item.kind == 'a') {
        acknowledged(&w->server, item.n);
        return;
    }
    w->server.received++;
    if (item.kind == 'M') {
        assert_true(item.n > w->handled);
        for (uint32_t n = w->handled + 1; n < item.n; n++)
            assert_true(w->is_join[n]);
        w->handled = item.n;
        send(&w->server, &w->server_down, 'm', item.n);
    } else {
        assert_true(strchr("KFQ", item.kind) != NULL);
        send(&w->server, &w->server_down,
             item.kind == 'F'   ? 'j'
             : item.kind == 'K' ? 'k'
                                : 'q',
             item.n);
    }
}

/* ---- the proxy ---- */

static void prune(struct world *w, uint32_t h)
{
    for (uint32_t n = 1; n <= w->last_sent; n++)
        w->added[n].is_kept &= sm_is_behind(w->added[n].at, h);
}

static void add(struct world *w, uint32_t n)
{
    assert_true(sm_added(&w->sm.down));
    w->added[n].is_kept = w->added[n].is_given = true;
    w->added[n].at = w->sm.down.to;
    push(&w->client_down, 'q', n);
}

static void join(struct world *w, uint32_t n, bool is_probed)
{
    sm_passed(&w->sm.up);
    if (w->is_forwarded[n]) { /* it was lost behind its ping */
        push(&w->server_up, 'F', n);
        return;
    }
    push(&w->server_up, 'K', n);
    if (!is_probed || w->sendings[n] > 1)
        return;
    assert_true(sm_passed_behind(&w->sm.up));
    push(&w->server_up, 'F', n);
    w->is_forwarded[n] = true;
    w->unevens++;
}

static void proxy_reads_client(struct world *w, bool is_probed)
{
    struct item item = pop(&w->client_up);

    if (item.kind == 'a') {
        if (w->sm.down.marks_len > 0)
            prune(w, item.n);
        push(&w->server_up, 'a', sm_ack(&w->sm.down, item.n));
    } else if (item.kind == 'J') {
        join(w, item.n, is_probed);
    } else if (item.kind == 'Q' && sm_is_behind(w->sm.up.to, w->sm.up.from) &&
               w->added[item.n].is_given) {
        assert_true(
            sm_withheld(&w->sm.up)); /* sent again: he has the answer, or it is on its way */
    } else if (item.kind == 'Q' && sm_is_behind(w->sm.up.to, w->sm.up.from) &&
               sm_is_behind(w->sm.down.from, w->sm.down.to)) {
        assert_true(sm_withheld(&w->sm.up));
        add(w, item.n);
    } else {
        sm_passed(&w->sm.up);
        push(&w->server_up, item.kind, item.n);
    }
}

static void proxy_reads_server(struct world *w)
{
    struct item item = pop(&w->server_down);

    if (item.kind == 'a') {
        push(&w->client_down, 'a', sm_ack(&w->sm.up, item.n));
    } else if (item.kind == 'k' && w->is_forwarded[item.n]) {
        assert_true(sm_withheld(&w->sm.down));
    } else {
        sm_passed(&w->sm.down);
        push(&w->client_down, item.kind == 'k' ? 'j' : item.kind, item.n);
    }
}

static void proxy_rewinds(struct world *w, uint32_t server_h, uint32_t client_h)
{
    sm_rewind(&w->sm.up, server_h);
    sm_rewind(&w->sm.down, client_h);
    prune(w, client_h);
    for (uint32_t n = 1; n <= w->last_sent; n++) {
        if (w->added[n].is_kept)
            add(w, n);
    }
}

/* ---- connections ---- */

static void lose(struct world *w)
{
    w->client_up.len = w->server_up.len = w->server_down.len = w->client_down.len = 0;
}

static void begin(struct world *w)
{
    lose(w);
    w->client.unacked.len = w->server.unacked.len = 0;
    w->client.sent = w->client.acked = w->server.received = w->base;
    w->server.sent = w->server.acked = w->client.received = w->base / 3;
    w->last_m = w->handled = w->last_sent;
    w->last_x = w->sent_x;
    memset(w->added, 0, sizeof w->added);
    sm_done(&w->sm);
    sm_start_up(&w->sm);
    sm_start_down(&w->sm);
    w->sm.up.from = w->sm.up.to = w->base;
    w->sm.down.from = w->sm.down.to = w->base / 3;
}

/* Both peers speak of what they have; the proxy that knows the session rewrites it. */
static void resume(struct world *w, bool is_elsewhere)
{
    uint32_t client_h = w->client.received, server_h = w->server.received;

    lose(w);
    if (is_elsewhere && !sm_is_even(&w->sm)) {
        w->begun_anew++; /* the proxy ended it: nobody is told a wrong count */
        begin(w);
        return;
    }
    if (is_elsewhere) {
        memset(w->added, 0, sizeof w->added);
        sm_done(&w->sm);
        sm_start_up(&w->sm);
        sm_start_down(&w->sm);
        w->sm.up.from = w->sm.up.to = server_h;
        w->sm.down.from = w->sm.down.to = client_h;
        w->elsewhere++;
    } else {
        uint32_t for_client = sm_translate(&w->sm.up, server_h);
        uint32_t for_server = sm_translate(&w->sm.down, client_h);

        proxy_rewinds(w, server_h, client_h);
        w->here++;
        server_h = for_client;
        client_h = for_server;
    }
    acknowledged(&w->server, client_h);
    acknowledged(&w->client, server_h);
    for (size_t i = 0; i < w->client.unacked.len; i++) {
        struct item item = w->client.unacked.items[(w->client.unacked.head + i) % QUEUE];
        w->sendings[item.n] += item.kind != 'M';
    }
    send_again(&w->server, &w->server_down);
    send_again(&w->client, &w->client_up);
}

static bool move(struct world *w, bool is_probed)
{
    struct fifo *const links[] = {&w->client_up, &w->server_up, &w->server_down, &w->client_down};
    uint32_t first = next_random(w, 4);

    for (uint32_t i = 0; i < 4; i++) {
        uint32_t which = (first + i) % 4;

        if (links[which]->len == 0)
            continue;
        switch (which) {
        case 0:
            proxy_reads_client(w, is_probed);
            break;
        case 1:
            server_reads(w);
            break;
        case 2:
            proxy_reads_server(w);
            break;
        default:
            client_reads(w);
        }
        return true;
    }
    return false;
}

/* Everything arrives: then each message is handled and answered, and each join answered. */
static void settle(struct world *w)
{
    do {
        while (move(w, false))
            ;
        if (sm_is_behind(w->sm.up.to, w->sm.up.from))
            client_sends(w, 'Q');
        push(&w->client_up, 'a', w->client.received);
        push(&w->server_down, 'a', w->server.received);
    } while (w->client_up.len > 1);
    while (move(w, false))
        ;
    assert_int_equal(w->client.unacked.len, 0);
    assert_int_equal(w->server.unacked.len, 0);
    assert_true(sm_is_even(&w->sm));
    assert_int_equal(w->client.sent, w->server.received);
    assert_int_equal(w->server.sent, w->client.received);
    assert_int_equal(w->last_x, w->sent_x);
}

static void story(uint32_t seed, uint32_t base, uint32_t probed_percent)
{
    struct world *w = calloc(1, sizeof *w);
    uint32_t from = 1;

    assert_non_null(w);
    w->seed = seed;
    w->base = base;
    begin(w);
    for (int step = 0; step < STEPS; step++) {
        uint32_t dice = next_random(w, 1000);

        if (dice < 120)
            client_sends(w, 'M');
        else if (dice < 190)
            client_sends(w, 'J');
        else if (dice < 200)
            client_sends(w, 'Q');
        else if (dice < 240)
            send(&w->server, &w->server_down, 'x', ++w->sent_x);
        else if (dice < 270)
            push(&w->client_up, 'a', w->client.received);
        else if (dice < 300)
            push(&w->server_down, 'a', w->server.received);
        else if (dice < 315)
            resume(w, dice < 308);
        else
            move(w, next_random(w, 100) < probed_percent);
        if (w->last_sent - from > 500 || w->begun_anew > 0) {
            if (w->begun_anew == 0) {
                settle(w);
                for (; from <= w->last_sent; from++)
                    assert_true(w->answers[from] >= w->is_join[from]);
            }
            from = w->last_sent + 1;
            w->begun_anew = 0;
        }
    }
    settle(w);
    assert_true(w->elsewhere > (probed_percent > 0 ? 0 : 100) && w->here > 100);
    assert_true((probed_percent > 0) == (w->unevens > 0));
    sm_done(&w->sm);
    free(w);
}

/* What is answered is answered where the ping is: nothing differs, ever, and no session ends. */
static void test_even(void **state)
{
    story(1, 0, 0);
    story(2, UINT32_MAX - 1000, 0);
}

/* Now and then a join is forwarded behind its ping. */
static void test_uneven(void **state)
{
    story(3, 0, 30);
    story(4, UINT32_MAX - 1000, 100);
    story(5, UINT32_MAX / 2 - 1000, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_even),
        cmocka_unit_test(test_uneven),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
