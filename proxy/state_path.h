/*
 * Where the state file is. It may be named by a symbolic link, moved or removed while it is open, or be all
 * that a container was given of its folder; processes that share it must find the same files all the same.
 */
#pragma once

#include <stdbool.h>

/* The path it has, or will have once it is made, without symbolic links; what cannot be resolved stays as it
 * is. To be freed; NULL when out of memory. */
char *state_path_resolve(const char *name);
/* Another file than the open one is there, or none. False too where that cannot be told. */
bool state_path_leads_elsewhere(const char *path, int file);
/* A mount of its own: what belongs beside it is not where others have it. */
bool state_path_is_mounted_alone(const char *path);
