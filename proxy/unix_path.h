/*
 * Makes room for a unix socket to listen on.
 */
#pragma once

#include <stdbool.h>

/* A socket left there by a process that is gone is removed; one that answers, and what is no socket, is
 * not ours to take: false, and the reason was logged. */
bool unix_path_clear(const char *path);
