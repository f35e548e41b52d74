/*
 * The client against libgsasl's own server side, through the XML as it goes over the wire, and
 * against servers that cheat.
 */
#include "tests/unit/alloc.h"
#include "xmpp/ns.h"
#include "xmpp/sasl.h"

#include <gsasl.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define USER "vestibule"
#define PASSWORD "correct horse"

static const struct parse_limits limits = {
    .bytes = 65536, .depth = 10, .elements = 100, .attributes = 10};

/* ---- the server ---- */

struct server {
    Gsasl *gsasl;
    Gsasl_session *session;
    const char *password, *iterations;
};

static int server_provide(Gsasl *gsasl, Gsasl_session *session, Gsasl_property property)
{
    const struct server *server = gsasl_callback_hook_get(gsasl);

    switch (property) {
    case GSASL_PASSWORD:
        return gsasl_property_set(session, property, server->password);
    case GSASL_SCRAM_ITER:
        return gsasl_property_set(session, property, server->iterations);
    case GSASL_VALIDATE_SIMPLE:
        return strcmp(gsasl_property_fast(session, GSASL_AUTHID), USER) == 0 &&
                       strcmp(gsasl_property_fast(session, GSASL_PASSWORD), server->password) == 0
                   ? GSASL_OK
                   : GSASL_AUTHENTICATION_ERROR;
    default:
        return GSASL_NO_CALLBACK;
    }
}

static void server_start(struct server *server, const char *mechanism)
{
    assert_int_equal(gsasl_init(&server->gsasl), GSASL_OK);
    gsasl_callback_set(server->gsasl, server_provide);
    gsasl_callback_hook_set(server->gsasl, server);
    assert_int_equal(gsasl_server_start(server->gsasl, mechanism, &server->session), GSASL_OK);
}

static void server_stop(struct server *server)
{
    gsasl_finish(server->session);
    gsasl_done(server->gsasl);
}

/* ---- what both sides need ---- */

struct exchange {
    struct sasl *client;
    struct parser *parser;
    struct buf out;   /* what the client sent last */
    char reply[1000]; /* what the server answered, base64 */
};

static void exchange_begin(struct exchange *x, const char *password)
{
    *x = (struct exchange){.client = sasl_new(USER, password), .parser = parser_new()};
    assert_non_null(x->client);
    assert_non_null(x->parser);
}

static void exchange_end(struct exchange *x)
{
    sasl_free(x->client);
    parser_free(x->parser);
    buf_done(&x->out);
}

static const struct element *parse(struct exchange *x, const char *xml)
{
    const struct element *root;

    assert_int_equal(parser_read(x->parser, xml, strlen(xml), &limits, &root), PARSE_OK);
    return root;
}

static enum sasl_result begin(struct exchange *x, const char *mechanisms, bool plain_allowed)
{
    struct buf xml = BUF_INIT;

    buf_add_str(&xml,
                "<stream:features xmlns:stream='" NS_STREAMS "'><mechanisms xmlns='" NS_SASL "'>");
    while (*mechanisms != '\0') {
        size_t len = strcspn(mechanisms, " ");
        buf_printf(&xml, "<mechanism>%.*s</mechanism>", (int)len, mechanisms);
        mechanisms += len + (mechanisms[len] == ' ');
    }
    buf_add_str(&xml, "</mechanisms></stream:features>");
    buf_clear(&x->out);
    enum sasl_result result = sasl_begin(x->client, parse(x, xml.data), plain_allowed, &x->out);
    buf_done(&xml);
    return result;
}

static enum sasl_result challenge(struct exchange *x, const char *base64)
{
    struct buf xml = BUF_INIT;

    buf_printf(&xml, "<challenge xmlns='" NS_SASL "'>%s</challenge>", base64);
    buf_clear(&x->out);
    enum sasl_result result = sasl_challenge(x->client, parse(x, xml.data), &x->out);
    buf_done(&xml);
    return result;
}

static enum sasl_result success(struct exchange *x, const char *base64)
{
    struct buf xml = BUF_INIT;

    buf_printf(&xml, "<success xmlns='" NS_SASL "'>%s</success>", base64);
    enum sasl_result result = sasl_success(x->client, parse(x, xml.data));
    buf_done(&xml);
    return result;
}

/* Gives what the client sent to the server; its answer is in x->reply. */
static int serve(struct exchange *x, struct server *server, const char *name)
{
    const struct element *sent = parse(x, x->out.data);
    char *data = NULL, *answer = NULL, *base64 = NULL;
    size_t len = 0, answer_len = 0;

    assert_true(element_is(sent, NS_SASL, name));
    if (sent->text[0] != '\0')
        assert_int_equal(gsasl_base64_from(sent->text, strlen(sent->text), &data, &len), GSASL_OK);
    int code = gsasl_step(server->session, data, len, &answer, &answer_len);
    x->reply[0] = '\0';
    if (answer_len > 0) {
        assert_int_equal(gsasl_base64_to(answer, answer_len, &base64, NULL), GSASL_OK);
        snprintf(x->reply, sizeof(x->reply), "%s", base64);
    }
    gsasl_free(data);
    gsasl_free(answer);
    gsasl_free(base64);
    return code;
}

static void encode(const char *text, char *ret, size_t size)
{
    char *base64;

    assert_int_equal(gsasl_base64_to(text, strlen(text), &base64, NULL), GSASL_OK);
    snprintf(ret, size, "%s", base64);
    gsasl_free(base64);
}

/* ---- tests ---- */

static const struct {
    const char *name, *offered;
    bool plain_allowed;
    enum sasl_result result;
    const char *mechanism;
} choices[] = {
    {"best of all", "PLAIN SCRAM-SHA-1 SCRAM-SHA-256", true, SASL_OK, "SCRAM-SHA-256"},
    {"SHA-1 before PLAIN", "PLAIN SCRAM-SHA-1", true, SASL_OK, "SCRAM-SHA-1"},
    {"PLAIN where allowed", "PLAIN", true, SASL_OK, "PLAIN"},
    {"PLAIN not in clear", "PLAIN", false, SASL_NO_MECHANISM, ""},
    {"SCRAM in clear", "PLAIN SCRAM-SHA-1", false, SASL_OK, "SCRAM-SHA-1"},
    {"no channel binding", "SCRAM-SHA-1-PLUS SCRAM-SHA-256-PLUS", true, SASL_NO_MECHANISM, ""},
    {"others", "DIGEST-MD5 ANONYMOUS X-OAUTH2", true, SASL_NO_MECHANISM, ""},
    {"none", "", true, SASL_NO_MECHANISM, ""},
};

static void test_choice(void **state)
{
    for (size_t i = 0; i < sizeof(choices) / sizeof(*choices); i++) {
        struct exchange x;
        exchange_begin(&x, PASSWORD);
        assert_string_equal(sasl_mechanism(x.client), "");
        enum sasl_result result = begin(&x, choices[i].offered, choices[i].plain_allowed);
        if (result != choices[i].result ||
            strcmp(sasl_mechanism(x.client), choices[i].mechanism) != 0)
            fail_msg("%s: %d, %s", choices[i].name, result, sasl_mechanism(x.client));
        assert_int_equal(sasl_error(x.client)[0] == '\0', result == SASL_OK);
        exchange_end(&x);
    }
}

static void test_no_mechanisms_element(void **state)
{
    struct exchange x;

    exchange_begin(&x, PASSWORD);
    assert_int_equal(
        sasl_begin(x.client, parse(&x, "<features xmlns='" NS_STREAMS "'/>"), true, &x.out),
        SASL_NO_MECHANISM);
    assert_int_equal(x.out.len, 0);
    exchange_end(&x);
}

static void test_plain(void **state)
{
    struct exchange x;
    struct server server = {.password = PASSWORD};

    exchange_begin(&x, PASSWORD);
    server_start(&server, "PLAIN");
    assert_int_equal(begin(&x, "PLAIN", true), SASL_OK);
    /* "\0vestibule\0correct horse" */
    assert_string_equal(x.out.data, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' "
                                    "mechanism='PLAIN'>AHZlc3RpYnVsZQBjb3JyZWN0IGhvcnNl</auth>");
    assert_int_equal(serve(&x, &server, "auth"), GSASL_OK);
    assert_int_equal(success(&x, ""), SASL_OK);
    server_stop(&server);
    exchange_end(&x);
}

/* The whole way to what the server says last, which is left in x->reply. */
static void scram_until_last(struct exchange *x, struct server *server, const char *mechanism)
{
    server_start(server, mechanism);
    assert_int_equal(begin(x, mechanism, false), SASL_OK);
    assert_string_equal(sasl_mechanism(x->client), mechanism);
    assert_int_equal(serve(x, server, "auth"), GSASL_NEEDS_MORE);
    assert_int_equal(challenge(x, x->reply), SASL_OK);
    assert_int_equal(serve(x, server, "response"), GSASL_OK);
    assert_true(x->reply[0] != '\0');
}

static const char *const scrams[] = {"SCRAM-SHA-1", "SCRAM-SHA-256"};

static void test_scram(void **state)
{
    for (size_t i = 0; i < 2; i++) {
        struct exchange x;
        struct server server = {.password = PASSWORD, .iterations = "4096"};
        exchange_begin(&x, PASSWORD);
        scram_until_last(&x, &server, scrams[i]);
        assert_int_equal(success(&x, x.reply), SASL_OK);
        assert_string_equal(sasl_error(x.client), "");
        server_stop(&server);

        /* The same client once more, as after a connection that dropped; the last word comes as a
         * challenge this time, and success is empty. */
        scram_until_last(&x, &server, scrams[i]);
        assert_int_equal(challenge(&x, x.reply), SASL_OK);
        assert_string_equal(x.out.data, "<response xmlns='" NS_SASL "'></response>");
        assert_int_equal(success(&x, ""), SASL_OK);
        server_stop(&server);
        exchange_end(&x);
    }
}

static void test_wrong_password(void **state)
{
    struct exchange x;
    struct server server = {.password = PASSWORD, .iterations = "4096"};

    exchange_begin(&x, "wrong");
    server_start(&server, "SCRAM-SHA-256");
    assert_int_equal(begin(&x, "SCRAM-SHA-256", false), SASL_OK);
    assert_int_equal(serve(&x, &server, "auth"), GSASL_NEEDS_MORE);
    assert_int_equal(challenge(&x, x.reply), SASL_OK);
    assert_int_equal(serve(&x, &server, "response"), GSASL_AUTHENTICATION_ERROR);
    server_stop(&server);
    exchange_end(&x);
}

/* A server that does not know the password lets us in: we do not come. */
static void test_server_proves_nothing(void **state)
{
    static const struct {
        const char *name, *last;
    } lies[] = {
        {"empty success", ""},
        {"empty success, explicitly", "="},
        {"wrong signature", "dj1BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE9"}, /* v=AAA...= */
        {"error", "ZT1vdGhlci1lcnJvcg=="},                               /* e=other-error */
        {"not SCRAM", "aGVsbG8="},
        {"not base64", "!!!"},
    };

    for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
        struct exchange x;
        struct server server = {.password = PASSWORD, .iterations = "4096"};
        exchange_begin(&x, PASSWORD);
        scram_until_last(&x, &server, "SCRAM-SHA-256");
        if (success(&x, lies[i].last) != SASL_FAILED)
            fail_msg("%s: taken", lies[i].name);
        assert_true(sasl_error(x.client)[0] != '\0');
        assert_null(strstr(sasl_error(x.client), PASSWORD));
        /* The truth comes too late. */
        assert_int_equal(success(&x, x.reply), SASL_FAILED);
        server_stop(&server);
        exchange_end(&x);
    }
}

static void test_success_too_early(void **state)
{
    struct exchange x;
    struct server server = {.password = PASSWORD, .iterations = "4096"};

    exchange_begin(&x, PASSWORD);
    assert_int_equal(success(&x, ""), SASL_FAILED); /* before anything */
    assert_int_equal(challenge(&x, ""), SASL_FAILED);
    assert_int_equal(begin(&x, "SCRAM-SHA-1", false), SASL_OK);
    assert_int_equal(success(&x, ""), SASL_FAILED); /* behind <auth/> */

    server_start(&server, "SCRAM-SHA-1");
    assert_int_equal(begin(&x, "SCRAM-SHA-1", false), SASL_OK);
    assert_int_equal(serve(&x, &server, "auth"), GSASL_NEEDS_MORE);
    assert_int_equal(success(&x, x.reply), SASL_FAILED); /* the first challenge as success */
    server_stop(&server);
    exchange_end(&x);
}

static void test_too_much(void **state)
{
    struct exchange x;
    struct server server = {.password = PASSWORD, .iterations = "4096"};

    exchange_begin(&x, PASSWORD);
    scram_until_last(&x, &server, "SCRAM-SHA-1");
    assert_int_equal(challenge(&x, x.reply), SASL_OK);
    assert_int_equal(challenge(&x, x.reply), SASL_FAILED);
    server_stop(&server);

    scram_until_last(&x, &server, "SCRAM-SHA-1");
    assert_int_equal(challenge(&x, x.reply), SASL_OK);
    assert_int_equal(success(&x, x.reply), SASL_FAILED);
    server_stop(&server);

    assert_int_equal(begin(&x, "PLAIN", true), SASL_OK);
    assert_int_equal(challenge(&x, ""), SASL_FAILED);
    exchange_end(&x);
}

static void test_wrong_element(void **state)
{
    struct exchange x;

    exchange_begin(&x, PASSWORD);
    assert_int_equal(begin(&x, "PLAIN", true), SASL_OK);
    assert_int_equal(sasl_success(x.client, parse(&x, "<success xmlns='jabber:client'/>")),
                     SASL_FAILED);
    assert_int_equal(begin(&x, "PLAIN", true), SASL_OK);
    assert_int_equal(sasl_success(x.client, parse(&x, "<failure xmlns='" NS_SASL "'/>")),
                     SASL_FAILED);
    exchange_end(&x);
}

/* The nonce the client chose, out of <auth/>. */
static void client_nonce(struct exchange *x, char *ret, size_t size)
{
    const struct element *auth = parse(x, x->out.data);
    char *data;
    size_t len;

    assert_int_equal(gsasl_base64_from(auth->text, strlen(auth->text), &data, &len), GSASL_OK);
    const char *nonce = memmem(data, len, ",r=", 3);
    assert_non_null(nonce);
    assert_true((size_t)snprintf(ret, size, "%.*s", (int)(data + len - nonce - 3), nonce + 3) <
                size);
    gsasl_free(data);
}

static const struct {
    const char *name, *iterations;
    enum sasl_result result;
} iteration_cases[] = {
    {"one", "1", SASL_FAILED},
    {"none", "", SASL_FAILED},
    {"under the least", "4095", SASL_FAILED},
    {"the least", "4096", SASL_OK},
    {"Prosody's", "10000", SASL_OK},
    {"over the most", "600001", SASL_FAILED},
    {"enormous", "99999999999999999999999999", SASL_FAILED},
    {"negative", "-4096", SASL_FAILED},
};

static void test_iterations(void **state)
{
    for (size_t i = 0; i < sizeof(iteration_cases) / sizeof(*iteration_cases); i++) {
        struct exchange x;
        char nonce[100], text[300], base64[500];
        exchange_begin(&x, PASSWORD);
        assert_int_equal(begin(&x, "SCRAM-SHA-256", false), SASL_OK);
        client_nonce(&x, nonce, sizeof(nonce));
        snprintf(text, sizeof(text), "r=%sabc,s=QSXCR+Q6sek8bf92,i=%s", nonce,
                 iteration_cases[i].iterations);
        encode(text, base64, sizeof(base64));
        enum sasl_result result = challenge(&x, base64);
        if (result != iteration_cases[i].result)
            fail_msg("%s: %d, %s", iteration_cases[i].name, result, sasl_error(x.client));
        exchange_end(&x);
    }
}

static void test_bad_challenges(void **state)
{
    static char enormous[5001];
    memset(enormous, 'A', 5000);
    static const struct {
        const char *name, *base64;
    } bad[] = {
        {"empty", ""},
        {"not base64", "%%%"},
        {"not SCRAM", "aGVsbG8="},
        {"somebody else's nonce", "cj1hYmMscz1RU1hDUitRNnNlazhiZjkyLGk9NDA5Ng=="},
        {"enormous", enormous},
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct exchange x;
        exchange_begin(&x, PASSWORD);
        assert_int_equal(begin(&x, "SCRAM-SHA-256", false), SASL_OK);
        if (challenge(&x, bad[i].base64) != SASL_FAILED)
            fail_msg("%s: taken", bad[i].name);
        assert_int_equal(x.out.len, 0);
        exchange_end(&x);
    }
}

/* A password SASLprep refuses (a control character) fails with a reason that does not quote it. */
static void test_forbidden_password(void **state)
{
    static const char *const mechanisms[] = {"SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"};

    for (size_t i = 0; i < 3; i++) {
        struct exchange x;
        exchange_begin(&x, "secret\x07");
        assert_int_equal(begin(&x, mechanisms[i], true), SASL_FAILED);
        assert_int_equal(x.out.len, 0);
        assert_true(sasl_error(x.client)[0] != '\0');
        assert_null(strstr(sasl_error(x.client), "secret"));
        exchange_end(&x);
    }
}

static void test_no_memory(void **state)
{
    bool hit = true;

    for (long n = 0; hit; n++) {
        struct exchange x = {.parser = parser_new()};
        const struct element *features =
            parse(&x, "<features xmlns='" NS_STREAMS "'><mechanisms xmlns='" NS_SASL
                      "'><mechanism>SCRAM-SHA-1</mechanism></mechanisms></features>");
        enum sasl_result result = SASL_NO_MEMORY;
        alloc_track_on();
        alloc_fail_after(n);
        x.client = sasl_new(USER, PASSWORD);
        if (x.client != NULL)
            result = sasl_begin(x.client, features, false, &x.out);
        hit = alloc_failed();
        alloc_fail_off();
        assert_int_equal(result, hit ? SASL_NO_MEMORY : SASL_OK);
        sasl_free(x.client);
        buf_done(&x.out);
        assert_int_equal(alloc_live(), 0);
        alloc_track_off();
        parser_free(x.parser);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_no_mechanisms_element),
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_scram),
        cmocka_unit_test(test_wrong_password),
        cmocka_unit_test(test_server_proves_nothing),
        cmocka_unit_test(test_success_too_early),
        cmocka_unit_test(test_too_much),
        cmocka_unit_test(test_wrong_element),
        cmocka_unit_test(test_iterations),
        cmocka_unit_test(test_bad_challenges),
        cmocka_unit_test(test_forbidden_password),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
