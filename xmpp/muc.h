/*
 * Multi-user chat as Jitsi uses it (XEP-0045): where an address points, the requests a room's owner
 * makes, and how Prosody answers them. Wire facts 6 to 20 name the reason of most lines here.
 */
#pragma once

#include "xmpp/buf.h"
#include "xmpp/jid.h"
#include "xmpp/parse.h"

/* The deployment's domains, prepared (nameprep). Borrowed strings. */
struct muc_service {
    const char *domain; /* meet.example.com */
    const char *muc;    /* conference.meet.example.com */
    const char *lobby;  /* lobby.meet.example.com; "" when there is none */
    bool tenants;       /* room@conference.TENANT.domain is [TENANT]room@muc */
};

enum muc_place {
    MUC_ELSEWHERE,
    MUC_MAIN,   /* a room of the main component, or its bare component address is not one */
    MUC_LOBBY,  /* a room of the lobby component */
    MUC_HEALTH, /* Jicofo's health-check rooms, never touched (wire fact 8) */
};

/* A room's one name whatever way it was written (wire fact 20). */
struct muc_room {
    char *memory;       /* owns the parts below */
    const char *jid;    /* [tenant]node@muc of the MAIN component, also for a lobby address */
    const char *node;   /* without the tenant */
    const char *tenant; /* "" for the domain's own rooms */
    const char *nick;   /* the address's resource, "" for the room itself */
};

/* Where address points. *ret is written only for MUC_MAIN, MUC_LOBBY and MUC_HEALTH, and released
 * with muc_room_done. MUC_ELSEWHERE also when out of memory with *ret_no_memory set. */
enum muc_place muc_locate(const struct muc_service *service, const struct jid *address,
                          struct muc_room *ret, bool *ret_no_memory);
void muc_room_done(struct muc_room *room);

/* Whether a presence is a join: available, carrying <x xmlns=muc> (wire fact 6, 28). Its address is
 * for the caller to look at. */
bool muc_is_join(const struct element *presence);

/* Requests of an owner. Each appends one complete stanza; room is the bare room JID, id the stanza's
 * id. All text is escaped. */
void muc_get_form(struct buf *out, const char *room, const char *id);
/* Every submit carries membersonly (wire fact 16). persistent: 1, 0, or -1 to leave it as it is.
 * No other field is named, so a password or anything else stays as it was. */
void muc_submit_form(struct buf *out, const char *room, const char *id, bool membersonly,
                     int persistent);
void muc_list_role(struct buf *out, const char *room, const char *id, const char *role);
void muc_list_affiliation(struct buf *out, const char *room, const char *id,
                          const char *affiliation);
/* One item an IQ (wire fact 18); bare_jid without resource (wire fact 11). */
void muc_grant(struct buf *out, const char *room, const char *id, const char *bare_jid,
               const char *affiliation);
void muc_invite(struct buf *out, const char *room, const char *id, const char *bare_jid);
void muc_destroy(struct buf *out, const char *room, const char *id, const char *reason);
void muc_join(struct buf *out, const char *room, const char *nick, const char *id);
void muc_leave(struct buf *out, const char *room, const char *nick, const char *id);

/* Answers and what passes by, read from a parsed stanza. */

struct muc_form {
    bool has_membersonly; /* the field is there */
    bool membersonly;     /* empty, "0", "false" and absent value are false (wire fact 9) */
    bool persistent;
};
/* False when iq carries no owner form. */
bool muc_read_form(const struct element *iq, struct muc_form *ret);

struct muc_item {
    const char *nick, *jid, *role, *affiliation; /* borrowed from the tree, "" when absent */
};
/* Calls each for every item of a muc#admin answer; stops and returns false when each does. */
bool muc_read_items(const struct element *iq, bool (*each)(void *ctx, const struct muc_item *item),
                    void *ctx);

/* What a presence from a room says to the occupant it is sent to. */
struct muc_presence {
    bool self;        /* status 110 */
    bool unavailable; /* type='unavailable' */
    bool error;       /* type='error' */
    bool kicked;      /* 307 */
    bool banned;      /* 301 */
    bool removed;     /* 322: members-only was set */
    bool created;     /* 201 */
    bool destroyed;   /* <destroy/> */
    bool nick_change; /* 303: unavailable under the old nick, still an occupant */
    const char *affiliation, *role, *jid; /* of the item, "" when absent; borrowed */
    const char *new_nick;                 /* with 303 */
    const char *condition;                /* of the error, "" when none */
    bool has_lobbyroom;    /* wire fact 7: a non-empty <lobbyroom/> came with the error */
};
void muc_read_presence(const struct element *presence, struct muc_presence *ret);

/* Status 104 of a groupchat message (wire fact 10). */
bool muc_is_config_change(const struct element *message);

/* A disco#info answer of a room (wire fact 10). False when it is not one with a members feature. */
struct muc_info {
    bool membersonly;
    bool has_lobbyroom; /* a non-empty muc#roominfo_lobbyroom */
};
bool muc_read_info(const struct element *iq, struct muc_info *ret);

/* Whether an iq is a client's own muc#owner set (a moderator changing the configuration). */
bool muc_is_owner_set(const struct element *iq);

/* The condition of a stanza of type error ("item-not-found" ...), "" when it has none. Borrowed. */
const char *stanza_error_condition(const struct element *stanza);
