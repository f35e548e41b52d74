/*
 * Instances in one process: each fence has a descriptor of its own, so they are as far apart as
 * processes are.
 */
#include "proxy/fence.h"

#include "proxy/log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/vestibule-fence-XXXXXX";
static char state_file[64], rooms_file[80];
static int log_file;
static int64_t now;

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
    static const bool together[FENCE_CHANGING][FENCE_CHANGING] = {
        [FENCE_OPEN] = {true, true, true, true},
        [FENCE_SHARED] = {true, true, true, false},
        [FENCE_NEXT] = {true, false, false, false},
        [FENCE_ALONE] = {true, false, false, false},
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

static void test_who_is_next(void **state)
{
    struct fence **both = *state;
    uint64_t changes = 0;

    assert_true(may(both[0], "room@muc", FENCE_SHARED));
    assert_true(may(both[1], "room@muc", FENCE_NEXT));
    assert_false(may(both[1], "room@muc", FENCE_ALONE));
    assert_false(may(both[0], "room@muc", FENCE_SHARED)); /* no more of them, what it had it has */
    assert_false(may(both[0], "room@muc", FENCE_NEXT));
    assert_true(may(both[0], "another@muc", FENCE_SHARED));
    assert_true(may(both[1], "room@muc", FENCE_CHANGING)); /* waited in vain */
    assert_true(fence_is_changing(both[0], "room@muc", &changes));
    assert_true(may(both[1], "room@muc", FENCE_NEXT));
    assert_false(fence_is_changing(both[0], "room@muc", &changes));
    assert_false(may(both[1], "room@muc", FENCE_ALONE));
    assert_true(may(both[0], "room@muc", FENCE_OPEN));
    assert_false(may(both[0], "room@muc", FENCE_SHARED));
    assert_true(may(both[1], "room@muc", FENCE_ALONE));
    assert_true(may(both[1], "room@muc", FENCE_OPEN));
    assert_true(may(both[0], "room@muc", FENCE_NEXT));
    assert_false(may(both[1], "room@muc", FENCE_NEXT));
    assert_true(may(both[0], "room@muc", FENCE_SHARED));
    assert_true(may(both[1], "room@muc", FENCE_NEXT));
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

static void test_changing(void **state)
{
    struct fence **both = *state;
    uint64_t changes = 0, seen = 0;

    assert_true(fence_set(both[0], "room@muc", FENCE_ALONE, &changes));
    assert_false(fence_is_changing(both[1], "room@muc", &seen));
    assert_int_equal(seen, changes);
    assert_true(may(both[0], "room@muc", FENCE_CHANGING));
    assert_false(fence_is_changing(both[0], "room@muc", &seen)); /* another */
    assert_true(fence_is_changing(both[1], "room@muc", &seen));
    assert_false(fence_is_changing(both[1], "another@muc", &seen));
    assert_false(may(both[1], "room@muc", FENCE_SHARED));
    assert_false(may(both[1], "room@muc", FENCE_CHANGING));
    assert_true(fence_is_changing(both[1], "room@muc", &seen));
    assert_true(may(both[0], "room@muc", FENCE_ALONE));
    assert_false(fence_is_changing(both[1], "room@muc", &seen));
    /* Passed by: who was alone sees it as soon as nobody passes any more. */
    assert_int_equal(fence_count_change(both[1], "room@muc"), changes + 1);
    assert_true(fence_set(both[0], "room@muc", FENCE_CHANGING, &seen));
    assert_int_equal(seen, changes + 1);
    assert_true(may(both[0], "room@muc", FENCE_OPEN));
    assert_false(fence_is_changing(both[1], "room@muc", &seen));
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

/* What was logged since the last call. */
static const char *logged(void)
{
    static char text[4096];
    ssize_t len = pread(log_file, text, sizeof text - 1, 0);

    assert_true(len >= 0);
    text[len] = '\0';
    assert_int_equal(ftruncate(log_file, 0), 0);
    assert_int_equal(lseek(log_file, 0, SEEK_SET), 0);
    return text;
}

/* The next look at the file. */
static bool look(struct fence *fence)
{
    now += 2000;
    return fence_tick(fence, now);
}

static void keep_out_of_each_other(struct fence *one, struct fence *other)
{
    assert_true(may(one, "room@muc", FENCE_ALONE));
    assert_false(may(other, "room@muc", FENCE_SHARED));
    assert_true(may(one, "room@muc", FENCE_OPEN));
    assert_true(may(other, "room@muc", FENCE_SHARED));
    assert_false(may(one, "room@muc", FENCE_ALONE));
    assert_true(may(other, "room@muc", FENCE_OPEN));
}

static void test_replaced(void **state)
{
    static const char *const ways[] = {"removed", "moved", "replaced"};
    struct fence **both = *state;
    char away[100];

    snprintf(away, sizeof away, "%s.away", rooms_file);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        uint64_t before = 0, after = 0;

        fence_count_change(both[0], "room@muc");
        assert_true(fence_set(both[0], "room@muc", FENCE_SHARED, &before));
        assert_false(look(both[0]));
        assert_string_equal(logged(), "");
        if (strcmp(ways[i], "removed") == 0)
            assert_int_equal(unlink(rooms_file), 0);
        else
            assert_int_equal(rename(rooms_file, away), 0);
        if (strcmp(ways[i], "replaced") == 0)
            close(open(rooms_file, O_CREAT | O_RDWR, 0600));
        assert_true(look(both[0]));
        assert_non_null(strstr(logged(), "was moved or removed: it is opened anew"));
        assert_true(look(both[1]));
        assert_true(fence_set(both[0], "room@muc", FENCE_SHARED, &after));
        assert_int_not_equal(after, before); /* what was known is from before */
        assert_true(may(both[0], "room@muc", FENCE_OPEN));
        keep_out_of_each_other(both[0], both[1]);
        assert_false(look(both[0]));
        assert_false(look(both[1]));
        logged();
        unlink(away);
    }
}

static void test_looks_every_other_second(void **state)
{
    struct fence **both = *state;

    assert_false(look(both[0]));
    assert_int_equal(unlink(rooms_file), 0);
    assert_false(fence_tick(both[0], now + 1999));
    assert_true(fence_tick(both[0], now + 2000));
    now += 2000;
    logged();
}

/* Joins and changes go on, what is known grows old, and all is well once the file can be had. */
static void test_no_folder(void **state)
{
    struct fence *fence;
    uint64_t before = 0, after = 0;
    char deep[sizeof folder + 8], deep_file[sizeof deep + 16], deep_rooms[sizeof deep_file + 8];

    snprintf(deep, sizeof deep, "%s/deep", folder);
    snprintf(deep_file, sizeof deep_file, "%s/state.db", deep);
    snprintf(deep_rooms, sizeof deep_rooms, "%s-rooms", deep_file);
    fence = fence_new(deep_file);
    assert_non_null(fence);
    assert_non_null(strstr(fence_problem(fence), "cannot be opened: No such file"));
    assert_non_null(strstr(logged(), "make its folder, writable for this user"));
    assert_true(may(fence, "room@muc", FENCE_ALONE));
    assert_int_equal(fence_count_change(fence, "room@muc"), fence_count_change(fence, "room@muc"));
    assert_true(fence_set(fence, "room@muc", FENCE_SHARED, &before));
    assert_false(look(fence));
    assert_true(fence_set(fence, "room@muc", FENCE_SHARED, &after));
    assert_int_not_equal(after, before);
    assert_string_equal(logged(), ""); /* once */
    assert_int_equal(mkdir(deep, 0700), 0);
    assert_true(look(fence));
    assert_string_equal(fence_problem(fence), "");
    assert_non_null(strstr(logged(), "works again"));
    assert_false(look(fence));
    fence_free(fence);
    fence_free(NULL);
    unlink(deep_rooms);
    rmdir(deep);
}

static void test_is_a_folder(void **state)
{
    struct fence **both = *state;

    assert_int_equal(unlink(rooms_file), 0);
    assert_int_equal(mkdir(rooms_file, 0700), 0);
    assert_false(look(both[0]));
    assert_non_null(strstr(logged(), "cannot be opened: Is a directory"));
    keep_out_of_each_other(both[0], both[1]); /* by the one they have open still */
    assert_int_equal(rmdir(rooms_file), 0);
    assert_true(look(both[0]));
    assert_true(look(both[1]));
    keep_out_of_each_other(both[0], both[1]);
    logged();
}

static void test_full(void **state)
{
    struct fence **both = *state;
    struct rlimit before, small;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 4096;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    fence_count_change(both[0], "room@muc");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_non_null(strstr(logged(), "cannot be written: File too large"));
    keep_out_of_each_other(both[0], both[1]);
    assert_true(look(both[0]));
    assert_non_null(strstr(logged(), "works again"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_who_is_in_the_way, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refused_keeps_what_it_had, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_is_next, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_counts_changes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_changing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_killed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_replaced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_looks_every_other_second, set_up, tear_down),
        cmocka_unit_test(test_no_folder),
        cmocka_unit_test_setup_teardown(test_is_a_folder, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full, set_up, tear_down),
    };
    int failed;

    if (!mkdtemp(folder))
        return 1;
    snprintf(state_file, sizeof state_file, "%s/state.db", folder);
    snprintf(rooms_file, sizeof rooms_file, "%s-rooms", state_file);
    log_file = memfd_create("log", 0);
    log_open(LOG_LEVEL_INFO, false);
    log_to(log_file);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(rooms_file);
    rmdir(folder);
    return failed;
}
