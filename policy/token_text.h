/*
 * A token's text taken apart. Private to policy/ (token.c, and keys_read.c for base64).
 *
 * It is read as leniently as any reader might, so that a signature can be found good that Prosody may
 * find good; is_plain then says whether the text was the one way RFC 7515 allows.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct token_part {
    unsigned char *bytes; /* decoded */
    size_t len;
};

struct token_text {
    char *memory;      /* owns the rest */
    char *joined;      /* the three parts as written, with single dots between, terminated */
    size_t signed_len; /* of joined: header and payload */
    struct token_part header, payload, signature;
    bool is_plain; /* two dots, canonical base64url and nothing else */
};

enum token_text_result {
    TOKEN_TEXT_OK = 0,
    TOKEN_TEXT_NOT_THREE, /* parts */
    TOKEN_TEXT_NOT_BASE64,
    TOKEN_TEXT_NO_MEMORY,
};

/* *ret is written only on TOKEN_TEXT_OK and is then released with token_text_done. */
enum token_text_result token_text_read(const char *text, size_t len, struct token_text *ret)
    __attribute__((warn_unused_result));
void token_text_done(struct token_text *text); /* accepts a zeroed one */

/* base64 of either alphabet, read as the most lenient reader would. part->bytes has room for len bytes
 * and is filled; false when no reader can. *is_plain is cleared when text is not canonical base64url. */
bool token_part_decode(const char *text, size_t len, struct token_part *part, bool *is_plain);
