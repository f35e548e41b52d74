/*
 * The same bytes, whole, cut in two and one by one, must make the same events. The first byte says
 * where the cut is (in 255ths of the rest) and, by its lowest bit, which side is decoding.
 */
#include "xmpp/websocket.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MAX_MESSAGE 300 /* small, so that the limit is met */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(enum ws_event event, const struct ws_output *output)
{
    if (output->len > MAX_MESSAGE || output->data == NULL)
        abort();
    if (event == WS_FAIL && (!ws_close_code_valid(output->code) || output->reason == NULL))
        abort();
    if (event == WS_CLOSE && output->code != 1005 && !ws_close_code_valid(output->code))
        abort();
}

/* Decodes one piece in memory of exactly its size and writes the events down. */
static void decode(struct ws_decoder *d, const uint8_t *data, size_t len, struct buf *log)
{
    uint8_t *piece = malloc(len > 0 ? len : 1);
    struct ws_output output;
    enum ws_event event;
    size_t at = 0, used;

    if (piece == NULL)
        abort();
    memcpy(piece, data, len);
    do {
        event = ws_decode(d, piece + at, len - at, &used, &output);
        at += used;
        if (at > len || ws_decoder_held(d) > 4 * MAX_MESSAGE)
            abort();
        if (event == WS_NEED_MORE)
            continue;
        check(event, &output);
        buf_printf(log, "%d %d %zu ", event, output.code, output.len);
        buf_add(log, output.data, output.len);
        buf_add_str(log, output.reason != NULL ? output.reason : "");
    } while (event != WS_NEED_MORE);
    if (at != len)
        abort();
    free(piece);
}

static void check_same(const struct buf *a, const struct buf *b)
{
    if (a->len != b->len || (a->len > 0 && memcmp(a->data, b->data, a->len) != 0))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ws_decoder d;
    struct buf whole = BUF_INIT, parts = BUF_INIT, bytes = BUF_INIT;

    if (size == 0)
        return 0;
    enum ws_role role = data[0] & 1 ? WS_CLIENT : WS_SERVER;
    size_t len = size - 1, cut = len * data[0] / 255;
    data++;

    ws_decoder_init(&d, role, MAX_MESSAGE);
    decode(&d, data, len, &whole);
    ws_decoder_done(&d);
    ws_decoder_init(&d, role, MAX_MESSAGE);
    decode(&d, data, cut, &parts);
    decode(&d, data + cut, len - cut, &parts);
    ws_decoder_done(&d);
    ws_decoder_init(&d, role, MAX_MESSAGE);
    for (size_t i = 0; i < len; i++)
        decode(&d, data + i, 1, &bytes);
    ws_decoder_done(&d);

    check_same(&whole, &parts);
    check_same(&whole, &bytes);
    buf_done(&whole);
    buf_done(&parts);
    buf_done(&bytes);
    return 0;
}
