/*
 * The load generator: see usage. One line of JSON for each rival, and each step where there are
 * several.
 */
#include "contest.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

static const char usage[] =
    "usage: load KIND KEY=VALUE... NAME:PORT:PID...\n"
    "  ping       streams= depth= size=   a message of size bytes comes back, depth at a time "
    "each\n"
    "  join       streams= depth=         the same with a join of a room and one's own presence\n"
    "  burst      streams=                each request brings 100 stanzas of 600 bytes\n"
    "  timetable  streams= size= rate=    so many messages a second, answered or not\n"
    "  connect    streams=                so many at a time connect, log in, bind and close\n"
    "  storm      streams=                so many at once do so and join, all leave, and again\n"
    "  idle       streams=1000,2000,...   memory with so many held; each rival by itself\n"
    "  growth     streams=100,1000,...    ping and connect beside so many idle ones\n"
    "further: rounds=, slice=, settle= (milliseconds), target= (path and query)";

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
        die("unknown: %s\n%s", text, usage);
}

/* NAME:PORT:PID */
static void add_rival(struct contest *k, char *text)
{
    char *port = strchr(text, ':'), *pid = port ? strchr(port + 1, ':') : NULL;
    struct rival *rival = &k->rivals[k->rivals_len];

    if (!pid || k->rivals_len == RIVALS_MAX)
        die("not NAME:PORT:PID, or too many: %s\n%s", text, usage);
    k->rivals_len++;
    *port++ = '\0';
    *pid++ = '\0';
    rival->name = text;
    rival->address = (struct sockaddr_in){.sin_family = AF_INET,
                                          .sin_port = htons((uint16_t)atoi(port)),
                                          .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    rival->pid = (pid_t)atoi(pid);
    rival->epoll = k->epoll;
    if (clock_getcpuclockid(rival->pid, &rival->clock) != 0)
        die("%s: no process %s", rival->name, pid);
}

static void add_frame(struct buf *to, const struct buf *text)
{
    static const uint8_t mask[4] = {0x21, 0x43, 0x65, 0x87};

    ws_encode(to, WS_OP_TEXT, text->data, text->len, mask);
}

static void make_frames(const struct contest *k, struct rival *rival, const char *kind)
{
    static const char join[] =
        "<presence xmlns='jabber:client' to='bench@conference.bench.example/1a2b3c4d'>"
        "<x xmlns='http://jabber.org/protocol/muc'/><stats-id>Somebody-Abc</stats-id>"
        "<nick xmlns='http://jabber.org/protocol/nick'>Somebody</nick></presence>";
    static const char ask[] = "<iq xmlns='jabber:client' type='get' id='b' to='bench.example'>"
                              "<burst xmlns='bench'/></iq>";
    static const char head[] = "<message xmlns='jabber:client' type='groupchat' id='m1' "
                               "to='bench@conference.bench.example'><body>";
    static const char tail[] = "</body></message>";
    struct buf text = BUF_INIT;

    buf_add_str(&text, join);
    add_frame(&rival->join, &text);
    buf_clear(&text);
    rival->expected = strcmp(kind, "burst") == 0 ? BURST : 1;
    if (strcmp(kind, "burst") == 0) {
        buf_add_str(&text, ask);
    } else if (strcmp(kind, "join") == 0) {
        buf_add_str(&text, join);
    } else {
        buf_add_str(&text, head);
        while (text.len + strlen(tail) < k->options.size)
            buf_add_str(&text, "x");
        buf_add_str(&text, tail);
    }
    add_frame(&rival->message, &text);
    buf_done(&text);
}

static void run(struct contest *k, const struct load *load)
{
    struct crew crew;
    size_t steps[STEPS_MAX];

    steps_of(k->options.streams, steps);
    crew_init(k, &crew, steps[0]);
    for (size_t r = 0; load->holds_streams && r < k->rivals_len; r++)
        crew_connect(k, &crew, r, 0, crew.len);
    measure(k, load, &crew, "");
}

static void check(const struct options *o)
{
    size_t steps[STEPS_MAX], len = steps_of(o->streams, steps);
    bool is_good = steps[0] > 0 && o->rounds > 0 && o->rounds <= ROUNDS_MAX && o->depth > 0 &&
                   o->depth <= DEPTH_MAX && o->rate > 0;

    for (size_t i = 1; i < len; i++)
        is_good = is_good && steps[i] > steps[i - 1];
    if (!is_good)
        die("an option is out of range\n%s", usage);
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
    const char *kind = argc > 2 ? argv[1] : "";
    const struct load *load = load_named(kind);
    bool is_idle = strcmp(kind, "idle") == 0, is_growth = strcmp(kind, "growth") == 0;

    if (!load && !is_idle && !is_growth)
        die("%s", usage);
    raise_file_limit();
    k.epoll = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 2; i < argc; i++) {
        if (strchr(argv[i], '='))
            add_option(&k.options, argv[i]);
        else
            add_rival(&k, argv[i]);
    }
    check(&k.options);
    for (size_t r = 0; r < k.rivals_len; r++) {
        k.rivals[r].target = k.options.target;
        make_frames(&k, &k.rivals[r], kind);
    }
    if (is_idle)
        run_idle(&k);
    else if (is_growth)
        run_growth(&k);
    else
        run(&k, load);
    return 0;
}
