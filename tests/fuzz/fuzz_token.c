/*
 * Tokens from any bytes: as a client writes them, and signed with the right key, since nobody
 * guesses a signature and all the reading of claims lies behind it.
 *
 * The first byte sets the rules (see rules_of). The rest is taken for a token; and once more for a
 * header, a line feed and a payload, which are signed.
 */
#include "policy/token.h"
#include "xmpp/buf.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
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

static struct token_rules rules_of(uint8_t byte)
{
    return (struct token_rules){
        .algorithm = byte & 1 ? "HS512" : "HS256",
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

/* Adds a dot and the signature of what stands there. */
static void sign(struct buf *text, const struct token_rules *rules)
{
    const EVP_MD *digest = strcmp(rules->algorithm, "HS512") == 0 ? EVP_sha512() : EVP_sha256();
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned mac_len = 0;

    require(HMAC(digest, SECRET, strlen(SECRET), (const uint8_t *)text->data, text->len, mac,
                 &mac_len) != NULL);
    buf_add_str(text, ".");
    add_base64url(text, mac, mac_len);
    require(!text->failed);
}

/* A valid token has one spelling: the two parts, a dot, and the signature we would make. */
static void check_spelling(const char *text, size_t len, const struct token_rules *rules)
{
    struct buf own = BUF_INIT;
    size_t signed_len = len;

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
        if (token_covers_room(token, rules, &room) == TOKEN_COVERS && token->room)
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
    require(!misused || misused == lobby_claims[0] || misused == lobby_claims[1]);
    check_rooms(token, rules);
}

/* What no outcome may break. */
static enum token_status verify(const char *text, size_t len, const struct token_rules *rules,
                                bool is_signed)
{
    struct token token;

    token_verify(text, len, rules, NULL, NOW, &token);
    enum token_status status = token.status;
    require(status != TOKEN_NONE && token.reason);
    require((status == TOKEN_VALID) == (token.reason[0] == '\0'));
    if (status == TOKEN_VALID) {
        check_spelling(text, len, rules);
        check_claims(&token, rules);
    } else {
        require(!token.room && !token.sub && !token.asks_lobby && !token.misused_claim);
    }
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

    other.secret = SECRET " ";
    other.secret_len++;
    require(verify(text->data, text->len, &other, false) != TOKEN_VALID);
    other = *rules;
    other.algorithm = strcmp(rules->algorithm, "HS512") == 0 ? "HS384" : "HS512";
    require(verify(text->data, text->len, &other, false) != TOKEN_VALID);
    for (size_t i = 0; i < text->len; i++) /* anywhere, but the same each time */
        at = (at * 31 + (uint8_t)text->data[i]) % text->len;
    text->data[at] = text->data[at] == 'A' ? 'B' : 'A';
    require(verify(text->data, text->len, rules, false) != TOKEN_VALID);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
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
