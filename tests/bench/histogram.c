/*
 * See histogram.h: the top five bits behind a number's first say its step.
 */
#include "histogram.h"

#include <string.h>

#define STEP_BITS 5

void histogram_add(struct histogram *h, int64_t ns)
{
    uint64_t value = ns < HISTOGRAM_STEPS ? HISTOGRAM_STEPS : (uint64_t)ns;
    unsigned doubling = 63 - (unsigned)__builtin_clzll(value);
    unsigned step = (unsigned)(value >> (doubling - STEP_BITS)) & (HISTOGRAM_STEPS - 1);

    h->counts[doubling * HISTOGRAM_STEPS + step]++;
    h->len++;
}

double histogram_at(const struct histogram *h, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)h->len), seen = 0;

    for (unsigned i = 0; i < 64 * HISTOGRAM_STEPS; i++) {
        seen += h->counts[i];
        if (h->counts[i] && seen >= wanted) {
            double base = (double)(1ULL << (i / HISTOGRAM_STEPS));

            return base * (1 + (i % HISTOGRAM_STEPS + 0.5) / HISTOGRAM_STEPS);
        }
    }
    return 0;
}
