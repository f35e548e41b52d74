/*
 * One load of the configuration while it is in progress: what each key's value is so far and where
 * it comes from. Private to config*.c.
 *
 * A value keeps its origin until the end, since an error has to name it: the file's line, or the
 * variable.
 */
#pragma once

#include "proxy/config.h"
#include "proxy/config_schema.h"

/* In the order in which one takes the place of another. */
enum config_source { CONFIG_NOT_GIVEN, CONFIG_DEFAULT, CONFIG_FILE, CONFIG_JITSI, CONFIG_ENVIRONMENT };

struct config_value {
    enum config_source source;
    unsigned line;        /* in the file: of the key, or of the section it would stand in */
    const char *variable; /* of CONFIG_JITSI and CONFIG_ENVIRONMENT */
    const char *text;     /* never NULL; "" when not given, and of lists */
    char **items;         /* of a list, NULL-terminated; else NULL */
    int64_t number;       /* of a bool (0, 1), count, size, duration (ms) or choice (its place, -1
                             where it is to be worked out) */
    bool bad;             /* an error was told: nothing is to be worked out from this value */
};

struct config_load {
    struct config *config; /* owns all memory of the load as well */
    const char *file;      /* NULL: none */
    FILE *errors;
    unsigned errors_len;
    bool no_memory; /* told once, at the end */
    struct config_value value[CONFIG_KEY_COUNT];
};

/* Memory that lives as long as the configuration. NULL when there is none, with no_memory set. */
void *config_alloc(struct config_load *load, size_t size); /* zeroed */
char *config_copy(struct config_load *load, const char *text, size_t len);
char *config_printf(struct config_load *load, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* One error line about a key's value, which is bad from then on. */
void config_error(struct config_load *load, enum config_key_id id, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* One that begins with text, quoted: never for a secret. Of a URL without what may be secret in it; not at
 * all where a secret is soon written by mistake. */
void config_error_text(struct config_load *load, enum config_key_id id, const char *text,
                       const char *what);
/* One about a file that id names. */
void config_error_file(struct config_load *load, enum config_key_id id, const char *path, const char *why);
/* One about a place in the file; path may be NULL. */
void config_error_line(struct config_load *load, unsigned line, const char *path, const char *fmt,
                       ...) __attribute__((format(printf, 4, 5)));

/* Puts text (or, for a list, the items parted by commas) in the place of what an earlier source said.
 * Empty text says nothing, so that "KEY=" in an environment is the same as no KEY. */
void config_set(struct config_load *load, enum config_key_id id, enum config_source source,
                const char *variable, const char *text);

/* A whole file, NUL-terminated; *ret_len without that. Never waits, but for the disk. NULL and errno when it
 * cannot be read, EFBIG when it is over CONFIG_FILE_MAX, ENOTSUP when it is no regular file. The caller frees
 * it. Whatever file the configuration names is read by this before anything else opens it. */
#define CONFIG_FILE_MAX ((size_t)1024 * 1024)
char *config_read(const char *path, size_t *ret_len);
const char *config_read_problem(int problem); /* what such an errno says */

void config_from_file(struct config_load *load);                             /* config_file.c */
void config_from_environment(struct config_load *load, char *const *environment); /* config_env.c */
/* Decides between a secret and its file, and reads the file (config_env.c). */
void config_read_secret(struct config_load *load, enum config_key_id secret,
                        enum config_key_id file);

/* Fills load->config from the values, telling what is wrong with them (config_take.c). */
void config_take(struct config_load *load);

/* Readings of one value (config_value.c): NULL, or what is wrong with it. Results are written only
 * on success; what they hold is borrowed from text or fixed. */
const char *config_parse_bool(const char *text, int64_t *ret);
const char *config_parse_count(const char *text, int64_t *ret);
const char *config_parse_size(const char *text, int64_t *ret);
const char *config_parse_duration(const char *text, int64_t *ret);
const char *config_parse_choice(const char *choices, const char *text, int64_t *ret);

struct config_address {
    const char *unix_path; /* or NULL */
    char host[48];         /* numeric, "" for every address */
    uint16_t port;
};
const char *config_parse_listen(const char *text, struct config_address *ret);
const char *config_parse_cidr(const char *text, struct cidr *ret);

struct config_url {
    bool tls;
    const char *host; /* without brackets */
    size_t host_len;
    uint16_t port;
    const char *path; /* to the end of text */
};
bool config_is_path(const char *text); /* begins with '/', no query, fragment or odd character */
const char *config_parse_url(const char *text, struct config_url *ret); /* ws:// or wss:// */
/* http:// or https://, whose path may be empty and may have a query. */
const char *config_parse_http_url(const char *text, struct config_url *ret);
/* Whether host (of a config_url) can only be this machine. */
bool config_is_loopback(const char *host, size_t len);
/* A host name, number or [IPv6], with or without a port: what stands in a Host header. */
const char *config_check_host(const char *text);
#define CONFIG_ORIGIN_MAX 304 /* a scheme, a name of 253 bytes, a port */
/* "https://meet.example.com", as a browser's Origin header has it: lower case, and without the port
 * where the scheme says it. */
const char *config_parse_origin(const char *text, char ret[CONFIG_ORIGIN_MAX]);
/* The origin of a web page's address, which may have a path and may lack https://. */
const char *config_parse_public_url(const char *text, char ret[CONFIG_ORIGIN_MAX]);
