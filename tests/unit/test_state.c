/*
 * The state file, on real SQLite in a folder of the test's own. The loop is a bare libuv one.
 */
#include "proxy/state.h"

#include "proxy/log.h"
#include "tests/unit/alloc.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static uv_loop_t uv;
static int64_t now;
static char folder[] = "/tmp/vestibule-state-XXXXXX";
static char file[256];
static char found[512];
static int written, unwritten, handed_over, later;

uv_loop_t *loop_uv(struct loop *loop)
{
    return &uv;
}

int64_t loop_now(const struct loop *loop)
{
    return now;
}

static enum state_found answer;

static enum state_found on_found(void *ctx, const char *room)
{
    strcat(found, room);
    strcat(found, " ");
    return answer;
}

static void (*renews)(struct state *state);
static struct state *renewed;
static int renewals;

static void on_renew(void *ctx)
{
    renewals++;
    if (renews)
        renews(renewed);
}

static const struct state_callbacks callbacks = {.found = on_found, .renew = on_renew};

static void on_done(void *ctx, enum state_outcome outcome)
{
    written += outcome == STATE_DONE;
    unwritten += outcome == STATE_UNWRITTEN;
    handed_over += outcome == STATE_HANDED_OVER;
    later += outcome == STATE_LATER;
}

static void settle(void)
{
    while (uv_run(&uv, UV_RUN_ONCE))
        ;
}

static bool no_threads;

int __wrap_uv_thread_create(uv_thread_t *id, uv_thread_cb entry, void *argument);
int __real_uv_thread_create(uv_thread_t *id, uv_thread_cb entry, void *argument);

int __wrap_uv_thread_create(uv_thread_t *id, uv_thread_cb entry, void *argument)
{
    return no_threads ? UV_EAGAIN : __real_uv_thread_create(id, entry, argument);
}

static struct state *open_state(void)
{
    struct state *state;

    found[0] = '\0';
    state = state_new(NULL, file, &callbacks, NULL);
    assert_non_null(state);
    state_tick(state, now);
    settle();
    return state;
}

static size_t count_of(const char *text, const char *word)
{
    size_t count = 0;

    for (const char *at = strstr(text, word); at; at = strstr(at + 1, word))
        count++;
    return count;
}

static void hold_one(struct state *state)
{
    assert_true(state_hold(state, "held@muc", NULL, NULL));
}

/* The worker is busy, so what comes waits, up to a limit; told once, and nothing is missing. */
static void test_too_many_changes(void **unused)
{
    struct state *state = open_state();
    int log_file = memfd_create("log", 0);
    int before = renewals;
    char text[4096];
    ssize_t len;

    log_to(log_file);
    hold_one(state);
    for (int i = 0; i < 65536; i++)
        state_waiting(state, "held@muc", i % 2 == 0);
    for (int i = 0; i < 100; i++) {
        state_release(state, "held@muc");
        assert_false(state_hold(state, "one more@muc", NULL, NULL));
    }
    renews = hold_one;
    renewed = state;
    settle();
    renews = NULL;
    log_to(STDERR_FILENO);
    assert_int_equal(renewals, before + 1);
    len = pread(log_file, text, sizeof text - 1, 0);
    assert_true(len > 0);
    text[len] = '\0';
    assert_int_equal(count_of(text, "too many changes wait to be written"), 1);
    assert_int_equal(count_of(text, "changes are noted again"), 1);
    assert_int_equal(count_of(text, "\n"), 2);
    close(log_file);
    state_free(state);
    state = open_state();
    assert_string_equal(found, "held@muc ");
    state_free(state);
}

static void write_file(const char *text, size_t len)
{
    FILE *out = fopen(file, "w");

    assert_non_null(out);
    assert_int_equal(fwrite(text, 1, len, out), len);
    fclose(out);
}

static int set_up(void **ctx)
{
    char command[300];

    snprintf(command, sizeof command, "rm -rf %s && mkdir -m 700 %s", folder, folder);
    snprintf(file, sizeof file, "%s/state.db", folder);
    written = unwritten = handed_over = later = renewals = 0;
    renews = NULL;
    now = 0;
    answer = STATE_FOUND_TAKEN;
    return system(command);
}

static void test_holds_over_restarts(void **ctx)
{
    struct state *state = open_state();

    assert_true(state_is_working(state));
    assert_string_equal(found, "");
    assert_true(state_hold(state, "a@r", on_done, NULL));
    assert_int_equal(written, 0); /* never under the call */
    assert_true(state_hold(state, "b@r", on_done, NULL));
    assert_true(state_hold(state, "a@r", on_done, NULL));
    settle();
    assert_int_equal(written, 3);
    state_release(state, "b@r");
    state_release(state, "never@r");
    state_free(state); /* with changes on their way */
    state = open_state();
    assert_string_equal(found, "a@r ");
    state_free(state);
}

static void test_who_left_hears_nothing(void **ctx)
{
    struct state *state = open_state();
    int gone, here;

    assert_true(state_hold(state, "a@r", on_done, &gone));
    assert_true(state_hold(state, "b@r", on_done, &gone));
    assert_true(state_hold(state, "c@r", on_done, &here));
    state_forget(state, &gone);
    settle();
    assert_int_equal(written, 1);
    state_free(state);
}

/* Each with the file as the test left it, and what is tried is a room to hold. */
static void expect_unwritten(struct state *state)
{
    assert_true(state_hold(state, "a@r", on_done, NULL));
    settle();
    assert_int_equal(unwritten, 1);
    assert_false(state_is_working(state));
}

/* A file that is none of ours is left as it is. */
static void test_damaged(void **ctx)
{
    static const char text[] = "this is a letter to somebody, and no database at all, believe me";
    struct state *state;
    struct stat there;

    write_file(text, sizeof text);
    state = open_state();
    assert_false(state_is_working(state));
    expect_unwritten(state);
    assert_int_equal(stat(file, &there), 0);
    assert_int_equal(there.st_size, sizeof text);
    /* Moved away, a new one is made. */
    unlink(file);
    state_tick(state, now);
    settle();
    assert_false(state_is_working(state)); /* not before its time */
    now += STATE_RETRY_MS;
    state_tick(state, now);
    settle();
    assert_true(state_is_working(state));
    state_free(state);
}

static void test_cut_in_the_middle(void **ctx)
{
    struct state *state = open_state();
    char room[64];

    for (int i = 0; i < 400; i++) {
        snprintf(room, sizeof room, "a-room-with-a-long-name-%d@conference.meet", i);
        assert_true(state_hold(state, room, on_done, NULL));
    }
    settle();
    state_free(state);
    assert_int_equal(truncate(file, 6000), 0);
    state = open_state();
    assert_false(state_is_working(state));
    state_free(state);
}

static void test_no_folder(void **ctx)
{
    struct state *state;

    rmdir(folder);
    state = open_state();
    assert_false(state_is_working(state));
    expect_unwritten(state);
    mkdir(folder, 0700);
    now += STATE_RETRY_MS;
    state_tick(state, now);
    settle();
    assert_true(state_is_working(state));
    state_free(state);
}

static void tick(struct state *state)
{
    now += STATE_SWEEP_MS;
    state_tick(state, now);
    settle();
}

static void hold_b(struct state *state)
{
    assert_true(state_hold(state, "b@r", NULL, NULL));
    state_waiting(state, "b@r", true);
}

static void test_full_disk(void **ctx)
{
    struct rlimit limit, small;
    struct state *state = open_state();

    assert_true(state_hold(state, "c@r", NULL, NULL));
    settle();
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &limit);
    small = limit;
    small.rlim_cur = 1;
    setrlimit(RLIMIT_FSIZE, &small);
    expect_unwritten(state);
    setrlimit(RLIMIT_FSIZE, &limit);
    /* The next room finds it mended, and what was there or lost meanwhile is written anew. */
    state_release(state, "c@r");
    renews = hold_b;
    renewed = state;
    assert_true(state_hold(state, "b@r", on_done, NULL));
    settle();
    assert_int_equal(written, 1);
    assert_int_equal(renewals, 1);
    assert_true(state_is_working(state));
    state_free(state);
    state = open_state();
    assert_string_equal(found, "b@r ");
    state_free(state);
}

/* Somebody removes the file, or all of its files, under a process that has it open. */
static void removed(const char *pattern)
{
    struct state *state = open_state();
    char command[300];

    assert_true(state_hold(state, "a@r", NULL, NULL));
    settle();
    snprintf(command, sizeof command, "rm %s%s", file, pattern);
    assert_int_equal(system(command), 0);
    renews = hold_b;
    renewed = state;
    tick(state);
    assert_int_equal(renewals, 1);
    assert_true(state_is_working(state));
    tick(state);
    assert_int_equal(renewals, 1);
    state_free(state);
    state = open_state();
    assert_string_equal(found, "b@r ");
    state_free(state);
}

static void test_removed(void **ctx)
{
    removed("");
}

static void test_all_removed(void **ctx)
{
    removed("*");
}

static void hold_one_room(void)
{
    struct state *state = open_state();

    assert_true(state_hold(state, "a@r", NULL, NULL));
    state_free(state);
}

static int is_two(void *ctx, int columns, char **values, char **names)
{
    assert_string_equal(values[0], "2");
    return 0;
}

static void hold_a(struct state *state)
{
    assert_true(state_hold(state, "a@r", NULL, NULL));
    state_waiting(state, "a@r", true);
}

/* Another begins in its place before the one who has it open has looked. */
static void test_moved_away(void **ctx)
{
    struct state *one = open_state();
    struct state *other;
    char command[800];

    hold_a(one);
    settle();
    snprintf(command, sizeof command, "mkdir %s/old && mv %s* %s/old", folder, file, folder);
    assert_int_equal(system(command), 0);
    other = open_state();
    hold_b(other);
    settle();
    renews = hold_a;
    renewed = one;
    tick(one);
    assert_int_equal(renewals, 1);
    assert_true(state_is_shared(one));
    assert_true(state_is_shared(other));
    tick(other);
    tick(one);
    assert_string_equal(found, ""); /* both live */
    assert_true(state_part(other, "a@r", on_done, NULL));
    settle();
    assert_int_equal(handed_over, 1);
    state_free(one);
    found[0] = '\0';
    tick(other);
    assert_string_equal(found, "a@r ");
    state_free(other);
}

/* Who notices it first does not know yet who waits at others. */
static void test_moved_and_parted(void **ctx)
{
    struct state *one = open_state();
    struct state *other = open_state();
    char command[800];

    hold_a(one);
    hold_b(other);
    settle();
    snprintf(command, sizeof command, "mkdir %s/old && mv %s* %s/old", folder, file, folder);
    assert_int_equal(system(command), 0);
    for (int i = 0; i < 2; i++) {
        assert_true(state_part(other, "a@r", on_done, NULL));
        settle();
        tick(other);
    }
    assert_int_equal(later, 2);
    renews = hold_a;
    renewed = one;
    tick(one);
    renews = NULL;
    for (int i = 0; i < 2; i++)
        tick(other);
    assert_true(state_part(other, "a@r", on_done, NULL));
    settle();
    assert_int_equal(later, 2);
    assert_int_equal(handed_over, 1);
    assert_int_equal(written, 0);
    state_free(one);
    state_free(other);
}

/* And the file that was there comes back, with what was in it. */
static void test_moved_back(void **ctx)
{
    struct state *one = open_state();
    char command[800];

    hold_a(one);
    settle();
    snprintf(command, sizeof command, "mkdir %s/old && mv %s* %s/old", folder, file, folder);
    assert_int_equal(system(command), 0);
    renews = hold_b;
    renewed = one;
    tick(one);
    snprintf(command, sizeof command, "rm %s* && mv %s/old/* %s", file, folder, folder);
    assert_int_equal(system(command), 0);
    tick(one);
    assert_int_equal(renewals, 2);
    assert_string_equal(found, "a@r ");
    state_free(one);
    one = open_state();
    assert_string_equal(found, "a@r b@r ");
    state_free(one);
}

static void test_other_names(void **ctx)
{
    static const char *const links[] = {"ln -s state.db", "ln -s ../$(basename $PWD)/state.db"};
    char command[512], real[sizeof file];

    snprintf(real, sizeof real, "%s", file);
    for (size_t i = 0; i < 2; i++) {
        struct state *one, *other;

        snprintf(command, sizeof command, "cd %s && rm -f link && %s link", folder, links[i]);
        assert_int_equal(system(command), 0);
        snprintf(file, sizeof file, "%s", real);
        one = open_state();
        hold_a(one);
        settle();
        snprintf(file, sizeof file, "%s/link", folder);
        other = open_state();
        assert_string_equal(found, "");
        assert_true(state_is_shared(one));
        assert_true(state_is_shared(other));
        assert_true(state_part(other, "a@r", on_done, NULL));
        settle();
        assert_int_equal(handed_over, 1);
        handed_over = 0;
        state_free(other);
        state_release(one, "a@r");
        state_free(one);
    }
}

/* Its slots were in a file of their own. */
static void test_older_version(void **ctx)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    char lock_name[sizeof file + 8];
    struct state *state;
    sqlite3 *db = NULL;
    int lock_file;

    hold_one_room();
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 1", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    snprintf(lock_name, sizeof lock_name, "%s-lock", file);
    lock_file = open(lock_name, O_CREAT | O_RDWR, 0600);
    assert_int_equal(fcntl(lock_file, F_OFD_SETLK, &lock), 0);
    state = open_state();
    assert_non_null(strstr(state_problem(state), "an older Vestibule has it open"));
    assert_string_equal(found, "");
    close(lock_file);
    now += STATE_RETRY_MS;
    tick(state);
    assert_true(state_is_working(state));
    assert_string_equal(found, "a@r ");
    assert_int_not_equal(access(lock_name, F_OK), 0);
    state_free(state);
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version", is_two, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

/* A disk that takes its time takes the worker's, not the loop's. */
static void on_turn(uv_idle_t *idle)
{
    ++*(int *)idle->data;
}

static void test_slow_disk(void **ctx)
{
    struct state *state = open_state();
    sqlite3 *other = NULL;
    uv_idle_t idle;
    int turns = 0, before;

    assert_int_equal(sqlite3_open(file, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    idle.data = &turns;
    uv_idle_init(&uv, &idle);
    uv_idle_start(&idle, on_turn);
    assert_true(state_hold(state, "a@r", on_done, NULL));
    for (int i = 0; i < 1000; i++)
        uv_run(&uv, UV_RUN_NOWAIT);
    assert_int_equal(turns, 1000);
    assert_int_equal(written + unwritten, 0); /* it still waits */
    assert_int_equal(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    before = turns;
    while (written == 0)
        uv_run(&uv, UV_RUN_NOWAIT);
    assert_true(turns > before);
    assert_int_equal(unwritten, 0);
    uv_close((uv_handle_t *)&idle, NULL);
    settle();
    sqlite3_close(other);
    state_free(state);
}

/* One that stands still is given up, by everybody at once, until it answers. */
static void test_given_up(void **ctx)
{
    struct state *state = open_state();
    sqlite3 *other = NULL;
    int patient, other_patient;

    assert_int_equal(sqlite3_open(file, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_true(state_hold(state, "a@r", on_done, &patient));
    assert_true(state_hold(state, "b@r", on_done, &other_patient));
    state_give_up(state, &patient);
    assert_false(state_is_working(state));
    assert_string_not_equal(state_problem(state), "");
    assert_false(state_hold(state, "c@r", on_done, &patient));
    assert_false(state_part(state, "c@r", on_done, &patient));
    assert_int_equal(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    settle();
    assert_int_equal(written, 1); /* of him who still waits */
    assert_true(state_is_working(state));
    assert_string_equal(state_problem(state), "");
    assert_true(state_hold(state, "c@r", on_done, &patient));
    settle();
    assert_int_equal(written, 2);
    sqlite3_close(other);
    state_free(state);
}

/* What was asked for last is written, and nobody is called who may be gone. */
static void test_ends_with_work(void **ctx)
{
    struct state *one = open_state();
    struct state *other = open_state();

    assert_true(state_hold(one, "a@r", NULL, NULL));
    settle();
    state_free(one);
    found[0] = '\0';
    now += STATE_SWEEP_MS;
    state_tick(other, now); /* which finds it */
    assert_true(state_hold(other, "b@r", on_done, NULL));
    state_free(other);
    assert_string_equal(found, "");
    assert_int_equal(written, 0);
    state_free(open_state());
    assert_string_equal(found, "a@r b@r ");
}

/* The system has none for it: that is said, and what was lost is written anew once it has. */
static void test_no_thread(void **ctx)
{
    struct state *state;

    no_threads = true;
    state = open_state();
    assert_false(state_is_working(state));
    assert_non_null(strstr(state_problem(state), "no thread"));
    expect_unwritten(state);
    no_threads = false;
    renews = hold_b;
    renewed = state;
    now += STATE_RETRY_MS;
    tick(state);
    assert_true(state_is_working(state));
    assert_string_equal(state_problem(state), "");
    assert_int_equal(renewals, 1);
    state_free(state);
    no_threads = true;
    state = open_state();
    state_release(state, "b@r");
    state_free(state);
    no_threads = false;
    state = open_state();
    assert_string_equal(found, "b@r ");
    state_free(state);
}

static void test_newer_version(void **ctx)
{
    struct state *state;
    sqlite3 *db = NULL;

    state_free(open_state());
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 9", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    state = open_state();
    assert_false(state_is_working(state));
    state_free(state);
}

static void test_shared(void **ctx)
{
    struct state *one = open_state();
    struct state *other;

    assert_false(state_is_shared(one));
    other = open_state();
    assert_true(state_is_shared(one));
    assert_true(state_is_shared(other));
    assert_true(state_hold(one, "a@r", on_done, NULL));
    assert_true(state_hold(other, "b@r", on_done, NULL));
    settle();
    assert_int_equal(written, 2);
    tick(other);
    assert_string_equal(found, ""); /* each has its own */
    state_free(one);
    assert_false(state_is_shared(other));
    tick(other);
    assert_string_equal(found, "a@r ");
    tick(other);
    assert_string_equal(found, "a@r "); /* told once */
    state_free(other);
    other = open_state();
    assert_string_equal(found, "a@r b@r ");
    state_free(other);
}

static void test_handed_over(void **ctx)
{
    struct state *one = open_state();
    struct state *other = open_state();

    assert_true(state_hold(one, "a@r", on_done, NULL));
    state_waiting(other, "a@r", true);
    settle();
    assert_true(state_part(one, "a@r", on_done, NULL));
    assert_true(state_part(one, "b@r", on_done, NULL));
    settle();
    assert_int_equal(handed_over, 1);
    assert_int_equal(written, 2);
    tick(other);
    assert_string_equal(found, "a@r ");
    state_release(one, "a@r"); /* no longer its own */
    state_waiting(other, "a@r", false);
    settle();
    assert_true(state_part(other, "a@r", on_done, NULL));
    settle();
    assert_int_equal(written, 3);
    state_free(one);
    state_free(other);
    other = open_state();
    assert_string_equal(found, "a@r ");
    state_free(other);
}

/* Whoever waited at a process that died waits no more. */
static void test_dead_waiter(void **ctx)
{
    struct state *one = open_state();
    struct state *other = open_state();

    state_waiting(other, "a@r", true);
    settle();
    state_free(other);
    assert_true(state_part(one, "a@r", on_done, NULL));
    settle();
    assert_int_equal(written, 1);
    state_free(one);
}

/* What is found in the same breath as the file itself is no less held than what was held before. */
static void test_found_with_the_file(void **ctx)
{
    struct state *state = open_state();
    char command[300];

    assert_true(state_hold(state, "a@r", on_done, NULL));
    settle();
    state_free(state);
    snprintf(command, sizeof command, "mv %s %s.away", folder, folder);
    assert_int_equal(system(command), 0);
    state = open_state();
    assert_false(state_is_working(state));
    snprintf(command, sizeof command, "mv %s.away %s", folder, folder);
    assert_int_equal(system(command), 0);
    now += STATE_RETRY_MS;
    tick(state);
    assert_string_equal(found, "a@r ");
    assert_int_equal(renewals, 1);
    tick(state);
    state_free(state);
    state = open_state();
    assert_string_equal(found, "a@r ");
    state_free(state);
}

/* Without memory there is no state at all, or one that says what is wrong with the file. */
static void test_no_memory(void **ctx)
{
    for (long n = 0, hit = 1; hit; n++) {
        struct state *state;

        alloc_track_on();
        alloc_fail_after(n);
        state = state_new(NULL, file, &callbacks, NULL);
        hit = alloc_failed();
        alloc_fail_off();
        assert_true(hit || state_is_working(state));
        state_free(state);
        settle();
        assert_int_equal(alloc_live(), 0);
        alloc_track_off();
    }
}

static void test_no_memory_for_what_is_found(void **ctx)
{
    struct state *state;

    hold_one_room();
    answer = STATE_FOUND_LATER;
    state = open_state();
    tick(state);
    answer = STATE_FOUND_TAKEN;
    tick(state);
    tick(state);
    assert_string_equal(found, "a@r a@r a@r ");
    state_free(state);
}

/* Told of once by each start. */
static void test_set_aside(void **ctx)
{
    struct state *state;

    hold_one_room();
    answer = STATE_FOUND_ASIDE;
    for (int start = 0; start < 2; start++) {
        state = open_state();
        tick(state);
        tick(state);
        assert_string_equal(found, "a@r ");
        state_free(state);
    }
}

static void test_no_room(void **ctx)
{
    struct state *state;

    hold_one_room();
    answer = STATE_FOUND_NO_ROOM;
    state = open_state();
    tick(state);
    assert_string_equal(found, "a@r ");
    state_free(state);
    state = open_state();
    assert_string_equal(found, "");
    state_free(state);
}

/* Rows no process of ours wrote. */
static void test_nameless(void **ctx)
{
    struct state *state;
    sqlite3 *db = NULL;

    hold_one_room();
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "INSERT INTO room VALUES (x'00ff', 0, 1, 0),"
                                  " ('b@r' || char(0) || 'c', 0, 1, 0), (7, 0, 1, 0)",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
    state = open_state();
    tick(state);
    assert_string_equal(found, "7 a@r ");
    state_free(state);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_holds_over_restarts, set_up),
        cmocka_unit_test_setup(test_who_left_hears_nothing, set_up),
        cmocka_unit_test_setup(test_damaged, set_up),
        cmocka_unit_test_setup(test_too_many_changes, set_up),
        cmocka_unit_test_setup(test_cut_in_the_middle, set_up),
        cmocka_unit_test_setup(test_no_folder, set_up),
        cmocka_unit_test_setup(test_full_disk, set_up),
        cmocka_unit_test_setup(test_removed, set_up),
        cmocka_unit_test_setup(test_all_removed, set_up),
        cmocka_unit_test_setup(test_moved_away, set_up),
        cmocka_unit_test_setup(test_moved_and_parted, set_up),
        cmocka_unit_test_setup(test_moved_back, set_up),
        cmocka_unit_test_setup(test_other_names, set_up),
        cmocka_unit_test_setup(test_older_version, set_up),
        cmocka_unit_test_setup(test_slow_disk, set_up),
        cmocka_unit_test_setup(test_given_up, set_up),
        cmocka_unit_test_setup(test_ends_with_work, set_up),
        cmocka_unit_test_setup(test_no_thread, set_up),
        cmocka_unit_test_setup(test_newer_version, set_up),
        cmocka_unit_test_setup(test_shared, set_up),
        cmocka_unit_test_setup(test_handed_over, set_up),
        cmocka_unit_test_setup(test_dead_waiter, set_up),
        cmocka_unit_test_setup(test_found_with_the_file, set_up),
        cmocka_unit_test_setup(test_no_memory, set_up),
        cmocka_unit_test_setup(test_no_memory_for_what_is_found, set_up),
        cmocka_unit_test_setup(test_set_aside, set_up),
        cmocka_unit_test_setup(test_no_room, set_up),
        cmocka_unit_test_setup(test_nameless, set_up),
    };
    int failed;

    uv_loop_init(&uv);
    if (!mkdtemp(folder))
        return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    set_up(NULL);
    rmdir(folder);
    settle();
    return uv_loop_close(&uv) != 0 ? 1 : failed;
}
