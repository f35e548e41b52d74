/*
 * How one value is read, whether it comes from the file or from the environment. Each reading gives
 * NULL, or says what is wrong and what to write instead, in words that follow the value itself:
 * "5 sec" "is not a duration; write ...".
 */
#include "proxy/config_load.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

struct unit {
    const char *name;
    int64_t factor;
};

static bool read_number(const char **text, int64_t *ret)
{
    const char *p = *text;
    int64_t number = 0;
    if (*p < '0' || *p > '9')
        return false;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, *p - '0', &number))
            return false;
    }
    *text = p;
    *ret = number;
    return true;
}

static bool read_with_unit(const char *text, const struct unit *units, int64_t *ret)
{
    int64_t number;
    if (!read_number(&text, &number))
        return false;
    for (; units->name != NULL; units++) {
        if (strcmp(units->name, text) == 0)
            return !__builtin_mul_overflow(number, units->factor, ret);
    }
    return false;
}

const char *config_parse_count(const char *text, int64_t *ret)
{
    int64_t number;
    if (!read_number(&text, &number) || *text != '\0')
        return "is not a whole number; write digits only";
    *ret = number;
    return NULL;
}

const char *config_parse_size(const char *text, int64_t *ret)
{
    static const struct unit units[] = {
        {"", 1}, {"KiB", CONFIG_KIB}, {"MiB", CONFIG_MIB}, {"GiB", 1024 * CONFIG_MIB}, {NULL, 0}};
    int64_t bytes;
    if (!read_with_unit(text, units, &bytes))
        return "is not a size; write bytes, or a number with KiB, MiB or GiB as in 256KiB";
    *ret = bytes;
    return NULL;
}

const char *config_parse_duration(const char *text, int64_t *ret)
{
    static const struct unit units[] = {{"ms", 1},
                                        {"s", CONFIG_SECOND},
                                        {"m", 60 * CONFIG_SECOND},
                                        {"h", 3600 * CONFIG_SECOND},
                                        {NULL, 0}};
    int64_t ms;
    if (!read_with_unit(text, units, &ms))
        return "is not a duration; write a number with ms, s, m or h as in 5s";
    *ret = ms;
    return NULL;
}

const char *config_parse_bool(const char *text, int64_t *ret)
{
    /* docker-jitsi-meet's variables are written in all of these ways. */
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcasecmp(words[i], text) == 0) {
            *ret = i % 2;
            return NULL;
        }
    }
    return "is neither true nor false; write one of them";
}

const char *config_parse_choice(const char *choices, const char *text, int64_t *ret)
{
    size_t len = strlen(text);
    for (int64_t place = 0;; place++) {
        size_t choice_len = strcspn(choices, "|");
        if (choice_len == len && strncmp(choices, text, len) == 0) {
            *ret = place;
            return NULL;
        }
        if (choices[choice_len] == '\0')
            return "is not one of the words this key knows";
        choices += choice_len + 1;
    }
}

static bool read_port(const char *text, uint16_t *ret)
{
    int64_t port;
    if (!read_number(&text, &port) || *text != '\0' || port < 1 || port > 65535)
        return false;
    *ret = (uint16_t)port;
    return true;
}

static bool is_number_address(int family, const char *text, size_t len, char ret[48])
{
    struct in6_addr ignored;
    if (len >= 48)
        return false;
    memcpy(ret, text, len);
    ret[len] = '\0';
    return inet_pton(family, ret, &ignored) == 1;
}

const char *config_parse_listen(const char *text, struct config_address *ret)
{
    struct config_address address = {0};
    if (strncmp(text, "unix:", 5) == 0) {
        size_t len = strlen(text + 5);
        if (len == 0 || len >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
            return "names a Unix socket whose path is empty or over 107 bytes; write unix:/PATH";
        address.unix_path = text + 5;
        *ret = address;
        return NULL;
    }
    const char *colon = strrchr(text, ':');
    if (colon == NULL || !read_port(colon + 1, &address.port))
        return "has no port from 1 to 65535; write ADDRESS:PORT, as in 127.0.0.1:5281";
    size_t len = (size_t)(colon - text);
    if (text[0] == '[') {
        if (len < 2 || text[len - 1] != ']' ||
            !is_number_address(AF_INET6, text + 1, len - 2, address.host))
            return "is not an IPv6 address in brackets; write it as in [::1]:5281";
    } else if (memchr(text, ':', len) != NULL) {
        return "is an IPv6 address without brackets; write it as in [::1]:5281";
    } else if (len > 0 && !is_number_address(AF_INET, text, len, address.host)) {
        return "is not a numeric address; write it as in 127.0.0.1:5281, or :5281 for all";
    }
    *ret = address;
    return NULL;
}

const char *config_parse_cidr(const char *text, struct cidr *ret)
{
    struct cidr range = {.bits = 128};
    char host[48];
    const char *slash = strchr(text, '/');
    size_t len = slash == NULL ? strlen(text) : (size_t)(slash - text);
    unsigned offset = 0; /* of an IPv4 address in its mapped form */
    int64_t bits;
    if (is_number_address(AF_INET, text, len, host)) {
        offset = 96;
        range.address.s6_addr[10] = range.address.s6_addr[11] = 0xff;
        inet_pton(AF_INET, host, range.address.s6_addr + 12);
    } else if (is_number_address(AF_INET6, text, len, host)) {
        inet_pton(AF_INET6, host, &range.address);
    } else {
        return "is not an address or range; write it as in 10.0.0.0/8 or ::1";
    }
    if (slash != NULL) {
        const char *end = slash + 1;
        if (!read_number(&end, &bits) || *end != '\0' || bits > 128 - offset)
            return "has no valid number of bits behind the slash; write it as in 10.0.0.0/8";
        range.bits = offset + (unsigned)bits;
    }
    for (unsigned bit = range.bits; bit < 128; bit++)
        range.address.s6_addr[bit / 8] &= (unsigned char)~(0x80u >> bit % 8);
    *ret = range;
    return NULL;
}

/* A host name's or number's length; brackets for IPv6, not counted in *ret_host. 0: none is there.
 */
static size_t host_span(const char *text, const char **ret_host, size_t *ret_len)
{
    char address[48];
    if (*text == '[') {
        size_t len = strcspn(text + 1, "]");
        if (text[len + 1] != ']' || !is_number_address(AF_INET6, text + 1, len, address))
            return 0;
        *ret_host = text + 1;
        *ret_len = len;
        return len + 2;
    }
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");
    if (len > 253)
        return 0;
    *ret_host = text;
    *ret_len = len;
    return len;
}

/* ":PORT" at text up to its end or a slash. Where there is none, *ret_port stays. */
static const char *read_url_port(const char *text, uint16_t *ret_port)
{
    char digits[6];
    if (*text != ':')
        return text;
    size_t len = strcspn(text + 1, "/");
    if (len >= sizeof(digits))
        return NULL;
    memcpy(digits, text + 1, len);
    digits[len] = '\0';
    return read_port(digits, ret_port) ? text + 1 + len : NULL;
}

bool config_is_path(const char *path)
{
    if (*path != '/')
        return false;
    for (; *path != '\0'; path++) {
        if (*path <= ' ' || *path > '~' || strchr("?#\"<>\\", *path) != NULL)
            return false;
    }
    return true;
}

static bool is_query(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text <= ' ' || *text > '~' || strchr("#\"<>\\", *text) != NULL)
            return false;
    }
    return true;
}

const char *config_parse_url(const char *text, struct config_url *ret)
{
    struct config_url url = {.port = 80};
    if (strncmp(text, "http://", 7) == 0 || strncmp(text, "https://", 8) == 0)
        return "is an HTTP address; write ws:// for http:// and wss:// for https://";
    if (strncmp(text, "wss://", 6) == 0) {
        url.tls = true;
        url.port = 443;
    } else if (strncmp(text, "ws://", 5) != 0) {
        return "does not begin with ws:// or wss://; write it as in "
               "ws://127.0.0.1:5280/xmpp-websocket";
    }
    text += url.tls ? 6 : 5;
    size_t len = host_span(text, &url.host, &url.host_len);
    if (len == 0)
        return "names no host; write it as in ws://127.0.0.1:5280/xmpp-websocket";
    text = read_url_port(text + len, &url.port);
    if (text == NULL)
        return "has a bad port; write one from 1 to 65535";
    if (!config_is_path(text))
        return "has no plain path behind the host; write it as in "
               "ws://127.0.0.1:5280/xmpp-websocket, without user, ? or #";
    url.path = text;
    *ret = url;
    return NULL;
}

const char *config_parse_http_url(const char *text, struct config_url *ret)
{
    struct config_url url = {.port = 80};
    char path[1024];
    if (strncmp(text, "https://", 8) == 0) {
        url.tls = true;
        url.port = 443;
    } else if (strncmp(text, "http://", 7) != 0) {
        return "does not begin with https://; write it as in https://keys.example.com/jwt";
    }
    text += url.tls ? 8 : 7;
    size_t len = host_span(text, &url.host, &url.host_len);
    if (len == 0)
        return "names no host; write it as in https://keys.example.com/jwt";
    text = read_url_port(text + len, &url.port);
    if (text == NULL)
        return "has a bad port; write one from 1 to 65535";
    size_t path_len = strcspn(text, "?");
    if (strlen(text) >= sizeof(path))
        return "is too long; its path may have 1023 bytes";
    memcpy(path, text, path_len);
    path[path_len] = '\0';
    /* A query has the same letters as a path, and question marks. */
    if ((path_len > 0 && !config_is_path(path)) || (path_len == 0 && *text != '\0') ||
        !is_query(text + path_len))
        return "has an odd character behind the host, or no slash; write it as in "
               "https://keys.example.com/jwt, without user or #";
    url.path = text;
    *ret = url;
    return NULL;
}

bool config_is_loopback(const char *host, size_t len)
{
    char text[48];
    struct in6_addr v6;
    struct in_addr v4;
    if (len == 9 && strncasecmp(host, "localhost", len) == 0)
        return true;
    if (is_number_address(AF_INET, host, len, text))
        return inet_pton(AF_INET, text, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127;
    return is_number_address(AF_INET6, host, len, text) && inet_pton(AF_INET6, text, &v6) == 1 &&
           IN6_IS_ADDR_LOOPBACK(&v6);
}

const char *config_check_host(const char *text)
{
    const char *host;
    size_t host_len;
    uint16_t port;
    size_t len = host_span(text, &host, &host_len);
    const char *end = len == 0 ? NULL : read_url_port(text + len, &port);
    return end != NULL && *end == '\0' ? NULL
                                       : "is not a host name; write it as in meet.example.com";
}

/* What goes without saying in an origin (RFC 6454 section 6.2). */
static uint16_t default_port(const char *scheme, size_t len)
{
    static const struct {
        const char *scheme;
        uint16_t port;
    } ports[] = {{"https", 443}, {"http", 80}, {"wss", 443}, {"ws", 80}};

    for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
        if (strlen(ports[i].scheme) == len && strncasecmp(ports[i].scheme, scheme, len) == 0)
            return ports[i].port;
    }
    return 0;
}

/* Scheme, host and port at text in one spelling; *ret_end is what stands behind them. */
static bool read_origin(const char *text, char ret[CONFIG_ORIGIN_MAX], const char **ret_end)
{
    const char *host, *mark = strstr(text, "://");
    size_t scheme_len = mark == NULL ? 0 : (size_t)(mark - text), host_len, len;
    uint16_t usual, port;
    bool is_scheme = scheme_len > 0 && scheme_len < 32 && isalpha((unsigned char)*text);
    for (size_t i = 0; is_scheme && i < scheme_len; i++)
        is_scheme = isalnum((unsigned char)text[i]) || strchr("+-.", text[i]) != NULL;
    if (!is_scheme)
        return false;
    usual = port = default_port(text, scheme_len);
    len = host_span(mark + 3, &host, &host_len);
    *ret_end = len == 0 ? NULL : read_url_port(mark + 3 + len, &port);
    if (*ret_end == NULL)
        return false;
    int total = snprintf(ret, CONFIG_ORIGIN_MAX, "%.*s", (int)(scheme_len + 3 + len), text);
    if (port != usual)
        snprintf(ret + total, CONFIG_ORIGIN_MAX - (size_t)total, ":%u", port);
    for (char *p = ret; *p != '\0'; p++)
        *p = (char)tolower((unsigned char)*p);
    return true;
}

const char *config_parse_origin(const char *text, char ret[CONFIG_ORIGIN_MAX])
{
    char origin[CONFIG_ORIGIN_MAX];
    const char *end;
    if (!read_origin(text, origin, &end) || *end != '\0')
        return "is not an origin; write it as in https://meet.example.com, without a path, or "
               "leave "
               "the list empty to allow any";
    memcpy(ret, origin, sizeof(origin));
    return NULL;
}

const char *config_parse_public_url(const char *text, char ret[CONFIG_ORIGIN_MAX])
{
    char origin[CONFIG_ORIGIN_MAX], whole[2 * CONFIG_ORIGIN_MAX];
    const char *end;
    /* docker-jitsi-meet takes it with or without https://, and with a path behind it. */
    int len =
        snprintf(whole, sizeof(whole), "%s%s", strstr(text, "://") == NULL ? "https://" : "", text);
    if (len < 0 || (size_t)len >= sizeof(whole) ||
        (strncasecmp(whole, "https://", 8) != 0 && strncasecmp(whole, "http://", 7) != 0) ||
        !read_origin(whole, origin, &end) || (*end != '\0' && !config_is_path(end)))
        return "is not the address of a web page; write it as in https://meet.example.com";
    memcpy(ret, origin, sizeof(origin));
    return NULL;
}
