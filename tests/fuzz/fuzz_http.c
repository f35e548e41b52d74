/*
 * HTTP heads and the queries in them, from any bytes. A head that is read is read again when it is
 * cut short (never complete, never wrong before its end) and what it offers lies inside it.
 */
#include "xmpp/http.h"
#include "xmpp/query.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef enum http_result parse_function(const char *, size_t, struct http_head *, size_t *);

static void check_inside(struct http_slice s, const char *data, size_t len)
{
    if (s.at != NULL && (s.at < data || s.at + s.len > data + len))
        abort();
    for (size_t i = 0; i < s.len; i++) {
        if (s.at[i] == '\r' || s.at[i] == '\n' || s.at[i] == '\0')
            abort();
    }
}

static void check_query(struct http_slice query)
{
    static const char *const names[] = {"token", "room", ""};

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        char *value;
        size_t len, count;
        if (query_get(query.at, query.len, names[i], &value, &len, &count) != QUERY_OK)
            continue;
        if (len > query.len || count == 0 || value[len] != '\0')
            abort();
        free(value);
    }
}

/* A length is read only where nothing else could be. */
static void check_framing(const struct http_head *head)
{
    uint64_t len;
    bool has_coding = http_header(head, "transfer-encoding") != NULL;
    size_t lengths = http_header_count(head, "content-length");

    switch (http_request_framing(head, &len)) {
    case HTTP_NO_CONTENT:
        if (has_coding || lengths > 0)
            abort();
        break;
    case HTTP_LENGTH:
        if (has_coding || lengths != 1)
            abort();
        break;
    case HTTP_CHUNKED:
        if (lengths > 0 || head->minor_version == 0)
            abort();
        break;
    case HTTP_FRAMING_UNCLEAR:
        break;
    }
}

static void parse(parse_function *function, const char *data, size_t size)
{
    struct http_head head, cut_head;
    size_t len, cut_len;

    if (function(data, size, &head, &len) != HTTP_OK)
        return;
    if (len > size || len > HTTP_HEAD_MAX || len < 4 || memcmp(data + len - 4, "\r\n\r\n", 4) != 0)
        abort();
    for (size_t cut = len > 64 ? len - 64 : 0; cut < len; cut++) {
        if (function(data, cut, &cut_head, &cut_len) != HTTP_MORE)
            abort();
    }
    check_inside(head.method, data, len);
    check_inside(head.target, data, len);
    check_inside(head.path, data, len);
    check_inside(head.query, data, len);
    check_inside(head.reason, data, len);
    for (size_t i = 0; i < head.headers_len; i++) {
        check_inside(head.headers[i].name, data, len);
        check_inside(head.headers[i].value, data, len);
        if (head.headers[i].name.len == 0)
            abort();
    }
    (void)http_header_has_token(&head, "Connection", "upgrade");
    check_framing(&head);
    (void)http_path_is(head.path, "/xmpp-websocket");
    if (head.query.at != NULL)
        check_query(head.query);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;

    parse(http_parse_request, text, size);
    parse(http_parse_response, text, size);
    check_query((struct http_slice){text, size});
    return 0;
}
