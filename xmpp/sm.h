/*
 * Stream management counters (XEP-0198) of a stream in which the proxy answers some of the client's
 * stanzas itself and adds some of its own, so that both ends see a perfect peer (wire fact 24).
 *
 * Two directions, one idea: the position (in each end's count) of every stanza that only one end
 * knows is kept until the other end has acknowledged past it. Counters are modulo 2^32 as the XEP
 * says. No I/O, no text: the stream rewrites h with what these functions say.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One direction: `from` counts what the sender sent, `to` what the receiver was sent. They differ by
 * the stanzas withheld (sent, never forwarded) and added (forwarded, never sent). */
struct sm_direction {
    uint32_t from, to;
    struct sm_mark *marks; /* private: positions not yet acknowledged past */
    size_t marks_len, marks_cap;
};

#define SM_MARKS_MAX 1024 /* over it the stream must be closed: sm_* return false */

struct sm {
    bool enabled;                    /* counting, since the client's <enable/> */
    bool agreed;                     /* the server's <enabled/> came: nothing ends it any more */
    struct sm_direction up, down;    /* client to server, server to client */
};

/* Whether count a comes later than b: counts wrap. */
bool sm_is_behind(uint32_t a, uint32_t b);

void sm_init(struct sm *sm);
void sm_done(struct sm *sm);
/* <enable/> was sent by the client (up counts from here) / <enabled/> by the server (down does).
 * Each begins its direction at zero. When <failed/> answers instead: sm_done, unless it is agreed. */
void sm_start_up(struct sm *sm);
void sm_start_down(struct sm *sm);

/* A stanza passed on. */
void sm_passed(struct sm_direction *d);
/* A stanza of the sender's that the receiver never sees; one of ours that the sender never sent.
 * false: not counted, too many marks or no memory. */
bool sm_withheld(struct sm_direction *d) __attribute__((warn_unused_result));
bool sm_added(struct sm_direction *d) __attribute__((warn_unused_result));
/* What was passed on last was ours after all: the sender's stanza comes behind it. false: as above. */
bool sm_passed_behind(struct sm_direction *d) __attribute__((warn_unused_result));

/* The receiver acknowledged h stanzas (in its own count); what to tell the sender, and older marks
 * are forgotten. Withheld stanzas at the boundary count as handled, since we answered them. */
uint32_t sm_ack(struct sm_direction *d, uint32_t receiver_h);
/* The same question without forgetting, for <resume/> and <resumed/>. */
uint32_t sm_translate(const struct sm_direction *d, uint32_t receiver_h);
/* The stream was resumed where the receiver has h: the sender sends again what lies behind, so the
 * direction is set back there and the marks behind it are gone (added stanzas among them that are
 * still wanted must be added again). Returns what sm_translate did. For up at <resumed/> with its
 * h, for down then with the h of the client's <resume/>. */
uint32_t sm_rewind(struct sm_direction *d, uint32_t receiver_h);
/* Whether both ends' counts are the same numbers wherever the session goes on: nothing withheld or added
 * that is not made up for, or not acknowledged yet. */
bool sm_is_even(const struct sm *sm);
