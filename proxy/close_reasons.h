/*
 * Every way a client stream ends, once: the name in the log, whether it is an ordinary end, whether it
 * is a refusal for what the client is or did (told as rejections.h has it), the WebSocket code for the
 * client (0: the connection just ends, CARRIED: as the peer said), the stream error it is told (RFC 6120
 * section 4.9.3; NULL: none), and the text.
 *
 * X(NAME, is_ordinary, is_refusal, client_code, stream_error, text)
 */
#pragma once

#define CLOSE_CARRIED 1

#define CLOSE_REASONS(X)                                                                            \
    X(CLIENT_CLOSED, true, false, CLOSE_CARRIED, NULL, "the client closed")                         \
    X(CLIENT_LOST, true, false, 0, NULL, "the client's connection broke")                           \
    X(PROSODY_CLOSED, true, false, CLOSE_CARRIED, NULL, "Prosody closed")                           \
    X(PROSODY_LOST, false, false, 0, NULL, "the connection to Prosody broke")                       \
    X(PROSODY_DOWN, true, false, 0, NULL, "Prosody did not open a stream for it")                   \
    X(TOKEN_REFUSED, true, true, 0, NULL, "refused for its token (token.on_invalid: refuse)")       \
    X(REPLACED, true, false, 0, NULL, "the session went on in another stream")                      \
    X(FRAMING, false, true, CLOSE_CARRIED, NULL, "the client broke WebSocket or BOSH")              \
    X(NOT_WELL_FORMED, false, true, 1007, "not-well-formed", "a message was not one XML element")   \
    X(BAD_NAMESPACE, false, true, 1007, "bad-namespace-prefix", "an undeclared namespace prefix")   \
    X(BAD_ENCODING, false, true, 1007, "unsupported-encoding", "not UTF-8 as XML allows it")        \
    X(RESTRICTED_XML, false, true, 1007, "restricted-xml", "XML that XMPP forbids")                 \
    X(INVALID_NAMESPACE, false, true, 1007, "invalid-namespace", "an element of no known namespace")\
    X(NOT_BOUND, false, true, 1008, "not-authorized", "something else before login")                \
    X(HOST_UNKNOWN, false, true, 1008, "host-unknown", "a domain that is not served here")          \
    X(MISADDRESSED, false, true, 1008, "improper-addressing", "an address that cannot be one")      \
    X(OUT_OF_ORDER, false, true, 1008, "policy-violation", "said when it may not be said")          \
    X(BAD_COUNT, false, true, 1008, "policy-violation", "a stanza count that is no number")          \
    X(STALLED, false, true, 1008, "policy-violation", "nothing was read for too long")              \
    X(SERVER_TOO_LARGE, false, false, 1011, "internal-server-error", "over limits.server_stanza")   \
    X(TOO_LARGE, false, true, 1009, "policy-violation", "a message over the limits")                \
    X(TOO_MUCH, false, true, 1008, "policy-violation", "more than one client may have or try")      \
    X(HANDSHAKE_TIMEOUT, false, true, 1008, "connection-timeout", "no login in time")               \
    X(IDLE, true, false, 1001, "connection-timeout", "nothing was heard for too long")              \
    X(NO_MEMORY, false, false, 1011, "internal-server-error", "out of memory")                      \
    X(SHUTDOWN, true, false, 1001, NULL, "Vestibule is stopping") /* the session may be resumed */

enum close_reason {
#define CLOSE_ENUM(name, ordinary, refusal, code, error, text) CLOSE_##name,
    CLOSE_REASONS(CLOSE_ENUM)
#undef CLOSE_ENUM
    CLOSE_COUNT
};
