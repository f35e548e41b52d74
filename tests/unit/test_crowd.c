/*
 * Who waits at the door: order, counts, and the oldest of all and of one address.
 */
#include "proxy/crowd.h"
#include "proxy/peers.h"
#include "proxy/conn.h"
#include "tests/unit/alloc.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

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

static void test_order(void **state)
{
    struct in6_addr a = address_of("::ffff:192.0.2.1"), b = address_of("2001:db8::1");
    struct in6_addr b_too = address_of("2001:db8::2"), other = address_of("2001:db8:1::1");
    struct crowd_member members[6];
    struct crowd *crowd = crowd_new();

    assert_null(crowd_oldest(crowd, NULL));
    assert_null(crowd_oldest(crowd, &a));
    assert_true(crowd_add(crowd, &members[0], &a));
    assert_true(crowd_add(crowd, &members[1], &b));
    assert_true(crowd_add(crowd, &members[2], NULL));
    assert_true(crowd_add(crowd, &members[3], &b_too));
    assert_true(crowd_add(crowd, &members[4], &a));
    assert_true(crowd_add(crowd, &members[5], &a));
    assert_int_equal(crowd_len(crowd, NULL), 6);
    assert_int_equal(crowd_len(crowd, &a), 3);
    assert_int_equal(crowd_len(crowd, &b), 2);
    assert_int_equal(crowd_len(crowd, &other), 0);
    assert_ptr_equal(crowd_oldest(crowd, NULL), &members[0]);
    assert_ptr_equal(crowd_oldest(crowd, &b_too), &members[1]);

    crowd_remove(crowd, &members[0]);
    crowd_remove(crowd, &members[4]); /* in the middle */
    assert_ptr_equal(crowd_oldest(crowd, NULL), &members[1]);
    assert_ptr_equal(crowd_oldest(crowd, &a), &members[5]);
    crowd_remove(crowd, &members[1]);
    assert_ptr_equal(crowd_oldest(crowd, &b), &members[3]);
    assert_ptr_equal(crowd_oldest(crowd, NULL), &members[2]);
    crowd_remove(crowd, &members[2]);
    crowd_remove(crowd, &members[5]); /* the last of its address */
    assert_int_equal(crowd_len(crowd, &a), 0);
    assert_true(crowd_add(crowd, &members[0], &a));
    assert_ptr_equal(crowd_oldest(crowd, &a), &members[0]);
    crowd_remove(crowd, &members[0]);
    crowd_remove(crowd, &members[3]);
    assert_int_equal(crowd_len(crowd, NULL), 0);
    crowd_free(crowd);
    crowd_free(NULL);
}

/* Who could not be added is nowhere, and the others are where they were. */
static void test_no_memory(void **state)
{
    enum { MEMBERS = 40 };
    static struct crowd_member members[MEMBERS];
    static bool added[MEMBERS];

    for (long n = 0, hit = 1; hit; n++) {
        size_t failed = 0;

        alloc_track_on();
        alloc_fail_after(n);
        struct crowd *crowd = crowd_new();
        for (int i = 0; crowd && i < MEMBERS; i++) {
            struct in6_addr address = address_of("2001:db8::");
            address.s6_addr[7] = (uint8_t)(i / 2);
            added[i] = crowd_add(crowd, &members[i], &address);
            failed += !added[i];
        }
        hit = alloc_failed();
        alloc_fail_off();
        assert_int_equal(crowd ? failed : 1, hit);
        if (crowd)
            assert_int_equal(crowd_len(crowd, NULL), MEMBERS - failed);
        for (int i = 0; crowd && i < MEMBERS; i++) {
            if (added[i])
                crowd_remove(crowd, &members[i]);
        }
        crowd_free(crowd);
        assert_int_equal(alloc_live(), 0);
        alloc_track_off();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
