/*
 * Stopping. What a newcomer gets wrong: sessions outlive their streams and may be resumed at once,
 * at the process that takes over; so a stream ends with 1001 and without a stream error, and rooms
 * still count who was in them when they are given back.
 */
#include "proxy/stop.h"

#include "proxy/bosh.h"
#include "proxy/keyfetch.h"
#include "proxy/listener.h"
#include "proxy/log.h"
#include "proxy/notify.h"
#include "proxy/proxy.h"
#include "proxy/roomlink.h"
#include "proxy/service.h"
#include "proxy/state.h"
#include "proxy/stream.h"

#define TAG "stop"
#define TICK_MS 100
/* How long a stop waits for rooms to be given back, and then for last words to be read. */
#define ROOMS_MS 3000
#define CLOSING_MS 3000
/* From the end of the window until a client may be back at a process that was started anew. */
#define RETURN_MS 3000

static void enter(struct proxy *p, enum stop_step step, int64_t now, int64_t limit_ms)
{
    p->stop.step = step;
    p->stop.began = now;
    p->stop.deadline = now + limit_ms;
}

void stop_signal(struct proxy *p, const char *why)
{
    int64_t now = loop_now(p->loop);

    if (p->stop.step != STOP_NOT) {
        log_line(LOG_LEVEL_INFO, TAG, "%s again: stopping at once", why);
        loop_stop(p->loop);
        return;
    }
    log_line(LOG_LEVEL_INFO, TAG, "%s: stopping, %zu streams are closed within %lld s", why,
             p->streams_len, (long long)(p->config->limits.drain_ms + 999) / 1000);
    notify_stopping();
    listener_close(p->listener);
    if (p->bosh)
        bosh_stop(p->bosh);
    enter(p, STOP_DRAINING, now, p->config->limits.drain_ms);
}

/* All are closed a tick before the end. */
static int64_t window_of(const struct proxy *p)
{
    return p->stop.deadline - p->stop.began - TICK_MS;
}

/* Where the next process begins when this one ends, Prosody has to keep the session until then. */
static bool is_too_early(const struct proxy *p, const struct stream *s, int64_t now)
{
    return s->session && s->session->resume_id &&
           s->session->resume_ms < p->stop.deadline + RETURN_MS - now;
}

/* Those whose join is held are left until the last: it is about to be settled; and so are those to
 * whom Prosody is about to answer, who would be told that nobody is here. A BOSH session does not
 * outlive its next answer (stream_send_client): the request behind that may find nobody. */
static size_t close_some(struct proxy *p, size_t wanted, int64_t now)
{
    const bool is_last = now - p->stop.began >= window_of(p);
    struct stream *next;
    size_t closed = 0;

    for (struct stream *s = p->streams; s && closed < wanted; s = next) {
        next = s->next;
        if (s->state != STREAM_OPEN || s->join || (!is_last && is_too_early(p, s, now)))
            continue;
        stream_end(s, CLOSE_SHUTDOWN, NULL);
        closed++;
    }
    return closed;
}

/* How many are to be closed now, the first at once. */
static size_t share(const struct proxy *p, int64_t now)
{
    int64_t window = window_of(p);
    int64_t elapsed = now - p->stop.began;
    size_t due;

    if (elapsed >= window)
        return p->streams_len;
    due = 1 + (p->stop.closed + p->streams_len) * (size_t)elapsed / (size_t)window;
    return due > p->stop.closed ? due - p->stop.closed : 0;
}

/* What is not in the state file nobody would know of. */
static enum rooms_heir heir(const struct proxy *p)
{
    if (!p->state)
        return ROOMS_HEIR_NONE;
    if (state_is_shared(p->state))
        return ROOMS_HEIR_RUNNING;
    return state_is_working(p->state) ? ROOMS_HEIR_NEXT : ROOMS_HEIR_NONE;
}

static void drain(struct proxy *p, int64_t now)
{
    p->stop.closed += close_some(p, share(p, now), now);
    if (p->streams_len > 0 && now < p->stop.deadline)
        return;
    rooms_shutdown(p->rooms, heir(p), now);
    log_line(LOG_LEVEL_DEBUG, TAG, "%zu streams were closed, %zu are left", p->stop.closed,
             p->streams_len);
    enter(p, STOP_ROOMS, now, ROOMS_MS);
}

static void close_all(struct proxy *p, int64_t now)
{
    struct stream *next;

    listener_turn_away(p->listener);
    for (struct stream *s = p->streams; s; s = next) {
        next = s->next;
        stream_end(s, CLOSE_SHUTDOWN, NULL);
    }
    service_stop(p->service);
    keyfetch_stop(p->keyfetch);
    enter(p, STOP_CLOSING, now, CLOSING_MS);
}

void stop_tick(struct proxy *p, int64_t now)
{
    switch (p->stop.step) {
    case STOP_NOT:
        break;
    case STOP_DRAINING:
        drain(p, now);
        break;
    case STOP_ROOMS:
        if (roomlink_busy(p->link) == 0 || now >= p->stop.deadline)
            close_all(p, now);
        break;
    case STOP_CLOSING:
        if (loop_conns_len(p->loop) == 0 || now >= p->stop.deadline)
            loop_stop(p->loop);
        break;
    }
}
