/*
 * Threads that come and go. What a newcomer gets wrong: a thread decides to end under the mutex,
 * with nothing queued, so a job that is queued later never counts on it; and it is joined from the
 * loop, by when it has nothing left to do.
 */
#include "proxy/worker.h"

#include <signal.h>
#include <stdint.h>
#include <stdlib.h>

/* A thread costs 30 µs to come and go (15 % of a handshake whose upstream is a name), and the loop
 * 2 % while it is there: so it stays between jobs that come by the hundred a second, and no longer.
 */
#define LINGER_NS (10 * UINT64_C(1000000))

TAILQ_HEAD(jobs, worker_job);

struct thread {
    struct worker *worker;
    uv_thread_t id;
    bool is_there;  /* to be joined */
    bool has_ended; /* or is about to */
};

struct worker {
    uv_async_t async;
    size_t untold;    /* jobs; the loop's, as is_there */
    uv_mutex_t mutex; /* of what follows */
    uv_cond_t wanted;
    struct jobs queued, finished;
    size_t queued_len;
    size_t running_len; /* threads that will look at `queued` again */
    size_t idle_len;    /* of them, those that wait for a job */
    bool is_ending;
    size_t threads_max;
    struct thread threads[];
};

/* Under the mutex. NULL: the thread ends. */
static struct worker_job *take(struct worker *w)
{
    struct worker_job *job;
    bool is_late = false;

    while (TAILQ_EMPTY(&w->queued) && !w->is_ending && !is_late) {
        w->idle_len++;
        is_late = uv_cond_timedwait(&w->wanted, &w->mutex, LINGER_NS) == UV_ETIMEDOUT;
        w->idle_len--;
    }
    job = TAILQ_FIRST(&w->queued);
    if (job) {
        TAILQ_REMOVE(&w->queued, job, link);
        w->queued_len--;
        job->is_queued = false;
    }
    return job;
}

static void run_jobs(void *argument)
{
    struct thread *t = argument;
    struct worker *w = t->worker;
    struct worker_job *job;

    uv_mutex_lock(&w->mutex);
    while ((job = take(w))) {
        uv_mutex_unlock(&w->mutex);
        job->run(job);
        uv_mutex_lock(&w->mutex);
        TAILQ_INSERT_TAIL(&w->finished, job, link);
        uv_async_send(&w->async);
    }
    t->has_ended = true;
    w->running_len--;
    uv_mutex_unlock(&w->mutex);
    uv_async_send(&w->async); /* to be joined */
}

/* The loop's signals are not for it, nor may a system call of a job be broken off by one. What a
 * fault raises is the thread's own. */
static int create(struct thread *t)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    sigset_t blocked, before;
    int status;

    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        sigdelset(&blocked, faults[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    status = uv_thread_create(&t->id, run_jobs, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}

/* Threads that have ended: they do nothing any more but go. */
static void join(struct worker *w)
{
    for (size_t i = 0; i < w->threads_max; i++) {
        struct thread *t = &w->threads[i];
        bool has_ended;

        if (!t->is_there)
            continue;
        uv_mutex_lock(&w->mutex);
        has_ended = t->has_ended;
        uv_mutex_unlock(&w->mutex);
        if (has_ended) {
            uv_thread_join(&t->id);
            t->is_there = false;
        }
    }
}

/* Under the mutex: what is queued is told instead of run. */
static void drop_queued(struct worker *w, int status)
{
    struct worker_job *job;

    while ((job = TAILQ_FIRST(&w->queued))) {
        TAILQ_REMOVE(&w->queued, job, link);
        TAILQ_INSERT_TAIL(&w->finished, job, link);
        job->is_queued = false;
        job->status = status;
    }
    w->queued_len = 0;
}

/* Fewer than threads_max are running. */
static void start(struct worker *w)
{
    struct thread *t = w->threads;
    int status;

    join(w);
    while (t->is_there)
        t++;
    t->has_ended = false;
    uv_mutex_lock(&w->mutex);
    w->running_len++;
    uv_mutex_unlock(&w->mutex);
    status = create(t);
    t->is_there = status == 0;
    if (t->is_there)
        return;
    uv_mutex_lock(&w->mutex);
    if (--w->running_len == 0)
        drop_queued(w, status); /* else it waits for a thread that is there */
    uv_mutex_unlock(&w->mutex);
    uv_async_send(&w->async);
}

static void add_untold(struct worker *w)
{
    if (w->untold++ == 0)
        uv_ref((uv_handle_t *)&w->async);
}

static void remove_untold(struct worker *w)
{
    if (--w->untold == 0)
        uv_unref((uv_handle_t *)&w->async);
}

void worker_queue(struct worker *w, struct worker_job *job)
{
    bool is_short;

    add_untold(w);
    job->is_queued = true;
    job->status = 0;
    uv_mutex_lock(&w->mutex);
    TAILQ_INSERT_TAIL(&w->queued, job, link);
    w->queued_len++;
    is_short = w->queued_len > w->idle_len && w->running_len < w->threads_max;
    uv_cond_signal(&w->wanted);
    uv_mutex_unlock(&w->mutex);
    if (is_short)
        start(w);
}

bool worker_cancel(struct worker *w, struct worker_job *job)
{
    bool is_queued;

    uv_mutex_lock(&w->mutex);
    is_queued = job->is_queued;
    if (is_queued) {
        TAILQ_REMOVE(&w->queued, job, link);
        w->queued_len--;
        job->is_queued = false;
    }
    uv_mutex_unlock(&w->mutex);
    if (is_queued)
        remove_untold(w);
    return is_queued;
}

static void tell(struct worker *w)
{
    struct jobs told = TAILQ_HEAD_INITIALIZER(told);
    struct worker_job *job;

    uv_mutex_lock(&w->mutex);
    TAILQ_CONCAT(&told, &w->finished, link);
    uv_mutex_unlock(&w->mutex);
    while ((job = TAILQ_FIRST(&told))) {
        TAILQ_REMOVE(&told, job, link);
        remove_untold(w);
        job->done(job, job->status);
    }
}

static void on_async(uv_async_t *handle)
{
    struct worker *w = handle->data;

    join(w);
    tell(w);
}

struct worker *worker_new(uv_loop_t *uv, size_t threads_max)
{
    struct worker *w = calloc(1, sizeof *w + threads_max * sizeof w->threads[0]);

    if (!w)
        return NULL;
    if (uv_mutex_init(&w->mutex) != 0)
        goto no_mutex;
    if (uv_cond_init(&w->wanted) != 0)
        goto no_condition;
    if (uv_async_init(uv, &w->async, on_async) != 0)
        goto no_async;
    uv_unref((uv_handle_t *)&w->async);
    w->async.data = w;
    TAILQ_INIT(&w->queued);
    TAILQ_INIT(&w->finished);
    w->threads_max = threads_max;
    for (size_t i = 0; i < threads_max; i++)
        w->threads[i].worker = w;
    return w;

no_async:
    uv_cond_destroy(&w->wanted);
no_condition:
    uv_mutex_destroy(&w->mutex);
no_mutex:
    free(w);
    return NULL;
}

static void closed(uv_handle_t *handle)
{
    free(handle->data);
}

void worker_free(struct worker *w)
{
    if (!w)
        return;
    uv_mutex_lock(&w->mutex);
    drop_queued(w, UV_ECANCELED);
    w->is_ending = true;
    uv_cond_broadcast(&w->wanted);
    uv_mutex_unlock(&w->mutex);
    for (size_t i = 0; i < w->threads_max; i++) {
        if (w->threads[i].is_there)
            uv_thread_join(&w->threads[i].id);
    }
    tell(w);
    uv_cond_destroy(&w->wanted);
    uv_mutex_destroy(&w->mutex);
    uv_close((uv_handle_t *)&w->async, closed);
}
