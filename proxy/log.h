/*
 * The log: one event, one line, on standard error, as text or as JSON lines.
 *
 * What a newcomer gets wrong: text that came from a peer (a JID, a nick, a close reason) goes into a
 * field, never into the message. A field is quoted, escaped and cut here, so nobody can write a line
 * of his own into the log. No token, password, SASL payload or whole stanza at any level.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* A field of an event. With text NULL it is left out. The key is the program's own word. */
struct log_field {
    const char *key;
    const char *text; /* UTF-8; cut at LOG_FIELD_MAX bytes */
    bool is_number;   /* the program made it from one: JSON has it without quotes */
};

#define LOG_FIELD_MAX 200

/* Sets what is written and how; before the first call it is info and text. May be called again. */
void log_open(enum log_level level, bool json);
/* Writes to another file descriptor than standard error (tests). */
void log_to(int fd);
/* Whether a line of that level would be written: for lines that are dear to make. */
bool log_enabled(enum log_level level);
const char *log_level_text(enum log_level level);

/* One event. tag names what it is about ("c17 192.0.2.1", "service") or is NULL; fields end with a
 * NULL key, or fields is NULL. All text is borrowed. */
void log_fields(enum log_level level, const char *tag, const char *message,
                const struct log_field *fields);

/* log_event(LOG_LEVEL_INFO, tag, "join", {"room", room}, {"decision", rule}); */
#define log_event(level, tag, message, ...)                                                        \
    log_fields(level, tag, message, (const struct log_field[]){__VA_ARGS__, {NULL, NULL}})

/* One event whose message is formatted. For the program's own words and numbers. */
void log_line(enum log_level level, const char *tag, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Writes text between double quotes into ret (ret_size bytes, at least 8, always terminated), control
 * and direction characters and invalid UTF-8 escaped, cut to fit. Returns ret. */
const char *log_quote(char *ret, size_t ret_size, const char *text, size_t len);
