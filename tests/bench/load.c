/*
 * The load generator: load KIND KEY=VALUE... NAME:PORT:PID...
 *
 *   ping       streams= depth= size=   a message of size bytes comes back, depth at a time on a
 * stream burst      streams=                each request brings 100 stanzas of 600 bytes timetable
 * streams= size= rate=    so many messages a second, whether or not answers came connect streams=
 * so many at a time connect, log in, bind and close, over and over idle       streams=1000,2000,...
 * holds so many; each rival by itself, in turn
 *
 * All rivals are loaded in turn in slices of slice= ms, rounds= times, and each round begins with
 * another: what else the machine does then meets all of them alike. One line of JSON for each.
 */
#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define RIVALS_MAX 8
#define ROUNDS_MAX 1000
#define EVENTS 512
#define MS INT64_C(1000000)
#define DRAIN_LIMIT (10000 * MS)
/* How many handshakes are on their way at a time where the number of streams is what matters. */
#define CONNECTING_MAX 64

struct options {
    const char *kind, *streams, *target;
    size_t depth, size, rate, rounds, settle_ms;
    int64_t slice_ms;
};

/* One slice: what it took and what it did. */
struct slice {
    int64_t cpu, wall;
    uint64_t messages;
};

struct contest {
    struct options options;
    struct rival rivals[RIVALS_MAX];
    size_t rivals_len, streams;
    struct client *clients[RIVALS_MAX];
    struct slice slices[RIVALS_MAX][ROUNDS_MAX];
    int epoll;
};

static void turn(const struct contest *k, int timeout_ms)
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

/* Streams up to the wanted number, some at a time. */
static void connect_up_to(struct contest *k, size_t r, size_t from, size_t to)
{
    struct rival *rival = &k->rivals[r];
    size_t begun = from;
    int64_t limit = now_ns() + 60000 * MS;

    while (rival->ready < to) {
        while (begun < to && begun - rival->ready < CONNECTING_MAX)
            client_begin(&k->clients[r][begun++], rival);
        turn(k, 1000);
        if (now_ns() > limit)
            die("%s: only %zu of %zu streams in time", rival->name, (size_t)rival->ready, to);
    }
}

/* ---- slices ---- */

static void kick(struct contest *k, size_t r)
{
    for (size_t i = 0; i < k->streams; i++) {
        for (size_t n = 0; n < k->options.depth; n++)
            client_ask(&k->clients[r][i]);
    }
}

/* A message at each tick, on each stream in turn; late ones at once. */
static void keep_timetable(struct contest *k, size_t r, int64_t until)
{
    int64_t step = 1000000000 / (int64_t)k->options.rate, due = now_ns();
    size_t i = 0;

    while (due < until) {
        int64_t now = now_ns();

        while (due <= now && due < until) {
            struct client *c = &k->clients[r][i++ % k->streams];

            client_ask(c);
            c->sent[(c->sent_first + c->sent_len - 1) % DEPTH_MAX] = due;
            due += step;
        }
        turn(k, due - now > 2 * MS ? 1 : 0);
    }
}

static void drain(struct contest *k, const struct rival *rival)
{
    int64_t limit = now_ns() + DRAIN_LIMIT;

    while (rival->in_flight > 0) {
        turn(k, 100);
        if (now_ns() > limit)
            die("%s: %zu answers are missing", rival->name, rival->in_flight);
    }
}

static void run_messages(struct contest *k, size_t r, int64_t until)
{
    struct rival *rival = &k->rivals[r];

    if (strcmp(k->options.kind, "timetable") == 0) {
        keep_timetable(k, r, until);
    } else {
        rival->is_active = true;
        kick(k, r);
        while (now_ns() < until)
            turn(k, 1);
    }
    rival->is_active = false;
    drain(k, rival);
}

static void run_connects(struct contest *k, size_t r, int64_t until)
{
    struct rival *rival = &k->rivals[r];
    uint64_t before = rival->ended;
    int64_t limit = until + DRAIN_LIMIT;

    rival->churns = rival->is_active = true;
    for (size_t i = 0; i < k->streams; i++)
        client_begin(&k->clients[r][i], rival);
    while (now_ns() < until)
        turn(k, 1);
    rival->is_active = false;
    for (size_t left = 1; left > 0;) {
        left = 0;
        for (size_t i = 0; i < k->streams; i++)
            left += k->clients[r][i].link.is_lost ? 0 : 1;
        if (left)
            turn(k, 10);
        if (now_ns() > limit)
            die("%s: %zu streams do not end", rival->name, left);
    }
    rival->received += rival->ended - before;
}

static void run_slice(struct contest *k, size_t r, size_t round)
{
    struct rival *rival = &k->rivals[r];
    struct slice *slice = &k->slices[r][round];
    int64_t begun = now_ns(), cpu = cpu_of(rival);
    uint64_t received = rival->received;

    if (strcmp(k->options.kind, "connect") == 0)
        run_connects(k, r, begun + k->options.slice_ms * MS);
    else
        run_messages(k, r, begun + k->options.slice_ms * MS);
    *slice = (struct slice){.cpu = cpu_of(rival) - cpu,
                            .wall = now_ns() - begun,
                            .messages = rival->received - received};
    if (slice->messages == 0)
        die("%s: nothing came back", rival->name);
}

static void print_slices(const struct contest *k, size_t r)
{
    const struct rival *rival = &k->rivals[r];
    static const double shares[] = {0.5, 0.9, 0.99, 0.999};

    printf("{\"name\":\"%s\",\"cpu_ns\":[", rival->name);
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

static void run_rounds(struct contest *k)
{
    bool connects = strcmp(k->options.kind, "connect") == 0;

    for (size_t r = 0; r < k->rivals_len; r++) {
        k->clients[r] = calloc(k->streams, sizeof *k->clients[r]);
        if (!k->clients[r])
            die("out of memory");
        if (!connects)
            connect_up_to(k, r, 0, k->streams);
    }
    for (size_t r = 0; r < k->rivals_len; r++) { /* a round to warm up */
        run_slice(k, r, 0);
        k->rivals[r].latency = (struct histogram){0};
    }
    for (size_t round = 0; round < k->options.rounds; round++) {
        for (size_t i = 0; i < k->rivals_len; i++)
            run_slice(k, (round + i) % k->rivals_len, round);
    }
    for (size_t r = 0; r < k->rivals_len; r++)
        print_slices(k, r);
}

/* ---- memory ---- */

static long resident_kb(const struct rival *rival)
{
    char path[64], line[128];
    long kb = -1;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)rival->pid);
    file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "Rss: %ld", &kb) == 1)
            break;
    }
    if (file)
        fclose(file);
    if (kb < 0)
        die("%s: %s cannot be read", rival->name, path);
    return kb;
}

static void settle(const struct contest *k)
{
    int64_t until = now_ns() + (int64_t)k->options.settle_ms * MS;

    while (now_ns() < until)
        turn(k, 50);
}

static void hold(struct contest *k, size_t r, const size_t *steps, size_t steps_len)
{
    struct rival *rival = &k->rivals[r];
    size_t most = steps[steps_len - 1];
    long before = resident_kb(rival);

    k->clients[r] = calloc(most, sizeof *k->clients[r]);
    if (!k->clients[r])
        die("out of memory");
    rival->is_active = true; /* none may be lost */
    printf("{\"name\":\"%s\",\"before_kb\":%ld,\"held\":[", rival->name, before);
    for (size_t i = 0; i < steps_len; i++) {
        connect_up_to(k, r, i ? steps[i - 1] : 0, steps[i]);
        settle(k);
        printf("%s[%zu,%ld]", i ? "," : "", steps[i], resident_kb(rival));
    }
    printf("]}\n");
    fflush(stdout);
    rival->is_active = false;
    for (size_t i = 0; i < most; i++)
        link_end(&k->clients[r][i].link);
    free(k->clients[r]);
}

static void run_idle(struct contest *k)
{
    size_t steps[32], len = 0;

    for (const char *at = k->options.streams; at && len < 32; at = strchr(at, ',')) {
        at += *at == ',' ? 1 : 0;
        steps[len++] = strtoul(at, NULL, 10);
    }
    for (size_t r = 0; r < k->rivals_len; r++) {
        hold(k, r, steps, len);
        settle(k);
    }
}

/* ---- set-up ---- */

static void add_option(struct options *o, const char *text)
{
    const char *value = strchr(text, '=') + 1;
    size_t len = (size_t)(value - text - 1), number = strtoul(value, NULL, 10);
    struct {
        const char *name;
        size_t *to;
    } numbers[] = {{"depth", &o->depth},
                   {"size", &o->size},
                   {"rate", &o->rate},
                   {"rounds", &o->rounds},
                   {"settle", &o->settle_ms}};

    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (strlen(numbers[i].name) == len && memcmp(text, numbers[i].name, len) == 0) {
            *numbers[i].to = number;
            return;
        }
    }
    if (strncmp(text, "streams=", 8) == 0)
        o->streams = value;
    else if (strncmp(text, "target=", 7) == 0)
        o->target = value;
    else if (strncmp(text, "slice=", 6) == 0)
        o->slice_ms = (int64_t)number;
    else
        die("unknown: %s", text);
}

/* NAME:PORT:PID */
static void add_rival(struct contest *k, char *text)
{
    char *port = strchr(text, ':'), *pid = port ? strchr(port + 1, ':') : NULL;
    struct rival *rival = &k->rivals[k->rivals_len++];

    if (!pid || k->rivals_len > RIVALS_MAX)
        die("not NAME:PORT:PID, or too many: %s", text);
    *port++ = '\0';
    *pid++ = '\0';
    rival->name = text;
    rival->address = (struct sockaddr_in){.sin_family = AF_INET,
                                          .sin_port = htons((uint16_t)atoi(port)),
                                          .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    rival->pid = (pid_t)atoi(pid);
    if (clock_getcpuclockid(rival->pid, &rival->clock) != 0)
        die("%s: no process %s", rival->name, pid);
}

static void make_message(struct contest *k, struct rival *rival)
{
    static const uint8_t mask[4] = {0x21, 0x43, 0x65, 0x87};
    static const char ask[] = "<iq xmlns='jabber:client' type='get' id='b' to='bench.example'>"
                              "<burst xmlns='bench'/></iq>";
    static const char head[] = "<message xmlns='jabber:client' type='groupchat' id='m1' "
                               "to='room@conference.bench.example'><body>";
    static const char tail[] = "</body></message>";
    struct buf text = BUF_INIT;

    rival->expected = 1;
    if (strcmp(k->options.kind, "burst") == 0) {
        rival->expected = BURST;
        buf_add_str(&text, ask);
    } else {
        buf_add_str(&text, head);
        while (text.len + strlen(tail) < k->options.size)
            buf_add_str(&text, "x");
        buf_add_str(&text, tail);
    }
    ws_encode(&rival->message, WS_OP_TEXT, text.data, text.len, mask);
    buf_done(&text);
}

int main(int argc, char **argv)
{
    static struct contest k = {.options = {.streams = "50",
                                           .target = "/xmpp-websocket?room=bench",
                                           .depth = 1,
                                           .size = 300,
                                           .rate = 10000,
                                           .rounds = 20,
                                           .settle_ms = 2000,
                                           .slice_ms = 200}};

    if (argc < 3)
        die("usage: load KIND KEY=VALUE... NAME:PORT:PID... (see load.c)");
    raise_file_limit();
    k.options.kind = argv[1];
    k.epoll = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 2; i < argc; i++) {
        if (strchr(argv[i], '='))
            add_option(&k.options, argv[i]);
        else
            add_rival(&k, argv[i]);
    }
    k.streams = strtoul(k.options.streams, NULL, 10);
    if (k.streams == 0 || k.options.rounds == 0 || k.options.rounds > ROUNDS_MAX ||
        k.options.depth == 0 || k.options.depth > DEPTH_MAX || k.options.rate == 0)
        die("an option is out of range");
    for (size_t r = 0; r < k.rivals_len; r++) {
        k.rivals[r].epoll = k.epoll;
        k.rivals[r].target = k.options.target;
        make_message(&k, &k.rivals[r]);
    }
    if (strcmp(k.options.kind, "idle") == 0)
        run_idle(&k);
    else
        run_rounds(&k);
    return 0;
}
