/*
 * See sm.h. The two counts of a direction run side by side; they drift apart by one at each stanza
 * that only one end knows. For a position h in the receiver's count, the sender's is
 *
 *     h + (from - to) - withheld behind h + added behind h
 *
 * since from - to is all the drift there is, and what lies behind h has not happened there yet. So
 * only marks behind the last acknowledgement are ever needed.
 *
 * What a newcomer gets wrong: counters wrap (XEP-0198 section 4), so "behind" is never a plain '<'.
 */
#include "xmpp/sm.h"

#include <stdlib.h>
#include <string.h>

struct sm_mark {
    /* In the receiver's count. Added: the stanza's own number. Withheld: that of the last stanza
     * the receiver was sent before it, so that a receiver who has that one has passed the gap as
     * well. */
    uint32_t position;
    bool added;
};

/* Half the circle is far more than can be outstanding. */
bool sm_is_behind(uint32_t a, uint32_t b)
{
    uint32_t distance = a - b;
    return distance != 0 && distance < UINT32_C(0x80000000);
}

void sm_init(struct sm *sm)
{
    *sm = (struct sm){0};
}

static void direction_done(struct sm_direction *d)
{
    free(d->marks);
    *d = (struct sm_direction){0};
}

void sm_done(struct sm *sm)
{
    direction_done(&sm->up);
    direction_done(&sm->down);
    sm->enabled = sm->agreed = false;
}

static void direction_start(struct sm_direction *d)
{
    d->from = 0;
    d->to = 0;
    d->marks_len = 0;
}

void sm_start_up(struct sm *sm)
{
    direction_start(&sm->up);
    sm->enabled = true;
}

void sm_start_down(struct sm *sm)
{
    direction_start(&sm->down);
    sm->enabled = sm->agreed = true;
}

static bool add_mark(struct sm_direction *d, uint32_t position, bool added)
{
    if (d->marks_len == SM_MARKS_MAX)
        return false;
    if (d->marks_len == d->marks_cap) {
        size_t cap = d->marks_cap == 0 ? 8 : d->marks_cap * 2;
        struct sm_mark *marks = realloc(d->marks, cap * sizeof(*marks));
        if (marks == NULL)
            return false;
        d->marks = marks;
        d->marks_cap = cap;
    }
    d->marks[d->marks_len++] = (struct sm_mark){.position = position, .added = added};
    return true;
}

void sm_passed(struct sm_direction *d)
{
    d->from++;
    d->to++;
}

bool sm_withheld(struct sm_direction *d)
{
    if (!add_mark(d, d->to, false))
        return false;
    d->from++;
    return true;
}

bool sm_added(struct sm_direction *d)
{
    if (!add_mark(d, d->to + 1, true))
        return false;
    d->to++;
    return true;
}

bool sm_passed_behind(struct sm_direction *d)
{
    if (!add_mark(d, d->to, true))
        return false;
    d->to++;
    return true;
}

uint32_t sm_translate(const struct sm_direction *d, uint32_t receiver_h)
{
    uint32_t sender_h = receiver_h + (d->from - d->to);

    /* Marks are in order: those behind h are the last ones. */
    for (size_t i = d->marks_len; i > 0 && sm_is_behind(d->marks[i - 1].position, receiver_h);
         i--) {
        if (d->marks[i - 1].added)
            sender_h++;
        else
            sender_h--;
    }
    return sender_h;
}

uint32_t sm_ack(struct sm_direction *d, uint32_t receiver_h)
{
    uint32_t sender_h = sm_translate(d, receiver_h);
    size_t passed = 0;

    /* A receiver that claims more than it was sent is wrong; the sender will see that from the
     * answer, and what we know must survive it. */
    if (sm_is_behind(receiver_h, d->to))
        return sender_h;
    while (passed < d->marks_len && !sm_is_behind(d->marks[passed].position, receiver_h))
        passed++;
    if (passed > 0) {
        d->marks_len -= passed;
        memmove(d->marks, d->marks + passed, d->marks_len * sizeof(*d->marks));
    }
    return sender_h;
}

uint32_t sm_rewind(struct sm_direction *d, uint32_t receiver_h)
{
    d->from = sm_translate(d, receiver_h);
    d->to = receiver_h;
    d->marks_len = 0;
    return d->from;
}

bool sm_is_even(const struct sm *sm)
{
    return sm->up.from == sm->up.to && sm->down.from == sm->down.to && sm->up.marks_len == 0 &&
           sm->down.marks_len == 0;
}
