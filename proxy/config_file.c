/*
 * The configuration file. It is read twice: libyaml's tree says where every key stands, which ones
 * are unknown, twice there or of the wrong shape, so that all of that is told in one run and with
 * its line; then libcyaml reads, by the schema, the keys that are left.
 *
 * libcyaml alone would stop at the first mistake and name its line only in passing.
 */
#include "proxy/config_load.h"

#include <cyaml/cyaml.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#define PATH_MAX_BYTES 256

const char *config_read_problem(int problem)
{
    switch (problem) {
    case ENOTSUP:
        return "it is no regular file";
    case EFBIG:
        return "it is over 1 MiB";
    case EAGAIN:
        return "it has nothing to read yet";
    default:
        return strerror(problem);
    }
}

/* A reload reads in the loop, where whatever waits stops everybody: opening a pipe waits for who
 * writes, reading a terminal for who types, and even what says it is a regular file may wait
 * (/proc/kmsg). */
static int open_regular(const char *path)
{
    struct stat status;
    int problem, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -1;
    problem = fstat(fd, &status) != 0                   ? errno
              : S_ISDIR(status.st_mode)                 ? EISDIR
              : !S_ISREG(status.st_mode)                ? ENOTSUP
              : status.st_size > (off_t)CONFIG_FILE_MAX ? EFBIG
                                                        : 0;
    if (problem == 0)
        return fd;
    close(fd);
    errno = problem;
    return -1;
}

char *config_read(const char *path, size_t *ret_len)
{
    size_t len = 0, cap = 0;
    char *data = NULL;
    int fd = open_regular(path);
    if (fd < 0)
        return NULL;
    for (;;) {
        if (cap - len < 2) {
            size_t larger_cap = cap == 0 ? 4096 : 2 * cap;
            char *larger = realloc(data, larger_cap);
            if (larger == NULL)
                goto failed;
            data = larger;
            cap = larger_cap;
        }
        ssize_t n = read(fd, data + len, cap - len - 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            goto failed;
        if (n == 0)
            break;
        len += (size_t)n;
        if (len > CONFIG_FILE_MAX) {
            errno = EFBIG;
            goto failed;
        }
    }
    close(fd);
    data[len] = '\0';
    *ret_len = len;
    return data;

failed:;
    int saved = errno;
    close(fd);
    if (data != NULL)
        explicit_bzero(data, len);
    free(data);
    errno = saved;
    return NULL;
}

struct walk {
    struct config_load *load;
    yaml_document_t *document;
    bool seen[CONFIG_KEY_COUNT];
    bool wanted[CONFIG_KEY_COUNT]; /* well-formed: libcyaml may read it */
    bool unreadable;               /* something libcyaml cannot pass over */
};

static unsigned line_of(const yaml_node_t *node)
{
    return (unsigned)node->start_mark.line + 1;
}

static const char *text_of(const yaml_node_t *node)
{
    return (const char *)node->data.scalar.value;
}

/* "key:" and "key: ~" say nothing. */
static bool is_null(const yaml_node_t *node)
{
    if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    const char *text = text_of(node);
    return *text == '\0' || strcmp(text, "~") == 0 || strcasecmp(text, "null") == 0;
}

static bool is_text(const yaml_node_t *node)
{
    return node->type == YAML_SCALAR_NODE && strlen(text_of(node)) == node->data.scalar.length;
}

static const char *shape_text(const yaml_node_t *node)
{
    return node->type == YAML_SEQUENCE_NODE  ? "is a list"
           : node->type == YAML_MAPPING_NODE ? "is a section"
           : is_text(node)                   ? "is one value"
                                             : "is text with a NUL character";
}

static bool is_text_list(struct walk *walk, const yaml_node_t *list)
{
    if (list->type != YAML_SEQUENCE_NODE)
        return false;
    for (const yaml_node_item_t *item = list->data.sequence.items.start;
         item < list->data.sequence.items.top; item++) {
        const yaml_node_t *node = yaml_document_get_node(walk->document, *item);
        if (!is_text(node) || is_null(node))
            return false;
    }
    return true;
}

static void walk_key(struct walk *walk, enum config_key_id id, const yaml_node_t *key,
                     const yaml_node_t *node)
{
    struct config_load *load = walk->load;
    const char *path = config_keys[id].path;
    struct config_value *value = &load->value[id];
    if (walk->seen[id]) {
        config_error_line(load, line_of(key), path,
                          "is there twice, first in line %u; remove one of them", value->line);
        walk->wanted[id] = false;
        value->bad = true;
        return;
    }
    walk->seen[id] = true;
    value->line = line_of(key);
    if (is_null(node))
        return;
    if (config_keys[id].kind != CONFIG_LIST && is_text(node))
        walk->wanted[id] = true;
    else if (config_keys[id].kind != CONFIG_LIST)
        config_error(load, id, "%s, where one value is wanted; write it behind the colon",
                     shape_text(node));
    else if (is_text_list(walk, node))
        walk->wanted[id] = true;
    else if (node->type == YAML_SEQUENCE_NODE)
        config_error(load, id, "is not a list of plain values; write [\"one\", \"two\"]");
    else
        config_error(load, id, "%s, where a list is wanted; write [\"one\", \"two\"]",
                     shape_text(node));
}

/* What is below a section that cannot be read is neither missing nor to be checked. */
static void spoil_section(struct walk *walk, const char *path, size_t len)
{
    for (unsigned id = 0; id < CONFIG_KEY_COUNT; id++) {
        if (strncmp(config_keys[id].path, path, len) == 0 && config_keys[id].path[len] == '.') {
            walk->wanted[id] = false;
            walk->load->value[id].bad = true;
        }
    }
}

/* A key that is missing in a section is told with the section's line. */
static void place_section(struct walk *walk, const char *path, unsigned line)
{
    size_t len = strlen(path);
    for (unsigned id = 0; id < CONFIG_KEY_COUNT; id++) {
        if (strncmp(config_keys[id].path, path, len) == 0 && config_keys[id].path[len] == '.')
            walk->load->value[id].line = line;
    }
}

static void unknown_key(struct walk *walk, const yaml_node_t *key, const char *path)
{
    char near[PATH_MAX_BYTES];
    unsigned line = line_of(key);
    if (config_suggest_path(near, sizeof(near), path) == NULL)
        config_error_line(walk->load, line, path,
                          "is not a known key; remove it, or look it up in the manual");
    else if (strcmp(near, path) == 0)
        config_error_line(
            walk->load, line, path,
            "is one name with a dot; write the section, and the key below it, indented");
    else
        config_error_line(walk->load, line, path, "is not a known key; did you mean %s?", near);
}

/* path with the key's name behind it, the name quoted when it is no word. */
static bool join_path(char *ret, const char *path, const yaml_node_t *key)
{
    char quoted[PATH_MAX_BYTES / 2];
    const char *name = text_of(key);
    size_t len = key->data.scalar.length;
    bool is_word = len > 0 && len < sizeof(quoted) &&
                   strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789_-.") == len;
    snprintf(ret, PATH_MAX_BYTES, "%s%s%s", path, *path == '\0' ? "" : ".",
             is_word ? name : log_quote(quoted, sizeof(quoted), name, len));
    /* "a.b" written as one name is not the key b of section a. */
    return is_word && strchr(name, '.') == NULL;
}

static void walk_section(struct walk *walk, const char *path, const yaml_node_t *section)
{
    const char *seen[CONFIG_KEY_COUNT]; /* the sections below this one */
    size_t seen_len = 0;
    for (const yaml_node_pair_t *pair = section->data.mapping.pairs.start;
         pair < section->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = yaml_document_get_node(walk->document, pair->key);
        const yaml_node_t *node = yaml_document_get_node(walk->document, pair->value);
        char full[PATH_MAX_BYTES];
        if (key->type != YAML_SCALAR_NODE) {
            config_error_line(walk->load, line_of(key), *path == '\0' ? NULL : path,
                              "holds a key that is not a word; write NAME: VALUE");
            walk->unreadable = true;
            continue;
        }
        bool is_name = join_path(full, path, key);
        enum config_key_id id = is_name ? config_key_find(full) : CONFIG_KEY_COUNT;
        if (id != CONFIG_KEY_COUNT) {
            walk_key(walk, id, key, node);
            continue;
        }
        if (!is_name || !config_is_section(full, strlen(full))) {
            unknown_key(walk, key, full);
            continue;
        }
        bool twice = false;
        for (size_t i = 0; i < seen_len; i++)
            twice = twice || strcmp(seen[i], text_of(key)) == 0;
        if (twice) {
            config_error_line(walk->load, line_of(key), full,
                              "is there twice; put its keys into one section");
            spoil_section(walk, full, strlen(full));
            continue;
        }
        seen[seen_len++] = text_of(key);
        place_section(walk, full, line_of(key));
        if (node->type == YAML_MAPPING_NODE) {
            walk_section(walk, full, node);
        } else if (!is_null(node)) {
            config_error_line(walk->load, line_of(key), full,
                              "%s, where a section is wanted; write its keys below it, indented",
                              shape_text(node));
            spoil_section(walk, full, strlen(full));
        }
    }
}

/* Nothing of the file could be read: nothing in it is missing either. */
static void spoil_all(struct config_load *load)
{
    for (unsigned id = 0; id < CONFIG_KEY_COUNT; id++)
        load->value[id].bad = true;
}

static unsigned line_at(const char *data, size_t len, size_t offset)
{
    unsigned line = 1;
    for (size_t i = 0; i < offset && i < len; i++)
        line += data[i] == '\n';
    return line;
}

static void syntax_error(struct config_load *load, const yaml_parser_t *parser, const char *data,
                         size_t len)
{
    if (parser->error == YAML_MEMORY_ERROR) {
        load->no_memory = true;
    } else if (parser->error == YAML_READER_ERROR) {
        config_error_line(load, line_at(data, len, parser->problem_offset), NULL,
                          "is not YAML: %s; write plain UTF-8 text there", parser->problem);
    } else {
        char context[160] = "";
        if (parser->context != NULL)
            snprintf(context, sizeof(context), " %s that begins in line %zu", parser->context,
                     parser->context_mark.line + 1);
        config_error_line(load, (unsigned)parser->problem_mark.line + 1, NULL,
                          "is not YAML: %s%s; look at the indentation, colons and quotes there",
                          parser->problem, context);
    }
    spoil_all(load);
}

/* One document, which is a section or empty. */
static bool walk_document(struct walk *walk, yaml_parser_t *parser, const char *data, size_t len)
{
    yaml_document_t document, second;
    bool good = false;
    if (!yaml_parser_load(parser, &document)) {
        syntax_error(walk->load, parser, data, len);
        return false;
    }
    walk->document = &document;
    const yaml_node_t *root = yaml_document_get_root_node(&document);
    if (root == NULL || is_null(root))
        goto done;
    if (root->type != YAML_MAPPING_NODE) {
        config_error_line(walk->load, line_of(root), NULL,
                          "%s, where sections are wanted; write listen:, xmpp: and so on",
                          shape_text(root));
        spoil_all(walk->load);
        goto done;
    }
    walk_section(walk, "", root);
    good = !walk->unreadable;
    if (!good)
        spoil_all(walk->load);
    if (!yaml_parser_load(parser, &second)) {
        syntax_error(walk->load, parser, data, len);
        good = false;
        goto done;
    }
    root = yaml_document_get_root_node(&second);
    if (root != NULL)
        config_error_line(walk->load, line_of(root), NULL,
                          "is a second document; keep one and remove the \"---\" before the other");
    yaml_document_delete(&second);
done:
    walk->document = NULL;
    yaml_document_delete(&document);
    return good;
}

/* libcyaml's own words, for what the walk has let pass (aliases). */
struct complaint {
    char text[160];
    unsigned line;
};

static void cyaml_says(cyaml_log_t level, void *ctx, const char *fmt, va_list args)
    __attribute__((format(printf, 3, 0)));

static void cyaml_says(cyaml_log_t level, void *ctx, const char *fmt, va_list args)
{
    struct complaint *complaint = ctx;
    char text[sizeof(complaint->text)];
    vsnprintf(text, sizeof(text), fmt, args);
    text[strcspn(text, "\n")] = '\0';
    const char *line = strstr(text, "(line: ");
    if (line != NULL && complaint->line == 0)
        complaint->line = (unsigned)strtoul(line + strlen("(line: "), NULL, 10);
    else if (line == NULL && complaint->text[0] == '\0')
        memcpy(complaint->text, text, sizeof(text));
}

/* libcyaml's memory passes through the program's allocator. */
static void *cyaml_memory(void *ctx, void *block, size_t size)
{
    if (size == 0) {
        free(block);
        return NULL;
    }
    return realloc(block, size);
}

static void keep_list(struct config_load *load, unsigned id, const struct config_raw_key *raw)
{
    char **items = config_alloc(load, (raw->items_len + 1) * sizeof(*items));
    for (unsigned i = 0; items != NULL && i < raw->items_len; i++)
        items[i] = config_copy(load, raw->items[i], strlen(raw->items[i]));
    if (load->no_memory)
        return;
    load->value[id].items = items;
    load->value[id].source = CONFIG_FILE;
}

static void keep_values(struct walk *walk, const struct config_raw *raw)
{
    for (unsigned id = 0; id < CONFIG_KEY_COUNT; id++) {
        if (!walk->wanted[id])
            continue;
        if (config_keys[id].kind == CONFIG_LIST)
            keep_list(walk->load, id, &raw->key[id]);
        else if (raw->key[id].text != NULL)
            config_set(walk->load, (enum config_key_id)id, CONFIG_FILE, NULL, raw->key[id].text);
    }
}

/* libcyaml says that there is an alias, but not where. */
static unsigned alias_line(const char *data, size_t len)
{
    yaml_parser_t parser;
    yaml_event_t event;
    unsigned line = 1;
    bool more = true;
    if (!yaml_parser_initialize(&parser))
        return line;
    yaml_parser_set_input_string(&parser, (const unsigned char *)data, len);
    while (more && yaml_parser_parse(&parser, &event)) {
        more = event.type != YAML_ALIAS_EVENT && event.type != YAML_STREAM_END_EVENT;
        line = (unsigned)event.start_mark.line + 1;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return line;
}

static void read_wanted(struct walk *walk, const char *data, size_t len)
{
    struct config_load *load = walk->load;
    struct complaint complaint = {"", 0};
    const cyaml_config_t cyaml = {
        .log_fn = cyaml_says,
        .log_ctx = &complaint,
        .mem_fn = cyaml_memory,
        .log_level = CYAML_LOG_ERROR,
        .flags = CYAML_CFG_IGNORE_UNKNOWN_KEYS | CYAML_CFG_NO_ALIAS,
    };
    struct config_raw *raw = NULL;
    struct config_schema *schema = config_schema_new(walk->wanted);
    if (schema == NULL) {
        load->no_memory = true;
        return;
    }
    cyaml_err_t result = cyaml_load_data((const uint8_t *)data, len, &cyaml,
                                         config_schema_root(schema), (cyaml_data_t **)&raw, NULL);
    if (result == CYAML_ERR_OOM) {
        load->no_memory = true;
    } else if (result == CYAML_ERR_ALIAS) {
        config_error_line(load, alias_line(data, len), NULL,
                          "has an alias (*NAME); write the value itself there");
        spoil_all(load);
    } else if (result != CYAML_OK) {
        config_error_line(load, complaint.line, NULL, "cannot be read: %s; %s",
                          cyaml_strerror(result), complaint.text);
        spoil_all(load);
    } else if (raw != NULL) {
        keep_values(walk, raw);
        cyaml_free(&cyaml, config_schema_root(schema), raw, 0);
    }
    config_schema_free(schema);
}

static void read_document(struct config_load *load, const char *data, size_t len)
{
    struct walk walk = {.load = load};
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) {
        load->no_memory = true;
        return;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)data, len);
    if (walk_document(&walk, &parser, data, len))
        read_wanted(&walk, data, len);
    yaml_parser_delete(&parser);
}

void config_from_file(struct config_load *load)
{
    size_t len;
    char *data = config_read(load->file, &len);
    if (data == NULL && errno == ENOMEM) {
        load->no_memory = true;
        return;
    }
    if (data == NULL) {
        config_error_line(load, 1, NULL, "cannot be read: %s; name a readable file with -c",
                          config_read_problem(errno));
        spoil_all(load);
        return;
    }
    read_document(load, data, len);
    explicit_bzero(data, len); /* it may hold secrets */
    free(data);
}
