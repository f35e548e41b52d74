/*
 * A simulated Prosody with a few rooms, and the messages that travel between it, the clients and the
 * service account; test_room_sim.c puts the rooms between them. Messages of one stream keep their
 * order; different streams are late by different times.
 */
#pragma once

#include "policy/rooms.h"
#include "tests/unit/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define ROOMS 3
#define INSTANCES 2 /* of the proxy, that share a state file; half of the seeds have only one */
#define CLIENTS 14
#define MESSAGES 2048
#define LATE_MS 30 /* of a client's stream, each way */
#define SERVICE_LATE_MS 20
#define KNOCK_MS 300
#define END_MS 60000
#define HAND_OVER_MS 2000
#define KEPT_MS 5000         /* how long an empty room may stay */
#define KEPT_SHARED_MS 20000 /* and one that was handed over: its clients may be on their way back */
#define DECOY_LATE_MS 2000
#define DECOY_STREAM(client) (2 * CLIENTS + (client)) /* behind each client's two */
#define SERVICE_UP(instance) (3 * CLIENTS + (instance))
#define SERVICE_DOWN(instance) (3 * CLIENTS + INSTANCES + (instance))
#define FOCUS_STREAM (3 * CLIENTS + 2 * INSTANCES)
#define HAND_OVER_STREAM (FOCUS_STREAM + 1)
#define STREAMS (HAND_OVER_STREAM + 1)

enum affiliation { NONE, MEMBER, OWNER };
static const char *const affiliation_names[] = {"none", "member", "owner"};

enum at { AWAY, HELD, SENT, INSIDE, DOOR, WAITING };

struct client {
    unsigned instance;
    struct rooms *rooms; /* the instance's */
    enum applicant applicant;
    unsigned generation; /* a new JID each */
    enum at at;
    unsigned room;
    uint64_t join;
    int64_t joined_at, known_at; /* what its join was settled by */
    bool suspended;
    bool owner_set; /* under way */
    unsigned owner_set_room;
    bool was_in[ROOMS];
    /* Another session of the same bare JID, whose joins Prosody refuses, late. */
    bool has_decoy;
    uint64_t decoy; /* its join while that is held, else 0 */
    unsigned decoy_room;
    char decoy_jid[32];
    char full_jid[32], bare_jid[32];
};

struct server_room {
    bool exists, membersonly, persistent, focus;
    int64_t opened_at; /* made, or a moderator turned the lobby off */
    int64_t empty_since, focus_alone_since;
    enum affiliation affiliations[CLIENTS];
    int64_t promoted_at[CLIENTS];
    bool inside[CLIENTS], in_lobby[CLIENTS];
    bool was_inside[CLIENTS], is_on_trust[CLIENTS]; /* made a member by us, never inside */
    char name[16];
};

enum message_kind {
    TO_JOIN,
    TO_LEAVE,
    TO_KNOCK,
    TO_UNKNOCK,
    TO_DECOY,
    TO_TOGGLE, /* client to Prosody */
    AT_ENTERED,
    AT_LEFT,
    AT_KICKED,
    AT_REFUSED,
    AT_ERROR,
    AT_LOBBY,
    AT_UNLOBBY, /* and back */
    AT_APPROVED,
    AT_CHANGED,
    AT_INFO,
    AT_DESTROYED,
    AT_TOGGLED,
    AT_DECOY,
    TO_REQUEST,
    AT_ANSWER,  /* the service account */
    DO_PROMOTE, /* Jicofo */
    AT_ADOPT,   /* another instance handed a room over */
};

struct message {
    int64_t at;
    uint64_t order;
    enum message_kind kind;
    unsigned stream; /* which keeps its order */
    unsigned client, generation, room, instance;
    bool flag;
    enum affiliation affiliation;
    uint64_t request;
    enum request_kind request_kind;
    int persistent;
    unsigned subject, subject_generation;
    enum answer_status status;
    const char *condition;
    bool membersonly;
};

/* One process, and what it has in the shared files. */
struct instance {
    struct sim *sim;
    unsigned index;
    struct rooms *rooms;
    enum room_fence fence[ROOMS];
    bool waiting[ROOMS];
    int64_t hangs_since, hangs_until;
};

struct sim {
    struct instance instances[INSTANCES];
    unsigned instances_len;
    uint64_t changes[ROOMS];
    struct rooms_config config;
    uint64_t random, order, joins;
    int64_t now, up_since;
    bool up, ending, moderators, outages;
    struct message messages[MESSAGES];
    size_t messages_len;
    int64_t last[STREAMS]; /* of the stream's latest message */
    struct client clients[CLIENTS];
    struct server_room server[ROOMS];
    struct {
        uint64_t request;
        unsigned instance;
    } open[MESSAGES]; /* without an answer */
    size_t open_len;
    unsigned seed;
    unsigned turned_on, released, entered, waited, granted, handed_over, fenced_off, taken, hung;
};

static unsigned chance(struct sim *sim, unsigned below)
{
    sim->random ^= sim->random << 13;
    sim->random ^= sim->random >> 7;
    sim->random ^= sim->random << 17;
    return (unsigned)((sim->random >> 11) % below);
}

static void fail_sim(const struct sim *sim, const char *what, unsigned client, unsigned room)
{
    fail_msg("seed %u, at %lld ms: %s (client %u, room %u)", sim->seed, (long long)sim->now, what,
             client, room);
}

/* Messages. */

static struct message *post(struct sim *sim, enum message_kind kind, unsigned stream,
                            unsigned late_ms)
{
    struct message *message = &sim->messages[sim->messages_len++];
    int64_t at = sim->now + 1 + chance(sim, late_ms);

    assert_true(sim->messages_len <= MESSAGES);
    if (at < sim->last[stream]) {
        at = sim->last[stream];
    }
    sim->last[stream] = at;
    *message = (struct message){.at = at, .order = ++sim->order, .kind = kind, .stream = stream};
    return message;
}

static void post_decoy(struct sim *sim, enum message_kind kind, unsigned client, unsigned late_ms)
{
    struct message *message = post(sim, kind, DECOY_STREAM(client), late_ms);

    message->client = client;
    message->generation = sim->clients[client].generation;
    message->room = sim->clients[client].decoy_room;
}

static void post_up(struct sim *sim, enum message_kind kind, unsigned client, unsigned room)
{
    struct message *message = post(sim, kind, 2 * client, LATE_MS);

    message->client = client;
    message->generation = sim->clients[client].generation;
    message->room = room;
}

static struct message *post_down(struct sim *sim, enum message_kind kind, unsigned client,
                                 unsigned room)
{
    struct message *message = post(sim, kind, 2 * client + 1, LATE_MS);

    message->client = client;
    message->generation = sim->clients[client].generation;
    message->room = room;
    return message;
}

/* Prosody. */

static bool has_people(const struct server_room *room)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        if (room->inside[i]) {
            return true;
        }
    }
    return room->focus;
}

static void clear(struct server_room *room)
{
    char name[sizeof(room->name)];

    memcpy(name, room->name, sizeof(name));
    *room = (struct server_room){.empty_since = -1, .focus_alone_since = -1, .opened_at = -100000};
    memcpy(room->name, name, sizeof(name));
}

static void destroy(struct sim *sim, unsigned index)
{
    struct server_room *room = &sim->server[index];

    for (unsigned i = 0; i < CLIENTS; i++) {
        if (room->inside[i]) {
            post_down(sim, AT_DESTROYED, i, index);
        }
        if (room->in_lobby[i]) {
            post_down(sim, AT_UNLOBBY, i, index);
        }
    }
    clear(room);
}

static void someone_left(struct sim *sim, unsigned index)
{
    struct server_room *room = &sim->server[index];

    if (room->exists && !room->persistent && !has_people(room)) {
        destroy(sim, index);
    }
}

static void announce(struct sim *sim, unsigned index)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        if (sim->server[index].inside[i]) {
            post_down(sim, AT_CHANGED, i, index);
        }
    }
}

/* One that hung goes on with what it knew before, and hears in one moment of all that happened. */
static bool just_hung(const struct sim *sim, unsigned instance)
{
    int64_t until = sim->instances[instance].hangs_until;

    return until > 0 && sim->now - until < LATE_MS + SERVICE_LATE_MS;
}

static int64_t known_at(const struct sim *sim, unsigned instance)
{
    return just_hung(sim, instance) ? sim->instances[instance].hangs_since : sim->now;
}

static void set_membersonly(struct sim *sim, unsigned index, bool membersonly,
                            const struct message *by_us)
{
    struct server_room *room = &sim->server[index];

    for (unsigned i = 0; i < CLIENTS; i++) {
        if (membersonly && !room->membersonly && room->inside[i] && room->affiliations[i] == NONE) {
            if (by_us != NULL && (room->opened_at < sim->instances[by_us->instance].hangs_since ||
                                  !just_hung(sim, by_us->instance))) {
                fail_sim(sim, "thrown out by us", i, index);
            }
            room->inside[i] = false;
            post_down(sim, AT_LEFT, i, index);
        }
        if (!membersonly && room->in_lobby[i]) {
            room->in_lobby[i] = false;
            post_down(sim, AT_UNLOBBY, i, index);
        }
    }
    if (room->membersonly && !membersonly) {
        room->opened_at = sim->now;
    }
    room->membersonly = membersonly;
    announce(sim, index);
    someone_left(sim, index);
}

static void serve_join(struct sim *sim, const struct message *message)
{
    struct client *client = &sim->clients[message->client];
    struct server_room *room = &sim->server[message->room];
    unsigned i = message->client;
    bool must_wait =
        client->applicant == APPLICANT_LOBBY || client->applicant == APPLICANT_UNJUDGED;

    if (!room->exists) {
        post_down(sim, AT_ERROR, i, message->room);
        return;
    }
    if (room->membersonly && room->affiliations[i] == NONE) {
        post_down(sim, AT_REFUSED, i, message->room)->flag = true;
        return;
    }
    /* Excused is what no proxy could have known: the room was made, or opened, just now. */
    if (must_wait && room->affiliations[i] == NONE &&
        room->opened_at < client->known_at - 2 * (LATE_MS + SERVICE_LATE_MS)) {
        fail_sim(sim, "inside without a lobby", i, message->room);
    }
    if (must_wait && room->is_on_trust[i]) {
        fail_sim(sim, "inside by what was given for a join on its way", i, message->room);
    }
    sim->entered++;
    room->inside[i] = true;
    room->was_inside[i] = true;
    post_down(sim, AT_ENTERED, i, message->room)->affiliation = room->affiliations[i];
    if (room->focus && room->affiliations[i] == NONE && chance(sim, 3) == 0) {
        struct message *promote = post(sim, DO_PROMOTE, FOCUS_STREAM, LATE_MS);

        promote->client = i;
        promote->generation = client->generation;
        promote->room = message->room;
    }
}

static void serve_toggle(struct sim *sim, const struct message *message)
{
    struct server_room *room = &sim->server[message->room];

    if (room->exists && room->inside[message->client] &&
        room->affiliations[message->client] == OWNER) {
        set_membersonly(sim, message->room, !room->membersonly, NULL);
    }
    post_down(sim, AT_TOGGLED, message->client, message->room);
}

static void serve_client(struct sim *sim, const struct message *message)
{
    struct server_room *room = &sim->server[message->room];
    unsigned i = message->client;

    switch (message->kind) {
    case TO_JOIN:
        serve_join(sim, message);
        break;
    case TO_LEAVE:
        if (room->inside[i]) {
            room->inside[i] = false;
            post_down(sim, AT_LEFT, i, message->room);
            someone_left(sim, message->room);
        }
        break;
    case TO_KNOCK:
        if (room->exists && room->membersonly) {
            room->in_lobby[i] = true;
            sim->waited++;
            post_down(sim, AT_LOBBY, i, message->room);
        } else {
            post_down(sim, AT_UNLOBBY, i, message->room);
        }
        break;
    case TO_UNKNOCK:
        if (room->in_lobby[i]) {
            room->in_lobby[i] = false;
            post_down(sim, AT_UNLOBBY, i, message->room);
        }
        break;
    case TO_DECOY:
        post_decoy(sim, AT_DECOY, i, LATE_MS);
        break;
    case TO_TOGGLE:
        serve_toggle(sim, message);
        break;
    case DO_PROMOTE:
        if (room->inside[i] && room->affiliations[i] != OWNER) {
            room->affiliations[i] = OWNER;
            room->promoted_at[i] = sim->now;
            post_down(sim, AT_ENTERED, i, message->room)->affiliation = OWNER;
        }
        break;
    default:
        fail();
    }
}

static void serve_grant(struct sim *sim, const struct message *message)
{
    struct server_room *room = &sim->server[message->room];
    unsigned i = message->subject;

    if (sim->clients[i].generation != message->subject_generation) {
        return;
    }
    if (room->affiliations[i] == OWNER && message->affiliation != OWNER &&
        room->promoted_at[i] < sim->now - 200 && !just_hung(sim, message->instance)) {
        fail_sim(sim, "an owner made a member", i, message->room);
    }
    if (message->affiliation == NONE) {
        if (room->inside[i] && room->membersonly) {
            fail_sim(sim, "put out by a membership taken back", i, message->room);
        }
        sim->taken++;
        room->affiliations[i] = NONE;
        room->is_on_trust[i] = false;
        return;
    }
    sim->granted++;
    room->is_on_trust[i] =
        room->affiliations[i] == NONE ? !room->was_inside[i] : room->is_on_trust[i];
    room->affiliations[i] = message->affiliation;
    if (room->inside[i]) {
        post_down(sim, AT_ENTERED, i, message->room)->affiliation = message->affiliation;
    }
}

/* What the request does; the error's condition, or NULL. */
static const char *serve(struct sim *sim, const struct message *message, struct message *answer)
{
    struct server_room *room = &sim->server[message->room];

    if (message->request_kind == REQUEST_CREATE) {
        if (room->exists) {
            return "conflict";
        }
        room->exists = true;
    } else if (!room->exists) {
        return "item-not-found";
    }
    switch (message->request_kind) {
    case REQUEST_FORM:
        answer->membersonly = room->membersonly;
        break;
    case REQUEST_GRANT:
    case REQUEST_INVITE:
        serve_grant(sim, message);
        break;
    case REQUEST_SUBMIT:
    case REQUEST_CREATE:
        room->persistent = room->persistent || message->persistent == 1;
        set_membersonly(sim, message->room, true, message);
        break;
    case REQUEST_DESTROY:
        for (unsigned i = 0; i < CLIENTS; i++) {
            if (room->in_lobby[i] && !sim->ending) {
                fail_sim(sim, "destroyed under who waits", i, message->room);
            }
        }
        destroy(sim, message->room);
        break;
    case REQUEST_ROLES:
    case REQUEST_AFFILIATIONS:
        break;
    }
    return NULL;
}

/* The list as it was when Prosody made it travels in the answer's own store. */
static struct room_occupant listed[MESSAGES][CLIENTS + 1];
static char listed_jids[MESSAGES][CLIENTS + 1][32];
static size_t listed_len[MESSAGES];

static size_t slot_of(const struct message *message)
{
    return (message->request * INSTANCES + message->instance) % MESSAGES;
}

static void list_occupants(struct sim *sim, const struct message *message)
{
    const struct server_room *room = &sim->server[message->room];
    size_t slot = slot_of(message), len = 0;

    for (unsigned i = 0; i < CLIENTS; i++) {
        if (room->inside[i]) {
            snprintf(listed_jids[slot][len], sizeof(listed_jids[0][0]), "%s",
                     sim->clients[i].bare_jid);
            listed[slot][len] = (struct room_occupant){"nick", listed_jids[slot][len],
                                                       affiliation_names[room->affiliations[i]]};
            len++;
        }
    }
    if (room->focus) {
        listed[slot][len++] = (struct room_occupant){"focus", "focus@auth", "owner"};
    }
    listed_len[slot] = len;
}

static void serve_request(struct sim *sim, const struct message *message, bool answers)
{
    struct message answer = {0};
    const char *condition;

    list_occupants(sim, message);
    answer.affiliation = sim->clients[message->subject].generation == message->subject_generation
                             ? sim->server[message->room].affiliations[message->subject]
                             : NONE;
    condition = serve(sim, message, &answer);
    if (answers) {
        struct message *posted = post(sim, AT_ANSWER, SERVICE_DOWN(message->instance), SERVICE_LATE_MS);

        posted->instance = message->instance;
        posted->request = message->request;
        posted->request_kind = message->request_kind;
        posted->status = condition == NULL ? ANSWER_OK : ANSWER_ERROR;
        posted->condition = condition;
        posted->membersonly = answer.membersonly;
        posted->affiliation = answer.affiliation;
    }
}
