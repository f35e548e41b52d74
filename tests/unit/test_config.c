/*
 * The configuration: what a file and an environment make, what every mistake is told as, and that
 * the manual and the sample file say what the schema says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "policy/decide.h"
#include "proxy/config_load.h"
#include "tests/unit/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_NAME "c.yaml"
#define BASE                                                                                       \
    "VESTIBULE_XMPP_DOMAIN=meet.example.com\nVESTIBULE_TOKEN_APP_ID=app\n"                         \
    "VESTIBULE_TOKEN_SECRET=secret\n"

static char directory[] = "test-config-XXXXXX";
static const char *const files[][2] = {
    {"cert.pem", "-----BEGIN CERTIFICATE-----\n"},
    {"key.pem", "-----BEGIN EC PRIVATE KEY-----\n"},
    {"secret", "from file\r\n\n"},
    {"empty", "\n"},
};

static void write_file(const char *name, const char *text, size_t len)
{
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static int setup(void **state)
{
    if (mkdtemp(directory) == NULL || chdir(directory) != 0)
        return -1;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        write_file(files[i][0], files[i][1], strlen(files[i][1]));
    write_file("nul", "a\0b", 3);
    write_file("large", "", 0);
    if (truncate("large", CONFIG_FILE_MAX + 1) != 0 || mkfifo("pipe", 0600) != 0)
        return -1;
    return 0;
}

static int teardown(void **state)
{
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        unlink(files[i][0]);
    unlink("nul");
    unlink("large");
    unlink("pipe");
    unlink(FILE_NAME);
    return chdir("..") == 0 ? rmdir(directory) : -1;
}

/* Loads yaml (NULL: no file) under an environment of lines; *ret_errors is the caller's to free. */
static struct config *load(const char *yaml, const char *environment, char **ret_errors)
{
    char *lines = strdup(environment), *rest = lines, *line;
    char *variables[64];
    size_t len = 0, errors_len;
    FILE *errors = open_memstream(ret_errors, &errors_len);
    while ((line = strsep(&rest, "\n")) != NULL) {
        if (*line != '\0')
            variables[len++] = line;
    }
    variables[len] = NULL;
    if (yaml != NULL)
        write_file(FILE_NAME, yaml, strlen(yaml));
    struct config *config = config_load(yaml == NULL ? NULL : FILE_NAME, variables, errors);
    fclose(errors);
    free(lines);
    return config;
}

static struct config *load_good(const char *yaml, const char *environment)
{
    char *errors;
    struct config *config = load(yaml, environment, &errors);
    if (config == NULL)
        fail_msg("told: %s", errors);
    assert_string_equal(errors, "");
    free(errors);
    return config;
}

/* What is told, line by line: each begins with the expected text. Without base the needed keys are
 * not set by the environment. */
struct mistake {
    const char *name, *yaml, *environment, *expected;
    bool no_base;
};

static const struct mistake mistakes[] = {
    {"syntax", "log:\n  level: info\n format: x\n", "",
     "c.yaml:3: is not YAML: did not find expected key while parsing a block mapping"},
    {"tab", "log:\n\tlevel: info\n", "", "c.yaml:2: is not YAML: found character"},
    {"not UTF-8", "log:\n  level: \xff\n", "", "c.yaml:2: is not YAML: invalid leading UTF-8"},
    {"a list at the top", "- log\n", "", "c.yaml:1: is a list, where sections are wanted"},
    {"a word at the top", "log\n", "", "c.yaml:1: is one value, where sections are wanted"},
    {"second document", "log: {}\n---\nlog: {}\n", "", "c.yaml:3: is a second document"},
    {"alias", "log:\n  level: &a info\n  format: *a\n", "", "c.yaml:3: has an alias"},
    {"alias to its own section", "log: &a\n  level: *a\n", "",
     "c.yaml:2: log.level: is a section, where one value is wanted\nc.yaml:2: has an alias"},
    {"a key that is a list", "log:\n  ? [a]\n  : b\n", "",
     "c.yaml:2: log: holds a key that is not a word"},
    {"NUL", "log:\n  level: \"a\\0b\"\n", "", "c.yaml:2: log.level: is text with a NUL character"},
    {"unknown key, near", "listen:\n  adress: x\n", "",
     "c.yaml:2: listen.adress: is not a known key; did you mean listen.address?"},
    {"unknown key, letters swapped", "log:\n  leevl: x\n", "",
     "c.yaml:2: log.leevl: is not a known key; did you mean log.level?"},
    {"unknown key, deeper", "listen:\n  tls:\n    cert: x\n    keys: y\n", "",
     "c.yaml:3: listen.tls.cert: is not a known key; remove it\n"
     "c.yaml:4: listen.tls.keys: is not a known key; did you mean listen.tls.key?"},
    {"unknown section, near", "limit:\n  stanza: 1\n", "",
     "c.yaml:1: limit: is not a known key; did you mean limits?"},
    {"unknown section, far", "ops:\n  address: x\n", "",
     "c.yaml:1: ops: is not a known key; remove"},
    {"right name, wrong section", "app_id: x\n", "",
     "c.yaml:1: app_id: is not a known key; did you mean token.app_id?"},
    {"a dot in a name", "listen.path: /x\n", "", "c.yaml:1: listen.path: is one name with a dot"},
    {"a name of odd characters", "log:\n  \"a\\nb\": x\n", "",
     "c.yaml:2: log.\"a\\nb\": is not a known key"},
    {"key twice", "log:\n  level: info\n  level: warn\n", "",
     "c.yaml:3: log.level: is there twice, first in line 2"},
    {"section twice", "log:\n  level: info\nlog:\n  level: nonsense\n", "",
     "c.yaml:3: log: is there twice"},
    {"section is a value", "log: info\n", "", "c.yaml:1: log: is one value, where a section is"},
    {"section is a list", "log: [level]\n", "", "c.yaml:1: log: is a list, where a section is"},
    {"value is a list", "limits:\n  stanza: [1]\n", "",
     "c.yaml:2: limits.stanza: is a list, where one value is wanted"},
    {"value is a section", "limits:\n  stanza: {a: b}\n", "",
     "c.yaml:2: limits.stanza: is a section, where one value is wanted"},
    {"list is a value", "listen:\n  trusted_proxies: ::1\n", "",
     "c.yaml:2: listen.trusted_proxies: is one value, where a list is wanted"},
    {"list of sections", "listen:\n  trusted_proxies: [{a: b}]\n", "",
     "c.yaml:2: listen.trusted_proxies: is not a list of plain values"},
    {"list with an empty item", "lobby:\n  claims: [a, ~]\n", "",
     "c.yaml:2: lobby.claims: is not a list of plain values"},
    {"bool", "xmpp:\n  tenants: perhaps\n", "",
     "c.yaml:2: xmpp.tenants: \"perhaps\" is neither true nor false; write one of them"},
    {"count", "limits:\n  connections: many\n", "",
     "c.yaml:2: limits.connections: \"many\" is not a whole number"},
    {"count below", "limits:\n  connections: 0\n", "",
     "c.yaml:2: limits.connections: \"0\" is out of range; write one from 1 to 1000000"},
    {"count negative", "limits:\n  connections: -1\n", "",
     "c.yaml:2: limits.connections: \"-1\" is not a whole number"},
    {"size unit", "limits:\n  stanza: 256KB\n", "",
     "c.yaml:2: limits.stanza: \"256KB\" is not a size"},
    {"size below", "limits:\n  stanza: 10\n", "",
     "c.yaml:2: limits.stanza: \"10\" is out of range; write one from 4KiB to 64MiB"},
    {"sizes against each other", "limits:\n  stanza: 1MiB\n  server_stanza: 64KiB\n", "",
     "c.yaml:3: limits.server_stanza: is less than limits.stanza"},
    {"duration without unit", "lobby:\n  hold_timeout: 5\n", "",
     "c.yaml:2: lobby.hold_timeout: \"5\" is not a duration"},
    {"duration above", "lobby:\n  hold_timeout: 16s\n", "",
     "c.yaml:2: lobby.hold_timeout: \"16s\" is out of range; write one from 100ms to 15s"},
    {"choice", "token:\n  algorithm: none\n", "",
     "c.yaml:2: token.algorithm: its value is not known here; write one of "
     "HS256|HS384|HS512|RS256"},
    {"a public-key algorithm without public keys", "token:\n  algorithm: RS256\n", "",
     "c.yaml:2: token.algorithm: is RS256, which needs public keys"},
    {"an algorithm with a secret, and a key server",
     "token:\n  algorithm: HS256\n  key_server: https://k\n", "",
     "c.yaml:2: token.algorithm: is HS256, which needs a secret, while token.key_server names"},
    {"key server and document", "token:\n  key_server: https://k\n  keys_url: https://k/x\n", "",
     "c.yaml:3: token.keys_url: is given beside token.key_server"},
    {"keys without TLS", "token: {keys_url: 'http://keys.example.com/x'}\n", "",
     "c.yaml:1: token.keys_url: \"http://keys.example.com/x\" is not https://, and whoever"},
    {"keys without TLS, a number", "token: {key_server: 'http://10.0.0.1/'}\n", "",
     "c.yaml:1: token.key_server: \"http://10.0.0.1/\" is not https://"},
    {"keys without TLS, nearly this machine", "token: {key_server: 'http://localhost.x/'}\n", "",
     "c.yaml:1: token.key_server: \"http://localhost.x/\" is not https://"},
    {"keys that are a file", "token: {keys_url: 'file:///x'}\n", "",
     "c.yaml:1: token.keys_url: \"file:///x\" does not begin with https://"},
    {"a key server with a query", "token: {key_server: 'https://k/?x'}\n", "",
     "c.yaml:1: token.key_server: \"https://k/?...\" has a ?"},
    {"CA of keys, without them", "token:\n  ca_file: cert.pem\n", "",
     "c.yaml:2: token.ca_file: has no use without an https:// address"},
    {"CA of keys, without TLS", "token: {key_server: 'http://[::1]', ca_file: cert.pem}\n", "",
     "c.yaml:1: token.ca_file: has no use without an https:// address"},
    {"CA of keys, not there", "token: {key_server: 'https://k', ca_file: none}\n", "",
     "c.yaml:1: token.ca_file: \"none\" cannot be read"},
    {"listen: name", "listen:\n  address: localhost:80\n", "",
     "c.yaml:2: listen.address: \"localhost:80\" is not a numeric address"},
    {"listen: path", "listen:\n  path: ws\n", "",
     "c.yaml:2: listen.path: \"ws\" is not a plain path"},
    {"path of BOSH", "listen:\n  path: /http-bind/\n", "",
     "c.yaml:2: listen.path: \"/http-bind/\" is BOSH's path"},
    {"forwarded path with dots", "http:\n  forward: [/a, /a/../http-bind]\n", "",
     "c.yaml:2: http.forward: \"/a/../http-bind\" is not a plain path"},
    {"forwarded path, escaped", "http:\n  forward: ['/%68ttp-bind']\n", "",
     "c.yaml:2: http.forward: \"/%68ttp-bind\" is not a plain path"},
    {"BOSH forwarded", "http:\n  forward: [/http-bind]\n", "",
     "c.yaml:2: http.forward: \"/http-bind\" is BOSH's path"},
    {"the WebSocket forwarded", "http:\n  forward: [/xmpp-websocket/]\n", "",
     "c.yaml:2: http.forward: \"/xmpp-websocket/\" is the WebSocket's path"},
    {"Prosody's WebSocket forwarded", "listen: {path: /ws}\n",
     "VESTIBULE_HTTP_FORWARD=/xmpp-websocket",
     "VESTIBULE_HTTP_FORWARD: http.forward: \"/xmpp-websocket\" is the WebSocket's path"},
    {"BOSH wanted otherwise", "http:\n  bosh: allow\n", "", "c.yaml:2: http.bosh: \"allow\""},
    {"public address", "listen:\n  public_url: ftp://meet.example.com\n", "",
     "c.yaml:2: listen.public_url: \"ftp://meet.example.com\" is not the address of a web page"},
    {"public address by the environment", "", "PUBLIC_URL=https://meet.example.com?x",
     "PUBLIC_URL: listen.public_url: \"https://meet.example.com?x\" is not the address"},
    {"guest domain", "xmpp:\n  guest_domain: a@b\n", "",
     "c.yaml:2: xmpp.guest_domain: \"a@b\" is an address; write its domain only"},
    {"hidden domain", "xmpp:\n  hidden_domain: '@'\n", "",
     "c.yaml:2: xmpp.hidden_domain: \"@\" is not a domain"},
    {"allowed from", "service:\n  allowed_from: [10.0.0.0/8, localhost]\n", "",
     "c.yaml:2: service.allowed_from: \"localhost\" is not an address or range"},
    {"certificate without key", "listen:\n  tls:\n    certificate: cert.pem\n", "",
     "c.yaml:2: listen.tls.key: is not set while listen.tls.certificate is"},
    {"key without certificate", "listen:\n  tls:\n    key: key.pem\n", "",
     "c.yaml:2: listen.tls.certificate: is not set while listen.tls.key is"},
    {"certificate unreadable", "listen:\n  tls:\n    certificate: none\n    key: key.pem\n", "",
     "c.yaml:3: listen.tls.certificate: \"none\" cannot be read: No such file"},
    {"key is a directory", "listen:\n  tls:\n    certificate: cert.pem\n    key: .\n", "",
     "c.yaml:4: listen.tls.key: its file cannot be read: Is a directory"},
    {"key and certificate mixed up", "listen: {tls: {certificate: key.pem, key: cert.pem}}\n", "",
     "c.yaml:1: listen.tls.certificate: \"key.pem\" holds no certificate\n"
     "c.yaml:1: listen.tls.key: its value holds no private key"},
    {"proxy", "listen:\n  trusted_proxies: [nginx, 10.0.0.0/33]\n", "",
     "c.yaml:2: listen.trusted_proxies: \"nginx\" is not an address or range\n"
     "c.yaml:2: listen.trusted_proxies: \"10.0.0.0/33\" has no valid number of bits"},
    {"origin", "listen:\n  allowed_origins: [meet.example.com, \"https://a/b\"]\n", "",
     "c.yaml:2: listen.allowed_origins: \"meet.example.com\" is not an origin\n"
     "c.yaml:2: listen.allowed_origins: \"https://a/b\" is not an origin"},
    {"upstream: http", "upstream:\n  url: http://h/p\n", "",
     "c.yaml:2: upstream.url: \"http://h/p\" is an HTTP address; write ws://"},
    {"upstream: host", "upstream:\n  host: \"a b\"\n", "",
     "c.yaml:2: upstream.host: \"a b\" is not a host name"},
    {"authority without TLS", "upstream:\n  ca_file: cert.pem\n", "",
     "c.yaml:2: upstream.ca_file: has no use with ws://"},
    {"authority unreadable", "upstream:\n  url: wss://h/p\n  ca_file: none\n", "",
     "c.yaml:3: upstream.ca_file: \"none\" cannot be read"},
    {"domain is an address", "xmpp:\n  muc: a@b\n", "",
     "c.yaml:2: xmpp.muc: \"a@b\" is an address"},
    {"room component is the domain", "xmpp:\n  muc: MEET.example.com\n", "",
     "c.yaml:2: xmpp.muc: \"meet.example.com\" is xmpp.domain too"},
    {"room component is the lobby's", "xmpp:\n  lobby: Conference.meet.example.com\n", "",
     "c.yaml:2: xmpp.lobby: \"conference.meet.example.com\" is xmpp.muc too"},
    {"focus", "service:\n  jid: Focus@auth.d\n  password: x\n", "",
     "c.yaml:2: service.jid: its value is Jicofo's account, and the lobby module ignores"},
    {"service without node", "service:\n  jid: auth.d\n  password: x\n", "",
     "c.yaml:2: service.jid: its value names no account"},
    {"service with resource", "service:\n  jid: a@auth.d/x\n  password: x\n", "",
     "c.yaml:2: service.jid: its value has a resource"},
    {"service without password", "service:\n  jid: a@auth.d\n", "",
     "c.yaml:1: service.password: is not set while service.jid is"},
    {"password without service", "service:\n  password: x\n", "",
     "c.yaml:1: service.jid: is not set while service.password is"},
    {"password twice", "service: {jid: a@d, password: x, password_file: secret}\n", "",
     "c.yaml:1: service.password_file: is given beside service.password"},
    {"password file missing", "service:\n  jid: a@d\n  password_file: none\n", "",
     "c.yaml:3: service.password_file: its file cannot be read"},
    {"password file that is a pipe", "service: {jid: a@d, password_file: pipe}\n", "",
     "c.yaml:1: service.password_file: its file cannot be read: it is no regular file"},
    {"secret file that is a pipe", NULL,
     "XMPP_DOMAIN=d\nJWT_APP_ID=a\nVESTIBULE_TOKEN_SECRET_FILE=pipe",
     "VESTIBULE_TOKEN_SECRET_FILE: token.secret_file: its file cannot be read: it is no", true},
    {"certificate that is a pipe", "listen: {tls: {certificate: pipe, key: key.pem}}\n", "",
     "c.yaml:1: listen.tls.certificate: \"pipe\" cannot be read: it is no regular file"},
    {"authority that is a pipe", "upstream: {url: 'wss://h/p', ca_file: pipe}\n", "",
     "c.yaml:1: upstream.ca_file: \"pipe\" cannot be read: it is no regular file"},
    {"password file empty", "service: {jid: a@d, password_file: empty}\n", "",
     "c.yaml:1: service.password_file: names an empty file"},
    {"password file with NUL", "service: {jid: a@d, password_file: nul}\n", "",
     "c.yaml:1: service.password_file: names a file with a NUL"},
    {"no audience", "token:\n  accepted_audiences: []\n", "",
     "c.yaml:2: token.accepted_audiences: is empty, so no token would be accepted"},
    {"no claim", "lobby:\n  claims: []\n", "", "c.yaml:2: lobby.claims: is empty"},
    {"claim path", "lobby:\n  claims: [a..b, .a]\n", "",
     "c.yaml:2: lobby.claims: \"a..b\" is not a claim's path\n"
     "c.yaml:2: lobby.claims: \".a\" is not a claim's path"},
    {"nothing needed is there", "log: {}\n", "",
     "c.yaml:1: xmpp.domain: is not set\nc.yaml:1: token.secret: is not set\n"
     "c.yaml:1: token.app_id: is not set",
     true},
    {"missing below its section", "log: {}\nxmpp:\ntoken:\n  app_id: x\n", "",
     "c.yaml:2: xmpp.domain: is not set\nc.yaml:3: token.secret: is not set", true},
    {"no file at all", NULL, "VESTIBULE_XMPP_DOMAIN=d\nVESTIBULE_TOKEN_APP_ID=a",
     "environment: token.secret: is not set", true},
    {"empty secret", "token:\n  app_id: a\n  secret: \"\"\n",
     "XMPP_DOMAIN=d\nJWT_APP_SECRET=", "c.yaml:3: token.secret: is not set", true},
    {"variable's value", "log: {}\n", "VESTIBULE_LIMITS_STANZA=x",
     "VESTIBULE_LIMITS_STANZA: limits.stanza: \"x\" is not a size"},
    {"jitsi variable's value", NULL, "JWT_SIGN_TYPE=PS256",
     "JWT_SIGN_TYPE: token.algorithm: its value is not known here"},
    {"jitsi's key server without TLS", NULL, "JWT_ASAP_KEYSERVER=http://keys.example.com",
     "JWT_ASAP_KEYSERVER: token.key_server: \"http://keys.example.com\" is not https://"},
    {"empty secret, with an algorithm", "token:\n  app_id: a\n  algorithm: HS512\n",
     "XMPP_DOMAIN=d\nJWT_APP_SECRET=", "c.yaml:1: token.secret: is not set", true},
    {"jitsi bridge named focus", NULL, "JVB_AUTH_USER=focus\nJVB_AUTH_PASSWORD=x",
     "JVB_AUTH_USER: service.jid: its value is Jicofo's account"},
    {"variable, near", NULL, "VESTIBULE_LISTEN_ADRESS=x",
     "VESTIBULE_LISTEN_ADRESS: is not a known variable; did you mean VESTIBULE_LISTEN_ADDRESS?"},
    {"secret twice in the environment", NULL, "VESTIBULE_TOKEN_SECRET_FILE=secret",
     "VESTIBULE_TOKEN_SECRET_FILE: token.secret_file: is given beside token.secret"},
};

static void expect_lines(const char *name, char *told, const char *expected)
{
    char *rest = told, *line;
    while ((line = strsep(&rest, "\n")) != NULL && *line != '\0') {
        size_t len = strcspn(expected, "\n");
        if (len == 0 || strncmp(line, expected, len) != 0)
            fail_msg("%s: told \"%s\", not \"%.*s\"", name, line, (int)len, expected);
        expected += len + (expected[len] == '\n');
    }
    if (*expected != '\0')
        fail_msg("%s: did not tell \"%s\"", name, expected);
}

static void test_mistakes(void **state)
{
    for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
        const struct mistake *m = &mistakes[i];
        char environment[512], *errors;
        snprintf(environment, sizeof(environment), "%s%s", m->no_base ? "" : BASE, m->environment);
        struct config *config = load(m->yaml, environment, &errors);
        if (config != NULL)
            fail_msg("%s: was accepted", m->name);
        expect_lines(m->name, errors, m->expected);
        free(errors);
    }
}

static void test_unreadable_file(void **state)
{
    static const char *const cases[][2] = {
        {"none.yaml", "none.yaml:1: cannot be read: No such file"},
        {".", ".:1: cannot be read: Is a directory"},
        {"/dev/zero", "/dev/zero:1: cannot be read: it is no regular file"},
        {"pipe", "pipe:1: cannot be read: it is no regular file"},
        {"large", "large:1: cannot be read: it is over 1 MiB"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *told;
        size_t len;
        FILE *errors = open_memstream(&told, &len);
        assert_null(config_load(cases[i][0], NULL, errors));
        fclose(errors);
        expect_lines(cases[i][0], told, cases[i][1]);
        free(told);
    }
}

/* A wrong secret is told about without being shown. */
static void test_secrets_stay_secret(void **state)
{
    char *errors;
    assert_null(load("service: {jid: focus@d, password: hush, password_file: secret}\n"
                     "token: {app_id: a, secret: [hush]}\n",
                     "VESTIBULE_LOG_LEVEL=x", &errors));
    assert_null(strstr(errors, "hush"));
    assert_null(strstr(errors, "from file"));
    free(errors);
}

/* Nor is one that stands where it does not belong. */
static void test_misplaced_secrets(void **state)
{
    static const char *const yaml[] = {
        "upstream: {url: 'ws://u:hush@h/x'}",
        "upstream: {url: 'ws://h/x?token=hush'}",
        "upstream: {url: 'ws://u:hu/hush@h/x'}",
        "upstream: {url: 'u:hush@h://x'}",
        "upstream: {url: hush}",
        "token: {key_server: 'https://u:hush@k/'}",
        "token: {key_server: 'https://k/?hush'}",
        "token: {keys_url: 'https://u:hush@k/x'}",
        "token: {keys_url: 'http://k/x?key=hush'}",
        "token: {keys_url: 'https://k/x#hush'}",
        "token: {keys_url: hush}",
        "token: {algorithm: hush}",
        "token: {secret_file: hush}",
        "service: {jid: hush, password: x}",
        "service: {jid: a@d, password_file: hush}",
        "listen: {tls: {certificate: cert.pem, key: '-----BEGIN PRIVATE KEY-----hush'}}",
    };
    for (size_t i = 0; i < sizeof(yaml) / sizeof(*yaml); i++) {
        char *errors = NULL;
        if (load(yaml[i], "XMPP_DOMAIN=d\nJWT_APP_ID=a", &errors) != NULL ||
            strstr(errors, "hush") != NULL)
            fail_msg("%s: told \"%s\"", yaml[i], errors);
        free(errors);
    }
}

static void test_defaults(void **state)
{
    struct config *config = load_good("xmpp: {domain: Meet.Example.COM.}\n"
                                      "token: {app_id: app, secret: s}\n",
                                      "");
    assert_null(config->listen.unix_path);
    assert_string_equal(config->listen.host, "127.0.0.1");
    assert_int_equal(config->listen.port, 5281);
    assert_string_equal(config->listen.path, "/xmpp-websocket");
    assert_null(config->listen.tls.certificate);
    assert_null(config->listen.tls.key);
    assert_int_equal(config->listen.trusted_proxies_len, 2);
    assert_null(config->listen.allowed_origins[0]);
    assert_true(config->listen.absent_origin);
    assert_string_equal(config->guest_domain, "");
    assert_string_equal(config->hidden_domain, "");
    assert_int_equal(config->service.allowed_from_len, 0);
    assert_false(config->upstream.tls);
    assert_string_equal(config->upstream.host, "127.0.0.1");
    assert_int_equal(config->upstream.port, 5280);
    assert_string_equal(config->upstream.path, "/xmpp-websocket");
    assert_string_equal(config->upstream.http_host, "meet.example.com");
    assert_null(config->upstream.ca_file);
    assert_string_equal(config->xmpp.domain, "meet.example.com");
    assert_string_equal(config->xmpp.muc, "conference.meet.example.com");
    assert_string_equal(config->xmpp.lobby, "lobby.meet.example.com");
    assert_true(config->xmpp.tenants);
    assert_false(config->service.configured);
    assert_string_equal(config->token.algorithm, "HS256");
    assert_string_equal(config->token.issuers[0], "app");
    assert_null(config->token.issuers[1]);
    assert_string_equal(config->token.audiences[0], "*");
    assert_null(config->token.audiences[1]);
    assert_true(config->token.require_room && config->token.domain_verification);
    assert_string_equal(config->token.domain, "meet.example.com");
    assert_string_equal(config->token.lobby_claims[1], "context.user.lobby");
    assert_false(config->refuse_invalid_token);
    assert_true(config->lobby.persistent);
    assert_ptr_equal(config->lobby.rules, &rules_token_lobby_ondemand);
    assert_false(config->lobby.create_missing || config->lobby.forward_on_failure);
    assert_int_equal(config->lobby.hold_timeout_ms, 5000);
    assert_int_equal(config->lobby.hold_limit_ms, 15000);
    assert_false(config->dry_run);
    assert_int_equal(config->limits.stanza, 256 * 1024);
    assert_int_equal(config->limits.server_stanza, 10 * 1024 * 1024);
    assert_int_equal(config->limits.connections, 20000);
    assert_int_equal(config->limits.connections_per_ip, 0);
    assert_int_equal(config->limits.handshake_timeout_ms, 10000);
    assert_int_equal(config->limits.idle_timeout_ms, 900000);
    assert_int_equal(config->log.level, LOG_LEVEL_INFO);
    assert_false(config->log.json);
    config_free(config);
}

static void test_door(void **state)
{
    struct config *config =
        load_good("listen: {allowed_origins: ['https://A.example:443'], absent_origin: no}\n"
                  "xmpp: {domain: d, guest_domain: Guest.D, hidden_domain: hidden.d.}\n"
                  "service: {allowed_from: [10.1.2.3/8, '2001:db8::/32']}\n"
                  "token: {app_id: app, secret: s}\n",
                  "PUBLIC_URL=meet.example.com/sub/");
    assert_string_equal(config->listen.allowed_origins[0], "https://a.example");
    assert_string_equal(config->listen.allowed_origins[1], "https://meet.example.com");
    assert_null(config->listen.allowed_origins[2]);
    assert_false(config->listen.absent_origin);
    assert_string_equal(config->guest_domain, "guest.d");
    assert_string_equal(config->hidden_domain, "hidden.d");
    assert_int_equal(config->service.allowed_from_len, 2);
    assert_int_equal(config->service.allowed_from[0].bits, 104);
    assert_int_equal(config->service.allowed_from[1].bits, 32);
    config_free(config);
}

static const char full_yaml[] =
    "listen: {address: 'unix:/run/v.sock', path: /ws, tls: {certificate: cert.pem, key: key.pem},\n"
    "         trusted_proxies: [10.1.2.3/8], allowed_origins: ['https://Meet.example.com:8443'],\n"
    "         public_url: 'https://meet.example.com', absent_origin: false}\n"
    "upstream: {url: 'wss://[::1]:5443/x/', host: 'h:1', ca_file: cert.pem}\n"
    "xmpp: {domain: d, muc: muc.D, lobby: l.d, tenants: false, guest_domain: g.d,\n"
    "       hidden_domain: h.d}\n"
    "service: {jid: Vestibule@Auth.d, password_file: secret, allowed_from: [10.0.0.0/8]}\n"
    "token: {app_id: a, secret_file: secret, algorithm: HS512, accepted_issuers: [x, y],\n"
    "        accepted_audiences: [z], require_room: no, domain_verification: off,\n"
    "        on_invalid: refuse}\n"
    "lobby: {claims: [a.b], persistent: false, hold_timeout: 500ms, on_failure: forward,\n"
    "        missing_room: create, dry_run: true}\n"
    "limits: {stanza: 8192, server_stanza: 1MiB, connections: 7, connections_per_ip: 3,\n"
    "         handshake_timeout: 2m, idle_timeout: 1h}\n"
    "log: {level: debug, format: json}\n";

static void test_every_key(void **state)
{
    struct config *config = load_good(full_yaml, "");
    assert_string_equal(config->listen.unix_path, "/run/v.sock");
    assert_string_equal(config->listen.path, "/ws");
    assert_string_equal(config->listen.tls.certificate, "cert.pem");
    assert_string_equal(config->listen.tls.key, "key.pem");
    assert_int_equal(config->listen.trusted_proxies_len, 1);
    assert_int_equal(config->listen.trusted_proxies[0].bits, 104);
    assert_string_equal(config->listen.allowed_origins[0], "https://meet.example.com:8443");
    assert_string_equal(config->listen.allowed_origins[1], "https://meet.example.com");
    assert_false(config->listen.absent_origin);
    assert_string_equal(config->guest_domain, "g.d");
    assert_string_equal(config->hidden_domain, "h.d");
    assert_int_equal(config->service.allowed_from_len, 1);
    assert_true(config->upstream.tls);
    assert_string_equal(config->upstream.url, "wss://[::1]:5443/x/");
    assert_string_equal(config->upstream.host, "::1");
    assert_int_equal(config->upstream.port, 5443);
    assert_string_equal(config->upstream.path, "/x/");
    assert_string_equal(config->upstream.http_host, "h:1");
    assert_string_equal(config->upstream.ca_file, "cert.pem");
    assert_string_equal(config->xmpp.muc, "muc.d");
    assert_string_equal(config->xmpp.lobby, "l.d");
    assert_false(config->xmpp.tenants);
    assert_true(config->service.configured);
    assert_string_equal(config->service.jid, "vestibule@auth.d");
    assert_string_equal(config->service.node, "vestibule");
    assert_string_equal(config->service.domain, "auth.d");
    assert_string_equal(config->service.password, "from file");
    assert_string_equal(config->token.secret, "from file");
    assert_int_equal(config->token.secret_len, strlen("from file"));
    assert_string_equal(config->token.algorithm, "HS512");
    assert_string_equal(config->token.issuers[1], "y");
    assert_string_equal(config->token.audiences[0], "z");
    assert_false(config->token.require_room || config->token.domain_verification);
    assert_true(config->refuse_invalid_token);
    assert_string_equal(config->token.lobby_claims[0], "a.b");
    assert_null(config->token.lobby_claims[1]);
    assert_false(config->lobby.persistent);
    assert_int_equal(config->lobby.hold_timeout_ms, 500);
    assert_true(config->lobby.forward_on_failure && config->lobby.create_missing);
    assert_ptr_equal(config->lobby.rules, &rules_token_lobby_ondemand_create);
    assert_true(config->dry_run);
    assert_int_equal(config->limits.stanza, 8192);
    assert_int_equal(config->limits.server_stanza, 1024 * 1024);
    assert_int_equal(config->limits.connections, 7);
    assert_int_equal(config->limits.connections_per_ip, 3);
    assert_int_equal(config->limits.handshake_timeout_ms, 120000);
    assert_int_equal(config->limits.idle_timeout_ms, 3600000);
    assert_int_equal(config->log.level, LOG_LEVEL_DEBUG);
    assert_true(config->log.json);
    config_free(config);
}

static void test_order_of_sources(void **state)
{
    struct config *config =
        load_good("xmpp: {domain: file}\ntoken: {app_id: file, secret: file}\nlog: {level: warn}\n",
                  "XMPP_DOMAIN=jitsi\nJWT_APP_ID=jitsi\nVESTIBULE_TOKEN_APP_ID=own\n"
                  "VESTIBULE_TOKEN_SECRET_FILE=secret\nJWT_ACCEPTED_AUDIENCES= a, ,b ,\n"
                  "JWT_ENABLE_DOMAIN_VERIFICATION=0\nVESTIBULE_LOG_LEVEL=\n"
                  "VESTIBULE_LISTEN_TRUSTED_PROXIES=10.0.0.0/8,::1\n"
                  "VESTIBULE_SERVICE_HOST=10.0.0.1\nVESTIBULE_PORT=tcp://10.0.0.1:5281\n");
    assert_string_equal(config->xmpp.domain, "jitsi");
    assert_string_equal(config->token.issuers[0], "own");
    assert_string_equal(config->token.secret, "from file");
    assert_string_equal(config->token.audiences[0], "a");
    assert_string_equal(config->token.audiences[1], "b");
    assert_null(config->token.audiences[2]);
    assert_false(config->token.domain_verification);
    assert_int_equal(config->log.level, LOG_LEVEL_WARN);
    assert_int_equal(config->listen.trusted_proxies_len, 2);
    config_free(config);
}

/* A secret from a later source takes the place of a file named in an earlier one, unread. */
static void test_secret_over_file(void **state)
{
    struct config *config = load_good("token: {secret_file: none}\n", BASE);
    assert_string_equal(config->token.secret, "secret");
    config_free(config);
}

/* Public keys: where they are, and that no secret is left beside them. The algorithm nobody named
 * is the one Jitsi's token module would take. */
static void test_public_keys(void **state)
{
    static const struct {
        const char *name, *yaml, *environment, *key_server, *keys_url, *host, *authority;
        unsigned port;
        bool tls;
        const char *algorithm;
    } cases[] = {
        {"neither", "", "", NULL, NULL, NULL, NULL, 0, false, "HS256"},
        {"neither, named", "", "JWT_SIGN_TYPE=HS512", NULL, NULL, NULL, NULL, 0, false, "HS512"},
        {"key server", "token: {key_server: 'https://k.example.com/a/'}\n", "",
         "https://k.example.com/a", NULL, "k.example.com", "k.example.com", 443, true, "RS256"},
        {"key server, no path", "token: {key_server: 'https://k:8443'}\n", "", "https://k:8443",
         NULL, "k", "k:8443", 8443, true, "RS256"},
        {"document", "token: {keys_url: 'https://k/x@y?a=b?c'}\n", "", NULL, "https://k/x@y?a=b?c",
         "k", "k", 443, true, "RS256"},
        {"document, slash kept", "token: {keys_url: 'https://k/x/'}\n", "", NULL, "https://k/x/",
         "k", "k", 443, true, "RS256"},
        {"loopback", "token: {key_server: 'http://127.0.0.2:81/a'}\n", "", "http://127.0.0.2:81/a",
         NULL, "127.0.0.2", "127.0.0.2:81", 81, false, "RS256"},
        {"loopback, IPv6", "token: {key_server: 'http://[::1]:81'}\n", "", "http://[::1]:81", NULL,
         "::1", "[::1]:81", 81, false, "RS256"},
        {"loopback, name", "token: {key_server: 'http://Localhost/'}\n", "", "http://Localhost",
         NULL, "Localhost", "Localhost", 80, false, "RS256"},
        {"docker-jitsi-meet's, with a secret as well", "",
         "JWT_ASAP_KEYSERVER=https://k/\nJWT_SIGN_TYPE=RS512", "https://k", NULL, "k", "k", 443,
         true, "RS512"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char environment[512];
        snprintf(environment, sizeof(environment), "%s%s", BASE, cases[i].environment);
        struct config *config = load_good(cases[i].yaml, environment);
        const char *found[] = {config->keys.key_server, config->keys.keys_url, config->keys.host,
                               config->keys.authority, config->token.algorithm};
        const char *wanted[] = {cases[i].key_server, cases[i].keys_url, cases[i].host,
                                cases[i].authority, cases[i].algorithm};
        for (size_t n = 0; n < sizeof(found) / sizeof(found[0]); n++) {
            if ((found[n] == NULL) != (wanted[n] == NULL) ||
                (found[n] != NULL && strcmp(found[n], wanted[n]) != 0))
                fail_msg("%s: \"%s\"", cases[i].name, found[n] == NULL ? "(none)" : found[n]);
        }
        assert_int_equal(config->keys.port, cases[i].port);
        assert_int_equal(config->keys.tls, cases[i].tls);
        assert_string_equal(config->token.secret, cases[i].host == NULL ? "secret" : "");
        assert_int_equal(config->token.secret_len, strlen(config->token.secret));
        config_free(config);
    }
    /* No secret is needed then. */
    config_free(load_good("token: {app_id: a, keys_url: 'https://k/x', ca_file: cert.pem}\n",
                          "XMPP_DOMAIN=d"));
}

static void test_empty_says_nothing(void **state)
{
    struct config *config = load_good("listen: {address: , path: ~, trusted_proxies: []}\nlog:\n"
                                      "xmpp: {muc: \"\"}\nupstream: null\n",
                                      BASE);
    assert_int_equal(config->listen.port, 5281);
    assert_string_equal(config->listen.path, "/xmpp-websocket");
    assert_int_equal(config->listen.trusted_proxies_len, 0);
    assert_string_equal(config->xmpp.muc, "conference.meet.example.com");
    config_free(config);
    config_free(load_good("", BASE));
    config_free(load_good(NULL, BASE));
}

static void test_bridge_account(void **state)
{
    static const struct {
        const char *name, *yaml, *environment, *jid, *password;
    } cases[] = {
        {"its defaults", "", "JVB_AUTH_PASSWORD=p", "jvb@auth.meet.example.com", "p"},
        {"both named", "", "JVB_AUTH_PASSWORD=p\nJVB_AUTH_USER=u\nXMPP_AUTH_DOMAIN=a", "u@a", "p"},
        {"no password", "", "JVB_AUTH_USER=u\nXMPP_AUTH_DOMAIN=a", NULL, ""},
        {"account in the file", "service: {jid: x@y, password: f}\n", "JVB_AUTH_PASSWORD=p", "x@y",
         "f"},
        {"account in the environment", "",
         "JVB_AUTH_PASSWORD=p\nVESTIBULE_SERVICE_JID=x@y\nVESTIBULE_SERVICE_PASSWORD=e", "x@y",
         "e"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char environment[512];
        snprintf(environment, sizeof(environment), "%s%s", BASE, cases[i].environment);
        struct config *config = load_good(cases[i].yaml, environment);
        if (config->service.configured != (cases[i].jid != NULL) ||
            (cases[i].jid != NULL && strcmp(config->service.jid, cases[i].jid) != 0) ||
            strcmp(config->service.password, cases[i].password) != 0)
            fail_msg("%s: %s", cases[i].name, config->service.jid);
        config_free(config);
    }
}

static void run_out_of_memory(const char *yaml)
{
    char issuers[] = "JWT_ACCEPTED_ISSUERS=x,y";
    char origins[] = "VESTIBULE_LISTEN_ALLOWED_ORIGINS=https://a";
    char *environment[] = {issuers, origins, NULL};
    write_file(FILE_NAME, yaml, strlen(yaml));
    for (long n = 0, hit = 1; hit; n++) {
        char told[256] = "";
        FILE *errors = fmemopen(told, sizeof(told), "w");
        alloc_track_on();
        alloc_fail_after(n);
        struct config *config = config_load(FILE_NAME, environment, errors);
        hit = alloc_failed();
        alloc_fail_off();
        fclose(errors);
        assert_int_equal(config == NULL, hit);
        assert_string_equal(told, hit ? "configuration: out of memory\n" : "");
        config_free(config);
        assert_int_equal(alloc_live(), 0);
        alloc_track_off();
    }
}

static void test_out_of_memory(void **state)
{
    run_out_of_memory(full_yaml);
    run_out_of_memory(
        "xmpp: {domain: d}\n"
        "token: {app_id: a, secret: s, key_server: 'https://k:1/x/', ca_file: cert.pem}\n");
}

static char *read_source(const char *name)
{
    char path[1024];
    size_t len;
    snprintf(path, sizeof(path), "%s/%s", SOURCE_ROOT, name);
    char *text = config_read(path, &len);
    if (text == NULL)
        fail_msg("%s cannot be read", path);
    return text;
}

/* The default as YAML has it: a list in brackets, anything else as it is. */
static void show_default(char ret[256], const struct config_key *key)
{
    const char *text = key->fallback;
    size_t len = 0;
    if (key->kind != CONFIG_LIST) {
        snprintf(ret, 256, "%s", text);
        return;
    }
    len += (size_t)snprintf(ret, 256, "[");
    while (*text != '\0') {
        size_t item = strcspn(text, ",");
        len += (size_t)snprintf(ret + len, 256 - len, "\"%.*s\"", (int)item, text);
        text += item;
        if (*text == ',')
            len += (size_t)snprintf(ret + len, 256 - len, ", ");
        text += *text == ',';
    }
    snprintf(ret + len, 256 - len, "]");
}

static void expect_in(const char *entry, const char *path, const char *text)
{
    if (strstr(entry, text) == NULL)
        fail_msg("the manual's %s does not say \"%s\"", path, text);
}

static void test_manual_names_every_key(void **state)
{
    char *manual = read_source("docs/configuration.md");
    size_t headings = 0;
    for (const char *p = manual; (p = strstr(p, "\n### ")) != NULL; p++)
        headings++;
    assert_int_equal(headings, CONFIG_KEY_COUNT);
    for (unsigned id = 0; id < CONFIG_KEY_COUNT; id++) {
        const struct config_key *key = &config_keys[id];
        char text[320], shown[256];
        snprintf(text, sizeof(text), "\n### %s\n", key->path);
        const char *start = strstr(manual, text);
        if (start == NULL)
            fail_msg("the manual has no entry %s", key->path);
        start += strlen(text);
        const char *end = strstr(start, "\n##");
        char *entry = strndup(start, end == NULL ? strlen(start) : (size_t)(end - start));
        show_default(shown, key);
        if (*shown == '\0') { /* none, or told in words */
            expect_in(entry, key->path, "\n- Default: ");
            assert_null(strstr(entry, "\n- Default: `"));
        } else {
            snprintf(text, sizeof(text), "\n- Default: `%s`", shown);
            expect_in(entry, key->path, text);
        }
        snprintf(text, sizeof(text), "\n- Environment: `%s`", key->variable);
        expect_in(entry, key->path, text);
        if (key->jitsi_variable != NULL) {
            snprintf(text, sizeof(text), "docker-jitsi-meet's `%s`", key->jitsi_variable);
            expect_in(entry, key->path, text);
        }
        free(entry);
    }
    free(manual);
}

/* The text of a line of the file, for the keys that are there with an empty value. */
static bool line_names(const char *text, unsigned line, const char *name)
{
    for (; line > 1 && text != NULL; line--) {
        text = strchr(text, '\n');
        text += text != NULL;
    }
    text += strspn(text, " ");
    return strncmp(text, name, strlen(name)) == 0 && text[strlen(name)] == ':';
}

static void test_sample_has_every_default(void **state)
{
    char path[1024];
    snprintf(path, sizeof(path), "%s/vestibule.example.yaml", SOURCE_ROOT);
    char *sample = read_source("vestibule.example.yaml");
    struct config_load in = {
        .file = path, .errors = stderr, .config = calloc(1, sizeof(*in.config))};
    for (unsigned id = 0; id < CONFIG_KEY_COUNT; id++) {
        in.value[id].line = 1;
        in.value[id].text = "";
    }
    config_from_file(&in);
    assert_int_equal(in.errors_len, 0);
    for (unsigned id = 0; id < CONFIG_KEY_COUNT; id++) {
        const struct config_key *key = &config_keys[id];
        const struct config_value *value = &in.value[id];
        const char *name = strrchr(key->path, '.') + 1;
        if (!line_names(sample, value->line, name))
            fail_msg("the sample has no %s", key->path);
        char items[256] = "";
        for (size_t i = 0; value->items != NULL && value->items[i] != NULL; i++)
            snprintf(items + strlen(items), sizeof(items) - strlen(items), "%s%s", i > 0 ? "," : "",
                     value->items[i]);
        if (strcmp(key->kind == CONFIG_LIST ? items : value->text, key->fallback) != 0)
            fail_msg("the sample's %s is \"%s%s\"", key->path, value->text, items);
    }
    config_free(in.config);
    free(sample);
}

/* With what has to be set, the sample starts. */
static void test_sample_loads(void **state)
{
    char *sample = read_source("vestibule.example.yaml");
    config_free(load_good(sample, BASE));
    free(sample);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_unreadable_file),
        cmocka_unit_test(test_secrets_stay_secret),
        cmocka_unit_test(test_misplaced_secrets),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_every_key),
        cmocka_unit_test(test_door),
        cmocka_unit_test(test_public_keys),
        cmocka_unit_test(test_order_of_sources),
        cmocka_unit_test(test_secret_over_file),
        cmocka_unit_test(test_empty_says_nothing),
        cmocka_unit_test(test_bridge_account),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_manual_names_every_key),
        cmocka_unit_test(test_sample_has_every_default),
        cmocka_unit_test(test_sample_loads),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
