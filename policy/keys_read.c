/*
 * Reads public keys, each into the one form that is kept: a SubjectPublicKeyInfo in PEM.
 *
 * The one thing to know: one bad key must not cost the others, as all keys of a deployment stand in
 * one document, so a key is judged alone and passed over alone. Whether a key is fit for the
 * algorithm of the tokens is decided where a signature is checked (token_signature.c).
 */
#include "policy/keys_read.h"
#include "policy/keys.h"
#include "policy/token_text.h"

#include <jansson.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

/* A number of a JWK, decoded: the modulus of 16384 bits is the longest. */
#define NUMBER_MAX 2048
/* The point of P-521, uncompressed. */
#define POINT_MAX (1 + 2 * 66)

#define NO_MEMORY "out of memory"
#define PRIVATE "a private key, which should not be published"

/* Takes key, also on failure. */
static char *write_pem(EVP_PKEY *key, const char **ret_problem)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL, *bytes;

    *ret_problem = "";
    if (!bio) {
        *ret_problem = NO_MEMORY;
    } else if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA &&
               EVP_PKEY_get_base_id(key) != EVP_PKEY_EC) {
        *ret_problem = "a key that is neither RSA nor EC";
    } else if (PEM_write_bio_PUBKEY(bio, key) != 1) {
        *ret_problem = "a key that OpenSSL cannot write";
    } else {
        long len = BIO_get_mem_data(bio, &bytes);

        text = strndup(bytes, (size_t)len);
        if (!text)
            *ret_problem = NO_MEMORY;
    }
    BIO_free(bio);
    EVP_PKEY_free(key);
    return text;
}

/* PEM texts. */

/* What a block of that name holds, to its last byte. */
static EVP_PKEY *decode_block(const char *name, const unsigned char *bytes, long len)
{
    const unsigned char *at = bytes;
    EVP_PKEY *key = NULL;

    if (strcmp(name, PEM_STRING_PUBLIC) == 0) {
        key = d2i_PUBKEY(NULL, &at, len);
    } else if (strcmp(name, PEM_STRING_RSA_PUBLIC) == 0) {
        key = d2i_PublicKey(EVP_PKEY_RSA, NULL, &at, len);
    } else if (strcmp(name, PEM_STRING_X509) == 0) {
        X509 *certificate = d2i_X509(NULL, &at, len);

        /* Its dates and its issuer do not count: who publishes it vouches for it, as for Prosody.
         */
        key = X509_get_pubkey(certificate);
        X509_free(certificate);
    }
    if (key && at != bytes + len) {
        EVP_PKEY_free(key);
        return NULL;
    }
    return key;
}

static EVP_PKEY *read_block(const char *body, size_t len)
{
    BIO *bio = BIO_new_mem_buf(body, (int)len);
    char *name = NULL, *header = NULL;
    unsigned char *bytes = NULL;
    long bytes_len = 0;
    EVP_PKEY *key = NULL;

    if (bio && PEM_read_bio(bio, &name, &header, &bytes, &bytes_len) == 1 && header[0] == '\0')
        key = decode_block(name, bytes, bytes_len);
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(bytes);
    BIO_free(bio);
    return key;
}

/* Of two blocks another reader may take the other one. */
static bool has_one_block(const char *body, size_t len)
{
    static const char begin[] = "-----BEGIN ";
    const char *at = memmem(body, len, begin, sizeof begin - 1);

    if (!at)
        return false;
    at++;
    return !memmem(at, len - (size_t)(at - body), begin, sizeof begin - 1);
}

char *keys_read_pem(const char *body, size_t len, const char **ret_problem)
{
    static const char private_key[] = "PRIVATE KEY-----";
    EVP_PKEY *key;
    char *pem = NULL;

    ERR_set_mark();
    if (len > KEYS_BODY_MAX)
        *ret_problem = "a key that is too long";
    else if (memmem(body, len, private_key, sizeof private_key - 1))
        *ret_problem = PRIVATE;
    else if (!has_one_block(body, len))
        *ret_problem = "a text that is not one PEM block";
    else if (!(key = read_block(body, len)))
        *ret_problem = "a PEM block that is no public key or certificate";
    else
        pem = write_pem(key, ret_problem);
    ERR_pop_to_mark();
    return pem;
}

/* JWKs. */

/* A member of base64url, of at most NUMBER_MAX bytes. */
static bool read_number(const json_t *jwk, const char *member, unsigned char *ret, size_t *ret_len)
{
    const json_t *value = json_object_get(jwk, member);
    unsigned char bytes[NUMBER_MAX * 4 / 3 + 4];
    struct token_part part = {.bytes = bytes};
    bool is_plain = true;

    if (!json_is_string(value) || json_string_length(value) > sizeof bytes ||
        !token_part_decode(json_string_value(value), json_string_length(value), &part, &is_plain) ||
        part.len == 0 || part.len > NUMBER_MAX)
        return false;
    memcpy(ret, part.bytes, part.len);
    *ret_len = part.len;
    return true;
}

static EVP_PKEY *make_key(const char *kind, OSSL_PARAM *params)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, kind, NULL);
    EVP_PKEY *key = NULL;

    if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static EVP_PKEY *read_rsa(const json_t *jwk)
{
    unsigned char modulus[NUMBER_MAX], exponent[NUMBER_MAX];
    size_t modulus_len, exponent_len;
    OSSL_PARAM_BLD *builder = NULL;
    OSSL_PARAM *params = NULL;
    BIGNUM *n = NULL, *e = NULL;
    EVP_PKEY *key = NULL;

    if (!read_number(jwk, "n", modulus, &modulus_len) ||
        !read_number(jwk, "e", exponent, &exponent_len))
        return NULL;
    n = BN_bin2bn(modulus, (int)modulus_len, NULL);
    e = BN_bin2bn(exponent, (int)exponent_len, NULL);
    builder = OSSL_PARAM_BLD_new();
    if (n && e && builder && OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e) == 1) {
        params = OSSL_PARAM_BLD_to_param(builder);
        key = make_key("RSA", params);
    }
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(builder);
    BN_free(n);
    BN_free(e);
    return key;
}

static const struct curve {
    const char *jose, *openssl, *alg;
    size_t coordinate_len;
} curves[] = {
    {"P-256", SN_X9_62_prime256v1, "ES256", 32},
    {"P-384", SN_secp384r1, "ES384", 48},
    {"P-521", SN_secp521r1, "ES512", 66},
};

static bool has_text(const json_t *jwk, const char *member, const char *text)
{
    const char *value = json_string_value(json_object_get(jwk, member));

    return value && strcmp(value, text) == 0;
}

static const struct curve *curve_of(const json_t *jwk)
{
    for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++)
        if (has_text(jwk, "crv", curves[i].jose))
            return &curves[i];
    return NULL;
}

/* OpenSSL checks that the point is on the curve. */
static EVP_PKEY *read_ec(const json_t *jwk)
{
    const struct curve *curve = curve_of(jwk);
    unsigned char number[NUMBER_MAX], point[POINT_MAX] = {POINT_CONVERSION_UNCOMPRESSED};
    char group[32];
    size_t len;
    OSSL_PARAM params[3];

    if (!curve || !read_number(jwk, "x", number, &len) || len != curve->coordinate_len)
        return NULL;
    memcpy(point + 1, number, len);
    if (!read_number(jwk, "y", number, &len) || len != curve->coordinate_len)
        return NULL;
    memcpy(point + 1 + len, number, len);
    snprintf(group, sizeof group, "%s", curve->openssl);
    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0);
    params[1] = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * len);
    params[2] = OSSL_PARAM_construct_end();
    return make_key("EC", params);
}

/* Whether what the key says of its use (RFC 7517 sections 4.2 to 4.4) lets it verify tokens. */
static bool is_for_signatures(const json_t *jwk)
{
    const json_t *operations = json_object_get(jwk, "key_ops");
    const char *alg = json_string_value(json_object_get(jwk, "alg"));
    const json_t *one;
    bool verifies = false;
    size_t i;

    if (json_object_get(jwk, "use") && !has_text(jwk, "use", "sig"))
        return false;
    json_array_foreach(operations, i, one)
    {
        const char *operation = json_string_value(one);

        verifies = verifies || (operation && strcmp(operation, "verify") == 0);
    }
    if (operations && !verifies)
        return false;
    if (!json_object_get(jwk, "alg"))
        return true;
    if (!alg)
        return false;
    if (has_text(jwk, "kty", "RSA"))
        return strcmp(alg, "RS256") == 0 || strcmp(alg, "RS384") == 0 || strcmp(alg, "RS512") == 0;
    return curve_of(jwk) && strcmp(alg, curve_of(jwk)->alg) == 0;
}

static char *read_jwk(const json_t *jwk, const char **ret_problem)
{
    EVP_PKEY *key = NULL;

    if (!has_text(jwk, "kty", "RSA") && !has_text(jwk, "kty", "EC"))
        *ret_problem = "a key that is neither RSA nor EC";
    else if (json_object_get(jwk, "d"))
        *ret_problem = PRIVATE;
    else if (!is_for_signatures(jwk))
        *ret_problem = "a key for another use than these signatures";
    else if (!(key = has_text(jwk, "kty", "RSA") ? read_rsa(jwk) : read_ec(jwk)))
        *ret_problem = "a key with wrong numbers";
    return key ? write_pem(key, ret_problem) : NULL;
}

/* Documents. */

struct reading {
    struct key_list list;
    size_t max;
    const char *problem; /* the first */
    bool no_memory;
};

static void note(struct reading *reading, const char *problem)
{
    if (!reading->problem)
        reading->problem = problem;
}

/* Takes pem, also on failure. */
static void add(struct reading *reading, const char *kid, char *pem)
{
    struct key_named *item;

    for (size_t i = 0; i < reading->list.len; i++) {
        item = &reading->list.items[i];
        if (strcmp(item->kid, kid) != 0)
            continue;
        /* Which of two it is nobody can say, so it is none: an empty text keeps the place. */
        if (strcmp(item->pem, pem) != 0) {
            note(reading, "two keys with the same kid");
            item->pem[0] = '\0';
        }
        free(pem);
        return;
    }
    if (reading->list.len == reading->max) {
        note(reading, "more keys than are kept");
        free(pem);
        return;
    }
    item = &reading->list.items[reading->list.len];
    item->kid = strdup(kid);
    item->pem = pem;
    reading->list.len++;
    if (!item->kid) {
        reading->list.len--;
        free(pem);
        reading->no_memory = true;
    }
}

static void take(struct reading *reading, const char *kid, size_t kid_len, char *pem,
                 const char *problem)
{
    if (!pem && strcmp(problem, NO_MEMORY) == 0)
        reading->no_memory = true;
    if (!pem) {
        note(reading, problem);
    } else if (kid_len > KEYS_KID_MAX || strlen(kid) != kid_len) {
        note(reading, "a kid that is too long, or has a NUL in it");
        free(pem);
    } else {
        add(reading, kid, pem);
    }
}

static void read_jwks(struct reading *reading, const json_t *jwks)
{
    const json_t *jwk;
    size_t i;

    json_array_foreach(jwks, i, jwk)
    {
        const json_t *kid = json_object_get(jwk, "kid");
        const char *problem = "";

        if (!json_is_string(kid)) {
            note(reading, "a key without a kid");
            continue;
        }
        char *pem = read_jwk(jwk, &problem);
        take(reading, json_string_value(kid), json_string_length(kid), pem, problem);
    }
}

/* Both kinds may stand in one document, as for Prosody. */
static void read_members(struct reading *reading, json_t *document)
{
    const char *kid;
    json_t *value;

    json_object_foreach(document, kid, value)
    {
        const char *problem = "an entry that is no key";
        char *pem = NULL;

        if (strcmp(kid, "keys") == 0 && json_is_array(value)) {
            read_jwks(reading, value);
            continue;
        }
        if (json_is_string(value))
            pem = keys_read_pem(json_string_value(value), json_string_length(value), &problem);
        take(reading, kid, strlen(kid), pem, problem);
    }
}

/* Keys that two had are out. */
static void drop_ambiguous(struct key_list *list)
{
    size_t kept = 0;

    for (size_t i = 0; i < list->len; i++) {
        if (list->items[i].pem[0] != '\0') {
            list->items[kept++] = list->items[i];
            continue;
        }
        free(list->items[i].kid);
        free(list->items[i].pem);
    }
    list->len = kept;
}

enum keys_read_result keys_read_document(const char *body, size_t len, size_t max,
                                         struct key_list *ret, const char **ret_problem)
{
    struct reading reading = {.max = max};
    /* A NUL or a name twice in one entry must not lose the others; of two the last counts, as for
     * Prosody. */
    json_t *document = len > KEYS_BODY_MAX ? NULL : json_loadb(body, len, JSON_ALLOW_NUL, NULL);

    if (!json_is_object(document)) {
        json_decref(document);
        *ret_problem = "the document is not a JSON object";
        return KEYS_READ_NO_DOCUMENT;
    }
    reading.list.items = calloc(max, sizeof *reading.list.items);
    ERR_set_mark();
    if (reading.list.items)
        read_members(&reading, document);
    else
        reading.no_memory = true;
    ERR_pop_to_mark();
    json_decref(document);
    if (reading.no_memory) {
        key_list_done(&reading.list);
        *ret_problem = NO_MEMORY;
        return KEYS_READ_NO_MEMORY;
    }
    drop_ambiguous(&reading.list);
    if (reading.list.len == 0)
        note(&reading, "the document holds no key");
    *ret = reading.list;
    *ret_problem = reading.problem ? reading.problem : "";
    return KEYS_READ_OK;
}

void key_list_done(struct key_list *list)
{
    for (size_t i = 0; i < list->len; i++) {
        free(list->items[i].kid);
        free(list->items[i].pem);
    }
    free(list->items);
    *list = (struct key_list){0};
}
