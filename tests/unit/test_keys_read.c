/*
 * keys_read.c: what counts as a public key, in the texts of a key server and in documents.
 */
#include "tests/unit/key_make.h"
#include "tests/unit/keys_script.h"

#include <openssl/err.h>
#include <openssl/x509.h>

static char *pem_a, *pem_b, *pem_ec;

static int make_keys(void **state)
{
    EVP_PKEY *a = make_rsa("RSA", 2048, 0), *b = make_rsa("RSA", 2048, 0), *ec = make_ec("P-256");

    pem_a = public_pem(a);
    pem_b = public_pem(b);
    pem_ec = public_pem(ec);
    EVP_PKEY_free(a);
    EVP_PKEY_free(b);
    EVP_PKEY_free(ec);
    return 0;
}

static int free_keys(void **state)
{
    free(pem_a);
    free(pem_b);
    free(pem_ec);
    return 0;
}

/* PEM texts, as a key server has them. */

static char *certificate_pem(EVP_PKEY *key)
{
    X509 *certificate = X509_new();
    BIO *bio = BIO_new(BIO_s_mem());

    X509_gmtime_adj(X509_getm_notBefore(certificate), -7200);
    X509_gmtime_adj(X509_getm_notAfter(certificate), -3600); /* over; that does not count */
    X509_set_pubkey(certificate, key);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    assert_int_equal(PEM_write_bio_X509(bio, certificate), 1);
    X509_free(certificate);
    return bio_text(bio);
}

static char *private_pem(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());

    assert_int_equal(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    return bio_text(bio);
}

static char *pkcs1_pem(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    unsigned char *der = NULL;
    int len = i2d_PublicKey(key, &der);

    assert_true(len > 0);
    assert_true(PEM_write_bio(bio, "RSA PUBLIC KEY", "", der, len) > 0);
    OPENSSL_free(der);
    return bio_text(bio);
}

static char *joined(const char *one, const char *two)
{
    char *text = malloc(strlen(one) + strlen(two) + 1);

    strcpy(text, one);
    return strcat(text, two);
}

static void expect_pem(const char *name, char *body, const char *pem, const char *problem)
{
    struct fetcher fetcher = {0};
    struct keys *keys = keys_new(KEYS_SERVER, SERVER, &actions, &fetcher);
    const char *got, *found;

    assert_true(keys_want(keys, "k", &stranger, 0));
    got = answer(keys, url_of(SERVER, "k"), 200, body, -1, 0);
    found = keys_find(keys, "k");
    if (strcmp(got, problem) != 0 || !found != !pem || (pem && strcmp(found, pem) != 0))
        fail_msg("%s: got \"%s\", %s", name, got, found ? found : "no key");
    free(body);
    keys_free(keys);
}

#define NO_BLOCK "a text that is not one PEM block"
#define NO_KEY "a PEM block that is no public key or certificate"
#define PRIVATE "a private key, which should not be published"

static void reads_pem(void **state)
{
    EVP_PKEY *rsa = make_rsa("RSA", 2048, 0), *ec = make_ec("P-384");
    EVP_PKEY *pss = make_rsa("RSA-PSS", 2048, 0);
    EVP_PKEY *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    char *rsa_pem = public_pem(rsa), *ec_pem = public_pem(ec), *private_text = private_pem(rsa);
    char *cut = strdup(rsa_pem);

    expect_pem("public key", strdup(rsa_pem), rsa_pem, "");
    expect_pem("public key, EC", strdup(ec_pem), ec_pem, "");
    expect_pem("text in front", joined("a key:\n", rsa_pem), rsa_pem, "");
    expect_pem("certificate", certificate_pem(rsa), rsa_pem, "");
    expect_pem("certificate, EC", certificate_pem(ec), ec_pem, "");
    expect_pem("PKCS #1", pkcs1_pem(rsa), rsa_pem, "");
    expect_pem("empty", strdup(""), NULL, NO_BLOCK);
    expect_pem("HTML", strdup("<html>not found</html>"), NULL, NO_BLOCK);
    expect_pem("two", joined(rsa_pem, ec_pem), NULL, NO_BLOCK);
    expect_pem("private", strdup(private_text), NULL, PRIVATE);
    expect_pem("private too", joined(rsa_pem, private_text), NULL, PRIVATE);
    expect_pem("RSA-PSS", public_pem(pss), NULL, "a key that is neither RSA nor EC");
    expect_pem("Ed25519", public_pem(ed), NULL, "a key that is neither RSA nor EC");
    cut[strlen(cut) / 2] = '\0';
    expect_pem("cut off", cut, NULL, NO_KEY);
    expect_pem("other block", strdup("-----BEGIN X-----\nAAAA\n-----END X-----\n"), NULL, NO_KEY);
    expect_pem("other bytes",
               strdup("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"), NULL,
               NO_KEY);
    assert_int_equal(ERR_peek_error(), 0);
    free(rsa_pem);
    free(ec_pem);
    free(private_text);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(pss);
    EVP_PKEY_free(ed);
}

/* Documents. */

static char *base64url(const unsigned char *bytes, size_t len)
{
    char *text = malloc(len * 4 / 3 + 5);
    int written = EVP_EncodeBlock((unsigned char *)text, bytes, (int)len);

    while (written > 0 && text[written - 1] == '=')
        written--;
    text[written] = '\0';
    for (char *at = text; *at; at++)
        *at = *at == '+' ? '-' : *at == '/' ? '_' : *at;
    return text;
}

static void set_number(json_t *jwk, const char *member, const EVP_PKEY *key, const char *param,
                       int len)
{
    BIGNUM *number = NULL;
    unsigned char bytes[1024];
    char *text;

    assert_int_equal(EVP_PKEY_get_bn_param(key, param, &number), 1);
    if (len == 0)
        len = BN_num_bytes(number);
    assert_int_equal(BN_bn2binpad(number, bytes, len), len);
    text = base64url(bytes, (size_t)len);
    json_object_set_new(jwk, member, json_string(text));
    free(text);
    BN_free(number);
}

static json_t *rsa_jwk(const EVP_PKEY *key, const char *kid)
{
    json_t *jwk = json_pack("{s:s,s:s}", "kty", "RSA", "kid", kid);

    set_number(jwk, "n", key, OSSL_PKEY_PARAM_RSA_N, 0);
    set_number(jwk, "e", key, OSSL_PKEY_PARAM_RSA_E, 0);
    return jwk;
}

static json_t *ec_jwk(const EVP_PKEY *key, const char *kid, const char *curve)
{
    json_t *jwk = json_pack("{s:s,s:s,s:s}", "kty", "EC", "kid", kid, "crv", curve);
    int len = (EVP_PKEY_get_bits(key) + 7) / 8;

    set_number(jwk, "x", key, OSSL_PKEY_PARAM_EC_PUB_X, len);
    set_number(jwk, "y", key, OSSL_PKEY_PARAM_EC_PUB_Y, len);
    return jwk;
}

/* Takes document. */
static struct keys *keys_of(json_t *document, const char **ret_problem)
{
    static struct fetcher fetcher;
    struct keys *keys = keys_new(KEYS_DOCUMENT, DOCUMENT, &actions, &fetcher);
    char *text = json_dumps(document, JSON_ENCODE_ANY);

    keys_tick(keys, 0);
    *ret_problem = answer(keys, DOCUMENT, 200, text, -1, 0);
    free(text);
    json_decref(document);
    return keys;
}

/* One entry beside a good one, which must not be lost by it. Takes entry. */
static void expect_jwk(const char *name, json_t *entry, const char *pem, const char *problem)
{
    json_t *jwks = json_array();
    const char *got, *found;
    struct keys *keys;
    EVP_PKEY *good = make_ec("P-256");
    char *good_pem = public_pem(good);

    json_array_append_new(jwks, entry);
    json_array_append_new(jwks, ec_jwk(good, "good", "P-256"));
    keys = keys_of(json_pack("{s:o}", "keys", jwks), &got);
    found = keys_find(keys, "k");
    if (strcmp(got, problem) != 0 || !found != !pem || (pem && strcmp(found, pem) != 0))
        fail_msg("%s: got \"%s\", %s", name, got, found ? found : "no key");
    assert_non_null(keys_find(keys, "good"));
    assert_string_equal(keys_find(keys, "good"), good_pem);
    free(good_pem);
    EVP_PKEY_free(good);
    keys_free(keys);
}

static json_t *with(json_t *jwk, const char *member, json_t *value)
{
    json_object_set_new(jwk, member, value);
    return jwk;
}

#define OTHER_USE "a key for another use than these signatures"
#define NUMBERS "a key with wrong numbers"
#define NO_KID "a key without a kid"
#define NEITHER "a key that is neither RSA nor EC"

static void reads_jwks(void **state)
{
    static const struct {
        const char *openssl, *jose, *alg;
    } curves[] = {
        {"P-256", "P-256", "ES256"}, {"P-384", "P-384", "ES384"}, {"P-521", "P-521", "ES512"}};
    EVP_PKEY *rsa = make_rsa("RSA", 2048, 0);
    char *rsa_pem = public_pem(rsa);

    expect_jwk("RSA", rsa_jwk(rsa, "k"), rsa_pem, "");
    expect_jwk("use sig", with(rsa_jwk(rsa, "k"), "use", json_string("sig")), rsa_pem, "");
    expect_jwk("alg RS256", with(rsa_jwk(rsa, "k"), "alg", json_string("RS256")), rsa_pem, "");
    expect_jwk("key_ops", with(rsa_jwk(rsa, "k"), "key_ops", json_pack("[s]", "verify")), rsa_pem,
               "");
    expect_jwk("x5c is not looked at", with(rsa_jwk(rsa, "k"), "x5c", json_pack("[s]", "nonsense")),
               rsa_pem, "");
    expect_jwk("use enc", with(rsa_jwk(rsa, "k"), "use", json_string("enc")), NULL, OTHER_USE);
    expect_jwk("use null", with(rsa_jwk(rsa, "k"), "use", json_null()), NULL, OTHER_USE);
    expect_jwk("alg of encryption", with(rsa_jwk(rsa, "k"), "alg", json_string("RSA-OAEP")), NULL,
               OTHER_USE);
    expect_jwk("alg of EC", with(rsa_jwk(rsa, "k"), "alg", json_string("ES256")), NULL, OTHER_USE);
    expect_jwk("alg PS256", with(rsa_jwk(rsa, "k"), "alg", json_string("PS256")), NULL, OTHER_USE);
    expect_jwk("alg HS256", with(rsa_jwk(rsa, "k"), "alg", json_string("HS256")), NULL, OTHER_USE);
    expect_jwk("alg no string", with(rsa_jwk(rsa, "k"), "alg", json_integer(1)), NULL, OTHER_USE);
    expect_jwk("key_ops without verify",
               with(rsa_jwk(rsa, "k"), "key_ops", json_pack("[s]", "encrypt")), NULL, OTHER_USE);
    expect_jwk("private", with(rsa_jwk(rsa, "k"), "d", json_string("AAAA")), NULL, PRIVATE);
    expect_jwk("n missing", json_pack("{s:s,s:s,s:s}", "kty", "RSA", "kid", "k", "e", "AQAB"), NULL,
               NUMBERS);
    expect_jwk("n no base64", with(rsa_jwk(rsa, "k"), "n", json_string("!!!")), NULL, NUMBERS);
    expect_jwk("n empty", with(rsa_jwk(rsa, "k"), "n", json_string("")), NULL, NUMBERS);
    expect_jwk("e a number", with(rsa_jwk(rsa, "k"), "e", json_integer(65537)), NULL, NUMBERS);
    expect_jwk("kid missing", json_pack("{s:s}", "kty", "RSA"), NULL, NO_KID);
    expect_jwk("kid a number", with(rsa_jwk(rsa, "k"), "kid", json_integer(1)), NULL, NO_KID);
    expect_jwk("no object", json_string("key"), NULL, NO_KID);
    expect_jwk("kty oct", json_pack("{s:s,s:s,s:s}", "kty", "oct", "kid", "k", "k", "c2VjcmV0"),
               NULL, NEITHER);
    expect_jwk("kty OKP", json_pack("{s:s,s:s}", "kty", "OKP", "kid", "k"), NULL, NEITHER);
    expect_jwk("kty missing", json_pack("{s:s}", "kid", "k"), NULL, NEITHER);
    for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++) {
        EVP_PKEY *ec = make_ec(curves[i].openssl);
        char *pem = public_pem(ec);

        expect_jwk(curves[i].jose, ec_jwk(ec, "k", curves[i].jose), pem, "");
        expect_jwk("alg of the curve",
                   with(ec_jwk(ec, "k", curves[i].jose), "alg", json_string(curves[i].alg)), pem,
                   "");
        expect_jwk(
            "alg of another curve",
            with(ec_jwk(ec, "k", curves[i].jose), "alg", json_string(curves[(i + 1) % 3].alg)),
            NULL, OTHER_USE);
        expect_jwk("another curve", ec_jwk(ec, "k", curves[(i + 1) % 3].jose), NULL, NUMBERS);
        json_t *off = ec_jwk(ec, "k", curves[i].jose);
        expect_jwk("not on the curve", with(off, "y", json_incref(json_object_get(off, "x"))), NULL,
                   NUMBERS);
        expect_jwk("crv unknown", ec_jwk(ec, "k", "secp256k1"), NULL, NUMBERS);
        free(pem);
        EVP_PKEY_free(ec);
    }
    assert_int_equal(ERR_peek_error(), 0);
    free(rsa_pem);
    EVP_PKEY_free(rsa);
}

static void takes_no_kid_twice(void **state)
{
    EVP_PKEY *one = make_ec("P-256"), *two = make_ec("P-256");
    const char *problem;
    struct keys *keys = keys_of(json_pack("{s:[o,o,o,o]}", "keys", ec_jwk(one, "k", "P-256"),
                                          ec_jwk(two, "k", "P-256"), ec_jwk(one, "k", "P-256"),
                                          ec_jwk(two, "other", "P-256")),
                                &problem);

    assert_string_equal(problem, "two keys with the same kid");
    assert_null(keys_find(keys, "k"));
    assert_non_null(keys_find(keys, "other"));
    keys_free(keys);
    keys = keys_of(
        json_pack("{s:[o,o]}", "keys", ec_jwk(one, "k", "P-256"), ec_jwk(one, "k", "P-256")),
        &problem);
    assert_string_equal(problem, "");
    assert_non_null(keys_find(keys, "k"));
    keys_free(keys);
    EVP_PKEY_free(one);
    EVP_PKEY_free(two);
}

static void reads_maps(void **state)
{
    EVP_PKEY *rsa = make_rsa("RSA", 2048, 0);
    char *pem = public_pem(rsa), *certificate = certificate_pem(rsa), *secret = private_pem(rsa);
    char long_kid[KEYS_KID_MAX + 2];
    const char *problem;
    struct keys *keys;

    memset(long_kid, 'x', sizeof long_kid);
    long_kid[KEYS_KID_MAX + 1] = '\0';
    keys =
        keys_of(json_pack("{s:s,s:s,s:s}", "a", certificate, "b", pem_b, "keys", pem_ec), &problem);
    assert_string_equal(problem, "");
    assert_string_equal(keys_find(keys, "a"), pem);
    assert_string_equal(keys_find(keys, "b"), pem_b);
    assert_string_equal(keys_find(keys, "keys"), pem_ec); /* a kid like any other */
    keys_free(keys);
    keys = keys_of(json_pack("{s:s,s:s,s:i,s:s,s:[o]}", "a", certificate, "b", secret, "c", 1,
                             long_kid, pem, "keys", rsa_jwk(rsa, "d")),
                   &problem);
    assert_string_equal(problem, PRIVATE);
    assert_non_null(keys_find(keys, "a"));
    assert_null(keys_find(keys, "b"));
    assert_null(keys_find(keys, "c"));
    assert_null(keys_find(keys, long_kid));
    assert_string_equal(keys_find(keys, "d"), pem); /* both kinds in one */
    keys_free(keys);
    free(pem);
    free(certificate);
    free(secret);
    EVP_PKEY_free(rsa);
}

static void keeps_the_set_when_there_is_no_new_one(void **state)
{
    static const struct {
        const char *name, *body, *problem;
    } bodies[] = {
        {"empty", "", "the document is not a JSON object"},
        {"HTML", "<html>", "the document is not a JSON object"},
        {"cut off", "{\"keys\":[", "the document is not a JSON object"},
        {"an array", "[]", "the document is not a JSON object"},
    };
    struct fetcher fetcher = {0};
    struct keys *keys = keys_new(KEYS_DOCUMENT, DOCUMENT, &actions, &fetcher);
    json_t *document = json_pack("{s:s}", "a", pem_a);
    char *text = json_dumps(document, 0);
    int64_t now = 0;

    keys_tick(keys, now);
    answer(keys, DOCUMENT, 200, text, 600, now);
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        const char *problem;

        now += HOUR;
        keys_tick(keys, now);
        problem = answer(keys, DOCUMENT, 200, bodies[i].body, 600, now);
        if (strcmp(problem, bodies[i].problem) != 0 || !keys_find(keys, "a"))
            fail_msg("%s: \"%s\"", bodies[i].name, problem);
    }
    now += HOUR;
    keys_tick(keys, now);
    assert_string_equal(answer(keys, DOCUMENT, 0, NULL, -1, now), "no answer");
    now += HOUR;
    keys_tick(keys, now);
    assert_string_equal(answer(keys, DOCUMENT, 404, "", -1, now), "there is no such file");
    now += HOUR;
    keys_tick(keys, now);
    assert_string_equal(answer(keys, DOCUMENT, 302, "", -1, now), "the answer's status is not 200");
    now += HOUR;
    keys_tick(keys, now);
    assert_string_equal(answer(keys, DOCUMENT, 200, "{}", -1, now), "the document holds no key");
    free(text);
    json_decref(document);
    keys_free(keys);
}

static void keeps_no_more_than_it_can(void **state)
{
    json_t *document = json_object();
    const char *problem;
    struct keys *keys;
    char kid[32];

    for (int i = 0; i < KEYS_MAX + 5; i++) {
        snprintf(kid, sizeof kid, "kid-%d", i);
        json_object_set_new(document, kid, json_string(pem_ec));
    }
    keys = keys_of(document, &problem);
    assert_string_equal(problem, "more keys than are kept");
    assert_non_null(keys_find(keys, "kid-0"));
    assert_non_null(keys_find(keys, "kid-255"));
    assert_null(keys_find(keys, "kid-256"));
    keys_free(keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_pem),
        cmocka_unit_test(reads_jwks),
        cmocka_unit_test(takes_no_kid_twice),
        cmocka_unit_test(reads_maps),
        cmocka_unit_test(keeps_the_set_when_there_is_no_new_one),
        cmocka_unit_test(keeps_no_more_than_it_can),
    };
    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
