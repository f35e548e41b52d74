/*
 * systemd. The watchdog is fed from the loop's tick, so that a loop that stands still is seen.
 */
#include "proxy/notify.h"

#include <stdbool.h>
#include <systemd/sd-daemon.h>
#include <time.h>

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
