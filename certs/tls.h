/*
 * How TLS is set up on both sides: what browsers or nginx connect to, and the way to Prosody.
 *
 * A context is made once and serves every connection. On a reload a new one is made first and swapped
 * for the old only when that worked; connections keep the one they began with.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct ssl_ctx_st; /* OpenSSL's SSL_CTX */

/* TLS 1.2 or later, forward secrecy, no compression, no renegotiation. The caller frees the result with
 * SSL_CTX_free. On failure NULL, and error says in one line which file is at fault and why.
 *
 * certificate_file: PEM, the server's own first, then those between it and the CA. key_file: PEM,
 * without a passphrase. */
struct ssl_ctx_st *tls_server_new(const char *certificate_file, const char *key_file, char *error,
                                  size_t error_len) __attribute__((warn_unused_result));

/* The same for connecting to host (a name or an IP address), whose certificate is always verified.
 * ca_file: PEM, trusted instead of the system's CAs; NULL or "": the system's. */
struct ssl_ctx_st *tls_client_new(const char *ca_file, const char *host, char *error,
                                  size_t error_len) __attribute__((warn_unused_result));
