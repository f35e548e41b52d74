/*
 * The rooms' requests on their way: built as stanzas, sent by the service account, answered once each.
 */
#pragma once

#include "policy/actions.h"
#include "proxy/proxy.h"
#include "xmpp/parse.h"

#define TASKS_UNSENT_MAX 256

struct task;

struct tasks {
    struct proxy *proxy;
    struct task *first;
    size_t len; /* under way */
    uint64_t unsent[TASKS_UNSENT_MAX]; /* requests there was no memory for */
    size_t unsent_len;
    struct deferred finish; /* tells the rooms what is done */
};

void tasks_init(struct tasks *tasks, struct proxy *proxy); /* tasks is zeroed */
void tasks_free(struct tasks *tasks);                      /* tells nobody */
/* Sends it; rooms_answer is called later, never under this call. */
void task_start(struct tasks *tasks, const struct room_request *request);
/* A presence that the service account was sent from a room. */
void tasks_presence(struct tasks *tasks, const struct element *presence);
/* The service stream is gone. */
void tasks_lost(struct tasks *tasks);
void tasks_tick(struct tasks *tasks, int64_t now);
