/*
 * What keeps instances on one machine from changing a room while another lets people in (struct
 * room_actions.fence): a byte for each room in a file beside the state file, locked for reading by who
 * lets people in and for writing by who changes it. The kernel lets go of what a process held when it
 * ends, however it ends. Nothing blocks, and nothing is written to the disk that a crash could spoil.
 */
#pragma once

#include "policy/actions.h"

struct fence;

/* state_file: its name. NULL when out of memory. A file that cannot be made fences nothing: the state
 * file has the same trouble, and says so. */
struct fence *fence_new(const char *state_file);
void fence_free(struct fence *fence); /* accepts NULL */
/* As in struct room_actions. */
bool fence_set(struct fence *fence, const char *room, enum room_fence wanted, uint64_t *ret_changes);
uint64_t fence_count_change(struct fence *fence, const char *room);
