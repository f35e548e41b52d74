/*
 * The query of a URL, read as Prosody's util.http.formdecode reads it: '&' alone parts it, names and
 * values are percent-decoded, '+' is a space, the last of several wins (wire fact 3).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum query_result {
    QUERY_OK = 0,
    QUERY_ABSENT,
    QUERY_NO_MEMORY,
};

/* The value that counts of parameter name in query (len bytes, without '?'). *ret_value is
 * NUL-terminated and the caller's to free; *ret_len is its true length, so that an encoded NUL shows;
 * *ret_count says how many there were. Written only on QUERY_OK. */
enum query_result query_get(const char *query, size_t len, const char *name, char **ret_value,
                            size_t *ret_len, size_t *ret_count) __attribute__((warn_unused_result));
