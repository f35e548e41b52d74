/*
 * Judges a token the way Jitsi's modules in Prosody do (wire facts 3 to 5).
 *
 * The one thing to know: a wrong answer is dangerous in both directions. Accepting what Prosody
 * refuses grants on a worthless token; calling refused what Prosody accepts lets a user who was to
 * wait in the lobby pass as a guest. So there are three answers. A token whose signature cannot be
 * right for Prosody, however leniently it reads it, is refused. One that is signed but written in a
 * way two readers may understand differently is TOKEN_UNJUDGED. Only the plain, canonical form,
 * which libjwt verifies as well, can be TOKEN_VALID.
 */
#include "policy/token.h"
#include "policy/keys.h"
#include "policy/token_signature.h"
#include "policy/token_text.h"

#include <jwt.h>
#include <limits.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

/* A longer one is not read at all: a token travels in a URL. */
#define TOKEN_MAX ((size_t)16 * 1024)
/* More brackets than this and readers' limits on nesting differ (lua-cjson: 1000 levels). */
#define BRACKETS_MAX 1000

/* What a token is verified with: the secret, or a public key as PEM text. Borrowed. */
struct key_text {
    const char *text;
    size_t len;
};

/* What is decided so far: a status other than TOKEN_VALID is final. */
struct verdict {
    enum token_status status;
    const char *reason;
};

static struct verdict valid(void)
{
    return (struct verdict){TOKEN_VALID, ""};
}

static struct verdict refused(const char *reason)
{
    return (struct verdict){TOKEN_REFUSED, reason};
}

static struct verdict unjudged(const char *reason)
{
    return (struct verdict){TOKEN_UNJUDGED, reason};
}

/* JSON that reads the same everywhere, or NULL. What our reader refuses lua-cjson may take (a name
 * twice: the last counts; NaN, 0x10, 1e400; a NUL; bytes that are no UTF-8), so a NULL in a signed
 * token means that it cannot be judged, never that it is bad. */
static json_t *read_json(const struct token_part *part)
{
    size_t brackets = 0;

    for (size_t i = 0; i < part->len; i++)
        brackets += part->bytes[i] == '{' || part->bytes[i] == '[';
    if (brackets > BRACKETS_MAX)
        return NULL;
    return json_loadb((const char *)part->bytes, part->len, JSON_REJECT_DUPLICATES, NULL);
}

/* The header and the signature. */

/* Whether text, a JSON value or NULL, is exactly that string (and no longer one behind a NUL). */
static bool is_string(const json_t *value, const char *text)
{
    return json_is_string(value) && json_string_length(value) == strlen(text) &&
           strcmp(json_string_value(value), text) == 0;
}

/* Prosody compares both letter by letter; libjwt takes any case of them. */
static struct verdict check_header(const json_t *header, const struct token_algorithm *algorithm)
{
    if (!is_string(json_object_get(header, "typ"), "JWT"))
        return refused("the header's typ is not JWT");
    if (!is_string(json_object_get(header, "alg"), algorithm->name))
        return refused("the header's alg is not the configured one");
    return valid();
}

/* Who does not understand crit is to take no notice of the token (RFC 7515 section 4.1.11). Prosody
 * and libjwt have never heard of it, so it is looked at last, where the token is good for them. */
static struct verdict check_crit(const json_t *header)
{
    return json_object_get(header, "crit") ? unjudged("the header has crit") : valid();
}

/* Whether Prosody, having the same key, could find the signature good. */
static struct verdict check_signature(const struct token_text *text,
                                      const struct token_algorithm *algorithm,
                                      const struct key_text *key)
{
    switch (token_signature_check(algorithm, text, key->text, key->len)) {
    case TOKEN_SIGNATURE_GOOD:
        return valid();
    case TOKEN_SIGNATURE_WRONG:
        return refused("the signature is wrong");
    case TOKEN_SIGNATURE_ODD:
        return unjudged("the signature is written in an unusual way");
    case TOKEN_SIGNATURE_UNFIT_KEY:
        /* Prosody has no such scruples. */
        return unjudged("the public key does not fit the algorithm, or is weak");
    case TOKEN_SIGNATURE_FAILED:
        break;
    }
    return unjudged("the signature could not be computed");
}

/* The public key that the header names by its kid, and only by that: what else a header may bring
 * (jwk, jku, x5u, x5c) is never looked at. A kid is looked up whatever is in it; where a key server
 * has the keys, it is only ever used hashed. */
static struct verdict find_public_key(const json_t *header, struct keys *keys, struct token *token,
                                      struct key_text *ret)
{
    const json_t *kid = json_object_get(header, "kid");

    if (!kid)
        return refused("the header names no key: kid is missing");
    /* Lua takes a number for a string here, and true for a name. */
    if (!json_is_string(kid))
        return unjudged("kid is not a string");
    if (json_string_length(kid) > KEYS_KID_MAX)
        return unjudged("kid is too long");
    ret->text = keys_find(keys, json_string_value(kid));
    if (ret->text) {
        ret->len = strlen(ret->text);
        return valid();
    }
    token->awaited_kid = strdup(json_string_value(kid));
    return unjudged(token->awaited_kid ? "the public key is not known" : "out of memory");
}

/* A header that is JSON but no object has neither typ nor alg for Lua either; what does not even
 * begin like one is read by nobody. */
static struct verdict unreadable_header(const struct token_part *header)
{
    size_t i = 0;

    while (i < header->len && header->bytes[i] <= ' ')
        i++;
    if (i == header->len || header->bytes[i] != '{')
        return refused("the header is not a JSON object");
    return unjudged("the header can be read in more than one way");
}

/* The payload. */

/* A time that is false counts as absent, any other that is no number refuses (Lua's truth). There
 * is no leeway: a token is over in the second its exp names. */
static struct verdict check_times(const json_t *payload, int64_t now_s)
{
    const json_t *exp = json_object_get(payload, "exp");
    const json_t *nbf = json_object_get(payload, "nbf");

    if (exp && !json_is_false(exp)) {
        if (!json_is_number(exp))
            return refused("exp is not a number");
        if ((double)now_s >= json_number_value(exp))
            return refused("the token has expired");
    }
    if (nbf && !json_is_false(nbf)) {
        if (!json_is_number(nbf))
            return refused("nbf is not a number");
        if ((double)now_s < json_number_value(nbf))
            return refused("the token is not valid yet");
    }
    return valid();
}

/* "*" accepts any value of any type, as long as there is one. */
static bool is_accepted(const json_t *claim, const char *const *accepted)
{
    for (; *accepted; accepted++)
        if (strcmp(*accepted, "*") == 0 || is_string(claim, *accepted))
            return true;
    return false;
}

static struct verdict check_issuer_and_audience(const json_t *payload,
                                                const struct token_rules *rules)
{
    const json_t *issuer = json_object_get(payload, "iss");
    const json_t *audience = json_object_get(payload, "aud");
    const json_t *one;
    size_t i;

    if (!issuer)
        return refused("iss is missing");
    if (!is_accepted(issuer, rules->issuers))
        return refused("iss is not an accepted one");
    if (!audience)
        return refused("aud is missing");
    if (is_accepted(audience, rules->audiences))
        return valid();
    /* One of several is enough (wire fact 4, RFC 7519 section 4.1.3). A Jitsi that compares strings
     * only refuses such a token at SASL. */
    json_array_foreach(audience, i, one) if (is_accepted(one, rules->audiences)) return valid();
    return refused("aud is not an accepted one");
}

/* Where Prosody's modules stumble over a type they do not expect, a Lua error decides what happens;
 * such tokens are not judged. */
static struct verdict check_room_and_sub(const json_t *payload, const struct token_rules *rules)
{
    const json_t *room = json_object_get(payload, "room");
    const json_t *sub = json_object_get(payload, "sub");
    const json_t *context = json_object_get(payload, "context");

    if (!room && rules->require_room)
        return refused("room is missing");
    if (!sub)
        return refused("sub is missing");
    if (room && !json_is_string(room))
        return unjudged("room is not a string");
    if (rules->domain_verification && !json_is_string(sub))
        return unjudged("sub is not a string");
    if (json_is_null(context) || json_is_boolean(context) || json_is_number(context))
        return unjudged("context is not an object");
    return valid();
}

static void read_lobby_claims(const json_t *payload, const struct token_rules *rules,
                              struct token *token)
{
    for (const char *const *path = rules->lobby_claims; *path; path++) {
        switch (claim_find(payload, *path)) {
        case CLAIM_TRUE:
            token->asks_lobby = true;
            break;
        case CLAIM_WRONG_TYPE:
            if (!token->misused_claim)
                token->misused_claim = strdup(*path); /* only for the log: may fail */
            break;
        case CLAIM_ABSENT:
        case CLAIM_FALSE:
            break;
        }
    }
}

/* Lua's string.lower in the C locale: ASCII letters only. */
static char *copy_lower(const json_t *string)
{
    char *copy = strdup(json_string_value(string));

    for (char *at = copy; at && *at; at++)
        if (*at >= 'A' && *at <= 'Z')
            *at = (char)(*at - 'A' + 'a');
    return copy;
}

/* Fills token from a payload that has passed every check. */
static struct verdict read_payload(const json_t *payload, const struct token_rules *rules,
                                   struct token *token)
{
    const json_t *room = json_object_get(payload, "room");
    const json_t *sub = json_object_get(payload, "sub");
    const json_t *context_room = json_object_get(json_object_get(payload, "context"), "room");
    const json_t *regex = json_object_get(context_room, "regex");

    if (json_is_string(room) && !(token->room = copy_lower(room)))
        return unjudged("out of memory");
    if (json_is_string(sub) && !(token->sub = copy_lower(sub)))
        return unjudged("out of memory");
    /* "true" counts here as true does. */
    token->room_is_pattern = json_is_true(regex) || is_string(regex, "true");
    token->room_check_fails =
        json_is_null(context_room) || json_is_true(context_room) || json_is_number(context_room);
    read_lobby_claims(payload, rules, token);
    return valid();
}

static struct verdict judge_payload(const struct token_part *part, const struct token_rules *rules,
                                    int64_t now_s, struct token *token)
{
    json_t *payload = read_json(part);
    struct verdict verdict;

    if (!payload)
        return unjudged("the payload can be read in more than one way");
    verdict = check_times(payload, now_s);
    if (verdict.status == TOKEN_VALID)
        verdict = check_issuer_and_audience(payload, rules);
    if (verdict.status == TOKEN_VALID)
        verdict = check_room_and_sub(payload, rules);
    if (verdict.status == TOKEN_VALID)
        verdict = read_payload(payload, rules, token);
    json_decref(payload);
    return verdict;
}

/* Everything up to the payload, with a secret. The header is looked at before the signature only to
 * name the better reason: whichever is wrong, Prosody refuses. */
static struct verdict judge_by_secret(const struct token_text *text, const json_t *header,
                                      const struct token_algorithm *algorithm,
                                      const struct key_text *secret)
{
    struct verdict verdict = header ? check_header(header, algorithm) : valid();

    if (verdict.status == TOKEN_VALID)
        verdict = check_signature(text, algorithm, secret);
    if (verdict.status == TOKEN_VALID && !header)
        verdict = unjudged("the header can be read in more than one way");
    if (verdict.status == TOKEN_VALID && !text->is_plain)
        verdict = unjudged("the token is written in an unusual way");
    return verdict.status == TOKEN_VALID ? check_crit(header) : verdict;
}

/* Likewise with a public key. Here the header says which key, so one that is read in two ways, or
 * written so, leaves no signature to check. */
static struct verdict judge_by_public_key(const struct token_text *text, const json_t *header,
                                          const struct token_algorithm *algorithm,
                                          struct keys *keys, struct token *token,
                                          struct key_text *ret_key)
{
    struct verdict verdict =
        header ? check_header(header, algorithm) : unreadable_header(&text->header);

    if (verdict.status == TOKEN_VALID && !text->is_plain)
        verdict = unjudged("the token is written in an unusual way");
    if (verdict.status == TOKEN_VALID)
        verdict = find_public_key(header, keys, token, ret_key);
    if (verdict.status == TOKEN_VALID)
        verdict = check_signature(text, algorithm, ret_key);
    return verdict.status == TOKEN_VALID ? check_crit(header) : verdict;
}

/* The same by libjwt, on which a valid token rests. It comes last, as it refuses a payload it
 * cannot read without saying so. It takes the algorithm from the header, so what it used is looked
 * at again.
 */
static struct verdict verify_with_libjwt(const struct token_text *text,
                                         const struct token_algorithm *algorithm,
                                         const struct key_text *key)
{
    struct verdict verdict = valid();
    jwt_t *jwt = NULL;

    if (jwt_decode(&jwt, text->joined, (const unsigned char *)key->text, (int)key->len) != 0)
        return unjudged("libjwt does not verify the token");
    if (jwt_get_alg(jwt) != algorithm->alg)
        verdict = unjudged("libjwt verified another alg");
    jwt_free(jwt);
    return verdict;
}

/* The key is the secret or a public one as the configured algorithm has it, whatever the token
 * says. */
static struct verdict judge_text(const struct token_text *text, const struct token_rules *rules,
                                 const struct token_algorithm *algorithm, struct keys *keys,
                                 int64_t now_s, struct token *token)
{
    struct key_text key = {0};
    json_t *header = read_json(&text->header);
    struct verdict verdict;

    if (algorithm->family == TOKEN_HMAC) {
        key = (struct key_text){rules->secret, rules->secret_len};
        verdict = judge_by_secret(text, header, algorithm, &key);
    } else {
        verdict = judge_by_public_key(text, header, algorithm, keys, token, &key);
    }
    json_decref(header);
    if (verdict.status == TOKEN_VALID)
        verdict = judge_payload(&text->payload, rules, now_s, token);
    if (verdict.status == TOKEN_VALID)
        verdict = verify_with_libjwt(text, algorithm, &key);
    return verdict;
}

/* Never to libjwt without a key: its header says that nothing is verified then. */
static bool has_key(const struct token_rules *rules, const struct token_algorithm *algorithm,
                    struct keys *keys)
{
    if (algorithm->family == TOKEN_HMAC)
        return rules->secret && rules->secret_len > 0 && rules->secret_len <= INT_MAX;
    return keys != NULL;
}

static struct verdict judge(const char *written, size_t len, const struct token_rules *rules,
                            struct keys *keys, int64_t now_s, struct token *token)
{
    const struct token_algorithm *algorithm = token_algorithm_find(rules->algorithm);
    struct token_text text;
    struct verdict verdict;

    if (!algorithm)
        return unjudged("the configured algorithm is not known");
    if (!has_key(rules, algorithm, keys))
        return unjudged("there is no key to verify the token with");
    if (len > TOKEN_MAX)
        return unjudged("the token is too long");
    switch (token_text_read(written, len, &text)) {
    case TOKEN_TEXT_NOT_THREE:
        return refused("the token has not three parts");
    case TOKEN_TEXT_NOT_BASE64:
        return refused("the token is not base64");
    case TOKEN_TEXT_NO_MEMORY:
        return unjudged("out of memory");
    case TOKEN_TEXT_OK:
        break;
    }
    /* What OpenSSL noted on the way is nobody's business, least of all a TLS connection's. */
    ERR_set_mark();
    verdict = judge_text(&text, rules, algorithm, keys, now_s, token);
    ERR_pop_to_mark();
    token_text_done(&text);
    return verdict;
}

void token_verify(const char *text, size_t len, const struct token_rules *rules, struct keys *keys,
                  int64_t now_s, struct token *ret)
{
    struct verdict verdict;

    *ret = (struct token){0};
    verdict = judge(text, len, rules, keys, now_s, ret);
    if (verdict.status != TOKEN_VALID) {
        char *awaited_kid = ret->awaited_kid;

        ret->awaited_kid = NULL;
        token_done(ret);
        ret->awaited_kid = awaited_kid;
    }
    ret->status = verdict.status;
    ret->reason = verdict.reason;
}

void token_unjudged(struct token *ret, const char *reason)
{
    *ret = (struct token){.status = TOKEN_UNJUDGED, .reason = reason};
}

void token_done(struct token *token)
{
    if (!token)
        return;
    free(token->room);
    free(token->sub);
    free(token->awaited_kid);
    free(token->misused_claim);
    *token = (struct token){.reason = ""};
}
