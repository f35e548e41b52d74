/*
 * See signed_token.h: RFC 7515 section 3.1, written apart from what reads it.
 */
#include "tests/fuzz/signed_token.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

static void add_base64url(struct buf *out, const uint8_t *bytes, size_t len)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned bits = 0, count = 0;

    for (size_t i = 0; i < len; i++) {
        bits = (bits << 8 | bytes[i]) & 0xffff;
        for (count += 8; count >= 6;)
            buf_add(out, letters + (bits >> (count -= 6) & 63), 1);
    }
    if (count > 0)
        buf_add(out, letters + (bits << (6 - count) & 63), 1);
}

void signed_token(struct buf *out, const char *header, const uint8_t *payload, size_t payload_len,
                  const char *secret)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned mac_len = 0;
    size_t start = out->len;

    add_base64url(out, (const uint8_t *)header, strlen(header));
    buf_add_str(out, ".");
    add_base64url(out, payload, payload_len);
    if (!HMAC(EVP_sha256(), secret, (int)strlen(secret), (const uint8_t *)out->data + start,
              out->len - start, mac, &mac_len))
        abort();
    buf_add_str(out, ".");
    add_base64url(out, mac, mac_len);
    if (out->failed)
        abort();
}
