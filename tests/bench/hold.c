/*
 * Loads that hold many streams: what those cost in memory, and what they make others cost.
 */
#include "contest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Who works beside the idle streams: the streams of the loads "one" and "connect". */
#define TALKING 50
#define CHURNING 8

size_t steps_of(const char *text, size_t *steps)
{
    size_t len = 0;

    for (const char *at = text; at && len < STEPS_MAX; at = strchr(at, ',')) {
        at += *at == ',' ? 1 : 0;
        steps[len++] = strtoul(at, NULL, 10);
    }
    return len;
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

/* A message there and back on each; one that does not come is fatal. */
static uint64_t count_alive(struct contest *k, struct rival *rival, struct client *clients,
                            size_t len)
{
    uint64_t before = rival->received;
    bool is_active = rival->is_active;

    rival->is_active = false; /* no second message */
    for (size_t i = 0; i < len; i++) {
        client_ask(&clients[i]);
        turn(k, 0);
    }
    drain(k, rival);
    rival->is_active = is_active;
    return rival->received - before;
}

static void hold(struct contest *k, struct crew *crew, size_t r, const size_t *steps,
                 size_t steps_len)
{
    struct rival *rival = &k->rivals[r];

    rival->is_active = true; /* none may be lost */
    printf("{\"name\":\"%s\",\"before_kb\":%ld,\"held\":[", rival->name, resident_kb(rival));
    for (size_t i = 0; i < steps_len; i++) {
        crew_connect(k, crew, r, i ? steps[i - 1] : 0, steps[i]);
        settle(k);
        printf("%s[%zu,%ld]", i ? "," : "", steps[i], resident_kb(rival));
    }
    printf("],\"alive\":%llu}\n",
           (unsigned long long)count_alive(k, rival, crew->clients[r], crew->len));
    fflush(stdout);
    rival->is_active = false;
    for (size_t i = 0; i < crew->len; i++)
        link_end(&crew->clients[r][i].link);
}

void run_idle(struct contest *k)
{
    size_t steps[STEPS_MAX], len = steps_of(k->options.streams, steps);
    struct crew crew;

    crew_init(k, &crew, steps[len - 1]);
    for (size_t r = 0; r < k->rivals_len; r++) {
        hold(k, &crew, r, steps, len);
        settle(k);
    }
}

/* ---- growth ---- */

static void measure_beside(struct contest *k, const char *load, struct crew *crew, size_t held)
{
    char note[64];

    snprintf(note, sizeof note, "\"load\":\"%s\",\"held\":%zu,", load, held);
    measure(k, load_named(load), crew, note);
}

void run_growth(struct contest *k)
{
    size_t steps[STEPS_MAX], len = steps_of(k->options.streams, steps);
    struct crew idle, talking, churning;

    crew_init(k, &idle, steps[len - 1]);
    crew_init(k, &talking, TALKING);
    crew_init(k, &churning, CHURNING);
    for (size_t r = 0; r < k->rivals_len; r++)
        crew_connect(k, &talking, r, 0, TALKING);
    for (size_t i = 0; i < len; i++) {
        for (size_t r = 0; r < k->rivals_len; r++) {
            size_t from = i ? steps[i - 1] : 0;

            crew_connect(k, &idle, r, from, steps[i]);
            for (size_t c = from; c < steps[i]; c++)
                idle.clients[r][c].is_kept = true;
        }
        measure_beside(k, "ping", &talking, steps[i]);
        measure_beside(k, "connect", &churning, steps[i]);
    }
    for (size_t r = 0; r < k->rivals_len; r++) {
        if (count_alive(k, &k->rivals[r], idle.clients[r], idle.len) != idle.len)
            die("%s: idle streams were lost", k->rivals[r].name);
    }
}
