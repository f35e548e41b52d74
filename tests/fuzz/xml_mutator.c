/*
 * Makes and changes stanzas, for the targets that read XML: bytes changed at random seldom stay
 * well-formed, and so never reach what is deep in a tree. Every other step is still libFuzzer's
 * own.
 *
 * What a newcomer gets wrong: nothing here has to be well-formed in the end, and the first byte may
 * be a target's switch and no XML: it stays when it is not "<".
 */
#include "xmpp/ns.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* libFuzzer's. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

static const char *const namespaces[] = {
    NS_CLIENT,
    NS_STREAMS,
    NS_FRAMING,
    NS_STREAM_ERRORS,
    NS_STANZA_ERRORS,
    NS_SASL,
    NS_BIND,
    NS_SESSION,
    NS_SM,
    NS_PING,
    NS_DISCO_INFO,
    NS_DATA_FORM,
    NS_MUC,
    NS_MUC_USER,
    NS_MUC_ADMIN,
    NS_MUC_OWNER,
    NS_MUC_ROOMCONFIG,
    NS_NICK,
    NS_JITMEET,
    "",
    "urn:a",
    "http://www.w3.org/XML/1998/namespace",
    "jabber:client ",
    "urn:ietf:params:xml:ns:xmpp-framin&#103;",
    "http://www.w3.org/2000/xmlns/",
};

static const char *const names[] = {
    "presence",
    "message",
    "iq",
    "open",
    "close",
    "auth",
    "response",
    "challenge",
    "success",
    "failure",
    "error",
    "stream",
    "x",
    "query",
    "item",
    "status",
    "field",
    "value",
    "invite",
    "destroy",
    "feature",
    "identity",
    "lobbyroom",
    "nick",
    "bind",
    "text",
    "p:x",
    "stream:error",
    "stream:stream",
    "ns1:x",
    "xml:x",
    "registration-required",
    "item-not-found",
    "mechanisms",
    "mechanism",
    "r",
    "a",
    "enable",
    "resume",
    "p:presence",
    "xmlns:x",
    "body",
};

static const char *const attributes[] = {
    " type='error'",
    " type='result'",
    " type='set'",
    " type='get'",
    " type='groupchat'",
    " type='unavailable'",
    " type='submit'",
    " type=''",
    " id='1'",
    " id='&quot;&#10;'",
    " to='room@conference.meet.example.com/n'",
    " from='room@conference.meet.example.com'",
    " to='room@conference.tenant.meet.example.com/n'",
    " to='R&#xff4f;om@lobby.meet.example.com'",
    " jid='a@b/c'",
    " nick='n'",
    " role='moderator'",
    " affiliation='none'",
    " affiliation='owner'",
    " code='104'",
    " code='110'",
    " code='303'",
    " code='307'",
    " code='322'",
    " code='407'",
    " var='muc#roomconfig_membersonly'",
    " var='muc#roomconfig_persistentroom'",
    " var='muc_membersonly'",
    " var='muc_open'",
    " var='muc#roominfo_lobbyroom'",
    " var='FORM_TYPE'",
    " xml:lang='en'",
    " xmlns:p='jabber:client'",
    " xmlns:p=''",
    " xmlns=''",
    " xmlns:xml='http://www.w3.org/XML/1998/namespace'",
    " p:a='1'",
    " stream:a='1'",
    " ns1:a='1'",
    " xmlns:stream='http://etherx.jabber.org/streams'",
    " xmlns:ns1='urn:b'",
    " h='1'",
    " previd='x'",
    " mechanism='PLAIN'",
    " version='1.0'",
    " a='&amp;amp;#38;&lt;'",
};

static const char *const texts[] = {
    "1",
    "0",
    "true",
    "false",
    "lobby",
    "&amp;",
    "&lt;",
    "&#38;#38;",
    "&#x0;",
    "&#xD800;",
    "&nbsp;",
    "]]>",
    "\r\n",
    "\r",
    "\t",
    "\xc3\xa9",
    "\xef\xbf\xbf",
    "\xed\xa0\x80",
    "\xf4\x8f\xbf\xbf",
    "<![CDATA[x]]>",
    "<!-- -->",
    "<?x y?>",
    "<!DOCTYPE a>",
    "&#13;",
    "&#9;",
    "&apos;",
    "  ",
};

struct random {
    uint64_t state;
};

/* Less than limit (> 0). */
static size_t pick(struct random *random, size_t limit)
{
    random->state ^= random->state << 13;
    random->state ^= random->state >> 7;
    random->state ^= random->state << 17;
    return (size_t)(random->state % limit);
}

struct out {
    char data[2048]; /* what is made at once */
    size_t len;
};

static void put(struct out *out, const char *text)
{
    size_t len = strlen(text);
    if (len > sizeof(out->data) - out->len)
        return;
    memcpy(out->data + out->len, text, len);
    out->len += len;
}

static void put_element(struct out *out, struct random *random, unsigned depth)
{
    /* The three stanzas first, most of the time: little else is worth a child. */
    const char *name =
        names[depth == 0 && pick(random, 4) ? pick(random, 3) : pick(random, COUNT(names))];
    put(out, "<");
    put(out, name);
    if (depth == 0 || pick(random, 2)) {
        put(out, " xmlns='");
        put(out, namespaces[depth == 0 && pick(random, 8) ? 0 : pick(random, COUNT(namespaces))]);
        put(out, "'");
    }
    while (pick(random, 3))
        put(out, attributes[pick(random, COUNT(attributes))]);
    if (depth > 5 || pick(random, 5) == 0) {
        put(out, "/>");
        return;
    }
    put(out, ">");
    while (pick(random, 3)) {
        if (pick(random, 4))
            put_element(out, random, depth + 1);
        else
            put(out, texts[pick(random, COUNT(texts))]);
    }
    put(out, "</");
    put(out, name);
    put(out, ">");
}

/* A place where an element may begin or end: before a "<", or behind a ">". */
static size_t boundary(const uint8_t *data, size_t size, struct random *random)
{
    size_t start = pick(random, size + 1);
    for (size_t i = 0; i <= size; i++) {
        size_t at = (start + i) % (size + 1);
        if ((at < size && data[at] == '<') || (at > 0 && data[at - 1] == '>'))
            return at;
    }
    return size;
}

/* Where an attribute may stand: behind the first word of a tag. */
static size_t in_tag(const uint8_t *data, size_t size, struct random *random)
{
    size_t at = boundary(data, size, random);
    while (at < size && data[at] != ' ' && data[at] != '>' && data[at] != '/')
        at++;
    return at;
}

/* Puts text in the place of old_len bytes at `at`; the new size, or size when it does not fit. */
static size_t splice(uint8_t *data, size_t size, size_t max_size, size_t at, size_t old_len,
                     const char *text, size_t len)
{
    if (size - old_len + len > max_size)
        return size;
    memmove(data + at + len, data + at + old_len, size - at - old_len);
    memcpy(data + at, text, len);
    return size - old_len + len;
}

/* Another name for the namespace declared somewhere. */
static size_t change_namespace(uint8_t *data, size_t size, size_t max_size, struct random *random)
{
    const char *text = namespaces[pick(random, COUNT(namespaces))];
    size_t from = pick(random, size);
    uint8_t *found = memmem(data + from, size - from, "xmlns", 5);
    uint8_t *begin = found ? memchr(found, '\'', size - (size_t)(found - data)) : NULL;
    if (!begin)
        return size;
    begin++;
    uint8_t *end = memchr(begin, '\'', size - (size_t)(begin - data));
    return end ? splice(data, size, max_size, (size_t)(begin - data), (size_t)(end - begin), text,
                        strlen(text))
               : size;
}

/* One letter as a reference, which must change nothing in text and values. */
static size_t escape(uint8_t *data, size_t size, size_t max_size, struct random *random)
{
    static const char digits[] = "0123456789abcdef";
    size_t at = pick(random, size);
    char text[] = "&#x__;";
    text[3] = digits[data[at] >> 4];
    text[4] = digits[data[at] & 15];
    return splice(data, size, max_size, at, 1, text, strlen(text));
}

/* An element twice, or in another place; or what is between two tags gone. */
static size_t move_span(uint8_t *data, size_t size, size_t max_size, struct random *random)
{
    struct out out;
    size_t from = boundary(data, size, random), to = boundary(data, size, random);
    if (from > to) {
        size_t swap = from;
        from = to;
        to = swap;
    }
    if (pick(random, 3) == 0)
        return splice(data, size, max_size, from, to - from, "", 0);
    out.len = to - from < sizeof(out.data) ? to - from : sizeof(out.data);
    memcpy(out.data, data + from, out.len);
    return splice(data, size, max_size, boundary(data, size, random), 0, out.data, out.len);
}

static size_t change(uint8_t *data, size_t size, size_t max_size, struct random *random)
{
    struct out out = {.len = 0};
    const char *text;
    switch (pick(random, 7)) {
    case 0:
        put_element(&out, random, 0);
        return splice(data, size, max_size, 0, size, out.data, out.len);
    case 1:
        put_element(&out, random, 1);
        return splice(data, size, max_size, boundary(data, size, random), 0, out.data, out.len);
    case 2:
        text = attributes[pick(random, COUNT(attributes))];
        return splice(data, size, max_size, in_tag(data, size, random), 0, text, strlen(text));
    case 3:
        text = texts[pick(random, COUNT(texts))];
        return splice(data, size, max_size, boundary(data, size, random), 0, text, strlen(text));
    case 4:
        return change_namespace(data, size, max_size, random);
    case 5:
        return escape(data, size, max_size, random);
    default:
        return move_span(data, size, max_size, random);
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    struct random random = {.state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1};
    if (size < 2 || pick(&random, 2))
        return LLVMFuzzerMutate(data, size, max_size);
    size_t kept = data[0] == '<' ? 0 : 1;
    return kept + change(data + kept, size - kept, max_size - kept, &random);
}
