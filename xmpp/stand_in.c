/*
 * See stand_in.h. An id is PREFIX, the number, '-', and the answer in base64.
 */
#include "xmpp/stand_in.h"

#include "xmpp/ns.h"

#include <errno.h>
#include <gsasl.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "vestibule-answer-"
#define PREFIX_LEN (sizeof PREFIX - 1)

bool stand_in_write(struct buf *out, uint64_t number, const char *answer)
{
    size_t len = strlen(answer);
    char *text = NULL;

    if (len == 0 || len > STAND_IN_ANSWER_MAX)
        return false;
    if (gsasl_base64_to(answer, len, &text, NULL) != GSASL_OK) {
        out->failed = true;
        return true;
    }
    buf_printf(out, "<iq xmlns='" NS_CLIENT "' type='get' id='" PREFIX "%llu-",
               (unsigned long long)number);
    buf_add_str(out, text);
    buf_add_str(out, "'><ping xmlns='" NS_PING "'/></iq>");
    gsasl_free(text);
    return true;
}

bool stand_in_peek(const char *message, size_t len)
{
    return memmem(message, len, PREFIX, PREFIX_LEN) != NULL;
}

/* The server speaks for itself without a "from"; some name the account. */
static bool is_from_account(const struct element *e)
{
    const char *from = element_attribute(e, "from");
    const char *to = element_attribute(e, "to");
    size_t len = from ? strlen(from) : 0;

    return !from || (to && strncmp(from, to, len) == 0 && to[len] == '/' && !strchr(from, '/'));
}

bool stand_in_read(const struct element *e, uint64_t *ret_number, struct buf *ret)
{
    const char *id = element_attribute(e, "id");
    const char *type = element_attribute(e, "type");
    char *end, *text = NULL;
    size_t len;
    int code;

    if (!element_is(e, NS_CLIENT, "iq") || !id || strncmp(id, PREFIX, PREFIX_LEN) != 0 || !type ||
        (strcmp(type, "result") != 0 && strcmp(type, "error") != 0) || !is_from_account(e))
        return false;
    id += PREFIX_LEN;
    if (*id < '0' || *id > '9')
        return false;
    errno = 0;
    *ret_number = strtoull(id, &end, 10);
    if (errno || *end != '-' || end[1] == '\0')
        return false;
    code = gsasl_base64_from(end + 1, strlen(end + 1), &text, &len);
    if (code == GSASL_MALLOC_ERROR) {
        ret->failed = true;
        return true;
    }
    if (code != GSASL_OK)
        return false;
    buf_add(ret, text, len);
    gsasl_free(text);
    return true;
}
