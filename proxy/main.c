/*
 * The program: arguments, configuration, the parts put together, signals, the end.
 */
#include "certs/tls.h"
#include "proxy/bosh.h"
#include "proxy/keyfetch.h"
#include "proxy/listener.h"
#include "proxy/log.h"
#include "proxy/proxy.h"
#include "proxy/rejections.h"
#include "proxy/roomlink.h"
#include "proxy/service.h"
#include "proxy/session.h"
#include "proxy/stream.h"

#include <getopt.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define TAG "main"
/* How long a stop waits for rooms to be given back, and then for streams to close. */
#define STOP_ROOMS_MS 3000
#define STOP_STREAMS_MS 3000

extern char **environ;

static const char usage[] =
    "Usage: vestibule -c FILE [--check-config]\n"
    "\n"
    "A WebSocket proxy between nginx and Prosody that gives a Jitsi Meet room the\n"
    "lobby, or a user his way past it, as his token asks.\n"
    "\n"
    "  -c, --config FILE   the configuration (YAML); without it only the\n"
    "                      environment (VESTIBULE_...) counts\n"
    "      --check-config  say what is wrong with it and exit (1), or exit 0\n"
    "      --version       print the version\n"
    "      --help          print this\n";

struct options {
    const char *file;
    bool check_only;
};

/* What the loop's callbacks need: the parts, and how far a stop has come. */
struct stop {
    struct proxy *proxy;
    int signals;
    int64_t deadline, streams_ticked;
    enum { STOP_NOT, STOP_ROOMS, STOP_STREAMS } step;
};

void proxy_upstream_down(struct proxy *p, const char *why)
{
    p->refused_while_down++;
    if (p->is_upstream_down)
        return;
    p->is_upstream_down = true;
    log_line(LOG_LEVEL_ERROR, "upstream",
             "Prosody cannot be reached at %s: %s; clients are refused until it answers",
             p->config->upstream.url, why);
}

void proxy_upstream_up(struct proxy *p)
{
    if (!p->is_upstream_down)
        return;
    p->is_upstream_down = false;
    log_line(LOG_LEVEL_INFO, "upstream", "Prosody answers again; %zu refused meanwhile",
             p->refused_while_down);
    p->refused_while_down = 0;
}

/* Stopping: rooms first, while the service account still speaks; then the streams. */

static void stop_streams(struct stop *stop, int64_t now)
{
    struct stream *next;

    stop->step = STOP_STREAMS;
    stop->deadline = now + STOP_STREAMS_MS;
    for (struct stream *s = stop->proxy->streams; s; s = next) {
        next = s->next;
        stream_end(s, CLOSE_SHUTDOWN, NULL);
    }
    service_stop(stop->proxy->service);
    keyfetch_stop(stop->proxy->keyfetch);
}

static void on_signal(void *ctx, int number)
{
    struct stop *stop = ctx;
    int64_t now = loop_now(stop->proxy->loop);

    if (stop->signals++ > 0) {
        loop_stop(stop->proxy->loop);
        return;
    }
    log_line(LOG_LEVEL_INFO, TAG, "%s: stopping, %zu streams are closed",
             number == SIGTERM ? "SIGTERM" : "SIGINT", stop->proxy->streams_len);
    listener_close(stop->proxy->listener);
    if (stop->proxy->bosh)
        bosh_stop(stop->proxy->bosh);
    rooms_shutdown(stop->proxy->rooms, now);
    stop->step = STOP_ROOMS;
    stop->deadline = now + STOP_ROOMS_MS;
}

static void tick_stop(struct stop *stop, int64_t now)
{
    struct proxy *p = stop->proxy;

    if (stop->step == STOP_ROOMS && (roomlink_busy(p->link) == 0 || now >= stop->deadline))
        stop_streams(stop, now);
    else if (stop->step == STOP_STREAMS && (loop_conns_len(p->loop) == 0 || now >= stop->deadline))
        loop_stop(p->loop);
}

static void on_tick(void *ctx, int64_t now)
{
    struct stop *stop = ctx;
    struct proxy *p = stop->proxy;

    roomlink_tick(p->link, now);
    service_tick(p->service, now);
    if (now - stop->streams_ticked >= 1000) {
        stop->streams_ticked = now;
        sessions_tick(p->sessions, now);
        streams_tick(p, now);
        if (p->bosh)
            bosh_tick(p->bosh, now);
        keyfetch_tick(p->keyfetch, now);
        rejections_tick(p->rejections, now);
    }
    streams_release_owner_sets(p);
    tick_stop(stop, now);
}

/* Each stream is two sockets; more are of use where clients come by BOSH. */
static void raise_file_limit(const struct config *config)
{
    struct rlimit limit;
    rlim_t needed = (rlim_t)config->limits.connections * 2 + 64;
    rlim_t wanted = listener_files_wanted(config);

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < needed)
        log_line(LOG_LEVEL_WARN, TAG,
                 "only %llu files may be open, limits.connections (%u) needs %llu: raise "
                 "LimitNOFILE or ulimit -n",
                 (unsigned long long)limit.rlim_cur, config->limits.connections,
                 (unsigned long long)needed);
}

static bool set_up_upstream(struct proxy *p)
{
    const struct config *config = p->config;
    char error[256];

    if (config->upstream.tls) {
        p->upstream_tls =
            tls_client_new(config->upstream.ca_file, config->upstream.host, error, sizeof error);
        if (!p->upstream_tls) {
            log_line(LOG_LEVEL_ERROR, TAG, "upstream: %s", error);
            return false;
        }
    }
    p->upstream = (struct upstream_target){.conn = {.host = config->upstream.host,
                                                    .port = config->upstream.port,
                                                    .tls = p->upstream_tls},
                                           .path = config->upstream.path,
                                           .host = config->upstream.http_host,
                                           .max_message = config->limits.server_stanza};
    return true;
}

static void release_owner_sets(struct deferred *work)
{
    streams_release_owner_sets((struct proxy *)((char *)work - offsetof(struct proxy, owner_sets)));
}

static bool proxy_set_up(struct proxy *p)
{
    p->owner_sets.run = release_owner_sets;
    p->parser = parser_new();
    p->peers = peers_new();
    p->rejections = rejections_new();
    if (!p->parser || !p->peers || !p->rejections || !set_up_upstream(p))
        return false;
    raise_file_limit(p->config);
    p->loop = loop_new();
    if (!p->loop || !keyfetch_new(p))
        return false;
    p->link = roomlink_new(p);
    p->sessions = p->link ? sessions_new(p->rooms, p->config->limits.connections) : NULL;
    if (!p->sessions)
        return false;
    if (p->config->http.bosh == BOSH_INSPECT && !(p->bosh = bosh_new(p)))
        return false;
    p->listener = listener_new(p);
    return p->listener != NULL;
}

/* From the top down: what calls others goes before them. The loop ends every conn that is left, and
 * its turns free the streams. */
static void proxy_tear_down(struct proxy *p)
{
    struct stream *next;

    for (struct stream *s = p->streams; s; s = next) {
        next = s->next;
        stream_end(s, CLOSE_SHUTDOWN, NULL);
    }
    if (p->service)
        service_stop(p->service);
    keyfetch_stop(p->keyfetch);
    loop_drop_conns(p->loop);
    bosh_free(p->bosh);
    listener_free(p->listener);
    sessions_free(p->sessions);
    roomlink_free(p->link);
    loop_free(p->loop);
    keyfetch_free(p->keyfetch);
    peers_free(p->peers);
    rejections_free(p->rejections);
    parser_free(p->parser);
    SSL_CTX_free(p->upstream_tls);
}

static int run(const struct config *config)
{
    struct proxy proxy = {.config = config};
    struct stop stop = {.proxy = &proxy};
    char place[256];
    int status = 1;

    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN); /* a closing terminal ends no meeting */
    if (proxy_set_up(&proxy)) {
        loop_on_signal(proxy.loop, on_signal, &stop);
        loop_on_tick(proxy.loop, on_tick, &stop);
        service_start(proxy.service);
        listener_place(config, place, sizeof place);
        log_line(LOG_LEVEL_INFO, TAG,
                 "Vestibule " VESTIBULE_VERSION " listening on %s%s%s, Prosody is %s", place,
                 config->listen.unix_path ? ":" : "", config->listen.path, config->upstream.url);
        if (config->http.bosh == BOSH_FORWARD)
            log_line(LOG_LEVEL_WARN, TAG,
                     "http.bosh: forward is a way around the lobby: whoever connects to " BOSH_PATH
                     " is not looked at; inspect or refuse closes it");
        loop_run(proxy.loop);
        rejections_finish(proxy.rejections);
        log_line(LOG_LEVEL_INFO, TAG, "stopped");
        status = 0;
    }
    proxy_tear_down(&proxy);
    return status;
}

static int parse_options(int argc, char **argv, struct options *ret)
{
    static const struct option longs[] = {{"config", required_argument, NULL, 'c'},
                                          {"check-config", no_argument, NULL, 'k'},
                                          {"version", no_argument, NULL, 'v'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    int option;

    while ((option = getopt_long(argc, argv, "c:", longs, NULL)) != -1) {
        switch (option) {
        case 'c':
            ret->file = optarg;
            break;
        case 'k':
            ret->check_only = true;
            break;
        case 'v':
            puts("vestibule " VESTIBULE_VERSION);
            return 0;
        case 'h':
            fputs(usage, stdout);
            return 0;
        default:
            fputs(usage, stderr);
            return 2;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "vestibule: unexpected argument: %s\n%s", argv[optind], usage);
        return 2;
    }
    return -1;
}

int main(int argc, char **argv)
{
    struct options options = {0};
    int status = parse_options(argc, argv, &options);
    struct config *config;

    if (status >= 0)
        return status;
    config = config_load(options.file, environ, stderr);
    if (!config)
        return 1;
    status = 0;
    if (!options.check_only) {
        log_open(config->log.level, config->log.json);
        status = run(config);
    }
    config_free(config);
    return status;
}
