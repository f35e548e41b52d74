/*
 * Checks one signature.
 *
 * The one thing to know: which kind of key is looked at is decided by the configured algorithm
 * alone, never by the token, so that a public key cannot become the secret of an HMAC (RFC 8725
 * section 2.1). What a public key is like is checked here as well: OpenSSL itself would verify with
 * an exponent of 1, for which everybody can sign.
 */
#include "policy/token_signature.h"

#include <limits.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <string.h>

/* RFC 7518 section 3.3 asks for the lower one; OpenSSL verifies with no larger key. */
#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX 16384
#define EXPONENT_BITS_MAX 64
/* Two coordinates of P-521 in DER, and room to spare. */
#define DER_MAX 256

/* No PS: libjwt 1.10.2 does not know it, nor does Jitsi's Lua. */
/* clang-format off */
static const struct token_algorithm algorithms[] = {
    {"HS256", JWT_ALG_HS256, TOKEN_HMAC, EVP_sha256, NULL, 0},
    {"HS384", JWT_ALG_HS384, TOKEN_HMAC, EVP_sha384, NULL, 0},
    {"HS512", JWT_ALG_HS512, TOKEN_HMAC, EVP_sha512, NULL, 0},
    {"RS256", JWT_ALG_RS256, TOKEN_RSA, EVP_sha256, NULL, 0},
    {"RS384", JWT_ALG_RS384, TOKEN_RSA, EVP_sha384, NULL, 0},
    {"RS512", JWT_ALG_RS512, TOKEN_RSA, EVP_sha512, NULL, 0},
    {"ES256", JWT_ALG_ES256, TOKEN_EC, EVP_sha256, SN_X9_62_prime256v1, 32},
    {"ES384", JWT_ALG_ES384, TOKEN_EC, EVP_sha384, SN_secp384r1, 48},
    {"ES512", JWT_ALG_ES512, TOKEN_EC, EVP_sha512, SN_secp521r1, 66},
};
/* clang-format on */

const struct token_algorithm *token_algorithm_find(const char *name)
{
    for (size_t i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++)
        if (strcmp(algorithms[i].name, name) == 0)
            return &algorithms[i];
    return NULL;
}

static enum token_signature check_hmac(const struct token_algorithm *algorithm,
                                       const struct token_text *text, const char *secret,
                                       size_t secret_len)
{
    const struct token_part *signature = &text->signature;
    unsigned char expected[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (!HMAC(algorithm->digest(), secret, (int)secret_len, (const unsigned char *)text->joined,
              text->signed_len, expected, &len))
        return TOKEN_SIGNATURE_FAILED;
    if (signature->len != len || CRYPTO_memcmp(signature->bytes, expected, len) != 0)
        return TOKEN_SIGNATURE_WRONG;
    return TOKEN_SIGNATURE_GOOD;
}

/* Odd, more than one and no longer than anybody has a reason for. */
static bool is_good_exponent(const EVP_PKEY *key)
{
    BIGNUM *exponent = NULL;
    bool is_good;

    if (!EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &exponent))
        return false;
    is_good =
        BN_is_odd(exponent) && !BN_is_one(exponent) && BN_num_bits(exponent) <= EXPONENT_BITS_MAX;
    BN_free(exponent);
    return is_good;
}

static bool is_good_rsa(const EVP_PKEY *key)
{
    int bits = EVP_PKEY_get_bits(key);

    return EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA && bits >= RSA_BITS_MIN &&
           bits <= RSA_BITS_MAX && is_good_exponent(key);
}

/* A curve given by its parameters and not by its name may have another generator (CVE-2020-0601).
 */
static bool is_good_ec(const EVP_PKEY *key, const char *curve)
{
    char name[64];
    int explicit_parameters = 1;

    return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
           EVP_PKEY_get_group_name(key, name, sizeof name, NULL) == 1 && strcmp(name, curve) == 0 &&
           EVP_PKEY_get_int_param(key, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS,
                                  &explicit_parameters) == 1 &&
           !explicit_parameters;
}

/* 1, 0, or less when it failed. */
static int verify(const struct token_algorithm *algorithm, EVP_PKEY *key,
                  const struct token_text *text, const unsigned char *signature, size_t len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *key_ctx = NULL;
    int result = -1;

    if (ctx && EVP_DigestVerifyInit(ctx, &key_ctx, algorithm->digest(), NULL, key) == 1 &&
        (algorithm->family != TOKEN_RSA ||
         EVP_PKEY_CTX_set_rsa_padding(key_ctx, RSA_PKCS1_PADDING) == 1))
        result = EVP_DigestVerify(ctx, signature, len, (const unsigned char *)text->joined,
                                  text->signed_len);
    EVP_MD_CTX_free(ctx);
    return result;
}

static enum token_signature check_rsa(const struct token_algorithm *algorithm,
                                      const struct token_text *text, EVP_PKEY *key)
{
    const struct token_part *signature = &text->signature;

    if (!is_good_rsa(key))
        return TOKEN_SIGNATURE_UNFIT_KEY;
    if (signature->len != (size_t)EVP_PKEY_get_size(key))
        return TOKEN_SIGNATURE_WRONG;
    return verify(algorithm, key, text, signature->bytes, signature->len) == 1
               ? TOKEN_SIGNATURE_GOOD
               : TOKEN_SIGNATURE_WRONG;
}

/* The two numbers one after the other (RFC 7518 section 3.4), as OpenSSL wants them. 0: no memory.
 */
static size_t put_der(unsigned char *ret, const unsigned char *bytes, size_t coordinate_len)
{
    ECDSA_SIG *numbers = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(bytes, (int)coordinate_len, NULL);
    BIGNUM *s = BN_bin2bn(bytes + coordinate_len, (int)coordinate_len, NULL);
    int len = 0;

    if (numbers && r && s && ECDSA_SIG_set0(numbers, r, s) == 1) {
        unsigned char *end = ret;

        r = s = NULL;
        if (i2d_ECDSA_SIG(numbers, NULL) <= DER_MAX)
            len = i2d_ECDSA_SIG(numbers, &end);
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(numbers);
    return len > 0 ? (size_t)len : 0;
}

static enum token_signature check_ec(const struct token_algorithm *algorithm,
                                     const struct token_text *text, EVP_PKEY *key)
{
    const struct token_part *signature = &text->signature;

    if (!is_good_ec(key, algorithm->curve))
        return TOKEN_SIGNATURE_UNFIT_KEY;
    if (signature->len == 2 * algorithm->coordinate_len) {
        unsigned char der[DER_MAX];
        size_t len = put_der(der, signature->bytes, algorithm->coordinate_len);

        if (len == 0)
            return TOKEN_SIGNATURE_FAILED;
        if (verify(algorithm, key, text, der, len) == 1)
            return TOKEN_SIGNATURE_GOOD;
    }
    /* A reader that hands it to OpenSSL as it came takes DER. */
    return verify(algorithm, key, text, signature->bytes, signature->len) == 1
               ? TOKEN_SIGNATURE_ODD
               : TOKEN_SIGNATURE_WRONG;
}

enum token_signature token_signature_check(const struct token_algorithm *algorithm,
                                           const struct token_text *text, const char *key,
                                           size_t key_len)
{
    enum token_signature result;
    EVP_PKEY *public_key;
    BIO *bio;

    if (key_len > INT_MAX)
        return TOKEN_SIGNATURE_FAILED;
    if (algorithm->family == TOKEN_HMAC)
        return check_hmac(algorithm, text, key, key_len);
    bio = BIO_new_mem_buf(key, (int)key_len);
    if (!bio)
        return TOKEN_SIGNATURE_FAILED;
    public_key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    BIO_free(bio);
    if (!public_key)
        return TOKEN_SIGNATURE_UNFIT_KEY;
    result = algorithm->family == TOKEN_RSA ? check_rsa(algorithm, text, public_key)
                                            : check_ec(algorithm, text, public_key);
    EVP_PKEY_free(public_key);
    return result;
}
