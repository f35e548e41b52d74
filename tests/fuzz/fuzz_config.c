/*
 * The configuration from any file and environment: what is refused is told by lines that name the
 * place, what is loaded can be used as it is, and no secret is ever printed.
 *
 * The input is a file; a line "---env" parts it from lines "NAME=value". Secrets are put in here:
 * behind "secret:" and "password:" in the file, and for the variables that hold one. Files that are
 * named can be /proc/self/fd/200 (empty), 201 (a secret), 202 (a certificate and a key).
 */
#include "proxy/config.h"
#include "xmpp/buf.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <yaml.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SECRET "hUshhUshhUsh"
#define CONFIG_FD 199
#define CONFIG_NAME "/proc/self/fd/199"
#define VARIABLES_MAX 24

static const char pem[] = "-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n";

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* A file in memory, whose name is that of its number. */
static void make_file(int number, const char *text)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);

    require(fd >= 0 && dup2(fd, number) == number);
    close(fd);
    require(write(number, text, strlen(text)) == (ssize_t)strlen(text));
}

static void make_files(void)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    require(null >= 0 && dup2(null, STDIN_FILENO) == STDIN_FILENO); /* may be named as a file */
    close(null);
    make_file(CONFIG_FD, "");
    make_file(200, "");
    make_file(201, SECRET "\n");
    make_file(202, pem);
}

/* Copies the file's text with a secret where one belongs. */
static void add_secrets(struct buf *out, const char *text, size_t len)
{
    static const char *const names[] = {"secret:", "password:"};

    for (size_t i = 0; i < len; i++) {
        buf_add(out, text + i, 1);
        for (size_t n = 0; n < 2; n++) {
            size_t name_len = strlen(names[n]);
            if (i + 1 >= name_len && memcmp(text + i + 1 - name_len, names[n], name_len) == 0 &&
                i + 1 < len && text[i + 1] == ' ')
                buf_add_str(out, " " SECRET);
        }
    }
    require(!out->failed);
}

/* "NAME=value" as lines; a variable of a secret gets one. */
static void make_environment(struct buf *memory, const char *text, size_t len,
                             char *ret[VARIABLES_MAX + 1])
{
    static const char *const secrets[] = {"VESTIBULE_TOKEN_SECRET=", "VESTIBULE_SERVICE_PASSWORD=",
                                          "JWT_APP_SECRET=", "JVB_AUTH_PASSWORD="};
    size_t starts[VARIABLES_MAX], count = 0;

    for (size_t at = 0, end; at < len && count < VARIABLES_MAX; at = end + 1) {
        const char *line_end = memchr(text + at, '\n', len - at);
        end = line_end ? (size_t)(line_end - text) : len;
        starts[count++] = memory->len;
        buf_add(memory, text + at, end - at);
        for (size_t i = 0; i < sizeof(secrets) / sizeof(*secrets); i++) {
            if (end - at >= strlen(secrets[i]) &&
                memcmp(text + at, secrets[i], strlen(secrets[i])) == 0)
                buf_add_str(memory, SECRET);
        }
        buf_add(memory, "", 1);
    }
    require(!memory->failed);
    for (size_t i = 0; i < count; i++)
        ret[i] = memory->data + starts[i];
    ret[count] = NULL;
}

static bool holds_secret(const char *text, size_t len)
{
    return text && memmem(text, len, SECRET, strlen(SECRET)) != NULL;
}

/* Whether every place with the secret in the file is one the program knows for one: whoever writes
 * his password into another key has it in the log. */
static bool is_where_it_belongs(const struct buf *file)
{
    yaml_parser_t parser;
    yaml_document_t document;
    bool belongs = true;

    require(yaml_parser_initialize(&parser));
    yaml_parser_set_input_string(&parser, (const unsigned char *)file->data, file->len);
    if (!yaml_parser_load(&parser, &document)) {
        yaml_parser_delete(&parser);
        return true; /* nothing was understood: nothing is to be shown */
    }
    yaml_node_t *root = yaml_document_get_root_node(&document);
    for (yaml_node_t *node = document.nodes.start; node < document.nodes.top; node++) {
        const char *text = (const char *)node->data.scalar.value;
        if (node->type != YAML_SCALAR_NODE || !holds_secret(text, node->data.scalar.length))
            continue;
        bool found = false;
        for (yaml_node_t *map = document.nodes.start; map < document.nodes.top; map++) {
            for (yaml_node_pair_t *pair = map->type == YAML_MAPPING_NODE && map != root
                                              ? map->data.mapping.pairs.start
                                              : NULL;
                 pair && pair < map->data.mapping.pairs.top; pair++) {
                yaml_node_t *key = yaml_document_get_node(&document, pair->key);
                if (yaml_document_get_node(&document, pair->value) == node &&
                    key->type == YAML_SCALAR_NODE &&
                    (strcmp((char *)key->data.scalar.value, "secret") == 0 ||
                     strcmp((char *)key->data.scalar.value, "password") == 0))
                    found = true;
            }
        }
        belongs = belongs && found;
    }
    yaml_document_delete(&document);
    yaml_parser_delete(&parser);
    return belongs;
}

/* "FILE:LINE: ", "NAME: " or "environment: ", then words; nothing a terminal would act on. */
static void check_errors(const char *text, size_t len)
{
    require(len > 0 && text[len - 1] == '\n');
    for (const char *line = text; line < text + len; line = strchr(line, '\n') + 1) {
        const char *end = strchr(line, '\n');
        const char *rest = strstr(line, ": "); /* behind the name of a variable, as it was found */
        bool placed = rest > line && memchr(line, ' ', (size_t)(rest - line)) == NULL;
        if (strncmp(line, CONFIG_NAME ":", strlen(CONFIG_NAME ":")) == 0) {
            const char *number = line + strlen(CONFIG_NAME ":");
            rest = number + strspn(number, "0123456789");
            placed = rest > number && number[0] != '0' && strncmp(rest, ": ", 2) == 0;
        }
        require(placed && end - rest > 2);
        for (const char *at = line; at < end; at++)
            require((unsigned char)*at >= ' ' && *at != 0x7f);
    }
}

static void check_loaded(const struct config *config)
{
    struct jid jid;

    require((config->listen.unix_path != NULL) != (config->listen.port != 0));
    require(config->listen.host && config->listen.path[0] == '/');
    require(!config->listen.tls.certificate == !config->listen.tls.key);
    require(config->upstream.host[0] != '\0' && config->upstream.port != 0);
    require(config->upstream.path[0] == '/' && config->upstream.http_host[0] != '\0');
    require(jid_parse(config->xmpp.domain, strlen(config->xmpp.domain), &jid) == JID_OK);
    require(strcmp(jid.domain, config->xmpp.domain) == 0);
    jid_done(&jid);
    require(config->xmpp.muc[0] != '\0' && config->xmpp.lobby &&
            strcmp(config->xmpp.muc, config->xmpp.domain) != 0 &&
            strcmp(config->xmpp.lobby, config->xmpp.muc) != 0);
    require(!config->service.configured ||
            (strchr(config->service.jid, '@') != NULL && config->service.password[0] != '\0' &&
             strcmp(config->service.node, "focus") != 0));
    require(config->token.algorithm && config->token.issuers && config->token.issuers[0] &&
            config->token.audiences && config->token.audiences[0]);
    /* An empty secret would make everybody's token valid. */
    if (strncmp(config->token.algorithm, "HS", 2) == 0)
        require(config->token.secret_len > 0 &&
                strlen(config->token.secret) == config->token.secret_len);
    require(config->token.lobby_claims && config->token.lobby_claims[0]);
    require(config->lobby.hold_timeout_ms > 0 &&
            config->lobby.hold_timeout_ms <= config->lobby.hold_limit_ms);
    require(config->limits.stanza >= 4096 && config->limits.connections > 0 &&
            config->limits.handshake_timeout_ms > 0 && config->limits.idle_timeout_ms > 0);
}

static void load(const struct buf *file, char *const *variables)
{
    char *errors = NULL;
    size_t len = 0;
    FILE *stream = open_memstream(&errors, &len);

    require(stream && ftruncate(CONFIG_FD, 0) == 0);
    require(pwrite(CONFIG_FD, file->data, file->len, 0) == (ssize_t)file->len);
    struct config *config = config_load(CONFIG_NAME, variables, stream);
    require(fclose(stream) == 0);
    if (config) {
        require(len == 0);
        check_loaded(config);
    } else {
        check_errors(errors, len);
    }
    if (holds_secret(errors, len))
        require(!is_where_it_belongs(file));
    config_free(config);
    free(errors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char mark[] = "---env\n";
    static bool ready;
    const char *text = (const char *)data;
    struct buf file = BUF_INIT, memory = BUF_INIT;
    char *variables[VARIABLES_MAX + 1];

    if (!ready)
        make_files();
    ready = true;
    if (size == 0 || holds_secret(text, size))
        return 0;
    const char *found = memmem(text, size, mark, strlen(mark));
    size_t len = found ? (size_t)(found - text) : size;
    add_secrets(&file, text, len);
    buf_add(&file, "\n", 1);
    make_environment(&memory, found ? found + strlen(mark) : text + size,
                     found ? size - len - strlen(mark) : 0, variables);
    load(&file, variables);
    buf_done(&file);
    buf_done(&memory);
    return 0;
}
