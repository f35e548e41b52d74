/*
 * The log's lines: what they look like, and that no text can break out of its place in one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proxy/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int pipe_ends[2];

static int setup(void **state)
{
    if (pipe2(pipe_ends, O_NONBLOCK | O_CLOEXEC) != 0)
        return -1;
    log_to(pipe_ends[1]);
    log_open(LOG_LEVEL_DEBUG, false);
    return 0;
}

static int teardown(void **state)
{
    log_to(STDERR_FILENO);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    return 0;
}

/* What was written since the last call, without the line's time (text: 25 bytes in front). */
static const char *written(void)
{
    static char line[16384];
    ssize_t n = read(pipe_ends[0], line, sizeof(line) - 1);
    line[n < 0 ? 0 : n] = '\0';
    return line;
}

static const char *written_text(void)
{
    const char *line = written();
    return strlen(line) > 25 ? line + 25 : line;
}

static void test_text_line(void **state)
{
    log_event(LOG_LEVEL_INFO, "c1 192.0.2.1", "join", {"room", "daily@conference.d"},
              {"decision", "lobby-turn-on"}, {"left_out", NULL}, {"nick", "An na"}, {"empty", ""});
    const char *line = written();
    int year, month, day, hour, minute, second, ms, len = 0;
    assert_int_equal(sscanf(line, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ%n", &year, &month, &day, &hour,
                            &minute, &second, &ms, &len),
                     7);
    assert_int_equal(len, 24);
    assert_string_equal(line + len, " INFO  [c1 192.0.2.1] join room=daily@conference.d "
                                    "decision=lobby-turn-on nick=\"An na\" empty=\"\"\n");
}

static void test_json_line(void **state)
{
    log_open(LOG_LEVEL_DEBUG, true);
    log_event(LOG_LEVEL_WARN, "c1", "join", {"nick", "a\"\\\n\x01\xff"}, {"left_out", NULL});
    const char *line = written();
    assert_memory_equal(line, "{\"time\":\"", 9);
    assert_string_equal(line + 9 + 24, "\",\"level\":\"warn\",\"tag\":\"c1\",\"message\":\"join\","
                                       "\"nick\":\"a\\\"\\\\\\n\\u0001\\\\xff\"}\n");
    log_line(LOG_LEVEL_ERROR, NULL, "%d left", 3);
    assert_string_equal(written() + 9 + 24, "\",\"level\":\"error\",\"message\":\"3 left\"}\n");
}

static void test_levels(void **state)
{
    log_open(LOG_LEVEL_WARN, false);
    assert_true(log_enabled(LOG_LEVEL_ERROR));
    assert_true(log_enabled(LOG_LEVEL_WARN));
    assert_false(log_enabled(LOG_LEVEL_INFO));
    log_line(LOG_LEVEL_INFO, NULL, "not this");
    log_event(LOG_LEVEL_DEBUG, NULL, "nor this", {"a", "b"});
    assert_string_equal(written(), "");
    log_line(LOG_LEVEL_WARN, NULL, "this");
    assert_string_equal(written_text(), "WARN  this\n");
}

static void test_escapes(void **state)
{
    static const struct {
        const char *name, *text, *expected;
    } cases[] = {
        {"plain", "a1-_.:@/+%[]", "a1-_.:@/+%[]"},
        {"equals sign", "a=b", "\"a=b\""},
        {"quote", "a\"b", "\"a\\\"b\""},
        {"backslash", "\\", "\"\\\\\""},
        {"new line", "a\r\nb\t", "\"a\\r\\nb\\t\""},
        {"escape sequence", "\x1b[31m", "\"\\u001b[31m\""},
        {"delete", "\x7f", "\"\\u007f\""},
        {"C1 control", "\xc2\x9b", "\"\\u009b\""},
        {"letters", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
         "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\""},
        {"right to left override",
         "a\xe2\x80\xae"
         "b",
         "\"a\\u202eb\""},
        {"line separator", "\xe2\x80\xa8", "\"\\u2028\""},
        {"lone continuation", "\x80", "\"\\x80\""},
        {"cut short", "\xe2\x82", "\"\\xe2\\x82\""},
        {"overlong", "\xc0\xaf", "\"\\xc0\\xaf\""},
        {"surrogate", "\xed\xa0\x80", "\"\\xed\\xa0\\x80\""},
        {"above the last", "\xf4\x90\x80\x80", "\"\\xf4\\x90\\x80\\x80\""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char expected[128];
        snprintf(expected, sizeof(expected), "INFO  m f=%s\n", cases[i].expected);
        log_event(LOG_LEVEL_INFO, NULL, "m", {"f", cases[i].text});
        const char *line = written_text();
        if (strcmp(line, expected) != 0)
            fail_msg("%s: %s", cases[i].name, line);
    }
    log_event(LOG_LEVEL_INFO, "t\nag", "mess\nage", {"f", "x"});
    assert_string_equal(written_text(), "INFO  [t\\nag] mess\\nage f=x\n");
}

static void test_cuts(void **state)
{
    char text[LOG_FIELD_MAX + 50], expected[LOG_FIELD_MAX + 100];
    memset(text, 'a', sizeof(text));
    text[LOG_FIELD_MAX] = '\0';
    snprintf(expected, sizeof(expected), "INFO  m f=%s\n", text);
    log_event(LOG_LEVEL_INFO, NULL, "m", {"f", text});
    assert_string_equal(written_text(), expected);

    /* One over; and a character that would be cut in two is left out whole. */
    memcpy(text + LOG_FIELD_MAX - 1, "\xc3\xa4", 3);
    snprintf(expected, sizeof(expected), "INFO  m f=\"%.*s...\"\n", LOG_FIELD_MAX - 1, text);
    log_event(LOG_LEVEL_INFO, NULL, "m", {"f", text});
    assert_string_equal(written_text(), expected);
}

/* However much there is to say, it is one whole line. */
static void test_line_has_an_end(void **state)
{
    char text[LOG_FIELD_MAX * 2];
    memset(text, '\x01', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    struct log_field fields[30];
    for (size_t i = 0; i < 29; i++)
        fields[i] = (struct log_field){"f", text};
    fields[29] = (struct log_field){NULL, NULL};
    for (int json = 0; json < 2; json++) {
        log_open(LOG_LEVEL_INFO, json);
        log_fields(LOG_LEVEL_INFO, text, text, fields);
        const char *line = written();
        size_t len = strlen(line);
        assert_in_range(len, 4000, 8192);
        assert_ptr_equal(strchr(line, '\n'), line + len - 1);
        assert_memory_equal(line + len - (json ? 3 : 2), json ? "\"}\n" : "\"\n", json ? 3 : 2);
    }
    char message[3000];
    memset(message, 'm', sizeof(message) - 1);
    message[sizeof(message) - 1] = '\0';
    log_open(LOG_LEVEL_INFO, false);
    log_line(LOG_LEVEL_INFO, NULL, "%s", message);
    assert_int_equal(strlen(written_text()), strlen("INFO  ") + 1000 + strlen("...\n"));
}

static void test_quote(void **state)
{
    char small[8], large[64];
    assert_string_equal(log_quote(large, sizeof(large), "a\nb", 3), "\"a\\nb\"");
    assert_string_equal(log_quote(large, sizeof(large), "a\0b", 3), "\"a\\u0000b\"");
    assert_string_equal(log_quote(small, sizeof(small), "abc", 3), "\"abc\"");
    assert_string_equal(log_quote(small, sizeof(small), "abcdef", 6), "\"ab...\"");
    assert_string_equal(log_quote(small, sizeof(small), "", 0), "\"\"");
    assert_string_equal(log_quote(small, sizeof(small), "a\x01", 2), "\"a...\"");
}

/* Nobody reads: nothing waits, the lines are counted, and that is told later. */
static void test_full_pipe(void **state)
{
    char data[4096] = {0};
    while (write(pipe_ends[1], data, sizeof(data)) > 0)
        ;
    errno = ENOENT;
    log_line(LOG_LEVEL_INFO, NULL, "one");
    log_line(LOG_LEVEL_INFO, NULL, "two");
    assert_int_equal(errno, ENOENT);
    while (read(pipe_ends[0], data, sizeof(data)) > 0)
        ;
    log_line(LOG_LEVEL_INFO, NULL, "three");
    const char *line = written_text();
    assert_memory_equal(line, "WARN  log lines were lost", 25);
    assert_non_null(strstr(line, " lines=2\n"));
    assert_non_null(strstr(line, "INFO  three\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_text_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_levels, setup, teardown),
        cmocka_unit_test_setup_teardown(test_escapes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cuts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_line_has_an_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_quote, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_pipe, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
