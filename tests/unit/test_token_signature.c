/*
 * Tokens signed with public keys, and the known attacks on them. Every key is made here, and every
 * token, by OpenSSL; what is tried is the real token_verify with the real libjwt behind it.
 */
#include "policy/keys.h"
#include "policy/token.h"
#include "tests/unit/alloc.h"
#include "tests/unit/key_make.h"
#include "tests/unit/token_make.h"

#include <openssl/err.h>
#include <stdio.h>

/* Keys: which are published, under their names as kid, and which only an attacker has. */
enum key_id {
    RSA_KEY,
    RSA_ATTACKER,
    RSA_SHORT,
    RSA_THREE,
    RSA_ONE,
    P256,
    P256_ATTACKER,
    P384,
    P521,
    KEYS_LEN,
};

static EVP_PKEY *pairs[KEYS_LEN];
static struct keys *published;
static char *rsa_pem; /* as published */

static const struct {
    enum key_id id;
    const char *kid;
} kids[] = {
    {RSA_KEY, "rsa"}, {RSA_SHORT, "short"}, {RSA_THREE, "three"}, {RSA_ONE, "one"},
    {P256, "p256"},   {P384, "p384"},       {P521, "p521"},       {P256, ""},
};

static bool fetch_nothing(void *ctx, const char *url, bool is_first)
{
    return true;
}

static const struct keys_actions actions = {.fetch = fetch_nothing};

static int make_keys(void **state)
{
    json_t *document = json_object();
    const char *problem;
    char *text;

    pairs[RSA_KEY] = make_rsa("RSA", 2048, 0);
    pairs[RSA_ATTACKER] = make_rsa("RSA", 2048, 0);
    pairs[RSA_SHORT] = make_rsa("RSA", 1024, 0);
    pairs[RSA_THREE] = make_rsa("RSA", 2048, 3);
    pairs[RSA_ONE] = make_rsa_public(pairs[RSA_KEY], 1);
    pairs[P256] = make_ec("P-256");
    pairs[P256_ATTACKER] = make_ec("P-256");
    pairs[P384] = make_ec("P-384");
    pairs[P521] = make_ec("P-521");
    for (size_t i = 0; i < sizeof kids / sizeof kids[0]; i++) {
        char *pem = public_pem(pairs[kids[i].id]);

        json_object_set_new(document, kids[i].kid, json_string(pem));
        if (kids[i].id == RSA_KEY)
            rsa_pem = pem;
        else
            free(pem);
    }
    text = json_dumps(document, 0);
    published = keys_new(KEYS_DOCUMENT, "https://keys.example.com/", &actions, NULL);
    keys_tick(published, 0);
    keys_fetched(published, "https://keys.example.com/", 200, text, strlen(text), -1, 0, &problem);
    assert_string_equal(problem, "");
    free(text);
    json_decref(document);
    return 0;
}

static int free_keys(void **state)
{
    keys_free(published);
    free(rsa_pem);
    for (size_t i = 0; i < KEYS_LEN; i++)
        EVP_PKEY_free(pairs[i]);
    return 0;
}

/* Signatures. */

enum signer {
    PKCS1,
    PSS,
    JOSE, /* r and s one after the other */
    DER,
    JOSE_HIGH_S,
    ZEROS, /* of the length JOSE has */
    ORDER, /* r and s are the curve's order */
    HMAC_PEM,
    HMAC_PEM_CUT, /* without the line feed at its end */
    NOTHING,
    ONE_BYTE,
    PADDED_DIGEST, /* what an exponent of 1 leaves as it is */
    CUBE_ROOT,     /* of a block that begins well: for an exponent of 3 */
};

#define SIGNATURE_MAX 1024

static size_t sign_der(EVP_PKEY *key, const EVP_MD *digest, bool is_pss, const char *text,
                       size_t len, unsigned char *ret)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *key_ctx = NULL;
    size_t ret_len = SIGNATURE_MAX;

    assert_int_equal(EVP_DigestSignInit(ctx, &key_ctx, digest, NULL, key), 1);
    if (is_pss)
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(key_ctx, RSA_PKCS1_PSS_PADDING), 1);
    assert_int_equal(EVP_DigestSign(ctx, ret, &ret_len, (const unsigned char *)text, len), 1);
    EVP_MD_CTX_free(ctx);
    return ret_len;
}

static size_t coordinate_len(const EVP_PKEY *key)
{
    return ((size_t)EVP_PKEY_get_bits(key) + 7) / 8;
}

static void get_order(const EVP_PKEY *key, BIGNUM **ret)
{
    *ret = NULL;
    assert_int_equal(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_ORDER, ret), 1);
}

static size_t sign_jose(EVP_PKEY *key, const EVP_MD *digest, bool high_s, const char *text,
                        size_t len, unsigned char *ret)
{
    unsigned char der[SIGNATURE_MAX];
    const unsigned char *at = der;
    size_t der_len = sign_der(key, digest, false, text, len, der);
    ECDSA_SIG *numbers = d2i_ECDSA_SIG(NULL, &at, (long)der_len);
    int half = (int)coordinate_len(key);
    BIGNUM *order, *other = BN_new();

    get_order(key, &order);
    assert_int_equal(BN_sub(other, order, ECDSA_SIG_get0_s(numbers)), 1);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(numbers), ret, half), half);
    assert_int_equal(BN_bn2binpad(high_s ? other : ECDSA_SIG_get0_s(numbers), ret + half, half),
                     half);
    BN_free(order);
    BN_free(other);
    ECDSA_SIG_free(numbers);
    return 2 * (size_t)half;
}

static size_t put_orders(EVP_PKEY *key, unsigned char *ret)
{
    int half = (int)coordinate_len(key);
    BIGNUM *order;

    get_order(key, &order);
    BN_bn2binpad(order, ret, half);
    BN_bn2binpad(order, ret + half, half);
    BN_free(order);
    return 2 * (size_t)half;
}

/* RFC 8017 section 9.2, SHA-256, in 256 bytes; with padding_len bytes of 0xff, zeros behind. */
static void put_padded_digest(unsigned char *ret, size_t padding_len, const char *text, size_t len)
{
    static const unsigned char info[] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                         0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};

    memset(ret, 0, 256);
    ret[1] = 1;
    memset(ret + 2, 0xff, padding_len);
    memcpy(ret + 3 + padding_len, info, sizeof info);
    assert_int_equal(
        EVP_Digest(text, len, ret + 3 + padding_len + sizeof info, NULL, EVP_sha256(), NULL), 1);
}

/* The smallest number whose cube is that block or above: garbage stands where nobody may look
 * (Bleichenbacher, 2006). */
static size_t put_cube_root(unsigned char *ret, const char *text, size_t len)
{
    unsigned char block[256], cubed[256];
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *wanted, *root = BN_new(), *cube = BN_new();

    put_padded_digest(block, 8, text, len);
    wanted = BN_bin2bn(block, sizeof block, NULL);
    BN_zero(root);
    for (int bit = 690; bit >= 0; bit--) {
        BN_set_bit(root, bit);
        BN_sqr(cube, root, ctx);
        BN_mul(cube, cube, root, ctx);
        if (BN_cmp(cube, wanted) > 0)
            BN_clear_bit(root, bit);
    }
    BN_add_word(root, 1);
    BN_sqr(cube, root, ctx);
    BN_mul(cube, cube, root, ctx);
    assert_int_equal(BN_bn2binpad(cube, cubed, sizeof cubed), sizeof cubed);
    assert_memory_equal(cubed, block, 3 + 8 + 19 + 32); /* it is the forgery it should be */
    BN_bn2binpad(root, ret, 256);
    BN_free(wanted);
    BN_free(root);
    BN_free(cube);
    BN_CTX_free(ctx);
    return 256;
}

static size_t sign(enum signer signer, EVP_PKEY *key, const EVP_MD *digest, const char *text,
                   size_t len, unsigned char *ret)
{
    unsigned hmac_len = 0;

    switch (signer) {
    case PKCS1:
    case DER:
        return sign_der(key, digest, false, text, len, ret);
    case PSS:
        return sign_der(key, digest, true, text, len, ret);
    case JOSE:
    case JOSE_HIGH_S:
        return sign_jose(key, digest, signer == JOSE_HIGH_S, text, len, ret);
    case ZEROS:
        memset(ret, 0, 2 * coordinate_len(key));
        return 2 * coordinate_len(key);
    case ORDER:
        return put_orders(key, ret);
    case HMAC_PEM:
    case HMAC_PEM_CUT:
        HMAC(digest, rsa_pem, (int)strlen(rsa_pem) - (signer == HMAC_PEM_CUT),
             (const unsigned char *)text, len, ret, &hmac_len);
        return hmac_len;
    case NOTHING:
        return 0;
    case ONE_BYTE:
        ret[0] = 0;
        return 1;
    case PADDED_DIGEST:
        put_padded_digest(ret, 256 - 3 - 19 - 32, text, len);
        return 256;
    case CUBE_ROOT:
        return put_cube_root(ret, text, len);
    }
    return 0;
}

static char *make_signed(const char *header, const char *payload, enum signer signer, EVP_PKEY *key,
                         const EVP_MD *digest)
{
    static char text[8192];
    unsigned char signature[SIGNATURE_MAX];
    char *at = put_base64url(text, header, strlen(header));
    size_t signature_len;

    *at++ = '.';
    at = put_base64url(at, payload, strlen(payload));
    signature_len = sign(signer, key, digest, text, (size_t)(at - text), signature);
    *at++ = '.';
    put_base64url(at, signature, signature_len);
    return text;
}

static struct token_rules rules_for(const char *algorithm)
{
    struct token_rules rules = default_rules();

    rules.algorithm = algorithm;
    return rules;
}

static void expect(const char *name, const struct token_rules *rules, const char *text,
                   enum token_status status, const char *reason, const char *awaited_kid)
{
    struct token token;

    token_verify(text, strlen(text), rules, published, NOW, &token);
    if (token.status != status || strcmp(token.reason, reason) != 0)
        fail_msg("%s: got %d, \"%s\"", name, token.status, token.reason);
    if (!token.awaited_kid != !awaited_kid ||
        (awaited_kid && strcmp(token.awaited_kid, awaited_kid) != 0))
        fail_msg("%s: awaits %s", name, token.awaited_kid ? token.awaited_kid : "nothing");
    token_done(&token);
}

#define H(alg, kid) "{\"alg\":\"" alg "\",\"typ\":\"JWT\",\"kid\":\"" kid "\"}"
#define WRONG_ALG "the header's alg is not the configured one"
#define WRONG_SIGNATURE "the signature is wrong"
#define UNFIT "the public key does not fit the algorithm, or is weak"
#define ODD "the signature is written in an unusual way"
#define NOT_THREE "the token has not three parts"
#define UNKNOWN "the public key is not known"

/* clang-format off */
static const struct {
    const char *name, *configured, *header;
    enum signer signer;
    enum key_id key;
    const EVP_MD *(*digest)(void);
    enum token_status status;
    const char *reason;
} tokens[] = {
    {"RS256", "RS256", H("RS256", "rsa"), PKCS1, RSA_KEY, EVP_sha256, TOKEN_VALID, ""},
    {"RS384", "RS384", H("RS384", "rsa"), PKCS1, RSA_KEY, EVP_sha384, TOKEN_VALID, ""},
    {"RS512", "RS512", H("RS512", "rsa"), PKCS1, RSA_KEY, EVP_sha512, TOKEN_VALID, ""},
    {"ES256", "ES256", H("ES256", "p256"), JOSE, P256, EVP_sha256, TOKEN_VALID, ""},
    {"ES384", "ES384", H("ES384", "p384"), JOSE, P384, EVP_sha384, TOKEN_VALID, ""},
    {"ES512", "ES512", H("ES512", "p521"), JOSE, P521, EVP_sha512, TOKEN_VALID, ""},
    {"an exponent of 3", "RS256", H("RS256", "three"), PKCS1, RSA_THREE, EVP_sha256, TOKEN_VALID, ""},
    {"an empty kid is one", "ES256", H("ES256", ""), JOSE, P256, EVP_sha256, TOKEN_VALID, ""},
    /* (r, -s) is as good as (r, s); the token says the same. */
    {"the other s", "ES256", H("ES256", "p256"), JOSE_HIGH_S, P256, EVP_sha256, TOKEN_VALID, ""},

    {"none", "RS256", H("none", "rsa"), ONE_BYTE, RSA_KEY, EVP_sha256, TOKEN_REFUSED, WRONG_ALG},
    {"None", "RS256", H("None", "rsa"), ONE_BYTE, RSA_KEY, EVP_sha256, TOKEN_REFUSED, WRONG_ALG},
    {"NONE", "RS256", H("NONE", "rsa"), ONE_BYTE, RSA_KEY, EVP_sha256, TOKEN_REFUSED, WRONG_ALG},
    {"nOnE", "ES256", H("nOnE", "p256"), ONE_BYTE, P256, EVP_sha256, TOKEN_REFUSED, WRONG_ALG},
    {"none, well signed", "RS256", H("none", "rsa"), PKCS1, RSA_KEY, EVP_sha256, TOKEN_REFUSED,
     WRONG_ALG},
    {"none, no signature", "RS256", H("none", "rsa"), NOTHING, RSA_KEY, EVP_sha256, TOKEN_REFUSED,
     NOT_THREE},
    {"signature stripped, RSA", "RS256", H("RS256", "rsa"), NOTHING, RSA_KEY, EVP_sha256,
     TOKEN_REFUSED, NOT_THREE},
    {"signature stripped, EC", "ES256", H("ES256", "p256"), NOTHING, P256, EVP_sha256,
     TOKEN_REFUSED, NOT_THREE},
    {"alg in lower case", "RS256", H("rs256", "rsa"), PKCS1, RSA_KEY, EVP_sha256, TOKEN_REFUSED,
     WRONG_ALG},

    {"public key as a secret", "RS256", H("HS256", "rsa"), HMAC_PEM, RSA_KEY, EVP_sha256,
     TOKEN_REFUSED, WRONG_ALG},
    {"public key as a secret, no line feed", "RS256", H("HS256", "rsa"), HMAC_PEM_CUT, RSA_KEY,
     EVP_sha256, TOKEN_REFUSED, WRONG_ALG},
    {"public key as a secret, alg RS256", "RS256", H("RS256", "rsa"), HMAC_PEM, RSA_KEY, EVP_sha256,
     TOKEN_REFUSED, WRONG_SIGNATURE},
    {"public key as a secret where HS256 is right", "HS256", H("HS256", "rsa"), HMAC_PEM, RSA_KEY,
     EVP_sha256, TOKEN_REFUSED, WRONG_SIGNATURE},
    {"the same, no line feed", "HS256", H("HS256", "rsa"), HMAC_PEM_CUT, RSA_KEY, EVP_sha256,
     TOKEN_REFUSED, WRONG_SIGNATURE},
    {"a public key's token where HS256 is right", "HS256", H("RS256", "rsa"), PKCS1, RSA_KEY,
     EVP_sha256, TOKEN_REFUSED, WRONG_ALG},

    {"RS512 to RS256", "RS512", H("RS256", "rsa"), PKCS1, RSA_KEY, EVP_sha256, TOKEN_REFUSED,
     WRONG_ALG},
    {"RS256 to RS512", "RS256", H("RS512", "rsa"), PKCS1, RSA_KEY, EVP_sha512, TOKEN_REFUSED,
     WRONG_ALG},
    {"another digest than alg says", "RS512", H("RS512", "rsa"), PKCS1, RSA_KEY, EVP_sha256,
     TOKEN_REFUSED, WRONG_SIGNATURE},
    {"a weak digest", "RS256", H("RS256", "rsa"), PKCS1, RSA_KEY, EVP_sha1, TOKEN_REFUSED,
     WRONG_SIGNATURE},
    {"ES384 to ES256", "ES384", H("ES256", "p256"), JOSE, P256, EVP_sha256, TOKEN_REFUSED,
     WRONG_ALG},
    {"ES384 by P-256", "ES384", H("ES384", "p256"), JOSE, P256, EVP_sha384, TOKEN_UNJUDGED, UNFIT},
    {"ES256 by P-384", "ES256", H("ES256", "p384"), JOSE, P384, EVP_sha256, TOKEN_UNJUDGED, UNFIT},
    {"RS256 to PS256", "RS256", H("PS256", "rsa"), PSS, RSA_KEY, EVP_sha256, TOKEN_REFUSED,
     WRONG_ALG},
    {"PSS said to be RS256", "RS256", H("RS256", "rsa"), PSS, RSA_KEY, EVP_sha256, TOKEN_REFUSED,
     WRONG_SIGNATURE},
    {"PS256 configured", "PS256", H("PS256", "rsa"), PSS, RSA_KEY, EVP_sha256, TOKEN_UNJUDGED,
     "the configured algorithm is not known"},
    {"RS256 to ES256", "RS256", H("ES256", "p256"), JOSE, P256, EVP_sha256, TOKEN_REFUSED,
     WRONG_ALG},
    {"RS256 by an EC key", "RS256", H("RS256", "p256"), DER, P256, EVP_sha256, TOKEN_UNJUDGED,
     UNFIT},
    {"ES256 by an RSA key", "ES256", H("ES256", "rsa"), PKCS1, RSA_KEY, EVP_sha256, TOKEN_UNJUDGED,
     UNFIT},

    {"another RSA key", "RS256", H("RS256", "rsa"), PKCS1, RSA_ATTACKER, EVP_sha256, TOKEN_REFUSED,
     WRONG_SIGNATURE},
    {"another EC key", "ES256", H("ES256", "p256"), JOSE, P256_ATTACKER, EVP_sha256, TOKEN_REFUSED,
     WRONG_SIGNATURE},
    {"another kid's key", "RS256", H("RS256", "three"), PKCS1, RSA_KEY, EVP_sha256, TOKEN_REFUSED,
     WRONG_SIGNATURE},
    {"1024 bits", "RS256", H("RS256", "short"), PKCS1, RSA_SHORT, EVP_sha256, TOKEN_UNJUDGED, UNFIT},
    {"an exponent of 1: everybody signs", "RS256", H("RS256", "one"), PADDED_DIGEST, RSA_KEY,
     EVP_sha256, TOKEN_UNJUDGED, UNFIT},
    {"a padded digest for a signature", "RS256", H("RS256", "rsa"), PADDED_DIGEST, RSA_KEY,
     EVP_sha256, TOKEN_REFUSED, WRONG_SIGNATURE},
    {"an exponent of 3: a cube root", "RS256", H("RS256", "three"), CUBE_ROOT, RSA_THREE,
     EVP_sha256, TOKEN_REFUSED, WRONG_SIGNATURE},

    {"r and s are zero, ES256", "ES256", H("ES256", "p256"), ZEROS, P256, EVP_sha256, TOKEN_REFUSED,
     WRONG_SIGNATURE},
    {"r and s are zero, ES384", "ES384", H("ES384", "p384"), ZEROS, P384, EVP_sha384, TOKEN_REFUSED,
     WRONG_SIGNATURE},
    {"r and s are zero, ES512", "ES512", H("ES512", "p521"), ZEROS, P521, EVP_sha512, TOKEN_REFUSED,
     WRONG_SIGNATURE},
    {"r and s are the order", "ES256", H("ES256", "p256"), ORDER, P256, EVP_sha256, TOKEN_REFUSED,
     WRONG_SIGNATURE},
    {"one byte for r and s", "ES256", H("ES256", "p256"), ONE_BYTE, P256, EVP_sha256, TOKEN_REFUSED,
     WRONG_SIGNATURE},
    {"DER", "ES256", H("ES256", "p256"), DER, P256, EVP_sha256, TOKEN_UNJUDGED, ODD},
    {"DER of another key", "ES256", H("ES256", "p256"), DER, P256_ATTACKER, EVP_sha256,
     TOKEN_REFUSED, WRONG_SIGNATURE},
};
/* clang-format on */

static void checks_signatures(void **state)
{
    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
        struct token_rules rules = rules_for(tokens[i].configured);

        expect(tokens[i].name, &rules,
               make_signed(tokens[i].header, GOOD, tokens[i].signer, pairs[tokens[i].key],
                           tokens[i].digest()),
               tokens[i].status, tokens[i].reason, NULL);
    }
}

/* Headers, each well signed by RS256. */

#define ALG "\"alg\":\"RS256\",\"typ\":\"JWT\""
#define TWO_WAYS "the header can be read in more than one way"
#define NO_STRING "kid is not a string"
#define KID_64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define KID_256 KID_64 KID_64 KID_64 KID_64

static const struct {
    const char *name, *header;
    enum token_status status;
    const char *reason, *awaited_kid;
} headers[] = {
    {"kid missing", "{" ALG "}", TOKEN_REFUSED, "the header names no key: kid is missing", NULL},
    {"kid null", "{" ALG ",\"kid\":null}", TOKEN_UNJUDGED, NO_STRING, NULL},
    {"kid a number", "{" ALG ",\"kid\":1}", TOKEN_UNJUDGED, NO_STRING, NULL},
    {"kid an array", "{" ALG ",\"kid\":[\"rsa\"]}", TOKEN_UNJUDGED, NO_STRING, NULL},
    {"kid an object", "{" ALG ",\"kid\":{\"rsa\":1}}", TOKEN_UNJUDGED, NO_STRING, NULL},
    {"kid twice", "{" ALG ",\"kid\":\"one\",\"kid\":\"rsa\"}", TOKEN_UNJUDGED, TWO_WAYS, NULL},
    {"kid with a NUL", "{" ALG ",\"kid\":\"rsa\\u0000\"}", TOKEN_UNJUDGED, TWO_WAYS, NULL},
    {"kid in capitals", H("RS256", "RSA"), TOKEN_UNJUDGED, UNKNOWN, "RSA"},
    {"kid with a space", H("RS256", "rsa "), TOKEN_UNJUDGED, UNKNOWN, "rsa "},
    {"kid a path", H("RS256", "../../../../dev/null"), TOKEN_UNJUDGED, UNKNOWN,
     "../../../../dev/null"},
    {"kid an absolute path", H("RS256", "/proc/sys/kernel/randomize_va_space"), TOKEN_UNJUDGED,
     UNKNOWN, "/proc/sys/kernel/randomize_va_space"},
    {"kid a URL", H("RS256", "https://attacker.example/key"), TOKEN_UNJUDGED, UNKNOWN,
     "https://attacker.example/key"},
    {"kid SQL", H("RS256", "x' UNION SELECT 'rsa' --"), TOKEN_UNJUDGED, UNKNOWN,
     "x' UNION SELECT 'rsa' --"},
    {"kid a command", H("RS256", "rsa|id"), TOKEN_UNJUDGED, UNKNOWN, "rsa|id"},
    {"kid as long as can be", H("RS256", KID_256), TOKEN_UNJUDGED, UNKNOWN, KID_256},
    {"kid too long", H("RS256", KID_256 "x"), TOKEN_UNJUDGED, "kid is too long", NULL},
    {"kid escaped", "{" ALG ",\"kid\":\"\\u0072sa\"}", TOKEN_VALID, "", NULL},

    {"jku beside", "{" ALG ",\"kid\":\"rsa\",\"jku\":\"https://attacker.example/\"}", TOKEN_VALID,
     "", NULL},
    {"crit", "{" ALG ",\"kid\":\"rsa\",\"crit\":[\"exp\"],\"exp\":1}", TOKEN_UNJUDGED,
     "the header has crit", NULL},
    {"crit b64", "{" ALG ",\"kid\":\"rsa\",\"crit\":[\"b64\"],\"b64\":false}", TOKEN_UNJUDGED,
     "the header has crit", NULL},
    {"crit empty", "{" ALG ",\"kid\":\"rsa\",\"crit\":[]}", TOKEN_UNJUDGED, "the header has crit",
     NULL},

    {"typ missing", "{\"alg\":\"RS256\",\"kid\":\"rsa\"}", TOKEN_REFUSED,
     "the header's typ is not JWT", NULL},
    {"alg missing", "{\"typ\":\"JWT\",\"kid\":\"rsa\"}", TOKEN_REFUSED, WRONG_ALG, NULL},
    {"alg twice", "{\"alg\":\"none\"," ALG ",\"kid\":\"rsa\"}", TOKEN_UNJUDGED, TWO_WAYS, NULL},
    {"an array", "[\"RS256\"]", TOKEN_REFUSED, "the header's typ is not JWT", NULL},
    {"no JSON", "RS256", TOKEN_REFUSED, "the header is not a JSON object", NULL},
    {"text behind", H("RS256", "rsa") "x", TOKEN_UNJUDGED, TWO_WAYS, NULL},
};

static void reads_headers(void **state)
{
    struct token_rules rules = rules_for("RS256");

    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++)
        expect(headers[i].name, &rules,
               make_signed(headers[i].header, GOOD, PKCS1, pairs[RSA_KEY], EVP_sha256()),
               headers[i].status, headers[i].reason, headers[i].awaited_kid);
}

/* An attacker's own key in the header, where some libraries take it from. */
static void ignores_keys_in_the_token(void **state)
{
    static const char *const members[] = {"jwk", "x5c", "jku", "x5u", "x5t", "key"};
    struct token_rules rules = rules_for("RS256");
    char *pem = public_pem(pairs[RSA_ATTACKER]);

    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        for (int named = 0; named < 2; named++) {
            json_t *header =
                json_pack("{s:s,s:s,s:s}", "alg", "RS256", "typ", "JWT", members[i], pem);
            char *text;

            if (named)
                json_object_set_new(header, "kid", json_string("rsa"));
            text = json_dumps(header, 0);
            expect(members[i], &rules,
                   make_signed(text, GOOD, PKCS1, pairs[RSA_ATTACKER], EVP_sha256()), TOKEN_REFUSED,
                   named ? WRONG_SIGNATURE : "the header names no key: kid is missing", NULL);
            free(text);
            json_decref(header);
        }
    }
    free(pem);
}

/* Payloads and texts, well signed: the same checks as with a secret. */

static const struct {
    const char *name, *payload, *reason;
} payloads[] = {
    {"expired", WITH("\"exp\":1700000000"), "the token has expired"},
    {"not yet valid", WITH("\"nbf\":1700000001"), "the token is not valid yet"},
    {"other audience", "{" CLAIMS_BUT_AUD ",\"aud\":\"elsewhere\"}", "aud is not an accepted one"},
    {"no audience", "{" CLAIMS_BUT_AUD "}", "aud is missing"},
    {"other issuer", "{\"iss\":\"other\",\"aud\":\"jitsi\",\"sub\":\"s\",\"room\":\"r\"}",
     "iss is not an accepted one"},
    {"no room", "{\"iss\":\"app\",\"aud\":\"jitsi\",\"sub\":\"s\"}", "room is missing"},
    {"no sub", "{\"iss\":\"app\",\"aud\":\"jitsi\",\"room\":\"r\"}", "sub is missing"},
};

static void reads_payloads(void **state)
{
    struct token_rules rules = rules_for("RS256");
    struct token_rules ec_rules = rules_for("ES256");

    for (size_t i = 0; i < sizeof payloads / sizeof payloads[0]; i++) {
        expect(payloads[i].name, &rules,
               make_signed(H("RS256", "rsa"), payloads[i].payload, PKCS1, pairs[RSA_KEY],
                           EVP_sha256()),
               TOKEN_REFUSED, payloads[i].reason, NULL);
        expect(
            payloads[i].name, &ec_rules,
            make_signed(H("ES256", "p256"), payloads[i].payload, JOSE, pairs[P256], EVP_sha256()),
            TOKEN_REFUSED, payloads[i].reason, NULL);
    }
}

static void reads_odd_texts(void **state)
{
    static const char *const endings[] = {"=", ".", "\\", " ", "\n"};
    struct token_rules rules = rules_for("RS256");
    const char *good = make_signed(H("RS256", "rsa"), GOOD, PKCS1, pairs[RSA_KEY], EVP_sha256());
    char text[8192];

    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        snprintf(text, sizeof text, "%s%s", good, endings[i]);
        expect("an ending", &rules, text, TOKEN_UNJUDGED, "the token is written in an unusual way",
               NULL);
    }
    snprintf(text, sizeof text, "%s.AAAA", good);
    expect("four parts", &rules, text, TOKEN_REFUSED, NOT_THREE, NULL);
    snprintf(text, sizeof text, "%s", good);
    strchr(text, '.')[5] ^= 1;
    expect("a changed payload", &rules, text, TOKEN_REFUSED, WRONG_SIGNATURE, NULL);
    snprintf(text, sizeof text, "%.*sAA%s", (int)(strrchr(good, '.') - good) + 1, good,
             strrchr(good, '.') + 1);
    expect("a longer signature", &rules, text, TOKEN_REFUSED, WRONG_SIGNATURE, NULL);
}

/* The configured algorithm says what is looked at, and nothing else is. */
static void keeps_secret_and_keys_apart(void **state)
{
    struct token_rules rules = rules_for("RS256");
    const char *text;
    struct token token;

    rules.secret = NULL;
    rules.secret_len = 0;
    expect("no secret", &rules,
           make_signed(H("RS256", "rsa"), GOOD, PKCS1, pairs[RSA_KEY], EVP_sha256()), TOKEN_VALID,
           "", NULL);
    rules.secret = rsa_pem;
    rules.secret_len = strlen(rsa_pem);
    expect("a public key for a secret, RS256", &rules,
           make_signed(H("HS256", "rsa"), GOOD, HMAC_PEM, NULL, EVP_sha256()), TOKEN_REFUSED,
           WRONG_ALG, NULL);
    text = make_signed(H("RS256", "rsa"), GOOD, PKCS1, pairs[RSA_KEY], EVP_sha256());
    token_verify(text, strlen(text), &rules, NULL, NOW, &token);
    assert_int_equal(token.status, TOKEN_UNJUDGED);
    assert_string_equal(token.reason, "there is no key to verify the token with");
    token_done(&token);
}

static void covers_its_room_only(void **state)
{
    static const struct muc_room mine = {
        .jid = "room@conference.meet.example.com", .node = "room", .tenant = "", .nick = ""};
    static const struct muc_room other = {
        .jid = "other@conference.meet.example.com", .node = "other", .tenant = "", .nick = ""};
    static const struct muc_room tenant = {
        .jid = "[acme]room@conference.meet.example.com", .node = "room", .tenant = "acme"};
    struct token_rules rules = rules_for("ES384");
    const char *text = make_signed(H("ES384", "p384"), GOOD, JOSE, pairs[P384], EVP_sha384());
    struct token token;

    token_verify(text, strlen(text), &rules, published, NOW, &token);
    assert_int_equal(token.status, TOKEN_VALID);
    assert_int_equal(token_covers_room(&token, &rules, &mine), TOKEN_COVERS);
    assert_int_equal(token_covers_room(&token, &rules, &other), TOKEN_OTHER_ROOM);
    assert_int_equal(token_covers_room(&token, &rules, &tenant), TOKEN_OTHER_ROOM);
    token_done(&token);
}

/* Nothing is left for whoever asks OpenSSL next what went wrong: a TLS connection does. */
static void leaves_no_errors(void **state)
{
    struct token_rules rules = rules_for("RS256");

    ERR_clear_error();
    expect("wrong", &rules, make_signed(H("RS256", "rsa"), GOOD, CUBE_ROOT, NULL, EVP_sha256()),
           TOKEN_REFUSED, WRONG_SIGNATURE, NULL);
    assert_int_equal(ERR_peek_error(), 0);
}

static void survives_lack_of_memory(void **state)
{
    static const struct {
        const char *header;
        enum token_status status;
    } cases[] = {{H("RS256", "rsa"), TOKEN_VALID}, {H("RS256", "new"), TOKEN_UNJUDGED}};
    struct token_rules rules = rules_for("RS256");

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *text = make_signed(cases[i].header, GOOD, PKCS1, pairs[RSA_KEY], EVP_sha256());
        long n = 0;

        for (bool hit = true; hit; n++) {
            struct token token;

            alloc_track_on();
            alloc_fail_after(n);
            token_verify(text, strlen(text), &rules, published, NOW, &token);
            hit = alloc_failed();
            alloc_fail_off();
            assert_int_equal(token.status, hit ? TOKEN_UNJUDGED : cases[i].status);
            if (hit)
                assert_string_equal(token.reason, "out of memory");
            token_done(&token);
            assert_int_equal(alloc_live(), 0);
            alloc_track_off();
        }
        assert_true(n > 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checks_signatures),         cmocka_unit_test(reads_headers),
        cmocka_unit_test(ignores_keys_in_the_token), cmocka_unit_test(reads_payloads),
        cmocka_unit_test(reads_odd_texts),           cmocka_unit_test(keeps_secret_and_keys_apart),
        cmocka_unit_test(covers_its_room_only),      cmocka_unit_test(leaves_no_errors),
        cmocka_unit_test(survives_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
