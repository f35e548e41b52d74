/*
 * See http.h. The head is read line by line; a line is judged when it is complete, but a byte that
 * may stand nowhere is refused at once, so that a peer speaking TLS or nonsense does not get to
 * wait for the time-out.
 *
 * What a newcomer gets wrong: leniency here is not kindness. nginx, this and Prosody read the same
 * head one after the other, and what only one of them takes for the end of a line is a way to
 * smuggle a second request past the others (RFC 9112 section 11.2).
 */
#include "xmpp/http.h"

#include "xmpp/find.h"

#include <string.h>
#include <strings.h>

struct reader {
    const char *data;
    size_t len, at;
};

/* RFC 9110 section 5.6.2. */
static const bool token_char[256] = {
    ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['!'] = true,  ['#'] = true,
    ['$'] = true,         ['%'] = true,         ['&'] = true,         ['\''] = true, ['*'] = true,
    ['+'] = true,         ['-'] = true,         ['.'] = true,         ['^'] = true,  ['_'] = true,
    ['`'] = true,         ['|'] = true,         ['~'] = true,
};

static bool is_token(struct http_slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!token_char[(unsigned char)s.at[i]])
            return false;
    }
    return s.len > 0;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

static struct http_slice trim(struct http_slice s)
{
    while (s.len > 0 && is_space(s.at[0])) {
        s.at++;
        s.len--;
    }
    while (s.len > 0 && is_space(s.at[s.len - 1]))
        s.len--;
    return s;
}

/* The next line without its CR LF. Bare CR, bare LF and other control characters are HTTP_BAD. */
static enum http_result next_line(struct reader *r, struct http_slice *ret)
{
    for (size_t i = r->at;; i++) {
        i += find_stop(r->data + i, r->len - i, "\x7f\x7f\x7f");
        if (i == r->len)
            return HTTP_MORE;
        unsigned char c = (unsigned char)r->data[i];
        if (c == '\t' || c >= 0x80)
            continue;
        if (c != '\r')
            return HTTP_BAD;
        if (i + 1 == r->len)
            return HTTP_MORE;
        if (r->data[i + 1] != '\n')
            return HTTP_BAD;
        *ret = (struct http_slice){r->data + r->at, i - r->at};
        r->at = i + 2;
        return HTTP_OK;
    }
}

/* Cuts s at the first separator: what is before it is returned, s becomes what is behind. */
static bool cut(struct http_slice *s, char separator, struct http_slice *ret_before)
{
    const char *found = s->len > 0 ? memchr(s->at, separator, s->len) : NULL;
    if (found == NULL)
        return false;
    *ret_before = (struct http_slice){s->at, (size_t)(found - s->at)};
    s->len -= ret_before->len + 1;
    s->at = found + 1;
    return true;
}

static bool parse_version(struct http_slice s, int *ret_minor)
{
    if (!http_slice_is(s, "HTTP/1.0") && !http_slice_is(s, "HTTP/1.1"))
        return false;
    *ret_minor = s.at[7] - '0';
    return true;
}

static bool parse_target(struct http_slice target, struct http_head *head)
{
    struct http_slice rest = target;

    if (target.len == 0 || target.at[0] != '/' ||
        find_stop(target.at, target.len, " #\x7f") < target.len)
        return false;
    head->target = head->path = target;
    if (cut(&rest, '?', &head->path))
        head->query = rest;
    return true;
}

/* method SP target SP version (RFC 9112 section 3), single spaces. */
static bool parse_request_line(struct http_slice line, struct http_head *head)
{
    struct http_slice target;

    return cut(&line, ' ', &head->method) && is_token(head->method) && cut(&line, ' ', &target) &&
           parse_target(target, head) && parse_version(line, &head->minor_version);
}

/* version SP status SP reason (section 4); the last space may be missing with the reason. */
static bool parse_status_line(struct http_slice line, struct http_head *head)
{
    struct http_slice version, code;

    if (!cut(&line, ' ', &version) || !parse_version(version, &head->minor_version))
        return false;
    if (!cut(&line, ' ', &code)) {
        code = line;
        line = (struct http_slice){line.at + line.len, 0};
    }
    if (code.len != 3)
        return false;
    for (size_t i = 0; i < 3; i++) {
        if (code.at[i] < '0' || code.at[i] > '9')
            return false;
        head->status = head->status * 10 + (code.at[i] - '0');
    }
    head->reason = line;
    return head->status >= 100 && head->status <= 599;
}

static bool parse_header(struct http_slice line, struct http_header *header)
{
    /* A folded line begins with white space and a spaced colon ends the name with one: neither is a
     * token character (sections 5.1 and 5.2). */
    if (!cut(&line, ':', &header->name) || !is_token(header->name))
        return false;
    header->value = trim(line);
    return true;
}

static enum http_result parse_head(const char *data, size_t len,
                                   bool (*parse_first)(struct http_slice, struct http_head *),
                                   struct http_head *ret, size_t *ret_len)
{
    struct reader r = {data, len < HTTP_HEAD_MAX ? len : HTTP_HEAD_MAX, 0};
    struct http_head head = {0};
    struct http_slice line;

    for (bool first = true;; first = false) {
        enum http_result result = next_line(&r, &line);
        if (result == HTTP_MORE && len >= HTTP_HEAD_MAX)
            return HTTP_TOO_LARGE;
        if (result != HTTP_OK)
            return result;
        if (first) {
            if (!parse_first(line, &head))
                return HTTP_BAD;
            continue;
        }
        if (line.len == 0)
            break;
        if (head.headers_len == HTTP_HEADERS_MAX)
            return HTTP_TOO_LARGE;
        if (!parse_header(line, &head.headers[head.headers_len]))
            return HTTP_BAD;
        head.headers_len++;
    }
    *ret = head;
    *ret_len = r.at;
    return HTTP_OK;
}

enum http_result http_parse_request(const char *data, size_t len, struct http_head *ret,
                                    size_t *ret_len)
{
    return parse_head(data, len, parse_request_line, ret, ret_len);
}

enum http_result http_parse_response(const char *data, size_t len, struct http_head *ret,
                                     size_t *ret_len)
{
    return parse_head(data, len, parse_status_line, ret, ret_len);
}

bool http_slice_is(struct http_slice s, const char *text)
{
    return s.len == strlen(text) && (s.len == 0 || memcmp(s.at, text, s.len) == 0);
}

static bool same_nocase(struct http_slice a, struct http_slice b)
{
    return a.len == b.len && (a.len == 0 || strncasecmp(a.at, b.at, a.len) == 0);
}

static struct http_slice slice_of(const char *text)
{
    return (struct http_slice){text, strlen(text)};
}

bool http_slice_is_nocase(struct http_slice s, const char *text)
{
    return same_nocase(s, slice_of(text));
}

const struct http_header *http_header(const struct http_head *head, const char *name)
{
    const struct http_slice wanted = slice_of(name);

    for (size_t i = 0; i < head->headers_len; i++) {
        if (same_nocase(head->headers[i].name, wanted))
            return &head->headers[i];
    }
    return NULL;
}

size_t http_header_count(const struct http_head *head, const char *name)
{
    const struct http_slice wanted = slice_of(name);
    size_t count = 0;

    for (size_t i = 0; i < head->headers_len; i++) {
        if (same_nocase(head->headers[i].name, wanted))
            count++;
    }
    return count;
}

bool http_header_lists(const struct http_head *head, const char *name, struct http_slice token)
{
    const struct http_slice wanted = slice_of(name);

    for (size_t i = 0; i < head->headers_len; i++) {
        if (!same_nocase(head->headers[i].name, wanted))
            continue;
        struct http_slice rest = head->headers[i].value, item;
        while (cut(&rest, ',', &item)) {
            if (same_nocase(trim(item), token))
                return true;
        }
        if (same_nocase(trim(rest), token))
            return true;
    }
    return false;
}

bool http_header_has_token(const struct http_head *head, const char *name, const char *token)
{
    return http_header_lists(head, name, slice_of(token));
}

/* The value of two hexadecimal digits that do not differ in case, as Prosody decodes them; else -1.
 */
static int decode_escape(const char *digits)
{
    static const char lower[] = "0123456789abcdef", upper[] = "0123456789ABCDEF";

    for (int i = 0; i < 256; i++) {
        if ((digits[0] == lower[i >> 4] && digits[1] == lower[i & 15]) ||
            (digits[0] == upper[i >> 4] && digits[1] == upper[i & 15]))
            return i;
    }
    return -1;
}

bool http_path_is(struct http_slice path, const char *wanted)
{
    size_t wanted_len = strlen(wanted), n = 0;
    bool trailing = false;

    while (wanted_len > 0 && wanted[wanted_len - 1] == '/')
        wanted_len--;
    /* Prosody joins repeated slashes first and decodes escapes then, so that an escaped slash is
     * not joined with its neighbours; an escaped '?' ends the path it looks for. */
    for (size_t i = 0; i < path.len; i++) {
        char c = path.at[i];
        if (c == '/' && i + 1 < path.len && path.at[i + 1] == '/')
            continue;
        int code = c == '%' && path.len - i >= 3 ? decode_escape(path.at + i + 1) : -1;
        if (code >= 0) {
            c = (char)code;
            i += 2;
        }
        if (c == '?')
            break;
        if (n < wanted_len && c == wanted[n])
            n++;
        else if (n == wanted_len && c == '/' && !trailing)
            trailing = true;
        else
            return false;
    }
    return n == wanted_len && (n > 0 || trailing);
}

/* Digits alone: a list of equal lengths may be taken for one (RFC 9110 section 8.6), but it need
 * not. */
static bool parse_length(struct http_slice value, uint64_t *ret)
{
    uint64_t length = 0;

    if (value.len == 0)
        return false;
    for (size_t i = 0; i < value.len; i++) {
        if (value.at[i] < '0' || value.at[i] > '9')
            return false;
        unsigned digit = (unsigned)(value.at[i] - '0');
        length = length > (UINT64_MAX - digit) / 10 ? UINT64_MAX : length * 10 + digit;
    }
    *ret = length;
    return true;
}

enum http_framing http_request_framing(const struct http_head *request, uint64_t *ret_len)
{
    const struct http_header *length = http_header(request, "content-length");
    const struct http_header *coding = http_header(request, "transfer-encoding");

    if (coding) {
        /* With a length beside it, or in HTTP/1.0, one server reads this and another passes it
         * over. */
        if (length || request->minor_version == 0 ||
            http_header_count(request, "transfer-encoding") > 1 ||
            !http_slice_is_nocase(coding->value, "chunked"))
            return HTTP_FRAMING_UNCLEAR;
        return HTTP_CHUNKED;
    }
    if (!length)
        return HTTP_NO_CONTENT;
    if (http_header_count(request, "content-length") > 1 || !parse_length(length->value, ret_len))
        return HTTP_FRAMING_UNCLEAR;
    return HTTP_LENGTH;
}
