/*
 * What systemd is told (sd_notify(3)), where it started us with Type=notify; else nothing happens.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void notify_ready(void);
void notify_stopping(void);
/* Around a reload. */
void notify_reloading(void);
/* Each tick: feeds the watchdog, as the loop goes round. */
void notify_tick(int64_t now_ms);

/* What `systemctl status` shows of us. A problem is "" where there is none; it may be anybody's text. */
struct notify_facts {
    size_t streams, rooms, kept; /* rooms that are held persistent */
    bool is_stopping;
    bool is_prosody_down;
    const char *service; /* why its account is not logged in */
    const char *state;   /* why the state file cannot be used */
    const char *fence;   /* why instances cannot keep out of each other's rooms */
};

/* Told where it is not what was told last. */
void notify_status(const struct notify_facts *facts);
