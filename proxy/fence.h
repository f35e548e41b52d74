/*
 * What keeps instances on one machine from changing a room while another lets people in (struct
 * room_actions.fence): a byte for each room in a file beside the state file, locked for reading by who
 * lets people in and for writing by who changes it. The kernel lets go of what a process held when it
 * ends, however it ends. Nothing blocks, and nothing is written to the disk that a crash could spoil.
 *
 * A file that cannot be used is in nobody's way: joins go on, lobbies are turned on, and what is known of
 * a room is asked anew every other second. It is said, and tried again.
 */
#pragma once

#include "policy/actions.h"

struct fence;

#define FENCE_PROBLEM_MAX 160

/* state_file: its name. NULL when out of memory. */
struct fence *fence_new(const char *state_file);
void fence_free(struct fence *fence); /* accepts NULL */
/* As in struct room_actions. */
bool fence_set(struct fence *fence, const char *room, enum room_fence wanted, uint64_t *ret_changes);
uint64_t fence_count_change(struct fence *fence, const char *room);
bool fence_is_changing(struct fence *fence, const char *room, uint64_t *ret_changes);
/* Looks every other second whether the file still is the one of that name, and opens it anew. True: it is
 * another one now, in which nothing is set (rooms_fence_anew). */
bool fence_tick(struct fence *fence, int64_t now);
/* What is wrong with it; "": nothing. */
const char *fence_problem(const struct fence *fence);
