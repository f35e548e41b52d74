/*
 * JIDs as Prosody 0.12 reads them (util.jid, core.stanza_router), so that an address points here to
 * the room it points to there (wire fact 20).
 *
 * What a newcomer gets wrong is the order: the address is parted first, at the ASCII '@' and '/';
 * then the parts are prepared; and then Prosody joins them and parts the result once more without
 * preparing it. A full-width '@' or '/' in the domain becomes an ASCII one in between: the domain
 * of "room<U+FF20>conference.example.com/nick" turns into a node and a domain, and the join is a
 * join.
 *
 * Debian's Prosody prepares with ICU, other builds with libidn, neither refusing unassigned code
 * points where stanzas are routed. Compared over all code points, alone and among letters, and on
 * random addresses, libidn says what ICU says but for two things:
 *  - libidn composes Hangul and some Indic letters across a combining mark (Unicode's public review
 *    issue 29), ICU does not. Such a part is refused here: it cannot be told which one Prosody has.
 *  - Beside code points Unicode 3.2 had not assigned the two judge the direction of text
 *    differently, so a part may be refused here that Prosody takes, or the other way round. Rooms
 *    and nicks are not affected: there Prosody (mod_muc) refuses unassigned code points anyway.
 * An address refused here must therefore never be forwarded as if it pointed elsewhere.
 */
#include "xmpp/jid.h"

#include "xmpp/slice.h"
#include "xmpp/utf8.h"

#include <idn-free.h>
#include <pr29.h>
#include <stdlib.h>
#include <string.h>
#include <stringprep.h>

#define PART_MAX 1023 /* bytes, RFC 6122 section 2.1; before and after preparation */

enum part { NODE, DOMAIN, RESOURCE };

static const struct {
    enum jid_result bad;
    bool folds_case;
} parts[] = {
    [NODE] = {JID_BAD_NODE, true},
    [DOMAIN] = {JID_BAD_DOMAIN, true},
    [RESOURCE] = {JID_BAD_RESOURCE, false},
};

/* Printable ASCII that a node must not have (RFC 6122 appendix A.5). */
static const bool refused_in_node[128] = {
    [' '] = true, ['"'] = true, ['&'] = true, ['\''] = true, ['/'] = true,
    [':'] = true, ['<'] = true, ['>'] = true, ['@'] = true,
};

static const Stringprep_profile *profile_of(enum part part)
{
    switch (part) {
    case NODE:
        return stringprep_xmpp_nodeprep;
    case DOMAIN:
        return stringprep_nameprep;
    case RESOURCE:
        break;
    }
    return stringprep_xmpp_resourceprep;
}

/* Parts text at the first '@' before any '/', and at the first '/'. False when Prosody finds no
 * domain in it: an empty part that its separator announces, or a second '@'. Of an absent part `at`
 * is NULL. */
static bool split(const char *text, size_t len, struct slice ret[3])
{
    const char *end = text + len, *at = text;
    ret[NODE] = ret[RESOURCE] = (struct slice){NULL, 0};
    while (at < end && *at != '@' && *at != '/')
        at++;
    if (at < end && *at == '@' && at > text) {
        ret[NODE] = (struct slice){text, (size_t)(at - text)};
        text = ++at;
        while (at < end && *at != '@' && *at != '/')
            at++;
    }
    ret[DOMAIN] = (struct slice){text, (size_t)(at - text)};
    if (at == text)
        return false;
    if (at == end)
        return true;
    if (*at != '/' || at + 1 == end)
        return false;
    ret[RESOURCE] = (struct slice){at + 1, (size_t)(end - at - 1)};
    return true;
}

/* Prepares what needs no tables, which is nearly every address there is; false leaves it to libidn.
 * to has room for PART_MAX + 1 bytes. */
static bool prepare_ascii(enum part part, struct slice from, char *to)
{
    for (size_t i = 0; i < from.len; i++) {
        unsigned char c = (unsigned char)from.at[i];
        if (c < 0x20 || c > 0x7E || (part == NODE && refused_in_node[c]))
            return false;
        to[i] = (char)(parts[part].folds_case && c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
    to[from.len] = '\0';
    return true;
}

/* Whether a code point may become a letter that composes with an earlier one (Hangul vowels and
 * final consonants, some Indic vowel signs), in whatever form it is written. */
static bool may_compose_back(uint32_t c)
{
    return (c >= 0x09BE && c <= 0x0FFF) || c == 0x102E || (c >= 0x1160 && c <= 0x11FF) ||
           (c >= 0x3130 && c <= 0x318F) || (c >= 0xFFA0 && c <= 0xFFDC);
}

/* Bytes of one run, decomposed: the test takes time by the square of it, and a client chooses it.
 * It is some 40 syllables of Hangul without a space. */
#define RUN_MAX 384

/* libidn's own test finds the letters in question also when others stand between them; ASCII never
 * composes, so cutting there spares nearly every text that only looks like a problem. */
static enum jid_result check_runs(enum part part, char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x80)
            text[i] = '\0';
    text[len] = '\0';
    for (size_t i = 0; i < len; i += strlen(text + i) + 1) {
        if (strlen(text + i) > RUN_MAX)
            return parts[part].bad;
        int error = pr29_8z(text + i);
        if (error != PR29_SUCCESS)
            return error == PR29_PROBLEM ? parts[part].bad : JID_NO_MEMORY;
    }
    return JID_OK;
}

/* Whether libidn and a right normalisation part ways on text (UTF-8, checked). The check has to see
 * the letters after mapping and decomposition, and before they are composed with each other: hence
 * one by one. */
static enum jid_result check_composition(enum part part, const char *text)
{
    enum jid_result result = JID_OK;
    bool suspect = false;
    size_t len = 0, used = 0;
    uint32_t *points = stringprep_utf8_to_ucs4(text, -1, &len);
    if (!points)
        return JID_NO_MEMORY;
    for (size_t i = 0; i < len && !suspect; i++)
        suspect = may_compose_back(points[i]);
    /* One code point becomes at most 18 (U+FDFA), 4 bytes each. */
    char *mapped = suspect ? malloc(len * 72 + 80) : NULL;
    if (suspect && !mapped)
        result = JID_NO_MEMORY;
    for (size_t i = 0; mapped && i < len && result == JID_OK; i++) {
        char *to = mapped + used;
        to[stringprep_unichar_to_utf8(points[i], to)] = '\0';
        int error = stringprep(to, 80, 0, profile_of(part));
        if (error != STRINGPREP_OK)
            result = error == STRINGPREP_MALLOC_ERROR ? JID_NO_MEMORY : parts[part].bad;
        else
            used += strlen(to);
    }
    if (mapped && result == JID_OK)
        result = check_runs(part, mapped, used);
    free(mapped);
    idn_free(points);
    return result;
}

static enum jid_result prepare(enum part part, struct slice from, char *to)
{
    if (from.len > PART_MAX)
        return JID_TOO_LONG;
    if (prepare_ascii(part, from, to))
        return JID_OK;
    if (memchr(from.at, '\0', from.len) || !utf8_valid(from.at, from.len))
        return parts[part].bad;
    memcpy(to, from.at, from.len);
    to[from.len] = '\0';
    enum jid_result composed = check_composition(part, to);
    if (composed != JID_OK)
        return composed;
    switch (stringprep(to, PART_MAX + 1, 0, profile_of(part))) {
    case STRINGPREP_OK:
        return JID_OK;
    case STRINGPREP_TOO_SMALL_BUFFER:
        return JID_TOO_LONG;
    case STRINGPREP_MALLOC_ERROR:
        return JID_NO_MEMORY;
    default:
        return parts[part].bad;
    }
}

/* Joins the prepared parts and parts them again, as Prosody does (see above). */
static enum jid_result join_and_split(char (*prepared)[PART_MAX + 1], struct slice part[3],
                                      char *joined)
{
    size_t len = 0;
    for (enum part i = NODE; i <= RESOURCE; i++) {
        if (!part[i].at)
            continue;
        size_t part_len = strlen(prepared[i]);
        if (part_len == 0) /* all of it was mapped to nothing */
            return parts[i].bad;
        if (i == RESOURCE)
            joined[len++] = '/';
        memcpy(joined + len, prepared[i], part_len);
        len += part_len;
        if (i == NODE)
            joined[len++] = '@';
    }
    return split(joined, len, part) ? JID_OK : JID_BAD_DOMAIN;
}

static const char *put(char **to, struct slice from)
{
    char *start = *to;
    if (from.at)
        memcpy(start, from.at, from.len);
    start[from.len] = '\0';
    *to += from.len + 1;
    return start;
}

enum jid_result jid_parse(const char *text, size_t len, struct jid *ret)
{
    char prepared[3][PART_MAX + 1], joined[3 * (PART_MAX + 1)];
    struct slice part[3];
    if (len == 0)
        return JID_EMPTY;
    if (!split(text, len, part))
        return JID_BAD_DOMAIN;
    if (part[DOMAIN].at[part[DOMAIN].len - 1] == '.') /* the root label, only the ASCII dot */
        part[DOMAIN].len--;
    for (enum part i = NODE; i <= RESOURCE; i++) {
        if (!part[i].at)
            continue;
        enum jid_result result = prepare(i, part[i], prepared[i]);
        if (result != JID_OK)
            return result;
    }
    enum jid_result result = join_and_split(prepared, part, joined);
    if (result != JID_OK)
        return result;
    char *to = malloc(part[NODE].len + part[DOMAIN].len + part[RESOURCE].len + 3);
    if (!to)
        return JID_NO_MEMORY;
    ret->memory = to;
    ret->node = put(&to, part[NODE]);
    ret->domain = put(&to, part[DOMAIN]);
    ret->resource = put(&to, part[RESOURCE]);
    return JID_OK;
}

void jid_done(struct jid *jid)
{
    free(jid->memory);
    *jid = (struct jid){0};
}

static char *format(const struct jid *jid, bool with_resource)
{
    size_t node = strlen(jid->node), domain = strlen(jid->domain);
    size_t resource = with_resource ? strlen(jid->resource) : 0;
    char *text = malloc(node + domain + resource + 3);
    if (!text)
        return NULL;
    char *to = text;
    if (node) {
        memcpy(to, jid->node, node);
        to += node;
        *to++ = '@';
    }
    memcpy(to, jid->domain, domain);
    to += domain;
    if (resource) {
        *to++ = '/';
        memcpy(to, jid->resource, resource);
        to += resource;
    }
    *to = '\0';
    return text;
}

char *jid_bare(const struct jid *jid)
{
    return format(jid, false);
}

char *jid_full(const struct jid *jid)
{
    return format(jid, true);
}

bool jid_same_bare(const struct jid *a, const struct jid *b)
{
    return strcmp(a->node, b->node) == 0 && strcmp(a->domain, b->domain) == 0;
}

const char *jid_result_text(enum jid_result result)
{
    switch (result) {
    case JID_OK:
        return "valid address";
    case JID_EMPTY:
        return "empty address";
    case JID_TOO_LONG:
        return "a part of the address is too long";
    case JID_BAD_NODE:
        return "invalid part before the @";
    case JID_BAD_DOMAIN:
        return "invalid domain";
    case JID_BAD_RESOURCE:
        return "invalid part behind the /";
    case JID_NO_MEMORY:
        return "out of memory";
    }
    return "unknown";
}
