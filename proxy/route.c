/*
 * Paths. What a newcomer gets wrong: the WebSocket's and BOSH's are taken in every spelling that
 * Prosody would take (wire fact 20), for what is refused or inspected here must not have a second
 * name; those of http.forward in one only.
 */
#include "proxy/route.h"

#include "proxy/bosh.h"

#include <string.h>

enum route route_find(const struct config *config, struct http_slice path, const char **ret_path)
{
    if (http_path_is(path, config->listen.path)) {
        *ret_path = config->upstream.path;
        return ROUTE_WEBSOCKET;
    }
    if (http_path_is(path, BOSH_PATH)) {
        *ret_path = BOSH_PATH;
        return ROUTE_BOSH;
    }
    for (char **at = config->http.forward; at && *at; at++) {
        if (http_slice_is(path, *at)) {
            *ret_path = *at;
            return ROUTE_FORWARD;
        }
    }
    return ROUTE_NOWHERE;
}

static bool is_one_of(struct http_slice method, const char *const *methods)
{
    for (; *methods; methods++) {
        if (http_slice_is(method, *methods))
            return true;
    }
    return false;
}

int route_check(enum route route, const struct http_head *request, uint64_t *ret_length,
                const char **ret_why)
{
    static const char *const reading[] = {"GET", "HEAD", "OPTIONS", NULL};
    static const char *const any[] = {"GET", "HEAD", "OPTIONS", "POST", "PUT", NULL};
    uint64_t length = 0;
    enum http_framing framing = http_request_framing(request, &length);
    size_t hosts = http_header_count(request, "host");

    if (framing == HTTP_FRAMING_UNCLEAR) {
        *ret_why = "Where this request ends is not clear (RFC 9112 section 6.3).";
        return 400;
    }
    if (hosts > 1 || (hosts == 0 && request->minor_version > 0)) {
        *ret_why = "A request has one Host (RFC 9112 section 3.2).";
        return 400;
    }
    if (route == ROUTE_WEBSOCKET) {
        if (!is_one_of(request->method, reading) || framing == HTTP_CHUNKED || length > 0) {
            *ret_why = "Only GET, HEAD and OPTIONS without a body are served here.";
            return 405;
        }
    } else if (!is_one_of(request->method, any)) {
        *ret_why = "Only GET, HEAD, OPTIONS, POST and PUT are passed on.";
        return 501;
    }
    /* Prosody 0.12 reads no chunks: it would take them for requests. */
    if (framing == HTTP_CHUNKED) {
        *ret_why = "A body needs a Content-Length here.";
        return 411;
    }
    if (length > ROUTE_CONTENT_MAX) {
        *ret_why = "The body is too large.";
        return 413;
    }
    *ret_length = length;
    return 0;
}

static bool is_plain(const char *path)
{
    static const char marks[] = "-._~!$&'()+,:=@/";

    for (const char *p = path; *p; p++) {
        bool is_letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z');

        if (!is_letter && !(*p >= '0' && *p <= '9') && !strchr(marks, *p))
            return false;
    }
    return *path == '/' && !strstr(path, "//");
}

/* A segment of one or two dots. */
static bool climbs(const char *path)
{
    for (const char *at = path; (at = strchr(at, '/')) != NULL;) {
        size_t len = strcspn(++at, "/");

        if ((len == 1 && at[0] == '.') || (len == 2 && at[0] == '.' && at[1] == '.'))
            return true;
    }
    return false;
}

const char *route_wrong(const struct config *config, const char *path)
{
    struct http_slice slice = {path, strlen(path)};

    if (!is_plain(path) || climbs(path))
        return "is not a plain path; write it as in /_api/room-info, each path by itself";
    if (http_path_is(slice, config->listen.path) || http_path_is(slice, config->upstream.path))
        return "is the WebSocket's path, which is served already; remove it";
    if (http_path_is(slice, BOSH_PATH))
        return "is BOSH's path; remove it and say in http.bosh what is to become of BOSH";
    return NULL;
}
