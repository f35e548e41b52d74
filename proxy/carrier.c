/*
 * Parked carriers. They are never more than the sockets that were open at a time, as each new
 * socket takes one of them first; but to come into being it needs a descriptor of its own for a
 * moment, so that where these may run out nothing is parked.
 *
 * What this rests on: events are asked of a carrier's socket only for reading (for writing where it
 * is not sound), libwebsockets itself reads nothing, and libuv forgets a descriptor at once when it
 * is stopped.
 */
#include "proxy/carrier.h"

#include "proxy/conn_lws.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* For files that are no conns, and for sockets that come while others are parked. */
#define OTHER_FILES 64

static void end(struct lws *wsi)
{
    lws_set_opaque_user_data(wsi, NULL);
    lws_set_timeout(wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC);
}

/* The vhost does not listen: it is only what conns belong to. */
static struct lws_vhost *vhost_of(struct loop *loop)
{
    struct carriers *carriers = loop_carriers(loop);
    struct lws_context_creation_info info = {0};

    if (carriers->vhost)
        return carriers->vhost;
    info.port = CONTEXT_PORT_NO_LISTEN_SERVER;
    info.protocols = conn_protocols;
    info.vhost_name = "conns";
    return carriers->vhost = lws_create_vhost(loop_lws(loop), &info);
}

static struct lws *adopt(struct loop *loop, int fd, void *conn)
{
    lws_adopt_desc_t what = {.vh = vhost_of(loop),
                             .type = LWS_ADOPT_RAW_FILE_DESC,
                             .fd = {.filefd = fd},
                             .vh_prot_name = "conn"};
    struct lws *wsi = what.vh ? lws_adopt_descriptor_vhost_via_info(&what) : NULL;

    /* Only now: where it fails libwebsockets 4.1 may keep what it made until the end, and tell of
     * it. */
    if (wsi)
        lws_set_opaque_user_data(wsi, conn);
    else
        close(fd);
    return wsi;
}

struct lws *carrier_take(struct loop *loop, int fd, void *conn)
{
    struct carriers *carriers = loop_carriers(loop);

    while (carriers->len > 0) {
        struct lws *wsi = carriers->parked[--carriers->len];
        int own = lws_get_socket_fd(wsi);

        if (dup3(fd, own, O_CLOEXEC) == own) {
            close(fd);
            lws_set_opaque_user_data(wsi, conn);
            lws_rx_flow_control(wsi, 1);
            return wsi;
        }
        end(wsi);
    }
    return adopt(loop, fd, conn);
}

/* The limit is that of the start: later it must not change (proxy_set_file_limit). */
static bool has_files_to_spare(struct loop *loop)
{
    struct carriers *carriers = loop_carriers(loop);
    struct rlimit limit;

    if (carriers->files == 0)
        carriers->files = getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 1;
    return loop_conns_len(loop) + carriers->len + OTHER_FILES < carriers->files;
}

static bool park(struct loop *loop, struct lws *wsi)
{
    struct carriers *carriers = loop_carriers(loop);
    int own = lws_get_socket_fd(wsi);

    if (carriers->len == CARRIERS_MAX || !has_files_to_spare(loop))
        return false;
    if (carriers->blank < 0)
        carriers->blank = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (carriers->blank < 0)
        return false;
    lws_rx_flow_control(wsi, 0); /* first: libuv is to know the descriptor no more */
    if (dup3(carriers->blank, own, O_CLOEXEC) != own)
        return false;
    lws_set_opaque_user_data(wsi, NULL);
    carriers->parked[carriers->len++] = wsi;
    return true;
}

void carrier_leave(struct loop *loop, struct lws *wsi, bool is_sound)
{
    if (!is_sound || !park(loop, wsi))
        end(wsi);
}

void carriers_done(struct carriers *carriers)
{
    while (carriers->len > 0)
        end(carriers->parked[--carriers->len]);
    if (carriers->blank >= 0)
        close(carriers->blank);
    carriers->blank = -1;
}
