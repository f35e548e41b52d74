/*
 * Who waits at the door, in the order of arrival: all of them, and those of one address. What is in a
 * crowd embeds a member; nothing here is allocated for one who has no address.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

struct crowd;
struct crowd_place;

struct crowd_member {
    struct crowd_place *place; /* of its address; NULL: it has none */
    struct crowd_member *prev, *next, *prev_same, *next_same;
};

struct crowd *crowd_new(void); /* NULL when out of memory */
void crowd_free(struct crowd *crowd); /* empty by then; accepts NULL */

/* Adds a member as the newest; address may be NULL, and counts by its peer_network. False when out of
 * memory: then it is not in. */
bool crowd_add(struct crowd *crowd, struct crowd_member *member, const struct in6_addr *address);
void crowd_remove(struct crowd *crowd, struct crowd_member *member);

/* How many there are, in all (address NULL) or of one address; and the oldest of them, NULL when there
 * is none. */
size_t crowd_len(const struct crowd *crowd, const struct in6_addr *address);
struct crowd_member *crowd_oldest(const struct crowd *crowd, const struct in6_addr *address);
