/*
 * Looking through a message sixteen bytes at a time: what the relay does with every byte it passes on.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* How many bytes from s on are printable ASCII and no '<', '>' or '&': character data. */
size_t find_markup(const char *s, size_t len);
/* How many are printable ASCII and no '<', '&' or quote: an attribute's value. */
size_t find_quote(const char *s, size_t len, char quote);
/* How many are printable ASCII and none of stops. */
size_t find_stop(const char *s, size_t len, const char stops[3]);

/* For find_text, which knows the length of what is looked for. */
bool find_bytes(const char *s, size_t len, const char *text, size_t text_len);
/* Whether text, of at least two bytes, stands in s. */
static inline bool find_text(const char *s, size_t len, const char *text)
{
    return find_bytes(s, len, text, strlen(text));
}
