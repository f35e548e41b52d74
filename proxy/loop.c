/*
 * The loop. What a newcomer gets wrong: nothing is written or freed under a callback. Callbacks
 * queue deferred work, and the prepare handle runs it just before the loop would block, so that one
 * turn's output leaves in one write for each destination.
 */
#include "proxy/loop.h"

#include "proxy/carrier.h"
#include "proxy/conn_lws.h"
#include "proxy/log.h"
#include "proxy/worker.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define TICK_MS 100
#define RECEIVED_MAX 65536 /* in one call, whoever it comes from */
#define CLOSE_TURNS 10
#define RESOLVERS_MAX 4 /* names that do not answer hold up no more than so many others */
/* Memory lent to what is written: so much of it is kept, in pieces no larger than one write's worth
 * twice over. */
#define SPARES_MAX 64
#define SPARE_BYTES_MAX (1024 * 1024)
#define SPARE_MAX (128 * 1024)

struct loop {
    uv_loop_t uv;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_timer_t tick;
    uv_signal_t signals[3];
    struct lws_context *lws;
    uv_idle_t *lws_idle; /* libwebsockets' own; NULL: it has none */
    bool lws_is_due;
    uint64_t turn;
    struct deferred *first, **last;
    struct conn_list conns;
    struct buf spares[SPARES_MAX];
    size_t spares_len, spare_bytes;
    struct carriers carriers;
    struct worker *resolver;
    void (*on_tick)(void *ctx, int64_t now);
    void *tick_ctx;
    void (*on_signal)(void *ctx, int number);
    void *signal_ctx;
    uint8_t received[RECEIVED_MAX];
    uint8_t random[256];
    size_t random_left;
    bool is_stopping;
};

/* The process has one; loop_free says why it is not on the heap. */
static struct loop the_loop = {.carriers = CARRIERS_INIT};

static void lws_log(int level, const char *line)
{
    size_t len = strcspn(line, "\n");

    log_line(level & LLL_ERR ? LOG_LEVEL_WARN : LOG_LEVEL_DEBUG, "libwebsockets", "%.*s", (int)len,
             line);
}

/* Libwebsockets' errors and warnings go to our log. */
static void set_lws_log(void)
{
    lws_set_log_level(LLL_ERR | LLL_WARN, lws_log);
}

/* What work queues while it runs is run too: a flush may close, a close may flush. */
static void run_deferred(struct loop *loop)
{
    while (loop->first) {
        struct deferred *work = loop->first;

        loop->first = work->next;
        if (!loop->first)
            loop->last = &loop->first;
        work->next = NULL;
        work->queued = false;
        work->run(work);
    }
}

static void on_prepare(uv_prepare_t *handle)
{
    struct loop *loop = handle->data;

    run_deferred(loop);
    loop->turn++;
}

/* Behind the events of a turn. After each of them libwebsockets wants to look after its timers; of
 * ours none are among them, so once a tick will do. */
static void on_check(uv_check_t *handle)
{
    struct loop *loop = handle->data;

    if (loop->lws_idle && !loop->lws_is_due)
        uv_idle_stop(loop->lws_idle);
    loop->lws_is_due = false;
}

static void find_idle(uv_handle_t *handle, void *ctx)
{
    struct loop *loop = ctx;

    if (uv_handle_get_type(handle) != UV_IDLE)
        return;
    assert(!loop->lws_idle); /* ours are none */
    loop->lws_idle = (uv_idle_t *)handle;
}

static void on_tick(uv_timer_t *handle)
{
    struct loop *loop = handle->data;
    int64_t now = loop_now(loop);

    loop->lws_is_due = true;
    conns_tick(loop, now);
    if (loop->on_tick)
        loop->on_tick(loop->tick_ctx, now);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct loop *loop = handle->data;

    if (loop->on_signal)
        loop->on_signal(loop->signal_ctx, number);
}

static struct lws_context *context_new(struct loop *loop)
{
    void *foreign[1] = {&loop->uv};
    struct lws_context_creation_info info = {0};

    set_lws_log();
    info.port = CONTEXT_PORT_NO_LISTEN;
    info.options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS;
    info.foreign_loops = foreign;
    info.gid = (gid_t)-1;
    info.uid = (uid_t)-1;
    return lws_create_context(&info);
}

struct loop *loop_new(void)
{
    static const int numbers[3] = {SIGTERM, SIGINT, SIGHUP};
    struct loop *loop = &the_loop;

    loop->last = &loop->first;
    if (uv_loop_init(&loop->uv) != 0)
        return NULL;
    loop->resolver = worker_new(&loop->uv, RESOLVERS_MAX);
    if (!loop->resolver)
        goto no_resolver;
    loop->lws = context_new(loop);
    if (!loop->lws)
        goto no_context;
    uv_prepare_init(&loop->uv, &loop->prepare);
    loop->prepare.data = loop;
    uv_prepare_start(&loop->prepare, on_prepare);
    uv_walk(&loop->uv, find_idle, loop);
    uv_check_init(&loop->uv, &loop->check);
    loop->check.data = loop;
    uv_check_start(&loop->check, on_check);
    uv_timer_init(&loop->uv, &loop->tick);
    loop->tick.data = loop;
    uv_timer_start(&loop->tick, on_tick, TICK_MS, TICK_MS);
    for (size_t i = 0; i < 3; i++) {
        uv_signal_init(&loop->uv, &loop->signals[i]);
        loop->signals[i].data = loop;
        uv_signal_start(&loop->signals[i], on_signal, numbers[i]);
    }
    return loop;

no_context:
    /* No turn may follow: what libwebsockets leaves in the loop need not be there any more. The
     * process ends. */
    log_line(LOG_LEVEL_ERROR, "loop",
             "libwebsockets could not be set up on libuv; is "
             "libwebsockets-evlib-uv installed?");
    return NULL;
no_resolver:
    log_line(LOG_LEVEL_ERROR, "loop", "out of memory");
    uv_loop_close(&loop->uv);
    return NULL;
}

void loop_run(struct loop *loop)
{
    while (!loop->is_stopping)
        uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void loop_stop(struct loop *loop)
{
    loop->is_stopping = true;
    uv_stop(&loop->uv);
}

void loop_drop_conns(struct loop *loop)
{
    if (!loop)
        return;
    run_deferred(loop);
    while (loop->conns.first) {
        conn_lose(loop->conns.first, "the program ends");
        run_deferred(loop);
    }
}

void loop_lend(struct loop *loop, struct buf *b)
{
    if (b->data || b->failed || loop->spares_len == 0)
        return;
    *b = loop->spares[--loop->spares_len];
    loop->spare_bytes -= b->cap;
}

void loop_take_back(struct loop *loop, struct buf *b)
{
    if (!b->data)
        return;
    if (b->failed || b->cap > SPARE_MAX || loop->spares_len == SPARES_MAX ||
        loop->spare_bytes + b->cap > SPARE_BYTES_MAX) {
        buf_done(b);
        return;
    }
    buf_clear(b);
    loop->spares[loop->spares_len++] = *b;
    loop->spare_bytes += b->cap;
    *b = (struct buf)BUF_INIT;
}

static void drop_spares(struct loop *loop)
{
    while (loop->spares_len > 0)
        buf_done(&loop->spares[--loop->spares_len]);
    loop->spare_bytes = 0;
}

/* The handles of libwebsockets and of libuv need turns to close. */
void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    loop_drop_conns(loop);
    worker_free(loop->resolver);
    carriers_done(&loop->carriers);
    drop_spares(loop);
    uv_prepare_stop(&loop->prepare);
    uv_close((uv_handle_t *)&loop->prepare, NULL);
    uv_check_stop(&loop->check);
    uv_close((uv_handle_t *)&loop->check, NULL);
    uv_close((uv_handle_t *)&loop->tick, NULL);
    for (size_t i = 0; i < 3; i++)
        uv_close((uv_handle_t *)&loop->signals[i], NULL);
    /* On a foreign loop libwebsockets ends in two calls: the sockets, whose handles libuv closes in
     * turns of its own, then the rest. The second frees two handles that libuv is still closing, so
     * no turn may follow it and the loop itself stays as it is (it is static). */
    lws_context_destroy(loop->lws);
    for (int i = 0; i < CLOSE_TURNS; i++)
        uv_run(&loop->uv, UV_RUN_NOWAIT);
    lws_context_destroy(loop->lws);
}

int64_t loop_now(const struct loop *loop)
{
    return (int64_t)uv_now(&loop->uv);
}

uint64_t loop_turn(const struct loop *loop)
{
    return loop->turn;
}

void loop_defer(struct loop *loop, struct deferred *work)
{
    assert(work->run);
    if (work->queued)
        return;
    work->queued = true;
    work->next = NULL;
    *loop->last = work;
    loop->last = &work->next;
}

void loop_undefer(struct loop *loop, struct deferred *work)
{
    if (!work->queued)
        return;
    for (struct deferred **at = &loop->first; *at; at = &(*at)->next) {
        if (*at != work)
            continue;
        *at = work->next;
        if (!work->next)
            loop->last = at;
        break;
    }
    work->queued = false;
    work->next = NULL;
}

void loop_on_tick(struct loop *loop, void (*tick)(void *ctx, int64_t now), void *ctx)
{
    loop->on_tick = tick;
    loop->tick_ctx = ctx;
}

void loop_on_signal(struct loop *loop, void (*caught)(void *ctx, int number), void *ctx)
{
    loop->on_signal = caught;
    loop->signal_ctx = ctx;
}

/* Masks want four bytes a message (RFC 6455 section 5.3): one system call serves many of them. */
void loop_random(struct loop *loop, void *to, size_t len)
{
    assert(len <= sizeof loop->random);
    if (loop->random_left < len) {
        if (getrandom(loop->random, sizeof loop->random, 0) != (ssize_t)sizeof loop->random)
            abort();
        loop->random_left = sizeof loop->random;
    }
    loop->random_left -= len;
    memcpy(to, loop->random + loop->random_left, len);
}

uint8_t *loop_received(struct loop *loop, size_t *ret_cap)
{
    *ret_cap = sizeof loop->received;
    return loop->received;
}

size_t loop_conns_len(const struct loop *loop)
{
    return loop->conns.len;
}

size_t loop_conns_lingering(const struct loop *loop)
{
    return loop->conns.lingering;
}

struct lws_context *loop_lws(struct loop *loop)
{
    return loop->lws;
}

uv_loop_t *loop_uv(struct loop *loop)
{
    return &loop->uv;
}

struct conn_list *loop_conns(struct loop *loop)
{
    return &loop->conns;
}

struct carriers *loop_carriers(struct loop *loop)
{
    return &loop->carriers;
}

struct worker *loop_resolver(struct loop *loop)
{
    return loop->resolver;
}
