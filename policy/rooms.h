/*
 * Every room the proxy knows something about, and the entry point of all that happens to one. A room
 * is created at its first join and forgotten when nobody of ours is in it, waits for it, or is held
 * for it, and we keep nothing persistent there.
 *
 * Everything is a call with the time (monotonic milliseconds) and is answered by calls of
 * struct room_actions. Room names are canonical (struct muc_room.jid).
 */
#pragma once

#include "policy/actions.h"

struct rooms_config {
    const struct rule_set *rules;
    bool persistent;           /* lobby.persistent */
    bool create_missing;       /* lobby.missing_room: create */
    bool forward_on_failure;   /* lobby.on_failure: forward */
    int64_t hold_timeout_ms;   /* since the last answer from Prosody */
    int64_t hold_limit_ms;     /* in all: 15 s (wire fact 33) */
    size_t rooms_max;          /* records; over it a join that needs one is refused */
};

struct rooms;

struct rooms *rooms_new(const struct rooms_config *config, const struct room_actions *actions);
void rooms_free(struct rooms *rooms); /* settles nothing: the caller has closed its streams */
/* Swaps the configuration (borrowed until the next call). */
void rooms_configure(struct rooms *rooms, const struct rooms_config *config);

struct room_join {
    uint64_t id; /* the caller's name for it, never used twice */
    const char *room;
    const char *full_jid, *bare_jid; /* as Prosody bound them */
    enum applicant applicant;
    /* The JID was made for this very session (anonymous login without previd), and it was not in
     * this room before: so it can have no affiliation in it yet unless we saw it given. A grant to
     * one who has more than that would be a demotion. */
    bool fresh_jid;
};

/* A join. Settled at once when nothing is to be done, else later, exactly once, unless cancelled. */
void rooms_join(struct rooms *rooms, const struct room_join *join, int64_t now);
/* Its stream is gone: it will not be settled. */
void rooms_cancel(struct rooms *rooms, uint64_t join, int64_t now);

/* What passes by on clients' streams. */
void rooms_entered(struct rooms *rooms, const char *room, const char *full_jid,
                   const char *affiliation, int64_t now); /* self-presence 110, first or later */
/* kicked: or banned. */
void rooms_left(struct rooms *rooms, const char *room, const char *full_jid, bool kicked,
                int64_t now);
void rooms_join_failed(struct rooms *rooms, const char *room, const char *full_jid,
                       const char *condition, bool has_lobbyroom, int64_t now);
void rooms_lobby_entered(struct rooms *rooms, const char *room, const char *full_jid, int64_t now);
void rooms_lobby_left(struct rooms *rooms, const char *room, const char *full_jid, int64_t now);
void rooms_config_changed(struct rooms *rooms, const char *room, const char *full_jid,
                          int64_t now); /* 104, on his stream */
void rooms_info(struct rooms *rooms, const char *room, const struct muc_info *info, int64_t now);
void rooms_destroyed(struct rooms *rooms, const char *room, int64_t now); /* <destroy/> seen */
/* A client's own muc#owner set went to Prosody / was answered (or its stream ended): in between the
 * room's state is not known. */
void rooms_owner_set(struct rooms *rooms, const char *room, bool finished, int64_t now);

/* Whether a lobby user's join was forwarded and Prosody's word on it is not seen yet: a change of the
 * configuration sent now, on another connection, could overtake it and let him in. Or the
 * change was announced by rooms_owner_set, and this instance or another is at the room just now. */
bool rooms_lobby_in_flight(const struct rooms *rooms, const char *room);

/* A stream's whole session: broken but resumable until a time (its occupants still count), back, or
 * gone for good. */
void rooms_suspended(struct rooms *rooms, const char *full_jid, int64_t until, int64_t now);
void rooms_resumed(struct rooms *rooms, const char *full_jid, int64_t now);
void rooms_gone(struct rooms *rooms, const char *full_jid, int64_t now);

/* The service account. */
void rooms_answer(struct rooms *rooms, uint64_t request, const struct room_answer *answer,
                  int64_t now);
void rooms_service_up(struct rooms *rooms, int64_t now);
void rooms_service_down(struct rooms *rooms, int64_t now);
/* It cannot log in, and waiting will not help: why (kept, not copied) is what joins that need it are
 * told at once, until the service is up. NULL: it may again, and they wait for it. */
void rooms_service_refused(struct rooms *rooms, const char *why, int64_t now);

/* Deadlines. rooms_next: nothing is due before that time, which may prove early; INT64_MAX when
 * nothing is due at all. */
void rooms_tick(struct rooms *rooms, int64_t now);
int64_t rooms_next(const struct rooms *rooms);

/* A room an earlier run of the program made persistent: destroyed once it is empty, but neither while there
 * are strangers nor within the seconds in which that one's clients come back. False when out of memory. */
bool rooms_adopt(struct rooms *rooms, const char *room, int64_t now);
/* How many clients' sessions began elsewhere, so that it is not known which rooms they are in. */
void rooms_strangers(struct rooms *rooms, size_t strangers, int64_t now);

/* The fences of struct room_actions are others now: those that are in use are set there too. */
void rooms_fence_anew(struct rooms *rooms);

/* Names each room that is held persistent or that somebody waits for. */
void rooms_each_kept(const struct rooms *rooms,
                     void (*each)(void *ctx, const char *room, bool is_persistent, bool is_waited_for),
                     void *ctx);

/* For tests, the log and shutdown. */
size_t rooms_count(const struct rooms *rooms);
size_t rooms_persistent_count(const struct rooms *rooms);
enum lobby_state rooms_state(const struct rooms *rooms, const char *room);
/* Who knows of the persistent rooms when this process is gone. */
enum rooms_heir {
    ROOMS_HEIR_NONE,
    ROOMS_HEIR_NEXT,    /* a process that is still to be started: rooms_adopt */
    ROOMS_HEIR_RUNNING, /* another that runs already */
};
/* Shutting down: every held join is settled as on_failure says; persistent rooms with people inside
 * are given back to Prosody, the others destroyed, with whoever waits in their lobby. They are left as they
 * are to an heir who runs, and to the next where somebody waits, or may, who can resume his session there. */
void rooms_shutdown(struct rooms *rooms, enum rooms_heir heir, int64_t now);
