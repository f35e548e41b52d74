/*
 * WebSocket frames (RFC 6455), without a socket: bytes in, messages out, and the other way.
 *
 * The decoder hands out a message that arrived whole in the caller's bytes without copying it;
 * only a fragmented or split one is gathered in memory, which is given back when it is empty.
 */
#pragma once

#include "xmpp/buf.h"

#include <stdint.h>

enum ws_role {
    WS_SERVER, /* the peer is a client: its frames must be masked (RFC 6455 section 5.1) */
    WS_CLIENT, /* the peer is a server: its frames must not be */
};

enum ws_event {
    WS_NEED_MORE, /* everything was taken, no event */
    WS_TEXT,      /* a complete text message */
    WS_PING,
    WS_PONG,
    WS_CLOSE, /* data is the reason, code the status or 1005 when there was none */
    WS_FAIL,  /* the peer broke the protocol (or 1011, no memory): close with code and reason */
};

enum ws_opcode { WS_OP_CONTINUATION = 0, WS_OP_TEXT = 1, WS_OP_BINARY = 2, WS_OP_CLOSE = 8,
                 WS_OP_PING = 9, WS_OP_PONG = 10 };

struct ws_output {
    const char *data; /* borrowed until the next ws_decode; not terminated */
    size_t len;
    uint16_t code;      /* with WS_CLOSE and WS_FAIL */
    const char *reason; /* with WS_FAIL: a fixed English phrase */
};

struct ws_decoder {
    enum ws_role role;
    bool in_message, handed_out, ended; /* private, as all from `header_len` on */
    size_t max_message; /* bytes of one message; over it: 1009 */
    size_t max_fragments; /* of one message, empty ones too; over it: 1008. 1024 from init */
    size_t header_len, header_need;
    struct buf control; /* of a control frame, until the next ws_decode */
    struct buf message; /* fragments so far */
    size_t fragments;
    uint8_t header[14];
    bool final, masked;
    uint8_t opcode, mask[4];
    uint64_t payload_len, payload_have;
};

void ws_decoder_init(struct ws_decoder *d, enum ws_role role, size_t max_message);
void ws_decoder_done(struct ws_decoder *d);
/* Takes bytes from data (unmasking them in place) until an event or the end; *ret_used says how many
 * were taken. Call again with the rest. Binary is refused with 1003, text that does not begin with
 * '<' is the caller's affair, UTF-8 is checked by the XML parser above. Behind WS_CLOSE and WS_FAIL
 * everything is taken and thrown away. */
enum ws_event ws_decode(struct ws_decoder *d, uint8_t *data, size_t len, size_t *ret_used,
                        struct ws_output *ret);
/* Bytes of memory it holds for an unfinished message. */
size_t ws_decoder_held(const struct ws_decoder *d);

/* Appends one whole frame. mask: four random bytes for a client's frame (RFC 6455 section 5.3), NULL
 * for a server's. out->failed tells of lack of memory. */
void ws_encode(struct buf *out, enum ws_opcode opcode, const char *data, size_t len,
               const uint8_t *mask);
/* A close frame; without a body for 0, 1005 and whatever else may not travel. reason is cut to 123
 * bytes at a character. */
void ws_encode_close(struct buf *out, uint16_t code, const char *reason, size_t reason_len,
                     const uint8_t *mask);
/* Whether a status may stand in a close frame on the wire (RFC 6455 section 7.4). */
bool ws_close_code_valid(uint16_t code);
