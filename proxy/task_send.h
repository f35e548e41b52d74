/*
 * One task, as the two files that make it up see it: task.c begins and ends it, task_send.c speaks for it.
 */
#pragma once

#include "proxy/service.h"
#include "proxy/task.h"

struct task {
    struct tasks *tasks;
    uint64_t id;
    enum request_kind kind;
    char *room, *jid;
    bool membersonly;
    int persistent;
    int64_t since;
    bool awaits_file;   /* nothing is sent yet */
    size_t outstanding; /* stanzas not answered yet */
    bool is_done;       /* answered, or to be answered from `deferred` */
    struct room_answer answer;
    char condition[64];
    char affiliation[16];
    struct room_occupant *occupants;
    size_t occupants_len, occupants_cap;
    int64_t deadline;               /* of the state file, or of CREATE's presence */
    char invite_id[SERVICE_ID_LEN]; /* of INVITE's message, which only an error answers */
    struct task *next, **at;
};

/* It will be answered, at the end of the turn; only the first time counts. */
void task_done(struct task *t, enum answer_status status, const char *condition);

/* Sends what it asks for; each answer is read, and the last of them, or the first failure, ends it. */
void task_send(struct task *t);
/* Of CREATE: the room was entered; is_new: and made by that. */
void task_created(struct task *t, bool is_new);
void task_leave_created(struct task *t);
