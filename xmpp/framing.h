/*
 * XMPP over WebSocket (RFC 7395): the elements a stream opens, fails and closes with.
 */
#pragma once

#include "xmpp/buf.h"

/* <open xmlns=framing to=... version='1.0'/>, as a client sends it. */
void framing_open(struct buf *out, const char *to);
/* <open from=... id=.../>, as a server answers, for a stream refused before Prosody opened it. */
void framing_open_answer(struct buf *out, const char *from, const char *id);
/* <close xmlns=framing/>. */
void framing_close(struct buf *out);
/* <stream:error> with a condition of RFC 6120 section 4.9.3; text may be NULL. */
void framing_stream_error(struct buf *out, const char *condition, const char *text);
