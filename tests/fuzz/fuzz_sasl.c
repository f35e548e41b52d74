/*
 * The login against a server that may be anybody: it must never count as done unless the server
 * proved that it knows the password, and the password must never leave but in PLAIN where that is
 * allowed.
 *
 * The first byte says what is offered and whether PLAIN is allowed (see begin). Each further line
 * is a message of the server's: its first letter says what it is (see serve), "%" in it is replaced
 * by the client's nonce. Only the target itself can sign, with 'v' and 'S'.
 *
 * What a newcomer gets wrong: libgsasl would spend milliseconds on each salt. The linker puts
 * __wrap_gsasl_callback_set in its place, which gives libgsasl the salted password at once, one for
 * every salt.
 */
#include "xmpp/sasl.h"

#include "xmpp/ns.h"

#include <gsasl.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define USER "jvb"
#define PASSWORD "Hush!Hush!Hush!"
#define PLAIN_PAYLOAD "\0" USER "\0" PASSWORD

struct talk {
    struct sasl *sasl;
    bool sha256, plain;
    bool is_broken;
    bool is_proven;          /* the server's right signature was in what it sent */
    struct buf nonce;        /* the client's */
    struct buf first_bare;   /* client-first-message-bare */
    struct buf server_first; /* as the server wrote it; empty until the client answered it */
    struct buf final_bare;   /* client-final-message-without-proof */
};

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* --- libgsasl without its slow part --- */

void __real_gsasl_callback_set(Gsasl *gsasl, Gsasl_callback_function callback);
void __wrap_gsasl_callback_set(Gsasl *gsasl, Gsasl_callback_function callback);

static Gsasl_callback_function real_callback;

static void salted_password(uint8_t *ret, size_t len)
{
    memset(ret, 0x5a, len);
}

static int answer(Gsasl *gsasl, Gsasl_session *session, Gsasl_property property)
{
    uint8_t salted[32];
    char hex[65];
    size_t len = strcmp(gsasl_mechanism_name(session), "SCRAM-SHA-256") == 0 ? 32 : 20;

    if (property != GSASL_SCRAM_SALTED_PASSWORD)
        return real_callback(gsasl, session, property);
    salted_password(salted, len);
    for (size_t i = 0; i < len; i++) {
        hex[2 * i] = "0123456789abcdef"[salted[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[salted[i] & 15];
    }
    hex[2 * len] = '\0';
    return gsasl_property_set(session, property, hex);
}

void __wrap_gsasl_callback_set(Gsasl *gsasl, Gsasl_callback_function callback)
{
    real_callback = callback;
    __real_gsasl_callback_set(gsasl, answer);
}

/* --- The server --- */

static void add_base64(struct buf *out, const void *bytes, size_t len)
{
    char *text = NULL;

    if (len == 0)
        return;
    require(gsasl_base64_to(bytes, len, &text, NULL) == GSASL_OK);
    buf_add_str(out, text);
    gsasl_free(text);
}

/* The server's signature of the talk so far (RFC 5802 section 3): "v=" and base64. */
static void sign(struct talk *talk, struct buf *out, bool right)
{
    static const char label[] = "Server Key";
    const EVP_MD *digest = talk->sha256 ? EVP_sha256() : EVP_sha1();
    size_t len = talk->sha256 ? 32 : 20;
    uint8_t salted[32], key[32], signature[32];
    struct buf message = BUF_INIT;

    salted_password(salted, len);
    buf_add(&message, talk->first_bare.data, talk->first_bare.len);
    buf_add_str(&message, ",");
    buf_add(&message, talk->server_first.data, talk->server_first.len);
    buf_add_str(&message, ",");
    buf_add(&message, talk->final_bare.data, talk->final_bare.len);
    require(!message.failed);
    require(HMAC(digest, salted, (int)len, (const uint8_t *)label, strlen(label), key, NULL));
    require(
        HMAC(digest, key, (int)len, (const uint8_t *)message.data, message.len, signature, NULL));
    if (!right)
        signature[message.len % len] ^= (uint8_t)(1 << message.len % 8);
    buf_add_str(out, "v=");
    add_base64(out, signature, len);
    buf_done(&message);
}

/* --- The client's messages --- */

static const struct element *read_message(struct parser **parser, const struct buf *text)
{
    static const struct parse_limits limits = {
        .bytes = (size_t)1 << 20, .depth = 8, .elements = 64, .attributes = 16};
    const struct element *root = NULL;

    if (!*parser && !(*parser = parser_new()))
        abort();
    require(!text->failed);
    return parser_read(*parser, text->data, text->len, &limits, &root) == PARSE_OK ? root : NULL;
}

/* What the client sent, decoded; no secret is in it. */
static void take_payload(struct talk *talk, const struct buf *sent, const char *name,
                         struct buf *ret)
{
    static struct parser *parser;
    const struct element *e = read_message(&parser, sent);
    char *data = NULL;
    size_t len = 0;

    require(e && element_is(e, NS_SASL, name) && !e->first_child);
    require(memmem(sent->data, sent->len, PASSWORD, strlen(PASSWORD)) == NULL);
    require(strcmp(e->text, "=") == 0 ||
            gsasl_base64_from(e->text, strlen(e->text), &data, &len) == GSASL_OK);
    if (talk->plain) {
        require(strcmp(name, "auth") == 0 && len == sizeof(PLAIN_PAYLOAD) - 1 &&
                memcmp(data, PLAIN_PAYLOAD, len) == 0);
    } else {
        require(!data || memmem(data, len, PASSWORD, strlen(PASSWORD)) == NULL);
        buf_add(ret, data, len);
    }
    gsasl_free(data);
}

/* "n,,n=jvb,r=NONCE" */
static void take_first(struct talk *talk, const struct buf *sent)
{
    static const char begin[] = "n,,n=" USER ",r=";
    struct buf payload = BUF_INIT;

    take_payload(talk, sent, "auth", &payload);
    if (!talk->plain) {
        require(payload.len >= strlen(begin) + 16); /* a nonce nobody guesses */
        require(memcmp(payload.data, begin, strlen(begin)) == 0);
        buf_add(&talk->first_bare, payload.data + 3, payload.len - 3);
        buf_add(&talk->nonce, payload.data + strlen(begin), payload.len - strlen(begin));
    }
    buf_done(&payload);
}

/* "c=biws,r=NONCE,p=PROOF", or nothing in answer to the server's last word. */
static void take_response(struct talk *talk, const struct buf *sent, const struct buf *challenge)
{
    struct buf payload = BUF_INIT;

    take_payload(talk, sent, "response", &payload);
    const char *proof = payload.data ? memmem(payload.data, payload.len, ",p=", 3) : NULL;
    if (proof) {
        require(talk->final_bare.len == 0);
        buf_add(&talk->final_bare, payload.data, (size_t)(proof - payload.data));
        buf_add(&talk->server_first, challenge->data, challenge->len);
        /* The server's nonce begins with ours: or an old exchange could be played again. */
        require(memmem(challenge->data, challenge->len, talk->nonce.data, talk->nonce.len));
    } else {
        require(payload.len == 0 && talk->is_proven);
    }
    buf_done(&payload);
}

static void note(struct talk *talk, enum sasl_result result)
{
    require(result != SASL_NO_MEMORY);
    require(strstr(sasl_error(talk->sasl), PASSWORD) == NULL);
    if (result == SASL_OK)
        require(!talk->is_broken);
    else
        require(sasl_error(talk->sasl)[0] != '\0');
    talk->is_broken = talk->is_broken || result != SASL_OK;
}

static void challenge(struct talk *talk, const struct element *e, const struct buf *text)
{
    struct buf out = BUF_INIT;
    enum sasl_result result = sasl_challenge(talk->sasl, e, &out);

    note(talk, result);
    if (result == SASL_OK)
        take_response(talk, &out, text);
    else
        require(out.len == 0);
    buf_done(&out);
}

/* True when the login is over, well or not. */
static bool success(struct talk *talk, const struct element *e)
{
    enum sasl_result result = sasl_success(talk->sasl, e);

    note(talk, result);
    if (result == SASL_OK)
        require(talk->plain || talk->is_proven);
    return true;
}

/* c, s: challenge or success with the line's text. v, S: with the right signature; w, W: with one
 * wrong bit. C, R: with text that need not be base64. x, X: any element. */
static bool serve(struct talk *talk, const char *line, size_t len)
{
    static struct parser *parser;
    struct buf text = BUF_INIT, message = BUF_INIT;
    char kind = line[0];
    bool is_signed = talk->final_bare.len > 0 && memchr("vSwW", kind, 4) != NULL;
    bool is_success = memchr("sSWRX", kind, 5) != NULL, is_over = false;
    /* libgsasl goes on with what stands before a NUL. */
    bool honest = kind == 'S' && is_signed &&
                  !memchr(talk->server_first.data, '\0', talk->server_first.len) &&
                  !talk->is_broken && !talk->is_proven;
    const char *name = is_success ? "success" : "challenge";

    for (size_t i = 1; i < len; i++) {
        if (line[i] == '%')
            buf_add(&text, talk->nonce.data, talk->nonce.len);
        else
            buf_add(&text, line + i, 1);
    }
    if (is_signed) {
        buf_clear(&text);
        sign(talk, &text, kind == 'v' || kind == 'S');
        talk->is_proven = talk->is_proven || kind == 'v' || kind == 'S';
    }
    if (kind == 'x' || kind == 'X') {
        buf_add(&message, text.data, text.len);
    } else {
        buf_printf(&message, "<%s xmlns='" NS_SASL "'>", name);
        if (kind == 'C' || kind == 'R')
            buf_add(&message, text.data, text.len);
        else
            add_base64(&message, text.data, text.len);
        buf_printf(&message, "</%s>", name);
    }
    const struct element *e = read_message(&parser, &message);
    if (e && is_success)
        is_over = success(talk, e);
    else if (e)
        challenge(talk, e, &text);
    if (honest)
        require(e && !talk->is_broken);
    buf_done(&message);
    buf_done(&text);
    return is_over;
}

/* What is offered: 1 SCRAM-SHA-1, 2 SCRAM-SHA-256, 4 PLAIN, 8 another; 16: PLAIN is allowed. */
static bool begin(struct talk *talk, uint8_t flags)
{
    static const char *const offers[] = {"SCRAM-SHA-1", "SCRAM-SHA-256", "PLAIN", "DIGEST-MD5"};
    static struct parser *parser;
    struct buf text = BUF_INIT, out = BUF_INIT;

    buf_add_str(&text,
                "<stream:features xmlns:stream='" NS_STREAMS "'><mechanisms xmlns='" NS_SASL "'>");
    for (size_t i = 0; i < 4; i++) {
        if (flags >> i & 1)
            buf_printf(&text, "<mechanism>%s</mechanism>", offers[i]);
    }
    buf_add_str(&text, "</mechanisms></stream:features>");
    enum sasl_result result =
        sasl_begin(talk->sasl, read_message(&parser, &text), flags & 16, &out);
    require((result == SASL_OK) == ((flags & 3) || (flags & 20) == 20));
    if (result == SASL_OK) {
        const char *mechanism = sasl_mechanism(talk->sasl);
        talk->sha256 = strcmp(mechanism, "SCRAM-SHA-256") == 0;
        talk->plain = strcmp(mechanism, "PLAIN") == 0;
        require(talk->plain == ((flags & 3) == 0) && talk->sha256 == ((flags & 2) != 0));
        take_first(talk, &out);
    } else {
        require(result == SASL_NO_MECHANISM && out.len == 0);
    }
    buf_done(&out);
    buf_done(&text);
    return result == SASL_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct talk talk = {0};
    const char *text = (const char *)data + 1;

    if (size == 0)
        return 0;
    talk.sasl = sasl_new(USER, PASSWORD);
    require(talk.sasl != NULL);
    bool goes_on = begin(&talk, data[0]);
    for (size_t at = 0, end; goes_on && at < size - 1; at = end + 1) {
        const char *line_end = memchr(text + at, '\n', size - 1 - at);
        end = line_end ? (size_t)(line_end - text) : size - 1;
        if (end > at)
            goes_on = !serve(&talk, text + at, end - at);
    }
    sasl_free(talk.sasl);
    buf_done(&talk.nonce);
    buf_done(&talk.first_bare);
    buf_done(&talk.server_first);
    buf_done(&talk.final_bare);
    return 0;
}
