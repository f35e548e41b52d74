/*
 * SASL as a client writes it and Prosody answers it: what may come when, and what becomes of the
 * token.
 */
#include "proxy/login.h"
#include "xmpp/ns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    char letter;
    bool is_prosodys;
    const char *text;
} messages[] = {
    {'a', false, "<auth xmlns='" NS_SASL "' mechanism='ANONYMOUS'/>"},
    {'l', false, "<auth xmlns='" NS_SASL "' mechanism='anonymous'/>"},
    {'p', false, "<auth xmlns='" NS_SASL "' mechanism='PLAIN'>AGEAYg==</auth>"},
    {'n', false, "<auth xmlns='" NS_SASL "'/>"},
    {'r', false, "<response xmlns='" NS_SASL "'/>"},
    {'x', false, "<abort xmlns='" NS_SASL "'/>"},
    {'c', false, "<challenge xmlns='" NS_SASL "'/>"},
    {'C', true, "<challenge xmlns='" NS_SASL "'/>"},
    {'S', true, "<success xmlns='" NS_SASL "'/>"},
    {'F', true, "<failure xmlns='" NS_SASL "'><not-allowed/><text>x</text></failure>"},
    {'M', true, "<failure xmlns='" NS_SASL "'><invalid-mechanism/></failure>"},
    {'E', true, "<failure xmlns='" NS_SASL "'><incorrect-encoding/></failure>"},
    {'O', true,
     "<failure xmlns='" NS_SASL "'><not-authorized/><text>Out of order SASL element</text>"
     "</failure>"},
    {'X', true, "<failure xmlns='" NS_SASL "'><aborted/></failure>"},
};

static const struct element *read_message(struct parser *parser, const char *text)
{
    const struct parse_limits limits = {
        .bytes = 4096, .depth = 8, .elements = 32, .attributes = 16};
    const struct element *e = NULL;

    assert_int_equal(parser_read(parser, text, strlen(text), &limits, &e), PARSE_OK);
    return e;
}

/* Whether that message may come (a client's), or true. */
static bool comes(struct login *l, struct parser *parser, char letter)
{
    for (size_t i = 0; i < sizeof(messages) / sizeof(*messages); i++) {
        const struct element *e;

        if (messages[i].letter != letter)
            continue;
        e = read_message(parser, messages[i].text);
        switch (messages[i].is_prosodys ? stanza_kind(e) : STANZA_OPEN) {
        case STANZA_OPEN:
            return login_says(l, e, stanza_kind(e)) == NULL;
        case STANZA_SASL_SUCCESS:
            login_succeeded(l);
            return true;
        case STANZA_SASL_FAILURE:
            login_failed(l, e);
            return true;
        default:
            login_challenged(l);
            return true;
        }
    }
    fail_msg("no message %c", letter);
    return false;
}

enum outcome { OPEN, ENDED, ANONYMOUS, ACCOUNT };

static const struct {
    const char *name, *messages;
    enum outcome outcome; /* ENDED: by the last one */
    enum login_token token;
} orders[] = {
    {"a guest", "aS", ANONYMOUS, LOGIN_TOKEN_KEPT},
    {"an account", "pS", ACCOUNT, LOGIN_TOKEN_KEPT},
    {"an account, with a challenge", "nCrS", ACCOUNT, LOGIN_TOKEN_KEPT},
    {"mechanisms are compared as Prosody does", "lS", ACCOUNT, LOGIN_TOKEN_KEPT},
    {"two at once: anonymous, plain", "ap", ENDED, LOGIN_TOKEN_KEPT},
    {"two at once: plain, anonymous", "pa", ENDED, LOGIN_TOKEN_KEPT},
    {"two at once, an abort between", "pxa", ENDED, LOGIN_TOKEN_KEPT},
    {"two at once, of which the abort is answered", "xpXa", ENDED, LOGIN_TOKEN_KEPT},
    {"a response to nothing said yet", "ar", ENDED, LOGIN_TOKEN_KEPT},
    {"two responses at once", "nCrr", ENDED, LOGIN_TOKEN_KEPT},
    {"a challenge from a client", "c", ENDED, LOGIN_TOKEN_KEPT},
    {"a second login", "aSp", ENDED, LOGIN_TOKEN_KEPT},
    {"an abort behind it", "aSx", ENDED, LOGIN_TOKEN_KEPT},
    {"one after the other", "aFpMaS", ANONYMOUS, LOGIN_TOKEN_FORGOTTEN},
    {"an abort that is not waited for", "nCxaXS", ANONYMOUS, LOGIN_TOKEN_KEPT},
    {"an abort that comes too late", "axSX", ANONYMOUS, LOGIN_TOKEN_KEPT},
    {"aborts before and behind", "xxaxXXSX", ANONYMOUS, LOGIN_TOKEN_KEPT},
    {"a refused token", "aF", OPEN, LOGIN_TOKEN_FORGOTTEN},
    {"it behind aborts", "xxaXXF", OPEN, LOGIN_TOKEN_FORGOTTEN},
    {"it before one", "axFX", OPEN, LOGIN_TOKEN_FORGOTTEN},
    {"once forgotten it stays so", "aFaE", OPEN, LOGIN_TOKEN_FORGOTTEN},
    {"a failure with an account", "pF", OPEN, LOGIN_TOKEN_KEPT},
    {"a mechanism that is not there", "pM", OPEN, LOGIN_TOKEN_KEPT},
    {"none", "nM", OPEN, LOGIN_TOKEN_KEPT},
    {"a response out of order", "rO", OPEN, LOGIN_TOKEN_KEPT},
    {"one behind an anonymous login that could not be read", "aErO", OPEN, LOGIN_TOKEN_KEPT},
    {"an abort", "xX", OPEN, LOGIN_TOKEN_KEPT},
    {"a failure that answers nothing", "F", OPEN, LOGIN_TOKEN_KEPT},
    {"an answer too many", "aSF", ANONYMOUS, LOGIN_TOKEN_KEPT},
};

static void test_orders(void **state)
{
    struct parser *parser = parser_new();

    for (size_t i = 0; i < sizeof(orders) / sizeof(*orders); i++) {
        struct login l = {0};
        const char *at = orders[i].messages;

        while (*at && comes(&l, parser, *at))
            at++;
        if ((orders[i].outcome == ENDED) != (*at != '\0') || (*at && at[1]))
            fail_msg("%s: ends at \"%s\"", orders[i].name, at);
        if (l.is_done != (orders[i].outcome > ENDED) && !*at)
            fail_msg("%s: logged in or not", orders[i].name);
        if (!*at && l.is_anonymous != (orders[i].outcome == ANONYMOUS))
            fail_msg("%s: by which mechanism", orders[i].name);
        if (l.token != orders[i].token)
            fail_msg("%s: the token", orders[i].name);
    }
    parser_free(parser);
}

#define TEXT(text) "<text>" text "</text>"

static const struct {
    const char *name, *content;
    enum login_token token;
} failures[] = {
    {"not allowed", "<not-allowed/>" TEXT("Not acceptable by exp"), LOGIN_TOKEN_FORGOTTEN},
    {"not allowed, no text", "<not-allowed/>", LOGIN_TOKEN_FORGOTTEN},
    {"not authorized", "<not-authorized/>" TEXT("room claim is missing"), LOGIN_TOKEN_FORGOTTEN},
    {"an empty token", "<not-allowed/>" TEXT("token required"), LOGIN_TOKEN_FORGOTTEN},
    {"banned", "<not-allowed/>" TEXT("user is banned"), LOGIN_TOKEN_DOUBTED},
    {"a name Prosody does not take",
     "<not-authorized/>" TEXT("User authenticated successfully, but username was invalid"),
     LOGIN_TOKEN_DOUBTED},
    {"temporary", "<temporary-auth-failure/>" TEXT("Connection gone"), LOGIN_TOKEN_DOUBTED},
    {"malformed", "<malformed-request/>", LOGIN_TOKEN_DOUBTED},
    {"a condition of a module's own", "<tenant-closed/>", LOGIN_TOKEN_DOUBTED},
    {"none", "", LOGIN_TOKEN_DOUBTED},
    {"a text alone", TEXT("not-allowed"), LOGIN_TOKEN_DOUBTED},
    {"a text named as a condition is", TEXT("x") "<not-allowed/>", LOGIN_TOKEN_DOUBTED},
    {"the mechanism", "<invalid-mechanism/>", LOGIN_TOKEN_KEPT},
    {"TLS", "<encryption-required/>", LOGIN_TOKEN_KEPT},
    {"base64", "<incorrect-encoding/>", LOGIN_TOKEN_KEPT},
    {"aborted", "<aborted/>", LOGIN_TOKEN_KEPT},
};

static void test_failures(void **state)
{
    struct parser *parser = parser_new();

    for (size_t i = 0; i < sizeof(failures) / sizeof(*failures); i++) {
        struct login l = {0};
        char text[512];

        assert_true(comes(&l, parser, 'a'));
        snprintf(text, sizeof text, "<failure xmlns='" NS_SASL "'>%s</failure>",
                 failures[i].content);
        login_failed(&l, read_message(parser, text));
        if (l.token != failures[i].token)
            fail_msg("%s", failures[i].name);
        assert_true(comes(&l, parser, 'a'));
        login_failed(&l, NULL);
        if (l.token < LOGIN_TOKEN_DOUBTED)
            fail_msg("%s: then one that cannot be read", failures[i].name);
    }
    parser_free(parser);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_orders),
        cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
