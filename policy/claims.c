/*
 * Finds a privilege in a token's payload. Only JSON true is one: a backend that writes "true" or 1
 * has made a mistake that Prosody's modules do not forgive either.
 */
#include "policy/claims.h"

#include <string.h>

enum claim_value claim_find(const json_t *payload, const char *path)
{
    const json_t *value = payload;

    for (const char *name = path;;) {
        size_t len = strcspn(name, ".");

        /* NULL as well when value is no object. */
        value = json_object_getn(value, name, len);
        if (!value)
            return CLAIM_ABSENT;
        if (name[len] == '\0')
            break;
        name += len + 1;
    }
    if (json_is_true(value))
        return CLAIM_TRUE;
    return json_is_false(value) ? CLAIM_FALSE : CLAIM_WRONG_TYPE;
}
