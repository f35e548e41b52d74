/*
 * Prosody answers each SASL message once, in order: counting is enough to know which answer is
 * whose.
 */
#include "proxy/login.h"

#include "xmpp/ns.h"

#include <string.h>

static const char *attempts(struct login *l)
{
    if (l->attempt)
        return "a login before the last one was answered";
    l->attempt = ++l->due;
    return NULL;
}

const char *login_says(struct login *l, const struct element *e, enum stanza_kind kind)
{
    const char *mechanism = element_attribute(e, "mechanism");
    const char *why;

    if (l->is_done)
        return "a login after the login";
    if (kind == STANZA_SASL_AUTH) {
        why = attempts(l);
        if (!why)
            l->judges_token = l->tries_anonymous = mechanism && strcmp(mechanism, "ANONYMOUS") == 0;
        return why;
    }
    if (element_is(e, NS_SASL, "response")) {
        why = attempts(l);
        if (!why)
            l->judges_token = false;
        return why;
    }
    if (!element_is(e, NS_SASL, "abort"))
        return "a challenge from a client";
    l->due++;
    return NULL;
}

/* Whether this answer is the attempt's. */
static bool answered(struct login *l)
{
    if (l->due)
        l->due--;
    return l->attempt && --l->attempt == 0;
}

void login_challenged(struct login *l)
{
    answered(l);
}

void login_succeeded(struct login *l)
{
    answered(l);
    l->is_done = true;
    l->is_anonymous = l->tries_anonymous;
}

static bool is_one_of(const char *text, const char *const *list)
{
    for (; *list; list++) {
        if (strcmp(text, *list) == 0)
            return true;
    }
    return false;
}

static enum login_token token_after(const struct element *failure)
{
    /* Said before the mechanism sees anything: the token was not looked at. */
    static const char *const before[] = {"aborted", "encryption-required", "incorrect-encoding",
                                         "invalid-mechanism", NULL};
    static const char *const refusals[] = {"not-allowed", "not-authorized", NULL};
    /* Said by Jitsi's modules, or Prosody's own, of one who keeps the token he has. */
    static const char *const others[] = {
        "user is banned", "User authenticated successfully, but username was invalid", NULL};
    const struct element *text = failure ? element_child(failure, NS_SASL, "text") : NULL;
    const struct element *condition = failure ? failure->first_child : NULL;

    if (!condition || condition == text)
        return LOGIN_TOKEN_DOUBTED;
    if (is_one_of(condition->name, before))
        return LOGIN_TOKEN_KEPT;
    if (!is_one_of(condition->name, refusals) || (text && is_one_of(text->text, others)))
        return LOGIN_TOKEN_DOUBTED;
    return LOGIN_TOKEN_FORGOTTEN;
}

void login_failed(struct login *l, const struct element *failure)
{
    enum login_token after;

    if (!answered(l) || !l->judges_token)
        return;
    after = token_after(failure);
    if (after > l->token)
        l->token = after;
}
