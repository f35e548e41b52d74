/*
 * See sasl.h. libgsasl does the mechanisms; here are the choice of one, the XML around it and the
 * rules of RFC 6120 section 6.
 *
 * What a newcomer gets wrong: <success/> alone proves nothing. With SCRAM the server's signature
 * comes in it (or in a last challenge) and only libgsasl's "complete" says that it was right.
 */
#include "xmpp/sasl.h"

#include "xmpp/ns.h"

#include <gsasl.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CHALLENGE_MAX 4096 /* characters of base64; a SCRAM message has some 200 */
/* RFC 7677 section 4 asks for 4096 at least: with less, whoever stands between learns the password
 * cheaply. The work is done on the only thread, so there is an end to it as well. */
#define ITERATIONS_MIN 4096
#define ITERATIONS_MAX 600000

enum sasl_state { SASL_IDLE, SASL_STARTED, SASL_COMPLETE, SASL_BROKEN };

struct sasl {
    char *user, *password;
    Gsasl *gsasl;
    Gsasl_session *session;
    enum sasl_state state;
    const char *mechanism;
    const char *error;
};

static const char *const mechanisms[] = {"SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"};

/* libgsasl asks for what it lacks. Without an answer for the channel-binding properties it says "no
 * channel binding" (flag n), which is right for the mechanisms without -PLUS. */
static int provide(Gsasl *gsasl, Gsasl_session *session, Gsasl_property property)
{
    const struct sasl *s = gsasl_callback_hook_get(gsasl);

    switch (property) {
    case GSASL_AUTHID:
        return gsasl_property_set(session, property, s->user);
    case GSASL_PASSWORD:
        return gsasl_property_set(session, property, s->password);
    default:
        return GSASL_NO_CALLBACK;
    }
}

static void wipe(const char *text)
{
    /* libgsasl hands out its own copy as const and frees it without clearing. */
    if (text != NULL)
        explicit_bzero((void *)(uintptr_t)text, strlen(text));
}

static void end_session(struct sasl *s)
{
    if (s->session == NULL)
        return;
    wipe(gsasl_property_fast(s->session, GSASL_PASSWORD));
    wipe(gsasl_property_fast(s->session, GSASL_SCRAM_SALTED_PASSWORD));
    gsasl_finish(s->session);
    s->session = NULL;
}

struct sasl *sasl_new(const char *user, const char *password)
{
    struct sasl *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->mechanism = "";
    s->error = "";
    s->user = strdup(user);
    s->password = strdup(password);
    if (s->user == NULL || s->password == NULL || gsasl_init(&s->gsasl) != GSASL_OK) {
        sasl_free(s);
        return NULL;
    }
    gsasl_callback_set(s->gsasl, provide);
    gsasl_callback_hook_set(s->gsasl, s);
    return s;
}

void sasl_free(struct sasl *s)
{
    if (s == NULL)
        return;
    end_session(s);
    if (s->gsasl != NULL)
        gsasl_done(s->gsasl);
    wipe(s->password);
    free(s->password);
    free(s->user);
    free(s);
}

const char *sasl_mechanism(const struct sasl *s)
{
    return s->mechanism;
}

const char *sasl_error(const struct sasl *s)
{
    return s->error;
}

static enum sasl_result broken(struct sasl *s, enum sasl_result result, const char *error)
{
    s->state = SASL_BROKEN;
    s->error = error;
    return result;
}

static enum sasl_result broken_by(struct sasl *s, int code)
{
    switch (code) {
    case GSASL_MALLOC_ERROR:
        return broken(s, SASL_NO_MEMORY, "out of memory");
    case GSASL_AUTHENTICATION_ERROR:
        return broken(s, SASL_FAILED, "the server could not prove that it knows the password");
    case GSASL_MECHANISM_PARSE_ERROR:
        return broken(s, SASL_FAILED, "the server's message is not what the mechanism asks for");
    case GSASL_MECHANISM_CALLED_TOO_MANY_TIMES:
        return broken(s, SASL_FAILED, "the server went on after the mechanism's end");
    case GSASL_SASLPREP_ERROR:
        return broken(s, SASL_FAILED, "user name or password has characters SASLprep forbids");
    case GSASL_CRYPTO_ERROR:
        return broken(s, SASL_FAILED, "cryptographic library failed");
    default:
        return broken(s, SASL_FAILED, "mechanism failed");
    }
}

static bool is_offered(const struct element *features, const char *mechanism)
{
    const struct element *offer = element_child(features, NS_SASL, "mechanisms");
    if (offer == NULL)
        return false;
    const struct element *e = element_child(offer, NS_SASL, "mechanism");
    for (; e != NULL; e = element_next(e, NS_SASL, "mechanism")) {
        if (strcmp(e->text, mechanism) == 0)
            return true;
    }
    return false;
}

/* Adds <name xmlns=sasl>base64</name>. */
static enum sasl_result add_element(struct sasl *s, struct buf *out, const char *name,
                                    const char *payload, size_t len)
{
    char *text = NULL;
    bool is_auth = strcmp(name, "auth") == 0;

    if (len > 0 && gsasl_base64_to(payload, len, &text, NULL) != GSASL_OK)
        return broken(s, SASL_NO_MEMORY, "out of memory");
    buf_printf(out, "<%s xmlns='%s'", name, NS_SASL);
    if (is_auth)
        buf_printf(out, " mechanism='%s'", s->mechanism);
    buf_add_str(out, ">");
    /* An empty initial response would read as none at all, hence "="; in <response/> nothing is
     * simply nothing (section 6.4.2). */
    buf_add_str(out, text != NULL ? text : is_auth ? "=" : "");
    buf_printf(out, "</%s>", name);
    wipe(text);
    gsasl_free(text);
    return out->failed ? broken(s, SASL_NO_MEMORY, "out of memory") : SASL_OK;
}

/* One step of the mechanism; *ret_reply is freed with free_reply. */
static enum sasl_result step(struct sasl *s, const char *input, size_t len, char **ret_reply,
                             size_t *ret_len)
{
    char *reply = NULL;
    size_t reply_len = 0;

    int code = gsasl_step(s->session, input, len, &reply, &reply_len);
    if (code != GSASL_OK && code != GSASL_NEEDS_MORE)
        return broken_by(s, code);
    if (code == GSASL_OK)
        s->state = SASL_COMPLETE;
    *ret_reply = reply;
    *ret_len = reply_len;
    return SASL_OK;
}

/* PLAIN's reply is the password. */
static void free_reply(char *reply, size_t len)
{
    if (reply != NULL)
        explicit_bzero(reply, len);
    gsasl_free(reply);
}

/* Whether SASLprep takes user and password (RFC 4013). Asked before the mechanism does, since
 * libgsasl 2.2.0 finds a bad password out in the middle of SCRAM, and leaks the salt then. */
static enum sasl_result check_prepared(struct sasl *s)
{
    char *prepared = NULL;

    int code = gsasl_saslprep(s->user, GSASL_ALLOW_UNASSIGNED, &prepared, NULL);
    gsasl_free(prepared);
    prepared = NULL;
    if (code == GSASL_OK)
        code = gsasl_saslprep(s->password, 0, &prepared, NULL);
    wipe(prepared);
    gsasl_free(prepared);
    return code == GSASL_OK ? SASL_OK : broken_by(s, code);
}

enum sasl_result sasl_begin(struct sasl *s, const struct element *features, bool plain_allowed,
                            struct buf *out)
{
    const char *chosen = NULL;
    bool only_plain = false;

    end_session(s);
    s->state = SASL_IDLE;
    s->mechanism = "";
    s->error = "";
    for (size_t i = 0; i < sizeof(mechanisms) / sizeof(*mechanisms) && chosen == NULL; i++) {
        if (!is_offered(features, mechanisms[i]))
            continue;
        if (strcmp(mechanisms[i], "PLAIN") == 0 && !plain_allowed)
            only_plain = true;
        else
            chosen = mechanisms[i];
    }
    if (chosen == NULL)
        return broken(s, SASL_NO_MECHANISM,
                      only_plain ? "the server offers only PLAIN, over a connection in clear"
                                 : "the server offers neither SCRAM nor PLAIN");

    enum sasl_result result = check_prepared(s);
    if (result != SASL_OK)
        return result;
    int code = gsasl_client_start(s->gsasl, chosen, &s->session);
    if (code != GSASL_OK)
        return broken_by(s, code);
    s->mechanism = chosen;
    s->state = SASL_STARTED;

    char *reply = NULL;
    size_t len = 0;
    result = step(s, NULL, 0, &reply, &len);
    if (result != SASL_OK)
        return result;
    result = add_element(s, out, "auth", reply, len);
    free_reply(reply, len);
    return result;
}

/* The iteration count of a SCRAM server-first-message ("r=...,s=...,i=N"); -1 when data is not one,
 * which is then libgsasl's to judge. */
static long iterations(const char *data, size_t len)
{
    for (size_t at = 0; at < len;) {
        const char *comma = memchr(data + at, ',', len - at);
        size_t end = comma != NULL ? (size_t)(comma - data) : len;
        if (end - at >= 2 && data[at] == 'i' && data[at + 1] == '=') {
            long count = 0;
            for (at += 2; at < end && data[at] >= '0' && data[at] <= '9'; at++) {
                if (count <= ITERATIONS_MAX)
                    count = count * 10 + (data[at] - '0');
            }
            return count;
        }
        at = end + 1;
    }
    return -1;
}

/* The bytes of an element's base64; "=" is empty (section 6.4.2). */
static enum sasl_result decode(struct sasl *s, const struct element *e, char **ret_data,
                               size_t *ret_len)
{
    size_t text_len = strlen(e->text);

    *ret_data = NULL;
    *ret_len = 0;
    if (text_len > CHALLENGE_MAX)
        return broken(s, SASL_FAILED, "the server's challenge is too long");
    if (text_len == 0 || strcmp(e->text, "=") == 0)
        return SASL_OK;
    int code = gsasl_base64_from(e->text, text_len, ret_data, ret_len);
    if (code == GSASL_MALLOC_ERROR)
        return broken_by(s, code);
    if (code != GSASL_OK)
        return broken(s, SASL_FAILED, "the server's challenge is not base64");
    return SASL_OK;
}

/* Gives what an element holds to the mechanism. */
static enum sasl_result feed(struct sasl *s, const struct element *e, char **ret_reply,
                             size_t *ret_len)
{
    char *data;
    size_t len;

    enum sasl_result result = decode(s, e, &data, &len);
    if (result != SASL_OK)
        return result;
    long count = iterations(data, len);
    if (count >= 0 && (count < ITERATIONS_MIN || count > ITERATIONS_MAX))
        result = broken(s, SASL_FAILED, "the server's SCRAM iteration count is out of bounds");
    else
        result = step(s, data, len, ret_reply, ret_len);
    gsasl_free(data);
    return result;
}

enum sasl_result sasl_challenge(struct sasl *s, const struct element *challenge, struct buf *out)
{
    char *reply = NULL;
    size_t len = 0;

    if (s->state == SASL_BROKEN)
        return SASL_FAILED;
    if (s->state != SASL_STARTED || !element_is(challenge, NS_SASL, "challenge"))
        return broken(s, SASL_FAILED, "a challenge that nothing asked for");
    enum sasl_result result = feed(s, challenge, &reply, &len);
    if (result != SASL_OK)
        return result;
    result = add_element(s, out, "response", reply, len);
    free_reply(reply, len);
    return result;
}

enum sasl_result sasl_success(struct sasl *s, const struct element *success)
{
    if (s->state == SASL_BROKEN)
        return SASL_FAILED;
    if (s->state == SASL_IDLE || !element_is(success, NS_SASL, "success"))
        return broken(s, SASL_FAILED, "a success that nothing asked for");

    /* Data with success is the last challenge (section 6.4.6); it needs no answer. */
    if (success->text[0] != '\0') {
        char *reply = NULL;
        size_t len = 0;
        if (s->state == SASL_COMPLETE)
            return broken(s, SASL_FAILED, "the server went on after the mechanism's end");
        enum sasl_result result = feed(s, success, &reply, &len);
        if (result != SASL_OK)
            return result;
        free_reply(reply, len);
        if (len > 0)
            return broken(s, SASL_FAILED, "the server ended before the mechanism did");
    }
    if (s->state != SASL_COMPLETE)
        return broken(s, SASL_FAILED, "the server could not prove that it knows the password");
    end_session(s);
    return SASL_OK;
}
