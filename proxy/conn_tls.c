/*
 * OpenSSL between two memory BIOs.
 */
#include "proxy/conn_tls.h"

#include <arpa/inet.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <stdlib.h>

struct conn_tls {
    SSL *ssl;
    BIO *in, *out; /* the SSL's own */
    char error[96];
};

static bool is_address(const char *host)
{
    struct in6_addr address;

    return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
}

/* SSL_set_tlsext_host_name without its cast, which warns; the name is copied. */
static bool set_server_name(SSL *ssl, const char *name)
{
    return is_address(name) || SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME,
                                        TLSEXT_NAMETYPE_host_name, (void *)(uintptr_t)name) == 1;
}

struct conn_tls *conn_tls_new(SSL_CTX *context, const char *server_name)
{
    struct conn_tls *t = calloc(1, sizeof *t);

    if (!t)
        return NULL;
    t->ssl = SSL_new(context);
    t->in = BIO_new(BIO_s_mem());
    t->out = BIO_new(BIO_s_mem());
    if (!t->ssl || !t->in || !t->out || (server_name && !set_server_name(t->ssl, server_name))) {
        BIO_free(t->in);
        BIO_free(t->out);
        SSL_free(t->ssl);
        free(t);
        return NULL;
    }
    BIO_set_mem_eof_return(t->in, -1);
    BIO_set_mem_eof_return(t->out, -1);
    SSL_set_bio(t->ssl, t->in, t->out);
    if (server_name)
        SSL_set_connect_state(t->ssl);
    else
        SSL_set_accept_state(t->ssl);
    return t;
}

void conn_tls_free(struct conn_tls *t)
{
    if (!t)
        return;
    SSL_free(t->ssl);
    free(t);
}

/* A certificate that is not accepted is told as such; else OpenSSL's reason. */
static enum conn_tls_result failed(struct conn_tls *t)
{
    long verdict = SSL_get_verify_result(t->ssl);
    unsigned long code = ERR_get_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;

    if (verdict != X509_V_OK)
        snprintf(t->error, sizeof t->error, "TLS: the certificate is not accepted: %.50s",
                 X509_verify_cert_error_string(verdict));
    else
        snprintf(t->error, sizeof t->error, "TLS: %.80s", reason ? reason : "the peer broke off");
    ERR_clear_error();
    return CONN_TLS_FAILED;
}

static enum conn_tls_result result_of(struct conn_tls *t, int status)
{
    switch (SSL_get_error(t->ssl, status)) {
    case SSL_ERROR_NONE:
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return CONN_TLS_OK;
    case SSL_ERROR_ZERO_RETURN:
        return CONN_TLS_CLOSED;
    default:
        return failed(t);
    }
}

enum conn_tls_result conn_tls_begin(struct conn_tls *t)
{
    ERR_clear_error();
    return result_of(t, SSL_do_handshake(t->ssl));
}

enum conn_tls_result conn_tls_feed(struct conn_tls *t, const uint8_t *data, size_t len)
{
    if (len > INT_MAX || BIO_write(t->in, data, (int)len) != (int)len) {
        snprintf(t->error, sizeof t->error, "TLS: out of memory");
        return CONN_TLS_FAILED;
    }
    return SSL_is_init_finished(t->ssl) ? CONN_TLS_OK : conn_tls_begin(t);
}

bool conn_tls_is_established(const struct conn_tls *t)
{
    return SSL_is_init_finished(t->ssl);
}

enum conn_tls_result conn_tls_read(struct conn_tls *t, uint8_t *to, size_t size, size_t *ret_len)
{
    int status;

    *ret_len = 0;
    ERR_clear_error();
    status = SSL_read(t->ssl, to, size > INT_MAX ? INT_MAX : (int)size);
    if (status > 0) {
        *ret_len = (size_t)status;
        return CONN_TLS_OK;
    }
    return result_of(t, status);
}

enum conn_tls_result conn_tls_write(struct conn_tls *t, const char *data, size_t len)
{
    while (len > 0) {
        int part = len > INT_MAX ? INT_MAX : (int)len;
        int status;

        ERR_clear_error();
        status = SSL_write(t->ssl, data, part);
        if (status <= 0)
            return failed(t);
        data += status;
        len -= (size_t)status;
    }
    return CONN_TLS_OK;
}

void conn_tls_shutdown(struct conn_tls *t)
{
    if (SSL_is_init_finished(t->ssl))
        SSL_shutdown(t->ssl);
    ERR_clear_error();
}

void conn_tls_take(struct conn_tls *t, struct buf *out)
{
    size_t waiting = BIO_ctrl_pending(t->out);

    if (waiting == 0 || !buf_reserve(out, waiting + 1))
        return;
    if (BIO_read(t->out, out->data + out->len, (int)waiting) == (int)waiting)
        out->len += waiting;
    out->data[out->len] = '\0';
}

const char *conn_tls_error(const struct conn_tls *t)
{
    return t->error;
}
