/*
 * Public keys of tokens by their kid (wire fact 4): from a key server, one PEM file for each kid, or
 * from one document that holds all of them (a map of PEM texts, or a JWKS, RFC 7517). It holds what
 * was fetched and says what to fetch and when; proxy/keyfetch.c does the fetching.
 *
 * Nothing a client writes makes it grow or fetch without limit: an unknown kid costs at most one fetch a
 * minute, and the keys kept are bounded. What somebody does who is not logged in never keeps a key from
 * somebody who is.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct keys;

enum keys_source {
    KEYS_SERVER,   /* url is a folder: url/sha256hex(kid).pem */
    KEYS_DOCUMENT, /* url is the document itself */
};

/* Neither tells an answer under the call itself. */
struct keys_actions {
    /* Begin to fetch url; the answer is told with keys_fetched. is_first: before all that are not, and not
     * kept waiting by those on their way. false: it cannot be begun (out of memory), and counts as failed. */
    bool (*fetch)(void *ctx, const char *url, bool is_first);
    /* From now on a url on its way is_first. */
    void (*hurry)(void *ctx, const char *url);
};

#define KEYS_MAX 256                 /* kept at a time; of a key server's the least recently used goes */
#define KEYS_KID_MAX 256             /* bytes; a longer kid is unknown */
#define KEYS_BODY_MAX ((size_t)1024 * 1024)
#define KEYS_UNKNOWN_MS 60000        /* between two fetches for a kid that is not known */
#define KEYS_DEFAULT_MS 3600000      /* kept where the answer does not say */

/* NULL when out of memory. url is copied. */
struct keys *keys_new(enum keys_source source, const char *url, const struct keys_actions *actions,
                      void *ctx);
void keys_free(struct keys *keys); /* accepts NULL */

/* The public key for kid as PEM text, NULL when it is not here; borrowed until the next call that is
 * not keys_find. Counts as a use: the key unused for longest goes first, one unused is not renewed. */
const char *keys_find(struct keys *keys, const char *kid);

/* Who asks for a key. */
#define KEYS_PLACE_LEN 16
struct keys_asker {
    bool is_logged_in; /* with this very token, which Prosody accepted: so it has the key */
    unsigned char place[KEYS_PLACE_LEN]; /* where he comes from, in whatever form; who has the same shares a
                                            budget. All zero: not known */
};

/* Somebody came with a token by kid: fetches it if it is not here and may be fetched now. Whether an
 * answer is on its way, so that waiting for it is worth while. */
bool keys_want(struct keys *keys, const char *kid, const struct keys_asker *asker, int64_t now_ms);

/* What came of fetching url: status 200 and the body, another HTTP status, or 0 and no body when there
 * was no answer. max_age_s: of Cache-Control, -1 when it does not say. A failure keeps what there was
 * (the last good set) and is tried again later. *ret_problem: a fixed phrase on what is wrong with the
 * answer, "" when all is well. */
void keys_fetched(struct keys *keys, const char *url, int status, const char *body, size_t len,
                  int64_t max_age_s, int64_t now_ms, const char **ret_problem);

/* Every second or so: fetches again what is about to expire. At start it fetches the document. */
void keys_tick(struct keys *keys, int64_t now_ms);
