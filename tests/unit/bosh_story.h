/*
 * BOSH sessions as dialogues, for their tests: at each step something happens at a time, and what comes
 * of it is written down. "A{...}" is the answer to request A with the messages in it, "A*{...}" the one
 * that creates the session, "A!condition{...}" one that ends it.
 */
#pragma once

#include "xmpp/bosh_session.h"

#define SID "0123456789abcdef0123456789abcdef"
#define FRAMING "xmlns='urn:ietf:params:xml:ns:xmpp-framing'"
#define STREAMS "xmlns:stream='http://etherx.jabber.org/streams'"
#define OPENED "<open " FRAMING " from='meet' id='i1' version='1.0'/>"
#define CLOSED "<close " FRAMING "/>"
#define FEATURES "<stream:features " STREAMS "><a/></stream:features>"
#define ERROR "<stream:error " STREAMS "><gone/></stream:error>"

struct step {
    int64_t at_ms;
    const char *verb, *argument, *expected;
};

struct story {
    struct bosh_session *session;
    struct parser *parser;
    struct buf log;
    const char *on_message; /* what is done within the next message */
    int64_t now_ms;
    char open[128]; /* requests not answered, by their letters */
    bool is_over;
};

struct story_case {
    const char *name;
    const struct step *steps;
};

#define BEGIN                                                                                      \
    {0, "new", "A 10 to='meet' wait='60' hold='1'", ""}, {0, "go", "", "open:meet"},               \
        {50, "send", OPENED, ""},                                                                  \
    {                                                                                              \
        60, "send", FEATURES, "A*{" FEATURES "}"                                                   \
    }
#define IQ "<iq xmlns='jabber:client'/>"
#define END                                                                                        \
    {                                                                                              \
        0, NULL, NULL, NULL                                                                        \
    }

/* "A 7 attributes|children" */
void read_post(struct story *s, const char *argument, struct bosh_body *ret);
/* Does one step; what comes of it is added to the log. */
void play(struct story *s, const struct step *step);
/* All of them; the log is of the last. */
void play_all(struct story *s, const struct step *steps);
void story_done(struct story *s);
/* Whether each step says what is expected of it. */
void check_stories(const struct story_case *cases, size_t len);
