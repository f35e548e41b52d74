/*
 * Refusals: which are told at once, what the line at the end of the minute says, and that nobody
 * makes the table grow.
 */
#include "proxy/rejections.h"
#include "proxy/log.h"
#include "proxy/peers.h"
#include "proxy/conn.h"
#include "tests/unit/alloc.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

bool conn_peer_address(const struct conn *c, struct in6_addr *ret)
{
    return false;
}

static struct in6_addr address_of(const char *text)
{
    struct in6_addr address;

    assert_int_equal(inet_pton(AF_INET6, text, &address), 1);
    return address;
}

/* The log, as it is written. */
static int log_file;
static char log_text[65536];

static int set_up(void **state)
{
    log_file = memfd_create("log", 0);
    log_open(LOG_LEVEL_INFO, false);
    log_to(log_file);
    return log_file < 0;
}

static int tear_down(void **state)
{
    log_to(STDERR_FILENO);
    return close(log_file);
}

/* What was logged since the last call: how many lines, in log_text. */
static size_t lines(void)
{
    ssize_t len = pread(log_file, log_text, sizeof(log_text) - 1, 0);
    size_t count = 0;

    assert_true(len >= 0);
    log_text[len] = '\0';
    assert_int_equal(ftruncate(log_file, 0), 0);
    lseek(log_file, 0, SEEK_SET);
    for (const char *p = log_text; (p = strchr(p, '\n')) != NULL; p++)
        count++;
    return count;
}

static void assert_line(const char *text)
{
    if (!strstr(log_text, text))
        fail_msg("not \"%s\" in:\n%s", text, log_text);
}

#define CLOSED(reason) ((enum rejection)(REJECTION_CLOSE + CLOSE_##reason))

static void test_names(void **state)
{
    assert_int_equal(rejection_of_status(403), REJECTION_HTTP_403);
    assert_int_equal(rejection_of_status(503), REJECTION_HTTP_503);
    assert_int_equal(rejection_of_status(418), REJECTION_HTTP_OTHER);
    assert_string_equal(rejection_name(REJECTION_LOGIN_FAILED), "login_failed");
    assert_string_equal(rejection_name(CLOSED(CLIENT_CLOSED)), "CLIENT_CLOSED");
    assert_string_equal(rejection_name(CLOSED(HOST_UNKNOWN)), "HOST_UNKNOWN");
    assert_string_equal(rejection_name(CLOSED(SHUTDOWN)), "SHUTDOWN");
}

static void test_minute(void **state)
{
    struct in6_addr a = address_of("::ffff:192.0.2.1"), b = address_of("2001:db8::1");
    struct in6_addr b_too = address_of("2001:db8::ffff:1"), none = IN6ADDR_ANY_INIT;
    struct rejections *r = rejections_new();

    assert_true(rejections_note(r, &a, REJECTION_HTTP_403, 1000));
    assert_false(rejections_note(r, &a, REJECTION_HTTP_403, 1000));
    assert_false(rejections_note(r, &a, REJECTION_HTTP_403, 60999));
    assert_true(rejections_note(r, &a, CLOSED(FRAMING), 2000)); /* another kind is told too */
    assert_true(rejections_note(r, &b, REJECTION_HTTP_403, 2000));
    assert_false(rejections_note(r, &b_too, REJECTION_HTTP_403, 2000));
    assert_true(rejections_note(r, &none, REJECTION_HTTP_403, 2000));
    rejections_tick(r, 60999);
    assert_int_equal(lines(), 0);
    rejections_tick(r, 61000);
    assert_int_equal(lines(), 1);
    assert_line("INFO  [door] refused again within a minute: from=192.0.2.1 http_403=2\n");
    rejections_tick(r, 62000);
    assert_int_equal(lines(), 1);
    assert_line("from=2001:db8::/64 http_403=1\n");

    assert_true(rejections_note(r, &a, REJECTION_HTTP_403, 62000)); /* a new minute */
    assert_false(rejections_note(r, &a, REJECTION_HTTP_403, 62000));
    assert_false(rejections_note(r, &a, REJECTION_HTTP_403, 62000));
    assert_true(rejections_note(r, &a, CLOSED(TOO_LARGE), 62000));
    assert_false(rejections_note(r, &a, CLOSED(TOO_LARGE), 62000));
    rejections_count(r, CLOSED(PROSODY_LOST));
    assert_int_equal(rejections_total(r, REJECTION_HTTP_403), 9);
    assert_int_equal(rejections_total(r, CLOSED(PROSODY_LOST)), 1);
    rejections_finish(r);
    assert_int_equal(lines(), 2);
    assert_line("from=192.0.2.1 http_403=2 TOO_LARGE=1\n");
    assert_line("INFO  [door] refused since start: http_403=9 PROSODY_LOST=1 FRAMING=1 "
                "TOO_LARGE=2\n");
    rejections_free(r);
    rejections_free(NULL);
}

static void test_nothing_to_tell(void **state)
{
    struct rejections *r = rejections_new();

    rejections_tick(r, 100000);
    rejections_finish(r);
    assert_int_equal(lines(), 0);
    rejections_free(r);
}

static struct in6_addr nth(unsigned n)
{
    struct in6_addr address = address_of("2001:db8::");

    address.s6_addr[6] = (uint8_t)(n >> 8);
    address.s6_addr[7] = (uint8_t)n;
    return address;
}

static void test_others(void **state)
{
    struct rejections *r = rejections_new();

    for (unsigned n = 0; n < REJECTIONS_ADDRESSES_MAX; n++) {
        struct in6_addr address = nth(n);
        assert_true(rejections_note(r, &address, REJECTION_HTTP_404, 0));
    }
    for (unsigned n = 0; n < 500; n++) {
        struct in6_addr address = nth(REJECTIONS_ADDRESSES_MAX + n);
        assert_int_equal(rejections_note(r, &address, REJECTION_HTTP_404, 10), n == 0);
    }
    struct in6_addr known = nth(3);
    assert_false(rejections_note(r, &known, REJECTION_HTTP_404, 20));
    rejections_tick(r, 60000);
    assert_int_equal(lines(), 1);
    assert_line("from=2001:db8:0:3::/64 http_404=1\n");
    rejections_tick(r, 60010);
    assert_int_equal(lines(), 1);
    assert_line("from=others http_404=499\n");
    struct in6_addr later = nth(2000);
    assert_true(rejections_note(r, &later, REJECTION_HTTP_404, 60020)); /* there is room again */
    assert_int_equal(rejections_total(r, REJECTION_HTTP_404), REJECTIONS_ADDRESSES_MAX + 502);
    rejections_free(r);
}

/* Without memory for an address it is one of the others, and nothing is lost. */
static void test_no_memory(void **state)
{
    for (long n = 0, hit = 1; hit; n++) {
        unsigned told = 0;

        alloc_track_on();
        alloc_fail_after(n);
        struct rejections *r = rejections_new();
        for (unsigned i = 0; r && i < 40; i++) {
            struct in6_addr address = nth(i);
            told += rejections_note(r, &address, REJECTION_HTTP_400, 0);
        }
        hit = alloc_failed();
        alloc_fail_off();
        if (r) {
            assert_int_equal(told, 40);
            assert_int_equal(rejections_total(r, REJECTION_HTTP_400), 40);
        } else {
            assert_true(hit);
        }
        rejections_free(r);
        assert_int_equal(alloc_live(), 0);
        alloc_track_off();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test_setup_teardown(test_minute, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nothing_to_tell, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_others, set_up, tear_down),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
