/*
 * One room's state machine. Private to policy/: rooms.h is the way in.
 *
 * A room has one step at a time (enum room_step), each a function in room_*.c that is called with the
 * answer it waited for, or with NULL to look again after anything else happened. Beside the steps, and
 * whatever the step, people are made members one by one (room_member.c).
 *
 *   room.c          the driver, the idle room, failures
 *   room_known.c    what is known about the room's lobby
 *   room_join.c     held joins: decided, settled, their deadlines
 *   room_people.c   sessions and occupants, as seen on clients' own streams
 *   room_member.c   affiliations, and the requests that make someone a member
 *   room_turn_on.c  the steps that turn a lobby on, repair it, or make a room
 *   room_undo.c     the steps that take members-only back where no lobby comes of it
 *   room_fence.c    not at the same time as another instance
 *   room_release.c  the steps that destroy an empty room we made persistent
 */
#pragma once

#include "policy/rooms.h"
#include "policy/table.h"

#include <sys/queue.h>

/* After the service stream was lost under a request, should nobody tell that it is back. */
#define RETRY_MS 1000

enum room_step {
    ROOM_IDLE,
    ROOM_ASKING,     /* the owner form, for joins that wait to know the state */
    ROOM_LISTING,    /* turning on: who is in the room */
    ROOM_GRANTING,   /* turning on: everyone in it becomes a member */
    ROOM_SUBMITTING, /* turning on: the form */
    ROOM_VERIFYING,  /* turning on: the form read back */
    ROOM_REPAIRING,  /* members-only without a lobby room: the form again (wire fact 16) */
    ROOM_LANDING,    /* creating: who is on his way to the room lands first */
    ROOM_CREATING,
    ROOM_CHECKING,   /* releasing: is really nobody there */
    ROOM_DESTROYING, /* releasing */
    ROOM_GIVING_BACK, /* shutting down: the form, no longer persistent */
    ROOM_STANDING_BACK, /* undoing: lobby users on their way land first */
    ROOM_UNDOING,       /* undoing: the form, no longer members-only */
};

enum step_result {
    STEP_MORE, /* the step changed: run the new one */
    STEP_WAIT,
    STEP_DONE, /* the record is no longer needed */
};

enum affiliation {
    AFFILIATION_UNKNOWN,
    AFFILIATION_OUTCAST,
    AFFILIATION_NONE,
    AFFILIATION_MEMBER,
    AFFILIATION_ADMIN,
    AFFILIATION_OWNER,
};

enum lobby_room {
    LOBBY_ROOM_UNKNOWN,
    LOBBY_ROOM_EXISTS,
    LOBBY_ROOM_MISSING,
};

struct room;

/* A question to Prosody that has not been answered; id 0 when there is none. */
struct request {
    struct table_node node; /* rooms.requests, by id */
    uint64_t id;
    enum request_kind kind;
    struct room *room;
    struct person *person; /* whose it is; NULL for the room's own step */
};

/* A client's XMPP session. Lives while it has a join or is an occupant somewhere. */
struct session {
    struct table_node node; /* rooms.sessions, by full_jid */
    TAILQ_ENTRY(session) suspended_link;
    TAILQ_HEAD(, occupant) occupants;
    TAILQ_HEAD(, join) joins; /* held or in flight */
    unsigned users; /* occupants, joins, and who is walking over them */
    bool suspended;
    bool asks_lobby; /* what it does not show us proves nothing, see session_asks_lobby */
    int64_t until; /* when suspended: gone at that time */
    char *full_jid, *bare_jid;
};

enum place {
    PLACE_INSIDE,
    PLACE_LOBBY,
    PLACE_DOOR, /* was shown the lobby (407) and has not entered it yet */
};

/* A session in a place of a room. */
struct occupant {
    TAILQ_ENTRY(occupant) room_link, session_link;
    struct room *room;
    struct session *session;
    struct person *person; /* with PLACE_INSIDE, NULL when there was no memory for it */
    enum place place;
    int64_t until; /* with PLACE_DOOR */
    bool awaits_change; /* one that is known, whose 104 has not come to him yet */
    bool was_there;     /* before Prosody was asked who is inside, for all we saw */
};

enum member_work {
    MEMBER_QUIET,
    MEMBER_QUEUED, /* to become a member when a request may be sent */
    MEMBER_LOOKUP, /* affiliations asked */
    MEMBER_GRANT,
    MEMBER_INVITE,
    MEMBER_RESTORE, /* he was made an owner or admin while our grant was on its way */
    MEMBER_TAKE_BACK, /* what he was given for being on his way in, and he was refused */
};

/* A bare JID in a room, and what we know it may do there. */
struct person {
    struct table_node node; /* room.persons, by bare_jid */
    TAILQ_ENTRY(person) link, queue_link;
    enum affiliation affiliation;
    enum affiliation restore; /* to be given back to him; UNKNOWN: nothing */
    enum member_work work;
    struct request request;
    bool fresh;         /* unknown means none: the JID is too new to have any */
    bool is_not_new;    /* then it never means that: he was kicked, or had some, and may be anything */
    bool is_in_doubt;   /* he was kicked while a request about him was on its way: what it says may be
                           from before */
    bool granted;       /* by us */
    bool on_trust;      /* asked, or granted, only because he was on his way in: taken back if he
                           does not come */
    int64_t granted_at; /* when that was answered */
    int64_t queued_at;
    int64_t listed_at; /* the turning_since of the last list he was in */
    unsigned inside;  /* occupants */
    unsigned waiting; /* held joins */
    char *bare_jid;
};

enum join_phase {
    JOIN_WAITS_ROOM,   /* for the room's step */
    JOIN_WAITS_MEMBER, /* for its person */
    JOIN_IN_FLIGHT,    /* forwarded, Prosody's word on it not yet seen */
};

struct join {
    struct table_node node; /* rooms.joins, by id; while held */
    TAILQ_ENTRY(join) room_link, session_link;
    uint64_t id;
    enum join_phase phase;
    struct room *room;
    struct session *session;
    struct person *person; /* while JOIN_WAITS_MEMBER */
    enum applicant applicant;
    bool fresh_jid;
    int64_t held_at;
    int64_t until; /* while JOIN_IN_FLIGHT */
};
TAILQ_HEAD(join_list, join);
TAILQ_HEAD(person_list, person);

struct room {
    struct table_node node; /* rooms.by_name */
    TAILQ_ENTRY(room) link;
    struct rooms *rooms;
    char *name;

    enum room_step step;
    struct request request; /* the step's */
    int64_t answered_at;    /* Prosody's last answer about this room */
    int64_t retry_at;       /* the service was lost under a request: no new one before */

    /* What is known about the lobby (room.c). */
    enum lobby_state state;
    bool confirmed; /* read by us, and since then there always was a witness */
    bool doubted;   /* a change was announced while our own read was under way */
    enum lobby_room lobby_room;
    unsigned owner_sets; /* clients' own configuration changes under way */
    int64_t owner_sets_since; /* when the first of them began */
    int64_t owner_sets_ms;    /* how long there were any, in this minute, before that */
    int64_t owner_sets_minute;
    bool owner_sets_outlast; /* too long: nobody waits for them any more */
    int64_t submitted_at; /* when our last submit was answered */
    bool turned_on;   /* it is members-only because of us */
    bool is_proof_due; /* nobody was shown a lobby, or none, since our last submit */
    unsigned lobbyless; /* our submits in a row of which no lobby came */
    int64_t no_lobby_until; /* none is turned on here before */

    bool persistent; /* by us, perhaps: must be destroyed by us */
    bool was_persistent; /* before the submit under way */
    bool adopted;        /* by an earlier run */
    int64_t adopted_at;
    bool was_unsettled; /* and we were to stop: nobody knows yet who waits for it */

    TAILQ_HEAD(, occupant) occupants;
    struct occupant *teller; /* of a change others still await; NULL: our own change, or nobody */
    size_t inside;   /* occupants in the room, suspended ones too */
    size_t watching; /* those of them who would show us a 104: not suspended */
    size_t witnesses; /* and of those, who do not ask for the lobby */
    size_t outside;  /* occupants of the lobby, and at its door */
    struct table persons_by_jid;
    struct person_list persons; /* oldest first */
    struct person_list queue;   /* MEMBER_QUEUED */
    size_t working;             /* persons with a request under way */
    size_t on_trust;            /* persons who are */

    struct join_list held; /* in the order they came */
    struct join_list in_flight;

    int64_t turning_since;
    size_t turning_granted;

    /* Between instances (room_fence.c). */
    enum room_fence fence;
    uint64_t changes;    /* its number when we last looked */
    bool is_fenced_off;  /* another instance is in the way: looked at again soon */
    int64_t alone_since; /* wished for and not had yet; NOT_WISHED */
    int64_t refused_since; /* joins are held because another has it alone; NOT_WISHED */
    int64_t let_at; /* when that was over: Prosody could not be asked before */
    int64_t stand_off_until; /* another passed us: not alone before */
    bool passes; /* another that is alone, or next, and hangs: while we change the room */

    int64_t empty_since;
    int64_t release_at;    /* not before */
    int64_t release_pause; /* before the next try */
    bool release_failed;   /* and told */
    unsigned give_back_tries;
    bool occupied; /* by others than ours, as seen when shutting down */

    int64_t due;
};

struct rooms {
    const struct rooms_config *config;
    struct room_actions actions;
    uint64_t last_request;
    uint64_t seed;
    bool service_up;
    const char *service_refused; /* why it cannot be up, or NULL */
    bool lobby_was_seen;    /* somewhere, since the service is up: Prosody can make them */
    bool no_lobby_is_told;
    int64_t no_lobby_until; /* Prosody makes none, for all we know: none is turned on before */
    bool stopping;
    enum rooms_heir heir; /* when stopping */
    size_t persistent;
    size_t strangers; /* sessions that may be in any room */
    int64_t next; /* nothing is due before */
    struct table by_name, sessions, joins, requests;
    TAILQ_HEAD(room_list, room) list;
    TAILQ_HEAD(, session) suspended;
};

/* room.c */
struct room *room_new(struct rooms *rooms, const char *name);
void room_free(struct room *room); /* settles nothing */
/* Runs the room's steps as far as they go: with an answer to the step's request, or with NULL after
 * anything else. May free the room. */
void room_run(struct room *room, const struct room_answer *answer, int64_t now);
void room_enter_step(struct room *room, enum room_step step);
/* Whether every join must wait until the step is over. */
bool room_holds_all(const struct room *room);
/* Whether a join forwarded now could be thrown out by what we have already sent. */
bool room_is_changing(const struct room *room);
/* Whether other instances let nobody in meanwhile. */
bool room_is_alone(const struct room *room);
bool room_can_ask(const struct room *room, int64_t now);
void room_send(struct room *room, enum request_kind kind, int persistent);
void request_send(struct request *request, struct room *room, struct person *person,
                  enum request_kind kind, const char *jid, int persistent);
void request_drop(struct request *request, struct rooms *rooms);
void room_note(const struct room *room, enum room_note_kind kind, const char *jid,
               const char *text, int64_t took_ms, size_t count);
/* A step failed: the joins that waited for it are settled as far as that says, and the room is idle. */
enum step_result room_step_failed(struct room *room, const char *what,
                                  const struct room_answer *answer, int64_t now);
void room_failure_text(char *text, size_t size, const char *what,
                       const struct room_answer *answer);
bool answer_is_error(const struct room_answer *answer, const char *condition);
void room_set_persistent(struct room *room, bool persistent);
/* The room turned out not to exist. */
void room_is_gone(struct room *room, int64_t now);

/* room_known.c */
#define ROOM_NEVER INT64_MIN
void room_learn(struct room *room, enum lobby_state state, bool confirmed);
void room_forget_state(struct room *room);
/* session: on whose stream it was announced, or NULL. */
void room_config_changed(struct room *room, const struct session *session, int64_t now);
void room_informed(struct room *room, const struct muc_info *info, int64_t now);
void room_members_only(struct room *room, bool has_lobbyroom, int64_t forwarded_at);
void room_owner_set(struct room *room, bool finished, int64_t now);
/* A client's own change is under way, and worth waiting for. */
bool room_is_unsettled(const struct room *room);
int64_t room_settled_by(const struct room *room); /* no longer so, at the latest */
void room_count_owner_sets(struct room *room, int64_t now);
void room_destroyed(struct room *room, int64_t now);

/* room_fence.c */
#define NOT_WISHED (-1)
enum fence_result {
    FENCE_GIVEN,
    FENCE_GIVEN_CHANGED, /* another instance changed the room since: its state is forgotten */
    FENCE_REFUSED,
};
/* Before joins are decided and forwarded. One that is not to be had in time is gone without, unless the
 * other has told Prosody already. */
enum fence_result fence_share(struct room *room, int64_t now);
/* Before the room is changed. Others send no more joins meanwhile, unless it can wait. One that cannot be
 * had in time is gone without: who is in the way may hang. */
enum fence_result fence_alone(struct room *room, bool can_wait, int64_t now);
/* Right before Prosody is told, by who was alone since he found out what to tell. False: another passed
 * meanwhile and lets people in, so all is to be found out anew. True: nobody passes any more. */
bool fence_keeps(struct room *room, int64_t now);
/* We change the room: others are to forget what they know. Telling: by a request of ours. */
void fence_changing(struct room *room);
void fence_telling(struct room *room);
/* Holds what the room still needs, no more. */
void fence_settle(struct room *room, bool is_changing);
void fence_leave(struct room *room);
int64_t fence_due(const struct room *room, int64_t now);

/* room_join.c */
enum join_need { /* what the room must do before joins that wait can go on, least first */
    NEED_NOTHING,
    NEED_FORM,
    NEED_REPAIR,
    NEED_TURN_ON,
    NEED_CREATE,
};
bool must_be_sure(enum applicant applicant); /* lobby users, and tokens that may be one */
struct join *join_new(struct room *room, struct session *session, const struct room_join *join,
                      int64_t now);
void join_free(struct join *join);
/* Whether someone forwarded because the lobby is on has not been answered by Prosody yet. */
bool joins_lobby_in_flight(const struct room *room);
/* Settles what can be settled, in order. */
enum join_need joins_decide(struct room *room, int64_t now);
/* Whether one that waits would have this done, were the room in that state. */
bool joins_want(const struct room *room, enum lobby_state state, enum decision_action action,
                int64_t now);
/* When the session's join was forwarded whose answer is seen now; INT64_MIN when none was. */
int64_t joins_forwarded_at(const struct room *room, const struct session *session);
/* lobby.on_failure. */
void join_fail(struct join *join, const char *reason, int64_t now);
void joins_fail(struct room *room, bool all, const char *reason, int64_t now);
/* The person they wait for is settled; failure: why he is no member all the same, or NULL. */
void joins_member_done(struct room *room, struct person *person, const char *failure, int64_t now);
/* His membership could not be taken back: who is not to have it is refused. */
void joins_fail_on_trust(struct room *room, const char *bare_jid, const char *reason, int64_t now);
bool verdict_on_failure(const struct rooms_config *config, enum applicant applicant,
                        const char *reason, struct room_verdict *ret);
void joins_expire(struct room *room, int64_t now);
int64_t joins_due(const struct room *room);
/* Prosody's word on the session's oldest join has come. */
void joins_landed(struct room *room, const struct session *session);
/* Whether such a join of his waits or is on its way: who asks for the lobby, and tokens that may; or
 * those that come in where the room is open. */
bool joins_ask_lobby(const struct room *room, const char *bare_jid);
bool joins_on_way(const struct room *room, const char *bare_jid);

/* room_people.c */
struct session *session_find(const struct rooms *rooms, const char *full_jid);
struct session *session_get(struct rooms *rooms, const char *full_jid); /* NULL: no memory */
void session_hold(struct session *session);
void session_drop(struct session *session, struct rooms *rooms); /* frees it after its last user */
void session_set_suspended(struct session *session, struct rooms *rooms, bool suspended,
                           int64_t until);
/* It came with a token that asks for the lobby, or may. Its holder would gain by our not knowing that
 * he was put out, or that the lobby was turned off, and can have Prosody not tell him (XEP-0191,
 * XEP-0352): he is no witness. */
void session_asks_lobby(struct session *session);
struct occupant *occupant_find(const struct room *room, const struct session *session,
                               enum place place);
bool occupant_add(struct room *room, struct session *session, enum place place, int64_t until);
void occupant_remove(struct occupant *occupant);
void occupants_remove_all(struct room *room);
void occupants_expire(struct room *room, int64_t now);
int64_t occupants_due(const struct room *room);
/* Whoever is inside is told of each change once: the 104 that comes next to each of them, the teller
 * apart, is of one that is known already. teller: who was told first; NULL when we are making it. */
void occupants_await_change(struct room *room, struct occupant *teller);
void occupants_await_nothing(struct room *room);
/* A 104 came to him; whether it is such a one. */
bool occupant_was_told(struct room *room, const struct session *session);

/* room_member.c */
const char *affiliation_text(enum affiliation affiliation);
enum affiliation affiliation_of(const char *text);
struct person *person_find(const struct room *room, const char *bare_jid);
struct person *person_get(struct room *room, const char *bare_jid); /* NULL: no memory */
void persons_remove_all(struct room *room);
/* The room may have ended and begun anew: those who are not inside are asked about again. */
void persons_doubt(struct room *room);
void person_seen(struct person *person, struct room *room, enum affiliation affiliation,
                 int64_t now);
void person_is_none(struct person *person);
void person_was_kicked(struct person *person);
/* Who needs no grant, or must not be named in one. */
bool person_is_settled(const struct person *person);
void person_set_on_trust(struct person *person, struct room *room, bool on_trust);
bool jid_is_focus(const char *jid);
/* Asks for membership, unless it is being asked for. */
void person_queue(struct person *person, struct room *room, bool fresh, int64_t now);
void members_send(struct room *room, int64_t now);
/* Those who were made members on trust and did not come are no members again. */
void members_take_back(struct room *room, int64_t now);
void member_answered(struct person *person, struct room *room, const struct room_answer *answer,
                     int64_t now);

/* room_turn_on.c */
enum step_result turn_on_begin(struct room *room, int64_t now);
enum step_result turn_on_failed(struct room *room, const char *what,
                                const struct room_answer *answer, int64_t now);
enum step_result step_listing(struct room *room, const struct room_answer *answer, int64_t now);
enum step_result step_granting(struct room *room, const struct room_answer *answer, int64_t now);
enum step_result step_submitting(struct room *room, const struct room_answer *answer, int64_t now);
enum step_result step_verifying(struct room *room, const struct room_answer *answer, int64_t now);
enum step_result repair_begin(struct room *room, int64_t now);
enum step_result step_repairing(struct room *room, const struct room_answer *answer, int64_t now);
enum step_result create_begin(struct room *room, int64_t now);
enum step_result step_landing(struct room *room, const struct room_answer *answer, int64_t now);
enum step_result step_creating(struct room *room, const struct room_answer *answer, int64_t now);

/* room_undo.c */
/* Why no lobby is to be turned on, for now; NULL when one may be. */
const char *undo_refuses(const struct room *room, int64_t now);
/* Somebody whose join was forwarded then was shown no lobby, or one. */
void undo_no_lobby_seen(struct room *room, int64_t forwarded_at);
void undo_lobby_seen(struct room *room);
/* Our own submit was carried out: whether a lobby came of it is still to be seen. */
void undo_submitted(struct room *room);
/* A submit that is worth trying again at once. */
bool undo_tries_again(const struct room *room, int64_t now);
bool undo_is_due(const struct room *room, int64_t now);
enum step_result undo_begin(struct room *room, int64_t now);
enum step_result step_standing_back(struct room *room, const struct room_answer *answer,
                                    int64_t now);
enum step_result step_undoing(struct room *room, const struct room_answer *answer, int64_t now);

/* room_release.c */
bool release_wanted(const struct room *room);
/* Adopted, and who waits for it may be still to come, or to be seen. */
bool release_is_unsettled(const struct room *room, int64_t now);
/* Stopping: another process goes on with the room. */
bool release_is_left_to_heir(const struct room *room);
/* Keeps the release's own clock; true when it is time to look whether the room is empty. */
bool release_is_due(struct room *room, int64_t now);
int64_t release_due(const struct room *room);
void release_reset(struct room *room);
enum step_result release_begin(struct room *room);
enum step_result step_checking(struct room *room, const struct room_answer *answer, int64_t now);
bool give_back_is_due(const struct room *room, int64_t now);
enum step_result give_back_begin(struct room *room);
enum step_result step_giving_back(struct room *room, const struct room_answer *answer, int64_t now);
enum step_result step_destroying(struct room *room, const struct room_answer *answer, int64_t now);
