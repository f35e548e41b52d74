/*
 * The log. A line is put together in one buffer and leaves in one write(), so that lines of
 * several processes on one pipe do not mix; a line that does not fit is cut, never split in two.
 *
 * Bytes are escaped where they are copied and nowhere else (put_escaped): whoever adds an output
 * format has to go through it too.
 */
#include "proxy/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 8192
#define MESSAGE_MAX 1000
#define CUT_MARK "..."
/* The longest field there can be: a byte becomes six at most. Fields that find less are left out.
 */
#define FIELD_ROOM (64 + 6 * LOG_FIELD_MAX)

static struct {
    enum log_level level;
    bool json;
    int fd;
    unsigned long lost; /* lines nobody could take: a non-blocking pipe that is full */
} state = {LOG_LEVEL_INFO, false, STDERR_FILENO, 0};

struct line {
    char *data;
    size_t len,
        cap; /* data is at least two bytes longer: a closing quote, and what ends the line */
};

static size_t room(const struct line *line)
{
    return line->len < line->cap ? line->cap - line->len : 0;
}

static void put(struct line *line, const char *text, size_t len)
{
    if (len > room(line))
        len = room(line);
    memcpy(line->data + line->len, text, len);
    line->len += len;
}

static void put_text(struct line *line, const char *text)
{
    put(line, text, strlen(text));
}

/* The length of the UTF-8 character at text, 0 when it is not one (RFC 3629: no overlong form, no
 * surrogate, nothing above U+10FFFF). */
static size_t character(const unsigned char *text, size_t len, uint32_t *ret_code)
{
    unsigned char first = text[0];
    if (first < 0x80) {
        *ret_code = first;
        return 1;
    }
    size_t need = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || len < need)
        return 0;
    uint32_t code = first & (0x7fu >> need);
    for (size_t i = 1; i < need; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (text[i] & 0x3fu);
    }
    if ((need == 3 && code < 0x800) || (need == 4 && (code < 0x10000 || code > 0x10ffff)) ||
        (code >= 0xd800 && code <= 0xdfff))
        return 0;
    *ret_code = code;
    return need;
}

/* What may not reach a terminal as it is: controls, line and paragraph separators, and the
 * characters that turn the direction of what follows. */
static bool is_hidden(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code <= 0x9f) || code == 0x061c ||
           (code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
           (code >= 0x2060 && code <= 0x206f) || code == 0xfeff;
}

static size_t escape(char ret[16], const char *text, size_t len, bool json, size_t *ret_used)
{
    uint32_t code = 0;
    size_t used = character((const unsigned char *)text, len, &code);
    *ret_used = used == 0 ? 1 : used;
    if (used == 0) /* in JSON the escape is itself text: the line stays valid JSON */
        return (size_t)snprintf(ret, 16, json ? "\\\\x%02x" : "\\x%02x", (unsigned char)text[0]);
    if (code == '"' || code == '\\')
        return (size_t)snprintf(ret, 16, "\\%c", (char)code);
    if (code == '\n' || code == '\r' || code == '\t')
        return (size_t)snprintf(ret, 16, "\\%c", code == '\n' ? 'n' : code == '\r' ? 'r' : 't');
    if (is_hidden(code))
        return (size_t)snprintf(ret, 16, "\\u%04x", (unsigned)code);
    memcpy(ret, text, used);
    return used;
}

/* Copies text escaped, at most max bytes of it and never half a character or half an escape. */
static void put_escaped(struct line *line, const char *text, size_t len, size_t max, bool json)
{
    for (size_t i = 0; i < len;) {
        char piece[16];
        size_t used;
        size_t piece_len = escape(piece, text + i, len - i, json, &used);
        bool last = i + used >= len;
        if (i + used > max || room(line) < piece_len + (last ? 0 : strlen(CUT_MARK))) {
            put_text(line, CUT_MARK);
            return;
        }
        put(line, piece, piece_len);
        i += used;
    }
}

static void put_quoted(struct line *line, const char *text, size_t len, size_t max, bool json)
{
    put(line, "\"", 1);
    put_escaped(line, text, len, max, json);
    line->data[line->len++] = '"'; /* there is always room for it: see struct line */
}

const char *log_quote(char *ret, size_t ret_size, const char *text, size_t len)
{
    struct line line = {ret, 0, ret_size - 2};
    put_quoted(&line, text, len, SIZE_MAX, false);
    ret[line.len] = '\0';
    return ret;
}

static bool is_plain(const char *text)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                              "-_.:@/+%[]");
    return len > 0 && text[len] == '\0' && len <= LOG_FIELD_MAX;
}

static void put_time(struct line *line)
{
    struct timespec now = {0};
    struct tm parts;
    char text[40];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    size_t len = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
    put(line, text, len);
    snprintf(text, sizeof(text), ".%03ldZ", now.tv_nsec / 1000000);
    put_text(line, text);
}

static void line_text(struct line *line, enum log_level level, const char *tag, const char *message,
                      const struct log_field *fields)
{
    static const char *const names[] = {"ERROR", "WARN ", "INFO ", "DEBUG"};
    put_time(line);
    put(line, " ", 1);
    put_text(line, names[level]);
    put(line, " ", 1);
    if (tag != NULL) {
        put(line, "[", 1);
        put_escaped(line, tag, strlen(tag), LOG_FIELD_MAX, false);
        put(line, "] ", 2);
    }
    put_escaped(line, message, strlen(message), MESSAGE_MAX, false);
    for (; fields != NULL && fields->key != NULL; fields++) {
        if (fields->text == NULL || room(line) < FIELD_ROOM)
            continue;
        put(line, " ", 1);
        put_text(line, fields->key);
        put(line, "=", 1);
        if (is_plain(fields->text))
            put_text(line, fields->text);
        else
            put_quoted(line, fields->text, strlen(fields->text), LOG_FIELD_MAX, false);
    }
}

static void put_member(struct line *line, const char *key, const char *text, size_t max)
{
    put(line, ",\"", 2);
    put_text(line, key);
    put(line, "\":", 2);
    put_quoted(line, text, strlen(text), max, true);
}

static void put_number(struct line *line, const char *key, const char *text)
{
    put(line, ",\"", 2);
    put_text(line, key);
    put(line, "\":", 2);
    put_text(line, text);
}

static void line_json(struct line *line, enum log_level level, const char *tag, const char *message,
                      const struct log_field *fields)
{
    put_text(line, "{\"time\":\"");
    put_time(line);
    put(line, "\"", 1);
    put_member(line, "level", log_level_text(level), LOG_FIELD_MAX);
    if (tag != NULL)
        put_member(line, "tag", tag, LOG_FIELD_MAX);
    put_member(line, "message", message, MESSAGE_MAX);
    for (; fields != NULL && fields->key != NULL; fields++) {
        if (fields->text == NULL || room(line) < FIELD_ROOM)
            continue;
        if (fields->is_number)
            put_number(line, fields->key, fields->text);
        else
            put_member(line, fields->key, fields->text, LOG_FIELD_MAX);
    }
    put(line, "}", 1);
}

/* A log that cannot be written must not stop the streams: what is not taken is counted and told. */
static bool write_all(const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(state.fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static void write_line(enum log_level level, const char *tag, const char *message,
                       const struct log_field *fields)
{
    char data[LINE_MAX_BYTES];
    struct line line = {data, 0, sizeof(data) - 8};
    if (state.json)
        line_json(&line, level, tag, message, fields);
    else
        line_text(&line, level, tag, message, fields);
    data[line.len++] = '\n';
    if (!write_all(data, line.len))
        state.lost++;
}

void log_fields(enum log_level level, const char *tag, const char *message,
                const struct log_field *fields)
{
    if (!log_enabled(level))
        return;
    int saved = errno; /* a caller may log before it looks at errno */
    unsigned long lost = state.lost;
    if (lost > 0) {
        char count[24];
        snprintf(count, sizeof(count), "%lu", lost);
        state.lost = 0;
        write_line(LOG_LEVEL_WARN, NULL, "log lines were lost: nobody read them in time",
                   (const struct log_field[]){{"lines", count, true}, {NULL, NULL, false}});
        if (state.lost > 0)
            state.lost = lost;
    }
    write_line(level, tag, message, fields);
    errno = saved;
}

void log_line(enum log_level level, const char *tag, const char *fmt, ...)
{
    if (!log_enabled(level))
        return;
    char message[MESSAGE_MAX + 64]; /* longer than what is written, so that a cut shows */
    va_list args;
    va_start(args, fmt);
    if (vsnprintf(message, sizeof(message), fmt, args) < 0)
        message[0] = '\0';
    va_end(args);
    log_fields(level, tag, message, NULL);
}

void log_open(enum log_level level, bool json)
{
    state.level = level;
    state.json = json;
}

void log_to(int fd)
{
    state.fd = fd;
    state.lost = 0;
}

bool log_enabled(enum log_level level)
{
    return level <= state.level;
}

const char *log_level_text(enum log_level level)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    return names[level];
}
