/*
 * The service account's login (RFC 6120 section 6, RFC 5802) by libgsasl: from text to text.
 */
#pragma once

#include "xmpp/buf.h"
#include "xmpp/parse.h"

struct sasl;

enum sasl_result {
    SASL_OK = 0,    /* out holds what to send */
    SASL_NO_MECHANISM, /* nothing offered that may be used: see sasl_error */
    SASL_FAILED,    /* refused, or the server could not prove itself (RFC 5802) */
    SASL_NO_MEMORY,
};

struct sasl *sasl_new(const char *user, const char *password);
void sasl_free(struct sasl *s); /* clears what it kept of the password */

/* Chooses from <stream:features> (SCRAM-SHA-256, then SCRAM-SHA-1, then PLAIN only when
 * plain_allowed: over TLS or loopback) and appends the <auth/> to out. */
enum sasl_result sasl_begin(struct sasl *s, const struct element *features, bool plain_allowed,
                            struct buf *out);
/* Answers a <challenge/>: appends <response/>. */
enum sasl_result sasl_challenge(struct sasl *s, const struct element *challenge, struct buf *out);
/* Checks <success/>: SASL_OK only when the mechanism is complete, the server's signature included. */
enum sasl_result sasl_success(struct sasl *s, const struct element *success);
/* The mechanism in use ("SCRAM-SHA-256"), "" before; and a phrase on what went wrong, no secret. */
const char *sasl_mechanism(const struct sasl *s);
const char *sasl_error(const struct sasl *s);
