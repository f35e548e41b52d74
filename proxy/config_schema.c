/*
 * The schema's table, the nearest known name to an unknown one, and the schema as libcyaml wants
 * it.
 *
 * libcyaml stops at the first thing it does not like. So it is given text only, of the keys that
 * are known to be well-formed (config_file.c); kinds and ranges are judged afterwards, in config.c,
 * where values from the file and from the environment meet.
 */
#include "proxy/config_schema.h"

#include <assert.h>
#include <cyaml/cyaml.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY(name, path, kind, fallback, lowest, highest, choices, jitsi_variable)                  \
    [KEY_##name] = {path,    CONFIG_##kind, fallback,           lowest,                            \
                    highest, choices,       "VESTIBULE_" #name, jitsi_variable},
const struct config_key config_keys[CONFIG_KEY_COUNT] = {CONFIG_KEYS(KEY)};
#undef KEY

#define NAME_MAX_BYTES 64
#define SECTIONS_MAX 16

enum config_key_id config_key_find(const char *path)
{
    unsigned id = 0;
    while (id < CONFIG_KEY_COUNT && strcmp(config_keys[id].path, path) != 0)
        id++;
    return (enum config_key_id)id;
}

bool config_is_section(const char *path, size_t len)
{
    if (len == 0)
        return true;
    for (unsigned id = 0; id < CONFIG_KEY_COUNT; id++) {
        const char *known = config_keys[id].path;
        if (strncmp(known, path, len) == 0 && known[len] == '.')
            return true;
    }
    return false;
}

static size_t smallest(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* How many letters have to be changed, left out, put in or swapped with their neighbour; SIZE_MAX
 * where the lengths alone say that it is not less than limit. */
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len, size_t limit)
{
    size_t rows[3][NAME_MAX_BYTES + 1];
    size_t *above2 = rows[0], *above = rows[1], *row = rows[2];
    if (a_len > NAME_MAX_BYTES || b_len > NAME_MAX_BYTES ||
        (a_len > b_len ? a_len - b_len : b_len - a_len) >= limit)
        return SIZE_MAX;
    for (size_t j = 0; j <= b_len; j++)
        above[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            bool same = a[i - 1] == b[j - 1];
            row[j] = smallest(above[j] + 1, row[j - 1] + 1, above[j - 1] + (same ? 0 : 1));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = smallest(row[j], row[j], above2[j - 2] + 1);
        }
        size_t *spare = above2;
        above2 = above;
        above = row;
        row = spare;
    }
    return above[b_len];
}

static size_t near_enough(size_t len)
{
    return len <= 3 ? 1 : len <= 12 ? 2 : 3;
}

static const char *last_name(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot == NULL ? path : dot + 1;
}

/* Where the name at the depth of prefix_len ends in a known path: its key, or the section it is. */
static size_t name_end(const char *known, size_t prefix_len)
{
    return prefix_len + strcspn(known + prefix_len, ".");
}

const char *config_suggest_path(char *ret, size_t ret_size, const char *path)
{
    const char *name = last_name(path);
    size_t prefix_len = (size_t)(name - path);
    size_t name_len = strlen(name);
    size_t best = near_enough(name_len) + 1;
    const char *found = NULL;
    size_t found_len = 0;
    for (unsigned id = 0; id < CONFIG_KEY_COUNT; id++) {
        const char *known = config_keys[id].path;
        if (strncmp(known, path, prefix_len) != 0)
            continue;
        size_t end = name_end(known, prefix_len);
        size_t d = distance(name, name_len, known + prefix_len, end - prefix_len, best);
        if (d < best) {
            best = d;
            found = known;
            found_len = end;
        }
    }
    /* The right name in the wrong section. */
    for (unsigned id = 0; found == NULL && id < CONFIG_KEY_COUNT; id++) {
        if (strcmp(last_name(config_keys[id].path), name) == 0) {
            found = config_keys[id].path;
            found_len = strlen(found);
        }
    }
    if (found == NULL)
        return NULL;
    snprintf(ret, ret_size, "%.*s", (int)found_len, found);
    return ret;
}

const char *config_suggest_variable(const char *name)
{
    size_t best = 3;
    const char *found = NULL;
    for (unsigned id = 0; id < CONFIG_KEY_COUNT; id++) {
        const char *known = config_keys[id].variable;
        size_t d = distance(name, strlen(name), known, strlen(known), best);
        if (d < best) {
            best = d;
            found = known;
        }
    }
    return found;
}

struct config_schema {
    struct cyaml_schema_value root;
    /* Each mapping's fields stand together and end with an empty one. */
    struct cyaml_schema_field fields[CONFIG_KEY_COUNT + 2 * SECTIONS_MAX + 2];
    size_t fields_len;
    char section_names[SECTIONS_MAX][NAME_MAX_BYTES];
    size_t sections_len;
};

static const struct cyaml_schema_value item_schema = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 0, CYAML_UNLIMITED)};

static struct cyaml_schema_field key_field(unsigned id)
{
    size_t base = offsetof(struct config_raw, key) + id * sizeof(struct config_raw_key);
    struct cyaml_schema_field text = {
        .key = last_name(config_keys[id].path),
        .data_offset = (uint32_t)(base + offsetof(struct config_raw_key, text)),
        .value = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, char *, 0,
                                     CYAML_UNLIMITED)},
    };
    struct cyaml_schema_field list = {
        .key = last_name(config_keys[id].path),
        .data_offset = (uint32_t)(base + offsetof(struct config_raw_key, items)),
        .count_offset = (uint32_t)(base + offsetof(struct config_raw_key, items_len)),
        .count_size = sizeof(unsigned),
        .value = {CYAML_VALUE_SEQUENCE(CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, char *,
                                       &item_schema, 0, CYAML_UNLIMITED)},
    };
    return config_keys[id].kind == CONFIG_LIST ? list : text;
}

/* The schema of the section whose keys begin with prefix ("", "listen.", "listen.tls."). Sections
 * lie within struct config_raw itself (offset 0), so that every key's place is counted from its
 * start. */
static struct cyaml_schema_value section(struct config_schema *schema, const char *prefix,
                                         size_t prefix_len, const bool wanted[CONFIG_KEY_COUNT])
{
    struct cyaml_schema_field fields[CONFIG_KEY_COUNT + 1];
    size_t len = 0;
    for (unsigned id = 0; id < CONFIG_KEY_COUNT; id++) {
        const char *path = config_keys[id].path;
        if (!wanted[id] || strncmp(path, prefix, prefix_len) != 0)
            continue;
        size_t end = name_end(path, prefix_len);
        if (path[end] == '\0') {
            fields[len++] = key_field(id);
            continue;
        }
        /* The keys of a section stand together in the table. */
        size_t name_len = end - prefix_len;
        if (len > 0 && strlen(fields[len - 1].key) == name_len &&
            strncmp(fields[len - 1].key, path + prefix_len, name_len) == 0)
            continue;
        assert(schema->sections_len < SECTIONS_MAX && name_len < NAME_MAX_BYTES);
        char *name = schema->section_names[schema->sections_len++];
        memcpy(name, path + prefix_len, name_len);
        fields[len++] = (struct cyaml_schema_field){
            .key = name, .value = section(schema, path, end + 1, wanted)};
    }
    fields[len++] = (struct cyaml_schema_field)CYAML_FIELD_END;
    struct cyaml_schema_field *kept = schema->fields + schema->fields_len;
    memcpy(kept, fields, len * sizeof(fields[0]));
    schema->fields_len += len;
    return (struct cyaml_schema_value){
        CYAML_VALUE_MAPPING(CYAML_FLAG_OPTIONAL, struct config_raw, kept)};
}

struct config_schema *config_schema_new(const bool wanted[CONFIG_KEY_COUNT])
{
    struct config_schema *schema = calloc(1, sizeof(*schema));
    if (schema == NULL)
        return NULL;
    schema->root = section(schema, "", 0, wanted);
    schema->root.flags = CYAML_FLAG_POINTER;
    return schema;
}

const struct cyaml_schema_value *config_schema_root(const struct config_schema *schema)
{
    return &schema->root;
}

void config_schema_free(struct config_schema *schema)
{
    free(schema);
}
