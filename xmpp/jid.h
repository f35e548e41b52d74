/*
 * JIDs (RFC 6122 as Prosody 0.12 prepares them: nodeprep, nameprep, resourceprep). Two spellings of
 * an address are one address only after preparation (wire fact 20).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct jid {
    char *memory;         /* owns the three parts below */
    const char *node;     /* "" when absent */
    const char *domain;   /* never empty */
    const char *resource; /* "" when absent */
};

enum jid_result {
    JID_OK = 0,
    JID_EMPTY,
    JID_TOO_LONG, /* a part over 1023 bytes */
    JID_BAD_NODE,
    JID_BAD_DOMAIN,
    JID_BAD_RESOURCE,
    JID_NO_MEMORY,
};

/* Reads and prepares text (len bytes, UTF-8, need not be terminated). *ret is written only on JID_OK
 * and is then released with jid_done. A trailing dot of the domain is removed, as Prosody does. What is
 * refused is no address that points elsewhere: for a few odd spellings Prosody may still know a room
 * (jid.c), so a stanza to it is answered jid-malformed, as Prosody answers, and not forwarded. */
enum jid_result jid_parse(const char *text, size_t len, struct jid *ret)
    __attribute__((warn_unused_result));
void jid_done(struct jid *jid); /* accepts a zeroed jid; leaves it zeroed */

/* "node@domain" or "domain"; NULL when out of memory. The caller frees it. */
char *jid_bare(const struct jid *jid);
/* With "/resource" where there is one. */
char *jid_full(const struct jid *jid);
bool jid_same_bare(const struct jid *a, const struct jid *b);
/* A fixed English phrase for a result. */
const char *jid_result_text(enum jid_result result);
