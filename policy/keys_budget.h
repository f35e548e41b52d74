/*
 * What asking for keys that are not here may cost. Private to policy/ (keys.c).
 *
 * Those who are logged in and those who are not have a budget each, so that the latter, who may be anybody,
 * cannot use up the former's. Of the latter each place has a share besides.
 */
#pragma once

#include "policy/keys.h"

/* What one may have had more than it is paid for by now: nothing, at first. */
struct keys_bucket {
    int64_t debt_ms, at_ms;
};

/* Only who still has a debt needs a place here, and the common budget lets no more than 80 have one:
 * 30 at once, and 50 in the 100 s it takes to be rid of the largest. */
#define KEYS_PLACES 128

struct keys_budget {
    struct keys_bucket logged_in, strangers;
    struct {
        unsigned char id[KEYS_PLACE_LEN];
        struct keys_bucket bucket;
    } places[KEYS_PLACES];
};

/* In fetches of one key. Only who is logged in pays for a document by it. */
#define KEYS_COST_KEY 1
#define KEYS_COST_DOCUMENT 12

/* Whether asker may have one more; if so it is spent. */
bool keys_budget_spend(struct keys_budget *budget, const struct keys_asker *asker, int cost,
                       int64_t now_ms);
