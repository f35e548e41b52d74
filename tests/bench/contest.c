/*
 * See contest.h. What a newcomer gets wrong: a ratio is only as good as what it is a ratio of. All
 * rivals are loaded in slices of a fraction of a second, each round begins with another of them,
 * and the ratio is taken round by round: what else the machine does then meets all of them alike.
 */
#include "contest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define EVENTS 512
#define DRAIN_LIMIT (10000 * MS)
#define CONNECT_LIMIT (60000 * MS)
/* How many handshakes are on their way at a time where the number of streams is what matters. */
#define CONNECTING_MAX 64

void turn(const struct contest *k, int timeout_ms)
{
    struct epoll_event happened[EVENTS];
    int n = epoll_wait(k->epoll, happened, EVENTS, timeout_ms);

    for (int i = 0; i < n; i++)
        link_handle(happened[i].data.ptr, happened[i].events);
}

static int64_t cpu_of(const struct rival *rival)
{
    struct timespec t;

    if (clock_gettime(rival->clock, &t) != 0)
        die("%s is gone", rival->name);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void crew_init(struct contest *k, struct crew *crew, size_t len)
{
    crew->len = len;
    for (size_t r = 0; r < k->rivals_len; r++) {
        crew->clients[r] = calloc(len, sizeof *crew->clients[r]);
        if (!crew->clients[r])
            die("out of memory");
    }
}

void crew_connect(struct contest *k, struct crew *crew, size_t r, size_t from, size_t to)
{
    struct rival *rival = &k->rivals[r];
    uint64_t before = rival->ready;
    size_t begun = from;
    int64_t limit = now_ns() + CONNECT_LIMIT;

    while (rival->ready - before < to - from) {
        while (begun < to && begun - from - (rival->ready - before) < CONNECTING_MAX)
            client_begin(&crew->clients[r][begun++], rival);
        turn(k, 1000);
        if (now_ns() > limit)
            die("%s: only %zu of %zu streams in time", rival->name,
                from + (size_t)(rival->ready - before), to);
    }
}

void drain(struct contest *k, const struct rival *rival)
{
    int64_t limit = now_ns() + DRAIN_LIMIT;

    while (rival->in_flight > 0) {
        turn(k, 100);
        if (now_ns() > limit)
            die("%s: %zu answers are missing", rival->name, rival->in_flight);
    }
}

/* ---- loads ---- */

/* The next message is sent when one is answered. */
static void run_pings(struct contest *k, struct rival *rival, struct client *clients, size_t len,
                      int64_t until)
{
    rival->is_active = true;
    for (size_t i = 0; i < len; i++) {
        for (size_t n = 0; n < k->options.depth; n++)
            client_ask(&clients[i]);
    }
    while (now_ns() < until)
        turn(k, 1);
    rival->is_active = false;
    drain(k, rival);
}

/* A message at each tick, on each stream in turn; late ones at once. */
static void run_timetable(struct contest *k, struct rival *rival, struct client *clients,
                          size_t len, int64_t until)
{
    int64_t step = 1000000000 / (int64_t)k->options.rate, due = now_ns();
    size_t i = 0;

    while (due < until) {
        int64_t now = now_ns();

        while (due <= now && due < until) {
            struct client *c = &clients[i++ % len];

            client_ask(c);
            c->sent[(c->sent_first + c->sent_len - 1) % DEPTH_MAX] = due;
            due += step;
        }
        turn(k, due - now > 2 * MS ? 1 : 0);
    }
    drain(k, rival);
}

static void wait_for_end(struct contest *k, const struct rival *rival, const struct client *clients,
                         size_t len)
{
    int64_t limit = now_ns() + DRAIN_LIMIT;

    for (size_t left = 1; left > 0;) {
        left = 0;
        for (size_t i = 0; i < len; i++)
            left += clients[i].link.is_lost ? 0 : 1;
        if (left)
            turn(k, 10);
        if (now_ns() > limit)
            die("%s: %zu streams do not end", rival->name, left);
    }
}

/* Who is ready closes, and another takes his place. */
static void run_connects(struct contest *k, struct rival *rival, struct client *clients, size_t len,
                         int64_t until)
{
    uint64_t before = rival->ended;

    rival->churns = rival->is_active = true;
    for (size_t i = 0; i < len; i++)
        client_begin(&clients[i], rival);
    while (now_ns() < until)
        turn(k, 1);
    rival->is_active = false;
    wait_for_end(k, rival, clients, len);
    rival->churns = false;
    rival->received += rival->ended - before;
}

/* All come at once, join, and leave when the last one is in: as when a lesson begins and ends. */
static void run_storm(struct contest *k, struct rival *rival, struct client *clients, size_t len,
                      int64_t until)
{
    rival->joins = true;
    do {
        uint64_t all = rival->ready + len;
        int64_t limit = now_ns() + CONNECT_LIMIT;

        rival->is_active = true; /* none may be lost */
        for (size_t i = 0; i < len; i++)
            client_begin(&clients[i], rival);
        while (rival->ready < all) {
            turn(k, 100);
            if (now_ns() > limit)
                die("%s: %zu of %zu joins are missing", rival->name, (size_t)(all - rival->ready),
                    len);
        }
        rival->is_active = false;
        for (size_t i = 0; i < len; i++)
            client_leave(&clients[i]);
        wait_for_end(k, rival, clients, len);
        rival->received += len;
    } while (now_ns() < until);
    rival->joins = false;
}

const struct load *load_named(const char *name)
{
    static const struct load loads[] = {
        {"ping", run_pings, true},        {"join", run_pings, true},
        {"burst", run_pings, true},       {"timetable", run_timetable, true},
        {"connect", run_connects, false}, {"storm", run_storm, false},
    };

    for (size_t i = 0; i < sizeof loads / sizeof loads[0]; i++) {
        if (strcmp(loads[i].name, name) == 0)
            return &loads[i];
    }
    return NULL;
}

/* ---- rounds ---- */

static void run_slice(struct contest *k, const struct load *load, struct crew *crew, size_t r,
                      size_t round)
{
    struct rival *rival = &k->rivals[r];
    struct slice *slice = &k->slices[r][round];
    int64_t begun = now_ns(), cpu = cpu_of(rival);
    uint64_t received = rival->received;

    load->run(k, rival, crew->clients[r], crew->len, begun + k->options.slice_ms * MS);
    *slice = (struct slice){.cpu = cpu_of(rival) - cpu,
                            .wall = now_ns() - begun,
                            .messages = rival->received - received};
    if (slice->messages == 0)
        die("%s: nothing came back", rival->name);
}

static void print_slices(const struct contest *k, size_t r, const char *note)
{
    const struct rival *rival = &k->rivals[r];
    static const double shares[] = {0.5, 0.9, 0.99, 0.999};

    printf("{\"name\":\"%s\",%s\"cpu_ns\":[", rival->name, note);
    for (size_t i = 0; i < k->options.rounds; i++)
        printf("%s%.1f", i ? "," : "",
               (double)k->slices[r][i].cpu / (double)k->slices[r][i].messages);
    printf("],\"per_second\":[");
    for (size_t i = 0; i < k->options.rounds; i++)
        printf("%s%.0f", i ? "," : "",
               (double)k->slices[r][i].messages * 1e9 / (double)k->slices[r][i].wall);
    printf("],\"latency_us\":[");
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++)
        printf("%s%.1f", i ? "," : "", histogram_at(&rival->latency, shares[i]) / 1000);
    printf("]}\n");
}

void measure(struct contest *k, const struct load *load, struct crew *crew, const char *note)
{
    for (size_t r = 0; r < k->rivals_len; r++) { /* a round to warm up */
        run_slice(k, load, crew, r, 0);
        k->rivals[r].latency = (struct histogram){0};
    }
    for (size_t round = 0; round < k->options.rounds; round++) {
        for (size_t i = 0; i < k->rivals_len; i++)
            run_slice(k, load, crew, (round + i) % k->rivals_len, round);
    }
    for (size_t r = 0; r < k->rivals_len; r++)
        print_slices(k, r, note);
    fflush(stdout);
}
