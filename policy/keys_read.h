/*
 * Public keys out of what a key server or a document says. Private to policy/keys.c.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* The one public key in body, a PEM text of a certificate or of the key itself, as a SubjectPublicKeyInfo
 * in PEM (the caller frees it). NULL with a fixed phrase in *ret_problem when there is none. */
char *keys_read_pem(const char *body, size_t len, const char **ret_problem);

struct key_list {
    struct key_named {
        char *kid;
        char *pem; /* as of keys_read_pem */
    } *items;
    size_t len;
};

enum keys_read_result {
    KEYS_READ_OK = 0,
    KEYS_READ_NO_DOCUMENT, /* not a JSON object */
    KEYS_READ_NO_MEMORY,
};

/* The keys of a document: an object of kid and PEM text, or a JWKS (RFC 7517). What is no usable key is
 * passed over. At most max keys. *ret is written only on KEYS_READ_OK, and is released with
 * key_list_done. *ret_problem: the first thing that is wrong, "" when nothing is. */
enum keys_read_result keys_read_document(const char *body, size_t len, size_t max,
                                         struct key_list *ret, const char **ret_problem);
void key_list_done(struct key_list *list); /* accepts a zeroed one */
