/*
 * Which of Prosody's paths a request is for, and whether it may be asked that way. Decided from the head
 * alone.
 *
 * Prosody decodes a path, joins its slashes and drops its end before it looks for a handler. Towards
 * Prosody no path is therefore a client's: it is the configuration's, whatever was written to mean it.
 */
#pragma once

#include "proxy/config.h"
#include "xmpp/http.h"

/* The largest content of a request passed on: what nginx lets through unless told otherwise. */
#define ROUTE_CONTENT_MAX (1024 * 1024)

enum route {
    ROUTE_NOWHERE, /* 404 */
    ROUTE_WEBSOCKET,
    ROUTE_BOSH,
    ROUTE_FORWARD, /* one of http.forward */
};

/* *ret_path is what Prosody is to be asked for; not written for ROUTE_NOWHERE. */
enum route route_find(const struct config *config, struct http_slice path, const char **ret_path);

/* The status that refuses a plain request there (400, 405, 411, 413, 501), 0 when it may go on with
 * *ret_length bytes behind its head; *ret_why is a fixed phrase. */
int route_check(enum route route, const struct http_head *request, uint64_t *ret_length,
                const char **ret_why);

/* Whether Prosody would take a path of http.forward for that of an XMPP session, or it would not come
 * there as it is written: what is wrong with it, NULL when nothing is. */
const char *route_wrong(const struct config *config, const char *path);
