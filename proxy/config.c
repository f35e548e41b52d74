/*
 * Loading the configuration: the sources in their order, every value read by its kind, then what
 * config_take.c makes of them.
 *
 * What a newcomer gets wrong: nothing here stops at the first mistake. A value that is wrong is
 * told, marked bad, and whatever rests on it is passed over, so that one run names every mistake
 * once.
 */
#include "proxy/config_load.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Everything a configuration holds is in one chain of blocks, freed and wiped with it. */
struct block {
    struct block *next;
    size_t size;
    _Alignas(max_align_t) char data[];
};

void *config_alloc(struct config_load *load, size_t size)
{
    struct block *block = calloc(1, sizeof(*block) + size);
    if (block == NULL) {
        load->no_memory = true;
        return NULL;
    }
    block->next = load->config->memory;
    block->size = size;
    load->config->memory = block;
    return block->data;
}

char *config_copy(struct config_load *load, const char *text, size_t len)
{
    char *copy = config_alloc(load, len + 1);
    if (copy != NULL)
        memcpy(copy, text, len);
    return copy;
}

char *config_printf(struct config_load *load, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    char *text = len < 0 ? NULL : config_alloc(load, (size_t)len + 1);
    if (text != NULL)
        vsnprintf(text, (size_t)len + 1, fmt, again);
    va_end(again);
    va_end(args);
    return text;
}

void config_free(struct config *config)
{
    if (config == NULL)
        return;
    for (struct block *block = config->memory, *next; block != NULL; block = next) {
        next = block->next;
        explicit_bzero(block->data, block->size);
        free(block);
    }
    free(config);
}

static void print_error(struct config_load *load, const char *variable, unsigned line,
                        const char *path, const char *fmt, va_list args)
    __attribute__((format(printf, 5, 0)));

static void print_error(struct config_load *load, const char *variable, unsigned line,
                        const char *path, const char *fmt, va_list args)
{
    if (variable != NULL)
        fprintf(load->errors, "%s: ", variable);
    else if (load->file != NULL)
        fprintf(load->errors, "%s:%u: ", load->file, line);
    else
        fputs("environment: ", load->errors);
    if (path != NULL)
        fprintf(load->errors, "%s: ", path);
    vfprintf(load->errors, fmt, args);
    fputc('\n', load->errors);
    load->errors_len++;
}

void config_error(struct config_load *load, enum config_key_id id, const char *fmt, ...)
{
    struct config_value *value = &load->value[id];
    va_list args;
    va_start(args, fmt);
    print_error(load, value->variable, value->line, config_keys[id].path, fmt, args);
    va_end(args);
    value->bad = true;
}

void config_error_line(struct config_load *load, unsigned line, const char *path, const char *fmt,
                       ...)
{
    va_list args;
    va_start(args, fmt);
    print_error(load, NULL, line, path, fmt, args);
    va_end(args);
}

/* Where a secret is soon written by mistake, a line too high or in the place of its file's name:
 * what stands there is not shown at all. */
static bool is_near_secret(enum config_key_id id)
{
    return id == KEY_SERVICE_JID || id == KEY_SERVICE_PASSWORD_FILE ||
           id == KEY_TOKEN_SECRET_FILE || id == KEY_TOKEN_ALGORITHM || id == KEY_LISTEN_TLS_KEY;
}

static bool is_url(enum config_key_id id)
{
    return id == KEY_UPSTREAM_URL || id == KEY_TOKEN_KEY_SERVER || id == KEY_TOKEN_KEYS_URL;
}

/* With the "://" behind it; 0 where there is none. */
static size_t scheme_span(const char *url)
{
    size_t len = strspn(url, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");
    return strncmp(url + len, "://", 3) == 0 ? len + 3 : 0;
}

/* Without the user in it, as far as one may go, and without its query. */
static void show_url(char *ret, size_t ret_size, const char *url)
{
    size_t scheme_len = scheme_span(url);
    const char *host = url + scheme_len;
    const char *at = strrchr(host, '@');
    const char *rest = at == NULL ? host : at;
    size_t rest_len = strcspn(rest, "?#");
    snprintf(ret, ret_size, "%.*s%s%.*s%s", (int)scheme_len, url, at == NULL ? "" : "...",
             (int)rest_len, rest, rest[rest_len] == '\0' ? "" : "?...");
}

void config_error_text(struct config_load *load, enum config_key_id id, const char *text,
                       const char *what)
{
    char shown[LOG_FIELD_MAX], url[LOG_FIELD_MAX];
    if (is_near_secret(id) || (is_url(id) && scheme_span(text) == 0)) {
        config_error(load, id, "its value %s", what);
        return;
    }
    if (is_url(id)) {
        show_url(url, sizeof(url), text);
        text = url;
    }
    config_error(load, id, "%s %s", log_quote(shown, sizeof(shown), text, strlen(text)), what);
}

void config_error_file(struct config_load *load, enum config_key_id id, const char *path,
                       const char *why)
{
    char shown[LOG_FIELD_MAX];
    if (is_near_secret(id))
        config_error(load, id, "its file cannot be read: %s; name a file this user may read", why);
    else
        config_error(load, id, "%s cannot be read: %s; name a file this user may read",
                     log_quote(shown, sizeof(shown), path, strlen(path)), why);
}

/* The items of "a, b,c": blanks around them and empty ones do not count. */
static char **split(struct config_load *load, const char *text)
{
    size_t count = 0;
    for (const char *p = text; *p != '\0'; p++)
        count += *p == ',';
    char **items = config_alloc(load, (count + 2) * sizeof(*items));
    for (size_t i = 0; items != NULL && *text != '\0';) {
        text += strspn(text, ", \t");
        size_t len = strcspn(text, ",");
        const char *next = text + len;
        while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t'))
            len--;
        if (len > 0 && (items[i++] = config_copy(load, text, len)) == NULL)
            return NULL;
        text = next;
    }
    return items;
}

void config_set(struct config_load *load, enum config_key_id id, enum config_source source,
                const char *variable, const char *text)
{
    struct config_value *value = &load->value[id];
    bool is_list = config_keys[id].kind == CONFIG_LIST;
    if (*text == '\0' && source != CONFIG_DEFAULT)
        return;
    char **items = is_list ? split(load, text) : NULL;
    const char *copy = is_list ? "" : config_copy(load, text, strlen(text));
    if (copy == NULL || (is_list && items == NULL))
        return;
    value->text = copy;
    value->items = items;
    value->source = source;
    value->variable = variable;
}

/* "from 4KiB to 64MiB" in the kind's own unit. */
static void show_number(char ret[32], enum config_kind kind, int64_t number)
{
    if (kind == CONFIG_SIZE && number % CONFIG_MIB == 0)
        snprintf(ret, 32, "%lldMiB", (long long)(number / CONFIG_MIB));
    else if (kind == CONFIG_SIZE)
        snprintf(ret, 32, "%lldKiB", (long long)(number / CONFIG_KIB));
    else if (kind == CONFIG_DURATION && number % CONFIG_SECOND == 0)
        snprintf(ret, 32, "%llds", (long long)(number / CONFIG_SECOND));
    else if (kind == CONFIG_DURATION)
        snprintf(ret, 32, "%lldms", (long long)number);
    else
        snprintf(ret, 32, "%lld", (long long)number);
}

static void check_range(struct config_load *load, enum config_key_id id)
{
    const struct config_key *key = &config_keys[id];
    const struct config_value *value = &load->value[id];
    char lowest[32], highest[32];
    if (value->number >= key->lowest && value->number <= key->highest)
        return;
    show_number(lowest, key->kind, key->lowest);
    show_number(highest, key->kind, key->highest);
    config_error(load, id, "\"%s\" is out of range; write one from %s to %s", value->text, lowest,
                 highest);
}

static void read_value(struct config_load *load, enum config_key_id id)
{
    const struct config_key *key = &config_keys[id];
    struct config_value *value = &load->value[id];
    const char *wrong = NULL;
    if (value->bad)
        return;
    switch (key->kind) {
    case CONFIG_TEXT:
    case CONFIG_SECRET:
    case CONFIG_LIST:
        return;
    case CONFIG_BOOL:
        wrong = config_parse_bool(value->text, &value->number);
        break;
    case CONFIG_COUNT:
        wrong = config_parse_count(value->text, &value->number);
        break;
    case CONFIG_SIZE:
        wrong = config_parse_size(value->text, &value->number);
        break;
    case CONFIG_DURATION:
        wrong = config_parse_duration(value->text, &value->number);
        break;
    case CONFIG_CHOICE:
        if (*value->text == '\0') { /* worked out from other keys */
            value->number = -1;
            return;
        }
        wrong = config_parse_choice(key->choices, value->text, &value->number);
        break;
    }
    if (wrong != NULL && key->kind == CONFIG_CHOICE) {
        char what[256];
        snprintf(what, sizeof(what), "is not known here; write one of %s", key->choices);
        config_error_text(load, id, value->text, what);
    } else if (wrong != NULL) {
        config_error_text(load, id, value->text, wrong);
    } else if (key->highest != 0) {
        check_range(load, id);
    }
}

static void load_sources(struct config_load *load, char *const *environment)
{
    for (unsigned id = 0; id < CONFIG_KEY_COUNT; id++) {
        load->value[id].line = 1;
        load->value[id].text = "";
        config_set(load, (enum config_key_id)id, CONFIG_DEFAULT, NULL, config_keys[id].fallback);
    }
    if (load->file != NULL && !load->no_memory)
        config_from_file(load);
    if (!load->no_memory)
        config_from_environment(load, environment);
    if (!load->no_memory)
        config_read_secret(load, KEY_SERVICE_PASSWORD, KEY_SERVICE_PASSWORD_FILE);
    if (!load->no_memory)
        config_read_secret(load, KEY_TOKEN_SECRET, KEY_TOKEN_SECRET_FILE);
}

struct config *config_load(const char *file, char *const *environment, FILE *errors)
{
    struct config_load load = {.file = file, .errors = errors};
    load.config = calloc(1, sizeof(*load.config));
    if (load.config == NULL) {
        fputs("configuration: out of memory\n", errors);
        return NULL;
    }
    load_sources(&load, environment);
    for (unsigned id = 0; id < CONFIG_KEY_COUNT && !load.no_memory; id++)
        read_value(&load, (enum config_key_id)id);
    if (!load.no_memory)
        config_take(&load);
    if (load.no_memory)
        fputs("configuration: out of memory\n", errors);
    if (load.no_memory || load.errors_len > 0) {
        config_free(load.config);
        return NULL;
    }
    return load.config;
}
