/*
 * The SASL of a client's stream (RFC 6120 section 6): which of his messages Prosody still has to answer, and
 * what its answers say of the token it holds for that stream.
 *
 * What a newcomer gets wrong: a failure need not be about the token. A client can have one at will (a mechanism
 * that is not there, bad base64, <abort/>), and then Prosody still has the token it was given.
 */
#pragma once

#include "xmpp/stanza.h"

/* Of the token at Prosody, which forgets one that it refused (wire fact 3). The greater outlasts the lesser. */
enum login_token {
    LOGIN_TOKEN_KEPT = 0,
    LOGIN_TOKEN_DOUBTED, /* refused maybe: neither its having it nor its not having it may be built on */
    LOGIN_TOKEN_FORGOTTEN,
};

struct login {
    unsigned due;          /* answers of Prosody's that are still to come, in the order of what was said */
    unsigned attempt;      /* which of them is that to <auth/> or <response/>, from 1; 0: none is */
    bool tries_anonymous;  /* the mechanism of the last <auth/> */
    bool judges_token;     /* the attempt is an <auth/> of it, the only message at which Prosody judges tokens */
    bool is_anonymous;     /* logged in by SASL ANONYMOUS */
    bool is_done;          /* logged in */
    enum login_token token;
};

/* The client says e, of kind STANZA_SASL_AUTH or STANZA_SASL_OTHER. NULL, or a fixed phrase on why that
 * cannot come now: with two attempts on their way it would be for Prosody's order to say which one won. */
const char *login_says(struct login *l, const struct element *e, enum stanza_kind kind);

/* Prosody answers: with a challenge; success; a failure, NULL where it could not be read. */
void login_challenged(struct login *l);
void login_succeeded(struct login *l);
void login_failed(struct login *l, const struct element *failure);
