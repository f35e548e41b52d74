/*
 * Finds a privilege in a token's payload by its path ("context.features.lobby").
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

enum claim_value {
    CLAIM_ABSENT = 0,
    CLAIM_TRUE,       /* JSON true: the only value that counts */
    CLAIM_FALSE,      /* JSON false */
    CLAIM_WRONG_TYPE, /* "true", 1, null ...: found and not used */
};

/* The value at path, names parted by dots. A part of the way that is no object: CLAIM_ABSENT. */
enum claim_value claim_find(const json_t *payload, const char *path);
