/*
 * See websocket.h. A frame's header is gathered byte by byte and judged as soon as each field is
 * there, so that nothing of a refused frame is ever kept. Payload is unmasked where it lies.
 *
 * What a newcomer gets wrong: a control frame may stand between the fragments of a message (RFC
 * 6455 section 5.4), so its payload and the message's have separate places, and the message's state
 * must survive it.
 */
#include "xmpp/websocket.h"

#include "xmpp/utf8.h"

#include <string.h>

#define MAX_FRAGMENTS 1024
#define KEEP_MESSAGE 4096 /* bytes of gathering memory an idle stream may keep */
#define CONTROL_MAX 125
#define CLOSE_REASON_MAX (CONTROL_MAX - 2)

/* ---- bytes ---- */

typedef uint64_t wide __attribute__((vector_size(16)));

static void mask_16(uint8_t *to, const uint8_t *from, wide mask)
{
    wide bytes;

    memcpy(&bytes, from, sizeof bytes);
    bytes ^= mask;
    memcpy(to, &bytes, sizeof bytes);
}

static void mask_8(uint8_t *to, const uint8_t *from, uint64_t mask)
{
    uint64_t bytes;

    memcpy(&bytes, from, sizeof bytes);
    bytes ^= mask;
    memcpy(to, &bytes, sizeof bytes);
}

/* XORs len bytes of from with the mask's four, as they lie in memory, into to (which may be from).
 */
static void mask_bytes(uint8_t *to, const uint8_t *from, size_t len, uint32_t mask)
{
    const uint64_t half = mask * UINT64_C(0x100000001);
    const wide all = {half, half};
    uint8_t single[8];
    size_t i = 0;

    for (size_t end = len & ~(size_t)31; i < end; i += 32) {
        mask_16(to + i, from + i, all);
        mask_16(to + i + 16, from + i + 16, all);
    }
    if (len & 16) {
        mask_16(to + i, from + i, all);
        i += 16;
    }
    if (len & 8) {
        mask_8(to + i, from + i, half);
        i += 8;
    }
    memcpy(single, &half, sizeof single);
    for (size_t rest = 0; rest < (len & 7); rest++)
        to[i + rest] = from[i + rest] ^ single[rest];
}

static uint32_t mask_of(const uint8_t bytes[4])
{
    uint32_t mask;

    memcpy(&mask, bytes, sizeof mask);
    return mask;
}

/* The mask for what begins at byte `at` of a payload. */
static uint32_t mask_from(const uint8_t mask[4], uint64_t at)
{
    const uint8_t turned[4] = {mask[at & 3], mask[(at + 1) & 3], mask[(at + 2) & 3],
                               mask[(at + 3) & 3]};

    return mask_of(turned);
}

static uint64_t read_number(const uint8_t *p, size_t size)
{
    uint64_t number = 0;
    for (size_t i = 0; i < size; i++)
        number = number << 8 | p[i];
    return number;
}

bool ws_close_code_valid(uint16_t code)
{
    /* Section 7.4 and IANA's registry: 1004 is reserved, 1005, 1006 and 1015 never travel. */
    if (code >= 1000 && code <= 1014)
        return code < 1004 || code > 1006;
    return code >= 3000 && code <= 4999;
}

/* ---- decoding ---- */

void ws_decoder_init(struct ws_decoder *d, enum ws_role role, size_t max_message)
{
    *d = (struct ws_decoder){
        .role = role,
        .max_message = max_message,
        .max_fragments = MAX_FRAGMENTS,
        .header_need = 2,
    };
}

void ws_decoder_done(struct ws_decoder *d)
{
    buf_done(&d->message);
    buf_done(&d->control);
}

size_t ws_decoder_held(const struct ws_decoder *d)
{
    return d->message.cap;
}

/* Nothing more is decoded, so an unfinished message never will be. */
static void end(struct ws_decoder *d)
{
    d->ended = true;
    buf_done(&d->message);
}

static enum ws_event fail(struct ws_decoder *d, struct ws_output *ret, uint16_t code,
                          const char *reason)
{
    end(d);
    *ret = (struct ws_output){.data = "", .code = code, .reason = reason};
    return WS_FAIL;
}

static bool is_control(const struct ws_decoder *d)
{
    return (d->opcode & 8) != 0;
}

/* The first two bytes. */
static enum ws_event begin_header(struct ws_decoder *d, struct ws_output *ret)
{
    uint8_t first = d->header[0], length = d->header[1] & 0x7f;

    d->final = (first & 0x80) != 0;
    d->opcode = first & 0x0f;
    d->masked = (d->header[1] & 0x80) != 0;

    if ((first & 0x70) != 0)
        return fail(d, ret, 1002, "reserved bit set");
    switch (d->opcode) {
    case WS_OP_TEXT:
        if (d->in_message)
            return fail(d, ret, 1002, "new message inside a fragmented one");
        break;
    case WS_OP_CONTINUATION:
        if (!d->in_message)
            return fail(d, ret, 1002, "continuation of nothing");
        break;
    case WS_OP_BINARY:
        return fail(d, ret, 1003, "binary message");
    case WS_OP_CLOSE:
    case WS_OP_PING:
    case WS_OP_PONG:
        if (!d->final || length > CONTROL_MAX)
            return fail(d, ret, 1002, "control frame fragmented or too long");
        break;
    default:
        return fail(d, ret, 1002, "reserved opcode");
    }
    if (d->masked != (d->role == WS_SERVER))
        return fail(d, ret, 1002, d->masked ? "masked frame from a server" : "frame not masked");

    d->header_need = 2 + (size_t)(length == 126 ? 2 : length == 127 ? 8 : 0) + (d->masked ? 4 : 0);
    return WS_NEED_MORE;
}

/* All of the header: the length, and what it means for the message. */
static enum ws_event finish_header(struct ws_decoder *d, struct ws_output *ret)
{
    size_t size = d->header_need - 2 - (d->masked ? 4 : 0);

    d->payload_have = 0;
    d->payload_len = size == 0 ? d->header[1] & 0x7f : read_number(d->header + 2, size);
    if (d->masked)
        memcpy(d->mask, d->header + 2 + size, 4);
    /* Section 5.2: "the minimal number of bytes MUST be used", and the top bit MUST be 0. */
    if ((size == 2 && d->payload_len < 126) || (size == 8 && d->payload_len <= UINT16_MAX))
        return fail(d, ret, 1002, "length not minimal");
    if (d->payload_len > INT64_MAX)
        return fail(d, ret, 1002, "length out of range");
    if (is_control(d))
        return WS_NEED_MORE;

    if (d->opcode == WS_OP_TEXT)
        d->fragments = 0;
    d->in_message = true;
    /* Fragments are counted, not only their bytes: empty ones would never reach max_message. */
    if (++d->fragments > d->max_fragments)
        return fail(d, ret, 1008, "too many fragments");
    if (d->message.len > d->max_message || d->payload_len > d->max_message - d->message.len)
        return fail(d, ret, 1009, "message too big");
    return WS_NEED_MORE;
}

static enum ws_event finish_close(struct ws_decoder *d, struct ws_output *ret)
{
    size_t len = (size_t)d->payload_len;

    *ret = (struct ws_output){.data = "", .code = 1005};
    if (len == 1)
        return fail(d, ret, 1002, "close frame with half a code");
    if (len >= 2) {
        ret->code = (uint16_t)read_number((const uint8_t *)d->control.data, 2);
        ret->data = d->control.data + 2;
        ret->len = len - 2;
        if (!ws_close_code_valid(ret->code))
            return fail(d, ret, 1002, "close code not allowed");
        if (!utf8_valid(ret->data, ret->len))
            return fail(d, ret, 1007, "close reason is not UTF-8");
    }
    end(d);
    return WS_CLOSE;
}

/* A control frame's payload, complete. */
static enum ws_event finish_control(struct ws_decoder *d, struct ws_output *ret)
{
    if (d->opcode == WS_OP_CLOSE)
        return finish_close(d, ret);
    *ret = (struct ws_output){.data = d->control.len > 0 ? d->control.data : "",
                              .len = d->control.len};
    return d->opcode == WS_OP_PING ? WS_PING : WS_PONG;
}

/* Takes len bytes of payload, already unmasked; true with *ret_event when they complete something
 * or fail. */
static bool take_payload(struct ws_decoder *d, const uint8_t *data, size_t len,
                         enum ws_event *ret_event, struct ws_output *ret)
{
    bool whole = d->payload_have == 0 && len == d->payload_len;
    bool complete = d->payload_have + len == d->payload_len;

    if (is_control(d)) {
        if (len > 0)
            buf_add(&d->control, data, len);
        d->payload_have += len;
        if (d->control.failed) {
            *ret_event = fail(d, ret, 1011, "out of memory");
            return true;
        }
        if (complete)
            *ret_event = finish_control(d, ret);
        return complete;
    }

    if (whole && d->final && d->message.len == 0) {
        *ret = (struct ws_output){.data = len > 0 ? (const char *)data : "", .len = len};
    } else {
        buf_add(&d->message, data, len);
        d->payload_have += len;
        if (d->message.failed) {
            *ret_event = fail(d, ret, 1011, "out of memory");
            return true;
        }
        if (!complete || !d->final)
            return false;
        d->handed_out = true;
        *ret = (struct ws_output){.data = d->message.data, .len = d->message.len};
    }
    d->in_message = false;
    *ret_event = WS_TEXT;
    return true;
}

/* The last message, or control frame, was borrowed until now. */
static void let_go(struct ws_decoder *d)
{
    if (d->control.data && d->header_len == 0)
        buf_done(&d->control);
    if (!d->handed_out)
        return;
    d->handed_out = false;
    if (d->message.cap > KEEP_MESSAGE)
        buf_done(&d->message);
    else
        buf_clear(&d->message);
}

/* Takes header bytes from data; WS_NEED_MORE unless they are refused. */
static enum ws_event take_header(struct ws_decoder *d, const uint8_t *data, size_t len,
                                 size_t *ret_used, struct ws_output *ret)
{
    size_t used = 0;

    while (d->header_len < d->header_need && used < len) {
        size_t missing = d->header_need - d->header_len;
        size_t part = len - used < missing ? len - used : missing;

        memcpy(d->header + d->header_len, data + used, part);
        d->header_len += part;
        used += part;
        *ret_used = used;
        if (d->header_len == 2 && begin_header(d, ret) == WS_FAIL)
            return WS_FAIL;
        if (d->header_len == d->header_need && finish_header(d, ret) == WS_FAIL)
            return WS_FAIL;
    }
    *ret_used = used;
    return WS_NEED_MORE;
}

/* Nearly every message is one frame, and there as a whole: this is what the rest comes to for such
 * a one. false: it is something else, and nothing was touched. */
static bool take_whole(struct ws_decoder *d, uint8_t *data, size_t len, size_t *ret_used,
                       struct ws_output *ret)
{
    const bool masked = d->role == WS_SERVER;
    size_t at = 2, size;

    if (d->header_len > 0 || d->in_message || d->ended || len < 4 || data[0] != (0x80 | WS_OP_TEXT))
        return false;
    size = data[1] ^ (masked ? 0x80U : 0); /* over 127 where the mask bit is wrong */
    if (size == 126) {
        size = (size_t)data[2] << 8 | data[3];
        at = 4;
        if (size < 126)
            return false;
    } else if (size > 126) {
        return false;
    }
    at += masked ? 4 : 0;
    if (size == 0 || size > d->max_message || len < at + size)
        return false;
    if (masked)
        mask_bytes(data + at, data + at, size, mask_of(data + at - 4));
    *ret = (struct ws_output){.data = (const char *)data + at, .len = size};
    *ret_used = at + size;
    return true;
}

static enum ws_event take_pieces(struct ws_decoder *d, uint8_t *data, size_t len, size_t *ret_used,
                                 struct ws_output *ret)
{
    size_t at = 0;

    *ret = (struct ws_output){.data = ""};
    *ret_used = len;
    while (!d->ended) {
        enum ws_event event;

        if (d->header_len < d->header_need) {
            size_t used;
            event = take_header(d, data + at, len - at, &used, ret);
            at += used;
            if (event == WS_FAIL) {
                *ret_used = at;
                return event;
            }
            if (d->header_len < d->header_need)
                break;
        }

        uint64_t missing = d->payload_len - d->payload_have;
        size_t part = len - at < missing ? len - at : (size_t)missing;
        if (part == 0 && missing > 0)
            break;
        if (d->masked && part > 0)
            mask_bytes(data + at, data + at, part, mask_from(d->mask, d->payload_have));
        bool happened = take_payload(d, data + at, part, &event, ret);
        at += part;
        if (part == missing) {
            d->header_len = 0;
            d->header_need = 2;
        }
        if (happened) {
            *ret_used = at;
            return event;
        }
    }
    return WS_NEED_MORE;
}

enum ws_event ws_decode(struct ws_decoder *d, uint8_t *data, size_t len, size_t *ret_used,
                        struct ws_output *ret)
{
    let_go(d);
    if (take_whole(d, data, len, ret_used, ret))
        return WS_TEXT;
    return take_pieces(d, data, len, ret_used, ret);
}

/* ---- encoding ---- */

void ws_encode(struct buf *out, enum ws_opcode opcode, const char *data, size_t len,
               const uint8_t *mask)
{
    const size_t size = len < 126 ? 0 : len <= UINT16_MAX ? 2 : 8;
    const size_t header_len = 2 + size + (mask ? 4 : 0);
    uint8_t *to;

    /* All or nothing: half a frame in out would be worse than none. */
    if (!buf_reserve(out, header_len + len))
        return;
    to = (uint8_t *)out->data + out->len;
    out->len += header_len + len;
    out->data[out->len] = '\0';

    *to++ = (uint8_t)(0x80 | opcode);
    *to++ = (uint8_t)((mask ? 0x80 : 0) | (size == 0 ? len : size == 2 ? 126 : 127));
    for (size_t left = size; left > 0; left--)
        *to++ = (uint8_t)((uint64_t)len >> (8 * (left - 1)));
    if (mask) {
        memcpy(to, mask, 4);
        mask_bytes(to + 4, (const uint8_t *)data, len, mask_of(mask));
    } else if (len > 0) {
        memcpy(to, data, len);
    }
}

void ws_encode_close(struct buf *out, uint16_t code, const char *reason, size_t reason_len,
                     const uint8_t *mask)
{
    char body[CONTROL_MAX];

    if (!ws_close_code_valid(code)) {
        ws_encode(out, WS_OP_CLOSE, "", 0, mask);
        return;
    }
    if (reason_len > CLOSE_REASON_MAX) {
        reason_len = CLOSE_REASON_MAX;
        while (reason_len > 0 && ((uint8_t)reason[reason_len] & 0xc0) == 0x80)
            reason_len--;
    }
    body[0] = (char)(code >> 8);
    body[1] = (char)(code & 0xff);
    if (reason_len > 0)
        memcpy(body + 2, reason, reason_len);
    ws_encode(out, WS_OP_CLOSE, body, 2 + reason_len, mask);
}
