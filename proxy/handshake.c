/*
 * HTTP upgrades. The query goes on byte for byte as the client wrote it: Prosody alone decodes it
 * (wire fact 2, 3).
 */
#include "proxy/handshake.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <string.h>

static const char *const not_forwarded[] = {
    /* of this connection alone (RFC 9110 section 7.6.1) */
    "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    "expect", "content-length",
    /* made anew */
    "host", "x-forwarded-for", "sec-websocket-key", "sec-websocket-version",
    "sec-websocket-protocol", "sec-websocket-extensions", "sec-websocket-accept"};

/* What only a trusted proxy may say. */
static const char *const about_others[] = {"forwarded", "x-real-ip", "x-forwarded-proto",
                                           "x-forwarded-host", "x-forwarded-port"};

#define NAME_MAX_LEN 255
/* A request without its query, that of most browsers. */
#define REQUEST_ROOM 480

/* Prosody's modules ask for x_forwarded_for, and find X_Forwarded_For as well as X-Forwarded-For.
 */
static void fold(struct http_slice name, char ret[NAME_MAX_LEN + 1])
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.at[i];
        ret[i] = (char)(c == '_' ? '-' : c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    ret[name.len] = '\0';
}

static bool is_one_of(const char *folded, const char *const *names, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (folded[0] == names[i][0] && strcmp(folded, names[i]) == 0)
            return true;
    }
    return false;
}

static bool is_key(struct http_slice value)
{
    static const char letters[64] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    if (value.len != HANDSHAKE_KEY_LEN)
        return false;
    for (size_t i = 0; i < 22; i++) {
        if (!memchr(letters, value.at[i], sizeof letters))
            return false;
    }
    return value.at[22] == '=' && value.at[23] == '=';
}

bool handshake_is_upgrade(const struct http_head *request)
{
    return http_header_has_token(request, "upgrade", "websocket");
}

int handshake_check(const struct http_head *request, const char **ret_why)
{
    const struct http_header *key = http_header(request, "sec-websocket-key");
    const struct http_header *version = http_header(request, "sec-websocket-version");

    if (!http_slice_is(request->method, "GET") || request->minor_version != 1 ||
        http_header_count(request, "host") != 1 ||
        !http_header_has_token(request, "connection", "upgrade")) {
        *ret_why = "A WebSocket begins with GET, HTTP/1.1, one Host and Connection: Upgrade.";
        return 400;
    }
    if (http_header(request, "transfer-encoding") || http_header(request, "content-length")) {
        *ret_why = "A WebSocket request has no body.";
        return 400;
    }
    if (!version || !http_slice_is(version->value, "13")) {
        *ret_why = "Only WebSocket version 13 is spoken here.";
        return 426;
    }
    if (!key || http_header_count(request, "sec-websocket-key") != 1 || !is_key(key->value)) {
        *ret_why = "Sec-WebSocket-Key is not 16 bytes in base64.";
        return 400;
    }
    if (!http_header_has_token(request, "sec-websocket-protocol", "xmpp")) {
        *ret_why = "Only the subprotocol xmpp is spoken here (RFC 7395).";
        return 501;
    }
    return 0;
}

/* The algorithm is looked up once; SHA1() does so each time, which costs three times the hash. */
static void sha1(const unsigned char *text, size_t len, unsigned char hash[20])
{
    static EVP_MD *algorithm;

    if (!algorithm)
        algorithm = EVP_MD_fetch(NULL, "SHA1", NULL);
    if (!algorithm || !EVP_Digest(text, len, hash, NULL, algorithm, NULL))
        SHA1(text, len, hash);
}

static void accept_of(const char *key, size_t key_len, char ret[HANDSHAKE_ACCEPT_LEN + 1])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455 section 1.3 */
    unsigned char text[HANDSHAKE_KEY_LEN + sizeof guid];
    unsigned char hash[20];

    memcpy(text, key, key_len);
    memcpy(text + key_len, guid, sizeof guid - 1);
    sha1(text, key_len + sizeof guid - 1, hash);
    EVP_EncodeBlock((unsigned char *)ret, hash, sizeof hash);
}

void handshake_accept(struct buf *out, const struct http_head *request)
{
    const struct http_header *key = http_header(request, "sec-websocket-key");
    char accept[HANDSHAKE_ACCEPT_LEN + 1];

    accept_of(key->value.at, key->value.len, accept);
    buf_add_str(out, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Accept: ");
    buf_add(out, accept, HANDSHAKE_ACCEPT_LEN);
    buf_add_str(out, "\r\nSec-WebSocket-Protocol: xmpp\r\n\r\n");
}

const char *handshake_status_text(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 204:
        return "No Content";
    case 400:
        return "Bad Request";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 408:
        return "Request Timeout";
    case 411:
        return "Length Required";
    case 413:
        return "Content Too Large";
    case 417:
        return "Expectation Failed";
    case 426:
        return "Upgrade Required";
    case 429:
        return "Too Many Requests";
    case 431:
        return "Request Header Fields Too Large";
    case 501:
        return "Not Implemented";
    case 502:
        return "Bad Gateway";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    default:
        return "Error";
    }
}

void handshake_refuse(struct buf *out, int status, const char *why)
{
    buf_printf(out,
               "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
               "Content-Length: %zu\r\nCache-Control: no-store\r\nConnection: close\r\n%s\r\n%s\n",
               status, handshake_status_text(status), strlen(why) + 1,
               status == 426   ? "Sec-WebSocket-Version: 13\r\n"
               : status == 405 ? "Allow: GET, HEAD, OPTIONS\r\n"
                               : "",
               why);
}

static void add_header(struct buf *out, const struct http_header *header)
{
    buf_add(out, header->name.at, header->name.len);
    buf_add_str(out, ": ");
    buf_add(out, header->value.at, header->value.len);
    buf_add_str(out, "\r\n");
}

/* A header that Connection names belongs to that connection alone (RFC 9110 section 7.6.1), but for
 * the token: what was judged here must be what Prosody reads. No name too long for us has a meaning
 * there, so it stays behind. */
static bool is_forwarded(const struct handshake_request *request, struct http_slice name)
{
    char folded[NAME_MAX_LEN + 1];

    if (name.len > NAME_MAX_LEN)
        return false;
    fold(name, folded);
    if (is_one_of(folded, not_forwarded, sizeof not_forwarded / sizeof not_forwarded[0]))
        return false;
    if (!request->client_is_trusted &&
        is_one_of(folded, about_others, sizeof about_others / sizeof about_others[0]))
        return false;
    return http_slice_is_nocase(name, "authorization") ||
           !http_header_lists(request->client, "connection", name);
}

static void add_request_line(struct buf *out, const struct handshake_request *request)
{
    buf_add_str(out, request->method);
    buf_add_str(out, " ");
    buf_add_str(out, request->path);
    if (request->query.at) {
        buf_add_str(out, "?");
        buf_add(out, request->query.at, request->query.len);
    }
    buf_add_str(out, " HTTP/1.1\r\n");
}

static void add_text_header(struct buf *out, const char *name, const char *value)
{
    buf_add_str(out, name);
    buf_add_str(out, ": ");
    buf_add_str(out, value);
    buf_add_str(out, "\r\n");
}

void handshake_request(struct buf *out, const struct handshake_request *request)
{
    const struct http_head *client = request->client;

    buf_reserve(out, REQUEST_ROOM + request->query.len);
    add_request_line(out, request);
    add_text_header(out, "Host", request->host);
    if (request->upgrade) {
        buf_add_str(out, "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                         "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: xmpp\r\n");
        add_text_header(out, "Sec-WebSocket-Key", request->key);
    } else {
        buf_add_str(out, "Connection: close\r\n");
    }
    if (request->has_content)
        buf_printf(out, "Content-Length: %llu\r\n", (unsigned long long)request->content_len);
    if (request->forwarded_for)
        add_text_header(out, "X-Forwarded-For", request->forwarded_for);
    for (size_t i = 0; client && i < client->headers_len; i++) {
        if (is_forwarded(request, client->headers[i].name))
            add_header(out, &client->headers[i]);
    }
    buf_add_str(out, "\r\n");
}

void handshake_make_key(const uint8_t random[16], char ret[HANDSHAKE_KEY_LEN + 1])
{
    EVP_EncodeBlock((unsigned char *)ret, random, 16);
}

bool handshake_completes(const struct http_head *response, const char *key, const char **ret_why)
{
    const struct http_header *accept = http_header(response, "sec-websocket-accept");
    char expected[HANDSHAKE_ACCEPT_LEN + 1];

    accept_of(key, strlen(key), expected);
    if (response->status != 101 || !handshake_is_upgrade(response) ||
        !http_header_has_token(response, "connection", "upgrade")) {
        *ret_why =
            "Prosody did not upgrade to WebSocket; is mod_websocket enabled and the path right?";
        return false;
    }
    if (!accept || !http_slice_is(accept->value, expected)) {
        *ret_why = "Prosody's Sec-WebSocket-Accept is wrong";
        return false;
    }
    if (!http_header_has_token(response, "sec-websocket-protocol", "xmpp") ||
        http_header(response, "sec-websocket-extensions")) {
        *ret_why = "Prosody did not agree to the subprotocol xmpp without extensions";
        return false;
    }
    return true;
}
