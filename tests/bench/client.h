/*
 * A client of the bench: connects to a proxy, upgrades, logs in anonymously and binds, then sends
 * messages and counts what comes back.
 */
#pragma once

#include "histogram.h"
#include "link.h"

#include <netinet/in.h>
#include <time.h>

#define DEPTH_MAX 256
#define BURST 100 /* stanzas for one request, see upstream.c */

struct client;

/* A proxy under load, and what was measured of it. */
struct rival {
    const char *name;
    struct sockaddr_in address;
    pid_t pid;
    clockid_t clock; /* the processor time of pid, all its threads, in nanoseconds */
    const char *target; /* path?query */
    int epoll;

    bool is_active; /* answers are answered with the next message */
    size_t in_flight;
    size_t expected; /* messages that one sent brings back */
    struct buf message; /* what is sent, a whole frame */
    struct buf join; /* likewise, what the handshake ends with where joins is set */
    bool joins;
    uint64_t received;
    uint64_t ready, ended; /* clients that finished their handshake, that are gone */
    bool churns; /* a client closes when it is ready, and another takes its place */
    struct histogram latency;
};

struct client {
    struct link link; /* first: client_of */
    struct rival *rival;
    enum client_step {
        CLIENT_UPGRADES,
        CLIENT_OPENS,
        CLIENT_AUTHENTICATES,
        CLIENT_REOPENS,
        CLIENT_BINDS,
        CLIENT_JOINS,
        CLIENT_READY,
    } step;
    int64_t began;
    int64_t sent[DEPTH_MAX]; /* when; answers come in order */
    size_t sent_first, sent_len;
    size_t missing; /* of the burst on its way */
    bool is_kept; /* may not be lost, whatever others do */
};

/* Begins to connect. */
void client_begin(struct client *c, struct rival *rival);
/* Sends rival->message, once more. */
void client_ask(struct client *c);
/* Closes with a close frame. */
void client_leave(struct client *c);
