/*
 * See keys_budget.h. Budgets are kept as debts in time, which pass by themselves: so one that was
 * never used, and zeroed memory, is one that is whole.
 */
#include "policy/keys_budget.h"

#include <string.h>

struct rate {
    int64_t burst, every_ms; /* so many at once, and one more as often */
};

/* Deployments have few keys, and who is logged in has a token by one of them. */
static const struct rate rate_logged_in = {60, 1000};
static const struct rate rate_strangers = {30, 2000};
static const struct rate rate_place = {10, 10000};

static int64_t debt(const struct keys_bucket *bucket, int64_t now_ms)
{
    int64_t passed = now_ms > bucket->at_ms ? now_ms - bucket->at_ms : 0;

    return passed < bucket->debt_ms ? bucket->debt_ms - passed : 0;
}

static bool has_left(const struct keys_bucket *bucket, const struct rate *rate, int cost,
                     int64_t now_ms)
{
    return debt(bucket, now_ms) + cost * rate->every_ms <= rate->burst * rate->every_ms;
}

static void spend(struct keys_bucket *bucket, const struct rate *rate, int cost, int64_t now_ms)
{
    *bucket = (struct keys_bucket){debt(bucket, now_ms) + cost * rate->every_ms, now_ms};
}

/* The bucket of a place; where it has none, that of the one with the least debt becomes its own. */
static struct keys_bucket *bucket_of(struct keys_budget *budget, const unsigned char *id,
                                     int64_t now_ms)
{
    size_t least = 0;

    for (size_t i = 0; i < KEYS_PLACES; i++) {
        if (memcmp(budget->places[i].id, id, KEYS_PLACE_LEN) == 0)
            return &budget->places[i].bucket;
        if (debt(&budget->places[i].bucket, now_ms) < debt(&budget->places[least].bucket, now_ms))
            least = i;
    }
    memcpy(budget->places[least].id, id, KEYS_PLACE_LEN);
    budget->places[least].bucket = (struct keys_bucket){0};
    return &budget->places[least].bucket;
}

bool keys_budget_spend(struct keys_budget *budget, const struct keys_asker *asker, int cost,
                       int64_t now_ms)
{
    static const unsigned char nowhere[KEYS_PLACE_LEN];
    struct keys_bucket *place = NULL;

    if (asker->is_logged_in) {
        if (!has_left(&budget->logged_in, &rate_logged_in, cost, now_ms))
            return false;
        spend(&budget->logged_in, &rate_logged_in, cost, now_ms);
        return true;
    }
    /* First the common one: who is turned away by that takes no place. */
    if (!has_left(&budget->strangers, &rate_strangers, cost, now_ms))
        return false;
    if (memcmp(asker->place, nowhere, sizeof nowhere) != 0) {
        place = bucket_of(budget, asker->place, now_ms);
        if (!has_left(place, &rate_place, cost, now_ms))
            return false;
        spend(place, &rate_place, cost, now_ms);
    }
    spend(&budget->strangers, &rate_strangers, cost, now_ms);
    return true;
}
