/*
 * Looking through a message sixteen bytes at a time: what the relay does with every byte it passes on.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* How many bytes from s on are printable ASCII other than the three in stops (of which some may be
 * the same). */
size_t find_stop(const char *s, size_t len, const char stops[3]);
/* Whether text, of at least two bytes, stands in s. */
bool find_text(const char *s, size_t len, const char *text);
