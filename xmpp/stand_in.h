/*
 * The ping that goes to the server in place of a client's stanza which the proxy answers itself. Both
 * ends then count one stanza each, and where the server's answer to the ping comes, the client is given
 * the proxy's: nothing is ever added or missing, so the session can be resumed anywhere (XEP-0198).
 *
 * What a newcomer gets wrong: the answer is not kept here. It travels in the ping's id and comes back
 * with it, now or after a resumption, to this process, its successor, or another instance.
 *
 * Only the server answers without a "from" (or in the name of the account), and only what this very
 * client's stream asked: nobody can have such an answer shown to somebody else. A client that writes
 * such an id himself is shown, instead of the answer to his own request, a stanza error he composed
 * himself; nothing the proxy learns from has that shape.
 */
#pragma once

#include "xmpp/buf.h"
#include "xmpp/parse.h"

#include <stdint.h>

#define STAND_IN_ANSWER_MAX 8192

/* Appends the ping for an answer (a whole stanza); number tells those of one session apart. False when
 * the answer is too long; out->failed tells of lack of memory. */
bool stand_in_write(struct buf *out, uint64_t number, const char *answer)
    __attribute__((warn_unused_result));
/* Whether a message could be the answer to one: look closer then. */
bool stand_in_peek(const char *message, size_t len);
/* Whether e answers one; appends what the client is to be given, which is still to be looked at: it is
 * only known to be text. ret->failed tells of lack of memory. */
bool stand_in_read(const struct element *e, uint64_t *ret_number, struct buf *ret);
