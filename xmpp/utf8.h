/*
 * UTF-8, read strictly (RFC 3629): no overlong form, no surrogate, nothing over U+10FFFF.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* The length of the sequence of two to four bytes at s (len bytes are there); 0 when there is none. */
size_t utf8_sequence(const unsigned char *s, size_t len);
/* Whether all of text is UTF-8. */
bool utf8_valid(const char *text, size_t len);
