/*
 * Blocking work, off the loop: on threads that are there only while there is some. libuv's pool keeps
 * its threads for ever, and in a process of one thread the kernel need not count who uses a descriptor:
 * so nothing may start that pool (uv_queue_work, uv_getaddrinfo, uv_fs_* with a callback).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>
#include <uv.h>

struct worker;

/* Embedded in what it works on, which stays until done is called. */
struct worker_job {
    void (*run)(struct worker_job *self); /* on a thread of the worker's, without signals */
    /* In the loop, never under worker_queue. status: 0, or libuv's error where it was not run: no thread
     * could be started, or UV_ECANCELED under worker_free. */
    void (*done)(struct worker_job *self, int status);
    /* The worker's own. */
    TAILQ_ENTRY(worker_job) link;
    bool is_queued;
    int status;
};

/* So many jobs run at a time, in the order they came; the others wait. NULL when out of memory. */
struct worker *worker_new(uv_loop_t *uv, size_t threads_max);
/* Waits for what runs, and tells every job that is left. Its memory goes with the loop's next turn.
 * Accepts NULL. */
void worker_free(struct worker *worker);

/* Keeps the loop running until it is told of. How many wait is the caller's to limit. */
void worker_queue(struct worker *worker, struct worker_job *job);
/* True: it had not begun, is the caller's again and is not told of. False: it runs or is over, and will
 * be told of. For queued jobs only. */
bool worker_cancel(struct worker *worker, struct worker_job *job) __attribute__((warn_unused_result));
