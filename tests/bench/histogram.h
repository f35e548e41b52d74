/*
 * Times, counted in steps of about 2 %.
 */
#pragma once

#include <stdint.h>

#define HISTOGRAM_STEPS 32 /* of each doubling */

struct histogram {
    uint64_t counts[64 * HISTOGRAM_STEPS];
    uint64_t len;
};

void histogram_add(struct histogram *h, int64_t ns);
/* The time that the share (0 to 1) does not exceed; 0 when nothing was counted. */
double histogram_at(const struct histogram *h, double share);
