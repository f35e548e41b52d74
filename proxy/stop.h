/*
 * Stopping without loss: nobody new, then the streams one after the other over a window, evenly, so that
 * their clients do not come back all at once; then the rooms, while the service account still speaks; then
 * the end. A second signal ends it at once.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct proxy;

enum stop_step {
    STOP_NOT,
    STOP_DRAINING, /* streams are closed */
    STOP_ROOMS,    /* held joins are settled, rooms given back or handed over */
    STOP_CLOSING,  /* the last words are on their way */
};

struct stop {
    enum stop_step step;
    int64_t began, deadline; /* of the step */
    size_t closed;
};

/* A signal to stop; why names it for the log. */
void stop_signal(struct proxy *p, const char *why);
/* Each tick. */
void stop_tick(struct proxy *p, int64_t now);
