/*
 * The program: arguments, configuration, the parts put together, signals, the end.
 */
#include "certs/tls.h"
#include "proxy/bosh.h"
#include "proxy/fence.h"
#include "proxy/keyfetch.h"
#include "proxy/listener.h"
#include "proxy/log.h"
#include "proxy/notify.h"
#include "proxy/proxy.h"
#include "proxy/rejections.h"
#include "proxy/reload.h"
#include "proxy/roomlink.h"
#include "proxy/service.h"
#include "proxy/session.h"
#include "proxy/state.h"
#include "proxy/stream.h"

#include <getopt.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define TAG "main"

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

/* What the loop's callbacks need. */
struct run {
    struct proxy *proxy;
    const char *file; /* of the configuration; NULL: none */
    int64_t ticked;
};

struct options {
    const char *file;
    bool check_only;
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

static void on_signal(void *ctx, int number)
{
    struct run *run = ctx;

    if (number == SIGHUP)
        reload_config(run->proxy, run->file);
    else
        stop_signal(run->proxy, number == SIGTERM ? "SIGTERM" : "SIGINT");
}

static void tell_status(const struct proxy *p)
{
    const struct notify_facts facts = {
        .streams = p->streams_len,
        .rooms = rooms_count(p->rooms),
        .kept = rooms_persistent_count(p->rooms),
        .is_stopping = p->stop.step != STOP_NOT,
        .is_prosody_down = p->is_upstream_down,
        .service = p->stop.step == STOP_NOT ? service_problem(p->service) : "",
        .state = p->state ? state_problem(p->state) : "",
        .fence = p->fence ? fence_problem(p->fence) : "",
    };

    notify_status(&facts);
}

static void on_tick(void *ctx, int64_t now)
{
    struct run *run = ctx;
    struct proxy *p = run->proxy;

    roomlink_tick(p->link, now);
    service_tick(p->service, now);
    if (now - run->ticked >= 1000) {
        run->ticked = now;
        sessions_tick(p->sessions, now);
        rooms_strangers(p->rooms, sessions_strangers(p->sessions), now);
        if (p->fence && fence_tick(p->fence, now))
            rooms_fence_anew(p->rooms);
        if (p->state && p->stop.step == STOP_NOT) /* what others leave is for those who stay */
            state_tick(p->state, now);
        streams_tick(p, now);
        if (p->bosh)
            bosh_tick(p->bosh, now);
        keyfetch_tick(p->keyfetch, now);
        rejections_tick(p->rejections, now);
        listener_tick(p->listener);
        tell_status(p);
    }
    streams_release_owner_sets(p);
    stop_tick(p, now);
    notify_tick(now);
}

/* Each stream is two sockets; more are of use where clients come by BOSH. Nor is the limit left far
 * higher, as containers often have it: whenever a socket closes, libwebsockets walks a table of as
 * many entries as files might be open at the start. A socket beyond that table it refuses, so that
 * later the limit must not grow. */
void proxy_set_file_limit(const struct config *config, bool is_start)
{
    const unsigned connections = config->limits.connections;
    const rlim_t needed = (rlim_t)connections * 2 + 64, wanted = listener_files_wanted(config);
    const rlim_t ample = wanted + connections / 4 + 256;
    struct rlimit limit;
    rlim_t due;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    if (is_start && (limit.rlim_cur < wanted || limit.rlim_cur > ample)) {
        limit.rlim_cur = limit.rlim_max < ample ? limit.rlim_max : ample;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0 && getrlimit(RLIMIT_NOFILE, &limit) != 0)
            return;
    }
    /* What a restart would give, a reload misses. */
    due = !is_start && limit.rlim_max >= wanted ? wanted : needed;
    if (limit.rlim_cur < due)
        log_line(LOG_LEVEL_WARN, TAG,
                 "only %llu files may be open, limits.connections (%u) needs %llu: %s",
                 (unsigned long long)limit.rlim_cur, connections, (unsigned long long)due,
                 is_start                ? "raise LimitNOFILE or ulimit -n"
                 : limit.rlim_max >= due ? "restart"
                                         : "raise LimitNOFILE or ulimit -n, and restart");
}

bool proxy_load_upstream_tls(const struct config *config, struct ssl_ctx_st **ret)
{
    char error[256];

    *ret = NULL;
    if (!config->upstream.tls)
        return true;
    *ret = tls_client_new(config->upstream.ca_file, config->upstream.host, error, sizeof error);
    if (!*ret)
        log_line(LOG_LEVEL_ERROR, TAG, "upstream: %s", error);
    return *ret != NULL;
}

void proxy_set_upstream(struct proxy *p, struct ssl_ctx_st *tls)
{
    const struct config *config = p->config;

    SSL_CTX_free(p->upstream_tls); /* connections hold on to theirs */
    p->upstream_tls = tls;
    p->upstream = (struct upstream_target){
        .conn = {.host = config->upstream.host, .port = config->upstream.port, .tls = tls},
        .path = config->upstream.path,
        .host = config->upstream.http_host,
        .max_message = config->limits.server_stanza};
}

static void release_owner_sets(struct deferred *work)
{
    streams_release_owner_sets((struct proxy *)((char *)work - offsetof(struct proxy, owner_sets)));
}

static enum state_found adopt(struct proxy *p, const char *name)
{
    if (!rooms_adopt(p->rooms, name, loop_now(p->loop)))
        return STATE_FOUND_LATER;
    log_event(LOG_LEVEL_INFO, "state",
              "a room was held when an earlier process ended; it is released once it is empty",
              {"room", name});
    return STATE_FOUND_TAKEN;
}

/* Of another xmpp.muc than this one: Prosody keeps it, and answers of it are not understood here.
 */
static enum state_found set_aside(const char *name)
{
    log_event(LOG_LEVEL_WARN, "state",
              "state.file has a room that is none of xmpp.muc: it stays in Prosody until it is "
              "destroyed there, or until a start with the xmpp.muc it was made with",
              {"room", name});
    return STATE_FOUND_ASIDE;
}

/* A file may have been written by anything. */
static enum state_found on_room_found(void *ctx, const char *name)
{
    struct proxy *p = ctx;
    enum state_found found = STATE_FOUND_NO_ROOM;
    struct jid address = {0};
    struct muc_room room = {0};
    bool no_memory = false;
    enum muc_place place;
    char *bare = NULL;

    switch (jid_parse(name, strlen(name), &address)) {
    case JID_OK:
        place = muc_locate(&p->config->xmpp, &address, &room, &no_memory);
        bare = jid_bare(&address);
        if (no_memory || !bare)
            found = STATE_FOUND_LATER;
        else if (place == MUC_MAIN && strcmp(room.jid, name) == 0)
            found = adopt(p, name);
        else if (place == MUC_ELSEWHERE && address.node[0] && strcmp(bare, name) == 0)
            found = set_aside(name);
        break;
    case JID_NO_MEMORY:
        found = STATE_FOUND_LATER;
        break;
    default:
        break;
    }
    free(bare);
    muc_room_done(&room);
    jid_done(&address);
    if (found == STATE_FOUND_NO_ROOM)
        log_event(LOG_LEVEL_WARN, "state", "state.file has a row that is no room: taken out",
                  {"row", name});
    else if (found == STATE_FOUND_LATER)
        log_event(LOG_LEVEL_WARN, "state", "out of memory: a room of state.file is looked at later",
                  {"room", name});
    return found;
}

static void write_down(void *ctx, const char *room, bool is_persistent, bool is_waited_for)
{
    struct proxy *p = ctx;

    if (is_persistent && !state_hold(p->state, room, NULL, NULL))
        return; /* said; all is written anew again */
    if (is_waited_for)
        state_waiting(p->state, room, true);
}

static void on_renew(void *ctx)
{
    struct proxy *p = ctx;

    rooms_each_kept(p->rooms, write_down, p);
}

static bool open_state(struct proxy *p)
{
    static const struct state_callbacks callbacks = {.found = on_room_found, .renew = on_renew};

    if (!p->config->state.file)
        return true;
    p->state = state_new(p->loop, p->config->state.file, &callbacks, p);
    return p->state != NULL;
}

void proxy_warn(const struct config *config)
{
    if (config->http.bosh == BOSH_FORWARD)
        log_line(LOG_LEVEL_WARN, TAG,
                 "http.bosh: forward is a way around the lobby: whoever connects to " BOSH_PATH
                 " is not looked at; inspect or refuse closes it");
}

static bool proxy_set_up(struct proxy *p)
{
    struct ssl_ctx_st *tls;
    struct keyfetch *keyfetch;

    p->owner_sets.run = release_owner_sets;
    p->parser = parser_new();
    p->peers = peers_new();
    p->rejections = rejections_new();
    if (!p->parser || !p->peers || !p->rejections || !proxy_load_upstream_tls(p->config, &tls))
        return false;
    proxy_set_upstream(p, tls);
    proxy_set_file_limit(p->config, true);
    p->loop = loop_new();
    if (!p->loop || !keyfetch_new(p, p->config, &keyfetch))
        return false;
    keyfetch_use(p, keyfetch);
    if (p->config->state.file && !(p->fence = fence_new(p->config->state.file)))
        return false;
    p->link = roomlink_new(p);
    p->sessions = p->link ? sessions_new(p->rooms, p->config->limits.connections) : NULL;
    if (!p->sessions || !open_state(p))
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
    if (p->loop)
        loop_on_tick(p->loop, NULL, NULL);
    loop_drop_conns(p->loop);
    bosh_free(p->bosh);
    listener_free(p->listener);
    sessions_free(p->sessions);
    roomlink_free(p->link);
    state_free(p->state);
    fence_free(p->fence);
    loop_free(p->loop);
    keyfetch_free(p->keyfetch);
    peers_free(p->peers);
    rejections_free(p->rejections);
    parser_free(p->parser);
    SSL_CTX_free(p->upstream_tls);
}

static int run(struct config *config, const char *file)
{
    struct proxy proxy = {.config = config, .config_owned = config};
    struct run run = {.proxy = &proxy, .file = file};
    char place[256];
    int status = 1;

    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a write that fails tells enough */
    if (proxy_set_up(&proxy)) {
        loop_on_signal(proxy.loop, on_signal, &run);
        loop_on_tick(proxy.loop, on_tick, &run);
        service_start(proxy.service);
        listener_place(config, place, sizeof place);
        log_line(LOG_LEVEL_INFO, TAG,
                 "Vestibule " VESTIBULE_VERSION " listening on %s%s%s, Prosody is %s", place,
                 config->listen.unix_path ? ":" : "", config->listen.path, config->upstream.url);
        notify_ready();
        proxy_warn(config);
        loop_run(proxy.loop);
        rejections_finish(proxy.rejections);
        log_line(LOG_LEVEL_INFO, TAG, "stopped");
        status = 0;
    }
    proxy_tear_down(&proxy);
    config_free(proxy.config_owned);
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
        return run(config, options.file);
    }
    config_free(config);
    return status;
}
