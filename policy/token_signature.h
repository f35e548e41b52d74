/*
 * The signature algorithms of tokens (RFC 7518 section 3) and the check of one signature by OpenSSL.
 * Private to policy/token.c.
 */
#pragma once

#include "policy/token_text.h"

#include <jwt.h>
#include <openssl/evp.h>

enum token_family {
    TOKEN_HMAC, /* the key is a secret */
    TOKEN_RSA,  /* the key is a public one, as in TOKEN_EC */
    TOKEN_EC,
};

struct token_algorithm {
    const char *name;
    jwt_alg_t alg;
    enum token_family family;
    const EVP_MD *(*digest)(void);
    const char *curve;      /* of TOKEN_EC, OpenSSL's name */
    size_t coordinate_len;  /* likewise: half of a signature */
};

/* NULL when it is not known. */
const struct token_algorithm *token_algorithm_find(const char *name);

enum token_signature {
    TOKEN_SIGNATURE_GOOD = 0,
    TOKEN_SIGNATURE_WRONG,
    TOKEN_SIGNATURE_ODD,       /* good, in a form that RFC 7518 does not have */
    TOKEN_SIGNATURE_UNFIT_KEY, /* not a key of the algorithm, or a weak one */
    TOKEN_SIGNATURE_FAILED,    /* could not be checked: out of memory */
};

/* key: the secret of a TOKEN_HMAC algorithm, else a public key as PEM text. */
enum token_signature token_signature_check(const struct token_algorithm *algorithm,
                                           const struct token_text *text, const char *key,
                                           size_t key_len);
