/*
 * Names of the state file that lead to the same file.
 */
#include "proxy/state_path.h"

#include "tests/unit/alloc.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/vestibule-path-XXXXXX";

/* In the test's folder, which has: real/there, and links. */
static const struct {
    const char *name, *path;
} paths[] = {
    {"real/there", "real/there"},
    {"real/new", "real/new"},
    {"real/../real/./new", "real/new"},
    {"to-there", "real/there"},
    {"to-new", "real/new"}, /* SQLite makes the target */
    {"to-to-new", "real/new"},
    {"real/up-to-new", "real/new"},
    {"to-real/there", "real/there"},
    {"to-real/new", "real/new"},
    {"absolute", "real/new"},
    {"missing/new", "missing/new"},
    {"to-missing", "missing/new"},
};

static void link_in(const char *target, const char *name)
{
    assert_int_equal(symlink(target, name), 0);
}

static int set_up(void **state)
{
    char target[64];

    if (!mkdtemp(folder) || chdir(folder) != 0 || mkdir("real", 0700) != 0)
        return 1;
    close(open("real/there", O_CREAT | O_WRONLY, 0600));
    snprintf(target, sizeof target, "%s/real/new", folder);
    link_in("real/there", "to-there");
    link_in("real/new", "to-new");
    link_in("to-new", "to-to-new");
    link_in("../to-to-new", "real/up-to-new");
    link_in("real", "to-real");
    link_in(target, "absolute");
    link_in("missing/new", "to-missing");
    link_in("round", "round");
    return 0;
}

static int tear_down(void **state)
{
    char command[64];

    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static void test_resolves(void **state)
{
    char expected[128];

    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        char *path = state_path_resolve(paths[i].name);
        bool is_there = strncmp(paths[i].path, "real/", 5) == 0;

        snprintf(expected, sizeof expected, "%s%s%s", is_there ? folder : "", is_there ? "/" : "",
                 paths[i].path);
        assert_non_null(path);
        if (strcmp(path, expected) != 0)
            fail_msg("%s is %s", paths[i].name, path);
        free(path);
    }
    free(state_path_resolve("round"));
    free(state_path_resolve(""));
}

static void test_out_of_memory(void **state)
{
    size_t live = alloc_live();
    bool is_done = false;

    for (size_t n = 0; !is_done; n++) {
        char *path;

        alloc_fail_after(n);
        path = state_path_resolve("to-to-new");
        alloc_fail_off();
        is_done = path != NULL;
        free(path);
        assert_int_equal(alloc_live(), live);
    }
}

static void test_leads_elsewhere(void **state)
{
    int file = open("real/there", O_RDONLY);

    assert_false(state_path_leads_elsewhere("real/there", file));
    assert_false(state_path_leads_elsewhere("to-there", file));
    assert_true(state_path_leads_elsewhere("real/new", file));
    assert_true(state_path_leads_elsewhere("real/there/below", file));
    assert_false(state_path_leads_elsewhere("round", file)); /* cannot be told */
    assert_int_equal(rename("real/there", "real/moved"), 0);
    assert_true(state_path_leads_elsewhere("real/there", file));
    close(open("real/there", O_CREAT | O_WRONLY, 0600));
    assert_true(state_path_leads_elsewhere("real/there", file));
    close(file);
    assert_true(state_path_leads_elsewhere("real/there", file));
}

static void test_mounted_alone(void **state)
{
    assert_false(state_path_is_mounted_alone("to-there"));
    assert_false(state_path_is_mounted_alone("missing/new"));
    assert_true(state_path_is_mounted_alone("/proc"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resolves),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_leads_elsewhere),
        cmocka_unit_test(test_mounted_alone),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
