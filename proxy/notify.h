/*
 * What systemd is told (sd_notify(3)), where it started us with Type=notify; else nothing happens.
 */
#pragma once

#include <stdint.h>

void notify_ready(void);
void notify_stopping(void);
/* Around a reload. */
void notify_reloading(void);
/* Each tick: feeds the watchdog, as the loop goes round. */
void notify_tick(int64_t now_ms);
