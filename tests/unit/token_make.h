/*
 * Makes tokens for tests: the rules they are judged by, base64url, and an HMAC over any header and
 * payload.
 */
#pragma once

#include "policy/token.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define NOW 1700000000
#define SECRET "not a very good secret"

static const char *const issuers[] = {"app", "second", NULL};
static const char *const audiences[] = {"jitsi", "other", NULL};
static const char *const any[] = {"*", NULL};
static const char *const lobby_claims[] = {"context.features.lobby", "context.user.lobby", NULL};

static inline struct token_rules default_rules(void)
{
    return (struct token_rules){
        .algorithm = "HS256",
        .secret = SECRET,
        .secret_len = strlen(SECRET),
        .issuers = issuers,
        .audiences = audiences,
        .require_room = true,
        .domain_verification = true,
        .domain = "meet.example.com",
        .lobby_claims = lobby_claims,
    };
}

static inline char *put_base64url(char *at, const void *bytes, size_t len)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned bits = 0, count = 0;

    for (size_t i = 0; i < len; i++) {
        bits = (bits << 8 | ((const unsigned char *)bytes)[i]) & 0xffff;
        for (count += 8; count >= 6;)
            *at++ = letters[bits >> (count -= 6) & 63];
    }
    if (count > 0)
        *at++ = letters[bits << (6 - count) & 63];
    *at = '\0';
    return at;
}

static inline char *put_signature(char *at, const char *text, size_t len, const EVP_MD *digest,
                           const char *key)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned mac_len = 0;

    assert_non_null(
        HMAC(digest, key, (int)strlen(key), (const unsigned char *)text, len, mac, &mac_len));
    return put_base64url(at, mac, mac_len);
}

/* A token in a static buffer, overwritten by the next. */
static inline char *make_bytes(const char *header, const void *payload, size_t payload_len,
                        const EVP_MD *digest, const char *key)
{
    static char text[64 * 1024];
    char *at = put_base64url(text, header, strlen(header));

    *at++ = '.';
    at = put_base64url(at, payload, payload_len);
    size_t signed_len = (size_t)(at - text);
    *at++ = '.';
    put_signature(at, text, signed_len, digest, key);
    return text;
}

#define HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define CLAIMS_BUT_AUD "\"iss\":\"app\",\"sub\":\"meet.example.com\",\"room\":\"Room\""
#define CLAIMS CLAIMS_BUT_AUD ",\"aud\":\"jitsi\""
#define GOOD "{" CLAIMS "}"
#define WITH(claim) "{" CLAIMS "," claim "}"

static inline char *make(const char *header, const char *payload)
{
    return make_bytes(header, payload, strlen(payload), EVP_sha256(), SECRET);
}
