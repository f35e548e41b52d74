/*
 * Tokens from any bytes: as a client writes them, and signed with the right key, since nobody
 * guesses a signature and all the reading of claims lies behind it.
 *
 * The first byte sets the rules (see rules_of). The rest is taken for a token; and once more for a
 * header, a line feed and a payload, which are signed: with a secret, or with a key pair made at
 * the start, whose public key has the kid "k".
 */
#include "policy/keys.h"
#include "policy/token.h"
#include "xmpp/buf.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW 1700000000
#define SECRET "not a very good secret"

static const char *const some[] = {"app", "jitsi", NULL};
static const char *const any[] = {"*", NULL};
static const char *const lobby_claims[] = {"context.features.lobby", "context.user.lobby", NULL};

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* Key pairs. */

/* sha256hex("k"), on a server without a name. */
#define URL_OF_K "/8254c329a92850f6d539dd376f4816ee2764517da5e0235514af433164480d7a.pem"

enum pair { RSA_PAIR, P256_PAIR, P384_PAIR, PAIRS_LEN };

static EVP_PKEY *pairs[PAIRS_LEN];
static struct keys *published[PAIRS_LEN];

static bool fetch_nothing(void *ctx, const char *url, bool is_first)
{
    return true;
}

static void publish(enum pair pair)
{
    static const struct keys_actions actions = {.fetch = fetch_nothing};
    static const struct keys_asker asker;
    BIO *bio = BIO_new(BIO_s_mem());
    const char *problem;
    char *pem;
    long len;

    require(bio && PEM_write_bio_PUBKEY(bio, pairs[pair]) == 1);
    len = BIO_get_mem_data(bio, &pem);
    published[pair] = keys_new(KEYS_SERVER, "", &actions, NULL);
    require(published[pair] && keys_want(published[pair], "k", &asker, 0));
    keys_fetched(published[pair], URL_OF_K, 200, pem, (size_t)len, -1, 0, &problem);
    require(keys_find(published[pair], "k") != NULL);
    BIO_free(bio);
}

static void make_pairs(void)
{
    if (published[0])
        return;
    pairs[RSA_PAIR] = EVP_RSA_gen(2048);
    pairs[P256_PAIR] = EVP_EC_gen("P-256");
    pairs[P384_PAIR] = EVP_EC_gen("P-384");
    for (int i = 0; i < PAIRS_LEN; i++) {
        require(pairs[i] != NULL);
        publish((enum pair)i);
    }
}

/* Which pair an algorithm is signed with; -1: the secret. */
static int pair_of(const char *algorithm)
{
    if (algorithm[0] == 'R')
        return RSA_PAIR;
    if (algorithm[0] == 'H')
        return -1;
    return strcmp(algorithm, "ES384") == 0 ? P384_PAIR : P256_PAIR;
}

static struct keys *keys_of(const struct token_rules *rules)
{
    int pair = pair_of(rules->algorithm);

    return pair < 0 ? NULL : published[pair];
}

/* Bit 6: public keys, of which bit 4 says RSA or EC; bit 0: the longer one. */
static const char *algorithm_of(uint8_t byte)
{
    if (!(byte & 0x40))
        return byte & 1 ? "HS512" : "HS256";
    if (byte & 0x10)
        return byte & 1 ? "RS512" : "RS256";
    return byte & 1 ? "ES384" : "ES256";
}

static struct token_rules rules_of(uint8_t byte)
{
    return (struct token_rules){
        .algorithm = algorithm_of(byte),
        .secret = SECRET,
        .secret_len = strlen(SECRET),
        .issuers = byte & 2 ? any : some,
        .audiences = byte & 2 ? any : some,
        .require_room = (byte & 4) == 0,
        .domain_verification = (byte & 8) == 0,
        .domain = "meet.example.com",
        .lobby_claims = lobby_claims,
    };
}

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

static const EVP_MD *digest_of(const char *algorithm)
{
    if (strstr(algorithm, "512"))
        return EVP_sha512();
    return strstr(algorithm, "384") ? EVP_sha384() : EVP_sha256();
}

/* ECDSA's two numbers one after the other. Returns their length. */
static size_t write_numbers(const uint8_t *der, size_t len, int half, uint8_t *ret)
{
    ECDSA_SIG *numbers = d2i_ECDSA_SIG(NULL, &der, (long)len);

    require(numbers && BN_bn2binpad(ECDSA_SIG_get0_r(numbers), ret, half) == half &&
            BN_bn2binpad(ECDSA_SIG_get0_s(numbers), ret + half, half) == half);
    ECDSA_SIG_free(numbers);
    return 2 * (size_t)half;
}

/* Adds a dot and the signature of what stands there. */
static void sign(struct buf *text, const struct token_rules *rules)
{
    const EVP_MD *digest = digest_of(rules->algorithm);
    int pair = pair_of(rules->algorithm);
    uint8_t signature[512], numbers[512];
    unsigned mac_len = 0;
    size_t len = sizeof signature;

    if (pair < 0) {
        require(HMAC(digest, SECRET, strlen(SECRET), (const uint8_t *)text->data, text->len,
                     signature, &mac_len) != NULL);
        len = mac_len;
    } else {
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();

        require(ctx && EVP_DigestSignInit(ctx, NULL, digest, NULL, pairs[pair]) == 1 &&
                EVP_DigestSign(ctx, signature, &len, (const uint8_t *)text->data, text->len) == 1);
        EVP_MD_CTX_free(ctx);
    }
    if (pair > RSA_PAIR) {
        len = write_numbers(signature, len, pair == P384_PAIR ? 48 : 32, numbers);
        memcpy(signature, numbers, len);
    }
    buf_add_str(text, ".");
    add_base64url(text, signature, len);
    require(!text->failed);
}

/* A valid token has one spelling: the two parts, a dot, and the signature we would make. ECDSA
 * makes another one each time. */
static void check_spelling(const char *text, size_t len, const struct token_rules *rules)
{
    struct buf own = BUF_INIT;
    size_t signed_len = len;

    if (pair_of(rules->algorithm) > RSA_PAIR)
        return;

    while (signed_len > 0 && text[signed_len - 1] != '.')
        signed_len--;
    require(signed_len > 1);
    buf_add(&own, text, signed_len - 1);
    sign(&own, rules);
    require(own.len == len && memcmp(own.data, text, len) == 0);
    buf_done(&own);
}

static void check_rooms(const struct token *token, const struct token_rules *rules)
{
    static const char *const addresses[] = {
        "room@conference.meet.example.com",
        "[tenant]room@conference.meet.example.com",
        "room@conference.tenant.meet.example.com/nick",
        "a*[.]b@conference.meet.example.com",
        "room@lobby.meet.example.com",
    };
    static const struct muc_service service = {.domain = "meet.example.com",
                                               .muc = "conference.meet.example.com",
                                               .lobby = "lobby.meet.example.com",
                                               .tenants = true};

    for (size_t i = 0; i < sizeof(addresses) / sizeof(*addresses); i++) {
        struct jid jid;
        struct muc_room room;
        bool no_memory;

        require(jid_parse(addresses[i], strlen(addresses[i]), &jid) == JID_OK);
        require(muc_locate(&service, &jid, &room, &no_memory) != MUC_ELSEWHERE);
        if (token_covers_room(token, rules, &room) == TOKEN_COVERS && token->room &&
            !token->room_is_pattern)
            require(strcmp(token->room, "*") == 0 || strstr(room.jid, token->room) != NULL);
        muc_room_done(&room);
        jid_done(&jid);
    }
}

static void check_claims(const struct token *token, const struct token_rules *rules)
{
    const char *misused = token->misused_claim;

    require(token->room || !rules->require_room);
    require(token->sub || !rules->domain_verification);
    for (const char *at = token->room; at && *at; at++)
        require(*at < 'A' || *at > 'Z');
    require(!misused || strcmp(misused, lobby_claims[0]) == 0 ||
            strcmp(misused, lobby_claims[1]) == 0);
    check_rooms(token, rules);
}

/* What no outcome may break. */
static enum token_status verify(const char *text, size_t len, const struct token_rules *rules,
                                bool is_signed)
{
    struct token token;

    token_verify(text, len, rules, keys_of(rules), NOW, &token);
    enum token_status status = token.status;
    require(status != TOKEN_NONE && token.reason);
    require((status == TOKEN_VALID) == (token.reason[0] == '\0'));
    if (status == TOKEN_VALID) {
        check_spelling(text, len, rules);
        check_claims(&token, rules);
    } else {
        require(!token.room && !token.sub && !token.asks_lobby && !token.misused_claim);
    }
    require(!token.awaited_kid ||
            (status == TOKEN_UNJUDGED && pair_of(rules->algorithm) >= 0 &&
             strcmp(token.awaited_kid, "k") != 0 && strlen(token.awaited_kid) <= KEYS_KID_MAX));
    /* Calling refused what Prosody accepts lets a lobby user pass as a guest. */
    if (is_signed)
        require(strcmp(token.reason, "the signature is wrong") != 0 &&
                strcmp(token.reason, "the token is not base64") != 0 &&
                strcmp(token.reason, "the token is written in an unusual way") != 0);
    token_done(&token);
    token_done(&token);
    return status;
}

/* The same token under another key, and with one letter changed. */
static void forge(struct buf *text, const struct token_rules *rules)
{
    struct token_rules other = *rules;
    size_t at = 0;

    static const char *const algorithms[] = {"HS256", "HS384", "HS512", "RS256", "RS384",
                                             "RS512", "ES256", "ES384", "ES512"};

    other.secret = SECRET " ";
    other.secret_len++;
    if (pair_of(rules->algorithm) < 0)
        require(verify(text->data, text->len, &other, false) != TOKEN_VALID);
    other = *rules;
    for (size_t i = 0; i < sizeof(algorithms) / sizeof(*algorithms); i++) {
        other.algorithm = algorithms[i];
        if (strcmp(algorithms[i], rules->algorithm) != 0)
            require(verify(text->data, text->len, &other, false) != TOKEN_VALID);
    }
    for (size_t i = 0; i < text->len; i++) /* anywhere, but the same each time */
        at = (at * 31 + (uint8_t)text->data[i]) % text->len;
    text->data[at] = text->data[at] == 'A' ? 'B' : 'A';
    require(verify(text->data, text->len, rules, false) != TOKEN_VALID);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    make_pairs();
    const struct token_rules rules = rules_of(data[0]);
    const uint8_t *header = data + 1;
    size_t header_len = 0;
    struct buf text = BUF_INIT;

    (void)verify((const char *)data + 1, size - 1, &rules, false);
    while (header_len < size - 1 && header[header_len] != '\n')
        header_len++;
    if (header_len + 1 >= size - 1)
        return 0;
    add_base64url(&text, header, header_len);
    buf_add_str(&text, ".");
    add_base64url(&text, header + header_len + 1, size - 2 - header_len);
    sign(&text, &rules);
    if (verify(text.data, text.len, &rules, header_len > 0) == TOKEN_VALID)
        forge(&text, &rules);
    buf_done(&text);
    return 0;
}
