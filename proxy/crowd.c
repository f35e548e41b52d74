/*
 * Two queues through each member: the whole crowd's and its address's, so that the oldest of either
 * is found at once, however many there are. What a newcomer gets wrong: these are utlist's, in
 * which the first one's prev is the last.
 */
#include "proxy/crowd.h"

#include "proxy/peers.h"

#include <assert.h>
#include <stdlib.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include <utlist.h>

struct crowd_place {
    struct in6_addr network;
    struct crowd_member *first;
    size_t len;
    UT_hash_handle hh;
};

struct crowd {
    struct crowd_member *first;
    size_t len;
    struct crowd_place *places;
};

struct crowd *crowd_new(void)
{
    return calloc(1, sizeof(struct crowd));
}

void crowd_free(struct crowd *crowd)
{
    if (!crowd)
        return;
    assert(!crowd->first && !crowd->places);
    free(crowd);
}

static struct crowd_place *find(const struct crowd *crowd, const struct in6_addr *address)
{
    const struct in6_addr network = peer_network(address);
    struct crowd_place *place = NULL;

    HASH_FIND(hh, crowd->places, &network, sizeof network, place);
    return place;
}

static struct crowd_place *make(struct crowd *crowd, const struct in6_addr *address)
{
    struct crowd_place *place = calloc(1, sizeof *place);

    if (!place)
        return NULL;
    place->network = peer_network(address);
    HASH_ADD(hh, crowd->places, network, sizeof place->network, place);
    if (place->hh.tbl)
        return place;
    free(place); /* no memory for the table */
    return NULL;
}

bool crowd_add(struct crowd *crowd, struct crowd_member *member, const struct in6_addr *address)
{
    member->place = NULL;
    if (address) {
        member->place = find(crowd, address);
        if (!member->place)
            member->place = make(crowd, address);
        if (!member->place)
            return false;
        DL_APPEND2(member->place->first, member, prev_same, next_same);
        member->place->len++;
    }
    DL_APPEND(crowd->first, member);
    crowd->len++;
    return true;
}

void crowd_remove(struct crowd *crowd, struct crowd_member *member)
{
    struct crowd_place *place = member->place;

    DL_DELETE(crowd->first, member);
    crowd->len--;
    if (!place)
        return;
    DL_DELETE2(place->first, member, prev_same, next_same);
    member->place = NULL;
    if (--place->len > 0)
        return;
    HASH_DEL(crowd->places, place);
    free(place);
}

size_t crowd_len(const struct crowd *crowd, const struct in6_addr *address)
{
    const struct crowd_place *place = address ? find(crowd, address) : NULL;

    return !address ? crowd->len : place ? place->len : 0;
}

struct crowd_member *crowd_oldest(const struct crowd *crowd, const struct in6_addr *address)
{
    const struct crowd_place *place = address ? find(crowd, address) : NULL;

    return !address ? crowd->first : place ? place->first : NULL;
}
