/*
 * Proxies that are loaded in turn, and what was measured of each.
 */
#pragma once

#include "client.h"

#define RIVALS_MAX 8
#define ROUNDS_MAX 1000
#define STEPS_MAX 32
#define MS INT64_C(1000000)

struct options {
    const char *streams, *target;
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
    size_t rivals_len;
    struct slice slices[RIVALS_MAX][ROUNDS_MAX];
    int epoll;
};

/* So many clients of each rival. */
struct crew {
    struct client *clients[RIVALS_MAX];
    size_t len;
};

struct load {
    const char *name;
    /* Loads one rival until then, and comes back when all that was sent is answered. */
    void (*run)(struct contest *k, struct rival *rival, struct client *clients, size_t len,
                int64_t until);
    bool holds_streams; /* the crew is connected before, not by the load */
};

/* NULL: none is called so. */
const struct load *load_named(const char *name);

/* One turn of the loop. */
void turn(const struct contest *k, int timeout_ms);
/* All of them allocated, none connected. */
void crew_init(struct contest *k, struct crew *crew, size_t len);
/* Connects clients from to to of one rival, some at a time. */
void crew_connect(struct contest *k, struct crew *crew, size_t r, size_t from, size_t to);
/* Waits for what is on its way. */
void drain(struct contest *k, const struct rival *rival);

/* The rounds of one load. Prints a line of JSON for each rival: it begins with "name", and with what
 * note says, which ends in a comma or is empty. */
void measure(struct contest *k, const struct load *load, struct crew *crew, const char *note);

/* Numbers with commas between them; how many there are. */
size_t steps_of(const char *text, size_t *steps);
/* Memory of idle streams; each rival by itself. */
void run_idle(struct contest *k);
/* Cost of a message and of a handshake beside idle streams. */
void run_growth(struct contest *k);
