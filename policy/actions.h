/*
 * What a room may ask of the world, and how the world answers: the whole interface between the room
 * state machine and the service account that carries its requests out.
 */
#pragma once

#include "policy/decide.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum request_kind {
    REQUEST_FORM,        /* read the owner form */
    REQUEST_SUBMIT,      /* membersonly; persistent: 1, 0, or -1 to leave it */
    REQUEST_ROLES,       /* list the occupants of all three roles */
    REQUEST_AFFILIATIONS,/* find jid in the owner, admin, member and outcast lists */
    REQUEST_GRANT,       /* give jid an affiliation */
    REQUEST_INVITE,      /* the same by a mediated invite, answered once Prosody has handled it */
    /* Join, configure (members-only, persistent) and leave. Nothing is configured where the join did
     * not make the room (no status 201), which is an error "conflict": it would throw people out. */
    REQUEST_CREATE,
    /* An error "handed-over": nothing was done, as another instance has people waiting for the room and
     * holds it from now on. */
    REQUEST_DESTROY,
};

struct room_request {
    uint64_t id; /* names it in rooms_answer; never used twice */
    enum request_kind kind;
    const char *room; /* canonical room JID */
    const char *jid;  /* bare, with GRANT, INVITE and AFFILIATIONS */
    const char *affiliation; /* with GRANT: "member", or what a grant of ours took from him */
    bool membersonly;        /* with SUBMIT */
    int persistent;   /* with SUBMIT and CREATE */
};

enum answer_status {
    ANSWER_OK = 0,
    ANSWER_ERROR,   /* condition says which: "item-not-found", "forbidden" ... */
    ANSWER_TIMEOUT, /* no answer in time; it may have been carried out */
    ANSWER_LOST,    /* the service stream ended first; likewise */
    ANSWER_UNSENT,  /* there is no service stream, nothing was sent */
};

struct room_occupant {
    const char *nick, *bare_jid, *affiliation;
};

struct room_answer {
    enum answer_status status;
    const char *condition; /* with ANSWER_ERROR */
    struct muc_form form;  /* of FORM */
    const struct room_occupant *occupants; /* of ROLES, borrowed during the call */
    size_t occupants_len;
    const char *affiliation; /* of AFFILIATIONS: "none" when on no list */
    bool not_kept; /* of SUBMIT: carried out without making the room persistent */
};

struct room_verdict {
    bool forward;
    const char *error_type, *error_condition; /* when not forwarded */
    const char *rule, *reason; /* what led to it; reason names failures too */
    int64_t held_ms;
};

/* Facts for the log, one line each. */
enum room_note_kind {
    ROOM_LOBBY_TURNED_ON,
    ROOM_LOBBY_REPAIRED,
    ROOM_CREATED,
    ROOM_RELEASED,       /* destroyed by us, empty */
    ROOM_HANDED_OVER,    /* to another instance, whose people wait for it */
    ROOM_GIVEN_BACK,     /* no longer persistent: Prosody ends it with its last occupant */
    ROOM_LEFT,           /* persistent, to the next start, as somebody waits for it */
    ROOM_FORGOTTEN,      /* held persistent, found gone */
    ROOM_FAILED,         /* a step failed; text says which and why */
    ROOM_GRANTED,
    ROOM_NO_LOBBY,       /* members-only and no lobby came of it: text says what is wrong; told once */
    ROOM_LOBBY_UNDONE,   /* so it is no longer members-only */
};
struct room_note {
    enum room_note_kind kind;
    const char *room;
    const char *jid;  /* or NULL */
    const char *text; /* or NULL */
    int64_t took_ms;
    size_t count; /* members made, with TURNED_ON */
};

/* What this instance does with a room that others must not do at the same time (fence below). */
enum room_fence {
    FENCE_OPEN,   /* nothing */
    FENCE_SHARED, /* joins of ours are on their way to it */
    FENCE_NEXT,   /* to be alone, once the others' joins have landed: they send no more */
    FENCE_ALONE,  /* it is changed: who is on his way would be thrown out, or let in */
    FENCE_CHANGING, /* as NEXT or ALONE, and Prosody is told: nobody passes */
};

/* Called by the rooms, never from inside itself: an answer is given later, from the event loop
 * (rooms_answer), never during `request`. */
struct room_actions {
    void *ctx;
    void (*request)(void *ctx, const struct room_request *request);
    /* Says what becomes of a held join. May be called during rooms_join itself. */
    void (*settle)(void *ctx, uint64_t join, const struct room_verdict *verdict);
    void (*note)(void *ctx, const struct room_note *note);
    /* A room that was, or was to be, made persistent is no longer ours to destroy. May be NULL. */
    void (*unkept)(void *ctx, const char *room);
    /* Whether anyone of ours waits for the room, in its lobby or at its door. May be NULL. */
    void (*waiting)(void *ctx, const char *room, bool is_waiting);
    /* Between the instances that serve a room: SHARED with others that share, and asked for again before
     * each join; NEXT by one that no other is NEXT to; then ALONE with nobody. False: another is in the
     * way, and all is as it was. True also sets *ret_changes, which is another number than the last time
     * when an instance changed the room in between. May be NULL: there are no others. */
    bool (*fence)(void *ctx, const char *room, enum room_fence fence, uint64_t *ret_changes);
    /* The room is changed now: a new number for it. Goes with fence. */
    uint64_t (*changing)(void *ctx, const char *room);
    /* Whether another is CHANGING it; and the number. Goes with fence, may be NULL: then nobody passes. */
    bool (*is_changing)(void *ctx, const char *room, uint64_t *ret_changes);
};
