/*
 * The environment over the file: first docker-jitsi-meet's variables, then our own. And secrets
 * that stand in files.
 *
 * An empty variable says nothing: container files pass on every variable, set or not.
 */
#include "proxy/config_load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *find(char *const *environment, const char *name)
{
    size_t len = strlen(name);
    for (; environment != NULL && *environment != NULL; environment++) {
        if (strncmp(*environment, name, len) == 0 && (*environment)[len] == '=')
            return (*environment)[len + 1] == '\0' ? NULL : *environment + len + 1;
    }
    return NULL;
}

/* docker-jitsi-meet makes the bridge's account an admin, so it can do the service account's work
 * there (wire fact 14): user and password come together or not at all, and never in the place of an
 * account the operator named. */
static void from_bridge_account(struct config_load *load, char *const *environment)
{
    const char *user = find(environment, "JVB_AUTH_USER");
    const char *password = find(environment, "JVB_AUTH_PASSWORD");
    const char *domain = find(environment, "XMPP_AUTH_DOMAIN");
    struct config_value *jid = &load->value[KEY_SERVICE_JID];
    const struct config_value *given = &load->value[KEY_SERVICE_PASSWORD];
    if (password == NULL || jid->source > CONFIG_DEFAULT || jid->bad)
        return;
    /* Its own defaults: jvb, and auth. before the domain. */
    const char *prefix = domain == NULL ? "auth." : "";
    if (domain == NULL)
        domain = load->value[KEY_XMPP_DOMAIN].text;
    if (*domain == '\0')
        return;
    char *text = config_printf(load, "%s@%s%s", user == NULL ? "jvb" : user, prefix, domain);
    if (text == NULL)
        return;
    config_set(load, KEY_SERVICE_JID, CONFIG_JITSI,
               user == NULL ? "JVB_AUTH_PASSWORD" : "JVB_AUTH_USER", text);
    if (given->source <= CONFIG_DEFAULT &&
        load->value[KEY_SERVICE_PASSWORD_FILE].source <= CONFIG_DEFAULT)
        config_set(load, KEY_SERVICE_PASSWORD, CONFIG_JITSI, "JVB_AUTH_PASSWORD", password);
}

/* Whether a name can be shown as it is. */
static bool is_printable(const char *name)
{
    while (*name > ' ' && *name <= '~')
        name++;
    return *name == '\0';
}

/* A misspelt variable would be passed over in silence. Only what is nearly one of ours is an error:
 * orchestrators make variables of their own for a service named vestibule (VESTIBULE_PORT ...). */
static void check_names(struct config_load *load, char *const *environment)
{
    for (; environment != NULL && *environment != NULL; environment++) {
        char name[64];
        size_t len = strcspn(*environment, "=");
        if (strncmp(*environment, "VESTIBULE_", 10) != 0 || len >= sizeof(name))
            continue;
        memcpy(name, *environment, len);
        name[len] = '\0';
        const char *near = is_printable(name) ? config_suggest_variable(name) : NULL;
        if (near != NULL && strcmp(near, name) != 0) {
            fprintf(load->errors, "%s: is not a known variable; did you mean %s?\n", name, near);
            load->errors_len++;
        }
    }
}

void config_from_environment(struct config_load *load, char *const *environment)
{
    for (unsigned id = 0; id < CONFIG_KEY_COUNT; id++) {
        const struct config_key *key = &config_keys[id];
        if (key->jitsi_variable == NULL || id == KEY_SERVICE_JID || id == KEY_SERVICE_PASSWORD)
            continue;
        const char *text = find(environment, key->jitsi_variable);
        if (text != NULL)
            config_set(load, (enum config_key_id)id, CONFIG_JITSI, key->jitsi_variable, text);
    }
    for (unsigned id = 0; id < CONFIG_KEY_COUNT; id++) {
        const char *text = find(environment, config_keys[id].variable);
        if (text != NULL)
            config_set(load, (enum config_key_id)id, CONFIG_ENVIRONMENT, config_keys[id].variable,
                       text);
    }
    from_bridge_account(load, environment);
    check_names(load, environment);
}

static void secret_from_file(struct config_load *load, enum config_key_id secret,
                             enum config_key_id file)
{
    struct config_value *from = &load->value[file];
    size_t len;
    char *data = config_read(from->text, &len);
    if (data == NULL && errno == ENOMEM) {
        load->no_memory = true;
        return;
    }
    if (data == NULL) {
        config_error_file(load, file, from->text, config_read_problem(errno));
        load->value[secret].bad = true;
        return;
    }
    size_t kept = len;
    while (kept > 0 && (data[kept - 1] == '\n' || data[kept - 1] == '\r'))
        kept--;
    if (kept == 0 || strlen(data) < kept) {
        config_error(load, file, "%s; put the secret there, as text",
                     kept == 0 ? "names an empty file" : "names a file with a NUL character");
        load->value[secret].bad = true;
    } else {
        char *text = config_copy(load, data, kept);
        if (text != NULL) {
            load->value[secret].text = text;
            load->value[secret].source = from->source;
            load->value[secret].variable = from->variable;
            load->value[secret].line = from->line;
        }
    }
    explicit_bzero(data, len);
    free(data);
}

void config_read_secret(struct config_load *load, enum config_key_id secret,
                        enum config_key_id file)
{
    const struct config_value *inline_value = &load->value[secret];
    const struct config_value *from = &load->value[file];
    if (from->source <= CONFIG_DEFAULT || from->source < inline_value->source)
        return;
    if (from->source == inline_value->source) {
        config_error(load, file, "is given beside %s; keep one of the two",
                     config_keys[secret].path);
        load->value[secret].bad = true;
        return;
    }
    secret_from_file(load, secret, file);
}
