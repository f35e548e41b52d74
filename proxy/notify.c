/*
 * systemd. The watchdog is fed from the loop's tick, so that a loop that stands still is seen.
 */
#include "proxy/notify.h"

#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#define STATUS_MAX 1024

void notify_ready(void)
{
    sd_notify(0, "READY=1");
}

void notify_stopping(void)
{
    sd_notify(0, "STOPPING=1");
}

void notify_reloading(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld",
               (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
}

void notify_tick(int64_t now_ms)
{
    static int64_t next_ms;
    uint64_t limit_us;

    if (now_ms < next_ms)
        return;
    if (sd_watchdog_enabled(0, &limit_us) <= 0) {
        next_ms = INT64_MAX;
        return;
    }
    sd_notify(0, "WATCHDOG=1");
    next_ms = now_ms + (int64_t)(limit_us / 1000 / 3);
}

static void add_problem(char *text, const char *what, const char *problem)
{
    size_t len = strlen(text);

    if (problem[0])
        snprintf(text + len, STATUS_MAX - len, "; %s: %s", what, problem);
}

void notify_status(const struct notify_facts *facts)
{
    static char told[STATUS_MAX];
    char text[STATUS_MAX];

    snprintf(text, sizeof text, "%s%zu streams, %zu rooms (%zu kept)",
             facts->is_stopping ? "Stopping: " : "", facts->streams, facts->rooms, facts->kept);
    if (facts->is_prosody_down)
        add_problem(text, "clients are refused", "Prosody cannot be reached");
    add_problem(text, "lobby users are refused, the service account is not logged in",
                facts->service);
    add_problem(text, "persistence is off, state.file", facts->state);
    add_problem(text, "instances do not keep out of each other's rooms", facts->fence);
    for (char *at = text; *at; at++) /* a line, and UTF-8 that may have been cut */
        *at = *at >= ' ' && *at < 0x7f ? *at : '?';
    if (strcmp(text, told) == 0)
        return;
    memcpy(told, text, strlen(text) + 1);
    sd_notifyf(0, "STATUS=%s", text);
}
