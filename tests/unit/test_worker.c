/*
 * Jobs on threads that come and go, on a bare libuv loop. Jobs wait for a gate where their order
 * matters.
 */
#include "proxy/worker.h"

#include "tests/unit/alloc.h"

#include <dirent.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define THREADS_MAX 3
#ifdef __SANITIZE_THREAD__
#define ALONE 2 /* with its own */
#else
#define ALONE 1
#endif

/* Closed until it is opened; jobs say when they have come to it. */
struct gate {
    uv_sem_t is_open, reached;
};

struct task {
    struct worker_job job;
    struct gate *gate; /* NULL: it does not wait */
    int number;
    uv_thread_t ran_in, told_in;
    sigset_t blocked;
    int runs, tells, status;
};

static uv_loop_t uv;
static int order[16];
static size_t order_len;
static bool may_create;
static struct gate *opens_at_join;

int __wrap_uv_thread_create(uv_thread_t *id, uv_thread_cb entry, void *argument);
int __real_uv_thread_create(uv_thread_t *id, uv_thread_cb entry, void *argument);

int __wrap_uv_thread_create(uv_thread_t *id, uv_thread_cb entry, void *argument)
{
    return may_create ? __real_uv_thread_create(id, entry, argument) : UV_EAGAIN;
}

int __wrap_uv_thread_join(uv_thread_t *id);
int __real_uv_thread_join(uv_thread_t *id);

int __wrap_uv_thread_join(uv_thread_t *id)
{
    if (opens_at_join)
        uv_sem_post(&opens_at_join->is_open);
    opens_at_join = NULL;
    return __real_uv_thread_join(id);
}

static size_t count_threads(void)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *at;
    size_t count = 0;

    assert_non_null(tasks);
    while ((at = readdir(tasks)))
        count += at->d_name[0] != '.';
    closedir(tasks);
    return count;
}

static void settle(void)
{
    while (uv_run(&uv, UV_RUN_ONCE))
        ;
}

/* The kernel takes a moment to forget a thread that was joined. */
static void wait_until_alone(void)
{
    while (count_threads() > ALONE) {
        uv_run(&uv, UV_RUN_NOWAIT);
        sched_yield();
    }
}

static void gate_init(struct gate *gate)
{
    assert_int_equal(uv_sem_init(&gate->is_open, 0), 0);
    assert_int_equal(uv_sem_init(&gate->reached, 0), 0);
}

static void gate_done(struct gate *gate)
{
    uv_sem_destroy(&gate->is_open);
    uv_sem_destroy(&gate->reached);
}

static void run(struct worker_job *job)
{
    struct task *task = (struct task *)job;

    task->ran_in = uv_thread_self();
    pthread_sigmask(SIG_SETMASK, NULL, &task->blocked);
    task->runs++;
    if (!task->gate)
        return;
    uv_sem_post(&task->gate->reached);
    uv_sem_wait(&task->gate->is_open);
}

static void done(struct worker_job *job, int status)
{
    struct task *task = (struct task *)job;

    task->told_in = uv_thread_self();
    task->tells++;
    task->status = status;
    order[order_len++] = task->number;
}

static void queue(struct worker *worker, struct task *task, int number, struct gate *gate)
{
    *task = (struct task){.job = {.run = run, .done = done}, .gate = gate, .number = number};
    worker_queue(worker, &task->job);
    assert_int_equal(task->tells, 0); /* never under the call */
}

static void expect(const struct task *task, int runs, int tells, int status)
{
    assert_int_equal(task->runs, runs);
    assert_int_equal(task->tells, tells);
    assert_int_equal(task->status, status);
}

static int set_up(void **ctx)
{
    struct worker *worker;

    order_len = 0;
    may_create = true;
    worker = worker_new(&uv, THREADS_MAX);
    *ctx = worker;
    return worker == NULL;
}

static int set_up_one(void **ctx)
{
    int failed = set_up(ctx);

    worker_free(*ctx);
    *ctx = worker_new(&uv, 1);
    return failed || !*ctx;
}

static int tear_down(void **ctx)
{
    worker_free(*ctx);
    settle();
    return 0;
}

static void end(void **ctx)
{
    worker_free(*ctx);
    *ctx = NULL;
}

static void test_runs_off_the_loop(void **ctx)
{
    uv_thread_t self = uv_thread_self();
    struct task task;

    queue(*ctx, &task, 1, NULL);
    settle();
    expect(&task, 1, 1, 0);
    assert_false(uv_thread_equal(&task.ran_in, &self));
    assert_true(uv_thread_equal(&task.told_in, &self));
    assert_true(sigismember(&task.blocked, SIGTERM));
    assert_true(sigismember(&task.blocked, SIGHUP));
    assert_false(sigismember(&task.blocked, SIGSEGV));
}

/* What it is for. */
static void test_alone_afterwards(void **ctx)
{
    struct task tasks[8];

    for (int turn = 0; turn < 3; turn++) {
        for (int i = 0; i < 8; i++)
            queue(*ctx, &tasks[i], i, NULL);
        settle();
        assert_int_equal(order_len, 8);
        order_len = 0;
        wait_until_alone();
    }
}

static void test_one_at_a_time(void **ctx)
{
    struct task tasks[8];
    struct gate gate;

    gate_init(&gate);
    for (int i = 0; i < 8; i++)
        queue(*ctx, &tasks[i], i, i == 0 ? &gate : NULL);
    uv_sem_post(&gate.is_open);
    settle();
    gate_done(&gate);
    assert_int_equal(order_len, 8);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(order[i], i);
        assert_true(uv_thread_equal(&tasks[i].ran_in, &tasks[0].ran_in));
    }
}

/* Those that hang hold up others only when all threads hang. */
static void test_bounded(void **ctx)
{
    struct task hanging[THREADS_MAX], after;
    struct gate gate;

    gate_init(&gate);
    for (int i = 0; i < THREADS_MAX - 1; i++)
        queue(*ctx, &hanging[i], i, &gate);
    queue(*ctx, &after, 7, NULL);
    while (after.tells == 0)
        uv_run(&uv, UV_RUN_ONCE);
    assert_int_equal(order_len, 1);
    queue(*ctx, &hanging[THREADS_MAX - 1], THREADS_MAX - 1, &gate);
    for (int i = 0; i < THREADS_MAX; i++)
        uv_sem_wait(&gate.reached);
    queue(*ctx, &after, 8, NULL);
    uv_run(&uv, UV_RUN_NOWAIT);
    expect(&after, 0, 0, 0);
    for (int i = 0; i < THREADS_MAX; i++)
        uv_sem_post(&gate.is_open);
    settle();
    expect(&after, 1, 1, 0);
    assert_int_equal(order_len, 2 + THREADS_MAX);
    gate_done(&gate);
}

static void test_cancelled(void **ctx)
{
    struct task first, second, third;
    struct gate gate;

    gate_init(&gate);
    queue(*ctx, &first, 1, &gate);
    uv_sem_wait(&gate.reached);
    queue(*ctx, &second, 2, NULL);
    queue(*ctx, &third, 3, NULL);
    assert_true(worker_cancel(*ctx, &second.job));
    assert_false(worker_cancel(*ctx, &first.job));
    uv_sem_post(&gate.is_open);
    settle();
    expect(&first, 1, 1, 0); /* it ran: it is told of */
    expect(&second, 0, 0, 0);
    expect(&third, 1, 1, 0);
    queue(*ctx, &first, 1, &gate);
    uv_sem_wait(&gate.reached);
    uv_sem_post(&gate.is_open);
    settle();
    expect(&first, 1, 1, 0);
    gate_done(&gate);
}

/* Nothing keeps the loop when all that was queued is cancelled. */
static void test_all_cancelled(void **ctx)
{
    struct task first, second;
    struct gate gate;

    gate_init(&gate);
    queue(*ctx, &first, 1, &gate);
    uv_sem_wait(&gate.reached);
    queue(*ctx, &second, 2, NULL);
    assert_true(worker_cancel(*ctx, &second.job));
    assert_true(uv_loop_alive(&uv));
    uv_sem_post(&gate.is_open);
    settle();
    assert_false(uv_loop_alive(&uv));
    wait_until_alone();
    gate_done(&gate);
}

static struct worker *the_same;

static void again(struct worker_job *job, int status)
{
    done(job, status);
    if (order_len < 3)
        worker_queue(the_same, job);
}

/* As the state file's next batch is. */
static void test_queued_when_told(void **ctx)
{
    struct task task = {.job = {.run = run, .done = again}};

    the_same = *ctx;
    worker_queue(*ctx, &task.job);
    settle();
    expect(&task, 3, 3, 0);
}

static void test_no_thread(void **ctx)
{
    struct task tasks[2];

    may_create = false;
    queue(*ctx, &tasks[0], 0, NULL);
    queue(*ctx, &tasks[1], 1, NULL);
    settle();
    expect(&tasks[0], 0, 1, UV_EAGAIN);
    expect(&tasks[1], 0, 1, UV_EAGAIN);
    may_create = true;
    queue(*ctx, &tasks[0], 0, NULL);
    settle();
    expect(&tasks[0], 1, 1, 0);
}

/* One that is there does it all. */
static void test_no_second_thread(void **ctx)
{
    struct task first, second;
    struct gate gate;

    gate_init(&gate);
    queue(*ctx, &first, 1, &gate);
    may_create = false;
    queue(*ctx, &second, 2, NULL);
    uv_run(&uv, UV_RUN_NOWAIT);
    expect(&second, 0, 0, 0);
    uv_sem_post(&gate.is_open);
    settle();
    expect(&second, 1, 1, 0);
    assert_true(uv_thread_equal(&first.ran_in, &second.ran_in));
    gate_done(&gate);
}

/* What runs is waited for, what waits is told that it will not. */
static void test_ends_with_jobs(void **ctx)
{
    struct task first, second, third;
    struct gate gate;

    gate_init(&gate);
    queue(*ctx, &first, 1, &gate);
    queue(*ctx, &second, 2, NULL);
    queue(*ctx, &third, 3, NULL);
    uv_sem_wait(&gate.reached);
    opens_at_join = &gate;
    end(ctx);
    expect(&first, 1, 1, 0);
    expect(&second, 0, 1, UV_ECANCELED);
    expect(&third, 0, 1, UV_ECANCELED);
    settle();
    wait_until_alone();
    gate_done(&gate);
}

/* A thread that is idle does not wait for its time. */
static void test_ends_idle(void **ctx)
{
    struct task task;

    queue(*ctx, &task, 1, NULL);
    settle();
    end(ctx);
    expect(&task, 1, 1, 0);
    settle();
    wait_until_alone();
}

static void test_no_memory(void **ctx)
{
    long n = 0;

    for (bool hit = true; hit; n++) {
        struct worker *worker;

        alloc_track_on();
        alloc_fail_after(n);
        worker = worker_new(&uv, THREADS_MAX);
        hit = alloc_failed();
        alloc_fail_off();
        assert_true(hit == (worker == NULL));
        worker_free(worker);
        settle();
        assert_int_equal(alloc_live(), 0);
        alloc_track_off();
    }
    assert_int_equal(n, 2);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_runs_off_the_loop, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_alone_afterwards, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_at_a_time, set_up_one, tear_down),
        cmocka_unit_test_setup_teardown(test_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cancelled, set_up_one, tear_down),
        cmocka_unit_test_setup_teardown(test_all_cancelled, set_up_one, tear_down),
        cmocka_unit_test_setup_teardown(test_queued_when_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_thread, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_second_thread, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ends_with_jobs, set_up_one, tear_down),
        cmocka_unit_test_setup_teardown(test_ends_idle, set_up, tear_down),
        cmocka_unit_test(test_no_memory),
    };
    int failed;

    uv_loop_init(&uv);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    return uv_loop_close(&uv) != 0 ? 1 : failed;
}
