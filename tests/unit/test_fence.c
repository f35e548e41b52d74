/*
 * Instances in one process: each fence has a descriptor of its own, so they are as far apart as
 * processes are.
 */
#include "proxy/fence.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/vestibule-fence-XXXXXX";
static char state_file[64];

static int set_up(void **state)
{
    struct fence **both = calloc(2, sizeof(struct fence *));

    if (!both || !(both[0] = fence_new(state_file)) || !(both[1] = fence_new(state_file)))
        return 1;
    *state = both;
    return 0;
}

static int tear_down(void **state)
{
    struct fence **both = *state;

    fence_free(both[0]);
    fence_free(both[1]);
    free(both);
    return 0;
}

static bool may(struct fence *fence, const char *room, enum room_fence wanted)
{
    uint64_t changes = 0;

    return fence_set(fence, room, wanted, &changes);
}

static void test_who_is_in_the_way(void **state)
{
    static const bool together[3][3] = {
        [FENCE_OPEN] = {true, true, true},
        [FENCE_SHARED] = {true, true, false},
        [FENCE_ALONE] = {true, false, false},
    };
    struct fence **both = *state;

    for (enum room_fence one = FENCE_OPEN; one <= FENCE_ALONE; one++) {
        for (enum room_fence other = FENCE_OPEN; other <= FENCE_ALONE; other++) {
            assert_true(may(both[0], "room@muc", one));
            assert_int_equal(may(both[1], "room@muc", other), together[one][other]);
            assert_true(may(both[1], "another@muc", other));
            assert_true(may(both[1], "room@muc", FENCE_OPEN));
            assert_true(may(both[1], "another@muc", FENCE_OPEN));
            assert_true(may(both[0], "room@muc", FENCE_OPEN));
        }
    }
}

static void test_refused_keeps_what_it_had(void **state)
{
    struct fence **both = *state;

    assert_true(may(both[0], "room@muc", FENCE_SHARED));
    assert_true(may(both[1], "room@muc", FENCE_SHARED));
    assert_false(may(both[0], "room@muc", FENCE_ALONE));
    assert_false(may(both[1], "room@muc", FENCE_ALONE));
    assert_true(may(both[1], "room@muc", FENCE_OPEN));
    assert_true(may(both[0], "room@muc", FENCE_ALONE));
    assert_true(may(both[0], "room@muc", FENCE_SHARED));
    assert_true(may(both[1], "room@muc", FENCE_SHARED));
}

static void test_counts_changes(void **state)
{
    struct fence **both = *state;
    uint64_t before = 0, after = 0, unrelated = 7;

    assert_true(fence_set(both[0], "room@muc", FENCE_SHARED, &before));
    assert_true(fence_set(both[0], "room@muc", FENCE_OPEN, &unrelated));
    assert_int_equal(unrelated, 7);
    assert_int_equal(fence_count_change(both[1], "room@muc"), before + 1);
    assert_true(fence_set(both[0], "room@muc", FENCE_SHARED, &after));
    assert_int_equal(after, before + 1);
    assert_true(fence_set(both[0], "another@muc", FENCE_SHARED, &unrelated));
    assert_int_not_equal(unrelated, 7);
}

static void test_killed(void **state)
{
    struct fence **both = *state;
    int ready[2];
    char byte = 0;
    pid_t child;

    assert_int_equal(pipe(ready), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct fence *own = fence_new(state_file);

        byte = own && may(own, "room@muc", FENCE_ALONE) ? 'y' : 'n';
        if (write(ready[1], &byte, 1) == 1)
            pause();
        _exit(1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    assert_false(may(both[0], "room@muc", FENCE_SHARED));
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_true(may(both[0], "room@muc", FENCE_ALONE));
    close(ready[0]);
    close(ready[1]);
}

static void test_no_folder(void **state)
{
    struct fence *fence = fence_new("/nowhere/at/all/state.db");

    assert_non_null(fence);
    assert_true(may(fence, "room@muc", FENCE_ALONE));
    assert_int_equal(fence_count_change(fence, "room@muc"), fence_count_change(fence, "room@muc"));
    fence_free(fence);
    fence_free(NULL);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_who_is_in_the_way, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refused_keeps_what_it_had, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_counts_changes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_killed, set_up, tear_down),
        cmocka_unit_test(test_no_folder),
    };
    char made[80];
    int failed;

    if (!mkdtemp(folder))
        return 1;
    snprintf(state_file, sizeof state_file, "%s/state.db", folder);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    snprintf(made, sizeof made, "%s-rooms", state_file);
    unlink(made);
    rmdir(folder);
    return failed;
}
