/*
 * How TLS is set up on both sides.
 *
 * The one thing to know: a certificate of a trusted CA says nothing until it is known whose it must
 * be. So a client's context is made for one host.
 */
#include "certs/tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

/* For TLS 1.2, where forward secrecy and authenticated encryption have to be asked for; every suite
 * of TLS 1.3 has both. */
#define CIPHERS_TLS12 "ECDHE+AESGCM:ECDHE+CHACHA20"

/* Writes which file is at fault, or what else, and why: OpenSSL's first reason, as those behind it
 * only say what could not be done because of that. */
static void describe(char *error, size_t error_len, const char *file, const char *wanted)
{
    unsigned long code = ERR_get_error();

    if (ERR_SYSTEM_ERROR(code)) {
        snprintf(error, error_len, "%s: %s", file, strerror(ERR_GET_REASON(code)));
    } else {
        const char *reason = ERR_reason_error_string(code);

        snprintf(error, error_len, "%s: %s (OpenSSL: %s)", file, wanted,
                 reason ? reason : "unknown error");
    }
    ERR_clear_error();
}

/* Nobody is there to type one: without this OpenSSL would ask on the terminal. */
static int no_passphrase(char *text, int size, int writing, void *ctx)
{
    return -1;
}

static bool harden(SSL_CTX *context)
{
    if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_cipher_list(context, CIPHERS_TLS12) != 1)
        return false;
    SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE);
    /* Writing from a queue: what is left is sent from another address, and an idle connection, of
     * which there are thousands, keeps no buffers. */
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_default_passwd_cb(context, no_passphrase);
    return true;
}

static SSL_CTX *context_new(const SSL_METHOD *method, char *error, size_t error_len)
{
    SSL_CTX *context;

    ERR_clear_error();
    context = SSL_CTX_new(method);
    if (context && harden(context))
        return context;
    describe(error, error_len, "TLS", "could not be set up");
    SSL_CTX_free(context);
    return NULL;
}

SSL_CTX *tls_server_new(const char *certificate_file, const char *key_file, char *error,
                        size_t error_len)
{
    SSL_CTX *context = context_new(TLS_server_method(), error, error_len);

    if (!context)
        return NULL;
    if (SSL_CTX_use_certificate_chain_file(context, certificate_file) != 1) {
        describe(error, error_len, certificate_file, "holds no usable PEM certificate");
        goto failed;
    }
    /* Says itself when the key is not that of the certificate. */
    if (SSL_CTX_use_PrivateKey_file(context, key_file, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(context) != 1) {
        describe(error, error_len, key_file, "is not the certificate's PEM key without passphrase");
        goto failed;
    }
    return context;

failed:
    SSL_CTX_free(context);
    return NULL;
}

static bool expect_host(SSL_CTX *context, const char *host)
{
    X509_VERIFY_PARAM *param = SSL_CTX_get0_param(context);
    unsigned char address[sizeof(struct in6_addr)];

    if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1;
    /* An empty name would switch the check off. */
    if (host[0] == '\0' || X509_VERIFY_PARAM_set1_host(param, host, 0) != 1)
        return false;
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return true;
}

SSL_CTX *tls_client_new(const char *ca_file, const char *host, char *error, size_t error_len)
{
    SSL_CTX *context = context_new(TLS_client_method(), error, error_len);

    if (!context)
        return NULL;
    if (ca_file && ca_file[0] != '\0') {
        if (SSL_CTX_load_verify_file(context, ca_file) != 1) {
            describe(error, error_len, ca_file, "holds no usable PEM certificate");
            goto failed;
        }
    } else if (SSL_CTX_set_default_verify_paths(context) != 1) {
        describe(error, error_len, "the system's CAs", "could not be read");
        goto failed;
    }
    if (!expect_host(context, host)) {
        describe(error, error_len, host, "is no host a certificate could be for");
        goto failed;
    }
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    return context;

failed:
    SSL_CTX_free(context);
    return NULL;
}
