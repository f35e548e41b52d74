/*
 * certs/tls.c with certificates by certs/make-dev-ca.sh: handshakes in memory, and what is said of
 * files that are no good.
 */
#include "certs/tls.h"

#include <dirent.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define PATH_LEN 512
#define TEXT_LEN 1024

static char directory[PATH_LEN];

/* A path in the test's directory; sixteen of them live at a time. */
static const char *in(const char *name)
{
    static char paths[16][PATH_LEN * 2];
    static unsigned next;
    char *path = paths[next++ % 16];

    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

/* Runs make-dev-ca.sh with up to four arguments; what it printed is not shown. Returns its status.
 */
static int make_dev_ca(const char *a, const char *b, const char *c, const char *d)
{
    const char *script = getenv("MAKE_DEV_CA");
    pid_t child;
    int status;

    assert_non_null(script);
    child = fork();
    if (child == 0) {
        if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))
            _exit(126);
        execl(script, script, a, b, c, d, (char *)NULL);
        _exit(127);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void read_file(const char *path, char text[4096])
{
    FILE *file = fopen(path, "r");

    assert_non_null(file);
    text[fread(text, 1, 4095, file)] = '\0';
    fclose(file);
}

static int make_certificates(void **state)
{
    const char *top = getenv("TMPDIR");

    snprintf(directory, sizeof directory, "%s/vestibule-tls-XXXXXX", top ? top : "/tmp");
    if (!mkdtemp(directory))
        return -1;
    return make_dev_ca(in("one"), "meet.example.com", "192.0.2.1", NULL) ||
           make_dev_ca(in("two"), "meet.example.com", NULL, NULL);
}

static void remove_all(const char *path)
{
    DIR *folder = opendir(path);
    struct dirent *entry;
    char name[PATH_LEN * 2];

    if (!folder) {
        unlink(path);
        return;
    }
    while ((entry = readdir(folder))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        remove_all(name);
    }
    closedir(folder);
    rmdir(path);
}

static int remove_certificates(void **state)
{
    remove_all(directory);
    return 0;
}

/* Handshakes. */

struct outcome {
    bool done;          /* both sides are */
    long verify_result; /* the client's */
    int version;
};

/* Lets two ends talk until both are done or one fails. */
static struct outcome shake_hands(SSL_CTX *server_context, SSL_CTX *client_context)
{
    struct outcome outcome = {0};
    SSL *server = SSL_new(server_context);
    SSL *client = SSL_new(client_context);
    BIO *server_end, *client_end;

    assert_true(server && client);
    assert_int_equal(BIO_new_bio_pair(&server_end, 0, &client_end, 0), 1);
    SSL_set_bio(server, server_end, server_end);
    SSL_set_bio(client, client_end, client_end);
    SSL_set_accept_state(server);
    SSL_set_connect_state(client);
    for (int turn = 0; turn < 20 && !outcome.done; turn++) {
        SSL_do_handshake(client);
        SSL_do_handshake(server);
        outcome.done = SSL_is_init_finished(client) && SSL_is_init_finished(server);
    }
    outcome.verify_result = SSL_get_verify_result(client);
    outcome.version = SSL_version(client);
    SSL_free(server);
    SSL_free(client);
    ERR_clear_error();
    return outcome;
}

static const struct {
    const char *name, *certificate, *ca, *host;
    long verify_result; /* X509_V_OK: the handshake succeeds */
} handshakes[] = {
    {"by name", "one/meet.example.com", "one/ca.crt", "meet.example.com", X509_V_OK},
    {"by name, in capitals", "one/meet.example.com", "one/ca.crt", "MEET.example.com", X509_V_OK},
    {"by localhost", "one/meet.example.com", "one/ca.crt", "localhost", X509_V_OK},
    {"by address", "one/192.0.2.1", "one/ca.crt", "192.0.2.1", X509_V_OK},
    {"by loopback address", "one/192.0.2.1", "one/ca.crt", "127.0.0.1", X509_V_OK},
    {"another name", "one/meet.example.com", "one/ca.crt", "example.com",
     X509_V_ERR_HOSTNAME_MISMATCH},
    {"a longer name", "one/meet.example.com", "one/ca.crt", "x.meet.example.com",
     X509_V_ERR_HOSTNAME_MISMATCH},
    {"another address", "one/meet.example.com", "one/ca.crt", "192.0.2.1",
     X509_V_ERR_IP_ADDRESS_MISMATCH},
    {"an address is no name", "one/192.0.2.1", "one/ca.crt", "::1", X509_V_ERR_IP_ADDRESS_MISMATCH},
    {"another CA of the same name", "one/meet.example.com", "two/ca.crt", "meet.example.com",
     X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY},
    {"the system's CAs", "one/meet.example.com", NULL, "meet.example.com",
     X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY},
};

static SSL_CTX *server_new(const char *base)
{
    char certificate[64], key[64], error[TEXT_LEN] = "";
    SSL_CTX *context;

    snprintf(certificate, sizeof certificate, "%s.crt", base);
    snprintf(key, sizeof key, "%s.key", base);
    context = tls_server_new(in(certificate), in(key), error, sizeof error);
    if (!context)
        fail_msg("%s", error);
    return context;
}

static SSL_CTX *client_new(const char *ca, const char *host)
{
    char error[TEXT_LEN] = "";
    SSL_CTX *context = tls_client_new(ca ? in(ca) : NULL, host, error, sizeof error);

    if (!context)
        fail_msg("%s", error);
    return context;
}

static void verifies_the_peer(void **state)
{
    for (size_t i = 0; i < sizeof handshakes / sizeof handshakes[0]; i++) {
        SSL_CTX *server = server_new(handshakes[i].certificate);
        SSL_CTX *client = client_new(handshakes[i].ca, handshakes[i].host);
        struct outcome outcome = shake_hands(server, client);

        if (outcome.verify_result != handshakes[i].verify_result)
            fail_msg("%s: %s", handshakes[i].name,
                     X509_verify_cert_error_string(outcome.verify_result));
        if (outcome.done != (handshakes[i].verify_result == X509_V_OK))
            fail_msg("%s: done %d", handshakes[i].name, outcome.done);
        SSL_CTX_free(server);
        SSL_CTX_free(client);
    }
}

static void refuses_no_host(void **state)
{
    char error[TEXT_LEN] = "";

    assert_null(tls_client_new(in("one/ca.crt"), "", error, sizeof error));
    assert_string_not_equal(error, "");
}

/* What a peer may bring down to, and what not. */
static void refuses_old_versions(void **state)
{
    SSL_CTX *server = server_new("one/meet.example.com");
    SSL_CTX *client = client_new("one/ca.crt", "meet.example.com");
    struct outcome outcome = shake_hands(server, client);

    assert_int_equal(outcome.version, TLS1_3_VERSION);
    SSL_CTX_set_max_proto_version(client, TLS1_2_VERSION);
    outcome = shake_hands(server, client);
    assert_true(outcome.done);
    assert_int_equal(outcome.version, TLS1_2_VERSION);
    /* Security level 0: it is not OpenSSL's own default that refuses. */
    SSL_CTX_set_security_level(server, 0);
    SSL_CTX_set_security_level(client, 0);
    SSL_CTX_set_cipher_list(client, "ALL");
    SSL_CTX_set_min_proto_version(client, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(client, TLS1_1_VERSION);
    outcome = shake_hands(server, client);
    assert_false(outcome.done);
    SSL_CTX_free(server);
    SSL_CTX_free(client);
}

static void sets_the_options(void **state)
{
    SSL_CTX *contexts[] = {server_new("one/meet.example.com"),
                           client_new("one/ca.crt", "meet.example.com")};

    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(SSL_CTX_get_min_proto_version(contexts[i]), TLS1_2_VERSION);
        assert_true(SSL_CTX_get_options(contexts[i]) & SSL_OP_NO_COMPRESSION);
        assert_true(SSL_CTX_get_options(contexts[i]) & SSL_OP_NO_RENEGOTIATION);
        SSL_CTX_free(contexts[i]);
    }
}

/* Errors. */

#define NO_CERTIFICATE "holds no usable PEM certificate (OpenSSL: "
#define NO_KEY "is not the certificate's PEM key without passphrase (OpenSSL: "

/* culprit: the file named. reason: what the error goes on with. */
static void expect_error(SSL_CTX *context, const char *error, const char *culprit,
                         const char *reason)
{
    char expected[TEXT_LEN];

    snprintf(expected, sizeof expected, "%s: %s", culprit, reason);
    assert_null(context);
    if (strncmp(error, expected, strlen(expected)) != 0)
        fail_msg("%s, expected %s", error, expected);
    assert_null(strchr(error, '\n'));
    assert_int_equal(ERR_peek_error(), 0);
}

static void names_the_file_at_fault(void **state)
{
    const char *certificate = in("one/meet.example.com.crt"), *key = in("one/meet.example.com.key");
    const char *missing = in("missing"), *text = in("text"),
               *other = in("two/meet.example.com.key");
    const struct {
        const char *certificate, *key, *culprit, *reason;
    } cases[] = {
        {missing, key, missing, "No such file or directory"},
        {certificate, missing, missing, "No such file or directory"},
        {text, key, text, NO_CERTIFICATE},
        {certificate, text, text, NO_KEY},
        {key, key, key, NO_CERTIFICATE},
        {certificate, certificate, certificate, NO_KEY},
        {certificate, other, other, NO_KEY "key values mismatch)"},
    };

    write_file(text, "hello\n");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char error[TEXT_LEN] = "";
        SSL_CTX *context = tls_server_new(cases[i].certificate, cases[i].key, error, sizeof error);

        expect_error(context, error, cases[i].culprit, cases[i].reason);
    }
}

static void names_the_ca_file_at_fault(void **state)
{
    const char *missing = in("missing"), *text = in("text");
    char error[TEXT_LEN] = "";

    write_file(text, "hello\n");
    expect_error(tls_client_new(missing, "localhost", error, sizeof error), error, missing,
                 "No such file or directory");
    expect_error(tls_client_new(text, "localhost", error, sizeof error), error, text,
                 NO_CERTIFICATE);
}

/* It would otherwise ask for it on the terminal. */
static void does_not_ask_for_a_passphrase(void **state)
{
    const char *key = in("one/meet.example.com.key"), *locked = in("locked.key");
    char error[TEXT_LEN] = "";
    FILE *file = fopen(key, "r");
    EVP_PKEY *pkey;

    assert_non_null(file);
    pkey = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    fclose(file);
    assert_non_null(pkey);
    file = fopen(locked, "w");
    assert_non_null(file);
    assert_int_equal(
        PEM_write_PKCS8PrivateKey(file, pkey, EVP_aes_256_cbc(), "open", 4, NULL, NULL), 1);
    fclose(file);
    EVP_PKEY_free(pkey);
    assert_null(tls_server_new(in("one/meet.example.com.crt"), locked, error, sizeof error));
    assert_non_null(strstr(error, "locked.key: " NO_KEY));
}

static void cuts_a_long_error(void **state)
{
    char error[8] = "";

    assert_null(tls_client_new(in("missing"), "localhost", error, sizeof error));
    assert_int_equal(strlen(error), sizeof error - 1);
}

/* make-dev-ca.sh. */

static void keeps_what_is_there(void **state)
{
    const char *certificate = in("kept/a.example.crt"), *key = in("kept/a.example.key");
    char first[4096], second[4096];
    struct stat info;

    assert_int_equal(make_dev_ca(in("kept"), "a.example", NULL, NULL), 0);
    read_file(certificate, first);
    assert_int_equal(stat(key, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(stat(in("kept/ca.key"), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);

    assert_int_equal(make_dev_ca(in("kept"), "a.example", "b.example", NULL), 0);
    read_file(certificate, second);
    assert_string_equal(first, second);
    SSL_CTX *server = server_new("kept/b.example"),
            *client = client_new("kept/ca.crt", "b.example");
    assert_true(shake_hands(server, client).done);
    SSL_CTX_free(server);
    SSL_CTX_free(client);

    assert_int_equal(make_dev_ca("--force", in("kept"), "a.example", NULL), 0);
    read_file(certificate, second);
    assert_string_not_equal(first, second);
    /* b.example is of the CA that was. */
    assert_int_equal(make_dev_ca(in("kept"), "b.example", NULL, NULL), 1);
    assert_int_equal(unlink(key), 0);
    assert_int_equal(make_dev_ca(in("kept"), "a.example", NULL, NULL), 1);
}

static void refuses_odd_names(void **state)
{
    static const char *const names[] = {"",    "../x", "a/b",     ".x",   "-x",
                                        "a b", "a\nb", "a,DNS:b", "$(x)", "ca"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (make_dev_ca(in("odd"), names[i], NULL, NULL) != 1)
            fail_msg("'%s'", names[i]);
    assert_int_equal(access(in("odd"), F_OK), -1);
    assert_int_equal(make_dev_ca(in("odd"), NULL, NULL, NULL), 2);
    assert_int_equal(make_dev_ca("--help", NULL, NULL, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verifies_the_peer),
        cmocka_unit_test(refuses_no_host),
        cmocka_unit_test(refuses_old_versions),
        cmocka_unit_test(sets_the_options),
        cmocka_unit_test(names_the_file_at_fault),
        cmocka_unit_test(names_the_ca_file_at_fault),
        cmocka_unit_test(does_not_ask_for_a_passphrase),
        cmocka_unit_test(cuts_a_long_error),
        cmocka_unit_test(keeps_what_is_there),
        cmocka_unit_test(refuses_odd_names),
    };
    return cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
