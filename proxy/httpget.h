/*
 * One HTTP GET, plain or over TLS, on a connection of its own. It never waits for anybody: from the name
 * being resolved to the last byte of the body it has one deadline, however slowly the bytes come.
 * Redirects are not followed.
 */
#pragma once

#include "proxy/conn.h"

#include <stddef.h>
#include <stdint.h>

struct httpget;

/* Borrowed for as long as a request is under way. */
struct httpget_target {
    struct conn_target conn;
    const char *authority; /* of the Host header */
};

struct httpget_answer {
    int status;       /* 0: there was no answer that could be read */
    const char *body; /* borrowed during the call */
    size_t len;
    int64_t max_age_s;   /* http_max_age */
    const char *problem; /* an English phrase on what went wrong, "" when the status tells it all */
};

/* Begins; path (with a query, if any) is copied. NULL only when out of memory. done is called once, never
 * under this call, and the request is gone then. */
struct httpget *httpget_new(struct loop *loop, const struct httpget_target *target, const char *path,
                            size_t body_max, int64_t timeout_ms,
                            void (*done)(void *owner, const struct httpget_answer *answer),
                            void *owner);
/* Lets go of it; done is not called. Accepts NULL. */
void httpget_cancel(struct httpget *g);
